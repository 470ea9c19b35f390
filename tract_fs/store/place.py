"""The place: this copy's own directory in `local/`, whose name proves that it was made here.

`local/` travels with a store: a copying tool or a stranger brings one along. So each copy keeps its own files in `local/<place>/`, and no
file below `local/` is opened until the name of that directory is proved: it is a digest of the inode and the change time of the marker file
in it, of the inode of the directory, and of the token in the marker. The kernel sets a change time, to the nanosecond, and an inode number; no tool can carry
either along or choose it. A stranger knows his token, but would have to know, before the copy is made, at which inode and in which clock tick it will be made.
What is not proved is never read, and left where it lies. Format: FORMAT.md, section 10.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from hashlib import sha256

from tract_fs.errors import NotAStore
from tract_fs.model.names import is_hex
from tract_fs.store import files
from tract_fs.store.layout import Layout
from tract_fs.store.lock import holding_directory

MARKER = "made-here"
_NAME_DIGITS = 32
_TOKEN_BYTES = 32
_MOST_LOOKED_AT = 1000  # more than these came from elsewhere, and the cost of a look must not grow with them


def bind(layout: Layout, *, create: bool) -> bool:
    """Makes the layout's `local` the place of this copy, where there is one, or with `create` a new one; tells whether it has one.

    Without one, `local` is a path at which there is nothing.
    """
    found = _find(layout)
    if found is None and create:
        with suppress(OSError):  # a disk that can't be written: the handle does without
            found = _make(layout)
    layout.use_place(*found or (None,))
    return found is not None


def is_there(layout: Layout) -> bool:
    """Tells whether the place that the layout is bound to is still there. Cost: one stat."""
    return files.may_exist(f"{layout.local}/{MARKER}")


def unproved(layout: Layout) -> list[str]:
    """Returns the names in `local/` that are not this copy's place: brought along from elsewhere, or left by an earlier version. They are never read."""
    own = os.path.basename(layout.local)
    names = files.list_names(layout.local_root)
    return sorted(name for name in names if name != own and not name.startswith(".new."))


def proof_of(directory: str) -> tuple[str, bytes] | None:
    """Returns the name that proves a directory a place, whatever it is called now, and its seal; None if it can be none.

    A directory of another user counts only if that is root, or if the user shares it with a group of ours; never if all may write there.
    """
    try:
        inside = os.stat(directory, follow_symlinks=False)
        marker = os.stat(f"{directory}/{MARKER}", follow_symlinks=False)
        if not (stat.S_ISDIR(inside.st_mode) and stat.S_ISREG(marker.st_mode) and marker.st_uid == inside.st_uid):
            return None
        if not _is_trusted(inside):
            return None
        token = files.read(f"{directory}/{MARKER}", limit_bytes=2 * _TOKEN_BYTES + 1)
    except OSError:
        return None
    if token is None:
        return None
    proof = b"%d %d %d " % (inside.st_ino, marker.st_ino, marker.st_ctime_ns) + token
    return sha256(proof).hexdigest()[:_NAME_DIGITS], sha256(token).digest()


def _is_trusted(status: os.stat_result) -> bool:
    if status.st_uid == os.geteuid():
        return True
    if status.st_mode & stat.S_IWOTH:
        return False
    is_shared = bool(status.st_mode & stat.S_IWGRP) and status.st_gid in (os.getegid(), *os.getgroups())
    return status.st_uid == 0 or is_shared


def require_no_links(layout: Layout) -> None:
    """Raises NotAStore where a link stands in the place of the store or of one of its directories."""
    for path in (layout.root, layout.objects, layout.events, layout.packs, layout.local_root):
        try:
            mode = os.stat(path, follow_symlinks=False).st_mode
        except OSError:
            continue
        if stat.S_ISLNK(mode):
            raise NotAStore(path=path, reason="a symbolic link, and none is followed in a store; remove the link")


def _find(layout: Layout) -> tuple[str, bytes] | None:
    """Returns the name of this copy's place and its seal, or None; of several, as two writers may make on a file system without locks, the same for all."""
    try:
        names = files.list_names(layout.local_root)
    except OSError:
        return None
    for name in [name for name in sorted(names) if len(name) == _NAME_DIGITS and is_hex(name)][:_MOST_LOOKED_AT]:
        found = proof_of(f"{layout.local_root}/{name}")
        if found is not None and found[0] == name:
            return found
    return None


def _make(layout: Layout) -> tuple[str, bytes]:
    files.make_directory(layout.local_root)
    with holding_directory(layout.local_root):
        found = _find(layout)  # another writer has just made it
        if found is not None:
            return found
        temp = f"{layout.local_root}/.new.{files.process.new_label()}"
        files.make_directory(temp)
        try:
            files.write_new(f"{temp}/{MARKER}", os.urandom(_TOKEN_BYTES).hex().encode() + b"\n")
            made = proof_of(temp)
            if made is None:
                raise OSError(f"{temp}: its marker can't be read again")
            files.rename(temp, f"{layout.local_root}/{made[0]}")
        except BaseException:
            with suppress(OSError):
                files.remove(f"{temp}/{MARKER}")
                files.remove_empty_directory(temp)
            raise
        return made
