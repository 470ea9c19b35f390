"""The reflog: the moves of a branch that this copy made, read from its arrivals and their events.

It belongs to this copy: a copied store has a reflog of its own, and without arrivals there is none. Nothing here
writes. A move is an undo if it replaces one move and another that this one replaced: no other move lists what is
replaced already (FORMAT.md, section 6).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from tract_fs.model.events import BranchOp, Delete, Move, Reset
from tract_fs.model.info import ReflogEntry
from tract_fs.model.names import CommitHash, EventHash, parse_time, to_datetime
from tract_fs.model.view import MoveState, View
from tract_fs.store.tract_log import TractLog
from tract_fs.work.reader import TractReader


class OwnMove(Struct, frozen=True):
    """One move of a branch by this copy; `writer` is the label of the handle, empty for a join of heads."""

    event: EventHash
    at: str
    op: BranchOp
    writer: str
    is_undo: bool

    @property
    def head(self) -> CommitHash | None:
        """The head that it set; None for a delete."""
        return self.op.head if isinstance(self.op, Move) else None

    @property
    def kind(self) -> str:
        """The kind of the move, or `undo`."""
        return "undo" if self.is_undo else str(self.op.__struct_config__.tag)


class Undoable(Struct, frozen=True):
    """What an undo would take back: `move`, in effect since `last`, the newest move. `old_head`: before `move`."""

    last: OwnMove
    move: OwnMove
    old_head: CommitHash | None


def iter_reflog(reader: TractReader) -> Iterator[ReflogEntry]:
    """Yields this copy's moves of the reader's branch, newest first. Cost: reads all arrivals, then an event per move."""
    moves = _iter_own_moves(reader.log, reader.branch)
    move = next(moves, None)
    while move is not None:
        before = next(moves, None)
        yield _entry(reader, move, before)
        move = before


def find_undoable(reader: TractReader) -> Undoable | None:
    """Returns the newest of this copy's moves that no undo took back; None if there is none.

    Cost: reads arrivals back to it, and an event per move.
    """
    moves = _iter_own_moves(reader.log, reader.branch)
    last: OwnMove | None = None
    taken_back = 0  # by the undos met so far, and not met yet
    for move in moves:
        last = last or move
        if move.is_undo:
            taken_back += 1
        elif taken_back:
            taken_back -= 1
        else:
            return Undoable(last, move, _old_head(reader.log, move.op, next(moves, None)))
    return None


def undo_mark(log: TractLog, branch: str, replaced: Sequence[EventHash]) -> list[EventHash]:
    """Returns what marks a move that replaces these as an undo: an event that one of them replaced."""
    return [name for event in replaced for name in _replaced_by(log, branch, event)][:1]


def _replaced_by(log: TractLog, branch: str, name: EventHash) -> tuple[EventHash, ...]:
    event = log.event(log.tract, name)
    ops = () if event is None else event.branch_ops()
    return next((op.replaces for op in ops if op.branch == branch), ())


def _replaced_before(log: TractLog, op: BranchOp) -> set[EventHash]:
    """Returns those of the events that a move replaces which another of these had replaced already."""
    if len(op.replaces) < 2:
        return set()
    return {name for event in op.replaces for name in _replaced_by(log, op.branch, event)} & set(op.replaces)


def _iter_own_moves(log: TractLog, branch: str) -> Iterator[OwnMove]:
    for name in log.iter_own_events(branch):
        event = log.event(log.tract, name) if log.is_visible(log.tract, name) else None
        for op in () if event is None else event.branch_ops():
            if event is not None and op.branch == branch:
                yield OwnMove(name, event.at, op, event.writer, bool(_replaced_before(log, op)))


def _entry(reader: TractReader, move: OwnMove, before: OwnMove | None) -> ReflogEntry:
    op, head = move.op, move.head
    is_brought = isinstance(op, Move) and any(entry.commit == op.head for entry in op.commits)
    return ReflogEntry(
        at=to_datetime(parse_time(move.at)),
        kind=move.kind,
        old_head=_old_head(reader.log, op, before),
        head=head,
        event=move.event,
        message=reader.commit(head).message if head is not None and is_brought else None,
    )


def _old_head(log: TractLog, op: BranchOp, before: OwnMove | None) -> CommitHash | None:
    """Returns the head that this copy worked on among the moves that `op` replaces."""
    moves: dict[EventHash, MoveState] = {}
    for name in set(op.replaces) - _replaced_before(log, op):
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
