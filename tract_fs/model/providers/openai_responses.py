"""OpenAI's responses: reads their items, and writes turns as items.

An item that came from there goes back as it came, but for the role that the store needs. Calls and results are items of
their own. Reasoning without what follows it is refused, so it is left out. Source: OpenAI API reference, "Responses";
types of the package openai 3.57.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tract_fs.model import canonical
from tract_fs.model.fields import Fields
from tract_fs.model.providers.openai_chat import file_of
from tract_fs.model.providers.parts import (
    Call,
    Media,
    NoFormError,
    Notes,
    Part,
    Result,
    Sealed,
    Text,
    Thinking,
    Turn,
    Unreadable,
    described,
    media_of_url,
    refused,
)
from tract_fs.model.shapes import Shape, is_item

SHAPE: Shape = "openai-responses"
ReadBlocks = Callable[[Sequence[object], str], tuple[Part, ...]]
_ROLES = frozenset(["user", "assistant", "system", "developer"])
_MADE_ROLES = ("assistant", "tool")  # that an item without a role is given
_INPUTS = ("arguments", "input", "action", "operation")


def read_block(block: Fields, role: str) -> Part | None:
    """Returns the part that a block of a message or of an output is; None if it is none."""
    kind = block.get("type")
    if kind == "input_image":
        url, detail, file_id = (block.get(key) for key in ("image_url", "detail", "file_id"))
        more = {"detail": detail if isinstance(detail, str) else None}
        if isinstance(url, str):
            return media_of_url(url, "image", block, SHAPE, **more)
        if isinstance(file_id, str):
            return Media(kind="image", file_id=file_id, raw=block, shape=SHAPE, **more)
        return Unreadable(raw=block, shape=SHAPE, reason=described(block, role))
    if kind == "computer_screenshot" and isinstance(block.get("image_url"), str):
        return media_of_url(block["image_url"], "image", {**block, "type": "input_image", "detail": "auto"}, SHAPE)
    return file_of(block, block, role, SHAPE) if kind == "input_file" else None


def read_item(item: Fields, read_blocks: ReadBlocks) -> Part:
    """Returns the part that an item other than a message is."""
    kind, call_id = item["type"], item.get("call_id")
    if kind == "reasoning":
        return Thinking(raw=item, shape=SHAPE)
    if not isinstance(call_id, str) or not call_id:
        return Sealed(raw=item, shape=SHAPE, kind=kind)
    if not kind.endswith("_output"):
        name = item.get("name")
        name = name if isinstance(name, str) else kind.removesuffix("_call")
        value: Any = next((item[key] for key in _INPUTS if key in item), {})
        arguments = value if isinstance(value, str) else canonical.encode_checked(value).decode()
        is_free = kind == "custom_tool_call"
        return Call(key=call_id, id=call_id, name=name, arguments=arguments, is_free=is_free, raw=item, shape=SHAPE)
    output = item.get("output")
    if isinstance(output, dict) and output.get("type") == "computer_screenshot":
        output = [output]
    if isinstance(output, list) and all(isinstance(one, dict) and "type" in one for one in output):
        content: str | tuple[Part, ...] = read_blocks(output, "user")
    else:
        content = output if isinstance(output, str) else canonical.encode_checked(output).decode()
    return Result(key=call_id, id=call_id, content=content, raw=item, shape=SHAPE)


def emit(turn: Turn, notes: Notes) -> list[Fields]:
    """Returns the items of a turn. Errors: NoFormError."""
    raw = turn.raw
    if raw is not None and raw.get("type") == "message":
        found = _message_as_it_was(raw, turn)
        if found is not None:
            return found
    notes.name(turn, SHAPE)
    if turn.role not in _ROLES and turn.role != "tool":
        raise NoFormError(f"a message of role {turn.role!r}")
    items: list[Fields] = []
    blocks: list[Fields] = []
    for part in turn.parts:
        made = _item(part, turn)
        if made is None:
            if not isinstance(part, Text) or part.text.strip():
                blocks.append(_block(part, turn.role))
            continue
        items += _message(blocks, turn)
        blocks = []
        items.append(made)
    return [*items, *_message(blocks, turn)]


def without_lone_reasoning(
    items: list[tuple[Fields, tuple[str, ...]]], notes: Notes
) -> list[tuple[Fields, tuple[str, ...]]]:
    """Returns items without the reasoning that no item of the model follows, which the provider refuses."""
    kept: list[tuple[Fields, tuple[str, ...]]] = []
    for item, commits in reversed(items):
        follower = kept[-1][0] if kept else {"role": "user"}
        is_of_model = follower.get("role", "assistant") == "assistant" and not str(follower.get("type")).endswith(
            "_output"
        )
        if item.get("type") == "reasoning" and not is_of_model:
            turn = Turn("assistant", [], commits)
            notes.left_out(turn, "has reasoning of the model, and what it led to does not follow it")
            continue
        kept.append((item, commits))
    return kept[::-1]


def _message_as_it_was(raw: Fields, turn: Turn) -> list[Fields] | None:
    """Returns a message that is of OpenAI's responses as it came, whole; None if it has to be made."""
    content, role = raw.get("content"), raw.get("role")
    if role not in _ROLES or any(isinstance(part, Unreadable) for part in turn.parts):
        return None
    if role != "assistant" or not isinstance(content, list):
        if any(part.native(SHAPE) is None and not isinstance(part, Text) for part in turn.parts):
            return None
        blocks = [_whole(block) for block in content] if isinstance(content, list) else content
        return [{**_cleared(raw), "content": blocks}]
    if any(not isinstance(part, Text) for part in turn.parts):
        return None
    if "id" in raw:
        blocks = [{"annotations": [], **block} if block.get("type") == "output_text" else block for block in content]
        return [{"status": "completed", **_cleared(raw), "content": blocks}]
    text = "".join(part.text for part in turn.parts if isinstance(part, Text))
    return [{**_cleared(raw), "content": text}]


