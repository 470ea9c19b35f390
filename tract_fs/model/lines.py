"""Lines: what the moves of a branch show of the history of its head, so that an old commit is found there without a walk.

A move that goes forward contains the heads that it replaces (FORMAT.md, section 6). So all that a branch's moves brought
since its last bend is in the history of its head, if the branch has one move that nothing replaces. Along moves each of
which replaced all that there was, the earlier ones are also in the history of each later one. Nothing here walks a
history: what the lines do not show is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

from msgspec import Struct, field

from tract_fs.model.events import Append, BranchOp, Create, Delete, Merge, Move, Reset
from tract_fs.model.names import CommitHash, EventHash
from tract_fs.model.objects import Commit

_MOST_KEPT = 32  # bends, and inlets, per branch: the newest
_MOST_STEPS = 64
_NOT_FORWARD = (Create, Reset)


class Turn(Struct, frozen=True, array_like=True, gc=False):
    """A move at which a line took up a commit that its moves did not bring; None for a delete."""

    at: str
    commit: CommitHash | None


class Line(Struct):
    """What the moves of one branch show.

    `bends` are the moves that did not go forward, or brought commits that are not in one line; the first is the time from
    which on all are known. `inlets` are commits of other lines that moves forward contain. After `forked_at`, each move
    replaced all that there was.
    """

    bends: list[Turn] = field(default_factory=lambda: [Turn("", None)])
    inlets: list[Turn] = []
    forked_at: str = ""

    def note(self, at: str, op: BranchOp, before: Iterable[EventHash], read: Callable[[CommitHash], Commit]) -> None:
        """Adds a visible move; `before` are the moves of the branch that nothing had replaced. Cost: nothing for one commit."""
        standing = set(before)
        if len(standing) > 1 or not standing.issubset(op.replaces):
            self.forked_at = max(self.forked_at, at)
        if isinstance(op, Delete):
            _add(self.bends, Turn(at, None))
        elif isinstance(op, _NOT_FORWARD) or not _is_chain(op, read):
            _add(self.bends, Turn(at, op.head))
        elif not isinstance(op, Append):
            for commit in _inlets(op, read):
                _add(self.inlets, Turn(at, commit))

    def start_of(self, at: str) -> Turn | None:
        """Returns the bend before a move; None if it is not known, or the move is a bend itself."""
        earlier = [bend for bend in self.bends if bend.at < at]
        is_bend = any(bend.at == at for bend in self.bends)
        return None if is_bend or not earlier else earlier[-1]

    @property
    def straight_since(self) -> str:
        """The time after which all that the branch's moves brought is one line of commits."""
        turns = (self.bends[-1].at, *(turn.at for turn in self.inlets))
        return max(self.forked_at, *turns)


class BringingMove(Struct, frozen=True):
    """A visible move that brought a commit, and the line of its branch; None if that is not known."""

    event: EventHash
    at: str
    op: Move
    line: Line | None


def shows(
    target: CommitHash, head: CommitHash, line: Line | None, moves_of: Callable[[CommitHash], list[BringingMove]]
) -> bool:
    """Returns whether lines show that `target` is in the history of `head`; False: it is unknown.

    `line` is that of the branch whose only move that nothing replaces set `head`; None if there is none. `moves_of` returns
    the moves that brought a commit. Cost: a few calls of `moves_of`, whatever the length of the history.
    """
    wanted = moves_of(target)
    queue: list[CommitHash | None] = [head]
    if line is not None:
        bend = line.bends[-1]
        if any(move.line is line and move.at > bend.at for move in wanted):
            return True
        queue = _sources(line, bend, None)
    if not wanted:
        return target in queue
    seen: set[CommitHash | None] = {None}
    for commit in queue:
        if commit == target:
            return True
        if commit is None or commit in seen or len(seen) > _MOST_STEPS:
            continue
        seen.add(commit)
        for move in moves_of(commit):
            other = move.line
            start = None if other is None or move.at <= other.forked_at else other.start_of(move.at)
            if other is None or start is None:
                continue
            since = max(start.at, other.forked_at)
            if any(_is_before(target, one, commit, move, since) for one in wanted):
                return True
            if other.forked_at <= start.at:
                queue += _sources(other, start, move.at)
            else:
                queue += [turn.commit for turn in other.inlets if since < turn.at < move.at]
    return False


def _is_before(target: CommitHash, one: BringingMove, commit: CommitHash, move: BringingMove, since: str) -> bool:
    """Returns whether `target`, which `one` brought, is before `commit`, which `move` brought, in a line since a time."""
    if one.line is not move.line or one.at <= since:
        return False
    if one.event != move.event:
        return one.at < move.at
    names = [entry.commit for entry in move.op.commits]
    return names.index(target) < names.index(commit)


def _sources(line: Line, bend: Turn, before: str | None) -> list[CommitHash | None]:
    """Returns the commits of other lines that a line contains from a bend on, and before a time."""
    inlets = [turn for turn in line.inlets if turn.at > bend.at and (before is None or turn.at < before)]
    return [bend.commit, *(turn.commit for turn in reversed(inlets))]


def _add(turns: list[Turn], turn: Turn) -> None:
    turns.append(turn)
    turns.sort(key=lambda one: one.at)
    del turns[:-_MOST_KEPT]


def _is_chain(op: Move, read: Callable[[CommitHash], Commit]) -> bool:
    """Returns whether the commits that a move brings are a line that ends in its head, each a parent of the next."""
    commits = op.commits
    if len(commits) < 2:
        return not commits or commits[0].commit == op.head
    names = [entry.commit for entry in commits]
    return names[-1] == op.head and all(before in read(name).parents for before, name in pairwise(names))


def _inlets(op: Move, read: Callable[[CommitHash], Commit]) -> list[CommitHash]:
    """Returns the commits by which a merge or a forward move enters other histories."""
    if not isinstance(op, Merge):
        return [op.head]
    brought = {entry.commit for entry in op.commits}
    parents = [commit.parents for commit in map(read, brought) if len(commit.parents) > 1]
    return sorted({parent for several in parents for parent in several if parent not in brought})
