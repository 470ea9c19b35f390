"""Arrivals: which events this copy knows, in the order it met them, and which event brought which commit.

An append-only file of fixed-length records, each chained to the one before by a digest, so that a cache can name the prefix
it covers by (count, chain) and a torn, cut or foreign file is noticed. A writer adds its records under the lock, before the event's
rename; so one stat tells a handle whether another writer of this copy was here. It is a cache: without it all is found again by listing.
Format: FORMAT.md, section 10.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import NamedTuple

from tract_fs.store import files

PLAIN_APPEND = b"A"  # an event of a writer of this copy: one append by one who saw all events; `commit` is its head
OWN = b"O"  # any other event of a writer of this copy
PLAIN_APPEND_FAST = b"a"  # as `A`, by a writer that does not wait for the disk
OWN_FAST = b"o"  # as `O`, by such a writer
SEEN = b"S"  # an event that came from elsewhere
GONE = b"G"  # an event that this copy knew and that is no longer there
BRINGS = b"C"  # an event brings a commit
BRINGS_AGAIN = b"D"  # an event brings a commit that an earlier record brings too
USAGE = b"U"  # an event tells the usage of a commit

PLAIN_KINDS = frozenset([PLAIN_APPEND, PLAIN_APPEND_FAST])
OWN_KINDS = frozenset([PLAIN_APPEND, PLAIN_APPEND_FAST, OWN, OWN_FAST])
EVENT_KINDS = OWN_KINDS | {SEEN}  # each stands for one visible event
BRING_KINDS = PLAIN_KINDS | {BRINGS, BRINGS_AGAIN}
DURABLE_KINDS = frozenset([PLAIN_APPEND, OWN])  # covered by the redo log

_RECORD = struct.Struct(">c7s32s32sQ16s")
RECORD_BYTES = _RECORD.size
_BODY_BYTES = RECORD_BYTES - 16
START = b"\0" * 16
NO_HASH = b"\0" * 32
_TAIL_RECORDS = 4096


class Record(NamedTuple):
    """One record: kind, digest of the branch's name, event, commit, time in microseconds."""

    kind: bytes
    branch: bytes
    event: bytes
    commit: bytes
    time_us: int


def branch_digest(branch: str) -> bytes:
    """Returns the 7 bytes that stand for a branch's name in a record."""
    return sha256(branch.encode()).digest()[:7]


def encode_records(records: Iterable[Record], chain: bytes) -> tuple[bytes, bytes]:
    """Returns the bytes of records that follow one with digest `chain`, and the digest after them."""
    parts = []
    for record in records:
        body = _RECORD.pack(*record, b"")[:_BODY_BYTES]
        chain = sha256(chain + body).digest()[:16]
        parts.append(body + chain)
    return b"".join(parts), chain


def decode_records(data: bytes, chain: bytes) -> Iterator[tuple[Record, bytes]]:
    """Yields records with the digest after each, up to the first that does not follow."""
    for offset in range(0, len(data) - RECORD_BYTES + 1, RECORD_BYTES):
        body = data[offset : offset + _BODY_BYTES]
        chain = sha256(chain + body).digest()[:16]
        kind, branch, event, commit, time_us, found = _RECORD.unpack_from(data, offset)
        if found != chain:
            return
        yield Record(kind, branch, event, commit, time_us), chain


