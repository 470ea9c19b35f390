"""Copies converge, with real directories, handles of the facade and the real rsync, called in every way that people call it; and sync and bundles.

What the histories are checked for is what test_convergence checks in memory; the reference model reads the directories itself.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.lab.reference import ReferenceStore, ReferenceTract
from tests.lab.states import exact, remove_local, store_root, synced, told, told_context
from tests.lab.strategies_events import has_concurrent_removal
from tests.lab.talk import START_US, Clock, user
from tract_fs import CommitInfo, Tract
from tract_fs.errors import (
    AnnotateTargetError,
    ArgumentError,
    BranchDiverged,
    BranchExists,
    BranchInUse,
    BranchNotFound,
    CherryPickError,
    CommitNotFoundError,
    EditTargetError,
    HistoryIncomplete,
    MergeConflict,
    MergeError,
    ResetConflict,
    RevertError,
    SummarizeError,
    TagNotFound,
    TractExists,
    UndoError,
)
from tract_fs.upkeep.repair import restore_format
from tract_fs.work.merge import MergeResult

pytestmark = pytest.mark.needs("rsync")

CHUNKS = 8
HISTORIES = int(os.environ.get("TRACT_RSYNC_HISTORIES", "208")) // CHUNKS  # per chunk
TRACTS = ("default", "sub")
NAMES = ("main", "side", "topic")
SKEWS_US = (0, 1, -10_000_000, 90_000_000, 86_400_000_000)
REFUSALS = (
    AnnotateTargetError,
    BranchDiverged,
    BranchExists,
    BranchInUse,
    BranchNotFound,
    CherryPickError,
    CommitNotFoundError,
    EditTargetError,
    MergeConflict,
    MergeError,
    ResetConflict,
    RevertError,
    SummarizeError,
    TagNotFound,
    TractExists,
    UndoError,
)
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


class Site:
    """A directory with the handles that work in it."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.clock = clock
        self.handles: dict[str, Tract] = {}

    def tract(self, name: str = "default") -> Tract:
        if name not in self.handles:
            restore_format(self.path)  # which a copy in flight may lack
            self.handles[name] = Tract.open(self.path, tract_id=name, clock=self.clock, durability="fast")
        return self.handles[name]

    def has(self, name: str) -> bool:
        self.tract()
        return name in Tract.tracts(self.path)

    def tracts(self) -> list[str]:
        return [name for name in TRACTS if self.has(name)]

    def refresh(self) -> None:
        for handle in self.handles.values():
            handle.refresh()

    def close(self) -> None:
        for handle in self.handles.values():
            handle.close()
        self.handles.clear()


