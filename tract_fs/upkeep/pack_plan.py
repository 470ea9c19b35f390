"""The plan of a packing: which files go into packs, and in which order.

The order is the one in which a compile reads: by tract, then by the time of the events, each commit after its content, each event after the commits
that it brings; then the objects that none of these events brings. A file is packed only if a line of a pack gives the same bytes; others stay loose.
Damaged files stay for the quarantine. In a git work tree only the own files of this copy are packed: each copy packs its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from tract_fs.errors import JsonValueError
from tract_fs.model.damage import unreadable
from tract_fs.model.events import decode_event
from tract_fs.model.members import is_event_line, is_line, is_object_of_ours
from tract_fs.model.objects import Commit, decode_commit
from tract_fs.store import files
from tract_fs.store.address import Address
from tract_fs.store.packs import SMALL_BYTES, first_member, scan
from tract_fs.store.store import Store
from tract_fs.store.tree import iter_loose, iter_packs
from tract_fs.upkeep.own_files import OwnFiles


class Member(NamedTuple):
    """One line of a pack: its hash, its bytes, and the loose files that have the same bytes."""

    name: str
    data: bytes
    paths: list[str]


class PackPlan:
    """What one run packs: files last changed before `before_ns`, or all; with `own`, only own files. Packs are at most `max_bytes` large.

    States: new; looked, after `look` has listed the files; done, once `iter_members` has yielded all. Only then `sources`, `left` and
    `foreign_count` are complete.
    """

    def __init__(self, store: Store, before_ns: int | None, *, max_bytes: int, own: OwnFiles | None) -> None:
        self._store = store
        self._layout = store.layout
        self._before_ns = before_ns
        self._own = own
        self._large_bytes = max_bytes // 2  # so that each pack which another member does not fit into is as large
        self._small_bytes = min(SMALL_BYTES, self._large_bytes)
        self._objects: set[bytes] = set()  # loose
        self._events: dict[bytes, str] = {}  # loose: tract by hash
        self._packed: set[bytes] = set()  # members of small packs
        self._packed_events: set[bytes] = set()
        self._done: set[bytes] = set()
        self._small: list[str] = []
        self._is_short = False  # a member of a small pack can no longer be read
        self.signatures: dict[str, files.Signature | None] = {}  # of the packs
        self.kept: set[str] = set()  # packs whose members are not packed again
        self._unreadable: dict[bytes, str] = {}  # loose files that the system can't read
        self.left: list[str] = []  # "path: reason" of files that are not packed

    def look(self) -> None:
        """Lists the store: loose files before packs, because a packing moves files from the former to the latter."""
        new_bytes = 0
        packs = self._store.packs
        packs.refresh()
        for address, size in chain(iter_loose(self._layout, "object"), iter_loose(self._layout, "event")):
            if self._is_old(address):
                digest = bytes.fromhex(address.name)
                if address.kind == "object":
                    self._objects.add(digest)
                else:
                    self._events.setdefault(digest, address.tract)
                # contents are not counted: their commits are not read yet
                is_own = self._own is None or self._own.has(digest)
                new_bytes += size if is_own and not packs.has(address.name) else 0
        packs.refresh()
        sizes = {pack.name: size for pack, size in iter_packs(self._layout)}
        self.signatures = {name: files.signature(self._layout.pack(name)) for name in sizes if name in packs.names}
        self.kept = set(self.signatures)
        by_size = sorted(
            (name for name in sizes if sizes[name] < self._small_bytes), key=lambda name: (sizes[name], name)
        )
        small = [name for name in by_size if self._may_be_merged(name)]  # the inner one first, of packs in packs
        for name in worth_merging({name: sizes[name] for name in small}, new_bytes):
            self._take_pack(name)

    @property
    def foreign_count(self) -> int:
        """How many loose files are not own, so that they are not packed."""
        return 0 if self._own is None else len(self._objects - self._done) + len(self._events.keys() - self._done)

    def sources(self) -> list[str]:
        """Returns the small packs if all their members were yielded; else none."""
        return [] if self._is_short else self._small

    def iter_members(self) -> Iterator[Member]:
        """Yields every member once, verified. Memory: names, and the order of events."""
        for _, _, event, commits in sorted(self._readable_events()):
            for commit in commits:
                yield from self._with_content(commit)
            yield from self._one(event)
        own = self._own
        rest = self._packed | (self._objects if own is None else {name for name in self._objects if own.has(name)})
        commits_left = [(found.created_at, name) for name in rest if (found := self._commit(name)) is not None]
        for _, name in sorted(commits_left):
            yield from self._with_content(name)
        for name in sorted(rest | self._events.keys()):
            if own is None or name in self._packed or own.has(name):
                yield from self._one(name)

    def _may_be_merged(self, name: str) -> bool:
        """Returns whether a small pack may be written again. One that lies in another pack is not; it waits for its removal."""
        if not self._is_old(Address("pack", name)):
            return False
        packs = self._store.packs
        first = first_member(self._layout.pack(name))
        holder = None if first is None else packs.holder(first, self.kept - {name})
        if holder is not None and packs.member_names(name) <= packs.member_names(holder):
            self.kept.discard(name)
            return False
        return self._own is None or self._own.has_pack(name)

    def _take_pack(self, name: str) -> None:
        self.kept.discard(name)
        try:
            rows, actual = scan(self._layout.pack(name), name)
        except OSError as error:
            if error.errno not in files.UNREADABLE:
                raise
            self.left.append(f"packs/{name}: {unreadable(error.strerror)}")
            return
        if rows is None or actual != name:
            if rows is not None:
                self._store.suspects.note(Address("pack", name))
                self.left.append(f"packs/{name}: damaged")
            return
        self._small.append(name)
        self._packed.update(digest for digest, _, _ in rows.members)
        for names in rows.events.values():
            self._packed_events.update(names)

    def _is_old(self, address: Address) -> bool:
        if self._before_ns is None:
            return True
        found = files.times(address.path_in(self._layout))
        return found is not None and max(found) < self._before_ns

    def _readable_events(self) -> Iterator[tuple[str, str, bytes, tuple[bytes, ...]]]:
        """Yields tract, time and hash of each event that can be read, and the commits that it brings."""
        own = self._own
        for digest in self._events.keys() | self._packed_events:
            is_packed = own is None or digest in self._packed_events or own.has(digest)
            data = self._read(digest) if is_packed else None
            if data is not None:
                try:
                    event = decode_event(data)
                except JsonValueError:
                    continue
                yield event.tract, event.at, digest, tuple(bytes.fromhex(c.commit) for c in event.iter_commits())

    def _commit(self, digest: bytes) -> Commit | None:
        """Returns a commit that was not yielded yet, or None if the bytes are no commit."""
        if digest in self._done or digest in self._packed_events:
            return None
        try:
            return decode_commit(self._read(digest) or b"")
        except JsonValueError:
            return None

    def _with_content(self, commit: bytes) -> Iterator[Member]:
        if commit in self._packed or (commit in self._objects and (self._own is None or self._own.has(commit))):
            found = self._commit(commit)
            content = None if found is None or found.content is None else bytes.fromhex(found.content)
            if content is not None and (self._own is None or content in self._packed or self._own.has_content(content)):
                yield from self._one(content)
            yield from self._one(commit)

    def _one(self, digest: bytes) -> Iterator[Member]:
        if digest in self._done or not (digest in self._packed or digest in self._objects or digest in self._events):
            return
        self._done.add(digest)
        data = self._read(digest)
        if data is None:
            self._leave(digest)
            return
        paths = []
        name = digest.hex()
        if digest in self._objects and (digest in self._packed or self._is_object(data)):
            paths.append(self._layout.object(name))
        if digest in self._events and self._is_event(data, self._events[digest]):
            paths.append(self._layout.event(self._events[digest], name))
        if len(data) > self._large_bytes and digest not in self._packed:
            self.left.append(
                f"{self._address(digest).path}: {len(data)} bytes, over half of the largest size of a pack"
            )
        elif paths or digest in self._packed:
            yield Member(name, data, paths)
        else:
            self.left.append(f"{self._address(digest).path}: not of this version of the format")

    @staticmethod
    def _is_object(data: bytes) -> bool:
        return is_line(data) and not is_event_line(data) and is_object_of_ours(data)

    @staticmethod
    def _is_event(data: bytes, tract: str) -> bool:
        try:
            return is_line(data) and is_event_line(data) and decode_event(data).tract == tract
        except JsonValueError:
            return False

    def _read(self, digest: bytes) -> bytes | None:
        """Returns the verified bytes of a member, or None if they can no longer be read."""
        stored = self._store.bytes
        if digest in self._packed and (data := stored.packed(digest.hex())) is not None:
            return data
        if not (digest in self._objects or digest in self._events):
            return None
        try:
            return stored.loose(self._address(digest))
        except OSError as error:
            if error.errno not in files.UNREADABLE:
                raise
            self._unreadable[digest] = unreadable(error.strerror)
            return None

    def _leave(self, digest: bytes) -> None:
        """Leaves a damaged file in place as a suspect. One that is gone was packed or removed by others."""
        if digest in self._packed:
            self._is_short = True
            return
        address = self._address(digest)
        if digest in self._unreadable:
            self.left.append(f"{address.path}: {self._unreadable[digest]}")
        elif files.exists(address.path_in(self._layout)):
            self._store.suspects.note(address)
            self.left.append(f"{address.path}: damaged")

    def _address(self, digest: bytes) -> Address:
        tract = None if digest in self._objects else self._events.get(digest)
        return Address("object", digest.hex()) if tract is None else Address("event", digest.hex(), tract)


def worth_merging(sizes: dict[str, int], new_bytes: int) -> list[str]:
    """Returns the packs to merge with so many new bytes: of the smallest as many as give a pack more than twice as large as each of them.

    So each byte is rewritten, and sent to other copies, only a few times. And git never takes the new pack for a renamed old one, as it does when
    they share half their bytes; it would then merge the packs of two copies line by line.
    """
    ordered = sorted(sizes, key=lambda name: (sizes[name], name))
    total, count = new_bytes, 0
    for position, name in enumerate(ordered, 1):
        if sizes[name] < total:
            count = position
        total += sizes[name]
    return ordered[:count]
