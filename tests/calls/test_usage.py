"""Usage: what the SDKs of the providers return is recorded whole, and the prompt contains what a cache held."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.lab.copies import bring_files, open_tract
from tests.lab.talk import Clock, say
from tract_fs import Store, TokenUsage, Tract
from tract_fs.errors import ArgumentError, CommitNotFoundError, UsageError
from tract_fs.model.names import to_datetime

CHAT: dict[str, Any] = {
    "prompt_tokens": 2006,
    "completion_tokens": 300,
    "total_tokens": 2306,
    "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 256, "audio_tokens": 0},
}
RESPONSES: dict[str, Any] = {
    "input_tokens": 2006,
    "input_tokens_details": {"cached_tokens": 1920},
    "output_tokens": 300,
    "output_tokens_details": {"reasoning_tokens": 256},
    "total_tokens": 2306,
}
ANTHROPIC: dict[str, Any] = {
    "input_tokens": 50,
    "cache_creation_input_tokens": 248,
    "cache_read_input_tokens": 1800,
    "output_tokens": 503,
    "server_tool_use": None,
    "service_tier": "standard",
}


class Dumped:
    """An object of an SDK that has nothing but `model_dump()`."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def model_dump(self) -> dict[str, Any]:
        return json.loads(json.dumps(self._fields))


class Pydantic(Dumped):
    """One as pydantic makes it, whose dump has options."""

    def model_dump(self, *, mode: str = "python", exclude_unset: bool = False) -> dict[str, Any]:
        assert (mode, exclude_unset) == ("json", True)
        return super().model_dump()


@dataclass
class Counts:
    """An object with attributes alone."""

    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int | None
    cache_creation_input_tokens: int | None


def as_attributes(value: Any) -> Any:
    if isinstance(value, dict):
        return SimpleNamespace(**{key: as_attributes(item) for key, item in value.items()})
    return value


SHAPES = {"dict": dict, "model_dump": Dumped, "pydantic": Pydantic, "attributes": as_attributes}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (CHAT, TokenUsage(2006, 300, 2306, cache_read_tokens=1920, reasoning_tokens=256)),
        (RESPONSES, TokenUsage(2006, 300, 2306, cache_read_tokens=1920, reasoning_tokens=256)),
        (ANTHROPIC, TokenUsage(2098, 503, 2601, cache_read_tokens=1800, cache_write_tokens=248)),
    ],
    ids=["OpenAI chat", "OpenAI responses", "Anthropic"],
)
def test_what_a_provider_returns_is_recorded_whole(
    path: Path, shape: str, usage: dict[str, Any], expected: TokenUsage
) -> None:
    with Tract.open(path, clock=Clock()) as t:
        say(t, "hello")
        context = t.record_usage(SHAPES[shape](usage))
        assert context.usage == expected
    with Tract.open(path, read_only=True) as t:
        context = t.compile()
    assert context.usage == expected
    assert context.token_count == expected.prompt_tokens
    assert context.token_source == f"api:{expected.prompt_tokens}+{expected.completion_tokens}"


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": None}, TokenUsage(1, 2, 3)),
        ({"input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": None}, TokenUsage(1, 2, 3)),
        (Counts(1, 2, 30, None), TokenUsage(31, 2, 33, cache_read_tokens=30)),
        (Counts(1, 2, 0, 40), TokenUsage(41, 2, 43, cache_write_tokens=40)),
        # LiteLLM: the names of both, and a prompt that contains what the cache held
        (
            {**CHAT, "cache_read_input_tokens": 1920, "cache_creation_input_tokens": 7},
            TokenUsage(2006, 300, 2306, cache_read_tokens=1920, cache_write_tokens=7, reasoning_tokens=256),
        ),
        (TokenUsage(9, 5, 14, 1, 2, 3), TokenUsage(9, 5, 14, 1, 2, 3)),
    ],
)
def test_counts_that_are_not_given_are_zero(usage: object, expected: TokenUsage) -> None:
    assert TokenUsage.from_any(usage) == expected


