"""The guard of a handle: one thread at a time, none after the close, none with what belongs to the parent of a fork."""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import RLock

from tract_fs.errors import ClosedError
from tract_fs.reading import TractReader


class HandleGuard:
    """Each call on a handle runs inside `reading` or `writing`; both nest within a thread, and others wait."""

    def __init__(self, reader: TractReader, on_fork: Callable[[], None]) -> None:
        self._reader = reader
        self._on_fork = on_fork
        self._lock = RLock()
        self._pid = os.getpid()
        self.is_closed = False
        self.reading = _Entered(self, is_writing=False)
        self.writing = _Entered(self, is_writing=True)

    def acquire(self, *, is_writing: bool) -> None:
        """Takes the handle for this thread, caught up with other writers (one that writes does so under the store's lock)."""
        if self._pid != os.getpid():
            self._lock = RLock()
            self._pid = os.getpid()
            self._on_fork()
        self._lock.acquire()
        try:
            if self.is_closed:
                raise ClosedError(tract_id=self._reader.log.tract)
            if self._reader.transaction is None:
                if not is_writing:
                    self._reader.log.catch_up()
                self._reader.log.list_if_due()
        except BaseException:
            self._lock.release()
            raise

    def release(self) -> None:
        """Gives the handle back."""
        self._lock.release()

    def close(self) -> bool:
        """Lets no further call in, once those under way are done; False if it was closed before."""
        with self._lock:
            was_open, self.is_closed = not self.is_closed, True
            return was_open


class _Entered:
    """A call as a context; one object serves all, since the lock counts."""

    def __init__(self, guard: HandleGuard, *, is_writing: bool) -> None:
        self._guard = guard
        self._is_writing = is_writing

    def __enter__(self) -> None:
        self._guard.acquire(is_writing=self._is_writing)

    def __exit__(self, *_: object) -> None:
        self._guard.release()
