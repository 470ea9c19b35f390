"""Resolutions: how the caller of a merge settles its conflicts, as edits and annotations to commit after the merge
commit.

Compile then applies them by its ordinary rules, and a later merge sees what was decided. Their metadata marks them as
settlements (model/conflicts). Where a preference chooses sides that can't all hold, edits go before summaries, and of
two summaries the one that was chosen first stays: FORMAT.md, section 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from msgspec.structs import replace

from tract_fs.errors import AmbiguousRefError, ArgumentError, CommitNotFoundError, MergeConflict, MergeError
from tract_fs.model.conflicts import SETTLEMENT, Conflict, ConflictSide, describe_all
from tract_fs.model.content import Priority
from tract_fs.model.names import CommitHash
from tract_fs.model.objects import CommitOperation
from tract_fs.work.reader import TractReader
from tract_fs.work.writer import Draft, TractWriter

SidePreference = Literal["ours", "theirs", "newer"]
ResetPreference = Literal["reset", "commits"]
Answer = str | Priority | Draft  # a side, a priority, an edit
_PREFERENCES: tuple[str, ...] = get_args(SidePreference)
_SIDES = ("ours", "theirs")
_RESETS: tuple[str, ...] = get_args(ResetPreference)


class Wishes(NamedTuple):
    """What the caller of a merge wants, checked as far as that needs no history."""

    side: SidePreference | None
    reset: ResetPreference | None
    answers: tuple[tuple[str, tuple[Answer, ...]], ...]  # by ref


class Change(NamedTuple):
    """A commit to make after the merge commit."""

    draft: Draft
    target: CommitHash


def read_wishes(prefer: object, resolutions: Mapping[str, Any] | None, writer: TractWriter) -> Wishes:
    """Returns the wishes that the arguments of a merge describe. Errors: ArgumentError, ContentValidationError,
    JsonValueError.
    """
    words = prefer if isinstance(prefer, (tuple, list)) else () if prefer is None else (prefer,)
    sides = [word for word in words if word in _PREFERENCES]
    resets = [word for word in words if word in _RESETS]
    if len(sides) + len(resets) != len(words) or len(sides) > 1 or len(resets) > 1:
        raise ArgumentError(
            f"prefer {prefer!r}: use 'ours', 'theirs' or 'newer', 'reset' or 'commits', or one of each as a tuple"
        )
    if resolutions is not None and not isinstance(resolutions, Mapping):
        raise ArgumentError(f"resolutions {resolutions!r}: give a dict of target: resolution")
    answers = []
    for ref, value in (resolutions or {}).items():
        several = value if isinstance(value, (tuple, list)) else (value,)
        answers.append((ref, tuple(_read_answer(ref, one, writer) for one in several)))
    if sides and not resets:
        resets = ["commits"]  # a merge by preference ends, and drops no commit
    return Wishes(sides[0] if sides else None, resets[0] if resets else None, tuple(answers))


def _read_answer(ref: str, resolution: object, writer: TractWriter) -> Answer:
    if isinstance(resolution, str):
        if resolution in _SIDES:
            return resolution
        try:
            return Priority(resolution)
        except ValueError:
            raise ArgumentError(
                f"resolution {resolution!r} of {ref!r}: use 'ours', 'theirs', a priority or a content"
            ) from None
    return writer.draft(resolution, operation=CommitOperation.EDIT)


class Resolver:
    """Turns the conflicts of one merge and the caller's wishes into changes."""

    def __init__(self, reader: TractReader, wishes: Wishes) -> None:
        self._reader = reader
        self._wishes = wishes
        self._changes: dict[tuple[CommitHash, object], Change] = {}  # by target and content; None for an annotation
        self._fates: dict[CommitHash, bool] = {}  # whether a summary stays

    def resolve(self, conflicts: Sequence[Conflict]) -> list[Change]:
        """Returns what to commit after the merge commit, in order.

        Errors: MergeError for a resolution of no conflict, MergeConflict for conflicts without one.
        """
        answered = self._assign(conflicts)
        side = self._wishes.side
        others = [conflict for number, conflict in enumerate(conflicts) if number not in answered]
        if others and side is None:
            raise MergeConflict(describe_all(others), conflicts=tuple(others))
        for number in sorted(answered):
            self._settle(conflicts[number], answered[number])
        self._prefer([(conflict, self._choose(conflict)) for conflict in others])
        return list(self._changes.values())

    def _choose(self, conflict: Conflict) -> ConflictSide:
        """Returns the side that the preference takes; another one where the content of that was redacted."""
        if self._wishes.side == "newer":
            return max(filter(self._is_readable, conflict.sides), key=self._age, default=conflict.ours)
        ours, theirs = conflict.ours, conflict.theirs
        wished = (ours, theirs) if self._wishes.side == "ours" else (theirs, ours)
        return next(filter(self._is_readable, (*wished, *conflict.sides)), ours)

    def _is_readable(self, side: ConflictSide) -> bool:
        is_annotation = side.operation is CommitOperation.ANNOTATE
        return is_annotation or self._reader.require_loaded(side.commit).rendering is not None

    def _age(self, side: ConflictSide) -> tuple[str, CommitHash]:
        return self._reader.commit(side.commit).created_at, side.commit

    def _prefer(self, chosen: list[tuple[Conflict, ConflictSide]]) -> None:
        """Settles conflicts by the sides that a preference chose, whether these can all hold or not."""
        summaries = []
        for conflict, side in chosen:
            if conflict.kind != "summary":
                if self._is_readable(side):
                    self._take_side(conflict, side)
            elif side.operation is CommitOperation.SUMMARIZE:
                summaries.append((conflict, side))
            else:
                self._drop_where_open(side.drops)
        if self._wishes.side == "newer":
            summaries.sort(key=lambda item: self._age(item[1]), reverse=True)
        for conflict, side in summaries:
            others = [other for other in conflict.sides if other.operation is CommitOperation.SUMMARIZE]
            kept = next(filter(self._may_stay, (side, *sorted(others, key=self._age, reverse=True))), None)
            if kept is not None:
                self._fates[kept.commit] = True
                self._changes.setdefault((kept.commit, None), self._annotation(kept.commit, self._priority_of(kept)))
                self._drop_where_open(kept.drops)

    def _may_stay(self, side: ConflictSide) -> bool:
        pending = self._changes.get((side.commit, None))
        is_skipped = pending is not None and pending.draft.priority is Priority.SKIP
        return self._fates.get(side.commit, not is_skipped)

    def _drop_where_open(self, summaries: Sequence[CommitHash]) -> None:
        for summary in summaries:
            if not self._fates.setdefault(summary, False):
                self._annotate(summary, Priority.SKIP)

    def _assign(self, conflicts: Sequence[Conflict]) -> dict[int, Answer]:
        """Returns the answers by the position of the conflict that each settles."""
        answered: dict[int, Answer] = {}
        for ref, answers in self._wishes.answers:
            target = self._require_target(ref)
            waiting = [n for n, conflict in enumerate(conflicts) if conflict.target == target and n not in answered]
            if not waiting:
                raise MergeError(
                    f"resolution of {ref!r}: commit {target} is in no conflict that waits for one; nothing was written"
                )
            words = [answer for answer in answers if not isinstance(answer, (Priority, Draft))]
            for answer in answers:
                if isinstance(answer, (Priority, Draft)):
                    kinds = ("priority",) if isinstance(answer, Priority) else ("edit", "summary")
                    fitting = [n for n in waiting if conflicts[n].kind in kinds]
                    if not fitting:
                        shown = f"priority {answer.value!r}" if isinstance(answer, Priority) else "a content"
                        raise MergeError(
                            f"resolution of {ref!r}: {shown} settles no conflict of it; nothing was written"
                        )
                    answered[fitting[0]] = answer
                    waiting.remove(fitting[0])
            if len(words) > len(waiting):
                raise MergeError(f"resolution of {ref!r}: it has fewer conflicts than resolutions; nothing was written")
            if len(words) == 1:
                words *= len(waiting)
            answered.update(zip(waiting, words, strict=False))
        return answered

    def _require_target(self, ref: str) -> CommitHash:
        try:
            return self._reader.resolve(ref)
        except (CommitNotFoundError, AmbiguousRefError) as error:
            raise MergeError(f"resolution of {ref!r}: {error}; nothing was written") from error

    def _settle(self, conflict: Conflict, answer: Answer) -> None:
        if isinstance(answer, str) and not isinstance(answer, Priority):
            side = conflict.ours if answer == "ours" else conflict.theirs
            self._take_side(conflict, side)
        elif isinstance(answer, Priority):
            self._annotate(conflict.target, answer)
        elif conflict.kind == "edit":
            self._edit(conflict.target, answer)
        else:
            sides = (conflict.ours, *conflict.sides)
            side = next(side for side in sides if side.operation is CommitOperation.SUMMARIZE)
            self._keep(side)
            self._edit(side.commit, answer)

    def _take_side(self, conflict: Conflict, side: ConflictSide) -> None:
        if conflict.kind == "edit":
            self._edit(conflict.target, self._copy(side.commit))
        elif conflict.kind == "priority":
            self._annotate(conflict.target, side.priority or Priority.NORMAL)
        elif side.operation is CommitOperation.SUMMARIZE:
            self._keep(side)
            self._annotate(side.commit, self._priority_of(side))
        else:
            self._drop(side.drops)

    def _priority_of(self, side: ConflictSide) -> Priority:
        return side.priority or self._reader.default_priority(side.commit)

    def _keep(self, side: ConflictSide) -> None:
        self._fix(side.commit, stays=True)
        self._drop(side.drops)

    def _drop(self, summaries: Sequence[CommitHash]) -> None:
        for summary in summaries:
            self._fix(summary, stays=False)
            self._annotate(summary, Priority.SKIP)

    def _fix(self, summary: CommitHash, *, stays: bool) -> None:
        if self._fates.setdefault(summary, stays) is not stays:
            raise MergeError(
                f"summary {summary} is to stay by one resolution and to go by another: it covers the targets of both; "
                "nothing was written"
            )

    def _annotate(self, target: CommitHash, priority: Priority) -> None:
        self._changes[target, None] = self._annotation(target, priority)

    def _annotation(self, target: CommitHash, priority: Priority) -> Change:
        return Change(Draft(operation=CommitOperation.ANNOTATE, priority=priority, metadata=SETTLEMENT), target)

    def _edit(self, target: CommitHash, edit: Draft) -> None:
        self._changes[target, edit.data] = Change(replace(edit, metadata=SETTLEMENT), target)

    def _copy(self, edit: CommitHash) -> Draft:
        """Returns an edit with the content and generation config of another. Errors: ContentRedacted."""
        reader = self._reader
        reader.content(edit)
        commit = reader.commit(edit)
        return Draft(
            operation=CommitOperation.EDIT,
            data=reader.store.objects.require(commit.content or "", "content"),
            content_type=commit.content_type,
            config=reader.facts(edit).config or None,
            rendering=reader.require_loaded(edit).rendering,
        )
