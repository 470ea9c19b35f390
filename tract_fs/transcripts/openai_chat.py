"""OpenAI chat messages as sessions: message lists, request bodies, chat completions, and records that hold a message list.

A record may have its list as `traj` (tau-bench) or `history` (SWE-agent), too. Source of the shapes: OpenAI API
reference, "Create chat completion".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tract_fs.model.fields import Fields, fields_of, items_of, picked
from tract_fs.transcripts.blocks import tool_definitions
from tract_fs.transcripts.conversations import GENERATION_KEYS
from tract_fs.transcripts.message_lists import Family, Parsed, assemble_as, is_message, is_of, read_as
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Transcript

NAME = "openai-chat"


def matches(source: Source) -> bool:
    """Returns whether the file is a list of messages, a body with one, or a chat completion."""
    return is_of(source, _FAMILY)


def read(source: Source) -> list[Transcript]:
    """Returns the conversations of a file."""
    return read_as(source, _FAMILY)


def assemble(values: Sequence[Any]) -> bytes:
    """Returns the document of an exported conversation."""
    return assemble_as(values, _FAMILY)


def _is_response(value: Fields) -> bool:
    return value.get("object") == "chat.completion" and isinstance(value.get("choices"), list)


def _parse(value: Any) -> Parsed:
    if is_message(value):
        return Parsed([value])
    record = fields_of(value)
    if not _is_response(record):
        return Parsed([])
    choices = items_of(record["choices"])
    message = fields_of(choices[0]).get("message") if choices else None
    return Parsed([message] if is_message(message) else [], picked(record, "model"), record.get("usage"))


_FAMILY = Family(
    name=NAME,
    keys=("messages", "traj", "history"),
    is_body=lambda _body, messages: bool(messages) and is_message(messages[0]),
    is_list=lambda messages: is_message(messages[0]),
    is_response=_is_response,
    parse=_parse,
    head=lambda body: [*tool_definitions(body.get("tools"))],
    config=GENERATION_KEYS,
)
