"""Anthropic's messages: reads their blocks, and writes turns as messages.

Results come first in the user's message behind their calls; neighbours of one role are one message. Thinking goes back
as it came, with its signature. Source: Anthropic API reference, "Messages"; types of the package anthropic 2.14.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tract_fs.model import canonical
from tract_fs.model.fields import Fields, text_in
from tract_fs.model.providers.parts import (
    Call,
    Media,
    MediaKind,
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
from tract_fs.model.shapes import Shape, is_text_block

SHAPE: Shape = "anthropic"
ReadBlocks = Callable[[Sequence[object], str], tuple[Part, ...]]
_SEALED = frozenset(
    (
        *("server_tool_use", "mcp_tool_use", "container_upload", "fallback", "compaction"),
        *("tool_reference", "tool_addition", "tool_removal"),
    )
)
_TEXT_FIELDS = frozenset(["type", "text", "cache_control", "citations"])
_IMAGE_TYPES = frozenset(["image/jpeg", "image/png", "image/gif", "image/webp"])


def read_block(block: Fields, role: str, read_blocks: ReadBlocks) -> Part | None:
    """Returns the part that a block of Anthropic's is; None if it is none."""
    kind = block.get("type")
    if kind == "tool_use":
        return _read_call(block)
    if kind == "tool_result":
        return _read_result(block, read_blocks)
    if kind in ("thinking", "redacted_thinking"):
        is_whole = kind != "thinking" or bool(block.get("signature"))
        return Thinking(raw=block, shape=SHAPE, is_whole=is_whole)
    if kind in ("image", "document"):
        return _read_media(block, kind, role)
    if kind == "search_result":
        found = block.get("content")
        if isinstance(found, list) and all(map(is_text_block, found)):
            text = "\n".join([str(block.get("title", "")), *(one["text"] for one in found)])
            return Text(text=text, raw=block, shape=SHAPE)
    if isinstance(kind, str) and (kind in _SEALED or kind.endswith("_tool_result")):
        summary = block.get("content") if kind == "compaction" else None
        return Sealed(raw=block, shape=SHAPE, kind=kind, text=summary if isinstance(summary, str) else None)
    return None


def _read_call(block: Fields) -> Part:
    name = block.get("name")
    if not isinstance(name, str):
        return Unreadable(reason="a tool_use block without a string 'name'")
    arguments = canonical.encode_checked(block.get("input", {})).decode()
    id_ = text_in(block, "id") or None
    return Call(key=id_ or f"{name}()", id=id_, name=name, arguments=arguments, raw=block, shape=SHAPE)


def _read_result(block: Fields, read_blocks: ReadBlocks) -> Part:
    id_, content = block.get("tool_use_id"), block.get("content")
    if not isinstance(id_, str):
        return Unreadable(reason="a tool_result block without a string 'tool_use_id'")
    if not isinstance(content, list | str | None):
        reason = "a tool result that is neither a text nor a list of blocks"
        return Unreadable(reason=reason)
    found = read_blocks(content, "user") if isinstance(content, list) else content or ""
    return Result(key=id_, id=id_, content=found, is_error=block.get("is_error") is True, raw=block, shape=SHAPE)


def _read_media(block: Fields, kind: MediaKind, role: str) -> Part:
    """Returns the image or document of Anthropic, or of the model context protocol."""
    source = block.get("source", block)
    more: dict[str, Any] = {"title": text_in(block, "title") or None}
    if isinstance(source, dict):
        shape: Any = SHAPE if source is not block else None
        of, data = source.get("type"), source.get("data")
        media_type = source.get("media_type", source.get("mimeType"))
        if of == "url" and isinstance(source.get("url"), str):
            return media_of_url(source["url"], kind, block, shape, **more)
        if kind == "document" and of == "text" and isinstance(data, str):
            return Media(kind=kind, media_type="text/plain", text=data, raw=block, shape=shape, **more)
        if of != "text" and isinstance(data, str) and isinstance(media_type, str):
            return Media(kind=kind, media_type=media_type, data=data, raw=block, shape=shape, **more)
        if of == "file":
            return Media(kind=kind, file_id=str(source.get("file_id")), raw=block, shape=shape, **more)
        texts = source.get("content")
        if of == "content" and isinstance(texts, list) and all(map(is_text_block, texts)):
            texts = "\n".join(one["text"] for one in texts)
        if of == "content" and isinstance(texts, str):
            return Media(kind=kind, text=texts, raw=block, shape=shape, **more)
    return Unreadable(raw=block, shape=SHAPE, reason=described(block, role))


