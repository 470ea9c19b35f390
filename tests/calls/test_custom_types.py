"""Custom types that changed: what was stored before shows as a content of an unregistered type does, with a warning."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab.talk import texts
from tract_fs import Tract
from tract_fs.errors import ContentValidationError


@dataclass
class Note:
    text: str


@dataclass
class SignedNote:
    text: str
    author: str


@dataclass
class DatedNote:
    text: str
    date: str = "unknown"


@dataclass
class RenamedNote:
    body: str = ""


def open_with(path: Path, kind: type, **options: Any) -> Tract:
    t = Tract.open(path, durability="fast", **options)
    t.register_content_type("note", kind, role="user", text=lambda note: f"note: {getattr(note, 'text', note)}")
    return t


@pytest.fixture
def old(tmp_path: Path) -> tuple[Path, str, str]:
    """Makes a store with two notes as they were before the type changed; returns its path and the commits."""
    with open_with(tmp_path, Note) as t:
        return tmp_path, t.commit(Note("one")).commit_hash, t.commit(Note("two")).commit_hash


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (SignedNote, "Object missing required field `author`"),
        (RenamedNote, "a field `text` was stored that the type does not have"),
    ],
)
def test_what_does_not_fit_a_changed_type_shows_as_of_an_unregistered_one(
    old: tuple[Path, str, str], kind: type, why: str
) -> None:
    path, one, two = old
    with open_with(path, kind) as t:
        context = t.compile()
        assert [(message.role, message.content) for message in context.messages] == [
            ("assistant", "one"),
            ("assistant", "two"),
        ]
        assert context.warnings == [
            f"content type 'note': {why}; commits from before it changed are compiled by the defaults: {one}"
        ]
        assert t.get_content(one) == {"content_type": "note", "text": "one"}
        assert [info.commit_hash for info in t.log(text="one")] == [one]
        assert len(t.diff(one, two).entries) == 1
        assert t.status().warnings == ()
        t.annotate(one, "skip")
        assert texts(t) == ["two"]
        t.annotate(two, "skip")
        assert t.compile().warnings == []


def test_a_new_content_of_the_changed_type_shows_beside_the_old(old: tuple[Path, str, str]) -> None:
    path, one, two = old
    with open_with(path, SignedNote) as t:
        made = t.commit(SignedNote("three", "ann"))
        assert texts(t) == ["one", "two", "note: three"]
        assert t.get_content(made.commit_hash) == SignedNote("three", "ann")
        t.edit(one, SignedNote("ONE", "ann"))
        assert texts(t) == ["note: ONE", "two", "note: three"]
        for call in (lambda: t.commit({"content_type": "note", "text": "unsigned"}), lambda: t.edit(two, "x")):
            with pytest.raises(ContentValidationError):
                call()
    with open_with(path, SignedNote, verify=True) as fresh:
        assert texts(fresh) == ["note: ONE", "two", "note: three"]


def test_a_type_that_gained_a_field_with_a_default_fits_as_before(old: tuple[Path, str, str]) -> None:
    path, one, _ = old
    with open_with(path, DatedNote) as t:
        assert (texts(t), t.compile().warnings) == (["note: one", "note: two"], [])
        assert t.get_content(one) == DatedNote("one", "unknown")


def test_a_content_with_a_field_that_its_type_does_not_have_shows_alike_before_and_after_a_reopen(
    tmp_path: Path,
) -> None:
    with open_with(tmp_path, Note) as t:
        t.commit({"content_type": "note", "text": "one", "more": 1})
        before = [message.to_dict() for message in t.compile().messages], t.compile().warnings
        assert before[0] == [{"role": "assistant", "content": "one"}]
        assert "a field `more` was stored" in before[1][0]
    with open_with(tmp_path, Note) as fresh:
        assert ([message.to_dict() for message in fresh.compile().messages], fresh.compile().warnings) == before
