"""Servers: what a request costs on a kept handle and on one of its own, plain and in asyncio."""

from collections.abc import Iterator
from functools import partial

from benchmarks.harness import Found, Numbers, interleave, row, run, values
from benchmarks.stores import Sizes
from benchmarks.subject_server import TASKS, WORKS


def servers(sizes: Sizes) -> Iterator[Found]:
    """A commit and a compile per request, on one kept handle and on one opened for each, plain and in asyncio."""

    def measure(work: str, number: int) -> Numbers:
        path = sizes.path("served", work, number)
        run("subject", "build", path, sizes.store_commits, sizes.batch)
        return run("subject_server", work, path, sizes.turns)

    found = interleave(sizes.rounds, {work: partial(measure, work) for work in WORKS})
    kept, title = values(found["kept"], "us"), f"a request, store of {sizes.store_commits:,}"
    yield row(f"{title}, kept handle", "us", kept)
    yield row(f"{title}, handle of its own", "us", values(found["opened"], "us"), baseline="kept", beside=kept)
    for work, name in (("async_kept", "kept handle"), ("async_opened", "handle of its own")):
        yield row(f"{title}, asyncio, {name}", "us", values(found[work], "us"), baseline="kept", beside=kept)
    tasks = found["async_tasks"]
    yield row(f"{title}, asyncio, {TASKS} tasks", "us", values(tasks, "us"), baseline="kept", beside=kept)
    yield row(f"{title}, asyncio, {TASKS} tasks: median pause of the loop", "us", values(tasks, "pause_us"))
