"""The facade's calls on branches, tags, forks and the history; the other calls are in `tract`, built on this."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from itertools import islice
from typing import Self

from tract_fs.errors import ArgumentError, BatchOpen
from tract_fs.handle import Handle
from tract_fs.model.info import CommitInfo, ReflogEntry
from tract_fs.model.objects import CommitOperation
from tract_fs.work.cherry_pick import cherry_pick, revert
from tract_fs.work.log_filter import LogFilter
from tract_fs.work.reflog import iter_reflog
from tract_fs.work.writer import ANY


class CurrentBranch(str):
    """The name of the branch that a handle works on: a string. Called, it makes another branch."""

    _make: Callable[[str, object], str]

    def __call__(self, name: str, *, at: str | None = None) -> str:
        """Makes a branch at the head, or at a ref, and returns its head; the handle stays where it is. A deleted branch is made anew.

        Errors: BranchExists, CommitNotFoundError, ArgumentError if git takes no such name; nothing is written then.
        """
        return self._make(name, at)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)  # a copy is the name alone


class BranchCalls(Handle):
    """A handle with the calls that make, move, name and list lines of history."""

    @property
    def branch(self) -> CurrentBranch:
        """The branch that this handle works on, by name; `branch(name, at=None)` makes one."""
        current = CurrentBranch(self._reader.branch)
        current._make = self._make_branch
        return current

    def _make_branch(self, name: str, at: object) -> str:
        with self._guard.reading:
            return self._branches.branch(name, at)

    def switch(self, name: str, *, create: bool = False) -> None:
        """Makes this handle work on another branch; with `create` on a new one that starts at the head.

        Nothing is written but a new branch. Errors: BranchNotFound, BranchExists, BatchOpen.
        """
        with self._guard.reading:
            self._branches.switch(name, create=create)

    def branches(self) -> dict[str, tuple[str, ...]]:
        """Returns all branches by name, each with its heads: the one that this copy works on first, then those of others."""
        with self._guard.reading:
            return self._branches.branches()

    def rename_branch(self, old: str, new: str) -> None:
        """Gives a branch another name; this handle goes with it. Errors: BranchNotFound, BranchExists, BranchDiverged, BatchOpen."""
        with self._guard.reading:
            self._branches.rename(old, new)

    def delete_branch(self, name: str, *, force: bool = False) -> None:
        """Ends a branch; its commits stay in the tract. Needs `force` if it has several heads or is this handle's.

        A commit that another copy makes on it meanwhile is not lost: then the branch is there with that. Errors: BranchNotFound, BranchDiverged,
        BranchInUse, BatchOpen.
        """
        with self._guard.reading:
            self._branches.delete(name, force=force)

    def reset(self, ref: str, *, expected_head: object = ANY) -> str:
        """Sets the branch to any commit of this tract, and returns it; what it leaves behind stays in the tract.

        Errors: CommitNotFoundError, AmbiguousRefError, BranchNotFound, HeadMoved; nothing is written then.
        """
        with self._guard.reading:
            return self._branches.reset(ref, expected_head)

    def reflog(self, limit: int | None = None) -> list[ReflogEntry]:
        """Returns the moves of this branch that this copy made, newest first; None: all. What a batch has staged is not among them."""
        _require_limit(limit)
        with self._guard.reading:
            entries = iter_reflog(self._reader)
            return list(entries if limit is None else islice(entries, min(limit, sys.maxsize)))

    def undo(self) -> str:
        """Sets the branch back to where it was before this copy's last move of it, and returns that commit; undoing twice restores.

        A deleted branch is made anew; one that an undo made anew is deleted again, and the head that it had returned. Errors: UndoError, BatchOpen.
        """
        with self._guard.reading:
            return self._branches.undo()

    def tag(self, name: str, ref: str | None = None, *, force: bool = False) -> str:
        """Names a commit (by default the head), and returns it. With `force`, a tag may be given to another commit.

        Errors: TagExists, CommitNotFoundError, ArgumentError if git takes no such name; nothing is written then.
        """
        with self._guard.reading:
            return self._branches.tag(name, ref, force=force)

    def untag(self, name: str) -> None:
        """Removes a tag. Errors: TagNotFound."""
        with self._guard.reading:
            self._branches.untag(name)

    def tags(self) -> dict[str, str]:
        """Returns all tags with the commits that they name, by name."""
        with self._guard.reading:
            return self._branches.tags()

    def at(self, ref: str) -> Self:
        """Returns a read-only handle whose head is this commit for ever; close it like any other. Errors: CommitNotFoundError, BatchOpen."""
        with self._guard.reading:
            name = self._reader.resolve(ref)
            staged = self._reader.transaction
            if staged is not None and name in staged.commits:
                raise BatchOpen(call="at() of a commit of this batch")
            return self._open_beside(tract_id=self._tract_id, branch=self._reader.branch, pinned=name)

    def cherry_pick(self, ref: str) -> CommitInfo:
        """Makes a commit of this tract again on this branch: the same content, config, message and metadata.

        Errors: CherryPickError for a merge, or where this history lacks what the commit is about; nothing is written then.
        """
        with self._guard.reading:
            return cherry_pick(self._reader, self._writer, ref)

    def revert(self, ref: str) -> CommitInfo:
        """Takes a commit of this history back by an annotation, and returns that: a skip, or for an annotation the priority before it.

        What an edit or a summary stood for shows again. Errors: RevertError for a merge; CommitNotFoundError; nothing is written then.
        """
        with self._guard.reading:
            return revert(self._reader, self._writer, ref)

    def fork(self, tract_id: str, *, branch: str = "main") -> Self:
        """Makes a tract that starts at the head, with objects and configs shared, and returns an open handle of it with the same options.

        Errors: TractExists, CommitNotFoundError if there are no commits, BatchOpen; nothing is written then.
        """
        with self._guard.reading:
            self._branches.fork(tract_id, branch)
            return self._open_beside(tract_id=tract_id, branch=branch)

    def log(
        self,
        limit: int | None = 10,
        *,
        branch: str | None = None,
        operation: CommitOperation | str | None = None,
        content_type: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        tag: str | None = None,
        text: str | None = None,
    ) -> list[CommitInfo]:
        """Returns the newest commits of the head's history that match, newest first; a limit of None: all.

        `branch` or `tag` name another history. `since` and `until` are inclusive (naive: UTC). `text` is looked for in what the commit's message says and in
        the commit message, whatever the case. Errors: ArgumentError for a filter that is not understood; BranchNotFound, TagNotFound.
        """
        _require_limit(limit)
        wanted = LogFilter.of(
            branch=branch,
            operation=operation,
            content_type=content_type,
            since=since,
            until=until,
            tag=tag,
            text=text,
        )
        with self._guard.reading:
            names = wanted.iter_commits(self._reader)
            return [
                self._reader.info(name) for name in (names if limit is None else islice(names, min(limit, sys.maxsize)))
            ]


def _require_limit(limit: object) -> None:
    if limit is not None and (type(limit) is not int or limit < 0):
        raise ArgumentError(f"limit {limit!r}: use an integer from 0, or None for all")
