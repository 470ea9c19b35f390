"""Sessions of agents on the command line: imports their files, one tract a session, and says what became of each."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
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
from tract_fs.cli.output import counted, warn
from tract_fs.errors import TractError
from tract_fs.transcripts import REQUESTS
from tract_fs.transcripts.resume import SessionBytes, SessionCheck

_SHOWN_FLAWS = 10
_OUTCOMES = ("kept", "repaired", "skipped", "noted")  # of what is not right in a file
_LONG_IMPORT_FILES = 20


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
    path = invocation.require_context()
    if invocation.tract_id is not None:
        if len(files) > 1:
            raise click.UsageError("--tract takes one file: each session has a tract of its own")
        with Tract.open(path, tract_id=invocation.tract_id, branch=invocation.branch or "main") as t:
            return [shown(files[0], t.import_transcript(files[0], format=format, strict=is_strict))]
    by_file: dict[str, list[dict[str, Any]]] = {file: [] for file in files}

    def note(file: object, error: TractError | OSError) -> None:
        if len(files) == 1:
            raise error
        warn(f"{file}: {words(error)}")
        by_file[str(file)].append({"file": file, "error": type(error).__name__, "message": words(error)})

    with Store.open(path) as store, _progress(files, is_hidden=invocation.is_json) as steps:
        for file, report in store.import_transcripts(steps, format=format, strict=is_strict, on_error=note):
            by_file[str(file)].append(shown(str(file), report))
    return [one for file, found in by_file.items() for one in found or [{"file": file, "is_known": True}]]


@contextmanager
def _progress(files: Sequence[str], *, is_hidden: bool) -> Iterator[Iterable[str]]:
    """Yields the files; where they are many, a progress bar on stderr moves with them, if that is a terminal."""
    if is_hidden or len(files) < _LONG_IMPORT_FILES or not sys.stderr.isatty():
        yield files
        return
    with click.progressbar(files, label="importing", show_pos=True, file=sys.stderr) as bar:
        yield bar


def show_imported(done: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yields a line per session for people, and its first flaws."""
    for one in done:
        if "error" in one:
            continue
        if one.get("is_known"):
            yield f"{one['file']}: nothing new"
            continue
        head = "" if one["head"] is None else f", head {one['head'][:DIGITS]}"
        yield (
            f"{one['file']}: {one['format']}, {counted(one['messages'], 'message')} in {counted(one['entries'], 'record')}{_counts(total([one]))}; "
            f"{counted(one['added'], 'commit')} added to tract {one['tract_id']}{head}"
        )
        if one["branches"]:
            yield f"  branches made: {', '.join(one['branches'])}"
        yield from _shown_flaws(one["flaws"])
    if len(done) > 1:
        found = total(done)
        yield (
            f"total: {counted(found['sessions'], 'session')}, {counted(found['messages'], 'message')} in {counted(found['entries'], 'record')}"
            f"{_counts(found)}; {counted(found['added'], 'commit')} added; {counted(found['known'], 'file')} with nothing new, "
            f"{found['failed']} failed"
        )


def total(done: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Returns the sums of what became of sessions; of what was not right in their files, the number of each outcome."""
    read = [one for one in done if "error" not in one and not one.get("is_known")]
    outcomes = Counter(flaw["outcome"] for one in read for flaw in one["flaws"])
    return {
        "sessions": len(read),
        **{name: sum(one[name] for one in read) for name in ("messages", "entries", "added", "edited")},
        **{outcome: outcomes[outcome] for outcome in _OUTCOMES},
        "known": sum(bool(one.get("is_known")) for one in done),
        "failed": sum("error" in one for one in done),
    }


def _counts(found: dict[str, int]) -> str:
    """Returns the numbers of what was not right, for people; empty if all was."""
    return "".join(f", {found[outcome]} {outcome}" for outcome in _OUTCOMES if found[outcome])


def export_session(
    invocation: Invocation,
    output: str | None,
    *,
    format: str | None,
    at_commit: str | None,
    session_id: str | None,
    folder: str | None,
) -> tuple[SessionBytes, str]:
    """Returns a session file, and where it goes. Errors: CommandError if there is a file."""
    with invocation.reading() as t:
        if at_commit is None:
            invocation.require_history(t)
        else:
            invocation.require_tract(t)
        with nullcontext(t) if at_commit is None else t.at(at_commit) as at:
            made = at.export_transcript(format=format, session_id=session_id, cwd=folder)
    if output is not None and os.path.isdir(output):
        output = os.path.join(
            output, os.path.basename(made.path) or f"{t.tract_id}.{'json' if format in REQUESTS else 'jsonl'}"
        )
    if output is not None and output != "-" and os.path.exists(output):
        raise CommandError(f"{output}: the file exists already; choose another name")
    return made, output or "-"


def show_check(file: str, found: SessionCheck) -> Iterator[str]:
    """Yields what an agent would load of a session file, for people."""
    yield f"{file}: {found.format} would load {found.loaded} of {found.loaded + len(found.lost)} messages ({found.share:.0%})"
    if found.summarized:
        yield f"  {found.summarized} are summarized by a compaction"
    if found.left:
        yield f"  {found.left} are on paths that the session went back from"
    for loss in found.lost[:_SHOWN_FLAWS]:
        yield f"  {f'line {loss.line}' if loss.line else loss.key or 'the session'}: lost: {loss.reason}"
    yield from _shown_flaws(to_builtins(found.flaws))
    if len(found.lost) > _SHOWN_FLAWS:
        yield f"  and {len(found.lost) - _SHOWN_FLAWS} more messages lost; --json lists all"


def _shown_flaws(flaws: Sequence[dict[str, Any]]) -> Iterator[str]:
    for flaw in flaws[:_SHOWN_FLAWS]:
        place = f"line {flaw['line']}" if flaw["line"] else "the session"
        yield f"  {place}: {flaw['outcome']}: {flaw['reason']}"
    if len(flaws) > _SHOWN_FLAWS:
        yield f"  and {len(flaws) - _SHOWN_FLAWS} more; --json lists all"


def words(error: TractError | OSError) -> str:
    """Returns the message of an error, for a line that names its file."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def shown(file: str, report: TranscriptReport) -> dict[str, Any]:
    """Returns what became of a session as JSON."""
    return {"file": file, **to_builtins(report)}
