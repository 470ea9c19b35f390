"""Queries: each expression, as objects and as text, finds what a plain predicate finds; groups, sums and costs."""

from __future__ import annotations

import asyncio
import pickle
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.queries import Facts, Query, random_query
from tests.lab.states import remove_local
from tests.lab.stores import redact
from tests.lab.talk import Clock, say, say_one, user
from tract_fs import AsyncTract, CommitInfo, Expression, Store, Tract, facet, field
from tract_fs.errors import ArgumentError, HistoryIncomplete, QueryError

CONFIGS: list[dict[str, Any] | None] = [
    None,
    {},
    {"temperature": 0.5, "model": "gpt-4o"},
    {"temperature": 1, "model": "gpt-4o", "stop": ["\n", "END"]},
    {"temperature": 1.0, "model": "o3", "stream": True},
    {"temperature": "1", "model": None, "stream": False},
    {"temperature": True, "stop": "END", "response_format": {"type": "json_schema"}},
    {"response_format": {"type": "text", "and": 1}, "stop": [], "model": ""},
    {"odd key.x": "a\"\\'b", "and": 0, "model": "é€😀"},
    {"temperature": 0.5, "model": "o3", "absent": None, "stop": [1, None]},
    {"": {"é": [2**53 + 1, {"null": "\u2028\x00"}]}, "Not": {"50256": -0.0}, "temperature": 2**64 - 1},
    {"": {"é": [float(2**53), {"null": None}]}, "stop": {"0": "true"}, "temperature": 1e308, "model": "e\u0301"},
]
METADATA: list[dict[str, Any] | None] = [None, {"run": 7}, {"user": {"name": "ann"}, "tags": ["x"]}, {"run": True}]


def write_history(t: Tract) -> None:
    """Writes commits of all kinds on two branches, some on none, with usage and tags."""
    t.add({"role": "system", "content": "Be short."})
    for number in range(len(CONFIGS)):
        text = "hello refund" if number % 3 == 0 else f"hello {number}"
        t.add(
            {"role": "assistant" if number % 2 else "user", "content": text},
            generation_config=CONFIGS[number],
            metadata=METADATA[number % len(METADATA)],
        )
        if number % 4 == 1:
            t.record_usage(
                {"prompt_tokens": 10 + number * 2, "completion_tokens": number, "total_tokens": 10 + number * 3}
            )
        if number == 4:
            t.tag("v1")
            t.branch("side")
    t.edit(t.log(3)[2].commit_hash, "edited refund", generation_config={"model": "o3", "temperature": 0.2})
    t.annotate(t.log(1)[0].targets[0], "skip", reason="old")
    t.add("left behind", generation_config={"model": "gpt-4o", "temperature": 0.9})
    t.reset(t.log(2)[1].commit_hash)
    t.switch("side")
    t.commit({"content_type": "output", "text": "a report"}, generation_config={"model": "o3", "temperature": 0})
    t.tag("v2")
    t.switch("main")
    t.merge("side")


def facts_of(t: Tract, commits: list[CommitInfo]) -> dict[str, Facts]:
    """Returns the facts of commits by hash, from the other calls of the facade."""
    parents = {info.commit_hash: info.parents for info in commits}
    usage = t.usage("commit")

    def history(tip: str) -> set[str]:
        found, queue = set(), [tip]
        while queue:
            name = queue.pop()
            if name not in found:
                found.add(name)
                queue += parents[name]
        return found

    branches = {name: set().union(*map(history, heads)) for name, heads in t.branches().items()}
    tags = {name: history(target) for name, target in t.tags().items()}
    facts = {}
    for info in commits:
        made = info.to_dict()
        message = t.compile(at_commit=info.commit_hash).messages if info.content_type and not info.targets else []
        counts = usage.get(info.commit_hash)
        role = {"output": "assistant"}.get(str(info.content_type), message[-1].role if message else None)
        text = message[-1].content if message else None
        if info.operation.value == "edit":
            role, text = "assistant", "edited refund"
        facts[info.commit_hash] = {
            "config": made["generation_config"] or {},
            "metadata": made["metadata"] or {},
            "usage": None if counts is None else {name: getattr(counts, name) for name in counts.__struct_fields__},
            "branch": [name for name, names in branches.items() if info.commit_hash in names],
            "tag": [name for name, names in tags.items() if info.commit_hash in names],
            "tract": [t.tract_id],
            "type": [] if info.content_type is None else [info.content_type],
            "role": [] if role is None else [role],
            "operation": [made["operation"]],
            "text": [] if text is None else [text],
            "time": [made["created_at"]],
            "day": [made["created_at"][:10]],
            "tokens": [info.token_count],
        }
    return facts


