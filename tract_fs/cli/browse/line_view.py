"""The widget that shows rows: only those on the screen are made."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tract_fs.cli.browse.lines import Document, Line, Rows

_STYLES = (
    *("hash", "ref", "label", "dim", "warn", "error", "add", "remove", "changed", "hunk", "head", "config", "reason"),
    *("user", "assistant", "system", "tool", "match", "mark", "title", "tab", "key"),
    *(f"lane{number}" for number in range(6)),
)


class LineView(ScrollView, can_focus=True):
    """Rows of lines, and with `has_cursor` one of them that is chosen."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"line--cursor", *(f"line--{name}" for name in _STYLES)}
    DEFAULT_CSS = """
    LineView {
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-gutter: stable;
        scrollbar-size-vertical: 1;
        .line--hash { color: $text-warning; }
        .line--ref, .line--add, .line--assistant { color: $text-success; }
        .line--label, .line--dim { color: $text-muted; }
        .line--warn, .line--changed, .line--system { color: $text-warning; }
        .line--error, .line--remove { color: $text-error; }
        .line--hunk, .line--config, .line--tool { color: $text-accent; }
        .line--reason { color: $text-secondary; text-style: italic; }
        .line--user { color: $text-primary; }
        .line--user, .line--assistant, .line--system, .line--tool, .line--head, .line--title, .line--mark { text-style: bold; }
        .line--match { color: $text-error; text-style: bold underline; }
        .line--tab { color: $text-primary; text-style: bold reverse; }
        .line--key { color: $text-primary; text-style: bold; }
        .line--lane0 { color: $text-error; }
        .line--lane1 { color: $text-success; }
        .line--lane2 { color: $text-warning; }
        .line--lane3 { color: $text-primary; }
        .line--lane4 { color: $text-accent; }
        .line--lane5 { color: $text-secondary; }
        .line--cursor { background: $surface-lighten-2; }
        &:focus .line--cursor { background: $primary-muted; text-style: bold; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", show=False),
        Binding("k,up", "move(-1)", show=False),
        Binding("pagedown,space,ctrl+f", "page(1.0)", show=False),
        Binding("pageup,ctrl+b", "page(-1.0)", show=False),
        Binding("ctrl+d", "page(0.5)", show=False),
        Binding("ctrl+u", "page(-0.5)", show=False),
        Binding("g,home", "first", show=False),
        Binding("G,end", "last", show=False),
        Binding("enter", "choose", show=False),
    ]

    class Moved(Message):
        """The cursor is on another row."""

        def __init__(self, control: LineView) -> None:
            super().__init__()
            self._control = control

        @property
        def control(self) -> LineView:
            """The view, by which a handler is chosen."""
            return self._control

    class Chosen(Moved):
        """Enter, or a click on the row of the cursor."""

    class Ended(Moved):
        """The last row is wanted, which may not be read yet."""

    def __init__(self, rows: Rows | None = None, *, id: str | None = None, has_cursor: bool = False) -> None:
        super().__init__(id=id)
        self.rows: Rows = Document() if rows is None else rows
        self.cursor = 0
        self._has_cursor = has_cursor

    @property
    def chosen(self) -> str | None:
        """What the row of the cursor names."""
        return self.rows.name(self.cursor) if self.cursor < len(self.rows) else None

    def show(self, rows: Rows, *, cursor: int = 0, top: int | None = None, is_at_end: bool = False) -> None:
        """Shows other rows from `top` on, or from the end; or with the cursor, a row that was read, in the middle."""
        self.rows = rows
        self.cursor = cursor
        rows.fit(self.scrollable_content_region.width)
        self._read_on(cursor)
        if top is None:
            top = len(rows) if is_at_end else max(0, cursor - self.size.height // 2)
        self.scroll_to(y=top, animate=False, immediate=True, force=True)
        self.vertical_scrollbar.position = self.scroll_offset.y  # it may come only with these rows
        self.refresh()

    def move_to(self, at: int) -> None:
        """Puts the cursor on a row, which then shows; one that was read."""
        before, self.cursor = self.cursor, at
        self._read_on(at)
        top, height = self.scroll_offset.y, max(1, self.size.height)
        if not top <= at < top + height:
            self.scroll_to(y=at if at < top else at - height + 1, animate=False, immediate=True, force=True)
        self.refresh_line(before)
        self.refresh_line(at)
        if at != before:
            self.post_message(self.Moved(self))

    def action_move(self, step: int) -> None:
        """Goes to the next row that can be chosen; without a cursor, scrolls."""
        if not self._has_cursor:
            self.scroll_relative(y=step, animate=False)
            return
        at = self.cursor + step
        self._read_on(at)
        while 0 <= at < len(self.rows) and self.rows.name(at) is None:
            at += step
            self._read_on(at)
        if 0 <= at < len(self.rows):
            self.move_to(at)

    def action_page(self, pages: float) -> None:
        """Goes on by a part of the screen."""
        rows = round(pages * max(1, self.size.height - 1))
        if self._has_cursor:
            self.move_near(self.cursor + rows)
        else:
            self.scroll_relative(y=rows, animate=False)

    def action_first(self) -> None:
        """Goes to the first row."""
        if self._has_cursor:
            self.move_near(0)
        else:
            self.scroll_home(animate=False)

    def action_last(self) -> None:
        """Goes to the last row; the rows of a cursor may have to be read first."""
        if self._has_cursor:
            self.post_message(self.Ended(self))
        else:
            self.scroll_end(animate=False)

    def action_choose(self) -> None:
        """Says that the row of the cursor is chosen."""
        if self._has_cursor and self.chosen is not None:
            self.post_message(self.Chosen(self))

    def move_near(self, at: int) -> None:
        """Goes to a row, or to the nearest that can be chosen, first further on, then back."""
        self._read_on(at)
        at = max(0, min(at, len(self.rows) - 1))
        for place in chain(range(at, len(self.rows)), range(at - 1, -1, -1)):
            if self.rows.name(place) is not None:
                self.move_to(place)
                return

    def on_click(self, event: events.Click) -> None:
        """Puts the cursor on the row; on its own row, it is chosen."""
        at = self.scroll_offset.y + event.get_content_offset_capture(self).y
        if self._has_cursor and at < len(self.rows) and self.rows.name(at) is not None:
            if at == self.cursor:
                self.action_choose()
            else:
                self.move_to(at)

    def on_resize(self) -> None:
        self.rows.fit(self.scrollable_content_region.width)
        self._read_on(self.cursor)
        self.refresh()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Reads on where the screen comes near the last row that was read."""
        super().watch_scroll_y(old_value, new_value)
        self._read_on(0)

    def render_line(self, y: int) -> Strip:
        """Returns a row of the screen."""
        at = self.scroll_offset.y + y
        base = self.rich_style
        if at >= len(self.rows):
            return Strip.blank(self.size.width, base)
        row = self.rows.row(at)
        is_chosen = self._has_cursor and at == self.cursor and self.rows.name(at) is not None
        chosen = self.get_component_rich_style("line--cursor") if is_chosen else Style()
        end = base + Style(bgcolor=chosen.bgcolor, bold=chosen.bold)
        segments = [Segment(" " * row.indent, end)]
        for text, name in row.spans:
            style = self.get_component_rich_style(f"line--{name}") if name else base
            segments.append(
                Segment(text, style + Style(bgcolor=chosen.bgcolor or base.bgcolor, bold=chosen.bold or None))
            )
        return Strip(segments).crop_extend(0, self.size.width, end)

    def _read_on(self, at: int) -> None:
        """Reads the rows that a screen around a row, or around what is seen, needs."""
        self.rows.read(max(at, self.scroll_offset.y) + 2 * max(1, self.size.height))
        height = len(self.rows)
        if self.virtual_size.height != height:
            self.virtual_size = Size(self.size.width, height)


class Bar(LineView, can_focus=False):
    """A few lines that are always seen."""

    DEFAULT_CSS = """
    Bar { height: 1; width: 1fr; overflow: hidden; scrollbar-size: 0 0; scrollbar-gutter: auto; background: $panel; }
    """

    _said: Sequence[Line] | None = None

    def say(self, *lines: Line) -> None:
        """Shows lines in the place of those before; none: takes no place."""
        made = Document(lines, width=self.app.size.width)
        if self._said is None or [line.spans for line in made.lines] != [line.spans for line in self._said]:
            self._said = made.lines
            self.styles.height = len(made)
            self.show(made)
