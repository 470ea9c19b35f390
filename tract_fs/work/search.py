"""Full-text search: ranks what the index finds, and checks each hit against the content that it names.

What is staged in an open batch is not found: it may never be written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from datetime import datetime
from functools import cache, partial
from heapq import nlargest
from itertools import chain, compress
from math import inf
from typing import NamedTuple

from tract_fs.errors import ArgumentError, DamageError, JsonValueError
from tract_fs.model.names import CommitHash, to_datetime
from tract_fs.model.query import Expression
from tract_fs.model.search import (
    LazyFact,
    Ranking,
    SearchFilter,
    SearchHit,
    composed,
    folded,
    searchable,
    snippet_of,
)
from tract_fs.store.index.texts import Matched, TractTexts
from tract_fs.store.objects import Objects
from tract_fs.store.tract_log import TractLog
from tract_fs.work.log_filter import LogFilter, require_limit
from tract_fs.work.queries import matcher, names_that_may_match, require_expression
from tract_fs.work.session import Session

_LEAST_SORTED = 32  # hits
_MORE_SORTED = 16  # times as many, where these do not suffice


class _Filter(NamedTuple):
    """What else must hold of a hit."""

    names: set[CommitHash] | None  # None: any commit may match
    accepts: Callable[[CommitHash], bool]  # asked last: it reads more


class _Source(NamedTuple):
    """Where matches are from: a tract, and which of its commits count."""

    tract: str
    objects: Objects
    texts: TractTexts
    has: Callable[[CommitHash, int], bool]  # of a commit and its time in microseconds
    filter: Callable[[], _Filter]
    is_shown: Callable[[CommitHash], bool | None]
    hidden: Collection[CommitHash] = ()  # commits that only hidden events bring


class _Entry(NamedTuple):
    """A match, in the order of hits: the best first, the newest first among equals."""

    sparsity: float  # the density, negated
    age: int  # microseconds before 1970
    commit: bytes
    group: int
    number: int  # of its record


def filter_of(
    phrase: object,
    *,
    content_type: str | None,
    role: str | None,
    since: datetime | None,
    until: datetime | None,
    shown: bool | None,
    limit: int | None,
) -> SearchFilter:
    """Returns the filter that the arguments of search() describe. Errors: ArgumentError."""
    if type(phrase) is not str or not phrase:
        raise ArgumentError(f"phrase {phrase!r}: give a string that is not empty")
    try:
        phrase.encode()
    except UnicodeEncodeError:
        raise ArgumentError(f"phrase {phrase!r}: a part of a surrogate pair is no text") from None
    if role is not None and type(role) is not str:
        raise ArgumentError(f"role {role!r}: give a string")
    if shown is not None and type(shown) is not bool:
        raise ArgumentError(f"shown {shown!r}: give True, False, or None for both")
    checked = LogFilter.of(
        branch=None, operation=None, content_type=content_type, since=since, until=until, tag=None, text=None
    )
    return SearchFilter(
        phrase=folded(composed(phrase)),
        content_type=checked.content_type,
        role=role,
        since_us=checked.since_us,
        until_us=checked.until_us,
        shown=shown,
        limit=require_limit(limit),
    )


def search_tract(
    session: Session, wanted: SearchFilter, branch: str | None, where: Expression | str | None
) -> list[SearchHit]:
    """Returns the hits of the session's tract, best first, of commits that an expression matches; see the facade.

    Errors: BranchNotFound, ArgumentError, QueryError.
    """
    reader = session.reader
    log, objects = reader.log, reader.store.objects
    head = None if branch is None else reader.require_branch(branch)
    foreign = reader.foreign.names() if log.view.foreign else set()
    rest = _filter(session, wanted, branch, None if where is None else require_expression(where))

    def is_own(name: CommitHash, created_us: int) -> bool:
        is_there = bool(log.origins.events_of(name)) or reader.overlay.has(name)
        return is_there and (head is None or reader.is_in_history_of(head, name, created_us))

    def is_foreign(name: CommitHash, created_us: int) -> bool:
        return name in foreign and is_own(name, created_us)

    def is_shown(name: CommitHash) -> bool | None:
        with suppress(DamageError), reader.loading:
            return _is_shown(session, branch, name)
        return None

    hidden = reader.hidden.commits()
    sources = [_Source(log.tract, objects, reader.texts(log), is_own, lambda: rest, is_shown, hidden)]
    sources += (
        _Source(log.tract, objects, reader.texts(source), is_foreign, lambda: rest, is_shown)
        for source in reader.foreign.sources()
    )
    return _ranked(sources, wanted)


def search_logs(
    logs: Iterable[tuple[TractLog, TractTexts]],
    objects: Objects,
    wanted: SearchFilter,
    where: Expression | str | None,
    open_tract: Callable[[str], AbstractContextManager[Session]],
) -> list[SearchHit]:
    """Returns the hits of several tracts, best first; see the facade of the store. Errors: ArgumentError, QueryError."""
    expression = None if where is None else require_expression(where)

    def is_shown(tract: str, name: CommitHash) -> bool | None:
        with suppress(DamageError), open_tract(tract) as session:
            return _is_shown(session, None, name)
        return None

    with ExitStack() as opened:

        @cache
        def filter_in(tract: str) -> _Filter:
            if expression is None and wanted.shown is None:
                return _Filter(None, lambda _: True)
            return _filter(opened.enter_context(open_tract(tract)), wanted, None, expression)

        def source_of(log: TractLog, texts: TractTexts) -> _Source:
            tract, hidden = log.tract, dict[CommitHash, object]()
            if log.hides_any:
                with open_tract(tract) as session:
                    hidden.update(session.reader.hidden.commits())

            def has(name: CommitHash, _: int) -> bool:
                return name in hidden or bool(log.origins.events_of(name))

            return _Source(tract, objects, texts, has, partial(filter_in, tract), partial(is_shown, tract), hidden)

        return _ranked((source_of(log, texts) for log, texts in logs), wanted)


def _filter(session: Session, wanted: SearchFilter, branch: str | None, expression: Expression | None) -> _Filter:
    """Returns the filter by an expression, and by whether the text shows as is wanted."""
    matches = None if expression is None else matcher(session.reader, expression)
    names = None if expression is None else names_that_may_match(session.reader, expression)
    if wanted.shown is not None and session.options.compiler is not None:
        raise ArgumentError("shown: a custom compiler decides what its contexts show")

    def accepts(name: CommitHash) -> bool:
        return (matches is None or matches(name)) and (
            wanted.shown is None or _is_shown(session, branch, name) is wanted.shown
        )

    return _Filter(None if names is None else set(names), accepts)


def _is_shown(session: Session, branch: str | None, name: CommitHash) -> bool | None:
    """Returns whether the context at the present head of a branch (None: the handle's) shows the text of a commit; None: a
    custom compiler decides. Errors: HistoryIncomplete; damage.
    """
    session.reader.require_complete(branch)
    head = session.reader.head() if branch is None else session.reader.overlay.head(branch)
    return session.contexts.shows(head, name)


def _ranked(sources: Iterable[_Source], wanted: SearchFilter) -> list[SearchHit]:
    """Returns the hits, best first."""
    groups: list[Matched] = []
    source_of: list[_Source] = []  # of each group
    texts = size = found = 0
    for source in sources:
        match = source.texts.find(wanted.phrase, [bytes.fromhex(name) for name in source.hidden])
        found += sum(len(group.counts) - group.counts.count(0) for group in match.found)
        wanted_groups = [group for group in match.found if group.may_have(wanted)]
        groups += wanted_groups
        source_of += [source] * len(wanted_groups)
        texts += match.texts
        size += match.size
    ranking = Ranking(mean_size=size / max(texts, 1), texts=max(texts, found), found=found)
    hits: list[SearchHit] = []
    seen: set[tuple[str, bytes]] = set()
    for entry in _iter_best(groups, ranking, wanted.limit):
        source, group = source_of[entry.group], groups[entry.group]
        role, content_type = group.role_and_type(entry.number)
        name = CommitHash(entry.commit.hex())
        if not wanted.accepts(content_type, role, -entry.age) or (source.tract, entry.commit) in seen:
            continue
        names, accepts = source.filter()
        if (names is None or name in names) and source.has(name, -entry.age):
            seen.add((source.tract, entry.commit))
            hit = _hit(source, name, wanted, ranking.rank(-entry.sparsity))
            if hit is not None and accepts(name):
                hits.append(hit)
                if len(hits) == wanted.limit:
                    break
    return hits


def _iter_best(groups: list[Matched], ranking: Ranking, limit: int | None) -> Iterator[_Entry]:
    """Yields the matches, best first. Sorts a few at first, and more only where the caller goes on."""
    lengths = [group.sizes.plus(ranking.shift) for group in groups]
    most = [max(ranking.densities(group.counts, found)) for group, found in zip(groups, lengths, strict=True)]
    densities = cache(lambda at: list(ranking.densities(groups[at].counts, lengths[at])))
    count = sum(len(group.counts) for group in groups)
    wanted = count if limit is None else max(_LEAST_SORTED, 2 * limit)
    last = inf  # down to which all were yielded
    while last > 0:
        bar = 0.0
        if wanted < count:
            least = sorted(most)[-wanted] if last == inf and wanted <= len(most) else 0.0  # so many are not below it
            best = compress(range(len(groups)), map(least.__le__, most))
            bar = nlargest(wanted, chain.from_iterable(map(densities, best)))[-1]
        entries = []
        for at in compress(range(len(groups)), map(bar.__le__, most)):
            group = groups[at]
            for number, density in zip(group.numbers, densities(at), strict=True):
                if bar <= density < last and density:
                    entries.append(_Entry(-density, -group.created_us(number), group.commit(number), at, number))
        entries.sort()
        yield from entries
        last, wanted = bar, wanted * _MORE_SORTED


def _hit(source: _Source, name: CommitHash, wanted: SearchFilter, rank: float) -> SearchHit | None:
    """Returns a hit as its content has it; None if that can't be read: it was redacted, or is damaged or missing."""
    read = _read(source.objects, name)
    if read is None:
        return None
    content_type, role, text, created_us = read
    shown = snippet_of(text, wanted.phrase)
    if shown is None or not wanted.accepts(content_type, role, created_us):
        source.texts.discard()
        return None
    return SearchHit(
        tract_id=source.tract,
        commit_hash=name,
        content_type=content_type,
        role=role,
        created_at=to_datetime(created_us),
        snippet=shown[0],
        spans=shown[1],
        rank=rank,
        _is_shown=LazyFact(partial(source.is_shown, name) if wanted.shown is None else None, wanted.shown),
    )


def _read(objects: Objects, name: CommitHash) -> tuple[str, str, str, int] | None:
    """Returns type, role, text and creation time of a commit, or None if there is no text that can be read."""
    commit = objects.commit(name)
    if commit is None or commit.content is None or commit.content_type is None:
        return None
    try:
        role, text = searchable(objects.require(commit.content, "content"), commit.content_type)
    except (DamageError, JsonValueError):
        return None
    return commit.content_type, role, text, commit.created_us