def all_commits(t: Tract) -> list[CommitInfo]:
    """Returns all commits of a tract, by time of creation, then hash, found by their hashes' prefixes and the log."""
    names = {info.commit_hash for branch in t.branches() for info in t.log(None, branch=branch)}
    names |= {str(move.old_head) for move in t.reflog() if move.old_head}
    infos = [info for name in names if (info := t.get_commit(name)) is not None]
    return sorted(infos, key=lambda info: (info.created_at, info.commit_hash))


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tract, dict[str, Facts]]]:
    """A tract with commits of all kinds, and their facts in order."""
    path = tmp_path_factory.mktemp("queries")
    with Tract.open(path, tract_id="one", durability="fast", clock=Clock()) as t:
        write_history(t)
        commits = all_commits(t)
        assert len(commits) == 18
        facts = facts_of(t, commits)
    with Tract.open(path, tract_id="one", durability="fast") as t:
        yield t, facts


def check(t: Tract, facts: dict[str, Facts], query: Query) -> None:
    wanted = [name for name, one in facts.items() if query.predicate(one)]
    assert [info.commit_hash for info in t.query(query.expression)] == wanted, query.text
    assert [info.commit_hash for info in t.query(query.text)] == wanted, query.text
    text = str(query.expression)
    assert [info.commit_hash for info in t.query(text)] == wanted, text


