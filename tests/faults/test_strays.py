"""Directories under the names of conflict copies, and files that a copying tool has not finished: named, and restored."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.copies import hashed
from tests.lab.states import answers, event_files, put, remove_local, store_root, synced
from tests.lab.stores import AT_ONCE, fill
from tests.lab.talk import Clock, user
from tract_fs import Tract
from tract_fs.cli.running import run
from tract_fs.errors import FormatMissing, HistoryIncomplete
from tract_fs.model.names import hash_bytes
from tract_fs.store.under_way import address_under_way

NAME = "0123456789abcdef" * 4
LOOSE = NAME[2:]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store without packs."""
    path = tmp_path / "store"
    with Tract.open(path, clock=Clock()) as t:
        fill(t)
        t.commit(user("newest"))
        t.flush()
    return path


def fan_of(path: Path, kind: str) -> str:
    """Returns a directory of the fan-out whose name has a letter."""
    names = [os.path.dirname(name) for name in hashed(path) if name.startswith(kind)]
    return next(name for name in names if name[-2:] != name[-2:].upper())


RENAMES: dict[str, Callable[[Path], tuple[str, str]]] = {
    "a tract's conflicted copy": lambda path: ("events/default", "events/default (conflicted copy)"),
    "a tract's upper case": lambda path: ("events/default", "events/Default"),
    "a copy of all events": lambda path: ("events", "events (1)"),
    "a fan's conflict": lambda path: (fan_of(path, "objects"), f"{fan_of(path, 'objects')} (conflict 2026-01-02)"),
    "a fan's upper case": lambda path: (
        fan_of(path, "objects"),
        f"objects/{fan_of(path, 'objects').rpartition('/')[2].upper()}",
    ),
    "a fan of events": lambda path: (fan_of(path, "events"), f"{fan_of(path, 'events')}.sync-conflict-1"),
    "a copy of all objects": lambda path: ("objects", "objects.old"),
}


@pytest.mark.parametrize("rename", RENAMES.values(), ids=RENAMES)
@pytest.mark.parametrize("is_new", [True, False], ids=["new copy", "same copy"])
def test_files_in_a_directory_under_another_name_are_listed_and_restored(
    path: Path, rename: Callable[[Path], tuple[str, str]], *, is_new: bool
) -> None:
    with Tract.open(path) as t:
        expected = answers(t)
    before = synced(path)
    source, target = rename(path)
    (store_root(path) / source).rename(store_root(path) / target)
    if is_new:
        remove_local(path)
    moved = {name for name in before if name.startswith(f"{source}/")}
    with Tract.open(path) as t:
        status = t.status()
        assert {(found.path, found.target) for found in status.salvageable} == {
            (target + name.removeprefix(source), name) for name in moved
        }
        assert any("tract repair" in line for line in status.advice)
        assert not any("move out of the store" in line for line in status.advice)
        assert set(t.repair().salvaged) == moved
        assert answers(t) == expected
        assert t.status().salvageable == ()
    after = synced(path)
    assert {name: after[name] for name in before} == before


def test_a_conflicted_copy_of_what_is_here_is_no_news(path: Path) -> None:
    shutil.copytree(store_root(path) / "events/default", store_root(path) / "events/default (conflicted copy)")
    name = next(name for name in hashed(path) if name.startswith("objects/"))
    with Tract.open(path) as t:
        assert t.status().salvageable == ()
        t.pack(keep_loose=AT_ONCE)
        assert not (store_root(path) / name).exists()
        put(store_root(path) / f"{name}.sync-conflict-1", members(path)[name])
        assert t.status().salvageable == ()
        before = synced(path)
        assert t.repair().salvaged == ()
    assert synced(path) == before


def test_a_conflicted_copy_of_a_pack_whose_members_are_in_another_is_no_news(path: Path) -> None:
    with Tract.open(path) as t:
        t.pack(keep_loose=AT_ONCE)
    (first,) = (store_root(path) / "packs").iterdir()
    data = first.read_bytes()
    with Tract.open(path) as t:
        for number in range(30):
            t.commit(user(f"{number}" * 50))
        t.pack(keep_loose=AT_ONCE)
        assert not first.exists()
        put(first.with_name(f"{first.name} (conflicted copy)"), data)
        assert t.status().salvageable == ()
        assert t.repair().salvaged == ()


def members(path: Path) -> dict[str, bytes]:
    """Returns the objects in the packs of a store, by their loose names."""
    found = {}
    for pack in (store_root(path) / "packs").iterdir():
        for line in pack.read_bytes().splitlines():
            name = hash_bytes(line)
            found[f"objects/{name[:2]}/{name[2:]}"] = line
    return found


