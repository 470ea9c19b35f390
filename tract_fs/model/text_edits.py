"""Text edits: a content with another text and all else as it was. Pure."""

from __future__ import annotations

import json
from typing import Any

from tract_fs.errors import ContentValidationError
from tract_fs.model.fields import items_of
from tract_fs.model.shapes import is_text_block

_OF_PAYLOADS = frozenset(["tool_io", "freeform"])


def with_text(fields: dict[str, Any], text: str) -> dict[str, Any]:
    """Returns the fields of a content with another text, for `tool_io` and `freeform` with another payload, as JSON unless
    it is a string.

    The one text block of a provider message is replaced, and its other blocks stay.
    Errors: ContentValidationError if the content has no text, or several of them.
    """
    kind = fields["content_type"]
    if kind == "message":
        message = fields["message"]
        return fields | {"message": message | {"content": _content_with_text(message.get("content"), text)}}
    if kind in _OF_PAYLOADS:
        return fields | {"payload": text if isinstance(fields["payload"], str) else _payload(kind, text)}
    key = next((key for key in ("text", "content") if isinstance(fields.get(key), str)), None)
    if key is None:
        raise ContentValidationError(content_type=kind, field="text", reason=f"it has no text; {_WHOLE}")
    return fields | {key: text}


_WHOLE = "give the whole content (in the command: --json-content)"


def _content_with_text(content: object, text: str) -> object:
    if content is None or content == [] or isinstance(content, str):
        return text
    blocks = items_of(content)
    places = [place for place, block in enumerate(blocks) if is_text_block(block)]
    if len(places) != 1:
        count = f"{len(places)} text blocks" if places else "no text block"
        reason = f"it has {count}, so a text alone can't replace it; {_WHOLE}"
        raise ContentValidationError(content_type="message", field="message.content", reason=reason)
    return [block | {"text": text} if place == places[0] else block for place, block in enumerate(blocks)]


def _payload(kind: str, text: str) -> object:
    try:
        return json.loads(text)  # keeps integers beyond 64 bits, for the encoder to refuse
    except (ValueError, RecursionError) as error:
        reason = f"its text is a payload, and this is not JSON: {error}"
        raise ContentValidationError(content_type=kind, field="payload", reason=reason) from None
