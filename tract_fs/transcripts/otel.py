"""OpenTelemetry GenAI: records with the attributes `gen_ai.input.messages` and its kin, or the messages alone.

Each record has the whole conversation so far: what the one before had already comes in once, and one that has other messages
takes its place. Source: OpenTelemetry semantic conventions for generative AI, its JSON schemas of messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tract_fs.errors import JsonValueError
from tract_fs.model import canonical
from tract_fs.model.fields import Fields, fields_in, fields_of, items_in, items_of, picked, records_in, text_in
from tract_fs.transcripts.blocks import (
    call_block,
    media_block,
    messages_of,
    result_block,
    system_prompt,
    text_block,
    text_or_json,
    thinking_block,
    tool_definitions,
    url_block,
)
from tract_fs.transcripts.linear import read_linear
from tract_fs.transcripts.measures import time_us, usage_in
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Transcript

NAME = "otel"
_INPUT, _OUTPUT = "gen_ai.input.messages", "gen_ai.output.messages"
_SYSTEM, _TOOLS = "gen_ai.system_instructions", "gen_ai.tool.definitions"
_PARTS = ("text", "tool_call", "tool_call_response", "reasoning", "blob", "uri", "file")
_CONFIG = {
    "gen_ai.request.model": "model",
    "gen_ai.provider.name": "provider",
    "gen_ai.request.temperature": "temperature",
    "gen_ai.request.top_p": "top_p",
    "gen_ai.request.max_tokens": "max_tokens",
}


def matches(source: Source) -> bool:
    """Returns whether the first record has messages as an attribute, or is a message of parts with types of these conventions."""
    first = next(iter(source.sample), {})
    attributes = _attributes(first)
    return _INPUT in attributes or _OUTPUT in attributes or _is_message(first)


def read(source: Source) -> list[Transcript]:
    """Returns the records of the file as one session."""
    units = source.units
    news: list[tuple[list[Fields], bool]] = []  # of each record: its messages that are new, and whether it begins again
    before: list[bytes] = []
    for unit in units:
        messages = _messages(fields_of(unit.value))
        sums = [canonical.encode_checked(message) for message in messages]
        if _is_message(unit.value):
            news.append((messages, False))
            before += sums
            continue
        is_more = sums[: len(before)] == before
        news.append((messages[len(before) :] if is_more else messages, not is_more and bool(sums)))
        before = sums if sums else before
    systems: dict[int, Any] = {}
    last: Any = None
    for position, unit in enumerate(units):
        found = _decoded(_attributes(fields_of(unit.value)).get(_SYSTEM))
        if found and (found != last or news[position][1]):
            systems[position] = last = found

    def meaning(record: Fields, position: int) -> Fields:
        messages, begins_again = news[position]
        return _meaning(record, messages, systems.get(position)) | {"covers": range(position) if begins_again else ()}

    first = _attributes(fields_of(units[0].value)) if len(units) else {}
    return read_linear(
        NAME,
        source,
        units,
        meaning,
        id=text_in(first, "gen_ai.conversation.id"),
        title=text_in(first, "gen_ai.agent.name"),
    )


def _attributes(record: Fields) -> Fields:
    return fields_in(record, "attributes") or record


def _decoded(value: object) -> Any:
    """Returns an attribute, which may be its JSON as a text."""
    if not isinstance(value, str):
        return value
    try:
        found = canonical.decode(value.encode())
    except (JsonValueError, UnicodeEncodeError):
        return None
    return found if canonical.is_storable(found, 150) else None


def _is_message(value: Any) -> bool:
    parts = items_in(value, "parts")
    is_one = isinstance(fields_of(value).get("role"), str) and bool(parts)
    return is_one and all(fields_of(part).get("type") in _PARTS for part in parts)


def _messages(record: Fields) -> list[Fields]:
    """Returns the messages of a record, its input and then its output."""
    if _is_message(record):
        return [record]
    attributes = _attributes(record)
    return [m for key in (_INPUT, _OUTPUT) for m in items_of(_decoded(attributes.get(key))) if isinstance(m, dict)]


def _meaning(record: Fields, messages: list[Fields], system: Any) -> Fields:
    attributes = _attributes(record)
    tools = items_of(_decoded(attributes.get(_TOOLS)))
    texts = [text_in(part, "content") for part in items_of(system)]
    shown = [content for message in messages for content in _contents(message)]
    contents = [*system_prompt("\n".join(filter(None, texts))), *tool_definitions(tools), *shown]
    return {
        "contents": contents,
        "at_us": time_us(record.get("start_time") or record.get("timestamp") or record.get("startTimeUnixNano")),
        "config": {name: attributes[key] for key, name in _CONFIG.items() if attributes.get(key) is not None},
        "usage": usage_in(
            attributes,
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.output_tokens",
            cache_read="gen_ai.usage.cache_read.input_tokens",
        ),
        "metadata": picked(record, "name", "trace_id", "span_id", "finish_reason"),
    }


def _contents(message: Fields) -> Sequence[object]:
    parts = records_in(message, "parts")
    blocks = [block for part in parts for block in _blocks(part)]
    role = message.get("role")
    if role in ("system", "developer"):
        text = "\n".join(text_in(part, "content") for part in parts)
        return system_prompt(text)
    return messages_of(("assistant" if role == "assistant" else "user", blocks))


def _blocks(part: Fields) -> list[Fields]:
    kind, content = part.get("type"), text_in(part, "content")
    if kind == "text" and content:
        return [text_block(content)]
    if kind == "reasoning" and content:
        return [thinking_block(content)]
    if kind in ("tool_call", "server_tool_call"):
        return [call_block(part.get("id"), part.get("name"), part.get("arguments"))]
    if kind in ("tool_call_response", "server_tool_call_response"):
        found = part.get("response", part.get("result"))
        return [result_block(text_in(part, "id"), text_or_json(found))]
    if kind == "blob" and content:
        return [media_block(content, text_in(part, "mime_type") or "image/png")]
    if kind == "uri" and text_in(part, "uri"):
        return [url_block(part["uri"], text_in(part, "mime_type") or "image/")]
    return []
