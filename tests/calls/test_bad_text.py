"""Strings that no file can hold: refused with their place, or, with `text="replace"`, committed with U+FFFD."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tract_fs import (
    ArgumentError,
    AsyncTract,
    ContentValidationError,
    DialogueContent,
    JsonValueError,
    Store,
    ToolIOContent,
    Tract,
)
from tract_fs.errors import ImportInterrupted

BAD, GOOD = "out: \ud83d!", "out: \ufffd!"
REASON = (
    'a string with a lone surrogate, at position 5, can\'t be stored; Tract.open(text="replace") commits U+FFFD for it'
)
RESULT = {"role": "tool", "tool_call_id": "c", "content": BAD}


@dataclass
class Note:
    """A content of a program's own."""

    text: str


@pytest.fixture
def t(tmp_path: Path) -> Tract:
    return Tract.open(tmp_path, text="replace")


def texts(t: Tract) -> list[Any]:
    return [message.content for message in t.compile().messages]


@pytest.mark.parametrize("content", [RESULT, DialogueContent("user", BAD), ToolIOContent("f", "result", {"o": BAD})])
def test_by_default_it_is_refused_with_its_path_and_position(tmp_path: Path, content: Any) -> None:
    with Tract.open(tmp_path) as t:
        with pytest.raises(ContentValidationError) as error:
            t.commit(content)
        assert (error.value.field in ("message.content", "text", "payload.o"), error.value.reason) == (True, REASON)
        with pytest.raises(JsonValueError) as other:
            t.add("a", metadata={"a": ["b", BAD]})
        assert (other.value.path, other.value.reason) == ("metadata.a[1]", REASON)
        assert t.head is None


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (RESULT, GOOD),
        (DialogueContent("user", BAD), GOOD),
        (BAD, GOOD),
        ({"role": "user", "content": [{"type": "text", "text": BAD}]}, [{"type": "text", "text": GOOD}]),
        ({"content_type": "freeform", "payload": {BAD: 1}}, '{\n  "out: \ufffd!": 1\n}'),
        (Note(BAD), GOOD),
    ],
)
def test_every_content_is_committed_with_the_replacement(t: Tract, content: Any, shown: Any) -> None:
    t.register_content_type("note", Note)
    t.add(content)
    assert texts(t) == [shown]
    assert texts(Tract.open(t._session.store.layout.context)) == [shown]


def test_configs_metadata_and_words_are_too(t: Tract) -> None:
    info = t.commit(RESULT, message=BAD, metadata={BAD: [BAD]}, generation_config={"model": BAD})
    assert (info.message, info.metadata, info.generation_config) == (GOOD, {GOOD: [GOOD]}, {"model": GOOD})
    t.describe(title=BAD, metadata={"a": BAD})
    assert (t.title, t.metadata) == (GOOD, {"a": GOOD})
    assert t.annotate(info.commit_hash, "pinned", reason=BAD).reason == GOOD


def test_edits_and_summaries_are_too(t: Tract) -> None:
    first = t.add("a")
    t.edit(first.commit_hash, BAD)
    assert texts(t) == [GOOD]
    t.summarize([first.commit_hash], BAD + BAD, message=BAD, generation_config={"model": BAD})
    assert texts(t) == [GOOD + GOOD]


def test_imports_are_too(t: Tract) -> None:
    t.import_messages([RESULT, {"role": "user", "content": "b"}], generation_config={"model": BAD})
    t.import_stream([RESULT], generation_config=lambda *_: {"model": BAD})
    assert texts(t) == [GOOD, "b", GOOD]
    assert t.compile().generation_configs[-1] == {"model": GOOD}


def test_a_stream_is_refused_where_that_was_not_asked_for(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t, pytest.raises(ImportInterrupted, match="at position 5, can"):
        t.import_stream([{"role": "user", "content": "b"}, RESULT])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"n": 2**64}, "an integer beyond 64 bits"),
        ({"n": float("nan")}, "nan is not a JSON number"),
        (dict.fromkeys(["\ud800", "\ud801"], 1), "a string with a lone surrogate"),  # both keys would be one
    ],
)
def test_what_has_no_replacement_is_still_refused(t: Tract, value: dict[str, Any], reason: str) -> None:
    for call in (lambda: t.commit({"role": "user", "content": BAD, **value}), lambda: t.add("a", metadata=value)):
        with pytest.raises((ContentValidationError, JsonValueError), match=reason):
            call()
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(JsonValueError, match="more than 200"):
        t.add("a", metadata={"a": BAD, "d": deep})


def test_all_handles_have_the_option(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s", text="replace") as store:
        assert store.tract("a").add(RESULT).content_type == "message"

    async def run() -> None:
        async with await AsyncTract.open(tmp_path / "a", text="replace") as t:
            await t.add(RESULT)

    asyncio.run(run())
    with Tract.open(text="replace") as t:
        one = t.add("one")
        with t.on("other", create=True) as other:
            other.add(RESULT)
        with t.fork("helper") as helper:
            helper.add(RESULT)
        assert one.commit_hash == t.head
    with pytest.raises(ArgumentError, match="use strict or replace"):
        Tract.open(tmp_path, text="ignore")  # type: ignore[arg-type]
