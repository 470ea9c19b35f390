"""Settled packs: those that a packing may rely on when it removes the files that are their members.

A pack is settled once it has been in place for a grace time, so that a copy of the store that was being made meanwhile has the pack or the files; and,
where git tracks the store, once git tracks the pack, so that `git clean` takes neither.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from tract_fs.model.names import format_time
from tract_fs.store import files
from tract_fs.store.layout import STORE_DIRECTORY, Layout
from tract_fs.store.outer_git import TrackedStore

KEEP_NS = 3600 * 10**9  # as packing does if nothing else is asked for
Delay = Literal["", "untracked", "young"]


class SettledPacks:
    """Which packs are settled, as of now. Cost: a stat of each, and reads git's index."""

    def __init__(self, layout: Layout, packs: Iterable[str], *, keep_ns: int, store: TrackedStore | None) -> None:
        self._layout = layout
        self._keep_ns = keep_ns
        self._now_ns = time.time_ns()
        self._store = store
        packs = list(packs)
        self._tracked = set(packs) if store is None else store.tracks(packs)
        self._young_until_ns = 0
        self.names = {name for name in packs if not self.delay(name)}

    def add(self, name: str) -> bool:
        """Adds a pack that was just written; returns whether it is settled."""
        if self._store is None:
            self._tracked.add(name)
        is_settled = not self.delay(name)
        if is_settled:
            self.names.add(name)
        return is_settled

    def delay(self, name: str) -> Delay:
        """Returns why a pack is not settled yet; empty if it is."""
        if name not in self._tracked:
            return "untracked"
        found = files.times(self._layout.pack(name)) if self._keep_ns else (0, 0)
        changed_ns = self._now_ns if found is None else found[1]
        if self._now_ns - changed_ns >= self._keep_ns:
            return ""
        self._young_until_ns = max(self._young_until_ns, changed_ns + self._keep_ns)
        return "young"

    @property
    def young_until(self) -> str:
        """The time after which the packs that were found young are no longer so."""
        return f"{format_time(-(-self._young_until_ns // 1_000_000_000) * 1_000_000)[:19]}Z"


def describe_delays(counts: Mapping[str, int], young_until: str) -> Iterator[str]:
    """Yields why so many files, by the delay of the packs that have their bytes, stay for now, and what to do."""
    for delay, count in sorted(counts.items()):
        if count and delay == "untracked":
            yield f"{count} files stay until git tracks the packs that have their bytes: run 'git add {STORE_DIRECTORY}', later 'tract pack'"
        elif count and delay == "young":
            yield f"{count} files stay until {young_until}, for copies that are being made: run 'tract pack' after that"
