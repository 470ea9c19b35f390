"""Watches: newer commits of a branch are returned, whoever brings them, and nothing else is."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.lab.copies import sync_files
from tests.lab.talk import say, texts, user
from tract_fs import AsyncTract, CommitInfo, Tract
from tract_fs.errors import ArgumentError, ClosedError, CommitNotFoundError
from tract_fs.work import watch


def hashes(found: list[CommitInfo]) -> list[str]:
    return [info.commit_hash for info in found]


def soon(work: Callable[[], Any]) -> threading.Thread:
    """Does some work while the caller waits."""
    thread = threading.Timer(0.1, work)
    thread.start()
    return thread


def test_what_is_there_already_is_returned_at_once_in_history_order(t: Tract) -> None:
    one, two, three = say(t, "one", "two", "three")
    assert hashes(t.watch(after=None, timeout_s=0)) == [one, two, three]
    assert hashes(t.watch(after=one, timeout_s=0)) == [two, three]
    assert hashes(t.watch(after="@~1")) == [three]
    assert [info.operation for info in t.watch(after=two)] == ["append"]
    assert t.watch(after=three, timeout_s=0) == []


def test_an_empty_list_ends_the_time(t: Tract) -> None:
    say(t, "one")
    began = time.monotonic()
    assert t.watch(after="main", timeout_s=0.15) == []
    assert 0.14 < time.monotonic() - began < 60


def test_a_commit_of_another_handle_and_of_this_one_ends_the_wait(t: Tract, tmp_path: Path) -> None:
    with Tract.open(tmp_path / "a", durability="fast") as other:
        for writer in (other, t):
            made: list[str] = []
            before = t.head
            thread = soon(lambda writer=writer, made=made: made.extend(say(writer, "new")))  # type: ignore[misc]
            found = t.watch(after=before, timeout_s=120)
            thread.join()
            assert hashes(found) == made


def test_a_commit_that_a_copying_tool_brings_ends_the_wait(t: Tract, tmp_path: Path) -> None:
    (one,) = say(t, "one")
    sync_files(tmp_path / "a", tmp_path / "b")
    with Tract.open(tmp_path / "b", durability="fast") as there:
        made = say(there, "two")
    thread = soon(lambda: sync_files(tmp_path / "b", tmp_path / "a"))
    assert hashes(t.watch(after=one, timeout_s=120)) == made
    thread.join()
    assert texts(t) == ["one", "two"]


def test_a_branch_that_is_set_back_has_no_newer_commits_until_one_is_made(t: Tract) -> None:
    one, two = say(t, "one", "two")
    t.reset(one)
    assert t.watch(after=two, timeout_s=0.1) == []
    (three,) = say(t, "three")
    assert hashes(t.watch(after=two, timeout_s=0)) == [three]


def test_commits_that_a_merge_brings_are_newer(t: Tract) -> None:
    (one,) = say(t, "one")
    t.branch("side")
    (mine,) = say(t, "mine")
    t.switch("side")
    (theirs,) = say(t, "theirs")
    t.switch("main")
    merged = t.merge("side").head
    assert hashes(t.watch(after=mine, timeout_s=0)) == [theirs, merged]
    assert hashes(t.watch(after=one, timeout_s=0)) == [mine, theirs, merged]


@pytest.mark.parametrize("timeout_s", [-1, float("nan"), float("inf"), "1", True])
def test_a_time_that_is_none_is_refused(t: Tract, timeout_s: Any) -> None:
    with pytest.raises(ArgumentError, match="timeout_s"):
        t.watch(after=None, timeout_s=timeout_s)


def test_a_commit_that_is_unknown_is_refused_and_so_is_a_watch_inside_a_batch(t: Tract) -> None:
    with pytest.raises(CommitNotFoundError):
        t.watch(after="f" * 64)
    with pytest.raises(ArgumentError, match="watch inside a batch"), t.batch():
        t.watch(after=None)


def test_it_looks_ten_times_a_second_or_more_however_long_it_waits(t: Tract, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: sum(pauses), sleep=pauses.append)
    monkeypatch.setattr(watch, "time", clock)
    assert t.watch(after=None, timeout_s=0.6) == []
    assert len(pauses) > 4
    assert max(pauses) < 0.1
    assert sum(pauses) == pytest.approx(0.6)


def test_a_close_ends_the_wait(t: Tract) -> None:
    thread = soon(t.close)
    with pytest.raises(ClosedError):
        t.watch(after=None)
    thread.join()


def test_a_task_watches_while_others_write_and_can_be_cancelled(path: Path) -> None:
    async def main() -> None:
        async with await AsyncTract.open(path, durability="fast") as t:
            assert await t.watch(after=None, timeout_s=0.06) == []
            watching = [asyncio.create_task(t.watch(after=None, timeout_s=120)) for _ in range(50)]
            await asyncio.sleep(0.02)
            made = await t.commit(user("one"))
            assert {tuple(hashes(await one)) for one in watching} == {(made.commit_hash,)}
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await t.watch(after="@")
            with pytest.raises(CommitNotFoundError):
                await t.watch(after="none")

    asyncio.run(main())
