"""The command `python -m benchmarks`: runs the suite, prints one table, writes JSON on demand.

Exit code 1 where a measured process failed; a missed target is told in the table and is no error.
"""

import argparse
import dataclasses
import inspect
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.harness import BenchmarkFailedError, Found, Profile, Row, Skipped
from benchmarks.stores import Sizes
from benchmarks.suite import GROUPS

SMALL: dict[str, Any] = {
    "commits": 1_000,
    "turns": 1_000,
    "store": 2_000,
    "query": 10_000,
    "process": 200,
    "peer_turns": 200,
    "levels": "durable",
    "scales": "1000,10000",
    "packed": 2_000,
    "clone": 10_000,
    "repacked": 20_000,
    "tracts": 200,
    "seconds": 3.0,
    "rounds": 2,
}
FULL: dict[str, Any] = {
    "commits": 10_000,
    "turns": 2_000,
    "store": 10_000,
    "query": 100_000,
    "process": 1_000,
    "peer_turns": 2_000,
    "levels": "durable,fast",
    "scales": "1000,10000,100000,1000000",
    "packed": 100_000,
    "clone": 10_000,
    "repacked": 20_000,
    "tracts": 2_000,
    "seconds": 60.0,
    "rounds": 3,
}
PROFILE_LINES = 8
PROBE_FILES = 500
HEADERS = ("what", "median", "range", "unit", "ratio", "beside", "its median", "target", "met")


