"""Sessions from one tool to another and back: what the other can say comes back equal, and what it can't is listed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tract_fs import Tract
from tract_fs.capture.sessions import check_session
from tract_fs.errors import ArgumentError
from tract_fs.transcripts import RESUMED_FORMATS
from tract_fs.transcripts.opencode_resume import fault_of
from tract_fs.transcripts.resume import SessionBytes

NEW = "5e551011-0000-4000-8000-00000000000f"
PIXEL = "iVBORw0KGgoAAAANSUhEUg=="
PROGRAMS = ("claude-code", "codex", "opencode")
Fields = dict[str, Any]


def text(value: str) -> Fields:
    return {"type": "text", "text": value}


def image(data: str = PIXEL) -> Fields:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


def use(id_: str, **given: Any) -> Fields:
    return {"type": "tool_use", "id": id_, "name": "find", "input": given}


def result(id_: str, content: Any, **more: Any) -> Fields:
    return {"type": "tool_result", "tool_use_id": id_, "content": content, **more}


THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
PAPER = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}
PLAIN: list[Fields] = [  # what every one of them can say
    {"role": "user", "content": [text("look at this"), image()]},
    {"role": "assistant", "content": [text("I look."), use("c1", q="ä", n=[1, {"deep": None}]), use("c2")]},
    {"role": "user", "content": [result("c1", "found"), result("c2", "nothing")]},
    {"role": "assistant", "content": [text("So it is.")]},
    {"role": "user", "content": [text("And now?")]},
    {"role": "assistant", "content": [text("Now it is done.")]},
]
RICH: list[Fields] = [  # with what only Anthropic's form can say
    {"role": "user", "content": [text("read this"), PAPER]},
    {"role": "assistant", "content": [THOUGHT, use("c1")]},
    {"role": "user", "content": [result("c1", "no such file", is_error=True)]},
    {"role": "assistant", "content": [THOUGHT, use("c2")]},
    {"role": "user", "content": [result("c2", [text("seen"), image()])]},
    {"role": "assistant", "content": [text("Done.")]},
]


def claude(messages: list[Fields]) -> bytes:
    """Returns a session file of Claude Code with these messages."""
    made = []
    for number, message in enumerate(messages):
        line: Fields = {
            "type": message["role"],
            "uuid": f"u{number}",
            "parentUuid": f"u{number - 1}" if number else None,
            "sessionId": "5e551011-0000-4000-8000-000000000001",
            "timestamp": f"2026-01-02T03:04:{number:02}.000Z",
            "cwd": "/work",
            "version": "2.1.0",
            "isSidechain": False,
            "message": message,
        }
        if message["role"] == "assistant":
            line["message"] = {**message, "id": f"m{number}", "type": "message", "model": "claude-x"}
        made.append(line)
    return b"".join(json.dumps(line).encode() + b"\n" for line in made)


def codex() -> bytes:
    """Returns a rollout of Codex with what only its form can say."""

    def said(role: str, *parts: Fields, **more: Any) -> Fields:
        return {"type": "message", "role": role, "content": list(parts), **more}

    items: list[Fields] = [
        said("user", {"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}),
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
        said("assistant", {"type": "output_text", "text": "I look."}, phase="commentary"),
        {"type": "function_call", "name": "find", "arguments": '{"q":"ä"}', "call_id": "c1"},
        {"type": "function_call_output", "call_id": "c1", "output": "found"},
        {"type": "custom_tool_call", "name": "patch", "input": "*** Begin", "call_id": "c2", "status": "completed"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "patched"},
        said("assistant", {"type": "output_text", "text": "So it is."}, phase="final_answer"),
    ]  # fmt: skip
    header: Fields = {"id": "0199aaaa-0000-7000-8000-000000000000", "cwd": "/work", "originator": "codex", "cli_version": "0.144.4"}  # fmt: skip
    header["base_instructions"] = {"text": "be brief"}
    lines = [("session_meta", header), *(("response_item", item) for item in items)]
    stamped = [{"timestamp": "2026-01-02T03:04:05.000Z", "type": kind, "payload": body} for kind, body in lines]
    return b"".join(json.dumps(line).encode() + b"\n" for line in stamped)


@pytest.fixture
def tracts() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def imported(tracts: ExitStack, data: bytes) -> Tract:
    t = tracts.enter_context(Tract.open())
    assert t.import_transcript(data).flaws == ()
    return t


def exported(t: Tract, format: str) -> SessionBytes:
    """Returns an export that is whole by its own check."""
    made = t.export_transcript(format=format, session_id=NEW)
    if format in PROGRAMS:
        found = check_session(bytes(made))
        assert (found.format, found.share, found.flaws, found.lost) == (format, 1.0, (), ())
    return made


def sent(t: Tract, ways: list[str], tracts: ExitStack) -> tuple[Tract, list[tuple[str, ...]]]:
    """Returns the tract at the end of a way through some formats, and what each export lost."""
    lost = []
    for way in ways:
        made = exported(t, way)
        lost.append(made.lost)
        t = imported(tracts, bytes(made))
    return t, lost


def messages_of(t: Tract) -> list[Fields]:
    """Returns the messages in Anthropic's form, all as blocks."""
    found = t.compile().to_anthropic()["messages"]
    return [one if isinstance(one["content"], list) else {**one, "content": [text(one["content"])]} for one in found]


