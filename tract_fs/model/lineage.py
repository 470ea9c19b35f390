"""Lineages: whether two sets of events of one tract come from one history.

Two that have no event in common, though each begins with one of its own, are two projects of one name. Where a side
has no first event, nothing is proved: it is a fork, or a part of a history that waits for the rest. Where both begin with the
same commit, they imported the same session.
"""

from __future__ import annotations

from tract_fs.model.events import Event, Move, split_parent


class Lineage:
    """The events of one tract on one side: their hashes, those of their parents in it, and the first of those without any parents."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.parents: set[str] = set()
        self.first: Event | None = None
        self._first_place = ("", "")

    def add(self, name: str, event: Event) -> None:
        """Adds an event."""
        self.names.add(name)
        parents = [
            parent for owner, parent in (split_parent(p, event.tract) for p in event.parents) if owner == event.tract
        ]
        self.parents.update(parents)
        if not event.parents and (self.first is None or (event.at, name) < self._first_place):
            self.first, self._first_place = event, (event.at, name)

    def is_unrelated(self, other: Lineage) -> bool:
        """Returns whether both sides begin with events and commits of their own and have nothing in common."""
        if self.first is None or other.first is None or self.first_commit() == other.first_commit():
            return False
        return (self.names | self.parents).isdisjoint(other.names) and self.names.isdisjoint(other.parents)

    def first_commit(self) -> str | None:
        """Returns the first commit that the first event brings, or moves a branch to; None if there is none."""
        ops = () if self.first is None else self.first.ops
        moves = [op for op in ops if isinstance(op, Move)]
        return next((op.commits[0].commit if op.commits else op.head for op in moves), None)
