"""Events on disk: reads and lists the events of all tracts, loose or in packs, verified at every read.

A decoded event is kept in memory only as long as its file looks untouched, so an altered config is noticed at the next call.
"""

from __future__ import annotations

from collections.abc import Set
from hashlib import sha256

from msgspec import Struct

from tract_fs.errors import DamageError, HashMismatch, InvalidObject, JsonValueError, ObjectMissing
from tract_fs.model.events import MAX_EVENT_BYTES, BroughtCommit, Event, decode_event
from tract_fs.model.names import CommitHash, EventHash, is_tract_id
from tract_fs.store import files
from tract_fs.store.address import Address
from tract_fs.store.bounded_cache import BoundedCache
from tract_fs.store.layout import Layout, is_fan_name, is_loose_name
from tract_fs.store.packs import Packs
from tract_fs.store.suspects import Suspects

_CACHED_BYTES = 32 * 1024 * 1024


class _Loaded(Struct, frozen=True, gc=False):
    """An event as it was read: the signature of its file (None: in a pack, or staged), and what it says of each commit that it brings."""

    signature: files.Signature | None
    event: Event
    entries: dict[CommitHash, BroughtCommit]


class Events:
    """Reads the events of one store."""

    def __init__(self, layout: Layout, packs: Packs, suspects: Suspects | None = None) -> None:
        self._layout = layout
        self._packs = packs
        self._suspects = Suspects() if suspects is None else suspects
        self._cache: BoundedCache[str, _Loaded] = BoundedCache(_CACHED_BYTES)
        self._untouched: set[str] = set()  # whose files were looked at in this call
        self.staged: dict[str, bytes] = {}  # of a transaction that is not written yet

    def begin_call(self) -> None:
        """Lets the files of events be looked at once more."""
        self._untouched.clear()

    def require(self, tract: str, name: str) -> Event:
        """Returns an event. Errors: ObjectMissing, HashMismatch, InvalidObject."""
        return self._load(tract, name).event

    def get(self, tract: str, name: str) -> Event | None:
        """Returns an event, or None if it is absent, damaged, or not understood."""
        try:
            return self.require(tract, name)
        except DamageError:
            return None

    def forget(self) -> None:
        """Reads everything anew from now on."""
        self._cache.clear()
        self._untouched.clear()

    def entry(self, tract: str, name: str, commit: str) -> BroughtCommit | None:
        """Returns what an event says of a commit that it brings, or None. Errors: as `require`."""
        return self._load(tract, name).entries.get(CommitHash(commit))

    def entries(self, tract: str, name: str) -> dict[CommitHash, BroughtCommit]:
        """Returns what a visible event says of each commit that it brings; for reading many, of which none is kept.

        Errors: as `require`.
        """
        if name in self._cache:
            return self._load(tract, name).entries
        data = self._read(tract, name, self._layout.event(tract, name))[0]
        return _by_commit(decode_event(data, is_known=True))

    def exists(self, tract: str, name: str) -> bool:
        """Tells whether there is a file, or a member of a pack, of this name."""
        path = self._layout.event(tract, name)
        while not (self._packs.has(name) or files.exists(path)):
            if not self._packs.renew(name):
                return False
        return True

    def list_fan(self, tract: str, fan: str, *, known: Set[str] = frozenset()) -> list[str]:
        """Returns the hashes of the loose events in one directory of the fan-out; `known` are hashes that surely are such."""
        names = [fan + name for name in files.list_names(f"{self._layout.tract_events(tract)}/{fan}")]
        return [name for name in names if name in known or is_loose_name(name[2:])]

    def fans(self, tract: str) -> list[str]:
        """Returns the directories of the fan-out that a tract has."""
        return [name for name in files.list_names(self._layout.tract_events(tract)) if is_fan_name(name)]

    def tracts(self) -> list[str]:
        """Returns the ids of the tracts that have loose events, and of those in packs, sorted."""
        names = [name for name in files.list_names(self._layout.events) if is_tract_id(name)]
        found = {name for name in names if any(self.list_fan(name, fan) for fan in self.fans(name))}
        self._packs.refresh()  # after the loose ones: those may be packed meanwhile
        return sorted(found | self._packs.tracts())

    def _load(self, tract: str, name: str) -> _Loaded:
        cached = self._cache.get(name)
        if cached is not None and cached.event.tract != tract:
            cached = None
        if cached is not None and name in self._untouched:
            return cached
        path = self._layout.event(tract, name)
        self._untouched.add(name)
        if cached is not None and (cached.signature is None or files.signature(path) == cached.signature):
            return cached
        staged = self.staged.get(name)
        data, signature = self._read(tract, name, path) if staged is None else (staged, None)
        event = self._decode(data, name, path)
        if event.tract != tract:
            reason = f"it is of tract {event.tract!r}, not {tract!r}"
            raise InvalidObject(path=self._layout.relative(path), hash=name, kind="event", reason=reason)
        loaded = _Loaded(signature, event, _by_commit(event))
        if staged is None:
            self._cache.put(name, loaded, 3 * len(data) + 500)
        return loaded

    def _read(self, tract: str, name: str, path: str) -> tuple[bytes, files.Signature | None]:
        """Returns the verified bytes of an event with the signature of its file; None for one in a pack."""
        while True:
            packed = self._packs.read(name)
            if packed is not None:
                return packed, None
            found = files.read_signed(path, limit_bytes=MAX_EVENT_BYTES)
            actual = None if found is None else sha256(found[0]).hexdigest()
            if found is not None and actual == name:
                return found
            if not self._packs.renew(name):  # else it may have been packed meanwhile
                break
        if actual is None:
            raise ObjectMissing(path=self._layout.relative(path), kind="event", hash=name)
        self._suspects.note(Address("event", name, tract))
        raise HashMismatch(path=self._layout.relative(path), hash=name, expected=name, actual=actual)

    def _decode(self, data: bytes, name: str, path: str) -> Event:
        try:
            return decode_event(data)
        except JsonValueError as error:
            shown = self._layout.relative(path)
            raise InvalidObject(path=shown, hash=name, kind="event", reason=error.reason) from None


def _by_commit(event: Event) -> dict[CommitHash, BroughtCommit]:
    return {entry.commit: entry for entry in reversed(event.iter_commits())}


def as_event_hash(data: bytes) -> EventHash:
    """Returns the hexadecimal form of 32 bytes."""
    return EventHash(data.hex())
