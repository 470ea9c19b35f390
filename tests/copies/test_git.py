"""Stores in git work trees: random histories of tract work and of git's commands on clones of one repository, and what git does that needs a word.

Whatever git adds or takes away, it meets no conflict in `.tract`; every clone opens, tells what is gone or waits, and shows the same once the files are together.
"""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.lab.copies import hashed, is_good
from tests.lab.states import exact, store_root, synced, told, told_context
from tests.lab.talk import START_US, Clock, user
from tract_fs import Tract
from tract_fs.errors import HistoryIncomplete, TractError

pytestmark = pytest.mark.needs("git")

HISTORIES = int(os.environ.get("TRACT_GIT_HISTORIES", "60"))
CHUNK = 10
STEPS = 5
TRACTS = ("default", "objects", "a.lock")  # names that the ignore file below is after
IGNORED = "*.lock\n*.log\n*.pack\nobjects/\nevents/\npacks/\ntmp/\n"
SETTINGS = """[user]
name = Ann
email = ann@example.org
[init]
defaultBranch = main
[core]
excludesFile = {folder}/ignored
autocrlf = {autocrlf}
fsync = none
[gc]
auto = 0
[advice]
detachedHead = false
"""


class Git:
    """The real git, with the settings of one directory alone."""

    def __init__(self, folder: Path, *, autocrlf: bool = False) -> None:
        settings = SETTINGS.format(folder=folder, autocrlf=str(autocrlf).lower())
        (folder / "gitconfig").write_text(settings)
        (folder / "ignored").write_text(IGNORED)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "HOME": str(folder),
            "GIT_CONFIG_GLOBAL": str(folder / "gitconfig"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_EDITOR": "true",
            "LC_ALL": "C",
        }

    def attempt(self, path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs git in a directory."""
        command = ["git", "-C", str(path), *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=240)

    def run(self, path: Path, *arguments: str) -> str:
        """Runs git in a directory; it must succeed, so it met no conflict. Returns what it prints."""
        done = self.attempt(path, *arguments)
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def commit(self, path: Path, message: str = "work") -> None:
        """Tells git of everything."""
        self.run(path, "add", "-A")
        self.run(path, "commit", "-q", "--allow-empty", "-m", message)


def events_of(path: Path, tract: str) -> set[str]:
    """Returns the names of the loose events of a tract. (Batches of these tests have theirs loose, too.)"""
    root = store_root(path) / "events" / tract
    return {file.parent.name + file.name for file in root.glob("??/*")}


def state(t: Tract) -> dict[str, Any]:
    """Returns what all copies with the same files must agree on: which head is the own one is left out."""
    branches = {name: set(heads) for name, heads in t.branches().items()}
    found: dict[str, Any] = {
        "branches": branches,
        "tags": t.tags(),
        "queries": [told(i) for i in t.query_by_config("n", ">=", 0)],
    }
    for head in sorted(head for heads in branches.values() for head in heads):
        with t.at(head) as at:
            found[head] = {
                "log": [told(info) for info in at.log(None)],
                "compile": told_context(at.compile()),
                "contents": [exact(at.get_content(i.commit_hash).text) for i in at.log(None) if i.content_hash],
            }
    return found


def is_known(t: Tract, name: str) -> bool:
    """Returns whether a commit can be had with its config: not while its event is lost."""
    try:
        return t.get_commit(name) is not None
    except HistoryIncomplete:
        return False


class Clone:
    """One clone: its work tree, what it acknowledged, and which events it has known."""

    def __init__(self, path: Path, git: Git, clock: Clock) -> None:
        self.path, self.git, self.clock = path, git, clock
        self.acknowledged: dict[str, list[str]] = {tract: [] for tract in TRACTS}
        self.seen: dict[str, set[str]] = {tract: set() for tract in TRACTS}
        self.handles: dict[str, Tract] = {}

    @contextmanager
    def opened(self, tract: str = "default") -> Iterator[Tract]:
        """Gives the handle that stays open, or one for now."""
        if tract in self.handles:
            self.handles[tract].refresh()
            yield self.handles[tract]
            self.note(self.handles[tract])
        else:
            with Tract.open(self.path, tract_id=tract, durability="fast", clock=self.clock) as t:
                yield t
                self.note(t)

    def note(self, t: Tract) -> None:
        """Notes which events this clone knows now."""
        waiting = {event.event for event in t.status().waiting}
        self.seen[t.tract_id] |= events_of(self.path, t.tract_id) - waiting

    def tracts(self) -> list[str]:
        """Returns the tracts that there are, or were."""
        return [tract for tract in TRACTS if self.seen[tract] or events_of(self.path, tract)]

    def run(self, *arguments: str) -> str:
        return self.git.run(self.path, *arguments)

    def close(self) -> None:
        for handle in self.handles.values():
            handle.close()


class World:
    """Clones of one bare repository, and a random history of them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.reverts = seed % 2 == 1  # git removes files in half of the histories only
        self.git = Git(folder, autocrlf=seed % 4 >= 2)
        self.number = 0
        self.counts: Counter[str] = Counter()
        self.origin = folder / "origin"
        self.git.run(folder, "init", "-q", "--bare", str(self.origin))
        self.clones: list[Clone] = []
        for name in ("a", "b", "c")[: 2 + seed % 3 // 2]:
            path = folder / name
            self.git.run(folder, "clone", "-q", str(self.origin), str(path))
            skew_us = self.random.choice([0, 0, 500_000, -(10**7)])
            clone = Clone(path, self.git, Clock(START_US + skew_us))
            self.clones.append(clone)
            if len(self.clones) == 1:
                for tract in TRACTS[: self.random.randint(1, 3)]:
                    self.say(clone, tract)
                self.git.commit(path, "start")
                clone.run("push", "-q", "origin", "HEAD:main")
            if self.random.random() < 0.5:
                clone.handles = {
                    tract: Tract.open(path, tract_id=tract, durability="fast", clock=clone.clock) for tract in TRACTS
                }
            self.check(clone)

    def close(self) -> None:
        for clone in self.clones:
            clone.close()

    # tract

    def say(self, clone: Clone, tract: str = "default") -> None:
        """Commits a text that nobody said before."""
        self.number += 1
        content, config = user(f"said {self.number}"), {"n": self.number} if self.number % 2 else None
        with clone.opened(tract) as t:
            try:
                info = t.commit(content, generation_config=config)
            except HistoryIncomplete:  # nobody goes on from less than there was, unless told to
                self.counts["refused"] += 1
                options: dict[str, Any] = {"durability": "fast", "clock": clone.clock, "incomplete": "use"}
                with Tract.open(clone.path, tract_id=tract, **options) as used:
                    info = used.commit(content, generation_config=config)
                t.refresh()
            clone.acknowledged[tract].append(info.commit_hash)

    def work(self, clone: Clone) -> None:
        """Does a few random things in a random tract."""
        tract = self.random.choice(("default", "default", *TRACTS))
        for _ in range(self.random.randint(1, 2)):
            with clone.opened(tract) as t, suppress(TractError):
                before = {info.commit_hash for info in t.log(None)}
                try:
                    self.random.choice(WORK)(self, t)
                finally:
                    made = [info.commit_hash for info in t.log(None)]
                    clone.acknowledged[tract] += [name for name in made if name not in before]

    def any_commit(self, t: Tract) -> str:
        return self.random.choice([info.commit_hash for info in t.log(None)] or ["none"])

    # what holds at all times

    def check(self, clone: Clone) -> None:
        """Checks that a clone opens, that its heads are whole, and that it tells all that is gone or waits."""
        for tract in clone.tracts():
            with clone.opened(tract) as t:
                status = t.status()
                present = events_of(clone.path, tract)
                waiting = {event.event for event in status.waiting}
                assert set(status.gone) == clone.seen[tract] - present
                assert (status.damaged, status.quarantined, status.warnings) == ((), (), ())
                lost = [name for name in clone.acknowledged[tract] if not is_known(t, name)]
                if lost or waiting:
                    assert status.gone or waiting
                assert bool(status.gone) == any("are gone" in line for line in status.advice)
                assert bool(waiting) == any(line.startswith("pending") for line in status.advice)
                state(t)
                self.counts["gone"] += bool(status.gone)
                self.counts["waiting"] += bool(waiting)
                self.counts["two heads"] += bool(status.other_heads)

    def step(self) -> None:
        clone = self.random.choice(self.clones)
        for _ in range(self.random.randint(1, 2)):
            self.work(clone)
        name = self.random.choice([name for name in STEP_CALLS if name != "revert" or self.reverts])
        STEP_CALLS[name](self, clone)
        self.counts[name] += 1
        self.check(clone)

    # the end

    def unite(self) -> None:
        """Brings all files together: those that git took away from its own store of revisions, then by pulls and pushes."""
        for clone in self.clones:
            self.git.commit(clone.path)
            self.bring_back(clone)
            self.check(clone)
        self.share()

    def share(self) -> None:
        """Pulls and pushes until all have all."""
        for clone in self.clones:
            self.git.commit(clone.path)
            clone.run("pull", "-q", "--no-rebase", "--no-edit", "origin", "main")
            clone.run("push", "-q", "origin", "HEAD:main")
        for clone in self.clones[:-1]:
            clone.run("pull", "-q", "--no-rebase", "--no-edit", "origin", "main")

    def bring_back(self, clone: Clone) -> None:
        """Brings back every file that any revision known to git has, as its owner would: `git checkout REVISION -- .tract` removes nothing."""
        listed = clone.run("rev-list", "--all", "--reflog", "--objects", "--", ".tract").splitlines()
        wanted = {name for line in listed if len(name := line.partition(" ")[2].rpartition("/")[2]) == 62}
        paths = [line.partition(" ")[2] for line in listed if line.rpartition("/")[2] in wanted]
        for path in paths:
            if not (clone.path / path).exists():
                self.counts["brought back"] += 1
                (revision,) = clone.run(
                    "log", "--all", "--reflog", "-1", "--format=%H", "--diff-filter=A", "--", path
                ).split()
                clone.run("checkout", revision, "--", ".tract")

    def require_together(self) -> dict[str, Any]:
        """Checks that all clones have the same files and show the same, and that nothing that was acknowledged is lost."""
        files = synced(self.clones[0].path)
        assert all(is_good(name, data) for name, data in hashed(self.clones[0].path).items())
        states = []
        for clone in self.clones:
            assert synced(clone.path) == files
            shown = {}
            for tract in self.clones[0].tracts():
                with clone.opened(tract) as t:
                    status = t.status()
                    assert (status.gone, status.pending, status.damaged, status.strays) == ((), (), (), ())
                    for other in self.clones:
                        assert [name for name in other.acknowledged[tract] if t.get_commit(name) is None] == []
                    shown[tract] = state(t)
            states.append(shown)
        assert all(shown == states[0] for shown in states)
        return states[0]

    def join(self) -> None:
        """Merges every branch that has two heads, on one clone or on all at once, and what is left of different answers on one."""
        is_at_once = self.random.random() < 0.5
        self.counts["merged at once"] += is_at_once
        for clones in (self.clones if is_at_once else self.clones[:1], self.clones[1:2]):
            for clone in clones:
                for tract in TRACTS:
                    self.merge(clone, tract)
            self.share()

    def merge(self, clone: Clone, tract: str) -> None:
        """Makes one head of every branch of a tract."""
        with clone.opened(tract) as t:
            for branch, heads in t.branches().items():
                if len(heads) > 1:
                    t.switch(branch)
                    t.merge(prefer=("ours", "commits"), allow_unrelated=True)


def _batch(world: World, t: Tract) -> None:
    size = world.random.choice((2, 2, 2, 40))  # 80 objects make a pack
    with t.batch():
        for _ in range(size):
            world.number += 1
            t.commit(user(f"in a batch {world.number}"), generation_config={"n": world.number})


def _say(world: World, t: Tract) -> None:
    world.number += 1
    t.commit(user(f"said {world.number}"), generation_config={"n": world.number})


WORK: tuple[Callable[[World, Tract], object], ...] = (
    *[_say] * 5,
    lambda w, t: t.commit(user("the same words on every side")),
    lambda w, t: t.edit(w.any_commit(t), user(f"edited {w.random.random()}")),
    lambda w, t: t.annotate(w.any_commit(t), w.random.choice(["skip", "normal", "pinned"])),
    _batch,
    lambda w, t: t.merge(allow_unrelated=True),
    lambda w, t: t.merge(w.random.choice(("main", "dev"))),
    lambda w, t: t.reset(w.any_commit(t)),
    lambda w, t: t.branch("dev", at=w.any_commit(t)),
    lambda w, t: t.tag("here", w.any_commit(t), force=True),
    lambda w, t: t.undo(anyone=True),
)


def _pull(world: World, clone: Clone) -> None:
    world.git.commit(clone.path)
    clone.run("pull", "-q", "--no-rebase", "--no-edit", "origin", "main")


def _pull_rebase(world: World, clone: Clone) -> None:
    world.git.commit(clone.path)
    clone.run("pull", "-q", "--rebase", "origin", "main")


def _push(world: World, clone: Clone) -> None:
    _pull(world, clone)
    clone.run("push", "-q", "origin", "HEAD:main")


def _topic(world: World, clone: Clone) -> str:
    """Makes a git branch with two commits beside main, and goes on with main; returns its name."""
    world.git.commit(clone.path)
    world.number += 1
    name = f"topic-{world.number}"
    clone.run("checkout", "-q", "-b", name)
    for _ in range(2):
        world.work(clone)
        world.git.commit(clone.path)
    clone.run("checkout", "-q", "main")
    world.check(clone)
    if world.random.random() < 0.7:
        world.say(clone)
        world.git.commit(clone.path)
    return name


def _merge(world: World, clone: Clone) -> None:
    clone.run("merge", "-q", "--no-edit", _topic(world, clone))


def _squash(world: World, clone: Clone) -> None:
    name = _topic(world, clone)
    clone.run("merge", "-q", "--squash", name)
    clone.run("commit", "-q", "--allow-empty", "-m", "squashed")
    clone.run("branch", "-q", "-D", name)


def _rebase(world: World, clone: Clone) -> None:
    name = _topic(world, clone)
    clone.run("rebase", "-q", "main", name)
    world.check(clone)
    clone.run("checkout", "-q", "main")
    clone.run("merge", "-q", "--ff-only", name)


def _cherry_pick(world: World, clone: Clone) -> None:
    clone.run("cherry-pick", "--allow-empty", "--keep-redundant-commits", _topic(world, clone))


def _stash(world: World, clone: Clone) -> None:
    if clone.run("status", "--porcelain"):
        clone.run("stash", "-q", "-u")
        world.check(clone)
        if world.random.random() < 0.5:
            world.say(clone)
        clone.run("stash", "pop", "-q")


def _old(world: World, clone: Clone) -> None:
    """Goes to an old revision, works there on some days, and comes back."""
    world.git.commit(clone.path)
    depth = len(clone.run("rev-list", "--first-parent", "HEAD").split()) - 1
    clone.run("checkout", "-q", "--detach", f"HEAD~{world.random.randint(0, min(3, depth))}")
    world.check(clone)
    if world.random.random() < 0.5:
        world.say(clone)
        world.check(clone)
    if world.random.random() < 0.5:
        world.git.commit(clone.path, "at an old revision")
        old = clone.run("rev-parse", "HEAD").strip()
        clone.run("checkout", "-q", "main")
        clone.run("merge", "-q", "--no-edit", old)
    else:
        clone.run("checkout", "-q", "main")


def _drop(world: World, clone: Clone) -> None:
    """Takes the last git commit but one out of the line, or the last one."""
    world.git.commit(clone.path)
    for _ in range(2):
        world.say(clone)
        world.git.commit(clone.path)
    if world.random.random() < 0.7:
        clone.run("rebase", "-q", "--onto", "HEAD~2", "HEAD~1")
    else:
        clone.run("reset", "-q", "--hard", "HEAD~1")


def _revert(world: World, clone: Clone) -> None:
    world.git.commit(clone.path)
    world.say(clone)
    world.git.commit(clone.path)
    clone.run("revert", "--no-edit", "HEAD")


def _adopt(world: World, clone: Clone) -> None:
    """Lets repair bring back what waits, once the files of what it waits for are dropped."""
    _drop(world, clone)
    for tract in clone.tracts():
        with Tract.open(clone.path, tract_id=tract, durability="fast", clock=clone.clock) as t:
            waiting = {event.event for event in t.status().waiting}
            report = t.repair(adopt=True)
            assert report.set_aside == report.unmoved == ()
            world.counts["adopted"] += len(report.adopted)
            assert bool(report.adopted or report.not_adopted) == bool(waiting)


STEP_CALLS: dict[str, Callable[[World, Clone], None]] = {
    "commit": lambda world, clone: world.git.commit(clone.path),
    "pull": _pull,
    "pull --rebase": _pull_rebase,
    "push": _push,
    "merge": _merge,
    "merge --squash": _squash,
    "rebase": _rebase,
    "cherry-pick": _cherry_pick,
    "stash": _stash,
    "checkout": _old,
    "drop": _drop,
    "revert": _revert,
    "adopt": _adopt,
}


@contextmanager
def world_of(seed: int) -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="tract-git-") as folder:
        world = World(Path(folder), seed)
        try:
            yield world
        finally:
            world.close()


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, HISTORIES, CHUNK))
def test_whatever_git_does_the_clones_come_together_and_nothing_is_lost(first: int) -> None:
    counts: Counter[str] = Counter()
    for seed in range(first, first + CHUNK):
        with world_of(seed) as world:
            for _ in range(STEPS):
                world.step()
            world.unite()
            united = world.require_together()
            world.counts["diverged"] = any(
                len(heads) > 1 for shown in united.values() for heads in shown["branches"].values()
            )
            world.join()
            joined = world.require_together()
            assert all(len(heads) == 1 for shown in joined.values() for heads in shown["branches"].values())
            counts.update({name: 1 for name, count in world.counts.items() if count})
    print(f"{CHUNK} histories, of them with:", dict(sorted(counts.items())))
    assert counts["diverged"] >= CHUNK * 0.4
    assert counts["gone"] >= CHUNK * 0.4
    assert counts["waiting"] >= 1


