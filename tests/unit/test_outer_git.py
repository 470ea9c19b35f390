"""The outer repository: which git directory a store's directory belongs to, and which paths its index has, in repositories that git made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.lab.outer_git import git, git_commit
from tract_fs.store.outer_git import common_directory, git_directory, index_names, outer_repository


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
@pytest.mark.parametrize("how", [["--index-version", "4"], ["--split-index"]])
def test_an_index_that_does_not_have_each_path_whole_answers_nothing_about_others(top: Path, how: list[str]) -> None:
    git(top, "update-index", *how)
    assert index_names(f"{top}/.git", b"a/new\0") is None


def test_an_index_that_is_missing_names_nothing_and_a_damaged_one_is_unknown(tmp_path: Path) -> None:
    assert index_names(str(tmp_path), b"a/FORMAT\0") is False
    (tmp_path / "index").write_bytes(b"no index with a/FORMAT\0")
    assert index_names(str(tmp_path), b"a/FORMAT\0") is None
