"""Files that arrive torn, in any order, and are filled in place later: what was bad at one look is looked at again."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from tests.lab.copies import hashed, open_tract
from tests.lab.states import answers, list_always, put, put_in_place, store_root
from tests.lab.talk import Clock, user
from tract_fs import Tract
from tract_fs.errors import TractError


def make_source(path: Path, chance: Random) -> None:
    """Makes a store of two tracts in packs and loose files."""
    clock = Clock()
    for tract in ("default", "other"):
        with open_tract(path, tract_id=tract, clock=clock) as t:
            for number in range(chance.randint(2, 10)):
                made = t.commit(user(f"{tract} {number}"))
                if chance.random() < 0.2:
                    t.edit(made.commit_hash, user(f"{tract} {number} edited"))
                if chance.random() < 0.3:
                    t.pack()


def tear(file: Path, data: bytes, chance: Random) -> None:
    """Writes a part of a file, or leaves a part of it: its beginning, or zeros where the rest is to come."""
    size = chance.choice((0, 1, 100, 1000, len(data) // 2))
    torn = data[: min(size, len(data) - 1)]
    write = put_in_place if file.exists() else put
    write(file, torn.ljust(len(data), b"\0") if chance.random() < 0.2 else torn)
    keep_mtime(file)


def fill(file: Path, data: bytes) -> None:
    with file.open("r+b") as stream:
        stream.write(data)
    keep_mtime(file)


def keep_mtime(file: Path) -> None:
    os.utime(file, (1_700_000_000, 1_700_000_000))


def look(path: Path, chance: Random) -> None:
    """Looks by a new handle, as `tract log` and a compile do."""
    with open_tract(path, read_only=chance.random() < 0.5, tract_id=chance.choice(("default", "other"))) as t:
        look_with(t, chance)


def look_with(t: Tract, chance: Random) -> None:
    for call in chance.sample((t.log, t.compile, t.status), 2):
        with suppress(TractError):  # a prefix that is not whole may be refused meanwhile
            call()


def arrive(tmp_path: Path, seed: int) -> None:
    chance = Random(seed)
    source, target = tmp_path / "source", tmp_path / "target"
    make_source(source, chance)
    with open_tract(target, tract_id="default"):
        pass
    warm = open_tract(target, read_only=chance.random() < 0.5)
    files = hashed(source)
    turns = [name for name in sorted(files) for _ in range(chance.choice((1, 2, 2, 4)))]
    steps = chance.sample(turns, len(turns))
    left = Counter(turns)
    for name in steps:
        data, file = files[name], store_root(target) / name
        if left[name] % 2 == 0:  # before the last turn it is torn
            tear(file, data, chance)
        elif file.exists():
            fill(file, data)
        else:
            put(file, data)
        left[name] -= 1
        if chance.random() < 8 / len(steps):
            look(target, chance)
        if chance.random() < 8 / len(steps):
            look_with(warm, chance)
    for tract in ("default", "other"):
        with open_tract(source, tract_id=tract, read_only=True) as t:
            expected = answers(t)
        with open_tract(target, tract_id=tract, read_only=chance.random() < 0.5) as t:
            assert answers(t) == expected
            status = t.status()
            assert (status.pending, status.damaged, status.gone, status.lost) == ((), (), (), ())
        if tract == "default":
            assert answers(warm) == expected
    warm.close()


@pytest.mark.parametrize("seed", range(6))
def test_files_filled_in_place_in_any_order_end_as_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    list_always(monkeypatch)
    arrive(tmp_path, seed)


@pytest.mark.parametrize("size", [0, 1, 100, 700])
def test_a_pack_that_another_copy_heals_is_read_by_the_next_handle(tmp_path: Path, size: int) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with open_tract(source) as t:
        for number in range(4):
            t.commit(user(f"text {number}"))
        t.pack()
        target.mkdir()
        t.sync(target)
    (name,) = [name for name in hashed(source) if name.startswith("packs/")]
    put_in_place(store_root(target) / name, hashed(source)[name][:size])
    with open_tract(target) as t:
        assert [line.partition(":")[0] for line in t.status().damaged] == [name]
    with open_tract(source) as t:
        t.sync(target, verify=True)
    with open_tract(target) as t:
        assert [message.content for message in t.compile().messages] == [f"text {number}" for number in range(4)]
        assert t.status().pending == ()


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(6, 156))
def test_many_files_filled_in_place_in_any_order_end_as_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    list_always(monkeypatch)
    arrive(tmp_path, seed)
