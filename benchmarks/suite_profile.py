"""Profiles: where the time of a commit and of a compile goes, under cProfile, each in a process of its own.

A profiler makes calls of Python dearer than they are and system calls hardly; the shares point, they do not measure.
"""

import json
from collections.abc import Iterator

from benchmarks.harness import Found, Profile, finish, run, start_module
from benchmarks.stores import Sizes, built, remove_local

PROFILED = 1_000  # commits, or turns


def profiled(sizes: Sizes, work: str, path: str) -> Profile:
    file = sizes.path("profile", work)
    finish(start_module("profiling", work, path, PROFILED, file))
    with open(file) as kept:
        found = json.load(kept)
    return Profile(
        name=found["name"],
        total_us=found["total_us"],
        shares=tuple((one[0], one[1], one[2]) for one in found["shares"]),
    )


def profiles(sizes: Sizes) -> Iterator[Found]:
    """Commit at both levels, a turn of commit and compile, and a compile of a store from nothing and from its snapshot."""
    for work in ("commit-fast", "commit-durable", "turn"):
        yield profiled(sizes, work, sizes.path("profiled", work))
    packed = built(sizes, "batch", sizes.store_commits, sizes.batch)
    remove_local(packed)
    yield profiled(sizes, "cold", packed)
    run("subject", "cold", packed)
    yield profiled(sizes, "snapshot", packed)
