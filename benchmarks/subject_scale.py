"""The subject at scale: stores of up to a million commits, made as agents make them, and what is measured on them.

`python -m benchmarks.subject_scale WORK …` does one piece and prints one JSON object of numbers.
"""

import inspect
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from typing import Any, TypeAlias

from benchmarks.payloads import config, config_with_probe, real_texts, texts
from benchmarks.subject import QUERIES, said
from tract_fs import Priority, Tract

Numbers: TypeAlias = dict[str, float]
BLOCK = 1000  # commits per batch
EFFECTIVE = 2000  # commits that the context shows at the head, at most
SKIP_EVERY = 100
SUMMARIES = 50


def build(path: str, count: str) -> Numbers:
    """Fills a store with exactly `count` commits, most of them in batches.

    Every hundredth message is skipped. Whenever the context has grown by a fiftieth of the whole, and before the last batch, a summary takes
    the place of its oldest entries, the earlier summary among them, so that 2,000 show after the batch.
    """
    total, shown, number = int(count), list[str](), 0
    inputs = real_texts(total)
    tract = Tract.open(path, durability="fast")
    began = time.perf_counter()
    for start in range(0, total, BLOCK):
        left = min(BLOCK, total - start)
        most = EFFECTIVE if start + left == total else EFFECTIVE + max(BLOCK, total // SUMMARIES)
        skips = planned(number, left)
        if len(shown) + left > most:
            skips = planned(number, left - 1)
            kept = EFFECTIVE - skips.count(False)
            summary = tract.summarize(first=shown[0], last=shown[-kept], content="What was said until here.")
            shown = [summary.commit_hash, *shown[len(shown) - kept + 1 :]]
        with tract.batch():
            shown += append(tract, list(zip(range(number, number + len(skips)), inputs, skips, strict=False)), total)
        number += len(skips)
    ended = time.perf_counter()
    tract.close()
    return {"commits_per_s": total / (ended - began), "effective": len(shown)}


def planned(number: int, left: int) -> list[bool]:
    """Tells of each of the messages, from `number` on, that make `left` commits whether it is skipped, by a commit more."""
    skips = list[bool]()
    while left:
        skips.append(left > 1 and (number + len(skips)) % SKIP_EVERY == SKIP_EVERY // 2)
        left -= 2 if skips[-1] else 1
    return skips


def append(tract: Tract, inputs: list[tuple[int, str, bool]], total: int) -> list[str]:
    """Commits messages, skips some of them, and returns those that show."""
    shown = []
    for number, text, is_skipped in inputs:
        name = tract.commit(said(number, text), generation_config=config_with_probe(number, total)).commit_hash
        if is_skipped:
            tract.annotate(name, Priority.SKIP)
        else:
            shown.append(name)
    return shown


def stream(path: str, count: str) -> Numbers:
    """Imports that many messages by `import_stream`, made on the way, and closes the store; peak memory with it."""
    importer: Any = Tract.open(path, durability="fast")
    messages = ({"role": "user", "content": text} for text in real_texts(int(count)))
    made = time.perf_counter()
    for _ in real_texts(int(count)):
        pass
    began, began_cpu = time.perf_counter(), time.process_time()
    importer.import_stream(messages, generation_config=lambda position, _: config(position))
    importer.close()
    ended, cpu = time.perf_counter(), time.process_time() - began_cpu
    spent = (ended - began) - (began - made)  # less what making the messages costs
    return {"commits_per_s": int(count) / spent, "cpu_us": cpu / int(count) * 1e6, "memory_mb": memory_mb()}


def memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def log(path: str) -> Numbers:
    """Opens the store and tells the last ten commits; imports are done before."""
    before = memory_mb()
    began, began_cpu = time.perf_counter(), time.process_time()
    tract = Tract.open(path)
    found = len(tract.log(10))
    ended, cpu = time.perf_counter(), time.process_time() - began_cpu
    tract.close()
    memory = {"memory_mb": memory_mb(), "more_mb": memory_mb() - before}
    return {"us": (ended - began) * 1e6, "cpu_us": cpu * 1e6, "found": found} | memory


def turns(path: str, count: str) -> Numbers:
    """A warm handle's turns: a commit and a compile; medians, since a checkpoint falls where it falls."""
    inputs = [(said(number, text), config(number)) for number, text in enumerate(real_texts(int(count) + 1, seed=3))]
    commits, compiles, whole = list[float](), list[float](), list[float]()
    with Tract.open(path, durability="fast") as tract:
        tract.commit(inputs[0][0], generation_config=inputs[0][1])
        found = len(tract.compile().messages)
        for content, generation_config in inputs[1:]:
            began = time.perf_counter()
            tract.commit(content, generation_config=generation_config)
            committed = time.perf_counter()
            context = tract.compile()
            _ = len(context.messages), context.token_count
            ended = time.perf_counter()
            commits.append(committed - began)
            compiles.append(ended - committed)
            whole.append(ended - began)
    medians = {"commit_us": commits, "compile_us": compiles, "turn_us": whole}
    found_us = {name: statistics.median(each) * 1e6 for name, each in medians.items()}
    return found_us | {"found": found, "memory_mb": memory_mb()}


def tracts(path: str, count: str, commits: str) -> Numbers:
    """Writes that many tracts of some commits each, one handle and one batch after the other."""
    inputs = [(said(number, text), config(number)) for number, text in enumerate(texts(int(count) * int(commits)))]
    Tract.open(path, durability="fast").close()
    began, began_cpu = time.perf_counter(), time.process_time()
    for number in range(int(count)):
        with Tract.open(path, tract_id=f"t{number}", durability="fast") as tract, tract.batch():
            for content, generation_config in inputs[number * int(commits) : (number + 1) * int(commits)]:
                tract.commit(content, generation_config=generation_config)
    spent, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    return {"tract_us": spent / int(count) * 1e6, "tract_cpu_us": cpu / int(count) * 1e6}


def open_tracts(path: str) -> Numbers:
    """Opens every tract of the store, one after the other, and lists its last ten commits."""
    began, began_cpu = time.perf_counter(), time.process_time()
    names, found, clock = Tract.tracts(path), 0, list[float]()
    for name in names:
        with Tract.open(path, tract_id=name) as tract:
            found += len(tract.log(10))
        clock.append(time.perf_counter())
    cpu = time.process_time() - began_cpu
    spent = {"first_ms": (clock[0] - began) * 1e3, "all_ms": (clock[-1] - began) * 1e3}
    return spent | {"all_cpu_ms": cpu * 1e3, "found": found}


def grow(path: str, count: str) -> Numbers:
    """Adds that many commits, one transaction each."""
    with Tract.open(path, durability="fast") as tract:
        for number, text in enumerate(real_texts(int(count), seed=os.getpid())):
            tract.commit(said(number, text), generation_config=config(number))
    return {}


def has(name: str) -> Numbers:
    return {"found": float(hasattr(Tract, name))}


def pack(path: str) -> Numbers:
    with Tract.open(path) as tract:
        packer: Any = tract
        is_later = "keep_loose" in inspect.signature(Tract.pack).parameters  # an earlier version removes at once
        began = time.perf_counter()
        packer.pack(**({"keep_loose": timedelta(0)} if is_later else {}))
        return {"s": time.perf_counter() - began, "memory_mb": memory_mb()}


def answers(path: str) -> Numbers:
    """Returns a digest of what the store answers: log, context, one query."""
    digest = sha256()
    with Tract.open(path) as tract:
        context = tract.compile()
        for one in (
            tract.log(None),
            context.messages,
            context.generation_configs,
            tract.query_by_config(*QUERIES["five"]),
        ):
            digest.update(repr(one).encode())
    return {"digest": float(int(digest.hexdigest()[:12], 16))}


def sync(path: str, other: str) -> Numbers:
    """Syncs two copies both ways."""
    with Tract.open(path) as tract:
        began = time.perf_counter()
        report = tract.sync(other)
        ended = time.perf_counter()
    moved = (report.received, report.sent)
    return {
        "ms": (ended - began) * 1e3,
        "files": sum(one.files for one in moved),
        "bytes": sum(one.size_bytes for one in moved),
    }


WORKS: dict[str, Callable[..., Numbers]] = {
    work.__name__: work for work in (build, stream, log, turns, tracts, open_tracts, grow, has, pack, answers, sync)
}

if __name__ == "__main__":
    print(json.dumps(WORKS[sys.argv[1]](*sys.argv[2:])))
    sys.stdout.flush()
    os._exit(0)
