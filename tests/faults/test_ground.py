"""A store that is moved, removed, replaced or emptied under an open handle: nothing is acknowledged, and nothing is forgotten."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.copies import open_tract
from tests.lab.states import event_files, list_always, list_never, own_place, store_root, synced
from tests.lab.stores import AT_ONCE
from tests.lab.talk import texts, user
from tract_fs import Tract
from tract_fs.errors import DamageError, FormatMissing, HistoryIncomplete, ObjectMissing, StoreGone, StoreNotFound
from tract_fs.store import files

FORMAT = b'{"format":"tract-fs","version":1}\n'
TakeAway = Callable[[Path, Path], None]


def move(path: Path, aside: Path) -> None:
    os.rename(path, aside)


def move_back(path: Path, aside: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    os.rename(aside, path)


def clean(path: Path, aside: Path) -> None:
    """Removes the store, as `git clean -fdx` does."""
    shutil.copytree(path, aside, ignore=shutil.ignore_patterns("local"))
    shutil.rmtree(path / ".tract")


def check_out(path: Path, aside: Path) -> None:
    """Brings the files back without local/, which no tool keeps."""
    shutil.copytree(aside / ".tract", path / ".tract", dirs_exist_ok=True)


def switch_away(path: Path, aside: Path) -> None:
    """Removes what git tracks, as `git switch` does to a branch without the store; local/ is ignored, and stays."""
    shutil.copytree(path, aside, ignore=shutil.ignore_patterns("local"))
    for name in [name for name in store_root(path).iterdir() if name.name != "local"]:
        shutil.rmtree(name) if name.is_dir() else name.unlink()


def replace_by_other(path: Path, aside: Path) -> None:
    os.rename(path, aside)
    with Tract.open(path) as other:
        other.commit(user("of another store"))


WAYS: dict[str, tuple[TakeAway, TakeAway]] = {
    "moved": (move, move_back),
    "cleaned": (clean, check_out),
    "switched": (switch_away, check_out),
    "replaced": (replace_by_other, move_back),
}


def everything(path: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("durability", ["durable", "fast"])
@pytest.mark.parametrize("way", WAYS)
def test_a_store_that_is_taken_away_acknowledges_nothing_and_goes_on_when_it_is_back(
    tmp_path: Path, way: str, durability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_always(monkeypatch)
    path, aside = tmp_path / "project", tmp_path / "aside"
    take_away, bring_back = WAYS[way]
    t = open_tract(path, durability=durability)
    t.commit(user("a"))
    t.commit(user("b"))
    assert texts(t) == ["a", "b"]
    take_away(path, aside)
    before = everything(path)
    for act in (
        lambda: t.commit(user("c")),
        lambda: t.compile(),
        lambda: t.log(),
        lambda: t.commit(user("d")),
        lambda: t.status(),
        lambda: t.refresh(),
    ):
        with pytest.raises(StoreGone, match="put the store's directory back") as caught:
            act()
        assert caught.value.path == str(path)
    assert everything(path) == before
    bring_back(path, aside)
    assert texts(t) == ["a", "b"]
    t.commit(user("e"))
    t.close()
    with Tract.open(path, create=False) as fresh:
        assert texts(fresh) == ["a", "b", "e"]
        assert (fresh.status().pending, fresh.status().gone) == ((), ())


@pytest.mark.parametrize("way", ["moved", "cleaned", "switched", "replaced"])
def test_a_commit_right_after_the_store_was_taken_away_is_refused(tmp_path: Path, way: str) -> None:
    path, aside = tmp_path / "project", tmp_path / "aside"
    with open_tract(path) as t:
        t.commit(user("a"))
        WAYS[way][0](path, aside)
        before = everything(path)
        with pytest.raises(StoreGone):
            t.commit(user("b"))
        with pytest.raises(StoreGone), t.batch():
            t.commit(user("c"))
    assert everything(path) == before  # the close, too, writes nothing there


def test_a_content_that_is_gone_with_its_store_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "project"
    with open_tract(path) as t:
        t.commit(user("a"))
    with open_tract(path) as t:
        made = t.log()[0].commit_hash
        os.rename(path, tmp_path / "aside")
        with pytest.raises(StoreGone):
            t.get_content(made)


def test_an_older_copy_in_the_place_of_a_store_is_another_store(tmp_path: Path) -> None:
    path = tmp_path / "project"
    with open_tract(path) as t:
        t.commit(user("a"))
        shutil.copytree(path, tmp_path / "older")
        t.commit(user("b"))
        os.rename(path, tmp_path / "aside")
        os.rename(tmp_path / "older", path)
        with pytest.raises(StoreGone, match="an older copy"):
            t.commit(user("c"))
        os.rename(path, tmp_path / "older")
        os.rename(tmp_path / "aside", path)
        t.commit(user("c"))
        assert texts(t) == ["a", "b", "c"]


def test_a_whole_copy_in_the_place_of_a_store_is_that_store(tmp_path: Path) -> None:
    path = tmp_path / "project"
    with open_tract(path) as t:
        t.commit(user("a"))
        shutil.copytree(path, tmp_path / "copy")
        os.rename(path, tmp_path / "aside")
        os.rename(tmp_path / "copy", path)
        t.commit(user("b"))
        assert texts(t) == ["a", "b"]
    with Tract.open(path, create=False) as fresh:
        assert texts(fresh) == ["a", "b"]


def test_a_store_is_not_looked_for_where_another_one_of_this_process_was_moved_away(tmp_path: Path) -> None:
    with open_tract(tmp_path / "here") as t:
        t.commit(user("a"))
        os.rename(tmp_path / "here", tmp_path / "there")
        with pytest.raises(StoreNotFound):
            Tract.open(tmp_path / "here", create=False)
        with open_tract(tmp_path / "here") as other:
            other.commit(user("b"))
            assert texts(other) == ["b"]
        with pytest.raises(StoreGone):
            t.commit(user("c"))
        with Tract.open(tmp_path / "there", create=False) as moved:
            assert texts(moved) == ["a"]


@pytest.mark.needs("git")
def test_an_agent_on_a_branch_of_git_without_the_store_is_stopped_and_goes_on_after_the_switch_back(
    tmp_path: Path,
) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    git("init")
    git("commit", "--allow-empty", "-m", "nothing")
    git("branch", "other")
    t = Tract.open(tmp_path)
    t.commit(user("a"))
    git("add", "-A")
    git("commit", "-m", "the store")
    git("switch", "other")
    with pytest.raises(StoreGone):
        t.commit(user("b"))
    with pytest.raises(FormatMissing):
        Tract.open(tmp_path)
    git("switch", "main")
    t.commit(user("c"))
    t.close()
    with Tract.open(tmp_path) as fresh:
        assert texts(fresh) == ["a", "c"]


# ---------------------------------------------------------------------------------------------------------------------
# No FORMAT


@pytest.mark.parametrize("part", ["objects/", "events/", "packs/", "local/"])
def test_a_store_never_starts_afresh_where_parts_of_one_lie(tmp_path: Path, part: str) -> None:
    with Tract.open(tmp_path) as t:
        t.commit(user("a"))
        t.pack(keep_loose=AT_ONCE)
        t.commit(user("b"))
    for name in store_root(tmp_path).iterdir():
        if f"{name.name}/" != part:
            shutil.rmtree(name) if name.is_dir() else name.unlink()
    before = everything(tmp_path)
    for options in ({}, {"create": False}, {"read_only": True}):
        with pytest.raises(FormatMissing, match="run 'tract repair'") as caught:
            Tract.open(tmp_path, **options)  # type: ignore[arg-type]
        assert caught.value.found == part
    assert everything(tmp_path) == before


def test_an_empty_local_of_an_open_that_was_killed_is_no_part_of_a_store(tmp_path: Path) -> None:
    (tmp_path / ".tract/local").mkdir(parents=True)
    with Tract.open(tmp_path) as t:
        t.commit(user("a"))
        assert texts(t) == ["a"]


@pytest.mark.parametrize("is_listing_due", [False, True])
def test_repair_writes_format_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_listing_due: bool) -> None:
    (list_always if is_listing_due else list_never)(monkeypatch)
    with Tract.open(tmp_path) as t:
        t.commit(user("a"))
        (store_root(tmp_path) / "FORMAT").unlink()
        with pytest.raises(StoreGone):
            t.commit(user("b"))
        t.repair()
        assert (store_root(tmp_path) / "FORMAT").read_bytes() == FORMAT
        t.commit(user("c"))
        assert texts(t) == ["a", "c"]


# ---------------------------------------------------------------------------------------------------------------------
# The events that the next one builds on


def test_a_commit_on_an_event_that_is_gone_is_refused_and_the_next_calls_name_it(tmp_path: Path) -> None:
    with open_tract(tmp_path) as t:
        t.commit(user("a"))
        before = set(event_files(tmp_path))
        t.commit(user("b"))
        (cut,) = set(event_files(tmp_path)) - before
        (store_root(tmp_path) / cut).unlink()
        left = synced(tmp_path)
        with pytest.raises(ObjectMissing) as caught:
            t.commit(user("c"))
        assert caught.value.path == cut
        assert synced(tmp_path) == left
        for call in (t.compile, lambda: t.commit(user("c"))):
            with pytest.raises(HistoryIncomplete) as told:
                call()
            assert told.value.path == cut
        assert synced(tmp_path) == left
        assert len(t.log()) == 1
        assert t.status().gone == (cut.replace("events/default/", "").replace("/", ""),)


def test_a_commit_on_an_event_whose_file_was_emptied_is_refused(tmp_path: Path) -> None:
    with open_tract(tmp_path) as t:
        t.commit(user("a"))
        (event,) = event_files(tmp_path)
        (store_root(tmp_path) / event).chmod(0o644)
        (store_root(tmp_path) / event).write_bytes(b"")
        left = synced(tmp_path)
        with pytest.raises(DamageError):
            t.commit(user("b"))
        assert synced(tmp_path) == left


def test_a_commit_on_an_event_of_a_pack_that_an_older_one_replaced_is_refused(tmp_path: Path) -> None:
    with open_tract(tmp_path) as t:
        t.commit(user("a"))
        t.pack(keep_loose=AT_ONCE)
        (older,) = (store_root(tmp_path) / "packs").iterdir()
        shutil.copy(older, tmp_path / "older")
        t.commit(user("b"))
        t.pack(keep_loose=AT_ONCE)
        assert texts(t) == ["a", "b"]
        for pack in (store_root(tmp_path) / "packs").iterdir():
            pack.unlink()
        shutil.copy(tmp_path / "older", older)
        with pytest.raises(ObjectMissing):
            t.commit(user("c"))
        with pytest.raises(HistoryIncomplete):
            t.compile()


def test_a_repair_makes_no_store_where_a_handles_store_was_just_taken_away(tmp_path: Path) -> None:
    with open_tract(tmp_path) as t:
        t.commit(user("a"))
        t.compile()
        root = store_root(tmp_path)
        for name in ("FORMAT", "objects", "events", ".gitignore", ".gitattributes"):
            (root / name).rename(tmp_path / name)
        with pytest.raises(StoreGone):
            t.repair()
        assert [child.name for child in root.iterdir()] == ["local"]


def test_a_packed_event_is_there_for_the_next_commit(tmp_path: Path) -> None:
    with open_tract(tmp_path) as t:
        t.commit(user("a"))
        with open_tract(tmp_path) as other:
            other.pack(keep_loose=AT_ONCE)
        t.commit(user("b"))
        assert texts(t) == ["a", "b"]


# ---------------------------------------------------------------------------------------------------------------------
# What killed writers left


def test_temporary_files_are_removed_after_a_day(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        t.commit(user("a"))
        fan = next((store_root(tmp_path) / "objects").iterdir())
        place = own_place(tmp_path)
        for directory in (fan, place, place / "tracts/default"):
            for name, age_s in (
                (".new.1.0123abcd.0", 90_000),
                (".new.1.0123abcd.1", 80_000),
                (".new.mine", 90_000),
                ("notes", 90_000),
            ):
                (directory / name).write_bytes(b"{")
                os.utime(directory / name, (time.time() - age_s,) * 2)
        with pytest.MonkeyPatch.context() as patched:  # no program can set the time of a change
            patched.setattr(files, "times", lambda path: (os.stat(path).st_mtime_ns,) * 2)
            t.repair()
        for directory in (fan, place, place / "tracts/default"):
            left = {name.name for name in directory.iterdir() if name.name.startswith((".new", "notes"))}
            assert left == {".new.1.0123abcd.1", ".new.mine", "notes"}


def test_a_sparse_file_in_the_place_of_arrivals_is_not_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Tract.open(tmp_path) as t:
        t.commit(user("a"))
    arrivals = own_place(tmp_path) / "tracts/default/arrivals"
    os.truncate(arrivals, 1 << 32)
    read = files.read_at
    sizes: list[int] = []

    def note(path: str, offset: int, size: int) -> bytes | None:
        data = read(path, offset, size)
        sizes.append(len(data or b""))
        return data

    monkeypatch.setattr(files, "read_at", note)
    with Tract.open(tmp_path) as t:
        assert texts(t) == ["a"]
        t.commit(user("b"))
        assert texts(t) == ["a", "b"]
    assert sum(sizes) < 10_000_000
    assert arrivals.stat().st_size < 1000
