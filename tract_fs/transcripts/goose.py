"""Goose: a session of its database, as `{session, messages}`, the rows of its tables. Source: Goose's `session_manager.rs`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tract_fs.model.fields import Fields, fields_in, fields_of, items_in, items_of, picked, records_in, text_in, text_of
from tract_fs.transcripts.blocks import media_block, messages_of, result_block, text_block
from tract_fs.transcripts.document import assemble_document, document_units
from tract_fs.transcripts.linear import read_linear
from tract_fs.transcripts.measures import time_us
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Transcript

NAME = "goose"


def matches(source: Source) -> bool:
    """Returns whether the file is an object with a session's row and rows of messages with `content_json`."""
    document = fields_of(source.document)
    messages = items_in(document, "messages")
    return isinstance(document.get("session"), dict) and bool(messages) and "content_json" in fields_of(messages[0])


def read(source: Source) -> list[Transcript]:
    """Returns the session of the file."""
    units = document_units(source, "messages")
    session = fields_in(units[0].value, "session")
    model = fields_in(session, "model_config_json")
    config = picked(model, "model_name", "temperature", "max_tokens") | picked(session, "provider_name")

    def meaning(row: Fields, position: int) -> Fields:
        visible = fields_in(row, "metadata_json").get("agentVisible")
        is_made = row.get("role") == "assistant"
        return {
            "contents": _messages(row) if position and visible is not False else [],
            "at_us": time_us(row.get("created_timestamp")),
            "config": _named(config) if is_made else None,
            "metadata": picked(row, "id", "message_id", "role"),
        }

    return read_linear(
        NAME,
        source,
        units,
        meaning,
        id_of=lambda row: row.get("message_id") or (str(row["id"]) if isinstance(row.get("id"), int) else None),
        has_head=True,
        id=text_in(session, "id"),
        title=text_in(session, "name") or text_in(session, "description"),
        metadata=picked(session, "working_dir", "provider_name", "session_type"),
    )


def assemble(values: Sequence[Any]) -> bytes:
    """Returns the document of the session's row and its messages' rows."""
    return assemble_document(values, "messages")


def _named(config: Fields) -> Fields:
    names = {"model_name": "model", "provider_name": "provider"}
    return {names.get(key, key): value for key, value in config.items()}


def _messages(row: Fields) -> list[Fields]:
    blocks: list[Fields] = []
    results: list[Fields] = []
    for part in records_in(row, "content_json"):
        kind = part.get("type")
        if kind == "text" and text_in(part, "text"):
            blocks.append(text_block(part["text"]))
        elif kind == "image" and text_in(part, "data"):
            blocks.append(media_block(part["data"], text_in(part, "mimeType") or "image/png"))
        elif kind == "thinking" and text_in(part, "thinking"):
            blocks.append({"type": "thinking", "thinking": part["thinking"], **picked(part, "signature")})
        elif kind == "redactedThinking" and text_in(part, "data"):
            blocks.append({"type": "redacted_thinking", "data": part["data"]})
        elif kind in ("toolRequest", "frontendToolRequest"):
            call = fields_in(fields_in(part, "toolCall"), "value")
            given = call.get("arguments")
            fields = {"id": text_in(part, "id"), "name": text_in(call, "name")}
            blocks.append({"type": "tool_use", **fields, "input": given if isinstance(given, dict) else {}})
        elif kind == "toolResponse":
            results.append(_result(part))
    role = "assistant" if row.get("role") == "assistant" else "user"
    return messages_of((role, blocks), ("user", results))


def _result(part: Fields) -> Fields:
    result = fields_in(part, "toolResult")
    is_error = result.get("status") == "error"
    value = result.get("value")
    blocks: list[Fields] = []
    for item in items_of(value if isinstance(value, list) else fields_of(value).get("content")):
        if text_in(item, "text"):
            blocks.append(text_block(item["text"]))
        elif text_in(item, "data"):
            blocks.append(media_block(item["data"], text_in(item, "mimeType") or "image/png"))
    content = blocks or text_in(result, "error") or text_of(value)
    return result_block(text_in(part, "id"), content, is_error=is_error or fields_of(value).get("isError") is True)
