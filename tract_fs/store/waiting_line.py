"""The waiting line: which writers wait for the store's lock, and since when; the first of them tries most often.

`local/line` is a table of slots: since when a writer waits, and when it last tried the lock. A writer that has not
tried for a while (killed, stopped, or of another boot) counts no more. The line buys fairness and saves vain tries. It
keeps no writer from the lock: where the file is damaged, a writer waits as if it were alone.
Format: FORMAT.md, section 10.
"""

from __future__ import annotations

import os
import struct
import time
from contextlib import suppress

from tract_fs.store.files import TableFile

_SLOTS = 32
_SLOT = struct.Struct("<QQ")  # since when, and the last try: CLOCK_MONOTONIC in ns
_TABLE = struct.Struct(f"<{2 * _SLOTS}Q")
_STALE_NS = 100_000_000  # a waiting writer tries twenty times as often
_FREE = _SLOT.pack(0, 0)


class WaitingLine:
    """One handle's place in the line.

    States: out (`_since` is 0); waiting, once `place` was called, with a slot, or without one (`_slot` is -1) where all
    are taken. `leave` and a fork: out.
    """

    def __init__(self, path: str) -> None:
        self._file = TableFile(path)
        self._slot = -1
        self._since = 0

    def place(self) -> int:
        """Returns how many others have waited longer; joins the line if it has not, and records this try.

        Cost: a read and a write.
        """
        now = time.monotonic_ns()
        try:
            if not self._since:
                self._since = now
                if not self._file.is_current():  # local/ was removed, for example
                    self._file.close()
            table = self._read()
            waiting = self._waiting(table, now)
            if self._slot < 0 or table[2 * self._slot] != self._since:  # none yet, or another took it at the same time
                self._slot = self._choose(waiting)
            if self._slot >= 0:
                self._file.write_at(self._slot * _SLOT.size, _SLOT.pack(self._since, now))
        except OSError:
            return 0
        return sum(since < self._since for since in waiting.values())

    def is_empty(self) -> bool:
        """Returns whether no other handle waits. Cost: a read."""
        now = time.monotonic_ns()
        try:
            return not self._waiting(self._read(), now)
        except OSError:
            return True

    def leave(self) -> None:
        """Leaves the line."""
        slot, self._slot, self._since = self._slot, -1, 0
        if slot >= 0:
            with suppress(OSError):
                self._file.write_at(slot * _SLOT.size, _FREE)

    def close(self) -> None:
        """Closes the descriptor."""
        self._file.close()

    def forget_parent(self) -> None:
        """Closes what was opened before a fork; the parent's place stays."""
        self._slot, self._since = -1, 0
        self._file.close_inherited()

    def _read(self) -> tuple[int, ...]:
        return _TABLE.unpack(self._file.read_at(0, _TABLE.size).ljust(_TABLE.size, b"\0"))

    def _waiting(self, table: tuple[int, ...], now: int) -> dict[int, int]:
        """Returns the slots of the other writers that wait, and since when."""
        seen = table[1::2]
        return {
            slot: table[2 * slot] for slot in range(_SLOTS) if abs(now - seen[slot]) < _STALE_NS and slot != self._slot
        }

    def _choose(self, waiting: dict[int, int]) -> int:
        """Returns a slot that seems free, or -1."""
        first = os.getpid() % _SLOTS
        slots = (*range(first, _SLOTS), *range(first))
        return next((slot for slot in slots if slot not in waiting and slot != self._slot), -1)
