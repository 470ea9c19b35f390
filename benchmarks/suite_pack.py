"""Packs: room before and after one `pack`, the compile of what was packed, and the sync of a packed store."""

import os
from collections.abc import Iterator

from benchmarks.harness import Found, Numbers, Skipped, row, run, values
from benchmarks.stores import THIS, Sizes, built, copied, disk_use, expect, loose_store, remove_local
from benchmarks.trees import by_tree, compared

NEW_COMMITS = 100
FILES_PER_COMMIT = 3  # content, commit, event


def has_pack() -> bool:
    return bool(run("subject_scale", "has", "pack")["found"])


def packing(sizes: Sizes) -> Iterator[Found]:
    """Bytes and inodes per commit of loose files before and after one `pack`; equal answers; the cold compile then."""
    count = sizes.packed_commits
    if not has_pack():
        yield Skipped(name=f"pack of {count:,} loose commits", reason="this tract_fs has no Tract.pack")
        return
    path = copied(built(sizes, "loose", count, 0), sizes.path("packed", count))
    store = os.path.join(path, ".tract")
    before, told = disk_use(store, skips_local=True), run("subject_scale", "answers", path)
    took = run("subject_scale", "pack", path)
    after = disk_use(store, skips_local=True)
    expect("answers after the pack", run("subject_scale", "answers", path)["digest"], told["digest"])
    yield row(f"pack of {count:,} loose commits, answers equal", "commits/s", (count / took["s"],))
    for name, unit, key, at_most in (("bytes", "B", "bytes", 1.2), ("bytes on disk", "B", "on_disk", None)):
        mine, loose = (after[key] / count,), (before[key] / count,)
        yield row(f"packed: {name} per commit", unit, mine, baseline="loose files", beside=loose, at_most=at_most)
    yield row("loose: inodes per commit", "inodes", (before["inodes"] / count,))
    yield row("packed: inodes per commit", "inodes", (after["inodes"] / count,), at_most=0.01)
    yield from packed_compile(sizes)


def packed_compile(sizes: Sizes) -> Iterator[Found]:
    """A fresh process's compile of a packed store, with and without its snapshot, beside one file of the same bytes."""
    count, one = sizes.store_commits, sizes.path("one-file")
    run("baseline_read", "gather", os.path.join(loose_store(sizes), ".tract"), one)
    path = copied(loose_store(sizes), sizes.path("packed-compile", count))
    run("subject_scale", "pack", path)
    kept = {tree: copied(path, sizes.path("packed-snapshot", tree, count)) for tree in sizes.trees}
    for tree, root in sizes.trees.items():
        run("subject", "cold", kept[tree], root=root)

    def cold(tree: str, _: int) -> Numbers:
        remove_local(path)
        return run("subject", "cold", path, root=sizes.trees[tree])

    found = by_tree(
        sizes,
        {
            "cold": cold,
            "read": lambda *_: run("baseline_read", "one", one),
            "kept": lambda tree, _: run("subject", "cold", kept[tree], root=sizes.trees[tree]),
        },
    )
    expect("packed compile", found["cold"][THIS][0]["found"], count)
    expect("packed compile from the snapshot", found["kept"][THIS][0]["found"], count)
    own, read, resumed = (values(found[name][THIS], "us", 1e-3) for name in ("cold", "read", "kept"))
    baseline, title = "read, hash, decode one file", f"cold compile, packed, {count:,}"
    yield row(title, "ms", own, baseline=baseline, beside=read, at_most=2.0)
    if sizes.against:
        yield compared(title, "ms", found["cold"], "us", 1e-3)
    yield compared(f"{title}: CPU", "ms", found["cold"], "cpu_us", 1e-3)
    title = f"packed, stored snapshot, {count:,}"
    yield row(title, "ms", resumed, baseline="cold compile, packed", beside=own, at_most=0.25)
    yield row(title, "ms", resumed, baseline=baseline, beside=read)


def syncing(sizes: Sizes) -> Iterator[Found]:
    """Two copies of a packed store, one of them with 100 new commits: what a two-way sync moves, and how long it takes."""
    count = sizes.packed_commits
    here = copied(built(sizes, "batch", count, sizes.batch), sizes.path("sync-here"))
    if has_pack():
        run("subject_scale", "pack", here)
    there = copied(here, sizes.path("sync-there"))
    found = list[Numbers]()
    for _ in range(sizes.rounds):
        run("subject_scale", "grow", here, NEW_COMMITS)
        found.append(run("subject_scale", "sync", here, there))
    expect("files that a sync of equal copies moves", run("subject_scale", "sync", here, there)["files"], 0)
    title = f"sync of {count:,} commits, {NEW_COMMITS} of them new"
    yield row(title, "ms", values(found, "ms"))
    moved = values(found, "files", 1 / NEW_COMMITS)
    yield row(f"{title}: files moved per new commit", "files", moved, at_most=FILES_PER_COMMIT)
    yield row(f"{title}: bytes moved per new commit", "B", values(found, "bytes", 1 / NEW_COMMITS))
