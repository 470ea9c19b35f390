"""The outer repository: the git work tree that a store lies in, as far as its own files show it. Runs no git, and writes nothing.

What lies there is a stranger's data: each file is read to a limit, and what can't be read counts as unknown. The environment
(`GIT_DIR`) and git's configuration (`core.worktree`) are not consulted. Source: gitrepository-layout(5), gitformat-index(5).
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from hashlib import sha256
from typing import NamedTuple

from tract_fs.model.names import is_branch_name
from tract_fs.store import files
from tract_fs.store.layout import STORE_DIRECTORY, Layout

_LINK_BYTES = 4096  # of a file that names a directory
_INDEX_BYTES = 128 * 1024 * 1024  # a million names
_REFS_BYTES = 64 * 1024 * 1024  # of `packed-refs`
_FEW = 64
_AT_WORK_NS = 2_000_000_000  # git moves HEAD right after it has written the index
_WHOLE_NAMES = (2, 3)  # the versions of the index in which each entry has its whole path
_SHORT_NAMES = 4  # the version in which an entry has only the rest of its path after that of the entry before
_NAME_BYTES = 4096  # of a path
_HASH_BYTES = (20, 32)  # of an object's name, by the repository's format
_EXTENDED = 0x4000
_STAGE = 0x3000
_JOINS = {
    "MERGE_HEAD": "merge",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
}


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


class TrackedStore(NamedTuple):
    """A store whose files git tracks, or may: the git directory, and the path of the store from the top of the work tree on."""

    git_directory: str
    path: str

    def tracks(self, packs: Collection[str]) -> set[str]:
        """Returns the packs that git surely tracks."""
        needles = {_encoded(f"{self.path}/packs/{name}") + b"\0": name for name in packs}
        return {needles[needle] for needle in _found_in_index(self.git_directory, needles) or ()}

    def stopped_join(self) -> str:
        """Returns what git was doing when it stopped with conflicts in the store: `merge`, `rebase`, `cherry-pick` or `revert`; else an empty
        string.
        """
        start = _encoded(self.path) + b"/"
        for name, join in _JOINS.items():
            if files.has_entry(f"{self.git_directory}/{name}"):
                with suppress(ValueError):
                    entries = _entries(_index_bytes(self.git_directory) or b"")
                    if any(stage and path.startswith(start) for stage, path in entries):
                        return join
        return ""


def tracked_store(layout: Layout) -> TrackedStore | None:
    """Returns the store as git tracks it; None if it is in no work tree, or git surely does not track it."""
    repository = outer_repository(layout.context)
    if repository is None:
        return None
    below = f"{files.real_path(layout.context)}/{STORE_DIRECTORY}".removeprefix(repository.top).lstrip("/")
    is_tracked = index_names(repository.git_directory, _encoded(f"{below}/FORMAT") + b"\0")
    return None if is_tracked is False else TrackedStore(repository.git_directory, below)


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

    A needle is the end of a path from the top of the work tree on, with at least one slash and a zero byte at the end, such as
    `.tract/packs/<hash>\\0`: names without a directory also stand in lists of untracked files. Cost: reads the index, of at most 128 MiB.
    """
    found = _found_in_index(git, needles)
    if found:
        return True
    return None if found is None or _is_split(git) else False


def _encoded(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _found_in_index(git: str, needles: Collection[bytes]) -> set[bytes] | None:
    """Returns those of the needles that an index has; None if it can't be read."""
    data = _index_bytes(git)
    if not data:
        return set() if data is None else None
    version = int.from_bytes(data[4:8], "big")
    if version in _WHOLE_NAMES:
        return {needle for needle in needles if needle in data}
    found: set[bytes] = set()
    try:
        for _, path in _entries(data):
            found.update(needle for needle in needles if (path + b"\0").endswith(needle))
    except ValueError:
        return None
    return found


def _index_bytes(git: str) -> bytes | None:
    """Returns the bytes of a git directory's index; None if there is none, empty if it can't be read, is too large or no index."""
    data: bytes | None = None
    with suppress(OSError):
        if not files.exists(f"{git}/index"):
            return None
        data = files.read(f"{git}/index", limit_bytes=_INDEX_BYTES)
    return data if data is not None and data[:4] == b"DIRC" else b""


def _entries(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields stage (0: no conflict) and path of each entry of an index. Errors: ValueError if it is not of a form known here."""
    failure = ValueError("no index")
    for hash_bytes in _HASH_BYTES:
        try:
            for _ in _entries_of(data, hash_bytes):
                pass
        except ValueError as error:
            failure = error
        else:
            yield from _entries_of(data, hash_bytes)
            return
    raise failure


def _entries_of(data: bytes, hash_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Yields stage and path of each entry of an index whose object names have so many bytes. Errors: ValueError."""
    version, count = int.from_bytes(data[4:8], "big"), int.from_bytes(data[8:12], "big")
    if version not in (*_WHOLE_NAMES, _SHORT_NAMES):
        raise ValueError(f"version {version}")
    at, path, before = 12, b"", (b"", -1)
    for _ in range(count):
        start = at
        at += 40 + hash_bytes
        flags = int.from_bytes(data[at : at + 2], "big")
        at += 4 if flags & _EXTENDED else 2
        kept = b""
        if version == _SHORT_NAMES:
            dropped, at = _number(data, at)
            if dropped > len(path):
                raise ValueError("more is dropped than there is")
            kept = path[: len(path) - dropped]
        end = data.index(b"\0", at)
        path = kept + data[at:end]
        stage = (flags & _STAGE) >> 12
        if len(path) > _NAME_BYTES or (path, stage) <= before:
            raise ValueError("no path, or not in order")
        before = path, stage
        at = end + 1 if version == _SHORT_NAMES else start + ((end - start) // 8 + 1) * 8
        yield stage, path
    if at + hash_bytes > len(data):
        raise ValueError("cut off")


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Returns a number of variable length and where it ends. Errors: ValueError."""
    value = -1
    for end in range(at, min(at + 5, len(data))):
        value = ((value + 1) << 7) | (data[end] & 127)
        if data[end] < 128:
            return value, end + 1
    raise ValueError("no number")


def how_to_check_out(context: str) -> str | None:
    """Returns the command that brings back the store of a context directory that git's index has, while no file of it is there.

    None if the index has none there, or that can't be told. Cost: reads the index, if the directory is in a work tree.
    """
    from shlex import quote  # only for this message

    found = outer_repository(context)
    if found is None:
        return None
    store = os.path.relpath(os.path.join(files.real_path(context), STORE_DIRECTORY), found.top)
    name = _encoded(f"{store}/FORMAT")
    # Before a name stand its flags, of two bytes: the lower is the name's length, or zero if git leaves the file out of the
    # work tree. With a sparse index a directory that is left out may have one name instead.
    left_out = b"\0%b\0" % name, b"\0%b\0" % name.removesuffix(b"FORMAT")
    if index_names(found.git_directory, *left_out):
        return f"git -C {quote(found.top)} sparse-checkout add {quote(store)}"
    if index_names(found.git_directory, b"%c%b\0" % (len(name) & 0xFF, name)):
        return f"git -C {quote(found.top)} checkout -- {quote(store)}"
    return None


def names_of_index(found: OuterRepository, root: str, paths: set[str]) -> set[str]:
    """Returns which of a store's files, by their paths from its directory `root` on, git's index has; all if it has not the store.

    Cost: reads the index, for few paths once each.
    """
    below = files.real_path(root)[len(found.top) :].strip("/")
    needles = {path: _encoded(f"{below}/{path}") + b"\0" for path in (*paths, "FORMAT")}
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
