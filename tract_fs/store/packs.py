"""Packs: the bytes of many objects and events in one file, one per line, under a content name.

Where each member lies is kept in `local/packs/<pack>`, a sorted table that is rebuilt from the pack when it is missing or
off; a member is hashed each time it is read, so a wrong table can't give wrong bytes. Format: FORMAT.md, section 8.
"""

from __future__ import annotations

import re
import struct
import time
from bisect import bisect_left
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from typing import Self

from tract_fs.model.names import hash_bytes, is_hash
from tract_fs.store import files
from tract_fs.store.layout import Layout
from tract_fs.store.suspects import Suspect, Suspects

_ROW = struct.Struct(">32sQIc")  # name, offset, size, kind: b"o" object, b"e" event
_PLACE = struct.Struct(">IQI")  # number of the pack, offset, size
_CHECK_BYTES = 32
_OPEN_PACKS = 16
_SETTLED_NS = 2_000_000_000
_UNSETTLED = (0, 0, 0)  # no directory's signature
LIMIT_BYTES = 1 << 29  # a pack has 256 MiB at most, or one large object more
_HASH = re.compile(rb'([0-9a-f]{64})"')


class Packs:
    """The packs of one store; looks for new ones when the directory has changed.

    Members of all packs are found by bisection in few sorted tables, merged as they grow, so that many packs cost little more than one.
    """

    def __init__(self, layout: Layout, suspects: Suspects | None = None, *, read_only: bool) -> None:
        self._layout = layout
        self._suspects = Suspects() if suspects is None else suspects
        self._read_only = read_only
        self._signature: tuple[int, int, int] | None = None
        self._readers: list[files.RangeReader] = []  # by the number in a place
        self._open: dict[int, None] = {}  # the readers with an open file, the first opened first
        self._tiers: list[list[bytes]] = []  # sorted rows: name and place; the largest first
        self._damaged: dict[str, files.Signature | None] = {}  # packs whose bytes do not hash to their names
        self._tables: dict[str, bytes] = {}  # of the packs whose members were asked for
        self._unread: set[str] = set()  # packs whose tables were not needed yet
        self.names: set[str] = set()  # the packs there are, less those found damaged

    def refresh(self) -> None:
        """Sees which packs came, went, or are whole again. Cost: one stat if nothing changed, and one per damaged pack."""
        signature = files.signature(self._layout.packs)
        healed = {name for name, seen in self._damaged.items() if files.signature(self._layout.pack(name)) != seen}
        if signature == self._signature and not healed:
            return
        names = {name for name in files.list_names(self._layout.packs) if is_hash(name)}
        if healed or self.names - names:
            self._tables.clear()
            self._damaged.clear()
            self._tiers.clear()
            self.close()
            self._readers.clear()
        self.names = names - self._damaged.keys()
        self._unread = self.names - self._tables.keys()
        is_settled = signature is None or time.time_ns() - signature[2] > _SETTLED_NS
        self._signature = signature if is_settled else _UNSETTLED  # one more may come within a tick of the disk's clock

    def event_names(self, pack: str) -> list[str]:
        """Returns the hashes of the events in a pack; none if it is damaged, which ends its being one of `names`."""
        self._read_tables()
        return [row[0].hex() for row in _ROW.iter_unpack(self._tables.get(pack, b"")) if row[3] == b"e"]

    def has_events(self, pack: str) -> bool:
        """Tells whether there are events in a pack."""
        self._read_tables()
        return b"e" in self._tables.get(pack, b"")[_ROW.size - 1 :: _ROW.size]

    def read(self, name: str) -> bytes | None:
        """Returns the verified bytes of a member of any pack, or None."""
        if self._unread:
            self._read_tables()
        if not self._tiers:
            return None
        digest = bytes.fromhex(name)
        for tier in self._tiers:
            for place in range(bisect_left(tier, digest), len(tier)):
                row = tier[place]
                if row[:32] != digest:
                    break
                number, offset, size = _PLACE.unpack_from(row, 32)
                data: bytes | None = self._reader(number).read(offset, size)
                if data is not None and sha256(data).digest() == digest:
                    return data
                self._readers[number].close()  # the file at the path may be another, and whole, by now
                data = self._readers[number].read(offset, size)
                if data is not None and sha256(data).digest() == digest:
                    return data
                if data is not None:
                    self._suspects.note(Suspect("pack", self._readers[number].path[-64:]))
        return None

    def has(self, name: str) -> bool:
        """Tells whether some pack's table lists `name`."""
        self._read_tables()
        digest = bytes.fromhex(name)
        places = ((tier, bisect_left(tier, digest)) for tier in self._tiers)
        return any(place < len(tier) and tier[place][:32] == digest for tier, place in places)

    def close(self) -> None:
        """Closes the files."""
        for number in self._open:
            self._readers[number].close()
        self._open.clear()

    def _reader(self, number: int) -> files.RangeReader:
        """Returns the reader of a pack; those of few packs stay open."""
        if number not in self._open:
            if len(self._open) >= _OPEN_PACKS:
                oldest = next(iter(self._open))
                del self._open[oldest]
                self._readers[oldest].close()
            self._open[number] = None
        return self._readers[number]

    def _read_tables(self) -> None:
        for name in sorted(self._unread):
            table = self._table(name)
            if table is None:
                self.names.discard(name)
            else:
                self._tables[name] = table
                self._add_rows(name, table)
        self._unread.clear()

    def _add_rows(self, name: str, table: bytes) -> None:
        number = len(self._readers)
        self._readers.append(files.RangeReader(self._layout.pack(name)))
        rows = [row[0] + _PLACE.pack(number, row[1], row[2]) for row in _ROW.iter_unpack(table)]
        while self._tiers and len(self._tiers[-1]) <= 2 * len(rows):
            rows += self._tiers.pop()
        rows.sort()
        self._tiers.append(rows)

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

    def good_members(self, name: str, data: bytes) -> list[bytes]:
        """Returns the members of a damaged pack, given its bytes, that surely are what they were."""
        table = self._stored_table(name)
        rows = _ROW.iter_unpack(_trusted(data, _scan(data)) if table is None else table)
        members = ((row[0], data[row[1] : row[1] + row[2]]) for row in rows)
        return [member for digest, member in members if sha256(member).digest() == digest]

    def drop_wrong_table(self, name: str, data: bytes) -> bool:
        """Removes the table of a good pack, given its bytes, if it is not what it should be; tells whether it was."""
        stored = self._stored_table(name)
        if stored is None or stored == _scan(data):
            return False
        files.remove(f"{self._layout.pack_offsets}/{name}")
        self._signature = None
        self._tables.pop(name, None)
        return True

    def _stored_table(self, name: str) -> bytes | None:
        """Returns the table that was kept when the pack was whole, or None."""
        try:
            stored = files.read(f"{self._layout.pack_offsets}/{name}", limit_bytes=LIMIT_BYTES)
        except OSError:
            return None
        if stored and stored[:_CHECK_BYTES] == sha256(stored[_CHECK_BYTES:]).digest():
            return stored[_CHECK_BYTES:]
        return None

    def _table(self, name: str) -> bytes | None:
        stored = self._stored_table(name)
        if stored is not None:
            return stored
        found = files.read_signed(self._layout.pack(name), limit_bytes=LIMIT_BYTES)
        if found is None:
            self._damaged[name] = files.signature(self._layout.pack(name))
            return None
        data, signature = found
        table = _scan(data)
        if hash_bytes(data) != name:
            self._damaged[name] = signature
            self._suspects.note(Suspect("pack", name))
            return _trusted(data, table)
        if not self._read_only:
            with suppress(OSError):  # a table that can't be kept is made again at the next open
                files.write_new(f"{self._layout.pack_offsets}/{name}", sha256(table).digest() + table, mode=0o644)
        return table


