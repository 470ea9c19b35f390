"""The store's lock: one writer at a time; owns portalocker.

The lock buys speed and fewer divergences; no safety depends on it. The file is never removed. A forked process opens it
again, because a lock taken through an inherited descriptor is shared with the parent (flock(2)).

Where the system has flock(2), the lock is that call, the one that portalocker makes there: importing portalocker takes
25 ms, a third of a `tract commit`.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from threading import get_ident
from weakref import WeakSet

from msgspec import Struct

from tract_fs.errors import CallInsideCall, LockTimeout
from tract_fs.store.files import AppendFile, after_fork_in_child, open_directory, recheck_directories
from tract_fs.store.waiting_line import WaitingLine

_FIRST_WAIT_S = 0.0001
_WAIT_PER_PLACE_S = 0.0004  # added for each that has waited longer
_LONGEST_WAIT_S = 0.005
_RECHECK_EVERY_S = 0.01
_STALE = frozenset([errno.ESTALE, errno.EBADF])  # the descriptor is no longer good: another one may be
_monotonic = partial(time.monotonic)  # the clock itself: a wait must end where a test has frozen the module's


class _Calls(Struct, frozen=True):
    """How a descriptor is locked without waiting and unlocked, what a failure raises, and which errors mean a rival."""

    lock: Callable[[int], object]
    unlock: Callable[[int], object]
    errors: tuple[type[BaseException], ...]
    rivals: frozenset[int | None]


@cache
def _calls() -> _Calls:
    try:
        from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
    except ImportError:
        import portalocker

        flags = portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING
        errors = (OSError, portalocker.exceptions.LockException)
        held = frozenset([errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, None])
        return _Calls(lambda descriptor: portalocker.lock(descriptor, flags), portalocker.unlock, errors, held)
    return _Calls(
        lambda descriptor: flock(descriptor, LOCK_EX | LOCK_NB),
        lambda descriptor: flock(descriptor, LOCK_UN),
        (OSError,),
        frozenset([errno.EAGAIN, errno.EWOULDBLOCK]),
    )


_locks: WeakSet[StoreLock] = WeakSet()  # module state: a fork affects all locks of the process


def _close_inherited() -> None:
    """Closes the descriptors that a forked child inherited: with them it would keep its parent's lock after the parent's death."""
    for lock in list(_locks):
        lock.forget_parent()


after_fork_in_child(_close_inherited)


class StoreLock:
    """An exclusive lock between handles, of this process and others; not reentrant.

    States: free; waiting, with a place in the line, inside `acquire`; held, until `release`, `let_go`, `close` or, in the
    child, a fork. `_may_be_held` is set before the system is asked for the lock, so it is true however that ends. Where
    the system gives no lock, a try unsets `is_supported` and keeps the reason in `fault`: writers go on without one, and
    `release` does nothing. A later try that finds a lock, free or held, sets `is_supported` again; `fault` stays.
    """

    def __init__(self, path: str, line: WaitingLine, *, longest_wait_s: float, meanwhile: Callable[[], object]) -> None:
        self._file = AppendFile(path)
        self._line = line
        self._longest_wait_s = longest_wait_s  # between two tries of the longest waiting
        self._meanwhile = meanwhile  # called between two tries, when this one's turn may come soon
        self._may_be_held = False
        self._thread = 0  # that acquired it
        self._rechecked_at = 0.0
        self.is_supported = True
        self.fault = ""  # why a try found no lock
        _locks.add(self)

    def forget_parent(self) -> None:
        """Closes the files that were opened before a fork; the parent keeps its lock, because its descriptor stays open."""
        self._file.close_inherited()
        self._line.forget_parent()

    def acquire(self, timeout_s: float) -> bool:
        """Acquires the lock; while another holds it, tries again, more often the fewer have waited longer. Returns
        whether it had to wait.

        Where the file system gives no lock, returns without one and sets `is_supported` to False.
        Errors: LockTimeout.
        """
        self._thread = get_ident()
        if self._try():
            return False
        if timeout_s <= 0:
            raise LockTimeout(path=self._file.path, timeout_s=timeout_s)
        self._require_other_thread(timeout_s)
        deadline = _monotonic() + timeout_s
        wait_s = _FIRST_WAIT_S
        try:
            while (left_s := deadline - _monotonic()) > 0:
                before = self._line.place()
                if before <= 1:
                    self._meanwhile()
                time.sleep(min(left_s, wait_s + min(before * _WAIT_PER_PLACE_S, _LONGEST_WAIT_S)))
                if self._try():
                    return True
                wait_s = min(wait_s * 1.5, self._longest_wait_s)
        finally:
            self._line.leave()
        raise LockTimeout(path=self._file.path, timeout_s=timeout_s)

    def release(self) -> None:
        """Releases the lock. A system that can't unlock it closes the file, which releases the lock too."""
        if not self._may_be_held:
            return
        if self.is_supported:
            try:
                _calls().unlock(self._file.open())
            except _calls().errors:
                self._close_file()
            except BaseException:
                self._close_file()
                raise
        self._may_be_held = False

    def let_go(self) -> None:
        """Releases the lock if it is held, after a call that was broken off."""
        self._line.leave()
        self._close_file()
        self._may_be_held = False

    def _close_file(self) -> None:
        with suppress(OSError):  # a close that fails has closed it all the same
            self._file.close()

    def is_awaited(self) -> bool:
        """Returns whether others wait for the lock."""
        return not self._line.is_empty()

    def close(self) -> None:
        """Closes the descriptors, which releases a lock that is held."""
        self._file.close()
        self._line.close()

    def _require_other_thread(self, timeout_s: float) -> None:
        """Raises CallInsideCall if this thread holds the lock by another handle, which can't release it meanwhile."""
        for other in list(_locks):
            is_held = other._may_be_held and other._thread == self._thread
            if other is not self and is_held and other._file.identity == self._file.identity:
                raise CallInsideCall(
                    f"the lock {self._file.path} is held by another handle of this thread: from inside its call (a signal "
                    "handler, a callback) or its batch; nothing was written; make the call after that has ended",
                    path=self._file.path,
                    timeout_s=timeout_s,
                )

    def _try(self) -> bool:
        while True:
            descriptor = self._file.open()
            if not self._lock(descriptor):
                return not self.is_supported
            try:
                if self._file.is_current():
                    self._recheck()
                    return True
            except BaseException:
                self.release()
                raise
            self._file.close()  # the file was replaced: the lock is on one that no other process opens

    def _recheck(self) -> None:
        """Makes the next write compare its directory with the path, but not for each of many commits in a row."""
        now = _monotonic()
        if now - self._rechecked_at > _RECHECK_EVERY_S:
            self._rechecked_at = now
            recheck_directories()

    def _lock(self, descriptor: int) -> bool:
        """Tries to lock; returns False if another holds the lock, or if there is none to be had, and unsets `is_supported` then.

        A descriptor that is no longer good is opened again, once.
        """
        self._may_be_held = True
        for is_last in (False, True):
            try:
                _calls().lock(descriptor)
                self.is_supported = True
                return True
            except _calls().errors as error:
                code = _errno_of(error)
                if code in _STALE and not is_last:
                    self._close_file()
                    descriptor = self._file.open()
                    continue
                self._may_be_held = False
                self.is_supported = code in _calls().rivals
                if not self.is_supported:
                    self.fault = str(error)
                return False
        return False


@contextmanager
def holding_directory(path: str, *, timeout_s: float = 1.0) -> Iterator[None]:
    """Holds a lock on a directory itself; goes on without one where the system has no such locks, or after `timeout_s`."""
    deadline = _monotonic() + timeout_s
    descriptor = open_directory(path)
    try:
        while _monotonic() < deadline:
            try:
                _calls().lock(descriptor)
                break
            except _calls().errors as error:
                if _errno_of(error) not in _calls().rivals:
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
