"""Messages as people read them: the texts of a provider's message, its tool calls and results, without encoded data.

Whatever the shape (chat completions, responses, Anthropic, Gemini), each part becomes a text; a part of an unknown kind, its
JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from tract_fs.model import canonical

_MOST_JSON = 4000  # characters of a record or of an unknown part; the whole is in the store
_LONGEST_VALUE = 300  # characters of one string in it
_OWN_FIELDS = {"reasoning_content": "thinking", "refusal": "refusal"}  # of chat completions, beside `content`
_MEDIA = ("image", "input_image", "image_url", "document", "file", "input_file", "input_audio", "audio", "video")


class _Call(str):
    """The text of a tool call."""

    __slots__ = ()


def readable(body: object) -> str:
    """Returns the text of a provider's message, each part from a new line; empty if it has none."""
    return "\n".join(part for part in _iter_parts(body) if part)


def before_calls(body: object) -> str:
    """Returns the beginning of the readable text that comes before its first tool call."""
    parts = takewhile(lambda part: not isinstance(part, _Call), (part for part in _iter_parts(body) if part))
    return "".join(f"{part}\n" for part in parts)


def as_json(value: object) -> str:
    """Returns a value as indented JSON of at most some thousand characters, with long strings cut; a cut is marked."""
    text = canonical.indent(_shortened(value))
    return (
        text if len(text) <= _MOST_JSON else f"{text[:_MOST_JSON]}\n… [{len(text) - _MOST_JSON:,} characters left out]"
    )


def _iter_parts(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    elif isinstance(part, list):
        for one in part:
            yield from _iter_parts(one)
    elif isinstance(part, dict):
        yield from _iter_fields(part)
    elif part is not None:
        yield as_json(part)


def _iter_fields(part: dict[str, Any]) -> Iterator[str]:
    kind = part.get("type")
    if kind in ("tool_use", "server_tool_use", "function_call", "custom_tool_call"):
        yield _call(part.get("name"), part.get("input", part.get("arguments")))
    elif isinstance(part.get("function"), dict):
        yield _call(part["function"].get("name"), part["function"].get("arguments"))
    elif isinstance(part.get("functionCall"), dict):
        yield _call(part["functionCall"].get("name"), part["functionCall"].get("args"))
    elif isinstance(part.get("functionResponse"), dict):
        yield canonical.indent(part["functionResponse"].get("response"))
    elif isinstance(part.get("thinking"), str):
        yield f"[thinking] {part['thinking']}" if part["thinking"] else "[thinking, without a text]"
    elif kind == "reasoning":
        yield "[reasoning]"
        yield from _iter_parts(part.get("summary"))
        yield from _iter_parts(part.get("content"))
    elif kind in _MEDIA or "inlineData" in part or "inline_data" in part:
        yield f"[{kind if isinstance(kind, str) else 'data'}{_blob(part)}]"
    elif isinstance(part.get("text"), str):
        yield part["text"]
    else:
        yield from _iter_nested(part)


def _iter_nested(part: dict[str, Any]) -> Iterator[str]:
    for key in _OWN_FIELDS:
        if isinstance(part.get(key), str) and part[key]:
            yield f"[{_OWN_FIELDS[key]}] {part[key]}"
    nested = [part[key] for key in ("content", "parts", "output", "tool_calls") if part.get(key)]
    if nested or "role" in part:
        yield from _iter_parts(nested)
    else:
        yield as_json(part)


def _call(name: object, arguments: object) -> _Call:
    shown = arguments if isinstance(arguments, str) else canonical.indent({} if arguments is None else arguments)
    return _Call(f"calls {name}({shown})")


def _blob(part: object) -> str:
    """Returns the name of the blob that a part names, with a space before it, or nothing."""
    if isinstance(part, str):
        return f" {part}" if part.startswith("blob:") and len(part) == 69 else ""
    values = part.values() if isinstance(part, dict) else ()
    return next((found for value in values if (found := _blob(value))), "")


def _shortened(value: object) -> object:
    if isinstance(value, str) and len(value) > _LONGEST_VALUE:
        return f"{value[:_LONGEST_VALUE]}… [{len(value) - _LONGEST_VALUE:,} characters left out]"
    if isinstance(value, list):
        return [_shortened(one) for one in value]
    if isinstance(value, dict):
        return {key: _shortened(one) for key, one in value.items()}
    return value
