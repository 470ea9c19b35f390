"""Kimi Code: `wire.jsonl`, all that an agent does; `context.*` is what its model sees. Source: files of Kimi Code 0.38."""

from __future__ import annotations

from tract_fs.model.content import InstructionContent, ToolsContent
from tract_fs.transcripts.fields import (
    Fields,
    call_block,
    fields_of,
    items_of,
    messages_of,
    picked,
    result_block,
    text_block,
    text_of,
    time_us,
    url_block,
    usage_of,
)
from tract_fs.transcripts.linear import linear_transcript
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

    return [
        linear_transcript(
            NAME,
            source,
            source.units,
            meaning,
            is_system=lambda record: record.get("type") == "profile.bind" and bool(text_of(record.get("systemPrompt"))),
            id=text_of(state.get("id")) or source.folder(_STATE_LEVELS),
            title=text_of(state.get("title")),
            metadata=picked(state, "cwd", "createdAt"),
        )
    ]


def _is_made(record: Fields) -> bool:
    return fields_of(record.get("event")).get("type") in ("content.part", "tool.call")


def _meaning(record: Fields, position: int) -> Fields:
    kind, event = record.get("type"), fields_of(record.get("event"))
    contents: list[object] = []
    usage: object = None
    hides = False
    if kind == "profile.bind" and text_of(record.get("systemPrompt")):
        contents = [InstructionContent(record["systemPrompt"])]
    elif kind == "llm.tools_snapshot":
        tools = items_of(record.get("tools"))
        contents = [ToolsContent(tools)] if tools and all(isinstance(tool, dict) for tool in tools) else []
    elif kind == "context.append_message":
        contents = [*_message(fields_of(record.get("message")))]
    elif kind == "context.append_loop_event":
        contents = [*_event(event)]
        usage = _usage(fields_of(event.get("usage"))) if event.get("type") == "step.end" else None
    elif kind == "context.apply_compaction" and text_of(record.get("summary")):
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
    blocks = [block for part in items_of(message.get("content")) for block in _blocks(part)]
    role = text_of(message.get("role"))
    if role == "tool":
        return messages_of(("user", [result_block(text_of(message.get("toolCallId")), blocks)]))
    for call in map(fields_of, items_of(message.get("toolCalls"))):
        function = fields_of(call.get("function")) or call
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
        result = fields_of(event.get("result"))
        output, note = result.get("output"), text_of(result.get("note"))
        blocks = (
            [text_block(text_of(output))]
            if text_of(output)
            else [b for part in items_of(output) for b in _blocks(part)]
        )
        blocks += [text_block(note)] if note else []
        content = blocks[0]["text"] if len(blocks) == 1 and blocks[0]["type"] == "text" else blocks or ""
        is_error = result.get("isError") is True or result.get("is_error") is True
        return messages_of(("user", [result_block(text_of(event.get("toolCallId")), content, is_error=is_error)]))
    return []


def _blocks(part: object) -> list[Fields]:
    part = text_block(part) if isinstance(part, str) else fields_of(part)
    if part.get("type") == "text" and text_of(part.get("text")):
        return [part if part.keys() == {"type", "text"} else text_block(part["text"])]
    if part.get("type") == "think" and text_of(part.get("think")):
        return [{"type": "thinking", "thinking": part["think"]}]
    for name in ("imageUrl", "image_url"):
        url = text_of(fields_of(part.get(name)).get("url"))
        if url:
            return [url_block(url, "image/")]
    return []


def _usage(usage: Fields) -> object:
    return usage_of(
        usage.get("inputOther"),
        usage.get("output"),
        cache_read=usage.get("inputCacheRead"),
        cache_write=usage.get("inputCacheCreation"),
        is_cache_apart=True,
    )