@pytest.mark.parametrize("way", ["add and commit", "without renames"])
def test_new_files_that_git_takes_for_renamed_ones_are_left_whole_by_it(tmp_path: Path, way: str) -> None:
    git = Git(tmp_path)
    here, there = tmp_path / "here", tmp_path / "there"
    words = " ".join(f"word {number}" for number in range(400))
    git.run(tmp_path, "init", "-q", str(here))
    for text in ("first", "then"):
        with Tract.open(here) as t:
            t.commit(user(f"{words} {text}"))
        git.commit(here)
    git.run(tmp_path, "clone", "-q", str(here), str(there))
    for path in (here, there):
        git.run(path, "revert", "--no-commit", "HEAD")
        git.commit(path, f"taken back, {path.name}")
        with Tract.open(path) as t:
            t.commit(user(f"{words} after, {path.name}"))
        git.commit(path)
    union = synced(here) | synced(there)
    done = git.attempt(there, "pull", "-q", "--no-rebase", "--no-edit")
    assert "CONFLICT (rename/rename)" in done.stdout  # each side's new file stands for the one that went: so git thinks
    assert synced(there) == union  # the store's .gitattributes kept it from writing into either
    if way == "add and commit":
        git.commit(there, "joined")
    else:
        git.run(there, "merge", "--abort")
        git.run(there, "pull", "-q", "--no-rebase", "--no-edit", "-s", "resolve")
    assert synced(there) == union
    with Tract.open(there) as t:
        assert [len(heads) for heads in t.branches().values()] == [2]
        assert (t.status().pending, t.status().strays) == ((), ())


