"""Files of agents: finds and opens session files, and what belongs to them, for reading alone; their settings are written.

Only this module of the folder reaches the disk. What a session file names is never a path that is followed: a name is
compared with those in the folder, and no link is opened.
"""

from __future__ import annotations

import errno
import glob
import os
import shutil
import stat
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib import import_module
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple, cast

from tract_fs.errors import ArgumentError
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.units import Flaw

_UTF16 = {BOM_UTF16_LE: "utf-16-le", BOM_UTF16_BE: "utf-16-be"}
_LARGEST_BESIDE_BYTES = 48 * 1024 * 1024
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_MODULES = ("compression.zstd", "backports.zstd")  # of Python 3.14; of the extra
_LARGEST_UNPACKED_BYTES = 8 * 1024**3
_KEPT_UNPACKED_BYTES = 16 * 1024 * 1024  # in memory; more is a temporary file
_CHUNK_BYTES = 1024 * 1024
_SESSION_ROOTS = ("sessions", "archived_sessions")
_MOST_SEEN_FILES = 500_000  # of a tree in which a session is looked for
_DEEPEST_BESIDE = 4
_MOST_BESIDE = 10_000
_LARGEST_DATABASE_BYTES = 32 * 1024**3
_BESIDE = _AGENTS, _OUTPUTS = "subagents", "tool-results"  # folders in that of a session: what comes with it
_EVENTS, _EVENT = "events", "event-"  # the folder of OpenHands' event files, and how their names begin
_COPY_BYTES = 1 << 20
_COPY_TRIES = 5


def open_source(file: str | os.PathLike[str] | bytes | BinaryIO, *, is_growing: bool = False) -> Source:
    """Returns a session file as a source: by its path, by its bytes, or as a stream that can seek. Errors: OSError."""
    if isinstance(file, bytes):
        return _source(BytesIO(file), "", "", is_growing=is_growing)
    if isinstance(file, (str, os.PathLike)):
        path = os.path.abspath(os.fspath(file))
        if os.path.isdir(path):
            return _folder_source(path)
        return _source(open(path, "rb"), os.path.basename(path), os.path.dirname(path), is_growing=is_growing)
    return _source(file, "", "", is_growing=is_growing, is_owned=False)


def _folder_source(folder: str) -> Source:
    """Returns a folder of event files as a source: a line for each, in the order of their names. Errors: OSError."""
    events = os.path.join(folder, _EVENTS)
    inside = events if os.path.isdir(events) and not os.path.islink(events) else folder
    names = sorted(name for name in os.listdir(inside) if name.startswith(_EVENT) and name.endswith(".json"))
    if not names:
        raise ArgumentError(f"{folder}: a folder without event files; name the files in it one by one")
    from tempfile import TemporaryFile

    stream = TemporaryFile()  # noqa: SIM115 - the source closes it
    for name in names:
        found = _open_inside(inside, name)
        if found is None:
            stream.write(b"null\n")  # a link, or too large
            continue
        with found:
            stream.write(_one_line(found.read()) + b"\n")
    whole = os.path.dirname(inside) if os.path.basename(inside) == _EVENTS else inside
    return _source(cast(BinaryIO, stream), os.path.basename(whole), whole, is_growing=False, is_owned=True)


def event_folder(path: str) -> FileState | None:
    """Returns the folder of the conversation that an event file is of, with the state of its events; None for other files."""
    events, name = os.path.split(path)
    if os.path.basename(events) != _EVENTS or not name.startswith(_EVENT):
        return None
    found = os.stat(events)
    return FileState(os.path.dirname(events), found.st_size, found.st_mtime_ns, found.st_ino)


def _one_line(data: bytes) -> bytes:
    """Returns a file of JSON as a line; no newline is inside a text of JSON."""
    return b" ".join(data.split(b"\n")).strip() or b"null"


class FileState(NamedTuple):
    """A file as the system lists it; two that are equal hold the same bytes, but for a tool that sets times."""

    path: str
    size: int
    modified_ns: int
    inode: int


