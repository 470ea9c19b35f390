"""The guard of a session: one thread at a time, no call after the close, and a fresh start in a forked child."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock, get_ident

from tract_fs.errors import ClosedError
from tract_fs.store.files import process
from tract_fs.work.reader import TractReader


class SessionGuard:
    """Each call on a tract runs inside `reading` or `writing`; both nest within a thread, and other threads wait."""

    def __init__(self, reader: TractReader, on_fork: Callable[[], None]) -> None:
        self._reader = reader
        self._on_fork = on_fork
        self._lock = RLock()
        self._depth = 0  # how often the owner has entered
        self._owner = 0  # the thread that is inside, or was last
        self._pid = process.id
        self.is_closed = False
        self.reading = _Call(self, is_writing=False)
        self.writing = _Call(self, is_writing=True)
        self.loading = _Load(self)

    def hold(self) -> None:
        """Acquires the session for this thread."""
        if self._pid != process.id:
            self._restart_in_child()
        self._lock.acquire()
        self._depth += 1
        self._owner = get_ident()

    def begin_call(self, *, is_writing: bool) -> None:
        """Acquires the session for this thread and catches up with other writers; a write catches up under the store's
        lock instead.
        """
        self.hold()
        try:
            if self.is_closed:
                raise ClosedError(tract_id=self._reader.log.tract)
            self._reader.store.events.begin_call()
            if not self._reader.overlay.is_staging:
                if not is_writing:
                    self._reader.log.catch_up()
                self._reader.log.list_if_due()
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Releases the session."""
        if self._pid != process.id:
            self._restart_in_child()
        self._depth -= 1
        self._lock.release()

    def _restart_in_child(self) -> None:
        """Replaces the lock in a forked child: the calls of other threads are gone, those of the thread that forked go
        on.
        """
        self._pid = process.id
        self._lock = RLock()
        self._depth = self._depth if self._owner == get_ident() else 0
        for _ in range(self._depth):
            self._lock.acquire()
        self._on_fork()

    def close(self) -> bool:
        """Refuses further calls, once those under way are done. Returns False if the session was closed before."""
        with self.loading:
            was_open, self.is_closed = not self.is_closed, True
            return was_open


class _Call:
    """A call as a context; one object serves all calls, since the lock counts."""

    def __init__(self, guard: SessionGuard, *, is_writing: bool) -> None:
        self._guard = guard
        self._is_writing = is_writing

    def __enter__(self) -> None:
        self._guard.begin_call(is_writing=self._is_writing)

    def __exit__(self, *_: object) -> None:
        self._guard.release()


class _Load:
    """Holds the session, open or closed, while a query's result loads its facts on first use."""

    def __init__(self, guard: SessionGuard) -> None:
        self._guard = guard

    def __enter__(self) -> None:
        self._guard.hold()

    def __exit__(self, *_: object) -> None:
        self._guard.release()
