"""The command `tract doctor`: what is wrong with this set-up, in sentences that name what to do. It writes nothing to the synced store."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator

import click
from msgspec import Struct, to_builtins

from tract_fs import Status, Tract, __version__
from tract_fs.capture import files
from tract_fs.capture.hooks import PROGRAMS, own_hooks
from tract_fs.cli.invocation import STORE_DIRECTORY, Invocation, with_store
from tract_fs.cli.output import fail_if, inline, styled
from tract_fs.errors import TractError

_LEAST_FREE_BYTES, _LOW_FREE_BYTES = 100 << 20, 1 << 30
_LEAST_SQLITE = (3, 34)  # with the trigram tokenizer
_COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}


class _Finding(Struct, frozen=True):
    """One sentence; its kind is "ok", "note" (nothing has to be done) or "problem"."""

    kind: str
    text: str


@click.command(short_help="Show what is wrong with this set-up.")
@with_store
def doctor(invocation: Invocation) -> None:
    """Show what is wrong with this set-up, and what to do: programs, store, permissions, locks, git, files, heads, hooks, clock, disk.

    The files are those of one tract; --tract names another. The exit code is 1 if there is something to do.
    """
    found = [*_programs(), *_store(invocation), *_hooks(invocation)]
    problems = [finding for finding in found if finding.kind == "problem"]

    def show() -> None:
        for finding in found:
            click.echo(f"{styled(finding.kind.ljust(7), fg=_COLOURS[finding.kind])}  {inline(finding.text)}")
        if not problems:
            click.echo("nothing to do")

    invocation.answer(lambda: {"is_ok": not problems, "findings": to_builtins(found)}, show)
    fail_if(problems)


def _programs() -> Iterator[_Finding]:
    from sqlite3 import sqlite_version, sqlite_version_info

    yield _Finding("ok", f"tract {__version__}, Python {platform.python_version()}, SQLite {sqlite_version}")
    if sqlite_version_info < _LEAST_SQLITE:
        least = ".".join(map(str, _LEAST_SQLITE))
        yield _Finding("note", f"this SQLite is older than {least}: use a Python that was built with a newer one")


def _store(invocation: Invocation) -> Iterator[_Finding]:
    try:
        path = invocation.require_context()
        with invocation.reading() as t:
            yield _Finding("ok", f"the store is in {os.path.abspath(path)}/{STORE_DIRECTORY}")
            yield from _permissions(os.path.join(path, STORE_DIRECTORY))
            yield from _disk(path)
            tracts = Tract.tracts(path)
            if not tracts or invocation.tract_id is not None or t.tract_id in tracts:
                invocation.require_tract(t)
                yield from _state(t.status(), len(tracts))
                return
        with invocation.reading_all() as store:  # sessions alone: none of the tracts is the default one
            newest = max(store.tracts(), key=lambda info: info.updated_us)
            with store.tract(newest.tract_id) as t:
                yield from _state(t.status(), len(tracts))
    except TractError as error:
        yield _Finding("problem", str(error))
    except OSError as error:
        where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        yield _Finding("problem", f"{where}{error.strerror or error}; check the owner and the mode of this path")


def _permissions(store: str) -> Iterator[_Finding]:
    closed = [name for name in ("", "objects", "events", "local") if _is_closed(os.path.join(store, name))]
    for name in closed:
        yield _Finding(
            "problem",
            f"{os.path.join(store, name)} can't be written by this user, so commits fail; check its owner and its mode",
        )
    if not closed:
        yield _Finding("ok", "this user may write to it")


def _is_closed(path: str) -> bool:
    return os.path.exists(path) and not os.access(path, os.R_OK | os.W_OK | os.X_OK)


def _disk(path: str) -> Iterator[_Finding]:
    free = shutil.disk_usage(path).free
    if free >= _LOW_FREE_BYTES:
        yield _Finding("ok", f"{free >> 30:,} GiB are free on its disk")
    else:
        kind = "note" if free >= _LEAST_FREE_BYTES else "problem"
        yield _Finding(kind, f"only {free >> 20:,} MiB are free on its disk; free some space before commits fail")


def _state(state: Status, tract_count: int) -> Iterator[_Finding]:
    """Yields what the status of the tract says: its warnings, and its advice."""
    is_urgent = bool(
        state.warnings
        or state.damaged
        or state.lost
        or state.pending
        or state.other_heads
        or state.diverged_branches
        or state.needs_recovery
        or state.stopped_join
        or state.under_way
        or any(not file.is_back for file in state.quarantined)
        or len(state.gone) > len(state.explained)
    )
    for text in state.warnings:
        yield _Finding("problem", text)
    for text in state.advice:
        yield _Finding("problem" if is_urgent else "note", text)
    if not is_urgent:
        others = f"; --tract looks at another of the {tract_count}" if tract_count > 1 else ""
        yield _Finding(
            "ok", f"tract {state.tract_id}, branch {state.branch}: its files are whole, with one head{others}"
        )
    elif not state.warnings and not state.advice:
        yield _Finding("problem", f"tract {state.tract_id} needs a look; see 'tract status'")


def _hooks(invocation: Invocation) -> Iterator[_Finding]:
    """Yields what is wrong with the hooks that are installed: their command or their store is not there."""
    for program, known in PROGRAMS.items():
        here = [os.path.join(folder, known.settings) for folder in (os.getcwd(), invocation.require_context())]
        for path in dict.fromkeys([*map(os.path.abspath, here), files.expand(known.user_settings)]):
            yield from _hooks_in(program, path)


def _hooks_in(program: str, path: str) -> Iterator[_Finding]:
    again = f"'tract hook install {program}' writes it again"
    try:
        hooks = own_hooks(program, files.read_text(path))
    except (TractError, OSError, UnicodeDecodeError) as error:
        yield _Finding("note", f"{path} can't be read, so its hooks are unknown: {error}")
        return
    faults = []
    for command, store in dict.fromkeys(hooks):
        if shutil.which(command) is None:
            faults.append(f"the hook of {program} in {path} calls {command}, which does not exist here; {again}")
        if store is not None and not os.path.isdir(os.path.join(store, STORE_DIRECTORY)):
            faults.append(f"the hook of {program} in {path} names {store}, where there is no store; {again}")
    yield from (_Finding("problem", fault) for fault in faults)
    if hooks and not faults:
        yield _Finding("ok", f"the hook of {program} in {path} is in order")


COMMANDS = (doctor,)
