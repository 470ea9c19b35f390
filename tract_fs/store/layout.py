"""Where every file of a store lives, and which names are ours.

The one place that turns hashes and tract ids into paths; no other user-chosen name becomes one. Format: FORMAT.md, sections 1, 2 and 10.
"""

from __future__ import annotations

import os

from tract_fs.model.names import is_hex

STORE_DIRECTORY = ".tract"
FORMAT_VERSION = 1
FORMAT_BYTES = b'{"format":"tract-fs","version":1}\n'
TEXT_FILES = {
    ".gitattributes": b"* -text -diff -merge\n",
    ".gitignore": b"!*\n/local/\n",
    "FORMAT": FORMAT_BYTES,  # last: a directory with it is a store
}


class Layout:
    """The paths of one store."""

    def __init__(self, context_path: str) -> None:
        self.context = context_path
        self.root = os.path.join(context_path, STORE_DIRECTORY)
        self.format = os.path.join(self.root, "FORMAT")
        self.objects = os.path.join(self.root, "objects")
        self.events = os.path.join(self.root, "events")
        self.packs = os.path.join(self.root, "packs")
        self.local = os.path.join(self.root, "local")
        self.lock = os.path.join(self.local, "lock")
        self.line = os.path.join(self.local, "line")
        self.current_branch = os.path.join(self.local, "HEAD")
        self.redo = os.path.join(self.local, "redo")
        self.pack_tables = os.path.join(self.local, "packs")
        self.quarantine = os.path.join(self.local, "quarantine")

    def object(self, name: str) -> str:
        """Returns the path of a loose content or commit."""
        return f"{self.objects}/{name[:2]}/{name[2:]}"

    def event(self, tract: str, name: str) -> str:
        """Returns the path of a loose event."""
        return f"{self.events}/{tract}/{name[:2]}/{name[2:]}"

    def tract_events(self, tract: str) -> str:
        """Returns the directory of a tract's loose events."""
        return f"{self.events}/{tract}"

    def pack(self, name: str) -> str:
        """Returns the path of a pack."""
        return f"{self.packs}/{name}"

    def tract_local(self, tract: str, file: str) -> str:
        """Returns the path of one of this copy's own files about a tract."""
        return f"{self.local}/tracts/{tract}/{file}"

    def relative(self, path: str) -> str:
        """Returns a path as errors show it: from the store's root on."""
        return os.path.relpath(path, self.root)


def is_fan_name(name: str) -> bool:
    """Tells whether `name` is a directory of the fan-out: two hexadecimal digits."""
    return len(name) == 2 and is_hex(name)


def is_loose_name(name: str) -> bool:
    """Tells whether `name` is a file of the fan-out: the other 62 digits of a hash."""
    return len(name) == 62 and is_hex(name)
