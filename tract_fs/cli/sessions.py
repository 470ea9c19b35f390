"""Sessions of agents on the command line: imports their files, one tract a session, and says what became of each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import click
from msgspec import to_builtins

from tract_fs import Store, Tract
from tract_fs.capture.discover import discover, is_session, sessions_in
from tract_fs.capture.files import FileState
from tract_fs.capture.importer import TranscriptReport
from tract_fs.cli.display import DIGITS
from tract_fs.cli.invocation import CommandError, Invocation
from tract_fs.cli.output import warn
from tract_fs.errors import TractError

_SHOWN_FLAWS = 10


def list_discovered(after: datetime | None) -> list[dict[str, Any]]:
    """Returns the session files of the agents on this machine, as JSON."""
    return [
        {"format": found.format, "file": found.file.path, "size_bytes": found.file.size}
        for found in discover(os.environ)
        if _is_after(found.file, after)
    ]


def choose_files(
    paths: Sequence[str], *, format: str | None, is_all: bool, is_discovered: bool, after: datetime | None
) -> list[str] | None:
    """Returns the session files that an import is about; None where it is about a list of messages.

    Errors: click.UsageError for a folder without --all, and where nothing is named.
    """
    if is_discovered:
        return [one["file"] for one in list_discovered(after)]
    if not paths:
        raise click.UsageError("Missing argument 'FILE...'.")
    if any(map(os.path.isdir, paths)):
        if not is_all:
            raise click.UsageError("a folder goes with --all: each session in it gets a tract of its own")
        return [state.path for path in paths for state in sessions_in(path) if _is_after(state, after)]
    if format == "openai" or (format is None and not all(path != "-" and is_session(path) for path in paths)):
        return None
    return list(paths)


def _is_after(state: FileState, after: datetime | None) -> bool:
    return after is None or state.modified_ns >= after.timestamp() * 1e9


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
            return [shown(files[0], t.import_transcript(files[0], format=format, strict=is_strict))]
    with Store.open(path) as store:
        for file in files:
            try:
                found = [
                    shown(file, report) for report in store.import_transcripts([file], format=format, strict=is_strict)
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


def shown(file: str, report: TranscriptReport) -> dict[str, Any]:
    """Returns what became of a session as JSON."""
    return {"file": file, **to_builtins(report)}
