"""Turns in the order that providers accept: every result directly behind its call, no call or result without its other
half, an id for every call.

What is empty is left out before a message is read. A provider whose messages name no speaker between a call and its
results gets what lies between behind the results (model/tool_order).
"""

from __future__ import annotations

import re
from hashlib import sha256

from msgspec.structs import replace

from tract_fs.model.providers.parts import Call, Notes, Part, Result, Sealed, Text, Thinking, Turn
from tract_fs.model.shapes import Shape
from tract_fs.model.tool_order import ToolIds, place_results

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_COMMIT_DIGITS = 24


def arranged(turns: list[Turn], form: Shape | None, notes: Notes) -> list[Turn]:
    """Returns turns as a provider takes them: without what is for another, split, ordered, joined and with ids; None: no
    provider.
    """
    result: list[Turn] = []
    for turn in turns:
        if len(turn.parts) == 1 and type(turn.parts[0]) is Text and turn.parts[0].raw is None:
            result.append(turn)
        else:
            result += _split(_readable(_identified(turn), form, notes), moves_media=form == "openai")
    order = place_results([_ids(turn) for turn in result]).order
    result = [result[position] for position in order]
    if form != "openai":
        result = _settled(result, notes)
    if form != "openai-responses":
        result = _joined(result)
    return _named(result, form)


def _identified(turn: Turn) -> Turn:
    """Returns a turn with an id for every call: one that has none is given one by its commit and place."""
    calls = [part for part in turn.parts if isinstance(part, Call)]
    if all(part.id for part in calls):
        return turn
    ids = {
        id(part): f"call_{''.join(turn.commits[:1])[:_COMMIT_DIGITS]}_{number}" for number, part in enumerate(calls, 1)
    }
    named = [replace(part, id=part.id or ids[id(part)]) if isinstance(part, Call) else part for part in turn.parts]
    return replace(turn, parts=named)


def _readable(turn: Turn, form: Shape | None, notes: Notes) -> Turn:
    """Returns a turn without the blocks that only another provider can read."""
    parts = [kept for part in turn.parts if (kept := _readable_part(part, turn, form, notes)) is not None]
    is_whole = len(parts) == len(turn.parts) and all(a is b for a, b in zip(parts, turn.parts, strict=True))
    return turn if is_whole else replace(turn, parts=parts, raw=None)


def _readable_part(part: Part, turn: Turn, form: Shape | None, notes: Notes) -> Part | None:
    if isinstance(part, Result) and not isinstance(part.content, str):
        found = [kept for one in part.content if (kept := _readable_part(one, turn, form, notes)) is not None]
        return part if found == list(part.content) else replace(part, content=tuple(found))
    if isinstance(part, Thinking) and (part.shape != form or not part.is_whole):
        notes.thinking(turn)
        return None
    if isinstance(part, Sealed) and part.shape != form:
        notes.sealed(turn, part)
        return Text(text=part.text) if part.text else None
    if part.is_signed and part.shape != form:
        notes.thinking(turn)
    return part


def _split(turn: Turn, *, moves_media: bool) -> list[Turn]:
    """Returns the results of a turn as a turn of their own, before all else; with `moves_media`, of texts alone."""
    results = [part for part in turn.parts if isinstance(part, Result)]
    if not results or (turn.role not in ("user", "tool") and not turn.is_item):
        return [turn]
    rest = [part for part in turn.parts if not isinstance(part, Result)]
    media: list[Part] = []
    if moves_media:
        for result in results:
            if not isinstance(result.content, str):
                media += [part for part in result.content if not isinstance(part, Text)]
        if turn.role == "tool" and not media:
            return [turn]
    made = [Turn("tool", list(results), turn.commits, raw=None if media or rest else turn.raw)]
    if media or rest:
        made.append(Turn("user", [*media, *rest], turn.commits, name=turn.name))
    return made


