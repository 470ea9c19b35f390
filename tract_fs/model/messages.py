"""Messages: what a compile emits, one per effective commit, immutable and shared between answers.

Whatever holds a dict or a list is kept as canonical JSON text and decoded at each access, so nothing that a caller
does to a returned value reaches the store, a cache or a later answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from tract_fs.model import canonical
from tract_fs.model.blobs import iter_references, put_data
from tract_fs.model.content import (
    SILENT_TYPES,
    ArtifactContent,
    ContentTypes,
    DialogueContent,
    FreeformContent,
    InstructionContent,
    MessageContent,
    Priority,
    RecordContent,
    ShownAs,
    ToolIOContent,
    ToolsContent,
    default_text,
)
from tract_fs.model.shapes import tool_ids
from tract_fs.model.tokens import (
    PER_MESSAGE,
    TokenCounter,
    count_json_message,
    count_message,
    iter_strings,
    recorded_tokens,
)

_FIRST_CHARACTERS = 60


class Rendering(Struct, frozen=True, array_like=True, gc=False):
    """The message that a commit's content renders to, with its token count: the unit that snapshots store."""

    role: str
    text: str | None
    name: str | None
    content_type: str
    body: str | None  # canonical JSON of a provider message, or of a tool call or result
    tokens: int
    calls: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    priority: Priority | None = None  # that the content carries; None: that of its type here
    has_media: bool = False  # `tokens` counts media by a rule of their own
    has_blobs: bool = False  # the body names blobs in place of data

    @property
    def is_message(self) -> bool:
        """Whether it is a message, and no record or list of tools."""
        return self.text is not None or self.content_type not in SILENT_TYPES


class Message:
    """One message of a compiled context.

    `content` is a string, None, or a provider's list of blocks. Immutable: lists and dicts are decoded at each access.
    """

    __slots__ = ("_body", "_commits", "_content_type", "_name", "_role", "_text")

    def __init__(self, role: str, content: str | None = None, name: str | None = None) -> None:
        self._role = role
        self._text = content
        self._name = name
        self._content_type = ""
        self._body: str | None = None
        self._commits: tuple[str, ...] = ()

    @classmethod
    def from_rendering(cls, rendering: Rendering, commits: tuple[str, ...]) -> Message:
        """Returns the message of a rendering, made by `commits`."""
        message = cls(rendering.role, rendering.text, rendering.name)
        message._content_type = rendering.content_type
        message._body = rendering.body
        message._commits = commits
        return message

    def with_fields(self, fields: dict[str, Any]) -> Message:
        """Returns this provider message with other fields, by the same commits."""
        message = Message(self._role, self._text, self._name)
        message._content_type, message._commits = self._content_type, self._commits
        message._body = canonical.encode_checked(fields).decode()
        return message

    @property
    def role(self) -> str:
        """The role: system, user, assistant, tool, or any other that a provider's message has."""
        return self._role

    @property
    def name(self) -> str | None:
        """The speaker's or tool's name."""
        return self._name

    @property
    def content(self) -> Any:
        """The text, None, or a provider's list of blocks (fresh)."""
        if self._text is not None or self._content_type != "message":
            return self._text
        return self._decoded().get("content")

    @property
    def tool_calls(self) -> list[Any] | None:
        """The tool calls of a provider message (fresh), or None."""
        calls = self._decoded().get("tool_calls") if self._content_type == "message" else None
        return calls if isinstance(calls, list) else None

    @property
    def tool_call_id(self) -> str | None:
        """The id of the call that this message answers, or None."""
        if self._body is None:
            return None
        body = self._decoded()
        call_id = body.get("tool_call_id" if self._content_type == "message" else "call_id")
        return call_id if isinstance(call_id, str) else None

    @property
    def commit_hashes(self) -> tuple[str, ...]:
        """The commits that this message came from; more than one where neighbours were joined."""
        return self._commits

    @property
    def canonical_json(self) -> str:
        """The message as canonical JSON; messages for which it is equal are the same to every provider."""
        return self._body if self._body is not None else canonical.encode(self.to_dict(), name="message").decode()

    def to_dict(self) -> dict[str, Any]:
        """Returns the provider message whole, or role, content and name (fresh)."""
        if self._content_type == "message":
            return self._decoded()
        result: dict[str, Any] = {"role": self._role, "content": self._text}
        if self._name is not None:
            result["name"] = self._name
        return result

    def to_openai(self) -> dict[str, Any]:
        """Returns the message as OpenAI's chat completions take it (fresh).

        A provider message is returned unchanged; `CompiledContext.to_openai()` converts its blocks. A tool call or result with a `call_id` becomes a structured one; one
        without becomes a text of the assistant or the user, since the provider accepts no call without an id.
        """
        if self._content_type != "tool_io":
            return self.to_dict()
        io = ToolIOContent(**self._decoded())
        if io.call_id is None:
            return {"role": "assistant" if io.direction == "call" else "user", "content": self._text}
        payload = io.payload if isinstance(io.payload, str) else canonical.encode_checked(io.payload).decode()
        if io.direction == "result":
            return {"role": "tool", "tool_call_id": io.call_id, "content": payload}
        call = {"id": io.call_id, "type": "function", "function": {"name": io.tool_name, "arguments": payload}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}

    def fields(self) -> dict[str, Any]:
        """Returns the provider message, or the fields of the tool call or result (fresh); of any other, role and content."""
        return self._decoded() if self._body is not None else self.to_dict()

    @property
    def has_blobs(self) -> bool:
        """Whether it names blobs in place of data. Cost: a decoding, for a list of blocks that may."""
        if self._text is not None or self._body is None or '"blob' not in self._body:
            return False
        return any(True for _ in iter_references(self._decoded()))

    @property
    def is_tool_io(self) -> bool:
        """Whether the message renders one tool call or result, not a provider message."""
        return self._content_type == "tool_io"

    def _decoded(self) -> dict[str, Any]:
        return canonical.decode(self._body.encode()) if self._body is not None else {}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        if self._content_type == "message" or other._content_type == "message":
            return self.to_dict() == other.to_dict()
        return (self._role, self._text, self._name) == (other._role, other._text, other._name)

    def __hash__(self) -> int:
        return hash((self._role, self._name))

    def __repr__(self) -> str:
        extra = "" if self._name is None else f", name={self._name!r}"
        return f"Message(role={self._role!r}, content={self.content!r}{extra})"


