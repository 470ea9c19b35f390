"""Files of agents: opens a session file, and what lies in the folder beside it, for reading alone."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from io import BytesIO
from typing import BinaryIO, cast

from tract_fs.errors import ArgumentError
from tract_fs.transcripts.source import Source

_UTF16 = {BOM_UTF16_LE: "utf-16-le", BOM_UTF16_BE: "utf-16-be"}
_LARGEST_BESIDE_BYTES = 48 * 1024 * 1024
_LARGEST_DATABASE_BYTES = 32 * 1024**3
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


def _one_line(data: bytes) -> bytes:
    """Returns a file of JSON as a line; no newline is inside a text of JSON."""
    return b" ".join(data.split(b"\n")).strip() or b"null"


def digest_of(source: Source) -> str:
    """Returns the SHA-256 of a file."""
    source.stream.seek(0)
    digest = sha256()
    while block := source.stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _source(stream: BinaryIO, name: str, folder: str, *, is_growing: bool, is_owned: bool = True) -> Source:
    encoding = _UTF16.get(stream.read(2), "")
    if encoding:
        stream = BytesIO(stream.read().decode(encoding, "replace").encode())

    def open_beside(path: str) -> BinaryIO | None:
        return _open_inside(folder, path) if folder else None

    def open_above(levels: int, path: str) -> BinaryIO | None:
        above = folder
        for _ in range(levels):
            above = os.path.dirname(above)
        return _open_inside(above, path) if above else None

    return Source(
        stream,
        name,
        path=os.path.join(folder, name) if folder else "",
        encoding=encoding,
        is_growing=is_growing,
        is_owned=is_owned,
        open_beside=open_beside,
        open_above=open_above,
    )


def _open_inside(folder: str, path: str) -> BinaryIO | None:
    """Opens a file in a folder, by a path that a session file names, so it may lead anywhere: only inside, by no link."""
    parts = path.split("/")
    if os.path.isabs(path) or "\0" in path or not all(parts) or ".." in parts or "." in parts:
        return None
    full = folder
    for part in parts:
        full = os.path.join(full, part)
        if os.path.islink(full):
            return None
    if not os.path.isfile(full) or os.path.getsize(full) > _LARGEST_BESIDE_BYTES:
        return None
    return open(full, "rb")


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
