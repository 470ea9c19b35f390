"""Objects: contents and commits by hash. Verified bytes and decoded commits are kept in memory within bounds.

An object whose bytes do not hash to its name counts as absent in `get` and `commit`, and is a HashMismatch in `require` and `require_commit`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from tract_fs.errors import DamageError, FileUnreadable, HashMismatch, InvalidObject, JsonValueError, ObjectMissing
from tract_fs.model.content import ILL_FORMED, type_of
from tract_fs.model.names import CommitHash, ContentHash
from tract_fs.model.objects import Commit, decode_commit
from tract_fs.store import tree
from tract_fs.store.address import Address
from tract_fs.store.bounded_cache import BoundedCache
from tract_fs.store.bytes import StoredBytes
from tract_fs.store.packs import Packs

_CACHED_BYTES = 64 * 1024 * 1024
_CACHED_COMMITS = 32_768


class Objects:
    """Reads the objects of one store."""

    def __init__(self, stored: StoredBytes, packs: Packs) -> None:
        self._stored = stored
        self._packs = packs
        self._bytes: BoundedCache[str, bytes] = BoundedCache(_CACHED_BYTES)
        self._commits: BoundedCache[str, Commit] = BoundedCache(_CACHED_COMMITS)
        self.staged: dict[str, bytes] = {}  # of a transaction that is not written yet

    def get(self, name: str) -> bytes | None:
        """Returns the verified bytes of an object, or None if it is absent, damaged or unreadable."""
        try:
            return self.require(name, "object")
        except (ObjectMissing, HashMismatch, FileUnreadable):
            return None

    def require(self, name: str, kind: str) -> bytes:
        """Returns the verified bytes of an object. Errors: ObjectMissing, HashMismatch, FileUnreadable."""
        found = self.staged.get(name) or self._bytes.get(name)
        if found is not None:
            return found
        data = self._stored.read("object", name, shown_as=kind)[0]
        self._bytes.put(name, data, len(data) + 200)
        return data

    def commit(self, name: CommitHash) -> Commit | None:
        """Returns a commit, or None if it is absent, damaged, or no valid commit."""
        try:
            return self._commits.get(name) or self._load_commit(name)
        except DamageError:
            return None

    def require_commit(self, name: CommitHash) -> Commit:
        """Returns a commit. Errors: ObjectMissing, HashMismatch, FileUnreadable, InvalidObject."""
        return self._commits.get(name) or self._load_commit(name)

    def _load_commit(self, name: CommitHash) -> Commit:
        data = self.staged.get(name) or self._bytes.get(name)
        if data is None:
            data = self._stored.read("object", name, shown_as="commit")[0]
        try:
            commit = decode_commit(data)
        except JsonValueError as error:
            raise self._invalid(name, "commit", error) from None
        if name not in self.staged:
            self._commits.put(name, commit)
        return commit

    def content_type(self, name: ContentHash) -> str | None:
        """Returns the type of a content that is present, ILL_FORMED if it is no valid content, None if it is missing."""
        data = self.get(name)
        return None if data is None else type_of(data) or ILL_FORMED

    def exists(self, name: str) -> bool:
        """Returns whether there is a file, or a member of a pack, of this name."""
        return self._stored.exists(Address("object", name))

    def fans(self) -> frozenset[str]:
        """Returns the directories of the fan-out that exist."""
        return frozenset(tree.list_fans(self._stored.layout.objects))

    def is_written(self, name: str) -> bool:
        """Returns whether the right bytes of an object are in a file or a known pack."""
        return self._stored.is_written(Address("object", name))

    def written(self, names: Collection[str], *, fans: frozenset[str]) -> set[str]:
        """Returns the objects of `names` whose right bytes are in a known pack, or in a file in one of the directories `fans`."""
        listed = self._packs.listed(names)
        return {name for name in names if (name in listed or name[:2] in fans) and self.is_written(name)}

    def share(self, other: Objects) -> None:
        """Keeps the commits that another handle of this store has in memory, instead of those that this one has.

        Contents are read again: one may have been redacted meanwhile.
        """
        self._commits.share(other._commits)

    def drop(self, names: Iterable[str]) -> None:
        """Forgets some contents that are in memory."""
        for name in names:
            self._bytes.forget(name)

    def forget(self) -> None:
        """Clears what is kept in memory."""
        self._bytes.clear()
        self._commits.clear()

    def remember(self, written: Mapping[str, bytes], commits: Mapping[CommitHash, Commit]) -> None:
        """Keeps objects that were just written: commits decoded, contents as bytes."""
        for name, data in written.items():
            if name not in commits:
                self._bytes.put(name, data, len(data) + 200)
        for commit_name, commit in commits.items():
            self._commits.put(commit_name, commit)

    def _invalid(self, name: str, kind: str, error: JsonValueError) -> InvalidObject:
        return InvalidObject(path=Address("object", name).path, hash=name, kind=kind, reason=error.reason)
