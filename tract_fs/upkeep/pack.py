"""Packing: loose files and small packs of all tracts into packs, so that a store of any age has few files.

Each pack is written, synced, read again and verified as a whole. The files that it makes superfluous are removed once it is settled (`settled`), as
a rule by a later run. That is done in slices, under the store's lock, and only while the pack is unchanged since. So each member is in a
good file at any moment, also after a crash, beside another packing, and in a copy that was being made. In a git work tree only own files
(`own_files`) are packed and removed, and each directory of the fan-out keeps one: git takes removed files for renamed ones, and a directory
without files for a renamed directory, and stops where another clone did something else to the same.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from tract_fs.errors import ArgumentError, HashMismatch
from tract_fs.model.names import to_us
from tract_fs.model.status import PackReport
from tract_fs.store import files
from tract_fs.store.address import Address
from tract_fs.store.left_over import remove_left_over
from tract_fs.store.outer_git import outer_repository, tracked_store
from tract_fs.store.packs import PackWriter, first_member, scan
from tract_fs.store.store import Store
from tract_fs.store.transaction_files import PACK_MAX_BYTES
from tract_fs.store.tree import count_files
from tract_fs.upkeep.own_files import OwnFiles, note_removed
from tract_fs.upkeep.pack_plan import Member, PackPlan
from tract_fs.upkeep.settled import SettledPacks, describe_delays

_GIT_MAX_BYTES = 45_000_000  # hosts of git refuse files over 100 MB, and warn of those over 50
_LEAST_MAX_BYTES = 1_000_000
_AT_ONCE = 256  # files removed in one hold of the lock: some milliseconds
_PAUSE_S = 0.001  # for waiting writers, which try every half millisecond


class PackOptions(NamedTuple):
    """How to pack; see the facade."""

    before_ns: int | None = None  # only files not changed since; None: any
    keep_ns: int = 0  # how long a pack must have been in place
    max_bytes: int | None = None  # None: as is usual where the store lies
    with_others: bool = False


def require_options(*, older_than: object, keep_loose: object, max_size: object, with_others: bool) -> PackOptions:
    """Returns checked options. Errors: ArgumentError."""
    if not isinstance(keep_loose, timedelta) or keep_loose < timedelta(0):
        raise ArgumentError(f"keep_loose {keep_loose!r}: give a timedelta, from 0")
    if max_size is not None and (type(max_size) is not int or not _LEAST_MAX_BYTES <= max_size <= PACK_MAX_BYTES):
        raise ArgumentError(
            f"max_size {max_size!r}: give a number of bytes from {_LEAST_MAX_BYTES} to {PACK_MAX_BYTES}"
        )
    keep_ns = keep_loose // timedelta(microseconds=1) * 1000
    return PackOptions(require_age(older_than), keep_ns, max_size, with_others)


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


def pack_store(store: Store, options: PackOptions, *, then: Callable[[], object]) -> PackReport:
    """Packs a store whose files are all durable without the redo log, and calls `then` at the end; see the facade. Closes
    `store`, which serves only this run.
    """
    try:
        report = _Packing(store, options).run()
    finally:
        store.close()
    then()
    return report


class _Written(NamedTuple):
    """A verified pack with its signature at that time, and the loose files that it makes superfluous."""

    pack: str
    signature: files.Signature | None
    paths: list[str]


class _Packing:
    """One run.

    States: planning; writing, with a pack open (`_open`, and its `_members`) or between packs (`_open` is None); removing
    what settled packs contain. `_is_stopped` is set for good when a removal ends early.
    """

    def __init__(self, store: Store, options: PackOptions) -> None:
        self._store = store
        self._layout = store.layout
        self._packs = store.packs
        self._keep_ns = options.keep_ns
        self._git = tracked_store(self._layout)
        self._own = None if self._git is None or options.with_others else OwnFiles(store)
        is_in_git = outer_repository(self._layout.context) is not None
        self._max_bytes = options.max_bytes or (_GIT_MAX_BYTES if is_in_git else PACK_MAX_BYTES)
        self._plan = PackPlan(store, options.before_ns, max_bytes=self._max_bytes, own=self._own)
        self._open: PackWriter | None = None
        self._opened = ExitStack()  # closes it
        self._members: list[Member] = []  # of the open pack
        self._new: dict[str, files.Signature | None] = {}
        self._kept: set[str] = set()  # packs that stay, with members of this run
        self._held: dict[str, list[str]] = {}  # by settled pack: the loose files of its members
        self._waiting: Counter[str] = Counter()  # files that stay until a pack is settled, by the delay
        self._written_bytes = 0
        self._removed_count = 0
        self._removed_packs: list[str] = []
        self._is_stopped = False

    def run(self) -> PackReport:
        """Packs the store, and returns the report."""
        before = sum(count_files(self._layout))
        self._plan.look()
        signatures = self._plan.signatures
        self._settled = SettledPacks(self._layout, signatures, keep_ns=self._keep_ns, store=self._git)
        with ExitStack() as self._opened:
            for member in self._plan.iter_members():
                self._take(member)
            self._finish_pack()
        staying = self._staying()
        for pack, paths in self._held.items():
            self._remove_loose(_Written(pack, signatures[pack], [path for path in paths if path not in staying]))
        self._remove_sources()
        self._remove_contained()
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
            waiting_count=self._waiting.total(),
            waiting=tuple(self._reasons(len(staying))),
        )

    def _reasons(self, staying_count: int) -> Iterator[str]:
        yield from describe_delays(self._waiting, self._settled.young_until)
        if staying_count:
            yield f"{staying_count} files stay, one in each directory, so that git takes no directory for renamed"
        if self._plan.foreign_count:
            yield (
                f"{self._plan.foreign_count} files were not written by this copy alone: the copies that wrote them pack them; "
                "if no other clone packs: 'tract pack --with-others'"
            )

    # writing

    def _take(self, member: Member) -> None:
        choices: tuple[Collection[str], ...] = (self._plan.kept,)
        if member.paths and self._settled.names:
            choices = self._plan.kept, self._settled.names
        kept, *rest = self._packs.holders(member.name, *choices)
        settled = rest[0] if rest else None
        paths = member.paths
        if settled is not None:
            self._held.setdefault(settled, []).extend(paths)
            paths = []
        if kept is not None:
            self._kept.add(kept)
            self._wait(kept, len(paths))
            return
        if self._open is not None and self._open.size_bytes + len(member.data) >= self._max_bytes:
            self._finish_pack()
        if self._open is None:
            self._open = self._opened.enter_context(PackWriter(self._layout))
        self._open.add(member.name, member.data)
        self._members.append(Member(member.name, b"", paths))

    def _wait(self, pack: str, count: int) -> None:
        if count:
            self._waiting[self._settled.delay(pack)] += count

    def _finish_pack(self) -> None:
        """Finishes the open pack, verifies it, and removes the loose files of its members if it is settled at once."""
        if self._open is None:
            return
        members, self._members = self._members, []
        name, size_bytes = self._open.finish()
        self._written_bytes += size_bytes
        self._open = None
        self._opened.close()
        self._new[name] = self._read_again(name, members)
        paths = [path for member in members for path in member.paths]
        if self._settled.add(name):
            self._remove_loose(_Written(name, self._new[name], paths))
        else:
            self._wait(name, len(paths))

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

    def _staying(self) -> set[str]:
        """Returns the files that stay although they could be removed: in a git work tree the first of each directory."""
        first: dict[str, str] = {}
        for path in (path for paths in self._held.values() for path in paths) if self._git is not None else ():
            directory = os.path.dirname(path)
            first[directory] = min(first.get(directory, path), path)
        return set(first.values())

    def _remove_loose(self, written: _Written) -> None:
        verified = {written.pack: written.signature}
        for slice_ in _slices(written.paths):
            with self._store.locked():
                if self._is_changed(verified):
                    return
                self._note_removed([path[-65:].replace("/", "") for path in slice_])  # <2 digits>/<62 digits>
                for path in slice_:
                    files.remove(path)
            self._removed_count += len(slice_)
            time.sleep(_PAUSE_S)

    def _remove_sources(self) -> None:
        """Removes the small packs that were merged, once all packs with their members are settled."""
        sources = [name for name in self._plan.sources() if name not in self._new]
        verified = {**self._new, **{name: self._plan.signatures[name] for name in self._kept}}
        unsettled = [name for name in verified if name not in self._settled.names]
        if unsettled:
            self._wait(unsettled[0], len(sources))
        else:
            self._remove_packs(sources, verified)

    def _remove_packs(self, names: list[str], verified: dict[str, files.Signature | None]) -> None:
        """Removes packs whose members were all verified in others."""
        for slice_ in _slices([name for name in names if name not in verified]):
            with self._store.locked():
                if self._is_changed(verified):
                    return
                self._note_removed(slice_)
                for name in slice_:
                    files.remove(self._layout.pack(name))
            self._removed_packs += slice_
            self._packs.refresh()

    def _note_removed(self, names: list[str]) -> None:
        if self._git is not None:
            note_removed(self._layout, names)

    def _is_changed(self, verified: dict[str, files.Signature | None]) -> bool:
        """Returns whether a pack changed since it was verified, by another run or a tool. Then nothing more is removed."""
        found = any(
            signature is None or files.signature(self._layout.pack(name)) != signature
            for name, signature in verified.items()
        )
        self._is_stopped = self._is_stopped or found
        return found

    def _remove_contained(self) -> None:
        """Removes the packs whose members are all in settled packs that stay, the smallest first."""
        sizes = [(size, name) for name, size in files.list_files(self._layout.packs) if name in self._packs.names]
        stay = self._settled.names & {name for _, name in sizes}
        for _, name in sorted(sizes):
            others = stay - {name}
            if self._own is not None and not self._own.has_pack(name):
                continue
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


def _slices(items: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
