"""A sync brings two stores to the same files, may be broken off anywhere, and never makes anything worse."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.copies import hashed, is_good, object_of, open_tract, require_nothing_waits, texts_at
from tests.lab.disk import Killed, disk, killed_at
from tests.lab.peers import put_event
from tests.lab.states import (
    TEXT_FILES,
    answers,
    copy_store,
    event_files,
    members_of,
    own_place,
    put,
    put_in_place,
    remove_local,
    store_root,
    synced,
)
from tests.lab.stores import fill, fill_pack
from tests.lab.talk import Clock, user
from tract_fs import SyncReport, Tract
from tract_fs.errors import (
    ArgumentError,
    ClosedError,
    NotAStore,
    ReadOnlyError,
    StoreNotFound,
    UnrelatedHistories,
    UnsupportedFormat,
)
from tract_fs.model.events import encode_event
from tract_fs.model.names import hash_bytes
from tract_fs.store import tree
from tract_fs.store.address import Address
from tract_fs.store.holdings import Holdings
from tract_fs.store.layout import Layout


def sync(here: Path, there: Path, **options: Any) -> SyncReport:
    with open_tract(here) as t:
        return t.sync(there, **options)


def quarantined(path: Path) -> list[bytes]:
    folder = own_place(path) / "quarantine"
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [file.read_bytes() for file in found if file.suffix != ".txt"]


def diverged(folder: Path) -> tuple[Path, Path]:
    """Makes two copies that share a history, and of which each has more: commits, an edit, a pack, another tract."""
    here, there = folder / "here", folder / "there"
    with open_tract(here, clock=Clock()) as t:
        t.commit(user("shared"))
    copy_store(here, there)
    remove_local(there)
    with open_tract(here, clock=Clock(1_800_000_000_000_000)) as t:
        first = t.commit(user("here"), generation_config={"model": "m-1"})
        t.edit(first.commit_hash, user("here, edited"))
        fill_pack(t, 33)
    with open_tract(there, clock=Clock(1_810_000_000_000_000)) as t:
        t.commit(user("there"))
        t.annotate(t.log()[-1].commit_hash, "skip")
    with open_tract(there, tract_id="other", clock=Clock(1_820_000_000_000_000)) as t:
        t.commit(user("of another tract"))
    return here, there


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    return diverged(tmp_path)


# the union


def test_a_sync_brings_both_sides_to_the_same_files(two: tuple[Path, Path]) -> None:
    here, there = two
    before = (hashed(here), hashed(there))
    union = before[0] | before[1]
    report = sync(here, there)
    assert hashed(here) == hashed(there) == union
    assert (report.bad, report.pending_here, report.pending_there, report.is_new) == ((), (), (), False)
    assert report.path == str(there)
    assert (report.received.events.files, report.received.objects.files, report.received.packs.files) == (3, 5, 0)
    assert (report.sent.events.files, report.sent.objects.files, report.sent.packs.files) == (3, 4, 1)
    assert report.sent.files == 8
    copied = (union.keys() - before[0].keys(), union.keys() - before[1].keys())
    assert report.received.size_bytes == sum(len(union[name]) for name in copied[0])
    assert report.sent.size_bytes == sum(len(union[name]) for name in copied[1])
    with open_tract(here) as t, open_tract(there) as u:
        assert t.status().other_heads == (u.head,)
        assert u.status().other_heads == (t.head,)
    with open_tract(here, tract_id="other") as t:
        assert t.compile().messages[0].content == "of another tract"


def test_a_directory_without_a_store_becomes_a_copy(tmp_path: Path) -> None:
    here, stick = tmp_path / "here", tmp_path / "stick"
    stick.mkdir()
    (stick / "photo.jpg").write_bytes(b"not ours")
    with open_tract(here, clock=Clock()) as t:
        fill(t)
        fill_pack(t)
        report = t.sync(stick)
        expected = answers(t)
    assert report.is_new
    assert synced(stick) == synced(here)
    assert synced(stick).keys() >= TEXT_FILES
    assert (stick / "photo.jpg").read_bytes() == b"not ours"
    assert {(store_root(stick) / name).stat().st_mode & 0o777 for name in hashed(stick)} == {0o444}
    assert list((store_root(stick) / "local").glob("*/tracts")) == []
    with open_tract(stick) as t:
        assert answers(t) == expected


def test_an_empty_store_takes_all_from_the_stick(tmp_path: Path) -> None:
    stick, here = tmp_path / "stick", tmp_path / "here"
    with open_tract(stick, clock=Clock()) as t:
        fill(t)
        expected = answers(t)
    with open_tract(here) as t:
        assert t.head is None
        t.sync(stick)
        assert answers(t) == expected


def test_the_handle_sees_at_once_what_a_sync_brought(two: tuple[Path, Path]) -> None:
    here, there = two
    remove_local(here)
    with open_tract(there) as t:
        before = [message.content for message in t.compile().messages]
        t.sync(here)
        assert len(t.status().other_heads) == 1
        assert [message.content for message in t.compile().messages] == before


def test_a_second_sync_copies_nothing_and_reads_no_file_of_either_side(two: tuple[Path, Path]) -> None:
    here, there = two
    sync(here, there)
    sync(here, there)  # sees which members the pack has that the first one brought
    opened: list[str] = []

    def note(call: str, _number: int, arguments: tuple[Any, ...]) -> None:
        if call == "open":
            opened.append(str(arguments[0]))

    with open_tract(here) as t:
        t.status()
        with disk(note) as counted:
            report = t.sync(there)
    assert (report.sent.files, report.received.files) == (0, 0)
    assert [path for path in opened if "/objects/" in path or "/.tract/packs/" in path] == []
    assert not {"rename", "syncfs"} & set(counted.calls)


def test_three_sites_in_a_chain_come_together_through_a_stick(tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    sites = [tmp_path / name for name in ("office", "train", "home")]
    for number, site in enumerate(sites):
        if number:
            copy_store(sites[0], site)
            remove_local(site)
        with open_tract(site, clock=Clock(1_800_000_000_000_000 + number)) as t:
            if not number:
                t.commit(user("start"))
            else:
                t.commit(user(f"site {number}"))
    for site in (*sites, *sites[:-1]):
        sync(site, stick)
    states = []
    for site in (*sites, stick):
        with open_tract(site) as t:
            states.append({t.head, *t.status().other_heads})
            assert t.status().pending == ()
    assert states[0] == states[1] == states[2] == states[3]
    assert len(states[0]) == 2
    assert hashed(sites[0]) == hashed(sites[1]) == hashed(sites[2]) == hashed(stick)


def test_local_stays_out_of_it(two: tuple[Path, Path]) -> None:
    here, there = two
    (own_place(here) / "mine").write_bytes(b"mine")
    sync(here, there)
    assert list((store_root(there) / "local").glob("**/mine")) == []
    assert list((store_root(there) / "local").glob("*/redo")) == []


def test_what_is_none_of_ours_is_not_copied(two: tuple[Path, Path]) -> None:
    here, there = two
    root = store_root(there)
    fan = next((root / "objects").iterdir())
    name = "0" * 62
    (fan / f".new.1.2.{'0' * 8}").write_bytes(b"temporary")
    (fan / f"{name} (conflicted copy)").write_bytes(b"stray")
    (fan / ("A" * 62)).write_bytes(b"upper case")
    (fan / name).symlink_to("/etc/passwd")
    os.mkfifo(fan / ("1" * 62))
    (fan / ("2" * 62)).mkdir()
    (root / "packs").mkdir(exist_ok=True)
    (root / "packs" / "readme").write_bytes(b"stray")
    (root / "events" / "UPPER" / "ab").mkdir(parents=True)
    (root / "events" / "UPPER" / "ab" / name).write_bytes(b"no tract id")
    (root / "objects" / "xyz").mkdir()
    (root / "objects" / "xyz" / name).write_bytes(b"no directory of the fan-out")
    (root / "notes.txt").write_bytes(b"stray")
    report = sync(here, there, verify=True)
    assert report.bad == ()
    assert all(is_good(name, data) for name, data in hashed(here).items())


# packs


def test_what_the_other_side_has_in_a_pack_is_not_copied_loose(tmp_path: Path) -> None:
    packed, loose = tmp_path / "packed", tmp_path / "loose"
    with open_tract(packed, clock=Clock()) as t:
        fill_pack(t)
    shutil.copytree(packed, loose)
    remove_local(loose)
    (pack,) = (store_root(loose) / "packs").iterdir()
    for line in members_of(pack.read_bytes()):
        name = hashlib.sha256(line).hexdigest()
        put(store_root(loose) / "objects" / name[:2] / name[2:], line)
    pack.unlink()
    require_nothing_waits(loose)
    report = sync(packed, loose)
    assert (report.received.files, report.sent.files, report.sent.packs.files) == (0, 1, 1)
    assert not (store_root(packed) / "objects").exists()
    require_nothing_waits(loose)


def test_a_pack_with_events_goes_after_the_objects(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    with open_tract(here, clock=Clock()) as t:
        fill(t)
        expected = answers(t)
    events = sorted((store_root(here) / "events").rglob("?" * 62))
    lines = b"".join(file.read_bytes() + b"\n" for file in events)
    put(store_root(here) / "packs" / hashlib.sha256(lines).hexdigest(), lines)
    shutil.rmtree(store_root(here) / "events")
    there.mkdir()
    names: list[str] = []
    report = sync(here, there, progress=lambda done, total, name: names.append(name.split("/")[0]))
    assert report.sent.packs.files == 1
    assert names[-2:] == ["packs", ""] and set(names[:-2]) == {"objects"}
    with open_tract(there) as t:
        assert answers(t) == expected


# broken off


@pytest.mark.parametrize("halfway", [False, True], ids=["before a call", "amid a write"])
def test_a_sync_that_is_killed_at_any_call_leaves_both_sides_whole_and_goes_on(tmp_path: Path, halfway: bool) -> None:
    start = diverged(tmp_path / "start")
    union = hashed(start[0]) | hashed(start[1])
    kills = 0
    is_done = False
    while not is_done:
        here, there = (copy_store(path, tmp_path / str(kills) / path.name) for path in start)
        before = {path: hashed(path) for path in (here, there)}
        with disk() as stand_in:
            t = open_tract(here)
            stand_in._fails = killed_at(kills + 1, halfway=halfway)
            try:
                t.sync(there)
                is_done = True
            except Killed:
                kills += 1
        for path in (here, there):
            remove_local(path)
            require_nothing_waits(path)
            after = {name: data for name, data in hashed(path).items() if "/." not in name}
            assert after.items() >= before[path].items(), "a file was lost or changed"
            assert all(is_good(name, data) for name, data in after.items()), "something is there by half"
        report = sync(here, there)
        assert report.bad == ()
        for path in (here, there):
            assert {name: data for name, data in hashed(path).items() if "/." not in name} == union
            require_nothing_waits(path)
        shutil.rmtree(here.parent)
    assert kills > 40


def test_a_new_copy_that_is_killed_at_any_call_is_whole_and_goes_on(tmp_path: Path) -> None:
    here = tmp_path / "here"
    with open_tract(here, clock=Clock()) as t:
        t.commit(user("one"))
        t.commit(user("two"))
    kills = 0
    is_done = False
    while not is_done:
        stick = tmp_path / str(kills)
        stick.mkdir()
        with disk() as stand_in:
            t = open_tract(here)
            stand_in._fails = killed_at(kills + 1, halfway=False)
            try:
                t.sync(stick)
                is_done = True
            except Killed:
                kills += 1
        if (store_root(stick) / "FORMAT").exists():
            assert texts_at(stick) in ([], ["one"], ["one", "two"])
            require_nothing_waits(stick)
        sync(here, stick)
        assert texts_at(stick) == ["one", "two"]
    assert kills > 12


def full_after(path: Path, size_bytes: int) -> Callable[[str, int, tuple[Any, ...]], OSError | None]:
    """Lets the disk of a store be full after so many bytes."""
    left = size_bytes

    def fails(call: str, _number: int, arguments: tuple[Any, ...]) -> OSError | None:
        nonlocal left
        if call == "write" and os.readlink(f"/proc/self/fd/{arguments[0]}").startswith(f"{path}/"):
            left -= len(arguments[1])
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) if call == "write" and left < 0 else None

    return fails


def long_history(path: Path, *, packed: tuple[int, ...] = ()) -> list[str]:
    """Makes 20 commits of 500 bytes, one of them of a content that was there, a batch after the tenth; packs after some. Returns the texts."""
    texts = [f"{number % 17}: {'x' * 500}" for number in range(20)]
    for number, text in enumerate(texts):
        with open_tract(path, clock=Clock(1_800_000_000_000_000 + number * 10**6)) as t, t.batch():
            t.commit(user(text))
            if number == 10:
                for part in range(40):  # 80 objects in a pack of their own
                    t.commit(user(f"part {part}"))
        if number in packed:
            with open_tract(path) as t:
                t.pack()
    return [*texts[:11], *(f"part {part}" for part in range(40)), *texts[11:]]


@pytest.mark.parametrize("packed", [(), (12,), (4, 15)], ids=["loose", "packed once", "packed twice"])
def test_a_disk_that_fills_up_has_the_beginning_of_the_history(tmp_path: Path, packed: tuple[int, ...]) -> None:
    here = tmp_path / "here"
    texts = long_history(here, packed=packed)
    whole = sum(len(data) for data in synced(here).values())
    lengths = []
    for part in range(1, 12):
        stick = tmp_path / f"stick {part}"
        stick.mkdir()
        with open_tract(here) as t, disk(full_after(stick, 2000 + whole * part // 12)):
            with pytest.raises(OSError, match="No space left") as caught:
                t.sync(stick)
            assert (caught.value.errno, str(caught.value.filename).startswith(str(stick))) == (errno.ENOSPC, True)
        require_nothing_waits(stick)
        shown = texts_at(stick)
        assert shown == texts[: len(shown)]
        lengths.append(len(shown))
        assert sync(here, stick).received.files == 0
        assert texts_at(stick) == texts
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > 5 if not packed else lengths[-1] > 50


def test_a_disk_that_fills_up_amid_an_update_shows_what_it_had_and_a_beginning_of_the_rest(tmp_path: Path) -> None:
    here, stick = tmp_path / "here", tmp_path / "stick"
    stick.mkdir()
    with open_tract(here, clock=Clock()) as t:
        t.commit(user("before"))
        t.sync(stick)
    texts = ["before", *long_history(here)]
    with open_tract(here) as t, disk(full_after(stick, 8000)), pytest.raises(OSError, match="No space left"):
        t.sync(stick)
    require_nothing_waits(stick)
    shown = texts_at(stick)
    assert shown == texts[: len(shown)] and 3 < len(shown) < 12


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_fails_at_any_call_leaves_nothing_by_half_and_says_where(tmp_path: Path, code: int) -> None:
    here, there = diverged(tmp_path)
    union = hashed(here) | hashed(there)
    failures = 0
    is_done = False
    with open_tract(here) as t:
        while not is_done:
            number = failures + 1
            count = 0

            def fails(call: str, _number: int, arguments: tuple[Any, ...], number: int = number) -> OSError | None:
                nonlocal count
                is_ours = call in ("write", "rename", "makedirs", "mkdir") or (
                    call == "open" and bool(arguments[1] & os.O_CREAT)
                )
                path = str(arguments[0])
                if not is_ours or (call != "write" and "/local/" in path):
                    return None
                count += 1
                return OSError(code, os.strerror(code), None if call == "write" else path) if count == number else None

            with disk(fails):
                try:
                    t.sync(there)
                    is_done = True
                except OSError as error:
                    assert (error.errno, bool(error.filename)) == (code, True)
                    failures += 1
            for path in (here, there):
                require_nothing_waits(path)
                assert all(is_good(name, data) for name, data in hashed(path).items())
    assert failures >= 3
    assert hashed(here) == hashed(there) == union


def test_a_callback_that_raises_breaks_it_off(two: tuple[Path, Path]) -> None:
    here, there = two

    def stop(done: int, _total: int, _name: str) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sync(here, there, progress=stop)
    require_nothing_waits(here)
    require_nothing_waits(there)
    sync(here, there)
    assert hashed(here) == hashed(there)


def test_progress_counts_from_none_to_all(two: tuple[Path, Path]) -> None:
    told: list[tuple[int, int, str]] = []
    sync(*two, progress=lambda *step: told.append(step))
    assert [done for done, _, _ in told] == list(range(17))
    assert {total for _, total, _ in told} == {16}
    assert told[-1] == (16, 16, "")
    assert all(name.split("/")[0] in ("objects", "events", "packs") for _, _, name in told[:-1])


# damage


def shown(path: Path, file: Path) -> str:
    return str(file.relative_to(store_root(path)))


def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Makes two copies with the same files."""
    here, there = tmp_path / "here", tmp_path / "there"
    with open_tract(here, clock=Clock()) as t:
        t.commit(user("one"))
        t.commit(user("two"))
    copy_store(here, there)
    remove_local(there)
    return here, there


