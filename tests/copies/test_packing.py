"""Packing changes no answer: at any moment, by any process, any number of times, however it is broken off, whoever reads and writes meanwhile."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.lab.disk import Killed, disk, full_from, killed_at
from tests.lab.processes import ROOT
from tests.lab.reference import ReferenceStore
from tests.lab.states import (
    answers,
    copy_store,
    list_always,
    members_of,
    own_place,
    put,
    remove_local,
    store_root,
    synced,
)
from tests.lab.stores import AT_ONCE, fill, fill_pack, redact
from tests.lab.talk import Clock, user
from tract_fs import Tract
from tract_fs.cli.running import run
from tract_fs.errors import ArgumentError, HashMismatch, LockTimeout, ReadOnlyError
from tract_fs.store import quarantine
from tract_fs.store.bytes import StoredBytes
from tract_fs.store.events import Events
from tract_fs.store.layout import Layout
from tract_fs.store.listing import EventListing, KnownEvents
from tract_fs.store.packs import Packs
from tract_fs.upkeep import pack as packing
from tract_fs.upkeep import pack_plan
from tract_fs.upkeep.pack_plan import worth_merging

CHANGES = ("write", "rename", "unlink", "rmdir", "fsync", "ftruncate", "makedirs", "mkdir")
READS = ("open", "opendir", "read", "pread", "stat", "fstat", "listdir", "scandir")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_PAUSE_S", 0.0)
    monkeypatch.setattr(packing, "_AT_ONCE", 8)


def open_tract(path: Path, tract_id: str = "main", **options: Any) -> Tract:
    return Tract.open(path, tract_id=tract_id, **{"durability": "fast", "clock": Clock(), **options})


def make_store(path: Path) -> Path:
    """A store with two tracts, branches, tags, a merge, a summary, a fork, a redaction, a batch that is a pack, all else loose."""
    with open_tract(path, "default") as t:
        t.commit(user("before the secret"))
        t.commit(user("secret"))
    with open_tract(path) as t:
        fill(t)
        t.branch("side")
        t.switch("side")
        t.commit(user("on the side"))
        t.tag("mark")
        t.switch("main")
        t.commit(user("on main"))
        t.merge("side")
        shown = t.compile().commit_hashes
        t.summarize(shown[1:3], "in short")
        fill_pack(t, 33)
        t.commit(user("last"), generation_config={"model": "m-1"})
    with open_tract(path) as t, t.fork("forked") as other:
        other.commit(user("of the fork"))
    redact_last(path)
    return path


def redact_last(path: Path) -> None:
    """Redacts the content `secret` of the tract `default`, and removes it."""
    with open_tract(path, "default") as t:
        info = t.log(1)[0]
    redact(path, info.content_hash, after=f'"head":"{info.commit_hash}"', at="2026-01-03T00:00:00.000000Z")


def told(path: Path, **options: Any) -> dict[str, Any]:
    """Returns all answers of all tracts and branches."""
    found: dict[str, Any] = {"tracts": Tract.tracts(path)}
    for tract_id in found["tracts"]:
        with open_tract(path, tract_id, **options) as t:
            t.refresh()
            found[tract_id] = told_by(t)
    return found


def told_by(t: Tract) -> dict[str, Any]:
    is_whole = t.tract_id != "default"  # its first content but one is redacted: it can't be read
    state = t.status()
    return {
        "answers": answers(t) if is_whole else [info.commit_hash for info in t.log(None)],
        "warnings": t.compile().warnings,
        "compiled": [message.content for message in t.compile().messages],
        "branches": t.branches(),
        "tags": t.tags(),
        "reflog": [repr(entry) for entry in t.reflog()],  # of this copy's own writers
        "status": [
            state.head,
            state.commit_count,
            state.effective_count,
            state.token_count,
            state.pending,
            state.damaged,
            state.gone,
            state.quarantined,
            state.strays,
        ],
    }


def without(found: dict[str, Any], left_out: str) -> dict[str, Any]:
    """Returns answers less one kind of them."""
    return {
        name: {key: told for key, told in value.items() if key != left_out} if isinstance(value, dict) else value
        for name, value in found.items()
    }


def held(path: Path) -> set[str]:
    """Returns the hashes of all good files and members outside local/."""
    found = set()
    for name, data in synced(path).items():
        for line in members_of(data) if name.startswith("packs/") else [data]:
            found.add(hashlib.sha256(line).hexdigest())
    return found - {hashlib.sha256(b"").hexdigest()}


def kinds(path: Path) -> dict[str, int]:
    names = [name.split("/")[0] for name in synced(path)]
    return {kind: names.count(kind) for kind in ("objects", "events", "packs")}


def is_packed(path: Path) -> bool:
    """Tells whether nothing is loose, and packs are few."""
    found = kinds(path)
    return found["objects"] == found["events"] == 0 and found["packs"] <= 5


def put_loose(path: Path, data: bytes) -> Path:
    name = hashlib.sha256(data).hexdigest()
    file = store_root(path) / "objects" / name[:2] / name[2:]
    put(file, data)
    return file


def orphan(number: int) -> bytes:
    """A content that nothing names, large enough for all small packs to be written again with it."""
    return b'{"content":{"content_type":"reasoning","text":"orphan %d%s"}}' % (number, b"." * 60_000 * (number + 1))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("packing") / "template")


@pytest.fixture(scope="module")
def expected(template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return told(copy_store(template, tmp_path_factory.mktemp("expected") / "store"))


@pytest.fixture
def path(template: Path, tmp_path: Path) -> Path:
    return copy_store(template, tmp_path / "context")


class Stop(Exception):
    """What a batch is broken off with."""


# what packing does


@pytest.mark.parametrize("local", ["kept", "removed before", "removed after"])
def test_answers_are_equal_before_and_after(path: Path, expected: dict[str, Any], local: str) -> None:
    before = held(path)
    if local == "removed before":
        remove_local(path)
    expected = expected if local == "kept" else without(expected, "reflog")
    with open_tract(path) as t:
        assert t.compile().commit_count == expected["main"]["answers"]["compile"]["count"]
        report = t.pack(keep_loose=AT_ONCE)
        assert {key: value for key, value in told_by(t).items() if key in expected["main"]} == expected["main"]
    if local == "removed after":
        remove_local(path)
    assert kinds(path) == {"objects": 0, "events": 0, "packs": 1}
    assert (report.files_after, report.is_complete, report.left) == (1, True, ())
    assert (len(report.packs_written), len(report.packs_removed)) == (1, 1)
    for read_only in (False, True):
        found = told(path, read_only=read_only)
        assert (found if local == "kept" else without(found, "reflog")) == expected
    assert held(path) == before


def test_a_second_packing_writes_nothing(path: Path) -> None:
    with open_tract(path) as t:
        t.pack(keep_loose=AT_ONCE)
        before = synced(path)
        report = t.pack(keep_loose=AT_ONCE)
        assert (report.packs_written, report.packs_removed, report.packed_count, report.files_after) == ((), (), 0, 1)
        assert synced(path) == before


def test_two_copies_with_the_same_files_make_the_same_pack(template: Path, tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        with open_tract(copy_store(template, tmp_path / name)) as t:
            made.append(t.pack(keep_loose=AT_ONCE).packs_written)
    assert made[0] == made[1]


def test_directories_stay_when_their_files_are_packed(path: Path) -> None:
    """Some tools take a directory that is gone for the removal of what the other side put there."""
    directories = {
        file for part in ("objects", "events") for file in (store_root(path) / part).rglob("*") if file.is_dir()
    }
    with open_tract(path) as t:
        t.pack(keep_loose=AT_ONCE)
    assert kinds(path)["objects"] == kinds(path)["events"] == 0
    assert all(directory.is_dir() for directory in directories)


def test_what_is_packed_stays_until_the_packs_have_been_there_for_the_grace_time(
    path: Path, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = synced(path)
    with open_tract(path) as t:
        report = t.pack()
        assert (report.packed_count, report.packs_removed, report.waiting_count) == (0, (), len(before) - 3)
        assert (before.keys() < synced(path).keys(), len(report.packs_written)) == (True, 1)
        again = t.pack()
        assert (again.packs_written, again.packed_count, again.waiting_count) == ((), 0, len(before) - 4)
        assert t.status().superfluous == again.waiting
        later_ns = time.time_ns() + 3_601 * 10**9
        monkeypatch.setattr("tract_fs.upkeep.settled.time.time_ns", lambda: later_ns)
        last = t.pack()
        assert (last.packed_count, len(last.packs_removed)) == (len(before) - 4, 1)
        assert (last.waiting, t.status().superfluous) == ((), ())
    assert is_packed(path)
    assert told(path) == expected


def test_packs_that_wait_for_their_removal_are_not_merged_again(tmp_path: Path) -> None:
    path = tmp_path / "context"
    most = 0
    with open_tract(path) as t:
        for number in range(20):
            t.commit(user(f"text {number}"))
            most = max(most, t.pack().written_bytes, t.pack().written_bytes)
            assert t.pack().packs_written == ()
        t.pack(keep_loose=AT_ONCE)
        assert most < 2 * sum(len(data) for name, data in synced(path).items() if name.startswith("packs/"))
        assert kinds(path)["packs"] <= 7
        assert [message.content for message in t.compile().messages] == [f"text {number}" for number in range(20)]


def test_members_stand_in_the_order_in_which_a_compile_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "context"
    with open_tract(path) as t:
        for number in range(5):
            t.commit(user(f"text {number}"))
        with t.batch():
            t.commit(user("text 5"))
            t.commit(user("text 6"))
        t.pack(keep_loose=AT_ONCE)
    (pack,) = (store_root(path) / "packs").iterdir()
    lines = members_of(pack.read_bytes())
    assert [next(iter(json.loads(line))) for line in lines] == ["content", "commit", "event"] * 5 + [
        "content",
        "commit",
        "content",
        "commit",
        "event",
    ]
    texts = [json.loads(line)["content"]["text"] for line in lines if line.startswith(b'{"content"')]
    assert texts == [f"text {number}" for number in range(7)]
    for content, commit in pairwise(lines):
        if commit.startswith(b'{"commit"'):
            assert json.loads(commit)["commit"]["content"] == hashlib.sha256(content).hexdigest()


def test_the_reference_reads_the_same_from_packs(path: Path) -> None:
    before = ReferenceStore(path)
    with open_tract(path) as t:
        t.pack(keep_loose=AT_ONCE)
    after = ReferenceStore(path)
    assert (after.contents, after.commits, after.events) == (before.contents, before.commits, before.events)


def test_packs_are_at_most_as_large_as_said_and_large_ones_stay(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "PACK_MAX_BYTES", 6000)
    monkeypatch.setattr(pack_plan, "SMALL_BYTES", 3000)
    expected = told(path)
    with open_tract(path) as t:
        report = t.pack(keep_loose=AT_ONCE)
        sizes = {file.name: file.stat().st_size for file in (store_root(path) / "packs").iterdir()}
        assert len(report.packs_written) >= 3
        assert max(sizes[name] for name in report.packs_written) <= 6000
        t.commit(user("more"))
        again = t.pack(keep_loose=AT_ONCE)
        large = {name for name, size in sizes.items() if size >= 3000}
        assert large and not large & set(again.packs_removed)
        assert large <= {file.name for file in (store_root(path) / "packs").iterdir()}
    with open_tract(path) as t:
        assert t.log(None)[1].commit_hash == expected["main"]["answers"]["head"]


def test_a_small_pack_is_written_again_only_into_one_over_twice_as_large() -> None:
    sizes = {"a": 10, "b": 30, "c": 100, "d": 300}
    found = {new: "".join(worth_merging(sizes, new)) for new in (0, 10, 11, 20, 21, 60, 61, 160, 161)}
    assert found == {0: "", 10: "", 11: "a", 20: "a", 21: "ab", 60: "ab", 61: "abc", 160: "abc", 161: "abcd"}
    assert worth_merging({"a": 5, "b": 5}, 0) == []
    assert worth_merging({"a": 5, "b": 5, "c": 5}, 0) == ["a", "b", "c"]


def test_a_store_that_is_packed_after_every_commit_has_few_packs_and_writes_little(tmp_path: Path) -> None:
    path = tmp_path / "context"
    most, written = 0, 0
    with open_tract(path) as t:
        for number in range(150):
            t.commit(user(f"text {number}"))
            written += t.pack(keep_loose=AT_ONCE).written_bytes
            most = max(most, kinds(path)["packs"])
        whole = sum(len(data) for name, data in synced(path).items() if name.startswith("packs/"))
        assert [message.content for message in t.compile().messages] == [f"text {number}" for number in range(150)]
    print(f"{most} packs at most, {written / whole:.1f} bytes written per byte")
    assert most <= 9  # of the sizes 1, 2, 4, …
    assert written < 9 * whole


def git(path: Path, *arguments: str) -> None:
    who = ("-c", "user.name=ann", "-c", "user.email=ann@example.org", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *who, *arguments], cwd=path, check=True, capture_output=True)


@pytest.mark.needs("git")
@pytest.mark.parametrize("renames", ["as git does", "eagerly"])
def test_copies_that_packed_the_same_files_otherwise_come_together_by_git(tmp_path: Path, renames: str) -> None:
    """Git may take a new pack for an old one under another name, but on one side only."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    with open_tract(here) as t:
        fill(t)
        t.pack(keep_loose=AT_ONCE)
    git(here, "init", "-q")
    git(here, "add", ".")
    git(here, "commit", "-qm", "first")
    git(tmp_path, "clone", "-q", "here", "there")
    for number, path in enumerate((here, there), 1):
        with open_tract(path, clock=Clock(1_767_323_045_000_006 + number * 10**12)) as t:
            for turn in range(10 * number):
                t.commit(user(f"{path.name} {turn}"))
            t.pack(keep_loose=AT_ONCE)
            t.commit(user(f"{path.name}: and on"))
        git(path, "add", ".")
        git(path, "commit", "-qm", "packed")
    both = held(here) | held(there)
    if renames == "eagerly":
        git(there, "pull", "-q", "--no-rebase", "-X", "find-renames=5%")
    else:
        git(there, "pull", "-q", "--no-rebase")
    assert held(there) == both
    for name, data in synced(there).items():
        if name.startswith(("packs/", "objects/", "events/")):
            assert hashlib.sha256(data).hexdigest() == name[-65:].replace("/", "")[-64:]
    with open_tract(there) as t:
        assert len(t.branches()["main"]) == 2
        t.merge()
        assert len(t.compile().messages) == 5 + 11 + 21


