"""The view file: the view of one tract with the prefix of arrivals that it covers, so that an open reads only what is new.

The file is the SHA-256 of the rest, a newline, and JSON. A file that is not whole, or of another copy, counts as absent. FORMAT.md, section 10.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.json import Decoder

from tract_fs.errors import JsonValueError
from tract_fs.model import canonical
from tract_fs.model.names import hash_bytes
from tract_fs.model.view import View
from tract_fs.store import files

_LIMIT_BYTES = 1 << 30


class SavedView(Struct, frozen=True, forbid_unknown_fields=True):
    """The view after `count` records with digest `chain`, and the directories listed for it."""

    count: int
    chain: str
    again_count: int
    is_durable: bool
    gone: list[str]
    view: View
    fans: dict[str, tuple[int, int]]  # directory: inode, ctime in ns
    packs: list[str]
    root: int  # inode of the store's directory


_DECODER = Decoder(SavedView)


def read(path: str) -> SavedView | None:
    """Returns what the view file says, or None if there is none or it is not whole."""
    try:
        data = files.read(path, limit_bytes=_LIMIT_BYTES)
    except OSError:
        return None
    if data is None or data[64:65] != b"\n" or hash_bytes(data[65:]).encode() != data[:64]:
        return None
    try:
        return canonical.decode_typed(_DECODER, data[65:])
    except JsonValueError:
        return None


def write(path: str, saved: SavedView) -> bool:
    """Writes the view file; False if it can't be written."""
    body = canonical.encode_struct(saved)
    try:
        files.write_new(path, hash_bytes(body).encode() + b"\n" + body, mode=0o644)
    except OSError:
        return False
    return True