@pytest.mark.parametrize("seed", range(10))
def test_a_random_query_finds_what_a_plain_predicate_finds(history: tuple[Tract, dict[str, Facts]], seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(40):
        check(*history, random_query(rng))


@pytest.mark.campaign
def test_ten_thousand_random_queries_find_what_plain_predicates_find(history: tuple[Tract, dict[str, Facts]]) -> None:
    rng = random.Random(22)
    for _ in range(10_000):
        check(*history, random_query(rng, depth=rng.randrange(5)))


def test_a_query_in_a_batch_finds_what_is_staged(tmp_path: Path) -> None:
    with Tract.open(tmp_path, tract_id="one", durability="fast", clock=Clock()) as t:
        first = say_one(t, "hello 3", generation_config={"model": "o3"})
        with t.batch():
            staged = say_one(t, "hello refund", generation_config={"model": "gpt-4o"})
            t.record_usage({"prompt_tokens": 14, "completion_tokens": 3})
            assert [info.commit_hash for info in t.query("model is set")] == [first, staged]
            assert [info.commit_hash for info in t.query('model = "gpt-4o"')] == [staged]
            assert [info.commit_hash for info in t.query("@usage.prompt_tokens = 14")] == [staged]
            assert [info.commit_hash for info in t.query('@branch = "main"')] == [first, staged]


def test_commits_that_a_merge_brought_are_found_with_their_configs(tmp_path: Path) -> None:
    with Store.open(tmp_path, durability="fast", clock=Clock()) as store:
        one, two = store.tract("one"), store.tract("two")
        say(one, "a")
        brought = say_one(two, "b", generation_config={"model": "o3"})
        one.merge("two:main")
        assert [info.commit_hash for info in one.query('model = "o3"')] == [brought]
        assert [info.commit_hash for info in one.query('model = "o3" and @branch = "main"')] == [brought]


def test_the_answer_is_that_of_a_rebuilt_index(history: tuple[Tract, dict[str, Facts]], tmp_path: Path) -> None:
    with Tract.open(tmp_path, durability="fast") as t:
        say_one(t, "a", generation_config={"model": "o3", "temperature": 1})
        say_one(t, "b", generation_config={"model": "gpt", "temperature": 1})
        before = t.query('model starts with "g" and temperature = 1')
    remove_local(tmp_path)
    with Tract.open(tmp_path, durability="fast") as t:
        assert t.query('model starts with "g" and temperature = 1') == before
        assert len(before) == 1


def test_a_new_handle_finds_all_commits_by_metadata_and_by_what_no_index_has(tmp_path: Path) -> None:
    with Tract.open(tmp_path, durability="fast") as t:
        made = [say_one(t, str(number), metadata={"run": 7}) for number in range(40)]
    with Tract.open(tmp_path, durability="fast") as t:
        assert sorted(info.commit_hash for info in t.find({"run": 7})) == sorted(made)
        assert [info.commit_hash for info in t.query("@metadata.run = 7")] == made


# what the words mean


def test_a_comparison_with_an_absent_field_is_false_and_its_complement_true(tmp_path: Path) -> None:
    with Tract.open(tmp_path, durability="fast") as t:
        without, other, same = (
            say_one(t, "a"),
            say_one(t, "b", generation_config={"model": "o3"}),
            say_one(t, "c", generation_config={"model": "m"}),
        )
        assert [info.commit_hash for info in t.query(field("model") != "m")] == [other]
        assert [info.commit_hash for info in t.query(~(field("model") == "m"))] == [without, other]
        assert [info.commit_hash for info in t.query("not model != 'm'")] == [without, same]


def test_null_is_set_and_a_value_of_another_type_never_matches(tmp_path: Path) -> None:
    with Tract.open(tmp_path, durability="fast") as t:
        null = say_one(t, "a", generation_config={"x": None})
        text = say_one(t, "b", generation_config={"x": "1"})
        assert [info.commit_hash for info in t.query("x is set")] == [null, text]
        assert [info.commit_hash for info in t.query("x = null")] == [null]
        assert t.query("x = 1 or x != 1 or x > 0") == []


def test_a_branch_that_is_not_equal_is_that_of_a_commit_on_others_alone(tmp_path: Path) -> None:
    with Tract.open(tmp_path, durability="fast") as t:
        say(t, "shared")
        t.branch("side")
        t.switch("side")
        (own,) = say(t, "own")
        assert [info.commit_hash for info in t.query('@branch != "main"')] == [own]


def test_a_redacted_text_is_absent(tmp_path: Path) -> None:
    with Tract.open(tmp_path, clock=lambda: 1_000_000) as t:
        secret = t.commit(user("a secret refund"))
        kept = say_one(t, "a refund")
        assert len(t.query('@text contains "refund"')) == 2
    redact(tmp_path, secret.content_hash, after='"at":"1970-01-01T00:00:01.000001Z"', at="1970-01-01T00:00:02.000000Z")
    with Tract.open(tmp_path) as t:
        t.refresh()
        assert [info.commit_hash for info in t.query('@text contains "refund"')] == [kept]
        assert [info.commit_hash for info in t.query("@text is unset and @role is unset")] == [secret.commit_hash]


def test_a_text_that_is_lost_is_an_error_and_a_config_is_found_all_the_same(tmp_path: Path) -> None:
    with Tract.open(tmp_path, durability="fast") as t:
        lost = t.commit(user("a"), generation_config={"model": "o3"})
        say(t, "b")
    name = str(lost.content_hash)
    (tmp_path / ".tract/objects" / name[:2] / name[2:]).unlink()
    remove_local(tmp_path)
    with Tract.open(tmp_path) as t, pytest.raises(HistoryIncomplete):
        t.query('@text = "a"')
    with Tract.open(tmp_path, incomplete="use") as t:
        assert t.query('@text = "a"') == []


@pytest.mark.parametrize("incomplete", ["raise", "use"])
def test_a_commit_whose_config_is_lost_is_left_out_and_those_after_it_are_found(
    tmp_path: Path, incomplete: Any
) -> None:
    with Tract.open(tmp_path, durability="fast") as t:
        made = [say_one(t, str(number), generation_config={"n": number}) for number in range(4)]
    for event in (tmp_path / ".tract/events/default").glob("*/*"):
        if b'"n":1' in event.read_bytes():
            event.unlink()
    remove_local(tmp_path)
    with Tract.open(tmp_path, incomplete=incomplete) as t:
        for text, found in (("n is set", [0, 2, 3]), ("not n = 0", [2, 3]), ("@branch is unset", [2, 3])):
            assert [made.index(info.commit_hash) for info in t.query(text)] == found
        assert [group.count for group in t.aggregate(where="n is set")] == [3]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: field("t") > True, "> is for numbers or strings"),
        (lambda: field("t").between(1, "a"), "between is for numbers or strings"),
        (lambda: field("t").startswith(1), "starts with is for a string"),  # type: ignore[arg-type]
        (lambda: field("t") == [1], "use a string, a number, a bool or None"),
        (lambda: field("t") == float("nan"), "nan"),
        (lambda: field("t").in_("abc"), "give a list of values"),
        (lambda: field("t").in_(5), "give a list of values"),  # type: ignore[arg-type]
        (lambda: field("t").in_({"a": 1}), "give a list of values"),
        (lambda: field("t") == 10**5000, "a number of 16610 bits"),
        (lambda: field("t", 2**64) == 1, "beyond 64 bits"),
        (lambda: field(0), "begin with a key"),  # type: ignore[arg-type]
        (lambda: field("t", -1), "use a key, or a tuple of keys and indexes"),
        (lambda: facet("brnch"), "there is no facet 'brnch'"),
        (lambda: facet("branch", "x"), "has no fields"),
        (lambda: facet("usage", "tokens"), "use one of prompt_tokens"),
        (lambda: facet("tokens") == "8", "@tokens is a number, and never equals '8'"),
        (lambda: facet("tokens").contains(8), "@tokens is a number, and contains nothing"),
        (lambda: facet("usage") > 8, "@usage has several fields; compare one of them, as @usage.prompt_tokens"),
        (lambda: facet("metadata") == "x", "@metadata has several fields; compare one of them, as @metadata.run"),
        (lambda: facet("day") == "2026-01", "day '2026-01': write it like 2026-01-02"),
        (lambda: facet("day") >= "2026-1-2", "day '2026-1-2': write it like 2026-01-02"),
        (lambda: facet("day").in_(["today"]), "day 'today': write it like 2026-01-02"),
        (lambda: facet("operation") == "apend", "use one of append, edit"),
        (lambda: facet("time") > "yesterday", "write it like 2026-01-02"),
        (lambda: bool(field("a") == 1), "join with & | ~"),
        (lambda: (field("a") == 1) and (field("b") == 2), "join with & | ~"),
        (lambda: 0 < field("a") < 1, "join with & | ~"),
    ],
)
def test_what_can_not_be_meant_is_an_error(make: Any, reason: str) -> None:
    with pytest.raises(ArgumentError, match=reason.replace("|", r"\|").replace("(", r"\(")):
        make()


