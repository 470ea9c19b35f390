"""Packing in git work trees: clones that all pack and go on, in any order with git's own commands, meet no conflict and lose nothing."""

from __future__ import annotations

import os
import random
import subprocess
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from tests.lab.states import synced
from tests.lab.talk import user
from tract_fs import Tract
from tract_fs.errors import TractError

pytestmark = pytest.mark.needs("git")

HISTORIES = int(os.environ.get("TRACT_GIT_PACK_HISTORIES", "100"))
FEW = 5
STEPS = 16
TEXTS = ("ok", "yes", "go on", "done", "no")
NOW = timedelta(0)


class Git:
    """The real git, with no settings but a name."""

    def __init__(self, home: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        person = {
            f"GIT_{who}_{what}": "ann@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        self._environment = {
            **kept,
            **person,
            "HOME": str(home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_EDITOR": "true",
            "LC_ALL": "C",
        }

    def attempt(self, path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        settings = (
            "-c",
            "init.defaultBranch=main",
            "-c",
            "core.fsync=none",
            "-c",
            "uploadpack.allowFilter=true",
            "-c",
            "gc.auto=0",
        )
        command = ["git", *settings, "-C", str(path), *arguments]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False, timeout=60)

    def run(self, path: Path, *arguments: str) -> str:
        """Runs git; it must succeed, so it met no conflict. Returns what it prints."""
        done = self.attempt(path, *arguments)
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout


class Clone:
    """One clone: what it acknowledged, and how much of that git was given."""

    def __init__(self, git: Git, path: Path, hub: Path) -> None:
        self.git, self.path, self.hub = git, path, hub
        self.branch = git.run(path, "branch", "--show-current").strip()
        self.side = ""  # another branch of git, once there is one
        self.is_aside = False  # the work tree is of that branch
        self.acknowledged: list[str] = []
        self.added_count = 0

    def say(self, *texts: str) -> None:
        with Tract.open(self.path, durability="fast", incomplete="use") as t:
            self.acknowledged += [t.commit(user(text)).commit_hash for text in texts]

    def pack(self, keep_loose: timedelta) -> int:
        """Packs; returns how many loose files were removed."""
        with Tract.open(self.path, durability="fast", incomplete="use") as t:
            return t.pack(keep_loose=keep_loose).packed_count

    def add(self) -> None:
        self.git.run(self.path, "add", "-A")
        self.added_count = len(self.acknowledged)

    def commit(self) -> None:
        self.add()
        self.git.run(self.path, "commit", "-q", "--allow-empty", "-m", "work")

    def clean(self) -> None:
        """Removes what git was not given, as the user asked, and nothing else."""
        with Tract.open(self.path, durability="fast", incomplete="use") as t:
            there = [commit for commit in self.acknowledged[: self.added_count] if is_there(t, commit)]
        self.git.run(self.path, "clean", "-ffdxq")
        with Tract.open(self.path, durability="fast", incomplete="use") as t:
            assert all(is_there(t, commit) for commit in there)
        del self.acknowledged[self.added_count :]

    def switch(self) -> None:
        """Goes to another branch of git, or back and joins it."""
        self.commit()
        if self.is_aside:
            self.git.run(self.path, "switch", "-q", self.branch)
        elif self.side:
            self.git.run(self.path, "merge", "-q", "--no-edit", self.side)
            self.side = ""
            return
        else:
            self.side = f"{self.path.name}-{len(self.acknowledged)}"
            self.git.run(self.path, "switch", "-q", "-C", self.side)
        self.is_aside = not self.is_aside

    def exchange(self, how: str) -> None:
        """Pulls from the hub, by merge or rebase, and pushes."""
        self.commit()
        self.git.run(self.path, "pull", "-q", "--no-edit", how, str(self.hub), "main")
        self.git.run(self.path, "push", "-q", str(self.hub), "HEAD:main")


def is_there(t: Tract, commit: str) -> bool:
    """Returns whether a commit can be read; it can't while the work tree is of another branch of git."""
    try:
        return t.get_content(commit) is not None
    except TractError:
        return False


def make_clones(git: Git, root: Path, chance: random.Random) -> list[Clone]:
    """A store of some turns in three clones: a full one, one that is shallow or partial, and a linked work tree of the first."""
    hub, first = root / "hub", root / "first"
    git.run(root, "init", "-q", "--bare", str(hub))
    git.run(root, "init", "-q", str(first))
    clones = [Clone(git, first, hub)]
    clones[0].say(
        "be brief", *TEXTS, *(f"turn {number}" for number in range(150))
    )  # so that directories have several files
    clones[0].commit()
    git.run(first, "push", "-q", str(hub), "HEAD:main")
    kind = chance.choice(("--depth=1", "--filter=blob:none", "--no-local"))
    git.run(root, "clone", "-q", kind, f"file://{hub}", str(root / "second"))
    git.run(first, "worktree", "add", "-q", str(root / "third"), "-b", "third")
    return clones + [Clone(git, root / name, hub) for name in ("second", "third")]


def run_history(root: Path, seed: int) -> Counter[str]:
    """Runs a random history; returns how often each step did something."""
    chance = random.Random(seed)
    git = Git(root)
    clones = make_clones(git, root, chance)
    counts: Counter[str] = Counter()
    for number in range(STEPS):
        clone = chance.choice(clones)
        step = chance.choice(
            ("say", "say", "pack", "pack", "pack", "commit", "exchange", "exchange", "add", "gc", "clean", "merge")
        )
        counts[step] += 1
        if step == "say":
            clone.say(*(chance.choice((*TEXTS, f"turn {number}.{turn}")) for turn in range(chance.choice((1, 3, 60)))))
        elif step == "pack":
            counts["removed"] += clone.pack(chance.choice((NOW, NOW, NOW, timedelta(hours=1))))
        elif step == "commit":
            clone.commit()
        elif step == "exchange":
            clone.exchange(chance.choice(("--no-rebase", "--rebase")))
        elif step == "add":
            clone.add()
        elif step == "gc":
            git.run(clone.path, "gc", "-q")
        elif step == "clean" and chance.random() < 0.5:
            clone.clean()
        elif step == "merge":
            with Tract.open(clone.path, durability="fast", incomplete="use") as t, suppress(TractError):
                t.merge()
        elif step == "switch":
            clone.switch()
    for clone in clones:
        while clone.side:
            clone.switch()
    for clone in [*clones, *clones]:
        clone.exchange("--no-rebase")
    acknowledged = [commit for clone in clones for commit in clone.acknowledged]
    assert len({frozenset(synced(clone.path)) for clone in clones}) == 1
    for clone in clones:
        with Tract.open(clone.path, read_only=True) as t:
            status = t.status()
            assert (status.pending, status.damaged, status.strays) == ((), (), ())
            texts = [t.get_content(commit) for commit in acknowledged]
            assert None not in texts
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(FEW))
def test_clones_that_pack_meet_no_conflict_and_lose_nothing(tmp_path: Path, seed: int) -> None:
    run_history(tmp_path, seed)


@pytest.mark.campaign
def test_many_clones_that_pack_meet_no_conflict_and_lose_nothing(tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    for seed in range(1000, 1000 + HISTORIES):
        root = tmp_path / str(seed)
        root.mkdir()
        counts += run_history(root, seed)
    print(f"{HISTORIES} histories:", dict(counts))
    assert counts["removed"] > HISTORIES
