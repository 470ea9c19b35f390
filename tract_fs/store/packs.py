"""Packs: the bytes of many objects and events in one file, one per line, under a content name.

Where each member lies is kept in `local/packs/<pack>`, a sorted table that is rebuilt from the pack when it is missing or
off; a member is hashed each time it is read, so a wrong table can't give wrong bytes. Format: FORMAT.md, section 8.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256

from tract_fs.model.names import hash_bytes, is_hash
from tract_fs.store import files
from tract_fs.store.layout import Layout

_ROW = struct.Struct(">32sQIc")  # name, offset, size, kind: b"o" object, b"e" event
_CHECK_BYTES = 32
_LIMIT_BYTES = 1 << 40


class Pack:
    """One pack: a path and its table of members."""

    def __init__(self, path: str, table: bytes) -> None:
        self.path = path
        self._table = table
        self._count = len(table) // _ROW.size

    def find(self, digest: bytes) -> tuple[int, int] | None:
        """Returns offset and size of a member, or None."""
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            start = middle * _ROW.size
            if self._table[start : start + 32] < digest:
                low = middle + 1
            else:
                high = middle
        if low == self._count:
            return None
        name, offset, size, _ = _ROW.unpack_from(self._table, low * _ROW.size)
        return (offset, size) if name == digest else None

    def event_names(self) -> list[str]:
        """Returns the hashes of the events in this pack."""
        return [row[0].hex() for row in _ROW.iter_unpack(self._table) if row[3] == b"e"]


class Packs:
    """The packs of one store; looks for new ones when the directory has changed."""

    def __init__(self, layout: Layout, *, read_only: bool) -> None:
        self._layout = layout
        self._read_only = read_only
        self._signature: tuple[int, int, int] | None = None
        self.packs: dict[str, Pack] = {}

    def refresh(self) -> None:
        """Sees which packs came and went. Cost: one stat if nothing changed."""
        signature = files.signature(self._layout.packs)
        if signature == self._signature:
            return
        names = {name for name in files.list_names(self._layout.packs) if is_hash(name)}
        for gone in self.packs.keys() - names:
            del self.packs[gone]
        for name in names - self.packs.keys():
            table = self._table(name)
            if table is not None:
                self.packs[name] = Pack(self._layout.pack(name), table)
        self._signature = signature

    def read(self, name: str) -> bytes | None:
        """Returns the verified bytes of a member of any pack, or None."""
        if not self.packs:
            return None
        digest = bytes.fromhex(name)
        for pack in self.packs.values():
            place = pack.find(digest)
            if place is not None:
                data = files.read_range(pack.path, *place)
                if data is not None and sha256(data).digest() == digest:
                    return data
        return None

    def has(self, name: str) -> bool:
        """Tells whether some pack's table lists `name`."""
        digest = bytes.fromhex(name)
        return any(pack.find(digest) is not None for pack in self.packs.values())

    def add(self, members: Iterable[bytes], *, is_synced: bool) -> str:
        """Writes a pack and returns its name; members must be canonical JSON."""
        data = b"".join(member + b"\n" for member in members)
        name = hash_bytes(data)
        files.write_new(self._layout.pack(name), data, is_synced=is_synced)
        return name

    @staticmethod
    def name_of(members: Iterable[bytes]) -> str:
        """Returns the name that a pack of these members has."""
        return hash_bytes(b"".join(member + b"\n" for member in members))

    def _table(self, name: str) -> bytes | None:
        path = f"{self._layout.pack_offsets}/{name}"
        try:
            stored = files.read(path, limit_bytes=_LIMIT_BYTES)
        except OSError:
            stored = None
        if stored and stored[:_CHECK_BYTES] == sha256(stored[_CHECK_BYTES:]).digest():
            return stored[_CHECK_BYTES:]
        data = files.read(self._layout.pack(name), limit_bytes=_LIMIT_BYTES)
        if data is None:
            return None
        table = _scan(data)
        if not self._read_only:
            with suppress(OSError):  # a table that can't be kept is made again at the next open
                files.write_new(path, sha256(table).digest() + table, mode=0o644)
        return table


def _scan(data: bytes) -> bytes:
    """Returns the table of a pack's members: every line under its own hash."""
    rows = []
    offset = 0
    for line in data.split(b"\n"):
        if line:
            kind = b"e" if line.startswith(b'{"event":') else b"o"
            rows.append(_ROW.pack(sha256(line).digest(), offset, len(line), kind))
        offset += len(line) + 1
    rows.sort()
    return b"".join(rows)
