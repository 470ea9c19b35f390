"""Sync: the two-way union of the files of two stores. It can be interrupted anywhere and run again.

A file is read, verified, and only then written to the other side: the events oldest first, each after the objects that it needs. So the other side
has a whole beginning of the history at any moment, also where its disk fills up. A good file is never replaced; a bad one is replaced by a good one of
the other side. `local/` is not copied. Stores with nothing in common are refused before anything is written.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from typing import NamedTuple

from tract_fs.copies.unrelated import require_related_stores
from tract_fs.errors import ArgumentError, DamageError, JsonValueError, NotAStore, StoreNotFound
from tract_fs.model.events import decode_event, split_parent
from tract_fs.model.exchange import BadFile, Count, DivergedBranch, Side, SyncReport, Transfer
from tract_fs.model.members import named_objects
from tract_fs.model.names import hash_bytes
from tract_fs.store import files
from tract_fs.store.address import Address
from tract_fs.store.holdings import Holdings
from tract_fs.store.layout import STORE_DIRECTORY, Layout
from tract_fs.store.packs import Packs, oldest_event
from tract_fs.store.store import Store
from tract_fs.work.session import StorePath, require_layout

Progress = Callable[[int, int, str], object]  # files done, of how many, the path of the next one
_UNWRITABLE = frozenset([errno.EACCES, errno.EPERM, errno.EROFS])
_IRREPLACEABLE = _UNWRITABLE | {errno.EIO}
_LOCK_TIMEOUT_S = 10.0  # for a recovery after a power cut there; the sync itself needs no lock
_LAST = "~"  # after every time
_KEPT_BYTES = 64 * 1024


def sync_stores(
    store: Store,
    path: StorePath,
    *,
    holding: AbstractContextManager[None],
    verify: bool = False,
    durable: bool = True,
    allow_unrelated: bool = False,
    progress: Progress | None = None,
) -> SyncReport:
    """Makes `store` and the store in the directory `path` have the same files; creates the latter on demand.

    Files of one name and size count as equal, unless `verify` is set, or they are missing or damaged for the view here. `holding` keeps other
    threads from the store; files are copied without it. Errors: ArgumentError, StoreNotFound, NotAStore, UnsupportedFormat, UnrelatedHistories, LockTimeout before anything is copied; OSError of either disk.
    """
    other, is_new = _open_there(store.layout, path)
    ours = Holdings(store.layout, Packs(store.layout, read_only=False))
    try:
        here = _Site("here", ours)
        there = _Site("there", Holdings(other.layout, other.packs))
        exchange = _Exchange(here, there, progress)
        with holding:
            doubted = _doubted(store)
        exchange.list_files()
        if not allow_unrelated:
            require_related_stores(ours, there.holdings)
        exchange.run(verify=verify, doubted=doubted, durable=durable)
        with holding:
            store.forget_redacted()
            pending_here = pending_of(store)
            diverged = tuple(_diverged(store))
            lost = exchange.needed - store.redacted() if exchange.needed else set()
            paths = {Address("object", name).path for name in lost}
            paths |= {gap.lost.path for tract in store.list_tracts() for gap in store.hidden(tract).lost_files()}
        bad = tuple(exchange.bad.values())
        is_same = all(file.is_replaced for file in bad)  # of equal files, both sides make the same view
        pending_there = pending_here if is_same else _pending_there(other.layout)
        return SyncReport(
            path=other.layout.context,
            is_new=is_new,
            received=here.wrote,
            sent=there.wrote,
            bad=bad,
            pending_here=pending_here,
            pending_there=pending_there,
            lost=tuple(sorted(paths)),
            diverged=diverged,
        )
    finally:
        ours.close()
        other.close()


def pending_of(store: Store) -> tuple[str, ...]:
    """Returns the pending events of all tracts of a store, as "tract/hash: reason", sorted. Applies new events first."""
    found = []
    store.packs.refresh()
    for tract in store.list_tracts():
        log = store.log(tract)
        log.list_events(is_forced=True)
        found += [f"{tract}/{name}: {why.describe()}" for name, why in log.view.pending.items()]
    return tuple(sorted(found))


def _pending_there(layout: Layout) -> tuple[str, ...]:
    store = Store(layout, writer="", is_durable=False, read_only=True, lock_timeout_s=0.0)
    store.open(create=False)
    try:
        return pending_of(store)
    finally:
        store.close()


def _diverged(store: Store) -> Iterator[DivergedBranch]:
    """Yields the branches of all tracts that have several heads, as far as these can be read."""
    for tract in store.list_tracts():
        log = store.log(tract)
        for branch, moves in sorted(log.view.branches.items()):
            heads = []
            if len(moves) > 1:
                with suppress(DamageError):  # the files are reported as lost
                    heads = [head.commit for head in log.view.heads(branch, log)]
            if len(heads) > 1:
                yield DivergedBranch(tract, branch, tuple(heads))


def _doubted(store: Store) -> set[str]:
    """Returns the hashes that are missing or damaged for the views of the store: files of these names are verified."""
    found: set[str] = set(store.packs.damaged())
    for tract in store.list_tracts():
        log = store.log(tract)
        found.update(log.damaged, (pending.missing for pending in log.view.pending.values()))
    return found


def _open_there(here: Layout, path: StorePath) -> tuple[Store, bool]:
    """Opens the other store, or creates it in an existing directory; recovers it after a power cut. Returns whether it is new."""
    layout = require_layout(path)
    if os.path.basename(files.real_path(layout.context)) == STORE_DIRECTORY:
        raise NotAStore(path=layout.context, reason="the inside of a store; give the directory that holds it")
    if files.kind_at(layout.context) != "directory":
        if files.has_entry(layout.context):
            raise NotAStore(
                path=layout.context, reason="no directory; give a context directory, or one to make a store in"
            )
        raise StoreNotFound(
            f"{layout.context}: no such directory; make it, or mount what should be there, first", path=layout.context
        )
    if files.is_same(layout.context, here.context) or files.real_path(layout.root) == files.real_path(here.root):
        raise ArgumentError(f"{layout.context}: this is the store itself; give another directory")
    is_new = not files.exists(layout.format)
    try:
        return _opened(layout, read_only=False), is_new
    except OSError as error:
        if error.errno not in _UNWRITABLE or is_new:
            raise
        return _opened(layout, read_only=True), False


def _opened(layout: Layout, *, read_only: bool) -> Store:
    store = Store(layout, writer="", is_durable=False, read_only=read_only, lock_timeout_s=_LOCK_TIMEOUT_S)
    store.open(create=True)
    return store


class _Site:
    """One side of a sync: its files, and the counts of those written there."""

    def __init__(self, side: Side, holdings: Holdings) -> None:
        self.side: Side = side
        self.holdings = holdings
        self.is_changed = False
        self._wrote = {"object": Count(), "event": Count(), "pack": Count()}

    @property
    def wrote(self) -> Transfer:
        """The files copied to this side."""
        return Transfer(objects=self._wrote["object"], events=self._wrote["event"], packs=self._wrote["pack"])

    def require_there(self) -> None:
        """Raises StoreNotFound if the store is gone: a write would then go to the empty mount point."""
        layout = self.holdings.layout
        if not files.may_exist(layout.format):
            raise StoreNotFound(
                f"{layout.context}: the store is not there any more; mount it again, then run the sync again",
                path=layout.context,
            )

    def put(self, address: Address, data: bytes) -> None:
        """Writes a file, unless a good one came meanwhile."""
        self.require_there()
        if self.holdings.put(address, data):
            self.is_changed = True
            self._wrote[address.kind] = self._wrote[address.kind].plus(len(data))

    def make_durable(self) -> None:
        """Makes everything written survive a power cut."""
        if self.is_changed:
            files.sync_filesystem(self.holdings.layout.root)
            self.is_changed = False


class _Exchange:
    """One run of a sync between two sites."""

    def __init__(self, here: _Site, there: _Site, progress: Progress | None) -> None:
        self._here = here
        self._there = there
        self._progress = progress
        self._done = 0
        self._total = 0
        self.bad: dict[tuple[Side, Address], BadFile] = {}
        self.copied: set[str] = set()  # objects, in files of their own and in packs
        self._named: set[str] = set()  # objects that what was copied names

    @property
    def needed(self) -> set[str]:
        """The objects that what was copied names and that neither side has."""
        sides = (self._here.holdings, self._there.holdings)
        absent = self._named - self.copied
        return {name for name in absent if not any(side.has(Address("object", name)) for side in sides)}

    def list_files(self) -> None:
        """Lists both sides."""
        self._here.holdings.list_files()
        self._there.holdings.list_files()

    def run(self, *, verify: bool, doubted: set[str], durable: bool) -> None:
        """Verifies, receives, then sends what was listed."""
        here, there = self._here, self._there
        checks = self._to_check(doubted, verify=verify)
        received, sent = _missing(there, here), _missing(here, there)
        self._total = len(checks) + len(received) + len(sent)
        for address in checks:
            self._check(address)
        for source, target, addresses in ((there, here, received), (here, there, sent)):
            self._copy(source, target, addresses)
            if durable:
                source.make_durable()
                target.make_durable()
        self.report(None)

    def _to_check(self, doubted: set[str], *, verify: bool) -> list[Address]:
        here, there = self._here.holdings, self._there.holdings
        if verify:
            return sorted(here.files | there.files)
        found = [address for address, size in here.files.items() if there.files.get(address, size) != size]
        if doubted:
            found += [address for address in here.files if address.name in doubted and there.has(address)]
        return sorted(set(found))

    def _check(self, address: Address) -> None:
        """Hashes a file on both sides, and replaces a bad one by a good one."""
        self.report(address)
        sites = [site for site in (self._here, self._there) if address in site.holdings.files]
        examined = [(site, *site.holdings.examine(address)) for site in sites]
        good = next((data for _, data, _ in examined if data is not None), None)
        for site, data, cause in examined:
            if data is None and cause:
                if good is None:
                    good = self._mended(self._here, address) or self._mended(self._there, address)
                self._mend(site, address, cause, good)

    def _mended(self, site: _Site, address: Address) -> bytes | None:
        """Returns the right bytes of a bad or missing file, if a pack has them or the rest of the file yields them; else None."""
        try:
            return site.holdings.mended(address)
        except OSError as error:
            if error.errno not in _IRREPLACEABLE:
                raise
            return None

    def _mend(self, site: _Site, address: Address, cause: str, good: bytes | None) -> None:
        """Replaces a bad file by the good bytes, if there are any and the side can be written, and records it."""
        is_replaced = False
        if good is not None:
            try:
                site.put(address, good)
                is_replaced = True
            except OSError as error:
                if error.errno not in _IRREPLACEABLE:
                    raise
        self.bad[site.side, address] = BadFile(address.path, site.side, cause, is_replaced)

    def _copy(self, source: _Site, target: _Site, addresses: list[Address]) -> None:
        events = [address for address in addresses if address.kind == "event"]
        in_order = _in_causal_order(source.holdings, events)
        self._total -= len(events) - len(in_order)
        _Way(self, source, target, addresses).copy(in_order)

    def read(self, source: _Site, address: Address) -> bytes | None:
        """Returns the verified bytes of a file to copy, and mends it where that is possible; None if there are none."""
        data, cause = source.holdings.examine(address)
        if data is None and not cause:
            data = source.holdings.packed(address)  # it was packed meanwhile
            if data is None:
                source.require_there()  # else a tool removed the file after the listing
        elif data is None:
            data = self._mended(source, address)
            self._mend(source, address, cause, data)
        return data

    def note(self, names: _Names) -> None:
        """Notes the objects in a copied file, and those that it names."""
        self.copied |= names.objects
        self._named |= names.named

    def report(self, address: Address | None) -> None:
        """Calls `progress` before a file, or with None at the end."""
        if self._progress is not None:
            self._progress(self._done, self._total, "" if address is None else address.path)
        self._done += 1


class _Names(NamedTuple):
    """The hashes of the objects in one file, and of those that it names and does not contain."""

    objects: set[str]
    named: set[str]

    @classmethod
    def of(cls, address: Address, data: bytes) -> _Names:
        """Returns the names in the bytes of a file."""
        if address.kind != "pack":
            return cls({address.name} if address.kind == "object" else set(), named_objects(data))
        lines = data.split(b"\n")
        objects = {hash_bytes(line) for line in lines}
        return cls(objects, set().union(*map(named_objects, lines)) - objects)


class _File(NamedTuple):
    """The verified bytes of a file, and the objects in it."""

    data: bytes
    names: _Names


class _Way:
    """The copying of files from one side to the other.

    States of a file: missing; looked up (`_seen`), while the files that it needs are copied; done, when it leaves `_missing`. A file that needs,
    through others, itself is copied before some that it needs.
    """

    def __init__(self, exchange: _Exchange, source: _Site, target: _Site, addresses: Iterable[Address]) -> None:
        self._exchange = exchange
        self._source = source
        self._target = target
        self._missing = dict.fromkeys(addresses)
        self._packs = {address.name for address in self._missing if address.kind == "pack"}
        self._seen: dict[Address, _File | None] = {}  # with the file itself, if it waits for others and is small

    def copy(self, events: list[tuple[str, Address]]) -> None:
        """Copies the events, loose (`events`, each with its time) and in packs, oldest first, each after what it needs; then what no event needs.

        The place of a pack is that of its oldest event. Events that can't be decoded go last.
        """
        event_packs = self._source.holdings.event_packs & self._missing.keys()
        layout = self._source.holdings.layout
        in_packs = [(oldest_event(pack.path_in(layout)) or _LAST, pack) for pack in event_packs]
        in_order = sorted([*events, *in_packs], key=lambda item: (item[0], item[1].kind == "event", item[1].name))
        known = [address for at, address in in_order if at != _LAST]
        rest = [address for address in self._missing if address.kind != "event" and address not in event_packs]
        unknown = [address for at, address in in_order if at == _LAST]
        for address in (*known, *rest, *unknown):
            self._send(address)

    def _send(self, first: Address) -> None:
        """Copies a file after all that it needs; a large one that needs others is read again after them."""
        stack = [first]
        while stack:
            address = stack.pop()
            if address not in self._missing:
                continue
            file = self._seen.get(address)
            if address not in self._seen:
                if address.kind == "object":
                    self._exchange.report(address)
                file = self._read(address)
                needs = [] if file is None else self._needs(file.names)
                is_kept = file is not None and len(file.data) <= _KEPT_BYTES
                self._seen[address] = file if needs and is_kept else None
                if needs:
                    stack += [address, *needs]
                    continue
            del self._missing[address]
            self._seen[address] = None
            if address.kind != "object":
                self._exchange.report(address)
            self._put(address, file or self._read(address))

    def _read(self, address: Address) -> _File | None:
        data = self._exchange.read(self._source, address)
        return None if data is None else _File(data, _Names.of(address, data))

    def _put(self, address: Address, file: _File | None) -> None:
        """Writes a file; of a damaged pack, the unchanged members, each as a file of its own."""
        if file is not None:
            self._target.put(address, file.data)
            self._exchange.note(file.names)
        elif address.kind == "pack":
            for member, data in self._source.holdings.good_members(address):
                if not self._target.holdings.has(member):
                    self._put(member, _File(data, _Names.of(member, data)))

    def _needs(self, names: _Names) -> list[Address]:
        """Returns the files to copy that have what a file names."""
        found: dict[Address, None] = {}
        for name in sorted(names.named - self._exchange.copied):
            address = Address("object", name)
            if address not in self._missing:
                pack = None if self._target.holdings.has(address) else self._source.holdings.pack_of(name, self._packs)
                address = Address("pack", pack or "")
            if address in self._missing:
                found[address] = None
        return list(found)


def _missing(source: _Site, target: _Site) -> list[Address]:
    there = target.holdings
    return sorted(address for address in source.holdings.files if not there.has(address))


def _in_causal_order(holdings: Holdings, addresses: Iterable[Address]) -> list[tuple[str, Address]]:
    """Returns events with their times by (at, hash), those of other versions last, without the ones whose parents came after the listing.

    While others write, a listing may contain an event and not the one before it. The next sync copies both.
    """
    found = {address: _at_and_parents(holdings.read(address)) for address in addresses}
    in_order = sorted(found, key=lambda address: (found[address][0], address.name))
    parents = {parent for _, parents in found.values() for parent in parents}
    late = holdings.came_since(parent for parent in parents if not holdings.has(parent))
    for address in in_order:
        if not late.isdisjoint(found[address][1]):
            late.add(address)
    return [(found[address][0], address) for address in in_order if address not in late]


def _at_and_parents(data: bytes | None) -> tuple[str, list[Address]]:
    try:
        event = decode_event(data or b"")
    except JsonValueError:
        return _LAST, []
    parents = (split_parent(parent, event.tract) for parent in event.parents)
    return event.at, [Address("event", name, tract) for tract, name in parents]
