"""The subject: each piece of work on tract_fs that is measured, one process each; by the public calls alone, so that it runs on earlier trees too.

`python -m benchmarks.subject WORK …` does one piece and prints one JSON object of numbers. Texts and configs are made,
and the package is imported, before a clock starts.
"""

import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from itertools import cycle, pairwise
from typing import Literal, TypeAlias, cast

from benchmarks.payloads import ROLES, config, config_with_probe, texts
from tract_fs import DialogueContent, Priority, Tract

Numbers: TypeAlias = dict[str, float]
Durability: TypeAlias = Literal["durable", "fast"]
WARM_UP = 100  # commits before the first tenth: lazy imports, the first directories
TOUCH_EVERY = 50  # turns of the agent loop between two edits and annotations
QUERIES: dict[str, tuple[str, str, str | float]] = {
    "one": ("probe", "=", "the-only-one"),
    "five": ("model", "=", "model-07"),
    "thirty": ("temperature", ">=", 0.7),
}


class CountingCounter:
    """A token counter that remembers how many characters it was shown."""

    name = "counting"

    def __init__(self) -> None:
        self.shown_chars = 0

    def count_text(self, text: str) -> int:
        self.shown_chars += len(text)
        return len(text) // 4


def said(number: int, text: str) -> DialogueContent:
    return DialogueContent(role=ROLES[number % 2], text=text)


