"""AsyncTract: calls run to their outcome, a batch takes nothing of other tasks with it, and the event loop goes on."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.talk import user
from tract_fs import AsyncTract, CompiledContext, Message, Store, Tract
from tract_fs.errors import BatchOpen, ClosedError, CommitNotFoundError, ContentValidationError, TractNotFound


class Gate:
    """A tokenizer that stops at the text "slow" until it is opened: it holds a commit under way."""

    name = "gate"

    def __init__(self) -> None:
        self.is_reached = threading.Event()
        self.opened = threading.Event()

    def count_text(self, text: str) -> int:
        if text == "slow":
            self.is_reached.set()
            assert self.opened.wait(120)
        return 1


def run(path: Path, work: Callable[[AsyncTract], Awaitable[None]], **options: Any) -> list[Any]:
    """Runs a coroutine with an open handle; returns the texts that are in the store then."""

    async def main() -> None:
        async with await AsyncTract.open(path, durability="fast", **options) as t:
            await asyncio.wait_for(work(t), 200)

    asyncio.run(main())
    with Tract.open(path, read_only=True) as t:
        return [message.content for message in t.compile().messages]


async def texts(t: Any) -> list[Any]:
    return [message.content for message in (await t.compile()).messages]


async def reached(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.is_reached.wait, 120)


async def is_waiting(task: asyncio.Task[Any]) -> bool:
    await asyncio.wait([task], timeout=0.05)
    return not task.done()


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    yield
    ends_at = time.monotonic() + 120
    while [thread for thread in threading.enumerate() if thread.name.startswith("tract_fs")]:
        assert time.monotonic() < ends_at
        gc.collect()
        time.sleep(0.001)


def test_the_calls_are_those_of_a_tract(path: Path) -> None:
    async def work(t: AsyncTract) -> None:
        assert (t.tract_id, t.branch, await t.head, t.config.token_budget) == ("default", "main", None, None)
        one = await t.commit(user("one"), generation_config={"model": "m"})
        assert await t.head == one.commit_hash
        await t.edit(one.commit_hash, "two")
        assert (await t.query_by_config("model", "=", "m"))[0].commit_hash == one.commit_hash
        assert await t.branch("side") == await t.head
        await t.switch("side")
        assert t.branch == "side"
        await t.commit(user("there"))
        await t.switch("main")
        with pytest.raises(ContentValidationError):
            await t.commit({"content_type": "dialogue", "role": "x", "text": ""})
        with pytest.raises(CommitNotFoundError):
            await t.resolve("0000")
        async with await t.at(one.commit_hash) as then, await t.fork("other") as other, await t.on("side") as side:
            assert (await texts(then), await texts(other), other.tract_id) == (["one"], ["two"], "other")
            assert await texts(side) == ["two", "there"]
        assert await AsyncTract.tracts(path) == ["default", "other"]

    assert run(path, work) == ["two"]


def test_a_closed_handle_says_so_and_can_be_closed_again(path: Path) -> None:
    async def work(t: AsyncTract) -> None:
        await t.close()
        for call in (t.compile, t.status, t.refresh):
            with pytest.raises(ClosedError):
                await call()
        await t.close()

    run(path, work)


def test_the_event_loop_goes_on_while_a_commit_waits_for_the_lock(path: Path) -> None:
    async def work(t: AsyncTract) -> None:
        with Tract.open(path, durability="fast") as other, other.batch():
            other.commit(user("first"))
            waiting = asyncio.create_task(t.commit(user("second")))
            for _ in range(20):
                await asyncio.sleep(0.002)
            assert not waiting.done()
        await waiting

    assert run(path, work) == ["first", "second"]


def test_a_commit_that_has_begun_runs_to_its_outcome_before_its_task_is_cancelled(path: Path) -> None:
    gate = Gate()

    async def work(t: AsyncTract) -> None:
        task = asyncio.create_task(t.commit(user("slow")))
        await reached(gate)
        for _ in range(3):
            task.cancel()
            assert await is_waiting(task)
        gate.opened.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await texts(t) == ["slow"]

    assert run(path, work, tokenizer=gate) == ["slow"]


def test_a_time_limit_ends_after_the_outcome(path: Path) -> None:
    gate = Gate()

    async def work(t: AsyncTract) -> None:
        async def end_the_time(limit: asyncio.Timeout) -> None:
            await reached(gate)
            limit.reschedule(asyncio.get_running_loop().time())
            await asyncio.sleep(0.05)
            gate.opened.set()

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as limit:
                ending = asyncio.create_task(end_the_time(limit))
                await t.commit(user("slow"))
        assert gate.opened.is_set()
        await ending
        assert len(await t.log()) == 1

    assert run(path, work, tokenizer=gate) == ["slow"]


def test_a_commit_that_waits_for_its_turn_is_withdrawn_by_a_cancellation(path: Path) -> None:
    gate = Gate()

    async def work(t: AsyncTract) -> None:
        first = asyncio.create_task(t.commit(user("slow")))
        await reached(gate)
        second = asyncio.create_task(t.commit(user("withdrawn")))
        third = asyncio.create_task(t.commit(user("third")))
        assert await is_waiting(second)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        gate.opened.set()
        await asyncio.gather(first, third)

    assert run(path, work, tokenizer=gate) == ["slow", "third"]


def test_an_error_of_a_cancelled_commit_makes_no_noise(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()

    async def work(t: AsyncTract) -> None:
        await t.commit(user("one"))
        head = await t.head
        task = asyncio.create_task(t.commit(user("slow"), expected_head=None))
        await reached(gate)
        task.cancel()
        gate.opened.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await t.head == head

    assert run(path, work, tokenizer=gate) == ["one"]
    gc.collect()
    assert caplog.records == []


def test_a_cancelled_read_ends_at_once(path: Path) -> None:
    gate = Gate()

    async def work(t: AsyncTract) -> None:
        writing = asyncio.create_task(t.commit(user("slow")))
        await reached(gate)
        reading = asyncio.create_task(t.compile())
        assert await is_waiting(reading)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        gate.opened.set()
        await writing

    assert run(path, work, tokenizer=gate) == ["slow"]


def test_the_outcome_of_a_cancelled_commit_can_be_had(path: Path) -> None:
    """As the guide on servers shows."""
    gate = Gate()
    told = []

    async def work(t: AsyncTract) -> None:
        async def say() -> None:
            commit = asyncio.ensure_future(t.commit(user("slow")))
            try:
                await asyncio.shield(commit)
            except asyncio.CancelledError:
                told.append((await commit).commit_hash)
                raise

        task = asyncio.create_task(say())
        await reached(gate)
        task.cancel()
        assert await is_waiting(task)
        gate.opened.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert told == [await t.head]

    run(path, work, tokenizer=gate)


def test_the_results_of_a_query_read_nothing_in_the_event_loop(path: Path) -> None:
    gate = Gate()

    async def work(t: AsyncTract) -> None:
        made = await t.commit(user("one"), generation_config={"model": "m"})
        (found,) = await t.query_by_config("model", "=", "m")
        writing = asyncio.create_task(t.commit(user("slow")))
        await reached(gate)
        assert found.created_at == made.created_at  # a read of the store would wait for that commit
        gate.opened.set()
        await writing

    run(path, work, tokenizer=gate)


# batches


def test_a_batch_is_visible_whole_and_only_through_its_object_before(path: Path) -> None:
    async def work(t: AsyncTract) -> None:
        await t.commit(user("before"))
        async with t.batch() as b:
            one = await b.commit(user("one"))
            await b.annotate(one.commit_hash, "pinned")
            await b.tag("here")
            assert await b.head != await t.head
            assert (await texts(b), await texts(t), await asyncio.create_task(texts(t))) == (
                ["before", "one"],
                ["before"],
                ["before"],
            )
            assert await t.tags() == {}
            await asyncio.gather(*(b.commit(user(text)) for text in "xyz"))
        assert await texts(t) == ["before", "one", "x", "y", "z"]

    assert run(path, work) == ["before", "one", "x", "y", "z"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, asyncio.CancelledError])
def test_whatever_is_raised_inside_drops_the_whole_batch(path: Path, error: type[BaseException]) -> None:
    async def work(t: AsyncTract) -> None:
        await t.commit(user("before"))
        with pytest.raises(error):
            async with t.batch() as b:
                await b.commit(user("dropped"))
                raise error
        await t.commit(user("after"))

    assert run(path, work) == ["before", "after"]


def test_a_failed_call_inside_that_is_handled_drops_nothing_else(path: Path) -> None:
    async def work(t: AsyncTract) -> None:
        async with t.batch() as b:
            await b.commit(user("one"))
            with pytest.raises(ContentValidationError):
                await b.commit({"content_type": "dialogue", "role": "x", "text": ""})
            await b.commit(user("two"))

    assert run(path, work) == ["one", "two"]


def test_a_task_that_is_cancelled_inside_drops_its_batch(path: Path) -> None:
    async def work(t: AsyncTract) -> None:
        is_in = asyncio.Event()

        async def fail() -> None:
            async with t.batch() as b:
                await b.commit(user("dropped"))
                is_in.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(fail())
        await is_in.wait()
        kept = asyncio.create_task(t.commit(user("kept")))
        assert await is_waiting(kept)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await kept

    assert run(path, work) == ["kept"]


def test_a_task_that_is_cancelled_while_its_batch_ends_has_its_outcome(path: Path) -> None:
    gate = Gate()

    async def work(t: AsyncTract) -> None:
        is_leaving = asyncio.Event()

        async def write() -> None:
            async with t.batch() as b:
                await b.commit(user("one"))
                slow = asyncio.create_task(b.commit(user("slow")))
                await reached(gate)
                is_leaving.set()
            await slow

        task = asyncio.create_task(write())
        await is_leaving.wait()
        task.cancel()
        assert await is_waiting(task)
        gate.opened.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert run(path, work, tokenizer=gate) == ["one", "slow"]


def test_writes_of_other_tasks_wait_for_the_end_of_a_batch_and_never_join_it(path: Path) -> None:
    async def work(t: AsyncTract) -> None:
        async with await AsyncTract.open(path, durability="fast") as beside:
            with pytest.raises(RuntimeError):
                async with t.batch() as b:
                    await b.commit(user("dropped"))
                    others = [asyncio.create_task(one.commit(user("kept"))) for one in (t, beside)]
                    assert [await is_waiting(other) for other in others] == [True, True]
                    raise RuntimeError
            await asyncio.gather(*others)

    assert run(path, work) == ["kept", "kept"]


def test_a_write_that_waits_too_long_for_a_batch_raises_and_the_batch_goes_on(path: Path) -> None:
    async def work(t: AsyncTract) -> None:
        async def batch() -> None:
            async with t.batch():
                pytest.fail("two batches at once")

        async with t.batch() as b:
            await b.commit(user("one"))
            for call in (t.commit(user("late")), t.fork("other"), batch()):
                with pytest.raises(BatchOpen, match=r"another task had a batch open for 0\.1 s"):
                    await asyncio.create_task(call)
            await b.commit(user("two"))

    assert run(path, work, lock_timeout_s=0.1) == ["one", "two"]


def test_a_write_of_the_task_itself_past_the_object_is_refused_at_once(path: Path) -> None:
    async def work(t: AsyncTract) -> None:
        async with t.batch() as b:
            await b.commit(user("one"))
            for call in (t.commit(user("past")), t.fork("other"), t.pack(), t.close(), t.batch().__aenter__()):
                with pytest.raises(BatchOpen):
                    await call

    assert run(path, work, lock_timeout_s=3600) == ["one"]


def test_another_handle_may_be_opened_read_and_closed_inside_a_batch(path: Path) -> None:
    async def work(t: AsyncTract) -> None:
        async with t.batch() as b:
            await b.commit(user("one"))
            async with await AsyncTract.open(path) as other:
                assert await texts(other) == []

    assert run(path, work) == ["one"]


def test_a_batch_that_is_over_takes_no_more(path: Path) -> None:
    async def work(t: AsyncTract) -> None:
        async with t.batch() as b:
            await b.commit(user("one"))
        with pytest.raises(ClosedError, match="this batch of tract 'default' is over"):
            await b.commit(user("late"))
        with pytest.raises(ClosedError):
            await b.head

    assert run(path, work) == ["one"]


def test_a_batch_of_a_handle_that_is_closed_raises(path: Path) -> None:
    async def work(t: AsyncTract) -> None:
        await t.close()
        with pytest.raises(ClosedError):
            async with t.batch():
                pytest.fail("the handle is closed")

    run(path, work)


def test_a_batch_that_its_event_loop_left_open_is_dropped(path: Path) -> None:
    loop = asyncio.new_event_loop()
    t = loop.run_until_complete(AsyncTract.open(path, durability="fast"))
    batch = t.batch()
    b = loop.run_until_complete(batch.__aenter__())
    loop.run_until_complete(b.commit(user("dropped")))
    loop.close()
    with Tract.open(path, durability="fast", lock_timeout_s=120) as other:
        other.commit(user("kept"))
        assert [message.content for message in other.compile().messages] == ["kept"]


# callbacks


def test_a_summary_may_be_written_by_a_coroutine_while_other_calls_go_on(path: Path) -> None:
    async def work(t: AsyncTract) -> None:
        names = [(await t.commit(user(text))).commit_hash for text in ("one", "two")]

        async def ask(messages: list[Message]) -> str:
            await t.commit(user("meanwhile"))
            return " and ".join(str(message.content) for message in messages)

        await t.summarize(names, ask)
        assert await texts(t) == ["one and two", "meanwhile"]
        async with t.batch() as b:
            last = await b.commit(user("three"))
            await b.summarize([last.commit_hash], ask_inside)

    async def ask_inside(messages: list[Message]) -> str:
        return f"{messages[0].content} inside"

    assert run(path, work) == ["one and two", "meanwhile", "three inside"]


def test_a_cancellation_ends_the_coroutine_that_writes_a_summary(path: Path) -> None:
    async def work(t: AsyncTract) -> None:
        made = await t.commit(user("one"))
        is_asked, ends = asyncio.Event(), []

        async def ask(_: list[Message]) -> str:
            is_asked.set()
            try:
                await asyncio.sleep(60)
            finally:
                ends.append("ended")
            return "never"

        task = asyncio.create_task(t.summarize([made.commit_hash], ask))
        await is_asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ends == ["ended"]

    assert run(path, work) == ["one"]


def test_a_stop_iteration_of_a_callback_ends_the_call(path: Path) -> None:
    async def work(t: AsyncTract) -> None:
        made = await t.commit(user("one"))
        with pytest.raises(RuntimeError, match="StopIteration"):
            await t.summarize([made.commit_hash], lambda _: next(iter(())))

    run(path, work)


# processes


def test_a_handle_goes_on_in_a_forked_child(path: Path) -> None:
    t = asyncio.run(AsyncTract.open(path, durability="fast"))
    asyncio.run(t.commit(user("parent")))
    child = os.fork()
    if not child:
        code = 1
        try:
            asyncio.run(t.commit(user("child")))
            context: CompiledContext = asyncio.run(t.compile())
            code = 0 if len(context.messages) == 2 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert asyncio.run(texts(t)) == ["parent", "child"]
    asyncio.run(t.close())


def test_handles_of_one_store_share_two_threads(path: Path) -> None:
    async def work(t: AsyncTract) -> None:
        opened = [await AsyncTract.open(path, tract_id=f"t{n}", durability="fast") for n in range(20)]
        await asyncio.gather(*(one.commit(user("hi")) for one in opened))
        await asyncio.gather(*(one.compile() for one in opened))
        names = [thread.name for thread in threading.enumerate() if thread.name.startswith("tract_fs")]
        assert sorted(names) == ["tract_fs reads", "tract_fs writes"]
        for one in opened:
            await one.close()

    run(path, work)


def test_a_store_gives_handles_for_asyncio_that_go_on_one_after_the_other(path: Path) -> None:
    async def main(store: Store) -> None:
        for number in range(3):
            async with await store.async_tract("a") as t:
                await t.commit(user(f"{number}"))
                assert await texts(t) == [f"{n}" for n in range(number + 1)]
        with pytest.raises(ClosedError):
            await t.compile()
        async with await store.async_tract(name="Any name") as named, await store.async_tract("a") as again:
            assert (await named.title, await texts(again)) == ("Any name", ["0", "1", "2"])
        with pytest.raises(TractNotFound):
            await store.async_tract("b", create=False)

    with Store.open(path, durability="fast") as store:
        asyncio.run(main(store))
        assert [info.tract_id for info in store.tracts()] == ["a", "any-name-bea6b754a2761392"]