class World:
    """Sites, and what their users were told."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.folder = folder
        self.sites: list[Site] = []
        for name in ("a", "b", "c"):
            self.add_site(folder / name)
        self.said: list[tuple[str, str, int | None]] = []  # tract, commit and the config's n of what was acknowledged
        self.joins: dict[str, Site] = {}
        self.seen: Counter[str] = Counter()

    def add_site(self, path: Path) -> Site:
        path.mkdir()
        site = Site(path, Clock(START_US + self.rng.choice(SKEWS_US)))
        self.sites.append(site)
        return site

    def close(self) -> None:
        for site in self.sites:
            site.close()

    # -- steps of one user

    def note(self, t: Tract, *infos: CommitInfo) -> None:
        for info in infos:
            config = info.generation_config
            self.said.append((t.tract_id, info.commit_hash, None if config is None else config.get("n")))

    def work(self, site: Site) -> None:
        """Takes one step in a tract of a site; what is refused is refused."""
        t = site.tract(self.rng.choice(("default", "default", "sub")) if site.has("sub") else "default")
        if self.rng.random() < 0.1:
            site.clock.now_us += self.rng.choice((-3_600_000_000, 60_000_000))
        if self.rng.random() < 0.1:
            with suppress(BranchNotFound):
                t.switch(self.rng.choice(NAMES))
        step = self.rng.choices(list(STEPS), list(STEPS.values()))[0]
        try:
            step(self, site, t)
            self.seen[step.__name__.strip("_")] += 1
        except REFUSALS:
            pass
        except HistoryIncomplete:
            self.seen["refused in flight"] += 1
        except ArgumentError:
            if t.head is not None:
                raise

    def content(self) -> Any:
        return user(f"said {self.rng.randrange(10**6)}")

    def config(self) -> dict[str, Any] | None:
        return {"n": self.rng.randrange(100), "model": "m"} if self.rng.random() < 0.5 else None

    def commit_of(self, t: Tract) -> str:
        """Returns a commit of the tract's history, one of the first as often as not, so that users disagree on some."""
        names = [info.commit_hash for info in t.log(None)]
        if not names:
            raise CommitNotFoundError("no commits", hash=None)
        return self.rng.choice(names[-3:] if self.rng.random() < 0.5 else names)

    def merge(self, site: Site, t: Tract, ref: str | None, prefer: str | None = None) -> MergeResult:
        """Merges, settling what is asked for; notes joins that two sites made alike."""
        try:
            result = t.merge(ref, allow_unrelated=True)
        except (MergeConflict, ResetConflict) as error:
            self.seen["conflicts"] += isinstance(error, MergeConflict)
            self.seen["reset conflicts"] += isinstance(error, ResetConflict)
            kept = prefer or self.rng.choice(("reset", "commits"))
            result = t.merge(ref, prefer=("ours", kept), allow_unrelated=True)
        if result.commit is not None:
            self.note(t, result.commit, *result.resolutions)
            if self.joins.setdefault(result.head, site) is not site:
                self.seen["twin merges"] += 1
        return result

    # -- syncs

    def sync(self, source: Site, target: Site) -> None:
        """Brings files from a site to another in some way, mostly back too, and looks at what stands there then."""
        way = self.rng.choice(list(WAYS))
        WAYS[way](self, source, target)
        self.seen[way] += 1
        for site in (source, target):
            self.look(site, is_fresh=self.rng.random() < 0.7)

    def look(self, site: Site, *, is_fresh: bool) -> None:
        """Reads a site, whatever lies there; where it has just looked, it shows what the files say."""
        if is_fresh:
            site.refresh()
        for tract in site.tracts():
            t = site.tract(tract)
            if is_fresh:
                model = ReferenceStore(site.path).tract(tract)
                heads = {name: set(found) for name, found in t.branches().items()}
                assert heads == model.branches()
                assert t.tags() == model.tags()
                assert len(t.status().pending) == len(model.pending | model.invalid)
                self.seen["two heads"] += any(len(found) > 1 for found in heads.values())
            self.compile(t)

    def compile(self, t: Tract) -> None:
        """Compiles, unless files that are in flight hide a part of the branch; that is never said of a copy's own line."""
        incomplete = t.incomplete()
        if incomplete is None:
            t.compile()
            return
        own = t.reflog(1)
        assert not own or own[0].head != t.head, "the head is this copy's own move"
        self.seen["incomplete in flight"] += 1
        with pytest.raises(HistoryIncomplete):
            t.compile()

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


def _one_way(world: World, source: Site, target: Site) -> None:
    rsync(source.path, target.path, *KEEP_OURS)


def _archive(world: World, source: Site, target: Site) -> None:
    rsync(source.path, target.path, "--exclude=/local/")
    rsync(target.path, source.path, "--exclude=/local/")


def _update(world: World, source: Site, target: Site) -> None:
    rsync(source.path, target.path, "-u", "--exclude=/local/")
    rsync(target.path, source.path, "-u", "--exclude=/local/")


def _in_place(world: World, source: Site, target: Site) -> None:
    rsync(source.path, target.path, "--inplace", "--exclude=/local/")
    rsync(target.path, source.path, "--inplace", "--exclude=/local/")