def test_ignore_rules_and_attributes_above_the_store_drop_and_rewrite_nothing_in_it(tmp_path: Path) -> None:
    git = Git(tmp_path, autocrlf=True)
    here, there = tmp_path / "here", tmp_path / "there"
    git.run(tmp_path, "init", "-q", str(here))
    (here / ".gitignore").write_text(IGNORED)
    (here / ".gitattributes").write_text("* text eol=crlf\n")
    for tract in ("default", "objects", "tmp", "a.lock", "b.log", "c.pack"):
        with Tract.open(here, tract_id=tract) as t, t.batch():
            for number in range(40):  # a pack: one with line ends
                t.commit(user(f"{tract} {number}"))
    git.commit(here)
    git.run(tmp_path, "clone", "-q", str(here), str(there))
    assert synced(there) == synced(here)
    assert len(list((there / ".tract" / "packs").iterdir())) == 6
    assert not (there / ".tract" / "local").exists()


def test_git_asks_to_be_told_of_files_that_came_by_another_way_and_then_meets_no_conflict(tmp_path: Path) -> None:
    git = Git(tmp_path)
    here, there = tmp_path / "here", tmp_path / "there"
    git.run(tmp_path, "init", "-q", str(here))
    for text in ("first", "then"):
        with Tract.open(here) as t:
            t.commit(user(text))
        if text == "first":
            git.commit(here)
            git.run(tmp_path, "clone", "-q", str(here), str(there))
    with Tract.open(there) as t:
        t.sync(here)
    git.commit(here)
    before = synced(there)
    assert "untracked" in git.attempt(there, "pull", "-q", "--no-rebase").stderr
    assert synced(there) == before
    git.run(there, "add", "-A")
    git.run(there, "pull", "-q", "--no-rebase")
    assert (synced(there), git.run(there, "status", "--porcelain")) == (before, "")


