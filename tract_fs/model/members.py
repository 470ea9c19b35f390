"""Members: what the bytes of a stored file are, from the bytes alone: an object, or an event and of which tract."""

from __future__ import annotations

from msgspec import Struct
from msgspec.json import Decoder

from tract_fs.errors import JsonValueError
from tract_fs.model import canonical
from tract_fs.model.content import is_content
from tract_fs.model.events import Move, decode_event
from tract_fs.model.names import is_tract_id
from tract_fs.model.objects import decode_commit

_EVENT_START = b'{"event":'


class _TractOnly(Struct):
    tract: str


class _Envelope(Struct):
    event: _TractOnly


_DECODER = Decoder(_Envelope)


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
    """Returns whether bytes hold a valid content or commit."""
    if is_content(data):
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
    """Returns the objects that a commit or event names in these bytes; nothing for other bytes."""
    try:
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
