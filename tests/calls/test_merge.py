"""Merges of real stores: what they compile to, what they write, what they refuse, and how copies come together."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lab.copies import bring_files
from tests.lab.inside import clock_of, log_of, store_of
from tests.lab.states import store_root, synced
from tests.lab.talk import Clock, edit_one, say_one, texts
from tract_fs import (
    CommitOperation,
    DialogueContent,
    InstructionContent,
    Priority,
    TokenBudgetConfig,
    Tract,
    TractConfig,
)
from tract_fs.cli import main
from tract_fs.errors import (
    ArgumentError,
    BranchNotFound,
    BudgetExceeded,
    CommitNotFoundError,
    HeadMoved,
    HistoryIncomplete,
    MergeConflict,
    MergeError,
    ReadOnlyError,
    ResetConflict,
)

START_US = 1_700_000_000_000_000


def open_tract(path: Path, **given: Any) -> Tract:
    options: dict[str, Any] = {"durability": "fast", "clock": Clock(START_US, step_us=1), **given}
    return Tract.open(path, **options)


def sync(*copies: Tract) -> None:
    """Copies files between all, until all have the same."""
    paths = [Path(store_of(copy).layout.context) for copy in copies]
    for _ in range(2):
        for source in paths:
            for target in paths:
                if source != target:
                    bring_files(source, target)
    for copy in copies:
        copy.refresh()


def heads(t: Tract, branch: str = "main") -> list[str]:
    t.refresh()
    return [head.commit for head in log_of(t).view.heads(branch, log_of(t))]


@pytest.fixture
def tract(tmp_path: Path) -> Iterator[Tract]:
    with open_tract(tmp_path / "one") as t:
        yield t


class Pair:
    """Two copies of one store, with a shared beginning."""

    def __init__(self, directory: Path, begin: Callable[[Tract], object]) -> None:
        self.left = open_tract(directory / "left")
        begin(self.left)
        self.left.close()
        shutil.copytree(directory / "left", directory / "right", ignore=shutil.ignore_patterns("local"))
        self.left = open_tract(directory / "left", clock=Clock(START_US + 10_000, step_us=1))
        self.right = open_tract(directory / "right", clock=Clock(START_US + 20_000, step_us=1))

    def sync(self) -> None:
        sync(self.left, self.right)

    def close(self) -> None:
        self.left.close()
        self.right.close()


@contextmanager
def two_copies(begin: Callable[[Tract], object] = lambda t: say_one(t, "hello")) -> Iterator[Pair]:
    with TemporaryDirectory() as directory:
        pair = Pair(Path(directory), begin)
        try:
            yield pair
        finally:
            pair.close()


# a ref


def side_of(t: Tract) -> Tract:
    """Opens another branch at the head of this one."""
    side = open_tract(Path(store_of(t).layout.context), branch="side", clock=clock_of(t))
    if t.head is not None:
        assert side.merge("main").kind == "forward"
    return side


def test_a_branch_without_commits_goes_forward(tract: Tract) -> None:
    head = say_one(tract, "hello")
    side = open_tract(Path(store_of(tract).layout.context), branch="side")
    result = side.merge("main")
    assert (result.kind, result.head, result.commit) == ("forward", head, None)
    assert side.head == head
    assert texts(side) == ["hello"]


def test_a_merge_goes_forward_to_a_descendant(tract: Tract) -> None:
    say_one(tract, "hello")
    side = side_of(tract)
    last = say_one(side, "more")
    result = tract.merge("side", message="not needed")
    assert (result.kind, result.head, result.commit) == ("forward", last, None)
    assert tract.log(None) == side.log(None)
    assert texts(tract) == ["hello", "more"]


def test_a_merge_of_what_is_there_writes_nothing(tract: Tract, tmp_path: Path) -> None:
    first = say_one(tract, "hello")
    head = say_one(tract, "more")
    before = synced(tmp_path / "one")
    for ref in (first, head, "main", None):
        result = tract.merge(ref)
        assert (result.kind, result.head, result.commit) == ("up-to-date", head, None)
    assert synced(tmp_path / "one") == before


def test_a_merge_joins_two_lines(tract: Tract) -> None:
    say_one(tract, "hello")
    side = side_of(tract)
    other = say_one(side, "theirs")
    own = say_one(tract, "ours")
    result = tract.merge("side", message="both")
    assert result.kind == "merge"
    assert result.commit is not None
    assert result.head == tract.head == result.commit.commit_hash
    assert result.commit == tract.get_commit(result.head)
    assert result.commit.operation is CommitOperation.MERGE
    assert result.commit.parents == (own, other)
    assert (result.commit.message, result.commit.content_hash, result.commit.token_count) == ("both", None, 0)
    assert texts(tract) == ["hello", "ours", "theirs"]
    assert next(info.commit_hash for info in tract.log(None)) == result.head
    assert texts(side) == ["hello", "theirs"]
    assert side.merge("main").kind == "forward"


def test_merging_twice_changes_nothing(tract: Tract, tmp_path: Path) -> None:
    say_one(tract, "hello")
    side = side_of(tract)
    say_one(side, "theirs")
    say_one(tract, "ours")
    head = tract.merge("side").head
    before = synced(tmp_path / "one")
    assert tract.merge("side").kind == "up-to-date"
    assert tract.head == head
    assert synced(tmp_path / "one") == before


def test_a_merge_of_an_unknown_ref_is_refused(tract: Tract) -> None:
    say_one(tract, "hello")
    with pytest.raises(CommitNotFoundError):
        tract.merge("nowhere")
    with pytest.raises(ArgumentError):
        tract.merge(7)  # type: ignore[arg-type]


def test_an_empty_branch_has_nothing_to_join(tract: Tract) -> None:
    with pytest.raises(MergeError, match="branch 'main' has no commits"):
        tract.merge()


def test_a_merge_expects_a_head(tract: Tract) -> None:
    say_one(tract, "hello")
    side = side_of(tract)
    say_one(side, "theirs")
    own = say_one(tract, "ours")
    with pytest.raises(HeadMoved):
        tract.merge("side", expected_head="0" * 64)
    assert tract.head == own
    assert tract.merge("side", expected_head=own).kind == "merge"


def test_a_read_only_handle_merges_nothing(tract: Tract, tmp_path: Path) -> None:
    say_one(tract, "hello")
    with open_tract(tmp_path / "one", read_only=True) as reader, pytest.raises(ReadOnlyError):
        reader.merge()


def test_configs_usage_and_queries_go_on_over_a_merge(tract: Tract) -> None:
    say_one(tract, "hello", generation_config={"model": "a"})
    side = side_of(tract)
    say_one(side, "theirs", generation_config={"model": "b"})
    say_one(tract, "ours")
    tract.merge("side")
    assert tract.compile().generation_configs == [{"model": "a"}, {}, {"model": "b"}]
    assert [info.generation_config for info in tract.query_by_config("model", "=", "b")] == [{"model": "b"}]
    told = tract.record_usage({"prompt_tokens": 40, "completion_tokens": 2, "total_tokens": 42})
    assert (told.token_count, told.token_source) == (40, "api:40+2")
    say_one(tract, "after")
    assert texts(tract) == ["hello", "ours", "theirs", "after"]
    with open_tract(Path(store_of(tract).layout.context), verify=True) as again:
        assert again.compile() == tract.compile()


def test_what_one_handle_moved_is_taken_in_once(tract: Tract) -> None:
    say_one(tract, "hello")
    side = side_of(tract)
    last = say_one(side, "more")
    tract.merge("side")
    for t in (tract, side):
        t.refresh()
        assert len(log_of(t).view.event_heads) == 1
        assert [len(moves) for moves in log_of(t).view.branches.values()] == [1, 1]
        assert t.resolve("main") == t.resolve("side") == last


# conflicts


@contextmanager
def in_conflict(kind: str) -> Iterator[tuple[Tract, str]]:
    """Two lines that disagree on one commit: its content, its priority, or both."""
    with TemporaryDirectory() as directory, open_tract(Path(directory)) as t:
        target = say_one(t, "hello", generation_config={"model": "first"})
        side = side_of(t)
        if "edit" in kind:
            edit_one(side, target, "THEIRS", generation_config={"model": "theirs"})
            edit_one(t, target, "OURS", generation_config={"model": "ours"})
        if "priority" in kind:
            side.annotate(target, "skip")
            t.annotate(target, "pinned")
        yield t, target


def test_a_conflict_is_told_and_nothing_is_written() -> None:
    with in_conflict("edit") as (t, target):
        directory = Path(store_of(t).layout.context)
        before, head = synced(directory), t.head
        with pytest.raises(MergeConflict) as caught:
            t.merge("side")
        (conflict,) = caught.value.conflicts
        assert (conflict.kind, conflict.target) == ("edit", target)
        assert (conflict.ours.text, conflict.theirs.text) == ("OURS", "THEIRS")
        assert (conflict.ours.commit, conflict.theirs.commit) == (head, t.resolve("side"))
        assert str(caught.value) == (
            f"the lines disagree on commit {target[:12]}: ours edited it to 'OURS', theirs edited it to 'THEIRS'; "
            "settle each with a resolution ('ours', 'theirs' or a content), or all with prefer 'ours', 'theirs' or 'newer'; nothing was written"
        )
        assert synced(directory) == before
        assert t.head == head


@pytest.mark.parametrize(("side", "text", "model"), [("ours", "OURS", "ours"), ("theirs", "THEIRS", "theirs")])
@pytest.mark.parametrize("by", ["prefer", "resolutions"])
def test_a_side_is_taken_as_an_edit_of_its_own(side: str, text: str, model: str, by: str) -> None:
    with in_conflict("edit") as (t, target):
        result = t.merge("side", prefer=side) if by == "prefer" else t.merge("side", resolutions={target: side})
        assert texts(t) == [text]
        assert t.compile().generation_configs == [{"model": model}]
        (edit,) = result.resolutions
        assert result.commit is not None
        assert (edit.operation, edit.targets, edit.parents) == (
            CommitOperation.EDIT,
            (target,),
            (result.commit.commit_hash,),
        )
        assert edit.generation_config == {"model": model}
        assert result.head == t.head == edit.commit_hash
        assert [conflict.target for conflict in result.conflicts] == [target]
        assert t.merge("side").kind == "up-to-date"


def test_a_content_settles_an_edit() -> None:
    with in_conflict("edit") as (t, target):
        t.merge("side", resolutions={target[:8]: DialogueContent(role="assistant", text="BOTH")})
        assert texts(t) == ["BOTH"]
        assert t.compile().messages[0].role == "assistant"
        assert t.compile().generation_configs == [{"model": "first"}]


@pytest.mark.parametrize(
    ("answer", "level"), [("ours", "pinned"), ("theirs", "skip"), (Priority.NORMAL, "normal"), ("normal", "normal")]
)
def test_a_priority_is_settled_by_an_annotation(answer: Any, level: str) -> None:
    with in_conflict("priority") as (t, target):
        with pytest.raises(MergeConflict, match="ours set it to 'pinned', theirs set it to 'skip'"):
            t.merge("side")
        result = t.merge("side", resolutions={target: answer})
        (annotation,) = result.resolutions
        assert annotation.priority == level
        assert t.get_annotations(target)[-1].priority == level
        assert texts(t) == ([] if level == "skip" else ["hello"])


def test_a_tuple_settles_several_conflicts_of_one_target() -> None:
    with in_conflict("edit and priority") as (t, target):
        with pytest.raises(MergeConflict) as caught:
            t.merge("side", resolutions={target: Priority.NORMAL})
        assert [conflict.kind for conflict in caught.value.conflicts] == ["edit"]
        t.merge("side", resolutions={target: (Priority.NORMAL, "theirs")})
        assert texts(t) == ["THEIRS"]
        assert t.get_annotations(target)[-1].priority is Priority.NORMAL


def test_one_word_settles_all_conflicts_of_a_target() -> None:
    with in_conflict("edit and priority") as (t, target):
        t.merge("side", resolutions={target: "ours"})
        assert texts(t) == ["OURS"]
        assert t.get_annotations(target)[-1].priority is Priority.PINNED


def test_a_resolution_goes_before_the_preference() -> None:
    with in_conflict("edit and priority") as (t, target):
        t.merge("side", prefer="theirs", resolutions={target: Priority.NORMAL})
        assert texts(t) == ["THEIRS"]


@pytest.mark.parametrize(
    ("prefer", "resolutions", "error"),
    [
        ("mine", None, ArgumentError),
        (("ours", "theirs"), None, ArgumentError),
        (7, None, ArgumentError),
        (None, "ours", ArgumentError),
        (None, {"main": "mine"}, ArgumentError),
        (None, {"nothing": "ours"}, MergeError),
        (None, {"main": "ours"}, MergeError),
        (None, {"TARGET": Priority.SKIP}, MergeError),
        (None, {"TARGET": ("ours", "theirs")}, MergeError),
        (None, {"TARGET": ("ours", DialogueContent(role="user", text="x"))}, MergeError),
        (None, {"TARGET": "ours", "SHORT": "ours"}, MergeError),
    ],
)
def test_a_wish_that_fits_nothing_is_refused(prefer: Any, resolutions: Any, error: type[Exception]) -> None:
    with in_conflict("edit") as (t, target):
        if isinstance(resolutions, dict):
            names = {"TARGET": target, "SHORT": target[:10]}
            resolutions = {names.get(ref, ref): answer for ref, answer in resolutions.items()}
        directory = Path(store_of(t).layout.context)
        before = synced(directory)
        with pytest.raises(error):
            t.merge("side", prefer=prefer, resolutions=resolutions)
        assert synced(directory) == before
        assert t.merge("side", prefer="ours").kind == "merge"


def test_a_resolution_where_nothing_is_in_conflict_is_refused(tract: Tract) -> None:
    head = say_one(tract, "hello")
    with pytest.raises(MergeError, match="is in no conflict"):
        tract.merge(resolutions={head: "ours"})


def test_an_edit_here_and_a_skip_there_both_apply(tract: Tract) -> None:
    target = say_one(tract, "hello")
    say_one(tract, "stays")
    side = side_of(tract)
    side.annotate(target, "skip")
    edit_one(tract, target, "OURS")
    tract.merge("side")
    assert texts(tract) == ["stays"]
    tract.annotate(target, "normal")
    assert texts(tract) == ["OURS", "stays"]


def test_criss_cross_merges_that_settled_otherwise_are_settled_by_the_order_of_their_lines() -> None:
    with in_conflict("edit") as (t, target):
        side = open_tract(Path(store_of(t).layout.context), branch="side")
        ours, theirs = str(t.head), str(side.head)
        t.merge(theirs, prefer="ours")
        side.merge(ours, prefer="ours")
        assert (texts(t), texts(side)) == (["OURS"], ["THEIRS"])
        assert t.merge("side").conflicts == ()
        assert texts(t) == ["THEIRS"]
        edit_one(t, target, "BY HAND")
        edit_one(side, target, "BY THE OTHER HAND")
        with pytest.raises(MergeConflict):
            t.merge("side")


# summaries


def sum_up(t: Tract, text: str, *targets: str) -> str:
    content = DialogueContent(role="assistant", text=text)
    return t.summarize(targets, content, keep_pinned=False).commit_hash


@contextmanager
def edited_and_summarised() -> Iterator[tuple[Tract, str, str, str]]:
    """One line edits both commits, the other sums them up; yields the tract, the two, and the summary."""
    with TemporaryDirectory() as directory, open_tract(Path(directory)) as t:
        first, second = say_one(t, "one"), say_one(t, "two")
        side = side_of(t)
        summary = sum_up(side, "SUM", first, second)
        side.annotate(summary, "pinned")
        edit_one(t, first, "EDITED ONE")
        edit_one(t, second, "EDITED TWO")
        yield t, first, second, summary


def recorded(result: Any) -> list[tuple[str, tuple[str, ...], str | None]]:
    return [(info.operation.value, info.targets, info.priority) for info in result.resolutions]


def test_an_edit_of_what_was_summarised_is_told_with_both_texts() -> None:
    with edited_and_summarised() as (t, first, second, _):
        with pytest.raises(MergeConflict) as caught:
            t.merge("side")
        assert [(c.kind, c.target, c.ours.text, c.theirs.text) for c in caught.value.conflicts] == [
            ("summary", first, "EDITED ONE", "SUM"),
            ("summary", second, "EDITED TWO", "SUM"),
        ]
        assert "ours edited it to 'EDITED ONE', theirs summarized it as 'SUM'" in str(caught.value)


@pytest.mark.parametrize(
    ("prefer", "priority", "shown"),
    [("theirs", "pinned", ["SUM"]), ("ours", "skip", ["EDITED ONE", "EDITED TWO"])],
    ids=["the summary stays, with its priority", "the edits win, by a skip of the summary"],
)
def test_either_side_of_a_summary_and_edits_wins_by_an_annotation_of_the_summary(
    prefer: str, priority: str, shown: list[str]
) -> None:
    with edited_and_summarised() as (t, _, _, summary):
        assert recorded(t.merge("side", prefer=prefer)) == [("annotate", (summary,), priority)]
        assert texts(t) == shown


def test_a_content_edits_the_summary() -> None:
    with edited_and_summarised() as (t, first, second, summary):
        content = DialogueContent(role="assistant", text="BETTER")
        result = t.merge("side", resolutions={first: content, second: "theirs"})
        assert recorded(result) == [("edit", (summary,), None), ("annotate", (summary,), "pinned")]
        assert texts(t) == ["BETTER"]


def test_a_summary_can_not_stay_and_go() -> None:
    with edited_and_summarised() as (t, first, second, summary):
        with pytest.raises(MergeError) as caught:
            t.merge("side", resolutions={first: "ours", second: "theirs"})
        assert str(caught.value).startswith(f"summary {summary} is to stay by one resolution and to go by another")


# batches


def test_a_merge_joins_a_batch_and_its_event(tract: Tract, tmp_path: Path) -> None:
    say_one(tract, "hello")
    side = side_of(tract)
    say_one(side, "theirs")
    count = len([name for name in synced(tmp_path / "one") if name.startswith("events/")])
    with tract.batch():
        say_one(tract, "before")
        result = tract.merge("side")
        assert tract.head == result.head
        say_one(tract, "after")
        assert texts(tract) == ["hello", "before", "theirs", "after"]
    assert texts(tract) == ["hello", "before", "theirs", "after"]
    assert len([name for name in synced(tmp_path / "one") if name.startswith("events/")]) == count + 1
    (move,) = (op for op in last_event(tract).branch_ops())
    assert type(move).__name__ == "Merge"
    with open_tract(tmp_path / "one", verify=True) as again:
        assert texts(again) == ["hello", "before", "theirs", "after"]


def last_event(t: Tract) -> Any:
    log = log_of(t)
    (name,) = log.view.event_heads
    return log.event(log.tract, name)


def test_a_batch_that_fails_drops_its_merge(tract: Tract) -> None:
    say_one(tract, "hello")
    side = side_of(tract)
    say_one(side, "theirs")
    own = say_one(tract, "ours")
    with pytest.raises(KeyboardInterrupt), tract.batch():
        tract.merge("side")
        raise KeyboardInterrupt
    assert tract.head == own


def test_a_conflict_inside_a_batch_leaves_the_rest_of_it() -> None:
    with in_conflict("edit") as (t, _):
        with t.batch():
            say_one(t, "before")
            with pytest.raises(MergeConflict):
                t.merge("side")
        assert texts(t) == ["OURS", "before"]


def test_heads_are_joined_inside_a_batch_too() -> None:
    with two_copies() as pair:
        say_one(pair.left, "left")
        say_one(pair.right, "right")
        pair.sync()
        with pair.left.batch():
            say_one(pair.left, "more")
            assert pair.left.merge().kind == "merge"
        assert sorted(texts(pair.left)) == ["hello", "left", "more", "right"]
        pair.sync()
        assert heads(pair.right) == heads(pair.left) == [pair.left.head]


def test_a_head_that_the_batch_has_merged_is_not_joined_again() -> None:
    with two_copies() as pair:
        say_one(pair.left, "left")
        other = say_one(pair.right, "right")
        pair.sync()
        with pair.left.batch():
            assert pair.left.merge(other).kind == "merge"
            assert pair.left.merge().kind == "up-to-date"
        assert heads(pair.left) == [pair.left.head]
        assert texts(pair.left) == ["hello", "left", "right"]


# budget


def with_budget(t: Tract, budget: TokenBudgetConfig) -> Tract:
    return open_tract(Path(store_of(t).layout.context), config=TractConfig(token_budget=budget))


def test_a_merge_over_the_budget_is_refused_before_any_write(tract: Tract, tmp_path: Path) -> None:
    say_one(tract, "hello")
    side = side_of(tract)
    say_one(side, "theirs")
    own = say_one(tract, "ours")
    tokens = tract.compile().token_count
    before = synced(tmp_path / "one")
    with with_budget(tract, TokenBudgetConfig(tokens + 1, "reject")) as limited:
        with pytest.raises(BudgetExceeded) as caught:
            limited.merge("side")
        assert (caught.value.current, caught.value.maximum) == (tokens + 6, tokens + 1)
        assert (limited.head, synced(tmp_path / "one")) == (own, before)
        limited.annotate(own, "skip")
        assert limited.merge("side").kind == "merge"


def test_a_merge_over_the_budget_is_told(tract: Tract, caplog: pytest.LogCaptureFixture) -> None:
    say_one(tract, "hello")
    side = side_of(tract)
    say_one(side, "theirs")
    tokens = tract.compile().token_count
    told: list[tuple[int, int]] = []
    with with_budget(tract, TokenBudgetConfig(tokens, "callback", lambda now, most: told.append((now, most)))) as t:
        assert t.merge("main").kind == "up-to-date"
        assert told == []
        assert t.merge("side").kind == "forward"
    assert told == [(tokens + 6, tokens)]
    say_one(side, "again")
    with with_budget(tract, TokenBudgetConfig(tokens, "warn")) as t, caplog.at_level(logging.WARNING, "tract_fs"):
        t.merge("side")
    assert f"the context holds {tokens + 12} tokens, over the budget of {tokens}" in caplog.text


def test_a_join_that_is_told_of_the_budget_is_still_the_same_files() -> None:
    with two_copies() as pair:
        say_one(pair.left, "left")
        say_one(pair.right, "right")
        pair.sync()
        told: list[tuple[int, int]] = []
        with with_budget(pair.left, TokenBudgetConfig(1, "callback", lambda now, most: told.append((now, most)))) as t:
            head = t.merge().head
        assert len(told) == 1
        assert pair.right.merge().head == head
        paths = [Path(store_of(copy).layout.context) for copy in (pair.left, pair.right)]
        assert synced(paths[0]) == synced(paths[1])


def test_a_callback_may_veto_a_merge_and_use_the_handle(tract: Tract) -> None:
    say_one(tract, "hello")
    side = side_of(tract)
    say_one(side, "theirs")
    own = say_one(tract, "ours")

    class VetoError(Exception):
        pass

    def veto(current: int, maximum: int) -> None:
        assert t.head == own
        raise VetoError

    with with_budget(tract, TokenBudgetConfig(1, "callback", veto)) as t:
        with pytest.raises(VetoError):
            t.merge("side")
        assert t.head == own


# heads


def test_copies_that_join_at_once_write_the_same_files() -> None:
    with two_copies() as pair:
        left, right = say_one(pair.left, "left"), say_one(pair.right, "right")
        pair.sync()
        assert (pair.left.head, pair.right.head) == (left, right)
        results = [pair.left.merge(), pair.right.merge(prefer="theirs")]
        assert [result.kind for result in results] == ["merge", "merge"]
        assert results[0].commit is not None
        assert results[0].commit.parents == (right, left)  # the newer first
        directories = [Path(store_of(copy).layout.context) for copy in (pair.left, pair.right)]
        assert synced(directories[0]) == synced(directories[1])
        assert pair.left.head == pair.right.head == results[0].head
        assert texts(pair.left) == texts(pair.right) == ["hello", "right", "left"]
        before = synced(directories[0])
        pair.sync()
        assert synced(directories[0]) == before
        assert heads(pair.left) == heads(pair.right) == [results[0].head]
        assert [pair.left.merge().kind, pair.right.merge().kind] == ["up-to-date", "up-to-date"]
        say_one(pair.right, "on")
        pair.sync()
        assert texts(pair.left) == ["hello", "right", "left", "on"]


def test_one_join_and_one_sync_make_one_head() -> None:
    with two_copies() as pair:
        say_one(pair.left, "left")
        say_one(pair.right, "right")
        pair.sync()
        head = pair.left.merge(message="by hand").head
        pair.sync()
        assert heads(pair.right) == [head]
        assert len(log_of(pair.right).view.branches["main"]) == 1
        assert pair.right.merge().kind == "up-to-date"
        assert texts(pair.right) == ["hello", "right", "left"]


def test_all_heads_are_joined_at_once() -> None:
    with TemporaryDirectory() as directory:
        copies = [open_tract(Path(directory) / "0")]
        say_one(copies[0], "hello")
        for number in (1, 2):
            shutil.copytree(
                Path(directory) / "0", Path(directory) / str(number), ignore=shutil.ignore_patterns("local")
            )
            copies.append(open_tract(Path(directory) / str(number), clock=Clock(START_US + 1000 * number, step_us=1)))
        made = [say_one(copy, f"of {number}") for number, copy in enumerate(copies)]
        sync(*copies)
        result = copies[1].merge()
        assert result.commit is not None
        assert result.commit.parents == (made[2], made[1], made[0])
        assert texts(copies[1]) == ["hello", "of 2", "of 1", "of 0"]
        assert copies[0].merge().head == copies[2].merge().head == result.head
        for copy in copies:
            copy.close()


def test_joins_with_different_resolutions_diverge_and_the_next_join_asks_nothing() -> None:
    target = ""

    def begin(t: Tract) -> None:
        nonlocal target
        target = say_one(t, "hello")

    with two_copies(begin) as pair:
        edit_one(pair.left, target, "LEFT")
        edit_one(pair.right, target, "RIGHT")
        pair.sync()
        with pytest.raises(MergeConflict) as caught:
            pair.right.merge()
        assert [(c.ours.text, c.theirs.text) for c in caught.value.conflicts] == [("RIGHT", "LEFT")]
        pair.right.merge(prefer="ours")
        clock_of(pair.left).now_us += 1_000_000
        pair.left.merge(prefer="ours")
        assert (texts(pair.left), texts(pair.right)) == (["LEFT"], ["RIGHT"])
        pair.sync()
        assert len(heads(pair.left)) == 2
        assert pair.left.merge().head == pair.right.merge(prefer="ours").head
        assert texts(pair.right) == texts(pair.left) == ["RIGHT"]  # the older head's line comes last
        before = synced(Path(store_of(pair.left).layout.context))
        pair.sync()
        assert synced(Path(store_of(pair.left).layout.context)) == before
        assert heads(pair.left) == heads(pair.right) == [pair.left.head]


def test_a_merge_of_a_ref_leaves_other_heads_alone() -> None:
    with two_copies() as pair:
        say_one(pair.left, "left")
        other = say_one(pair.right, "right")
        pair.sync()
        side = open_tract(Path(store_of(pair.left).layout.context), branch="side")
        say_one(side, "aside")
        pair.left.merge("side")
        assert texts(pair.left) == ["hello", "left", "aside"]
        assert heads(pair.left) == [pair.left.head, other]
        pair.left.merge(other)
        assert heads(pair.left) == [pair.left.head]
        assert texts(pair.left) == ["hello", "left", "aside", "right"]


def test_a_join_that_another_tool_brought_meanwhile_is_written_as_it_is() -> None:
    with two_copies() as pair:
        say_one(pair.left, "left")
        say_one(pair.right, "right")
        pair.sync()
        head = pair.left.merge().head
        paths = [Path(store_of(copy).layout.context) for copy in (pair.left, pair.right)]
        bring_files(*paths)
        assert pair.right.merge().head == head  # before it looked at what came
        assert synced(paths[0]) == synced(paths[1])
        assert heads(pair.right) == [head]
        assert len(log_of(pair.right).view.event_heads) == 1
        with open_tract(paths[1], verify=True) as again:
            assert again.head == head


def three_copies_of_which_one_deletes(directory: Path) -> list[Tract]:
    """Returns three copies of a branch with one commit; the first deletes it, and the others do not know."""
    copies = [open_tract(directory / "0")]
    say_one(copies[0], "hello")
    for number in (1, 2):
        shutil.copytree(directory / "0", directory / str(number), ignore=shutil.ignore_patterns("local"))
        copies.append(open_tract(directory / str(number), clock=Clock(START_US + 1000 * number, step_us=1)))
    copies[0].delete_branch("main", force=True)
    return copies


def test_joins_by_copies_that_know_different_moves_still_end_in_one_head() -> None:
    with TemporaryDirectory() as directory:
        copies = three_copies_of_which_one_deletes(Path(directory))
        say_one(copies[1], "of 1", generation_config={"of": 1})
        say_one(copies[2], "of 2", generation_config={"of": 2})
        sync(copies[1], copies[2])
        sync(copies[0], copies[1])  # the second copy never hears of the delete
        assert copies[1].merge().head == copies[2].merge().head
        events = {str(last_event(copy)) for copy in copies[1:]}
        assert len(events) == 2
        sync(*copies)
        for copy in copies:
            assert heads(copy) == [copies[1].head]
            assert texts(copy) == ["hello", "of 2", "of 1"]
            assert len(copy.log(None)) == 4
            assert len(copy.query_by_config("of", ">", 0)) == 2
            with open_tract(Path(store_of(copy).layout.context), verify=True) as again:
                assert again.compile() == copy.compile()
        say_one(copies[0], "on")
        sync(*copies)
        assert [len(log_of(copy).view.branches["main"]) for copy in copies] == [1, 1, 1]
        for copy in copies:
            copy.close()


def test_a_join_can_be_undone() -> None:
    with two_copies() as pair:
        own = say_one(pair.left, "left")
        say_one(pair.right, "right")
        pair.sync()
        pair.left.merge()
        assert pair.left.undo() == own
        assert texts(pair.left) == ["hello", "left"]


# forks


@contextmanager
def chain_of_three() -> Iterator[tuple[Tract, Tract, Tract]]:
    """A tract, its fork, and the fork's fork; each with a commit of its own."""
    with TemporaryDirectory() as directory, open_tract(Path(directory)) as first:
        say_one(first, "root", generation_config={"of": "root"})
        second = first.fork("second")
        say_one(second, "of second", generation_config={"of": "second"})
        third = second.fork("third")
        say_one(third, "of third", generation_config={"of": "third"})
        yield first, second, third
        second.close()
        third.close()


