"""Arrivals: which events this copy knows, in the order it met them, and which event brought which commit.

An append-only file of fixed-length records, each chained to the one before by a digest, so that a cache can name the
prefix it covers by (count, chain) and a torn, cut or foreign file is noticed. A writer adds its records under the lock,
before the event's rename; so a handle needs one stat to see whether another writer of this copy wrote. It is a cache:
without it, events are listed and read again. Format: FORMAT.md, section 10.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import NamedTuple

from tract_fs.model.names import LAST_US
from tract_fs.store import files

PLAIN_APPEND = b"A"  # an event of a writer of this copy that saw all events: one append; `commit` is its head
OWN = b"O"  # any other event of a writer of this copy
PLAIN_APPEND_FAST = b"a"  # as `A`, of a writer that does not wait for the disk
OWN_FAST = b"o"  # as `O`, of such a writer
SEEN = b"S"  # an event that came from elsewhere
SEEN_BRINGS = b"s"  # the same with the last commit that it brings, which no earlier record brings
GONE = b"G"  # an event that this copy knew and that is not visible now, with its branch and last commit if known
GONE_OWN = b"g"  # the same of a writer of this copy
BRINGS = b"C"  # an event brings a commit
BRINGS_AGAIN = b"D"  # an event brings a commit that an earlier record brings too
USAGE = b"U"  # an event records the usage of a commit

PLAIN_KINDS = frozenset([PLAIN_APPEND, PLAIN_APPEND_FAST])
OWN_KINDS = frozenset([PLAIN_APPEND, PLAIN_APPEND_FAST, OWN, OWN_FAST])
EVENT_KINDS = OWN_KINDS | {SEEN, SEEN_BRINGS}  # each stands for one visible event
BRING_KINDS = PLAIN_KINDS | {BRINGS, BRINGS_AGAIN, SEEN_BRINGS}
FIRST_KINDS = BRING_KINDS - {BRINGS_AGAIN}  # each stands for one commit that visible events bring
GONE_KINDS = frozenset([GONE, GONE_OWN])
KINDS = EVENT_KINDS | BRING_KINDS | GONE_KINDS | {USAGE}
DURABLE_KINDS = frozenset([PLAIN_APPEND, OWN])  # covered by the redo log

_BODY = struct.Struct(">c7s32s32sQ")
_RECORD = struct.Struct(">c7s32s32sQ16s")
RECORD_BYTES = _RECORD.size
_BODY_BYTES = _BODY.size
NO_HASH = b"\0" * 32
NO_BRANCH = b"\0" * 7
MOST_RECORDS = 1 << 48  # no file holds more
_READ_RECORDS = 4096


class Record(NamedTuple):
    """One record: kind, digest of the branch's name, event, commit, time in microseconds."""

    kind: bytes
    branch: bytes
    event: bytes
    commit: bytes
    time_us: int


def branch_digest(branch: str) -> bytes:
    """Returns the 7 bytes that represent a branch's name in a record."""
    return sha256(branch.encode()).digest()[:7]


def encode_records(records: Iterable[Record], chain: bytes) -> tuple[bytes, bytes]:
    """Returns the bytes of records that follow one with digest `chain`, and the digest after them."""
    parts = []
    pack = _BODY.pack
    for kind, branch, event, commit, time_us in records:
        body = pack(kind, branch, event, commit, time_us)
        chain = sha256(chain + body).digest()[:16]
        parts.append(body + chain)
    return b"".join(parts), chain


def decode_records(data: bytes, chain: bytes) -> Iterator[tuple[Record, bytes]]:
    """Yields records with the digest after each, up to the first whose digest is wrong."""
    for offset in range(0, len(data) - RECORD_BYTES + 1, RECORD_BYTES):
        body = data[offset : offset + _BODY_BYTES]
        chain = sha256(chain + body).digest()[:16]
        kind, branch, event, commit, time_us, found = _RECORD.unpack_from(data, offset)
        if found != chain or time_us > LAST_US or kind not in KINDS:
            return
        yield Record(kind, branch, event, commit, time_us), chain


