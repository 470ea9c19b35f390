"""Kimi Code: `wire.jsonl`, all that an agent does; `context.*` is what its model sees. Source: files of Kimi Code 0.38."""

from __future__ import annotations

from tract_fs.model.content import InstructionContent
from tract_fs.model.fields import Fields, fields_in, fields_of, items_in, items_of, picked, records_in, text_in, text_of
from tract_fs.transcripts.blocks import (
    as_text_block,
    call_block,
    messages_of,
    plain_content,
    result_block,
    text_block,
    thinking_block,
    tool_definitions,
    url_block,
)
from tract_fs.transcripts.linear import read_linear
from tract_fs.transcripts.measures import time_us, usage_in
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Transcript

NAME = "kimi"
_STATE_LEVELS = 2  # state.json, agents/main/wire.jsonl


def matches(source: Source) -> bool:
    """Returns whether the first record is metadata with the version of a protocol."""
    first = next(iter(source.sample), {})
    return first.get("type") == "metadata" and isinstance(first.get("protocol_version"), str)


def read(source: Source) -> list[Transcript]:
    """Returns the session of the file."""
    state = fields_of(source.json_beside("state.json", levels=_STATE_LEVELS))
    config: dict[int, Fields] = {}
    model: Fields = {}
    for position, unit in enumerate(source.units):
        record = fields_of(unit.value)
        if record.get("type") == "llm.request":
            model = picked(record, "model", "provider", "thinkingEffort", "maxTokens")
        elif _is_made(record):
            config[position] = model

    def meaning(record: Fields, position: int) -> Fields:
        return _meaning(record, position) | {"config": config.get(position) or None}

    return read_linear(
        NAME,
        source,
        source.units,
        meaning,
        is_system=lambda record: record.get("type") == "profile.bind" and bool(text_in(record, "systemPrompt")),
        id=text_in(state, "id") or source.folder(_STATE_LEVELS),
        title=text_in(state, "title"),
        metadata=picked(state, "cwd", "createdAt"),
    )


def _is_made(record: Fields) -> bool:
    return fields_in(record, "event").get("type") in ("content.part", "tool.call")


def _meaning(record: Fields, position: int) -> Fields:
    kind, event = record.get("type"), fields_in(record, "event")
    contents: list[object] = []
    usage: object = None
    hides = False
    if kind == "profile.bind" and text_in(record, "systemPrompt"):
        contents = [InstructionContent(record["systemPrompt"])]
    elif kind == "llm.tools_snapshot":
        contents = [*tool_definitions(record.get("tools"))]
    elif kind == "context.append_message":
        contents = [*_message(fields_in(record, "message"))]
    elif kind == "context.append_loop_event":
        contents = [*_event(event)]
        usage = _usage(fields_in(event, "usage")) if event.get("type") == "step.end" else None
    elif kind == "context.apply_compaction" and text_in(record, "summary"):
        contents, hides = [{"role": "user", "content": record["summary"]}], True
    elif kind == "context.clear":
        hides = True
    return {
        "contents": contents,
        "at_us": time_us(record.get("time")) or time_us(record.get("created_at")),
        "usage": usage,
        "metadata": picked(record, "type", "agentId") | picked(event, "uuid", "turnId", "stepUuid", "messageId"),
        "covers": range(position) if hides else (),
    }


def _message(message: Fields) -> list[Fields]:
    blocks = [block for part in items_in(message, "content") for block in _blocks(part)]
    role = text_in(message, "role")
    if role == "tool":
        return messages_of(("user", [result_block(text_in(message, "toolCallId"), blocks)]))
    for call in records_in(message, "toolCalls"):
        function = fields_in(call, "function") or call
        given = function.get("arguments", call.get("args"))
        blocks.append(call_block(call.get("id") or call.get("toolCallId"), function.get("name"), given))
    return messages_of(("assistant" if role == "assistant" else "user", blocks))


def _event(event: Fields) -> list[Fields]:
    kind = event.get("type")
    if kind == "content.part":
        return messages_of(("assistant", _blocks(event.get("part"))))
    if kind == "tool.call":
        return messages_of(("assistant", [call_block(event.get("toolCallId"), event.get("name"), event.get("args"))]))
    if kind == "tool.result":
        result = fields_in(event, "result")
        output, note = result.get("output"), text_in(result, "note")
        blocks = (
            [text_block(text_of(output))]
            if text_of(output)
            else [b for part in items_of(output) for b in _blocks(part)]
        )
        blocks += [text_block(note)] if note else []
        is_error = result.get("isError") is True or result.get("is_error") is True
        made = result_block(text_in(event, "toolCallId"), plain_content(blocks), is_error=is_error)
        return messages_of(("user", [made]))
    return []


def _blocks(part: object) -> list[Fields]:
    part = text_block(part) if isinstance(part, str) else fields_of(part)
    if part.get("type") == "text" and text_in(part, "text"):
        return [as_text_block(part)]
    if part.get("type") == "think" and text_in(part, "think"):
        return [thinking_block(part["think"])]
    for name in ("imageUrl", "image_url"):
        url = text_in(fields_in(part, name), "url")
        if url:
            return [url_block(url, "image/")]
    return []


def _usage(usage: Fields) -> object:
    return usage_in(
        usage,
        "inputOther",
        "output",
        cache_read="inputCacheRead",
        cache_write="inputCacheCreation",
        is_cache_apart=True,
    )
