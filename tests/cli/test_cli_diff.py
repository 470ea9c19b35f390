"""The command `tract diff`, as people and scripts use it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lab.command import CALL, RESULT, Run, commit, on_terminal, write


def edited(store: Run) -> tuple[str, str]:
    """Makes two messages, edits the first with a config, and returns the head before and the first message."""
    first = commit(store, "-m", "one\ntwo\nthree", "--config", "temperature=0.5")
    before = commit(store, "-m", "bye")
    assert store("edit", first, "-m", "one\n2\nthree", "--config", "temperature=0.7", "--config", "seed=1").code == 0
    return before, first


def test_people_see_each_difference_with_its_lines_then_the_totals(store: Run) -> None:
    before, first = edited(store)
    added = commit(store, "--role", "assistant", "-m", "good\nbye")
    told = store("diff", before)
    assert (told.code, told.err) == (0, "")
    assert told.out == (
        f"~ [1] user  {first[:12]}  -1 tokens\n"
        "  config +seed=1\n"
        "  config temperature: 0.5 → 0.7\n"
        "@@ -1,3 +1,3 @@\n"
        " one\n"
        "-two\n"
        "+2\n"
        " three\n"
        "\n"
        f"+ [3] assistant  {added[:12]}  +8 tokens\n"
        "+good\n"
        "+bye\n"
        "\n"
        "messages      1 added, 0 removed, 1 changed, 1 unchanged\n"
        "tokens        16 → 23 (+7) by estimate:utf8/4\n"
        "prompt cache  differs from message 1 on: 0 tokens stay cached, 13 are lost, 20 are read again\n"
    )


def test_without_refs_it_is_the_last_commit(store: Run) -> None:
    commit(store, "-m", "one")
    last = commit(store, "-m", "two")
    assert store("diff").out.splitlines()[0] == f"+ [2] user  {last[:12]}  +5 tokens"


def test_stat_tells_one_line_per_message(store: Run) -> None:
    before, first = edited(store)
    told = store("diff", before, "--stat").out.splitlines()
    assert [line.split() for line in told[:2]] == [
        ["message", "commit", "role", "tokens", "config", "text"],
        ["~", "[1]", first[:12], "user", "-1", "+seed=1", "temperature:", "0.5", "→", "0.7", "one", "2", "three"],
    ]
    assert told[2:4] == ["", "messages      0 added, 0 removed, 1 changed, 1 unchanged"]


def test_a_config_alone_changes_no_token_and_loses_no_cache(store: Run) -> None:
    first = commit(store, "-m", "x", "--config", "model=a")
    store("edit", first, "-m", "x", "--config", "model=b")
    assert store("diff").out == (
        f"~ [1] user  {first[:12]}  +0 tokens\n"
        '  config model: "a" → "b"\n'
        "\n"
        "messages      0 added, 0 removed, 1 changed, 0 unchanged\n"
        "tokens        8 → 8 (+0) by estimate:utf8/4\n"
        "prompt cache  nothing lost: the messages are equal\n"
    )


def test_a_message_that_moved_is_shown_by_its_first_words(store: Run) -> None:
    shown_texts = ["alpha", "beta beta", "gamma gamma"]
    ours = [commit(store, "-m", text) for text in shown_texts]
    theirs = [commit(store, "--branch", "other", "-c", "-m", "beta beta")]
    theirs += [commit(store, "--branch", "other", "-m", text) for text in ("gamma gamma", "alpha")]
    told = store("diff", ours[-1], theirs[-1]).out
    assert told.startswith(
        f"- [1] user  {ours[0][:12]}  moved to [3]  -6 tokens\n  alpha\n\n"
        f"+ [3] user  {theirs[-1][:12]}  moved from [1]  +6 tokens\n  alpha\n\n"
        "messages      1 added, 1 removed (1 of them moved), 0 changed, 2 unchanged\n"
    )


def test_a_change_of_role_is_in_the_header(store: Run) -> None:
    first = commit(store, "-m", "x")
    store("edit", first, "-m", "x", "--role", "system")
    assert store("diff").out.splitlines()[:2] == [f"~ [1] user → system  {first[:12]}  +1 tokens", ""]


def test_a_tool_call_reads_as_a_call_and_what_went_with_it_is_explained(store: Run) -> None:
    assert store("import", write("c.json", [CALL, RESULT])).code == 0
    head = store("log", "--json").document
    store("annotate", head[1]["commit_hash"], "skip")
    told = store("diff")
    assert [line for line in told.out.splitlines() if line[:1] == "-"] == [
        f"- [1] assistant  {head[1]['commit_hash'][:12]}  -13 tokens",
        '-calls search({"q":1})',
        f"- [2] tool search  {head[0]['commit_hash'][:12]}  -10 tokens",
        "-found",
    ]
    assert told.err == f"warning: commit {head[0]['commit_hash']} is left out with the other half of its tool call\n"


def test_what_people_do_not_read_shows_as_json_if_it_is_all_that_differs(store: Run) -> None:
    first = commit(store, "--json-content", json.dumps({"content_type": "message", "message": CALL}))
    other = {**CALL, "tool_calls": [{**CALL["tool_calls"][0], "id": "c2"}]}  # type: ignore[index,dict-item]
    store("edit", first, "--json-content", json.dumps({"content_type": "message", "message": other}))
    assert [line for line in store("diff").out.splitlines() if '"id"' in line] == [
        '-      "id": "c1",',
        '+      "id": "c2",',
    ]


def test_programs_get_the_whole_document(store: Run) -> None:
    before, first = edited(store)
    for options in (("--json",), ("--json", "--stat")):
        document = store("diff", before, *options).document
        assert (document["changed_count"], document["first_difference"], document["token_delta"]) == (1, 0, -1)
        assert document["entries"][0]["a"]["commit_hash"] == first
        assert document["entries"][0]["text_diff"] == "@@ -1,3 +1,3 @@\n one\n-two\n+2\n three"
    assert document["a"]["commit_hash"] == before


def test_no_difference_is_said(store: Run) -> None:
    head = commit(store, "-m", "x")
    assert store("diff", head, head).out == "no difference: 1 message, 8 tokens\n"


def test_a_store_without_commits_has_nothing_to_compare(store: Run) -> None:
    told = store("diff")
    assert (told.code, told.out, told.err) == (0, "no difference: 0 messages, 0 tokens\n", "no commits yet\n")
    assert store("diff", "--json").document["entries"] == []


def test_an_unknown_ref_fails_in_one_sentence(store: Run) -> None:
    commit(store, "-m", "x")
    told = store("diff", "nowhere")
    assert (told.code, told.out) == (1, "")
    assert told.err == "tract: commit 'nowhere' is not in tract 'default'; 'tract log' lists the commits\n"
    told = store("diff", "nowhere", "--json")
    assert (told.code, json.loads(told.err)["error"]) == (1, "CommitNotFoundError")


def test_a_third_ref_is_a_usage_error(store: Run) -> None:
    assert store("diff", "a", "b", "c").code == 2


def test_control_characters_are_shown_not_obeyed(store: Run) -> None:
    commit(store, "-m", "a\x1b[31mb\rc")
    for told in (store("diff").out, store("diff", "--stat").out):
        assert "\x1b" not in told and "\r" not in told and "a\\x1b[31mb" in told


def test_a_terminal_shows_what_came_in_green_and_what_went_in_red(store: Run, tmp_path: Path) -> None:
    edited(store)
    shown = on_terminal("diff", cwd=tmp_path)
    assert "\x1b[31m-two\x1b[0m" in shown and "\x1b[32m+2\x1b[0m" in shown and "\x1b[36m@@" in shown
    assert "\x1b" not in on_terminal("diff", cwd=tmp_path, NO_COLOR="1")


@pytest.mark.parametrize("arguments", [("diff",), ("diff", "--stat"), ("diff", "--json")])
def test_a_read_only_look_writes_nothing(store: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    edited(store)

    def synced() -> list[str]:
        return sorted(str(p) for p in (tmp_path / ".tract").rglob("*") if "local" not in p.parts)

    before = synced()
    assert store(*arguments).code == 0
    assert synced() == before


def two_texts(run: Run, before: str, after: str) -> None:
    target = commit(run, "-m", before)
    run("edit", target, "-m", after)


def test_side_by_side_shows_both_texts(store: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "43")
    two_texts(store, "one\ntwo words\nthree\nend", "one\ntwo signs that go on below\nthree\n日本語\nend")
    told = store("diff", "--side-by-side")
    assert (told.code, told.err) == (0, "")
    assert told.out.splitlines()[1:8] == [
        "@@ -1,4 +1,5 @@",
        "one                    one",
        "two words            | two signs that go on",
        "                        below",
        "three                  three",
        "                     > 日本語",
        "end                    end",
    ]
    assert store("diff", "--side-by-side", "--stat").code == 2


def test_side_by_side_obeys_no_text(store: Run) -> None:
    two_texts(store, "a\x1b[31m\u202eb\x9b", "c\x1b]0;t\x07\rd\u2066")
    out = store("diff", "--side-by-side").out
    assert not set(out) & set("\x1b\x9b\x07\r\u202e\u2066")
    assert "a\\x1b[31m\\u202eb\\x9b" in out and "c\\x1b]0;t\\x07\\x0dd\\u2066" in out


def test_a_terminal_sets_off_what_differs_within_a_line(store: Run, tmp_path: Path) -> None:
    two_texts(store, "two words here\nand\n- a list", "two other here\nand\n+ a list")
    shown = on_terminal("diff", cwd=tmp_path)
    assert "\x1b[31m-two \x1b[0m\x1b[31m\x1b[1mwords\x1b[0m\x1b[31m here\x1b[0m" in shown
    assert "\x1b[32m+two \x1b[0m\x1b[32m\x1b[1mother\x1b[0m\x1b[32m here\x1b[0m" in shown
    plain = store("diff").out.splitlines()
    assert plain[2:7] == ["-two words here", "+two other here", " and", "-- a list", "++ a list"]
