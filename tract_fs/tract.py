"""The facade: every call on a tract, in one class.

A call here checks its arguments into typed values, enters the guard, and goes to one function of `work`, `upkeep`,
`copies` or `capture`. No call decides or loops here. A call imports what open, commit, compile and log do not need, so that `import
tract_fs` stays fast.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

from tract_fs.model.compiler import CompileOptions, ContextCompiler, Orphans
from tract_fs.model.config_query import Scalar, require_field, require_operator, require_scalar
from tract_fs.model.content import Priority
from tract_fs.model.info import CommitInfo, ImportReport, PriorityAnnotation, ReflogEntry, Sibling, TractConfig
from tract_fs.model.media import MediaCounter
from tract_fs.model.names import Clock
from tract_fs.model.objects import CommitOperation
from tract_fs.model.snapshot import CompiledContext
from tract_fs.model.tokens import TokenCounter
from tract_fs.work.log_filter import LogFilter, require_limit
from tract_fs.work.session import (
    Durability,
    OnBadText,
    OnIncomplete,
    Session,
    SessionOptions,
    StorePath,
    list_tracts,
    require_opened,
)
from tract_fs.work.writer import ANY, ExpectedHead, optional_object, require_object, require_operation, require_priority

if TYPE_CHECKING:
    from tract_fs.capture.importer import TranscriptReport
    from tract_fs.capture.sessions import SessionFile
    from tract_fs.errors import HistoryIncomplete
    from tract_fs.model.blame import BlamedLine
    from tract_fs.model.comparison import AnswerComparison
    from tract_fs.model.diff import ContextDiff
    from tract_fs.model.exchange import BundleApplied, BundleInfo, SyncReport
    from tract_fs.model.explanation import Explanation
    from tract_fs.model.fitting import FitPolicy
    from tract_fs.model.query import Expression, Field
    from tract_fs.model.query_groups import Prices, QueryGroup
    from tract_fs.model.search import SearchHit
    from tract_fs.model.status import OtherHeads, PackReport, RepairReport, Status
    from tract_fs.model.usage import TokenUsage
    from tract_fs.page.file import PageInfo
    from tract_fs.transcripts.resume import SessionBytes
    from tract_fs.work.branches import TractBranches
    from tract_fs.work.merge import MergeResult
    from tract_fs.work.summaries import TractSummarizer
    from tract_fs.work.usage import TractUsageKey


class CurrentBranch(str):
    """The name of the branch that a handle works on: a string. Called, it makes another branch."""

    _make: Callable[[str, str | None], str]

    def __call__(self, name: str, *, at: str | None = None) -> str:
        """Makes a branch at the head, or at a ref, and returns its head; the handle stays where it is. A deleted branch
        can be made again.

        Errors: BranchExists, CommitNotFoundError, ArgumentError if git refuses such a name; nothing is written then.
        """
        return self._make(name, at)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)  # a copy is the name alone


class Tract:
    """The context of one agent under version control: commit, edit, annotate, compile, query. Made by `Tract.open`.

    The page "Common jobs" of the guide has the shortest code for what programs do most. In the examples below, `t` is a
    new tract, `Tract.open(path)`.
    """

    def __init__(self, session: Session | None = None, **_: object) -> None:
        self._session = require_opened(session, Session, "Tract.open(path)")
        self._guard = self._session.guard

    # open and close

    @classmethod
    def open(
        cls,
        path: StorePath | None = None,
        *,
        tract_id: str = "default",
        branch: str = "main",
        config: TractConfig | None = None,
        tokenizer: TokenCounter | None = None,
        media: MediaCounter | None = None,
        compiler: ContextCompiler | None = None,
        durability: Durability = "durable",
        read_only: bool = False,
        create: bool = True,
        verify: bool = False,
        lock_timeout_s: float = 10.0,
        clock: Clock | None = None,
        incomplete: OnIncomplete = "raise",
        text: OnBadText = "strict",
    ) -> Self:
        """Opens a tract of the context directory at `path`; makes the store on first use. No path: a throw-away store.

        The first commit makes the tract and the branch. With `create=False` nothing is made: store, tract and branch must
        be there; only `main` of a tract without commits, and `default` of a store without tracts, need not.
        `tokenizer` counts texts, `media` images and documents; by default both estimate.
        `verify` reads all events and objects again and answers from no cache in local/. `clock` returns microseconds
        since 1970, or a datetime, before year 8999. Where files are lost, so that a part of the branch is hidden, `compile`, `commit` and
        all that move the head raise HistoryIncomplete; with `incomplete="use"` they work with what is whole, and a
        message whose content is lost is left out, with a warning. A string with a lone surrogate, which no file can hold,
        is refused; with `text="replace"` it is committed with U+FFFD in its place.
        Errors: ArgumentError, StoreNotFound, TractNotFound, BranchNotFound, NotAStore, UnsupportedFormat, LockTimeout.

        >>> with Tract.open("my-agent") as t:
        ...     question = t.add("What is the capital of France?")
        >>> Tract.open("my-agent").compile().messages[0].content
        'What is the capital of France?'
        """
        session = Session.open(
            path,
            tract_id=tract_id,
            branch=branch,
            options=SessionOptions.of(config, tokenizer, media, compiler, clock, text),
            durability=durability,
            read_only=read_only,
            create=create,
            verify=verify,
            lock_timeout_s=lock_timeout_s,
            incomplete=incomplete,
        )
        return cls(session)

    @staticmethod
    def tracts(path: StorePath) -> list[str]:
        """Returns the ids of the tracts in the store at `path` that have events, sorted. Errors: as `open`."""
        return list_tracts(path)

    def refresh(self) -> None:
        """Looks at once for what any tool brought into the store; without it, that is noticed within a second or so."""
        with self._guard.changing:
            self._session.refresh()

    def flush(self) -> None:
        """Makes every file written so far survive a power cut by itself (not only by the redo log), and saves the
        caches.
        """
        with self._guard.changing:
            self._session.flush()

    def close(self) -> None:
        """Saves the caches and closes the files; every later call but this raises ClosedError."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        session = self._session
        return (
            f"Tract({session.store.layout.context!r}, tract_id={session.tract_id!r}, branch={session.reader.branch!r})"
        )

    # the handle

    @property
    def tract_id(self) -> str:
        """The tract's id."""
        return self._session.tract_id

    @property
    def title(self) -> str | None:
        """The title of the tract, or None."""
        with self._guard.reading:
            return self._session.reader.title()

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of the tract (fresh); empty where none was given."""
        with self._guard.reading:
            return self._session.reader.metadata()

    @property
    def config(self) -> TractConfig:
        """How this handle works."""
        return self._session.options.config

    @property
    def head(self) -> str | None:
        """The hash of the branch's head; None if it has no commits. Inside a batch: the staged head."""
        with self._guard.reading:
            return self._session.reader.head()

    @property
    def branch(self) -> CurrentBranch:
        """The branch that this handle works on, by name; `branch(name, at=None)` makes one.

        >>> question = t.add("What is the capital of France?")
        >>> t.branch("draft") == question.commit_hash
        True
        >>> t.branch
        'main'
        """
        current = CurrentBranch(self._session.reader.branch)
        current._make = self._make_branch
        return current

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

        A record that the class does not fit is read as a dict; compile() warns of it. Errors: ArgumentError.
        """
        with self._guard.reading:
            self._session.register_content_type(name, type, role=role, priority=priority, text=text)

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
        expected_head: ExpectedHead = ANY,
    ) -> CommitInfo:
        """Commits a content, and returns once it is in the history (with `durable`: once a power cut can't undo it).

        `content` is a content type, an instance of a registered type, a dict with `content_type`, or a provider's message
        as a dict; an object of an SDK (with `model_dump()`) is taken wherever a dict is.
        `generation_config` is any JSON object. `expected_head` (a hash; None: the branch is empty) makes it a
        compare-and-swap.
        Errors: ContentValidationError, JsonValueError, EditTargetError, HeadMoved, BudgetExceeded, LockTimeout,
        ReadOnlyError, TimeLimitReached; nothing is written then.

        >>> rule = t.commit(InstructionContent("Answer in one sentence."), message="the first rule")
        >>> rule.content_type, rule.message, rule.token_count
        ('instruction', 'the first rule', 11)
        """
        with self._guard.writing:
            self._session.store.require_writable()
            draft = self._session.writer.draft(
                content,
                operation=require_operation(operation, target),
                target=target,
                message=message,
                metadata=metadata,
                generation_config=generation_config,
            )
            return self._session.writer.write(draft, expected_head)

    def add(
        self,
        message: object,
        *,
        metadata: dict[str, Any] | None = None,
        generation_config: dict[str, Any] | None = None,
        expected_head: ExpectedHead = ANY,
    ) -> CommitInfo:
        """Commits the next message, in whatever form there is: a text (of the user), a provider's message as a dict or as an
        object of its SDK, a whole response (its first choice), or a content.

        Errors: as `commit`.

        >>> question = t.add("What is the capital of France?")
        >>> answer = t.add({"role": "assistant", "content": "Paris."}, generation_config={"model": "m-1"})
        >>> [message.role for message in t.compile().messages]
        ['user', 'assistant']
        """
        from tract_fs.transcripts.added import to_content

        content = to_content(message)
        return self.commit(content, metadata=metadata, generation_config=generation_config, expected_head=expected_head)

    def put_blob(self, data: bytes) -> str:
        """Stores bytes as an object of their own, and returns its hash: the name for a RecordContent, or for a message (`blob:<hash>`
        as the URL of an image, say).

        It is in the store at the return, with `durable` for good, inside a batch too; the same bytes are stored once, and
        have one hash. Errors: ArgumentError, ObjectTooLarge (over 48 MB), ReadOnlyError, LockTimeout.

        >>> picture = t.put_blob(b"the bytes of a picture")
        >>> t.get_blob(picture)
        b'the bytes of a picture'
        """
        with self._guard.changing:
            self._session.store.require_writable()
            return self._session.writer.put_blob(data)

    def edit(
        self,
        target: str,
        content: object,
        *,
        message: str | None = None,
        metadata: dict[str, Any] | None = None,
        generation_config: dict[str, Any] | None = None,
        expected_head: ExpectedHead = ANY,
    ) -> CommitInfo:
        """Commits a content that replaces the content of `target` from here on; an edit stands for the commit that it is
        about.

        A text alone replaces the text, and leaves all else as it is now, the config too unless one is given. Errors:
        EditTargetError, also if there is no text or there are several text blocks; HeadMoved, also if another writer
        edits `target` meanwhile; as `commit`.

        >>> question = t.add("What is the capitol of France?")
        >>> edit = t.edit(question.commit_hash, "What is the capital of France?")
        >>> [message.content for message in t.compile().messages]
        ['What is the capital of France?']
        """
        return self.commit(
            content,
            operation=CommitOperation.EDIT,
            target=target,
            message=message,
            metadata=metadata,
            generation_config=generation_config,
            expected_head=expected_head,
        )

    def annotate(
        self, target: str, priority: Priority | str, *, reason: str | None = None, expected_head: ExpectedHead = ANY
    ) -> PriorityAnnotation:
        """Sets the priority of a commit from here on; an annotation is an operation in the history and moves the head.

        Errors: CommitNotFoundError if `target` is not in this branch's history; AnnotateTargetError; HeadMoved,
        BudgetExceeded and more, as `commit`.

        >>> one, two = t.add("one"), t.add("two")
        >>> annotation = t.annotate(one.commit_hash, "skip", reason="said twice")
        >>> [message.content for message in t.compile().messages]
        ['two']
        """
        with self._guard.writing:
            self._session.store.require_writable()
            level = require_priority(priority)
            return self._session.writer.annotate(target, level, reason=reason, expected_head=expected_head)

    def describe(self, *, title: str | None = None, metadata: dict[str, Any] | None = None) -> None:
        """Sets the title of the tract, its metadata (any JSON object), or both; what is not given stays as it is.

        An empty title or object removes the one before. It is an event of the tract, not of a branch: the last one
        counts on every copy. Readers of earlier versions do not understand it, and show nothing that came after it.
        Errors: ArgumentError, JsonValueError, TractDeleted, LockTimeout, ReadOnlyError; nothing is written then.

        >>> t.describe(title="Capitals", metadata={"user": "ann"})
        >>> t.title, t.metadata
        ('Capitals', {'user': 'ann'})
        """
        with self._guard.writing:
            self._session.writer.describe(title=title, metadata=metadata)

    def annotate_all(
        self,
        targets: Iterable[str],
        priority: Priority | str,
        *,
        reason: str | None = None,
        expected_head: ExpectedHead = ANY,
    ) -> list[PriorityAnnotation]:
        """Sets the priority of several commits, all in one transaction; returns the annotations in the order of `targets`.

        Errors: as `annotate`; nothing is written then.
        """
        level = require_priority(priority)
        with self._guard.writing, self._session.writer.batch():
            return self._session.writer.annotate_all(targets, level, reason=reason, expected_head=expected_head)

    def pop(self, *, expected_head: ExpectedHead = ANY) -> CommitInfo | None:
        """Takes the last message away from this branch, and returns its commit; None if the context is empty.

        The branch is set back to before it, with its edits and annotations; where other commits follow, it is skipped.
        What a popped summary stood for shows again. Another writer comes before or after it, never between.
        Errors: HeadMoved, BranchNotFound; nothing is written then.

        >>> one, two = t.add("one"), t.add("two")
        >>> t.pop() == two
        True
        >>> [message.content for message in t.compile().messages]
        ['one']
        """
        with self._guard.changing:
            return self._branches.pop(self._session.contexts, expected_head)

    def clear(self, *, expected_head: ExpectedHead = ANY) -> str | None:
        """Empties the context: sets this branch to a new root without a message, and returns it; None if the branch has no
        commits.

        What it leaves behind stays in the tract; `undo` brings it back. Errors: HeadMoved, BranchNotFound; nothing is
        written then.

        >>> one = t.add("one")
        >>> root = t.clear()
        >>> t.compile().messages
        []
        """
        with self._guard.changing:
            return self._branches.clear(expected_head)

    def record_usage(self, usage: object, *, head_hash: str | None = None) -> CompiledContext:
        """Records the provider's token counts for the context compiled at the head, and returns that context with them.

        Accepts a TokenUsage, or what OpenAI or Anthropic returns as `usage`: a dict, or the SDK's object. Tokens of the
        prompt that a cache holds count too. Errors: UsageError; HeadMoved if `head_hash` is not the head.

        >>> question = t.add("What is the capital of France?")
        >>> context = t.record_usage({"prompt_tokens": 14, "completion_tokens": 3})
        >>> context.token_count, context.usage.completion_tokens
        (14, 3)
        """
        with self._guard.changing:
            self._session.writer.record_usage(usage, head_hash=head_hash)
            return self._session.contexts.compile(at_time=None, at_commit=None, options=CompileOptions())

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
        expected_head: ExpectedHead = ANY,
    ) -> CommitInfo:
        """Commits a content that stands for `commits`, or for all that the context shows from `first` to `last`, in the
        place of the first of them.

        `content` is what `commit` accepts, a text (it becomes a system message), or a callable that gets the messages
        and returns either; it is called with nothing locked, but inside a batch. With `keep_pinned`, pinned commits
        stay. A skip of the summary undoes it. Errors: SummarizeError, CommitNotFoundError; HeadMoved, also if what is
        to be summarized changed meanwhile; as `commit`.

        >>> one, two, three = t.add("one"), t.add("two"), t.add("three")
        >>> summary = t.summarize([one.commit_hash, two.commit_hash], "They counted to two.")
        >>> [message.content for message in t.compile().messages]
        ['They counted to two.', 'three']
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
        made = plan.make(content)
        with self._guard.writing:
            return self._summarizer.write(plan, made)

    def fit(
        self,
        max_tokens: int,
        *,
        policy: FitPolicy | None = None,
        message: str | None = None,
        expected_head: ExpectedHead = ANY,
    ) -> CompiledContext:
        """Commits the edits and skips that make the context fit in `max_tokens`, all in one transaction, and returns it;
        `warnings` names each. Nothing is committed if it fits already.

        Pinned messages, those of the system, summaries, tools and the last message (with its calls) stay. First the tool
        payloads before it, inputs and results, are shortened, the largest first, with a mark that names the commit (those of
        the last message only if it can't stay else); then the oldest messages are skipped, a call and its results together. A `policy`
        instead gets the messages that may go, as FitCandidates, and how many tokens are too many, and returns commits in
        the order in which to skip them, until the rest fits; it must not call this handle. An undo takes all of it back.
        Errors: ContextTooLarge, ArgumentError, and as `commit`; nothing is written then.
        """
        from tract_fs.model.fitting import Fit
        from tract_fs.work.fitting import fit_context

        with self._guard.writing, self._session.writer.batch():
            limit = Fit.require(max_tokens, policy)
            return fit_context(self._session, limit, message=message, expected_head=expected_head)

    def batch(self) -> AbstractContextManager[None]:
        """Makes all commits and annotations inside visible together, or none if anything is raised.

        It belongs to the function whose with block it is. What that calls is inside. Another thread, another task, or
        code that runs while a generator with the block is suspended, is outside: there, reads show what was written
        before; a write in another thread waits for the end of the batch, up to `lock_timeout_s`, and one in the same
        thread raises BatchOpen. Other writers of the store wait from the batch's first write on. A batch inside a batch
        joins it.
        Errors: BatchTooLarge at its end, nothing written.

        >>> with t.batch():
        ...     question = t.add("What is the capital of France?")
        ...     answer = t.add({"role": "assistant", "content": "Paris."})
        """
        return self._session.batch()

    def import_messages(
        self,
        messages: Sequence[object],
        *,
        format: str = "openai",
        generation_config: dict[str, Any] | None = None,
        expected_head: ExpectedHead = ANY,
    ) -> list[CommitInfo]:
        """Commits each message of a provider's list whole, all in one transaction; each with `generation_config`.

        A message is a dict, or an object of an SDK.
        Errors: ArgumentError for an unknown format; ContentValidationError naming the message; HeadMoved; nothing is
        written then.

        >>> chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hello."}]
        >>> [info.content_type for info in t.import_messages(chat)]
        ['message', 'message']
        """
        from tract_fs.transcripts import to_contents

        contents = to_contents(messages, format)
        with self._guard.writing, self._session.writer.batch():
            return self._session.writer.import_contents(contents, generation_config, expected_head)

    def import_stream(
        self,
        messages: Iterable[object],
        *,
        format: str = "openai",
        generation_config: dict[str, Any] | Callable[[int, dict[str, Any]], dict[str, Any] | None] | None = None,
        batch_size: int = 1000,
        progress: Callable[[int], object] | None = None,
    ) -> ImportReport:
        """Commits each message of an iterable of any length whole, in bounded memory and as many transactions of
        `batch_size` messages.

        It is not atomic as a whole: what was written when it ends with an error stands, and that is every message
        before the one at fault. A callable `generation_config` gets (position, message); `progress` gets the number of
        messages committed, once per some thousands.
        Errors: ArgumentError, ReadOnlyError; ImportInterrupted, which holds the position to go on from, with its cause.
        """
        from tract_fs.work.import_stream import MessageStream

        with self._guard.writing:
            self._session.require_outside_batch("import_stream")
            self._session.store.require_writable()
        stream = MessageStream(
            self._session, format=format, generation_config=generation_config, batch_size=batch_size, progress=progress
        )
        return stream.run(messages)

    def import_transcript(
        self,
        file: SessionFile,
        *,
        format: str | None = None,
        session_id: str | None = None,
        strict: bool = False,
    ) -> TranscriptReport:
        """Imports a session file of an agent into this branch, and returns what became of it; a session that has grown adds
        only what is new.

        `file` is a path, the bytes, or a stream that can seek; one that is compressed with zstd needs the extra `zst`.
        `session_id` chooses one of several sessions. Each message is a commit, and so is each other record, which no model
        sees; forks become branches; what changed in place, edits. What the session left when it went back stays as a branch. A
        file that is not clean is imported all the same, and the report's `flaws` name each line; `strict` refuses it. Each
        transaction stands once it is written.
        Errors: OSError of the file, TranscriptFormatUnknown, TranscriptFlawed, ArgumentError; as `commit`.
        """
        from tract_fs.capture.sessions import import_file

        with self._guard.writing:
            self._session.require_outside_batch("import_transcript")
            self._session.store.require_writable()
        return import_file(self._session, file, format=format, session_id=session_id, strict=strict)

    def export_transcript(
        self,
        *,
        format: str | None = None,
        session_id: str | None = None,
        cwd: str | None = None,
        title: str | None = None,
    ) -> SessionBytes:
        """Returns the session file that this tract was imported from: the same records in the same order, a record that
        was not clean with its exact bytes. With a `format`, returns a new session of it, of the context at the head, for the
        format's tool to go on with ("claude-code", "codex", "opencode"), or the body of a request to a provider as JSON
        ("anthropic", "openai-chat", "openai-responses"). `t.at(ref).export_transcript(…)` does it for any commit.

        Such a session has a new id (`session_id`: a UUID), the working directory of the imported one, the tract's title, and
        the time now; the file's `path` is where it belongs, below the tool's folder of sessions, and its `lost` lists what
        the format can't hold, with its count. Errors: ArgumentError if the tract was not imported from a session, or nothing
        resumes from files of the format.
        """
        from tract_fs.capture.resuming import export_session

        with self._guard.reading:
            return export_session(self._session, format=format, session_id=session_id, cwd=cwd, title=title)

    def merge(
        self,
        ref: str | None = None,
        *,
        prefer: str | tuple[str, ...] | None = None,
        resolutions: Mapping[str, Any] | None = None,
        message: str | None = None,
        allow_unrelated: bool = False,
        expected_head: ExpectedHead = ANY,
    ) -> MergeResult:
        """Brings another line into this branch: that of `ref` (a branch, a commit, `tract:branch`), or, without one,
        the branch's other heads.

        Goes forward where it can. `resolutions` settles conflicts by target: "ours", "theirs", a content, a priority,
        or a tuple of these; `prefer` the rest: "ours", "theirs" or "newer" (alike on every copy), and for a head that
        was set back beside one that contains it "reset" or "commits" (one of each: a tuple; "commits" by default where
        there is one of the first three). With one of these three a merge always ends. With `allow_unrelated`, heads with no
        commit in common are joined, too.
        Errors: MergeConflict, ResetConflict, UnrelatedHistories, MergeError; CommitNotFoundError, HeadMoved,
        BudgetExceeded and more, as
        `commit`; nothing is written then.

        >>> one = t.add("one")
        >>> with t.on("draft", create=True) as draft:
        ...     two = draft.add("two")
        >>> t.merge("draft").head == two.commit_hash
        True
        """
        from tract_fs.work.merge import MergeRequest, TractMerger

        with self._guard.writing:
            self._session.store.require_writable()
            request = MergeRequest.of(
                ref, prefer, resolutions, message, self._session.writer, allow_unrelated=allow_unrelated
            )
            return TractMerger(self._session).merge(request, expected_head)

    def cherry_pick(self, ref: str) -> CommitInfo:
        """Makes a commit of this tract again on this branch: the same content, config, message and metadata.

        Errors: CherryPickError for a merge, or where this history lacks what the commit is about; nothing is written
        then.
        """
        from tract_fs.work.cherry_pick import cherry_pick

        with self._guard.changing:
            return cherry_pick(self._session, ref)

    def revert(self, ref: str) -> CommitInfo:
        """Reverts a commit of this history by an annotation, and returns that: a skip, or for an annotation the
        priority before it.

        What an edit or a summary stood for shows again. Errors: RevertError for a merge; CommitNotFoundError; nothing
        is written then.

        >>> question = t.add("one")
        >>> edit = t.edit(question.commit_hash, "two")
        >>> annotation = t.revert(edit.commit_hash)
        >>> t.compile().messages[0].content
        'one'
        """
        from tract_fs.work.cherry_pick import revert

        with self._guard.changing:
            return revert(self._session, ref)

    # read

    def compile(
        self,
        *,
        at_time: datetime | None = None,
        at_commit: str | None = None,
        include_edit_annotations: bool = False,
        aggregate_same_role: bool = False,
        orphans: Orphans = "drop",
        max_tokens: int | None = None,
        policy: FitPolicy | None = None,
    ) -> CompiledContext:
        """Returns the messages to send next: the history of the head, or of a cut of it, replayed.

        `at_time`: what had been made by then (naive: UTC). `orphans`: what becomes of a tool call or result whose other
        half a skip, an edit or a cut removed: "drop", "raise" (OrphanedToolCall) or "keep". With `max_tokens`, as the
        tokenizer counts, the context is made to fit as `fit` describes, and nothing is committed; `warnings` names all that
        is shortened or left out. Cost: what was committed since the nearest cached head. Errors: OrphanedToolCall,
        ContextTooLarge, ArgumentError.

        >>> question = t.add("What is the capital of France?")
        >>> context = t.compile()
        >>> context.to_openai(), context.token_count
        ([{'role': 'user', 'content': 'What is the capital of France?'}], 15)
        """
        options = CompileOptions(include_edit_annotations, aggregate_same_role, orphans)
        with self._guard.reading:
            return self._session.contexts.compile(
                at_time=at_time, at_commit=at_commit, options=options, max_tokens=max_tokens, policy=policy
            )

    def get_commit(self, ref: str) -> CommitInfo | None:
        """Returns the commit that a ref names, as `resolve` does, or None if it names none in this tract.

        Errors: AmbiguousRefError.
        """
        with self._guard.reading:
            return self._session.reader.looking_again(lambda: self._session.reader.get(ref))

    def resolve(self, ref: str) -> str:
        """Returns the commit that a ref names: a full hash, a branch, a tag, `@` or `HEAD` (the head), or a unique
        prefix of 4 digits or more.

        Behind it may stand any number of `~n` (n first parents back) and `^n` (the nth parent), before it `tract:`, for
        a commit that was brought in from that tract. Every call that names a commit takes a ref; only `expected_head` and
        `head_hash` are full hashes, as they are compared. Errors: CommitNotFoundError, AmbiguousRefError.

        >>> one, two = t.add("one"), t.add("two")
        >>> t.resolve("main~1") == one.commit_hash
        True
        """
        with self._guard.reading:
            return self._session.reader.looking_again(lambda: self._session.reader.resolve(ref))

    def get_content(self, ref: str) -> Any:
        """Returns the typed content of a commit (fresh); a dict where its custom type is not registered.

        Errors: CommitNotFoundError if this tract has no such commit, or it has no content; AmbiguousRefError.

        >>> state = t.commit(RecordContent("checkpoint", {"step": 7}))
        >>> t.get_content(state.commit_hash).data
        {'step': 7}
        """
        with self._guard.reading:
            return self._session.reader.looking_again(
                lambda: self._session.reader.content(self._session.reader.resolve(ref))
            )

    def get_blob(self, hash: str) -> bytes:
        """Returns the bytes of a blob, verified.

        Errors: ObjectMissing, ContentRedacted, HashMismatch; InvalidObject if it is the hash of something else.
        """
        with self._guard.reading:
            return self._session.reader.blob(hash)

    def expand(self, ref: str) -> list[CommitInfo]:
        """Returns the commits that a summary stands for, in history order; a summary among them is not expanded.

        Errors: CommitNotFoundError, SummarizeError if the commit is no summary.
        """
        with self._guard.reading:
            return self._session.reader.looking_again(lambda: self._summarizer.expand(ref))

    def get_annotations(self, target: str) -> list[PriorityAnnotation]:
        """Returns the annotations of a commit in this branch's history, oldest first; a type's own priority other than
        normal comes first.

        Errors: CommitNotFoundError.
        """
        with self._guard.reading:
            return self._session.reader.looking_again(lambda: self._session.reader.annotations(target))

    def log(
        self,
        limit: int | None = 10,
        *,
        branch: str | None = None,
        operation: CommitOperation | str | None = None,
        content_type: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        tag: str | None = None,
        text: str | None = None,
        after: str | None = None,
    ) -> list[CommitInfo]:
        """Returns the newest commits of the head's history that match, newest first; a limit of None: all.

        `branch` or `tag` name another history. `after`, a ref: only what the history of that commit lacks. `since` and `until` are inclusive (naive: UTC). `text` is searched for
        in the text of the commit's message and in the commit message, whatever the case. Errors: ArgumentError for an
        invalid filter; BranchNotFound, TagNotFound; CommitNotFoundError, AmbiguousRefError of `after`.

        >>> one, two, three = t.add("one"), t.add("two"), t.add("three")
        >>> t.log(1) == [three]
        True
        >>> t.log(after=one.commit_hash) == [three, two]
        True
        """
        count = require_limit(limit)
        wanted = LogFilter.of(
            branch=branch,
            operation=operation,
            content_type=content_type,
            since=since,
            until=until,
            tag=tag,
            text=text,
            after=after,
        )
        with self._guard.reading:
            reader = self._session.reader
            return reader.looking_again(
                lambda: reader.whole_or_rebuilt(
                    lambda: list(map(reader.info, islice(wanted.iter_commits(reader), count)))
                )
            )

    def watch(self, *, after: str | None, timeout_s: float | None = None) -> list[CommitInfo]:
        """Waits until this branch has newer commits than `after` (a ref; None: the branch was empty), and returns them in
        history order; an empty list once `timeout_s` is over (None: no limit).

        `t.watch(after=t.head)` waits for the next one. A commit of another process is seen within a tenth of a second, one
        that a copying tool brings within a second or so; one on another head (`other_heads`) once it is merged. It polls:
        a look costs one stat while nothing changes. Other threads use the handle meanwhile.
        Errors: ArgumentError, also inside a batch; CommitNotFoundError, AmbiguousRefError.

        >>> one = t.add("one")
        >>> other = Tract.open(path).add("two")
        >>> t.watch(after=one.commit_hash, timeout_s=60) == [other]
        True
        """
        from tract_fs.work.watch import Watch

        return Watch(self._session, after, timeout_s).run()

    def reflog(self, limit: int | None = None) -> list[ReflogEntry]:
        """Returns the moves of this branch that this copy made, newest first; None: all. What a batch has staged is not
        among them.
        """
        from tract_fs.work.reflog import iter_reflog

        count = require_limit(limit)
        with self._guard.reading:
            return self._session.reader.looking_again(lambda: list(islice(iter_reflog(self._session.reader), count)))

    def query_by_config(self, field: str | tuple[str | int, ...], operator: str, value: Scalar) -> list[CommitInfo]:
        """Returns this tract's commits whose generation config matches, by creation time, then hash.

        `field` is a top-level key, or a tuple of keys and indexes. Operators: = != > < >= <=. JSON's own types: `1`
        equals `1.0`, a bool is no number, and a value of another type never matches. Errors: ArgumentError (a
        ValueError).

        >>> answer = t.add({"role": "assistant", "content": "Paris."}, generation_config={"temperature": 0.2})
        >>> t.query_by_config("temperature", "<", 0.5) == [answer]
        True
        """
        path, compare, scalar = require_field(field), require_operator(operator), require_scalar(value)
        with self._guard.reading:
            return self._session.reader.looking_again(lambda: self._session.reader.query(path, compare, scalar))

    def query(self, expression: Expression | str) -> list[CommitInfo]:
        """Returns this tract's commits, on whatever branch, that an expression or its text matches, by creation time, then hash.

        `field` compares a field of the generation config, `facet` what else is known of a commit. A comparison with an absent
        field is false, and `~` of it true. What can't be understood is never everything and never nothing, but an error. Cost:
        that of the matches where the index of configs narrows them; else a look at each commit. Errors: QueryError,
        ArgumentError; HistoryIncomplete.

        >>> answer = t.add({"role": "assistant", "content": "Paris."}, generation_config={"model": "m-1", "temperature": 0.2})
        >>> t.query((field("temperature") < 0.5) & (field("model") == "m-1")) == [answer]
        True
        >>> t.query('temperature < 0.5 and @branch = "main" and not @role = "user"') == [answer]
        True
        """
        from tract_fs.work.queries import query_tract, require_expression

        wanted = require_expression(expression)
        with self._guard.reading:
            return self._session.reader.looking_again(lambda: query_tract(self._session.reader, wanted))

    def aggregate(
        self,
        by: Field | str | Sequence[Field | str] | None = None,
        *,
        sum: Field | str | Sequence[Field | str] = (),
        where: Expression | str | None = None,
        prices: Prices | None = None,
    ) -> list[QueryGroup]:
        """Returns counts of this tract's commits, grouped by the values of some fields or facets, in the order of these; None: all in one.

        `sum` adds token counts for each group: `"tokens"` of the messages, `"usage"` as it was recorded, or one count of it, as
        `"usage.prompt_tokens"`. `where` is as for `query`. With `prices`, by model, `cost` is what the usage cost: for each model an
        object with what a million tokens cost, `prompt` and `completion`, maybe `cache_read` and `cache_write` (else that of the
        prompt). A commit of two branches counts for both. Errors: as `query`.

        >>> answer = t.add({"role": "assistant", "content": "Paris."}, generation_config={"model": "m-1"})
        >>> context = t.record_usage({"prompt_tokens": 14, "completion_tokens": 3})
        >>> (group,) = t.aggregate("model", sum="usage.total_tokens", where="model is set", prices={"m-1": {"prompt": 2, "completion": 8}})
        >>> group.key, group.count, group.sums, group.cost
        ({'model': 'm-1'}, 1, {'usage.total_tokens': 17}, 5.2e-05)
        """
        from tract_fs.model.query_groups import QueryGroups
        from tract_fs.work.queries import group_tract, optional_expression

        wanted, reader = optional_expression(where), self._session.reader
        with self._guard.reading:
            return reader.looking_again(lambda: group_tract(reader, wanted, QueryGroups(by, sum, prices)))

    def find(self, metadata: dict[str, Any]) -> list[CommitInfo]:
        """Returns this tract's commits whose metadata has all these fields, by creation time, then hash.

        A value that is an object may have more fields there. JSON's own types, as for `query_by_config`. Cost: reads all
        commits of the tract. Errors: ArgumentError, JsonValueError.

        >>> question = t.add("What is the capital of France?", metadata={"run": 7, "user": "ann"})
        >>> t.find({"run": 7}) == [question]
        True
        """
        wanted = require_object(metadata, "metadata")
        with self._guard.reading:
            return self._session.reader.find(wanted)

    def search(
        self,
        phrase: str,
        *,
        branch: str | None = None,
        content_type: str | None = None,
        role: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        shown: bool | None = None,
        limit: int | None = 20,
        where: Expression | str | None = None,
    ) -> list[SearchHit]:
        """Returns the commits of this tract, on any branch or on none, whose text contains a phrase; best first (BM25), the
        newest first among equals.

        The phrase is found as it stands, inside words too, whatever the case; no character of it has a meaning of its own.
        The text is that of the message, or all strings of a message of blocks. A text that was edited since is found at its
        commit; a redacted one is not found, nor what a batch has staged. `branch`: only its history; `where`: what
        else holds of it, as for `query`; `shown`: True only what the context shows now, that of `branch` if given, False
        only what it does not; `limit` None: all. Each hit is checked against its content. Cost: the first time some 20 µs
        for each commit, later for each new one; then a scan of the texts, for 70 MB 5 to 25 ms with the extra `search`, 15
        to 100 ms without. Errors: ArgumentError, QueryError, BranchNotFound.

        >>> question = t.add("What is the capital of France?")
        >>> (hit,) = t.search("CAPITAL")
        >>> hit.commit_hash == question.commit_hash, hit.snippet, hit.spans, hit.is_shown
        (True, 'What is the capital of France?', ((12, 19),), True)
        """
        from tract_fs.work.search import filter_of, search_tract

        wanted = filter_of(
            phrase, content_type=content_type, role=role, since=since, until=until, shown=shown, limit=limit
        )
        with self._guard.reading:
            return self._session.reader.looking_again(lambda: search_tract(self._session, wanted, branch, where))

    def usage(
        self, by: TractUsageKey = "commit", *, since: datetime | None = None, of: str | None = None
    ) -> dict[str, TokenUsage]:
        """Returns the sums, in tokens, of the usage that was recorded in this tract, by commit hash, by the `model` of the
        commit's generation config, or of the answer to it where that has none ("": none known), or by the branch whose history has the commit ("": none has it any more).

        Of each commit the usage that was recorded last counts, with `since` only if that was then or later (naive: UTC). A
        commit on two branches counts for both, so those sums may be more than the whole. What a fork repeats of the
        tract that it was made from counts there. `of`, a ref: that of this commit alone. Cost: reads an event for each; by
        model all commits, where one with usage has no model; by branch, the histories back to the oldest commit with
        usage. Errors: ArgumentError; CommitNotFoundError, AmbiguousRefError.
        """
        from tract_fs.work.usage import sum_usage

        with self._guard.reading:
            return self._session.reader.looking_again(lambda: sum_usage(self._session.reader, by, since, of))

    def diff(self, a: str | None = None, b: str | None = None) -> ContextDiff:
        """Returns what differs from the context of commit `a` to that of `b`: messages, texts, configs, tokens, and
        what a prompt cache loses.

        `b` is the head and `a` the first parent of b unless given. Each context is what compile() returns where that
        commit is the head.
        Errors: CommitNotFoundError, AmbiguousRefError, ArgumentError.

        >>> question = t.add("one")
        >>> edit = t.edit(question.commit_hash, "two")
        >>> [(entry.a.text, entry.b.text) for entry in t.diff(question.commit_hash).entries]
        [('one', 'two')]
        """
        from tract_fs.work.diff import diff

        with self._guard.reading:
            return self._session.reader.looking_again(lambda: diff(self._session, a, b))

    def explain(
        self,
        ref: str | None = None,
        *,
        at_time: datetime | None = None,
        at_commit: str | None = None,
        max_tokens: int | None = None,
    ) -> Explanation:
        """Returns why the context is what it is: for each commit of the history which message it makes, with the edits,
        priority, config and event behind it, or why it makes none.

        `messages` are those of `compile()`, in its order, `absent` all others; `describe()` of each gives sentences. With `ref`,
        that commit alone, also one that only other branches have. `at_time`, `at_commit` and `max_tokens` as for `compile`.
        Cost: reads the history and its events. Errors: as `compile`; CommitNotFoundError, AmbiguousRefError; ArgumentError with a
        custom compiler.

        >>> one, two = t.add("one"), t.add("two")
        >>> annotation = t.annotate(one.commit_hash, "skip", reason="said twice")
        >>> t.explain(one.commit_hash).absent[0].reason
        'skipped'
        """
        from tract_fs.work.explaining import explain

        with self._guard.reading:
            return self._session.reader.looking_again(
                lambda: explain(self._session, ref, at_time, at_commit, max_tokens)
            )

    def blame(self, ref: str | None = None) -> list[BlamedLine]:
        """Returns each line of the context of a commit (by default the head), with the commit that brought it: the message's
        own, or the first edit that has the line.

        A message that is more than a text has the lines of its indented JSON. Errors: as `explain`; HistoryIncomplete, as
        `compile`, if the context lacks a lost content.

        >>> question = t.add("one" + chr(10) + "two")
        >>> edit = t.edit(question.commit_hash, "one" + chr(10) + "three")
        >>> [line.commit_hash == edit.commit_hash for line in t.blame()]
        [False, True]
        """
        from tract_fs.work.explaining import blame

        with self._guard.reading:
            return self._session.reader.looking_again(lambda: blame(self._session, ref))

    def compare(self, a: str, b: str) -> AnswerComparison:
        """Returns two answers to one prompt side by side: what comes in each context, of commit `a` and of commit `b`, after
        the messages that both share; with the configs, tokens and recorded usage, and the `diff` of the two contexts.

        Errors: as `diff`.

        >>> question, answer = t.add("Capital?"), t.add({"role": "assistant", "content": "Paris."})
        >>> with t.retry(answer.commit_hash) as again:
        ...     other = again.add({"role": "assistant", "content": "It is Paris."})
        >>> t.compare("main", "main-retry-1").b.text
        'It is Paris.'
        """
        from tract_fs.work.diff import compare_answers

        with self._guard.reading:
            return self._session.reader.looking_again(lambda: compare_answers(self._session, a, b))

    def siblings(self, commit: str) -> list[Sibling]:
        """Returns all answers of this tract to the prompt of one, that one included, by creation time, each with the
        branches that have it (none: a reset left it behind).

        Answers to one prompt follow the same commit, edits and annotations aside. Cost: reads all commits of the tract. Errors:
        CommitNotFoundError, AmbiguousRefError; ArgumentError for a merge or summary.

        >>> question, answer = t.add("Capital?"), t.add({"role": "assistant", "content": "Paris."})
        >>> with t.retry(answer.commit_hash) as again:
        ...     other = again.add({"role": "assistant", "content": "It is Paris."})
        >>> [one.branches for one in t.siblings(answer.commit_hash)]
        [('main',), ('main-retry-1',)]
        """
        with self._guard.reading:
            return self._session.reader.looking_again(lambda: self._branches.siblings(commit))

    def view(self, path: str | os.PathLike[str], *, all_tracts: bool = False) -> PageInfo:
        """Writes one HTML file that shows this tract, or all tracts of the store: the commits with branches and merges, the
        context after any of them with what it leaves out and why, diffs, usage and a search.

        The file needs no network, runs no other script, and holds the texts of all commits that it shows, whatever branch
        they are on; long records are shortened, and data of blobs is left out. A page that is at `path` is replaced, any
        other file is not. Cost: reads the tract. Errors: ArgumentError; ObjectMissing and other damage of a commit, unless
        the handle was opened with `incomplete="use"`; OSError.

        >>> question = t.add("What is the capital of France?")
        >>> page = t.view("page.html")
        >>> page.tracts, page.commit_count
        (('default',), 1)
        """
        from tract_fs.page.file import write_page

        with self._guard.reading:
            return self._session.reader.looking_again(lambda: write_page(self._session, path, all_tracts=all_tracts))

    def status(self) -> Status:
        """Returns the state of the tract in this copy, damage included. Cost: reads the history, and lists the store."""
        from tract_fs.upkeep.status import status_of

        with self._guard.reading:
            return self._session.reader.looking_again(lambda: status_of(self._session))

    def incomplete(self) -> HistoryIncomplete | None:
        """Returns the error that `compile` and `commit` raise because a part of this branch is hidden, or None.

        `log`, `get_commit`, `resolve`, `get_content`, `diff`, `at` and `cherry_pick` reach every whole commit by its
        hash all the same; `log` lists what the head shows.
        """
        with self._guard.reading:
            return self._session.reader.incomplete()

    def other_heads(self) -> OtherHeads | None:
        """Returns the other heads of this branch, with how many commits the context leaves out because only these
        contain them; None if the branch has one head. `describe()` gives the sentence that `compile` warns with.
        """
        with self._guard.reading:
            return self._session.contexts.other_heads.get()

    def changed_configs(self) -> dict[str, str]:
        """Returns the commits with another generation config than this copy showed before, because an event with an
        earlier time arrived later; for each a sentence with both configs. `repair(accept=True)` empties it.
        """
        with self._guard.reading:
            return self._session.reader.overruled_configs()

    # branches and tags

    def switch(self, name: str, *, create: bool = False) -> None:
        """Makes this handle work on another branch; with `create` on a new one that starts at the head.

        Every thread and task that shares the handle works on that branch from then on: one that needs a branch of its own
        takes a handle of its own, `on(name)`. Other handles stay where they are. Nothing is written but a new branch.
        Errors: BranchNotFound, BranchExists, BatchOpen.

        >>> question = t.add("What is the capital of France?")
        >>> t.switch("draft", create=True)
        >>> t.branch
        'draft'
        """
        with self._guard.changing:
            self._branches.switch(name, create=create)

    def branches(self) -> dict[str, tuple[str, ...]]:
        """Returns all branches by name, each with its heads: the one that this copy works on first, then those of
        others.
        """
        with self._guard.reading:
            return self._branches.branches()

    def rename_branch(self, old: str, new: str) -> None:
        """Renames a branch; this handle goes with it. Errors: BranchNotFound, BranchExists, BranchDiverged, BatchOpen."""
        with self._guard.changing:
            self._branches.rename(old, new)

    def delete_branch(self, name: str, *, force: bool = False) -> None:
        """Deletes a branch; its commits stay in the tract. Needs `force` if it has several heads or is this handle's.

        A commit that another copy makes on it meanwhile is not lost: then the branch exists with that commit. Errors:
        BranchNotFound, BranchDiverged, BranchInUse, BatchOpen.
        """
        with self._guard.changing:
            self._branches.delete(name, force=force)

    def reset(self, ref: str, *, expected_head: ExpectedHead = ANY) -> str:
        """Sets the branch to any commit of this tract, and returns it; what it leaves behind stays in the tract.

        Errors: CommitNotFoundError, AmbiguousRefError, BranchNotFound, HeadMoved; nothing is written then.

        >>> one, two = t.add("one"), t.add("two")
        >>> head = t.reset("main~1")
        >>> [message.content for message in t.compile().messages]
        ['one']
        """
        with self._guard.changing:
            return self._branches.reset(ref, expected_head)

    def undo(self, *, expected_head: ExpectedHead = ANY, anyone: bool = False) -> str:
        """Sets the branch back to where it was before its last move, and returns that commit; each further undo goes
        one move further back.

        The last move must be this handle's; with `anyone`, any handle's of this copy. `reflog()[0].old_head` is where
        the branch was, and `reset` goes there again. A deleted branch is made again; of a branch that was made again
        after a delete, the commit that it had is returned.
        Errors: UndoError, HeadMoved, BatchOpen; nothing is written then.

        >>> one, two = t.add("one"), t.add("two")
        >>> t.undo() == one.commit_hash
        True
        """
        with self._guard.changing:
            return self._branches.undo(expected_head, anyone=anyone)

    def tag(self, name: str, ref: str | None = None, *, force: bool = False) -> str:
        """Names a commit (by default the head), and returns it. With `force`, a tag may be given to another commit.

        Errors: TagExists, CommitNotFoundError, ArgumentError if git refuses such a name; nothing is written then.

        >>> question = t.add("What is the capital of France?")
        >>> head = t.tag("v1")
        >>> t.resolve("v1") == question.commit_hash
        True
        """
        with self._guard.changing:
            return self._branches.tag(name, ref, force=force)

    def untag(self, name: str) -> None:
        """Removes a tag. Errors: TagNotFound."""
        with self._guard.changing:
            self._branches.untag(name)

    def tags(self) -> dict[str, str]:
        """Returns all tags with the commits that they name, by name."""
        with self._guard.reading:
            return self._branches.tags()

    # other handles

    def at(self, ref: str) -> Self:
        """Returns a read-only handle whose head is this commit for ever; close it like any other. Errors:
        CommitNotFoundError, BatchOpen.
        """
        with self._guard.reading:
            return type(self)(self._session.open_at(ref))

    def on(self, branch: str, *, create: bool = False) -> Self:
        """Returns a handle of its own on another branch of this tract, with the same options; close it like any other.

        With `create`, the branch is a new one that starts at the head. This handle stays where it is. Errors:
        BranchNotFound, BranchExists, ReadOnlyError of a handle made by `at`, BatchOpen.

        >>> one = t.add("one")
        >>> with t.on("draft", create=True) as draft:
        ...     two = draft.add("two")
        >>> len(t.compile().messages), len(t.compile(at_commit="draft").messages)
        (1, 2)
        """
        with self._guard.changing:
            name = self._branches.require_for_handle(branch, create=create)
            return type(self)(self._session.open_beside(tract_id=self.tract_id, branch=name))

    def retry(self, commit: str, *, generation_config: dict[str, Any] | None = None, branch: str | None = None) -> Self:
        """Makes a branch that starts before an answer, so that the agent answers again, and returns a handle of its own on it.

        The branch is named `branch`, or after this handle's: `main-retry-1`, and so on. Answers (messages of the assistant)
        that are committed through the handle without a config get `generation_config`. This handle stays where it is;
        `siblings` lists the answers, `compare` compares two.
        Errors: CommitNotFoundError, BranchExists; ArgumentError if the commit is no answer, or nothing comes before it;
        ReadOnlyError, BatchOpen; nothing is written then.

        >>> question, answer = t.add("Capital?"), t.add({"role": "assistant", "content": "Paris."})
        >>> with t.retry(answer.commit_hash, generation_config={"temperature": 0.2}) as again:
        ...     again.add({"role": "assistant", "content": "It is Paris."}).generation_config
        {'temperature': 0.2}
        """
        config = optional_object(generation_config, "generation_config")
        with self._guard.changing:
            name = self._branches.retry(commit, branch)
            session = self._session.open_beside(tract_id=self.tract_id, branch=name)
            session.writer.answer_config = config
            return type(self)(session)

    def fork(self, tract_id: str, *, branch: str = "main") -> Self:
        """Makes a tract that starts at the head, with objects and configs shared, and returns an open handle of it with
        the same options.

        Errors: TractExists, CommitNotFoundError if there are no commits, BatchOpen; nothing is written then.

        >>> one = t.add("one")
        >>> with t.fork("helper") as helper:
        ...     two = helper.add("two")
        >>> Tract.tracts(path)
        ['default', 'helper']
        """
        with self._guard.changing:
            self._branches.fork(tract_id, branch)
            return type(self)(self._session.open_beside(tract_id=tract_id, branch=branch))

    # upkeep

    def repair(
        self, *, adopt: bool = False, verify: bool = True, give_up: Iterable[str] = (), accept: bool = False
    ) -> RepairReport:
        """Checks every file of the store by its hash, quarantines or mends damaged ones, puts unknown files in their
        place, and rebuilds all caches.

        With `adopt`, pending commits of this tract whose parents' events are gone for good come back as second heads,
        wherever their whole history is here. `verify=False` checks no files but those that were found damaged before.
        Nothing is deleted but caches. The report's `lost` lists the files that could not be found, and the commits that
        depend on each. `give_up`, hashes of lost files or 4 digits and more of them, makes the gaps permanent in all
        copies, until a file is back: a lost content is then like a redacted one. With `accept`, this copy no longer misses
        events that it had, that are gone, and that nothing builds on, until their files are back; and no longer warns of
        generation configs that changed.
        Cost: reads the store. Errors: ReadOnlyError, LockTimeout; ArgumentError inside a batch, and for a hash that is
        not lost.
        """
        from tract_fs.upkeep.repair import Repair

        with self._guard.repairing:
            return Repair(self._session).run(adopt=adopt, verify=verify, give_up=give_up, accept=accept)

    def pack(
        self,
        *,
        older_than: timedelta | datetime | None = None,
        keep_loose: timedelta = timedelta(hours=1),
        max_size: int | None = None,
        with_others: bool = False,
    ) -> PackReport:
        """Packs the loose files and small packs of the whole store, all its tracts, into packs of at most `max_size` bytes: 256 MiB, or 45 MB in
        a git work tree. Those of 32 MiB and more stay.

        What is in packs is removed elsewhere by a later run, once the packs have been in place for `keep_loose`, so that a copy that is being
        made is whole; with `timedelta(0)` at once. Where git tracks the store, it must track the packs too, and this copy packs and removes only
        what it alone wrote; with `with_others` all, for a store that no other clone packs. `waiting` of the report says what stays, and why.
        With `older_than` only files that were last changed so long ago, or before then. Others may read and write
        meanwhile, and it may be broken off anywhere and run again. Errors: ArgumentError, ReadOnlyError, LockTimeout;
        HashMismatch if the disk returns other bytes; OSError.
        """
        from tract_fs.upkeep.pack import pack_store, require_options

        options = require_options(
            older_than=older_than, keep_loose=keep_loose, max_size=max_size, with_others=with_others
        )
        with self._guard.changing:
            self._session.require_outside_batch("pack")
            self._session.store.flush()
            beside = self._session.store.beside(writer=self._session.store.writer, read_only=False)
        return pack_store(beside, options, then=self._session.list_packed)

    # copies

    def sync(
        self,
        path: StorePath,
        *,
        verify: bool = False,
        durable: bool = True,
        allow_unrelated: bool = False,
        progress: Callable[[int, int, str], object] | None = None,
    ) -> SyncReport:
        """Brings this store and the one in the directory `path` to the same files, both ways; local/ is not copied. The
        directory must be there; a store is made in it if need be.

        It may be broken off anywhere and run again; what is there then is a whole beginning. `verify` hashes every file
        of both; `progress(done, total, path)` is called for each file. With `allow_unrelated`, a tract that has nothing
        in common with that of the same name there is mixed with it for good.
        Errors: ArgumentError, StoreNotFound, NotAStore, UnsupportedFormat, ReadOnlyError, UnrelatedHistories, nothing
        copied then; OSError.

        >>> one = t.add("one")
        >>> report = t.sync("backup")
        >>> Tract.open("backup").compile().messages[0].content
        'one'
        """
        from tract_fs.copies.sync import sync_stores

        with self._guard.changing:
            self._session.require_outside_batch("sync")
            store = self._session.store
            store.require_writable()
        return sync_stores(
            store,
            path,
            holding=self._guard.changing,
            verify=verify,
            durable=durable,
            allow_unrelated=allow_unrelated,
            progress=progress,
        )

    def bundle(self, path: str | os.PathLike[str], *, since: str | None = None, force: bool = False) -> BundleInfo:
        """Writes this tract, with what it builds on, into one file; with `since`, a ref, only what that commit's events
        did not have.

        Errors: BundleExists (unless `force`), CommitNotFoundError, AmbiguousRefError; OSError.
        """
        from tract_fs.copies.bundle import create_bundle

        with self._guard.changing:
            self._session.require_outside_batch("bundle")
            self._session.reader.log.list_events(is_forced=True)
            return create_bundle(self._session.reader, path, since=since, force=force)

    def apply_bundle(self, path: str | os.PathLike[str], *, allow_unrelated: bool = False) -> BundleApplied:
        """Brings the events and objects of a bundle, of whatever tracts, into the store, after all of it was checked:
        all of it or, whatever breaks it off, none that shows.

        `allow_unrelated` as for `sync`. Errors: BundleDamaged, UnsupportedFormat, ReadOnlyError, UnrelatedHistories,
        nothing written then; OSError.
        """
        from tract_fs.copies.bundle import apply_bundle

        with self._guard.changing:
            self._session.require_outside_batch("apply_bundle")
            return apply_bundle(self._session.store, path, allow_unrelated=allow_unrelated)

    # parts that few calls need

    @property
    def _branches(self) -> TractBranches:
        from tract_fs.work.branches import TractBranches

        return TractBranches(self._session)

    @property
    def _summarizer(self) -> TractSummarizer:
        from tract_fs.work.summaries import TractSummarizer

        return TractSummarizer(self._session)

    def _make_branch(self, name: str, at: str | None) -> str:
        with self._guard.changing:
            return self._branches.branch(name, at)
