"""Files: reads, writes, syncs and lists. Every disk access of the package passes here, so fault tests replace `os` in this module.

Only "no such file" means absent; every other error goes to the caller. Only regular files are read: a link, a pipe or a directory counts as
absent. A new file appears under its name whole or not at all.

No symbolic link below a store's directory is ever followed: a file is opened, created, renamed and removed by its name in a descriptor of its
directory, and that descriptor is opened in the same way, from the store's own directory on. In paths outside a store links are followed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Self

from tract_fs.store.layout import STORE_DIRECTORY

# What some systems lack has a neutral value there: the package can be imported everywhere.
_CLOEXEC, _NOFOLLOW, _NONBLOCK, _DIRECTORY, _PATH = (
    getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY", "O_PATH")
)
_user_id = getattr(os, "geteuid", lambda: 0)
_group_id = getattr(os, "getegid", lambda: 0)
_group_ids = getattr(os, "getgroups", list)


def after_fork_in_child(act: Callable[[], None]) -> None:
    """Registers a function that each forked child calls first, on systems that fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=act)


_SAFE_FLAGS = _NOFOLLOW | _NONBLOCK | _CLOEXEC
_READ_FLAGS = os.O_RDONLY | _SAFE_FLAGS
_NEW_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CLOEXEC | _NOFOLLOW
# no such file, or what is there is no file of a store: below a file, a link, a socket
_ABSENT = frozenset([errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO])
# of one file: a bad sector, another user's file, damage of the file system. Others (no descriptor, no memory) are the system's.
UNREADABLE = frozenset(
    getattr(errno, name)
    for name in ("EIO", "EACCES", "EPERM", "EBADMSG", "EUCLEAN", "EILSEQ", "ENODATA", "EREMOTEIO")
    if hasattr(errno, name)
)
_SYNC_FLAGS = os.O_RDONLY | _DIRECTORY | _CLOEXEC | _NOFOLLOW
_DIRECTORY_FLAGS = _SYNC_FLAGS | _PATH
_BELONGS = " belongs to user "
_SHARED = stat.S_ISGID | stat.S_IWGRP
_STORE = f"/{STORE_DIRECTORY}"
_MOST_HELD = 64
_CHUNK = 1 << 20
_BLOCK_BYTES = 1 << 16
_MOST_BLOCKS = 4  # that one reader keeps
_MOST_TRIES = 8


class Process:
    """This process: its id, without a system call at each use, and labels for its temporary files."""

    def __init__(self) -> None:
        self._numbers = count()
        self._label = ""
        self.id = 0
        self.start_over()

    def start_over(self) -> None:
        """Reads the id again and draws another label: a forked child must not use those of its parent."""
        self.id = os.getpid()
        self._label = f"{self.id}.{os.urandom(4).hex()}"

    def new_label(self) -> str:
        """Returns a label that was never used before, by this process or another, also on machines that share the directory."""
        return f"{self._label}.{next(self._numbers)}"


process = Process()
after_fork_in_child(process.start_over)


class _Descriptor(int):
    """A descriptor that is closed with the last reference to it, by code that no signal handler can break off: `close`
    is called by C alone.
    """

    __del__ = property(partial(partial, os.close))


class _Directory:
    """An open directory. Outside a store its descriptor is None, and names are whole paths."""

    __slots__ = ("descriptor", "identity", "is_shared", "seen")

    def __init__(self, descriptor: int | None, *, is_shared: bool = False) -> None:
        self.descriptor = None if descriptor is None else _Descriptor(descriptor)
        self.is_shared = is_shared  # a group writes in it: what is made there is for the whole group
        self.identity: tuple[int, int] | None = None  # inode and device, if it is kept open
        self.seen = 0  # the round in which the path was this directory


_OUTSIDE = _Directory(None)
# Module state, since descriptors belong to the process: the open directories of stores by path, without those of a fan-out.
_held: dict[str, _Directory] = {}
_round = 1  # a directory last seen in an earlier round is compared with its path before a write


def recheck_directories() -> None:
    """Makes the next write to each open directory compare it with its path. Cost: nothing now."""
    global _round
    _round += 1


def close_directories(root: str) -> None:
    """Closes the open directories of a store."""
    for path in [path for path in list(_held) if path.startswith(root)]:
        _held.pop(path, None)


def forget_moved(root: str) -> None:
    """Closes the open directories of a store that is no longer at its path: they would lead to where it is now."""
    if _is_stale(f"{root}/FORMAT"):
        close_directories(root)