@pytest.mark.parametrize("side", ["here", "there"])
def test_a_file_of_another_size_is_replaced_by_the_good_one_and_set_aside(tmp_path: Path, side: str) -> None:
    here, there = pair(tmp_path)
    damaged, other = (here, there) if side == "here" else (there, here)
    file = object_of(damaged, "two")
    good = file.read_bytes()
    put_in_place(file, good[:-5])
    report = sync(here, there)
    (bad,) = report.bad
    assert (bad.path, bad.side, bad.is_replaced) == (shown(damaged, file), side, True)
    assert bad.cause == f"torn copy: its {len(good) - 5} bytes hash to {hashlib.sha256(good[:-5]).hexdigest()}"
    assert file.read_bytes() == good
    assert quarantined(damaged) == [good[:-5]]
    with open_tract(damaged) as t:
        assert len(t.status().quarantined) == 1
    assert quarantined(other) == []
    assert texts_at(here) == texts_at(there) == ["one", "two"]


@pytest.mark.parametrize("side", ["here", "there"])
def test_verify_finds_a_file_that_was_altered_in_its_size(tmp_path: Path, side: str) -> None:
    here, there = pair(tmp_path)
    damaged = here if side == "here" else there
    file = object_of(damaged, "two")
    good = file.read_bytes()
    put_in_place(file, good.replace(b"two", b"toe"))
    assert sync(here, there).bad == ()
    assert file.read_bytes() != good
    report = sync(here, there, verify=True)
    assert [(bad.path, bad.side, bad.is_replaced) for bad in report.bad] == [(shown(damaged, file), side, True)]
    assert file.read_bytes() == good
    assert sync(here, there, verify=True).bad == ()