def test_a_fork_comes_back_by_going_forward() -> None:
    with chain_of_three() as (first, second, _):
        assert first.merge("second:main").kind == "forward"
        assert first.head == second.head
        assert texts(first) == ["root", "of second"]
        assert first.compile().generation_configs == [{"of": "root"}, {"of": "second"}]
        assert first.merge("second:main").kind == "up-to-date"


@pytest.mark.parametrize("is_straight", [True, False])
def test_merges_back_along_a_chain_keep_every_commit(is_straight: bool) -> None:
    with chain_of_three() as (first, second, third):
        say_one(first, "of first", generation_config={"of": "first"})
        say_one(second, "second again")
        if not is_straight:
            assert second.merge("third:main").kind == "merge"
            assert texts(second) == ["root", "of second", "second again", "of third"]
        else:
            assert first.merge("third:main").kind == "merge"
        assert first.merge("second:main").kind == "merge"
        assert sorted(texts(first)) == ["of first", "of second", "of third", "root", "second again"]
        of = {c["of"] for c in first.compile().generation_configs if c}
        assert of == {"root", "first", "second", "third"}
        found = first.query_by_config("of", "=", "third")
        assert [info.commit_hash for info in found] == [third.head]
        say_one(third, "third again")
        say_one(first, "first again")
        assert first.merge("third:main").kind == "merge"
        assert texts(first)[-2:] == ["first again", "third again"]
        assert {info.commit_hash for info in third.log(None)} <= {info.commit_hash for info in first.log(None)}
        with open_tract(Path(store_of(first).layout.context), verify=True) as again:
            assert again.compile() == first.compile()
            assert again.status().pending == ()
        shutil.rmtree(store_root(Path(store_of(first).layout.context)) / "local")
        with open_tract(Path(store_of(first).layout.context)) as again:
            assert again.compile() == first.compile()


