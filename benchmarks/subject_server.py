"""The requests of a server, each a commit and a compile: on one kept handle, on one of an open store, and on one opened for
it, plain and in asyncio; handles on another branch; many tracts, listed, opened and written.

`python -m benchmarks.subject_server WORK PATH COUNT` prints one JSON object of numbers. A first request, which imports
what it needs, comes before the clock.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import TypeAlias

from benchmarks.payloads import texts
from benchmarks.subject import said
from tract_fs import AsyncTract, Store, Tract

Numbers: TypeAlias = dict[str, float]
TASKS = 50
SESSION_MESSAGES = 100


def numbers(times: list[float]) -> Numbers:
    return {"us": statistics.median(b - a for a, b in pairwise(times[1:])) * 1e6}


def serve(t: Tract, number: int, text: str) -> None:
    t.commit(said(number, text))
    _ = t.compile().token_count


async def serve_async(t: AsyncTract, number: int, text: str) -> None:
    await t.commit(said(number, text))
    _ = (await t.compile()).token_count


def kept(path: str, requests: str) -> Numbers:
    """Serves all requests on one handle."""
    with Tract.open(path, durability="fast") as t:
        times = [time.perf_counter()]
        for number, text in enumerate(texts(int(requests) + 1)):
            serve(t, number, text)
            times.append(time.perf_counter())
    return numbers(times)


def opened(path: str, requests: str) -> Numbers:
    """Serves each request on a handle of its own."""
    times = [time.perf_counter()]
    for number, text in enumerate(texts(int(requests) + 1)):
        with Tract.open(path, durability="fast") as t:
            serve(t, number, text)
        times.append(time.perf_counter())
    return numbers(times)


def of_store(path: str, requests: str) -> Numbers:
    """Serves each request on a handle of its own, of one store that is open."""
    with Store.open(path, durability="fast") as store:
        times = [time.perf_counter()]
        for number, text in enumerate(texts(int(requests) + 1)):
            with store.tract("default") as t:
                serve(t, number, text)
            times.append(time.perf_counter())
    return numbers(times)


def on_branch(path: str, requests: str) -> Numbers:
    """Compiles on a handle of another branch, opened for each request beside one that is kept."""
    with Tract.open(path, durability="fast") as t:
        serve(t, 0, "first")
        t.branch("side")
        times = [time.perf_counter()]
        for _ in range(int(requests) + 1):
            with t.on("side") as side:
                _ = side.compile().token_count
            times.append(time.perf_counter())
    return numbers(times)


def async_kept(path: str, requests: str) -> Numbers:
    """Serves all requests on one handle, each after the other."""

    async def main() -> list[float]:
        async with await AsyncTract.open(path, durability="fast") as t:
            times = [time.perf_counter()]
            for number, text in enumerate(texts(int(requests) + 1)):
                await serve_async(t, number, text)
                times.append(time.perf_counter())
        return times

    return numbers(asyncio.run(main()))


def async_opened(path: str, requests: str) -> Numbers:
    """Serves each request on a handle of its own."""

    async def main() -> list[float]:
        times = [time.perf_counter()]
        for number, text in enumerate(texts(int(requests) + 1)):
            async with await AsyncTract.open(path, durability="fast") as t:
                await serve_async(t, number, text)
            times.append(time.perf_counter())
        return times

    return numbers(asyncio.run(main()))


def async_of_store(path: str, requests: str) -> Numbers:
    """Serves each request on a handle of its own, of one store that is open."""

    async def main() -> list[float]:
        with Store.open(path, durability="fast") as store:
            times = [time.perf_counter()]
            for number, text in enumerate(texts(int(requests) + 1)):
                async with await store.async_tract("default") as t:
                    await serve_async(t, number, text)
                times.append(time.perf_counter())
        return times

    return numbers(asyncio.run(main()))


def async_tasks(path: str, requests: str) -> Numbers:
    """Serves the requests of many tasks on one handle: the time per request, and the longest pause of the event loop."""

    async def main() -> Numbers:
        said_texts = iter(enumerate(texts(int(requests))))
        pauses = list[float]()

        async def client() -> None:
            for number, text in said_texts:
                await serve_async(t, number, text)

        async def tick() -> None:
            while True:
                began = time.perf_counter()
                await asyncio.sleep(0.001)
                pauses.append(time.perf_counter() - began - 0.001)

        async with await AsyncTract.open(path, durability="fast") as t:
            await serve_async(t, 0, "first")
            ticking = asyncio.create_task(tick())
            began = time.perf_counter()
            await asyncio.gather(*(client() for _ in range(TASKS)))
            spent = time.perf_counter() - began
            ticking.cancel()
        return {"us": spent / int(requests) * 1e6, "pause_us": statistics.median(pauses) * 1e6}

    return asyncio.run(main())


def tracts(path: str, count: str) -> Numbers:
    """Fills a store with tracts of two commits each: what the first put in a new one costs beside one in an old one; open
    handles of all, with their memory and descriptors.
    """
    memory, files = resident_mb(), open_files()
    new, old = list[float](), list[float]()
    handles = list[Tract]()
    with Store.open(path, durability="fast") as store:
        for number, text in enumerate(texts(int(count))):
            times = [time.perf_counter()]
            t = store.tract(f"t{number}")
            t.commit(said(number, text))
            times.append(time.perf_counter())
            with store.tract("default") as other:
                other.commit(said(number, text))
            times.append(time.perf_counter())
            new.append(times[1] - times[0])
            old.append(times[2] - times[1])
            t.commit(said(number, text))
            handles.append(t)
        found = {"memory_mb": resident_mb() - memory, "files": float(open_files() - files)}
        store.tracts()
    return {"new_us": statistics.median(new) * 1e6, "old_us": statistics.median(old) * 1e6, **found}


def listed(path: str, count: str) -> Numbers:
    """Lists the tracts of a store for the first time, with the caches of an earlier list, and then once more."""
    with Store.open(path) as store:
        times = [time.perf_counter()]
        for _ in range(2):
            assert len(store.tracts()) >= int(count)
            times.append(time.perf_counter())
    first, again = (b - a for a, b in pairwise(times))
    return {"first_us": first * 1e6, "again_us": again * 1e6}


def imported(path: str, count: str) -> Numbers:
    """Imports files of sessions, each of 100 messages, and then the same files again."""
    os.makedirs(path)
    names = [os.path.join(path, f"s{number}.jsonl") for number in range(int(count))]
    for name, words in zip(names, texts(len(names)), strict=True):
        with open(name, "w", encoding="utf-8") as file:
            for number in range(SESSION_MESSAGES):
                role = "user" if number % 2 == 0 else "assistant"
                file.write(json.dumps({"role": role, "content": f"{number} of {name}: {words[:300]}"}) + "\n")
    memory, messages = resident_mb(), len(names) * SESSION_MESSAGES
    times = [time.perf_counter()]
    for added in (messages, 0):
        with Store.open(os.path.join(path, "store"), durability="fast") as store:
            found = store.import_transcripts(names, format="jsonl")
            assert sum(report.added for _, report in found) == added
        times.append(time.perf_counter())
    first, again = (b - a for a, b in pairwise(times))
    used = resident_mb() - memory
    return {"us": first / messages * 1e6, "again_us": again / messages * 1e6, "memory_mb": used}


def resident_mb() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


WORKS: dict[str, Callable[..., Numbers]] = {
    work.__name__: work
    for work in (kept, of_store, on_branch, opened, async_kept, async_of_store, async_opened, async_tasks)
}

if __name__ == "__main__":
    print(json.dumps({**WORKS, "tracts": tracts, "listed": listed, "imported": imported}[sys.argv[1]](*sys.argv[2:])))
    sys.stdout.flush()
    os._exit(0)
