"""What merges are found to be: shared and own commits, plans, conflicts; histories made by hand in dicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from tract_fs.errors import ResetConflict
from tract_fs.model.conflicts import Conflict, describe_all, find_conflicts
from tract_fs.model.content import Priority
from tract_fs.model.events import Append, Forward, Move, Reset
from tract_fs.model.history import linear_order
from tract_fs.model.merge import join_commit, join_time_us, plan_join, plan_merge, settled_resets
from tract_fs.model.names import CommitHash, ContentHash, EventHash, format_time
from tract_fs.model.objects import Commit, CommitOperation, encode_commit
from tract_fs.model.reach import Reach
from tract_fs.model.view import MoveState

START_US = 1_700_000_000_000_000


class Made:
    """Commits by short names, each a microsecond after the one before; counts what is read."""

    def __init__(self) -> None:
        self.commits: dict[str, Commit] = {}
        self.at: dict[str, int] = {}
        self.read_names: set[str] = set()

    def read(self, name: str) -> Commit:
        self.read_names.add(name)
        return self.commits[name]

    def add(self, name: str, *parents: str, operation: str = "append", at: int | None = None, **fields: Any) -> None:
        self.at[name] = len(self.commits) if at is None else at
        created_us = START_US + self.at[name]
        self.commits[name] = Commit(
            operation=CommitOperation(operation),
            parents=tuple(CommitHash(parent) for parent in parents),
            created_at=format_time(created_us),
            **fields,
        )

    def append(self, name: str, *parents: str, at: int | None = None) -> None:
        self.add(name, *parents, at=at, content=ContentHash(name), content_type="dialogue")

    def edit(self, name: str, parent: str, target: str, text: str) -> None:
        self.add(name, parent, operation="edit", targets=(target,), content=ContentHash(text), content_type="dialogue")

    def annotate(self, name: str, parent: str, target: str, priority: str) -> None:
        self.add(name, parent, operation="annotate", targets=(target,), priority=Priority(priority))

    def summarize(self, name: str, parent: str, *targets: str) -> None:
        self.add(
            name, parent, operation="summarize", targets=targets, content=ContentHash(name), content_type="dialogue"
        )

    def merge(self, name: str, *parents: str) -> None:
        self.add(name, *parents, operation="merge")

    def text_of(self, name: str) -> str:
        return f"text of {self.commits[name].content}"

    def conflicts(self, *heads: str, own: int = 0) -> list[tuple[str, str, str, str]]:
        return [(c.kind, c.target, c.ours.text, c.theirs.text) for c in self.found(*heads, own=own)]

    def found(self, *heads: str, own: int = 0) -> tuple[Conflict, ...]:
        reach = Reach([CommitHash(head) for head in heads], self.read)
        return find_conflicts(reach, self.read, self.text_of, own=own)

    def heads(self, *names: str) -> list[CommitHash]:
        return [CommitHash(name) for name in names]


def line(made: Made, *names: str) -> None:
    for before, name in zip((None, *names), names, strict=False):
        made.append(name, *([before] if before else []))


def forked() -> Made:
    """root, base; the lines go on from `base`."""
    made = Made()
    line(made, "root", "base")
    return made


# reach


def test_a_commit_is_told_by_the_heads_that_have_it() -> None:
    made = forked()
    made.append("left", "base")
    made.append("right", "base")
    reach = Reach(made.heads("left", "right"), made.read)
    assert [reach.has(0, CommitHash(name)) for name in ("root", "base", "left", "right")] == [True, True, True, False]
    assert reach.is_only(CommitHash("right"), 1, 0)
    assert not reach.is_only(CommitHash("base"), 1, 0)
    assert reach.order(0) == ["left"]


def test_what_both_have_is_not_read() -> None:
    made = Made()
    line(made, *[f"c{number}" for number in range(1000)])
    made.append("left", "c999")
    made.append("right", "c999")
    reach = Reach(made.heads("left", "right"), made.read)
    assert reach.order(0) == ["left"]
    assert reach.order(1) == ["right"]
    assert made.read_names == {"left", "right", "c999"}


def test_histories_without_a_common_root_share_nothing() -> None:
    made = Made()
    line(made, "a", "b")
    line(made, "x", "y")
    reach = Reach(made.heads("b", "y"), made.read)
    assert reach.order(0) == ["a", "b"]
    assert reach.order(1) == ["x", "y"]
    assert not reach.is_shared(CommitHash("a"))


def test_a_head_in_anothers_history_is_below_it() -> None:
    made = Made()
    line(made, "a", "b", "c")
    reach = Reach(made.heads("a", "c"), made.read)
    assert reach.is_below(0, 1)
    assert not reach.is_below(1, 0)


def test_behind_a_merge_the_order_holds_what_comes_between() -> None:
    made = forked()
    made.append("mine", "root")
    made.merge("joined", "mine", "base")
    made.append("theirs", "base")
    reach = Reach(made.heads("joined", "theirs"), made.read)
    assert reach.order(0) == ["root", "mine", "base", "joined"]
    assert reach.order(1) == ["theirs"]


@st.composite
def histories(draw: st.DrawFn) -> tuple[Made, list[str]]:
    """Any graph of up to 14 commits, each younger than its parents, and one to four heads."""
    made = Made()
    count = draw(st.integers(1, 14))
    for number in range(count):
        parents = draw(st.lists(st.integers(0, number - 1), max_size=3, unique=True)) if number else []
        at = max((made.at[f"c{parent}"] for parent in parents), default=0) + draw(st.integers(1, 3))
        made.append(f"c{number}", *(f"c{parent}" for parent in parents), at=at)
    heads = draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=4, unique=True))
    return made, [f"c{head}" for head in heads]


@given(histories())
def test_reach_says_what_whole_histories_say(drawn: tuple[Made, list[str]]) -> None:
    made, heads = drawn
    reach = Reach(made.heads(*heads), made.read)
    whole = [linear_order(CommitHash(head), made.read) for head in heads]
    for position, order in enumerate(whole):
        assert {name for name in set().union(*whole) if reach.has(position, name)} == set(order)
        found = reach.order(position)
        assert found == order[len(order) - len(found) :]
        assert {name for name in order if not reach.is_shared(name)} <= set(found)


# plans


def plan(made: Made, own: str | None, other: str) -> tuple[str, tuple[str, ...]]:
    found = plan_merge(None if own is None else CommitHash(own), CommitHash(other), made.read)
    return found.kind, found.parents


def test_a_merge_goes_forward_where_it_can() -> None:
    made = forked()
    made.append("left", "base")
    made.append("right", "base")
    assert plan(made, "base", "right") == ("forward", ("right",))
    assert plan(made, "right", "base") == ("up-to-date", ("right",))
    assert plan(made, "right", "right") == ("up-to-date", ("right",))
    assert plan(made, None, "right") == ("forward", ("right",))
    assert plan(made, "left", "right") == ("merge", ("left", "right"))


def test_a_join_puts_the_newest_head_first() -> None:
    made = forked()
    made.append("early", "base")
    made.append("late", "base")
    made.append("also-late", "base", at=3)
    found = plan_join("main", made.heads("early", "also-late", "late"), made.read, prefer=None)
    assert (found.kind, found.parents) == ("merge", ("late", "also-late", "early"))


def test_a_join_of_one_head_is_nothing() -> None:
    made = forked()
    found = plan_join("main", made.heads("base"), made.read, prefer=None)
    assert (found.kind, found.parents) == ("up-to-date", ("base",))


def test_a_head_that_another_contains_is_a_reset_conflict() -> None:
    made = forked()
    made.append("tip", "base")
    with pytest.raises(ResetConflict) as caught:
        plan_join("main", made.heads("root", "tip"), made.read, prefer=None)
    assert (caught.value.branch, caught.value.reset, caught.value.commits) == ("main", ("root",), ("tip",))
    assert str(caught.value) == (
        "branch 'main' was reset to root, while tip continues from there; merge again with prefer 'reset' to drop the latter, "
        "or prefer 'commits' to keep it; nothing was written"
    )


@pytest.mark.parametrize(
    ("heads", "prefer", "kind", "parents"),
    [
        (("root", "tip"), "reset", "reset", ("root",)),
        (("root", "tip"), "commits", "forward", ("tip",)),
        (("root", "base", "tip"), "reset", "reset", ("root",)),
        (("root", "tip", "other"), "commits", "merge", ("other", "tip")),
        (("base", "tip", "other"), "reset", "reset", ("other", "base")),
        (("tip", "other"), "reset", "merge", ("other", "tip")),
    ],
)
def test_a_preference_says_which_head_gives_way(
    heads: tuple[str, ...], prefer: Any, kind: str, parents: tuple[str, ...]
) -> None:
    made = forked()
    made.append("tip", "base")
    made.append("other", "root")
    found = plan_join("main", made.heads(*heads), made.read, prefer=prefer)
    assert (found.kind, found.parents) == (kind, parents)


def moved(kind: type[Move], head: str, *replaces: str) -> Move:
    return kind(branch="main", head=CommitHash(head), commits=(), replaces=tuple(map(EventHash, replaces)))


def is_settled(ops: dict[str, Move], low: str, high: str) -> bool:
    replaced = {name for op in ops.values() for name in op.replaces}
    moves = {
        EventHash(name): MoveState("", op.head, isinstance(op, Reset))
        for name, op in ops.items()
        if name not in replaced
    }
    return settled_resets(moves, lambda name: ops.get(name))(CommitHash(low), CommitHash(high))


def test_a_reset_that_two_merges_settled_differently_is_settled() -> None:
    before = {"r0": moved(Reset, "low", "c0"), "c1": moved(Append, "high", "c0")}
    assert not is_settled(before, "low", "high")
    assert is_settled(
        {**before, "m1": moved(Reset, "low", "r0", "c1"), "m2": moved(Forward, "high", "r0", "c1")}, "low", "high"
    )
    later = {**before, "m2": moved(Forward, "high", "r0", "c1"), "c2": moved(Append, "higher", "m2")}
    assert not is_settled({**later, "r2": moved(Reset, "low", "m2")}, "low", "higher")
    undone = {**before, "m2": moved(Forward, "high", "r0", "c1"), "c2": moved(Append, "higher", "m2")}
    assert not is_settled({**undone, "undo": moved(Reset, "low", "m2", "r0")}, "low", "higher")


def test_a_settled_reset_is_left_out_of_a_join() -> None:
    made = forked()
    made.append("tip", "base")
    made.append("other", "base")

    def of_root(low: str, high: str) -> bool:
        return low == "root"

    found = plan_join("main", made.heads("root", "tip"), made.read, prefer=None, is_settled=of_root)
    assert (found.kind, found.parents) == ("forward", ("tip",))
    found = plan_join("main", made.heads("root", "tip", "other"), made.read, prefer="reset", is_settled=of_root)
    assert (found.kind, found.parents) == ("merge", ("other", "tip"))
    with pytest.raises(ResetConflict):
        plan_join("main", made.heads("root", "base", "tip"), made.read, prefer=None, is_settled=of_root)


def test_the_commit_of_a_join_has_no_time_of_its_own() -> None:
    made = Made()
    first, second = "a" * 64, "b" * 64
    made.append(first, at=3)
    made.append(second, at=7)
    commit = join_commit(made.heads(second, first), made.read)
    assert encode_commit(commit) == (
        b'{"commit":{"created_at":"2023-11-14T22:13:20.000008Z","operation":"merge","parents":["'
        + second.encode()
        + b'","'
        + first.encode()
        + b'"]}}'
    )


def test_the_event_of_a_join_comes_right_after_what_it_joins() -> None:
    moves = [MoveState(format_time(START_US + 5), CommitHash("a")), MoveState(format_time(START_US + 9), None)]
    assert join_time_us(moves, None) == START_US + 10
    made = Made()
    made.append("young", at=20)
    assert join_time_us(moves, join_commit(made.heads("young"), made.read)) == START_US + 21


# conflicts


def test_two_edits_to_different_contents_are_in_conflict() -> None:
    made = forked()
    made.edit("left", "base", "root", "L")
    made.edit("right", "base", "root", "R")
    assert made.conflicts("left", "right") == [("edit", "root", "text of L", "text of R")]
    assert made.conflicts("left", "right", own=1) == [("edit", "root", "text of R", "text of L")]


def test_two_edits_to_one_content_agree() -> None:
    made = forked()
    made.edit("left", "base", "root", "same")
    made.edit("right", "base", "root", "same")
    assert made.conflicts("left", "right") == []


def test_only_the_edit_that_applies_counts() -> None:
    made = forked()
    made.edit("left-1", "base", "root", "other")
    made.edit("left", "left-1", "root", "same")
    made.edit("right", "base", "root", "same")
    assert made.conflicts("left", "right") == []


def test_a_skipped_edit_does_not_apply() -> None:
    made = forked()
    made.edit("edited", "base", "root", "L")
    made.annotate("left", "edited", "edited", "skip")
    made.edit("right", "base", "root", "R")
    assert made.conflicts("left", "right") == []
    made.annotate("left-again", "left", "edited", "normal")
    assert made.conflicts("left-again", "right") == [("edit", "root", "text of L", "text of R")]


def test_an_edit_that_both_have_is_no_side() -> None:
    made = forked()
    made.edit("shared", "base", "root", "S")
    made.append("left", "shared")
    made.edit("right", "shared", "root", "R")
    assert made.conflicts("left", "right") == []


def test_appends_and_edits_of_other_commits_agree() -> None:
    made = forked()
    made.edit("left-1", "base", "root", "L")
    made.append("left", "left-1")
    made.edit("right-1", "base", "base", "R")
    made.append("right", "right-1")
    assert made.conflicts("left", "right") == []


def test_an_edit_of_what_is_no_message_is_nothing() -> None:
    made = forked()
    made.annotate("note", "base", "root", "pinned")
    made.edit("left", "note", "note", "L")
    made.edit("right", "note", "note", "R")
    assert made.conflicts("left", "right") == []


def test_two_priorities_are_in_conflict() -> None:
    made = forked()
    made.annotate("left", "base", "root", "pinned")
    made.annotate("right", "base", "root", "skip")
    assert made.conflicts("left", "right") == [("priority", "root", "pinned", "skip")]


def test_the_last_annotation_is_the_priority() -> None:
    made = forked()
    made.annotate("left-1", "base", "root", "skip")
    made.annotate("left", "left-1", "root", "pinned")
    made.annotate("right", "base", "root", "pinned")
    assert made.conflicts("left", "right") == []


def test_an_annotation_on_one_side_only_applies() -> None:
    made = forked()
    made.annotate("shared", "base", "root", "skip")
    made.annotate("left", "shared", "root", "pinned")
    made.append("right", "shared")
    assert made.conflicts("left", "right") == []


def test_of_an_edit_only_skip_or_not_counts() -> None:
    made = forked()
    made.edit("edited", "base", "root", "E")
    made.annotate("left", "edited", "edited", "pinned")
    made.annotate("right", "edited", "edited", "normal")
    made.annotate("skipped", "edited", "edited", "skip")
    assert made.conflicts("left", "right") == []
    assert made.conflicts("left", "skipped") == [("priority", "edited", "pinned", "skip")]


def test_an_edit_here_and_a_skip_there_both_apply() -> None:
    made = forked()
    made.edit("left", "base", "root", "L")
    made.annotate("right", "base", "root", "skip")
    assert made.conflicts("left", "right") == []


def test_an_edit_of_what_the_other_line_summarised_is_a_conflict() -> None:
    made = forked()
    made.edit("left", "base", "root", "L")
    made.summarize("right", "base", "root", "base")
    assert made.conflicts("left", "right") == [("summary", "root", "text of L", "text of right")]
    assert made.conflicts("right", "left") == [("summary", "root", "text of right", "text of L")]


def test_a_summary_of_a_summary_covers_what_that_covers() -> None:
    made = forked()
    made.summarize("inner", "base", "root")
    made.append("left-1", "base")
    made.edit("left", "left-1", "root", "L")
    made.summarize("right", "inner", "inner", "base")
    (conflict,) = made.found("left", "right")
    assert (conflict.kind, conflict.target, conflict.theirs.commits) == ("summary", "root", ("inner", "right"))
    assert conflict.theirs.commit == "right"


def test_a_skipped_summary_covers_nothing() -> None:
    made = forked()
    made.edit("left", "base", "root", "L")
    made.summarize("summed", "base", "root")
    made.annotate("right", "summed", "summed", "skip")
    assert made.conflicts("left", "right") == []


def test_a_summary_that_both_have_is_no_side() -> None:
    made = forked()
    made.summarize("shared", "base", "root")
    made.edit("left", "shared", "root", "L")
    made.append("right", "shared")
    assert made.conflicts("left", "right") == []


def test_an_edit_that_its_own_line_summarised_away_is_no_side_of_a_summary() -> None:
    made = forked()
    made.edit("left-1", "base", "root", "L")
    made.summarize("left", "left-1", "root")
    made.summarize("right", "base", "root", "base")
    assert made.conflicts("left", "right") == []


def test_a_summary_that_both_lines_have_hides_no_edit_whatever_a_third_line_lacks() -> None:
    made = forked()
    made.append("stranger")
    made.summarize("inner", "base", "base")
    made.edit("edit", "inner", "base", "edited")
    made.summarize("outer", "inner", "inner")
    told = [("summary", "base", "text of edited", "text of outer")]
    assert made.conflicts("edit", "outer") == told
    assert made.conflicts("edit", "outer", "stranger") == told


def test_the_text_of_a_summary_is_the_one_that_shows() -> None:
    made = forked()
    made.edit("left", "base", "root", "L")
    made.summarize("summed", "base", "root")
    made.edit("right-1", "summed", "summed", "better")
    made.annotate("right", "right-1", "summed", "pinned")
    (conflict,) = made.found("left", "right")
    assert (conflict.theirs.text, conflict.theirs.priority) == ("text of better", Priority.PINNED)


def test_two_summaries_that_share_a_part_are_in_conflict_at_the_oldest_commit_of_it() -> None:
    made = Made()
    line(made, "one", "two", "three", "four")
    made.summarize("left", "four", "one", "two", "three")
    made.summarize("right", "four", "two", "three", "four")
    assert made.conflicts("left", "right") == [("summary", "two", "text of left", "text of right")]
    (conflict,) = made.found("left", "right")
    assert [side.drops for side in conflict.sides] == [("right",), ("left",)]


def test_a_summary_of_more_and_one_of_less_agree() -> None:
    made = Made()
    line(made, "one", "two", "three")
    made.summarize("left", "three", "one", "two", "three")
    made.summarize("right", "three", "two", "three")
    assert made.conflicts("left", "right") == []


def test_two_summaries_of_the_same_agree_if_they_show_the_same() -> None:
    made = forked()
    made.append("aside", "base")
    for name, parent in (("left", "base"), ("right", "aside")):
        made.add(
            name, parent, operation="summarize", targets=("root",), content=ContentHash("S"), content_type="dialogue"
        )
    assert made.conflicts("left", "right") == []
    made.edit("right-2", "right", "right", "better")
    assert made.conflicts("left", "right-2") == [("summary", "root", "text of S", "text of better")]


def test_only_the_outermost_summaries_of_a_line_are_compared_and_those_below_are_dropped_with_them() -> None:
    made = Made()
    line(made, "one", "two", "three", "four")
    made.summarize("inner", "four", "one", "two")
    made.summarize("outer", "inner", "inner", "three")
    made.summarize("right", "four", "two", "three", "four")
    (conflict,) = made.found("outer", "right")
    assert (conflict.target, conflict.ours.commits) == ("two", ("inner", "outer"))
    assert (conflict.ours.drops, conflict.theirs.drops) == (("right",), ("inner", "outer"))


def test_a_skipped_summary_and_one_that_both_have_are_in_conflict_with_none() -> None:
    made = forked()
    made.summarize("shared", "base", "root")
    made.summarize("left", "shared", "root", "base")
    made.append("right", "shared")
    assert made.conflicts("left", "right") == []
    made.summarize("reverted", "right", "base", "right")
    made.annotate("right-2", "reverted", "reverted", "skip")
    assert made.conflicts("left", "right-2") == []


def settle(made: Made, name: str, parent: str, operation: str, target: str, value: str) -> None:
    fields: dict[str, Any] = {"content": ContentHash(value), "content_type": "dialogue"}
    if operation == "annotate":
        fields = {"priority": Priority(value)}
    made.add(name, parent, operation=operation, targets=(target,), metadata=Raw(b'{"settles":"merge"}'), **fields)


@pytest.mark.parametrize(("operation", "values"), [("edit", ("L", "R")), ("annotate", ("skip", "pinned"))])
def test_two_settlements_are_not_in_conflict_and_a_settlement_and_a_change_by_hand_are(
    operation: str, values: tuple[str, str]
) -> None:
    made = forked()
    settle(made, "left", "base", operation, "root", values[0])
    settle(made, "right", "base", operation, "root", values[1])
    assert made.conflicts("left", "right") == []
    if operation == "edit":
        made.edit("by-hand", "right", "root", "H")
    else:
        made.annotate("by-hand", "right", "root", "normal")
    assert [conflict[:2] for conflict in made.conflicts("left", "by-hand")] == [
        ("edit" if operation == "edit" else "priority", "root")
    ]


def test_a_conflict_that_a_merge_settled_is_none_again() -> None:
    made = forked()
    made.edit("left", "base", "root", "L")
    made.edit("right", "base", "root", "R")
    made.merge("joined", "left", "right")
    made.edit("settled", "joined", "root", "both")
    made.append("right-2", "right")
    assert made.conflicts("settled", "right-2") == []
    made.edit("right-3", "right-2", "root", "R3")
    assert made.conflicts("settled", "right-3") == [("edit", "root", "text of both", "text of R3")]


def test_criss_cross_merges_that_settled_otherwise_are_in_conflict() -> None:
    made = forked()
    made.edit("left", "base", "root", "L")
    made.edit("right", "base", "root", "R")
    made.merge("one", "left", "right")
    made.edit("one-settled", "one", "root", "L")
    made.merge("two", "right", "left")
    made.edit("two-settled", "two", "root", "R")
    assert made.conflicts("one-settled", "two-settled") == [("edit", "root", "text of L", "text of R")]


def test_criss_cross_merges_without_a_word_agree() -> None:
    made = forked()
    made.edit("left", "base", "root", "L")
    made.append("right", "base")
    made.merge("one", "left", "right")
    made.merge("two", "right", "left")
    assert made.conflicts("one", "two") == []


def test_a_later_parents_edit_comes_after_the_first_parents() -> None:
    made = Made()
    line(made, "root", "old")
    made.edit("shared", "old", "root", "shared")
    made.edit("mine", "old", "root", "mine")
    made.merge("left", "mine", "shared")  # in the linear order, `shared` is the last edit
    made.edit("right", "shared", "root", "R")
    assert made.conflicts("left", "right") == []


def test_three_heads_tell_each_target_once_with_all_sides() -> None:
    made = forked()
    made.edit("a", "base", "root", "same")
    made.edit("b", "base", "root", "same")
    made.edit("c", "base", "root", "other")
    made.annotate("d", "base", "root", "skip")
    (conflict,) = made.found("a", "b", "c", "d", own=1)
    assert (conflict.kind, conflict.target, [side.head for side in conflict.sides]) == ("edit", "root", ["a", "b", "c"])
    assert (conflict.ours.head, conflict.theirs.head) == ("b", "c")
    (of_others,) = made.found("a", "b", "c", "d", own=3)
    assert (of_others.ours.head, of_others.theirs.head) == ("a", "c")


def test_conflicts_go_from_the_oldest_target_on() -> None:
    made = forked()
    for side in ("left", "right"):
        made.edit(f"{side}-1", "base", "base", side)
        made.edit(f"{side}-2", f"{side}-1", "root", side)
    made.annotate("left", "left-2", "root", "skip")
    made.annotate("right", "right-2", "root", "pinned")
    assert [conflict[:2] for conflict in made.conflicts("left", "right")] == [
        ("edit", "root"),
        ("priority", "root"),
        ("edit", "base"),
    ]


def test_conflicts_are_told_in_a_sentence() -> None:
    made = forked()
    made.edit("left", "base", "root", "L\n" + "x" * 100)
    made.edit("right", "base", "root", "R")
    assert describe_all(made.found("left", "right")) == (
        "the lines disagree on commit root: ours edited it to 'text of L xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…', theirs edited it to 'text of R'; "
        "settle each with a resolution ('ours', 'theirs' or a content), or all with prefer 'ours', 'theirs' or 'newer'; nothing was written"
    )


# conflicts, by whole histories


@st.composite
def edited_histories(draw: st.DrawFn) -> tuple[Made, list[str]]:
    """Two appends, then any graph of edits, annotations, summaries and merges on top of both; two or three heads."""
    made = forked()
    count = draw(st.integers(2, 12))
    for number in range(count):
        tips = [f"c{n}" for n in range(number)] + ["base"]
        name, parent = f"c{number}", draw(st.sampled_from(tips))
        known = linear_order(CommitHash(parent), made.read)
        contents = [c for c in known if made.commits[c].operation.value in ("append", "summarize")]
        kind = draw(st.sampled_from(("edit", "annotate", "summarize", "merge")))
        if kind == "edit":
            made.edit(name, parent, draw(st.sampled_from(contents)), draw(st.sampled_from("XYZ")))
        elif kind == "annotate":
            targets = [c for c in known if made.commits[c].content is not None]
            made.annotate(
                name, parent, draw(st.sampled_from(targets)), draw(st.sampled_from(("skip", "normal", "pinned")))
            )
        elif kind == "summarize":
            made.summarize(name, parent, *draw(st.lists(st.sampled_from(contents), min_size=1, unique=True)))
        else:
            others = [tip for tip in tips if tip != parent]
            made.merge(
                name, parent, *draw(st.lists(st.sampled_from(others), max_size=2, unique=True)) if others else ()
            )
    heads = draw(st.lists(st.sampled_from([f"c{n}" for n in range(count)]), min_size=2, max_size=3, unique=True))
    return made, heads


def last_word(made: Made, order: Sequence[str], target: str) -> Priority | None:
    found = [made.commits[name].priority for name in order if (target,) == made.commits[name].targets]
    return ([None] + [priority for priority in found if priority is not None])[-1]


def winner(made: Made, order: Sequence[str], target: str) -> str | None:
    edits = [n for n in order if made.commits[n].operation.value == "edit" and made.commits[n].targets == (target,)]
    return next((e for e in reversed(edits) if last_word(made, order, e) is not Priority.SKIP), None)


@given(edited_histories())
def test_edit_and_priority_conflicts_are_what_their_definition_says(drawn: tuple[Made, list[str]]) -> None:
    made, heads = drawn
    orders = {head: linear_order(CommitHash(head), made.read) for head in heads}
    expected = set()
    for ours in heads:
        for theirs in heads:
            ours_only = set(orders[ours]) - set(orders[theirs])
            theirs_only = set(orders[theirs]) - set(orders[ours])
            for target in made.commits:
                mine, other = winner(made, orders[ours], target), winner(made, orders[theirs], target)
                is_edited = mine in ours_only and other in theirs_only
                if is_edited and made.commits[str(mine)].content != made.commits[str(other)].content:
                    expected.add(("edit", target))
                said = [
                    {target} == set(made.commits[name].targets) and made.commits[name].priority is not None
                    for only in (ours_only, theirs_only)
                    for name in sorted(only)
                ]
                mine_said, other_said = said[: len(ours_only)], said[len(ours_only) :]
                levels = [last_word(made, orders[head], target) for head in (ours, theirs)]
                if made.commits[target].operation.value == "edit":
                    levels = [Priority.SKIP if level is Priority.SKIP else Priority.NORMAL for level in levels]
                if any(mine_said) and any(other_said) and levels[0] is not levels[1]:
                    expected.add(("priority", target))
    found = made.found(*heads)
    assert {(c.kind, c.target) for c in found if c.kind != "summary"} == expected
    assert len({(c.kind, c.target) for c in found}) == len(found)
    for conflict in found:
        assert conflict.ours.value != conflict.theirs.value
        assert {conflict.ours, conflict.theirs} <= set(conflict.sides)


@given(edited_histories())
def test_conflicts_do_not_depend_on_the_order_of_the_heads(drawn: tuple[Made, list[str]]) -> None:
    made, heads = drawn
    there = [(c.kind, c.target, {side.head for side in c.sides}) for c in made.found(*heads)]
    back = [(c.kind, c.target, {side.head for side in c.sides}) for c in made.found(*heads[::-1])]
    assert there == back


@given(edited_histories())
def test_nothing_is_in_conflict_with_its_own_history(drawn: tuple[Made, list[str]]) -> None:
    made, heads = drawn
    for head in heads:
        for below in linear_order(CommitHash(head), made.read):
            assert made.found(head, below) == () or head == below
