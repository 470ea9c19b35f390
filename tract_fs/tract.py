"""The facade: one handle on one tract. Locks out other threads, keeps up with other writers, and hands each call to its module.

This is the one module that reads a clock and draws random numbers. A handle may be used by several threads, and goes on in a forked child.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Any, Literal

from tract_fs.context import ContextReader
from tract_fs.errors import ArgumentError
from tract_fs.guard import HandleGuard
from tract_fs.model.compiler import CompileOptions, ContextCompiler, Orphans
from tract_fs.model.config_query import require_field, require_operator, require_scalar
from tract_fs.model.content import ContentTypes, Priority
from tract_fs.model.info import CommitInfo, PriorityAnnotation, Status, TractConfig
from tract_fs.model.objects import CommitOperation
from tract_fs.model.snapshot import CompiledContext
from tract_fs.model.tokens import EstimateCounter, TokenCounter
from tract_fs.opening import list_tracts, open_store, require_options
from tract_fs.reading import TractReader
from tract_fs.store.store import Store
from tract_fs.transcripts import to_contents
from tract_fs.writing import ANY, Clock, TractWriter

Durability = Literal["durable", "fast"]


class Tract:
    """The context of one agent under version control: commit, edit, annotate, compile, query. Made by `Tract.open`."""

    def __init__(
        self,
        store: Store,
        *,
        tract_id: str,
        branch: str,
        config: TractConfig,
        counter: TokenCounter,
        compiler: ContextCompiler | None,
        clock: Clock,
        verify: bool,
        discard: Callable[[], object] | None,
    ) -> None:
        self._store = store
        self._tract_id = tract_id
        self._config = config
        self._discard = discard
        self._types = ContentTypes()
        self._reader = TractReader(store, store.log(tract_id, verify=verify), branch, self._types, counter)
        self._contexts = ContextReader(self._reader, compiler, cache_size=config.snapshot_cache_size)
        self._writer = TractWriter(self._reader, self._contexts, budget=config.token_budget, clock=clock)
        self._guard = HandleGuard(self._reader, self._abandon)
        self._reader.loading = self._guard.loading

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        tract_id: str = "default",
        branch: str = "main",
        config: TractConfig | None = None,
        tokenizer: TokenCounter | None = None,
        compiler: ContextCompiler | None = None,
        durability: Durability = "durable",
        read_only: bool = False,
        create: bool = True,
        verify: bool = False,
        lock_timeout_s: float = 10.0,
        clock: Clock | None = None,
    ) -> Tract:
        """Opens a tract of the context directory at `path`; makes the store on first use. No path: a throw-away store.

        `verify` folds all events anew, each object re-hashed. `clock` returns microseconds since 1970, or a datetime.
        Errors: ArgumentError, StoreNotFound, NotAStore, UnsupportedFormat, LockTimeout.
        """
        config = TractConfig() if config is None else config
        counter = EstimateCounter() if tokenizer is None else tokenizer
        clock = _wall_clock_us if clock is None else clock
        require_options(
            tract_id=tract_id, branch=branch, config=config, counter=counter, compiler=compiler, clock=clock
        )
        store, discard = open_store(
            path,
            durability=durability,
            read_only=read_only,
            create=create,
            lock_timeout_s=lock_timeout_s,
            writer=os.urandom(16).hex(),
        )
        return cls(
            store,
            tract_id=tract_id,
            branch=branch,
            config=config,
            counter=counter,
            compiler=compiler,
            clock=clock,
            verify=verify,
            discard=discard,
        )

    @staticmethod
    def tracts(path: str | os.PathLike[str]) -> list[str]:
        """Returns the ids of the tracts in the store at `path` that have events, sorted. Errors: as `open`."""
        return list_tracts(path)

    # what the handle is

    @property
    def tract_id(self) -> str:
        """The tract's id."""
        return self._tract_id

    @property
    def branch(self) -> str:
        """The branch that this handle works on."""
        return self._reader.branch

    @property
    def config(self) -> TractConfig:
        """How this handle works."""
        return self._config

    @property
    def head(self) -> str | None:
        """The hash of the branch's head; None if it has no commits. Inside a batch: the staged head."""
        with self._guard.reading:
            return self._reader.head()

    # write

    def commit(
        self,
        content: object,
        *,
        operation: CommitOperation | str = CommitOperation.APPEND,
        target: str | None = None,
        message: str | None = None,
        metadata: dict[str, Any] | None = None,
        generation_config: dict[str, Any] | None = None,
        expected_head: object = ANY,
    ) -> CommitInfo:
        """Commits a content, and returns once it is in the history (with `durable`: once a power cut can't undo it).

        `content` is a content type, an instance of a registered type, or a dict with `content_type`. `generation_config` is any JSON object.
        `expected_head` (a hash; None: the branch is empty) makes it a compare-and-swap.
        Errors: ContentValidationError, JsonValueError, EditTargetError, HeadMoved, BudgetExceeded, LockTimeout, ReadOnlyError; nothing is written then.
        """
        with self._guard.writing:
            return self._writer.commit(
                content,
                operation=operation,
                target=target,
                message=message,
                metadata=metadata,
                generation_config=generation_config,
                expected_head=expected_head,
            )

    def edit(
        self,
        target: str,
        content: object,
        *,
        message: str | None = None,
        metadata: dict[str, Any] | None = None,
        generation_config: dict[str, Any] | None = None,
        expected_head: object = ANY,
    ) -> CommitInfo:
        """Commits a content that stands in the place of `target`'s from here on. Errors: as `commit`."""
        with self._guard.writing:
            return self._writer.commit(
                content,
                operation=CommitOperation.EDIT,
                target=target,
                message=message,
                metadata=metadata,
                generation_config=generation_config,
                expected_head=expected_head,
            )

    def annotate(
        self, target: str, priority: Priority | str, *, reason: str | None = None, expected_head: object = ANY
    ) -> PriorityAnnotation:
        """Sets the priority of a commit from here on; an annotation is an operation in the history and moves the head.

        Errors: CommitNotFoundError if `target` is not in this branch's history; AnnotateTargetError; HeadMoved, BudgetExceeded and more, as `commit`.
        """
        with self._guard.writing:
            return self._writer.annotate(target, priority, reason=reason, expected_head=expected_head)

    def record_usage(self, usage: object, *, head_hash: str | None = None) -> CompiledContext:
        """Records the provider's token counts for the context compiled at the head, and returns that context with them.

        Takes a TokenUsage, an OpenAI dict or an Anthropic dict. Errors: UsageError; HeadMoved if `head_hash` is not the head.
        """
        with self._guard.reading:
            self._writer.record_usage(usage, head_hash=head_hash)
            return self._contexts.compile(at_time=None, at_commit=None, options=CompileOptions())

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Makes all commits and annotations inside visible together, or none if anything is raised.

        It belongs to its thread; other threads of this handle wait, other writers of the store from the first write on. A batch inside a batch joins it.
        Errors: BatchTooLarge at its end, nothing written.
        """
        with self._guard.reading, self._writer.batch():
            yield

    def import_messages(
        self,
        messages: Sequence[dict[str, Any]],
        *,
        format: str = "openai",
        generation_config: dict[str, Any] | None = None,
        expected_head: object = ANY,
    ) -> list[CommitInfo]:
        """Commits each message of a provider's list whole, all in one transaction; each with `generation_config`.

        Errors: ArgumentError for an unknown format; ContentValidationError naming the message; HeadMoved; nothing is written then.
        """
        contents = to_contents(messages, format)
        with self.batch():
            return self._writer.import_contents(contents, generation_config, expected_head)

    # read

    def compile(
        self,
        *,
        at_time: datetime | None = None,
        at_commit: str | None = None,
        include_edit_annotations: bool = False,
        aggregate_same_role: bool = False,
        orphans: Orphans = "drop",
    ) -> CompiledContext:
        """Returns the messages to send next: the history of the head, or of a cut of it, replayed.

        `at_time`: what had been made by then (naive: UTC). `orphans` says what becomes of a tool call or result whose other half a skip, an edit or a
        cut took away: "drop", "raise" (OrphanedToolCall) or "keep". Cost: what came since the nearest cached head.
        """
        options = CompileOptions(include_edit_annotations, aggregate_same_role, orphans)
        with self._guard.reading:
            return self._contexts.compile(at_time=at_time, at_commit=at_commit, options=options)

    def get_commit(self, hash: str) -> CommitInfo | None:
        """Returns the commit of a full hash, or None if this tract has none."""
        with self._guard.reading:
            return self._reader.info(self._reader.require(hash)) if self._reader.has(hash) else None

    def resolve(self, ref: str) -> str:
        """Returns the hash of a full hash, a branch, a tag, or a unique prefix of 4 digits or more.

        Errors: CommitNotFoundError, AmbiguousRefError.
        """
        with self._guard.reading:
            return self._reader.resolve(ref)

    def get_content(self, hash: str) -> Any:
        """Returns the typed content of a commit (fresh); a dict where its custom type is not registered.

        Errors: CommitNotFoundError if this tract has no such commit, or it has no content.
        """
        with self._guard.reading:
            return self._reader.content(self._reader.require(hash))

    def log(self, limit: int | None = 10) -> list[CommitInfo]:
        """Returns the newest commits of the head's history, newest first; None: all."""
        if limit is not None and (type(limit) is not int or limit < 0):
            raise ArgumentError(f"limit {limit!r}: use an integer from 0, or None for all")
        with self._guard.reading:
            names = self._reader.iter_log()
            return [
                self._reader.info(name) for name in (names if limit is None else islice(names, min(limit, sys.maxsize)))
            ]

    def get_annotations(self, target: str) -> list[PriorityAnnotation]:
        """Returns the annotations of a commit in this branch's history, oldest first; a type's own priority other than normal comes first.

        Errors: CommitNotFoundError.
        """
        with self._guard.reading:
            return self._reader.annotations(target)

    def query_by_config(self, field: str | tuple[str | int, ...], operator: str, value: object) -> list[CommitInfo]:
        """Returns this tract's commits whose generation config matches, by creation time, then hash.

        `field` is a top-level key, or a tuple of keys and indexes. Operators: = != > < >= <=. JSON's own types: `1` equals `1.0`, a bool is no number,
        and a value of another type never matches. Errors: ArgumentError (a ValueError).
        """
        path, compare, scalar = require_field(field), require_operator(operator), require_scalar(value)
        with self._guard.reading:
            return self._reader.query(path, compare, scalar)

    def status(self) -> Status:
        """Returns the state of the tract in this copy. Cost: reads the history, and lists the store."""
        from tract_fs.survey import survey

        with self._guard.reading:
            return survey(self._reader, self._contexts, self._config)

    # the handle

    def register_content_type(
        self,
        name: str,
        type: type,
        *,
        role: str = "assistant",
        priority: Priority | str = Priority.NORMAL,
        text: Callable[[Any], str] | None = None,
    ) -> None:
        """Lets this handle commit and read a msgspec.Struct or dataclass under `name`; `text` makes its message text.

        Errors: ArgumentError.
        """
        with self._guard.reading:
            self._types.register(name, type, role=role, priority=priority, text=text)
            self._reader.forget_renderings()
            self._contexts.forget()

    def refresh(self) -> None:
        """Looks at once for what any tool brought into the store; else that is noticed within a second or so."""
        with self._guard.reading:
            self._store.forget_redacted()
            self._reader.log.list_events(is_forced=True)

    def flush(self) -> None:
        """Makes every file written so far survive a power cut by itself (not only by the redo log), and saves the caches."""
        with self._guard.reading:
            self._store.flush()
            self._contexts.save()
            self._reader.log.save()

    def close(self) -> None:
        """Saves the caches and closes the files; every later call but this raises ClosedError."""
        if self._guard.close():
            self._contexts.save()
            self._reader.close()
            self._store.close()
            if self._discard is not None:
                self._discard()

    def __enter__(self) -> Tract:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Tract({self._store.layout.context!r}, tract_id={self._tract_id!r}, branch={self._reader.branch!r})"

    def _abandon(self) -> None:
        self._writer.abandon()
        self._store.after_fork()


def _wall_clock_us() -> int:
    return time.time_ns() // 1000
