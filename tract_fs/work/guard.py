"""The guard of a session: one call at a time, none inside another, none after the close, and all straight after an error.

The turns belong to the parts of a session, which several handles may use one after the other; each handle has a guard of
its own, which is closed with it.

An exception may end a call anywhere: Ctrl-C, a time limit, a full stack. The call is then known by its frame, which is
no longer on the stack of its thread, so the next call takes over at once, however the last one ended. No step here needs
to be the last word of another: each can be broken off, and done again.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from functools import partial
from threading import Lock, get_ident
from types import FrameType

from msgspec import Struct

from tract_fs.errors import BatchOpen, CallInsideCall, ClosedError, LockTimeout, StoreGone, TractError
from tract_fs.store.files import process
from tract_fs.work.batch import Batch, is_running
from tract_fs.work.reader import TractReader
from tract_fs.work.writer import TractWriter

_LOOK_EVERY_S = 0.05  # whether the call that is inside was broken off
_FIRST_WAIT_S = 0.00002  # for the end of a batch
_LONGEST_WAIT_S = 0.001
_monotonic = partial(time.monotonic)  # the clock itself: a wait must end where a test has frozen the module's


class Kind(Enum):
    """What a call does: reads; writes, and catches up with other writers under the store's lock; reads and then writes;
    repairs, even a store whose FORMAT is gone; belongs to a batch's own begin or end; loads facts for a result of an
    earlier call, even after the close; closes.
    """

    READ = "read"
    WRITE = "write"
    CHANGE = "change"
    REPAIR = "repair"
    BATCH = "batch"
    LOAD = "load"
    CLOSE = "close"


_ADVICE = "make the call inside its with block, or after its end; nothing was written"
_ELSEWHERE = (
    "nothing was written; in a handler set a flag, and make the call where the flag is read (in asyncio: "
    "loop.add_signal_handler)"
)


# A call that is inside: its thread, the function of this package that entered, the process.
_Call = tuple[int, FrameType, int]


class _Waiter(Struct, frozen=True):
    """A call that waits, and a held lock that is released to wake it."""

    call: _Call
    bell: Lock


class Turns:
    """Lets one call at a time use the parts of a session; a call of another thread waits for its end.

    A call is inside while `_calls` holds it under the present `_turn`. `dict.setdefault` enters it in one step that no
    signal and no thread divides. Each turn that a call left without its exit is marked None for good, and the next call
    takes the next turn.
    """

    def __init__(
        self,
        reader: TractReader,
        writer: TractWriter,
        *,
        timeout_s: float,
        restore: Callable[[FrameType | None], object],
        on_fork: Callable[[], object],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._timeout_s = timeout_s
        self._restore = restore
        self._on_fork = on_fork
        self._calls: dict[int, _Call | None] = {}
        self._turn = 0
        self._waiters: deque[_Waiter] = deque()
        self._is_restore_due = False
        self._pid = process.id
        self.on_use: Callable[[], object] | None = None  # called in each call

    def enter(self, frame: FrameType, kind: Kind, batch: Batch | None, guard: SessionGuard) -> None:
        """Begins a call of the function `frame` on a handle, and catches up with other writers; a write does that under
        the store's lock instead. `batch`: the one that the call is a step of.

        Errors: CallInsideCall, BatchOpen, LockTimeout, ClosedError.
        """
        call = (get_ident(), frame, process.id)
        if self._pid != process.id:
            self._go_on_in_child()
        deadline = 0.0
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                if self._calls.setdefault(self._turn, call) is not call:
                    deadline = deadline or _monotonic() + self._timeout_s
                    self._wait(call, deadline)
                if self._is_restore_due:
                    self._restore(None)
                    self._is_restore_due = False
                if guard.is_closed and kind is not Kind.LOAD:
                    raise ClosedError(tract_id=self._reader.log.tract)
                is_alone = self._writer.current is None
                may_pass = is_alone or self._may_pass(call, kind, batch)
                if self.on_use is not None:
                    self.on_use()
                if kind is not Kind.LOAD and (is_alone or (may_pass and not self._writer.holds_lock)):
                    reader = self._reader
                    reader.store.events.begin_call()
                    if kind is not Kind.WRITE:
                        reader.log.catch_up()
                    reader.log.list_if_due()
            except StoreGone as error:
                if kind not in (Kind.CLOSE, Kind.REPAIR):  # the one only closes files then, the other looks by itself
                    self.leave(frame, error)
                    raise
            except BaseException as error:
                self.leave(frame, error)
                raise
            if may_pass:
                return
            self.leave(frame, None)
            deadline = deadline or _monotonic() + self._timeout_s
            if _monotonic() > deadline:
                raise BatchOpen(f"another thread had a batch open for {self._timeout_s:g} s; {_ADVICE}")
            time.sleep(wait_s)
            wait_s = min(1.5 * wait_s, _LONGEST_WAIT_S)

    def leave(self, frame: FrameType, error: BaseException | None) -> None:
        """Ends the call of the function `frame`, which ended with `error`; does nothing if it is not inside."""
        if self._pid != process.id:
            self._go_on_in_child()
        turn = self._turn
        call = self._calls.get(turn)
        if call is not None and call[1] is frame:
            if error is not None and not isinstance(error, TractError):
                self._restore(frame)
            if self._waiters:
                self._pass_on(turn)
            else:
                self._calls.pop(turn, None)

    def _pass_on(self, turn: int) -> None:
        """Lets the call that has waited longest enter in place of the one that is inside."""
        try:
            waiter = self._waiters.popleft()
        except IndexError:  # it has just given up
            self._calls.pop(turn, None)
            return
        self._calls[turn] = waiter.call
        waiter.bell.release()

    def run_outside(self, work: Callable[[], object], guard: SessionGuard) -> None:
        """Runs code of the user amid a call, which ends for that time: it may call the handle, and others may, too. The
        call goes on, or ends, with nobody else inside.
        """
        call = self._calls[self._turn]
        assert call is not None
        self.leave(call[1], None)
        try:
            work()
        finally:
            self.enter(call[1], Kind.CHANGE, None, guard)

    def run_if_idle(self, work: Callable[[], object]) -> bool:
        """Runs `work` as a call of its own unless a call or a batch is under way; returns whether it did."""
        call = (get_ident(), sys._getframe(), process.id)
        if self._pid != process.id or self._calls.setdefault(self._turn, call) is not call:
            return False
        error: BaseException | None = None
        try:
            is_idle = self._writer.current is None and not self._is_restore_due
            if is_idle:
                work()
            return is_idle
        except BaseException as raised:
            error = raised
            raise
        finally:
            self.leave(call[1], error)

    def drop(self, batch: Batch) -> None:
        """Forgets what a batch holds; a call of the handle that opened it is inside."""
        self._writer.drop_batch(batch)

    def _wait(self, call: _Call, deadline: float) -> None:
        """Waits until the call that is inside has ended, and enters. First come, first served."""
        bell = Lock()
        bell.acquire()
        waiter = _Waiter(call, bell)
        self._waiters.append(waiter)
        try:
            while True:
                turn = self._turn
                holder = self._calls.setdefault(turn, call)
                if holder is call:
                    return
                if holder is None or _is_over(holder):
                    self._take_over(turn)
                elif holder[0] == call[0]:
                    raise CallInsideCall(
                        f"a call on tract {self._reader.log.tract!r} from inside another call of the same handle, as from "
                        f"a signal handler, a finalizer or a callback; {_ELSEWHERE}"
                    )
                elif _monotonic() > deadline:
                    raise LockTimeout(
                        f"another thread was inside a call of this handle for {self._timeout_s:g} s; nothing was written; "
                        "try again, or raise lock_timeout_s",
                        timeout_s=self._timeout_s,
                    )
                else:
                    bell.acquire(timeout=_LOOK_EVERY_S)
        finally:
            with suppress(ValueError):  # it is gone from there if the call was let in
                self._waiters.remove(waiter)

    def _take_over(self, turn: int) -> None:
        """Ends a turn whose call was broken off."""
        self._is_restore_due = True
        self._calls[turn] = None
        if self._turn == turn:
            self._turn = turn + 1

    def _may_pass(self, call: _Call, kind: Kind, step_of: Batch | None) -> bool:
        """Returns whether a call may go on beside the open batch; shows it what the batch holds, if it is inside.

        Errors: BatchOpen where waiting can't help.
        """
        writer = self._writer
        batch = writer.current
        assert batch is not None
        is_own_step = step_of is not None and batch in (step_of, step_of.outer)
        is_inside = is_own_step or batch.is_around(call[1])
        if not is_inside:
            batch.forget_opener()
        if batch.is_dropped and step_of is not batch:
            writer.drop_batch(batch)
            return True
        if kind is Kind.CLOSE and (is_inside or batch.thread == call[0]):
            writer.drop_batch(batch)
            return True
        writer.meet_batch(is_inside=is_inside)
        if is_inside or kind in (Kind.READ, Kind.LOAD):
            return True
        if batch.thread == call[0]:
            raise BatchOpen(f"another task, generator or function of this thread has a batch open; {_ADVICE}")
        return False

    def _go_on_in_child(self) -> None:
        """Drops in a forked child what belongs to the parent. Calls of other threads are gone, and found broken off."""
        self._pid = process.id
        self._on_fork()


def _is_over(call: _Call) -> bool:
    """Returns whether a call was broken off: its function has ended, or its thread stayed behind in the parent of a fork."""
    thread, frame, pid = call
    return (pid != process.id and thread != get_ident()) or not is_running(thread, frame)


class SessionGuard:
    """Each call on a handle runs inside `reading`, `writing` or `changing`.

    States: open; closed, after which only `loading` enters.
    """

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.is_closed = False
        self.reading = _Context(self, Kind.READ)
        self.writing = _Context(self, Kind.WRITE)
        self.changing = _Context(self, Kind.CHANGE)
        self.repairing = _Context(self, Kind.REPAIR)
        self.loading = _Context(self, Kind.LOAD)

    def of_batch(self, batch: Batch) -> _Context:
        """Returns the context of a step of a batch itself."""
        return _Context(self, Kind.BATCH, batch)

    def run_outside(self, work: Callable[[], object]) -> None:
        """Runs code of the user amid a call of this handle; see `Turns.run_outside`."""
        self.turns.run_outside(work, self)

    def drop(self, batch: Batch) -> None:
        """Ends a batch, and forgets what it holds if it is not over; where a call is under way, the next call does it."""
        batch.is_dropped = True
        if batch.is_over:
            return
        try:
            with self.of_batch(batch):
                self.turns.drop(batch)
        except (CallInsideCall, LockTimeout, ClosedError):
            if batch.outer is not None:
                batch.outer.is_cut_off = True

    def close(self) -> bool:
        """Refuses further calls, once those under way and a batch of another thread are done. Returns False if the
        handle was closed before.
        """
        with self.loading if self.is_closed else _Context(self, Kind.CLOSE):
            was_open, self.is_closed = not self.is_closed, True
            return was_open


class _Context:
    """A call as a context; those without a batch serve all calls."""

    def __init__(self, guard: SessionGuard, kind: Kind, batch: Batch | None = None) -> None:
        self._guard = guard
        self._turns = guard.turns
        self._kind = kind
        self._batch = batch

    def __enter__(self) -> None:
        self._turns.enter(sys._getframe(1), self._kind, self._batch, self._guard)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._turns.leave(sys._getframe(1), error)
