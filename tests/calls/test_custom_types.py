"""Custom content types: a record shows to every reader as its writer registered it, and in copies that know nothing of the type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from tests.lab.inside import store_of
from tests.lab.talk import Clock, say, texts
from tract_fs import Tract
from tract_fs.errors import ArgumentError, ContentValidationError
from tract_fs.store.objects import Objects


class State(Struct, frozen=True):
    step: int


class Fact(Struct, frozen=True):
    title: str
    body: str = ""


class Reserved(Struct, frozen=True, rename={"shown": "$shown"}):
    shown: str


def open_tract(path: Path, **options: Any) -> Tract:
    return Tract.open(path, durability="fast", clock=Clock(), **options)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with open_tract(tmp_path / "context") as t:
        t.register_content_type("state", State, priority="skip")
        t.register_content_type("fact", Fact, role="system", priority="pinned", text=lambda fact: f"# {fact.title}")
        say(t, "one")
        t.commit(State(1))
        t.commit(Fact("sky", "blue"))
    return tmp_path / "context"


SHOWN = [{"role": "user", "content": "one"}, {"role": "system", "content": "# sky"}]


def test_a_reader_without_the_types_shows_what_the_writer_shows(path: Path) -> None:
    with open_tract(path) as t:
        context = t.compile()
        assert [message.to_dict() for message in context.messages] == SHOWN
        assert list(context.warnings) == []
        assert [annotation.priority.value for annotation in t.get_annotations("@")] == ["pinned"]
        assert [annotation.priority.value for annotation in t.get_annotations("@~1")] == ["skip"]
        assert t.get_content(t.resolve("@")) == {"content_type": "fact", "title": "sky", "body": "blue"}


def test_a_log_and_the_facts_of_its_commits_read_no_content(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_tract(path) as t:
        t.register_content_type("state", State, priority="skip")
        t.commit(State(2), metadata={"step": 2}, generation_config={"model": "m-1"})

    def refuse(self: Objects, name: str, kind: str) -> bytes:
        raise AssertionError(f"{kind} {name} was read")

    monkeypatch.setattr(Objects, "require", refuse)
    with open_tract(path) as t:
        newest, *_, first = t.log(None)
        assert (newest.metadata, newest.generation_config, newest.token_count) == ({"step": 2}, {"model": "m-1"}, 10)
        assert (first.content_type, first.metadata, first.token_count) == ("dialogue", None, 5)
        assert [info.content_type for info in t.log(content_type="state")] == ["state", "state"]
        assert t.find({"step": 2}) == t.query_by_config("model", "=", "m-1") == [newest]
        with pytest.raises(AssertionError):
            t.get_content("@")


def test_a_reader_that_registered_them_otherwise_shows_the_same(path: Path) -> None:
    with open_tract(path) as t:
        t.register_content_type("state", State, role="user")
        t.register_content_type("fact", Fact, text=lambda fact: fact.body)
        assert [message.to_dict() for message in t.compile().messages] == SHOWN
        t.commit(Fact("sea", "green"))
        assert texts(t)[-1] == "green"
        assert t.get_content(t.resolve("@~1")) == Fact("sky", "blue")


def test_the_shown_facts_are_compiled_alike_by_a_stored_snapshot(path: Path) -> None:
    with open_tract(path) as t:
        say(t, *map(str, range(80)))
        t.compile()
    with open_tract(path) as t:
        assert [message.to_dict() for message in t.compile().messages][:2] == SHOWN


def test_a_reverted_annotation_gives_a_record_its_own_priority_back(path: Path) -> None:
    with open_tract(path) as t:
        t.annotate("@~1", "normal")
        assert len(texts(t)) == 3
        t.revert("@")
        assert [message.to_dict() for message in t.compile().messages] == SHOWN


def test_a_record_is_stored_with_how_it_shows_less_the_defaults(tmp_path: Path) -> None:
    with open_tract(tmp_path) as t:
        t.register_content_type("state", State, priority="skip")
        t.register_content_type("fact", Fact, text=lambda fact: fact.title)
        one, two = t.commit(State(1)), t.commit(Fact("sky"))
        stored = [json.loads(store_of(t).objects.require(str(info.content_hash), "content")) for info in (one, two)]
        assert stored == [
            {"content": {"content_type": "state", "step": 1, "$shown": {"priority": "skip"}}},
            {"content": {"content_type": "fact", "title": "sky", "body": "", "$shown": {"text": "sky"}}},
        ]


def test_a_record_of_an_earlier_version_shows_as_it_is_registered(tmp_path: Path) -> None:
    with open_tract(tmp_path) as t:
        t.register_content_type("state", State, role="user")
        t.register_content_type("odd", Fact)
        decode = t._session.types.read
        old = decode(b'{"content":{"content_type":"state","step":1}}', "state")
        assert (old.content, old.misfit, old.shown) == (State(1), "", None)
        odd = decode(b'{"content":{"$shown":{"color":"red"},"content_type":"odd","title":"x"}}', "odd")
        assert (odd.content, odd.misfit, odd.shown) == (Fact("x"), "the type has no field `$shown`", None)


def test_no_record_has_the_field_that_is_the_stores_own(tmp_path: Path) -> None:
    with open_tract(tmp_path) as t:
        with pytest.raises(ArgumentError, match="shown"):
            t.register_content_type("reserved", Reserved)
        t.register_content_type("state", State)
        with pytest.raises(ContentValidationError, match="shown"):
            t.commit({"content_type": "state", "step": 1, "$shown": {"role": "user"}})
        assert t.head is None


def test_a_picked_record_and_one_in_a_fork_keep_how_they_show(path: Path) -> None:
    with open_tract(path) as t, t.fork("sub") as sub:
        sub.cherry_pick("@~1")
        assert [message.to_dict() for message in sub.compile().messages] == SHOWN
