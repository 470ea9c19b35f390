"""The saved view: the view of one tract with the prefix of arrivals that it covers, so an open reads only what is new.

Its bytes are the sealed checksum of the rest, a newline, and JSON; they are stored in the index. FORMAT.md, section 10.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.json import Decoder

from tract_fs.errors import JsonValueError
from tract_fs.model import canonical
from tract_fs.model.names import are_hashes, is_hex
from tract_fs.model.view import View
from tract_fs.store.arrivals import MOST_RECORDS
from tract_fs.store.layout import FANS, Layout


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


def encode(layout: Layout, saved: SavedView) -> bytes:
    """Returns the bytes of a saved view."""
    body = canonical.encode_struct(saved)
    return layout.sealed(body) + b"\n" + body


def decode(layout: Layout, data: bytes | None) -> SavedView | None:
    """Returns the saved view in these bytes, or None if they are damaged or of another place."""
    if data is None or data[64:65] != b"\n" or layout.sealed(memoryview(data)[65:]) != data[:64]:
        return None
    try:
        saved = canonical.decode_typed(_DECODER, data[65:])
    except JsonValueError:
        return None
    return saved if _is_sound(saved) else None


def _is_sound(saved: SavedView) -> bool:
    """Returns whether a handle can have written these values: they become paths, and times to compare and parse."""
    are_counts = 0 <= saved.count < MOST_RECORDS and saved.again_count >= 0
    are_names = are_hashes(saved.gone) and are_hashes(saved.packs) and FANS.issuperset(saved.fans)
    return are_counts and are_names and is_hex(saved.chain) and len(saved.chain) == 32 and saved.view.is_sound()
