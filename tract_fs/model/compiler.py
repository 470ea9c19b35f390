"""The compiler: replays a history, commit by commit, into the messages to send next.

A ContextState is the effective context after a history: one slot per append or summary, with its edits and priority. It
is a value: `apply` returns another, which shares all that did not change. So a cached state can be extended by new
commits, patched by edits, annotations and summaries, or dropped, and its context always equals that of a replay from
the root. Rules: guide/api.md; of summaries: FORMAT.md, section 7. The order of a history comes from
model/history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol

from msgspec import Struct

from tract_fs.errors import OrphanedToolCall, TokenizerError
from tract_fs.model.arrangement import (
    PLAIN,
    Layout,
    arrange,
    cover,
    export_warnings,
    has_open_calls,
    in_shown_order,
    pairing_warnings,
    summary_warnings,
)
from tract_fs.model.condensing import condense
from tract_fs.model.content import BUILTIN_TYPES, ContentTypes, Priority
from tract_fs.model.messages import Message, Rendering, is_joinable, joined_rendering, with_text
from tract_fs.model.names import CommitHash
from tract_fs.model.objects import Commit, CommitOperation
from tract_fs.model.slots import LOST, REDACTED, Edit, Slot
from tract_fs.model.snapshot import CompiledContext, CompileSnapshot
from tract_fs.model.tokens import PER_REPLY, TokenCounter, source_name

Orphans = Literal["drop", "raise", "keep"]


class CompileOptions(Struct, frozen=True):
    """How to compile: the options of `Tract.compile()`."""

    include_edit_annotations: bool = False
    aggregate_same_role: bool = False
    orphans: Orphans = "drop"

    @property
    def is_plain(self) -> bool:
        """Whether these are the defaults, whose answers are cached."""
        return not self.include_edit_annotations and not self.aggregate_same_role and self.orphans == "drop"


class HistoryEntry(Struct, frozen=True):
    """One commit of a history as a custom compiler gets it; `content` and `generation_config` are fresh."""

    commit_hash: CommitHash
    commit: Commit
    content: Any
    generation_config: dict[str, Any] | None
    priority: Priority


class ContextCompiler(Protocol):
    """Anything that compiles a history (root first) into a context."""

    def compile(self, history: Sequence[HistoryEntry], options: CompileOptions) -> CompiledContext: ...


class Loaded(Struct, frozen=True, gc=False):
    """A commit, its rendering (None without content, LOST where that can't be read) and its config as canonical JSON."""

    commit: Commit
    rendering: Rendering | None
    config: str | None


class NotHeldError(Exception):
    """Raised by a condensed state for an operation on a commit that it may have dropped."""


class _Spine:
    """The appends and summaries of a line by position: maps that only grow, shared by the states along it.

    Beyond the length of a state, entries may belong to another line.
    """

    def __init__(self) -> None:
        self.positions: dict[str, int] = {}
        self.edit_targets: dict[str, str] = {}  # edit: its target; may name edits that a state does not have
        self.last_calls: dict[str, int] = {}  # tool call id: the position of the last slot that calls it
        self.length = 0

    @classmethod
    def of(cls, slots: list[Slot]) -> _Spine:
        spine = cls()
        for position, slot in enumerate(slots):
            spine.add(slot, position)
        return spine

    def add(self, slot: Slot, position: int) -> None:
        self.length = position + 1
        self.positions[slot.commit] = position
        for edit in slot.edits:
            self.edit_targets[edit.commit] = slot.commit
        for call in slot.rendering.calls:
            self.last_calls[call] = position


class ContextState:
    """The effective context after the history of `head`.

    A state is whole (it has a slot for every append and summary) or condensed (it has dropped slots that no answer
    shows). `condensed` turns a whole state into a condensed one; `apply` keeps a state what it is. Nothing makes a
    condensed state whole: an operation on a dropped commit raises NotHeldError, and the caller replays the history.

    A state shares its lists with the states of its line: only the first `_count` of `_slots` are its own, and `_spine`
    may be longer. Its snapshot and layout are made on first need; an append that only adds a message carries them over.
    """

    CONDENSED_LEAST = 1024  # a state that would drop fewer slots, or fewer than it would keep, stays whole

    def __init__(self, counter: TokenCounter, types: ContentTypes) -> None:
        self.head: CommitHash | None = None
        self.is_condensed = False
        self._counter = counter
        self._types = types
        self._spine: _Spine | None = _Spine()
        self._slots: list[Slot] = []
        self._count = 0
        self._summaries: tuple[int, ...] = ()  # positions, ascending
        self._snapshot: CompileSnapshot | None = None
        self._layout = PLAIN  # of the snapshot

    @classmethod
    def from_slots(
        cls,
        head: CommitHash,
        slots: list[Slot],
        counter: TokenCounter,
        types: ContentTypes,
        *,
        summaries: tuple[int, ...] = (),
        is_condensed: bool = False,
    ) -> ContextState:
        """Returns the state of a stored list of slots; `summaries` are the positions of those with targets."""
        state = cls(counter, types)
        state.is_condensed = is_condensed
        state.head = head
        state._slots = slots
        state._count = len(slots)
        state._summaries = summaries
        state._spine = None
        return state

    def beside(self, types: ContentTypes) -> ContextState:
        """Returns this state for another handle and thread, with the types that are registered there: the slots and messages
        are shared, the lists are not.
        """
        state = self._moved(self.head or CommitHash(""))
        state.head = self.head
        state._types = types
        state._spine = None
        state._slots = self.slots()
        if self._snapshot is not None:
            state._snapshot = self._snapshot.beside(state._warn_lazily(self._layout))
        return state

    def condensed(self) -> ContextState:
        """Returns a state with equal answers that holds only the slots they need; this state if that saves little."""
        if not self._drops_enough(self.snapshot().commit_count) or self.depends_on_types():
            return self
        kept = condense(self.slots(), self._all_targets(), self._layout)
        if kept is None:
            return self
        if not self._drops_enough(len(kept.slots)):
            return self
        assert self.head is not None
        return ContextState.from_slots(
            self.head, kept.slots, self._counter, self._types, summaries=kept.summaries, is_condensed=True
        )

    def is_sparse(self) -> bool:
        """Returns whether this is a whole state that shows so few slots that condensing it may pay."""
        return not self.is_condensed and self._drops_enough(self.snapshot().commit_count)

    def _drops_enough(self, kept: int) -> bool:
        return 1024 * (self._count - kept) >= self.CONDENSED_LEAST * max(1024, kept)

    def slots(self) -> list[Slot]:
        """Returns the slots, in order."""
        return self._slots[: self._count]

    def slot_of(self, commit: str) -> Slot | None:
        """Returns the slot of an append or summary, or None."""
        position = self._position(commit)
        return None if position is None else self._slots[position]

    @property
    def slot_count(self) -> int:
        """The number of slots."""
        return self._count

    @property
    def summaries(self) -> tuple[int, ...]:
        """The positions of the summaries among the slots, ascending."""
        return self._summaries

    def in_history_order(self, commits: Iterable[CommitHash]) -> list[CommitHash]:
        """Returns the appends and summaries among some commits, each once, in the order of the history."""
        positions = {name: position for name in commits if (position := self._position(name)) is not None}
        return sorted(positions, key=positions.__getitem__)

    def shows(self, commit: str) -> bool:
        """Returns whether the context by the default options shows the content of a commit, an edit's too."""
        position = self._position(commit)
        if position is None:
            position = self._position(self._require_spine().edit_targets.get(commit, ""))
        if position is None or position in self.layout().absent:
            return False
        slot = self._slots[position]
        return slot.is_shown and slot.shown_commit == commit

    def covered_by(self, commit: str) -> str | None:
        """Returns the standing summary that hides a commit, or None."""
        position = self._position(commit)
        self.snapshot()
        if position is None or position not in self._layout.absent:
            return None
        if position in self._layout.beaten:
            return self._slots[self._layout.beaten[position]].commit
        targets = self._all_targets()
        for summary in self._layout.places:
            covered: set[int] = set()
            cover(summary, targets, covered)
            if position in covered:
                return self._slots[summary].commit
        return None

    def layout(self, later: Sequence[Slot] = ()) -> Layout:
        """Returns how the context by the default options departs from the order of the slots; `later` as for `compile`."""
        if later:
            return self._arranged(later, orphans="drop")
        self.snapshot()
        return self._layout

    def hidden_by(self, layout: Layout) -> dict[int, int]:
        """Maps the position of each slot that a standing summary hides to that of the summary."""
        found = dict(layout.beaten)
        targets = self._all_targets()
        for summary in layout.places:
            covered: set[int] = set()
            cover(summary, targets, covered)
            found.update(dict.fromkeys(covered, summary))
        return found

    def apply(self, name: CommitHash, loaded: Loaded) -> ContextState:
        """Returns the state after one more commit.

        Cost: constant for an append; a copy of a list for an edit or annotation. Errors: NotHeldError.
        """
        commit = loaded.commit
        if self.is_condensed:
            self._require_held(loaded)
        if loaded.rendering is not None and commit.operation is not CommitOperation.EDIT:
            priority = self._default_priority(loaded.rendering, commit.content_type)
            if not commit.targets:
                return self._append(name, Slot(name, loaded.rendering, loaded.config, priority))
            summary = Slot(name, loaded.rendering, loaded.config, priority, (), commit.targets)
            return self._append(name, summary)._summarized()
        state = self._moved(name)
        if commit.operation is CommitOperation.EDIT and loaded.rendering is not None:
            position = self._position(commit.targets[0])
            if position is not None:
                slot = self._slots[position]
                edit = Edit(name, loaded.rendering, loaded.config)
                state._patch(position, slot.with_edits((*slot.edits, edit)))
                state._require_spine().edit_targets[name] = slot.commit
        elif commit.operation is CommitOperation.ANNOTATE and commit.priority is not None:
            self._annotate(state, commit.targets[0], commit.priority)
        elif commit.operation in (CommitOperation.APPEND, CommitOperation.SUMMARIZE):
            redacted = self._append(name, Slot(name, REDACTED, None, Priority.SKIP, (), commit.targets))
            return redacted._summarized() if commit.targets else redacted
        return state

    def apply_all(self, loaded: Iterable[tuple[CommitHash, Loaded]]) -> ContextState:
        """Returns the state after more commits, in order. Cost: as `apply` for each, less for runs of appends.

        Errors: NotHeldError.
        """
        state, default_priority = self, self._default_priority
        for name, one in loaded:
            commit, rendering = one.commit, one.rendering
            is_plain = rendering is not None and commit.operation is CommitOperation.APPEND
            if state is self or not is_plain or not state._can_grow():
                state = state.apply(name, one)
                continue
            assert rendering is not None
            slot = Slot(name, rendering, one.config, default_priority(rendering, commit.content_type))
            state.head = name
            state._slots.append(slot)
            if state._spine is not None:
                state._spine.add(slot, state._count)
            state._count += 1
        return state

    def snapshot(self) -> CompileSnapshot:
        """Returns the compiled form by the default options; made once."""
        if self._snapshot is None:
            self._layout = self._arranged((), orphans="drop")
            self._snapshot = self._compile(CompileOptions(), self._layout, ())
        return self._snapshot

    def compile(self, options: CompileOptions, *, later: Sequence[Slot] = ()) -> CompileSnapshot:
        """Returns the compiled form by any options; `later` are appends that a cut left out of a longer line.

        Errors: OrphanedToolCall, if the options ask for it.
        """
        if options.is_plain and not later:
            return self.snapshot()
        layout = self._arranged(later, orphans=options.orphans)
        if layout.dropped and options.orphans == "raise":
            raise OrphanedToolCall(commits=tuple(self._slots[position].commit for position in sorted(layout.dropped)))
        return self._compile(options, layout, later)

    def has(self, commit: str) -> bool:
        """Returns whether a commit is an append or summary of this history, or an edit whose target is in it."""
        if self._position(commit) is not None:
            return True
        slot = self.slot_of(self._require_spine().edit_targets.get(commit, ""))
        return slot is not None and any(edit.commit == commit for edit in slot.edits)

    def tokens_after(self, loaded: Loaded) -> int:
        """Returns the tokens of the context after one more commit. Cost: as `apply`; this state does not change."""
        rendering = loaded.rendering
        snapshot = self.snapshot()
        if (
            rendering is not None
            and loaded.commit.operation is CommitOperation.APPEND
            and self._extends_simply(rendering)
        ):
            if not rendering.tokens or self._default_priority(rendering, loaded.commit.content_type) is Priority.SKIP:
                return snapshot.token_count
            return snapshot.token_count + rendering.tokens + (0 if snapshot.commit_count else PER_REPLY)
        fork = self._moved(CommitHash(""))
        fork._slots = self.slots()
        fork._spine = None
        return fork.apply(CommitHash(""), loaded).snapshot().token_count

    def lost(self) -> list[str]:
        """Returns the commits whose contents would show by the default options, but are missing or damaged."""
        return [slot.shown_commit for slot in self._iter_lost()]

    def lost_slots(self) -> list[str]:
        """Returns the appends and summaries that would show these contents."""
        return [slot.commit for slot in self._iter_lost()]

    def _iter_lost(self) -> Iterator[Slot]:
        self.snapshot()
        absent = self._layout.absent
        return (slot for position, slot in enumerate(self.slots()) if slot.is_lost and position not in absent)

    def holds_unreadable(self) -> bool:
        """Returns whether the content of a slot or an edit is redacted, missing or damaged."""
        return any(
            slot.rendering in (REDACTED, LOST) or any(edit.rendering is LOST for edit in slot.edits)
            for slot in self.slots()
        )

    def has_open_calls(self) -> bool:
        """Returns whether a tool call of these slots has no answer among them."""
        return has_open_calls(self.slots())

    def depends_on_types(self) -> bool:
        """Returns whether a slot or an edit shows as its content type is registered here."""
        shown = [slot.rendering for slot in self.slots()]
        shown += [edit.rendering for slot in self.slots() if slot.edits for edit in slot.edits]
        return not {one.content_type for one in shown if one.priority is None} <= BUILTIN_TYPES.keys()

    def _default_priority(self, rendering: Rendering, content_type: str | None) -> Priority:
        """Returns the priority of an append or summary until it is annotated."""
        own = rendering.priority
        return self._types.default_priority(content_type or "") if own is None else own

    def _can_grow(self) -> bool:
        """Returns whether an append may change this state in place; the caller must have the only reference to it."""
        if self.is_condensed or self._snapshot is not None or len(self._slots) != self._count:
            return False
        return self._spine is None or self._spine.length == self._count

    def _require_held(self, loaded: Loaded) -> None:
        """Raises NotHeldError if a commit is about one that this state may have dropped."""
        commit, rendering = loaded.commit, loaded.rendering
        for target in commit.targets:
            position = self._position(target)
            if position is None and commit.operation is CommitOperation.ANNOTATE:
                position = self._position(self._require_spine().edit_targets.get(target, ""))
            elif position in self._summaries and commit.priority is Priority.SKIP:
                position = None  # its targets would show again
            elif commit.operation is CommitOperation.SUMMARIZE and self.covered_by(target) is not None:
                position = None  # which of the two stands depends on all that they cover
            if position is None:
                raise NotHeldError
        if rendering is not None and rendering.answers and commit.operation is not CommitOperation.EDIT:
            calls = self._last_calls()
            if any(id_ not in calls for id_ in rendering.answers):
                raise NotHeldError

    def _last_calls(self) -> dict[str, int]:
        spine = self._require_spine()
        if spine.length != self._count:  # another line continues from here, and may have called the same ids
            spine = _Spine.of(self.slots())
        return spine.last_calls

    def _append(self, name: CommitHash, slot: Slot) -> ContextState:
        state = self._moved(name)
        if len(self._slots) != self._count:  # another line continues from here
            state._slots = self._slots[: self._count]
        if self._spine is not None and self._spine.length != self._count:
            state._spine = None
        position = self._count
        state._slots.append(slot)
        state._count = position + 1
        if self._snapshot is not None and not self._extends_simply(slot.rendering):
            state._snapshot = None
        elif self._snapshot is not None and slot.is_shown:
            rendering = slot.rendering
            source = source_name(self._counter, has_media=True) if rendering.has_media else self._snapshot.source
            message = Message.from_rendering(rendering, (slot.commit,))
            warn = state._warn_lazily(self._layout)
            state._snapshot = self._snapshot.extended(message, slot.config, rendering, source=source, warn=warn)
        if state._spine is not None:
            state._spine.add(slot, position)
        return state

    def _extends_simply(self, rendering: Rendering) -> bool:
        """Returns whether this append only adds a message: all tool calls that it answers are shown, unedited."""
        if not rendering.answers:
            return rendering.content_type != "tools"
        calls = self._last_calls()
        for call in rendering.answers:
            position = calls.get(call)
            if position is None:
                continue
            caller = self._slots[position]
            if caller.edits or not caller.is_shown or position in self._layout.absent:
                return False
        return True

    def _annotate(self, state: ContextState, target: str, priority: Priority) -> None:
        position = self._position(target)
        if position is not None:
            state._patch(position, self._slots[position].with_priority(priority))
            return
        position = self._position(self._require_spine().edit_targets.get(target, ""))
        if position is not None:
            slot = self._slots[position]
            is_skipped = priority is Priority.SKIP
            edits = tuple(
                Edit(e.commit, e.rendering, e.config, is_skipped) if e.commit == target else e for e in slot.edits
            )
            state._patch(position, slot.with_edits(edits))

    def _moved(self, head: CommitHash) -> ContextState:
        state = ContextState.__new__(ContextState)
        state.head = head
        state.is_condensed = self.is_condensed
        state._counter = self._counter
        state._types = self._types
        state._spine = self._spine
        state._slots = self._slots
        state._count = self._count
        state._summaries = self._summaries
        state._snapshot = self._snapshot
        state._layout = self._layout
        return state

    def _summarized(self) -> ContextState:
        """Returns this new state, whose last slot is a summary."""
        self._summaries = (*self._summaries, self._count - 1)
        self._snapshot = None
        return self

    def _patch(self, position: int, slot: Slot) -> None:
        self._slots = self._slots[: self._count]
        self._slots[position] = slot
        self._snapshot = None

    def _position(self, commit: str) -> int | None:
        position = self._require_spine().positions.get(commit)
        if position is None or position >= self._count or self._slots[position].commit != commit:
            return None
        return position

    def _require_spine(self) -> _Spine:
        if self._spine is None:
            self._spine = _Spine.of(self.slots())
        return self._spine

    def _arranged(self, later: Sequence[Slot], *, orphans: Orphans) -> Layout:
        """Returns the layout of the slots, after summaries and the pairing of tool calls."""
        return arrange(self.slots(), self._all_targets(), later, keeps_orphans=orphans == "keep")

    def _all_targets(self) -> dict[int, list[int]]:
        return {summary: self._targets(summary) for summary in self._summaries}

    def _targets(self, summary: int) -> list[int]:
        """Returns the positions of a summary's targets; a target that does not come before it is ignored."""
        positions = (self._position(target) for target in self._slots[summary].targets)
        return [position for position in positions if position is not None and position < summary]

    def _compile(self, options: CompileOptions, layout: Layout, later: Sequence[Slot]) -> CompileSnapshot:
        shown: list[tuple[Rendering, str]] = []
        configs: list[str | None] = []
        tools: Rendering | None = None
        has_blobs = False
        absent = layout.absent
        for position, slot in in_shown_order(self.slots(), layout) if layout.places else enumerate(self.slots()):
            if slot.priority is Priority.SKIP or position in absent:
                continue
            rendering, config = slot.rendering, slot.config
            edit = slot.winner() if slot.edits else None
            if edit is not None:
                rendering = edit.rendering
                config = config if edit.config is None else edit.config
                if options.include_edit_annotations and rendering.text is not None:
                    rendering = self._marked(slot.commit, rendering)
            if rendering.text is None:
                if rendering is LOST or not rendering.is_message:
                    tools = slot.tools or tools
                    continue
                has_blobs = has_blobs or rendering.has_blobs
            shown.append((rendering, slot.commit))
            configs.append(config)
        if options.aggregate_same_role:
            messages, counts = _join_roles(shown, self._counter)
        else:
            messages = [Message.from_rendering(rendering, (commit,)) for rendering, commit in shown]
            counts = [rendering.tokens for rendering, _ in shown]
        commits = [commit for _, commit in shown]
        warn = self._warn_lazily(layout, later)
        source = source_name(self._counter, has_media=any(rendering.has_media for rendering, _ in shown))
        return CompileSnapshot(
            messages,
            configs,
            commits,
            counts,
            tokens=sum(counts),
            source=source,
            warn=warn,
            tools=tools,
            has_blobs=has_blobs,
        )

    def _marked(self, commit: str, rendering: Rendering) -> Rendering:
        try:
            return with_text(rendering, f"{rendering.text} [edited]", self._counter)
        except TokenizerError as error:
            raise error.at(commit) from error.__cause__

    def _warn_lazily(self, layout: Layout, later: Sequence[Slot] = ()) -> Callable[[], list[str]]:
        slots, count, types = self._slots, self._count, self._types
        targets = self._all_targets() if layout.beaten else {}

        def warn() -> list[str]:
            line = slots[:count]
            warnings = [
                f"commit {line[p].commit} is left out with the other half of its tool call"
                for p in sorted(layout.dropped)
            ]
            warnings += summary_warnings(line, layout, targets)
            warnings += pairing_warnings(line, layout, later)
            warnings += export_warnings(line, layout)
            unknown = sorted(
                {s.rendering.content_type for s in line if s.rendering.priority is None} - BUILTIN_TYPES.keys()
            )
            warnings += [
                f"content type {name!r} is not registered: its commits are compiled by the defaults"
                for name in unknown
                if types.get(name) is None
            ]
            return warnings

        return warn


def _join_roles(shown: list[tuple[Rendering, str]], counter: TokenCounter) -> tuple[list[Message], list[int]]:
    """Returns the messages with neighbours of one role and name joined by a blank line, and the tokens of each."""
    messages: list[Message] = []
    counts: list[int] = []
    position = 0
    while position < len(shown):
        rendering, commit = shown[position]
        group = [shown[position]]
        position += 1
        while position < len(shown) and is_joinable(rendering) and is_joinable(shown[position][0]):
            following = shown[position][0]
            if (following.role, following.name) != (rendering.role, rendering.name):
                break
            group.append(shown[position])
            position += 1
        if len(group) == 1:
            messages.append(Message.from_rendering(rendering, (commit,)))
            counts.append(rendering.tokens)
        else:
            text = "\n\n".join(member.text or "" for member, _ in group)
            try:
                joined = joined_rendering(rendering.role, text, rendering.name, counter)
            except TokenizerError as error:
                raise error.at(group[0][1]) from error.__cause__
            messages.append(Message.from_rendering(joined, tuple(name for _, name in group)))
            counts.append(joined.tokens)
    return messages, counts
