"""Record runs: which records of arrivals are about a commit or an event, by sorted tables in `local/`, so that none has to be read for one answer.

A run covers a stretch of records and never changes. It is believed only if its head hashes right, if it begins with the chain that the run before ends with,
and if the last ends with the chain that arrivals has there; a block is hashed before it is believed that something is missing in it, and what is found is
compared with the record itself. What is wrong with a run ends its use, and it is made anew from arrivals. Format: FORMAT.md, section 10.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from typing import NamedTuple

from tract_fs.store import arrivals, files
from tract_fs.store.arrivals import Arrivals, Record
from tract_fs.store.bounded_cache import BoundedCache

_MERGED = 16  # short runs in a long one
_HEAD = struct.Struct(
    ">8sQI16s16sIII"
)  # magic, first record, records, chain before and after, commit rows, event rows, commits brought again
_MAGIC = b"tractru1"
_ROW = struct.Struct(">8sQ")  # first bytes of a hash, number of the record
_BODY_AND_CHAIN = struct.Struct(">80s16s")  # of a record
_KIND_AND_KEYS = struct.Struct(">c7x8s24x8s")  # of a record: kind, first bytes of event and commit
_KEY_BYTES = 8
_CHECK_BYTES = 8
_FENCE_BYTES = _KEY_BYTES + _CHECK_BYTES
_BLOCK_BYTES = 256 * _ROW.size
_CACHED_BLOCKS = 256
_LARGEST_HEAD_BYTES = 1 << 24
_OPEN_READERS = 8
_COMMIT_KINDS = arrivals.BRING_KINDS | {arrivals.USAGE}


class RunDamagedError(Exception):
    """A run is not what its checks say, or is no longer there."""


class _Table(NamedTuple):
    """One sorted table of a run: its place in the file, and the first key and the check of each block, one after the other."""

    offset: int
    size: int
    fences: bytes

    @property
    def blocks(self) -> range:
        """The numbers of the blocks."""
        return range(len(self.fences) // _FENCE_BYTES)

    def first_key(self, block: int) -> bytes:
        """Returns the first key of a block."""
        return self.fences[block * _FENCE_BYTES : block * _FENCE_BYTES + _KEY_BYTES]

    def check(self, block: int) -> bytes:
        """Returns the check of a block."""
        return self.fences[block * _FENCE_BYTES + _KEY_BYTES : (block + 1) * _FENCE_BYTES]


class Run(NamedTuple):
    """A run whose head was checked."""

    path: str
    first: int
    end: int  # the number of the record after the last
    chain_before: bytes
    chain: bytes
    again: frozenset[bytes]  # keys of the commits that a record brings again
    commits: _Table
    events: _Table


class RecordRuns:
    """The runs of one tract in one copy."""

    SHORT_RECORDS = 4096

    def __init__(self, directory: str, source: Arrivals, *, read_only: bool) -> None:
        self._directory = directory
        self._arrivals = source
        self._read_only = read_only
        self._runs: list[Run] | None = None  # None: not looked for yet
        self._again: frozenset[bytes] = frozenset()
        self._blocks: BoundedCache[tuple[str, int], bytes] = BoundedCache(_CACHED_BLOCKS)
        self._readers: dict[str, files.RangeReader] = {}

    def forget(self) -> None:
        """Looks for the runs anew at the next need."""
        self._runs = None
        self._blocks.clear()
        self.close()

    def close(self) -> None:
        """Closes the files."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def end(self) -> tuple[int, bytes]:
        """Returns how many records, from the first on, the runs cover, and the chain after them. Cost: reads the heads, the first time."""
        runs = self._require_runs()
        return (runs[-1].end, runs[-1].chain) if runs else (0, self._arrivals.start)

    def is_again(self, commit: bytes) -> bool:
        """Tells whether a commit may be brought by several of the records."""
        self._require_runs()
        return commit[:_KEY_BYTES] in self._again

    def iter_commit_records(self, commit: bytes, *, before: int) -> Iterator[tuple[int, Record]]:
        """Yields the records before number `before` that are about a commit, the newest first, with their numbers. Errors: RunDamagedError."""
        key = commit[:_KEY_BYTES]
        for run in reversed(self._require_runs()):
            for number in reversed(self._numbers(run, run.commits, key, key)):
                record = self._record(number, _COMMIT_KINDS)
                if number < before and record.commit == commit:
                    yield number, record

    def has_event(self, event: bytes, *, before: int) -> bool:
        """Tells whether a record before number `before` stands for an event. Errors: RunDamagedError."""
        key = event[:_KEY_BYTES]
        return any(
            number < before and self._record(number, arrivals.EVENT_KINDS).event == event
            for run in reversed(self._require_runs())
            for number in self._numbers(run, run.events, key, key)
        )

    def events_between(self, low: bytes, high: bytes, *, before: int) -> Iterator[bytes]:
        """Yields the events before record `before` whose hashes begin with eight bytes from `low` to `high`. Errors: RunDamagedError."""
        for run in self._require_runs():
            for number in self._numbers(run, run.events, low, high):
                if number < before:
                    yield self._record(number, arrivals.EVENT_KINDS).event

    def commits_between(self, low: bytes, high: bytes, *, before: int) -> Iterator[bytes]:
        """Yields the commits, brought or told of before record `before`, whose hashes begin with eight bytes from `low` to `high`. Errors: RunDamagedError."""
        for run in self._require_runs():
            for number in self._numbers(run, run.commits, low, high):
                if number < before:
                    yield self._record(number, _COMMIT_KINDS).commit

    def extend(self, count: int) -> None:
        """Makes runs of the records before `count`, as far as they fill runs; a cache that can't be written is left alone.

        Cost: reads the records that no run covers.
        """
        if self._read_only:
            return
        with suppress(OSError, RunDamagedError):
            while count - self.end()[0] >= self.SHORT_RECORDS:
                first, chain = self.end()
                self._add(_encode(first, self._arrivals.read(first, self.SHORT_RECORDS), chain, self.SHORT_RECORDS))
                if self.end()[0] % (_MERGED * self.SHORT_RECORDS) == 0:
                    self._merge()

    def drop(self) -> None:
        """Removes all runs: something is wrong with one of them. They are made anew."""
        self.forget()
        if not self._read_only:
            with suppress(OSError):
                for name in files.list_names(self._directory):
                    files.remove(f"{self._directory}/{name}")
        self._runs, self._again = [], frozenset()

    # leaves

    def _require_runs(self) -> list[Run]:
        if self._runs is None:
            self._runs = self._load()
            self._again = frozenset().union(*(run.again for run in self._runs))
        return self._runs

    def _load(self) -> list[Run]:
        """Returns the runs that cover the records from the first on without a gap, as far as they are good."""
        try:
            there = set(files.list_names(self._directory))
        except PermissionError:
            return []
        found: list[Run] = []
        end, chain = 0, self._arrivals.start
        while True:
            names = [_name(end, count) for count in (_MERGED * self.SHORT_RECORDS, self.SHORT_RECORDS)]
            runs = (_read_head(f"{self._directory}/{name}") for name in names if name in there)
            run = next((r for r in runs if r is not None and self._follows(r, end, chain)), None)
            if run is None:
                return found
            found.append(run)
            end, chain = run.end, run.chain

    def _follows(self, run: Run, end: int, chain: bytes) -> bool:
        """Tells whether a run goes on where another ends, and is of these arrivals, which may have been written anew."""
        return (run.first, run.chain_before) == (end, chain) and self._arrivals.chain_at(run.end) == run.chain

    def _add(self, data: bytes) -> Run:
        head = _HEAD.unpack_from(data)
        path = f"{self._directory}/{_name(head[1], head[2])}"
        files.replace(path, data, mode=0o644)
        run = _read_head(path)
        if run is None:
            raise RunDamagedError
        self._runs = [*(r for r in self._require_runs() if r.first < run.first), run]
        self._again |= run.again
        return run

    def _merge(self) -> None:
        """Makes one run of the short ones at the end."""
        runs = self._require_runs()
        count = _MERGED * self.SHORT_RECORDS
        short = [run for run in runs if run.first >= runs[-1].end - count]
        if len(short) != _MERGED:
            return
        commits = [row for run in short for row in self._rows(run, run.commits)]
        events = [row for run in short for row in self._rows(run, run.events)]
        again = frozenset().union(*(run.again for run in short))
        ends = short[0].chain_before, short[-1].chain
        self._add(_assemble(short[0].first, count, ends, commits, events, again))
        for run in short:
            reader = self._readers.pop(run.path, None)
            if reader is not None:
                reader.close()
            files.remove(run.path)

    def _rows(self, run: Run, table: _Table) -> list[bytes]:
        data = b"".join(self._block(run, table, number) for number in table.blocks)
        return [data[start : start + _ROW.size] for start in range(0, len(data), _ROW.size)]

    def _numbers(self, run: Run, table: _Table, low: bytes, high: bytes) -> list[int]:
        """Returns the numbers of the rows whose keys lie from `low` to `high`, in the order of the keys."""
        found: list[int] = []
        first = max(0, bisect_left(table.blocks, low, key=table.first_key) - 1)
        for number in range(first, bisect_right(table.blocks, high, key=table.first_key)):
            block = self._block(run, table, number)
            rows = range(0, len(block), _ROW.size)
            for place in range(bisect_left(rows, low, key=lambda at: block[at : at + _KEY_BYTES]), len(rows)):
                key, record = _ROW.unpack_from(block, rows[place])
                if key > high:
                    break
                found.append(record)
        return sorted(found) if low == high else found

    def _block(self, run: Run, table: _Table, number: int) -> bytes:
        offset = table.offset + number * _BLOCK_BYTES
        found = self._blocks.get((run.path, offset))
        if found is None:
            size = min(_BLOCK_BYTES, table.size - number * _BLOCK_BYTES)
            found = self._reader(run.path).read(offset, size)
            if found is None or sha256(found).digest()[:_CHECK_BYTES] != table.check(number):
                raise RunDamagedError
            self._blocks.put((run.path, offset), found)
        return found

    def _reader(self, path: str) -> files.RangeReader:
        reader = self._readers.get(path)
        if reader is None:
            if len(self._readers) >= _OPEN_READERS:
                self._readers.pop(next(iter(self._readers))).close()
            reader = self._readers[path] = files.RangeReader(path)
        return reader

    def _record(self, number: int, kinds: frozenset[bytes]) -> Record:
        """Returns a record that a row names, hashed."""
        data = self._arrivals.read(number - 1, 2) if number else self._arrivals.read(0, 1)
        chain = data[arrivals.RECORD_BYTES - 16 : arrivals.RECORD_BYTES] if number else self._arrivals.start
        found = next(arrivals.decode_records(data[-arrivals.RECORD_BYTES :], chain), None)
        if found is None or found[0].kind not in kinds:
            raise RunDamagedError
        return found[0]