def test_a_fork_and_its_origin_can_disagree() -> None:
    with chain_of_three() as (first, second, third):
        root = third.log(None)[-1].commit_hash
        edit_one(third, root, "ROOT of third", generation_config={"of": "edit"})
        edit_one(first, root, "ROOT of first")
        with pytest.raises(MergeConflict) as caught:
            first.merge("third:main")
        assert [(c.ours.text, c.theirs.text) for c in caught.value.conflicts] == [("ROOT of first", "ROOT of third")]
        first.merge("third:main", prefer="theirs")
        assert texts(first) == ["ROOT of third", "of second", "of third"]
        assert first.compile().generation_configs == [{"of": "edit"}, {"of": "second"}, {"of": "third"}]
        assert second.merge("default:main").kind == "forward"
        assert texts(second) == texts(first)


def test_two_lines_of_a_fork_come_back_in_one_batch() -> None:
    with chain_of_three() as (first, _, third):
        say_one(third, "more")
        say_one(first, "of first")
        with first.batch():
            first.merge("third:main~1")
            first.merge("third:main")
            first.merge("second:main")
            assert texts(first) == ["root", "of first", "of second", "of third", "more"]
        assert texts(first) == ["root", "of first", "of second", "of third", "more"]
        parents = [parent for parent in last_event(first).parents if "/" in parent]
        assert len(parents) == len(set(parents)) == 1
        with open_tract(Path(store_of(first).layout.context), verify=True) as again:
            assert again.compile() == first.compile()


