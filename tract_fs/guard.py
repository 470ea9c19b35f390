"""The guard of a handle: one thread at a time, none after the close, none with what belongs to the parent of a fork."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock, get_ident

from tract_fs.errors import ClosedError
from tract_fs.store.files import process
from tract_fs.work.reader import TractReader


class HandleGuard:
    """Each call on a handle runs inside `reading` or `writing`; both nest within a thread, and others wait."""

    def __init__(self, reader: TractReader, on_fork: Callable[[], None]) -> None:
        self._reader = reader
        self._on_fork = on_fork
        self._lock = RLock()
        self._depth = 0  # how often the thread that has the handle has it
        self._owner = 0
        self._pid = process.id
        self.is_closed = False
        self.reading = _Entered(self, is_writing=False)
        self.writing = _Entered(self, is_writing=True)
        self.loading = _Loading(self)

    def hold(self) -> None:
        """Takes the handle for this thread."""
        if self._pid != process.id:
            self._forget_parent()
        self._lock.acquire()
        self._depth += 1
        self._owner = get_ident()

    def acquire(self, *, is_writing: bool) -> None:
        """Takes the handle for this thread, caught up with other writers (one that writes does so under the store's lock)."""
        self.hold()
        try:
            if self.is_closed:
                raise ClosedError(tract_id=self._reader.log.tract)
            self._reader.store.events.begin_call()
            if self._reader.transaction is None:
                if not is_writing:
                    self._reader.log.catch_up()
                self._reader.log.list_if_due()
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Gives the handle back."""
        if self._pid != process.id:
            self._forget_parent()
        self._depth -= 1
        self._lock.release()

    def _forget_parent(self) -> None:
        """Starts over in a forked child: other threads' calls are gone, those of the thread that forked go on."""
        self._pid = process.id
        self._lock = RLock()
        self._depth = self._depth if self._owner == get_ident() else 0
        for _ in range(self._depth):
            self._lock.acquire()
        self._on_fork()

    def close(self) -> bool:
        """Lets no further call in, once those under way are done; False if it was closed before."""
        with self.loading:
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


class _Loading:
    """The handle for one thread, open or closed: what a query found is read from the store when it is looked at."""

    def __init__(self, guard: HandleGuard) -> None:
        self._guard = guard

    def __enter__(self) -> None:
        self._guard.hold()

    def __exit__(self, *_: object) -> None:
        self._guard.release()
