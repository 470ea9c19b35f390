"""A power cut, as a model: what was never synced may be gone, empty, zeros, torn, or there.

A stand-in for `os` reports each sync to the model. The machine's boot shows in the header of `local/redo`.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.lab.disk import Strike, Trap
from tests.lab.states import TEXT_FILES, prove_places
from tract_fs.store import redo
from tract_fs.store.place import MARKER

OTHER_BOOT = b"tractredo1\n" + b"another-boot".ljust(53, b"\n")


class Recorder(Trap):
    """A trap that tells what is synced: {relative path: size}, for each sync."""

    def __init__(self, number: int, strike: Strike, root: str, tell: Callable[[bytes], None]) -> None:
        super().__init__(number, strike)
        self.root = root
        self.tell = tell

    def perform(self, name: str, real: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if name in ("fsync", "fdatasync"):
            found = os.fstat(args[0])
            self.tell(json.dumps({"synced": [[found.st_ino, found.st_size]]}).encode())
            return None
        return real(*args, **kwargs)

    def sync_filesystem(self, path: str) -> None:
        super().sync_filesystem(path)
        self.tell(json.dumps({"synced": [[found.st_ino, found.st_size] for found in stats_of(self.root)]}).encode())


def stats_of(root: str) -> Iterator[os.stat_result]:
    for folder, _, names in os.walk(root):
        for name in names:
            yield os.lstat(os.path.join(folder, name))


def remain(size: int, synced: int, how: str) -> bytes | int | None:
    """Returns what a power cut leaves behind the synced part: bytes instead, how many bytes, or None: no file at all."""
    if how == "absent":
        return None if synced == 0 else synced
    if how == "empty":
        return synced
    if how == "half":
        return synced + (size - synced) // 2
    return b"\0" * (size - synced)


def cut_power(path: str, synced: dict[str, int], how: str, chance: random.Random) -> None:
    """Takes from a store what was not synced, and lets the machine start anew."""
    root = os.path.join(path, ".tract")
    for folder, _, names in os.walk(root):
        for name in names:
            full = os.path.join(folder, name)
            kept = synced.get(os.path.relpath(full, root), 0)
            size = os.path.getsize(full)
            one = chance.choice(("absent", "empty", "half", "zeros", "kept")) if how == "mixed" else how
            if size <= kept or name in TEXT_FILES or one == "kept":
                continue
            left = remain(size, kept, one)
            if left is None:
                os.unlink(full)
                continue
            data = Path(full).read_bytes()
            replace(full, data[:left] if isinstance(left, int) else data[:kept] + left)
    start_anew(path)


def replace(path: str | Path, data: bytes) -> None:
    """Puts other bytes in a file's place, read-only as it may be."""
    os.unlink(path)
    Path(path).write_bytes(data)


def start_anew(path: str | Path) -> None:
    """Makes the redo logs of a store those of an earlier boot."""
    for log in Path(path, ".tract", "local").glob("*/redo*"):
        data = log.read_bytes()
        if data.startswith(b"tractredo1\n"):
            log.write_bytes(OTHER_BOOT + data[64:])
    prove_places(Path(path))


@contextmanager
def in_next_boot() -> Iterator[None]:
    """Lets the machine have another boot id than the one in which a store was written."""
    before = redo.boot_id
    redo.boot_id = lambda: "the-next-boot"
    try:
        yield
    finally:
        redo.boot_id = before


def lose_loose_files(path: str | Path, how: str = "absent") -> None:
    """Cuts the power when nothing was synced but the redo logs and the packs."""
    root = Path(path, ".tract")
    kept = [*(root / "local").glob("*/redo*"), *(root / "local").glob(f"*/{MARKER}"), *(root / "packs").glob("*")]
    cut_power(str(path), {str(name.relative_to(root)): 1 << 40 for name in kept}, how, random.Random(0))


def sizes_by_path(path: str, synced: dict[int, int]) -> dict[str, int]:
    """Returns how much of each file of a store is synced: relative path to size."""
    root = Path(path, ".tract")
    names = [full for full in root.rglob("*") if full.is_file()]
    return {str(full.relative_to(root)): synced.get(full.stat().st_ino, 0) for full in names}


def cut_what_is_not_in(path: Path, synced: list[list[int]]) -> None:
    """Cuts the power; what is in `synced` (inode, size) stays."""
    cut_power(str(path), sizes_by_path(str(path), dict(map(tuple, synced))), "absent", random.Random(0))
