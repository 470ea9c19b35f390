"""Crush: a session of its database, as `{session, messages}`, the rows of its tables. Source: Crush's `internal/message`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tract_fs.model.fields import Fields, fields_in, fields_of, items_in, picked, records_in, text_in, text_of
from tract_fs.transcripts.blocks import (
    call_block,
    media_block,
    messages_of,
    result_block,
    text_block,
    thinking_block,
    url_block,
)
from tract_fs.transcripts.document import assemble_document, document_units
from tract_fs.transcripts.linear import read_linear
from tract_fs.transcripts.measures import time_us
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Transcript

NAME = "crush"


def matches(source: Source) -> bool:
    """Returns whether the file is an object with a session's row and rows of messages with `parts` and a session's id."""
    document = fields_of(source.document)
    first = fields_of(next(iter(items_in(document, "messages")), None))
    return isinstance(document.get("session"), dict) and "parts" in first and "session_id" in first


def read(source: Source) -> list[Transcript]:
    """Returns the session of the file."""
    units = document_units(source, "messages")
    session = fields_in(units[0].value, "session")

    def meaning(row: Fields, position: int) -> Fields:
        is_summary = row.get("is_summary_message") in (1, True)
        contents = _messages(row) if position else []
        if is_summary and contents:
            contents = [{"role": "user", "content": contents[0]["content"]}]
        return {
            "contents": contents,
            "at_us": time_us(row.get("created_at")),
            "config": picked(row, "model", "provider") if row.get("role") == "assistant" else None,
            "metadata": picked(row, "id", "role", "model", "provider"),
            "covers": range(1, position) if is_summary and contents else (),
        }

    return read_linear(
        NAME,
        source,
        units,
        meaning,
        id_of=lambda row: row.get("id"),
        has_head=True,
        id=text_in(session, "id"),
        title=text_in(session, "title"),
        metadata=picked(session, "parent_session_id", "prompt_tokens", "completion_tokens", "cost"),
    )


def assemble(values: Sequence[Any]) -> bytes:
    """Returns the document of the session's row and its messages' rows."""
    return assemble_document(values, "messages")


def _messages(row: Fields) -> list[Fields]:
    blocks: list[Fields] = []
    for part in records_in(row, "parts"):
        data, kind = fields_in(part, "data"), part.get("type")
        if kind == "text" and text_in(data, "text"):
            blocks.append(text_block(data["text"]))
        elif kind == "reasoning" and text_in(data, "thinking"):
            blocks.append(thinking_block(data["thinking"], text_in(data, "signature")))
        elif kind == "image_url" and text_in(data, "url"):
            blocks.append(url_block(data["url"], "image/"))
        elif kind == "binary" and text_of(data.get("Data") or data.get("data")):
            mime = text_of(data.get("MIMEType") or data.get("mime_type"))
            blocks.append(media_block(text_of(data.get("Data") or data.get("data")), mime or "image/png"))
        elif kind == "tool_call":
            blocks.append(call_block(data.get("id"), data.get("name"), data.get("input")))
        elif kind == "tool_result":
            id_, content = text_in(data, "tool_call_id"), text_in(data, "content")
            blocks.append(result_block(id_, content, is_error=data.get("is_error") is True))
        elif kind == "shell_command":
            texts = (text_in(data, "command"), text_in(data, "output"))
            blocks += [text_block(text) for text in texts if text]
    return messages_of(("assistant" if row.get("role") == "assistant" else "user", blocks))
