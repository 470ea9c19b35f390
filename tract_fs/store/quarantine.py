"""The quarantine: files whose bytes do not hash to their names, moved to `local/quarantine/` and kept there.

Only a writer that holds the store's lock moves a file, and only one that has not changed for ten seconds, or that the
writer replaces by the right bytes. A file whose bytes hash to its name is never quarantined, and nothing is ever
deleted: a file that turns out good is moved back. Beside each file lies a note with its cause and time.
Format: FORMAT.md, section 10.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Literal, NamedTuple

from msgspec import Struct
from msgspec.json import Decoder

from tract_fs.errors import JsonValueError
from tract_fs.model import canonical
from tract_fs.model.damage import NO_FILE, diagnose
from tract_fs.model.members import tract_of_event
from tract_fs.model.names import are_hashes, format_time, hash_bytes, is_hash, is_tract_id
from tract_fs.store import files
from tract_fs.store.address import LIMITS_BYTES, MAX_PACK_BYTES, Address, Kind, address_of
from tract_fs.store.layout import Layout
from tract_fs.store.packs import Packs

SETTLED_NS = 10_000_000_000
_SKEW_NS = 60_000_000_000  # a copying tool set an mtime that is further ahead, not a write that is still going on
_NOTE = ".txt"
_MOST_NOTE_BYTES = 1 << 24  # with the events that a pack lacks
_MOST_NOTES = 10_000  # beyond that, files are listed without their notes

Outcome = Literal["good", "absent", "fresh", "set aside", "repaired", "failed"]


class Finding(NamedTuple):
    """The result of an examination: `path` from the store's root on; `cause` if the bytes are wrong."""

    outcome: Outcome
    path: str
    cause: str = ""


