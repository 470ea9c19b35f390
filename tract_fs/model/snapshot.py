"""Snapshots: the compiled form of one head, immutable and shared between answers.

Texts are shared; whatever holds a dict or list is canonical JSON text, decoded for each answer. A snapshot is a prefix
of lists that only grow: one more message costs one append, and the older snapshot stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from tract_fs.model import canonical
from tract_fs.model.messages import Message, Rendering
from tract_fs.model.shapes import Shape
from tract_fs.model.tokens import PER_REPLY
from tract_fs.model.usage import TokenUsage

if TYPE_CHECKING:
    from tract_fs.model.fitting import FitPlan


class CompileSnapshot:
    """The result of a compile in its cached form: parallel entries per effective commit."""

    __slots__ = (
        "_commits",
        "_configs",
        "_counts",
        "_messages",
        "_tokens",
        "_warn",
        "commit_count",
        "has_blobs",
        "source",
        "tools_rendering",
    )

    def __init__(
        self,
        messages: list[Message],
        configs: list[str | None],
        commits: list[str],
        counts: list[int],
        *,
        tokens: int,
        source: str,
        warn: Callable[[], list[str]],
        tools: Rendering | None = None,
        has_blobs: bool = False,
    ) -> None:
        self._messages = messages
        self._configs = configs
        self._commits = commits
        self._counts = counts  # the tokens of each message
        self._tokens = tokens
        self._warn = warn
        self.commit_count = len(commits)
        self.source = source
        self.tools_rendering = tools
        self.has_blobs = has_blobs  # messages name blobs in place of data

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages; they are immutable."""
        return tuple(self._messages[: self.commit_count])

    @property
    def generation_configs(self) -> tuple[dict[str, Any], ...]:
        """The config of each message, {} where there is none (fresh)."""
        return tuple(_decode_config(text) for text in self._configs[: self.commit_count])

    @property
    def commit_hashes(self) -> tuple[str, ...]:
        """The commit of each message."""
        return tuple(self._commits[: self.commit_count])

    @property
    def token_counts(self) -> tuple[int, ...]:
        """The tokens of each message."""
        return tuple(self._counts[: self.commit_count])

    @property
    def tools(self) -> list[Any]:
        """The definitions of the tools (fresh): those of the last ToolsContent; empty if there is none."""
        return _decode_tools(self.tools_rendering)

    @property
    def token_count(self) -> int:
        """The tokens of the messages and of the reply's start, 0 if there are no messages, and those of the tools."""
        tools = 0 if self.tools_rendering is None else self.tools_rendering.tokens
        return tools + (self._tokens + PER_REPLY if self.commit_count else 0)

    @property
    def token_source(self) -> str:
        """The name of the counter that counted, with that of the media's counter where these are among the messages."""
        return self.source

    @property
    def warnings(self) -> list[str]:
        """Warnings about the messages, in sentences (fresh)."""
        return self._warn()

    def extended(
        self, message: Message, config: str | None, rendering: Rendering, *, source: str, warn: Callable[[], list[str]]
    ) -> CompileSnapshot:
        """Returns the snapshot with one more message; copies the lists only if another snapshot has extended them."""
        count = self.commit_count
        messages, configs, commits, counts = self._messages, self._configs, self._commits, self._counts
        if len(messages) != count:
            messages, configs = messages[:count], configs[:count]
            commits, counts = commits[:count], counts[:count]
        messages.append(message)
        configs.append(config)
        commits.append(message.commit_hashes[0])
        counts.append(rendering.tokens)
        return CompileSnapshot(
            messages,
            configs,
            commits,
            counts,
            tokens=self._tokens + rendering.tokens,
            source=source,
            warn=warn,
            tools=self.tools_rendering,
            has_blobs=self.has_blobs or rendering.has_blobs,
        )

    def fitted(self, plan: FitPlan) -> CompileSnapshot:
        """Returns the snapshot without the messages that a fit leaves out, and with those that it shortens so."""
        kept = [n for n in range(self.commit_count) if n not in plan.left_out]
        made = {n: rendering for n, (_, rendering) in plan.shortened.items()}
        messages = [
            Message.from_rendering(made[n], self._messages[n].commit_hashes) if n in made else self._messages[n]
            for n in kept
        ]
        counts = [made[n].tokens if n in made else self._counts[n] for n in kept]
        return CompileSnapshot(
            messages,
            [self._configs[n] for n in kept],
            [self._commits[n] for n in kept],
            counts,
            tokens=sum(counts),
            source=self.source,
            warn=self._warn,
            tools=self.tools_rendering,
            has_blobs=self.has_blobs,
        )

    def list_messages(self) -> list[Message]:
        """Returns the messages as a list of the caller's own."""
        return self._messages[: self.commit_count]

    def list_commits(self) -> list[str]:
        """Returns the commit of each message as a list of the caller's own."""
        return self._commits[: self.commit_count]

    def to_context(
        self,
        head: str | None,
        *,
        usage: TokenUsage | None = None,
        notes: Sequence[str] = (),
        messages: list[Message] | None = None,
    ) -> CompiledContext:
        """Returns the result for a caller: the context of `head`, with the tokens that the provider reported for it.

        `messages`: those with the data of blobs in them, where there are any.
        """
        context = CompiledContext.from_snapshot(self, head, usage, tuple(notes))
        context._messages = messages
        return context

    def __reduce__(self) -> tuple[object, ...]:
        count = self.commit_count
        lists = self._messages[:count], self._configs[:count], self._commits[:count], self._counts[:count]
        beside = self.tools_rendering, self.has_blobs
        return _restored, (lists, self._tokens, self.source, tuple(self.warnings), beside)


