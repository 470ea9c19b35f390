"""Other heads: which commits the context of a branch leaves out because the branch has more heads than the one it shows.

The answer is kept until a head moves. Without other moves it costs one look into the view.
"""

from __future__ import annotations

from tract_fs.errors import DamageError
from tract_fs.model.names import CommitHash
from tract_fs.model.reach import Reach
from tract_fs.model.status import OtherHeads
from tract_fs.work.reader import TractReader


class OtherHeadsReader:
    """Finds the other heads of one session's branch."""

    def __init__(self, reader: TractReader) -> None:
        self._reader = reader
        self._heads: tuple[str, list[CommitHash]] = "", []  # of which `_found` is the answer: the branch, and its heads
        self._found: OtherHeads | None = None
        self._oldest_us = 0  # of the commits that the context leaves out
        self._own: set[bytes] = set()  # events of this copy's writers
        self._stamp = (0, "")  # the arrivals that `_own` covers

    def get(self, *, made_by_us: int | None = None) -> OtherHeads | None:
        """Returns the other heads of the branch, None if there are none, or the session reads one commit for ever.

        With `made_by_us` also None if all commits that the context leaves out were made after that moment.
        Cost: one read per commit that not all heads have, once after a move.
        """
        reader = self._reader
        moves = reader.log.view.branches.get(reader.branch)
        if moves is None or len(moves) < 2 or reader.pinned is not None:
            return None
        heads = reader.overlay.heads(reader.branch)
        if self._heads != (reader.branch, heads):
            self._oldest_us = 0
            self._found = self._find(heads) if len(heads) > 1 else None
            is_whole = self._found is None or self._found.commit_count is not None
            self._heads = (reader.branch, heads) if is_whole else ("", [])
        return None if made_by_us is not None and made_by_us < self._oldest_us else self._found

    def _find(self, heads: list[CommitHash]) -> OtherHeads | None:
        reader = self._reader
        others, has_own_line = tuple(heads[1:]), reader.branch in reader.log.view.last_own
        try:
            reach = Reach(heads, reader.commit)
            left_out = [commit for commit in reach.unshared() if not reach.has(0, commit)]
            own = self._own_of(reach.unshared())
        except DamageError:
            return OtherHeads(reader.branch, others, None, 0, has_own_line, has_more_elsewhere=False)
        if not left_out and reader.overlay.is_staging:  # the open batch joins them
            return None
        self._oldest_us = min((reader.commit(commit).created_us for commit in left_out), default=0)
        return OtherHeads(
            branch=reader.branch,
            heads=others,
            commit_count=len(left_out),
            own_count=len(own.intersection(left_out)),
            has_own_line=has_own_line,
            has_more_elsewhere=any(
                sum(reach.is_only(commit, place, 0) for commit in own)
                > sum(reach.is_only(commit, 0, place) for commit in own)
                for place in range(1, len(heads))
            ),
            is_unrelated=reach.unrelated() is not None,
        )

    def _own_of(self, commits: list[CommitHash]) -> set[CommitHash]:
        """Returns which commits came by events of this copy's writers, or are staged by one."""
        reader, log = self._reader, self._reader.log
        if not log.covers(*self._stamp):
            self._own, self._stamp = set(), log.first_stamp()
        new, self._stamp = log.own_events_since(*self._stamp)
        self._own |= new
        return {
            name
            for name in commits
            if reader.overlay.is_staged(name) or not self._own.isdisjoint(log.origins.events_of(name))
        }
