"""Reading: makes a turn of any message, by the shape that it has. Nothing is refused here: what can't be read becomes a
part with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tract_fs.model.fields import Fields, items_of, text_in
from tract_fs.model.messages import Message
from tract_fs.model.providers import anthropic, gemini, openai_chat, openai_responses
from tract_fs.model.providers.parts import Call, Part, Result, Text, Turn, Unreadable, described
from tract_fs.model.shapes import Shape, is_gemini, is_item, is_text_block, shape_of

_CHAT_BLOCKS = {
    "image_url": openai_chat.read_image,
    "file": openai_chat.read_file,
    "input_audio": openai_chat.read_audio,
}


def read_turn(message: Message, fields: Fields) -> Turn:
    """Returns the turn of a message; `fields` is what `Message.to_openai()` returns for it, or what is left of that."""
    commits = message.commit_hashes
    if message.is_tool_io:
        return _read_chat(fields, commits, joins="tool_calls" in fields)
    if is_gemini(fields):
        return _read_gemini(fields, commits)
    if is_item(fields):
        part = openai_responses.read_item(fields, _Blocks("openai-responses"))
        role = "tool" if isinstance(part, Result) else "assistant"
        return Turn(role, [part], commits, raw=fields, joins=isinstance(part, Call), is_item=True)
    return _read_chat(fields, commits)


def _read_gemini(fields: Fields, commits: tuple[str, ...]) -> Turn:
    role = fields.get("role")
    parts = gemini.read_parts(fields["parts"])
    known = {"model": "assistant", "function": "user", "tool": "user"}
    is_plain = len(parts) == 1 and isinstance(parts[0], Text)
    return Turn(known.get(str(role), str(role)), parts, commits, is_plain=is_plain)


def _read_chat(fields: Fields, commits: tuple[str, ...], *, joins: bool = False) -> Turn:
    role, content, name = text_in(fields, "role"), fields.get("content"), fields.get("name")
    shape = shape_of(fields)
    parts = list(_Blocks(shape)(items_of(content), role))
    is_plain = isinstance(content, str)
    if isinstance(content, str):
        parts = [Text(text=content)]
    elif not isinstance(content, list | None):
        parts = [Unreadable(reason=f"a content of type {type(content).__name__}")]
    if role in ("tool", "function") and not is_item(fields):
        result = openai_chat.read_result(fields, content if isinstance(content, str) else tuple(parts))
        return Turn("tool", [result], commits, raw=fields)
    if isinstance(fields.get("refusal"), str):
        parts.append(Text(text=fields["refusal"], is_refusal=True))
    parts += openai_chat.read_calls(fields)
    return Turn(
        role,
        parts,
        commits,
        name=name if isinstance(name, str) else None,
        raw=fields,
        is_plain=is_plain,
        joins=joins,
        is_item=fields.get("type") == "message" and shape == "openai-responses",
    )


class _Blocks:
    """Reads lists of blocks in messages of one shape."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def __call__(self, blocks: Sequence[object], role: str) -> tuple[Part, ...]:
        return tuple(self._read(block, role) for block in blocks)

    def _read(self, block: Any, role: str) -> Part:
        if not isinstance(block, dict):
            return Unreadable(reason=described(block, role))
        kind = block.get("type")
        if not isinstance(kind, str | None):
            return Unreadable(raw=block, shape=self._shape, reason=described(block, role))
        if is_text_block(block):
            return Text(text=block["text"], raw=block, shape=_TEXT_SHAPES.get(kind, self._shape))
        if kind == "refusal" and isinstance(block.get("refusal"), str):
            return Text(text=block["refusal"], is_refusal=True, raw=block, shape=self._shape)
        if kind in _CHAT_BLOCKS:
            return _CHAT_BLOCKS[kind](block, role)
        part = openai_responses.read_block(block, role) or anthropic.read_block(block, role, self)
        if part is not None:
            return part
        return Unreadable(raw=block, shape=self._shape, reason=described(block, role))


_TEXT_SHAPES: dict[Any, Shape] = {"input_text": "openai-responses", "output_text": "openai-responses"}
