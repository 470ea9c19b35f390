"""Strays: what lies in a store under names that are none of its files': conflict copies, temporary files, links, a user's own notes.

They are ignored by all that reads, listed here, and never moved or deleted. One whose bytes are those of a file that is missing can be taken in.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import NamedTuple

from tract_fs.model.members import is_object_of_ours, tract_of_event
from tract_fs.model.names import hash_bytes, is_hash, is_tract_id
from tract_fs.store import files
from tract_fs.store.address import MAX_PACK_BYTES as LIMIT_BYTES
from tract_fs.store.layout import TEXT_FILES, Layout, is_fan_name, is_loose_name

_MOST_READ = 1000  # a store has few strays; what is beyond is only listed


class Salvageable(NamedTuple):
    """A stray with the bytes of a missing file: where it lies, and where it belongs, both from the store's root on."""

    path: str
    target: str


def find_strays(layout: Layout) -> list[str]:
    """Returns the paths of strays from the store's root on, sorted; nothing in local/ is one. Cost: lists the store."""
    known = {"objects", "events", "packs", "local", *TEXT_FILES}
    found = [name for name in files.list_names(layout.root) if name not in known]
    found += [f"packs/{name}" for name, kind in files.list_kinds(layout.packs) if kind != "file" or not is_hash(name)]
    fans = [("objects", layout.objects)]
    for tract, kind in files.list_kinds(layout.events):
        if is_tract_id(tract) and kind == "directory":
            fans.append((f"events/{tract}", layout.tract_events(tract)))
        else:
            found.append(f"events/{tract}")
    for shown, directory in fans:
        for fan, kind in files.list_kinds(directory):
            if not is_fan_name(fan) or kind != "directory":
                found.append(f"{shown}/{fan}")
                continue
            names = files.list_kinds(f"{directory}/{fan}")
            found += [f"{shown}/{fan}/{name}" for name, kind in names if kind != "file" or not is_loose_name(name)]
    return sorted(found)


def find_salvageable(layout: Layout, strays: list[str], wanted: Collection[str]) -> list[Salvageable]:
    """Returns the strays whose bytes are a file of ours that is missing: one of `wanted`, or one that the stray is named after.

    Cost: reads the strays, and what lies under the names that they belong to.
    """
    found = []
    for stray in strays[:_MOST_READ]:
        data = files.read(f"{layout.root}/{stray}", limit_bytes=LIMIT_BYTES)
        if not data:
            continue
        name = hash_bytes(data)
        if name not in wanted and not _is_named_after(stray, name):
            continue
        target = _place_of(layout, stray, name, data)
        if target is None:
            continue
        there = files.read(target, limit_bytes=LIMIT_BYTES)
        if there is None or hash_bytes(there) != name:
            found.append(Salvageable(stray, layout.relative(target)))
    return found


def _is_named_after(stray: str, name: str) -> bool:
    directory, base = os.path.split(stray.lower())
    return name in base or (os.path.basename(directory) == name[:2] and name[2:] in base)


def _place_of(layout: Layout, stray: str, name: str, data: bytes) -> str | None:
    """Returns where the bytes of a stray belong; None if they are no file of a store."""
    tract = tract_of_event(data)
    if tract is not None and b"\n" not in data:
        return layout.event(tract, name)
    if is_object_of_ours(data):
        return layout.object(name)
    return layout.pack(name) if stray.startswith("packs/") else None
