"""Compiled states on disk, one file per head, so that a fresh process replays only what came after.

A file is its SHA-256, a newline and JSON. It names the prefix of arrivals that it was made with; a file about which anything is off is ignored
and goes when newer ones are written. Nothing here is truth. Format: free to change; FORMAT.md, section 10.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.json import Decoder

from tract_fs.errors import JsonValueError
from tract_fs.model import canonical
from tract_fs.model.names import CommitHash, hash_bytes, is_hash
from tract_fs.model.slots import Slot
from tract_fs.store import files

_KEPT_FILES = 4
_LIMIT_BYTES = 1 << 31


class StoredState(Struct, frozen=True, array_like=True):
    """A compiled state: what it was made with, and its slots."""

    version: int
    head: CommitHash
    counter: str
    count: int  # the records of arrivals at that time
    chain: str
    again_count: int
    summaries: tuple[int, ...]  # the positions of the slots that are summaries
    slots: list[Slot]


_DECODER = Decoder(StoredState)
_VERSION = 2


class SnapshotCache:
    """The stored states of one tract."""

    def __init__(self, directory: str, *, read_only: bool) -> None:
        self._directory = directory
        self._read_only = read_only
        self._names: set[str] | None = None

    def has(self, head: str) -> bool:
        """Tells whether there is a file for `head`. Cost: one listing, the first time."""
        if self._names is None:
            try:
                self._names = {name for name in files.list_names(self._directory) if is_hash(name)}
            except PermissionError:  # another user's: as if there were none
                self._names = set()
        return head in self._names

    def get(self, head: str) -> StoredState | None:
        """Returns the state stored for `head`, or None if there is none or it is not whole."""
        if not self.has(head):
            return None
        try:
            data = files.read(self._path(head), limit_bytes=_LIMIT_BYTES)
        except OSError:
            data = None
        if data is not None and data[64:65] == b"\n" and hash_bytes(memoryview(data)[65:]).encode() == data[:64]:
            try:
                state = canonical.decode_typed(_DECODER, memoryview(data)[65:])
            except JsonValueError:
                state = None
            if state is not None and state.head == head and state.version == _VERSION:
                return state
        self.forget(head)
        return None

    def put(
        self,
        head: CommitHash,
        slots: list[Slot],
        *,
        summaries: tuple[int, ...],
        counter: str,
        stamp: tuple[int, str],
        again_count: int,
    ) -> None:
        """Stores a state, and removes the oldest beyond four; a cache that can't be written is left alone."""
        if self._read_only or self.has(head):
            return
        body = canonical.encode_struct(StoredState(_VERSION, head, counter, *stamp, again_count, summaries, slots))
        try:
            files.write_new(self._path(head), hash_bytes(body).encode() + b"\n" + body, mode=0o644)
            self._names = {name for name in files.list_names(self._directory) if is_hash(name)}
            if len(self._names) > _KEPT_FILES:
                by_age = sorted(self._names, key=lambda name: (files.signature(self._path(name)) or (0, 0, 0))[2])
                for name in by_age[:-_KEPT_FILES]:
                    files.remove(self._path(name))
                    self._names.discard(name)
        except OSError:
            self._names = None

    def forget(self, head: str) -> None:
        """Does not look at the file for `head` again."""
        if self._names is not None:
            self._names.discard(head)

    def _path(self, head: str) -> str:
        return f"{self._directory}/{head}"
