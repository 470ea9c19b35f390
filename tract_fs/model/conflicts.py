"""Conflicts: commits on which the lines of a merge disagree, where both sides can't apply.

Found from commits alone, so that every copy finds the same. There are three kinds: edits of one commit to different
contents, different last priorities of one commit, and a commit that one line summarized while the other edited it or
summarized it otherwise. An append is never in conflict; an edit here and a skip there both apply. Two settlements (what
merges wrote to settle a conflict) are never in conflict: the linear order decides, which every copy has alike. So
merging on every copy ends. Format: FORMAT.md, section 7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from tract_fs.model.content import Priority
from tract_fs.model.history import ReadCommit
from tract_fs.model.names import CommitHash
from tract_fs.model.objects import Commit, CommitOperation
from tract_fs.model.reach import Reach

ConflictKind = Literal["edit", "priority", "summary"]
KINDS: tuple[ConflictKind, ...] = ("edit", "priority", "summary")
SETTLEMENT = b'{"settles":"merge"}'  # the metadata of an edit or annotation by which a merge settled a conflict
_SHOWN_CHARACTERS = 60
_SHOWN_CONFLICTS = 10
_DONE = {
    CommitOperation.EDIT: "edited it to",
    CommitOperation.ANNOTATE: "set it to",
    CommitOperation.SUMMARIZE: "summarized it as",
}
_MAY_BE_EDITED = (CommitOperation.APPEND, CommitOperation.SUMMARIZE)


class ConflictSide(Struct, frozen=True):
    """What one line did to the target: the edit that applies, its last annotation, or the summaries that cover it."""

    head: CommitHash  # of the line
    commits: tuple[CommitHash, ...]  # in the line's order; the last one applies
    operation: CommitOperation
    text: str  # of the content, or the priority's name
    value: str  # equal where two sides agree
    priority: Priority | None = None  # set by the annotation, or for the summary that applies
    drops: tuple[CommitHash, ...] = ()  # summaries of other lines that can't stand beside this side

    @property
    def commit(self) -> CommitHash:
        """The edit, annotation or summary that applies."""
        return self.commits[-1]

    def describe(self) -> str:
        """Returns what was done and the start of the text."""
        line = " ".join(self.text[: 4 * _SHOWN_CHARACTERS].split())
        shown = line if len(line) <= _SHOWN_CHARACTERS else line[: _SHOWN_CHARACTERS - 1] + "…"
        return f"{_DONE[self.operation]} {shown!r}"

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields as JSON values (fresh)."""
        return {
            "head": self.head,
            "commits": list(self.commits),
            "operation": self.operation.value,
            "text": self.text,
            "priority": None if self.priority is None else self.priority.value,
            "drops": list(self.drops),
        }


