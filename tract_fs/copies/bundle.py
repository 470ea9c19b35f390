"""Bundles: writes the events of a tract with their objects into one file, all or those after a commit, and applies such a file to a store.

A bundle is verified as a whole before any part of it is written, and all of its events become visible at once: there is only one, or they are in one pack.
They wait if what they build on is missing. Format: FORMAT.md, section 12.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from itertools import chain
from typing import NamedTuple

from tract_fs.copies.bundle_file import KINDS, BundleReader, Member, write_bundle
from tract_fs.copies.unrelated import lineage_of, require_related
from tract_fs.errors import ArgumentError, BundleExists, CommitNotFoundError
from tract_fs.model.blobs import blobs_of_content, is_blob
from tract_fs.model.content import is_content
from tract_fs.model.events import Event, Move, split_parent
from tract_fs.model.exchange import BUNDLE_FORMAT, BUNDLE_VERSION, BundleApplied, BundleHeader, BundleInfo
from tract_fs.model.lineage import Lineage
from tract_fs.model.members import LIST_NAME_BYTES, LIST_TRACT_BYTES
from tract_fs.model.names import EventHash
from tract_fs.store import files
from tract_fs.store.address import MAX_PACK_BYTES, Address
from tract_fs.store.holdings import Holdings
from tract_fs.store.packs import Packs, PackWriter
from tract_fs.store.store import Store
from tract_fs.store.transaction_files import PACK_MAX_BYTES, PACK_MIN_OBJECTS
from tract_fs.work.reader import TractReader

_Place = tuple[str, str]  # tract, event hash


def create_bundle(reader: TractReader, file: str | os.PathLike[str], *, since: str | None, force: bool) -> BundleInfo:
    """Writes a bundle of the reader's tract, with the events of other tracts that it builds on.

    With `since`, a ref, leaves out the events that brought that commit and their ancestors, with their objects.
    Errors: BundleExists, CommitNotFoundError, AmbiguousRefError; OSError.
    """
    path = require_file(file)
    if files.exists(path) and not force:
        raise BundleExists(path=path)
    graph = _Graph(reader)
    known = graph.before(since, reader.resolve(since)) if since is not None else set()
    places = sorted(graph.nodes.keys() - known, key=lambda place: (graph.nodes[place].at, place[1]))
    objects = _Objects(reader)
    objects.leave_out(graph.event(place) for place in known)
    for place in places:
        objects.add(graph.event(place))
    inside = set(places)
    parents = {parent for place in places for parent in graph.nodes[place].parents}
    header = BundleHeader(
        format=BUNDLE_FORMAT,
        version=BUNDLE_VERSION if objects.blobs else 1,
        tracts=tuple(sorted({tract for tract, _ in places})),
        blobs=len(objects.blobs),
        contents=len(objects.contents),
        commits=len(objects.commits),
        events=len(places),
        builds_on=tuple(sorted("/".join(parent) for parent in parents - inside)),
    )
    size = write_bundle(path, header, _members(reader.store, objects, places))
    lost = {gap.lost.hash for gap in reader.hidden.lost_files()}
    return _info(path, header, size, missing=tuple(sorted(objects.missing | lost)))


def verify_bundle(file: str | os.PathLike[str]) -> BundleInfo:
    """Verifies a whole bundle: every member, their order, and the hash of the file. Returns what it contains.

    Errors: BundleDamaged, UnsupportedFormat; OSError.
    """
    path = require_file(file)
    reader = BundleReader(path)
    for _ in reader:
        pass
    assert reader.header is not None
    return _info(path, reader.header, reader.size_bytes)


def apply_bundle(store: Store, file: str | os.PathLike[str], *, allow_unrelated: bool = False) -> BundleApplied:
    """Writes the members of a bundle that the store lacks, after it was verified as a whole; a kill leaves all of them, or none that shows.

    Two events or more, or 64 objects, become one pack. Errors: BundleDamaged, UnsupportedFormat, UnrelatedHistories,
    ReadOnlyError, with nothing written; OSError.
    """
    store.require_writable()
    path = require_file(file)
    packs = Packs(store.layout, read_only=False)
    packs.refresh()
    with closing(Holdings(store.layout, packs)) as holdings:
        bundle = _Incoming(path, holdings)
        if not allow_unrelated:
            bundle.require_related()
        size = bundle.write()
    store.forget_redacted()
    waiting = _waiting(store, {tract: lineage.names for tract, lineage in bundle.lineages.items()})
    contents, commits, events = (bundle.counts[kind] for kind in ("content", "commit", "event"))
    return BundleApplied(path, bundle.tracts, contents, commits, events, size, waiting, bundle.counts["blob"])


def require_file(file: object) -> str:
    """Returns the absolute path of a bundle, links followed. Errors: ArgumentError."""
    found = os.fspath(file) if isinstance(file, (str, os.PathLike)) else None
    if type(found) is not str or "\0" in found or not found:
        raise ArgumentError(f"bundle {file!r}: give the path of a file as a string or pathlib.Path")
    return files.real_path(found)


class _Node(NamedTuple):
    """An event in the plan of a bundle: its time and its parents."""

    at: str
    parents: tuple[_Place, ...]


class _Graph:
    """The events of a tract that are present and understood, and those of other tracts that they build on."""

    def __init__(self, reader: TractReader) -> None:
        self._reader = reader
        self.nodes: dict[_Place, _Node] = {}
        log = reader.log
        queue: list[_Place] = [(log.tract, name) for name in (*log.known(), *log.view.pending)]
        while queue:
            place = queue.pop()
            if place in self.nodes:
                continue
            event = reader.store.events.get(*place)
            if event is not None and _is_one_line(_event_bytes(reader.store, *place)):
                parents = tuple(split_parent(parent, place[0]) for parent in event.parents)
                self.nodes[place] = _Node(event.at, parents)
                queue += parents

    def event(self, place: _Place) -> Event:
        """Returns an event. Errors: DamageError if it was damaged since."""
        return self._reader.store.events.require(*place)

    def before(self, ref: str, commit: str) -> set[_Place]:
        """Returns the events that bring a commit, and their ancestors. Errors: CommitNotFoundError if none brings it."""
        queue = [place for place in self.nodes if self.event(place).find(commit) is not None]
        if not queue:
            raise CommitNotFoundError(hash=ref, where=f"the events of tract {self._reader.log.tract!r}")
        found: set[_Place] = set()
        while queue:
            place = queue.pop()
            if place not in found and place in self.nodes:
                found.add(place)
                queue += self.nodes[place].parents
        return found


class _Objects:
    """The objects of a bundle, by hash, in their order in the file."""

    def __init__(self, reader: TractReader) -> None:
        self._store = reader.store
        self._done: set[str] = set()
        self.blobs: dict[str, None] = {}  # that the contents name
        self.contents: dict[str, None] = {}
        self.commits: dict[str, None] = {}
        self.missing: set[str] = set()

    def leave_out(self, events: Iterable[Event]) -> None:
        """Leaves out what these events bring: the receiving store has it."""
        for event in events:
            for entry in event.iter_commits():
                self._done.add(entry.commit)
                commit = self._store.objects.commit(entry.commit)
                if commit is not None and commit.content is not None:
                    self._done.add(commit.content)

    def add(self, event: Event) -> None:
        """Adds the commits that an event brings or moves a branch to, with their ancestors and contents, parents first."""
        moves = [op for op in event.ops if isinstance(op, Move)]
        named = [entry.commit for op in moves for entry in op.commits] + [op.head for op in moves]
        stack = [(name, False) for name in reversed(named)]
        while stack:
            name, is_ready = stack.pop()
            if is_ready:
                self.commits[name] = None
                continue
            if name in self._done:
                continue
            self._done.add(name)
            commit = self._store.objects.commit(name)
            if commit is None or not _is_one_line(self._store.objects.require(name, "commit")):
                self.missing.add(name)
                continue
            if commit.content is not None:
                self._add_content(commit.content)
            stack.append((name, True))
            stack += [(parent, False) for parent in reversed(commit.parents)]

    def _add_content(self, name: str) -> None:
        if name in self._done:
            return
        self._done.add(name)
        data = self._store.objects.get(name)
        if data is not None and is_content(data) and _is_one_line(data):
            self.contents[name] = None
            for blob in sorted(blobs_of_content(data)):
                self._add_blob(blob)
        elif name not in self._store.redacted():
            self.missing.add(name)

    def _add_blob(self, name: str) -> None:
        data = self._store.objects.get(name)
        if data is not None and is_blob(data):
            self.blobs[name] = None
        elif name not in self._store.redacted():
            self.missing.add(name)


def _is_one_line(data: bytes) -> bool:
    """Returns whether bytes can be one line of a bundle or pack, as all canonical JSON can."""
    return b"\n" not in data and not data.endswith(b"\r")


def _members(store: Store, objects: _Objects, places: list[_Place]) -> Iterator[bytes]:
    for name in objects.blobs:
        yield store.objects.require(name, "blob")
    for name in objects.contents:
        yield store.objects.require(name, "content")
    for name in objects.commits:
        yield store.objects.require(name, "commit")
    for tract, name in places:
        yield _event_bytes(store, tract, name)


def _event_bytes(store: Store, tract: str, name: str) -> bytes:
    return store.bytes.read("event", name, tract)[0]


def _info(path: str, header: BundleHeader, size_bytes: int, *, missing: tuple[str, ...] = ()) -> BundleInfo:
    return BundleInfo(
        path=path,
        tracts=header.tracts,
        contents=header.contents,
        commits=header.commits,
        events=header.events,
        builds_on=header.builds_on,
        size_bytes=size_bytes,
        missing=missing,
        blobs=header.blobs,
    )


class _Incoming:
    """A bundle that was verified as a whole, and what of it a store lacks."""

    def __init__(self, path: str, holdings: Holdings) -> None:
        self._path = path
        self._holdings = holdings
        self._lacking: set[bytes] = set()
        self._event_bytes = 0  # of those that the store lacks
        self.counts = dict.fromkeys(KINDS, 0)  # of the members that the store lacks, by kind
        self.lineages: dict[str, Lineage] = {}  # of its events, by tract
        self._known: set[str] = set()  # tracts of which the store has an event of the bundle, or one that it builds on
        reader = BundleReader(path)
        for member in reader:
            self._look_at(member)
        assert reader.header is not None
        self.tracts = reader.header.tracts
        for parent in reader.header.builds_on:
            tract, _, name = parent.partition("/")
            if tract not in self._known and holdings.read(Address("event", name, tract)) is not None:
                self._known.add(tract)

    def require_related(self) -> None:
        """Raises UnrelatedHistories if the store has a tract of the bundle's, and both have nothing in common. Cost: for such a tract, a read of its events."""
        unknown = self.lineages.keys() - self._known
        if unknown:
            self._holdings.list_files()
        there = self._holdings.loose_events() if unknown else {}
        for tract in sorted(unknown & there.keys()):
            names = chain(there[tract], self._holdings.packed_events(tract))
            require_related(
                tract,
                lineage_of(self._holdings, tract, names),
                self.lineages[tract],
                read_ours=lambda name: self._holdings.read(Address("object", name)),
                read_theirs=self._find,
                where=f", here and in {self._path}",
            )

    def write(self) -> int:
        """Writes what the store lacks, so that it survives a power cut; returns its bytes."""
        if not self._lacking:
            return 0
        events = self.counts["event"]
        lacking = (member for member in BundleReader(self._path) if bytes.fromhex(member.name) in self._lacking)
        if sum(self.counts.values()) - events >= PACK_MIN_OBJECTS or events > 1:
            size = self._write_packed(lacking)
        else:
            size = 0
            for member in lacking:  # the event is the last one
                size += len(member.data)
                self._holdings.put(member.address, member.data)
        files.sync_filesystem(self._holdings.layout.root)
        return size

    def _look_at(self, member: Member) -> None:
        is_lacking = self._holdings.read(member.address) is None
        if is_lacking:
            self._lacking.add(bytes.fromhex(member.name))
        self.counts[member.kind] += is_lacking
        if isinstance(member.value, Event):
            tract = member.value.tract
            self.lineages.setdefault(tract, Lineage()).add(member.name, member.value)
            self._event_bytes += is_lacking * (len(member.data) + LIST_NAME_BYTES)
            if not is_lacking:
                self._known.add(tract)

    def _find(self, name: str) -> bytes | None:
        return next((member.data for member in BundleReader(self._path) if member.name == name), None)

    def _write_packed(self, members: Iterable[Member]) -> int:
        """Writes members into packs of at most 256 MiB, all events into the last one, up to the size that a pack may have; returns their bytes."""
        holdings = self._holdings
        size = 0
        damaged: list[Address] = []  # members with another, damaged file at their place
        is_among_events = False
        with ExitStack() as open_packs:
            pack = open_packs.enter_context(PackWriter(holdings.layout))
            for member in members:
                needed, limit = len(member.data) + 1, PACK_MAX_BYTES
                if is_among_events:
                    limit = MAX_PACK_BYTES - LIST_TRACT_BYTES
                elif isinstance(member.value, Event):
                    is_among_events, needed = True, self._event_bytes
                if pack.size_bytes + needed > limit and not pack.is_empty:
                    pack.finish()
                    pack = open_packs.enter_context(PackWriter(holdings.layout))
                pack.add(member.name, member.data)
                size += len(member.data)
                if files.may_exist(member.address.path_in(holdings.layout)):
                    damaged.append(member.address)
            pack.finish()
        for address in damaged:
            data = holdings.packed(address)
            if data is not None:
                holdings.put(address, data)
        return size


def _waiting(store: Store, events: dict[str, set[str]]) -> tuple[str, ...]:
    """Applies the new events, and returns which of them wait, and for what."""
    found = []
    for tract, names in events.items():
        log = store.log(tract)
        log.list_events(is_forced=True)
        for name in names:
            pending = log.view.pending.get(EventHash(name))
            if pending is not None:
                found.append(f"{tract}/{name}: {pending.describe()}")
    return tuple(sorted(found))
