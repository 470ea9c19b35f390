"""Public values: each can be pickled, copied, and sent to another process, and is the same there."""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import pickle
import shutil
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

import tract_fs
from tests.lab.stores import fill, nth_commit
from tests.lab.talk import Clock, edit_one, say, user
from tract_fs import (
    ANY,
    CompiledContext,
    CompileOptions,
    EstimateCounter,
    HistoryEntry,
    Message,
    Store,
    TokenBudgetConfig,
    TokenUsage,
    Tract,
    TractConfig,
    VocabularyCounter,
)
from tract_fs.errors import (
    AmbiguousRefError,
    CommitNotFoundError,
    DamageError,
    HeadMoved,
    MergeConflict,
    TractError,
    TranscriptFormatUnknown,
)


def conflict(t: Tract) -> MergeConflict:
    """Returns the error of a merge of two lines that edit one commit."""
    first = t.log(None)[-1].commit_hash
    t.branch("side")
    edit_one(t, first, "ours")
    t.switch("side")
    edit_one(t, first, "theirs")
    t.switch("main")
    with pytest.raises(MergeConflict) as caught:
        t.merge("side")
    return caught.value


VALUES: dict[str, Callable[[Tract, Path], object]] = {
    "info": lambda t, path: t.log(1)[0],
    "infos of a query": lambda t, path: t.query_by_config("model", "=", "m-1"),
    "context": lambda t, path: t.compile(),
    "context with usage": lambda t, path: t.record_usage({"prompt_tokens": 7, "completion_tokens": 1}),
    "context whose lists were read": lambda t, path: [context := t.compile(), context.messages, context.warnings],
    "context of a cut": lambda t, path: t.compile(at_commit=nth_commit(t, 2), aggregate_same_role=True),
    "snapshot": lambda t, path: t._session.contexts.state(t._session.reader.head()).snapshot(),
    "messages": lambda t, path: t.compile().messages,
    "contents": lambda t, path: [t.get_content(info.commit_hash) for info in t.log(None) if info.content_hash],
    "annotation": lambda t, path: t.annotate(nth_commit(t, 0), "pinned", reason="x"),
    "annotations": lambda t, path: t.get_annotations(nth_commit(t, 2)),
    "reflog": lambda t, path: t.reflog(),
    "diff": lambda t, path: t.diff(nth_commit(t, 0)),
    "status": lambda t, path: t.status(),
    "branch": lambda t, path: t.branch,
    "config": lambda t, path: TractConfig(TokenBudgetConfig(9, "callback", print), 3),
    "options": lambda t, path: CompileOptions(orphans="keep"),
    "import report": lambda t, path: t.import_stream([{"role": "user", "content": "x"}]),
    "repair report": lambda t, path: t.repair(),
    "pack report": lambda t, path: t.pack(),
    "sync report": lambda t, path: t.sync(path.parent),
    "bundle info": lambda t, path: t.bundle(path),
    "usage": lambda t, path: TokenUsage(1, 2, 3),
    "conflicts": lambda t, path: conflict(t).conflicts,
    "merge result": lambda t, path: [t.switch("side", create=True), say(t, "more"), t.switch("main"), t.merge("side")],
    "bundle applied": lambda t, path: [t.bundle(path), t.apply_bundle(path)],
    "other heads": lambda t, path: two_heads(t, path).other_heads(),
    "status of two heads": lambda t, path: two_heads(t, path).status(),
    "summary and what it stands for": lambda t, path: [t.summarize([nth_commit(t, 1)], "s"), t.expand("@")],
    "tracts": lambda t, path: [(store := store_with_usage(path)).tracts(), store.find({"user": "ann"})],
    "sums of usage": lambda t, path: store_with_usage(path).usage(by="model"),
}


def two_heads(t: Tract, path: Path) -> Tract:
    """Returns the tract, on whose branch another copy has committed too."""
    path.mkdir()
    t.sync(path)
    with Tract.open(path) as other:
        say(other, "there")
    say(t, "here")
    t.sync(path)
    t.refresh()
    assert t.other_heads() is not None
    return t


def store_with_usage(path: Path) -> Store:
    """Returns a store of a tract with a title, metadata and a recorded usage."""
    store = Store.open(path)
    other = store.tract(name="Chat: Größe")
    other.add("one", generation_config={"model": "m-1"})
    other.record_usage({"prompt_tokens": 7, "completion_tokens": 1})
    other.describe(metadata={"user": "ann"})
    return store


def shape(value: object) -> object:
    """Returns what to compare of values whose classes define no equality."""
    if isinstance(value, tract_fs.CompileSnapshot):
        return value.messages, value.generation_configs, value.commit_hashes, value.token_count, value.warnings
    return value


