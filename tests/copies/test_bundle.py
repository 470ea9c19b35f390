"""A bundle carries a tract in one file: whole or only what is new, checked to the last byte, applied as a whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.copies import hashed, is_good, object_of, open_tract, require_nothing_waits, texts_at
from tests.lab.disk import Killed, Trap, die, disk, killed_at, set_trap
from tests.lab.processes import run_child
from tests.lab.states import answers, copy_store, members_of, put_in_place, remove_local, store_root, synced
from tests.lab.stores import fill, fill_pack
from tests.lab.talk import START_US, Clock, user
from tract_fs import BundleInfo, Tract, verify_bundle
from tract_fs.errors import (
    ArgumentError,
    BundleDamaged,
    BundleExists,
    CommitNotFoundError,
    HistoryIncomplete,
    ReadOnlyError,
    UnrelatedHistories,
    UnsupportedFormat,
)
from tract_fs.model.events import encode_event, move_op
from tract_fs.model.names import hash_bytes


def make(path: Path, *said: str, clock_us: int = START_US, **options: Any) -> list[str]:
    """Commits texts; returns the commits' hashes."""
    with open_tract(path, clock=Clock(clock_us), **options) as t:
        return [t.commit(user(text)).commit_hash for text in said]


def bundle(path: Path, file: Path, **options: Any) -> BundleInfo:
    with open_tract(path) as t:
        return t.bundle(file, **options)


def apply(path: Path, file: Path) -> Any:
    with open_tract(path) as t:
        return t.apply_bundle(file)


def events_of(path: Path) -> list[str]:
    """Returns the hashes of the events of a store, in order of time."""
    found = {data: name for name, data in hashed(path).items() if name.startswith("events")}
    return ["".join(found[data].split("/")[-2:]) for data in sorted(found)]


def file_hashes(path: Path) -> set[str]:
    """Returns the hashes of the objects and events of a store, loose and in packs."""
    files = hashed(path)
    packed = [line for name, data in files.items() if name.startswith("packs/") for line in members_of(data)]
    return {hashlib.sha256(data).hexdigest() for data in [*packed, *files.values()]} - {
        name.removeprefix("packs/") for name in files
    }


def sealed(lines: list[bytes]) -> bytes:
    """Returns a bundle of these lines with a last line that is right."""
    body = b"".join(line + b"\n" for line in lines)
    return body + hashlib.sha256(body).hexdigest().encode() + b"\n"


# whole and incremental


def test_a_whole_bundle_makes_an_equal_store(tmp_path: Path) -> None:
    here, there, file = tmp_path / "here", tmp_path / "there", tmp_path / "all.bundle"
    with open_tract(here, clock=Clock()) as t:
        fill(t)
        fill_pack(t)
        info = t.bundle(file)
        expected = answers(t)
    with open_tract(here, read_only=True) as t:
        commits = len(t.log(None))
    assert (info.tracts, info.events, info.commits, info.builds_on, info.missing) == (("default",), 10, commits, (), ())
    assert info.size_bytes == file.stat().st_size
    assert info == verify_bundle(file)
    with open_tract(there) as t:
        report = t.apply_bundle(file)
        assert answers(t) == expected
    assert (report.new_events, report.new_commits, report.new_contents, report.pending) == (
        10,
        commits,
        info.contents,
        (),
    )
    assert report.path == str(file)


