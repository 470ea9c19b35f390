"""Writes one tract: validates, checks targets and budget, stages a transaction, and hands it to the store.

Everything that can be refused is refused before the first byte. A batch gathers what is written until its end; nothing of it is on disk before.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime

from msgspec import Raw, Struct

from tract_fs.context import ContextReader
from tract_fs.errors import (
    AnnotateTargetError,
    ArgumentError,
    BudgetExceeded,
    CommitNotFoundError,
    ContentValidationError,
    EditTargetError,
    HeadMoved,
    ObjectTooLarge,
    UsageError,
)
from tract_fs.model import canonical
from tract_fs.model.compiler import Loaded
from tract_fs.model.content import MAX_OBJECT_BYTES, Priority
from tract_fs.model.events import usage_op
from tract_fs.model.info import CommitFacts, CommitInfo, PriorityAnnotation, TokenBudgetConfig, TokenUsage
from tract_fs.model.messages import Rendering, render
from tract_fs.model.names import LAST_US, CommitHash, ContentHash, hash_bytes, to_datetime, to_us
from tract_fs.model.objects import Commit, CommitOperation, encode_commit
from tract_fs.reading import TractReader
from tract_fs.store.transaction import Mark, Transaction

ANY = object()
Clock = Callable[[], "int | datetime"]


class _Draft(Struct, frozen=True):
    """A validated commit that has no parent and no time yet."""

    operation: CommitOperation
    data: bytes | None = None  # of the content
    content_type: str | None = None
    target: object = None
    priority: Priority | None = None
    reason: str | None = None
    message: str | None = None
    metadata: bytes | None = None
    config: bytes | None = None
    rendering: Rendering | None = None


class TractWriter:
    """The write side of one handle."""

    def __init__(
        self, reader: TractReader, contexts: ContextReader, *, budget: TokenBudgetConfig | None, clock: Clock
    ) -> None:
        self._reader = reader
        self._contexts = contexts
        self._budget = budget
        self._clock = clock
        self._batch: ExitStack | None = None  # holds the lock from the batch's first write on

    def commit(
        self,
        content: object,
        *,
        operation: object,
        target: object,
        message: object,
        metadata: object,
        generation_config: object,
        expected_head: object,
    ) -> CommitInfo:
        """Makes an append or an edit; see the facade."""
        reader = self._reader
        reader.store.require_writable()
        kind = _require_operation(operation)
        if kind is CommitOperation.APPEND and target is not None:
            raise ArgumentError("a target goes with operation EDIT")
        data, content_type, typed = reader.types.encode(content)
        draft = _Draft(
            operation=kind,
            data=data,
            content_type=content_type,
            target=target,
            message=_optional_text(message, "message"),
            metadata=_optional_object(metadata, "metadata"),
            config=_optional_object(generation_config, "generation_config"),
            rendering=render(typed, content_type, reader.types, reader.counter),
        )
        name, commit = self._write(draft, expected_head)
        tokens = 0 if draft.rendering is None else draft.rendering.tokens
        return CommitInfo(name, reader.log.tract, CommitFacts(commit, draft.config or b"", tokens))

    def import_contents(
        self, contents: Sequence[object], generation_config: object, expected_head: object
    ) -> list[CommitInfo]:
        """Appends contents, the first on the expected head. Errors: as `commit`, a content's naming its place in the list."""
        infos: list[CommitInfo] = []
        for position, content in enumerate(contents):
            try:
                info = self.commit(
                    content,
                    operation=CommitOperation.APPEND,
                    target=None,
                    message=None,
                    metadata=None,
                    generation_config=generation_config,
                    expected_head=ANY if infos else expected_head,
                )
            except ContentValidationError as error:
                field = f"messages[{position}].{error.field.removeprefix('message.')}"
                raise ContentValidationError(
                    content_type=error.content_type, field=field, reason=error.reason
                ) from None
            infos.append(info)
        return infos

    def annotate(
        self, target: object, priority: object, *, reason: object, expected_head: object
    ) -> PriorityAnnotation:
        """Makes an annotation; see the facade."""
        reader = self._reader
        reader.store.require_writable()
        try:
            level = Priority(priority)  # type: ignore[arg-type]
        except ValueError:
            raise ArgumentError(f"priority {priority!r}: use skip, normal or pinned") from None
        text = _optional_text(reason, "reason")
        draft = _Draft(operation=CommitOperation.ANNOTATE, target=target, priority=level, reason=text)
        name, commit = self._write(draft, expected_head)
        made = to_datetime(commit.created_us)
        return PriorityAnnotation(name, reader.log.tract, commit.targets[0], level, text, made)

    def record_usage(self, usage: object, *, head_hash: object) -> CommitHash:
        """Records the usage of the head and returns it; see the facade."""
        self._reader.store.require_writable()
        told = TokenUsage.from_any(usage)
        with self._transaction(ANY if head_hash is None else head_hash) as transaction:
            if transaction.head is None:
                raise UsageError(f"branch {self._reader.branch!r} has no commits that the usage could be of")
            transaction.tick(self._now_us())
            op = usage_op(transaction.head, told.prompt_tokens, told.completion_tokens, told.total_tokens)
            transaction.add_usage(op, transaction.head, told.prompt_tokens, told.completion_tokens)
            return transaction.head

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Makes all writes inside one transaction; a batch inside a batch joins it, and drops only its own part if it raises."""
        self._reader.store.require_writable()
        if self._batch is not None:
            before = self._reader.transaction
            mark = None if before is None else before.mark()
            try:
                yield
            except BaseException:
                self._drop_to(mark)
                raise
            return
        pid = os.getpid()
        with ExitStack() as held:
            self._batch = held
            try:
                yield
                transaction = self._reader.transaction
                if transaction is not None and not transaction.is_empty and pid == os.getpid():
                    self._unstage()
                    self._reader.store.write(self._reader.log, transaction)
            finally:
                self._batch = None
                self._unstage()
                if pid != os.getpid():  # a forked child came to the end of its parent's batch
                    held.pop_all()

    def abandon(self) -> None:
        """Forgets an open batch: it belongs to the process that forked."""
        self._batch = None
        self._unstage()

    def _write(self, draft: _Draft, expected_head: object) -> tuple[CommitHash, Commit]:
        if self._budget is not None and self._budget.action != "reject":
            if self._reader.transaction is None:
                self._reader.log.catch_up()
            self._warn_of_budget(draft, self._budget)
        with self._transaction(expected_head) as transaction:
            target = self._require_target(draft)
            if self._budget is not None and self._budget.action == "reject":
                current = self._tokens_over(draft, self._budget)
                if current is not None:
                    raise BudgetExceeded(current=current, maximum=self._budget.max_tokens)
            name, commit = self._stage(transaction, draft, target)
        if draft.rendering is not None:
            self._reader.keep_rendering(name, draft.rendering)
        return name, commit

    def _stage(self, transaction: Transaction, draft: _Draft, target: CommitHash | None) -> tuple[CommitHash, Commit]:
        created_us = transaction.tick(self._now_us())
        commit = Commit(
            operation=draft.operation,
            parents=() if transaction.head is None else (transaction.head,),
            created_at=transaction.now,
            content=None if draft.data is None else ContentHash(hash_bytes(draft.data)),
            content_type=draft.content_type,
            targets=() if target is None else (target,),
            priority=draft.priority,
            reason=draft.reason,
            message=draft.message,
            metadata=Raw(draft.metadata or b""),
        )
        data = encode_commit(commit)
        if len(data) > MAX_OBJECT_BYTES:
            raise ObjectTooLarge(kind="commit", size_bytes=len(data), limit_bytes=MAX_OBJECT_BYTES)
        if draft.data is not None:
            transaction.add_content(commit.content or "", draft.data)
        tokens = {} if draft.rendering is None else {self._reader.counter.name: draft.rendering.tokens}
        return transaction.add_commit(data, created_us, draft.config, tokens), commit

    @contextmanager
    def _transaction(self, expected_head: object) -> Iterator[Transaction]:
        """Yields the batch's transaction, or one of its own that is written at the end. Errors: HeadMoved, LockTimeout."""
        reader = self._reader
        if self._batch is not None:
            if reader.transaction is None:
                self._batch.enter_context(reader.store.locked())
                reader.transaction = self._begin()
            self._require_head(expected_head, reader.transaction)
            mark = reader.transaction.mark()
            try:
                yield reader.transaction
            except BaseException:
                reader.transaction.return_to(mark)
                raise
            return
        with reader.store.locked():
            transaction = self._begin()
            self._require_head(expected_head, transaction)
            yield transaction
            reader.store.write(reader.log, transaction)

    def _begin(self) -> Transaction:
        reader = self._reader
        reader.log.catch_up(is_locked=True)
        transaction = Transaction(reader.branch, reader.log.view, reader.log.own_head(reader.branch))
        if self._batch is not None:
            reader.store.objects.staged = transaction.objects
        return transaction

    def _drop_to(self, mark: Mark | None) -> None:
        transaction = self._reader.transaction
        if transaction is not None:
            start = None if transaction.start is None else transaction.start.commit
            transaction.return_to(mark or Mark(start, (0, 0, 0, 0, 0)))

    def _unstage(self) -> None:
        self._reader.transaction = None
        self._reader.store.objects.staged = {}

    def _require_head(self, expected: object, transaction: Transaction) -> None:
        if expected is not ANY and expected != transaction.head:
            raise HeadMoved(branch=self._reader.branch, expected=expected, actual=transaction.head)

    def _require_target(self, draft: _Draft) -> CommitHash | None:
        """Returns the target of an edit or annotation, which must be in the head's history."""
        if draft.operation is CommitOperation.APPEND:
            return None
        is_edit = draft.operation is CommitOperation.EDIT
        reader = self._reader
        try:
            target = reader.resolve(draft.target)
        except CommitNotFoundError as error:
            if is_edit:
                raise EditTargetError(target=draft.target, reason="no such commit in this branch's history") from error
            raise
        commit = reader.commit(target)
        head = reader.head()
        is_known = head is not None and self._contexts.is_cached(head) and self._contexts.state(head).has(target)
        if not is_known and not reader.is_in_history(target):
            if is_edit:
                raise EditTargetError(target=target, reason=f"it is not in the history of branch {reader.branch!r}")
            raise CommitNotFoundError(hash=target, where=f"the history of branch {reader.branch!r}")
        if is_edit and commit.operation not in (CommitOperation.APPEND, CommitOperation.SUMMARIZE):
            reason = f"it is of operation {commit.operation.value}; edit the commit that it is about"
            raise EditTargetError(target=target, reason=reason)
        if not is_edit and commit.content is None:
            reason = f"it is of operation {commit.operation.value} and takes no part in the context by itself"
            raise AnnotateTargetError(target=target, reason=reason)
        return target

    def _warn_of_budget(self, draft: _Draft, budget: TokenBudgetConfig) -> None:
        current = self._tokens_over(draft, budget)
        if current is None:
            return
        if budget.callback is not None:
            budget.callback(current, budget.max_tokens)
            return
        import logging  # 15 ms: only a warning needs it

        logging.getLogger("tract_fs").warning(
            "tract %s: the context holds %d tokens, over the budget of %d",
            self._reader.log.tract,
            current,
            budget.max_tokens,
        )

    def _tokens_over(self, draft: _Draft, budget: TokenBudgetConfig) -> int | None:
        """Returns the tokens of the context after the operation, if it raises them over the budget; else None."""
        targets = () if draft.operation is CommitOperation.APPEND else (self._require_target(draft) or CommitHash(""),)
        commit = Commit(
            operation=draft.operation,
            parents=(),
            created_at="",
            content=None if draft.data is None else ContentHash(""),
            content_type=draft.content_type,
            targets=targets,
            priority=draft.priority,
        )
        config = None if draft.config is None else draft.config.decode()
        state = self._contexts.state(self._reader.head())
        current = state.tokens_after(Loaded(commit, draft.rendering, config))
        return current if current > budget.max_tokens and current > state.snapshot().token_count else None

    def _now_us(self) -> int:
        now = self._clock()
        now_us = to_us(now) if isinstance(now, datetime) else now
        if type(now_us) is not int or now_us >= LAST_US:
            raise ArgumentError(
                f"the clock says {now!r}: give microseconds since 1970, or a datetime, before year 9000"
            )
        return now_us


def _require_operation(operation: object) -> CommitOperation:
    try:
        kind = CommitOperation(operation)  # type: ignore[arg-type]
    except ValueError:
        raise ArgumentError(f"operation {operation!r}: use append or edit") from None
    if kind not in (CommitOperation.APPEND, CommitOperation.EDIT):
        raise ArgumentError(f"operation {kind.value} is not made by commit(); use append or edit")
    return kind


def _optional_text(value: object, name: str) -> str | None:
    if value is None:
        return None
    if type(value) is not str:
        raise ArgumentError(f"{name} {value!r}: give a string or None")
    canonical.encode(value, name=name)
    return value


def _optional_object(value: object, name: str) -> bytes | None:
    if value is None:
        return None
    if type(value) is not dict:
        raise ArgumentError(f"{name} {value!r}: give a dict or None")
    return canonical.encode(value, name=name)
