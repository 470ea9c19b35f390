"""The listing of one tract's events: finds what any tool added or removed, by listing only directories that changed.

A directory whose inode and ctime are as at its last listing is not listed again, unless it had changed less than two
seconds before: it may have changed again within one tick of its ctime. Then its names are compared with those listed
before. Each pack is searched once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256

from msgspec import Struct

from tract_fs.store import files, tree
from tract_fs.store.arrivals import ArrivalsDamagedError
from tract_fs.store.events import Events
from tract_fs.store.layout import FANS, Layout, is_loose_name
from tract_fs.store.origins import Origins
from tract_fs.store.packs import Packs
from tract_fs.store.under_way import name_under_way

_SETTLED_NS = 2_000_000_000
_FEW_FANS = 16  # directories whose names are compared again at the next open rather than saved
_MANY = 256  # events; fewer are looked up one by one
_UNLISTED = (0, 0)  # in place of inode and ctime: look at all names in the directory next time


class KnownEvents:
    """A set of event hashes: those of the first `count` records of arrivals, and those added.

    States: the first ones are looked up in the rows of the index (`_origins`); once arrivals are damaged, all are in
    memory, as `read_all` returns them.
    """

    def __init__(self, origins: Origins | None = None, count: int = 0, read_all: Callable[[], set[str]] = set) -> None:
        self._fans: dict[str, set[str]] = {}
        self._recorded: dict[str, frozenset[str]] = {}  # by directory: events of rows that were read
        self._origins = origins if count else None
        self._count = count
        self._read_all = read_all

    def __contains__(self, name: str) -> bool:
        if name in self._fans.get(name[:2], ()):
            return True
        if self._origins is not None:
            try:
                return self._origins.has_event(bytes.fromhex(name), before=self._count)
            except ArrivalsDamagedError:
                self._add_all()
                return name in self._fans.get(name[:2], ())
        return False

    def __iter__(self) -> Iterator[str]:
        for fan in sorted(self.fans()):
            yield from self.in_fan(fan)

    def add(self, name: str) -> None:
        """Adds an event."""
        fan = self._fans.get(name[:2])
        if fan is None:
            fan = self._fans[name[:2]] = set()
        fan.add(name)

    def fans(self) -> set[str]:
        """Returns the directories that have events, as their names in the fan-out."""
        found = set[str]()
        if self._origins is not None:
            found.update(fan for fan in FANS - self._fans.keys() if self._recorded_in(fan))
        return found | self._fans.keys()  # which may be more by now: all, where rows could not be had

    def unknown_of(self, names: set[str]) -> set[str]:
        """Returns those of some events that are not in the set. Cost: for many, one look-up per directory."""
        if len(names) < _MANY:
            return {name for name in names if name not in self}
        by_fan: dict[str, set[str]] = {}
        for name in names:
            by_fan.setdefault(name[:2], set()).add(name)
        return {name for fan, there in by_fan.items() for name in there - self.in_fan(fan)}

    def in_fan(self, fan: str) -> set[str]:
        """Returns the events of one directory."""
        recorded = self._recorded_in(fan)
        return self._fans.get(fan, set()) | recorded

    def _recorded_in(self, fan: str) -> frozenset[str]:
        if self._origins is None:
            return frozenset()
        recorded = self._recorded.get(fan)
        if recorded is None:
            try:
                recorded = frozenset(self._origins.events_in_fan(int(fan, 16), before=self._count))
            except ArrivalsDamagedError:
                self._add_all()
                return frozenset(self._fans.get(fan, ()))
            self._recorded[fan] = recorded
        return recorded

    def _add_all(self) -> None:
        self._origins = None
        self._recorded.clear()
        for name in self._read_all():
            self.add(name)


class Seen(Struct, frozen=True):
    """What a look found: unknown events, whether known ones are gone, and what was listed for it."""

    new: set[str]
    is_gone: bool
    fans: dict[str, tuple[int, int]]
    packs: set[str]
    doubted: set[str]  # those of the packs that were damaged
    under_way: set[str]  # events that a copying tool has not finished
    steps: int  # of the listing, as the look began


class EventListing:
    """What was listed of a tract's directories and of the packs.

    States of a directory, in `fans`:

    - absent from `fans`: never listed, or not there. `note` or a look that finds it adds it.
    - unlisted: it is there; the next look compares its names with the known events.
    - listed a moment after its last change, with 0 and a digest of its names: the next look lists it again, and compares
      the names with the known events only if the digest is another one by then. `note` makes it unlisted.
    - listed, with inode and ctime: not listed again while these stay the same.

    A pack is in `packs_seen` once it was searched, and in `packs_doubted` too if it was damaged then: it is searched
    again at each look, since a copying tool may fill it in place. `look` changes none of these; `settle` accepts its
    result, and `forget` drops all. A directory with a file under way stays unlisted. `is_changed`: the saved view has an
    older state.
    """

    def __init__(self, tract: str, layout: Layout, packs: Packs, events: Events) -> None:
        self._tract = tract
        self._root = layout.root
        self._directory = layout.tract_events(tract)
        self._packs = packs
        self._events = events
        self.fans: dict[str, tuple[int, int]] = {}  # directory: inode, ctime in ns; or 0, digest of its names
        self._steps = 0  # rises whenever more events are known, and whenever a look is accepted
        self.packs_seen: set[str] = set()
        self.packs_doubted: set[str] = set()
        self.is_changed = False

    def forget(self) -> None:
        """Makes the next look list everything."""
        self.fans.clear()
        self.packs_seen.clear()
        self.packs_doubted.clear()

    def share(self, other: EventListing) -> None:
        """Accepts what another handle has listed of the same tract, which may know fewer events."""
        own = self.fans
        fans = {fan: seen if seen[0] or seen == own.get(fan) else _UNLISTED for fan, seen in other.fans.items()}
        self._accept(fans, set(other.packs_seen), set(other.packs_doubted))

    def note(self, name: str) -> None:
        """Adds the directory of an event that is known from now on, so that a look notices when it is removed."""
        fan = name[:2]
        if not self.fans.get(fan, _UNLISTED)[0]:
            self.fans[fan] = _UNLISTED
        self._steps += 1

    def root_inode(self) -> int:
        """Returns the inode of the store's directory: a copy of the store has another.

        Not that of the tract's directory: git removes a directory that it has emptied, and creates it again.
        """
        found = files.signature(self._root)
        return 0 if found is None else found[0]

    def look(self, known: Callable[[], KnownEvents]) -> Seen:
        """Returns events that are there and not known, and whether known events are gone. Cost: one stat per directory.

        The next look lists the same directories again, unless the caller calls `settle`.
        """
        steps = self._steps
        self._packs.refresh()
        packs, doubted, new = set(self.packs_seen), set(self.packs_doubted), set[str]()
        is_gone = self._look_at_packs(packs, doubted, new, known)
        fans, under_way = dict(self.fans), set[str]()
        present = set(tree.list_fans(self._directory))
        for fan, found in files.signatures(self._directory, present).items():
            before = fans.get(fan)
            if before == (found[0], found[2]):
                continue
            names = files.list_names(f"{self._directory}/{fan}")
            listed = 0, _digest_of(names)
            if before != listed:
                expected = known().in_fan(fan)
                loose, others = tree.split_fan(fan, names, known=expected)
                coming = {fan + name for other in others if is_loose_name(name := name_under_way(other) or "")}
                under_way |= coming
                new.update(set(loose) - expected)
                is_gone = is_gone or self._is_any_gone(expected.difference(loose, new))
                listed = _UNLISTED if coming else listed
            is_settled = listed is not _UNLISTED and time.time_ns() - found[2] > _SETTLED_NS
            fans[fan] = (found[0], found[2]) if is_settled else listed
        for fan in fans.keys() - present:
            is_gone = is_gone or self._is_any_gone(known().in_fan(fan) - new)
            del fans[fan]
        # another process may have packed loose files during the listing
        while self._packs.refresh() or self._packs.names != packs:
            is_gone = self._look_at_packs(packs, doubted, new, known) or is_gone
        if new:
            new = known().unknown_of(new)
        return Seen(new, is_gone, fans, packs, doubted, under_way, steps)

    def settle(self, seen: Seen) -> None:
        """Accepts the result of a look: what it listed is not listed again until it changes."""
        fans = seen.fans
        if seen.steps != self._steps:  # a digest shows nothing of events that are known since the look
            fans = {fan: found if found[0] else _UNLISTED for fan, found in fans.items()}
        self._accept(fans, seen.packs, seen.doubted)

    def _accept(self, fans: dict[str, tuple[int, int]], packs: set[str], doubted: set[str]) -> None:
        new = [seen for fan, seen in fans.items() if self.fans.get(fan) != seen]
        are_fans_changed = len(new) > _FEW_FANS or any(inode for inode, _ in new) or self.fans.keys() != fans.keys()
        are_packs_changed = (packs, doubted) != (self.packs_seen, self.packs_doubted)
        self.is_changed = self.is_changed or are_fans_changed or are_packs_changed
        self.fans, self.packs_seen, self.packs_doubted = fans, packs, doubted
        self._steps += 1

    def is_all_gone(self, known: KnownEvents) -> bool:
        """Returns whether known events are gone together with their directory."""
        lost = known.fans() - set(tree.list_fans(self._directory))
        return any(self._is_any_gone(known.in_fan(fan)) for fan in lost)

    def _look_at_packs(
        self, packs: set[str], doubted: set[str], new: set[str], known: Callable[[], KnownEvents]
    ) -> bool:
        """Adds the events of packs that are not in `packs`, or in `doubted`, to `new`; makes `packs` those that are there,
        and `doubted` the damaged ones of them.

        Returns whether known events are gone with removed packs.
        """
        there = set(self._packs.names)
        new.update(self._packs.event_names_in(there - (packs - doubted), self._tract))
        there &= self._packs.names  # without those that could not be read
        is_any_gone = bool(packs - there) and self._is_any_gone(name for name in known() if name not in new)
        packs.clear()
        packs.update(there)
        doubted.clear()
        if there:
            doubted.update(there & self._packs.damaged().keys())
        return is_any_gone

    def _is_any_gone(self, names: Iterable[str]) -> bool:
        missing = set(names)
        missing -= self._packs.listed(missing)
        return any(not self._events.exists(self._tract, name) for name in missing)


def _digest_of(names: list[str]) -> int:
    """Returns a number above 0 that differs for other names in a directory."""
    return 1 + int.from_bytes(sha256("/".join(sorted(names)).encode(errors="surrogateescape")).digest()[:7])
