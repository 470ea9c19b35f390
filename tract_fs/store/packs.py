"""Packs: the bytes of many objects and events in one file, one per line, under a content name.

The index has the place of each member; the rows of a pack that has none are written from the pack. A member is hashed
each time it is read, so a wrong row can hide a member but never give wrong bytes; `renew` makes sure that none is
hidden. Format: FORMAT.md, section 8.

States of a pack, and what moves it from one to the next:

| state | where its members are looked up | left by |
|---|---|---|
| unread | nowhere yet | the next look-up: to *indexed* if the index has its rows, else it reads the pack |
| indexed | rows of the index | damage of the index: to *unread* |
| written | a dict of this handle, which wrote the pack (of objects alone) | many such members, or `close`: to *indexed* |
| held | a dict of this handle, which can't write the index | see below |
| doubted | rows, and a dict of the members to trust: the file does not hash to its name | its change: to *unread* |
| unreadable | nowhere; it is no longer one of `names` | its change: to *unread* |

`_unread` has the packs of the first state, `_held` those written, held or doubted, `_damaged` those doubted or
unreadable, each with what is wrong, and with the events that it lacks, as far as a list of its events or its rows prove
them; `_written` has what this handle wrote and the index may lack. A member of a pack that is indexed, written or held
and that does not hash to its name makes `renew` read the pack: to *doubted* or *unreadable*; if the pack is whole, its
rows were wrong, and the index is discarded. A pack that is removed leaves all of these.
"""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from itertools import accumulate
from typing import NamedTuple, Self, TypeVar

from tract_fs.model.damage import NO_FILE, TOO_LARGE, diagnose, unreadable
from tract_fs.model.members import (
    LIST_BASE_BYTES,
    LIST_NAME_BYTES,
    LIST_START,
    LIST_TRACT_BYTES,
    decode_event_list,
    encode_event_list,
    is_event_line,
    tract_of_event,
)
from tract_fs.model.names import are_hashes, hash_bytes, is_hash
from tract_fs.store import files
from tract_fs.store.address import MAX_PACK_BYTES as LIMIT_BYTES
from tract_fs.store.address import Address
from tract_fs.store.index.file import IndexDamagedError, IndexFile, IndexUnwritableError
from tract_fs.store.index.members import MemberIndex, PackMembers, Place
from tract_fs.store.layout import Layout
from tract_fs.store.pack_reader import LEAST_MEMBER_BYTES, PackReader, may_be_member
from tract_fs.store.suspects import Suspects
from tract_fs.store.under_way import name_under_way

_MOST_HELD = 1 << 17  # members of a held pack; for a larger one, the handle uses an index in memory
_MOST_WAITING = 1 << 17  # members without rows: rows cost less where many are written at once
_MOST_WAITING_PACKS = 64  # each of which a look-up asks
_SETTLED_NS = 2_000_000_000  # a directory may change again within the tick of its ctime
_WRITE_BYTES = 1 << 20
SMALL_BYTES = 32 * 1024 * 1024  # a pack of this size or more is never written again
_RECENT_BYTES = 32 * 1024 * 1024
_RECENT_OVERHEAD_BYTES = 200
_TRIES = 3  # of an index that is damaged each time
_HASH = re.compile(rb'([0-9a-f]{64})"')
_EVENT_TIME = re.compile(rb'^\{"event":\{"at":"([0-9T:.Z-]+)"', re.MULTILINE)

_T = TypeVar("_T")


class RecentMembers:
    """Verified members of packs that were just read; each is returned at most once. Keeps the first 32 MiB."""

    def __init__(self) -> None:
        self._members: dict[bytes, bytes] = {}
        self._left_bytes = _RECENT_BYTES

    def add(self, members: list[tuple[bytes, bytes]]) -> None:
        """Keeps members by their hashes, if there is room."""
        if self._left_bytes > 0:
            self._members.update(members)
            self._left_bytes -= sum(len(member) for _, member in members) + _RECENT_OVERHEAD_BYTES * len(members)

    def take(self, digest: bytes) -> bytes | None:
        """Returns a member and drops it; None if it is not kept."""
        return self._members.pop(digest, None)

    def clear(self) -> None:
        """Drops all members."""
        self._members.clear()
        self._left_bytes = _RECENT_BYTES


