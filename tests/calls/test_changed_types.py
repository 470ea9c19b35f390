"""Custom content types whose class changed: old records show, with a warning that names the type and the field, and block nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec import Struct

from tests.lab.talk import Clock, say, texts
from tract_fs import CompiledContext, Tract
from tract_fs.errors import ContentValidationError
from tract_fs.store.objects import Objects


class NoteOne(Struct, frozen=True):
    body: str


class NoteTwo(Struct, frozen=True):
    body: str
    author: str


class NoteRenamed(Struct, frozen=True):
    note: str = ""


@dataclass
class NoteNumber:
    body: int


def shown_note(note: object) -> str:
    return f"{note.author}: {note.body}"  # type: ignore[attr-defined]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Tract.open(tmp_path / "context", durability="fast", clock=Clock()) as t:
        t.register_content_type("note", NoteOne, role="system")
        say(t, "one")
        t.commit(NoteOne("old"), generation_config={"model": "m-1"})
        say(t, "two")
    return tmp_path / "context"


def own_warnings(context: CompiledContext) -> list[str]:
    return [warning for warning in context.warnings if "does not fit" in warning]


def test_an_old_record_of_a_type_with_a_new_required_field_shows_as_it_stands(path: Path) -> None:
    with Tract.open(path, durability="fast", clock=Clock()) as t:
        t.register_content_type("note", NoteTwo, role="system", text=shown_note)
        old = t.log()[1].commit_hash
        context = t.compile()
        assert [message.to_dict() for message in context.messages] == [
            {"role": "user", "content": "one"},
            {"role": "system", "content": '{\n  "body": "old"\n}'},
            {"role": "user", "content": "two"},
        ]
        assert own_warnings(context) == [
            f"commit {old}: its content does not fit the registered type 'note' (Object missing required field `author`); it "
            "shows as far as it can be read: edit or skip it, or give the type's class a default or the field"
        ]
        assert t.get_content(old) == {"content_type": "note", "body": "old"}
        assert [info.commit_hash for info in t.query_by_config("model", "=", "m-1")] == [old]
        assert t.query_by_config("model", "=", "m-1")[0].token_count > 0
        assert len(t.log(None)) == 3
        assert len(t.diff("main~2", "main").entries) == 2
        assert t.status().warnings == ()
        t.commit(NoteTwo("new", "ann"))
        assert texts(t)[-1] == "ann: new"
        assert len(own_warnings(t.compile())) == 1
        with pytest.raises(ContentValidationError, match="author"):
            t.commit({"content_type": "note", "body": "still wrong"})


def test_an_edit_and_a_skip_let_go_of_an_old_record(path: Path) -> None:
    with Tract.open(path, durability="fast", clock=Clock()) as t:
        t.register_content_type("note", NoteTwo, role="system", text=shown_note)
        old = t.log()[1].commit_hash
        t.edit(old, NoteTwo("mended", "ann"))
        assert texts(t) == ["one", "ann: mended", "two"]
        assert own_warnings(t.compile()) == []
        t.reset("main~1")
        assert len(own_warnings(t.compile())) == 1
        t.annotate(old, "skip")
        assert texts(t) == ["one", "two"]
        assert own_warnings(t.compile()) == []


def test_a_record_with_a_field_of_another_type_shows_as_it_stands(path: Path) -> None:
    with Tract.open(path, durability="fast", clock=Clock()) as t:
        t.register_content_type("note", NoteNumber)
        assert texts(t) == ["one", '{\n  "body": "old"\n}', "two"]
        (warning,) = own_warnings(t.compile())
        assert "'note' (Expected `int`, got `str` - at `$.body`)" in warning


def test_a_field_that_the_type_has_renamed_is_named(path: Path) -> None:
    with Tract.open(path, durability="fast", clock=Clock()) as t:
        t.register_content_type("note", NoteRenamed)
        (warning,) = own_warnings(t.compile())
        assert "'note' (the type has no field `body`)" in warning
        assert t.get_content(t.log()[1].commit_hash) == NoteRenamed("")


def test_registering_the_class_that_fits_ends_the_warning(path: Path) -> None:
    with Tract.open(path, durability="fast", clock=Clock()) as t:
        t.register_content_type("note", NoteTwo)
        assert len(own_warnings(t.compile())) == 1
        t.register_content_type("note", NoteOne)
        assert own_warnings(t.compile()) == []
        assert t.get_content(t.log()[1].commit_hash) == NoteOne("old")


class State(Struct):
    n: int


def test_the_log_and_the_metadata_of_a_custom_type_read_no_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened() -> Tract:
        t = Tract.open(tmp_path, durability="fast")
        t.register_content_type("state", State, text=lambda state: f"state {state.n}")
        return t

    with opened() as t:
        for number in range(2):
            t.commit(State(number), metadata={"n": number})
    read: list[str] = []
    require = Objects.require
    monkeypatch.setattr(Objects, "require", lambda self, name, kind: read.append(kind) or require(self, name, kind))
    with opened() as t:
        assert [(info.metadata, info.token_count) for info in t.log()] == [({"n": 1}, 8), ({"n": 0}, 8)]
        assert "content" not in read
        assert texts(t) == ["state 0", "state 1"]
        assert "content" in read
