"""Files that arrive in any order and are filled in place, by rsync --inplace or cp, while the copy is read: the end is as if they had come at once.

A file is there first with no bytes, one, half, or all but one. Nothing is called meanwhile and at the end but `log`, each time by a new handle.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.lab.histories import STEPS, AlikeWorld, Step, pack, say
from tests.lab.states import files_of, store_root, synced, told, told_context
from tests.lab.stores import AT_ONCE
from tract_fs import Tract
from tract_fs.errors import BranchNotFound

pytestmark = pytest.mark.needs("rsync", "cp")

RSYNC = ("rsync", "-a", "--inplace", "--exclude=/.tract/local/")


class Arrival(AlikeWorld):
    """One store that is written, and a copy of it that its files come to."""

    def __init__(self, folder: Path, seed: int, *, packs: bool) -> None:
        super().__init__(folder, seed)
        self.packs = packs
        self.copy = folder / "copy"

    def names(self) -> str:
        return "a"

    def steps(self) -> dict[Step, int]:
        return {**STEPS, say: 60, pack: 10 if self.packs else 0}

    def write(self) -> None:
        site = self.sites[0]
        with suppress(BranchNotFound):
            say(self, site, site.tract())
        for _ in range(self.rng.randint(2, 6)):
            self.work(site)
        if self.packs and self.rng.random() < 0.7:
            site.tract().pack(keep_loose=AT_ONCE)

    def arrive(self) -> None:
        """Brings the new files one by one; each of a few is there in part first, and read so, and then filled."""
        there = files_of(self.copy)
        names = sorted(name for name in files_of(self.sites[0].path) if name not in there)
        self.rng.shuffle(names)
        cut = set(self.rng.sample(names, min(4, len(names)))) | {name for name in names if name.startswith("packs/")}
        for name in names:
            source, target = store_root(self.sites[0].path) / name, store_root(self.copy) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if name not in cut:
                shutil.copy(source, target)
                continue
            data = source.read_bytes()
            target.write_bytes(data[: self.rng.choice((0, 1, len(data) // 2, len(data) - 1))])
            self.log()
            self.fill(source, target)
            if self.rng.random() < 0.5:
                self.log()

    def fill(self, source: Path, target: Path) -> None:
        if self.rng.random() < 0.5:
            subprocess.run(["cp", source, target], check=True)
        else:
            subprocess.run(["rsync", "-a", "--inplace", source, target], check=True)

    def log(self) -> list[str]:
        """Returns the log of the copy, as a command shows it."""
        with Tract.open(self.copy, durability="fast") as t:
            return [told(info) for info in t.log(None)]


@contextmanager
def arrival(seed: int, *, packs: bool) -> Iterator[Arrival]:
    folder = Path(tempfile.mkdtemp(prefix="tract-arrival-"))
    world = Arrival(folder, seed, packs=packs)
    try:
        world.write()
        subprocess.run([*RSYNC, f"{world.sites[0].path}/", f"{world.copy}/"], check=True)
        yield world
    finally:
        world.close()
        shutil.rmtree(folder, ignore_errors=True)


def play(seed: int, *, packs: bool) -> None:
    with arrival(seed, packs=packs) as world:
        world.log()
        for _ in range(world.rng.randint(1, 3)):
            world.write()
            world.arrive()
        subprocess.run([*RSYNC, f"{world.sites[0].path}/", f"{world.copy}/"], check=True)
        assert synced(world.sites[0].path).items() <= synced(world.copy).items()
        t = world.sites[0].tract()
        with Tract.open(world.copy, durability="fast") as copy:
            assert {name: set(heads) for name, heads in copy.branches().items()} == {
                name: set(heads) for name, heads in t.branches().items()
            }
            if t.head is not None:
                with copy.at(t.head) as there, t.at(t.head) as here:
                    assert [told(info) for info in there.log(None)] == [told(info) for info in here.log(None)]
                    assert told_context(there.compile()) == told_context(here.compile())
            status = copy.status()
            assert (status.pending, status.damaged, status.gone, status.warnings) == ((), (), (), ())


@pytest.mark.parametrize("seed", range(10))
def test_loose_files_that_are_filled_in_place_count_at_once(seed: int) -> None:
    play(seed, packs=False)


@pytest.mark.parametrize("seed", range(10))
def test_packs_that_are_filled_in_place_count_at_once(seed: int) -> None:
    play(seed, packs=True)
