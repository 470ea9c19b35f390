"""Commits of one tract that events of other tracts brought: the past of a fork, and what a merge brought back.

Of another tract's commits, a tract has exactly those that its moves reach. Their configs and token counts are in the
events of the other tracts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from tract_fs.model.events import BroughtCommit, split_parent
from tract_fs.model.lines import BringingMove, shows
from tract_fs.model.names import CommitHash, EventHash
from tract_fs.store.events import Events
from tract_fs.store.objects import Objects
from tract_fs.store.tract_log import TractLog

Place = tuple[str, EventHash]  # tract, event
_FEW = 16  # logs, each of which is asked for each commit
_SHORT_RECORDS = 4096


class ForeignCommits:
    """Finds the commits of `log`'s tract that are in other tracts' logs, however many tracts away."""

    def __init__(self, log: TractLog, other: Callable[[str], TractLog], objects: Objects, events: Events) -> None:
        self._log = log
        self._other = other
        self._objects = objects
        self._events = events
        self._stamp: tuple[int, int] | None = None  # of the view that `_sources` and `_names` were computed from
        self._sources: list[TractLog] = []
        self._names: set[CommitHash] | None = None
        self._repeated: tuple[int, set[CommitHash]] = -1, set()  # with the sum of versions that it was computed from
        self._bringers: dict[bytes, list[TractLog]] | None = None  # by commit: the short logs that brought it
        self._long: list[TractLog] = []  # the other logs

    def sources(self, further: Iterable[str] = ()) -> list[TractLog]:
        """Returns the logs of the tracts whose commits this one may have, sorted by tract id.

        `further` are parents (tract/hash) of a staged event.
        """
        stamp = self._log.version, len(self._log.view.foreign)
        if stamp != self._stamp:
            self._stamp = stamp
            self._names = None
            self._repeated = -1, set()
            self._bringers = None
            self._sources = self._reach(_tracts_of(self._log))
        further = list(further)
        return self._reach([*_tracts_of(self._log), *map(_owner, further)]) if further else self._sources

    def has(self, name: CommitHash) -> bool:
        """Returns whether a commit is one of them. Cost: that of `names`, unless the lines of few tracts show it."""
        self.sources()
        return (self._names is None and self._is_shown(name)) or name in self.names()

    def bringing_moves(self, name: CommitHash) -> list[BringingMove]:
        """Returns the visible moves of any of these tracts that brought a commit; only its own tract's if there are many."""
        found = self._log.bringing_moves(name)
        sources = self.sources() if self._log.view.foreign else []
        return (
            [*found, *(move for log in sources for move in log.bringing_moves(name))] if len(sources) <= _FEW else found
        )

    def _is_shown(self, name: CommitHash) -> bool:
        roots = {root for foreign in self._log.view.foreign.values() for root in foreign.roots}
        return len(roots) <= _FEW and any(shows(name, root, None, self.bringing_moves) for root in roots)

    def names(self) -> set[CommitHash]:
        """Returns all of them, as far as the commits on the way are present and valid.

        Cost: a walk over their histories, the first time.
        """
        self.sources()
        if self._names is not None:
            return self._names
        found: set[CommitHash] = set()
        queue = [name for foreign in self._log.view.foreign.values() for name in foreign.roots]
        is_whole = True
        while queue:
            name = queue.pop()
            if name not in found and not self._log.origins.events_of(name):
                found.add(name)
                commit = self._objects.commit(name)
                is_whole = is_whole and commit is not None
                queue += () if commit is None else commit.parents
        self._names = found if is_whole else None  # a damaged commit may be repaired
        return found

    def brought_repeatedly(self) -> set[CommitHash]:
        """Returns those that more than one event brings. Their configs may differ: `brought` returns the one that counts here.

        Cost: that of `names`, and a look-up for each commit if any was brought repeatedly.
        """
        logs = self.sources()
        version = sum(log.version for log in logs)
        if self._repeated[0] != version:
            names, found = self.names(), set[CommitHash]()
            if len(logs) > 1:
                times = Counter(digest for log in logs for digest in log.origins.all_commits())
                found.update(name for name in names if times[bytes.fromhex(name)] > 1)
            for log in logs:
                if log.again_count:
                    found.update(name for name in names if len(log.origins.events_of(name)) > 1)
            self._repeated = version, found
        return self._repeated[1]

    def brought(self, commit: str, further: Iterable[str] = ()) -> BroughtCommit | None:
        """Returns config and tokens of a commit, from the least (`at`, hash) of the events that bring it, or None.

        Errors: ObjectMissing, HashMismatch, InvalidObject.
        """
        further = list(further)
        sources = self.sources(further)
        places = [] if further or len(sources) <= _FEW else _places(self._logs_of(commit), commit)
        places = places or _places(sources, commit)
        if len(places) > 1:
            known = self._ancestors(further)
            places = sorted((p for p in places if p in known), key=lambda p: (self._events.require(*p).at, p[1]))
        return self._events.entry(*places[0], commit) if places else None

    def _logs_of(self, commit: str) -> list[TractLog]:
        """Returns the logs that may bring a commit of these sources: those that brought it when it was last looked up, and the long ones."""
        if self._bringers is None:
            self._bringers = {}
            self._long = [log for log in self._sources if log.stamp()[0] > _SHORT_RECORDS]
            for log in self._sources:
                for name in log.origins.all_commits() if log not in self._long else ():
                    self._bringers.setdefault(name, []).append(log)
        return [*self._bringers.get(bytes.fromhex(commit), ()), *self._long]

    def _reach(self, tracts: Iterable[str]) -> list[TractLog]:
        found: dict[str, TractLog] = {}
        queue = list(tracts)
        for tract in queue:
            if tract != self._log.tract and tract not in found:
                found[tract] = self._other(tract)
                found[tract].catch_up()  # another handle may have recorded its events
                queue += _tracts_of(found[tract])
        return [found[tract] for tract in sorted(found)]

    def _ancestors(self, further: Iterable[str]) -> set[Place]:
        """Returns the events of all tracts that this tract's events build on by parents in other tracts."""
        tract = self._log.tract
        queue = [split_parent(parent, tract) for f in self._log.view.foreign.values() for parent in f.parents]
        queue += [split_parent(parent, tract) for parent in further]
        seen = set(queue)
        for owner, name in queue:
            fresh = {split_parent(p, owner) for p in self._events.require(owner, name).parents} - seen
            seen |= fresh
            queue += fresh
        return seen


def _tracts_of(log: TractLog) -> set[str]:
    return {_owner(parent) for foreign in log.view.foreign.values() for parent in foreign.parents}


def _places(logs: Iterable[TractLog], commit: str) -> list[Place]:
    return [(log.tract, EventHash(name.hex())) for log in logs for name in log.origins.events_of(commit)]


def _owner(parent: str) -> str:
    return parent.rpartition("/")[0]
