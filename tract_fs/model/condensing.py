"""Condensing: which slots of a state its answers need, so that a long history with a short context costs little.

Skipped slots and those covered by a summary are dropped, except for the slots at whose place a summary shows, and for
slots that share a tool call id with a kept one, so that tool calls are paired as before. A condensed state raises
NotHeldError for an operation on a commit that it dropped; then the whole history is replayed.
"""

from __future__ import annotations

from collections import defaultdict

from msgspec import Struct

from tract_fs.model.arrangement import Layout, cover
from tract_fs.model.slots import Slot


class Condensed(Struct, frozen=True):
    """The slots that are kept, and which of them are standing summaries, by position."""

    slots: list[Slot]
    summaries: tuple[int, ...]


def condense(slots: list[Slot], targets: dict[int, list[int]], layout: Layout) -> Condensed | None:
    """Returns the slots that must be kept, or None if a summary that is not standing would be among them.

    `targets` maps each summary to its targets; `layout` is that of the default options. A kept summary covers the kept
    ones of the slots that it covered.
    """
    covers: dict[int, set[int]] = {}
    for summary in layout.places:
        cover(summary, targets, covers.setdefault(summary, set()))
    hidden = set().union(*covers.values())
    shown = (position for position, slot in enumerate(slots) if slot.is_shown or slot.is_lost or slot.tools)
    kept = {position for position in shown if position not in hidden}
    kept.update(layout.places.values())
    _add_linked(slots, kept)
    if any(position in targets and position not in covers for position in kept):
        return None
    order = sorted(kept)
    places = {position: place for place, position in enumerate(order)}
    held = list(map(slots.__getitem__, order))
    for summary, covered in covers.items():
        if summary in kept:
            names = tuple(slots[position].commit for position in sorted(covered & kept))
            held[places[summary]] = slots[summary].with_targets(names)
    return Condensed(held, tuple(places[summary] for summary in sorted(covers) if summary in kept))


def _add_linked(slots: list[Slot], kept: set[int]) -> None:
    """Adds all slots that call or answer a tool call id that a kept slot calls or answers, and so on."""
    by_id: dict[str, list[int]] = defaultdict(list)
    for position, slot in enumerate(slots):
        for id_ in (*slot.rendering.calls, *slot.rendering.answers):
            by_id[id_].append(position)
    waiting = list(kept)
    while waiting:
        rendering = slots[waiting.pop()].rendering
        for id_ in (*rendering.calls, *rendering.answers):
            fresh = [position for position in by_id.pop(id_, ()) if position not in kept]
            kept.update(fresh)
            waiting += fresh