def test_an_event_that_this_copy_found_damaged_is_replaced_without_verify(tmp_path: Path) -> None:
    here, there = pair(tmp_path)
    with open_tract(here) as t:
        name = next(name for name in hashed(here) if name.startswith("events"))
        file = store_root(here) / name
        good = file.read_bytes()
        put_in_place(file, good.replace(b"append", b"apqend"))
        remove_local(here)
        t.refresh()
        assert len(t.status().damaged) + len(t.status().pending) >= 1
        report = t.sync(there)
        assert [(bad.path, bad.side, bad.is_replaced) for bad in report.bad] == [(name, "here", True)]
        assert (t.status().damaged, t.status().pending) == ((), ())
    assert file.read_bytes() == good
    assert texts_at(here) == ["one", "two"]


def test_a_content_that_a_pending_event_waits_for_is_replaced_without_verify(tmp_path: Path) -> None:
    here, there = pair(tmp_path)
    file = object_of(here, "two")
    good = file.read_bytes()
    put_in_place(file, good.replace(b"two", b"toe"))
    remove_local(here)
    report = sync(here, there)
    assert [(bad.path, bad.side, bad.is_replaced) for bad in report.bad] == [(shown(here, file), "here", True)]
    assert texts_at(here) == ["one", "two"]
    assert report.pending_here == report.pending_there == ()


