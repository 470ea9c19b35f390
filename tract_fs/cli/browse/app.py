"""The browser: commits on the left, on the right what one of them is, and below what is typed and answered.

What takes long is done by threads, with a handle of their own, so that no key waits for it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.timer import Timer
from textual.widgets import Input
from textual.worker import Worker

from tract_fs import CommitInfo, SearchHit, Store, Tract
from tract_fs.cli.browse.choice import TYPEABLE, Choice, Help
from tract_fs.cli.browse.documents import commit_lines, context_lines, diff_lines, usage_lines
from tract_fs.cli.browse.history import DIGITS, History, Hits
from tract_fs.cli.browse.line_view import Bar, LineView
from tract_fs.cli.browse.lines import Document, Line, text_lines
from tract_fs.cli.display import require_commit
from tract_fs.cli.output import one_line
from tract_fs.errors import TractError

INTERRUPTED = 130  # by Ctrl-C or SIGTERM, as for the other commands
_TABS = ("commit", "context", "diff", "usage")
_REST_S = 0.05  # the right side follows once the cursor rests so long
_CONTEXT_REST_S = 0.2  # a context is compiled then
_PATIENCE_S = 0.3  # until it says that it reads
_LOOK_EVERY_S = 1.0
_ROWS_AT_ONCE = 500  # that are read before the next key is looked at
_MOST_HITS = 1000
_PLACEHOLDERS = {"/": "a phrase", ":": 'an expression: temperature > 0.5 and model = "gpt-4o"'}
_HINTS = (
    *(("/", "search"), (":", "query"), ("1-4", "tabs"), ("a b", "mark"), ("B", "branch"), ("T", "tract")),
    *(("?", "help"), ("q", "quit")),
)


class Browser(App[None]):
    """Shows one tract of a store at a time, all its branches or one; it writes nothing.

    States of the left side: the graph of `_history`; what was found, until Escape or a choice.
    """

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #title { background: $primary-muted; }
    #left { width: 4fr; border-right: solid $panel-lighten-2; }
    #left:focus { border-right: solid $primary; }
    #side { width: 5fr; }
    #right { padding-left: 1; }
    #ask { height: 1; display: none; }
    #sign { width: 2; }
    #prompt { border: none; height: 1; padding: 0; width: 1fr; background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "interrupt", show=False, priority=True),
        *(Binding(str(number), f"tab({number - 1})", show=False) for number in range(1, 5)),
        Binding("question_mark", "help", show=False),
        Binding("slash", "ask('/')", show=False),
        Binding("colon", "ask(':')", show=False),
        Binding("n", "hit(1)", show=False),
        Binding("N", "hit(-1)", show=False),
        Binding("a", "mark('A')", show=False),
        Binding("b", "mark('B')", show=False),
        Binding("B", "branch", show=False),
        Binding("T", "tract", show=False),
        Binding("w", "whole", show=False),
        Binding("r", "refresh", show=False),
        Binding("t", "theme", show=False),
        Binding("y", "copy", show=False),
        Binding("escape", "leave", show=False),
        Binding("q", "quit", show=False),
    ]

    def __init__(self, store: Store, tract_id: str, branch: str, *, start: str | None = None) -> None:
        super().__init__()
        self._store = store
        self._t = store.tract(tract_id, branch=branch)
        self._beside = store.tract(tract_id, branch=branch)  # for threads
        self._only: str | None = None  # the branch that is shown; None: all
        self._branches: dict[str, tuple[str, ...]] = {}
        self._tags: dict[str, str] = {}
        self._history = History(self._t, ())
        self._start = start
        self._left_at: str | None = None  # the commit of the graph, while hits are shown
        self._found: Sequence[SearchHit | CommitInfo] = ()
        self._at_hit = 0
        self._sign = "/"  # of what is typed
        self._tab = 0
        self._is_whole = False
        self._built: object = None  # what the right side shows
        self._timer: Timer | None = None
        self._left = LineView(id="left", has_cursor=True)
        self._right = LineView(id="right")
        self._prompt = Input(id="prompt", restrict=TYPEABLE)
        self._ask = Horizontal(id="ask")
        self._bars = {name: Bar(id=name) for name in ("title", "tabs", "message", "sign", "keys")}

    def compose(self) -> ComposeResult:
        yield self._bars["title"]
        with Horizontal():
            yield self._left
            with Vertical(id="side"):
                yield self._bars["tabs"]
                yield self._right
        yield self._bars["message"]
        with self._ask:
            yield self._bars["sign"]
            yield self._prompt
        yield self._bars["keys"]

    def on_mount(self) -> None:
        """Shows the history once there is a screen."""
        if not self.is_headless:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(number, self.action_interrupt)
        spans = [span for key, words in _HINTS for span in ((f" {key}", "key"), (f" {words} ", ""))]
        self._bars["keys"].say(Line(*spans))
        self._say()
        self._left.focus()
        self.call_after_refresh(self._open, self._start)
        self.set_interval(_LOOK_EVERY_S, self._look)

    @property
    def _is_graph(self) -> bool:
        return not isinstance(self._left.rows, Hits)

    def _say(self, *lines: Line) -> None:
        self._bars["message"].say(*lines)

    def _say_error(self, error: Exception) -> None:
        self._say(*text_lines(str(error), "error"))

    def _run(self, work: Callable[[], Awaitable[None]], group: str) -> None:
        """Runs what may take long, in the place of what the same group still does."""
        _: Worker[None] = self.run_worker(partial(self._guarded, work), exclusive=True, group=group)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (TractError, OSError) as error:
            self._say_error(error)

    # the left side

    def _open(self, chosen: str | None = None) -> None:
        """Reads branches and tags, and shows the history around a commit: by default the head of the handle's branch."""
        try:
            self._branches, self._tags = self._t.branches(), self._t.tags()
            heads = [head for name, own in self._branches.items() if self._only in (None, name) for head in own]
            self._make_history(heads)
            warning = self._t.incomplete()
            title = self._t.title
        except (TractError, OSError) as error:
            self._say_error(error)
            return
        self._say(*(() if warning is None else text_lines(str(warning), "error")))
        shown = _count(len(self._branches), "branch", "es") if self._only is None else f"branch {self._only}"
        name = f"{self._t.tract_id}{'' if title is None else f': {title}'}"
        self._bars["title"].say(Line((" ", ""), (one_line(name), "title"), (f"   {one_line(shown)}", "")))
        own = self._branches.get(self._only or str(self._t.branch), ())
        chosen = chosen or next(iter([*own, *heads]), None)
        if chosen is None:
            self._show_left(self._history, 0)
        else:
            self._run(partial(self._reach, chosen, above=self._left.cursor - self._left.scroll_offset.y), "reach")

    def _make_history(self, heads: Iterable[str]) -> None:
        marks = self._history.marks
        self._history = History(self._t, list(dict.fromkeys(heads)))
        self._history.marks = marks

    async def _reach(self, name: str, *, above: int | None = None) -> None:
        """Shows the history with the cursor on a commit, once it is read; one that no head reaches gets a line of its own."""
        for _ in range(2):
            while name not in self._history.places and not self._history.is_whole:
                self._history.read_more(_ROWS_AT_ONCE)
                await asyncio.sleep(0)
            if name in self._history.places:
                break
            self._make_history([*self._history.heads, name])
        at = self._history.places[name]
        self._show_left(self._history, at, top=None if above is None else at - above)

    @on(LineView.Ended, "#left")
    def _on_ended(self) -> None:
        self._run(self._to_last, "reach")

    async def _to_last(self) -> None:
        while self._is_graph and not self._history.is_whole:
            self._history.read_more(_ROWS_AT_ONCE)
            await asyncio.sleep(0)
        self._left.move_near(len(self._left.rows) - 1)

    def _show_left(self, rows: History | Hits, cursor: int, *, top: int | None = None) -> None:
        self._left.show(rows, cursor=cursor, top=top)
        self._build_soon()

    @on(LineView.Moved, "#left")
    def _on_moved(self) -> None:
        self._is_whole = False
        if not self._is_graph:
            self._at_hit = self._left.cursor
        self._build_soon()

    @on(LineView.Chosen, "#left")
    def _on_chosen(self, event: LineView.Chosen) -> None:
        name = event.control.chosen
        if self._is_graph:
            self._right.focus()
        elif name is not None:
            self._run(partial(self._reach, name), "reach")

    def _look(self) -> None:
        """Shows what others committed meanwhile; the cursor stays on its commit. Leaves where the terminal is gone."""
        if not self.is_headless and not os.isatty(0):
            self.action_interrupt()
        if self._is_graph:
            with suppress(TractError, OSError):  # the refresh by key reports it
                if (self._t.branches(), self._t.tags()) != (self._branches, self._tags):
                    self._open(self._left.chosen)

    # the right side

    def _build_soon(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        rest_s = _CONTEXT_REST_S if _TABS[self._tab] == "context" else _REST_S
        self._timer = self.set_timer(rest_s, partial(self._run, self._build, "build"))
        spans = [(f" {n + 1} {name} ", "tab" if n == self._tab else "dim") for n, name in enumerate(_TABS)]
        self._bars["tabs"].say(Line(*spans))

    async def _build(self) -> None:
        """Builds what the tab shows of the commit, in a thread, and shows it."""
        name, tab = self._left.chosen, _TABS[self._tab]
        if name is None:
            self._right.show(Document([] if len(self._left.rows) else [Line(("no commits yet", "dim"))]))
            return
        if tab == "commit" and not self._is_graph:
            await self._read_past(name)
        key = (name, tab, self._is_whole)
        width = self._right.scrollable_content_region.width
        made = asyncio.ensure_future(asyncio.to_thread(self._document, *key, width))
        top = self._right.scroll_offset.y if key == self._built else None
        if top is None and not (await asyncio.wait([made], timeout=_PATIENCE_S))[0]:
            self._right.show(Document([Line(("reading …", "dim"))]))
        self._right.show(await made, top=top, is_at_end=top is None and tab == "context")
        self._built = key

    async def _read_past(self, name: str) -> None:
        """Reads all commits that are younger than one: then all that is about it is known."""
        info = self._t.get_commit(name)
        while info is not None and not self._history.is_past(info.created_at):
            self._history.read_more(_ROWS_AT_ONCE)
            await asyncio.sleep(0)

    def _document(self, name: str, tab: str, is_whole: bool, width: int) -> Document:
        """Returns what a tab shows of a commit; in a thread."""
        try:
            if tab != "context":
                return Document(self._lines(self._beside, name, tab, is_whole=is_whole), width=width)
            with self._beside.at(name) as past:
                return Document(context_lines(past, is_whole=is_whole), width=width)
        except (TractError, OSError) as error:
            return Document(text_lines(str(error), "error"), width=width)

    def _lines(self, t: Tract, name: str, tab: str, *, is_whole: bool) -> Iterator[Line]:
        history = self._history
        if tab == "usage":
            return usage_lines(t)
        if tab == "diff":
            marked = {sign: commit for commit, sign in history.marks.items()}
            return diff_lines(t, marked.get("A"), marked.get("B", name), history.marks, is_whole=is_whole)
        return commit_lines(
            t,
            require_commit(t, name),
            names=history.names.get(name, ()),
            about=history.about.get(name, ()),
            usage=t.usage(of=name).get(name),
            is_whole=is_whole,
        )

    # search and query

    def action_ask(self, sign: str) -> None:
        """Lets a phrase or an expression be typed."""
        self._sign = sign
        self._say()
        self._bars["sign"].say(Line((sign, "key")))
        self._prompt.value, self._prompt.placeholder = "", _PLACEHOLDERS[sign]
        self._ask.display = True
        self._prompt.focus()

    @on(Input.Submitted, "#prompt")
    def _on_submitted(self, event: Input.Submitted) -> None:
        if event.value:
            self._say(Line(("searching …", "dim")))
            self._run(partial(self._find, self._sign, event.value), "find")
        else:
            self.action_leave()

    async def _find(self, sign: str, typed: str) -> None:
        """Shows what a phrase or an expression finds; after an error it can be corrected."""
        found = await asyncio.to_thread(self._search, sign, typed)
        if not found:
            self._say(Line(("nothing matches", "warn")))
            return
        if self._is_graph:
            self._left_at = self._left.chosen
        self._found, self._at_hit = found, 0
        self._close_prompt()
        count = f"{len(found):,}" if len(found) < _MOST_HITS else f"the first {_MOST_HITS:,}"
        self._say(
            Line(
                (f" {count} found: {sign}{one_line(typed, width=40)}", ""),
                ("   Enter", "key"),
                (" in the graph ", ""),
                (" Esc", "key"),
                (" back", ""),
            )
        )
        self._show_left(Hits(self._t, found), 0)

    def _search(self, sign: str, typed: str) -> Sequence[SearchHit | CommitInfo]:
        """Returns what is found; in a thread."""
        if sign == "/":
            return self._beside.search(typed, branch=self._only, limit=_MOST_HITS)
        return self._beside.query(typed)[::-1][:_MOST_HITS]

    def _close_prompt(self) -> None:
        self._ask.display = False
        self._left.focus()

    def action_hit(self, step: int) -> None:
        """Goes to the next commit that was found, or the one before; after the last comes the first."""
        if not self._found:
            self._say(Line(("nothing was searched yet: / finds a phrase, : an expression", "dim")))
            return
        self._at_hit = (self._at_hit + step) % len(self._found)
        if self._is_graph:
            self._run(partial(self._reach, self._found[self._at_hit].commit_hash), "reach")
        else:
            self._left.move_to(self._at_hit)

    # other keys

    def action_leave(self) -> None:
        """Closes what is typed, leaves the right side, or what was found."""
        self._say()
        if self._ask.display:
            self._close_prompt()
        elif not self._left.has_focus:
            self._left.focus()
        elif not self._is_graph and self._left_at is not None:
            self._run(partial(self._reach, self._left_at), "reach")

    def action_tab(self, tab: int) -> None:
        """Shows another tab."""
        self._tab = tab
        self._build_soon()

    def action_whole(self) -> None:
        """Shows what is long whole, or no longer."""
        self._is_whole = not self._is_whole
        self._build_soon()

    def action_mark(self, sign: str) -> None:
        """Marks the commit as A or B, or no longer; both marked, the diff shows."""
        name, marks = self._left.chosen, self._history.marks
        if name is None:
            return
        is_marked = marks.get(name) == sign
        for other in [commit for commit, made in marks.items() if made == sign]:
            del marks[other]
        if not is_marked:
            marks[name] = sign
        if len(marks) == 2:
            self._tab = _TABS.index("diff")
        self._left.refresh()
        self._built = None
        self._build_soon()

    def action_branch(self) -> None:
        """Lets a branch be chosen, or all."""
        self._run(self._choose_branch, "choose")

    async def _choose_branch(self) -> None:
        names = ["", *self._branches]
        heads = (f"  {', '.join(head[:DIGITS] for head in own)}" for own in self._branches.values())
        lines = [
            Line(("all branches", "head")),
            *(Line((name, "ref"), (head, "hash")) for name, head in zip(self._branches, heads, strict=True)),
        ]
        chosen = await self.push_screen_wait(Choice("branch", names, lines, chosen=self._only or ""))
        if chosen is not None:
            self._only = chosen or None
            self._use(self._t.tract_id, chosen or str(self._t.branch))

    def action_tract(self) -> None:
        """Lets a tract be chosen."""
        self._run(self._choose_tract, "choose")

    async def _choose_tract(self) -> None:
        infos = await asyncio.to_thread(self._store.tracts)
        lines = [
            Line(
                (info.tract_id, "ref"),
                (f"  {info.title or ''}", ""),
                (f"  {_count(info.commit_count, 'commit', 's')}", "dim"),
            )
            for info in infos
        ]
        names = [info.tract_id for info in infos]
        chosen = await self.push_screen_wait(Choice("tract", names, lines, chosen=self._t.tract_id))
        if chosen is not None and chosen != self._t.tract_id:
            self._only, self._found, self._built = None, (), None
            self._history.marks = {}
            self._use(chosen, "main")

    def _use(self, tract_id: str, branch: str) -> None:
        """Shows the tract from the head of a branch on; handles that a thread may still use are closed with the store."""
        self._t = self._store.tract(tract_id, branch=branch)
        self._beside = self._store.tract(tract_id, branch=branch)
        self._open()

    def action_refresh(self) -> None:
        """Looks at once for what others committed."""
        try:
            self._store.refresh()
            self._t.refresh()
            self._beside.refresh()
        except (TractError, OSError) as error:
            self._say_error(error)
            return
        self._open(self._left.chosen)

    def action_theme(self) -> None:
        """Changes between light and dark."""
        self.theme = "textual-light" if self.current_theme.dark else "textual-dark"

    def action_copy(self) -> None:
        """Copies the hash of the commit, where the terminal allows it."""
        if self._left.chosen is not None:
            self.copy_to_clipboard(self._left.chosen)
            self._say(Line((f" {self._left.chosen} is copied, where the terminal allows it", "dim")))

    def action_help(self) -> None:
        """Shows what the keys do."""
        self.push_screen(Help())

    def action_interrupt(self) -> None:
        """Leaves at once."""
        self.exit(return_code=INTERRUPTED)


def _count(number: int, noun: str, ending: str) -> str:
    return f"{number:,} {noun}{ending * (number != 1)}"