FORMS = {
    "iCloud": ".{}.icloud",
    "Syncthing": ".syncthing.{}.tmp",
    "Syncthing on Windows": "~syncthing~{}.tmp",
    "rsync": ".{}.aB3dE9",
    "rsync --delay-updates": ".~tmp~/{}",
    "rsync --partial-dir": ".rsync-partial/{}",
    "rclone": "{}.1a2b3c4d.partial",
    "unison": ".unison.{}.8f00b204e9800998.unison.tmp",
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_form_of_a_file_under_way_shows_what_it_will_be(form: str) -> None:
    found = {kind: address_under_way(f"{kind}/{form.format(LOOSE)}") for kind in ("objects/01", "events/some/01")}
    assert {kind: address and address.path for kind, address in found.items()} == {
        "objects/01": f"objects/01/{LOOSE}",
        "events/some/01": f"events/some/01/{LOOSE}",
    }
    pack = address_under_way(f"packs/{form.format(NAME)}")
    assert pack is not None
    assert pack.path == f"packs/{NAME}"
    for elsewhere in (
        "",
        "objects/",
        "objects/01/x/",
        "events/01/",
        "events/Some/01/",
        "packs/",
        "notes/01/",
        "packs/01/",
    ):
        assert address_under_way(f"{elsewhere}{form.format(LOOSE)}") is None
    assert address_under_way(f"objects/01/{LOOSE}.orig") is None


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_newest_event_that_is_under_way_is_named(path: Path, form: str) -> None:
    newest = event_files(path)[-1]
    file = store_root(path) / newest
    data = file.read_bytes()
    expected_count = len(compile_of(path)[0])
    file.unlink()
    remove_local(path)
    coming = file.parent / form.format(file.name)
    put(coming, b"bplist00" if "icloud" in form else data[:50])
    shown = str(coming.relative_to(store_root(path)))
    is_apart = "/" in form
    for _ in range(2):
        messages, warnings = compile_of(path)
        assert len(messages) == expected_count - 1
        note = f"{newest}: this file is still under way: a copying tool has not finished it, and what it brings is missing here"
        assert warnings == ([] if is_apart else [note])
        with Tract.open(path, read_only=True) as t:
            status = t.status()
            assert status.under_way == (shown,)
            assert any(line.startswith(f"files are still under way: {shown}; ") for line in status.advice)
            assert not any("move out of the store" in line for line in status.advice)
    file.parent.mkdir(exist_ok=True)
    coming.rename(file)
    file.write_bytes(data)
    messages, warnings = compile_of(path)
    assert (len(messages), warnings) == (expected_count, [])
    with Tract.open(path, read_only=True) as t:
        assert t.status().under_way == ()


def compile_of(path: Path) -> tuple[list[str], list[str]]:
    with Tract.open(path) as t:
        context = t.compile()
        return [str(message.content) for message in context.messages], list(context.warnings)


def test_a_file_under_way_that_something_builds_on_makes_the_branch_incomplete(path: Path) -> None:
    middle = event_files(path)[3]
    file = store_root(path) / middle
    put(file.with_name(f".{file.name}.icloud"), b"bplist00")
    file.unlink()
    remove_local(path)
    with Tract.open(path) as t:
        with pytest.raises(HistoryIncomplete) as caught:
            t.compile()
        assert caught.value.lost == (middle,)
        assert t.status().under_way == (f"{os.path.dirname(middle)}/.{file.name}.icloud",)


def test_a_pack_under_way_is_named(path: Path) -> None:
    with Tract.open(path) as t:
        t.pack(keep_loose=AT_ONCE)
    (pack,) = (store_root(path) / "packs").iterdir()
    put(pack.with_name(f".{pack.name}.icloud"), b"bplist00")
    pack.unlink()
    remove_local(path)
    messages, warnings = compile_of(path)
    assert messages == []
    assert warnings == [
        f"packs/{pack.name}: this file is still under way: a copying tool has not finished it, and what it brings is missing here"
    ]


def test_a_file_under_way_whose_event_is_here_is_no_news(path: Path) -> None:
    for name in (event_files(path)[-1], event_files(path)[2]):
        file = store_root(path) / name
        put(file.with_name(f".syncthing.{file.name}.tmp"), file.read_bytes()[:20])
    with Tract.open(path) as t:
        for is_packed in (False, True):
            if is_packed:
                t.pack(keep_loose=AT_ONCE)
            assert t.status().under_way == ()
    assert compile_of(path)[1] == []


def test_no_second_root_is_begun_where_all_events_are_under_way(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    count = len(event_files(path))
    for name in event_files(path):
        file = store_root(path) / name
        file.rename(file.with_name(f".{file.name}.icloud"))
        put(file.with_name(f".{file.name}.icloud"), b"bplist00")
    remove_local(path)
    assert run(["-C", str(path), "commit", "-m", "a second root"]) == 1
    assert (
        capsys.readouterr().err
        == f"tract: branch 'main' has no head: {count} files are still under way; see 'tract status'\n"
    )


@pytest.mark.parametrize("name", ["FORMAT (conflicted copy)", ".FORMAT.icloud", "FORMAT.sync-conflict-1"])
def test_a_format_under_another_name_is_missed_and_written_again(path: Path, name: str) -> None:
    (store_root(path) / "FORMAT").rename(store_root(path) / name)
    remove_local(path)
    with pytest.raises(FormatMissing, match="'tract repair' to write FORMAT again"):
        Tract.open(path)
