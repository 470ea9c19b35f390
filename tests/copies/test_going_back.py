"""Going back: events that went as a whole. Where git moved HEAD, that explains it, in silence; else the branch is incomplete until it is accepted."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.command import TRACT
from tests.lab.power import in_next_boot
from tests.lab.states import event_files, list_always, list_never, own_place, put, store_root, synced
from tests.lab.talk import START_US, Clock, say, texts, user
from tract_fs import Tract
from tract_fs.errors import HeadMoved, HistoryIncomplete

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}
SETTINGS = ("user.name=Ann", "user.email=ann@example.org", "core.fsync=none", "gc.auto=0", "advice.detachedHead=false")


def git(path: Path, *arguments: str) -> str:
    settings = [part for setting in SETTINGS for part in ("-c", setting)]
    command = ["git", "-C", str(path), *settings, *arguments]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def record(path: Path) -> None:
    git(path, "add", ".")
    git(path, "commit", "-qm", "work")


def add(path: Path, *said: str) -> None:
    with Tract.open(path, durability="fast") as t:
        say(t, *said)


def lose(path: Path, before: dict[str, bytes]) -> dict[str, bytes]:
    """Removes all files that came since `before`, and returns them."""
    lost = {name: data for name, data in synced(path).items() if name not in before}
    for name in lost:
        (store_root(path) / name).unlink()
    return lost


def bring_back(path: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        put(store_root(path) / name, data)


class Work:
    """A git work tree with a store that git tracks, and a handle that is open all the while."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        git(path, "init", "-q", "-b", "main")
        add(path, "begin")
        record(path)
        self.handle = Tract.open(path, durability="fast")

    def require(self, *expected: str, gone: int) -> None:
        """Checks that the handle and new ones show a context without a warning, and that status lists what went with git's checkout."""
        for _ in range(2):
            with Tract.open(self.path) as t, Tract.open(self.path, read_only=True) as reader:
                for one in (self.handle, t, reader):
                    assert texts(one) == list(expected)
                    assert (one.compile().warnings, one.incomplete()) == ([], None)
                    status = one.status()
                    assert (len(status.gone), status.lost, status.pending) == (gone, (), ())
                    assert list(status.explained.values()) == ["git took it away"] * gone
                    assert any("went with git's checkout" in line for line in status.advice) == bool(gone)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    list_always(monkeypatch)
    made = Work(tmp_path / "work")
    with made.handle:
        yield made


@pytest.mark.needs("git")
def test_ten_switches_between_two_branches_show_the_context_of_each(work: Work) -> None:
    git(work.path, "branch", "side")
    said: dict[str, list[str]] = {"main": ["begin"], "side": ["begin"]}
    for number in range(10):
        branch, other = ("side", "main") if number % 2 == 0 else ("main", "side")
        git(work.path, "switch", "-q", branch)
        work.require(*said[branch], gone=len(said[other]) - 1)
        said[branch].append(f"{branch} {number}")
        if number % 3:
            add(work.path, said[branch][-1])
        else:
            say(work.handle, said[branch][-1])
            work.handle.flush()
        record(work.path)
    git(work.path, "merge", "-q", "--no-edit", "side")
    assert work.handle.status().gone == ()
    assert len(work.handle.branches()["main"]) == 2
    with Tract.open(work.path) as t:
        t.merge()
    both = [*said["main"], *said["side"][1:]]
    assert sorted(texts(work.handle)) == sorted(both)
    joined = texts(work.handle)
    record(work.path)
    git(work.path, "switch", "-q", "side")
    work.require(*said["side"], gone=6)
    git(work.path, "switch", "-q", "main")
    work.require(*joined, gone=0)


@pytest.mark.needs("git")
@pytest.mark.parametrize("is_read_only", [False, True])
def test_a_handle_alone_follows_each_switch(work: Work, is_read_only: bool) -> None:
    git(work.path, "branch", "side")
    add(work.path, "on main")
    record(work.path)
    work.handle.close()
    with Tract.open(work.path, read_only=is_read_only) as t:
        for _ in range(3):
            for branch, expected in (("side", ["begin"]), ("main", ["begin", "on main"])):
                git(work.path, "switch", "-q", branch)
                assert (texts(t), t.compile().warnings) == (expected, [])


