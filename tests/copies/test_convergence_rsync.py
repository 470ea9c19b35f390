"""Copies converge, with real directories, handles of the facade and the real rsync, called in every way that people call it; and sync and bundles.

What the histories are checked for is what test_convergence checks in memory; the reference model reads the directories itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.lab.histories import Site, World, check_agreement, join_everything, say
from tests.lab.reference import ReferenceStore
from tests.lab.states import remove_local, store_root, synced
from tests.lab.strategies_events import has_concurrent_removal
from tests.lab.talk import START_US, Clock, user
from tract_fs.errors import BranchNotFound, ResetConflict

pytestmark = pytest.mark.needs("rsync")

CHUNKS = 4
HISTORIES = int(os.environ.get("TRACT_RSYNC_HISTORIES", "104")) // CHUNKS  # per chunk
KEEP_OURS = ("--ignore-existing", "--exclude=/local/")


def rsync(sources: Path | Sequence[Path], target: Path, *options: str, names: Sequence[str] | None = None) -> None:
    """Calls rsync -a from store to store; `names` are the only files to bring."""
    given = [sources] if isinstance(sources, Path) else sources
    if names is not None:
        options = (*options, "--files-from=-")
    command = rsync_command(given, target, *options)
    subprocess.run(command, input="\n".join(names or ()).encode(), check=True, capture_output=True)


def rsync_command(sources: Sequence[Path], target: Path, *options: str) -> list[str]:
    for path in (*sources, target):
        store_root(path).mkdir(parents=True, exist_ok=True)
    return ["rsync", "-a", *options, *[f"{store_root(path)}/" for path in (*sources, target)]]


def rsync_to_all(source: Path, targets: Sequence[Path], *options: str) -> None:
    """Brings the files of one store to others, all at once."""
    running = [subprocess.Popen(rsync_command([source], target, *options)) for target in targets]
    assert [process.wait() for process in running] == [0] * len(targets)


class RsyncWorld(World):
    """Sites whose files travel by rsync."""

    def sync(self, source: Site, target: Site) -> None:
        """Brings files from a site to another in some way, mostly back too, and looks at what stands there then."""
        way = self.rng.choice(list(WAYS))
        WAYS[way](self, source, target)
        self.seen[way] += 1
        for site in (source, target):
            self.look(site, is_fresh=self.rng.random() < 0.7)

    def whole(self, source: Site, target: Site) -> None:
        rsync(source.path, target.path, *KEEP_OURS)
        rsync(target.path, source.path, *KEEP_OURS)

    def some_files(self, source: Site, share: float) -> list[str]:
        names = sorted(synced(source.path))
        self.rng.shuffle(names)
        return names[: round(share * len(names))]

    def meet(self, one: Site, other: Site) -> None:
        """Two sites exchange all, and both join what has two heads."""
        self.whole(one, other)
        prefer = self.rng.choice(("reset", "commits"))
        for site in (one, other):
            site.refresh()
            t = site.tract()
            with suppress(BranchNotFound):
                t.switch("main")
                if len(t.branches()["main"]) > 1:
                    self.seen["two heads"] += 1
                    self.merge(site, t, None, prefer)

    def sync_all(self) -> None:
        """Brings everything everywhere, by way of one site."""
        hub = self.rng.choice(self.sites)
        others = [site for site in self.sites if site is not hub]
        rsync([site.path for site in others], hub.path, *KEEP_OURS)
        rsync_to_all(hub.path, [site.path for site in others], *KEEP_OURS)
        for site in self.sites:
            if self.rng.random() < 0.3:
                site.close()
            elif self.rng.random() < 0.2:
                site.close()
                remove_local(site.path)
            site.refresh()


# -- ways of a sync


def _one_way(world: RsyncWorld, source: Site, target: Site) -> None:
    rsync(source.path, target.path, *KEEP_OURS)


def _archive(world: RsyncWorld, source: Site, target: Site) -> None:
    rsync(source.path, target.path, "--exclude=/local/")
    rsync(target.path, source.path, "--exclude=/local/")


def _update(world: RsyncWorld, source: Site, target: Site) -> None:
    rsync(source.path, target.path, "-u", "--exclude=/local/")
    rsync(target.path, source.path, "-u", "--exclude=/local/")


def _in_place(world: RsyncWorld, source: Site, target: Site) -> None:
    rsync(source.path, target.path, "--inplace", "--exclude=/local/")
    rsync(target.path, source.path, "--inplace", "--exclude=/local/")


def _with_local(world: RsyncWorld, source: Site, target: Site) -> None:
    rsync(source.path, target.path)


def _with_local_both_ways(world: RsyncWorld, source: Site, target: Site) -> None:
    rsync(source.path, target.path, "-u")
    rsync(target.path, source.path, "-u")


def _partial(world: RsyncWorld, source: Site, target: Site) -> None:
    rsync(source.path, target.path, "--ignore-existing", names=world.some_files(source, 0.6))


def _reordered(world: RsyncWorld, source: Site, target: Site) -> None:
    names = world.some_files(source, 1)
    events = [name for name in names if name.startswith("events/")]
    rsync(source.path, target.path, "--ignore-existing", names=events)
    world.look(target, is_fresh=True)
    rest = [name for name in names if not name.startswith("events/")]
    rsync(source.path, target.path, "--ignore-existing", names=rest[: world.rng.randint(0, len(rest))])


def _interrupted(world: RsyncWorld, source: Site, target: Site) -> None:
    """Ends as a killed rsync does: the first files are there, and a part of the next under a name of rsync's own."""
    names = sorted(synced(source.path))
    count = world.rng.randrange(len(names)) if names else 0
    rsync(source.path, target.path, "--ignore-existing", names=names[:count])
    for name in names[count : count + 1]:
        torn = store_root(target.path) / name
        torn.parent.mkdir(parents=True, exist_ok=True)
        (torn.parent / f".{torn.name}.Ab3xY9").write_bytes((store_root(source.path) / name).read_bytes()[:20])


