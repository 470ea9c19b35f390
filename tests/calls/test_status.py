"""Status: how far heads are apart, what pending events wait for, what lies about, what is gone; and what to do about each, harmlessly."""

from __future__ import annotations

import json
import os
import shutil
from functools import partial
from pathlib import Path

import pytest

from tests.lab.copies import bring_files
from tests.lab.disk import disk
from tests.lab.states import copy_store, event_files, own_place, put, remove_local, store_root, synced
from tests.lab.stores import fill, fill_pack, make_store
from tests.lab.talk import START_US, Clock, user
from tract_fs import Tract
from tract_fs.errors import HistoryIncomplete

HARMFUL = ("rm ", "delete", "remove", "discard", "prune", "--force")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_store(tmp_path / "context", fill, partial(fill_pack, count=60), Tract.flush)


def check_advice(advice: tuple[str, ...]) -> None:
    assert advice
    assert [line for line in advice if any(word in line.replace("--delete", "") for word in HARMFUL)] == []


def test_a_healthy_store_has_nothing_to_tell(path: Path) -> None:
    with Tract.open(path) as t:
        status = t.status()
    assert (status.other_heads, status.distances, status.diverged_branches) == ((), (), {})
    assert (status.pending, status.waiting, status.damaged, status.gone) == ((), (), (), ())
    assert (status.quarantined, status.strays, status.salvageable) == ((), (), ())
    assert (status.warnings, status.advice) == ((), ())


def test_the_status_of_a_healthy_store_reads_no_file_of_it_again(path: Path) -> None:
    with Tract.open(path) as t:
        t.status()
        opened: list[str] = []

        def watch(call: str, number: int, given: tuple[object, ...]) -> None:
            opened.extend(str(given[0]) for _ in [0] if call == "open")

        with disk(watch):
            t.status()
        assert opened == []


def test_it_says_how_far_the_heads_are_apart(path: Path, tmp_path: Path) -> None:
    other = copy_store(path, tmp_path / "other")
    with Tract.open(path) as t:
        common = t.head
        for n in range(3):
            t.commit(user(f"here {n}"))
        own = t.head
    with Tract.open(other, clock=Clock(START_US + 10**9)) as t:
        for n in range(2):
            t.commit(user(f"there {n}"))
        theirs = t.head
    bring_files(other, path)
    with Tract.open(path) as t:
        t.refresh()
        status = t.status()
        assert (status.head, status.other_heads) == (own, (theirs,))
        assert [(d.head, d.common, d.only_there, d.only_here) for d in status.distances] == [(theirs, common, 2, 3)]
        check_advice(status.advice)
        assert "merge" in status.advice[0]
    with Tract.open(path, branch="elsewhere") as t:
        status = t.status()
        assert status.head is None
        assert {branch: set(heads) for branch, heads in status.diverged_branches.items()} == {"main": {own, theirs}}
        check_advice(status.advice)


