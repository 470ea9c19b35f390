"""The saved view: the view of one tract with the prefix of arrivals that it covers, so that an open reads only what is new.

It is a file of its own, since an open that finds nothing new then needs no SQLite: the sealed checksum of the rest, a newline,
and JSON. FORMAT.md, section 10.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.json import Decoder

from tract_fs.errors import JsonValueError
from tract_fs.model import canonical
from tract_fs.model.incomplete import EXPLANATIONS
from tract_fs.model.names import are_hashes, is_hash, is_hex
from tract_fs.model.view import View
from tract_fs.store import files
from tract_fs.store.arrivals import MOST_RECORDS
from tract_fs.store.layout import FANS, Layout


class SavedView(Struct, frozen=True, forbid_unknown_fields=True):
    """The view after `count` records with digest `chain`, and the directories listed for it."""

    count: int
    chain: str
    again_count: int
    usage_count: int  # how many of the records are of usage
    is_durable: bool
    gone: list[str]
    view: View
    fans: dict[str, tuple[int, int]]  # directory: inode, ctime in ns; or 0, digest of its names
    packs: list[str]  # that were searched for it
    root: int  # inode of the store's directory
    traces: dict[str, tuple[str, str]] = {}  # gone event: digest of its branch, its last commit; empty where unknown
    boot: str = ""  # of the machine, when this was saved
    torn: list[str] = []  # damaged and pending events that a power cut kept from being written
    doubted: list[str] | None = None  # those of the packs that were damaged then; None: by an earlier version
    # the state of the outer git repository when all events but those gone were last seen; empty: there is none
    checkout: str = ""
    accepted: dict[str, str] | None = None  # gone event: what explains it; None: an earlier version has accepted all
    undecided: list[str] = []  # gone events of which it was not decided yet whether anything explains them
    overruled: dict[
        str, str
    ] = {}  # commit: the event with the config that this copy showed before an earlier event came


_LIMIT_BYTES = 1 << 30
_DECODER = Decoder(SavedView)


def read(layout: Layout, tract: str) -> SavedView | None:
    """Returns the saved view of a tract, or None if there is none that is whole and of this place."""
    try:
        data = files.read(path_of(layout, tract), limit_bytes=_LIMIT_BYTES)
    except OSError:
        return None
    return None if data is None else decode(layout, data)


def write(layout: Layout, tract: str, saved: SavedView) -> bool:
    """Writes the saved view of a tract; False if it can't be written."""
    try:
        files.replace(path_of(layout, tract), encode(layout, saved), mode=0o666)
    except OSError:
        return False
    return True


def path_of(layout: Layout, tract: str) -> str:
    """Returns the path of a tract's saved view."""
    return layout.tract_local(tract, "view")


def encode(layout: Layout, saved: SavedView) -> bytes:
    """Returns the bytes of a saved view."""
    body = canonical.encode_struct(saved)
    return layout.sealed(body) + b"\n" + body


def decode(layout: Layout, data: bytes) -> SavedView | None:
    """Returns the saved view in these bytes, or None if they are damaged or of another place."""
    if data[64:65] != b"\n" or layout.sealed(memoryview(data)[65:]) != data[:64]:
        return None
    try:
        saved = canonical.decode_typed(_DECODER, data[65:])
    except JsonValueError:
        return None
    return saved if _is_sound(saved) else None


def _is_sound(saved: SavedView) -> bool:
    """Returns whether a handle can have written these values: they become paths, and times to compare and parse."""
    are_counts = 0 <= saved.count < MOST_RECORDS and saved.again_count >= 0 and saved.usage_count >= 0
    are_names = (
        are_hashes([*saved.gone, *saved.traces, *saved.torn, *(saved.accepted or ()), *saved.undecided])
        and are_hashes([*saved.overruled, *saved.overruled.values()])
        and are_hashes([*saved.packs, *(saved.doubted or ())])
        and FANS.issuperset(saved.fans)
    )
    are_traces = all(map(_is_trace, saved.traces.values()))
    return (
        are_counts
        and are_names
        and are_traces
        and is_hex(saved.chain)
        and len(saved.chain) == 32
        and EXPLANATIONS.issuperset((saved.accepted or {}).values())
        and (saved.accepted or {}).keys() <= set(saved.gone)
        and saved.view.is_sound()
    )


def _is_trace(trace: tuple[str, str]) -> bool:
    branch, commit = trace
    return (not branch or (len(branch) == 14 and is_hex(branch))) and (not commit or is_hash(commit))
