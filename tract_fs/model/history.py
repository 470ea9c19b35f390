"""Histories: walks over commits by their parents, for every command alike.

The linear order of a history: the first parent's linear order, then for each further parent its linear order less what
is listed already, then the commit. Parents come before children; clocks do not matter. Nothing here recurses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
