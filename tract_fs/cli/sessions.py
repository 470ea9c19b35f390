"""Sessions of agents on the command line: imports their files, one tract a session, and says what became of each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import click
from msgspec import to_builtins

from tract_fs import Store, Tract
from tract_fs.capture.files import open_source
from tract_fs.capture.importer import TranscriptReport
from tract_fs.cli.display import DIGITS
from tract_fs.cli.invocation import CommandError, Invocation
from tract_fs.cli.output import warn
from tract_fs.errors import TractError, TranscriptFormatUnknown
from tract_fs.transcripts import LISTS, format_for

_SHOWN_FLAWS = 10


def is_session(file: str) -> bool:
    """Returns whether a file is the session of an agent, and no list of messages."""
    if file == "-" or not os.path.isfile(file):
        return False
    with open_source(file) as source:
        try:
            return format_for(source) not in LISTS
        except TranscriptFormatUnknown:
            return False


def import_sessions(
    invocation: Invocation, files: Sequence[str], *, format: str | None, is_strict: bool
) -> list[dict[str, Any]]:
    """Imports the sessions of files, each into a tract of its own, or into the one that --tract names; returns what became
    of each. A file that can't be imported is named, and the others are imported.
    """
    done: list[dict[str, Any]] = []
    path = invocation.require_context()
    if invocation.tract_id is not None:
        if len(files) > 1:
            raise click.UsageError("--tract takes one file: each session has a tract of its own")
        with Tract.open(path, tract_id=invocation.tract_id, branch=invocation.branch or "main") as t:
            return [_shown(files[0], t.import_transcript(files[0], format=format, strict=is_strict))]
    with Store.open(path) as store:
        for file in files:
            try:
                found = [
                    _shown(file, report) for report in store.import_transcripts([file], format=format, strict=is_strict)
                ]
            except (TractError, OSError) as error:
                if len(files) == 1:
                    raise
                warn(f"{file}: {error}")
                found = [{"file": file, "error": type(error).__name__, "message": str(error)}]
            done += found or [{"file": file, "is_known": True}]
    return done


def show_imported(done: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yields a line per session for people, and its first flaws."""
    for one in done:
        if "error" in one:
            continue
        if one.get("is_known"):
            yield f"{one['file']}: nothing new"
            continue
        others = one["entries"] - one["messages"]
        head = "" if one["head"] is None else f", head {one['head'][:DIGITS]}"
        yield (
            f"{one['file']}: {one['format']}, {one['messages']} messages and {others} other records; "
            f"{one['added']} commits added to tract {one['tract_id']}{head}"
        )
        if one["branches"]:
            yield f"  branches made: {', '.join(one['branches'])}"
        for flaw in one["flaws"][:_SHOWN_FLAWS]:
            place = f"line {flaw['line']}" if flaw["line"] else "the session"
            yield f"  {place}: {flaw['outcome']}: {flaw['reason']}"
        if len(one["flaws"]) > _SHOWN_FLAWS:
            yield f"  and {len(one['flaws']) - _SHOWN_FLAWS} more; --json lists all"


def export_session(invocation: Invocation, output: str | None) -> tuple[bytes, str]:
    """Returns the file that the tract was imported from, and where it goes. Errors: CommandError if there is a file."""
    with invocation.reading() as t:
        invocation.require_history(t)
        data = t.export_transcript()
    if output is not None and output != "-" and os.path.exists(output):
        raise CommandError(f"{output}: the file exists already; choose another name")
    return data, output or "-"


def _shown(file: str, report: TranscriptReport) -> dict[str, Any]:
    return {"file": file, **to_builtins(report)}
