"""Draws a graph of commits in characters, as git does: one column per line of history, children above their parents.

Nothing here reads a store: commits are names with the names of their parents. The width is bounded, whatever a history
holds: where it would be too wide, a line ends in "…", and the lines to some parents are not drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

_MOST_COLUMNS = 64
_MOST_PARENTS = 16  # drawn of one commit


def children_first(heads: Sequence[str], parents: Mapping[str, Sequence[str]]) -> list[str]:
    """Returns all commits of `parents` that the heads reach, each above its parents; a line of history is not torn where it need not be.

    Parents that `parents` does not contain are left out. Cost: one pass.
    """
    waiting: dict[str, int] = {}  # for each commit reached: its children that are not listed yet
    stack = list(heads)
    while stack:
        name = stack.pop()
        if name not in waiting:
            waiting[name] = 0
            stack += [parent for parent in parents[name] if parent in parents]
    for name in waiting:
        for parent in parents[name]:
            if parent in waiting:
                waiting[parent] += 1
    order = []
    ready = [head for head in dict.fromkeys(reversed(heads)) if not waiting[head]]
    while ready:
        name = ready.pop()
        order.append(name)
        for parent in parents[name]:
            if parent in waiting:
                waiting[parent] -= 1
                if not waiting[parent]:
                    ready.append(parent)
    return order


def draw(order: Iterable[str], parents: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str | None]]:
    """Yields the lines of the graph: each its drawing, and the commit that it is of; None for a line between two commits.

    `parents` needs to have those of a commit once `order` has yielded it.
    """
    lanes: list[str] = []  # for each column: the commit that comes next in it
    for name in order:
        if name not in lanes:
            if len(lanes) >= _MOST_COLUMNS:
                yield "| " * len(lanes) + "… *", name
                continue
            lanes.append(name)
        at = lanes.index(name)
        above = list(dict.fromkeys(parents[name]))
        most = min(_MOST_PARENTS, 1 + _MOST_COLUMNS - len(lanes))
        cut = " …" if len(above) > most else ""
        above = above[:most]
        yield "".join("* " if n == at else "| " for n in range(len(lanes))).rstrip() + cut, name
        strands = [*lanes[:at], *above, *lanes[at + 1 :]]
        places = [*range(at), *[at] * len(above), *range(at + 1, len(lanes))]
        yield from ((line, None) for line in _spread(places))
        if not above:  # the columns to its right close up
            places = [*range(at), *range(at + 1, len(lanes))]
        yield from ((line, None) for line in _join(strands, places))
        lanes = list(dict.fromkeys(strands))


def _spread(places: list[int]) -> Iterator[str]:
    """Yields the lines on which strands go right, each to a column of its own; `places` then holds these columns."""
    while any(place < n for n, place in enumerate(places)):
        marks = {}
        for n, place in enumerate(places):
            if place < n:
                marks[2 * place + 1] = "\\"
                places[n] += 1
            else:
                marks[2 * place] = "|"
        yield _line(marks)


def _join(strands: Sequence[str], places: list[int]) -> Iterator[str]:
    """Yields the lines on which strands go left, until those to one commit share a column and no column is empty."""
    targets = {name: n for n, name in enumerate(dict.fromkeys(strands))}
    firsts = {name: strands.index(name) for name in targets}
    while any(place != targets[name] for name, place in zip(strands, places, strict=True)):
        marks: dict[int, str] = {}
        taken = {places[n] for n in firsts.values()}
        for n, name in enumerate(strands):
            place = places[n]
            is_crossing = firsts[name] != n
            if place > targets[name] and (is_crossing or place - 1 not in taken):
                marks[2 * place - 1] = "/"
                places[n] -= 1
                if not is_crossing:
                    taken = taken - {place} | {place - 1}
            else:
                marks[2 * place] = "|"
        yield _line(marks)


def _line(marks: Mapping[int, str]) -> str:
    return "".join(marks.get(n, " ") for n in range(max(marks) + 1))
