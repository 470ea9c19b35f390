"""The facade: every call on a tract, but those of `branch_calls`. Each locks out other threads, keeps up with other writers, and goes to its module."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tract_fs.branch_calls import BranchCalls
from tract_fs.errors import ArgumentError
from tract_fs.model.compiler import CompileOptions, Orphans
from tract_fs.model.config_query import require_field, require_operator, require_scalar
from tract_fs.model.content import Priority
from tract_fs.model.info import CommitInfo, ImportReport, PriorityAnnotation
from tract_fs.model.objects import CommitOperation
from tract_fs.model.snapshot import CompiledContext
from tract_fs.model.status import PackReport, RepairReport, Status
from tract_fs.transcripts import to_contents
from tract_fs.work.import_stream import BATCH_SIZE, MessageStream
from tract_fs.work.merge import MergeResult
from tract_fs.work.summaries import is_asked
from tract_fs.work.writer import ANY

if TYPE_CHECKING:
    from tract_fs.model.diff import ContextDiff
    from tract_fs.model.exchange import BundleApplied, BundleInfo, SyncReport


class Tract(BranchCalls):
    """The context of one agent under version control: commit, edit, annotate, compile, query. Made by `Tract.open`."""

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

    def summarize(
        self,
        commits: Iterable[str] | None = None,
        content: object = None,
        *,
        first: str | None = None,
        last: str | None = None,
        keep_pinned: bool = True,
        generation_config: dict[str, Any] | None = None,
        message: str | None = None,
        expected_head: object = ANY,
    ) -> CommitInfo:
        """Commits a content that stands for `commits`, or for all that the context shows from `first` to `last`, in the place of the first of them.

        `content` is what `commit` takes, a text (told by the system), or a callable that gets the messages and returns either; it is called with nothing
        locked, but inside a batch. With `keep_pinned`, pinned commits stay. A skip of the summary undoes it. Errors: SummarizeError, CommitNotFoundError;
        HeadMoved, also if what is to be summarized changed meanwhile; as `commit`.
        """
        with self._guard.reading:
            plan = self._summarizer.plan(
                commits,
                first=first,
                last=last,
                keep_pinned=keep_pinned,
                generation_config=generation_config,
                message=message,
                expected_head=expected_head,
            )
        told = plan.tell(content)
        with self._guard.writing:
            return self._summarizer.write(
                plan, told, expected_head=expected_head, is_made_of_messages=is_asked(content)
            )

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

    def import_stream(
        self,
        messages: Iterable[dict[str, Any]],
        *,
        format: str = "openai",
        generation_config: dict[str, Any] | Callable[[int, dict[str, Any]], dict[str, Any] | None] | None = None,
        batch_size: int = BATCH_SIZE,
        progress: Callable[[int], object] | None = None,
    ) -> ImportReport:
        """Commits each message of an iterable of any length whole, in bounded memory and as many transactions of `batch_size` messages.

        It is not atomic as a whole: what was written when it ends with an error stands, and that is every message before the one at fault. A callable
        `generation_config` gets (position, message); `progress` is told how many messages are committed, some thousands at a time.
        Errors: ArgumentError, ReadOnlyError; ImportInterrupted, which tells the position to go on from, with its cause.
        """
        with self._guard.writing:
            self._require_outside_batch("import_stream")
            self._store.require_writable()
        stream = MessageStream(
            self._reader,
            self._writer,
            format=format,
            generation_config=generation_config,
            batch_size=batch_size,
            progress=progress,
            holding=self._guard.writing,
        )
        return stream.run(messages)

    def merge(
        self,
        ref: str | None = None,
        *,
        prefer: str | tuple[str, ...] | None = None,
        resolutions: Mapping[str, Any] | None = None,
        message: str | None = None,
        expected_head: object = ANY,
    ) -> MergeResult:
        """Brings another line into this branch: that of `ref` (a branch, a commit, `tract:branch`), or, without one, the branch's other heads.

        Goes forward where it can. `resolutions` settles conflicts by target: "ours", "theirs", a content, a priority, or a tuple of these; `prefer`
        the rest: "ours" or "theirs", and for a head that was set back beside one that contains it "reset" or "commits" (one of each: a tuple).
        Errors: MergeConflict, ResetConflict, MergeError; CommitNotFoundError, HeadMoved, BudgetExceeded and more, as `commit`; nothing is written then.
        """
        with self._guard.writing:
            return self._merger.merge(
                ref, prefer=prefer, resolutions=resolutions, message=message, expected_head=expected_head
            )

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
        """Returns the commit that a ref names: a full hash, a branch, a tag, `@` (the head), or a unique prefix of 4 digits or more.

        Behind it may stand any number of `~n` (n first parents back) and `^n` (the nth parent), before it `tract:`, for a commit that has come
        in from that tract. Errors: CommitNotFoundError, AmbiguousRefError.
        """
        with self._guard.reading:
            return self._reader.resolve(ref)

    def get_content(self, hash: str) -> Any:
        """Returns the typed content of a commit (fresh); a dict where its custom type is not registered.

        Errors: CommitNotFoundError if this tract has no such commit, or it has no content.
        """
        with self._guard.reading:
            return self._reader.content(self._reader.require(hash))

    def expand(self, hash: str) -> list[CommitInfo]:
        """Returns the commits that a summary stands for, in history order; a summary among them is told as it is.

        Errors: CommitNotFoundError, SummarizeError if the commit is no summary.
        """
        with self._guard.reading:
            return self._summarizer.expand(hash)

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

    def diff(self, a: str | None = None, b: str | None = None) -> ContextDiff:
        """Returns what differs from the context of commit `a` to that of `b`: messages, texts, configs, tokens, and what a prompt cache loses.

        `b` is the head and `a` the first parent of b unless given. Each context is what compile() answers where that commit is the head.
        Errors: CommitNotFoundError, AmbiguousRefError, ArgumentError.
        """
        from tract_fs.work.diff import diff

        with self._guard.reading:
            return diff(self._reader, self._contexts, a, b)

    def status(self) -> Status:
        """Returns the state of the tract in this copy, damage included. Cost: reads the history, and lists the store."""
        from tract_fs.upkeep.status import survey

        with self._guard.reading:
            return survey(self._reader, self._contexts, self._config, now_us=self._writer.now_us())

    # repair

    def repair(self, *, adopt: bool = False, verify: bool = True) -> RepairReport:
        """Checks every file of the store by its hash, sets damaged ones aside or mends them, takes in what lies astray, and finds all caches anew.

        With `adopt`, pending commits of this tract whose parents' events are gone for good come back as second heads, wherever their
        whole history is here. `verify=False` checks no files but those that were found damaged before. Nothing is deleted but caches.
        Cost: reads the store. Errors: ReadOnlyError, LockTimeout; ArgumentError inside a batch.
        """
        from tract_fs.upkeep.repair import Repair

        with self._guard.reading:
            repair = Repair(self._reader, self._contexts)
            return repair.run(adopt=adopt, verify=verify, now_us=self._writer.now_us())

    def pack(self, *, older_than: timedelta | datetime | None = None) -> PackReport:
        """Puts the loose files and small packs of the whole store, all its tracts, into packs of at most 256 MiB; those of 32 MiB and more stay.

        With `older_than` only files that were last changed so long ago, or before then. Others may read and write meanwhile, and it may be broken off
        anywhere and run again. Errors: ArgumentError, ReadOnlyError, LockTimeout; HashMismatch if the disk gives back other bytes; OSError.
        """
        from tract_fs.upkeep.pack import pack_store, require_age

        before_ns = require_age(older_than)
        with self._guard.reading:
            self._require_outside_batch("pack")
            self._store.flush()
            own = self._store.beside(writer=self._store.writer, read_only=False)
        return pack_store(own, before_ns=before_ns)

    # copies

    def sync(
        self,
        path: str | os.PathLike[str],
        *,
        verify: bool = False,
        durable: bool = True,
        progress: Callable[[int, int, str], object] | None = None,
    ) -> SyncReport:
        """Brings this store and the one in the directory `path` (made there if need be) to the same files, both ways; local/ stays out of it.

        It may be broken off anywhere and run again. `verify` hashes every file of both; `progress(done, total, path)` is called for each file.
        Errors: ArgumentError, StoreNotFound, NotAStore, UnsupportedFormat, ReadOnlyError, nothing copied then; OSError.
        """
        from tract_fs.copies.sync import sync_stores

        with self._guard.reading:
            self._require_outside_batch("sync")
            self._store.require_writable()
        return sync_stores(
            self._store, path, holding=self._guard.reading, verify=verify, durable=durable, progress=progress
        )

    def bundle(self, path: str | os.PathLike[str], *, since: str | None = None, force: bool = False) -> BundleInfo:
        """Writes this tract, with what it builds on, into one file; with `since`, a ref, only what that commit's events did not have.

        Errors: BundleExists (unless `force`), CommitNotFoundError, AmbiguousRefError; OSError.
        """
        from tract_fs.copies.bundle import create_bundle

        with self._guard.reading:
            self._require_outside_batch("bundle")
            self._reader.log.list_events(is_forced=True)
            return create_bundle(self._reader, path, since=since, force=force)

    def apply_bundle(self, path: str | os.PathLike[str]) -> BundleApplied:
        """Brings the events and objects of a bundle, of whatever tracts, into the store, after all of it was checked.

        Errors: BundleDamaged, UnsupportedFormat, ReadOnlyError, nothing written then; OSError.
        """
        from tract_fs.copies.bundle import apply_bundle

        with self._guard.reading:
            self._require_outside_batch("apply_bundle")
            return apply_bundle(self._store, path)

    def _require_outside_batch(self, call: str) -> None:
        if self._writer.is_in_batch:
            raise ArgumentError(
                f"{call} inside a batch: call it before or after; what the batch holds is in no file yet"
            )
