"""Pack members in the index: where each object and event lies in a pack, and which of them are events.

A member is hashed when it is read, so a wrong row can hide a member but never give wrong bytes. `require_absent` makes
sure that none is hidden.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from tract_fs.store.address import MAX_PACK_BYTES
from tract_fs.store.index.file import (
    IndexDamagedError,
    IndexFile,
    Sums,
    bucket_range,
    crc_of,
    insert_rows,
    key_of,
    keys_of,
    require_keys,
    require_sums,
)

if TYPE_CHECKING:
    import sqlite3

_OFFSET_BITS = 32
_OFFSET_MASK = (1 << _OFFSET_BITS) - 1
_CHECKED = struct.Struct(">qI32s")
_AT_ONCE = 400  # variables of one statement
_IS_SIZE = f"size between 0 and {MAX_PACK_BYTES}"  # a row of another one counts as missing


class PackMembers(Struct):
    """What one pack contains: hash, offset and size in bytes of each member; hashes of its events by tract.

    An empty tract is an unknown one.
    """

    pack: str
    members: list[tuple[bytes, int, int]]
    events: dict[str, list[bytes]]


class Place(NamedTuple):
    """Where a member lies: the pack, and its offset and size in bytes."""

    pack: str
    offset: int
    size: int


class MemberIndex:
    """The rows of all packs.

    States: unread, loaded (`_ids`, `_names` and `_counts` have the packs with rows). When the index has another
    generation than `_generation`, rows may be gone: the next look-up loads again.
    """

    def __init__(self, index: IndexFile) -> None:
        self._index = index
        self._generation = -1
        self._version = 0  # of the file, when the rows of packs were read
        self._ids: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._counts: dict[str, tuple[int, int]] = {}  # of members, of tracts
        self._sound: set[int] = set()  # buckets whose sums agreed
        self._seed = 0

    def packs(self) -> Collection[str]:
        """Returns the names of the packs whose members have rows. Errors: IndexDamagedError."""
        if self._generation != self._index.generation:
            self.load()
        return self._ids.keys()

    def load(self) -> None:
        """Reads which packs have rows. Errors: IndexDamagedError."""
        self._ids, self._names, self._counts = {}, {}, {}
        self._sound.clear()
        self._seed = zlib.crc32(self._index.seal)
        if self._index.exists():
            self._version = self._index.version()
            with self._index.reading() as connection:
                rows = connection.execute("select id, name, members, tracts, crc from packs").fetchall()
                for number, name, count, tracts, crc in rows:
                    is_as_written = crc == crc_of(self._index.seal, number, name, count, tracts)
                    if not is_as_written or type(name) is not bytes or len(name) != 32 or type(count) is not int:
                        raise IndexDamagedError("a pack's row is not as it was written")
                    self._note(number, name.hex(), count, tracts)
        self._generation = self._index.generation

    def places(self, digest: bytes) -> Sequence[Place]:
        """Returns the places of the members of this hash. Unchecked: rows may be missing or wrong.

        Errors: IndexDamagedError.
        """
        if not self.packs():
            return ()
        index = self._index
        try:
            rows = (
                index.connection()
                .execute(f"select place, name, size from members where key = ? and {_IS_SIZE}", (key_of(digest),))
                .fetchall()
            )
            found = [
                Place(pack, place & _OFFSET_MASK, size)
                for place, name, size in rows
                if name == digest and (pack := self._names.get(place >> _OFFSET_BITS)) is not None
            ]
        except index.errors() as error:
            raise index.fail(error) from error
        return found

    def listed(self, digests: Collection[bytes], packs: Collection[str]) -> set[bytes]:
        """Returns those of many hashes that have a row of one of some packs. Unchecked. Errors: IndexDamagedError."""
        found: set[bytes] = set()
        if not self.packs():
            return found
        wanted = list(digests)
        numbers = {self._ids[pack] for pack in packs if pack in self._ids}
        with self._index.reading() as connection:
            for start in range(0, len(wanted), _AT_ONCE):
                keys = list(keys_of(wanted[start : start + _AT_ONCE]))
                marks = ",".join("?" * len(keys))
                rows = connection.execute(f"select name, place from members where key in ({marks})", keys)
                found.update(name for name, place in rows.fetchall() if place >> _OFFSET_BITS in numbers)
        return found.intersection(wanted)

    def require_absent(self, digest: bytes) -> None:
        """Raises IndexDamagedError if a row of this hash may be missing. Cost: reads a 256th of the rows, once."""
        if not self.packs():
            return
        if self._version != self._index.version():
            self._follow_file()
        bucket = digest[0]
        if bucket in self._sound:
            return
        span = bucket_range(bucket)
        with self._index.reading() as connection:
            rows = connection.execute(
                "select place, size, name from members where key between ? and ?", span
            ).fetchall()
            require_sums(connection, "member", bucket, [_crc(self._seed, *row) for row in rows])
            keys = connection.execute("select key, place from members where key between ? and ?", span)
            require_keys(keys, ((key_of(name), place) for place, _, name in rows))
        self._sound.add(bucket)

    def _follow_file(self) -> None:
        """Sees which packs have rows once the file has changed. Errors: IndexDamagedError if rows that were there are gone."""
        before = self._ids.items()
        self.load()
        if before - self._ids.items():
            raise self._index.note_loss()

    def events(self, pack: str, tract: str | None) -> list[bytes]:
        """Returns the hashes of a pack's events: all, or those of a tract and of an unknown one. Errors: IndexDamagedError."""
        return [
            names[at : at + 32]
            for _, names in (self._events_of(pack, tract) if pack in self.packs() else ())
            for at in range(0, len(names), 32)
        ]

    def has_events(self, pack: str) -> bool:
        """Returns whether a pack has events. Errors: IndexDamagedError."""
        return pack in self.packs() and bool(self._counts[pack][1])

    def has_tract(self, packs: Collection[str], tract: str) -> bool:
        """Returns whether one of some packs has events of a tract. Errors: IndexDamagedError."""
        return any(owner == tract for name in self.with_events(packs) for owner, _ in self._events_of(name, tract))

    def tracts(self, packs: Collection[str]) -> set[str]:
        """Returns the tracts that have events in some packs; an empty one if unknown. Errors: IndexDamagedError."""
        return {tract for name in self.with_events(packs) for tract, _ in self._events_of(name, None)}

    def with_events(self, packs: Collection[str]) -> list[str]:
        """Returns those of some packs that have events; a pack of an import has none."""
        known = self.packs()
        return [name for name in packs if name in known and self._counts[name][1]]

    def _events_of(self, pack: str, tract: str | None) -> list[tuple[str, bytes]]:
        """Returns the tracts that a pack has events of, or only one tract and the unknown one, each with their hashes. Errors: IndexDamagedError."""
        number = self._ids[pack]
        with self._index.reading() as connection:
            query = "select tract, events, names, crc from pack_events where pack = ?"
            if tract is None:
                rows = connection.execute(query, (number,)).fetchall()
            else:
                rows = connection.execute(f"{query} and tract in ('', ?)", (number, tract)).fetchall()
            name, count = connection.execute(
                "select (select name from packs where id = ?), (select count(*) from pack_events where pack = ?)",
                (number, number),
            ).fetchone()
            if name != bytes.fromhex(pack) or count != self._counts[pack][1]:
                raise IndexDamagedError("events of a pack are missing")
            for owner, count, names, crc in rows:
                is_as_written = crc == crc_of(self._index.seal, number, owner, count, names)
                are_hashes = type(names) is bytes and len(names) == 32 * count
                if not is_as_written or not are_hashes or type(owner) is not str:
                    raise IndexDamagedError("the events of a pack are not as they were written")
        return [(owner, names) for owner, _, names, _ in rows]

    def members(self, pack: str) -> PackMembers | None:
        """Returns what a pack contains, from its rows, or None if it has none. Errors: IndexDamagedError."""
        if pack not in self.packs():
            return None
        first = self._ids[pack] << _OFFSET_BITS
        with self._index.reading() as connection:
            rows = connection.execute(
                "select name, place & ?, size from members where place between ? and ?",
                (_OFFSET_MASK, first, first + _OFFSET_MASK),
            ).fetchall()
            events = connection.execute("select tract, names from pack_events where pack = ?", (self._ids[pack],))
            found = {
                tract: [names[at : at + 32] for at in range(0, len(names), 32)] for tract, names in events.fetchall()
            }
        return PackMembers(pack, rows, found)

    def add(self, *packs: PackMembers, present: Collection[str]) -> None:
        """Writes the rows of some packs; removes those of packs that are not `present` once they are half of all rows.

        Cost: a row costs half as much among a hundred thousand as among some thousands. Errors: IndexDamagedError,
        IndexUnwritableError.
        """
        self.packs()
        with self._index.writing() as connection:
            if self._generation != self._index.generation:
                self.load()
            gone = [name for name in self._ids if name not in present]
            total = sum(count for count, _ in self._counts.values())
            if gone and 2 * sum(self._counts[name][0] for name in gone) >= total:
                for name in gone:
                    self._remove(connection, name)
            sums = Sums("member")
            for pack in packs:
                self._insert(connection, pack, sums)
            sums.write(connection)

    def _insert(self, connection: sqlite3.Connection, pack: PackMembers, sums: Sums) -> None:
        name, count, tracts = bytes.fromhex(pack.pack), len(pack.members), len(pack.events)
        there = connection.execute("select id, members, tracts from packs where name = ?", (name,)).fetchone()
        if there is not None:  # another process was faster
            self._note(there[0], pack.pack, *there[1:])
            return
        number = 1 + connection.execute("select coalesce(max(id), 0) from packs").fetchone()[0]
        crc = crc_of(self._index.seal, number, name, count, tracts)
        connection.execute("insert into packs values (?, ?, ?, ?, ?)", (number, name, count, tracts, crc))
        counts, totals, crc32, seed = sums.rows, sums.totals, zlib.crc32, self._seed
        first = number << _OFFSET_BITS
        digests, offsets, sizes = zip(*pack.members, strict=True) if pack.members else ((), (), ())
        places = [first + offset for offset in offsets]
        for row, digest in zip(map(_CHECKED.pack, places, sizes, digests), digests, strict=True):
            bucket = digest[0]
            counts[bucket] += 1
            totals[bucket] += crc32(row, seed)
        rows = zip(places, digests, sizes, keys_of(digests), strict=True)
        insert_rows(connection, "members", 4, list(chain.from_iterable(rows)))
        for tract, hashes in pack.events.items():
            names = b"".join(sorted(hashes))
            crc = crc_of(self._index.seal, number, tract, len(hashes), names)
            connection.execute(
                "insert into pack_events values (?, ?, ?, ?, ?)", (number, tract, len(hashes), names, crc)
            )
        self._note(number, pack.pack, count, tracts)

    def _remove(self, connection: sqlite3.Connection, name: str) -> None:
        number = self._ids.pop(name)
        first = number << _OFFSET_BITS
        span = (first, first + _OFFSET_MASK)
        sums = Sums("member")
        rows = connection.execute("select place, size, name from members where place between ? and ?", span)
        for place, size, digest in rows.fetchall():
            sums.rows[digest[0]] -= 1
            sums.totals[digest[0]] -= _crc(self._seed, place, size, digest)
        connection.execute("delete from members where place between ? and ?", span)
        connection.execute("delete from pack_events where pack = ?", (number,))
        connection.execute("delete from packs where id = ?", (number,))
        sums.write(connection)
        del self._names[number], self._counts[name]

    def _note(self, number: int, name: str, count: int, tracts: int) -> None:
        self._ids[name], self._names[number], self._counts[name] = number, name, (count, tracts)


def _crc(seed: int, place: int, size: int, digest: bytes) -> int:
    return zlib.crc32(_CHECKED.pack(place, size, digest), seed)