@pytest.mark.parametrize("ways", [["codex"], ["opencode"], ["codex", "claude-code"], ["opencode", "claude-code"], ["codex", "opencode"]])  # fmt: skip
def test_what_all_can_say_comes_back_equal_and_nothing_is_lost(ways: list[str], tracts: ExitStack) -> None:
    t, lost = sent(imported(tracts, claude(PLAIN)), ways, tracts)
    assert messages_of(t) == PLAIN
    assert lost == [()] * len(ways)


def test_what_codex_can_not_say_is_counted(tracts: ExitStack) -> None:
    t, lost = sent(imported(tracts, claude(RICH)), ["codex", "claude-code"], tracts)
    assert messages_of(t) == [
        {"role": "user", "content": [text("read this")]},
        {"role": "assistant", "content": [use("c1")]},
        {"role": "user", "content": [result("c1", "no such file")]},
        {"role": "assistant", "content": [use("c2")]},
        {"role": "user", "content": [result("c2", [text("seen"), image()])]},
        {"role": "assistant", "content": [text("Done.")]},
    ]
    assert lost == [
        (
            "2 messages: has thinking of the model, which another provider does not take; "
            "to_openai_responses() left it out",
            "1 results of tools that are no longer marked as errors",
            "1 parts of type 'input_file'",
        ),
        (),
    ]


def test_opencode_can_say_all_of_it(tracts: ExitStack) -> None:
    t, lost = sent(imported(tracts, claude(RICH)), ["opencode", "claude-code"], tracts)
    assert messages_of(t) == RICH
    assert lost == [(), ()]


def test_a_rollout_comes_back_from_claude_code(tracts: ExitStack) -> None:
    t = imported(tracts, codex())
    back, lost = sent(t, ["claude-code", "codex"], tracts)
    assert lost == [
        (
            "1 messages: has thinking of the model, which another provider does not take; to_anthropic() left it out",
            "1 system prompts left out: Claude Code writes its own",
        ),
        (),
    ]
    picture = {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "auto"}
    assert back.compile().to_openai_responses() == [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "look"}, picture]},
        {"type": "message", "role": "assistant", "content": "I look."},
        {"type": "function_call", "name": "find", "arguments": '{"q":"ä"}', "call_id": "c1"},
        {"type": "function_call_output", "call_id": "c1", "output": "found"},
        {"type": "function_call", "name": "patch", "arguments": '{"input":"*** Begin"}', "call_id": "c2"},
        {"type": "function_call_output", "call_id": "c2", "output": "patched"},
        {"type": "message", "role": "assistant", "content": "So it is."},
    ]


def test_a_rollout_of_its_own_form_keeps_what_only_that_can_say(tracts: ExitStack) -> None:
    t = imported(tracts, codex())
    before = t.compile().to_openai_responses()
    back, lost = sent(t, ["codex"], tracts)
    assert (back.compile().to_openai_responses(), lost) == (before, [()])
    assert [item.get("phase") for item in before] == [None, None, None, "commentary"] + [None] * 4 + ["final_answer"]


# requests

TOOL = {"type": "function", "function": {"name": "find", "description": "finds", "parameters": {"type": "object"}}}
CHAT: Fields = {
    "model": "m-1",
    "temperature": 0.5,
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [text("look"), {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}]},
        {"role": "assistant", "content": "I look.", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"q":"ä"}'}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "found"},
        {"role": "assistant", "content": "So it is."},
        {"role": "user", "content": "And now?"},
    ],
    "tools": [TOOL],
}  # fmt: skip
REQUEST: Fields = {
    "model": "m-1",
    "max_tokens": 99,
    "system": [text("be brief")],
    "messages": [*PLAIN[:-1]],
    "tools": [{"name": "find", "description": "finds", "input_schema": {"type": "object"}}],
}


