"""Qwen Code: session files with Claude Code's graph and Gemini's messages.

Files: ~/.qwen/projects/<directory>/chats/<session>.jsonl, with those of sub-agents in <session>/subagents/.
"""

from __future__ import annotations

from typing import Any

from tract_fs.model.fields import fields_in, items_in, text_in
from tract_fs.model.usage import TokenUsage
from tract_fs.transcripts.graph import Node
from tract_fs.transcripts.graph_file import Form, check_graph, read_graph, writer_of
from tract_fs.transcripts.resume import SessionCheck
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Transcript
from tract_fs.transcripts.units import Unit, is_plain_json

NAME = "qwen"
_MESSAGES = frozenset(["user", "assistant", "tool_result"])
_METADATA = (
    *("uuid", "parentUuid", "sessionId", "timestamp", "cwd", "version", "gitBranch", "agentId", "subtype"),
    *("provenance", "isSidechain"),
)
_RECORD_METADATA = ("type", "subtype", "uuid", "sessionId")


def matches(source: Source) -> bool:
    """Returns whether a line of the graph has a message of Gemini's, or what Qwen Code alone writes."""
    return any(
        is_of_graph(record) and (isinstance(record.get("systemPayload"), dict) or bool(_parts(record)))
        for record in source.sample
    )


def read(source: Source) -> list[Transcript]:
    """Returns the session, with its sub-agents as branches."""
    return [read_graph(source, FORM)]


def check(source: Source) -> SessionCheck:
    """Returns what Qwen Code would load of a session."""
    return check_graph(source, FORM)


def is_of_graph(record: Any) -> bool:
    """Returns whether a record is a line of the graph."""
    return bool(text_in(record, "uuid")) and "parentUuid" in record


def contents_of(record: Any) -> list[dict[str, Any]]:
    """Returns what a model sees of a record, as messages in Gemini's form; after a compression, the history that is left."""
    if not isinstance(record, dict):
        return []
    if _is_compression(record):
        history = items_in(record.get("systemPayload"), "compressedHistory")
        return [one for one in history if text_in(one, "role") and isinstance(one.get("parts"), list)]
    message = record.get("message")
    is_message = text_in(record, "type") in _MESSAGES and text_in(message, "role") and _parts(record)
    return [{"role": message["role"], "parts": message["parts"]}] if is_message and isinstance(message, dict) else []


def metadata_of(record: Any, *, is_shown: bool) -> dict[str, Any]:
    """Returns what a line is found by; of one that no model sees, which is stored whole, its ids alone."""
    keys = _METADATA if is_shown else _RECORD_METADATA
    return {key: record[key] for key in keys if record.get(key) is not None} if isinstance(record, dict) else {}


def config_of(record: Any) -> dict[str, Any] | None:
    """Returns the generation config of a line: the model is all that a file has."""
    model = text_in(record, "model")
    return {"model": model} if model and text_in(record, "type") == "assistant" else None


def usage_of(record: Any) -> tuple[str, object] | None:
    """Returns the usage of a line of the assistant."""
    counts = fields_in(record, "usageMetadata")
    if text_in(record, "type") != "assistant" or not counts:
        return None
    prompt, output, thoughts, cached = (
        counts.get(f"{name}TokenCount") or 0 for name in ("prompt", "candidates", "thoughts", "cachedContent")
    )
    total = counts.get("totalTokenCount")
    if any(type(count) is not int for count in (prompt, output, thoughts, cached)):
        return "", counts
    usage = TokenUsage(
        prompt,
        output + thoughts,
        total if type(total) is int else prompt + output + thoughts,
        cache_read_tokens=cached,
        reasoning_tokens=thoughts,
    )
    return "", usage


def titles_of(record: Any) -> list[tuple[int, str]]:
    """Returns the title in a line: the last applies."""
    return [(0, text_in(record.get("systemPayload"), "customTitle"))] if isinstance(record, dict) else []


def node_of(record: dict[str, Any], unit: Unit, position: int, *, is_shown: bool) -> Node:
    """Returns the place of a line in the graph."""
    kind = text_in(record, "type")
    parts = [part for part in _parts(record) if isinstance(part, dict)]
    return Node(
        position=position,
        line=unit.line,
        uuid=record["uuid"],
        parent=text_in(record, "parentUuid"),
        writer=writer_of(record),
        is_message=kind in _MESSAGES,
        is_shown=is_shown,
        is_aside=bool(record.get("isSidechain")),
        is_parsed=is_plain_json(unit),
        calls=tuple(filter(None, (text_in(part.get("functionCall"), "id") for part in parts))),
        answers=tuple(filter(None, (text_in(part.get("functionResponse"), "id") for part in parts))),
        is_assistant=kind == "assistant",
        is_summary=_is_compression(record),
    )


def _parts(record: dict[str, Any]) -> list[Any]:
    return items_in(record.get("message"), "parts")


def _is_compression(record: dict[str, Any]) -> bool:
    return record.get("type") == "system" and record.get("subtype") == "chat_compression"


FORM = Form(
    name=NAME,
    is_of_graph=is_of_graph,
    node_of=node_of,
    contents_of=contents_of,
    metadata_of=metadata_of,
    config_of=config_of,
    usage_of=usage_of,
    titles_of=titles_of,
)