def test_only_files_older_than_asked_are_packed(path: Path) -> None:
    with open_tract(path) as t:
        before = synced(path)
        assert t.pack(older_than=timedelta(hours=1), keep_loose=AT_ONCE).packed_count == 0
        assert t.pack(older_than=datetime(2020, 1, 1, tzinfo=UTC), keep_loose=AT_ONCE).packed_count == 0
        assert synced(path) == before
        assert (
            t.pack(
                older_than=datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=1), keep_loose=AT_ONCE
            ).files_after
            == 1
        )
        for wrong in (-timedelta(1), 7, "7d", "yesterday"):
            with pytest.raises(ArgumentError, match="older_than"):
                t.pack(older_than=wrong)  # type: ignore[arg-type]


def test_what_can_not_be_packed_is_refused_before_anything_is_written(path: Path) -> None:
    before = synced(path)
    with open_tract(path, read_only=True) as t, pytest.raises(ReadOnlyError):
        t.pack(keep_loose=AT_ONCE)
    with suppress(Stop), open_tract(path) as t, t.batch():
        t.commit(user("never written"))
        with pytest.raises(ArgumentError, match="batch"):
            t.pack(keep_loose=AT_ONCE)
        raise Stop
    assert synced(path) == before


def test_loose_copies_that_come_back_are_harmless_and_go_at_the_next_packing(
    path: Path, template: Path, expected: dict[str, Any]
) -> None:
    with open_tract(path) as t:
        t.pack(keep_loose=AT_ONCE)
        shutil.copytree(store_root(template), store_root(path), dirs_exist_ok=True, ignore=lambda *_: ["local"])
        assert told(path) == expected
        report = t.pack(keep_loose=AT_ONCE)
        assert kinds(path) == {"objects": 0, "events": 0, "packs": 1}
        assert report.packed_count > 50
    assert told(path) == expected


