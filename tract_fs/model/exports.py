"""Exports: messages as a provider takes them, in an order that it accepts and without what is empty.

Providers refuse a request with a tool result that does not follow its call at once, or with blocks of another provider,
and many refuse an empty message or text block, then and in every later request. So all are put right here, and only
here: a compiled context keeps what was committed. Rules: guide/api.md; of blocks: model/blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from tract_fs.model import canonical
from tract_fs.model.blocks import to_chat
from tract_fs.model.messages import Message, Rendering, is_text_block, tool_ids
from tract_fs.model.tool_order import ToolIds, place_results

Exported = tuple[dict[str, Any], tuple[str, ...]]  # a message, and the commits that it came from
Flaw = Literal["message", "block", "order"]

_THINKING = "has thinking of the model, which another provider does not take; to_openai() left it out"
_LABELS = frozenset(["role", "name", "content", "id", "type"])  # say nothing to the model by themselves


def openai_messages(
    messages: Sequence[Message], *, as_committed: bool, warn: Callable[[str], object]
) -> list[Exported]:
    """Returns messages as OpenAI's chat completions take them (fresh); neighbouring tool calls share one.

    What lies between a tool call and its results goes behind the results, an empty message or text block is left
    out, and blocks of other providers are converted, unless they go out `as_committed`. Calls `warn` with a sentence for each
    commit whose thinking is left out. Errors: ExportError.
    """
    result: list[Exported] = []
    is_open = False
    for message in messages:
        converted = message.to_openai()
        made = [converted]
        if not as_committed and not _has_text(converted.get("content")):
            kept = _without_empty(converted)
            if kept is None:
                continue
            made, has_thinking = to_chat(kept, message.commit_hashes)
            for name in message.commit_hashes if has_thinking else ():
                warn(f"commit {name} {_THINKING}")
        is_call = message.is_tool_io and "tool_calls" in converted
        if is_call and is_open:
            before, commits = result[-1]
            before["tool_calls"] += converted["tool_calls"]
            result[-1] = before, (*commits, *message.commit_hashes)
        else:
            result += [(one, message.commit_hashes) for one in made]
        is_open = is_call
    if as_committed:
        return result
    placement = place_results([_ids_of(message) for message, _ in result])
    return [result[position] for position in placement.order] if placement.late else result


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


_NO_IDS = ToolIds((), ())


def _ids_of(message: dict[str, Any]) -> ToolIds:
    if type(message.get("content")) is str and "tool_calls" not in message and "tool_call_id" not in message:
        return _NO_IDS
    return ToolIds(*tool_ids(message))


def _without_empty(message: dict[str, Any]) -> dict[str, Any] | None:
    """Returns a message without its empty text blocks, None if nothing is left; changes the message."""
    if _is_empty(message):
        return None
    blocks = message.get("content")
    if isinstance(blocks, list):
        kept = [block for block in blocks if not _is_empty_block(block)]
        message["content"] = kept or ("" if message.get("role") == "tool" else None)
    return message


def _is_empty(message: dict[str, Any]) -> bool:
    """Returns whether a provider message has no content, and no other field with anything in it."""
    content = message.get("content")
    if isinstance(content, list):
        is_empty = all(map(_is_empty_block, content))
    else:
        is_empty = content is None or (isinstance(content, str) and _is_blank(content))
    return is_empty and all(
        value is None or value == "" or value == [] or value == {}
        for key, value in message.items()
        if key not in _LABELS
    )


def _is_empty_block(block: object) -> bool:
    return isinstance(block, dict) and is_text_block(block) and _is_blank(block["text"])


def _has_late_results(blocks: list[Any]) -> bool:
    places = [place for place, block in enumerate(blocks) if _is_result(block)]
    return bool(places) and places[-1] != len(places) - 1


def _is_result(block: object) -> bool:
    return isinstance(block, dict) and block.get("type") == "tool_result"


def _has_text(content: object) -> bool:
    return type(content) is str and not _is_blank(content)


def _is_blank(text: str) -> bool:
    return not text or text.isspace()