def _cleared(item: Fields) -> Fields:
    """Returns an item without what Codex keeps in it for itself, and what the provider returns but does not take."""
    is_custom = item.get("type") == "custom_tool_call"
    return {
        key: value
        for key, value in item.items()
        if not key.startswith("internal_")
        and not (key == "content" and value is None)
        and not (key == "status" and is_custom)
    }


def _whole(block: Fields) -> Fields:
    return {"detail": "auto", **block} if block.get("type") == "input_image" else block


def _message(blocks: list[Fields], turn: Turn) -> list[Fields]:
    if not blocks:
        return []
    phase = turn.raw.get("phase") if turn.raw is not None else None
    made: Fields = {"type": "message", "role": turn.role, **({"phase": phase} if isinstance(phase, str) else {})}
    if turn.role == "assistant":  # as a list, its texts would need the ids of a response
        return [{**made, "content": block["text"]} for block in blocks]
    is_text = len(blocks) == 1 and blocks[0].keys() == {"type", "text"}
    return [{**made, "content": blocks[0]["text"] if is_text and turn.is_plain else blocks}]


def _item(part: Part, turn: Turn) -> Fields | None:
    """Returns the item of a part that is one by itself, else None."""
    native = part.native(SHAPE)
    if native is not None and is_item(native):
        made = {key: value for key, value in _cleared(native).items() if key != "role" or value not in _MADE_ROLES}
        if isinstance(part, Call | Result):
            made["call_id"] = part.id
        return {"summary": [], **made} if made["type"] == "reasoning" else made
    if isinstance(part, Call) and turn.role == "assistant":
        if part.is_free:
            return {"type": "custom_tool_call", "call_id": part.id, "name": part.name, "input": part.arguments}
        return {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": part.arguments}
    if isinstance(part, Result) and turn.role == "tool":
        kind = "custom_tool_call_output" if part.is_free else "function_call_output"
        content: Any = part.content
        if not isinstance(content, str):
            content = [_block(one, "user") for one in content if not (isinstance(one, Text) and not one.text)] or ""
        return {"type": kind, "call_id": part.id, "output": content}
    return None


def _block(part: Part, role: str) -> Fields:
    native = part.native(SHAPE)
    if native is not None and not isinstance(part, Unreadable) and role != "assistant":
        return _whole(native)
    if isinstance(part, Text):
        return {"type": "input_text", "text": part.text}
    if not isinstance(part, Media) or role != "user":
        raise refused(part, role)
    if part.kind == "image" and part.data_url is not None:
        return {"type": "input_image", "image_url": part.data_url, "detail": part.detail or "auto"}
    text = part.decoded() if part.kind == "document" else None
    if text is not None:
        return {"type": "input_text", "text": text}
    if part.kind == "document" and part.url is not None:
        return {"type": "input_file", "file_url": part.url}
    if part.kind == "document" and part.data is not None:
        return {"type": "input_file", "filename": part.title or "document.pdf", "file_data": part.data_url}
    if part.kind == "document" and part.file_id is not None and part.shape == "openai":
        return {"type": "input_file", "file_id": part.file_id}
    raise refused(part, role)
