"""The current branch of the command line: the file HEAD in this copy's own part of local/. It is this copy's own, and no truth: a bad one counts as missing."""

from __future__ import annotations

from typing import NamedTuple

from tract_fs.model.names import is_branch_name
from tract_fs.store import files, place
from tract_fs.store.layout import Layout

DEFAULT = "main"
_LIMIT_BYTES = 1024


class CurrentBranch(NamedTuple):
    """The branch to work on; `is_unknown` if a HEAD that may have named another is not read, as it does not prove to be this copy's own."""

    name: str
    is_unknown: bool


def read_current_branch(context_path: str) -> CurrentBranch:
    """Returns the branch that HEAD names; main if it names none."""
    layout = Layout(context_path)
    if not place.bind(layout, create=False):
        return CurrentBranch(DEFAULT, is_unknown=bool(place.unproved(layout)))
    return CurrentBranch(_read(layout), is_unknown=False)


def _read(layout: Layout) -> str:
    try:
        data = files.read(layout.current_branch, limit_bytes=_LIMIT_BYTES)
        name = (data or b"").decode().removesuffix("\n")
    except (OSError, ValueError):
        return DEFAULT
    return name if is_branch_name(name) else DEFAULT


def write_current_branch(context_path: str, branch: str) -> None:
    """Makes HEAD name a branch. Errors: OSError."""
    layout = Layout(context_path)
    place.bind(layout, create=True)
    files.replace(layout.current_branch, f"{branch}\n".encode(), mode=0o666)
