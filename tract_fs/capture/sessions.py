"""Session files and tracts: reads a file, finds the tract of each of its sessions, and imports or exports it."""

from __future__ import annotations

import os
from typing import BinaryIO

from tract_fs.capture import stamps
from tract_fs.capture.exporter import exact_value, iter_records, to_lines
from tract_fs.capture.files import open_source
from tract_fs.capture.importer import TranscriptImporter, TranscriptReport
from tract_fs.errors import ArgumentError, TranscriptFlawed
from tract_fs.transcripts import format_of, read_transcripts
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Transcript
from tract_fs.work.session import Session

SessionFile = str | os.PathLike[str] | bytes | BinaryIO


def read_file(
    file: SessionFile, *, format: str | None = None, strict: bool = False, is_growing: bool = False
) -> tuple[Source, list[Transcript]]:
    """Returns a session file and its sessions. Errors: OSError, ArgumentError, TranscriptFormatUnknown, TranscriptFlawed."""
    source = open_source(file, is_growing=is_growing)
    found = read_transcripts(source, format)
    for transcript in found if strict else ():
        if transcript.flaws:
            first = min(transcript.flaws, key=lambda flaw: flaw.line)
            raise TranscriptFlawed(
                name=source.name,
                count=len(transcript.flaws),
                line=first.line,
                reason=first.reason,
                flaws=tuple(transcript.flaws),
            )
    return source, found


def import_file(
    session: Session,
    file: SessionFile,
    *,
    format: str | None = None,
    session_id: str | None = None,
    strict: bool = False,
    is_growing: bool = False,
) -> TranscriptReport:
    """Imports one session of a file into the tract of `session`; see `Tract.import_transcript`."""
    source, found = read_file(file, format=format, strict=strict, is_growing=is_growing)
    chosen = [transcript for transcript in found if session_id in (None, transcript.id)]
    if len(chosen) != 1:
        ids = ", ".join(transcript.id for transcript in found)
        raise ArgumentError(f"{source.name}: {len(chosen)} sessions to import; choose one by its id: {ids}")
    return TranscriptImporter(session, chosen[0]).run()


def export_file(session: Session) -> bytes:
    """Returns the file of the session that a tract was imported from; see `Tract.export_transcript`."""
    origin = session.reader.metadata().get(stamps.KEY)
    if not isinstance(origin, dict) or not isinstance(origin.get("format"), str):
        raise ArgumentError(f"tract {session.tract_id!r} is no imported session: give the format to export it in")
    format, session_id = origin["format"], str(origin.get("session", ""))
    records = list(iter_records(session, format, session_id))
    assemble = getattr(format_of(format), "assemble", None)
    data: bytes = (
        b"".join(to_lines(iter(records))) if assemble is None else assemble([exact_value(one) for one in records])
    )
    encoding = origin.get("encoding")
    return data.decode().encode(encoding) if isinstance(encoding, str) and encoding else data
