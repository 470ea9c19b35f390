"""Origins: for each commit of one tract, the visible events that brought it, its config and token counts from them, and its last usage.

The newest records of arrivals are in memory; the older ones are rows of the index. Where the index is damaged, its rows are written again from arrivals.
Where arrivals are damaged as well, the log finds everything again from the events themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from tract_fs.model.events import BroughtCommit, Usage
from tract_fs.model.names import CommitHash
from tract_fs.store import arrivals
from tract_fs.store.arrivals import BRING_KINDS, BRINGS_AGAIN, USAGE, Arrivals, ArrivalsDamagedError, Record
from tract_fs.store.events import Events
from tract_fs.store.index.file import IndexDamagedError, IndexFile, IndexUnwritableError
from tract_fs.store.index.records import Row, TractRecords
from tract_fs.store.objects import Objects

_T = TypeVar("_T")
_ROWS_AT_ONCE = 1 << 15
_NEAR_RECORDS = 256
_MOST_NEAR = 4096
_MOST_KEPT = 1 << 14  # so many records stay in memory once rows cover them
_TRIES = 3  # of an index that is damaged each time


class Origins:
    """The answers for one tract, over the first `count` records of its arrivals, and over more that only memory has.

    States: the records from `first` on are in memory, those before are rows. `reset` sets both ends, `add` moves the end, `trim` moves `first`.
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
        self._again_count = 0  # how many of the records before `_first` bring a commit again
        self._brought: dict[bytes, tuple[bytes, ...]] = {}  # by commit
        self._again: set[bytes] = set()  # commits that more than one record brings, as far as memory shows
        self._usage: dict[bytes, tuple[bytes, ...]] = {}
        self._older_again: set[bytes] | None = None
        self._near: dict[bytes, bytes] = {}  # commit: event, of rows beside the last one found
        self._last_number = -1
        self._followed = (0, "")  # the last stamp of the rows that was compared with arrivals

    # what is known

    @property
    def first(self) -> int:
        """The number of the first record that is in memory."""
        return self._first

    def reset(self, count: int, *, again_count: int) -> None:
        """Starts over with `count` records of the file, none of them in memory; `again_count` of them bring a commit again."""
        self._brought.clear()
        self._again.clear()
        self._usage.clear()
        self._forget_rows()
        self._first = self._count = count
        self._again_count = again_count

    def add(self, record: Record) -> None:
        """Adds a record that is newer than all before."""
        self._count += 1
        if record.kind in BRING_KINDS:
            self._brought[record.commit] = (*self._brought.get(record.commit, ()), record.event)
            if record.kind == BRINGS_AGAIN:
                self._again.add(record.commit)
        elif record.kind == USAGE:
            self._usage[record.commit] = (*self._usage.get(record.commit, ()), record.event)

    def trim(self, again_count: int) -> None:
        """Forgets the records in memory if they are many and rows cover them; `again_count` of all records bring a commit again."""
        if self._count - self._first > _MOST_KEPT:
            self.reset(self._count, again_count=again_count)

    def extend_rows(self, count: int, *, state: bytes | None = None) -> None:
        """Writes rows up to the first `count` records of the file, and with them a saved view.

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
            rows = (record for record, _ in found)
            if not self.rows.save(rows, after, state=state if is_last else None, is_fresh=is_fresh):
                stop = self._follow(count)  # another process wrote rows meanwhile
            elif is_last:
                self._followed = after
                return
            start, is_fresh = max(0, stop), stop < 0

    def _follow(self, count: int) -> int:
        """Returns how many records have rows; -1 if the rows are of other arrivals. Errors: IndexUnwritableError if they go beyond `count`."""
        start, chain = self.rows.stamp()
        if start and (self._arrivals.chain_at(start) or b"").hex() != chain:
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
        if found is not None and digest not in self._again:
            return found
        return (*(self._older_events(digest) if self._first else ()), *(found or ()))

    def is_brought(self, commit: bytes) -> bool:
        """Returns whether a visible event brings a commit."""
        return bool(self.events_of(commit.hex()))

    def all_commits(self) -> list[bytes]:
        """Returns each commit that visible events bring once, in the order in which they came. Cost: reads the index, or arrivals."""
        found = dict.fromkeys(
            row.commit for row in self._ask(lambda: self.rows.between(0, self._first)) if row.kind in BRING_KINDS
        )
        found.update(dict.fromkeys(self._brought))
        return list(found)

    def commits_with_prefix(self, prefix: str) -> set[bytes]:
        """Returns the commits that visible events bring and whose hashes begin with some hexadecimal digits."""
        low, high = (bytes.fromhex((prefix + digit * 16)[:16]) for digit in "0f")
        found = self._ask(lambda: self.rows.commits_between(low, high, before=self._first))
        return {name for name in (*found, *self._brought) if name.hex().startswith(prefix)}

    def usage(self, commit: str) -> Usage | None:
        """Returns the last usage recorded of a commit, or None."""
        digest = bytes.fromhex(commit)
        rows = self._ask(lambda: self._find_usage(digest)) if self._first else []
        names = {row.event.hex() for row in rows}
        names.update(name.hex() for name in self._usage.get(digest, ()))
        if not names:
            return None
        events = {name: self._events.require(self._tract, name) for name in names}
        last = max(events, key=lambda name: (events[name].at, name))
        return [op for op in events[last].ops if isinstance(op, Usage) and op.commit == commit][-1]

    def iter_brought(self) -> Iterator[tuple[int, str, bytes | None]]:
        """Yields creation time in microseconds, hash and config of every commit that a visible event brings, in the order in which they came."""
        for digest in self.all_commits():
            name = CommitHash(digest.hex())
            entry = self.brought(name)
            if entry is not None:
                yield self._objects.require_commit(name).created_us, name, bytes(entry.config) or None

    def has_event(self, event: bytes, *, before: int) -> bool:
        """Returns whether an event is among the first records. Errors: ArrivalsDamagedError."""
        return self._look(lambda: self.rows.has_event(event, before=before), before)

    def events_between(self, low: bytes, high: bytes, *, before: int) -> set[bytes]:
        """Returns the events among the first records whose hashes begin with 8 bytes from `low` to `high`.

        Errors: ArrivalsDamagedError.
        """
        return self._look(lambda: self.rows.events_between(low, high, before=before), before)

    # rows

    def _older_events(self, digest: bytes) -> tuple[bytes, ...]:
        """Returns the events of the rows that bring a commit."""
        event = self._near.get(digest)
        if event is not None:
            return (event,)
        return self._ask(lambda: self._find(digest))

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
        """Reads the rows beside one that was found, where the last one was near: a history is walked along."""
        step, self._last_number = number - self._last_number, number
        if not 0 < abs(step) <= _NEAR_RECORDS:
            return
        if len(self._near) > _MOST_NEAR:
            self._near.clear()
        start = number if step > 0 else max(0, number - _NEAR_RECORDS)
        again = self._older_again or ()
        for row in self.rows.between(start, min(self._first, start + _NEAR_RECORDS)):
            if row.kind in BRING_KINDS and row.commit not in again and row.commit not in self._again:
                self._near[row.commit] = row.event

    def _ask(self, look: Callable[[], _T]) -> _T:
        """As `_look`, over all records that memory does not have; where arrivals are damaged, asks again after all was found from the events."""
        try:
            return self._look(look, self._first)
        except ArrivalsDamagedError:
            self._rebuild()
            return self._look(look, self._first)

    def _look(self, look: Callable[[], _T], count: int) -> _T:
        """Returns what a look into the rows returns, once they cover the first `count` records; looks again where the index is damaged.

        Errors: ArrivalsDamagedError.
        """
        for _ in range(_TRIES):
            try:
                self._cover(count)
                return look()
            except IndexDamagedError:
                self._forget_rows()
        self._index.go_in_memory()
        self._cover(count)
        return look()

    def _cover(self, count: int) -> None:
        stamp = self.rows.stamp()
        if stamp[0] >= count and (stamp == self._followed or not count):
            return
        if stamp[0] >= count and (self._arrivals.chain_at(stamp[0]) or b"").hex() == stamp[1]:
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

    def _forget_rows(self) -> None:
        self._older_again = None
        self._near.clear()
        self._last_number = -1
