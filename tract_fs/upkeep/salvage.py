"""Salvage: finds the unknown files of a store whose bytes are those of a missing file, so that `repair` can write it again.

Unknown files are conflict copies, temporary files, links, a user's notes. Every reader ignores them, `status` lists them, and nothing moves or
deletes them.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from typing import NamedTuple

from tract_fs.model.names import hash_bytes
from tract_fs.store import files
from tract_fs.store.address import MAX_PACK_BYTES, Address, address_of
from tract_fs.store.layout import Layout

_MOST_READ = 1000  # a store has few unknown files; those beyond are only listed


class Salvageable(NamedTuple):
    """A file with the bytes of a missing one: its path from the store's root on, and the address of the missing one."""

    path: str
    target: Address


def find_salvageable(layout: Layout, paths: list[str], wanted: Collection[str]) -> list[Salvageable]:
    """Returns the files that have the bytes of a missing file: one of the hashes `wanted`, or one that their own name contains.

    Cost: reads the files at `paths`, and at their targets.
    """
    found = []
    for path in paths[:_MOST_READ]:
        data = _read(f"{layout.root}/{path}")
        if not data:
            continue
        name = hash_bytes(data)
        if name not in wanted and not _is_named_after(path, name):
            continue
        target = _target_of(path, name, data)
        if target is None:
            continue
        there = _read(target.path_in(layout))
        if there is None or hash_bytes(there) != name:
            found.append(Salvageable(path, target))
    return found


def _read(path: str) -> bytes | None:
    """Returns the bytes of a file; None if there is none, or the system can't read it."""
    with suppress(OSError):
        return files.read(path, limit_bytes=MAX_PACK_BYTES)
    return None


def _is_named_after(path: str, name: str) -> bool:
    directory, base = os.path.split(path.lower())
    return name in base or (os.path.basename(directory) == name[:2] and name[2:] in base)


def _target_of(path: str, name: str, data: bytes) -> Address | None:
    """Returns the address of the bytes of an unknown file; None if they can't be a file of a store."""
    target = None if b"\n" in data else address_of(data, name)
    return Address("pack", name) if target is None and path.startswith("packs/") else target
