"""Watches: new commits of a branch, whichever process or tool brings them, found by polling.

A look costs one stat while nothing changes: it reads how far the arrivals go, and about once a second which directories of
events changed. So a commit of another process is seen within a tenth of a second, and one that a copying tool brings
within a second or so. No notice of the operating system is used: a network mount gives none.
"""

from __future__ import annotations

import math
import time

from tract_fs.errors import ArgumentError
from tract_fs.model.history import linear_order
from tract_fs.model.info import CommitInfo
from tract_fs.model.names import CommitHash
from tract_fs.model.reach import Reach
from tract_fs.work.session import Session

_PAUSE_S = 0.08  # a look takes 0.2 ms of the processor


class Watch:
    """One wait for commits of the session's branch that are newer than `after`; see `Tract.watch`."""

    def __init__(self, session: Session, after: str | None, timeout_s: float | None) -> None:
        if timeout_s is not None and (type(timeout_s) not in (int, float) or not 0 <= timeout_s < math.inf):
            raise ArgumentError(f"timeout_s {timeout_s!r}: give seconds, from 0, or None for no limit")
        self._session = session
        self._after = after
        self._start: CommitHash | None = None
        self._head: CommitHash | None = None  # the last one that was looked at
        self._ends_at = math.inf if timeout_s is None else time.monotonic() + timeout_s
        with session.guard.reading:
            session.require_outside_batch("watch")
            if after is not None:
                self._start = self._head = session.reader.resolve(after)

    def run(self) -> list[CommitInfo]:
        """Looks again and again until there are newer commits, or the time is over."""
        while not (found := self.look()) and (pause_s := self.next_pause_s()):
            time.sleep(pause_s)
        return found

    def look(self) -> list[CommitInfo]:
        """Returns the newer commits that are there now, in history order. Cost: nothing while the head stays."""
        reader = self._session.reader
        with self._session.guard.reading:
            head = reader.head()
            if head == self._head or head is None:
                return []
            found = reader.looking_again(lambda: reader.whole_or_rebuilt(lambda: self._newer(head)))
        self._head = head
        return found

    def next_pause_s(self) -> float:
        """Returns how long to wait until the next look; 0 once the time is over."""
        return max(min(_PAUSE_S, self._ends_at - time.monotonic()), 0.0)

    def _newer(self, head: CommitHash) -> list[CommitInfo]:
        reader = self._session.reader
        known = set[str]()
        if self._start is not None:
            known = Reach((self._start, head), reader.commit).shared()
        return list(map(reader.info, linear_order(head, reader.commit, known=known)))
