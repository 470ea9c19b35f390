"""Conversations: lists of OpenAI's chat messages, request bodies, and files of them, which are no sessions.

A message is kept whole and read back equal. Source of the shapes: OpenAI API reference, "Create chat completion".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from tract_fs.errors import ArgumentError, ContentValidationError
from tract_fs.model import canonical
from tract_fs.model.content import MessageContent
from tract_fs.model.shapes import with_role

GENERATION_KEYS = (
    "model",
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "response_format",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning_effort",
    "verbosity",
    "modalities",
    "prediction",
    "service_tier",
)
_MESSAGE_KEYS = ("messages", "traj", "history")


class Conversation(Struct, frozen=True):
    """One message list of a file, with the generation config that its record names (None if it names none)."""

    messages: list[Any]
    generation_config: dict[str, Any] | None


def to_contents(messages: Sequence[object]) -> list[MessageContent]:
    """Returns one content per message. Errors: ContentValidationError naming the message."""
    if isinstance(messages, (str, bytes, dict)) or not isinstance(messages, Sequence):
        raise ArgumentError("messages: give a list of message dicts")
    contents = []
    for position, message in enumerate(map(canonical.dumped, messages)):
        message = with_role(message) if type(message) is dict else message
        if type(message) is not dict or type(message.get("role")) is not str:
            reason = "a message is a dict with a string 'role'"
            raise ContentValidationError(content_type="message", field=f"messages[{position}]", reason=reason)
        contents.append(MessageContent(message))
    return contents


def find_conversations(document: Any) -> list[Conversation]:
    """Returns the conversations of a decoded file: a message list, a request body, a record that holds a list, or a list of those.

    A message alone is a list of one: so begins a file of JSON lines. Errors: ArgumentError if there is none.
    """
    if _is_message_list(document):
        return [Conversation(document, None)]
    if _is_message_list([document]) and not any(key in document for key in _MESSAGE_KEYS):
        return [Conversation([document], None)]
    records = document if isinstance(document, list) else [document]
    conversations = []
    for record in records:
        messages = next((record[k] for k in _MESSAGE_KEYS if k in record), None) if isinstance(record, dict) else None
        if messages is None or not _is_message_list(messages):
            raise ArgumentError(
                "no OpenAI chat messages here: give a list of messages, an object with 'messages', or a list of such objects"
            )
        config = {key: record[key] for key in GENERATION_KEYS if record.get(key) is not None}
        conversations.append(Conversation(messages, config or None))
    if not conversations:
        raise ArgumentError("no messages in this file")
    return conversations


def _is_message_list(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in value)
    )
