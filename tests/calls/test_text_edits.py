"""Edits by a text alone: all else stays as it is now, or the edit is refused; an edit named as a target stands for its commit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab.inside import writer_of
from tests.lab.talk import edit_one, say_one, texts, user
from tract_fs import (
    ArtifactContent,
    DialogueContent,
    FreeformContent,
    InstructionContent,
    MessageContent,
    ToolIOContent,
    Tract,
)
from tract_fs.errors import AnnotateTargetError, ContentValidationError, EditTargetError, HeadMoved
from tract_fs.model.objects import CommitOperation

IMAGE = {"type": "image_url", "image_url": {"url": "data:x"}}
CALLS = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


def text(value: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **more}


@pytest.fixture
def t(tmp_path: Path) -> Any:
    with Tract.open(tmp_path / "a", durability="fast") as opened:
        yield opened


# a content, and what a text edit by "new" makes of it
KEPT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a text": ({"role": "user", "content": "old", "name": "Bo"}, {"role": "user", "content": "new", "name": "Bo"}),
    "a text and an image": (
        {"role": "user", "content": [text("old", cache_control={"type": "ephemeral"}), IMAGE]},
        {"role": "user", "content": [text("new", cache_control={"type": "ephemeral"}), IMAGE]},
    ),
    "an image and a text": (
        {"role": "user", "content": [IMAGE, {"type": "input_text", "text": "old"}], "n": 1},
        {"role": "user", "content": [IMAGE, {"type": "input_text", "text": "new"}], "n": 1},
    ),
    "a text and tool calls": (
        {"role": "assistant", "content": [text("old"), {"type": "tool_use", "id": "b", "name": "f", "input": {}}]},
        {"role": "assistant", "content": [text("new"), {"type": "tool_use", "id": "b", "name": "f", "input": {}}]},
    ),
    "no text, and tool calls": (
        {"role": "assistant", "content": None, "tool_calls": CALLS},
        {"role": "assistant", "content": "new", "tool_calls": CALLS},
    ),
    "nothing": ({"role": "user", "content": []}, {"role": "user", "content": "new"}),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_text_edit_of_a_message_replaces_its_one_text(t: Tract, name: str) -> None:
    before, after = KEPT[name]
    made = t.commit(MessageContent(before))
    edited = t.edit(made.commit_hash, "new")
    assert (edited.operation, edited.targets) == (CommitOperation.EDIT, (made.commit_hash,))
    assert [message.to_dict() for message in t.compile(orphans="keep").messages] == [after]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ([text("one"), IMAGE, text("two")], "2 text blocks"),
        ([IMAGE], "no text block"),
        ([{"type": "tool_result", "tool_use_id": "a", "content": "r"}], "no text block"),
        ([{"type": "tool_use", "id": "a", "name": "f", "input": {}}], "no text block"),
        ({"text": "no list"}, "no text block"),
    ],
)
def test_a_text_edit_of_a_message_without_one_text_is_refused_and_names_the_way(
    t: Tract, content: Any, named: str
) -> None:
    made = t.commit(MessageContent({"role": "user", "content": content}))
    with pytest.raises(EditTargetError, match=f"{named}.*give the whole content.*--json-content") as caught:
        t.edit(made.commit_hash, "new")
    assert caught.value.fields["target"] == made.commit_hash
    assert t.head == made.commit_hash


@pytest.mark.parametrize(
    ("content", "given", "expected"),
    [
        (DialogueContent("assistant", "old", "Bo"), "new", DialogueContent("assistant", "new", "Bo")),
        (InstructionContent("old"), "new", InstructionContent("new")),
        (ArtifactContent("code", "old", "py"), "new", ArtifactContent("code", "new", "py")),
        (FreeformContent({"a": 1}), '{"b": 2}', FreeformContent({"b": 2})),
        (
            ToolIOContent("f", "call", {"a": 1}, call_id="c"),
            '{"b": 2}',
            ToolIOContent("f", "call", {"b": 2}, call_id="c"),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_text_edit_of_any_type_keeps_its_other_fields(t: Tract, content: Any, given: str, expected: Any) -> None:
    made = t.commit(content)
    assert t.get_content(t.edit(made.commit_hash, given).commit_hash) == expected


@dataclass
class Note:
    text: str
    author: str


@dataclass
class Score:
    value: int


def test_a_text_edit_of_a_registered_type_keeps_its_other_fields(t: Tract) -> None:
    t.register_content_type("note", Note)
    t.register_content_type("score", Score)
    made = t.commit(Note("old", "ann"))
    assert t.get_content(t.edit(made.commit_hash, "new").commit_hash) == Note("new", "ann")
    with pytest.raises(EditTargetError, match="it has no text"):
        t.edit(t.commit(Score(1)).commit_hash, "new")


def test_a_payload_that_is_no_json_is_refused(t: Tract) -> None:
    made = t.commit(FreeformContent({"a": 1}))
    with pytest.raises(EditTargetError, match="not JSON"):
        t.edit(made.commit_hash, "no json")
    assert t.head == made.commit_hash


def test_a_text_edit_keeps_what_the_edit_before_it_set(t: Tract) -> None:
    target = say_one(t, "old", generation_config={"temperature": 0.2})
    edit_one(t, target, "better", role="assistant", generation_config={"temperature": 0.9})
    t.edit(target, "best")
    t.edit(target, "best of all")
    context = t.compile()
    assert [message.to_dict() for message in context.messages] == [{"role": "assistant", "content": "best of all"}]
    assert context.generation_configs == [{"temperature": 0.9}]
    t.edit(target, "with its own", generation_config={})
    assert t.compile().generation_configs == [{}]


def test_a_text_edit_leaves_the_config_of_the_first_commit_where_no_edit_set_one(t: Tract) -> None:
    target = say_one(t, "old", generation_config={"temperature": 0.2})
    edited = t.edit(target, "new")
    assert edited.generation_config is None
    assert t.compile().generation_configs == [{"temperature": 0.2}]


def test_a_text_edit_builds_on_the_edit_that_applies_and_not_on_a_skipped_one(t: Tract) -> None:
    target = say_one(t, "old")
    skipped = edit_one(t, target, "skipped", role="system", generation_config={"n": 1})
    t.annotate(skipped, "skip")
    t.edit(target, "new")
    assert [message.to_dict() for message in t.compile().messages] == [{"role": "user", "content": "new"}]
    assert t.compile().generation_configs == [{}]


def test_an_edit_named_as_the_target_stands_for_the_commit_that_it_is_about(t: Tract) -> None:
    target = say_one(t, "old")
    first = edit_one(t, target, "better", role="assistant")
    second = t.edit(first, "best")
    third = t.edit("main", user("whole"))
    assert (second.targets, third.targets) == ((target,), (target,))
    assert t.edit(third.commit_hash[:12], "last").targets == (target,)
    assert texts(t) == ["last"]


def test_an_annotation_of_an_edit_is_about_the_edit_alone(t: Tract) -> None:
    target = say_one(t, "old")
    edited = t.edit(target, "new").commit_hash
    t.annotate(edited, "skip")
    assert texts(t) == ["old"]
    t.annotate(edited, "normal")
    assert texts(t) == ["new"]


def test_the_refusal_of_an_annotation_as_a_target_names_the_commit_that_it_is_about(t: Tract) -> None:
    target = say_one(t, "old")
    annotation = t.annotate(target, "pinned").commit_hash or ""
    with pytest.raises(EditTargetError, match=f"annotate, about {target}; name that one"):
        t.edit(annotation, "new")
    with pytest.raises(AnnotateTargetError, match=f"annotate, about {target}; name that one"):
        t.annotate(annotation, "skip")


def test_a_text_edit_in_a_batch_sees_the_edit_before_it(t: Tract) -> None:
    target = say_one(t, "old")
    with t.batch():
        edit_one(t, target, "staged", role="system", generation_config={"n": 1})
        t.edit(target, "new")
    assert [message.to_dict() for message in t.compile().messages] == [{"role": "system", "content": "new"}]
    assert t.compile().generation_configs == [{"n": 1}]


def test_a_text_edit_is_refused_if_another_writer_edited_the_commit_meanwhile(t: Tract, tmp_path: Path) -> None:
    target, beside = say_one(t, "old"), say_one(t, "beside")
    with Tract.open(tmp_path / "a", durability="fast") as other:
        draft = writer_of(t).draft("new", operation=CommitOperation.EDIT, target=target)
        edited = other.edit(beside, "of another commit").commit_hash
        assert writer_of(t).write(draft, edited).targets == (target,)
        draft = writer_of(t).draft("newer", operation=CommitOperation.EDIT, target=target)
        theirs = edit_one(other, target, "theirs", role="assistant")
        with pytest.raises(HeadMoved):
            writer_of(t).write(draft, theirs)
    assert texts(t) == ["theirs", "of another commit"]


def test_a_text_alone_can_be_edited_and_not_committed(t: Tract) -> None:
    with pytest.raises(ContentValidationError):
        t.commit("a text")


def test_a_text_edit_of_a_commit_that_a_condensed_context_left_out_builds_on_its_edit(t: Tract) -> None:
    with t.batch():
        target = say_one(t, "old")
        edit_one(t, target, "better", role="assistant")
        many = [say_one(t, f"{number}") for number in range(3000)]
    summary = t.summarize([target, *many], "all").commit_hash
    t.compile()
    t.edit(target, "best")
    t.annotate(summary, "skip")
    assert t.compile().messages[0].to_dict() == {"role": "assistant", "content": "best"}
