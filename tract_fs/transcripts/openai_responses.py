"""OpenAI responses as sessions: lists of items, request bodies, and responses, as documents or a line each.

An item without a role gets one. Source of the shapes: OpenAI API reference, "Create a model response".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tract_fs.model.fields import Fields, fields_of, items_of, picked, text_in
from tract_fs.transcripts.blocks import system_prompt, tool_definitions
from tract_fs.transcripts.message_lists import Family, Parsed, assemble_as, blocks_of, is_message, is_of, read_as
from tract_fs.transcripts.response_items import is_item, message_of
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Transcript

NAME = "openai-responses"
_PARTS = ("input_text", "output_text", "input_image", "input_file")
_CONFIG = (
    "model",
    "temperature",
    "top_p",
    "max_output_tokens",
    "max_tool_calls",
    "parallel_tool_calls",
    "reasoning",
    "text",
    "tool_choice",
    "top_logprobs",
    "truncation",
    "service_tier",
)


def matches(source: Source) -> bool:
    """Returns whether the file is a list of items, a body with one, or a response."""
    document = source.document
    is_text = isinstance(document, dict) and isinstance(document.get("input"), str) and "model" in document
    return is_text or is_of(source, _FAMILY)


def read(source: Source) -> list[Transcript]:
    """Returns the conversations of a file."""
    return read_as(source, _FAMILY)


def assemble(values: Sequence[Any]) -> bytes:
    """Returns the document of an exported conversation."""
    return assemble_as(values, _FAMILY)


def _is_response(value: Fields) -> bool:
    return value.get("object") == "response" and isinstance(value.get("output"), list)


def _is_list(records: list[Any]) -> bool:
    """Returns whether records are items, of which one at least is in no other form."""
    items = [fields_of(record) for record in records]
    is_own = any(map(is_item, items)) or any(block.get("type") in _PARTS for block in blocks_of(records))
    return is_own and any(is_item(item) or is_message(item) for item in items[:1])


def _parse(value: Any) -> Parsed:
    record = fields_of(value)
    if _is_response(record):
        made = [message_of(fields_of(item)) for item in items_of(record["output"])]
        config = picked(record, *_CONFIG)
        return Parsed([message for message in made if message is not None], config, record.get("usage"))
    if isinstance(record.get("input"), str) and not is_message(record) and not is_item(record):
        return Parsed([*_head(record), {"role": "user", "content": record["input"]}])
    message = record if is_message(record) else message_of(record)
    return Parsed([] if message is None else [message])


def _head(body: Fields) -> list[Any]:
    text = text_in(body, "instructions")
    return [*system_prompt(text), *tool_definitions(body.get("tools"))]


_FAMILY = Family(
    name=NAME,
    keys=("input",),
    is_body=lambda body, items: not items or is_message(items[0]) or is_item(fields_of(items[0])),
    is_list=_is_list,
    is_response=_is_response,
    parse=_parse,
    head=_head,
    config=_CONFIG,
    has_lines=True,
)