class Note(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The note beside a quarantined file: its address, the cause of the damage, and the time of the move.

    Of a pack, `lost` are the events, by tract, that it had and lacked; `is_doubtful` if it may have had others too.
    """

    kind: Kind
    name: str
    tract: str
    cause: str
    at: str
    lost: dict[str, list[str]] = {}
    is_doubtful: bool = False

    @property
    def address(self) -> Address | None:
        """The address of the file; None for an event whose note is lost, and its tract with it."""
        is_known = self.kind != "event" or self.tract
        return Address(self.kind, self.name, self.tract) if is_known else None


class DamagedPack(Struct, frozen=True):
    """A damaged pack that had events of a tract, or may have had: its path from the store's root on, and what happened to it.

    `is_doubtful`: it may have had events that nothing names any more.
    """

    path: str
    cause: str
    is_doubtful: bool


class PackLosses(Struct, frozen=True):
    """What damaged packs, in their places or quarantined, mean for a tract: the packs, and the events that they surely had and lack."""

    packs: list[DamagedPack]
    events: set[str]


class Quarantined(NamedTuple):
    """A quarantined file, by its path from the store's root on, with its note."""

    file: str
    note: Note


@cache
def _decoder() -> Decoder[Note]:
    return Decoder(Note)


class Quarantine:
    """The quarantine of one store. File times are compared with the wall clock `now_ns`."""

    def __init__(self, layout: Layout, packs: Packs, *, now_ns: Callable[[], int] | None = None) -> None:
        self._layout = layout
        self._packs = packs
        self._now_ns = now_ns
        self._signature: files.Signature | None = None
        self._listed: list[tuple[Kind, str]] = []  # the kind and the name of each file, by name
        self._notes: dict[str, Note] = {}  # by the name of the file; those that were read

    # for writers that hold the lock

    def examine(self, suspect: Address) -> Finding:
        """Reads a suspect again and, if it is damaged and no longer changing, quarantines it or writes the right bytes.

        The lock is held. Never raises OSError: a file that can't be moved now stays where it is.
        """
        path, shown = suspect.path_in(self._layout), suspect.path
        try:
            data = files.read(path, limit_bytes=suspect.limit_bytes)
            if data is None:
                return Finding("absent", shown)
            if hash_bytes(data) == suspect.name:
                return Finding("good", shown)
            cause, repaired = diagnose(data, suspect.name)
            if not self._is_still(path):
                return Finding("fresh", shown, cause)
            if repaired is not None:
                self._keep_copy(suspect, cause, data)
                files.replace(path, repaired, is_synced=True)
                return Finding("repaired", shown, cause)
            lost: dict[str, list[str]] | None = {}
            if suspect.kind == "pack":
                self._give_back_members(suspect.name, data)
                lost = self._packs.lost_events(suspect.name, data)
            return self._move(suspect, path, cause, data, lost=lost)
        except OSError:  # a full or read-only disk, another user's directory: the file counts as absent all the same
            return Finding("failed", shown)

    def set_aside(self, suspect: Address) -> None:
        """Quarantines the file at an address, however fresh, so that the caller can write the right bytes there.

        Moves it back if it is good itself. Errors: OSError.
        """
        path = suspect.path_in(self._layout)
        data = files.read(path, limit_bytes=suspect.limit_bytes)
        self._move(suspect, path, NO_FILE if data is None else diagnose(data, suspect.name).cause, data, lost={})

    def give_back(self) -> list[str]:
        """Moves back the files that became good in the quarantine: a copying tool may finish a file after its move.

        Returns their paths from the store's root on. The lock is held.
        """
        found = []
        for file, note in self.entries():
            address = note.address
            if address is None:
                continue
            source, path = f"{self._layout.root}/{file}", address.path_in(self._layout)
            if files.exists(path):
                continue
            data = files.read(source, limit_bytes=address.limit_bytes)
            is_good = data is not None and hash_bytes(data) == address.name
            if data is not None and is_good and (address.kind != "event" or tract_of_event(data) == address.tract):
                files.make_directory(path[: path.rindex("/")])
                files.rename(source, path)
                files.remove(source + _NOTE)
                found.append(address.path)
        return found

    def _is_still(self, path: str) -> bool:
        found = files.times(path)
        if found is None:
            return False
        now_ns = time.time_ns() if self._now_ns is None else self._now_ns()
        mtime_ns, ctime_ns = found
        return now_ns - ctime_ns >= SETTLED_NS and not -_SKEW_NS < now_ns - mtime_ns < SETTLED_NS

    def _move(
        self,
        suspect: Address,
        path: str,
        cause: str,
        data: bytes | None,
        *,
        lost: dict[str, list[str]] | None,
    ) -> Finding:
        """Moves a damaged file into the quarantine; back if a tool put a good one in its place meanwhile."""
        target = self._target(suspect, data)
        is_new = not files.exists(target)
        self._write_note(
            suspect, cause, target, lost=lost
        )  # first: a crash may leave a note without a file, which is ignored
        try:
            files.rename(path, target)
        except OSError:
            if is_new:
                files.remove(target + _NOTE)
            raise
        moved = files.read(target, limit_bytes=suspect.limit_bytes)
        if moved is not None and hash_bytes(moved) == suspect.name:
            files.rename(target, path)
            files.remove(target + _NOTE)
            return Finding("good", suspect.path)
        return Finding("set aside", suspect.path, cause)

    def _keep_copy(self, suspect: Address, cause: str, data: bytes) -> None:
        target = self._target(suspect, data)
        self._write_note(suspect, cause, target, lost={})
        files.replace(target, data)

    def _write_note(self, suspect: Address, cause: str, target: str, *, lost: dict[str, list[str]] | None) -> None:
        now_us = (time.time_ns() if self._now_ns is None else self._now_ns()) // 1000
        at = format_time(now_us)
        note = Note(suspect.kind, suspect.name, suspect.tract, cause, at, lost or {}, is_doubtful=lost is None)
        files.replace(target + _NOTE, canonical.encode_struct(note) + b"\n", mode=0o666)

    def _target(self, suspect: Address, data: bytes | None) -> str:
        """Returns a free path in the quarantine, or that of a file with the same bytes, if there is one."""
        name = f"{self._layout.quarantine}/{suspect.kind}-{suspect.name}"
        target, number = name, 1
        while files.exists(target) and files.read(target, limit_bytes=MAX_PACK_BYTES) != data:
            number += 1
            target = f"{name}.{number}"
        return target

    def _give_back_members(self, name: str, data: bytes) -> None:
        """Writes the good members of a damaged pack as loose files, where these are missing or damaged."""
        for member in self._packs.good_members(name, data):
            address = address_of(member, hash_bytes(member))
            if address is None:
                continue
            path = address.path_in(self._layout)
            if files.read(path, limit_bytes=MAX_PACK_BYTES) != member:
                files.replace(path, member)
        files.sync_filesystem(self._layout.root)  # as durable as the pack was

    # for every handle

    def entries(self) -> list[Quarantined]:
        """Returns the quarantined files, oldest first. Cost: one stat if nothing changed."""
        found = [Quarantined(self._shown(name), self._note(name)) for _, name in self._list()]
        return sorted(found, key=lambda entry: (entry.note.at, entry.file))

    def events(self, tract: str) -> dict[str, str]:
        """Returns the quarantined events of a tract, with their causes. Cost: one stat if nothing changed."""
        notes = (self._note(name) for kind, name in self._list() if kind == "event")
        return {note.name: note.cause for note in notes if note.tract == tract}

    def losses(self, tract: str) -> PackLosses:
        """Returns what damaged and quarantined packs mean for a tract. Cost: one stat if there are none."""
        found = PackLosses([], set())
        for name, damage in self._packs.damaged().items():
            lost = damage.lost_of(tract)
            if damage.lost is None or lost or tract in damage.tracts:
                found.packs.append(DamagedPack(Address("pack", name).path, damage.cause, damage.lost is None))
                found.events.update(lost)
        for note in [self._note(name) for kind, name in self._list() if kind == "pack"]:
            lost = {name for owner in ("", tract) for name in note.lost.get(owner, ())}
            if (lost or note.is_doubtful) and not files.exists(self._layout.pack(note.name)):
                found.packs.append(DamagedPack(Address("pack", note.name).path, note.cause, note.is_doubtful))
                found.events.update(lost)
        return found

    def _list(self) -> list[tuple[Kind, str]]:
        """Returns kind and name of each quarantined file. Their notes are read on demand: there may be very many."""
        try:
            signature = files.signature(self._layout.quarantine)
            if signature != self._signature or signature is None:
                names = sorted(files.list_names(self._layout.quarantine)) if signature is not None else []
                self._listed = [(kind, name) for name in names if (kind := _kind_of(name)) is not None]
                self._notes.clear()
                self._signature = signature
        except OSError:  # another user's directory counts as empty
            self._listed = []
        return self._listed

    def damaged_bytes(self, address: Address) -> bytes | None:
        """Returns the bytes of a damaged file, where it was or in the quarantine; None if it is gone or can't be read."""
        places = [address.path_in(self._layout)]
        places += [f"{self._layout.root}/{file}" for file, note in self.entries() if note.address == address]
        for place in places:
            with suppress(OSError):
                data = files.read(place, limit_bytes=address.limit_bytes)
                if data is not None:
                    return data
        return None

    def _note(self, name: str) -> Note:
        """Returns the note of a quarantined file; one without a cause where it is missing, or beyond the first thousands."""
        note = self._notes.get(name)
        if note is None:
            kind, digest = _kind_of(name) or "object", name.partition("-")[2][:64]
            read = (
                self._read_note(f"{self._layout.quarantine}/{name}{_NOTE}") if len(self._notes) < _MOST_NOTES else None
            )
            is_of_it = read is not None and (read.kind, read.name) == (kind, digest) and _is_sound(read)
            note = read if read is not None and is_of_it else Note(kind, digest, "", "cause unknown", "")
            if len(self._notes) < _MOST_NOTES:
                self._notes[name] = note
        return note

    def _shown(self, name: str) -> str:
        return self._layout.relative(f"{self._layout.quarantine}/{name}")

    @staticmethod
    def _read_note(path: str) -> Note | None:
        try:
            data = files.read(path, limit_bytes=_MOST_NOTE_BYTES)
            return None if data is None else canonical.decode_typed(_decoder(), data)
        except (JsonValueError, OSError):
            return None


def _kind_of(name: str) -> Kind | None:
    """Returns the kind of a quarantined file by its name; None for a note, or for any other file."""
    kind, _, rest = name.partition("-")
    for known in LIMITS_BYTES:
        if kind == known and is_hash(rest[:64]) and not name.endswith(_NOTE):
            return known
    return None


def _is_sound(note: Note) -> bool:
    """Returns whether a note names a tract exactly where an address has one, and events only by hashes: they become paths."""
    is_sound = is_tract_id(note.tract) if note.kind == "event" else not note.tract
    return is_sound and (note.kind == "pack" or not note.lost) and all(map(are_hashes, note.lost.values()))
