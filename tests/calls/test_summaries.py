"""Summaries: what may be summarized, how a summary shows, and what becomes of that by later operations."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.lab.states import synced
from tests.lab.talk import Clock, say, texts, user
from tract_fs import (
    CommitInfo,
    CompiledContext,
    CompileOptions,
    DialogueContent,
    HistoryEntry,
    InstructionContent,
    Message,
    MessageContent,
    OutputContent,
    ReasoningContent,
    TokenBudgetConfig,
    ToolIOContent,
    Tract,
    TractConfig,
)
from tract_fs.errors import (
    ArgumentError,
    BranchNotFound,
    BudgetExceeded,
    ClosedError,
    CommitNotFoundError,
    ContentValidationError,
    HeadMoved,
    JsonValueError,
    OrphanedToolCall,
    ReadOnlyError,
    SummarizeError,
)
from tract_fs.model.compiler import ContextState
from tract_fs.work.reader import TractReader


@pytest.fixture
def t(tmp_path: Path) -> Iterator[Tract]:
    with open_at(tmp_path) as opened:
        yield opened


def open_at(path: Path, **options: Any) -> Tract:
    return Tract.open(path, durability="fast", clock=Clock(), **options)


def pairs(t: Tract) -> list[tuple[str, str]]:
    """Returns who says what."""
    return [(message.role, message.content) for message in t.compile().messages]


# how a summary shows


def test_a_summary_shows_in_the_place_of_the_first_commit_that_it_stands_for(t: Tract) -> None:
    a, b, c, d = say(t, "a", "b", "c", "d")
    made = t.summarize([b, c], "b and c")
    assert pairs(t) == [("user", "a"), ("system", "b and c"), ("user", "d")]
    assert t.compile().commit_hashes == [a, made.commit_hash, d]
    assert (made.operation, made.targets, made.content_type) == ("summarize", (b, c), "dialogue")
    assert t.head == made.commit_hash
    assert [info.commit_hash for info in t.log(None)] == [made.commit_hash, d, c, b, a]


def test_all_lists_follow_the_shown_order_and_the_tokens_are_those_of_what_is_shown(t: Tract) -> None:
    a = t.commit(user("aaaa"), generation_config={"n": 1}).commit_hash
    b = t.commit(user("bbbb"), generation_config={"n": 2}).commit_hash
    c = t.commit(user("cccc"), generation_config={"n": 3}).commit_hash
    s = t.summarize([a, b], user("sssssss"), generation_config={"n": 4}, message="shorter").commit_hash
    context = t.compile()
    assert context.commit_hashes == [s, c]
    assert context.generation_configs == [{"n": 4}, {"n": 3}]
    assert [message.commit_hashes for message in context.messages] == [(s,), (c,)]
    assert (context.commit_count, context.token_count) == (2, 3 + (3 + 1 + 2) + (3 + 1 + 1))
    assert (t.log(1)[0].message, t.log(1)[0].token_count) == ("shorter", 6)
    assert [info.commit_hash for info in t.query_by_config("n", "=", 4)] == [s]


def test_an_append_after_a_summary_shows_last_and_compiles_nothing_anew(
    t: Tract, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = say(t, "a", "b", "c")
    t.summarize([a, b], "s")
    call = t.commit(ToolIOContent("search", "call", {}, call_id="c1")).commit_hash
    assert texts(t)[:2] == ["s", "c"]

    def fail(*_: object) -> None:
        raise AssertionError("compiled anew")

    monkeypatch.setattr(ContextState, "_compile", fail)
    result = t.commit(ToolIOContent("search", "result", {}, call_id="c1")).commit_hash
    (d,) = say(t, "d")
    assert t.compile().commit_hashes[1:] == [c, call, result, d]
    assert t.compile().messages[-1].content == "d"


def test_pinned_commits_stay_verbatim_and_in_order(t: Tract) -> None:
    rules = t.commit(InstructionContent(text="be brief")).commit_hash
    a, b, c, d = say(t, "a", "b", "c", "d")
    t.annotate(b, "pinned")
    made = t.summarize(first=rules, last=c, content="a, c")
    assert made.targets == (a, c)
    assert texts(t) == ["be brief", "a, c", "b", "d"]
    assert t.compile().commit_hashes == [rules, made.commit_hash, b, d]


def test_pinned_commits_go_where_that_is_asked_for(t: Tract) -> None:
    rules = t.commit(InstructionContent(text="be brief")).commit_hash
    (a,) = say(t, "a")
    assert t.summarize([rules, a], "all", keep_pinned=False).targets == (rules, a)
    assert texts(t) == ["all"]


def test_a_pin_that_was_taken_back_keeps_nothing(t: Tract) -> None:
    rules = t.commit(InstructionContent(text="be brief")).commit_hash
    t.annotate(rules, "normal")
    assert t.summarize([rules], "rules").targets == (rules,)


def test_edits_and_annotations_of_covered_commits_have_no_effect_until_the_summary_is_skipped(t: Tract) -> None:
    a, b, c, d = say(t, "a", "b", "c", "d")
    s = t.summarize([a, b, c], "s").commit_hash
    edit = t.edit(a, user("a, edited"), generation_config={"n": 1}).commit_hash
    t.annotate(b, "skip")
    t.annotate(c, "pinned")
    assert texts(t) == ["s", "d"]
    assert t.compile().generation_configs == [{}, {}]
    t.annotate(s, "skip")
    assert texts(t) == ["a, edited", "c", "d"]
    assert t.compile().commit_hashes == [a, c, d]
    assert t.compile().generation_configs == [{"n": 1}, {}, {}]
    t.annotate(s, "normal")
    assert texts(t) == ["s", "d"]
    t.annotate(edit, "skip")
    t.annotate(s, "skip")
    assert texts(t) == ["a", "c", "d"]


def test_a_summary_that_is_pinned_stands_as_any(t: Tract) -> None:
    a, _ = say(t, "a", "b")
    s = t.summarize([a], "s").commit_hash
    t.annotate(s, "pinned")
    assert texts(t) == ["s", "b"]
    with pytest.raises(SummarizeError):
        t.summarize([s], "s, again")


def test_a_summary_of_summaries_hides_all_that_these_stand_for(t: Tract) -> None:
    a, b, c, d, e = say(t, "a", "b", "c", "d", "e")
    one = t.summarize([b], "one").commit_hash
    two = t.summarize([c, d], "two").commit_hash
    assert texts(t) == ["a", "one", "two", "e"]
    both = t.summarize([one, two], "both")
    assert both.targets == (one, two)
    assert t.compile().commit_hashes == [a, both.commit_hash, e]
    t.annotate(both.commit_hash, "skip")
    assert t.compile().commit_hashes == [a, one, two, e]


def test_a_summary_shows_where_a_summary_that_it_stands_for_showed_first(t: Tract) -> None:
    a, b = say(t, "a", "b")
    t.annotate(b, "pinned")
    (c,) = say(t, "c")
    one = t.summarize([a], "one").commit_hash
    assert t.compile().commit_hashes == [one, b, c]
    both = t.summarize([c, one], "both")
    assert both.targets == (c, one)
    assert t.compile().commit_hashes == [both.commit_hash, b]


def test_a_skip_of_a_covered_summary_has_no_effect_until_the_covering_one_is_skipped(t: Tract) -> None:
    a, b, _ = say(t, "a", "b", "c")
    inner = t.summarize([a, b], "inner").commit_hash
    outer = t.summarize([inner], "outer").commit_hash
    t.annotate(inner, "skip")
    assert texts(t) == ["outer", "c"]
    t.annotate(outer, "skip")
    assert texts(t) == ["a", "b", "c"]
    t.annotate(inner, "normal")
    assert texts(t) == ["inner", "c"]


def test_an_edit_of_a_summary_replaces_its_text_in_its_place(t: Tract) -> None:
    a, b, c = say(t, "a", "b", "c")
    s = t.summarize([a, b], "s", generation_config={"n": 1}).commit_hash
    edit = t.edit(s, user("better")).commit_hash
    assert pairs(t) == [("user", "better"), ("user", "c")]
    assert t.compile().commit_hashes == [s, c]
    assert t.compile().generation_configs == [{"n": 1}, {}]
    assert texts(t, include_edit_annotations=True) == ["better [edited]", "c"]
    t.annotate(edit, "skip")
    assert pairs(t) == [("system", "s"), ("user", "c")]
    assert t.edit(edit, user("best")).targets == (s,)
    assert pairs(t) == [("user", "best"), ("user", "c")]


def test_what_was_skipped_before_stays_covered_when_it_is_brought_back(t: Tract) -> None:
    a, b, _ = say(t, "a", "b", "c")
    t.annotate(a, "skip")
    s = t.summarize([a, b], "s").commit_hash
    t.annotate(a, "normal")
    assert texts(t) == ["s", "c"]
    t.annotate(s, "skip")
    assert texts(t) == ["a", "b", "c"]


# tool calls


def tool(direction: Any, call_id: str) -> ToolIOContent:
    return ToolIOContent("search", direction, {}, call_id=call_id)


def test_a_tool_pair_that_the_edge_of_a_summary_separates_is_dropped_with_a_warning(t: Tract) -> None:
    (a,) = say(t, "a")
    call = t.commit(tool("call", "c1")).commit_hash
    result = t.commit(tool("result", "c1")).commit_hash
    (b,) = say(t, "b")
    s = t.summarize([a, call], "s").commit_hash
    context = t.compile()
    assert context.commit_hashes == [s, b]
    assert context.warnings == [f"commit {result} is left out with the other half of its tool call"]
    assert t.compile(orphans="keep").commit_hashes == [s, result, b]
    with pytest.raises(OrphanedToolCall) as caught:
        t.compile(orphans="raise")
    assert caught.value.commits == (result,)
    t.annotate(s, "skip")
    assert t.compile().commit_hashes == [a, call, result, b]
    assert t.compile().warnings == []


def test_a_tool_pair_inside_a_summary_is_hidden_without_a_warning(t: Tract) -> None:
    call = t.commit(tool("call", "c1")).commit_hash
    result = t.commit(tool("result", "c1")).commit_hash
    (b,) = say(t, "b")
    s = t.summarize(first=call, last=result, content="s").commit_hash
    assert t.compile().commit_hashes == [s, b]
    assert t.compile().warnings == []
    assert t.compile(orphans="raise").commit_hashes == [s, b]


def test_a_result_that_comes_after_its_call_was_summarized_is_dropped(t: Tract) -> None:
    call = t.commit(tool("call", "c1")).commit_hash
    s = t.summarize([call], "s").commit_hash
    assert texts(t) == ["s"]
    result = t.commit(tool("result", "c1")).commit_hash
    assert t.compile().commit_hashes == [s]
    assert t.compile(orphans="keep").commit_hashes == [s, result]


def test_a_call_that_is_still_open_draws_no_warning_by_a_summary_that_shows_before_it(t: Tract) -> None:
    (a,) = say(t, "a")
    t.commit(tool("call", "c1"))
    t.summarize([a], "s")
    assert t.compile().warnings == []
    say(t, "b")
    assert len(t.compile().warnings) == 1


def test_a_summary_that_answers_a_call_is_paired_as_an_append(t: Tract) -> None:
    (a,) = say(t, "a")
    call = t.commit(tool("call", "c1")).commit_hash
    s = t.summarize([a], tool("result", "c1")).commit_hash
    assert t.compile().commit_hashes == [s, call]
    assert t.compile(at_commit=call).commit_hashes == [a]  # the cut parts the pair
    t.annotate(s, "skip")
    assert t.compile().commit_hashes == [a]


# cuts and options


def test_a_cut_before_a_summary_shows_what_it_stands_for(t: Tract) -> None:
    a, b, c = say(t, "a", "b", "c")
    made = t.summarize([a, b], "s")
    say(t, "d")
    t.annotate(made.commit_hash, "skip")
    assert texts(t, at_commit=c) == ["a", "b", "c"]
    assert texts(t, at_commit=made.commit_hash) == ["s", "c"]
    assert texts(t, at_time=t.log(None)[2].created_at) == ["s", "c"]
    assert texts(t, at_time=t.log(None)[3].created_at) == ["a", "b", "c"]
    assert texts(t) == ["a", "b", "c", "d"]


def test_neighbours_of_one_role_are_joined_in_the_shown_order(t: Tract) -> None:
    a, b, c = say(t, "a", "b", "c")
    s = t.summarize([b], user("s")).commit_hash
    (d,) = say(t, "d")
    context = t.compile(aggregate_same_role=True)
    assert [message.content for message in context.messages] == ["a\n\ns\n\nc\n\nd"]
    assert context.messages[0].commit_hashes == (a, s, c, d)
    assert context.commit_hashes == [a, s, c, d]
    assert texts(t, aggregate_same_role=True, at_commit=c) == ["a\n\nb\n\nc"]


def test_a_summary_that_calls_a_tool_is_paired_as_an_append(t: Tract) -> None:
    (a,) = say(t, "a")
    call = {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "type": "function", "function": {}}]}
    s = t.summarize([a], MessageContent(call)).commit_hash
    result = t.commit(MessageContent({"role": "tool", "tool_call_id": "c1", "content": "x"})).commit_hash
    assert t.compile().commit_hashes == [s, result]
    t.annotate(s, "skip")
    assert t.compile().commit_hashes == [a]
    assert t.compile(at_commit=s).commit_hashes == []  # the cut parts the pair


class Recorder:
    """A compiler that keeps what it gets."""

    def __init__(self) -> None:
        self.history: Sequence[HistoryEntry] = ()

    def compile(self, history: Sequence[HistoryEntry], options: CompileOptions) -> CompiledContext:
        self.history = history
        return CompiledContext([], [], [], 0, "none")


def test_a_custom_compiler_gets_the_summaries_as_commits(tmp_path: Path) -> None:
    recorder = Recorder()
    with open_at(tmp_path, compiler=recorder) as t:
        a, b = say(t, "a", "b")
        t.summarize([a, b], "s")
        t.compile()
    last = recorder.history[-1]
    assert (last.commit.operation, last.commit.targets) == ("summarize", (a, b))
    assert last.content == DialogueContent(role="system", text="s")


# what may be summarized


def test_targets_are_stored_once_and_in_history_order(t: Tract) -> None:
    a, _, c = say(t, "a", "b", "c")
    assert t.summarize([c, a, c[:10], a, "main"], "s").targets == (a, c)
    assert texts(t) == ["s", "b"]


def test_a_stretch_is_of_the_shown_context(t: Tract) -> None:
    a, b, c, d = say(t, "a", "b", "c", "d")
    t.edit(b, user("b, edited"))
    t.annotate(c, "skip")
    one = t.summarize([a], "one").commit_hash
    (e,) = say(t, "e")
    two = t.summarize(first=one, last=d, content="two")
    assert two.targets == (b, d, one)
    assert t.compile().commit_hashes == [two.commit_hash, e]
    t.annotate(c, "normal")
    assert texts(t) == ["two", "c", "e"]


def test_a_stretch_of_one_is_one(t: Tract) -> None:
    a, b = say(t, "a", "b")
    assert t.summarize(first=b[:8], last="main", content="s").targets == (b,)
    assert texts(t) == ["a", "s"]
    assert a == t.compile().commit_hashes[0]


def refused(t: Tract, path: Path, error: type[Exception], *arguments: Any, **options: Any) -> str:
    """Returns what is said when a summary is refused, and checks that nothing was written and no text asked for."""
    asked: list[object] = []
    before = synced(path), t.head
    with pytest.raises(error) as caught:
        t.summarize(*arguments, **{"content": lambda messages: asked.append(messages) or "s", **options})
    assert (synced(path), t.head) == before
    assert asked == []
    return str(caught.value)


def test_what_has_no_content_of_its_own_is_refused_by_name(t: Tract, tmp_path: Path) -> None:
    a, b = say(t, "a", "b")
    edit = t.edit(a, user("a, edited")).commit_hash
    note = t.annotate(a, "normal").commit_hash
    assert note is not None
    told = refused(t, tmp_path, SummarizeError, [b, edit])
    assert told == (
        f"can't summarize '{edit}': it is of operation edit; summarize the commit that it is about; nothing was written"
    )
    assert f"'{note}': it is of operation annotate" in refused(t, tmp_path, SummarizeError, [note, b])


def test_unknown_commits_are_refused(t: Tract, tmp_path: Path) -> None:
    a, _ = say(t, "a", "b")
    with open_at(tmp_path, branch="side") as side:
        (elsewhere,) = say(side, "elsewhere")
    t.refresh()
    for ref in ("0" * 64, "nowhere", elsewhere, None, 7):
        refused(t, tmp_path, CommitNotFoundError, [a, ref])
        if ref is not None:
            refused(t, tmp_path, CommitNotFoundError, first=a, last=ref)


def test_nothing_to_stand_for_is_refused(t: Tract, tmp_path: Path) -> None:
    rules = t.commit(InstructionContent(text="be brief")).commit_hash
    assert "no commits were given" in refused(t, tmp_path, SummarizeError, [])
    expected = "nothing to summarize: all of these commits are pinned; pass keep_pinned=False; nothing was written"
    assert refused(t, tmp_path, SummarizeError, [rules]) == expected
    assert "all of these commits are pinned" in refused(t, tmp_path, SummarizeError, first=rules, last=rules)


def test_a_reverted_summary_and_what_is_covered_already_are_refused(t: Tract, tmp_path: Path) -> None:
    a, b, c = say(t, "a", "b", "c")
    inner = t.summarize([a], "inner").commit_hash
    outer = t.summarize([inner, b], "outer").commit_hash
    for covered in (a, inner, b):
        told = refused(t, tmp_path, SummarizeError, [c, covered])
        assert f"can't summarize '{covered}': the summary {outer} stands for it already" in told
    t.annotate(outer, "skip")
    assert f"'{outer}': this summary is reverted" in refused(t, tmp_path, SummarizeError, [outer])
    assert f"'{a}': the summary {inner} stands for it already" in refused(t, tmp_path, SummarizeError, [a])
    assert t.summarize([b, inner], "again").targets == (b, inner)


def test_a_stretch_needs_two_shown_ends_in_order(t: Tract, tmp_path: Path) -> None:
    a, b, c = say(t, "a", "b", "c")
    edit = t.edit(a, user("a, edited")).commit_hash
    t.annotate(b, "skip")
    assert f"'{b}': the context does not show it" in refused(t, tmp_path, SummarizeError, first=a, last=b)
    assert f"'{edit}': the context does not show it" in refused(t, tmp_path, SummarizeError, first=edit, last=c)
    assert f"it comes after {a}" in refused(t, tmp_path, SummarizeError, first=c, last=a)


def test_commits_or_both_ends_are_given(t: Tract, tmp_path: Path) -> None:
    a, b = say(t, "a", "b")
    for arguments in ({}, {"first": a}, {"last": a}, {"commits": [a], "first": a, "last": b}, {"commits": a}):
        refused(t, tmp_path, ArgumentError, **arguments)
    refused(t, tmp_path, ArgumentError, 7)


def test_bad_content_config_and_message_are_refused(t: Tract, tmp_path: Path) -> None:
    (a,) = say(t, "a")
    refused(t, tmp_path, ArgumentError, [a], message=7)
    refused(t, tmp_path, ArgumentError, [a], generation_config="hot")
    refused(t, tmp_path, JsonValueError, [a], generation_config={"n": float("nan")})
    for content in (None, 7, {"content_type": "nothing"}, DialogueContent):
        refused(t, tmp_path, ContentValidationError, [a], content=content)
        if content is not DialogueContent:
            refused(t, tmp_path, ContentValidationError, [a], content=lambda messages, made=content: made)


def test_a_head_that_moved_is_refused_before_the_text_is_asked_for(t: Tract, tmp_path: Path) -> None:
    a, b = say(t, "a", "b")
    refused(t, tmp_path, HeadMoved, [a], expected_head=a)
    assert t.summarize([a], "s", expected_head=b).parent_hash == b


def test_a_handle_that_can_not_write_refuses(tmp_path: Path) -> None:
    with open_at(tmp_path) as t:
        (a,) = say(t, "a")
    with open_at(tmp_path, read_only=True) as reader:
        refused(reader, tmp_path, ReadOnlyError, [a])
    with pytest.raises(ClosedError):
        t.summarize([a], "s")
    with pytest.raises(ClosedError):
        t.expand(a)


# the content


@pytest.mark.parametrize(
    ("content", "role", "text"),
    [
        ("said", "system", "said"),
        (ReasoningContent(text="thought"), "assistant", "thought"),
        ({"content_type": "dialogue", "role": "user", "text": "told"}, "user", "told"),
        (lambda messages: f"{len(messages)} messages", "system", "2 messages"),
        (lambda messages: OutputContent(text="".join(m.content for m in messages)), "assistant", "ab"),
    ],
)
def test_the_content_is_a_text_or_a_content_or_asked_for(t: Tract, content: Any, role: str, text: str) -> None:
    a, b = say(t, "a", "b")
    t.summarize([b, a], content)
    assert pairs(t) == [(role, text)]


def test_a_callable_gets_the_messages_as_they_show(t: Tract) -> None:
    a, b, c, _ = say(t, "a", "b", "c", "d")
    t.edit(a, user("a, edited"))
    t.annotate(b, "skip")
    t.commit(InstructionContent(text="kept"))
    asked: list[list[Message]] = []
    t.summarize([c, b, a], lambda messages: asked.append(messages) or "s")
    assert [[(m.role, m.content, m.commit_hashes) for m in messages] for messages in asked] == [
        [("user", "a, edited", (a,)), ("user", "c", (c,))]
    ]


def test_what_a_callable_raises_passes_through_and_nothing_is_written(t: Tract, tmp_path: Path) -> None:
    (a,) = say(t, "a")
    before = synced(tmp_path)

    def fail(messages: list[Message]) -> str:
        raise ZeroDivisionError(len(messages))

    with pytest.raises(ZeroDivisionError):
        t.summarize([a], fail)
    assert synced(tmp_path) == before
    say(t, "b")
    assert texts(t) == ["a", "b"]


def test_a_callable_is_asked_with_nothing_locked(t: Tract, tmp_path: Path) -> None:
    (a,) = say(t, "a")

    def ask(messages: list[Message]) -> str:
        with open_at(tmp_path, lock_timeout_s=0.2) as other:  # another writer of the store
            say(other, "by another")
        thread = Thread(target=lambda: say(t, "by a thread"))  # another thread of this handle
        thread.start()
        thread.join(timeout=120)
        assert not thread.is_alive()
        return "s"

    t.summarize([a], ask)
    assert texts(t) == ["s", "by another", "by a thread"]


def test_a_summary_of_messages_that_changed_meanwhile_is_refused(t: Tract, tmp_path: Path) -> None:
    a, b = say(t, "a", "b")
    for change in (
        lambda: t.edit(a, user("a, edited")),
        lambda: t.annotate(b, "pinned"),
        lambda: t.annotate(b, "skip"),
    ):
        moved: list[object] = []
        with pytest.raises(HeadMoved):
            t.summarize([a, b], lambda messages, change=change, moved=moved: moved.append(change()) or "s")
        assert len(moved) == 1
        assert t.log(1)[0].operation != "summarize"


def test_a_given_text_stands_if_the_same_commits_are_still_to_be_summarized(tmp_path: Path) -> None:
    changes: list[Callable[[], object]] = []

    def change(current: int, maximum: int) -> None:  # a budget's callback comes before the lock
        if changes:
            changes.pop()()

    with open_at(tmp_path, config=budget("callback", 1, change)) as t:
        a, b = say(t, "a", "b")
        changes.append(lambda: t.edit(a, user("a, edited")))
        t.summarize([a], user("longer than what it stands for"))
        assert t.log(2)[1].operation == "edit"
        changes.append(lambda: t.annotate(b, "pinned"))
        with pytest.raises(SummarizeError, match="all of these commits are pinned"):
            t.summarize([b], user("longer than what it stands for"))
        (c,) = say(t, "c")
        changes.append(lambda: t.annotate(b, "normal"))
        with pytest.raises(HeadMoved):
            t.summarize([b, c], user("longer than what it stands for"))
        assert t.log(1)[0].operation == "annotate"


def test_a_summary_on_a_deleted_branch_is_refused(t: Tract, tmp_path: Path) -> None:
    say(t, "a")
    t.branch("side")
    t.switch("side")
    (b,) = say(t, "b")
    with open_at(tmp_path) as other:
        other.delete_branch("side", force=True)
    with pytest.raises(BranchNotFound):
        t.summarize([b], "s")


def test_a_branch_has_its_own_summaries(t: Tract) -> None:
    a, b = say(t, "a", "b")
    t.branch("side")
    s = t.summarize([a, b], "s").commit_hash
    t.switch("side")
    assert texts(t) == ["a", "b"]
    with pytest.raises(CommitNotFoundError):
        t.summarize([s], "again")
    t.summarize([b], "only b")
    assert texts(t) == ["a", "only b"]
    assert [info.commit_hash for info in t.expand(s)] == [a, b]
    t.switch("main")
    assert texts(t) == ["s"]


def test_a_revert_of_a_summary_shows_what_it_stood_for(t: Tract) -> None:
    a, b, _ = say(t, "a", "b", "c")
    s = t.summarize([a, b], "s").commit_hash
    t.edit(b, user("b, edited"))
    t.revert(s)
    assert texts(t) == ["a", "b, edited", "c"]


def test_a_handle_at_an_earlier_commit_refuses(t: Tract) -> None:
    a, b = say(t, "a", "b")
    s = t.summarize([a], "s").commit_hash
    assert texts(t.at(b)) == ["a", "b"]
    assert texts(t.at(s)) == ["s", "b"]
    with pytest.raises(ReadOnlyError):
        t.at(b).summarize([b], "s")


# budget


def budget(action: Any, maximum: int, callback: Any = None) -> TractConfig:
    return TractConfig(token_budget=TokenBudgetConfig(max_tokens=maximum, action=action, callback=callback))


def test_a_summary_over_the_budget_is_refused_and_one_that_saves_tokens_is_not(tmp_path: Path) -> None:
    with open_at(tmp_path) as t:
        a, b = say(t, "a" * 40, "b" * 40)
    assert t_tokens(tmp_path) == 3 + 14 + 14
    with open_at(tmp_path, config=budget("reject", 20)) as t:
        before = synced(tmp_path)
        with pytest.raises(BudgetExceeded) as caught:
            t.summarize([a], "s" * 44)
        assert (caught.value.current, caught.value.maximum) == (3 + 16 + 14, 20)
        assert synced(tmp_path) == before
        s = t.summarize([a], "s" * 4).commit_hash  # still over, but less than before
        assert t.compile().token_count == 3 + 6 + 14
        with pytest.raises(BudgetExceeded) as caught:
            t.annotate(s, "skip")  # what it stood for would come back
        assert caught.value.current == 3 + 14 + 14
        t.summarize([s, b], "all")
        assert t.compile().token_count == 3 + 6


def t_tokens(path: Path) -> int:
    with open_at(path) as t:
        return t.compile().token_count


def test_a_budget_warns_and_calls_back_with_what_the_context_would_hold(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[tuple[int, int]] = []
    with open_at(tmp_path, config=budget("callback", 10, lambda *counts: told.append(counts))) as t:
        (a,) = say(t, "aaaa")
        t.summarize([a], user("s" * 40))
        assert told == [(3 + 14, 10)]
    with open_at(tmp_path, config=budget("warn", 10)) as t, caplog.at_level(logging.WARNING, "tract_fs"):
        t.summarize(first="main", last="main", content=user("s" * 80))
    assert [record.getMessage() for record in caplog.records] == [
        "tract default: the context holds 27 tokens, over the budget of 10"
    ]


# batches, handles, processes


def test_a_summary_in_a_batch_is_seen_inside_and_goes_with_it(t: Tract, tmp_path: Path) -> None:
    a, b = say(t, "a", "b")
    before = synced(tmp_path)
    with pytest.raises(ZeroDivisionError), t.batch():
        s = t.summarize([a, b], lambda messages: str(len(messages))).commit_hash
        assert (texts(t), t.head) == (["2"], s)
        assert [info.commit_hash for info in t.expand(s)] == [a, b]
        raise ZeroDivisionError
    assert synced(tmp_path) == before
    assert texts(t) == ["a", "b"]
    with t.batch():
        (c,) = say(t, "c")
        t.summarize([a, c], "s")
        say(t, "d")
        assert texts(t) == ["s", "b", "d"]
    assert texts(t) == ["s", "b", "d"]


def test_two_handles_answer_alike(t: Tract, tmp_path: Path) -> None:
    with open_at(tmp_path) as other:
        a, b, c = say(t, "a", "b", "c")
        assert texts(other) == ["a", "b", "c"]
        s = other.summarize([a, b], "s").commit_hash
        assert texts(t) == ["s", "c"]
        t.edit(a, user("a, edited"))
        t.edit(s, user("better"))
        assert texts(other) == ["better", "c"]
        other.annotate(s, "skip")
        assert texts(t) == ["a, edited", "b", "c"]
        last = t.summarize(first=b, last=c, content="b, c").commit_hash
        assert other.compile() == t.compile()
        assert other.compile().commit_hashes == [a, last]


def test_a_fresh_process_without_local_answers_alike(tmp_path: Path) -> None:
    with open_at(tmp_path) as t:
        a, b, c = say(t, "a", "b", "c")
        inner = t.summarize([a, b], "inner").commit_hash
        t.annotate(b, "pinned")
        outer = t.summarize([inner], "outer", generation_config={"n": 1}).commit_hash
        say(t, "d")
    shutil.rmtree(tmp_path / ".tract" / "local")
    program = (
        "import json, sys; from tract_fs import Tract; t = Tract.open(sys.argv[1], create=False); found = t.compile();"
        "print(json.dumps([[m.content for m in found.messages], found.commit_hashes, found.generation_configs,"
        " [i.commit_hash for i in t.expand(sys.argv[2])]]))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, tmp_path, inner], capture_output=True, check=True, timeout=240
    ).stdout
    messages, commits, configs, expanded = json.loads(told)
    assert messages == ["outer", "c", "d"]
    assert commits[:2] == [outer, c]
    assert configs == [{"n": 1}, {}, {}]
    assert expanded == [a, b]


def test_a_stored_state_goes_on_with_its_summaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_at(tmp_path) as t:
        with t.batch():
            names = say(t, *map(str, range(80)))
            s = t.summarize(names[1:79], "s").commit_hash
        assert texts(t) == ["0", "s", "79"]
    loaded: list[str] = []
    load = TractReader.loaded
    monkeypatch.setattr(TractReader, "loaded", lambda self, *args: loaded.append(args[0]) or load(self, *args))
    with open_at(tmp_path) as t:
        assert texts(t) == ["0", "s", "79"]
        assert loaded == []
        (last,) = say(t, "80")
        assert texts(t) == ["0", "s", "79", "80"]
        assert loaded == [last]
        t.edit(names[5], user("5, edited"))
        t.annotate(s, "skip")
        assert texts(t)[4:7] == ["4", "5, edited", "6"]


# expand


def commits_of(infos: list[CommitInfo]) -> list[str]:
    return [info.commit_hash for info in infos]


def test_expand_lists_what_a_summary_stands_for_in_history_order(t: Tract) -> None:
    a, b, c, d = say(t, "a", "b", "c", "d")
    inner = t.summarize([b, a], "inner").commit_hash
    outer = t.summarize([inner, d], "outer").commit_hash
    assert commits_of(t.expand(inner)) == [a, b]
    assert commits_of(t.expand(outer)) == [d, inner]
    assert t.expand(inner)[0] == t.get_commit(a)
    assert commits_of(t.expand(t.resolve(outer[:12]))) == [d, inner]
    t.annotate(outer, "skip")
    assert commits_of(t.expand(outer)) == [d, inner]
    assert c in t.compile().commit_hashes


def test_expand_of_what_is_no_summary_is_refused(t: Tract) -> None:
    (a,) = say(t, "a")
    with pytest.raises(SummarizeError, match="is of operation append and stands for no others"):
        t.expand(a)
    with pytest.raises(CommitNotFoundError):
        t.expand("0" * 64)
