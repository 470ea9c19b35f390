"""Files of agents: finds and opens session files, and what lies beside them, for reading alone; their settings are written.

Only this module of the folder reaches the disk.
"""

from __future__ import annotations

import glob
import os
import stat
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Iterator
from hashlib import sha256
from io import BytesIO
from typing import BinaryIO, NamedTuple

from tract_fs.transcripts.source import Source

_UTF16 = {BOM_UTF16_LE: "utf-16-le", BOM_UTF16_BE: "utf-16-be"}
_LARGEST_BESIDE_BYTES = 48 * 1024 * 1024


def open_source(file: str | os.PathLike[str] | bytes | BinaryIO, *, is_growing: bool = False) -> Source:
    """Returns a session file as a source: by its path, by its bytes, or as a stream that can seek. Errors: OSError."""
    if isinstance(file, bytes):
        return _source(BytesIO(file), "", "", is_growing=is_growing)
    if isinstance(file, (str, os.PathLike)):
        path = os.path.abspath(os.fspath(file))
        return _source(open(path, "rb"), os.path.basename(path), os.path.dirname(path), is_growing=is_growing)
    return _source(file, "", "", is_growing=is_growing, is_owned=False)


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

    return Source(stream, name, encoding=encoding, is_growing=is_growing, is_owned=is_owned, open_beside=open_beside)


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
