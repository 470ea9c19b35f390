"""Summaries: one commit that stands for many, shown in the place of the first; these stay in the history.

What may be summarized is decided here, twice: before the text is made, with nothing locked, and again under the store's
lock. The compiler decides how a summary shows. Format: FORMAT.md, sections 5 and 7.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from msgspec import Struct

from tract_fs.errors import ArgumentError, HeadMoved, SummarizeError
from tract_fs.model.compiler import ContextState
from tract_fs.model.content import DialogueContent, Priority
from tract_fs.model.exports import find_flaws
from tract_fs.model.history import iter_newest_first
from tract_fs.model.info import CommitInfo
from tract_fs.model.messages import Message
from tract_fs.model.names import CommitHash
from tract_fs.model.objects import CommitOperation
from tract_fs.model.slots import Slot
from tract_fs.work.session import Session
from tract_fs.work.writer import ANY, ExpectedHead

_SHOWN = frozenset([CommitOperation.APPEND, CommitOperation.SUMMARIZE])


class Covered(Struct, frozen=True):
    """What a summary will stand for: commits in history order, and the messages of those that are shown."""

    targets: tuple[CommitHash, ...]
    messages: list[Message]


class MadeSummary(Struct, frozen=True):
    """The content of a summary, not checked yet."""

    content: object
    is_made_of_messages: bool  # by a callable, from the plan's messages


class SummaryPlan(Struct, frozen=True):
    """A summary that may be made at `head`, of `commits` or, where `ends` is set, of the stretch between these."""

    head: CommitHash | None
    commits: tuple[CommitHash, ...]
    ends: tuple[CommitHash, CommitHash] | None
    keep_pinned: bool
    message: str | None
    generation_config: dict[str, Any] | None
    expected_head: ExpectedHead
    covered: Covered

    def make(self, content: object) -> MadeSummary:
        """Returns the content of the summary; a callable is called for it, with the messages that the summary will
        stand for.
        """
        is_call = callable(content) and not isinstance(content, type)
        made = content(list(self.covered.messages)) if is_call else content  # type: ignore[operator]
        return MadeSummary(DialogueContent(role="system", text=made) if type(made) is str else made, is_call)


class TractSummarizer:
    """Makes and reads the summaries of one tract."""

    def __init__(self, session: Session) -> None:
        self._reader = session.reader
        self._writer = session.writer
        self._contexts = session.contexts

    def plan(
        self,
        commits: Iterable[str] | None,
        *,
        first: str | None,
        last: str | None,
        keep_pinned: bool,
        generation_config: dict[str, Any] | None,
        message: str | None,
        expected_head: ExpectedHead,
    ) -> SummaryPlan:
        """Returns what is to be summarized, once all but the content is checked; see the facade."""
        self._reader.store.require_writable()
        self._writer.optional_object(generation_config, "generation_config")
        self._writer.optional_text(message, "message")
        if (commits is None) == (first is None) or (first is None) != (last is None):
            raise ArgumentError("give the commits to summarize, or the first and the last of a stretch")
        if commits is not None and (isinstance(commits, str) or not isinstance(commits, Iterable)):
            raise ArgumentError(f"commits {commits!r}: give a list of commits")
        self._writer.require_branch()
        self._reader.require_complete()
        head = self._reader.head()
        if expected_head is not ANY and expected_head != head:
            raise HeadMoved(branch=self._reader.branch, expected=expected_head, actual=head)
        require = self._reader.require_in_history
        chosen = () if commits is None else tuple(map(require, commits))
        ends = None if first is None or last is None else (require(first), require(last))
        covered = self._choose(chosen, ends, keep_pinned=keep_pinned)
        return SummaryPlan(head, chosen, ends, keep_pinned, message, generation_config, expected_head, covered)

    def write(self, plan: SummaryPlan, made: MadeSummary) -> CommitInfo:
        """Commits the summary. Errors: HeadMoved if what is to be summarized changed since the plan; as `plan`."""
        draft = self._writer.draft(
            made.content,
            operation=CommitOperation.SUMMARIZE,
            message=plan.message,
            generation_config=plan.generation_config,
        )
        rendering = draft.rendering
        if rendering is not None and ("message" in find_flaws(rendering) or not rendering.is_message):
            raise SummarizeError(
                "can't summarize with an empty text: it would hide the commits and show nothing; nothing was written",
                target=None,
                reason="the text is empty" if rendering.is_message else f"a {rendering.content_type} is no message",
            )

        def check() -> None:
            head = self._reader.head()
            if head == plan.head:
                return
            covered = self._choose(plan.commits, plan.ends, keep_pinned=plan.keep_pinned)
            if covered.targets != plan.covered.targets or (made.is_made_of_messages and covered != plan.covered):
                raise HeadMoved(branch=self._reader.branch, expected=plan.head, actual=head)

        return self._writer.write(draft, plan.expected_head, targets=plan.covered.targets, check=check)

    def expand(self, ref: str) -> list[CommitInfo]:
        """Returns what a summary stands for, in history order; see the facade."""
        reader = self._reader
        name = reader.resolve(ref)
        commit = reader.commit(name)
        if commit.operation is not CommitOperation.SUMMARIZE:
            raise SummarizeError(
                f"commit {name} is of operation {commit.operation.value} and stands for no others",
                target=name,
                reason="it is no summary",
            )
        targets = reader.ordered_before(commit.targets, name)
        if targets is None:
            wanted = set(commit.targets)
            met = (other for other, _ in iter_newest_first(name, reader.commit) if other in wanted)
            targets = list(islice(met, len(wanted)))[::-1]
        return [reader.info(other) for other in targets if reader.commit(other).operation in _SHOWN]

    def _choose(
        self, commits: tuple[CommitHash, ...], ends: tuple[CommitHash, CommitHash] | None, *, keep_pinned: bool
    ) -> Covered:
        head = self._reader.head()
        state = self._contexts.state(head)
        names = commits if ends is None else _stretch(state, *ends)
        if any(state.slot_of(name) is None for name in names):
            state = self._contexts.whole_state(head)
        slots = [self._require_slot(state, name) for name in names]
        kept = {CommitHash(s.commit) for s in slots if not keep_pinned or s.priority is not Priority.PINNED}
        if not kept:
            reason = "all of these commits are pinned; pass keep_pinned=False" if slots else "no commits were given"
            raise SummarizeError(f"nothing to summarize: {reason}; nothing was written", target=None, reason=reason)
        messages = [message for message in state.snapshot().list_messages() if message.commit_hashes[0] in kept]
        if state.snapshot().has_blobs:
            messages, _ = self._contexts.with_data(messages)
        return Covered(tuple(state.in_history_order(kept)), messages)

    def _require_slot(self, state: ContextState, name: CommitHash) -> Slot:
        """Returns the slot of a commit that a new summary may stand for. Errors: SummarizeError."""
        slot = state.slot_of(name)
        if slot is None:
            self._reader.require_in_history(name)
            operation = self._reader.commit(name).operation
            reason = f"it is of operation {operation.value}; summarize the commit that it is about"
            if operation is CommitOperation.MERGE:
                reason = "it is a merge and has no content"
            raise SummarizeError(target=name, reason="its content was redacted" if operation in _SHOWN else reason)
        covering = state.covered_by(name)
        if covering is not None:
            raise SummarizeError(
                target=name, reason=f"the summary {covering} stands for it already; summarize that one"
            )
        if slot.targets and not slot.is_shown:
            raise SummarizeError(target=name, reason="this summary is reverted; summarize what it stood for")
        return slot


def _stretch(state: ContextState, first: CommitHash, last: CommitHash) -> list[CommitHash]:
    """Returns the commits that the context shows from `first` to `last`, as it shows them."""
    shown = [CommitHash(name) for name in state.snapshot().list_commits()]
    places = {name: place for place, name in enumerate(shown)}
    for end in (first, last):
        if end not in places:
            raise SummarizeError(target=end, reason="the context does not show it, so no stretch can end there")
    if places[first] > places[last]:
        raise SummarizeError(target=first, reason=f"in the context it comes after {last}; name the earlier one first")
    lost = state.in_history_order([first, *map(CommitHash, state.lost_slots()), last])
    hidden = lost[lost.index(first) + 1 : lost.index(last)]
    return shown[places[first] : places[last] + 1] + [name for name in hidden if name not in places]