def emit(turn: Turn, notes: Notes) -> list[Fields]:
    """Returns the message of a turn, with a list of blocks; none if nothing of it is left. Errors: NoFormError."""
    notes.name(turn, SHAPE)
    role = {"tool": "user", "developer": "system"}.get(turn.role, turn.role)
    if role not in ("user", "assistant", "system"):
        raise NoFormError(f"a message of role {role!r}")
    blocks = [block for part in turn.parts for block in _blocks(part, role, turn, notes)]
    return [{"role": role, "content": blocks}] if blocks else []


def _blocks(part: Part, role: str, turn: Turn, notes: Notes) -> list[Fields]:
    native = part.native(SHAPE)
    if isinstance(part, Text):
        if not part.text.strip():
            return []
        if native is None or native.get("type") == "text":
            kept = {} if part.raw is None or part.raw.get("type") != "text" else part.raw
            return [{"type": "text", "text": part.text} | {k: v for k, v in kept.items() if k in _TEXT_FIELDS}]
        return [native]
    if isinstance(part, Call) and role == "assistant":
        return [_call(part, turn, notes)]
    if isinstance(part, Result) and role == "user":
        return [_result(part, turn, notes)]
    if isinstance(part, Media) and role == "user":
        return [_media(part, role)]
    if native is not None and not isinstance(part, Call | Result | Media):
        return [native]
    raise refused(part, role)


def _call(part: Call, turn: Turn, notes: Notes) -> Fields:
    native = part.native(SHAPE)
    if native is not None:
        return {"input": {}, **native, "id": part.id}
    return {"type": "tool_use", "id": part.id, "name": part.name, "input": arguments_of(part, turn, notes)}


def arguments_of(part: Call, turn: Turn, notes: Notes) -> Fields:
    """Returns the arguments of a call as an object; a text that is none becomes its `input`."""
    found = None if part.is_free else _decoded(part.arguments)
    if isinstance(found, dict):
        return found
    if not part.is_free:
        notes.changed(turn, f"calls {part.name!r} with arguments that are no JSON object; they go out as its input")
    return {"input": part.arguments}


def _decoded(text: str) -> object:
    try:
        return canonical.decode(text.encode())
    except ValueError:
        return None


def _result(part: Result, turn: Turn, notes: Notes) -> Fields:
    content: Any = part.content
    if not isinstance(content, str):
        content = [block for one in content for block in _blocks(one, "user", turn, notes)]
    native = part.native(SHAPE)
    if native is not None:
        made = {**native, "tool_use_id": part.id}
    else:
        made = {"type": "tool_result", "tool_use_id": part.id, **({"is_error": True} if part.is_error else {})}
    made.pop("content", None)
    return {**made, "content": content} if content else made


def _media(part: Media, role: str) -> Fields:
    native = part.native(SHAPE)
    if native is not None:
        return native
    title = {"title": part.title} if part.title and part.kind == "document" else {}
    if part.url is not None and part.kind in ("image", "document") and part.url.startswith("http"):
        return {"type": part.kind, "source": {"type": "url", "url": part.url}, **title}
    if part.kind == "image" and part.data is not None and part.media_type in _IMAGE_TYPES:
        return {"type": "image", "source": {"type": "base64", "media_type": part.media_type, "data": part.data}}
    if part.kind == "document" and part.data is not None and part.media_type == "application/pdf":
        source = {"type": "base64", "media_type": part.media_type, "data": part.data}
        return {"type": "document", "source": source, **title}
    text = part.decoded() if part.kind == "document" else None
    if text is not None:
        return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}, **title}
    raise refused(part, role)
