"""Gemini CLI before its lines: one JSON object of a session, with all its messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tract_fs.model.fields import Fields, fields_of, picked, text_in
from tract_fs.transcripts.document import assemble_document, document_units
from tract_fs.transcripts.gemini_cli import contents_of, is_header, message_fields
from tract_fs.transcripts.linear import read_linear
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Transcript

NAME = "gemini-cli-json"


def matches(source: Source) -> bool:
    """Returns whether the file is an object that names a session and its project, with messages."""
    document = fields_of(source.document)
    return is_header(document) and isinstance(document.get("messages"), list)


def read(source: Source) -> list[Transcript]:
    """Returns the session of the file."""
    units = document_units(source, "messages")
    header = fields_of(units[0].value)

    def meaning(message: Fields, position: int) -> Fields:
        return {"contents": contents_of(message) if position else [], **message_fields(message)}

    return read_linear(
        NAME,
        source,
        units,
        meaning,
        id_of=lambda message: message.get("id"),
        has_head=True,
        id=text_in(header, "sessionId"),
        title=text_in(header, "summary"),
        metadata=picked(header, "projectHash", "startTime", "directories", "kind"),
    )


def assemble(values: Sequence[Any]) -> bytes:
    """Returns the file of the document and its messages."""
    return assemble_document(values, "messages")
