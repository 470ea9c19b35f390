"""What the visible events of one tract say of its commits: which bring a commit, with what config and tokens, and what usage was told.

Arrivals know which event says what; where they turn out damaged, the log finds all anew and is asked once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from tract_fs.model.events import BroughtCommit, Usage
from tract_fs.model.names import CommitHash
from tract_fs.store.arrivals import ArrivalsDamagedError
from tract_fs.store.commit_events import CommitEvents
from tract_fs.store.events import Events
from tract_fs.store.objects import Objects

_T = TypeVar("_T")


class Said:
    """The answers for one tract."""

    def __init__(
        self, tract: str, commits: CommitEvents, events: Events, objects: Objects, *, rebuild: Callable[[], None]
    ) -> None:
        self._tract = tract
        self._commits = commits
        self._events = events
        self._objects = objects
        self._rebuild = rebuild

    def brought(self, commit: str) -> BroughtCommit | None:
        """Returns what is said of a commit: config and tokens, from the least (`at`, hash) of the events that bring it.

        None if no visible event of this tract brings it. Errors: ObjectMissing, HashMismatch, InvalidObject.
        """
        names = [name.hex() for name in self.events_of(commit)]
        if len(names) > 1:
            names.sort(key=lambda name: (self._events.require(self._tract, name).at, name))
        return self._events.entry(self._tract, names[0], commit) if names else None

    def events_of(self, commit: str) -> tuple[bytes, ...]:
        """Returns the events that bring a commit; empty if no visible event of this tract does."""
        try:
            return self._commits.events_of(bytes.fromhex(commit))
        except ArrivalsDamagedError:
            self._rebuild()
            return self._commits.events_of(bytes.fromhex(commit))

    def is_brought(self, commit: bytes) -> bool:
        """Tells whether a visible event brings a commit."""
        return bool(self.events_of(commit.hex()))

    def all_commits(self) -> list[bytes]:
        """Returns all commits that visible events bring, in the order in which they came, some more than once. Cost: reads all arrivals."""
        return self._ask(lambda: list(self._commits.iter_commits()))

    def commits_with_prefix(self, prefix: str) -> set[bytes]:
        """Returns the commits that visible events bring and whose hashes begin with some hexadecimal digits."""
        low, high = (bytes.fromhex((prefix + digit * 16)[:16]) for digit in "0f")
        found = self._ask(lambda: self._commits.commits_between(low, high))
        return {name for name in found if name.hex().startswith(prefix)}

    def usage(self, commit: str) -> Usage | None:
        """Returns the last usage told of a commit, or None."""
        digest = bytes.fromhex(commit)
        names = {name.hex() for name in self._ask(lambda: self._commits.usage_events_of(digest))}
        if not names:
            return None
        events = {name: self._events.require(self._tract, name) for name in names}
        last = max(events, key=lambda name: (events[name].at, name))
        return [op for op in events[last].ops if isinstance(op, Usage) and op.commit == commit][-1]

    def iter_brought(self) -> Iterator[tuple[int, str, bytes | None]]:
        """Yields creation time in microseconds, hash and config of every commit that a visible event brings, in the order in which they came."""
        for digest in self.all_commits():
            name = CommitHash(digest.hex())
            entry = self.brought(name)
            if entry is not None:
                yield self._objects.require_commit(name).created_us, name, bytes(entry.config) or None

    def _ask(self, look: Callable[[], _T]) -> _T:
        try:
            return look()
        except ArrivalsDamagedError:
            self._rebuild()
            return look()
