"""The listing of one tract's events: finds what any tool brought or took away, by looking only at directories that changed.

A directory whose inode and ctime are as at its last listing is not listed again; one that changed within the last two seconds is not trusted to stand
still. Packs are looked through once each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tract_fs.store import files
from tract_fs.store.events import Events
from tract_fs.store.layout import Layout
from tract_fs.store.packs import Packs

_SETTLED_NS = 2_000_000_000
_UNLISTED = (0, 0)  # of a directory that is there and must be listed again


class KnownEvents:
    """A set of event hashes, by their directory in the fan-out."""

    def __init__(self) -> None:
        self._fans: dict[str, set[str]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._fans.get(name[:2], ())

    def __iter__(self) -> Iterator[str]:
        for names in self._fans.values():
            yield from names

    def add(self, name: str) -> None:
        """Takes in one event."""
        self._fans.setdefault(name[:2], set()).add(name)

    def fans(self) -> set[str]:
        """Returns the directories that have events."""
        return set(self._fans)

    def in_fan(self, fan: str) -> set[str]:
        """Returns the events of one directory."""
        return self._fans.get(fan, set())


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
        new, is_gone = self._look_at_packs(known)
        fans = dict(self.fans)
        present = set(self._events.fans(self._tract))
        for fan in present:
            found = files.signature(f"{self._directory}/{fan}")
            if found is None or fans.get(fan) == (found[0], found[2]):
                continue
            loose = set(self._events.list_fan(self._tract, fan))
            new |= loose
            is_gone = is_gone or self._is_any_gone(known().in_fan(fan) - loose)
            is_settled = time.time_ns() - found[2] > _SETTLED_NS
            fans[fan] = (found[0], found[2]) if is_settled else _UNLISTED
        for fan in fans.keys() - present:
            is_gone = is_gone or self._is_any_gone(known().in_fan(fan))
            del fans[fan]
        if new:
            there = known()
            new = {name for name in new if name not in there}
        return Seen(new, is_gone, fans, set(self._packs.names))

    def settle(self, seen: Seen) -> None:
        """Does not look again at what was seen until it changes."""
        self.is_changed = self.is_changed or (self.fans, self.packs_seen) != (seen.fans, seen.packs)
        self.fans, self.packs_seen = seen.fans, seen.packs

    def is_all_gone(self, known: KnownEvents) -> bool:
        """Tells whether a directory that should hold known events is not there."""
        lost = known.fans() - set(self._events.fans(self._tract))
        return any(self._is_any_gone(known.in_fan(fan)) for fan in lost)

    def _look_at_packs(self, known: Callable[[], KnownEvents]) -> tuple[set[str], bool]:
        packs = self._packs.names
        if packs == self.packs_seen:
            return set(), False
        names = {name for pack in packs - self.packs_seen for name in self._packs.event_names(pack)}
        new = {name for name in names if self._events.may_be_of(self._tract, name)}
        return new, bool(self.packs_seen - packs) and self._is_any_gone(set(known()))

    def _is_any_gone(self, names: set[str]) -> bool:
        return any(not self._events.exists(self._tract, name) for name in names)