def test_a_copy_gets_a_merge_back_only_with_the_fork(tmp_path: Path) -> None:
    with chain_of_three() as (first, _, _):
        say_one(first, "of first")
        first.merge("second:main")
        source = Path(store_of(first).layout.context)
        bring_files(source, tmp_path / "copy")
        with open_tract(tmp_path / "copy") as whole:
            assert texts(whole) == ["root", "of first", "of second"]
        shutil.rmtree(store_root(tmp_path / "copy") / "local")
        shutil.rmtree(store_root(tmp_path / "copy") / "events" / "second")
        with open_tract(tmp_path / "copy") as partial:
            assert len(partial.status().pending) == 1
            with pytest.raises(
                HistoryIncomplete, match=r"events/second/\w+/\w+ \(event\) is missing; 1 commit depends on it"
            ):
                texts(partial)
            bring_files(source, tmp_path / "copy")
            partial.refresh()
            assert texts(partial) == ["root", "of first", "of second"]


# resets and deletes beside commits


@pytest.mark.parametrize("prefer", ["reset", "commits"])
def test_a_reset_beside_commits_asks_which_gives_way(prefer: str) -> None:
    with two_copies(lambda t: (say_one(t, "one"), say_one(t, "two"))) as pair:
        first = pair.left.log(None)[-1].commit_hash
        pair.left.reset(first)
        last = say_one(pair.right, "three")
        pair.sync()
        assert sorted(heads(pair.left)) == sorted([first, last])
        for copy in (pair.left, pair.right):
            with pytest.raises(ResetConflict) as caught:
                copy.merge()
            assert (caught.value.reset, caught.value.commits) == ((first,), (last,))
        results = [pair.left.merge(prefer=prefer), pair.right.merge(prefer=("ours", prefer))]
        expected = ("reset", first) if prefer == "reset" else ("forward", last)
        assert [(result.kind, result.head) for result in results] == [expected, expected]
        assert synced(Path(store_of(pair.left).layout.context)) == synced(Path(store_of(pair.right).layout.context))
        pair.sync()
        assert heads(pair.left) == heads(pair.right) == [expected[1]]
        assert texts(pair.left) == (["one"] if prefer == "reset" else ["one", "two", "three"])
        say_one(pair.left, "on")
        pair.sync()
        assert heads(pair.right) == [pair.left.head]


