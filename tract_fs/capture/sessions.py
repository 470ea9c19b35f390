"""Session files and tracts: reads a file, finds the tract of each of its sessions, and imports or exports it."""

from __future__ import annotations

import os
import sys
from collections.abc import Container, Iterator, Sequence
from itertools import islice
from typing import BinaryIO

from tract_fs.capture import stamps
from tract_fs.capture.databases import is_database, read_database
from tract_fs.capture.exporter import exact_value, iter_records, to_lines
from tract_fs.capture.files import digest_of, open_source
from tract_fs.capture.importer import TranscriptImporter, TranscriptReport
from tract_fs.errors import ArgumentError, TranscriptFlawed
from tract_fs.transcripts import format_for, format_of, read_transcripts
from tract_fs.transcripts.message_lists import LINES
from tract_fs.transcripts.resume import SessionCheck
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Transcript
from tract_fs.work.session import Session

_SHOWN_IDS = 20
SessionFile = str | os.PathLike[str] | bytes | BinaryIO


def read_source(
    source: Source, *, format: str | None = None, session_id: str | None = None, strict: bool = False
) -> Sequence[Transcript]:
    """Returns the sessions of a file, or those with an id. Errors: OSError, ArgumentError, TranscriptFormatUnknown,
    TranscriptFlawed.
    """
    found: Sequence[Transcript]
    if is_database(source):
        found = read_database(source, session_id)
    else:
        found = [one for one in read_transcripts(source, format) if session_id in (None, one.id)]
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
        found = read_source(source, format=format, session_id=session_id, strict=strict)
        if len(found) != 1:
            ids = ", ".join(transcript.id for transcript in islice(found, _SHOWN_IDS))
            raise ArgumentError(f"{source.name}: {len(found)} sessions to import; choose one by its id: {ids}")
        is_whole = session_id is None and not is_database(source)
        return TranscriptImporter(session, found[0], digest_of(source) if is_whole else "").run()


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
        digest = "" if is_database(source) else digest_of(source)  # a database's newest rows may lie beside it
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
        raise ArgumentError(
            f"tract {session.tract_id!r} is no imported session; name the format to export it in with --format (format=)"
        )
    format, session_id = origin["format"], str(origin.get("session", ""))
    count, branches = origin.get("entries"), origin.get("branches")
    names = [name for name in branches if isinstance(name, str)] if isinstance(branches, list) else []
    most = count if isinstance(count, int) else sys.maxsize
    records = list(iter_records(session, format, session_id, count=most, branches=names))
    assemble = None if origin.get("shape") == LINES else getattr(format_of(format), "assemble", None)
    data: bytes = (
        b"".join(to_lines(iter(records))) if assemble is None else assemble([exact_value(one) for one in records])
    )
    encoding = origin.get("encoding")
    return f"\ufeff{data.decode()}".encode(encoding) if isinstance(encoding, str) and encoding else data


def check_session(file: SessionFile, *, format: str | None = None) -> SessionCheck:
    """Returns what its tool would load of a session file, and what it would lose; nothing is written.

    Errors: OSError, ArgumentError if nothing resumes from files of its format, TranscriptFormatUnknown.
    """
    with open_source(file) as source:
        name = format_for(source) if format is None else format
        check = getattr(format_of(name), "check", None)
        if check is None:
            raise ArgumentError(f"{source.name}: what is loaded of a file of the format {name!r} is not known")
        result: SessionCheck = check(source)
        return result
