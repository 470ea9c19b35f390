"""The index file: opens, checks and discards `index.db`; owns sqlite3.

States of an `IndexFile`, and what moves it from one to the next:

| state | meaning | left by |
|---|---|---|
| closed | no connection | the next use: to *file*, or to *memory* where there can be no file |
| file | rows are in `index.db` | `close`, `move`, a fork, `discard`: to *closed* |
| memory | rows are lost with the connection | `close`, `move`, a fork, `discard`: to *closed* |

`discard` also removes the file, so that the next use creates an empty one. There can be no file for a reader that finds
none or a damaged one, nor where the file can't be opened now or can't be removed. A reader that found it damaged, and
any handle after `go_in_memory`, uses memory from then on.

`generation` grows whenever rows may be gone: code that remembers the number of a row compares the generation first.

A writer of another process may add rows at any time. It replaces a damaged file; a handle notices that at its next
write. Rows may also go, and a tool may put an older file over the open one: `version` changes then, and is compared
before a missing row is believed. No transaction spans a call to another module, so SQLite's own locks are held for
milliseconds. Schema: below, in SQL; FORMAT.md, section 10.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from typing import TYPE_CHECKING

from tract_fs.store import files
from tract_fs.store.layout import Layout

if TYPE_CHECKING:
    import sqlite3

VERSION = 1
_ROWS_AT_ONCE = 64  # of one statement
_WAIT_S = 5.0  # for a writer of another process
_CACHE_KIB = 32 * 1024
_SIDE_FILES = ("-journal", "-wal", "-shm")
_SUPER_JOURNAL = bytes.fromhex("d9d505f920a163d7")  # ends a journal that names another
_KEYS = struct.Struct(">q24x")  # of a hash
_SCHEMA = (
    """CREATE TABLE store ( -- one row: which schema this is, and which copy wrote it
    version integer not null,
    seal text not null
)""",
    """CREATE TABLE tracts ( -- each tract that this copy has looked at
    id integer primary key,
    name text not null unique,
    records integer not null, -- so many records of the tract's arrivals are in the table records
    chain text not null, -- the digest of arrivals after them
    crc integer not null -- of the columns above
)""",
    """CREATE TABLE records ( -- arrivals: each event this copy knows, and each commit that an event brought
    id integer primary key, -- tracts.id << 40 | number of the record, from 0, in order of arrival
    kind text not null, -- O, o: event of this copy's own writers, A, a: such an append; S, s: event from elsewhere; C, D: brings a commit, as A, a and s do; U: usage of a commit; G: gone
    event blob not null, -- its hash, 32 bytes
    commit_hash blob, -- 32 bytes; null where the record is of no commit
    event_key integer, -- where the record stands for an event: the first 8 bytes of the hash, a signed number
    commit_key integer, -- the same of commit_hash
    crc integer not null -- of the columns above
)""",
    "CREATE INDEX records_event on records (event_key) where event_key is not null",
    "CREATE INDEX records_commit on records (commit_key) where commit_key is not null",
    "CREATE INDEX records_again on records (id) where kind = 'D'",
    """CREATE TABLE packs ( -- each pack whose members are in the table members
    id integer primary key,
    name blob not null unique, -- the SHA-256 of the pack, 32 bytes
    members integer not null,
    tracts integer not null, -- so many rows of pack_events are about it
    crc integer not null -- of the columns above
)""",
    """CREATE TABLE members ( -- where each object and event lies in a pack
    place integer primary key, -- packs.id << 32 | offset in bytes
    name blob not null, -- its hash, 32 bytes
    size integer not null, -- in bytes
    key integer not null -- the first 8 bytes of the hash, a signed number
)""",
    "CREATE INDEX members_key on members (key)",
    """CREATE TABLE pack_events ( -- which members of a pack are events, by tract; an empty tract: the line does not show it
    pack integer not null,
    tract text not null,
    events integer not null,
    names blob not null, -- their hashes, 32 bytes each
    crc integer not null, -- of the columns above
    primary key (pack, tract)
) without rowid""",
    """CREATE TABLE sums ( -- by which a missing row is noticed: count and sum of checksums of the rows whose hashes begin with a byte
    family text not null, -- event, commit (both of records) or member
    bucket integer not null, -- the byte
    rows integer not null,
    total integer not null,
    primary key (family, bucket)
) without rowid""",
    """CREATE TABLE config_stamps ( -- how far the generation configs of a tract are indexed
    tract text primary key,
    records integer not null, -- so many records of arrivals are covered; -1: another number
    chain text not null,
    configs integer not null, -- count of configs, and the sum of their checksums
    total integer not null
) without rowid""",
    """CREATE TABLE configs ( -- each distinct generation config of a tract
    tract text not null,
    number integer not null, -- from 0
    config blob not null, -- canonical JSON
    commits integer not null, -- count of its commits, and the sum of their checksums
    total integer not null,
    crc integer not null, -- of the columns above
    primary key (tract, number)
) without rowid""",
    """CREATE TABLE config_commits ( -- which commits were generated with a config
    tract text not null,
    config integer not null, -- configs.number
    created integer not null, -- microseconds since 1970
    name blob not null, -- the commit's hash, 32 bytes
    primary key (tract, config, created, name)
) without rowid""",
    """CREATE TABLE search_stamps ( -- how far the texts of a tract are indexed
    tract text primary key,
    records integer not null, -- so many records of arrivals are covered
    chain text not null,
    blocks integer not null, -- count of blocks, and the sum of their checksums
    total integer not null,
    crc integer not null -- of the columns above
) without rowid""",
    """CREATE TABLE search_blocks ( -- the texts of a tract for search, composed (NFC) and case-folded
    tract text not null,
    number integer not null, -- from 0
    crc integer not null, -- of the other columns
    names blob not null, -- roles and content types, as a JSON array
    records blob not null, -- for each commit 80 bytes: its hash, its content, microseconds since 1970, size of the text (ffffffff: not here, fffffffe: that of an earlier record), numbers of role and type
    texts blob not null, -- the texts in UTF-8, the byte ff after each
    primary key (tract, number)
)""",
    """CREATE TABLE search_redacted ( -- contents that an event redacts: their texts are not kept here
    name blob primary key -- the hash of a content, 32 bytes
) without rowid""",
)


class IndexDamagedError(Exception):
    """The index contradicts itself or the files it names; its file was removed, if possible."""


class IndexRowsGoneError(IndexDamagedError):
    """Rows that were there are gone, but the file is whole: another process removed them, or a tool put an older file in its place."""


class IndexUnwritableError(Exception):
    """The index can't be written now: another process holds it, or the disk is full. Its rows are as before."""


