"""Resolutions: how the caller of a merge settles its conflicts, as edits and annotations to commit after the merge
commit.

Compile then applies them by its ordinary rules, and a later merge sees what was decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from tract_fs.errors import AmbiguousRefError, ArgumentError, CommitNotFoundError, MergeConflict, MergeError
from tract_fs.model.conflicts import Conflict, ConflictSide, describe_all
from tract_fs.model.content import Priority
from tract_fs.model.names import CommitHash
from tract_fs.model.objects import CommitOperation
from tract_fs.work.reader import TractReader
from tract_fs.work.writer import Draft, TractWriter

SidePreference = Literal["ours", "theirs"]
ResetPreference = Literal["reset", "commits"]
Answer = str | Priority | Draft  # a side, a priority, an edit
_SIDES: tuple[str, ...] = get_args(SidePreference)
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
    sides = [word for word in words if word in _SIDES]
    resets = [word for word in words if word in _RESETS]
    if len(sides) + len(resets) != len(words) or len(sides) > 1 or len(resets) > 1:
        raise ArgumentError(
            f"prefer {prefer!r}: use 'ours' or 'theirs', 'reset' or 'commits', or one of each as a tuple"
        )
    if resolutions is not None and not isinstance(resolutions, Mapping):
        raise ArgumentError(f"resolutions {resolutions!r}: give a dict of target: resolution")
    answers = []
    for ref, value in (resolutions or {}).items():
        several = value if isinstance(value, (tuple, list)) else (value,)
        answers.append((ref, tuple(_read_answer(ref, one, writer) for one in several)))
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
        self._changes: dict[tuple[CommitHash, object], Change] = {}  # by target and what is set for it
        self._summaries: dict[CommitHash, bool] = {}  # whether it stays

    def resolve(self, conflicts: Sequence[Conflict]) -> list[Change]:
        """Returns what to commit after the merge commit, in order.

        Errors: MergeError for a resolution of no conflict, MergeConflict for conflicts without one.
        """
        answered = self._assign(conflicts)
        side = self._wishes.side
        open_conflicts = [c for n, c in enumerate(conflicts) if n not in answered and side is None]
        if open_conflicts:
            raise MergeConflict(describe_all(open_conflicts), conflicts=tuple(open_conflicts))
        for number, conflict in enumerate(conflicts):
            self._settle(conflict, answered.get(number, side or ""))
        return list(self._changes.values())

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
            self._add(Change(answer, conflict.target))
        else:
            side = next(side for side in conflict.sides if side.operation is CommitOperation.SUMMARIZE)
            self._keep(side.commit)
            self._add(Change(answer, side.commit))

    def _take_side(self, conflict: Conflict, side: ConflictSide) -> None:
        if conflict.kind == "edit":
            self._add(Change(self._copy(side.commit), conflict.target))
        elif conflict.kind == "priority":
            self._annotate(conflict.target, side.priority or Priority.NORMAL)
        elif side.operation is CommitOperation.SUMMARIZE:
            self._keep(side.commit)
            self._annotate(side.commit, side.priority or self._reader.default_priority(side.commit))
        else:
            for other in conflict.sides:
                if other.operation is CommitOperation.SUMMARIZE:
                    for summary in other.commits:
                        self._keep(summary, stays=False)
                        self._annotate(summary, Priority.SKIP)

    def _keep(self, summary: CommitHash, *, stays: bool = True) -> None:
        if self._summaries.setdefault(summary, stays) is not stays:
            raise MergeError(
                f"summary {summary} is to stay by one resolution and to go by another: it covers the targets of both; "
                "nothing was written"
            )

    def _annotate(self, target: CommitHash, priority: Priority) -> None:
        self._add(Change(Draft(operation=CommitOperation.ANNOTATE, priority=priority), target))

    def _add(self, change: Change) -> None:
        key = change.draft.priority or change.draft.data
        self._changes.setdefault((change.target, key), change)

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