def test_a_chat_comes_back_equal_from_anthropics_form(tracts: ExitStack) -> None:
    t = imported(tracts, json.dumps(CHAT).encode())
    back, lost = sent(t, ["anthropic", "openai-chat"], tracts)
    made = json.loads(exported(back, "openai-chat"))
    assert made["messages"][2].pop("content") == [text("I look.")]  # a text of one block
    made["messages"][2]["content"] = "I look."
    assert {**made, "temperature": 0.5} == CHAT
    assert lost == [
        (
            "generation config: 'temperature' as it is has no equivalent in Anthropic's messages; "
            "request('anthropic') left it out",
            "generation config: it has no limit of tokens, and Anthropic needs one; add max_tokens to the request",
        ),
        (),
    ]


@pytest.mark.parametrize("way", ["openai-chat", "openai-responses"])
def test_a_request_comes_back_equal_from_openais_forms(way: str, tracts: ExitStack) -> None:
    t = imported(tracts, json.dumps(REQUEST).encode())
    back, lost = sent(t, [way, "anthropic"], tracts)
    made = json.loads(exported(back, "anthropic"))
    made["messages"] = [{**m, "content": [text(m["content"])] if isinstance(m["content"], str) else m["content"]} for m in made["messages"]]  # fmt: skip
    assert (made, lost) == (REQUEST, [(), ()])


def test_what_openai_can_not_say_is_counted(tracts: ExitStack) -> None:
    t = imported(tracts, json.dumps({"model": "m-1", "top_k": 5, "messages": [*RICH, PLAIN[0]]}).encode())
    assert exported(t, "openai-chat").lost == (
        "2 messages: has thinking of the model, which another provider does not take; to_openai() left it out",
        "generation config: 'top_k' as it is has no equivalent in OpenAI's chat completions; "
        "request('openai') left it out",
        "1 results of tools that are no longer marked as errors",
        "1 results of tools whose files are in the user's message after them",
    )
    back, _ = sent(t, ["openai-chat", "anthropic"], tracts)
    assert messages_of(back) == [
        {"role": "user", "content": [text("read this"), {**PAPER, "title": "document.pdf"}]},  # OpenAI needs a name
        {"role": "assistant", "content": [use("c1")]},
        {"role": "user", "content": [result("c1", "no such file")]},
        {"role": "assistant", "content": [use("c2")]},
        {"role": "user", "content": [result("c2", [text("seen")]), image()]},
        {"role": "assistant", "content": [text("Done.")]},
        PLAIN[0],
    ]


def test_a_request_with_a_free_call_is_read_as_it_is(tracts: ExitStack) -> None:
    t = imported(tracts, codex())
    before = t.compile().to_openai_responses()
    back = imported(tracts, bytes(exported(t, "openai-responses")))
    assert back.compile().to_openai_responses() == before


# opencode


def test_what_opencode_imports_is_in_its_own_order(tracts: ExitStack) -> None:
    t = imported(tracts, claude(RICH))
    made = json.loads(exported(t, "opencode"))
    assert made["info"]["id"].startswith("ses_")
    assert (made["info"]["directory"], made["info"]["model"]) == (
        "/work",
        {"id": "claude-x", "providerID": "anthropic"},
    )
    assert all(fault_of(message) == "" for message in made["messages"])
    ids = [message["info"]["id"] for message in made["messages"]]
    parts = [part["id"] for message in made["messages"] for part in message["parts"]]
    assert (ids, parts) == (sorted(set(ids)), sorted(set(parts)))
    assert [(m["info"]["role"], [p["type"] for p in m["parts"]]) for m in made["messages"]] == [
        ("user", ["text", "file"]),
        ("assistant", ["step-start", "reasoning", "tool"]),
        ("assistant", ["step-start", "reasoning", "tool"]),
        ("assistant", ["step-start", "text"]),
    ]
    failed, done = (m["parts"][2]["state"] for m in made["messages"][1:3])
    assert (failed["status"], failed["error"]) == ("error", "no such file")
    assert (done["output"], done["attachments"][0]["url"]) == ("seen", f"data:image/png;base64,{PIXEL}")


def test_what_opencode_can_not_say_is_counted(tracts: ExitStack) -> None:
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}, use("c1"), use("c2")]},
        {"role": "user", "content": [result("c1", [text("a"), text("b")]), result("c2", [image()], is_error=True)]},
    ]
    t = tracts.enter_context(Tract.open())
    t.import_messages(messages)
    made = exported(t, "opencode")
    assert sorted(made.lost) == [
        "1 files in the result of a call that failed",
        "1 parts of type 'redacted_thinking', which opencode has no form for",
        "1 results of several texts are one text now",
        "1 system prompts that are with the messages; opencode sends its own with new ones",
    ]
    back = imported(tracts, bytes(made))
    assert [(m.role, m.content) for m in back.compile().messages][:2] == [
        ("system", "be brief"),
        ("user", [text("[the conversation before is not in this context]")]),
    ]