def test_a_large_pack_that_lies_wholly_in_another_goes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_plan, "SMALL_BYTES", 0)
    expected = told(path)
    with open_tract(path) as t:
        t.pack(keep_loose=AT_ONCE)
        (whole,) = [file for file in (store_root(path) / "packs").iterdir() if b'{"event":' in file.read_bytes()]
        half = b"".join(whole.read_bytes().splitlines(keepends=True)[::2])
        put(store_root(path) / "packs" / hashlib.sha256(half).hexdigest(), half)
        report = t.pack(keep_loose=AT_ONCE)
        assert report.packs_removed == (hashlib.sha256(half).hexdigest(),)
    assert told(path) == expected


def test_two_large_packs_of_the_same_members_are_not_both_removed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_tract(path) as t:
        t.pack(keep_loose=AT_ONCE)
        (whole,) = (store_root(path) / "packs").iterdir()
        other = b"".join(sorted(whole.read_bytes().splitlines(keepends=True)))
        put(store_root(path) / "packs" / hashlib.sha256(other).hexdigest(), other)
        before = held(path)
        monkeypatch.setattr(pack_plan, "SMALL_BYTES", 0)
        assert len(t.pack(keep_loose=AT_ONCE).packs_removed) == 1
        assert held(path) == before


def test_files_of_a_later_version_stay_loose(path: Path) -> None:
    """An event in a pack tells its tract by what it holds; one that can't be understood would be pending in all tracts."""
    later = b'{"event":{"at":"2026-01-02T03:04:05.000006Z","later":1,"ops":[],"parents":[],"tract":"main","writer":""}}'
    name = hashlib.sha256(later).hexdigest()
    file = store_root(path) / "events" / "main" / name[:2] / name[2:]
    put(file, later)
    thing = put_loose(path, b'{"thing":{}}')
    in_lines = put_loose(path, b'{"content":{"content_type":"reasoning",\n"text":"x"}}')
    misplaced = put_loose(path, later.replace(b'"later":1,', b""))
    before = told(path)
    with open_tract(path) as t:
        report = t.pack(keep_loose=AT_ONCE)
    assert len(report.left) == 4 and all("not of this version" in left for left in report.left)
    assert all(one.exists() for one in (file, thing, in_lines, misplaced))
    assert kinds(path) == {"objects": 3, "events": 1, "packs": 1}
    assert told(path) == before


