"""The outer repository: which git directory a store's directory belongs to, and which paths its index has, in repositories that git made."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.lab.outer_git import attempt_git, git, git_commit
from tract_fs.store import outer_git
from tract_fs.store.outer_git import (
    TrackedStore,
    checkout_state,
    common_directory,
    git_directory,
    head_of,
    index_names,
    is_at_work,
    names_of_index,
    outer_repository,
)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository with the files `a/FORMAT` and `a/b/FORMAT`, both committed."""
    top = tmp_path / "top"
    (top / "a/b").mkdir(parents=True)
    (top / "a/FORMAT").write_text("one\n")
    (top / "a/b/FORMAT").write_text("two\n")
    git(top, "init", "-q")
    git_commit(top)
    return top


@pytest.mark.needs("git")
def test_the_git_directory_is_found_from_the_top_and_from_below(top: Path) -> None:
    assert git_directory(str(top)) == f"{top}/.git"
    assert outer_repository(str(top / "a/b/not/made/yet")) == (str(top), f"{top}/.git")
    assert git_directory(str(top.parent)) is None


@pytest.mark.needs("git")
def test_a_linked_work_tree_has_its_own_git_directory_and_a_common_one(top: Path) -> None:
    git(top, "worktree", "add", "-q", "../linked")
    found = outer_repository(str(top.parent / "linked/a"))
    assert found == (f"{top.parent}/linked", f"{top}/.git/worktrees/linked")
    assert os.path.realpath(common_directory(found.git_directory)) == f"{top}/.git"
    assert common_directory(f"{top}/.git") == f"{top}/.git"


@pytest.mark.needs("git")
def test_a_submodule_belongs_to_its_own_repository(top: Path) -> None:
    git(top, "submodule", "add", "-q", str(top), "inner")
    assert outer_repository(str(top / "inner/a")) == (f"{top}/inner", f"{top}/.git/modules/inner")


def test_what_leads_to_no_git_directory_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "empty/.git").mkdir(parents=True)
    (tmp_path / "named").mkdir()
    for text in ("", "gitdir: ", "gitdir: gone\n", "gitdir: a\0b\n", "elsewhere\n", "gitdir: " + "x" * 5000):
        (tmp_path / "named/.git").write_text(text)
        assert git_directory(str(tmp_path / "named")) is None
    assert git_directory(str(tmp_path / "empty")) is None


@pytest.mark.needs("git")
def test_the_index_shows_which_paths_git_tracks(top: Path) -> None:
    (top / "a/new").write_text("three\n")
    assert index_names(f"{top}/.git", b"a/b/FORMAT\0") is True
    assert index_names(f"{top}/.git", b"a/new\0", b"a/FORMAT\0") is True
    assert index_names(f"{top}/.git", b"a/new\0") is False


@pytest.mark.needs("git")
def test_an_index_with_shortened_paths_is_read_path_by_path(top: Path) -> None:
    (top / "a/new").write_text("three\n")
    git(top, "update-index", "--index-version", "4")
    assert index_names(f"{top}/.git", b"a/new\0") is False
    assert index_names(f"{top}/.git", b"a/new\0", b"b/FORMAT\0") is True
    git(top, "add", "--intent-to-add", "a/new")  # with flags of a later form
    assert index_names(f"{top}/.git", b"a/new\0") is True


@pytest.mark.needs("git")
def test_an_index_that_is_split_answers_nothing_about_others(top: Path) -> None:
    git(top, "update-index", "--split-index")
    assert index_names(f"{top}/.git", b"a/new\0") is None


@pytest.mark.needs("git")
def test_the_index_of_a_repository_with_longer_hashes_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/FORMAT").write_text("one\n")
    git(tmp_path, "init", "-q", "--object-format=sha256")
    git(tmp_path, "add", ".")
    git(tmp_path, "update-index", "--index-version", "4")
    assert index_names(f"{tmp_path}/.git", b"a/FORMAT\0") is True


@pytest.mark.parametrize("version", [2, 4, 5])
def test_an_index_that_is_cut_or_altered_is_unknown(tmp_path: Path, version: int) -> None:
    entry = bytes(62) + (b"\0" if version == 4 else b"") + b"a/FORMAT\0" + bytes(8)
    head = b"DIRC" + version.to_bytes(4, "big")
    for count, rest in (
        (2, entry),
        (1, entry[:70]),
        (2**32 - 1, entry * 3),
        (1, bytes(62) + b"\x05a\0"),
        (1, bytes(62) + b"\xff" * 20),
    ):
        (tmp_path / "index").write_bytes(head + count.to_bytes(4, "big") + rest)
        (tmp_path / "MERGE_HEAD").touch()
        assert TrackedStore(str(tmp_path), "a").stopped_join() == ""
        assert version == 2 or index_names(str(tmp_path), b"a/new\0") is None


