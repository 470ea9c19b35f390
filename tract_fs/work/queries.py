"""Queries: the commits of one tract that an expression matches, and their groups.

The index of configs gives the commits that may match where the expression narrows to configs; else all are looked at.
Each part of a commit is read when a comparison first needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

from tract_fs.errors import ArgumentError
from tract_fs.model import canonical
from tract_fs.model.info import CommitInfo
from tract_fs.model.messages import Rendering
from tract_fs.model.names import CommitHash
from tract_fs.model.objects import Commit
from tract_fs.model.query import ConfigValues, Expression, Source, field_values, narrowed
from tract_fs.model.query_groups import QueryGroup, QueryGroups
from tract_fs.model.query_text import parse_query
from tract_fs.model.usage import TokenUsage
from tract_fs.work.reader import TractReader
from tract_fs.work.usage import branch_tips, holders, recorded_usage, usage_models

_FROM_CONTENT = frozenset(["role", "text"])


def require_expression(given: object) -> Expression:
    """Returns an expression, or that of a text. Errors: QueryError, ArgumentError."""
    if isinstance(given, Expression):
        return given
    if type(given) is not str:
        raise ArgumentError(f"query {given!r}: give an expression, as field('model') == 'gpt-4o', or its text")
    return parse_query(given)


def optional_expression(given: object) -> Expression | None:
    """Returns an expression, or that of a text; None: no condition. Errors: QueryError, ArgumentError."""
    return None if given is None else require_expression(given)


def matcher(reader: TractReader, expression: Expression) -> Callable[[CommitHash], bool]:
    """Returns a function that returns whether a commit matches."""
    tract = _Tract(reader)
    return lambda name: expression.matches(_Commit(tract, name))


def names_that_may_match(reader: TractReader, expression: Expression) -> list[CommitHash] | None:
    """Returns the commits that the index of configs leaves, where an expression narrows to configs; else None: any may match."""
    narrow = narrowed(expression)
    return None if narrow is None else reader.names_where(lambda config: narrow.matches(ConfigValues(config)))


def query_tract(reader: TractReader, expression: Expression) -> list[CommitInfo]:
    """Returns the matching commits, by creation time, then hash. Errors: HistoryIncomplete; damage."""
    return [reader.info(commit.name) for commit in _iter_matching(reader, expression)]


def group_tract(reader: TractReader, expression: Expression | None, groups: QueryGroups) -> list[QueryGroup]:
    """Adds the matching commits to groups, and returns these. Errors: as `query_tract`."""
    for commit in _iter_matching(reader, expression):
        groups.add(commit)
    return groups.result()


def _iter_matching(reader: TractReader, expression: Expression | None) -> Iterator[_Commit]:
    names = None if expression is None else names_that_may_match(reader, expression)
    if names is None:
        names = reader.names_where(None)
    tract = _Tract(reader)
    found = []
    for name in names:
        commit = _Commit(tract, name)
        created_us = commit.created_us()
        if expression is None or expression.matches(commit):
            found.append((created_us, name))
    for _, name in sorted(found):
        yield _Commit(tract, name)


class _Tract:
    """What is read once for all commits of a tract, on first need."""

    def __init__(self, reader: TractReader) -> None:
        self.reader = reader
        self._configs: dict[bytes, Any] = {}

    @cached_property
    def branches_of(self) -> Callable[[CommitHash], list[str]]:
        return holders(self.reader, branch_tips(self.reader))

    @cached_property
    def tags_of(self) -> Callable[[CommitHash], list[str]]:
        return holders(self.reader, self.reader.overlay.tags().items())

    @cached_property
    def usage(self) -> dict[CommitHash, TokenUsage]:
        return recorded_usage(self.reader)

    @cached_property
    def usage_models(self) -> dict[CommitHash, str]:
        return usage_models(self.reader, self.usage)

    def config(self, name: CommitHash) -> Any:
        entry = self.reader.overlay.entry(name)
        data = b"" if entry is None else bytes(entry.config)
        if data not in self._configs:
            self._configs[data] = canonical.decode(data) if data else None
        return self._configs[data]


class _Commit:
    """The values of one commit."""

    def __init__(self, tract: _Tract, name: CommitHash) -> None:
        self.name = name
        self._tract = tract

    def of(self, source: Source) -> Sequence[Any]:
        """Returns the values of a source; empty if it is absent."""
        if not source.is_facet:
            return field_values(self._config, source.path)
        name, *rest = source.path
        if name == "metadata":
            data = bytes(self._commit.metadata)
            return field_values(canonical.decode(data), tuple(rest)) if data else ()
        if name == "usage":
            usage = self._tract.usage.get(self.name)
            return () if usage is None else (getattr(usage, str(rest[0])) if rest else None,)
        if name in ("branch", "tag"):
            return (self._tract.branches_of if name == "branch" else self._tract.tags_of)(self.name)
        found = self._content(str(name)) if name in _FROM_CONTENT else self._fact(str(name))
        return () if found is None else (found,)

    def usage_model(self) -> str:
        """Returns the model of the recorded usage; empty if none is known."""
        return self._tract.usage_models[self.name]

    def created_us(self) -> int:
        """Returns when it was made, in microseconds since 1970."""
        return self._commit.created_us

    @cached_property
    def _commit(self) -> Commit:
        return self._tract.reader.commit(self.name)

    @cached_property
    def _rendering(self) -> Rendering | None:
        return self._tract.reader.require_loaded(self.name, self._commit).rendering

    @cached_property
    def _config(self) -> Any:
        return self._tract.config(self.name)

    def _fact(self, name: str) -> object:
        if name == "tract":
            return self._tract.reader.log.tract
        if name == "type":
            return self._commit.content_type
        if name == "operation":
            return self._commit.operation.value
        if name == "tokens":
            return self._tract.reader.facts(self.name).token_count
        return self._commit.created_at[:10] if name == "day" else self._commit.created_at

    def _content(self, name: str) -> str | None:
        """Returns the role or text of the message; None if it has none, or its content was redacted."""
        rendering = self._rendering
        if rendering is None or not rendering.is_message:
            return None
        return rendering.role if name == "role" else rendering.text