@pytest.mark.parametrize("name", VALUES)
def test_a_value_survives_a_pickle_and_a_deep_copy(t: Tract, tmp_path: Path, name: str) -> None:
    fill(t)
    value = VALUES[name](t, tmp_path / "other")
    for copied in (copy.deepcopy(value), copy.copy(value), pickle.loads(pickle.dumps(value))):
        assert type(copied) in (type(value), str)  # the name of a branch is a string
        assert shape(copied) == shape(value)


def test_a_lazy_info_loads_its_facts_before_it_travels(path: Path) -> None:
    with Tract.open(path, clock=Clock()) as t:
        fill(t)
        data = pickle.dumps(t.query_by_config("model", "=", "m-2"))
        copied = copy.deepcopy(t.query_by_config("model", "=", "m-2"))
    for (info,) in (pickle.loads(data), copied):
        assert (info.content_type, info.token_count, info.message) == ("dialogue", 10, None)
        assert info.generation_config["response_format"] == {"type": "json"}
        assert info.created_at.isoformat() == "2026-01-02T03:04:08.000006+00:00"


def test_an_info_whose_facts_are_lost_raises_the_same_error_as_a_read_of_it(path: Path) -> None:
    with Tract.open(path, clock=Clock()) as t:
        fill(t)
    with Tract.open(path) as t:
        (info,) = t.query_by_config("model", "=", "m-2")
    shutil.rmtree(path / ".tract" / "objects")
    with pytest.raises(DamageError) as read:
        _ = info.message
    for travel in (pickle.dumps, copy.deepcopy):
        with pytest.raises(DamageError) as caught:
            travel(info)
        assert str(caught.value) == str(read.value)


def test_a_context_keeps_what_its_owner_changed(t: Tract) -> None:
    say(t, "one", "two")
    context = t.compile()
    context.messages.pop()
    context.warnings.append("mine")
    copied = pickle.loads(pickle.dumps(context))
    assert [message.content for message in copied.messages] == ["one"]
    assert (copied.warnings, copied.commit_count) == (["mine"], 2)


def test_any_stays_the_same_object() -> None:
    assert pickle.loads(pickle.dumps(ANY)) is ANY
    assert pickle.loads(pickle.dumps({"expected_head": ANY}))["expected_head"] is ANY
    assert copy.deepcopy(ANY) is ANY
    assert copy.copy(ANY) is ANY


@pytest.mark.parametrize("counter", [EstimateCounter(), VocabularyCounter()], ids=lambda counter: counter.name)
def test_a_counter_counts_the_same_elsewhere(counter: Any) -> None:
    copied = pickle.loads(pickle.dumps(counter))
    assert (copied.name, copied.count_text("hello there")) == (counter.name, counter.count_text("hello there"))
    assert copy.deepcopy(counter).name == counter.name


def test_an_error_keeps_its_message_and_facts(t: Tract) -> None:
    say(t, "one")
    with pytest.raises(HeadMoved) as moved:
        t.commit(user("two"), expected_head=None)
    with pytest.raises(CommitNotFoundError) as unknown:
        t.resolve("0" * 64)
    for error in (moved.value, unknown.value, conflict(t)):
        for copied in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
            assert (type(copied), str(copied), copied.fields) == (type(error), str(error), error.fields)


def echo(connection: Connection, head: object) -> None:
    """Sends back what comes in, beside what this process sees of it."""
    context, infos, any_head = connection.recv()
    seen = context.to_openai(), [info.to_dict() for info in infos], any_head is ANY, head is ANY, os.getpid()
    connection.send((context, infos, any_head, seen))


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_values_go_to_another_process_and_back(path: Path, method: str) -> None:
    with Tract.open(path, clock=Clock()) as t:
        fill(t)
        context, infos = t.compile(), t.query_by_config("model", "=", "m-1")
        expected = context.to_openai(), [info.to_dict() for info in t.query_by_config("model", "=", "m-1")]
    system = multiprocessing.get_context(method)
    here, there = system.Pipe()
    with Tract.open(path) as t:
        infos = t.query_by_config("model", "=", "m-1")
        process = system.Process(target=echo, args=(there, ANY))  # type: ignore[attr-defined]
        process.start()
        there.close()
        here.send((context, infos, ANY))
    back, infos_back, any_back, seen = here.recv()
    process.join()
    assert process.exitcode == 0
    assert seen[:4] == (*expected, True, True)
    assert seen[4] != os.getpid()
    assert back == context
    assert infos_back == infos
    assert any_back is ANY


def echo_all(connection: Connection) -> None:
    """Sends back what comes in."""
    connection.send(connection.recv())


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_each_value_goes_to_another_process_and_back(tmp_path: Path, method: str) -> None:
    values: dict[str, object] = {}
    for number, (name, make) in enumerate(VALUES.items()):
        (place := tmp_path / f"{number}").mkdir()
        with Tract.open(place / "a", durability="fast", clock=Clock()) as t:
            fill(t)
            values[name] = make(t, place / "other")
    system = multiprocessing.get_context(method)
    here, there = system.Pipe()
    process = system.Process(target=echo_all, args=(there,))  # type: ignore[attr-defined]
    process.start()
    there.close()
    here.send(values)
    back = here.recv()
    process.join()
    assert process.exitcode == 0
    assert {name: shape(value) for name, value in back.items()} == {n: shape(value) for n, value in values.items()}


