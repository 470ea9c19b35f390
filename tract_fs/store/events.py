"""Events on disk: the events of all tracts, decoded.

An event is kept in memory only as long as its file looks untouched, so an altered config is noticed at the next call.
"""

from __future__ import annotations

from msgspec import Struct

from tract_fs.errors import DamageError, InvalidObject, JsonValueError
from tract_fs.model.events import BroughtCommit, Event, decode_event
from tract_fs.model.names import CommitHash, EventHash
from tract_fs.store import files
from tract_fs.store.address import Address
from tract_fs.store.bounded_cache import BoundedCache
from tract_fs.store.bytes import StoredBytes

_CACHED_BYTES = 32 * 1024 * 1024


class _Loaded(Struct):
    """An event as it was read: the signature of its file (None: in a pack), and its entry for each commit that it brings,
    once one of them was wanted.
    """

    signature: files.Signature | None
    event: Event
    found: dict[CommitHash, BroughtCommit] | None = None

    @property
    def entries(self) -> dict[CommitHash, BroughtCommit]:
        if self.found is None:
            self.found = _by_commit(self.event)
        return self.found


class Events:
    """Reads the events of one store."""

    def __init__(self, stored: StoredBytes) -> None:
        self._stored = stored
        self._cache: BoundedCache[str, _Loaded] = BoundedCache(_CACHED_BYTES)
        self._untouched: set[str] = set()  # their files were checked in this call

    def begin_call(self) -> None:
        """Begins a call, in which the file of each event is checked once."""
        self._untouched.clear()

    def require(self, tract: str, name: str) -> Event:
        """Returns an event. Errors: ObjectMissing, HashMismatch, FileUnreadable, InvalidObject."""
        return self._load(tract, name).event

    def get(self, tract: str, name: str) -> Event | None:
        """Returns an event, or None if it is absent, damaged, or not understood."""
        try:
            return self.require(tract, name)
        except DamageError:
            return None

    def forget(self) -> None:
        """Clears what is kept in memory."""
        self._cache.clear()
        self._untouched.clear()

    def entry(self, tract: str, name: str, commit: str) -> BroughtCommit | None:
        """Returns an event's entry for a commit that it brings, or None. Errors: as `require`."""
        return self._load(tract, name).entries.get(CommitHash(commit))

    def entries(self, tract: str, name: str) -> dict[CommitHash, BroughtCommit]:
        """Returns a visible event's entry for each commit that it brings. An event that is not in memory is not kept there.

        Errors: as `require`.
        """
        if name in self._cache:
            return self._load(tract, name).entries
        return _by_commit(decode_event(self._stored.read("event", name, tract)[0], is_known=True))

    def exists(self, tract: str, name: str) -> bool:
        """Returns whether there is a file, or a member of a pack, of this name."""
        return self._stored.exists(Address("event", name, tract))

    def _load(self, tract: str, name: str) -> _Loaded:
        cached = self._cache.get(name)
        if cached is not None and cached.event.tract != tract:
            cached = None
        if cached is not None and name in self._untouched:
            return cached
        self._untouched.add(name)
        if cached is not None:
            path = self._stored.layout.event(tract, name)
            if cached.signature is None or files.signature(path) == cached.signature:
                return cached
        data, signature = self._stored.read("event", name, tract)
        event = _decode(data, name, tract)
        loaded = _Loaded(signature, event)
        self._cache.put(name, loaded, 3 * len(data) + 500)
        return loaded


def _decode(data: bytes, name: str, tract: str) -> Event:
    try:
        event = decode_event(data)
        reason = "" if event.tract == tract else f"it is of tract {event.tract!r}, not {tract!r}"
    except JsonValueError as error:
        reason = error.reason
    if reason:
        raise InvalidObject(path=Address("event", name, tract).path, hash=name, kind="event", reason=reason) from None
    return event


def _by_commit(event: Event) -> dict[CommitHash, BroughtCommit]:
    return {entry.commit: entry for entry in reversed(event.iter_commits())}


def as_event_hash(data: bytes) -> EventHash:
    """Returns the hexadecimal form of 32 bytes."""
    return EventHash(data.hex())
