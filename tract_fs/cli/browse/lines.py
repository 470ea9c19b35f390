"""Lines: all that the browser shows. A line is made of spans, each a text and the name of a style.

Texts come from anywhere, so a line escapes what a terminal would obey, hide or turn around; no text is ever read as markup.
Nothing else is shown, but what is typed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from rich.cells import cell_len, get_character_cell_size

from tract_fs.cli.output import Column, inline

Span = tuple[str, str]
_NARROWEST = 8  # cells that a text has beside its indent
_MOST_PER_CELL = 8  # characters: one cell can hold any number of accents
_LINE_LENGTH = 50  # of a text that is cut: so many characters count as a line


class Line:
    """One line before it is wrapped: the rows after the first are indented by `hang` more cells."""

    __slots__ = ("hang", "indent", "spans")

    def __init__(self, *spans: Span, indent: int = 0, hang: int = 0) -> None:
        self.spans = tuple((inline(text), style) for text, style in spans if text)
        self.indent = indent
        self.hang = hang

    @property
    def text(self) -> str:
        """The text, without indent."""
        return "".join(text for text, _ in self.spans)

    def part(self, start: int, end: int) -> Line:
        """Returns a row of this line: the characters from `start` to `end`."""
        row = Line(indent=self.indent + (self.hang if start else 0))
        at, spans = 0, []
        for text, style in self.spans:
            shown = text[max(0, start - at) : max(0, end - at)]
            at += len(text)
            if shown:
                spans.append((shown, style))
        row.spans = tuple(spans)
        return row


class Rows(Protocol):
    """What a view shows: rows that are made when they are seen."""

    def fit(self, width: int) -> None:
        """Makes the rows that come next `width` cells wide."""

    def read(self, count: int) -> None:
        """Reads on until there are `count` rows, or all."""

    def __len__(self) -> int: ...

    def row(self, at: int) -> Line:
        """Returns a row that was read."""

    def name(self, at: int) -> str | None:
        """Returns what can be chosen in a row, as the hash of a commit; None if nothing can."""


class Document:
    """Lines that are known from the start, wrapped at words."""

    def __init__(self, lines: Iterable[Line] = (), *, names: Sequence[str] = (), width: int = 0) -> None:
        self.lines = list(lines)
        self._names = names  # of each line, where these can be chosen; such lines are not wrapped
        self._width = 0
        self._rows = self.lines
        self.fit(width)

    def fit(self, width: int) -> None:
        if width and width != self._width and not self._names:
            self._width = width
            self._rows = list(_wrapped(self.lines, width))

    def read(self, count: int) -> None:
        pass

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, at: int) -> Line:
        return self._rows[at]

    def name(self, at: int) -> str | None:
        return self._names[at] if self._names else None


def text_lines(text: str, style: str = "", *, indent: int = 0, most: int | None = None) -> Iterator[Line]:
    """Yields a text line by line; of a long one about the first `most` characters, and how many more there are."""
    parts = (text if most is None else text[:most]).split("\n")
    parts = parts if most is None else parts[: most // _LINE_LENGTH]
    for part in parts:
        yield Line((part.expandtabs(4), style), indent=indent)
    left = len(text) - sum(map(len, parts)) - len(parts) + 1
    if left > 0:
        yield Line((f"… {left:,} more characters: w shows all", "dim"), indent=indent)


def table_lines(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Iterator[Line]:
    """Yields a table."""
    cells = [[column.title for column in columns], *([inline(cell) for cell in row] for row in rows)]
    widths = [max(cell_len(row[n]) for row in cells) for n in range(len(columns))]
    for place, row in enumerate(cells):
        spans = []
        for cell, width, column in zip(row, widths, columns, strict=True):
            padding = " " * (width - cell_len(cell))
            spans.append((f"{padding}{cell}  " if column.is_number else f"{cell}{padding}  ", "" if place else "label"))
        yield Line(*spans)


def _wrapped(lines: Iterable[Line], width: int) -> Iterator[Line]:
    for line in lines:
        text = line.text
        room = max(_NARROWEST, width - line.indent)
        if len(text) <= room and text.isascii():
            yield line
        else:
            yield from (line.part(start, end) for start, end in _pieces(text, room, max(_NARROWEST, room - line.hang)))


def _pieces(text: str, room: int, later: int) -> Iterator[tuple[int, int]]:
    """Yields the parts of a text that take at most `room` cells, and `later` after the first; broken after a space near the end."""
    start = 0
    while start < len(text):
        end = _end(text, start, later if start else room)
        if end < len(text):
            space = text.rfind(" ", start + (end - start) // 2, end + 1)
            end = space + 1 if space > start else end
        yield start, end
        start = end


def _end(text: str, start: int, room: int) -> int:
    """Returns where the part of a text ends that begins at `start` and takes `room` cells; at least one character on."""
    part = text[start : start + room * _MOST_PER_CELL]
    if part[:room].isascii():
        return start + min(room, len(part))
    cells = 0
    for place, char in enumerate(part):
        cells += get_character_cell_size(char)
        if cells > room:
            return start + max(place, 1)
    return start + len(part)