def test_the_check_says_where_an_import_would_end(tracts: ExitStack) -> None:
    document = json.loads(exported(imported(tracts, claude(PLAIN)), "opencode"))
    broken = json.loads(json.dumps(document))
    del broken["messages"][2]["info"]["modelID"]
    found = check_session(json.dumps(broken).encode())
    assert (found.messages, found.loaded) == (5, 2)
    assert [loss.reason for loss in found.lost] == [
        "message 3, which opencode can't import: assistant without modelID",
        "after message 3, which opencode can't import: assistant without modelID",
        "after message 3, which opencode can't import: assistant without modelID",
    ]
    document["messages"][3]["info"]["id"] = document["messages"][0]["info"]["id"]
    assert [loss.reason for loss in check_session(json.dumps(document).encode()).lost] == ["another message has its id"]


# from anywhere


def test_an_export_is_made_of_any_commit_branch_and_merge(tracts: ExitStack) -> None:
    t = imported(tracts, claude(PLAIN))
    third = t.log(None)[-3].commit_hash
    with t.at(third) as at:
        assert messages_of(imported(tracts, bytes(exported(at, "codex")))) == PLAIN[:3]
    with t.on("other", create=True) as other:
        other.add({"role": "user", "content": "on the other branch"})
        made = exported(other, "claude-code")
    assert messages_of(imported(tracts, bytes(made)))[6:] == [
        {"role": "user", "content": [text("on the other branch")]}
    ]
    t.add({"role": "user", "content": "on main"})
    t.merge("other")
    merged = messages_of(imported(tracts, bytes(exported(t, "opencode"))))[6:]
    assert [{one["text"] for one in message["content"]} for message in merged] == [{"on main", "on the other branch"}]


@pytest.mark.parametrize("format", RESUMED_FORMATS)
def test_an_export_is_made_from_before_a_compaction(format: str, tracts: ExitStack) -> None:
    t = tracts.enter_context(Tract.open())
    t.import_transcript(claude(PLAIN[:4]))
    t.tag("before-compaction-1")
    t.summarize(first=t.log(None)[-1].commit_hash, last=str(t.head), content="what was")
    with t.at("before-compaction-1") as at:
        back = imported(tracts, bytes(exported(at, format)))
    assert messages_of(back) == PLAIN[:4]
    assert [message.content for message in t.compile().messages] == ["what was"]


@pytest.mark.parametrize("format", RESUMED_FORMATS)
def test_a_call_with_the_id_of_another_keeps_its_result(format: str, tracts: ExitStack) -> None:
    again = [
        *PLAIN[:3],
        PLAIN[1],
        {"role": "user", "content": [result("c1", "found again"), result("c2", "still nothing")]},
        *PLAIN[3:],
    ]
    t = tracts.enter_context(Tract.open())
    t.import_messages(again)
    made = exported(t, format)
    if format in PROGRAMS:
        assert len(made.lost) == 1
        assert made.lost[0].startswith(
            ("2 tool calls with the id of another call", "2 calls with the id of another call")
        )
        ids = [
            block["id"]
            for m in messages_of(imported(tracts, bytes(made)))
            for block in m["content"]
            if "input" in block
        ]
        assert ids == ["c1", "c2", "c1-2", "c2-2"]
    assert all(said in made.decode() for said in ("found", "nothing", "found again", "still nothing"))


@pytest.mark.parametrize("format", RESUMED_FORMATS)
def test_a_part_without_a_form_is_left_out_and_counted(format: str, tracts: ExitStack) -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    t = tracts.enter_context(Tract.open())
    t.import_messages([{"role": "user", "content": [text("listen"), audio]}, {"role": "user", "content": [audio]}])
    made = exported(t, format)
    if format == "openai-chat":
        assert made.lost == ()
        return
    kind = "OpenAI's responses" if format in ("codex", "openai-responses") else "Anthropic's messages"
    call = "to_openai_responses()" if format in ("codex", "openai-responses") else "to_anthropic()"
    assert made.lost[0] == (
        "2 messages: has a block of type 'input_audio' in a message of role 'user', "
        f"which has no form in {kind}; {call} left it out"
    )
    assert messages_of(imported(tracts, bytes(made))) == [{"role": "user", "content": [text("listen")]}]


def test_a_format_that_nothing_goes_on_with_is_refused(tracts: ExitStack) -> None:
    t = imported(tracts, claude(PLAIN))
    with pytest.raises(ArgumentError, match="use one of claude-code, codex, opencode, anthropic"):
        t.export_transcript(format="goose")