def parse() -> argparse.Namespace:
    groups = "\n".join(f"  {name:<12}{inspect.getdoc(group)}" for name, group in GROUPS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=f"groups:\n{groups}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", metavar="GROUPS", help="comma-separated choice of the groups below")
    parser.add_argument("--full", action="store_true", help="the sizes that the targets are stated for")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--commits", type=int, help="commits of the commit measures, and of the clone")
    parser.add_argument("--turns", type=int, help="turns of the agent loop")
    parser.add_argument("--store", type=int, help="commits of the store that is compiled and opened")
    parser.add_argument("--query", type=int, help="commits of the store that is queried")
    parser.add_argument("--process", type=int, help="commits of each of the processes that write at once")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--batch", type=int, default=1000, help="commits per batch of the queried store")
    parser.add_argument("--peer-turns", type=int, help="messages of the commit measures and loops beside the peers")
    parser.add_argument(
        "--stride", type=int, default=10, help="turns between two readings of a whole context by a peer"
    )
    parser.add_argument("--levels", help="durabilities to compare with the peers at: durable, fast")
    parser.add_argument("--scales", help="comma-separated sizes of the stores that grow, up to 1000000")
    parser.add_argument("--scale-turns", type=int, default=100)
    parser.add_argument("--packed", type=int, help="commits of the store that is packed, and of the one that is synced")
    parser.add_argument(
        "--clone", type=int, help="commits of the clone that is opened first (default: --commits, or 10000)"
    )
    parser.add_argument("--repacked", type=int, help="commits of the store that is opened after its pack")
    parser.add_argument("--tracts", type=int, help="tracts of the store that has many")
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--seconds", type=float, help="how long the writers write")
    parser.add_argument(
        "--against", metavar="DIR", help="the source tree of another tract_fs: its tract_fs/ is measured as well"
    )
    parser.add_argument("--dir", help="where to work (default: a new temporary directory, removed at the end)")
    parser.add_argument(
        "--keep", action="store_true", help="leave the stores: the next run is not slowed by the delete"
    )
    parser.add_argument("--json", metavar="FILE", help="write every value of every round to this file")
    options = parser.parse_args()
    options.only = options.only.split(",") if options.only else list(GROUPS)
    if unknown := set(options.only) - set(GROUPS):
        parser.error(f"unknown group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    if options.against and not os.path.isdir(os.path.join(options.against, "tract_fs")):
        parser.error(f"{options.against}: no source tree of tract_fs")
    options.clone = options.clone or options.commits
    for name, size in (FULL if options.full else SMALL).items():
        if getattr(options, name) is None:
            setattr(options, name, size)
    return options


def sizes_of(options: argparse.Namespace, directory: str) -> Sizes:
    return Sizes(
        directory=directory,
        rounds=options.rounds,
        commits=options.commits,
        turns=options.turns,
        store_commits=options.store,
        query_commits=options.query,
        processes=options.processes,
        process_commits=options.process,
        batch=options.batch,
        peer_turns=options.peer_turns,
        stride=options.stride,
        levels=tuple(options.levels.split(",")),
        scales=tuple(int(size) for size in options.scales.split(",")),
        scale_turns=options.scale_turns,
        packed_commits=options.packed,
        clone_commits=options.clone,
        repacked_commits=options.repacked,
        tracts=options.tracts,
        writers=options.writers,
        writer_seconds=options.seconds,
        against=os.path.abspath(options.against) if options.against else "",
    )


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cells(row: Row) -> tuple[str, ...]:
    spread = f"{number(min(row.values))} .. {number(max(row.values))}" if len(row.values) > 1 else ""
    ratio = f"{row.ratio:.2f}" if row.ratio is not None else ""
    beside = sorted(row.baseline_values)
    middle = number(beside[len(beside) // 2]) if beside else ""
    met = {None: "", True: "yes", False: "NO"}[row.is_met]
    return row.name, number(row.median), spread, row.unit, ratio, row.baseline, middle, row.target, met


def table(rows: list[Row]) -> Iterator[str]:
    lines = [HEADERS, *map(cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADERS))]
    for line in lines:
        left = (0, 2, 5, 8)
        yield "  ".join(
            cell.ljust(width) if column in left or column == 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()


def file_system(directory: str) -> str:
    """Returns the type of the file system that holds `directory`, where /proc tells it."""
    try:
        with open("/proc/mounts") as mounts:
            points = [line.split()[1:3] for line in mounts]
    except FileNotFoundError:
        return "unknown file system"
    return max((point for point in points if directory.startswith(point[0])), key=lambda point: len(point[0]))[1]


def created_file_us(directory: str) -> float:
    """Returns the microseconds that creating one small file takes: far over 50 just after many files were deleted."""
    os.mkdir(probe := os.path.join(directory, "probe"))
    began = time.perf_counter()
    for number in range(PROBE_FILES):
        os.close(os.open(os.path.join(probe, str(number)), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444))
    return (time.perf_counter() - began) / PROBE_FILES * 1e6


def machine(directory: str) -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.2f}",
        "file system": file_system(directory),
        "one new file": f"{created_file_us(directory):.0f} us",
    }


def profile_lines(profile: Profile) -> Iterator[str]:
    yield f"where the time of {profile.name} goes (under a profiler, {number(profile.total_us)} us each)"
    for place, share, calls in profile.shares[:PROFILE_LINES]:
        yield f"  {share:6.1%}  {number(calls):>7} calls  {place}"


def measure(options: argparse.Namespace, sizes: Sizes) -> tuple[list[Found], bool]:
    """Runs the chosen groups; one that fails is told and leaves the others to run."""
    rows, has_failed = list[Found](), False
    for name in options.only:
        began = time.perf_counter()
        try:
            rows.extend(GROUPS[name](sizes))
        except BenchmarkFailedError as error:
            has_failed = True
            print(f"{name}: {error}", file=sys.stderr)
        print(f"{name}: {time.perf_counter() - began:.1f} s", file=sys.stderr)
    return rows, has_failed


def tell(found: list[Found], about: dict[str, str]) -> None:
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    if rows := [one for one in found if isinstance(one, Row)]:
        print("\n".join(table(rows)), flush=True)
    for one in found:
        if isinstance(one, Skipped):
            print(f"skipped: {one.name}: {one.reason}")
    for one in found:
        if isinstance(one, Profile):
            print("\n".join(profile_lines(one)))


def sorted_out(found: list[Found]) -> dict[str, list[dict[str, Any]]]:
    rows = [one for one in found if isinstance(one, Row)]
    return {
        "rows": [dataclasses.asdict(row) | {"median": row.median, "ratio": row.ratio} for row in rows],
        "skipped": [dataclasses.asdict(one) for one in found if isinstance(one, Skipped)],
        "profiles": [dataclasses.asdict(one) for one in found if isinstance(one, Profile)],
    }


def keep_json(path: str, found: list[Found], about: dict[str, str], sizes: Sizes) -> None:
    kept = {key: value for key, value in dataclasses.asdict(sizes).items() if key != "directory"}
    with open(path, "w") as file:
        json.dump({"machine": about, "sizes": kept, **sorted_out(found)}, file, indent=1)


def main() -> int:
    options = parse()
    if options.dir is not None:
        os.makedirs(options.dir, exist_ok=True)
    directory = tempfile.mkdtemp(prefix="tract-benchmarks-", dir=options.dir)
    try:
        about = machine(directory)
        sizes = sizes_of(options, directory)
        found, has_failed = measure(options, sizes)
        tell(found, about)
        if options.json:
            keep_json(options.json, found, about, sizes)
    finally:
        if not options.keep:  # it may take longer than the run, where others sync the disk
            shutil.rmtree(directory, ignore_errors=True)
    return int(has_failed)


if __name__ == "__main__":
    sys.exit(main())