def _locate(path: str, *, is_checked: bool = False) -> tuple[_Directory, str]:
    """Returns the directory of a path, entered without following a link, and the name in it; outside a store the path itself.

    With `is_checked` the directory was at its path since the last `recheck_directories`. Errors: OSError with the path.
    """
    parent, _, name = path.rpartition("/")
    held = _held.get(parent)
    if held is None:
        if parent[-3:-2] == "/":  # of a fan-out: too many to keep open
            base = _held.get(parent[:-3])
            if base is None or (is_checked and base.seen != _round):
                base = _hold(parent[:-3])
            if base is _OUTSIDE:
                return _OUTSIDE, path
            try:  # as _enter does, in each read and write
                descriptor = os.open(parent[-2:], _DIRECTORY_FLAGS, dir_fd=base.descriptor)
            except OSError as error:
                _explain(error, parent)
                raise
            return _Directory(descriptor, is_shared=base.is_shared), name
        held = _hold(parent)
    elif is_checked and held.seen != _round:
        held = _hold(parent)
    return (held, path) if held is _OUTSIDE else (held, name)


def _enter(base: _Directory, name: str, path: str, flags: int) -> int:
    try:
        return os.open(name, flags, dir_fd=base.descriptor)
    except OSError as error:
        _explain(error, path)
        raise


def _explain(error: OSError, path: str) -> None:
    """Sets the path of an error in opening a directory, and the reason if it is a link."""
    _set_path(error, path)
    if error.errno == errno.ENOTDIR and os.path.islink(path):
        error.strerror = f"{path} is a symbolic link, and none is followed in a store"


def _hold(path: str) -> _Directory:
    """Returns an open directory, opened now or confirmed to be still the one at the path."""
    held = _held.get(path)
    if held is not None:
        try:
            status = os.stat(path, follow_symlinks=False)
        except OSError as error:
            _held.pop(path, None)
            _set_path(error, path)
            raise
        if (status.st_ino, status.st_dev) == held.identity:
            held.seen = _round
            return held
    if not _is_in_store(path):
        return _OUTSIDE
    if path.endswith(_STORE):
        directory = _Directory(_enter(_OUTSIDE, path, path, _DIRECTORY_FLAGS))
    else:
        above, _, name = path.rpartition("/")
        directory = _Directory(_enter(_hold(above), name, path, _DIRECTORY_FLAGS))
    assert directory.descriptor is not None
    status = _status(directory.descriptor, path)
    directory.identity = status.st_ino, status.st_dev
    directory.is_shared = _is_shared(status)
    directory.seen = _round
    if len(_held) >= _MOST_HELD:
        _held.clear()
    _held[path] = directory
    return directory


def _is_shared(status: os.stat_result) -> bool:
    """Returns whether a status is that of a directory in which a group works: setgid, and writable for its group."""
    return status.st_mode & _SHARED == _SHARED


def _share(descriptor: int) -> None:
    """Gives the group of a new file or directory what its owner has, whatever the umask, as git's `sharedRepository` does."""
    with suppress(OSError):  # another user's: its owner gave the group what it has
        status = os.fstat(descriptor)
        mode = stat.S_IMODE(status.st_mode)
        wanted = mode | (mode & stat.S_IRWXU) >> 3
        wanted |= stat.S_ISGID if stat.S_ISDIR(status.st_mode) else 0
        if wanted != mode:
            os.fchmod(descriptor, wanted)


def _share_directory(directory: _Directory, name: str, path: str) -> None:
    descriptor = _enter(directory, name, path, _SYNC_FLAGS)
    try:
        _share(descriptor)
    finally:
        _close_file(descriptor, path)


def _is_in_store(path: str) -> bool:
    """Returns whether a path is that of a store's directory or below it."""
    _, found, behind = path.rpartition(_STORE)
    return bool(found) and behind[:1] in ("", "/")


def _is_stale(path: str) -> bool:
    """Returns whether the open directory of a path is no longer the one at that path; closes it then."""
    parent = path.rpartition("/")[0]
    parent = parent[:-3] if parent[-3:-2] == "/" else parent
    held = _held.get(parent)
    if held is None:
        return False
    try:
        return _hold(parent) is not held
    except OSError:
        return parent not in _held


Signature = tuple[int, int, int]  # inode, size in bytes, ctime in ns: differs after any change of a file or directory


def read(path: str, *, limit_bytes: int) -> bytes | None:
    """Returns the bytes of a regular file, or None if there is none at `path`.

    A file larger than `limit_bytes` counts as absent. Errors: OSError for everything but absence.
    """
    found = read_signed(path, limit_bytes=limit_bytes)
    return None if found is None else found[0]


