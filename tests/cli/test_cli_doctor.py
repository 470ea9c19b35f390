"""`tract doctor`: each thing that is wrong with a set-up is one sentence, and the exit code is 1 where something has to be done."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.lab.command import Run, commit
from tests.lab.outer_git import git
from tract_fs.store.store import Store


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(found))
    return found


def sentences(run: Run, kind: str, *arguments: str) -> list[str]:
    """Returns what doctor finds of one kind; its exit code must fit."""
    told = run(*arguments, "doctor", "--json")
    found = told.document
    assert told.code == (0 if found["is_ok"] else 1)
    assert found["is_ok"] == all(one["kind"] != "problem" for one in found["findings"])
    return [one["text"] for one in found["findings"] if one["kind"] == kind]


def test_a_good_set_up_has_no_problem(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "x")
    told = store("doctor")
    assert (told.code, told.err) == (0, "")
    assert told.out.splitlines()[-1] == "nothing to do"
    assert f"ok       the store is in {tmp_path}/.tract" in told.out
    assert "ok       tract default, branch main: its files are whole, with one head" in told.out
    assert sentences(store, "problem") == sentences(store, "note") == []


def test_a_store_that_is_not_there_is_a_problem(run: Run, tmp_path: Path) -> None:
    (problem,) = sentences(run, "problem")
    assert problem == f"{tmp_path}: no store here, nor in a directory above; create one with 'tract init'"
    run("init")
    (problem,) = sentences(run, "problem", "--tract", "none")
    assert "no tract 'none' in this store" in problem


def test_a_lost_file_and_a_second_head_are_problems(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "one")
    Path("copy").mkdir()
    store("sync", "copy")
    commit(store, "-m", "here")
    content = store("show", "--json").document["content_hash"]
    commit(store, "-C", "copy", "-m", "there")
    store("sync", "copy")
    assert any("branch 'main' has 2 heads" in text for text in sentences(store, "problem"))
    store("merge")
    next((tmp_path / ".tract" / "objects").rglob(content[2:])).unlink()
    assert any(text.startswith("the history can't be read whole: ") for text in sentences(store, "problem"))


@pytest.mark.needs("git")
def test_what_git_does_to_the_store_is_named(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "x")
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text(".tract/\n")
    (note,) = sentences(store, "note")
    assert note.startswith("git ignores .tract by the rule '.tract/' in .gitignore")
    (tmp_path / ".gitignore").unlink()
    git(tmp_path, "add", ".")
    shutil.rmtree(tmp_path / ".tract")
    (problem,) = sentences(store, "problem")
    assert f"git -C {tmp_path} " in problem


def hook(program: str, command: str) -> str:
    return json.dumps({"hooks": {"Stop": [{"hooks": [{"type": "command", "command": command}]}]}})


def test_hooks_that_lead_nowhere_are_problems(store: Run, tmp_path: Path, home: Path) -> None:
    commit(store, "-m", "x")
    (tmp_path / ".claude").mkdir()
    settings = tmp_path / ".claude" / "settings.local.json"
    settings.write_text(hook("claude-code", f"/no/such/tract hook claude-code -C {tmp_path}/gone"))
    assert sentences(store, "problem") == [
        f"the hook of claude-code in {settings} calls /no/such/tract, which does not exist here; "
        "'tract hook install claude-code' writes it again",
        f"the hook of claude-code in {settings} names {tmp_path}/gone, where there is no store; "
        "'tract hook install claude-code' writes it again",
    ]
    (tmp_path / "tract").write_text("#!/bin/sh\n")
    (tmp_path / "tract").chmod(0o755)
    settings.write_text(hook("claude-code", f"{tmp_path}/tract hook claude-code -C {tmp_path}"))
    assert sentences(store, "problem") == []
    assert f"the hook of claude-code in {settings} is in order" in sentences(store, "ok")
    (home / ".codex").mkdir()
    (home / ".codex" / "hooks.json").write_text("{")
    (note,) = sentences(store, "note")
    assert note.startswith(f"{home}/.codex/hooks.json can't be read, so its hooks are unknown: ")


def test_a_full_disk_is_a_problem(store: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        total: int
        used: int
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1 << 40, 1 << 40, 5 << 20))
    assert sentences(store, "problem") == ["only 5 MiB are free on its disk; free some space before commits fail"]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1 << 40, 1 << 40, 500 << 20))
    assert sentences(store, "note") == ["only 500 MiB are free on its disk; free some space before commits fail"]


def test_a_store_that_can_not_be_written_is_a_problem(
    store: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(store, "-m", "x")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("/objects") and access(path, mode))
    assert sentences(store, "problem") == [
        f"{tmp_path}/.tract/objects can't be written by this user, so commits fail; check its owner and its mode"
    ]


def test_a_file_system_without_locks_is_a_problem(store: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(store, "-m", "x")
    monkeypatch.setattr(Store, "lock_warning", property(lambda self: "no locks here: one writer at a time"))
    assert "no locks here: one writer at a time" in sentences(store, "problem")


def test_a_hostile_name_is_shown(run: Run, tmp_path: Path) -> None:
    name = "a\x1b[31m\nok       all is well\u202e"
    (tmp_path / name).mkdir()
    told = run("-C", name, "doctor")
    assert told.code == 1
    assert not set(told.out) & set("\x1b\u202e")
    assert "ok       all is well" not in told.out.splitlines()


def test_a_store_of_sessions_alone_is_in_order(store: Run) -> None:
    commit(store, "--tract", "one", "-c", "-m", "x")
    commit(store, "--tract", "two", "-c", "-m", "x")
    told = store("doctor")
    assert told.code == 0, told.out
    assert "tract two, branch main: its files are whole, with one head; --tract looks at another of the 2" in told.out
    assert store("doctor", "--tract", "nowhere").code == 1
