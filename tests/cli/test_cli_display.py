"""What comes from a store, a name or a path is shown, and never obeyed, hidden or mistaken for the command's own words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lab.command import Run, commit, shown_texts
from tract_fs import Tract

UNSEEN = {
    "\u202e": "\\u202e",
    "\u2066": "\\u2066",
    "\u2069": "\\u2069",
    "\u200b": "\\u200b",
    "\u200f": "\\u200f",
    "\ufeff": "\\ufeff",
    "\u2028": "\\u2028",
    "\U000e0041": "\\U000e0041",
    "\x7f": "\\x7f",
    "\x85": "\\x85",
    "\x1b": "\\x1b",
}


@pytest.mark.parametrize("char", UNSEEN, ids=lambda char: f"{ord(char):x}")
def test_what_cannot_be_seen_is_shown_as_an_escape(
    store: Run, char: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    text = f"a{char}b"
    target = commit(store, "-m", text, "--message", text, "--config", f"model={text}", "--metadata", f"k={text}")
    store("annotate", target, "pinned", "--reason", text)
    with Tract.open(".") as t:
        if char not in "\x7f\x1b":
            t.branch(text)
            t.tag(text)
    commands = [["log"], ["show", target], ["compile"], ["compile", "--format", "oneline"], ["diff", target]]
    commands += [["query", "model", "=", text], ["branch"], ["tag"], ["reflog"], ["status"]]
    commands += [["log", "--graph", "--stat"], ["log", "--oneline"], ["diff", target, "--side-by-side"], ["usage"]]
    commands += [["doctor"]]
    for arguments in commands:
        result = store(*arguments)
        assert (result.code, char in result.out + result.err) == (0, False), arguments
    assert f"a{UNSEEN[char]}b" in store("compile").out
    assert ("a b" if char.isspace() else f"a{UNSEEN[char]}b") in store("log").out


@pytest.mark.parametrize("char", [*(chr(code) for code in range(0x7F, 0xA0)), "\x1b", "\x00"])
def test_json_has_no_control_characters_and_says_the_same(store: Run, char: str) -> None:
    if char == "\x00":
        with Tract.open(".") as t:
            t.commit({"content_type": "output", "text": f"a{char}b"})
    else:
        commit(store, "-m", f"a{char}b")
    for arguments in (["compile", "--json"], ["compile", "--format", "openai"], ["show", "--json"]):
        result = store(*arguments)
        assert char not in result.out
        assert f"a\\u{ord(char):04x}b" in result.out
    assert shown_texts(store) == [f"a{char}b"]


def test_a_text_can_start_no_line_of_the_command(store: Run) -> None:
    lines = [
        "[2] assistant  0123456789ab",
        "3 messages of 3 commits",
        "warning: all is well",
        "tract: no",
        "config   {}",
    ]
    target = commit(store, "-m", "\n".join(["hello", *lines, "end"]))
    for arguments in (["compile"], ["show", target]):
        shown = store(*arguments).out.splitlines()
        assert [line for line in shown if line.strip() in lines] == [f"  {line}" for line in lines]
        assert {"hello", "end"} <= set(shown)
    assert store("compile", "--json").document["messages"][0]["content"].splitlines() == ["hello", *lines, "end"]


def test_a_path_can_start_no_line_and_give_no_order(run: Run, tmp_path: Path) -> None:
    name = "a\x1b[31m\nmade a store in /etc\u202e"
    shown = "a\\x1b[31m\\nmade a store in /etc\\u202e"
    assert run("init", name).out == f"made a store in {tmp_path}/{shown}/.tract\n"
    assert f"store    {tmp_path}/{shown}\n" in run("-C", name, "status").out
    run("-C", name, "commit", "-m", "x")
    (tmp_path / name / ".tract" / "stray\nhead     0").touch()
    assert "stray\\nhead     0" in run("-C", name, "status").out
    assert "stray\\nhead     0" not in run("-C", name, "status").out.splitlines()
    result = run("-C", f"{name}/none", "log")
    assert len(result.err.splitlines()) == 2  # the second one is indented
    assert result.err.splitlines()[1].startswith("  ")
    (tmp_path / "stick").mkdir()
    made = run("-C", name, "bundle", "create", "b\nnew").out
    assert made.startswith(f"made: {tmp_path}/b\\nnew, 1 content")
    assert run("-C", name, "sync", f"{name}/copy").err.count("\n") <= 2


def test_a_name_that_is_not_utf8_is_shown_by_every_output(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "x")
    (tmp_path / ".tract" / "stray\udcff").touch()
    result = store("status")
    assert (result.code, "stray\\udcff" in result.out) == (0, True)
    result = store("status", "--json")
    assert (result.code, json.loads(result.out)["strays"]) == (0, ["stray\udcff"])