class PackDamage(NamedTuple):
    """What is wrong with a pack.

    `lost`: by tract, the hashes of the events that it had and lacks; None if it may have had any. `tracts`: those that
    it surely had events of.
    """

    signature: files.Signature | None  # of the file, as it was when it was read
    is_settled: bool  # a change of the file since then changes its signature
    cause: str
    lost: dict[str, list[bytes]] | None
    tracts: frozenset[str]

    def lost_of(self, tract: str) -> set[str]:
        """Returns the hashes of the lost events of a tract, and of those of an unknown one."""
        lost = self.lost or {}
        return {name.hex() for owner in ("", tract) for name in lost.get(owner, ())}


class _Held:
    """The members of one pack, in memory; of a doubted pack only those to trust."""

    def __init__(self, found: PackMembers) -> None:
        self._pack = found.pack
        self.members = {member[0]: member for member in found.members}
        self.events = found.events

    def place(self, digest: bytes) -> Place | None:
        """Returns where a member lies, or None."""
        member = self.members.get(digest)
        return None if member is None else Place(self._pack, member[1], member[2])

    def event_names(self, tract: str | None) -> Iterator[bytes]:
        """Yields the events of a tract and those of an unknown tract; with None those of all tracts."""
        for owner, names in self.events.items():
            if tract is None or owner in ("", tract):
                yield from names


