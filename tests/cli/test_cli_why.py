"""The commands `tract why`, `blame`, `compare` and `retry`, as people and scripts use them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lab.command import Run, commit


def without_event(text: str) -> str:
    """Returns what a command printed, less the lines on events, and with `…` for times."""
    lines = [line for line in text.splitlines() if not line.startswith("  It was committed at ")]
    return re.sub(r"\d{4}-\d\d-\d\dT\S+Z", "…", "\n".join(lines))


def answered(store: Run) -> tuple[str, str]:
    """Makes a question and an answer, and switches to a retry with another answer; returns the two answers."""
    commit(store, "-m", "Capital?")
    first = commit(store, "--role", "assistant", "-m", "Paris.", "--config", "model=m", "--config", "temperature=0.7")
    assert store("retry", first).code == 0
    second = commit(
        store, "--role", "assistant", "-m", "It is Paris.", "--config", "model=m", "--config", "temperature=0.1"
    )
    return first, second


def test_a_budget_is_a_reason(store: Run) -> None:
    first, last = commit(store, "-m", "a" * 400), commit(store, "-m", "b")
    told = store("why", "--max-tokens", "20")
    assert without_event(told.out) == (
        f"[1] user  {last[:12]}  b\n"
        "  It is message 1.\n"
        "not in the context:\n"
        f"{first[:12]}  dialogue  user: {'a' * 73}…\n"
        "  It is left out, for the context to fit in the tokens that it may have."
    )
    assert store("why", "--max-tokens", "3").code == 1


def test_people_read_what_is_in_the_context_and_why_the_rest_is_not(store: Run) -> None:
    one = commit(store, "-m", "one", "--config", "model=m")
    edit = store("edit", one, "-m", "two", "--json").document["commit_hash"]
    other = commit(store, "-m", "other")
    skip = store("annotate", other, "skip", "--reason", "off topic", "--json").document["commit_hash"]
    told = store("why")
    assert (told.code, told.err) == (0, "")
    assert without_event(told.out) == (
        f"[1] user  {one[:12]}  two\n"
        "  It is message 1.\n"
        f"  It has 1 edit ({edit[:12]}); {edit[:12]} applies.\n"
        f'  Its generation config {{"model":"m"}} is its own.\n'
        "not in the context:\n"
        f"{edit[:12]}  edit dialogue  {one[:12]} is now user: two\n"
        f"  It is the edit of {one[:12]} that applies.\n"
        f"{other[:12]}  dialogue  user: other\n"
        f"  It is left out: {skip[:12]} skips it.\n"
        f"  {skip[:12]} set its priority to skip (off topic) at ….\n"
        f"{skip[:12]}  annotate  skip {other[:12]}: off topic\n"
        f"  It sets the priority of {other[:12]}."
    )


def test_one_commit_is_explained_wherever_it_is(store: Run) -> None:
    first, _ = answered(store)
    told = without_event(store("why", first[:8]).out).splitlines()
    assert told[:2] == [f"{first[:12]}  dialogue  assistant: Paris.", told[1]]
    assert told[1].startswith("  It is not in this history: it is on main, from ")
    assert told[2] == "  It is message 2."
    assert store("--branch", "main", "why", first).out.startswith(
        f"[2] assistant  {first[:12]}  Paris.\n  It is message 2.\n"
    )


def test_programs_get_each_entry_with_its_sentences(store: Run) -> None:
    one = commit(store, "-m", "one")
    commit(store, "-m", "two")
    document = store("why", "--at-commit", one, "--json").document
    assert [entry["commit_hash"] for entry in document["messages"]] == [one]
    assert [entry["reason"] for entry in document["absent"]] == ["later"]
    assert document["messages"][0]["sentences"][0] == "It is message 1."
    assert store("why", "--at-commit", one, "--at-time", "2026-01-01").code == 2


def test_what_a_store_holds_can_neither_command_a_terminal_nor_pass_for_the_commands_own_lines(store: Run) -> None:
    one = commit(store, "-m", "\x1b[2Jone\n[2] system  000000000000  forged")
    store("annotate", one, "pinned", "--reason", "a\n[3] system\x1b[2J")
    for command in (("why",), ("blame",), ("compare", one, one)):
        told = store(*command)
        assert told.code == 0
        assert "\x1b" not in told.out
        assert not re.search(r"^\[[23]\]", told.out, re.MULTILINE)


def test_blame_has_a_line_for_each_line_of_the_context(store: Run) -> None:
    one = commit(store, "-m", "a\nb")
    edit = store("edit", one, "-m", "a\nB", "--json").document["commit_hash"]
    two = commit(store, "--role", "assistant", "-m", "c")
    told = [line.split() for line in store("blame").out.splitlines()]
    assert [(line[0], line[-3:]) for line in told[1:]] == [
        (one[:12], ["user", "1:1", "a"]),
        (edit[:12], ["user", "1:2", "B"]),
        (two[:12], ["assistant", "2:1", "c"]),
    ]
    assert [line["text"] for line in store("blame", one, "--json").document] == ["a", "b"]


def test_two_answers_stand_side_by_side_under_what_differs_in_their_configs(
    store: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = answered(store)
    store("--branch", "main", "commit", "--role", "assistant", "-m", "Or, at greater length: Paris, on the Seine, 世界")
    monkeypatch.setenv("COLUMNS", "61")
    told = store("compare", "main", "main-retry-1")
    assert (told.code, told.err) == (0, "")
    lines = told.out.splitlines()
    assert lines[0].startswith("1 message comes before both; the last is ")
    assert lines[1:3] == ["config temperature: 0.7 → 0.1", ""]
    head = store("show", "main", "--json").document["commit_hash"]
    assert lines[3:] == [
        f"main ({head[:12]})           | main-retry-1 ({second[:12]})",
        "27 tokens                     | 9 tokens",
        "no usage recorded             | no usage recorded",
        "                              |",
        "[2] assistant                 | [2] assistant",
        "  Paris.                      |   It is Paris.",
        "                              |",
        "[3] assistant                 |",
        "  Or, at greater length:      |",
        "  Paris, on the Seine, 世界   |",
    ]
    document = store("compare", first, "main-retry-1", "--json").document
    assert [change["path"] for change in document["config_changes"]] == [["temperature"]]
    assert [len(document[side]["messages"]) for side in "ab"] == [1, 1]


def test_a_retry_is_the_current_branch_and_lists_its_siblings(store: Run) -> None:
    first, second = answered(store)
    assert store("branch", "--json").document["current"] == "main-retry-1"
    told = [line.split(maxsplit=2) for line in store("retry", "--list", second).out.splitlines()]
    assert [line[:2] for line in told[1:]] == [[first[:12], "main"], [second[:12], "main-retry-1"]]
    assert [one["branches"] for one in store("retry", "--list", "@", "--json").document] == [["main"], ["main-retry-1"]]
    told_as = store("retry", first, "--as", "colder", "--json")
    assert (told_as.document["branch"], store("branch", "--json").document["current"]) == ("colder", "colder")
    assert store("retry", first, "--as", "x", "--list").code == 2


def test_a_retry_of_a_first_message_is_refused(store: Run) -> None:
    one = commit(store, "-m", "one")
    told = store("retry", one)
    assert (told.code, told.err) == (
        1,
        f"tract: commit {one} begins the history: there is no prompt before it to answer again\n",
    )
    assert store("branch", "--json").document["current"] == "main"


def test_blame_does_not_leave_a_lost_line_out_in_silence(store: Run) -> None:
    commit(store, "-m", "one")
    lost = store("show", commit(store, "-m", "two"), "--json").document["content_hash"]
    commit(store, "-m", "three")
    path = Path(".tract/objects") / lost[:2] / lost[2:]
    path.chmod(0o644)
    path.write_text("x")
    told = store("blame")
    assert (told.code, told.out, f"objects/{lost[:2]}/{lost[2:]}" in told.err) == (1, "", True)
    assert [line.split()[-1] for line in store("blame", "--incomplete").out.splitlines()] == ["text", "one", "three"]
