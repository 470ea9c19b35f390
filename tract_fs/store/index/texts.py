"""The texts of one tract in the index, for search: folded, in blocks that are scanned as a whole.

Why no FTS5: its trigram tokenizer takes 15,000 messages of 200 bytes a second and 3.8 bytes for each byte of text, and
unicode61 finds no part of a word and no phrase in a script without spaces. A scan finds a phrase of any length, needs no
extension of SQLite, and each byte that it reads has a checksum. StringZilla, an optional package, scans 70 MB in 4 ms,
whatever the phrase; Python's own search takes 10 to 70 ms, the longest for short phrases.

The rows are written when a search needs them, some thousands of records at a time. The stamp of a tract has the count of
its blocks and the sum of their checksums, so that no block can be missing or old unnoticed. A text is stored once in a
tract, however many commits have it. What could not be read, or was redacted, has no text here: it is read at each search.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, chain, repeat
from operator import add
from typing import TYPE_CHECKING, Any, NamedTuple

from tract_fs.errors import DamageError, JsonValueError
from tract_fs.model import canonical
from tract_fs.model.events import Redact
from tract_fs.model.names import CommitHash
from tract_fs.model.search import SearchFilter, folded, searchable
from tract_fs.store.arrivals import BRING_KINDS, BRINGS_AGAIN, NO_HASH, OWN, OWN_FAST, SEEN, Record
from tract_fs.store.events import Events
from tract_fs.store.index.file import IndexDamagedError, IndexFile, IndexUnwritableError, crc_of
from tract_fs.store.objects import Objects
from tract_fs.store.tract_log import TractLog

if TYPE_CHECKING:
    import sqlite3

try:
    import stringzilla  # the extra `search`

    _IS_FAST = int(stringzilla.__version__.partition(".")[0]) >= 5  # up to 4.4, count() reads past a short text's end
except ImportError:
    _IS_FAST = False

_SIZE = struct.Struct(">72xI4x")  # of a record
_CREATED = struct.Struct(">Q")
_TIMES = struct.Struct(">64xQ8x")
_RECORD = struct.Struct(">32s32sQIHH")  # commit, content, creation time, size of the text, role, content type
_UNREAD = 0xFFFF_FFFF  # in place of a size: the text is not here
_REPEATED = 0xFFFF_FFFE  # it is that of an earlier record
_END = b"\xff"  # after each text; no byte of UTF-8
_BLOCK_BYTES = 256 * 1024
_MOST_NAMES = 0xFFFF
_RECORDS_AT_ONCE = 16, 4096  # at first, and as long as their texts are short
_BYTES_AT_ONCE = 2 * 1024 * 1024
_CACHED_BYTES = 128 * 1024 * 1024
_DENSE_TEXTS = 3  # a block with a match in every third text is dense: its texts are all counted in one call,
_DENSE_EVERY = 8  # which is looked at after every eighth match; else they are counted one by one
_TRIES = 3
_MAY_REDACT = frozenset([OWN, OWN_FAST, SEEN])
_BLOCK = "select crc, names, records, texts from search_blocks where tract = ? and number = ?"


class Sizes:
    """The sizes of some folded texts, in bytes."""

    __slots__ = ("_last", "_values")

    def __init__(self, values: Sequence[int]) -> None:
        self._values = values
        self._last: tuple[float, array[float]] | None = None

    def __getitem__(self, slot: int) -> int:
        return self._values[slot]

    def plus(self, constant: float) -> array[float]:
        """Returns each size plus a constant; the last answer is kept."""
        if self._last is None or self._last[0] != constant:
            self._last = constant, array("d", map(constant.__add__, self._values))
        return self._last[1]


class Matched(NamedTuple):
    """How often the phrase is in texts of a block, those that have it among them, and in which records these are."""

    names: list[str]
    records: bytes | bytearray
    numbers: Sequence[int]  # of the records
    counts: list[int]  # of matches
    sizes: Sizes

    def commit(self, number: int) -> bytes:
        """Returns the hash of the commit of a record."""
        start = number * _RECORD.size
        return bytes(self.records[start : start + 32])

    def created_us(self, number: int) -> int:
        """Returns when the commit of a record was made, in microseconds since 1970."""
        found: int = _CREATED.unpack_from(self.records, number * _RECORD.size + 64)[0]
        return found

    def may_have(self, wanted: SearchFilter) -> bool:
        """Returns whether the block may have a record of the type, the role and the time that are wanted."""
        if any(name is not None and name not in self.names for name in (wanted.role, wanted.content_type)):
            return False
        if wanted.since_us is None and wanted.until_us is None:
            return True
        times = [time for (time,) in _TIMES.iter_unpack(self.records)]
        first, last = wanted.since_us, wanted.until_us
        return (first is None or first <= max(times)) and (last is None or min(times) <= last)

    def role_and_type(self, number: int) -> tuple[str, str]:
        """Returns the role and content type of a record."""
        *_, role, content_type = _RECORD.unpack_from(self.records, number * _RECORD.size)
        return self.names[role], self.names[content_type]


class Match(NamedTuple):
    """What a tract has for a phrase: the blocks that have it; `texts` and `size` (in bytes) are of all that was scanned."""

    found: list[Matched]
    texts: int
    size: int


class _Spans(NamedTuple):
    """Where each text of a block begins and ends, its size in bytes, and the number of its record."""

    starts: array[int]
    ends: array[int]
    sizes: Sizes
    places: array[int]


class _Block:
    """Some records and their texts."""

    __slots__ = ("_count", "_others", "_spans", "names", "records", "texts")

    def __init__(self, names: list[str], records: bytes | bytearray, texts: bytes | bytearray) -> None:
        self.names = names
        self.records = records
        self.texts = texts
        self._count: int | None = None  # of the texts
        self._spans: _Spans | None = None
        self._others: tuple[dict[bytes, list[int]], list[bytes]] | None = None

    def spans(self) -> _Spans:
        """Returns where the texts are. Errors: IndexDamagedError."""
        if self._spans is None:
            found = [size for (size,) in _SIZE.iter_unpack(self.records)]
            if len(self.records) == self.count_of_texts() * _RECORD.size:
                places = array("I", range(len(found)))
                sizes = array("q", found)
            else:
                places = array("I", (number for number, size in enumerate(found) if size < _REPEATED))
                sizes = array("q", (found[number] for number in places))
            starts = array("q", accumulate(map((1).__add__, sizes), initial=0))
            if starts.pop() != len(self.texts):
                raise IndexDamagedError("sizes of texts do not fit")
            self._spans = _Spans(starts, array("q", map(add, starts, sizes)), Sizes(sizes), places)
        return self._spans

    def others(self) -> tuple[dict[bytes, list[int]], list[bytes]]:
        """Returns the records without a text: their numbers by content, where an earlier record has the text; the
        commits of those that are to be read.
        """
        if self._others is None:
            repeats: dict[bytes, list[int]] = {}
            unread: list[bytes] = []
            if self.count_of_texts() * _RECORD.size != len(self.records):
                for number, record in enumerate(_RECORD.iter_unpack(self.records)):
                    if record[3] == _REPEATED:
                        repeats.setdefault(record[1], []).append(number)
                    elif record[3] == _UNREAD:
                        unread.append(record[0])
            self._others = repeats, unread
        return self._others

    def count_of_texts(self) -> int:
        if self._count is None:
            self._count = self.texts.count(_END)
        return self._count

    def match(self, phrase: bytes) -> Matched | None:
        """Returns how often the phrase is in texts of this block, or None if it is in none. Errors: IndexDamagedError."""
        texts, slots, counts = self.texts, list[int](), list[int]()
        find, count = _finders(texts)
        at = find(texts, phrase)
        if at < 0:
            return None
        starts, ends, sizes, places = self.spans()
        while at >= 0:
            slot = bisect_right(starts, at) - 1
            slots.append(slot)
            if len(slots) % _DENSE_EVERY == 0 and slot < _DENSE_TEXTS * len(slots):
                counts = list(map(count, repeat(texts), repeat(phrase), starts, ends))
                return Matched(self.names, self.records, places, counts, sizes)
            counts.append(1 + count(texts, phrase, at + len(phrase), ends[slot]))
            at = find(texts, phrase, ends[slot])
        own = Sizes([sizes[slot] for slot in slots])
        return Matched(self.names, self.records, [places[slot] for slot in slots], counts, own)

    def add(
        self, commit: bytes, content: bytes, created_us: int, role: str, content_type: str, text: bytes | int
    ) -> None:
        """Adds a record with a text, or with a number in place of its size."""
        self._count = self._spans = self._others = None
        size = text if isinstance(text, int) else len(text)
        self.records += _RECORD.pack(commit, content, created_us, size, self._name(role), self._name(content_type))
        if not isinstance(text, int):
            self.texts += text + _END

    def has_room(self, size: int) -> bool:
        """Returns whether another text of this size fits."""
        return not self.records or (
            len(self.texts) + len(self.records) + size <= _BLOCK_BYTES and len(self.names) + 2 < _MOST_NAMES
        )

    def without(self, contents: set[bytes]) -> _Block | None:
        """Returns the block without the texts of some contents, or None if it has none of them."""
        if not any(content in self.records for content in contents):
            return None
        block, starts = _Block([], bytearray(), bytearray()), iter(self.spans().starts)
        for commit, content, created_us, size, role, content_type in _RECORD.iter_unpack(self.records):
            text: bytes | int = size
            if size < _REPEATED:
                start = next(starts)
                text = _UNREAD if content in contents else bytes(self.texts[start : start + size])
            block.add(commit, content, created_us, self.names[role], self.names[content_type], text)
        return block

    def size(self) -> int:
        """Returns about how many bytes of memory it takes."""
        return len(self.texts) + len(self.records) * 3 // 2 + 500  # with `spans`

    def values(self) -> tuple[bytes, bytes, bytes]:
        return canonical.encode_checked(self.names), bytes(self.records), bytes(self.texts)

    def _name(self, name: str) -> int:
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)


class Blocks:
    """The blocks of some tracts that are kept in memory: those that came first, since each search scans all in turn."""

    def __init__(self) -> None:
        self._size = 0
        self._blocks: dict[tuple[str, int], tuple[int, _Block]] = {}

    def get(self, tract: str, number: int, checksum: int) -> _Block | None:
        """Returns a block of this checksum, or None."""
        kept = self._blocks.get((tract, number))
        return kept[1] if kept is not None and kept[0] == checksum else None

    def put(self, tract: str, number: int, checksum: int, block: _Block) -> None:
        """Keeps a block in place of an earlier one of its number, if there is room."""
        before = self._blocks.pop((tract, number), None)
        self._size += block.size() - (0 if before is None else before[1].size())
        if self._size <= _CACHED_BYTES:
            self._blocks[tract, number] = checksum, block
        else:
            self._size -= block.size()


class TractTexts:
    """The searchable texts of one tract.

    States: its rows are in the store's index, which every handle of this copy shares, as far as `_stamp`; what comes after
    that is in `_own`, in memory, where this handle can't write, or sees events that arrivals do not list.
    """

    def __init__(self, index: IndexFile, log: TractLog, objects: Objects, events: Events, cache: Blocks) -> None:
        self._index = index
        self._log = log
        self._objects = objects
        self._events = events
        self._generation = -1
        self._version = -1
        self._stamp = log.first_stamp()
        self._checksums: list[int] = []  # of the blocks in the index
        self._cache = cache
        self._own: list[_Block] = []
        self._own_stamp: tuple[int, str] | None = None  # how far `_own` goes
        self._all_at: object = None  # the state of the log whose texts are all in `_own`
        self._known: set[bytes] | None = None  # the contents whose texts are in a block
        self._originals: dict[int, tuple[int, int, dict[bytes, int]]] = {}  # by block; see `_originals_in`
        self._redacted: set[bytes] = set()

    def find(self, phrase: str, hidden: Iterable[bytes] = ()) -> Match:
        """Returns the commits whose texts have a folded phrase, in no order; also those of `hidden` that can be read.

        Cost: a scan of all texts. Commits whose texts are not in the index are read.
        """
        for _ in range(_TRIES):
            try:
                self._catch_up()
                return self._find(phrase.encode(), hidden)
            except IndexDamagedError:
                self._forget()
            except IndexUnwritableError:
                break
        self._forget()
        self._read_all()
        return self._find(phrase.encode(), hidden)

    def discard(self) -> None:
        """Makes the next search write all rows again: one of them was wrong."""
        self._index.discard()
        self._forget()

    def _find(self, phrase: bytes, hidden: Iterable[bytes]) -> Match:
        found: list[Matched] = []
        numbers_of_blocks: list[int] = []
        repeating: list[tuple[list[str], bytes | bytearray, dict[bytes, list[int]]]] = []
        unread = list(hidden)
        texts = size = 0
        for number, block in enumerate(self._iter_blocks()):
            count = block.count_of_texts()
            texts += count
            size += len(block.texts) - count
            matched = block.match(phrase)
            if matched is not None:
                found.append(matched)
                numbers_of_blocks.append(number)
            repeats, to_read = block.others()
            unread += to_read
            if repeats:
                repeating.append((block.names, block.records, repeats))
        repeated = set(chain.from_iterable(repeats for _, _, repeats in repeating))
        hits = self._repeated_hits(zip(numbers_of_blocks, found, strict=True), repeated) if repeated else {}
        for names, records, repeats in repeating:
            again = repeats.keys() & hits.keys()
            if again:
                numbers = list(chain.from_iterable(repeats[content] for content in again))
                counts = [hits[content][0] for content in again for _ in repeats[content]]
                sizes = Sizes([hits[content][1] for content in again for _ in repeats[content]])
                found.append(Matched(names, records, numbers, counts, sizes))
            for content in repeats.keys() & self._redacted - hits.keys():
                without = Matched(names, records, repeats[content], [], Sizes(()))
                unread += map(without.commit, without.numbers)
        if unread:
            read: list[_Block] = []
            self._extend(read, unread, known=None)
            found += (matched for block in read if (matched := block.match(phrase)) is not None)
        return Match(found, texts, size)

    def _repeated_hits(
        self, found: Iterable[tuple[int, Matched]], repeated: set[bytes]
    ) -> dict[bytes, tuple[int, int]]:
        """Returns count and size, by content, of the matches in blocks that later records repeat."""
        hits: dict[bytes, tuple[int, int]] = {}
        for block, matched in found:
            originals = self._originals_in(block, matched.records, repeated)
            if originals:
                slots = {number: slot for slot, number in enumerate(matched.numbers) if matched.counts[slot]}
                for content, number in originals.items():
                    slot = slots.get(number)
                    if slot is not None:
                        hits[content] = matched.counts[slot], matched.sizes[slot]
        return hits

    def _originals_in(self, block: int, records: bytes | bytearray, repeated: set[bytes]) -> dict[bytes, int]:
        """Returns which record of a block has the text of a repeated content. Both only grow, so their sizes name them."""
        kept = self._originals.get(block)
        if kept is None or kept[:2] != (len(records), len(repeated)):
            numbered = enumerate(_RECORD.iter_unpack(records))
            found = {one[1]: number for number, one in numbered if one[3] < _REPEATED and one[1] in repeated}
            self._originals[block] = kept = len(records), len(repeated), found
        return kept[2]

    def _iter_blocks(self) -> Iterator[_Block]:
        for number in range(len(self._checksums)):
            yield self._block(number)
        yield from self._own

    def _block(self, number: int) -> _Block:
        """Returns a block of the index. Errors: IndexDamagedError."""
        checksum = self._checksums[number]
        block = self._cache.get(self._log.tract, number, checksum)
        if block is None:
            with self._index.reading() as connection:
                row = connection.execute(_BLOCK, (self._log.tract, number)).fetchone()
                if row is None or row[0] != checksum or not self._is_as_written(self._log.tract, number, row):
                    if self._version != self._index.version():
                        raise self._index.note_loss()  # another process has written meanwhile
                    raise IndexDamagedError("a block of texts is not as it was written")
                block = _Block(canonical.decode(row[1]), row[2], row[3])
            self._cache.put(self._log.tract, number, checksum, block)
        return block

    def _catch_up(self) -> None:
        if self._log.stamp()[0] < 0:
            self._read_all()
            return
        index = self._index
        index.connection()
        if self._generation != index.generation or self._version != index.version():
            self._load()
        if not self._log.covers(*self._stamp):
            self._log.catch_up()
            if not self._log.covers(*self._stamp):
                self._clear()
        limit = _RECORDS_AT_ONCE[0]
        while True:
            at = self._stamp if self._own_stamp is None else self._own_stamp
            found = self._log.records_since(*at, limit=limit)
            if found is None:
                self._clear()
                raise IndexDamagedError("the records covered are not in arrivals")
            records, after = found
            if not records:
                return
            redacted = self._redacted_by(records)
            names = (record.commit for record in records if record.kind in BRING_KINDS and record.kind != BRINGS_AGAIN)
            if not index.is_writable() or self._own_stamp is not None:
                self._redacted |= redacted
                size = self._extend(self._own, names, self._known_contents())
                self._own_stamp = after
            else:
                size = self._write(names, redacted, after)
            limit = min(2 * limit, _RECORDS_AT_ONCE[1]) if size < _BYTES_AT_ONCE else max(1, limit // 4)

    def _redacted_by(self, records: list[Record]) -> set[bytes]:
        """Returns the contents that events redact. Cost: reads those events that are no plain appends."""
        found: set[bytes] = set()
        for record in records:
            if record.kind in _MAY_REDACT:
                event = self._events.get(self._log.tract, record.event.hex())
                ops = () if event is None else event.ops
                found.update(bytes.fromhex(op.object) for op in ops if isinstance(op, Redact))
        return found

    def _write(self, names: Iterable[bytes], redacted: set[bytes], after: tuple[int, str]) -> int:
        """Adds commits to the last block, and further ones after it; removes what is redacted from all tracts.

        Returns the size of the new texts in bytes.
        """
        self._redacted |= redacted
        last = len(self._checksums) - 1
        blocks = [] if last < 0 else [self._copy(last)]
        first = max(last, 0)
        # before the transaction: it reads objects, which may write other rows
        size = self._extend(blocks, names, self._known_contents())
        with self._index.writing() as connection:
            if self._generation != self._index.generation or self._read_stamp(connection) != (
                *self._stamp,
                *self._sums(),
            ):
                raise self._index.note_loss()  # another process has written meanwhile
            written = [
                self._put(connection, self._log.tract, number, block) for number, block in enumerate(blocks, first)
            ]
            self._checksums[first:] = written
            self._write_stamp(connection, self._log.tract, after, self._sums())
            if redacted:
                self._redact(connection, redacted)
                self._checksums = _checksums(connection, self._log.tract)
        self._stamp = after
        self._version = self._index.version()
        if redacted:
            self._known = None
        return size

    def _copy(self, number: int) -> _Block:
        block = self._block(number)
        return _Block(list(block.names), bytearray(block.records), bytearray(block.texts))

    def _extend(self, blocks: list[_Block], names: Iterable[bytes], known: set[bytes] | None) -> int:
        """Adds commits to the last of some blocks, and to new ones; returns the size of their texts in bytes.

        A text of a `known` content is not added again; None: each is read and added, a redacted one that was written
        again too.
        """
        total = 0
        for name in names:
            commit = self._objects.commit(CommitHash(name.hex()))
            if commit is not None and commit.content is None:
                continue
            content = NO_HASH if commit is None or commit.content is None else bytes.fromhex(commit.content)
            created_us = 0 if commit is None else commit.created_us
            kind = "" if commit is None else commit.content_type or ""
            role, text = "", b""
            size: int | None = _UNREAD
            if commit is not None and commit.content is not None and (known is None or content not in self._redacted):
                try:
                    role, shown = searchable(self._objects.require(commit.content, "content"), kind)
                    text, size = folded(shown).encode(), None
                except (DamageError, JsonValueError):
                    pass
            if size is None and known is not None:
                if content in known:
                    size = _REPEATED
                known.add(content)
            if not blocks or not blocks[-1].has_room(len(text)):
                blocks.append(_Block([], bytearray(), bytearray()))
            blocks[-1].add(name, content, created_us, role, kind, text if size is None else size)
            total += len(text)
        return total

    def _known_contents(self) -> set[bytes]:
        if self._known is None:
            self._known = {
                record[1]
                for block in self._iter_blocks()
                for record in _RECORD.iter_unpack(block.records)
                if record[3] < _REPEATED
            }
        return self._known

    def _read_all(self) -> None:
        """Reads the texts of all visible events into memory: arrivals do not list them, or the index can't be used."""
        at = (self._log.stamp(), self._log.version)
        if self._all_at != at:
            self._forget()
            self._extend(self._own, self._log.origins.all_commits(), self._known_contents())
            self._all_at = at

    def _load(self) -> None:
        """Reads how far the rows go. Errors: IndexDamagedError."""
        self._forget()
        index = self._index
        with index.reading() as connection:
            self._version = index.version()
            connection.execute("begin")
            try:
                found = self._read_stamp(connection)
                self._checksums = _checksums(connection, self._log.tract)
                self._redacted = {bytes(name) for (name,) in connection.execute("select name from search_redacted")}
            finally:
                connection.execute("rollback")
            if found[2:] != self._sums():
                raise IndexDamagedError("blocks of texts are missing")
        self._stamp = found[:2]
        self._generation = index.generation

    def _clear(self) -> None:
        """Removes the tract's rows, which are of other arrivals."""
        if not self._index.is_writable():
            self._forget()
            self._own_stamp = self._log.first_stamp()
            self._generation, self._version = self._index.generation, self._index.version()
            return
        with self._index.writing() as connection:
            for table in ("search_stamps", "search_blocks"):
                connection.execute(f"delete from {table} where tract = ?", (self._log.tract,))
        self._load()

    def _forget(self) -> None:
        self._stamp, self._checksums, self._own = self._log.first_stamp(), [], []
        self._own_stamp = self._all_at = self._known = None
        self._originals = {}
        self._generation = -1

    def _sums(self) -> tuple[int, int]:
        return len(self._checksums), sum(self._checksums)

    def _is_as_written(self, tract: str, number: int, row: Sequence[Any]) -> bool:
        found: bool = crc_of(self._index.seal, tract, number, *row[1:]) == row[0]
        return found

    def _read_stamp(self, connection: sqlite3.Connection, tract: str | None = None) -> tuple[int, str, int, int]:
        """Returns stamp, count and sum of a tract's blocks, by default of this one's. Errors: IndexDamagedError."""
        tract = tract or self._log.tract
        row = connection.execute(
            "select records, chain, blocks, total, crc from search_stamps where tract = ?", (tract,)
        ).fetchone()
        if row is None:
            return (*self._log.first_stamp(), 0, 0)
        if crc_of(self._index.seal, tract, *row[:4]) != row[4] or type(row[1]) is not str:
            raise IndexDamagedError("a stamp is not as it was written")
        records, chain, blocks, total = row[:4]
        return records, chain, blocks, total

    def _write_stamp(
        self, connection: sqlite3.Connection, tract: str, stamp: tuple[int, str], sums: tuple[int, int]
    ) -> None:
        crc = crc_of(self._index.seal, tract, *stamp, *sums)
        connection.execute(
            "insert or replace into search_stamps values (?, ?, ?, ?, ?, ?)", (tract, *stamp, *sums, crc)
        )

    def _put(self, connection: sqlite3.Connection, tract: str, number: int, block: _Block) -> int:
        """Writes a block, in place of the one of its number if there is one, and returns its checksum."""
        values = block.values()
        crc = crc_of(self._index.seal, tract, number, *values)
        connection.execute("delete from search_blocks where tract = ? and number = ?", (tract, number))
        connection.execute("insert into search_blocks values (?, ?, ?, ?, ?, ?)", (tract, number, crc, *values))
        return crc

    def _redact(self, connection: sqlite3.Connection, redacted: set[bytes]) -> None:
        """Removes the texts of some contents from the blocks of all tracts; their bytes are overwritten.

        Errors: IndexDamagedError if a block is not as it was written, or missing: it must not get a right checksum here.
        """
        connection.executemany("insert or ignore into search_redacted values (?)", [(name,) for name in redacted])
        for (tract,) in connection.execute("select tract from search_stamps").fetchall():
            records, chain, count, total = self._read_stamp(connection, tract)
            checksums = _checksums(connection, tract)
            if (len(checksums), sum(checksums)) != (count, total):
                raise IndexDamagedError("blocks of texts are missing")
            for number in range(count):
                row = connection.execute(_BLOCK, (tract, number)).fetchone()
                if not self._is_as_written(tract, number, row):
                    raise IndexDamagedError("a block of texts is not as it was written")
                block = _Block(canonical.decode(row[1]), row[2], row[3]).without(redacted)
                if block is not None:
                    checksums[number] = self._put(connection, tract, number, block)
            self._write_stamp(connection, tract, (records, chain), (count, sum(checksums)))


def _finders(texts: bytes | bytearray) -> tuple[Callable[..., int], Callable[..., int]]:
    """Returns the fastest `find` and `count` for some texts."""
    return (stringzilla.find, stringzilla.count) if _IS_FAST else (type(texts).find, type(texts).count)


def _checksums(connection: sqlite3.Connection, tract: str) -> list[int]:
    """Returns the checksums of a tract's blocks, in order. Errors: IndexDamagedError if one is missing."""
    rows = connection.execute(
        "select number, crc from search_blocks where tract = ? order by number", (tract,)
    ).fetchall()
    if [number for number, _ in rows] != list(range(len(rows))) or not all(type(crc) is int for _, crc in rows):
        raise IndexDamagedError("blocks of texts are missing")
    return [crc for _, crc in rows]