def render(
    content: object,
    content_type: str,
    types: ContentTypes,
    counter: TokenCounter,
    *,
    recorded: Mapping[str, int] | None = None,
    shown: ShownAs | None = None,
    read_blob: Callable[[str], str | None] = lambda _: None,
) -> Rendering:
    """Returns the rendering of `content`, as `shown` if that is given; its tokens are counted only if `recorded` has no
    count by this counter.

    `read_blob` returns the base64 of a blob, whose tokens count too; None if it is not there.
    """
    tokens, has_media = recorded_tokens(counter, recorded) if recorded else (None, False)
    if isinstance(content, MessageContent):
        return _render_provider(content.message, counter, tokens, has_media=has_media, read_blob=read_blob)
    name = None
    body = None
    calls: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    role = "assistant"
    if isinstance(content, DialogueContent):
        role, text, name = content.role, content.text, content.name
    elif isinstance(content, InstructionContent):
        role, text = "system", content.text
    elif isinstance(content, ToolIOContent):
        role, text = "tool", _tool_text(content)
        fields = {"tool_name": content.tool_name, "direction": content.direction, "payload": content.payload}
        body = canonical.encode_checked({**fields, "status": content.status, "call_id": content.call_id}).decode()
        if content.call_id is not None:
            ids = (content.call_id,)
            calls, answers = (ids, ()) if content.direction == "call" else ((), ids)
    elif isinstance(content, ArtifactContent):
        text = content.content
    elif isinstance(content, FreeformContent):
        text = canonical.indent(content.payload)
    elif isinstance(content, RecordContent):
        return Rendering("", None, None, content_type, None, 0)
    elif isinstance(content, ToolsContent):
        return _render_tools(content, counter, tokens)
    elif shown is not None and shown.text is not None:
        role, text = shown.role, shown.text
    else:
        role, text = _custom_role_and_text(content, content_type, types)
    if tokens is None:
        strings = [role, text] if name is None else [role, text, name]
        tokens = count_message(counter, strings, has_name=name is not None)
    priority = None if shown is None else shown.priority
    return Rendering(role, text, name, content_type, body, tokens, calls, answers, priority=priority)