def test_what_a_rebase_dropped_comes_back_by_a_checkout_of_its_files_alone(tmp_path: Path) -> None:
    git = Git(tmp_path)
    git.run(tmp_path, "init", "-q", str(tmp_path / "here"))
    for text in ("first", "dropped", "then"):
        with Tract.open(tmp_path / "here") as t:
            t.commit(user(text))
        git.commit(tmp_path / "here")
    before = synced(tmp_path / "here")
    git.run(tmp_path / "here", "rebase", "-q", "--onto", "HEAD~2", "HEAD~1")
    with Tract.open(tmp_path / "here") as t:
        status = t.status()
        assert (len(status.gone), [event.state for event in status.waiting]) == (1, ["gone"])
        with pytest.raises(HistoryIncomplete) as caught:
            t.compile()
        assert [name.replace("/", "")[-64:] for name in caught.value.lost] == list(status.gone)
        assert [t.get_content(info.commit_hash).text for info in t.log(None)] == ["first"]
    git.run(tmp_path / "here", "checkout", "ORIG_HEAD", "--", ".tract")
    assert synced(tmp_path / "here") == before
    with Tract.open(tmp_path / "here") as t:
        assert [message.content for message in t.compile().messages] == ["first", "dropped", "then"]
        assert (t.status().gone, t.status().pending) == ((), ())
