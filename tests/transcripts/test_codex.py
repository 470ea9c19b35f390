"""Codex rollouts: what the model saw, what was taken back, compacted or forked, and what Codex itself would load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lab.processes import ROOT
from tract_fs import Tract
from tract_fs.capture import files
from tract_fs.capture.files import open_source
from tract_fs.errors import ArgumentError
from tract_fs.transcripts import codex, read_transcripts
from tract_fs.transcripts.codex_resume import write
from tract_fs.transcripts.resume import ResumeContext
from tract_fs.transcripts.transcript import Transcript

Record = dict[str, Any]


def line(number: int, kind: str, payload: Record, *, ordinal: int | None = None) -> Record:
    known = {} if ordinal is None else {"ordinal": ordinal}
    return {"timestamp": f"2026-05-11T08:00:00.{number:03}Z", **known, "type": kind, "payload": payload}


def said(role: str, text: str, **fields: Any) -> Record:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}], **fields}


def call(call_id: str, **fields: Any) -> Record:
    return {"type": "function_call", "name": "f", "arguments": "{}", "call_id": call_id, **fields}


def output(call_id: str, text: str) -> Record:
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def rollout(*lines: tuple[str, Record], header: Record | None = None) -> list[Record]:
    """Returns a legacy rollout of thread `t-1`."""
    meta = {"id": "t-1", "timestamp": "2026-05-11T08:00:00.000Z", "cwd": "/work", **(header or {})}
    found = [line(number, kind, payload) for number, (kind, payload) in enumerate(lines, 1)]
    return [line(0, "session_meta", meta), *found]


def paginated(first: int, *lines: tuple[str, Record], thread: str = "t-1", **header: Any) -> list[Record]:
    meta = {"id": thread, "timestamp": "2026-05-11T08:00:00.000Z", "history_mode": "paginated", **header}
    numbered = enumerate([("session_meta", meta), *lines], first)
    return [line(number, kind, payload, ordinal=number) for number, (kind, payload) in numbered]


def item(payload: Record) -> tuple[str, Record]:
    return "response_item", payload


def event(kind: str, **fields: Any) -> tuple[str, Record]:
    return "event_msg", {"type": kind, **fields}


def data_of(records: list[Record]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def read(records: list[Record] | bytes) -> Transcript:
    (found,) = read_transcripts(open_source(records if isinstance(records, bytes) else data_of(records)))
    assert found.format == "codex"
    return found


def texts_of(message: Any) -> str:
    content = message.get("content") or message.get("output") or message.get("arguments") or message["type"]
    return content if isinstance(content, str) else " ".join(part["text"] for part in content if "text" in part)


def shown(transcript: Transcript, branch: int = 0) -> list[str]:
    """Returns the text of each message of a branch, with its role."""
    entries = (transcript.entry(position) for position in transcript.branches[branch].positions)
    contents = [content for entry in entries for content in entry.contents]
    return [f"{content['role']}: {texts_of(content)}" for content in contents if isinstance(content, dict)]


def compiled(tract: Tract) -> list[Any]:
    """Returns the role and the text of each message of the context."""
    found = []
    for message in tract.compile().messages:
        content = message.content
        found.append((message.role, content if content is None or isinstance(content, str) else content[0]["text"]))
    return found


def test_what_the_model_saw_are_messages_and_what_shows_it_again_is_a_record(tmp_path: Path) -> None:
    tool = {"name": "look", "description": "Looks.", "inputSchema": {"type": "object"}}
    records = rollout(
        item(said("developer", "rules")),
        item(said("user", "hello")),
        event("user_message", message="hello"),
        item({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}),
        item(call("c1")),
        item(output("c1", "done")),
        event("agent_message", message="bye"),
        item(said("assistant", "bye", phase="final_answer")),
        ("world_state", {"full": True, "state": {}}),
        item({"type": "ghost_snapshot", "ghost_commit": {"id": "g"}}),
        ("realtime_item", {"new": 1}),
        header={"base_instructions": {"text": "You are Codex."}, "dynamic_tools": [tool]},
    )
    transcript = read(records)
    assert shown(transcript) == [
        "developer: rules",
        "user: hello",
        "assistant: reasoning",
        "assistant: {}",
        "tool: done",
        "assistant: bye",
    ]
    assert (transcript.id, transcript.title, transcript.count, transcript.flaws) == ("t-1", "hello", 12, [])
    first = transcript.entry(0).contents
    assert first[0].text == "You are Codex."  # type: ignore[attr-defined]
    assert first[1].tools == [  # type: ignore[attr-defined]
        {"type": "function", "name": "look", "description": "Looks.", "parameters": {"type": "object"}}
    ]
    with Tract.open(tmp_path) as tract:
        tract.import_transcript(data_of(records))
        assert [role for role, _ in compiled(tract)] == [
            "system", "developer", "user", "assistant", "assistant", "tool", "assistant"
        ]  # fmt: skip
        assert data_of(records).splitlines() != tract.export_transcript().splitlines()  # the order of keys
        assert [json.loads(one) for one in tract.export_transcript().splitlines()] == records


def test_the_context_of_a_turn_is_the_config_of_what_the_model_makes_after_it() -> None:
    mode = {"settings": {"model": "m-2", "reasoning_effort": "low"}}
    transcript = read(
        rollout(
            item(said("assistant", "before any")),
            ("turn_context", {"model": "m-1", "effort": "high", "summary": "auto", "cwd": "/work", "turn_id": "t1"}),
            item(said("user", "question")),
            item(call("c1")),
            item(output("c1", "x")),
            event(
                "thread_settings_applied", thread_settings={"model": "m-2", "collaboration_mode": mode, "effort": None}
            ),
            item(said("assistant", "answer")),
        )
    )
    assert [transcript.entry(position).config for position in range(8)] == [
        None,
        None,
        None,
        None,
        {"model": "m-1", "effort": "high", "summary": "auto"},
        None,
        None,
        {"model": "m-2", "effort": "low", "summary": "auto"},
    ]
    assert transcript.entry(2).metadata == {
        "type": "turn_context",
        "timestamp": "2026-05-11T08:00:00.002Z",
        "turn_id": "t1",
        "cwd": "/work",
    }


def usages_of(transcript: Transcript) -> list[Any]:
    found = [transcript.entry(position).usage for position in range(transcript.count)]
    return [(place, usage.prompt_tokens, usage.completion_tokens) for place, usage in enumerate(found) if usage]  # type: ignore[attr-defined]


def count_of(prompt: int, completion: int) -> Record:
    return {"input_tokens": prompt, "cached_input_tokens": 3, "output_tokens": completion, "total_tokens": 0}


def test_the_usage_of_a_response_counts_once() -> None:
    first, second, third = count_of(10, 1), count_of(20, 2), count_of(20, 2)
    transcript = read(
        rollout(
            event("token_count", info=None),
            event("token_count", info={"total_token_usage": count_of(10, 1), "last_token_usage": first}),
            event("token_count", info={"total_token_usage": count_of(10, 1), "last_token_usage": first}),
            ("token_usage_record", {"response_id": "r1", "usage": first}),
            ("token_usage_record", {"response_id": "r2", "usage": second}),
            ("token_usage_record", {"response_id": "r2", "usage": second}),
            event("token_count", info={"total_token_usage": count_of(30, 3), "last_token_usage": second}),
            ("token_usage_record", {"response_id": "r3", "usage": third}),
            ("token_usage_record", {"response_id": "r4", "usage": {"input_tokens": "many"}}),
        )
    )
    assert usages_of(transcript) == [(2, 10, 1), (5, 20, 2), (8, 20, 2)]


def test_the_usage_that_a_fork_copied_is_its_parents() -> None:
    count = {"total_token_usage": count_of(10, 1), "last_token_usage": count_of(10, 1)}
    own = {"total_token_usage": count_of(15, 2), "last_token_usage": count_of(5, 1)}
    records = paginated(
        0,
        ("session_meta", {"id": "t-0", "base_instructions": {"text": "of the parent"}}),
        event("token_count", info=count),
        item(said("user", "copied")),
        item(said("user", "own")),
        event("token_count", info=own),
        subagent_history_start_ordinal=4,
        base_instructions={"text": "own"},
    )
    transcript = read(records)
    assert usages_of(transcript) == [(5, 5, 1)]
    assert shown(transcript) == ["user: copied", "user: own"]
    assert [branch.name for branch in transcript.branches] == ["main"]
    assert (len(transcript.entry(0).contents), len(transcript.entry(1).contents)) == (1, 0)


def test_what_is_shown_in_paginated_mode_is_marked() -> None:
    transcript = read(
        paginated(
            0,
            item(said("user", "<environment_context>x</environment_context>")),
            item(said("user", "hello")),
            event("item_completed", item={"type": "UserMessage", "content": [{"type": "text", "text": "hello"}]}),
            item(said("assistant", "bye")),
            event("item_completed", item={"type": "AgentMessage", "content": [{"type": "Text", "text": "bye"}]}),
            event("item_completed", item={"type": "CommandExecution"}),
        )
    )
    marks = [transcript.entry(position).metadata.get("shown") for position in range(transcript.count)]
    assert marks == [None, None, None, True, None, True, None]
    assert transcript.title == "hello"
    assert len(shown(transcript)) == 3


def test_a_compaction_stands_for_what_precedes_it(tmp_path: Path) -> None:
    records = rollout(
        item(said("user", "one")),
        item(said("assistant", "two")),
        ("compacted", {"message": "Summary A."}),
        item(said("user", "three")),
        ("compacted", {"message": "", "replacement_history": [said("user", "three"), said("user", "Summary B.")]}),
        item(said("user", "four")),
        header={"base_instructions": {"text": "rules"}},
    )
    transcript = read(records)
    assert [list(transcript.entry(place).covers) for place in (3, 5)] == [[1, 2], [3, 4]]
    with Tract.open(tmp_path) as tract:
        tract.import_transcript(data_of(records[:4]))
        assert compiled(tract) == [("system", "rules"), ("user", "Summary A.")]
        tract.import_transcript(data_of(records))
        assert compiled(tract) == [
            ("system", "rules"),
            ("user", "three"),
            ("user", "Summary B."),
            ("user", "four"),
        ]


def test_a_compaction_keeps_items_that_it_refers_to() -> None:
    entries = [
        {"type": "reference", "item_id": "msg_1"},
        {"type": "reference_v2", "item_id": "gone", "source_digest": "x"},
        {"type": "inline", "item": said("user", "Summary.")},
    ]
    transcript = read(
        rollout(
            item(said("user", "one", id="msg_1")),
            item(said("assistant", "two", id="msg_2")),
            ("compacted", {"message": "", "replacement_history_entries": entries}),
        )
    )
    assert [texts_of(content) for content in transcript.entry(3).contents] == ["one", "Summary."]
    assert [(flaw.line, flaw.reason) for flaw in transcript.flaws] == [
        (4, "a compaction keeps item 'gone', which is not in the file")
    ]


def test_a_compaction_without_a_summary_hides_nothing() -> None:
    transcript = read(rollout(item(said("user", "one")), ("compacted", {"message": ""}), ("compacted", {})))
    assert shown(transcript) == ["user: one"]
    assert [flaw.reason for flaw in transcript.flaws] == ["a compaction without a summary; what precedes stays"] * 2


def test_what_a_guard_saw_hides_nothing() -> None:
    seen = {"message": "x", "guardian_history": [said("user", "one")]}
    transcript = read(rollout(item(said("user", "one")), ("compacted", seen)))
    assert (shown(transcript), transcript.flaws) == (["user: one"], [])


def turn(name: str) -> list[tuple[str, Record]]:
    return [
        event("task_started", turn_id=name),
        item(said("developer", f"context of {name}")),
        item(said("user", name)),
        event("user_message", message=name),
        item(said("assistant", f"answer to {name}")),
        event("task_complete", turn_id=name),
    ]


def test_turns_that_were_taken_back_are_a_branch(tmp_path: Path) -> None:
    records = rollout(
        *turn("one"),
        *turn("two"),
        *turn("three"),
        event("thread_rolled_back", num_turns=2),
        *turn("four"),
        event("thread_rolled_back", num_turns=9),
        *turn("five"),
    )
    transcript = read(records)
    assert shown(transcript) == [
        "developer: context of one",
        "developer: context of five",
        "user: five",
        "assistant: answer to five",
    ]
    assert [branch.name for branch in transcript.branches] == ["main", "taken-back-20", "taken-back-27"]
    assert [shown(transcript, number)[-1] for number in (1, 2)] == [
        "assistant: answer to three",
        "assistant: answer to four",
    ]
    assert len(shown(transcript, 1)) == 9
    with Tract.open(tmp_path / "whole") as whole, Tract.open(tmp_path / "growing") as growing:
        assert whole.import_transcript(data_of(records)).branches == ("taken-back-20", "taken-back-27")
        for end in (*range(3, len(records), 5), len(records)):
            growing.import_transcript(data_of(records[:end]))
        assert compiled(growing) == compiled(whole)
        assert whole.import_transcript(data_of(records)).added == 0
        assert growing.import_transcript(data_of(records)).added == 0
        assert len(growing.branches()) == len(whole.branches()) == 3


def test_turns_of_files_without_tasks_are_taken_back_too() -> None:
    records = rollout(
        item(said("user", "one")),
        event("user_message", message="one"),
        item(said("assistant", "answer to one")),
        item(said("user", "two")),
        event("user_message", message="two"),
        item(said("assistant", "answer to two")),
        event("thread_rolled_back", num_turns=1),
    )
    assert shown(read(records)) == ["user: one", "assistant: answer to one"]


def test_a_compaction_that_was_taken_back_hides_nothing(tmp_path: Path) -> None:
    records = rollout(
        *turn("one"),
        *turn("two"),
        ("compacted", {"message": "Summary."}),
        event("thread_rolled_back", num_turns=1),
        ("compacted", {"message": "Another summary."}),
    )
    transcript = read(records)
    assert list(transcript.entry(15).covers) == [2, 3, 5]
    with Tract.open(tmp_path) as tract:
        tract.import_transcript(data_of(records))
        assert compiled(tract) == [("user", "Another summary.")]


def test_a_thread_that_was_cut_in_place_goes_on_from_the_cut(tmp_path: Path) -> None:
    before = paginated(0, item(said("user", "one")), item(said("assistant", "two")), item(said("user", "three")))
    after = [*before[:3], line(90, "response_item", said("user", "another three"), ordinal=3)]
    with Tract.open(tmp_path) as tract:
        tract.import_transcript(data_of(before))
        report = tract.import_transcript(data_of(after))
        assert (report.added, report.edited, len(report.branches)) == (1, 0, 1)
        assert compiled(tract) == [("user", "one"), ("assistant", "two"), ("user", "another three")]
        with Tract.open(tmp_path, branch=report.branches[0]) as left:
            assert compiled(left)[-1] == ("user", "three")


def stored(path: Path, records: list[Record]) -> int:
    """Writes a rollout and returns its size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data_of(records))
    return path.stat().st_size