@pytest.mark.parametrize("verify", [False, True])
def test_a_file_that_is_bad_on_both_sides_is_reported_and_left_alone(tmp_path: Path, verify: bool) -> None:
    here, there = pair(tmp_path)
    put_in_place(object_of(there, "two"), b"torn")
    file = object_of(here, "two")
    put_in_place(file, b"also torn")
    report = sync(here, there, verify=verify)
    assert {(bad.path, bad.side, bad.is_replaced) for bad in report.bad} == {
        (shown(here, file), "here", False),
        (shown(here, file), "there", False),
    }
    assert file.read_bytes() == b"also torn"
    assert quarantined(here) == quarantined(there) == []
    remove_local(here)
    again = sync(here, there)
    assert len(again.pending_here) == len(again.pending_there) == 1
    assert again.pending_here[0].startswith("default/")


@pytest.mark.parametrize("side", ["here", "there"])
def test_a_bad_file_that_only_one_side_has_is_not_copied(tmp_path: Path, side: str) -> None:
    here, there = diverged(tmp_path)
    damaged, other = (here, there) if side == "here" else (there, here)
    file = object_of(damaged, side)
    put_in_place(file, b'{"content":{"content_type":"reasoning","text":"forged"}}')
    report = sync(here, there)
    (bad,) = report.bad
    assert (bad.path, bad.side, bad.is_replaced) == (shown(damaged, file), side, False)
    assert not (store_root(other) / bad.path).exists()
    with open_tract(other) as t:
        waiting = tuple(f"default/{line}" for line in t.status().pending)
        assert len(waiting) == (3 if side == "here" else 2)  # the event that brings it, and those that follow
        assert t.status().damaged == ()
    assert (report.pending_there if other == there else report.pending_here) == waiting


