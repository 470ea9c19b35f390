"""Several heads after git took files away and brought them back: this copy's own commits that its context leaves out are counted where the agent looks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.command import Run
from tests.lab.outer_git import git, git_commit
from tests.lab.talk import say, texts
from tract_fs import Tract

pytestmark = pytest.mark.needs("git")

TWO_OWN = (
    "branch 'main' has 2 heads; this context leaves out 2 commits of the other, 2 of them this copy's own (this copy goes on "
    "with the line that it moved last, though another has more of the commits that it made); 'tract merge' joins them"
)


def commit_meanwhile(path: Path) -> None:
    with Tract.open(path) as t:
        say(t, "meanwhile")


def by_checkout(path: Path) -> None:
    git_commit(path)
    git(path, "checkout", "-q", "HEAD~1")
    commit_meanwhile(path)
    git(path, "checkout", "-q", "main")


def by_stash(path: Path) -> None:
    git(path, "stash", "-qu")
    commit_meanwhile(path)
    git(path, "stash", "pop", "-q")


def by_revert(path: Path) -> None:
    git_commit(path)
    git(path, "revert", "--no-edit", "HEAD")
    commit_meanwhile(path)
    git_commit(path)
    git(path, "revert", "--no-edit", "HEAD~1")


@pytest.fixture(params=[by_checkout, by_stash, by_revert])
def left_out(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A store whose messages "four" and "five" git took away and brought back, with a commit between."""
    take_and_bring: Callable[[Path], None] = request.param
    git(tmp_path, "init", "-q")
    with Tract.open(tmp_path) as t:
        say(t, "one", "two", "three")
    git_commit(tmp_path)
    with Tract.open(tmp_path) as t:
        say(t, "four", "five")
    take_and_bring(tmp_path)
    return tmp_path


def test_own_commits_that_came_back_are_counted_in_the_warnings(left_out: Path) -> None:
    with Tract.open(left_out) as t:
        assert texts(t) == ["one", "two", "three", "meanwhile"]
        assert t.compile().warnings == [TWO_OWN]
        t.merge()
        assert sorted(texts(t)) == ["five", "four", "meanwhile", "one", "three", "two"]
        assert t.compile().warnings == []


def test_log_commit_and_status_say_so_too(left_out: Path, run: Run) -> None:
    assert left_out == Path.cwd()
    warning = f"warning: {TWO_OWN}\n"
    assert [run(command).err for command in ("compile", "log", "status")] == [warning] * 3
    assert run("log", "--json").err == warning
    said = run("commit", "-m", "on")
    # Now both lines have two of this copy's own commits.
    even = TWO_OWN[: TWO_OWN.index(" (this")] + "; 'tract merge' joins them"
    assert (said.code, said.err) == (0, f"warning: {even}\n")
    assert run("commit", "-m", "and on", "--json").document["warnings"] == [even]
    assert run("annotate", "@", "pinned", "--json").document["warnings"] == [even]