def forked(root: Path) -> Path:
    """Writes three rollouts, each forked from the one before it, and returns the last one's path."""
    day = root / "sessions" / "2026" / "05"
    grand = paginated(0, item(said("user", "one")), item(said("assistant", "two")), base_instructions={"text": "old"})
    size = stored(day / "01" / "rollout-2026-05-01T08-00-00-t-1.jsonl", [*grand, line(9, "event_msg", {}, ordinal=3)])
    size -= len(data_of([line(9, "event_msg", {}, ordinal=3)]))
    base = {"thread_id": "t-1", "end_ordinal_exclusive": 3, "end_byte_offset": size}
    parent = paginated(
        3, item(said("user", "three")), item(said("user", "not in the fork")), thread="t-2", history_base=base
    )
    stored(root / "archived_sessions" / "rollout-2026-05-02T08-00-00-t-2.jsonl", parent)
    base = {"thread_id": "t-2", "end_ordinal_exclusive": 5, "end_byte_offset": len(data_of(parent[:2]))}
    child = paginated(5, item(said("user", "four")), thread="t-3", history_base=base, base_instructions={"text": "new"})
    path = day / "03" / "rollout-2026-05-03T08-00-00-t-3.jsonl"
    stored(path, child)
    return path


def test_a_fork_has_what_it_was_forked_from(tmp_path: Path) -> None:
    path = forked(tmp_path / "home")
    with open_source(path) as source:
        (transcript,) = read_transcripts(source)
        assert (transcript.id, transcript.flaws) == ("t-3", [])
        assert shown(transcript) == ["user: one", "assistant: two", "user: three", "user: four"]
        keys = [transcript.entry(place).key.partition(".")[0] for place in transcript.branches[0].positions]
        assert keys == ["1", "t-1/1", "t-1/2", "t-1/3", "t-2/1", "t-2/2", "2"]
    with Tract.open(tmp_path / "store") as tract:
        assert tract.import_transcript(path).messages == 5
        assert compiled(tract)[0] == ("system", "new")
        assert tract.export_transcript().count(b"\n") == 2
        assert [json.loads(one) for one in tract.export_transcript().splitlines()] == [
            json.loads(one) for one in path.read_bytes().splitlines()
        ]
        with path.open("ab") as file:
            file.write(data_of([line(80, "response_item", said("user", "five"), ordinal=7)]))
        assert tract.import_transcript(path).added == 1
        assert compiled(tract)[-1] == ("user", "five")


