"""The command `python -m benchmarks`: runs the suite, prints one table, writes JSON on demand.

Exit code 1 where a measured process failed; a missed target is told in the table and is no error.
"""

import argparse
import dataclasses
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator

from benchmarks.harness import BenchmarkFailedError, Row
from benchmarks.suite import GROUPS, Sizes

SMALL = {"commits": 2_000, "turns": 2_000, "store": 5_000, "query": 20_000, "process": 300}
FULL = {"commits": 10_000, "turns": 2_000, "store": 10_000, "query": 100_000, "process": 1_000}
PROBE_FILES = 500
HEADERS = ("what", "median", "range", "unit", "ratio", "beside", "its median", "target", "met")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", help=f"comma-separated choice of: {', '.join(GROUPS)}")
    parser.add_argument("--full", action="store_true", help="the sizes that the targets are stated for")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--commits", type=int, help="commits of the commit measures")
    parser.add_argument("--turns", type=int, help="turns of the agent loop")
    parser.add_argument("--store", type=int, help="commits of the store that is compiled and opened")
    parser.add_argument("--query", type=int, help="commits of the store that is queried")
    parser.add_argument("--process", type=int, help="commits of each of the processes that write at once")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--batch", type=int, default=1000, help="commits per batch of the queried store")
    parser.add_argument("--dir", help="where to work (default: a new temporary directory, removed at the end)")
    parser.add_argument(
        "--keep", action="store_true", help="leave the stores: the next run is not slowed by the delete"
    )
    parser.add_argument("--json", metavar="FILE", help="write every value of every round to this file")
    options = parser.parse_args()
    options.only = options.only.split(",") if options.only else list(GROUPS)
    if unknown := set(options.only) - set(GROUPS):
        parser.error(f"unknown measure {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
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


def measure(options: argparse.Namespace, sizes: Sizes) -> tuple[list[Row], bool]:
    """Runs the chosen groups; one that fails is told and leaves the others to run."""
    rows, has_failed = list[Row](), False
    for name in options.only:
        began = time.perf_counter()
        try:
            rows.extend(GROUPS[name](sizes))
        except BenchmarkFailedError as error:
            has_failed = True
            print(f"{name}: {error}", file=sys.stderr)
        print(f"{name}: {time.perf_counter() - began:.1f} s", file=sys.stderr)
    return rows, has_failed


def main() -> int:
    options = parse()
    directory = tempfile.mkdtemp(prefix="tract-benchmarks-", dir=options.dir)
    try:
        about = machine(directory)
        sizes = sizes_of(options, directory)
        rows, has_failed = measure(options, sizes)
    finally:
        if not options.keep:
            shutil.rmtree(directory, ignore_errors=True)
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    print("\n".join(table(rows)))
    if options.json:
        kept = {key: value for key, value in dataclasses.asdict(sizes).items() if key != "directory"}
        found = [dataclasses.asdict(row) | {"median": row.median, "ratio": row.ratio} for row in rows]
        with open(options.json, "w") as file:
            json.dump({"machine": about, "sizes": kept, "rows": found}, file, indent=1)
    return int(has_failed)


if __name__ == "__main__":
    sys.exit(main())