@pytest.mark.needs("git")
@pytest.mark.parametrize("join", ["merge", "rebase"])
def test_a_join_that_stopped_with_conflicts_in_a_directory_is_seen(top: Path, join: str) -> None:
    git(top, "checkout", "-q", "-b", "other")
    for branch, text in (("other", "x"), ("main", "y")):
        git(top, "checkout", "-q", branch)
        (top / "a/FORMAT").write_text(text)
        git(top, "commit", "-qam", text)
    assert TrackedStore(f"{top}/.git", "a").stopped_join() == ""
    attempt_git(top, join, "other")
    assert TrackedStore(f"{top}/.git", "a").stopped_join() == join
    assert TrackedStore(f"{top}/.git", "a/b").stopped_join() == ""
    git(top, "add", ".")
    assert TrackedStore(f"{top}/.git", "a").stopped_join() == ""  # nothing is left to settle but the commit


def test_an_index_that_is_missing_names_nothing_and_a_damaged_one_is_unknown(tmp_path: Path) -> None:
    assert index_names(str(tmp_path), b"a/FORMAT\0") is False
    (tmp_path / "index").write_bytes(b"no index with a/FORMAT\0")
    assert index_names(str(tmp_path), b"a/FORMAT\0") is None


@pytest.mark.needs("git")
def test_the_state_of_a_checkout_changes_whenever_git_moves_head_or_the_stash(top: Path) -> None:
    seen: list[str] = []
    for arguments in (
        ["branch", "side"],
        ["switch", "-q", "side"],
        ["switch", "-q", "-"],
        ["commit", "-q", "--allow-empty", "-m", "one"],
        ["reset", "-q", "--hard", "HEAD~1"],
        ["checkout", "-q", "--detach"],
        ["switch", "-q", "side"],
    ):
        git(top, *arguments)
        seen.append(checkout_state(f"{top}/.git"))
    (top / "a/FORMAT").write_text("changed\n")
    for arguments in (["stash", "-q"], ["stash", "pop", "-q"]):
        git(top, *arguments)
        seen.append(checkout_state(f"{top}/.git"))
    assert len(set(seen)) == len(seen) == 9
    for arguments in (["add", "."], ["status"], ["pack-refs", "--all"], ["branch", "other"]):
        git(top, *arguments)
        assert checkout_state(f"{top}/.git") == seen[-1]
    assert head_of(f"{top}/.git") == "ref: refs/heads/side"


def test_no_path_is_made_of_a_ref_that_leads_elsewhere(tmp_path: Path) -> None:
    made = tmp_path / "git"
    (made / "refs").mkdir(parents=True)
    states = set()
    for text in ("one", "two"):
        (tmp_path / "secret").write_text(text)
        (made / "HEAD").write_text("ref: refs/../../secret\n")
        states.add(checkout_state(str(made)))
    assert len(states) == 1
    (made / "HEAD").write_bytes(b"x" * 5000)
    os.mkfifo(made / "packed-refs")
    assert head_of(str(made)) == ""
    assert len(checkout_state(str(made))) == 64


@pytest.mark.needs("git")
def test_git_is_at_work_while_its_index_is_locked_or_fresh(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git_directory = top / ".git"
    written_ns = (git_directory / "index").stat().st_mtime_ns
    monkeypatch.setattr(outer_git, "time", SimpleNamespace(time_ns=lambda: written_ns + 1_900_000_000))
    assert is_at_work(str(git_directory))
    os.utime(git_directory / "index", (1, 1))
    assert not is_at_work(str(git_directory))
    (git_directory / "index.lock").touch()
    assert is_at_work(str(git_directory))


@pytest.mark.needs("git")
def test_which_files_of_a_store_the_index_has(top: Path) -> None:
    found = outer_repository(str(top))
    assert found is not None
    assert names_of_index(found, f"{top}/a", {"b/FORMAT", "events/x"}) == {"b/FORMAT"}
    assert names_of_index(found, f"{top}/a", {"events/x"}) == set()
    assert names_of_index(found, f"{top}/untracked", {"events/x"}) == {"events/x"}  # git has no part in it
