"""Several heads: what the context leaves out is counted, and said by `compile()`, `other_heads()` and `status()`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.lab.copies import bring_files
from tests.lab.states import copy_store, remove_local, store_root
from tests.lab.talk import START_US, Clock, say, texts, user
from tract_fs import OtherHeads, Tract

LATER_US = START_US + 10**9
JOIN = "; 'tract merge' joins them"
TWO_THEIRS = "branch 'main' has 2 heads; this context leaves out 2 commits of the other" + JOIN


@pytest.fixture
def diverged(tmp_path: Path) -> Path:
    """A copy with three own commits after the first, and two of another copy."""
    path = tmp_path / "here"
    with Tract.open(path, clock=Clock()) as t:
        say(t, "first")
    other = copy_store(path, tmp_path / "there")
    with Tract.open(path, clock=Clock(START_US + 10**8)) as t:
        say(t, "here 1", "here 2", "here 3")
    with Tract.open(other, clock=Clock(LATER_US)) as t:
        say(t, "there 1", "there 2")
    bring_files(other, path)
    return path


def test_one_head_is_no_reason_for_a_warning(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        assert (t.compile().warnings, t.other_heads()) == ([], None)
        say(t, "one", "two")
        t.reset("@~1")
        assert (t.compile().warnings, t.other_heads()) == ([], None)


def test_the_commits_of_another_copy_are_counted(diverged: Path) -> None:
    with Tract.open(diverged) as t:
        (theirs,) = t.status().other_heads
        assert texts(t) == ["first", "here 1", "here 2", "here 3"]
        assert t.compile().warnings == [TWO_THEIRS]
        assert t.other_heads() == OtherHeads("main", (theirs,), 2, 0, has_own_line=True, has_more_elsewhere=False)
        assert t.status().advice == (TWO_THEIRS,)


def test_heads_without_a_common_commit_are_not_advised_to_be_joined(tmp_path: Path) -> None:
    for name, text, start_us in (
        ("here", "You are the tax bot.", START_US),
        ("there", "You are the gardener.", LATER_US),
    ):
        with Tract.open(tmp_path / name, clock=Clock(start_us)) as t:
            say(t, text)
    with Tract.open(tmp_path / "here", clock=Clock(2 * LATER_US)) as t:
        t.sync(tmp_path / "there", allow_unrelated=True)
        apart = "they have no commit in common, as where two projects met, so 'tract merge' refuses to join them"
        assert t.compile().warnings == [
            f"branch 'main' has 2 heads; this context leaves out 1 commit of the other; {apart}"
        ]
        assert t.status().advice == tuple(t.compile().warnings)
        t.merge(allow_unrelated=True)
        assert t.compile().warnings == []


def test_a_commit_a_batch_and_another_handle_leave_the_count_right(diverged: Path) -> None:
    with Tract.open(diverged, clock=Clock(2 * LATER_US)) as t:
        say(t, "on")
        assert t.compile().warnings == [TWO_THEIRS]
        with t.batch():
            say(t, "staged")
            assert t.compile().warnings == [TWO_THEIRS]
        with Tract.open(diverged, clock=Clock(2 * LATER_US + 10**7)) as other:
            other.merge()
        assert t.compile().warnings == []


def test_a_batch_that_joins_the_heads_leaves_out_nothing(diverged: Path) -> None:
    with Tract.open(diverged, clock=Clock(2 * LATER_US)) as t, t.batch():
        t.merge()
        assert (t.compile().warnings, t.other_heads()) == ([], None)


def test_what_has_one_commit_for_its_head_leaves_out_nothing(diverged: Path) -> None:
    with Tract.open(diverged) as t:
        assert t.compile(at_commit="@").warnings == []
        with t.at("@") as fixed:
            assert (fixed.compile().warnings, fixed.other_heads()) == ([], None)


def test_a_cut_by_time_warns_once_it_leaves_out_a_commit(diverged: Path) -> None:
    made = [datetime.fromtimestamp((us + 2_000_000) // 10**6, UTC) for us in (START_US + 10**8, LATER_US)]
    with Tract.open(diverged, clock=Clock(2 * LATER_US)) as t:
        assert [t.compile(at_time=moment).warnings for moment in made] == [[], [TWO_THEIRS]]


def test_another_branch_is_named_by_the_status_alone(diverged: Path) -> None:
    with Tract.open(diverged) as t:
        t.switch("side", create=True)
        assert (t.compile().warnings, t.other_heads()) == ([], None)
        assert t.status().advice == ("branch 'main' has 2 heads: 'tract merge --branch main' joins them",)


def test_a_copy_without_a_line_of_its_own_says_that_it_goes_on_with_the_newest(diverged: Path) -> None:
    remove_local(diverged)
    with Tract.open(diverged) as t:
        assert texts(t) == ["first", "there 1", "there 2"]
        assert t.compile().warnings == [
            "branch 'main' has 2 heads; this context leaves out 3 commits of the other (this copy has no line of its own "
            "here, so it goes on with the newest head)" + JOIN
        ]


def test_a_reset_that_another_copy_went_beyond_leaves_out_nothing(tmp_path: Path) -> None:
    path = tmp_path / "here"
    with Tract.open(path, clock=Clock()) as t:
        say(t, "one", "two")
    other = copy_store(path, tmp_path / "there")
    with Tract.open(other, clock=Clock(START_US + 10**8)) as t:
        t.reset("@~1")
    with Tract.open(path, clock=Clock(LATER_US)) as t:
        say(t, "three")
    bring_files(other, path)
    with Tract.open(path) as t:
        assert texts(t) == ["one", "two", "three"]
        assert t.compile().warnings == [
            "branch 'main' has 2 heads; this context contains all commits of the other" + JOIN
        ]


def test_a_head_whose_history_is_lost_is_not_counted_and_stops_no_compile(diverged: Path) -> None:
    with Tract.open(diverged, clock=Clock(2 * LATER_US)) as t:
        say(t, "on")
        (theirs,) = t.status().other_heads
        lost = t.resolve(f"{theirs}~1")
    file = store_root(diverged) / "objects" / lost[:2] / lost[2:]
    data = file.read_bytes()
    file.unlink()
    with Tract.open(diverged) as t:
        assert texts(t) == ["first", "here 1", "here 2", "here 3", "on"]
        assert t.compile().warnings == [
            "branch 'main' has 2 heads; this context leaves out commits of the other, not all of which can be read"
            + JOIN
        ]
        file.write_bytes(data)
        assert t.compile().warnings == [TWO_THEIRS]


def test_three_heads_count_together() -> None:
    found = OtherHeads("main", ("a" * 64, "b" * 64), 3, 1, has_own_line=True, has_more_elsewhere=True)
    assert found.describe() == (
        "branch 'main' has 3 heads; this context leaves out 3 commits of the others, 1 of them this copy's own (this copy "
        "goes on with the line that it moved last, though another has more of the commits that it made)" + JOIN
    )
    unread = OtherHeads("main", ("a" * 64,), None, 0, has_own_line=True, has_more_elsewhere=False)
    assert unread.describe() == (
        "branch 'main' has 2 heads; this context leaves out commits of the other, not all of which can be read" + JOIN
    )


def test_a_warm_compile_counts_nothing_again(diverged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tract_fs.work import other_heads

    with Tract.open(diverged) as t:
        t.compile()
        monkeypatch.setattr(other_heads, "Reach", None)
        assert t.compile().warnings == [TWO_THEIRS]
        with pytest.raises(TypeError):
            t.commit(user("a head moves"))
            t.compile()