def test_an_incremental_bundle_holds_what_came_after_a_commit(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    first, second = make(here, "one", "two")
    copy_store(here, there)
    third, _ = make(here, "three", "one", clock_us=1_800_000_000_000_000)
    before = events_of(here)
    info = bundle(here, tmp_path / "new", since=second[:10])
    assert (info.events, info.commits, info.contents) == (2, 2, 1)  # the content of "one" is had already
    assert info.builds_on == (f"default/{before[1]}",)
    report = apply(there, tmp_path / "new")
    assert (report.new_events, report.new_commits, report.new_contents, report.pending) == (2, 2, 1, ())
    assert file_hashes(there) == file_hashes(here)
    assert texts_at(there) == ["one", "two", "three", "one"]
    assert bundle(here, tmp_path / "newer", since=third).events == 1
    assert bundle(here, tmp_path / "all but one", since=first).events == 3
    nothing = bundle(here, tmp_path / "nothing", since="main")
    assert (nothing.tracts, nothing.events, nothing.builds_on) == ((), 0, ())
    assert apply(there, tmp_path / "nothing").new_events == 0


def test_since_leaves_out_no_line_that_went_beside_the_commit(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    make(here, "shared")
    copy_store(here, there)
    remove_local(there)
    (mine,) = make(here, "here", clock_us=1_800_000_000_000_000)
    make(there, "there", clock_us=1_810_000_000_000_000)
    with open_tract(here) as t:
        t.sync(there)
    info = bundle(here, tmp_path / "file", since=mine)
    assert (info.events, info.commits, info.contents) == (1, 1, 1)
    assert b'"there"' in (tmp_path / "file").read_bytes()


def test_the_objects_of_a_large_bundle_fill_several_packs_and_its_events_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    make(here, *(f"text {number}" for number in range(40)))
    bundle(here, tmp_path / "file")
    monkeypatch.setattr("tract_fs.copies.bundle.PACK_MAX_BYTES", 10_000)
    apply(there, tmp_path / "file")
    packs = [data for name, data in hashed(there).items() if name.startswith("packs/")]
    with_events = [data for data in packs if b'\n{"event":' in b"\n" + data]
    assert (len(packs) > 2, len(with_events), with_events[0].count(b'{"event":')) == (True, 1, 40)
    assert texts_at(there) == [f"text {number}" for number in range(40)]


def test_bundles_apply_in_any_order_and_twice(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    heads = []
    for number, text in enumerate(("one", "two", "three")):
        heads += make(here, text, clock_us=START_US + number * 10**9)
        bundle(here, tmp_path / text, **({"since": heads[-2]} if number else {}))
    names = events_of(here)
    assert apply(there, tmp_path / "three").pending == (f"default/{names[2]}: its parent is not visible: {names[1]}",)
    assert apply(there, tmp_path / "two").pending == (f"default/{names[1]}: its parent is not visible: {names[0]}",)
    with open_tract(there) as t:
        assert t.head is None
        assert len(t.status().pending) == 2
        assert t.apply_bundle(tmp_path / "one").pending == ()
        assert t.head == heads[-1]
        assert t.apply_bundle(tmp_path / "three").new_events == 0
    assert hashed(there) == hashed(here)


def test_events_that_wait_are_carried_on(tmp_path: Path) -> None:
    here, between, there = tmp_path / "here", tmp_path / "between", tmp_path / "there"
    (first, _) = make(here, "one", "two")
    bundle(here, tmp_path / "second", since=first)
    apply(between, tmp_path / "second")
    info = bundle(between, tmp_path / "onward")
    assert (info.events, info.builds_on) == (1, (f"default/{events_of(here)[0]}",))
    apply(there, tmp_path / "onward")
    bundle(here, tmp_path / "all")
    apply(there, tmp_path / "all")
    assert texts_at(there) == ["one", "two"]


def test_commits_go_along_whose_events_are_lost(tmp_path: Path) -> None:
    """Their event may be gone for good; what builds on them is of no use without them."""
    here, there = tmp_path / "here", tmp_path / "there"
    make(here, "one", "two")
    before = hashed(here)
    lost = events_of(here)[0]
    (store_root(here) / "events" / "default" / lost[:2] / lost[2:]).unlink()
    remove_local(here)
    info = bundle(here, tmp_path / "file")
    assert (info.events, info.commits, info.contents) == (1, 2, 2)
    apply(there, tmp_path / "file")
    assert hashed(there) == hashed(here)
    assert {name for name in before if name.startswith("objects")} <= hashed(there).keys()


def test_a_bundle_takes_along_the_events_of_other_tracts_that_it_builds_on(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    (first, _) = make(here, "one", "two")
    make(here, "unrelated", tract_id="other", clock_us=START_US + 5)
    origin = events_of(here)[0]
    data = encode_event(
        tract="child",
        at="2027-01-01T00:00:00.000000Z",
        writer="",
        parents=[f"default/{origin}"],
        ops=[move_op("create", "main", first, [], [])],
    )
    name = hash_bytes(data)
    file = store_root(here) / "events" / "child" / name[:2] / name[2:]
    file.parent.mkdir(parents=True)
    file.write_bytes(data)
    with open_tract(here, tract_id="child") as t:
        assert t.head == first
        info = t.bundle(tmp_path / "file")
    assert (info.tracts, info.events, info.commits, info.builds_on) == (("child", "default"), 2, 1, ())
    report = apply(there, tmp_path / "file")
    assert (report.tracts, report.pending) == (("child", "default"), ())
    assert texts_at(there, tract_id="child") == ["one"]
    assert texts_at(there) == ["one"]


def test_a_bundle_is_a_function_of_the_store(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    with open_tract(here, clock=Clock()) as t:
        fill(t)
        fill_pack(t)
    there.mkdir()
    with open_tract(here) as t:
        t.sync(there)
    bundle(here, tmp_path / "a")
    bundle(there, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_two_events_or_64_objects_are_written_as_one_pack(tmp_path: Path) -> None:
    for count, is_batch, packs in ((1, False, 0), (2, False, 1), (31, True, 0), (32, True, 1)):
        here, there, file = (tmp_path / f"{name}{count}" for name in ("here", "there", "file"))
        said = [f"text {number}" for number in range(count)]
        with open_tract(here, clock=Clock()) as t:
            if is_batch:
                with t.batch():
                    for text in said:
                        t.commit(user(text))
            else:
                for text in said:
                    t.commit(user(text))
            t.bundle(file)
        assert apply(there, file).new_commits == count
        assert sum(name.startswith("packs/") for name in synced(there)) == packs
        assert sum(name.startswith("objects/") for name in synced(there)) == (0 if packs else 2 * count)
        assert sum(name.startswith("events/") for name in synced(there)) == (0 if packs else 1)
        assert texts_at(there) == said
        before = synced(there)
        assert apply(there, file).new_contents == 0
        assert synced(there) == before


def test_what_is_missing_is_told_and_stops_nothing(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    make(here, "one", "two", "three")
    file = object_of(here, "two")
    name = file.parent.name + file.name
    put_in_place(file, b"bad")
    remove_local(here)
    info = bundle(here, tmp_path / "file")
    assert (info.events, info.contents, info.missing) == (3, 2, (name,))
    report = apply(there, tmp_path / "file")
    assert len(report.pending) == 2
    assert report.pending[0].endswith(name) or report.pending[1].endswith(name)
    with pytest.raises(HistoryIncomplete) as caught:
        texts_at(there)
    assert caught.value.hash == name
    with Tract.open(there, incomplete="use") as t:
        assert [message.content for message in t.compile().messages] == ["one", "three"]


def test_a_bad_file_gives_way_to_the_good_one_of_a_bundle(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    make(here, "one", "two")
    copy_store(here, there)
    bundle(here, tmp_path / "file")
    file = object_of(there, "two")
    good = file.read_bytes()
    put_in_place(file, good.replace(b"two", b"toe"))
    remove_local(there)
    report = apply(there, tmp_path / "file")
    assert (report.new_contents, report.new_events, report.pending) == (1, 0, ())
    assert file.read_bytes() == good
    assert texts_at(there) == ["one", "two"]


def test_bad_files_give_way_to_the_good_ones_of_a_bundle_that_becomes_a_pack(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    make(here, "one", "two", "three")
    copy_store(here, there)
    bundle(here, tmp_path / "file")
    files = [store_root(there) / name for name in hashed(there)]
    good = {file: file.read_bytes() for file in files}
    for file in files:
        put_in_place(file, b"torn")
    remove_local(there)
    report = apply(there, tmp_path / "file")
    assert (report.new_contents, report.new_commits, report.new_events, report.pending) == (3, 3, 3, ())
    assert {file: file.read_bytes() for file in files} == good
    assert texts_at(there) == ["one", "two", "three"]


# unrelated histories


def test_a_bundle_of_another_project_is_refused_unless_it_is_asked_for(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    make(here, "You are the tax bot.", "my salary is 90k")
    make(there, "You are\x1b[2J the gardener. " + "x" * 100, "water the roses", clock_us=1_800_000_000_000_000)
    bundle(here, tmp_path / "file")
    before = synced(there)
    with open_tract(there) as t, pytest.raises(UnrelatedHistories) as caught:
        t.apply_bundle(tmp_path / "file")
    assert (caught.value.tract_id, caught.value.theirs) == ("default", "You are the tax bot.")
    assert caught.value.ours == "You are\x1b[2J the gardener. " + "x" * 34
    assert "\\x1b[2J" in str(caught.value) and "\x1b" not in str(caught.value)
    assert str(tmp_path / "file") in str(caught.value)
    assert synced(there) == before
    with open_tract(there) as t:
        assert t.apply_bundle(tmp_path / "file", allow_unrelated=True).new_events == 2
        assert len(t.status().other_heads) == 1
        assert t.apply_bundle(tmp_path / "file").new_events == 0


def test_parts_of_a_history_are_not_taken_for_another_one(tmp_path: Path) -> None:
    """The events of a part wait: it has no first event, so nothing proves that it is of another project."""
    here = tmp_path / "here"
    said = make(here, "one", "two", "three", "four")
    for number, since in enumerate(said[:-1]):
        bundle(here, tmp_path / f"since {number}", since=since)
    bundle(here, tmp_path / "all")
    first = tmp_path / "first"
    make(first, "one")
    assert apply(first, tmp_path / "since 2").new_events == 1
    assert len(apply(first, tmp_path / "since 1").pending) == 2
    assert apply(first, tmp_path / "all").pending == ()
    assert texts_at(first) == ["one", "two", "three", "four"]


# the file


def test_a_file_that_is_there_is_not_replaced_unless_forced(tmp_path: Path) -> None:
    here, file = tmp_path / "here", tmp_path / "file"
    make(here, "one")
    file.write_bytes(b"precious")
    with open_tract(here) as t:
        with pytest.raises(BundleExists) as told:
            t.bundle(file)
        assert told.value.path == str(file)
        assert file.read_bytes() == b"precious"
        t.bundle(file, force=True)
    assert verify_bundle(file).events == 1


def test_a_bundle_can_be_made_and_read_through_a_link(tmp_path: Path) -> None:
    here = tmp_path / "here"
    make(here, "one")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    bundle(here, tmp_path / "link" / "file")
    (tmp_path / "name").symlink_to(tmp_path / "real" / "file")
    assert verify_bundle(tmp_path / "name").events == 1


def test_what_can_be_no_bundle_is_refused(tmp_path: Path) -> None:
    here = tmp_path / "here"
    make(here, "one")
    with open_tract(here) as t:
        with pytest.raises(FileNotFoundError):
            t.apply_bundle(tmp_path / "missing")
        with pytest.raises(FileNotFoundError):
            t.bundle(tmp_path / "missing" / "file")
        with pytest.raises(CommitNotFoundError):
            t.bundle(tmp_path / "file", since="no such ref")
        for wrong in ("", "a\0b", None, 3):
            with pytest.raises(ArgumentError):
                t.bundle(wrong)  # type: ignore[arg-type]
            with pytest.raises(ArgumentError):
                t.apply_bundle(wrong)  # type: ignore[arg-type]
        with pytest.raises(ArgumentError, match="inside a batch"), t.batch():
            t.commit(user("staged"))
            t.bundle(tmp_path / "file")
        with pytest.raises(ArgumentError, match="inside a batch"), t.batch():
            t.commit(user("staged"))
            t.apply_bundle(tmp_path / "file")
        t.bundle(tmp_path / "file")
    with open_tract(here, read_only=True) as t:
        assert t.bundle(tmp_path / "another").events == 1
        with pytest.raises(ReadOnlyError):
            t.apply_bundle(tmp_path / "file")
    assert sorted(os.listdir(tmp_path)) == ["another", "file", "here"]


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, list[bytes]]:
    """A bundle of two commits, and its lines but the last."""
    make(tmp_path / "source", "one", "two")
    bundle(tmp_path / "source", tmp_path / "small")
    return tmp_path / "small", (tmp_path / "small").read_bytes().splitlines()[:-1]


def refused(file: Path, data: bytes, *, target: Path) -> BundleDamaged:
    """Checks that a file is refused as a bundle and that nothing of it is written; returns the error."""
    file.write_bytes(data)
    open_tract(target).close()
    before = synced(target)
    with pytest.raises(BundleDamaged) as told:
        verify_bundle(file)
    with open_tract(target) as t, pytest.raises(BundleDamaged) as again:
        t.apply_bundle(file)
    assert str(again.value) == str(told.value)
    assert told.value.path == str(file)
    assert synced(target) == before
    return told.value


def test_any_altered_byte_is_noticed(small: tuple[Path, list[bytes]]) -> None:
    file, _ = small
    data = file.read_bytes()
    for place in range(len(data)):
        file.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises((BundleDamaged, UnsupportedFormat)):
            verify_bundle(file)


def test_any_cut_is_noticed_and_nothing_is_applied(tmp_path: Path, small: tuple[Path, list[bytes]]) -> None:
    file, lines = small
    data = file.read_bytes()
    for size in range(len(data)):
        file.write_bytes(data[:size])
        with pytest.raises(BundleDamaged):
            verify_bundle(file)
    assert refused(file, data[:-1], target=tmp_path / "t").line == 8
    told = refused(file, b"".join(line + b"\n" for line in lines[:4]), target=tmp_path / "t")
    assert (told.line, told.reason) == (4, "the last line is no SHA-256: the file is cut off")


def test_damage_is_told_with_its_place(tmp_path: Path, small: tuple[Path, list[bytes]]) -> None:
    file, lines = small
    target = tmp_path / "t"
    header, first, second, third, fourth, fifth, sixth = lines
    assert b'"content"' in second[:12] and b'"commit"' in third[:12] and b'"event"' in fifth[:12]

    def of(*parts: bytes) -> tuple[int, str]:
        told = refused(file, sealed(list(parts)), target=target)
        return told.line, told.reason

    assert of(header, first, second, third, b"{}", fifth, sixth)[0] == 5
    assert of(header, third, second, first, fourth, fifth, sixth)[0] == 3
    assert of(header, first, second, fourth, third, fifth, sixth) == (5, "a commit stands after one that builds on it")
    assert of(header, first, second, third, fourth, sixth, fifth) == (7, "an event stands after a later one")
    twice = (3, f"{hashlib.sha256(first).hexdigest()} stands here a second time")
    assert of(header, first, first, third, fourth, fifth, sixth) == twice
    for left_out in range(1, 7):
        assert of(*lines[:left_out], *lines[left_out + 1 :]) == (1, "the members are not what the first line says")
    assert of(first, second)[1].startswith("no bundle of tract_fs")
    assert of(*lines[:-1], b"\xff\xfe")[0] == 7
    assert of(header, b"[" * 100_000)[0] == 2
    assert refused(file, sealed(lines) + b"more\n", target=target).line == 8
    assert refused(file, sealed(lines) + sealed(lines), target=target).line == 8
    other_hash = sealed(lines).replace(b'"one"', b'"two"', 1)
    assert refused(file, other_hash, target=target).line in (3, 8)


def test_line_ends_that_were_rewritten_are_told(tmp_path: Path, small: tuple[Path, list[bytes]]) -> None:
    file, _ = small
    told = refused(file, file.read_bytes().replace(b"\n", b"\r\n"), target=tmp_path / "t")
    assert (told.line, told.reason) == (1, "its line ends were rewritten (CRLF)")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\n\n",
        b"\0" * 5000,
        b"\x89PNG\r\n\x1a\n",
        b"# v2 git bundle\n",
        b"{}\n",
        b"[]\n1\n",
        b"null\n",
        b"a" * 9,
        b"1\n" * 9,
    ],
)
def test_other_tools_files_are_refused(tmp_path: Path, data: bytes) -> None:
    assert refused(tmp_path / "file", data, target=tmp_path / "t").line == 1


@pytest.mark.parametrize(
    "change",
    [
        {"events": 3},
        {"commits": -1},
        {"contents": True},
        {"tracts": ["default", "other"]},
        {"tracts": []},
        {"tracts": ["../up"]},
        {"builds_on": [f"default/{'0' * 64}"]},
        {"builds_on": ["0"]},
        {"version": 0},
        {"version": "1"},
        {"version": None},
        {"format": "tract-fs"},
        {"more": 1},
    ],
    ids=str,
)
def test_a_first_line_that_is_not_true_is_refused(
    tmp_path: Path, small: tuple[Path, list[bytes]], change: dict[str, Any]
) -> None:
    file, lines = small
    header = json.dumps(json.loads(lines[0]) | change, sort_keys=True).encode()
    assert refused(file, sealed([header, *lines[1:]]), target=tmp_path / "t").line == 1


def test_a_bundle_of_a_newer_version_is_refused_as_such(small: tuple[Path, list[bytes]]) -> None:
    file, lines = small
    header = json.dumps(json.loads(lines[0]) | {"version": 3, "more": 1}).encode()
    file.write_bytes(sealed([header, *lines[1:]]))
    with pytest.raises(UnsupportedFormat) as told:
        verify_bundle(file)
    assert told.value.fields == {"path": str(file), "found": 3, "supported": 2}


def test_a_directory_or_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(BundleDamaged, match="no regular file"):
            verify_bundle(path)


def test_a_line_that_is_longer_than_any_member_is_refused(tmp_path: Path, small: tuple[Path, list[bytes]]) -> None:
    file, lines = small
    with open(file, "wb") as opened:
        opened.write(lines[0] + b"\n" + b'{"content":{"content_type":"reasoning","text":"')
        opened.truncate(80 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(BundleDamaged) as told:
            verify_bundle(file)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert told.value.line == 2
    assert peak < 200 << 20


def test_memory_does_not_grow_with_the_bundle(tmp_path: Path) -> None:
    here = tmp_path / "here"
    make(here, *(str(number) * 1_000_000 for number in range(24)))
    info = bundle(here, tmp_path / "file")
    assert info.size_bytes > 38_000_000
    tracemalloc.start()
    try:
        verify_bundle(tmp_path / "file")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


# broken off


def changes_fail(number: int, code: int) -> Callable[[str, int, tuple[Any, ...]], BaseException | None]:
    count = 0

    def fails(call: str, _number: int, arguments: tuple[Any, ...]) -> OSError | None:
        nonlocal count
        is_change = call in ("write", "rename", "fsync", "syncfs") or (
            call == "open" and bool(arguments[1] & os.O_CREAT)
        )
        if not is_change or (call != "write" and "/local/" in str(arguments[0])):
            return None
        count += 1
        return OSError(code, os.strerror(code)) if count == number else None

    return fails


def test_a_bundle_that_is_broken_off_in_the_making_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    here, file = tmp_path / "here", tmp_path / "out" / "file"
    file.parent.mkdir()
    make(here, "one", "two")
    bundle(here, tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    for halfway, is_there in ((False, False), (False, True), (True, True)):
        number, is_done = 0, False
        while not is_done:
            number += 1
            file.unlink(missing_ok=True)
            if is_there:
                file.write_bytes(b"before")
            with open_tract(here, read_only=True) as t, disk() as stand_in:
                stand_in._fails = killed_at(number, halfway=halfway)
                try:
                    t.bundle(file, force=is_there)
                    is_done = True
                except Killed:
                    pass
                stand_in.is_on = False
            found = file.read_bytes() if file.exists() else None
            assert found in (whole, b"before" if is_there else None)
            assert not is_done or found == whole
        assert number > 10


def test_a_disk_that_fails_in_the_making_leaves_no_file_and_says_where(tmp_path: Path) -> None:
    here, file = tmp_path / "here", tmp_path / "out" / "file"
    file.parent.mkdir()
    make(here, "one", "two")
    number, is_done = 0, False
    with open_tract(here, read_only=True) as t:
        while not is_done:
            number += 1
            with disk(changes_fail(number, errno.ENOSPC)) as stand_in:
                try:
                    t.bundle(file)
                    is_done = True
                except OSError as error:
                    assert (error.errno, error.filename) == (errno.ENOSPC, str(file))
                    assert stand_in.raised == 1
                    names = os.listdir(file.parent)
                    assert names == [] or (names == ["file"] and verify_bundle(file).events == 2)
                    file.unlink(missing_ok=True)
    assert number > 10
    assert os.listdir(file.parent) == ["file"]


@pytest.mark.parametrize("count", [2, 40])
def test_a_bundle_that_is_broken_off_while_it_is_applied_leaves_a_whole_store(tmp_path: Path, count: int) -> None:
    here, file = tmp_path / "here", tmp_path / "file"
    with open_tract(here, clock=Clock()) as t:
        t.commit(user("first"))
        with t.batch():
            for number in range(count):
                t.commit(user(f"text {number}"))
        t.commit(user("last"))
    expected = texts_at(here)
    bundle(here, file)
    number, is_done = 0, False
    while not is_done:
        number += 1
        there = tmp_path / str(number)
        with disk() as stand_in:
            t = open_tract(there)
            stand_in._fails = killed_at(number, halfway=number % 2 == 0)
            try:
                t.apply_bundle(file)
                is_done = True
            except Killed:
                pass
        remove_local(there)
        require_nothing_waits(there)
        assert texts_at(there) in ([], expected)
        found = {name: data for name, data in hashed(there).items() if "/." not in name}
        assert all(is_good(name, data) for name, data in found.items())
        assert apply(there, file).pending == ()
        assert texts_at(there) == expected
    assert number > 10


def _apply_and_die(there: Path, file: Path, number: int) -> bool:
    """Applies a bundle in a child that is killed at its n-th change of the disk; returns whether it was."""

    def work(_note: Callable[[bytes], None]) -> None:
        with open_tract(there) as t, set_trap(Trap(number, die)):
            t.apply_bundle(file)

    return run_child(work)[0] == -signal.SIGKILL


def test_a_kill_amid_a_bundle_leaves_all_of_it_or_nothing_that_shows(tmp_path: Path) -> None:
    here, file = tmp_path / "here", tmp_path / "file"
    make(here, *(f"text {number}" for number in range(100)))
    bundle(here, file)
    expected = texts_at(here)
    seen = []
    number, is_killed = 0, True
    while is_killed:
        number += 1
        there = tmp_path / str(number)
        is_killed = _apply_and_die(there, file, number)
        seen.append(len(texts_at(there)))
        assert texts_at(there) in ([], expected)
    assert sorted(seen) == seen and set(seen) == {0, 100}
    assert number > 4


def test_what_a_bundle_brought_survives_a_power_cut_of_its_own(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    make(here, "one")
    bundle(here, tmp_path / "file")
    with open_tract(there) as t, disk() as stand_in:
        t.apply_bundle(tmp_path / "file")
        assert stand_in.calls.count("syncfs") == 1
        t.apply_bundle(tmp_path / "file")
        assert stand_in.calls.count("syncfs") == 1


def test_a_redacted_content_is_not_missed(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    make(here, "public", "secret")
    file = object_of(here, "secret")
    digest = file.parent.name + file.name
    last = events_of(here)[-1]
    data = encode_event(
        tract="default",
        at="2027-01-01T00:00:00.000000Z",
        writer="",
        parents=[last],
        ops=[{"kind": "redact", "object": digest, "reason": "asked for"}],
    )
    name = hash_bytes(data)
    target = store_root(here) / "events" / "default" / name[:2] / name[2:]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    file.unlink()
    remove_local(here)
    info = bundle(here, tmp_path / "file")
    assert (info.events, info.contents, info.missing) == (3, 1, ())
    assert apply(there, tmp_path / "file").pending == ()
    assert texts_at(there) == texts_at(here)


def test_a_handle_of_another_tract_applies_a_bundle_too(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    make(here, "one")
    bundle(here, tmp_path / "file")
    with Tract.open(there, tract_id="another", durability="fast") as t:
        assert t.apply_bundle(tmp_path / "file").tracts == ("default",)
        assert t.head is None
    assert texts_at(there) == ["one"]


def test_a_fork_goes_along_with_what_it_started_from(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    with open_tract(here, clock=Clock()) as t:
        t.commit(user("asked"), generation_config={"model": "m-1"})
        with t.fork("child") as child:
            child.commit(user("found"))
            info = child.bundle(tmp_path / "file")
            expected = answers(child)
        t.commit(user("not of the fork"))
    assert (info.tracts, info.builds_on, info.missing) == (("child", "default"), (), ())
    assert apply(there, tmp_path / "file").pending == ()
    with open_tract(there, tract_id="child") as t:
        assert answers(t) == expected
    assert texts_at(there) == ["asked"]
