"""The rest of a record beside its parts: together they give the record back."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tract_fs.model import canonical
from tract_fs.transcripts.rest import join_rest, split_rest

LONG = "a text of more than twenty-four characters"


def test_what_the_parts_hold_too_is_named_and_not_repeated() -> None:
    content = [{"type": "text", "text": LONG}, {"type": "tool_use", "id": "t1", "input": {"path": "x"}}]
    record = {"uuid": "u1", "message": {"role": "user", "content": content}, "shown": LONG, "short": "ok"}
    rest = split_rest(record, [{"role": "user", "content": content}])
    assert rest == {
        "uuid": "u1",
        "message": {"role": "user", "content": {"$": [0, "content"]}},
        "shown": {"$": [0, "content", 0, "text"]},
        "short": "ok",
    }


def test_a_message_that_was_edited_comes_back_edited() -> None:
    content = [{"type": "text", "text": LONG}]
    rest = split_rest({"id": 1, "message": {"content": content}}, [{"role": "user", "content": content}])
    edited = [{"role": "user", "content": [{"type": "text", "text": "other"}]}]
    assert join_rest(rest, edited) == {"id": 1, "message": {"content": [{"type": "text", "text": "other"}]}}


def test_an_object_that_looks_like_a_reference_stays_one() -> None:
    record = {"a": {"$": [0]}, "b": {"$$": {"$": 1}}, "c": [{"$": "x", "d": 1}]}
    rest = split_rest(record, [LONG])
    assert rest == {"a": {"$$": {"$": [0]}}, "b": {"$$": {"$$": {"$$": {"$": 1}}}}, "c": [{"$": "x", "d": 1}]}
    assert join_rest(rest, [LONG]) == record


TEXTS = st.sampled_from(["", "ok", "$", "$$", LONG, LONG + LONG]) | st.text(max_size=30)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(record=VALUES, parts=st.lists(VALUES, max_size=3), data=st.data())
def test_any_record_comes_back_from_its_rest_and_any_parts(record: Any, parts: list[Any], data: st.DataObject) -> None:
    shared = [record]
    while shared and isinstance(shared[-1], (dict, list)) and shared[-1] and data.draw(st.booleans()):
        items = list(shared[-1].values()) if isinstance(shared[-1], dict) else shared[-1]
        shared.append(data.draw(st.sampled_from(items)))
    parts = [*parts, *shared[1:]]
    stored = canonical.decode(canonical.encode([split_rest(record, parts), parts]))
    assert join_rest(*stored) == record
