"""Alignment: which message of one list is which of another, and how two texts differ line by line.

Messages of one commit are paired first, then equal messages in order. Equal stretches cost one pass, and the result
does not depend on which list comes first. Only this module imports difflib, which only a diff needs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from difflib import SequenceMatcher, unified_diff

from msgspec import Struct

_MOST_EXACT = 250_000  # pairs of messages; beyond that, frequent messages are matched only by their neighbours

Pair = tuple[int, int]


class Line(Struct, frozen=True):
    """The messages of one side: for each a value to compare, and the commit it came from ("" if unknown)."""

    values: Sequence[str]
    commits: Sequence[str]


def align(a: Line, b: Line) -> list[Pair]:
    """Returns the pairs of positions that belong together, increasing on both sides.

    Cost: n log n for shared commits; that of difflib for the stretches between them, without equal beginnings and ends.
    """
    if (a.values, a.commits) > (b.values, b.commits):
        return [(i, j) for j, i in align(b, a)]
    anchors = _common_commits(a.commits, b.commits)
    pairs: list[Pair] = []
    i = j = 0
    for anchor in (*anchors, (len(a.values), len(b.values))):
        pairs += _equal_values(a.values[i : anchor[0]], b.values[j : anchor[1]], i, j)
        pairs.append(anchor)
        i, j = anchor[0] + 1, anchor[1] + 1
    return pairs[:-1]


def unified(a: str | None, b: str | None) -> str:
    """Returns the unified diff of two texts (None: no text at all), without file names; empty where they are equal."""
    lines_a, lines_b = ([] if text is None else text.split("\n") for text in (a, b))
    return "\n".join([*unified_diff(lines_a, lines_b, lineterm="")][2:])


def _common_commits(a: Sequence[str], b: Sequence[str]) -> list[Pair]:
    """Returns the longest run of commits that both lines have in the same order (longest increasing subsequence)."""
    positions = {commit: position for position, commit in enumerate(b) if commit}
    shared = [(i, positions[commit]) for i, commit in enumerate(a) if commit in positions]
    ends: list[int] = []  # for each length: the least position in b that a run of this length ends at
    ends_at: list[int] = []  # and where in `shared` that is
    before: list[int] = []
    for n, (_, j) in enumerate(shared):
        length = bisect_left(ends, j)
        ends[length : length + 1] = [j]
        ends_at[length : length + 1] = [n]
        before.append(ends_at[length - 1] if length else -1)
    run: list[Pair] = []
    n = ends_at[-1] if ends_at else -1
    while n >= 0:
        run.append(shared[n])
        n = before[n]
    return run[::-1]


def _equal_values(a: Sequence[str], b: Sequence[str], offset_a: int, offset_b: int) -> list[Pair]:
    """Returns pairs of equal values, increasing on both sides."""
    least = min(len(a), len(b))
    start = 0
    while start < least and a[start] == b[start]:
        start += 1
    end = 0
    while end < least - start and a[-1 - end] == b[-1 - end]:
        end += 1
    pairs = [(offset_a + n, offset_b + n) for n in range(start)]
    if start + end < least:
        inner_a, inner_b = a[start : len(a) - end], b[start : len(b) - end]
        matcher = SequenceMatcher(None, inner_a, inner_b, autojunk=len(inner_a) * len(inner_b) > _MOST_EXACT)
        for i, j, size in matcher.get_matching_blocks():
            pairs += [(offset_a + start + i + n, offset_b + start + j + n) for n in range(size)]
    tail_a, tail_b = offset_a + len(a) - end, offset_b + len(b) - end
    return pairs + [(tail_a + n, tail_b + n) for n in range(end)]
