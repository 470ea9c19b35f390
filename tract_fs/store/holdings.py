"""The holdings of a store: its files outside local/ by path, their verified bytes, and the way a copied file gets in.

A path runs from the store's root on, as `objects/ab/…`, and ends in the hash of the file's bytes. Nothing is written under such a path
but bytes that hash to it, and no good file is ever replaced.
"""

from __future__ import annotations

import errno
from hashlib import sha256

from tract_fs.model.content import MAX_OBJECT_BYTES
from tract_fs.model.damage import NO_FILE, diagnose
from tract_fs.model.events import MAX_EVENT_BYTES
from tract_fs.model.names import is_hash, is_tract_id
from tract_fs.store import files
from tract_fs.store.layout import Layout, is_fan_name, is_loose_name
from tract_fs.store.packs import LIMIT_BYTES, Packs
from tract_fs.store.quarantine import Quarantine
from tract_fs.store.suspects import Suspect

_LIMITS_BYTES = {"objects": MAX_OBJECT_BYTES, "events": MAX_EVENT_BYTES, "packs": LIMIT_BYTES}
# this file can't be read: a bad sector, or it is somebody else's; others can
_UNREADABLE = frozenset([errno.EIO, errno.EACCES, errno.EPERM])


class Holdings:
    """What one store holds. `look` fills it."""

    def __init__(self, layout: Layout, packs: Packs) -> None:
        self.layout = layout
        self._packs = packs
        self._quarantine = Quarantine(layout, packs)
        self.files: dict[str, int] = {}  # path: size in bytes, of the regular files
        self.event_packs: set[str] = set()  # paths of the packs with events

    def close(self) -> None:
        """Closes the packs that were read."""
        self._packs.close()

    def look(self) -> None:
        """Lists the store so that of every event seen the objects are seen too, whoever writes or packs meanwhile."""
        found: dict[str, int] = {}
        for tract in files.list_names(self.layout.events):
            if is_tract_id(tract):
                self._list_fans(f"events/{tract}", found)
        self._packs.refresh()
        seen = set(self._packs.names)
        self._list_fans("objects", found)
        sizes = files.list_files(self.layout.packs)
        self._packs.refresh()
        with_events = {name for name in list(self._packs.names) if self._packs.has_events(name)}
        too_late = with_events - seen  # the objects of their events may not have been listed
        found.update((f"packs/{name}", size) for name, size in sizes if is_hash(name) and name not in too_late)
        self.files = found
        self.event_packs = {f"packs/{name}" for name in with_events}

    def has(self, path: str) -> bool:
        """Tells whether there is a file at a path, or its bytes are in a pack; not whether they are good."""
        return path in self.files or (kind_of(path) != "packs" and self._packs.has(name_of(path)))

    def examine(self, path: str) -> tuple[bytes | None, str]:
        """Returns the verified bytes of the file at a path, or None and what is wrong with it (nothing if there is none).

        Errors: OSError but for a file that can't be read by itself.
        """
        full = f"{self.layout.root}/{path}"
        try:
            data = files.read(full, limit_bytes=_LIMITS_BYTES[kind_of(path)])
        except OSError as error:
            if error.errno not in _UNREADABLE:
                raise
            return None, f"it can't be read: {error.strerror}"
        if data is None:
            return None, f"{NO_FILE}, or too large for one" if files.exists(full) else ""
        actual = sha256(data).hexdigest()
        if actual == name_of(path):
            return data, ""
        return None, f"{diagnose(data, name_of(path)).cause}: its {len(data)} bytes hash to {actual}"

    def mended(self, path: str) -> bytes | None:
        """Returns the right bytes of a damaged file from a pack, or from what it holds where its line ends were rewritten; else None."""
        data = self.packed(path)
        if data is None:
            damaged = files.read(f"{self.layout.root}/{path}", limit_bytes=_LIMITS_BYTES[kind_of(path)])
            data = None if damaged is None else diagnose(damaged, name_of(path)).repaired
        return data

    def packed(self, path: str) -> bytes | None:
        """Returns the verified bytes of an object or event from a pack, or None."""
        if kind_of(path) == "packs":
            return None
        name = name_of(path)
        data = self._packs.read(name)
        while data is None and self._packs.renew(name):
            data = self._packs.read(name)
        return data

    def read(self, path: str) -> bytes | None:
        """Returns the verified bytes of a path from its file or a pack, or None."""
        data = self.examine(path)[0]
        return self.packed(path) if data is None else data

    def put(self, path: str, data: bytes) -> bool:
        """Writes the file at a path; False if a good one is there. What else is there is set aside.

        Errors: OSError, also for a file that can't be read: it may be good.
        """
        full = f"{self.layout.root}/{path}"
        if files.may_exist(full):
            there = files.read(full, limit_bytes=_LIMITS_BYTES[kind_of(path)])
            if there is not None and sha256(there).hexdigest() == name_of(path):
                return False
            self._quarantine.set_aside(_suspect(path))
        files.write_new(full, data)
        return True

    def _list_fans(self, directory: str, found: dict[str, int]) -> None:
        for fan in files.list_names(f"{self.layout.root}/{directory}"):
            if is_fan_name(fan):
                inside = f"{directory}/{fan}"
                listed = files.list_files(f"{self.layout.root}/{inside}")
                found.update((f"{inside}/{name}", size) for name, size in listed if is_loose_name(name))


def _suspect(path: str) -> Suspect:
    kind = kind_of(path)
    if kind == "events":
        return Suspect("event", name_of(path), path.split("/")[1])
    return Suspect("object" if kind == "objects" else "pack", name_of(path))


def kind_of(path: str) -> str:
    """Returns the kind of a path: objects, events or packs."""
    return path[: path.index("/")]


def name_of(path: str) -> str:
    """Returns the hash that a path ends in."""
    return path[-65:].replace("/", "")[-64:]


def path_of_event(tract: str, name: str) -> str:
    """Returns the path of an event."""
    return f"events/{tract}/{name[:2]}/{name[2:]}"
