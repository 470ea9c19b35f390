"""A transaction: what is written together, staged in memory; nothing of it is on disk before it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from tract_fs.model.canonical import Fragment
from tract_fs.model.events import NewCommit, delete_op, encode_event, move_op, tag_op, usage_op
from tract_fs.model.names import LAST_YEAR_US, CommitHash, format_time, hash_bytes, next_time, parse_time, require_step
from tract_fs.model.objects import ABOUT_ONE, Commit
from tract_fs.model.usage import TokenUsage
from tract_fs.model.view import Head, View
from tract_fs.store import arrivals
from tract_fs.store.arrivals import NO_HASH, Record

# of several moves of a branch in one transaction, the event names the kind that is last here
_RANKS = ("append", "forward", "merge", "create", "reset")


class OtherMove(Struct, frozen=True):
    """A move of a branch that is not the transaction's own; `head` is None for a delete."""

    kind: str
    head: CommitHash | None
    replaces: tuple[str, ...]


class Mark(Struct, frozen=True):
    """A state of a transaction, to return to."""

    head: CommitHash | None
    counts: tuple[int, int, int, int, int, int]  # objects, contents, commits, those made, other operations, usages
    move: tuple[str, bool, tuple[str, ...] | None]  # kind, whether the head was set, what is replaced
    others: dict[str, OtherMove]
    tags: dict[str, CommitHash | None]
    foreign_parents: tuple[str, ...]


