"""`tract help`, the help of each command and its example, completion, and what is meant by a mistyped word."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.command import COMMANDS, TRACT, Run, commit, on_terminal, process
from tests.lab.screen import Terminal
from tract_fs import Tract
from tract_fs.cli.examples import EXAMPLES


@pytest.fixture
def talk(store: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """A store in which each example works; returns what stands in for a word of one."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for n in range(3):
        commit(store, "-m", f"turn {n}", "--config", "temperature=0.2")
    store("branch", "side")
    commit(store, "--branch", "side", "-m", "theirs")
    summary = store("summarize", "@", "-m", "short", "--json").document["commit_hash"]
    commit(store, "-m", "last")
    Path("stick").mkdir()
    Path("sessions").mkdir()
    Path("talk.json").write_text('[{"role": "user", "content": "hello"}]')
    line = {"type": "user", "uuid": "u1", "parentUuid": None, "sessionId": "s1", "timestamp": "2026-01-01T00:00:00Z"}
    line |= {"message": {"role": "user", "content": "hello"}}
    Path("session.jsonl").write_text(json.dumps(line) + "\n")
    return lambda word: {"SUMMARY": summary}.get(word, word)


@pytest.mark.parametrize("name", [*COMMANDS, *(name for name in EXAMPLES if " " in name)])
def test_the_help_of_a_command_ends_with_an_example_that_works(run: Run, talk: Callable[[str], str], name: str) -> None:
    help_text = run(*name.split(), "--help").out
    assert help_text.endswith(f"\n  Example: {EXAMPLES[name]}\n")
    program, *arguments = map(talk, shlex.split(EXAMPLES[name]))
    assert (program, " ".join(arguments)[: len(name)]) == ("tract", name)
    if name in ("bundle verify", "bundle apply"):
        assert run("bundle", "create", "talk.bundle").code == 0
    if name == "export":
        assert run("import", "session.jsonl").code == 0
        arguments += ["--tract", next(name for name in Tract.tracts(".") if name != "default")]
    if name == "browse":
        terminal = Terminal(*arguments, cwd=Path.cwd())
        terminal.wait_for("turn 2")
        terminal.send(b"q")
        assert terminal.end() == 0
        return
    told = run(*arguments)
    assert told.code == 0, told.err


def test_every_command_and_each_in_a_group_has_an_example(run: Run) -> None:
    inner = {f"{group} {line.split()[0]}" for group in ("bundle", "hook") for line in _commands_of(run, group)}
    assert EXAMPLES.keys() == {*COMMANDS, *inner}


def _commands_of(run: Run, group: str) -> list[str]:
    shown = run(group, "--help").out.split("\nCommands:\n")[1].split("\n\n")[0]
    return shown.splitlines()


def test_the_help_groups_the_commands(run: Run) -> None:
    shown = run("--help").out
    titles = [line for line in shown.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles == ["Options:", "Start:", "Record:", "Look:", "Branch:", "Sessions of agents:", "Sync:", "Upkeep:"]
    assert "  log " in shown.split("Look:")[1].split("Branch:")[0]


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [(["lgo"], "Did you mean 'log'?"), (["log", "--grap"], "--graph"), (["help", "mergin"], "did you mean 'merging'?")],
)
def test_a_mistyped_word_is_answered_with_the_one_that_is_meant(store: Run, arguments: list[str], meant: str) -> None:
    told = store(*arguments)
    assert (told.code != 0, meant in told.err) == (True, True)


@pytest.mark.parametrize("topic", ["api", "jobs", "merging", "scale", "servers", "sync", "transcripts"])
def test_a_guide_is_shown(run: Run, topic: str) -> None:
    told = run("help", topic)
    assert (told.code, told.out.startswith("# "), len(told.out) > 2000) == (0, True, True)


def test_help_lists_guides_and_commands_and_shows_the_help_of_one(run: Run, tmp_path: Path) -> None:
    shown = run("help").out
    assert "  tract help sync         Syncing\n" in shown and "\nUpkeep:\n" in shown
    assert run("help", "log").out == run("log", "--help").out
    assert run("help", "bundle", "create").out == run("bundle", "create", "--help").out
    assert "'tract log' has no command 'x'" in run("help", "log", "x").err
    assert "there is no 'tract stash': " in run("help", "stash").err
    assert "(`tract help merging`)" in run("help", "sync").out
    page = on_terminal("help", "sync", cwd=tmp_path)
    assert "\x1b[" in page and "\x1b]" not in page  # no link that a terminal would open
    assert "\x1b" not in run("help", "a\x1b[31mb").err


