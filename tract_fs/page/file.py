"""The file of a page: where it is written, and over what."""

from __future__ import annotations

import os
from pkgutil import get_data

from msgspec import Struct

from tract_fs.errors import ArgumentError
from tract_fs.model.tokens import PER_REPLY
from tract_fs.page.columns import tract_data
from tract_fs.page.document import MARK, make_document
from tract_fs.store import files
from tract_fs.work.session import Session


class PageInfo(Struct, frozen=True):
    """A page that was written: its path, its size, and what it shows."""

    path: str
    size_bytes: int
    tracts: tuple[str, ...]
    commit_count: int


def write_page(session: Session, file: str | os.PathLike[str], *, all_tracts: bool) -> PageInfo:
    """Writes the page of the session's tract, or of all tracts of its store; see the facade."""
    path = _require_free(file)
    others = set(session.store.list_tracts()) - {session.tract_id} if all_tracts else ()
    tracts = [tract_data(session.reader), *(_data_of(session, tract_id) for tract_id in sorted(others))]
    template = get_data("tract_fs.page", "page.html")
    assert template is not None
    document = make_document(template, {"tracts": tracts, "per_reply": PER_REPLY})
    files.replace(path, document, mode=0o666)
    return PageInfo(
        path, len(document), tuple(tract["id"] for tract in tracts), sum(len(tract["op"]) for tract in tracts)
    )


def _data_of(session: Session, tract_id: str) -> dict[str, object]:
    other = session.open_beside(tract_id=tract_id, branch="main")
    try:
        return tract_data(other.reader)
    finally:
        other.close()


def _require_free(file: object) -> str:
    """Returns the absolute path of the page, links followed; a page that is there may be replaced. Errors: ArgumentError."""
    found = os.fspath(file) if isinstance(file, (str, os.PathLike)) else None
    if type(found) is not str or "\0" in found or not found:
        raise ArgumentError(f"page {file!r}: give the path of a file as a string or pathlib.Path")
    path = files.real_path(found)
    if files.exists(path) and files.read_at(path, 0, len(MARK)) != MARK:
        raise ArgumentError(f"{path} exists, and is no page of this command: choose another name; nothing was written")
    return path
