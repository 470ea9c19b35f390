"""Servers: what a request costs on a kept handle and on one of its own, plain and in asyncio; what many tracts cost."""

import time
from collections.abc import Iterator
from functools import partial

from benchmarks.harness import Found, Numbers, interleave, row, run, values
from benchmarks.stores import Sizes
from benchmarks.subject_server import SESSION_MESSAGES, TASKS, WORKS

IMPORTED = 100


def servers(sizes: Sizes) -> Iterator[Found]:
    """A commit and a compile per request, on one kept handle, on one of an open store and on one opened for each, plain and in asyncio; many tracts."""

    def measure(work: str, number: int) -> Numbers:
        path = sizes.path("served", work, number)
        run("subject", "build", path, sizes.store_commits, sizes.batch)
        return run("subject_server", work, path, sizes.turns)

    found = interleave(sizes.rounds, {work: partial(measure, work) for work in WORKS})
    kept, title = values(found["kept"], "us"), f"a request, store of {sizes.store_commits:,}"
    yield row(f"{title}, kept handle", "us", kept)
    for work, name in (
        ("of_store", "handle of a Store"),
        ("opened", "handle of its own"),
        ("async_kept", "asyncio, kept handle"),
        ("async_of_store", "asyncio, handle of a Store"),
        ("async_opened", "asyncio, handle of its own"),
    ):
        yield row(f"{title}, {name}", "us", values(found[work], "us"), baseline="kept", beside=kept)
    yield row(f"{title}, handle of another branch, compile alone", "us", values(found["on_branch"], "us"))
    tasks = found["async_tasks"]
    yield row(f"{title}, asyncio, {TASKS} tasks", "us", values(tasks, "us"), baseline="kept", beside=kept)
    yield row(f"{title}, asyncio, {TASKS} tasks: median pause of the loop", "us", values(tasks, "pause_us"))
    yield from _many_tracts(sizes)
    yield from _many_files(sizes)


def _many_tracts(sizes: Sizes) -> Iterator[Found]:
    """Many tracts in one store: their first commits, their open handles, and the first list of a process."""
    path, settled_s = sizes.path("tracts", "store"), 2.1
    count = sizes.tracts
    filled = [run("subject_server", "tracts", path, count)]
    old = values(filled, "old_us")
    yield row("open and first commit, new tract", "us", values(filled, "new_us"), baseline="old", beside=old)
    yield row(f"memory of {count:,} open tracts", "MB", values(filled, "memory_mb"))
    yield row(f"descriptors of {count:,} open tracts", "", values(filled, "files"))
    time.sleep(settled_s)  # what changed later than that is read again
    run("subject_server", "listed", path, count)
    lists = [run("subject_server", "listed", path, count) for _ in range(sizes.rounds)]
    yield row(f"first list of {count:,} tracts", "us", values(lists, "first_us"))
    yield row(f"next list of {count:,} tracts", "us", values(lists, "again_us"))


def _many_files(sizes: Sizes) -> Iterator[Found]:
    """An import of files of sessions, each into a tract of its own, and of the same files again."""
    found = [
        run("subject_server", "imported", sizes.path("imported", number), IMPORTED) for number in range(sizes.rounds)
    ]
    title, first = f"import of {IMPORTED} sessions of {SESSION_MESSAGES} messages", values(found, "us")
    yield row(f"{title}, a message", "us", first)
    yield row(f"{title}, again", "us", values(found, "again_us"), baseline="first", beside=first)
    yield row(f"{title}: memory", "MB", values(found, "memory_mb"))
