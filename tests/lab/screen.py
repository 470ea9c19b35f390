"""The screen of the browser under test: what it shows, row by row, while keys are pressed; and a terminal for the whole command."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from tests.lab.command import TRACT
from tract_fs import Store
from tract_fs.cli.browse.app import Browser
from tract_fs.cli.browse.line_view import LineView

_LONGEST_S = 300  # of a machine that is busy


class Screen:
    """What a browser shows."""

    def __init__(self, app: Browser, pilot: Pilot[None]) -> None:
        self.app = app
        self._pilot = pilot

    def text(self) -> str:
        """Returns the rows of the screen, each without its end of spaces."""
        return "\n".join(strip.text.rstrip() for strip in self.app.screen._compositor.render_strips())

    def side(self, name: str) -> str:
        """Returns all rows of `left` or `right`, also those that the screen is too small for."""
        rows = self.view(name).rows
        return "\n".join(" " * rows.row(at).indent + rows.row(at).text for at in range(len(rows)))

    def view(self, name: str) -> LineView:
        return self.app.screen_stack[0].query_one(f"#{name}", LineView)

    async def press(self, *keys: str) -> None:
        await self._pilot.press(*keys)

    async def type(self, text: str) -> None:
        await self._pilot.press(*(" " if key == " " else key for key in text))

    async def click(self, view: str, *, row: int) -> None:
        await self._pilot.click(f"#{view}", offset=(5, row))

    async def resize(self, width: int, height: int) -> None:
        await self._pilot.resize_terminal(width, height)

    async def cursor_at(self, row: int) -> None:
        """Waits until the cursor of the left side is on a row."""
        ends_at = time.monotonic() + _LONGEST_S
        while self.view("left").cursor != row:
            assert time.monotonic() < ends_at, self.view("left").cursor
            await asyncio.sleep(0.01)

    async def until(self, *texts: str, gone: str | None = None) -> None:
        """Waits until the screen shows all of these texts, and `gone` no more."""
        ends_at, shown = time.monotonic() + _LONGEST_S, ""
        while time.monotonic() < ends_at:
            shown = self.text()
            if all(text in shown for text in texts) and (gone is None or gone not in shown):
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"{texts} (without {gone!r}) is not in\n{shown}")


def browse(
    path: Path,
    work: Callable[[Screen], Awaitable[None]],
    *,
    tract: str = "default",
    branch: str = "main",
    start: str | None = None,
    size: tuple[int, int] = (180, 26),
) -> int | None:
    """Opens a store in the browser, does something with its screen, and returns the exit code, if it was left."""

    async def run() -> int | None:
        with Store.open(path, create=False, read_only=True, incomplete="use") as store:
            app = Browser(store, tract, branch, start=start)
            async with app.run_test(size=size) as pilot:
                await work(Screen(app, pilot))
            return app.return_code

    return asyncio.run(run())


class Terminal:
    """The command in a terminal of 80 columns and 24 rows."""

    def __init__(self, *arguments: str, cwd: Path, **variables: str) -> None:
        self.master, self.slave = pty.openpty()
        termios.tcsetwinsize(self.master, (24, 80))
        self.before = termios.tcgetattr(self.slave)
        environment: dict[str, Any] = {**os.environ, "TERM": "xterm-256color", **variables}
        if "NO_COLOR" not in variables:
            environment.pop("NO_COLOR", None)
        streams = {"stdin": self.slave, "stdout": self.slave, "stderr": self.slave}
        self.child = subprocess.Popen([*TRACT, *arguments], cwd=cwd, env=environment, start_new_session=True, **streams)
        self.output = b""

    def wait_for(self, text: str) -> None:
        """Reads what the command draws, until a text is in it."""
        ends_at = time.monotonic() + _LONGEST_S
        while text.encode() not in self.output:
            assert time.monotonic() < ends_at, self.output[-2000:]
            self._read(0.1)

    def send(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def end(self) -> int:
        """Waits for the end of the command, and returns its exit code; the terminal must then be as it was."""
        ends_at = time.monotonic() + _LONGEST_S
        while self.child.poll() is None:
            assert time.monotonic() < ends_at, self.output[-2000:]
            self._read(0.05)
        while self._read(0.1):
            pass
        assert termios.tcgetattr(self.slave) == self.before
        os.close(self.master)
        os.close(self.slave)
        return self.child.returncode

    def _read(self, timeout_s: float) -> bool:
        ready, _, _ = select.select([self.master], [], [], timeout_s)
        if ready:
            self.output += os.read(self.master, 65536)
        return bool(ready)
