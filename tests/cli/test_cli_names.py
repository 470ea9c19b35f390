"""Nothing is made unasked: --tract and --branch name what exists, and making one is said; confusing names are noted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.command import Run, commit, head_file, refused, shown_texts, write
from tract_fs import Tract
from tract_fs.errors import BranchNotFound, StoreNotFound, TractNotFound

MESSAGE = [{"role": "user", "content": "x"}]


@pytest.mark.parametrize(
    "arguments",
    [
        ["commit", "-m", "x"],
        ["import", "talk.json"],
        ["cherry-pick", "main"],
        ["merge", "main"],
        ["annotate", "main", "skip"],
        ["edit", "main", "-m", "x"],
        ["summarize", "main", "-m", "x"],
        ["fork", "sub"],
        ["log"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_misspelled_branch_or_tract_makes_nothing(store: Run, arguments: list[str]) -> None:
    commit(store, "-m", "one")
    write("talk.json", MESSAGE)
    said = refused(store, *arguments, "--branch", "mian", error="BranchNotFound")
    assert "tract 'default' has no branch 'mian' (did you mean 'main'?); there are: main; " in said
    said = refused(store, *arguments, "--tract", "defualt", error="CommandError")
    assert "no tract 'defualt' in this store (did you mean 'default'?); there are: default; " in said


def test_a_branch_is_made_when_that_is_said(store: Run) -> None:
    commit(store, "-m", "one")
    commit(store, "--branch", "new", "-c", "-m", "two")
    assert shown_texts(store, "--branch", "new") == ["two"]
    assert store("import", write("talk.json", MESSAGE), "--branch", "other", "--create").code == 0
    assert shown_texts(store, "--branch", "other") == ["x"]
    refused(store, "commit", "--branch", "new", "-c", "-m", "three", error="BranchExists")
    refused(store, "commit", "-c", "--edit", "main", "-m", "three", error="CommandLineError", code=2)


def test_a_tract_is_made_when_that_is_said(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "one")
    commit(store, "--tract", "a", "-c", "-m", "in a")
    assert shown_texts(store, "--tract", "a") == ["in a"]
    result = store("init", "--tract", "b")
    assert (result.code, result.out) == (0, f"there is a store already in {tmp_path}/.tract; made the tract b\n")
    assert store("log", "--tract", "b").err == "no commits yet\n"
    assert store("status", "--json").document["tracts"] == ["a", "default"]
    commit(store, "--tract", "b", "-m", "in b")
    assert shown_texts(store, "--tract", "b") == ["in b"]
    assert store("init", "--tract", "b").out.endswith("; there is a tract b\n")
    assert store("init", "--tract", "NO").code == 1


def test_a_store_that_was_just_made_takes_a_first_commit(run: Run) -> None:
    run("init", "a")
    assert run("-C", "a", "log").err == "no commits yet\n"
    refused(run, "-C", "a", "commit", "--branch", "dev", "-m", "x", error="BranchNotFound")
    refused(run, "-C", "a", "commit", "--tract", "other", "-m", "x", error="CommandError")
    assert run("-C", "a", "commit", "--tract", "default", "--branch", "main", "-m", "x").code == 0
    run("init", "b", "--tract", "only")
    assert run("-C", "b", "commit", "--tract", "only", "-m", "x").code == 0
    refused(run, "-C", "b", "commit", "-m", "x", error="CommandError")


def test_a_current_branch_that_was_renamed_elsewhere_is_answered_with_a_command(store: Run) -> None:
    commit(store, "-m", "one")
    with Tract.open(".") as t:
        t.rename_branch("main", "trunk")
    for arguments in (["log"], ["commit", "-m", "x"], ["compile"]):
        said = refused(store, *arguments, error="BranchNotFound")
        assert "the current branch 'main' is not in tract 'default': it was renamed or deleted" in said
        assert "there are: trunk; choose one with 'tract switch NAME'" in said
    result = store("status")
    assert (result.code, "none: no such branch" in result.out) == (0, True)
    assert "warning: the current branch 'main' is not in tract 'default': it was renamed" in result.err
    assert store("switch", "trunk").code == 0
    assert shown_texts(store) == ["one"]


def test_a_missing_branch_of_an_argument_is_answered_with_a_command(store: Run) -> None:
    commit(store, "-m", "one")
    said = refused(store, "switch", "dev", error="BranchNotFound")
    assert "tract 'default' has no branch 'dev'; 'tract branch' lists them, 'tract branch NAME' makes one" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["switch", "mian"],
        ["branch", "--rename", "mian", "other"],
        ["branch", "--delete", "mian"],
        ["branch", "new", "--branch", "mian"],
        ["tag", "x", "--branch", "mian"],
        ["undo", "--branch", "mian"],
    ],
)
def test_a_mistyped_branch_is_answered_with_the_name_that_was_meant(store: Run, arguments: list[str]) -> None:
    commit(store, "-m", "one")
    said = refused(store, *arguments, error="BranchNotFound")
    assert "tract 'default' has no branch 'mian' (did you mean 'main'?); " in said


def test_an_undo_on_a_deleted_branch_is_no_mistake(store: Run) -> None:
    commit(store, "-m", "one")
    assert [store(*words).code for words in (["branch", "dev"], ["branch", "--delete", "dev"])] == [0, 0]
    assert store("undo", "--branch", "dev").out.startswith("dev is back at ")


def test_an_open_without_create_makes_no_tract_and_no_branch(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound):
        Tract.open(tmp_path, create=False)
    Tract.open(tmp_path).close()
    with Tract.open(tmp_path, create=False) as t:
        assert t.head is None
    for names in ({"tract_id": "defualt"}, {"branch": "mian"}):
        with pytest.raises((TractNotFound, BranchNotFound)):
            Tract.open(tmp_path, create=False, **names)
    with Tract.open(tmp_path, create=False) as t:
        t.commit({"content_type": "output", "text": "one"})
        t.branch("dev")
        t.fork("sub").close()
    with Tract.open(tmp_path, create=False, branch="dev") as t:
        assert t.compile().commit_count == 1
    with pytest.raises(BranchNotFound) as no_branch:
        Tract.open(tmp_path, create=False, branch="mian")
    assert (no_branch.value.fields["tract_id"], no_branch.value.fields["branch"]) == ("default", "mian")
    with pytest.raises(TractNotFound) as no_tract:
        Tract.open(tmp_path, create=False, tract_id="defualt")
    assert no_tract.value.tract_id == "defualt"
    with pytest.raises(BranchNotFound):
        Tract.open(tmp_path, create=False, read_only=True, tract_id="sub", branch="dev")
    with Tract.open(tmp_path, create=False) as t:
        t.rename_branch("main", "trunk")
    with pytest.raises(BranchNotFound):
        Tract.open(tmp_path, create=False)
    with Tract.open(tmp_path, branch="new", tract_id="new") as t:
        t.commit({"content_type": "output", "text": "one"})
    assert Tract.tracts(tmp_path) == ["default", "new", "sub"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cafe\u0301", "the name 'cafe\\u0301' looks the same as 'caf\\xe9', which is another one"),
        ("caf\u00e9\u200b", "the name café\\u200b has characters that can't be seen"),
        ("HEAD", "the name HEAD is easily mistaken for the head, which is '@' here"),
    ],
)
def test_a_name_that_is_easily_mistaken_is_warned_of(store: Run, name: str, said: str) -> None:
    commit(store, "-m", "one")
    assert store("branch", "café").err == ""
    assert store("tag", "café").err == ""
    assert f"warning: {said}\n" in store("branch", name).err
    assert f"warning: {said}\n" in store("tag", name).err
    store("branch", "--delete", name)
    assert f"warning: {said}\n" in store("switch", "-c", name).err
    assert head_file().read_text() == f"{name}\n"
    assert store("tag", name, "--force").err == ""
