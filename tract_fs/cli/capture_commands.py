"""The commands that capture sessions while agents run: `tract watch` and `tract hook`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from difflib import unified_diff
from threading import Event

import click

from tract_fs import Store
from tract_fs.capture import files
from tract_fs.capture.follow import Follower, Result
from tract_fs.capture.hooks import PROGRAMS, with_hooks, without_hooks
from tract_fs.capture.importer import TranscriptReport
from tract_fs.cli.importing import stopping
from tract_fs.cli.invocation import CommandError, InOrder, Invocation, with_store
from tract_fs.cli.output import echo_json, inline, warn
from tract_fs.cli.sessions import show_imported, shown, words


@click.command(short_help="Import sessions as they grow.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--once", "is_once", is_flag=True, help="Look once, then end.")
@with_store
def watch(invocation: Invocation, paths: tuple[str, ...], is_once: bool) -> None:
    """Follow session files, or folders of them, and commit what is new, until Ctrl-C or SIGTERM.

    An incomplete last line is left until it is complete. A watch that was stopped continues where the tracts end. The files
    are only read.
    """
    for path in paths:
        if not os.path.exists(path):
            raise CommandError(f"{path}: no such file or folder")

    def report(path: str, result: Result) -> None:
        if not isinstance(result, TranscriptReport):
            warn(f"{path}: {words(result)}")
        elif invocation.is_json:
            echo_json(shown(path, result))
        else:
            for line in show_imported([shown(path, result)]):
                click.echo(line)
        sys.stdout.flush()

    with Store.open(invocation.require_context(), create=False) as store, stopping() as is_stopped:
        follower = Follower(_importing(store), paths)
        if is_once:
            for path, result in follower.look():
                report(path, result)
        else:
            follower.run(report, is_stopped, Event().wait)


def _importing(store: Store) -> Callable[[str], Iterator[TranscriptReport]]:
    return lambda path: (report for _, report in store.import_transcripts([path], is_growing=True))


@click.group(cls=InOrder, short_help="Let an agent import its session at each turn.")
def hook() -> None:
    """Let an agent call tract at the end of each turn.

    `tract hook PROGRAM` is what the agent calls: it reads the event on stdin, prints nothing, and always exits 0.
    """


@hook.command(short_help="Add the hooks to an agent's settings.")
@click.argument("program", type=click.Choice(list(PROGRAMS)))
@click.option("--user", "is_user", is_flag=True, help="For all projects of this user [this project].")
@click.option("--yes", "is_agreed", is_flag=True, help="Do not ask.")
@with_store
def install(invocation: Invocation, program: str, is_user: bool, is_agreed: bool) -> None:
    """Show what changes in the settings of PROGRAM, ask, and write it."""
    command = shlex.join([_executable(), "hook", program, "-C", os.path.abspath(invocation.require_context())])
    path = _settings_of(program, is_user=is_user)
    _change(invocation, path, with_hooks(program, files.read_text(path), command), is_agreed=is_agreed)
    if PROGRAMS[program].advice:
        click.echo(PROGRAMS[program].advice, err=True)


@hook.command(short_help="Remove the hooks from an agent's settings.")
@click.argument("program", type=click.Choice(list(PROGRAMS)))
@click.option("--user", "is_user", is_flag=True, help="Those for all projects of this user [this project].")
@click.option("--yes", "is_agreed", is_flag=True, help="Do not ask.")
@with_store
def uninstall(invocation: Invocation, program: str, is_user: bool, is_agreed: bool) -> None:
    """Show what changes in the settings of PROGRAM, ask, and write it. Other hooks stay."""
    path = _settings_of(program, is_user=is_user)
    _change(invocation, path, without_hooks(program, files.read_text(path)), is_agreed=is_agreed)


def _executable() -> str:
    path = os.path.abspath(sys.argv[0])
    return path if os.path.basename(path) == "tract" else "tract"


def _settings_of(program: str, *, is_user: bool) -> str:
    known = PROGRAMS[program]
    return files.expand(known.user_settings) if is_user else os.path.abspath(known.settings)


def _change(invocation: Invocation, path: str, text: str, *, is_agreed: bool) -> None:
    """Shows a change of a file of settings, asks, and writes it."""
    before = files.read_text(path) or ""
    lines = unified_diff(before.splitlines(), text.splitlines(), path, path, lineterm="")
    changes = list(lines)
    if not changes:
        invocation.answer(
            lambda: {"path": path, "is_changed": False}, lambda: click.echo(f"{inline(path)}: nothing to change")
        )
        return
    if not invocation.is_json:
        click.echo("\n".join(changes))
    if not is_agreed:
        if not sys.stdin.isatty():
            raise CommandError(f"{path}: not changed; give --yes to change it without a question")
        if not click.confirm(f"Write {inline(path)}?"):
            raise CommandError(f"{path}: not changed")
    files.write_text(path, text)
    line = f"wrote {inline(path)}"
    invocation.answer(lambda: {"path": path, "is_changed": True}, lambda: click.echo(line), wrote=line)


COMMANDS = (watch, hook)
