"""The screens above the history: a choice by name, and the help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from tract_fs.cli.browse.line_view import LineView
from tract_fs.cli.browse.lines import Document, Line

TYPEABLE = r"[^\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*"  # no command of a terminal

_KEYS = (
    ("j k ↓ ↑", "the next commit, the one before; scroll on the right"),
    ("space ^F ^B ^D ^U", "a page on or back, half a page"),
    ("g G", "the newest commit, the oldest"),
    ("Tab Enter Esc", "to the right side; back"),
    ("1 2 3 4", "the commit; its context, with what is left out and why; the diff; usage"),
    ("a b", "mark a commit as A or B; 3 shows what differs. Without A: from the parent"),
    ("w", "show long texts and contexts whole"),
    ("/", "find a phrase in the texts of the tract"),
    (":", 'find by an expression: temperature > 0.5 and model = "gpt-4o"'),
    ("n N", "the next commit that was found, the one before"),
    ("B T", "choose a branch, or all; choose a tract"),
    ("r", "look at once for what others committed; it is noticed within a second or so"),
    ("t", "light or dark"),
    ("y", "copy the hash of the commit to the clipboard of the terminal"),
    ("q ^C", "leave"),
)


class Dialog(ModalScreen[str | None]):
    """Rows in a box above the screen; Esc leaves it."""

    DEFAULT_CSS = """
    Dialog { align: center middle; }
    Dialog > Vertical { width: 90%; max-width: 100; height: auto; max-height: 90%; border: round $primary; background: $surface; padding: 0 1; }
    Dialog LineView { height: auto; max-height: 100%; background: $surface; }
    Dialog Input, Dialog Input:focus { border: none; height: 1; padding: 0; background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", show=False)]


class Help(Dialog):
    """What the keys do."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("q,question_mark", "dismiss", show=False)]

    def compose(self) -> ComposeResult:
        lines = [Line((f"{keys:<19}", "key"), (words, ""), hang=19) for keys, words in _KEYS]
        with Vertical():
            yield LineView(Document(lines))


class Choice(Dialog):
    """One of many names, narrowed by what is typed; returns it, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,ctrl+n,tab", "move(1)", show=False),
        Binding("up,ctrl+p,shift+tab", "move(-1)", show=False),
        Binding("pagedown", "page(1.0)", show=False),
        Binding("pageup", "page(-1.0)", show=False),
    ]

    def __init__(self, title: str, names: Sequence[str], lines: Sequence[Line], *, chosen: str) -> None:
        super().__init__()
        self._title = title
        self._entries = list(zip(names, lines, strict=True))
        self._chosen = chosen

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Input(placeholder=self._title, restrict=TYPEABLE)
            yield LineView(has_cursor=True)

    def on_mount(self) -> None:
        self._narrow("")

    @on(Input.Changed)
    def _on_changed(self, event: Input.Changed) -> None:
        self._narrow(event.value)

    def _narrow(self, typed: str) -> None:
        wanted = typed.casefold()
        found = [(name, line) for name, line in self._entries if wanted in line.text.casefold()]
        names = [name for name, _ in found]
        at = names.index(self._chosen) if self._chosen in names else 0
        self.query_one(LineView).show(Document([line for _, line in found], names=names), cursor=at)

    @on(Input.Submitted)
    def _on_submitted(self) -> None:
        chosen = self.query_one(LineView).chosen
        if chosen is not None:
            self.dismiss(chosen)

    @on(LineView.Chosen)
    def _on_chosen(self, event: LineView.Chosen) -> None:
        self.dismiss(event.control.chosen)

    def action_move(self, step: int) -> None:
        """Goes to the next row."""
        self.query_one(LineView).action_move(step)

    def action_page(self, pages: float) -> None:
        """Goes on by a part of the rows."""
        self.query_one(LineView).action_page(pages)