@pytest.mark.needs("git")
def test_an_old_commit_a_reset_a_stash_and_a_bisect_go_back_and_come_back(work: Work) -> None:
    for text in ("one", "two", "three"):
        add(work.path, text)
        record(work.path)
    everything = ("begin", "one", "two", "three")
    git(work.path, "checkout", "-q", "HEAD~2")
    work.require("begin", "one", gone=2)
    git(work.path, "switch", "-q", "main")
    work.require(*everything, gone=0)
    git(work.path, "reset", "-q", "--hard", "HEAD~1")
    work.require(*everything[:3], gone=1)
    git(work.path, "reset", "-q", "--hard", "ORIG_HEAD")
    work.require(*everything, gone=0)
    git(work.path, "bisect", "start", "HEAD", "HEAD~3")
    work.require("begin", "one", "two", gone=1)
    git(work.path, "bisect", "bad")
    work.require("begin", "one", gone=2)
    git(work.path, "bisect", "reset")
    work.require(*everything, gone=0)
    add(work.path, "four")
    for way in ("staged", "untracked"):
        if way == "staged":
            git(work.path, "add", ".")
        git(work.path, "stash", "-q", "-u")
        work.require(*everything, gone=1)
        git(work.path, "pack-refs", "--all")
        git(work.path, "stash", "pop", "-q")
        work.require(*everything, "four", gone=0)
        git(work.path, "reset", "-q")


@pytest.mark.needs("git")
@pytest.mark.parametrize("has_reflog", [True, False])
def test_a_linked_work_tree_with_packed_refs_goes_back_too(tmp_path: Path, has_reflog: bool) -> None:
    top = tmp_path / "top"
    top.mkdir()
    git(top, "init", "-q", "-b", "main")
    git(top, "config", "core.logAllRefUpdates", str(has_reflog).lower())
    add(top, "begin")
    record(top)
    git(top, "worktree", "add", "-q", "../linked", "-b", "side")
    linked = tmp_path / "linked"
    add(linked, "one")
    record(linked)
    git(top, "pack-refs", "--all")
    open_tract = Tract.open(linked)
    with open_tract as t:
        assert texts(t) == ["begin", "one"]
    git(linked, "checkout", "-q", "HEAD~1")
    with Tract.open(linked) as t:
        assert (texts(t), t.compile().warnings, len(t.status().gone)) == (["begin"], [], 1)
    add(top, "top")  # where HEAD did not move
    lost = event_files(top)[1]
    (store_root(top) / lost).unlink()
    with Tract.open(top) as t:
        assert t.incomplete() is not None


@pytest.mark.needs("git")
def test_what_git_did_not_take_is_missed_though_head_moved(work: Work) -> None:
    """git's index still has the files: nothing that git did removed them."""
    before = synced(work.path)
    add(work.path, "tracked")
    record(work.path)
    lose(work.path, before)
    for t in (work.handle, Tract.open(work.path)):
        with t, pytest.raises(HistoryIncomplete) as caught:
            t.compile()
        assert "tract repair --accept" in str(caught.value)
    git(work.path, "checkout", "--", ".tract")
    with Tract.open(work.path) as t:
        assert (texts(t), t.compile().warnings) == (["begin", "tracked"], [])


@pytest.mark.needs("git")
def test_a_repository_that_does_not_track_the_store_explains_nothing(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text(".tract\n")
    add(tmp_path, "one")
    before = synced(tmp_path)
    add(tmp_path, "two")
    record(tmp_path)
    lose(tmp_path, before)
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "HEAD moves")
    with Tract.open(tmp_path) as t, pytest.raises(HistoryIncomplete):
        t.compile()


@pytest.mark.needs("git")
def test_what_stays_untracked_is_shown_on_the_other_branch_or_named_with_what_it_builds_on(work: Work) -> None:
    git(work.path, "switch", "-q", "-c", "side")
    git(work.path, "switch", "-q", "main")
    add(work.path, "untracked")
    git(work.path, "switch", "-q", "side")
    work.require("begin", "untracked", gone=0)
    record(work.path)
    add(work.path, "builds on it")
    git(work.path, "switch", "-q", "main")
    for t in (work.handle, Tract.open(work.path)):
        with pytest.raises(HistoryIncomplete) as caught:
            t.compile()
        assert "'git switch' back and 'git add' it" in str(caught.value)
        assert len(caught.value.commits) == 1
        with pytest.raises(HistoryIncomplete):
            t.commit(user("on top of less"))
    git(work.path, "switch", "-q", "side")
    work.require("begin", "untracked", "builds on it", gone=0)


