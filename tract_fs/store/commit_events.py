"""Which events brought a commit or told its usage: the newest records of arrivals in memory, the older ones by their runs.

Records are read back from the end only as far as an answer needs; none of the records is missed, whichever of the two has it.
"""

from __future__ import annotations

from collections.abc import Iterator

from tract_fs.store import arrivals
from tract_fs.store.arrivals import (
    BRING_KINDS,
    BRINGS_AGAIN,
    START,
    USAGE,
    Arrivals,
    Record,
    iter_records,
)
from tract_fs.store.record_runs import RecordRuns, RunDamagedError

_FIRST_STEPS = (64, 1024)  # records read back at first: what is asked for is mostly new
_KEPT_RUNS = 4  # so many records are kept in memory
_KEPT_STRETCHES = 4


class CommitEvents:
    """The answers over all records up to some count."""

    def __init__(self, runs: RecordRuns) -> None:
        self._runs = runs
        self._brought: dict[bytes, tuple[bytes, ...]] = {}  # by commit
        self._again: set[bytes] = set()
        self._usage: dict[bytes, tuple[bytes, ...]] = {}
        self._from = 0  # records before this one are not in memory
        self._count = 0
        self._chain = START  # the digest after the last record that is not in memory
        self._data: Arrivals | bytes = b""
        self._stretches: dict[
            int, dict[bytes, bytes]
        ] = {}  # commit: event, of stretches of old records that are walked through
        self._last_stretch = -1

    def reset(self, data: Arrivals | bytes, count: int, chain: bytes) -> None:
        """Starts over with `count` records in the file, or in the bytes given, that end with digest `chain`; none is read yet."""
        self._brought.clear()
        self._again.clear()
        self._usage.clear()
        self._stretches.clear()
        self._from = self._count = count
        self._chain = chain
        self._data = data

    def trim(self, source: Arrivals, count: int, chain: bytes) -> None:
        """Forgets the records in memory if they are many and runs have most of them.

        All are the first `count` records of `source`, which end with digest `chain`.
        """
        size = self._runs.SHORT_RECORDS
        if self._count - self._from > _KEPT_RUNS * size and self._runs.end()[0] > count - size:
            self.reset(source, count, chain)

    def add(self, record: Record) -> None:
        """Takes in a record that is newer than all before."""
        self._count += 1
        if record.kind in BRING_KINDS:
            self._brought[record.commit] = (*self._brought.get(record.commit, ()), record.event)
            if record.kind == BRINGS_AGAIN:
                self._again.add(record.commit)
        elif record.kind == USAGE:
            self._usage[record.commit] = (*self._usage.get(record.commit, ()), record.event)

    def events_of(self, commit: bytes) -> tuple[bytes, ...]:
        """Returns the events that bring a commit; empty if none does. Errors: ArrivalsDamagedError."""
        found = self._brought.get(commit)
        return self._look(commit)[0] if found is None or commit in self._again else found

    def usage_events_of(self, commit: bytes) -> tuple[bytes, ...]:
        """Returns the events that tell the usage of a commit. Errors: ArrivalsDamagedError."""
        return self._look(commit, with_usage=True)[1]

    def iter_commits(self) -> Iterator[bytes]:
        """Yields each commit that visible events bring once, in the order in which they came. Cost: reads all arrivals."""
        brought = list(self._brought)
        older: set[bytes] = set()  # of those in memory that an older record brings
        for record in iter_records(self._data, 0, self._from, self._chain):
            if record.kind in BRING_KINDS and record.kind != BRINGS_AGAIN:
                yield record.commit
                if record.commit in self._again:
                    older.add(record.commit)
        for commit in brought:
            if commit not in older:
                yield commit

    def commits_between(self, low: bytes, high: bytes) -> set[bytes]:
        """Returns the commits that visible events bring and whose hashes begin with eight bytes from `low` to `high`."""
        floor = self._floor()
        if self._from > floor:
            self._read_back(self._from - floor)
        found = {commit for commit in self._brought if low <= commit[:8] <= high}
        try:
            return found.union(self._runs.commits_between(low, high, before=self._from) if floor else ())
        except RunDamagedError:
            self._runs.drop()
            return self.commits_between(low, high)

    def _look(self, commit: bytes, *, with_usage: bool = False) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        """Returns the events that bring a commit and those that tell its usage, the oldest first."""
        for step in _FIRST_STEPS:  # whatever the runs have: what is mostly asked for needs none of them
            if self._from and self._is_open(commit):
                self._read_back(min(step, self._from))
        if self._from and self._is_open(commit) and self._from > (floor := self._floor()):
            self._read_back(self._from - floor)
        brought, usage = self._brought.get(commit, ()), self._usage.get(commit, ())
        if not self._from or not self._is_open(commit):
            return brought, usage
        try:
            older, older_usage = self._look_in_runs(commit, with_usage=with_usage)
        except RunDamagedError:
            self._runs.drop()
            return self._look(commit, with_usage=with_usage)
        return older + brought, older_usage + usage

    def _is_open(self, commit: bytes) -> bool:
        """Tells whether older records may be about a commit, for all that those in memory say."""
        return commit not in self._brought or commit in self._again

    def _look_in_runs(self, commit: bytes, *, with_usage: bool) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        if not with_usage and not self._runs.is_again(commit):
            for stretch in self._stretches.values():
                if commit in stretch:
                    return (stretch[commit],), ()
        brought: list[bytes] = []
        usage: list[bytes] = []
        for number, record in self._runs.iter_commit_records(commit, before=self._from):
            (usage if record.kind == USAGE else brought).append(record.event)
            if record.kind in BRING_KINDS and record.kind != BRINGS_AGAIN:
                self._note_stretch(number // self._runs.SHORT_RECORDS)
                break
        return tuple(brought[::-1]), tuple(usage[::-1])

    def _note_stretch(self, number: int) -> None:
        """Reads a stretch of records in which one was found twice running: whoever walks along a history asks for its neighbours next."""
        if number == self._last_stretch and number not in self._stretches:
            size = self._runs.SHORT_RECORDS
            start, end = number * size, min(self._from, (number + 1) * size)
            chain = arrivals.chain_before(self._data, end)
            if len(self._stretches) >= _KEPT_STRETCHES:
                del self._stretches[next(iter(self._stretches))]
            self._stretches[number] = {
                record.commit: record.event
                for record in iter_records(self._data, start, end, chain)
                if record.kind in BRING_KINDS and record.kind != BRINGS_AGAIN
            }
        self._last_stretch = number

    def _floor(self) -> int:
        """Returns the number of the first record that no run has."""
        return 0 if isinstance(self._data, bytes) else min(self._from, self._runs.end()[0])

    def _read_back(self, count: int) -> None:
        start = self._from - count
        older: dict[bytes, list[bytes]] = {}
        older_usage: dict[bytes, list[bytes]] = {}
        for kind, _, event, commit, _ in iter_records(self._data, start, self._from, self._chain):
            if kind in BRING_KINDS:
                older.setdefault(commit, []).append(event)
                if kind == BRINGS_AGAIN:
                    self._again.add(commit)
            elif kind == USAGE:
                older_usage.setdefault(commit, []).append(event)
        for found, kept in ((older, self._brought), (older_usage, self._usage)):
            for commit, events in found.items():
                kept[commit] = (*events, *kept.get(commit, ()))
        self._chain = arrivals.chain_before(self._data, start)
        self._from = start
