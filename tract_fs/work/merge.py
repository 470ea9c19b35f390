"""Merges one tract: joins the heads of its branch, or brings another line in, with what settles the conflicts.

A join of heads makes the same files in every copy if it has no message, and either no conflict or all of them settled
by prefer="newer"; any other merge is an ordinary transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from msgspec import Struct

from tract_fs.errors import ArgumentError, BudgetExceeded, MergeError, UnrelatedHistories
from tract_fs.model.conflicts import Conflict, find_conflicts
from tract_fs.model.events import BranchOp
from tract_fs.model.history import is_ancestor, linear_order
from tract_fs.model.info import CommitInfo, TokenBudgetConfig
from tract_fs.model.merge import MergeKind, MergePlan, join_commit, join_time_us, plan_join, plan_merge, settled_resets
from tract_fs.model.messages import first_words
from tract_fs.model.names import CommitHash, EventHash
from tract_fs.model.objects import CommitOperation
from tract_fs.model.view import MoveState
from tract_fs.store.transaction import Transaction
from tract_fs.work.resolutions import Change, Resolver, Wishes, read_wishes
from tract_fs.work.session import Session
from tract_fs.work.writer import Draft, ExpectedHead, TractWriter


class MergeResult(Struct, frozen=True):
    """The outcome of a merge; `commit` is the merge commit, None where the branch only moved or stayed."""

    kind: MergeKind
    head: str  # of the branch, now
    commit: CommitInfo | None = None
    resolutions: tuple[CommitInfo, ...] = ()  # edits and annotations that settle the conflicts, after the merge commit
    conflicts: tuple[Conflict, ...] = ()  # those that were settled


class MergeRequest(Struct, frozen=True):
    """The arguments of a merge, checked as far as that needs no history."""

    ref: str | None
    wishes: Wishes
    message: str | None
    allow_unrelated: bool = False

    @classmethod
    def of(
        cls,
        ref: str | None,
        prefer: str | tuple[str, ...] | None,
        resolutions: Mapping[str, Any] | None,
        message: str | None,
        writer: TractWriter,
        *,
        allow_unrelated: bool = False,
    ) -> MergeRequest:
        """Returns the request that the arguments of merge() describe. Errors: ArgumentError, ContentValidationError,
        JsonValueError.
        """
        if ref is not None and type(ref) is not str:
            raise ArgumentError(
                f"ref {ref!r}: give a branch, a commit, tract:branch, or None for the heads of this branch"
            )
        return cls(
            ref, read_wishes(prefer, resolutions, writer), writer.optional_text(message, "message"), allow_unrelated
        )


class TractMerger:
    """Makes one merge of a tract."""

    def __init__(self, session: Session) -> None:
        self._reader = session.reader
        self._contexts = session.contexts
        self._writer = session.writer
        self._is_alone = not self._writer.is_in_batch  # else the event may hold more than the merge

    def merge(self, request: MergeRequest, expected_head: ExpectedHead) -> MergeResult:
        """Makes a merge; see the facade."""
        budget = self._writer.budget
        if budget is not None and budget.action != "reject":
            self._warn_if_over_budget(request, budget, expected_head)
        with self._writer.batch(), self._writer.transaction(expected_head) as transaction:
            before = transaction.head
            result = self._stage(transaction, request)
            if budget is not None and budget.action == "reject":
                current = self._tokens_over(before, transaction, budget)
                if current is not None:
                    raise BudgetExceeded(current=current, maximum=budget.max_tokens)
            return result

    def _warn_if_over_budget(
        self, request: MergeRequest, budget: TokenBudgetConfig, expected_head: ExpectedHead
    ) -> None:
        """Makes the merge without writing it, so that the callback is called with no transaction open."""
        with self._writer.batch(), self._writer.transaction(expected_head) as transaction:
            before, mark = transaction.head, transaction.mark()
            self._stage(transaction, request)
            current = self._tokens_over(before, transaction, budget)
            transaction.return_to(mark)
        if current is not None:
            self._writer.warn_of_budget(current, budget)

    def _tokens_over(
        self, before: CommitHash | None, transaction: Transaction, budget: TokenBudgetConfig
    ) -> int | None:
        """Returns the tokens of the merged context, if the merge raises them over the budget; else None."""
        if transaction.head == before:
            return None
        current = self._contexts.state(transaction.head).snapshot().token_count
        if current <= budget.max_tokens or current <= self._contexts.state(before).snapshot().token_count:
            return None
        return current

    def _stage(self, transaction: Transaction, request: MergeRequest) -> MergeResult:
        reader = self._reader
        own = transaction.head
        if own is None:
            self._writer.require_not_deleted(transaction.branch)
        moves = dict(reader.log.view.branches.get(transaction.branch, {})) if request.ref is None else None
        plan = self._plan(transaction, request)
        if request.ref is None and not request.allow_unrelated:
            self._require_related(plan)
        conflicts: tuple[Conflict, ...] = ()
        if len(plan.parents) > 1:
            place = plan.parents.index(own) if own in plan.parents else 0
            conflicts = find_conflicts(plan.reach, reader.commit, self._text, own=place)
        changes = Resolver(reader, request.wishes).resolve(conflicts)
        if plan.kind == "up-to-date":
            return MergeResult(plan.kind, plan.parents[0])
        is_alike = not conflicts or (request.wishes.side == "newer" and not request.wishes.answers)
        if moves is not None and self._is_alone and request.message is None and is_alike:
            return self._stage_join(transaction, plan, moves, conflicts, changes)
        replaces = None if moves is None else list(moves)
        return self._stage_ordinary(transaction, plan, request.message, replaces, conflicts, changes)

    def _plan(self, transaction: Transaction, request: MergeRequest) -> MergePlan:
        reader = self._reader
        if request.ref is not None:
            source, other = reader.resolve_foreign(request.ref)
            source.require_complete_ref(request.ref)
            plan = plan_merge(transaction.head, other, reader.commit)
            if plan.kind != "up-to-date" and not reader.has(other):
                transaction.add_foreign(source.log.view)
            return plan
        if transaction.head is None:
            raise MergeError(f"branch {transaction.branch!r} has no commits that could be joined; nothing was written")
        moves = reader.log.view.branches.get(transaction.branch, {})
        shown = {move.head for move in moves.values() if move.is_reset}
        own, *others = reader.overlay.heads(transaction.branch)
        heads = [own]  # what an open batch has merged before is hidden below it
        heads += [head for head in others if head in shown or not is_ancestor(head, own, reader.commit)]
        is_settled = settled_resets(moves, partial(self._move_in, transaction.branch))
        return plan_join(transaction.branch, heads, reader.commit, prefer=request.wishes.reset, is_settled=is_settled)

    def _move_in(self, branch: str, name: EventHash) -> BranchOp | None:
        event = self._reader.log.event(self._reader.log.tract, name)
        return next((op for op in ([] if event is None else event.branch_ops()) if op.branch == branch), None)

    def _stage_join(
        self,
        transaction: Transaction,
        plan: MergePlan,
        moves: dict[EventHash, MoveState],
        conflicts: tuple[Conflict, ...],
        changes: list[Change],
    ) -> MergeResult:
        """Stages a join, the same in every copy: each commit is a microsecond after the one before."""
        head, info, commit, last_us = plan.parents[0], None, None, 0
        made: list[CommitInfo] = []
        if len(plan.parents) > 1:
            commit = join_commit(plan.parents, self._reader.commit)
            last_us = commit.created_us
            draft = Draft(operation=CommitOperation.MERGE)
            info = self._writer.stage(transaction, draft, parents=plan.parents, created_us=last_us)
            for change in changes:
                last_us += 1
                made.append(self._writer.stage(transaction, change.draft, targets=(change.target,), created_us=last_us))
            head = CommitHash((made[-1] if made else info).commit_hash)
        transaction.move_to(head, plan.kind, replaces=list(moves))
        transaction.fix(max(join_time_us(moves.values(), commit), last_us), list(moves))
        return MergeResult(plan.kind, head, info, tuple(made), conflicts)

    def _stage_ordinary(
        self,
        transaction: Transaction,
        plan: MergePlan,
        message: str | None,
        replaces: list[EventHash] | None,
        conflicts: tuple[Conflict, ...],
        changes: list[Change],
    ) -> MergeResult:
        if len(plan.parents) == 1:
            self._writer.tick(transaction)
            transaction.move_to(plan.parents[0], plan.kind, replaces=replaces)
            return MergeResult(plan.kind, plan.parents[0])
        draft = Draft(operation=CommitOperation.MERGE, message=message)
        info = self._writer.stage(transaction, draft, parents=plan.parents)
        made = tuple(self._writer.stage(transaction, change.draft, targets=(change.target,)) for change in changes)
        head = CommitHash(made[-1].commit_hash if made else info.commit_hash)
        transaction.move_to(head, plan.kind, replaces=replaces)
        return MergeResult(plan.kind, head, info, made, conflicts)

    def _require_related(self, plan: MergePlan) -> None:
        """Raises UnrelatedHistories if heads of the branch have no commit in common: most likely, two projects were mixed."""
        stranger = plan.reach.unrelated()
        if stranger is not None:
            read = self._reader.commit
            roots = (linear_order(head, read)[0] for head in (plan.parents[0], stranger))
            ours, theirs = (first_words(self._text(root)) for root in roots)
            where = f", the lines at {plan.parents[0][:12]} and {stranger[:12]}"
            raise UnrelatedHistories(tract_id=self._reader.log.tract, ours=ours, theirs=theirs, where=where)

    def _text(self, name: CommitHash) -> str:
        """Returns the text of a commit's content, empty if it was redacted."""
        rendering = self._reader.require_loaded(name).rendering
        return "" if rendering is None else rendering.text or rendering.body or ""
