"""A copy that a tool makes while a packing runs is whole: what is packed stays loose until a later run, which relies on packs in place by then."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path

import pytest

from tests.lab.states import store_root
from tests.lab.stores import AT_ONCE, fill_pack
from tests.lab.talk import user
from tract_fs import Tract

ORDERS = list(permutations(("events", "objects", "packs")))
COUNT = 40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with turns in loose files and in a small pack."""
    path = tmp_path / "here"
    with Tract.open(path, durability="fast") as t:
        fill_pack(t, 33)
        for number in range(COUNT):
            t.commit(user(f"turn {number}"))
    return path


def copying(path: Path, target: Path, order: tuple[str, ...]) -> Iterator[None]:
    """Copies a store file by file, each directory as it is listed when its turn comes; yields before each file."""
    for name in ("FORMAT", ".gitattributes", ".gitignore"):
        (target / ".tract").mkdir(parents=True, exist_ok=True)
        shutil.copy(store_root(path) / name, store_root(target) / name)
    for part in order:
        for directory, _, names in os.walk(store_root(path) / part):
            copied = store_root(target) / Path(directory).relative_to(store_root(path))
            copied.mkdir(parents=True, exist_ok=True)
            for name in names:
                yield
                if (Path(directory) / name).exists():  # as rsync does: what vanished is left out
                    shutil.copy(Path(directory) / name, copied / name)


def shown(path: Path) -> list[str]:
    with Tract.open(path) as t:
        return [info.commit_hash for info in t.log(None)]


def pack(path: Path) -> None:
    with Tract.open(path, durability="fast") as t:
        assert t.pack().waiting_count > COUNT


def pack_and_remove(path: Path) -> None:
    with Tract.open(path, durability="fast") as t:
        assert t.pack(keep_loose=AT_ONCE).packed_count > COUNT


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
@pytest.mark.parametrize("at", [1, 60])
def test_a_copy_of_any_order_that_overlaps_a_packing_has_all(path: Path, order: tuple[str, ...], at: int) -> None:
    before = shown(path)
    for count, _ in enumerate(copying(path, path.parent / "copy", order)):
        if count == at:
            pack(path)
    assert shown(path.parent / "copy") == before


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_a_copy_that_overlaps_the_later_run_has_all(path: Path, order: tuple[str, ...]) -> None:
    before = shown(path)
    pack(path)
    for count, _ in enumerate(copying(path, path.parent / "copy", order)):
        if count == 50:
            pack_and_remove(path)
    assert shown(path.parent / "copy") == before


def cp(path: Path) -> list[str]:
    return ["cp", "-r", str(path), str(path.parent / "copy")]


def add(path: Path) -> list[str]:
    return ["git", "-C", str(path), "add", ".tract"]


@pytest.mark.parametrize(
    "command", [pytest.param(cp, marks=pytest.mark.needs("cp")), pytest.param(add, marks=pytest.mark.needs("git"))]
)
def test_tools_that_overlap_a_packing_find_each_file(path: Path, command: Callable[[Path], list[str]]) -> None:
    before = shown(path)
    if command is add:
        subprocess.run(["git", "init", "-q", str(path)], check=True)
    packer = threading.Thread(target=pack, args=(path,))
    packer.start()
    done = subprocess.run(command(path), capture_output=True, text=True, check=False)
    packer.join()
    passing = ("/.new.", "/.tract/local/")  # cp may meet a file that is being written, which is gone when it opens it
    assert [line for line in done.stderr.splitlines() if not any(part in line for part in passing)] == []
    assert done.returncode == 0 or done.stderr
    if command is add:
        subprocess.run(["git", "-C", str(path), "checkout-index", "-qa", f"--prefix={path.parent}/copy/"], check=True)
    assert shown(path.parent / "copy") == before