def test_what_is_no_query_is_an_error(tmp_path: Path) -> None:
    with Tract.open(tmp_path, durability="fast") as t:
        for given in (None, True, 1, {"model": "o3"}, field("model")):
            with pytest.raises(ArgumentError, match="give an expression"):
                t.query(given)  # type: ignore[arg-type]
        with pytest.raises(QueryError, match="expected"):
            t.query("model =")


def test_an_expression_can_be_pickled() -> None:
    expression = (field("a") > 1) & ~field("b", 0).is_set() | (facet("branch") == "main")
    again = pickle.loads(pickle.dumps(expression))
    assert (again, str(again)) == (expression, 'a > 1 and not b[0] is set or @branch = "main"')


def test_a_deep_expression_is_an_error_and_a_long_one_is_not() -> None:
    deep: Expression = field("a") == 0
    with pytest.raises(ArgumentError, match="100 expressions deep"):
        for number in range(200):
            deep = (deep & (field("a") == number)) | (field("b") == number)
    wide: Expression = field("a") == 0
    for number in range(1, 2000):
        wide = wide | (field("a") == number)
    assert str(wide).count(" or ") == 1999


# stores


def test_a_store_is_asked_over_all_tracts(tmp_path: Path) -> None:
    with Store.open(tmp_path, durability="fast", clock=Clock()) as store:
        for name in ("bob", "ann"):
            say_one(store.tract(name), name, generation_config={"model": "o3"})
        assert [info.tract_id for info in store.query('model = "o3"')] == ["bob", "ann"]
        assert [info.tract_id for info in store.query(facet("tract") == "ann")] == ["ann"]
        assert store.query("model is unset") == []


# groups


def write_usage(t: Tract) -> None:
    for model, prompt, cached, completion in (("m-1", 1000, 400, 50), ("m-2", 20, 0, 5), ("m-1", 100, 0, 10)):
        say_one(t, model, role="assistant", generation_config={"model": model})
        t.record_usage(
            {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "prompt_tokens_details": {"cached_tokens": cached},
            }
        )
    say(t, "without a model")


def test_groups_have_counts_and_sums_in_the_order_of_their_keys(tmp_path: Path) -> None:
    with Tract.open(tmp_path, durability="fast", clock=Clock()) as t:
        write_usage(t)
        groups = t.aggregate("model", sum=["usage.prompt_tokens", "tokens"])
        assert [(group.key, group.count, group.sums) for group in groups] == [
            ({"model": None}, 1, {"usage.prompt_tokens": 0, "tokens": 8}),
            ({"model": "m-1"}, 2, {"usage.prompt_tokens": 1100, "tokens": 14}),
            ({"model": "m-2"}, 1, {"usage.prompt_tokens": 20, "tokens": 7}),
        ]
        assert {group.cost for group in groups} == {None}
        (whole,) = t.aggregate(sum="usage", where="model is set")
        assert (whole.key, whole.count) == ({}, 3)
        assert whole.sums == {
            "usage.prompt_tokens": 1120,
            "usage.completion_tokens": 65,
            "usage.total_tokens": 1185,
            "usage.cache_read_tokens": 400,
            "usage.cache_write_tokens": 0,
            "usage.reasoning_tokens": 0,
        }
        assert [group.to_dict() for group in t.aggregate((), where="model = 'x'")] == [
            {"key": {}, "count": 0, "sums": {}}
        ]
        assert t.aggregate("model", where="model = 'x'") == []


