"""The suite: what is measured beside what, and the targets."""

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

from benchmarks.harness import (
    BenchmarkFailedError,
    Found,
    Numbers,
    Row,
    interleave,
    output,
    row,
    run,
    start,
    together,
    values,
)
from benchmarks.stores import THIS, Sizes, batch_store, built, disk_use, expect, loose_store, remove_local
from benchmarks.suite_against import against
from benchmarks.suite_pack import packing, syncing
from benchmarks.suite_peers import peers
from benchmarks.suite_profile import profiles
from benchmarks.suite_scale import scale, streaming
from benchmarks.suite_server import servers
from benchmarks.suite_trees import after_pack, command, first_open, many_tracts
from benchmarks.suite_writers import writers
from benchmarks.trees import Measure, by_tree, compared

# What is searched for: the name in the table, and the phrase, in texts of some 690 bytes on average.
SEARCHED = {
    "nowhere": "zanzibar",
    "once": "77 ",
    "one word, in most texts": "cancel",
    "two words, in some": "error when",
    "three words, nowhere": "order user zanzibar",
    "two characters, in most texts": "東京",
    "two letters, in most texts": "to",
}
QUERY_NAMES = {"one": "1 hit", "five": "5 %", "thirty": "30 %"}


def commit(sizes: Sizes) -> Iterator[Row]:
    """The cost of a commit beside the same files written bare, and how flat it stays."""
    count = sizes.commits

    def raw(mode: str) -> Callable[[int], Numbers]:
        return lambda number: run("baseline_raw", sizes.path("raw", mode, number), mode, count, 1, 0)

    def tract(mode: str) -> Callable[[int], Numbers]:
        return lambda number: run("subject", "commit", sizes.path("commit", mode, number), mode, count)

    found = interleave(
        sizes.rounds,
        {
            "fast": tract("fast"),
            "raw fast": raw("fast"),
            "durable": tract("durable"),
            "raw durable": raw("durable"),
            "append": lambda number: run("baseline_append", sizes.path("append", number), count),
        },
    )
    fast, durable, raw_fast = (values(found[name], "commit_us") for name in ("fast", "durable", "raw fast"))
    append = values(found["append"], "commit_us")
    allowed = tuple(a + 1.5 * b for a, b in zip(fast, append, strict=True))
    yield row(f"commit fast, {count:,}", "us", fast, baseline="raw files", beside=raw_fast, at_most=2.0)
    allowance = "fast + 1.5 raw append"
    yield row(f"commit durable, {count:,}, with close", "us", durable, baseline=allowance, beside=allowed, at_most=1.0)
    beside = values(found["raw durable"], "commit_us")
    yield row("commit durable", "us", durable, baseline="raw files + append", beside=beside)
    yield row("raw append with fdatasync", "us", append)
    for mode, rounds in (("fast", found["fast"]), ("durable", found["durable"])):
        yield row(f"commit {mode}, the first one, with lazy imports", "us", values(rounds, "begin_us"))
        yield row(f"commit {mode}, longest stall after it", "us", values(rounds, "stall_us"))
        yield row(f"commit {mode}, the close", "us", values(rounds, "close_us"))
    for mode, rounds in (("fast", found["fast"]), ("durable", found["durable"])):
        name, late, early = f"commit {mode}, last tenth", values(rounds, "last_us"), values(rounds, "first_us")
        yield row(name, "us", late, baseline="first tenth after 100", beside=early, at_most=1.2)
        late, early = values(rounds, "last_median_us"), values(rounds, "first_median_us")
        yield row(f"{name}, median commit", "us", late, baseline="first tenth after 100", beside=early)


