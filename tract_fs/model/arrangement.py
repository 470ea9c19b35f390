"""The layout of a context: which slots are absent, and where summaries show.

Besides a skip, two things hide a slot: a summary that stands for it, and the loss of its other half (a tool call
without results, a result without its call). Format of summaries: FORMAT.md, section 7.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from itertools import chain

from msgspec import Struct, field

from tract_fs.model import canonical
from tract_fs.model.content import Priority
from tract_fs.model.exports import find_flaws
from tract_fs.model.messages import Rendering
from tract_fs.model.shapes import is_item
from tract_fs.model.slots import Slot
from tract_fs.model.tool_order import ToolIds, place_results


class Layout(Struct, frozen=True):
    """How a context departs from the plain order of its slots; all values are positions."""

    absent: frozenset[int] = frozenset()  # covered or beaten by a standing summary, or dropped
    dropped: frozenset[int] = frozenset()  # tool calls and results that have lost their other half
    places: dict[int, int] = {}  # standing summary: the slot where it shows
    beaten: dict[int, int] = {}  # summary: the standing one that shows in its place, though it does not cover it

    def rank(self, position: int) -> tuple[int, int]:
        """Returns the sort key of the shown order."""
        return self.places.get(position, position), position


PLAIN = Layout()


def arrange(slots: list[Slot], targets: dict[int, list[int]], later: Sequence[Slot], *, keeps_orphans: bool) -> Layout:
    """Returns the layout of slots.

    `targets` maps each summary to its targets, in order; `later` are the slots that a cut left out.
    """
    hidden: set[int] = set()
    places: dict[int, int] = {}
    beaten: dict[int, int] = {}
    if targets:
        standing, hidden, beaten = _stand(slots, targets)
        places = _places(targets, standing)
    dropped = frozenset() if keeps_orphans else frozenset(_orphans(slots, later, hidden))
    return Layout(frozenset(hidden) | dropped, dropped, places, beaten) if hidden or dropped else PLAIN


def _stand(slots: Sequence[Slot], targets: dict[int, list[int]]) -> tuple[list[int], set[int], dict[int, int]]:
    """Returns the standing summaries, the slots that they hide, and the summaries that they beat.

    `targets` maps each summary to its targets, in order.
    """
    standing: list[int] = []
    hidden: set[int] = set()
    for summary in reversed(targets):
        if summary in hidden or not slots[summary].is_shown:
            continue
        covered: set[int] = set()
        cover(summary, targets, covered)
        if not hidden.isdisjoint(covered):
            return _stand_by_size(slots, targets)
        standing.append(summary)
        hidden |= covered
    return standing, hidden, {}  # they share nothing, so their sizes do not matter


def _stand_by_size(slots: Sequence[Slot], targets: dict[int, list[int]]) -> tuple[list[int], set[int], dict[int, int]]:
    """Returns the same where summaries share what they cover: of these the one that covers the most appends stands, and
    of equal ones the last.
    """
    leaves = {summary: _leaves(summary, targets) for summary in targets if slots[summary].is_shown}
    standing: list[int] = []
    hidden: set[int] = set()
    winners: dict[int, int] = {}  # leaf: the summary that stands for it
    beaten: dict[int, int] = {}
    for summary in sorted(leaves, key=lambda summary: (len(leaves[summary]), summary), reverse=True):
        winner = next((winners[leaf] for leaf in sorted(leaves[summary] & winners.keys())), None)
        if winner is None:
            standing.append(summary)
            cover(summary, targets, hidden)
            winners.update(dict.fromkeys(leaves[summary], summary))
        else:
            beaten[summary] = winner
    beaten = {summary: winner for summary, winner in beaten.items() if summary not in hidden}
    return standing, hidden | beaten.keys(), beaten


def _leaves(summary: int, targets: dict[int, list[int]]) -> set[int]:
    """Returns the appends that a summary covers, and the summaries without targets among what it covers or is."""
    covered = {summary}
    cover(summary, targets, covered)
    return {position for position in covered if not targets.get(position)}


def cover(summary: int, targets: dict[int, list[int]], covered: set[int]) -> None:
    """Adds to `covered` the targets of a summary and, transitively, those of the summaries among them."""
    waiting = [summary]
    while waiting:
        for position in targets[waiting.pop()]:
            if position not in covered:
                covered.add(position)
                if position in targets:
                    waiting.append(position)


def _places(targets: dict[int, list[int]], standing: list[int]) -> dict[int, int]:
    """Returns where each standing summary shows: at its first target, or where that one shows if it is a summary."""
    anchors: dict[int, int] = {}
    for summary, covered in targets.items():
        anchors[summary] = min([anchors.get(position, position) for position in covered], default=summary)
    return {summary: anchors[summary] for summary in standing}


def in_shown_order(slots: list[Slot], layout: Layout) -> list[tuple[int, Slot]]:
    """Returns the slots that are not absent, with their positions, summaries in their places."""
    positions = (position for position in range(len(slots)) if position not in layout.absent)
    return [(position, slots[position]) for position in sorted(positions, key=layout.rank)]


class _Call(Struct):
    """One tool call as first written: its position, its id, and the positions of its answers."""

    position: int
    id: str
    answers: list[int] = field(default_factory=list)


def _pair(slots: Sequence[Slot], later: Sequence[Slot]) -> tuple[list[_Call], list[tuple[int, str]]]:
    """Returns the calls with their answers as first written, and the answers without a call (position, id).

    An answer belongs to the nearest call of its id before it. Positions continue from `slots` into `later`.
    """
    calls: list[_Call] = []
    lone_answers: list[tuple[int, str]] = []
    last: dict[str, _Call] = {}
    for position, slot in enumerate(chain(slots, later)):
        for id_ in slot.rendering.answers:
            if id_ in last:
                last[id_].answers.append(position)
            else:
                lone_answers.append((position, id_))
        for id_ in slot.rendering.calls:
            last[id_] = _Call(position, id_)
            calls.append(last[id_])
    return calls, lone_answers


def has_open_calls(slots: Sequence[Slot]) -> bool:
    """Returns whether a tool call of the slots has no answer among them."""
    return any(not call.answers for call in _pair(slots, ())[0])


def _orphans(slots: Sequence[Slot], later: Sequence[Slot], hidden: Set[int]) -> set[int]:
    """Returns the positions of the tool calls and answers that have lost their other half.

    A call is an orphan if it had answers and no answer is left, an answer if its call is not left. One orphan can make
    others.
    """
    if not later and not any(
        (slot.edits or slot.priority is Priority.SKIP) and (slot.rendering.calls or slot.rendering.answers)
        for slot in slots
    ):
        absent = (slots[position].rendering for position in hidden)
        if not any(rendering.calls or rendering.answers for rendering in absent):
            return set()
    calls, _ = _pair(slots, later)
    shown = [((), ()) if position in hidden else _shown_ids(slot) for position, slot in enumerate(slots)]
    dropped: set[int] = set()
    is_settled = False
    while not is_settled:
        before = len(dropped)
        for call in calls:
            standing = [p for p in call.answers if p < len(slots) and p not in dropped and call.id in shown[p][1]]
            position = call.position
            if position < len(slots) and position not in dropped and call.id in shown[position][0]:
                if call.answers and not standing:
                    dropped.add(position)
            else:
                dropped.update(standing)
        is_settled = len(dropped) == before
    return dropped


def lost_halves(slots: Sequence[Slot], layout: Layout, later: Sequence[Slot]) -> dict[int, list[int]]:
    """Returns for each slot that is dropped the positions of its other halves, which do not stand.

    Positions continue from `slots` into `later`.
    """
    found: dict[int, list[int]] = {position: [] for position in sorted(layout.dropped)}
    if not found:
        return found

    def stands(position: int, id_: str, half: int) -> bool:
        is_there = position < len(slots) and position not in layout.absent
        return is_there and id_ in _shown_ids(slots[position])[half]

    for call in _pair(slots, later)[0]:
        if call.position in found and not any(stands(position, call.id, 1) for position in call.answers):
            found[call.position] += call.answers
        if not stands(call.position, call.id, 0):
            for position in call.answers:
                if position in found:
                    found[position].append(call.position)
    return found


def _shown_ids(slot: Slot) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if not slot.is_shown:
        return (), ()
    rendering = slot.shown_rendering()
    return rendering.calls, rendering.answers


def pairing_warnings(slots: Sequence[Slot], layout: Layout, later: Sequence[Slot]) -> list[str]:
    """Returns warnings about calls that are answered twice or never, and about answers without a call.

    A call without an answer in the last turn is no reason for a warning: the turn is still open.
    """
    calls, lone_answers = _pair(slots, later)
    if not calls and not lone_answers:
        return []
    shown = {p for p, slot in enumerate(slots) if slot.is_shown and p not in layout.absent}
    last_turn = max((layout.rank(p) for p in shown if not slots[p].rendering.answers), default=(-1, -1))
    warnings = []
    for call in calls:
        where = f"commit {slots[call.position].commit}: tool call {call.id!r}" if call.position in shown else ""
        count = sum(p in shown for p in call.answers)
        if where and not call.answers and layout.rank(call.position) < last_turn:
            warnings.append(f"{where} was never answered")
        elif where and count > 1:
            warnings.append(f"{where} was answered {count} times")
    warnings += [
        f"commit {slots[p].commit} answers tool call {id_!r}, which was never made"
        for p, id_ in lone_answers
        if p in shown
    ]
    return warnings


def summary_warnings(slots: Sequence[Slot], layout: Layout, targets: dict[int, list[int]]) -> list[str]:
    """Returns warnings about summaries that do not stand because of others with which they share a part."""
    warnings = []
    for summary, winner in sorted(layout.beaten.items()):
        own, others = _leaves(summary, targets), _leaves(winner, targets)
        is_alike = own == others and slots[summary].shown_rendering() == slots[winner].shown_rendering()
        if not own < others and not is_alike:
            warnings.append(
                f"commit {slots[summary].commit} is left out: another summary, {slots[winner].commit}, stands for some "
                "of the same commits; revert the one that should not show"
            )
    return warnings


def export_warnings(slots: list[Slot], layout: Layout) -> list[str]:
    """Returns warnings about what providers refuse, and what an export therefore moves or leaves out."""
    shown = [(slot, slot.shown_rendering()) for _, slot in in_shown_order(slots, layout) if slot.is_shown]
    is_answered = any(rendering.answers for _, rendering in shown)
    ids = [ToolIds(r.calls, r.answers, _joins(r)) for _, r in shown] if is_answered else []
    warnings = [
        f"commit {shown[late.result][0].commit}: the result of tool call {late.id!r} does not directly follow the call "
        f"(commit {shown[late.call][0].commit}); to_openai() moves what lies between them behind it"
        for late in place_results(ids).late
    ]
    for slot, rendering in shown:
        for flaw in find_flaws(rendering):
            is_summary = flaw == "message" and bool(slot.targets)
            warnings.append(f"commit {slot.commit} {_FLAWS['summary' if is_summary else flaw]}")
    return warnings


def _joins(rendering: Rendering) -> bool:
    """Returns whether neighbouring calls of this kind share a message: single calls, and items of OpenAI's responses."""
    if rendering.content_type == "tool_io":
        return True
    body = rendering.body if rendering.calls else None
    return body is not None and '"call_id":"' in body and is_item(canonical.decode(body.encode()))


_FLAWS = {
    "message": "makes an empty message; to_openai() leaves it out",
    "summary": "is a summary without a text, and hides the commits that it stands for; to_openai() leaves it out",
    "block": "makes a message with an empty text block; to_openai() leaves the block out",
    "order": "has a tool result behind other blocks of its message; to_openai() puts it before them",
}
