"""Packing in git work trees: clones that all pack and go on, in any order with git's own commands, meet no conflict and lose nothing."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from tests.lab.states import store_root, synced
from tests.lab.stores import AT_ONCE
from tests.lab.talk import user
from tract_fs import ArtifactContent, Tract
from tract_fs.errors import TractError

pytestmark = pytest.mark.needs("git")

HISTORIES = int(os.environ.get("TRACT_GIT_PACK_HISTORIES", "100"))
FEW = 3
STEPS = 16
TEXTS = ("ok", "yes", "go on", "done", "no")


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
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False, timeout=240)

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
            [
                "say",
                "say",
                "pack",
                "pack",
                "pack",
                "commit",
                "exchange",
                "exchange",
                "add",
                "gc",
                "clean",
                "merge",
                "switch",
                "switch",
            ]
        )
        counts[step] += 1
        if step == "say":
            clone.say(*(chance.choice((*TEXTS, f"turn {number}.{turn}")) for turn in range(chance.choice((1, 3, 60)))))
        elif step == "pack":
            counts["removed"] += clone.pack(chance.choice((AT_ONCE, AT_ONCE, AT_ONCE, timedelta(hours=1))))
            if chance.random() < 0.7:
                clone.add()
                counts["removed"] += clone.pack(AT_ONCE)
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


# single rules


def make_repository(root: Path, count: int = 20) -> tuple[Git, Path]:
    """A store in a git work tree, with some turns of its own, all committed."""
    git, path = Git(root), root / "here"
    git.run(root, "init", "-q", str(path))
    with Tract.open(path, durability="fast") as t:
        for number in range(count):
            t.commit(user(f"turn {number}"))
    git.run(path, "add", "-A")
    git.run(path, "commit", "-qm", "begin")
    return git, path


def loose(path: Path) -> list[str]:
    return [name for name in synced(path) if name.startswith(("objects/", "events/"))]


def packs(path: Path) -> list[str]:
    return [name for name in synced(path) if name.startswith("packs/")]


def texts_at(path: Path) -> list[str]:
    with Tract.open(path) as t:
        return [str(message.content) for message in t.compile().messages]


def test_no_order_of_pack_and_clean_loses_anything(tmp_path: Path) -> None:
    git, path = make_repository(tmp_path)
    with Tract.open(path) as t:
        t.commit(user("not added"))
        before = loose(path)
        report = t.pack(keep_loose=AT_ONCE)
        assert (report.packed_count, report.waiting_count) == (0, 63)
        assert report.waiting == (
            "63 files stay until git tracks the packs that have their bytes: run 'git add .tract', later 'tract pack'",
        )
        assert t.status().superfluous == report.waiting
        assert t.pack(keep_loose=AT_ONCE).packs_written == ()
    assert loose(path) == before
    git.run(path, "clean", "-ffdxq")
    assert packs(path) == []
    assert texts_at(path) == [f"turn {number}" for number in range(20)]


def test_what_git_tracks_in_a_pack_is_removed_but_for_one_file_of_each_directory(tmp_path: Path) -> None:
    git, path = make_repository(tmp_path, 300)
    directories = {name.rpartition("/")[0] for name in loose(path)}
    with Tract.open(path) as t:
        t.pack()
        git.run(path, "add", ".tract")
        young = t.pack()
        assert young.waiting[0].startswith("900 files stay until 20")
        assert young.waiting[0].endswith("for copies that are being made: run 'tract pack' after that")
        report = t.pack(keep_loose=AT_ONCE)
        assert report.waiting == (
            f"{len(directories)} files stay, one in each directory, so that git takes no directory for renamed",
        )
    assert report.packed_count == 900 - len(directories)
    assert {name.rpartition("/")[0] for name in loose(path)} == directories
    assert len(loose(path)) == len(directories)
    git.run(path, "clean", "-ffdxq")
    assert texts_at(path) == [f"turn {number}" for number in range(300)]


def content_of(text: str) -> str:
    data = f'{{"content":{{"content_type":"dialogue","role":"user","text":"{text}"}}}}'.encode()
    return hashlib.sha256(data).hexdigest()


def test_git_takes_no_directory_of_the_fan_out_for_renamed(tmp_path: Path) -> None:
    """Where a directory has lost all files, one of them to a file that looks like it, git moves what others add to it."""
    git, path = make_repository(tmp_path)
    there = tmp_path / "there"
    git.run(tmp_path, "clone", "-q", str(path), str(there))
    with Tract.open(path) as t:
        t.pack(keep_loose=AT_ONCE)
        git.run(path, "add", "-A")
        t.pack(keep_loose=AT_ONCE)
        t.commit(user("turn 99"))
    git.run(path, "add", "-A")
    git.run(path, "commit", "-qm", "packed")
    fans = {content_of(f"turn {number}")[:2] for number in range(20)}
    texts = [f"words {number}" for number in range(2000) if content_of(f"words {number}")[:2] in fans]
    with Tract.open(there, durability="fast") as t:
        for text in texts[:60]:
            t.commit(user(text))
    git.run(there, "add", "-A")
    git.run(there, "commit", "-qm", "more")
    git.run(there, "pull", "-q", "--no-rebase", "--no-edit")
    assert content_of(texts[0])[:2] in {name.split("/")[1] for name in loose(there)}


def test_other_copies_files_are_neither_packed_nor_removed(tmp_path: Path) -> None:
    git, path = make_repository(tmp_path)
    git.run(tmp_path, "clone", "-q", str(path), str(tmp_path / "there"))
    there = tmp_path / "there"
    before = loose(there)
    with Tract.open(there) as t:
        t.commit(user("turn 3"))  # a text that the other copy has too
        report = t.pack(keep_loose=AT_ONCE)
        assert (report.written_bytes > 0, report.waiting_count) == (True, 2)
        assert report.waiting[1] == (
            "60 files were not written by this copy alone: the copies that wrote them pack them; "
            "if no other clone packs: 'tract pack --with-others'"
        )
        git.run(there, "add", ".tract")
        t.pack(keep_loose=AT_ONCE)
        assert set(before) < set(loose(there))
        assert t.pack(keep_loose=AT_ONCE, with_others=True).written_bytes > 0
        git.run(there, "add", ".tract")
        assert t.pack(keep_loose=AT_ONCE, with_others=True).packed_count > 0
        assert len(t.compile().messages) == 21


def test_own_small_packs_are_merged_and_those_of_others_stay(tmp_path: Path) -> None:
    git, path = make_repository(tmp_path, 3)
    there = tmp_path / "there"
    with Tract.open(path) as t:
        t.pack()
        git.run(path, "add", "-A")
        git.run(path, "commit", "-qm", "packed")
        (first,) = packs(path)
        git.run(tmp_path, "clone", "-q", str(path), str(there))
        for number in range(30):
            t.commit(user(f"more {number}"))
        t.pack(keep_loose=AT_ONCE)
        assert first in packs(path) and len(packs(path)) == 2
        git.run(path, "add", "-A")
        assert t.pack(keep_loose=AT_ONCE).packs_removed == (first.removeprefix("packs/"),)
    with Tract.open(there) as t:
        for number in range(30):
            t.commit(user(f"more {number}"))
        t.pack(keep_loose=AT_ONCE)
        git.run(there, "add", "-A")
        assert t.pack(keep_loose=AT_ONCE).packs_removed == ()
    assert first in packs(there)


def test_a_file_that_is_back_with_another_branch_stays_there(tmp_path: Path) -> None:
    git, path = make_repository(tmp_path, 300)
    git.run(path, "branch", "other")
    before = loose(path)
    for branch in ("main", "other"):
        git.run(path, "switch", "-q", branch)
        with Tract.open(path) as t:
            t.pack(keep_loose=AT_ONCE)
            git.run(path, "add", "-A")
            removed = t.pack(keep_loose=AT_ONCE).packed_count
        git.run(path, "add", "-A")
        git.run(path, "commit", "-qm", f"packed on {branch}")
        assert (removed > 0) == (branch == "main")
    assert loose(path) == before


def test_a_store_that_git_does_not_track_is_packed_as_any_other(tmp_path: Path) -> None:
    git, path = make_repository(tmp_path)
    git.run(path, "rm", "-rq", "--cached", ".tract")
    with Tract.open(path) as t:
        assert t.pack(keep_loose=AT_ONCE).packed_count == 60


def test_packs_in_a_work_tree_are_as_small_as_hosts_of_git_ask_for(tmp_path: Path) -> None:
    _, path = make_repository(tmp_path, 1)
    with Tract.open(path, durability="fast") as t:
        for number in range(12):
            t.commit(ArtifactContent(artifact_type="data", content=f"{number}" * 8_000_000))
        t.commit(ArtifactContent(artifact_type="data", content="x" * 30_000_000))
        report = t.pack()
        sizes = [(store_root(path) / name).stat().st_size for name in packs(path)]
        assert (len(sizes), max(sizes) <= 45_000_000) == (3, True)
        assert [line.partition(": ")[2] for line in report.left] == [
            "30000075 bytes, over half of the largest size of a pack"
        ]
        t.pack(max_size=20_000_000)
        assert packs(path) and t.pack(max_size=20_000_000).packs_written == ()


def test_a_join_that_stopped_in_a_store_of_an_earlier_version_is_named_with_its_end(tmp_path: Path) -> None:
    git, path = make_repository(tmp_path, 6)
    git.run(path, "branch", "other")
    for branch in ("other", "main"):
        git.run(path, "switch", "-q", branch)
        contents = [name for name, data in synced(path).items() if b'"text":"turn' in data]
        with Tract.open(path) as t:
            t.commit(user(f"turn {branch}"))
        for name in contents:
            (store_root(path) / name).unlink()
        git.run(path, "add", "-A")
        git.run(path, "commit", "-qm", branch)
    assert git.attempt(path, "merge", "other").returncode == 1
    with Tract.open(path, incomplete="use") as t:
        status = t.status()
        assert status.stopped_join == "merge"
        advice = [line for line in status.advice if "git stopped" in line]
        assert advice == [
            "git stopped a merge because it took new files for renamed ones; each file is whole: "
            "run 'git add .', then 'git commit --no-edit'"
        ]
        git.run(path, "add", ".")
        git.run(path, "commit", "-q", "--no-edit")
        assert t.status().stopped_join == ""


def test_temporary_files_are_out_of_sight_of_git(tmp_path: Path) -> None:
    git, path = make_repository(tmp_path, 1)
    (store_root(path) / "packs").mkdir()
    for name in (".tract/packs/.new.1.0a0a0a0a.1", ".tract/objects/.new.1.0a0a0a0a.2"):
        (path / name).write_bytes(b"x")
    assert git.run(path, "status", "--porcelain") == ""