class Arrivals:
    """The arrivals of one tract in one copy. Writing is for who holds the lock."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = files.AppendFile(path)
        self._seen = (0, 0)  # inode and size in bytes at the last look

    def signature(self) -> tuple[int, int]:
        """Returns (inode, count of whole records); (0, 0) if there is no file. Cost: one stat."""
        try:
            found = files.signature(self.path)
        except PermissionError:  # another user's: as if there were none
            found = None
        if found is None:
            self._seen = (0, 0)
            return 0, 0
        self._seen = found[0], found[1]
        return found[0], found[1] // RECORD_BYTES

    def read(self, start: int, count: int) -> bytes:
        """Returns the bytes of `count` records from record `start` on, fewer at the end of the file."""
        try:
            return files.read_range(self.path, start * RECORD_BYTES, count * RECORD_BYTES) or b""
        except PermissionError:
            return b""

    def chain_at(self, count: int) -> bytes | None:
        """Returns the digest after the first `count` records as the file says it, or None if it is shorter."""
        if count == 0:
            return START
        data = self.read(count - 1, 1)
        return data[_BODY_BYTES:] if len(data) == RECORD_BYTES else None

    def append(self, data: bytes, count: int) -> None:
        """Appends encoded records after the first `count`, where `signature` was asked since the lock was taken.

        What lies beyond `count` is cut off first.
        """
        inode, size = self._seen
        if not self._file.is_inode(inode):
            size = self._file.current_size()
        if size != count * RECORD_BYTES:
            self._file.truncate(count * RECORD_BYTES)
        self._file.append(data, count * RECORD_BYTES)
        self._seen = inode, count * RECORD_BYTES + len(data)

    def cut(self, count: int) -> None:
        """Cuts the file back to `count` records."""
        self._file.current_size()
        self._file.truncate(count * RECORD_BYTES)
        self._seen = self._seen[0], count * RECORD_BYTES

    def replace(self, data: bytes) -> None:
        """Writes the whole file anew from encoded records."""
        files.write_new(self.path, data, mode=0o644)
        self._file.close()

    def close(self) -> None:
        """Closes the descriptor."""
        self._file.close()


class ArrivalsDamagedError(Exception):
    """The file was altered under this handle; all is to be found again."""


class CommitEvents:
    """Which events brought a commit or told its usage: the records read so far, by commit, from the newest back."""

    def __init__(self) -> None:
        self._brought: dict[bytes, list[bytes]] = {}
        self._again: set[bytes] = set()
        self._usage: dict[bytes, list[bytes]] = {}
        self._from = 0  # records before this one are not read yet
        self._chain = START  # the digest after the last of them
        self._data: Arrivals | bytes = b""

    def reset(self, data: Arrivals | bytes, count: int, chain: bytes) -> None:
        """Starts over with `count` records in the file, or in the bytes given, that end with digest `chain`; none is read yet."""
        self._brought.clear()
        self._again.clear()
        self._usage.clear()
        self._from = count
        self._chain = chain
        self._data = data

    def add(self, record: Record) -> None:
        """Takes in a record that is newer than all before."""
        if record.kind in BRING_KINDS:
            self._brought.setdefault(record.commit, []).append(record.event)
            if record.kind == BRINGS_AGAIN:
                self._again.add(record.commit)
        elif record.kind == USAGE:
            self._usage.setdefault(record.commit, []).append(record.event)

    def events_of(self, commit: bytes) -> list[bytes]:
        """Returns the events that bring a commit; empty if none does."""
        if commit not in self._brought and self._from:
            self._read_back(_TAIL_RECORDS)
        if (commit not in self._brought or commit in self._again) and self._from:
            self._read_back(self._from)
        return self._brought.get(commit, [])

    def usage_events_of(self, commit: bytes) -> list[bytes]:
        """Returns the events that tell the usage of a commit. Cost: reads back to the record that brings it."""
        self.events_of(commit)
        return self._usage.get(commit, [])

    def all_commits(self) -> Iterable[bytes]:
        """Returns all commits that visible events bring."""
        self._read_back(self._from)
        return self._brought.keys()

    def _read_back(self, count: int) -> None:
        count = min(count, self._from)
        start = self._from - count
        if isinstance(self._data, Arrivals):
            data = self._data.read(start, count)
            chain = self._data.chain_at(start) or b""
        else:
            data = self._data[start * RECORD_BYTES : self._from * RECORD_BYTES]
            chain = self._data[(start - 1) * RECORD_BYTES : start * RECORD_BYTES][_BODY_BYTES:] if start else START
        records = list(decode_records(data, chain))
        if count and (len(records) != count or records[-1][1] != self._chain):
            raise ArrivalsDamagedError
        older: dict[bytes, list[bytes]] = {}
        older_usage: dict[bytes, list[bytes]] = {}
        for (kind, _, event, commit, _), _ in records:
            if kind in BRING_KINDS:
                older.setdefault(commit, []).append(event)
                if kind == BRINGS_AGAIN:
                    self._again.add(commit)
            elif kind == USAGE:
                older_usage.setdefault(commit, []).append(event)
        for found, kept in ((older, self._brought), (older_usage, self._usage)):
            for commit, events in found.items():
                kept[commit] = events + kept.get(commit, [])
        self._from = start
        self._chain = chain
