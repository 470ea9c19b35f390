"""Packing: loose files and small packs of all tracts into packs, so that a store of any age has few files.

Each pack is written, synced, read again and verified as a whole before its members are removed elsewhere. That is done in slices, under the store's
lock, and only while the pack is unchanged since. So each member is in a good file at any moment, also after a crash and beside another packing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from tract_fs.errors import ArgumentError, HashMismatch
from tract_fs.model.names import to_us
from tract_fs.model.status import PackReport
from tract_fs.store import files
from tract_fs.store.address import Address
from tract_fs.store.left_over import remove_left_over
from tract_fs.store.packs import PackWriter, first_member, scan
from tract_fs.store.store import PACK_MAX_BYTES, Store
from tract_fs.store.tree import count_files, fan_directories
from tract_fs.upkeep.pack_plan import Member, PackPlan

_AT_ONCE = 256  # files removed in one hold of the lock: some milliseconds
_PAUSE_S = 0.001  # for waiting writers, which try every half millisecond


def require_age(older_than: object) -> int | None:
    """Returns the time in ns since which a file must not have changed, to be packed; None: any file. Errors: ArgumentError."""
    if older_than is None:
        return None
    if isinstance(older_than, timedelta) and older_than >= timedelta(0):
        return time.time_ns() - older_than // timedelta(microseconds=1) * 1000
    if isinstance(older_than, datetime):
        aware = older_than if older_than.tzinfo is not None else older_than.replace(tzinfo=UTC)
        return to_us(aware) * 1000
    raise ArgumentError(f"older_than {older_than!r}: give a timedelta, from 0, or a datetime")


def pack_store(store: Store, *, before_ns: int | None) -> PackReport:
    """Packs a store whose files are all durable without the redo log; see the facade. Closes `store`, which serves only this run."""
    try:
        return _Packing(store, before_ns).run()
    finally:
        store.close()


class _Written(NamedTuple):
    """A verified pack with its signature at that time, and the loose files that it makes superfluous."""

    pack: str
    signature: files.Signature | None
    paths: list[str]


class _Packing:
    """One run.

    States: planning; writing, with a pack open (`_open`, and its `_members`) or between packs (`_open` is None); removing
    what the new and the kept packs contain. `_is_stopped` is set for good when a removal ends early.
    """

    def __init__(self, store: Store, before_ns: int | None) -> None:
        self._store = store
        self._layout = store.layout
        self._packs = store.packs
        self._plan = PackPlan(store, before_ns)
        self._open: PackWriter | None = None
        self._opened = ExitStack()  # closes it
        self._members: list[Member] = []  # of the open pack
        self._new: dict[str, files.Signature | None] = {}
        self._held: dict[str, list[str]] = {}  # by pack that stays: the loose files of its members
        self._written_bytes = 0
        self._removed_count = 0
        self._removed_packs: list[str] = []
        self._is_stopped = False

    def run(self) -> PackReport:
        """Packs the store, and returns the report."""
        before = sum(count_files(self._layout))
        self._plan.look()
        with ExitStack() as self._opened:
            for member in self._plan.iter_members():
                self._take(member)
            self._finish_pack()
        kept = {name: self._plan.kept[name] for name in self._held}
        for pack, paths in self._held.items():
            self._remove_loose(_Written(pack, kept[pack], paths))
        self._remove_packs(self._plan.sources(), {**self._new, **kept})
        self._remove_contained()
        self._remove_directories()
        remove_left_over(self._layout)
        return PackReport(
            files_before=before,
            files_after=sum(count_files(self._layout)),
            packed_count=self._removed_count,
            packs_written=tuple(self._new),
            packs_removed=tuple(self._removed_packs),
            written_bytes=self._written_bytes,
            left=tuple(self._plan.left),
            is_complete=not self._is_stopped,
        )

    # writing

    def _take(self, member: Member) -> None:
        holder = self._packs.holder(member.name, self._plan.kept)
        if holder is not None:
            self._held.setdefault(holder, []).extend(member.paths)
            return
        if self._open is not None and self._open.size_bytes + len(member.data) >= PACK_MAX_BYTES:
            self._finish_pack()
        if self._open is None:
            self._open = self._opened.enter_context(PackWriter(self._layout))
        self._open.add(member.name, member.data)
        self._members.append(Member(member.name, b"", member.paths))

    def _finish_pack(self) -> None:
        """Finishes the open pack, verifies it, and removes the loose files of its members."""
        if self._open is None:
            return
        members, self._members = self._members, []
        name, size_bytes = self._open.finish()
        self._written_bytes += size_bytes
        self._open = None
        self._opened.close()
        self._new[name] = self._read_again(name, members)
        self._remove_loose(_Written(name, self._new[name], [path for member in members for path in member.paths]))

    def _read_again(self, name: str, members: list[Member]) -> files.Signature | None:
        """Reads a new pack again and makes its members known; returns None if another run has already merged it.

        Errors: HashMismatch if it differs from what was written.
        """
        path = self._layout.pack(name)
        signature = files.signature(path)
        files.drop_cached(path)
        rows, actual = scan(path, name)
        if rows is None and not files.exists(path):
            return None
        held = set() if rows is None else {digest for digest, _, _ in rows.members}
        if rows is None or actual != name or any(bytes.fromhex(member.name) not in held for member in members):
            self._store.suspects.note(Address("pack", name))
            raise HashMismatch(path=self._layout.relative(path), hash=name, expected=name, actual=actual or "nothing")
        self._packs.include(rows)
        return signature

    # removing

    def _remove_loose(self, written: _Written) -> None:
        verified = {written.pack: written.signature}
        for slice_ in _slices(written.paths):
            with self._store.locked():
                if self._is_changed(verified):
                    return
                for path in slice_:
                    files.remove(path)
            self._removed_count += len(slice_)
            time.sleep(_PAUSE_S)

    def _remove_packs(self, names: list[str], verified: dict[str, files.Signature | None]) -> None:
        """Removes packs whose members were all verified in others."""
        for slice_ in _slices([name for name in names if name not in verified]):
            with self._store.locked():
                if self._is_changed(verified):
                    return
                for name in slice_:
                    files.remove(self._layout.pack(name))
            self._removed_packs += slice_
            self._packs.refresh()

    def _is_changed(self, verified: dict[str, files.Signature | None]) -> bool:
        """Returns whether a pack changed since it was verified, by another run or a tool. Then nothing more is removed."""
        found = any(
            signature is None or files.signature(self._layout.pack(name)) != signature
            for name, signature in verified.items()
        )
        self._is_stopped = self._is_stopped or found
        return found

    def _remove_contained(self) -> None:
        """Removes the packs whose members are all in packs that stay, the smallest first."""
        sizes = [(size, name) for name, size in files.list_files(self._layout.packs) if name in self._packs.names]
        stay = {name for _, name in sizes}
        for _, name in sorted(sizes):
            others = stay - {name}
            first = first_member(self._layout.pack(name))
            if first is None or self._packs.holder(first, others) is None:
                continue
            verified = {other: files.signature(self._layout.pack(other)) for other in others}
            try:
                rows, actual = scan(self._layout.pack(name), name)
            except OSError as error:
                if error.errno not in files.UNREADABLE:
                    raise
                continue
            if rows is not None and actual == name:
                holders = [self._packs.holder(digest.hex(), others) for digest, _, _ in rows.members]
                if None not in holders:
                    self._remove_packs([name], {other: verified[other] for other in holders if other is not None})
                    stay = others

    def _remove_directories(self) -> None:
        """Removes the empty directories of the fan-out."""
        for slice_ in _slices(fan_directories(self._layout)):
            with self._store.locked():
                for path in slice_:
                    files.remove_empty_directory(path)
            time.sleep(_PAUSE_S)


def _slices(items: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