def loop(sizes: Sizes) -> Iterator[Row]:
    """The turns of an agent: the last ones beside the first ones."""
    found = interleave(
        sizes.rounds, {"loop": lambda number: run("subject", "loop", sizes.path("loop", number), sizes.turns)}
    )["loop"]
    last, first = values(found, "last_us"), values(found, "first_us")
    yield row(f"agent loop, {sizes.turns:,} turns", "us", values(found, "turn_us"))
    yield row("agent loop, last tenth", "us", last, baseline="first tenth", beside=first, at_most=1.2)
    yield row("agent loop, last tenth", "us", last, baseline="second tenth", beside=values(found, "second_us"))
    last, first = values(found, "last_median_us"), values(found, "first_median_us")
    yield row("agent loop, last tenth, median turn", "us", last, baseline="first tenth", beside=first)
    yield row("characters shown to the counter / written", "x", values(found, "shown_ratio"), at_most=1.0)


def snapshot_file(path: str) -> str:
    """Returns the largest stored snapshot of the store."""
    local = os.path.join(path, ".tract", "local")
    files = [os.path.join(at, name) for at, _, names in os.walk(local) if "snapshots" in at for name in names]
    if not files:
        raise BenchmarkFailedError(f"{local}: no snapshot was stored")
    return max(files, key=os.path.getsize)


def nothing_cached(sizes: Sizes, name: str, path: str, count: int) -> Row:
    """Measures a compile in a fresh process of a store without `local/`."""

    def cold(_: int) -> Numbers:
        remove_local(path)
        return run("subject", "cold", path)

    files = os.path.join(path, ".tract")
    run("baseline_read", "store", files)  # all rounds find the files in the page cache
    found = interleave(sizes.rounds, {"cold": cold, "read": lambda _: run("baseline_read", "store", files)})
    expect(f"cold compile, {name}", found["cold"][0]["found"], count)
    mine, read = values(found["cold"], "us", 1e-3), values(found["read"], "us", 1e-3)
    baseline = "read, hash, decode files"
    return row(f"cold compile, {name}, {count:,}", "ms", mine, baseline=baseline, beside=read, at_most=3.0)


def compiling(sizes: Sizes) -> Iterator[Row]:
    """Compile in a fresh process, with nothing cached and with a stored snapshot, and on a warm handle."""
    path, count = loose_store(sizes), sizes.store_commits
    yield nothing_cached(sizes, "loose files", path, count)
    packed = built(sizes, "batch", sizes.store_commits, sizes.batch)
    yield nothing_cached(sizes, "packs", packed, sizes.store_commits)
    run("subject", "cold", path)
    found = interleave(
        max(5, sizes.rounds),
        {
            "cold": lambda _: run("subject", "cold", path),
            "read": lambda _: run("baseline_read", "snapshot", snapshot_file(path)),
        },
    )
    expect("compile from the snapshot", found["cold"][0]["found"], count)
    cold, read = values(found["cold"], "us", 1e-3), values(found["read"], "us", 1e-3)
    baseline = "read, decode snapshot"
    yield row(f"fresh process, stored snapshot, {count:,}", "ms", cold, baseline=baseline, beside=read, at_most=3.0)
    again = interleave(sizes.rounds, {"warm": lambda _: run("subject", "warm", path, 1000)})["warm"]
    expect("warm compile", again[0]["found"], count)
    yield row(f"warm compile, {count:,}, lists looked at", "us", values(again, "us"), at_most=100.0)
    yield row(f"warm compile, {count:,}, the call alone", "us", values(again, "call_us"))


def asked(module: str, path: str, which: str, *rest: object) -> Numbers:
    return run(module, "query", path, which, 8, *rest[:-1])


