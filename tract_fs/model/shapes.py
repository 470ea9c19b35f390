"""Shapes: the four native forms of a provider message that the store holds, and the tool calls in each.

OpenAI's chat messages, items of OpenAI's responses, Anthropic's messages, and Gemini's contents. A stored message has a
role (FORMAT.md, section 4); an item that has none is given one where it is added. Sources: the API references and typed
packages of the three providers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

from tract_fs.model.fields import Fields, fields_of, items_in, text_in

Shape = Literal["openai", "openai-responses", "anthropic", "gemini"]
SHAPES: tuple[Shape, ...] = get_args(Shape)

CHAT_PARTS = {
    "user": frozenset(["text", "image_url", "input_audio", "file"]),
    "assistant": frozenset(["text", "refusal"]),
    "system": frozenset(["text"]),
    "developer": frozenset(["text"]),
    "tool": frozenset(["text"]),
}
_CHAT_TYPES = frozenset().union(*CHAT_PARTS.values())
_TEXT_BLOCKS = ("text", "input_text", "output_text")
_ITEM_ENDS = ("_call", "_output", "_request", "_response", "_update")
_ITEMS = frozenset(
    (
        *("reasoning", "compaction", "compaction_summary", "context_compaction", "compaction_trigger"),
        *("item_reference", "program", "mcp_list_tools", "additional_tools", "agent_message", "ghost_snapshot"),
    )
)


def with_role(message: Fields) -> Fields:
    """Returns a message with a role: an item of OpenAI's responses is of the assistant, its output of the tool, a
    content of Gemini of the user. What has a role, or none of these forms, stays as it is.
    """
    if "role" in message:
        return message
    if is_item(message):
        return {**message, "role": "tool" if message["type"].endswith("_output") else "assistant"}
    return {**message, "role": "user"} if is_gemini(message) else message


def is_item(message: Fields) -> bool:
    """Returns whether a message is an item of OpenAI's responses other than a message."""
    kind = message.get("type")
    return isinstance(kind, str) and (kind in _ITEMS or kind.endswith(_ITEM_ENDS))


def is_gemini(message: Fields) -> bool:
    """Returns whether a message is a content of Gemini."""
    parts = message.get("parts")
    if not isinstance(parts, list) or message.get("content") is not None:
        return False
    return all(isinstance(part, dict) and "type" not in part for part in parts)  # parts of other tools have a type


def shape_of(message: Fields) -> Shape:
    """Returns the shape of a message; "openai" where it has nothing of the others, as a text."""
    if is_gemini(message):
        return "gemini"
    if is_item(message):
        return "openai-responses"
    kinds = [fields_of(block).get("type") for block in items_in(message, "content")]
    foreign = [kind for kind in kinds if isinstance(kind, str) and kind not in _CHAT_TYPES]
    if any(kind.startswith(("input_", "output_")) for kind in foreign):
        return "openai-responses"
    if foreign or "stop_reason" in message:
        return "anthropic"
    return "openai-responses" if message.get("type") == "message" else "openai"


def is_text_block(block: object) -> bool:
    """Returns whether a block of a provider message is a text (OpenAI, Anthropic)."""
    return isinstance(block, dict) and block.get("type") in _TEXT_BLOCKS and isinstance(block.get("text"), str)


def tool_ids(message: Fields) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the ids of the tool calls that a provider message makes, and of those it answers.

    A call without an id, of Gemini or of OpenAI's old functions, goes by its name and its place among those of the
    message.
    """
    if is_gemini(message):
        return _gemini_ids(message["parts"])
    call_id = message.get("call_id")
    if isinstance(call_id, str) and call_id and is_item(message):
        return ((), (call_id,)) if message["type"].endswith("_output") else ((call_id,), ())
    calls = [text_in(call, "id") for call in items_in(message, "tool_calls")]
    answers = [text_in(message, "tool_call_id")] if message.get("role") == "tool" else []
    for block in items_in(message, "content"):
        if isinstance(block, dict) and block.get("type") == "tool_use":
            calls.append(text_in(block, "id"))
        elif isinstance(block, dict) and block.get("type") == "tool_result":
            answers.append(text_in(block, "tool_use_id"))
    if isinstance(message.get("function_call"), dict):
        calls += named_ids([message["function_call"]])
    elif message.get("role") == "function":
        answers += named_ids([message])
    return tuple(filter(None, calls)), tuple(filter(None, answers))


def named_ids(calls: list[Fields]) -> Iterator[str]:
    """Yields the ids of the calls, or of the results, of one message; of those without one the name and the place."""
    counts: dict[str, int] = {}
    for call in calls:
        id_ = text_in(call, "id")
        if id_:
            yield id_
            continue
        key = f"{text_in(call, 'name')}()"
        counts[key] = counts.get(key, 0) + 1
        yield key if counts[key] == 1 else f"{key}#{counts[key]}"


def part_of(part: object, name: str) -> Any:
    """Returns a field of one of Gemini's parts, named `as_this` or `asThis`; None if it is not there."""
    if not isinstance(part, dict):
        return None
    first, *rest = name.split("_")
    return part.get(name, part.get(first + "".join(word.title() for word in rest)))


def _gemini_ids(parts: list[object]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    found = [[part_of(part, name) for part in parts] for name in ("function_call", "function_response")]
    calls, answers = ([call for call in one if isinstance(call, dict)] for one in found)
    return tuple(named_ids(calls)), tuple(named_ids(answers))
