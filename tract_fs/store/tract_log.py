"""One tract in one copy: its view, kept up to date with what this copy's writers and any copying tool bring.

Arrivals list what local writers did, for the price of one stat. Directories are listed again only if they changed, and at most once a second. The view
is saved in a file of its own with the prefix of arrivals that it covers. Whenever a cache is damaged, everything is found again from the events themselves.
Nothing here writes truth.

A `TractLog` is in one of three states:

| state | the view is | left by |
|---|---|---|
| BROKEN | unfinished: nothing was loaded yet, an error cut off a fold, or the place of this copy went away | `open`: to CURRENT, from the saved view and newer records; `rebuild` |
| MISLED | the same, and arrivals are damaged where the saved view covers them | `rebuild`: to CURRENT, from the events alone |
| CURRENT | the fold of the first `_count` records of arrivals, and of the events in `_unrecorded` | an error amid a fold, damage of an event that a record names: to BROKEN; damage of arrivals: to MISLED |

In each call: `catch_up` follows arrivals and loads again what is not CURRENT; then `list_if_due` follows the directories. `rebuild` may be entered from
both, from `open`, and from `origins`, whenever a look-up finds arrivals damaged; it ends CURRENT, or raises and leaves BROKEN.

`_unrecorded` is empty unless this handle can't write arrivals (read-only, a full disk, or another writer has the lock, for which no read waits). While it is
not, the view is ahead of every stamp: `stamp` has the count -1, nothing is saved, and no append is recorded as plain. Once the lock is free, the next listing or
write records these events.

A handle that accepts gaps (`Parts.accepts_gaps`) counts a content that is missing or damaged as redacted. So it sees
events that other handles do not: it keeps these in `_unrecorded`, and writes no arrivals and no saved view but the
records of its own events.

`_is_offering` is set only while the view judges an event. Then other tracts' logs may ask this one what is visible, and it answers with what is visible so far.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, ExitStack, suppress
from enum import Enum
from functools import partial
from itertools import islice

from msgspec import Struct

from tract_fs.errors import (
    DamageError,
    FileUnreadable,
    HashMismatch,
    InvalidObject,
    LockTimeout,
    ObjectMissing,
    ReadOnlyError,
)
from tract_fs.model.damage import TORN, ZEROED, diagnose
from tract_fs.model.events import Event, Move, Redact
from tract_fs.model.incomplete import BY_CUT, BY_GIT, BY_USER
from tract_fs.model.lines import BringingMove
from tract_fs.model.names import CommitHash, ContentHash, EventHash, format_time
from tract_fs.model.objects import Commit
from tract_fs.model.view import Head, Pending, View
from tract_fs.store import arrivals, files, outer_git, redo, saved_view, tree
from tract_fs.store.address import Address, Kind
from tract_fs.store.arrivals import MOST_RECORDS, NO_BRANCH, NO_HASH, Arrivals, Record
from tract_fs.store.events import Events, as_event_hash
from tract_fs.store.folding import iter_in_causal_order, records_of
from tract_fs.store.index.file import IndexDamagedError, IndexFile, IndexUnwritableError
from tract_fs.store.layout import Layout
from tract_fs.store.listing import EventListing, KnownEvents, Seen
from tract_fs.store.objects import Objects
from tract_fs.store.origins import LEAST_ROWS, Origins
from tract_fs.store.packs import Packs
from tract_fs.store.quarantine import DamagedPack, PackLosses
from tract_fs.store.saved_view import SavedView

_monotonic = partial(time.monotonic)  # the clock itself: changes are to be noticed where a test has frozen the module's
_LISTING_INTERVAL_S = 1.0
_LISTING_SHARE = 20  # a listing that took long is not repeated before this many times its length
_READ_BACK_RECORDS = 1024
_SAVE_RECORDS = 32
_SAVE_EVERY_EVENTS = 512  # that this handle wrote
_SAVE_EVERY_RECORDS = 2048
_ROWS_LATER = 512  # records at most that are read from arrivals where rows would be as fast
_KEPT_RECORDS = 1 << 16  # so many of a rebuild stay in memory


class State(Enum):
    """See the table above."""

    BROKEN = "broken"
    MISLED = "misled"
    CURRENT = "current"


class Parts(Struct, frozen=True):
    """What a tract log needs of its store."""

    layout: Layout
    index: IndexFile
    packs: Packs
    objects: Objects
    events: Events
    locked: Callable[[], AbstractContextManager[None]]  # raises LockTimeout at once if another writer has the lock
    finds: Callable[[str, EventHash], bool]
    require_store: Callable[[], None]
    renew_place: Callable[[], bool]
    is_after_boot: Callable[[], bool]  # whether this copy last wrote in an earlier boot, where no saved view shows it
    redacted: Callable[[], frozenset[str]]
    note_redacted: Callable[[list[ContentHash]], None]
    quarantined: Callable[[str], dict[str, str]]
    losses: Callable[[str], PackLosses]
    read_only: bool
    accepts_gaps: bool


class Trace(Struct, frozen=True):
    """What records show of an event: the digest of the branch that it moves, and the last commit that it brings; empty where unknown."""

    branch: bytes
    commit: bytes


class TractLog:
    """The visible events of one tract, folded; implements view.Source. Its states are in the table at the top of this module."""

    def __init__(self, tract: str, parts: Parts) -> None:
        self.tract = tract
        self.view = View(tract)
        self._parts = parts
        self._find_place()
        self._state = State.BROKEN
        self._is_offering = False
        self._listing = EventListing(tract, parts.layout, parts.packs, parts.events)
        self._listed_at = 0.0
        self._like: TractLog | None = None  # of another handle; only while this one opens
        self._listing_pause_s = _LISTING_INTERVAL_S
        # events
        self.damaged: dict[str, str] = {}  # event hash: what is wrong with its file
        self.quarantined: dict[str, str] = {}  # event hash: why its file was quarantined; there is no other
        self.damaged_packs: list[DamagedPack] = []  # that had events of this tract, or may have had
        self.lost_in_packs: set[str] = set()  # events that these packs lack, as of the last look
        self.torn: set[str] = set()  # events that a power cut kept from being written whole: this copy never had them
        self._is_after_cut = False  # the machine was started again since the view was saved, and this handle opens now
        self.gone: set[str] = set()  # events that this copy knew and that are not visible now; most are missing
        self.accepted: dict[str, str] = {}  # those of them whose going is explained: how (model/incomplete.py)
        self._decided: set[str] = set()  # those of them that are missing, once it is decided whether that is explained
        self._is_undecided = False  # some other one is missing, and git may be about to explain it
        self._checkout = ""  # the state of the outer git repository when all but those gone were last seen
        self._may_lack = False  # a power cut may have taken events that a saved view covers; this handle opens now
        self.overruled: dict[str, str] = {}  # commit: the event whose config was shown before an earlier one came
        self.traces: dict[str, Trace] = {}  # of those gone, as far as records show anything
        self.under_way: list[str] = []  # paths of missing events, and of packs, that a copying tool has not finished
        self.changes = 0  # rises whenever one of these, or the pending events, may have changed
        self._known: KnownEvents | None = None  # visible events; built when first needed
        self._unrecorded: set[str] = set()  # visible events that are not in arrivals
        self._late: list[EventHash] = []  # those of them that `_admit` met, in the order of the view
        self._added: list[str] = []  # visible events of records that `_count` does not cover yet
        self._witnessed: set[str] = set()  # events that this handle wrote since the view was last saved
        # arrivals
        self._inode = 0
        self._count = 0
        self._chain = self._arrivals.start
        self._next_chain = self._arrivals.start  # after the records of the transaction being written
        self._own_records: list[Record] = []  # that this handle wrote since it last wrote rows, none of others between
        self._own_chain = b""  # the digest after them
        self._branches: dict[bytes, str] = {}  # by their digests in records
        self._saved_count = -1  # of the saved view
        self.is_durable = True  # all visible events are covered by the redo log, or were synced
        self.again_count = 0  # how often a visible event brought a commit that another brought before
        self.usage_count = 0  # how many records are of usage
        self.version = 0  # changes whenever the events that bring a commit may have changed

    def _find_place(self) -> None:
        """Sets the files to those in this copy's place; none is open yet."""
        parts, tract = self._parts, self.tract
        self._arrivals = Arrivals(parts.layout.tract_local(tract, "arrivals"), parts.layout.seal[:16])
        self.origins = Origins(
            tract, self._arrivals, parts.index, events=parts.events, objects=parts.objects, rebuild=self.rebuild
        )

    def move_to_place(self) -> None:
        """Continues in another place, because the one before is gone: everything is loaded again at the next call."""
        self._arrivals.close()
        self._find_place()
        self._state = State.BROKEN
        self.is_durable = False

    def distrust(self) -> None:
        """Loads everything again at the next call, since an error may have left this log half changed."""
        self._break()
        self._is_offering = False
        self._listing.forget()
        self._listed_at = -math.inf

    # what view.Source asks

    def event(self, tract: str, name: EventHash) -> Event | None:
        """Returns an event of any tract that is present, or None."""
        return self._parts.events.get(tract, name)

    def is_visible(self, tract: str, name: EventHash) -> bool:
        """Returns whether an event is visible."""
        if tract != self.tract:
            return self._parts.finds(tract, name)
        return self.shows(name)

    def shows(self, name: EventHash) -> bool:
        """Returns whether an event of this tract is visible, by what this log knows now."""
        return name in self.known() and name not in self.view.pending

    def finds(self, name: EventHash) -> bool:
        """Answers another tract's log whether an event is visible; looks for an event at once if it has a file.

        While this log itself judges an event, the answer covers what is visible so far. Times grow along parents, so that contains everything
        that the events offered next depend on.
        """
        if self._is_offering:
            return self.shows(name)
        for look in (self.catch_up, self.list_events):
            if self.shows(name):
                return True
            if not self._parts.events.exists(self.tract, name):
                return False
            look()
        return self.shows(name)

    def commit(self, name: CommitHash) -> Commit | None:
        """Returns a commit that is present and valid, or None."""
        return self._parts.objects.commit(name)

    def content_type(self, name: ContentHash) -> str | None:
        """Returns the type of a content; "" if it is absent and redacted, or this handle accepts gaps, ILL_FORMED if it is no valid content, None if it is missing."""
        return self._parts.objects.content_type(name) or (
            "" if self._parts.accepts_gaps or name in self._parts.redacted() else None
        )

    @property
    def hides_any(self) -> bool:
        """Whether some event takes no part: it is pending, damaged, gone unexplained or quarantined; or a damaged pack may have had some."""
        is_any = bool(self.view.pending or self.damaged or self.quarantined or self.damaged_packs)
        return is_any or len(self.gone) > len(self.accepted)

    def own_head(self, branch: str) -> Head | None:
        """Returns the head of a branch that this copy works on, or None."""
        moves = self.view.branches.get(branch)
        if moves is not None and len(moves) == 1:
            name, move = next(iter(moves.items()))
            return None if move.head is None else Head(move.head, name, move.at)
        return self.view.own_head(branch, self)

    def bringing_moves(self, name: CommitHash) -> list[BringingMove]:
        """Returns the visible moves that brought a commit, as far as their events can be read. Cost: a look-up, and a read
        of each event.
        """
        events = [(event.hex(), self.event(self.tract, as_event_hash(event))) for event in self.origins.events_of(name)]
        return [
            BringingMove(EventHash(event_name), event.at, op, self.view.lines.get(op.branch))
            for event_name, event in events
            if event is not None
            for op in event.moves_that_bring(name)
        ]

    # life

    def open(self, *, verify: bool, like: TractLog | None = None) -> None:
        """Loads the saved view and newer records; if the saved view is damaged or `verify` is set, loads the events alone.

        `like`: the log of this tract in another handle. What that has listed is not listed again before it is due there.
        """
        self._break()
        self._like = like
        try:
            self._open(verify=verify)
        finally:
            self._like = None

    def _open(self, *, verify: bool) -> None:
        saved = saved_view.read(self._parts.layout, self.tract)
        is_ours = saved is not None and self._is_ours(saved) and self._state is not State.MISLED
        self._is_after_cut = (
            saved.boot != redo.boot_id() if saved is not None and is_ours else self._parts.is_after_boot()
        )
        self._remember(saved if is_ours else None)
        self._may_lack = self._is_after_cut and not (saved is not None and is_ours and saved.is_durable)
        if verify or saved is None or not is_ours:
            self.rebuild(is_ours=is_ours, checkout=None if is_ours else self._checkout)
            if not (self.damaged or self.view.pending or self.gone):  # else what failed to be read may be readable now
                self._listed_at = _monotonic()
        else:
            self._load(saved)
            self._note_torn()
        self._is_after_cut = self._may_lack = False

    def _remember(self, saved: SavedView | None) -> None:
        """Uses what only a saved view of this copy shows: what is decided of the events that are gone, and what was shown before."""
        if saved is None:
            self.torn, self.accepted, self._decided, self.overruled = set(), {}, set(), {}
            self._checkout = self._checkout_now()
            return
        self.torn = set(saved.torn)
        self.accepted = dict.fromkeys(saved.gone, BY_USER) if saved.accepted is None else dict(saved.accepted)
        self._decided = set(saved.gone).difference(saved.undecided)
        self.overruled = dict(saved.overruled)
        self._checkout = saved.checkout

    def _load(self, saved: SavedView) -> None:
        """Uses a saved view of this copy, and follows what came since."""
        self.view = saved.view
        self._count, self._chain = saved.count, bytes.fromhex(saved.chain)
        self._inode = self._arrivals.signature()[0]
        self._listing.fans = dict(saved.fans)
        self._listing.packs_seen = set(saved.packs)
        self._listing.packs_doubted = set(saved.packs if saved.doubted is None else saved.doubted)
        self._saved_count = saved.count
        self.again_count, self.usage_count = saved.again_count, saved.usage_count
        self.is_durable = saved.is_durable
        self.gone = set(saved.gone)
        self.traces = {name: Trace(bytes.fromhex(b), bytes.fromhex(c)) for name, (b, c) in saved.traces.items()}
        self.version += 1
        self.changes += 1
        self._reset_origins()
        self._state = State.CURRENT
        self.catch_up()
        if self.view.pending:
            self._listed_at = -math.inf  # another handle may have found whole since what that view's had waited for
        else:
            self._share_listing()
        self.list_if_due()
        if self._parts.accepts_gaps and self.view.pending:
            self._admit(set())

    def _share_listing(self) -> None:
        """Uses what the other handle's log has listed, if this one now has all events that it has, and it misses none."""
        other = self._like
        if other is None or other._state is not State.CURRENT or other.hides_any or other.gone or self._unrecorded:
            return
        if not self.covers(*other.stamp()):
            return
        self._listing.share(other._listing)
        self._listed_at, self._listing_pause_s = other._listed_at, other._listing_pause_s

    def _note_torn(self) -> None:
        """After a power cut, notes which events this copy never had, since their files or an object of theirs were being
        written then, or copied.

        A durable commit was acknowledged only once the redo log had it, from which it has been written again by now. A
        cut leaves files that are empty, end early or contain zeros; other damage is not its doing.
        """
        if self._is_after_cut:
            self._listing.is_changed = True  # the next view is of this boot
            self.torn.update(name for name in self.damaged.keys() - self.gone if self._ends_early(name))
            self.torn.update(self._torn_pending())
            self.changes += 1

    def _torn_pending(self) -> set[str]:
        """Returns the pending events that wait for an object whose file has what a power cut leaves; without those that the
        saved view covers.
        """
        found: set[str] = {
            name
            for name, pending in self.view.pending.items()
            if pending.missing_kind != "event" and self._ends_early(pending.missing, "object")
        }
        if found:
            covered = islice(arrivals.iter_sound(self._arrivals), self._covered_count())
            found.difference_update([record.event.hex() for record in covered])
        return found

    def _ends_early(self, name: str, kind: Kind = "event") -> bool:
        """Returns whether a damaged file has what a power cut leaves."""
        address = Address(kind, name, self.tract if kind == "event" else "")
        data: bytes | None = None
        with suppress(OSError):
            data = files.read(address.path_in(self._parts.layout), limit_bytes=address.limit_bytes)
        return data is not None and diagnose(data, name).cause in (TORN, ZEROED)

    def save(self, *, records: list[Record] | None = None, has_rows: bool = True) -> None:
        """Saves the view and the rows of new records in the index, if it lags; a cache that can't be written is left alone.

        `records` are all there are, if the caller has them. Without `has_rows`, and where records are few, the first
        look-up that needs rows writes them.
        """
        if self._parts.read_only or self._parts.accepts_gaps or self._unrecorded or self._state is not State.CURRENT:
            return
        if self._count == self._saved_count and not self._listing.is_changed:
            return
        if self._arrivals.signature()[0] != self._inode:
            return
        self._note_checkout()
        saved = SavedView(
            count=self._count,
            is_durable=self.is_durable,
            gone=sorted(self.gone),
            traces={name: (trace.branch.hex(), trace.commit.hex()) for name, trace in self.traces.items()},
            chain=self._chain.hex(),
            again_count=self.again_count,
            usage_count=self.usage_count,
            view=self.view,
            fans=self._listing.fans,
            packs=sorted(self._listing.packs_seen),
            root=self._listing.root_inode(),
            boot=redo.boot_id(),
            torn=sorted(self.torn),
            doubted=sorted(self._listing.packs_doubted),
            checkout=self._checkout,
            accepted=self.accepted,
            undecided=sorted(self.gone - self._decided),
            overruled=self.overruled,
        )
        lags = self._count != self._saved_count
        if saved_view.write(self._parts.layout, self.tract, saved):
            self._witnessed.clear()
            self._saved_count = self._count
            self._listing.is_changed = False
        if lags and has_rows and self._count > LEAST_ROWS:
            self._save_rows(records)

    def save_if_long(self) -> None:
        """Saves the view if it lags far behind, or if none was saved yet. Of several writers at once, each saves it after so
        many events of its own.
        """
        is_first = self._saved_count < 0 < self._count
        lag = self._count - self._saved_count
        if is_first or len(self._witnessed) >= _SAVE_EVERY_EVENTS or lag >= _SAVE_EVERY_RECORDS:
            with suppress(OSError):
                self.save(has_rows=not is_first or self._count > _ROWS_LATER)
            if is_first:  # where it can't be written, the next comes when it is due
                self._saved_count = max(0, self._saved_count)

    def save_if_due(self) -> None:
        """Saves the view unless it lags by a few records only."""
        if not 0 < self.unsaved_count < _SAVE_RECORDS:
            self.save()

    def _save_rows(self, records: list[Record] | None) -> None:
        """Writes the rows of new records, and drops what is in memory if it is much; `records` are all there are, if given."""
        try:
            stamp, own = (self._count, self._chain.hex()), self._own_records
            self._own_records = []
            if records is not None:
                self.origins.replace_rows(records, stamp)
            elif self._own_chain != self._chain or not self.origins.append_rows(own, stamp):
                self.origins.extend_rows(self._count)
        except (OSError, IndexDamagedError, IndexUnwritableError, arrivals.ArrivalsDamagedError):
            return
        if records is not None or self.origins.is_long():
            self._reset_origins()

    def _reset_origins(self) -> None:
        """Drops the records in memory; rows cover them, or will."""
        self.origins.reset(self._count, self._chain, again_count=self.again_count, usage_count=self.usage_count)

    @property
    def unsaved_count(self) -> int:
        """How many records came since the view was saved."""
        return self._count - self._saved_count

    def first_stamp(self) -> tuple[int, str]:
        """Returns the stamp that covers nothing."""
        return 0, self._arrivals.start.hex()

    def stamp(self) -> tuple[int, str]:
        """Returns (count, digest) of the arrivals that the view covers; a count of -1 means that it covers more."""
        return (-1 if self._unrecorded else self._count), self._chain.hex()

    def records_since(self, count: int, chain: str, *, limit: int) -> tuple[list[Record], tuple[int, str]] | None:
        """Returns the records after a stamp, at most `limit`, and the stamp after them; None if the stamp does not belong to this file."""
        if self._unrecorded or not self.covers(count, chain):
            return None
        wanted = min(limit, self._count - count)
        found = list(arrivals.decode_records(self._arrivals.read(count, wanted), bytes.fromhex(chain)))
        if len(found) != wanted:
            return None
        last = found[-1][1].hex() if found else chain
        return [record for record, _ in found], (count + wanted, last)

    def commit_count(self) -> int:
        """Returns how many commits the visible events bring. Cost: reads arrivals."""
        if self._unrecorded:
            return len(self.origins.all_commits())
        kinds = self._arrivals.read(0, self._count)[:: arrivals.RECORD_BYTES]
        return sum(kinds.count(kind) for kind in arrivals.FIRST_KINDS)

    def listed_fans(self) -> dict[str, tuple[int, int]]:
        """Returns inode and ctime of the directories of events as they were listed; (0, 0): to be listed again."""
        return dict(self._listing.fans)

    def rest(self) -> None:
        """Closes the files until their next use."""
        self._arrivals.close()

    def iter_own_events(self, branch: str) -> Iterator[EventHash]:
        """Yields the events of this copy's writers that may hold a move of `branch`, newest first. Cost: reads arrivals backwards, as far as the caller goes."""
        digest = arrivals.branch_digest(branch)
        for end in range(self._count, 0, -_READ_BACK_RECORDS):
            start = max(0, end - _READ_BACK_RECORDS)
            data = self._arrivals.read(start, end - start)
            for record, _ in reversed(
                list(arrivals.decode_records(data, arrivals.chain_before(self._arrivals, start)))
            ):
                is_other = record.kind in arrivals.PLAIN_KINDS and record.branch != digest
                if record.kind in arrivals.OWN_KINDS and not is_other:
                    yield as_event_hash(record.event)

    def own_events_since(self, count: int, chain: str) -> tuple[set[bytes], tuple[int, str]]:
        """Returns the events of this copy's writers that arrivals record after a stamp, those that are gone included, and the stamp after them."""
        found: set[bytes] = set()
        for record, after in arrivals.iter_new(self._arrivals, count, self._count, bytes.fromhex(chain)):
            count, chain = count + 1, after.hex()
            if record.kind in arrivals.OWN_KINDS or record.kind == arrivals.GONE_OWN:
                found.add(record.event)
        return found, (count, chain)

    def covers(self, count: int, chain: str) -> bool:
        """Returns whether a stamp belongs to this copy's past."""
        if not 0 <= count <= self._count:
            return False
        found = self._arrivals.chain_at(count)
        return found is not None and found.hex() == chain

    def close(self, *, is_passing: bool = False) -> None:
        """Saves the view and closes the files. With `is_passing`, few records get their rows when these are needed: until then,
        they are read as fast from arrivals.
        """
        self.save(has_rows=not is_passing or self.unsaved_count > _ROWS_LATER)
        self._arrivals.close()

    # what local writers did

    def catch_up(self, *, is_locked: bool = False) -> None:
        """Follows what writers of this copy recorded since. Cost: one stat if nothing."""
        inode, count = self._arrivals.signature()
        is_same = inode == self._inode and self._arrivals.is_same(self._count, self._chain)
        if is_same and count == self._count and self._state is State.CURRENT:
            if is_locked and self._unrecorded:
                self._record_late()
            return
        if self._state is not State.CURRENT or count < self._count or (not is_same and self._inode):
            self._parts.renew_place()  # local/ may be gone
            self._reload()
            return
        self._inode = inode
        start_chain = self._chain
        found = list(arrivals.iter_new(self._arrivals, self._count, count, start_chain))
        is_short = len(found) < count - self._count
        if is_short and self._count and self._arrivals.chain_at(self._count) != start_chain:
            self._reload()  # the file was overwritten in place
            return
        kept = self._written([record for record, _ in found])
        if kept is None or (is_locked and len(kept) < len(found)):
            saved = saved_view.read(self._parts.layout, self.tract)
            is_covered = saved is not None and saved.count >= count and self._is_ours(saved)
            if kept is None or is_covered:
                self.rebuild(is_ours=is_covered)  # what a saved view of this copy covers was there, and is gone
                return
        self._state = State.BROKEN
        for record in kept:
            if not self._add_record(record, as_event_hash(record.event)):
                self.rebuild(is_ours=True)  # its file is damaged; so that its repair is noticed later
                return
        if kept:
            self._count += len(kept)
            self._chain = found[len(kept) - 1][1]
        self._added.clear()
        self._state = State.CURRENT
        if is_locked and self._count < count:  # a torn tail, or a writer that died before its rename
            self._arrivals.cut(self._count)
            self.list_events(is_forced=True)
        elif is_locked and self._unrecorded:
            self._record_late()

    def look_ahead(self) -> None:
        """Follows arrivals while the caller waits for the lock, unless it waits in order to rebuild the view."""
        if self._state is State.CURRENT:
            self.catch_up()

    def record_own(self, name: EventHash, records: list[Record]) -> None:
        """Applies a transaction of this handle whose records were just appended and whose event was written."""
        self._state = State.BROKEN
        is_added = True
        self._witnessed.add(name)
        for record in records:
            is_added = self._add_record(record, name) and is_added
        self._count += len(records)
        if self._own_chain != self._chain:
            self._own_records = []
        self._own_records += records
        self._chain = self._own_chain = self._next_chain
        self._added.clear()
        self._inode = self._inode or self._arrivals.signature()[0]
        if is_added:
            self._state = State.CURRENT

    def append_own(self, records: list[Record]) -> None:
        """Appends the records of a transaction before its event is written; the lock is held."""
        data, self._next_chain = arrivals.encode_records(records, self._chain)
        self._arrivals.append(data, self._count)

    def take_back(self) -> None:
        """Cuts off the records of a transaction whose event could not be written; the lock is held."""
        self._arrivals.cut(self._count)

    def branch_digest(self, branch: str) -> bytes:
        """Returns the digest of a branch's name in records."""
        for digest, name in self._branches.items():
            if name == branch:
                return digest
        return arrivals.branch_digest(branch)

    def is_plain(self, branch: str) -> bool:
        """Returns whether an append to `branch` may be recorded as plain: another handle that follows arrivals sees the same moves,
        since no event that it may find whole is pending here.
        """
        view = self.view
        has_one_line = len(view.event_heads) <= 1 and len(view.branches.get(branch, ())) <= 1
        return has_one_line and not self._unrecorded and not view.pending

    # what copying tools did

    def list_if_due(self) -> None:
        """Lists changed directories, if the last listing was long enough ago."""
        now = _monotonic()
        if now - self._listed_at >= self._listing_pause_s:
            self.list_events()
            spent_s = _monotonic() - now
            self._listed_at = now + spent_s
            self._listing_pause_s = max(_LISTING_INTERVAL_S, _LISTING_SHARE * spent_s)

    def list_events(self, *, is_forced: bool = False) -> None:
        """Finds events that copying tools brought or removed. Errors: StoreGone."""
        self._parts.require_store()
        self.catch_up()  # or rows of arrivals that another handle has replaced would show its events as known here
        if is_forced:
            self._listing.forget()
        seen = self._listing.look(self.known)
        if seen.is_gone or (is_forced and self._listing.is_all_gone(self.known())):
            self.rebuild(is_ours=True)
            return
        if self._unrecorded:
            with ExitStack() as held, suppress(OSError):  # arrivals can't be written: these events stay in memory
                if self._try_lock(held):
                    self.catch_up(is_locked=True)
        for name in [name for name in self.damaged if not self._parts.events.exists(self.tract, name)]:
            del self.damaged[name]
            self.changes += 1
        new = seen.new
        if new:
            self.catch_up()  # a writer of this copy records an event before it writes it, so most new files are known by now
            new = self.known().unknown_of(new)
        if new or self.view.pending or self.damaged:
            self._admit(new | self.damaged.keys())
        self._settle(seen)
        if self._saved_count < 0:
            self.save_if_long()

    def rebuild(self, *, is_ours: bool = False, checkout: str | None = None) -> None:
        """Folds all events from their files, each object verified, and writes new arrivals. `checkout`: the state of the outer git
        repository, if the caller has just looked at it.

        With `is_ours` the old arrivals are this copy's own for sure: an event that they list and that is missing counts
        as gone, but for the last one, whose writer may have died before it wrote the file. Without, only if the saved
        view covers it.
        """
        self._state = State.BROKEN
        with ExitStack() as held:
            is_empty = not self._arrivals.signature()[1] and not tree.list_fans(
                self._parts.layout.tract_events(self.tract)
            )
            is_empty = is_empty and not self._parts.packs.has_tract(self.tract)
            file = self._new_arrivals_file(held) if not is_empty and self._try_lock(held) else None
            own, known_before = self._own_and_known(is_ours=is_ours)
            try:
                records = self._rebuild(own, known_before, file, checkout)
            except arrivals.ArrivalsUnwritableError:
                records = self._rebuild(own, known_before, None, checkout)
            self._state = State.CURRENT
            if not is_empty:  # or the next handle that sees the new arrivals would rebuild as well
                self.save(records=records, has_rows=self._count > _ROWS_LATER)

    def _new_arrivals_file(self, held: ExitStack) -> files.NewFile | None:
        directory = self._arrivals.path.rpartition("/")[0]
        try:
            files.make_directory(directory)
            return held.enter_context(files.NewFile(directory, mode=0o666))
        except OSError:
            return None

    def _rebuild(
        self, own: set[str], known_before: set[str], file: files.NewFile | None, checkout: str | None
    ) -> list[Record] | None:
        """Folds all events from nothing; makes `file` the arrivals. Returns their records, or None if they are many.

        Memory: names and times of events, and hashes of commits; all records only where there is no file.
        """
        checkout = self._checkout_now() if checkout is None else checkout
        packs = self._listing.packs_seen - self._parts.packs.names
        self._listing.forget()
        self.view = View(self.tract)
        self.damaged.clear()
        self._known = KnownEvents()
        self._added.clear()
        self._unrecorded.clear()
        self._late.clear()
        self.again_count = self.usage_count = 0
        seen = self._listing.look(self.known)
        written = None if file is None else arrivals.NewArrivals(file, self._arrivals.start)
        visible: list[EventHash] = []
        brought: dict[bytes, bytes] = {}  # by the first event, in causal order
        last: list[Record] = []
        kept: list[Record] = []  # all, unless they are many and in a file

        def take(name: EventHash, event: Event) -> None:
            nonlocal last
            if written is not None:
                written.add(last)
            visible.append(name)
            kind = arrivals.OWN if name in own else arrivals.SEEN
            last = records_of(name, event, kind, self._parts.objects, brought.__contains__)
            if written is None or len(kept) < _KEPT_RECORDS:
                kept.extend(last)
            for record in last:
                first = brought.setdefault(record.commit, record.event)
                if record.kind == arrivals.BRINGS_AGAIN:
                    self.again_count += 1
                    if name in known_before and first.hex() not in known_before:
                        self.overruled.setdefault(record.commit.hex(), name)
                elif record.kind == arrivals.USAGE:
                    self.usage_count += 1

        self._apply_all(seen.new, own, take)
        self.version += 1
        self.changes += 1
        self.is_durable = not visible
        self.lost_in_packs = set()
        met = self._recorded_damaged()
        if self._is_after_cut:
            torn = {name for name in self.damaged.keys() - met if self._ends_early(name)}
            known_before -= torn | self._torn_pending()
        self.gone = (known_before | self._witnessed | met).difference(visible)
        self._note_torn()
        self.traces = self._find_traces()
        gone = [self._gone_record(name, is_own=name in own) for name in sorted(self.gone)]
        if written is not None:
            written.add(gone + last)  # an event's record is last, or the end of the file would look torn
            written.flush()
        if file is not None and written is not None and written.count:
            self._arrivals.replace(file)
            self._count, self._chain = written.count, written.chain
            self._inode = self._arrivals.signature()[0]
        if not written or not written.count or self._arrivals.chain_at(self._count) != self._chain:
            self._keep_in_memory(visible)
        records = None
        if self._unrecorded or len(kept) < _KEPT_RECORDS:
            records = [*kept[: len(kept) - len(last)], *gone, *last]
            self.origins.reset(0, self._arrivals.start, again_count=0, usage_count=0)
            for record in records:
                self.origins.add(record)
        else:
            self._reset_origins()
        self._saved_count = -1
        self._settle(seen, packs)
        if not self._is_undecided:
            self._checkout = checkout
        return records

    def _settle(self, seen: Seen, lost_packs: AbstractSet[str] = frozenset()) -> None:
        self._note_losses()
        set_aside = self._parts.quarantined(self.tract)
        if set_aside or self.quarantined:
            exists = self._parts.events.exists
            self.quarantined = {name: why for name, why in set_aside.items() if not exists(self.tract, name)}
            self.changes += 1
        for name in self.damaged:  # list its directory again, so that a repair in place is noticed
            seen.fans.pop(name[:2], None)
        self._parts.packs.forget_recent()
        self._listing.settle(seen)
        self._note_under_way(seen)
        if self.gone or self.accepted:
            self._decide(lost_packs)

    def _note_under_way(self, seen: Seen) -> None:
        missing = sorted(name for name in seen.under_way if name not in self.known())
        found = [Address("event", name, self.tract) for name in missing]
        found += [Address("pack", name) for name in sorted(self._parts.packs.under_way)]
        paths = [address.path for address in found]
        self.changes += paths != self.under_way
        self.under_way = paths

    def _decide(self, lost_packs: AbstractSet[str] = frozenset()) -> None:
        """Decides of the events that are newly missing whether anything explains it: see FORMAT.md, section 7."""
        missing = self.gone - self.view.pending.keys() - self.damaged.keys() - self.quarantined.keys()
        missing -= self.lost_in_packs
        self._decided &= missing
        self.accepted = {name: why for name, why in self.accepted.items() if name in missing}
        new = missing - self._decided
        self._is_undecided = False
        if not new:
            return
        explained = self._explain(new, lost_packs)
        if explained is None:
            self._is_undecided = True
        else:
            self._decided |= new
            self.accepted |= explained
            self._listing.is_changed = True
        self.changes += 1

    def _explain(self, names: set[str], lost_packs: AbstractSet[str]) -> dict[str, str] | None:
        """Returns those of the missing events whose going is explained, and how; None where git may be about to explain it."""
        if self._may_lack:
            return dict.fromkeys(names, BY_CUT)
        layout = self._parts.layout
        git = outer_git.outer_repository(layout.context)
        if git is None:
            return {}
        if outer_git.checkout_state(git.git_directory) == self._checkout:
            return None if outer_git.is_at_work(git.git_directory) else {}
        paths = {Address("event", name, self.tract).path: name for name in names}
        packs = {Address("pack", name).path for name in lost_packs}
        kept = outer_git.names_of_index(git, layout.root, packs | paths.keys())
        return {} if kept & packs else {name: BY_GIT for path, name in paths.items() if path not in kept}

    def _checkout_now(self) -> str:
        git = outer_git.git_directory(self._parts.layout.context)
        return "" if git is None else outer_git.checkout_state(git)

    def _note_checkout(self) -> None:
        """Notes the state of the outer git repository, if all events that are known are still there after a look at it."""
        now = self._checkout_now()
        if now != self._checkout and not self._is_undecided and not self._listing.look(self.known).is_gone:
            self._checkout = now

    def accept(self, names: AbstractSet[str]) -> None:
        """Stops missing events that are gone, until their files are back."""
        new = self.gone & names - self.accepted.keys()
        self.accepted |= dict.fromkeys(new, BY_USER)
        self._decided |= new
        self._listing.is_changed = self._listing.is_changed or bool(new)
        self.changes += 1

    def overruled_configs(self) -> Iterator[tuple[CommitHash, bytes, bytes]]:
        """Yields each commit of which this copy showed another generation config than now: that one, and the present one."""
        for name, event in self.overruled.items():
            commit = CommitHash(name)
            with suppress(DamageError):
                shown, now = self._parts.events.entry(self.tract, event, commit), self.origins.brought(commit)
                if shown is not None and now is not None and bytes(shown.config) != bytes(now.config):
                    yield commit, bytes(shown.config), bytes(now.config)

    def _note_losses(self) -> None:
        """Counts as gone the events that damaged packs are sure to lack."""
        losses = self._parts.losses(self.tract)
        lost = losses.events
        self.changes += losses.packs != self.damaged_packs
        self.damaged_packs = losses.packs
        if lost == self.lost_in_packs:
            return
        self.lost_in_packs = lost
        known, get = self.known(), self._parts.events.get
        gone = {name for name in lost - self.gone if name not in known and get(self.tract, name) is None}
        self._listing.is_changed = self._listing.is_changed or bool(gone)
        self.gone |= gone
        self.changes += 1

    def known(self) -> KnownEvents:
        """Returns the hashes of all visible events. Cost: reads the arrivals that have no rows, and few that have, the first
        time.
        """
        if self._known is None:
            covered = self.origins.first if self.origins.first > _ROWS_LATER else 0
            known = KnownEvents(self.origins, covered, lambda: self._recorded_events(covered))
            try:
                for record in arrivals.iter_records(self._arrivals, covered, self._count, self._chain):
                    if record.kind in arrivals.EVENT_KINDS:
                        known.add(record.event.hex())
            except arrivals.ArrivalsDamagedError:
                if not self._unrecorded:
                    self.rebuild()
                    return self.known()
            for name in (*self._unrecorded, *self._added):
                known.add(name)
            self._known = known
        return self._known

    # leaves

    def _recorded_damaged(self) -> set[str]:
        """Returns the damaged events that arrivals list: this copy knew them, even if its other caches are lost. After a
        power cut, only those that the saved view covers, or that a cut does not damage so: a later one may never have
        reached the disk.
        """
        records = enumerate(arrivals.iter_sound(self._arrivals) if self.damaged else ())
        end = self._covered_count() if self._is_after_cut and self.damaged else MOST_RECORDS
        found: dict[str, int] = {}
        for number, record in records:
            if (name := record.event.hex()) in self.damaged:
                found.setdefault(name, number)
        return {name for name, number in found.items() if number < end or not self._ends_early(name)}

    def _covered_count(self) -> int:
        """Returns how many records of arrivals the saved view covers; 0 if there is none of this copy."""
        saved = saved_view.read(self._parts.layout, self.tract)
        return saved.count if saved is not None and self._is_ours(saved) else 0

    def _find_traces(self) -> dict[str, Trace]:
        """Returns what the records in arrivals show of the events that are gone. Cost: reads arrivals, if any is gone."""
        found = {name: self.traces[name] for name in self.gone if name in self.traces}
        for record in arrivals.iter_sound(self._arrivals) if self.gone else ():
            name = record.event.hex()
            if name in self.gone:
                before = found.get(name, Trace(b"", b""))
                branch = before.branch if record.branch == NO_BRANCH else record.branch
                brings = record.commit != NO_HASH and record.kind != arrivals.USAGE
                found[name] = Trace(branch, record.commit if brings else before.commit)
        return found

    def _gone_record(self, name: str, *, is_own: bool) -> Record:
        trace = self.traces.get(name, Trace(b"", b""))
        kind = arrivals.GONE_OWN if is_own else arrivals.GONE
        return Record(kind, trace.branch or NO_BRANCH, bytes.fromhex(name), trace.commit or NO_HASH, 0)

    def _recorded_events(self, count: int) -> set[str]:
        """Returns the events of the first records, as far as the damaged arrivals can be read; everything is loaded again at the next call."""
        self._state = State.MISLED
        found: set[str] = set()
        for number, record in enumerate(arrivals.iter_sound(self._arrivals)):
            if number < count and record.kind in arrivals.EVENT_KINDS:
                found.add(record.event.hex())
        return found

    def _break(self) -> None:
        """Marks the view as unfinished."""
        if self._state is State.CURRENT:
            self._state = State.BROKEN

    def _add_record(self, record: Record, name: EventHash) -> bool:
        """Applies one record of the event `name`; False if this event is needed and damaged."""
        self._count_kinds(record)
        is_recorded = name not in self._unrecorded
        if is_recorded:
            self._add_to_commits(record)
        if record.kind not in arrivals.EVENT_KINDS:
            return True
        self.is_durable = self.is_durable and record.kind in arrivals.DURABLE_KINDS
        self._listing.note(name)
        if not is_recorded:
            self._unrecorded.discard(name)
            return True
        if len(self.gone) > len(self.accepted) and record.kind in arrivals.OWN_KINDS:
            self._overtake(name, record)
        self._added.append(name)
        if self._known is not None:
            self._known.add(name)
        if name in self.damaged:  # another handle read it, so its file was repaired meanwhile
            del self.damaged[name]
            self.changes += 1
        is_plain = record.kind in arrivals.PLAIN_KINDS and not self._is_after_cut  # a power cut may have torn its file
        if is_plain and self._add_plain(name, record):
            return True
        try:
            event = self._parts.events.require(self.tract, name)
        except DamageError:
            return False
        self._offer(name, event, is_own=record.kind in arrivals.OWN_KINDS)
        return True

    def _overtake(self, name: EventHash, record: Record) -> None:
        """Stops missing the events on which this copy had to build with a move that it made all the same (incomplete='use')."""
        branches = {record.branch}
        if record.kind not in arrivals.PLAIN_KINDS:
            event = self._parts.events.get(self.tract, name)
            ops = () if event is None else event.branch_ops()
            branches = {arrivals.branch_digest(op.branch) for op in ops if isinstance(op, Move)}
        for lost in self._decided - self.accepted.keys() if branches else ():
            branch = self.traces[lost].branch if lost in self.traces else b""
            if not branch or branch in branches:
                self.accept({lost})

    def _offer(self, name: EventHash, event: Event, *, is_own: bool) -> bool:
        """Applies an event to the view; False if it stays pending."""
        redacted = [op.object for op in event.ops if type(op) is Redact]
        if redacted:
            self._parts.note_redacted(redacted)
            self.changes += 1
        before = self.view.pending.get(name)
        self._is_offering = True
        try:
            return self.view.apply(name, event, self, is_own=is_own)
        finally:
            self._is_offering = False
            self.changes += self.view.pending.get(name) != before

    def _add_plain(self, name: EventHash, record: Record) -> bool:
        branch = self._branches.get(record.branch)
        if branch is None:
            self._branches = {arrivals.branch_digest(name): name for name in self.view.branches}
            branch = self._branches.get(record.branch)
        if branch not in self.view.branches or not self.is_plain(branch):
            return False
        moves = self.view.branches[branch]
        replaced = next(iter(moves), None)
        self.view.apply_plain_append(
            name, format_time(record.time_us), branch, CommitHash(record.commit.hex()), replaced
        )
        return True

    def _written(self, records: list[Record]) -> list[Record] | None:
        """Returns the records without those of the last event, if its file is missing (yet); None if an earlier event is missing.

        This copy's writers write each event before they record the next. So a missing earlier event is gone, or a power
        cut kept its file from the disk, but not its record, or the records are not of this copy.
        """
        end = len(records)
        is_last = True
        for position in range(len(records) - 1, -1, -1):
            record = records[position]
            if record.kind in arrivals.EVENT_KINDS and record.kind not in arrivals.OWN_KINDS:
                is_last = False
            elif record.kind in arrivals.OWN_KINDS:
                if not self._is_there(record):
                    if not is_last:
                        return None
                    end = position
                is_last = False
        if end < len(records) or (records and records[-1].kind not in arrivals.EVENT_KINDS):
            last = records[min(end, len(records) - 1)].event
            while end and records[end - 1].event == last:
                end -= 1
        return records[:end]

    def _is_there(self, record: Record) -> bool:
        parts = self._parts
        if not parts.events.exists(self.tract, record.event.hex()):
            return False
        return record.kind not in arrivals.PLAIN_KINDS or parts.objects.exists(record.commit.hex())

    def _admit(self, new: set[str]) -> None:
        """Applies new and pending events, and records the visible ones, if this handle can write."""
        visible: list[EventHash] = []
        records: list[Record] = []

        def take(name: EventHash, event: Event) -> None:
            if name in recorded:
                return
            visible.append(name)
            self._unrecorded.add(name)
            records.extend(self._add_seen(name, event))

        with ExitStack() as held:
            is_locked = self._try_lock(held)
            if is_locked:
                self.catch_up(is_locked=True)
            known = self.known()
            recorded = {name for name in self.view.pending if name in known}  # by a handle that had what they wait for
            own = self._own_and_known(is_ours=True)[0] if recorded else frozenset[str]()
            self._apply_all(new, own, take)
            if is_locked and records:
                with suppress(OSError):
                    self._record(records)
                    self._unrecorded.difference_update(visible)
            self._late += [name for name in visible if name in self._unrecorded]

    def _record_late(self) -> None:
        """Records what became visible while this handle could not write arrivals; the lock is held, the view caught up."""
        if self._parts.accepts_gaps:
            return
        late = [name for name in self._late if name in self._unrecorded]
        if len(late) != len(self._unrecorded):
            self.rebuild(is_ours=True)  # some came by a rebuild, in no order of arrivals
            return
        waiting = set(late)
        records: list[Record] = []

        def is_brought(commit: bytes) -> bool:
            return any(name.hex() not in waiting for name in self.origins.events_of(commit.hex()))

        for name in late:
            event = self._parts.events.get(self.tract, name)
            if event is None:
                self.rebuild(is_ours=True)
                return
            records += records_of(name, event, arrivals.SEEN, self._parts.objects, is_brought)
            waiting.discard(name)
        with suppress(OSError):
            self._record(records)
            self._unrecorded.clear()
            self._late.clear()

    def _record(self, records: list[Record]) -> None:
        data, chain = arrivals.encode_records(records, self._chain)
        self._arrivals.append(data, self._count)
        for record in records:
            self._count_kinds(record)
        self._count += len(records)
        self._chain = chain
        self._inode = self._arrivals.signature()[0]

    def _try_lock(self, held: ExitStack) -> bool:
        """Locks the store until `held` ends, if this handle can write arrivals and the lock is free; returns whether it did."""
        if self._parts.read_only or self._parts.accepts_gaps:
            return False
        try:
            held.enter_context(self._parts.locked())
        except (LockTimeout, ReadOnlyError, OSError):
            return False
        return True

    def _add_seen(self, name: EventHash, event: Event) -> list[Record]:
        records = records_of(name, event, arrivals.SEEN, self._parts.objects, self.origins.is_brought)
        self.is_durable = False
        for record in records:
            if record.kind == arrivals.BRINGS_AGAIN:
                self._note_overruled(record.commit.hex(), event.at, name)
            self._add_to_commits(record)
        return records

    def _note_overruled(self, commit: str, at: str, name: EventHash) -> None:
        """Notes the event whose config was shown of a commit, if the event `name` comes before it in causal order."""
        before = [(found.at, other) for other in self._bringing(commit) if (found := self.event(self.tract, other))]
        if before and (at, name) < min(before):
            self.overruled.setdefault(commit, min(before)[1])
            self._listing.is_changed = True

    def _bringing(self, commit: str) -> list[EventHash]:
        return [as_event_hash(name) for name in self.origins.events_of(commit)]

    def _add_to_commits(self, record: Record) -> None:
        self.origins.add(record)
        if record.kind == arrivals.BRINGS_AGAIN:
            self.version += 1

    def _count_kinds(self, record: Record) -> None:
        """Counts a record that is in arrivals."""
        self.usage_count += record.kind == arrivals.USAGE
        self.again_count += record.kind == arrivals.BRINGS_AGAIN

    def _apply_all(
        self, names: set[str], own: set[str] | frozenset[str], take: Callable[[EventHash, Event], None]
    ) -> None:
        """Offers events and the pending ones to the view in causal order, and calls `take` with each one that becomes visible.

        Memory: names and times; only events that bring a few thousand commits are kept, the others are read twice.
        """
        known = self.known()
        pending = self.view.pending
        fresh = map(EventHash, known.unknown_of(names) | pending.keys())
        before, damaged = dict(pending), dict(self.damaged)
        for name, event in iter_in_causal_order(fresh, self._readable):
            if self._offer(name, event, is_own=name in own):
                known.add(name)
                self.damaged.pop(name, None)
                self.torn.discard(name)
                self.gone.discard(name)
                self.accepted.pop(name, None)
                self._decided.discard(name)
                self.traces.pop(name, None)
                take(name, event)
                self.changes += 1
        self.changes += (before, damaged) != (self.view.pending, self.damaged)
        self._listing.is_changed = self._listing.is_changed or before != self.view.pending

    def _readable(self, name: EventHash) -> Event | None:
        """Returns an event; if its file is damaged, unreadable or missing, notes why and returns None."""
        try:
            return self._parts.events.require(self.tract, name)
        except InvalidObject as error:
            self.view.pending[name] = Pending(f"not understood: {error.reason}")
        except (HashMismatch, FileUnreadable) as error:
            self.damaged[name] = str(error)
            self.view.pending.pop(name, None)
        except ObjectMissing:
            self.view.pending.pop(name, None)
        return None

    def _is_ours(self, saved: SavedView) -> bool:
        """Returns whether a saved view is of this tract and copy, and covers a prefix of these arrivals."""
        chain = self._arrivals.chain_at(saved.count)
        is_here = saved.root == self._listing.root_inode() and saved.view.tract == self.tract
        return is_here and chain is not None and chain.hex() == saved.chain

    def _keep_in_memory(self, names: list[EventHash]) -> None:
        """Continues without writing arrivals: all visible events count as not recorded."""
        self._inode, self._count = self._arrivals.signature() if names else (0, 0)
        chain = self._arrivals.chain_at(self._count)
        if chain is None:  # it can't be read
            self._inode, self._count = 0, 0
        self._chain = chain or self._arrivals.start
        self._unrecorded = set(names)

    def _own_and_known(self, *, is_ours: bool) -> tuple[set[str], set[str]]:
        """Returns the events that arrivals list as this copy's own, as far as their chain is sound, and those that this
        copy surely knew.

        With `is_ours` these are all events in arrivals, but for an unwritten one at their end; without, those that the
        saved view covers.
        """
        own: set[str] = set()
        known: set[str] = set()
        saved = saved_view.read(self._parts.layout, self.tract)
        covered = 0
        if saved is not None and self._is_ours(saved):
            covered = saved.count
            known.update(saved.gone)
        last: Record | None = None
        number = -1
        for number, last in enumerate(arrivals.iter_sound(self._arrivals)):
            if last.kind in arrivals.OWN_KINDS or last.kind == arrivals.GONE_OWN:
                own.add(last.event.hex())
            if (is_ours or number < covered) and last.kind in arrivals.EVENT_KINDS | arrivals.GONE_KINDS:
                known.add(last.event.hex())
        if last is not None and number >= max(covered, self._seen_count()) and self._is_unwritten(last):
            known.discard(last.event.hex())
        return own, known

    def _seen_count(self) -> int:
        """Returns how many records of the arrivals on disk this handle followed: it saw the files of their events."""
        is_followed = not self._unrecorded and self._arrivals.chain_at(self._count) == self._chain
        return self._count if is_followed else 0

    def _is_unwritten(self, last: Record) -> bool:
        """Returns whether the last record is of an event without a file.

        A writer records an event before it writes it, and the next writer cuts off the record of one that was not
        written. So an event whose record is followed by others was there once. This one never was, or its writer is
        just about to write it.
        """
        name = last.event.hex()
        is_own = last.kind in arrivals.OWN_KINDS
        return (
            is_own
            and not self._parts.events.exists(self.tract, name)
            and name not in self._parts.quarantined(self.tract)
        )

    def _reload(self) -> None:
        """Loads everything again after another handle has replaced arrivals."""
        self._known = None
        self._added.clear()
        self._unrecorded.clear()
        self._late.clear()
        self._listing.is_changed = False
        checkout = self._checkout
        self.open(verify=False)
        lost = {name for name in self._witnessed if not self._parts.events.exists(self.tract, name)}
        if lost - self.gone:  # the other handle mistook their records for those of a killed writer
            self.gone |= lost
            self._checkout = checkout  # when this handle saw them last
            self._decide()
            self._listing.is_changed = True