def query(sizes: Sizes) -> Iterator[Row]:
    """Config queries on a fresh and a warm handle beside SQLite without and with an expression index."""
    path, count = batch_store(sizes), sizes.query_commits
    plain, indexed = sizes.path("plain.db"), sizes.path("indexed.db")
    for file, kind in ((plain, "plain"), (indexed, "indexed")):
        if not os.path.exists(file):
            run("baseline_sqlite", "build", file, count, kind)
    run("subject", "query", path, "one", 1)
    for which, name in QUERY_NAMES.items():
        found = interleave(
            sizes.rounds,
            {
                "tract": partial(asked, "subject", path, which),
                "hashes": partial(asked, "subject", path, which, "hashes"),
                "sqlite": partial(asked, "baseline_sqlite", plain, which),
                "indexed": partial(asked, "baseline_sqlite", indexed, which),
            },
        )
        expect(f"query {name}", found["tract"][0]["hits"], found["sqlite"][0]["hits"])
        for handle, limit in (("warm", 0.1), ("fresh", 0.3)):
            mine, plain_ms, indexed_ms = (
                values(found[one], f"{handle}_us", 1e-3) for one in ("tract", "sqlite", "indexed")
            )
            title = f"query {name} of {count:,}, {handle}"
            at_most = limit if which != "thirty" else None
            yield row(title, "ms", mine, baseline="sqlite json_extract", beside=plain_ms, at_most=at_most)
            yield row(title, "ms", mine, baseline="sqlite, expression index", beside=indexed_ms)
            unseen = values(found["hashes"], f"{handle}_us", 1e-3)
            yield row(f"{title}, configs not looked at", "ms", unseen, baseline="sqlite json_extract", beside=plain_ms)
    yield from rebuild(sizes)


def rebuild(sizes: Sizes) -> Iterator[Row]:
    """The generation index made anew from packs and from loose files."""

    def measure(path: str, count: int) -> Callable[[int], Numbers]:
        def once(_: int) -> Numbers:
            remove_index(path)
            return run("subject", "rebuild", path, count)

        return once

    loose, packed = loose_store(sizes), batch_store(sizes)
    run("subject", "cold", loose)
    found = interleave(
        sizes.rounds,
        {"packs": measure(packed, sizes.query_commits), "loose files": measure(loose, sizes.store_commits)},
    )
    for name, count in (("packs", sizes.query_commits), ("loose files", sizes.store_commits)):
        expect(f"rebuilt index of {name}", found[name][0]["hits"], 1)
        title = f"index rebuild from {name}, {count:,}"
        yield row(title, "commits/s", values(found[name], "commits_per_s"), at_least=50_000.0)


def search(sizes: Sizes) -> Iterator[Row]:
    """Full-text search: the texts indexed at the first search, then phrases on a warm and a fresh handle, in CPU time."""
    path, count = batch_store(sizes), sizes.query_commits
    phrases = list(SEARCHED.values())

    def once(_: int) -> Numbers:
        remove_index(path)
        return run("subject", "search", path, json.dumps(phrases), 8)

    found = interleave(sizes.rounds, {"search": once})["search"]
    expect("search", found[0]["hits_2"], 20)
    expect("search for what is nowhere", found[0]["hits_0"], 0)
    text = f"{count:,}, {found[0]['text_bytes'] / 1e6:.0f} MB"
    yield row(f"texts indexed, {text}", "commits/s", values(found, "commits_per_s"), at_least=20_000.0)
    for number, name in enumerate(SEARCHED):
        title = f"search of {text}, {name}"
        yield row(title, "ms of CPU", values(found, f"warm_us_{number}", 1e-3), at_most=20.0)
    yield row(f"search of {text}, fresh", "ms of CPU", values(found, "fresh_us", 1e-3))


def remove_index(path: str) -> None:
    """Removes the index file of each place of a store."""
    for at, _directories, names in os.walk(os.path.join(path, ".tract", "local")):
        for name in names:
            if name.startswith("index.db"):
                os.remove(os.path.join(at, name))


