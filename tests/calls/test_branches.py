"""Branches, tags, resets, the reflog, undo, cherry-picks and reverts: what holds, what is refused, and what is written then: nothing."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.lab.copies import sync_files
from tests.lab.inside import clock_of, reader_of, store_of
from tests.lab.states import copy_store, refused, synced
from tests.lab.stores import merge_commit
from tests.lab.talk import Clock, say, texts, user
from tract_fs import DialogueContent, InstructionContent, Priority, TokenBudgetConfig, Tract, TractConfig
from tract_fs.errors import (
    ArgumentError,
    BatchOpen,
    BranchDiverged,
    BranchExists,
    BranchInUse,
    BranchNotFound,
    BudgetExceeded,
    CherryPickError,
    ClosedError,
    CommitNotFoundError,
    HeadMoved,
    ReadOnlyError,
    RevertError,
    TagExists,
    TagNotFound,
    TractError,
    UndoError,
)


def two_heads(t: Tract, tmp_path: Path) -> tuple[str, str]:
    """Lets a second copy and this one go on from the same head; returns the heads, the own one first."""
    path = Path(store_of(t).layout.context)
    other_path = copy_store(path, tmp_path / "other")
    shutil.rmtree(other_path / ".tract" / "local")
    with Tract.open(other_path, clock=Clock(clock_of(t)() + 10), durability="fast") as other:  # type: ignore[operator]
        (theirs,) = say(other, "theirs")
    (ours,) = say(t, "ours")
    sync_files(path, other_path)
    t.refresh()
    return ours, theirs


# making branches, and going from one to another


def test_the_branch_is_a_string_that_makes_branches(t: Tract) -> None:
    say(t, "one")
    assert (t.branch, t.branch == "main", {t.branch: 1}["main"], f"{t.branch}", json.dumps(t.branch)) == (
        "main",
        True,
        1,
        "main",
        '"main"',
    )
    for copied in (pickle.loads(pickle.dumps(t.branch)), copy.deepcopy(t.branch), str(t.branch)):
        assert (type(copied), copied) == (str, "main")


def test_a_new_branch_starts_at_the_head_and_leaves_the_handle_where_it_is(t: Tract) -> None:
    one, two = say(t, "one", "two")
    assert t.branch("dev") == two
    assert t.branch("old", at="main~1") == one
    assert (t.branch, t.head) == ("main", two)
    assert t.branches() == {"dev": (two,), "main": (two,), "old": (one,)}


def test_a_branch_has_its_own_history_edits_and_annotations(t: Tract) -> None:
    one, _ = say(t, "one", "two")
    t.branch("dev")
    t.edit(one, user("one on main"))
    t.switch("dev")
    t.annotate(one, "skip")
    say(t, "three")
    assert (t.branch, texts(t)) == ("dev", ["two", "three"])
    assert texts(t, at_commit="main") == ["one on main", "two"]
    assert [info.operation.value for info in t.log()] == ["append", "annotate", "append", "append"]


def test_switch_with_create_makes_the_branch_and_goes_there(t: Tract) -> None:
    (one,) = say(t, "one")
    t.switch("dev", create=True)
    (two,) = say(t, "two")
    assert (t.branch, t.branches()) == ("dev", {"dev": (two,), "main": (one,)})


def test_another_handle_sees_the_branches_and_stays_on_its_own(t: Tract, tmp_path: Path) -> None:
    say(t, "one")
    with Tract.open(tmp_path / "a", clock=Clock(), durability="fast") as other:
        t.switch("dev", create=True)
        (two,) = say(t, "two")
        assert (other.branch, other.branches()["dev"]) == ("main", (two,))
        other.switch("dev")
        (three,) = say(other, "three")
        assert t.head == three


def test_switch_writes_nothing(t: Tract, tmp_path: Path) -> None:
    say(t, "one")
    t.branch("dev")
    before = synced(tmp_path / "a")
    t.switch("dev")
    assert synced(tmp_path / "a") == before


@pytest.mark.parametrize(
    "name", ["", "a b", "a..b", "-x", "x.lock", "/x", "x/", "@", "a~1", "a^", "a:b", ".x", "x" * 256]
)
def test_a_name_that_git_refuses_is_refused(t: Tract, name: str) -> None:
    say(t, "one")
    for call in (
        lambda: t.branch(name),
        lambda: t.switch(name),
        lambda: t.tag(name),
        lambda: t.untag(name),
        lambda: t.rename_branch("main", name),
        lambda: t.delete_branch(name),
        lambda: t.fork("sub", branch=name),
    ):
        refused(t, ArgumentError, call)


@pytest.mark.parametrize("name", ["../../../etc/passwd", "a/b/c", "con", "Ünï", "日本", "x" * 200])
def test_a_name_is_data_and_no_path(t: Tract, tmp_path: Path, name: str) -> None:
    say(t, "one")
    if ".." in name:
        refused(t, ArgumentError, lambda: t.branch(name))
        return
    folders = {path for path in tmp_path.rglob("*") if path.is_dir()}
    t.branch(name)
    t.tag(name)
    new = {path.name for path in tmp_path.rglob("*") if path.is_dir()} - {path.name for path in folders}
    assert all(len(folder) == 2 for folder in new)  # the fan-out of events
    assert (name in t.branches(), name in t.tags()) == (True, True)


def test_a_branch_that_is_there_is_not_made_again(t: Tract) -> None:
    (one,) = say(t, "one")
    t.branch("dev")
    error = refused(t, BranchExists, lambda: t.branch("dev"))
    assert error.fields == {"tract_id": "default", "branch": "dev", "head": one}
    refused(t, BranchExists, lambda: t.branch("main"))
    refused(t, BranchExists, lambda: t.switch("dev", create=True))


def test_a_branch_needs_a_commit_to_start_at(t: Tract) -> None:
    error = refused(t, CommitNotFoundError, lambda: t.branch("dev"))
    assert str(error).startswith("branch 'main' of tract 'default' has no commits yet that a branch could start at")
    refused(t, CommitNotFoundError, lambda: t.branch("dev", at="0123abcd"))


def test_there_is_no_switch_to_a_branch_that_is_not_there(t: Tract) -> None:
    say(t, "one")
    error = refused(t, BranchNotFound, lambda: t.switch("dev"))
    assert error.fields == {"tract_id": "default", "branch": "dev"}


# deleting and renaming


def test_a_deleted_branch_takes_no_commits_until_it_is_made_anew(t: Tract, tmp_path: Path) -> None:
    one, _ = say(t, "one", "two")
    with Tract.open(tmp_path / "a", branch="dev", clock=Clock(), durability="fast") as other:
        t.branch("dev", at=one)
        t.delete_branch("dev")
        assert (other.head, "dev" in other.branches()) == (None, False)
        error = refused(other, BranchNotFound, lambda: other.commit(user("lost?")))
        assert "was deleted" in str(error)
        refused(other, BranchNotFound, lambda: other.edit(one, user("x")))
        refused(other, BranchNotFound, lambda: other.annotate(one, "skip"))
        refused(other, BranchNotFound, lambda: other.cherry_pick(one))
        refused(other, BranchNotFound, lambda: other.reset(one))
        with other.batch(), pytest.raises(BranchNotFound):
            other.commit(user("lost?"))
        assert other.branch("dev", at="main~1") == one
        (three,) = say(other, "three")
        assert other.branches()["dev"] == (three,)
        assert texts(other) == ["one", "three"]


def test_a_branch_that_never_was_is_made_by_its_first_commit(tmp_path: Path) -> None:
    with Tract.open(tmp_path, branch="dev") as t:
        (one,) = say(t, "one")
        assert t.branches() == {"dev": (one,)}


def test_the_own_branch_is_deleted_only_with_force(t: Tract) -> None:
    (one,) = say(t, "one")
    assert refused(t, BranchInUse, lambda: t.delete_branch("main")).fields == {"branch": "main"}
    t.delete_branch("main", force=True)
    assert (t.head, t.branches(), t.get_commit(one) is not None) == (None, {}, True)
    refused(t, BranchNotFound, lambda: t.delete_branch("main", force=True))
    assert t.branch("main", at=one) == one
    assert texts(t) == ["one"]


def test_a_renamed_branch_takes_the_handle_along(t: Tract) -> None:
    one, two = say(t, "one", "two")
    t.branch("dev", at=one)
    t.rename_branch("dev", "topic/x")
    t.rename_branch("main", "trunk")
    assert (t.branch, t.branches()) == ("trunk", {"topic/x": (one,), "trunk": (two,)})
    say(t, "three")
    assert texts(t) == ["one", "two", "three"]


def test_a_rename_is_one_event(t: Tract, tmp_path: Path) -> None:
    say(t, "one")
    before = synced(tmp_path / "a")
    t.rename_branch("main", "trunk")
    (new,) = set(synced(tmp_path / "a")) - set(before)
    event = json.loads((tmp_path / "a" / ".tract" / new).read_bytes())["event"]
    assert [(op["kind"], op["branch"]) for op in event["ops"]] == [("create", "trunk"), ("delete", "main")]


def test_a_rename_that_would_lose_something_is_refused(t: Tract) -> None:
    say(t, "one")
    t.branch("dev")
    refused(t, BranchExists, lambda: t.rename_branch("main", "dev"))
    refused(t, BranchExists, lambda: t.rename_branch("main", "main"))
    refused(t, BranchNotFound, lambda: t.rename_branch("nothing", "else"))


def test_a_branch_with_two_heads_is_neither_renamed_nor_deleted_without_force(t: Tract, tmp_path: Path) -> None:
    say(t, "one")
    ours, theirs = two_heads(t, tmp_path)
    assert t.branches() == {"main": (ours, theirs)}
    assert refused(t, BranchDiverged, lambda: t.rename_branch("main", "x")).fields == {
        "branch": "main",
        "heads": (ours, theirs),
    }
    t.switch("dev", create=True)
    refused(t, BranchDiverged, lambda: t.delete_branch("main"))
    t.delete_branch("main", force=True)
    assert t.branches() == {"dev": (ours,)}


def test_a_commit_that_a_delete_had_not_seen_brings_the_branch_back(t: Tract, tmp_path: Path) -> None:
    say(t, "one")
    t.switch("dev", create=True)
    other_path = copy_store(tmp_path / "a", tmp_path / "other")
    with Tract.open(other_path, branch="dev", clock=Clock(), durability="fast") as other:
        (theirs,) = say(other, "theirs")
    t.switch("main")
    t.delete_branch("dev")
    sync_files(tmp_path / "a", other_path)
    t.refresh()
    assert t.branches()["dev"] == (theirs,)


# reset


def test_a_reset_goes_anywhere_in_the_tract_and_loses_nothing(t: Tract) -> None:
    one, two, three = say(t, "one", "two", "three")
    t.annotate(one, "skip")
    assert t.reset("main~2") == two
    assert (texts(t), t.head) == (["one", "two"], two)
    assert t.get_commit(three) is not None
    assert t.reset(three) == three
    assert texts(t) == ["one", "two", "three"]


def test_a_reset_to_where_the_branch_is_writes_nothing(t: Tract, tmp_path: Path) -> None:
    (one,) = say(t, "one")
    before = synced(tmp_path / "a")
    assert t.reset(one) == one
    assert synced(tmp_path / "a") == before


def test_a_reset_that_can_not_be_done_is_refused(t: Tract) -> None:
    refused(t, BranchNotFound, lambda: t.reset("main"))
    one, _ = say(t, "one", "two")
    refused(t, CommitNotFoundError, lambda: t.reset("main~2"))
    refused(t, CommitNotFoundError, lambda: t.reset("f" * 64))
    error = refused(t, HeadMoved, lambda: t.reset(one, expected_head=one))
    assert error.fields["expected"] == one


def test_a_reset_beside_a_commit_of_another_copy_gives_two_heads_and_is_not_undone(t: Tract, tmp_path: Path) -> None:
    one, _ = say(t, "one", "two")
    other_path = copy_store(tmp_path / "a", tmp_path / "other")
    shutil.rmtree(other_path / ".tract" / "local")
    t.reset(one)
    with Tract.open(other_path, clock=Clock(clock_of(t)() + 10), durability="fast") as other:  # type: ignore[operator]
        (three,) = say(other, "three")
        sync_files(tmp_path / "a", other_path)
        t.refresh()
        other.refresh()
        assert t.branches() == {"main": (one, three)}
        assert other.branches() == {"main": (three, one)}
        assert (texts(t), texts(other)) == (["one"], ["one", "two", "three"])
        (four,) = say(t, "four")
        assert t.branches() == {"main": (four, three)}


def test_a_reset_is_not_undone_by_an_older_head_of_another_copy(t: Tract, tmp_path: Path) -> None:
    one, _ = say(t, "one", "two")
    other_path = copy_store(tmp_path / "a", tmp_path / "other")
    t.reset(one)
    sync_files(tmp_path / "a", other_path)
    with Tract.open(other_path, clock=Clock(), durability="fast") as other:
        assert (other.head, other.branches()) == (one, {"main": (one,)})


def test_a_reset_and_commits_in_one_batch_are_one_event(t: Tract, tmp_path: Path) -> None:
    one, _ = say(t, "one", "two")
    before = synced(tmp_path / "a")
    with t.batch():
        say(t, "left behind")
        t.reset(one)
        (kept,) = say(t, "kept")
        assert (texts(t), t.head) == (["one", "kept"], kept)
    assert len([name for name in set(synced(tmp_path / "a")) - set(before) if name.startswith("events/")]) == 1
    assert (texts(t), t.branches()) == (["one", "kept"], {"main": (kept,)})
    with Tract.open(tmp_path / "a", verify=True) as other:
        assert (texts(other), other.status().pending) == (["one", "kept"], ())


def test_what_a_broken_batch_did_to_branches_and_tags_is_gone(t: Tract, tmp_path: Path) -> None:
    say(t, "one", "two")
    before, branches = synced(tmp_path / "a"), t.branches()
    with pytest.raises(KeyboardInterrupt), t.batch():
        t.reset("main~1")
        t.branch("dev")
        t.tag("v1")
        assert (sorted(t.branches()), list(t.tags())) == (["dev", "main"], ["v1"])
        raise KeyboardInterrupt
    assert (synced(tmp_path / "a"), t.branches(), t.tags()) == (before, branches, {})


def test_an_inner_batch_that_breaks_takes_back_its_own_part(t: Tract) -> None:
    one, two = say(t, "one", "two")
    with t.batch():
        t.branch("kept")
        t.tag("kept", one)
        with pytest.raises(ZeroDivisionError), t.batch():
            t.reset(one)
            t.branch("gone")
            t.tag("kept", two, force=True)
            raise ZeroDivisionError
        assert t.head == two
    assert (t.branches(), t.tags()) == ({"kept": (two,), "main": (two,)}, {"kept": one})


# the reflog, and undo


def test_the_reflog_lists_the_own_moves_newest_first(t: Tract) -> None:
    one = t.commit(user("one"), message="first").commit_hash
    with t.batch():
        two = t.commit(user("two"), message="second").commit_hash
        three = t.commit(user("three"), message="third").commit_hash
    t.reset(one)
    t.switch("dev", create=True)
    say(t, "on dev")
    t.switch("main")
    found = [(e.kind, e.old_head, e.head, e.message) for e in t.reflog()]
    assert found == [
        ("reset", three, one, None),
        ("append", one, three, "third"),
        ("append", None, one, "first"),
    ]
    assert [e.kind for e in t.reflog(1)] == ["reset"]
    assert t.reflog(0) == []
    assert t.reflog()[-1].at == datetime(2026, 1, 2, 3, 4, 6, 6, tzinfo=UTC)
    assert t.get_commit(two) is not None
    with pytest.raises(ArgumentError):
        t.reflog(-1)


def test_the_reflog_survives_a_reopen_and_a_rebuild(t: Tract, tmp_path: Path) -> None:
    say(t, "one", "two")
    t.reset("main~1")
    t.tag("v1")
    told = t.reflog()
    for verify in (False, True):
        with Tract.open(tmp_path / "a", verify=verify) as other:
            assert other.reflog() == told


def test_a_copy_has_a_reflog_of_its_own_moves(t: Tract, tmp_path: Path) -> None:
    (one,) = say(t, "one")
    other_path = copy_store(tmp_path / "a", tmp_path / "other")
    shutil.rmtree(other_path / ".tract" / "local")
    with Tract.open(other_path, clock=Clock(), durability="fast") as other:
        assert other.reflog() == []
        refused(other, UndoError, other.undo)
        (two,) = say(other, "two")
        assert [(e.old_head, e.head) for e in other.reflog()] == [(one, two)]


def test_the_old_head_of_a_move_is_the_one_of_the_own_line(t: Tract, tmp_path: Path) -> None:
    say(t, "one")
    ours, theirs = two_heads(t, tmp_path)
    (further,) = say(t, "further")
    assert [(e.kind, e.old_head, e.head) for e in t.reflog(1)] == [("append", ours, further)]
    assert t.branches()["main"] == (further, theirs)


def test_undo_takes_back_the_last_move_and_each_further_one_goes_a_move_further_back(t: Tract) -> None:
    one, two, three = say(t, "one", "two", "three")
    assert (t.undo(), texts(t)) == (two, ["one", "two"])
    assert (t.undo(), texts(t)) == (one, ["one"])
    refused(t, UndoError, t.undo)
    t.reset(three)
    assert (t.undo(), texts(t)) == (one, ["one"])
    refused(t, UndoError, t.undo)


def test_undo_after_new_work_takes_back_that_and_then_what_was_there_before(t: Tract) -> None:
    one, two, _ = say(t, "one", "two", "three")
    assert t.undo() == two
    say(t, "four", "five")
    four = t.log(2)[1].commit_hash
    assert (t.undo(), t.undo(), t.undo()) == (four, two, one)
    refused(t, UndoError, t.undo)


def test_undo_of_a_reset_goes_where_it_was_and_the_next_takes_back_the_commit_before(t: Tract) -> None:
    one, two = say(t, "one", "two")
    t.reset(one)
    assert (t.undo(), t.undo()) == (two, one)


def test_the_reflog_shows_undos_and_the_heads_that_they_left(t: Tract, tmp_path: Path) -> None:
    one, two, three = say(t, "one", "two", "three")
    t.undo()
    t.undo()
    expected = [
        ("undo", two, one),
        ("undo", three, two),
        ("append", two, three),
        ("append", one, two),
        ("append", None, one),
    ]
    assert [(e.kind, e.old_head, e.head) for e in t.reflog()] == expected
    for verify in (False, True):
        with Tract.open(tmp_path / "a", verify=verify) as other:
            assert [(e.kind, e.old_head, e.head) for e in other.reflog()] == expected
            assert (other.head, other.branches(), other.status().pending) == (one, {"main": (one,)}, ())


def test_an_undo_is_a_reset_to_every_other_copy(t: Tract, tmp_path: Path) -> None:
    one, _, _ = say(t, "one", "two", "three")
    t.undo()
    t.undo()
    other_path = copy_store(tmp_path / "a", tmp_path / "other")
    shutil.rmtree(other_path / ".tract" / "local")
    with Tract.open(other_path, clock=Clock(), durability="fast") as other:
        assert (other.head, other.branches(), other.status().pending) == (one, {"main": (one,)}, ())
        (four,) = say(other, "four")
        assert (other.undo(), other.branches()) == (one, {"main": (one,)})
        assert other.get_commit(four) is not None


def test_undo_is_refused_if_the_head_is_not_the_expected_one(t: Tract) -> None:
    one, two, three = say(t, "one", "two", "three")
    refused(t, HeadMoved, lambda: t.undo(expected_head=two))
    assert (t.undo(expected_head=three), t.undo(expected_head=two)) == (two, one)


def test_undo_of_a_batch_takes_back_all_of_it(t: Tract) -> None:
    (one,) = say(t, "one")
    with t.batch():
        say(t, "two", "three")
    assert (t.undo(), texts(t)) == (one, ["one"])


def test_undo_of_a_delete_makes_the_branch_anew_and_twice_goes_a_move_further_back(t: Tract) -> None:
    one, two = say(t, "one", "two")
    t.branch("dev", at=one)
    t.delete_branch("main", force=True)
    assert (t.undo(), t.head) == (two, two)
    assert (t.undo(), t.head, t.branches()) == (one, one, {"main": (one,), "dev": (one,)})
    assert [e.kind for e in t.reflog()] == ["undo", "undo", "delete", "append", "append"]


def test_undo_of_a_branch_that_was_made_again_deletes_it_and_twice_brings_back_what_it_was(t: Tract) -> None:
    one, two = say(t, "one", "two")
    t.branch("dev", at=one)
    t.delete_branch("main", force=True)
    t.branch("main", at=one)
    assert (t.undo(), t.head, t.branches()) == (one, None, {"dev": (one,)})
    assert (t.undo(), t.head) == (two, two)


def test_undo_goes_no_further_than_the_first_move(t: Tract) -> None:
    refused(t, UndoError, t.undo)
    say(t, "one")
    refused(t, UndoError, t.undo)
    t.switch("dev", create=True)
    refused(t, UndoError, t.undo)


def test_undo_is_refused_once_another_copy_moved_the_line_on(t: Tract, tmp_path: Path) -> None:
    say(t, "one", "two")
    other_path = copy_store(tmp_path / "a", tmp_path / "other")
    shutil.rmtree(other_path / ".tract" / "local")
    with Tract.open(other_path, clock=Clock(clock_of(t)() + 10), durability="fast") as other:  # type: ignore[operator]
        (three,) = say(other, "three")
    sync_files(tmp_path / "a", other_path)
    t.refresh()
    assert t.head == three
    error = refused(t, UndoError, t.undo)
    assert "no longer where this copy's last move left it" in str(error)


def test_undo_of_a_delete_brings_back_the_head_that_a_reset_had_set(t: Tract, tmp_path: Path) -> None:
    one, _ = say(t, "one", "two")
    other_path = copy_store(tmp_path / "a", tmp_path / "other")
    shutil.rmtree(other_path / ".tract" / "local")
    t.reset(one)
    with Tract.open(other_path, clock=Clock(clock_of(t)() + 10), durability="fast") as other:  # type: ignore[operator]
        (three,) = say(other, "three")
    sync_files(tmp_path / "a", other_path)
    t.refresh()
    assert t.branches() == {"main": (one, three)}
    t.delete_branch("main", force=True)
    assert [(e.kind, e.old_head, e.head) for e in t.reflog(1)] == [("delete", one, None)]
    assert (t.undo(), t.branches()) == (one, {"main": (one,)})


def test_undo_takes_back_what_another_handle_of_this_copy_did_only_on_demand(t: Tract, tmp_path: Path) -> None:
    one, two = say(t, "one", "two")
    with Tract.open(tmp_path / "a", clock=Clock(), durability="fast") as other:
        (three,) = say(other, "three")
        error = refused(t, UndoError, t.undo)
        assert f"another handle made its last move (append to {three}" in str(error)
        assert other.undo() == two
        error = refused(other, UndoError, other.undo)  # the move before is the first handle's
        assert f"another handle made its last move (append to {two}" in str(error)
        error = refused(t, UndoError, t.undo)
        assert f"another handle made its last move (undo to {two}" in str(error)
    assert (t.undo(anyone=True), texts(t)) == (one, ["one"])


# tags


def test_a_tag_names_a_commit_whatever_the_branch_does(t: Tract) -> None:
    one, two = say(t, "one", "two")
    assert (t.tag("v1", "main~1"), t.tag("v2")) == (one, two)
    head = t.head
    say(t, "three")
    t.reset(one)
    assert (t.tags(), t.resolve("v2"), head) == ({"v1": one, "v2": two}, two, two)
    assert t.branches() == {"main": (one,)}
    t.untag("v1")
    assert t.tags() == {"v2": two}
    with Tract.open(store_of(t).layout.context) as other:
        assert other.tags() == {"v2": two}


def test_a_tag_moves_only_with_force(t: Tract) -> None:
    one, two = say(t, "one", "two")
    t.tag("v1", one)
    assert t.tag("v1", one) == one
    assert refused(t, TagExists, lambda: t.tag("v1")).fields == {"tag": "v1", "target": one}
    assert t.tag("v1", force=True) == two
    t.untag("v1")
    assert t.tag("v1", one) == one


def test_tags_that_can_not_be_are_refused(t: Tract) -> None:
    refused(t, CommitNotFoundError, lambda: t.tag("v1"))
    say(t, "one")
    refused(t, CommitNotFoundError, lambda: t.tag("v1", "nothing"))
    assert refused(t, TagNotFound, lambda: t.untag("v1")).fields == {"tract_id": "default", "tag": "v1"}


def test_the_last_word_on_a_tag_in_a_batch_stands(t: Tract) -> None:
    one, two = say(t, "one", "two")
    with t.batch():
        t.tag("v1", one)
        t.tag("v1", two, force=True)
        t.tag("v2")
        t.untag("v2")
    assert t.tags() == {"v1": two}


def test_two_copies_agree_on_a_tag_that_both_set(t: Tract, tmp_path: Path) -> None:
    one, two = say(t, "one", "two")
    other_path = copy_store(tmp_path / "a", tmp_path / "other")
    t.tag("v1", one)
    with Tract.open(other_path, clock=Clock(clock_of(t)() + 10), durability="fast") as other:  # type: ignore[operator]
        other.tag("v1", two)
        sync_files(tmp_path / "a", other_path)
        t.refresh()
        other.refresh()
        assert (t.tags(), other.tags()) == ({"v1": two}, {"v1": two})


# a handle at a commit


def test_a_handle_at_a_commit_stays_there(t: Tract) -> None:
    one, two = say(t, "one", "two")
    t.annotate(one, "skip")
    with t.at("main~1") as then:
        say(t, "three")
        assert (then.head, texts(then), then.tract_id) == (two, ["one", "two"], "default")
        assert [info.commit_hash for info in then.log()] == [two, one]
        assert then.resolve("@~1") == one
        assert then.resolve("main") == t.head
        assert then.get_content(one) == user("one")
    with pytest.raises(ClosedError):
        then.log()
    assert len(t.log()) == 4


def test_a_handle_at_a_commit_writes_nothing(t: Tract, tmp_path: Path) -> None:
    (one,) = say(t, "one")
    t.branch("dev")
    before = synced(tmp_path / "a")
    with t.at(one) as then:
        for call in (
            lambda: then.commit(user("x")),
            lambda: then.edit(one, user("x")),
            lambda: then.annotate(one, "skip"),
            lambda: then.record_usage({"prompt_tokens": 1, "completion_tokens": 1}),
            lambda: then.branch("x"),
            lambda: then.switch("dev"),
            lambda: then.rename_branch("dev", "x"),
            lambda: then.delete_branch("dev"),
            lambda: then.reset(one),
            lambda: then.undo(),
            lambda: then.tag("x"),
            lambda: then.untag("x"),
            lambda: then.cherry_pick(one),
            lambda: then.revert(one),
            lambda: then.fork("sub"),
        ):
            with pytest.raises(ReadOnlyError):
                call()
        with pytest.raises(ReadOnlyError), then.batch():
            pass
        assert (then.branch, then.head) == ("main", one)
    assert synced(tmp_path / "a") == before


def test_a_handle_at_a_commit_knows_the_registered_types_and_the_options(tmp_path: Path) -> None:
    class Whole:
        name = "whole"

        def count_text(self, text: str) -> int:
            return 1

    from dataclasses import dataclass

    @dataclass
    class Note:
        body: str

    with Tract.open(tmp_path, tokenizer=Whole()) as t:
        t.register_content_type("note", Note, text=lambda note: note.body)
        name = t.commit(Note("hello")).commit_hash
        with t.at(name) as then, t.fork("sub") as sub:
            assert (then.get_content(name), sub.get_content(name)) == (Note("hello"), Note("hello"))
            assert (texts(then), then.compile().token_source) == (["hello"], "whole")
            then.register_content_type("other", Note)
            with pytest.raises(TractError):
                t.commit({"content_type": "other", "body": "x"})


def test_there_is_no_handle_at_what_a_batch_has_staged(t: Tract) -> None:
    (one,) = say(t, "one")
    with t.batch():
        (two,) = say(t, "two")
        with pytest.raises(BatchOpen):
            t.at(two)
        with t.at(one) as then:
            assert then.head == one


# cherry-pick


def test_a_picked_append_is_made_again_with_all_that_is_its_own(t: Tract) -> None:
    (base,) = say(t, "base")
    t.switch("dev", create=True)
    picked = t.commit(
        InstructionContent("be brief"), message="rule", metadata={"by": ["ann"]}, generation_config={"model": "m"}
    )
    t.switch("main")
    made = t.cherry_pick("dev")
    assert made.commit_hash != picked.commit_hash
    assert (made.content_hash, made.message, made.metadata, made.generation_config, made.parents) == (
        picked.content_hash,
        "rule",
        {"by": ["ann"]},
        {"model": "m"},
        (base,),
    )
    assert (texts(t), t.get_commit(made.commit_hash)) == (["base", "be brief"], made)


def test_a_picked_edit_and_annotation_are_about_the_same_commit(t: Tract) -> None:
    (one,) = say(t, "one")
    t.switch("dev", create=True)
    edit = t.edit(one, user("one!"), generation_config={})
    note = t.annotate(one, "pinned", reason="keep")
    t.switch("main")
    made = t.cherry_pick(edit.commit_hash)
    assert (made.operation.value, made.targets, made.generation_config, texts(t)) == ("edit", (one,), {}, ["one!"])
    made = t.cherry_pick(str(note.commit_hash))
    assert (made.operation.value, made.targets, made.priority, made.reason) == (
        "annotate",
        (one,),
        Priority.PINNED,
        "keep",
    )


def test_what_is_about_a_commit_of_another_line_is_not_picked(t: Tract) -> None:
    say(t, "base")
    t.switch("dev", create=True)
    (one,) = say(t, "one")
    edit = t.edit(one, user("one!")).commit_hash
    note = t.annotate(one, "skip").commit_hash
    t.switch("main")
    for name in (edit, str(note)):
        error = refused(t, CherryPickError, lambda name=name: t.cherry_pick(name))  # type: ignore[misc]
        assert (error.fields["target"], one in str(error)) == (name, True)


def test_a_merge_is_neither_picked_nor_reverted(t: Tract) -> None:
    say(t, "base")
    t.branch("dev")
    t.switch("dev")
    (two,) = say(t, "two")
    t.switch("main")
    merged = merge_commit(t, two)
    assert t.head == merged
    refused(t, CherryPickError, lambda: t.cherry_pick(merged))
    refused(t, RevertError, lambda: t.revert(merged))


def test_a_pick_over_the_budget_is_refused(tmp_path: Path) -> None:
    with Tract.open(tmp_path, config=TractConfig(token_budget=TokenBudgetConfig(20, "reject"))) as t:
        (one,) = say(t, "0123456789012345678901234567890123")
        refused(t, BudgetExceeded, lambda: t.cherry_pick(one))


def test_a_pick_of_nothing_is_refused(t: Tract) -> None:
    say(t, "one")
    refused(t, CommitNotFoundError, lambda: t.cherry_pick("nothing"))
    refused(t, CommitNotFoundError, lambda: t.revert("nothing"))


# revert


def test_a_reverted_append_is_skipped(t: Tract) -> None:
    one, two = say(t, "one", "two")
    made = t.revert(one)
    assert (made.operation.value, made.targets, made.priority, made.reason) == (
        "annotate",
        (one,),
        Priority.SKIP,
        f"reverts commit {one}",
    )
    assert t.compile().commit_hashes == [two]


def test_a_reverted_edit_lets_show_what_stood_before_with_its_config(t: Tract) -> None:
    one = t.commit(user("one"), generation_config={"n": 1}).commit_hash
    t.edit(one, user("second"), generation_config={"n": 2})
    last = t.edit(one, user("third"), generation_config={"n": 3}).commit_hash
    assert (texts(t), t.compile().generation_configs) == (["third"], [{"n": 3}])
    t.revert(last)
    assert (texts(t), t.compile().generation_configs) == (["second"], [{"n": 2}])
    t.revert("main~2")
    assert (texts(t), t.compile().generation_configs) == (["one"], [{"n": 1}])


@pytest.mark.parametrize(
    ("content", "levels", "reverted", "expected"),
    [
        (DialogueContent("user", "x"), ["skip"], 0, Priority.NORMAL),
        (InstructionContent("x"), ["skip"], 0, Priority.PINNED),
        (DialogueContent("user", "x"), ["pinned", "skip"], 1, Priority.PINNED),
        (DialogueContent("user", "x"), ["pinned", "skip"], 0, Priority.NORMAL),
        (DialogueContent("user", "x"), ["skip", "normal"], 1, Priority.SKIP),
    ],
)
def test_a_reverted_annotation_brings_back_the_priority_before_it(
    t: Tract, content: object, levels: list[str], reverted: int, expected: Priority
) -> None:
    name = t.commit(content).commit_hash
    made = [str(t.annotate(name, level).commit_hash) for level in levels]
    assert (t.revert(made[reverted]).priority, t.get_annotations(name)[-1].priority) == (expected, expected)


def test_a_revert_can_be_reverted(t: Tract) -> None:
    (one,) = say(t, "one")
    t.edit(one, user("one!"))
    t.revert("main")
    assert texts(t) == ["one"]
    assert t.revert("main").priority is Priority.NORMAL
    assert texts(t) == ["one!"]


def test_only_what_is_in_the_history_is_reverted(t: Tract) -> None:
    (one,) = say(t, "one")
    t.switch("dev", create=True)
    (two,) = say(t, "two")
    t.switch("main")
    refused(t, CommitNotFoundError, lambda: t.revert(two))
    assert t.head == one


# inside a batch, and while others write


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.switch("dev"),
        lambda t: t.rename_branch("dev", "x"),
        lambda t: t.delete_branch("dev"),
        lambda t: t.undo(),
        lambda t: t.fork("sub"),
    ],
)
def test_what_can_not_be_part_of_a_batch_is_refused_and_the_batch_goes_on(
    t: Tract, call: Callable[[Tract], Any]
) -> None:
    say(t, "one")
    t.branch("dev")
    with t.batch():
        say(t, "two")
        with pytest.raises(BatchOpen):
            call(t)
    assert (t.branch, texts(t), sorted(t.branches())) == ("main", ["one", "two"], ["dev", "main"])


def test_a_batch_that_only_makes_branches_and_tags_is_one_event(t: Tract, tmp_path: Path) -> None:
    (one,) = say(t, "one")
    before = synced(tmp_path / "a")
    with t.batch():
        t.branch("a")
        t.branch("b")
        t.tag("v1")
        assert t.branches() == {"a": (one,), "b": (one,), "main": (one,)}
        with pytest.raises(BranchExists):
            t.branch("a")
    assert len(synced(tmp_path / "a")) == len(before) + 1
    with Tract.open(tmp_path / "a", verify=True) as other:
        assert (other.branches(), other.tags()) == ({"a": (one,), "b": (one,), "main": (one,)}, {"v1": one})


def test_a_deleted_branch_made_anew_in_a_batch_takes_its_commits(t: Tract) -> None:
    (one,) = say(t, "one")
    t.delete_branch("main", force=True)
    with t.batch():
        t.branch("main", at=one)
        (two,) = say(t, "two")
    assert (t.branches(), texts(t)) == ({"main": (two,)}, ["one", "two"])


def test_a_read_only_handle_lists_and_switches_and_writes_nothing(t: Tract, tmp_path: Path) -> None:
    (one,) = say(t, "one")
    t.branch("dev")
    t.tag("v1")
    with Tract.open(tmp_path / "a", read_only=True) as reader:
        reader.switch("dev")
        assert (reader.branch, reader.head, reader.tags()) == ("dev", one, {"v1": one})
        for call in (lambda: reader.branch("x"), lambda: reader.reset(one), lambda: reader.tag("x"), reader.undo):
            with pytest.raises(ReadOnlyError):
                call()


# histories with merges


def test_a_merge_compiles_as_from_nothing_whatever_was_cached(t: Tract, tmp_path: Path) -> None:
    say(t, "base")
    t.branch("dev")
    for number in range(5):
        t.switch("dev")
        one, two = say(t, f"dev {number}", f"dev again {number}")
        t.edit(one, user(f"dev edited {number}"))
        t.annotate(two, "skip")
        dev = t.head
        t.switch("main")
        say(t, f"main {number}")
        t.compile()
        assert dev is not None
        merge_commit(t, dev)
        say(t, f"after {number}")
        with Tract.open(tmp_path / "a", read_only=True) as fresh:
            assert fresh.compile().to_openai() == t.compile().to_openai()
    assert texts(t) == [
        "base",
        *(text for n in range(5) for text in (f"main {n}", f"dev edited {n}", f"after {n}")),
    ]


def test_a_merge_reads_nothing_again_that_its_first_parent_holds(t: Tract, monkeypatch: pytest.MonkeyPatch) -> None:
    say(t, *map(str, range(50)))
    t.branch("dev")
    t.switch("dev")
    (two,) = say(t, "dev")
    t.switch("main")
    say(t, "main")
    t.compile()
    merged = merge_commit(t, two)
    (after,) = say(t, "after")
    loaded: list[str] = []
    load = reader_of(t).loaded
    monkeypatch.setattr(reader_of(t), "loaded", lambda name, *known: (loaded.append(name), load(name, *known))[1])
    assert texts(t)[-3:] == ["main", "dev", "after"]
    assert loaded == [two, merged, after]


def test_a_tool_call_whose_result_lies_behind_a_cut_is_dropped_across_a_merge(t: Tract) -> None:
    call = {"content_type": "tool_io", "tool_name": "f", "direction": "call", "payload": {}, "call_id": "c1"}
    result = {"content_type": "tool_io", "tool_name": "f", "direction": "result", "payload": {}, "call_id": "c1"}
    say(t, "base")
    cut = t.commit(call).commit_hash
    t.branch("dev")
    t.switch("dev")
    t.commit(result)
    dev = t.head
    t.switch("main")
    say(t, "main")
    assert dev is not None
    merge_commit(t, dev)
    assert [message.role for message in t.compile().messages] == ["user", "tool", "user", "tool"]
    assert texts(t, at_commit=cut) == ["base"]
    assert texts(t, at_commit="main^1") == ["base", "main"]
    assert len(texts(t, at_commit="main^1", orphans="keep")) == 3
