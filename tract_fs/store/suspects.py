"""Suspects: the addresses of files whose bytes did not hash to their names when they were read, for a writer to examine.

Noting one costs no disk access. Nothing here moves a file; `quarantine` does.
"""

from __future__ import annotations

import time

from tract_fs.store.address import Address

_MOST = 4096  # one that is not noted is noted at its next read


class Suspects:
    """The suspects of one handle, each with the time from which it is due for an examination."""

    def __init__(self) -> None:
        self._due: dict[Address, float] = {}

    def __bool__(self) -> bool:
        return bool(self._due)

    def note(self, suspect: Address) -> None:
        """Notes a file whose bytes did not hash to its name."""
        if suspect not in self._due and len(self._due) < _MOST:
            self._due[suspect] = 0.0

    def all(self) -> list[Address]:
        """Returns all suspects."""
        return list(self._due)

    def due(self, limit: int) -> list[Address]:
        """Returns the suspects that are due now, at most `limit`."""
        now = time.monotonic()
        return [suspect for suspect, due in self._due.items() if due <= now][:limit]

    def postpone(self, suspect: Address, pause_s: float) -> None:
        """Makes a suspect due again only after a pause."""
        self._due[suspect] = time.monotonic() + pause_s

    def settle(self, suspect: Address) -> None:
        """Removes a suspect that was examined."""
        self._due.pop(suspect, None)
