"""Histories: walks over commits by their parents, for every command alike.

The linear order of a history: the first parent's linear order, then for each further parent its linear order less what
is listed already, then the commit. Parents come before children; clocks do not matter. Nothing here recurses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush

from tract_fs.model.names import CommitHash
from tract_fs.model.objects import Commit

ReadCommit = Callable[[CommitHash], Commit]


def linear_order(
    head: CommitHash, read: ReadCommit, *, known: frozenset[str] | set[str] = frozenset()
) -> list[CommitHash]:
    """Returns the linear order of the history of `head`, root first, less the commits in `known` and their histories.

    Cost: one read per commit listed. `known` must hold every ancestor of what it holds.
    """
    order: list[CommitHash] = []
    listed: set[str] = set()
    stack: list[tuple[CommitHash, Iterator[CommitHash]]] = []
    if head not in known:
        listed.add(head)
        stack.append((head, iter(read(head).parents)))
    while stack:
        commit, parents = stack[-1]
        for parent in parents:
            if parent not in listed and parent not in known:
                listed.add(parent)
                stack.append((parent, iter(read(parent).parents)))
                break
        else:
            order.append(commit)
            stack.pop()
    return order


def iter_newest_first(head: CommitHash, read: ReadCommit) -> Iterator[tuple[CommitHash, Commit]]:
    """Yields the linear order of `head` from its end, as lazily as the history allows.

    Along single parents each commit is read when it is needed; from a merge on, the rest is ordered at once.
    """
    name: CommitHash | None = head
    while name is not None:
        commit = read(name)
        if len(commit.parents) > 1:
            for ordered in reversed(linear_order(name, read)):
                yield ordered, read(ordered)
            return
        yield name, commit
        name = commit.parents[0] if commit.parents else None


def is_ancestor(ancestor: CommitHash, head: CommitHash, read: ReadCommit) -> bool:
    """Returns whether `ancestor` is `head` or in its history. `ancestor` must be readable.

    Cost: one read per commit of the history that is not older. A commit is younger than its parents (FORMAT.md, section
    6).
    """
    if ancestor == head or ancestor in read(head).parents:
        return True
    oldest = read(ancestor).created_at
    seen: set[str] = {head}
    queue: list[CommitHash] = [head]
    for name in queue:
        commit = read(name)
        if ancestor in commit.parents:
            return True
        if commit.created_at > oldest:
            fresh = [parent for parent in commit.parents if parent not in seen]
            seen.update(fresh)
            queue += fresh
    return False


class KnownHistory:
    """What was found of the history of a head: each commit is walked over once, however many are asked for.

    A head that grew from the last one keeps what is known of that.
    """

    _MOST_KEPT = 1 << 18  # commits

    def __init__(self, read: ReadCommit) -> None:
        self._read = read
        self.forget()

    def forget(self) -> None:
        """Drops all that is known."""
        self._head: CommitHash | None = None
        self._age = 0  # its time in microseconds since 1970, negated, as in the queue
        self._names: set[CommitHash] = set()
        self._queue: list[tuple[int, CommitHash]] = []  # a heap of those whose parents may not be among the names

    def has(self, head: CommitHash, name: CommitHash, created_us: int | None = None) -> bool:
        """Returns whether a commit is in the history of `head`. It must be readable, or its time given, in microseconds.

        Cost: one read per commit that is not older, and was not met before.
        """
        try:
            if head != self._head:
                self._go_to(head)
            age = -(self._read(name).created_us if created_us is None else created_us)
            self._walk_to(name, age, self._names, self._queue)
            found = name in self._names
        except BaseException:
            self.forget()  # a step may be half done
            raise
        if len(self._names) > self._MOST_KEPT:
            self.forget()
        return found

    def _go_to(self, head: CommitHash) -> None:
        names = {head}
        age = -self._read(head).created_us
        queue = [(age, head)]
        if self._head is not None:
            self._walk_to(self._head, self._age, names, queue)  # it may be gone, with a batch that was dropped
        if self._head not in names:
            self._names, self._queue = names, queue
        else:
            for entry in queue:
                if entry[1] not in self._names:
                    heappush(self._queue, entry)
            self._names |= names
        self._head, self._age = head, age

    def _walk_to(
        self, wanted: CommitHash, age: int, names: set[CommitHash], queue: list[tuple[int, CommitHash]]
    ) -> None:
        """Adds to `names` the history of those in `queue`, the newest first, until `wanted`, whose time is `-age`, is met, or
        only older ones are left.
        """
        while queue and queue[0][0] < age and wanted not in names:
            _, name = heappop(queue)
            for parent in self._read(name).parents:
                if parent not in names:
                    heappush(queue, (-self._read(parent).created_us, parent))
                    names.add(parent)
