"""Gemini CLI before its lines: one JSON object of a session, with all its messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tract_fs.transcripts.document import HEAD, assemble_document, document_units, flaws_of
from tract_fs.transcripts.fields import fields_of, picked, text_in
from tract_fs.transcripts.gemini_cli import contents_of, is_header, message_fields
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Branch, Entry, Keys, Transcript

NAME = "gemini-cli-json"


def matches(source: Source) -> bool:
    """Returns whether the file is an object that names a session and its project, with messages."""
    document = fields_of(source.document)
    return is_header(document) and isinstance(document.get("messages"), list)


def read(source: Source) -> list[Transcript]:
    """Returns the session of the file."""
    units = document_units(source, "messages")
    header = fields_of(units[0].value)
    keys = Keys()
    names = [keys.of(fields_of(unit.value).get("id") if n else HEAD, n) for n, unit in enumerate(units)]

    def entry(position: int) -> Entry:
        unit = units[position]
        message = fields_of(unit.value)
        contents = contents_of(message) if position else []
        return Entry.of(unit, names[position], contents=contents, **message_fields(message))

    return [
        Transcript(
            format=NAME,
            id=text_in(header, "sessionId"),
            branches=[Branch("main", range(len(units)))],
            entry=entry,
            count=len(units),
            title=text_in(header, "summary"),
            metadata=picked(header, "projectHash", "startTime", "directories", "kind"),
            flaws=[*flaws_of(units), *keys.flaws],
        )
    ]


def assemble(values: Sequence[Any]) -> bytes:
    """Returns the file of the document and its messages."""
    return assemble_document(values, "messages")
