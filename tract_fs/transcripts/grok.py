"""Grok's command line: `updates.jsonl`, an update of the Agent Client Protocol a line; `summary.json` beside has the title.

Source: files of Grok 1.0.5; the Agent Client Protocol's schema.
"""

from __future__ import annotations

from tract_fs.transcripts.fields import (
    Fields,
    call_block,
    fields_of,
    items_of,
    media_block,
    messages_of,
    picked,
    result_block,
    text_block,
    text_of,
    time_us,
    usage_of,
)
from tract_fs.transcripts.linear import linear_transcript
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Transcript

NAME = "grok"
_METHODS = ("session/update", "_x.ai/session/update")
_ROLES = {"user_message_chunk": "user", "agent_message_chunk": "assistant", "agent_thought_chunk": "assistant"}


def matches(source: Source) -> bool:
    """Returns whether the first record is an update of a session."""
    first = next(iter(source.sample), {})
    return first.get("method") in _METHODS and "update" in fields_of(first.get("params"))


def read(source: Source) -> list[Transcript]:
    """Returns the session of the file."""
    summary = fields_of(source.json_beside("summary.json"))
    info = fields_of(summary.get("info"))
    first = fields_of(source.units[0].value) if len(source.units) else {}
    models: dict[int, str] = {}
    ended: dict[str, int] = {}
    again: dict[int, int] = {}  # of an update that gives a call's result again: where it was before
    model = ""
    for position, unit in enumerate(source.units):
        update = _update(fields_of(unit.value))
        model = text_of(fields_of(update.get("_meta")).get("modelId")) or model
        models[position] = model
        if _has_ended(update):
            id_ = text_of(update.get("toolCallId"))
            if id_ in ended:
                again[position] = ended[id_]
            ended[id_] = position

    def meaning(record: Fields, position: int) -> Fields:
        covers = [again[position]] if position in again else []
        return _meaning(record, models[position]) | {"covers": covers}

    return [
        linear_transcript(
            NAME,
            source,
            source.units,
            meaning,
            id=text_of(info.get("id")) or text_of(fields_of(first.get("params")).get("sessionId")),
            title=text_of(summary.get("generated_title")) or text_of(summary.get("session_summary")),
            metadata=picked(info, "cwd") | picked(summary, "agent_name", "current_model_id"),
        )
    ]


def _update(record: Fields) -> Fields:
    return fields_of(fields_of(record.get("params")).get("update"))


def _has_ended(update: Fields) -> bool:
    return update.get("sessionUpdate") == "tool_call_update" and update.get("status") in ("completed", "failed")


def _meaning(record: Fields, model: str) -> Fields:
    update, meta = _update(record), fields_of(fields_of(record.get("params")).get("_meta"))
    kind = text_of(update.get("sessionUpdate"))
    usage = fields_of(update.get("usage")) if kind == "turn_completed" else {}
    blocks: list[Fields] = []
    role = _ROLES.get(kind, "assistant")
    if kind in _ROLES:
        blocks = _blocks(fields_of(update.get("content")))
        if kind == "agent_thought_chunk":
            blocks = [{"type": "thinking", "thinking": block["text"]} for block in blocks if block["type"] == "text"]
    elif kind == "tool_call":
        name = text_of(fields_of(fields_of(update.get("_meta")).get("x.ai/tool")).get("name"))
        blocks = [call_block(update.get("toolCallId"), name or update.get("title"), update.get("rawInput"))]
    elif _has_ended(update):
        inner = [fields_of(fields_of(item).get("content")) for item in items_of(update.get("content"))]
        found = [block for item in inner for block in _blocks(item)]
        content = found[0]["text"] if len(found) == 1 and found[0]["type"] == "text" else found or ""
        is_error = update["status"] == "failed"
        role, blocks = "user", [result_block(text_of(update.get("toolCallId")), content, is_error=is_error)]
    return {
        "contents": messages_of((role, blocks)),
        "at_us": time_us(meta.get("agentTimestampMs")) or time_us(record.get("timestamp")),
        "config": {"model": model} if model and blocks and role == "assistant" else None,
        "usage": usage_of(
            usage.get("inputTokens"),
            usage.get("outputTokens"),
            cache_read=usage.get("cachedReadTokens"),
            cache_write=usage.get("cacheCreationTokens"),
            reasoning=usage.get("reasoningTokens"),
        ),
        "metadata": picked(meta, "eventId", "promptId"),
    }


def _blocks(content: Fields) -> list[Fields]:
    if text_of(content.get("text")):
        return [content if content.keys() == {"type", "text"} else text_block(content["text"])]
    if content.get("type") in ("image", "audio") and text_of(content.get("data")):
        return [media_block(content["data"], text_of(content.get("mimeType")) or "image/png")]
    return []
