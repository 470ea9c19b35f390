"""What the command line and stdin give is taken as it was meant, or refused: texts, JSON values, names of heads."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.lab.command import TRACT, Run, commit, shown_texts


@pytest.mark.parametrize("text", ["", " ", "\n", " \t\r\n", "\ufeff"])
def test_an_empty_text_is_refused_unless_it_is_meant(store: Run, text: str) -> None:
    result = store("commit", stdin=text.encode())
    said = "tract: the text is empty; nothing was written; --allow-empty commits it all the same\n"
    assert (result.code, result.out, result.err) == (1, "", said)
    target = commit(store, "-m", "x")
    assert store("commit", "-m", text.removeprefix("\ufeff")).code == 1
    assert store("edit", target, "-m", text.removeprefix("\ufeff")).code == 1
    assert store("summarize", target, "-m", text.removeprefix("\ufeff")).code == 1
    assert shown_texts(store) == ["x"]
    assert store("commit", "--allow-empty", stdin=text.encode()).code == 0
    assert shown_texts(store) == ["x", text.removeprefix("\ufeff")]


def test_an_empty_text_settles_no_conflict(store: Run) -> None:
    target = commit(store, "-m", "x")
    result = store("merge", "main", "--resolve-text", f"{target}= ")
    assert (result.code, f"--resolve {target}=skip leaves the commit out" in result.err) == (2, True)


def test_a_byte_order_mark_is_no_part_of_a_text(store: Run) -> None:
    assert store("commit", stdin=b"\xef\xbb\xbfhello \xef\xbb\xbf").code == 0
    assert shown_texts(store) == ["hello \ufeff"]


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (".7", "write 0.7 for the number, '\".7\"' for the text"),
        ("-.5", "write -0.5 for the number, '\"-.5\"' for the text"),
        ("+1", "write 1 for the number, '\"+1\"' for the text"),
        ("1.", "write 1.0 for the number, '\"1.\"' for the text"),
        ("01", "write 1 for the number, '\"01\"' for the text"),
        ("00", "write 0 for the number, '\"00\"' for the text"),
        ("1_000", "write 1000 for the number, '\"1_000\"' for the text"),
        ("1.e3", "write 1.0e3 for the number, '\"1.e3\"' for the text"),
        ("True", "write true for the value, '\"True\"' for the text"),
        ("FALSE", "write false for the value, '\"FALSE\"' for the text"),
        ("None", "write null for the value, '\"None\"' for the text"),
        ("NaN", "write '\"NaN\"' for the text"),
        ("-Infinity", "write '\"-Infinity\"' for the text"),
        ("[1,", "write '\"[1,\"' for the text"),
        ('{"a":', 'write \'"{\\"a\\":"\' for the text'),
        ('"x', 'write \'"\\"x"\' for the text'),
        ("[NaN]", "write '\"[NaN]\"' for the text"),
    ],
)
def test_a_value_that_is_nearly_json_is_refused_with_its_spelling(store: Run, text: str, advice: str) -> None:
    result = store("commit", "-m", "x", "--config", f"temperature={text}")
    assert (result.code, advice in result.err) == (2, True), result.err
    assert store("log").out == ""
    commit(store, "-m", "x")
    result = store("query", "temperature", "=", text)
    assert (result.code, advice in result.err) == (2, True)


@pytest.mark.parametrize(
    "text",
    ["gpt-4o", "1.2.3", "2026-01-02", "10:30", "0x1f", "none", "auto", "on", "-", ".", "_", "e5", "a[1]", "it's"],
)
def test_a_plain_word_is_a_text(store: Run, text: str) -> None:
    commit(store, "-m", "x", "--config", f"key={text}")
    assert store("show", "--json").document["generation_config"] == {"key": text}
    assert len(store("query", "key", "=", text, "--json").document) == 1


@pytest.mark.parametrize(
    ("data", "line", "key"),
    [
        ('[{"role":"user","content":"first","content":"second"}]', 1, "content"),
        ('{"messages":[{"role":"user","content":"a"}],\n"messages":[{"role":"user","content":"b"}]}', 2, "messages"),
        ('{"role":"user","content":"a"}\n{"role":"user",\t"role":"assistant","content":"b"}\n', 2, "role"),
        ('{"role":"user","role":"user","content":"a"}\n{"role":"user","content":"b"}\n', 1, "role"),
        ('[\n{"role":"user","content":"{\\"a\\":1}",\n"x":{"a":[{"b":1},{"b":2}],\n"\\u0061":3}}]', 4, "a"),
    ],
    ids=["message", "record", "json lines", "first line", "nested"],
)
def test_a_key_that_stands_twice_is_an_error_with_its_line(store: Run, data: str, line: int, key: str) -> None:
    Path("talk.json").write_text(data, encoding="utf-8")
    result = store("import", "talk.json")
    said = f'tract: talk.json: line {line}: the key "{key}" appears twice in one object; keep the one that is meant\n'
    assert (result.code, result.err) == (1, said)
    assert store("log").out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--json-content", '{"content_type":"output","text":"a","text":"b"}'],
        ["-m", "x", "--config", 'a={"x":1,"x":2}'],
        ["-m", "x", "--config-json", '{"x":1,"x":2}'],
        ["-m", "x", "--metadata", 'a={"x":1,"x":2}'],
        ["--type", "freeform", "-m", '{"x":1,"x":2}'],
    ],
)
def test_a_key_that_stands_twice_is_an_error_in_every_option(store: Run, arguments: list[str]) -> None:
    result = store("commit", *arguments)
    assert (result.code, "appears twice in one object" in result.err) == (2, True)
    assert store("log").out == ""


def test_one_line_of_a_message_is_a_conversation(store: Run) -> None:
    assert store("import", "-", stdin=b'{"role":"user","content":"a"}\n').code == 0
    assert store("compile", "--format", "openai").document == [{"role": "user", "content": "a"}]


def test_an_expected_head_may_be_its_first_digits(store: Run) -> None:
    one = commit(store, "-m", "one")
    two = commit(store, "-m", "two", "--expected-head", one[:12])
    result = store("commit", "-m", "three", "--expected-head", one[:12])
    assert (result.code, f"is at {two}, not at {one}" in result.err) == (1, True)
    assert store("annotate", one, "skip", "--expected-head", two[:12]).code == 0
    assert store("reset", one, "--expected-head", two[:12]).code == 1
    assert store("commit", "-m", "x", "--expected-head", "0123456789ab").code == 1
    assert store("commit", "-m", "x", "--expected-head", "main").code == 1


def test_an_argument_that_is_not_utf8_is_said_to_be(store: Run, tmp_path: Path) -> None:
    result = subprocess.run([*TRACT, "commit", "-m", b"caf\xe9"], cwd=tmp_path, capture_output=True, check=False)
    assert (result.returncode, result.stderr) == (1, b"tract: -m: not UTF-8; nothing was written\n")
    ascii_only = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    result = subprocess.run(
        [*TRACT, "commit", "-m", "café"], cwd=tmp_path, capture_output=True, env=ascii_only, check=False
    )
    assert (result.returncode, shown_texts(store)) == (0, ["café"])


@pytest.mark.parametrize("arguments", [["log"], ["init"], ["-C", "x", "log"]])
def test_a_current_directory_that_is_gone_is_named_as_the_cause(tmp_path: Path, arguments: list[str]) -> None:
    line = f"mkdir gone && cd gone && rmdir ../gone && {' '.join([*TRACT, *arguments])}"
    result = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, check=False)
    said = b"tract: the current directory is gone: it was removed or replaced; change to one that exists\n"
    assert (result.returncode, result.stderr) == (1, said)


def test_the_directory_of_a_store_means_what_holds_it(
    store: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(store, "-m", "x")
    assert shown_texts(store, "-C", ".tract") == ["x"]
    assert store("-C", str(tmp_path / ".tract"), "init", "--json").document == {"path": str(tmp_path), "is_new": False}
    monkeypatch.chdir(tmp_path / ".tract" / "objects")
    assert shown_texts(store) == ["x"]
    result = store("init")
    assert (result.code, "this is inside a store" in result.err) == (1, True)
    assert store("init", str(tmp_path / ".tract")).code == 1
    assert not (tmp_path / ".tract" / ".tract").exists()


def test_an_edit_of_an_edit_names_what_can_be_edited(store: Run) -> None:
    target = commit(store, "-m", "one")
    edit = store("edit", target, "-m", "two", "--json").document["commit_hash"]
    result = store("edit", "main", "-m", "three")
    if result.code == 1:
        said = f"it is a commit of operation edit about {target[:12]}; edit that one: tract edit {target[:12]}"
        assert f"{edit[:12]} can't be edited: {said}" in result.err
    annotation = store("annotate", target, "pinned", "--json").document["commit_hash"]
    result = store("edit", annotation, "-m", "three")
    assert (result.code, f"edit that one: tract edit {target[:12]}" in result.err) == (1, True)


def test_a_log_that_finds_nothing_says_so(store: Run) -> None:
    assert store("log", "--text", "x").err == "no commits yet\n"
    commit(store, "-m", "one")
    assert store("log", "--text", "two").err == "no commit matches\n"
    assert store("log", "-n", "0").err == ""
    result = store("log", "--text", "two", "--json")
    assert (result.code, result.document, result.err) == (0, [], "")


def test_the_status_of_a_context_that_cannot_be_compiled_is_a_failure(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "one")
    content = store("show", "--json").document["content_hash"]
    commit(store, "-m", "two")
    assert store("status").code == 0
    path = tmp_path / ".tract" / "objects" / content[:2] / content[2:]
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"one", b"ONE"))
    result = store("status")
    assert (result.code, "tract: the context can't be compiled: " in result.err) == (1, True)
    assert "head" in result.out
