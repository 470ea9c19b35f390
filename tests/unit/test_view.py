"""The view against the reference model, on random histories of three writers, in any order of arrival.

Three mutants of the fold (`replaces` ignored, hiding off, an event dropped) show that the comparison can fail.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable
from functools import cache

import msgspec
import pytest

from tests.lab.folding import fold, in_causal_order
from tests.lab.strategies_events import TRACTS, History, make_history
from tests.lab.views import FactsByTract, Files, expected_of, facts_of
from tract_fs.model import view as view_module
from tract_fs.model.events import Delete, Move
from tract_fs.model.view import View

HISTORIES = 1000


def folded(files: Files, order: Iterable[str], tract: str = "default") -> View:
    """Folds the events of one tract, given in any order; what is visible in the other tract is known."""
    events = [(name, files.events[name]) for name in order if files.events[name].tract == tract]
    return fold(events, tract=tract, source=files)  # type: ignore[arg-type]


def all_facts(files: Files, order: Iterable[str]) -> FactsByTract:
    names = list(order)
    return {tract: facts_of(folded(files, names, tract), files) for tract in TRACTS}


def shuffled(names: Iterable[str], rng: random.Random) -> list[str]:
    order = sorted(names)
    rng.shuffle(order)
    return order


@cache
def history(seed: int) -> History:
    return make_history(random.Random(seed))


@cache
def expected(seed: int) -> FactsByTract:
    return expected_of(history(seed).view())


def seeds_that_differ(change: Callable[[Files], Files], seeds: Iterable[int] = range(HISTORIES)) -> list[int]:
    """Returns the histories whose view, folded from changed files, is not what the reference says of the true ones."""
    differ = []
    for seed in seeds:
        files = change(Files(history(seed)))
        files.settle()
        if all_facts(files, files.events) != expected(seed):
            differ.append(seed)
    return differ


# -- the histories hold what they are for


def test_the_histories_hold_two_heads_concurrent_removals_and_twin_merges_in_plenty() -> None:
    made = [history(seed) for seed in range(HISTORIES)]
    assert sum(one.had_two_heads for one in made) >= 0.40 * HISTORIES
    assert sum(one.had_concurrent_removal for one in made) >= 0.10 * HISTORIES
    assert sum(one.had_twin_merge for one in made) >= 0.05 * HISTORIES
    assert sum(one.had_branch_merge for one in made) >= 0.10 * HISTORIES
    assert sum(one.had_merge_back for one in made) >= 0.02 * HISTORIES
    assert sum(one.had_rename for one in made) >= 0.04 * HISTORIES
    assert sum(bool(one.redacted) for one in made) >= 0.05 * HISTORIES
    assert sum(bool(one.view().invalid) for one in made) >= 0.05 * HISTORIES
    assert sum(any(one.view().hidden_heads(branch) for branch in ("main", "side")) for one in made) >= 0.05 * HISTORIES


# -- the fold is what the reference says


def test_a_fold_in_any_order_gives_the_reference_view() -> None:
    for seed in range(HISTORIES):
        files = Files(history(seed))
        rng = random.Random(seed)
        for _ in range(2):
            assert all_facts(files, shuffled(files.events, rng)) == expected(seed), f"seed {seed}"


def test_a_fold_of_few_events_gives_the_reference_view_in_every_order() -> None:
    checked = 0
    for seed in range(200):
        small = make_history(random.Random(seed), steps=9)
        files = Files(small)
        if 2 <= len(files.events) <= 5:
            checked += 1
            wanted = expected_of(small.view())
            for order in itertools.permutations(files.events):
                assert all_facts(files, order) == wanted, f"seed {seed}"
    assert checked >= 30


def test_each_copy_sees_the_reference_view_of_its_own_files() -> None:
    for seed in range(0, HISTORIES, 4):
        for names in history(seed).copies:
            files = Files(history(seed), names)
            assert all_facts(files, files.events) == expected_of(history(seed).view(names)), f"seed {seed}"


def test_any_part_of_the_files_gives_the_reference_view_of_that_part() -> None:
    waited = 0
    for seed in range(0, HISTORIES, 4):
        rng = random.Random(seed)
        names = {name for name in sorted(history(seed).all_files()) if rng.random() < 0.9}
        files = Files(history(seed), names)
        found = all_facts(files, shuffled(files.events, rng))
        assert found == expected_of(history(seed).view(names)), f"seed {seed}"
        waited += bool(found["default"]["not visible"])
    assert waited >= 50


def test_events_that_arrive_in_parts_give_the_view_of_the_whole() -> None:
    for seed in range(0, HISTORIES, 4):
        rng = random.Random(seed)
        files = Files(history(seed), set())
        views = {tract: View(tract) for tract in TRACTS}
        rest = shuffled(history(seed).all_files(), rng)
        while rest:
            count = rng.randint(1, len(rest))
            part, rest = rest[:count], rest[count:]
            files.take(history(seed), part)
            offered = [(name, event) for name, event in files.events.items() if name not in files.visible]
            for name, event in in_causal_order(offered):  # type: ignore[arg-type]
                if views[event.tract].apply(name, event, files):
                    files.visible.add(name)
        assert {tract: facts_of(view, files) for tract, view in views.items()} == expected(seed), f"seed {seed}"


def test_a_copy_works_on_the_head_of_its_own_line() -> None:
    chosen = 0
    for seed in range(HISTORIES):
        reference = history(seed).view()
        for own_moves in history(seed).own_moves:
            files = Files(history(seed))
            views = {tract: folded(files, files.events, tract) for tract in TRACTS}
            for (tract, branch), event in own_moves.items():
                view, model = views[tract], reference.of_tract(tract)
                view.note_own(branch, event, files.events[event].at)
                head = view.own_head(branch, files)
                wanted = model.own_head(branch, event)
                assert (head and head.commit) == wanted, f"seed {seed}, branch {branch}"
                chosen += wanted != model.own_head(branch, None)
    assert chosen >= 20


# -- the comparison can fail


def test_replaces_ignored_is_noticed() -> None:
    def ignore(files: Files) -> Files:
        for name, event in files.events.items():
            ops = [
                msgspec.structs.replace(op, replaces=()) if isinstance(op, Move | Delete) else op for op in event.ops
            ]
            files.events[name] = msgspec.structs.replace(event, ops=tuple(ops))
        return files

    assert len(seeds_that_differ(ignore)) > HISTORIES / 2


def test_hiding_switched_off_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(View, "_is_below", lambda self, *args: False)
    assert seeds_that_differ(lambda files: files)


def test_every_commit_taken_for_unrelated_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_module, "is_ancestor", lambda *args, **options: False)
    assert seeds_that_differ(lambda files: files, range(100))


def test_one_event_dropped_is_noticed() -> None:
    def drop(files: Files) -> Files:
        names = sorted(files.events)
        if names:
            del files.events[random.Random(len(names)).choice(names)]
        return files

    assert len(seeds_that_differ(drop)) > HISTORIES / 2
