"""`tract log --oneline` and `--graph`: one line per commit, with the branches and tags that name it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from itertools import islice

import click
from msgspec import Struct

from tract_fs import CommitInfo, Tract
from tract_fs.cli.display import commit_text, require_commit, size_of, what
from tract_fs.cli.graph import children_first, draw
from tract_fs.cli.output import inline, one_line, some, styled
from tract_fs.errors import AmbiguousRefError, CommitNotFoundError

_CUT_AT = 80  # characters of a text
_NARROWEST = 20
_DIGITS = 8  # of a hash; more where another commit has the same ones
_COLOURS = ("red", "green", "yellow", "blue", "magenta", "cyan")


class Graph(Struct, frozen=True):
    """Commits by name, in the order to draw them."""

    order: list[str]
    infos: dict[str, CommitInfo]

    @property
    def parents(self) -> dict[str, tuple[str, ...]]:
        """The parents of each commit."""
        return {name: info.parents for name, info in self.infos.items()}


def read_graph(t: Tract, *, start: str | None, is_all_branches: bool) -> Graph:
    """Returns the histories of all heads of the branch, of all branches, or that of the ref `start`.

    Errors: DamageError, CommitNotFoundError, AmbiguousRefError.
    """
    branches = t.branches()
    own = ((t.head,) if t.head else ()) + branches.get(str(t.branch), ()) if start is None else (t.resolve(start),)
    others = [head for heads in branches.values() for head in heads] if is_all_branches else []
    heads = list(dict.fromkeys([*own, *others]))
    infos: dict[str, CommitInfo] = {}
    stack = list(heads)
    while stack:
        name = stack.pop()
        if name not in infos:
            infos[name] = require_commit(t, name)
            stack += infos[name].parents
    order = children_first(heads, {name: info.parents for name, info in infos.items()})
    return Graph(order, infos)


def graph_document(graph: Graph, limit: int | None) -> list[dict[str, object]]:
    """Returns the commits of a graph for JSON output, in the order to draw them."""
    return [graph.infos[name].to_dict() for name in islice(graph.order, limit)]


def show_graph(t: Tract, graph: Graph, limit: int | None, *, is_oneline: bool, is_stat: bool) -> None:
    """Prints a graph, one line per commit; the columns get colours in turn."""
    lines = _Lines(t, is_oneline=is_oneline, is_stat=is_stat)
    left = len(graph.order) if limit is None else limit
    for drawing, name in draw(graph.order, graph.parents):
        if name is not None:
            if left == 0:
                break
            left -= 1
        shown = "".join(_strand(char, place) for place, char in enumerate(drawing))
        click.echo(shown if name is None else f"{shown} {lines.line(graph.infos[name], indent=len(drawing) + 1)}")
    lines.show_sum()


def show_lines(t: Tract, infos: Sequence[CommitInfo], *, is_stat: bool) -> None:
    """Prints commits, one short line each."""
    lines = _Lines(t, is_oneline=True, is_stat=is_stat)
    for info in infos:
        click.echo(lines.line(info))
    lines.show_sum()


def show_patches(t: Tract, infos: Sequence[CommitInfo]) -> None:
    """Prints commits, each with what it changed in the context of its first parent."""
    from tract_fs.cli.diff_commands import show_entries

    names = ref_names(t)
    for number, info in enumerate(infos):
        if number:
            click.echo()
        known = f" ({', '.join(some(names[info.commit_hash]))})" if info.commit_hash in names else ""
        click.echo(styled(f"commit {info.commit_hash}", fg="yellow") + styled(known, fg="green"))
        about = [
            f"{info.created_at:%Y-%m-%d %H:%M} UTC",
            what(info),
            "" if info.message is None else one_line(info.message),
        ]
        click.echo("  ".join(filter(None, about)))
        if info.priority is not None:
            click.echo(one_line(commit_text(t, info)))
        click.echo()
        made = t.diff(None, info.commit_hash)
        show_entries(made)
        if made.is_empty:
            click.echo("it changes no message")


def _strand(char: str, place: int) -> str:
    return char if char in " *" else styled(char, fg=_COLOURS[(place + (char == "/")) // 2 % len(_COLOURS)])


class _Lines:
    """Makes the line of each commit, and sums what was shown."""

    def __init__(self, t: Tract, *, is_oneline: bool, is_stat: bool) -> None:
        self._t = t
        self._is_oneline = is_oneline
        self._is_stat = is_stat
        self._names = ref_names(t)
        self._columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        self._count = self._tokens = 0

    def line(self, info: CommitInfo, *, indent: int = 0) -> str:
        """Returns the line of a commit: nothing in it is obeyed by a terminal, on which it fits if it stands at `indent`."""
        self._count += 1
        self._tokens += info.token_count or 0
        words = [styled(_short(self._t, info.commit_hash), fg="yellow")]
        if info.commit_hash in self._names:
            words.append(styled(f"({', '.join(some(self._names[info.commit_hash]))})", fg="green"))
        if not self._is_oneline:
            words.append(styled(f"{info.created_at:%Y-%m-%d %H:%M}", dim=True))
            words.append(what(info))
        if self._is_stat:
            tokens = "?" if info.token_count is None else f"{info.token_count:,}"
            words.append(styled(f"[{tokens} tokens, {size_of(self._t, info)} bytes]", fg="cyan"))
        shown = " ".join(filter(None, words))
        width = (
            _CUT_AT
            if self._columns is None
            else max(_NARROWEST, self._columns - len(click.unstyle(shown)) - indent - 1)
        )
        return f"{shown} {one_line(commit_text(self._t, info), width=width)}"

    def show_sum(self) -> None:
        """Prints how many commits were shown, and their tokens."""
        if self._is_stat:
            click.echo(f"{self._count:,} commit{'s' * (self._count != 1)}, {self._tokens:,} tokens")


def ref_names(t: Tract) -> dict[str, list[str]]:
    """Returns what names each commit: the handle's head, heads of branches, tags."""
    found: dict[str, list[str]] = {}
    branches = t.branches().items()
    for name, heads in sorted(branches, key=lambda branch: branch[0] != t.branch):  # its own first
        for place, head in enumerate(heads):
            note = "@ -> " if head == t.head and name == t.branch else ""
            found.setdefault(head, []).append(f"{note}{inline(name)}{', another head' if place else ''}")
    for name, target in t.tags().items():
        found.setdefault(target, []).append(f"tag: {inline(name)}")
    return found


def _short(t: Tract, name: str) -> str:
    """Returns the first digits of a hash, as many as name this commit alone."""
    for digits in range(_DIGITS, len(name), 4):
        try:
            if t.resolve(name[:digits]) == name:  # a branch may have such a name
                return name[:digits]
        except AmbiguousRefError:
            continue
        except CommitNotFoundError:
            break
    return name