def read_signed(path: str, *, limit_bytes: int) -> tuple[bytes, Signature] | None:
    """Returns the bytes of a regular file, as `read` does, with its signature at that time."""
    descriptor = _open_if_there(path)
    if descriptor is None:
        return None
    try:
        status = os.fstat(descriptor)
        size = status.st_size
        if size > limit_bytes or not stat.S_ISREG(status.st_mode):
            return None
        data = os.read(descriptor, size + 1)
        if len(data) != size:  # a short read, or the file grew
            data = _read_rest(descriptor, data)
        return data, (status.st_ino, size, status.st_ctime_ns)
    except OSError as error:
        _set_path(error, path)
        raise
    finally:
        _close_file(descriptor, path)


# The system names no path where a call goes by a descriptor; every such call sets it on the way out.


def _set_path(error: BaseException, path: str) -> None:
    """Sets the path of an error of the system; of a refusal also whose file it is."""
    if isinstance(error, OSError):
        reason = str(error.strerror)
        if error.errno in (errno.EACCES, errno.EPERM) and _BELONGS not in reason:
            error.strerror = f"{reason}; {_owner_of(path)}"
        error.filename = path
        if error.filename2 is not None:
            del error.filename2


def _owner_of(path: str) -> str:
    """Returns whose file is at `path`, or whose directory is the nearest above, as a part of a sentence."""
    whose = "it"
    while path:
        with suppress(OSError):
            found = os.stat(path, follow_symlinks=False)
            return f"{whose}{_BELONGS}{_user_name(found.st_uid)}, mode {stat.S_IMODE(found.st_mode):04o}"
        whose = path = path.rpartition("/")[0]
    return "its directory can't be examined"


def _user_name(user_id: int) -> str:
    with suppress(ImportError, KeyError):
        from pwd import getpwuid  # only for a message, and only where the system has it

        return getpwuid(user_id).pw_name
    return str(user_id)


def _status(descriptor: int, path: str) -> os.stat_result:
    try:
        return os.fstat(descriptor)
    except OSError as error:
        _set_path(error, path)
        raise


def _sync(descriptor: int, path: str) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        _set_path(error, path)
        raise


def _cut(descriptor: int, size_bytes: int, path: str) -> None:
    try:
        os.ftruncate(descriptor, size_bytes)
    except OSError as error:
        _set_path(error, path)
        raise


def _close_file(descriptor: int, path: str) -> None:
    try:
        os.close(descriptor)
    except OSError as error:
        _set_path(error, path)
        raise


def _open_if_there(path: str) -> int | None:
    """Returns a descriptor for reading, or None if nothing at `path` can be opened as a file."""
    try:
        directory, name = _locate(path)
        return os.open(name, _READ_FLAGS, dir_fd=directory.descriptor)
    except OSError as error:
        if error.errno not in _ABSENT:
            _set_path(error, path)
            raise
    return _open_if_there(path) if _is_stale(path) else None


def _open_regular(path: str) -> int | None:
    """Returns a descriptor for reading, or None if there is no regular file at `path`."""
    descriptor = _open_if_there(path)
    if descriptor is None:
        return None
    try:
        if stat.S_ISREG(_status(descriptor, path).st_mode):
            return descriptor
    except BaseException:
        _close_file(descriptor, path)
        raise
    _close_file(descriptor, path)
    return None


def _read_rest(descriptor: int, data: bytes) -> bytes:  # the caller sets the path of an error
    parts = [data]
    while part := os.read(descriptor, _CHUNK):
        parts.append(part)
    return b"".join(parts)


def read_at(path: str, offset: int, size: int) -> bytes | None:
    """Returns up to `size` bytes of a regular file from `offset` on, or None if there is none at `path`."""
    descriptor = _open_regular(path)
    if descriptor is None:
        return None
    try:
        return _read_at(descriptor, offset, size, path)
    finally:
        _close_file(descriptor, path)


def _read_at(descriptor: int, offset: int, size: int, path: str) -> bytes:
    try:
        data = os.pread(descriptor, size, offset)
        if len(data) == size or not data:
            return data
        parts = [data]
        while (size := size - len(data)) > 0 and data:  # a short read, or the end of the file
            offset += len(data)
            data = os.pread(descriptor, size, offset)
            parts.append(data)
    except OSError as error:
        _set_path(error, path)
        raise
    return b"".join(parts)