class Packs:
    """The packs of one store; looks for new ones when the directory has changed. See the states above."""

    def __init__(
        self,
        layout: Layout,
        suspects: Suspects | None = None,
        *,
        index: IndexFile | None = None,
        read_only: bool = False,
    ) -> None:
        """`index`: by default one of its own, so that another thread can use these packs beside the store."""
        self._layout = layout
        self._is_index_shared = index is not None
        self._index = IndexFile(layout, read_only=read_only) if index is None else index
        self._members = MemberIndex(self._index)
        self._suspects = Suspects() if suspects is None else suspects
        self._signature: files.Signature | None = None
        self._is_settled = True  # a change of the directory since then changes its ctime
        self._reader = PackReader(layout)
        self._unread: set[str] = set()
        self._held: dict[str, _Held] = {}  # of packs held or doubted
        self._damaged: dict[str, PackDamage] = {}
        self._failures: dict[str, OSError] = {}  # packs with a member that could not be read
        self._misread: set[str] = set()  # packs with a member that did not hash to its name
        self._generation = 0  # of the index, when the last pack was read
        self._recent = RecentMembers()
        self._written: dict[str, PackMembers] = {}  # packs that this handle wrote, until they have rows
        self.names: set[str] = set()  # all packs but the unreadable ones
        self.under_way: set[str] = set()  # those that a copying tool has not finished

    # which packs there are

    def refresh(self) -> bool:
        """Notices packs that are new, removed, or changed after damage; returns whether there are any.

        Cost: one stat if nothing changed, and one per damaged pack.
        """
        signature = files.signature(self._layout.packs)
        healed = {name for name, seen in self._damaged.items() if self._may_have_changed(name, seen)}
        if signature == self._signature and self._is_settled and not healed:
            return False
        self._is_settled = _is_settled(signature)
        self._signature = signature
        there = files.list_names(self._layout.packs)
        are_all_packs = are_hashes(there)
        listed = set(there) if are_all_packs else {name for name in there if is_hash(name)}
        coming = () if are_all_packs else map(name_under_way, there)
        self.under_way = {name for name in coming if name is not None and is_hash(name)} - listed
        for name in healed | (self._damaged.keys() - listed):
            del self._damaged[name]
            self._held.pop(name, None)
            self._misread.discard(name)
        names = listed - {name for name in self._damaged if name not in self._held}
        if names == self.names and not healed:
            return False
        self._recent.clear()
        self._reader.forget()
        for name in (self.names - names) | healed:
            self._reader.close(name)
            self._held.pop(name, None)
            self._written.pop(name, None)
        self._unread = (self._unread & names) | (names - self.names) | (healed & names)
        self.names = names
        return True

    def _may_have_changed(self, name: str, seen: PackDamage) -> bool:
        signature = files.signature(self._layout.pack(name))
        return signature != seen.signature or (not seen.is_settled and _is_settled(signature))

    def renew(self, name: str) -> bool:
        """Makes sure that a member that was not found is in no pack; if it returns True, the caller must look again.

        Cost: `refresh`, and a check of the index rows in the bucket of the missing one, once.
        """
        if self.refresh():
            return True
        if not self.names:
            return False
        self._cover()
        try:
            self._members.require_absent(bytes.fromhex(name))
        except IndexDamagedError:
            return True
        misread, self._misread = self._misread - self._damaged.keys(), set()
        for pack in misread & self.names:
            if self._read_through(pack) is not None:
                self._index.discard()  # the pack is whole, so its rows are wrong
        return bool(misread)

    # members

    def read(self, name: str) -> bytes | None:
        """Returns the verified bytes of a member of any pack known, or None, which is sure only after `renew`."""
        if not self.names:
            return None
        digest = bytes.fromhex(name)
        member = self._recent.take(digest) or self._reader.near(digest)
        if member is not None:
            return member
        for pack, offset, size in self._places(digest):
            if pack in self.names:
                data = self._read_member(pack, offset, size, digest)
                if data is not None:
                    return data
        return None

    def failure(self, name: str) -> tuple[Address, OSError] | None:
        """Returns the pack that has a member and could not be read there, with the error; None if there is none."""
        for pack, _, _ in self._places(bytes.fromhex(name)) if self._failures else ():
            if pack in self._failures:
                return Address("pack", pack), self._failures[pack]
        return None

    def holder(self, name: str, packs: Collection[str]) -> str | None:
        """Returns one of `packs` that has the verified bytes of a member, or None if none is known to."""
        return self.holders(name, packs)[0]

    def holders(self, name: str, *choices: Collection[str]) -> list[str | None]:
        """Returns the same for each of several collections of packs. Cost: one look-up, and one read for each that has a member."""
        digest = bytes.fromhex(name)
        places = [place for place in self._places(digest) if place.pack in self.names]
        return [
            next(
                (
                    pack
                    for pack, offset, size in places
                    if pack in packs and self._read_member(pack, offset, size, digest) is not None
                ),
                None,
            )
            for packs in choices
        ]

    def has(self, name: str) -> bool:
        """Returns whether some pack known lists `name`; False is sure only after `renew`."""
        return bool(self.names) and any(place.pack in self.names for place in self._places(bytes.fromhex(name)))

    def listed(self, names: Iterable[str]) -> set[str]:
        """Returns those of many names that some known pack may have; `renew` must confirm that others are absent."""
        if not self.names:
            return set()
        digests = set(map(bytes.fromhex, names))
        found = self._ask(lambda: self._members.listed(digests))
        for held in self._held.values():
            found.update(held.members.keys() & digests)
        return {digest.hex() for digest in found}

    def event_names(self, pack: str, tract: str | None = None) -> list[str]:
        """Returns the hashes of the events in a pack: all, or those of a tract and of an unknown one.

        Empty if the pack can't be read; it is then no longer one of `names`.
        """
        found = self._ask(lambda: self._members.events(pack, tract))
        held = self._held.get(pack)
        names = [*found, *(() if held is None else held.event_names(tract))]
        return [name.hex() for name in dict.fromkeys(names)]

    def event_names_in(self, packs: Collection[str], tract: str) -> set[str]:
        """Returns the hashes of the events of a tract that some packs have; a pack that can't be read is then no longer one of `names`."""
        if not packs:
            return set()
        members = self._members
        found = self._ask(lambda: {d for pack in members.with_events(packs) for d in members.events(pack, tract)})
        for pack in self._held.keys() & set(packs):
            found.update(self._held[pack].event_names(tract))
        return {name.hex() for name in found}

    def member_names(self, pack: str) -> set[bytes]:
        """Returns the hashes of the members of a pack; empty if it can't be read."""
        found = self._ask(lambda: self._members.members(pack))
        held = self._held.get(pack)
        return {digest for digest, _, _ in found.members} if found is not None else set(held.members if held else ())

    def has_events(self, pack: str) -> bool:
        """Returns whether there are events in a pack."""
        found = self._ask(lambda: self._members.has_events(pack))  # which reads the pack, if it was not yet
        held = self._held.get(pack)
        return found or (held is not None and any(held.events))

    def has_tract(self, tract: str) -> bool:
        """Returns whether there are events of a tract in packs, or were some that a damaged pack lacks."""
        found = bool(self.names) and self._ask(lambda: self._members.has_tract(self.names, tract))
        return found or any(tract in events for events in self._events_in_memory())

    def tracts(self, packs: set[str] | None = None) -> set[str]:
        """Returns the tracts that have events in packs, or had some that a damaged pack lacks; with `packs`, those with rows of events in these."""
        names = self.names if packs is None else packs
        found = self._ask(lambda: self._members.tracts(names)) if names else set()
        return {tract for tract in found.union(*(self._events_in_memory() if packs is None else ())) if tract}

    def _events_in_memory(self) -> list[Mapping[str, list[bytes]]]:
        """Returns the events of held packs, and those that damaged ones lack, by tract."""
        held = [held.events for held in self._held.values()]
        return [*held, *(damage.lost or {} for damage in self._damaged.values())]

    def damaged(self) -> Mapping[str, PackDamage]:
        """Returns the packs whose bytes do not hash to their names or can't be read, as far as this handle has read packs."""
        if self.names:
            self._cover()
        return self._damaged

    def sizes(self) -> list[int]:
        """Returns the sizes in bytes of the packs."""
        return [size for name, size in files.list_files(self._layout.packs) if is_hash(name)]

    def close(self) -> None:
        """Writes the rows of the packs that this handle wrote, and closes the files."""
        self._save_written()
        self._reader.close_all()
        if not self._is_index_shared:
            self._index.close()

    def restart(self) -> None:
        """Drops all that is in memory, since an error may have left it half changed, and lists the packs again."""
        self._unread, self._held, self._damaged, self._misread, self._written = set(), {}, {}, set(), {}
        self.close()
        self._signature = None
        self.names = set()
        self._recent.clear()
        with suppress(OSError):
            self.refresh()

    def forget_recent(self) -> None:
        """Drops the members that were kept when their pack was read."""
        self._recent.clear()

    def _read_member(self, pack: str, offset: int, size: int, digest: bytes) -> bytes | None:
        try:
            data = self._reader.read(pack, offset, size, digest, keeps_near=pack not in self._damaged)
        except OSError as error:
            self._reader.close(pack)
            if error.errno not in files.UNREADABLE:
                raise
            self._failures[pack] = error
            return None
        if data == b"":
            self._suspects.note(Address("pack", pack))
            self._misread.add(pack)
        return data or None

    # where members lie

    def _places(self, digest: bytes) -> Sequence[Place]:
        self._cover()
        try:
            found = self._members.places(digest)
        except IndexDamagedError:
            found = self._ask(lambda: self._members.places(digest))
        if self._held:
            held = (held.place(digest) for held in self._held.values())
            return [*found, *(place for place in held if place is not None)]
        return found

    def _ask(self, look: Callable[[], _T]) -> _T:
        """Returns what `look` returns, once all packs have rows; repeats it where the index is damaged."""
        for _ in range(_TRIES):
            self._cover()
            with suppress(IndexDamagedError):
                return look()
        self._index.go_in_memory()
        self._cover()
        return look()

    def _cover(self) -> None:
        """Moves all packs out of *unread*: reads those without rows."""
        if not self._unread and self._generation == self._index.generation:
            return
        tries = 0
        while self._unread or self._generation != self._index.generation:
            if self._generation != self._index.generation:
                self._generation = self._index.generation
                self._unread = self.names - self._held.keys()
            tries += 1
            if tries == _TRIES:
                self._index.go_in_memory()
                continue
            with suppress(IndexDamagedError):
                self._unread.difference_update(self._members.packs())
                self._read_unread()
        is_many = len(self._written) > _MOST_WAITING_PACKS
        if is_many or sum(len(found.members) for found in self._written.values()) > _MOST_WAITING:
            self._save_written()

    def _read_unread(self) -> None:
        """Reads the packs that are *unread*, but for those that this handle wrote. Errors: IndexDamagedError."""
        waiting: list[PackMembers] = []
        for name in sorted(self._unread):
            found = self._written.get(name)
            if found is not None and not found.events:
                self._held[name] = _Held(found)
                self._unread.discard(name)
                continue
            found = self._written.pop(name, None) or self._read_through(name)
            if found is None:
                self._unread.discard(name)
                continue
            waiting.append(found)
            if sum(len(found.members) for found in waiting) > _MOST_WAITING:
                self._keep(waiting)
                waiting = []
        self._keep(waiting)

    def _keep(self, packs: list[PackMembers]) -> None:
        """Writes the rows of some packs, or keeps them in memory. Errors: IndexDamagedError."""
        if packs and not self._add_rows(packs):
            for found in packs:
                if len(found.members) > _MOST_HELD:
                    self._index.go_in_memory()
                else:
                    self._held[found.pack] = _Held(found)
        self._unread.difference_update([found.pack for found in packs])

    def _save_written(self) -> None:
        """Writes the rows of the packs that this handle wrote; those that can't be written now stay in memory."""
        packs = [found for found in self._written.values() if found.pack in self.names]
        self._written.clear()
        with suppress(IndexDamagedError):
            if packs and self._add_rows(packs):
                for found in packs:
                    self._held.pop(found.pack, None)

    def _add_rows(self, packs: list[PackMembers]) -> bool:
        """Returns whether the rows of some packs could be written. Errors: IndexDamagedError."""
        if self._index.is_writable():
            with suppress(IndexUnwritableError):
                self._members.add(*packs, present=self.names)
                return True
        return False

    def _read_through(self, name: str) -> PackMembers | None:
        """Returns what a whole pack contains; makes another one doubted or unreadable, and returns None."""
        path = self._layout.pack(name)
        signature: files.Signature | None = None
        try:
            signature = files.signature(path)
            found, actual = scan(path, name, self._recent)
            if found is not None and actual == name:
                return found
            data = None if found is None else files.read(path, limit_bytes=LIMIT_BYTES)
        except OSError as error:
            if error.errno not in files.UNREADABLE:
                raise
            self._doubt(name, signature, unreadable(error.strerror))
            return None
        if found is None or data is None:
            is_regular = files.times(path) is not None
            self._doubt(name, signature, TOO_LARGE if is_regular else NO_FILE)
            return None
        self._suspects.note(Address("pack", name))
        judged = self._judge(name, data, found)
        self._written.pop(name, None)
        self._reader.forget()
        self._held[name] = _Held(judged.trusted)
        self._note_damage(name, signature, judged.cause, judged.lost, found.events)
        return None

    def _doubt(self, name: str, signature: files.Signature | None, cause: str) -> None:
        """Makes a pack unreadable."""
        rows = self._rows_of(name)
        is_stray = cause == NO_FILE and rows is None  # a link or a directory that only has the name of a pack
        lost = None if rows is None else rows.events
        self._written.pop(name, None)
        self._held.pop(name, None)
        self._note_damage(name, signature, cause, {} if is_stray else lost, lost or ())
        self.names.discard(name)

    def _note_damage(
        self,
        name: str,
        signature: files.Signature | None,
        cause: str,
        lost: dict[str, list[bytes]] | None,
        tracts: Iterable[str],
    ) -> None:
        self._damaged[name] = PackDamage(signature, _is_settled(signature), cause, lost, frozenset(tracts) - {""})

    def _judge(self, name: str, data: bytes, found: PackMembers) -> _Judged:
        """Returns what to trust of a damaged pack with the lines `found`, and what it lacks.

        Its list of events, if that is whole and in its place, and rows that were written when the pack was whole, are
        complete. Without, an event counts if another line names it.
        """
        cause, mended = diagnose(data, name)
        if mended is not None:  # every line is as it was
            return _Judged(cause, found, {})
        listed = _listed_events(data)
        rows = self._rows_of(name)
        whole = listed if rows is None else rows.events
        known = [digest for events in (listed or {}, whole or {}) for names in events.values() for digest in names]
        lost = None
        if whole is not None:
            there = {digest for names in found.events.values() for digest in names}
            lost = {tract: [digest for digest in names if digest not in there] for tract, names in whole.items()}
            lost = {tract: names for tract, names in lost.items() if names}
        return _Judged(cause, _trusted(data, found, known), lost)

    def _rows_of(self, name: str) -> PackMembers | None:
        """Returns what a pack contained when it was whole: when it was written, or its rows were; None if unknown."""
        with suppress(IndexDamagedError):
            return self._written.get(name) or self._members.members(name)
        return None

    # for repair

    def good_members(self, name: str, data: bytes) -> list[bytes]:
        """Returns the members of a damaged pack, given its bytes, that are surely unchanged."""
        found = self._rows_of(name) or self._judge(name, data, _members_of(name, data)).trusted
        places = sorted({(offset, size, digest) for digest, offset, size in found.members})
        members = ((digest, data[offset : offset + size]) for offset, size, digest in places)
        return [member for digest, member in members if sha256(member).digest() == digest]

    def lost_events(self, name: str, data: bytes) -> dict[str, list[str]] | None:
        """Returns the hashes of the events, by tract, that a damaged pack had and lacks, given its bytes; None if it may have had any."""
        lost = self._judge(name, data, _members_of(name, data)).lost
        return None if lost is None else {tract: [digest.hex() for digest in names] for tract, names in lost.items()}

    def drop_wrong_rows(self, name: str, data: bytes) -> bool:
        """Discards the index if its rows of a good pack, given its bytes, are wrong; returns whether it did."""
        rows, right = self._rows_of(name), _members_of(name, data)
        if rows is None or (_sorted(rows) == _sorted(right)):
            return False
        self._index.discard()
        return True

    # for writing

    def include(self, found: PackMembers) -> None:
        """Accepts the members of a pack that was just written, so that the pack need not be read."""
        self._written[found.pack] = found
        self.refresh()

    def add(self, found: PackMembers, data: bytes, *, is_synced: bool) -> None:
        """Writes a pack that `assemble` made."""
        files.replace(self._layout.pack(found.pack), data, is_synced=is_synced)
        self.include(found)


