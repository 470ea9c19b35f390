"""The records of one tract's arrivals in the index: the known events, and which of them brought a commit or its usage.

Rows are written some thousands at a time, in the order of arrivals, and cover a prefix of it. Each row has a checksum,
so a row that is found is right. That a row does not exist is sure only once the sums of its bucket agree; each handle
checks each bucket once.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from tract_fs.store.arrivals import BRING_KINDS, BRINGS_AGAIN, EVENT_KINDS, KINDS, NO_HASH, Record
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

_NUMBER_BITS = 40
_MOST_RECORDS = 1 << _NUMBER_BITS
_NUMBER_MASK = _MOST_RECORDS - 1
_KINDS = {kind.decode(): kind for kind in KINDS}
_TEXTS = {kind: text for text, kind in _KINDS.items()}
_CHECKED = struct.Struct(">qc32s32s")
_ROWS = "select id, kind, event, commit_hash, crc from records"


class Row(NamedTuple):
    """A record: its number, its kind, its event, and its commit (32 zero bytes: none)."""

    number: int
    kind: bytes
    event: bytes
    commit: bytes


class TractRecords:
    """The rows of one tract. They cover the prefix of arrivals with `_count` records and digest `_chain`.

    States: unread, loaded. When the index has another generation than `_generation`, rows may be gone: the next look-up
    loads again. Without an index file it stays unread, with a count of 0.
    """

    def __init__(self, index: IndexFile, tract: str) -> None:
        self._index = index
        self._tract = tract
        self._id = 0
        self._count = 0
        self._chain = ""
        self._generation = -1
        self._version = 0  # of the file, when the tract's row was read
        self._sound: set[tuple[str, int]] = set()  # families and buckets whose sums agreed
        self._seed = 0

    def load(self) -> None:
        """Reads how far the rows go. Errors: IndexDamagedError."""
        index = self._index
        self._forget()
        if not index.exists():
            return
        self._version = index.version()
        with index.reading() as connection:
            self._read(connection)
        self._generation = index.generation

    def stamp(self) -> tuple[int, str]:
        """Returns count and chain of the records that rows cover. Errors: IndexDamagedError."""
        if self._generation != self._index.generation:
            self.load()
        return self._count, self._chain

    def save(self, records: Sequence[Record], after: tuple[int, str], *, is_fresh: bool = False) -> bool:
        """Writes rows of the records that follow those covered, and the stamp `after` them.

        Returns False, and writes nothing, if another process has written rows meanwhile. With `is_fresh` the records
        are all there are: rows of other arrivals are removed. Errors: IndexDamagedError, IndexUnwritableError.
        """
        index = self._index
        before = self._count, self._chain  # as the caller knows it, which may be another than that of the file
        with index.writing() as connection:
            if self._generation != index.generation:
                self._forget()
            self._read(connection)
            if is_fresh and self._id:
                self._remove_rows(connection)
            elif (self._count, self._chain) != before and not is_fresh:
                self._generation = index.generation
                return False
            if not self._id:
                self._id = 1 + connection.execute("select coalesce(max(id), 0) from tracts").fetchone()[0]
            self._insert(connection, records, self._count)
            self._count, self._chain = after
            self._write_tract(connection)
        self._generation = index.generation
        return True

    def find(self, commit: bytes, *, before: int) -> list[Row]:
        """Returns those of the first `before` records that are of a commit, in order of arrival.

        If there is none, checks by the sums that none is missing. Errors: IndexDamagedError.
        """
        if not self._is_loaded():
            return []
        try:
            key = key_of(commit)
            rows = self._index.connection().execute(f"{_ROWS} where commit_key = ?", (key,)).fetchall()
            found = [row for row in self._checked(rows) if row.commit == commit and row.number < before]
            if not found:
                self.require_whole("commit", commit[0])
        except self._index.errors() as error:
            raise self._index.fail(error) from error
        return sorted(found)

    def require_all_of(self, commit: bytes) -> None:
        """Raises IndexDamagedError if a record of a commit may be missing."""
        if self._is_loaded():
            with self._index.reading():
                self.require_whole("commit", commit[0])

    def between(self, start: int, stop: int) -> list[Row]:
        """Returns the records from one number to another. Errors: IndexDamagedError."""
        if not self._is_loaded():
            return []
        first = self._id << _NUMBER_BITS
        with self._index.reading() as connection:
            rows = connection.execute(f"{_ROWS} where id >= ? and id < ?", (first + start, first + stop)).fetchall()
            found = self._checked(rows)
            if [row.number for row in found] != list(range(start, min(stop, self._count))):
                raise IndexDamagedError("records are missing")
            return found

    def commits_brought_again(self, *, before: int, count: int) -> set[bytes]:
        """Returns the commits that more than one of the first records bring; `count` of these records bring one again.

        Errors: IndexDamagedError.
        """
        if not count or not self._is_loaded():
            return set()
        first = self._id << _NUMBER_BITS
        with self._index.reading() as connection:
            rows = connection.execute(
                f"{_ROWS} where kind = 'D' and id >= ? and id < ?", (first, first + before)
            ).fetchall()
            found = self._checked(rows)
            if len(set(found)) != count or any(row.kind != BRINGS_AGAIN for row in found):
                raise IndexDamagedError("records are missing")
            return {row.commit for row in found}

    def has_event(self, event: bytes, *, before: int) -> bool:
        """Returns whether an event is among the first records. Errors: IndexDamagedError."""
        key = key_of(event)
        return any(row.event == event for row in self._in_range("event", event[0], key, key, before))

    def events_in_fan(self, fan: int, *, before: int) -> set[str]:
        """Returns the hashes of the events among the first records that begin with a byte. Errors: IndexDamagedError."""
        rows = self._in_range("event", fan, *bucket_range(fan), before)
        return {row.event.hex() for row in rows}

    def commits_between(self, low: bytes, high: bytes, *, before: int) -> set[bytes]:
        """Returns the commits of the first records whose hashes begin with 8 bytes from `low` to `high`.

        Errors: IndexDamagedError.
        """
        rows = self._in_range("commit", low[0], key_of(low), key_of(high), before)
        return {row.commit for row in rows if row.kind in BRING_KINDS}

    def require_whole(self, family: str, bucket: int) -> None:
        """Raises IndexDamagedError if rows of a bucket are missing. Cost: reads a 256th of the rows, once."""
        self._follow_file()
        if (family, bucket) not in self._sound:
            self._read_bucket(family, bucket)

    def _follow_file(self) -> None:
        """Reads the tract's row again if the file has changed. Errors: IndexDamagedError if rows that were there are gone."""
        if self._version == self._index.version():
            return
        number, count, chain = self._id, self._count, self._chain
        self.load()
        if self._id != number or self._count < count or (self._count == count and self._chain != chain):
            raise self._index.note_loss()

    def _read_bucket(self, family: str, bucket: int) -> list[Row]:
        """Returns the tract's rows of a bucket, all of them."""
        self._follow_file()
        connection, span = self._index.connection(), bucket_range(bucket)
        rows = connection.execute(f"{_ROWS} where {family}_key between ? and ?", span).fetchall()
        found = self._checked(rows)
        require_sums(connection, family, bucket, (row[4] for row in rows))
        keys = connection.execute(f"select {family}_key, id from records where {family}_key between ? and ?", span)
        column = 2 if family == "event" else 3
        require_keys(keys, ((key_of(row[column] or NO_HASH), row[0]) for row in rows))
        self._sound.add((family, bucket))
        return found

    def _in_range(self, family: str, bucket: int, low: int, high: int, before: int) -> list[Row]:
        """Returns the first of the tract's rows with keys of a range inside one bucket, all of them."""
        if not self._is_loaded():
            return []
        with self._index.reading() as connection:
            if (low, high) == bucket_range(bucket):
                found = self._read_bucket(family, bucket)
            else:
                self.require_whole(family, bucket)
                rows = connection.execute(f"{_ROWS} where {family}_key between ? and ?", (low, high)).fetchall()
                found = self._checked(rows)
            return [row for row in found if row.number < before]

    def _is_loaded(self) -> bool:
        if self._generation != self._index.generation:
            self.load()
        return bool(self._id)

    def _forget(self) -> None:
        self._id, self._count, self._chain = 0, 0, ""
        self._sound.clear()
        self._seed = zlib.crc32(self._index.seal)

    def _read(self, connection: sqlite3.Connection) -> None:
        """Reads the tract's row."""
        found = connection.execute(
            "select id, records, chain, crc from tracts where name = ?", (self._tract,)
        ).fetchone()
        if found is None:
            self._forget()
            return
        number, count, chain, crc = found
        is_as_written = crc == crc_of(self._index.seal, self._tract, number, count, chain)
        is_in_form = type(count) is int and 0 <= count < _MOST_RECORDS and type(chain) is str
        if not is_as_written or not is_in_form:
            raise IndexDamagedError("a tract's row is not as it was written")
        if number != self._id:
            self._forget()
        self._id, self._count, self._chain = number, count, chain

    def _write_tract(self, connection: sqlite3.Connection) -> None:
        crc = crc_of(self._index.seal, self._tract, self._id, self._count, self._chain)
        connection.execute(
            "insert into tracts values (?, ?, ?, ?, ?) on conflict (id) do update set records = excluded.records,"
            " chain = excluded.chain, crc = excluded.crc",
            (self._id, self._tract, self._count, self._chain, crc),
        )

    def _insert(self, connection: sqlite3.Connection, records: Sequence[Record], start: int) -> None:
        events, commits = Sums("event"), Sums("commit")
        event_rows, event_totals, commit_rows, commit_totals = events.rows, events.totals, commits.rows, commits.totals
        pack, crc32, seed, first = _CHECKED.pack, zlib.crc32, self._seed, (self._id << _NUMBER_BITS) + start
        texts = _TEXTS
        values: list[object] = []
        commit_keys = keys_of([record.commit for record in records])
        for place, (kind, _, event, commit, _), key in zip(count(first), records, commit_keys, strict=False):
            crc = crc32(pack(place, kind, event, commit), seed)
            event_key = commit_key = commit_hash = None
            if kind in EVENT_KINDS:
                event_key = key_of(event)
                event_rows[event[0]] += 1
                event_totals[event[0]] += crc
            if commit != NO_HASH:
                commit_hash, commit_key = commit, key
                commit_rows[commit[0]] += 1
                commit_totals[commit[0]] += crc
            values += (place, texts[kind], event, commit_hash, event_key, commit_key, crc)
        insert_rows(connection, "records", 7, values)
        events.write(connection)
        commits.write(connection)

    def _remove_rows(self, connection: sqlite3.Connection) -> None:
        first = self._id << _NUMBER_BITS
        span = (first, first + _MOST_RECORDS)
        events, commits = Sums("event"), Sums("commit")
        for event_key, event, commit, crc in connection.execute(
            "select event_key, event, commit_hash, crc from records where id >= ? and id < ?", span
        ).fetchall():
            for sums, digest in ((events, event if event_key is not None else None), (commits, commit)):
                if digest is not None:
                    sums.rows[digest[0]] -= 1
                    sums.totals[digest[0]] -= crc
        connection.execute("delete from records where id >= ? and id < ?", span)
        events.write(connection)
        commits.write(connection)
        connection.execute("delete from tracts where id = ?", (self._id,))
        self._forget()

    def _checked(self, rows: list[Any]) -> list[Row]:
        """Returns the rows that are this tract's, each as it was written."""
        found = []
        pack, crc32, seed, own, no_hash = _CHECKED.pack, zlib.crc32, self._seed, self._id, NO_HASH
        for place, kind, event, commit_hash, crc in rows:
            commit = commit_hash or no_hash
            kind = _KINDS.get(kind, b"?")
            if crc32(pack(place, kind, event, commit), seed) != crc or len(event) != 32 or len(commit) != 32:
                raise IndexDamagedError("a record is not as it was written")
            if place >> _NUMBER_BITS == own:
                found.append(Row(place & _NUMBER_MASK, kind, event, commit))
        return found