def test_a_reset_line_that_went_on_is_joined_as_any_other() -> None:
    with two_copies(lambda t: (say_one(t, "one"), say_one(t, "two"))) as pair:
        pair.left.reset(pair.left.log(None)[-1].commit_hash)
        say_one(pair.left, "new two")
        say_one(pair.right, "three")
        pair.sync()
        assert pair.left.merge().kind == "merge"
        assert sorted(texts(pair.left)) == ["new two", "one", "three", "two"]


def test_a_delete_beside_commits_leaves_the_commits() -> None:
    with two_copies() as pair:
        last = say_one(pair.right, "right")
        pair.left.delete_branch("main", force=True)
        pair.sync()
        assert heads(pair.left) == heads(pair.right) == [last]
        assert [pair.left.merge().kind, pair.right.merge().kind] == ["up-to-date", "up-to-date"]
        assert texts(pair.left) == ["hello", "right"]


def test_a_deleted_branch_merges_nothing(tract: Tract) -> None:
    head = say_one(tract, "hello")
    tract.delete_branch("main", force=True)
    for ref in (None, head):
        with pytest.raises(BranchNotFound):
            tract.merge(ref)


def test_a_join_replaces_a_delete_too() -> None:
    with TemporaryDirectory() as directory:
        copies = three_copies_of_which_one_deletes(Path(directory))
        say_one(copies[1], "of 1")
        say_one(copies[2], "of 2")
        sync(*copies)
        assert len(log_of(copies[1]).view.branches["main"]) == 3
        assert copies[1].merge().head == copies[2].merge().head
        sync(*copies)
        assert [len(log_of(copy).view.branches["main"]) for copy in copies] == [1, 1, 1]
        assert texts(copies[0]) == ["hello", "of 2", "of 1"]
        for copy in copies:
            copy.close()