def test_a_bad_file_whose_bytes_are_in_a_pack_is_replaced_from_there(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    with open_tract(here, clock=Clock()) as t:
        fill_pack(t)
    copy_store(here, there)
    (pack,) = (store_root(here) / "packs").iterdir()
    line = pack.read_bytes().splitlines()[0]
    name = hashlib.sha256(line).hexdigest()
    file = store_root(there) / "objects" / name[:2] / name[2:]
    put(file, b"bad")
    report = sync(here, there, verify=True)
    assert [(bad.side, bad.is_replaced) for bad in report.bad] == [("there", True)]
    assert file.read_bytes() == line
    assert not (store_root(here) / "objects").exists()


@pytest.mark.parametrize("side", ["here", "there"])
def test_a_damaged_pack_is_replaced_or_else_not_copied(tmp_path: Path, side: str) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    with open_tract(here, clock=Clock()) as t:
        fill_pack(t)
        expected = answers(t)
    there.mkdir()
    (pack,) = (store_root(here) / "packs").iterdir()
    good = pack.read_bytes()
    remove_local(here)
    put_in_place(pack, good[:-100])
    report = sync(here, there)
    assert [(bad.side, bad.path, bad.is_replaced) for bad in report.bad] == [("here", f"packs/{pack.name}", False)]
    assert not (store_root(there) / "packs" / pack.name).exists()
    put(pack, good)
    sync(here, there)
    damaged = here if side == "here" else there
    put_in_place(store_root(damaged) / "packs" / pack.name, good[:-100])
    assert [(bad.side, bad.is_replaced) for bad in sync(here, there).bad] == [(side, True)]
    assert (store_root(damaged) / "packs" / pack.name).read_bytes() == good
    for path in (here, there):
        remove_local(path)
        with open_tract(path) as t:
            assert answers(t) == expected


@pytest.mark.parametrize("side", ["here", "there"])
def test_line_ends_that_were_rewritten_are_undone_where_no_side_has_the_file_good(tmp_path: Path, side: str) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    damaged = here if side == "here" else there
    with open_tract(damaged, clock=Clock()) as t:
        fill_pack(t)
        expected = answers(t)
    (pack,) = (store_root(damaged) / "packs").iterdir()
    good = pack.read_bytes()
    put(pack, good.replace(b"\n", b"\r\n"))
    remove_local(damaged)
    report = sync(here, there)
    assert [(bad.side, bad.is_replaced) for bad in report.bad] == [(side, True)]
    assert report.bad[0].cause.startswith("line ends rewritten: its ")
    for path in (here, there):
        assert (store_root(path) / "packs" / pack.name).read_bytes() == good
        with open_tract(path) as t:
            assert answers(t) == expected


def test_a_link_or_pipe_under_one_of_our_names_gives_way(tmp_path: Path) -> None:
    here, there = pair(tmp_path)
    for number, file in enumerate((object_of(there, "one"), object_of(there, "two"))):
        file.unlink()
        if number:
            os.mkfifo(file)
        else:
            file.symlink_to(tmp_path / "elsewhere")
    sync(here, there)
    assert hashed(there) == hashed(here)
    assert not (tmp_path / "elsewhere").exists()
    assert texts_at(there) == ["one", "two"]


def test_a_file_that_cannot_be_read_is_reported_and_blocks_no_other(tmp_path: Path) -> None:
    here, there = diverged(tmp_path)
    file = object_of(there, "there")

    def fails(call: str, _number: int, arguments: tuple[Any, ...]) -> OSError | None:
        is_it = call == "open" and str(arguments[0]) == str(file)
        return OSError(errno.EIO, "Input/output error", str(file)) if is_it else None

    with open_tract(here) as t, disk(fails):
        report = t.sync(there)
        assert [(bad.path, bad.side, bad.cause, bad.is_replaced) for bad in report.bad] == [
            (shown(there, file), "there", "it can't be read: Input/output error", False)
        ]
    assert file.exists()
    assert hashed(there).items() > hashed(here).items()
    assert sync(here, there).bad == ()
    assert hashed(there) == hashed(here)


@pytest.mark.parametrize("with_events", [False, True], ids=["objects", "objects and events"])
def test_the_good_members_of_a_damaged_pack_are_copied_one_by_one(tmp_path: Path, with_events: bool) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    there.mkdir()
    with open_tract(here, clock=Clock()) as t:
        if with_events:
            for number in range(20):
                t.commit(user(f"text {number}"))
            t.pack()
        else:
            fill_pack(t, 40)
    (pack,) = (store_root(here) / "packs").iterdir()
    lines = members_of(pack.read_bytes())
    lost = next(line for line in lines if line.startswith(b'{"content":'))
    remove_local(here)
    put_in_place(pack, pack.read_bytes().replace(lost, lost.replace(b"content", b"kontent")))
    report = sync(here, there)
    assert [(bad.side, bad.path, bad.is_replaced) for bad in report.bad] == [("here", f"packs/{pack.name}", False)]
    assert not report.is_whole
    assert {hashlib.sha256(data).hexdigest() for data in hashed(there).values()} >= {
        hashlib.sha256(line).hexdigest() for line in lines if line != lost
    }
    assert sync(here, there).sent.files == 0


# refused


@pytest.mark.parametrize("packed", ["", "here", "there"])
def test_two_projects_with_a_tract_of_one_name_are_not_mixed(tmp_path: Path, packed: str) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for path, text in ((here, "You are the tax bot."), (there, "You are\nthe gardener\x1b[2J. " + 80 * "x")):
        with open_tract(path, clock=Clock(1_800_000_000_000_000 + len(text))) as t:
            t.commit(user(text))
            t.commit(user("hello"))
            if packed == path.name:
                t.pack()
    before = synced(here), synced(there)
    with open_tract(here) as t:
        with pytest.raises(UnrelatedHistories) as caught:
            t.sync(there)
        assert (caught.value.tract_id, caught.value.ours) == ("default", "You are the tax bot.")
        assert caught.value.theirs == "You are the gardener\x1b[2J. " + 34 * "x"
        assert "\\x1b[2J" in str(caught.value) and "\x1b" not in str(caught.value)
        assert (synced(here), synced(there)) == before
        assert [(one.branch, len(one.heads)) for one in t.sync(there, allow_unrelated=True).diverged] == [("main", 2)]
        t.sync(there)
        with pytest.raises(UnrelatedHistories, match="the gardener"):
            t.merge()
        t.merge(allow_unrelated=True)


def test_one_unrelated_tract_among_others_stops_the_sync_before_anything_is_written(two: tuple[Path, Path]) -> None:
    here, there = two
    with open_tract(here, tract_id="other", clock=Clock(1_830_000_000_000_000)) as t:
        t.commit(user("of another project"))
    before = synced(here), synced(there)
    with pytest.raises(UnrelatedHistories) as caught:
        sync(here, there)
    assert (caught.value.tract_id, caught.value.theirs) == ("other", "of another tract")
    assert (synced(here), synced(there)) == before


def test_parts_of_one_history_are_related(tmp_path: Path) -> None:
    """Files that came by halves have no event in common, but build on each other, or one side has no first event."""
    whole = tmp_path / "whole"
    with open_tract(whole, clock=Clock()) as t:
        for text in ("one", "two", "three", "four"):
            t.commit(user(text))
    events = event_files(whole)
    for number, (mine, theirs) in enumerate([((0, 1), (2, 3)), ((0,), (3,)), ((1,), (3,)), ((0,), (1, 2, 3))]):
        here, there = tmp_path / f"here {number}", tmp_path / f"there {number}"
        for path, kept in ((here, mine), (there, theirs)):
            copy_store(whole, path)
            remove_local(path)
            for place, name in enumerate(events):
                if place not in kept:
                    (store_root(path) / name).unlink()
        sync(here, there)
        assert set(event_files(here)) == set(event_files(there)) == {events[place] for place in (*mine, *theirs)}


def test_forks_of_one_history_under_one_name_are_related(two: tuple[Path, Path]) -> None:
    for number, path in enumerate(two):
        with open_tract(path, clock=Clock(1_830_000_000_000_000 + number)) as t, t.fork("child") as child:
            child.commit(user(f"child {number}"))
    report = sync(*two)
    assert [(one.tract_id, len(one.heads)) for one in report.diverged] == [("child", 2), ("default", 2)]


def test_a_store_of_a_newer_format_is_refused(two: tuple[Path, Path]) -> None:
    here, there = two
    before = synced(here)
    put(store_root(there) / "FORMAT", b'{"format":"tract-fs","version":2}\n')
    with pytest.raises(UnsupportedFormat) as told:
        sync(here, there)
    assert told.value.fields == {"path": str(there), "found": 2, "supported": 1}
    put(store_root(there) / "FORMAT", b'{"format":"git"}\n')
    with pytest.raises(NotAStore):
        sync(here, there)
    assert synced(here) == before


def test_a_path_that_is_no_directory_is_refused_and_nothing_made(tmp_path: Path) -> None:
    here, file = tmp_path / "here", tmp_path / "file"
    file.write_bytes(b"")
    with open_tract(here) as t:
        with pytest.raises(StoreNotFound, match="mount what should be there"):
            t.sync(tmp_path / "not mounted")
        with pytest.raises(NotAStore):
            t.sync(file)
        with pytest.raises(NotAStore, match="inside of a store"):
            t.sync(store_root(here))
        for path in (here, f"{here}/", f"{here}/../here"):
            with pytest.raises(ArgumentError, match="the store itself"):
                t.sync(path)
        (tmp_path / "link").symlink_to(here)
        (tmp_path / "half").mkdir()
        (tmp_path / "half" / ".tract").symlink_to(store_root(here))
        for path in ("link", "half"):
            with pytest.raises(ArgumentError, match="the store itself"):
                t.sync(tmp_path / path)
        for wrong in ("", "a\0b", None, 3, b"bytes"):
            with pytest.raises(ArgumentError):
                t.sync(wrong)  # type: ignore[arg-type]
    assert sorted(os.listdir(tmp_path)) == ["file", "half", "here", "link"]


def test_a_handle_that_cannot_write_syncs_nothing(two: tuple[Path, Path]) -> None:
    here, there = two
    before = synced(there)
    with open_tract(here, read_only=True) as t, pytest.raises(ReadOnlyError):
        t.sync(there)
    with pytest.raises(ClosedError):
        t.sync(there)
    with open_tract(here) as t, pytest.raises(ArgumentError, match="inside a batch"), t.batch():
        t.commit(user("staged"))
        t.sync(there)
    assert synced(there) == before


def read_only_below(path: Path) -> Callable[[str, int, tuple[Any, ...]], OSError | None]:
    """Lets a directory be on a file system that is mounted read-only."""

    def fails(call: str, _number: int, arguments: tuple[Any, ...]) -> OSError | None:
        is_change = call in ("rename", "unlink", "makedirs", "mkdir") or (
            call == "open" and bool(arguments[1] & os.O_CREAT)
        )
        if is_change and str(arguments[0]).startswith(str(path)):
            return OSError(errno.EROFS, os.strerror(errno.EROFS), str(arguments[0]))
        return None

    return fails


def test_a_stick_that_is_read_only_gives_what_it_has(two: tuple[Path, Path]) -> None:
    here, there = two
    before, union = synced(there), hashed(here) | hashed(there)
    with open_tract(here) as t, disk(read_only_below(there)):
        with pytest.raises(OSError, match="Read-only") as told:
            t.sync(there)
        assert told.value.errno == errno.EROFS
        assert str(told.value.filename).startswith(str(there))
    assert hashed(here) == union
    assert synced(there) == before
    for name in union.keys() - hashed(there).keys():
        put(store_root(there) / name, union[name])
    with open_tract(here) as t, disk(read_only_below(there)):
        assert t.sync(there).sent.files == 0


def test_a_directory_that_cannot_be_written_gets_no_store(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    there.mkdir()
    with open_tract(here) as t, disk(read_only_below(there)), pytest.raises(OSError, match="Read-only"):
        t.sync(there)
    assert list(there.iterdir()) == []


# with others at work

_WRITER = """
import sys
from tract_fs import DialogueContent, Tract
with Tract.open(sys.argv[1], durability="fast") as t:
    print("ready", flush=True)
    for number in range(int(sys.argv[2])):
        if number % 10:
            t.commit(DialogueContent(role="user", text=f"{sys.argv[3]} {number}"))
        else:
            with t.batch():
                for part in range(40):
                    t.commit(DialogueContent(role="user", text=f"{sys.argv[3]} {number}.{part}"))
"""


def test_what_is_copied_while_another_process_commits_is_whole(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    there.mkdir()
    with open_tract(here) as t:
        t.commit(user("first"))
    arguments = [sys.executable, "-c", _WRITER, str(here), "120", "w"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        rounds = 0
        sizes = []
        while writer.poll() is None or rounds < 2:
            with open_tract(here) as t:
                assert t.sync(there, durable=False).bad == ()
            require_nothing_waits(there)
            sizes.append(len(texts_at(there)))
            rounds += 1
    assert writer.returncode == 0
    assert sizes == sorted(sizes)
    sync(here, there)
    assert hashed(here) == hashed(there)
    assert len(texts_at(there)) == 1 + 108 + 12 * 40


def test_an_event_whose_parent_came_after_the_listing_waits_for_the_next_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing goes directory by directory: one that was listed may get an event before the next is listed."""
    here, there = tmp_path / "here", tmp_path / "there"
    there.mkdir()
    with open_tract(here, clock=Clock()) as t:
        for text in ("one", "two", "three", "four"):
            t.commit(user(text))
    events = {data: name for name, data in hashed(here).items() if name.startswith("events")}
    second = sorted(events)[1]  # by time, which stands first in an event
    list_files = Holdings.list_files

    def list_too_early(holdings: Holdings) -> None:
        list_files(holdings)
        name = events[second].replace("/", "")[-64:]
        holdings.files.pop(Address("event", name, "default"), None)

    with monkeypatch.context() as patched:
        patched.setattr(Holdings, "list_files", list_too_early)
        sync(here, there)
    assert texts_at(there) == ["one"]
    require_nothing_waits(there)
    sync(here, there)
    assert texts_at(there) == ["one", "two", "three", "four"]


def test_an_event_with_many_unknown_parents_costs_a_listing_and_no_read_of_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    there.mkdir()
    with open_tract(here, clock=Clock()) as t:
        t.commit(user("one"))
    unknown = sorted(hashlib.sha256(str(number).encode()).hexdigest() for number in range(5000))
    name = put_event(here, parents=unknown)
    reads: list[Address] = []
    read = Holdings.read

    def counted(holdings: Holdings, address: Address) -> bytes | None:
        reads.append(address)
        return read(holdings, address)

    monkeypatch.setattr(Holdings, "read", counted)
    with open_tract(here) as t:
        report = t.sync(there)
    assert report.sent.events.files == 2
    assert [line[:73] for line in report.pending_there] == [f"default/{name}:"]
    assert len(reads) == 2


def test_a_pack_with_events_that_came_amid_the_listing_waits_for_the_next_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The objects of its events may lie where the listing had passed already."""
    here, late, there = tmp_path / "here", tmp_path / "late", tmp_path / "there"
    there.mkdir()
    with open_tract(here, clock=Clock()) as t:
        t.commit(user("one"))
    copy_store(here, late)
    with open_tract(late, clock=Clock(1_800_000_000_000_000)) as t:
        t.commit(user("two"))
    more = {name: data for name, data in hashed(late).items() if name not in hashed(here)}
    (event,) = (data for name, data in more.items() if name.startswith("events"))
    iter_loose = tree.iter_loose

    def write_meanwhile(layout: Layout, kind: tree.LooseKind) -> Iterator[tuple[Address, int]]:
        yield from iter_loose(layout, kind)
        if kind == "object" and layout.context == str(here):
            for name, data in more.items():
                if name.startswith("objects"):
                    put(store_root(here) / name, data)
            put(store_root(here) / "packs" / hashlib.sha256(event + b"\n").hexdigest(), event + b"\n")

    with monkeypatch.context() as patched:
        patched.setattr(tree, "iter_loose", write_meanwhile)
        assert sync(here, there).sent.packs.files == 0
    require_nothing_waits(there)
    assert texts_at(there) == ["one"]
    sync(here, there)
    assert texts_at(there) == ["one", "two"]


def test_a_redaction_that_a_sync_brings_takes_effect_at_once(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    with open_tract(there, clock=Clock()) as t:
        t.commit(user("public"))
        t.commit(user("secret"))
    copy_store(there, here)
    remove_local(here)
    events = {data: name.replace("/", "")[-64:] for name, data in hashed(there).items() if name.startswith("events")}
    file = object_of(there, "secret")
    data = encode_event(
        tract="default",
        at="2027-01-01T00:00:00.000000Z",
        writer="",
        parents=[events[max(events)]],
        ops=[{"kind": "redact", "object": file.parent.name + file.name}],
    )
    name = hash_bytes(data)
    put(store_root(there) / "events" / "default" / name[:2] / name[2:], data)
    for path in (here, there):
        object_of(path, "secret").unlink()
    with open_tract(here) as t:
        assert len(t.status().pending) == 1
        assert t.sync(there).pending_here == ()
        assert t.status().pending == ()
        assert [message.content for message in t.compile().messages] == ["public"]


def _sync_often(here: str, there: str) -> None:
    for _ in range(5):
        with Tract.open(here, durability="fast") as t:
            t.sync(there, durable=False)


def test_syncs_of_the_same_two_directories_at_once_do_no_harm(tmp_path: Path) -> None:
    here, there = diverged(tmp_path)
    union = hashed(here) | hashed(there)
    context = multiprocessing.get_context("spawn")
    pairs = [(str(here), str(there)), (str(there), str(here)), (str(here), str(there))]
    children = [context.Process(target=_sync_often, args=pair) for pair in pairs]
    for child in children:
        child.start()
    for child in children:
        child.join(240)
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert hashed(here) == hashed(there) == union
    assert quarantined(here) == quarantined(there) == []


def test_a_good_file_that_came_meanwhile_is_not_written_again(two: tuple[Path, Path]) -> None:
    here, there = two
    union = hashed(here) | hashed(there)
    inodes: dict[str, int] = {}

    def bring_all(done: int, _total: int, _name: str) -> None:
        if done == 0:
            for path in two:
                for name in union.keys() - hashed(path).keys():
                    put(store_root(path) / name, union[name])
            inodes.update((str(path / name), (store_root(path) / name).stat().st_ino) for path in two for name in union)

    report = sync(here, there, progress=bring_all)
    assert (report.sent.files, report.received.files) == (0, 0)
    assert {str(path / name): (store_root(path) / name).stat().st_ino for path in two for name in union} == inodes


@pytest.mark.parametrize("at", [0, 3, 10])
def test_a_stick_that_is_pulled_out_stops_the_sync_and_nothing_goes_to_its_mount_point(
    two: tuple[Path, Path], tmp_path: Path, at: int
) -> None:
    here, there = two
    union = hashed(here) | hashed(there)

    def pull(done: int, _total: int, _name: str) -> None:
        if done == at:
            there.rename(tmp_path / "pulled")
            there.mkdir()

    with pytest.raises(StoreNotFound, match="mount it again"):
        sync(here, there, progress=pull)
    assert list(there.iterdir()) == []
    require_nothing_waits(here)
    there.rmdir()
    (tmp_path / "pulled").rename(there)
    require_nothing_waits(there)
    sync(here, there)
    assert hashed(here) == hashed(there) == union


def test_a_file_that_a_tool_took_away_since_the_listing_is_passed_over(two: tuple[Path, Path]) -> None:
    here, there = two
    file = object_of(there, "there")

    def take(done: int, _total: int, _name: str) -> None:
        if done == 0:
            file.unlink()

    report = sync(here, there, progress=take)
    assert report.bad == ()
    assert len(report.pending_here) == 2


def test_copies_reach_the_disk_unless_told_otherwise(tmp_path: Path) -> None:
    for is_durable in (True, False):
        here, there = diverged(tmp_path / str(is_durable))
        with open_tract(here) as t, disk() as stand_in:
            t.sync(there, durable=is_durable)
            assert stand_in.calls.count("syncfs") == (2 if is_durable else 0)


def test_a_power_cut_that_left_work_on_the_other_side_is_made_good_first(tmp_path: Path) -> None:
    here, there = pair(tmp_path)
    shutil.rmtree(store_root(there))
    with Tract.open(there, clock=Clock()) as t:
        t.commit(user("there"))
    redo = own_place(there) / "redo"
    data = redo.read_bytes()
    put(redo, data[:11] + b"another boot".ljust(53, b"\n") + data[64:])
    for name in hashed(there):
        (store_root(there) / name).unlink()
    sync(here, there, allow_unrelated=True)
    assert hashed(here) == hashed(there)
    with open_tract(here) as t:
        assert len(t.status().other_heads) == 1


def test_files_made_by_a_sync_can_be_read_by_all_and_written_by_none(two: tuple[Path, Path]) -> None:
    here, there = two
    sync(here, there)
    for path in two:
        assert {stat.S_IMODE((store_root(path) / name).stat().st_mode) for name in hashed(path)} == {0o444}
