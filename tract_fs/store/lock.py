"""The store's lock: one writer at a time; owns portalocker.

The lock buys speed and fewer divergences; no safety rests on it. The file is never unlinked. A process that forks opens
it anew, since a lock taken through an inherited descriptor is shared with the parent (flock(2)).
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, ModuleType
from weakref import WeakSet

from tract_fs.errors import LockTimeout
from tract_fs.store.files import AppendFile, after_fork_in_child, look_again, open_directory
from tract_fs.store.waiting_line import WaitingLine

_FIRST_WAIT_S = 0.0001
_WAIT_PER_PLACE_S = 0.0004  # more for each that has waited for longer
_LONGEST_WAIT_S = 0.005
_LOOK_EVERY_S = 0.01
_UNSUPPORTED = frozenset([errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL])


_locks: WeakSet[StoreLock] = WeakSet()  # module state, since a fork concerns all locks of the process


def _close_inherited() -> None:
    """Closes the descriptors that a forked child got: through them it would hold its parent's lock beyond the parent's death."""
    for lock in list(_locks):
        lock.forget_parent()


after_fork_in_child(_close_inherited)


class StoreLock:
    """An exclusive lock between handles, of this process and others; not reentrant."""

    def __init__(self, path: str, line: WaitingLine, *, longest_wait_s: float, meanwhile: Callable[[], object]) -> None:
        self._file = AppendFile(path)
        self._line = line
        self._longest_wait_s = longest_wait_s  # between two tries of who waits longest
        self._meanwhile = meanwhile  # what is done between two tries, when it may soon be this one's turn
        self._portalocker: ModuleType | None = None
        self._flock: Callable[[int, int], object] | None = None
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
        if self._portalocker is None or not self.is_supported:
            return
        try:
            if self._flock is not None:
                self._flock(self._file.open(), self._unlock_flags)
            else:
                self._portalocker.unlock(self._file.open())
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
        locker = self._portalocker or self._load()
        try:
            if self._flock is not None:
                self._flock(descriptor, self._flags)
            else:
                locker.lock(descriptor, locker.LockFlags(self._flags))
        except (OSError, locker.exceptions.LockException) as error:
            if _errno_of(error) in _UNSUPPORTED:
                self.is_supported = False
            return False
        return True

    def _load(self) -> ModuleType:
        import portalocker  # 70 ms: only a writer needs it
        import portalocker.portalocker

        self._portalocker = portalocker
        self._flags = (portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING).value
        self._unlock_flags = portalocker.LockFlags.UNBLOCK.value
        locker = getattr(portalocker.portalocker, "LOCKER", None)
        if isinstance(locker, BuiltinFunctionType):  # fcntl.flock itself: the checks around it cost 8 us a commit
            self._flock = locker
        return portalocker


@contextmanager
def holding_directory(path: str, *, timeout_s: float = 1.0) -> Iterator[None]:
    """Holds a lock on a directory itself, where the system has such locks and nobody keeps it too long; goes on without it else."""
    import portalocker

    flags = portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING
    deadline = time.monotonic() + timeout_s
    descriptor = open_directory(path)
    try:
        while time.monotonic() < deadline:
            try:
                portalocker.lock(descriptor, flags)
                break
            except (OSError, portalocker.exceptions.LockException) as error:
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
