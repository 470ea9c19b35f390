"""The filters of log(): each by itself and together; one that is not understood is an error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.lab.talk import Clock, user
from tract_fs import CommitOperation, DialogueContent, InstructionContent, MessageContent, ToolIOContent, Tract
from tract_fs.errors import ArgumentError, BranchNotFound, TagNotFound

START = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


@pytest.fixture
def t(tmp_path: Path) -> Iterator[Tract]:
    """Commits of every kind, one a second from START + 1 s on: rules, hello, tool, provider, edit, annotation."""
    with Tract.open(tmp_path, clock=Clock(), durability="fast") as t:
        t.commit(InstructionContent("Be BRIEF"), message="the rules")
        hello = t.commit(DialogueContent("user", "Hello, Straße"), message="Greeting").commit_hash
        t.commit(ToolIOContent("search", "call", {"q": "needle"}, call_id="c1"))
        t.commit(MessageContent({"role": "assistant", "content": [{"type": "text", "text": "In blocks"}]}))
        t.edit(hello, user("hello again"))
        t.annotate(hello, "pinned", reason="needle")
        yield t


def found(t: Tract, **filters: Any) -> list[int]:
    """Returns which commits match, by their place in the order of making, from 1."""
    return [int((info.created_at - START).total_seconds()) for info in t.log(None, **filters)]


@pytest.mark.parametrize(
    ("filters", "places"),
    [
        ({}, [6, 5, 4, 3, 2, 1]),
        ({"operation": "edit"}, [5]),
        ({"operation": CommitOperation.ANNOTATE}, [6]),
        ({"operation": "merge"}, []),
        ({"content_type": "dialogue"}, [5, 2]),
        ({"content_type": "artifact"}, []),
        ({"since": START + timedelta(seconds=5)}, [6, 5]),
        ({"until": START + timedelta(seconds=2)}, [2, 1]),
        ({"since": START + timedelta(seconds=2), "until": START + timedelta(seconds=2)}, [2]),
        ({"since": (START + timedelta(seconds=5)).replace(tzinfo=None)}, [6, 5]),
        ({"since": (START + timedelta(seconds=5)).astimezone(timezone(timedelta(hours=9)))}, [6, 5]),
        ({"text": "HELLO"}, [5, 2]),
        ({"text": "strasse"}, [2]),
        ({"text": "greet"}, [2]),
        ({"text": "brief"}, [1]),
        ({"text": "needle"}, [3]),
        ({"text": "in blocks"}, [4]),
        ({"text": "assistant"}, []),
        ({"text": "nowhere"}, []),
        ({"text": "hello", "operation": "append"}, [2]),
        ({"content_type": "dialogue", "since": START + timedelta(seconds=3)}, [5]),
    ],
)
def test_a_filter_keeps_what_matches(t: Tract, filters: dict[str, Any], places: list[int]) -> None:
    assert found(t, **filters) == places


@pytest.mark.parametrize(
    "filters",
    [
        {"operation": "apend"},
        {"operation": 1},
        {"operation": ""},
        {"content_type": "dialog"},
        {"content_type": 1},
        {"content_type": ""},
        {"since": "2026-01-01"},
        {"until": 1767323045},
        {"since": START + timedelta(seconds=2), "until": START + timedelta(seconds=1)},
        {"text": ""},
        {"text": b"hello"},
        {"text": 1},
        {"branch": 1},
        {"branch": "a b"},
        {"tag": ""},
        {"branch": "main", "tag": "v1"},
    ],
)
def test_a_filter_that_is_not_understood_is_an_error(t: Tract, filters: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        t.log(None, **filters)


def test_a_branch_or_tag_that_is_not_there_is_an_error(t: Tract) -> None:
    with pytest.raises(BranchNotFound):
        t.log(branch="dev")
    with pytest.raises(TagNotFound):
        t.log(tag="v1")


def test_an_unknown_filter_is_an_error(t: Tract) -> None:
    with pytest.raises(TypeError):
        t.log(author="me")  # type: ignore[call-arg]


def test_a_branch_and_a_tag_name_another_history(t: Tract) -> None:
    t.tag("v1", "main~4")
    t.branch("dev", at="main~3")
    assert (found(t, tag="v1"), found(t, branch="dev"), found(t, branch="main")) == (
        [2, 1],
        [3, 2, 1],
        [6, 5, 4, 3, 2, 1],
    )
    assert found(t, branch="dev", text="hello") == [2]
    t.reset("main~5")
    assert (found(t), found(t, tag="v1")) == ([1], [2, 1])


def test_the_limit_counts_what_matches(t: Tract) -> None:
    assert [info.content_type for info in t.log(1, content_type="dialogue")] == ["dialogue"]
    assert len(t.log(2, content_type="dialogue")) == 2
    assert t.log(0, text="hello") == []


def test_a_custom_type_is_known_where_it_is_registered_or_was_committed(t: Tract, tmp_path: Path) -> None:
    @dataclass
    class Note:
        body: str

    with pytest.raises(ArgumentError, match="neither built in nor registered"):
        t.log(content_type="note")
    t.register_content_type("note", Note, text=lambda note: note.body)
    assert t.log(content_type="note") == []
    t.commit(Note("a needle"))
    assert found(t, text="a needle") == [7]
    with Tract.open(tmp_path) as other:
        assert len(other.log(content_type="note")) == 1


def test_a_filter_sees_what_a_batch_has_staged(t: Tract) -> None:
    with t.batch():
        t.commit(user("staged"))
        t.tag("v1")
        assert (found(t, text="staged"), len(found(t, tag="v1"))) == ([7], 7)


def test_an_empty_branch_has_no_commits_whatever_is_asked(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        assert t.log(None, operation="edit", text="x") == []
        with pytest.raises(ArgumentError):
            t.log(operation="x")