@pytest.mark.needs("git")
def test_a_commit_right_after_a_switch_is_not_made_on_a_context_that_nobody_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the handle lists the store by itself."""
    list_never(monkeypatch)
    made = Work(tmp_path / "work")
    git(made.path, "branch", "side")
    with made.handle as t:
        say(t, "on main")
        record(made.path)
        git(made.path, "switch", "-q", "side")
        with pytest.raises(HeadMoved):
            t.commit(user("meant for main"))
        say(t, "on side")
        assert texts(t) == ["begin", "on side"]


# nothing explains it


def go_back(path: Path) -> dict[str, bytes]:
    """Makes a store of three commits, takes the last two away, file by file, and returns the files."""
    with Tract.open(path, clock=Clock(), durability="fast") as t:
        say(t, "one")
        before = synced(path)
        say(t, "two", "three")
    return lose(path, before)


def test_a_going_back_that_nothing_explains_is_incomplete_until_it_is_accepted(path: Path) -> None:
    lost = go_back(path)
    for _ in range(2):
        with Tract.open(path) as t:
            for call in (t.compile, lambda: t.commit(user("on top of less"))):
                with pytest.raises(HistoryIncomplete) as caught:
                    call()
                assert len(caught.value.lost) == 2
                assert "tract repair --accept" in str(caught.value)
            assert (len(t.status().lost), t.status().explained) == (2, {})
            assert [info.content_type for info in t.log()] == ["dialogue"]
    with Tract.open(path, durability="fast") as still_open:
        assert still_open.incomplete() is not None
        done = subprocess.run(
            [*TRACT, "repair", "--accept", "-C", str(path)], capture_output=True, text=True, check=True
        )
        assert "accepted" in done.stdout
        still_open.refresh()
        for _ in range(2):
            with Tract.open(path, clock=Clock(START_US + 10**9), durability="fast") as fresh:
                for t in (fresh, still_open):
                    assert (texts(t), t.compile().warnings, t.status().advice) == (["one"], [], ())
        say(still_open, "on")
    bring_back(path, lost)
    with Tract.open(path) as t:
        t.refresh()
        assert (texts(t), t.status().gone) == (["one", "on"], ())
        assert len(t.branches()["main"]) == 2


def test_what_comes_back_ends_it(path: Path) -> None:
    lost = go_back(path)
    with Tract.open(path) as t:
        assert t.incomplete() is not None
        bring_back(path, lost)
        t.refresh()
        assert (texts(t), t.incomplete(), t.status().advice) == (["one", "two", "three"], None, ())


def test_a_handle_that_uses_what_there_is_goes_on_from_there(path: Path) -> None:
    lost = go_back(path)
    with Tract.open(path, incomplete="use", clock=Clock(START_US + 10**9)) as t:
        assert texts(t) == ["one"]
        assert "is incomplete" in t.compile().warnings[0]
        say(t, "instead")
    for _ in range(2):
        with Tract.open(path) as t:
            assert (texts(t), t.compile().warnings) == (["one", "instead"], [])
    bring_back(path, lost)
    with Tract.open(path) as t:
        t.refresh()
        assert texts(t) == ["one", "instead"]
        assert len(t.branches()["main"]) == 2


def test_another_branch_goes_on(path: Path) -> None:
    with Tract.open(path, clock=Clock(), durability="fast") as t:
        say(t, "one")
        t.branch("side")
        before = synced(path)
        say(t, "two")
    lose(path, before)
    with Tract.open(path, branch="side") as t:
        assert (texts(t), t.incomplete()) == (["one"], None)
        say(t, "on side")
    with Tract.open(path) as t:
        assert t.incomplete() is not None


@pytest.mark.parametrize("durability", ["fast", "durable"])
def test_a_power_cut_explains_what_was_never_durable(path: Path, durability: str) -> None:
    with Tract.open(path, clock=Clock(), durability=durability) as t:  # type: ignore[arg-type]
        say(t, "one")
        before = synced(path)
        say(t, "two")
    lose(path, before)
    for log in own_place(path).glob("redo*"):
        log.unlink()
    with in_next_boot():
        for _ in range(2):
            with Tract.open(path) as t:
                assert (t.incomplete() is None) == (durability == "fast")
                assert list(t.status().explained.values()) == ["a power cut took it away"] * (durability == "fast")


def test_events_that_a_removed_local_directory_knew_are_not_missed(path: Path) -> None:
    lost = go_back(path)
    for place in list((store_root(path) / "local").iterdir()):
        place.rename(path / "moved")
    with Tract.open(path) as t:
        assert (texts(t), t.compile().warnings, t.status().gone) == (["one"], [], ())
    bring_back(path, lost)


@pytest.mark.parametrize("call", ["log", "get_commit", "get_content", "query"])
def test_an_answer_from_a_cache_is_looked_at_again_before_a_file_counts_as_missing(path: Path, call: str) -> None:
    with Tract.open(path, clock=Clock(), durability="fast") as t:
        say(t, "one")
        before = synced(path)
        last = t.commit(user("two"), generation_config={"n": 1}).commit_hash
        reader = Tract.open(path)
        reader.compile()
        lose(path, before)
        reader._session.store.forget()
        with reader:
            if call == "log":
                assert [reader.get_content(info.commit_hash).text for info in reader.log()] == ["one"]
            elif call == "get_commit":
                assert reader.get_commit(last) is None
            elif call == "query":
                assert reader.query_by_config("n", "=", 1) == []
            else:
                with pytest.raises(LookupError):
                    reader.get_content(last)
