"""Own files: which files of a store this copy alone wrote, so that in a git work tree no two copies remove one file.

An event is this copy's own if arrivals records it so; a commit, if only own events bring it; a content, if an own commit and no other names it; a
pack, if its events and commits are own. A join that two copies may both have written belongs to the owner of the newest event that it
joins. So a file has one owner at most, whichever copy looks. A blob has none: two copies may share it before either knows what the other's contents name (FORMAT.md, section 8). Where this copy can't know (its `local/` is new, no event names the file), the file
is not its own. Nor is one that this copy removed before: it is back because another git branch has it, which is another side of a later merge.
"""

from __future__ import annotations

from collections.abc import Iterable

from tract_fs.model.names import CommitHash
from tract_fs.store import files
from tract_fs.store.arrivals import BRING_KINDS, OWN_KINDS, PLAIN_KINDS, Arrivals, Record, iter_sound
from tract_fs.store.layout import Layout
from tract_fs.store.store import Store
from tract_fs.store.tree import list_events, list_tracts

_DIGEST_BYTES = 32
_MOST_BYTES = 1 << 30


class OwnFiles:
    """The own files of this copy, as of when it was made. Cost: reads arrivals, and the commits that other copies wrote."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._removed = _read_removed(store.layout.removed)
        self._own: set[bytes] = set()  # events and commits
        self._foreign: set[bytes] = set()  # events and commits
        self._foreign_commits: set[bytes] = set()
        for tract in list_tracts(store.layout, store.packs):
            self._add_tract(tract)
        self._foreign |= self._foreign_commits
        self._written = self._own - self._foreign
        self._own -= self._foreign | self._removed
        commits = (store.objects.commit(CommitHash(name.hex())) for name in self._foreign_commits)
        named = (commit.content for commit in commits if commit is not None)
        self._foreign_contents = {bytes.fromhex(content) for content in named if content is not None}

    def has(self, digest: bytes) -> bool:
        """Returns whether an event or commit is own."""
        return digest in self._own

    def has_content(self, digest: bytes) -> bool:
        """Returns whether a content that an own commit names is own."""
        return digest not in self._foreign_contents and digest not in self._removed

    def has_pack(self, name: str) -> bool:
        """Returns whether a pack is own. Other commits may name its contents: no other copy can have written the pack."""
        members = self._store.packs.member_names(name)
        is_own = members.isdisjoint(self._foreign) and not members.isdisjoint(self._written)
        return is_own and bytes.fromhex(name) not in self._removed

    def _add_tract(self, tract: str) -> None:
        layout = self._store.layout
        own: list[bytes] = []
        brought: dict[bytes, list[bytes]] = {}  # by event
        for record in iter_sound(Arrivals(layout.tract_local(tract, "arrivals"), layout.seal[:16])):
            if record.kind in BRING_KINDS:
                brought.setdefault(record.event, []).append(record.commit)
            if record.kind in OWN_KINDS and self._is_own(tract, record):
                own.append(record.event)
                self._own.add(record.event)
        for event in own:
            self._own.update(brought.get(event, ()))
        foreign = {bytes.fromhex(name) for name in list_events(layout, self._store.packs, tract)}.difference(own)
        self._foreign |= foreign
        for event in foreign:
            self._foreign_commits.update(brought[event] if event in brought else self._commits_of(tract, event))

    def _is_own(self, tract: str, record: Record) -> bool:
        """Returns whether an event that this copy wrote is own."""
        if record.kind in PLAIN_KINDS:
            return True
        event = self._store.events.get(tract, record.event.hex())
        if event is None or event.writer:
            return event is not None
        joined = [
            (found.at, name) for name in event.parents if (found := self._store.events.get(tract, name)) is not None
        ]
        return len(joined) == len(event.parents) > 0 and bytes.fromhex(max(joined)[1]) in self._own

    def _commits_of(self, tract: str, event: bytes) -> list[bytes]:
        """Returns the commits that an event brings; none if it can't be read."""
        found = self._store.events.get(tract, event.hex())
        return [] if found is None else [bytes.fromhex(entry.commit) for entry in found.iter_commits()]


def note_removed(layout: Layout, names: Iterable[str]) -> None:
    """Records the hashes of files that are about to be removed; the lock is held."""
    record = files.AppendFile(layout.removed)
    try:
        size = record.current_size()
        if size % _DIGEST_BYTES:  # a power cut tore it
            size -= size % _DIGEST_BYTES
            record.truncate(size)
        record.append(b"".join(map(bytes.fromhex, names)), size)
    finally:
        record.close()


def _read_removed(path: str) -> set[bytes]:
    """Returns the hashes of the files that were removed."""
    data = files.read(path, limit_bytes=_MOST_BYTES) or b""
    return {data[at : at + _DIGEST_BYTES] for at in range(0, len(data) - _DIGEST_BYTES + 1, _DIGEST_BYTES)}
