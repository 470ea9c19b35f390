"""Packs: the bytes of many objects and events in one file, one per line, under a content name.

Where the members of all packs lie is kept in few tables in `local/packs/`, made from the packs when they are missing or off; a member is hashed each time it
is read, so a wrong table can hide a member but never give wrong bytes, and `renew` checks what a miss builds on. Format: FORMAT.md, section 8.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from itertools import accumulate
from typing import Self

from tract_fs.model.members import is_event_line, tract_of_event
from tract_fs.model.names import are_hashes, hash_bytes, is_hash
from tract_fs.store import files, pack_table
from tract_fs.store.address import MAX_PACK_BYTES as LIMIT_BYTES
from tract_fs.store.address import Address
from tract_fs.store.layout import Layout
from tract_fs.store.pack_table import PackRows, PackTable
from tract_fs.store.suspects import Suspects

_OPEN_PACKS = 16
_MOST_MERGED_ROWS = 3 << 18  # so many at once are made a table of: memory; three packs of full size have not more
_SETTLED_NS = 2_000_000_000  # a directory may change again within the tick of its ctime
_WRITE_BYTES = 1 << 20
_LEAST_MEMBER_BYTES = 16  # a shorter line can be no object and no event, and a pack may hold millions of them
SMALL_BYTES = 32 * 1024 * 1024  # a pack of this size or more is never written again
_AT_HAND_BYTES = 32 * 1024 * 1024
_AT_HAND_OVERHEAD_BYTES = 200
_HASH = re.compile(rb'([0-9a-f]{64})"')


class AtHand:
    """Members that were read and hashed already, for who asks for them next; each is given once. Those that come first are kept, within bounds."""

    def __init__(self) -> None:
        self._members: dict[bytes, bytes] = {}
        self._left_bytes = _AT_HAND_BYTES

    def add(self, members: list[tuple[bytes, bytes]]) -> None:
        """Keeps members by their hashes, if there is room."""
        if self._left_bytes > 0:
            self._members.update(members)
            self._left_bytes -= sum(len(member) for _, member in members) + _AT_HAND_OVERHEAD_BYTES * len(members)

    def take(self, digest: bytes) -> bytes | None:
        """Returns a member, or None if it is not at hand."""
        return self._members.pop(digest, None)

    def clear(self) -> None:
        """Lets go of all."""
        self._members.clear()
        self._left_bytes = _AT_HAND_BYTES


class Packs:
    """The packs of one store; looks for new ones when the directory has changed."""

    def __init__(
        self, layout: Layout, suspects: Suspects | None = None, *, read_only: bool, is_distrusted: bool = False
    ) -> None:
        """With `is_distrusted` no table is taken from a file that is there: all packs are looked through."""
        self._layout = layout
        self._is_distrusted = is_distrusted
        self._suspects = Suspects() if suspects is None else suspects
        self._read_only = read_only
        self._signature: files.Signature | None = None
        self._is_settled = True  # the directory can't have changed since without another ctime
        self._readers: dict[str, files.RangeReader] = {}  # those of few packs stay open; the first opened first
        self._tables: tuple[PackTable, ...] = ()  # the one that had the last member first, then the largest
        self._doubted: dict[str, PackTable] = {}  # packs that are not what their names or tables say: what they hold
        self._damaged: dict[str, files.Signature | None] = {}  # those packs, as they were then
        self._misread: set[str] = set()  # packs of which a member could not be read where a table has it
        self._rejected: dict[str, files.Signature | None] = {}  # table files that are off
        self._unread: set[str] = set()  # packs that no table was looked for yet
        self._at_hand = AtHand()  # of packs that were just looked through
        self._given: dict[str, PackRows] = {}  # what some of those hold, as their writers say
        self.names: set[str] = set()  # the packs there are, less those that can't be read

    # which packs there are

    def refresh(self) -> bool:
        """Sees which packs came, went, or are whole again; tells whether any did. Cost: one stat if nothing changed, and one per damaged pack."""
        signature = files.signature(self._layout.packs)
        healed = {name for name, seen in self._damaged.items() if files.signature(self._layout.pack(name)) != seen}
        if signature == self._signature and self._is_settled and not healed:
            return False
        self._is_settled = signature is None or time.time_ns() - signature[2] > _SETTLED_NS
        self._signature = signature
        there = files.list_names(self._layout.packs)
        listed = set(there) if are_hashes(there) else {name for name in there if is_hash(name)}
        for name in healed | (self._damaged.keys() - listed):
            del self._damaged[name]
            self._doubted.pop(name, None)
            self._misread.discard(name)
        names = listed - {name for name in self._damaged if name not in self._doubted}
        if names == self.names and not healed:
            return False
        self._at_hand.clear()
        for name in (self.names - names) | healed:
            self._close_reader(name)
        self.names = names
        self._tables = tuple(table for table in self._tables if not names.isdisjoint(table.packs))
        self._unread = names - self._covered()
        return True

    def renew(self, name: str) -> bool:
        """Makes sure that a member that was not found is in no pack; True if something changed, so that it is to be looked for again.

        Cost: `refresh`, and the parts of tables that the look went by, checked once.
        """
        if self.refresh():
            return True
        self._cover()
        digest = bytes.fromhex(name)
        off = [table for table in self._tables if not table.is_sound_for(digest)]
        for table in off:
            self._reject(table)
        misread, self._misread = self._misread - self._damaged.keys(), set()
        if not off:
            for pack in misread & self.names:
                self._look_through(pack)
        return bool(off or misread)

    # members

    def read(self, name: str) -> bytes | None:
        """Returns the verified bytes of a member of any pack known, or None, which is sure only after `renew`."""
        if not self.names:
            return None
        if self._unread:
            self._cover()
        digest = bytes.fromhex(name)
        member = self._at_hand.take(digest)
        if member is not None:
            return member
        for table in (*self._tables, *self._doubted.values()):
            for pack, offset, size in table.places(digest):
                if pack in self.names:
                    data = self._read_member(pack, offset, size, digest)
                    if data is not None:
                        if table in self._tables[1:]:  # the next one is mostly beside it
                            self._tables = (table, *(other for other in self._tables if other is not table))
                        return data
        return None

    def holder(self, name: str, packs: Collection[str]) -> str | None:
        """Returns one of `packs` that has the verified bytes of a member, or None if none is known to."""
        self._cover()
        digest = bytes.fromhex(name)
        for table in self._tables:
            for pack, offset, size in table.places(digest):
                if pack in packs and pack in self.names and self._read_member(pack, offset, size, digest) is not None:
                    return pack
        return None

    def has(self, name: str) -> bool:
        """Tells whether some pack known lists `name`; False is sure only after `renew`."""
        if self._unread:
            self._cover()
        digest = bytes.fromhex(name)
        return any(table.has(digest, self.names) for table in (*self._tables, *self._doubted.values()))

    def listed(self, names: Iterable[str]) -> set[str]:
        """Returns those of many names that some pack known may have; of the others this is sure only after `renew`."""
        self._cover()
        digests = sorted(map(bytes.fromhex, names))
        tables = (*self._tables, *self._doubted.values())
        return {digest.hex() for table in tables for digest in table.listed(digests)}

    def event_names(self, pack: str, tract: str | None = None) -> list[str]:
        """Returns the hashes of the events in a pack: all, or those of a tract and of none that can be told.

        Empty if the pack can't be read, which ends its being one of `names`.
        """
        while True:
            self._cover()
            found: dict[str, None] = {}
            for table in self._all_tables(pack):
                names = table.events(pack, tract)
                if names is None:
                    self._reject(table)
                    break
                found.update(dict.fromkeys(names))
            else:
                return list(found)

    def has_events(self, pack: str) -> bool:
        """Tells whether there are events in a pack."""
        self._cover()
        return any(table.tracts({pack}) for table in self._all_tables(pack))

    def tracts(self) -> set[str]:
        """Returns the tracts that have events in packs."""
        self._cover()
        tables = (*self._tables, *self._doubted.values())
        return {tract for table in tables for tract in table.tracts(self.names) if tract}

    def sizes(self) -> list[int]:
        """Returns the sizes in bytes of the packs."""
        return [size for name, size in files.list_files(self._layout.packs) if is_hash(name)]

    def close(self) -> None:
        """Closes the files."""
        for name in list(self._readers):
            self._close_reader(name)

    def _read_member(self, pack: str, offset: int, size: int, digest: bytes) -> bytes | None:
        reader = self._reader(pack)
        data = reader.read(offset, size)
        if data is not None and sha256(data).digest() == digest:
            return data
        reader.close()  # the file at the path may be another, and whole, by now
        data = reader.read(offset, size)
        if data is not None and sha256(data).digest() == digest:
            return data
        if data is not None:
            self._suspects.note(Address("pack", pack))
            self._misread.add(pack)
        return None

    def _reader(self, pack: str) -> files.RangeReader:
        reader = self._readers.get(pack)
        if reader is None:
            if len(self._readers) >= _OPEN_PACKS:
                self._close_reader(next(iter(self._readers)))
            reader = self._readers[pack] = files.RangeReader(self._layout.pack(pack))
        return reader

    def _close_reader(self, pack: str) -> None:
        reader = self._readers.pop(pack, None)
        if reader is not None:
            reader.close()

    def let_go(self) -> None:
        """Lets go of the members that were kept for who asks for them just after their pack was looked through."""
        self._at_hand.clear()

    # tables

    def _all_tables(self, pack: str) -> list[PackTable]:
        doubted = self._doubted.get(pack)
        found = [table for table in self._tables if pack in table.counts]
        return found if doubted is None else [*found, doubted]

    def _covered(self) -> set[str]:
        return {*self._doubted, *(name for table in self._tables for name in table.packs)}

    def _cover(self) -> None:
        """Finds the tables of all packs, and makes those that are missing."""
        if not self._unread:
            return
        for table in self._stored_tables():
            if not self._unread.isdisjoint(table.packs):
                self._tables = (*self._tables, table)
                self._unread -= set(table.packs)
        fresh: list[PackRows] = []
        for name in sorted(self._unread):
            rows = self._given.get(name) or self._look_through(name)
            if rows is not None:
                fresh.append(rows)
            if sum(len(rows.rows) for rows in fresh) > _MOST_MERGED_ROWS // 2:
                self._keep(fresh)
                fresh = []
        self._unread.clear()
        self._given.clear()
        if fresh:
            self._keep(fresh)
        self._tables = tuple(sorted(self._tables, key=lambda table: -table.row_count))

    def _reject(self, table: PackTable) -> None:
        """Uses a table that is off no more; the packs that it covers are looked through."""
        self._tables = tuple(other for other in self._tables if other is not table)
        if table.path:
            self._rejected[table.path] = files.signature(table.path)
        self._unread |= self.names - self._covered()

    def _look_through(self, name: str) -> PackRows | None:
        """Returns what a whole pack holds; of another takes in what can be trusted, and returns None."""
        path = self._layout.pack(name)
        signature = files.signature(path)
        rows, found = scan(path, name, self._at_hand)
        if rows is not None and found == name:
            return rows
        self._damaged[name] = signature
        if rows is None:
            self.names.discard(name)
            return None
        self._suspects.note(Address("pack", name))
        data = files.read(path, limit_bytes=LIMIT_BYTES) or b""
        known = (digest for one in self._kept_rows(name) for names in one.events.values() for digest in names)
        table = PackTable.parse(pack_table.encode([_trusted(data, rows, known)]))
        assert table is not None
        self._doubted[name] = table
        return None

    def _keep(self, fresh: list[PackRows]) -> None:
        """Makes one table of new rows and the small tables; keeps it in a file if it can."""
        merged = self._take_out_small_tables(fresh)
        seal = self._layout.seal
        data = pack_table.encode(fresh, merged, seal=seal)
        names = [rows.pack for rows in fresh] + [name for _, packs in merged for name in packs]
        table = None if self._read_only else self._write(table_name(names), data)
        if table is None:
            table = PackTable.parse(data, seal=seal)
            assert table is not None
        self._tables = (*self._tables, table)
        if table.path:
            self._remove_superseded()

    def _write(self, name: str, data: bytes) -> PackTable | None:
        path = f"{self._layout.pack_tables}/{name}"
        try:
            files.replace(path, data, mode=0o644)
            self._rejected.pop(path, None)
            return _open_table(path, self._layout.seal)
        except OSError:  # a table that can't be kept is made again at the next open
            return None

    def _take_out_small_tables(self, fresh: list[PackRows]) -> list[tuple[PackTable, set[str]]]:
        """Takes out the tables that are not much larger than the new rows, or that are of packs gone; returns them with the packs to be taken from each."""
        merged: list[tuple[PackTable, set[str]]] = []
        taken = {rows.pack for rows in fresh}
        total = sum(len(rows.rows) for rows in fresh)
        for table in sorted(self._tables, key=lambda table: table.row_count):
            live = {name for name in table.packs if name in self.names} - taken
            live_count = sum(table.counts[name] for name in live)
            is_small = table.row_count <= 2 * total or 2 * live_count < table.row_count
            if not is_small or total + live_count > _MOST_MERGED_ROWS or not table.is_whole():
                continue
            self._tables = tuple(other for other in self._tables if other is not table)
            merged.append((table, live))
            taken |= live
            total += live_count
        return merged

    def _remove_superseded(self) -> None:
        """Removes the table files that hold nothing more than those in use, and what is no table."""
        used = {table.path for table in self._tables}
        covered = {name for table in self._tables for name in table.packs}
        with suppress(OSError):
            for name in files.list_names(self._layout.pack_tables):
                path = f"{self._layout.pack_tables}/{name}"
                if is_hash(name) and path not in used:
                    table = _open_table(path, self._layout.seal)
                    if table is None or not (self.names & set(table.packs)) - covered:
                        files.remove(path)

    def _stored_tables(self) -> list[PackTable]:
        """Returns the tables in files that are not in use, the largest first."""
        found = []
        used = {table.path for table in self._tables}
        with suppress(OSError):  # another user's: as if there were none
            for name in () if self._is_distrusted else files.list_names(self._layout.pack_tables):
                path = f"{self._layout.pack_tables}/{name}"
                if not is_hash(name) or path in used:
                    continue
                if path in self._rejected and files.signature(path) == self._rejected[path]:
                    continue
                table = _open_table(path, self._layout.seal)
                if table is not None:
                    found.append(table)
        return sorted(found, key=lambda table: -table.row_count)

    def _kept_rows(self, name: str) -> list[PackRows]:
        """Returns what tables say of a pack that was whole when they were made."""
        tables = [*self._tables, *self._stored_tables()]
        return [rows for table in tables if name in table.counts and table.is_whole() for rows in table.rows_of({name})]

    # for repair

    def good_members(self, name: str, data: bytes) -> list[bytes]:
        """Returns the members of a damaged pack, given its bytes, that surely are what they were."""
        kept = self._kept_rows(name)
        found = kept or [_trusted(data, _rows_of(name, data), ())]
        places = sorted({(offset, size, digest) for rows in found for digest, offset, size in rows.iter_members()})
        members = ((digest, data[offset : offset + size]) for offset, size, digest in places)
        return [member for digest, member in members if sha256(member).digest() == digest]

    def drop_wrong_tables(self, name: str, data: bytes) -> list[str]:
        """Removes the tables that say of a good pack, given its bytes, what is not so, and what is no table; returns their paths."""
        rows = _rows_of(name, data)
        dropped = []
        for file in files.list_names(self._layout.pack_tables):
            path = f"{self._layout.pack_tables}/{file}"
            if not is_hash(file):
                continue
            table = _open_table(path, self._layout.seal)
            if table is None or not table.is_whole() or (name in table.counts and not table.says(rows)):
                files.remove(path)
                dropped.append(path)
        if dropped:
            self._tables = ()
            self._signature, self.names = None, set()
        return dropped

    # for writing

    def include(self, rows: PackRows) -> None:
        """Has the members of a pack found that was just written, without reading it again; each is hashed when it is read, as any."""
        self._given[rows.pack] = rows
        self.refresh()

    def add(self, rows: PackRows, data: bytes, *, is_synced: bool) -> None:
        """Writes a pack that `assemble` made."""
        files.replace(self._layout.pack(rows.pack), data, is_synced=is_synced)
        self.include(rows)


class PackWriter:
    """Writes one pack member by member; memory does not grow with it."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        files.make_directory(layout.packs)
        self._file = files.NewFile(layout.packs)
        self._digest = sha256()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self.size_bytes = 0

    def add(self, member: bytes) -> None:
        """Appends a member: canonical JSON."""
        self._waiting += (member, b"\n")
        self._waiting_bytes += len(member) + 1
        self.size_bytes += len(member) + 1
        if self._waiting_bytes > _WRITE_BYTES:
            self._write()

    def finish(self) -> str:
        """Gives the pack its name, and returns it."""
        self._write()
        name = self._digest.hexdigest()
        self._file.finish(self._layout.pack(name))
        return name

    def _write(self) -> None:
        data = b"".join(self._waiting)
        self._waiting, self._waiting_bytes = [], 0
        self._digest.update(data)
        self._file.write(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.__exit__()


def assemble(objects: Mapping[str, bytes]) -> tuple[PackRows, bytes]:
    """Returns what a pack of these objects holds, and its bytes; each is canonical JSON under its hash."""
    data = b"\n".join((*objects.values(), b""))
    rows = PackRows(hash_bytes(data), [], {})
    offset = 0
    for name, member in objects.items():
        rows.add(bytes.fromhex(name), offset, len(member))
        offset += len(member) + 1
    return rows, data


def table_name(packs: Iterable[str]) -> str:
    """Returns the name of the table file of these packs."""
    return hash_bytes("\n".join(sorted(packs)).encode())


def scan(path: str, name: str, at_hand: AtHand | None = None) -> tuple[PackRows | None, str]:
    """Returns the members of a pack, every line under its own hash, and the hash of the file; None if there is none. Memory: the rows.

    The members are put into `at_hand` as well, as far as they fit.
    """
    signature = files.signature(path)
    rows = PackRows(name, [], {})
    digest = sha256()
    if signature is None or signature[1] > LIMIT_BYTES:
        return None, ""
    try:
        offset = 0
        for block in files.iter_line_blocks(path, limit_bytes=LIMIT_BYTES):
            digest.update(block)
            _add_lines(rows, block, offset, at_hand)
            offset += len(block)
    except FileNotFoundError:
        return None, ""
    return rows, digest.hexdigest()


def first_member(path: str) -> str | None:
    """Returns the hash of the first line of a pack, or None if there is none."""
    with suppress(FileNotFoundError):
        for line in files.iter_lines(path, limit_bytes=LIMIT_BYTES):
            return hash_bytes(line.removesuffix(b"\n").removesuffix(b"\r"))
    return None


def _rows_of(name: str, data: bytes) -> PackRows:
    rows = PackRows(name, [], {})
    _add_lines(rows, data, 0)
    return rows


def _add_lines(rows: PackRows, block: bytes, offset: int, at_hand: AtHand | None = None) -> None:
    """Takes in lines, less what a tool that rewrote line ends added."""
    lines = block.split(b"\n")
    offsets: Iterable[int] = accumulate([len(line) + 1 for line in lines], initial=offset)
    if b"\r" in block:
        lines = [line.removesuffix(b"\r") for line in lines]
    if min(map(len, lines[:-1]), default=0) < _LEAST_MEMBER_BYTES:
        kept = [(at, line) for at, line in zip(offsets, lines, strict=False) if len(line) >= _LEAST_MEMBER_BYTES]
        offsets, lines = [at for at, _ in kept], [line for _, line in kept]
    elif len(lines[-1]) < _LEAST_MEMBER_BYTES:
        lines.pop()
    members = [(sha256(line).digest(), line) for line in lines]
    rows.extend([(digest, at, len(line)) for (digest, line), at in zip(members, offsets, strict=False)])
    for digest, line in members:
        if is_event_line(line):
            rows.add_event(digest, tract_of_event(line) or "")
    if at_hand is not None:
        at_hand.add(members)


def _trusted(data: bytes, rows: PackRows, known: Iterable[bytes]) -> PackRows:
    """Returns the rows of a damaged pack less the events that no other line of it names, and that it was not known to hold.

    Every line hashes to some name, an altered one too. An object that nobody asks for harms nothing, but an event takes effect by being there.
    """
    named = {bytes.fromhex(name.decode()) for name in _HASH.findall(data)}.union(known)
    doubtful = {name for names in rows.events.values() for name in names if name not in named}
    events = {tract: [name for name in names if name in named] for tract, names in rows.events.items()}
    return PackRows(rows.pack, [row for row in rows.rows if row[:32] not in doubtful], events)


def _open_table(path: str, seal: bytes) -> PackTable | None:
    data = files.map_file(path)
    return None if data is None else PackTable.parse(data, path, seal=seal)
