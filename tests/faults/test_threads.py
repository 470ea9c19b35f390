"""One handle, many threads: nothing acknowledged is lost, a batch belongs to its thread, and readers see whole states."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.lab.processes import ROOT
from tests.lab.talk import texts, user
from tract_fs import CommitInfo, Tract
from tract_fs.errors import BatchOpen, ClosedError, TractError
from tract_fs.store import events, objects

LONGEST_S = 120.0


@pytest.fixture(autouse=True)
def threads_take_turns_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def run_together(*works: Callable[[], Any]) -> list[Any]:
    """Runs each work in a thread of its own, all let go at once; returns what they returned, or raises what one raised."""
    start = threading.Barrier(len(works))
    results: list[Any] = [None] * len(works)
    errors: list[BaseException] = []

    def run(number: int, work: Callable[[], Any]) -> None:
        try:
            start.wait(LONGEST_S)
            results[number] = work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n, work), daemon=True) for n, work in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * LONGEST_S)
        assert not thread.is_alive(), "a thread waits for ever"
    if errors:
        raise errors[0]
    return results


def hashes(tract: Tract) -> list[str]:
    return [info.commit_hash for info in tract.log(None)][::-1]


@pytest.mark.parametrize("durability", ["fast", "durable"])
def test_four_threads_on_one_handle_make_one_line_and_lose_none_while_a_batch_of_one_raises(
    tmp_path: Path, durability: str
) -> None:
    tract = Tract.open(tmp_path, durability=durability, lock_timeout_s=LONGEST_S)  # type: ignore[arg-type]

    def commit_200() -> list[str]:
        made = []
        for _ in range(200):
            made.append(tract.commit(user("the same")).commit_hash)
            time.sleep(0)
        return made

    def commit_200_and_fail_50() -> list[str]:
        made = []
        for number in range(200):
            made.append(tract.commit(user("the same")).commit_hash)
            if number % 4 == 0:
                with pytest.raises(RuntimeError), tract.batch():
                    tract.commit(user("dropped"))
                    tract.annotate(made[-1], "skip")
                    raise RuntimeError
        return made

    told = run_together(commit_200, commit_200, commit_200, commit_200_and_fail_50)
    line = hashes(tract)
    assert sorted(line) == sorted(name for names in told for name in names)
    assert len(line) == 800
    for names in told:
        assert [name for name in line if name in set(names)] == names
    writers = {name: number for number, names in enumerate(told) for name in names}
    changes = sum(writers[one] != writers[other] for one, other in pairwise(line))
    print(f"{durability}: {changes} changes of writer along 800 commits of 4 threads")
    assert changes >= 100
    tract.close()
    with Tract.open(tmp_path) as fresh:
        assert hashes(fresh) == line
        assert texts(fresh) == ["the same"] * 800
        assert fresh.status().other_heads == ()


def test_a_batch_belongs_to_its_thread_and_takes_nothing_of_others_with_it(tmp_path: Path) -> None:
    tract = Tract.open(tmp_path, durability="fast", lock_timeout_s=LONGEST_S)
    is_in, others_wait = threading.Event(), threading.Event()

    def fail() -> None:
        with pytest.raises(KeyboardInterrupt), tract.batch():
            tract.commit(user("dropped"))
            is_in.set()
            assert others_wait.wait(LONGEST_S)
            time.sleep(0.05)
            tract.commit(user("dropped too"))
            raise KeyboardInterrupt

    def commit() -> str:
        assert is_in.wait(LONGEST_S)
        others_wait.set()
        return tract.commit(user("kept")).commit_hash

    def read() -> list[Any]:
        assert is_in.wait(LONGEST_S)
        return texts(tract)

    _, made, seen = run_together(fail, commit, read)
    assert hashes(tract) == [made]
    assert seen in ([], ["kept"])
    tract.close()


def test_batches_of_several_threads_stay_whole_and_apart(tmp_path: Path) -> None:
    tract = Tract.open(tmp_path, durability="fast", lock_timeout_s=LONGEST_S)

    def write(label: str) -> None:
        for number in range(20):
            with tract.batch():
                tract.commit(user(f"{label} {number} a"))
                with tract.batch():
                    tract.commit(user(f"{label} {number} b"))
                tract.commit(user(f"{label} {number} c"))

    run_together(*(lambda label=label: write(label) for label in "123"))
    found = texts(tract)
    assert len(found) == 180
    for position in range(0, 180, 3):
        label, number, _ = found[position].split()
        assert found[position : position + 3] == [f"{label} {number} {part}" for part in "abc"]
    for label in "123":
        assert [text for text in found if text.startswith(label)] == [
            f"{label} {number} {part}" for number in range(20) for part in "abc"
        ]
    tract.close()


def test_readers_beside_writers_see_whole_states_that_only_grow(tmp_path: Path) -> None:
    tract = Tract.open(tmp_path, durability="fast", lock_timeout_s=LONGEST_S)
    is_over = threading.Event()

    def write() -> None:
        try:
            for number in range(60):
                with tract.batch():
                    for part in range(2):
                        tract.commit(user(f"{number}"), generation_config={"part": part, "nested": {"list": [number]}})
                time.sleep(0.002)
        finally:
            is_over.set()

    def read() -> int:
        last = 0
        looks = 0
        while not is_over.is_set() or looks == 0:
            looks += 1
            compiled = tract.compile()
            found = [message.content for message in compiled.messages]
            assert found == [str(number // 2) for number in range(len(found))]
            assert len(found) % 2 == 0
            assert len(found) >= last
            assert [one["nested"]["list"] for one in compiled.generation_configs] == [
                [number // 2] for number in range(len(found))
            ]
            last = len(found)
            hits = tract.query_by_config("part", "=", 0)
            assert [info.generation_config for info in hits] == [
                {"part": 0, "nested": {"list": [number]}} for number in range(len(hits))
            ]
            assert len(hits) >= last // 2
            assert [info.parent_hash for info in tract.log(None)][-1:] in ([], [None])
        return looks

    _, *looks = run_together(write, read, read)
    print("looks:", looks)
    assert texts(tract) == [str(number // 2) for number in range(120)]
    tract.close()


def test_answers_are_read_by_several_threads_at_once(tmp_path: Path) -> None:
    with Tract.open(tmp_path, durability="fast", lock_timeout_s=LONGEST_S) as tract:
        made = [
            tract.commit(user(f"text {number}"), generation_config={"seed": 1}).commit_hash for number in range(100)
        ]
    with Tract.open(tmp_path, durability="fast", lock_timeout_s=LONGEST_S) as tract:
        hits = tract.query_by_config("seed", "=", 1)  # what is found is read when it is looked at
        compiled = tract.compile()

        def look() -> list[Any]:
            return [(info.commit_hash, info.token_count, info.generation_config, info.message) for info in hits] + [
                (message.role, message.content) for message in compiled.messages
            ]

        def commit() -> None:
            for number in range(20):
                tract.commit(user(f"later {number}"), generation_config={"seed": 2})

        *looks, _ = run_together(look, look, look, commit)
        expected = [(name, 6, {"seed": 1}, None) for name in made]
        expected_messages = [("user", f"text {number}") for number in range(100)]
        assert looks == [[*expected, *expected_messages]] * 3


def test_what_a_query_found_is_read_by_several_threads_at_once_though_the_caches_overflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Tract.open(tmp_path, durability="fast", lock_timeout_s=LONGEST_S) as tract:
        made = [tract.commit(user(f"{number}"), generation_config={"seed": 1}).commit_hash for number in range(150)]
    for module in (objects, events):
        monkeypatch.setattr(module, "_CACHED_BYTES", 4000)
    monkeypatch.setattr(objects, "_CACHED_COMMITS", 10)
    with Tract.open(tmp_path, durability="fast", lock_timeout_s=LONGEST_S) as tract:
        found = [[hit for _ in range(20) for hit in tract.query_by_config("seed", "=", 1)] for _ in range(4)]

        def look(hits: list[CommitInfo]) -> list[Any]:
            return [(info.commit_hash, info.parent_hash, info.generation_config) for info in hits]

        expected = [(name, parent, {"seed": 1}) for name, parent in zip(made, [None, *made], strict=False)] * 20
        assert run_together(*(lambda hits=hits: look(hits) for hits in found)) == [expected] * 4


def test_what_a_query_found_is_read_rightly_inside_another_threads_batch(tmp_path: Path) -> None:
    with Tract.open(tmp_path, durability="fast", lock_timeout_s=LONGEST_S) as tract:
        tract.commit(user("text"), generation_config={"seed": 1})
    with Tract.open(tmp_path, durability="fast", lock_timeout_s=LONGEST_S) as tract:
        (hit,) = tract.query_by_config("seed", "=", 1)
        is_in = threading.Event()

        def hold() -> None:
            with suppress(RuntimeError), tract.batch():
                tract.commit(user("staged"), generation_config={"seed": 2})
                is_in.set()
                time.sleep(0.05)
                raise RuntimeError

        def look() -> tuple[Any, ...]:
            assert is_in.wait(LONGEST_S)
            return hit.generation_config, hit.parents

        _, seen = run_together(hold, look)
        assert seen == ({"seed": 1}, ())


def test_two_handles_in_two_threads_of_one_process_keep_each_other_out(tmp_path: Path) -> None:
    handles = [Tract.open(tmp_path, durability="fast", lock_timeout_s=LONGEST_S) for _ in range(3)]

    def write(tract: Tract) -> list[str]:
        made = []
        for number in range(30):
            with tract.batch():
                made += [tract.commit(user(str(part))).commit_hash for part in range(2)]
            if number % 10 == 0:
                assert made[-1] in hashes(tract)
        return made

    told = run_together(*(lambda tract=tract: write(tract) for tract in handles))
    for tract in handles:
        assert sorted(hashes(tract)) == sorted(name for names in told for name in names)
        assert tract.status().other_heads == ()
        assert texts(tract) == ["0", "1"] * 90
        tract.close()


def test_threads_that_wait_for_a_handle_that_is_closed_are_told_so(tmp_path: Path) -> None:
    tract = Tract.open(tmp_path, durability="fast", lock_timeout_s=LONGEST_S)
    made: list[str] = []

    def write() -> str:
        while True:
            try:
                made.append(tract.commit(user("text")).commit_hash)
            except TractError as error:
                return type(error).__name__

    def close() -> None:
        while len(made) < 20:
            time.sleep(0.001)
        tract.close()

    *told, _ = run_together(write, write, close)
    assert told == ["ClosedError", "ClosedError"]
    for call in (tract.compile, tract.log, tract.status, tract.refresh, tract.flush, lambda: tract.head):
        with pytest.raises(ClosedError):
            call()
    tract.close()
    with Tract.open(tmp_path) as fresh:
        assert sorted(hashes(fresh)) == sorted(made)


def test_closing_a_handle_in_a_batch_of_another_thread_waits_for_its_end(tmp_path: Path) -> None:
    tract = Tract.open(tmp_path, durability="fast", lock_timeout_s=LONGEST_S)
    is_in = threading.Event()

    def write() -> None:
        with tract.batch():
            tract.commit(user("one"))
            is_in.set()
            time.sleep(0.05)
            tract.commit(user("two"))

    def close() -> None:
        assert is_in.wait(LONGEST_S)
        tract.close()

    run_together(write, close)
    with Tract.open(tmp_path) as fresh:
        assert texts(fresh) == ["one", "two"]


def test_a_wait_for_another_threads_batch_ends_where_the_clock_of_the_module_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[type[Exception] | None] = []

    def write() -> None:
        try:
            t.commit(user("b"))
        except TractError as error:
            found.append(type(error))

    with Tract.open(tmp_path, lock_timeout_s=0.05) as t, t.batch():
        t.commit(user("a"))
        with monkeypatch.context() as frozen:
            frozen.setattr(time, "monotonic", lambda: 5.0)  # as a test that freezes the time does
            thread = threading.Thread(target=write, daemon=True)
            thread.start()
            thread.join(LONGEST_S)
    thread.join(LONGEST_S)
    assert found == [BatchOpen]


COLLECTING = """
import gc, sys, threading, time
from tests.lab.talk import user
from tract_fs import Tract
sys.setswitchinterval(1e-5)
gc.callbacks.append(lambda phase, info: time.sleep(0.0001))
gc.set_threshold(5)
with Tract.open(sys.argv[1], durability="fast", lock_timeout_s=120) as t:
    t.commit(user("a"))
    threads = [threading.Thread(target=lambda: [t.log() for _ in range(100)], daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(len(t.log()))
"""


def test_threads_wait_for_one_another_while_garbage_collections_run_python_code(tmp_path: Path) -> None:
    command = [sys.executable, "-c", COLLECTING, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert (done.stdout, done.stderr) == ("1\n", "")
