"""The filters of log(). They are checked before anything is read, so an invalid filter is an error; it never matches
everything or nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct

from tract_fs.errors import ArgumentError, TagNotFound
from tract_fs.model.content import BUILTIN_TYPES
from tract_fs.model.history import iter_newest_first, linear_order
from tract_fs.model.messages import iter_texts
from tract_fs.model.names import CommitHash, require_branch_name, to_us
from tract_fs.model.objects import Commit, CommitOperation
from tract_fs.model.reach import Reach
from tract_fs.work.reader import TractReader


class LogFilter(Struct, frozen=True):
    """Which commits of which history to list; None: no condition."""

    branch: str | None = None
    tag: str | None = None
    operation: CommitOperation | None = None
    content_type: str | None = None
    since_us: int | None = None
    until_us: int | None = None
    text: str | None = None  # case-folded
    after: str | None = None  # a ref

    @classmethod
    def of(
        cls,
        *,
        branch: str | None,
        operation: CommitOperation | str | None,
        content_type: str | None,
        since: datetime | None,
        until: datetime | None,
        tag: str | None,
        text: str | None,
        after: str | None = None,
    ) -> LogFilter:
        """Returns the filter that the arguments of log() describe. Errors: ArgumentError."""
        if branch is not None and tag is not None:
            raise ArgumentError("give branch or tag, not both: each names a history")
        since_us, until_us = optional_moment(since, "since"), optional_moment(until, "until")
        if since_us is not None and until_us is not None and since_us > until_us:
            raise ArgumentError(f"since {since} is later than until {until}: give a span of time")
        return cls(
            branch=None if branch is None else require_branch_name(branch),
            tag=None if tag is None else require_branch_name(tag),
            operation=None if operation is None else _operation(operation),
            content_type=_optional_text(content_type, "content_type"),
            since_us=since_us,
            until_us=until_us,
            text=None if text is None else (_optional_text(text, "text") or "").casefold(),
            after=_optional_text(after, "after"),
        )

    def iter_commits(self, reader: TractReader) -> Iterator[CommitHash]:
        """Yields the matching commits, newest first. Errors: BranchNotFound, TagNotFound, CommitNotFoundError,
        AmbiguousRefError; ArgumentError for a content type that no commit has.
        """
        head = self._head(reader)
        if head is None:
            return
        if self.content_type is not None and not self._is_known_type(reader, head):
            raise ArgumentError(
                f"content_type {self.content_type!r}: neither built in nor registered, and no commit here has it"
            )
        for name, commit in self._iter_history(reader, head):
            if self._matches(reader, name, commit):
                yield name

    def _iter_history(self, reader: TractReader, head: CommitHash) -> Iterator[tuple[CommitHash, Commit]]:
        """Yields the history of `head`, newest first, less that of `after`. Cost: what they do not share."""
        if self.after is None:
            return iter_newest_first(head, reader.commit)
        shared = Reach((reader.resolve(self.after), head), reader.commit).shared()
        newer = reversed(linear_order(head, reader.commit, known=shared))
        return ((name, reader.commit(name)) for name in newer)

    def _head(self, reader: TractReader) -> CommitHash | None:
        if self.branch is not None:
            return reader.require_branch(self.branch)
        if self.tag is None:
            return reader.head()
        target = reader.overlay.tag(self.tag)
        if target is None:
            raise TagNotFound(tract_id=reader.log.tract, tag=self.tag)
        return target

    def _is_known_type(self, reader: TractReader, head: CommitHash) -> bool:
        name = self.content_type or ""
        if name in BUILTIN_TYPES or reader.types.get(name) is not None:
            return True
        return any(commit.content_type == name for _, commit in iter_newest_first(head, reader.commit))

    def _matches(self, reader: TractReader, name: CommitHash, commit: Commit) -> bool:
        return (
            (self.operation is None or commit.operation is self.operation)
            and (self.content_type is None or commit.content_type == self.content_type)
            and (self.since_us is None or commit.created_us >= self.since_us)
            and (self.until_us is None or commit.created_us <= self.until_us)
            and (self.text is None or self._contains(reader, name, commit, self.text))
        )

    def _contains(self, reader: TractReader, name: CommitHash, commit: Commit, text: str) -> bool:
        if commit.message is not None and text in commit.message.casefold():
            return True
        rendering = reader.require_loaded(name).rendering
        return rendering is not None and any(text in part.casefold() for part in iter_texts(rendering))


def require_limit(limit: int | None) -> int | None:
    """Returns how many commits or moves to list at most; None: all. Errors: ArgumentError."""
    if limit is None:
        return None
    if type(limit) is not int or limit < 0:
        raise ArgumentError(f"limit {limit!r}: use an integer from 0, or None for all")
    return min(limit, sys.maxsize)  # islice refuses more


def _operation(value: object) -> CommitOperation:
    try:
        return CommitOperation(value)  # type: ignore[arg-type]
    except ValueError:
        known = ", ".join(operation.value for operation in CommitOperation)
        raise ArgumentError(f"operation {value!r}: use one of {known}") from None


def optional_moment(value: object, name: str) -> int | None:
    if value is not None and not isinstance(value, datetime):
        raise ArgumentError(f"{name} {value!r}: give a datetime (naive: UTC)")
    return None if value is None else to_us(value)


def _optional_text(value: object, name: str) -> str | None:
    if value is None:
        return None
    if type(value) is not str or not value:
        raise ArgumentError(f"{name} {value!r}: give a string that is not empty")
    return value
