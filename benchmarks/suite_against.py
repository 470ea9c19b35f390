"""Against: this tract_fs beside another one, the source tree that `--against` names, in the same rounds.

Both run the works of these benchmarks, on stores of their own.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from benchmarks.harness import Found, Numbers, Skipped, run
from benchmarks.stores import Sizes
from benchmarks.trees import by_tree, compared

OPENED_COMMITS = 1_000


class Work(NamedTuple):
    """One number of one piece of work on a store with `commits` commits; 0: on a new store each time."""

    title: str
    key: str
    commits: int
    module: str
    name: str
    arguments: tuple[object, ...] = ()  # after the path of the store


def works(sizes: Sizes) -> list[Work]:
    """Returns what is compared."""
    count = sizes.store_commits
    return [
        Work("commit fast", "commit_us", 0, "subject", "commit", ("fast", sizes.commits)),
        Work("commit durable", "commit_us", 0, "subject", "commit", ("durable", sizes.commits)),
        Work("agent loop", "turn_us", 0, "subject", "loop", (sizes.turns,)),
        Work(f"open + log(10) of {OPENED_COMMITS:,}", "us", OPENED_COMMITS, "subject_scale", "log"),
        Work("compile from the snapshot", "us", count, "subject", "cold"),
        Work("warm compile", "us", count, "subject", "warm", (1000,)),
        Work("query, 1 hit, warm", "warm_us", count, "subject", "query", ("one", 8)),
        Work("query, 5 %, warm", "warm_us", count, "subject", "query", ("five", 8)),
    ]


def against(sizes: Sizes) -> Iterator[Found]:
    """Commit fast and durable, the agent loop, open + log, compile and query: of this tree beside the other."""
    if not sizes.against:
        yield Skipped(name="another tract_fs", reason="give its source tree with --against")
        return
    for tree, root in sizes.trees.items():
        for commits in {OPENED_COMMITS, sizes.store_commits}:
            run("subject", "build", store := sizes.path("against", tree, commits), commits, 0, root=root)
            run("subject", "cold", store, root=root)
    for work in works(sizes):
        found = by_tree(sizes, {"work": partial(once, sizes, work)}, rounds=max(5, sizes.rounds))["work"]
        yield compared(f"against: {work.title}", "us", found, work.key)


def once(sizes: Sizes, work: Work, tree: str, number: int) -> Numbers:
    store = (work.commits,) if work.commits else (work.title.replace(" ", "-"), number)
    path = sizes.path("against", tree, *store)
    return run(work.module, work.name, path, *work.arguments, root=sizes.trees[tree])
