"""The current branch of the command line: the file HEAD in this copy's own part of local/. It is this copy's own, and no truth: a bad one counts as missing."""

from __future__ import annotations

from tract_fs.model.names import is_branch_name
from tract_fs.store import files, place
from tract_fs.store.layout import Layout

DEFAULT = "main"
_LIMIT_BYTES = 1024


def read_current_branch(context_path: str) -> str:
    """Returns the branch that local/HEAD names; main if it names none."""
    layout = Layout(context_path)
    place.bind(layout, create=False)
    try:
        data = files.read(layout.current_branch, limit_bytes=_LIMIT_BYTES)
        name = (data or b"").decode().removesuffix("\n")
    except (OSError, ValueError):
        return DEFAULT
    return name if is_branch_name(name) else DEFAULT


def is_choice_unknown(context_path: str) -> bool:
    """Tells whether a branch may have been chosen here by a HEAD that is not read, as it does not prove to be this copy's own."""
    layout = Layout(context_path)
    return not place.bind(layout, create=False) and bool(place.unproved(layout))


def write_current_branch(context_path: str, branch: str) -> None:
    """Makes local/HEAD name a branch. Errors: OSError."""
    layout = Layout(context_path)
    place.bind(layout, create=True)
    files.write_new(layout.current_branch, f"{branch}\n".encode(), mode=0o644)
