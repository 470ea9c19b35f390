"""OpenAI's chat completions: reads the parts of their messages, and writes turns as messages.

A message that has the form already stays as it is. A message of role `tool` holds texts alone, so images and documents
of a result follow in a message of the user. Source: OpenAI API reference, "Create chat completion".
"""

from __future__ import annotations

from typing import Any

from tract_fs.model import canonical
from tract_fs.model.fields import Fields, fields_in, text_in
from tract_fs.model.providers.parts import (
    Call,
    Media,
    Notes,
    Part,
    Result,
    Text,
    Turn,
    Unreadable,
    described,
    media_of_url,
    refused,
)
from tract_fs.model.shapes import CHAT_PARTS, Shape, is_gemini, is_item, named_ids

SHAPE: Shape = "openai"


def read_image(block: Fields, role: str) -> Part:
    """Reads a part of type image_url."""
    image = block.get("image_url")
    if not isinstance(image, dict) or not isinstance(image.get("url"), str):
        return Unreadable(raw=block, shape=SHAPE, reason=described(block, role))
    detail = image.get("detail")
    return media_of_url(image["url"], "image", block, SHAPE, detail=detail if isinstance(detail, str) else None)


def read_file(block: Fields, role: str) -> Part:
    """Reads a part of type file."""
    return file_of(fields_in(block, "file"), block, role, SHAPE)


def file_of(file: Fields, block: Fields, role: str, shape: Any) -> Part:
    """Returns the document with the fields file_data, file_url, file_id and filename."""
    title, file_id = file.get("filename"), file.get("file_id")
    more = {
        "title": title if isinstance(title, str) else None,
        "file_id": file_id if isinstance(file_id, str) else None,
    }
    data, url = file.get("file_data"), file.get("file_url")
    if isinstance(data, str):
        if data.startswith("data:"):
            return media_of_url(data, "document", block, shape, **more)
        return Media(kind="document", media_type="application/pdf", data=data, raw=block, shape=shape, **more)
    if isinstance(url, str):
        return media_of_url(url, "document", block, shape, **more)
    if more["file_id"] is None:
        return Unreadable(raw=block, shape=shape, reason=described(block, role))
    return Media(kind="document", raw=block, shape=shape, **more)


def read_audio(block: Fields, role: str) -> Part:
    """Reads a part of type input_audio."""
    audio = block.get("input_audio")
    if not isinstance(audio, dict) or not isinstance(audio.get("data"), str):
        return Unreadable(raw=block, shape=SHAPE, reason=described(block, role))
    form = audio.get("format")
    return Media(kind="audio", media_type=f"audio/{form}", data=audio["data"], raw=block, shape=SHAPE)


def read_calls(message: Fields) -> list[Part]:
    """Returns the tool calls beside the content of a message."""
    made = [_read_call(call) for call in message.get("tool_calls") or ()]
    old = message.get("function_call")
    if isinstance(old, dict):
        (key,) = named_ids([old])
        made.append(Call(key=key, id=None, name=str(old.get("name")), arguments=str(old.get("arguments") or "{}")))
    return made


def _read_call(call: object) -> Part:
    if isinstance(call, dict):
        is_free = call.get("type") == "custom"
        body = call.get("custom" if is_free else "function")
        text = body.get("input" if is_free else "arguments") if isinstance(body, dict) else None
        if isinstance(body, dict) and isinstance(body.get("name"), str):
            id_ = text_in(call, "id") or None
            text = text if isinstance(text, str) else canonical.encode_checked(text or {}).decode()
            key = id_ or f"{body['name']}()"
            return Call(key=key, id=id_, name=body["name"], arguments=text, is_free=is_free, raw=call, shape=SHAPE)
    return Unreadable(reason="a tool call without a function's name")


def read_result(message: Fields, content: str | tuple[Part, ...]) -> Result:
    """Returns the result that a message of role tool or function is."""
    if message.get("role") == "function":
        (key,) = named_ids([message])
        return Result(key=key, id=None, name=message.get("name"), content=content)
    id_ = text_in(message, "tool_call_id") or None
    return Result(key=id_ or "", id=id_, content=content)


