"""Verified bytes: reads the bytes of an address from its file or from a pack, and hashes them at every read.

A packing may move a file into a pack at any moment, and what `Packs` does not find is absent for sure only after `renew`. So a look that finds
nothing is repeated as long as `renew` reports a change. This is the only module with that loop.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256

from tract_fs.errors import FileUnreadable, HashMismatch, ObjectMissing
from tract_fs.store import files
from tract_fs.store.address import LIMITS_BYTES, MAX_PACK_BYTES, Address, Kind
from tract_fs.store.layout import Layout
from tract_fs.store.packs import Packs
from tract_fs.store.suspects import Suspects


class StoredBytes:
    """Reads the bytes of one store, and notes the files whose bytes do not hash to their names as suspects."""

    def __init__(
        self,
        layout: Layout,
        packs: Packs,
        suspects: Suspects | None = None,
        *,
        require_store: Callable[[], None] | None = None,
    ) -> None:
        """`require_store` raises if the store is gone: what is missing then is no damage of a file."""
        self.layout = layout
        self._require_store = require_store
        self._packs = packs
        self._suspects = Suspects() if suspects is None else suspects

    def read(
        self, kind: Kind, name: str, tract: str = "", *, shown_as: str = ""
    ) -> tuple[bytes, files.Signature | None]:
        """Returns verified bytes, and the signature of their file (None: from a pack). Takes the parts of an Address: a compile reads thousands.

        Errors name the kind `shown_as`: ObjectMissing, HashMismatch, FileUnreadable; OSError that is not of one file.
        """
        while True:
            failure: OSError | None = None
            packed = self._packs.read(name)
            if packed is not None:
                return packed, None
            path = self.layout.object(name) if kind == "object" else Address(kind, name, tract).path_in(self.layout)
            found: tuple[bytes, files.Signature] | None = None
            try:
                found = files.read_signed(path, limit_bytes=LIMITS_BYTES[kind])
            except OSError as error:
                if error.errno not in files.UNREADABLE:
                    raise
                failure = error
            actual = None if found is None else sha256(found[0]).hexdigest()
            if found is not None and actual == name:
                return found
            if not self._packs.renew(name):
                break
        address = Address(kind, name, tract)
        if failure is not None:
            raise unreadable(address, failure)
        if actual is None:
            in_pack = self._packs.failure(name)
            if in_pack is not None:
                raise unreadable(*in_pack)
            if self._require_store is not None:
                self._require_store()
            raise ObjectMissing(path=address.path, kind=shown_as or kind, hash=name)
        self._suspects.note(address)
        raise HashMismatch(path=address.path, hash=name, expected=name, actual=actual)

    def exists(self, address: Address) -> bool:
        """Returns whether there is a file, or a member of a pack, of this name; not whether its bytes are right."""
        name, path = address.name, address.path_in(self.layout)
        while not (files.may_exist(path) or self._packs.has(name) or _is_at(path)):
            if not self._packs.renew(name):
                return False
        return True

    def packed(self, name: str) -> bytes | None:
        """Returns the verified bytes of an object or event from a pack, or None."""
        while True:
            data = self._packs.read(name)
            if data is not None or not self._packs.renew(name):
                return data

    def loose(self, address: Address) -> bytes | None:
        """Returns the verified bytes of the file itself, or None. Errors: OSError of the disk."""
        data = files.read(address.path_in(self.layout), limit_bytes=address.limit_bytes)
        return data if data is not None and sha256(data).hexdigest() == address.name else None

    def is_written(self, address: Address) -> bool:
        """Returns whether the right bytes are in the file or a known pack. A hint for a writer, who writes them if not."""
        name, path = address.name, address.path_in(self.layout)
        if not files.may_exist(path):
            return self._packs.read(name) is not None
        data: bytes | None = None
        with suppress(OSError):  # a file that can't be read is replaced by one that can
            data = files.read(path, limit_bytes=address.limit_bytes)
        return (data is not None and sha256(data).hexdigest() == name) or self._packs.read(name) is not None


def unreadable(address: Address, error: OSError) -> FileUnreadable:
    """Returns the error for a file that the system can't read."""
    found = FileUnreadable(path=address.path, hash=address.name, reason=error.strerror or str(error))
    found.__cause__ = error
    return found


def _is_at(path: str) -> bool:
    """Returns whether there is something at a path, maybe in a directory that can't be entered."""
    try:
        return files.exists(path)
    except OSError as error:
        if error.errno not in files.UNREADABLE:
            raise
        return True


def read_hashed(path: str, name: str) -> tuple[bytes | None, bool]:
    """Returns the bytes of any file of a store, None if it is gone or larger than every kind may be, and whether they hash to `name`."""
    data = files.read(path, limit_bytes=MAX_PACK_BYTES)
    return data, data is not None and sha256(data).hexdigest() == name
