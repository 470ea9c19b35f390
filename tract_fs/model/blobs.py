"""Blobs: raw bytes as objects of their own, and the places where contents name them.

A blob is stored as base64 in canonical JSON with one key, its kind, so it is one line of a pack as every object is, and
no reader takes it for history. Nothing here reads a disk. Format: FORMAT.md, sections 3 and 4.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from tract_fs.errors import JsonValueError, ObjectTooLarge
from tract_fs.model import canonical
from tract_fs.model.content import MAX_OBJECT_BYTES
from tract_fs.model.names import is_hash

_START, _END = b'{"blob":{"base64":"', b'"}}'  # 22 bytes: a line of a pack under 16 is no member
_PREFIX = "blob:"  # of a hash in the place of a URL or of data
_MEDIA_BLOCKS = ("image_url", "input_image", "image", "document", "file", "input_file", "input_audio")
_HOLDERS = ("image_url", "source", "file", "input_audio")  # what of such a block may hold its data, beside itself
_KEYS = ("url", "image_url", "file_data", "data")
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF", "application/pdf"),
)
_SIGNATURE_CHARS = 16  # of base64: 12 bytes


def encode_blob(data: bytes) -> bytes:
    """Returns the stored bytes of a blob. Errors: ObjectTooLarge."""
    size = len(_START) + (len(data) + 2) // 3 * 4 + len(_END)
    if size > MAX_OBJECT_BYTES:
        raise ObjectTooLarge(kind="blob", size_bytes=size, limit_bytes=MAX_OBJECT_BYTES)
    return b"".join((_START, b64encode(data), _END))


def decode_blob(data: bytes) -> bytes:
    """Returns the bytes of a stored blob; JsonValueError if it is none. There is one stored form of each blob."""
    text = data[len(_START) : -len(_END)]
    if data.startswith(_START) and data.endswith(_END):
        try:
            found = b64decode(text, validate=True)
        except ValueError:
            found = b""
        if b64encode(found) == text:
            return found
    raise JsonValueError(path="blob", reason="no blob as base64")


def is_blob(data: bytes) -> bool:
    """Returns whether stored bytes hold a blob. Cost: nothing for other objects."""
    if not data.startswith(_START):
        return False
    try:
        decode_blob(data)
    except JsonValueError:
        return False
    return True


def base64_of(data: bytes) -> str | None:
    """Returns the base64 of the blob in stored bytes, or None if they hold none."""
    return data[len(_START) : -len(_END)].decode() if is_blob(data) else None


class Reference(Struct, frozen=True):
    """A place in a provider message that names a blob: the value of `key` in `holder`, in the block at `position`."""

    blocks: list[Any]
    position: int
    holder: dict[str, Any]
    key: str
    hash: str


def has_reference(message: dict[str, Any]) -> bool:
    """Returns whether a provider message names a blob. Cost: nothing where its content is a text."""
    return isinstance(message.get("content"), list) and any(True for _ in iter_references(message))


def iter_references(message: dict[str, Any]) -> Iterator[Reference]:
    """Yields the places of a provider message that name blobs: in its media blocks, and in those of tool results.

    What else has the form of such a name, as the arguments of a tool call, is a text.
    """
    for blocks in _iter_lists(message.get("content")):
        for position, block in enumerate(blocks):
            if isinstance(block, dict) and block.get("type") in _MEDIA_BLOCKS:
                yield from _in_block(blocks, position, block)


def _iter_lists(content: object) -> Iterator[list[Any]]:
    """Yields the list of blocks that is a message's content, and those of the tool results in it."""
    if isinstance(content, list):
        yield content
        for block in content:
            inner = block.get("content") if isinstance(block, dict) and block.get("type") == "tool_result" else None
            if isinstance(inner, list):
                yield inner


def _in_block(blocks: list[Any], position: int, block: dict[str, Any]) -> Iterator[Reference]:
    for holder in (block, *(block.get(key) for key in _HOLDERS)):
        if not isinstance(holder, dict):
            continue
        if holder.get("type") == "blob" and is_name(holder.get("hash")):
            yield Reference(blocks, position, holder, "hash", holder["hash"])
        for key in _KEYS:
            value = holder.get(key)
            if isinstance(value, str) and value.startswith(_PREFIX) and is_name(value[len(_PREFIX) :]):
                yield Reference(blocks, position, holder, key, value[len(_PREFIX) :])


def is_name(value: object) -> bool:
    """Returns whether a value has the form of a blob's hash."""
    return isinstance(value, str) and is_hash(value)


def put_data(
    message: dict[str, Any], read: Callable[[str], str | None], absent: Callable[[str], str] = "[blob {}]".format
) -> list[str]:
    """Puts the data of blobs in the places that name them; changes the message, and returns the hashes that `read` lacks.

    `read` returns the base64 of a blob, or None. A block whose blob is not there becomes a text, which `absent` returns.
    """
    missing = []
    for reference in list(iter_references(message)):
        text = read(reference.hash)
        if text is None:
            missing.append(reference.hash)
            kind = str(reference.blocks[reference.position].get("type"))
            block = {"type": "input_text" if kind.startswith("input_") else "text", "text": absent(reference.hash)}
            reference.blocks[reference.position] = block
        else:
            _put(reference, text)
    return missing


def _put(reference: Reference, text: str) -> None:
    holder, key = reference.holder, reference.key
    if key == "hash":
        named = holder.get("media_type")
        media_type = named if isinstance(named, str) else _media_type(text)
        del holder["hash"]
        holder.update(type="base64", media_type=media_type, data=text)
    else:
        holder[key] = text if key == "data" else f"data:{_media_type(text)};base64,{text}"


def _media_type(text: str) -> str:
    """Returns the media type that the first bytes of a base64 text show."""
    start = b64decode(text[:_SIGNATURE_CHARS])
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for signature, kind in _SIGNATURES if start.startswith(signature)), "application/octet-stream")


def blobs_of_content(data: bytes) -> set[str]:
    """Returns the hashes of the blobs that a stored content names. Cost: a search in nearly all contents."""
    if b'"blob' not in data:
        return set()
    try:
        fields = canonical.decode(data)["content"]
    except (JsonValueError, KeyError, TypeError):
        return set()
    kind = fields.get("content_type") if isinstance(fields, dict) else None
    if kind == "record" and isinstance(fields.get("blobs"), dict):
        return {name for name in fields["blobs"].values() if is_name(name)}
    if kind == "message" and isinstance(fields.get("message"), dict):
        return {found.hash for found in iter_references(fields["message"])}
    return set()