class IndexFile:
    """The index of one store in one handle; see the table of states above."""

    def __init__(self, layout: Layout, *, read_only: bool, is_distrusted: bool = False) -> None:
        """With `is_distrusted` no row of another handle is used: a writer removes the file, a reader uses memory."""
        self._layout = layout
        self._read_only = read_only
        self._is_distrusted = is_distrusted
        self._connection: sqlite3.Connection | None = None
        self._pid = 0
        self._path = ""  # of the open file; empty: in memory
        self._inode = 0
        self._is_prepared = False  # the connection is set up for writing
        self.generation = 0

    @property
    def seal(self) -> bytes:
        """32 bytes of this copy's place, which start the checksum of each row."""
        return self._layout.seal

    def is_writable(self) -> bool:
        """Returns whether rows may be written: this handle is a writer, or uses memory."""
        return not self._read_only or self.is_in_memory()

    def is_in_memory(self) -> bool:
        """Returns whether written rows are lost with this handle. Opens the index."""
        self.connection()
        return not self._path

    def exists(self) -> bool:
        """Returns whether there may be rows. Cost: one stat if closed."""
        is_open = self._connection is not None and self._pid == files.process.id
        return is_open or (not self._is_distrusted and self._is_file_there())

    def connection(self) -> sqlite3.Connection:
        """Returns the connection; opens it if there is none."""
        if self._connection is not None:
            if self._pid == files.process.id:
                return self._connection
            self._connection = None  # a forked child must not use its parent's connection, nor close it
            self.generation += not self._path
        self._connection = self._open()
        self._is_prepared = False
        self._pid = files.process.id
        return self._connection

    def version(self) -> int:
        """Returns a number that changes when another connection has changed the file, or a tool has overwritten it. Cost: some µs. Errors: IndexDamagedError."""
        with self.reading() as connection:
            found: int = connection.execute("pragma data_version").fetchone()[0]
            return found

    def note_loss(self) -> IndexRowsGoneError:
        """Notes that rows that were there are gone; returns what the caller is to raise."""
        self.generation += 1
        return IndexRowsGoneError("rows that were there are gone")

    def close(self) -> None:
        """Closes the connection; the next use opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None and self._pid == files.process.id:
            connection.close()
            self.generation += not self._path

    def move(self) -> None:
        """Closes the file; the next use opens the one in the layout's present place."""
        self.close()
        self.generation += 1

    def discard(self) -> None:
        """Removes a damaged file; rows are written again as needed. A file that can't be removed is used no more."""
        self.close()
        self.generation += 1
        if self._read_only or not self._remove():
            self._is_distrusted = True

    def in_memory(self) -> IndexFile:
        """Returns another index, an empty one in memory."""
        return IndexFile(self._layout, read_only=True, is_distrusted=True)

    def go_in_memory(self) -> None:
        """Uses memory from now on, because the file can't be written."""
        self.close()
        self.generation += 1
        self._read_only = self._is_distrusted = True

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yields the connection; discards a file that SQLite or the caller finds damaged. Errors: IndexDamagedError."""
        try:
            yield self.connection()
        except self.errors() as error:
            raise self.fail(error) from error

    def errors(self) -> tuple[type[Exception], ...]:
        """Returns the errors that a damaged file may raise: those of SQLite, and those of columns of a wrong type."""
        return (IndexDamagedError, *_errors(), ValueError, TypeError, OverflowError, struct.error)

    def fail(self, error: Exception) -> IndexDamagedError:
        """Discards the file after one of `errors`, and returns the error that the caller must raise."""
        if isinstance(error, IndexRowsGoneError):
            return error
        self.discard()
        return error if isinstance(error, IndexDamagedError) else IndexDamagedError(str(error))

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yields the connection inside a transaction, which stands as a whole or not at all.

        Errors: IndexDamagedError, IndexUnwritableError.
        """
        if self._path and self._connection is not None and not self._is_at_path():
            self.move()  # another process found the file damaged and replaced it
        with self.reading() as connection:
            try:
                if not self._is_prepared:
                    _prepare_writing(connection)
                    self._is_prepared = True
                connection.execute("begin immediate")
                try:
                    yield connection
                    connection.execute("commit")
                except BaseException:
                    with suppress(*_errors()):
                        connection.execute("rollback")
                    raise
            except _errors()[0] as error:
                if _is_passing(error):
                    raise IndexUnwritableError(str(error)) from error
                raise

    def _is_file_there(self) -> bool:
        """Returns whether there is a file; False where another user's directory does not show it."""
        with suppress(OSError):
            return files.exists(self._layout.index)
        return False

    def _is_at_path(self) -> bool:
        with suppress(OSError):
            found = files.signature(self._path)
            return found is not None and found[0] == self._inode
        return False

    def _open(self) -> sqlite3.Connection:
        """Returns a connection to the file, to an empty one if it was damaged, or to memory if there can be no file."""
        if self._is_distrusted and not self._read_only and self._remove():
            self._is_distrusted = False
        errors: tuple[type[Exception], ...] = (OSError, *self.errors())
        for _ in range(2):
            if self._is_distrusted or (self._read_only and not self._is_file_there()):
                break
            try:
                return self._open_file(self._layout.index)
            except errors as error:
                if self._read_only or _is_passing(error) or not self._remove():
                    break
                self.generation += 1
        self._path = ""
        connection = _connect(":memory:")
        _make_tables(connection, self.seal)
        return connection

    def _open_file(self, path: str) -> sqlite3.Connection:
        if not files.is_own_file(path):
            raise IndexDamagedError("not a regular file of one name")
        if self._read_only:
            if not all(files.is_own_file(path + suffix) for suffix in _SIDE_FILES):
                raise IndexDamagedError("what lies beside it is no regular file")  # SQLite would wait for a pipe
            from urllib.parse import quote  # 2 ms

            connection = _connect(f"file:{quote(path)}?mode=ro")
        else:
            _remove_side_files(path)
            files.create_empty(path)  # SQLite would give it a mode of its own
            connection = _connect(path)
        try:
            _require_schema(connection, self.seal, can_make=not self._read_only)
        except BaseException:
            connection.close()
            raise
        self._path = path
        found = files.signature(path)
        self._inode = 0 if found is None else found[0]
        return connection

    def _remove(self) -> bool:
        """Removes the file and those that SQLite keeps beside it; returns whether they are gone."""
        try:
            for suffix in ("", *_SIDE_FILES):
                files.remove(self._layout.index + suffix)
        except OSError:
            return False
        return True