class RangeReader:
    """Reads ranges of one file that does not change; the descriptor stays open.

    Reads a range in a block if it is near one of the last few, and keeps some blocks.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = -1
        self._last: list[int] = []  # in which blocks the last ranges began
        self._fresh = b""  # the block read last
        self._blocks: dict[int, bytes] = {}  # by number; the first read first

    def read(self, offset: int, size: int) -> bytes | None:
        """Returns up to `size` bytes from `offset` on, or None if there is no regular file."""
        number, start = divmod(offset, _BLOCK_BYTES)
        is_inside = start + size <= _BLOCK_BYTES
        if is_inside and (block := self._blocks.get(number)) is not None:
            return block[start : start + size]
        if self._descriptor < 0:
            descriptor = _open_regular(self.path)
            if descriptor is None:
                return None
            self._descriptor = descriptor
        is_near = any(-1 <= number - last <= 1 for last in self._last)
        self._last = [*self._last[1 - _MOST_BLOCKS :], number]
        if not is_near or not is_inside:
            return _read_at(self._descriptor, offset, size, self.path)
        if len(self._blocks) >= _MOST_BLOCKS:
            del self._blocks[next(iter(self._blocks))]
        try:
            block = _read_at(self._descriptor, number * _BLOCK_BYTES, _BLOCK_BYTES, self.path)
        except OSError:  # a bad sector in the block need not be one of the range
            return _read_at(self._descriptor, offset, size, self.path)
        self._fresh = self._blocks[number] = block
        return block[start : start + size]

    def take_fresh(self) -> bytes:
        """Returns the block that was read since the last call, or nothing."""
        fresh, self._fresh = self._fresh, b""
        return fresh

    def close(self) -> None:
        """Closes the descriptor; the next read opens the path again."""
        descriptor, self._descriptor = self._descriptor, -1
        self._blocks, self._last, self._fresh = {}, [], b""
        if descriptor >= 0:
            _close_file(descriptor, self.path)


def write_all(descriptor: int, data: bytes | bytearray) -> None:
    """Writes all of `data`, in as many writes as needed."""
    written = os.write(descriptor, data)
    while written < len(data):
        written += os.write(descriptor, memoryview(data)[written:])


def replace(path: str, data: bytes | bytearray, *, mode: int = 0o444, is_synced: bool = False) -> None:
    """Writes a file by way of a dot-named file beside it, which is then renamed; replaces what is at `path`.

    Creates directories on demand. After an error nothing is left under either name. With `is_synced` the file and its
    directory survive a power cut once this returns.
    """
    label = f".new.{process.new_label()}"
    opened: list[int] = []
    try:
        directory, name, temp = _open_new(path, label, mode, opened)
        write_all(opened[0], data)
        if is_synced:
            os.fsync(opened[0])
        os.close(opened.pop())
        os.rename(temp, name, src_dir_fd=directory.descriptor, dst_dir_fd=directory.descriptor)
    except BaseException as error:
        _close_all(opened)
        with suppress(OSError):
            remove(f"{path[: path.rindex('/')]}/{label}")
        _set_path(error, path)
        raise
    if is_synced:
        sync_directory(path[: path.rindex("/")])


def _open_new(path: str, label: str, mode: int, opened: list[int]) -> tuple[_Directory, str, str]:
    """Opens a new file beside a path, in a directory created on demand, and adds its descriptor to `opened`.

    Returns the directory, the name of the path in it, and that of the new file.
    """
    try:
        return _open_beside(path, label, mode, opened)
    except FileNotFoundError:
        for _ in range(_MOST_TRIES):  # a packing may remove the directory while it is empty
            make_directory(path[: path.rindex("/")])
            with suppress(FileNotFoundError):
                return _open_beside(path, label, mode, opened)
        raise


def _open_beside(path: str, label: str, mode: int, opened: list[int]) -> tuple[_Directory, str, str]:
    try:
        directory, name = _locate(path, is_checked=True)
        temp = label if directory is not _OUTSIDE else f"{path[: path.rindex('/')]}/{label}"
        opened.append(os.open(temp, _NEW_FLAGS, mode, dir_fd=directory.descriptor))
    except OSError as error:
        _set_path(error, path)
        raise
    if directory.is_shared:
        _share(opened[0])
    return directory, name, temp


def _close_all(opened: list[int]) -> None:
    """Closes descriptors, each once however often this is called."""
    while opened:
        os.close(opened.pop())


def remove(path: str) -> None:
    """Removes a file if it is there."""
    try:
        directory, name = _locate(path, is_checked=True)
        os.unlink(name, dir_fd=directory.descriptor)
    except FileNotFoundError:
        pass
    except OSError as error:
        _set_path(error, path)
        raise


def remove_empty_directory(path: str) -> None:
    """Removes a directory if it is there and empty."""
    try:
        directory, name = _locate(path, is_checked=True)
        os.rmdir(name, dir_fd=directory.descriptor)
    except OSError as error:
        _set_path(error, path)
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, *_ABSENT):
            raise


def drop_cached(path: str) -> None:
    """Makes the next read of a synced file come from the disk, where the system supports that."""
    descriptor = _open_regular(path)
    if descriptor is not None:
        try:
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            _close_file(descriptor, path)


def exists(path: str) -> bool:
    """Returns whether there is something at `path`. Errors: OSError for everything but absence."""
    try:
        os.stat(path, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        _set_path(error, path)
        raise
    return True


def may_exist(path: str) -> bool:
    """Returns whether there may be something at `path`: a hint for a writer, who writes the file if not. Cost: no exception."""
    return os.access(path, os.F_OK)


def has_bytes(path: str) -> bool:
    """Returns whether there is a file at `path` that is not empty; True where the system can't tell. Cost: one stat."""
    try:
        found = status_of(path)
    except OSError:
        return True
    return found is not None and found.st_size > 0


