"""Session files and tracts: reads a file, finds the tract of each of its sessions, and imports or exports it."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from typing import BinaryIO

from tract_fs.capture import stamps
from tract_fs.capture.exporter import iter_records, to_lines
from tract_fs.capture.files import digest_of, open_source
from tract_fs.capture.importer import TranscriptImporter, TranscriptReport
from tract_fs.errors import ArgumentError, TranscriptFlawed
from tract_fs.transcripts import format_of, read_transcripts
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Transcript
from tract_fs.work.session import Session

SessionFile = str | os.PathLike[str] | bytes | BinaryIO


def read_source(source: Source, *, format: str | None = None, strict: bool = False) -> list[Transcript]:
    """Returns the sessions of a file. Errors: OSError, ArgumentError, TranscriptFormatUnknown, TranscriptFlawed."""
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
    return found


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
    with open_source(file, is_growing=is_growing) as source:
        found = read_source(source, format=format, strict=strict)
        chosen = [transcript for transcript in found if session_id in (None, transcript.id)]
        if len(chosen) != 1:
            ids = ", ".join(transcript.id for transcript in found)
            raise ArgumentError(f"{source.name}: {len(chosen)} sessions to import; choose one by its id: {ids}")
        return TranscriptImporter(session, chosen[0], digest_of(source) if len(found) == 1 else "").run()


def iter_new(
    file: SessionFile,
    known: Container[object] = (),
    *,
    format: str | None = None,
    strict: bool = False,
    is_growing: bool = False,
) -> Iterator[tuple[str, Transcript, str]]:
    """Yields the sessions of a file, each with the name of its tract and the digest of the file, which is empty where a last line
    waits for its end; none if `known` has the digest.

    The file is open until the last. Errors: as `read_source`.
    """
    with open_source(file, is_growing=is_growing) as source:
        digest = digest_of(source)
        for transcript in [] if digest in known else read_source(source, format=format, strict=strict):
            yield name_of(transcript, source.name), transcript, "" if source.has_rest else digest


def import_transcript(session: Session, transcript: Transcript, digest: str) -> TranscriptReport:
    """Imports a transcript into the tract of `session`."""
    return TranscriptImporter(session, transcript, digest).run()


def name_of(transcript: Transcript, file_name: str) -> str:
    """Returns the name of the tract for a session: the same for each import of it, on any machine."""
    return f"{transcript.format}-{transcript.id or os.path.splitext(file_name)[0] or 'session'}"


def export_file(session: Session) -> bytes:
    """Returns the file of the session that a tract was imported from; see `Tract.export_transcript`."""
    origin = session.reader.metadata().get(stamps.KEY)
    if not isinstance(origin, dict) or not isinstance(origin.get("format"), str):
        raise ArgumentError(f"tract {session.tract_id!r} is no imported session: give the format to export it in")
    format, session_id = origin["format"], str(origin.get("session", ""))
    records = list(iter_records(session, format, session_id))
    assemble = getattr(format_of(format), "assemble", None)
    data: bytes = b"".join(to_lines(iter(records))) if assemble is None else assemble([one.value for one in records])
    encoding = origin.get("encoding")
    return data.decode().encode(encoding) if isinstance(encoding, str) and encoding else data
