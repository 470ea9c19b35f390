"""The reference model against small stores written out by hand: it must be right before anything is held against it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.lab.reference import OrphanedCall, ReferenceStore, ReferenceTract, as_text, count_message, matches
from tests.lab.strategies_events import START_US, encode, hash_of, time_text


class Store:
    """A store written with json and hashlib: one commit and one event per call."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.commits: list[str] = []
        self.events: list[str] = []

    def put(self, folder: str, kind: str, body: dict[str, Any]) -> str:
        data = encode(kind, body)
        name = hash_of(data)
        file = self.path / ".tract" / folder / name[:2] / name[2:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return name

    def commit(self, operation: str, content: dict[str, Any] | None = None, config: Any = None, **fields: Any) -> str:
        parents = fields.pop("parents", self.commits[-1:])
        at = time_text(START_US + len(self.events))
        body = {"operation": operation, "parents": parents, "created_at": at, **fields}
        if content is not None:
            body |= {"content": self.put("objects", "content", content), "content_type": content["content_type"]}
        commit = self.put("objects", "commit", body)
        entry = {"commit": commit} if config is None else {"commit": commit, "config": config}
        op = {"kind": "append", "branch": "main", "head": commit, "commits": [entry], "replaces": self.events[-1:]}
        self.event([op])
        self.commits.append(commit)
        return commit

    def event(self, ops: list[dict[str, Any]]) -> str:
        at = time_text(START_US + len(self.events))
        body = {"tract": "default", "at": at, "writer": "0" * 32, "parents": self.events[-1:], "ops": ops}
        self.events.append(self.put("events/default", "event", body))
        return self.events[-1]

    def say(self, text: str, role: str = "user", **options: Any) -> str:
        return self.commit("append", {"content_type": "dialogue", "role": role, "text": text}, **options)

    def edit(self, target: str, text: str, role: str = "user", **options: Any) -> str:
        content = {"content_type": "dialogue", "role": role, "text": text}
        return self.commit("edit", content, targets=[target], **options)

    def annotate(self, target: str, priority: str) -> str:
        return self.commit("annotate", targets=[target], priority=priority)

    def summarize(self, targets: list[str], text: str, **options: Any) -> str:
        content = {"content_type": "dialogue", "role": "system", "text": text}
        return self.commit("summarize", content, targets=targets, **options)

    def message(self, **message: Any) -> str:
        return self.commit("append", {"content_type": "message", "message": message})

    def tract(self) -> ReferenceTract:
        return ReferenceStore(self.path).tract("default")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def texts_of(tract: ReferenceTract, head: str, **options: Any) -> list[Any]:
    return [message["content"] for message in tract.compile(head, **options).messages]


def test_appends_compile_in_order_with_their_configs_and_tokens(store: Store) -> None:
    one, two = store.say("hello"), store.say("answer me", "assistant", config={"model": "m"})
    compiled = store.tract().compile(two)
    assert compiled.messages == [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "answer me"}]
    assert compiled.commit_hashes == [one, two]
    assert compiled.generation_configs == [{}, {"model": "m"}]
    assert compiled.token_count == 3 + (3 + 1 + 2) + (3 + 3 + 3)
    assert store.tract().branches() == {"main": {two}}
    assert store.tract().log(two) == [two, one]


def test_an_edit_stands_in_its_targets_place_and_falls_back_to_its_config(store: Store) -> None:
    one, _ = store.say("first", config={"n": 1}), store.say("second")
    last = store.edit(one, "first again", "system")
    assert store.tract().compile(last).messages[0] == {"role": "system", "content": "first again"}
    assert store.tract().compile(last).generation_configs == [{"n": 1}, {}]
    emptied = store.edit(one, "third", config={})
    assert store.tract().compile(emptied).generation_configs == [{}, {}]
    assert texts_of(store.tract(), emptied, include_edit_annotations=True) == ["third [edited]", "second"]


