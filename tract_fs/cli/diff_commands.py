"""The command `tract diff`: what differs between two contexts, for people in the order of the messages."""

from __future__ import annotations

import click

from tract_fs import ConfigChange, ContextDiff, DiffedMessage, DiffEntry, Tract
from tract_fs.cli.contents import message_text
from tract_fs.cli.diff_lines import coloured, side_by_side
from tract_fs.cli.display import DIGITS, show_warnings
from tract_fs.cli.invocation import CommandError, Invocation, with_store
from tract_fs.cli.output import Column, counted, echo_lines, echo_table, inline, json_text, one_line, printable, styled
from tract_fs.model.alignment import unified

_MARKS = {"added": "+", "removed": "-", "changed": "~"}
_COLOURS = {"+": "green", "-": "red"}


@click.command(short_help="Show what differs between two contexts.")
@click.argument("a", required=False)
@click.argument("b", required=False)
@click.option("--stat", "is_stat", is_flag=True, help="One line per message, without texts.")
@click.option("--side-by-side", "is_in_columns", is_flag=True, help="A on the left, B on the right.")
@with_store
def diff(invocation: Invocation, *, a: str | None, b: str | None, is_stat: bool, is_in_columns: bool) -> None:
    """Show what differs from the context of A to that of B: messages, generation configs, tokens, prompt cache.

    \b
    tract diff            what the last commit changed
    tract diff A          from A to the head
    tract diff A B        from A to B, also as A..B; A...B: from where they parted

    Messages are numbered from 1, as 'tract compile' numbers them.
    """
    if is_stat and is_in_columns:
        raise click.UsageError("give --stat or --side-by-side, not both")
    with invocation.reading() as t:
        if a is None and b is None:
            invocation.require_history(t)
        else:
            invocation.require_tract(t)
            a, b = _sides(t, a, b)
        made = t.diff(a, b)
        invocation.answer(made.to_dict, lambda: _show(made, is_stat=is_stat, is_in_columns=is_in_columns))


def _sides(t: Tract, a: str | None, b: str | None) -> tuple[str | None, str | None]:
    """Returns both sides, where A..B or A...B may be one word; an empty side is the head. Errors: as `Tract.resolve`."""
    if a is None or b is not None or ".." not in a:
        return a, b
    a, mark, b = a.partition("...") if "..." in a else a.partition("..")
    a, b = a or "@", b or "@"
    return (_parting(t, a, b) if mark == "..." else a), b


def _parting(t: Tract, a: str, b: str) -> str:
    """Returns the newest commit of B's history that A's has, too. Errors: CommandError if there is none."""
    with t.at(a) as one, t.at(b) as other:
        known = {info.commit_hash for info in one.log(None)}
        found = next((info.commit_hash for info in other.log(None) if info.commit_hash in known), None)
    if found is None:
        raise CommandError(f"{a} and {b} have no commit in common; 'tract diff {a} {b}' compares their contexts")
    return found


def _show(made: ContextDiff, *, is_stat: bool, is_in_columns: bool) -> None:
    if is_stat and made.entries:
        columns = [Column(""), Column("message"), Column("commit", style="yellow"), Column("role")]
        columns += [Column("tokens", is_number=True), Column("config", style="cyan"), Column("text")]
        echo_table(columns, [_row(entry) for entry in made.entries])
        click.echo()
    elif not is_stat:
        show_entries(made, is_in_columns=is_in_columns)
    echo_lines(total_lines(made))
    show_warnings(made.warnings)


def show_entries(made: ContextDiff, *, is_in_columns: bool = False) -> None:
    """Prints the messages that differ, each with its lines."""
    for entry in made.entries:
        _show_entry(entry, is_in_columns=is_in_columns)


def _row(entry: DiffEntry) -> list[str]:
    side = _shown_side(entry)
    config = one_line(" ".join(map(config_line, entry.config_changes)), width=36)
    text = one_line(_moved_words(entry) + _text(side))
    commit = (side.commit_hash or "")[:DIGITS]
    return [_MARKS[entry.kind], _places(entry), commit, _role(entry), _signed(entry.token_delta), config, text]


