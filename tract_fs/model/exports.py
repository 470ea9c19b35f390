"""Exports: what an export puts right inside one message, and a message without what is empty in it.

Providers refuse a request with a tool result that does not follow its call at once, and many refuse an empty message or
text block, then and in every later request. Exports put both right, and only they: a compiled context keeps what was
committed. Rules: guide/api.md; exports: model/providers.
"""

from __future__ import annotations

from typing import Any, Literal

from tract_fs.model import canonical
from tract_fs.model.messages import Rendering
from tract_fs.model.shapes import is_item, is_text_block, part_of

Flaw = Literal["message", "block", "order"]

_LABELS = frozenset(["role", "name", "content", "parts", "id", "type"])  # say nothing to the model by themselves


def find_flaws(rendering: Rendering) -> list[Flaw]:
    """Returns what an export puts right inside one message.

    It is empty ("message"), it has an empty text block ("block"), or a tool result behind other blocks ("order").
    """
    if _has_text(rendering.text):
        return []
    if rendering.text is not None and rendering.content_type != "message":
        return ["message"]
    if rendering.body is None or rendering.content_type != "message":
        return []
    if rendering.calls and '"content":[' not in rendering.body:  # canonical JSON has no white space
        return []
    message = canonical.decode(rendering.body.encode())
    if _is_empty(message):
        return ["message"]
    blocks = message.get("content")
    if not isinstance(blocks, list):
        return []
    flaws: list[Flaw] = ["block"] if any(map(_is_empty_block, blocks)) else []
    return [*flaws, "order"] if _has_late_results(blocks) else flaws


def without_empty(message: dict[str, Any]) -> dict[str, Any] | None:
    """Returns a message without its empty text blocks, None if nothing is left; changes the message."""
    if _has_text(message.get("content")):
        return message
    if _is_empty(message):
        return None
    for key in ("content", "parts"):
        blocks = message.get(key)
        if isinstance(blocks, list):
            kept = [block for block in blocks if not _is_empty_block(block)]
            message[key] = kept or ("" if message.get("role") == "tool" else None)
    return message


def _is_empty(message: dict[str, Any]) -> bool:
    """Returns whether a provider message has no content, and no other field with anything in it."""
    if is_item(message):
        return False
    for key in ("content", "parts"):
        content = message.get(key)
        if isinstance(content, list):
            is_empty = all(map(_is_empty_block, content))
        else:
            is_empty = content is None or (isinstance(content, str) and _is_blank(content))
        if not is_empty:
            return False
    return all(
        value is None or value == "" or value == [] or value == {}
        for key, value in message.items()
        if key not in _LABELS
    )


def _is_empty_block(block: object) -> bool:
    """Returns whether a block or part is a text without anything in it."""
    if not isinstance(block, dict) or not isinstance(block.get("text"), str) or not _is_blank(block["text"]):
        return False
    return is_text_block(block) or ("type" not in block and part_of(block, "thought_signature") is None)


def _has_late_results(blocks: list[Any]) -> bool:
    places = [place for place, block in enumerate(blocks) if _is_result(block)]
    return bool(places) and places[-1] != len(places) - 1


def _is_result(block: object) -> bool:
    return isinstance(block, dict) and block.get("type") == "tool_result"


def _has_text(content: object) -> bool:
    return type(content) is str and not _is_blank(content)


def _is_blank(text: str) -> bool:
    return not text or text.isspace()
