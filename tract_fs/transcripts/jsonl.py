"""Plain JSON lines: a message a line, with a role, in the shape of any provider."""

from __future__ import annotations

from typing import Any

from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Branch, Entry, Transcript

NAME = "jsonl"


def matches(source: Source) -> bool:
    """Returns whether the first record is a message."""
    return bool(source.sample) and _is_message(source.sample[0])


def read(source: Source) -> list[Transcript]:
    """Returns the file as one session without an id; a line that is no message is kept as a record."""
    units = source.units

    def entry(position: int) -> Entry:
        unit = units[position]
        contents = [unit.value] if _is_message(unit.value) else []
        return Entry.of(unit, key=str(position + 1), contents=contents)

    return [
        Transcript(
            format=NAME,
            id="",
            branches=[Branch("main", range(len(units)))],
            entry=entry,
            count=len(units),
            flaws=units.flaws(),
            encoding=source.encoding,
        )
    ]


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str) and bool(value["role"])