def _name(first: int, count: int) -> str:
    return f"{first}-{first + count}"


def _encode(first: int, data: bytes, chain: bytes, count: int) -> bytes:
    """Returns the bytes of a run of `count` records, given theirs, which follow one with digest `chain`. Errors: RunDamagedError."""
    before = chain
    commits: list[bytes] = []
    events: list[bytes] = []
    again: set[bytes] = set()
    if len(data) != count * arrivals.RECORD_BYTES:
        raise RunDamagedError
    for number, (body, found) in enumerate(_BODY_AND_CHAIN.iter_unpack(data), first):
        chain = sha256(chain + body).digest()[:16]
        if chain != found:
            raise RunDamagedError
        kind, event, commit = _KIND_AND_KEYS.unpack_from(body)
        if kind in _COMMIT_KINDS:
            commits.append(_ROW.pack(commit, number))
            if kind == arrivals.BRINGS_AGAIN:
                again.add(commit)
        if kind in arrivals.EVENT_KINDS:
            events.append(_ROW.pack(event, number))
    return _assemble(first, count, (before, chain), commits, events, frozenset(again))


def _assemble(
    first: int,
    count: int,
    chains: tuple[bytes, bytes],
    commits: list[bytes],
    events: list[bytes],
    again: frozenset[bytes],
) -> bytes:
    parts = [_HEAD.pack(_MAGIC, first, count, *chains, len(commits), len(events), len(again)), *sorted(again)]
    bodies = []
    for rows in (commits, events):
        rows.sort()
        body = b"".join(rows)
        blocks = [body[start : start + _BLOCK_BYTES] for start in range(0, len(body), _BLOCK_BYTES)]
        parts += [block[:_KEY_BYTES] + sha256(block).digest()[:_CHECK_BYTES] for block in blocks]
        bodies.append(body)
    head = b"".join(parts)
    return b"".join((head, sha256(head).digest(), *bodies))