def _is_settled(signature: files.Signature | None) -> bool:
    """Returns whether a change from now on changes the signature: the last one is longer ago than a tick of ctime."""
    return signature is None or time.time_ns() - signature[2] > _SETTLED_NS


class _Judged(NamedTuple):
    """What a damaged pack amounts to: what happened, the members to trust, and the events that it had and lacks (None: unknown)."""

    cause: str
    trusted: PackMembers
    lost: dict[str, list[bytes]] | None


class PackWriter:
    """Writes one pack member by member, and the list of its events at the end; memory grows only with that list."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        files.make_directory(layout.packs)
        self._file: files.NewFile | None = None  # made at the first write, when the context that removes it is entered
        self._digest = sha256()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._events: dict[str, list[str]] = {}  # by tract
        self._member_bytes = 0
        self._list_bytes = LIST_BASE_BYTES

    @property
    def size_bytes(self) -> int:
        """The size in bytes of the pack if it ends here, or a little more."""
        return self._member_bytes + self._list_bytes

    @property
    def is_empty(self) -> bool:
        """Whether it has no member yet."""
        return self._member_bytes == 0

    def add(self, name: str, member: bytes) -> None:
        """Appends a member: canonical JSON, and its hash."""
        if is_event_line(member):
            tract = tract_of_event(member) or ""
            self._list_bytes += LIST_NAME_BYTES if tract in self._events else LIST_TRACT_BYTES
            self._events.setdefault(tract, []).append(name)
        self._append(member)
        self._member_bytes += len(member) + 1

    def finish(self) -> tuple[str, int]:
        """Gives the pack its name; returns that and its size in bytes."""
        line = encode_event_list(self._events, self._member_bytes)
        self._append(line)
        file = self._write()
        name = self._digest.hexdigest()
        file.finish(self._layout.pack(name))
        return name, self._member_bytes + len(line) + 1

    def _append(self, line: bytes) -> None:
        self._waiting += (line, b"\n")
        self._waiting_bytes += len(line) + 1
        if self._waiting_bytes > _WRITE_BYTES:
            self._write()

    def _write(self) -> files.NewFile:
        data = b"".join(self._waiting)
        self._waiting, self._waiting_bytes = [], 0
        self._digest.update(data)
        if self._file is None:
            self._file = files.NewFile(self._layout.packs)
        self._file.write(data)
        return self._file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.__exit__()


def assemble(objects: Mapping[str, bytes]) -> tuple[PackMembers, bytes]:
    """Returns what a pack of these objects contains, and its bytes; each is canonical JSON under its hash."""
    sizes = list(map(len, objects.values()))
    size_bytes = sum(sizes) + len(sizes)
    data = b"\n".join((*objects.values(), encode_event_list({}, size_bytes), b""))
    offsets = accumulate([size + 1 for size in sizes], initial=0)
    members = list(zip(map(bytes.fromhex, objects), offsets, sizes, strict=False))
    return PackMembers(hash_bytes(data), members, {}), data


def scan(path: str, name: str, recent: RecentMembers | None = None) -> tuple[PackMembers | None, str]:
    """Returns the members of a pack, each line by its own hash, and the hash of the file; None if there is no pack.

    Puts the members themselves into `recent`, as far as they fit. Memory: the places of the members.
    """
    signature = files.signature(path)
    found = PackMembers(name, [], {})
    digest = sha256()
    if signature is None or signature[1] > LIMIT_BYTES:
        return None, ""
    try:
        offset = 0
        for block in files.iter_line_blocks(path, limit_bytes=LIMIT_BYTES):
            digest.update(block)
            _add_lines(found, block, offset, recent)
            offset += len(block)
    except FileNotFoundError:
        return None, ""
    return found, digest.hexdigest()


def first_member(path: str) -> str | None:
    """Returns the hash of the first line of a pack, or None if there is none, or the system can't read it."""
    try:
        for line in files.iter_lines(path, limit_bytes=LIMIT_BYTES):
            return hash_bytes(line.removesuffix(b"\n").removesuffix(b"\r"))
    except OSError as error:
        if error.errno not in (errno.ENOENT, *files.UNREADABLE):
            raise
    return None


