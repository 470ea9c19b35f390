"""A disk that fails, fills up or ends the process at the n-th call: stand-ins for the module `os` where the package meets the disk."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from tract_fs.store import files

Strike = Callable[[str, Callable[..., Any], tuple[Any, ...]], None]
sync_filesystem = files.sync_filesystem
CHANGES = {"open", "write", "rename", "unlink", "rmdir", "ftruncate", "fsync", "fdatasync", "makedirs", "mkdir"}
CALLS = frozenset(
    [
        "open",
        "read",
        "pread",
        "write",
        "close",
        "fstat",
        "stat",
        "listdir",
        "scandir",
        "rename",
        "unlink",
        "rmdir",
        "fsync",
        "fdatasync",
        "ftruncate",
        "makedirs",
        "mkdir",
        "sync",
        "syncfs",
    ]
)


def with_full_path(arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, ...]:
    """Returns the arguments of a call of `os` with the whole path in place of a name in a directory's descriptor."""
    descriptor = options.get("dir_fd", options.get("src_dir_fd"))
    if descriptor is None:
        return arguments
    directory = os.readlink(f"/proc/self/fd/{descriptor}")
    if len(arguments) > 1 and "dst_dir_fd" in options:
        return f"{directory}/{arguments[0]}", os.path.join(
            os.readlink(f"/proc/self/fd/{options['dst_dir_fd']}"), arguments[1]
        )
    return (f"{directory}/{arguments[0]}", *arguments[1:])


class Disk:
    """Stands in for the module `os` at the one seam where the package meets the disk; counts the calls and lets some fail.

    `fails(call, number, arguments)` returns the exception that a call is to raise, or None. It raises instead of acting; `close` acts, then raises.
    """

    def __init__(self, fails: Callable[[str, int, tuple[Any, ...]], BaseException | None]) -> None:
        self._fails = fails
        self.calls: list[str] = []
        self.is_on = True
        self.raised = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(os, name)
        return self.wrap(name, found) if name in CALLS else found

    def wrap(self, name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if not self.is_on:
                return act(*arguments, **options)
            is_directory = name == "open" and bool(arguments[1] & os.O_DIRECTORY)
            shown = "opendir" if is_directory else name
            self.calls.append(shown)
            error = self._fails(shown, len(self.calls) - 1, with_full_path(arguments, options))
            if error is None:
                return act(*arguments, **options)
            self.raised += 1
            if name == "close":
                act(*arguments, **options)
            raise error

        return call


@contextmanager
def disk(
    fails: Callable[[str, int, tuple[Any, ...]], BaseException | None] = lambda call, number, arguments: None,
) -> Iterator[Disk]:
    """Puts a Disk in the place of the real one."""
    stand_in = Disk(fails)
    sync_filesystem = files.sync_filesystem
    files.os = stand_in  # type: ignore[attr-defined]
    files.sync_filesystem = stand_in.wrap("syncfs", sync_filesystem)
    try:
        yield stand_in
    finally:
        files.os = os  # type: ignore[attr-defined]
        files.sync_filesystem = sync_filesystem


def os_error(code: int, path: object = "a file") -> OSError:
    return OSError(code, os.strerror(code), path if isinstance(path, str) else None)


def nth(number: int, code: int) -> Callable[[str, int, tuple[Any, ...]], BaseException | None]:
    """Lets exactly one call fail."""
    return lambda call, found, arguments: (
        os_error(code, arguments[0] if arguments else None) if found == number else None
    )


def full_from(number: int) -> Callable[[str, int, tuple[Any, ...]], BaseException | None]:
    """Lets the disk be full from a call on: nothing can be made or written any more, all else works."""

    def fails(call: str, found: int, arguments: tuple[Any, ...]) -> BaseException | None:
        is_write = call in ("write", "makedirs", "mkdir") or (call == "open" and bool(arguments[1] & os.O_CREAT))
        return os_error(errno.ENOSPC, arguments[0]) if is_write and found >= number else None

    return fails


class Killed(BaseException):
    """The end of the process: nothing that comes after reaches the disk."""


def killed_at(number: int, *, halfway: bool) -> Callable[[str, int, tuple[Any, ...]], BaseException | None]:
    """Lets the process die before the n-th call that changes the disk, or in the middle of a write."""
    count = 0

    def fails(call: str, _number: int, arguments: tuple[Any, ...]) -> BaseException | None:
        nonlocal count
        is_change = call in (
            "write",
            "rename",
            "unlink",
            "rmdir",
            "makedirs",
            "mkdir",
            "fsync",
            "syncfs",
            "ftruncate",
        ) or (call == "open" and bool(arguments[1] & os.O_CREAT))
        count += is_change and count < number
        if not is_change or count < number:
            return None
        if halfway and call == "write" and count == number:
            count += 1
            os.write(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
        return Killed()

    return fails


# striking at a call


class Trap:
    """Stands in for the module `os` where the package touches the disk; strikes at the n-th call that changes it.

    A strike in the middle of a call counts the calls that have a middle.
    """

    def __init__(self, number: int, strike: Strike) -> None:
        self.number = number
        self.strike = strike
        self.counted = {"write"} if strike is die_halfway else {*CHANGES, "syncfs"}
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in CHANGES:
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            if name == "open" and not args[1] & os.O_CREAT:
                return real(*args, **kwargs)
            args = with_full_path(args, kwargs)
            self.step(name, partial(real, **kwargs), args)
            return self.perform(name, real, args, kwargs)

        return call

    def step(self, name: str, real: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.count += name in self.counted
        if self.count == self.number and name in self.counted:
            self.strike(name, real, args)

    def perform(self, name: str, real: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Makes the call, unless it only waits for the disk: a kill takes nothing from the page cache."""
        return None if name in ("fsync", "fdatasync") else real(*args, **kwargs)

    def sync_filesystem(self, path: str) -> None:
        """Stands in for the checkpoint's call, which is not made by way of `os`."""
        self.step("syncfs", sync_filesystem, (path,))


def die(_name: str, _real: Callable[..., Any], _args: tuple[Any, ...]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_halfway(name: str, real: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Lets half of a write reach the file, as a kill in the middle of a long write does."""
    assert name == "write"
    real(args[0], bytes(args[1])[: len(args[1]) // 2])
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt(_name: str, _real: Callable[..., Any], _args: tuple[Any, ...]) -> None:
    raise KeyboardInterrupt


def interrupt_after(_name: str, real: Callable[..., Any], args: tuple[Any, ...]) -> None:
    real(*args)
    raise KeyboardInterrupt


def fill_the_disk(name: str, real: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Half a write, then no space; other calls fail at once."""
    if name == "write":
        real(args[0], bytes(args[1])[: len(args[1]) // 2])
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def set_trap(trap: Trap) -> Iterator[Trap]:
    files.os = trap  # type: ignore[attr-defined]
    files.sync_filesystem = trap.sync_filesystem
    try:
        yield trap
    finally:
        files.os = os  # type: ignore[attr-defined]
        files.sync_filesystem = sync_filesystem
