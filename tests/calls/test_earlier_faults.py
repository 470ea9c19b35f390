"""Faults of the earlier system, which kept the same model in a database: each is a test that passes here."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.lab.disk import Trap, fill_the_disk, set_trap
from tests.lab.states import files_of
from tests.lab.talk import Clock, texts, user
from tract_fs import FreeformContent, InstructionContent, TokenBudgetConfig, Tract, TractConfig
from tract_fs.errors import (
    AmbiguousRefError,
    BudgetExceeded,
    CommitNotFoundError,
    ContentValidationError,
    EditTargetError,
    HeadMoved,
    HistoryIncomplete,
    JsonValueError,
    ObjectMissing,
    UsageError,
)

NOON_US = 1_767_355_200_000_000  # 2026-01-02T12:00:00Z
HOUR_US = 3_600_000_000


@pytest.fixture
def tract(tmp_path: Path) -> Iterator[Tract]:
    with Tract.open(tmp_path) as tract:
        yield tract


def texts_without_local(path: Path) -> list[Any]:
    """Returns what a copy of the store without `local/` compiles to."""
    copy = path.with_name(path.name + "-copy")
    shutil.copytree(path, copy, ignore=shutil.ignore_patterns("local"))
    with Tract.open(copy) as tract:
        found = texts(tract)
    shutil.rmtree(copy)
    return found


def raw_files(path: Path) -> dict[str, bytes]:
    """Returns the bytes of all files outside `local/`."""
    return {name: full.read_bytes() for name, full in files_of(str(path)).items()}


def test_a_rolled_back_commit_does_not_come_back_at_a_later_compile(tract: Tract, tmp_path: Path) -> None:
    tract.commit(user("one"))
    assert texts(tract) == ["one"]
    with pytest.raises(RuntimeError), tract.batch():
        tract.commit(user("two"))
        assert texts(tract) == ["one", "two"]
        raise RuntimeError
    assert texts(tract) == ["one"]
    tract.commit(user("three"))
    assert texts(tract) == ["one", "three"]
    with Tract.open(tmp_path) as other:
        assert texts(other) == ["one", "three"]
    assert texts_without_local(tmp_path) == ["one", "three"]


def test_a_second_handle_neither_misses_nor_hides_a_message(tract: Tract, tmp_path: Path) -> None:
    with Tract.open(tmp_path) as other:
        expected: list[str] = []
        for number in range(10):
            for handle in (tract, other):  # each has just compiled, and the other writes
                expected.append(f"{number} {handle is tract}")
                handle.commit(user(expected[-1]))
                assert texts(tract) == texts(other) == expected


def test_writers_of_equal_messages_at_one_time_lose_no_turn(tmp_path: Path) -> None:
    clock = Clock(NOON_US, step_us=0)  # stands still: not even the time tells the commits apart
    handles = [Tract.open(tmp_path, durability="fast", clock=clock) for _ in range(4)]
    made: list[str] = []
    start = threading.Barrier(4)

    def write(handle: Tract) -> None:
        start.wait(30)
        made.extend(handle.commit(user("ok")).commit_hash for _ in range(10))

    threads = [threading.Thread(target=write, args=(handle,)) for handle in handles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 40
    for handle in handles:
        assert texts(handle) == ["ok"] * 40
        assert {info.commit_hash for info in handle.log(None)} == set(made)
        handle.close()
    assert texts_without_local(tmp_path) == ["ok"] * 40


def rejections(tract: Tract, first: str) -> dict[str, tuple[type[Exception], Callable[[], object]]]:
    """Returns calls that are refused, one of each kind."""
    return {
        "unknown type": (ContentValidationError, lambda: tract.commit({"content_type": "unknown"})),
        "a bare string": (ContentValidationError, lambda: tract.commit("text")),
        "config": (JsonValueError, lambda: tract.commit(user("x"), generation_config={"p": float("nan")})),
        "metadata": (JsonValueError, lambda: tract.commit(user("x"), metadata={"m": {1, 2}})),
        "budget": (BudgetExceeded, lambda: tract.commit(user("x" * 4000))),
        "head": (HeadMoved, lambda: tract.commit(user("x"), expected_head="0" * 64)),
        "edit": (EditTargetError, lambda: tract.edit("0" * 64, user("x"))),
        "over the budget by an edit": (BudgetExceeded, lambda: tract.edit(first, user("x" * 4000))),
        "annotation": (CommitNotFoundError, lambda: tract.annotate("0" * 64, "skip")),
        "usage": (UsageError, lambda: tract.record_usage({"tokens": 5})),
        "usage of another head": (
            HeadMoved,
            lambda: tract.record_usage({"input_tokens": 1, "output_tokens": 1}, head_hash="0" * 64),
        ),
        "import": (ContentValidationError, lambda: tract.import_messages([{"role": "user"}, {"content": "x"}])),
    }


def test_a_rejected_commit_leaves_no_lock_and_no_orphan(tmp_path: Path) -> None:
    budget = TokenBudgetConfig(max_tokens=100, action="reject")
    tract = Tract.open(tmp_path, config=TractConfig(token_budget=budget))
    first = tract.commit(user("first")).commit_hash
    before = raw_files(tmp_path)
    assert len(before) == 3  # a content, a commit, an event
    for error, call in rejections(tract, first).values():
        with pytest.raises(error):
            call()
        with pytest.raises(error), tract.batch():
            call()
        assert raw_files(tmp_path) == before
    with Tract.open(tmp_path, lock_timeout_s=0.0) as other:
        other.commit(user("second"))
    tract.close()


def test_a_failed_call_does_not_poison_the_handle(tmp_path: Path) -> None:
    budget = TokenBudgetConfig(max_tokens=500, action="reject")
    tract = Tract.open(tmp_path, durability="fast", config=TractConfig(token_budget=budget))
    first = tract.commit(user("0")).commit_hash
    expected = ["0"]
    calls = [(error, call, 0) for error, call in rejections(tract, first).values()]
    calls += [(OSError, lambda: tract.commit(user("refused")), number) for number in (1, 2, 3)]
    for error, call, number in calls:
        with set_trap(Trap(number, fill_the_disk)), pytest.raises(error) as caught:
            call()
        if number:
            assert caught.value.errno == errno.ENOSPC
        expected.append(str(len(expected)))
        made = tract.commit(user(expected[-1]), generation_config={"seed": 1})
        assert texts(tract) == expected
        assert tract.head == made.commit_hash
        assert tract.query_by_config("seed", "=", 1)[-1] == made
    with Tract.open(tmp_path) as other:
        assert other.compile() == tract.compile()
        assert [info.content_type for info in other.log(None)].count("dialogue") == len(expected)
    tract.close()


def test_a_keyboard_interrupt_in_a_batch_leaves_nothing_of_it(tract: Tract, tmp_path: Path) -> None:
    tract.commit(user("one"))
    before = raw_files(tmp_path)
    with pytest.raises(KeyboardInterrupt), tract.batch():
        tract.commit(user("two"))
        tract.annotate(tract.commit(user("three")).commit_hash, "pinned")
        raise KeyboardInterrupt
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), tract.batch():
            tract.commit(user("two"))
            with tract.batch():
                tract.commit(user("three"))
                os.kill(os.getpid(), signal.SIGINT)
                for _ in range(1000):
                    tract.commit(user("four"))
    finally:
        signal.signal(signal.SIGINT, previous)
    assert raw_files(tmp_path) == before
    assert texts(tract) == ["one"]
    with Tract.open(tmp_path, lock_timeout_s=0.0) as other:
        other.commit(user("two"))
    assert texts(tract) == ["one", "two"]


@pytest.mark.parametrize("step_us", [-HOUR_US, 0], ids=["back_an_hour", "equal_times"])
def test_the_later_edit_in_history_wins_whatever_the_clock_says(tmp_path: Path, step_us: int) -> None:
    clock = Clock(NOON_US, step_us=0)
    with Tract.open(tmp_path, clock=clock) as tract:
        first = tract.commit(user("original")).commit_hash
        tract.edit(first, user("first edit"))
        clock.now_us += step_us
        tract.edit(first, user("second edit"))
        assert texts(tract) == ["second edit"]
        clock.now_us += step_us
        tract.edit(first, user("third edit"), generation_config={"seed": 3})
        assert texts(tract) == ["third edit"]
        assert tract.compile().generation_configs == [{"seed": 3}]
        times = [info.created_at for info in tract.log(None)]
        assert times == sorted(times, reverse=True)
        assert len(set(times)) == 4
    assert texts_without_local(tmp_path) == ["third edit"]


def test_a_later_annotation_or_edit_does_not_leak_into_time_travel(tmp_path: Path) -> None:
    clock = Clock(NOON_US, step_us=0)
    with Tract.open(tmp_path, clock=clock) as tract:
        made = []
        for text in ("one", "two"):
            made.append(tract.commit(user(text)).commit_hash)
            clock.now_us += HOUR_US
        tract.annotate(made[0], "skip")
        clock.now_us += HOUR_US
        tract.edit(made[1], user("two, edited"))
        clock.now_us += HOUR_US
        tract.annotate(made[0], "normal")
        noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
        assert texts(tract) == ["one", "two, edited"]
        assert texts(tract, at_time=noon) == ["one"]
        assert texts(tract, at_time=noon + timedelta(hours=1)) == ["one", "two"]
        assert texts(tract, at_time=noon + timedelta(hours=2)) == ["two"]
        assert texts(tract, at_time=noon + timedelta(hours=3)) == ["two, edited"]
        assert texts(tract, at_time=noon + timedelta(hours=4)) == ["one", "two, edited"]
        assert texts(tract, at_time=noon - timedelta(microseconds=1)) == []
        assert texts(tract, at_commit=made[0]) == ["one"]
        assert texts(tract, at_commit=made[1]) == ["one", "two"]


def test_times_of_any_zone_are_converted_and_naive_ones_are_utc(tmp_path: Path) -> None:
    clock = Clock(NOON_US, step_us=0)
    with Tract.open(tmp_path, clock=clock) as tract:
        for text in ("at twelve", "at one"):
            tract.commit(user(text))
            clock.now_us += HOUR_US
        half_past = [
            datetime(2026, 1, 2, 12, 30, tzinfo=UTC),
            datetime(2026, 1, 2, 12, 30),
            datetime(2026, 1, 2, 18, 0, tzinfo=timezone(timedelta(hours=5, minutes=30))),
            datetime(2026, 1, 2, 4, 30, tzinfo=timezone(timedelta(hours=-8))),
            datetime(2026, 1, 3, 2, 30, tzinfo=timezone(timedelta(hours=14))),
        ]
        for moment in half_past:
            assert texts(tract, at_time=moment) == ["at twelve"]
            assert texts(tract, at_time=moment + timedelta(hours=1)) == ["at twelve", "at one"]
            assert texts(tract, at_time=moment - timedelta(hours=1)) == []
        assert {info.created_at.utcoffset() for info in tract.log()} == {timedelta(0)}


def test_an_unknown_at_commit_is_an_error_and_never_everything(tmp_path: Path) -> None:
    with Tract.open(tmp_path, tract_id="other") as other:
        foreign = other.commit(user("foreign")).commit_hash
    with Tract.open(tmp_path) as tract:
        head = tract.commit(user("one")).commit_hash
        wrong = chr(ord("0") + (head[0] == "0")) + head[1:]
        for ref in ("0" * 64, wrong, foreign, foreign[:12], "", "none", head + "0", head[:3], head.upper(), " " + head):
            if ref == head:
                continue
            with pytest.raises((CommitNotFoundError, AmbiguousRefError)):
                tract.compile(at_commit=ref)
        assert texts(tract, at_commit=head) == ["one"]
        assert texts(tract, at_commit=head[:8]) == ["one"]


def test_one_tract_neither_reads_nor_edits_the_commits_of_another(tmp_path: Path) -> None:
    one = Tract.open(tmp_path, tract_id="one")
    other = Tract.open(tmp_path, tract_id="other")
    mine = one.commit(user("mine"), generation_config={"seed": 1})
    other.commit(user("theirs"), generation_config={"seed": 2})
    name = mine.commit_hash
    before = raw_files(tmp_path)
    assert other.get_commit(name) is None
    for call in (
        lambda: other.get_content(name),
        lambda: other.resolve(name),
        lambda: other.resolve(name[:16]),
        lambda: other.compile(at_commit=name),
        lambda: other.annotate(name, "skip"),
        lambda: other.get_annotations(name),
    ):
        with pytest.raises(CommitNotFoundError):
            call()
    with pytest.raises(EditTargetError):
        other.edit(name, user("edited from outside"))
    with pytest.raises(HeadMoved):
        other.record_usage({"input_tokens": 1, "output_tokens": 1}, head_hash=name)
    assert raw_files(tmp_path) == before
    assert other.query_by_config("seed", "=", 1) == []
    assert [info.commit_hash for info in one.query_by_config("seed", ">=", 1)] == [name]
    assert (texts(one), texts(other)) == (["mine"], ["theirs"])
    assert Tract.tracts(tmp_path) == ["one", "other"]
    one.close()
    other.close()


def test_a_nested_config_is_shared_neither_with_the_caller_nor_with_the_cache(tract: Tract) -> None:
    config: dict[str, Any] = {"response_format": {"type": "json_schema", "schema": {"required": ["a", "b"]}}}
    expected = json.loads(json.dumps(config))
    made = tract.commit(user("one"), generation_config=config, metadata=config)
    config["response_format"]["schema"]["required"].append("c")
    config["response_format"]["type"] = "text"
    for _ in range(2):
        compiled = tract.compile()
        info = tract.get_commit(made.commit_hash)
        assert info is not None
        answers = [
            compiled.generation_configs[0],
            made.generation_config,
            made.metadata,
            info.generation_config,
            info.metadata,
            tract.log()[0].generation_config,
            tract.query_by_config(("response_format", "type"), "=", "json_schema")[0].generation_config,
        ]
        for answer in answers:
            assert answer == expected
            answer["response_format"]["schema"]["required"].clear()
            answer["response_format"]["type"] = "spoilt"
    tract.commit(user("two"))
    assert tract.compile().generation_configs == [expected, {}]


def test_a_missing_parent_never_shortens_history_silently(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with Tract.open(path) as tract:
        made = [tract.commit(user(f"text {number}")).commit_hash for number in range(6)]
    (path / ".tract" / "objects" / made[2][:2] / made[2][2:]).unlink()
    with Tract.open(path) as tract:
        for call in (
            lambda: tract.log(None),
            lambda: tract.compile(at_commit=made[4]),
            lambda: tract.get_commit(made[2]),
        ):
            with pytest.raises(ObjectMissing) as caught:
                call()
            assert caught.value.hash == made[2]
            assert str(caught.value).startswith(f"objects/{made[2][:2]}/{made[2][2:]}: the commit {made[2]} is missing")
    shutil.rmtree(path / ".tract" / "local")
    missing = rf"{made[2][2:]} \(commit\) is missing; 4 commits depend on it"
    with Tract.open(path) as tract, pytest.raises(HistoryIncomplete, match=missing):
        tract.compile()
    with Tract.open(path, incomplete="use") as tract:  # the line ends before the gap, with a warning
        assert texts(tract) == ["text 0", "text 1"]
        status = tract.status()
        assert status.head == made[1]
        assert len(status.pending) == 4
        assert sum(f"a commit is missing: {made[2]}" in line for line in status.pending) == 1
        assert "(commit) is missing; 4 commits depend on it" in tract.compile().warnings[0]
        assert tract.get_commit(made[5]) is not None  # what is whole is reached by its hash


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")], ids=["nan", "inf", "minus_inf"])
def test_nan_and_infinities_are_refused_and_never_stored_as_null(tract: Tract, tmp_path: Path, value: float) -> None:
    tract.commit(user("one"))
    before = raw_files(tmp_path)
    for call, path in (
        (lambda: tract.commit(user("x"), generation_config={"temperature": value}), "temperature"),
        (lambda: tract.commit(user("x"), generation_config={"a": [1, {"b": value}]}), "b"),
        (lambda: tract.commit(user("x"), metadata={"score": value}), "score"),
        (lambda: tract.commit(FreeformContent(payload={"deep": [[value]]})), "deep"),
        (lambda: tract.commit({"content_type": "freeform", "payload": {"x": value}}), "x"),
        (lambda: tract.import_messages([{"role": "user", "content": "x", "score": value}]), "score"),
    ):
        with pytest.raises((JsonValueError, ContentValidationError), match=path):
            call()
    if value != value:
        with pytest.raises(ValueError):
            tract.query_by_config("temperature", "=", value)
    else:
        assert tract.query_by_config("temperature", "=", value) == []
    assert raw_files(tmp_path) == before


def test_numbers_booleans_and_strings_match_only_their_own_kind(tract: Tract) -> None:
    values = {"int": 1, "float": 1.0, "bool": True, "string": "1", "false": False, "zero": 0, "null": None}
    names = {
        tract.commit(user(label), generation_config={"n": value}).commit_hash: label for label, value in values.items()
    }

    def found(operator: str, value: object) -> list[str]:
        return [names[info.commit_hash] for info in tract.query_by_config("n", operator, value)]

    assert found("=", 1) == found("=", 1.0) == ["int", "float"]
    assert found("=", True) == ["bool"]
    assert found("=", "1") == ["string"]
    assert found("=", False) == ["false"]
    assert found("=", 0) == found("=", -0.0) == ["zero"]
    assert found("=", None) == ["null"]
    assert found("!=", 1) == ["zero"]
    assert found("!=", True) == ["false"]
    assert found("!=", "2") == ["string"]
    assert found(">", 0) == ["int", "float"]
    assert found("<=", 1) == ["int", "float", "zero"]
    assert found(">=", "") == ["string"]
    assert found(">", False) == found("<", True) == found(">=", None) == []
    stored = [one["n"] for one in tract.compile().generation_configs]
    assert [(type(value), value) for value in stored] == [(type(value), value) for value in values.values()]


def test_none_matches_a_null_and_never_what_is_unset(tract: Tract) -> None:
    null = tract.commit(user("null"), generation_config={"stop": None}).commit_hash
    word = tract.commit(user("word"), generation_config={"stop": "word"}).commit_hash
    for config in ({}, {"other": None}, {"stop ": None}, {"nested": {"stop": None}}, None):
        tract.commit(user("unset"), generation_config=config)

    def found(*query: Any) -> list[str]:
        return [info.commit_hash for info in tract.query_by_config(*query)]

    assert found("stop", "=", None) == [null]
    assert found("stop", "!=", None) == []
    assert found("stop", "!=", "other") == [word]
    assert len(found(("nested", "stop"), "=", None)) == 1
    assert found(("stop", "nested"), "=", None) == []


class CountingTokenizer:
    """A counter of characters that notes how many it was shown."""

    name = "characters"

    def __init__(self) -> None:
        self.shown = 0

    def count_text(self, text: str) -> int:
        self.shown += len(text)
        return len(text)


@pytest.mark.parametrize("action", ["warn", "reject", "callback"])
def test_the_cost_of_a_budget_does_not_grow_with_history(tmp_path: Path, action: Any) -> None:
    counter = CountingTokenizer()
    told: list[tuple[int, int]] = []
    budget = TokenBudgetConfig(
        max_tokens=1_000_000,
        action=action,
        callback=(lambda current, maximum: told.append((current, maximum))) if action == "callback" else None,
    )
    config = TractConfig(token_budget=budget)
    with Tract.open(tmp_path, durability="fast", tokenizer=counter, config=config) as tract:
        tract.commit(InstructionContent(text="be kind"))
        costs = [calls_of(lambda: tract.commit(user("x" * 96))) for _ in range(400)]
        assert sorted(costs[350:])[25] <= 1.1 * sorted(costs[10:60])[25]
        assert counter.shown == len("system" + "be kind") + 400 * (len("user") + 96)
        assert tract.compile().token_count == 3 + (3 + 13) + 400 * (3 + 100)
        assert told == []


def calls_of(work: Callable[[], object]) -> int:
    """Returns how many function calls a piece of work makes."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_a_budget_counts_the_effective_context_not_the_history(tmp_path: Path) -> None:
    config = TractConfig(token_budget=TokenBudgetConfig(max_tokens=33, action="reject"))
    with Tract.open(tmp_path, tokenizer=CountingTokenizer(), config=config) as tract:
        first = tract.commit(user("x" * 10)).commit_hash  # 3 + 4 + 10, and 3 for the reply: 20
        with pytest.raises(BudgetExceeded) as caught:
            tract.commit(user("y" * 10))
        assert (caught.value.current, caught.value.maximum) == (37, 33)
        tract.edit(first, user("x" * 5))  # 15
        tract.commit(user("y" * 10))  # 32
        tract.annotate(first, "skip")  # 20
        second = tract.commit(user("z")).commit_hash  # 28
        with pytest.raises(BudgetExceeded):
            tract.annotate(first, "normal")  # would be 40
        with pytest.raises(BudgetExceeded):
            tract.edit(second, user("z" * 10))  # would be 37
        tract.edit(second, user("z" * 6))  # 33
        assert tract.compile().token_count == 33
        assert texts(tract) == ["y" * 10, "z" * 6]
