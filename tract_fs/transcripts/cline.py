"""Cline and Roo Code: one JSON file of Anthropic's messages; Cline's newer files have what is around them, too.

`api_conversation_history.json` is an array, whose task is named by its folder; `<id>.messages.json` an object of it. Roo marks
what a summary or a truncation hides. Sources: Cline's `src/core/storage`, Roo Code's `src/core/condense`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tract_fs.model.fields import Fields, fields_in, fields_of, items_of, picked, text_in
from tract_fs.transcripts.document import assemble_document, document_units
from tract_fs.transcripts.linear import read_linear
from tract_fs.transcripts.measures import time_us, usage_in
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Transcript

NAME = "cline"
_FILE = "api_conversation_history.json"
_HIDERS = (("condenseParent", "condenseId"), ("truncationParent", "truncationId"))


def matches(source: Source) -> bool:
    """Returns whether the file is named as these are, or an object of messages with a version and a session's id, or an array of
    messages with the time `ts`.
    """
    document = source.document
    messages = items_of(document.get("messages") if isinstance(document, dict) else document)
    if isinstance(document, dict):
        return "sessionId" in document and "version" in document and "messages" in document
    return (all(_is_message(message) and "ts" in message for message in messages[:5]) and bool(messages)) or (
        source.name == _FILE and isinstance(document, list)
    )


def read(source: Source) -> list[Transcript]:
    """Returns the session of the file."""
    is_whole = isinstance(source.document, dict)
    units = document_units(source, *(["messages"] if is_whole else []))
    head = fields_of(units[0].value) if is_whole else {}
    hidden: dict[tuple[str, str], list[int]] = {}
    for position, unit in enumerate(units):
        for parent, _ in _HIDERS:
            id_ = fields_of(unit.value).get(parent)
            if isinstance(id_, str):
                hidden.setdefault((parent, id_), []).append(position)

    def meaning(message: Fields, position: int) -> Fields:
        if is_whole and position == 0:
            return {}
        ids = [(parent, text_in(message, own)) for parent, own in _HIDERS]
        covers = [place for one in ids for place in hidden.get(one, ()) if place < position]
        return _meaning(message) | {"covers": sorted(set(covers))}

    history = fields_of(source.json_beside("history_item.json"))
    return read_linear(
        NAME,
        source,
        units,
        meaning,
        id_of=lambda message: message.get("id"),
        has_head=is_whole,
        id=text_in(head, "sessionId") or source.folder(),
        title=text_in(history, "task"),
        metadata=picked(head, "version", "agent", "sessionId")
        | picked(history, "workspace", "mode", "cwdOnTaskInitialization"),
    )


def assemble(values: Sequence[Any]) -> bytes:
    """Returns the file of its messages, and of what is around them."""
    is_whole = (
        bool(values) and isinstance(values[0], dict) and values[0].get("messages") == [] and "role" not in values[0]
    )
    return assemble_document(values, *(["messages"] if is_whole else []))


def _meaning(message: Fields) -> Fields:
    model, metrics = fields_in(message, "modelInfo"), fields_in(message, "metrics")
    usage = usage_in(
        metrics,
        "inputTokens",
        "outputTokens",
        cache_read="cacheReadTokens",
        cache_write="cacheWriteTokens",
        is_cache_apart=True,
    )
    config = {
        "model": model.get("id") or model.get("modelId"),
        "provider": model.get("provider") or model.get("providerId"),
    }
    is_made = message.get("role") == "assistant"
    return {
        "contents": _contents(message),
        "at_us": time_us(message.get("ts")),
        "config": picked(config, *config) if is_made else None,
        "usage": usage if is_made else None,
        "metadata": picked(message, "id", "ts", "isSummary", "condenseId", "truncationId"),
    }


def _contents(message: Fields) -> list[Fields]:
    if not _is_message(message) or not message["content"]:
        return []
    if message.keys() <= {"role", "content"}:
        return [message]
    return [{"role": message["role"], "content": message["content"]}]


def _is_message(value: Any) -> bool:
    is_one = isinstance(value, dict) and value.get("role") in ("user", "assistant")
    content = value.get("content") if is_one else None
    return isinstance(content, str) or (isinstance(content, list) and all(isinstance(block, dict) for block in content))