def _with_local(world: World, source: Site, target: Site) -> None:
    rsync(source.path, target.path)


def _with_local_both_ways(world: World, source: Site, target: Site) -> None:
    rsync(source.path, target.path, "-u")
    rsync(target.path, source.path, "-u")


def _partial(world: World, source: Site, target: Site) -> None:
    rsync(source.path, target.path, "--ignore-existing", names=world.some_files(source, 0.6))


def _reordered(world: World, source: Site, target: Site) -> None:
    names = world.some_files(source, 1)
    events = [name for name in names if name.startswith("events/")]
    rsync(source.path, target.path, "--ignore-existing", names=events)
    world.look(target, is_fresh=True)
    rest = [name for name in names if not name.startswith("events/")]
    rsync(source.path, target.path, "--ignore-existing", names=rest[: world.rng.randint(0, len(rest))])


def _interrupted(world: World, source: Site, target: Site) -> None:
    """Ends as a killed rsync does: the first files are there, and a part of the next under a name of rsync's own."""
    names = sorted(synced(source.path))
    count = world.rng.randrange(len(names)) if names else 0
    rsync(source.path, target.path, "--ignore-existing", names=names[:count])
    for name in names[count : count + 1]:
        torn = store_root(target.path) / name
        torn.parent.mkdir(parents=True, exist_ok=True)
        (torn.parent / f".{torn.name}.Ab3xY9").write_bytes((store_root(source.path) / name).read_bytes()[:20])


def _interrupted_in_place(world: World, source: Site, target: Site) -> None:
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


def _copied_store(world: World, source: Site, target: Site) -> None:
    """Copies a directory whole while its handles are open; the copy goes on writing under its own clock."""
    if len(world.sites) < 5:
        path = world.folder / f"copy{len(world.sites)}"
        site = world.add_site(path)
        rsync(source.path, path)
        world.work(site)


def _tract_sync(world: World, source: Site, target: Site) -> None:
    source.tract().sync(target.path, durable=False, allow_unrelated=True)


def _bundle(world: World, source: Site, target: Site) -> None:
    """Carries each tract over as a file of its own."""
    for tract in source.tracts():
        file = world.folder / f"bundle{world.rng.getrandbits(40)}"
        source.tract(tract).bundle(file)
        target.tract().apply_bundle(file, allow_unrelated=True)