class Transaction:
    """New objects, the commits that move one branch, moves of others, and other operations, on top of a view.

    States:

    - The move of `branch`: none (`commits` is empty, `_is_set` unset); an append (`add_commit`, `extend`); a move of
      another kind (`move_to` sets `_is_set` and raises `kind` in the order of `_RANKS`, never lowers it).
    - The clock: `_newest` is the newest time of the view (and of those of `add_foreign`), until `tick`, `extend` or
      `fix` sets the time of the event, which is then `now`.
    - The parents: the event heads of the view and `foreign_parents`; after `fix`, `_fixed_parents` alone.

    `return_to` goes back to a state that `mark` returned, but for the clock and the fixed parents. `encode` and
    `records` change nothing.
    """

    def __init__(self, branch: str, view: View, start: Head | None) -> None:
        self.branch = branch
        self.start = start
        self.head: CommitHash | None = None if start is None else start.commit
        self.kind = "append"  # of the move of `branch`; see `_RANKS`
        self.replaces: tuple[str, ...] | None = None  # events whose moves of `branch` it replaces; None: its line
        self.others: dict[str, OtherMove] = {}  # by branch
        self.tags: dict[str, CommitHash | None] = {}  # None: removed
        self.foreign_parents: list[str] = []  # tract/hash of the events of other tracts whose commits come in
        self.objects: dict[str, bytes] = {}  # in the order to write them in
        self.contents: dict[str, None] = {}  # those of `objects` that may be in the store already
        self.commits: dict[CommitHash, NewCommit] = {}
        self.made: dict[CommitHash, Commit] = {}  # those of `commits` whose objects are among `objects`
        self.about: dict[CommitHash, list[CommitHash]] = {}  # target: the staged edits and annotations of it
        self.created_us: list[int] = []
        self.ops: list[dict[str, object]] = []
        self.usage: list[tuple[CommitHash, TokenUsage]] = []
        self._is_set = False  # the head was set, not only advanced by commits
        self._fixed_parents: tuple[str, ...] | None = None
        self._base = view.newest  # the time of the latest parent
        self._newest = view.newest
        self._newest_us: int | None = None  # the same in microseconds; None: not parsed yet
        self.now = ""  # the last time taken, as an event stores it
        self.return_count = 0  # how often something was dropped

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.is_move or self.ops or self.others or self.tags)

    @property
    def is_move(self) -> bool:
        """Whether the transaction's own branch moves, with new commits or without."""
        return bool(self.commits) or self._is_set

    @property
    def goes_forward(self) -> bool:
        """Whether the head contains the one that the transaction started from, and all staged commits."""
        return self.kind in ("append", "forward", "merge")

    @property
    def is_append(self) -> bool:
        """Returns whether new commits on the branch's line are all that is staged."""
        return (
            self.kind == "append"
            and bool(self.commits)
            and not (self.ops or self.others or self.tags or self.foreign_parents)
        )

    def tick(self, wall_us: int) -> int:
        """Returns the next time of the hybrid logical clock. Errors: TimeLimitReached."""
        now = format_time(wall_us) if wall_us > 0 else ""
        if now > self._newest:  # the usual case; times compare as strings do
            self._set_time(wall_us, now)
            return wall_us
        next_us = next_time(wall_us, self._last_us())
        self._set_time(next_us, format_time(next_us))
        return next_us

    def add_content(self, name: str, data: bytes) -> None:
        """Stages a content."""
        self.objects[name] = data
        self.contents[name] = None

    def add_commit(
        self, commit: Commit, data: bytes, created_us: int, config: bytes | None, tokens: dict[str, int]
    ) -> CommitHash:
        """Stages a commit, with its bytes, on the head and moves the head to it."""
        name = CommitHash(hash_bytes(data))
        self.objects[name] = data
        self.made[name] = commit
        if commit.operation in ABOUT_ONE:
            self.about.setdefault(commit.targets[0], []).append(name)
        self.commits[name] = NewCommit(name, config, tokens)
        self.created_us.append(created_us)
        self.head = name
        return name

    def extend(self, commits: Sequence[NewCommit], created_us: Sequence[int]) -> None:
        """Stages a line of commits whose objects are in the store already, and moves the head to the last; tick, unless the
        last was made after all that the view has.
        """
        self.commits.update((CommitHash(new.commit), new) for new in commits)
        self.created_us += created_us
        self.head = CommitHash(commits[-1].commit)
        if created_us[-1] > self._last_us():
            self._set_time(created_us[-1], format_time(created_us[-1]))

    def move_to(self, commit: CommitHash, kind: str, *, replaces: Sequence[str] | None = None) -> None:
        """Sets the head to a commit of the store or a staged one, by a move of this kind; tick before.

        `replaces` are the events whose moves it replaces; None: those of the line that the transaction started from.
        """
        self.head = commit
        self._is_set = True
        self.kind = max(self.kind, kind, key=_RANKS.index)
        if replaces is not None:
            self.replaces = tuple(sorted({*replaces, *(self.replaces or ())}))

    def add_move(self, kind: str, branch: str, head: CommitHash, replaces: Sequence[str]) -> None:
        """Stages a move of another branch, in place of one staged before; tick before."""
        self.others[branch] = OtherMove(kind, head, tuple(replaces))

    def add_delete(self, branch: str, replaces: Sequence[str]) -> None:
        """Stages the end of a branch, in place of a move staged before; tick before."""
        self.others[branch] = OtherMove("delete", None, tuple(replaces))

    def set_tag(self, name: str, target: CommitHash | None) -> None:
        """Stages a tag, or its removal; tick before."""
        self.tags[name] = target

    def add_foreign(self, view: View) -> None:
        """Makes the event build on all events of another tract's view, so that it may bring commits of it.

        Call it before the first tick.
        """
        parents = [f"{view.tract}/{name}" for name in view.event_heads]
        self.foreign_parents += [parent for parent in parents if parent not in self.foreign_parents]
        if view.newest > self._newest:
            self._base = self._newest = view.newest
            self._newest_us = None

    def fix(self, at_us: int, parents: Sequence[str]) -> None:
        """Makes the event a function of what it joins: it has this time, these parents alone, and no writer."""
        self._set_time(at_us, format_time(at_us))
        self._fixed_parents = tuple(parents)

    def add_usage(self, commit: CommitHash, usage: TokenUsage) -> None:
        """Stages the usage of a commit; tick before."""
        self.ops.append(usage_op(commit, usage))
        self.usage.append((commit, usage))

    @property
    def descriptions(self) -> list[dict[str, object]]:
        """The staged descriptions of the tract, oldest first."""
        return [op for op in self.ops if op["kind"] == "describe"]

    def mark(self) -> Mark:
        """Returns the present state, for `return_to`."""
        return Mark(
            self.head,
            (
                len(self.objects),
                len(self.contents),
                len(self.commits),
                len(self.made),
                len(self.ops),
                len(self.usage),
            ),
            (self.kind, self._is_set, self.replaces),
            dict(self.others),
            dict(self.tags),
            tuple(self.foreign_parents),
        )

    def return_to(self, mark: Mark) -> None:
        """Drops what was staged since a mark."""
        self.return_count += 1
        objects, contents, commits, made, ops, usages = mark.counts
        staged: tuple[tuple[dict[Any, Any], int], ...] = (
            (self.objects, objects),
            (self.contents, contents),
            (self.commits, commits),
            (self.made, made),
        )
        for items, count in staged:
            while len(items) > count:
                items.popitem()
        for about in self.about.values():
            while about and about[-1] not in self.made:
                about.pop()
        del self.created_us[commits:]
        del self.ops[ops:]
        del self.usage[usages:]
        self.head = mark.head
        self.kind, self._is_set, self.replaces = mark.move
        self.others = dict(mark.others)
        self.tags = dict(mark.tags)
        self.foreign_parents = list(mark.foreign_parents)

    def encode(self, tract: str, writer: str, view: View, line: Sequence[str]) -> bytes:
        """Returns the bytes of the event; `line` is what a move replaces that does not name it."""
        ops: list[dict[str, object] | Fragment] = []
        if self.is_move and self.head is not None:
            replaces = line if self.replaces is None else self.replaces
            ops.append(move_op(self.kind, self.branch, self.head, list(self.commits.values()), replaces))
        for branch, other in self.others.items():
            if other.head is None:
                ops.append(delete_op(branch, other.replaces))
            else:
                ops.append(move_op(other.kind, branch, other.head, (), other.replaces))
        ops += [tag_op(name, target) for name, target in self.tags.items()]
        ops += self.ops
        if self._fixed_parents is not None:
            return encode_event(tract=tract, at=self.now, writer="", parents=self._fixed_parents, ops=ops)
        parents = [*view.event_heads, *self.foreign_parents]
        return encode_event(tract=tract, at=self.now, writer=writer, parents=parents, ops=ops)

    def records(
        self,
        event: str,
        branch: bytes,
        *,
        is_plain: bool,
        is_durable: bool,
        is_brought: Callable[[bytes], bool],
    ) -> list[Record]:
        """Returns the records of arrivals for the event. `branch` is the digest of the branch's name.

        With `is_plain` the view allows a plain append. `is_brought` returns whether a visible event brings a commit;
        only moves other than appends can bring one again.
        """
        name = bytes.fromhex(event)
        digests = list(map(bytes.fromhex, self.commits))
        kinds = [arrivals.BRINGS] * len(digests)
        is_plain = is_plain and self.is_append and self.created_us[-1] == self._last_us()  # its time is the event's
        if is_plain:
            kinds[-1] = arrivals.PLAIN_APPEND if is_durable else arrivals.PLAIN_APPEND_FAST
        elif self.kind != "append":
            kinds = [arrivals.BRINGS_AGAIN if is_brought(digest) else arrivals.BRINGS for digest in digests]
        brought = [
            Record(kind, branch, name, digest, created_us)
            for kind, digest, created_us in zip(kinds, digests, self.created_us, strict=True)
        ]
        if is_plain:
            return brought
        at_us = self._last_us()
        usage = [Record(arrivals.USAGE, branch, name, bytes.fromhex(c), at_us) for c, _ in self.usage]
        kind = arrivals.OWN if is_durable else arrivals.OWN_FAST
        return [*brought, *usage, Record(kind, branch, name, NO_HASH, at_us)]

    def _set_time(self, us: int, now: str) -> None:
        if us >= LAST_YEAR_US:
            require_step(us, parse_time(self._base) if self._base else None)
        self._newest_us, self._newest, self.now = us, now, now

    def _last_us(self) -> int:
        """Returns the newest time seen or taken, in microseconds since 1970; 0 if there is none."""
        if self._newest_us is None:
            self._newest_us = parse_time(self._newest) if self._newest else 0
        return self._newest_us
