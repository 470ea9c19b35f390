"""Generation configs in the index: which commits of a tract were generated with which config.

It catches up when a query needs it, from the records of arrivals and the events they name, so a commit never touches
it. Distinct configs are stored once; a commit points at its config. Counts and sums verify every row that an answer
uses.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tract_fs.model import canonical
from tract_fs.model.config_query import FieldColumn, FieldPath, Scalar
from tract_fs.model.events import BroughtCommit
from tract_fs.model.names import CommitHash
from tract_fs.store import arrivals
from tract_fs.store.arrivals import Record
from tract_fs.store.events import Events
from tract_fs.store.index.file import IndexDamagedError, IndexFile, IndexUnwritableError, crc_of
from tract_fs.store.tract_log import TractLog

if TYPE_CHECKING:
    import sqlite3

Hit = tuple[int, str, bytes]  # creation time in microseconds, commit hash, config
Pick = Callable[[], list[int]]  # numbers of configs, of those that are read
Stamp = tuple[int, str]  # count and digest of the records that are covered
_SUM_LIMIT = 1 << 62
_RECORDS_AT_ONCE = 32_768
_TRIES = 3
_TABLES = ("config_stamps", "configs", "config_commits")
# leaves out a malformed row, so that the count shows it missing
_ROWS = "select created, name from config_commits where tract = ? and config = ? and length(name) = 32"
_STAMP = "select records, chain from config_stamps where tract = ?"
_ROWS_AND_STAMP = f"{_ROWS} union all {_STAMP}"


class _Config:
    """A distinct config with the count of its commits and the sum of their checksums."""

    __slots__ = ("count", "data", "is_changed", "sum", "value")

    def __init__(self, data: bytes, count: int = 0, total: int = 0) -> None:
        self.data = data
        self.value: Any = canonical.decode(data)
        self.count = count
        self.sum = total
        self.is_changed = False


class ConfigIndex:
    """Answers config queries over the commits of one tract.

    States: its rows are in the store's index, which every handle of this copy shares; or in memory, where this handle
    can't write the shared ones, or sees events that arrivals do not list (then `_stamp` has count -1). In the last case
    it returns to the shared rows once arrivals list all events.
    """

    def __init__(self, index: IndexFile, log: TractLog, events: Events) -> None:
        self._shared = index
        self._own: IndexFile | None = None  # rows in memory
        self._log = log
        self._events = events
        self._generation = -1  # of the index whose configs were read
        self._stamp: Stamp = log.first_stamp()
        self._version: object = None
        self._configs: list[_Config] = []
        self._by_data: dict[bytes, int] = {}
        self._columns: dict[FieldPath, tuple[FieldColumn, int]] = {}

    def select(self, path: FieldPath, operator: str, value: Scalar) -> list[Hit]:
        """Returns the matching commits by creation time, then hash."""
        return self._answer(lambda: self._column(path).select(operator, value))

    def select_where(self, matches: Callable[[Any], bool]) -> list[Hit]:
        """Returns the commits whose config matches, by creation time, then hash. Cost: looks at each distinct config."""
        return self._answer(lambda: [number for number, one in enumerate(self._configs) if matches(one.value)])

    def _answer(self, pick: Pick) -> list[Hit]:
        for _ in range(_TRIES):
            try:
                self._catch_up()
                return self._select(pick)
            except IndexDamagedError:
                self._generation = -1  # stamp and configs may be those of other rows
            except IndexUnwritableError:
                break
        self._go_in_memory(with_rows=False)
        try:
            self._follow()
            return self._select(pick)
        except IndexDamagedError:  # arrivals can't be read: the visible events show the same
            self._go_in_memory(with_rows=False)
            self._add_all()
            return self._matches(pick)[0]

    def close(self) -> None:
        """Drops what is in memory."""
        if self._own is not None:
            self._own.close()
            self._own = None
            self._generation = -1

    @property
    def _index(self) -> IndexFile:
        return self._shared if self._own is None else self._own

    def _select(self, pick: Pick) -> list[Hit]:
        """Returns the hits of one state of the rows, maybe a newer one than was read last: other processes write."""
        with suppress(IndexDamagedError):  # a process may be writing just now
            found, stamp = self._matches(pick)
            if stamp == self._stamp:  # unchanged at the end, so unchanged all the time
                return found
        with self._index.reading() as connection:
            connection.execute("begin")
            try:
                self._read(connection)
                found = self._matches(pick)[0]
            finally:
                connection.execute("rollback")
        self._require_covered()
        return found

    def _column(self, path: FieldPath) -> FieldColumn:
        column, seen = self._columns.get(path, (FieldColumn(path), 0))
        if seen < len(self._configs):
            column.add((number, self._configs[number].value) for number in range(seen, len(self._configs)))
            self._columns[path] = (column, len(self._configs))
        return column

    def _matches(self, pick: Pick) -> tuple[list[Hit], Stamp]:
        """Returns the commits of the configs picked, and the stamp of the rows when the last of them was read."""
        connection, tract = self._index.connection(), self._log.tract
        found: list[tuple[int, bytes, bytes]] = []
        numbers = pick()
        stamp: object = None
        try:
            for number in numbers:
                is_last = number == numbers[-1]  # with the stamp in one statement, which costs less than two
                rows = connection.execute(
                    _ROWS_AND_STAMP if is_last else _ROWS, (tract, number, tract) if is_last else (tract, number)
                ).fetchall()
                stamp = rows.pop() if is_last and rows else None
                config = self._configs[number]
                if len(rows) != config.count or sum(map(_weight, rows)) % _SUM_LIMIT != config.sum:
                    raise IndexDamagedError("commits of a config are missing")
                data = config.data
                found += [(created_us, name, data) for created_us, name in rows]
            found.sort()
            hits = [(created_us, name.hex(), data) for created_us, name, data in found]
            return hits, _require_stamp(stamp) if numbers else self._read_stamp(connection)
        except self._index.errors() as error:
            raise IndexDamagedError(str(error)) from error

    def _catch_up(self) -> None:
        is_read = self._generation == self._index.generation
        if is_read and self._version == self._log_version():
            return
        if self._log.stamp()[0] < 0:
            self._go_in_memory(with_rows=False)
        elif not is_read or self._stamp[0] < 0:
            self.close()
            self._load()
        self._follow()

    def _follow(self) -> None:
        """Adds the records since the stamp; where arrivals lack visible events, adds all, for this handle alone."""
        if self._log.stamp()[0] < 0:
            self._add_all()
        else:
            self._follow_log()
        self._version = self._log_version()

    def _log_version(self) -> object:
        return self._log.stamp(), self._log.version

    def _follow_log(self) -> None:
        """Adds the records since the stamp, some thousands at a time, so that others can read and write in between."""
        while True:
            if not self._is_covered():  # arrivals were rebuilt since
                self._clear()
            found = self._log.records_since(*self._stamp, limit=_RECORDS_AT_ONCE)
            if found is None:
                self._clear()
                raise IndexDamagedError("the records covered are not in arrivals")
            records, stamp = found
            if not records:
                return
            if not self._index.is_writable():
                self._go_in_memory(with_rows=True)
            self._write(records, stamp)

    def _is_covered(self) -> bool:
        """Returns whether the rows are of these arrivals; catches up first if another process wrote newer rows."""
        if 0 <= self._log.stamp()[0] < self._stamp[0]:
            self._log.catch_up()
        return self._stamp[0] < 0 or self._log.covers(*self._stamp)

    def _require_covered(self) -> None:
        if not self._is_covered():
            raise IndexDamagedError("the records covered are not in arrivals")

    def _write(self, records: list[Record], stamp: Stamp) -> None:
        configs = self._configs_of(records)  # before the transaction: it reads events, which may write other rows
        with self._index.writing() as connection:
            if self._generation != self._index.generation:
                raise IndexDamagedError("another process replaced the file")
            is_behind = self._read_stamp(connection) != self._stamp
            if not is_behind:
                self._add_records(connection, records, configs)
                self._write_stamp(connection, stamp)
        if is_behind:  # another process caught up meanwhile
            self._load()

    def _configs_of(self, records: list[Record]) -> list[bytes | None]:
        """Returns for each record the config of the commit that it brings, or None."""
        found: list[bytes | None] = []
        event, entries = b"", dict[CommitHash, BroughtCommit]()
        for record in records:
            entry = None
            if record.kind == arrivals.BRINGS_AGAIN:
                entry = self._log.origins.brought(record.commit.hex())
            elif record.kind in arrivals.BRING_KINDS:
                if record.event != event:
                    event, entries = record.event, self._events.entries(self._log.tract, record.event.hex())
                entry = entries.get(CommitHash(record.commit.hex()))
            found.append(bytes(entry.config) if entry is not None and entry.config else None)
        return found

    def _add_records(self, connection: sqlite3.Connection, records: list[Record], configs: list[bytes | None]) -> None:
        rows: list[tuple[int, int, bytes]] = []
        for record, config in zip(records, configs, strict=True):
            if record.kind == arrivals.BRINGS_AGAIN:
                self._add_rows(connection, rows)
                rows = []
                self._remove(connection, record.commit)
            if config is not None:
                rows.append((self._number_of(config), record.time_us, record.commit))
        self._add_rows(connection, rows)

    def _add_all(self) -> None:
        rows = [
            (self._number_of(config), created_us, bytes.fromhex(name))
            for created_us, name, config in self._log.origins.iter_brought()
            if config is not None
        ]
        with self._index.writing() as connection:
            self._add_rows(connection, rows)
            self._write_stamp(connection, (-1, ""))

    def _remove(self, connection: sqlite3.Connection, commit: bytes) -> None:
        """Removes the rows of a commit that is brought again: its config may have changed."""
        tract = self._log.tract
        for number, created_us, name in connection.execute(
            "select config, created, name from config_commits where tract = ? and name = ?", (tract, commit)
        ).fetchall():
            connection.execute(
                "delete from config_commits where tract = ? and config = ? and created = ? and name = ?",
                (tract, number, created_us, name),
            )
            self._count(number, -1, -_weight((created_us, name)))

    def _add_rows(self, connection: sqlite3.Connection, rows: list[tuple[int, int, bytes]]) -> None:
        tract = self._log.tract
        before = connection.total_changes
        connection.executemany(
            "insert or ignore into config_commits values (?, ?, ?, ?)", [(tract, *row) for row in rows]
        )
        if connection.total_changes - before == len(rows):
            for number, created_us, name in rows:
                self._count(number, 1, _weight((created_us, name)))
            return
        for number in {number for number, _, _ in rows}:  # arrivals that another wrote may bring a commit twice
            there = connection.execute(_ROWS, (tract, number)).fetchall()
            config = self._configs[number]
            self._count(number, len(there) - config.count, sum(map(_weight, there)) - config.sum)

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

    def _go_in_memory(self, *, with_rows: bool) -> None:
        """Moves to memory, with the present rows or with none."""
        rows: dict[str, list[Any]] = {}
        if with_rows:
            with self._index.reading() as connection:
                for table in _TABLES:
                    rows[table] = connection.execute(
                        f"select * from {table} where tract = ?", (self._log.tract,)
                    ).fetchall()
        self.close()
        self._own = self._shared.in_memory()
        with self._own.writing() as connection:
            for table, found in rows.items():
                if found:
                    marks = ",".join("?" * len(found[0]))
                    connection.executemany(f"insert into {table} values ({marks})", found)
        self._load()

    def _clear(self) -> None:
        """Removes the tract's rows, which are of other arrivals."""
        if not self._index.is_writable():
            self._go_in_memory(with_rows=False)
        with self._index.writing() as connection:
            for table in _TABLES:
                connection.execute(f"delete from {table} where tract = ?", (self._log.tract,))
        self._load()

    def _load(self) -> None:
        with self._index.reading() as connection:
            connection.execute("begin")
            try:
                self._read(connection)
            finally:
                connection.execute("rollback")
        self._generation = self._index.generation

    def _read(self, connection: sqlite3.Connection) -> None:
        """Reads stamp and configs; inside a transaction. Errors: IndexDamagedError."""
        self._configs.clear()
        self._by_data.clear()
        self._columns.clear()
        tract = self._log.tract
        self._stamp = self._read_stamp(connection)
        sums = connection.execute("select configs, total from config_stamps where tract = ?", (tract,)).fetchone()
        rows = connection.execute(
            "select number, config, commits, total, crc from configs where tract = ? order by number", (tract,)
        ).fetchall()
        for number, data, commits, weight, crc in rows:
            if number != len(self._configs) or crc != crc_of(self._index.seal, number, data, commits, weight):
                raise IndexDamagedError("a config is not as it was written")
            self._by_data[data] = number
            self._configs.append(_Config(data, commits, weight))
        if (sums or (0, 0)) != (len(rows), sum(row[4] for row in rows) % _SUM_LIMIT):
            raise IndexDamagedError("configs are missing")

    def _read_stamp(self, connection: sqlite3.Connection) -> Stamp:
        found = connection.execute(_STAMP, (self._log.tract,)).fetchone()
        return self._log.first_stamp() if found is None else _require_stamp(found)

    def _write_stamp(self, connection: sqlite3.Connection, stamp: Stamp) -> None:
        tract, seal = self._log.tract, self._index.seal
        changed = [
            (tract, number, config.data, config.count, config.sum)
            for number, config in enumerate(self._configs)
            if config.is_changed
        ]
        connection.executemany(
            "insert or replace into configs values (?, ?, ?, ?, ?, ?)",
            [(*row, crc_of(seal, *row[1:])) for row in changed],
        )
        for config in self._configs:
            config.is_changed = False
        count, total = connection.execute(
            "select count(*), coalesce(sum(crc), 0) from configs where tract = ?", (tract,)
        ).fetchone()
        connection.execute(
            "insert or replace into config_stamps values (?, ?, ?, ?, ?)", (tract, *stamp, count, total % _SUM_LIMIT)
        )
        self._stamp = stamp


def _weight(row: tuple[int, bytes]) -> int:
    return zlib.crc32(row[1]) + 3 * row[0]


def _require_stamp(row: Any) -> Stamp:
    """Returns the stamp in a row. Errors: IndexDamagedError if it is missing or malformed."""
    if row is None or type(row[0]) is not int or type(row[1]) is not str:
        raise IndexDamagedError("a stamp is missing")
    return row[0], row[1]