class CompiledContext:
    """The result of a compile; its lists are the caller's own, made on first access.

    `messages`, `generation_configs` and `commit_hashes` run parallel, one entry per effective commit (with
    `aggregate_same_role`, `messages` is shorter, and each message has its `commit_hashes`). `head` is the last commit of
    the history that was compiled, None if it is empty; two contexts that differ in nothing else are equal. `usage` is
    what the provider reported for this head, if `token_count` is its count.
    """

    __slots__ = (
        "_commits",
        "_configs",
        "_messages",
        "_snapshot",
        "_token_counts",
        "_tools",
        "_warnings",
        "commit_count",
        "head",
        "token_count",
        "token_source",
        "usage",
    )

    def __init__(
        self,
        messages: list[Message],
        generation_configs: list[dict[str, Any]],
        commit_hashes: list[str],
        token_count: int,
        token_source: str,
        warnings: list[str] | None = None,
        *,
        token_counts: Sequence[int] = (),
        head: str | None = None,
        tools: list[Any] | None = None,
    ) -> None:
        self._snapshot: CompileSnapshot | None = None
        self._messages: list[Message] | None = messages
        self._configs: list[dict[str, Any]] | None = generation_configs
        self._commits: list[str] | None = commit_hashes
        self._warnings: list[str] | tuple[str, ...] = warnings or []
        self._tools: list[Any] | None = tools or []
        self.token_count = token_count
        self.token_source = token_source
        self.commit_count = len(commit_hashes)
        self._token_counts = tuple(token_counts)
        self.head = head
        self.usage: TokenUsage | None = None

    @classmethod
    def from_snapshot(
        cls, snapshot: CompileSnapshot, head: str | None, usage: TokenUsage | None, notes: tuple[str, ...]
    ) -> CompiledContext:
        """Returns a result that shares with `snapshot` what is immutable."""
        context = cls.__new__(cls)
        context._snapshot = snapshot
        context._messages = context._configs = context._commits = context._tools = None
        context._token_counts = ()
        context._warnings = notes
        context.token_count = snapshot.token_count if usage is None else usage.prompt_tokens
        context.token_source = (
            snapshot.source if usage is None else f"api:{usage.prompt_tokens}+{usage.completion_tokens}"
        )
        context.commit_count = snapshot.commit_count
        context.head = head
        context.usage = usage
        return context

    @property
    def messages(self) -> list[Message]:
        """The messages, in order."""
        if self._messages is None:
            assert self._snapshot is not None
            self._messages = self._snapshot.list_messages()
        return self._messages

    @property
    def generation_configs(self) -> list[dict[str, Any]]:
        """The generation config of each effective commit, {} where there is none."""
        if self._configs is None:
            assert self._snapshot is not None
            self._configs = list(self._snapshot.generation_configs)
        return self._configs

    @property
    def commit_hashes(self) -> list[str]:
        """The hash of each effective commit."""
        if self._commits is None:
            assert self._snapshot is not None
            self._commits = self._snapshot.list_commits()
        return self._commits

    @property
    def token_counts(self) -> tuple[int, ...]:
        """The tokens of each message, as the tokenizer counts; empty where a custom compiler gave none."""
        return self._token_counts if self._snapshot is None else self._snapshot.token_counts

    @property
    def tools(self) -> list[Any]:
        """The definitions of the tools to send beside the messages: those of the last ToolsContent; empty if there is none."""
        if self._tools is None:
            assert self._snapshot is not None
            self._tools = self._snapshot.tools
        return self._tools

    @property
    def warnings(self) -> list[str]:
        """Warnings about the messages, in sentences."""
        if isinstance(self._warnings, tuple):
            of_snapshot = [] if self._snapshot is None else self._snapshot.warnings
            self._warnings = [*of_snapshot, *self._warnings]
        return self._warnings

    def add_warning(self, sentence: str) -> None:
        """Adds a warning, unless it is there already."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)

    def to_openai(self, *, as_committed: bool = False) -> list[dict[str, Any]]:
        """Returns the messages as OpenAI's chat completions take them (fresh); neighbouring tool calls share a message.

        What lies between a tool call and its results goes behind the results, an empty message or text block is left
        out, and blocks of Anthropic and of OpenAI's responses are converted, unless `as_committed` is set: the provider
        refuses them. `messages` and `warnings` show what was committed. A model's thinking is left out, and `warnings`
        names it from then on. Errors: ExportError if a block can't be converted.
        """
        from tract_fs.model.providers.export import as_committed as unchanged
        from tract_fs.model.providers.export import export

        exported = (
            unchanged(self.messages) if as_committed else export(self.messages, "openai", self.add_warning).messages
        )
        return [message for message, _ in exported]

    def to_openai_responses(self) -> list[dict[str, Any]]:
        """Returns the messages as items of OpenAI's responses: `input` of a request (fresh).

        Items that came from there go back as they came. Errors: ExportError; what is left out is in `warnings`.
        """
        from tract_fs.model.providers.export import export

        return [message for message, _ in export(self.messages, "openai-responses", self.add_warning).messages]

    def to_anthropic(self) -> dict[str, Any]:
        """Returns {"system": […], "messages": […]} as Anthropic's messages take them (fresh), to pass on by `**`.

        `system` has the text blocks of the system messages that come first, and is not there without any; later ones
        stay in their places. Neighbours of one role are one message, results of tools first. Errors: ExportError; what is
        left out is in `warnings`.
        """
        from tract_fs.model.providers.export import export

        document = export(self.messages, "anthropic", self.add_warning)
        system = {"system": document.system} if document.system else {}
        return {**system, "messages": [message for message, _ in document.messages]}

    def to_gemini(self) -> dict[str, Any]:
        """Returns {"system_instruction": {…}, "contents": […]} as Gemini takes them (fresh).

        `system_instruction` has all system messages, and is not there without any. Data and signatures are base64 texts,
        as the REST API takes them: with the SDK, read a content by `types.Content.model_validate_json`. Errors:
        ExportError; what is left out is in `warnings`.
        """
        from tract_fs.model.providers.export import export

        document = export(self.messages, "gemini", self.add_warning)
        system = {"system_instruction": {"parts": document.system}} if document.system else {}
        return {**system, "contents": [message for message, _ in document.messages]}

    def to_text(self) -> str:
        """Returns the messages as one text: each with its role before it, a blank line between, tool calls and results in
        brackets; media are named, and thinking is left out.
        """
        from tract_fs.model.providers.export import to_text

        return to_text(self.messages, self.add_warning)

    def request(self, provider: Shape, *, cache: bool | str = False) -> dict[str, Any]:
        """Returns the arguments of a whole request to "anthropic", "openai" (chat completions), "openai-responses" or
        "gemini" (fresh): messages, the system's, tools, and the generation config that applies, in that provider's names.

        The config is that of the last message that has one. What has no equivalent there is left out, and `warnings`
        names it from then on. Pass it on by `**`, as to `client.messages.create`; for Gemini it is `model`, `contents` (as
        `to_gemini`) and `config`. With `cache`, or a lifetime (Anthropic: "5m", "1h"; OpenAI: "30m", its responses also "12h"), it has at most
        4 cache breakpoints: at the end of the system's messages (without any, of the tools), at the end of all, and at the
        last two of the blocks number 16, 32, 48 and so on, so that they stay in their places as the conversation grows.
        For OpenAI, which sets the one at the end by itself, also `prompt_cache_key`, the start of the first commit's hash.
        Errors: ArgumentError, ExportError.
        """
        from tract_fs.model.providers.request import request_of

        config: dict[str, Any] = next((config for config in reversed(self.generation_configs) if config), {})
        return request_of(self.messages, provider, tools=self.tools, config=config, cache=cache, warn=self.add_warning)

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields as JSON values (fresh); `messages` as they were committed."""
        return {
            "head": self.head,
            "messages": [message.to_dict() for message in self.messages],
            "generation_configs": [dict(config) for config in self.generation_configs],
            "commit_hashes": list(self.commit_hashes),
            "tools": canonical.copy(self.tools),
            "token_counts": list(self.token_counts),
            "token_count": self.token_count,
            "token_source": self.token_source,
            "usage": None if self.usage is None else msgspec.structs.asdict(self.usage),
            "warnings": list(self.warnings),
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CompiledContext):
            return NotImplemented
        return self._fields() == other._fields()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"CompiledContext({self.commit_count} commits, {self.token_count} tokens by {self.token_source})"

    def _fields(self) -> tuple[object, ...]:
        lists = self.messages, self.generation_configs, self.commit_hashes, self.warnings, self.tools
        return (*lists, self.token_count, self.token_source, self.commit_count)


def _restored(
    lists: tuple[Any, Any, Any, Any],
    tokens: int,
    source: str,
    warnings: tuple[str, ...],
    beside: tuple[Rendering | None, bool],
) -> CompileSnapshot:
    """Returns a snapshot that was pickled or copied."""
    tools, has_blobs = beside
    warn: Callable[[], list[str]] = partial(list, warnings)
    return CompileSnapshot(*lists, tokens=tokens, source=source, warn=warn, tools=tools, has_blobs=has_blobs)


def _decode_config(text: str | None) -> dict[str, Any]:
    return {} if text is None else canonical.decode(text.encode())


def _decode_tools(rendering: Rendering | None) -> list[Any]:
    if rendering is None or rendering.body is None:
        return []
    tools: list[Any] = canonical.decode(rendering.body.encode())["tools"]
    return tools