def is_native(message: Fields) -> bool:
    """Returns whether the provider takes a message as it is, or whether its role is unknown."""
    role, blocks = message.get("role"), message.get("content")
    if is_gemini(message) or is_item(message):
        return False
    parts = CHAT_PARTS.get(role) if isinstance(role, str) else None
    if parts is None or not isinstance(blocks, list):
        return message.get("type") != "message" or parts is None
    return message.get("type") != "message" and all(isinstance(b, dict) and b.get("type") in parts for b in blocks)


def emit(turn: Turn, _: Notes) -> list[Fields]:
    """Returns the messages of a turn. Errors: NoFormError."""
    if turn.raw is not None and is_native(turn.raw):
        return [turn.raw]
    if turn.role == "tool":
        return [_result(part, turn) for part in turn.parts]
    return _Message(turn).made()


class _Message:
    """One message while its parts are sorted by where they go."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._blocks: list[Fields] = []
        self._calls: list[Fields] = []

    def made(self) -> list[Fields]:
        """Returns the message; none if nothing of it is left. Errors: NoFormError."""
        turn = self._turn
        for part in turn.parts:
            self._add(part)
        if not self._blocks and not self._calls:
            return []
        content: Any = self._blocks or None
        if turn.is_plain and len(self._blocks) == 1 and "text" in self._blocks[0]:
            content = self._blocks[0]["text"]
        message: Fields = {"role": turn.role, "content": content}
        if turn.name is not None:
            message["name"] = turn.name
        if self._calls:
            message["tool_calls"] = self._calls
        return [message]

    def _add(self, part: Part) -> None:
        turn = self._turn
        allowed = CHAT_PARTS.get(turn.role, frozenset())
        if isinstance(part, Text):
            kind = "refusal" if part.is_refusal and "refusal" in allowed else "text"
            native = part.native(SHAPE)
            if part.text.strip():
                self._blocks.append({"type": kind, kind: part.text} if native is None else native)
        elif isinstance(part, Call) and turn.role == "assistant":
            self._calls.append(_call(part))
        elif isinstance(part, Media) and turn.role == "user":
            self._blocks.append(_media(part, turn.role))
        else:
            raise refused(part, turn.role)


def _call(part: Call) -> Fields:
    native = part.native(SHAPE)
    if native is not None and part.id is not None:
        return {**native, "id": part.id}
    if part.is_free:
        return {"id": part.id, "type": "custom", "custom": {"name": part.name, "input": part.arguments}}
    return {"id": part.id, "type": "function", "function": {"name": part.name, "arguments": part.arguments}}


def _result(part: Part, turn: Turn) -> Fields:
    if not isinstance(part, Result):
        raise refused(part, "user")
    content: Any = part.content
    if not isinstance(content, str):
        content = [{"type": "text", "text": one.text} for one in content if isinstance(one, Text)] or ""
    return {"role": "tool", "tool_call_id": part.id, "content": content}


def _media(part: Media, role: str) -> Fields:
    native = part.native(SHAPE)
    if native is not None:
        return native
    if part.kind == "image" and part.data_url is not None:
        detail = {"detail": part.detail} if part.detail in ("auto", "low", "high") else {}
        return {"type": "image_url", "image_url": {"url": part.data_url, **detail}}
    if part.kind == "document" and part.text is not None:
        return {"type": "text", "text": part.text}
    if part.kind == "document" and (part.data is not None or (part.file_id and part.shape == "openai-responses")):
        name = part.title or (None if part.file_id else "document.pdf")
        file = {"filename": name, "file_id": part.file_id, "file_data": None if part.file_id else part.data_url}
        return {"type": "file", "file": {key: value for key, value in file.items() if value is not None}}
    if part.kind == "audio" and part.data is not None and part.media_type in ("audio/wav", "audio/mp3", "audio/mpeg"):
        form = "wav" if part.media_type == "audio/wav" else "mp3"
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": form}}
    raise refused(part, role)
