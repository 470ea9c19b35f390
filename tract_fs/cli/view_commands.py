"""The command `tract view`."""

from __future__ import annotations

import click
from msgspec.structs import asdict

from tract_fs import PageInfo
from tract_fs.cli.invocation import Invocation, with_store
from tract_fs.cli.output import inline, warn


@click.command(short_help="Write a page that shows the history.")
@click.option("-o", "--output", metavar="FILE", help="The file [TRACT.html, here].")
@click.option("--open", "is_opened", is_flag=True, help="Open it in the browser.")
@click.option("--all-tracts", is_flag=True, help="Show all tracts of the store.")
@with_store
def view(invocation: Invocation, *, output: str | None, is_opened: bool, all_tracts: bool) -> None:
    """Write one HTML file that shows the commits with branches and merges, the context after any of them with what it
    leaves out and why, diffs, usage, and a search.

    \b
    tract view --open            this tract
    tract view -o page.html      into a file of this name
    tract view --all-tracts      all tracts, one at a time

    The file needs no network and makes no request, so it can be kept and sent; it contains the texts of all commits, also of
    those that no context shows any more. A page that is there already is replaced, any other file is not.
    """
    with invocation.reading() as t:
        invocation.require_history(t)
        name = "tracts" if all_tracts else t.tract_id
        page = t.view(output or f"{name}.html", all_tracts=all_tracts)
    invocation.answer(lambda: asdict(page), lambda: _show(page), wrote=f"wrote {page.path}")
    if is_opened and click.launch(page.path) != 0:
        warn(f"no browser could be started; open {page.path} in one")


def _show(page: PageInfo) -> None:
    commits = "1 commit" if page.commit_count == 1 else f"{page.commit_count:,} commits"
    tracts = "" if len(page.tracts) == 1 else f" of {len(page.tracts)} tracts"
    click.echo(f"wrote {inline(page.path)}: {commits}{tracts}, {page.size_bytes / 1e6:.1f} MB")


COMMANDS = (view,)