# completion


def completed(words: str, cwd: Path) -> list[str]:
    """Returns what can stand at the end of `words`, as the script of bash gets it."""
    given = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1), "_TRACT_COMPLETE": "bash_complete"}
    result = process(cwd=cwd, env={**os.environ, **given})
    assert (result.returncode, result.stderr) == (0, b"")
    return result.stdout.decode().splitlines()


def test_names_of_branches_tags_and_tracts_are_completed(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "x")
    store("branch", "side")
    store("tag", "v1")
    store("fork", "helper")
    assert completed("tract lo", tmp_path) == ["plain,log"]
    assert completed("tract log --gr", tmp_path) == ["plain,--graph"]
    assert completed("tract switch s", tmp_path) == ["plain,side"]
    assert completed("tract log --tag ", tmp_path) == ["plain,v1"]
    assert completed("tract --tract h", tmp_path) == ["plain,helper"]
    assert completed("tract show ", tmp_path) == ["plain,main", "plain,side", "plain,v1"]
    assert completed("tract --tract helper show ", tmp_path) == ["plain,main"]
    assert completed("tract switch ", tmp_path.parent) == [""]
    assert completed("tract log main..s", tmp_path) == ["plain,main..side"]
    assert completed("tract search x --on s", tmp_path) == ["plain,side"]
    assert completed("tract --tract help switch ", tmp_path) == ["plain,main"]  # the start of an id, as in a command
    assert completed("tract help mer", tmp_path) == ["plain,merging", "plain,merge"]


@pytest.mark.parametrize("line", ["import ", "export -o ", "bundle apply ", "sync ", "query x --prices ", "demo "])
def test_files_are_completed_by_the_shell(store: Run, tmp_path: Path, line: str) -> None:
    assert completed(f"tract {line}", tmp_path) == ["file,"]
    assert completed("tract -C ", tmp_path) == ["dir,"]


def test_a_name_that_a_shell_would_obey_is_not_offered(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "x")
    with Tract.open(".") as t:
        for name in ("$(touch${IFS}x)", "`id`", "a;id", "a&b", "a'b", "a\u202eb", "b,c"):
            t.branch(name)
    assert completed("tract switch ", tmp_path) == ["plain,main"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell_is_printed(run: Run, shell: str) -> None:
    told = run("completion", shell)
    assert (told.code, f"_TRACT_COMPLETE={shell}_complete" in told.out) == (0, True)


@pytest.mark.needs("fish")
def test_fish_completes_with_the_script(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "x")
    store("branch", "side")
    (tmp_path / "tract").write_text(f'#!/bin/sh\nexec {" ".join(TRACT)} "$@"\n')
    (tmp_path / "tract").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}
    script = "tract completion fish | source; complete -C 'tract switch s'; complete -C 'tract lo'"
    result = subprocess.run(["fish", "-c", script], cwd=tmp_path, env=environment, capture_output=True)
    assert (result.stdout, result.stderr) == (b"side\nlog\tList the newest commits.\n", b"")


@pytest.mark.needs("zsh")
def test_zsh_takes_the_script(store: Run, tmp_path: Path) -> None:
    (tmp_path / "tract").write_text(f'#!/bin/sh\nexec {" ".join(TRACT)} "$@"\n')
    (tmp_path / "tract").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "ZDOTDIR": str(tmp_path)}
    lines = ["autoload -U compinit; compinit -u", 'eval "$(tract completion zsh)"', "print $_comps[tract]"]
    result = subprocess.run(["zsh", "-c", "\n".join(lines)], cwd=tmp_path, env=environment, capture_output=True)
    assert (result.stdout, result.stderr) == (b"_tract_completion\n", b"")


@pytest.mark.needs("bash")
def test_bash_completes_with_the_script(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "x")
    store("branch", "side")
    (tmp_path / "tract").write_text(f'#!/bin/sh\nexec {" ".join(TRACT)} "$@"\n')
    (tmp_path / "tract").chmod(0o755)
    lines = [
        'eval "$(tract completion bash)"',
        "COMP_WORDS=(tract switch s) COMP_CWORD=2",
        "_tract_completion tract",
        'echo "${COMPREPLY[@]}"',
    ]
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    result = subprocess.run(["bash", "-c", "\n".join(lines)], cwd=tmp_path, env=environment, capture_output=True)
    assert (result.stdout, result.stderr) == (b"side\n", b"")
