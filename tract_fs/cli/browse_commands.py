"""The command `tract browse`. Extra `tui`: textual, which is imported when the command runs."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

import click

from tract_fs import Store
from tract_fs.cli.invocation import CommandError, Invocation, with_store


@click.command(short_help="Browse the history in the terminal.")
@click.argument("ref", required=False)
@with_store
def browse(invocation: Invocation, ref: str | None) -> None:
    """Browse the history in the terminal, from the commit REF on (the head if left out): commits as a graph, the context
    after any of them with what it leaves out and why, diffs, usage, search and queries. It changes nothing; `?` lists the keys.

    \b
    tract browse            all branches of this tract
    tract browse main~3     at a commit
    """
    if invocation.is_json:
        raise click.UsageError("browse shows a screen: leave out --json")
    if find_spec("textual") is None:
        raise CommandError("the browser needs the extra: pip install 'tract-fs[tui]'")
    _require_terminal()
    with invocation.reading(read_only=True) as t:
        invocation.require_tract(t)
        invocation.require_known_branch(t)
        tract_id, branch = t.tract_id, str(t.branch)
        start = None if ref is None else t.resolve(ref)
    from tract_fs.cli.browse.app import INTERRUPTED, Browser  # 110 ms

    # what is whole is shown, with a warning of the rest
    with Store.open(invocation.require_context(), create=False, read_only=True, incomplete="use") as store:
        app = Browser(store, tract_id, branch, start=start)
        app.run()
    if app.return_code == INTERRUPTED:
        raise click.Abort
    click.get_current_context().exit(app.return_code or 0)


def _require_terminal() -> None:
    """Raises CommandError unless the streams are a terminal that can show a screen."""
    other = [stream for stream in ("stdin", "stdout", "stderr") if not _is_terminal(stream)]
    if other or os.environ.get("TERM") in ("dumb", "unknown"):
        why = f"{', '.join(other)}: no terminal" if other else "TERM is dumb"
        raise CommandError(
            f"the browser needs a terminal ({why}); 'tract log --graph', 'tract why' and 'tract view' show the history elsewhere"
        )


def _is_terminal(name: str) -> bool:
    stream = getattr(sys, name)
    return stream is not None and stream.isatty()


COMMANDS = (browse,)
