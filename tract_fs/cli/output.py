"""What a command prints: JSON for programs; for people tables, with colour on a terminal and plain aligned text elsewhere.

Texts, names and paths come from anywhere. What a terminal would obey, hide or turn around is shown as an escape, and no
text can start a line that the command itself could have printed: `printable`, `inline`, `one_line` and `body` are the only
ways for such a text to the output. rich is loaded only where the output is a terminal.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Literal

import click
from msgspec import Struct

from tract_fs.errors import JsonValueError
from tract_fs.model import canonical

_CUT_AT = 80
_MOST_NAMES = 10
_NARROWEST = 12
_SHORTEST_CUT = 16  # cells that a column keeps, if it has so many
_CONTROLS = (*range(32), *range(127, 160))
_UNSEEN = (  # of format characters those that have no shape of their own, and what looks empty though it is none
    *(0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180E, 0x3164, 0xFEFF, 0xFFA0),
    *range(0x200B, 0x2010),  # zero-width, and marks of direction
    *range(0x2028, 0x202F),  # line and paragraph separators, bidi embeddings and overrides
    *range(0x2060, 0x2070),  # word joiner, bidi isolates, deprecated format characters
    *range(0xFFF9, 0xFFFC),
    *range(0x1D173, 0x1D17B),
    *range(0xE0000, 0xE0080),  # tags
    *range(0xE0100, 0xE01F0),
)
_ESCAPES = {code: f"\\x{code:02x}" for code in _CONTROLS if chr(code) not in "\n\t"}
_ESCAPES |= {code: f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}" for code in _UNSEEN}
_INLINE = _ESCAPES | {ord("\n"): "\\n", ord("\t"): "\\t"}
_JSON = {code: f"\\u{code:04x}" for code in range(127, 160)}  # JSON allows them raw
# How lines of the commands begin that print texts over several lines.
_OWN_LINE = (
    r"(?m)^(?=(?:[+~-] )?\[\d+\]|\[\S+ [0-9a-f]{12}\]|[\d,]+ messages? of |tract:|warning:"
    r"|(?:commit|tract|parents|made|operation|targets|priority|type|content|tokens|message|metadata|config|annotations"
    r"|edited by|role|name|tool_call_id) {2})"
)


class Column(Struct, frozen=True):
    """A column of a table; the last one of a table takes the width that is left."""

    title: str
    style: str = ""
    is_number: bool = False


def printable(text: str) -> str:
    """Returns `text` with all but newline and tab that can't be seen as visible escapes; its lines are its own."""
    return text.translate(_ESCAPES)


def inline(text: str) -> str:
    """Returns `text` whole on one line: as `printable`, newline and tab escaped too."""
    return text.translate(_INLINE)


def body(text: str) -> str:
    """Returns `text` over several lines; a line that could be taken for one of the command's own is indented."""
    return re.sub(_OWN_LINE, "  ", printable(text))


def one_line(text: str, *, width: int = _CUT_AT) -> str:
    """Returns the start of `text` on one line of at most `width` characters."""
    line = printable(" ".join(text[: 8 * width].split()))
    return line if len(line) <= width and len(text) <= 8 * width else line[: width - 1] + "…"


def some(names: Sequence[str]) -> list[str]:
    """Returns the first names of a long list, each on one line, and how many more there are."""
    shown = [inline(name) for name in names[:_MOST_NAMES]]
    return shown if len(names) <= _MOST_NAMES else [*shown, f"and {len(names) - _MOST_NAMES} more"]


def counted(count: int, noun: str) -> str:
    """Returns a count with its noun, such as "1 commit" or "2,000 commits"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def fail_if(is_failed: object) -> None:
    """Ends the command with exit code 1 if something was left undone; call it after the answer."""
    if is_failed:
        click.get_current_context().exit(1)


def json_text(value: object) -> str:
    """Returns a JSON value as indented text, in which no character is a terminal's command."""
    try:
        text = canonical.indent(value)
    except (TypeError, JsonValueError):  # a lone surrogate, as of a file's name that is not UTF-8
        text = json.dumps(value, indent=2, sort_keys=True)
    return text.translate(_JSON)


def echo_json(value: object) -> None:
    """Prints one JSON document, in UTF-8 whatever the locale is (RFC 8259, section 8.1)."""
    click.echo((json_text(value) + "\n").encode(), nl=False)


def echo_lines(lines: Iterable[str]) -> None:
    """Prints lines."""
    for line in lines:
        click.echo(line)


def echo_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Prints rows of printable cells."""
    if sys.stdout.isatty():
        _echo_rich_table(columns, rows)
        return
    widths = [max(map(len, (column.title, *(row[n] for row in rows)))) for n, column in enumerate(columns)]
    for row in ([column.title for column in columns], *rows):
        cells = [
            cell.rjust(width) if column.is_number else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


def echo_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Prints names with their values, one a line; what spans lines is indented under its name."""
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        lines = printable(value).split("\n")
        click.echo(f"{styled(printable(name).ljust(width), dim=True)}  {lines[0]}".rstrip())
        for line in lines[1:]:
            click.echo(f"{' ' * width}  {line}".rstrip())


def styled(text: str, *, fg: str | None = None, bold: bool = False, dim: bool = False) -> str:
    """Returns `text` in a colour for stdout; click takes it away again where stdout is no terminal."""
    return click.style(text, fg=fg, bold=bold or None, dim=dim or None) if _has_colour() else text


def error_line(message: str) -> str:
    """Returns the line that reports an error."""
    return f"{click.style('tract:', fg='red') if _has_colour() else 'tract:'} {_indented(message)}"


def warn(message: str) -> None:
    """Prints a warning to stderr."""
    mark = click.style("warning:", fg="yellow") if _has_colour() else "warning:"
    click.echo(f"{mark} {_indented(message)}", err=True)


def _indented(message: str) -> str:
    """Returns a message in which only the first line begins at the margin."""
    return printable(message).replace("\n", "\n  ")


def _has_colour() -> bool:
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _fitted(widths: Sequence[int], most: int) -> list[int]:
    """Returns the widths of columns that fit into `most` cells, if they can: the last one is cut, then the widest others.

    None gets narrower than a hash, so that what names a commit stays whole.
    """
    *others, last = widths
    gaps = 2 * len(others)
    last = max(min(_NARROWEST, last), min(last, most - sum(others) - gaps))
    for place in sorted(range(len(others)), key=lambda n: -others[n]):
        over = sum(others) + gaps + last - most
        others[place] -= max(0, min(over, others[place] - _SHORTEST_CUT))
    return [*others, last]


def _echo_rich_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    from rich.cells import cell_len  # 30 ms: only a terminal needs rich
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, markup=False, emoji=False)
    widths = [max(map(cell_len, (column.title, *(row[n] for row in rows)))) for n, column in enumerate(columns)]
    widths = _fitted(widths, console.width)
    console.width = max(console.width, sum(widths) + 2 * len(widths))  # what does not fit is wrapped, not cut
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column, width in zip(columns, widths, strict=True):
        justify: Literal["left", "right"] = "right" if column.is_number else "left"
        table.add_column(column.title, style=column.style, justify=justify, width=width, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell, overflow="ellipsis") for cell in row))
    console.print(table)