def test_a_fork_without_its_parent_says_so(tmp_path: Path) -> None:
    path = forked(tmp_path / "home")
    (tmp_path / "home" / "sessions" / "2026" / "05" / "01" / "rollout-2026-05-01T08-00-00-t-1.jsonl").unlink()
    with open_source(path) as source:
        (transcript,) = read_transcripts(source)
        assert shown(transcript) == ["user: three", "user: four"]
        assert [flaw.reason for flaw in transcript.flaws] == [
            "the history before it, of thread 't-1', is in no rollout here"
        ]
        check = codex.check(source)
    assert (check.messages, check.loaded) == (2, 0)
    assert check.lost[0].reason == "the history that the thread was forked from is missing"


def test_what_a_fork_got_from_its_parent_stays_when_that_is_gone(tmp_path: Path) -> None:
    path = forked(tmp_path / "home")
    with Tract.open(tmp_path / "store") as tract:
        tract.import_transcript(path)
        head, whole = tract.head, compiled(tract)
        (tmp_path / "home" / "archived_sessions" / "rollout-2026-05-02T08-00-00-t-2.jsonl").unlink()
        report = tract.import_transcript(path)
        assert (report.added, report.branches, report.head, len(report.flaws)) == (0, (), head, 1)
        with path.open("ab") as file:
            file.write(data_of([line(80, "response_item", said("user", "five"), ordinal=7)]))
        assert tract.import_transcript(path).added == 1
        assert compiled(tract) == [*whole, ("user", "five")]


