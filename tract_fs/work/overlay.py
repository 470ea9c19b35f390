"""The overlay: one tract as a call sees it, its view with what the open batch has staged on top.

What is staged reads as if it were written: heads, tags, commits, their configs and their usage. A transaction is shown
from the first write of a batch until its end or its rollback; one that is written at once is never shown. Nothing else
in this package reads the staged transaction, but its writer.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from tract_fs.model import canonical
from tract_fs.model.config_query import FieldColumn, FieldPath, Scalar
from tract_fs.model.events import BroughtCommit
from tract_fs.model.names import CommitHash
from tract_fs.model.usage import TokenUsage
from tract_fs.store.foreign_commits import ForeignCommits
from tract_fs.store.hidden import HiddenEvents
from tract_fs.store.objects import Objects
from tract_fs.store.tract_log import TractLog
from tract_fs.store.transaction import Transaction


class Overlay:
    """The view of one tract and the transaction of the open batch, if there is one; and, by their hashes, the whole commits of hidden events."""

    def __init__(self, log: TractLog, foreign: ForeignCommits, hidden: HiddenEvents, objects: Objects) -> None:
        self._log = log
        self._foreign = foreign
        self._hidden = hidden
        self._objects = objects
        self._staged: Transaction | None = None

    @property
    def transaction(self) -> Transaction | None:
        """The transaction that is shown, for its writer; None if no batch has written yet."""
        return self._staged

    @property
    def is_staging(self) -> bool:
        """Whether a transaction is shown: what is read now may never be written."""
        return self._staged is not None

    def show(self, transaction: Transaction) -> None:
        """Shows what a transaction stages from now on, its objects included."""
        self._staged = transaction
        self._objects.staged = transaction.objects

    def hide(self) -> None:
        """Shows the view alone again."""
        self._staged = None
        self._objects.staged = {}

    def head(self, branch: str) -> CommitHash | None:
        """Returns the head of a branch that this copy works on, or None if there is no such branch."""
        staged = self._staged
        if staged is not None and branch in staged.others:
            return staged.others[branch].head
        if staged is not None and branch == staged.branch:
            return staged.head
        own = self._log.own_head(branch)
        return None if own is None else own.commit

    def line(self, branch: str) -> tuple[CommitHash | None, Container[str]] | None:
        """Returns the written head of a branch and its staged commits, all of which the head contains that is shown; None
        if a staged move went elsewhere.
        """
        staged = self._staged
        if staged is None:
            own = self._log.own_head(branch)
            return None if own is None else own.commit, ()
        if branch != staged.branch or branch in staged.others or not staged.goes_forward:
            return None
        return None if staged.start is None else staged.start.commit, staged.commits

    def staged_about(self, name: CommitHash, branch: str) -> Sequence[CommitHash] | None:
        """Returns the staged edits and annotations of a commit, oldest first; None if more is staged of the branch than new
        commits on its line.
        """
        staged = self._staged
        if staged is None:
            return ()
        is_line = branch == staged.branch and branch not in staged.others and staged.kind == "append"
        if not is_line or staged.foreign_parents or len(staged.made) != len(staged.commits):
            return None
        return staged.about.get(name, ())

    def heads(self, branch: str) -> list[CommitHash]:
        """Returns all heads of a branch, the one that this copy works on first; empty if there is no such branch."""
        own = self.head(branch)
        if own is None:
            return []
        if self._staged is not None and branch in self._staged.others:
            return [own]
        start = self._log.own_head(branch)
        others = [head.commit for head in self._log.view.heads(branch, self._log) if head != start]
        return [own, *(commit for commit in others if commit != own)]

    def branches(self) -> set[str]:
        """Returns the names of all branches, of deleted ones too."""
        staged = self._staged
        if staged is None:
            return set(self._log.view.branches)
        own = (staged.branch,) if staged.is_move else ()
        return {*self._log.view.branches, *staged.others, *own}

    def tag(self, name: str) -> CommitHash | None:
        """Returns the commit that a tag names, or None if there is no such tag."""
        if self._staged is not None and name in self._staged.tags:
            return self._staged.tags[name]
        tag = self._log.view.tags.get(name)
        return None if tag is None else tag.target

    def tags(self) -> dict[str, CommitHash]:
        """Returns all tags with the commits that they name, by name."""
        staged = {} if self._staged is None else self._staged.tags
        targets = {name: self.tag(name) for name in sorted({*self._log.view.tags, *staged})}
        return {name: target for name, target in targets.items() if target is not None}

    def description(self) -> tuple[str, str]:
        """Returns the title of the tract, empty if it has none, and its metadata as a canonical JSON object."""
        view = self._log.view
        title, metadata = view.title, view.metadata
        for op in () if self._staged is None else self._staged.descriptions:
            title = str(op.get("title", title))
            metadata = canonical.encode_checked(op["metadata"]).decode() if "metadata" in op else metadata
        return title, metadata

    def is_staged(self, name: str) -> bool:
        """Returns whether a commit is staged and not written."""
        return self._staged is not None and name in self._staged.commits

    def has(self, name: str) -> bool:
        """Returns whether this tract has a commit of this full hash."""
        if self.is_staged(name) or self._log.origins.events_of(name):
            return True
        if self._log.view.foreign and self._foreign.has(CommitHash(name)):
            return True
        return self._log.hides_any and name in self._hidden.commits()

    def may_have(self, name: str) -> bool:
        """Returns whether a commit may be in a history of this tract: `has`, or a staged merge brings commits of
        another tract.
        """
        return self.has(name) or (self._staged is not None and bool(self._staged.foreign_parents))

    def names_with_prefix(self, prefix: str) -> set[str]:
        """Returns the commits of this tract whose hashes begin with `prefix`, of 2 digits or more."""
        names = {digest.hex() for digest in self._log.origins.commits_with_prefix(prefix)} | self.names_beside()
        return {name for name in names if name.startswith(prefix)}

    def names(self) -> list[str]:
        """Returns all commits of this tract, its own in order of arrival: they are read most quickly so, for those that came
        together lie together. Cost: reads the index, or arrivals.
        """
        own = (digest.hex() for digest in self._log.origins.all_commits())
        return list(dict.fromkeys((*own, *self.names_beside())))

    def names_beside(self) -> set[str]:
        """Returns the commits of this tract that its own visible events do not bring: those of other tracts, of hidden events, and
        those staged.
        """
        names: set[str] = {*self._foreign.names(), *self._hidden.commits()}
        return names if self._staged is None else names.union(self._staged.commits)

    def entry(self, name: CommitHash) -> BroughtCommit | None:
        """Returns the config and tokens of a commit, as the event that brings it records them; None if none does."""
        staged = self._staged
        if staged is not None and name in staged.commits:
            return staged.commits[name].as_brought()
        foreign_parents = () if staged is None else staged.foreign_parents
        entry = self._log.origins.brought(name)
        if entry is None and (foreign_parents or self._log.view.foreign):
            entry = self._foreign.brought(name, foreign_parents)
        if entry is None and self._log.hides_any:
            return self._hidden.commits().get(name)
        return entry

    def usage(self, name: CommitHash) -> TokenUsage | None:
        """Returns the last usage recorded for a commit, or None."""
        if self._staged is not None:
            for commit, counts in reversed(self._staged.usage):
                if commit == name:
                    return counts
        usage = self._log.origins.usage(name)
        if usage is None and self._log.hides_any:
            usage = self._hidden.usage(name)
        return None if usage is None else usage.counts

    def staged_matches(self, path: FieldPath, operator: str, value: Scalar) -> list[CommitHash]:
        """Returns the staged commits whose generation config matches, in order; no index has these yet."""
        if self._staged is None:
            return []
        column = FieldColumn(path)
        staged = list(self._staged.commits.values())
        column.add((n, canonical.decode(new.config)) for n, new in enumerate(staged) if new.config is not None)
        return [CommitHash(staged[n].commit) for n in sorted(column.select(operator, value))]
