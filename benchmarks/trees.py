"""Trees: this source tree and the one that `--against` names. A measure runs on both in turn in every round, so that a ratio is of pairs."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

from benchmarks.harness import Numbers, Rounds, Row, interleave, row, values
from benchmarks.stores import OTHER, THIS, Sizes

SLOWER = 1.1
Measure: TypeAlias = Callable[[str, int], Numbers]  # of the name of a tree and the number of a round


def by_tree(sizes: Sizes, measures: Mapping[str, Measure], *, rounds: int = 0) -> dict[str, Rounds]:
    """Runs every measure on each tree once per round; returns by measure, then by tree, the numbers of each round."""
    calls = {f"{name}|{tree}": partial(measure, tree) for name, measure in measures.items() for tree in sizes.trees}
    found = interleave(rounds or sizes.rounds, calls)
    return {name: {tree: found[f"{name}|{tree}"] for tree in sizes.trees} for name in measures}


def compared(title: str, unit: str, found: Rounds, key: str, scale: float = 1.0) -> Row:
    """Returns the row of this tree beside the other one, or alone where there is no other."""
    mine = values(found[THIS], key, scale)
    if OTHER not in found:
        return row(title, unit, mine)
    theirs = values(found[OTHER], key, scale)
    if unit.endswith("/s"):
        return row(title, unit, mine, baseline="the other tree", beside=theirs, at_least=1 / SLOWER)
    return row(title, unit, mine, baseline="the other tree", beside=theirs, at_most=SLOWER)
