"""Stamps: what a commit of an imported session says of its origin, in its metadata under `transcript`.

Format, key and position of the entry; a sum of its record; the chain, a sum of all records up to it, so that one look at
a head tells how much of a session a branch holds; and, with the first of an entry's commits, the rest of the record.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct

from tract_fs.model import canonical
from tract_fs.model.content import MessageContent
from tract_fs.model.objects import Commit
from tract_fs.transcripts.rest import split_rest
from tract_fs.transcripts.transcript import Entry

KEY = "transcript"
RECORD_KIND = "transcript"  # of the RecordContent of an entry that no model sees
_LONGEST_RAW_BYTES = 4096  # in the metadata; more is a blob
_BLOB_BYTES = 32 * 1024 * 1024
_RAW_BLOB = "raw-"
_SUM_DIGITS = 12


class Stamp(Struct, frozen=True, omit_defaults=True):
    """What is known of the origin of one commit."""

    format: str
    session: str
    key: str
    position: int  # of the entry in the file, from 0
    sum: str  # of the record
    chain: str  # of all records of the branch up to this one
    part: int = 0  # of the contents of the entry
    rest: Any = None  # of the first part: the record without what the contents hold
    raw: str = ""  # base64 of the exact bytes, where the record does not give them back
    is_joined: bool = False


def sum_of(entry: Entry) -> str:
    """Returns the sum of an entry's record."""
    data = entry.raw if entry.raw is not None else canonical.encode_checked(entry.value)
    return sha256(data).hexdigest()[:_SUM_DIGITS]


def chained(chain: str, key: str, sum_: str) -> str:
    """Returns the chain after one more entry."""
    return sha256(f"{chain}\0{key}\0{sum_}".encode()).hexdigest()[:_SUM_DIGITS]


def rest_of(entry: Entry) -> Any:
    """Returns the rest of an entry's record beside its contents and metadata."""
    return split_rest(entry.value, [*map(plain, entry.contents), entry.metadata])


def plain(content: object) -> Any:
    """Returns a content as a JSON value: the message, where it is one."""
    if isinstance(content, MessageContent):
        return content.message
    return content if isinstance(content, dict) else msgspec.to_builtins(content)


def raw_blobs(raw: bytes) -> dict[str, bytes]:
    """Returns exact bytes that are too many for a stamp as blobs, by name."""
    parts = range(0, len(raw), _BLOB_BYTES)
    return {f"{_RAW_BLOB}{number}": raw[start : start + _BLOB_BYTES] for number, start in enumerate(parts)}


def raw_blob_names(blobs: dict[str, str]) -> list[str]:
    """Returns the hashes of the blobs that hold the exact bytes of a record, in order."""
    found = sorted((int(name[len(_RAW_BLOB) :]), hash_) for name, hash_ in blobs.items() if _is_raw(name))
    return [hash_ for _, hash_ in found]


def _is_raw(name: str) -> bool:
    digits = name[len(_RAW_BLOB) :]
    return name.startswith(_RAW_BLOB) and digits.isascii() and digits.isdigit()


def encode_raw(raw: bytes | None) -> str | None:
    """Returns exact bytes for a stamp; None if there are none, or they are too many and go into a blob."""
    return None if raw is None or len(raw) > _LONGEST_RAW_BYTES else b64encode(raw).decode()


def decode_raw(text: str) -> bytes:
    """Returns the exact bytes of a stamp. Errors: ValueError."""
    return b64decode(text, validate=True)


def stamp_of(commit: Commit) -> Stamp | None:
    """Returns the stamp of a commit; None if it has none that can be read."""
    if not commit.metadata:
        return None
    data = bytes(commit.metadata)
    if b'"transcript":' not in data:
        return None
    try:
        return msgspec.convert(canonical.decode(data).get(KEY), Stamp)
    except msgspec.ValidationError:  # written by some other program
        return None
