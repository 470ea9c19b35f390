"""The commands that explain a context: `tract why`, `blame` and `compare`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import click

from tract_fs import AnswerComparison, BlamedLine, ComparedAnswer, ExplainedCommit, Explanation, Tract
from tract_fs.cli.contents import message_text, to_plain
from tract_fs.cli.diff_commands import config_line
from tract_fs.cli.display import DIGITS, commit_line, require_commit, show_warnings
from tract_fs.cli.invocation import Invocation, with_store
from tract_fs.cli.output import Column, echo_table, inline, one_line, printable, styled
from tract_fs.cli.values import parse_moment

_NARROWEST = 16  # a column of a comparison


@click.command(short_help="Explain what is in the context, and what is not.")
@click.argument("ref", required=False)
@click.option("--at-commit", metavar="REF", help="Explain the context of this commit.")
@click.option("--at-time", metavar="TIME", help="Explain the context by this time (ISO 8601; UTC if it has no offset).")
@click.option("--max-tokens", type=click.IntRange(min=1), metavar="N", help="Explain the context as N tokens hold it.")
@with_store
def why(
    invocation: Invocation, ref: str | None, *, at_commit: str | None, at_time: str | None, max_tokens: int | None
) -> None:
    """Explain each message of the context, and why each other commit makes none; or one commit, REF, on whatever branch it is.

    \b
    tract why             the whole context
    tract why 4888ea3d    one commit: is it in the context, and if not, why
    """
    if at_commit is not None and at_time is not None:
        raise click.UsageError("give --at-commit or --at-time, not both")
    moment = None if at_time is None else parse_moment(at_time, "--at-time")
    with invocation.reading() as t:
        if ref is None and at_commit is None:
            invocation.require_history(t)
        else:
            invocation.require_tract(t)
        made = t.explain(ref, at_time=moment, at_commit=at_commit, max_tokens=max_tokens)
        invocation.answer(made.to_dict, lambda: _show(t, made))


def _show(t: Tract, made: Explanation) -> None:
    for one in made.messages:
        head = styled(f"[{(one.index or 0) + 1}] {one_line(one.role or '')}", bold=True)
        _show_commit(f"{head}  {styled(one.commit_hash[:DIGITS], fg='yellow')}  {one_line(_text(t, one))}", one)
    if made.messages and made.absent:
        click.echo(styled("not in the context:", bold=True))
    for one in made.absent:
        line = commit_line(t, require_commit(t, one.commit_hash))
        _show_commit(f"{styled(one.commit_hash[:DIGITS], fg='yellow')}  {line}", one)


def _text(t: Tract, one: ExplainedCommit) -> str:
    """Returns the text of a message, without the JSON around it."""
    if one.content_type != "message" or not (one.text or "").startswith("{"):
        return one.text or ""
    content = to_plain(t.get_content(one.shown_edit or one.commit_hash))
    return message_text(content["message"]) if content["content_type"] == "message" else one.text or ""


def _show_commit(header: str, one: ExplainedCommit) -> None:
    click.echo(header)
    for sentence in one.describe(DIGITS):
        click.echo(f"  {inline(sentence)}")


@click.command(short_help="Show which commit brought each line of the context.")
@click.argument("ref", required=False)
@with_store
def blame(invocation: Invocation, ref: str | None) -> None:
    """Show the context (of the head, or of REF) line by line, each with the commit that brought it: a message's own, or an edit.

    A line is numbered by its message and its place in that: 2:1 is the first line of the second message.
    """
    with invocation.reading() as t:
        if ref is None:
            invocation.require_history(t)
        else:
            invocation.require_tract(t)
        lines = t.blame(ref)
        invocation.answer(lambda: [line.to_dict() for line in lines], lambda: _show_lines(lines))


def _show_lines(lines: list[BlamedLine]) -> None:
    rows = [
        [
            line.commit_hash[:DIGITS],
            line.created_at[:16].replace("T", " "),
            one_line(line.role, width=12),
            f"{line.index + 1}:{line.line + 1}",
            inline(line.text),
        ]
        for line in lines
    ]
    if rows:
        columns = [Column("commit", style="yellow"), Column("made (UTC)", style="dim"), Column("role")]
        echo_table([*columns, Column("line", is_number=True), Column("text")], rows)


@click.command(short_help="Compare two answers to one prompt side by side.")
@click.argument("a")
@click.argument("b")
@with_store
def compare(invocation: Invocation, a: str, b: str) -> None:
    """Show what comes in the contexts of A and B after the messages that both share, side by side: first what differs in their
    generation configs, then tokens and usage, then the texts.

    \b
    tract retry main                    answer again, on the branch main-retry-1
    tract compare main main-retry-1
    """
    with invocation.reading() as t:
        invocation.require_tract(t)
        made = t.compare(a, b)
        invocation.answer(made.to_dict, lambda: _show_comparison(made, a, b))


def _show_comparison(made: AnswerComparison, a: str, b: str) -> None:
    prompt = "" if made.prompt is None else f"; the last is {made.prompt[:DIGITS]}"
    count = "1 message comes" if made.shared_count == 1 else f"{made.shared_count} messages come"
    click.echo(f"{count} before both{prompt}")
    for change in made.config_changes:
        click.echo(styled(f"config {config_line(change)}", fg="cyan"))
    click.echo()
    half = max(_NARROWEST, (shutil.get_terminal_size((100, 24)).columns - 3) // 2)
    sides = [list(_column(side, ref, half)) for side, ref in ((made.a, a), (made.b, b))]
    for number in range(max(map(len, sides))):
        one, other = (side[number] if number < len(side) else "" for side in sides)
        click.echo(f"{_padded(one, half)} | {other}".rstrip())
    show_warnings(made.diff.warnings)


def _column(side: ComparedAnswer, ref: str, width: int) -> Iterator[str]:
    """Yields the lines of one side, each at most `width` cells wide."""
    usage = side.usage
    yield from _wrapped(f"{inline(ref)} ({side.commit_hash[:DIGITS]})", width)
    yield f"{side.token_count:,} tokens"
    if usage is None:
        yield "no usage recorded"
    else:
        yield from _wrapped(f"usage {usage.prompt_tokens:,} prompt, {usage.completion_tokens:,} completion", width)
    for message in side.messages:
        yield ""
        yield from _wrapped(f"[{message.index + 1}] {one_line(message.message.role)}", width)
        for line in printable(message_text(message.message.to_dict())).split("\n"):
            yield from (f"  {piece}" for piece in _wrapped(line.expandtabs(4), width - 2))


def _wrapped(line: str, width: int) -> Iterator[str]:
    """Yields a line in pieces of at most `width` cells, broken after a space where there is one."""
    while _cells(line) > width:
        end = width
        while _cells(line[:end]) > width:
            end -= 1
        end = max(1, end)
        space = line.rfind(" ", 0, end)
        end = space + 1 if space > width // 2 else end
        yield line[:end].rstrip()
        line = line[end:]
    yield line


def _padded(line: str, width: int) -> str:
    return line + " " * (width - _cells(line))


def _cells(line: str) -> int:
    """Returns how many cells of a terminal a line takes."""
    if line.isascii():
        return len(line)
    from unicodedata import combining, east_asian_width  # 1 ms

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in line)


COMMANDS = (why, blame, compare)