# laws


actions = st.lists(
    st.tuples(st.sampled_from(("append", "append", "edit", "annotate")), st.integers(0, 5), st.integers(0, 3)),
    max_size=5,
)
LAWS = settings(max_examples=60)


def act(t: Tract, script: list[tuple[str, int, int]], name: str) -> None:
    for kind, place, value in script:
        appends = [info.commit_hash for info in t.log(None)[::-1] if info.operation is CommitOperation.APPEND]
        target = appends[place % len(appends)]
        if kind == "append":
            say_one(t, f"{name} {len(appends)}")
        elif kind == "edit":
            edit_one(t, target, f"edit {value}", generation_config={"v": value} if value else None)
        else:
            t.annotate(target, ("skip", "normal", "pinned", "skip")[value])


def begin(t: Tract) -> None:
    t.commit(InstructionContent(text="be brief"))
    say_one(t, "one")
    say_one(t, "two")


def is_below(below: list[str], above: list[str]) -> bool:
    """Tells whether one list is the other with some left out."""
    rest = iter(above)
    return all(item in rest for item in below)


def without(t: Tract, names: list[str]) -> list[str]:
    shown = set(t.compile().commit_hashes)
    return [name for name in names if name in shown]


@LAWS
@given(actions, actions, st.sampled_from(("ours", "theirs")), st.booleans())
def test_a_merge_holds_each_sides_messages_once(
    mine: list[tuple[str, int, int]], other: list[tuple[str, int, int]], prefer: str, is_join: bool
) -> None:
    with two_copies(begin) as pair:
        act(pair.left, mine, "left")
        act(pair.right, other, "right")
        ours, theirs = pair.left.compile(), pair.right.compile()
        pair.sync()
        result = pair.left.merge(None if is_join else pair.right.head, prefer=prefer)
        merged = pair.left.compile()
        names = merged.commit_hashes
        assert len(set(names)) == len(names)
        known = set(ours.commit_hashes) | set(theirs.commit_hashes)
        assert set(names) <= known
        hidden = known - set(names)  # what one side skipped and the other did not un-skip
        for name in hidden:
            assert pair.left.get_annotations(name)[-1].priority is Priority.SKIP
        first, second = (ours, theirs)
        if result.commit is not None and result.commit.parents[0] != pair_head(ours, pair):
            first, second = (theirs, ours)
        assert is_below(without(pair.left, first.commit_hashes), names)
        assert is_below(without(pair.left, second.commit_hashes), names)
        with open_tract(Path(store_of(pair.left).layout.context), verify=True) as again:
            assert again.compile() == merged


