"""Scale: what each call costs as a store grows, each size beside the smallest one in the same rounds."""

from collections.abc import Callable, Iterator
from functools import partial

from benchmarks.harness import Found, Numbers, Rounds, Skipped, interleave, row, run, values
from benchmarks.stores import THIS, Sizes, disk_use, expect, remove_local
from benchmarks.trees import by_tree, compared

SHARED = "scaled"


def scaled_store(sizes: Sizes, count: int) -> tuple[str, Numbers]:
    path = sizes.path(SHARED, count)
    return path, run("subject_scale", "build", path, count)


def each(sizes: Sizes, paths: dict[int, str], measure: Callable[[str], Numbers], *, warms: bool = True) -> Rounds:
    """Measures every size once per round, after one that fills caches."""

    def once(path: str, _: int) -> Numbers:
        return measure(path)

    for path in paths.values() if warms else ():
        measure(path)
    return interleave(sizes.rounds, {str(count): partial(once, path) for count, path in paths.items()})


def scale(sizes: Sizes) -> Iterator[Found]:
    """Open + log, commit, compile, query and memory at each size; of N commits at most 2,000 are effective."""
    paths, smallest = {}, min(sizes.scales)
    for count in sorted(sizes.scales):
        paths[count], built = scaled_store(sizes, count)
        name = f"scale {count:,}: batches of 1,000, summaries and skips"
        yield row(name, "commits/s", (built["commits_per_s"],))
    logs = each(sizes, paths, partial(run, "subject_scale", "log"))
    asks = each(sizes, paths, lambda path: run("subject", "query", path, "one", 8))
    opens = each(sizes, paths, partial(run, "subject", "cold"))
    turns = each(sizes, paths, lambda path: run("subject_scale", "turns", path, sizes.scale_turns), warms=False)
    measures: tuple[tuple[str, str, float, Rounds, str, float | None], ...] = (
        ("open + log(10)", "ms", 1e-3, logs, "us", 1.5),
        ("open + compile from the snapshot", "ms", 1e-3, opens, "us", None),
        ("commit, fast, warm", "us", 1.0, turns, "commit_us", None),
        ("compile after an append", "us", 1.0, turns, "compile_us", None),
        ("turn: append + compile", "us", 1.0, turns, "turn_us", 1.3),
    )
    for count in sorted(sizes.scales):
        expect(f"log of {count:,}", logs[str(count)][0]["found"], 10)
        expect(f"query of {count:,}", asks[str(count)][0]["hits"], 1)
        for title, unit, factor, found, key, at_most in measures:
            mine, first = values(found[str(count)], key, factor), values(found[str(smallest)], key, factor)
            if count == smallest:
                yield row(f"scale {count:,}: {title}", unit, mine)
                continue
            base = f"{smallest:,} commits"
            yield row(f"scale {count:,}: {title}", unit, mine, baseline=base, beside=first, at_most=at_most)
        yield row(f"scale {count:,}: query, 1 hit, warm", "ms", values(asks[str(count)], "warm_us", 1e-3), at_most=5.0)
        yield row(f"scale {count:,}: open + first query, 1 hit", "ms", values(asks[str(count)], "fresh_us", 1e-3))
        memory = values(logs[str(count)], "memory_mb")
        yield row(f"scale {count:,}: memory of open + log", "MB", memory, at_most=150.0)
        yield row(f"scale {count:,}: memory of the turns", "MB", values(turns[str(count)], "memory_mb"))
    yield from replaying(paths)
    yield from packed(sizes, paths)


def replaying(paths: dict[int, str]) -> Iterator[Found]:
    """What it costs to find everything again where local/ is gone: the view of all events, then the index at the first query."""
    for count, path in paths.items():
        remove_local(path)
        found = run("subject_scale", "log", path)
        asked = run("subject", "rebuild", path, count)
        yield row(f"scale {count:,}: open, local/ removed", "commits/s", (count / found["us"] * 1e6,))
        yield row(f"scale {count:,}: memory of that open", "MB", (found["memory_mb"],))
        yield row(
            f"scale {count:,}: first query, index built", "commits/s", (asked["commits_per_s"],), at_least=50_000.0
        )


def packed(sizes: Sizes, paths: dict[int, str]) -> Iterator[Found]:
    """The same stores after one pack: its cost, and open + log of each."""
    if not run("subject_scale", "has", "pack")["found"]:
        return
    for count, path in paths.items():
        took = run("subject_scale", "pack", path)
        store = disk_use(f"{path}/.tract", skips_local=True)
        yield row(f"scale {count:,}: pack", "commits/s", (count / took["s"],))
        yield row(f"scale {count:,}: memory of the pack", "MB", (took["memory_mb"],))
        yield row(f"scale {count:,}: bytes per commit, packed", "B", (store["bytes"] / count,))
        yield row(f"scale {count:,}: inodes per commit, packed", "inodes", (store["inodes"] / count,))
    logs = each(sizes, paths, partial(run, "subject_scale", "log"))
    first = values(logs[str(min(paths))], "us", 1e-3)
    for count in sorted(paths)[1:]:
        mine = values(logs[str(count)], "us", 1e-3)
        base = f"{min(paths):,} commits"
        yield row(f"scale {count:,}: open + log(10), packed", "ms", mine, baseline=base, beside=first, at_most=1.5)


def streaming(sizes: Sizes) -> Iterator[Found]:
    """`import_stream`: messages per second and peak memory, at the largest scale."""
    count = max(sizes.scales)
    if not run("subject_scale", "has", "import_stream")["found"]:
        yield Skipped(name=f"import of {count:,} messages", reason="this tract_fs has no Tract.import_stream")
        return

    def stream(tree: str, number: int) -> Numbers:
        return run("subject_scale", "stream", sizes.path("stream", tree, number), count, root=sizes.trees[tree])

    found = by_tree(sizes, {"stream": stream}, rounds=sizes.rounds if sizes.against else 1)["stream"]
    title = f"import_stream of {count:,} messages"
    yield row(title, "commits/s", values(found[THIS], "commits_per_s"), at_least=40_000.0)
    if sizes.against:
        yield compared(title, "commits/s", found, "commits_per_s")
    yield compared(f"{title}: CPU per message", "us", found, "cpu_us")
    yield compared(f"{title}: memory", "MB", found, "memory_mb")
