"""The commands about summaries: `tract summarize` and `tract expand`."""

from __future__ import annotations

import click

from tract_fs.cli.display import DIGITS, show_commits, show_warnings
from tract_fs.cli.invocation import Invocation, expected_of, warnings_of, with_store
from tract_fs.cli.output import inline, styled
from tract_fs.cli.values import parse_generation_config, read_stdin, require_json_object, require_text


@click.command(short_help="Replace commits with a summary.")
@click.argument("commits", nargs=-1, metavar="[COMMIT]...")
@click.option("--first", metavar="REF", help="The first commit of a range in the context.")
@click.option("--last", metavar="REF", help="The last commit of the range.")
@click.option("-m", "--text", metavar="TEXT", help="The summary, which becomes a system message [stdin, unchanged].")
@click.option("--json-content", metavar="OBJECT", help="The whole content as JSON; - reads it from stdin.")
@click.option("--include-pinned", is_flag=True, help="Summarize pinned commits too.")
@click.option("--config", "pairs", multiple=True, metavar="KEY=VALUE", help="Generation config, key by key.")
@click.option("--config-json", metavar="OBJECT", help="Generation config as a JSON object.")
@click.option("--message", metavar="TEXT", help="Commit message.")
@click.option("--allow-empty", is_flag=True, help="Commit a text that is empty or only white space.")
@click.option("--expected-head", metavar="HASH", help="Do it only if this is the head.")
@with_store
def summarize(
    invocation: Invocation,
    *,
    commits: tuple[str, ...],
    first: str | None,
    last: str | None,
    text: str | None,
    json_content: str | None,
    include_pinned: bool,
    pairs: tuple[str, ...],
    config_json: str | None,
    message: str | None,
    allow_empty: bool,
    expected_head: str | None,
) -> None:
    """Commit a summary that replaces COMMITs, or all commits in the context from --first to --last, at the place of the first.

    They stay in the history: 'tract expand' lists them, and 'tract annotate SUMMARY skip' brings them back.
    """
    if bool(commits) == (first is not None) or (first is None) != (last is None):
        raise click.UsageError("give COMMITs, or --first and --last")
    if json_content is not None and text is not None:
        raise click.UsageError("--json-content is a whole content: leave out -m")
    given = text if text is not None else read_stdin() if json_content in (None, "-") else json_content
    if json_content is None and not allow_empty:
        require_text(given or "")
    content = given if json_content is None else require_json_object(given or "", "--json-content")
    config = parse_generation_config(pairs, config_json)
    with invocation.writing() as t:
        before = set(warnings_of(t))
        made = t.summarize(
            commits or None,
            content,
            first=first,
            last=last,
            keep_pinned=not include_pinned,
            generation_config=config,
            message=message,
            expected_head=expected_of(t, expected_head),
        )
        warnings = [warning for warning in warnings_of(t) if warning not in before]

        def show() -> None:
            shown = styled(made.commit_hash[:DIGITS], fg="yellow")
            count = f"{len(made.targets)} commit{'s' if len(made.targets) > 1 else ''}"
            click.echo(
                f"[{inline(t.branch)} {shown}] stands for {count}: {made.content_type}, {made.token_count} tokens"
            )
            show_warnings(warnings)

        document = made.to_dict() | {"branch": t.branch, "warnings": warnings}
        invocation.answer(lambda: document, show, wrote=f"written as {made.commit_hash}")


@click.command(short_help="List what a summary stands for.")
@click.argument("ref")
@with_store
def expand(invocation: Invocation, ref: str) -> None:
    """List the commits that the summary REF stands for, in the order of the history."""
    with invocation.reading() as t:
        invocation.require_tract(t)
        infos = t.expand(t.resolve(ref))
        invocation.answer(lambda: [info.to_dict() for info in infos], lambda: show_commits(t, infos))


COMMANDS = (summarize, expand)
