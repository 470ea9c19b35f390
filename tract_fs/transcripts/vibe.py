"""Mistral Vibe: `messages.jsonl`, a chat message a line, with `meta.json` and attachments beside. Source: files of Vibe 2.24."""

from __future__ import annotations

from tract_fs.model.content import InstructionContent
from tract_fs.transcripts.fields import Fields, blob_url, fields_of, items_of, picked, text_of
from tract_fs.transcripts.linear import linear_transcript
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
    model = text_of(fields_of(meta.get("config")).get("model") or fields_of(meta.get("config")).get("active_model"))

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

    return [
        linear_transcript(
            NAME,
            source,
            source.units,
            meaning,
            id_of=lambda message: message.get("message_id"),
            is_system=lambda message: message.get("role") == "system",
            id=text_of(meta.get("session_id")) or source.folder(),
            title=text_of(meta.get("title")),
            metadata=picked(meta, "git_branch", "git_commit", "start_time", "parent_session_id", "environment"),
        )
    ]


def _contents(message: Fields, source: Source, blobs: dict[str, bytes]) -> list[object]:
    role, content = message.get("role"), message.get("content")
    if role not in _ROLES:
        return []
    if role == "system":
        return [InstructionContent(content)] if isinstance(content, str) and content else []
    made: Fields = picked(message, "role", "name", "tool_call_id", "reasoning_content")
    made["content"] = content if isinstance(content, str | list) else ""
    calls = [picked(fields_of(call), "id", "type", "function") for call in items_of(message.get("tool_calls"))]
    if calls:
        made["tool_calls"] = [{"type": "function", **call} for call in calls]
    images = [block for image in items_of(message.get("images")) for block in _image(fields_of(image), source, blobs)]
    if images and isinstance(content, str):
        made["content"] = [{"type": "text", "text": content}, *images]
    return [made]


def _image(image: Fields, source: Source, blobs: dict[str, bytes]) -> list[Fields]:
    """Returns the block of an image that lies beside the session."""
    path = text_of(fields_of(image.get("source")).get("path"))
    data = source.beside(path) if path else None
    if data is None:
        return []
    blobs[path] = data
    return [{"type": "image_url", "image_url": {"url": blob_url(data)}}]