def signature(path: str) -> Signature | None:
    """Returns the signature of a file or directory; None if there is none."""
    found = status_of(path)
    return None if found is None else (found.st_ino, found.st_size, found.st_ctime_ns)


def signatures(directory: str, names: Iterable[str]) -> dict[str, Signature]:
    """Returns the signature of each of these entries of a directory; those that are missing are left out. Errors: OSError."""
    found: dict[str, Signature] = {}
    try:
        held = _hold(directory)
    except (FileNotFoundError, NotADirectoryError):  # a link counts as missing
        return found
    stat = os.stat
    above = f"{directory}/" if held.descriptor is None else ""
    for name in names:
        try:
            status = stat(above + name, dir_fd=held.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            continue
        except OSError as error:
            _set_path(error, f"{directory}/{name}")
            raise
        found[name] = status.st_ino, status.st_size, status.st_ctime_ns
    return found


def changed(directory: str, expected: Iterable[tuple[str, int, int]]) -> list[str]:
    """Returns those of these entries of a directory that have not the inode and ctime (ns) that follow their names; with zeros, those
    that are there. Errors: OSError.
    """
    found: list[str] = []
    try:
        held = _hold(directory)
    except (FileNotFoundError, NotADirectoryError):  # a link counts as missing
        return [name for name, inode, _ in expected if inode]
    stat, descriptor = os.stat, held.descriptor
    above = f"{directory}/" if descriptor is None else ""
    for name, inode, ctime in expected:
        try:
            status = stat(above + name, dir_fd=descriptor, follow_symlinks=False)
        except FileNotFoundError:
            if inode:
                found.append(name)
            continue
        except OSError as error:
            _set_path(error, f"{directory}/{name}")
            raise
        if status.st_ino != inode or status.st_ctime_ns != ctime:
            found.append(name)
    return found


def status_of(path: str) -> os.stat_result | None:
    """Returns the status of a file, directory or link; None if there is nothing at `path`."""
    try:
        return os.stat(path, follow_symlinks=False)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        _set_path(error, path)
        raise


def is_regular(status: os.stat_result) -> bool:
    """Returns whether a status is that of a regular file."""
    return stat.S_ISREG(status.st_mode)


def is_link(path: str) -> bool:
    """Returns whether there is a symbolic link at `path`."""
    found = status_of(path)
    return found is not None and stat.S_ISLNK(found.st_mode)


def is_trusted_directory(status: os.stat_result) -> bool:
    """Returns whether a status is that of a directory of this user, or of one whom this user trusts.

    That is root, or a user who shares it with one of this user's groups; never the owner of a directory that everybody may write to.
    """
    if not stat.S_ISDIR(status.st_mode):
        return False
    if status.st_uid == _user_id():
        return True
    if status.st_mode & stat.S_IWOTH:
        return False
    is_shared = bool(status.st_mode & stat.S_IWGRP) and status.st_gid in (_group_id(), *_group_ids())
    return status.st_uid == 0 or is_shared


def times(path: str) -> tuple[int, int] | None:
    """Returns mtime and ctime in ns of a regular file; None if there is none at `path`."""
    found = status_of(path)
    return None if found is None or not stat.S_ISREG(found.st_mode) else (found.st_mtime_ns, found.st_ctime_ns)


def is_own_file(path: str) -> bool:
    """Returns whether a library that follows links may open `path`: nothing is there, or a regular file without another name.

    Errors: OSError if a directory above is a link.
    """
    try:
        directory, name = _locate(path)
        status = os.stat(name, dir_fd=directory.descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return True
    except OSError as error:
        _set_path(error, path)
        raise
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def touch(path: str) -> None:
    """Sets the times of a file to now."""
    try:
        directory, name = _locate(path, is_checked=True)
        os.utime(name, dir_fd=directory.descriptor, follow_symlinks=False)
    except OSError as error:
        _set_path(error, path)
        raise


def rename(path: str, target: str) -> None:
    """Gives a file another name in the same file system; replaces what is there."""
    try:
        source, old = _locate(path, is_checked=True)
        directory, new = _locate(target, is_checked=True)
        os.rename(old, new, src_dir_fd=source.descriptor, dst_dir_fd=directory.descriptor)
    except OSError as error:
        _set_path(error, path)
        error.filename2 = target
        raise


def _is_listable(path: str) -> bool:
    """Returns whether there is a directory at `path`; a link to one does not count."""
    found = status_of(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def list_names(path: str) -> list[str]:
    """Returns the names in a directory, in no order; none if there is no such directory."""
    try:
        return os.listdir(path) if _is_listable(path) else []
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        _set_path(error, path)
        raise


def list_files(path: str) -> list[tuple[str, int]]:
    """Returns name and size in bytes of the regular files in a directory, in no order; none if there is no such directory."""
    found = []
    try:
        if not _is_listable(path):
            return []
        with os.scandir(path) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # removed during the listing
                    if entry.is_file(follow_symlinks=False):
                        found.append((entry.name, entry.stat(follow_symlinks=False).st_size))
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        _set_path(error, path)
        raise
    return found


def iter_line_blocks(path: str, *, limit_bytes: int) -> Iterator[bytes]:
    """Yields the bytes of a regular file in blocks of whole lines, up to a line longer than `limit_bytes`, which is cut there.

    Errors: FileNotFoundError if there is no regular file at `path`. Memory: a block, or one line that is longer.
    """
    descriptor = _open_regular(path)
    if descriptor is None:
        raise FileNotFoundError(errno.ENOENT, "no such file, or no regular one", path)
    opened = _Descriptor(descriptor)
    rest: list[bytes] = []  # of the line whose end was not read yet
    rest_bytes = 0
    while part := _read_chunk(opened, path):
        end = part.rfind(b"\n") + 1
        if end:
            yield b"".join((*rest, part[:end]))
            rest, rest_bytes = [], 0
        rest.append(part[end:])
        rest_bytes += len(part) - end
        if rest_bytes > limit_bytes:
            break
    if rest_bytes:
        yield b"".join(rest)[:limit_bytes]


def _read_chunk(descriptor: int, path: str) -> bytes:
    try:
        return os.read(descriptor, _CHUNK)
    except OSError as error:
        _set_path(error, path)
        raise


def iter_lines(path: str, *, limit_bytes: int) -> Iterator[bytes]:
    """Yields the lines of a regular file, each with its newline; otherwise as `iter_line_blocks`."""
    for block in iter_line_blocks(path, limit_bytes=limit_bytes):
        *lines, last = block.split(b"\n")
        for line in lines:
            yield line + b"\n"
        if last:
            yield last


class NewFile:
    """A new file, written piece by piece under a dot-name. `finish` names it; without that, the end of the context removes it.

    Errors name the path `shown_as`, that of the finished file where it is known; by default the directory.
    """

    def __init__(self, directory: str, *, mode: int = 0o444, shown_as: str = "") -> None:
        self._path = directory
        self._shown = shown_as or directory
        self._is_named = False
        label = f".new.{process.new_label()}"
        self._opened: list[int] = []
        self._new = f"{directory}/{label}"
        try:
            self._directory, _, self._temp = _open_beside(self._new, label, mode, self._opened)
        except BaseException as error:
            self._remove()
            _set_path(error, self._shown)
            raise
        self.size_bytes = 0

    def write(self, data: bytes) -> None:
        """Appends `data`."""
        try:
            write_all(self._opened[0], data)
        except OSError as error:
            _set_path(error, self._shown)
            raise
        self.size_bytes += len(data)

    def finish(self, path: str, *, is_synced: bool = True) -> None:
        """Renames the file to `path`, in the same directory; replaces what is there. With `is_synced` it survives a power cut."""
        if is_synced:
            _sync(self._opened[0], path)
        name = path.rpartition("/")[2] if self._directory is not _OUTSIDE else path
        try:
            os.rename(self._temp, name, src_dir_fd=self._directory.descriptor, dst_dir_fd=self._directory.descriptor)
        except OSError as error:
            _set_path(error, path)
            raise
        self._is_named = True
        if is_synced:
            try:
                sync_directory(self._path)
            except OSError as error:
                _set_path(error, path)
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            _close_all(self._opened)
        except OSError as error:
            _set_path(error, self._shown)
            raise
        finally:
            if not self._is_named:
                self._remove()

    def _remove(self) -> None:
        _close_all(self._opened)
        with suppress(OSError):
            remove(self._new)


def list_kinds(path: str) -> list[tuple[str, str]]:
    """Returns each name in a directory, in no order, with its kind: "file", "directory", or "other" (a link, a pipe, …)."""
    try:
        if _is_listable(path):
            with os.scandir(path) as entries:
                return [(entry.name, _kind_of(entry)) for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        _set_path(error, path)
        raise
    return []


def _kind_of(entry: os.DirEntry[str]) -> str:
    if entry.is_file(follow_symlinks=False):
        return "file"
    return "directory" if entry.is_dir(follow_symlinks=False) else "other"


# Paths that a user gave: links in them are followed.


def absolute_path(path: str) -> str:
    """Returns a path from the root on, by the working directory."""
    return os.path.abspath(path)


def real_path(path: str) -> str:
    """Returns a path from the root on, with all links followed."""
    return os.path.realpath(path)


def kind_at(path: str) -> str:
    """Returns what is at `path`, links followed: "directory" or "other"; empty if there is nothing."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return ""
    return "directory" if stat.S_ISDIR(found.st_mode) else "other"


def has_entry(path: str) -> bool:
    """Returns whether there is something at `path`, be it a link that leads nowhere; False if the system does not let us see."""
    return os.path.lexists(path)


def is_same(path: str, other: str) -> bool:
    """Returns whether two paths lead to the same file or directory."""
    return os.path.samefile(path, other)


def make_directory(path: str, *, is_new_store: bool = False) -> None:
    """Creates a directory and its parents; in a store without following a link.

    The directory of a store itself is made with `is_new_store` alone: one that is gone must not come back empty.
    """
    if not _is_in_store(path):
        try:
            os.makedirs(path, exist_ok=True)
        except OSError as error:
            _set_path(error, error.filename or path)
            raise
        return
    recheck_directories()  # one above may have been created again
    if path.endswith(_STORE) and not is_new_store and not os.path.lexists(path):
        raise FileNotFoundError(errno.ENOENT, "the store's directory is gone", path)
    for is_last in (False, True):
        try:
            directory, name = (_OUTSIDE, path) if path.endswith(_STORE) else _locate(path, is_checked=True)
            os.mkdir(name, dir_fd=directory.descriptor)
            if directory.is_shared or (directory is _OUTSIDE and _is_shared(os.stat(path.rpartition("/")[0]))):
                _share_directory(directory, name, path)
            return
        except FileExistsError:
            return
        except FileNotFoundError as error:
            if is_last:
                _set_path(error, path)
                raise
            make_directory(path.rpartition("/")[0], is_new_store=is_new_store)
        except OSError as error:
            _set_path(error, path)
            raise


def open_directory(path: str) -> int:
    """Returns a descriptor of a directory, for a sync or a lock; in a store without following a link. Errors: OSError."""
    if not _is_in_store(path):
        return _enter(_OUTSIDE, path, path, os.O_RDONLY | _CLOEXEC)
    base, name = (_OUTSIDE, path) if path.endswith(_STORE) else _locate(path)
    return _enter(base, name, path, _SYNC_FLAGS)


def sync_directory(path: str) -> None:
    """Makes the names in a directory survive a power cut."""
    descriptor = open_directory(path)
    try:
        _sync(descriptor, path)
    finally:
        _close_file(descriptor, path)


def sync_data(path: str) -> None:
    """Makes the bytes of a file survive a power cut. Does nothing if there is no regular file."""
    descriptor = _open_regular(path)
    if descriptor is not None:
        try:
            _sync(descriptor, path)
        finally:
            _close_file(descriptor, path)


def sync_filesystem(path: str) -> None:
    """Makes everything written to the file system of `path` survive a power cut."""
    import ctypes  # only at a checkpoint

    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        os.sync()
        return
    descriptor = _enter(_OUTSIDE, path, path, os.O_RDONLY | _CLOEXEC)
    try:
        if syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), path)
    finally:
        _close_file(descriptor, path)


def _is_directory(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


class AppendFile:
    """One of this copy's own files that grows at its end. Opened on first use, and again after the path became another file."""

    _FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | _SAFE_FLAGS

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = -1
        self.identity = (0, 0)  # inode and device of the open file
        self._pid = 0

    def open(self) -> int:
        """Returns a descriptor for reading and appending; creates the file and its directory on demand."""
        if self._descriptor >= 0 and self._pid == process.id:
            return self._descriptor
        try:
            self._descriptor = self._open_regular()
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENOTDIR):
                raise
            self._clear_the_way()
            self._descriptor = self._open_regular()
        self._pid = process.id
        return self._descriptor

    def _open_regular(self) -> int:
        """Returns a descriptor, and sets `identity` to that of its file."""
        try:
            descriptor = self._open_at()
        except FileNotFoundError:
            make_directory(os.path.dirname(self.path))
            descriptor = self._open_at()
        try:
            status = _status(descriptor, self.path)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:  # with another name it may be anyone's
                raise OSError(errno.ENXIO, "not a regular file with this name alone", self.path)
        except BaseException:
            _close_file(descriptor, self.path)
            raise
        self.identity = status.st_ino, status.st_dev
        return descriptor

    def _open_at(self) -> int:
        try:
            directory, name = _locate(self.path, is_checked=True)
            descriptor = os.open(name, self._FLAGS, 0o666, dir_fd=directory.descriptor)
        except OSError as error:
            _set_path(error, self.path)
            raise
        if directory.is_shared:
            _share(descriptor)
        return descriptor

    def _clear_the_way(self) -> None:
        """Renames what is no regular file, or no directory above it: other programs have no files in this place."""
        path = self.path
        while not os.path.lexists(path) or (_is_directory(path) and path != self.path):
            path = os.path.dirname(path)
        if path != self.path and _is_directory(path):
            return
        rename(path, f"{path}.aside.{process.new_label()}")

    def current_size(self) -> int:
        """Returns the size in bytes of the file at the path, and opens it if another one is open. Cost: one stat."""
        if self._descriptor >= 0 and self._pid == process.id:
            try:
                status = os.stat(self.path, follow_symlinks=False)
            except FileNotFoundError:
                self.close()
            except OSError as error:
                _set_path(error, self.path)
                raise
            else:
                if (status.st_ino, status.st_dev) == self.identity:
                    return status.st_size
                self.close()
        return _status(self.open(), self.path).st_size

    def is_inode(self, inode: int) -> bool:
        """Returns whether the open file has this inode, which a stat of the path just returned. Cost: no system call."""
        return self._descriptor >= 0 and self.identity[0] == inode and self._pid == process.id

    def append(self, data: bytes, size_bytes: int) -> None:
        """Appends `data` to the file of `size_bytes`; cuts it back to that size after an error, if the disk lets it."""
        descriptor = self.open()
        try:
            write_all(descriptor, data)
        except BaseException as error:
            _set_path(error, self.path)
            with suppress(OSError):
                os.ftruncate(descriptor, size_bytes)
            raise

    def read_at(self, offset: int, size: int) -> bytes:
        """Returns up to `size` bytes from `offset` on, without a check of the path."""
        return _read_at(self.open(), offset, size, self.path)

    def truncate(self, size_bytes: int) -> None:
        """Cuts the file to `size_bytes`."""
        _cut(self.open(), size_bytes, self.path)

    def sync_data(self) -> None:
        """Makes the bytes appended so far survive a power cut. Never call it again after it failed."""
        descriptor = self.open()
        try:
            os.fdatasync(descriptor)
        except OSError as error:
            _set_path(error, self.path)
            raise

    def is_current(self) -> bool:
        """Returns whether the open file is still the one at the path."""
        if self._descriptor < 0 or self._pid != process.id:
            return False
        try:
            there = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        except OSError as error:
            _set_path(error, self.path)
            raise
        return (there.st_ino, there.st_dev) == self.identity

    def close(self) -> None:
        """Closes the descriptor, in the process that opened it."""
        descriptor, self._descriptor = self._descriptor, -1  # a close that fails has closed it all the same
        if descriptor >= 0 and self._pid == process.id:
            _close_file(descriptor, self.path)

    def close_inherited(self) -> None:
        """Closes the descriptor that a forked child inherited."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            _close_file(descriptor, self.path)


def create_empty(path: str) -> None:
    """Creates an empty file if nothing is there, with the mode of this copy's own files, for a library that opens it by its path."""
    if not exists(path):
        file = AppendFile(path)
        file.open()
        file.close()


class TableFile(AppendFile):
    """One of this copy's own files, small and written in place."""

    _FLAGS = os.O_RDWR | os.O_CREAT | _SAFE_FLAGS

    def write_at(self, offset: int, data: bytes) -> None:
        """Writes a few bytes at `offset`."""
        descriptor = self.open()
        try:
            os.pwrite(descriptor, data, offset)
        except OSError as error:
            _set_path(error, self.path)
            raise


def make_temporary_directory() -> str:
    """Makes a new directory in the system's temporary one, readable by this user alone; returns its path."""
    from tempfile import mkdtemp  # 10 ms: only a throw-away store needs it

    return mkdtemp(prefix="tract-")


def remove_tree(path: str) -> None:
    """Removes a directory with all that is in it, as far as it can be removed."""
    from shutil import rmtree  # only a throw-away store needs it

    rmtree(path, ignore_errors=True)
