"""Reach: which of several heads have a commit in their history, found without a walk over what they all share.

Commits are visited from the newest to the oldest. A commit is younger than its parents (FORMAT.md, section 6), so the
walk ends where all that is left is in every history.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from tract_fs.model.history import ReadCommit, linear_order
from tract_fs.model.names import CommitHash


class Reach:
    """What the histories of `heads` share and what they do not. Cost: one read per commit that not all of them have."""

    def __init__(self, heads: Sequence[CommitHash], read: ReadCommit) -> None:
        self.heads = tuple(heads)
        self._read = read
        self._all = (1 << len(self.heads)) - 1
        self._bits: dict[CommitHash, int] = {}  # of the commits visited or queued: one bit per head that has it
        self._queue: list[tuple[int, CommitHash]] = []
        self._queued: set[CommitHash] = set()
        self._open_count = 0  # queued commits that not all heads are known to have
        for position, head in enumerate(self.heads):
            self._meet(head, 1 << position)
        while self._open_count:
            self._visit()

    def is_below(self, position: int, other: int) -> bool:
        """Returns whether the head at `position` is in the history of the head at `other`."""
        return self.has(other, self.heads[position])

    def has(self, position: int, commit: CommitHash) -> bool:
        """Returns whether a commit of any of the histories is in that of the head at `position`."""
        return bool(self._bits.get(commit, self._all) >> position & 1)

    def is_shared(self, commit: CommitHash) -> bool:
        """Returns whether a commit of any of the histories is in all of them."""
        return self._bits.get(commit, self._all) == self._all

    def shared(self) -> set[str]:
        """Returns shared commits, among them every one that is a parent of a commit that is not shared."""
        return {commit for commit, bits in self._bits.items() if bits == self._all}

    def unrelated(self) -> CommitHash | None:
        """Returns the first head that has no commit in common with the first one, nor through other heads; None if there is none."""
        related, masks = 1, set(self._bits.values())
        while masks:
            met = {bits for bits in masks if bits & related}
            if not met:
                break
            masks -= met
            for bits in met:
                related |= bits
        return next((head for position, head in enumerate(self.heads) if not related >> position & 1), None)

    def unshared(self) -> list[CommitHash]:
        """Returns the commits that some of the histories have and some have not, in no order."""
        return [commit for commit, bits in self._bits.items() if bits != self._all]

    def is_only(self, commit: CommitHash, position: int, other: int) -> bool:
        """Returns whether a commit is in the history of the head at `position` but not of that at `other`."""
        return self.has(position, commit) and not self.has(other, commit)

    def order(self, position: int) -> list[CommitHash]:
        """Returns the unshared end of a head's linear order; the whole order if that end has a merge."""
        head = self.heads[position]
        order = linear_order(head, self._read, known=self.shared())
        if any(len(self._read(commit).parents) > 1 for commit in order):
            return linear_order(head, self._read)  # a later parent may bring shared commits behind others
        return order

    def _visit(self) -> None:
        _, commit = heappop(self._queue)
        self._queued.discard(commit)
        bits = self._bits[commit]
        self._open_count -= bits != self._all
        for parent in self._read(commit).parents:
            self._meet(parent, bits)

    def _meet(self, commit: CommitHash, bits: int) -> None:
        before = self._bits.get(commit, 0)
        after = before | bits
        if after == before:
            return
        self._bits[commit] = after
        if commit in self._queued:
            self._open_count -= after == self._all
            return
        self._queued.add(commit)
        self._open_count += after != self._all
        heappush(self._queue, (-self._read(commit).created_us, commit))
