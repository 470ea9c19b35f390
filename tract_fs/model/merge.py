"""Merges: how histories are joined, and the commit and time of a join, which every copy makes alike.

A join of a branch's heads without conflicts, or with prefer="newer", is a function of the heads' commits and the
branch's moves alone: its parents are ordered by (`created_at`, hash), not "mine first", or two copies that join at the
same time would never converge. Format: FORMAT.md, sections 6 and 7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from tract_fs.errors import ResetConflict
from tract_fs.model.events import BranchOp, Reset
from tract_fs.model.history import ReadCommit
from tract_fs.model.names import CommitHash, EventHash, format_time, parse_time
from tract_fs.model.objects import Commit, CommitOperation
from tract_fs.model.reach import Reach
from tract_fs.model.view import MoveState

MergeKind = Literal["up-to-date", "forward", "merge", "reset"]
IsSettled = Callable[[CommitHash, CommitHash], bool]  # of a head that was reset and one that contains it


class MergePlan(Struct, frozen=True):
    """What a merge will do: move the branch to the one head in `reach`, or make a merge commit of several."""

    kind: MergeKind
    reach: Reach

    @property
    def parents(self) -> tuple[CommitHash, ...]:
        """The heads that are joined, the first parent first."""
        return self.reach.heads


def plan_merge(own: CommitHash | None, other: CommitHash, read: ReadCommit) -> MergePlan:
    """Returns how `other` is merged into the line of `own` (None: a branch without commits)."""
    if own is None:
        return MergePlan("forward", Reach([other], read))
    reach = Reach([own, other], read)
    if reach.is_below(1, 0):
        return MergePlan("up-to-date", Reach([own], read))
    if reach.is_below(0, 1):
        return MergePlan("forward", Reach([other], read))
    return MergePlan("merge", reach)


def plan_join(
    branch: str,
    heads: Sequence[CommitHash],
    read: ReadCommit,
    *,
    prefer: Literal["reset", "commits"] | None,
    is_settled: IsSettled = lambda low, high: False,
) -> MergePlan:
    """Returns how the heads of one branch are joined into one.

    A head that another one contains was set by a reset, else it would be hidden. It is left out where `is_settled`.
    Errors: ResetConflict if there is another such head and `prefer` is None.
    """
    ordered = sorted(heads, key=lambda head: (read(head).created_at, head), reverse=True)
    reach = Reach(ordered, read)
    pairs = _contained(reach)
    settled = {low for low, high in pairs if is_settled(ordered[low], ordered[high])}
    if settled:
        ordered = [head for place, head in enumerate(ordered) if place not in settled]
        reach = Reach(ordered, read)
        pairs = _contained(reach)
    if not pairs:
        alone: MergeKind = "forward" if settled else "up-to-date"
        return MergePlan("merge" if len(ordered) > 1 else alone, reach)
    if prefer is None:
        backward = tuple(dict.fromkeys(ordered[low] for low, _ in pairs))
        forward = tuple(dict.fromkeys(ordered[high] for _, high in pairs))
        raise ResetConflict(
            branch=branch, reset=backward, commits=forward, shown=_shown(backward), containing=_shown(forward)
        )
    dropped = {high if prefer == "reset" else low for low, high in pairs}
    kept = Reach([head for place, head in enumerate(ordered) if place not in dropped], read)
    if prefer == "reset":
        return MergePlan("reset", kept)
    return MergePlan("merge" if len(kept.heads) > 1 else "forward", kept)


def _contained(reach: Reach) -> list[tuple[int, int]]:
    """Returns the positions of the heads that another one contains, each with that of the other."""
    places = range(len(reach.heads))
    return [(low, high) for low in places for high in places if low != high and reach.is_below(low, high)]


def settled_resets(moves: Mapping[EventHash, MoveState], op_of: Callable[[EventHash], BranchOp | None]) -> IsSettled:
    """Returns the rule by which merges that chose differently between one reset and its commits are settled.

    The commits stay where each of the resets to `low` and a move to `high` replaced the same reset to `low`.
    `moves` are those of the branch that are not replaced, and `op_of` returns an event's operation on the branch.
    """

    def replaced(name: EventHash, low: CommitHash) -> set[EventHash]:
        move = op_of(name)
        before = {} if move is None else {event: op_of(event) for event in move.replaces}
        resets = {event for event, op in before.items() if isinstance(op, Reset) and op.head == low}
        undone = {event for op in before.values() if op is not None for event in op.replaces}
        return resets - undone  # what an undo lists beside is replaced already

    def is_settled(low: CommitHash, high: CommitHash) -> bool:
        resets = [replaced(name, low) for name, move in moves.items() if move.head == low and move.is_reset]
        others = [replaced(name, low) for name, move in moves.items() if move.head == high]
        return bool(resets) and all(any(reset & other for other in others) for reset in resets)

    return is_settled


def join_commit(parents: Sequence[CommitHash], read: ReadCommit) -> Commit:
    """Returns the merge commit that every copy makes of these parents."""
    newest = max(read(parent).created_us for parent in parents)
    return Commit(operation=CommitOperation.MERGE, parents=tuple(parents), created_at=format_time(newest + 1))


def join_time_us(moves: Iterable[MoveState], commit: Commit | None) -> int:
    """Returns the time of the event that joins these moves of a branch; `commit` is the merge commit, if any."""
    at_us = 1 + parse_time(max(move.at for move in moves))
    return at_us if commit is None else max(at_us, commit.created_us)  # a peer's move may be older than its head


def _shown(names: Sequence[str]) -> str:
    return ", ".join(name[:12] for name in names)
