"""Fields of records: any value may have any type, so each is read as what its format means, or as nothing."""

from __future__ import annotations

from typing import Any

from tract_fs.errors import JsonValueError
from tract_fs.model import canonical
from tract_fs.model.blobs import encode_blob
from tract_fs.model.names import hash_bytes
from tract_fs.model.usage import TokenUsage
from tract_fs.transcripts.units import Flaw
from tract_fs.transcripts.values import time_us as iso_time_us

_LEAST_MS = 10**11  # a number of seconds is smaller until the year 5138
_LEAST_US = 10**14
_LEAST_NS = 10**17
_MOST_US = 253402300799 * 10**6  # the year 9999
MOST_LEFT = 200  # branches of what a session left; what it leaves later is hidden in its place, since each costs a walk
Fields = dict[str, Any]


def fields_of(value: object) -> Fields:
    """Returns an object; empty if it is none."""
    return value if isinstance(value, dict) else {}


def items_of(value: object) -> list[Any]:
    """Returns an array; empty if it is none."""
    return value if isinstance(value, list) else []


def text_of(value: object) -> str:
    """Returns a text; empty if it is none."""
    return value if isinstance(value, str) else ""


def picked(record: Fields, *names: str) -> Fields:
    """Returns these fields of a record, where it has them."""
    return {name: record[name] for name in names if record.get(name) is not None}


def time_us(value: object) -> int | None:
    """Returns a time in microseconds since 1970, of ISO 8601 or of a number of seconds or less; None if it is none."""
    if isinstance(value, str):
        return iso_time_us(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 10**19:
        return None
    for least, scale in ((_LEAST_NS, 0.001), (_LEAST_US, 1), (_LEAST_MS, 1000)):
        if value >= least:
            found = int(value * scale)
            return found if found < _MOST_US else None
    return int(value * 10**6)


def usage_of(
    prompt: object,
    completion: object,
    *,
    cache_read: object = 0,
    cache_write: object = 0,
    reasoning: object = 0,
    is_cache_apart: bool = False,
    is_reasoning_apart: bool = False,
) -> TokenUsage | None:
    """Returns the usage of counts; None where the prompt and the completion have none.

    `is_cache_apart`: the prompt's count is without what was read from the cache and written to it; `is_reasoning_apart`:
    the completion's is without its reasoning.
    """
    whole, answer = _count(prompt), _count(completion)
    if whole is None or answer is None:
        return None
    read, written, thought = (_count(value) or 0 for value in (cache_read, cache_write, reasoning))
    whole += read + written if is_cache_apart else 0
    answer += thought if is_reasoning_apart else 0
    return TokenUsage(whole, answer, whole + answer, read, written, thought)


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 2**62 else None


def text_block(text: str) -> Fields:
    """Returns a text as a block."""
    return {"type": "text", "text": text}


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


def messages_of(*parts: tuple[str, list[Fields]]) -> list[Fields]:
    """Returns the messages of roles and blocks, but for those without blocks."""
    return [{"role": role, "content": blocks} for role, blocks in parts if blocks]


def result_block(call_id: str, content: object, *, is_error: bool = False) -> Fields:
    """Returns what a tool returned as a block."""
    block = {"type": "tool_result", "tool_use_id": call_id, "content": content}
    return {**block, "is_error": True} if is_error else block


def decoded(given: object) -> Fields:
    """Returns the arguments of a call, which may be their JSON as a text."""
    if isinstance(given, str) and given:
        try:
            found = canonical.decode(given.encode())
        except (JsonValueError, UnicodeEncodeError):
            found = None
        return found if isinstance(found, dict) and canonical.is_storable(found, 150) else {"input": given}
    return given if isinstance(given, dict) else {}


class Keys:
    """The keys of a file's entries: each once, whatever ids the file has."""

    def __init__(self) -> None:
        self.flaws: list[Flaw] = []
        self._used: dict[str, int] = {}

    def of(self, id_: object, position: int, line: int = 0, *, is_expected: bool = False) -> str:
        """Returns the key for an id; for the second use of one, a key made of it; without an id, one of the position.

        A second use is a flaw, unless it `is_expected`.
        """
        wanted = id_ if isinstance(id_, str) and id_ else f"@{position}"
        count = self._used.get(wanted, 0) + 1
        self._used[wanted] = count
        if count == 1:
            return wanted
        if not is_expected:
            self.flaws.append(Flaw(line, "noted", f"the id {wanted[:60]!r} is used {count} times"))
        key = f"{wanted}#{count}"
        while key in self._used:
            key += "#"
        self._used[key] = 1
        return key