class PackWriter:
    """Writes one pack member by member; memory does not grow with it."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        files.make_directory(layout.packs)
        self._file = files.NewFile(layout.packs)
        self._digest = sha256()

    @property
    def size_bytes(self) -> int:
        """The size of the pack so far."""
        return self._file.size_bytes

    def add(self, member: bytes) -> None:
        """Appends a member: canonical JSON."""
        for part in (member, b"\n"):
            self._digest.update(part)
            self._file.write(part)

    def finish(self) -> None:
        """Gives the pack its name."""
        self._file.finish(self._layout.pack(self._digest.hexdigest()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.__exit__()


def _trusted(data: bytes, table: bytes) -> bytes:
    """Returns the rows of a damaged pack less the events that no other line of it names.

    Every line hashes to some name, an altered one too. An object that nobody asks for harms nothing, but an event takes effect by being there.
    """
    named = {bytes.fromhex(name.decode()) for name in _HASH.findall(data)}
    rows = (table[start : start + _ROW.size] for start in range(0, len(table), _ROW.size))
    return b"".join(row for row in rows if row[-1:] != b"e" or row[:32] in named)


def _scan(data: bytes) -> bytes:
    """Returns the table of a pack's members: every line under its own hash, less what a tool that rewrote line ends added."""
    rows = []
    offset = 0
    for line in data.split(b"\n"):
        member = line.removesuffix(b"\r")
        if member:
            kind = b"e" if member.startswith(b'{"event":') else b"o"
            rows.append(_ROW.pack(sha256(member).digest(), offset, len(member), kind))
        offset += len(line) + 1
    rows.sort()
    return b"".join(rows)