def test_a_parent_that_was_repaired_counts_by_its_ordinals(tmp_path: Path) -> None:
    path = forked(tmp_path / "home")
    parent = tmp_path / "home" / "archived_sessions" / "rollout-2026-05-02T08-00-00-t-2.jsonl"
    parent.write_bytes(parent.read_bytes().replace(b"three", b"three, repaired"))
    with open_source(path) as source:
        (transcript,) = read_transcripts(source)
        assert shown(transcript)[2:] == ["user: three, repaired", "user: four"]


@pytest.mark.parametrize("thread", ["t-3", "../../x", "", "a" * 300, None, 7, "t-1\0"])
def test_a_fork_of_no_known_thread_is_read_alone(tmp_path: Path, thread: Any) -> None:
    base = {"thread_id": thread, "end_ordinal_exclusive": 1, "end_byte_offset": 1}
    stored(tmp_path / "rollout-t-3.jsonl", paginated(1, item(said("user", "x")), thread="t-3", history_base=base))
    with open_source(tmp_path / "rollout-t-3.jsonl") as source:
        (transcript,) = read_transcripts(source)
    assert len(transcript.flaws) == 1


def test_no_link_is_followed_to_a_parent(tmp_path: Path) -> None:
    path = forked(tmp_path / "home")
    parent = tmp_path / "home" / "archived_sessions" / "rollout-2026-05-02T08-00-00-t-2.jsonl"
    parent.rename(tmp_path / "elsewhere")
    parent.symlink_to(tmp_path / "elsewhere")
    with open_source(path) as source:
        (transcript,) = read_transcripts(source)
    assert shown(transcript) == ["user: four"]


