"""The quarantine: files under our names whose bytes are not what the name says, moved to `local/quarantine/` and kept there.

Only a writer that holds the store's lock moves a file, and only one that has stood still for ten seconds; or who has the good bytes at hand. A file whose bytes hash to its name is never set
aside, and nothing is ever deleted: the move is undone if the file turns out good. Beside each file lies a note with its cause and time.
Format: FORMAT.md, section 10.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, NamedTuple

from msgspec import Struct
from msgspec.json import Decoder

from tract_fs.errors import JsonValueError
from tract_fs.model import canonical
from tract_fs.model.content import MAX_OBJECT_BYTES
from tract_fs.model.damage import NO_FILE, diagnose
from tract_fs.model.events import MAX_EVENT_BYTES
from tract_fs.model.members import is_object_of_ours, tract_of_event
from tract_fs.model.names import format_time, hash_bytes, is_hash, is_tract_id
from tract_fs.store import files
from tract_fs.store.layout import Layout
from tract_fs.store.packs import LIMIT_BYTES, Packs
from tract_fs.store.suspects import Kind, Suspect

SETTLED_NS = 10_000_000_000
_SKEW_NS = 60_000_000_000  # an mtime further ahead was set by a copying tool, not by a write that goes on
_NOTE = ".txt"
_MOST_NOTES = 10_000  # beyond that files are listed without their notes
_LIMITS: dict[Kind, int] = {"object": MAX_OBJECT_BYTES, "event": MAX_EVENT_BYTES, "pack": LIMIT_BYTES}

Outcome = Literal["good", "absent", "fresh", "set aside", "repaired", "failed"]


class Finding(NamedTuple):
    """What became of a suspect: `path` from the store's root on; `cause` where its bytes are wrong."""

    outcome: Outcome
    path: str
    cause: str = ""


