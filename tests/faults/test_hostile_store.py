"""A stranger's store is data: whatever lies in it, nothing outside its `.tract` is touched, and nothing is shown that no event of it brings."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.hostile import (
    FORGED,
    FORGERS,
    HARD_LINKS,
    LINKS,
    REFUSED_LINKS,
    WAYS,
    World,
    journal_naming,
    link_to_mine,
    make_context,
)
from tests.lab.index_rows import index_of, make_sums_right, opened
from tests.lab.states import answers, bound_layout, own_place, remove_local, store_root
from tests.lab.strangers import OPENINGS, check
from tests.lab.talk import user
from tract_fs import Tract
from tract_fs.errors import HistoryIncomplete, LockTimeout, NotAStore, TractError
from tract_fs.store import files, place


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("way", [pytest.param(way, marks=pytest.mark.needs(way)) for way in WAYS])
@pytest.mark.parametrize("name", FORGERS)
def test_what_a_stranger_put_into_local_is_never_read(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str, way: str
) -> None:
    """As an earlier version laid it out, and in the place of the stranger's own copy."""
    make_context(world.made)
    FORGERS[name](store_root(world.made) / "local", world)
    world.seal = bound_layout(world.made).seal
    FORGERS[name](own_place(world.made), world)
    WAYS[way](world.made, world.here)
    check(world, monkeypatch)


@pytest.mark.parametrize("way", [pytest.param(way, marks=pytest.mark.needs(way)) for way in WAYS])
@pytest.mark.parametrize("name", LINKS)
def test_no_link_in_a_store_is_followed(world: World, monkeypatch: pytest.MonkeyPatch, name: str, way: str) -> None:
    make_context(world.made)
    link_to_mine(world, name)
    WAYS[way](world.made, world.here)
    check(world, monkeypatch, expected="NotAStore" if name in REFUSED_LINKS else None)


