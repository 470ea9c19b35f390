"""Exports to providers: any conversation in any provider's form, as the types of its own package take it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conversations import ANTHROPIC, CONVERSATIONS, GEMINI, PDF, PNG, RESPONSES, exported
from tests.lab.oracles import check, unpaired
from tests.lab.talk import Clock
from tract_fs import DialogueContent, ExportError, InstructionContent, MessageContent, ToolIOContent, Tract
from tract_fs.errors import ContentValidationError

FORMS = list(CONVERSATIONS)
Fields = dict[str, Any]


@pytest.fixture
def t(tmp_path: Path) -> Iterator[Tract]:
    with Tract.open(tmp_path, durability="fast", clock=Clock()) as opened:
        yield opened


def said(role: str, text: str) -> Fields:
    return {"role": role, "content": text}


def text_part(text: str) -> Fields:
    return {"type": "text", "text": text}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("source", FORMS)
def test_a_conversation_of_any_shape_is_valid_for_every_provider(t: Tract, source: str, form: str) -> None:
    t.import_messages(CONVERSATIONS[source])
    sent = exported(t.compile(), form)
    check(form, sent)
    assert unpaired(form, sent) == []


@pytest.mark.parametrize("form", FORMS)
def test_an_open_call_at_the_end_stays(t: Tract, form: str) -> None:
    t.import_messages(CONVERSATIONS["anthropic"][:3])
    sent = exported(t.compile(), form)
    check(form, sent)
    assert "toolu_1" in str(sent) and "toolu_2" in str(sent)


# back to where it came from


def test_a_conversation_goes_back_to_its_own_provider_as_it_came(t: Tract) -> None:
    t.import_messages(GEMINI)
    assert t.compile().to_gemini() == {"contents": GEMINI}
    t.clear()
    t.import_messages(RESPONSES)
    assert t.compile().to_openai_responses() == [
        *RESPONSES[:-2],
        {"type": "message", "role": "assistant", "content": "a cat"},
        RESPONSES[-1],
    ]
    t.clear()
    t.import_messages(ANTHROPIC)
    hurried = ANTHROPIC[3]["content"]
    assert t.compile().to_anthropic() == {
        "system": ANTHROPIC[0]["content"],
        "messages": [
            *ANTHROPIC[1:3],
            {"role": "user", "content": [hurried[1], hurried[2], hurried[0]]},
            {"role": "assistant", "content": "a cat"},
            ANTHROPIC[5],
        ],
    }
    assert [warning for warning in t.compile().warnings if "left it out" in warning] == []


OWN_BLOCKS: list[tuple[str, Fields]] = [
    (
        "anthropic",
        {"role": "assistant", "content": [{"type": "compaction", "content": None, "encrypted_content": "x"}]},
    ),
    ("anthropic", {"role": "assistant", "content": [{"type": "new_block", "of": "next month"}, text_part("see")]}),
    ("openai-responses", {"type": "compaction", "encrypted_content": "x"}),
    (
        "openai-responses",
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
    ),
    ("gemini", {"role": "model", "parts": [{"executable_code": {"code": "1", "language": "PYTHON"}}]}),
    ("gemini", {"role": "model", "parts": [{"toolCall": {"id": "1", "args": {}}}]}),
]


@pytest.mark.parametrize(("form", "message"), OWN_BLOCKS, ids=lambda value: str(value)[:60])
def test_a_block_for_one_provider_alone_goes_back_there_and_nowhere_else(t: Tract, form: str, message: Fields) -> None:
    t.import_messages([said("user", "one"), message, said("user", "two")])
    (made,) = [info.commit_hash for info in t.log()][1:2]
    sent = exported(t.compile(), form)
    assert message in (sent if isinstance(sent, list) else sent.get("messages", sent.get("contents")))
    for other in FORMS:
        context = t.compile()
        if other != form and "new_block" in str(message):
            with pytest.raises(ExportError, match="new_block"):
                exported(context, other)
        elif other != form:
            check(other, exported(context, other))
            assert made in context.warnings[-1] and "alone; to_" in context.warnings[-1]


def test_a_compaction_with_a_text_goes_elsewhere_as_that(t: Tract) -> None:
    t.import_messages([{"role": "assistant", "content": [{"type": "compaction", "content": "we met"}]}])
    assert t.compile().to_openai() == [{"role": "assistant", "content": [text_part("we met")]}]


def test_reasoning_without_what_followed_it_is_left_out(t: Tract) -> None:
    made = t.import_messages(RESPONSES)
    for info in made[3:8]:
        t.annotate(info.commit_hash, "skip")
    context = t.compile()
    sent = context.to_openai_responses()
    assert [item["type"] for item in sent] == ["message", "message", "reasoning", "message", "message"]
    t.annotate(made[8].commit_hash, "skip")
    context = t.compile()
    assert [item["type"] for item in context.to_openai_responses()] == ["message", "message", "message"]
    assert context.warnings == [
        f"commit {made[2].commit_hash} has reasoning of the model, and what it led to does not follow it; "
        "to_openai_responses() left it out"
    ]


def test_what_codex_leaves_out_or_keeps_for_itself_is_put_right(t: Tract) -> None:
    image = {"type": "input_image", "image_url": "https://a.example/b.png"}
    t.import_messages(
        [
            {"type": "message", "role": "user", "content": [image], "internal_passthrough": {"turn_id": "1"}},
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": None, "encrypted_content": "x"},
            {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
        ]
    )
    sent = t.compile().to_openai_responses()
    check("openai-responses", sent)
    assert sent == [
        {"type": "message", "role": "user", "content": [{**image, "detail": "auto"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
        {
            "type": "message",
            "id": "m",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "a", "annotations": []}],
        },
    ]


def test_parts_of_another_tool_are_no_content_of_gemini(t: Tract) -> None:
    with pytest.raises(ContentValidationError):
        t.add({"info": {"role": "user"}, "parts": [{"type": "text", "text": "x"}]})


def test_thinking_that_was_changed_does_not_go_back(t: Tract) -> None:
    t.import_messages([said("user", "q"), {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}]}])
    context = t.compile()
    assert context.to_anthropic() == {"messages": [said("user", "q")]}
    assert "has thinking of the model" in context.warnings[0]


# items without a role


def test_an_item_without_a_role_is_given_one_and_goes_out_without_it(t: Tract) -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": "ok"}
    t.add(call)
    t.commit(MessageContent(output))
    t.import_stream([{"type": "reasoning", "id": "r", "summary": []}, {"parts": [{"text": "hi"}]}])
    assert [message.role for message in t.compile().messages] == ["assistant", "tool", "assistant", "user"]
    assert t.compile().to_openai_responses() == [
        call,
        output,
        {"type": "message", "role": "user", "content": "hi"},
    ]
    with pytest.raises(ContentValidationError):
        t.add({"type": "session_meta", "payload": {}})


def test_calls_and_results_are_paired_by_call_id_and_by_name(t: Tract) -> None:
    items = t.import_messages(RESPONSES)
    t.annotate(items[7].commit_hash, "skip")  # the result of the first call
    assert "call_1" not in str(t.compile().to_openai_responses())
    assert "call_2" in str(t.compile().to_openai_responses())
    t.clear()
    contents = t.import_messages(GEMINI)
    t.annotate(contents[2].commit_hash, "skip")
    assert [message.role for message in t.compile().messages] == ["user", "model", "user"]
    old = [
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "ok"},
    ]
    t.clear()
    made = t.import_messages([said("user", "q"), *old, said("user", "n")])
    assert t.compile().to_openai()[1:3] == old
    assert unpaired("anthropic", t.compile().to_anthropic()) == []
    assert "tool_use" in str(t.compile().to_anthropic())
    t.annotate(made[2].commit_hash, "skip")
    assert t.compile().to_openai() == [said("user", "q"), said("user", "n")]


def test_an_id_is_made_from_the_commit_for_a_call_without_one(t: Tract) -> None:
    t.import_messages([said("user", "q"), GEMINI[1], GEMINI[2]])
    commit = t.log()[1].commit_hash
    ids = [item["call_id"] for item in t.compile().to_openai_responses() if "call_id" in item]
    assert ids == [f"call_{commit[:24]}_1", f"call_{commit[:24]}_2", "f-3"] * 2


def test_an_id_that_the_provider_does_not_take_is_replaced(t: Tract) -> None:
    calls = [{"id": "functions.f:0", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    t.import_messages(
        [
            said("user", "q"),
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "functions.f:0", "content": "ok"},
        ]
    )
    messages = t.compile().to_anthropic()["messages"]
    (use,), (result,) = messages[1]["content"], messages[2]["content"]
    assert use["id"] == result["tool_use_id"] == "call_d6bdd4de328a22edd610f954"
    assert t.compile().to_openai()[1]["tool_calls"] == calls


# pairs, roles, neighbours


def use(*ids: str) -> Fields:
    return {"role": "assistant", "content": [{"type": "tool_use", "id": id_, "name": "f", "input": {}} for id_ in ids]}


def result(id_: str, content: Any = "ok") -> Fields:
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id_, "content": content}]}


@pytest.mark.parametrize("form", ["anthropic", "openai-responses", "gemini"])
def test_what_was_never_answered_and_what_answers_nothing_do_not_go_out(t: Tract, form: str) -> None:
    made = t.import_messages(
        [
            said("user", "q"),
            use("a", "b"),
            said("user", "hurry"),
            result("a"),
            said("user", "n"),
            result("a"),
            result("z"),
        ]
    )
    context = t.compile()
    before = len(context.warnings)
    sent = exported(context, form)
    check(form, sent)
    assert unpaired(form, sent) == []
    call = f"to_{form.replace('-', '_')}()"
    assert context.warnings[before:] == [
        f"commit {made[1].commit_hash} makes tool call 'b', which was never answered; {call} left it out",
        f"commit {made[5].commit_hash} answers tool call 'a', which is not open there; {call} left it out",
        f"commit {made[6].commit_hash} answers tool call 'z', which is not open there; {call} left it out",
    ]


def test_single_calls_and_results_share_messages(t: Tract) -> None:
    t.commit(InstructionContent("be brief"))
    t.commit(DialogueContent("user", "q"))
    for id_ in "ab":
        t.commit(ToolIOContent("f", "call", {"x": id_}, call_id=id_))
    for id_ in "ab":
        t.commit(ToolIOContent("f", "result", {"y": id_}, call_id=id_))
    t.commit(DialogueContent("user", "n"))
    t.commit(DialogueContent("user", "m"))
    assert t.compile().to_anthropic() == {
        "system": [text_part("be brief")],
        "messages": [
            said("user", "q"),
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "a", "name": "f", "input": {"x": "a"}},
                    {"type": "tool_use", "id": "b", "name": "f", "input": {"x": "b"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "a", "content": '{"y":"a"}'},
                    {"type": "tool_result", "tool_use_id": "b", "content": '{"y":"b"}'},
                    text_part("n"),
                    text_part("m"),
                ],
            },
        ],
    }
    contents = t.compile().to_gemini()["contents"]
    assert [content["role"] for content in contents] == ["user", "model", "user"]
    assert contents[2]["parts"][0] == {"function_response": {"id": "a", "name": "f", "response": {"y": "a"}}}


def test_a_system_message_amid_the_conversation_stays_where_it_can(t: Tract) -> None:
    made = t.import_messages([said("system", "s"), said("user", "q"), said("system", "now"), said("user", "n")])
    context = t.compile()
    assert context.to_anthropic()["messages"][1] == said("system", "now")
    assert context.to_openai_responses()[2] == {"type": "message", "role": "system", "content": "now"}
    assert context.warnings == []
    assert context.to_gemini() == {
        "system_instruction": {"parts": [{"text": "s"}, {"text": "now"}]},
        "contents": [{"role": "user", "parts": [{"text": "q"}, {"text": "n"}]}],
    }
    assert context.warnings == [
        f"commit {made[2].commit_hash} is of the system amid the conversation; to_gemini() puts it into "
        "system_instruction"
    ]


def test_a_request_that_would_end_with_the_assistant_is_warned_of(t: Tract) -> None:
    made = t.import_messages([said("user", "q"), said("assistant", "a")])
    context = t.compile()
    assert context.to_anthropic()["messages"][-1] == said("assistant", "a")
    assert context.warnings == [
        f"commit {made[1].commit_hash} is the last, and of the assistant; Anthropic's newer models refuse a request that "
        "ends so: commit the user's next message, or the results of its calls"
    ]


def test_at_most_four_cache_marks_go_out(t: Tract) -> None:
    marked = {**text_part("x"), "cache_control": {"type": "ephemeral"}}
    for _ in range(6):
        t.import_messages([{"role": "user", "content": [dict(marked)]}, said("assistant", "a")])
    t.add("end")
    blocks = [message["content"] for message in t.compile().to_anthropic()["messages"] if message["role"] == "user"]
    assert [isinstance(content, list) and "cache_control" in content[0] for content in blocks] == [
        *(False, False, True, True, True, True, False)
    ]


MEDIA: list[tuple[Fields, str, Fields | None]] = [
    ({"type": "image", "source": {"type": "file", "file_id": "f"}}, "openai-responses", None),
    ({"type": "file", "file": {"file_id": "f"}}, "openai-responses", {"type": "input_file", "file_id": "f"}),
    ({"type": "file", "file": {"file_id": "f"}}, "anthropic", None),
    ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}, "anthropic", None),
    (
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        "gemini",
        {"inline_data": {"mime_type": "audio/wav", "data": "AAAA"}},
    ),
    (
        {"type": "document", "source": {"type": "url", "url": "https://a.example/b.pdf"}},
        "openai-responses",
        {"type": "input_file", "file_url": "https://a.example/b.pdf"},
    ),
    (
        {"type": "document", "source": {"type": "url", "url": "https://a.example/b.pdf"}},
        "gemini",
        {"file_data": {"file_uri": "https://a.example/b.pdf", "mime_type": "application/pdf"}},
    ),
    (
        {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,aGk="}},
        "anthropic",
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "hi"},
            "title": "a.txt",
        },
    ),
    ({"type": "image_url", "image_url": {"url": "data:image/bmp;base64,Qk0="}}, "anthropic", None),
    (
        {"type": "document", "source": {"type": "content", "content": [text_part("a"), text_part("b")]}},
        "openai-responses",
        {"type": "input_text", "text": "a\nb"},
    ),
]


@pytest.mark.parametrize(("block", "form", "made"), MEDIA, ids=lambda value: str(value)[:50])
def test_media_go_out_in_the_providers_form_or_are_refused(t: Tract, block: Fields, form: str, made: Any) -> None:
    t.import_messages([{"role": "user", "content": [block]}])
    if made is None:
        with pytest.raises(ExportError) as caught:
            exported(t.compile(), form)
        assert caught.value.commits == (t.head,)
        return
    sent = exported(t.compile(), form)
    check(form, sent)
    message = sent[0] if isinstance(sent, list) else sent.get("messages", sent.get("contents"))[0]
    assert message.get("content", message.get("parts")) == [made]


def test_data_of_blobs_goes_out_in_every_form(t: Tract) -> None:
    name = t.put_blob(b"\x89PNG\r\n\x1a\n")
    t.add({"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"blob:{name}"}}]})
    for form in FORMS:
        assert PNG in str(exported(t.compile(), form))


def test_arguments_that_are_no_object_become_an_input(t: Tract) -> None:
    calls = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": '}}]
    made = t.import_messages([said("user", "q"), {"role": "assistant", "content": None, "tool_calls": calls}])
    context = t.compile()
    assert context.to_anthropic()["messages"][1]["content"][0]["input"] == {"input": '{"x": '}
    assert context.warnings[0] == (
        f"commit {made[1].commit_hash} calls 'f' with arguments that are no JSON object; they go out as its input"
    )


def test_a_context_as_a_text(t: Tract) -> None:
    t.import_messages(ANTHROPIC)
    assert t.compile().to_text() == (
        "system: be brief\n\n"
        "user: what is this?\n[image image/png]\n[document a.pdf]\nlong\n\n"
        'assistant: I look\n[calls look {"at":"it"}]\n[calls find {"q":1}]\n\n'
        "tool: [error of find] no such file\n[result of look] a cat\n[image image/png]\n\n"
        "user: hurry\n\nassistant: a cat\n\nuser: thanks"
    )
    assert PDF not in t.compile().to_text()
