"""Writes one tract: validates, checks targets and budget, stages a transaction, and hands it to the store.

Every check is made before the first byte is written. A batch gathers what is written until its end; nothing of it is on
disk before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from warnings import warn

from msgspec import Raw, Struct

from tract_fs.errors import (
    AnnotateTargetError,
    ArgumentError,
    BatchOpen,
    BranchNotFound,
    BudgetExceeded,
    CommitNotFoundError,
    ContentValidationError,
    EditTargetError,
    HeadMoved,
    JsonValueError,
    NoLockWarning,
    ObjectTooLarge,
    TractDeleted,
    UsageError,
)
from tract_fs.model import canonical
from tract_fs.model.blobs import encode_blob
from tract_fs.model.compiler import Loaded
from tract_fs.model.content import MAX_OBJECT_BYTES, MessageContent, Priority
from tract_fs.model.events import describe_op
from tract_fs.model.info import CommitFacts, CommitInfo, PriorityAnnotation, TokenBudgetConfig
from tract_fs.model.messages import Rendering, render
from tract_fs.model.names import Clock, CommitHash, ContentHash, format_time, hash_bytes, read_clock
from tract_fs.model.objects import Commit, CommitOperation, encode_commit
from tract_fs.model.tokens import source_name
from tract_fs.model.usage import TokenUsage
from tract_fs.store.transaction import Transaction
from tract_fs.work.batch import Batch, find_opener
from tract_fs.work.contexts import ContextReader
from tract_fs.work.reader import TractReader

if TYPE_CHECKING:
    from types import FrameType

    from tract_fs.work.text_edits import TextBasis, TextEdit


class AnyHead:
    """The type of ANY."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ANY"

    def __reduce__(self) -> str:
        return "ANY"  # a copy is the object of that name in this module


ANY = AnyHead()  # whatever the head is
ExpectedHead = str | None | AnyHead  # None: the branch is empty


class Draft(Struct, frozen=True):
    """A validated commit that has no parent and no time yet; `target` is a ref that is not resolved yet."""

    operation: CommitOperation
    data: bytes | None = None  # of the content
    content_type: str | None = None
    target: str | None = None
    priority: Priority | None = None
    reason: str | None = None
    message: str | None = None
    metadata: bytes | None = None
    config: bytes | None = None
    rendering: Rendering | None = None
    basis: TextBasis | None = None  # of an edit by a text alone


