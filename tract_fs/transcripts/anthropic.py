"""Anthropic messages as sessions: message lists, request bodies, and responses, as documents or a line each.

Source of the shapes: Anthropic API reference, "Messages".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tract_fs.model.fields import Fields, fields_of, items_in, picked, text_in
from tract_fs.transcripts.blocks import system_prompt, texts_of, tool_definitions
from tract_fs.transcripts.message_lists import Family, Parsed, assemble_as, blocks_of, is_message, is_of, read_as
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Transcript

NAME = "anthropic"
_BLOCKS = frozenset(
    ["tool_use", "tool_result", "thinking", "redacted_thinking", "server_tool_use", "document", "compaction", "image"]
)
_OWN_KEYS = ("system", "anthropic_version", "anthropic_beta", "stop_sequences", "thinking", "output_config")
_CONFIG = (
    "model",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "thinking",
    "output_config",
    "tool_choice",
    "service_tier",
)


def matches(source: Source) -> bool:
    """Returns whether the file is a list of messages with blocks, a body with one, or a response."""
    return is_of(source, _FAMILY)


def read(source: Source) -> list[Transcript]:
    """Returns the conversations of a file."""
    return read_as(source, _FAMILY)


def assemble(values: Sequence[Any]) -> bytes:
    """Returns the document of an exported conversation."""
    return assemble_as(values, _FAMILY)


def _is_response(value: Fields) -> bool:
    return value.get("type") == "message" and is_message(value) and "stop_reason" in value


def _is_list(messages: list[Any]) -> bool:
    has_own = any(text_in(block, "type") in _BLOCKS for block in blocks_of(messages))
    return has_own and is_message(messages[0])


def _is_body(body: Fields, messages: list[Any]) -> bool:
    if not messages or not is_message(messages[0]):
        return False
    tools = items_in(body, "tools")
    has_own_tools = any("input_schema" in fields_of(tool) for tool in tools)
    return has_own_tools or any(key in body for key in _OWN_KEYS) or _is_list(messages)


def _parse(value: Any) -> Parsed:
    record = fields_of(value)
    if _is_response(record):
        message = {"role": record["role"], "content": record.get("content")}
        return Parsed([message], picked(record, "model"), record.get("usage"))
    return Parsed([value] if is_message(value) else [])


def _head(body: Fields) -> list[Any]:
    text = "\n\n".join(texts_of(body.get("system")))
    return [*system_prompt(text), *tool_definitions(body.get("tools"))]


_FAMILY = Family(
    name=NAME,
    keys=("messages",),
    is_body=_is_body,
    is_list=_is_list,
    is_response=_is_response,
    parse=_parse,
    head=_head,
    config=_CONFIG,
)
