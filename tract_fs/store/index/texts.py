"""The texts of one tract in the index, for search: case-folded, in blocks that are scanned as a whole.

Why no FTS5: its trigram tokenizer takes 15,000 messages of 200 bytes a second and 3.8 bytes for each byte of text, and
unicode61 finds no part of a word and no phrase in a script without spaces. A scan of 20 MB of bytes takes 5 to 20 ms,
finds a phrase of any length, needs no extension of SQLite, and each byte that it reads has a checksum.

The rows are written when a search needs them, some thousands of records at a time. The stamp of a tract has the count of
its blocks and the sum of their checksums, so that no block can be missing or old unnoticed. A text is stored once in a
tract, however many commits have it. What could not be read, or was redacted, has no text here: it is read at each search.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from tract_fs.errors import DamageError, JsonValueError
from tract_fs.model import canonical
from tract_fs.model.events import Redact
from tract_fs.model.names import CommitHash
from tract_fs.model.search import SearchFilter, searchable
from tract_fs.store.arrivals import BRING_KINDS, BRINGS_AGAIN, NO_HASH, OWN, OWN_FAST, SEEN, Record
from tract_fs.store.events import Events
from tract_fs.store.index.file import IndexDamagedError, IndexFile, IndexUnwritableError, crc_of
from tract_fs.store.objects import Objects
from tract_fs.store.tract_log import TractLog

if TYPE_CHECKING:
    import sqlite3

_RECORD = struct.Struct(">32s32sQIHH")  # commit, content, creation time, size of the text, role, content type
_UNREAD = 0xFFFF_FFFF  # in place of a size: the text is not here
_REPEATED = 0xFFFF_FFFE  # it is that of an earlier record
_END = b"\xff"  # after each text; no byte of UTF-8
_BLOCK_BYTES = 256 * 1024
_MOST_NAMES = 0xFFFF
_RECORDS_AT_ONCE = 16, 4096  # at first, and as long as their texts are short
_BYTES_AT_ONCE = 2 * 1024 * 1024
_CACHED_BYTES = 64 * 1024 * 1024
_TRIES = 3
_MAY_REDACT = frozenset([OWN, OWN_FAST, SEEN])
_BLOCK = "select crc, names, records, texts from search_blocks where tract = ? and number = ?"


class Found(NamedTuple):
    """A commit with the phrase in its text, or with a text that is to be read first (`matches` 0)."""

    commit: bytes
    content: bytes
    created_us: int
    matches: int
    size: int  # of the folded text, in bytes


class Match(NamedTuple):
    """What a tract has for a phrase; `texts` and `size` are of all that were scanned."""

    found: list[Found]
    texts: int
    size: int


class _Block:
    """Some records and their texts."""

    __slots__ = ("_count", "_places", "_starts", "names", "records", "texts")

    def __init__(self, names: list[str], records: bytes | bytearray, texts: bytes | bytearray) -> None:
        self.names = names
        self.records = records
        self.texts = texts
        self._count: int | None = None  # of the texts
        self._starts: array[int] | None = None  # where each text begins
        self._places: array[int] | None = None  # the number of its record

    def index(self) -> tuple[array[int], array[int]]:
        """Returns where each text begins, and the number of its record. Errors: IndexDamagedError."""
        if self._starts is None or self._places is None:
            sizes = [record[3] for record in _RECORD.iter_unpack(self.records)]
            places = array("I", (number for number, size in enumerate(sizes) if size < _REPEATED))
            starts = array("Q", accumulate((sizes[number] + 1 for number in places), initial=0))
            if starts.pop() != len(self.texts):
                raise IndexDamagedError("sizes of texts do not fit")
            self._starts, self._places = starts, places
        return self._starts, self._places

    def record(self, number: int) -> tuple[bytes, bytes, int, int, int, int]:
        found: tuple[bytes, bytes, int, int, int, int] = _RECORD.unpack_from(self.records, number * _RECORD.size)
        return found

    def iter_without_text(self) -> Iterator[tuple[bytes, bytes, int, int, int, int]]:
        if self.count_of_texts() * _RECORD.size != len(self.records):
            for record in _RECORD.iter_unpack(self.records):
                if record[3] >= _REPEATED:
                    yield record

    def count_of_texts(self) -> int:
        if self._count is None:
            self._count = self.texts.count(_END)
        return self._count

    def iter_matches(self, phrase: bytes) -> Iterator[tuple[int, int]]:
        """Yields the number of each record whose text has the phrase, and how often it does."""
        texts = self.texts
        at = texts.find(phrase)
        starts, places = ((), ()) if at < 0 else self.index()
        while at >= 0:
            slot = bisect_right(starts, at) - 1
            end = starts[slot + 1] if slot + 1 < len(starts) else len(texts)
            yield places[slot], 1 + texts.count(phrase, at + len(phrase), end)
            at = texts.find(phrase, end)

    def add(
        self, commit: bytes, content: bytes, created_us: int, role: str, content_type: str, text: bytes | int
    ) -> None:
        """Adds a record with a text, or with a number in place of its size."""
        self._count = self._starts = None
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
        block, starts = _Block([], bytearray(), bytearray()), iter(self.index()[0])
        for commit, content, created_us, size, role, content_type in _RECORD.iter_unpack(self.records):
            text: bytes | int = size
            if size < _REPEATED:
                start = next(starts)
                text = _UNREAD if content in contents else bytes(self.texts[start : start + size])
            block.add(commit, content, created_us, self.names[role], self.names[content_type], text)
        return block

    def size(self) -> int:
        """Returns about how many bytes of memory it takes."""
        return len(self.texts) + len(self.records) * 8 // 7 + 500  # with `index`

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
        self._redacted: set[bytes] = set()

    def find(self, wanted: SearchFilter) -> Match:
        """Returns the commits whose texts have the phrase, and those whose texts must be read first, in no order."""
        for _ in range(_TRIES):
            try:
                self._catch_up()
                return self._find(wanted)
            except IndexDamagedError:
                self._forget()
            except IndexUnwritableError:
                break
        self._forget()
        self._read_all()
        return self._find(wanted)

    def discard(self) -> None:
        """Makes the next search write all rows again: one of them was wrong."""
        self._index.discard()
        self._forget()

    def _find(self, wanted: SearchFilter) -> Match:
        phrase = wanted.phrase.encode()
        found: list[Found] = []
        hits: dict[bytes, Found] = {}
        others: list[tuple[bytes, bytes, int, str, str]] = []
        texts = size = 0
        for block in self._iter_blocks():
            count = block.count_of_texts()
            texts += count
            size += len(block.texts) - count
            names = block.names
            for number, matches in block.iter_matches(phrase):
                commit, content, created_us, length, role, kind = block.record(number)
                hit = Found(commit, content, created_us, matches, length)
                hits[content] = hit
                if wanted.accepts(names[kind], names[role], created_us):
                    found.append(hit)
            for commit, content, created_us, length, role, kind in block.iter_without_text():
                if length == _UNREAD:
                    found.append(Found(commit, content, created_us, 0, 0))
                else:
                    others.append((commit, content, created_us, names[role], names[kind]))
        for commit, content, created_us, role_name, type_name in others:
            original = hits.get(content)
            if original is None and content in self._redacted:
                found.append(Found(commit, content, created_us, 0, 0))
            elif original is not None and wanted.accepts(type_name, role_name, created_us):
                found.append(original._replace(commit=commit, created_us=created_us))
        return Match(found, texts, size)

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
                size = self._extend(self._own, names)
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
        size = self._extend(blocks, names)  # before the transaction: it reads objects, which may write other rows
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

    def _extend(self, blocks: list[_Block], names: Iterable[bytes]) -> int:
        """Adds commits to the last of some blocks, and to new ones; returns the size of their texts in bytes."""
        known, total = self._known_contents(), 0
        for name in names:
            commit = self._objects.commit(CommitHash(name.hex()))
            if commit is not None and commit.content is None:
                continue
            content = NO_HASH if commit is None or commit.content is None else bytes.fromhex(commit.content)
            created_us = 0 if commit is None else commit.created_us
            kind = "" if commit is None else commit.content_type or ""
            role, text = "", b""
            size: int | None = _UNREAD
            if commit is not None and commit.content is not None and content not in self._redacted:
                try:
                    role, shown = searchable(self._objects.require(commit.content, "content"), kind)
                    text, size = shown.casefold().encode(), _REPEATED if content in known else None
                except (DamageError, JsonValueError):
                    pass
            if not blocks or not blocks[-1].has_room(len(text)):
                blocks.append(_Block([], bytearray(), bytearray()))
            blocks[-1].add(name, content, created_us, role, kind, text if size is None else size)
            total += len(text)
            if size is None:
                known.add(content)
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
            self._extend(self._own, self._log.origins.all_commits())
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


def _checksums(connection: sqlite3.Connection, tract: str) -> list[int]:
    """Returns the checksums of a tract's blocks, in order. Errors: IndexDamagedError if one is missing."""
    rows = connection.execute(
        "select number, crc from search_blocks where tract = ? order by number", (tract,)
    ).fetchall()
    if [number for number, _ in rows] != list(range(len(rows))) or not all(type(crc) is int for _, crc in rows):
        raise IndexDamagedError("blocks of texts are missing")
    return [crc for _, crc in rows]