def test_an_event_under_another_tract_stays_where_it_is(path: Path) -> None:
    with open_tract(path, "other") as t:
        t.commit(user("of the other"))
    (event,) = (store_root(path) / "events" / "other").glob("*/*")
    put(store_root(path) / "events" / "main" / event.parent.name / event.name, event.read_bytes())
    before = told(path)
    with open_tract(path) as t:
        t.pack(keep_loose=AT_ONCE)
    assert told(path) == before


def test_status_says_when_packing_is_worth_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_tract(path) as t:
        state = t.status()
        assert (state.loose_count, state.pack_count, state.small_pack_count) == (sum(kinds(path).values()) - 1, 1, 1)
        assert not any("tract pack" in advice for advice in state.advice)
        monkeypatch.setattr("tract_fs.upkeep.status._MANY_FILES", 50)
        (advice,) = (advice for advice in t.status().advice if "tract pack" in advice)
        assert advice.startswith(f"{state.loose_count} loose files and 1 packs under 32 MiB")
        t.pack(keep_loose=AT_ONCE)
        assert not any("tract pack" in advice for advice in t.status().advice)


def test_the_command_packs_and_tells(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-C", str(path), "--json", "pack", "--older-than", "7d"]) == 0
    assert json.loads(capsys.readouterr().out)["packed_count"] == 0
    count = sum(kinds(path).values())  # one of them a small pack
    assert run(["-C", str(path), "pack"]) == 0
    out = capsys.readouterr().out
    assert f"{count} files, of which 0 are removed" in out
    assert f"{count} files stay until 20" in out and "for copies that are being made" in out
    assert run(["-C", str(path), "pack", "--keep-loose", "0s"]) == 0
    out = capsys.readouterr().out
    assert "before, 1 after" in out and f"{count} files, of which {count} are removed" in out
    for wrong in (["--keep-loose", "2026-01-02"], ["--max-size", "5"], ["--max-size", "999MB"], ["--max-size", "1KB"]):
        assert run(["-C", str(path), "pack", *wrong]) == 2
    assert run(["-C", str(path), "pack", "--older-than", "a while"]) == 2


# handles that were open


def test_handles_that_were_open_go_on(path: Path, expected: dict[str, Any]) -> None:
    with ExitStack() as opened:
        handles = {name: opened.enter_context(open_tract(path, name)) for name in expected["tracts"]}
        fresh = {name: opened.enter_context(open_tract(path, name)) for name in expected["tracts"]}
        for name, handle in handles.items():
            assert told_by(handle) == expected[name]
        with open_tract(path, "packer") as t:
            t.pack(keep_loose=AT_ONCE)
        for some in (handles, fresh):
            for name, handle in some.items():
                assert told_by(handle) == expected[name]
                handle.refresh()
                assert told_by(handle) == expected[name]
        info = handles["main"].commit(user("after the packing"))
        assert fresh["main"].head == info.commit_hash
        assert handles["main"].status().gone == ()


def test_packed_events_are_not_taken_for_vanished_ones(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    list_always(monkeypatch)
    with open_tract(path) as t, open_tract(path) as other:
        head = t.head
        for number in range(4):
            t.pack(keep_loose=AT_ONCE)
            arrivals = (own_place(path) / "tracts/main/arrivals").stat().st_ino
            assert (t.head, other.head, other.status().gone) == (head, head, ())
            assert (own_place(path) / "tracts/main/arrivals").stat().st_ino == arrivals  # not written anew
            head = (t, other)[number % 2].commit(user(f"{number}")).commit_hash


def test_a_packed_store_without_local_keeps_what_it_finds(path: Path) -> None:
    """The directories of events are gone, so that nothing but packs tells that there is something to remember."""
    with open_tract(path) as t:
        t.pack(keep_loose=AT_ONCE)
    remove_local(path)
    open_tract(path).close()
    assert (own_place(path) / "tracts/main/arrivals").exists()


# interrupted


@pytest.mark.parametrize("halfway", [False, True], ids=["before a call", "amid a write"])
def test_a_packing_that_is_killed_at_any_call_loses_nothing_and_the_next_goes_on(
    template: Path, expected: dict[str, Any], tmp_path: Path, halfway: bool
) -> None:
    members = held(template)
    kills = 0
    is_done = False
    while not is_done:
        path = copy_store(template, tmp_path / "store")
        t = open_tract(path)
        with disk() as stand_in:
            stand_in._fails = killed_at(kills + 1, halfway=halfway)
            try:
                t.pack(keep_loose=AT_ONCE)
                is_done = True
            except Killed:
                kills += 1
        assert held(path) >= members, kills
        if kills % 5 == 0 or is_done:  # the whole of the answers takes a while
            found = told(path, read_only=True)  # what a killed process had not renamed yet lies there as a stray
            assert without(found, "status") == without(expected, "status"), kills
            assert [found["main"]["status"][:-1]] == [expected["main"]["status"][:-1]]
            remove_local(path)
        with open_tract(path) as again:
            again.pack(keep_loose=AT_ONCE)
            assert is_packed(path)
            assert told_by(again)["answers"] == expected["main"]["answers"], kills
        assert held(path) >= members
        shutil.rmtree(path)
    print(f"{kills} kills")
    assert kills > (10 if halfway else 50)


def test_a_full_disk_at_any_call_loses_nothing(template: Path, tmp_path: Path) -> None:
    members = held(template)
    number = 0
    is_done = False
    while not is_done:
        path = copy_store(template, tmp_path / "store")
        with open_tract(path) as t:
            with disk() as stand_in:
                stand_in._fails = full_from(number)
                try:
                    t.pack(keep_loose=AT_ONCE)
                    is_done = stand_in.raised == 0
                except OSError as error:
                    assert error.errno == errno.ENOSPC
            assert held(path) >= members
            assert not [name for name in synced(path) if "/.new." in name]
            t.pack(keep_loose=AT_ONCE)
            assert is_packed(path)
        shutil.rmtree(path)
        number += 7
    assert number > 100


# others at work


class Paused:
    """Lets something happen at the n-th call of some kinds."""

    def __init__(self, kinds: tuple[str, ...], number: int, happen: Callable[[], object]) -> None:
        self._kinds = kinds
        self._number = number
        self._happen = happen
        self.count = 0
        self.stand_in: Any = None

    def __call__(self, call: str, _number: int, _arguments: tuple[Any, ...]) -> None:
        if call in self._kinds:
            self.count += 1
            if self.count == self._number:
                self.stand_in.is_on = False
                try:
                    self._happen()
                finally:
                    self.stand_in.is_on = True


def pause_at(
    kinds: tuple[str, ...], number: int, happen: Callable[[], object], act: Callable[[], Any]
) -> tuple[Any, bool]:
    """Acts, with something happening at the n-th call; returns the answer, and whether there was such a call."""
    paused = Paused(kinds, number, happen)
    with disk(paused) as stand_in:  # type: ignore[arg-type]
        paused.stand_in = stand_in
        found = act()
    return found, paused.count >= number


@pytest.mark.parametrize("local", ["kept", "removed"])
@pytest.mark.parametrize("read_only", [False, True], ids=["writer", "reader"])
def test_a_reader_paused_at_any_read_finishes_while_another_packs_twice(
    template: Path, expected: dict[str, Any], tmp_path: Path, local: str, read_only: bool
) -> None:
    wanted = expected["main"]["answers"]
    small = copy_store(template, tmp_path / "small")
    number, count, locked_count = 1, 0, 0
    is_reached = True
    while is_reached:
        path = copy_store(small, tmp_path / "store")
        if local == "removed":
            remove_local(path)
        else:
            open_tract(path).close()  # so that local/ is this copy's own

        removed: list[tuple[str, ...]] = []

        def pack_twice(path: Path = path, removed: list[tuple[str, ...]] = removed) -> None:
            nonlocal locked_count
            try:
                for turn in range(2):
                    with open_tract(path, "packer", lock_timeout_s=0.0) as packer:
                        removed.append(packer.pack(keep_loose=AT_ONCE).packs_removed)
                    put_loose(path, orphan(turn))  # the second packing removes the first's pack
            except LockTimeout:
                locked_count += 1

        def compile_anew(path: Path = path) -> Any:
            with open_tract(path, read_only=read_only) as t:
                return t.compile(), t.log(None), t.query_by_config("model", "=", "m-1"), t.branches(), t.tags()

        (compiled, log, found, branches, tags), is_reached = pause_at(READS, number, pack_twice, compile_anew)
        assert list(compiled.commit_hashes) == wanted["compile"]["commits"], number
        assert [json.dumps(m.to_dict(), sort_keys=True, ensure_ascii=False) for m in compiled.messages] == wanted[
            "compile"
        ]["messages"], number
        assert compiled.warnings == expected["main"]["warnings"]
        assert len(removed) < 2 or len(removed[1]) == 1
        assert [info.commit_hash for info in log] == [json.loads(one)["commit_hash"] for one in wanted["log"]], number
        assert len(found) == len(wanted["queries"][repr(("model", "=", "m-1"))]), number
        assert (branches, tags) == (expected["main"]["branches"], expected["main"]["tags"])
        shutil.rmtree(path)
        count += 1
        number += 1 if count < 60 else 4  # the first reads open; later ones are of one kind
    print(f"{count} pauses, {locked_count} of them with the lock held")
    assert count - locked_count > (40 if read_only else 20)


def test_a_listing_paused_at_any_read_misses_no_event_that_is_packed_meanwhile(template: Path, tmp_path: Path) -> None:
    """One look is all that a refresh() takes."""
    names = {name[-65:].replace("/", "") for name in synced(template) if name.startswith("events/main/")}
    number = 1
    is_reached = True
    while is_reached:
        path = copy_store(template, tmp_path / "store")
        layout = Layout(str(path))
        packs = Packs(layout, read_only=True)
        looked = EventListing("main", layout, packs, Events(StoredBytes(layout, packs)))

        def pack_beside(path: Path = path) -> None:
            with open_tract(path, "packer") as packer:
                packer.pack(keep_loose=AT_ONCE)

        seen, is_reached = pause_at(READS, number, pack_beside, lambda looked=looked: looked.look(KnownEvents))
        assert seen.new >= names, number
        assert seen.packs == packs.names
        assert looked.look(KnownEvents).new >= names
        shutil.rmtree(path)
        number += 1
    assert number > 40


def test_two_packings_at_once_lose_nothing(template: Path, expected: dict[str, Any], tmp_path: Path) -> None:
    """The one is stopped before each change in turn, and the other packs all."""
    members = held(template)
    number, count, locked_count = 1, 0, 0
    is_reached = True
    while is_reached:
        path = copy_store(template, tmp_path / "store")

        def pack_beside(path: Path = path) -> None:
            nonlocal locked_count
            put_loose(path, orphan(1))  # so that the packs differ
            try:
                with open_tract(path, "packer", lock_timeout_s=0.0) as packer:
                    packer.pack(keep_loose=AT_ONCE)
            except LockTimeout:
                locked_count += 1

        with open_tract(path) as t:
            _, is_reached = pause_at((*READS, *CHANGES), number, pack_beside, t.pack)
            assert held(path) >= members, number
            assert told_by(t)["answers"] == expected["main"]["answers"], number
            t.pack(keep_loose=AT_ONCE)
            assert is_packed(path)
            assert held(path) >= members
        shutil.rmtree(path)
        count += 1
        number += 7
    print(f"{count} interleavings, {locked_count} of them with the lock held")
    assert count - locked_count > 30


def test_a_commit_at_any_step_of_a_packing_is_kept(template: Path, expected: dict[str, Any], tmp_path: Path) -> None:
    number, count = 1, 0
    is_reached = True
    while is_reached:
        path = copy_store(template, tmp_path / "store")
        made: list[str] = []

        def commit_beside(path: Path = path, made: list[str] = made) -> None:
            try:
                with open_tract(path, clock=Clock(1_800_000_000_000_000), lock_timeout_s=0.0) as other:
                    made.append(other.commit(user("on main")).commit_hash)  # a content that is there already
            except LockTimeout:
                pass

        with open_tract(path) as t:
            _, is_reached = pause_at((*READS, *CHANGES), number, commit_beside, t.pack)
            before = [json.loads(one)["commit_hash"] for one in expected["main"]["answers"]["log"]]
            assert [info.commit_hash for info in t.log(None)] == made + before, number
            t.compile()
            t.pack(keep_loose=AT_ONCE)
            assert [info.commit_hash for info in t.log(None)] == made + before
        shutil.rmtree(path)
        count += bool(made)
        number += 9
    print(f"{count} commits")
    assert count > 20


WRITER = """
import sys
from tract_fs import DialogueContent, Tract

with Tract.open(sys.argv[1], tract_id="main", durability="fast", lock_timeout_s=60.0) as t:
    for number in range(int(sys.argv[3])):
        if number == 40:
            sys.stdin.readline()
        print(t.commit(DialogueContent(role="user", text=f"{sys.argv[2]} {number}")).commit_hash, flush=True)
        if number % 20 == 10:
            assert t.compile().messages[-1].content
"""


def test_a_store_is_packed_while_two_processes_commit(path: Path, expected: dict[str, Any]) -> None:
    """And a third handle reads; nothing is lost, and there is one line of history."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), name, "80"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name in ("ann", "bob")
    ]
    packings = 0
    with open_tract(path, lock_timeout_s=60.0) as t, open_tract(path, read_only=True) as reader:
        while packings < 2 or any(writer.poll() is None for writer in writers):
            assert t.pack(keep_loose=AT_ONCE).left == ()
            packings += 1
            for writer in writers if packings == 1 else ():
                assert writer.stdin is not None and writer.poll() is None
                writer.stdin.write(b"\n")  # they write the other half beside the packings that follow
                writer.stdin.flush()
            log = [info.commit_hash for info in reader.log(None)]
            assert log == [info.commit_hash for info in reader.log(None)][-len(log) :]
        made = [writer.communicate()[0].decode().split() for writer in writers]
        assert [writer.returncode for writer in writers] == [0, 0]
        t.pack(keep_loose=AT_ONCE)
        t.refresh()
        line = [info.commit_hash for info in t.log(None)]
        assert [info.parents[0] for info in t.log(len(line) - 1)] == line[1:] or t.branches()["main"] == (line[0],)
        assert {name for names in made for name in names} <= set(line)
        assert len(line) == 160 + len(expected["main"]["answers"]["log"])
        assert t.status().other_heads == ()
    print(f"{packings} packings")
    remove_local(path)
    with open_tract(path) as t:
        assert [info.commit_hash for info in t.log(None)] == line
    assert is_packed(path)


# damage


def test_a_damaged_loose_file_stays_for_the_quarantine(path: Path, expected: dict[str, Any]) -> None:
    with open_tract(path) as t:
        content = next(info for info in t.log(None)[::-1] if info.content_hash).content_hash
    assert content is not None
    file = store_root(path) / "objects" / content[:2] / content[2:]
    good = file.read_bytes()
    put(file, good[:-9])
    with open_tract(path) as t:
        report = t.pack(keep_loose=AT_ONCE)
    assert report.left == (f"objects/{content[:2]}/{content[2:]}: damaged",)
    assert kinds(path) == {"objects": 1, "events": 0, "packs": 1}
    put(file, good)
    remove_local(path)
    with open_tract(path) as t:
        t.refresh()
        assert told_by(t)["answers"] == expected["main"]["answers"]


@pytest.mark.parametrize("is_still", [False, True], ids=["fresh", "still"])
def test_a_damaged_pack_is_not_taken_in_nor_removed(
    path: Path, expected: dict[str, Any], is_still: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pack,) = (store_root(path) / "packs").iterdir()
    good = pack.read_bytes()
    put(pack, good.replace(b'"number":7}', b'"number":8}', 1))
    members = held(path)
    if is_still:
        monkeypatch.setattr(quarantine, "SETTLED_NS", -(10**18))
        monkeypatch.setattr(quarantine, "_SKEW_NS", 10**18)
    with open_tract(path) as t:
        report = t.pack(keep_loose=AT_ONCE)
        if is_still:
            assert not pack.exists()  # set aside, and its good members given back
        else:
            assert report.left == (f"packs/{pack.name}: damaged",)
            assert pack.name not in report.packs_removed and pack.exists()
            assert held(path) >= members
    put(pack, good)
    remove_local(path)
    with open_tract(path) as t:
        t.refresh()
        assert told_by(t)["answers"] == expected["main"]["answers"]


def test_a_new_pack_that_reads_back_wrong_replaces_nothing(path: Path, expected: dict[str, Any]) -> None:
    before = synced(path)

    def damage(stand_in: Any) -> Callable[[str, int, tuple[Any, ...]], None]:
        def act(call: str, _number: int, arguments: tuple[Any, ...]) -> None:
            if call == "fsync":
                for pack in set((store_root(path) / "packs").glob("[0-9a-f]*")) - old:
                    put(pack, pack.read_bytes()[:-50])

        return act

    old = set((store_root(path) / "packs").iterdir())
    with open_tract(path) as t:
        with disk() as stand_in:
            stand_in._fails = damage(stand_in)
            with pytest.raises(HashMismatch, match="packs/"):
                t.pack(keep_loose=AT_ONCE)
        assert {name: data for name, data in synced(path).items() if name in before} == before
        assert told_by(t)["answers"] == expected["main"]["answers"]


def test_nothing_more_is_removed_once_the_new_pack_is_another_file(path: Path) -> None:
    members = held(path)
    unlinked = 0

    def fails(call: str, _number: int, arguments: tuple[Any, ...]) -> None:
        nonlocal unlinked
        is_loose = call == "unlink" and not any(part in str(arguments[0]) for part in ("/packs/", "/local/"))
        unlinked += is_loose
        if unlinked == 8 and is_loose:
            for pack in (store_root(path) / "packs").glob("[0-9a-f]*"):
                put(pack, pack.read_bytes())

    with open_tract(path) as t:
        with disk(fails):  # type: ignore[arg-type]
            report = t.pack(keep_loose=AT_ONCE)
        assert not report.is_complete
        assert unlinked == 8
        assert held(path) == members
        t.pack(keep_loose=AT_ONCE)
        assert is_packed(path)
        assert held(path) == members


# any number of times


@pytest.mark.parametrize("seed", range(3))
def test_packing_between_commits_syncs_and_lost_caches_changes_nothing(tmp_path: Path, seed: int) -> None:
    import random

    chance = random.Random(seed)
    places = [tmp_path / "here", tmp_path / "there"]
    made: list[str] = []
    steps = {"pack": 0, "sync": 0, "local": 0, "rsync": 0}
    for place in places:
        place.mkdir()
    for number in range(60):
        path = chance.choice(places)
        with open_tract(path, clock=Clock(1_767_323_045_000_006 + number * 10**9)) as t:
            made.append(t.commit(user(f"{seed} {number}"), generation_config={"n": number % 3}).commit_hash)
            step = chance.choice(("pack", "pack", "sync", "local", "rsync", "none"))
            if step == "pack":
                t.pack(older_than=chance.choice((None, timedelta(0))), keep_loose=AT_ONCE)
            elif step == "sync":
                t.sync(places[1 - places.index(path)], allow_unrelated=True)
        if step == "local":
            remove_local(path)
        elif step == "rsync":
            other = places[1 - places.index(path)]
            if store_root(other).exists():
                for name, data in synced(path).items():
                    if not (store_root(other) / name).exists():
                        put(store_root(other) / name, data)
        steps[step] = steps.get(step, 0) + 1
    with open_tract(places[0]) as t:
        t.sync(places[1], allow_unrelated=True)
    found = []
    for path in places:
        with open_tract(path) as t:
            t.pack(keep_loose=AT_ONCE)
            assert is_packed(path)
            found.append(held(path))
            heads = t.branches()["main"]
            reached = {info.commit_hash for head in heads for info in t.at(head).log(None)}
            assert reached == set(made)
            assert t.status().pending == ()
    assert found[0] == found[1]
    print(steps)
    assert min(steps[step] for step in ("pack", "sync", "local", "rsync")) > 2


def test_a_sync_of_packed_stores_moves_only_what_is_new(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with open_tract(path) as t:
        t.pack(keep_loose=AT_ONCE)
        t.sync(other)
        with open_tract(other, clock=Clock(1_800_000_000_000_000)) as there:
            there.commit(user("one"))
            there.commit(user("two"))
        report = t.sync(other)
        assert (report.received.objects.files, report.received.events.files, report.received.packs.files) == (4, 2, 0)
        assert report.sent.files == 0
