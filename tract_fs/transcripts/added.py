"""One message in whatever form a program has it: a text, a dict, an object of a provider's SDK, a whole response."""

from __future__ import annotations

from typing import Any

from tract_fs.model import canonical
from tract_fs.model.content import DialogueContent, MessageContent


def to_content(message: object) -> object:
    """Returns the content for a message; what is none of these forms as it is, for the writer to check.

    Of a response, only what the provider takes back as a message.
    """
    if isinstance(message, str):
        return DialogueContent("user", message)
    fields = canonical.dumped(message)
    if type(fields) is not dict or "content_type" in fields:
        return message
    return MessageContent(_message_in(fields))


def _message_in(fields: dict[str, Any]) -> dict[str, Any]:
    """Returns the message in a response of OpenAI's chat completions, of Anthropic or of Gemini, else `fields`."""
    if fields.get("object") == "chat.completion" and fields.get("choices"):
        message: dict[str, Any] = fields["choices"][0]["message"]
        return message
    if fields.get("type") == "message" and "stop_reason" in fields:
        return {"role": fields["role"], "content": fields["content"]}
    candidates = fields.get("candidates")
    if isinstance(candidates, list) and candidates and isinstance(candidates[0], dict) and "role" not in fields:
        content = candidates[0].get("content")
        return content if isinstance(content, dict) else fields
    return fields