def oldest_event(path: str) -> str:
    """Returns the least time of the events in a pack, as its lines show it unverified; empty if none does, or the system can't read it."""
    found: list[bytes] = []
    try:
        for block in files.iter_line_blocks(path, limit_bytes=LIMIT_BYTES):
            found += [min(times)] if (times := _EVENT_TIME.findall(block)) else []
    except OSError as error:
        if error.errno not in (errno.ENOENT, *files.UNREADABLE):
            raise
    return min(found, default=b"").decode()


def _members_of(name: str, data: bytes) -> PackMembers:
    found = PackMembers(name, [], {})
    _add_lines(found, data, 0)
    return found


def _sorted(found: PackMembers) -> tuple[list[tuple[bytes, int, int]], dict[str, list[bytes]]]:
    return sorted(found.members), {tract: sorted(names) for tract, names in found.events.items()}


def _add_lines(found: PackMembers, block: bytes, offset: int, recent: RecentMembers | None = None) -> None:
    """Adds the lines of a block, without the carriage returns of a tool that rewrote line ends."""
    lines = block.split(b"\n")
    offsets: Iterable[int] = accumulate([len(line) + 1 for line in lines], initial=offset)
    if b"\r" in block:
        lines = [line.removesuffix(b"\r") for line in lines]
    has_list = block.startswith(LIST_START) or b"\n" + LIST_START in block
    if has_list or min(map(len, lines[:-1]), default=0) < LEAST_MEMBER_BYTES:
        kept = [(at, line) for at, line in zip(offsets, lines, strict=False) if may_be_member(line)]
        offsets, lines = [at for at, _ in kept], [line for _, line in kept]
    elif len(lines[-1]) < LEAST_MEMBER_BYTES:
        lines.pop()
    members = [(sha256(line).digest(), line) for line in lines]
    found.members += [(digest, at, len(line)) for (digest, line), at in zip(members, offsets, strict=False)]
    for digest, line in members:
        if is_event_line(line):
            found.events.setdefault(tract_of_event(line) or "", []).append(digest)
    if recent is not None:
        recent.add(members)


