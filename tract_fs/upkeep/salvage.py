"""Salvage: finds the unknown files of a store whose bytes are those of a missing file, so that `repair` can write it again.

Unknown files are conflict copies, temporary files, links, a user's notes, alone or in a directory that has no name of the
store. Every reader ignores them, `status` lists them, and nothing moves or deletes them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from tract_fs.model.names import hash_bytes
from tract_fs.store import files
from tract_fs.store.address import MAX_PACK_BYTES, Address, address_of
from tract_fs.store.pack_reader import may_be_member
from tract_fs.store.store import Store
from tract_fs.store.tree import iter_unknown_files
from tract_fs.store.under_way import address_under_way

MOST_READ = 4000  # by a status: a store has few unknown files; those beyond are only listed
_LOOSE_DIGITS = 62  # of the name of a loose file


class Salvageable(NamedTuple):
    """A file with the bytes of a missing one: its path from the store's root on, and the address of the missing one."""

    path: str
    target: Address


def find_salvageable(
    store: Store, unknown: Iterable[str], wanted: Collection[str], *, limit: int | None = None
) -> list[Salvageable]:
    """Returns the files that have the bytes of a missing file: one of the hashes `wanted`, or one that their own name contains.

    Cost: reads the files at the paths `unknown` and in the directories there, at most `limit`, and their targets.
    """
    found = []
    for path in islice(iter_unknown_files(store.layout, unknown), limit):
        data = _read(f"{store.layout.root}/{path}")
        if not data:
            continue
        name = hash_bytes(data)
        if name not in wanted and name[-_LOOSE_DIGITS:] not in path.rpartition("/")[2].lower():
            continue
        target = _target_of(path, name, data)
        if target is not None and not _is_here(store, target, data):
            found.append(Salvageable(path, target))
    return found


def find_under_way(store: Store, unknown: list[str]) -> dict[str, Address]:
    """Returns the unknown files that a copying tool has not finished, by path, with the addresses of the missing files."""
    paths = dict.fromkeys([*unknown, *islice(iter_unknown_files(store.layout, unknown), MOST_READ)])
    found = {path: address for path in paths if (address := address_under_way(path)) is not None}
    return {path: address for path, address in found.items() if not _is_written(store, address)}


def _read(path: str) -> bytes | None:
    """Returns the bytes of a file; None if there is none, or the system can't read it."""
    with suppress(OSError):
        return files.read(path, limit_bytes=MAX_PACK_BYTES)
    return None


def _is_here(store: Store, target: Address, data: bytes) -> bool:
    """Returns whether the bytes are at their address or in a pack; those of a pack also if all its members are."""
    if target.kind != "pack" or _is_written(store, target):
        return _is_written(store, target)
    lines = [line for line in data.split(b"\n") if may_be_member(line)]
    members = [address_of(line, hash_bytes(line)) for line in lines]
    return all(member is None or _is_written(store, member) for member in members)


def _is_written(store: Store, address: Address) -> bool:
    if address.kind != "pack":
        return store.bytes.is_written(address) or store.bytes.packed(address.name) is not None
    data = _read(address.path_in(store.layout))
    return data is not None and hash_bytes(data) == address.name


def _target_of(path: str, name: str, data: bytes) -> Address | None:
    """Returns the address of the bytes of an unknown file; None if they can't be a file of a store."""
    target = None if b"\n" in data else address_of(data, name)
    return Address("pack", name) if target is None and path.startswith("packs") else target
