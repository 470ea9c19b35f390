"""Contents on the command line: made from a text and options, and shown in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
import msgspec

from tract_fs.cli.output import json_text
from tract_fs.cli.values import parse_pairs, require_json, require_json_object

# the field that a text goes to; those of JSON types are read as JSON
_MAIN_FIELDS = {"artifact": "content", "freeform": "payload", "tool_io": "payload", "message": "message"}
_JSON_FIELDS = frozenset(["payload", "message"])
PAYLOAD_TYPES = frozenset(["tool_io", "freeform"])  # whose text is a payload, as JSON


def to_plain(content: object) -> dict[str, Any]:
    """Returns a content as a dict with its `content_type`."""
    plain = msgspec.to_builtins(content)
    assert isinstance(plain, dict)
    return plain


def build_content(
    text: str, *, role: str | None, content_type: str | None, fields: Iterable[str], json_content: str | None
) -> dict[str, Any]:
    """Returns the content that options describe; `text` is its main part. Errors: click.UsageError."""
    if json_content is not None:
        if role is not None or content_type is not None or tuple(fields):
            raise click.UsageError("--json-content is a whole content: leave out --role, --type and --field")
        return require_json_object(json_content, "--json-content")
    if role is not None and content_type not in (None, "dialogue"):
        raise click.UsageError("--role goes with type dialogue")
    kind = content_type or "dialogue"
    content = {"content_type": kind, **parse_pairs(fields, "--field")}
    if kind == "dialogue":
        content["role"] = role or content.get("role", "user")
    key = _MAIN_FIELDS.get(kind, "text")
    return content | {key: require_json(text, "-m / --text") if key in _JSON_FIELDS else text}


def headline(content: object) -> str:
    """Returns who speaks, and what, in the fewest words; may span lines."""
    plain = to_plain(content)
    kind = plain["content_type"]
    if kind == "message":
        message = plain["message"]
        return f"{message.get('role', 'tool')}: {message_text(message)}"
    if kind == "record":
        return _record_line(plain["data"])
    if kind == "dialogue":
        return f"{plain['role']}: {plain['text']}"
    if kind == "tool_io":
        return f"{plain['tool_name']} {plain['direction']}: {json_text(plain['payload'])}"
    return content_text(content)


def content_fields(content: object) -> list[tuple[str, str]]:
    """Returns the short fields of a content beside its main part, in words."""
    plain = to_plain(content)
    if plain["content_type"] == "message":
        plain = plain["message"]
        return [(key, str(plain[key])) for key in ("role", "name", "tool_call_id") if isinstance(plain.get(key), str)]
    main = {"content_type", "text", "content", "payload"}
    return [(key, value) for key, value in plain.items() if isinstance(value, str) and key not in main]


def content_text(content: object) -> str:
    """Returns what a content says, whole."""
    plain = to_plain(content)
    kind = plain.pop("content_type")
    if kind == "message":
        return _whole_message(plain["message"])
    for key in ("text", "content"):
        if isinstance(plain.get(key), str):
            return str(plain[key])
    return json_text(plain.get("payload", plain))


def message_text(message: dict[str, Any]) -> str:
    """Returns a provider's message as people read it: its texts, and in words its tool calls, results and media."""
    content = message.get("content")
    if isinstance(content, list) or (content is None and not message.get("tool_calls")):
        from tract_fs.page.texts import readable  # 1 ms

        return readable(message)
    return _whole_message(message)


def _whole_message(message: dict[str, Any]) -> str:
    """Returns the content of a provider's message, as JSON where it is no text, and the tool calls it makes."""
    parts = []
    content = message.get("content")
    if content is not None:
        parts.append(content if isinstance(content, str) else json_text(content))
    calls = message.get("tool_calls")
    if calls:
        parts += map(_call_text, calls) if isinstance(calls, list) else [json_text(calls)]
    return "\n".join(parts) or json_text(message)


def _record_line(data: dict[str, Any]) -> str:
    """Returns a record of a session file in a line: what it is, then its fields."""
    record = data.get("record", data)
    if not isinstance(record, dict):
        return json_text(record)
    payload = record.get("payload")
    words = [part["type"] for part in (record, payload) if isinstance(part, dict) and isinstance(part.get("type"), str)]
    rest = {key: value for key, value in record.items() if key != "type"}
    return " ".join(["/".join(words), json_text(rest)]).strip()


def _call_text(call: object) -> str:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return json_text(call)
    return f"calls {function.get('name')}({function.get('arguments', '')})"