def _listed_events(data: bytes) -> dict[str, list[bytes]] | None:
    """Returns the events of a damaged pack by its list, if one is whole and where it was written; None if there is none.

    A list elsewhere was carried along into this pack, or bytes before it are gone: it may not be complete.
    """
    at = data.find(LIST_START)
    while at >= 0:
        end = data.find(b"\n", at)
        found = (
            decode_event_list(data[at : len(data) if end < 0 else end]) if data[at - 1 : at] in (b"", b"\n") else None
        )
        if found is not None and found[0] == at:
            return {tract: list(map(bytes.fromhex, names)) for tract, names in found[1].items()}
        at = data.find(LIST_START, at + 1)
    return None


def _trusted(data: bytes, found: PackMembers, known: Iterable[bytes]) -> PackMembers:
    """Returns the members of a damaged pack, without the events that neither another line of it nor `known` names.

    An altered line hashes to some name too. An object that nothing names is harmless, but an event takes effect by
    being there.
    """
    named = {bytes.fromhex(name.decode()) for name in _HASH.findall(data)}.union(known)
    doubtful = {name for names in found.events.values() for name in names if name not in named}
    events = {tract: [name for name in names if name in named] for tract, names in found.events.items()}
    return PackMembers(found.pack, [member for member in found.members if member[0] not in doubtful], events)