def pair_head(context: Any, pair: Pair) -> str:
    """Returns the head of the left copy's line before the merge."""
    merge = next(info for info in pair.left.log(None) if info.operation is CommitOperation.MERGE)
    for parent in merge.parents:
        if pair.left.compile(at_commit=parent).commit_hashes == context.commit_hashes:
            return parent
    raise AssertionError("no parent compiles to what the copy had")


@LAWS
@given(actions, st.lists(st.just(("append", 0, 0)), min_size=1, max_size=4))
def test_the_first_parents_compile_is_a_prefix_where_the_other_only_appended(
    mine: list[tuple[str, int, int]], other: list[tuple[str, int, int]]
) -> None:
    with two_copies(begin) as pair:
        act(pair.left, [("append", 0, 0), *mine], "left")
        act(pair.right, other, "right")
        before = [message.to_dict() for message in pair.left.compile().messages]
        added = [message.to_dict() for message in pair.right.compile().messages][3:]
        pair.sync()
        pair.left.merge(pair.right.head)
        assert [message.to_dict() for message in pair.left.compile().messages] == before + added


@LAWS
@given(actions, actions, st.data())
def test_resolutions_are_obeyed_by_compile(
    mine: list[tuple[str, int, int]], other: list[tuple[str, int, int]], data: st.DataObject
) -> None:
    with two_copies(begin) as pair:
        act(pair.left, [*mine, ("edit", 1, 4)], "left")
        act(pair.right, [*other, ("edit", 1, 5)], "right")
        pair.sync()
        with pytest.raises(MergeConflict) as caught:
            pair.left.merge()
        chosen: dict[str, list[Any]] = {}
        expected: dict[tuple[str, str], str] = {}
        for conflict in caught.value.conflicts:
            answer = data.draw(st.sampled_from(("ours", "theirs", "given")))
            text = {"ours": conflict.ours.text, "theirs": conflict.theirs.text}.get(answer)
            if text is None:
                text = "given" if conflict.kind == "edit" else "normal"
                made = {"edit": DialogueContent(role="user", text="given"), "priority": Priority.NORMAL}
                chosen.setdefault(conflict.target, []).append(made[conflict.kind])
            elif conflict.kind == "edit":
                chosen.setdefault(conflict.target, []).append(DialogueContent(role="user", text=text))
            else:
                chosen.setdefault(conflict.target, []).append(Priority(text))
            expected[conflict.kind, conflict.target] = text
        pair.left.merge(resolutions={target: tuple(answers) for target, answers in chosen.items()})
        context = pair.left.compile()
        shown = {m.commit_hashes[0]: m.content for m in context.messages}
        for (kind, target), text in expected.items():
            if kind == "priority":
                assert pair.left.get_annotations(target)[-1].priority == text
            elif target in shown:
                assert shown[target] == text
        assert pair.left.merge().kind == "up-to-date"


