"""The holdings of a store, for a sync: its files by address, their verified bytes, and the writing of a copied file.

Only bytes that hash to its name are written at an address, and a good file is never replaced.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from hashlib import sha256

from tract_fs.model.damage import NO_FILE, diagnose, unreadable
from tract_fs.model.names import hash_bytes
from tract_fs.store import files
from tract_fs.store.address import Address, address_of
from tract_fs.store.bytes import StoredBytes
from tract_fs.store.layout import Layout
from tract_fs.store.packs import Packs
from tract_fs.store.quarantine import Quarantine
from tract_fs.store.tree import iter_loose, list_store

_MANY = 256


class Holdings:
    """The files of one store. `list_files` lists them."""

    def __init__(self, layout: Layout, packs: Packs) -> None:
        self.layout = layout
        self._packs = packs
        self._stored = StoredBytes(layout, packs)
        self._quarantine = Quarantine(layout, packs)
        self.files: dict[Address, int] = {}  # size in bytes of each regular file
        self.event_packs: set[Address] = set()  # the packs with events

    def close(self) -> None:
        """Closes the packs that were read."""
        self._packs.close()

    def list_files(self) -> None:
        """Lists the store; see `tree.list_store`."""
        self.files, self.event_packs = list_store(self.layout, self._packs)

    def loose_events(self) -> dict[str, list[str]]:
        """Returns the hashes of the listed loose events by tract; a tract that has events in packs alone has none."""
        found: dict[str, list[str]] = {tract: [] for tract in self._packs.tracts()}
        for address in self.files:
            if address.kind == "event":
                found.setdefault(address.tract, []).append(address.name)
        return found

    def packed_events(self, tract: str) -> Iterator[str]:
        """Yields the hashes of a tract's events in packs, and of those of an unknown tract."""
        for pack in sorted(self.event_packs):
            yield from self._packs.event_names(pack.name, tract)

    def tracts_in(self, packs: Iterable[Address]) -> set[str]:
        """Returns the tracts that have events in some packs."""
        return self._packs.tracts({pack.name for pack in packs})

    def pack_of(self, name: str, packs: Collection[str]) -> str | None:
        """Returns one of some packs that has the verified bytes of a member, or None."""
        return self._packs.holder(name, packs)

    def good_members(self, pack: Address) -> list[tuple[Address, bytes]]:
        """Returns the unchanged members of a damaged pack, objects before events."""
        data = files.read(pack.path_in(self.layout), limit_bytes=pack.limit_bytes) or b""
        found = [
            (address_of(member, hash_bytes(member)), member) for member in self._packs.good_members(pack.name, data)
        ]
        named = [(address, member) for address, member in found if address is not None]
        return sorted(named, key=lambda item: item[0].kind == "event")

    def has(self, address: Address) -> bool:
        """Returns whether an address has a file, or its bytes are in a pack; not whether they are good."""
        return address in self.files or (address.kind != "pack" and self._packs.has(address.name))

    def examine(self, address: Address) -> tuple[bytes | None, str]:
        """Returns the verified bytes of a file, or None and what is wrong with it (empty if there is no file).

        Errors: OSError, unless only this file can't be read.
        """
        path = address.path_in(self.layout)
        try:
            data = files.read(path, limit_bytes=address.limit_bytes)
        except OSError as error:
            if error.errno not in files.UNREADABLE:
                raise
            return None, unreadable(error.strerror)
        if data is None:
            return None, f"{NO_FILE}, or too large for one" if files.exists(path) else ""
        actual = sha256(data).hexdigest()
        if actual == address.name:
            return data, ""
        return None, f"{diagnose(data, address.name).cause}: its {len(data)} bytes hash to {actual}"

    def mended(self, address: Address) -> bytes | None:
        """Returns the right bytes of a damaged file: from a pack, or from the file if only its line ends were rewritten; else None."""
        data = self.packed(address)
        if data is None:
            damaged = files.read(address.path_in(self.layout), limit_bytes=address.limit_bytes)
            data = None if damaged is None else diagnose(damaged, address.name).repaired
        return data

    def packed(self, address: Address) -> bytes | None:
        """Returns the verified bytes of an object or event from a pack, or None."""
        return None if address.kind == "pack" else self._stored.packed(address.name)

    def read(self, address: Address) -> bytes | None:
        """Returns the verified bytes of an address from its file or a pack, or None."""
        data = self.examine(address)[0]
        return self.packed(address) if data is None else data

    def came_since(self, events: Iterable[Address]) -> set[Address]:
        """Returns those of some events, absent from the listing, whose bytes are here now. Cost: a read of each, or one
        listing if they are many.
        """
        absent = set(events)
        if len(absent) > _MANY:
            listed = dict(iter_loose(self.layout, "event"))
            self._packs.refresh()
            absent = {address for address in absent if address in listed or self._packs.has(address.name)}
        return {address for address in absent if self.read(address) is not None}

    def put(self, address: Address, data: bytes) -> bool:
        """Writes a file; returns False if a good one is there. Quarantines what else is there.

        Errors: OSError, also for a file that can't be read: it may be good.
        """
        path = address.path_in(self.layout)
        if files.may_exist(path):
            if self._stored.loose(address) is not None:
                return False
            self._quarantine.set_aside(address)
        files.replace(path, data)
        return True
