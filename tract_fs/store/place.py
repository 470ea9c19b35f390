"""The place: this copy's own directory in `local/`, whose name proves that it was made here.

A copying tool or a stranger may bring a `local/` along with a store. So each copy keeps its own files in `local/<place>/`, and opens none of them before
the name of that directory is proved: it is a digest of the inode and change time of the marker file in it, the inode of the directory, and the marker's
random token. The kernel sets inode numbers and change times; no copying tool can carry them along or choose them. A stranger knows the token that he
ships, but would also have to know at which inode, and in which tick of the clock, his files will be written on a machine that he does not have.

The device number is left out: it may change at a reboot, and the redo log of a power cut would then not be read. An unproved directory is never read,
written or removed; `unproved` lists it. Format: FORMAT.md, section 10.
"""

from __future__ import annotations

import os
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


def bind(layout: Layout, *, create: bool) -> bool:
    """Sets the layout's `local` to this copy's place, which is created on demand with `create`; returns whether there is one.

    Without a place, `local` is a path that does not exist.
    """
    found = _find(layout)
    if found is None and create:
        with suppress(OSError):  # a disk that can't be written: the handle does without
            found = _make(layout)
    layout.use_place(*found or (None,))
    return found is not None


def is_there(layout: Layout) -> bool:
    """Returns whether the place that the layout is bound to still exists. Cost: one stat."""
    return files.may_exist(f"{layout.local}/{MARKER}")


def unproved(layout: Layout) -> list[str]:
    """Returns the names in `local/` that are not this copy's place: copied from elsewhere, or left by an earlier version. They are never read."""
    own = os.path.basename(layout.local)
    names = files.list_names(layout.local_root)
    return sorted(name for name in names if name != own and not name.startswith(".new."))


def proof_of(directory: str) -> tuple[str, bytes] | None:
    """Returns the name that a directory must have to be a place, and the seal of its caches; None if it cannot be one.

    A directory of another user counts only if that user is root or shares it with one of this user's groups, and never if everybody may write to it.
    """
    try:
        inside, marker = files.status_of(directory), files.status_of(f"{directory}/{MARKER}")
        if inside is None or marker is None or not files.is_trusted_directory(inside):
            return None
        if not files.is_regular(marker) or marker.st_uid != inside.st_uid:
            return None
        token = files.read(f"{directory}/{MARKER}", limit_bytes=2 * _TOKEN_BYTES + 1)
    except OSError:
        return None
    if token is None:
        return None
    proof = b"%d %d %d " % (inside.st_ino, marker.st_ino, marker.st_ctime_ns) + token
    return sha256(proof).hexdigest()[:_NAME_DIGITS], sha256(token).digest()


def require_no_links(layout: Layout) -> None:
    """Raises NotAStore where a link stands in the place of the store or of one of its directories."""
    for path in (layout.root, layout.objects, layout.events, layout.packs, layout.local_root):
        is_link = False
        with suppress(OSError):  # one that can't be examined is no reason to refuse the others
            is_link = files.is_link(path)
        if is_link:
            raise NotAStore(path=path, reason="a symbolic link; none is followed in a store, remove the link")


def _find(layout: Layout) -> tuple[str, bytes] | None:
    """Returns the name of this copy's place and its seal, or None.

    On a file system without locks two writers may create one each; all then use the first by name.
    Cost: two stats per directory. All are examined, or a stranger could hide this copy's own place behind many others.
    """
    try:
        names = files.list_names(layout.local_root)
    except OSError:
        return None
    for name in [name for name in sorted(names) if len(name) == _NAME_DIGITS and is_hex(name)]:
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
            files.replace(f"{temp}/{MARKER}", os.urandom(_TOKEN_BYTES).hex().encode() + b"\n")
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
