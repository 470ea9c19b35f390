"""Open batches: what one gathers, and which calls are inside it.

A batch belongs to the block of code that opened it: a call is inside it while the function that entered the batch is
running and led to the call. So a call of another thread, of another task of an event loop, and of code that runs while a
generator with an open batch is suspended, is outside, and never joins.
"""

from __future__ import annotations

import inspect
import sys
from threading import get_ident
from types import FrameType

from tract_fs.store.transaction import Mark, Transaction

_ENTERING = frozenset(["__enter__", "__aenter__"])
_GENERATORS = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_SUSPENDED = _GENERATORS | inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE  # may go on though they don't run now


class Batch:
    """One open batch.

    States: open, from `TractWriter.open_batch` on; writing, once it has a transaction, and with it the store's lock; cut
    off, where an error left its transaction half changed, so that its end refuses to write; dropped, when its block was
    left and its writes are to be forgotten, which the next call does if that one can't; over.
    """

    def __init__(self, opener: FrameType | None = None, *, is_of_call: bool = False) -> None:
        """`opener`: the function that entered the batch; `is_of_call`: it is part of the running call, which ends it too."""
        self.is_of_call = is_of_call
        self._opener = opener
        self.thread = get_ident()
        self.outer: Batch | None = None  # the batch that this one joined
        self.transaction: Transaction | None = None  # of the outermost batch, from its first write on
        self.start: Mark | None = None  # of the transaction, before the first write inside
        self.is_cut_off = False
        self.is_dropped = False
        self.is_over = False

    def is_around(self, frame: FrameType | None) -> bool:
        """Returns whether a function of this thread, given by its frame, was called by the function that entered the
        batch. All calls of the thread are inside the batch of a call: they are made by a callback of it.
        """
        if self.is_of_call:
            return self.thread == get_ident()
        return self._opener is not None and is_below(frame, self._opener)

    def ends_with(self, frame: FrameType | None) -> bool:
        """Returns whether a batch of a call is over with the call of the function `frame`, which an error ended; False
        where that one was made by a callback, or by another thread meanwhile.
        """
        opener = self._opener
        return self.is_of_call and (opener is None or opener is frame or not is_running(self.thread, opener))

    def forget_opener(self) -> None:
        """Forgets the function that entered the batch, if that has ended: its variables may be all that keeps the batch
        open.
        """
        opener = self._opener
        if opener is not None and not opener.f_code.co_flags & _SUSPENDED and not is_running(self.thread, opener):
            self._opener = None


def is_below(frame: FrameType | None, other: FrameType) -> bool:
    """Returns whether `other` is `frame` or one of its callers."""
    while frame is not None and frame is not other:
        frame = frame.f_back
    return frame is not None


def is_running(thread: int, frame: FrameType) -> bool:
    """Returns whether a function that is no generator or coroutine is still running in a thread of this process.

    A frame of another thread answers itself: `clear` refuses one that runs, and empties one that has ended.
    `sys._current_frames` is no choice: before Python 3.12.2, all threads may stop for good in it, where the garbage
    collection that it causes runs Python code.
    """
    if thread == get_ident():
        return is_below(sys._getframe(), frame)
    try:
        frame.clear()
    except RuntimeError:
        return True
    return False


def find_opener() -> FrameType | None:
    """Returns the function that enters a context manager just now: the nearest caller that is no part of one."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_part_of_a_manager(frame):
        frame = frame.f_back
    return frame


def _is_part_of_a_manager(frame: FrameType) -> bool:
    if frame.f_globals.get("__name__") == "contextlib" or frame.f_code.co_name in _ENTERING:
        return True
    caller = frame.f_back
    is_generator = bool(frame.f_code.co_flags & _GENERATORS)
    return is_generator and caller is not None and caller.f_globals.get("__name__") == "contextlib"