@pytest.mark.parametrize(
    "usage",
    [
        {**CHAT, "prompt_tokens_details": {"cached_tokens": -1}},
        {**CHAT, "completion_tokens_details": {"reasoning_tokens": "256"}},
        {**ANTHROPIC, "cache_read_input_tokens": 1.5},
        {**ANTHROPIC, "cache_creation_input_tokens": True},
        {**ANTHROPIC, "cache_read_input_tokens": 2**63 - 1},
        TokenUsage(1, 2, 3, cache_read_tokens=-1),
        SimpleNamespace(tokens=3),
        Dumped({"tokens": 3}),
        Dumped,
    ],
)
def test_a_count_that_is_none_is_refused(t: Tract, usage: object) -> None:
    (head,) = say(t, "hello")
    with pytest.raises(UsageError):
        t.record_usage(usage)
    assert t.compile().usage is None
    assert t.head == head


def ops(path: Path) -> list[dict[str, Any]]:
    events = [json.loads(file.read_bytes()) for file in path.rglob("events/*/*/*")]
    return [op for event in events for op in event["event"]["ops"] if op["kind"] == "usage"]


def test_an_event_has_the_later_counts_only_where_there_are_such_tokens(path: Path) -> None:
    with Tract.open(path, clock=Clock()) as t:
        (first,) = say(t, "hello")
        t.record_usage({"prompt_tokens": 9, "completion_tokens": 3})
        assert ops(path) == [
            {"kind": "usage", "commit": first, "prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
        ]
        (second,) = say(t, "again")
        t.record_usage(CHAT)
    (op,) = (op for op in ops(path) if op["commit"] == second)
    assert op == {
        "kind": "usage",
        "commit": second,
        "prompt_tokens": 2006,
        "completion_tokens": 300,
        "total_tokens": 2306,
        "cache_read_tokens": 1920,
        "reasoning_tokens": 256,
    }


def test_a_fork_has_the_whole_usage_of_its_head(t: Tract) -> None:
    say(t, "hello")
    t.record_usage(ANTHROPIC)
    with t.fork("sub") as fork:
        assert fork.compile().usage == TokenUsage(2098, 503, 2601, cache_read_tokens=1800, cache_write_tokens=248)


def test_a_batch_shows_the_usage_that_it_has_staged(t: Tract) -> None:
    with t.batch():
        say(t, "hello")
        assert t.record_usage(CHAT).usage == TokenUsage(2006, 300, 2306, 1920, 0, 256)


# sums


def use(t: Tract, text: str, prompt: int, model: str | None = None) -> str:
    """Commits a message and records the usage of a call with it; returns the commit."""
    t.add(text, generation_config=None if model is None else {"model": model})
    t.record_usage({"prompt_tokens": prompt, "completion_tokens": 1})
    return str(t.head)


def test_usage_is_summed_by_commit_by_model_and_by_branch(t: Tract) -> None:
    assert t.usage() == t.usage(by="model") == t.usage(by="branch") == {}
    one = use(t, "one", 10, "m-1")
    two = use(t, "two", 20, "m-2")
    t.record_usage({"prompt_tokens": 25, "completion_tokens": 2, "total_tokens": 30})  # of the same commit: it counts
    t.branch("side", at=one)
    t.switch("side")
    three = use(t, "three", 100, "m-1")
    four = use(t, "four", 1000)
    t.reset(three)
    t.switch("main")
    say(t, "no usage")
    assert t.usage() == t.usage(by="commit")
    assert t.usage() == {
        one: TokenUsage(10, 1, 11),
        two: TokenUsage(25, 2, 30),
        three: TokenUsage(100, 1, 101),
        four: TokenUsage(1000, 1, 1001),
    }
    assert t.usage(by="model") == {
        "": TokenUsage(1000, 1, 1001),
        "m-1": TokenUsage(110, 2, 112),
        "m-2": TokenUsage(25, 2, 30),
    }
    assert t.usage(by="branch") == {
        "": TokenUsage(1000, 1, 1001),  # no branch has its commit any more
        "main": TokenUsage(35, 3, 41),
        "side": TokenUsage(110, 2, 112),
    }


def test_usage_that_was_recorded_before_its_answer_counts_for_the_model_of_the_answer(tmp_path: Path) -> None:
    prices = {"m-1": {"prompt": 2, "completion": 8}, "m-2": {"prompt": 100, "completion": 100}}
    with Store.open(tmp_path, clock=Clock(), durability="fast") as store, store.tract("a") as t:
        prompt = use(t, "prompt", 10)
        t.branch("side")
        t.add("answer", generation_config={"model": "m-1"})
        t.switch("side")
        t.add("later answer", generation_config={"model": "m-2"})  # the first is the one that was paid for
        alone = use(t, "never answered", 1000)
        t.add("a note without a model")
        expected = {"": TokenUsage(1000, 1, 1001), "m-1": TokenUsage(10, 1, 11)}
        assert t.usage("model") == store.usage("model") == expected
        assert t.usage("commit") == {prompt: TokenUsage(10, 1, 11), alone: TokenUsage(1000, 1, 1001)}
        (whole,) = t.aggregate(sum="usage.prompt_tokens", prices=prices)
        assert (whole.sums, whole.cost, whole.unpriced_count) == ({"usage.prompt_tokens": 1010}, 0.000028, 1)
        with t.batch():
            use(t, "prompt", 5)
            t.add("answer", generation_config={"model": "m-2"})
            assert t.usage("model") == {**expected, "m-2": TokenUsage(5, 1, 6)}


def test_the_usage_of_one_commit_is_that_of_it_alone(t: Tract) -> None:
    one, two = use(t, "one", 10, "m-1"), use(t, "two", 20, "m-2")
    say(t, "no usage")
    assert t.usage(of=one) == {one: TokenUsage(10, 1, 11)}
    assert t.usage("model", of="main~1") == {"m-2": TokenUsage(20, 1, 21)}
    assert t.usage(of="main") == {}
    with t.batch():
        three = use(t, "three", 30)
        assert t.usage(of=three) == {three: TokenUsage(30, 1, 31)}
        assert t.usage(of=two) == {two: TokenUsage(20, 1, 21)}
    with pytest.raises(CommitNotFoundError):
        t.usage(of="nowhere")


def test_usage_since_a_time_is_what_was_recorded_then_or_later(tmp_path: Path) -> None:
    clock = Clock()
    with Store.open(tmp_path, clock=clock, durability="fast") as store, store.tract("a") as t:
        one = use(t, "one", 10, "m-1")
        clock.now_us += 3_600_000_000
        moment = to_datetime(clock.now_us)
        two = use(t, "two", 20, "m-2")
        assert list(t.usage(since=moment)) == [two]
        assert t.usage("model", since=moment) == {"m-2": TokenUsage(20, 1, 21)}
        assert store.usage(since=moment) == {"a": TokenUsage(20, 1, 21)}
        assert store.usage("model", since=moment.replace(tzinfo=None)) == {"m-2": TokenUsage(20, 1, 21)}
        assert t.usage(since=moment + timedelta(hours=1)) == {} == store.usage(since=moment + timedelta(hours=1))
        assert sorted(t.usage(since=moment - timedelta(hours=2))) == sorted([one, two])


def test_usage_amid_a_batch_has_what_is_staged(t: Tract) -> None:
    with t.batch():
        one = use(t, "one", 10, "m-1")
        assert t.usage() == {one: TokenUsage(10, 1, 11)}
        assert t.usage("branch") == {"main": TokenUsage(10, 1, 11)}
        assert t.usage("model") == {"m-1": TokenUsage(10, 1, 11)}
    assert t.usage() == {one: TokenUsage(10, 1, 11)}


def test_what_a_fork_repeats_counts_for_the_tract_that_it_was_made_from(t: Tract) -> None:
    use(t, "one", 10, "m-1")
    with t.fork("sub") as fork:
        two = use(fork, "two", 20, "m-2")
        assert fork.usage() == {two: TokenUsage(20, 1, 21)}
        assert fork.usage("branch") == {"main": TokenUsage(20, 1, 21)}


def test_a_commit_counts_for_a_branch_by_any_of_its_heads(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    with open_tract(here) as t:
        use(t, "root", 1)
    bring_files(here, there)
    for path, prompt in ((here, 10), (there, 100)):
        with open_tract(path) as t:
            use(t, "more", prompt)
    bring_files(there, here)
    with open_tract(here) as t:
        assert len(t.branches()["main"]) == 2
        assert t.usage("branch") == {"main": TokenUsage(111, 3, 114)}


@pytest.mark.parametrize("arguments", [{"by": "tract"}, {"by": 3}, {"since": "2026-01-02"}, {"since": 3}])
def test_another_key_or_time_is_refused(t: Tract, arguments: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        t.usage(**arguments)
