"""Tool order: which tool results do not follow their call at once, and an order of the messages in which all do.

Providers refuse a request in which anything stands between a message that calls tools and the results of its calls.
Source: OpenAI API reference, "Create chat completion"; Anthropic API reference, "Tool use".
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct


class ToolIds(Struct, frozen=True):
    """The ids of the calls that a message makes, and of those that it answers.

    With `joins`, neighbouring messages that call go out as one.
    """

    calls: tuple[str, ...]
    answers: tuple[str, ...]
    joins: bool = False


class LateResult(Struct, frozen=True):
    """A result that something separates from its call; positions of the two messages, and the call's id."""

    call: int
    result: int
    id: str


class Placement(Struct, frozen=True):
    """The late results, and the positions of all messages in the order in which no result is late."""

    late: list[LateResult]
    order: list[int]


def place_results(messages: Sequence[ToolIds]) -> Placement:
    """Returns the late results of messages, and an order in which what lies between goes behind the results.

    A result belongs to the nearest call of its id before it. One stays in its place if there is no such call, if that
    call was answered before, or if its message calls too. A message that answers several calls follows the last of
    these.
    """
    if not any(ids.answers for ids in messages):
        return Placement([], list(range(len(messages))))
    late: list[LateResult] = []
    called: dict[str, tuple[int, int]] = {}  # id: the number of its turn, the position of its call
    done: set[str] = set()  # ids whose last call was answered
    ends: list[int] = []  # of each turn, the position of its last call
    homes: dict[int, int] = {}  # result: its turn
    turn = -1  # whose results may follow here; -1: of none
    is_joining = False
    for position, ids in enumerate(messages):
        answered = [(id_, *called[id_]) for id_ in ids.answers if id_ in called]
        answered = [(id_, home, call) for id_, home, call in answered if home == turn or id_ not in done]
        late += [LateResult(call, position, id_) for id_, home, call in answered if home != turn]
        done.update(id_ for id_, _, _ in answered)
        if ids.calls:
            if not (ids.joins and is_joining):
                ends.append(position)
            turn, ends[-1] = len(ends) - 1, position
            called.update((id_, (turn, position)) for id_ in ids.calls)
            done.difference_update(ids.calls)
        elif answered:
            homes[position] = max(home for _, home, _ in answered)
        else:
            turn = -1
        is_joining = ids.joins and bool(ids.calls)
    if not late:
        return Placement(late, list(range(len(messages))))

    def place(position: int) -> tuple[int, bool, int]:
        home = homes.get(position)
        return (position, False, position) if home is None else (ends[home], True, position)

    return Placement(late, sorted(range(len(messages)), key=place))
