"""The store's lock: one writer at a time; owns portalocker.

The lock buys speed and fewer divergences; no safety rests on it. The file is never unlinked. A process that forks opens
it again, since a lock taken through an inherited descriptor is shared with the parent (flock(2)).

Where the system has flock(2), the lock is that call, the one that portalocker makes there: importing portalocker takes
25 ms, a third of a `tract commit`.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple
from weakref import WeakSet

from tract_fs.errors import LockTimeout
from tract_fs.store.files import AppendFile, look_again, open_directory
from tract_fs.store.waiting_line import WaitingLine

_FIRST_WAIT_S = 0.0001
_WAIT_PER_PLACE_S = 0.0004  # more for each that has waited for longer
_LONGEST_WAIT_S = 0.005
_LOOK_EVERY_S = 0.01
_UNSUPPORTED = frozenset([errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL])


class _Calls(NamedTuple):
    """How a descriptor is locked without waiting and unlocked, and what a failure raises."""

    lock: Callable[[int], object]
    unlock: Callable[[int], object]
    errors: tuple[type[BaseException], ...]


@cache
def _calls() -> _Calls:
    try:
        from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
    except ImportError:
        import portalocker

        flags = portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING
        errors = (OSError, portalocker.exceptions.LockException)
        return _Calls(lambda descriptor: portalocker.lock(descriptor, flags), portalocker.unlock, errors)
    return _Calls(
        lambda descriptor: flock(descriptor, LOCK_EX | LOCK_NB),
        lambda descriptor: flock(descriptor, LOCK_UN),
        (OSError,),
    )


_locks: WeakSet[StoreLock] = WeakSet()  # module state, since a fork concerns all locks of the process


def _close_inherited() -> None:
    """Closes the descriptors that a forked child got: through them it would hold its parent's lock beyond the parent's death."""
    for lock in list(_locks):
        lock.forget_parent()


os.register_at_fork(after_in_child=_close_inherited)


class StoreLock:
    """An exclusive lock between handles, of this process and others; not reentrant."""

    def __init__(self, path: str, line: WaitingLine, *, longest_wait_s: float, meanwhile: Callable[[], object]) -> None:
        self._file = AppendFile(path)
        self._line = line
        self._longest_wait_s = longest_wait_s  # between two tries of who waits longest
        self._meanwhile = meanwhile  # what is done between two tries, when it may soon be this one's turn
        self._was_tried = False
        self._looked_at = 0.0
        self.is_supported = True
        _locks.add(self)

    def forget_parent(self) -> None:
        """Closes what was opened before a fork; the parent's lock stays, since its descriptor does."""
        self._file.close_inherited()
        self._line.forget_parent()

    def acquire(self, timeout_s: float) -> None:
        """Takes the lock; while another has it, tries again, the sooner the fewer have waited for longer. Errors: LockTimeout.

        Where the file system knows no locks, returns without one and sets `is_supported` to False.
        """
        if self._try():
            return
        deadline = time.monotonic() + timeout_s
        wait_s = _FIRST_WAIT_S
        try:
            while (left_s := deadline - time.monotonic()) > 0:
                before = self._line.place()
                if before <= 1:
                    self._meanwhile()
                time.sleep(min(left_s, wait_s + min(before * _WAIT_PER_PLACE_S, _LONGEST_WAIT_S)))
                if self._try():
                    return
                wait_s = min(wait_s * 1.5, self._longest_wait_s)
        finally:
            self._line.leave()
        raise LockTimeout(path=self._file.path, timeout_s=timeout_s)

    def release(self) -> None:
        """Gives the lock back."""
        if not self._was_tried or not self.is_supported:
            return
        try:
            _calls().unlock(self._file.open())
        except BaseException:
            self._file.close()  # gives the lock back too
            raise

    def is_awaited(self) -> bool:
        """Tells whether others wait for it."""
        return not self._line.is_empty()

    def close(self) -> None:
        """Closes the descriptors, and with them gives back a lock that is held."""
        self._file.close()
        self._line.close()

    def _try(self) -> bool:
        while True:
            descriptor = self._file.open()
            if not self._lock(descriptor):
                return not self.is_supported
            try:
                if self._file.is_current():
                    self._look_again()
                    return True
            except BaseException:
                self.release()
                raise
            self._file.close()  # the file was replaced under us: the lock is on one that nobody else sees

    def _look_again(self) -> None:
        """Has the directories that are written to compared with their paths, but not for each of many commits in a row."""
        now = time.monotonic()
        if now - self._looked_at > _LOOK_EVERY_S:
            self._looked_at = now
            look_again()

    def _lock(self, descriptor: int) -> bool:
        """Tries to lock; False if another holds the lock, or, with `is_supported` unset, if there are no locks."""
        self._was_tried = True
        try:
            _calls().lock(descriptor)
        except _calls().errors as error:
            if _errno_of(error) in _UNSUPPORTED:
                self.is_supported = False
            return False
        return True


@contextmanager
def holding_directory(path: str, *, timeout_s: float = 1.0) -> Iterator[None]:
    """Holds a lock on a directory itself, where the system has such locks and nobody keeps it too long; goes on without it else."""
    deadline = time.monotonic() + timeout_s
    descriptor = open_directory(path)
    try:
        while time.monotonic() < deadline:
            try:
                _calls().lock(descriptor)
                break
            except _calls().errors as error:
                if _errno_of(error) in _UNSUPPORTED:
                    break
                time.sleep(_FIRST_WAIT_S)
        yield
    finally:
        os.close(descriptor)


def _errno_of(error: BaseException) -> int | None:
    for found in (error, error.__cause__, *error.args):
        if isinstance(found, OSError):
            return found.errno
    return None
