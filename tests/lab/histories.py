"""Random histories of the facade's calls at several copies of one store, and what must hold once all have met all files.

How files travel between the copies is up to the test: by rsync, by other tools, or by a plain union of files.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar
from unittest import mock

import pytest

from tests.lab.reference import ReferenceStore, ReferenceTract
from tests.lab.states import exact, remove_local, synced, told, told_context
from tests.lab.stores import AT_ONCE
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
from tract_fs.work import session
from tract_fs.work.merge import MergeResult

TRACTS = ("default", "sub")
NAMES = ("main", "side", "topic")
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


class Site:
    """A directory with the handles that work in it."""

    def __init__(self, path: Path, clock: Clock, durability: Literal["fast", "durable"] = "fast") -> None:
        self.path = path
        self.clock = clock
        self.durability = durability
        self.handles: dict[str, Tract] = {}

    def tract(self, name: str = "default") -> Tract:
        if name not in self.handles:
            restore_format(self.path)  # which a copy in flight may lack
            self.handles[name] = Tract.open(self.path, tract_id=name, clock=self.clock, durability=self.durability)
        return self.handles[name]

    def has(self, name: str) -> bool:
        self.tract()
        return name in Tract.tracts(self.path)

    def tracts(self) -> list[str]:
        self.tract()
        there = Tract.tracts(self.path)
        return [name for name in TRACTS if name in there]

    def refresh(self) -> None:
        for handle in self.handles.values():
            handle.refresh()

    def close(self) -> None:
        for handle in self.handles.values():
            handle.close()
        self.handles.clear()


class World:
    """Sites, and what was acknowledged there."""

    skews_us: ClassVar[tuple[int, ...]] = (0, 1, -10_000_000, 90_000_000, 86_400_000_000)
    jumps_us: ClassVar[tuple[int, ...]] = (-3_600_000_000, 60_000_000)

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.folder = folder
        self.sites: list[Site] = []
        for name in self.names():
            self.add_site(folder / name)
        self.said: list[tuple[str, str, int | None]] = []  # tract, commit and the config's n of what was acknowledged
        self.joins: dict[str, Site] = {}
        self.seen: Counter[str] = Counter()

    def names(self) -> str:
        """Returns the names of the sites that there are at first."""
        return "abc"

    def steps(self) -> dict[Step, int]:
        """Returns the steps that a user takes, with how often."""
        return STEPS

    def add_site(self, path: Path) -> Site:
        path.mkdir()
        site = Site(path, Clock(START_US + self.rng.choice(self.skews_us)))
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
            site.clock.now_us += self.rng.choice(self.jumps_us)
        if self.rng.random() < 0.1:
            with suppress(BranchNotFound):
                t.switch(self.rng.choice(NAMES))
        steps = self.steps()
        step = self.rng.choices(list(steps), list(steps.values()))[0]
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
            wish = (self.side(), prefer or self.rng.choice(("reset", "commits")))
            result = t.merge(ref, prefer=wish, allow_unrelated=True)
        if result.commit is not None:
            self.note(t, result.commit, *result.resolutions)
            if self.joins.setdefault(result.head, site) is not site:
                self.seen["twin merges"] += 1
        return result

    def side(self) -> str:
        """Returns whose answer is taken where a merge meets a conflict."""
        return "ours"

    # -- reading

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


# -- steps


def say(world: World, site: Site, t: Tract) -> None:
    world.note(t, t.commit(world.content(), generation_config=world.config()))


def _batch(world: World, site: Site, t: Tract) -> None:
    with t.batch():
        made = [
            t.commit(world.content(), generation_config={"n": number}) for number in range(world.rng.choice((2, 70)))
        ]
    world.note(t, *made)


def edit(world: World, site: Site, t: Tract) -> None:
    world.note(t, t.edit(world.commit_of(t), world.content(), generation_config=world.config()))


def annotate(world: World, site: Site, t: Tract) -> None:
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


Step = Callable[[World, Site, Tract], None]
STEPS: dict[Step, int] = {
    say: 34,
    _batch: 2,
    edit: 6,
    annotate: 6,
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


# -- copies that say the same


class AlikeWorld(World):
    """Sites whose users say short and often equal things, and settle conflicts either way."""

    def steps(self) -> dict[Step, int]:
        return {**STEPS, **STEPS_ON_EQUAL_TEXTS}

    def content(self) -> Any:
        return user(self.rng.choice(("ok", "yes", "no", f"turn {self.rng.randrange(30)}")))

    def side(self) -> str:
        return self.rng.choice(("ours", "theirs"))


_World = TypeVar("_World", bound=World)


@contextmanager
def playing(make: Callable[[Path, int], _World], seed: int) -> Iterator[_World]:
    """Gives a world that plays the same history whenever it gets this seed: the writers' labels come from it too."""
    path = Path(tempfile.mkdtemp(prefix="tract-histories-"))
    labels = random.Random(-seed)
    world = make(path, seed)
    try:
        with mock.patch.object(session, "new_writer", lambda: f"{labels.getrandbits(128):032x}"):
            yield world
    except Exception as error:
        error.add_note(f"seed {seed}")
        raise
    finally:
        world.close()
        shutil.rmtree(path, ignore_errors=True)


def pack(world: World, site: Site, t: Tract) -> None:
    t.pack(keep_loose=world.rng.choice((AT_ONCE, AT_ONCE, timedelta(hours=1))))


def _summarize_range(world: World, site: Site, t: Tract) -> None:
    """Summarizes neighbours in the context, summaries among them."""
    shown = t.compile().commit_hashes
    first = world.rng.randrange(max(1, len(shown)))
    world.note(t, t.summarize(shown[first : first + 3], world.content()))


def _reopen(world: World, site: Site, t: Tract) -> None:
    site.close()
    if world.rng.random() < 0.3:
        remove_local(site.path)


STEPS_ON_EQUAL_TEXTS: dict[Step, int] = {edit: 12, annotate: 10, pack: 5, _summarize_range: 6, _reopen: 4}


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
                assert n is None or commit in asked or (tract, commit, None) in world.said  # made twice, alike
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
