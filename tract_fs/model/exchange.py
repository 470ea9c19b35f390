"""What moves between copies of a store: a bundle's first line, and the reports of syncs and bundles.

Nothing here reads a disk. Format: FORMAT.md, section 12.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.json import Decoder
from msgspec.structs import replace

from tract_fs.errors import JsonValueError
from tract_fs.model import canonical
from tract_fs.model.names import is_hash, is_tract_id

BUNDLE_FORMAT = "tract-fs-bundle"
BUNDLE_VERSION = 2  # of a bundle with blobs; one without them has version 1
Side = Literal["here", "there"]


class Count(Struct, frozen=True):
    """How many files, and their bytes."""

    files: int = 0
    size_bytes: int = 0

    def plus(self, size_bytes: int) -> Count:
        """Returns the count with one more file."""
        return Count(self.files + 1, self.size_bytes + size_bytes)

    def __add__(self, other: Count) -> Count:
        return Count(self.files + other.files, self.size_bytes + other.size_bytes)


class Transfer(Struct, frozen=True):
    """What a sync wrote on one side, by kind of file."""

    objects: Count = Count()
    events: Count = Count()
    packs: Count = Count()

    @property
    def files(self) -> int:
        """The number of files."""
        return self.objects.files + self.events.files + self.packs.files

    @property
    def size_bytes(self) -> int:
        """Their bytes."""
        return self.objects.size_bytes + self.events.size_bytes + self.packs.size_bytes

    def __add__(self, other: Transfer) -> Transfer:
        return Transfer(self.objects + other.objects, self.events + other.events, self.packs + other.packs)


class BadFile(Struct, frozen=True):
    """A file whose bytes a sync found not to match its name."""

    path: str  # relative to the store's root
    side: Side
    cause: str
    is_replaced: bool  # it is in quarantine, and a good one is in its place


class DivergedBranch(Struct, frozen=True):
    """A branch with several heads, the newest first. `merge()` joins them."""

    tract_id: str
    branch: str
    heads: tuple[str, ...]


class SyncReport(Struct, frozen=True):
    """What a sync did. `pending_…`: "tract/hash: reason", one per event that waits for something on that side.

    `lost`: the paths of files that what was copied, or what is hidden here, needs and that neither side has. `diverged`:
    the branches with several heads, of all tracts.
    """

    path: str
    is_new: bool  # the store there was made by this sync
    received: Transfer
    sent: Transfer
    bad: tuple[BadFile, ...]
    pending_here: tuple[str, ...]
    pending_there: tuple[str, ...]
    lost: tuple[str, ...] = ()
    diverged: tuple[DivergedBranch, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing is lost, and every bad file was replaced."""
        return not self.lost and all(bad.is_replaced for bad in self.bad)

    def followed_by(self, later: SyncReport) -> SyncReport:
        """Returns the report of this sync and a later one of the same copies as one."""
        return replace(
            later,
            is_new=self.is_new,
            received=self.received + later.received,
            sent=self.sent + later.sent,
            bad=self.bad + later.bad,
        )


class BundleHeader(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first line of a bundle."""

    format: str
    version: int
    tracts: tuple[str, ...]  # of its events, ascending
    contents: int
    commits: int
    events: int
    builds_on: tuple[str, ...]  # tract/hash of the parents of its events that are not in the bundle, ascending
    blobs: int = 0  # from version 2 on, which has some


class BundleInfo(Struct, frozen=True):
    """What is in a bundle; `missing` are hashes of contents, blobs and commits of its events, and of events, that the store did not have."""

    path: str
    tracts: tuple[str, ...]
    contents: int
    commits: int
    events: int
    builds_on: tuple[str, ...]
    size_bytes: int
    missing: tuple[str, ...] = ()
    blobs: int = 0


class BundleApplied(Struct, frozen=True):
    """What a bundle brought; `pending`: "tract/hash: reason", one per event of the bundle that waits for something."""

    path: str
    tracts: tuple[str, ...]
    new_contents: int
    new_commits: int
    new_events: int
    size_bytes: int  # of what was written
    pending: tuple[str, ...]
    new_blobs: int = 0


_DECODER = Decoder(BundleHeader)


def encode_header(header: BundleHeader) -> bytes:
    """Returns the first line of a bundle, without its newline."""
    names = [name for name in header.__struct_fields__ if name != "blobs" or header.blobs]
    return canonical.encode_checked({name: getattr(header, name) for name in names})


def bundle_version(data: bytes) -> int:
    """Returns the version in a bundle's first line; JsonValueError if the line is not that of a bundle."""
    header = canonical.decode(data)
    if type(header) is not dict or header.get("format") != BUNDLE_FORMAT:
        raise JsonValueError(path="bundle", reason="the first line is not that of a bundle")
    version = header.get("version")
    if type(version) is not int or version < 1:
        raise JsonValueError(path="bundle", reason=f"invalid version {version!r}")
    return version


def decode_header(data: bytes) -> BundleHeader:
    """Returns the header in the first line of a bundle of this version; JsonValueError if it is not valid."""
    header = canonical.decode_typed(_DECODER, data)
    if min(header.contents, header.commits, header.events, header.blobs) < 0:
        raise JsonValueError(path="bundle", reason="a count below 0")
    if (header.version > 1) != (header.blobs > 0):
        raise JsonValueError(path="bundle", reason=f"version {header.version} with {header.blobs} blobs")
    for tract in header.tracts:
        if not is_tract_id(tract):
            raise JsonValueError(path="bundle", reason=f"invalid tract id {tract!r}")
    for parent in header.builds_on:
        tract, _, name = parent.partition("/")
        if not is_tract_id(tract) or not is_hash(name):
            raise JsonValueError(path="bundle", reason=f"invalid parent {parent!r}")
    return header