def _interrupted_in_place(world: RsyncWorld, source: Site, target: Site) -> None:
    """Ends as a killed rsync --inplace does, with a part of a file under its name; then the same command is run again."""
    theirs = synced(target.path)
    fresh = sorted(name for name in synced(source.path) if name not in theirs and "/" in name)
    for name in fresh[: world.rng.randint(0, len(fresh))][-1:]:
        rsync(source.path, target.path, "--inplace", names=[name])
        torn = store_root(target.path) / name
        data = torn.read_bytes()
        torn.unlink()
        torn.write_bytes(data[: len(data) // 2])
        world.look(target, is_fresh=True)
    rsync(source.path, target.path, "--inplace", "--exclude=/local/")


def _copied_store(world: RsyncWorld, source: Site, target: Site) -> None:
    """Copies a directory whole while its handles are open; the copy goes on writing under its own clock."""
    if len(world.sites) < 5:
        path = world.folder / f"copy{len(world.sites)}"
        site = world.add_site(path)
        rsync(source.path, path)
        world.work(site)


def _tract_sync(world: RsyncWorld, source: Site, target: Site) -> None:
    source.tract().sync(target.path, durable=False, allow_unrelated=True)


def _bundle(world: RsyncWorld, source: Site, target: Site) -> None:
    """Carries each tract over as a file of its own."""
    for tract in source.tracts():
        file = world.folder / f"bundle{world.rng.getrandbits(40)}"
        source.tract(tract).bundle(file)
        target.tract().apply_bundle(file, allow_unrelated=True)


WAYS: dict[str, Callable[[RsyncWorld, Site, Site], object]] = {
    "whole": RsyncWorld.whole,
    "one way": _one_way,
    "-a both ways": _archive,
    "-u": _update,
    "--inplace": _in_place,
    "with local/": _with_local,
    "with local/ both ways": _with_local_both_ways,
    "partial": _partial,
    "reordered": _reordered,
    "interrupted": _interrupted,
    "interrupted --inplace": _interrupted_in_place,
    "copied store": _copied_store,
    "tract sync": _tract_sync,
    "bundle": _bundle,
}


@contextmanager
def world_of(folder: Path, seed: int) -> Iterator[RsyncWorld]:
    path = Path(tempfile.mkdtemp(dir=folder))
    world = RsyncWorld(path, seed)
    try:
        yield world
    finally:
        world.close()
        shutil.rmtree(path, ignore_errors=True)


def converge(world: RsyncWorld) -> Counter[str]:
    """Plays a history, and checks that its sites come together; returns what occurred in it."""
    rng = world.rng
    say(world, world.sites[0], world.sites[0].tract())
    for _ in range(rng.randint(10, 24)):
        site = rng.choice(world.sites)
        chance = rng.random()
        if chance < 0.06:
            world.meet(site, rng.choice([other for other in world.sites if other is not site]))
        elif chance < 0.3:
            world.sync(site, rng.choice([other for other in world.sites if other is not site]))
        else:
            world.work(site)
    world.sync_all()
    found = check_agreement(world)
    world.seen["two heads"] += any(len(h) > 1 for tract in found.values() for h in tract["branches"].values())
    world.seen["concurrent removals"] += has_concurrent_removal(ReferenceStore(world.sites[0].path).events)
    join_everything(world, found)
    world.sync_all()
    found = check_agreement(world)
    assert all(len(heads) == 1 for tract in found.values() for heads in tract["branches"].values())
    return Counter({name: 1 for name, count in world.seen.items() if count})


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_copies_come_together_by_rsync_whatever_they_did(tmp_path: Path, chunk: int) -> None:
    shares: Counter[str] = Counter()
    for seed in range(chunk * HISTORIES, (chunk + 1) * HISTORIES):
        with world_of(tmp_path, seed) as world:
            try:
                shares += converge(world)
            except Exception as error:
                error.add_note(f"seed {seed}")
                raise
    print(f"of {HISTORIES} histories:", ", ".join(f"{k} {n / HISTORIES:.0%}" for k, n in sorted(shares.items())))
    assert shares["two heads"] >= 0.40 * HISTORIES
    assert shares["concurrent removals"] >= 0.10 * HISTORIES
    assert shares["twin merges"] >= 0.05 * HISTORIES
    assert all(shares[way] for way in WAYS)


# -- facts


class Two:
    """Two copies of one store that begin alike: `one` has said what both have."""

    def __init__(self, folder: Path) -> None:
        self.one = Site(folder / "one", Clock(START_US))
        self.other = Site(folder / "other", Clock(START_US + 7_000_000))
        self.first, self.second = (self.one.tract().commit(user(text)).commit_hash for text in ("first", "second"))
        self.sync()

    def sync(self) -> None:
        for source, target in ((self.one, self.other), (self.other, self.one)):
            rsync(source.path, target.path, *KEEP_OURS)
        self.one.refresh()
        self.other.refresh()

    def say(self, site: Site, text: str) -> str:
        return site.tract().commit(user(text)).commit_hash

    def heads(self) -> tuple[set[str], set[str]]:
        one, other = (set(site.tract().branches()["main"]) for site in (self.one, self.other))
        return one, other

    def texts(self) -> list[list[Any]]:
        return [[message.content for message in site.tract().compile().messages] for site in (self.one, self.other)]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    pair = Two(tmp_path)
    yield pair
    pair.one.close()
    pair.other.close()


def test_a_reset_on_one_copy_is_not_undone_by_the_older_head_of_another(two: Two) -> None:
    two.one.tract().reset(two.first)
    two.sync()
    assert two.heads() == ({two.first}, {two.first})
    for way in ((), ("-u",), ("--inplace",)):
        rsync(two.other.path, two.one.path, "--exclude=/local/", *way)
        two.sync()
        assert two.heads() == ({two.first}, {two.first})
    assert two.texts() == [["first"], ["first"]]


def test_a_commit_made_while_another_copy_reset_the_branch_shows_as_a_second_head(two: Two) -> None:
    two.one.tract().reset(two.first)
    third = two.say(two.other, "third")
    two.sync()
    assert two.heads() == ({two.first, third}, {two.first, third})
    assert two.texts() == [["first"], ["first", "second", "third"]]
    assert two.one.tract().branches()["main"] == (two.first, third)
    assert two.other.tract().branches()["main"] == (third, two.first)


@pytest.mark.parametrize(("prefer", "texts"), [("reset", ["first"]), ("commits", ["first", "second", "third"])])
def test_a_merge_decides_between_a_reset_and_a_commit_for_both_copies(two: Two, prefer: str, texts: list[str]) -> None:
    two.one.tract().reset(two.first)
    third = two.say(two.other, "third")
    two.sync()
    with pytest.raises(ResetConflict):
        two.one.tract().merge()
    two.one.tract().merge(prefer=prefer)
    two.sync()
    assert two.texts() == [texts, texts]
    assert [len(heads) for heads in two.heads()] == [1, 1]
    assert two.one.tract().get_commit(third) is not None


def test_a_commit_on_a_branch_that_another_copy_deleted_brings_it_back(two: Two) -> None:
    two.one.tract().branch("side")
    two.sync()
    two.other.tract().switch("side")
    two.one.tract().delete_branch("side")
    third = two.say(two.other, "third")
    two.sync()
    for site in (two.one, two.other):
        assert site.tract().branches() == {"main": (two.second,), "side": (third,)}


def test_two_copies_that_both_went_on_have_one_head_after_a_merge_on_one_and_a_sync(two: Two) -> None:
    left, right = two.say(two.one, "left"), two.say(two.other, "right")
    two.sync()
    assert two.heads() == ({left, right}, {left, right})
    assert two.texts() == [["first", "second", "left"], ["first", "second", "right"]]
    merged = two.one.tract().merge()
    two.sync()
    assert two.heads() == ({merged.head}, {merged.head})
    assert sorted(two.texts()[0]) == ["first", "left", "right", "second"]
    assert two.texts()[0] == two.texts()[1]


def test_two_copies_that_merge_at_once_write_the_same_files(two: Two) -> None:
    two.say(two.one, "left"), two.say(two.other, "right")
    two.sync()
    before = synced(two.one.path)
    results = [site.tract().merge() for site in (two.one, two.other)]
    assert results[0].head == results[1].head
    assert len(synced(two.one.path)) == len(before) + 2
    assert synced(two.one.path) == synced(two.other.path)
    two.sync()
    assert two.heads() == ({results[0].head}, {results[0].head})


def test_copies_that_merge_at_once_and_went_on_come_together_again(two: Two) -> None:
    two.say(two.one, "left"), two.say(two.other, "right")
    two.sync()
    for site in (two.one, two.other):
        site.tract().merge()
    two.say(two.one, "more left"), two.say(two.other, "more right")
    two.sync()
    assert [len(heads) for heads in two.heads()] == [2, 2]
    merged = two.other.tract().merge()
    two.sync()
    assert two.heads() == ({merged.head}, {merged.head})
    assert sorted(two.texts()[0]) == ["first", "left", "more left", "more right", "right", "second"]


def test_two_merges_that_settle_a_conflict_otherwise_are_joined_without_another_question(two: Two) -> None:
    for site, text in ((two.one, "left"), (two.other, "right")):
        site.tract().edit(two.first, user(text))
    two.sync()
    for site, text in ((two.one, "mine"), (two.other, "yours")):
        site.tract().merge(resolutions={two.first: user(text)})
    two.sync()
    assert [len(heads) for heads in two.heads()] == [2, 2]
    merged, twin = two.one.tract().merge(), two.other.tract().merge(prefer="ours")
    assert merged.head == twin.head
    two.sync()
    assert two.heads() == ({merged.head}, {merged.head})
    assert two.texts() == [["mine", "second"], ["mine", "second"]]  # the older head's line comes last


def test_a_copied_directory_that_goes_on_writing_loses_nothing(two: Two) -> None:
    shutil.rmtree(two.other.path)
    two.other.handles.clear()
    rsync(two.one.path, two.other.path)
    left, right = two.say(two.one, "left"), two.say(two.other, "right")
    two.sync()
    assert two.heads() == ({left, right}, {left, right})
    assert two.texts() == [["first", "second", "left"], ["first", "second", "right"]]
