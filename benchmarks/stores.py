"""Stores: the sizes of a run and the stores that several measures share; what lies in them, and what is in their files."""

import os
import shutil
from dataclasses import dataclass

from benchmarks.harness import ROOT, BenchmarkFailedError, Numbers, run

THIS, OTHER = "this", "other"  # the source tree that these benchmarks are in, and the one that --against names


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much of everything, and where."""

    directory: str
    rounds: int
    commits: int
    turns: int
    store_commits: int
    query_commits: int
    processes: int
    process_commits: int
    batch: int
    peer_turns: int
    stride: int
    levels: tuple[str, ...]
    scales: tuple[int, ...]
    scale_turns: int
    packed_commits: int
    clone_commits: int
    repacked_commits: int
    tracts: int
    writers: int
    writer_seconds: float
    against: str

    @property
    def trees(self) -> dict[str, str]:
        """The source trees to measure, by name."""
        return {THIS: ROOT} | ({OTHER: self.against} if self.against else {})

    def path(self, *parts: object) -> str:
        return os.path.join(self.directory, "-".join(map(str, parts)))


def built(sizes: Sizes, name: str, commits: int, batch: int) -> str:
    """Returns the path of a store with that many commits, filled at its first use."""
    path = sizes.path("store", name, commits)
    if not os.path.isdir(path):
        run("subject", "build", path, commits, batch)
    return path


def loose_store(sizes: Sizes) -> str:
    return built(sizes, "loose", sizes.store_commits, 0)


def batch_store(sizes: Sizes) -> str:
    return built(sizes, "batch", sizes.query_commits, sizes.batch)


def copied(source: str, path: str) -> str:
    """Copies a store without its local/, as a clone has it."""
    shutil.copytree(source, path, ignore=lambda at, _: ["local"] if os.path.basename(at) == ".tract" else [])
    return path


def remove_local(path: str) -> None:
    shutil.rmtree(os.path.join(path, ".tract", "local"), ignore_errors=True)


def expect(what: str, found: float, expected: float) -> None:
    """Raises where a measured process did not do the whole work: a wrong answer has no speed."""
    if found != expected:
        raise BenchmarkFailedError(f"{what}: found {found:g}, expected {expected:g}")


def disk_use(path: str, *, skips_local: bool) -> Numbers:
    """Returns bytes, bytes on disk (whole blocks, directories included), files and inodes below `path`."""
    size = blocks = files = inodes = 0
    for at, directories, names in os.walk(path):
        if skips_local and "local" in directories:
            directories.remove("local")
        found = [os.lstat(os.path.join(at, name)) for name in names]
        own = os.lstat(at).st_blocks * 512
        size += sum(one.st_size for one in found)
        blocks += sum(one.st_blocks * 512 for one in found) + own
        files += len(names)
        inodes += len(names) + 1
    return {"bytes": size, "on_disk": blocks, "files": files, "inodes": inodes}
