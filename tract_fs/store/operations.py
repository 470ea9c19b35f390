"""Operations: the edits and annotations of one tract by the commit that they are about, so that none of them needs a walk.

It follows the records of arrivals when it is used, and reads each commit once in this copy; then it is saved in a file of its own. A commit is about
another by its own bytes, so nothing here can be out of date: what lies behind the stamp is missing, and is read at the next use. The file is its
sealed checksum, a newline, the stamp, and pairs of hashes in ascending order. It may be missing at any time. FORMAT.md, section 10.
"""

from __future__ import annotations

import struct
from contextlib import suppress

from tract_fs.model.names import CommitHash
from tract_fs.model.objects import ABOUT_ONE, Commit
from tract_fs.store import files
from tract_fs.store.arrivals import FIRST_KINDS
from tract_fs.store.layout import Layout
from tract_fs.store.objects import Objects
from tract_fs.store.tract_log import TractLog

_STAMP = struct.Struct(">Q16s")
_BODY_AT = 65  # after the checksum and a newline
_PAIRS_AT = _BODY_AT + _STAMP.size
_HASH_BYTES = 32
_PAIR_BYTES = 2 * _HASH_BYTES  # a target, and a commit that is about it
_RECORDS_AT_ONCE = 4096
_LEAST_UNSAVED = 64  # records; fewer are read again by the next handle
_LIMIT_BYTES = 1 << 30


class Operations:
    """The edits and annotations of one tract.

    States: unread; loaded. Then `_saved` (sorted pairs) and `_newer` cover the records before `_stamp`.
    """

    def __init__(
        self, layout: Layout, log: TractLog, objects: Objects, *, read_only: bool, is_distrusted: bool
    ) -> None:
        """With `is_distrusted` no existing file is read."""
        self._layout = layout  # its place may change
        self._log = log
        self._objects = objects
        self._read_only = read_only
        self._is_loaded = is_distrusted
        self._stamp = log.first_stamp()
        self._saved = memoryview(b"")
        self._newer: dict[bytes, list[bytes]] = {}  # by target
        self._unsaved_count = 0  # of records

    def about(self, name: CommitHash) -> list[CommitHash] | None:
        """Returns the edits and annotations of a commit that events of this tract brought, in no order; None if it is unknown: a
        commit can't be read, arrivals lack visible events, or this handle can't save what it would have to read.

        Cost: a search, and a read of each commit that is new since the last use.
        """
        if not self._follow():
            return None
        target = bytes.fromhex(name)
        found = [*self._find_saved(target), *self._newer.get(target, ())]
        return [CommitHash(digest.hex()) for digest in dict.fromkeys(found)]

    def unread_count(self) -> int:
        """Returns how many records `about` would read first."""
        if not self._is_loaded:
            self._load()
        count, stamp = self._log.stamp()[0], self._stamp
        return count - stamp[0] if self._log.covers(*stamp) else max(count, 0)

    def save(self) -> None:
        """Reads what is new, and writes the file if that is much. Does nothing where it can't be written."""
        if self._read_only:
            return
        self._follow()
        if self._unsaved_count < _LEAST_UNSAVED or not files.may_exist(self._layout.format):
            return
        saved = self._saved
        pairs = {bytes(saved[at : at + _PAIR_BYTES]) for at in range(0, len(saved), _PAIR_BYTES)}
        pairs.update(target + commit for target, commits in self._newer.items() for commit in commits)
        count, chain = self._stamp
        body = _STAMP.pack(count, bytes.fromhex(chain)) + b"".join(sorted(pairs))
        with suppress(OSError):
            files.replace(self._path(), self._layout.sealed(body) + b"\n" + body, mode=0o666)
            self._unsaved_count = 0

    def _path(self) -> str:
        return self._layout.tract_local(self._log.tract, "operations")

    def _follow(self) -> bool:
        """Adds what the records after the stamp bring; returns whether all visible events are covered."""
        if not self._is_loaded:
            self._load()
        log = self._log
        if log.stamp() == self._stamp:
            return True
        count = log.stamp()[0]
        if count < 0:
            return False
        if not log.covers(*self._stamp):  # arrivals were rebuilt
            self._reset()
        if self._read_only and count - self._stamp[0] > _RECORDS_AT_ONCE:
            return False
        while True:
            found = log.records_since(*self._stamp, limit=_RECORDS_AT_ONCE)
            if found is None:
                return False
            records, stamp = found
            if not records:
                return True
            if not self._add([record.commit for record in records if record.kind in FIRST_KINDS]):
                return False
            self._unsaved_count += len(records)
            self._stamp = stamp

    def _add(self, names: list[bytes]) -> bool:
        """Adds commits; returns False, and adds none, if one of them can't be read."""
        found: list[tuple[bytes, Commit]] = []
        for name in names:
            commit = self._objects.commit(CommitHash(name.hex()))
            if commit is None:
                return False
            if commit.operation in ABOUT_ONE:
                found.append((name, commit))
        for name, commit in found:
            self._newer.setdefault(bytes.fromhex(commit.targets[0]), []).append(name)
        return True

    def _find_saved(self, target: bytes) -> list[bytes]:
        saved = self._saved
        low, high = 0, len(saved) // _PAIR_BYTES
        while low < high:
            middle = (low + high) // 2
            if bytes(saved[middle * _PAIR_BYTES : middle * _PAIR_BYTES + _HASH_BYTES]) < target:
                low = middle + 1
            else:
                high = middle
        found = []
        for at in range(low * _PAIR_BYTES, len(saved), _PAIR_BYTES):
            if saved[at : at + _HASH_BYTES] != target:
                break
            found.append(bytes(saved[at + _HASH_BYTES : at + _PAIR_BYTES]))
        return found

    def _load(self) -> None:
        self._is_loaded = True
        data = None
        with suppress(OSError):
            data = files.read(self._path(), limit_bytes=_LIMIT_BYTES)
        if data is None or len(data) < _PAIRS_AT or (len(data) - _PAIRS_AT) % _PAIR_BYTES or data[64:65] != b"\n":
            return
        body = memoryview(data)[_BODY_AT:]
        if self._layout.sealed(body) != data[:64]:
            return
        count, chain = _STAMP.unpack_from(body)
        self._saved = body[_STAMP.size :]  # before the stamp: an error in between leaves none missing
        self._stamp = count, chain.hex()

    def _reset(self) -> None:
        self._stamp = self._log.first_stamp()
        self._saved = memoryview(b"")
        self._newer.clear()
        self._unsaved_count = 0