def processes(sizes: Sizes) -> Iterator[Row]:
    """Several processes that write to one place at once; a ratio over 1 is faster than the baseline."""
    seeds, count = range(1, sizes.processes + 1), sizes.process_commits
    total = sizes.processes * count

    def tract(mode: str) -> Measure:
        def once(tree: str, number: int) -> Numbers:
            root, path = sizes.trees[tree], sizes.path("processes", tree, mode, number)
            output(start("-c", "import sys, tract_fs; tract_fs.Tract.open(sys.argv[1]).close()", path, root=root))
            found = together("subject", [("commit", path, mode, count, seed) for seed in seeds], root=root)
            everyone = total + sizes.processes  # each commits once before the start
            lines = run("subject", "line", path, root=root)["found"]
            expect(f"one line of {sizes.processes} writers, {mode}", lines, everyone)
            return {"rate": total / found["s"]}

        return once

    def raw(mode: str) -> Measure:
        def once(tree: str, number: int) -> Numbers:
            path = sizes.path("raws", tree, mode, number)
            return {"rate": total / together("baseline_raw", [(path, mode, count, seed) for seed in seeds])["s"]}

        return once

    def sqlite(tree: str, number: int) -> Numbers:
        path = sizes.path(f"writes-{tree}-{number}.db")
        run("baseline_sqlite_writes", path, 0, 0, 0)
        return {"rate": total / together("baseline_sqlite_writes", [(path, count, seed) for seed in seeds])["s"]}

    found = by_tree(
        sizes,
        {
            "fast": tract("fast"),
            "raw fast": raw("fast"),
            "durable": tract("durable"),
            "sqlite": sqlite,
            "raw durable": raw("durable"),
        },
    )
    rates = {name: values(one[THIS], "rate") for name, one in found.items()}
    title, raws = f"{sizes.processes} processes x {count:,}", f"{sizes.processes} bare writers"
    yield row(f"{title}, fast", "commits/s", rates["fast"], baseline=raws, beside=rates["raw fast"], at_least=0.4)
    durable, full = rates["durable"], "sqlite WAL, FULL"
    yield row(f"{title}, durable", "commits/s", durable, baseline=full, beside=rates["sqlite"], at_least=0.6)
    yield row(f"{title}, durable", "commits/s", durable, baseline=raws, beside=rates["raw durable"])
    for mode in ("fast", "durable") if sizes.against else ():
        yield compared(f"{title}, {mode}", "commits/s", found[mode], "rate")


def space(sizes: Sizes) -> Iterator[Row]:
    """Bytes and inodes per commit: loose files, batches, and all that the copy keeps for itself."""
    os.sync()
    plain = sizes.path("plain.db")
    if not os.path.exists(plain):
        run("baseline_sqlite", "build", plain, sizes.query_commits, "plain")
    sqlite = os.path.getsize(plain) / sizes.query_commits
    stores = (("loose", loose_store(sizes), sizes.store_commits), ("batch", batch_store(sizes), sizes.query_commits))
    for name, path, count in stores:
        use = disk_use(os.path.join(path, ".tract"), skips_local=True)
        title = f"space, {name}"
        beside = (sqlite,)
        yield row(f"{title}: bytes per commit", "B", (use["bytes"] / count,), baseline="sqlite file", beside=beside)
        on_disk = (use["on_disk"] / count,)
        yield row(f"{title}: bytes on disk per commit", "B", on_disk, baseline="sqlite file", beside=beside)
        yield row(f"{title}: inodes per commit", "inodes", (use["inodes"] / count,))
        local = disk_use(os.path.join(path, ".tract", "local"), skips_local=False)
        yield row(f"{title}: local/, bytes per commit", "B", (local["bytes"] / count,))


Group: TypeAlias = Callable[[Sizes], Iterator[Found]]
GROUPS: dict[str, Group] = {
    "commit": commit,
    "loop": loop,
    "compile": compiling,
    "query": query,
    "search": search,
    "command": command,
    "first-open": first_open,
    "after-pack": after_pack,
    "tracts": many_tracts,
    "processes": processes,
    "space": space,
    "peers": peers,
    "scale": scale,
    "stream": streaming,
    "pack": packing,
    "sync": syncing,
    "writers": writers,
    "server": servers,
    "profile": profiles,
    "against": against,
}
