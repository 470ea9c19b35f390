"""Streamed imports: the same commits' contents as an import at once, in several transactions; what was committed is told, and stands."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lab.inside import store_of
from tests.lab.states import own_place, synced
from tract_fs import Tract, TractConfig
from tract_fs.errors import (
    ArgumentError,
    BudgetExceeded,
    ContentValidationError,
    ImportInterrupted,
    JsonValueError,
    ReadOnlyError,
)
from tract_fs.model.content import ContentTypes, MessageContent, encode_message
from tract_fs.model.info import TokenBudgetConfig
from tract_fs.model.messages import render
from tract_fs.model.names import format_time, iter_times
from tract_fs.model.objects import Commit, CommitOperation, encode_append, encode_commit
from tract_fs.model.tokens import EstimateCounter, count_json_message
from tract_fs.store.redo import Entry, RedoLog
from tract_fs.store.store import Store
from tract_fs.work import import_stream as streaming_module

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text()  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)
MESSAGES = st.dictionaries(st.sampled_from(["content", "name", "tool_calls", "x"]), VALUES).map(
    lambda fields: {**fields, "role": "user"}
)


def messages(count: int, *, start: int = 0) -> Iterator[dict[str, Any]]:
    for number in range(start, start + count):
        if number % 5 == 3:
            call = {"id": f"c{number}", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            yield {"role": "assistant", "content": None, "tool_calls": [call]}
        elif number % 5 == 4:
            yield {"role": "tool", "tool_call_id": f"c{number - 1}", "content": f"result {number}"}
        else:
            yield {"role": "user", "content": f"message {number}", "name": "anna"}


def configs_of(t: Tract) -> list[Any]:
    return [info.generation_config for info in t.log(None)][::-1]


@given(MESSAGES)
@settings(max_examples=200)
def test_a_message_is_encoded_and_counted_as_its_content_is(message: dict[str, Any]) -> None:
    types, counter = ContentTypes(), EstimateCounter()
    try:
        data, _, content = types.encode(MessageContent(message))
    except ContentValidationError:
        with pytest.raises(ContentValidationError):
            encode_message(message)
        return
    assert encode_message(message) == data
    assert count_json_message(counter, message)[0] == render(content, "message", types, counter).tokens


@pytest.mark.parametrize("parents", [(), ("ab" * 32,)])
def test_an_append_of_a_stream_is_encoded_as_any_other(parents: tuple[str, ...]) -> None:
    commit = Commit(
        operation=CommitOperation.APPEND,
        parents=parents,  # type: ignore[arg-type]
        created_at="2026-01-02T03:04:05.000006Z",
        content="cd" * 32,  # type: ignore[arg-type]
        content_type="message",
    )
    made = encode_append("cd" * 32, "message", "2026-01-02T03:04:05.000006Z", parents[0] if parents else None)
    assert made == encode_commit(commit)


def test_the_times_of_a_stream_are_microseconds_that_follow_each_other_over_the_second() -> None:
    start = 1_700_000_000_999_998
    found = list(itertools.islice(iter_times(start), 4))
    assert found == [format_time(start + step) for step in range(4)]
    assert found[2].endswith(":21.000000Z")


def test_a_stream_goes_out_as_it_came_in_a_fresh_process_without_caches(tmp_path: Path) -> None:
    told: list[int] = []
    with Tract.open(tmp_path) as t:
        t.commit({"content_type": "instruction", "text": "before"})
        report = t.import_stream(
            messages(25),
            batch_size=10,
            progress=told.append,
            generation_config=lambda position, message: {"n": position, "role": message["role"]},
        )
        assert (report.commit_count, report.transaction_count, report.head) == (25, 3, t.head)
        assert told == [25]
    for path in (own_place(tmp_path) / "tracts").rglob("*"):
        if path.is_file():
            path.unlink()
    with Tract.open(tmp_path) as t:
        assert t.compile().to_openai()[1:] == list(messages(25))
        assert configs_of(t)[1:3] == [{"n": 0, "role": "user"}, {"n": 1, "role": "user"}]
        assert configs_of(t)[-1] == {"n": 24, "role": "tool"}
        assert [info.token_count for info in t.log(25)] == [m.token_count for m in t.log(25)]
        assert [i.commit_hash for i in t.query_by_config("n", "=", 7)] == [t.log(None)[-9].commit_hash]
        assert t.status().pending == ()


def test_a_stream_makes_the_contents_and_counts_of_an_import_at_once(tmp_path: Path) -> None:
    with Tract.open(tmp_path / "a") as a, Tract.open(tmp_path / "b") as b:
        a.import_stream(messages(40), batch_size=7, generation_config={"t": 1})
        b.import_messages(list(messages(40)), generation_config={"t": 1})

        def facts(t: Tract) -> list[object]:
            return [(i.content_hash, i.token_count, i.generation_config, i.content_type) for i in t.log(None)]

        assert facts(a) == facts(b)
        assert a.compile().token_count == b.compile().token_count


def test_a_stream_costs_few_files(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        t.import_stream(messages(3000), batch_size=1000)
        names = [name for name in synced(tmp_path) if "/" in name]
        assert len([name for name in names if name.startswith("packs/")]) == 2  # of 1,000 messages, and of the rest
        assert len([name for name in names if name.startswith("events/")]) == 3
        assert not [name for name in names if name.startswith("objects/")]


def test_equal_messages_are_stored_once(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        t.commit(MessageContent({"role": "user", "content": "same"}))
        t.import_stream(({"role": "user", "content": "same"} for _ in range(100)), batch_size=50)
        packs = [data for name, data in synced(tmp_path).items() if name.startswith("packs/")]
        assert sum(data.count(b'"content":"same"') for data in packs) == 0  # the loose one serves all
        assert t.compile().commit_count == 101


@pytest.mark.parametrize("at", [0, 1, 9, 10, 24])
def test_a_message_at_fault_leaves_every_one_before_it_committed(tmp_path: Path, at: int) -> None:
    stream = [*messages(at), {"role": "user", "content": float("nan")}, *messages(5, start=at + 1)]
    with Tract.open(tmp_path) as t:
        with pytest.raises(ImportInterrupted) as caught:
            t.import_stream(stream, batch_size=10)
        error = caught.value
        assert isinstance(error.__cause__, ContentValidationError)
        assert error.__cause__.field == f"messages[{at}].content"
        assert (error.position, error.head) == (at, t.head)
        assert t.compile().to_openai() == list(messages(at))
        t.import_stream(itertools.chain(messages(1, start=at), stream[at + 1 :]))
        assert t.compile().to_openai() == list(messages(at + 6))


def test_a_source_or_a_config_that_fails_is_told_with_the_position(tmp_path: Path) -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield from messages(13)
        raise OSError(5, "the source is gone")

    with Tract.open(tmp_path) as t:
        with pytest.raises(ImportInterrupted, match=r"message 13 of the stream: .*the source is gone") as caught:
            t.import_stream(broken(), batch_size=5)
        assert isinstance(caught.value.__cause__, OSError)
        with pytest.raises(ImportInterrupted) as caught:
            t.import_stream(
                messages(5), generation_config=lambda position, _: {"x": float("inf")} if position == 2 else None
            )
        assert (caught.value.position, type(caught.value.__cause__)) == (2, JsonValueError)
        with pytest.raises(KeyboardInterrupt):
            t.import_stream(interrupted())
        assert t.compile().commit_count == 18


def test_what_stands_before_a_failing_write_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    append, sync = RedoLog.append, RedoLog.sync

    def append_twice(log: RedoLog, entries: Sequence[Entry]) -> int:
        steps.append("append")
        if steps.count("append") == 3:
            raise OSError(28, "No space left on device")
        return append(log, entries)

    def note_sync(log: RedoLog) -> None:
        steps.append("sync")
        sync(log)

    with Tract.open(tmp_path) as t:
        monkeypatch.setattr(RedoLog, "append", append_twice)
        monkeypatch.setattr(RedoLog, "sync", note_sync)
        with pytest.raises(ImportInterrupted) as caught:
            t.import_stream(messages(40), batch_size=10)
        assert (caught.value.position, caught.value.head) == (20, t.head)
        assert steps == ["append", "append", "append", "sync"]
        monkeypatch.undo()
        t.import_stream(messages(20, start=20), batch_size=10)
        assert t.compile().to_openai() == list(messages(40))


def interrupted() -> Iterator[dict[str, Any]]:
    yield from messages(3)
    raise KeyboardInterrupt


def test_what_can_be_refused_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    def unread() -> Iterator[dict[str, Any]]:
        raise AssertionError("read")
        yield {}

    with Tract.open(tmp_path) as t:
        for wrong in ({"batch_size": 0}, {"batch_size": True}, {"format": "other"}, {"progress": 3}, {"generation_config": [1]}):  # fmt: skip
            with pytest.raises(ArgumentError):
                t.import_stream(unread(), **wrong)  # type: ignore[arg-type]
        for given_ in ("text", {"role": "user"}, 3):
            with pytest.raises(ArgumentError):
                t.import_stream(given_)  # type: ignore[arg-type]
        with t.batch(), pytest.raises(ArgumentError, match="inside a batch"):
            t.import_stream(unread())
        assert t.head is None
    with Tract.open(tmp_path, read_only=True) as t, pytest.raises(ReadOnlyError):
        t.import_stream(unread())


def test_a_budget_is_checked_for_each_message(tmp_path: Path) -> None:
    config = TractConfig(token_budget=TokenBudgetConfig(max_tokens=60, action="reject"))
    with Tract.open(tmp_path, config=config) as t:
        with pytest.raises(ImportInterrupted) as caught:
            t.import_stream(messages(50), batch_size=4)
        assert isinstance(caught.value.__cause__, BudgetExceeded)
        held = t.compile()
        assert held.commit_count == caught.value.position
        assert held.token_count <= 60
        assert held.to_openai() == list(messages(caught.value.position))
        assert caught.value.position > 4


def test_others_write_between_the_packs_of_a_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming_module, "_PACK_MESSAGES", 10)
    with Tract.open(tmp_path) as t, Tract.open(tmp_path) as other:

        def stream() -> Iterator[dict[str, Any]]:
            for number, message in enumerate(messages(30)):
                if number % 10 == 5:
                    other.commit({"content_type": "dialogue", "role": "user", "text": f"between {number}"})
                yield message

        assert t.import_stream(stream(), batch_size=5).commit_count == 30
        texts = [message["content"] for message in t.compile().to_openai()]
        assert [text for text in texts if text and text.startswith("between")] == [f"between {n}" for n in (5, 15, 25)]
        assert len(texts) == 33
        assert t.status().other_heads == ()
        assert other.compile() == t.compile()


@pytest.mark.parametrize("is_awaited, packs", [(False, 4), (True, 10)], ids=["alone", "awaited"])
def test_a_stream_writes_more_at_a_time_as_long_as_nobody_waits_for_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_awaited: bool, packs: int
) -> None:
    monkeypatch.setattr(streaming_module, "_FIRST_MESSAGES", 2)
    monkeypatch.setattr(Store, "is_awaited", lambda _: is_awaited)
    with Tract.open(tmp_path) as t:
        assert t.import_stream(messages(20), batch_size=2).transaction_count == 10
        assert t.compile().to_openai() == list(messages(20))
    assert sum(name.startswith("packs/") for name in synced(tmp_path)) == packs  # alone: of 2, 4, 8 and 6 messages


def test_a_lock_is_awaited_while_another_handle_waits_for_it(tmp_path: Path) -> None:
    t, other = Tract.open(tmp_path), Tract.open(tmp_path)
    with t.batch():
        t.commit({"content_type": "dialogue", "role": "user", "text": "held"})
        seen = [store_of(t).is_awaited()]
        thread = Thread(target=lambda: other.commit({"content_type": "dialogue", "role": "user", "text": "waits"}))
        thread.start()
        while not store_of(t).is_awaited():
            assert thread.is_alive()
        seen.append(True)
    thread.join()
    assert [*seen, store_of(t).is_awaited()] == [False, True, False]


def test_an_event_whose_configs_are_large_is_made_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming_module, "_EVENT_BYTES", 5000)
    with Tract.open(tmp_path) as t:
        report = t.import_stream(messages(10), generation_config={"prompt": "x" * 2000})
        assert (report.commit_count, report.transaction_count) == (10, 5)