def test_a_message_of_another_agent_is_one_of_the_user() -> None:
    sealed = {
        "author": "/root",
        "recipient": "/root/a",
        "content": "",
        "encrypted_content": "gAA",
        "trigger_turn": True,
    }
    transcript = read(
        rollout(
            ("inter_agent_communication", {"author": "/root", "recipient": "/root/a", "content": "Go.", "trigger_turn": True}),
            ("inter_agent_communication", sealed),
            ("inter_agent_communication_metadata", {"trigger_turn": True}),
            item({"type": "agent_message", "author": "/root", "recipient": "/root/a", "content": [{"type": "input_text", "text": "Hm."}]}),
        )
    )  # fmt: skip
    assert shown(transcript) == [
        "user: Go.",
        "user: Message Type: NEW_TASK\nTask name: /root/a\nSender: /root\nPayload:\n",
        "user: Hm.",
    ]


def test_lines_without_an_envelope_are_read() -> None:
    records = [
        {"id": "t-1", "timestamp": "2025-06-01T08:00:00.000Z", "instructions": None},
        {"record_type": "state"},
        said("user", "hello"),
        call("c1"),
        output("c1", "done"),
    ]
    assert shown(read(records)) == ["user: hello", "assistant: {}", "tool: done"]


BROKEN = {
    "torn tail": lambda data: data[:-30],
    "two records in a line": lambda data: data.replace(b'"bye"}]}}\n', b'"bye"}]}}'),
    "NUL bytes": lambda data: data.replace(b'{"timestamp": "2026-05-11T08:00:00.003Z"', b'\0\0{"timestamp": "2026-05-11T08:00:00.003Z"'),
    "a lone surrogate": lambda data: data.replace(b"done", b"done \\ud83d"),
    "a byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "a line that is none": lambda data: data.replace(b'"done"}}\n', b'"done"}}\n<<<<<<< HEAD\n'),
}  # fmt: skip
LOADED = {
    "torn tail": (5, 4),
    "two records in a line": (5, 3),
    "NUL bytes": (5, 4),
    "a lone surrogate": (5, 4),
    "a byte order mark": (5, 0),
    "a line that is none": (6, 5),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_rollout_comes_in_and_back_and_its_share_is_counted(tmp_path: Path, fault: str) -> None:
    whole = rollout(
        item(said("user", "hello")),
        item(call("c1")),
        item(output("c1", "done")),
        item(said("assistant", "bye")),
        item(said("user", "and more")),
    )
    data = BROKEN[fault](data_of(whole))
    assert data != data_of(whole)
    with Tract.open(tmp_path) as tract:
        report = tract.import_transcript(data)
        assert report.messages == (4 if fault == "torn tail" else 5)
        assert report.flaws or fault == "two records in a line"
        assert tract.export_transcript().count(b"\n") == data.rstrip(b"\n").count(b"\n") + 1
    check = codex.check(open_source(data))
    assert (check.messages, check.loaded) == LOADED[fault]
    assert codex.check(open_source(data_of(whole))).share == 1


def test_a_repeated_ordinal_hides_the_thread_from_codex_alone() -> None:
    records = paginated(0, item(said("user", "one")), item(said("assistant", "two")), item(said("user", "three")))
    records[3]["ordinal"] = 2
    transcript = read(records)
    assert shown(transcript) == ["user: one", "assistant: two", "user: three"]
    assert [(flaw.line, flaw.reason) for flaw in transcript.flaws] == [(4, "ordinal 2 follows 2")]
    check = codex.check(open_source(data_of(records)))
    assert (check.messages, check.loaded, check.lost[0].reason) == (3, 0, "line 4: ordinal 2 follows 2")


def test_a_line_that_was_written_twice_shows_once() -> None:
    records = rollout(item(said("user", "hello")), item(call("c1")), item(call("c1")), item(output("c1", "x")))
    records[3] = records[2]
    transcript = read(records)
    assert shown(transcript) == ["user: hello", "assistant: {}", "tool: x"]
    assert [(flaw.line, flaw.reason) for flaw in transcript.flaws] == [
        (4, "repeats the line before it, and is kept as a record")
    ]


def test_calls_stay_as_they_are_and_codex_leaves_out_a_lone_result() -> None:
    records = rollout(
        item(said("user", "hello")),
        item(output("gone", "orphan")),
        item(call("c1")),
        item(call("c2")),
        item(output("c2", "first")),
        item(output("c2", "second")),
    )
    assert len(shown(read(records))) == 6
    check = codex.check(open_source(data_of(records)))
    assert [(loss.line, loss.key, loss.reason) for loss in check.lost] == [
        (3, "3", "answers the call 'gone', which is not in the rollout")
    ]


def test_a_rollout_without_its_session_meta_is_read_and_codex_loads_nothing_of_it() -> None:
    records = rollout(item(said("user", "hello")))[1:]
    assert shown(read(records)) == ["user: hello"]
    assert codex.check(open_source(data_of(records))).share == 0


def test_a_compressed_rollout_is_read(tmp_path: Path) -> None:
    zstd = pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    records = rollout(item(said("user", "hello " * 1000)), item(said("assistant", "bye")))
    path = tmp_path / "rollout-t-1.jsonl.zst"
    path.write_bytes(zstd.compress(data_of(records)))
    with Tract.open(tmp_path / "store") as tract:
        report = tract.import_transcript(path)
        assert (report.messages, report.flaws) == (2, ())
        assert [json.loads(one) for one in tract.export_transcript().splitlines()] == records
    with open_source(path.read_bytes()[:-9]) as source:
        (transcript,) = read_transcripts(source, "codex")
        assert "damaged or cut off" in transcript.flaws[-1].reason


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_ZSTD_MODULES", ("no_such_module",))
    with pytest.raises(ArgumentError, match=r"compressed with zstd: pip install 'tract-fs\[zst\]'"):
        open_source(b"\x28\xb5\x2f\xfd....")


def test_what_is_unpacked_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    zstd = pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    monkeypatch.setattr(files, "_LARGEST_UNPACKED_BYTES", 1000)
    with pytest.raises(ArgumentError, match="more than 1,000 bytes unpacked"):
        open_source(zstd.compress(b"x" * 2000))


CONTEXT = ResumeContext(
    messages=[
        {"role": "user", "content": "look"},
        {"role": "assistant", "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
        {"role": "assistant", "type": "function_call", "name": "f", "arguments": "{}", "call_id": "c1"},
        {"role": "assistant", "type": "function_call", "name": "f", "arguments": "{}", "call_id": "lone"},
        {"role": "tool", "type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "a \ud800"}]},
        {"role": "tool", "type": "function_call_output", "call_id": "orphan", "output": "x"},
        {"role": "assistant", "type": "program", "code": "x"},
        {"type": "message", "role": "assistant", "phase": "final_answer", "content": [{"type": "output_text", "text": "seen", "annotations": []}]},
        {"type": "message", "role": "user", "content": [{"type": "input_file", "file_data": "x"}, {"type": "input_text", "text": "more"}]},
    ],
    system="You are Codex.",
    session_id="0199-new",
    cwd="/work",
    title="",
    at_us=1_778_486_437_000_000,
    forked_from="01a05a3a-c543-7dd3-922d-44935ac19894",
)  # fmt: skip


def test_a_rollout_to_resume_from_is_one_valid_chain() -> None:
    made = write(CONTEXT)
    assert made.path == "2026/05/11/rollout-2026-05-11T08-00-36-0199-new.jsonl"
    assert made.lost == (
        "1 calls without a result, answered as aborted",
        "1 of type program, which Codex can't read",
        "1 parts of type 'input_file'",
        "1 results without a call of their own",
    )
    assert made.records[0]["payload"] == {
        "session_id": "0199-new",
        "id": "0199-new",
        "timestamp": "2026-05-11T08:00:36.988Z",
        "cwd": "/work",
        "originator": "tract",
        "cli_version": "0.144.4",
        "source": "cli",
        "model_provider": "openai",
        "history_mode": "legacy",
        "base_instructions": {"text": "You are Codex."},
        "forked_from_id": "01a05a3a-c543-7dd3-922d-44935ac19894",
    }
    assert [(record["type"], record["payload"]["type"]) for record in made.records[1:]] == [
        ("response_item", "message"),
        ("event_msg", "user_message"),
        ("response_item", "reasoning"),
        ("response_item", "function_call"),
        ("response_item", "function_call"),
        ("response_item", "function_call_output"),
        ("response_item", "function_call_output"),
        ("response_item", "message"),
        ("event_msg", "agent_message"),
        ("response_item", "message"),
        ("event_msg", "user_message"),
    ]
    data = data_of(list(made.records))
    assert [record["payload"] for record in made.records[5:8]] == [
        {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "lone"},
        {"type": "function_call_output", "call_id": "lone", "output": "aborted"},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "a \ufffd"}]},
    ]
    check = codex.check(open_source(data))
    assert (check.session_id, check.messages, check.share, check.flaws) == ("0199-new", 8, 1.0, ())
    assert shown(read(data))[-1] == "user: more"