def _joined(turns: list[Turn]) -> list[Turn]:
    """Returns turns with neighbours joined whose calls share a message: single calls, and what one response brought."""
    result: list[Turn] = []
    for turn in turns:
        before = result[-1] if result else None
        is_shared = before is not None and (
            (before.joins and turn.joins)
            or (before.is_item and turn.is_item and before.role == turn.role == "assistant")
        )
        if before is None or not is_shared:
            result.append(turn)
            continue
        commits = tuple(dict.fromkeys((*before.commits, *turn.commits)))
        result[-1] = Turn(
            "assistant",
            [*before.parts, *turn.parts],
            commits,
            joins=turn.joins,
            is_item=before.is_item and turn.is_item,
            is_plain=before.is_plain or turn.is_plain,
        )
    return result


_NO_IDS = ToolIds((), ())


def _ids(turn: Turn) -> ToolIds:
    if turn.is_plain and len(turn.parts) == 1:
        return _NO_IDS
    calls = tuple(part.key for part in turn.parts if isinstance(part, Call) and part.key)
    answers = tuple(part.key for part in turn.parts if isinstance(part, Result) and part.key)
    return ToolIds(calls, answers, turn.joins)


def _settled(turns: list[Turn], notes: Notes) -> list[Turn]:
    """Returns turns without the results of no open call, and without the calls that the conversation passed over.

    Calls of the last turn stay: their results may still come.
    """
    open_calls: dict[str, tuple[int, Call]] = {}  # key: the turn, and the call
    dropped: set[int] = set()  # ids of parts
    calls_before = False  # whether the turn before calls
    for position, turn in enumerate(turns):
        results = [part for part in turn.parts if isinstance(part, Result)]
        for result in results:
            if open_calls.pop(result.key, None) is None:
                dropped.add(id(result))
                notes.left_out(turn, f"answers tool call {result.key!r}, which is not open there")
        if results:
            calls_before = False
            continue
        calls = [part for part in turn.parts if isinstance(part, Call)]
        if not (calls and calls_before and turn.joins):
            _drop_open(turns, open_calls, dropped, notes)
        for call in calls:
            if call.key in open_calls:
                _drop_open(turns, {call.key: open_calls[call.key]}, dropped, notes)
            open_calls[call.key] = (position, call)
        calls_before = bool(calls) and turn.joins
    if not dropped:
        return turns
    kept = []
    for turn in turns:
        parts = [part for part in turn.parts if id(part) not in dropped]
        if len(parts) == len(turn.parts):
            kept.append(turn)
        elif parts:
            kept.append(replace(turn, parts=parts, raw=None))
    return kept


def _drop_open(turns: list[Turn], open_calls: dict[str, tuple[int, Call]], dropped: set[int], notes: Notes) -> None:
    for key, (position, call) in open_calls.items():
        dropped.add(id(call))
        notes.left_out(turns[position], f"makes tool call {key!r}, which was never answered")
    open_calls.clear()


def _named(turns: list[Turn], form: Shape | None) -> list[Turn]:
    """Returns turns with the id of its call for every result, both as the provider takes them, and with its name."""
    made: dict[str, tuple[str | None, str, bool]] = {}  # key: id, name, whether the arguments are any text
    for turn in turns:
        for place, part in enumerate(turn.parts):
            if isinstance(part, Call):
                id_ = _fitting(part.id or "", form)
                made[part.key] = id_, part.name, part.is_free
                turn.parts[place] = replace(part, id=id_)
            elif isinstance(part, Result):
                id_or_none, name, is_free = made.get(part.key, (part.id, part.name or "", False))
                turn.parts[place] = replace(part, id=id_or_none, name=part.name or name or None, is_free=is_free)
    return turns


def _fitting(id_: str, form: Shape | None) -> str:
    """Returns an id as the provider takes it: itself, or one derived from it."""
    is_any = form in ("openai", "gemini", None) or (form == "openai-responses" and len(id_) <= 64)
    return id_ if is_any or _ID.fullmatch(id_) else f"call_{sha256(id_.encode()).hexdigest()[:_COMMIT_DIGITS]}"
