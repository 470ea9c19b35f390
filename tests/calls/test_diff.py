"""Diffs of two contexts: which messages went, came and changed, by how many tokens, and what a prompt cache loses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tract_fs
from tests.lab.inside import reader_of
from tests.lab.talk import edit_one, say, say_one
from tract_fs import (
    CompiledContext,
    ContextDiff,
    DialogueContent,
    DiffEntry,
    InstructionContent,
    Message,
    MessageContent,
    TokenUsage,
    ToolIOContent,
    Tract,
)
from tract_fs.errors import AmbiguousRefError, ArgumentError, ClosedError, CommitNotFoundError, JsonValueError
from tract_fs.model.diff import compare
from tract_fs.model.tokens import EstimateCounter

COUNTER = EstimateCounter()
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "search", "arguments": "{}"}}],
}


@pytest.fixture
def t() -> Iterator[Tract]:
    with Tract.open(durability="fast") as opened:
        yield opened


def context(*messages: tuple[str, str], configs: list[dict[str, Any]] | None = None) -> CompiledContext:
    """Returns a context of user messages, each given as commit and text."""
    made = [Message("user", text) for _, text in messages]
    return CompiledContext(made, configs or [{} for _ in messages], [commit for commit, _ in messages], 0, "")


def diff(a: CompiledContext, b: CompiledContext) -> ContextDiff:
    return compare(a, b, counter=COUNTER)


def shape(found: ContextDiff) -> list[tuple[str, int | None, int | None, int | None]]:
    """Returns kind, index in a, index in b and moved index of each entry."""
    return [
        (e.kind, None if e.a is None else e.a.index, None if e.b is None else e.b.index, e.moved_index)
        for e in found.entries
    ]


# which messages belong together


def test_a_message_of_a_new_commit_is_added() -> None:
    found = diff(context(("1", "a"), ("2", "b")), context(("1", "a"), ("3", "c"), ("2", "b")))
    assert shape(found) == [("added", None, 1, None)]
    assert (found.count("added"), found.count("removed"), found.count("changed"), found.unchanged_count) == (1, 0, 0, 2)


def test_a_message_that_is_gone_is_removed() -> None:
    found = diff(context(("1", "a"), ("2", "b")), context(("2", "b")))
    assert shape(found) == [("removed", 0, None, None)]
    assert (found.count("added"), found.count("removed"), found.count("changed"), found.unchanged_count) == (0, 1, 0, 1)


def test_a_message_of_one_commit_with_another_text_is_changed() -> None:
    found = diff(context(("1", "a"), ("2", "old")), context(("2", "quite another text")))
    assert shape(found) == [("removed", 0, None, None), ("changed", 1, 0, None)]


def test_an_equal_message_of_another_commit_is_unchanged() -> None:
    found = diff(context(("1", "a"), ("2", "b"), ("3", "c")), context(("1", "a"), ("9", "b"), ("3", "c")))
    assert (found.is_empty, found.unchanged_count, found.first_difference) == (True, 3, None)


def test_a_list_that_was_imported_again_with_one_message_more_has_one_added() -> None:
    found = diff(
        context(("1", "a"), ("2", "b"), ("3", "a"), ("4", "b")),
        context(("5", "a"), ("6", "b"), ("7", "new"), ("8", "a"), ("9", "b")),
    )
    assert shape(found) == [("added", None, 2, None)]


def test_the_commit_decides_before_the_text() -> None:
    found = diff(context(("1", "a"), ("2", "b")), context(("1", "b"), ("2", "a")))
    assert shape(found) == [("changed", 0, 0, None), ("changed", 1, 1, None)]


def test_a_message_that_moved_is_removed_and_added_and_each_tells_of_the_other() -> None:
    found = diff(context(("1", "a"), ("2", "b"), ("3", "c")), context(("2", "b"), ("3", "c"), ("1", "a")))
    assert shape(found) == [("removed", 0, None, 2), ("added", None, 2, 0)]
    assert (found.moved_count, found.unchanged_count, found.token_delta) == (1, 2, 0)


def test_an_equal_message_of_another_commit_can_have_moved() -> None:
    found = diff(context(("1", "a"), ("2", "b"), ("3", "c")), context(("2", "b"), ("3", "c"), ("9", "a")))
    assert shape(found) == [("removed", 0, None, 2), ("added", None, 2, 0)]


def test_a_summary_shows_as_added_where_what_it_covers_is_removed() -> None:
    found = diff(
        context(("1", "a"), ("2", "b"), ("3", "c"), ("4", "d")), context(("1", "a"), ("9", "b and c"), ("4", "d"))
    )
    assert shape(found) == [("removed", 1, None, None), ("removed", 2, None, None), ("added", None, 1, None)]


def test_messages_that_took_one_anothers_place_are_changed_if_half_of_their_words_agree() -> None:
    a = context(("1", "one two three four"), ("2", "same"))
    assert shape(diff(a, context(("8", "one two 3 4"), ("9", "same")))) == [("changed", 0, 0, None)]
    assert shape(diff(a, context(("8", "one 2 3 4"), ("9", "same")))) == [
        ("removed", 0, None, None),
        ("added", None, 0, None),
    ]


def test_messages_of_two_roles_never_take_one_anothers_place() -> None:
    a = CompiledContext([Message("user", "one two")], [{}], ["1"], 0, "")
    b = CompiledContext([Message("assistant", "one two")], [{}], ["2"], 0, "")
    assert shape(diff(a, b)) == [("removed", 0, None, None), ("added", None, 0, None)]


def test_ten_thousand_messages_with_few_differences_take_seconds_at_most() -> None:
    texts = [f"message {n}" for n in range(10_000)]
    shared = [(str(n), text) for n, text in enumerate(texts)]
    edited = [("new", "first"), *shared[:5_000], ("5000", "edited"), *shared[5_001:-1]]
    began = time.process_time()
    assert shape(diff(context(*shared), context(*edited))) == [
        ("added", None, 0, None),
        ("changed", 5_000, 5_001, None),
        ("removed", 9_999, None, None),
    ]
    again = [(f"again {n}", text) for n, text in enumerate([*texts[:3_000], "between", *texts[3_000:]])]
    assert shape(diff(context(*shared), context(*again))) == [("added", None, 3_000, None)]
    same = [(f"same {n}", "ok") for n in range(10_000)]
    assert diff(context(*shared, *same), context(*again, *same[1:])).unchanged_count == 19_999
    assert time.process_time() - began < 60  # a quadratic alignment takes minutes


# what an entry tells


def test_an_edited_message_tells_its_texts_and_the_lines_that_differ(t: Tract) -> None:
    target = say_one(t, "one\ntwo\nthree")
    before = t.head
    edit_one(t, target, "one\n2\nthree")
    (entry,) = t.diff(before).entries
    assert entry.a is not None and entry.b is not None
    assert (entry.a.text, entry.b.text) == ("one\ntwo\nthree", "one\n2\nthree")
    assert entry.text_diff == "@@ -1,3 +1,3 @@\n one\n-two\n+2\n three"
    assert (entry.a.commit_hash, entry.b.commit_hash, entry.role_change) == (target, target, None)
    assert (entry.a.token_count, entry.b.token_count, entry.token_delta) == (8, 7, -1)


def test_a_line_end_at_the_end_is_a_difference() -> None:
    (entry,) = diff(context(("1", "a")), context(("1", "a\n"))).entries
    assert entry.text_diff == "@@ -1 +1,2 @@\n a\n+"


def test_an_added_and_a_removed_message_have_all_their_lines_in_the_text_diff() -> None:
    (added,) = diff(context(), context(("1", "a\nb"))).entries
    (removed,) = diff(context(("1", "a\nb")), context()).entries
    assert (added.text_diff, removed.text_diff) == ("@@ -0,0 +1,2 @@\n+a\n+b", "@@ -1,2 +0,0 @@\n-a\n-b")
    assert (added.a, removed.b, added.token_delta, removed.token_delta) == (None, None, 5, -5)


def test_a_change_of_role_is_told_beside_the_text(t: Tract) -> None:
    target = say_one(t, "same")
    edit_one(t, target, "same", role="system")
    (entry,) = t.diff().entries
    assert (entry.kind, entry.role_change, entry.text_diff) == ("changed", ("user", "system"), "")


def test_a_name_that_changed_shows_in_the_text_diff(t: Tract) -> None:
    target = t.commit(DialogueContent(role="user", text="x", name="ann")).commit_hash
    t.edit(target, DialogueContent(role="user", text="x", name="bob"))
    (entry,) = t.diff().entries
    assert entry.text_diff == (
        '@@ -1,5 +1,5 @@\n {\n   "content": "x",\n-  "name": "ann",\n+  "name": "bob",\n   "role": "user"\n }'
    )


def test_a_message_with_tool_calls_is_compared_as_indented_json(t: Tract) -> None:
    target = t.commit(MessageContent(message={"role": "assistant", "content": "a"})).commit_hash
    t.edit(target, MessageContent(message={"role": "assistant", "content": "a", "tool_calls": []}))
    (entry,) = t.diff().entries
    assert entry.b is not None
    assert entry.b.text == '{\n  "content": "a",\n  "role": "assistant",\n  "tool_calls": []\n}'
    assert entry.text_diff == (
        '@@ -1,4 +1,5 @@\n {\n   "content": "a",\n-  "role": "assistant"\n+  "role": "assistant",\n+  "tool_calls": []\n }'
    )


def test_a_list_of_blocks_is_compared_as_indented_json(t: Tract) -> None:
    def blocks(text: str) -> MessageContent:
        return MessageContent(message={"role": "user", "content": [{"type": "text", "text": text}]})

    target = t.commit(blocks("a")).commit_hash
    t.edit(target, blocks("b"))
    (entry,) = t.diff().entries
    assert [line for line in entry.text_diff.split("\n") if line[0] in "+-"] == [
        '-      "text": "a",',
        '+      "text": "b",',
    ]


def test_a_tool_result_is_compared_by_its_text_and_by_all_of_it_where_the_call_differs(t: Tract) -> None:
    result = {"role": "tool", "tool_call_id": "c1", "content": "found"}
    target = t.commit(MessageContent(message=result)).commit_hash
    t.edit(target, MessageContent(message={**result, "content": "lost"}))
    assert t.diff().entries[0].text_diff == "@@ -1 +1 @@\n-found\n+lost"
    t.edit(target, MessageContent(message={**result, "tool_call_id": "c2"}))
    assert [line for line in t.diff(target).entries[0].text_diff.split("\n") if line[0] in "+-"] == [
        '-  "tool_call_id": "c1"',
        '+  "tool_call_id": "c2"',
    ]


def test_a_tool_call_with_another_id_alone_is_a_change(t: Tract) -> None:
    def call(call_id: str) -> ToolIOContent:
        return ToolIOContent(tool_name="search", direction="call", payload={}, call_id=call_id)

    target = t.commit(call("x")).commit_hash
    t.edit(target, call("y"))
    found = t.diff()
    assert (shape(found), found.first_difference) == ([("changed", 0, 0, None)], 0)
    assert [line for line in found.entries[0].text_diff.split("\n") if line[0] in "+-"] == [
        '-      "id": "x",',
        '+      "id": "y",',
    ]


def test_numbers_that_json_writes_differently_differ(t: Tract) -> None:
    target = t.commit(MessageContent(message={"role": "user", "content": "a", "x": 1})).commit_hash
    t.edit(target, MessageContent(message={"role": "user", "content": "a", "x": True}))
    assert shape(t.diff()) == [("changed", 0, 0, None)]


# generation configs


def test_config_changes_are_told_by_key_path(t: Tract) -> None:
    before = {"model": "m", "top_p": 1, "format": {"type": "json", "strict": True}, "stop": ["a"]}
    after = {"model": "n", "seed": None, "format": {"type": "json", "depth": 2}, "stop": ["a", "b"]}
    target = say_one(t, "x", generation_config=before)
    edit_one(t, target, "x", generation_config=after)
    found = t.diff()
    (entry,) = found.entries
    assert [(c.path, c.kind, c.before, c.after) for c in entry.config_changes] == [
        (("format", "depth"), "added", None, 2),
        (("format", "strict"), "removed", True, None),
        (("model",), "changed", "m", "n"),
        (("seed",), "added", None, None),
        (("stop",), "changed", ["a"], ["a", "b"]),
        (("top_p",), "removed", 1, None),
    ]
    assert (entry.kind, entry.is_config_only, entry.text_diff, entry.token_delta) == ("changed", True, "", 0)
    assert (found.first_difference, found.unchanged_count) == (None, 0)


def test_the_config_of_an_added_message_is_all_added() -> None:
    (entry,) = diff(context(), context(("1", "a"), configs=[{"model": "m", "x": {"y": 1}}])).entries
    assert [(c.path, c.kind, c.after) for c in entry.config_changes] == [
        (("model",), "added", "m"),
        (("x",), "added", {"y": 1}),
    ]


def test_a_config_of_equal_numbers_in_another_writing_is_a_change() -> None:
    (entry,) = diff(context(("1", "a"), configs=[{"t": 1}]), context(("1", "a"), configs=[{"t": 1.0}])).entries
    assert [(c.path, c.before, c.after) for c in entry.config_changes] == [(("t",), 1, 1.0)]


# tokens and the prompt cache


def test_the_totals_are_those_of_compile_and_never_the_providers(t: Tract) -> None:
    say_one(t, "hello there")
    before, counted = t.head, t.compile().token_count
    say_one(t, "and again", role="assistant")
    assert t.compile().token_count == 19
    t.record_usage(TokenUsage(prompt_tokens=999, completion_tokens=1, total_tokens=1000))
    found = t.diff(before)
    assert t.compile().token_count == 999
    assert (found.a.token_count, counted, found.b.token_count, found.token_delta) == (10, 10, 19, 9)
    assert found.token_source == "estimate:utf8/4"


def test_both_sides_are_counted_by_the_counter_of_the_handle() -> None:
    class Words:
        name = "words"

        def count_text(self, text: str) -> int:
            return len(text.split())

    with Tract.open(durability="fast", tokenizer=Words()) as t:
        say_one(t, "one two three")
        say_one(t, "four")
        found = t.diff()
    assert (found.a.token_count, found.b.token_count, found.token_source) == (3 + 1 + 3 + 3, 10 + 3 + 1 + 1, "words")


def test_the_first_difference_is_the_first_message_that_a_provider_sees_differently() -> None:
    a = context(("1", "aaaa"), ("2", "bbbbbbbb"), ("3", "cccc"))
    found = diff(a, context(("1", "aaaa"), ("2", "b"), ("3", "cccc")))
    assert (found.first_difference, found.kept_tokens) == (1, 5)
    assert (found.a.tokens_from_difference, found.b.tokens_from_difference) == (6 + 5, 5 + 5)


def test_equal_lists_lose_nothing() -> None:
    a = context(("1", "aaaa"), ("2", "bbbb"))
    found = diff(a, a)
    assert (found.first_difference, found.kept_tokens, found.is_empty) == (None, 10, True)
    assert (found.a.tokens_from_difference, found.b.tokens_from_difference) == (0, 0)


def test_a_prefix_differs_where_it_ends() -> None:
    a, b = context(("1", "aaaa")), context(("1", "aaaa"), ("2", "bbbb"))
    assert (diff(a, b).first_difference, diff(b, a).first_difference) == (1, 1)
    assert (diff(a, b).a.tokens_from_difference, diff(a, b).b.tokens_from_difference) == (0, 5)
    assert (diff(b, a).a.tokens_from_difference, diff(b, a).b.tokens_from_difference) == (5, 0)


def test_a_message_of_another_commit_keeps_the_prompt_cache() -> None:
    assert diff(context(("1", "a")), context(("9", "a"))).first_difference is None


# which commits are compared


def test_without_refs_the_first_parent_is_compared_with_the_head(t: Tract) -> None:
    first = say_one(t, "one")
    second = say_one(t, "two")
    found = t.diff()
    assert (found.a.commit_hash, found.b.commit_hash, shape(found)) == (first, second, [("added", None, 1, None)])


@pytest.mark.parametrize(
    ("given", "compared", "added_count"),
    [({"a": 0}, (0, 2), 2), ({"b": 1}, (0, 1), 1)],
    ids=["one ref with the head", "b alone with its first parent"],
)
def test_the_ref_that_is_not_given_follows_from_the_other(
    t: Tract, given: dict[str, int], compared: tuple[int, int], added_count: int
) -> None:
    commits = say(t, "one", "two", "three")
    found = t.diff(**{name: commits[place] for name, place in given.items()})
    assert (found.a.commit_hash, found.b.commit_hash) == tuple(commits[place] for place in compared)
    assert found.count("added") == added_count


def test_refs_may_be_prefixes_and_branches(t: Tract) -> None:
    first = say_one(t, "one")
    second = say_one(t, "two")
    found = t.diff("main", first[:12])
    assert (found.a.commit_hash, found.b.commit_hash, shape(found)) == (second, first, [("removed", 1, None, None)])


def test_the_root_is_compared_with_the_empty_context(t: Tract) -> None:
    root = say_one(t, "aaaa")
    found = t.diff()
    assert (found.a.commit_hash, found.b.commit_hash, found.a.message_count) == (None, root, 0)
    assert (found.a.token_count, found.b.token_count, found.token_delta) == (0, 8, 8)
    assert (found.first_difference, [e.token_delta for e in found.entries]) == (0, [5])


def test_an_empty_branch_compares_the_empty_context_with_itself(t: Tract) -> None:
    found = t.diff()
    assert (found.a.commit_hash, found.b.commit_hash, found.is_empty, found.first_difference) == (
        None,
        None,
        True,
        None,
    )


def test_what_only_changes_priorities_shows_as_messages(t: Tract) -> None:
    target = say_one(t, "one")
    t.annotate(target, "skip")
    assert shape(t.diff()) == [("removed", 0, None, None)]


def test_a_side_is_what_compiled_where_it_was_the_head(t: Tract) -> None:
    t.commit(MessageContent(message=CALL))
    t.commit(MessageContent(message={"role": "tool", "tool_call_id": "c1", "content": "found"}))
    found = t.diff()
    assert (shape(found), found.a.message_count, found.first_difference) == ([("added", None, 1, None)], 1, 1)


def test_a_half_that_was_left_out_with_its_other_half_is_explained(t: Tract) -> None:
    call = t.commit(MessageContent(message=CALL)).commit_hash
    result = t.commit(MessageContent(message={"role": "tool", "tool_call_id": "c1", "content": "x"})).commit_hash
    t.annotate(call, "skip")
    found = t.diff()
    assert shape(found) == [("removed", 0, None, None), ("removed", 1, None, None)]
    assert found.warnings == (f"commit {result} is left out with the other half of its tool call",)


def test_inside_a_batch_the_staged_head_is_compared(t: Tract) -> None:
    first = say_one(t, "one")
    with t.batch():
        staged = say_one(t, "two")
        found = t.diff()
    assert (found.a.commit_hash, found.b.commit_hash, found.count("added")) == (first, staged, 1)


@pytest.mark.parametrize("ref", ["nowhere", "0" * 64, "", "abc"])
def test_an_unknown_ref_is_not_found(t: Tract, ref: str) -> None:
    say_one(t, "one")
    for refs in ((ref,), (None, ref), (t.head, ref)):
        with pytest.raises(CommitNotFoundError):
            t.diff(*refs)


@pytest.mark.parametrize("ref", [1, b"main", ["main"], True])
def test_a_ref_that_is_no_string_is_an_argument_error(t: Tract, ref: Any) -> None:
    with pytest.raises(ArgumentError, match="diff: a is"):
        t.diff(ref)
    with pytest.raises(ArgumentError, match="diff: b is"):
        t.diff(None, ref)


def test_an_ambiguous_prefix_is_told(t: Tract, monkeypatch: pytest.MonkeyPatch) -> None:
    def ambiguous(ref: object) -> str:
        raise AmbiguousRefError(ref=ref, count=2)

    monkeypatch.setattr(reader_of(t), "resolve_foreign", ambiguous)
    with pytest.raises(AmbiguousRefError):
        t.diff("abcd")


def test_a_closed_handle_compares_nothing() -> None:
    opened = Tract.open()
    opened.close()
    with pytest.raises(ClosedError):
        opened.diff()


# whose contexts


class _Shouting:
    """A compiler that makes one message of all texts, and names no commit."""

    def compile(self, history: Any, options: Any) -> CompiledContext:
        text = " ".join(entry.content.text.upper() for entry in history)
        return CompiledContext([Message("user", text)], [], [e.commit_hash for e in history], 7, "own")


def test_a_custom_compilers_contexts_are_compared_and_counted_by_the_handle() -> None:
    with Tract.open(durability="fast", compiler=_Shouting()) as t:
        say_one(t, "one")
        say_one(t, "two")
        found = t.diff()
        assert t.compile().token_count == 7
    (entry,) = found.entries
    assert entry.a is not None and entry.b is not None
    assert (entry.kind, entry.a.text, entry.b.text, entry.b.commit_hash) == ("changed", "ONE", "ONE TWO", None)
    assert (found.a.token_count, found.b.token_count) == (3 + 1 + 1 + 3, 3 + 1 + 2 + 3)


def test_a_custom_compilers_config_that_is_no_json_is_named() -> None:
    class Broken:
        def compile(self, history: Any, options: Any) -> CompiledContext:
            return CompiledContext([Message("user", "x")], [{"t": float("nan")}], ["1"], 0, "own")

    with (
        Tract.open(durability="fast", compiler=Broken()) as t,
        pytest.raises(JsonValueError, match=r"generation_configs\[0\]\.t"),
    ):
        t.diff()


# values


def test_nothing_that_is_done_to_a_diff_changes_it(t: Tract) -> None:
    target = t.commit(
        MessageContent(message={"role": "user", "content": [{"type": "text", "text": "a"}]}),
        generation_config={"stop": ["a"]},
    ).commit_hash
    t.edit(target, InstructionContent(text="b"), generation_config={"stop": ["b"], "x": {"y": []}})
    found = t.diff()
    before = found.to_dict()
    (entry,) = found.entries
    assert entry.a is not None and entry.b is not None
    entry.a.message.content[0]["text"] = "changed"
    entry.b.generation_config["x"]["y"].append(1)
    entry.config_changes[0].before.append("changed")
    found.to_dict()["entries"].clear()
    found.to_dict()["entries"][0]["b"]["generation_config"]["x"] = 1
    for owner, field in ((found, "entries"), (entry, "a"), (entry.a, "index"), (entry.config_changes[0], "path")):
        with pytest.raises(AttributeError):
            setattr(owner, field, None)
    assert found.to_dict() == before == t.diff().to_dict()


def test_to_dict_tells_all_in_json_values(t: Tract) -> None:
    target = say_one(t, "aaaa", generation_config={"t": 1})
    first = t.head
    t.annotate(target, "skip")
    second = t.head
    say_one(t, "bbbb")
    third = t.head
    side = {"index": 0, "message": {"role": "user", "content": "aaaa"}, "text": "aaaa", "token_count": 5}
    assert t.diff(first, second).to_dict() == {
        "a": {"commit_hash": first, "message_count": 1, "token_count": 8, "tokens_from_difference": 5},
        "b": {"commit_hash": second, "message_count": 0, "token_count": 0, "tokens_from_difference": 0},
        "entries": [
            {
                "kind": "removed",
                "a": side | {"commit_hash": target, "generation_config": {"t": 1}},
                "b": None,
                "moved_index": None,
                "role_change": None,
                "config_changes": [{"path": ["t"], "kind": "removed", "before": 1, "after": None}],
                "text_diff": "@@ -1 +0,0 @@\n-aaaa",
                "token_delta": -5,
            }
        ],
        "added_count": 0,
        "removed_count": 1,
        "changed_count": 0,
        "moved_count": 0,
        "unchanged_count": 0,
        "token_delta": -8,
        "first_difference": 0,
        "kept_tokens": 0,
        "token_source": "estimate:utf8/4",
        "warnings": [],
    }
    assert t.diff(first, third).to_dict()["added_count"] == 1


@pytest.mark.parametrize("name", ["ConfigChange", "ContextDiff", "DiffEntry", "DiffedContext", "DiffedMessage"])
def test_what_a_diff_is_made_of_is_found_in_the_package(name: str) -> None:
    assert getattr(tract_fs, name).__name__ == name and name in tract_fs.__all__


def test_the_package_has_no_other_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = tract_fs.Nothing


# laws

_texts = st.sampled_from(("a", "b", "one two", "one three", ""))
_configs = st.sampled_from(({}, {"t": 1}, {"t": 2, "x": {"y": 1}}))


@st.composite
def _contexts(draw: st.DrawFn, *, least: int = 0) -> CompiledContext:
    """A context of up to nine messages; commits are few, so that two contexts share some."""
    commits = draw(st.lists(st.sampled_from("123456789"), unique=True, min_size=least))
    roles = st.sampled_from(("user", "assistant"))
    messages = [Message(draw(roles), draw(_texts)) for _ in commits]
    return CompiledContext(messages, [dict(draw(_configs)) for _ in commits], commits, 0, "")


def _pairs_of(made: CompiledContext) -> list[tuple[Any, Any]]:
    return [(m.to_dict(), config) for m, config in zip(made.messages, made.generation_configs, strict=True)]


@given(_contexts())
def test_a_context_does_not_differ_from_itself(a: CompiledContext) -> None:
    found = diff(a, a)
    assert (found.entries, found.unchanged_count, found.first_difference, found.token_delta) == (
        (),
        len(a.messages),
        None,
        0,
    )


@given(_contexts(), _contexts())
def test_the_entries_applied_to_a_give_b(a: CompiledContext, b: CompiledContext) -> None:
    found = diff(a, b)
    new = {e.b.index: (e.b.message.to_dict(), e.b.generation_config) for e in found.entries if e.b is not None}
    gone = {e.a.index for e in found.entries if e.a is not None}
    kept = iter([pair for n, pair in enumerate(_pairs_of(a)) if n not in gone])
    applied = [new[n] if n in new else next(kept) for n in range(found.b.message_count)]
    assert applied == _pairs_of(b)
    assert list(kept) == []
    assert len(a.messages) - len(gone) == found.unchanged_count


@given(_contexts(least=1), _contexts(least=1))
def test_the_token_deltas_sum_to_the_total(a: CompiledContext, b: CompiledContext) -> None:
    found = diff(a, b)
    assert sum(entry.token_delta for entry in found.entries) == found.token_delta


@given(_contexts(), _contexts())
def test_the_tokens_before_and_from_the_first_difference_are_all_there_are(
    a: CompiledContext, b: CompiledContext
) -> None:
    found = diff(a, b)
    for side in (found.a, found.b):
        reply = 3 if side.message_count else 0
        assert found.kept_tokens + side.tokens_from_difference + reply == side.token_count
    first = found.first_difference
    assert a.messages[:first] == b.messages[:first]
    assert first is None or a.messages[first : first + 1] != b.messages[first : first + 1]


def _mirrored(entry: DiffEntry) -> DiffEntry:
    return DiffEntry(entry.b, entry.a, entry.moved_index)


@given(_contexts(), _contexts())
def test_the_diff_the_other_way_round_is_the_mirror_image(a: CompiledContext, b: CompiledContext) -> None:
    there, back = diff(a, b), diff(b, a)
    by_text: Callable[[DiffEntry], str] = repr
    assert sorted(map(_mirrored, there.entries), key=by_text) == sorted(back.entries, key=by_text)
    assert (there.a, there.b, there.first_difference, there.token_delta) == (
        back.b,
        back.a,
        back.first_difference,
        -back.token_delta,
    )


@given(_contexts(), _contexts())
def test_entries_are_in_order_on_both_sides(a: CompiledContext, b: CompiledContext) -> None:
    found = diff(a, b)
    in_a = [e.a.index for e in found.entries if e.a is not None]
    in_b = [e.b.index for e in found.entries if e.b is not None]
    assert in_a == sorted(set(in_a)) and in_b == sorted(set(in_b))


@given(_contexts(), _contexts())
def test_what_moved_is_told_from_both_ends(a: CompiledContext, b: CompiledContext) -> None:
    found = diff(a, b)
    to = {e.a.index: e.moved_index for e in found.entries if e.kind == "removed" and e.a and e.moved_index is not None}
    origins = {
        e.b.index: e.moved_index for e in found.entries if e.kind == "added" and e.b and e.moved_index is not None
    }
    assert {j: i for i, j in to.items()} == origins and len(origins) == found.moved_count
