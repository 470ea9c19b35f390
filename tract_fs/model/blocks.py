"""Blocks: the content blocks of Anthropic's messages, and of OpenAI's responses, as OpenAI's chat completions take them.

What has no form there raises ExportError; the model's thinking alone is left out, since no provider takes that of
another. A message whose blocks all have their form already stays as it is. Sources: OpenAI API reference, "Create chat
completion"; Anthropic API reference, "Messages".
"""

from __future__ import annotations

from typing import Any

from tract_fs.errors import ExportError
from tract_fs.model import canonical
from tract_fs.model.messages import is_text_block

_PARTS = {
    "user": frozenset(["text", "image_url", "input_audio", "file"]),
    "assistant": frozenset(["text", "refusal"]),
    "system": frozenset(["text"]),
    "developer": frozenset(["text"]),
    "tool": frozenset(["text"]),
}
_FIELDS = ("role", "content", "name", "tool_calls", "tool_call_id", "refusal", "audio", "function_call")
_THINKING = frozenset(["thinking", "redacted_thinking"])
_FILE_FIELDS = ("file_id", "file_data", "filename")

Fields = dict[str, Any]


def to_chat(message: Fields, commits: tuple[str, ...]) -> tuple[list[Fields], bool]:
    """Returns the messages that one provider message makes in a chat completion, and whether its thinking is left out.

    A tool result becomes a message of its own. Such a message holds texts alone, so its images and documents follow in
    a user's message. Errors: ExportError.
    """
    role, blocks = message.get("role"), message.get("content")
    parts = _PARTS.get(role) if isinstance(role, str) else None
    if parts is None or not isinstance(blocks, list):
        return [message], False
    if message.get("type") != "message" and all(isinstance(b, dict) and b.get("type") in parts for b in blocks):
        return [message], False
    try:
        return _Conversion(message, blocks).run()
    except _NoFormError as error:
        raise ExportError(commits=commits, reason=error.args[0]) from None


class _NoFormError(Exception):
    """Raised for what a chat completion has no form for, with what that is."""


class _Conversion:
    """The parts of one message, sorted by where they go."""

    def __init__(self, message: Fields, blocks: list[Any]) -> None:
        self._message = message
        self._role: str = message["role"]
        self._blocks = blocks
        self._parts: list[Fields] = []
        self._calls: list[Fields] = [*(message.get("tool_calls") or [])]
        self._results: list[Fields] = []
        self._media: list[Fields] = []  # that follow the results
        self._has_thinking = False

    def run(self) -> tuple[list[Fields], bool]:
        """Returns the messages, and whether thinking was left out."""
        for block in self._blocks:
            self._add(block)
        rest: Fields = {key: self._message[key] for key in _FIELDS if key in self._message}
        if self._role == "tool":
            self._results.append({**rest, "content": self._parts or ""})
            rest, self._parts = {"role": "user"}, []
        rest["content"] = [*self._media, *self._parts] or None
        if self._calls:
            rest["tool_calls"] = self._calls
        is_left = any(rest.get(key) for key in _FIELDS if key not in ("role", "name"))
        return [*self._results, rest] if is_left else self._results, self._has_thinking

    def _add(self, block: Any) -> None:
        kind = block.get("type") if isinstance(block, dict) else None
        if is_text_block(block):
            self._parts.append({"type": "text", "text": block["text"]})
        elif kind in _PARTS[self._role]:
            self._parts.append(block)
        elif kind == "tool_use" and self._role == "assistant":
            self._calls.append(_call(block))
        elif kind == "tool_result" and self._role == "user":
            self._add_result(block)
        elif kind in _THINKING and self._role == "assistant":
            self._has_thinking = True
        elif self._role in ("user", "tool"):
            (self._parts if self._role == "user" else self._media).append(_media_part(block))
        else:
            raise _NoFormError(_described(block, self._role))

    def _add_result(self, block: Fields) -> None:
        content = block.get("content")
        if isinstance(content, list):
            texts = [{"type": "text", "text": part["text"]} for part in content if is_text_block(part)]
            self._media += [_media_part(part) for part in content if not is_text_block(part)]
            content = texts
        elif not isinstance(content, str | None):
            raise _NoFormError("a tool result that is neither a text nor a list of blocks")
        self._results.append({"role": "tool", "tool_call_id": _text_at(block, "tool_use_id"), "content": content or ""})


def _call(block: Fields) -> Fields:
    arguments = canonical.encode_checked(block.get("input", {})).decode()
    function = {"name": _text_at(block, "name"), "arguments": arguments}
    return {"id": _text_at(block, "id"), "type": "function", "function": function}


def _media_part(block: Any) -> Fields:
    """Returns the part of an image or a document; that of a part which has the form already."""
    kind = block.get("type") if isinstance(block, dict) else None
    if kind in _PARTS["user"]:
        return block  # type: ignore[no-any-return]
    if kind == "input_image" and isinstance(block.get("image_url"), str):
        detail = {"detail": block["detail"]} if isinstance(block.get("detail"), str) else {}
        return {"type": "image_url", "image_url": {"url": block["image_url"], **detail}}
    if kind == "input_file" and any(key in block for key in _FILE_FIELDS[:2]):
        return {"type": "file", "file": {key: block[key] for key in _FILE_FIELDS if key in block}}
    source = block.get("source", block) if kind in ("image", "document") else None
    if isinstance(source, dict):
        url = source.get("url") if source.get("type") == "url" else _data_url(source)
        if kind == "image" and isinstance(url, str):
            return {"type": "image_url", "image_url": {"url": url}}
        text = source.get("data") if source.get("type") == "text" else None
        if kind == "document" and isinstance(text, str):
            return {"type": "text", "text": text}
        if kind == "document" and isinstance(url, str) and url.startswith("data:"):
            name = block.get("title")
            return {"type": "file", "file": {"filename": name if name else "document.pdf", "file_data": url}}
    raise _NoFormError(_described(block, "user"))


def _data_url(source: Fields) -> str | None:
    """Returns the URL of base64 data: of Anthropic, and of the model context protocol."""
    media_type, data = source.get("media_type", source.get("mimeType")), source.get("data")
    is_data = source.get("type") != "text" and isinstance(media_type, str) and isinstance(data, str)
    return f"data:{media_type};base64,{data}" if is_data else None


def _text_at(block: Fields, key: str) -> str:
    value = block.get(key)
    if not isinstance(value, str):
        raise _NoFormError(f"a {block['type']} block without a string {key!r}")
    return value


def _described(block: Any, role: str) -> str:
    if not isinstance(block, dict):
        return f"a {type(block).__name__} among the blocks of a message"
    source = block.get("source")
    of = f" with a source of type {source.get('type')!r}" if isinstance(source, dict) else ""
    return f"a block of type {block.get('type')!r}{of} in a message of role {role!r}"