def key_of(digest: bytes) -> int:
    """Returns the first 8 bytes of a hash as a signed number, which SQLite can store."""
    return int.from_bytes(digest[:8], "big", signed=True)


def keys_of(digests: Iterable[bytes]) -> Iterator[int]:
    """Yields the key of each of many hashes, for a third of the cost."""
    return chain.from_iterable(_KEYS.iter_unpack(b"".join(digests)))


def bucket_range(bucket: int) -> tuple[int, int]:
    """Returns the least and the greatest key of the hashes that begin with this byte."""
    first = bytes([bucket])
    return key_of(first + bytes(7)), key_of(first + b"\xff" * 7)


def insert_rows(connection: sqlite3.Connection, table: str, columns: int, values: list[object]) -> None:
    """Inserts rows, whose values follow one another.

    A statement of many rows costs a third less, unless it has to keep a journal of its own: so an error may leave a
    part of them, which the end of the transaction removes.
    """
    row = f"({','.join('?' * columns)})"
    step = columns * _ROWS_AT_ONCE
    whole = len(values) - len(values) % step
    for start, stop, size, rows in ((0, whole, step, _ROWS_AT_ONCE), (whole, len(values), columns, 1)):
        text = f"insert or fail into {table} values {','.join([row] * rows)}"
        connection.executemany(text, (values[at : at + size] for at in range(start, stop, size)))


