"""Whatever is wrong with a cache of this copy, every answer is right, and no private error comes out."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.disk import disk, os_error
from tests.lab.states import own_place, prove_places, store_root
from tests.lab.talk import Clock, user
from tract_fs import Tract

TEXTS = [f"text {number}" for number in range(90)]
CACHES = ["index.db", "tracts/default/arrivals", "tracts/default/view", "tracts/default/snapshots", "tracts/default"]
CACHES += ["tracts", "quarantine", "tracts/default/snapshots/one"]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cached")
    with Tract.open(path, clock=Clock(), durability="fast") as t:
        for number, text in enumerate(TEXTS):
            t.commit(user(text), generation_config={"temperature": number % 2})
        t.compile()
        assert len(t.query_by_config("temperature", "=", 1)) == 45
    with Tract.open(path, clock=Clock(), durability="fast") as t:
        t.compile()
    return path


@pytest.fixture
def path(template: Path, tmp_path: Path) -> Path:
    return prove_places(Path(shutil.copytree(template, tmp_path / "store")))


def cache_of(path: Path, cache: str) -> Path:
    place = own_place(path)
    if cache.endswith("/one"):
        return next((place / "tracts/default/snapshots").iterdir())
    return place / cache


def require_right(t: Tract) -> None:
    assert [message.content for message in t.compile().messages] == TEXTS
    assert len(t.log(None)) == 90
    assert len(t.query_by_config("temperature", "=", 1)) == 45
    status = t.status()
    assert (status.commit_count, status.gone, status.pending, status.damaged) == (90, (), (), ())


def directory(cache: Path) -> None:
    cache.mkdir()
    (cache / "something").mkdir()


def loop(cache: Path) -> None:
    cache.symlink_to(cache.name)


def garbage(cache: Path) -> None:
    cache.write_bytes(b"\xff\0garbage" * 40)


@pytest.mark.parametrize("make", [directory, loop, garbage])
@pytest.mark.parametrize("cache", CACHES)
def test_something_else_in_the_place_of_a_cache_changes_no_answer(
    path: Path, cache: str, make: Callable[[Path], None]
) -> None:
    file = cache_of(path, cache)
    if file.is_dir():
        shutil.rmtree(file)
    elif file.exists():
        file.unlink()
    make(file)
    with Tract.open(path, read_only=True) as t:
        require_right(t)
    for _ in range(2):
        with Tract.open(path) as t:
            require_right(t)
    with Tract.open(path) as t:
        t.repair()
        require_right(t)
        assert t.commit(user("goes on")).commit_hash == t.head


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO], ids=errno.errorcode.get)
@pytest.mark.parametrize("is_open", [True, False], ids=["under an open handle", "before the open"])
@pytest.mark.parametrize("cache", [name for name in CACHES if name != "tracts"])
def test_a_cache_that_can_not_be_opened_changes_no_answer(path: Path, cache: str, code: int, is_open: bool) -> None:
    file = str(cache_of(path, cache))

    def fails(call: str, _number: int, given: tuple[Any, ...]) -> OSError | None:
        is_below = call == "open" and (str(given[0]) == file or str(given[0]).startswith(f"{file}/"))
        return os_error(code, str(given[0])) if is_below else None

    for read_only in (True, False):
        if is_open:
            with Tract.open(path, read_only=read_only) as t, disk(fails):
                require_right(t)
                assert len(t.query_by_config("temperature", "=", 0)) == 45
        else:
            with disk(fails), Tract.open(path, read_only=read_only) as t:
                require_right(t)
    with Tract.open(path) as t:
        require_right(t)


def test_text_files_that_can_not_be_read_do_not_stop_a_repair(path: Path) -> None:
    for name in (".gitattributes", ".gitignore"):
        file = store_root(path) / name

        def fails(call: str, _number: int, given: tuple[Any, ...], file: Path = file) -> OSError | None:
            return os_error(errno.EACCES, str(file)) if call == "open" and str(given[0]) == str(file) else None

        with disk(fails), Tract.open(path) as t:
            assert t.repair().unmoved == (f"{name}: not the text that belongs there",)
        file.unlink()
        file.mkdir()
        with Tract.open(path) as t:
            assert t.repair().unmoved == (f"{name}: not the text that belongs there",)
            require_right(t)
        file.rmdir()
        with Tract.open(path) as t:
            assert t.repair().mended == (name,)
    assert os.access(store_root(path) / "FORMAT", os.F_OK)
