"""Incomplete history: whether events that can't take part build on the head that a copy could show.

A copy never goes on from less than it had, nor starts from less than its files show. So a hidden event counts where this
copy knew it before and it builds on the head, and, in a copy whose head is not its own move, wherever it moves the
branch on from another move. What a copy in progress brings does not count where this copy works on its own line. A tail that
is gone as a whole, with nothing present that builds on it, does not count once something explains it. Nothing here reads a disk.
Rules: FORMAT.md, section 7.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Literal, NamedTuple

from msgspec import Struct

from tract_fs.model.events import Event, Move
from tract_fs.model.names import CommitHash, EventHash

LostKind = Literal["content", "commit", "event", "pack", "blob"]
BY_GIT = "git took it away"
BY_CUT = "a power cut took it away"
BY_USER = "it was accepted"
EXPLANATIONS = frozenset([BY_GIT, BY_CUT, BY_USER])  # why a known event is gone, and not missed


class Lost(Struct, frozen=True, order=True):
    """A file that is missing or damaged; `tract` is that of an event, else empty."""

    kind: LostKind
    hash: str
    tract: str = ""
    is_damaged: bool = False  # there is a file of this name, with other bytes
    cause: str = ""  # of the damage, where it is known

    @property
    def path(self) -> str:
        """The path from the store's root on."""
        if self.kind == "pack":
            return f"packs/{self.hash}"
        directory = f"events/{self.tract}" if self.kind == "event" else "objects"
        return f"{directory}/{self.hash[:2]}/{self.hash[2:]}"

    def describe(self) -> str:
        """Returns the path with what is wrong there."""
        cause = f" ({self.cause})" if self.cause else ""
        return f"{self.path} ({self.kind}) is {'damaged' if self.is_damaged else 'missing'}{cause}"


class Waiting(NamedTuple):
    """A whole event that is not visible, and the file that it waits for in the end."""

    event: Event
    lost: Lost


class Unread(Struct, frozen=True):
    """An event that is missing or damaged itself, with what this copy's records show of it."""

    lost: Lost
    commit: CommitHash | None  # the last that it brings; None: it is unknown
    is_of_branch: bool | None  # of the branch in question; None: it is unknown
    is_after_head: bool  # its commit builds on the head that could be shown, as far as that is known
    is_taken_back: bool  # it went together with what it brings
    is_accepted: bool = False  # it is missing, and something explains that: a checkout by git, or the user accepted it


class Incomplete(Struct, frozen=True):
    """What is hidden of a branch: the files that are lost, and the whole events that wait for them, oldest first."""

    branch: str
    lost: tuple[Lost, ...]
    events: tuple[EventHash, ...]
    commits: tuple[CommitHash, ...]  # that these events bring or set as heads, oldest first
    is_going_back: bool = False  # whole events are gone, nothing present builds on them: this copy's records show them


class Shown(Struct, frozen=True):
    """What a copy could show of a branch: the event of its head's move, if any."""

    branch: str
    event: EventHash | None
    is_own: bool  # this copy made the move


def find_incomplete(
    shown: Shown,
    waiting: Mapping[EventHash, Waiting],
    unread: Mapping[EventHash, Unread],
    *,
    known: Container[str],
    is_visible: Callable[[EventHash], bool],
    contains: Callable[[CommitHash], bool],
) -> Incomplete | None:
    """Returns what is hidden of a branch, or None if nothing that counts is.

    `known`: the events that this copy knew before. `contains` returns whether a head of the branch has a commit.
    """
    settled = _settled(shown.branch, waiting, contains)
    is_unknown = {name for name, found in unread.items() if found.is_after_head}
    events = [
        name
        for name in waiting
        if name not in settled
        and _counts(
            name, shown, waiting, known, lambda old: old in is_unknown or not (old in unread or is_visible(old))
        )
    ]
    events.sort(key=lambda name: (waiting[name].event.at, name))
    lost = {waiting[name].lost for name in events}
    missed = {name: found for name, found in unread.items() if _is_missed(name, found, shown, known, contains)}
    missed = {name: found for name, found in missed.items() if name not in settled}
    lost.update(found.lost for found in missed.values())
    if not lost:
        return None
    commits: dict[CommitHash, None] = {}
    for name in events:
        for op in waiting[name].event.branch_ops():
            if op.branch == shown.branch and isinstance(op, Move):
                commits.update((entry.commit, None) for entry in op.commits)
                commits[op.head] = None
    is_going_back = not events and all(found.is_taken_back for found in missed.values())
    return Incomplete(shown.branch, tuple(sorted(lost)), tuple(events), tuple(commits), is_going_back)


def _counts(
    name: EventHash,
    shown: Shown,
    waiting: Mapping[EventHash, Waiting],
    known: Container[str],
    is_unknown: Callable[[EventHash], bool],
) -> bool:
    for op in waiting[name].event.branch_ops():
        if op.branch != shown.branch:
            continue
        if not shown.is_own:
            return shown.event is None or any(
                replaced not in waiting for replaced in _replaced(name, shown.branch, waiting)
            )
        return name in known and any(
            replaced == shown.event or (replaced not in waiting and is_unknown(replaced))
            for replaced in _replaced(name, shown.branch, waiting)
        )
    return False


def _settled(
    branch: str, waiting: Mapping[EventHash, Waiting], contains: Callable[[CommitHash], bool]
) -> set[EventHash]:
    """Returns the events whose outcome is in a head of the branch, as after an adoption, and those that they replaced."""
    found: set[EventHash] = set()
    for name, (event, _) in waiting.items():
        ops = (op for op in event.branch_ops() if op.branch == branch)
        if any(isinstance(op, Move) and contains(op.head) for op in ops):
            found.update((name, *_replaced(name, branch, waiting)))
    return found


def _replaced(name: EventHash, branch: str, waiting: Mapping[EventHash, Waiting]) -> list[EventHash]:
    """Returns the events whose moves of a branch a hidden event replaced, directly or through hidden moves.

    A move on the way that can't be read may have replaced anything, the move of the head too.
    """
    seen: dict[EventHash, None] = {}
    queue = [name]
    for current in queue:
        found = waiting.get(current)
        for op in () if found is None else found.event.branch_ops():
            if op.branch == branch:
                fresh = [replaced for replaced in op.replaces if replaced not in seen]
                seen.update(dict.fromkeys(fresh))
                queue.extend(fresh)
    return list(seen)


def _is_missed(
    name: EventHash, found: Unread, shown: Shown, known: Container[str], contains: Callable[[CommitHash], bool]
) -> bool:
    """Returns whether an event that can't be read may have moved the branch on from what is shown."""
    if found.is_accepted or found.is_of_branch is False or (found.commit is not None and contains(found.commit)):
        return False
    return not shown.is_own or (name in known and found.is_after_head)