def tenths(seconds: list[float]) -> Numbers:
    """Returns the mean and median microseconds of the first, second and last tenth of `seconds`."""
    width = max(1, len(seconds) // 10)
    parts = {"first": seconds[:width], "second": seconds[width : 2 * width], "last": seconds[-width:]}
    means = {f"{name}_us": statistics.fmean(part) * 1e6 for name, part in parts.items()}
    return means | {f"{name}_median_us": statistics.median(part) * 1e6 for name, part in parts.items()}


def commit(path: str, durability: str, count: str, seed: str = "1", starts_at: str = "0") -> Numbers:
    """Commits one text after the other; the cost per commit includes checkpoints and the close.

    With a moment to start at, commits one more text before it.
    """
    inputs = [(said(number, text), config(number)) for number, text in enumerate(texts(int(count), seed=int(seed)))]
    tract = Tract.open(path, durability=cast(Durability, durability))
    if float(starts_at):
        tract.commit(said(0, f"ready {seed}"))  # who starts with others has imported what a first commit needs
    time.sleep(max(0.0, float(starts_at) - time.time()))
    times = [time.perf_counter()]
    for content, generation_config in inputs:
        tract.commit(content, generation_config=generation_config)
        times.append(time.perf_counter())
    tract.close()
    closed = time.perf_counter()
    each = [b - a for a, b in pairwise(times)]
    return tenths(each[WARM_UP:] or each) | {
        "commit_us": (closed - times[0]) / len(each) * 1e6,
        "begin_us": each[0] * 1e6,
        "stall_us": max(each[1:]) * 1e6,
        "close_us": (closed - times[-1]) * 1e6,
        "began_s": times[0],
        "ended_s": times[-1],
    }


def loop(path: str, turns: str) -> Numbers:
    """An agent's turns: a commit, now and then an edit and an annotation of any earlier message, and a compile."""
    counter, choice, hashes, written_chars = CountingCounter(), random.Random(7), list[str](), 0
    inputs = texts(int(turns))
    changes = texts(int(turns), seed=2)
    tract = Tract.open(path, durability="fast", tokenizer=counter)
    times = [time.perf_counter()]
    for number, text in enumerate(inputs):
        info = tract.commit(said(number, text), generation_config=config(number))
        hashes.append(info.commit_hash)
        written_chars += len(ROLES[number % 2]) + len(text)
        if number % TOUCH_EVERY == TOUCH_EVERY - 1:
            tract.edit(choice.choice(hashes), said(number, changes[number]), generation_config=config(number))
            tract.annotate(choice.choice(hashes), choice.choice(list(Priority)))
            written_chars += len(ROLES[number % 2]) + len(changes[number])
        context = tract.compile()
        _ = len(context.messages), context.token_count
        times.append(time.perf_counter())
    tract.close()
    each = [b - a for a, b in pairwise(times)][1:]  # the first turn imports what a first commit needs
    whole = {"turn_us": statistics.fmean(each) * 1e6, "stall_us": max(each) * 1e6}
    return tenths(each) | whole | {"shown_ratio": counter.shown_chars / written_chars}


def build(path: str, count: str, batch: str) -> Numbers:
    """Fills a store: one transaction per commit (batch 0), or batches of that many."""
    step, inputs = int(batch), texts(int(count))
    tract = Tract.open(path, durability="fast")
    began = time.perf_counter()
    for start in range(0, len(inputs), step or 1):
        numbers = range(start, min(len(inputs), start + (step or 1)))
        pairs = [(said(number, inputs[number]), config_with_probe(number, len(inputs))) for number in numbers]
        if not step:
            tract.commit(pairs[0][0], generation_config=pairs[0][1])
            continue
        with tract.batch():
            for content, generation_config in pairs:
                tract.commit(content, generation_config=generation_config)
    ended = time.perf_counter()
    tract.close()
    return {"commit_us": (ended - began) / len(inputs) * 1e6}


def cold(path: str) -> Numbers:
    """Opens the store and compiles, in a process that knows nothing yet."""
    began, began_cpu = time.perf_counter(), time.process_time()
    tract = Tract.open(path)
    context = tract.compile()
    found = len(context.messages)
    ended, cpu = time.perf_counter(), time.process_time() - began_cpu
    tract.close()
    return {"us": (ended - began) * 1e6, "cpu_us": cpu * 1e6, "found": found}


def warm(path: str, times: str) -> Numbers:
    """Compiles the same head again and again; nobody looks at the configs."""
    with Tract.open(path) as tract:
        tract.compile()
        calls, looks = list[float](), list[float]()
        for _ in range(int(times)):
            began = time.perf_counter()
            context = tract.compile()
            calls.append(time.perf_counter() - began)
            _ = len(context.messages), len(context.commit_hashes), context.token_count
            looks.append(time.perf_counter() - began)
        found = len(context.messages)
    return {"us": statistics.median(looks) * 1e6, "call_us": statistics.median(calls) * 1e6, "found": found}


def query(path: str, which: str, times: str, looks_at: str = "configs") -> Numbers:
    """Opens the store and asks, then asks again on the same handle; of each answer the configs or hashes are looked at."""
    field, operator, value = QUERIES[which]
    clock = [time.perf_counter()]
    tract = Tract.open(path)
    for _ in range(int(times)):
        hits = tract.query_by_config(field, operator, value)
        _ = [info.generation_config if looks_at == "configs" else info.commit_hash for info in hits]
        clock.append(time.perf_counter())
    tract.close()
    each = [(b - a) * 1e6 for a, b in pairwise(clock)]
    return {"fresh_us": each[0], "warm_us": statistics.median(each[1:] or each), "hits": len(hits)}


def search(path: str, phrases: str, times: str) -> Numbers:
    """Searches where the index file is gone, then for each of some phrases (JSON) on the same handle, and on a fresh one."""
    wanted, found = json.loads(phrases), dict[str, float]()
    with Tract.open(path) as tract:
        began = time.process_time()
        tract.search(wanted[0])
        filled = time.process_time() - began
        for number, phrase in enumerate(wanted):
            warm = list[float]()
            for _ in range(int(times)):
                began = time.process_time()
                hits = tract.search(phrase)
                warm.append(time.process_time() - began)
            found |= {f"warm_us_{number}": statistics.median(warm) * 1e6, f"hits_{number}": len(hits)}
        commits = len(tract.log(None))
    began = time.process_time()
    with Tract.open(path) as tract:
        tract.search(wanted[0])
        fresh = time.process_time() - began
    size = sum(len(text.encode()) for text in texts(commits))
    return found | {"commits_per_s": commits / filled, "fresh_us": fresh * 1e6, "text_bytes": size}


def rebuild(path: str, count: str) -> Numbers:
    """Asks for one hit where the index file is gone: commits indexed per second, the open not counted."""
    tract = Tract.open(path)
    began = time.perf_counter()
    hits = tract.query_by_config(*QUERIES["one"])
    ended = time.perf_counter()
    tract.close()
    return {"commits_per_s": int(count) / (ended - began), "hits": len(hits)}


def contend(path: str, durability: str, seconds: str, seed: str, starts_at: str) -> Numbers:
    """Commits without a pause for `seconds`, as one of many writers; the first commit of each comes before the clock."""
    said_texts = cycle(texts(1000, seed=int(seed)))
    waits = list[float]()
    with Tract.open(path, durability=cast(Durability, durability), lock_timeout_s=120.0) as tract:
        tract.commit(said(0, f"ready {seed}"))
        time.sleep(max(0.0, float(starts_at) - time.time()))
        ends = time.perf_counter() + float(seconds)
        while (began := time.perf_counter()) < ends:
            tract.commit(said(len(waits), next(said_texts)), generation_config=config(len(waits)))
            waits.append(time.perf_counter() - began)
    longest, middle = max(waits, default=float(seconds)), statistics.median(waits or [float(seconds)])
    return {"commits": len(waits) + 1, "worst_us": longest * 1e6, "median_us": middle * 1e6}


def line(path: str) -> Numbers:
    """Counts the commits of the one line that the branch is."""
    with Tract.open(path, read_only=True) as tract:
        return {"found": len(tract.log(None))}


WORKS: dict[str, Callable[..., Numbers]] = {
    work.__name__: work for work in (commit, loop, build, cold, warm, query, search, rebuild, contend, line)
}

if __name__ == "__main__":
    print(json.dumps(WORKS[sys.argv[1]](*sys.argv[2:])))
    sys.stdout.flush()
    os._exit(0)  # the work is done and closed: tearing a large heap down is no part of any measure
