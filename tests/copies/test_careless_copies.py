"""Careless copies: whatever becomes of local/, the answers are those of the files outside it."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lab.disk import disk, os_error
from tests.lab.states import (
    answers,
    copy_store,
    is_unlocked,
    list_always,
    local_files,
    own_place,
    prove_places,
    put,
    put_in_place,
    remove_local,
    settle_at_once,
    store_root,
    synced,
    take_over_local,
)
from tests.lab.stores import fill, fill_pack
from tests.lab.talk import Clock, user
from tract_fs import Tract
from tract_fs.errors import HistoryIncomplete
from tract_fs.store import redo
from tract_fs.store.index import file as index_file
from tract_fs.store.place import MARKER

FILES = (
    "tracts/default/arrivals",
    "index.db",
    "tracts/default/snapshots",
    "redo",
    "lock",
)


@dataclass
class Sources:
    """One store, and places in local/ that do not belong to it."""

    path: Path
    answers: dict[str, Any] = field(default_factory=dict)
    locals: dict[str, Path] = field(default_factory=dict)  # what it is: where it lies


def put_local(path: Path, source: Path) -> None:
    """Makes the files of another place those of this copy's, as if they had been made there: so they are read."""
    remove_local(path)
    take_over_local(source, path)


def open_tract(path: Path, **options: Any) -> Tract:
    options.setdefault("durability", "durable")
    return Tract.open(path, lock_timeout_s=0.5, **options)


def use(path: Path, *, clock_us: int | None = None, texts: tuple[str, ...] = ()) -> dict[str, Any]:
    """Opens, commits, asks everything and closes, so that every cache is written; returns the answers."""
    clock = {} if clock_us is None else {"clock": Clock(clock_us)}
    with open_tract(path, **clock) as t:
        for text in texts:
            t.commit(user(text), generation_config={"model": "m-1", "temperature": len(text) / 4})
        return answers(t)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sources]:
    folder = tmp_path_factory.mktemp("sources")
    made = Sources(folder / "context")
    with pytest.MonkeyPatch.context() as patched:
        settle_at_once(patched)  # caches remember the directories that they listed, as after two seconds
        with open_tract(made.path, clock=Clock()) as t:
            fill(t)
            fill_pack(t, 60)
        use(made.path)

        def keep(name: str, path: Path) -> None:
            made.locals[name] = folder / "locals" / name
            shutil.copytree(own_place(path), made.locals[name])

        keep("an older state", made.path)
        time.sleep(0.02)
        made.answers = use(made.path, clock_us=1_800_000_000_000_000, texts=("one", "two", "three"))
        keep("its own, copied", made.path)
        same = copy_store(made.path, folder / "same")
        use(same)
        keep("another copy", same)
        time.sleep(0.02)
        use(same, clock_us=1_900_000_000_000_000, texts=("there", "only"))
        keep("another copy that went on", same)
        unrelated = folder / "unrelated"
        with open_tract(unrelated, clock=Clock()) as t:
            t.commit(user("of another project"), generation_config={"model": "m-1"})
            fill_pack(t, 40)
        use(unrelated)
        keep("an unrelated store", unrelated)
        keep_swapped(made, folder)
    yield made


def keep_swapped(made: Sources, folder: Path) -> None:
    """Keeps a local/ in which another tract's directory stands under the name of ours."""
    path = copy_store(made.path, folder / "two tracts")
    with open_tract(path, tract_id="other", clock=Clock()) as t:
        fill(t)
        answers(t)
    swapped = folder / "locals" / "another tract"
    shutil.copytree(own_place(path), swapped)
    shutil.rmtree(swapped / "tracts" / "default")
    (swapped / "tracts" / "other").rename(swapped / "tracts" / "default")
    made.locals["another tract"] = swapped


@pytest.fixture
def path(sources: Sources, tmp_path: Path) -> Path:
    """A copy of the store with a local/ that became its own."""
    copied = copy_store(sources.path, tmp_path / "context")
    assert use(copied) == sources.answers
    return copied


NAMES = (
    "an older state",
    "its own, copied",
    "another copy",
    "another copy that went on",
    "an unrelated store",
    "another tract",
)


