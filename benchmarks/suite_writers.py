"""Writers: many processes that commit to one branch for a while: none lost, none starved, one line."""

import time
from collections.abc import Iterator

from benchmarks.harness import LEAD_S, Found, Numbers, finish, row, run, start, start_module, values
from benchmarks.stores import Sizes, expect


def writers(sizes: Sizes) -> Iterator[Found]:
    """Every acknowledged commit is in the one line of history; the longest single wait of any writer is told."""

    def at_once(durability: str, number: int) -> Numbers:
        path = sizes.path("writers", durability, number)
        finish(start("-c", "import sys, tract_fs; tract_fs.Tract.open(sys.argv[1]).close()", path))
        at = time.time() + LEAD_S + 0.2 * sizes.writers  # so many imports take that long
        call = ("subject", "contend", path, durability, sizes.writer_seconds)
        started = [start_module(*call, seed, at) for seed in range(sizes.writers)]
        found = [finish(process) for process in started]
        total = sum(one["commits"] for one in found)
        expect(f"one line of {sizes.writers} writers, {durability}", run("subject", "line", path)["found"], total)
        return {
            "rate": total / sizes.writer_seconds,
            "worst_ms": max(one["worst_us"] for one in found) / 1e3,
            "median_ms": sorted(one["median_us"] for one in found)[len(found) // 2] / 1e3,
            "share": min(one["commits"] for one in found) / (total / len(found)),
        }

    for durability in ("durable", "fast"):
        found = [at_once(durability, 0)]
        title = f"{sizes.writers} writers for {sizes.writer_seconds:g} s, {durability}"
        yield row(f"{title}, none lost, one line", "commits/s", values(found, "rate"))
        yield row(f"{title}: worst wait of one commit", "ms", values(found, "worst_ms"))
        yield row(f"{title}: median wait", "ms", values(found, "median_ms"))
        yield row(f"{title}: commits of the slowest, of the mean", "x", values(found, "share"))
