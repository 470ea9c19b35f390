"""The current branch of the command line: the file HEAD in this copy's own part of local/. Without it, as in a fresh clone, that is main."""

from __future__ import annotations

from typing import NamedTuple

from tract_fs.model.names import is_branch_name
from tract_fs.store import files, place
from tract_fs.store.layout import Layout

DEFAULT = "main"
_LIMIT_BYTES = 1024


class CurrentBranch(NamedTuple):
    """The branch to work on; `is_unknown` if a HEAD that may have named another is not read, as it does not prove to be this copy's own.

    `fault`: why this copy's HEAD names no branch, which leaves the one chosen unknown; else empty.
    """

    name: str
    is_unknown: bool
    fault: str = ""


def read_current_branch(context_path: str) -> CurrentBranch:
    """Returns the branch that HEAD names; main if there is no HEAD."""
    layout = Layout(context_path)
    if not place.bind(layout, create=False):
        return CurrentBranch(DEFAULT, is_unknown=bool(place.unproved(layout)))
    name, fault = _read(layout, layout.current_branch)
    shown = layout.relative(layout.current_branch)
    return CurrentBranch(name, is_unknown=False, fault=f".tract/{shown} {fault}" if fault else "")


def read_branch_before(context_path: str) -> str | None:
    """Returns the branch that was the current one before, for `tract switch -`; None if that is not known."""
    layout = Layout(context_path)
    if not place.bind(layout, create=False) or not files.exists(layout.branch_before):
        return None
    name, fault = _read(layout, layout.branch_before)
    return None if fault else name


def _read(layout: Layout, path: str) -> tuple[str, str]:
    """Returns the branch that a file like HEAD names, and why it names none."""
    try:
        data = files.read(path, limit_bytes=_LIMIT_BYTES)
        if data is None:
            return DEFAULT, "is no file, or too large" if files.exists(path) else ""
        name = data.decode().removesuffix("\n")
    except OSError as error:
        return DEFAULT, f"can't be read: {error.strerror}"
    except ValueError:
        return DEFAULT, "names no branch"
    if not name:
        return DEFAULT, "is empty"
    return (name, "") if is_branch_name(name) else (DEFAULT, "names no branch")


def write_current_branch(context_path: str, branch: str, *, is_renamed: bool = False) -> None:
    """Makes HEAD name a branch, and notes the one before, unless that was only renamed. Errors: OSError."""
    layout = Layout(context_path)
    place.bind(layout, create=True)
    before, fault = _read(layout, layout.current_branch)
    if not fault and before != branch and not is_renamed:
        files.replace(layout.branch_before, f"{before}\n".encode(), mode=0o666)
    files.replace(layout.current_branch, f"{branch}\n".encode(), mode=0o666)
