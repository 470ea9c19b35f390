"""Two copies of a store between which a real tool carries the files: rsync, git, unison, rclone, syncthing. Both sides write short, equal messages, and pack.

At the end both have the same files and compile alike, and every acknowledged commit is there; the tool never stopped for a conflict.
A plain run plays a few histories of each tool. `TRACT_FS_HISTORIES=300 pytest -m campaign tests/copies/test_tool_histories.py` plays many, from
`TRACT_FS_FIRST` on; a failure names its seed.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.lab.histories import STEPS, AlikeWorld, Site, Step, check_agreement, edit, pack, playing, say
from tests.lab.transports import TRANSPORTS, Transport

MANY = int(os.environ.get("TRACT_FS_HISTORIES", "60"))
FIRST = int(os.environ.get("TRACT_FS_FIRST", "1000"))
WITHOUT_PACKS: dict[Step, int] = {**STEPS, say: 50, edit: 8}
WITH_PACKS: dict[Step, int] = {**WITHOUT_PACKS, pack: 14}


class Pair(AlikeWorld):
    """Two sites that a tool keeps alike."""

    skews_us = (0, -10_000_000, 3_600_000_000)

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        self.tool: Transport | None = None

    def names(self) -> str:
        return "ab"

    def steps(self) -> dict[Step, int]:
        return WITH_PACKS

    def begin(self, transport: type[Transport]) -> None:
        """Says a few things at one site, and sets the tool up."""
        one, other = self.sites
        for _ in range(self.rng.randint(2, 6)):
            say(self, one, one.tract())
        self.tool = transport(self.folder, one.path, other.path, self.rng)
        self.tool.sync()

    def close(self) -> None:
        super().close()
        if self.tool is not None:
            self.tool.close()

    def carry(self) -> None:
        assert self.tool is not None
        self.tool.sync()
        for site in self.sites:
            site.refresh()
            if self.tool.renames_equal_files and site.tract().status().salvageable:
                self.seen["renamed"] += 1
                site.tract().repair()
                site.refresh()

    def unite(self) -> None:
        """Syncs until nothing is left to bring, and checks that both sites are one."""
        for _ in range(2):
            self.carry()
        for site in self.sites:
            for tract in site.tracts():
                status = site.tract(tract).status()
                assert (status.pending, status.damaged, status.gone) == ((), (), ())
                assert [name for name in status.strays if not name.endswith(("..path1", "..path2"))] == []
        check_agreement(self)

    def join(self, site: Site) -> None:
        """Gives each branch one head."""
        for tract in site.tracts():
            t = site.tract(tract)
            for name, heads in t.branches().items():
                if len(heads) > 1:
                    self.seen["joins"] += 1
                    t.switch(name)
                    self.merge(site, t, None)


def play(seed: int, tool: str) -> Counter[str]:
    """Plays a history, and checks that the two copies agree at its end; returns what occurred in it."""
    with playing(Pair, seed) as world:
        world.begin(TRANSPORTS[tool])
        for _ in range(world.rng.randint(3, 5)):
            for site in world.sites:
                for _ in range(world.rng.randint(0, 5)):
                    world.work(site)
            world.carry()
        world.unite()
        world.join(world.rng.choice(world.sites))
        world.unite()
        assert all(len(heads) == 1 for site in world.sites for heads in site.tract().branches().values())
        return Counter({name: 1 for name, count in world.seen.items() if count})


def play_all(seeds: range, tool: str) -> None:
    shares: Counter[str] = Counter()
    for seed in seeds:
        shares += play(seed, tool)
    print(f"{tool}, histories {seeds}:", ", ".join(f"{k} {n / len(seeds):.0%}" for k, n in sorted(shares.items())))


@pytest.mark.slow
@pytest.mark.needs("rsync")
@pytest.mark.parametrize("tool", ["rsync", "rsync --inplace"])
def test_copies_that_rsync_keeps_alike_agree(tool: str) -> None:
    play_all(range(4), tool)


@pytest.mark.slow
@pytest.mark.needs("git")
def test_clones_that_pull_from_each_other_agree() -> None:
    play_all(range(6), "git")


@pytest.mark.slow
@pytest.mark.needs("unison")
def test_copies_that_unison_keeps_alike_agree() -> None:
    play_all(range(6), "unison")


@pytest.mark.slow
@pytest.mark.needs("rclone")
def test_copies_that_rclone_keeps_alike_agree() -> None:
    play_all(range(4), "rclone")


@pytest.mark.campaign
@pytest.mark.parametrize("tool", [pytest.param(name, marks=pytest.mark.needs(name.split()[0])) for name in TRANSPORTS])
def test_copies_that_a_tool_keeps_alike_agree_in_many_histories(tool: str) -> None:
    play_all(range(FIRST, FIRST + MANY), tool)
