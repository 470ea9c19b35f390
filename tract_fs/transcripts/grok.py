"""Grok's command line: `updates.jsonl`, an update of the Agent Client Protocol a line; `summary.json` beside has the title.

Source: files of Grok 1.0.5; the Agent Client Protocol's schema.
"""

from __future__ import annotations

from tract_fs.model.fields import Fields, fields_in, fields_of, items_in, picked, text_in
from tract_fs.transcripts.blocks import (
    as_text_block,
    call_block,
    media_block,
    messages_of,
    plain_content,
    result_block,
    thinking_block,
)
from tract_fs.transcripts.linear import read_linear
from tract_fs.transcripts.measures import time_us, usage_in
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Transcript

NAME = "grok"
_METHODS = ("session/update", "_x.ai/session/update")
_ROLES = {"user_message_chunk": "user", "agent_message_chunk": "assistant", "agent_thought_chunk": "assistant"}


def matches(source: Source) -> bool:
    """Returns whether the first record is an update of a session."""
    first = next(iter(source.sample), {})
    return first.get("method") in _METHODS and "update" in fields_in(first, "params")


def read(source: Source) -> list[Transcript]:
    """Returns the session of the file."""
    summary = fields_of(source.json_beside("summary.json"))
    info = fields_in(summary, "info")
    first = fields_of(source.units[0].value) if len(source.units) else {}
    models: dict[int, str] = {}
    ended: dict[str, int] = {}
    again: dict[int, int] = {}  # of an update that gives a call's result again: where it was before
    model = ""
    for position, unit in enumerate(source.units):
        update = _update(fields_of(unit.value))
        model = text_in(fields_in(update, "_meta"), "modelId") or model
        models[position] = model
        if _has_ended(update):
            id_ = text_in(update, "toolCallId")
            if id_ in ended:
                again[position] = ended[id_]
            ended[id_] = position

    def meaning(record: Fields, position: int) -> Fields:
        covers = [again[position]] if position in again else []
        return _meaning(record, models[position]) | {"covers": covers}

    return read_linear(
        NAME,
        source,
        source.units,
        meaning,
        id=text_in(info, "id") or text_in(fields_in(first, "params"), "sessionId"),
        title=text_in(summary, "generated_title") or text_in(summary, "session_summary"),
        metadata=picked(info, "cwd") | picked(summary, "agent_name", "current_model_id"),
    )


def _update(record: Fields) -> Fields:
    return fields_in(fields_in(record, "params"), "update")


def _has_ended(update: Fields) -> bool:
    return update.get("sessionUpdate") == "tool_call_update" and update.get("status") in ("completed", "failed")


def _meaning(record: Fields, model: str) -> Fields:
    update, meta = _update(record), fields_in(fields_in(record, "params"), "_meta")
    kind = text_in(update, "sessionUpdate")
    usage = fields_in(update, "usage") if kind == "turn_completed" else {}
    blocks: list[Fields] = []
    role = _ROLES.get(kind, "assistant")
    if kind in _ROLES:
        blocks = _blocks(fields_in(update, "content"))
        if kind == "agent_thought_chunk":
            blocks = [thinking_block(block["text"]) for block in blocks if block["type"] == "text"]
    elif kind == "tool_call":
        name = text_in(fields_in(fields_in(update, "_meta"), "x.ai/tool"), "name")
        blocks = [call_block(update.get("toolCallId"), name or update.get("title"), update.get("rawInput"))]
    elif _has_ended(update):
        inner = [fields_in(item, "content") for item in items_in(update, "content")]
        found = [block for item in inner for block in _blocks(item)]
        is_error = update["status"] == "failed"
        role, blocks = "user", [result_block(text_in(update, "toolCallId"), plain_content(found), is_error=is_error)]
    return {
        "contents": messages_of((role, blocks)),
        "at_us": time_us(meta.get("agentTimestampMs")) or time_us(record.get("timestamp")),
        "config": {"model": model} if model and blocks and role == "assistant" else None,
        "usage": usage_in(
            usage,
            "inputTokens",
            "outputTokens",
            cache_read="cachedReadTokens",
            cache_write="cacheCreationTokens",
            reasoning="reasoningTokens",
        ),
        "metadata": picked(meta, "eventId", "promptId"),
    }


def _blocks(content: Fields) -> list[Fields]:
    if text_in(content, "text"):
        return [as_text_block(content)]
    if content.get("type") in ("image", "audio") and text_in(content, "data"):
        return [media_block(content["data"], text_in(content, "mimeType") or "image/png")]
    return []
