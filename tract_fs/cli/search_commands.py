"""`tract search`: finds a phrase in the texts of a tract, or of all tracts."""

from __future__ import annotations

from collections.abc import Sequence

import click

from tract_fs import SearchHit, Store
from tract_fs.cli.display import DIGITS
from tract_fs.cli.invocation import Invocation, with_store
from tract_fs.cli.output import inline, styled
from tract_fs.cli.values import Count, parse_moment


@click.command(short_help="Find a phrase in the texts.")
@click.argument("phrase")
@click.option("--all-tracts", "is_all_tracts", is_flag=True, help="Search every tract of the store.")
@click.option("--on", "history", metavar="BRANCH", help="Only commits in the history of this branch.")
@click.option("--type", "content_type", metavar="TYPE", help="Only contents of this type.")
@click.option("--role", metavar="ROLE", help="Only messages of this role.")
@click.option("--since", metavar="TIME", help="Only commits made then or later (ISO 8601; UTC if it has no offset).")
@click.option("--until", metavar="TIME", help="Only commits made at this time or before.")
@click.option("-n", "--limit", type=Count(1), metavar="N", default=20, show_default=True, help="How many hits at most.")
@click.option("--where", metavar="EXPR", help="Only commits that match this expression of 'tract query'.")
@with_store
def search(
    invocation: Invocation,
    *,
    phrase: str,
    is_all_tracts: bool,
    history: str | None,
    content_type: str | None,
    role: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    where: str | None,
) -> None:
    """List the commits of the tract, on any branch or on none, whose text contains PHRASE, best first. Case is ignored.

    \b
    tract search 'capital of france'
    tract search --all-tracts --role assistant refund

    PHRASE is matched as it is, inside words too. A text that was edited later is found at its own commit.
    """
    if is_all_tracts and (history is not None or where is not None):
        raise click.UsageError("--on and --where are about one tract: leave out --all-tracts")
    since_time = None if since is None else parse_moment(since, "--since")
    until_time = None if until is None else parse_moment(until, "--until")
    with invocation.reading() as t:
        if is_all_tracts:
            with Store.open(invocation.require_context(), create=False) as store:
                hits = store.search(
                    phrase, content_type=content_type, role=role, since=since_time, until=until_time, limit=limit
                )
        else:
            invocation.require_tract(t)
            hits = t.search(
                phrase,
                branch=history,
                content_type=content_type,
                role=role,
                since=since_time,
                until=until_time,
                limit=limit,
                where=where,
            )
        invocation.answer(lambda: [hit.to_dict() for hit in hits], lambda: _show(hits))
        invocation.warn_if_incomplete(t)


def _show(hits: Sequence[SearchHit]) -> None:
    if not hits:
        click.echo("no text matches", err=True)
        return
    for hit in hits:
        made = hit.created_at.strftime("%Y-%m-%d %H:%M")
        names = f"{inline(hit.tract_id)}  {inline(hit.role) or hit.content_type}"
        click.echo(f"{styled(hit.commit_hash[:DIGITS], fg='yellow')}  {made}  {names}  {_marked(hit)}")


def _marked(hit: SearchHit) -> str:
    """Returns the snippet on one line, with its matches in colour."""
    parts, at = [], 0
    for start, end in hit.spans:
        parts += [inline(hit.snippet[at:start]), styled(inline(hit.snippet[start:end]), fg="red", bold=True)]
        at = end
    return "".join([*parts, inline(hit.snippet[at:])])


COMMANDS = (search,)
