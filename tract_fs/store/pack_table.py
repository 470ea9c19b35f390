"""Pack tables: where each member of many packs lies, sorted by hash, in one file that is looked into without being read.

A table is a cache that may be damaged, stale or another copy's. Its header is checked at every open; the rest in pages, and only those pages that an answer
"not here" or "all of these" builds on, since a member that is found is hashed anyway. Format: FORMAT.md, section 10.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from hashlib import sha256

from msgspec import Struct
from msgspec.json import Decoder

from tract_fs.errors import JsonValueError
from tract_fs.model import canonical
from tract_fs.store.files import Mapped, is_cut

_MAGIC = b"tractpacks2\n"
_LENGTH = struct.Struct(">I")
_HEADER_AT = len(_MAGIC) + 32 + _LENGTH.size
_NAME_BYTES = 32
_PLACE = struct.Struct(">III")  # number of the pack, offset, size
_ROW = struct.Struct(">32s4s8s")  # hash, number of the pack, spot
_SPOT = struct.Struct(">II")  # offset, size
_SPAN = struct.Struct(">II")
_PAGE_BYTES = 1 << 15
_PAGE_CHECK_BYTES = 8
_ROWS_PER_BUCKET = 8


class PackRows(Struct):
    """The members of one pack: rows of hash, offset and size, and the hashes of its events by tract (empty: can't be told)."""

    pack: str
    rows: list[bytes]
    events: dict[str, list[bytes]]

    def add(self, digest: bytes, offset: int, size: int) -> None:
        """Takes in a member."""
        self.rows.append(digest + _SPOT.pack(offset, size))

    def extend(self, members: Iterable[tuple[bytes, int, int]]) -> None:
        """Takes in members by hash, offset and size."""
        pack = _SPOT.pack
        self.rows += [digest + pack(offset, size) for digest, offset, size in members]

    def add_event(self, digest: bytes, tract: str) -> None:
        """Notes that a member is an event."""
        self.events.setdefault(tract, []).append(digest)

    def iter_members(self) -> Iterator[tuple[bytes, int, int]]:
        """Yields hash, offset and size of each member."""
        for row in self.rows:
            yield row[:_NAME_BYTES], *_SPOT.unpack_from(row, _NAME_BYTES)


class _Header(Struct, frozen=True, forbid_unknown_fields=True):
    packs: list[tuple[str, int]]  # name, count of members
    events: list[tuple[int, str, int, int]]  # number of the pack, tract, first of the event rows, count
    rows: int
    event_rows: int
    fan_bits: int
    pages: str  # the first 8 bytes of the SHA-256 of each page after the header


_DECODER = Decoder(_Header)


class PackTable:
    """One table; `path` is empty where it is in memory only."""

    def __init__(self, data: Mapped, header: _Header, start: int, path: str) -> None:
        self.path = path
        self.row_count = header.rows
        self.packs = [name for name, _ in header.packs]
        self.counts = dict(header.packs)
        self._data = data
        self._events = header.events
        self._fan = start
        self._shift = 32 - header.fan_bits
        self._rows = start + 4 * ((1 << header.fan_bits) + 1)
        self._event_names = self._rows + _ROW.size * header.rows
        self._end = self._event_names + _NAME_BYTES * header.event_rows
        self._checks = header.pages
        self._checked = bytearray(-(-(self._end - start) // _PAGE_BYTES))

    @classmethod
    def parse(cls, data: Mapped, path: str = "", *, seal: bytes = b"") -> PackTable | None:
        """Returns the table of a file's bytes, or None if they hold none that is whole and has this seal. Cost: hashes the header."""
        (size,) = _LENGTH.unpack(data[_HEADER_AT - _LENGTH.size : _HEADER_AT].rjust(_LENGTH.size, b"\0"))
        text = data[_HEADER_AT : _HEADER_AT + size]
        check = data[len(_MAGIC) : len(_MAGIC) + 32]
        if data[: len(_MAGIC)] != _MAGIC or sha256(seal + text).digest() != check:
            return None
        try:
            header = canonical.decode_typed(_DECODER, text)
        except JsonValueError:
            return None
        if not (0 <= header.fan_bits <= 32 and 0 <= header.rows <= len(data) and 0 <= header.event_rows <= len(data)):
            return None  # before memory is taken for them
        if any(not 0 <= number < len(header.packs) for number, *_ in header.events):
            return None
        table = cls(data, header, _HEADER_AT + size, path)
        is_sized = table._end == len(data) and len(header.pages) == 2 * _PAGE_CHECK_BYTES * len(table._checked)
        return table if is_sized else None

    def places(self, digest: bytes) -> Sequence[tuple[str, int, int]]:
        """Returns pack, offset and size of each member of this hash. Unchecked: it may hide members, and name wrong places.

        Cost: few microseconds, however many members there are.
        """
        if self._is_cut():
            return ()
        data, rows = self._data, self._rows
        first, stop = _SPAN.unpack_from(data, self._fan + 4 * (int.from_bytes(digest[:4], "big") >> self._shift))
        at = data.find(digest, rows + _ROW.size * first, rows + _ROW.size * stop)
        if at < 0:
            return ()
        rest = (at - rows) % _ROW.size
        if rest == 0 and data[at + _ROW.size : at + _ROW.size + _NAME_BYTES] != digest:
            return (self._place(at),)
        return [self._place(at) for at in self._found(digest)]

    def has(self, digest: bytes, packs: Collection[str]) -> bool:
        """Tells whether one of `packs` has a member of this hash. Unchecked."""
        return any(place[0] in packs for place in self.places(digest))

    def listed(self, digests: Iterable[bytes]) -> list[bytes]:
        """Returns those of many hashes that are in the table. Unchecked. Cost: half a microsecond each, if they are sorted."""
        data, fan, shift, rows, size = self._data, self._fan, self._shift, self._rows, _ROW.size
        found: list[bytes] = []
        for digest in () if self._is_cut() else digests:
            first, stop = _SPAN.unpack_from(data, fan + 4 * (int.from_bytes(digest[:4], "big") >> shift))
            if data.find(digest, rows + size * first, rows + size * stop) >= 0:
                found.append(digest)
        return found

    def is_sound_for(self, digest: bytes) -> bool:
        """Tells whether all that `places` went by for this hash is as it was written. Cost: hashes pages not hashed before."""
        if self._is_cut():
            return False
        entry, start, stop = self._bucket(digest)
        return self._is_sound(entry, entry + _SPAN.size) and self._is_sound(start, stop)

    def is_whole(self) -> bool:
        """Tells whether all of the table is as it was written."""
        return self._is_sound(self._fan, self._end)

    def events(self, pack: str, tract: str | None) -> list[str] | None:
        """Returns the hashes of a pack's events, or of those of a tract with those of none that can be told; None if the table is off."""
        found: list[str] = []
        for number, owner, first, count in self._events:
            if self.packs[number] != pack or (tract is not None and owner not in ("", tract)):
                continue
            start = self._event_names + _NAME_BYTES * first
            stop = start + _NAME_BYTES * count
            if not self._is_sound(start, stop):
                return None
            names = self._data[start:stop].hex()
            found += [names[at : at + 64] for at in range(0, len(names), 64)]
        return found

    def tracts(self, packs: Collection[str]) -> set[str]:
        """Returns the tracts of the events of some packs; an empty one for those that can't be told."""
        return {tract for number, tract, _, _ in self._events if self.packs[number] in packs}

    def rows_of(self, packs: Collection[str]) -> list[PackRows]:
        """Returns what the table says of some packs. Cost: reads the table."""
        found = [PackRows(name, [], {}) for name in self.packs if name in packs]
        marks = {rows.pack: _LENGTH.pack(number) for number, rows in enumerate(found)}
        for row in self._marked_rows(marks):
            (mark,) = _LENGTH.unpack_from(row, _NAME_BYTES)
            if mark < len(found):  # else of no pack at all
                found[mark].rows.append(row[:_NAME_BYTES] + row[-_SPOT.size :])
        groups = self._joined_events()
        for rows in found:
            for tract, names in groups.get(rows.pack, ()):
                rows.events[tract] = [names[at : at + _NAME_BYTES] for at in range(0, len(names), _NAME_BYTES)]
        return found

    def _marked_rows(self, marks: dict[str, bytes]) -> list[bytes]:
        """Returns hash, mark of the pack, offset and size of each member of the packs that have a mark, sorted by hash."""
        data = self._data[self._rows : self._event_names]
        of_number = {_LENGTH.pack(number): marks.get(name) for number, name in enumerate(self.packs)}
        if all(number == mark for number, mark in of_number.items()):
            return [data[at : at + _ROW.size] for at in range(0, len(data), _ROW.size)]
        rows = _ROW.iter_unpack(data)
        return [name + mark + spot for name, number, spot in rows if (mark := of_number.get(number)) is not None]

    def _joined_events(self) -> dict[str, list[tuple[str, bytes]]]:
        """Returns for each pack that has events their tracts and, as they are in the table, their hashes."""
        found: dict[str, list[tuple[str, bytes]]] = {}
        for number, tract, first, count in self._events:
            start = self._event_names + _NAME_BYTES * first
            found.setdefault(self.packs[number], []).append((tract, self._data[start : start + _NAME_BYTES * count]))
        return found

    def says(self, rows: PackRows) -> bool:
        """Tells whether the table says of a pack just this."""
        told = self.rows_of({rows.pack}) if self.counts.get(rows.pack) == len(rows.rows) else []
        return any(sorted(one.rows) == sorted(rows.rows) and _sorted(one) == _sorted(rows) for one in told)

    def _is_cut(self) -> bool:
        """Tells whether a mapped file was cut in place: a look beyond its end would end the process. Cost: one fstat of a large table."""
        return is_cut(self._data)

    def _bucket(self, digest: bytes) -> tuple[int, int, int]:
        """Returns where the table says in which names a hash is, and where these begin and end."""
        entry = self._fan + 4 * (int.from_bytes(digest[:4], "big") >> self._shift)
        first, stop = _SPAN.unpack_from(self._data, entry)
        return entry, self._rows + _ROW.size * first, min(self._rows + _ROW.size * stop, self._event_names)

    def _found(self, digest: bytes) -> list[int]:
        """Returns where the rows of a hash begin."""
        _, start, stop = self._bucket(digest)
        found: list[int] = []
        while (start := self._data.find(digest, start, stop)) >= 0:
            if (start - self._rows) % _ROW.size == 0:
                found.append(start)
            start += 1
        return found

    def _place(self, at: int) -> tuple[str, int, int]:
        number, offset, size = _PLACE.unpack_from(self._data, at + _NAME_BYTES)
        return self.packs[number] if number < len(self.packs) else "", offset, size

    def _is_sound(self, start: int, stop: int) -> bool:
        if self._is_cut():
            return False
        for page in range((start - self._fan) // _PAGE_BYTES, -(-(stop - self._fan) // _PAGE_BYTES)):
            if page >= len(self._checked):
                return False
            if not self._checked[page]:
                at = self._fan + page * _PAGE_BYTES
                check = self._checks[2 * _PAGE_CHECK_BYTES * page : 2 * _PAGE_CHECK_BYTES * (page + 1)]
                if _page_check(self._data[at : min(at + _PAGE_BYTES, self._end)]) != check:
                    return False
                self._checked[page] = 1
        return True


def encode(
    packs: Iterable[PackRows], kept: Iterable[tuple[PackTable, Collection[str]]] = (), *, seal: bytes = b""
) -> bytes:
    """Returns the bytes of the table of some packs, and of others as tables have them, none twice.

    The packs of the largest of these tables keep their numbers, and its rows their bytes. Cost: well under a microsecond for each member.
    """
    fresh = {rows.pack: rows for rows in packs}
    tables = {name: table for table, names in kept for name in names}
    whole = [
        table for table in dict.fromkeys(tables.values()) if all(tables.get(name) is table for name in table.packs)
    ]
    ordered = max(whole, key=lambda table: table.row_count).packs if whole else []
    ordered = [*ordered, *sorted({*fresh, *tables}.difference(ordered))]
    marks = {name: _LENGTH.pack(number) for number, name in enumerate(ordered)}
    merged: list[bytes] = []
    for rows in fresh.values():
        mark = marks[rows.pack]
        merged += [row[:_NAME_BYTES] + mark + row[_NAME_BYTES:] for row in rows.rows]
    merged.sort()
    of_packs = {rows.pack: _joined_events(rows) for rows in fresh.values()}
    for table in dict.fromkeys(tables.values()):
        own = {name: marks[name] for name in table.packs if tables.get(name) is table}
        merged += table._marked_rows(own)
        of_packs.update((name, events) for name, events in table._joined_events().items() if name in own)
    merged.sort()  # what is sorted in parts takes a fraction of the time
    groups: list[tuple[int, str, int, int]] = []
    events: list[bytes] = []
    event_rows = 0
    for number, name in enumerate(ordered):
        for tract, names in sorted(of_packs.get(name, ())):
            groups.append((number, tract, event_rows, len(names) // _NAME_BYTES))
            events.append(names)
            event_rows += len(names) // _NAME_BYTES
    bits = max(0, (len(merged) // _ROWS_PER_BUCKET).bit_length())
    body = b"".join((_fan_out(merged, bits), *merged, *events))
    pages = "".join(_page_check(body[at : at + _PAGE_BYTES]) for at in range(0, len(body), _PAGE_BYTES))
    counts = [(name, tables[name].counts[name] if name in tables else len(fresh[name].rows)) for name in ordered]
    header = canonical.encode_struct(_Header(counts, groups, len(merged), event_rows, bits, pages))
    return b"".join((_MAGIC, sha256(seal + header).digest(), _LENGTH.pack(len(header)), header, body))


def _joined_events(rows: PackRows) -> list[tuple[str, bytes]]:
    return [(tract, b"".join(sorted(names))) for tract, names in rows.events.items()]


def _fan_out(rows: list[bytes], bits: int) -> bytes:
    """Returns for each value of the first bits of a hash how many of the sorted rows come before it, and the count of all."""
    counts = [0]
    for value in range(1, 1 << bits):
        counts.append(bisect_left(rows, (value << (32 - bits)).to_bytes(4, "big"), counts[-1]))
    counts.append(len(rows))
    return struct.pack(f">{len(counts)}I", *counts)


def _page_check(data: bytes) -> str:
    return sha256(data).hexdigest()[: 2 * _PAGE_CHECK_BYTES]


def _sorted(rows: PackRows) -> dict[str, list[bytes]]:
    return {tract: sorted(names) for tract, names in rows.events.items()}
