"""Origins: for each commit of one tract, the visible events that brought it, its config and tokens, and its last usage.

The newest records of arrivals are in memory; the older ones are rows of the index. Where the index is damaged, its rows
are written again from arrivals. Where arrivals are damaged as well, the log rebuilds all from the events themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from tract_fs.model.events import BroughtCommit, Event, Usage
from tract_fs.model.names import CommitHash
from tract_fs.store import arrivals
from tract_fs.store.arrivals import BRING_KINDS, BRINGS_AGAIN, USAGE, Arrivals, ArrivalsDamagedError, Record
from tract_fs.store.events import Events
from tract_fs.store.index.file import IndexDamagedError, IndexFile, IndexUnwritableError
from tract_fs.store.index.records import Row, TractRecords
from tract_fs.store.objects import Objects

_T = TypeVar("_T")
_ROWS_AT_ONCE = 1 << 15
_NEWEST_RECORDS = 32
LEAST_ROWS = _NEWEST_RECORDS  # so many records, and fewer, are all read from arrivals: they need no rows
_LEAST_WINDOW = 16  # records read near a found one; they double with each step of a walk
_MOST_WINDOW = 512
_MOST_NEAR = 4096
_MOST_KEPT = 1 << 14  # so many records stay in memory once rows cover them
_TRIES = 3  # of an index that is damaged each time


class Origins:
    """The answers for one tract, over the records of its arrivals and those that only memory has.

    States:

    - Records: those before `first` are looked up in rows, the newer ones are in memory. `add` adds one; `reset` sets
      `first` to the end and drops those in memory. The first look-up after that reads the newest ones back
      (`_has_newest`), so that most answers need no index.
    - Rows: `_followed` is the last stamp of the rows that matched arrivals. Each look-up covers `first` records with
      rows before it asks (`_cover`); from rows of other arrivals it starts over. What was remembered of rows
      (`_older_again`, `_near`, `_usage_of`) is dropped by `reset` and by damage of the index.
    """

    def __init__(
        self,
        tract: str,
        source: Arrivals,
        index: IndexFile,
        *,
        events: Events,
        objects: Objects,
        rebuild: Callable[[], None],
    ) -> None:
        self._tract = tract
        self._arrivals = source
        self._index = index
        self.rows = TractRecords(index, tract)
        self._events = events
        self._objects = objects
        self._rebuild = rebuild
        self._first = 0
        self._count = 0
        self._chain = source.start  # the digest of the records before `_first`
        self._has_newest = False  # some of the records before the last `reset` are in memory
        self._again_count = 0  # how many of the records before `_first` bring a commit again
        self._usage_count = 0  # how many of them are of usage
        self._brought: dict[bytes, tuple[bytes, ...]] = {}  # by commit
        self._again: set[bytes] = set()  # commits that more than one record brings, as far as memory shows
        self._usage: dict[bytes, tuple[bytes, ...]] = {}
        self._older_again: set[bytes] | None = None
        self._near: dict[bytes, bytes] = {}  # commit: event, of rows near the last one found
        self._last_number = -1
        self._window = _LEAST_WINDOW
        self._usage_of: tuple[bytes, tuple[bytes, ...]] = b"", ()  # a commit, and the events of rows with its usage
        self._followed = (0, "")  # the last stamp of the rows that matched arrivals

    # what is known

    @property
    def first(self) -> int:
        """The number of the first record that is in memory."""
        return self._first

    def reset(self, count: int, chain: bytes, *, again_count: int, usage_count: int) -> None:
        """Starts over with `count` records that end with digest `chain`, none in memory; `again_count` of them bring a
        commit again, `usage_count` are of usage.
        """
        self._brought.clear()
        self._again.clear()
        self._usage.clear()
        self._forget_rows()
        self._first = self._count = count
        self._chain = chain
        self._again_count, self._usage_count = again_count, usage_count
        self._has_newest = False
        self._followed = (0, "")  # arrivals may be another file by now

    def add(self, record: Record) -> None:
        """Adds a record that is newer than all before."""
        self._count += 1
        if record.kind in BRING_KINDS:
            self._brought[record.commit] = (*self._brought.get(record.commit, ()), record.event)
            if record.kind == BRINGS_AGAIN:
                self._again.add(record.commit)
        elif record.kind == USAGE:
            self._usage[record.commit] = (*self._usage.get(record.commit, ()), record.event)

    def is_long(self) -> bool:
        """Returns whether so many records are in memory that they are better dropped once rows cover them."""
        return self._count - self._first > _MOST_KEPT

    def replace_rows(self, records: list[Record], stamp: tuple[int, str]) -> None:
        """Writes rows of all records of the file. Errors: IndexDamagedError, IndexUnwritableError."""
        self.rows.save(records, stamp, is_fresh=True)
        self._followed = stamp

    def append_rows(self, records: list[Record], stamp: tuple[int, str]) -> bool:
        """Writes rows of the last records before a stamp; returns False, and writes none, unless rows cover those before.

        Errors: IndexDamagedError, IndexUnwritableError.
        """
        if self._follow(stamp[0]) != stamp[0] - len(records) or not self.rows.save(records, stamp):
            return False
        self._followed = stamp
        return True

    def extend_rows(self, count: int) -> None:
        """Writes rows up to the first `count` records of the file.

        Errors: IndexDamagedError, IndexUnwritableError, ArrivalsDamagedError.
        """
        start = self._follow(count)
        is_fresh = start < 0
        start = max(0, start)
        while True:
            stop = min(count, start + _ROWS_AT_ONCE)
            before = arrivals.chain_before(self._arrivals, start)
            found = list(arrivals.decode_records(self._arrivals.read(start, stop - start), before))
            if len(found) != stop - start:
                raise ArrivalsDamagedError
            after = stop, found[-1][1].hex() if found else before.hex()
            is_last = stop == count
            rows = [record for record, _ in found]
            if not self.rows.save(rows, after, is_fresh=is_fresh):
                stop = self._follow(count)  # another process wrote rows meanwhile
            elif is_last:
                self._followed = after
                return
            start, is_fresh = max(0, stop), stop < 0

    def _follow(self, count: int) -> int:
        """Returns how many records have rows; -1 if the rows are of other arrivals.

        Errors: IndexUnwritableError if they go beyond `count`.
        """
        start, chain = self.rows.stamp()
        if start and not self._match(start, chain):
            return -1
        if start > count:
            raise IndexUnwritableError("another process has written newer rows")
        self._followed = start, chain
        return start

    # answers

    def brought(self, commit: str) -> BroughtCommit | None:
        """Returns config and tokens of a commit, from the least (`at`, hash) of the events that bring it.

        None if no visible event of this tract brings it. Errors: ObjectMissing, HashMismatch, InvalidObject.
        """
        names = [name.hex() for name in self.events_of(commit)]
        if len(names) > 1:
            names.sort(key=lambda name: (self._events.require(self._tract, name).at, name))
        return self._events.entry(self._tract, names[0], commit) if names else None

    def events_of(self, commit: str) -> tuple[bytes, ...]:
        """Returns the events that bring a commit; empty if no visible event of this tract does."""
        digest = bytes.fromhex(commit)
        found = self._brought.get(digest)
        if found is None and self._first and not self._has_newest:
            self._read_newest()
            found = self._brought.get(digest)
        if found is not None and digest not in self._again:
            return found
        older = self._older_events(digest) if self._first else ()
        return (*older, *self._brought.get(digest, ()))  # a rebuild amid the look puts all in memory

    def is_brought(self, commit: bytes) -> bool:
        """Returns whether a visible event brings a commit."""
        return bool(self.events_of(commit.hex()))

    def all_commits(self) -> list[bytes]:
        """Returns each commit that visible events bring, in order of arrival. Cost: reads the index, or arrivals."""
        self._read_few()
        rows = self._look_or_rebuild(lambda: self.rows.between(0, self._first)) if self._first else []
        return list(dict.fromkeys((*(row.commit for row in rows if row.kind in BRING_KINDS), *self._brought)))

    def commits_with_usage(self) -> list[str]:
        """Returns each commit whose usage a visible event records. Cost: reads the index, or arrivals."""
        self._read_few()
        is_asked = self._first and (self._usage_count or not self._has_newest)
        rows = self._look_or_rebuild(lambda: self.rows.between(0, self._first)) if is_asked else []
        found = dict.fromkeys((*(row.commit for row in rows if row.kind == USAGE), *self._usage))
        return [name.hex() for name in found]

    def commits_with_prefix(self, prefix: str) -> set[bytes]:
        """Returns the commits that visible events bring and whose hashes begin with some hexadecimal digits. Cost: of fewer
        than two digits, as `all_commits`.
        """
        if len(prefix) < 2:  # rows are found by the first byte
            return {name for name in self.all_commits() if name.hex().startswith(prefix)}
        self._read_few()
        low, high = (bytes.fromhex((prefix + digit * 16)[:16]) for digit in "0f")
        found: set[bytes] = set()
        if self._first:
            found = self._look_or_rebuild(lambda: self.rows.commits_between(low, high, before=self._first))
        return {name for name in (*found, *self._brought) if name.hex().startswith(prefix)}

    def usage(self, commit: str) -> Usage | None:
        """Returns the last usage recorded of a commit, or None."""
        found = self.last_usage(commit)
        return None if found is None else found[1]

    def last_usage(self, commit: str) -> tuple[Event, Usage] | None:
        """Returns the last usage recorded of a commit with its event, or None."""
        digest = bytes.fromhex(commit)
        names = {name.hex() for name in (*self._older_usage(digest), *self._usage.get(digest, ()))}
        if not names:
            return None
        events = {name: self._events.require(self._tract, name) for name in names}
        in_order = sorted(names, key=lambda name: (events[name].at, name))
        in_time = [(events[name], op) for name in in_order for op in events[name].ops]
        found = [(event, op) for event, op in in_time if isinstance(op, Usage) and op.commit == commit]
        return found[-1] if found else None

    def iter_brought(self) -> Iterator[tuple[int, str, bytes | None]]:
        """Yields creation time in microseconds, hash and config of each commit of `all_commits`."""
        for digest in self.all_commits():
            name = CommitHash(digest.hex())
            entry = self.brought(name)
            if entry is not None:
                yield self._objects.require_commit(name).created_us, name, bytes(entry.config) or None

    def has_event(self, event: bytes, *, before: int) -> bool:
        """Returns whether an event is among the first records. Errors: ArrivalsDamagedError."""
        return self._look(lambda: self.rows.has_event(event, before=before), before)

    def events_in_fan(self, fan: int, *, before: int) -> set[str]:
        """Returns the events of the first records whose hashes begin with this byte. Errors: ArrivalsDamagedError."""
        return self._look(lambda: self.rows.events_in_fan(fan, before=before), before)

    # rows

    def _older_events(self, digest: bytes) -> tuple[bytes, ...]:
        """Returns the events of the rows that bring a commit."""
        event = self._near.get(digest)
        if event is not None:
            return (event,)
        return self._look_or_rebuild(lambda: self._find(digest))

    def _older_usage(self, digest: bytes) -> tuple[bytes, ...]:
        """Returns the events of the rows that record the usage of a commit.

        Keeps the answer for the last commit: each compile asks for that of the head.
        """
        if not self._first:
            return ()
        if not self._has_newest:
            self._read_newest()
        if not self._usage_count:
            return ()
        if digest != self._usage_of[0]:
            rows = self._look_or_rebuild(lambda: self._find_usage(digest))
            self._usage_of = digest, tuple(row.event for row in rows)
        return self._usage_of[1]

    def _read_few(self) -> None:
        """Reads all records into memory if they are so few that they need no rows."""
        if 0 < self._first <= LEAST_ROWS and not self._has_newest:
            self._read_newest()

    def _read_newest(self) -> None:
        """Reads the newest records into memory, from arrivals: most questions are about new commits."""
        self._has_newest = True
        start = max(0, self._first - _NEWEST_RECORDS)
        try:
            newest = list(arrivals.iter_records(self._arrivals, start, self._first, self._chain))
        except ArrivalsDamagedError:
            self._rebuild()
            return
        brought, usage = self._brought, self._usage
        self._brought, self._usage = {}, {}
        self._count -= len(newest)
        for record in newest:
            self.add(record)
            self._again_count -= record.kind == BRINGS_AGAIN
            self._usage_count -= record.kind == USAGE
        for older, newer in ((self._brought, brought), (self._usage, usage)):
            for commit, events in newer.items():
                older[commit] = (*older.get(commit, ()), *events)
        self._first, self._chain = start, arrivals.chain_before(self._arrivals, start)

    def _find(self, digest: bytes) -> tuple[bytes, ...]:
        if self._older_again is None:
            self._older_again = self.rows.commits_brought_again(before=self._first, count=self._again_count)
        if digest in self._older_again or digest in self._again:
            self.rows.require_all_of(digest)
        rows = [row for row in self.rows.find(digest, before=self._first) if row.kind in BRING_KINDS]
        if not rows:
            self.rows.require_all_of(digest)  # those of its usage may be there
        elif len(rows) == 1:
            self._look_around(rows[0].number)
        return tuple(row.event for row in rows)

    def _find_usage(self, digest: bytes) -> list[Row]:
        self.rows.require_all_of(digest)
        return [row for row in self.rows.find(digest, before=self._first) if row.kind == USAGE]

    def _look_around(self, number: int) -> None:
        """Reads the rows near one that was found, if the last one was near too: a walk of a history needs them next."""
        step, self._last_number = number - self._last_number, number
        if not 0 < abs(step) <= 2 * self._window:
            self._window = _LEAST_WINDOW
            return
        self._window = min(2 * self._window, _MOST_WINDOW)
        if len(self._near) > _MOST_NEAR:
            self._near.clear()
        start = number if step > 0 else max(0, number - self._window)
        again = self._older_again or ()
        for _, kind, event, commit in self.rows.between(start, min(self._first, start + self._window)):
            if kind in BRING_KINDS and commit not in again and commit not in self._again:
                self._near[commit] = event

    def _look_or_rebuild(self, look: Callable[[], _T]) -> _T:
        """As `_look`, over all records before `first`; where arrivals are damaged, rebuilds the log and looks again."""
        try:
            return self._look(look, self._first)
        except ArrivalsDamagedError:
            self._rebuild()
            return self._look(look, self._first)

    def _look(self, look: Callable[[], _T], count: int) -> _T:
        """Returns what `look` returns, once rows cover the first `count` records; repeats it where the index is
        damaged.

        Errors: ArrivalsDamagedError.
        """
        for _ in range(_TRIES):
            try:
                self._cover(count)
                return look()
            except IndexDamagedError:
                self._forget_rows()
        self._index.go_in_memory()
        try:
            self._cover(count)
            return look()
        except IndexDamagedError as error:  # so it is the records that contradict themselves
            raise ArrivalsDamagedError from error

    def _cover(self, count: int) -> None:
        stamp = self.rows.stamp()
        if stamp[0] >= count and (stamp == self._followed or not count):
            return
        if stamp[0] >= count and self._match(*stamp):
            self._followed = stamp
            return
        if self._index.is_writable():
            try:
                self.extend_rows(count)
                return
            except IndexUnwritableError:
                pass
        self._index.go_in_memory()
        self._forget_rows()
        self.extend_rows(count)

    def _match(self, count: int, chain: str) -> bool:
        """Returns whether the first `count` records of arrivals end with this digest."""
        return (self._arrivals.chain_at(count) or b"").hex() == chain

    def _forget_rows(self) -> None:
        self._older_again = None
        self._usage_of = b"", ()
        self._near.clear()
        self._last_number = -1
