"""Content: the payload of a commit, as typed structs, and its canonical bytes.

A content is validated before it is encoded and again when it is decoded, by the same typed decoder, so what was
written can be read. Custom types live in a ContentTypes of their handle. Format: FORMAT.md, section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, Literal, cast

import msgspec
from msgspec import Struct
from msgspec.json import Decoder

from tract_fs.errors import ArgumentError, ContentValidationError, JsonValueError, ObjectTooLarge
from tract_fs.model import canonical
from tract_fs.model.names import is_hash
from tract_fs.model.shapes import with_role

MAX_OBJECT_BYTES = 64 * 1024 * 1024
ILL_FORMED = "?"  # in place of the type of what is no content
SHOWN_KEY = "$shown"  # of a custom type's stored fields: no attribute of a class can have this name
_MESSAGE_KEYS = frozenset(["content", "tool_calls", "parts"])  # beside the role
_TEXT_KEYS = ("text", "content")
_NAME_CHARS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_.-")


class Priority(StrEnum):
    """How a commit takes part in the compiled context."""

    SKIP = "skip"
    NORMAL = "normal"
    PINNED = "pinned"


class _Content(Struct, frozen=True, forbid_unknown_fields=True, tag_field="content_type"):
    """Base of the built-in content types."""


_ROLES = ("user", "assistant", "system")


class InstructionContent(_Content, tag="instruction", frozen=True):
    """An instruction to the model; role system, pinned by default."""

    text: str


class DialogueContent(_Content, tag="dialogue", frozen=True):
    """One turn of a dialogue."""

    role: Literal["user", "assistant", "system"]
    text: str
    name: str | None = None

    def __post_init__(self) -> None:
        if self.role not in _ROLES:
            raise _invalid("dialogue", "role", f"{self.role!r} is none of {', '.join(_ROLES)}")


class ToolIOContent(_Content, tag="tool_io", frozen=True):
    """A tool's call or its result; `call_id` links the two. A payload that is a string goes out as it is."""

    tool_name: str
    direction: Literal["call", "result"]
    payload: dict[str, Any] | str
    status: Literal["success", "error"] | None = None
    call_id: str | None = None


class MessageContent(_Content, tag="message", frozen=True):
    """One whole provider message, as given: role, content, tool calls and every other field."""

    message: dict[str, Any]


class ReasoningContent(_Content, tag="reasoning", frozen=True):
    """The model's reasoning."""

    text: str


class ArtifactContent(_Content, tag="artifact", frozen=True):
    """A file, a patch, a document."""

    artifact_type: str
    content: str
    language: str | None = None


class OutputContent(_Content, tag="output", frozen=True):
    """A final output."""

    text: str
    format: Literal["text", "markdown", "json"] = "text"


class FreeformContent(_Content, tag="freeform", frozen=True):
    """Any JSON object."""

    payload: dict[str, Any]


class RecordContent(_Content, tag="record", frozen=True):
    """What a program keeps in the history: to every reader no message and no tokens.

    `blobs` are the hashes that `put_blob` returned, each by a name of the program's own.
    """

    kind: str
    data: dict[str, Any]
    blobs: dict[str, str] = {}


class ToolsContent(_Content, tag="tools", frozen=True):
    """The definitions of the tools that the model may call, as the provider takes them: no message.

    The last one that a context holds applies; `tools=[]` ends that.
    """

    tools: list[dict[str, Any]]


Content = (
    InstructionContent
    | DialogueContent
    | ToolIOContent
    | MessageContent
    | ReasoningContent
    | ArtifactContent
    | OutputContent
    | FreeformContent
    | RecordContent
    | ToolsContent
)
BUILTIN_TYPES: dict[str, type[Struct]] = {
    "instruction": InstructionContent,
    "dialogue": DialogueContent,
    "tool_io": ToolIOContent,
    "message": MessageContent,
    "reasoning": ReasoningContent,
    "artifact": ArtifactContent,
    "output": OutputContent,
    "freeform": FreeformContent,
    "record": RecordContent,
    "tools": ToolsContent,
}
SILENT_TYPES = frozenset(["record", "tools"])  # never messages; to earlier versions custom types
_NAMES = {kind: name for name, kind in BUILTIN_TYPES.items()}
_OF_JSON = SILENT_TYPES | {"tool_io", "message", "freeform"}
_OF_TEXTS = {name: kind for name, kind in BUILTIN_TYPES.items() if name not in _OF_JSON}


