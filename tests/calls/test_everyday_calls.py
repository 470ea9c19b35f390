"""pop, clear, annotate_all, find and log(after=…)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.talk import Clock, edit_one, say, say_one, texts, user
from tract_fs import InstructionContent, Tract
from tract_fs.errors import ArgumentError, CommitNotFoundError, HeadMoved


@pytest.fixture
def t(tmp_path: Path) -> Iterator[Tract]:
    with Tract.open(tmp_path / "context", durability="fast", clock=Clock()) as opened:
        yield opened


def hashes(infos: list[object]) -> list[str]:
    return [info.commit_hash for info in infos]  # type: ignore[attr-defined]


# -- pop


def test_pop_takes_the_last_message_with_its_edits_and_returns_it(t: Tract) -> None:
    one, two = say(t, "one", "two")
    edit_one(t, two, "too")
    t.annotate(two, "pinned")
    popped = t.pop()
    assert popped is not None and (popped.commit_hash, t.head, texts(t)) == (two, one, ["one"])
    assert t.undo() == t.resolve("@")
    assert texts(t) == ["one", "too"]


def test_pop_of_the_only_message_and_of_none(t: Tract) -> None:
    assert t.pop() is None
    say(t, "one")
    popped = t.pop()
    assert popped is not None and t.get_content(popped.commit_hash) == user("one")
    assert (texts(t), t.pop()) == ([], None)
    say(t, "two")
    assert texts(t) == ["two"]


def test_pop_keeps_other_commits_that_follow_the_message(t: Tract) -> None:
    _, two, three = say(t, "one", "two", "three")
    t.annotate(three, "skip")
    popped = t.pop()
    assert popped is not None and popped.commit_hash == two
    assert texts(t) == ["one"]
    t.annotate(three, "normal")
    assert texts(t) == ["one", "three"]


def test_pop_in_a_batch_and_against_another_writer(t: Tract) -> None:
    one, two = say(t, "one", "two")
    with t.batch():
        (three,) = say(t, "three")
        assert [info.commit_hash for info in (t.pop(), t.pop()) if info is not None] == [three, two]
    assert (texts(t), t.head) == (["one"], one)
    with t.on("main") as other:
        (four,) = say(other, "four")
        with pytest.raises(HeadMoved):
            t.pop(expected_head=one)
        popped = t.pop()
        assert popped is not None and popped.commit_hash == four


# -- clear


def test_clear_empties_the_context_and_the_next_commits_go_on(t: Tract) -> None:
    assert t.clear() is None
    t.commit(InstructionContent("be brief"))
    (two,) = say(t, "two")
    root = t.clear()
    assert (t.head, texts(t), t.compile().to_openai()) == (root, [], [])
    assert t.clear() == root
    assert [info.operation.value for info in t.log()] == ["merge"]
    say(t, "three")
    assert texts(t) == ["three"]
    with pytest.raises(CommitNotFoundError):
        t.annotate(two, "skip")
    with pytest.raises(HeadMoved):
        t.clear(expected_head=two)


def test_an_undo_takes_a_clear_back_and_other_handles_see_it(t: Tract) -> None:
    say(t, "one", "two")
    with t.on("main") as other:
        t.clear()
        assert texts(other) == []
        t.undo()
        assert texts(other) == ["one", "two"]


def test_clear_in_a_batch_begins_again(t: Tract) -> None:
    say(t, "one")
    with t.batch():
        t.clear()
        say(t, "two")
    assert texts(t) == ["two"]


def test_a_clear_is_kept_in_a_copy_and_after_a_rebuild(t: Tract, tmp_path: Path) -> None:
    say(t, "one")
    t.clear()
    say(t, "two")
    (tmp_path / "copy").mkdir()
    t.sync(tmp_path / "copy")
    with Tract.open(tmp_path / "copy", verify=True) as copy:
        assert (texts(copy), copy.status().warnings) == (["two"], ())


# -- annotate_all


def test_annotations_of_several_commits_are_one_transaction(t: Tract) -> None:
    one, two, three = say(t, "one", "two", "three")
    made = t.annotate_all(["@~2", "@"], "skip", reason="old")
    assert [(one.target_hash, one.reason) for one in made] == [(one, "old"), (three, "old")]
    assert texts(t) == ["two"]
    assert len(t.reflog()) == 4
    head = t.head
    with pytest.raises(CommitNotFoundError):
        t.annotate_all([two, "f" * 64], "skip")
    with pytest.raises(HeadMoved):
        t.annotate_all([two], "skip", expected_head=one)
    with pytest.raises(ArgumentError):
        t.annotate_all(two, "skip")
    assert (t.annotate_all([], "skip"), t.head, texts(t)) == ([], head, ["two"])


# -- find


def test_find_returns_the_commits_with_these_fields_of_metadata(t: Tract) -> None:
    one = say_one(t, "one", metadata={"run": 1, "by": {"name": "ann", "team": "x"}, "tags": ["a", "b"]})
    two = say_one(t, "two", metadata={"run": True})
    t.switch("side", create=True)
    three = say_one(t, "three", metadata={"run": 1.0})
    say(t, "four")
    assert hashes(t.find({"run": 1})) == [one, three]  # type: ignore[arg-type]
    assert hashes(t.find({"run": True})) == [two]  # type: ignore[arg-type]
    assert hashes(t.find({"by": {"name": "ann"}, "tags": ["a", "b"]})) == [one]  # type: ignore[arg-type]
    assert hashes(t.find({"tags": ["a"]})) == []  # type: ignore[arg-type]
    assert hashes(t.find({"other": None})) == []  # type: ignore[arg-type]
    assert hashes(t.find({})) == [one, two, three]  # type: ignore[arg-type]
    with t.batch():
        five = say_one(t, "five", metadata={"run": 5})
        assert hashes(t.find({"run": 5})) == [five]  # type: ignore[arg-type]
    with pytest.raises(ArgumentError):
        t.find("run")  # type: ignore[arg-type]


def test_find_by_a_new_handle_finds_what_one_before_it_committed(path: Path) -> None:
    with Tract.open(path) as t:
        made = [t.add(f"message {n}", metadata={"run": n % 2}) for n in range(20)]
    with Tract.open(path) as t:
        assert t.find({"run": 1}) == made[1::2]


# -- log(after=…)


def test_a_new_handle_finds_what_earlier_ones_committed(tmp_path: Path) -> None:
    """Its records are rows of the index, in buckets by the first byte of a hash, and nothing is in memory."""
    made = []
    for number in range(12):
        with Tract.open(tmp_path, durability="fast") as t:
            made.append(t.add("one", metadata={"run": number % 2}).commit_hash)
    with Tract.open(tmp_path) as t:
        assert hashes(t.find({"run": 1})) == made[1::2]
        assert {one.commit.commit_hash for one in t.siblings(made[3])} == {made[3]}


def test_a_log_after_a_commit_lists_what_came_since(t: Tract) -> None:
    one, two, three, four = say(t, "one", "two", "three", "four")
    assert hashes(t.log(after=two)) == [four, three]  # type: ignore[arg-type]
    assert hashes(t.log(1, after=one[:9])) == [four]  # type: ignore[arg-type]
    assert hashes(t.log(after="@")) == []  # type: ignore[arg-type]
    t.branch("side", at=two)
    with t.on("side") as side:
        (other,) = say(side, "other")
    t.merge("side")
    found = hashes(t.log(None, after=three))  # type: ignore[arg-type]
    assert sorted(found) == sorted([str(t.head), four, other])
    assert hashes(t.log(branch="side", after="main~1")) == [other]  # type: ignore[arg-type]
    with pytest.raises(CommitNotFoundError):
        t.log(after="nothing")
    with pytest.raises(ArgumentError):
        t.log(after="")
