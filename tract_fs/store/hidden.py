"""Hidden history: what events that take no part would show of one tract, and which lost files they wait for.

Asked only where the log has pending, damaged, gone or quarantined events. Answers are kept until these change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from tract_fs.errors import DamageError
from tract_fs.model.events import BroughtCommit, Event, Move, Usage, split_parent
from tract_fs.model.history import is_ancestor
from tract_fs.model.incomplete import Incomplete, Lost, Shown, Unread, Waiting, find_incomplete
from tract_fs.model.names import CommitHash, EventHash, hash_bytes
from tract_fs.store.address import Address
from tract_fs.store.objects import Objects
from tract_fs.store.tract_log import TractLog


class Gap(Struct, frozen=True):
    """A lost file, and the commits of the whole events that wait for it, oldest first."""

    lost: Lost
    commits: tuple[CommitHash, ...]


class HiddenEvents:
    """The events of `log`'s tract that take no part."""

    def __init__(
        self,
        log: TractLog,
        other: Callable[[str], TractLog],
        objects: Objects,
        redacted: Callable[[], frozenset[str]],
        damaged_bytes: Callable[[Address], bytes | None],
    ) -> None:
        self._log = log
        self._other = other
        self._objects = objects
        self._redacted = redacted
        self._damaged_bytes = damaged_bytes
        self._changes = -1  # of the log when the rest was found
        self._given_up: frozenset[str] = frozenset()  # as far as it was needed: to know it costs a read of all events
        self._events: dict[EventHash, Event] = {}  # whole ones that wait for a lost file
        self._waiting: dict[EventHash, Waiting] = {}  # those of them whose file is not given up
        self._branches: dict[str, tuple[EventHash | None, Incomplete | None]] = {}  # with the event of the head
        self._commits: dict[CommitHash, BroughtCommit | None] | None = None

    def of(self, branch: str) -> Incomplete | None:
        """Returns what is hidden of a branch, or None if nothing that counts is. Cost: nothing where no event is hidden."""
        if not self._log.hides_any:
            return None
        self._refresh()
        head = self._log.own_head(branch)
        event = None if head is None else head.event
        found = self._branches.get(branch)
        if found is None or found[0] != event:
            incomplete = self._find(branch, event)
            if incomplete is not None and self._give_up():
                incomplete = self._find(branch, event)
            found = self._branches[branch] = event, incomplete
        return found[1]

    def lost_files(self) -> list[Gap]:
        """Returns the files that hidden events wait for, or are, and that are not given up; by path."""
        if not self._log.hides_any:
            return []
        self._refresh()
        self._give_up()
        view = self._log.view
        behind: dict[Lost, list[EventHash]] = {}
        for name, (event, lost) in self._waiting.items():
            moves = [op for op in event.branch_ops() if isinstance(op, Move)]
            if not moves or not all(self._contains(op.branch, op.head) for op in moves):
                behind.setdefault(lost, []).append(name)
        for found in self._unread(None).values():
            is_contained = found.commit is not None and any(self._contains(b, found.commit) for b in view.branches)
            if not is_contained and not found.is_accepted:
                behind.setdefault(found.lost, [])
        behind.update((pack, []) for pack in self._doubtful_packs())
        return [Gap(lost, tuple(self._commits_of(names))) for lost, names in sorted(behind.items())]

    def gone_tails(self) -> set[str]:
        """Returns the missing events that this copy knew, that nothing explains, and that no event waits for."""
        if not self._log.hides_any:
            return set()
        self._refresh()
        awaited = {lost.hash for _, lost in self._waiting.values()}
        found = self._unread(None).items()
        return {str(name) for name, one in found if not one.lost.is_damaged and not one.is_accepted} - awaited

    def commits(self) -> dict[CommitHash, BroughtCommit | None]:
        """Returns the whole commits that only hidden events bring, with their entries in the least (`at`, hash) of
        these; None where its event is lost.
        """
        if not self._log.hides_any:
            return {}
        self._refresh()
        if self._commits is None:
            self._commits = self._reach()
        return self._commits

    def usage(self, commit: str) -> Usage | None:
        """Returns the last usage of a commit that hidden events record, or None."""
        self._refresh()
        in_order = sorted(self._events.items(), key=lambda item: (item[1].at, item[0]))
        found = [op for _, event in in_order for op in event.ops if isinstance(op, Usage) and op.commit == commit]
        return found[-1] if found else None

    def _refresh(self) -> None:
        if self._changes == self._log.changes:
            return
        self._branches.clear()
        self._commits = None
        self._given_up = frozenset()
        events = {name: self._log.event(self._log.tract, name) for name in self._log.view.pending}
        waiting = {name: (event, self._root(name)) for name, event in events.items() if event is not None}
        self._waiting = {name: Waiting(event, lost) for name, (event, lost) in waiting.items() if lost is not None}
        self._events = {name: event for name, (event, _) in self._waiting.items()}
        self._changes = self._log.changes

    def _give_up(self) -> bool:
        """Leaves out what waits for files that are given up; returns whether any are. Cost: reads all events, once."""
        is_known, self._given_up = bool(self._given_up), self._redacted()
        if self._given_up and not is_known:
            roots = {name: self._root(name) for name in self._events}
            self._waiting = {
                name: Waiting(self._events[name], lost) for name, lost in roots.items() if lost is not None
            }
        return bool(self._given_up)

    def _find(self, branch: str, head: EventHash | None) -> Incomplete | None:
        log = self._log
        own = log.view.last_own.get(branch)
        shown = Shown(
            branch=branch,
            event=head,
            is_own=head is not None and own is not None and own[0] == head,
        )
        found = find_incomplete(
            shown,
            self._waiting,
            self._unread(branch),
            known=log.gone,
            is_visible=lambda name: log.is_visible(log.tract, name),
            contains=lambda commit: self._contains(branch, commit),
        )
        packs = () if shown.is_own else tuple(self._doubtful_packs())
        if not packs:
            return found
        if found is None:
            return Incomplete(branch, packs, (), ())
        return replace(found, lost=(*found.lost, *packs), is_going_back=False)

    def _doubtful_packs(self) -> Iterator[Lost]:
        """Yields the damaged packs that may have had events that nothing names."""
        for pack in self._log.damaged_packs:
            name = pack.path.rpartition("/")[2]
            if pack.is_doubtful and name not in self._given_up:
                yield Lost("pack", name, "", is_damaged=True, cause=pack.cause)

    def _root(self, name: EventHash) -> Lost | None:
        """Returns the lost file that a pending event waits for in the end; None if it is given up, or if the event can
        never be visible: it, or one that it builds on, is invalid or of another version.
        """
        tract = self._log.tract
        seen: set[tuple[str, EventHash]] = set()
        while (tract, name) not in seen and name not in self._given_up:
            seen.add((tract, name))
            log = self._log if tract == self._log.tract else self._other(tract)
            if name in log.torn:
                return None
            pending = log.view.pending.get(name)
            if pending is None:
                return None if log.is_visible(tract, name) else self._lost_event(log, name)
            if not pending.missing:
                return None
            if pending.missing_kind != "event":
                is_here = self._objects.get(pending.missing) is not None  # but not understood, or not applied yet
                if is_here or pending.missing in self._given_up:
                    return None
                return Lost(pending.missing_kind, pending.missing, "", self._objects.exists(pending.missing))
            event = log.event(tract, name)
            if event is None:
                return self._lost_event(log, name)
            name = EventHash(pending.missing)
            owners = [owner for owner, parent in (split_parent(p, tract) for p in event.parents) if parent == name]
            tract = owners[0] if owners else tract
        return None

    def _lost_event(self, log: TractLog, name: EventHash) -> Lost:
        is_damaged = name in log.damaged or name in log.quarantined or name in log.lost_in_packs
        return Lost("event", name, log.tract, is_damaged, "" if is_damaged else log.accepted.get(name, ""))

    def _unread(self, branch: str | None) -> dict[EventHash, Unread]:
        """Returns the events that are missing or damaged themselves."""
        log = self._log
        digest = b"" if branch is None else log.branch_digest(branch)
        head = None if branch is None else log.own_head(branch)
        found: dict[EventHash, Unread] = {}
        names = (log.damaged.keys() | log.quarantined.keys() | log.gone) - log.view.pending.keys()
        names -= self._given_up | log.torn
        for name in map(EventHash, names):
            lost = self._lost_event(log, name)
            trace = log.traces.get(name)
            commit = CommitHash(trace.commit.hex()) if trace is not None and trace.commit else None
            is_of_branch = None if trace is None or not trace.branch else trace.branch == digest
            is_there = commit is not None and self._objects.exists(commit) and log.commit(commit) is not None
            is_after = head is None or not is_there or self._is_below(head.commit, commit or head.commit)
            if self._is_elsewhere(name) if lost.is_damaged else log.is_visible(log.tract, name):
                continue
            is_taken_back = not lost.is_damaged and not is_there
            is_accepted = not lost.is_damaged and name in log.accepted
            found[name] = Unread(lost, commit, is_of_branch, is_after, is_taken_back, is_accepted)
        return found

    def _is_elsewhere(self, name: EventHash) -> bool:
        """Returns whether the file of a damaged event is in the wrong directory, as git leaves it where it takes one for
        another: this store has its bytes in the right one, and there never was an event of this name.
        """
        log = self._log
        data = None if name in log.gone else self._damaged_bytes(Address("event", name, log.tract))
        found = EventHash("" if data is None else hash_bytes(data))
        if found[2:] != name[2:]:
            return False
        return found in log.view.pending or log.is_visible(log.tract, found) or self._objects.exists(found)

    def _is_below(self, head: CommitHash, commit: CommitHash) -> bool:
        """Returns whether a commit builds on a head, or may."""
        try:
            return is_ancestor(head, commit, self._objects.require_commit)
        except DamageError:
            return True

    def _contains(self, branch: str, commit: CommitHash) -> bool:
        """Returns whether a head of the branch has a commit; False also where their histories can't be read."""
        log = self._log
        try:
            heads = log.view.heads(branch, log)
            return any(is_ancestor(commit, head.commit, self._objects.require_commit) for head in heads)
        except DamageError:
            return False

    def _commits_of(self, names: list[EventHash]) -> dict[CommitHash, None]:
        in_order = sorted(names, key=lambda name: (self._waiting[name].event.at, name))
        return {entry.commit: None for name in in_order for entry in self._waiting[name].event.iter_commits()}

    def _reach(self) -> dict[CommitHash, BroughtCommit | None]:
        found: dict[CommitHash, BroughtCommit | None] = {}
        queue: list[CommitHash] = []
        for _, event in sorted(self._events.items(), key=lambda item: (item[1].at, item[0])):
            queue += [op.head for op in event.branch_ops() if isinstance(op, Move)]
            for entry in event.iter_commits():
                found.setdefault(entry.commit, entry)
        queue += [*found, *(CommitHash(t.commit.hex()) for t in self._log.traces.values() if t.commit)]
        seen: set[CommitHash] = set()
        for name in queue:
            if name in seen or self._log.origins.events_of(name):
                continue
            seen.add(name)
            commit = self._log.commit(name)
            if commit is not None:
                found.setdefault(name, None)
                queue += commit.parents
        return {name: entry for name, entry in found.items() if self._log.commit(name) is not None}
