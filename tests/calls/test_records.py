"""Records and lists of tools: in the history, and never messages; `add` takes the next message in whatever form there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.lab.inside import guard_of, writer_of
from tests.lab.stores import make_store
from tests.lab.talk import Clock, user
from tract_fs import DialogueContent, MessageContent, RecordContent, TokenBudgetConfig, ToolsContent, Tract
from tract_fs.errors import ArgumentError, BudgetExceeded, ContentValidationError, EditTargetError, SummarizeError
from tract_fs.model.content import is_content, type_of
from tract_fs.model.info import TractConfig
from tract_fs.model.members import is_object_of_ours
from tract_fs.model.objects import CommitOperation
from tract_fs.work.writer import ANY, Draft

SEARCH = {"type": "function", "function": {"name": "search"}}
FETCH = {"type": "function", "function": {"name": "fetch"}}
BLOB = "b" * 64


def texts(t: Tract, **options: Any) -> list[Any]:
    return [message.content for message in t.compile(**options).messages]


def stored(path: Path, name: str | None) -> bytes:
    assert name is not None
    return (path / ".tract/objects" / name[:2] / name[2:]).read_bytes()


def plant(path: Path, content: bytes, content_type: str) -> str:
    """Writes a content and its commit, as a version did to which the type was a custom one; returns the commit."""
    with Tract.open(path) as t, guard_of(t).writing:
        draft = Draft(operation=CommitOperation.APPEND, data=content, content_type=content_type)
        return writer_of(t).write(draft, ANY).commit_hash


# records


def test_a_record_is_no_message_and_costs_no_tokens(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        t.commit(user("one"))
        before = t.compile()
        made = t.commit(RecordContent("checkpoint", {"step": 1}, {"state": BLOB}), generation_config={"model": "m"})
        assert made.token_count == 0
        assert stored(tmp_path, made.content_hash) == (
            b'{"content":{"blobs":{"state":"%s"},"content_type":"record","data":{"step":1},"kind":"checkpoint"}}'
            % BLOB.encode()
        )
        context = t.compile()
        assert (context.messages, context.token_count) == (before.messages, before.token_count)
        assert (context.commit_hashes, context.warnings) == (before.commit_hashes, [])
        t.commit(user("two"))
        assert texts(t) == ["one", "two"]
        assert t.get_content(made.commit_hash) == RecordContent("checkpoint", {"step": 1}, {"state": BLOB})
        assert [info.commit_hash for info in t.log(content_type="record")] == [made.commit_hash]
        assert t.query_by_config("model", "=", "m")[0].commit_hash == made.commit_hash
    with Tract.open(tmp_path, verify=True) as t:
        assert texts(t) == ["one", "two"]


def test_the_default_of_blobs_is_left_out(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        first = t.commit(RecordContent("a", {}))
        second = t.commit({"content_type": "record", "kind": "a", "data": {}, "blobs": {}})
        assert first.content_hash == second.content_hash
        assert stored(tmp_path, first.content_hash) == b'{"content":{"content_type":"record","data":{},"kind":"a"}}'
        assert t.get_content(first.commit_hash).blobs == {}


def test_a_pinned_record_shows_nothing_either(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        made = t.commit(RecordContent("a", {"text": "secret"}))
        t.annotate(made.commit_hash, "pinned")
        t.commit(user("one"))
        assert texts(t) == ["one"]
        assert texts(t, include_edit_annotations=True, aggregate_same_role=True) == ["one"]


def test_what_an_edit_shows_is_its_own_content(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        record = t.commit(RecordContent("a", {"n": 1}))
        said = t.commit(user("one"))
        t.edit(record.commit_hash, RecordContent("a", {"n": 2}))
        assert texts(t) == ["one"]
        hidden = t.edit(said.commit_hash, RecordContent("a", {}))
        assert texts(t) == []
        t.annotate(hidden.commit_hash, "skip")
        assert texts(t) == ["one"]
        t.edit(record.commit_hash, user("in its place"))
        assert texts(t) == ["in its place", "one"]
        with pytest.raises(EditTargetError, match="no text"):
            t.edit(t.commit(RecordContent("b", {})).commit_hash, "text")


def test_pop_takes_the_last_message_and_leaves_records(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        t.commit(user("one"))
        two = t.commit(user("two"))
        record = t.commit(RecordContent("a", {}))
        popped = t.pop()
        assert (popped.commit_hash if popped else "", texts(t)) == (two.commit_hash, ["one"])
        assert record.commit_hash in [info.commit_hash for info in t.log()]


def test_a_record_can_stand_for_nothing(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        said = t.commit(user("one"))
        with pytest.raises(SummarizeError, match="show nothing"):
            t.summarize([said.commit_hash], RecordContent("a", {}))
        record = t.commit(RecordContent("a", {}))
        t.summarize([said.commit_hash, record.commit_hash], "short")
        assert texts(t) == ["short"]


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (RecordContent("a", {}, {"x": "main"}), "blobs.x"),
        (RecordContent("a", {}, {"x": 7}), "blobs"),  # type: ignore[dict-item]
        ({"content_type": "record", "data": {}}, "kind"),
        ({"content_type": "record", "kind": "a", "data": []}, "data"),
        ({"content_type": "record", "kind": "a", "data": {}, "more": 1}, "more"),
        ({"content_type": "tools", "tools": {}}, "tools"),
        (ToolsContent(["search"]), "tools"),  # type: ignore[list-item]
    ],
)
def test_an_unfit_record_is_refused(content: object, field: str) -> None:
    with Tract.open() as t:
        with pytest.raises(ContentValidationError) as caught:
            t.commit(content)
        assert caught.value.field.startswith(field)
        assert t.log() == []


def test_the_names_are_built_in() -> None:
    class Record:
        pass

    with Tract.open() as t:
        for name in ("record", "tools"):
            with pytest.raises(ArgumentError, match="built in"):
                t.register_content_type(name, Record)


@pytest.mark.parametrize("name", ["record", "tools"])
def test_a_custom_record_of_an_earlier_version_shows_as_it_did(tmp_path: Path, name: str) -> None:
    """An earlier version knew no such type: a program may have registered one of its own under the name."""
    data = b'{"content":{"content_type":"%s","text":"mine"}}' % name.encode()
    assert (is_content(data), type_of(data)) == (True, name)
    made = plant(make_store(tmp_path, lambda t: t.commit(user("one"))), data, name)
    with Tract.open(tmp_path, verify=True) as t:
        assert texts(t) == ["one", "mine"]
        assert t.compile().tools == []
        assert t.get_content(made) == {"content_type": name, "text": "mine"}
        assert t.status().pending == ()


def test_a_long_history_of_records_compiles_from_a_condensed_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tract_fs.model.compiler.ContextState.CONDENSED_LEAST", 8)
    with Tract.open(tmp_path, durability="fast") as t, t.batch():
        t.commit(ToolsContent([SEARCH]))
        for number in range(200):
            t.commit(RecordContent("step", {"n": number}))
        last = t.commit(user("one")).commit_hash
    with Tract.open(tmp_path) as t:
        assert (texts(t), t.compile().tools) == (["one"], [SEARCH])
    with Tract.open(tmp_path) as t:  # from the stored state
        assert (texts(t), t.compile().tools) == (["one"], [SEARCH])
        t.annotate(last, "skip")
        t.commit(user("two"))
        assert (texts(t), t.compile().tools) == (["two"], [SEARCH])


# tools


def test_the_last_list_of_tools_applies(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        assert t.compile().tools == []
        t.commit(user("one"))
        first = t.commit(ToolsContent([SEARCH]))
        assert t.compile().tools == [SEARCH]
        second = t.commit(ToolsContent([SEARCH, FETCH]))
        t.commit(user("two"))
        assert (texts(t), t.compile().tools) == (["one", "two"], [SEARCH, FETCH])
        assert t.compile(at_commit=first.commit_hash).tools == [SEARCH]
        t.annotate(second.commit_hash, "skip")
        assert t.compile().tools == [SEARCH]
        t.edit(first.commit_hash, ToolsContent([FETCH]))
        assert t.compile().tools == [FETCH]
        t.commit(ToolsContent([]))
        assert (t.compile().tools, t.compile().warnings) == ([], [])
        assert t.compile().to_dict()["tools"] == []
        assert t.compile().to_openai() == [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}]


def test_the_tools_are_the_callers_own(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        t.commit(ToolsContent([SEARCH]))
        t.compile().tools[0]["function"]["name"] = "changed"
        t.compile().tools.clear()
        assert t.compile().tools == [SEARCH]


def test_tools_cost_the_tokens_of_their_json(tmp_path: Path) -> None:
    """`[{"function":{"name":"search"},"type":"function"}]` has 51 bytes, so it counts as 13 tokens."""
    with Tract.open(tmp_path) as t:
        t.commit(user("one"))
        alone = t.compile().token_count
        made = t.commit(ToolsContent([SEARCH]))
        context = t.compile()
        assert (made.token_count, context.token_count, sum(context.token_counts)) == (13, alone + 13, alone - 3)
        t.commit(ToolsContent([]))
        assert t.compile().token_count == alone
    with Tract.open(tmp_path / "other") as t:
        t.commit(ToolsContent([SEARCH]))
        assert t.compile().token_count == 13


def test_a_budget_counts_the_tools_that_apply(tmp_path: Path) -> None:
    budget = TractConfig(token_budget=TokenBudgetConfig(max_tokens=30, action="reject"))
    with Tract.open(tmp_path, config=budget) as t:
        t.commit(ToolsContent([SEARCH]))
        t.commit(user("one"))  # 13, 5 and 3
        for _ in range(3):
            t.commit(ToolsContent([SEARCH]))  # in place of the last
            t.commit(RecordContent("a", {"long": "x" * 1000}))
        with pytest.raises(BudgetExceeded):
            t.commit(ToolsContent([SEARCH, FETCH]))
        with pytest.raises(BudgetExceeded):
            t.commit(user("x" * 100))
        assert t.compile().token_count == 21


# add


class SdkMessage:
    """Stands for an object of an SDK, which pydantic makes."""

    def __init__(self, **fields: Any) -> None:
        self._fields = fields

    def model_dump(self, *, mode: str = "python", exclude_unset: bool = False) -> dict[str, Any]:
        assert (mode, exclude_unset) == ("json", True)
        return self._fields


@pytest.mark.parametrize(
    ("given", "content"),
    [
        ("hello", DialogueContent("user", "hello")),
        (
            {"role": "tool", "tool_call_id": "c1", "content": "x"},
            {"role": "tool", "tool_call_id": "c1", "content": "x"},
        ),
        (SdkMessage(role="assistant", content="hi"), {"role": "assistant", "content": "hi"}),
        (
            SdkMessage(
                object="chat.completion",
                id="r1",
                choices=[{"index": 0, "message": {"role": "assistant", "content": "hi"}}],
                usage={"prompt_tokens": 1},
            ),
            {"role": "assistant", "content": "hi"},
        ),
        (
            SdkMessage(
                id="m1",
                type="message",
                role="assistant",
                model="m",
                content=[{"type": "text", "text": "hi"}],
                stop_reason="end_turn",
                usage={"input_tokens": 1},
            ),
            {"role": "assistant", "content": [{"type": "text", "text": "hi"}]},
        ),
        (DialogueContent("assistant", "hi"), DialogueContent("assistant", "hi")),
        ({"content_type": "dialogue", "role": "user", "text": "hi"}, DialogueContent("user", "hi")),
        (RecordContent("a", {}), RecordContent("a", {})),
    ],
)
def test_add_takes_the_next_message_in_any_form(given: object, content: object) -> None:
    expected = MessageContent(content) if isinstance(content, dict) else content
    with Tract.open(clock=Clock()) as t:
        made = t.add(given, metadata={"by": "me"}, generation_config={"model": "m"}, expected_head=None)
        assert t.get_content(made.commit_hash) == expected
        assert (made.metadata, made.generation_config, t.head) == ({"by": "me"}, {"model": "m"}, made.commit_hash)


@pytest.mark.parametrize("given", [None, 7, b"bytes", ["hi"], {"content": "no role"}, {"role": 7}, object()])
def test_add_refuses_what_is_no_message(given: object) -> None:
    with Tract.open() as t:
        with pytest.raises(ContentValidationError):
            t.add(given)
        assert t.log() == []


def test_a_blob_is_an_object_and_no_content() -> None:
    assert [
        is_object_of_ours(data) for data in (b'{"blob":{"base64":"aGk="}}', b'{"blob":{"base64":"a"}}', b'{"blob":7}')
    ] == [
        True,
        False,
        False,
    ]
    assert not is_content(b'{"blob":{"base64":"aGk="}}')
