"""The view file: the view of one tract with the prefix of arrivals that it covers, so that an open reads only what is new.

The file is the sealed checksum of the rest, a newline, and JSON. A file that is not whole, or of another copy, counts as absent. FORMAT.md, section 10.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.json import Decoder

from tract_fs.errors import JsonValueError
from tract_fs.model import canonical
from tract_fs.model.names import are_hashes, is_hex
from tract_fs.model.view import View
from tract_fs.store import files
from tract_fs.store.arrivals import MOST_RECORDS
from tract_fs.store.layout import Layout, is_fan_name

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


def read(layout: Layout, tract: str) -> SavedView | None:
    """Returns what the view file of a tract says, or None if there is none or it is not whole."""
    try:
        data = files.read(_path(layout, tract), limit_bytes=_LIMIT_BYTES)
    except OSError:
        return None
    if data is None or data[64:65] != b"\n" or layout.sealed(memoryview(data)[65:]) != data[:64]:
        return None
    try:
        saved = canonical.decode_typed(_DECODER, data[65:])
    except JsonValueError:
        return None
    return saved if _is_sound(saved) else None


def _is_sound(saved: SavedView) -> bool:
    """Tells whether what is read can be what a handle wrote: the values become paths, and times that are compared and parsed."""
    are_counts = 0 <= saved.count < MOST_RECORDS and saved.again_count >= 0
    are_names = are_hashes(saved.gone) and are_hashes(saved.packs) and all(map(is_fan_name, saved.fans))
    return are_counts and are_names and is_hex(saved.chain) and len(saved.chain) == 32 and saved.view.is_sound()


def write(layout: Layout, tract: str, saved: SavedView) -> bool:
    """Writes the view file; False if it can't be written."""
    body = canonical.encode_struct(saved)
    try:
        files.replace(_path(layout, tract), layout.sealed(body) + b"\n" + body, mode=0o644)
    except OSError:
        return False
    return True


def _path(layout: Layout, tract: str) -> str:
    return layout.tract_local(tract, "view")
