"""The commands about a whole store: `tract init`, `import`, `status` and `demo`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import click
from msgspec import to_builtins

from tract_fs import Tract, TractInfo
from tract_fs.cli.declared import declare_tract, is_declared
from tract_fs.cli.display import DIGITS, show_short_status, show_status, show_warnings
from tract_fs.cli.invocation import STORE_DIRECTORY, CommandError, Invocation, with_store
from tract_fs.cli.output import Column, counted, echo_lines, echo_table, inline, one_line
from tract_fs.cli.values import Count, parse_generation_config, parse_moment
from tract_fs.errors import DamageError
from tract_fs.model.names import require_tract_id
from tract_fs.store.git_ignore import find_ignored
from tract_fs.transcripts import RESUMED_FORMATS, SESSION_FORMATS


@click.command(short_help="Make a store.")
@click.argument("path", required=False)
@with_store
def init(invocation: Invocation, path: str | None) -> None:
    """Make a store in PATH, or in the current directory. One that is there stays as it is.

    With --tract, make the tract ID in it, for a first commit.
    """
    given = path or (None if invocation.context_path is None else invocation.require_context()) or os.getcwd()
    directory = os.path.abspath(given)
    if STORE_DIRECTORY in directory.split(os.sep):
        raise CommandError(f"{directory}: this is inside a store; give the directory that is to hold {STORE_DIRECTORY}")
    if invocation.tract_id is not None:
        require_tract_id(invocation.tract_id)
    is_new = not os.path.exists(os.path.join(directory, STORE_DIRECTORY, "FORMAT"))
    Tract.open(directory).close()
    line = f"{'made a store' if is_new else 'there is a store already'} in {inline(directory)}/{STORE_DIRECTORY}"
    if invocation.tract_id is not None:
        is_there = invocation.tract_id in Tract.tracts(directory) or is_declared(directory, invocation.tract_id)
        declare_tract(directory, invocation.tract_id)
        line += f"; {'there is a tract' if is_there else 'made the tract'} {invocation.tract_id}"
    invocation.answer(lambda: {"path": directory, "is_new": is_new}, lambda: click.echo(line), wrote=f"written: {line}")
    ignored = find_ignored(directory)
    if ignored is not None:
        show_warnings([ignored.describe()])


@click.command("import", short_help="Import messages, or sessions of agents.")
@click.argument("files", nargs=-1, metavar="FILE...")
@click.option(
    "--format", "format_", type=click.Choice(["openai", *SESSION_FORMATS]), help="The files' format [detected]."
)
@click.option("--conversation", type=Count(1), metavar="N", help="The Nth conversation of the file, from 1.")
@click.option(
    "--all",
    "is_all",
    is_flag=True,
    help="Import every session of a folder, or every conversation of a file, each into its own tract: the file's stem, its number, and 8 digits of its hash.",
)
@click.option(
    "--config", "pairs", multiple=True, metavar="KEY=VALUE", help="Generation config where the file has none."
)
@click.option("--config-json", metavar="OBJECT", help="The same as a JSON object.")
@click.option(
    "--from",
    "first",
    type=Count(1),
    metavar="N",
    help="Start at message N, from 1, to continue an import that was stopped.",
)
@click.option("-c", "--create", is_flag=True, help="Create the branch, and the tract if need be, without a history.")
@click.option("--strict", "is_strict", is_flag=True, help="Refuse a session file that is not clean.")
@click.option("--discover", "is_discovered", is_flag=True, help="List the sessions of the agents on this machine.")
@click.option("--since", metavar="TIME", help="Only session files changed at this time or later (ISO 8601).")
@with_store
def import_(
    invocation: Invocation,
    *,
    files: tuple[str, ...],
    format_: str | None,
    conversation: int | None,
    is_all: bool,
    pairs: tuple[str, ...],
    config_json: str | None,
    first: int | None,
    create: bool,
    is_strict: bool,
    is_discovered: bool,
    since: str | None,
) -> None:
    """Commit the messages of FILE (- is stdin), each whole: JSON or JSON lines.

    A session file of an agent gets a tract of its own, with all its records, or the one that --tract names. Import it again
    when it has grown: only what is new is added. What is not clean is repaired, kept and listed. FILE may be given several
    times; --all imports every session in a folder, and --discover --all those of every known program.

    A conversation of under 10,000 messages is imported in one transaction: all of it or nothing. A longer one takes several;
    if it is stopped, it reports what is committed, and --from continues there.

    A file contains a list of messages, a request body, a record with such a list, or several of these. A record's own
    generation config (model, temperature, …) is kept; --config adds the fields that it lacks. With --all, --tract sets
    another stem, and a conversation that its tract already contains is skipped.
    """
    from tract_fs.cli.importing import import_file  # needs the transcripts
    from tract_fs.cli.sessions import choose_files, import_sessions, list_discovered, show_imported, total

    after = None if since is None else parse_moment(since, "--since")
    if is_discovered and not is_all:
        found = list_discovered(after)
        lines = (f"{one['format']}  {one['size_bytes']:,} bytes  {one['file']}" for one in found)
        invocation.answer(lambda: {"sessions": found}, lambda: echo_lines(lines))
        return
    chosen = choose_files(files, format=format_, is_all=is_all, is_discovered=is_discovered, after=after)
    if chosen is not None:
        if conversation is not None or pairs or config_json or first is not None or create:
            raise click.UsageError(
                "--conversation, --config, --config-json, --from and --create are for lists of messages, not for sessions"
            )
        done = import_sessions(invocation, chosen, format=format_, is_strict=is_strict)
        added = sum(one.get("added", 0) for one in done)
        wrote = f"{added} commits written" if added else ""
        document = {"imported": done, "total": total(done)}
        invocation.answer(lambda: document, lambda: echo_lines(show_imported(done)), wrote=wrote)
        if any("error" in one for one in done):
            raise CommandError("not all files were imported")
        return
    if len(files) > 1:
        raise click.UsageError("give several files only if each is a session of an agent")
    (file,) = files
    imported = import_file(
        invocation,
        file,
        number=conversation,
        is_all=is_all,
        config=parse_generation_config(pairs, config_json),
        first=first,
        is_created=create,
    )

    def show() -> None:
        for one in imported:
            if one["is_new"]:
                line = f"imported {counted(one['message_count'], 'message')} into tract {one['tract_id']}, head {str(one['head'])[:DIGITS]}"
            else:
                line = f"tract {one['tract_id']} already contains this conversation"
            click.echo(line)

    heads = ", ".join(str(one["head"]) for one in imported if one["is_new"])
    wrote = f"written as {heads}" if heads else ""
    invocation.answer(lambda: {"imported": imported}, show, wrote=wrote)


@click.command(short_help="List the tracts of the store.")
@with_store
def tracts(invocation: Invocation) -> None:
    """List the tracts of the store with their commit counts and titles, the one that changed last first."""
    with invocation.reading_all() as store:
        found = sorted(store.tracts(), key=lambda info: (-info.updated_us, info.tract_id))
        documents = [
            {
                "tract_id": info.tract_id,
                "title": info.title,
                "head": info.head,
                "commit_count": info.commit_count,
                "updated_at": _time(info).isoformat(timespec="microseconds").replace("+00:00", "Z"),
                "metadata": info.metadata,
            }
            for info in found
        ]
        invocation.answer(lambda: documents, lambda: _show_tracts(found))


def _show_tracts(found: Sequence[TractInfo]) -> None:
    rows = [
        [info.tract_id, f"{_time(info):%Y-%m-%d %H:%M}", f"{info.commit_count:,}", one_line(info.title or "")]
        for info in found
    ]
    if not rows:
        click.echo("no tracts yet", err=True)
        return
    columns = [Column("tract", style="yellow"), Column("changed (UTC)", style="dim"), Column("commits", is_number=True)]
    echo_table([*columns, Column("title")], rows)


def _time(info: TractInfo) -> datetime:
    return datetime.fromtimestamp(info.updated_us // 1_000_000, UTC) + timedelta(
        microseconds=info.updated_us % 1_000_000
    )


@click.command(short_help="Show the state of the tract.")
@click.option(
    "-s", "--short", "is_short", is_flag=True, help="Print a line with the head, and one per kind of problem."
)
@with_store
def status(invocation: Invocation, is_short: bool) -> None:
    """Show the state of the tract in this copy, and what to do about each problem.

    The exit code is 1 if the context can't be compiled.
    """
    with invocation.reading() as t:
        if invocation.tract_id is not None:
            invocation.require_tract(t)
        state = t.status()
        is_waiting = state.pending or state.damaged
        missing = [str(invocation.no_branch(t))] if state.head is None and not is_waiting and t.branches() else []
        path = os.path.abspath(invocation.require_context())
        tracts = Tract.tracts(path)
        if tracts and t.tract_id not in tracts and not is_declared(path, t.tract_id):
            missing = [invocation.no_tract(t.tract_id, tracts)]
        fields = {name: getattr(state, name) for name in state.__struct_fields__}
        document = {
            "path": path,
            "tracts": tracts,
            **{name: to_builtins(value) for name, value in fields.items()},
        }

        fault = _why_not_compiled(t)

        def show() -> None:
            if is_short:
                show_short_status(state)
                return
            show_status(state, path, tracts, is_branch_missing=bool(missing) and t.tract_id in tracts)
            warnings = [warning for warning in state.warnings if not fault or fault not in warning]
            show_warnings([*missing, *warnings, *state.advice])

        invocation.answer(lambda: document, show)
        if fault:
            raise CommandError(f"the context can't be compiled: {fault}")


def _why_not_compiled(t: Tract) -> str:
    """Returns the error of a compile of the head; empty if there is none."""
    try:
        t.compile()
    except DamageError as error:
        return str(error)
    return ""


@click.command(short_help="Run the main commands on a bundled transcript.")
@click.argument("path", required=False)
@click.option("--shop", "is_shop", is_flag=True, help="Make a store to query instead: a made-up chat with a shop.")
@with_store
def demo(invocation: Invocation, path: str | None, is_shop: bool) -> None:
    """Run the main commands on a bundled transcript: import, edit, skip, compile, query, and look at the files.

    The store is made in PATH, which must not hold one yet; without PATH the store is removed at the end.
    """
    from tract_fs.cli.demo import make_shop, run_demo  # needs tempfile, 4 ms

    if is_shop:
        make_shop(invocation, path)
    else:
        run_demo(invocation, path)


@click.command(short_help="Write a session file.")
@click.option("-o", "--output", metavar="FILE", help="A new file, or the folder for it [stdout].")
@click.option(
    "--format",
    "format_",
    type=click.Choice(RESUMED_FORMATS),
    help="Write a new session that this program can continue, or the body of a request to this provider.",
)
@click.option("--at-commit", metavar="REF", help="Export the context at this commit, branch or tag [the head].")
@click.option("--session-id", metavar="UUID", help="The id of the new session [a new one].")
@click.option("--cwd", metavar="PATH", help="The working directory of the new session [that of the imported one].")
@with_store
def export(
    invocation: Invocation,
    output: str | None,
    format_: str | None,
    at_commit: str | None,
    session_id: str | None,
    cwd: str | None,
) -> None:
    """Write the session file that the tract was imported from: the same records, in their order.

    With --format, write the context at the head (of --branch, or at --at-commit) as a new session that the program can
    continue. What the format has no place for is listed on stderr, with its count.
    """
    from tract_fs.cli.sessions import export_session

    if format_ is None and (session_id or cwd or at_commit):
        raise click.UsageError("--at-commit, --session-id and --cwd go with --format")
    made, place = export_session(
        invocation, output, format=format_, at_commit=at_commit, session_id=session_id, folder=cwd
    )
    if place == "-":
        if invocation.is_json:
            raise click.UsageError("--json goes with --output")
        invocation.answer(lambda: None, lambda: click.echo(bytes(made), nl=False))
        show_warnings(made.lost)
        return
    with open(place, "xb") as stream:
        stream.write(made)
    lines = [f"wrote {inline(place)}"]
    if format_ == "opencode":
        lines.append(f"import it with: opencode import {inline(place)}")
    elif made.path:
        lines.append(f"the program looks for it in {inline(made.path)}, below its folder of sessions")
    document = {"path": place, "bytes": len(made), "place": made.path, "lost": list(made.lost)}
    invocation.answer(lambda: document, lambda: echo_lines(lines), wrote=lines[0])
    if not invocation.is_json:
        show_warnings(made.lost)


@click.command("check-session", short_help="Show what an agent would load from a session file.")
@click.argument("file")
@click.option("--format", "format_", type=click.Choice(SESSION_FORMATS), help="The file's format [detected].")
@with_store
def check_session(invocation: Invocation, file: str, format_: str | None) -> None:
    """Show what the agent itself would load from a session FILE, read as the agent reads it, and what it would lose.

    The exit code is 1 if it would lose a message. Nothing is written.
    """
    from tract_fs.capture.sessions import check_session as check
    from tract_fs.cli.sessions import show_check

    found = check(file, format=format_)
    document = {"file": file, **to_builtins(found), "share": found.share}
    invocation.answer(lambda: document, lambda: echo_lines(show_check(file, found)))
    if found.lost:
        raise CommandError(f"{file}: {len(found.lost)} messages would be lost; 'tract import' keeps them all")


COMMANDS = (init, import_, export, check_session, tracts, status, demo)