def test_the_check_counts_what_was_summarized_and_taken_back_apart() -> None:
    records = rollout(
        *turn("one"),
        *turn("two"),
        event("thread_rolled_back", num_turns=1),
        ("compacted", {"message": "Summary."}),
        item(said("user", "three")),
        item(output("gone", "orphan")),
    )
    check = codex.check(open_source(data_of(records)))
    assert (check.messages, check.left, check.summarized, check.loaded, len(check.lost)) == (9, 3, 3, 2, 1)


def test_any_context_is_written_for_codex_to_go_on_with(tmp_path: Path) -> None:
    records = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "look"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "seen"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "So it is."}]},
    ]
    with Tract.open(tmp_path) as tract:
        tract.import_transcript(data_of(records), format="jsonl")
        made = tract.export_transcript(format="codex", session_id="0199aaaa-0000-7000-8000-000000000000", cwd="/work")
    assert made.path.endswith("-0199aaaa-0000-7000-8000-000000000000.jsonl")
    assert (made.lost, codex.check(open_source(bytes(made))).share) == ((), 1.0)
    transcript = read(bytes(made))
    assert shown(transcript) == ["user: look", 'assistant: {"x":1}', "tool: seen", "assistant: So it is."]
    assert transcript.entry(0).contents[0].text == "be brief"  # type: ignore[attr-defined]


