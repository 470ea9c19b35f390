"""Exports of blocks: what Anthropic's messages hold goes out as OpenAI's chat completions take it, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.lab.talk import say
from tract_fs import ExportError, MessageContent, Tract
from tract_fs.cli import main

Fields = dict[str, Any]
TEXT: Fields = {"type": "text", "text": "see"}
PNG: Fields = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0K"}}
PNG_URL: Fields = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0K"}}
PDF: Fields = {
    "type": "document",
    "title": "a.pdf",
    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x"},
}
PDF_FILE: Fields = {
    "type": "file",
    "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0x"},
}
USE: Fields = {"type": "tool_use", "id": "t1", "name": "find", "input": {"q": "é", "n": 1}}
CALL: Fields = {"id": "t1", "type": "function", "function": {"name": "find", "arguments": '{"n":1,"q":"é"}'}}
THINKING: Fields = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}


def result(content: Any, id_: str = "t1", **more: Any) -> Fields:
    return {"type": "tool_result", "tool_use_id": id_, "content": content, **more}


def tool(content: Any, id_: str = "t1") -> Fields:
    return {"role": "tool", "tool_call_id": id_, "content": content}


def of(role: str, *blocks: Fields, **more: Any) -> Fields:
    return {"role": role, "content": list(blocks), **more}


_ANSWERED = [of("user", result("ok"))]
# what is committed, and what goes out
CONVERTED: dict[str, tuple[list[Fields], list[Fields]]] = {
    "a call beside a text": (
        [of("assistant", TEXT, USE), *_ANSWERED],
        [of("assistant", TEXT, tool_calls=[CALL]), tool("ok")],
    ),
    "a call alone": (
        [of("assistant", USE), *_ANSWERED],
        [{"role": "assistant", "content": None, "tool_calls": [CALL]}, tool("ok")],
    ),
    "a call without an input": (
        [of("assistant", {"type": "tool_use", "id": "t1", "name": "f"}), *_ANSWERED],
        [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            tool("ok"),
        ],
    ),
    "two results and a text": (
        [
            of("assistant", USE, {**USE, "id": "t2"}),
            of("user", TEXT, result([{"type": "text", "text": "a"}], "t2"), result(None, is_error=True)),
        ],
        [
            {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "t2"}]},
            tool([{"type": "text", "text": "a"}], "t2"),
            tool(""),
            of("user", TEXT),
        ],
    ),
    "a late result": (
        [of("assistant", USE), {"role": "user", "content": "hurry"}, of("user", result("ok"), TEXT)],
        [
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            tool("ok"),
            {"role": "user", "content": "hurry"},
            of("user", TEXT),
        ],
    ),
    "a result with an image": (
        [of("assistant", USE), of("user", result([{"type": "text", "text": "shot"}, PNG]), TEXT)],
        [
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            tool([{"type": "text", "text": "shot"}]),
            of("user", PNG_URL, TEXT),
        ],
    ),
    "a result that is an image": (
        [of("assistant", USE), of("user", result([PNG]))],
        [{"role": "assistant", "content": None, "tool_calls": [CALL]}, tool(""), of("user", PNG_URL)],
    ),
    "an image": ([of("user", TEXT, PNG)], [of("user", TEXT, PNG_URL)]),
    "an image by URL": (
        [of("user", {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}})],
        [of("user", {"type": "image_url", "image_url": {"url": "https://a/b.png"}})],
    ),
    "an image of the model context protocol": (
        [of("user", {"type": "image", "data": "iVBORw0K", "mimeType": "image/png"})],
        [of("user", PNG_URL)],
    ),
    "a document": ([of("user", PDF)], [of("user", PDF_FILE)]),
    "a document without a title": (
        [of("user", {**PDF, "title": None})],
        [of("user", {"type": "file", "file": {**PDF_FILE["file"], "filename": "document.pdf"}})],
    ),
    "a document of text": (
        [of("user", {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "long"}})],
        [of("user", {"type": "text", "text": "long"})],
    ),
    "a whole response": (
        [
            of(
                "assistant",
                {**TEXT, "citations": None},
                id="msg_1",
                type="message",
                model="claude",
                stop_reason="end_turn",
                usage={"input_tokens": 1},
            )
        ],
        [of("assistant", TEXT)],
    ),
    "texts of OpenAI's responses": (
        [
            of("user", {"type": "input_text", "text": "see"}),
            of("assistant", {"type": "output_text", "text": "see", "annotations": []}, type="message", status="done"),
        ],
        [of("user", TEXT), of("assistant", TEXT)],
    ),
    "media of OpenAI's responses": (
        [
            of(
                "user",
                {"type": "input_image", "image_url": "https://a/b.png", "detail": "low"},
                {"type": "input_file", "file_id": "f-1"},
            )
        ],
        [
            of(
                "user",
                {"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "low"}},
                {"type": "file", "file": {"file_id": "f-1"}},
            )
        ],
    ),
    "an image in the result of a tool": (
        [of("assistant", USE), {**tool([{"type": "text", "text": "shot"}, PNG_URL]), "x": 1}],
        [
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            tool([{"type": "text", "text": "shot"}]),
            of("user", PNG_URL),
        ],
    ),
}


@pytest.mark.parametrize("name", CONVERTED)
def test_blocks_go_out_as_the_provider_takes_them(t: Tract, name: str) -> None:
    committed, exported = CONVERTED[name]
    t.import_messages(committed)
    context = t.compile()
    before = list(context.warnings)
    assert context.to_openai() == exported
    assert context.to_openai(as_committed=True) == committed
    assert [message.to_dict() for message in context.messages] == committed
    assert context.warnings == before
    assert list(map(refusal, exported)) == [None] * len(exported)


KEPT: list[Fields] = [
    of("user", {**TEXT, "cache_control": {"type": "ephemeral"}}, PNG_URL, PDF_FILE, x_extra=1),
    of("user", {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
    of("assistant", TEXT, {"type": "refusal", "refusal": "no"}),
    of("system", TEXT),
    {"role": "user", "content": {"type": "tool_use"}},
    of("narrator", USE),
]


def test_a_message_that_the_provider_takes_stays_as_it_is(t: Tract) -> None:
    t.import_messages(KEPT)
    assert t.compile().to_openai()[:5] == KEPT[:5]


def test_thinking_is_left_out_and_named(t: Tract) -> None:
    redacted = {"type": "redacted_thinking", "data": "x"}
    made = t.import_messages([of("assistant", THINKING, TEXT), of("assistant", redacted), of("user", TEXT)])
    context = t.compile()
    assert context.warnings == []  # nothing is left out of what Anthropic gets
    for _ in range(2):
        assert context.to_openai() == [of("assistant", TEXT), of("user", TEXT)]
        assert context.warnings == [
            f"commit {info.commit_hash} has thinking of the model, which another provider does not take; to_openai() "
            "left it out"
            for info in made[:2]
        ]
    assert t.compile().warnings == []


def test_a_block_that_only_its_provider_can_read_is_left_out_and_named(t: Tract) -> None:
    searched = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    (made,) = t.import_messages([of("assistant", searched, TEXT)])
    context = t.compile()
    assert context.to_openai() == [of("assistant", TEXT)]
    assert context.warnings == [
        f"commit {made.commit_hash} has a block of type 'server_tool_use', which is for Anthropic's messages alone; "
        "to_openai() left it out"
    ]
    assert context.to_anthropic()["messages"] == [of("assistant", searched, TEXT)]


REFUSED: dict[str, tuple[Fields, str]] = {
    "an image of a file": (
        of("user", {"type": "image", "source": {"type": "file", "file_id": "f"}}),
        "a block of type 'image' with a source of type 'file' in a message of role 'user'",
    ),
    "a document by URL": (
        of("user", {"type": "document", "source": {"type": "url", "url": "https://a/b.pdf"}}),
        "a block of type 'document' with a source of type 'url' in a message of role 'user'",
    ),
    "an image of the assistant": (
        of("assistant", PNG),
        "a block of type 'image' with a source of type 'base64' in a message of role 'assistant'",
    ),
    "an image of the system": (of("system", PNG_URL), "a block of type 'image_url' in a message of role 'system'"),
    "a call of the user": (of("user", USE), "a block of type 'tool_use' in a message of role 'user'"),
    "a result of the assistant": (
        of("assistant", result("x")),
        "a block of type 'tool_result' in a message of role 'assistant'",
    ),
    "a call without a name": (
        of("assistant", {"type": "tool_use", "id": "t", "input": {}}),
        "a tool_use block without a string 'name'",
    ),
    "a result without an id": (
        of("user", {"type": "tool_result", "content": "x"}),
        "a tool_result block without a string 'tool_use_id'",
    ),
    "a result of an object": (
        of("user", result({"a": 1})),
        "a tool result that is neither a text nor a list of blocks",
    ),
    "a block in a result": (
        of("user", result([{"type": "search_result", "title": "x"}])),
        "a block of type 'search_result' in a message of role 'user'",
    ),
    "a block that is none": (
        {"role": "user", "content": ["see"]},
        "a str among the blocks of a message",
    ),
    "a block of no type": (of("user", {"inline_data": {}}), "a block of type None in a message of role 'user'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_form_there_raises_and_names_its_commit(t: Tract, name: str) -> None:
    message, reason = REFUSED[name]
    say(t, "hello")
    made = t.commit(MessageContent(message)).commit_hash
    say(t, "again")
    context = t.compile(orphans="keep")
    with pytest.raises(ExportError) as caught:
        context.to_openai()
    assert (caught.value.commits, caught.value.reason) == ((made,), reason)
    assert made in str(caught.value)
    assert context.to_openai(as_committed=True)[1] == message
    t.annotate(made, "skip")
    assert len(t.compile().to_openai()) == 2


def test_the_command_shows_what_was_left_out_and_what_has_no_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Tract.open(tmp_path) as t:
        t.import_messages([of("assistant", THINKING, TEXT)])
    assert main(["-C", str(tmp_path), "--json", "compile", "--format", "openai"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["messages"] == [of("assistant", TEXT)]
    assert "thinking" in shown["warnings"][0]
    assert main(["-C", str(tmp_path), "compile", "--format", "openai"]) == 0
    assert "thinking" in capsys.readouterr().err
    with Tract.open(tmp_path) as t:
        t.import_messages([of("user", USE)])
    assert main(["-C", str(tmp_path), "compile", "--format", "openai", "--orphans", "keep"]) == 1
    assert "a block of type 'tool_use'" in capsys.readouterr().err


# OpenAI API reference, "Create chat completion": the parts that a message of each role may have
PARTS = {
    "system": {"text"},
    "user": {"text", "image_url", "input_audio", "file"},
    "assistant": {"text", "refusal"},
    "tool": {"text"},
}
FIELDS = {
    "system": {"name"},
    "user": {"name"},
    "assistant": {"name", "tool_calls", "refusal", "audio", "function_call"},
    "tool": {"tool_call_id"},
}


def refusal(message: Fields) -> str | None:
    """Returns why the provider's own types refuse a message, or None."""
    role, content = message["role"], message["content"]
    unknown = message.keys() - {"role", "content"} - FIELDS[role]
    if unknown:
        return f"fields {unknown}"
    if content is None:
        return None if role == "assistant" and message.get("tool_calls") else "no content"
    if isinstance(content, str):
        return None
    wrong = [part for part in content if part["type"] not in PARTS[role] or part.keys() != {"type", part["type"]}]
    return f"parts {wrong}" if wrong or not content else None
