"""The commands on branches, tags, forks and moves, and the current branch of the command line."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.lab.command import Run, commit, head_file, refused, shown_texts, write
from tests.lab.states import synced
from tract_fs import Tract


def branches(run: Run) -> dict[str, list[str]]:
    return dict(run("branch", "--json").document["branches"])


def test_branches_are_made_and_listed(store: Run) -> None:
    one, two = commit(store, "-m", "one"), commit(store, "-m", "two")
    assert store("branch", "old", "--at", "main~1").code == 0
    assert store("branch", "--json").document == {"current": "main", "branches": {"main": [two], "old": [one]}}
    assert store("branch").out == f"* main  {two[:12]}\n  old  {one[:12]}\n"


def test_switch_makes_a_branch_the_current_one(store: Run) -> None:
    commit(store, "-m", "one")
    assert not head_file().exists()
    told = store("switch", "-c", "topic/x")
    assert (told.code, told.out, head_file().read_bytes()) == (0, "topic/x is the current branch\n", b"topic/x\n")
    two = commit(store, "-m", "two")
    assert branches(store)["topic/x"] == [two]
    assert shown_texts(store) == ["one", "two"]
    assert shown_texts(store, "--branch", "main") == ["one"]
    assert store("switch", "main", "--json").document["branch"] == "main"
    assert (head_file().read_bytes(), shown_texts(store)) == (b"main\n", ["one"])


def test_an_explicit_branch_wins_and_stays_where_it_was_said(store: Run) -> None:
    commit(store, "-m", "one")
    store("switch", "-c", "dev")
    commit(store, "--branch", "main", "-m", "two")
    assert (shown_texts(store), shown_texts(store, "--branch", "main")) == (["one"], ["one", "two"])
    assert head_file().read_bytes() == b"dev\n"


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"a b\n", "names no branch"),
        (b"../x\n", "names no branch"),
        (b"\xff\xfe\n", "names no branch"),
        (b"x" * 2000, "is no file, or too large"),
        (b"main\nmore\n", "names no branch"),
        (b"-x\n", "names no branch"),
        (None, "is no file, or too large"),
    ],
)
def test_where_the_current_branch_is_unknown_no_command_guesses_it(store: Run, data: bytes | None, fault: str) -> None:
    commit(store, "-m", "one")
    store("switch", "-c", "dev")
    if data is None:
        head_file().unlink()
        head_file().mkdir()
    else:
        head_file().write_bytes(data)
    before = synced(Path.cwd())
    for command in (["commit", "-m", "lost"], ["compile"], ["log"], ["branch"], ["undo"], ["switch", "-c", "new"]):
        told = store(*command)
        assert (told.code, told.out) == (1, "")
        assert told.err.endswith(
            f"/HEAD {fault}, so the branch chosen by 'tract switch' is unknown; choose it again with 'tract switch NAME', or give --branch\n"
        )
        assert told.err.startswith("tract: .tract/local/")
    assert synced(Path.cwd()) == before
    assert shown_texts(store, "--branch", "dev") == ["one"]
    assert [store(command).code for command in ("repair", "pack")] == [0, 0]
    if data is not None:
        assert store("switch", "dev").code == 0
        assert head_file().read_bytes() == b"dev\n"
        assert shown_texts(store) == ["one"]


def test_a_current_branch_that_is_gone_takes_no_commits(store: Run) -> None:
    one = commit(store, "-m", "one")
    store("switch", "-c", "dev")
    assert "is the current one; 'tract switch' to another, or use --force" in refused(
        store, "branch", "--delete", "dev", error="BranchInUse"
    )
    assert store("branch", "--delete", "dev", "--force").code == 0
    refused(store, "commit", "-m", "lost?", error="BranchNotFound")
    refused(store, "log", error="BranchNotFound")
    assert store("branch", "dev", "--at", one).code == 0
    commit(store, "-m", "two")
    assert shown_texts(store) == ["one", "two"]


def test_the_current_branch_goes_with_its_name(store: Run) -> None:
    one = commit(store, "-m", "one")
    store("switch", "-c", "dev")
    assert store("branch", "--rename", "dev", "topic").code == 0
    assert (head_file().read_bytes(), branches(store)) == (b"topic\n", {"main": [one], "topic": [one]})
    assert store("branch", "--rename", "main", "trunk").code == 0
    assert (head_file().read_bytes(), branches(store)) == (b"topic\n", {"topic": [one], "trunk": [one]})


def test_what_branches_can_not_do_is_an_error_and_writes_nothing(store: Run) -> None:
    refused(store, "branch", "dev", error="CommitNotFoundError")
    commit(store, "-m", "one")
    refused(store, "branch", "main", error="BranchExists")
    refused(store, "branch", "a b", error="ArgumentError")
    refused(store, "branch", "dev", "--at", "main~1", error="CommitNotFoundError")
    refused(store, "branch", "--delete", "dev", error="BranchNotFound")
    refused(store, "branch", "--rename", "dev", "x", error="BranchNotFound")
    refused(store, "switch", "dev", error="BranchNotFound")
    refused(store, "switch", "-c", "main", error="BranchExists")
    refused(store, "switch", "a b", error="ArgumentError")


@pytest.mark.parametrize(
    "arguments",
    [
        ["branch", "a", "b", "c"],
        ["branch", "--delete"],
        ["branch", "--rename", "a", "b", "c"],
        ["branch", "--rename"],
        ["branch", "--delete", "--rename", "a", "b"],
        ["branch", "--at", "main"],
        ["branch", "--delete", "a", "--at", "main"],
        ["branch", "a", "--force"],
        ["switch"],
        ["reset"],
        ["tag", "--delete"],
        ["tag", "--delete", "a", "b"],
        ["tag", "--force"],
        ["cherry-pick"],
        ["revert"],
        ["fork"],
        ["reflog", "-n", "-1"],
        ["log", "--since", "some day"],
    ],
)
def test_a_command_line_that_makes_no_sense_is_a_usage_error(store: Run, arguments: list[str]) -> None:
    commit(store, "-m", "one")
    refused(store, *arguments, error="CommandLineError", code=2)


def test_reset_and_undo_go_back_and_forth(store: Run) -> None:
    one, two = commit(store, "-m", "one"), commit(store, "-m", "two")
    told = store("reset", "main~1")
    assert (told.code, told.out, shown_texts(store)) == (0, f"main is at {one[:12]}\n", ["one"])
    assert store("undo").out.splitlines() == [
        f"main is back at {two[:12]}",
        f"took back the move to {one[:12]}; 'tract reset {one[:12]}' goes there again",
    ]
    undone = {"tract_id": "default", "branch": "main", "head": one, "old_head": two}
    assert store("undo", "--json").document == undone
    store("reset", two)
    refused(store, "undo", "--expected-head", one, error="HeadMoved")
    assert store("undo", "--expected-head", two).code == 0
    refused(store, "reset", "main", "--expected-head", two, error="HeadMoved")
    refused(store, "reset", "nothing", error="CommitNotFoundError")


def test_undo_shows_what_it_took_back(store: Run) -> None:
    one, two = commit(store, "-m", "one"), commit(store, "-m", "two")
    assert store("undo").out.splitlines() == [
        f"main is back at {one[:12]}",
        f"took back append {two[:12]}; 'tract reset {two[:12]}' goes there again",
    ]
    assert store("import", write("c.json", [{"role": "user", "content": text} for text in "abc"])).code == 0
    left = store("log", "--json").document[0]["commit_hash"]
    assert store("undo").out.splitlines() == [
        f"main is back at {one[:12]}",
        f"took back 3 commits up to {left[:12]}; 'tract reset {left[:12]}' goes there again",
    ]
    store("branch", "dev")
    store("branch", "--delete", "main", "--force")
    assert store("undo").out.splitlines() == [f"main is back at {one[:12]}", "took back its deletion"]


def test_undo_of_the_first_commit_is_refused(store: Run) -> None:
    commit(store, "-m", "one")
    refused(store, "undo", error="UndoError")


def test_the_reflog_tells_the_moves(store: Run) -> None:
    one, two = commit(store, "-m", "one", "--message", "first"), commit(store, "-m", "two")
    store("reset", one)
    found = store("reflog", "--json").document
    assert [(e["kind"], e["old_head"], e["head"], e["message"]) for e in found] == [
        ("reset", two, one, None),
        ("append", one, two, None),
        ("append", None, one, "first"),
    ]
    assert set(found[0]) == {"at", "kind", "old_head", "head", "event", "message"}
    assert re.fullmatch(r"[0-9]{4}-.*Z", found[0]["at"])
    lines = store("reflog", "-n", "1").out.splitlines()
    assert (len(lines), lines[1].split()[:2], lines[1].split()[-1]) == (2, [one[:12], two[:12]], "reset")


def test_tags_are_set_listed_and_removed(store: Run) -> None:
    one, two = commit(store, "-m", "one"), commit(store, "-m", "two")
    assert store("tag", "v1", "main~1").out == f"v1  {one[:12]}\n"
    refused(store, "tag", "v1", error="TagExists")
    assert store("tag", "v1", "--force", "--json").document == {"tags": {"v1": two}}
    assert store("tag").out == f"v1  {two[:12]}\n"
    assert store("tag", "--delete", "v1", "--json").document == {"tags": {}}
    refused(store, "tag", "--delete", "v1", error="TagNotFound")
    refused(store, "tag", "v2", "nothing", error="CommitNotFoundError")


def test_a_commit_is_picked_from_another_branch(store: Run) -> None:
    commit(store, "-m", "one")
    store("switch", "-c", "dev")
    commit(store, "-m", "two", "--config", "model=m")
    store("switch", "main")
    told = store("cherry-pick", "dev", "--json")
    assert (told.document["operation"], told.document["generation_config"], told.document["branch"]) == (
        "append",
        {"model": "m"},
        "main",
    )
    assert shown_texts(store) == ["one", "two"]
    assert re.fullmatch(r"\[main [0-9a-f]{12}\] append\n", store("cherry-pick", "dev").out)
    refused(store, "cherry-pick", "nothing", error="CommitNotFoundError")


def test_a_commit_is_reverted(store: Run) -> None:
    one = commit(store, "-m", "one")
    commit(store, "-m", "two")
    assert re.fullmatch(rf"\[main [0-9a-f]{{12}}\] annotate skip of {one[:12]}\n", store("revert", "main~1").out)
    assert shown_texts(store) == ["two"]
    assert store("revert", "main", "--json").document["priority"] == "normal"
    assert shown_texts(store) == ["one", "two"]
    refused(store, "revert", "nothing", error="CommitNotFoundError")


def test_a_fork_is_a_tract_of_its_own(store: Run) -> None:
    one = commit(store, "-m", "one")
    told = store("fork", "sub", "--json")
    assert told.document == {"tract_id": "sub", "branch": "main", "head": one, "from": "default"}
    commit(store, "--tract", "sub", "-m", "two")
    assert (shown_texts(store), shown_texts(store, "--tract", "sub")) == (["one"], ["one", "two"])
    assert shown_texts(store, "--tract", "sub", "--at-commit", "default:main") == ["one"]
    assert store("fork", "sub2").out == f"tract sub2 starts at {one[:12]}\n"
    refused(store, "fork", "sub", error="TractExists")
    refused(store, "fork", "NO", error="ArgumentError")


def test_the_log_is_filtered(store: Run) -> None:
    one = commit(store, "-m", "one needle", "--message", "first")
    two = commit(store, "-m", "two", "--role", "assistant")
    three = commit(store, "--type", "instruction", "-m", "three")
    store("tag", "v1", two)
    store("branch", "dev", "--at", one)

    def found(*arguments: str) -> list[str]:
        return [info["commit_hash"] for info in store("log", "--json", *arguments).document]

    assert found("--type", "dialogue") == [two, one]
    assert found("--text", "NEEDLE") == [one]
    assert found("--tag", "v1") == [two, one]
    assert found("--branch", "dev") == [one]
    assert found("--operation", "append", "-n", "1") == [three]
    assert found("--since", "2000-01-01", "--until", "2001-01-01") == []
    assert found("--since", "2000-01-01T00:00:00+02:00") == [three, two, one]
    refused(store, "log", "--operation", "apend", error="ArgumentError")
    refused(store, "log", "--type", "dialog", error="ArgumentError")
    refused(store, "log", "--tag", "v2", error="TagNotFound")


@pytest.mark.parametrize("arguments", [["branch"], ["tag"], ["reflog"], ["undo"], ["switch", "x"], ["reset", "x"]])
def test_a_tract_that_is_not_there_is_an_error(store: Run, arguments: list[str]) -> None:
    commit(store, "-m", "one")
    refused(store, *arguments, "--tract", "nobody", error="CommandError")


def test_names_from_a_store_reach_the_terminal_as_text(store: Run) -> None:
    commit(store, "-m", "one")
    with Tract.open(Path.cwd()) as t:
        t.branch("x\u009b31m")
        t.tag("y\u009b31m")
    assert "\u009b" not in store("branch").out + store("tag").out
    assert "\\x9b31m" in store("branch").out


def test_imported_messages_go_to_the_current_branch(store: Run) -> None:
    commit(store, "-m", "one")
    store("switch", "-c", "dev")
    assert store("import", write("talk.json", [{"role": "user", "content": "two"}])).code == 0
    assert (shown_texts(store), shown_texts(store, "--branch", "main")) == (["one", "two"], ["one"])


def test_a_copy_does_not_know_the_branch_that_was_chosen_in_the_original_and_says_so_once(
    store: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commit(store, "-m", "on main")
    assert store("switch", "-c", "side").code == 0
    shutil.copytree(tmp_path / ".tract", tmp_path / "copy" / ".tract")
    monkeypatch.chdir(tmp_path / "copy")
    told = store("log")
    assert told.err == (
        "warning: local/ was not created by this copy, so the branch chosen by 'tract switch' is unknown; using main\n"
    )
    assert "on main" in told.out
    assert store("log").err == ""
    assert store("branch", "--json").document["current"] == "main"


def test_switch_to_a_dash_goes_back_and_forth_between_two_branches(store: Run) -> None:
    assert store("switch", "-").err == (
        "tract: this copy has no previous branch; give a name, 'tract branch' lists them\n"
    )
    commit(store, "-m", "one")
    store("switch", "-c", "side")
    store("switch", "-c", "topic")
    store("switch", "topic")
    for expected in ("side", "topic", "side"):
        assert store("switch", "-", "--json").document["branch"] == expected
    store("branch", "--rename", "side", "aside")
    assert store("switch", "-", "--json").document["branch"] == "topic"
    store("branch", "--delete", "aside")
    assert store("switch", "aside").code == 1
    assert store("branch", "--json").document["current"] == "topic"


def test_a_file_of_the_branch_before_that_names_none_is_not_believed(store: Run) -> None:
    commit(store, "-m", "one")
    store("switch", "-c", "side")
    head_file().with_name("HEAD-before").write_bytes(b"../../x\n")
    assert store("switch", "-").code == 1
    assert store("branch", "--json").document["current"] == "side"
