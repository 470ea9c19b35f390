"""Mistral Vibe: `messages.jsonl`, a chat message a line, with `meta.json` and attachments beside. Source: files of Vibe 2.24."""

from __future__ import annotations

from collections.abc import Sequence

from tract_fs.model.fields import Fields, fields_in, fields_of, picked, records_in, text_in, text_of
from tract_fs.transcripts.blocks import blob_url, system_prompt, text_block
from tract_fs.transcripts.linear import read_linear
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Transcript

NAME = "vibe"
_ROLES = ("system", "user", "assistant", "tool")


def matches(source: Source) -> bool:
    """Returns whether the first record is a chat message with Vibe's own fields."""
    first = next(iter(source.sample), {})
    return first.get("role") in _ROLES and isinstance(first.get("injected"), bool)


def read(source: Source) -> list[Transcript]:
    """Returns the session of the file."""
    meta = fields_of(source.json_beside("meta.json"))
    model = text_of(fields_in(meta, "config").get("model") or fields_in(meta, "config").get("active_model"))

    def meaning(message: Fields, position: int) -> Fields:
        blobs: dict[str, bytes] = {}
        is_summary = message.get("context_boundary") == "compaction"
        return {
            "contents": _contents(message, source, blobs),
            "config": {"model": model} if model and message.get("role") == "assistant" else None,
            "metadata": picked(message, "message_id", "injected", "context_boundary"),
            "covers": range(position) if is_summary else (),
            "blobs": blobs,
        }

    return read_linear(
        NAME,
        source,
        source.units,
        meaning,
        id_of=lambda message: message.get("message_id"),
        is_system=lambda message: message.get("role") == "system",
        id=text_in(meta, "session_id") or source.folder(),
        title=text_in(meta, "title"),
        metadata=picked(meta, "git_branch", "git_commit", "start_time", "parent_session_id", "environment"),
    )


def _contents(message: Fields, source: Source, blobs: dict[str, bytes]) -> Sequence[object]:
    role, content = message.get("role"), message.get("content")
    if role not in _ROLES:
        return []
    if role == "system":
        return system_prompt(text_of(content))
    made: Fields = picked(message, "role", "name", "tool_call_id", "reasoning_content")
    made["content"] = content if isinstance(content, str | list) else ""
    calls = [picked(call, "id", "type", "function") for call in records_in(message, "tool_calls")]
    if calls:
        made["tool_calls"] = [{"type": "function", **call} for call in calls]
    images = [block for image in records_in(message, "images") for block in _image(image, source, blobs)]
    if images and isinstance(content, str):
        made["content"] = [text_block(content), *images]
    return [made]


def _image(image: Fields, source: Source, blobs: dict[str, bytes]) -> list[Fields]:
    """Returns the block of an image that lies beside the session."""
    path = text_in(fields_in(image, "source"), "path")
    data = source.beside(path) if path else None
    if data is None:
        return []
    blobs[path] = data
    return [{"type": "image_url", "image_url": {"url": blob_url(data)}}]
