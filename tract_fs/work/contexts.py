"""Compiled contexts: finds the cached state nearest to a head, and replays the commits after it.

States are cached by head, in memory and on disk. A state depends on its head, the counter, the content types, and the
configs and tokens recorded for its commits; when one of these changes, all states are dropped. The result always equals
a replay of the whole history.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from msgspec import Struct

from tract_fs.errors import ArgumentError, DamageError, ObjectMissing
from tract_fs.model.compiler import CompileOptions, ContextCompiler, ContextState, HistoryEntry, Loaded, NotHeldError
from tract_fs.model.content import Priority, ToolIOContent
from tract_fs.model.history import is_ancestor, linear_order
from tract_fs.model.messages import Message, Rendering, render
from tract_fs.model.names import Clock, CommitHash, format_time, read_clock, to_us
from tract_fs.model.objects import Commit, CommitOperation
from tract_fs.model.reach import Reach
from tract_fs.model.slots import Slot
from tract_fs.model.snapshot import CompiledContext, CompileSnapshot
from tract_fs.model.tokens import cache_name
from tract_fs.model.usage import TokenUsage
from tract_fs.store.bounded_cache import BoundedCache
from tract_fs.store.snapshot_cache import SnapshotCache
from tract_fs.store.transaction import Transaction
from tract_fs.work.other_heads import OtherHeadsReader
from tract_fs.work.reader import TractReader

if TYPE_CHECKING:
    from tract_fs.model.fitting import Fit, FitPlan, FitPolicy, Shortened

_STORE_MIN_COMMITS = 64
_HELD_COMMITS = 32_768  # of a walk back to a cached state
_CONDENSED_EVERY = 8192
_SKEW_US = 60_000_000  # two clocks that are right differ by less
_TOOL_TYPES = frozenset(["message", "tool_io"])
_MADE_SLOTS = frozenset([CommitOperation.APPEND, CommitOperation.SUMMARIZE])


class Cut(Struct, frozen=True):
    """A history, root first, with its whole state; the commits of the branch that a cut leaves out, and those of them that its tool calls
    may wait for.
    """

    names: list[CommitHash]
    behind: list[CommitHash]
    state: ContextState
    later: Sequence[Slot]


class ContextReader:
    """Compiles heads of one tract for one session."""

    def __init__(self, reader: TractReader, compiler: ContextCompiler | None, *, cache_size: int, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self.other_heads = OtherHeadsReader(reader)
        self._quiet_changes = -1  # of the log, when there was nothing to note
        self._compiler = compiler
        self._states: BoundedCache[CommitHash, ContextState] = BoundedCache(cache_size)
        self._stored = SnapshotCache(
            reader.store.layout,
            reader.log.tract,
            read_only=reader.store.read_only,
            is_distrusted=reader.store.distrusts_caches,
        )
        self._version = reader.records_version()
        self._removed: frozenset[str] = frozenset()  # redacted contents whose files were gone at the last look
        self._replayed = 0  # commits replayed since a state was stored
        self._newest: ContextState | None = None
        self._staged: tuple[Transaction, int, ContextState] | None = None  # the last state amid a batch

    def compile(
        self,
        *,
        at_time: datetime | None,
        at_commit: str | None,
        options: CompileOptions,
        max_tokens: int | None = None,
        policy: FitPolicy | None = None,
    ) -> CompiledContext:
        """Returns the compiled context of the head, or of a cut of its history; see the facade."""
        if at_time is not None and at_commit is not None:
            raise ArgumentError("give at_time or at_commit, not both")
        if options.orphans not in ("drop", "raise", "keep"):
            raise ArgumentError(f"orphans {options.orphans!r}: use drop, raise or keep")
        if not isinstance(at_time, datetime | None):
            raise ArgumentError(f"at_time {at_time!r}: give a datetime (naive: UTC)")
        fit = None if max_tokens is None and policy is None else self._require_fit(max_tokens, policy, options)
        try:
            return self._compile(at_time, at_commit, options, fit)
        except DamageError as error:
            reader = self._reader
            can_rebuild = reader.store.accepts_gaps and at_commit is None and not reader.pinned
            if reader.overlay.is_staging or not (can_rebuild or isinstance(error, ObjectMissing)):
                raise
        if can_rebuild:
            reader.log.rebuild(is_ours=True)  # so that the head is the last whole commit
        else:
            reader.log.list_events(is_forced=True)  # what is known only from a cache is looked at again
        self.forget()
        return self._compile(at_time, at_commit, options, fit)

    def plan_fit(self, fit: Fit) -> tuple[CompileSnapshot, FitPlan]:
        """Returns the snapshot of the head, and what makes it fit. Errors: ArgumentError, ContextTooLarge, as `compile`."""
        self._reader.require_complete()
        if self._compiler is not None:
            raise ArgumentError("max_tokens: a custom compiler fits its contexts itself")
        head = self._reader.head()
        state = self._renewed(head, self.state(head))
        return state.snapshot(), self._plan(state.snapshot(), state, fit)

    def _require_fit(self, max_tokens: int | None, policy: FitPolicy | None, options: CompileOptions) -> Fit | None:
        from tract_fs.model.fitting import Fit

        if options.aggregate_same_role or self._compiler is not None:
            what = "aggregate_same_role" if options.aggregate_same_role else "a custom compiler"
            raise ArgumentError(f"max_tokens and policy go without {what}")
        return Fit.of(max_tokens, policy)

    def _plan(self, snapshot: CompileSnapshot, state: ContextState, fit: Fit) -> FitPlan:
        from tract_fs.model.fitting import plan_fit

        reader, counts = self._reader, snapshot.token_counts

        def is_fixed(commit: str) -> bool:
            slot = state.slot_of(commit)
            return slot is not None and (slot.priority is Priority.PINNED or bool(slot.targets))

        def rendered(content: Shortened) -> Rendering:
            name = "tool_io" if isinstance(content, ToolIOContent) else "message"
            return render(content, name, reader.types, reader.counter, read_blob=reader.read_blob)

        return plan_fit(
            snapshot.messages,
            counts,
            fit,
            beside=snapshot.token_count - sum(counts),
            is_fixed=is_fixed,
            render=rendered,
        )

    def _compile(
        self, at_time: datetime | None, at_commit: str | None, options: CompileOptions, fit: Fit | None
    ) -> CompiledContext:
        reader = self._reader
        head = reader.head()
        if at_commit is None:
            self._require_complete(head, at_time)
        cut = head if at_commit is None else reader.resolve(at_commit)
        if at_time is not None:
            return self._compile_made_by(self._order(head), to_us(at_time), options, fit)
        if self._compiler is not None:
            return self._compile_by(self._compiler, self._order(cut), options)
        notes = self._notes()
        if at_commit is None and len(reader.log.view.branches.get(reader.branch, ())) > 1:
            notes = [*self._notes_of_heads(), *notes]
        if cut is None:
            return self._fitted(self.state(None).compile(options), self.state(None), fit, notes).to_context(
                None, notes=notes
            )
        state = self.state(cut)
        if reader.gaps:
            state = self._without_gaps(cut, state, notes)
        if reader.misfits:
            notes += self._notes_of_types(state)
        if reader.log.overruled:
            notes += self._notes_of_configs(state)
        later = self._later(self._behind(head, cut)) if cut != head and state.has_open_calls() else ()
        usage = reader.overlay.usage(cut) if options.is_plain and fit is None else None
        return self._to_context(self._fitted(state.compile(options, later=later), state, fit, notes), cut, notes, usage)

    def _fitted(
        self, snapshot: CompileSnapshot, state: ContextState, fit: Fit | None, notes: list[str]
    ) -> CompileSnapshot:
        """Returns the snapshot made to fit, and adds a note for all that is shortened or left out."""
        if fit is None:
            return snapshot
        plan = self._plan(snapshot, state, fit)
        notes += plan.warnings
        return snapshot.fitted(plan) if plan.warnings else snapshot

    def _require_complete(self, head: CommitHash | None, at_time: datetime | None) -> None:
        """Raises HistoryIncomplete if the answer would lack what is hidden: a cut before the head's time lacks nothing."""
        reader = self._reader
        if not reader.log.hides_any:
            return
        if (
            at_time is None
            or head is None
            or not isinstance(at_time, datetime)
            or reader.commit(head).created_us <= to_us(at_time)
        ):
            reader.require_complete()

    def _without_gaps(self, cut: CommitHash, state: ContextState, notes: list[str]) -> ContextState:
        """Returns the state with the contents that can be read by now. Adds a note for each commit that is left out.

        Errors: HistoryIncomplete if any is, unless the handle accepts gaps.
        """
        state = self._renewed(cut, state)
        self._note_lost(state, notes)
        return state

    def _renewed(self, head: CommitHash | None, state: ContextState) -> ContextState:
        """Returns the state of `head` with the contents that can be read by now."""
        if not self._reader.gaps or not self._reader.has_gap_closed():
            return state
        self._reader.gaps.clear()
        self._reader.uncounted.clear()
        self.forget()
        return self.state(head)

    def _note_lost(self, state: ContextState, notes: list[str]) -> None:
        reader = self._reader
        lost = state.lost()
        if lost and not reader.store.accepts_gaps:
            raise reader.gap_error(lost)
        notes += [
            f"commit {name} is left out: its content {reader.gaps.get(CommitHash(name))} is lost" for name in lost
        ]

    @property
    def held_messages(self) -> int:
        """How many messages the newest state in memory has, about."""
        return 0 if self._newest is None else self._newest.slot_count

    def share(self, other: ContextReader) -> None:
        """Keeps the newest state that another handle of this tract has in memory; its messages are shared.

        It holds here if that handle lacks no content, and both know the same events: a further one may redact a content.
        """
        mine, theirs, newest = self._reader, other._reader, other._newest
        is_whole = not (theirs.gaps or theirs.uncounted or theirs.misfits)
        if newest is None or newest.head is None or not is_whole or other._version != theirs.records_version():
            return
        if not mine.types.has_same(theirs.types):
            return
        stamp = mine.log.stamp()
        if mine.records_version()[1] == other._version[1] and stamp[0] >= 0 and stamp == theirs.log.stamp():
            mine.store.noted_redactions.update(theirs.store.noted_redactions)
            self._removed = other._removed
            self._newest = newest.beside(mine.types)
            self._states.put(newest.head, self._newest)

    def _forget_removed(self) -> None:
        """Drops what is in memory once the file of a redacted content was removed; until then the content shows."""
        store = self._reader.store
        removed = frozenset(name for name in store.noted_redactions if not store.objects.is_written(name))
        if removed != self._removed:
            store.objects.drop(removed)
            self._reader.forget_renderings()
            self.forget()
            self._removed = removed

    def beside(self, reader: TractReader) -> ContextReader:
        """Returns what compiles heads of another tract of the store, by the same compiler."""
        return ContextReader(reader, self._compiler, cache_size=1, clock=self._clock)

    def compile_head(self, head: CommitHash | None) -> CompiledContext:
        """Returns the context of a commit (None: of no commits) as it compiles where that is the head, without usage."""
        if self._compiler is not None:
            return self._compile_by(self._compiler, self._order(head), CompileOptions())
        return self._to_context(self.state(head).snapshot(), head, [])

    def lost(self, head: CommitHash | None) -> list[str]:
        """Returns the commits that the context of a commit leaves out, because their contents are missing or damaged."""
        if self._compiler is not None:
            return []
        state = self._renewed(head, self.state(head))
        return state.lost() if self._reader.gaps else []

    def state(self, head: CommitHash | None) -> ContextState:
        """Returns the state after the history of `head` (None: of no commits); from the nearest cached one on."""
        if head is None:
            return self._empty()
        if self._version != self._reader.records_version():
            self.forget()
        if self._reader.store.noted_redactions:
            self._forget_removed()
        state = self._held(head)
        if state is None:
            state = self._replay(head)
            transaction = self._reader.overlay.transaction
            if transaction is None:
                self._states.put(head, state)
                self._newest = state
            else:
                self._staged = transaction, transaction.return_count, state
        return state

    def _held(self, head: CommitHash) -> ContextState | None:
        """Returns a state that is in memory, or None. The one that was made last amid a batch is used in that batch alone, as
        long as nothing is dropped there.
        """
        state = self._states.get(head)
        if state is None and self._staged is not None:
            transaction, return_count, staged = self._staged
            if transaction is not self._reader.overlay.transaction or return_count != transaction.return_count:
                self._staged = None
            elif staged.head == head:
                return staged
        return state

    def whole_state(self, head: CommitHash | None) -> ContextState:
        """Returns the state after the history of `head` with all its slots. Cost: reads the history, if the cached
        state is condensed.
        """
        state = self.state(head)
        if head is not None and state.is_condensed:
            state = self._replay_whole(head)
            if not self._reader.overlay.is_staging:
                self._states.put(head, state)
        return state

    def shows(self, head: CommitHash | None, name: CommitHash) -> bool | None:
        """Returns whether the context of `head` shows the text of a commit; None: a custom compiler decides. Cost: as `state`."""
        return None if self._compiler is not None else self._renewed(head, self.state(head)).shows(name)

    def cut(self, at_time: datetime | None, at_commit: str | None) -> Cut:
        """Returns what `compile` makes its answer from: the head's history, or a cut of it. Cost: reads the history.

        Errors: as `compile`; ArgumentError if a custom compiler decides what shows.
        """
        if self._compiler is not None:
            raise ArgumentError("a custom compiler decides what its contexts show, so they can't be explained")
        if at_time is not None and at_commit is not None:
            raise ArgumentError("give at_time or at_commit, not both")
        if not isinstance(at_time, datetime | None):
            raise ArgumentError(f"at_time {at_time!r}: give a datetime (naive: UTC)")
        reader = self._reader
        head = reader.head()
        if at_commit is None:
            self._require_complete(head, at_time)
        whole = self._order(head)
        if at_time is None:
            end = head if at_commit is None else reader.resolve(at_commit)
            names = whole if end == head else self._order(end)
            self._renewed(end, self.state(end))
            state = self.whole_state(end)
            behind = [] if end is None or end == head else self._behind(head, end)
        else:
            moment_us = to_us(at_time)
            names = [name for name in whole if reader.commit(name).created_us <= moment_us]
            state = self._empty().apply_all(zip(names, map(reader.loaded, names), strict=True))
            held = set(names)
            behind = [name for name in whole if name not in held]
        later = self._later(behind) if behind and state.has_open_calls() else ()
        return Cut(names, behind, state, later)

    def tokens_after(self, head: CommitHash | None, loaded: Loaded) -> tuple[int, int]:
        """Returns the tokens of the context of `head`, and of what one more commit would make of it."""
        state = self.state(head)
        try:
            return state.snapshot().token_count, state.tokens_after(loaded)
        except NotHeldError:
            state = self.whole_state(head)
            return state.snapshot().token_count, state.tokens_after(loaded)

    def forget(self) -> None:
        """Drops all states in memory, since what they depend on has changed."""
        self._version = self._reader.records_version()
        self._states.clear()
        self._newest = self._staged = None
        self._replayed = 0

    def save(self) -> None:
        """Stores the newest state on disk if enough was replayed for it, or if it can drop much that an older one
        holds.
        """
        newest = self._newest
        if newest is not None and (self._replayed >= _STORE_MIN_COMMITS or (self._replayed and newest.is_sparse())):
            self._store(newest)

    def _empty(self) -> ContextState:
        return ContextState(self._reader.counter, self._reader.types)

    def _replay(self, head: CommitHash) -> ContextState:
        reader = self._reader
        line: list[CommitHash] = []  # first parents, from the head back to a cached state
        commits: list[Commit | None] = []  # theirs
        base: ContextState | None = None
        cursor: CommitHash | None = head
        has_merge = False
        while cursor is not None:
            base = self._held(cursor) or self._load(cursor)
            if base is not None:
                break
            commit = reader.commit(cursor)
            line.append(cursor)
            commits.append(commit if len(commits) < _HELD_COMMITS else None)
            has_merge = has_merge or len(commit.parents) > 1
            cursor = commit.parents[0] if commit.parents else None
        names = line[::-1]
        if has_merge:
            names = self._order_after(cursor, head)
            commits = [None] * len(names)
        try:
            state = self._apply_all(base or self._empty(), names, commits)
        except NotHeldError:
            return self._replay_whole(head)
        if not reader.overlay.is_staging:
            self._replayed += len(names)
            if len(names) >= 4 * _STORE_MIN_COMMITS and 2 * len(names) >= len(state.slots()):
                self._store(state)
        return state

    def _apply_all(self, state: ContextState, names: list[CommitHash], commits: list[Commit | None]) -> ContextState:
        """Returns the state after more commits; `commits` holds those already read, in reverse. Condenses the state on
        the way if there are many.
        """
        loaded = zip(names, map(self._reader.loaded, names, reversed(commits)), strict=True)
        due = 2 * state.slot_count + _CONDENSED_EVERY
        left = len(names)
        while left > 0:
            step = due - state.slot_count
            left -= step
            state = state.apply_all(islice(loaded, step))
            if state.slot_count >= due:
                state = state.condensed()
                due = 2 * state.slot_count + _CONDENSED_EVERY
        return state

    def _replay_whole(self, head: CommitHash) -> ContextState:
        """Returns the state after all commits of a history, not condensed. Cost: reads all of it."""
        names = linear_order(head, self._reader.commit)
        return self._empty().apply_all(zip(names, map(self._reader.loaded, names), strict=True))

    def _order_after(self, known: CommitHash | None, head: CommitHash) -> list[CommitHash]:
        """Returns the linear order of `head` less the history of `known`, one of its ancestors: what follows it, if it
        is along first parents.

        Cost: what is not shared, where times rise along the lines.
        """
        read = self._reader.commit
        return linear_order(head, read, known=frozenset() if known is None else Reach((known, head), read).shared())

    def _load(self, head: CommitHash) -> ContextState | None:
        stored = self._stored.get(head)
        if stored is None:
            return None
        log, counter = self._reader.log, self._reader.counter
        if (
            stored.counter != cache_name(counter)
            or stored.again_count != self._reader.records_version()[1]
            or not log.covers(stored.count, stored.chain)
        ):
            self._stored.forget(head)
            return None
        return ContextState.from_slots(
            head,
            stored.slots,
            counter,
            self._reader.types,
            summaries=stored.summaries,
            is_condensed=stored.is_condensed,
        )

    def _store(self, state: ContextState) -> None:
        log = self._reader.log
        stamp = log.stamp()
        if (
            state.head is None
            or stamp[0] < 0
            or state.depends_on_types()
            or state.holds_unreadable()
            or self._reader.uncounted
        ):
            return
        again_count = self._reader.records_version()[1]
        state = state.condensed()
        self._stored.put(
            state.head or CommitHash(""),
            state.slots(),
            summaries=state.summaries,
            is_condensed=state.is_condensed,
            counter=cache_name(self._reader.counter),
            stamp=stamp,
            again_count=again_count,
        )
        self._reader.expect_operations()
        self._replayed = 0

    def _compile_made_by(
        self, order: list[CommitHash], moment_us: int, options: CompileOptions, fit: Fit | None
    ) -> CompiledContext:
        """Compiles those commits of a linear order that had been made by a moment."""
        read = self._reader.commit
        made = {name: read(name).created_us <= moment_us for name in order}
        kept = [name for name in order if made[name]]
        if self._compiler is not None:
            return self._compile_by(self._compiler, kept, options)
        state = self._empty().apply_all(zip(kept, map(self._reader.loaded, kept), strict=True))
        later = self._later([name for name in order if not made[name]]) if state.has_open_calls() else ()
        left_out_us = max((read(name).created_us for name in order if not made[name]), default=0)
        notes = [*self._notes_of_heads(moment_us), *self._notes(), *self._notes_of_dates(left_out_us)]
        if self._reader.misfits:
            notes += self._notes_of_types(state)
        if self._reader.log.overruled:
            notes += self._notes_of_configs(state)
        if self._reader.gaps:
            self._note_lost(state, notes)
        snapshot = self._fitted(state.compile(options, later=later), state, fit, notes)
        return self._to_context(snapshot, state.head, notes)

    def _to_context(
        self, snapshot: CompileSnapshot, head: CommitHash | None, notes: list[str], usage: TokenUsage | None = None
    ) -> CompiledContext:
        """Returns the result for a caller, with the data of the blobs that its messages name."""
        if not snapshot.has_blobs:
            return snapshot.to_context(head, usage=usage, notes=notes)
        messages, lost = self.with_data(snapshot.list_messages())
        return snapshot.to_context(head, usage=usage, notes=[*notes, *lost], messages=messages)

    def with_data(self, messages: list[Message]) -> tuple[list[Message], list[str]]:
        """Returns messages with the data of the blobs that they name, and a sentence for each blob that is lost."""
        found: list[Message] = []
        notes: list[str] = []
        for message in messages:
            shown, lost = self._reader.with_data(message) if message.has_blobs else (message, [])
            found.append(shown)
            notes += [
                f"commit {message.commit_hashes[0]}: its attachment, blob {name}, is missing or damaged, and a text "
                "stands for it; fetch the blob from another copy"
                for name in lost
            ]
        return found, notes

    def _notes_of_heads(self, moment_us: int | None = None) -> list[str]:
        """Returns what the other heads of the branch have that the context leaves out; nothing if there are none."""
        found = self.other_heads.get(made_by_us=moment_us)
        return [] if found is None else [found.describe()]

    def _notes_of_types(self, state: ContextState) -> list[str]:
        """Returns which commits that show do not fit their registered types. Cost: reads all commits of the state."""
        read, misfits = self._reader.commit, self._reader.misfits
        shown = set(state.snapshot().list_commits())
        notes = []
        for slot in state.slots():
            edit = slot.winner() if slot.edits else None
            name = slot.commit if edit is None else edit.commit
            commit = read(CommitHash(name))
            misfit = None if commit.content is None else misfits.get(commit.content)
            if misfit is not None and slot.commit in shown:
                notes.append(
                    f"commit {name}: its content does not fit the registered type {commit.content_type!r} ({misfit}); it "
                    "shows as far as it can be read: edit or skip it, or give the type's class a default or the field"
                )
        return notes

    def _notes_of_configs(self, state: ContextState) -> list[str]:
        """Returns which commits have another generation config than this copy showed before."""
        shown = set(state.snapshot().list_commits())
        return [note for commit, note in self._reader.overruled_configs().items() if commit in shown]

    def _notes_of_dates(self, left_out_us: int) -> list[str]:
        """Returns what to know of a cut by time that leaves out commits, the newest of them made at `left_out_us`."""
        now_us = read_clock(self._clock) if left_out_us else 0
        if left_out_us <= now_us + _SKEW_US:
            return []
        return [
            f"commits that a cut by time leaves out are dated up to {format_time(left_out_us)}, ahead of this clock "
            f"({format_time(now_us)}): a clock ran ahead, and what was committed since is dated after it; at_commit cuts "
            "at any commit"
        ]

    def _behind(self, head: CommitHash | None, cut: CommitHash) -> list[CommitHash]:
        """Returns what follows a cut in the head's linear order; nothing if the cut is on another line."""
        read = self._reader.commit
        line: list[CommitHash] = []
        cursor = head
        while cursor is not None and cursor != cut:
            line.append(cursor)
            parents = read(cursor).parents
            if len(parents) > 1:
                start = line[0]
                return self._order_after(cut, start) if is_ancestor(cut, start, read) else []
            cursor = parents[0] if parents else None
        return line[::-1] if cursor is not None else []

    def _later(self, names: list[CommitHash]) -> Sequence[Slot]:
        """Returns the appends and summaries behind a cut that may hold what the cut's tool calls wait for."""
        slots = [self._original(name) for name in names if self._may_hold_tools(self._reader.commit(name))]
        return [slot for slot in slots if slot is not None]

    def _may_hold_tools(self, commit: Commit) -> bool:
        return commit.operation in _MADE_SLOTS and commit.content_type in _TOOL_TYPES

    def _original(self, name: CommitHash) -> Slot | None:
        """Returns a commit as it was made, None if its content was redacted."""
        rendering = self._reader.loaded(name).rendering
        return None if rendering is None else Slot(name, rendering, None, Priority.NORMAL)

    def _order(self, head: CommitHash | None) -> list[CommitHash]:
        """Returns the history of `head` in linear order, root first."""
        return [] if head is None else linear_order(head, self._reader.commit)

    def _compile_by(
        self, compiler: ContextCompiler, names: list[CommitHash], options: CompileOptions
    ) -> CompiledContext:
        """Returns what a custom compiler makes of a history; its last commit is the head, unless the compiler names one."""
        context = compiler.compile(self._history(names), options)
        if context.head is None and names:
            context.head = names[-1]
        return context

    def _history(self, names: list[CommitHash]) -> list[HistoryEntry]:
        """Returns what a custom compiler gets, root first."""
        reader = self._reader
        names = [name for name in names if not self._is_left_out(name)]
        priorities: dict[str, Priority] = {}
        for name in names:
            commit = reader.commit(name)
            if commit.content_type is not None:
                priorities[name] = reader.default_priority(name)
            elif commit.priority is not None:
                priorities[commit.targets[0]] = commit.priority
        return [
            HistoryEntry(
                commit_hash=name,
                commit=reader.commit(name),
                content=reader.content(name) if reader.commit(name).content is not None else None,
                generation_config=reader.info(name).generation_config,
                priority=priorities.get(name, Priority.NORMAL),
            )
            for name in names
        ]

    def _is_left_out(self, name: CommitHash) -> bool:
        """Returns whether a custom compiler does not get a commit: its content is redacted, or lost and this handle accepts gaps."""
        store = self._reader.store
        content = self._reader.commit(name).content
        if content is None or store.objects.get(content) is not None:
            return False
        return store.accepts_gaps or content in store.redacted()

    def _notes(self) -> list[str]:
        log, store = self._reader.log, self._reader.store
        if log.changes == self._quiet_changes and not store.lock_fault:
            return []
        lock_warning = store.lock_warning
        notes = [lock_warning] if lock_warning else []
        notes += [
            f"{path}: this file is still under way: a copying tool has not finished it, and what it brings is missing here"
            for path in log.under_way
        ]
        if not log.hides_any:
            self._quiet_changes = -1 if notes else log.changes
            return notes
        notes += [
            f"{pack.path}: damaged ({pack.cause})"
            f"{'; newer events of this tract may be lost with it' if pack.is_doubtful else ''}; "
            "fetch it from another copy of this store"
            for pack in log.damaged_packs
        ]
        error = self._reader.incomplete()
        if error is not None:
            return [*notes, f"branch {error.branch!r} is incomplete: {error.reason}"]
        gone = log.gone - log.accepted.keys()
        waiting = len(log.view.pending.keys() | log.damaged.keys() | gone | log.quarantined.keys())
        if waiting:
            notes.append(f"{waiting} events of this tract are pending, damaged or gone, and take no part; see status()")
        return notes