def check_right(path: Path, expected: dict[str, Any]) -> None:
    """Checks that a store answers as expected, takes a commit, and goes on so with and without local/."""
    with open_tract(path) as t:
        assert answers(t) == expected
        t.refresh()
        assert answers(t) == expected
        status = t.status()
        assert (status.other_heads, status.pending, status.damaged) == ((), (), ())
        assert t.compile().warnings == []
        info = t.commit(user("goes on"), generation_config={"model": "m-1", "temperature": 3})
        assert info.parents == (expected["head"],)
        went_on = answers(t)
    with open_tract(path) as t:
        assert answers(t) == went_on
    remove_local(path)
    with open_tract(path) as t:
        assert answers(t) == went_on
        assert t.status().other_heads == ()


def lay_over(source: Path, target: Path, *, in_place: bool) -> None:
    """Copies the files of a directory over another's, as cp (in place) or rsync (by rename) do; files of the target alone stay."""
    for folder, _, names in os.walk(source):
        for name in names:
            file = Path(folder) / name
            if name == MARKER and (source.parent.name == "locals" or target.parent.name == "local"):
                continue  # the place stays this copy's own, and so what is laid over is read
            goal = target / file.relative_to(source)
            if in_place and goal.exists():
                put_in_place(goal, file.read_bytes())
            else:
                put(goal, file.read_bytes())


# whole directories


@pytest.mark.parametrize("name", NAMES)
def test_a_local_directory_that_is_not_its_own_changes_no_answer(sources: Sources, path: Path, name: str) -> None:
    put_local(path, sources.locals[name])
    check_right(path, sources.answers)


@pytest.mark.parametrize("in_place", [False, True], ids=["by rename", "in place"])
@pytest.mark.parametrize("name", NAMES)
def test_a_local_directory_that_is_laid_over_its_own_changes_no_answer(
    sources: Sources, path: Path, name: str, in_place: bool
) -> None:
    lay_over(sources.locals[name], own_place(path), in_place=in_place)
    check_right(path, sources.answers)


@pytest.mark.parametrize("in_place", [False, True], ids=["by rename", "in place"])
@pytest.mark.parametrize("name", NAMES)
def test_a_local_directory_that_is_laid_over_under_an_open_handle_changes_no_answer(
    sources: Sources, path: Path, name: str, in_place: bool
) -> None:
    with open_tract(path) as t, open_tract(path) as cold:
        assert answers(t) == sources.answers
        lay_over(sources.locals[name], own_place(path), in_place=in_place)
        assert answers(t) == sources.answers
        assert answers(cold) == sources.answers
        first = t.commit(user("first"))
        second = cold.commit(user("second"))
        third = t.commit(user("third"))
        assert first.parents == (sources.answers["head"],)
        assert second.parents == (first.commit_hash,)
        assert third.parents == (second.commit_hash,)
        expected = answers(t)
        assert answers(cold) == expected
    check_right(path, expected)


def test_a_local_directory_that_is_the_same_under_another_inode_changes_no_answer(sources: Sources, path: Path) -> None:
    local = own_place(path)
    shutil.copytree(local, local.parent / "local2")
    shutil.rmtree(local)
    (local.parent / "local2").rename(local)
    check_right(path, sources.answers)


def test_a_store_that_was_deleted_and_restored_answers_as_before(sources: Sources, path: Path) -> None:
    """Restored with all times and modes, and perhaps with the inodes of before."""
    kept = path.parent / "kept"
    shutil.copytree(store_root(path), kept)
    shutil.rmtree(store_root(path))
    shutil.copytree(kept, store_root(path))
    prove_places(path)
    check_right(path, sources.answers)


def test_a_store_that_was_set_back_to_an_older_state_answers_as_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle_at_once(monkeypatch)
    path = tmp_path / "context"
    older = use(path, clock_us=1_700_000_000_000_000, texts=("one", "two"))
    kept = synced(path)
    time.sleep(0.02)
    use(path, clock_us=1_800_000_000_000_000, texts=("three",))
    time.sleep(0.02)
    for name in synced(path).keys() - kept.keys():
        (store_root(path) / name).unlink()
    with open_tract(path) as t:
        with pytest.raises(HistoryIncomplete):
            t.compile()
        t.repair(accept=True)
        assert answers(t) == older
        assert t.commit(user("goes on")).parents == (older["head"],)
        expected = answers(t)
    remove_local(path)
    with open_tract(path) as t:
        assert answers(t) == expected


def test_a_missing_local_directory_changes_no_answer(sources: Sources, path: Path) -> None:
    remove_local(path)
    check_right(path, sources.answers)


