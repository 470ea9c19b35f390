"""Sync: the two-way union of the files of two stores, so that it may be broken off anywhere and run again.

A file is read, checked against its name, and only then written under it at the other side: objects before events, events in causal order, so that
what has arrived is whole at any moment. A good file is never replaced; a bad one gives way to a good one of the other side. `local/` is no part of it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from tract_fs.errors import ArgumentError, JsonValueError, NotAStore, StoreNotFound
from tract_fs.model.events import decode_event, split_parent
from tract_fs.model.exchange import BadFile, Count, Side, SyncReport, Transfer
from tract_fs.store import files
from tract_fs.store.holdings import Holdings, kind_of, name_of, path_of_event
from tract_fs.store.layout import STORE_DIRECTORY, Layout
from tract_fs.store.packs import Packs
from tract_fs.store.store import Store
from tract_fs.work.session import StorePath, require_layout

Progress = Callable[[int, int, str], object]  # files done, of how many, the path of the next one
_UNWRITABLE = frozenset([errno.EACCES, errno.EPERM, errno.EROFS])
_IRREPLACEABLE = _UNWRITABLE | {errno.EIO}
_LOCK_TIMEOUT_S = 10.0  # for what a power cut left to finish there; a sync itself takes no lock
_LAST = "~"  # after every time


def sync_stores(
    store: Store,
    path: StorePath,
    *,
    holding: AbstractContextManager[None],
    verify: bool = False,
    durable: bool = True,
    progress: Progress | None = None,
) -> SyncReport:
    """Brings the files of `store` and of the store in the directory `path` to the same set; makes the one there if need be.

    Files of one size under one name are taken as equal, unless `verify` is set, or the view misses or doubts them here. `holding` keeps other threads
    from the store; files are copied without it. Errors: ArgumentError, StoreNotFound, NotAStore, UnsupportedFormat, LockTimeout before anything is copied; OSError of either disk.
    """
    other, is_new = _open_there(store.layout, path)
    ours = Holdings(store.layout, Packs(store.layout, read_only=False))
    try:
        here = _Site("here", ours)
        there = _Site("there", Holdings(other.layout, other.packs))
        exchange = _Exchange(here, there, progress)
        with holding:
            doubted = _doubted(store)
        exchange.run(verify=verify, doubted=doubted, durable=durable)
        with holding:
            store.forget_redacted()
            pending_here = pending_of(store)
        bad = tuple(exchange.bad.values())
        is_same = all(file.is_replaced for file in bad)  # of equal files, both sides make the same view
        pending_there = pending_here if is_same else _pending_there(other.layout)
        return SyncReport(other.layout.context, is_new, here.wrote, there.wrote, bad, pending_here, pending_there)
    finally:
        ours.close()
        other.close()


def pending_of(store: Store) -> tuple[str, ...]:
    """Returns what waits in all tracts of a store, as "tract/hash: reason", sorted. Cost: takes in what came since."""
    found = []
    store.packs.refresh()
    for tract in store.events.tracts():
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


def _doubted(store: Store) -> set[str]:
    """Returns the hashes of what the views of the store miss or found damaged: a file of that name is not taken as good."""
    found: set[str] = set()
    for tract in store.events.tracts():
        log = store.log(tract)
        found.update(log.damaged, (pending.missing for pending in log.view.pending.values()))
    return found


def _open_there(here: Layout, path: StorePath) -> tuple[Store, bool]:
    """Opens the other store, or makes it in a directory that is there; finishes what a power cut left there. Tells whether it is new."""
    layout = require_layout(path)
    if os.path.basename(os.path.realpath(layout.context)) == STORE_DIRECTORY:
        raise NotAStore(path=layout.context, reason="the inside of a store; give the directory that holds it")
    if not os.path.isdir(layout.context):
        if os.path.lexists(layout.context):
            raise NotAStore(
                path=layout.context, reason="no directory; give a context directory, or one to make a store in"
            )
        raise StoreNotFound(
            f"{layout.context}: no such directory; make it, or mount what should be there, first", path=layout.context
        )
    if os.path.samefile(layout.context, here.context) or os.path.realpath(layout.root) == os.path.realpath(here.root):
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
    """One side of a sync: its files, and what was written there."""

    def __init__(self, side: Side, holdings: Holdings) -> None:
        self.side: Side = side
        self.holdings = holdings
        self.is_changed = False
        self._wrote = {"objects": Count(), "events": Count(), "packs": Count()}

    @property
    def wrote(self) -> Transfer:
        """What was copied to this side."""
        return Transfer(**self._wrote)

    def require_there(self) -> None:
        """Raises StoreNotFound if the store is not there any more: what is written then would go to the empty mount point."""
        layout = self.holdings.layout
        if not files.may_exist(layout.format):
            raise StoreNotFound(
                f"{layout.context}: the store is not there any more; mount it again, then run the sync again",
                path=layout.context,
            )

    def put(self, path: str, data: bytes) -> None:
        """Writes a file, unless a good one came meanwhile."""
        self.require_there()
        if self.holdings.put(path, data):
            self.is_changed = True
            self._wrote[kind_of(path)] = self._wrote[kind_of(path)].plus(len(data))

    def make_durable(self) -> None:
        """Makes all that was written survive a power cut."""
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
        self.bad: dict[tuple[Side, str], BadFile] = {}

    def run(self, *, verify: bool, doubted: set[str], durable: bool) -> None:
        """Checks, receives, then sends."""
        here, there = self._here, self._there
        here.holdings.look()
        there.holdings.look()
        checks = self._to_check(doubted, verify=verify)
        received, sent = _missing(there, here), _missing(here, there)
        self._total = len(checks) + len(received) + len(sent)
        for path in checks:
            self._check(path)
        for source, target, paths in ((there, here, received), (here, there, sent)):
            self._copy(source, target, paths)
            if durable:
                source.make_durable()
                target.make_durable()
        self._tell("")

    def _to_check(self, doubted: set[str], *, verify: bool) -> list[str]:
        here, there = self._here.holdings, self._there.holdings
        if verify:
            return sorted(here.files.keys() | there.files.keys())
        found = [path for path, size in here.files.items() if there.files.get(path, size) != size]
        if doubted:
            found += [path for path in here.files if name_of(path) in doubted and there.has(path)]
        return sorted(set(found))

    def _check(self, path: str) -> None:
        """Hashes a file on both sides, and replaces a bad one by a good one."""
        self._tell(path)
        sites = [site for site in (self._here, self._there) if path in site.holdings.files]
        examined = [(site, *site.holdings.examine(path)) for site in sites]
        good = next((data for _, data, _ in examined if data is not None), None)
        for site, data, cause in examined:
            if data is None and cause:
                if good is None:
                    good = self._mended(self._here, path) or self._mended(self._there, path)
                self._mend(site, path, cause, good)

    def _mended(self, site: _Site, path: str) -> bytes | None:
        """Returns the right bytes of a path whose file is bad or not there, if a pack or what is left of the file tells them."""
        try:
            return site.holdings.mended(path)
        except OSError as error:
            if error.errno not in _IRREPLACEABLE:
                raise
            return None

    def _mend(self, site: _Site, path: str, cause: str, good: bytes | None) -> None:
        """Puts the good bytes in the place of a bad file, if there are any and the side lets us, and reports it."""
        is_replaced = False
        if good is not None:
            try:
                site.put(path, good)
                is_replaced = True
            except OSError as error:
                if error.errno not in _IRREPLACEABLE:
                    raise
        self.bad[site.side, path] = BadFile(path, site.side, cause, is_replaced)

    def _copy(self, source: _Site, target: _Site, paths: list[str]) -> None:
        """Copies files: packs without events, objects, packs with events, events in causal order."""
        with_events = source.holdings.event_packs
        packs = [path for path in paths if kind_of(path) == "packs"]
        in_order = [path for path in packs if path not in with_events]
        in_order += [path for path in paths if kind_of(path) == "objects"]
        in_order += [path for path in packs if path in with_events]
        events = [path for path in paths if kind_of(path) == "events"]
        whole = _in_causal_order(source.holdings, events)
        self._total -= len(events) - len(whole)
        for path in (*in_order, *whole):
            self._tell(path)
            data, cause = source.holdings.examine(path)
            if data is None and not cause:
                data = source.holdings.packed(path)  # it was packed meanwhile
            elif data is None:
                data = self._mended(source, path)
                self._mend(source, path, cause, data)
            if data is not None:
                target.put(path, data)
            elif not cause:
                source.require_there()  # else a tool took the file away since the listing

    def _tell(self, path: str) -> None:
        if self._progress is not None:
            self._progress(self._done, self._total, path)
        self._done += 1


def _missing(source: _Site, target: _Site) -> list[str]:
    there = target.holdings
    return sorted(path for path in source.holdings.files if not there.has(path))


def _in_causal_order(holdings: Holdings, paths: Iterable[str]) -> list[str]:
    """Returns the paths of events by (at, hash), what is no event of this version last, less those whose parents came after the listing.

    A listing takes a while: where others write meanwhile, it may hold an event and not the one before it. The next sync takes both.
    """
    told = {path: _at_and_parents(holdings.read(path)) for path in paths}
    in_order = sorted(told, key=lambda path: (told[path][0], name_of(path)))
    late: set[str] = set()
    for path in in_order:
        for parent in told[path][1]:
            if parent in late or (not holdings.has(parent) and holdings.read(parent) is not None):
                late.add(path)
    return [path for path in in_order if path not in late]


def _at_and_parents(data: bytes | None) -> tuple[str, list[str]]:
    try:
        event = decode_event(data or b"")
    except JsonValueError:
        return _LAST, []
    return event.at, [path_of_event(*split_parent(parent, event.tract)) for parent in event.parents]
