"""Message lists as sessions: lists, request bodies and responses of OpenAI and Anthropic, as documents and as JSON lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tract_fs import InstructionContent, ToolsContent, Tract
from tract_fs.capture.discover import is_session
from tract_fs.capture.files import open_source
from tract_fs.errors import ArgumentError, TranscriptFormatUnknown
from tract_fs.transcripts import read_transcripts
from tract_fs.transcripts.transcript import Transcript

USER = {"role": "user", "content": "hi"}
OK = {"role": "assistant", "content": "ok"}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}


def read(value: Any, *, indent: int | None = None) -> list[Transcript]:
    return read_transcripts(open_source(json.dumps(value, indent=indent).encode()))


def lines(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def contents(transcript: Transcript) -> list[Any]:
    positions = transcript.branches[0].positions
    return [content for position in positions for content in transcript.entry(position).contents]


CHAT = {"model": "m-1", "temperature": 0.5, "stream": True, "tools": [TOOL], "messages": [USER, OK]}
BLOCKS = [USER, {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]}]
ITEMS = [USER, {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}]
CALL = {"role": "assistant", "type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
SYSTEM = [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    ("value", "format", "expected"),
    [
        ([USER, OK], "openai-chat", [USER, OK]),
        (CHAT, "openai-chat", [ToolsContent([TOOL]), USER, OK]),
        ({"traj": [USER, OK], "task_id": 1}, "openai-chat", [USER, OK]),
        ({"environment": "x", "trajectory": [{"action": "ls"}], "history": [USER, OK]}, "openai-chat", [USER, OK]),
        (BLOCKS, "anthropic", BLOCKS),
        ({"messages": BLOCKS}, "anthropic", BLOCKS),
        ({"system": "be brief", "messages": [USER]}, "anthropic", [InstructionContent("be brief"), USER]),
        ({"system": SYSTEM, "messages": [USER]}, "anthropic", [InstructionContent("a\n\nb"), USER]),
        (ITEMS, "openai-responses", [USER, CALL]),
        (
            {"instructions": "be brief", "tools": [TOOL], "input": ITEMS},
            "openai-responses",
            [InstructionContent("be brief"), ToolsContent([TOOL]), USER, CALL],
        ),
        (
            {"model": "m", "instructions": "be brief", "input": "hi"},
            "openai-responses",
            [InstructionContent("be brief"), USER],
        ),
    ],
)
def test_a_document_is_of_its_provider_and_comes_back(
    tmp_path: Path, value: Any, format: str, expected: list[Any], indent: int | None
) -> None:
    (transcript,) = read(value, indent=indent)
    assert (transcript.format, transcript.id, transcript.flaws) == (format, "", [])
    assert contents(transcript) == expected
    with Tract.open(tmp_path) as tract:
        data = json.dumps(value, indent=indent).encode()
        assert tract.import_transcript(data).entries == transcript.count
        assert json.loads(tract.export_transcript()) == value
        assert tract.import_transcript(data).added == 0


def test_the_parameters_of_a_request_are_the_config_of_what_the_model_made() -> None:
    (transcript,) = read(CHAT)
    assert [transcript.entry(position).config for position in range(3)] == [
        None,
        None,
        {"model": "m-1", "temperature": 0.5},
    ]
    (transcript,) = read(
        {"model": "m", "max_tokens": 9, "system": "x", "thinking": {"type": "adaptive"}, "messages": [OK]}
    )
    assert transcript.entry(1).config == {"model": "m", "max_tokens": 9, "thinking": {"type": "adaptive"}}
    (transcript,) = read({"model": "m", "reasoning": {"effort": "high"}, "input": [USER, *ITEMS, OK]})
    assert transcript.entry(4).config == {"model": "m", "reasoning": {"effort": "high"}}


COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_778_486_437,
    "model": "m-1",
    "choices": [{"index": 0, "message": OK, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1_778_486_437,
    "model": "m-1",
    "temperature": 1.0,
    "output": [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "ok"}]},
    ],
    "usage": {"input_tokens": 9, "output_tokens": 2, "total_tokens": 11},
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m-1",
    "content": [{"type": "text", "text": "ok"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 9, "output_tokens": 2},
}


@pytest.mark.parametrize(
    ("response", "format", "config", "texts"),
    [
        (COMPLETION, "openai-chat", {"model": "m-1"}, ["ok"]),
        (RESPONSE, "openai-responses", {"model": "m-1", "temperature": 1.0}, [None, [{"type": "output_text", "text": "ok"}]]),
        (MESSAGE, "anthropic", {"model": "m-1"}, [[{"type": "text", "text": "ok"}]]),
    ],
)  # fmt: skip
def test_a_response_is_a_message_with_its_config_and_usage(
    tmp_path: Path, response: Any, format: str, config: Any, texts: list[Any]
) -> None:
    (transcript,) = read(response)
    assert (transcript.format, transcript.count) == (format, 1)
    entry = transcript.entry(0)
    assert (entry.config, entry.usage) == (config, response["usage"])
    assert [content.get("content") for content in entry.contents] == texts  # type: ignore[attr-defined]
    with Tract.open(tmp_path) as tract:
        tract.import_transcript(json.dumps(response).encode())
        assert json.loads(tract.export_transcript()) == response


def test_responses_a_line_are_one_session(tmp_path: Path) -> None:
    data = lines(RESPONSE, {**RESPONSE, "id": "resp_2"}, {"note": 1}) + b'{"id":"resp_3", torn'
    with Tract.open(tmp_path) as tract:
        report = tract.import_transcript(data)
        assert (report.format, report.entries, report.messages) == ("openai-responses", 4, 4)
        assert [flaw.line for flaw in report.flaws] == [4]
        exported = tract.export_transcript().splitlines()
        assert [json.loads(line) for line in exported[:3]] == [RESPONSE, {**RESPONSE, "id": "resp_2"}, {"note": 1}]
        assert exported[3] == b'{"id":"resp_3", torn'
        report = tract.import_transcript(lines(RESPONSE, {**RESPONSE, "id": "resp_2"}, {"note": 1}, RESPONSE))
        assert (report.added, report.edited) == (2, 1)


def test_items_a_line_are_one_session() -> None:
    (transcript,) = read_transcripts(open_source(lines(*ITEMS, *ITEMS)))
    assert transcript.format == "openai-responses"
    assert contents(transcript) == [USER, CALL, USER, CALL]
    assert [transcript.entry(position).key for position in range(4)] == ["1", "2", "3", "4"]


def test_plain_messages_a_line_stay_plain_lines() -> None:
    (transcript,) = read_transcripts(open_source(lines(USER, OK)))
    assert transcript.format == "jsonl"


BODIES = [CHAT, {"messages": [USER]}, {"messages": [OK, OK]}]


@pytest.mark.parametrize("data", [json.dumps(BODIES).encode(), lines(*BODIES)])
def test_several_conversations_of_a_file_are_chosen_by_their_id(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "requests.json"
    path.write_bytes(data)
    with Tract.open(tmp_path / "store") as tract:
        with pytest.raises(ArgumentError, match="requests-1, requests-2, requests-3"):
            tract.import_transcript(path)
        assert tract.import_transcript(path, session_id="requests-3").messages == 2
        assert json.loads(tract.export_transcript()) == BODIES[2]
    assert [transcript.id for transcript in read_transcripts(open_source(data))] == ["1", "2", "3"]


def test_a_line_between_bodies_is_reported() -> None:
    found = read_transcripts(open_source(lines(CHAT, {"note": 1}, CHAT) + b"{torn"))
    assert [transcript.id for transcript in found] == ["1", "3"]
    assert [(flaw.line, flaw.outcome) for flaw in found[0].flaws] == [(4, "kept"), (2, "skipped")]


def test_an_id_that_is_used_twice_is_made_unique() -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"}
    (transcript,) = read([USER, call, call])
    assert [transcript.entry(position).key for position in range(4)] == ["document", "@1", "fc_1", "fc_1#2"]
    assert len(transcript.flaws) == 1


def test_a_list_that_grows_adds_what_is_new(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as tract:
        tract.import_transcript(json.dumps(CHAT).encode())
        report = tract.import_transcript(json.dumps({**CHAT, "messages": [USER, OK, USER]}).encode())
        assert (report.added, report.edited, report.branches) == (1, 0, ())
        report = tract.import_transcript(json.dumps({**CHAT, "model": "m-2", "messages": [USER, OK, USER]}).encode())
        assert (report.edited, report.branches) == (1, ())
        assert json.loads(tract.export_transcript()) == {**CHAT, "model": "m-2", "messages": [USER, OK, USER]}


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1},
        [],
        [1, 2],
        [{"content": "no role"}],
        {"messages": []},
        {"messages": "x"},
        {"history": [{"source": "agent", "action": "run"}]},
        {"conversations": [{"from": "human", "value": "hi"}]},
        "text",
    ],
)
def test_what_is_no_list_of_messages_is_of_no_format(value: Any) -> None:
    with pytest.raises(TranscriptFormatUnknown):
        read(value)


@pytest.mark.parametrize(
    "value",
    [
        [USER, None, 7, {"role": 3}, {"role": ""}, OK],
        {"messages": [USER, {"role": "user", "content": "lone \ud800 surrogate"}], "seed": 2**70},
        {**CHAT, "tools": ["x"], "model": 5},
        {"system": 5, "messages": [USER], "tools": [7], "stop_sequences": None},
        {"model": "m", "instructions": [], "tools": {}, "input": [USER, "text"]},
        {**COMPLETION, "choices": []},
        {**COMPLETION, "choices": [None], "usage": "much"},
        {**RESPONSE, "output": [None, {"type": 5}, {"type": "message"}], "usage": {"input_tokens": -1}},
        {**MESSAGE, "content": None, "usage": None},
        {**RESPONSE, "": [1], "input": [2]},
    ],
)
def test_odd_values_come_in_and_back(tmp_path: Path, value: Any) -> None:
    with Tract.open(tmp_path) as tract:
        tract.import_transcript(json.dumps(value).encode())
        assert json.loads(tract.export_transcript()) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([USER, OK], False),
        (CHAT, False),
        ({"system": "x", "messages": [USER]}, False),
        (MESSAGE, False),
        (COMPLETION, True),
        (RESPONSE, True),
        (ITEMS, True),
    ],
)
def test_what_an_import_of_conversations_takes_is_no_session(tmp_path: Path, value: Any, expected: bool) -> None:
    (tmp_path / "file.json").write_text(json.dumps(value))
    assert is_session(str(tmp_path / "file.json")) is expected


def test_each_sample_of_an_evaluation_is_a_session(tmp_path: Path) -> None:
    def sample(number: int) -> dict[str, Any]:
        made = {"id": "m2", "role": "assistant", "content": str(number), "model": "m-2", "source": "generate"}
        return {"id": number, "epoch": 1, "target": "x", "messages": [{"id": "m1", **USER}, made]}

    known = {"eval_id": "e-1", "task": "sums", "model": "m-1", "model_generate_config": {"temperature": 0.5}}
    log = {"version": 2, "status": "success", "eval": known, "samples": [sample(1), sample(2)]}
    found = read(log)
    assert [(one.format, one.id, one.title) for one in found] == [
        ("inspect", "e-1-1-1", "sums 1"),
        ("inspect", "e-1-2-1", "sums 2"),
    ]
    assert found[1].entry(2).config == {"temperature": 0.5, "model": "m-2"}
    with Tract.open(tmp_path) as tract:
        tract.import_transcript(json.dumps(log).encode(), session_id="e-1-2-1")
        assert [message.content for message in tract.compile().messages] == ["hi", "2"]
        assert json.loads(tract.export_transcript()) == sample(2)
        assert read(sample(2))[0].format == "inspect"