@pytest.mark.parametrize("name", [*FORGERS, *HARD_LINKS])
def test_files_in_this_copy_s_own_place_lead_nowhere_else(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As if the stranger had guessed what binds the place to this copy."""
    make_context(world.made)
    WAYS["tar"](world.made, world.here)
    remove_local(world.here)
    make_caches(world.here)
    ({**FORGERS, **HARD_LINKS})[name](own_place(world.here), world)
    check(world, monkeypatch)


def make_caches(path: Path) -> None:
    with Tract.open(path, durability="fast") as t:
        answers(t)


def test_the_hot_journal_of_these_tests_is_one_that_sqlite_obeys(tmp_path: Path) -> None:
    victim, database = tmp_path / "victim", tmp_path / "x.db"
    victim.write_bytes(b"keep me\n")
    connection = sqlite3.connect(database)
    connection.execute("create table stamp (x)")
    connection.commit()
    connection.close()
    (tmp_path / "x.db-journal").write_bytes(journal_naming(victim, database.stat().st_size // 4096))
    connection = sqlite3.connect(database)
    connection.execute("select * from stamp")
    connection.close()
    assert not victim.exists()


def test_a_verified_open_believes_no_rows_of_packs_even_those_with_the_seal(tmp_path: Path) -> None:
    path = make_context(tmp_path / "context")
    with Tract.open(path) as t:
        expected = answers(t)
    layout = bound_layout(path)
    with opened(index_of(path)) as connection:
        assert connection.execute("delete from members").rowcount
        make_sums_right(connection, layout.seal)
    for options in (OPENINGS["verified, read-only"], OPENINGS["verified"]):
        with Tract.open(path, **options) as t:
            assert answers(t) == expected
    with Tract.open(path) as t:  # the forged rows have been replaced
        assert answers(t) == expected


# swaps between a look and its use


@pytest.mark.parametrize("name", ["objects", "events", "a fan"])
def test_a_directory_that_becomes_a_link_under_an_open_handle_is_not_written_through(world: World, name: str) -> None:
    make_context(world.made)
    before = world.tree()
    with Tract.open(world.made, durability="fast") as t:
        t.commit(user("before"))
        link_to_mine(world, name if name != "a fan" else "a fan")
        if name == "a fan":
            for fan in (store_root(world.store) / "objects").iterdir():
                place = store_root(world.made) / "objects" / fan.name
                shutil.rmtree(place, ignore_errors=True) if not place.is_symlink() else None
                if not place.is_symlink():
                    place.symlink_to(fan)
        for number in range(40):
            try:
                t.commit(user(f"after {number}"))
            except (TractError, OSError) as error:
                assert str(world.made) in str(error) or ".tract" in str(error) or " is a symbolic link" in str(error)
    mine = {path: found for path, found in world.tree().items() if path.startswith(("mine", "my-store"))}
    assert mine == {path: found for path, found in before.items() if path.startswith(("mine", "my-store"))}


# what keeps a place, and what makes another


def line_of(path: Path) -> list[Any]:
    with Tract.open(path, durability="fast") as t:
        return [message.content for message in t.compile().messages]


def places(path: Path) -> list[str]:
    return sorted(file.name for file in (store_root(path) / "local").iterdir())


def test_a_directory_that_is_moved_keeps_its_place(tmp_path: Path) -> None:
    path = make_context(tmp_path / "context")
    before = own_place(path).name
    path.rename(tmp_path / "moved")
    line_of(tmp_path / "moved")
    assert places(tmp_path / "moved") == [before]


def copied_by(command: str) -> Callable[[Path, Path], None]:
    return lambda source, target: subprocess.run(  # type: ignore[return-value]
        ["sh", "-c", command.format(source=source, target=target)], check=True
    )


COPIES = {
    "cp": copied_by("cp -a {source} {target}"),
    "rsync": copied_by("rsync -a {source}/ {target}/"),
    "tar": copied_by("mkdir {target} && tar -C {source} -cf - . | tar -C {target} -xf -"),
}


@pytest.mark.parametrize("way", [pytest.param(way, marks=pytest.mark.needs(way)) for way in COPIES])
def test_a_copy_gets_a_place_of_its_own_beside_the_one_that_came_along(tmp_path: Path, way: str) -> None:
    path = make_context(tmp_path / "context")
    before = own_place(path).name
    texts = line_of(path)
    COPIES[way](path, tmp_path / "copy")
    with Tract.open(tmp_path / "copy", read_only=True) as t:
        assert [message.content for message in t.compile().messages] == texts
    assert places(tmp_path / "copy") == [before]  # a reader makes none
    assert line_of(tmp_path / "copy") == texts
    assert len(places(tmp_path / "copy")) == 2
    with Tract.open(tmp_path / "copy") as t:
        assert t.status().unread_local == (before,)
    assert own_place(path).name == before  # the source keeps its own


def test_a_bind_mount_shows_the_same_place(tmp_path: Path) -> None:
    path = make_context(tmp_path / "context")
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    if subprocess.run(["mount", "--bind", str(path), str(mounted)], check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    try:
        assert own_place(mounted).name == own_place(path).name
    finally:
        files.close_directories(str(mounted))
        subprocess.run(["umount", str(mounted)], check=True)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs to be root to give a file away")
@pytest.mark.parametrize("mode, is_read", [(0o755, False), (0o777, False), (0o775, True)], ids=["0755", "0777", "0775"])
def test_the_place_of_another_user_counts_only_if_it_is_shared_with_a_group_of_ours(
    tmp_path: Path, mode: int, is_read: bool
) -> None:
    path = make_context(tmp_path / "context")
    before = own_place(path)
    (before / "made-here").chmod(0o444)
    os.chown(before, 12345, os.getegid())
    os.chown(before / "made-here", 12345, os.getegid())
    before.chmod(mode)
    proof = place_name(before)
    assert (proof is not None) is is_read


def place_name(directory: Path) -> str | None:
    found = place.proof_of(str(directory))
    return None if found is None else found[0]


@pytest.mark.needs("rsync")
@pytest.mark.parametrize("is_open", [False, True], ids=["closed", "open handle"])
def test_an_rsync_with_local_takes_nothing_out_of_the_other_copy_s_context(tmp_path: Path, is_open: bool) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    with Tract.open(a, durability="fast") as t:
        t.commit(user("from both"))
    COPIES["rsync"](a, b)
    with Tract.open(b, durability="fast") as t:
        t.commit(user("of b"))
    with Tract.open(a, durability="fast") as t:
        t.commit(user("of a, later"))
    with Tract.open(b, durability="fast") as t:
        if not is_open:
            t.close()
        COPIES["rsync"](a, b)
        if is_open:
            t.refresh()
            assert [message.content for message in t.compile().messages] == ["from both", "of b"]
    with Tract.open(b, durability="fast") as t:
        assert [message.content for message in t.compile().messages] == ["from both", "of b"]
        assert len(t.status().other_heads) == 1


def test_the_forged_text_of_these_tests_is_shown_where_the_place_is_the_stranger_s_own(world: World) -> None:
    """So the tests above would notice if a place that was brought along were read."""
    make_context(world.made)
    world.seal = bound_layout(world.made).seal
    FORGERS["a forged snapshot"](own_place(world.made), world)
    with Tract.open(world.made, read_only=True) as t:
        assert [message.content for message in t.compile().messages] == [FORGED]
    with Tract.open(world.made, read_only=True, verify=True) as t:
        assert FORGED not in [message.content for message in t.compile().messages]


def test_a_linked_store_is_refused_by_name(world: World) -> None:
    make_context(world.made)
    link_to_mine(world, "objects")
    with pytest.raises(NotAStore, match=r"objects: a symbolic link; none is followed in a store, remove the link"):
        Tract.open(world.made)


def test_a_store_whose_local_was_laid_out_by_an_earlier_version_answers_the_same(tmp_path: Path) -> None:
    path = make_context(tmp_path / "context")
    with Tract.open(path, read_only=True) as t:
        expected = answers(t)
    before = own_place(path)
    for file in list(before.iterdir()):
        file.rename(before.parent / file.name)
    before.rmdir()
    (before.parent / "made-here").unlink()
    (store_root(path) / ".gitignore").write_bytes(b"!*\n/local/\n")
    with Tract.open(path, read_only=True) as t:
        assert answers(t) == expected
        assert t.status().unread_local == ("index.db", "lock", "tracts")
    assert (store_root(path) / ".gitignore").read_bytes() == b"!*\n/local/\n"
    with Tract.open(path) as t:
        assert answers(t) == expected
        assert "index.db, lock, tracts" in "".join(t.status().advice)
    assert (store_root(path) / ".gitignore").read_bytes() == b"!*\n/local\n.new.*\n"


def test_a_file_with_a_second_name_is_not_appended_to(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"keep me")
    os.link(tmp_path / "mine", tmp_path / "log")
    file = files.AppendFile(str(tmp_path / "log"))
    file.append(b"appended", 0)
    file.close()
    assert (tmp_path / "mine").read_bytes() == b"keep me"
    assert (tmp_path / "log").read_bytes() == b"appended"


def test_thousands_of_directories_in_local_do_not_hide_this_copy_s_own_place(tmp_path: Path) -> None:
    path = make_context(tmp_path / "context")
    before = own_place(path)
    for number in range(3000):
        (before.parent / f"{number:032x}").mkdir()
    assert own_place(path) == before
    with Tract.open(path) as t, Tract.open(path, lock_timeout_s=0.1) as other, t.batch():
        t.commit(user("in a batch, which holds the lock"))
        with pytest.raises(LockTimeout):
            other.commit(user("beside it"))
    assert len(places(path)) == 3001


def test_a_write_through_a_linked_directory_names_the_link(world: World) -> None:
    make_context(world.made)
    link_to_mine(world, "events/default")
    with (
        Tract.open(world.made, durability="fast") as t,
        pytest.raises(HistoryIncomplete, match=r"events/default is a symbolic link, and none is followed in a store"),
    ):
        t.commit(user("refused"))
