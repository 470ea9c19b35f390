"""The listing of one tract's events: finds what any tool brought or took away, by looking only at directories that changed.

A directory whose inode and ctime are as at its last listing is not listed again; one that changed within the last two seconds is not trusted to stand
still. Packs are looked through once each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from tract_fs.store import files, tree
from tract_fs.store.arrivals import ArrivalsDamagedError
from tract_fs.store.events import Events
from tract_fs.store.layout import Layout
from tract_fs.store.origins import Origins
from tract_fs.store.packs import Packs

_SETTLED_NS = 2_000_000_000
_ALL_FANS = frozenset(f"{number:02x}" for number in range(256))
_UNLISTED = (0, 0)  # of a directory that is there and must be listed again


class KnownEvents:
    """A set of event hashes, by their directory in the fan-out: those of the first `count` records that have rows, and those added.

    `read_all` reads the first ones from arrivals, where they can't be had from rows.
    """

    def __init__(self, origins: Origins | None = None, count: int = 0, read_all: Callable[[], set[str]] = set) -> None:
        self._fans: dict[str, set[str]] = {}
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
        """Takes in one event."""
        fan = self._fans.get(name[:2])
        if fan is None:
            fan = self._fans[name[:2]] = set()
        fan.add(name)

    def fans(self) -> set[str]:
        """Returns the directories that have events."""
        found = set[str]()
        if self._origins is not None:
            found.update(fan for fan in _ALL_FANS - self._fans.keys() if self._recorded_in(fan))
        return found | self._fans.keys()  # which may be more by now: all, where rows could not be had

    def in_fan(self, fan: str) -> set[str]:
        """Returns the events of one directory."""
        return self._fans.get(fan, set()) | self._recorded_in(fan)

    def _recorded_in(self, fan: str) -> set[str]:
        if self._origins is None:
            return set()
        low = bytes.fromhex(fan)
        try:
            found = self._origins.events_between(low + bytes(7), low + b"\xff" * 7, before=self._count)
        except ArrivalsDamagedError:
            self._add_all()
            return self._fans.get(fan, set())
        return {event.hex() for event in found}

    def _add_all(self) -> None:
        self._origins = None
        for name in self._read_all():
            self.add(name)


class Seen(NamedTuple):
    """What a look found."""

    new: set[str]
    is_gone: bool
    fans: dict[str, tuple[int, int]]
    packs: set[str]


class EventListing:
    """What was seen of a tract's directories and of the packs."""

    def __init__(self, tract: str, layout: Layout, packs: Packs, events: Events) -> None:
        self._tract = tract
        self._root = layout.root
        self._directory = layout.tract_events(tract)
        self._packs = packs
        self._events = events
        self.fans: dict[str, tuple[int, int]] = {}  # directory: inode, ctime in ns
        self.packs_seen: set[str] = set()
        self.is_changed = False  # since it was last saved

    def forget(self) -> None:
        """Lists everything the next time."""
        self.fans.clear()
        self.packs_seen.clear()

    def note(self, name: str) -> None:
        """Remembers that there is a directory for an event, so that it is missed when it goes."""
        self.fans.setdefault(name[:2], _UNLISTED)

    def root_inode(self) -> int:
        """Returns the inode of the store's directory: a copy of the store has another.

        Not that of the tract's: git takes away a directory that it has emptied, and makes it anew.
        """
        found = files.signature(self._root)
        return 0 if found is None else found[0]

    def look(self, known: Callable[[], KnownEvents]) -> Seen:
        """Returns what is there and not known, and whether known events are gone. Cost: one stat per directory.

        The directories are looked at again until the caller says by `settle` that it is done with what was seen.
        """
        self._packs.refresh()
        packs, new = set(self.packs_seen), set[str]()
        is_gone = self._look_at_packs(packs, new, known)
        fans = dict(self.fans)
        present = set(tree.list_fans(self._directory))
        for fan in present:
            found = files.signature(f"{self._directory}/{fan}")
            if found is None or fans.get(fan) == (found[0], found[2]):
                continue
            expected = known().in_fan(fan)
            loose = set(tree.list_fan(self._directory, fan, known=expected))
            new |= loose - expected
            is_gone = is_gone or self._is_any_gone(expected - loose - new)
            is_settled = time.time_ns() - found[2] > _SETTLED_NS
            fans[fan] = (found[0], found[2]) if is_settled else _UNLISTED
        for fan in fans.keys() - present:
            is_gone = is_gone or self._is_any_gone(known().in_fan(fan) - new)
            del fans[fan]
        # what was loose may have been packed amid the listing
        while self._packs.refresh() or self._packs.names != packs:
            is_gone = self._look_at_packs(packs, new, known) or is_gone
        if new:
            there = known()
            new = {name for name in new if name not in there}
        return Seen(new, is_gone, fans, packs)

    def settle(self, seen: Seen) -> None:
        """Does not look again at what was seen until it changes."""
        self.is_changed = self.is_changed or (self.fans, self.packs_seen) != (seen.fans, seen.packs)
        self.fans, self.packs_seen = seen.fans, seen.packs

    def is_all_gone(self, known: KnownEvents) -> bool:
        """Tells whether a directory that should hold known events is not there."""
        lost = known.fans() - set(tree.list_fans(self._directory))
        return any(self._is_any_gone(known.in_fan(fan)) for fan in lost)

    def _look_at_packs(self, packs: set[str], new: set[str], known: Callable[[], KnownEvents]) -> bool:
        """Adds the events of packs that were not looked at to `new`, and makes `packs` those there are; tells whether known events went with others."""
        there = set(self._packs.names)
        for pack in there - packs:
            new.update(self._packs.event_names(pack, self._tract))
        there &= self._packs.names  # less those that could not be read
        is_any_gone = bool(packs - there) and self._is_any_gone(name for name in known() if name not in new)
        packs.clear()
        packs.update(there)
        return is_any_gone

    def _is_any_gone(self, names: Iterable[str]) -> bool:
        return any(not self._events.exists(self._tract, name) for name in names)
