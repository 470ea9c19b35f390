"""Against: this tract_fs beside an earlier one, the source tree that `--against` names, in the same rounds.

The earlier one runs with its own `benchmarks/subject.py`, on stores of its own.
"""

from collections.abc import Iterator
from functools import partial

from benchmarks.harness import ROOT, Found, Numbers, Skipped, interleave, row, run, values
from benchmarks.stores import Sizes

SLOWER = 1.1


WORKS: dict[
    str, tuple[str, str, tuple[str, ...], bool]
] = {  # the number, the work, its arguments, does it need a new store
    "commit fast": ("commit_us", "commit", ("fast", "commits"), True),
    "commit durable": ("commit_us", "commit", ("durable", "commits"), True),
    "agent loop": ("turn_us", "loop", ("turns",), True),
    "compile from the snapshot": ("us", "cold", (), False),
    "warm compile": ("us", "warm", ("1000",), False),
    "query, 1 hit, warm": ("warm_us", "query", ("one", "8"), False),
    "query, 5 %, warm": ("warm_us", "query", ("five", "8"), False),
}


def against(sizes: Sizes) -> Iterator[Found]:
    """Commit, agent loop, compile and query: the ratio is this one's time to the earlier one's."""
    if not sizes.against:
        yield Skipped(name="an earlier tract_fs", reason="give its source tree with --against")
        return
    roots = {"this": ROOT, "that": sizes.against}
    stores = {name: sizes.path("against", name) for name in roots}
    for name, root in roots.items():
        run("subject", "build", stores[name], sizes.store_commits, 0, root=root)
        run("subject", "cold", stores[name], root=root)
    counts = {"commits": str(sizes.commits), "turns": str(sizes.turns)}

    def once(name: str, title: str, number: int) -> Numbers:
        _, work, arguments, is_new = WORKS[title]
        path = sizes.path("against", name, title.replace(" ", "-"), number) if is_new else stores[name]
        return run("subject", work, path, *(counts.get(one, one) for one in arguments), root=roots[name])

    for title, (key, *_) in WORKS.items():
        found = interleave(max(5, sizes.rounds), {name: partial(once, name, title) for name in roots})
        mine, theirs = values(found["this"], key), values(found["that"], key)
        yield row(f"against: {title}", "us", mine, baseline="the earlier one", beside=theirs, at_most=SLOWER)
