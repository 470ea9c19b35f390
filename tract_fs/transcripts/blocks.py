"""What a reader makes of a record: blocks and messages in Anthropic's form, system prompts, definitions of tools."""

from __future__ import annotations

from tract_fs.errors import JsonValueError
from tract_fs.model import canonical
from tract_fs.model.blobs import encode_blob
from tract_fs.model.content import InstructionContent, ToolsContent
from tract_fs.model.fields import Fields, items_of, text_in, text_of
from tract_fs.model.names import hash_bytes


def system_prompt(text: str) -> list[InstructionContent]:
    """Returns the content of a system prompt; none for an empty one."""
    return [InstructionContent(text)] if text else []


def tool_definitions(tools: object) -> list[ToolsContent]:
    """Returns the content of the definitions of tools; none for what is no list of objects, or an empty one."""
    found = items_of(tools)
    return [ToolsContent(found)] if found and all(isinstance(tool, dict) for tool in found) else []


def messages_of(*parts: tuple[str, list[Fields]]) -> list[Fields]:
    """Returns the messages of roles and blocks, but for those without blocks."""
    return [{"role": role, "content": blocks} for role, blocks in parts if blocks]


def texts_of(content: object) -> list[str]:
    """Returns the texts of a content, which is one or a list of blocks; empty ones are left out."""
    texts = [content] if isinstance(content, str) else [text_in(block, "text") for block in items_of(content)]
    return [text for text in texts if text]


def text_block(text: str) -> Fields:
    """Returns a text as a block."""
    return {"type": "text", "text": text}


def as_text_block(part: Fields) -> Fields:
    """Returns a part that has a text as a block: the part itself where it is just that, so that it is stored once."""
    return part if part.keys() == {"type", "text"} else text_block(part["text"])


def thinking_block(text: str, signature: str = "") -> Fields:
    """Returns what a model thought as a block."""
    signed = {"signature": signature} if signature else {}
    return {"type": "thinking", "thinking": text, **signed}


def media_block(data: str, mime: str) -> Fields:
    """Returns base64 as the block of an image, a recording or a document."""
    kind = mime.partition("/")[0]
    if kind == "audio":
        return {
            "type": "input_audio",
            "input_audio": {"data": data, "format": mime.partition("/")[2].removeprefix("x-")},
        }
    source = {"type": "base64", "media_type": mime, "data": data}
    return {"type": "image" if kind == "image" else "document", "source": source}


def url_block(url: str, mime: str, name: str = "") -> Fields:
    """Returns a URL, which may be of data, as the block of an image or of a file."""
    if mime.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": url}}
    named = {"filename": name} if name else {}
    return {"type": "file", "file": {**named, "file_data": url}}


def blob_url(data: bytes) -> str:
    """Returns what a message has in place of a file's base64 or URL; the entry has its bytes as a blob."""
    return f"blob:{hash_bytes(encode_blob(data))}"


def call_block(id_: object, name: object, given: object) -> Fields:
    """Returns the call of a tool as a block; arguments may be their JSON as a text."""
    return {"type": "tool_use", "id": text_of(id_), "name": text_of(name), "input": decoded(given)}


def result_block(call_id: str, content: object, *, is_error: bool = False) -> Fields:
    """Returns what a tool returned as a block."""
    block = {"type": "tool_result", "tool_use_id": call_id, "content": content}
    return {**block, "is_error": True} if is_error else block


def plain_content(blocks: list[Fields]) -> object:
    """Returns the blocks of a tool's result as its content: the text where they are one text, an empty one for none."""
    is_text = len(blocks) == 1 and blocks[0]["type"] == "text"
    return blocks[0]["text"] if is_text else blocks or ""


def text_or_json(value: object) -> str:
    """Returns a text as it is, another value as its JSON; empty for None."""
    if isinstance(value, str):
        return value
    return "" if value is None else canonical.encode_checked(value).decode()


def decoded(given: object) -> Fields:
    """Returns the arguments of a call, which may be their JSON as a text."""
    if isinstance(given, str) and given:
        try:
            found = canonical.decode(given.encode())
        except (JsonValueError, UnicodeEncodeError):
            found = None
        return found if isinstance(found, dict) and canonical.is_storable(found, 150) else {"input": given}
    return given if isinstance(given, dict) else {}
