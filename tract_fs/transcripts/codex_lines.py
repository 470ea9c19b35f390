"""The lines of a Codex thread: those of its own rollout, and before them what it was forked from.

A fork does not copy: its `history_base` names the thread, the ordinal and the byte at which the history before it ends,
in another rollout, which may be a fork too.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from tract_fs.model.fields import Fields, fields_of, text_in
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.units import Flaw, Unit, Units

_MOST_FILES = 100
ITEM_TYPES = frozenset(["message", "reasoning", "function_call", "function_call_output"])


def parts_of(value: Any) -> tuple[str, Fields]:
    """Returns the type and the payload of a line; of a line of before September 2025, which has no payload, as if it had."""
    record = fields_of(value)
    kind = text_in(record, "type")
    if "payload" in record:
        return kind, fields_of(record["payload"])
    if kind in ITEM_TYPES:
        return "response_item", record
    return ("session_meta", record) if not kind and "instructions" in record and "id" in record else (kind, {})


def thread_of(header: Fields) -> str:
    """Returns the id of the thread that a session_meta begins; empty if it has none."""
    return text_in(header, "id") or text_in(header, "session_id")


class _Piece(Struct, frozen=True):
    """The lines of one rollout that belong to the thread: its first `count`; `thread` is empty for the rollout's own."""

    units: Units
    count: int
    thread: str


class ThreadLines:
    """The records of a thread by position: those of other rollouts first, then those of its own, from `first_own` on."""

    def __init__(self, source: Source) -> None:
        self.flaws: list[Flaw] = []
        self.own = source.units
        self.header = _header(self.own)
        self.thread = thread_of(self.header)
        self.is_whole = True  # no part of its history is missing
        self._pieces = [*self._find_base(source), _Piece(self.own, len(self.own), "")]
        self._starts = [0]
        for piece in self._pieces:
            self._starts.append(self._starts[-1] + piece.count)
        self.first_own = self._starts[-2]

    def __len__(self) -> int:
        return self._starts[-1]

    def unit(self, position: int) -> Unit:
        """Returns the record at a position."""
        number = bisect_right(self._starts, position) - 1
        return self._pieces[number].units[position - self._starts[number]]

    def place(self, position: int) -> tuple[str, int]:
        """Returns the thread in whose rollout a position is, empty for the own one, and the record's number there, from 0."""
        number = bisect_right(self._starts, position) - 1
        return self._pieces[number].thread, position - self._starts[number]

    def name(self, position: int) -> str:
        """Returns what names a position whatever the thread's files grow to."""
        thread, number = self.place(position)
        return f"{thread}/{number + 1}" if thread else str(number + 1)

    def in_order(self) -> Iterator[int]:
        """Yields the positions as the context has them: the thread's own session_meta first."""
        if self.header:
            yield self.first_own
        yield from (place for place in range(len(self)) if not self.header or place != self.first_own)

    def headers(self) -> list[tuple[int, Fields]]:
        """Returns the session_meta that begins each rollout with its position, the thread's own first."""
        found = zip(self._starts, self._pieces, strict=False)
        return [(start, _header(piece.units)) for start, piece in reversed(list(found))]

    def _find_base(self, source: Source) -> list[_Piece]:
        """Returns what lies in other rollouts, the oldest first."""
        pieces: list[_Piece] = []
        seen = {self.thread}
        base = self.header.get("history_base")
        while isinstance(base, dict):
            thread = text_in(base, "thread_id")
            found = source.find(thread) if thread not in seen and len(pieces) < _MOST_FILES else None
            end = None if found is None else _end(found.units, base)
            if found is None or end is None:
                reason = "is in no rollout here" if found is None else "does not end where this one begins"
                self.flaws.append(Flaw(1, "noted", f"the history before it, of thread {thread[:40]!r}, {reason}"))
                self.is_whole = False
                break
            seen.add(thread)
            pieces.append(_Piece(found.units, end, thread))
            base = _header(found.units).get("history_base")
        return pieces[::-1]


def _header(units: Units) -> Fields:
    """Returns the payload of the session_meta that a rollout begins with; empty if it does not."""
    kind, payload = parts_of(units[0].value) if len(units) else ("", {})
    return payload if kind == "session_meta" else {}


def _end(units: Units, base: Fields) -> int | None:
    """Returns how many records of a rollout are before the end that a `history_base` names; None if it is no place there.

    The byte counts; where no line begins at it, since the rollout was repaired, the ordinal.
    """
    byte, ordinal = base.get("end_byte_offset"), base.get("end_ordinal_exclusive")
    if type(byte) is int and byte >= 0:
        count = units.place_of(byte)
        if count is not None:
            return count
    if type(ordinal) is not int:
        return None
    for place, unit in enumerate(units):
        found = fields_of(unit.value).get("ordinal")
        if type(found) is int and found >= ordinal:
            return place
    last = fields_of(units[len(units) - 1].value).get("ordinal") if len(units) else None
    return len(units) if last == ordinal - 1 else None
