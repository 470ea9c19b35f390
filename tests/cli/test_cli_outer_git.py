"""The outer repository: what `tract` says where git ignores the store, or has it and did not check it out. No second root is made."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.lab.command import Run, commit
from tests.lab.outer_git import attempt_git, git, git_commit
from tests.lab.talk import say, texts
from tract_fs import Tract
from tract_fs.errors import FormatMissing, StoreNotCheckedOut, StoreNotFound

pytestmark = pytest.mark.needs("git")

LEFT_OUT = {
    "cone": ["set", "--cone", "src"],
    "patterns": ["set", "--no-cone", "/src/"],
    "sparse index": ["set", "--cone", "--sparse-index", "src"],
}


@pytest.fixture
def clone(tmp_path: Path, run: Run) -> Path:
    """A clone of a repository that has a store and a directory `src`; the current directory."""
    origin = tmp_path / "origin"
    (origin / "src").mkdir(parents=True)
    (origin / "src/code").write_text("x\n")
    with Tract.open(origin) as t:
        say(t, "one")
    git(origin, "init", "-q")
    git_commit(origin)
    git(tmp_path, "clone", "-q", "origin", "clone")
    return tmp_path / "clone"


def test_init_and_status_name_the_rule_that_ignores_the_store_and_the_line_that_mends_it(run: Run) -> None:
    git(Path(), "init", "-q")
    Path(".gitignore").write_text(".*\n")
    warning = (
        "warning: git ignores .tract by the rule '.*' in .gitignore, so 'git add' takes nothing of this store; if git is to "
        "have it, add at the end of .gitignore: '!/.tract/'\n"
    )
    assert run("init").err == warning
    commit(run, "-m", "one")
    assert run("status").err == warning
    git(Path(), "add", ".")
    assert git(Path(), "ls-files") == ""
    with Path(".gitignore").open("a") as rules:
        rules.write("!/.tract/\n")
    assert (run("init").err, run("status").err) == ("", "")
    git(Path(), "add", ".")
    assert ".tract/FORMAT" in git(Path(), "ls-files")


@pytest.mark.parametrize("how", sorted(LEFT_OUT))
def test_a_sparse_checkout_without_the_store_gets_no_second_one(
    clone: Path, run: Run, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    git(clone, "sparse-checkout", *LEFT_OUT[how])
    assert not (clone / ".tract").exists()
    command = ["-C", str(clone), "sparse-checkout", "add", ".tract"]
    message = (
        f"{clone}: git has a store here that is not checked out; 'git {' '.join(command)}' brings it back. To begin another "
        "one, remove this one from git first (git rm -r --cached); nothing was written"
    )
    for call in (Tract.open, Tract.tracts, lambda path: Tract.open(path, create=False)):
        with pytest.raises(StoreNotCheckedOut) as refused:
            call(clone)
        assert str(refused.value) == message
    monkeypatch.chdir(clone / "src")
    for arguments in (["log"], ["commit", "-m", "x"], ["-C", "..", "init"]):
        done = run(*arguments)
        assert (done.code, done.out, done.err) == (1, "", f"tract: {message}\n")
    assert not (clone / ".tract").exists()
    git(Path(), *command)
    assert run("commit", "-m", "two").code == 0
    with Tract.open(clone) as t:
        assert texts(t) == ["one", "two"]


def test_a_store_whose_files_were_removed_comes_back_with_the_command_of_the_error(clone: Path) -> None:
    shutil.rmtree(clone / ".tract")
    with pytest.raises(StoreNotCheckedOut) as refused:
        Tract.open(clone)
    assert refused.value.command == f"git -C {clone} checkout -- .tract"
    git(Path(), *refused.value.command.split()[1:])
    with Tract.open(clone) as t:
        assert texts(t) == ["one"]


def test_a_store_that_git_does_not_have_is_made(clone: Path, run: Run) -> None:
    git(clone, "sparse-checkout", "set", "--cone", "src")
    assert run("-C", str(clone / "src"), "init").code == 0  # another place than that of the store that is left out
    git(clone, "switch", "-q", "--orphan", "empty")
    assert run("-C", str(clone), "init").code == 0
    shutil.rmtree(clone / ".tract")
    git(clone, "switch", "-q", "main")
    git(clone, "sparse-checkout", "disable")
    git(clone, "rm", "-rq", "--cached", ".tract")
    shutil.rmtree(clone / ".tract")
    assert run("-C", str(clone), "init").code == 0


def test_an_index_that_shows_nothing_stops_nobody(clone: Path) -> None:
    shutil.rmtree(clone / ".tract")
    (clone / ".git/index").write_bytes(b"DIRC")
    with pytest.raises(StoreNotFound) as missing:
        Tract.open(clone, create=False)
    assert type(missing.value) is StoreNotFound
    Tract.open(clone).close()


def test_a_part_of_a_store_is_still_answered_with_what_is_missing(clone: Path) -> None:
    (clone / ".tract/FORMAT").unlink()
    with pytest.raises(FormatMissing):
        Tract.open(clone)


def test_the_command_of_the_guide_ends_a_pull_that_untracked_files_stop(tmp_path: Path) -> None:
    """Both clones joined the same heads, and wrote the same files; one of them had not committed its own to git."""
    one, two = tmp_path / "one", tmp_path / "two"
    with Tract.open(one) as t:
        say(t, "begin")
    git(one, "init", "-q")
    git_commit(one)
    git(tmp_path, "clone", "-q", "one", "two")
    for path, text in ((one, "here"), (two, "there")):
        with Tract.open(path) as t:
            say(t, text)
        git_commit(path)
    git(two, "pull", "-q", "--no-rebase", "../one", "main")
    git(one, "pull", "-q", "--no-rebase", "../two", "main")
    for path in (one, two):
        with Tract.open(path) as t:
            t.merge()
    git_commit(one)
    stopped = attempt_git(two, "pull", "--no-rebase", "../one", "main")
    assert (stopped.returncode, "untracked working tree files would be overwritten" in stopped.stderr) == (1, True)
    git(two, "add", ".tract")
    git(two, "commit", "-qm", "context")
    git(two, "pull", "-q", "--no-rebase", "../one", "main")
    assert git(two, "status", "--porcelain") == ""
    contexts = []
    for path in (one, two):
        with Tract.open(path) as t:
            contexts.append(texts(t))
            assert t.other_heads() is None
    assert contexts[0] == contexts[1]
    assert sorted(contexts[0]) == ["begin", "here", "there"]