class TractWriter:
    """Writes the tract of one session."""

    def __init__(
        self,
        reader: TractReader,
        contexts: ContextReader,
        *,
        budget: TokenBudgetConfig | None,
        clock: Clock,
        replaces_text: bool = False,
    ) -> None:
        self._reader = reader
        self._overlay = reader.overlay
        self._contexts = contexts
        self._budget = budget
        self._clock = clock
        self.replaces_text = replaces_text
        self.remakes: frozenset[str] = frozenset()  # deletes of branches that a first commit may replace
        self.answer_config: bytes | None = None  # of an answer that is committed without a config
        self.current: Batch | None = None  # the outermost open batch
        self._is_inside = True  # whether the running call is inside it
        self._is_lock_checked = False  # whether the user was warned where there is no lock
        self.run_outside: Callable[[Callable[[], object]], object] = lambda work: work()  # where it may call the handle

    def draft(
        self,
        content: object,
        *,
        operation: CommitOperation = CommitOperation.APPEND,
        target: str | None = None,
        message: str | None = None,
        metadata: dict[str, Any] | None = None,
        generation_config: dict[str, Any] | None = None,
    ) -> Draft:
        """Returns a commit with a content, checked, for `write` or `stage`; the content of an edit may be a text alone.

        Errors: ContentValidationError, JsonValueError, ArgumentError, EditTargetError.
        """
        try:
            return self._draft(content, operation, target, message, metadata, generation_config)
        except (ContentValidationError, JsonValueError):
            if not self.replaces_text:
                raise
        content = self._reader.types.without_surrogates(content)
        others = map(canonical.without_surrogates, (message, metadata, generation_config))
        return self._draft(content, operation, target, *others)

    def _draft(
        self,
        content: object,
        operation: CommitOperation,
        target: str | None,
        message: str | None,
        metadata: dict[str, Any] | None,
        generation_config: dict[str, Any] | None,
    ) -> Draft:
        reader = self._reader
        config = optional_object(generation_config, "generation_config")
        basis = None
        if type(content) is str and operation is CommitOperation.EDIT:
            edited = self._edit_text(target, content)
            content, basis, target = edited.content, edited.basis, edited.basis.target
            config = edited.config if config is None else config
        data, content_type, typed = reader.types.encode(content)
        shown = reader.types.shown_as(data, content_type)
        rendering = render(typed, content_type, reader.types, reader.counter, shown=shown, read_blob=reader.read_blob)
        if config is None and operation is CommitOperation.APPEND and rendering.role == "assistant":
            config = self.answer_config
        return Draft(
            operation=operation,
            data=data,
            content_type=content_type,
            target=target,
            message=optional_text(message, "message"),
            metadata=optional_object(metadata, "metadata"),
            config=config,
            rendering=rendering,
            basis=basis,
        )

    def optional_text(self, value: object, name: str) -> str | None:
        """Returns a text as it is stored, or None. Errors: ArgumentError, JsonValueError."""
        try:
            return optional_text(value, name)
        except JsonValueError:
            if not self.replaces_text:
                raise
        return optional_text(canonical.without_surrogates(value), name)

    def optional_object(self, value: object, name: str) -> bytes | None:
        """Returns a dict as canonical JSON, or None. Errors: ArgumentError, JsonValueError."""
        try:
            return optional_object(value, name)
        except JsonValueError:
            if not self.replaces_text:
                raise
        return optional_object(canonical.without_surrogates(value), name)

    def _edit_text(self, target: str | None, text: str) -> TextEdit:
        from tract_fs.work.text_edits import edit_text

        if not self._overlay.is_staging:
            self._reader.log.catch_up()
        (name,) = self._require_targets(Draft(operation=CommitOperation.EDIT, target=target))
        return edit_text(self._reader, name, text)

    def render_message(self, message: dict[str, Any]) -> Rendering:
        """Returns the rendering of a provider message that was checked before."""
        reader = self._reader
        plain: Any = canonical.dumped_in(message)
        return render(MessageContent(plain), "message", reader.types, reader.counter, read_blob=reader.read_blob)

    def import_contents(
        self, contents: Sequence[object], generation_config: dict[str, Any] | None, expected_head: ExpectedHead
    ) -> list[CommitInfo]:
        """Appends contents, the first on the expected head. Errors: as `draft` and `write`; a content's error names its
        place in the list.
        """
        infos: list[CommitInfo] = []
        for position, content in enumerate(contents):
            try:
                draft = self.draft(content, generation_config=generation_config)
            except ContentValidationError as error:
                field = f"messages[{position}].{error.field.removeprefix('message.')}"
                raise ContentValidationError(
                    content_type=error.content_type, field=field, reason=error.reason
                ) from None
            infos.append(self.write(draft, ANY if infos else expected_head))
        return infos

    def annotate(
        self, target: str, priority: Priority, *, reason: str | None, expected_head: ExpectedHead
    ) -> PriorityAnnotation:
        """Commits an annotation; see the facade."""
        text = self.optional_text(reason, "reason")
        draft = Draft(operation=CommitOperation.ANNOTATE, target=target, priority=priority, reason=text)
        made = self.write(draft, expected_head)
        return PriorityAnnotation(made.commit_hash, made.tract_id, made.targets[0], priority, text, made.created_at)

    def describe(self, *, title: str | None, metadata: dict[str, Any] | None) -> None:
        """Sets the tract's title, its metadata or both, if they differ from the present ones; see the facade."""
        self._reader.store.require_writable()
        text, data = self.optional_text(title, "title"), self.optional_object(metadata, "metadata")
        if text is None and data is None:
            raise ArgumentError("describe() without a title and metadata: give one of them, or both")
        with self.transaction(ANY, is_move=False) as transaction:
            self._require_tract(transaction.branch)
            now = self._reader.overlay.description()
            text = None if text == now[0] else text
            data = None if data == now[1].encode() else data
            if text is not None or data is not None:
                self.tick(transaction)
                transaction.ops.append(describe_op(text, None if data is None else canonical.decode(data)))

    def annotate_all(
        self, targets: Iterable[str], priority: Priority, *, reason: str | None, expected_head: ExpectedHead
    ) -> list[PriorityAnnotation]:
        """Commits an annotation of each target, in order; see the facade. Call it in a batch."""
        if isinstance(targets, str) or not isinstance(targets, Iterable):
            raise ArgumentError(f"targets {targets!r}: give a list of commits")
        with self.transaction(expected_head):
            names = [self._reader.resolve(ref) for ref in targets]  # before the head moves
        return [self.annotate(name, priority, reason=reason, expected_head=ANY) for name in names]

    def record_usage(self, usage: object, *, head_hash: str | None) -> CommitHash:
        """Records the usage of the head and returns it; see the facade."""
        self._reader.store.require_writable()
        counts = TokenUsage.from_any(usage)
        with self.transaction(ANY if head_hash is None else head_hash) as transaction:
            if transaction.head is None:
                raise UsageError(f"branch {self._reader.branch!r} has no commits that the usage could be of")
            self.tick(transaction)
            transaction.add_usage(transaction.head, counts)
            return transaction.head

    def put_blob(self, data: bytes) -> str:
        """Writes a blob at once, and returns its hash; see the facade."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise ArgumentError(f"blob of {type(data).__name__}: give bytes")
        stored = encode_blob(bytes(data))
        name = hash_bytes(stored)
        self._reader.store.put_object(name, stored)
        return name

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Makes all writes of a running call inside one transaction; a batch inside a batch joins it, and drops only its
        own part if it raises.
        """
        batch = Batch(find_opener(), is_of_call=True)
        try:
            self.open_batch(batch)
            yield
            self.end_batch(batch)
        finally:
            self.drop_batch(batch)

    def open_batch(self, batch: Batch) -> None:
        """Begins a batch, or joins it to the open one."""
        self._reader.store.require_writable()
        outer = self.current
        if outer is None:
            self._is_inside = True
            self.current = batch
        else:
            batch.outer = outer
            batch.start = None if outer.transaction is None else outer.transaction.mark()

    def end_batch(self, batch: Batch) -> None:
        """Writes what a batch holds; one that joined leaves that to the other, a forked child to its parent.

        Errors: BatchTooLarge, OSError of the disk; BatchOpen where an error has cut the batch off.
        """
        if batch.outer is not None or self.current is not batch:
            batch.is_over = True
            return
        is_failed = True
        try:
            if batch.is_cut_off:
                raise BatchOpen(
                    "an exception cut off a write inside this batch; nothing of it was written; do it again"
                )
            if batch.transaction is not None and not batch.transaction.is_empty:
                self._overlay.hide()
                self.finish(batch.transaction)
            is_failed = False
        finally:
            self._close_batch(batch, is_failed=is_failed)

    def drop_batch(self, batch: Batch) -> None:
        """Forgets what a batch holds, unless it is over."""
        if batch.is_over:
            return
        outer = batch.outer
        if outer is None:
            if self.current is batch:
                self._close_batch(batch, is_failed=True)
        elif self.current is outer and outer.transaction is not None:
            mark = batch.start or outer.start
            assert mark is not None
            outer.transaction.return_to(mark)
        batch.is_over = True

    def _close_batch(self, batch: Batch, *, is_failed: bool) -> None:
        has_lock = self.holds_lock
        self._overlay.hide()
        self.current = None
        batch.is_over = True
        if has_lock:
            self._reader.store.release(is_failed=is_failed)

    def meet_batch(self, *, is_inside: bool) -> None:
        """Begins a call beside an open batch: shows what that holds to a call inside it, and hides it from others."""
        self._is_inside = is_inside
        if self.current is not None and self.current.transaction is not None and is_inside:
            self._overlay.show(self.current.transaction)
        else:
            self._overlay.hide()

    @property
    def holds_lock(self) -> bool:
        """Whether the store's lock is held from call to call, for an open batch that has written."""
        return self.current is not None and self.current.transaction is not None

    def end_call(self, frame: FrameType | None) -> None:
        """Ends the batch of the call of the function `frame`, if it was broken off; its lock is freed by the store's `restore`."""
        if self.current is not None and self.current.ends_with(frame):
            self.abandon()

    def abandon(self) -> None:
        """Drops an open batch and leaves the lock alone: in a forked child it belongs to the parent."""
        self._overlay.hide()
        self.current = None

    def write(
        self,
        draft: Draft,
        expected_head: ExpectedHead,
        *,
        targets: Sequence[CommitHash] | None = None,
        check: Callable[[], None] | None = None,
    ) -> CommitInfo:
        """Writes one commit on the head, the budget checked; see the facade's `commit`.

        `targets`: already resolved and checked, as those of a summary are; else the draft's target is. `check` is
        called under the lock, and refuses by raising.
        """
        if self._budget is not None and self._budget.action != "reject":
            if not self._overlay.is_staging:
                self._reader.log.catch_up()
            self._warn_if_over_budget(draft, self._budget, targets)
        with self.transaction(expected_head) as transaction:
            if check is not None:
                check()
            if targets is None:
                targets = self._require_targets(draft)
            if self._budget is not None and self._budget.action == "reject":
                current = self._tokens_over(draft, self._budget, targets)
                if current is not None:
                    raise BudgetExceeded(current=current, maximum=self._budget.max_tokens)
            return self.stage(transaction, draft, targets=targets)

    def stage(
        self,
        transaction: Transaction,
        draft: Draft,
        *,
        targets: Sequence[CommitHash] = (),
        parents: Sequence[CommitHash] | None = None,
        created_us: int | None = None,
    ) -> CommitInfo:
        """Stages a commit, and moves the transaction's head to it.

        `targets` are the draft's, resolved and checked by the caller. `parents`: by default the head. `created_us`: by
        default the clock's next time.
        Errors: BranchNotFound if the branch was deleted, ObjectTooLarge.
        """
        if transaction.head is None:
            self.require_not_deleted(transaction.branch)
        if created_us is None:
            created_us, created_at = self.tick(transaction), transaction.now
        else:
            created_at = format_time(created_us)
        if parents is None:
            parents = () if transaction.head is None else (transaction.head,)
        commit = Commit(
            operation=draft.operation,
            parents=tuple(parents),
            created_at=created_at,
            content=None if draft.data is None else ContentHash(hash_bytes(draft.data)),
            content_type=draft.content_type,
            targets=tuple(targets),
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
        reader = self._reader
        count, tokens = 0, {}
        if draft.rendering is not None:
            count = draft.rendering.tokens
            tokens = {source_name(reader.counter, has_media=draft.rendering.has_media): count}
        name = transaction.add_commit(commit, data, created_us, draft.config, tokens)
        if draft.rendering is not None:
            reader.keep_rendering(name, draft.rendering)
        return CommitInfo(name, reader.log.tract, CommitFacts(commit, draft.config or b"", count))

    def tick(self, transaction: Transaction) -> int:
        """Returns the next time of a transaction's clock; every staged operation needs one, not only a commit."""
        return transaction.tick(self.now_us())

    @property
    def is_in_batch(self) -> bool:
        """Returns whether the running call is inside an open batch."""
        return self.current is not None and self._is_inside

    def transaction(self, expected_head: ExpectedHead, *, is_move: bool = True) -> AbstractContextManager[Transaction]:
        """Returns as a context the batch's transaction, or one of its own that is written at the end if anything was
        staged. Without `is_move`, the branch stays where it is.

        Only what a batch has staged can be read (`head`, `commit`, compile); wrap it in `batch()` to read it here.
        Errors: HeadMoved, LockTimeout, HistoryIncomplete.
        """
        if self.current is None:
            return _Written(self, self._reader, expected_head, is_move=is_move)
        if not self._is_inside:
            raise BatchOpen("a batch is open outside this call; make the call after its end; nothing was written")
        return self._joined(self.current, expected_head, is_move=is_move)

    @contextmanager
    def _joined(self, batch: Batch, expected_head: ExpectedHead, *, is_move: bool) -> Iterator[Transaction]:
        """Yields the transaction of a batch, begun on first need; drops what is staged here if an error is raised."""
        transaction = batch.transaction
        if transaction is None:
            transaction = self._begin_batch(batch, is_move=is_move)
        elif is_move:
            self._reader.require_complete()
        self.require_head(expected_head, transaction)
        mark = transaction.mark()
        try:
            yield transaction
        except BaseException:
            batch.is_cut_off = True  # unless all of the next step is done
            transaction.return_to(mark)
            batch.is_cut_off = False
            raise

    def _begin_batch(self, batch: Batch, *, is_move: bool) -> Transaction:
        store = self._reader.store
        store.require_writable()
        store.acquire()
        try:
            transaction = self.begin(is_move=is_move)
            batch.start = transaction.mark()
            batch.transaction = transaction
        except BaseException:
            store.release(is_failed=True)
            raise
        self._overlay.show(transaction)
        return transaction

    def begin(self, *, is_move: bool = True) -> Transaction:
        """Returns a transaction on the head, caught up with other writers; the store's lock is held.

        Errors: HistoryIncomplete if `is_move` and a part of the branch is hidden, or its head can't be read.
        """
        reader = self._reader
        if not self._is_lock_checked:
            self._is_lock_checked = True
            if reader.store.lock_warning:
                warn(NoLockWarning(f"{reader.store.layout.context}: {reader.store.lock_warning}"), stacklevel=2)
        reader.log.catch_up(is_locked=True)
        if is_move:
            reader.require_complete()
        head = reader.log.own_head(reader.branch)
        if is_move and head is not None and reader.log.commit(head.commit) is None:
            reader.log.list_events(is_forced=True)
            reader.require_complete()
            head = reader.log.own_head(reader.branch)
            if head is not None and reader.log.commit(head.commit) is None:
                reader.require_head(head.commit)
                head = reader.log.own_head(reader.branch)
        return Transaction(reader.branch, reader.log.view, head)

    def finish(self, transaction: Transaction) -> None:
        """Writes a transaction; the store's lock is held. Errors: BatchTooLarge; OSError of the disk."""
        reader = self._reader
        reader.store.write(reader.log, transaction)
        if transaction.kind == "append":  # other moves may bring commits again, and the least event tells their configs
            reader.keep_written(transaction.commits)

    def require_head(self, expected: ExpectedHead, transaction: Transaction) -> None:
        """Raises HeadMoved if a head is expected and the transaction starts from another."""
        if expected is not ANY and expected != transaction.head:
            raise HeadMoved(branch=self._reader.branch, expected=expected, actual=transaction.head)

    def _require_tract(self, branch: str) -> None:
        """Raises TractDeleted if the tract was deleted, unless this handle begins it again."""
        log = self._reader.log
        if log.view.is_deleted and not self.remakes.issuperset(log.view.moves()):
            raise TractDeleted(tract_id=log.tract, branch=branch)

    def require_not_deleted(self, branch: str) -> None:
        """Raises BranchNotFound if the branch, which has no head, was deleted, unless this handle begins it again."""
        log = self._reader.log
        self._require_tract(branch)
        if not self.remakes.issuperset(log.view.branches.get(branch, ())):
            raise BranchNotFound(
                f"branch {branch!r} of tract {log.tract!r} was deleted: branch({branch!r}, at=...) makes it again; "
                "nothing was written",
                tract_id=log.tract,
                branch=branch,
            )

    def require_branch(self) -> None:
        """Raises BranchNotFound if the branch was deleted."""
        if self._reader.head() is None:
            self.require_not_deleted(self._reader.branch)

    def _require_targets(self, draft: Draft) -> tuple[CommitHash, ...]:
        """Returns the target of an edit or annotation, which must be in the head's history; nothing for an append."""
        if draft.operation is CommitOperation.APPEND:
            return ()
        is_edit = draft.operation is CommitOperation.EDIT
        reader = self._reader
        self.require_branch()
        try:
            target = reader.resolve(draft.target)
        except CommitNotFoundError as error:
            if is_edit:
                raise EditTargetError(target=draft.target, reason="no such commit in this branch's history") from error
            raise
        commit = reader.commit(target)
        if not reader.is_in_history(target):
            if is_edit:
                raise EditTargetError(target=target, reason=f"it is not in the history of branch {reader.branch!r}")
            raise CommitNotFoundError(hash=target, where=f"the history of branch {reader.branch!r}")
        if is_edit and commit.operation is CommitOperation.EDIT:  # an edit stands for the commit that it is about
            target = commit.targets[0]
        elif is_edit and commit.operation not in (CommitOperation.APPEND, CommitOperation.SUMMARIZE):
            raise EditTargetError(target=target, reason=f"it has no content: it is of operation {_about(commit)}")
        if not is_edit and commit.content is None:
            reason = f"it takes no part in the context by itself: it is of operation {_about(commit)}"
            raise AnnotateTargetError(target=target, reason=reason)
        if draft.basis is not None:
            self._require_standing(draft.basis)
        return (target,)

    def _require_standing(self, basis: TextBasis) -> None:
        """Raises HeadMoved if another writer has edited a commit since a text edit of it was made."""
        from tract_fs.work.text_edits import standing_commit

        head = self._reader.head()
        if head is None or head == basis.head:
            return
        if standing_commit(self._reader, basis.target) != basis.standing:
            raise HeadMoved(branch=self._reader.branch, expected=basis.head, actual=head)

    @property
    def budget(self) -> TokenBudgetConfig | None:
        """The limit for the compiled context, if there is one."""
        return self._budget

    def _warn_if_over_budget(
        self, draft: Draft, budget: TokenBudgetConfig, targets: Sequence[CommitHash] | None
    ) -> None:
        current = self._tokens_over(draft, budget, self._require_targets(draft) if targets is None else targets)
        if current is not None:
            self.warn_of_budget(current, budget)

    def warn_of_budget(self, current: int, budget: TokenBudgetConfig) -> None:
        """Reports that an operation puts the context over its token budget: to the callback, or to the log."""
        if budget.callback is not None:
            callback = partial(budget.callback, current, budget.max_tokens)
            self.run_outside(callback)
            return
        import logging  # 15 ms: only a warning needs it

        logging.getLogger("tract_fs").warning(
            "tract %s: the context holds %d tokens, over the budget of %d",
            self._reader.log.tract,
            current,
            budget.max_tokens,
        )

    def _tokens_over(self, draft: Draft, budget: TokenBudgetConfig, targets: Sequence[CommitHash]) -> int | None:
        """Returns the tokens of the context after the operation, if it puts them over the budget; else None."""
        commit = Commit(
            operation=draft.operation,
            parents=(),
            created_at="",
            content=None if draft.data is None else ContentHash(""),
            content_type=draft.content_type,
            targets=tuple(targets),
            priority=draft.priority,
        )
        config = None if draft.config is None else draft.config.decode()
        before, current = self._contexts.tokens_after(self._reader.head(), Loaded(commit, draft.rendering, config))
        return current if current > budget.max_tokens and current > before else None

    def now_us(self) -> int:
        """Returns the wall clock in microseconds since 1970. Errors: ArgumentError if its time can't be stored."""
        return read_clock(self._clock)


class _Written:
    """A transaction as a context: holds the store's lock, and writes what was staged at its end, unless an error ends
    it.
    """

    def __init__(self, writer: TractWriter, reader: TractReader, expected_head: ExpectedHead, *, is_move: bool) -> None:
        self._is_move = is_move
        self._writer = writer
        self._reader = reader
        self._expected_head = expected_head

    def __enter__(self) -> Transaction:
        store = self._reader.store
        store.require_writable()
        store.acquire()
        try:
            self._transaction = self._writer.begin(is_move=self._is_move)
            self._writer.require_head(self._expected_head, self._transaction)
            return self._transaction
        except BaseException:
            store.release(is_failed=True)
            raise

    def __exit__(self, kind: object, *_: object) -> None:
        store = self._reader.store
        is_failed = True
        try:
            if kind is None and not self._transaction.is_empty:
                self._writer.finish(self._transaction)
            is_failed = kind is not None
        finally:
            store.release(is_failed=is_failed)


def _about(commit: Commit) -> str:
    """Returns the operation of a commit without content, with the commit that it is about."""
    about = f", about {commit.targets[0]}; name that one" if commit.targets else ""
    return commit.operation.value + about


def require_operation(operation: CommitOperation | str, target: str | None) -> CommitOperation:
    """Returns the operation of a call of commit(). Errors: ArgumentError."""
    try:
        kind = CommitOperation(operation)
    except ValueError:
        raise ArgumentError(f"operation {operation!r}: use append or edit") from None
    if kind not in (CommitOperation.APPEND, CommitOperation.EDIT):
        raise ArgumentError(f"operation {kind.value} is not made by commit(); use append or edit")
    if kind is CommitOperation.APPEND and target is not None:
        raise ArgumentError("a target goes with operation EDIT")
    return kind


def require_priority(priority: Priority | str) -> Priority:
    """Returns a priority. Errors: ArgumentError."""
    try:
        return Priority(priority)
    except ValueError:
        raise ArgumentError(f"priority {priority!r}: use skip, normal or pinned") from None


def optional_text(value: object, name: str) -> str | None:
    """Returns a text that can be stored, or None. Errors: ArgumentError, JsonValueError."""
    if value is None:
        return None
    if type(value) is not str:
        raise ArgumentError(f"{name} {value!r}: give a string or None")
    canonical.encode(value, name=name)
    return value


def optional_object(value: object, name: str) -> bytes | None:
    """Returns a dict as canonical JSON, or None. Errors: ArgumentError, JsonValueError."""
    if value is None:
        return None
    value = canonical.dumped(value)
    if type(value) is not dict:
        raise ArgumentError(f"{name} {value!r}: give a dict or None")
    return canonical.encode_kept(value, name=name)


def require_object(value: object, name: str) -> dict[str, Any]:
    """Returns a dict as it would be stored (fresh). Errors: ArgumentError, JsonValueError."""
    data = optional_object(value, name)
    if data is None:
        raise ArgumentError(f"{name} {value!r}: give a dict")
    fields: dict[str, Any] = canonical.decode(data)
    return fields
