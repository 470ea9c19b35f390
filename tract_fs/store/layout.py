"""The path of every file of a store, and the patterns of their names.

The only place that turns hashes and tract ids into paths; no other name that a user chose becomes one. Format: FORMAT.md, sections 1, 2 and 10.
"""

from __future__ import annotations

import os
from hashlib import sha256

from tract_fs.model.names import is_hash, is_hex, is_tract_id

FANS = frozenset(f"{number:02x}" for number in range(256))
STORE_DIRECTORY = ".tract"
FORMAT_VERSION = 1
FORMAT_BYTES = b'{"format":"tract-fs","version":1}\n'
TEXT_FILES = {
    ".gitattributes": b"* -text -diff -merge\n",
    ".gitignore": b"!*\n/local\n.new.*\n",  # /local without a slash at the end, which would not match a link of that name
    "FORMAT": FORMAT_BYTES,  # written last: a directory with it is a store
}
EARLIER_TEXTS = {".gitignore": (b"!*\n/local/\n", b"!*\n/local\n")}


class Layout:
    """The paths of one store."""

    def __init__(self, context_path: str) -> None:
        self.context = context_path
        self.root = os.path.join(context_path, STORE_DIRECTORY)
        self.format = os.path.join(self.root, "FORMAT")
        self.objects = os.path.join(self.root, "objects")
        self.events = os.path.join(self.root, "events")
        self.packs = os.path.join(self.root, "packs")
        self.local_root = os.path.join(self.root, "local")
        self.use_place(None)

    def use_place(self, name: str | None, seal: bytes = b"") -> None:
        """Makes `local` the directory of this copy's own files; without a name, a path that nobody can have created.

        `seal` are 32 bytes that the caches of this place are bound to, so that those of another place are not accepted.
        """
        self.seal = seal or os.urandom(32)
        self.local = f"{self.local_root}/{name or 'none.' + os.urandom(16).hex()}"
        self.lock = f"{self.local}/lock"
        self.line = f"{self.local}/line"
        self.current_branch = f"{self.local}/HEAD"
        self.branch_before = f"{self.local}/HEAD-before"
        self.redo = f"{self.local}/redo"
        self.removed = f"{self.local}/removed"
        self.index = f"{self.local}/index.db"
        self.quarantine = f"{self.local}/quarantine"

    def sealed(self, data: bytes | memoryview) -> bytes:
        """Returns the checksum of a cache of this place, in hexadecimal; the same bytes have another one in another place."""
        digest = sha256(self.seal)
        digest.update(data)
        return digest.hexdigest().encode()

    def object(self, name: str) -> str:
        """Returns the path of a loose content or commit. Errors: ValueError if `name` is no hash, as for all these paths."""
        if is_hash(name):
            return f"{self.objects}/{name[:2]}/{name[2:]}"
        raise _no_hash(name)

    def event(self, tract: str, name: str) -> str:
        """Returns the path of a loose event. Errors: ValueError if `tract` is no tract id, as for all these paths."""
        if is_hash(name):
            return f"{self.tract_events(tract)}/{name[:2]}/{name[2:]}"
        raise _no_hash(name)

    def tract_events(self, tract: str) -> str:
        """Returns the directory of a tract's loose events."""
        if is_tract_id(tract):
            return f"{self.events}/{tract}"
        raise _no_tract(tract)

    def pack(self, name: str) -> str:
        """Returns the path of a pack."""
        if is_hash(name):
            return f"{self.packs}/{name}"
        raise _no_hash(name)

    def tract_local(self, tract: str, file: str) -> str:
        """Returns the path of one of this copy's own files about a tract."""
        if is_tract_id(tract):
            return f"{self.local}/tracts/{tract}/{file}"
        raise _no_tract(tract)

    def relative(self, path: str) -> str:
        """Returns a path as errors show it: from the store's root on."""
        return os.path.relpath(path, self.root)


# Names that come from files are checked where they are read; these are the last check before one becomes a path.


def _no_hash(name: str) -> ValueError:
    return ValueError(f"not a hash, so not a file name: {name!r}")


def _no_tract(tract: str) -> ValueError:
    return ValueError(f"not a tract id, so not a directory name: {tract!r}")


def is_fan_name(name: str) -> bool:
    """Returns whether `name` is a directory of the fan-out: two hexadecimal digits."""
    return name in FANS


def is_loose_name(name: str) -> bool:
    """Returns whether `name` is a file of the fan-out: the other 62 digits of a hash."""
    return len(name) == 62 and is_hex(name)
