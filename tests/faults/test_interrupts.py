"""A call is whole, or it did not happen: an exception at any line of any call leaves the handle, the lock, other handles
and other threads as if the call had ended there by itself.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.lab.interrupts import Call, faults_after, trace
from tests.lab.stores import AT_ONCE
from tests.lab.talk import texts, user
from tract_fs import TokenUsage, Tract
from tract_fs.errors import TractError


def in_a_batch(t: Tract, _: Path) -> None:
    with t.batch():
        t.commit(user("b1"))
        t.commit(user("b2"))


def merge(t: Tract, _: Path) -> None:
    t.branch("side")
    t.switch("side")
    t.commit(user("side"))
    t.switch("main")
    t.commit(user("main"))
    t.merge("side")


def messages(count: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"i{number}"} for number in range(count)]


def apply_bundle(t: Tract, directory: Path) -> None:
    t.bundle(directory / "bundle", force=True)
    with Tract.open(directory / "other", durability="fast") as other:
        other.apply_bundle(directory / "bundle")


def query(t: Tract, _: Path) -> None:
    for info in t.query_by_config("temperature", ">=", 1):
        assert info.message is None


def delete(t: Tract, _: Path) -> None:
    t.branch("side")
    t.rename_branch("side", "aside")
    t.delete_branch("aside")


def sync(t: Tract, directory: Path) -> None:
    (directory / "stick").mkdir(exist_ok=True)
    t.sync(directory / "stick")


def tag(t: Tract, _: Path) -> None:
    t.tag("v1")
    t.untag("v1")


def other_handles(t: Tract, _: Path) -> None:
    t.at("main~1").close()
    t.fork("sub").close()


CALLS: dict[str, Call] = {
    "annotate": lambda t, _: t.annotate("main~1", "skip"),
    "batch": in_a_batch,
    "branch": lambda t, _: t.branch("side"),
    "bundle": apply_bundle,
    "cherry_pick": lambda t, _: t.cherry_pick("main~1"),
    "commit": lambda t, _: t.commit(user("new"), generation_config={"temperature": 1}),
    "compile": lambda t, _: t.compile(),
    "delete_branch": delete,
    "diff": lambda t, _: t.diff(),
    "edit": lambda t, _: t.edit("main~1", user("edited")),
    "flush": lambda t, _: t.flush(),
    "fork": other_handles,
    "import_messages": lambda t, _: t.import_messages(messages(3)),
    "import_stream": lambda t, _: t.import_stream(iter(messages(100)), batch_size=50),
    "log": lambda t, _: t.log(None, text="m"),
    "merge": merge,
    "pack": lambda t, _: t.pack(keep_loose=AT_ONCE),
    "query": query,
    "record_usage": lambda t, _: t.record_usage(TokenUsage(3, 4, 7)),
    "reflog": lambda t, _: t.reflog(),
    "refresh": lambda t, _: t.refresh(),
    "repair": lambda t, _: t.repair(),
    "reset": lambda t, _: t.reset("main~1"),
    "revert": lambda t, _: t.revert("main~1"),
    "status": lambda t, _: t.status(),
    "summarize": lambda t, _: t.summarize(first="main~2", last="main~1", content="summary"),
    "sync": sync,
    "tag": tag,
    "undo": lambda t, _: t.undo(),
}


def look_for_faults(path: Path, name: str, durability: str, points: range) -> None:
    found: dict[str, list[str]] = {}
    looked_at = 0
    for at in points:
        faults, place = faults_after(path / "x", CALLS[name], at, durability=durability)
        if not place:
            break
        looked_at += 1
        for fault in faults:
            found.setdefault(fault, []).append(place)
    print(f"{name}, {durability}: {looked_at} interrupts")
    assert looked_at > 0
    assert found == {}


def lines_of(path: Path, name: str, durability: str) -> int:
    with Tract.open(path / "measured/store", durability=durability) as tract:  # type: ignore[arg-type]
        for number in range(3):
            tract.commit(user(f"m{number}"), generation_config={"temperature": number})
        tract.compile()
        count, _, _ = trace(lambda: CALLS[name](tract, path / "measured"), 0)
    return count


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CALLS))
def test_an_interrupt_at_a_line_of_a_call_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    count = lines_of(tmp_path, name, "durable")
    most = 12
    look_for_faults(tmp_path, name, "durable", range(1 + count % 7, count + 1, max(1, count // most)))


@pytest.mark.campaign
@pytest.mark.parametrize("durability", ["fast", "durable"])
@pytest.mark.parametrize("name", sorted(CALLS))
def test_an_interrupt_at_each_line_of_a_call_leaves_nothing_behind(tmp_path: Path, name: str, durability: str) -> None:
    look_for_faults(tmp_path, name, durability, range(1, sys.maxsize))


class TimeIsUp(Exception):
    """What a time limit raises."""


def interrupt_by_timer(path: Path, rounds: int, durability: str) -> None:
    """Lets a timer break off commits and batches, and compares what was acknowledged with what is there."""

    def raise_it(*_: object) -> None:
        raise TimeIsUp

    tract = Tract.open(path, durability=durability, lock_timeout_s=1)  # type: ignore[arg-type]
    acknowledged: list[str] = []
    interrupts = 0
    before = signal.signal(signal.SIGALRM, raise_it)
    try:
        for number in range(rounds):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0001 + (number * 37 % 100) / 20_000)
                while True:
                    if signal.getitimer(signal.ITIMER_REAL)[0] == 0:  # it went off in a finalizer, which passed over it
                        signal.setitimer(signal.ITIMER_REAL, 1)
                    if number % 2:
                        acknowledged.append(tract.commit(user("ok")).commit_hash)
                    else:
                        with tract.batch():
                            made = [tract.commit(user("ok")).commit_hash for _ in range(2)]
                        acknowledged += made
            except TimeIsUp:
                interrupts += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(len(tract.log(None))), daemon=True)
    thread.start()
    thread.join(120)
    assert seen, "another thread waits"
    with Tract.open(path, durability="fast", lock_timeout_s=0) as other:
        last = other.commit(user("last")).commit_hash
        there = [info.commit_hash for info in other.log(None)]
        assert other.status().other_heads == ()
        assert other.status().warnings == ()
    assert [info.commit_hash for info in tract.log(None)] == there
    tract.close()
    kept = set(there)
    assert [name for name in acknowledged if name not in kept] == []
    assert there[0] == last
    print(f"{durability}: {interrupts} interrupts, {len(acknowledged)} commits acknowledged, {len(there)} there")
    assert interrupts == rounds
    assert not list(path.rglob("*.new.*"))


@pytest.mark.parametrize("durability", ["fast", "durable"])
def test_a_timer_that_breaks_off_commits_and_batches_loses_nothing(tmp_path: Path, durability: str) -> None:
    interrupt_by_timer(tmp_path, 150, durability)


@pytest.mark.campaign
@pytest.mark.parametrize("durability", ["fast", "durable"])
def test_a_timer_that_breaks_off_thousands_of_commits_loses_nothing(tmp_path: Path, durability: str) -> None:
    interrupt_by_timer(tmp_path, 3000, durability)


def test_a_full_stack_leaves_nothing_behind(tmp_path: Path) -> None:
    tract = Tract.open(tmp_path, durability="fast", lock_timeout_s=0.3)
    tract.commit(user("m0"), generation_config={"a": 1})

    def deep(left: int, work: object) -> None:
        if left:
            deep(left - 1, work)
        else:
            work()  # type: ignore[operator]

    calls = [
        lambda: tract.commit(user("new")),
        lambda: in_a_batch(tract, tmp_path),
        lambda: tract.compile(),
        lambda: tract.query_by_config("a", "=", 1),
    ]
    failed = 0
    depth = sys.getrecursionlimit() - len(_stack()) - 5
    for below in range(90):
        for call in calls:
            try:
                deep(depth - below, call)
            except (RecursionError, TractError):
                failed += 1
            with Tract.open(tmp_path, durability="fast", lock_timeout_s=0) as other:
                other.commit(user("other"))
            tract.commit(user("own"))
            assert texts(tract)[-2:] == ["other", "own"]
    print(f"{failed} full stacks")
    assert failed > 30
    tract.close()


def _stack() -> list[object]:
    found: list[object] = []
    frame = sys._getframe()
    while frame.f_back is not None:
        found.append(frame)
        frame = frame.f_back
    return found


def test_a_second_interrupt_while_the_first_is_handled_is_healed_by_the_next_call(tmp_path: Path) -> None:
    tract = Tract.open(tmp_path, durability="fast", lock_timeout_s=0.3)
    tract.commit(user("m0"))
    total, _, _ = trace(lambda: tract.commit(user("m1")), 0)
    for at in range(1, total, 23):
        for more in range(1, 40, 5):
            count = 0

            def look(frame: object, event: str, _: object, *, at: int = at, more: int = more) -> object:
                nonlocal count
                if "/tract_fs/" not in frame.f_code.co_filename:  # type: ignore[attr-defined]
                    return None
                if event == "line":
                    count += 1
                    if count in (at, at + more):
                        raise TimeIsUp
                return look

            sys.settrace(look)  # type: ignore[arg-type]
            with suppress(TimeIsUp):
                tract.commit(user("new"))
            sys.settrace(None)
        tract.commit(user("own"))
        with Tract.open(tmp_path, durability="fast", lock_timeout_s=0) as other:
            other.commit(user("other"))
            assert texts(other) == texts(tract)
    tract.close()


def test_a_process_that_is_interrupted_in_a_commit_goes_on(tmp_path: Path) -> None:
    tract = Tract.open(tmp_path, durability="durable")
    names: list[str] = []
    pid = os.getpid()

    def interrupt() -> None:
        while len(names) < 5:
            time.sleep(0.001)
        os.kill(pid, signal.SIGINT)

    with suppress(KeyboardInterrupt):
        threading.Thread(target=interrupt, daemon=True).start()
        while True:
            names.append(tract.commit(user("ok")).commit_hash)
    names.append(tract.commit(user("after")).commit_hash)
    there = [info.commit_hash for info in tract.log(None)]
    assert set(names) <= set(there)
    assert len(there) - len(names) in (0, 1)
    tract.close()
