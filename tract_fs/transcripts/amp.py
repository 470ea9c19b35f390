"""Amp: a thread as one JSON object, `{id: "T-…", messages}`, of Anthropic-like messages. Source: threads of Amp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tract_fs.model.fields import Fields, fields_in, fields_of, picked, records_in, text_in, text_of
from tract_fs.transcripts.blocks import as_text_block, call_block, messages_of, result_block, text_block, text_or_json
from tract_fs.transcripts.document import assemble_document, document_units
from tract_fs.transcripts.linear import read_linear
from tract_fs.transcripts.measures import time_us, usage_in
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Transcript

NAME = "amp"


def matches(source: Source) -> bool:
    """Returns whether the file is an object with a thread's id and messages."""
    document = fields_of(source.document)
    return text_in(document, "id").startswith("T-") and isinstance(document.get("messages"), list)


def read(source: Source) -> list[Transcript]:
    """Returns the thread of the file."""
    units = document_units(source, "messages")
    head = fields_of(units[0].value)
    return read_linear(
        NAME,
        source,
        units,
        lambda message, position: _meaning(message) if position else {},
        id_of=lambda message: f"{message['messageId']}" if isinstance(message.get("messageId"), int) else None,
        has_head=True,
        id=text_in(head, "id"),
        title=text_in(head, "title"),
        metadata=picked(head, "created", "agentMode", "env", "v"),
    )


def assemble(values: Sequence[Any]) -> bytes:
    """Returns the file of the document and its messages."""
    return assemble_document(values, "messages")


def _meaning(message: Fields) -> Fields:
    role = "assistant" if message.get("role") == "assistant" else "user"
    blocks = [block for part in records_in(message, "content") for block in _blocks(part)]
    if isinstance(message.get("content"), str) and message["content"]:
        blocks = [text_block(message["content"])]
    usage = fields_in(message, "usage")
    return {
        "contents": messages_of((role, blocks)),
        "at_us": time_us(usage.get("timestamp")) or time_us(fields_in(message, "meta").get("sentAt")),
        "config": picked(usage, "model") if role == "assistant" else None,
        "usage": usage_in(
            usage,
            "inputTokens",
            "outputTokens",
            cache_read="cacheReadInputTokens",
            cache_write="cacheCreationInputTokens",
            is_cache_apart=True,
        ),
        "metadata": picked(message, "messageId", "state", "agentMode"),
    }


def _blocks(part: Fields) -> list[Fields]:
    kind = part.get("type")
    if kind == "text" and text_in(part, "text"):
        return [as_text_block(part)]
    if kind == "thinking" and text_in(part, "thinking"):
        return [picked(part, "type", "thinking", "signature")]
    if kind == "redacted_thinking" and text_in(part, "data"):
        return [picked(part, "type", "data")]
    if kind == "tool_use":
        return [call_block(part.get("id"), part.get("name"), part.get("input"))]
    if kind == "tool_result":
        run = fields_in(part, "run")
        found = run.get("result") if run.get("result") is not None else run.get("error") or part.get("content")
        id_ = text_of(part.get("toolUseID") or part.get("tool_use_id"))
        is_error = run.get("status") in ("error", "cancelled", "rejected-by-user")
        return [result_block(id_, text_or_json(found), is_error=is_error)]
    if kind == "image" and isinstance(part.get("source"), dict):
        source = part["source"]
        names = {"mediaType": "media_type"}
        return [{"type": "image", "source": {names.get(key, key): value for key, value in source.items()}}]
    return []
