"""Several copies of a store: how they come to the same files, and what each holds then."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from tests.lab.states import answers, store_root, synced
from tract_fs import Tract


def open_tract(path: Path, **options: Any) -> Tract:
    return Tract.open(path, **{"durability": "fast", "lock_timeout_s": 2.0, **options})


def bring_files(source: Path, target: Path) -> None:
    """Copies the files that the target lacks, one by one, as a copying tool does; none is overwritten, local/ stays out of it."""
    for name, data in synced(source).items():
        file = store_root(target) / name
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)


def sync_files(one: Path, other: Path) -> None:
    """Brings two copies to the union of their files, both ways."""
    bring_files(one, other)
    bring_files(other, one)


def hashed(path: Path) -> dict[str, bytes]:
    """Returns the files of a store that are named by their hashes."""
    return {name: data for name, data in synced(path).items() if "/" in name}


def is_good(name: str, data: bytes) -> bool:
    return hashlib.sha256(data).hexdigest() == name.replace("/", "")[-64:]


def texts_at(path: Path, **options: Any) -> list[str]:
    with open_tract(path, read_only=True, **options) as t:
        return [str(message.content) for message in t.compile().messages]


def require_nothing_waits(path: Path) -> None:
    """Checks that what is there is whole: nothing waits, all that the branch reaches can be read."""
    with open_tract(path, read_only=True) as t:
        status = t.status()
        assert (status.pending, status.damaged) == ((), ())
        answers(t)


def object_of(path: Path, text: str) -> Path:
    """Returns the file of the content with this text."""
    name = next(
        name for name, data in hashed(path).items() if name.startswith("objects") and f'"{text}"'.encode() in data
    )
    return store_root(path) / name
