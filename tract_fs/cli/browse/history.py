"""The rows of commits: the graph of a history, read as far as it is shown, and what a search or query found.

A commit is younger than its parents (FORMAT.md, section 6). So the newest commit that waits is the next row, and reading
stops wherever the screen does: the cost is that of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from heapq import heappop, heappush
from itertools import islice

from tract_fs import CommitInfo, SearchHit, Tract
from tract_fs.cli.browse.lines import Line, Span
from tract_fs.cli.display import commit_text
from tract_fs.cli.graph import draw
from tract_fs.cli.log_lines import ref_names
from tract_fs.cli.output import inline, one_line, some
from tract_fs.errors import TractError
from tract_fs.model.names import to_us

DIGITS = 8  # of a hash, in a row
_LANE_COLOURS = 6
_BEFORE_MATCH = 20  # characters of a snippet, in a row
_SPEAKING = (None, "dialogue", "message", "tool_io")  # types whose text begins with who speaks


class History:
    """The commits that some heads reach, newest first, as a graph.

    `infos` are those read so far; `about` are the edits, annotations and summaries of each commit, newest first: all of them
    once that commit is a row, as they are younger. What is missing or damaged is in `faults`, and a row without parents.
    """

    def __init__(self, t: Tract, heads: Sequence[str]) -> None:
        self.heads = tuple(heads)
        self.infos: dict[str, CommitInfo] = {}
        self.faults: dict[str, str] = {}
        self.about: dict[str, list[CommitInfo]] = {}
        self.names = ref_names(t)
        self.places: dict[str, int] = {}  # the row of each commit
        self.is_whole = False
        self.marks: dict[str, str] = {}  # the sign before a row
        self._t = t
        self._parents: dict[str, tuple[str, ...]] = {}
        self._waiting: list[tuple[int, str]] = []
        self._rows: list[tuple[str, str | None]] = []
        self._texts: dict[str, str] = {}
        self._width = 80
        for head in heads:
            self._meet(head, 0)
        self._drawn = draw(self._newest_first(), self._parents)

    def fit(self, width: int) -> None:
        self._width = width

    def read(self, count: int) -> None:
        while len(self._rows) < count and not self.is_whole:
            self.read_more(count - len(self._rows))

    def read_more(self, count: int) -> None:
        """Reads on by at most `count` rows."""
        found = list(islice(self._drawn, count))
        for row in found:
            if row[1] is not None:
                self.places[row[1]] = len(self._rows)
            self._rows.append(row)
        self.is_whole = len(found) < count

    def is_past(self, moment: datetime) -> bool:
        """Returns whether all commits that are younger were read."""
        return not self._waiting or -self._waiting[0][0] <= to_us(moment)

    def __len__(self) -> int:
        return len(self._rows)

    def name(self, at: int) -> str | None:
        return self._rows[at][1]

    def row(self, at: int) -> Line:
        drawing, name = self._rows[at]
        most = max(8, self._width // 3)
        drawing = drawing if len(drawing) <= most else f"{drawing[: most - 2]}…{'*' if name else ''}"
        spans = [(self.marks.get(name or "", " "), "mark"), *_strands(drawing)]
        if name is not None:
            spans += [(" ", ""), (name[:DIGITS], "hash"), (" ", "")]
            if name in self.names:
                spans += [(f"({', '.join(some(self.names[name]))})", "ref"), (" ", "")]
            spans += [(self.faults[name], "error")] if name in self.faults else _spoken(self._text(name))
        return Line(*spans)

    def _text(self, name: str) -> str:
        if name not in self._texts:
            self._texts[name] = one_line(row_text(self._t, self.infos[name]), width=160)
        return self._texts[name]

    def _newest_first(self) -> Iterator[str]:
        while self._waiting:
            at, name = heappop(self._waiting)
            for parent in self._parents[name]:
                self._meet(parent, at)
            yield name

    def _meet(self, name: str, child_at: int) -> None:
        """Lets a commit wait for its row, which is one after its child's where it can't be read."""
        if name in self._parents:
            return
        parents: tuple[str, ...] = ()
        at = child_at + 1
        try:
            info = self._t.get_commit(name)
            if info is None:
                self.faults[name] = "(the commit is missing)"
            else:
                parents, at = info.parents, -to_us(info.created_at)
                self.infos[name] = info
                for target in info.targets:
                    self.about.setdefault(target, []).append(info)
        except (TractError, OSError):
            self.faults[name] = "(the commit is missing or damaged)"
        self._parents[name] = parents
        heappush(self._waiting, (at, name))


class Hits:
    """Commits that a search or query found, in its order."""

    def __init__(self, t: Tract, found: Sequence[SearchHit | CommitInfo]) -> None:
        self._t = t
        self._found = found

    def fit(self, width: int) -> None:
        pass

    def read(self, count: int) -> None:
        pass

    def __len__(self) -> int:
        return len(self._found)

    def name(self, at: int) -> str | None:
        return self._found[at].commit_hash

    def row(self, at: int) -> Line:
        hit = self._found[at]
        first: Span = (f" {hit.commit_hash[:DIGITS]} ", "hash")
        if isinstance(hit, CommitInfo):
            return Line(first, *_spoken(one_line(row_text(self._t, hit), width=160)))
        end = max(0, hit.spans[0][0] - _BEFORE_MATCH)
        spans = [first, (f"{hit.role or hit.content_type}: ", role_style(hit.role)), ("…" if end else "", "")]
        for start, stop in hit.spans:
            spans += [(inline(hit.snippet[end:start]), ""), (inline(hit.snippet[start:stop]), "match")]
            end = stop
        return Line(*spans, (inline(hit.snippet[end:]), ""))


def row_text(t: Tract, info: CommitInfo) -> str:
    """Returns what a commit says or does; may span lines."""
    try:
        text = commit_text(t, info)
        is_named = info.content_type in _SPEAKING or info.operation.value != "append"
        return text if is_named else f"{info.content_type}: {text}"
    except (TractError, OSError):
        return "(the commit is missing or damaged)"


def role_style(role: str | None) -> str:
    """Returns the style of a role's name."""
    return role if role in ("user", "assistant", "system", "tool") else "head"


def _spoken(text: str) -> list[Span]:
    """Returns a text, in which the role that it begins with stands out."""
    role, colon, said = text.partition(": ")
    style = role_style(role) if colon else "head"
    return [(text, "")] if style == "head" else [(role + colon, style), (said, "")]


def _strands(drawing: str) -> Iterator[Span]:
    for place, char in enumerate(drawing):
        is_strand = char not in " *…"
        yield char, f"lane{(place + (char == '/')) // 2 % _LANE_COLOURS}" if is_strand else "head"
