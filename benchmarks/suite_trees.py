"""What a clone, a pack, many tracts and the command cost: each by itself, and with `--against` beside the other tree."""

import os
from collections.abc import Iterator

from benchmarks.harness import Found, Numbers, output, row, run, start, values, wall
from benchmarks.stores import OTHER, THIS, Sizes, built, copied, expect, remove_local
from benchmarks.trees import Measure, by_tree, compared

COMMAND_COMMITS = 1_000
COMMAND_ROUNDS = 15
TRACT_COMMITS = 20
OPEN_AND_LOG = "import sys, tract_fs\nwith tract_fs.Tract.open(sys.argv[1]) as t: assert len(t.log(10)) == 10"
IMPORT = "import time; began = time.perf_counter(); import tract_fs; print((time.perf_counter() - began) * 1e3)"
LIBRARY, COMMAND = (
    "import msgspec, orjson",
    "import click, msgspec, orjson",
)  # what the package and the command need anyway


def first_open(sizes: Sizes) -> Iterator[Found]:
    """The first open of a clone, which has no local/: N commits in loose files, and the same in packs, with peak memory."""
    count = sizes.clone_commits
    loose = built(sizes, "loose", count, 0)
    packed = copied(loose, sizes.path("clone-packed", count))
    run("subject_scale", "pack", packed)

    def opening(path: str) -> Measure:
        run("baseline_read", "store", os.path.join(path, ".tract"))  # all rounds find the files in the page cache

        def once(tree: str, _: int) -> Numbers:
            remove_local(path)
            return run("subject_scale", "log", path, root=sizes.trees[tree])

        return once

    for name, found in by_tree(sizes, {"loose": opening(loose), "packed": opening(packed)}).items():
        expect(f"log of {count:,} {name}", found[THIS][0]["found"], 10)
        title = f"first open of a clone, {count:,} {name}"
        yield compared(f"{title}, log(10)", "ms", found, "us", 1e-3)
        yield compared(f"{title}: CPU per commit", "us", found, "cpu_us", 1 / count)
        yield compared(f"{title}: peak memory", "MB", found, "memory_mb")


def after_pack(sizes: Sizes) -> Iterator[Found]:
    """The pack of N loose commits, the first open after it, and the next one."""
    count = sizes.repacked_commits
    loose = built(sizes, "loose", count, 0)

    def once(tree: str, number: int) -> Numbers:
        root, path = sizes.trees[tree], copied(loose, sizes.path("repacked", tree, number))
        run("subject_scale", "log", path, root=root)  # makes local/
        packed = run("subject_scale", "pack", path, root=root)
        opens = [run("subject_scale", "log", path, root=root) for _ in range(2)]
        first, following = opens
        cpu = {"first_cpu_us": first["cpu_us"], "next_cpu_us": following["cpu_us"]}
        return {"pack_s": packed["s"], "first_us": first["us"], "next_us": following["us"]} | cpu

    found = by_tree(sizes, {"pack": once})["pack"]
    yield compared(f"pack of {count:,} loose commits", "s", found, "pack_s")
    for which in ("first", "next"):
        title = f"{which} open after the pack of {count:,}, log(10)"
        yield compared(title, "ms", found, f"{which}_us", 1e-3)
        yield compared(f"{title}: CPU", "ms", found, f"{which}_cpu_us", 1e-3)


def many_tracts(sizes: Sizes) -> Iterator[Found]:
    """N tracts of 20 commits, a batch each: writing and packing them, and the first open of a packed clone."""
    count = sizes.tracts

    def once(tree: str, number: int) -> Numbers:
        root, path = sizes.trees[tree], sizes.path("tracts", tree, number)
        written = run("subject_scale", "tracts", path, count, TRACT_COMMITS, root=root)
        packed = run("subject_scale", "pack", path, root=root)
        remove_local(path)
        opened = run("subject_scale", "open_tracts", path, root=root)
        expect("commits of all tracts", opened["found"], count * 10)
        return written | opened | {"pack_ms": packed["s"] * 1e3}

    found, title = by_tree(sizes, {"tracts": once})["tracts"], f"{count:,} tracts of {TRACT_COMMITS}"
    yield compared(f"{title}: write one, in a batch", "us", found, "tract_us")
    yield compared(f"{title}: write one, CPU", "us", found, "tract_cpu_us")
    yield compared(f"{title}: pack", "ms", found, "pack_ms")
    yield compared(f"{title}: packed clone, first open of one", "ms", found, "first_ms")
    yield compared(f"{title}: packed clone, first open of all", "ms", found, "all_ms")
    yield compared(f"{title}: packed clone, first open of all, CPU", "ms", found, "all_cpu_ms")


def command(sizes: Sizes) -> Iterator[Found]:
    """The import, `tract log` and `tract commit`, each in a fresh process, beside a Python that imports only what they need anyway."""
    paths = {tree: sizes.path("command", tree) for tree in sizes.trees}
    for tree, root in sizes.trees.items():
        run("subject", "build", paths[tree], COMMAND_COMMITS, 0, root=root)

    def process(*arguments: str) -> Measure:
        return lambda tree, _: wall(*(one.format(paths[tree]) for one in arguments), root=sizes.trees[tree])

    def import_alone(tree: str, _: int) -> Numbers:
        return {"ms": float(output(start("-c", IMPORT, root=sizes.trees[tree])))}

    measures = {
        "import alone": import_alone,
        "import tract_fs": process("-c", "import tract_fs"),
        "open, log(10)": process("-c", OPEN_AND_LOG, "{}"),
        LIBRARY: process("-c", LIBRARY),
        "tract log": process("-m", "tract_fs.cli", "-C", "{}", "log"),
        "tract commit": process("-m", "tract_fs.cli", "-C", "{}", "commit", "-m", "A message."),
        COMMAND: process("-c", COMMAND),
    }
    by_tree(sizes, measures, rounds=1)  # compiles what was changed since
    found = by_tree(sizes, measures, rounds=max(COMMAND_ROUNDS, sizes.rounds))
    yield row(
        "import tract_fs, without the start of Python", "ms", values(found["import alone"][THIS], "ms"), at_most=60.0
    )
    for name, bare, at_most in (
        ("import tract_fs", LIBRARY, None),
        ("open, log(10)", LIBRARY, 2.0),
        ("tract log", COMMAND, None),
        ("tract commit", COMMAND, None),
    ):
        mine, beside = values(found[name][THIS], "ms"), values(found[bare][THIS], "ms")
        title = f"process: {name}" + ("" if name.startswith("import") else f" of {COMMAND_COMMITS:,}")
        yield row(title, "ms", mine, baseline=bare, beside=beside, at_most=at_most)
        if OTHER in found[name]:
            yield compared(title, "ms", found[name], "ms")
        yield compared(f"{title}: CPU", "ms", found[name], "cpu_ms")