def test_a_local_directory_that_goes_under_open_handles_changes_no_answer(sources: Sources, path: Path) -> None:
    with open_tract(path) as t, open_tract(path, durability="fast") as other:
        assert answers(t) == answers(other) == sources.answers
        for number in range(3):
            remove_local(path)
            head = t.head
            first = (t, other)[number % 2].commit(user(f"first {number}"))
            remove_local(path)
            second = (other, t)[number % 2].commit(user(f"second {number}"))
            assert (first.parents, second.parents) == ((head,), (first.commit_hash,))
            assert answers(t) == answers(other)
        expected = answers(t)
        assert is_unlocked(path)
    check_right(path, expected)


def test_an_empty_local_directory_changes_no_answer(sources: Sources, path: Path) -> None:
    remove_local(path)
    (store_root(path) / "local").mkdir()
    check_right(path, sources.answers)


# single files


def pieces(place: Path) -> list[Path]:
    return sorted(file for file in place.rglob("*") if file.is_file()) if place.is_dir() else [place]


def cut(file: Path, size: int) -> None:
    put(file, file.read_bytes()[:size])


SIZES: dict[str, Callable[[int], int]] = {
    "in half": lambda size: size // 2,
    "to nothing": lambda size: 0,
    "to one byte": lambda size: 1,
    "by one byte": lambda size: max(size - 1, 0),
}


@pytest.mark.parametrize("how", SIZES)
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_changes_no_answer(sources: Sources, path: Path, name: str, how: str) -> None:
    for file in pieces(own_place(path) / name):
        if file.exists():
            cut(file, SIZES[how](file.stat().st_size))
    check_right(path, sources.answers)


