"""Linear sessions: a record after the other, all on one branch. What a format adds is what each record means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tract_fs.model.fields import Fields, fields_of
from tract_fs.transcripts.document import HEAD, flaws_of
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Branch, Entry, Keys, Transcript
from tract_fs.transcripts.units import Unit, Units


def read_linear(
    format: str,
    source: Source,
    units: Sequence[Unit] | Units,
    meaning: Callable[[Fields, int], Fields],
    *,
    id_of: Callable[[Fields], object] = lambda _: None,
    is_system: Callable[[Fields], bool] = lambda _: False,
    has_head: bool = False,
    **fields: Any,
) -> list[Transcript]:
    """Returns units as one session, in a list.

    `meaning` is called with a record and its position, and returns the fields of its entry; `id_of` returns its id. A
    system prompt, by `is_system`, is covered by no summary but one of its own kind. With `has_head`, the first unit is the
    rest of a document. `fields` are those of the transcript.
    """
    keys = Keys()
    names = []
    systems: dict[int, int | None] = {}  # of each system prompt, by position: the one before it
    for position, unit in enumerate(units):
        if isinstance(unit.value, dict) and is_system(unit.value):
            systems[position] = next(reversed(systems), None)
        id_ = HEAD if has_head and position == 0 else id_of(fields_of(unit.value))
        names.append(keys.of(id_, position, unit.line))

    def entry(position: int) -> Entry:
        unit = units[position]
        value = fields_of(unit.value)
        fields = meaning(value, position) if value else {}
        if position in systems:
            before = systems[position]
            fields["covers"] = () if before is None else (before,)
        elif fields.get("covers"):
            fields["covers"] = [place for place in fields["covers"] if place not in systems]
        return Entry.of(unit, names[position], **fields)

    own = units.flaws() if isinstance(units, Units) else flaws_of(units)
    transcript = Transcript(
        format=format,
        branches=[Branch("main", range(len(names)))],
        entry=entry,
        count=len(names),
        flaws=[*own, *keys.flaws],
        encoding=source.encoding,
        **fields,
    )
    return [transcript]
