"""Merging by preference on every copy ends: in one head, in few rounds, with one context; and a range is shown once."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.lab.copies import bring_files
from tests.lab.inside import store_of
from tests.lab.states import synced
from tests.lab.talk import START_US, Clock, edit_one, say, say_one, texts
from tract_fs import CommitOperation, Tract
from tract_fs.errors import (
    AnnotateTargetError,
    EditTargetError,
    MergeConflict,
    ResetConflict,
    SummarizeError,
)

HISTORIES = 16
CAMPAIGN = int(os.environ.get("TRACT_MERGING_HISTORIES", "1000"))
PREFERENCES = ("ours", "theirs", "newer", ("ours", "reset"), ("theirs", "commits"), ("newer", "reset"))


def path_of(t: Tract) -> Path:
    return Path(store_of(t).layout.context)


@contextmanager
def copies(count: int, begin: Callable[[Tract], object], skews: Sequence[int] = (0,)) -> Iterator[list[Tract]]:
    """Yields copies of one store, whose clocks lie 1,000 s apart, or as many times that as `skews` says."""
    with TemporaryDirectory() as folder:
        paths = [Path(folder, str(number)) for number in range(count)]
        with Tract.open(paths[0], durability="fast", clock=Clock(START_US, step_us=1)) as t:
            begin(t)
        for path in paths[1:]:
            shutil.copytree(paths[0], path, ignore=shutil.ignore_patterns("local"))
        opened = [
            Tract.open(path, durability="fast", clock=Clock(START_US + 10**9 * (number + skews[number % len(skews)])))
            for number, path in enumerate(paths)
        ]
        try:
            yield opened
        finally:
            for t in opened:
                t.close()


def sync(all_copies: list[Tract]) -> None:
    """Brings the files of all copies to all."""
    first, *others = map(path_of, all_copies)
    for other in others:
        bring_files(other, first)
    for other in others:
        bring_files(first, other)
    for t in all_copies:
        t.refresh()


def heads(t: Tract) -> list[str]:
    return list(t.branches()["main"])


# -- one conflict, settled on both copies


def edits(one: Tract, other: Tract, target: str) -> None:
    edit_one(one, target, "A")
    edit_one(other, target, "B")


def annotations(one: Tract, other: Tract, target: str) -> None:
    one.annotate(target, "skip")
    other.annotate(target, "pinned")


def edit_and_summary(one: Tract, other: Tract, target: str) -> None:
    edit_one(one, target, "A")
    other.summarize([target], "B", keep_pinned=False)


def summaries(one: Tract, other: Tract, target: str) -> None:
    one.summarize([target], "A", keep_pinned=False)
    other.summarize([target], "B", keep_pinned=False)


def reset_and_commit(one: Tract, other: Tract, target: str) -> None:
    one.reset(target)
    say_one(other, "B")


DISAGREEMENTS = (edits, annotations, edit_and_summary, summaries, reset_and_commit)


@pytest.mark.parametrize(
    "preferences", [("ours", "ours"), ("theirs", "theirs"), ("ours", "newer"), ("reset", "commits")]
)
@pytest.mark.parametrize("disagree", DISAGREEMENTS)
def test_copies_that_settle_one_conflict_differently_are_one_after_the_next_merge(
    disagree: Callable[[Tract, Tract, str], None], preferences: tuple[str, str]
) -> None:
    given = [("ours", word) if word in ("reset", "commits") else word for word in preferences]
    with copies(2, lambda t: say(t, "hello", "there")) as both:
        disagree(*both, both[0].log(None)[-1].commit_hash)
        sync(both)
        for _ in range(2):
            for t, prefer in zip(both, given, strict=True):
                t.merge(prefer=prefer)
            sync(both)
        assert len(heads(both[0])) == 1
        assert heads(both[0]) == heads(both[1])
        assert texts(both[0]) == texts(both[1])
        before = synced(path_of(both[0]))
        for t, prefer in zip(both, given, strict=True):
            assert t.merge(prefer=prefer).kind == "up-to-date"
        sync(both)
        assert synced(path_of(both[0])) == synced(path_of(both[1])) == before


@pytest.mark.parametrize("disagree", DISAGREEMENTS)
def test_copies_that_prefer_what_is_newer_write_the_same_files(disagree: Callable[[Tract, Tract, str], None]) -> None:
    with copies(2, lambda t: say(t, "hello", "there")) as both:
        disagree(*both, both[0].log(None)[-1].commit_hash)
        sync(both)
        results = [t.merge(prefer="newer") for t in both]
        assert results[0].head == results[1].head
        assert synced(path_of(both[0])) == synced(path_of(both[1]))
        assert heads(both[0]) == heads(both[1]) == [results[0].head]


def test_the_newer_side_is_the_one_whose_commit_is_newer() -> None:
    with copies(2, lambda t: say(t, "one", "two")) as (one, other):
        two, first = (info.commit_hash for info in one.log(None))
        edit_one(one, first, "one, early")
        edit_one(other, first, "one, late")
        one.annotate(two, "skip")
        other.annotate(two, "pinned")
        sync([one, other])
        assert one.merge(prefer="newer").kind == "merge"
        assert texts(one) == ["one, late", "two"]


def test_an_edit_by_hand_after_a_settlement_is_in_conflict_with_it() -> None:
    with copies(2, lambda t: say(t, "hello")) as both:
        target = str(both[0].head)
        edits(*both, target)
        sync(both)
        for t in both:
            t.merge(prefer="ours")
        edit_one(both[1], target, "by hand")
        sync(both)
        with pytest.raises(MergeConflict):
            both[0].merge()
        both[0].merge(prefer="newer")
        assert texts(both[0]) == ["by hand"]


def test_a_picked_settlement_is_an_edit_like_any_other() -> None:
    with copies(2, lambda t: say(t, "hello")) as both:
        edits(*both, str(both[0].head))
        sync(both)
        (settled,) = both[0].merge(prefer="ours").resolutions
        assert settled.metadata == {"settles": "merge"}
        assert both[0].cherry_pick(settled.commit_hash).metadata is None


def test_a_preference_alone_keeps_the_commits_beside_a_reset() -> None:
    with copies(2, lambda t: say(t, "one", "two")) as both:
        reset_and_commit(*both, both[0].log(None)[-1].commit_hash)
        sync(both)
        with pytest.raises(ResetConflict):
            both[0].merge()
        assert both[0].merge(prefer="ours").kind == "forward"
        assert texts(both[0]) == ["one", "two", "B"]


def test_a_new_reset_after_a_settled_one_asks_again() -> None:
    with copies(2, lambda t: say(t, "one", "two")) as both:
        first = both[0].log(None)[-1].commit_hash
        reset_and_commit(*both, first)
        sync(both)
        both[0].merge(prefer="commits")
        sync(both)
        both[0].reset(first)
        say_one(both[1], "on")
        sync(both)
        with pytest.raises(ResetConflict):
            both[1].merge()


# -- three heads and more


def test_a_summary_that_one_choice_keeps_and_another_drops_goes() -> None:
    with copies(3, lambda t: say(t, "one", "two")) as (one, other, third):
        second, first = (info.commit_hash for info in one.log(None))
        edit_one(one, first, "ONE")
        edit_one(other, second, "TWO")
        third.summarize([first, second], "SUM")
        sync([one, other, third])
        result = one.merge(prefer="ours")  # of the second commit, the newest head's side is ours: the summary
        assert [(info.operation, info.priority) for info in result.resolutions] == [("annotate", "skip")]
        assert texts(one) == ["ONE", "TWO"]
        assert one.merge().kind == "up-to-date"


def step(rng: random.Random, t: Tract, name: str) -> None:
    infos = t.log(None)
    with_content = [info.commit_hash for info in infos if info.content_hash is not None]
    shown = t.compile().commit_hashes
    kind = rng.choice(("say", "edit", "edit", "annotate", "annotate", "summarize", "summarize", "reset"))
    with suppress(EditTargetError, AnnotateTargetError, SummarizeError):
        if kind == "say":
            say_one(t, f"{name} {rng.randrange(1000)}")
        elif kind == "edit":
            edit_one(t, rng.choice(with_content), f"edit {rng.randrange(3)}")
        elif kind == "annotate":
            t.annotate(rng.choice(with_content), rng.choice(("skip", "normal", "pinned")))
        elif kind == "summarize" and shown:
            first = rng.randrange(len(shown))
            chosen = shown[first : rng.randrange(first, len(shown)) + 1]
            t.summarize(chosen, f"sum of {name} {rng.randrange(2)}", keep_pinned=False)
        elif kind == "reset":
            t.reset(rng.choice(infos).commit_hash)


def check_merging_ends(seed: int) -> int:
    """Plays a history of two to seven copies; returns the rounds of merges until all are one."""
    rng = random.Random(seed)

    def begin(t: Tract) -> None:
        say(t, *[f"message {number}" for number in range(rng.randint(1, 6))])
        for _ in range(rng.randint(0, 2)):
            step(rng, t, "all")

    prefer: Any = rng.choice((*PREFERENCES, None))  # None: another one at each merge
    with copies(rng.randint(2, 7), begin, skews=[rng.choice((0, 5, -5)) for _ in range(3)]) as sites:
        for number, t in enumerate(sites):
            for _ in range(rng.randint(1, 5)):
                step(rng, t, str(number))
        if rng.random() < 0.3:
            met = rng.sample(sites, 2)
            sync(met)
            for t in met:
                t.merge(prefer=rng.choice(PREFERENCES))
                step(rng, t, "on")
        rounds = 0
        sync(sites)
        while len({head for t in sites for head in heads(t)}) > 1:
            rounds += 1
            assert rounds < 4
            for t in sites:
                t.merge(prefer=prefer or rng.choice(PREFERENCES))
                assert len(heads(t)) == 1
                assert t.merge().kind == "up-to-date"
            sync(sites)
        assert len({str(t.compile().messages) for t in sites}) == 1
        before = synced(path_of(sites[0]))
        assert {t.merge(prefer="ours").kind for t in sites} == {"up-to-date"}
        assert synced(path_of(sites[0])) == before
        return rounds


def check_all(seeds: range) -> None:
    rounds: Counter[int] = Counter()
    for seed in seeds:
        try:
            rounds[check_merging_ends(seed)] += 1
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
    print("histories by rounds:", dict(rounds))
    assert max(rounds) <= 2


@pytest.mark.slow
def test_merging_by_preference_ends_whatever_lies_in_the_heads() -> None:
    check_all(range(HISTORIES))


@pytest.mark.campaign
def test_merging_by_preference_ends_in_many_histories() -> None:
    check_all(range(CAMPAIGN))


# -- a range that is summarized on two copies


def test_two_summaries_of_one_range_are_a_conflict_and_one_shows() -> None:
    with copies(2, lambda t: say(t, "one", "two", "three")) as both:
        third, second, first = (info.commit_hash for info in both[0].log(None))
        ours = both[0].summarize([first, second], "A").commit_hash
        theirs = both[1].summarize([second, third], "B").commit_hash
        sync(both)
        with pytest.raises(MergeConflict) as caught:
            both[0].merge()
        (conflict,) = caught.value.conflicts
        assert (conflict.kind, conflict.target) == ("summary", second)
        assert (conflict.ours.commit, conflict.theirs.commit) == (ours, theirs)
        assert (conflict.ours.drops, conflict.theirs.drops) == ((theirs,), (ours,))
        assert "ours summarized it as 'A', theirs summarized it as 'B'" in str(caught.value)
        both[0].merge(prefer="theirs")
        assert texts(both[0]) == ["one", "B"]
        both[1].merge(resolutions={second: "theirs"})
        assert texts(both[1]) == ["A", "three"]


def test_equal_summaries_of_one_range_count_once() -> None:
    with copies(2, lambda t: say(t, "one", "two")) as both:
        names = [info.commit_hash for info in both[0].log(None)]
        for t in both:
            t.summarize(names, "SUM")
        say_one(both[0], "on")
        sync(both)
        assert both[0].merge().conflicts == ()
        assert texts(both[0]) == ["SUM", "on"]
        assert both[0].compile().warnings == []


def test_a_summary_of_more_stands_in_the_place_of_one_of_less() -> None:
    with copies(2, lambda t: say(t, "one", "two", "three")) as both:
        third, second, first = (info.commit_hash for info in both[0].log(None))
        both[0].summarize([first, second, third], "ALL")
        both[1].summarize([second, third], "SOME")
        sync(both)
        assert {t.merge().conflicts for t in both} == {()}
        assert [texts(t) for t in both] == [["ALL"], ["ALL"]]
        assert both[0].compile().warnings == []


def test_automatic_compaction_on_two_copies_leaves_one_summary_each_round() -> None:
    with copies(2, lambda t: say(t, *[f"message {number}" for number in range(10)])) as both:
        for number in range(4):
            for name, t in zip(("laptop", "desk"), both, strict=True):
                shown = t.compile().commit_hashes
                t.summarize(shown[:-2], f"{name} {number}")
                say(t, *[f"{name} {number} {turn}" for turn in range(3)])
            sync(both)
            both[number % 2].merge(prefer="ours")
            sync(both)
            assert texts(both[0]) == texts(both[1])
            infos = [both[0].get_commit(name) for name in both[0].compile().commit_hashes]
            assert [info is not None and info.operation for info in infos].count(CommitOperation.SUMMARIZE) == 1
            assert both[0].compile().warnings == []


def test_the_summaries_below_a_dropped_one_do_not_show_beside_the_one_that_stays() -> None:
    with copies(2, lambda t: say(t, "one", "two", "three", "four")) as both:
        fourth, third, second, first = (info.commit_hash for info in both[0].log(None))
        inner = both[0].summarize([first, second], "inner").commit_hash
        both[0].summarize([inner, third], "outer")
        both[1].summarize([second, third, fourth], "desk")
        sync(both)
        both[0].merge(prefer="theirs")
        assert texts(both[0]) == ["one", "desk"]


def test_summaries_of_a_fork_and_its_origin_are_in_conflict_and_one_shows(tmp_path: Path) -> None:
    with Tract.open(tmp_path, durability="fast") as t:
        one, two = say(t, "one", "two")
        with t.fork("sub") as fork:
            fork.summarize([one, two], "of the fork")
        t.summarize([one, two], "of the origin")
        with pytest.raises(MergeConflict):
            t.merge("sub:main")
        t.merge("sub:main", prefer="theirs")
        assert texts(t) == ["of the fork"]


def test_a_picked_summary_of_a_part_does_not_show_beside_the_greater_one(tmp_path: Path) -> None:
    with Tract.open(tmp_path, durability="fast") as t:
        one, two, three, four = say(t, "one", "two", "three", "four")
        t.branch("side")
        great = t.summarize([two, three, four], "GREAT").commit_hash
        with Tract.open(tmp_path, branch="side", durability="fast") as side:
            small = side.summarize([one, two], "SMALL").commit_hash
        picked = t.cherry_pick(small).commit_hash
        assert texts(t) == ["one", "GREAT"]
        (warning,) = t.compile().warnings
        assert warning == (
            f"commit {picked} is left out: another summary, {great}, stands for some of the same commits; "
            "revert the one that should not show"
        )
        with pytest.raises(SummarizeError, match=f"the summary {great} stands for it already"):
            t.summarize([picked], "again")
        t.revert(great)
        assert texts(t) == ["SMALL", "three", "four"]
        assert t.compile().warnings == []