def state_of(path: str) -> FileState | None:
    """Returns the state of a regular file; None if there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return FileState(path, found.st_size, found.st_mtime_ns, found.st_ino)


def state_of_session(path: str) -> tuple[FileState, ...]:
    """Returns the state of a session file, or folder, and of the files beside it that come with it; empty if there is none."""
    state = state_of(path)
    if state is None:
        return _state_of_events(path)
    above, name = os.path.split(path)
    stem = os.path.splitext(name)[0]
    tops = [f"{stem}/{top}" for top in _BESIDE] if os.path.isdir(os.path.join(above, stem)) else []
    found = [state_of(os.path.join(above, top, inside)) for top in tops for inside in _list_inside(above, top)]
    return (state, *(one for one in found if one is not None))


def _state_of_events(path: str) -> tuple[FileState, ...]:
    try:
        found = os.stat(os.path.join(path, _EVENTS))
    except (OSError, ValueError):
        return ()
    return (FileState(path, found.st_size, found.st_mtime_ns, found.st_ino),)


def is_of_session(path: str) -> bool:
    """Returns whether a file comes with the session in whose folder it is: that of a sub-agent, or a large output."""
    folder, file = os.path.split(path)
    name = file
    while name:
        folder, name = os.path.split(folder)
        is_known = name == _OUTPUTS or (name == _AGENTS and file.startswith("agent-"))
        if is_known and state_of(f"{folder}.jsonl") is not None:
            return True
    return False


def is_folder(path: str) -> bool:
    """Returns whether a path is a folder."""
    return os.path.isdir(path)


def find_files(root: str, patterns: Iterable[str]) -> list[FileState]:
    """Returns the files below a folder whose paths in it match a pattern (`*` in a name, `**` any folders), by path."""
    found: set[str] = set()
    for pattern in patterns:
        found.update(glob.iglob(os.path.join(glob.escape(root), pattern), recursive=True))
    return [state for state in map(state_of, sorted(found)) if state is not None]


def walk_files(folder: str, endings: tuple[str, ...]) -> Iterator[FileState]:
    """Yields the files below a folder whose names end so, by path; no link and no store is entered."""
    for path, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in (".tract", ".git"))
        for name in sorted(names):
            state = state_of(os.path.join(path, name)) if name.endswith(endings) else None
            if state is not None:
                yield state


def read_text(path: str) -> str | None:
    """Returns the text of a file of settings; None if there is none. Errors: OSError, UnicodeDecodeError."""
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def write_text(path: str, text: str) -> None:
    """Replaces a file of settings in one step, with the mode that it had, and makes its folder. Errors: OSError."""
    path = os.path.realpath(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    before = state_of(path)
    temporary = f"{path}.tract-{os.getpid()}"
    try:
        with open(temporary, "x", encoding="utf-8") as stream:
            stream.write(text)
        if before is not None:
            os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


def expand(path: str) -> str:
    """Returns a path with `~` expanded."""
    return os.path.expanduser(path)


def digest_of(source: Source) -> str:
    """Returns the SHA-256 of a file; where files beside it come with it, of its digest and each name and digest of these."""
    found = _digest(source.stream)
    stem = os.path.splitext(source.name)[0]
    paths = [f"{stem}/{top}/{path}" for top in _BESIDE for path in source.list_beside(f"{stem}/{top}")] if stem else []
    for path in paths:
        beside = source.open_beside(path)
        if beside is not None:
            with beside:
                found = sha256(f"{found}\0{path}\0{_digest(beside)}".encode("utf-8", "replace")).hexdigest()
    return found


def _digest(stream: BinaryIO) -> str:
    stream.seek(0)
    digest = sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _source(stream: BinaryIO, name: str, folder: str, *, is_growing: bool, is_owned: bool = True) -> Source:
    stream.seek(0)
    first = stream.read(len(_ZSTD_MAGIC))
    stream.seek(0)
    flaws: list[Flaw] = []
    if first == _ZSTD_MAGIC:
        packed = stream
        try:
            stream = _unpacked(packed, name, flaws)
        finally:
            if is_owned:
                packed.close()
        is_owned = True
        first = stream.read(2)
        stream.seek(0)
    encoding = _UTF16.get(first[:2], "")
    if encoding:
        stream.seek(2)
        stream = BytesIO(stream.read().decode(encoding, "replace").encode())

    def open_beside(path: str) -> BinaryIO | None:
        return _open_inside(folder, path) if folder else None

    def open_above(levels: int, path: str) -> BinaryIO | None:
        above = folder
        for _ in range(levels):
            above = os.path.dirname(above)
        return _open_inside(above, path) if above else None

    def find(session_id: str) -> Source | None:
        path = _find_session(folder, session_id) if folder else ""
        return _source(open(path, "rb"), os.path.basename(path), "", is_growing=False) if path else None

    def list_beside(path: str) -> list[str]:
        return _list_inside(folder, path) if folder else []

    return Source(
        stream,
        name,
        path=os.path.join(folder, name) if folder else "",
        encoding=encoding,
        is_growing=is_growing,
        is_owned=is_owned,
        open_beside=open_beside,
        open_above=open_above,
        list_beside=list_beside,
        find=find,
        flaws=flaws,
    )


def _unpacked(stream: BinaryIO, name: str, flaws: list[Flaw]) -> BinaryIO:
    """Returns what a zstd file holds; of a damaged one, what precedes the damage. Errors: ArgumentError."""
    from tempfile import SpooledTemporaryFile

    zstd = _zstd(name)
    found = cast(BinaryIO, SpooledTemporaryFile(_KEPT_UNPACKED_BYTES))  # noqa: SIM115 the source reads it
    size = 0
    try:
        with zstd.open(stream) as unpacked:
            while chunk := unpacked.read1(_CHUNK_BYTES):
                size += len(chunk)
                if size > _LARGEST_UNPACKED_BYTES:
                    found.close()
                    raise ArgumentError(
                        f"{name}: more than {_LARGEST_UNPACKED_BYTES:,} bytes unpacked; unpack it yourself"
                    )
                found.write(chunk)
    except (EOFError, zstd.ZstdError) as error:
        flaws.append(Flaw(0, "skipped", f"the compressed file is damaged or cut off after {size:,} bytes: {error}"))
    found.seek(0)
    return found


def _zstd(name: str) -> Any:
    for module in _ZSTD_MODULES:
        try:
            return import_module(module)
        except ImportError:
            continue
    raise ArgumentError(f"{name or 'the file'} is compressed with zstd: pip install 'tract-fs[zst]'")


def _find_session(folder: str, session_id: str) -> str:
    """Returns the path of the session with an id: in the tree of sessions that a folder is in, else in the folder; empty
    if there is none. A file that is not compressed wins, then the latest.
    """
    if not session_id.replace("-", "").isalnum() or not session_id.isascii():
        return ""
    endings = tuple(f"{session_id}.jsonl{packed}" for packed in ("", ".zst"))
    found: list[tuple[bool, str, str]] = []
    seen = 0
    for root, is_tree in _roots(folder):
        for place, folders, names in os.walk(root):
            if not is_tree:
                folders.clear()
            seen += len(names) + len(folders)
            for name in names:
                path = os.path.join(place, name)
                whole = name in endings or (
                    name.startswith("rollout-") and name.endswith(tuple("-" + e for e in endings))
                )
                if whole and os.path.isfile(path) and not os.path.islink(path):
                    found.append((name.endswith("l"), name, path))
            if seen > _MOST_SEEN_FILES:
                break
    return max(found)[2] if found else ""


def _roots(folder: str) -> list[tuple[str, bool]]:
    """Returns the folders in which the sessions of a program are, and whether their subfolders count."""
    above = folder
    while above != os.path.dirname(above):
        above, name = os.path.split(above)
        if name in _SESSION_ROOTS:
            return [(os.path.join(above, root), True) for root in _SESSION_ROOTS]
    return [(folder, False)]


def _open_inside(folder: str, path: str) -> BinaryIO | None:
    """Opens a file in a folder, by a path that a session file names."""
    full = _path_inside(folder, path)
    if full is None or not os.path.isfile(full) or os.path.getsize(full) > _LARGEST_BESIDE_BYTES:
        return None
    return open(full, "rb")


def _list_inside(folder: str, path: str) -> list[str]:
    """Returns the files in a folder of a folder, to a depth and a number; links are left out."""
    top = _path_inside(folder, path)
    found: list[str] = []
    for place, folders, files in os.walk(top) if top is not None else ():
        inside = os.path.relpath(place, top)
        prefix = "" if inside == "." else f"{inside.replace(os.sep, '/')}/"
        if prefix.count("/") >= _DEEPEST_BESIDE:
            folders.clear()
        found += [prefix + name for name in files if not os.path.islink(os.path.join(place, name))]
        if len(found) > _MOST_BESIDE:
            break
    return sorted(found)[:_MOST_BESIDE]


def _path_inside(folder: str, path: str) -> str | None:
    """Returns the full path of what a session file names, which may lead anywhere: only inside the folder, by no link."""
    parts = path.split("/")
    if os.path.isabs(path) or "\0" in path or not all(parts) or ".." in parts or "." in parts:
        return None
    full = folder
    for part in parts:
        full = os.path.join(full, part)
        if os.path.islink(full):
            return None
    return full


@contextmanager
def copied_database(source: Source) -> Iterator[str]:
    """Yields the path of a copy of a SQLite database, with its `-wal`, both of one moment; it is gone at the end.

    Errors: OSError, also where the program wrote all the time; ArgumentError for one that is too large.
    """
    from tempfile import TemporaryDirectory

    files = [source.path, f"{source.path}-wal"] if source.path else []
    with TemporaryDirectory(prefix="tract-") as folder:
        copy = os.path.join(folder, "copy.db")
        for _ in range(_COPY_TRIES):
            before = [_own_state(path) for path in files]
            if sum(state[0] for state in before if state) > _LARGEST_DATABASE_BYTES:
                raise ArgumentError(f"{source.name}: a database of more than {_LARGEST_DATABASE_BYTES:,} bytes")
            source.stream.seek(0)
            with open(copy, "wb") as made:
                shutil.copyfileobj(source.stream, made, _COPY_BYTES)
            if len(before) > 1 and before[1] is not None:
                shutil.copyfile(files[1], f"{copy}-wal", follow_symlinks=False)
            if before == [_own_state(path) for path in files]:
                break
        else:
            raise OSError(errno.EBUSY, "the database was written to during each copy of it; try again", source.path)
        yield copy


def _own_state(path: str) -> tuple[int, int] | None:
    """Returns the size and the time of a regular file that is no link; None if there is none."""
    try:
        found = os.stat(path) if not path.endswith("-wal") else os.lstat(path)
    except FileNotFoundError:
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None
