"""The store's lock: one holder at a time, none kept out for ever, and none where the file system has no locks."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import portalocker
import pytest

from tests.lab.talk import user
from tract_fs import Tract
from tract_fs.cli.running import run
from tract_fs.errors import CallInsideCall, LockTimeout, NoLockWarning
from tract_fs.store import lock as lock_module
from tract_fs.store import waiting_line
from tract_fs.store.lock import StoreLock, holding_directory
from tract_fs.store.waiting_line import WaitingLine


class Holder:
    """A lock of a handle; `look` is what it does between two tries."""

    def __init__(self, directory: Path) -> None:
        self.look: Callable[[], object] = lambda: None
        self.lock = StoreLock(
            str(directory / "lock"),
            WaitingLine(str(directory / "line")),
            longest_wait_s=0.001,
            meanwhile=lambda: self.look(),
        )


@pytest.fixture
def two(tmp_path: Path) -> tuple[Holder, Holder]:
    return Holder(tmp_path), Holder(tmp_path)


def in_thread(work: Callable[[], object]) -> None:
    """Runs `work` in another thread, and raises here what it raised."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


def test_a_thread_that_holds_the_lock_by_another_handle_does_not_wait_for_itself(two: tuple[Holder, Holder]) -> None:
    one, other = two
    one.lock.acquire(0.0)
    other.look = lambda: pytest.fail("it waits")
    with pytest.raises(CallInsideCall, match="held by another handle of this thread"):
        other.lock.acquire(60.0)
    one.lock.release()
    other.lock.acquire(0.0)


def test_a_lock_that_is_held_is_had_by_nobody_else_until_it_is_given_back(two: tuple[Holder, Holder]) -> None:
    one, other = two
    one.lock.acquire(0.0)
    with pytest.raises(LockTimeout) as caught:
        in_thread(lambda: other.lock.acquire(0.02))
    assert type(caught.value) is LockTimeout
    assert (os.path.basename(caught.value.path), caught.value.timeout_s) == ("lock", 0.02)
    one.lock.release()
    other.lock.acquire(0.0)
    with pytest.raises(LockTimeout):
        one.lock.acquire(0.0)


def test_a_close_gives_the_lock_back(two: tuple[Holder, Holder]) -> None:
    one, other = two
    one.lock.acquire(0.0)
    one.lock.close()
    other.lock.acquire(0.0)


def test_one_that_waits_looks_around_meanwhile_and_stands_in_the_line_only_so_long(
    two: tuple[Holder, Holder], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two
    monkeypatch.setattr(waiting_line, "time", SimpleNamespace(monotonic_ns=lambda: 5 * 10**12))  # no place is too old
    one.lock.acquire(0.0)
    assert not one.lock.is_awaited()
    awaited: list[bool] = []

    def look() -> None:
        awaited.append(one.lock.is_awaited())
        if len(awaited) == 3:
            one.lock.release()

    other.look = look
    in_thread(lambda: other.lock.acquire(60.0))
    assert awaited == [True] * 3
    assert not one.lock.is_awaited()


def test_a_lock_whose_file_was_replaced_is_taken_on_the_new_one(two: tuple[Holder, Holder], tmp_path: Path) -> None:
    one, other = two
    one.lock.acquire(0.0)
    (tmp_path / "lock").unlink()
    other.lock.acquire(0.0)  # the lock that is held is on a file that nobody else sees
    one.lock.release()
    with pytest.raises(LockTimeout):
        one.lock.acquire(0.0)
    other.lock.release()
    one.lock.acquire(0.0)
    with open(tmp_path / "lock", "rb") as opened, pytest.raises(BlockingIOError):
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL], ids=errno.errorcode.get)
def test_where_the_file_system_has_no_locks_a_writer_goes_on_without_one(
    two: tuple[Holder, Holder], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    lock_module._calls.cache_clear()
    for holder in two:
        assert holder.lock.is_supported
        holder.lock.acquire(0.0)
        assert not holder.lock.is_supported
        holder.lock.release()
    monkeypatch.undo()
    lock_module._calls.cache_clear()


def test_a_directory_is_held_while_the_context_lasts_and_no_longer(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        with holding_directory(str(tmp_path)), pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with holding_directory(str(tmp_path), timeout_s=0.01):
            pass  # another has it for too long: it goes on without
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.EIO, "x"), errno.EIO),
        (portalocker.LockException(OSError(errno.ENOLCK, "x")), errno.ENOLCK),
        (portalocker.LockException("no number"), None),
    ],
)
def test_the_number_of_an_error_is_found_where_portalocker_puts_it(error: BaseException, code: int | None) -> None:
    assert lock_module._errno_of(error) == code


