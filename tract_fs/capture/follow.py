"""Follows session files as agents write them, and imports what is new: torn tails wait, rewritten files are read again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from tract_fs.capture.discover import sessions_in
from tract_fs.capture.files import FileState, state_of_session
from tract_fs.capture.importer import TranscriptReport
from tract_fs.errors import StoreGone, TractError

Result = TranscriptReport | TractError | OSError  # of a file
_PAUSE_S = 0.5
_LIST_PAUSE_S = 3.0  # between looks for new files in folders
_SHARE = 4  # a pause is this many times as long as what the look before it took


class Follower:
    """Follows some paths of session files and folders.

    `_seen` has the state of each file, with those beside it, at the last look at it; the tract holds all else, so another
    follower goes on where this one was killed.
    """

    def __init__(self, import_file: Callable[[str], Iterable[TranscriptReport]], paths: Iterable[str]) -> None:
        """`import_file` imports the sessions of a file that grows, as `Store.import_transcripts` does."""
        self._import_file = import_file
        self._paths = list(paths)
        self._files: list[str] = []
        self._seen: dict[str, tuple[FileState, ...]] = {}
        self._verdicts: dict[str, tuple[FileState, bool]] = {}  # of the files in folders: whether they are sessions
        self._listed_at = float("-inf")

    def look(self) -> list[tuple[str, Result]]:
        """Imports what is new of the files that changed, and returns what became of each; a file that can't be read is
        tried again once it changes. Errors: StoreGone.
        """
        done: list[tuple[str, Result]] = []
        for path, state in self._changed():
            try:
                reports = self._import_file(path)
                done += [(path, report) for report in reports if report.added or report.branches]
            except StoreGone:
                raise
            except (TractError, OSError) as error:
                done.append((path, error))
            self._seen[path] = state
        return done

    def run(
        self,
        report: Callable[[str, Result], object],
        is_stopped: Callable[[], bool],
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        """Looks until `is_stopped`; calls `report` for each file of which something was imported, or nothing could be."""
        while not is_stopped():
            began = time.monotonic()
            for path, result in self.look():
                report(path, result)
            wait(max(_PAUSE_S, _SHARE * (time.monotonic() - began)))

    def _changed(self) -> list[tuple[str, tuple[FileState, ...]]]:
        now = time.monotonic()
        if now - self._listed_at >= _LIST_PAUSE_S:
            self._listed_at = now
            self._files = [state.path for path in self._paths for state in sessions_in(path, self._verdicts)]
        states = ((path, state_of_session(path)) for path in dict.fromkeys(self._files))
        return [(path, state) for path, state in states if state and self._seen.get(path) != state]