def test_a_skipped_edit_does_not_apply_and_a_skipped_target_is_left_out(store: Store) -> None:
    one, _ = store.say("first"), store.say("second")
    store.edit(one, "good")
    bad = store.edit(one, "bad")
    store.annotate(bad, "skip")
    assert texts_of(store.tract(), store.commits[-1]) == ["good", "second"]
    store.annotate(one, "skip")
    assert texts_of(store.tract(), store.commits[-1]) == ["second"]
    assert texts_of(store.tract(), bad) == ["bad", "second"]


def test_a_summary_shows_at_its_first_target_and_hides_its_targets_until_it_is_skipped(store: Store) -> None:
    one, two, three, four = (store.say(text) for text in ("one", "two", "three", "four"))
    summary = store.summarize([three, two], "two and three")
    assert store.tract().compile(summary).commit_hashes == [one, summary, four]
    store.edit(two, "two, edited")
    store.annotate(three, "skip")
    assert texts_of(store.tract(), store.commits[-1]) == ["one", "two and three", "four"]
    store.edit(summary, "both")
    assert texts_of(store.tract(), store.commits[-1]) == ["one", "both", "four"]
    store.annotate(summary, "skip")
    assert texts_of(store.tract(), store.commits[-1]) == ["one", "two, edited", "four"]


def test_a_summary_of_a_summary_stands_for_all_that_this_stands_for(store: Store) -> None:
    one, two, three = (store.say(text) for text in ("one", "two", "three"))
    inner = store.summarize([one], "inner")
    outer = store.summarize([two, inner], "outer")
    assert store.tract().covered(outer, store.tract().linear(outer)) == {one, two, inner}
    store.annotate(inner, "skip")
    assert store.tract().compile(store.commits[-1]).commit_hashes == [outer, three]
    store.annotate(outer, "skip")
    assert store.tract().compile(store.commits[-1]).commit_hashes == [one, two, three]
    store.annotate(inner, "normal")
    assert store.tract().compile(store.commits[-1]).commit_hashes == [inner, two, three]


def test_of_two_summaries_that_share_a_part_the_greater_stands_and_of_equal_ones_the_last(store: Store) -> None:
    one, two, three, four = (store.say(text) for text in ("one", "two", "three", "four"))
    left = store.summarize([one, two], "left")
    right = store.summarize([two, three], "right", parents=[four])
    merge = store.commit("merge", parents=[right, left])
    assert store.tract().compile(merge).commit_hashes == [left, three, four]
    other = store.commit("merge", parents=[left, right])
    assert store.tract().compile(other).commit_hashes == [one, right, four]
    great = store.summarize([two, three, four], "great", parents=[four])
    last = store.commit("merge", parents=[great, left])
    assert store.tract().compile(last).commit_hashes == [one, great]


def test_a_cut_by_time_leaves_out_what_came_later(store: Store) -> None:
    one, two = store.say("first"), store.say("second")
    last = store.annotate(one, "skip")
    assert texts_of(store.tract(), last, at_time=time_text(START_US + 1)) == ["first", "second"]
    assert texts_of(store.tract(), last, at_time=time_text(START_US)) == ["first"]
    assert texts_of(store.tract(), two) == ["first", "second"]


def test_neighbours_of_one_role_and_name_are_joined(store: Store) -> None:
    one, two, three = store.say("a"), store.say("b"), store.say("c", "assistant")
    compiled = store.tract().compile(three, aggregate_same_role=True)
    assert compiled.messages == [{"role": "user", "content": "a\n\nb"}, {"role": "assistant", "content": "c"}]
    assert compiled.message_commits == [[one, two], [three]]
    assert compiled.commit_hashes == [one, two, three]


def test_a_result_goes_with_its_skipped_call(store: Store) -> None:
    call = store.message(role="assistant", content=None, tool_calls=[{"id": "c1"}, {"id": "c2"}])
    first = store.message(role="tool", tool_call_id="c1", content="one")
    second = store.message(role="tool", tool_call_id="c2", content="two")
    assert store.tract().compile(second).commit_count == 3
    assert store.tract().compile(first, full_head=second).commit_count == 0  # the cut parts call and second result
    assert store.tract().compile(first).commit_count == 2  # here no second result was ever made
    last = store.annotate(first, "skip")
    assert store.tract().compile(last).dropped == {call, second}
    assert store.tract().compile(last, orphans="keep").commit_hashes == [call, second]
    with pytest.raises(OrphanedCall):
        store.tract().compile(last, orphans="raise")


