"""Bundles: writes the events of a tract with their objects into one file, all or those after a commit, and applies such a file to a store.

A bundle is verified as a whole before any part of it is written. Its events wait if what they build on is missing. Format: FORMAT.md, section 12.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from typing import NamedTuple

from msgspec import structs

from tract_fs.copies.bundle_file import BundleReader, Member, write_bundle
from tract_fs.errors import ArgumentError, BundleExists, CommitNotFoundError
from tract_fs.model.content import is_content
from tract_fs.model.events import Event, Move, split_parent
from tract_fs.model.exchange import BUNDLE_FORMAT, BUNDLE_VERSION, BundleApplied, BundleHeader, BundleInfo
from tract_fs.model.names import EventHash
from tract_fs.store import files
from tract_fs.store.holdings import Holdings
from tract_fs.store.packs import Packs, PackWriter
from tract_fs.store.store import PACK_MAX_BYTES, PACK_MIN_OBJECTS, Store
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
        version=BUNDLE_VERSION,
        tracts=tuple(sorted({tract for tract, _ in places})),
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


def apply_bundle(store: Store, file: str | os.PathLike[str]) -> BundleApplied:
    """Writes the members of a bundle that the store lacks, after it was verified as a whole: objects, then events in causal order.

    64 objects or more become one pack. Errors: BundleDamaged, UnsupportedFormat, ReadOnlyError, with nothing written; OSError.
    """
    store.require_writable()
    path = require_file(file)
    packs = Packs(store.layout, read_only=False)
    packs.refresh()
    with closing(Holdings(store.layout, packs)) as holdings:
        report, events = _apply(holdings, path)
    store.forget_redacted()
    return structs.replace(report, pending=_waiting(store, events))


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
        elif name not in self._store.redacted():
            self.missing.add(name)


def _is_one_line(data: bytes) -> bool:
    """Returns whether bytes can be one line of a bundle or pack, as all canonical JSON can."""
    return b"\n" not in data and not data.endswith(b"\r")


def _members(store: Store, objects: _Objects, places: list[_Place]) -> Iterator[bytes]:
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
        path, header.tracts, header.contents, header.commits, header.events, header.builds_on, size_bytes, missing
    )


def _apply(holdings: Holdings, path: str) -> tuple[BundleApplied, dict[str, list[str]]]:
    """Verifies a bundle, then writes what the store lacks; returns what was new, and the bundle's events by tract."""
    first = BundleReader(path)
    contents = commits = new_events = 0
    lacking: set[bytes] = set()
    events: dict[str, list[str]] = {}
    for member in first:
        is_event = isinstance(member.value, Event)
        if isinstance(member.value, Event):
            events.setdefault(member.value.tract, []).append(member.name)
        if holdings.read(member.address) is None:
            lacking.add(bytes.fromhex(member.name))
            contents += member.value is None
            commits += member.value is not None and not is_event
            new_events += is_event
    assert first.header is not None
    second = (member for member in BundleReader(path) if bytes.fromhex(member.name) in lacking)
    size = _write(holdings, second, is_packed=contents + commits >= PACK_MIN_OBJECTS)
    if lacking:
        files.sync_filesystem(holdings.layout.root)
    return BundleApplied(path, first.header.tracts, contents, commits, new_events, size, ()), events


def _write(holdings: Holdings, members: Iterable[Member], *, is_packed: bool) -> int:
    """Writes members, the objects of a packed bundle into packs of at most 256 MiB; returns the bytes."""
    size = 0
    pack: PackWriter | None = None
    with ExitStack() as open_packs:
        for member in members:
            size += len(member.data)
            is_event = isinstance(member.value, Event)
            if pack is not None and (is_event or pack.size_bytes + len(member.data) > PACK_MAX_BYTES):
                pack.finish()
                pack = None
            if is_event or not is_packed:
                holdings.put(member.address, member.data)
                continue
            if pack is None:
                pack = open_packs.enter_context(PackWriter(holdings.layout))
            pack.add(member.name, member.data)
        if pack is not None:
            pack.finish()
    return size


def _waiting(store: Store, events: dict[str, list[str]]) -> tuple[str, ...]:
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
