"""The current branch of the command line: the file local/HEAD of a store. It is this copy's own, and no truth: a bad one counts as missing."""

from __future__ import annotations

from tract_fs.model.names import is_branch_name
from tract_fs.store import files
from tract_fs.store.layout import Layout

DEFAULT = "main"
_LIMIT_BYTES = 1024


def read_current_branch(context_path: str) -> str:
    """Returns the branch that local/HEAD names; main if it names none."""
    try:
        data = files.read(Layout(context_path).current_branch, limit_bytes=_LIMIT_BYTES)
        name = (data or b"").decode().removesuffix("\n")
    except (OSError, ValueError):
        return DEFAULT
    return name if is_branch_name(name) else DEFAULT


def write_current_branch(context_path: str, branch: str) -> None:
    """Makes local/HEAD name a branch. Errors: OSError."""
    files.write_new(Layout(context_path).current_branch, f"{branch}\n".encode(), mode=0o644)
