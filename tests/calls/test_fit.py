"""Fitting a context to a budget: what is shortened, what goes, what stays; for one compile, or for good."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conversations import CONVERSATIONS, exported
from tests.lab.oracles import check, unpaired
from tests.lab.talk import Clock, say, say_one, texts
from tract_fs import (
    ContextTooLarge,
    DialogueContent,
    FitCandidate,
    InstructionContent,
    MessageContent,
    ToolIOContent,
    ToolsContent,
    Tract,
)
from tract_fs.cli import main
from tract_fs.errors import ArgumentError, HeadMoved

FORMS = list(CONVERSATIONS)
Fields = dict[str, Any]


@pytest.fixture
def t(tmp_path: Path) -> Iterator[Tract]:
    with Tract.open(tmp_path, durability="fast", clock=Clock()) as opened:
        yield opened


def call_and_result(t: Tract, id_: str, input_chars: int, output_chars: int) -> tuple[str, str]:
    call = t.commit(ToolIOContent("f", "call", {"x": "i" * input_chars}, call_id=id_)).commit_hash
    return call, t.commit(ToolIOContent("f", "result", "o" * output_chars, call_id=id_)).commit_hash


def mark(chars: str, commit: str) -> str:
    return f"[{chars} characters left out; the whole is in commit {commit[:12]}]"


def test_what_fits_stays_as_it_is(t: Tract) -> None:
    say(t, "one", "two")
    assert t.compile(max_tokens=13).messages == t.compile().messages
    with pytest.raises(ContextTooLarge) as caught:
        say(t, "x" * 400)
        t.compile(max_tokens=13)
    assert (caught.value.max_tokens, caught.value.token_count) == (13, 3 + 3 + 1 + 100)


def test_the_largest_old_payloads_are_shortened_first_inputs_as_well_as_results(t: Tract) -> None:
    first = call_and_result(t, "a", 4000, 2000)
    second = call_and_result(t, "b", 10, 3000)
    say(t, "go on")
    assert t.compile().token_count == 2299
    context = t.compile(max_tokens=1400)
    assert context.token_count == 1365
    sent = context.to_openai()
    assert sent[0]["tool_calls"][0]["function"]["arguments"] == f'{{"x":"{"i" * 200} {mark("3,800", first[0])}"}}'
    assert sent[1]["content"] == "o" * 2000
    assert context.warnings == [
        f"commit {first[0]}: its tool payload is shortened from 1,011 to 77 tokens, to fit in 1,400"
    ]
    context = t.compile(max_tokens=800)
    assert context.to_openai()[3]["content"] == f"{'o' * 200} {mark('2,800', second[1])}"
    assert len(context.messages) == 5
    assert t.compile().warnings == [] and t.compile().token_count == 2299


def test_then_the_oldest_go_a_call_and_its_results_together(t: Tract) -> None:
    t.commit(InstructionContent("be brief"))
    (one,) = say(t, "one " * 30)
    call, result = call_and_result(t, "a", 10, 10)
    two, three = say(t, "two " * 30, "three")
    context = t.compile(max_tokens=60)
    assert [message.content for message in context.messages] == ["be brief", "two " * 30, "three"]
    assert [warning.split()[1] for warning in context.warnings] == [one, call, result]
    assert "is left out, with 34 tokens, to fit in 60" in context.warnings[0]
    assert context.commit_hashes[1:] == [two, three]
    assert len(context.generation_configs) == len(context.token_counts) == 3
    assert context.head == t.head


def test_pinned_messages_summaries_and_the_last_stay(t: Tract) -> None:
    pinned, gone, kept = say(t, "pinned", "gone " * 20, "gone too " * 20)
    t.annotate(pinned, "pinned")
    t.summarize([gone, kept], DialogueContent("user", "both"))
    t.commit(ToolsContent([{"name": "f", "input_schema": {"type": "object"}}]))
    (old,) = say(t, "old " * 50)
    call, result = call_and_result(t, "z", 3000, 3000)
    context = t.compile(max_tokens=220)
    assert [message.content for message in context.messages][:2] == ["pinned", "both"]
    assert context.commit_hashes[2:] == [call, result]
    assert [warning.split()[1].rstrip(":") for warning in context.warnings] == [call, result, old]
    assert context.tools != []


def test_a_policy_decides(t: Tract) -> None:
    one, two, three = say(t, "one " * 20, "two " * 20, "three " * 20)
    call, result = call_and_result(t, "a", 10, 10)
    say(t, "last")
    seen: list[Any] = []

    def newest_first(candidates: list[FitCandidate], over: int) -> list[str]:
        seen.append((over, [(one.commit_hash, one.tokens, one.with_commits) for one in candidates]))
        return [candidate.commit_hash for candidate in reversed(candidates)]

    context = t.compile(max_tokens=70, policy=newest_first)
    assert context.commit_hashes[:2] == [one, two] and len(context.messages) == 3
    over, candidates = seen[0]
    assert over == t.compile().token_count - 70
    assert [candidate[0] for candidate in candidates] == [one, two, three, call, result]
    assert candidates[3][2] == candidates[4][2] == (call, result)
    with pytest.raises(ContextTooLarge):
        t.compile(max_tokens=70, policy=lambda candidates, over: [])
    with pytest.raises(ArgumentError, match="none of the commits"):
        t.compile(max_tokens=70, policy=lambda candidates, over: ["f" * 64])


def test_arguments_are_checked(t: Tract) -> None:
    for options in (
        {"max_tokens": 0},
        {"max_tokens": "many"},
        {"max_tokens": 1, "policy": "oldest"},
        {"policy": lambda candidates, over: []},
        {"max_tokens": 1, "aggregate_same_role": True},
    ):
        with pytest.raises(ArgumentError):
            t.compile(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("source", FORMS)
def test_payloads_of_every_shape_are_shortened_and_stay_valid(t: Tract, source: str) -> None:
    long = "l" * 5000
    shapes: dict[str, list[Fields]] = {
        "openai": [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": f'{{"x":"{long}"}}'}},
                    {"id": "b", "type": "custom", "custom": {"name": "g", "input": long}},
                ],
            },
            {"role": "tool", "tool_call_id": "a", "content": long},
            {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": long}]},
        ],
        "anthropic": [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {"x": [long]}}]},
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "a",
                        "content": [
                            {"type": "text", "text": long},
                            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": long}},
                        ],
                    }
                ],
            },
        ],
        "openai-responses": [
            {"type": "function_call", "call_id": "a", "name": "f", "arguments": f'{{"x":"{long}"}}'},
            {"type": "custom_tool_call", "call_id": "b", "name": "g", "input": long},
            {"type": "function_call_output", "call_id": "a", "output": long},
            {"type": "custom_tool_call_output", "call_id": "b", "output": [{"type": "input_text", "text": long}]},
        ],
        "gemini": [
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"x": {"y": long}}}}]},
            {
                "role": "user",
                "parts": [
                    {
                        "functionResponse": {
                            "name": "f",
                            "response": {"output": long},
                            "parts": [{"inlineData": {"mimeType": "image/png", "data": long}}],
                        }
                    }
                ],
            },
        ],
    }
    say(t, "q")
    t.import_messages(shapes[source])
    say(t, "n")
    whole = len(t.compile().messages)
    context = t.compile(max_tokens=900)
    assert len(context.messages) == whole
    assert max(context.token_counts) < 300
    for form in FORMS:
        sent = exported(context, form)
        check(form, sent)
        assert unpaired(form, sent) == []


def test_an_object_of_many_small_values_is_shortened_to_one_text(t: Tract) -> None:
    call = ToolIOContent("f", "call", {f"key{n}": n for n in range(500)}, call_id="a")
    made = t.commit(call).commit_hash
    t.commit(ToolIOContent("f", "result", "ok", call_id="a"))
    say(t, "n")
    payload = t.compile(max_tokens=200).messages[0].fields()["payload"]
    assert payload.keys() == {"shortened"} and payload["shortened"].endswith(f"in commit {made[:12]}]")


# for good


def test_fit_commits_the_skips_and_edits_in_one_transaction(t: Tract) -> None:
    (one,) = say(t, "one " * 100)
    old = say_one(t, "old", generation_config={"model": "m-0"})
    first = call_and_result(t, "a", 3000, 3000)
    t.edit(first[1], ToolIOContent("f", "result", "e" * 2000, call_id="a"), generation_config={"model": "m-1"})
    last = say_one(t, "last")
    before, planned = t.head, t.compile(max_tokens=200)
    assert planned.commit_hashes == [old, *first, last]
    with pytest.raises(HeadMoved):
        t.fit(200, expected_head=one)
    assert t.head == before
    context = t.fit(200)
    assert context.messages == planned.messages == t.compile().messages
    assert context.warnings == planned.warnings
    assert context.token_count == planned.token_count
    assert [info.operation.value for info in t.log()[:4]] == ["annotate", "edit", "edit", "append"]
    assert t.get_annotations(one)[-1].reason == "to fit in 200 tokens"
    assert context.generation_configs == planned.generation_configs == [{"model": "m-0"}, {}, {"model": "m-1"}, {}]
    head = t.head
    assert t.fit(200).warnings == [] and t.head == head
    t.undo()
    assert (t.head, len(t.compile().messages)) == (before, 5)
    with pytest.raises(ContextTooLarge):
        t.fit(5)
    assert t.head == before


def test_fit_in_a_batch_and_by_a_policy(t: Tract) -> None:
    with t.batch():
        one, two, three = say(t, "one " * 20, "two " * 20, "three")
        t.fit(40, policy=lambda candidates, over: [candidates[-1].commit_hash], message="as told")
    assert texts(t) == ["one " * 20, "three"]
    assert t.get_annotations(two)[-1].reason == "as told"
    assert t.get_annotations(one) == []
    assert three == t.compile().commit_hashes[-1]


def test_a_fitted_context_of_blobs_keeps_naming_them(t: Tract) -> None:
    name = t.put_blob(b"\x89PNG\r\n\x1a\n")
    image = {"type": "image", "source": {"type": "blob", "hash": name, "media_type": "image/png"}}
    t.commit(
        MessageContent({"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]})
    )
    result = {"type": "tool_result", "tool_use_id": "a", "content": "r" * 4000}
    made = t.commit(MessageContent({"role": "user", "content": [image, result]})).commit_hash
    say(t, "n")
    t.fit(2000)
    content: Any = t.get_content(t.log(operation="edit")[0].commit_hash)
    assert content.message["content"][0] == image
    assert "left out; the whole is in commit" in content.message["content"][1]["content"]
    assert made in t.compile().commit_hashes


def test_the_command_fits_a_context(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Tract.open(tmp_path) as t:
        say(t, "one " * 40, "two")
    assert main(["-C", str(tmp_path), "compile", "--max-tokens", "20", "--format", "anthropic"]) == 0
    shown = capsys.readouterr()
    assert '"two"' in shown.out and "one" not in shown.out
    assert "is left out, with 44 tokens, to fit in 20" in shown.err
    assert main(["-C", str(tmp_path), "compile", "--max-tokens", "5"]) == 1
    assert "can't be made to fit in 5 tokens" in capsys.readouterr().err
