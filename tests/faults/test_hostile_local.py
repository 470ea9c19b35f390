"""A fuzz over the files of a copy's own place: altered, cut, swapped and transplanted, they change no answer and lead nowhere else."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.lab.altered import StoreWithCaches, odd
from tests.lab.index_rows import put_saved_view, saved_view
from tests.lab.states import answers, bound_layout, copy_store, settle_at_once, synced
from tract_fs import Tract
from tract_fs.store import origins
from tract_fs.store import saved_view as saved_views

OPENINGS: tuple[dict[str, Any], ...] = (
    {"durability": "fast"},
    {"read_only": True},
    {"verify": True, "read_only": True},
    {"verify": True},
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> StoreWithCaches:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(origins, "_ROWS_AT_ONCE", 16)
        settle_at_once(patched)
        return StoreWithCaches(tmp_path_factory.mktemp("lab"))


def fuzz(lab: StoreWithCaches, folder: Path, *, seed: int, rounds: int) -> Counter[str]:
    chance = random.Random(seed)
    counts: Counter[str] = Counter()
    path = folder / "context"
    around = folder / "around"
    around.write_bytes(b"mine")
    for number in range(rounds):
        if number % 10 == 0:
            shutil.rmtree(path, ignore_errors=True)
            copy_store(lab.template, path)
            before = synced(path)
        told = lab.disturb(path, chance)
        options = chance.choice(OPENINGS)
        with Tract.open(path, **options) as t:
            found = answers(t)
        assert found == lab.expected, f"round {number}, {options}: {told}"
        counts[" ".join(options)] += 1
        if number % 10 == 9:
            assert synced(path) == before, told
            assert sorted(file.name for file in folder.iterdir()) == ["around", "context"]
            assert around.read_bytes() == b"mine"
    return counts


@pytest.mark.parametrize("seed", range(4))
def test_no_change_to_the_files_of_its_own_place_changes_an_answer(
    lab: StoreWithCaches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(origins, "_ROWS_AT_ONCE", 16)
    print(dict(fuzz(lab, tmp_path, seed=seed, rounds=80)))


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(100, 200))
def test_ten_thousand_changes_to_the_files_of_its_own_place_change_no_answer(
    lab: StoreWithCaches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(origins, "_ROWS_AT_ONCE", 16)
    print(dict(fuzz(lab, tmp_path, seed=seed, rounds=100)))


def test_a_view_of_odd_values_under_the_right_seal_raises_nothing_and_a_verified_open_does_not_read_it(
    lab: StoreWithCaches, tmp_path: Path
) -> None:
    """What who can write into the place can do at most: plain opens may answer by it, or drop it."""
    path = copy_store(lab.template, tmp_path / "context")
    chance = random.Random(7)
    layout = bound_layout(path)
    original = saved_view(path)
    dropped = 0
    for number in range(150):
        body = json.dumps(odd(chance, json.loads(original[65:]))).encode()
        put_saved_view(path, layout.sealed(body) + b"\n" + body)
        with Tract.open(path, read_only=True) as t:
            t.log(3)
            t.compile()
            t.status()
        dropped += saved_views.decode(layout, saved_view(path)) is None
        if number % 30 == 0:
            with Tract.open(path, verify=True, read_only=True) as t:
                assert answers(t) == lab.expected
    assert dropped > 75, dropped
