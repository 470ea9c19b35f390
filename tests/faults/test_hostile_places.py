"""A stranger who fills `local/` with directories does not take this copy's own place away: its line, its branch, its lock and its redo log stay."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.lab.hostile import make_context
from tests.lab.states import answers, own_place, remove_local, store_root, synced
from tests.lab.talk import Clock, texts, user
from tract_fs import Tract
from tract_fs.cli import main
from tract_fs.errors import LockTimeout
from tract_fs.store import redo

MANY = (0, 999, 1000, 3000)
MARKER = b"0" * 64 + b"\n"


def crowd(path: Path, count: int, *, marked: bool = False) -> None:
    """Puts directories into local/ that have the form of places, whose names come before those of most real ones."""
    for number in range(count):
        directory = store_root(path) / "local" / f"{number:032x}"
        directory.mkdir(parents=True)
        if marked:
            (directory / "made-here").write_bytes(MARKER)


def real_places(path: Path) -> set[str]:
    return {name for name in os.listdir(store_root(path) / "local") if not name.startswith("0" * 24)}


@pytest.mark.parametrize("marked", [False, True], ids=["empty directories", "with markers"])
@pytest.mark.parametrize("count", MANY)
def test_a_copy_finds_its_own_place_beside_those_of_a_stranger(tmp_path: Path, count: int, marked: bool) -> None:
    path = make_context(tmp_path / "context")
    before = own_place(path).name
    crowd(path, count, marked=marked)
    for number in range(3):
        with Tract.open(path, durability="fast") as t:
            t.commit(user(f"again {number}"))
    assert real_places(path) == {before}


@pytest.mark.parametrize("count", MANY)
def test_a_copy_that_came_with_a_stranger_s_places_makes_one_of_its_own_not_more(tmp_path: Path, count: int) -> None:
    path = make_context(tmp_path / "context")
    remove_local(path)
    crowd(path, count)
    for number in range(4):
        with Tract.open(path, durability="fast") as t:
            t.commit(user(f"again {number}"))
    assert len(real_places(path)) == 1


@pytest.mark.parametrize("count", MANY)
def test_two_writers_of_a_crowded_store_exclude_each_other(tmp_path: Path, count: int) -> None:
    path = make_context(tmp_path / "context")
    remove_local(path)
    crowd(path, count)
    with Tract.open(path, durability="fast") as one, Tract.open(path, durability="fast", lock_timeout_s=0.2) as two:
        one.refresh()
        with one.batch():
            one.commit(user("of the first"))
            with pytest.raises(LockTimeout):
                two.commit(user("of the second"))


@pytest.mark.parametrize("count", MANY)
def test_a_crowded_copy_keeps_its_own_line_of_a_branch(tmp_path: Path, count: int) -> None:
    path, other = tmp_path / "context", tmp_path / "other"
    with Tract.open(path, durability="fast", clock=Clock()) as t:
        t.commit(user("from both"))
    shutil.copytree(path, other)
    remove_local(other)
    with Tract.open(path, durability="fast", clock=Clock(1_800_000_000_000_000)) as t:
        t.commit(user("mine"))
    with Tract.open(other, durability="fast", clock=Clock(1_900_000_000_000_000)) as t:
        t.commit(user("theirs, later"))
    for name, data in synced(other).items():
        file = store_root(path) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    crowd(path, count)
    for options in ({"read_only": True}, {"durability": "fast"}):
        with Tract.open(path, **options) as t:  # type: ignore[arg-type]
            assert texts(t) == ["from both", "mine"]


@pytest.mark.parametrize("count", MANY)
def test_a_crowded_copy_keeps_its_current_branch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    path = make_context(tmp_path / "context")
    monkeypatch.chdir(path)
    assert main(["branch", "apart"]) == main(["switch", "apart"]) == 0
    with Tract.open(path, read_only=True) as t:
        before = t.head
    crowd(path, count)
    assert main(["commit", "-m", "on the branch apart"]) == 0
    with Tract.open(path, read_only=True) as t:
        assert t.head == before
    with Tract.open(path, read_only=True, branch="apart") as t:
        assert texts(t)[-1] == "on the branch apart"


@pytest.mark.parametrize("count", MANY)
def test_a_commit_that_was_acknowledged_in_a_crowded_store_survives_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    path = make_context(tmp_path / "context")
    remove_local(path)
    crowd(path, count)
    kept = synced(path)
    with Tract.open(path, durability="durable") as t:
        t.commit(user("acknowledged"))
        expected = answers(t)
    for name in synced(path).keys() - kept.keys():
        (store_root(path) / name).unlink()  # what only the redo log had brought to the disk
    monkeypatch.setattr(redo, "boot_id", lambda: "another boot")
    with Tract.open(path) as t:
        assert answers(t) == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root to give a directory away")
@pytest.mark.parametrize("mode", [0o755, 0o777], ids=oct)
def test_a_local_that_another_user_owns_and_all_may_write_to_changes_no_answer(tmp_path: Path, mode: int) -> None:
    path = make_context(tmp_path / "context")
    with Tract.open(path, read_only=True) as t:
        expected = answers(t)
    local = store_root(path) / "local"
    os.chown(local, 12345, 12345)
    local.chmod(mode)
    for options in ({"read_only": True}, {"durability": "fast"}, {"verify": True}):
        with Tract.open(path, **options) as t:  # type: ignore[arg-type]
            assert answers(t) == expected