class Arrivals:
    """The arrivals of one tract in one copy. Callers that write hold the lock."""

    def __init__(self, path: str, start: bytes) -> None:
        self.path = path
        self.start = start  # the chain before the first record; that of another place differs
        self._file = files.AppendFile(path)
        self._seen = (0, 0)  # inode and size in bytes at the last look
        self._changed_ns = 0  # its ctime then
        self._verified_ns = -1  # the ctime at which its end was last compared

    def signature(self) -> tuple[int, int]:
        """Returns (inode, count of whole records); (0, 0) if there is no file. Cost: one stat."""
        try:
            found = files.signature(self.path)
        except OSError as error:  # of another user, or in a directory with a bad sector: counts as missing
            if error.errno not in files.UNREADABLE:
                raise
            found = None
        if found is None:
            self._seen = (0, 0)
            return 0, 0
        self._seen, self._changed_ns = (found[0], found[1]), found[2]
        return found[0], found[1] // RECORD_BYTES

    def read(self, start: int, count: int) -> bytes:
        """Returns the bytes of `count` records from record `start` on, fewer at the end of the file."""
        try:
            return files.read_at(self.path, start * RECORD_BYTES, count * RECORD_BYTES) or b""
        except OSError as error:
            if error.errno not in files.UNREADABLE:
                raise
            return b""

    def chain_at(self, count: int) -> bytes | None:
        """Returns the digest after the first `count` records as it is in the file, or None if the file is shorter."""
        if count == 0:
            return self.start
        data = self.read(count - 1, 1)
        return data[_BODY_BYTES:] if len(data) == RECORD_BYTES else None

    def is_same(self, count: int, chain: bytes) -> bool:
        """Returns whether the file that `signature` last saw is the one whose first `count` records end with a digest.

        Another file may have the inode number of one that was removed, unless that one is open here.
        """
        if self._file.is_inode(self._seen[0]) or self._changed_ns == self._verified_ns:
            return True
        if self.chain_at(count) != chain:
            return False
        self._verified_ns = self._changed_ns
        return True

    def append(self, data: bytes, count: int) -> None:
        """Appends encoded records after the first `count`; cuts off what lies beyond `count` first.

        The caller must have called `signature` since it took the lock.
        """
        inode, size = self._seen
        if not self._file.is_inode(inode):
            size = self._file.current_size()
        if size != count * RECORD_BYTES:
            self._file.truncate(count * RECORD_BYTES)
        self._file.append(data, count * RECORD_BYTES)
        self._seen = inode, count * RECORD_BYTES + len(data)

    def replace(self, file: files.NewFile) -> None:
        """Puts a new file in the place of the old arrivals. Errors: ArrivalsUnwritableError."""
        try:
            file.finish(self.path, is_synced=False)
        except OSError as error:
            raise ArrivalsUnwritableError from error
        self._file.close()

    def cut(self, count: int) -> None:
        """Cuts the file back to `count` records."""
        self._file.current_size()
        self._file.truncate(count * RECORD_BYTES)
        self._seen = self._seen[0], count * RECORD_BYTES

    def close(self) -> None:
        """Closes the descriptor."""
        self._file.close()


class NewArrivals:
    """Arrivals written from the first record on, into a new file that the caller opened and closes."""

    def __init__(self, file: files.NewFile, start: bytes) -> None:
        self._file = file
        self._waiting: list[Record] = []
        self.count = 0
        self.chain = start  # after the records that `flush` wrote

    def add(self, records: list[Record]) -> None:
        """Appends records. Errors: ArrivalsUnwritableError."""
        self._waiting += records
        self.count += len(records)
        if len(self._waiting) >= _READ_RECORDS:
            self.flush()

    def flush(self) -> None:
        """Writes the records that wait in memory. Errors: ArrivalsUnwritableError."""
        data, self.chain = encode_records(self._waiting, self.chain)
        self._waiting.clear()
        try:
            self._file.write(data)
        except OSError as error:
            raise ArrivalsUnwritableError from error


class ArrivalsUnwritableError(Exception):
    """Arrivals can't be written; the handle works without."""


class ArrivalsDamagedError(Exception):
    """The file was altered under this handle; the view must be rebuilt."""


def iter_records(source: Arrivals, start: int, end: int, chain: bytes) -> Iterator[Record]:
    """Yields the records from `start` to `end`, some thousands at a time; `chain` is the digest after the last.

    Errors: ArrivalsDamagedError, at the end at the latest.
    """
    current = chain_before(source, start)
    for first in range(start, end, _READ_RECORDS):
        stop = min(end, first + _READ_RECORDS)
        count = first
        for record, after in decode_records(source.read(first, stop - first), current):
            current = after
            count += 1
            yield record
        if count != stop:
            raise ArrivalsDamagedError
    if current != chain:
        raise ArrivalsDamagedError


def iter_sound(source: Arrivals) -> Iterator[Record]:
    """Yields the records of the file up to the first whose digest is wrong."""
    return (record for record, _ in iter_new(source, 0, MOST_RECORDS, source.start))


def iter_new(source: Arrivals, start: int, end: int, chain: bytes) -> Iterator[tuple[Record, bytes]]:
    """Yields the records from `start` to `end`, each with the digest after it, up to the first whose digest is wrong.

    `chain` is the digest before them. Reads some thousands at a time: what follows a wrong one may be of any size.
    """
    number = start
    while number < end:
        first, wanted = number, min(_READ_RECORDS, end - number)
        for record, after in decode_records(source.read(number, wanted), chain):
            chain = after
            number += 1
            yield record, after
        if number != first + wanted:
            return


def chain_before(source: Arrivals, start: int) -> bytes:
    """Returns the digest before a record, as it is in the file; empty if the file is shorter."""
    return source.chain_at(start) or b""
