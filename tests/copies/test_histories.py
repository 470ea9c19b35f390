"""Copies agree: two to five copies do whatever the calls allow, their files travel by union, in part, torn and out of order, and at the end all meet all files.

Then every copy compiles alike, has nothing pending, finds every acknowledged commit, and merging ends with one head of each branch. The texts are short and
alike ("ok", "yes", "turn 7"), so copies also write equal contents and equal commits.

A plain run plays a few. `TRACT_FS_HISTORIES=100000 pytest -m campaign tests/copies/test_histories.py` plays many, from `TRACT_FS_FIRST` on; a failure names its seed,
and `TRACT_FS_FIRST=<seed> TRACT_FS_HISTORIES=1` plays that one alone.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.lab.copies import is_good
from tests.lab.histories import (
    STEPS,
    STEPS_ON_EQUAL_TEXTS,
    AlikeWorld,
    Site,
    Step,
    World,
    check_agreement,
    playing,
    say,
)
from tests.lab.states import TEXT_FILES, files_of, put, put_in_place, remove_local, store_root
from tests.lab.talk import START_US, Clock
from tract_fs import Tract
from tract_fs.errors import ArgumentError, ContentRedacted, DamageError

CHUNKS = 10
FEW = 10  # per chunk
MANY = int(os.environ.get("TRACT_FS_HISTORIES", "2000"))
FIRST = int(os.environ.get("TRACT_FS_FIRST", "1000"))
HOUR_US = 3_600_000_000
ROUNDS = 6  # of merges on all copies at once, after which each branch has one head


class Copies(AlikeWorld):
    """Copies of one store whose files travel as a careless user's do."""

    skews_us = (0, 1, -10_000_000, HOUR_US, -2 * HOUR_US, 5 * HOUR_US)
    jumps_us = (-HOUR_US, -1, 60_000_000, 3 * HOUR_US)

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        self.torn: dict[str, bytes] = {}  # what was torn, whole

    def names(self) -> str:
        return "abcde"[: self.rng.choice((2, 2, 3, 3, 3, 4, 5))]

    def steps(self) -> dict[Step, int]:
        return WITH_REDACTIONS

    def add_site(self, path: Path) -> Site:
        path.mkdir()
        durability = "durable" if self.rng.random() < 0.1 else "fast"
        site = Site(path, Clock(START_US + self.rng.choice(self.skews_us)), durability)
        self.sites.append(site)
        return site

    def work(self, site: Site) -> None:
        """Takes a step; where torn files lie about, it may fail on them."""
        try:
            super().work(site)
        except ContentRedacted:
            self.seen["redacted content met"] += 1
        except DamageError:
            assert self.torn, "a file is missing or damaged"
            self.seen["damage met"] += 1

    # -- how files travel

    def bring(self, source: Site, target: Site, names: Iterable[str] | None = None) -> None:
        """Copies files that the target lacks: all, or these."""
        there = files_of(target.path)
        found = files_of(source.path)
        for name in sorted(found) if names is None else names:
            if name in found and name not in there:
                put(store_root(target.path) / name, found[name].read_bytes())
        for name in TEXT_FILES:
            file = store_root(source.path) / name
            if file.exists() and not (store_root(target.path) / name).exists():
                put(store_root(target.path) / name, file.read_bytes())

    def shuffled(self, site: Site) -> list[str]:
        names = sorted(files_of(site.path))
        self.rng.shuffle(names)
        return names

    def tear(self, name: str, data: bytes, target: Site) -> None:
        """Lets a file of the target be the beginning of what it should be, written by a rename or in place."""
        if is_good(name, data):
            self.torn[name] = data
        cut = data[: self.rng.choice((0, 1, len(data) // 2, len(data) - 1))]
        file = store_root(target.path) / name
        (put_in_place if file.exists() and self.rng.random() < 0.5 else put)(file, cut)

    def begin(self) -> None:
        """Says a few things at one copy, which mostly all copies get before they go apart."""
        for _ in range(self.rng.randint(1, 4)):
            say(self, self.sites[0], self.sites[0].tract())
        for site in self.sites[1:]:
            if self.rng.random() < 0.8:
                self.bring(self.sites[0], site)

    def travel(self, source: Site, target: Site) -> None:
        way = self.rng.choice(list(WAYS))
        WAYS[way](self, source, target)
        self.seen[way] += 1
        if self.rng.random() < 0.7:
            target.refresh()
        for tract in target.tracts():
            self.read(target.tract(tract))

    def read(self, t: Tract) -> None:
        """Compiles what can be; what is in flight or torn is refused, or named."""
        try:
            t.compile()
        except DamageError:
            self.seen["refused in flight"] += 1
        status = t.status()
        assert not status.damaged or self.torn

    # -- the end

    def meet(self) -> None:
        """Brings every file to every copy, in the place of what was torn too; then reads as a user may."""
        whole = dict(self.torn)
        for site in self.sites:
            for name, file in files_of(site.path).items():
                data = file.read_bytes()
                if is_good(name, data):
                    whole[name] = data
        for site in self.sites:
            self.complete(site, whole)
            self.bring(self.sites[0], site, ())  # the three text files
        self.torn.clear()
        for site in self.sites:
            chance = self.rng.random()
            if chance < 0.4:
                site.close()
            if chance < 0.15:
                remove_local(site.path)
            site.refresh()

    def complete(self, site: Site, whole: dict[str, bytes]) -> None:
        there = files_of(site.path)
        for name in sorted(whole):
            file = store_root(site.path) / name
            if name not in there:
                put(file, whole[name])
            elif not is_good(name, file.read_bytes()):
                (put_in_place if self.rng.random() < 0.5 else put)(file, whole[name])

    def check(self) -> dict[str, Any]:
        """Checks that all copies show the same, with nothing pending, damaged or gone; returns what they show."""
        self.check_heads()
        return check_agreement(self)

    def check_heads(self) -> list[dict[str, set[str]]]:
        """Checks that all copies have the same heads, with nothing pending, damaged or gone; returns those of each tract."""
        found = []
        for site in self.sites:
            handles = [site.tract(tract) for tract in site.tracts()]
            for t in handles:
                status = t.status()
                assert (status.pending, status.damaged, status.gone) == ((), (), ())
            found.append([{name: set(heads) for name, heads in t.branches().items()} for t in handles])
            assert found[-1] == found[0]
        return found[0]

    def settle(self, *, at_once: bool) -> None:
        """Merges whatever has several heads, on one copy or on all at once, until all have one."""
        for number in range(ROUNDS if at_once else 1):
            for site in self.sites if at_once else [self.rng.choice(self.sites)]:
                for tract in site.tracts():
                    self.join_heads(site, site.tract(tract))
            self.meet()
            found = self.check_heads()
            if all(len(heads) == 1 for branches in found for heads in branches.values()):
                self.seen["rounds"] = max(self.seen["rounds"], number + 1)
                return
        raise AssertionError(f"merging does not end: {found}")

    def join_heads(self, site: Site, t: Tract) -> None:
        """Makes each branch of a tract one in this copy, and sees that it is."""
        for name, heads in t.branches().items():
            if len(heads) > 1:
                self.seen["joins"] += 1
                t.switch(name)
                self.join(site, t)
                assert len(t.branches()[name]) == 1

    def join(self, site: Site, t: Tract) -> None:
        self.merge(site, t, None, self.rng.choice(("reset", "commits")))


# -- ways of travelling


def _union(world: Copies, source: Site, target: Site) -> None:
    world.bring(source, target)
    world.bring(target, source)


def _one_way(world: Copies, source: Site, target: Site) -> None:
    world.bring(source, target)


def _subset(world: Copies, source: Site, target: Site) -> None:
    names = world.shuffled(source)
    world.bring(source, target, names[: world.rng.randint(0, len(names))])


def _one_by_one(world: Copies, source: Site, target: Site) -> None:
    """Lets the target be read, and written, after each of some files."""
    names = world.shuffled(source)
    for name in names[:4]:
        world.bring(source, target, [name])
        target.refresh()
        world.work(target)
    world.bring(source, target, names[4:])


def _torn(world: Copies, source: Site, target: Site) -> None:
    """Ends as a copy in place that is cut off: some files are whole, the next is torn."""
    there = files_of(target.path)
    names = [name for name in world.shuffled(source) if name not in there]
    count = world.rng.randint(0, len(names))
    world.bring(source, target, names[:count])
    for name in names[count : count + 1]:
        world.tear(name, files_of(source.path)[name].read_bytes(), target)


def _torn_over(world: Copies, source: Site, target: Site) -> None:
    """Brings a torn file over a good one."""
    for name in world.shuffled(target)[:1]:
        world.tear(name, (store_root(target.path) / name).read_bytes(), target)


def _completed(world: Copies, source: Site, target: Site) -> None:
    """Copies what is whole at the source over whatever the target has."""
    found = {name: file.read_bytes() for name, file in files_of(source.path).items()}
    world.complete(target, {name: data for name, data in found.items() if is_good(name, data)})


def _tract_sync(world: Copies, source: Site, target: Site) -> None:
    source.tract().sync(target.path, durable=False, allow_unrelated=True)


def _bundle(world: Copies, source: Site, target: Site) -> None:
    for tract in source.tracts():
        with suppress(ArgumentError, DamageError), tempfile.TemporaryDirectory(dir=world.folder) as folder:
            source.tract(tract).bundle(Path(folder, "all.bundle"))
            target.tract().apply_bundle(Path(folder, "all.bundle"), allow_unrelated=True)


WAYS: dict[str, Callable[[Copies, Site, Site], object]] = {
    "union": _union,
    "one way": _one_way,
    "subset": _subset,
    "one by one": _one_by_one,
    "torn": _torn,
    "torn over": _torn_over,
    "completed": _completed,
    "tract sync": _tract_sync,
    "bundle": _bundle,
}


# -- one more step


def _redact(world: World, site: Site, t: Tract) -> None:
    """Removes a content from this copy, or from all, and gives it up."""
    assert isinstance(world, Copies)
    infos = [info for info in t.log(None) if info.content_hash]
    for info in world.rng.sample(infos, min(1, len(infos))):
        content = info.content_hash or ""
        name = f"objects/{content[:2]}/{content[2:]}"
        for other in world.sites if world.rng.random() < 0.5 else [site]:
            (store_root(other.path) / name).unlink(missing_ok=True)
        with suppress(ArgumentError):  # a pack has it
            t.repair(give_up=[content])


WITH_REDACTIONS: dict[Step, int] = {**STEPS, **STEPS_ON_EQUAL_TEXTS, _redact: 1}


# -- histories


def play(seed: int, *, at_once: bool = False) -> Counter[str]:
    """Plays a history to its end; returns what occurred in it."""
    with playing(Copies, seed) as world:
        world.begin()
        for _ in range(world.rng.randint(8, 24)):
            site, other = world.rng.sample(world.sites, 2)
            if world.rng.random() < 0.3:
                world.travel(site, other)
            else:
                world.work(site)
        world.meet()
        found = world.check_heads()
        world.seen["two heads"] += any(len(heads) > 1 for branches in found for heads in branches.values())
        if world.rng.random() < 0.3:
            world.check()
        world.settle(at_once=at_once)
        world.check()
        return Counter({name: 1 for name, count in world.seen.items() if count})


def play_all(seeds: range, **options: bool) -> Counter[str]:
    shares: Counter[str] = Counter()
    for seed in seeds:
        shares += play(seed, **options)
    print(f"histories {seeds}:", ", ".join(f"{k} {n / len(seeds):.0%}" for k, n in sorted(shares.items())))
    return shares


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_copies_that_met_all_files_agree(chunk: int) -> None:
    shares = play_all(range(chunk * FEW, (chunk + 1) * FEW))
    assert shares["two heads"] >= FEW * 0.4


@pytest.mark.slow
def test_merges_that_all_copies_make_at_once_end() -> None:
    play_all(range(20, 40), at_once=True)


@pytest.mark.campaign
@pytest.mark.parametrize("at_once", [False, True], ids=["one after another", "at once"])
def test_copies_that_met_all_files_agree_in_many_histories(at_once: bool) -> None:
    play_all(range(FIRST, FIRST + MANY), at_once=at_once)
