"""Adoption: brings pending commits back as second heads when the events that they wait for are gone for good.

A pending event has no effect until its parents are visible. If these will never come (a rebase, a sync with --delete), each head whose whole history
is here is written in a new ordinary event, as a move that replaces nothing: a further head, on no copy's own line. If the parents return after all,
equal heads count as one and ancestors are hidden, so nothing is doubled. Rules: FORMAT.md, sections 6 and 7.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tract_fs.errors import DamageError
from tract_fs.model.events import (
    MAX_EVENT_BYTES,
    BroughtCommit,
    Delete,
    Event,
    Move,
    NewCommit,
    Reset,
    encode_event,
    fault_of_entry,
    move_op,
    split_parent,
)
from tract_fs.model.history import is_ancestor, linear_order
from tract_fs.model.names import LAST_YEAR, CommitHash, EventHash, format_time, next_time, require_step
from tract_fs.model.objects import fault_of_commit
from tract_fs.upkeep.status import state_of
from tract_fs.work.reader import TractReader

_PART_BYTES = MAX_EVENT_BYTES // 2
_ENTRY_BYTES = 128  # of a commit in an event, and of each counter's name, about


class Adopted(NamedTuple):
    """The result: "branch head" for each head brought back, "event: reason" for each event that could not be adopted."""

    heads: list[str]
    refused: list[str]


class _Candidate(NamedTuple):
    """A head to bring back, with the commits of its history that no visible event brings, parents first."""

    branch: str
    head: CommitHash
    commits: list[CommitHash]


class Adoption:
    """Adopts the pending events of one tract; the store's lock is held, and the log has listed what is there."""

    def __init__(self, reader: TractReader, *, now_us: int) -> None:
        self._reader = reader
        self._now_us = now_us
        log = reader.log
        self._known: set[str] = {digest.hex() for digest in log.origins.all_commits()} | reader.foreign.names()
        self._pending: dict[EventHash, Event] = {}
        self._entries: dict[
            CommitHash, tuple[str, EventHash, BroughtCommit]
        ] = {}  # the least (at, event) that brings it
        self._refused: list[str] = []

    def run(self) -> Adopted:
        """Writes the events, and returns the result. A second adoption changes nothing."""
        self._read_pending()
        found = self._largest(list(self._candidates()))
        for candidate in found:
            self._write(candidate)
        return Adopted(sorted(f"{branch} {head}" for branch, head, _ in found), sorted(self._refused))

    def _write(self, candidate: _Candidate) -> None:
        """Writes the move to a head; a long history in parts, each with a move that replaces the one before."""
        log = self._reader.log
        commits = [name for name in candidate.commits if name not in self._known]
        replaces: list[str] = []
        while True:
            part, commits = self._part_of(commits)
            head = part[-1] if commits else candidate.head
            data = self._event(candidate.branch, head, part, replaces)
            replaces = [self._reader.store.add_event(log.tract, data)]
            self._known.update(part)
            log.list_events(is_forced=True)
            if not commits:
                return

    def _part_of(self, commits: list[CommitHash]) -> tuple[list[CommitHash], list[CommitHash]]:
        """Returns the commits of one event, and the rest."""
        size = 0
        for number, name in enumerate(commits):
            entry = self._entries.get(name)
            size += _ENTRY_BYTES + (0 if entry is None else len(entry[2].config) + _ENTRY_BYTES * len(entry[2].tokens))
            if size > _PART_BYTES and number:
                return commits[:number], commits[number:]
        return commits, []

    def _read_pending(self) -> None:
        log = self._reader.log
        for name, pending in sorted(log.view.pending.items()):
            event = log.event(log.tract, name) if pending.missing else None
            if event is None:
                self._refused.append(f"{name}: {pending.reason}")
                continue
            self._pending[name] = event
            for entry in event.iter_commits():
                found = (event.at, name, entry)
                if entry.commit not in self._entries or found[:2] < self._entries[entry.commit][:2]:
                    self._entries[entry.commit] = found

    def _candidates(self) -> Iterator[_Candidate]:
        seen: set[tuple[str, CommitHash]] = set()
        dropped = self._dropped()
        for name, event in self._pending.items():
            for op in event.branch_ops():
                if not isinstance(op, Move) or (op.branch, name) in dropped or (op.branch, op.head) in seen:
                    continue
                if self._is_kept(op):
                    continue
                try:
                    commits = linear_order(op.head, self._reader.commit, known=self._known)
                    reason = self._why_refused(commits)
                except DamageError as error:
                    reason = self._why_missing(error.hash)
                if reason:
                    self._refused.append(f"{name}: head {op.head} of branch {op.branch!r}: {reason}")
                    continue
                seen.add((op.branch, op.head))
                yield _Candidate(op.branch, op.head, commits)

    def _dropped(self) -> set[tuple[str, EventHash]]:
        """Returns the pending moves, by branch and event, that a pending reset or delete replaces: they must not come back."""
        ops = [op for event in self._pending.values() for op in event.branch_ops()]
        queue = [(op.branch, name) for op in ops if isinstance(op, (Reset, Delete)) for name in op.replaces]
        found = set(queue)
        for branch, name in queue:
            event = self._pending.get(name)
            replaced = [] if event is None else [op.replaces for op in event.branch_ops() if op.branch == branch]
            fresh = [(branch, older) for names in replaced for older in names if (branch, older) not in found]
            found.update(fresh)
            queue.extend(fresh)
        return found

    def _is_kept(self, op: Move) -> bool:
        """Returns whether visible moves already have the commits and the branch of a move."""
        log = self._reader.log
        if log.commit(op.head) is None:
            return False
        heads = log.view.heads(op.branch, log)
        if any(is_ancestor(op.head, shown.commit, self._reader.commit) for shown in heads):
            return True
        return op.head in self._known and op.branch in log.view.branches

    def _why_refused(self, commits: list[CommitHash]) -> str:
        """Returns why no event may bring these commits, or an empty string."""
        for name in commits:
            commit, entry = self._reader.commit(name), self._entries.get(name)
            found = "" if commit.content is None else self._reader.log.content_type(commit.content)
            if found is None:
                return self._why_missing(commit.content or "")
            fault = fault_of_commit(commit, found) or (None if entry is None else fault_of_entry(entry[2]))
            if commit.created_at >= LAST_YEAR:
                fault = "it brings a commit of the last year of the format"
            if fault is not None:
                return f"{name} can't come in: {fault}"
        return ""

    def _why_missing(self, name: str) -> str:
        return f"{name} is missing ({state_of(self._reader, name)})"

    def _largest(self, candidates: list[_Candidate]) -> list[_Candidate]:
        """Leaves out the heads that another head of the same branch contains."""
        read = self._reader.commit
        return [
            found
            for found in candidates
            if not any(
                other.branch == found.branch and other.head != found.head and is_ancestor(found.head, other.head, read)
                for other in candidates
            )
        ]

    def _event(self, branch: str, head: CommitHash, commits: list[CommitHash], replaces: list[str]) -> bytes:
        log = self._reader.log
        foreign = dict(self._foreign_parents(commits))
        made = (self._reader.commit(name).created_us for name in commits)
        at = next_time(self._now_us, max([log.view.newest_us, *made, *foreign.values()]))
        require_step(at, max([log.view.newest_us, *foreign.values()]))
        op = move_op("create", branch, head, [self._new_commit(name) for name in commits], replaces)
        parents = [*log.view.event_heads, *foreign]
        return encode_event(
            tract=log.tract, at=format_time(at), writer=self._reader.store.writer, parents=parents, ops=[op]
        )

    def _new_commit(self, name: CommitHash) -> NewCommit:
        found = self._entries.get(name)
        if found is None:  # the event that brought it is gone, and its config with it
            return NewCommit(name, None, {})
        entry = found[2]
        return NewCommit(name, bytes(entry.config) or None, entry.tokens)

    def _foreign_parents(self, commits: list[CommitHash]) -> Iterator[tuple[str, int]]:
        """Yields the visible events of other tracts that the events of these commits build on, with their times."""
        log = self._reader.log
        sources = {found[1] for name in commits if (found := self._entries.get(name)) is not None}
        for parent in sorted({parent for source in sources for parent in self._pending[source].parents}):
            owner, name = split_parent(parent, log.tract)
            event = log.event(owner, name) if owner != log.tract and log.is_visible(owner, name) else None
            if event is not None:
                yield parent, event.at_us
