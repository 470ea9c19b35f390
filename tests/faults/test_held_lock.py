"""A writer that is stopped while it holds the lock: nobody's read waits for it, and what it kept others from recording is recorded later."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.copies import bring_files, open_tract
from tests.lab.inside import log_of, store_of
from tests.lab.power import lose_loose_files
from tests.lab.states import answers, list_always, own_place, remove_local, synced
from tests.lab.talk import texts, user
from tract_fs import Tract
from tract_fs.errors import LockTimeout
from tract_fs.store import lock


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Holds the store's lock, as a stopped writer does."""
    descriptor = os.open(own_place(path) / "lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits of this process, in seconds."""
    found: list[float] = []
    sleep = time.sleep

    def note(seconds: float) -> None:
        found.append(seconds)
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", note)
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with open_tract(tmp_path / "store") as t:
        t.commit(user("a"))
        t.commit(user("b"))
    return tmp_path / "store"


def bring_one(path: Path, text: str) -> None:
    """Brings a commit of a copy, as rsync does."""
    other = path.with_name(f"copy of {text}")
    shutil.copytree(path, other)
    with open_tract(other) as t:
        t.commit(user(text))
    bring_files(other, path)


def test_an_open_and_reads_wait_for_no_writer(path: Path, waits: list[float]) -> None:
    with held(path), Tract.open(path, lock_timeout_s=30.0) as t:
        assert texts(t) == ["a", "b"]
        assert len(t.log()) == 2
        assert t.status().pending == ()
        t.refresh()
    assert waits == []


def test_reads_of_a_commit_that_arrived_wait_for_no_writer(
    path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    list_always(monkeypatch)
    with Tract.open(path, lock_timeout_s=30.0) as warm:
        assert texts(warm) == ["a", "b"]
        with held(path):
            bring_one(path, "c")
            assert texts(warm) == ["a", "b", "c"]
            with Tract.open(path, lock_timeout_s=30.0) as fresh:
                assert texts(fresh) == ["a", "b", "c"]
            bring_one(path, "d")
            assert texts(warm) == ["a", "b", "c", "d"]
    assert waits == []


def test_reads_without_caches_wait_for_no_writer(path: Path, waits: list[float]) -> None:
    remove_local(path)
    with held(path), Tract.open(path, lock_timeout_s=30.0) as t:
        assert texts(t) == ["a", "b"]
        assert len(t.log()) == 2
    assert waits == []


def test_what_a_power_cut_left_is_recovered_by_the_next_writer_and_no_read_waits(
    tmp_path: Path, waits: list[float]
) -> None:
    path = tmp_path / "durable"
    with open_tract(path, durability="durable") as t:
        t.commit(user("c"))
        t.commit(user("d"))
    lose_loose_files(path)
    with held(path), Tract.open(path, lock_timeout_s=30.0) as t:
        assert store_of(t).needs_recovery
        assert texts(t) == []  # what the disk has kept
        assert waits == []
    with held(path):
        t = Tract.open(path, lock_timeout_s=0.05)
        with pytest.raises(LockTimeout):
            t.commit(user("e"))
        assert texts(t) == []
    t.commit(user("e"))
    assert not store_of(t).needs_recovery
    assert texts(t) == ["c", "d", "e"]
    assert t.status().other_heads == ()
    t.close()


def test_a_write_waits_for_its_time_and_no_longer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    with Tract.open(path, lock_timeout_s=0.05) as t:
        with held(path), monkeypatch.context() as patched:
            now_s = [0.0]
            patched.setattr(lock, "_monotonic", lambda: now_s[0])
            patched.setattr(time, "sleep", lambda seconds: (waits.append(seconds), now_s.append(now_s.pop() + seconds)))
            with pytest.raises(LockTimeout):
                t.commit(user("c"))
        assert len(waits) > 10
        assert sum(waits) == pytest.approx(0.05)
        t.commit(user("d"))
        assert texts(t) == ["a", "b", "d"]


@pytest.mark.parametrize("is_cold", [False, True])
def test_what_became_visible_meanwhile_is_recorded_by_the_next_write(
    path: Path, is_cold: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_always(monkeypatch)
    with Tract.open(path, durability="fast") as t:
        assert texts(t) == ["a", "b"]
        with held(path):
            if is_cold:
                log_of(t).rebuild()
            bring_one(path, "c")
            bring_one(path, "d")
            assert texts(t) == ["a", "b", "c", "d"]
            assert log_of(t).stamp()[0] == -1
        t.commit(user("e"))
        assert log_of(t).stamp()[0] > 0
        assert texts(t) == ["a", "b", "c", "d", "e"]
        with Tract.open(path) as follower:
            assert texts(follower) == ["a", "b", "c", "d", "e"]
            assert answers(follower) == answers(t)
    with Tract.open(path, verify=True) as fresh, Tract.open(path) as cached:
        assert answers(fresh) == answers(cached)
        assert fresh.status().other_heads == ()


def test_what_became_visible_meanwhile_is_recorded_by_the_next_listing_without_reading_all_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_always(monkeypatch)
    with Tract.open(path, durability="fast") as t:
        with held(path):
            bring_one(path, "c")
            assert texts(t) == ["a", "b", "c"]
        monkeypatch.setattr(type(log_of(t)), "rebuild", lambda *_, **__: pytest.fail("all was read again"))
        assert texts(t) == ["a", "b", "c"]
        assert log_of(t).stamp()[0] > 0
        assert log_of(t)._unrecorded == set()


def test_an_event_that_another_handle_recorded_meanwhile_is_recorded_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_always(monkeypatch)
    with Tract.open(path, durability="fast") as t, Tract.open(path, durability="fast") as other:
        assert texts(t) == texts(other) == ["a", "b"]
        with held(path):
            bring_one(path, "c")
            assert texts(t) == ["a", "b", "c"]
        assert texts(other) == ["a", "b", "c"]
        other.commit(user("d"))
        assert texts(t) == ["a", "b", "c", "d"]
        t.commit(user("e"))
        assert texts(other) == ["a", "b", "c", "d", "e"]
        assert log_of(t).stamp() == log_of(other).stamp()
        assert (log_of(t).again_count, log_of(t).usage_count) == (log_of(other).again_count, log_of(other).usage_count)


def test_a_flush_or_close_of_a_reader_waits_for_nobody(path: Path, waits: list[float]) -> None:
    t = Tract.open(path, lock_timeout_s=30.0)
    assert texts(t) == ["a", "b"]
    with held(path):
        t.close()
    assert waits == []
    assert synced(path)