class Sums:
    """Counts and sums of checksums, by the first byte of a hash, of rows that one transaction writes or removes."""

    def __init__(self, family: str) -> None:
        self._family = family
        self.rows = [0] * 256
        self.totals = [0] * 256

    def write(self, connection: sqlite3.Connection) -> None:
        """Adds them to the table `sums`."""
        connection.executemany(
            "insert into sums values (?, ?, ?, ?) on conflict do update"
            " set rows = rows + excluded.rows, total = total + excluded.total",
            [
                (self._family, bucket, count, total)
                for bucket, (count, total) in enumerate(zip(self.rows, self.totals, strict=True))
                if count or total
            ],
        )


def require_sums(connection: sqlite3.Connection, family: str, bucket: int, checksums: Iterable[int]) -> None:
    """Raises IndexDamagedError unless these are the checksums of all rows of a bucket."""
    found = list(checksums)
    kept = connection.execute(
        "select rows, total from sums where family = ? and bucket = ?", (family, bucket)
    ).fetchone()
    if (len(found), sum(found)) != (kept or (0, 0)):
        raise IndexDamagedError(f"rows of the family {family} are missing")


def require_keys(found: Iterable[tuple[int, int]], expected: Iterable[tuple[int, int]]) -> None:
    """Raises IndexDamagedError unless the entries of an SQL index are these keys and row numbers, in order: by others a row is not found."""
    if list(found) != sorted(expected):
        raise IndexDamagedError("keys are not those of their rows")


def crc_of(seal: bytes, *values: object) -> int:
    """Returns the checksum of a row's values, which another place's differs from."""
    crc = zlib.crc32(seal)
    for value in values:
        crc = zlib.crc32(value if isinstance(value, bytes) else b"%r;" % (value,), crc)
    return crc


def _connect(path: str) -> sqlite3.Connection:
    import sqlite3  # 3 ms

    return sqlite3.connect(
        path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False, uri=path.startswith("file:")
    )


def _prepare_writing(connection: sqlite3.Connection) -> None:
    connection.execute("pragma synchronous = off")  # a cache: damage is noticed, and its rows are written again
    connection.execute(f"pragma cache_size = -{_CACHE_KIB}")
    connection.execute("pragma secure_delete = on")  # no byte of a redacted text stays


def _make_tables(connection: sqlite3.Connection, seal: bytes) -> None:
    """Creates the tables of a new file, unless another process has done so."""
    _prepare_writing(connection)
    connection.execute("begin immediate")
    if connection.execute("select count(*) from sqlite_master").fetchone() == (0,):
        for table in _SCHEMA:
            connection.execute(table)
        connection.execute("insert into store values (?, ?)", (VERSION, seal.hex()))
    connection.execute("commit")


def _require_schema(connection: sqlite3.Connection, seal: bytes, *, can_make: bool) -> None:
    """Raises IndexDamagedError where the file has other tables, or is of another place; with `can_make`, creates those
    of an empty file.

    A view in a table's place might answer anything, and take for ever.
    """
    found = connection.execute("select sql from sqlite_master where sql is not null order by rowid").fetchall()
    if not found and can_make:
        _make_tables(connection, seal)
        _require_schema(connection, seal, can_make=False)
        return
    if [text for (text,) in found] != list(_SCHEMA):
        raise IndexDamagedError("another schema")
    if connection.execute("select version, seal from store").fetchall() != [(VERSION, seal.hex())]:
        raise IndexDamagedError("of another version, or another place")


def _remove_side_files(path: str) -> None:
    """Removes files that SQLite would use and this index never writes: WAL files, a journal that names other files."""
    for suffix in _SIDE_FILES[1:]:
        if files.may_exist(path + suffix):
            files.remove(path + suffix)
    journal = path + _SIDE_FILES[0]
    if not files.is_own_file(journal):
        files.remove(path)
        files.remove(journal)
        return
    size = (files.signature(journal) or (0, 0, 0))[1]
    if not size:
        return
    tail = files.read_at(journal, max(0, size - len(_SUPER_JOURNAL)), len(_SUPER_JOURNAL))
    if tail == _SUPER_JOURNAL:
        files.remove(path)
        files.remove(journal)


def _errors() -> tuple[type[Exception], ...]:
    import sqlite3

    return (sqlite3.Error,)


def _is_passing(error: Exception) -> bool:
    """Returns whether an error of SQLite is no damage: the file is locked, or the disk is full or read-only."""
    import sqlite3

    if not isinstance(error, sqlite3.OperationalError):
        return False
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
    )