def covered_by(t: Tract, summary: str) -> set[str]:
    """Returns what a summary covers, through the summaries among its targets too."""
    found: list[str] = [summary]
    for name in found:
        info = t.get_commit(name)
        if info is not None and info.operation is CommitOperation.SUMMARIZE:
            found += [target for target in info.targets if target not in found]
    return set(found[1:])


edits_and_summaries = st.lists(
    st.tuples(st.sampled_from(("edit", "summarize", "pin")), st.integers(0, 2), st.integers(1, 3)),
    max_size=3,
)


@LAWS
@given(edits_and_summaries, edits_and_summaries, st.booleans(), st.sampled_from(("ours", "theirs")))
def test_what_is_chosen_of_an_edit_and_a_summary_shows(
    editing: list[tuple[str, int, int]], summing: list[tuple[str, int, int]], is_ours_edited: bool, prefer: str
) -> None:
    with TemporaryDirectory() as directory, open_tract(Path(directory)) as t:
        first = [say_one(t, f"message {number}") for number in range(3)]
        side = side_of(t)
        editor, summer = (t, side) if is_ours_edited else (side, t)
        for line, script in ((editor, [("edit", 1, 1), *editing]), (summer, [("summarize", 0, 2), *summing])):
            for number, (kind, start, count) in enumerate(script):
                shown = line.compile().commit_hashes
                if kind == "edit":
                    edit_one(line, first[start], f"edit {number} of {line.branch}")
                elif kind == "pin":
                    line.annotate(first[start], "pinned")
                else:
                    sum_up(line, f"sum {number} of {line.branch}", *shown[start % len(shown) :][:count])
        result = t.merge("side", prefer=prefer)
        shown = t.compile().commit_hashes
        assert len(shown) == len(set(shown))
        hidden = {name for summary in shown for name in covered_by(t, summary)}
        for conflict in result.conflicts:
            if conflict.kind == "summary":
                chosen = conflict.ours if prefer == "ours" else conflict.theirs
                if chosen.operation is CommitOperation.EDIT:
                    assert conflict.target in shown
                else:
                    assert conflict.target not in shown
                    assert chosen.commit in shown or chosen.commit in hidden
        assert t.merge("side").kind == "up-to-date"


@LAWS
@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(("append", "edit", "merge"))), min_size=1, max_size=10),
)
def test_criss_cross_merges_lose_nothing_and_repeat_nothing(script: list[tuple[bool, str]]) -> None:
    with TemporaryDirectory() as directory, open_tract(Path(directory)) as main:
        target = say_one(main, "hello")
        side = side_of(main)
        said = {target}
        for is_main, kind in script:
            t, other = (main, "side") if is_main else (side, "main")
            if kind == "append":
                said.add(say_one(t, f"{other} {len(said)}"))
            elif kind == "edit":
                edit_one(t, target, f"edit {len(said)} {is_main}")
            else:
                t.merge(other, prefer="ours")
        main.merge("side", prefer="ours")
        names = main.compile().commit_hashes
        assert len(names) == len(set(names))
        assert set(names) == said
        assert main.merge("side").kind == "up-to-date"
        assert side.merge("main").kind in ("forward", "up-to-date")
        assert side.compile() == main.compile()


# the command


class Told(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    """Runs `tract` on a store with a branch `side` that disagrees with `main` on the first commit."""
    with open_tract(tmp_path) as t:
        target = say_one(t, "hello")
        side = side_of(t)
        edit_one(side, target, "THEIRS")
        edit_one(t, target, "OURS")
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Told:
        code = main([argument.replace("TARGET", target[:12]) for argument in arguments])
        return Told(code, *capfd.readouterr())

    return call


def compiled(path: Path) -> list[str]:
    with open_tract(path) as t:
        return texts(t)


def test_the_command_tells_of_conflicts(run: Callable[..., Told], tmp_path: Path) -> None:
    told = run("merge", "side")
    assert (told.code, told.out) == (1, "")
    assert "ours edited it to 'OURS', theirs edited it to 'THEIRS'" in told.err
    told = run("merge", "side", "--json")
    error = json.loads(told.err)
    (conflict,) = error["fields"]["conflicts"]
    assert (error["error"], conflict["kind"], conflict["ours"]["text"]) == ("MergeConflict", "edit", "OURS")
    assert compiled(tmp_path) == ["OURS"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--prefer", "theirs", "--prefer", "reset"], "THEIRS"),
        (["--prefer", "newer"], "OURS"),
        (["--resolve", "TARGET=ours"], "OURS"),
        (["--resolve-text", "TARGET=a=b"], "a=b"),
    ],
)
def test_the_command_settles_conflicts(run: Callable[..., Told], tmp_path: Path, options: list[str], text: str) -> None:
    told = run("merge", "side", *options, "-m", "both")
    assert (told.code, told.err) == (0, "")
    with open_tract(tmp_path) as t:
        assert t.head is not None
        assert told.out == f"main joins 2 lines at {t.head[:12]}, 1 conflicts settled\n"
        assert texts(t) == [text]
        assert t.log(None)[1].message == "both"
    assert run("merge", "side").out == f"main is up to date at {t_head(tmp_path)[:12]}\n"
    assert run("merge", "main", "--branch", "side").out == f"side goes forward to {t_head(tmp_path)[:12]}\n"


def t_head(path: Path) -> str:
    with open_tract(path) as t:
        return str(t.head)


def test_the_command_answers_in_json(run: Callable[..., Told], tmp_path: Path) -> None:
    told = json.loads(run("merge", "side", "--prefer", "ours", "--json").out)
    assert told.keys() == {"tract_id", "branch", "kind", "head", "commit", "resolutions", "conflicts"}
    assert (told["kind"], told["head"], told["commit"]["operation"]) == ("merge", t_head(tmp_path), "merge")
    assert [info["operation"] for info in told["resolutions"]] == ["edit"]
    assert [conflict["theirs"]["text"] for conflict in told["conflicts"]] == ["THEIRS"]


@pytest.mark.parametrize(
    "options",
    [["--prefer", "mine"], ["--resolve", "TARGET"], ["--resolve", "TARGET=mine"], ["--resolve-text", "=x"]],
)
def test_the_command_refuses_what_it_does_not_know(
    run: Callable[..., Told], tmp_path: Path, options: list[str]
) -> None:
    told = run("merge", "side", *options)
    assert (told.code, told.out) == (2, "")
    assert compiled(tmp_path) == ["OURS"]