@contextmanager
def flock_fails(monkeypatch: pytest.MonkeyPatch, fails: Callable[[int, int], int]) -> Iterator[None]:
    """Replaces flock(2) by one that raises the number that `fails` returns, given the operation and how often it was asked."""
    real, count = fcntl.flock, [0]

    def flock(descriptor: int, operation: int) -> None:
        count[0] += 1
        code = fails(operation, count[0])
        if code:
            raise OSError(code, os.strerror(code))
        real(descriptor, operation)

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", flock)
        lock_module._calls.cache_clear()
        yield
    lock_module._calls.cache_clear()


@pytest.mark.parametrize(
    "code", [errno.EIO, errno.EPERM, errno.EACCES, errno.EBADF, errno.ESTALE], ids=errno.errorcode.get
)
def test_an_error_of_the_lock_is_no_rival(
    two: tuple[Holder, Holder], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    one, _ = two
    with flock_fails(monkeypatch, lambda operation, count: code):
        assert one.lock.acquire(5.0) is False
        assert not one.lock.is_supported
        assert one.lock.fault == f"[Errno {code}] {os.strerror(code)}"
        one.lock.release()


@pytest.mark.parametrize("code", [errno.EBADF, errno.ESTALE], ids=errno.errorcode.get)
def test_a_descriptor_that_is_no_longer_good_is_opened_again(
    two: tuple[Holder, Holder], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    one, other = two
    with flock_fails(monkeypatch, lambda operation, count: code if count == 1 else 0):
        one.lock.acquire(5.0)
        assert one.lock.is_supported
    with pytest.raises(LockTimeout):
        other.lock.acquire(0.0)


def test_an_unlock_that_fails_raises_nothing_and_frees_the_lock(
    two: tuple[Holder, Holder], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two
    with flock_fails(monkeypatch, lambda operation, count: errno.EIO if operation == fcntl.LOCK_UN else 0):
        one.lock.acquire(0.0)
        one.lock.release()
    other.lock.acquire(0.0)


def test_a_wait_ends_where_the_clock_of_the_module_stands_still(
    two: tuple[Holder, Holder], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two
    one.lock.acquire(0.0)
    monkeypatch.setattr(time, "monotonic", lambda: 5.0)  # as a test that freezes the time does
    with pytest.raises(LockTimeout):
        other.lock.acquire(0.02)


NO_LOCK = (
    "this file system gives no lock ([Errno 5] Input/output error): only one writer at a time is safe; two at once leave a "
    "branch with two heads"
)


def test_the_first_commit_a_compile_and_a_status_name_a_lock_that_does_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with flock_fails(monkeypatch, lambda operation, count: errno.EIO), Tract.open(tmp_path) as t:
        with pytest.warns(NoLockWarning) as caught:
            t.commit(user("a"))
        assert [str(warning.message) for warning in caught] == [f"{tmp_path}: {NO_LOCK}"]
        t.commit(user("b"))
        assert t.compile().warnings == [NO_LOCK]
        assert t.status().warnings == (NO_LOCK,)
    with Tract.open(tmp_path) as t:
        t.commit(user("c"))
        assert t.compile().warnings == []
        assert t.status().warnings == ()


def test_a_handle_that_writes_nothing_names_a_lock_that_does_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Tract.open(tmp_path) as t:
        t.commit(user("a"))
    with flock_fails(monkeypatch, lambda operation, count: errno.EIO):
        with Tract.open(tmp_path) as t:
            assert t.compile().warnings == [NO_LOCK]
            assert t.status().warnings == (NO_LOCK,)
        with Tract.open(tmp_path, read_only=True) as t:
            assert t.compile().warnings == []


def test_the_command_prints_that_there_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with flock_fails(monkeypatch, lambda operation, count: errno.EIO):
        assert run(["-C", str(tmp_path), "init"]) == 0
        capsys.readouterr()
        assert run(["-C", str(tmp_path), "commit", "-m", "a"]) == 0
        assert capsys.readouterr().err == f"warning: {tmp_path}: {NO_LOCK}\n"


def test_a_lock_that_failed_once_keeps_rivals_out_again(
    two: tuple[Holder, Holder], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two
    with flock_fails(monkeypatch, lambda operation, count: errno.EIO if count == 1 else 0):
        one.lock.acquire(0.0)
        assert not one.lock.is_supported
        one.lock.release()
        other.lock.acquire(0.0)
        with pytest.raises(LockTimeout):
            one.lock.acquire(0.0)
        other.lock.release()
        one.lock.acquire(0.0)
        with pytest.raises(LockTimeout):
            other.lock.acquire(0.0)