def _read_head(path: str) -> Run | None:
    """Returns the run at `path`, or None if its head is not whole."""
    try:
        fixed = files.read_at(path, 0, _HEAD.size) or b""
        if len(fixed) != _HEAD.size or not fixed.startswith(_MAGIC):
            return None
        _, first, count, before, after, commits, events, again = _HEAD.unpack(fixed)
        blocks = [-(-rows * _ROW.size // _BLOCK_BYTES) for rows in (commits, events)]
        size = _HEAD.size + again * _KEY_BYTES + sum(blocks) * _FENCE_BYTES
        data = files.read_at(path, 0, size + 32) if size <= _LARGEST_HEAD_BYTES else b""
    except OSError:
        return None
    if not data or len(data) != size + 32 or sha256(data[:size]).digest() != data[size:]:
        return None
    start = _HEAD.size + again * _KEY_BYTES
    keys = frozenset(data[at : at + _KEY_BYTES] for at in range(_HEAD.size, start, _KEY_BYTES))
    tables = []
    offset = size + 32
    for rows, number in zip((commits, events), blocks, strict=True):
        stop = start + number * _FENCE_BYTES
        tables.append(_Table(offset, rows * _ROW.size, data[start:stop]))
        start, offset = stop, offset + rows * _ROW.size
    return Run(path, first, first + count, before, after, keys, tables[0], tables[1])
