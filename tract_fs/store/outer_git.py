"""The outer repository: the git work tree that a store lies in, as far as its own files show it. Runs no git, and writes nothing.

What lies there is a stranger's data: each file is read to a limit, and what can't be read counts as unknown. The environment
(`GIT_DIR`) and git's configuration (`core.worktree`) are not consulted. Source: gitrepository-layout(5), gitformat-index(5).
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from hashlib import sha256
from typing import NamedTuple

from tract_fs.model.names import is_branch_name
from tract_fs.store import files

_LINK_BYTES = 4096  # of a file that names a directory
_INDEX_BYTES = 128 * 1024 * 1024  # a million names
_REFS_BYTES = 64 * 1024 * 1024  # of `packed-refs`
_FEW = 64
_AT_WORK_NS = 2_000_000_000  # git moves HEAD right after it has written the index
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


def names_of_index(found: OuterRepository, root: str, paths: set[str]) -> set[str]:
    """Returns which of a store's files, by their paths from its directory `root` on, git's index has; all if it has not the store.

    Cost: reads the index, for few paths once each.
    """
    below = files.real_path(root)[len(found.top) :].strip("/")
    needles = {path: f"{below}/{path}".encode("utf-8", "surrogateescape") for path in (*paths, "FORMAT")}
    if index_names(found.git_directory, needles.pop("FORMAT")) is False:
        return paths
    if not index_names(found.git_directory, *needles.values()):
        return set()
    if len(paths) > _FEW:
        return paths
    return {path for path, needle in needles.items() if index_names(found.git_directory, needle)}


def checkout_state(git: str) -> str:
    """Returns a text that differs once git has moved HEAD or the stash of a work tree, in hexadecimal.

    It covers HEAD, the commit of the ref that it names, the stash, and the length of HEAD's reflog, which grows when HEAD goes away and
    comes back. Cost: reads a few small files.
    """
    common = common_directory(git)
    head = head_of(git)
    found = [head, *(_commit_of(git, common, ref) for ref in (head.removeprefix("ref: "), "refs/stash"))]
    found += [_text(f"{place}/reftable/tables.list") for place in dict.fromkeys((git, common))]
    log = None
    with suppress(OSError):
        log = files.signature(f"{git}/logs/HEAD")
    found.append("" if log is None else str(log[1]))
    return sha256("\n".join(found).encode("utf-8", "surrogateescape")).hexdigest()


def head_of(git: str) -> str:
    """Returns what HEAD names: `ref: refs/heads/<branch>`, or a commit; empty if it can't be read."""
    return _text(f"{git}/HEAD")


def is_at_work(git: str) -> bool:
    """Returns whether git may be about to move HEAD: it changes the index, or did a moment ago."""
    try:
        if any(files.exists(f"{git}/{name}") for name in ("index.lock", "HEAD.lock")):
            return True
        written = files.times(f"{git}/index")
    except OSError:
        return False
    return written is not None and abs(time.time_ns() - written[0]) < _AT_WORK_NS


def _commit_of(git: str, common: str, ref: str) -> str:
    """Returns the commit of a ref, empty if it has none: of a file of its own, or a line of `packed-refs`."""
    if not ref.startswith("refs/") or not is_branch_name(ref):
        return ""
    found = _text(f"{git}/{ref}") or _text(f"{common}/{ref}")
    if not found:
        packed: bytes | None = None
        with suppress(OSError):
            packed = files.read(f"{common}/packed-refs", limit_bytes=_REFS_BYTES)
        before, is_there, _ = (packed or b"").partition(f" {ref}\n".encode("utf-8", "surrogateescape"))
        found = before.rpartition(b"\n")[2].decode("ascii", "replace") if is_there else ""
    return found


def _text(path: str) -> str:
    """Returns the text of a small file without white space at its ends; empty if there is none, or it can't be read."""
    data: bytes | None = None
    with suppress(OSError):
        data = files.read(path, limit_bytes=_LINK_BYTES)
    return "" if data is None else data.decode("utf-8", "surrogateescape").strip()


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
