"""Compiled states on disk, one file per head, so that a fresh process replays only what came after.

A file is its sealed checksum, a newline and MessagePack, which has no text to escape. It names the prefix of arrivals
that it was made with. A file that is damaged or does not fit is ignored, and is removed when newer ones are written.
Nothing here is truth. Format: free to change; FORMAT.md, section 10.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

from msgspec import Struct
from msgspec.msgpack import Decoder, Encoder

from tract_fs.errors import JsonValueError
from tract_fs.model import canonical
from tract_fs.model.names import CommitHash, is_hash
from tract_fs.model.slots import Slot
from tract_fs.store import files
from tract_fs.store.arrivals import MOST_RECORDS
from tract_fs.store.layout import Layout

_KEPT_FILES = 8
_KEPT_BYTES = 128 * 1024 * 1024
_LIMIT_BYTES = 64 * 1024 * 1024


class StoredState(Struct, frozen=True, array_like=True):
    """A compiled state: what it was made with, and its slots."""

    version: int
    head: CommitHash
    counter: str
    count: int  # the records of arrivals at that time
    chain: str
    again_count: int
    summaries: tuple[int, ...]  # the positions of the slots that are summaries
    is_condensed: bool  # what its answers do not need was dropped
    slots: list[Slot]


_DECODER = Decoder(StoredState)
_ENCODER = Encoder()
_VERSION = 7  # with the tool calls of Gemini and of OpenAI's responses
_BODY_AT = 65  # after the checksum and a newline


class SnapshotCache:
    """The stored states of one tract."""

    def __init__(self, layout: Layout, tract: str, *, read_only: bool, is_distrusted: bool = False) -> None:
        """With `is_distrusted` no existing file is read; a writer removes them."""
        self._layout = layout  # its place may change
        self._tract = tract
        self._read_only = read_only
        self._names: set[str] | None = set() if is_distrusted else None
        if is_distrusted and not read_only:
            with suppress(OSError):
                for name in files.list_names(self._directory):
                    files.remove(self._path(name))

    @property
    def _directory(self) -> str:
        return self._layout.tract_local(self._tract, "snapshots")

    def has(self, head: str) -> bool:
        """Returns whether there is a file for `head`. Cost: one listing, the first time."""
        if self._names is None:
            try:
                self._names = {name for name in files.list_names(self._directory) if is_hash(name)}
            except PermissionError:  # of another user: counts as empty
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
        if data is not None and data[64:65] == b"\n" and self._layout.sealed(memoryview(data)[_BODY_AT:]) == data[:64]:
            try:
                state = canonical.decode_typed(_DECODER, memoryview(data)[_BODY_AT:])
            except JsonValueError:
                state = None
            if state is not None and state.head == head and state.version == _VERSION and _is_sound(state):
                self._touch(head)
                return state
        self.forget(head)
        return None

    def put(
        self,
        head: CommitHash,
        slots: list[Slot],
        *,
        summaries: tuple[int, ...],
        is_condensed: bool,
        counter: str,
        stamp: tuple[int, str],
        again_count: int,
    ) -> None:
        """Stores a state of at most 64 MiB; keeps the eight last used states, or fewer, of at most 128 MiB.

        Does nothing where the cache can't be written.
        """
        if self._read_only or self.has(head) or _least_size(slots) > _LIMIT_BYTES:
            return
        if not files.may_exist(self._layout.format):  # the store is gone: nothing is written in its place
            return
        stored = StoredState(_VERSION, head, counter, *stamp, again_count, summaries, is_condensed, slots)
        data = bytearray(_BODY_AT)
        _ENCODER.encode_into(stored, data, _BODY_AT)
        if len(data) >= _LIMIT_BYTES:
            return
        data[:_BODY_AT] = self._layout.sealed(memoryview(data)[_BODY_AT:]) + b"\n"
        try:
            files.replace(self._path(head), data, mode=0o666)
            self._trim()
        except OSError:
            self._names = None

    def _trim(self) -> None:
        self._names = {name for name in files.list_names(self._directory) if is_hash(name)}
        found = {name: files.signature(self._path(name)) or (0, 0, 0) for name in self._names}
        total_bytes = 0
        for place, name in enumerate(sorted(found, key=lambda name: found[name][2], reverse=True)):
            total_bytes += found[name][1]
            if place >= _KEPT_FILES or total_bytes > _KEPT_BYTES:
                files.remove(self._path(name))
                self._names.discard(name)

    def _touch(self, head: str) -> None:
        """Notes that a file was used."""
        if not self._read_only:
            with suppress(OSError):
                files.touch(self._path(head))

    def forget(self, head: str) -> None:
        """Makes this handle ignore the file for `head`."""
        if self._names is not None:
            self._names.discard(head)

    def _path(self, head: str) -> str:
        return f"{self._directory}/{head}"


def _is_sound(state: StoredState) -> bool:
    """Returns whether a state fits its stamp: without a record there is no event, and so no history to cover."""
    places = state.summaries
    in_order = all(low < high for low, high in pairwise(places))
    return (
        0 < state.count < MOST_RECORDS
        and in_order
        and (not places or (places[0] >= 0 and places[-1] < len(state.slots)))
    )


def _least_size(slots: list[Slot]) -> int:
    """Returns a lower bound of the size in bytes of the file of these slots."""
    return sum(len(slot.rendering.text or "") + len(slot.rendering.body or "") for slot in slots)