def test_heads_without_a_common_commit_are_told_as_such(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    for number, place in enumerate((path, other)):
        with Tract.open(place, clock=Clock(START_US + number)) as t:
            t.commit(user(place.name))
    bring_files(other, path)
    with Tract.open(path) as t:
        t.refresh()
        distance = t.status().distances[0]
        assert (distance.common, distance.only_there, distance.only_here) == (None, 1, 1)


@pytest.mark.usefixtures("still")
def test_it_says_what_each_pending_event_waits_for(path: Path) -> None:
    names = event_files(path)
    hashes = [name.replace("/", "")[-64:] for name in names]
    kept = (store_root(path) / names[2]).read_bytes()
    (store_root(path) / names[2]).unlink()
    remove_local(path)
    with Tract.open(path) as t:
        first, *later = sorted(t.status().waiting, key=lambda waiting: hashes.index(waiting.event))
        assert (first.event, first.reason, first.missing, first.state) == (
            hashes[3],
            "its parent is not visible",
            hashes[2],
            "unknown",
        )
        assert {waiting.state for waiting in later} == {"pending"}
        assert len(t.status().pending) == len(names) - 3
        check_advice(t.status().advice)
        put(store_root(path) / names[2], kept[:50])
        t.refresh()
        assert {w.state for w in t.status().waiting if w.missing == hashes[2]} <= {"damaged", "quarantined"}
        t.refresh()
        assert {w.state for w in t.status().waiting if w.missing == hashes[2]} == {"quarantined"}
        told = t.status()
        assert [(q.path, q.cause, q.is_back) for q in told.quarantined] == [(names[2], "torn copy", False)]
        assert told.gone == ()
        check_advice(told.advice)
        assert any("fetch them from another copy" in line for line in told.advice)


def test_a_damaged_object_that_an_event_waits_for_is_called_damaged(path: Path) -> None:
    name = next(name for name in synced(path) if name.startswith("objects/"))
    put(store_root(path) / name, b"")
    remove_local(path)
    with Tract.open(path) as t:
        waiting = [w for w in t.status().waiting if w.missing == name.removeprefix("objects/").replace("/", "")]
        assert {w.state for w in waiting} == {"damaged"}


def test_events_that_this_copy_had_and_that_vanished_are_told(path: Path) -> None:
    """As after a git checkout of an older revision, or rsync --delete from an older copy."""
    with Tract.open(path) as t:
        head = t.head
    kept = {}
    for name in event_files(path)[-2:]:
        kept[name] = (store_root(path) / name).read_bytes()
        (store_root(path) / name).unlink()
    with Tract.open(path) as t:
        t.refresh()
        status = t.status()
        assert set(status.gone) == {name.replace("/", "")[-64:] for name in kept}
        assert status.head != head
        check_advice(status.advice)
        assert "another copy" in status.advice[0]
    with Tract.open(path) as t:
        assert len(t.status().gone) == 2
        for name, data in kept.items():
            put(store_root(path) / name, data)
        t.refresh()
        assert (t.status().gone, t.head) == ((), head)


@pytest.mark.usefixtures("still")
def test_a_quarantined_event_that_this_copy_had_is_not_called_gone(path: Path) -> None:
    name = event_files(path)[-1]
    with Tract.open(path) as t:
        put(store_root(path) / name, b"\0" * 30)
        t.repair(verify=True)
    with Tract.open(path) as t:
        status = t.status()
        if (store_root(path) / name).exists():  # the redo log still had it
            pytest.fail("the log was emptied by flush()")
        assert status.gone == ()
        assert [(q.path, q.cause) for q in status.quarantined] == [(name, "zeroed blocks")]
        with pytest.raises(HistoryIncomplete) as caught:
            t.compile()
        assert caught.value.lost == (name,)


def test_a_clock_far_behind_the_events_is_warned_of(path: Path) -> None:
    day_us = 86_400_000_000
    newest_us = START_US + 3600 * 10**6
    with Tract.open(path, clock=lambda: newest_us) as t:
        t.commit(user("later"))
    for behind, is_warned in ((0, False), (day_us, False), (day_us + 1, True), (10 * day_us, True)):
        with Tract.open(path, clock=lambda now=newest_us - behind: now) as t:  # type: ignore[misc]
            warnings = t.status().warnings
            assert [("over a day ahead" in line) for line in warnings] == ([True] if is_warned else [])


def test_a_history_that_can_not_be_read_is_told_and_no_error(path: Path) -> None:
    with Tract.open(path) as t:
        head = t.head or ""
        first = t.log(None)[-1].commit_hash
    for name in (first, t_content(path, first)):
        (store_root(path) / "objects" / name[:2] / name[2:]).unlink()
    for snapshot in (own_place(path) / "tracts/default").glob("snapshots/*"):
        snapshot.unlink()
    with Tract.open(path) as t:
        status = t.status()
        assert status.head == head
        assert len(status.warnings) == 1
        assert first in status.warnings[0]
        check_advice(status.advice)


def t_content(path: Path, commit: str) -> str:
    data = json.loads((store_root(path) / "objects" / commit[:2] / commit[2:]).read_bytes())
    return str(data["commit"]["content"])


def test_links_pipes_and_directories_under_our_names_are_strays(path: Path) -> None:
    root = store_root(path)
    places = ["objects/ab/" + "0" * 62, "events/default/ab/" + "1" * 62, "packs/" + "2" * 64]
    for place in places:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(root / places[0])
    (root / places[1]).mkdir()
    (root / places[2]).symlink_to("/")
    with Tract.open(path) as t:
        assert t.status().strays == tuple(sorted(places))
        check_advice(t.status().advice)


@pytest.mark.parametrize("count", [1, 3])
def test_what_another_handle_wrote_and_a_tool_took_away_is_told_as_gone(tmp_path: Path, count: int) -> None:
    with Tract.open(tmp_path, clock=Clock()) as lagging:
        lagging.commit(user("both know this"))
        before = synced(tmp_path)
        with Tract.open(tmp_path, clock=Clock()) as t:
            for number in range(count):
                t.commit(user(f"{number}"))
        for name in synced(tmp_path).keys() - before.keys():
            (store_root(tmp_path) / name).unlink()
        with pytest.raises(HistoryIncomplete):
            lagging.commit(user("goes on"))
        lagging.repair(accept=True)
        lagging.commit(user("goes on"))
        lagging.refresh()
        assert len(lagging.status().gone) == count
        assert [message.content for message in lagging.compile().messages] == ["both know this", "goes on"]


def test_events_are_told_as_gone_when_their_tracts_directory_went_with_them(tmp_path: Path) -> None:
    with Tract.open(tmp_path, clock=Clock()) as t:
        t.commit(user("one"))
        t.commit(user("two"))
    kept = copy_store(tmp_path / ".tract" / "events", tmp_path / "kept")
    shutil.rmtree(tmp_path / ".tract" / "events" / "default")
    with Tract.open(tmp_path) as t:
        assert (t.head, len(t.status().gone)) == (None, 2)
    copy_store(kept / "default", tmp_path / ".tract" / "events" / "default")
    with Tract.open(tmp_path) as t:
        assert [message.content for message in t.compile().messages] == ["one", "two"]
        assert t.status().gone == ()


def test_an_event_that_waited_for_one_that_is_gone_is_told_as_gone_when_it_goes_too(tmp_path: Path) -> None:
    with Tract.open(tmp_path, clock=Clock()) as t:
        t.commit(user("one"))
        before = synced(tmp_path)
        t.commit(user("two"))
        between = synced(tmp_path)
        t.commit(user("three"))
    first, second = (
        {name for name in found if name.startswith("events/")}
        for found in (between.keys() - before.keys(), synced(tmp_path).keys() - between.keys())
    )
    for gone in (first, second):
        for name in gone:
            (store_root(tmp_path) / name).unlink()
        with Tract.open(tmp_path) as t:
            status = t.status()
            assert (len(status.gone), len(status.waiting)) == ((1, 1) if gone is first else (2, 0))


def test_an_open_handle_tells_as_gone_what_it_wrote_though_another_came_first(tmp_path: Path) -> None:
    with Tract.open(tmp_path, clock=Clock()) as t:
        t.commit(user("one"))
    before = synced(tmp_path)
    with Tract.open(tmp_path, clock=Clock()) as t:
        t.commit(user("two"))
        for name in synced(tmp_path).keys() - before.keys():
            (store_root(tmp_path) / name).unlink()
        with Tract.open(tmp_path, clock=Clock()) as other:
            other.commit(user("three"))
        t.refresh()
        assert len(t.status().gone) == 1
    with Tract.open(tmp_path) as t:
        assert len(t.status().gone) == 1


def test_a_history_that_cannot_be_read_has_no_count(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        assert t.status().commit_count == 0
        first = t.commit(user("one")).commit_hash
        t.commit(user("two"))
        assert t.status().commit_count == 2
    (store_root(tmp_path) / "objects" / first[:2] / first[2:]).unlink()
    with Tract.open(tmp_path) as t:
        assert t.status().commit_count is None


def test_an_event_that_another_handle_found_repaired_is_no_longer_listed_as_damaged(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    with Tract.open(here, durability="fast") as t:
        t.commit(user("one"))
    copy_store(here, there)
    with Tract.open(there, durability="fast") as t:
        t.commit(user("two"))
    bring_files(there, here)
    name = event_files(there)[-1]
    data = (store_root(here) / name).read_bytes()
    put(store_root(here) / name, data[:100])
    with Tract.open(here) as one, Tract.open(here) as other:
        assert [len(t.status().damaged) for t in (one, other)] == [1, 1]
        put(store_root(here) / name, data)
        for t in (other, one):
            t.refresh()
        assert [t.status().damaged for t in (one, other)] == [(), ()]
        assert [len(t.log()) for t in (one, other)] == [2, 2]