def test_leading_system_messages_become_the_instructions_of_the_thread() -> None:
    context = ResumeContext(
        messages=[{"role": "system", "content": "a"}, {"role": "system", "content": [{"type": "input_text", "text": "b"}]}, said("user", "hi")],
        session_id="0199-new",
        cwd="/work",
        title="",
        at_us=1_778_486_437_000_000,
    )  # fmt: skip
    made = write(context)
    assert made.records[0]["payload"]["base_instructions"] == {"text": "a\n\nb"}
    assert shown(read(made.to_bytes())) == ["user: hi"]


READ = """
import resource, sys
from tract_fs.capture.files import open_source
from tract_fs.transcripts import read_transcripts

with open_source(sys.argv[1]) as source:
    (transcript,) = read_transcripts(source)
    print(sum(len(transcript.entry(position).contents) for position in transcript.branches[0].positions))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.campaign
@pytest.mark.parametrize("characters", [300, 10_000])
def test_a_rollout_of_300_mb_is_read_in_less(tmp_path: Path, characters: int) -> None:
    path = tmp_path / "rollout-t-1.jsonl"
    block = data_of(
        rollout(*turn("x" * characters), event("token_count", info={"last_token_usage": count_of(1, 1)}))[1:]
    )
    with path.open("wb") as file:
        file.write(data_of(rollout()))
        file.writelines(block for _ in range(300 * 10**6 // len(block) + 1))
    done = subprocess.run([sys.executable, "-c", READ, path], cwd=ROOT, capture_output=True, text=True, check=True)
    found, peak_kb = map(int, done.stdout.split())
    assert found == 3 * (300 * 10**6 // len(block) + 1)
    assert peak_kb < 300 * 1000
