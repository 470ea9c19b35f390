"""The inventory: every file of a store under one of our names, hashed. What a repair starts from; nothing here writes."""

from __future__ import annotations

from collections.abc import Iterator

from tract_fs.model.names import hash_bytes, is_hash, is_tract_id
from tract_fs.store import files
from tract_fs.store.address import MAX_PACK_BYTES, Address
from tract_fs.store.layout import Layout, is_fan_name, is_loose_name


def iter_files(layout: Layout) -> Iterator[Address]:
    """Yields every regular file under one of our names: loose objects, loose events, packs."""
    for name in _loose_names(layout.objects):
        yield Address("object", name)
    for tract in sorted(files.list_names(layout.events)):
        if is_tract_id(tract):
            for name in _loose_names(layout.tract_events(tract)):
                yield Address("event", name, tract)
    for name, kind in sorted(files.list_kinds(layout.packs)):
        if kind == "file" and is_hash(name):
            yield Address("pack", name)


def count_files(layout: Layout) -> tuple[int, int]:
    """Returns how many loose files and how many packs there are, by their names. Cost: lists the store."""
    directories = [layout.objects]
    directories += [layout.tract_events(tract) for tract in files.list_names(layout.events) if is_tract_id(tract)]
    fans = (f"{inside}/{fan}" for inside in directories for fan in files.list_names(inside) if is_fan_name(fan))
    loose = sum(sum(map(is_loose_name, files.list_names(fan))) for fan in fans)
    return loose, sum(map(is_hash, files.list_names(layout.packs)))


def read_hashed(path: str, name: str) -> tuple[bytes | None, bool]:
    """Returns the bytes of a file, None if it is gone or too large to be one of ours, and whether they hash to `name`."""
    data = files.read(path, limit_bytes=MAX_PACK_BYTES)
    return data, data is not None and hash_bytes(data) == name


def _loose_names(directory: str) -> Iterator[str]:
    for fan in sorted(name for name in files.list_names(directory) if is_fan_name(name)):
        for name, kind in sorted(files.list_kinds(f"{directory}/{fan}")):
            if kind == "file" and is_loose_name(name):
                yield fan + name
