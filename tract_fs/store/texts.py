"""The three text files of a store: one marks the directory as a store, two keep git from rewriting or ignoring its files. FORMAT.md, section 2."""

from __future__ import annotations

import os

from tract_fs.errors import (
    FormatMissing,
    JsonValueError,
    NotAStore,
    StoreNotCheckedOut,
    StoreNotFound,
    UnsupportedFormat,
)
from tract_fs.model import canonical
from tract_fs.model.damage import unreadable, with_line_ends_undone
from tract_fs.store import files
from tract_fs.store.layout import EARLIER_TEXTS, FORMAT_VERSION, STORE_DIRECTORY, TEXT_FILES, Layout
from tract_fs.store.outer_git import how_to_check_out

_LIMIT_BYTES = 1 << 20


def damaged(layout: Layout) -> list[str]:
    """Returns the text files that are missing or have other bytes."""
    return [name for name, text in TEXT_FILES.items() if _read(layout, name) != text]


def outdated(layout: Layout) -> list[str]:
    """Returns the text files that differ only in their line ends, or that an earlier version wrote."""
    found = []
    for name, text in TEXT_FILES.items():
        data = _read(layout, name) or b""
        if text in with_line_ends_undone(data) or data == EARLIER_TEXTS.get(name):
            found.append(name)
    return found


def write(layout: Layout, names: list[str]) -> None:
    """Writes text files with their right bytes; the lock is held, or there is no store yet."""
    for name in names:
        files.replace(f"{layout.root}/{name}", TEXT_FILES[name], mode=0o666)


def restore_format(layout: Layout) -> bool:
    """Writes FORMAT again where parts of a store lie and it is missing, unreadable, or names no format that can be read; returns whether it did.

    One of a greater version stays, and so does what is no regular file.
    """
    data = _read(layout, "FORMAT")
    is_occupied = data is None and files.exists(layout.format)
    if is_occupied or not _parts(layout) or (data is not None and _version_of(data) is not None):
        return False
    write(layout, ["FORMAT"])
    return True


def _parts(layout: Layout) -> list[str]:
    """Returns the directories of a store that lie at the layout's path with something in them."""
    paths = (layout.objects, layout.events, layout.packs, layout.local_root)
    return [f"{layout.relative(path)}/" for path in paths if files.list_names(path)]


def _version_of(data: bytes) -> int | None:
    """Returns the version that the bytes of a FORMAT file name, or None if they are damaged, or not of this format."""
    try:
        found = canonical.decode(data)
        version = found["version"] if found.get("format") == "tract-fs" else None
    except (JsonValueError, AttributeError, KeyError):
        return None
    return version if type(version) is int and version >= 1 else None


def _read(layout: Layout, name: str) -> bytes | None:
    """Returns the bytes of a text file; None if there is none, empty if it can't be read."""
    try:
        return files.read(f"{layout.root}/{name}", limit_bytes=_LIMIT_BYTES)
    except OSError as error:
        if error.errno not in files.UNREADABLE:
            raise
        return b""


def require_format(layout: Layout, *, create: bool) -> None:
    """Returns if there is a store at the layout's path; with `create`, creates one if there is none.

    Line ends that a tool rewrote do not matter.
    Errors: StoreNotFound, FormatMissing (parts of a store lie there), StoreNotCheckedOut (git has it), NotAStore, UnsupportedFormat.
    """
    if files.kind_at(layout.context) == "other":
        raise NotAStore(path=layout.context, reason="a file, where a context directory was expected")
    try:
        data = files.read(layout.format, limit_bytes=1 << 20)
        is_occupied = data is None and files.exists(layout.format)
        parts = _parts(layout) if data is None and not is_occupied else []
        if is_occupied or parts:  # perhaps another process has created the store just now, FORMAT before its parts
            data = files.read(layout.format, limit_bytes=1 << 20)
            is_occupied = is_occupied and data is None
    except NotADirectoryError:
        raise NotAStore(path=layout.context, reason="a part of the path is a file") from None
    except OSError as error:
        if error.errno not in files.UNREADABLE:
            raise
        reason = f"{unreadable(error.strerror)}; mend its permissions, or let 'tract repair' write it again"
        raise NotAStore(path=layout.format, reason=reason) from error
    if is_occupied:
        raise NotAStore(path=layout.format, reason="no regular file; move it away")
    if data is None and parts:
        raise FormatMissing(path=layout.context, found=", ".join(parts))
    command = how_to_check_out(layout.context) if data is None else None
    if command is not None:
        raise StoreNotCheckedOut(path=layout.context, command=command)
    if data is None or (create and not data.strip(b"\0")):  # blank: a power cut lost the bytes of a new store
        if not create:
            above = layout.context
            while not files.has_entry(above):
                above = os.path.dirname(above)
            if files.kind_at(above) != "directory":
                raise NotAStore(path=layout.context, reason="a part of the path is a file")
            raise StoreNotFound(path=layout.context)
        if f"/{STORE_DIRECTORY}/" in f"{layout.context}/":
            reason = f"this is inside a store; give the directory that is to hold {STORE_DIRECTORY}"
            raise NotAStore(path=layout.context, reason=reason)
        try:
            files.make_directory(layout.local_root, is_new_store=True)
        except (NotADirectoryError, FileExistsError):
            raise NotAStore(path=layout.context, reason="a part of the path is a file") from None
        write(layout, list(TEXT_FILES))
        return
    version = _version_of(data)
    if version is None:
        reason = "FORMAT is damaged, or not of this format; if a store lies here, 'tract repair' writes it again"
        raise NotAStore(path=layout.format, reason=reason)
    if version > FORMAT_VERSION:
        raise UnsupportedFormat(path=layout.context, found=version, supported=FORMAT_VERSION)
