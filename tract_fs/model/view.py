"""The view: the state of a tract after its events. Heads of each branch, tags, pending events.

A branch is a multi-value register: a move replaces the moves it builds on, and the heads are the moves that no visible
event replaces. Two writers that did not see each other leave two heads, never one lost. The view is a function of the
set of valid files alone; `at` grows along parents, so applying events by (`at`, hash) meets every parent before its
children. Only the head that a copy works on is its own choice; it is kept apart (`last_own`). Rules: FORMAT.md,
sections 6 and 7.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal, Protocol

from msgspec import Struct, field

from tract_fs.errors import ObjectMissing
from tract_fs.model import canonical
from tract_fs.model.events import (
    BranchOp,
    Delete,
    Describe,
    Event,
    Move,
    Reset,
    Tag,
    Usage,
    are_stored_counts,
    fault_of_entry,
    is_forward_only,
    split_parent,
)
from tract_fs.model.history import ReadCommit, is_ancestor
from tract_fs.model.lines import Line
from tract_fs.model.names import (
    LAST_YEAR,
    CommitHash,
    ContentHash,
    EventHash,
    are_hashes,
    is_branch_name,
    is_in_step,
    is_tract_id,
    parse_time,
)
from tract_fs.model.objects import Commit, fault_of_commit


class Source(Protocol):
    """What a view needs from the store."""

    def event(self, tract: str, name: EventHash) -> Event | None:
        """Returns an event that is present, or None."""
        ...

    def is_visible(self, tract: str, name: EventHash) -> bool:
        """Returns whether an event is visible."""
        ...

    def commit(self, name: CommitHash) -> Commit | None:
        """Returns a commit that is present and valid, or None."""
        ...

    def content_type(self, name: ContentHash) -> str | None:
        """Returns the type of a content; "" if it is redacted and absent, ILL_FORMED if it is no valid content, None if it is missing."""
        ...


class Pending(Struct, frozen=True):
    """Why an event is not visible; `missing` is the hash that it waits for, empty if it waits for none."""

    reason: str
    missing: str = ""

    @property
    def missing_kind(self) -> Literal["content", "commit", "event"]:
        """What `missing` is the hash of."""
        if "content" in self.reason:
            return "content"
        return "commit" if "commit" in self.reason or "head" in self.reason else "event"

    def describe(self) -> str:
        """Returns the reason with what is missing."""
        return f"{self.reason}: {self.missing}" if self.missing else self.reason


class MoveState(Struct, frozen=True):
    """A move that no visible event replaces; `head` is None for a delete."""

    at: str
    head: CommitHash | None
    is_reset: bool = False


class Head(Struct, frozen=True):
    """One head of a branch, with the newest of the moves that name it."""

    commit: CommitHash
    event: EventHash
    at: str


class TagState(Struct, frozen=True):
    """The newest operation on a tag; `target` is None if that removed the tag."""

    at: str
    event: EventHash
    target: CommitHash | None


class Described(Struct, frozen=True):
    """The newest operation that sets the title of a tract, or its metadata as a JSON object; "" and {} stand for none."""

    at: str
    event: EventHash
    value: str


class ForeignRoots(Struct, frozen=True):
    """The parents of an event in other tracts, as tract/hash, and the commits by which it enters their histories."""

    parents: tuple[str, ...]
    roots: tuple[CommitHash, ...]  # some may be this tract's own


class View(Struct):
    """The state of one tract after some events.

    To a view, an event is unknown, pending (in `pending`, with the reason) or visible (its effect is in the other
    fields). `apply` makes an unknown or pending event visible or pending; a visible event never changes back. Only
    `apply`, `apply_plain_append` and `note_own` change the other fields; the owner of the view may also change
    `pending`, for events that it can't read.
    """

    tract: str
    newest: str = ""  # the greatest `at` of a visible event
    event_heads: dict[EventHash, str] = field(default_factory=dict)  # name: at, of events that are the parent of none
    branches: dict[str, dict[EventHash, MoveState]] = field(default_factory=dict)
    tags: dict[str, TagState] = field(default_factory=dict)
    pending: dict[EventHash, Pending] = field(default_factory=dict)
    last_own: dict[str, tuple[EventHash, str]] = field(default_factory=dict)  # branch: this copy's last move and its at
    foreign: dict[EventHash, ForeignRoots] = field(default_factory=dict)  # of the events with parents in other tracts
    described: dict[str, Described] = field(default_factory=dict)  # by field: title, metadata
    lines: dict[str, Line] = field(default_factory=dict)  # of the branches whose moves were all seen by this version

    @property
    def newest_us(self) -> int:
        """The greatest time of a visible event in microseconds since 1970; 0 if there is none."""
        return parse_time(self.newest) if self.newest else 0

    @property
    def title(self) -> str:
        """The title of the tract; empty if it has none."""
        found = self.described.get("title")
        return "" if found is None else found.value

    @property
    def metadata(self) -> str:
        """The metadata of the tract as a JSON object."""
        found = self.described.get("metadata")
        return "{}" if found is None else found.value

    @property
    def is_deleted(self) -> bool:
        """Whether branches were deleted, none is left, and the tract has neither a title nor metadata."""
        return bool(self.branches) and not self.has_heads and not self.title and self.metadata == "{}"

    @property
    def has_heads(self) -> bool:
        """Whether a branch has a head."""
        return any(move.head is not None for moves in self.branches.values() for move in moves.values())

    def moves(self) -> set[EventHash]:
        """Returns the events of the moves of all branches that nothing replaces, deletes included."""
        return {name for moves in self.branches.values() for name in moves}

    def is_sound(self) -> bool:
        """Returns whether all hashes, times and names are well-formed; for a view that was read from a cache."""
        moves = [(name, move) for moves in self.branches.values() for name, move in moves.items()]
        hashes: list[str] = [*self.event_heads, *self.pending, *self.foreign]
        hashes += [pending.missing for pending in self.pending.values() if pending.missing]
        hashes += [name for name, _ in moves] + [move.head for _, move in moves if move.head is not None]
        hashes += [tag.event for tag in self.tags.values()]
        hashes += [tag.target for tag in self.tags.values() if tag.target is not None]
        hashes += [event for event, _ in self.last_own.values()]
        hashes += [found.event for found in self.described.values()]
        times = [self.newest] if self.newest else []
        times += [*self.event_heads.values(), *(move.at for _, move in moves)]
        times += [*(tag.at for tag in self.tags.values()), *(at for _, at in self.last_own.values())]
        times += [found.at for found in self.described.values()]
        turns = [turn for line in self.lines.values() for turn in (*line.bends, *line.inlets)]
        hashes += [turn.commit for turn in turns if turn.commit is not None]
        times += [at for at in (*(turn.at for turn in turns), *(line.forked_at for line in self.lines.values())) if at]
        if not all(line.bends for line in self.lines.values()) or not canonical.is_object(self.metadata.encode()):
            return False
        if not are_hashes(hashes) or not all(map(is_branch_name, (*self.branches, *self.tags, *self.last_own))):
            return False
        try:
            for at in times:
                parse_time(at)
            for foreign in self.foreign.values():
                for parent in foreign.parents:
                    tract, name = split_parent(parent, self.tract)
                    if not is_tract_id(tract) or not are_hashes([name, *foreign.roots]):
                        return False
        except ValueError:
            return False
        return is_tract_id(self.tract)

    def apply(self, name: EventHash, event: Event, source: Source, *, is_own: bool = False) -> bool:
        """Applies one event; returns False if it stays pending. Its parents must have been applied before.

        Cost: one read of each commit that the event brings, and one check of each content.
        """
        try:
            pending = self._why_pending(event, source)
        except ObjectMissing as error:
            pending = Pending("a commit of its history is missing", error.hash)
        if pending is not None:
            self.pending[name] = pending
            return False
        self.pending.pop(name, None)
        at = event.at
        foreign = []
        for parent in event.parents:
            if "/" in parent:
                foreign.append(parent)
            else:
                self.event_heads.pop(EventHash(parent), None)
        self.event_heads[name] = at
        self.newest = max(self.newest, at)
        if foreign:
            self.foreign[name] = ForeignRoots(tuple(foreign), _roots(event, _reader(source)))
        for op in event.ops:
            if isinstance(op, (Move, Delete)):
                self._move(name, at, op, source)
                if is_own:
                    self.note_own(op.branch, name, at)
            elif isinstance(op, Tag):
                old = self.tags.get(op.name)
                if old is None or (old.at, old.event) < (at, name):
                    self.tags[op.name] = TagState(at, name, op.target)
            elif isinstance(op, Describe):
                self._describe(name, at, op)
        return True

    def apply_plain_append(
        self, name: EventHash, at: str, branch: str, head: CommitHash, replaced: EventHash | None
    ) -> None:
        """Applies an append by a writer of this copy that saw all events and replaces the one move of `branch`."""
        self.event_heads = {name: at}
        self.newest = max(self.newest, at)
        moves = self.branches.setdefault(branch, {})
        if replaced is not None:
            del moves[replaced]
        else:
            self.lines[branch] = Line()
        moves[name] = MoveState(at, head)
        self.note_own(branch, name, at)

    def note_own(self, branch: str, name: EventHash, at: str) -> None:
        """Records the last move of a branch that this copy wrote."""
        old = self.last_own.get(branch)
        if old is None or (old[1], old[0]) < (at, name):
            self.last_own[branch] = (name, at)

    def heads(self, branch: str, source: Source) -> list[Head]:
        """Returns the branch's heads, the newest move first, without hidden ones; empty if there is no branch."""
        moves = self.branches.get(branch, {})
        by_commit: dict[CommitHash, Head] = {}
        set_by_reset: set[CommitHash] = set()
        for name, move in moves.items():
            if move.head is None:
                continue
            if move.is_reset:
                set_by_reset.add(move.head)
            old = by_commit.get(move.head)
            if old is None or (old.at, old.event) < (move.at, name):
                by_commit[move.head] = Head(move.head, name, move.at)
        hidden: set[CommitHash] = set()
        if len(by_commit) > 1:
            hidden = {c for c in by_commit if c not in set_by_reset and self._is_below(c, by_commit, source)}
        heads = [head for commit, head in by_commit.items() if commit not in hidden]
        return sorted(heads, key=lambda h: (h.at, h.event), reverse=True)

    def own_head(self, branch: str, source: Source) -> Head | None:
        """Returns the head that this copy works on, or None if the branch has none."""
        heads = self.heads(branch, source)
        if len(heads) > 1 and branch in self.last_own:
            own, own_at = self.last_own[branch]
            moves = self.branches[branch].items()
            ours = {move.head for name, move in moves if self._builds_on(branch, name, own, own_at, source)}
            for head in heads:
                if head.commit in ours:
                    return head
            read = _reader(source)
            for head in heads:  # the own line may be hidden: below another head
                if any(commit is not None and is_ancestor(commit, head.commit, read) for commit in ours):
                    return head
        return heads[0] if heads else None

    def line_moves(self, branch: str, head: Head | None, source: Source) -> list[EventHash]:
        """Returns what the next move from `head` replaces: all moves of its line, hidden ones and deletes included."""
        moves = self.branches.get(branch, {})
        if head is None or len(moves) == 1:
            return sorted(moves)
        read = _reader(source)
        shown = {h.commit for h in self.heads(branch, source)}
        return sorted(
            name
            for name, move in moves.items()
            if move.head is None
            or move.head == head.commit
            or (move.head not in shown and is_ancestor(move.head, head.commit, read))
        )

    def _move(self, name: EventHash, at: str, op: BranchOp, source: Source) -> None:
        moves = self.branches.setdefault(op.branch, {})
        line = self.lines.get(op.branch) if moves else self.lines.setdefault(op.branch, Line())
        if line is not None:
            line.note(at, op, moves, _reader(source))
        for replaced in op.replaces:
            moves.pop(replaced, None)
        moves[name] = MoveState(at, op.head if isinstance(op, Move) else None, isinstance(op, Reset))

    def _describe(self, name: EventHash, at: str, op: Describe) -> None:
        data = bytes(op.metadata)
        metadata = canonical.encode_checked(canonical.decode(data)).decode() if data else None
        values = {"title": op.title, "metadata": metadata}
        for key, value in values.items():
            old = self.described.get(key)
            if value is not None and (old is None or (old.at, old.event) < (at, name)):
                self.described[key] = Described(at, name, value)

    def _is_below(self, commit: CommitHash, others: Iterable[CommitHash], source: Source) -> bool:
        read = _reader(source)
        return any(other != commit and is_ancestor(commit, other, read) for other in others)

    def _builds_on(self, branch: str, name: EventHash, own: EventHash, own_at: str, source: Source) -> bool:
        """Returns whether the move of event `name` is `own`, or replaced it through any number of moves."""
        seen = {name}
        queue = [name]
        for current in queue:
            if current == own:
                return True
            event = source.event(self.tract, current)
            if event is None or event.at <= own_at:
                continue
            for op in event.branch_ops():
                if op.branch == branch:
                    fresh = [r for r in op.replaces if r not in seen]
                    seen.update(fresh)
                    queue.extend(fresh)
        return False

    def _why_pending(self, event: Event, source: Source) -> Pending | None:
        at = event.at
        for parent in event.parents:
            parent_at = self.event_heads.get(EventHash(parent))  # most have no other tract before a slash
            if parent_at is None:
                owner, name = split_parent(parent, self.tract)
                if not source.is_visible(owner, name):
                    return Pending("its parent is not visible", name)
                parent_event = source.event(owner, name)
                if parent_event is None:
                    return Pending("its parent is missing", name)
                parent_at = parent_event.at
            if parent_at >= at:
                return Pending("invalid: it is not later than its parent")
        if at >= LAST_YEAR and not self._is_in_step(event, source):
            return Pending("invalid: it is in the last year of the format, and over a second after its parents")
        for other in event.ops:
            if isinstance(other, Usage) and not are_stored_counts(other):
                return Pending("invalid: a count of usage is too large")
        for op in event.branch_ops():
            brought: dict[CommitHash, Commit] = {}
            pending = self._why_objects_pending(op, at, source, brought) if isinstance(op, Move) else None
            pending = pending or self._why_replaces_invalid(op, event, source, brought)
            if pending is not None:
                return pending
        return None

    def _is_in_step(self, event: Event, source: Source) -> bool:
        parents = (source.event(*split_parent(parent, self.tract)) for parent in event.parents)
        return is_in_step(event.at_us, max((parent.at_us for parent in parents if parent is not None), default=None))

    def _why_objects_pending(
        self, op: Move, at: str, source: Source, brought: dict[CommitHash, Commit]
    ) -> Pending | None:
        """Returns what an op waits for, or None; fills `brought` with the commits that it brings."""
        read, content_type = source.commit, source.content_type
        for entry in op.commits:
            commit = read(entry.commit)
            if commit is None:
                return Pending("a commit is missing", entry.commit)
            if commit.created_at > at:
                return Pending("invalid: it brings a commit that is later than itself")
            for parent in commit.parents:
                before = brought.get(parent) or read(parent)
                if before is None:
                    return Pending("a commit's parent is missing", parent)
                if before.created_at >= commit.created_at:
                    return Pending("invalid: it brings a commit that is not later than its parent")
            found = "" if commit.content is None else content_type(commit.content)
            if found is None:
                return Pending("a content is missing", commit.content or "")
            fault = fault_of_commit(commit, found) or fault_of_entry(entry)
            if fault is not None:
                return Pending(f"invalid: {fault}")
            brought[entry.commit] = commit
        if op.head not in brought and source.commit(op.head) is None:
            return Pending("its head is missing", op.head)
        return None

    def _why_replaces_invalid(
        self, op: BranchOp, event: Event, source: Source, brought: dict[CommitHash, Commit]
    ) -> Pending | None:
        known = self.branches.get(op.branch, {})
        read = _reader(source, brought)
        for name in op.replaces:
            if not (name in self.event_heads or source.is_visible(self.tract, name)):
                return Pending("a move it replaces is not visible", name)
            if not self._is_seen(name, event, source):
                return Pending("invalid: it replaces a move that it did not see")
            old: MoveState | None = known.get(name)
            if old is None:
                replaced = source.event(self.tract, name)
                moves = [o for o in replaced.branch_ops() if o.branch == op.branch] if replaced is not None else []
                if not moves:
                    return Pending("invalid: it replaces an event that holds no move of its branch")
                old = MoveState("", moves[0].head if isinstance(moves[0], Move) else None)
            if not isinstance(op, Move) or not is_forward_only(op) or old.head is None:
                continue
            if not is_ancestor(old.head, op.head, read):
                return Pending("invalid: its head does not contain a head that it replaces")
        return None

    def _is_seen(self, name: EventHash, event: Event, source: Source) -> bool:
        """Returns whether a visible event is in the history of `event`."""
        if name in event.parents or self.event_heads.keys() <= set(event.parents):
            return True
        target = source.event(self.tract, name)
        least = target.at if target is not None else ""
        seen: set[tuple[str, str]] = set()
        queue = [split_parent(parent, self.tract) for parent in event.parents]
        for owner, current in queue:
            if owner == self.tract and current == name:
                return True
            ancestor = source.event(owner, current)
            if ancestor is None or ancestor.at <= least:
                continue
            fresh = [p for parent in ancestor.parents if (p := split_parent(parent, owner)) not in seen]
            seen.update(fresh)
            queue.extend(fresh)
        return False


def _roots(event: Event, read: ReadCommit) -> tuple[CommitHash, ...]:
    """Returns the heads that an event sets and the parents of the commits that it brings, less those commits."""
    brought = {entry.commit for entry in event.iter_commits()}
    roots = {op.head for op in event.branch_ops() if isinstance(op, Move)}
    roots.update(parent for name in brought for parent in read(name).parents)
    return tuple(sorted(roots - brought))


def _reader(source: Source, brought: Mapping[CommitHash, Commit] = MappingProxyType({})) -> ReadCommit:
    """Returns a reader of `brought` commits and those in the store, which raises ObjectMissing for any other."""

    def read(name: CommitHash) -> Commit:
        commit = brought.get(name) or source.commit(name)
        if commit is None:
            raise ObjectMissing(kind="commit", hash=name, path=f"objects/{name[:2]}/{name[2:]}")
        return commit

    return read
