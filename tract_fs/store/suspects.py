"""Suspects: files whose bytes were found not to hash to their names when they were read, for a writer to deal with.

Noting one costs no look at the disk. Nothing here moves a file; that is `quarantine`.
"""

from __future__ import annotations

import time
from typing import Literal, NamedTuple

_MOST = 4096  # what is not noted is found again at its next read

Kind = Literal["object", "event", "pack"]


class Suspect(NamedTuple):
    """A file by what it is: its kind, its name, and the tract of an event (else empty)."""

    kind: Kind
    name: str
    tract: str = ""


class Suspects:
    """The suspects of one handle, each with the time from which it is to be looked at."""

    def __init__(self) -> None:
        self._due: dict[Suspect, float] = {}

    def __bool__(self) -> bool:
        return bool(self._due)

    def note(self, suspect: Suspect) -> None:
        """Remembers a file that was read and is not what its name says."""
        if suspect not in self._due and len(self._due) < _MOST:
            self._due[suspect] = 0.0

    def all(self) -> list[Suspect]:
        """Returns all suspects."""
        return list(self._due)

    def due(self, limit: int) -> list[Suspect]:
        """Returns the suspects to look at now, at most `limit`."""
        now = time.monotonic()
        return [suspect for suspect, due in self._due.items() if due <= now][:limit]

    def postpone(self, suspect: Suspect, pause_s: float) -> None:
        """Does not look at a suspect again for a while."""
        self._due[suspect] = time.monotonic() + pause_s

    def settle(self, suspect: Suspect) -> None:
        """Forgets a suspect that was dealt with."""
        self._due.pop(suspect, None)
