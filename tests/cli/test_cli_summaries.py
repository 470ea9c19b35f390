"""The commands `tract summarize` and `tract expand`, as people and scripts use them."""

from __future__ import annotations

import json

import pytest

from tests.lab.command import Run, commit, shown_texts


def three(store: Run) -> list[str]:
    return [commit(store, "-m", text) for text in ("one", "two", "three")]


def test_commits_are_summarized_by_a_text_of_the_system(store: Run) -> None:
    one, two, _ = three(store)
    told = store("summarize", two[:10], one, "-m", "both")
    head = store("log", "--json").document[0]["commit_hash"]
    assert (told.code, told.err) == (0, "")
    assert told.out == f"[main {head[:12]}] stands for 2 commits: dialogue, 6 tokens\n"
    messages = store("compile", "--json").document["messages"]
    assert messages == [{"role": "system", "content": "both"}, {"role": "user", "content": "three"}]


def test_a_stretch_is_summarized_by_what_is_on_stdin(store: Run) -> None:
    _, two, three_ = three(store)
    told = store("summarize", "--first", two, "--last", "main", "--json", stdin=b"zwei, drei")
    assert told.code == 0
    document = told.document
    assert (document["operation"], document["targets"]) == ("summarize", [two, three_])
    assert (document["branch"], document["warnings"]) == ("main", [])
    assert shown_texts(store) == ["one", "zwei, drei"]


def test_content_config_and_message_are_taken_as_json(store: Run) -> None:
    one = commit(store, "--type", "instruction", "-m", "rules")
    content = {"content_type": "reasoning", "text": "thought"}
    options = ["--config", "temperature=0.5", "--message", "shorter", "--include-pinned", "--expected-head", one]
    made = store("summarize", one, "--json-content", json.dumps(content), "--json", *options).document
    assert (made["content_type"], made["message"]) == ("reasoning", "shorter")
    assert made["generation_config"] == {"temperature": 0.5}
    assert shown_texts(store) == ["thought"]


def test_a_pair_that_the_summary_parts_is_warned_of(store: Run) -> None:
    payload = ["--type", "tool_io", "-m", "{}", "--field", "tool_name=t", "--field", "call_id=c1"]
    call = commit(store, *payload, "--field", "direction=call")
    result = commit(store, *payload, "--field", "direction=result")
    told = store("summarize", call, "-m", "called")
    assert told.err == f"warning: commit {result} is left out with the other half of its tool call\n"


def test_expand_lists_the_commits_that_a_summary_stands_for(store: Run) -> None:
    one, two, _ = three(store)
    summary = store("summarize", one, two, "-m", "both", "--json").document["commit_hash"]
    assert [info["commit_hash"] for info in store("expand", summary[:8], "--json").document] == [one, two]
    lines = store("expand", summary).out.splitlines()
    assert [(line.split()[0], line.split()[-1]) for line in lines[1:]] == [(one[:12], "one"), (two[:12], "two")]
    assert store("log", "-n", "1").out.splitlines()[1].endswith("for 2 commits: system: both")


def test_a_skip_of_a_summary_brings_back_what_it_stood_for(store: Run) -> None:
    one, two, _ = three(store)
    summary = store("summarize", one, two, "-m", "both", "--json").document["commit_hash"]
    assert store("annotate", summary, "skip").code == 0
    assert shown_texts(store) == ["one", "two", "three"]


@pytest.mark.parametrize(
    "arguments",
    [[], ["--first", "main"], ["--last", "main"], ["main", "--first", "main", "--last", "main"]],
)
def test_commits_or_both_ends_are_asked_for(store: Run, arguments: list[str]) -> None:
    three(store)
    told = store("summarize", *arguments, "-m", "s")
    assert (told.code, "give COMMITs, or --first and --last" in told.err) == (2, True)


def test_what_is_refused_is_told_in_a_sentence(store: Run) -> None:
    one, *_ = three(store)
    told = store("summarize", "nowhere", "-m", "s")
    assert (told.code, told.err.startswith("tract: commit 'nowhere' is not in tract 'default'")) == (1, True)
    told = store("expand", one, "--json")
    assert (told.code, json.loads(told.err)["error"]) == (1, "SummarizeError")
    assert store("summarize", one, "-m", "s", "--json-content", "{}").code == 2