class _Envelope(Struct, frozen=True, forbid_unknown_fields=True):
    content: Content


class _RawEnvelope(Struct, frozen=True, forbid_unknown_fields=True):
    content: dict[str, Any]


class ShownAs(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a content of a custom type shows to every reader, registered there or not; stored with it."""

    role: str = "assistant"
    priority: Priority = Priority.NORMAL
    text: str | None = None  # None: the default text of the fields


class ReadContent(Struct, frozen=True):
    """A content as it was read; `misfit`: what of it the registered class does not fit, empty if nothing.

    `shown` has its text; it is None for a built-in type, and where an earlier version stored the content.
    """

    content: object
    misfit: str = ""
    shown: ShownAs | None = None


@cache
def _decoder() -> Decoder[_Envelope]:
    return Decoder(_Envelope)


@cache
def _raw_decoder() -> Decoder[_RawEnvelope]:
    return Decoder(_RawEnvelope)


@cache
def _defaults_of(name: str) -> dict[str, object]:
    """Returns the default of each field that a content of a built-in type may lack."""
    return {
        f.name: f.default if f.default_factory is msgspec.NODEFAULT else f.default_factory()
        for f in msgspec.structs.fields(BUILTIN_TYPES[name])
        if not f.required
    }


def type_of(data: bytes) -> str | None:
    """Returns the type of the content that stored bytes hold, built in or one that may be registered elsewhere; None if they hold none."""
    try:
        content = canonical.decode_typed(_decoder(), data).content
    except JsonValueError:
        try:
            fields = canonical.decode_typed(_raw_decoder(), data).content
        except JsonValueError:
            return None
        name = fields.get("content_type")
        is_custom = type(name) is str and (is_custom_name(name) or name in SILENT_TYPES)
        return name if is_custom and canonical.is_storable(fields) else None
    kind = type(content)
    if kind is MessageContent:
        message = cast(MessageContent, content).message
        is_sound = type(message.get("role")) is str and canonical.is_storable(message, canonical.MAX_DEPTH - 1)
    elif kind is FreeformContent or kind is ToolIOContent:
        payload = cast(FreeformContent | ToolIOContent, content).payload
        is_sound = canonical.is_storable(payload, canonical.MAX_DEPTH - 1)
    elif kind is RecordContent or kind is ToolsContent:
        part = content.data if isinstance(content, RecordContent) else cast(ToolsContent, content).tools
        is_sound = canonical.is_storable(part, canonical.MAX_DEPTH - 1)
    else:
        return _NAMES[kind]
    return _NAMES[kind] if is_sound else None


def is_content(data: bytes) -> bool:
    """Returns whether stored bytes hold a content, of a built-in type or of one that may be registered elsewhere."""
    return type_of(data) is not None


def is_custom_name(name: str) -> bool:
    """Returns whether a content type that is not built in may have this name."""
    return 0 < len(name) <= 64 and _NAME_CHARS.issuperset(name) and "a" <= name[0] <= "z" and name not in BUILTIN_TYPES


def is_type_name(name: str) -> bool:
    """Returns whether a commit may name this content type."""
    return name in BUILTIN_TYPES or is_custom_name(name)


def encode_message(message: dict[str, Any]) -> bytes:
    """Returns the stored bytes of a MessageContent, as `ContentTypes.encode` does, without decoding them again.

    For many messages. Errors: ContentValidationError naming the field; ObjectTooLarge.
    """
    if type(message) is not dict or type(message.get("role")) is not str:
        raise _invalid("message", "message", "a message is a dict with a string 'role'")
    _require_role(message)
    try:
        data = canonical.encode(message, name="message", depth=canonical.MAX_DEPTH - 1)
    except JsonValueError as error:
        raise _invalid("message", error.path, error.reason) from None
    return _sized(b'{"content":{"content_type":"message","message":' + data + b"}}")


def _require_role(message: object) -> None:
    """Raises ContentValidationError if a message has an empty role; a commit that was made so can still be read."""
    if type(message) is dict and message.get("role") == "":
        raise _invalid("message", "message.role", "it is empty; no provider knows such a role")


def _sized(envelope: bytes) -> bytes:
    if len(envelope) > MAX_OBJECT_BYTES:
        raise ObjectTooLarge(kind="content", size_bytes=len(envelope), limit_bytes=MAX_OBJECT_BYTES)
    return envelope


class CustomType(Struct, frozen=True):
    """A registered content type: how it decodes, and how it compiles."""

    name: str
    kind: type
    role: str
    priority: Priority
    text: Callable[[Any], str] | None

    def text_of(self, content: object) -> str | None:
        """Returns the text that an instance of the class shows as; None: the default text of its fields."""
        if not isinstance(content, self.kind):
            return None
        if self.text is None:
            own = (getattr(content, key, None) for key in _TEXT_KEYS)
            return next((text for text in own if isinstance(text, str)), None)
        text = self.text(content)
        if type(text) is not str:
            raise _invalid(self.name, "text", f"its text function returned {text!r}, not a string")
        return text


class ContentTypes:
    """The content types that one handle knows: the built-in ones, and those registered with it."""

    def __init__(self) -> None:
        self._custom: dict[str, CustomType] = {}

    @property
    def has_any(self) -> bool:
        """Whether a type was registered."""
        return bool(self._custom)

    def has_same(self, other: ContentTypes) -> bool:
        """Returns whether the same types are registered in another, in the same way."""
        return self._custom == other._custom

    def copy(self) -> ContentTypes:
        """Returns a copy, in which more types can be registered."""
        other = ContentTypes()
        other._custom = dict(self._custom)
        return other

    def register(
        self, name: str, kind: type, *, role: str, priority: Priority | str, text: Callable[[Any], str] | None
    ) -> None:
        """Adds a custom type; the same name again replaces it. Errors: ArgumentError."""
        if type(name) is str and name in BUILTIN_TYPES:
            raise ArgumentError(f"content type {name!r} is built in; choose another name")
        if type(name) is not str or not is_custom_name(name):
            raise ArgumentError(f"content type name {name!r}: use a-z, 0-9, '_', '.', '-', a letter first, at most 64")
        if not _is_record(kind):
            raise ArgumentError(f"content type {name!r}: {kind!r} is neither a msgspec.Struct nor a dataclass")
        if not {"content_type", SHOWN_KEY}.isdisjoint(_field_names(kind).values()):
            raise ArgumentError(f"content type {name!r}: a field may not be called 'content_type' or {SHOWN_KEY!r}")
        if type(role) is not str or not role:
            raise ArgumentError(f"content type {name!r}: role {role!r} is not a non-empty string")
        try:
            level = Priority(priority)
        except ValueError:
            raise ArgumentError(f"priority {priority!r}: use skip, normal or pinned") from None
        if text is not None and not callable(text):
            raise ArgumentError(f"content type {name!r}: text {text!r} is not a function")
        self._custom[name] = CustomType(name=name, kind=kind, role=role, priority=level, text=text)

    def get(self, name: str) -> CustomType | None:
        """Returns the custom type of this name, or None."""
        return self._custom.get(name)

    def default_priority(self, content_type: str) -> Priority:
        """Returns the priority that a commit of this type has until it is annotated."""
        if content_type == "instruction":
            return Priority.PINNED
        custom = self._custom.get(content_type)
        return Priority.NORMAL if custom is None else custom.priority

    def encode(self, content: object) -> tuple[bytes, str, object]:
        """Returns the stored bytes of a content, its type's name, and the content as it will be read back.

        Accepts a built-in struct, an instance of a registered type, or a dict with a `content_type`; an object of an SDK
        wherever a dict is.
        Errors: ContentValidationError naming the field; ObjectTooLarge.
        """
        name, fields = self._to_fields(canonical.dumped(content))
        if name == "message":
            message = canonical.dumped(fields.get("message"))
            fields["message"] = with_role(message) if type(message) is dict else message
            _require_role(fields["message"])
        envelope = _envelope(name, fields)
        kind = _OF_TEXTS.get(name)
        if kind is not None:  # strings and None decode to themselves, so only their types need a check
            try:
                return envelope, name, msgspec.convert(fields, kind)
            except msgspec.ValidationError:
                pass  # the decoder names the place
        try:
            typed = _builtin(envelope, name) if name in BUILTIN_TYPES else self.decode(envelope, name)
            custom = self._custom.get(name)
            if custom is not None:
                text = custom.text_of(typed)
                shown = ShownAs(custom.role, custom.priority, None if text == default_text(fields) else text)
                envelope = _envelope(name, {**fields, SHOWN_KEY: msgspec.to_builtins(shown)})
                typed = self.decode(envelope, name)
        except JsonValueError as error:
            raise _from_msgspec(name, error.reason) from None
        if type(typed) is RecordContent:
            _require_blobs(typed)
        return envelope, name, typed

    def without_surrogates(self, content: object) -> object:
        """Returns a content in whose strings each lone surrogate is U+FFFD: a text, or a dict for `encode`.

        Errors: ContentValidationError.
        """
        if type(content) is str:
            return canonical.without_surrogates(content)
        return canonical.without_surrogates(self._to_fields(canonical.dumped(content))[1])

    def decode(self, data: bytes, content_type: str) -> object:
        """Returns the typed content of stored bytes; a dict where the custom type is not registered.

        A record that an earlier version stored under the name of a silent type, with other fields, is a dict, too.
        Errors: JsonValueError if the bytes hold no content of this type.
        """
        if content_type in BUILTIN_TYPES:
            try:
                return _builtin(data, content_type)
            except JsonValueError:
                if content_type not in SILENT_TYPES:
                    raise
            return _custom_fields(data, content_type)[0]
        fields, _ = _custom_fields(data, content_type)
        custom = self._custom.get(content_type)
        return fields if custom is None else _converted(fields, custom.kind)

    def read(self, data: bytes, content_type: str) -> ReadContent:
        """Returns the content of stored bytes as `decode` does.

        The record of a custom type that the registered class does not fit (any more) comes as a dict, as it is stored; one with
        fields that the class lacks comes without these. Errors: as `decode`.
        """
        if content_type in BUILTIN_TYPES:
            return ReadContent(self.decode(data, content_type))
        fields, shown = _custom_fields(data, content_type)
        custom = self._custom.get(content_type)
        if custom is None:
            return ReadContent(fields, "", shown)
        try:
            content = _converted(fields, custom.kind)
        except JsonValueError as error:
            return ReadContent(fields, error.reason, shown)
        unknown = sorted(fields.keys() - {"content_type", *_field_names(custom.kind).values()})
        return ReadContent(content, "; ".join(f"the type has no field `{name}`" for name in unknown), shown)

    def shown_as(self, data: bytes, content_type: str) -> ShownAs | None:
        """Returns how stored bytes show; None for a built-in type, and where an earlier version stored them."""
        return None if content_type in BUILTIN_TYPES else _custom_fields(data, content_type)[1]

    def plain_fields(self, content: object) -> dict[str, object]:
        """Returns the stored fields of an instance of a registered type."""
        return cast(dict[str, object], _plain(content))

    def _to_fields(self, content: object) -> tuple[str, dict[str, object]]:
        name = _NAMES.get(type(content))  # type: ignore[arg-type]
        if name is not None:
            fields: dict[str, object] = msgspec.structs.asdict(cast(Struct, content))
        elif type(content) is dict:
            fields = {"content_type": "message", "message": content} if _is_message(content) else dict(content)
            named = fields.pop("content_type", None)
            if type(named) is not str:
                raise _invalid(
                    None, "content_type", "a dict needs a 'content_type' that is a string, or is a provider's message"
                )
            name = named
            if name not in BUILTIN_TYPES and name not in self._custom:
                raise _invalid(name, "content_type", "no such content type; see register_content_type()")
            if name in self._custom and SHOWN_KEY in fields:
                raise _invalid(name, SHOWN_KEY, "this key is the store's own")
        else:
            name = next((c.name for c in self._custom.values() if c.kind is type(content)), None)
            if name is None:
                raise _invalid(None, "content", f"{type(content).__name__} is not a content; give a content or a dict")
            try:
                fields = self.plain_fields(content)
            except RecursionError:
                raise _invalid(name, "content", f"more than {canonical.MAX_DEPTH} arrays and objects deep") from None
        defaults = _defaults_of(name) if name in BUILTIN_TYPES else {}
        for key, default in defaults.items():
            if key in fields and _equals(fields[key], default):
                del fields[key]
        fields["content_type"] = name
        return name, fields


def _is_message(fields: dict[str, object]) -> bool:
    """Returns whether a dict is a provider's message and names no content type; a content that lacks its type is none."""
    if "content_type" in fields or type(fields.get("role")) is not str:
        return False
    return not _MESSAGE_KEYS.isdisjoint(fields)


def _builtin(data: bytes, content_type: str) -> Content:
    """Returns the content of a built-in type. Errors: JsonValueError."""
    content = canonical.decode_typed(_decoder(), data).content
    if _NAMES[type(content)] != content_type:
        raise JsonValueError(path="content", reason=f"a {_NAMES[type(content)]}, not a {content_type}")
    if type(content) is MessageContent and type(content.message.get("role")) is not str:
        raise JsonValueError(path="content", reason="Expected `str` - at `$.content.message.role`")
    return content


def _require_blobs(record: RecordContent) -> None:
    """Raises ContentValidationError if a record names a blob by what is no hash."""
    for name, blob in record.blobs.items():
        if not is_hash(blob):
            raise _invalid("record", f"blobs.{name}", f"{blob!r} is no hash of a blob; give what put_blob() returned")


def default_text(fields: Mapping[str, object]) -> str:
    """Returns the text that shows of a record without a text function: its `text` or `content`, else all as JSON."""
    for key in _TEXT_KEYS:
        text = fields.get(key)
        if isinstance(text, str):
            return text
    return canonical.indent({key: value for key, value in fields.items() if key != "content_type"})


def _custom_fields(data: bytes, content_type: str) -> tuple[dict[str, object], ShownAs | None]:
    """Returns the fields of a stored custom content, and how it shows, with its text."""
    fields = canonical.decode_typed(_raw_decoder(), data).content
    if fields.get("content_type") != content_type:
        raise JsonValueError(path="content", reason=f"not a content of type {content_type}")
    try:
        shown = msgspec.convert(fields[SHOWN_KEY], ShownAs)
    except (KeyError, msgspec.ValidationError):  # of an earlier version, or a field that some program called so
        return fields, None
    del fields[SHOWN_KEY]
    text = default_text(fields) if shown.text is None else shown.text
    return fields, ShownAs(shown.role, shown.priority, text)


def _envelope(name: str, fields: dict[str, object]) -> bytes:
    """Returns the stored bytes of a content. Errors: ContentValidationError, ObjectTooLarge."""
    try:
        data = canonical.encode(fields, name="content")
    except JsonValueError as error:
        raise _invalid(name, error.path.removeprefix("content").lstrip(".") or "content", error.reason) from None
    return _sized(b'{"content":' + data + b"}")


def _converted(fields: dict[str, object], kind: type) -> object:
    """Returns the instance of a registered class with these fields. Errors: JsonValueError if they do not fit."""
    try:
        return msgspec.convert({key: value for key, value in fields.items() if key != "content_type"}, kind)
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise JsonValueError(path="content", reason=str(error)) from None


def _equals(value: object, default: object) -> bool:
    """Returns whether a value is a default, without calling a comparison that the caller defined."""
    return value is None if default is None else type(value) is type(default) and value == default


def _invalid(content_type: str | None, field: str, reason: str) -> ContentValidationError:
    return ContentValidationError(content_type=content_type, field=field, reason=reason)


def _from_msgspec(content_type: str, message: str) -> ContentValidationError:
    """Turns "Expected `str`, got `int` - at `$.content.text`" into an error that names the field."""
    reason, _, place = message.partition(" - at `")
    field = place.removesuffix("`").removeprefix("$").removeprefix(".content").lstrip(".")
    if not field and "field `" in reason:
        field = reason.split("field `", 1)[1].split("`", 1)[0]
    return _invalid(content_type, field or "content", reason)


def _is_record(kind: object) -> bool:
    return isinstance(kind, type) and (issubclass(kind, Struct) or hasattr(kind, "__dataclass_fields__"))


def _field_names(kind: type) -> Mapping[str, str]:
    """Returns attribute name to stored name."""
    if issubclass(kind, Struct):
        return {f.name: f.encode_name for f in msgspec.structs.fields(kind)}
    return {name: name for name in kind.__dataclass_fields__}  # type: ignore[attr-defined]


def _plain(value: object) -> object:
    """Returns structs and dataclasses, at any depth, as dicts; other values unchanged, for the encoder to check."""
    if _is_record(type(value)):
        return {stored: _plain(getattr(value, name)) for name, stored in _field_names(type(value)).items()}
    if type(value) is dict:
        return {key: _plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return [_plain(item) for item in value]  # type: ignore[attr-defined]
    return value