# what a context shows beside its messages


def test_each_message_has_its_token_count(t: Tract) -> None:
    first, second = say(t, "a" * 40, "b" * 8)
    context = t.compile()
    assert context.token_counts == (14, 6)  # 3, one for "user", and a token per four bytes
    edit = edit_one(t, first, "c" * 4)
    context = t.compile()
    assert context.commit_hashes == [first, second]
    assert context.token_counts == (5, 6)
    assert context.head == edit
    assert sum(context.token_counts) + 3 == context.token_count


def test_token_counts_run_beside_joined_messages(t: Tract) -> None:
    say(t, "a" * 40, "b" * 38)
    context = t.compile(aggregate_same_role=True)
    assert len(context.messages) == 1
    assert context.token_counts == (24,)  # 3 + 1 + 20


def test_usage_changes_the_total_and_no_count_of_a_message(t: Tract) -> None:
    say(t, "a" * 40)
    context = t.record_usage({"prompt_tokens": 99, "completion_tokens": 1})
    assert (context.token_count, context.token_counts) == (99, (14,))


def test_the_head_of_a_context_is_the_last_commit_that_it_was_compiled_from(t: Tract) -> None:
    assert (t.compile().head, t.compile().token_counts) == (None, ())
    first, second = say(t, "one", "two")
    t.annotate(first, "skip")
    assert t.compile().head == t.head != second
    assert t.compile(at_commit=second).head == second
    assert t.compile(at_commit="@~1").head == second
    info = t.get_commit(first)
    assert info is not None
    assert t.compile(at_time=info.created_at).head == first
    assert t.record_usage({"prompt_tokens": 9, "completion_tokens": 1}).head == t.head


def test_contexts_of_two_heads_that_show_the_same_are_equal(t: Tract) -> None:
    (first,) = say(t, "one")
    before = t.compile()
    t.annotate(first, "normal")
    assert t.compile() == before
    assert t.compile().head != before.head


def test_a_context_of_a_compiler_has_the_head_and_the_counts_that_it_gives(path: Path) -> None:
    class Own:
        def compile(self, history: Any, options: CompileOptions) -> CompiledContext:
            messages = [Message("user", entry.content.text) for entry in history]
            names = [entry.commit_hash for entry in history]
            return CompiledContext(messages, [{} for _ in names], names, 5, "own")

    with Tract.open(path, compiler=Own()) as t:
        (name,) = say(t, "one")
        context = t.compile()
        assert (context.head, context.token_counts, context.token_count) == (name, (), 5)
        assert t.compile(at_commit=name).head == name
    given = CompiledContext([Message("user", "x")], [{}], ["c"], 5, "own", token_counts=(2,), head="c")
    assert (given.token_counts, given.head) == ((2,), "c")
    assert HistoryEntry.__struct_fields__[0] == "commit_hash"


def test_a_context_as_a_dict_is_json(t: Tract) -> None:
    (first,) = say(t, "a" * 40)
    t.commit(user("b" * 8), generation_config={"model": "m", "stop": ["x"]})
    context = t.compile()
    assert json.loads(json.dumps(context.to_dict())) == {
        "head": t.head,
        "messages": [{"role": "user", "content": "a" * 40}, {"role": "user", "content": "b" * 8}],
        "generation_configs": [{}, {"model": "m", "stop": ["x"]}],
        "commit_hashes": [first, t.head],
        "tools": [],
        "token_counts": [14, 6],
        "token_count": 23,
        "token_source": "estimate:utf8/4",
        "usage": None,
        "warnings": [],
    }
    context.to_dict()["messages"].clear()
    assert len(context.messages) == 2


def test_a_context_as_a_dict_has_the_usage(t: Tract) -> None:
    say(t, "one")
    context = t.record_usage({"prompt_tokens": 9, "completion_tokens": 1})
    assert context.to_dict()["usage"] == {
        "prompt_tokens": 9,
        "completion_tokens": 1,
        "total_tokens": 10,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "reasoning_tokens": 0,
    }


@pytest.mark.parametrize(
    "error",
    [
        TranscriptFormatUnknown(name="x.bin", formats=("codex", "pi"), found="bytes"),
        AmbiguousRefError(ref="1a2b", count=2, matches=("1a2b" * 16, "1a2b" * 15 + "0000")),
        HeadMoved(branch="main", actual=None, expected="1a2b" * 16),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_that_makes_its_own_message_survives_a_pickle(error: TractError) -> None:
    travelled = pickle.loads(pickle.dumps(error))
    assert (type(travelled), str(travelled), travelled.fields) == (type(error), str(error), error.fields)