def test_a_cost_is_that_of_the_prices_and_what_has_none_is_counted(tmp_path: Path) -> None:
    prices = {"m-1": {"prompt": 2, "completion": 8, "cache_read": 0.5}}
    with Tract.open(tmp_path, durability="fast", clock=Clock()) as t:
        write_usage(t)
        found = [
            (group.key["model"], group.cost, group.unpriced_count) for group in t.aggregate("model", prices=prices)
        ]
        # m-1: 600 + 100 at 2, 400 at 0.5, 60 at 8, for a million
        assert found == [(None, 0.0, 0), ("m-1", 0.00208, 0), ("m-2", 0.0, 1)]
        for wrong in ([], {"m": 1}, {"m": {"prompt": 1}}, {"m": {"prompt": 1, "completion": -1}}):
            with pytest.raises(ArgumentError, match="prices"):
                t.aggregate(prices=wrong)  # type: ignore[arg-type]
        for whole in ("@usage", facet("metadata")):
            with pytest.raises(ArgumentError, match="it has several fields; give one of them"):
                t.aggregate(whole)
        with pytest.raises(ArgumentError, match="use tokens, usage"):
            t.aggregate(sum="temperature")
        with pytest.raises(QueryError):
            t.aggregate("model =")


def test_keys_group_by_json_equality(tmp_path: Path) -> None:
    with Tract.open(tmp_path, durability="fast", clock=Clock()) as t:
        for value in (1, 1.0, True, "1", [1], [1], None):
            say_one(t, "x", generation_config={"x": value})
        found = [(group.key["x"], group.count) for group in t.aggregate("x")]
        assert found == [(None, 1), (1, 2), ("1", 1), ([1], 2), (True, 1)]


def test_days_are_in_order_by_their_beginnings(tmp_path: Path) -> None:
    with Tract.open(tmp_path, durability="fast", clock=Clock()) as t:
        name = say_one(t, "a")
        for text in (
            '@day >= "2026-01"',
            '@day starts with "2026-"',
            '@day between "2026" and "2026-02"',
            '@day < "2026-1"',
        ):
            assert [info.commit_hash for info in t.query(text)] == [name], text


def test_a_commit_of_two_branches_counts_for_both_and_by_two_fields_for_each_pair(tmp_path: Path) -> None:
    with Tract.open(tmp_path, durability="fast", clock=Clock()) as t:
        say_one(t, "shared", generation_config={"model": "o3"})
        t.branch("side")
        say(t, "own")
        found = [(group.key, group.count) for group in t.aggregate([facet("branch"), "model"])]
        assert found == [
            ({"@branch": "main", "model": None}, 1),
            ({"@branch": "main", "model": "o3"}, 1),
            ({"@branch": "side", "model": "o3"}, 1),
        ]


def test_sums_over_a_store_count_the_usage_that_a_fork_repeats_once(tmp_path: Path) -> None:
    with Store.open(tmp_path, durability="fast", clock=Clock()) as store:
        t = store.tract("ann")
        write_usage(t)
        t.fork("sub").close()
        found = {group.key["@tract"]: group.sums for group in store.aggregate("@tract", sum="usage.prompt_tokens")}
        assert found["ann"] == {"usage.prompt_tokens": 1120}
        assert sum(sums["usage.prompt_tokens"] for sums in found.values()) == 1120
        assert sum(counts.prompt_tokens for counts in store.usage().values()) == 1120


def test_a_coroutine_asks_the_same(tmp_path: Path) -> None:
    async def ask() -> tuple[list[str], int]:
        async with await AsyncTract.open(tmp_path, durability="fast") as t:
            await t.add("a", generation_config={"model": "o3"})
            found = await t.query(field("model") == "o3")
            (group,) = await t.aggregate("model")
            return [str(info.content_type) for info in found], group.count

    assert asyncio.run(ask()) == (["dialogue"], 1)
