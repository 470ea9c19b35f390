"""Harness: child processes, rounds and rows. Knows nothing of what is measured.

Every measurement is a process of its own. Those that are compared run one after the other in each round (A B A B …), so
that a slow minute of the machine hits both; a ratio is the median of the ratios of the rounds.
Stores stay until the end of a run: ext4 does not reuse inodes freed in the last minutes and searches past them, which
makes creating files after a large delete several times slower. For the same reason two runs need five minutes between.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Numbers: TypeAlias = dict[str, float]
Rounds: TypeAlias = dict[str, list[Numbers]]
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TIMEOUT_S = 1800.0
LEAD_S = 1.5  # until processes that start together are all ready
LAUNCH = """import runpy, sys
sys.path.insert(0, sys.argv[1])
import benchmarks
del sys.path[0]
name = sys.argv[2]
del sys.argv[1:3]
runpy.run_module(name, run_name="__main__", alter_sys=True)
"""  # benchmarks comes from the directory given, all else from PYTHONPATH


class BenchmarkFailedError(Exception):
    """A measured process ended with an error; the message is the end of what it said."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: what was measured, in every round, and the baseline's ratio where there is one."""

    name: str
    unit: str
    values: tuple[float, ...]
    baseline: str = ""
    baseline_values: tuple[float, ...] = ()
    ratios: tuple[float, ...] = ()
    target: str = ""
    is_met: bool | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def ratio(self) -> float | None:
        return statistics.median(self.ratios) if self.ratios else None


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A measure that was left out, and why."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Where the time of one piece of work goes: by call, the longest first, each with its share of the whole."""

    name: str
    total_us: float  # per piece of work, the profiler's own cost included
    shares: tuple[tuple[str, float, float], ...]  # (where, share of the whole, calls per piece of work)


Found: TypeAlias = Row | Skipped | Profile


def environment(root: str) -> dict[str, str]:
    """Returns the children's environment: compiled modules are kept, as in any installation, but not in the project."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    compiled = os.path.join(tempfile.gettempdir(), f"tract-benchmarks-compiled-{os.getuid()}")
    paths = (root, os.environ.get("PYTHONPATH"))
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONPYCACHEPREFIX": compiled}


def start(*arguments: object, root: str = ROOT) -> subprocess.Popen[str]:
    """Starts a Python that finds the tract_fs of the source tree `root`: by PYTHONPATH, and by its working directory."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=root, env=environment(root), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def start_module(module: str, *arguments: object, root: str = ROOT) -> subprocess.Popen[str]:
    """Starts a module of this package on the tract_fs of a source tree, whatever benchmarks are in that tree."""
    return start("-c", LAUNCH, ROOT, f"benchmarks.{module}", *arguments, root=root)


def output(process: subprocess.Popen[str]) -> str:
    """Returns what the process printed until its end; raises `BenchmarkFailedError` where it ended with an error."""
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        process.kill()
        raise BenchmarkFailedError(f"{process.args!r}: no end after {TIMEOUT_S} s") from error
    if process.returncode:
        raise BenchmarkFailedError(f"{process.args!r}: exit code {process.returncode}\n{err[-2000:]}")
    return out


def finish(process: subprocess.Popen[str]) -> Numbers:
    """Returns the numbers that the process printed last. Errors: as `output`."""
    out = output(process)
    numbers: Numbers = json.loads(out.splitlines()[-1]) if out.strip() else {}
    return numbers


def run(module: str, *arguments: object, root: str = ROOT) -> Numbers:
    """Runs a module as `start_module` does, after the disk came to rest, and returns its numbers."""
    os.sync()
    return finish(start_module(module, *arguments, root=root))


def wall(*arguments: object, root: str = ROOT) -> Numbers:
    """Returns the milliseconds that a fresh Python with these arguments takes from its start to its end, and those of CPU time."""
    began, began_cpu = time.perf_counter(), children_cpu_s()
    output(start(*arguments, root=root))
    return {"ms": (time.perf_counter() - began) * 1e3, "cpu_ms": (children_cpu_s() - began_cpu) * 1e3}


def children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def together(module: str, calls: Sequence[Sequence[object]], *, root: str = ROOT) -> Numbers:
    """Runs several processes that start their work at one moment; each call gets that moment as its last argument.

    Returns the seconds from the first one's start to the last one's end.
    """
    os.sync()
    at = time.time() + LEAD_S
    processes = [start_module(module, *arguments, at, root=root) for arguments in calls]
    found = [finish(process) for process in processes]
    return {"s": max(one["ended_s"] for one in found) - min(one["began_s"] for one in found)}


def interleave(rounds: int, measures: Mapping[str, Callable[[int], Numbers]]) -> Rounds:
    """Runs every measure once per round, in order, and returns what each said."""
    found: Rounds = {name: [] for name in measures}
    for number in range(rounds):
        for name, measure in measures.items():
            found[name].append(measure(number))
    return found


def values(rounds: list[Numbers], key: str, scale: float = 1.0) -> tuple[float, ...]:
    return tuple(one[key] * scale for one in rounds)


def row(
    name: str,
    unit: str,
    found: tuple[float, ...],
    *,
    baseline: str = "",
    beside: tuple[float, ...] = (),
    at_most: float | None = None,
    at_least: float | None = None,
) -> Row:
    """Returns the row; the target is for the ratio where there is a baseline, else for the value itself."""
    ratios = tuple(a / b for a, b in zip(found, beside, strict=True)) if beside else ()
    judged = statistics.median(ratios or found)
    target, is_met = "", None
    if at_most is not None:
        target, is_met = f"<= {at_most:g}", judged <= at_most
    if at_least is not None:
        target, is_met = f">= {at_least:g}", judged >= at_least
    target += "" if ratios or not target else f" {unit}"
    return Row(
        name=name,
        unit=unit,
        values=found,
        baseline=baseline,
        baseline_values=beside,
        ratios=ratios,
        target=target,
        is_met=is_met,
    )
