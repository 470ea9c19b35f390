"""Links, dangling links and pipes at every path that a copy or a stranger may have in a store; and a hostile store as the other side of a sync."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.hostile import FORGED, FORGERS, HARD_LINKS, LINKS, WAYS, World, link_to_mine, make_context
from tests.lab.states import answers, bound_layout, own_place, remove_local, store_root, synced
from tests.lab.strangers import OPENINGS, READING, WRITING, check, expected_of
from tests.lab.talk import user
from tract_fs import Tract
from tract_fs.cli import main
from tract_fs.errors import TractError

pytestmark = pytest.mark.usefixtures("in_time")
PLACE_NAMES = (
    "made-here",
    "lock",
    "line",
    "HEAD",
    "redo",
    "redo.old.x",
    "redo.other",
    "quarantine",
    "quarantine/an object",
    "tracts",
    "tracts/default",
    "tracts/default/arrivals",
    "index.db",
    "index.db-journal",
    "index.db-wal",
    "index.db-shm",
    "tracts/default/snapshots",
    "tracts/default/snapshots/the head",
)
STORE_NAMES = (
    "FORMAT",
    ".gitattributes",
    ".gitignore",
    "events/default/a fan",
    "events/sub",
    "an event",
    "an object",
    "a pack",
)


def _link_to_file(path: Path, world: World) -> None:
    path.symlink_to(world.empty if ".db" in path.name else world.victim)


def _link_to_nothing(path: Path, world: World) -> None:
    path.symlink_to(world.root / "mine" / "not there")


def _link_to_directory(path: Path, world: World) -> None:
    path.symlink_to(world.victim.parent)


def _pipe(path: Path, world: World) -> None:
    os.mkfifo(path)


KINDS: dict[str, Callable[[Path, World], None]] = {
    "a link to a file": _link_to_file,
    "a link to nothing": _link_to_nothing,
    "a link to a directory": _link_to_directory,
    "a pipe": _pipe,
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def put_at(path: Path, kind: str, world: World) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    KINDS[kind](path, world)


def real_path(place: Path, name: str, head: str) -> Path:
    """Returns the path that a short name stands for."""
    return place / name.replace("the head", head).replace("an object", f"object-{head}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PLACE_NAMES)
def test_nothing_in_this_copy_s_own_place_is_a_way_out_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    make_context(world.here)
    with Tract.open(world.here, durability="fast") as t:
        answers(t)
        head = t.head
    assert head is not None
    expected = expected_of(world)
    put_at(real_path(own_place(world.here), name, head), kind, world)
    check(world, monkeypatch, expected=expected)


def store_path(root: Path, name: str) -> Path:
    """Returns a path in the store itself that a short name stands for."""
    if name == "events/default/a fan":
        return next(path for path in sorted((root / "events/default").iterdir()) if path.is_dir())
    if name == "an event":
        return sorted((root / "events/default").glob("*/*"))[0]
    if name == "an object":
        return sorted((root / "objects").glob("*/*"))[0]
    return sorted((root / "packs").iterdir())[0] if name == "a pack" else root / name


@pytest.mark.parametrize("way", [pytest.param(way, marks=pytest.mark.needs(way)) for way in ("tar", "rsync")])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", STORE_NAMES)
def test_nothing_in_a_store_is_a_way_out_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str, kind: str, way: str
) -> None:
    make_context(world.made)
    put_at(store_path(store_root(world.made), name), kind, world)
    WAYS[way](world.made, world.here)
    remove_local(world.here)
    before = world.tree()
    found = set()
    for options in OPENINGS.values():
        try:
            with Tract.open(world.here, create=False, lock_timeout_s=1.0, **options) as t:
                found.add(repr(answers(t)))
        except TractError:
            found.add("refused")
        assert world.tree() == before, options
    assert len(found) == 1
    monkeypatch.chdir(world.here)
    for command in (*READING, *WRITING, *READING):
        assert main(list(command)) in (0, 1, 2), command
        assert world.tree() == before, command


def test_the_earlier_text_behind_a_linked_gitignore_is_not_mended(world: World) -> None:
    make_context(world.here)
    earlier = b"!*\n/local/\n"
    world.victim.write_bytes(earlier)
    put_at(store_root(world.here) / ".gitignore", "a link to a file", world)
    before = world.tree()
    with Tract.open(world.here, durability="fast") as t:
        t.commit(user("more"))
    assert world.tree() == before
    assert world.victim.read_bytes() == earlier


# the other side of a sync


def mine_to_sync(world: World) -> Path:
    path = world.given / "own"
    with Tract.open(path, durability="fast") as t:
        t.commit(user("of mine"))
    return path


def contents(path: Path, **options: Any) -> list[str | None]:
    with Tract.open(path, read_only=True, **options) as t:
        return [message.content for message in t.compile().messages]


@pytest.mark.parametrize("extra", [(), ("--verify",)], ids=["plain", "verified"])
@pytest.mark.parametrize("name", [*FORGERS, *HARD_LINKS])
def test_a_sync_with_a_stick_that_a_stranger_made_writes_nothing_elsewhere(
    world: World, name: str, extra: tuple[str, ...]
) -> None:
    """What lies in its local/ is taken neither as it came nor where the stranger could guess its place."""
    make_context(world.here)
    expected = expected_of(world)
    world.made = world.here
    forger = {**FORGERS, **HARD_LINKS}[name]
    forger(store_root(world.here) / "local", world)
    world.seal = bound_layout(world.here).seal
    forger(own_place(world.here), world)
    mine = mine_to_sync(world)
    before = world.tree()
    for _ in range(2):
        assert main(["-C", str(mine), "sync", str(world.here), *extra]) in (0, 1)
        assert world.tree() == before
    assert FORGED not in contents(mine)
    assert contents(mine, verify=True) == contents(mine)
    remove_local(world.here)
    with Tract.open(world.here, read_only=True) as t:
        assert expected["head"] in {t.head, *t.status().other_heads}


@pytest.mark.parametrize("extra", [(), ("--verify",)], ids=["plain", "verified"])
@pytest.mark.parametrize("name", LINKS)
def test_a_sync_with_a_stick_of_links_writes_nothing_elsewhere(world: World, name: str, extra: tuple[str, ...]) -> None:
    make_context(world.here)
    world.made = world.here
    link_to_mine(world, name)
    mine = mine_to_sync(world)
    before, own = world.tree(), synced(mine)
    for _ in range(2):
        assert main(["-C", str(mine), "sync", str(world.here), *extra]) in (0, 1)
        assert world.tree() == before
    assert own.items() <= synced(mine).items()
    assert "of mine" in contents(mine)
    for number in range(4):
        assert f"of my own store {number}" not in contents(mine)
