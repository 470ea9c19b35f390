"""Objects: contents and commits by hash, loose or in packs, verified at every read.

A file whose bytes do not hash to its name counts as absent for who asks whether it is there, and is a HashMismatch for who
needs it. Bytes that were verified, and decoded commits, are kept in memory within bounds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import sha256

from tract_fs.errors import HashMismatch, InvalidObject, JsonValueError, ObjectMissing
from tract_fs.model.content import MAX_OBJECT_BYTES, is_content
from tract_fs.model.names import CommitHash, ContentHash
from tract_fs.model.objects import Commit, decode_commit
from tract_fs.store import files
from tract_fs.store.address import Address
from tract_fs.store.bounded_cache import BoundedCache
from tract_fs.store.layout import Layout
from tract_fs.store.packs import Packs
from tract_fs.store.suspects import Suspects

_CACHED_BYTES = 64 * 1024 * 1024
_CACHED_COMMITS = 32_768


class Objects:
    """Reads the objects of one store."""

    def __init__(self, layout: Layout, packs: Packs, suspects: Suspects | None = None) -> None:
        self._layout = layout
        self._packs = packs
        self._suspects = Suspects() if suspects is None else suspects
        self._bytes: BoundedCache[str, bytes] = BoundedCache(_CACHED_BYTES)
        self._commits: BoundedCache[str, Commit] = BoundedCache(_CACHED_COMMITS)
        self.staged: dict[str, bytes] = {}  # of a transaction that is not written yet

    def get(self, name: str) -> bytes | None:
        """Returns the verified bytes of an object, or None if it is absent or damaged."""
        try:
            return self.require(name, "object")
        except (ObjectMissing, HashMismatch):
            return None

    def require(self, name: str, kind: str) -> bytes:
        """Returns the verified bytes of an object. Errors: ObjectMissing, HashMismatch."""
        found = self.staged.get(name) or self._bytes.get(name)
        if found is not None:
            return found
        data = self._read(name, kind)
        self._bytes.put(name, data, len(data) + 200)
        return data

    def commit(self, name: CommitHash) -> Commit | None:
        """Returns a commit, or None if it is absent, damaged, or no valid commit."""
        try:
            return self._commits.get(name) or self._load_commit(name)
        except (ObjectMissing, HashMismatch, InvalidObject):
            return None

    def require_commit(self, name: CommitHash) -> Commit:
        """Returns a commit. Errors: ObjectMissing, HashMismatch, InvalidObject."""
        return self._commits.get(name) or self._load_commit(name)

    def _load_commit(self, name: CommitHash) -> Commit:
        data = self.staged.get(name) or self._bytes.get(name) or self._read(name, "commit")
        try:
            commit = decode_commit(data)
        except JsonValueError as error:
            raise self._invalid(name, "commit", error) from None
        if name not in self.staged:
            self._commits.put(name, commit)
        return commit

    def has_content(self, name: ContentHash) -> bool:
        """Tells whether a content is present and valid."""
        data = self._bytes.get(name) or self.get(name)
        return data is not None and is_content(data)

    def exists(self, name: str) -> bool:
        """Tells whether there is a file, or a member of a pack, of this name."""
        path = self._layout.object(name)
        while not (self._packs.has(name) or files.exists(path)):
            if not self._packs.renew(name):
                return False
        return True

    def fans(self) -> frozenset[str]:
        """Returns the directories of the fan-out that there are."""
        return frozenset(files.list_names(self._layout.objects))

    def is_written(self, name: str) -> bool:
        """Tells whether an object is in a file or a known pack, with the right bytes."""
        path = self._layout.object(name)
        if not files.may_exist(path):
            return self._packs.read(name) is not None
        data = files.read(path, limit_bytes=MAX_OBJECT_BYTES)
        return (data is not None and sha256(data).hexdigest() == name) or self._packs.read(name) is not None

    def written(self, names: Collection[str], *, fans: frozenset[str]) -> set[str]:
        """Returns those of many objects that are in a file or a known pack, with the right bytes; `fans` are the directories to look for files in."""
        listed = self._packs.listed(names)
        return {name for name in names if (name in listed or name[:2] in fans) and self.is_written(name)}

    def forget(self) -> None:
        """Reads everything anew from now on."""
        self._bytes.clear()
        self._commits.clear()

    def remember(self, written: Mapping[str, bytes], commits: Mapping[CommitHash, Commit]) -> None:
        """Keeps objects that were just written: the commits among them decoded, of contents the bytes."""
        for name, data in written.items():
            if name not in commits:
                self._bytes.put(name, data, len(data) + 200)
        for commit_name, commit in commits.items():
            self._commits.put(commit_name, commit)

    def _invalid(self, name: str, kind: str, error: JsonValueError) -> InvalidObject:
        path = self._layout.relative(self._layout.object(name))
        return InvalidObject(path=path, hash=name, kind=kind, reason=error.reason)

    def _read(self, name: str, kind: str) -> bytes:
        while True:
            packed = self._packs.read(name)
            if packed is not None:
                return packed
            path = self._layout.object(name)
            data = files.read(path, limit_bytes=MAX_OBJECT_BYTES)
            found = None if data is None else sha256(data).hexdigest()
            if data is not None and found == name:
                return data
            if not self._packs.renew(name):  # else it may have been packed meanwhile
                break
        if found is None:
            raise ObjectMissing(path=self._layout.relative(path), kind=kind, hash=name)
        self._suspects.note(Address("object", name))
        raise HashMismatch(path=self._layout.relative(path), hash=name, expected=name, actual=found)
