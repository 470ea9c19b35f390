"""The reflog: the moves of a branch that this copy made, read from its arrivals and their events.

It belongs to this copy: a copied store has a reflog of its own, and without arrivals there is none. Nothing here
writes.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from tract_fs.model.events import BranchOp, Delete, Move, Reset
from tract_fs.model.info import ReflogEntry
from tract_fs.model.names import CommitHash, EventHash, parse_time, to_datetime
from tract_fs.model.view import MoveState, View
from tract_fs.store.tract_log import TractLog
from tract_fs.work.reader import TractReader


class OwnMove(Struct, frozen=True):
    """One move of a branch by this copy."""

    event: EventHash
    at: str
    op: BranchOp


def iter_reflog(reader: TractReader) -> Iterator[ReflogEntry]:
    """Yields this copy's moves of the reader's branch, newest first. Cost: reads all arrivals, then an event per move."""
    moves = _iter_own_moves(reader.log, reader.branch)
    move = next(moves, None)
    while move is not None:
        before = next(moves, None)
        yield _entry(reader, move, before)
        move = before


def _iter_own_moves(log: TractLog, branch: str) -> Iterator[OwnMove]:
    for name in log.iter_own_events(branch):
        event = log.event(log.tract, name) if log.is_visible(log.tract, name) else None
        for op in () if event is None else event.branch_ops():
            if event is not None and op.branch == branch:
                yield OwnMove(name, event.at, op)


def _entry(reader: TractReader, move: OwnMove, before: OwnMove | None) -> ReflogEntry:
    op = move.op
    head = op.head if isinstance(op, Move) else None
    is_brought = isinstance(op, Move) and any(entry.commit == op.head for entry in op.commits)
    return ReflogEntry(
        at=to_datetime(parse_time(move.at)),
        kind=str(op.__struct_config__.tag),
        old_head=_old_head(reader.log, op, before),
        head=head,
        event=move.event,
        message=reader.commit(head).message if head is not None and is_brought else None,
    )


def _old_head(log: TractLog, op: BranchOp, before: OwnMove | None) -> CommitHash | None:
    """Returns the head that this copy worked on among the moves that `op` replaces."""
    moves: dict[EventHash, MoveState] = {}
    for name in op.replaces:
        event = log.event(log.tract, name)
        for old in () if event is None else event.branch_ops():
            if event is not None and old.branch == op.branch:
                head = None if isinstance(old, Delete) else old.head
                moves[name] = MoveState(event.at, head, isinstance(old, Reset))
    view = View(log.tract, branches={op.branch: moves})
    if before is not None:
        view.note_own(op.branch, before.event, before.at)
    own = view.own_head(op.branch, log)
    return None if own is None else own.commit