class Note(Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept beside a quarantined file: what it was, what happened to it, when it was set aside."""

    kind: Kind
    name: str
    tract: str
    cause: str
    at: str


class Quarantined(NamedTuple):
    """A file of the quarantine, from the store's root on, with its note."""

    file: str
    note: Note


_DECODER = Decoder(Note)


class Quarantine:
    """The quarantine of one store. `now_ns` is the wall clock that file times are compared with."""

    def __init__(self, layout: Layout, packs: Packs, *, now_ns: Callable[[], int] | None = None) -> None:
        self._layout = layout
        self._packs = packs
        self._now_ns = now_ns
        self._signature: files.Signature | None = None
        self._entries: list[Quarantined] = []

    # for writers that hold the lock

    def examine(self, suspect: Suspect) -> Finding:
        """Reads a suspect again and sets it aside, or writes the right bytes in its place, if it is damaged and stands still.

        The lock is held. Never raises OSError: what can't be moved now stays where it is.
        """
        path = self.path_of(suspect)
        shown = self._layout.relative(path)
        try:
            data = files.read(path, limit_bytes=_LIMITS[suspect.kind])
            if data is None:
                return Finding("absent", shown)
            if hash_bytes(data) == suspect.name:
                return Finding("good", shown)
            cause, repaired = diagnose(data, suspect.name)
            if not self._is_still(path):
                return Finding("fresh", shown, cause)
            if repaired is not None:
                self._keep_copy(suspect, cause, data)
                files.write_new(path, repaired, is_synced=True)
                return Finding("repaired", shown, cause)
            if suspect.kind == "pack":
                self._give_back_members(suspect.name, data)
            return self._move(suspect, path, cause, data)
        except OSError:  # a full or read-only disk, another user's directory: it counts as absent where it lies, too
            return Finding("failed", shown)

    def set_aside(self, suspect: Suspect) -> None:
        """Moves what lies in a suspect's place aside, however fresh, for who has the good bytes to write there; back if it is good itself.

        Errors: OSError.
        """
        path = self.path_of(suspect)
        data = files.read(path, limit_bytes=_LIMITS[suspect.kind])
        self._move(suspect, path, NO_FILE if data is None else diagnose(data, suspect.name).cause, data)

    def give_back(self) -> list[str]:
        """Moves back what became good in the quarantine, as when a copy that had stalled was finished there; returns the paths. The lock is held."""
        found = []
        for file, note in self.entries():
            source = f"{self._layout.root}/{file}"
            if note.kind == "event" and not note.tract:
                continue
            path = self.path_of(Suspect(note.kind, note.name, note.tract))
            if files.exists(path):
                continue
            data = files.read(source, limit_bytes=_LIMITS[note.kind])
            is_good = data is not None and hash_bytes(data) == note.name
            if data is not None and is_good and (note.kind != "event" or tract_of_event(data) == note.tract):
                files.make_directory(path[: path.rindex("/")])
                files.rename(source, path)
                files.remove(source + _NOTE)
                found.append(self._layout.relative(path))
        return found

    def _is_still(self, path: str) -> bool:
        found = files.times(path)
        if found is None:
            return False
        now_ns = time.time_ns() if self._now_ns is None else self._now_ns()
        mtime_ns, ctime_ns = found
        return now_ns - ctime_ns >= SETTLED_NS and not -_SKEW_NS < now_ns - mtime_ns < SETTLED_NS

    def _move(self, suspect: Suspect, path: str, cause: str, data: bytes | None) -> Finding:
        """Moves a damaged file aside; back if it is good after all, since some tool put a good one there meanwhile."""
        shown = self._layout.relative(path)
        target = self._target(suspect, data)
        is_new = not files.exists(target)
        self._write_note(suspect, cause, target)  # first: a crash leaves a note without a file, which says nothing
        try:
            files.rename(path, target)
        except OSError:
            if is_new:
                files.remove(target + _NOTE)
            raise
        moved = files.read(target, limit_bytes=_LIMITS[suspect.kind])
        if moved is not None and hash_bytes(moved) == suspect.name:
            files.rename(target, path)
            files.remove(target + _NOTE)
            return Finding("good", shown)
        return Finding("set aside", shown, cause)

    def _keep_copy(self, suspect: Suspect, cause: str, data: bytes) -> None:
        target = self._target(suspect, data)
        self._write_note(suspect, cause, target)
        files.write_new(target, data)

    def _write_note(self, suspect: Suspect, cause: str, target: str) -> None:
        now_us = (time.time_ns() if self._now_ns is None else self._now_ns()) // 1000
        note = Note(suspect.kind, suspect.name, suspect.tract, cause, format_time(now_us))
        files.write_new(target + _NOTE, canonical.encode_struct(note) + b"\n", mode=0o644)

    def _target(self, suspect: Suspect, data: bytes | None) -> str:
        """Returns a free name in the quarantine, or that of a file with the same bytes: a bad copy may come again and again."""
        name = f"{self._layout.quarantine}/{suspect.kind}-{suspect.name}"
        target, number = name, 1
        while files.exists(target) and files.read(target, limit_bytes=LIMIT_BYTES) != data:
            number += 1
            target = f"{name}.{number}"
        return target

    def _give_back_members(self, name: str, data: bytes) -> None:
        """Writes the good members of a damaged pack as loose files, where there are none."""
        for member in self._packs.good_members(name, data):
            path = self._member_path(member)
            if path is None:
                continue
            there = files.read(path, limit_bytes=LIMIT_BYTES)
            if there is None or there != member:
                files.write_new(path, member)
        files.sync_filesystem(self._layout.root)  # the pack was durable

    def _member_path(self, member: bytes) -> str | None:
        """Returns where a member of a pack lies as a loose file; None for what is no object and no event of a tract."""
        name = hash_bytes(member)
        tract = tract_of_event(member)
        if tract is not None:
            return self._layout.event(tract, name)
        return self._layout.object(name) if is_object_of_ours(member) else None

    def path_of(self, suspect: Suspect) -> str:
        """Returns where a file under one of our names lies."""
        if suspect.kind == "event":
            return self._layout.event(suspect.tract, suspect.name)
        return self._layout.pack(suspect.name) if suspect.kind == "pack" else self._layout.object(suspect.name)

    # for all

    def entries(self) -> list[Quarantined]:
        """Returns what lies in the quarantine, oldest first. Cost: one stat if nothing changed."""
        try:
            signature = files.signature(self._layout.quarantine)
            if signature != self._signature or signature is None:
                self._entries = self._read() if signature is not None else []
                self._signature = signature
        except OSError:  # another user's: as if there were none
            self._entries = []
        return self._entries

    def events(self, tract: str) -> dict[str, str]:
        """Returns the events of a tract that were set aside, with their causes."""
        notes = (entry.note for entry in self.entries())
        return {note.name: note.cause for note in notes if note.kind == "event" and note.tract == tract}

    def _read(self) -> list[Quarantined]:
        found: list[Quarantined] = []
        names = set(files.list_names(self._layout.quarantine))
        for name in sorted(names):
            kind, _, rest = name.partition("-")
            if kind not in _LIMITS or not is_hash(rest[:64]) or name.endswith(_NOTE):
                continue
            note = self._read_note(f"{self._layout.quarantine}/{name}{_NOTE}") if len(found) < _MOST_NOTES else None
            if note is None or (note.kind, note.name) != (kind, rest[:64]) or not _is_sound(note):
                note = Note(kind, rest[:64], "", "cause unknown", "")
            found.append(Quarantined(self._layout.relative(f"{self._layout.quarantine}/{name}"), note))
        return sorted(found, key=lambda entry: (entry.note.at, entry.file))

    @staticmethod
    def _read_note(path: str) -> Note | None:
        data = files.read(path, limit_bytes=1 << 16)
        try:
            return None if data is None else canonical.decode_typed(_DECODER, data)
        except JsonValueError:
            return None


def _is_sound(note: Note) -> bool:
    """Tells whether a note names a tract where one is needed, since that becomes a path."""
    return is_tract_id(note.tract) if note.kind == "event" else not note.tract
