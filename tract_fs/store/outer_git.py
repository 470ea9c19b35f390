"""The outer repository: the git work tree that a store lies in, as far as its own files show it. Runs no git, and writes nothing.

What lies there is a stranger's data: each file is read to a limit, and what can't be read counts as unknown. The environment
(`GIT_DIR`) and git's configuration (`core.worktree`) are not consulted. Source: gitrepository-layout(5), gitformat-index(5).
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NamedTuple

from tract_fs.store import files
from tract_fs.store.layout import STORE_DIRECTORY

_LINK_BYTES = 4096  # of a file that names a directory
_INDEX_BYTES = 128 * 1024 * 1024  # a million names
_WHOLE_NAMES = (2, 3)  # the versions of the index in which each entry has its whole path


class OuterRepository(NamedTuple):
    """A git work tree: its top directory, and its git directory (of a linked work tree, that work tree's own)."""

    top: str
    git_directory: str


def outer_repository(path: str) -> OuterRepository | None:
    """Returns the work tree that a directory lies in, by the nearest `.git` at it or above that leads to a git directory; None if there is none."""
    top, below = files.real_path(path), ""
    while top != below:
        git = _led_to(top)
        if git is not None:
            return OuterRepository(top, git)
        top, below = os.path.dirname(top), top
    return None


def git_directory(path: str) -> str | None:
    """Returns the git directory of the work tree that a directory lies in; None if it lies in none."""
    found = outer_repository(path)
    return None if found is None else found.git_directory


def common_directory(git: str) -> str:
    """Returns the directory with what all work trees of a repository share (refs, `info/exclude`): the git directory itself, or the main one."""
    named = _path_in(f"{git}/commondir", "")
    return git if named is None else os.path.join(git, named)


def index_names(git: str, *needles: bytes) -> bool | None:
    """Returns whether a git directory's index has one of these bytes; None if that can't be told.

    A needle is the end of a path from the top of the work tree on, with at least one slash, such as `.tract/packs/<hash>`: names without
    a directory also stand in lists of untracked files. Cost: reads the index, of at most 128 MiB.
    """
    data: bytes | None = None
    with suppress(OSError):
        if not files.exists(f"{git}/index"):
            return False
        data = files.read(f"{git}/index", limit_bytes=_INDEX_BYTES)
    if data is None or data[:4] != b"DIRC":
        return None
    if any(needle in data for needle in needles):
        return True
    is_whole = int.from_bytes(data[4:8], "big") in _WHOLE_NAMES and not _is_split(git)
    return False if is_whole else None


def how_to_check_out(context: str) -> str | None:
    """Returns the command that brings back the store of a context directory that git's index has, while no file of it is there.

    None if the index has none there, or that can't be told. Cost: reads the index, if the directory is in a work tree.
    """
    from shlex import quote  # only for this message

    found = outer_repository(context)
    if found is None:
        return None
    store = os.path.relpath(os.path.join(files.real_path(context), STORE_DIRECTORY), found.top)
    name = f"{store}/FORMAT".encode("utf-8", "surrogateescape")
    # Before a name stand its flags, of two bytes: the lower is the name's length, or zero if git leaves the file out of the
    # work tree. With a sparse index a directory that is left out may have one name instead.
    left_out = b"\0%b\0" % name, b"\0%b\0" % name.removesuffix(b"FORMAT")
    if index_names(found.git_directory, *left_out):
        return f"git -C {quote(found.top)} sparse-checkout add {quote(store)}"
    if index_names(found.git_directory, b"%c%b\0" % (len(name) & 0xFF, name)):
        return f"git -C {quote(found.top)} checkout -- {quote(store)}"
    return None


def _led_to(top: str) -> str | None:
    """Returns the git directory that a directory's `.git` is or names; None if it is no git directory."""
    git = f"{top}/.git"
    kind = files.kind_at(git)
    if kind == "other":
        named = _path_in(git, "gitdir: ")
        git, kind = ("", "") if named is None else (os.path.join(top, named), "directory")
    return files.real_path(git) if kind and files.has_entry(f"{git}/HEAD") else None


def _path_in(file: str, before: str) -> str | None:
    """Returns the path that a small file names after some characters; None if there is no such file, or it names none."""
    data: bytes | None = None
    with suppress(OSError):
        data = files.read(file, limit_bytes=_LINK_BYTES)
    text = "" if data is None else data.decode("utf-8", "surrogateescape").rstrip("\r\n")
    path = text.removeprefix(before)
    return path if text.startswith(before) and path and "\0" not in path else None


def _is_split(git: str) -> bool:
    """Returns whether a part of the index is in another file (`git update-index --split-index`), or may be."""
    try:
        return any(name.startswith("sharedindex.") for name in files.list_names(git))
    except OSError:
        return True
