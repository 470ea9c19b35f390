"""The generation index: which commits were written with which config; owns sqlite3.

A cache that catches up when it is asked, from the records that arrivals holds and the events they name, so `commit()` never touches it. Distinct
configs are kept once; a commit points at its config. Every row that an answer uses is checked against counts and sums, so a damaged, stale or foreign
file is noticed and built anew, in memory if it must be. Format: free to change; FORMAT.md, section 10.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from tract_fs.model import canonical
from tract_fs.model.config_query import FieldColumn, FieldPath, Scalar
from tract_fs.model.events import BroughtCommit
from tract_fs.model.names import CommitHash
from tract_fs.store import arrivals, files
from tract_fs.store.arrivals import Record
from tract_fs.store.events import Events
from tract_fs.store.tract_log import TractLog

Hit = tuple[int, str, bytes]  # creation time in microseconds, commit hash, config
_SUM_LIMIT = 1 << 62
_RECORDS_AT_ONCE = 32_768
_TABLES = (
    "create table stamp (tract text not null, count integer not null, chain text not null, configs integer not null, sum integer not null)",
    "create table configs (id integer primary key, config blob not null, commits integer not null, sum integer not null, crc integer not null)",
    "create table commits (config integer not null, created integer not null, name blob not null, primary key (config, created, name)) without rowid",
)


class _DamagedError(Exception):
    """The file is not what its checks say."""


class _Config:
    """A distinct config with the count of its commits and the sum of their names."""

    __slots__ = ("count", "data", "is_changed", "sum", "value")

    def __init__(self, data: bytes, count: int = 0, total: int = 0) -> None:
        self.data = data
        self.value: Any = canonical.decode(data)
        self.count = count
        self.sum = total
        self.is_changed = False


_SCHEMA = "select sql from sqlite_master where type <> 'index' or sql is not null order by rowid"
_BESIDE = ("-journal", "-wal", "-shm")
# a row of another form is left out, and so missing in the count
_ROWS = """select created, name from commits
    where config = ? and length(name) = 32"""
_ROWS_AND_STAMP = f"{_ROWS} union all select count, chain from stamp"


class GenerationIndex:
    """Answers config queries over the commits of one tract."""

    def __init__(
        self, path: str, log: TractLog, events: Events, *, read_only: bool, is_distrusted: bool = False
    ) -> None:
        """With `is_distrusted` nothing is taken from the file that is there."""
        self._path = path
        self._is_used = not (read_only and is_distrusted)  # the file
        self._log = log
        self._events = events
        self._read_only = read_only
        self._connection: sqlite3.Connection | None = None
        self._pid = 0
        self._stamp = log.first_stamp()
        self._version: object = None
        self._configs: list[_Config] = []
        self._by_data: dict[bytes, int] = {}
        self._columns: dict[FieldPath, tuple[FieldColumn, int]] = {}
        if is_distrusted:
            self._start_over(aside=True)

    def select(self, path: FieldPath, operator: str, value: Scalar) -> list[Hit]:
        """Returns the matching commits by creation time, then hash."""
        for _ in range(2):
            try:
                self._catch_up()
                return self._select(path, operator, value)
            except Exception as error:  # a cache: whatever is wrong with it, it is built anew
                self._start_over(aside=not _is_busy(error))
        self._open(":memory:")
        self._follow()
        return self._select(path, operator, value)

    def is_in(self, directory: str) -> bool:
        """Tells whether the index lies below a directory."""
        return self._path.startswith(f"{directory}/")

    def close(self) -> None:
        """Closes the file."""
        if self._connection is not None and self._pid == os.getpid():
            self._connection.close()
        self._connection = None

    def _select(self, path: FieldPath, operator: str, value: Scalar) -> list[Hit]:
        """Returns what the index has, by its state at one moment, which may be newer than that of the last look: others write to it."""
        with suppress(_DamagedError):  # it may be that another just writes to it
            found, stamp = self._matches(path, operator, value)
            if stamp == self._stamp:  # at the end, and so all the time since it was that
                return found
        connection = self._require_connection()
        connection.execute("begin")
        try:
            if self._read_stamp() != self._stamp:
                self._read()
                self._require_covered()
            return self._matches(path, operator, value)[0]
        finally:
            connection.rollback()

    def _matches(self, path: FieldPath, operator: str, value: Scalar) -> tuple[list[Hit], tuple[int, str]]:
        """Returns the hits, and the stamp of the index when the last of them was read."""
        column, seen = self._columns.get(path, (FieldColumn(path), 0))
        if seen < len(self._configs):
            column.add((number, self._configs[number].value) for number in range(seen, len(self._configs)))
            self._columns[path] = (column, len(self._configs))
        connection = self._require_connection()
        found: list[tuple[int, bytes, bytes]] = []
        numbers = list(column.select(operator, value))
        stamp: object = None
        for number in numbers:
            is_last = number == numbers[-1]  # with the stamp in one statement, which costs less than two
            rows = connection.execute(_ROWS_AND_STAMP if is_last else _ROWS, (number,)).fetchall()
            stamp = rows.pop() if is_last and rows else None
            config = self._configs[number]
            if len(rows) != config.count or sum(map(_weight, rows)) % _SUM_LIMIT != config.sum:
                raise _DamagedError
            data = config.data
            found += [(created_us, name, data) for created_us, name in rows]
        found.sort()
        hits = [(created_us, name.hex(), data) for created_us, name, data in found]
        return hits, _require_stamp(stamp) if numbers else self._read_stamp()

    def _catch_up(self) -> None:
        if self._connection is not None and self._pid == os.getpid() and self._version == self._log_version():
            return
        if self._log.stamp()[0] < 0:
            self._open(":memory:")
        elif self._connection is None or self._pid != os.getpid():
            is_there = self._is_used and (not self._read_only or files.exists(self._path))
            self._open(self._path if is_there else ":memory:")
        self._follow()

    def _follow(self) -> None:
        """Takes in what came since the stamp; all, where more is visible than arrivals say: this handle's own answer."""
        if self._log.stamp()[0] < 0:
            self._add_all(self._log.said.iter_brought())
        else:
            self._follow_log()
        self._version = self._log_version()

    def _log_version(self) -> object:
        return self._log.stamp(), self._log.version

    def _follow_log(self) -> None:
        """Takes in the records since the stamp, some thousands at a time: others read between, and each goes on where another stopped."""
        while True:
            self._require_covered()
            found = self._log.records_since(*self._stamp, limit=_RECORDS_AT_ONCE)
            if found is None:
                raise _DamagedError
            records, stamp = found
            if not records:
                return
            if self._read_only and not self._is_in_memory():
                self._copy_to_memory()
            self._take(records, stamp)

    def _require_covered(self) -> None:
        """Raises _DamagedError if the index is none of these arrivals; catches up with them if it was written by who knew more."""
        if 0 <= self._log.stamp()[0] < self._stamp[0]:
            self._log.catch_up()
        if self._stamp[0] >= 0 and not self._log.covers(*self._stamp):
            raise _DamagedError

    def _take(self, records: list[Record], stamp: tuple[int, str]) -> None:
        connection = self._require_connection()
        connection.execute("begin immediate")
        try:
            if self._read_stamp() != self._stamp:  # another process caught up meanwhile
                connection.rollback()
                self._load()
                return
            self._add_records(records)
            self._write_stamp(stamp)
            connection.commit()
        except BaseException:
            connection.rollback()
            self.close()
            raise

    def _copy_to_memory(self) -> None:
        """Goes on in memory with what the file has."""
        kept, self._connection = self._require_connection(), None
        try:
            self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            kept.backup(self._connection)
        finally:
            kept.close()

    def _add_records(self, records: list[Record]) -> None:
        rows: list[tuple[int, int, bytes]] = []
        event, entries = b"", dict[CommitHash, BroughtCommit]()
        for record in records:
            if record.kind == arrivals.BRINGS_AGAIN:
                self._add_rows(rows)
                rows = []
                self._move(record)
            elif record.kind in arrivals.BRING_KINDS:
                if record.event != event:
                    event, entries = record.event, self._events.entries(self._log.tract, record.event.hex())
                entry = entries.get(CommitHash(record.commit.hex()))
                if entry is not None and entry.config:
                    rows.append((self._number_of(bytes(entry.config)), record.time_us, record.commit))
        self._add_rows(rows)

    def _add_all(self, brought: Iterable[tuple[int, str, bytes | None]]) -> None:
        connection = self._require_connection()
        connection.execute("begin")
        self._add_rows(
            [
                (self._number_of(config), created_us, bytes.fromhex(name))
                for created_us, name, config in brought
                if config is not None
            ]
        )
        self._write_stamp((-1, ""))
        connection.commit()

    def _move(self, record: Record) -> None:
        """Gives a commit that is brought again the config it has now."""
        connection = self._require_connection()
        for number, created_us, name in connection.execute(
            "select config, created, name from commits where name = ?", (record.commit,)
        ).fetchall():
            connection.execute(
                "delete from commits where config = ? and created = ? and name = ?", (number, created_us, name)
            )
            self._count(number, -1, -_weight((created_us, name)))
        entry = self._log.said.brought(record.commit.hex())
        config = bytes(entry.config) if entry is not None else b""
        if config:
            self._add_rows([(self._number_of(config), record.time_us, record.commit)])

    def _add_rows(self, rows: list[tuple[int, int, bytes]]) -> None:
        self._require_connection().executemany("insert into commits values (?, ?, ?)", rows)
        for number, created_us, name in rows:
            self._count(number, 1, _weight((created_us, name)))

    def _count(self, number: int, count: int, weight: int) -> None:
        config = self._configs[number]
        config.count += count
        config.sum = (config.sum + weight) % _SUM_LIMIT
        config.is_changed = True

    def _number_of(self, config: bytes) -> int:
        number = self._by_data.get(config)
        if number is None:
            number = self._by_data[config] = len(self._configs)
            self._configs.append(_Config(config))
        return number

    def _open(self, path: str) -> None:
        self.close()
        if path != ":memory:":
            if not files.is_own_file(path):
                raise _DamagedError
            if self._read_only:
                path = f"file:{quote(path)}?mode=ro"
            else:
                files.make_directory(os.path.dirname(path))
                for suffix in _BESIDE:  # this index writes none; SQLite would obey one, and remove a file that it names
                    files.remove(path + suffix)
        self._connection = sqlite3.connect(
            path, timeout=5.0, isolation_level=None, check_same_thread=False, uri=path.startswith("file:")
        )
        self._pid = os.getpid()
        self._connection.execute("pragma trusted_schema = off")
        if not self._read_only or path == ":memory:":
            self._connection.execute("pragma journal_mode = memory")
            self._connection.execute("pragma synchronous = off")  # a cache: damage is noticed and built anew
            self._make_tables(self._connection)
        self._load()

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        """Makes the tables of a new file, unless another process does."""
        count = "select count(*) from sqlite_master"
        if connection.execute(count).fetchone() == (0,):
            connection.execute("begin immediate")
            if connection.execute(count).fetchone() == (0,):
                for table in _TABLES:
                    connection.execute(table)
                start = (self._log.tract, *self._log.first_stamp())
                connection.execute("insert into stamp values (?, ?, ?, 0, 0)", start)
            connection.commit()

    def _load(self) -> None:
        connection = self._require_connection()
        connection.execute("begin")
        try:
            self._read()
        finally:
            connection.rollback()

    def _read(self) -> None:
        """Reads stamp and configs; inside a transaction."""
        connection = self._require_connection()
        if [str(sql).lower() for (sql,) in connection.execute(_SCHEMA)] != list(_TABLES):
            raise _DamagedError  # a view in a table's place might answer anything, and take for ever
        self._configs.clear()
        self._by_data.clear()
        self._columns.clear()
        self._stamp = self._read_stamp()
        tract, count, total = connection.execute("select tract, configs, sum from stamp").fetchone()
        rows = connection.execute("select id, config, commits, sum, crc from configs order by id").fetchall()
        for number, data, commits, weight, crc in rows:
            if number != len(self._configs) or crc != _crc(data, commits, weight):
                raise _DamagedError
            self._by_data[data] = number
            self._configs.append(_Config(data, commits, weight))
        if tract != self._log.tract or (count, total) != (len(rows), sum(row[4] for row in rows) % _SUM_LIMIT):
            raise _DamagedError

    def _read_stamp(self) -> tuple[int, str]:
        return _require_stamp(self._require_connection().execute("select count, chain from stamp").fetchone())

    def _write_stamp(self, stamp: tuple[int, str]) -> None:
        connection = self._require_connection()
        changed = [
            (number, config.data, config.count, config.sum, _crc(config.data, config.count, config.sum))
            for number, config in enumerate(self._configs)
            if config.is_changed
        ]
        connection.executemany("insert or replace into configs values (?, ?, ?, ?, ?)", changed)
        for config in self._configs:
            config.is_changed = False
        count, total = connection.execute("select count(*), coalesce(sum(crc), 0) from configs").fetchone()
        connection.execute(
            "update stamp set count = ?, chain = ?, configs = ?, sum = ?", (*stamp, count, total % _SUM_LIMIT)
        )
        self._stamp = stamp

    def _require_connection(self) -> sqlite3.Connection:
        assert self._connection is not None
        return self._connection

    def _is_in_memory(self) -> bool:
        return bool(self._require_connection().execute("pragma database_list").fetchone()[2] == "")

    def _start_over(self, *, aside: bool) -> None:
        """Drops the file and what was read of it; a busy file is left to who holds it."""
        self.close()
        self._version = None
        self._stamp = self._log.first_stamp()
        if aside and not self._read_only:
            for suffix in ("", *_BESIDE):
                try:
                    files.remove(self._path + suffix)
                except OSError:
                    return


def _is_busy(error: Exception) -> bool:
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def _weight(row: tuple[int, bytes]) -> int:
    return zlib.crc32(row[1]) + 3 * row[0]


def _crc(data: bytes, count: int, total: int) -> int:
    return zlib.crc32(b"%d %d " % (count, total) + data)


def _require_stamp(row: Any) -> tuple[int, str]:
    """Returns a row of the stamp's table. Errors: _DamagedError if it is none."""
    if row is None or type(row[0]) is not int or type(row[1]) is not str:
        raise _DamagedError
    return row[0], row[1]