def test_calls_and_results_without_each_other_stay(store: Store) -> None:
    store.message(role="tool", tool_call_id="c9", content="no one asked")
    last = store.message(role="assistant", content="", tool_calls=[{"id": "c1"}])
    assert store.tract().compile(last).unanswered == set(store.commits)
    assert store.tract().compile(last).commit_count == 2


def test_a_merge_lists_its_first_parents_history_first(store: Store) -> None:
    root = store.say("root")
    one = store.say("one")
    two = store.commit("append", {"content_type": "reasoning", "text": "two"}, parents=[root])
    merge = store.commit("merge", parents=[two, one])
    assert store.tract().linear(merge) == [root, two, one, merge]


def test_a_usage_is_what_a_plain_compile_says(store: Store) -> None:
    head = store.say("hello")
    counts = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    store.event([{"kind": "usage", "commit": head, **counts}])
    compiled = store.tract().compile(head)
    assert (compiled.token_count, compiled.token_source) == (7, "api:7+2")
    assert store.tract().compile(head, aggregate_same_role=True).token_source == "estimate:utf8/4"


def test_a_file_that_does_not_hash_to_its_name_is_absent(store: Store) -> None:
    head = store.say("hello")
    file = store.path / ".tract" / "objects" / head[:2] / head[2:]
    file.write_bytes(file.read_bytes().replace(b"append", b"merge"))
    assert store.tract().visible == set()
    assert store.tract().pending == set(store.events)
    assert ReferenceStore(store.path).bad == [os.path.join("objects", head[:2], head[2:])]


def test_pack_members_count_like_loose_files(store: Store) -> None:
    head = store.say("hello")
    lines = b""
    for file in sorted((store.path / ".tract").rglob("*")):
        if file.is_file():
            lines += file.read_bytes() + b"\n"
            file.unlink()
    packs = store.path / ".tract" / "packs"
    packs.mkdir()
    (packs / hash_of(lines)).write_bytes(lines)
    assert texts_of(store.tract(), head) == ["hello"]


@pytest.mark.parametrize(
    ("found", "operator", "value", "answer"),
    [
        (1, "=", 1.0, True),
        (1, "=", True, False),
        (True, "=", True, True),
        (1, "!=", "1", False),
        (1, "!=", 2, True),
        (2**53 + 1, "=", float(2**53), False),
        (None, "=", None, True),
        (True, ">=", True, False),
        ("b", ">", "a", True),
        ([1], "!=", 1, False),
    ],
)
def test_values_compare_by_json_type(found: Any, operator: str, value: Any, answer: bool) -> None:
    assert matches(found, operator, value) is answer


def test_a_query_finds_commits_in_order_of_time(store: Store) -> None:
    one = store.say("a", config={"f": {"type": ["x"]}, "t": 1})
    two = store.say("b", config={"t": 1.0})
    store.say("c", config={"t": True})
    store.say("d")
    assert store.tract().query("t", "=", 1) == [one, two]
    assert store.tract().query(("f", "type", 0), "=", "x") == [one]
    with pytest.raises(ValueError, match="Unsupported operator"):
        store.tract().query("t", "~", 1)


def test_payloads_are_shown_indented_with_the_numbers_of_the_format() -> None:
    payload = {"b": [1, 1.0, {}], "a": {"é": None}, "c": [], "d": [1e-5, -1.5e-5, 1e-7, 1e16]}
    assert as_text(payload) == (
        '{\n  "a": {\n    "é": null\n  },\n  "b": [\n    1,\n    1.0,\n    {}\n  ],\n  "c": [],\n'
        '  "d": [\n    0.00001,\n    -0.000015,\n    1e-7,\n    1e+16\n  ]\n}'
    )


def test_tokens_count_each_string_value_and_the_name() -> None:
    assert count_message({"role": "user", "content": "12345", "name": "ann"}) == 3 + 1 + 2 + 1 + 1
    assert count_message({"role": "tool", "content": [{"type": "text", "text": "日本"}]}) == 3 + 1 + 1 + 2
