"""Kiro CLI: lines of `{version, kind, data}`, a prompt, a message or results each; `<id>.json` beside has the title."""

from __future__ import annotations

from typing import Any

from tract_fs.model import canonical
from tract_fs.model.fields import Fields, fields_in, fields_of, items_of, picked, records_in, text_in, text_of
from tract_fs.transcripts.blocks import call_block, messages_of, plain_content, result_block, text_block
from tract_fs.transcripts.linear import read_linear
from tract_fs.transcripts.measures import time_us
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Transcript

NAME = "kiro"
_KINDS = ("Prompt", "AssistantMessage", "ToolResults", "Compaction", "Clear")


def matches(source: Source) -> bool:
    """Returns whether the first record has a version, a kind of Kiro's, and data."""
    first = next(iter(source.sample), {})
    return first.get("kind") in _KINDS and "version" in first and isinstance(first.get("data"), dict)


def read(source: Source) -> list[Transcript]:
    """Returns the session of the file."""
    id_ = source.name.removesuffix(".jsonl")
    beside = fields_of(source.json_beside(f"{id_}.json") if id_ else None)
    return read_linear(
        NAME,
        source,
        source.units,
        _meaning,
        id_of=lambda record: fields_in(record, "data").get("message_id"),
        id=text_in(beside, "session_id") or id_,
        title=text_in(beside, "title"),
        metadata=picked(beside, "cwd", "parent_session_id"),
    )


def _meaning(record: Fields, position: int) -> Fields:
    kind, data = record.get("kind"), fields_in(record, "data")
    blocks = [block for part in records_in(data, "content") for block in _blocks(part)]
    if isinstance(data.get("content"), str) and data["content"]:
        blocks = [text_block(data["content"])]
    summary = text_in(data, "summary")
    if kind == "Compaction" and summary:
        blocks = [text_block(summary)]
    is_known = kind in _KINDS
    contents: list[Any] = (
        messages_of(("assistant" if kind == "AssistantMessage" else "user", blocks)) if is_known else []
    )
    hides = kind == "Clear" or (kind == "Compaction" and bool(summary))
    meta = fields_in(data, "meta")
    return {
        "contents": contents,
        "at_us": time_us(meta.get("timestamp")) or time_us(data.get("timestamp")),
        "metadata": picked(data, "message_id") | picked(record, "kind", "version"),
        "covers": range(position) if hides else (),
    }


def _blocks(part: Fields) -> list[Fields]:
    kind, data = part.get("kind"), part.get("data")
    if kind == "text":
        return [text_block(text_of(data))] if text_of(data) else []
    inner = fields_of(data)
    if kind == "toolUse":
        return [call_block(inner.get("toolUseId"), inner.get("name"), inner.get("input"))]
    if kind == "toolResult":
        found = inner.get("content")
        texts = [text_in(one, "data") for one in items_of(found)]
        jsons = [fields_of(one).get("data") for one in items_of(found) if fields_of(one).get("kind") == "json"]
        texts += [canonical.encode_checked(value).decode() for value in jsons if not isinstance(value, str)]
        blocks = [text_block(text) for text in [*texts, text_of(found)] if text]
        is_error = inner.get("status") == "error"
        return [result_block(text_in(inner, "toolUseId"), plain_content(blocks), is_error=is_error)]
    return []