WAYS: dict[str, Callable[[World, Site, Site], object]] = {
    "whole": World.whole,
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


# -- steps


def _commit(world: World, site: Site, t: Tract) -> None:
    world.note(t, t.commit(world.content(), generation_config=world.config()))


def _batch(world: World, site: Site, t: Tract) -> None:
    with t.batch():
        made = [
            t.commit(world.content(), generation_config={"n": number}) for number in range(world.rng.choice((2, 70)))
        ]
    world.note(t, *made)


def _edit(world: World, site: Site, t: Tract) -> None:
    world.note(t, t.edit(world.commit_of(t), world.content(), generation_config=world.config()))


def _annotate(world: World, site: Site, t: Tract) -> None:
    made = t.annotate(world.commit_of(t), world.rng.choice(("skip", "normal", "pinned")))
    assert made.commit_hash is not None
    world.said.append((t.tract_id, made.commit_hash, None))


def _summarize(world: World, site: Site, t: Tract) -> None:
    shown = t.compile().commit_hashes
    chosen = world.rng.sample(shown, min(len(shown), 2))
    world.note(t, t.summarize(chosen, world.content(), generation_config=world.config()))


def _reset(world: World, site: Site, t: Tract) -> None:
    t.reset(world.commit_of(t))


def _undo(world: World, site: Site, t: Tract) -> None:
    t.undo(anyone=True)


def _branch(world: World, site: Site, t: Tract) -> None:
    t.branch(world.rng.choice(NAMES), at=world.commit_of(t))


def _switch(world: World, site: Site, t: Tract) -> None:
    t.switch(world.rng.choice(NAMES), create=world.rng.random() < 0.5)


def _rename(world: World, site: Site, t: Tract) -> None:
    t.rename_branch(world.rng.choice(NAMES), world.rng.choice(NAMES))


def _delete(world: World, site: Site, t: Tract) -> None:
    t.delete_branch(world.rng.choice(NAMES), force=world.rng.random() < 0.5)


def _tag(world: World, site: Site, t: Tract) -> None:
    t.tag(world.rng.choice(("v1", "v2")), world.commit_of(t), force=True)


def _untag(world: World, site: Site, t: Tract) -> None:
    t.untag(world.rng.choice(("v1", "v2")))


def _revert(world: World, site: Site, t: Tract) -> None:
    world.note(t, t.revert(world.commit_of(t)))


def _cherry_pick(world: World, site: Site, t: Tract) -> None:
    names = [info.commit_hash for name in t.branches() for info in t.log(None, branch=name)]
    world.note(t, t.cherry_pick(world.rng.choice(names)) if names else t.commit(world.content()))


def _join(world: World, site: Site, t: Tract) -> None:
    world.merge(site, t, None)


def _merge(world: World, site: Site, t: Tract) -> None:
    names = [name for name in t.branches() if name != t.branch]
    if names:
        world.merge(site, t, world.rng.choice(names))


def _fork(world: World, site: Site, t: Tract) -> None:
    if t.tract_id == "default" and "sub" not in site.handles:
        site.handles["sub"] = t.fork("sub")


def _merge_back(world: World, site: Site, t: Tract) -> None:
    other = "sub" if t.tract_id == "default" else "default"
    if site.has(other):
        world.merge(site, t, f"{other}:main")


STEPS: dict[Callable[[World, Site, Tract], None], int] = {
    _commit: 34,
    _batch: 2,
    _edit: 6,
    _annotate: 6,
    _summarize: 4,
    _reset: 6,
    _undo: 2,
    _branch: 5,
    _switch: 5,
    _rename: 2,
    _delete: 3,
    _tag: 3,
    _untag: 1,
    _revert: 2,
    _cherry_pick: 2,
    _join: 8,
    _merge: 6,
    _fork: 3,
    _merge_back: 4,
}


# -- what must hold


def told_by(site: Site) -> dict[str, Any]:
    """Returns all that a site shows of its tracts: branches, tags, and log, context and configs of each head; and queries."""
    found: dict[str, Any] = {}
    for tract in site.tracts():
        t = site.tract(tract)
        branches = {name: sorted(heads) for name, heads in t.branches().items()}
        lines = {}
        for head in sorted({head for heads in branches.values() for head in heads}):
            with t.at(head) as line:
                lines[head] = ([told(info) for info in line.log(None)], told_context(line.compile()))
        queries = [[told(info) for info in t.query_by_config("n", ">=", least)] for least in (0, 50)]
        found[tract] = {"branches": branches, "tags": t.tags(), "lines": lines, "queries": queries}
    return found


def check_agreement(world: World) -> dict[str, Any]:
    """Checks that all sites hold the same files and tell the same, and what the reference reads in the files; returns that."""
    files = synced(world.sites[0].path)
    found = told_by(world.sites[0])
    for site in world.sites[1:]:
        names = {name: data for name, data in synced(site.path).items() if not Path(name).name.startswith(".")}
        assert names == {name: data for name, data in files.items() if not Path(name).name.startswith(".")}
        assert told_by(site) == found
    store = ReferenceStore(world.sites[0].path)
    assert sorted(found) == store.tracts()
    for tract in found:
        check_against(store.tract(tract), found[tract])
        check_nothing_is_missing(world, store.tract(tract))
    return found


def check_against(model: ReferenceTract, found: dict[str, Any]) -> None:
    assert not model.pending | model.invalid
    assert {name: set(heads) for name, heads in found["branches"].items()} == model.branches()
    assert found["tags"] == model.tags()
    for head, (log, context) in found["lines"].items():
        expected = model.compile(head)
        assert [json.loads(info)["commit_hash"] for info in log] == model.log(head)
        assert context["commits"] == expected.commit_hashes
        assert context["messages"] == [exact(message) for message in expected.messages]
        assert context["configs"] == [exact(config) for config in expected.generation_configs]
        assert context["tokens"] == expected.token_count
    for infos, least in zip(found["queries"], (0, 50), strict=True):
        assert [json.loads(info)["commit_hash"] for info in infos] == model.query("n", ">=", least)


def check_nothing_is_missing(world: World, model: ReferenceTract) -> None:
    """Each acknowledged commit is below a head, or a reset or delete saw it; and each site finds it anyway."""
    kept = {name for heads in model.branches().values() for head in heads for name in model.linear(head)}
    removals = [name for _, name, _, op in model.ops() if op["kind"] in ("reset", "delete")]
    brought = {entry["commit"]: name for _, name, _, op in model.ops() for entry in op.get("commits", ())}
    for site in world.sites:
        t = site.tract(model.tract)
        asked = {info.commit_hash for info in t.query_by_config("n", ">=", 0)}
        for tract, commit, n in world.said:
            if tract == model.tract:
                assert t.get_commit(commit) is not None
                assert n is None or commit in asked
    for tract, commit, _ in world.said:
        if tract == model.tract:
            assert commit in kept or any(model.saw(removal, brought[commit]) for removal in removals)


def join_everything(world: World, found: dict[str, Any]) -> None:
    """Makes each branch one on any site, or on two at once."""
    for tract in found:
        for name in [name for name, heads in found[tract]["branches"].items() if len(heads) > 1]:
            prefer = world.rng.choice(("reset", "commits"))
            for site in world.rng.sample(world.sites, world.rng.choice((1, 1, 2))):
                t = site.tract(tract)
                t.switch(name)
                if world.merge(site, t, None, prefer).conflicts:
                    break  # settled in this user's words; another's would be others


@contextmanager
def world_of(folder: Path, seed: int) -> Iterator[World]:
    path = Path(tempfile.mkdtemp(dir=folder))
    world = World(path, seed)
    try:
        yield world
    finally:
        world.close()
        shutil.rmtree(path, ignore_errors=True)


def converge(world: World) -> Counter[str]:
    """Plays a history, and checks that its sites come together; returns what occurred in it."""
    rng = world.rng
    _commit(world, world.sites[0], world.sites[0].tract())
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


def test_two_merges_that_settle_a_conflict_otherwise_are_joined_once_more(two: Two) -> None:
    for site, text in ((two.one, "left"), (two.other, "right")):
        site.tract().edit(two.first, user(text))
    two.sync()
    for site, text in ((two.one, "mine"), (two.other, "yours")):
        site.tract().merge(resolutions={two.first: user(text)})
    two.sync()
    assert [len(heads) for heads in two.heads()] == [2, 2]
    with pytest.raises(MergeConflict):
        two.one.tract().merge()
    merged = two.one.tract().merge(prefer="theirs")
    two.sync()
    assert two.heads() == ({merged.head}, {merged.head})
    assert two.texts() == [["yours", "second"], ["yours", "second"]]


def test_a_copied_directory_that_goes_on_writing_loses_nothing(two: Two) -> None:
    shutil.rmtree(two.other.path)
    two.other.handles.clear()
    rsync(two.one.path, two.other.path)
    left, right = two.say(two.one, "left"), two.say(two.other, "right")
    two.sync()
    assert two.heads() == ({left, right}, {left, right})
    assert two.texts() == [["first", "second", "left"], ["first", "second", "right"]]
