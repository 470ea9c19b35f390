"""Summaries: what a list of the store's tracts shows, of each tract, and what it was made from.

A summary holds as long as the tract's arrivals and its directories of events have the inodes, sizes and change times that
they had before its log was read. What local writers do is noticed at once, for one stat of each tract; what copying tools
bring, once a second or less often, as in `tract_log`. A tract of which a part is hidden is read again each time: objects
that arrive show nowhere else. The file of all summaries is a cache: any other seal or boot, and it is made again.
FORMAT.md, section 10.

A look at the directories of events shows what local writers did, too: each event is a file there. So it needs no look at
arrivals.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.msgpack import Decoder, Encoder

from tract_fs.errors import DamageError, JsonValueError
from tract_fs.model import canonical
from tract_fs.model.info import TractInfo
from tract_fs.model.names import LAST_US, CommitHash, are_hashes, is_tract_id
from tract_fs.store import files, redo
from tract_fs.store.arrivals import RECORD_BYTES
from tract_fs.store.layout import FANS, Layout
from tract_fs.store.store import Store
from tract_fs.store.tract_log import TractLog

_LIMIT_BYTES = 1 << 30
_PAUSE_S = 1.0
_SHARE = 20  # a look that took long is not repeated before this many times its length
_SAVE_EVERY = 64  # summaries made again
_SETTLED_NS = 2_000_000_000
_MAIN = "main"
_NONE = (0, 0)  # in place of inode and ctime: nothing there, or not settled
_HIDES_SOME = (0, 0, -1)  # in place of the signature of arrivals


class Summary(Struct, frozen=True, array_like=True, gc=False):
    """One tract in a list, with what it was made from. Without nested objects, since a store may have many thousands."""

    tract_id: str
    title: str | None
    head: str | None
    commit_count: Annotated[int, Meta(ge=0)]
    updated_us: Annotated[int, Meta(ge=0, le=LAST_US)]
    metadata_json: str
    is_listed: bool  # there are events, and the tract was not deleted
    has_usage: bool
    arrivals: tuple[int, int, int]  # signature; zeros: no file
    directory: tuple[int, int]  # inode and ctime of the directory of events
    fans: tuple[tuple[str, int, int], ...]  # names of the directories in it, with the same of each

    @property
    def info(self) -> TractInfo:
        """What a list shows."""
        return TractInfo(self.tract_id, self.title, self.head, self.commit_count, self.updated_us, self.metadata_json)


class _Saved(Struct, frozen=True, array_like=True):
    """The file of all summaries."""

    boot: str
    packs: list[str]
    tracts: list[Summary]


_ENCODER = Encoder()
_DECODER = Decoder(_Saved)


class Summaries:
    """The summaries of one store, kept up to date at each call of `get`; for one thread at a time.

    `_by_tract` may have summaries that no longer hold: `get` makes them again. Those in it are of tracts that the store
    listed, at `_listed_of` (None: unknown), as loose events; or that packs have.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_tract: dict[str, Summary] = {}
        self._packs: set[str] = set()
        self._packed: set[str] | None = None  # the tracts that have events in packs; None: unknown
        self._names: list[str] = []  # of directories of loose events
        self._listed_of: tuple[int, int] = _NONE
        self._local = ""  # the place whose arrivals they were made from
        self._looked_at = 0.0
        self._pause_s = 0.0
        self._unsaved_count = 0
        self._shown: dict[str, Summary] | None = None
        self._infos: list[TractInfo] | None = None

    def infos(self) -> list[TractInfo]:
        """Returns the same as `get`, as a list shows it. Cost: as `get`."""
        shown = self.get()
        if self._infos is None:
            self._infos = [found.info for found in shown.values()]
        return list(self._infos)

    def get(self) -> dict[str, Summary]:
        """Returns the summaries of the tracts that have events and were not deleted, by tract id, in order.

        Cost: one stat per tract, or per directory of events if a look is due; a read of each log that changed.
        """
        store = self._store
        store.require_store()
        store.renew_place()
        if self._local != store.layout.local:
            self._start_over()
        stale = self._stale_packs()
        names = self._tracts()
        if self._by_tract.keys() - names:
            self._by_tract = {name: found for name, found in self._by_tract.items() if name in names}
            self._shown = None
        stale |= names - self._by_tract.keys()
        now = time.monotonic()
        if now - self._looked_at >= self._pause_s:
            stale |= self._moved()
            self._looked_at = time.monotonic()
            self._pause_s = max(_PAUSE_S, _SHARE * (self._looked_at - now))
        else:
            stale |= self._written()
        for tract in stale & names:
            self._by_tract[tract] = self._made(tract)
            self._shown = None
        self._unsaved_count += len(stale)
        if self._unsaved_count >= max(_SAVE_EVERY, len(names) // 16):
            self.save()
        if self._shown is None:
            found = self._by_tract
            self._shown = {name: found[name] for name in sorted(found) if found[name].is_listed}
            self._infos = None
        return self._shown

    def forget(self) -> None:
        """Makes the next `get` look at all directories."""
        self._pause_s = 0.0
        self._listed_of = _NONE

    def save(self) -> None:
        """Writes the file, if it lags; a cache that can't be written is left alone."""
        if self._unsaved_count and not self._store.read_only and self._local == self._store.layout.local:
            body = _ENCODER.encode(_Saved(redo.boot_id(), sorted(self._packs), list(self._by_tract.values())))
            with suppress(OSError):
                files.replace(_path(self._store.layout), self._store.layout.sealed(body) + b"\n" + body, mode=0o666)
            self._unsaved_count = 0

    def _start_over(self) -> None:
        layout = self._store.layout
        self._local, self._shown = layout.local, None
        self.forget()
        saved = None if self._store.distrusts_caches else _read(layout)
        self._by_tract = {} if saved is None else {found.tract_id: found for found in saved.tracts}
        self._packs, self._packed = set() if saved is None else set(saved.packs), None
        self._unsaved_count = 0

    def _tracts(self) -> set[str]:
        """Returns the tracts that may have events."""
        directory = files.signature(self._store.layout.events)
        listed_of = _NONE if directory is None else (directory[0], directory[2])
        if listed_of != self._listed_of or listed_of == _NONE:
            self._names = [name for name in files.list_names(self._store.layout.events) if is_tract_id(name)]
            self._listed_of = listed_of if time.time_ns() - listed_of[1] > _SETTLED_NS else _NONE
        if self._packed is None:
            self._packed = self._store.packs.tracts()
        return {*self._names, *self._packed}

    def _stale_packs(self) -> set[str]:
        """Returns the tracts that packs may have changed since the last look at these."""
        packs = self._store.packs
        packs.refresh()
        if packs.names == self._packs and not packs.damaged():
            return set()
        new = packs.names - self._packs
        is_any_gone = bool(self._packs - packs.names or packs.damaged())
        found = set(self._by_tract) if is_any_gone else packs.tracts(new)
        self._packs, self._packed = set(packs.names), None
        return found

    def _written(self) -> set[str]:
        """Returns the tracts that writers of this copy changed."""
        by_tract = self._by_tract
        now = files.signatures(f"{self._local}/tracts", [f"{tract}/arrivals" for tract in by_tract])
        get = now.get
        return {t for t, found in by_tract.items() if get(f"{t}/arrivals", (0, 0, 0)) != found.arrivals}

    def _moved(self) -> set[str]:
        """Returns the tracts whose directories of events changed, and those of which a part is hidden."""
        expected = chain.from_iterable(map(_directories, self._by_tract.values()))
        moved = {path.partition("/")[0] for path in files.changed(self._store.layout.events, expected)}
        return moved.union(tract for tract, found in self._by_tract.items() if found.arrivals == _HIDES_SOME)

    def _made(self, tract: str) -> Summary:
        """Returns the summary of a tract, from its log."""
        layout = self._store.layout
        directory = files.signatures(layout.events, [tract]).get(tract)
        log = self._store.passing_log(tract)
        written = files.signature(layout.tract_local(tract, "arrivals")) or (0, 0, 0)
        log.catch_up()
        count, _ = log.stamp()
        is_whole = not log.hides_any and count in (-1, written[1] // RECORD_BYTES)
        is_settled = directory is not None and time.time_ns() - directory[2] > _SETTLED_NS
        try:
            view = log.view
            return Summary(
                tract_id=tract,
                title=view.title or None,
                head=_head(log),
                commit_count=log.commit_count(),
                updated_us=view.newest_us,
                metadata_json=view.metadata,
                is_listed=bool(view.newest) and not view.is_deleted,
                has_usage=log.usage_count > 0 or count < 0,
                arrivals=written if is_whole else _HIDES_SOME,
                directory=(directory[0], directory[2]) if directory is not None and is_settled else _NONE,
                fans=tuple((fan, *seen) for fan, seen in log.listed_fans().items()),
            )
        finally:
            self._store.drop_passing(log)


def _directories(found: Summary) -> Iterator[tuple[str, int, int]]:
    """Yields the directories of events of a tract, each with its inode and ctime as they were for its summary; -1 for the inode
    of one that is to be listed again.
    """
    tract = found.tract_id
    yield (tract, *found.directory)
    for fan, inode, ctime in found.fans:
        yield f"{tract}/{fan}", inode or -1, ctime


def _head(log: TractLog) -> CommitHash | None:
    """Returns the head of `main`, or of the branch that moved last if there is no `main`; None if there is no branch."""
    moves = {
        branch: max((move.at, name, move.head) for name, move in moves.items() if move.head is not None)
        for branch, moves in log.view.branches.items()
        if any(move.head is not None for move in moves.values())
    }
    if not moves:
        return None
    branch = _MAIN if _MAIN in moves else max(moves, key=lambda name: moves[name])
    with suppress(DamageError):  # a commit that the choice between several heads needs
        head = log.own_head(branch)
        if head is not None:
            return head.commit
    return moves[branch][2]


def _path(layout: Layout) -> str:
    return f"{layout.local}/summaries"


def _read(layout: Layout) -> _Saved | None:
    """Returns the summaries in the file; None if it is damaged, of another place or another boot."""
    try:
        data = files.read(_path(layout), limit_bytes=_LIMIT_BYTES)
    except OSError:
        return None
    if data is None or data[64:65] != b"\n" or layout.sealed(memoryview(data)[65:]) != data[:64]:
        return None
    try:
        saved = canonical.decode_typed(_DECODER, memoryview(data)[65:])
    except JsonValueError:
        return None
    return saved if saved.boot == redo.boot_id() and _are_sound(saved.tracts) else None


def _are_sound(tracts: list[Summary]) -> bool:
    """Returns whether a handle can have written these summaries: names become paths, values are decoded later. The ids are
    compared with those of directories and packs before they are used.
    """
    fans = {fan for found in tracts for fan, _, _ in found.fans}
    heads = [found.head for found in tracts if found.head is not None]
    return (
        FANS.issuperset(fans) and are_hashes(heads) and canonical.are_objects({found.metadata_json for found in tracts})
    )