def _show_entry(entry: DiffEntry, *, is_in_columns: bool) -> None:
    header, commits, rest = entry_words(entry)
    colour = _COLOURS.get(header[0], "yellow")
    words = [styled(header, fg=colour, bold=True), styled(commits, fg="yellow"), rest]
    click.echo("  ".join(filter(None, words)))
    for change in entry.config_changes if entry.moved_index is None else ():
        click.echo(styled(f"  config {config_line(change)}", fg="cyan"))
    if entry.moved_index is not None:
        click.echo(f"  {one_line(_text(_shown_side(entry)))}")
    else:
        lines = entry_lines(entry)
        echo_lines(side_by_side(lines) if is_in_columns else coloured(lines))
    click.echo()


def entry_words(entry: DiffEntry) -> tuple[str, str, str]:
    """Returns what happened to which message, after a mark of one character; its commits; whether it moved, and the tokens."""
    commits = dict.fromkeys(s.commit_hash[:DIGITS] for s in (entry.a, entry.b) if s is not None and s.commit_hash)
    rest = [_moved_words(entry).removesuffix(": "), f"{_signed(entry.token_delta)} tokens"]
    header = f"{_MARKS[entry.kind]} {_places(entry)} {_role(entry)}"
    return header, " → ".join(commits), "  ".join(filter(None, rest))


def entry_lines(entry: DiffEntry) -> list[str]:
    """Returns the lines that differ: of what people read in a message where that differs, else of the whole message."""
    texts = (None if side is None else _text(side) for side in (entry.a, entry.b))
    lines = "" if entry.is_config_only else unified(*texts) or entry.text_diff
    found = printable(lines).split("\n") if lines else []
    return [line for line in found if entry.kind == "changed" or not line.startswith("@")]


def total_lines(made: ContextDiff) -> list[str]:
    """Returns what a diff amounts to: messages, tokens, and what a prompt cache loses."""
    if made.is_empty:
        return [f"no difference: {counted(made.unchanged_count, 'message')}, {counted(made.a.token_count, 'token')}"]
    moved = f" ({made.moved_count} of them moved)" if made.moved_count else ""
    counts = f"{made.count('added')} added, {made.count('removed')} removed{moved}, {made.count('changed')} changed"
    tokens = f"{made.a.token_count:,} → {made.b.token_count:,} ({_signed(made.token_delta)})"
    cache = "nothing lost: the messages are equal"
    if made.first_difference is not None:
        lost, unread = made.a.tokens_from_difference, made.b.tokens_from_difference
        cache = (
            f"differs from message {made.first_difference + 1} on: "
            f"{made.kept_tokens:,} tokens stay cached, {lost:,} are lost, {unread:,} are read again"
        )
    return [
        f"messages      {counts}, {made.unchanged_count} unchanged",
        f"tokens        {tokens} by {inline(made.token_source)}",
        f"prompt cache  {cache}",
    ]


def _shown_side(entry: DiffEntry) -> DiffedMessage:
    side = entry.a if entry.b is None else entry.b
    assert side is not None
    return side


def _text(side: DiffedMessage) -> str:
    return message_text(side.message.to_dict())


def _places(entry: DiffEntry) -> str:
    places = dict.fromkeys(f"[{side.index + 1}]" for side in (entry.a, entry.b) if side is not None)
    return " → ".join(places)


def _role(entry: DiffEntry) -> str:
    message = _shown_side(entry).message
    roles = [message.role] if entry.role_change is None else entry.role_change
    return one_line(" → ".join(roles) + ("" if message.name is None else f" {message.name}"))


def _moved_words(entry: DiffEntry) -> str:
    if entry.moved_index is None:
        return ""
    return f"moved {'from' if entry.a is None else 'to'} [{entry.moved_index + 1}]: "


def config_line(change: ConfigChange) -> str:
    """Returns a difference of two generation configs on one line."""
    name = ".".join(change.path)
    before, after = (" ".join(json_text(value).split()) for value in (change.before, change.after))
    lines = {"added": f"+{name}={after}", "removed": f"-{name}={before}", "changed": f"{name}: {before} → {after}"}
    return one_line(lines[change.kind], width=400)


def _signed(count: int) -> str:
    return f"{count:+,}"


COMMANDS = (diff,)
