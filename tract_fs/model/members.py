"""Members: what the bytes of a stored file are, from the bytes alone: an object, or an event and of which tract.

A pack ends in a line that is no member: the list of its events, with a hash of itself. Format: FORMAT.md, section 8.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from msgspec import Struct
from msgspec.json import Decoder

from tract_fs.errors import JsonValueError
from tract_fs.model import canonical
from tract_fs.model.blobs import blobs_of_content, is_blob
from tract_fs.model.content import is_content
from tract_fs.model.events import Move, decode_event
from tract_fs.model.names import are_hashes, is_tract_id
from tract_fs.model.objects import decode_commit

_EVENT_START = b'{"event":'
LIST_START = b'{"pack":{"bytes":'
_LIST_HASH = b',"sha256":"'
_LIST_END = b'"}}'
_LIST_TAIL_BYTES = len(_LIST_HASH) + 64 + len(_LIST_END)
# What a list of events takes at most: itself, each event, and the first event of each tract.
LIST_BASE_BYTES = 160
LIST_NAME_BYTES = 67
LIST_TRACT_BYTES = LIST_NAME_BYTES + 70


class _TractOnly(Struct):
    tract: str


class _Envelope(Struct):
    event: _TractOnly


class _Events(Struct):
    bytes: int
    events: dict[str, list[str]]
    sha256: str


class _ListEnvelope(Struct):
    pack: _Events


_DECODER = Decoder(_Envelope)
_LIST_DECODER = Decoder(_ListEnvelope)


def encode_event_list(events: Mapping[str, list[str]], size_bytes: int) -> bytes:
    """Returns the last line of a pack, without its newline: the hashes of its events by tract (an unknown one is empty).

    `size_bytes` is that of the members before it.
    """
    start = canonical.encode({"bytes": size_bytes, "events": {tract: events[tract] for tract in sorted(events)}})
    line = b'{"pack":' + start[:-1]
    return line + _LIST_HASH + sha256(line).hexdigest().encode() + _LIST_END


def decode_event_list(line: bytes) -> tuple[int, dict[str, list[str]]] | None:
    """Returns the size in bytes of the members before a list of events, and the events; None if it is no whole list."""
    if not is_event_list(line):
        return None
    head, tail = line[:-_LIST_TAIL_BYTES], line[-_LIST_TAIL_BYTES:]
    if tail != _LIST_HASH + sha256(head).hexdigest().encode() + _LIST_END:
        return None
    try:
        found = canonical.decode_typed(_LIST_DECODER, line).pack
    except JsonValueError:
        return None
    is_sound = all(are_hashes(names) and (not tract or is_tract_id(tract)) for tract, names in found.events.items())
    return (found.bytes, found.events) if is_sound else None


def is_event_list(line: bytes) -> bool:
    """Returns whether a line of a pack counts as a list of its events, whole or not. It is no member."""
    return line.startswith(LIST_START)


def is_event_line(line: bytes) -> bool:
    """Returns whether a line of a pack counts as an event."""
    return line.startswith(_EVENT_START)


def tract_of_event(data: bytes) -> str | None:
    """Returns the tract of an event's bytes, of any version; None if they hold no event."""
    if not data.startswith(_EVENT_START):
        return None
    try:
        tract = canonical.decode_typed(_DECODER, data).event.tract
    except JsonValueError:
        return None
    return tract if is_tract_id(tract) else None


def is_object_of_ours(data: bytes) -> bool:
    """Returns whether bytes hold a valid content, commit or blob."""
    if is_blob(data) or is_content(data):
        return True
    try:
        decode_commit(data)
    except JsonValueError:
        return False
    return True


def is_line(data: bytes) -> bool:
    """Returns whether bytes can be stored as one line of a pack and read back unchanged."""
    return bool(data) and b"\n" not in data and not data.endswith(b"\r")


def named_objects(data: bytes) -> set[str]:
    """Returns the objects that a commit, event or content names in these bytes; nothing for other bytes."""
    try:
        if data.startswith(b'{"content":'):
            return blobs_of_content(data)
        if data.startswith(b'{"commit":'):
            commit = decode_commit(data)
            return {*commit.parents} | ({commit.content} if commit.content is not None else set())
        if data.startswith(_EVENT_START):
            event = decode_event(data)
            heads = {op.head for op in event.branch_ops() if isinstance(op, Move)}
            return {entry.commit for entry in event.iter_commits()} | heads
    except JsonValueError:
        pass
    return set()