def test_files_that_are_all_cut_in_half_change_no_answer(sources: Sources, path: Path) -> None:
    for name in local_files(path):
        cut(store_root(path) / name, (store_root(path) / name).stat().st_size // 2)
    check_right(path, sources.answers)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_changes_no_answer(sources: Sources, path: Path, name: str) -> None:
    for file in pieces(own_place(path) / name):
        file.unlink(missing_ok=True)
    check_right(path, sources.answers)


@pytest.mark.parametrize("source", NAMES)
@pytest.mark.parametrize("name", FILES)
def test_a_single_file_of_another_local_directory_changes_no_answer(
    sources: Sources, path: Path, name: str, source: str
) -> None:
    place = sources.locals[source] / name
    if not place.exists():
        pytest.skip("that one has no such file")
    for file in pieces(place):
        put(sources_goal(path, sources.locals[source], file), file.read_bytes())
    check_right(path, sources.answers)


def sources_goal(path: Path, source: Path, file: Path) -> Path:
    return own_place(path) / file.relative_to(source)


@pytest.mark.parametrize("in_place", [False, True], ids=["by rename", "in place"])
@pytest.mark.parametrize("source", NAMES)
def test_foreign_arrivals_under_an_open_handle_change_no_answer(
    sources: Sources, path: Path, source: str, in_place: bool
) -> None:
    file = own_place(path) / "tracts/default/arrivals"
    with open_tract(path) as t:
        assert answers(t) == sources.answers
        data = (sources.locals[source] / "tracts/default/arrivals").read_bytes()
        (put_in_place if in_place else put)(file, data)
        assert answers(t) == sources.answers
        assert t.commit(user("goes on")).parents == (sources.answers["head"],)
        expected = answers(t)
        t.flush()
    check_right(path, expected)


@pytest.mark.parametrize("names", [FILES[:1], FILES[:2], FILES[1:], FILES[1:3], FILES[:1] + FILES[2:3]], ids=repr)
def test_files_of_an_older_state_beside_new_ones_change_no_answer(
    sources: Sources, path: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    """A copying tool that was broken off leaves some files of then and some of now."""
    older = tmp_path / "older"
    shutil.copytree(own_place(path), older)
    time.sleep(0.02)
    with open_tract(path) as t:
        for number in range(3):
            t.commit(user(f"newer {number}"), generation_config={"model": "m-1", "temperature": number})
        expected = answers(t)
    for name in names:
        for file in pieces(older / name):
            if file.exists():
                put(sources_goal(path, older, file), file.read_bytes())
    check_right(path, expected)


# what must not be written, or not be read


def connections(*, can_read: bool) -> Callable[[str], sqlite3.Connection]:
    """Stands in for the connecting to a database: opens no file for writing, or none at all."""
    plain = index_file._connect

    def connect(path: str) -> sqlite3.Connection:
        if path == ":memory:":
            return plain(path)
        if not can_read:
            raise sqlite3.OperationalError("unable to open database file")
        return plain(path if path.startswith("file:") else f"file:{path}?mode=ro")

    return connect


def read_only(place: Path, code: int) -> Callable[[str, int, tuple[Any, ...]], BaseException | None]:
    """Lets every call fail that makes or changes what lies at or below `place`."""

    def fails(call: str, number: int, given: tuple[Any, ...]) -> BaseException | None:
        is_write = call in ("rename", "unlink", "makedirs", "mkdir") or (
            call == "open" and bool(given[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        )
        is_below = bool(given) and isinstance(given[0], str) and (given[0] + "/").startswith(f"{place}/")
        return os_error(code, given[0]) if is_write and is_below else None

    return fails


def unreadable(place: Path) -> Callable[[str, int, tuple[Any, ...]], BaseException | None]:
    """Lets every call fail on what lies below `place`, as in a directory of another user that is closed to all others."""

    def fails(call: str, number: int, given: tuple[Any, ...]) -> BaseException | None:
        is_below = bool(given) and isinstance(given[0], str) and given[0].startswith(f"{place}/")
        return os_error(errno.EACCES, given[0]) if is_below else None

    return fails


def unopenable(place: Path) -> Callable[[str, int, tuple[Any, ...]], BaseException | None]:
    """Lets every open fail of what lies below `place`, as of files of another user in an open directory."""

    def fails(call: str, number: int, given: tuple[Any, ...]) -> BaseException | None:
        is_below = bool(given) and isinstance(given[0], str) and given[0].startswith(f"{place}/")
        return os_error(errno.EACCES, given[0]) if call == "open" and is_below else None

    return fails


def check_reads(path: Path, expected: dict[str, Any], fails: Any, code: int, **options: Any) -> None:
    """Checks that all is answered right although calls fail, and that a write is refused whole, if it is."""
    files = synced(path)
    with disk(fails) as failing, open_tract(path, **options) as t:
        assert answers(t) == expected
        t.refresh()
        assert answers(t) == expected
        assert t.status().head == expected["head"]
        if not options.get("read_only"):
            with pytest.raises(OSError, match=os.strerror(code)) as caught:
                t.commit(user("refused"))
            assert caught.value.errno == code
            assert caught.value.filename is not None
        assert answers(t) == expected
    assert failing.raised
    assert synced(path) == files
    assert is_unlocked(path)
    assert use(path) == expected


STATES = ("its own", "an older state", "another copy", "none")


def bring(sources: Sources, path: Path, state: str) -> None:
    if state in sources.locals:
        put_local(path, sources.locals[state])
    elif state != "its own":
        remove_local(path)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES], ids=errno.errorcode.get)
def test_a_local_directory_that_can_not_be_written_changes_no_answer(
    sources: Sources, path: Path, monkeypatch: pytest.MonkeyPatch, state: str, code: int
) -> None:
    bring(sources, path, state)
    monkeypatch.setattr(index_file, "_connect", connections(can_read=True))
    before = {name: (store_root(path) / name).read_bytes() for name in local_files(path)}
    check_reads_only(path, sources.answers, read_only(store_root(path) / "local", code), code)
    assert {name: (store_root(path) / name).read_bytes() for name in local_files(path)} == before


def check_reads_only(path: Path, expected: dict[str, Any], fails: Any, code: int) -> None:
    with disk(fails), open_tract(path) as t:
        assert answers(t) == expected
        t.refresh()
        assert answers(t) == expected
        with pytest.raises(OSError, match=os.strerror(code)) as caught:
            t.commit(user("refused"))
        assert caught.value.errno == code
        assert answers(t) == expected


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("is_read_only", [False, True], ids=["opened for writing", "opened read-only"])
def test_a_store_on_a_read_only_disk_answers_right(
    sources: Sources, path: Path, monkeypatch: pytest.MonkeyPatch, state: str, is_read_only: bool
) -> None:
    bring(sources, path, state)
    monkeypatch.setattr(index_file, "_connect", connections(can_read=True))
    before = sorted(os.walk(store_root(path)))
    fails = read_only(store_root(path), errno.EROFS)
    with disk(fails), open_tract(path, read_only=is_read_only) as t:
        assert answers(t) == sources.answers
        assert t.status().head == sources.answers["head"]
        t.refresh()
        assert answers(t) == sources.answers
    assert sorted(os.walk(store_root(path))) == before


@pytest.mark.parametrize("is_read_only", [False, True], ids=["opened for writing", "opened read-only"])
@pytest.mark.parametrize("closed", [unreadable, unopenable], ids=["a closed directory", "closed files"])
def test_a_local_directory_of_another_user_changes_no_answer(
    sources: Sources, path: Path, monkeypatch: pytest.MonkeyPatch, closed: Any, is_read_only: bool
) -> None:
    monkeypatch.setattr(index_file, "_connect", connections(can_read=False))
    check_reads(path, sources.answers, closed(store_root(path) / "local"), errno.EACCES, read_only=is_read_only)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
@pytest.mark.parametrize("mode", [0o000, 0o400], ids=oct)
def test_a_local_directory_that_is_closed_to_the_user_changes_no_answer(
    sources: Sources, path: Path, mode: int
) -> None:
    local = store_root(path) / "local"
    local.chmod(mode)
    try:
        with open_tract(path) as t:
            assert answers(t) == sources.answers
            with pytest.raises(PermissionError):
                t.commit(user("refused"))
            assert answers(t) == sources.answers
    finally:
        local.chmod(0o755)
    assert use(path) == sources.answers


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_place_that_is_closed_to_the_user_is_replaced_by_another(sources: Sources, path: Path) -> None:
    place = own_place(path)
    place.chmod(0)
    try:
        check_right(path, sources.answers)
    finally:
        if place.exists():
            place.chmod(0o755)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
@pytest.mark.parametrize("name", FILES)
def test_a_file_in_local_that_is_closed_to_the_user_changes_no_answer(sources: Sources, path: Path, name: str) -> None:
    for file in pieces(own_place(path) / name):
        if file.exists():
            file.chmod(0)
    with open_tract(path, read_only=True) as t:
        assert answers(t) == sources.answers
    with open_tract(path) as t:
        assert answers(t) == sources.answers


# other copies


def test_what_another_copy_wrote_is_found_whatever_local_directory_came_with_it(
    sources: Sources, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tool that copies the whole directory over ours, local/ and all, in one go or file by file."""
    list_always(monkeypatch)
    other = copy_store(path, tmp_path / "other")
    went_on = use(other, clock_us=1_900_000_000_000_000, texts=("there", "too"))
    with open_tract(path) as t:
        assert answers(t) == sources.answers
        lay_over(store_root(other), store_root(path), in_place=False)
        lay_over(own_place(other), own_place(path), in_place=False)  # as if made here, so that it is read
        assert answers(t) == went_on
        assert t.commit(user("goes on")).parents == (went_on["head"],)
        expected = answers(t)
    check_right(path, expected)


@pytest.mark.parametrize("in_place", [False, True], ids=["by rename", "in place"])
@pytest.mark.parametrize("is_open", [False, True], ids=["fresh", "open handle"])
def test_a_copy_in_flight_whose_objects_come_last_changes_no_answer_before_they_came(
    sources: Sources, path: Path, tmp_path: Path, in_place: bool, is_open: bool
) -> None:
    """Tools copy in alphabetical order: events, then local, then objects."""
    other = copy_store(path, tmp_path / "other")
    if in_place:  # the other copy goes on from the very records of this one
        lay_over(own_place(path), own_place(other), in_place=True)
    went_on = use(other, clock_us=1_900_000_000_000_000, texts=("there", "too"))
    t = open_tract(path) if is_open else None
    if t is not None:
        assert answers(t) == sources.answers
    for name in ("events", "local"):
        lay_over(store_root(other) / name, store_root(path) / name, in_place=in_place)
    lay_over(own_place(other), own_place(path), in_place=in_place)  # as if made here, so that it is read
    with t or open_tract(path) as t:
        assert answers(t) == sources.answers
        for name in ("objects", "packs"):
            lay_over(store_root(other) / name, store_root(path) / name, in_place=in_place)
        t.refresh()
        assert answers(t) == went_on
    check_right(path, went_on)


def test_two_copies_that_both_went_on_and_swap_everything_lose_nothing(
    sources: Sources, path: Path, tmp_path: Path
) -> None:
    other = copy_store(path, tmp_path / "other")
    with open_tract(path) as here, open_tract(other) as there:
        mine = here.commit(user("here")).commit_hash
        theirs = there.commit(user("there")).commit_hash
    kept = copy_store(path, tmp_path / "kept")
    lay_over(store_root(other), store_root(path), in_place=True)
    lay_over(own_place(other), own_place(path), in_place=True)  # as if made here, so that it is read
    lay_over(store_root(kept), store_root(other), in_place=True)
    lay_over(own_place(kept), own_place(other), in_place=True)
    for copy in (path, other):
        with open_tract(copy) as t:
            heads = {t.head, *t.status().other_heads}
            assert heads == {mine, theirs}
            assert t.get_commit(mine) is not None
            assert t.get_commit(theirs) is not None
        remove_local(copy)
        with open_tract(copy) as t:
            assert {t.head, *t.status().other_heads} == {mine, theirs}


# the redo log: a power cut comes after the careless copy


def after_power_cut(path: Path, kept: dict[str, bytes], target: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes `target` what a power cut may leave: of the files outside local/ only those in `kept`; the redo logs, of another boot, and the marker of their place."""
    for name, data in kept.items():
        put(store_root(target) / name, data)
    for file in own_place(path).iterdir():
        if (file.name.startswith("redo") or file.name == MARKER) and file.is_file():
            put(store_root(target) / "local" / file.parent.name / file.name, file.read_bytes())
    monkeypatch.setattr(redo, "boot_id", lambda: "another boot")
    return prove_places(target)


def require_answers_after_power_cut(
    path: Path, kept: dict[str, bytes], target: Path, monkeypatch: pytest.MonkeyPatch, expected: Any
) -> None:
    """Asserts that what was answered before a power cut is answered after it; see `after_power_cut`."""
    with open_tract(after_power_cut(path, kept, target, monkeypatch)) as t:
        assert answers(t) == expected


def middle_of_an_entry(data: bytes) -> bytes:
    return data[: len(data) - 10]


TORN: dict[str, Callable[[bytes], bytes]] = {
    "in the middle of an entry": middle_of_an_entry,
    "in half": lambda data: data[: len(data) // 2],
    "in its header": lambda data: data[:20],
    "to nothing": lambda data: b"",
    "by nothing, but garbage follows": lambda data: data + b"garbage",
    "to its header of another boot": lambda data: data[:11] + b"-" * 36 + data[47:],
}


@pytest.mark.parametrize("how", TORN)
def test_commits_after_a_torn_redo_log_survive_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """What was in the log before is in files that had time to reach the disk; what is acknowledged afterwards must be safe."""
    path = tmp_path / "context"
    with open_tract(path, clock=Clock()) as t:
        fill(t)
    log = own_place(path) / "redo"
    put(log, TORN[how](log.read_bytes()))
    with open_tract(path) as t:
        kept = synced(path)
        for number in range(2):
            t.commit(user(f"acknowledged {number}"))
        expected = answers(t)
    require_answers_after_power_cut(path, kept, tmp_path / "after", monkeypatch, expected)


def test_a_log_that_is_torn_under_an_open_handle_loses_no_later_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when another process is killed in the middle of its append."""
    path = tmp_path / "context"
    with open_tract(path, clock=Clock()) as t:
        t.commit(user("one"))
        kept = synced(path)
        log = own_place(path) / "redo"
        with open(log, "ab") as opened:
            opened.write(log.read_bytes()[64:150])
        t.commit(user("two"))
        expected = answers(t)
    require_answers_after_power_cut(path, kept, tmp_path / "after", monkeypatch, expected)


def test_a_local_directory_that_went_under_an_open_handle_loses_no_later_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "context"
    with open_tract(path, clock=Clock()) as t:
        t.commit(user("one"))
        kept = synced(path)
        remove_local(path)
        t.commit(user("two"))
        expected = answers(t)
    require_answers_after_power_cut(path, kept, tmp_path / "after", monkeypatch, expected)


@pytest.mark.parametrize("name", ["an older state", "another copy", "its own, copied"])
def test_a_recovery_by_the_log_of_another_state_changes_no_answer(
    sources: Sources, path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The log is of another boot, so its entries are looked at; all of them are in the store already."""
    put_local(path, sources.locals[name])
    monkeypatch.setattr(redo, "boot_id", lambda: "another boot")
    check_right(path, sources.answers)


def test_a_read_only_open_of_a_store_that_needs_recovery_serves_what_is_there_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "context"
    with open_tract(path, clock=Clock()) as t:
        t.commit(user("one"))
        kept, before = synced(path), answers(t)
        t.commit(user("two"))
        expected = answers(t)
    target = after_power_cut(path, kept, tmp_path / "after", monkeypatch)
    with open_tract(target, read_only=True) as t:
        assert answers(t) == before
        assert t.status().needs_recovery
        assert t.status().advice
    with open_tract(target) as t:
        assert answers(t) == expected
        assert not t.status().needs_recovery