def iter_texts(rendering: Rendering) -> Iterator[str]:
    """Yields the texts of a commit's message, as people read them, the names and arguments of its tool calls too."""
    shown = ["role"]
    if rendering.text is not None:
        yield rendering.text
        shown.append("content")
        if rendering.content_type != "message" or not rendering.calls:
            return
    if rendering.body is not None:  # a provider's message with more than a text: every string in it but its role
        message = canonical.decode(rendering.body.encode())
        yield from iter_strings({key: value for key, value in message.items() if key not in shown})


def with_text(rendering: Rendering, text: str, counter: TokenCounter) -> Rendering:
    """Returns the rendering with another text and its token count; the content must be a text."""
    body = rendering.body
    if rendering.content_type == "message" and body is not None:
        message = canonical.decode(body.encode())
        message["content"] = text
        return _render_provider(message, counter)
    strings = [rendering.role, text] if rendering.name is None else [rendering.role, text, rendering.name]
    tokens = count_message(counter, strings, has_name=rendering.name is not None)
    return Rendering(
        rendering.role, text, rendering.name, rendering.content_type, body, tokens, rendering.calls, rendering.answers
    )


def is_joinable(rendering: Rendering) -> bool:
    """Returns whether a message is nothing but a text, so that it may be joined with its neighbour."""
    if rendering.text is None or rendering.calls or rendering.answers:
        return False
    if rendering.content_type != "message" or rendering.body is None:
        return True
    message = canonical.decode(rendering.body.encode())
    return bool(message.keys() <= {"role", "content", "name"} and message.get("name") == rendering.name)


def joined_rendering(role: str, text: str, name: str | None, counter: TokenCounter) -> Rendering:
    """Returns the rendering of several messages joined into one, with its token count."""
    strings = [role, text] if name is None else [role, text, name]
    return Rendering(role, text, name, "", None, count_message(counter, strings, has_name=name is not None))


def _render_tools(content: ToolsContent, counter: TokenCounter, tokens: int | None) -> Rendering:
    """Returns the rendering of a list of tools; its tokens are those of its JSON text."""
    body = canonical.encode_checked({"tools": content.tools}).decode()
    if tokens is None:
        text = canonical.encode_checked(content.tools).decode()
        tokens = count_message(counter, [text] if content.tools else [], has_name=False) - PER_MESSAGE
    return Rendering("", None, None, "tools", body, tokens)


def _render_provider(
    message: dict[str, Any],
    counter: TokenCounter,
    tokens: int | None = None,
    *,
    has_media: bool = False,
    read_blob: Callable[[str], str | None] = lambda _: None,
) -> Rendering:
    role: str = message["role"]
    content = message.get("content")
    name = message.get("name")
    if type(name) is not str:
        name = None
    body = canonical.encode_checked(message).decode()
    text = content if type(content) is str else None
    has_blobs = text is None and any(True for _ in iter_references(message))
    calls, answers = tool_ids(message)
    if tokens is None:
        if has_blobs:
            message = canonical.decode(body.encode())
            put_data(message, lambda name: read_blob(name) or "")  # one that is missing is media of no known size
        tokens, has_media = count_json_message(counter, message)
    return Rendering(
        role, text, name, "message", body, tokens, calls, answers, has_media=has_media, has_blobs=has_blobs
    )


def _tool_text(content: ToolIOContent) -> str:
    status = "" if content.status is None else f" ({content.status})"
    payload = content.payload if isinstance(content.payload, str) else canonical.indent(content.payload)
    return f"Tool {content.direction}: {content.tool_name}{status}\n{payload}"


def _custom_role_and_text(content: object, content_type: str, types: ContentTypes) -> tuple[str, str]:
    """Returns role and text of a content with a text, of a registered type, or of a dict of an unknown type or of one that the record does not fit."""
    custom = types.get(content_type)
    role = "assistant" if custom is None else custom.role
    text = None if custom is None else custom.text_of(content)
    if text is None:
        fields = content if isinstance(content, dict) else types.plain_fields(content)
        text = default_text(fields)
    return role, text


def first_words(text: str) -> str:
    """Returns the start of a text, in one line of at most 60 characters."""
    return " ".join(text[: 8 * _FIRST_CHARACTERS].split())[:_FIRST_CHARACTERS]
