"""The requests of a server, each a commit and a compile: on one kept handle and on one opened for it, plain and in asyncio.

`python -m benchmarks.subject_server WORK PATH REQUESTS` prints one JSON object of numbers. A first request, which imports
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
from tract_fs import AsyncTract, Tract

Numbers: TypeAlias = dict[str, float]
TASKS = 50


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


WORKS: dict[str, Callable[..., Numbers]] = {
    work.__name__: work for work in (kept, opened, async_kept, async_opened, async_tasks)
}

if __name__ == "__main__":
    print(json.dumps(WORKS[sys.argv[1]](*sys.argv[2:])))
    sys.stdout.flush()
    os._exit(0)
