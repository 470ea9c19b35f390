"""A call that its own thread makes inside another call is refused at once; a batch takes in what its own block calls,
and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import shutil
import signal
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.lab.talk import Clock, say, texts, user
from tract_fs import Tract, TractConfig
from tract_fs.errors import BatchOpen, CallInsideCall, ImportInterrupted, LockTimeout
from tract_fs.model.info import TokenBudgetConfig


class ArmedClock(Clock):
    """A clock that does something when it is read the next time."""

    def __init__(self) -> None:
        super().__init__()
        self.work: Any = None

    def __call__(self) -> int:
        work, self.work = self.work, None
        if work is not None:
            work()
        return super().__call__()


@pytest.fixture
def clock() -> ArmedClock:
    return ArmedClock()


@pytest.fixture
def tract(tmp_path: Path, clock: ArmedClock) -> Iterator[Tract]:
    with Tract.open(tmp_path / "store", clock=clock, durability="fast", lock_timeout_s=5) as tract:
        yield tract


def assert_all_copies_show(tract: Tract, tmp_path: Path, expected: list[str]) -> None:
    assert texts(tract) == expected
    shutil.copytree(tmp_path / "store", tmp_path / "copy", ignore=shutil.ignore_patterns("local"))
    with Tract.open(tmp_path / "copy") as copy:
        assert texts(copy) == expected
        assert copy.status().pending == ()
        assert copy.status().other_heads == ()


def test_a_commit_of_a_signal_handler_inside_a_commit_is_refused(
    tract: Tract, clock: ArmedClock, tmp_path: Path
) -> None:
    refused: list[str] = []

    def handle(*_: object) -> None:
        try:
            tract.commit(user("last words"))
        except CallInsideCall as error:
            refused.append(str(error))

    say(tract, "one")
    before = signal.signal(signal.SIGTERM, handle)
    try:
        clock.work = lambda: signal.raise_signal(signal.SIGTERM)
        say(tract, "two")
        signal.raise_signal(signal.SIGTERM)  # outside a call it is a call like any other
    finally:
        signal.signal(signal.SIGTERM, before)
    assert refused == [
        "a call on tract 'default' from inside another call of the same handle, as from a signal handler, a finalizer or "
        "a callback; nothing was written; in a handler set a flag, and make the call where the flag is read (in asyncio: "
        "loop.add_signal_handler)"
    ]
    assert_all_copies_show(tract, tmp_path, ["one", "two", "last words"])


@pytest.mark.parametrize("name", ["compile", "log", "commit", "batch", "close"])
def test_a_callback_that_calls_the_handle_is_refused_and_ends_the_outer_call(
    tract: Tract, clock: ArmedClock, tmp_path: Path, name: str
) -> None:
    def open_batch() -> None:
        with tract.batch():
            pass

    calls = {
        "compile": tract.compile,
        "log": tract.log,
        "commit": lambda: say(tract, "inner"),
        "batch": open_batch,
        "close": tract.close,
    }
    say(tract, "one")
    clock.work = calls[name]
    with pytest.raises(CallInsideCall):
        say(tract, "two")
    say(tract, "three")
    assert_all_copies_show(tract, tmp_path, ["one", "three"])


def test_another_handle_of_the_thread_is_refused_at_once(tract: Tract, clock: ArmedClock, tmp_path: Path) -> None:
    with Tract.open(tmp_path / "store", durability="fast", lock_timeout_s=3600) as other:
        clock.work = lambda: say(other, "inner")
        with pytest.raises(CallInsideCall, match="held by another handle of this thread"):
            say(tract, "two")
        with tract.batch():
            say(tract, "three")
            with pytest.raises(CallInsideCall):
                say(other, "inner")
            assert texts(other) == []
        say(other, "four")
    assert_all_copies_show(tract, tmp_path, ["three", "four"])


def test_a_finalizer_that_commits_amid_a_call_is_refused(tract: Tract, clock: ArmedClock, tmp_path: Path) -> None:
    class Thing:
        pass

    thing = Thing()
    thing.self = thing  # type: ignore[attr-defined]
    refused: list[type[BaseException]] = []

    def commit() -> None:
        try:
            say(tract, "from a finalizer")
        except CallInsideCall as error:
            refused.append(type(error))

    weakref.finalize(thing, commit)
    del thing
    clock.work = gc.collect
    say(tract, "one")
    assert refused == [CallInsideCall]
    assert_all_copies_show(tract, tmp_path, ["one"])


def test_a_write_while_a_generator_with_a_batch_is_suspended_is_refused(tract: Tract, tmp_path: Path) -> None:
    def turn(chunks: list[str]) -> Iterator[str]:
        with tract.batch():
            say(tract, "question")
            for chunk in chunks:
                say(tract, chunk)
                yield chunk

    stream = turn(["a", "b"])
    next(stream)
    with pytest.raises(BatchOpen, match="another task, generator or function of this thread has a batch open"):
        say(tract, "note")
    assert texts(tract) == []  # reads go on, and show what was written
    stream.close()
    say(tract, "note")
    assert list(turn(["c", "d"])) == ["c", "d"]
    assert_all_copies_show(tract, tmp_path, ["note", "question", "c", "d"])


def test_a_batch_whose_context_is_dropped_without_its_end_is_dropped(tract: Tract, tmp_path: Path) -> None:
    def begin() -> None:
        batch = tract.batch()
        batch.__enter__()
        say(tract, "lost")

    begin()
    say(tract, "kept")
    assert_all_copies_show(tract, tmp_path, ["kept"])


def test_a_batch_that_a_context_manager_of_the_caller_enters_belongs_to_the_caller(
    tract: Tract, tmp_path: Path
) -> None:
    @contextlib.contextmanager
    def turn() -> Iterator[None]:
        with tract.batch():
            yield

    class Turn:
        def __enter__(self) -> None:
            self.batch = tract.batch()
            self.batch.__enter__()

        def __exit__(self, *error: Any) -> None:
            self.batch.__exit__(*error)

    def speak(text: str) -> None:
        say(tract, text)

    with turn():
        speak("one")
    with Turn():
        speak("two")
    with contextlib.ExitStack() as stack:
        stack.enter_context(turn())
        stack.enter_context(tract.batch())
        speak("three")
        assert texts(tract) == ["one", "two", "three"]
    with pytest.raises(RuntimeError), turn():
        speak("dropped")
        raise RuntimeError
    assert_all_copies_show(tract, tmp_path, ["one", "two", "three"])


def test_another_task_never_joins_a_batch(tract: Tract, tmp_path: Path) -> None:
    refused: list[str] = []
    seen: list[list[str]] = []

    async def fail(is_open: asyncio.Event, is_tried: asyncio.Event) -> None:
        with tract.batch():
            say(tract, "a1")
            is_open.set()
            await is_tried.wait()
            say(tract, "a2")
            raise RuntimeError

    async def commit(is_open: asyncio.Event, is_tried: asyncio.Event) -> None:
        await is_open.wait()
        seen.append(texts(tract))
        try:
            say(tract, "b")
        except BatchOpen as error:
            refused.append(str(error))
        is_tried.set()

    async def main() -> None:
        is_open, is_tried = asyncio.Event(), asyncio.Event()
        context = contextvars.copy_context()
        one = asyncio.create_task(fail(is_open, is_tried))
        other = asyncio.create_task(commit(is_open, is_tried), context=context)
        results = await asyncio.gather(one, other, return_exceptions=True)
        assert [type(result) for result in results] == [RuntimeError, type(None)]
        say(tract, "after")

    asyncio.run(main())
    assert seen == [[]]
    assert refused == [
        "another task, generator or function of this thread has a batch open; make the call inside its with block, or "
        "after its end; nothing was written"
    ]
    assert_all_copies_show(tract, tmp_path, ["after"])


def test_a_child_task_of_a_batch_is_outside_and_what_the_task_awaits_is_inside(tract: Tract, tmp_path: Path) -> None:
    async def speak(text: str) -> None:
        await asyncio.sleep(0)
        say(tract, text)

    @contextlib.asynccontextmanager
    async def turn() -> AsyncIterator[None]:
        with tract.batch():
            yield

    async def main() -> None:
        async with turn():
            await speak("inside")
            with pytest.raises(BatchOpen):
                await asyncio.create_task(speak("outside"))

    asyncio.run(main())
    assert_all_copies_show(tract, tmp_path, ["inside"])


def test_a_thread_waits_for_a_batch_as_long_as_its_timeout_and_reads_do_not_wait(tmp_path: Path) -> None:
    with Tract.open(tmp_path / "store", durability="fast", lock_timeout_s=0.2) as tract, ThreadPoolExecutor(1) as pool:
        with tract.batch():
            say(tract, "one")
            assert pool.submit(texts, tract).result() == []
            with pytest.raises(BatchOpen, match=r"another thread had a batch open for 0\.2 s"):
                pool.submit(say, tract, "two").result()
            assert texts(tract) == ["one"]
        assert len(pool.submit(say, tract, "three").result()) == 1
        assert texts(tract) == ["one", "three"]


def test_a_batch_over_an_await_beside_a_commit_by_a_thread_ends(tmp_path: Path) -> None:
    async def main(tract: Tract) -> None:
        with tract.batch():
            say(tract, "one")
            with pytest.raises(BatchOpen):
                await asyncio.to_thread(say, tract, "two")
            say(tract, "three")

    with Tract.open(tmp_path / "store", durability="fast", lock_timeout_s=0.2) as tract:
        asyncio.run(main(tract))
        assert texts(tract) == ["one", "three"]


def test_a_call_waits_for_a_call_of_another_thread_only_so_long(tmp_path: Path) -> None:
    clock = ArmedClock()
    is_in, may_go = threading.Event(), threading.Event()
    with Tract.open(tmp_path / "store", clock=clock, durability="fast", lock_timeout_s=0.2) as tract:

        def hang() -> None:
            is_in.set()
            assert may_go.wait(60)

        clock.work = hang
        with ThreadPoolExecutor(1) as pool:
            made = pool.submit(say, tract, "one")
            assert is_in.wait(60)
            with pytest.raises(LockTimeout, match=r"another thread was inside a call of this handle for 0\.2 s"):
                tract.compile()
            may_go.set()
            assert len(made.result()) == 1
        assert texts(tract) == ["one"]


def test_fifty_tasks_with_batches_cancellations_errors_and_threads_keep_what_was_acknowledged(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    failed: list[str] = []

    waiting: set[asyncio.Task[None]] = set()

    async def take_turn(tract: Tract, kind: int) -> None:
        if kind == 0:
            acknowledged.extend(say(tract, "ok"))
        elif kind == 1:
            acknowledged.extend(await asyncio.to_thread(say, tract, "ok"))
        else:
            with tract.batch():
                made = say(tract, "ok", "ok")
                if kind == 2:
                    failed.extend(made)
                    await asyncio.sleep(0)
                    raise RuntimeError
                if kind == 3:
                    failed.extend(made)
                    task = asyncio.current_task()
                    assert task is not None
                    waiting.add(task)
                    await asyncio.Event().wait()
            acknowledged.extend(made)

    async def work(tract: Tract, number: int) -> None:
        for turn in range(6):
            is_over = False
            while not is_over:
                try:
                    await take_turn(tract, (number + turn) % 5)
                    is_over = True
                except RuntimeError:
                    is_over = True
                except (BatchOpen, LockTimeout):
                    await asyncio.sleep(0.001)

    async def main(tract: Tract) -> None:
        tasks = [asyncio.create_task(work(tract, number)) for number in range(50)]
        while any(not task.done() for task in tasks):
            await asyncio.sleep(0.01)
            for task in waiting:
                task.cancel()
            if len(acknowledged) > 20:
                for task in tasks[::7]:
                    task.cancel()
            tasks = [task for task in tasks if not task.done()]
        await asyncio.gather(*tasks, return_exceptions=True)

    with Tract.open(tmp_path, durability="fast", lock_timeout_s=0.05) as tract:
        asyncio.run(main(tract))
        there = {info.commit_hash for info in tract.log(None)}
        assert set(acknowledged) <= there
        assert not set(failed) & there
        assert len(acknowledged) > 20
        assert len(failed) > 0
    with Tract.open(tmp_path, verify=True) as fresh:
        assert {info.commit_hash for info in fresh.log(None)} == there
        assert fresh.status().warnings == ()


def open_with_callback(path: Path, callback: Any, *, timeout_s: float = 5, compiler: Any = None) -> Tract:
    """Opens a tract whose budget is passed by every commit, so that each calls `callback`."""
    budget = TokenBudgetConfig(max_tokens=1, action="callback", callback=callback)
    config = TractConfig(token_budget=budget)
    return Tract.open(path, config=config, compiler=compiler, durability="fast", lock_timeout_s=timeout_s)


def messages(count: int) -> list[dict[str, Any]]:
    return [{"role": "user", "content": f"imported {number}"} for number in range(count)]


@pytest.mark.parametrize("name", ["import_messages", "import_stream"])
def test_another_thread_does_not_join_an_import_while_a_callback_runs(tmp_path: Path, name: str) -> None:
    refused: list[str] = []
    seen: list[list[str]] = []

    def commit() -> None:
        seen.append(texts(tract))
        try:
            say(tract, "of another thread")
        except BatchOpen as error:
            refused.append(str(error))

    def veto(*_: int) -> None:
        if not seen and threading.current_thread() is threading.main_thread():
            thread = threading.Thread(target=commit)
            thread.start()
            thread.join()
            raise ValueError("vetoed")

    with open_with_callback(tmp_path / "store", veto, timeout_s=0.3) as tract:
        with pytest.raises((ValueError, ImportInterrupted), match="vetoed"):
            getattr(tract, name)(messages(3))
        assert seen == [[]]
        assert refused == [
            "another thread had a batch open for 0.3 s; make the call inside its with block, or after its end; nothing was "
            "written"
        ]
        say(tract, "after")
        assert_all_copies_show(tract, tmp_path, ["after"])


class BrokenCompiler:
    def compile(self, *_: object) -> Any:
        raise OSError("broken")


@pytest.mark.parametrize("is_other_thread", [False, True])
@pytest.mark.parametrize("name", ["import_messages", "import_stream"])
def test_an_import_is_whole_whatever_fails_in_a_callback(tmp_path: Path, name: str, is_other_thread: bool) -> None:
    called: list[str] = []

    def fail() -> None:
        with pytest.raises(OSError, match="broken"):
            tract.compile()
        called.append("compile")

    def callback(*_: int) -> None:
        called.append("callback")
        if called != ["callback", "callback"]:
            return  # only the second message finds another one staged
        if is_other_thread:
            thread = threading.Thread(target=fail)
            thread.start()
            thread.join()
        else:
            fail()

    with open_with_callback(tmp_path / "store", callback, compiler=BrokenCompiler()) as tract:
        getattr(tract, name)(messages(3))
        assert called == ["callback", "callback", "compile", "callback"]
        assert len(tract.log(None)) == 3
    with Tract.open(tmp_path / "store") as tract:
        assert_all_copies_show(tract, tmp_path, ["imported 0", "imported 1", "imported 2"])