class Conflict(Struct, frozen=True):
    """One commit on which the lines disagree; `sides` are of all lines that changed it, in the order of the heads."""

    kind: ConflictKind
    target: CommitHash
    ours: ConflictSide  # of the own head; the first side if the own head has none
    theirs: ConflictSide  # the first that differs
    sides: tuple[ConflictSide, ...]

    def describe(self) -> str:
        """Returns the conflict in one line."""
        return f"commit {self.target[:12]}: ours {self.ours.describe()}, theirs {self.theirs.describe()}"

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields as JSON values (fresh)."""
        return {
            "kind": self.kind,
            "target": self.target,
            "ours": self.ours.to_dict(),
            "theirs": self.theirs.to_dict(),
            "sides": [side.to_dict() for side in self.sides],
        }


class _Summary(Struct, frozen=True):
    """A summary that is not skipped on its line."""

    commit: CommitHash
    covered: frozenset[CommitHash]
    leaves: frozenset[CommitHash]  # the appends among them, or the summary itself if it covers none
    content: str  # that of the edit that applies, or its own

    def clashes_with(self, other: _Summary) -> bool:
        """Returns whether the two can't both stand and neither takes the other in: they share an append, neither covers
        more than all of the other's, and they differ.
        """
        if self.leaves.isdisjoint(other.leaves) or self.leaves < other.leaves or other.leaves < self.leaves:
            return False
        return self.leaves != other.leaves or self.content != other.content


class _Line(Struct):
    """The edits, annotations and summaries of one linear order."""

    edits: dict[CommitHash, CommitHash] = field(default_factory=dict)  # target: the edit that applies
    annotations: dict[CommitHash, list[CommitHash]] = field(default_factory=dict)
    summaries: list[_Summary] = field(default_factory=list)  # those that not all lines have, and that are not skipped

    def covering(self, target: CommitHash) -> list[_Summary]:
        """Returns the summaries that cover `target`; the last of them stands."""
        return [summary for summary in self.summaries if target in summary.covered]


def find_conflicts(
    reach: Reach, read: ReadCommit, text_of: Callable[[CommitHash], str], *, own: int
) -> tuple[Conflict, ...]:
    """Returns the conflicts among the histories of the heads in `reach`, the oldest target first, each once per kind.

    `own` is the position of the head whose side is called ours. `text_of` returns the text of a commit's content.
    """
    return _Search(reach, read, text_of).find(own)


class _Search:
    """Compares the heads pair by pair."""

    def __init__(self, reach: Reach, read: ReadCommit, text_of: Callable[[CommitHash], str]) -> None:
        self._reach = reach
        self._read = read
        self._text_of = text_of
        self._covered: dict[CommitHash, tuple[frozenset[CommitHash], frozenset[CommitHash]]] = {}
        self._lines = [self._line(reach.order(position)) for position in range(len(reach.heads))]
        self._sides: dict[tuple[CommitHash, ConflictKind], dict[int, ConflictSide]] = {}

    def find(self, own: int) -> tuple[Conflict, ...]:
        for here, there in permutations(range(len(self._lines)), 2):
            if here < there:
                self._compare_edits(here, there)
                self._compare_priorities(here, there)
                self._compare_summaries(here, there)
            self._compare_edits_to_summaries(here, there)
        keys = sorted(self._sides, key=lambda key: (self._read(key[0]).created_at, key[0], KINDS.index(key[1])))
        return tuple(_conflict(kind, target, self._all_sides(target, kind), own) for target, kind in keys)

    def _compare_edits(self, here: int, there: int) -> None:
        theirs = self._lines[there].edits
        for target, edit in self._lines[here].edits.items():
            other = theirs.get(target)
            if other is None or not (self._is_only(edit, here, there) and self._is_only(other, there, here)):
                continue
            if self._read(edit).content != self._read(other).content and not self._are_settlements(edit, other):
                for position, commit in ((here, edit), (there, other)):
                    self._note("edit", target, position, self._edit_side(position, commit))

    def _compare_priorities(self, here: int, there: int) -> None:
        theirs = self._lines[there].annotations
        for target, ours in self._lines[here].annotations.items():
            others = theirs.get(target, [])
            if not any(self._is_only(commit, here, there) for commit in ours):
                continue
            if not any(self._is_only(commit, there, here) for commit in others):
                continue
            sides = [self._priority_side(here, ours[-1]), self._priority_side(there, others[-1])]
            if sides[0].value != sides[1].value and not self._are_settlements(ours[-1], others[-1]):
                for position, side in zip((here, there), sides, strict=True):
                    self._note("priority", target, position, side)

    def _compare_edits_to_summaries(self, here: int, there: int) -> None:
        """Notes the commits that the line of `here` edited and shows, and that of `there` summarized."""
        line, other = self._lines[here], self._lines[there]
        for target, edit in line.edits.items():
            if not self._is_only(edit, here, there):
                continue
            is_hidden = any(self._is_only(summary.commit, here, there) for summary in line.covering(target))
            summaries = other.covering(target)
            if not is_hidden and any(self._is_only(summary.commit, there, here) for summary in summaries):
                self._note("summary", target, here, self._edit_side(here, edit))
                self._note("summary", target, there, self._summary_side(there, target, summaries[-1]))

    def _compare_summaries(self, here: int, there: int) -> None:
        """Notes the oldest commit that summaries of both lines cover, where these can't both stand."""
        for ours in self._outermost(here, there):
            for theirs in self._outermost(there, here):
                if ours.clashes_with(theirs):
                    shared = ours.leaves & theirs.leaves
                    target = min(shared, key=lambda name: (self._read(name).created_at, name))
                    self._note("summary", target, here, self._summary_side(here, target, ours))
                    self._note("summary", target, there, self._summary_side(there, target, theirs))

    def _outermost(self, here: int, there: int) -> list[_Summary]:
        """Returns the summaries that only the line of `here` has, less those that others of these cover."""
        own = [summary for summary in self._lines[here].summaries if self._is_only(summary.commit, here, there)]
        covered = frozenset().union(*[summary.covered for summary in own])
        return [summary for summary in own if summary.commit not in covered]

    def _are_settlements(self, *commits: CommitHash) -> bool:
        return all(bytes(self._read(commit).metadata) == SETTLEMENT for commit in commits)

    def _all_sides(self, target: CommitHash, kind: ConflictKind) -> dict[int, ConflictSide]:
        """Returns the sides of a conflict by position, each with the summaries that go if it is chosen."""
        sides = self._sides[target, kind]
        if kind != "summary":
            return sides
        return {position: replace(side, drops=self._drops(sides, position)) for position, side in sides.items()}

    def _drops(self, sides: dict[int, ConflictSide], chosen: int) -> tuple[CommitHash, ...]:
        side = sides[chosen]
        dropped: dict[CommitHash, None] = {}
        if side.operation is not CommitOperation.SUMMARIZE:
            others = [sides[position] for position in sorted(sides) if position != chosen]
            for other in others:
                dropped.update(dict.fromkeys(other.commits if other.operation is CommitOperation.SUMMARIZE else ()))
            return tuple(dropped)
        kept = next(summary for summary in self._lines[chosen].summaries if summary.commit == side.commit)
        for there, line in enumerate(self._lines):
            if self._is_only(kept.commit, chosen, there):
                rivals = [summary.commit for summary in line.summaries if summary.clashes_with(kept)]
                dropped.update(dict.fromkeys(rival for rival in rivals if self._is_only(rival, there, chosen)))
        return tuple(dropped)

    def _edit_side(self, position: int, edit: CommitHash) -> ConflictSide:
        value = self._read(edit).content or ""
        return ConflictSide(self._reach.heads[position], (edit,), CommitOperation.EDIT, self._text_of(edit), value)

    def _priority_side(self, position: int, annotation: CommitHash) -> ConflictSide:
        commit = self._read(annotation)
        priority = commit.priority or Priority.NORMAL
        is_of_edit = self._read(commit.targets[0]).operation is CommitOperation.EDIT
        value = Priority.NORMAL if is_of_edit and priority is not Priority.SKIP else priority
        head = self._reach.heads[position]
        return ConflictSide(head, (annotation,), CommitOperation.ANNOTATE, priority.value, value.value, priority)

    def _summary_side(self, position: int, target: CommitHash, summary: _Summary) -> ConflictSide:
        """Returns the side of a line's summary that covers `target`."""
        line, name = self._lines[position], summary.commit
        others = [other.commit for other in line.covering(target) if other.commit != name]
        text = self._text_of(line.edits.get(name, name))
        of_summary = line.annotations.get(name)
        return ConflictSide(
            self._reach.heads[position],
            (*others, name),
            CommitOperation.SUMMARIZE,
            text,
            " ".join((CommitOperation.SUMMARIZE.value, summary.content, *sorted(summary.leaves))),
            self._read(of_summary[-1]).priority if of_summary else None,
        )

    def _note(self, kind: ConflictKind, target: CommitHash, position: int, side: ConflictSide) -> None:
        self._sides.setdefault((target, kind), {})[position] = side

    def _is_only(self, commit: CommitHash, here: int, there: int) -> bool:
        return self._reach.is_only(commit, here, there)

    def _line(self, order: Sequence[CommitHash]) -> _Line:
        line = _Line()
        edits: dict[CommitHash, list[CommitHash]] = {}
        summaries: list[CommitHash] = []
        for name in order:
            commit = self._read(name)
            if commit.operation is CommitOperation.EDIT:
                edits.setdefault(commit.targets[0], []).append(name)
            elif commit.operation is CommitOperation.ANNOTATE:
                line.annotations.setdefault(commit.targets[0], []).append(name)
            elif commit.operation is CommitOperation.SUMMARIZE and not self._reach.is_shared(name):
                summaries.append(name)
        for target, of_target in edits.items():
            standing = [edit for edit in of_target if not self._is_skipped(line, edit)]
            if standing and self._read(target).operation in _MAY_BE_EDITED:
                line.edits[target] = standing[-1]
        line.summaries = [self._summary(line, name) for name in summaries if not self._is_skipped(line, name)]
        return line

    def _summary(self, line: _Line, name: CommitHash) -> _Summary:
        covered, leaves = self._covered_by(name)
        return _Summary(name, covered, leaves, self._read(line.edits.get(name, name)).content or "")

    def _is_skipped(self, line: _Line, commit: CommitHash) -> bool:
        of_commit = line.annotations.get(commit, [])
        return bool(of_commit) and self._read(of_commit[-1]).priority is Priority.SKIP

    def _covered_by(self, summary: CommitHash) -> tuple[frozenset[CommitHash], frozenset[CommitHash]]:
        """Returns the targets of a summary and, transitively, those of the summaries among them; and its leaves."""
        known = self._covered.get(summary)
        if known is None:
            covered: set[CommitHash] = set()
            leaves: set[CommitHash] = set()
            queue = [summary]
            for name in queue:
                commit: Commit = self._read(name)
                is_summary = commit.operation is CommitOperation.SUMMARIZE
                targets = [t for t in commit.targets if self._read(t).operation in _MAY_BE_EDITED] if is_summary else []
                if not targets:
                    leaves.add(name)
                fresh = [target for target in targets if target not in covered]
                covered.update(fresh)
                queue += fresh
            known = self._covered[summary] = frozenset(covered), frozenset(leaves)
        return known


def _conflict(kind: ConflictKind, target: CommitHash, by_position: dict[int, ConflictSide], own: int) -> Conflict:
    sides = tuple(by_position[position] for position in sorted(by_position))
    ours = by_position.get(own, sides[0])
    theirs = next((side for side in sides if side.value != ours.value), sides[-1])
    return Conflict(kind, target, ours, theirs, sides)


def describe_all(conflicts: Sequence[Conflict]) -> str:
    """Returns one sentence that names the conflicts and how to settle them."""
    shown = [conflict.describe() for conflict in conflicts[:_SHOWN_CONFLICTS]]
    if len(conflicts) > _SHOWN_CONFLICTS:
        shown.append(f"and {len(conflicts) - _SHOWN_CONFLICTS} more")
    how = (
        "settle each with a resolution ('ours', 'theirs' or a content), or all with prefer 'ours', 'theirs' or 'newer'"
    )
    return f"the lines disagree on {'; '.join(shown)}; {how}; nothing was written"
