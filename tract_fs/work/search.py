"""Full-text search: ranks what the index finds, and checks each hit against the content that it names.

What is staged in an open batch is not found: it may never be written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from msgspec.structs import replace

from tract_fs.errors import ArgumentError, DamageError, JsonValueError
from tract_fs.model.history import iter_newest_first
from tract_fs.model.info import CommitFacts, CommitInfo
from tract_fs.model.names import CommitHash, to_datetime
from tract_fs.model.query import Expression
from tract_fs.model.search import SearchFilter, SearchHit, ranking, searchable, snippet_of
from tract_fs.model.tokens import TokenCounter, recorded_tokens
from tract_fs.store.index.texts import Found, Match, TractTexts
from tract_fs.store.objects import Objects
from tract_fs.store.tract_log import TractLog
from tract_fs.work.log_filter import LogFilter, require_limit
from tract_fs.work.queries import matcher, require_expression
from tract_fs.work.reader import TractReader


class _Place:
    """Where matches are from: a tract, and what it takes to read and to show one of them."""

    def __init__(
        self,
        tract: str,
        objects: Objects,
        info: Callable[[CommitHash], CommitInfo],
        has: Callable[[CommitHash], bool] = lambda _: True,
    ) -> None:
        self.tract = tract
        self.objects = objects
        self.info = info
        self.has = has


def filter_of(
    phrase: object,
    *,
    content_type: str | None,
    role: str | None,
    since: datetime | None,
    until: datetime | None,
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
    checked = LogFilter.of(
        branch=None, operation=None, content_type=content_type, since=since, until=until, tag=None, text=phrase
    )
    return SearchFilter(
        phrase=checked.text or "",
        content_type=checked.content_type,
        role=role,
        since_us=checked.since_us,
        until_us=checked.until_us,
        limit=require_limit(limit),
    )


def search_tract(
    reader: TractReader, wanted: SearchFilter, branch: str | None, expression: Expression | str | None = None
) -> list[SearchHit]:
    """Returns the hits of the reader's tract, best first, of commits that an expression matches; see the facade.

    Errors: BranchNotFound, ArgumentError, QueryError.
    """
    if expression is not None:
        matches = matcher(reader, require_expression(expression))
        wanted = replace(wanted, where=lambda info: matches(CommitHash(info.commit_hash)))
    shown: set[CommitHash] | None = None
    if branch is not None:
        shown = {name for name, _ in iter_newest_first(reader.require_branch(branch), reader.commit)}
    foreign = reader.foreign.names() if reader.log.view.foreign else set()
    log, objects = reader.log, reader.store.objects

    def is_own(name: CommitHash) -> bool:
        return (shown is None or name in shown) and (bool(log.origins.events_of(name)) or reader.overlay.has(name))

    sources = [(_Place(log.tract, objects, reader.info, is_own), reader.texts(log))]
    for source in reader.foreign.sources():

        def is_foreign(name: CommitHash) -> bool:
            return name in foreign and is_own(name)

        sources.append((_Place(log.tract, objects, reader.info, is_foreign), reader.texts(source)))
    hidden = []
    if log.hides_any:
        hidden = [Found(bytes.fromhex(name), b"", 0, 0, 0) for name in reader.hidden.commits()]
    return _ranked(sources, wanted, hidden)


def search_logs(
    logs: Iterator[tuple[TractLog, TractTexts]], objects: Objects, counter: TokenCounter, wanted: SearchFilter
) -> list[SearchHit]:
    """Returns the hits of several tracts, best first; see the facade of the store."""
    sources = (
        (_Place(log.tract, objects, _info_in(log, objects, counter), _is_brought_in(log)), texts) for log, texts in logs
    )
    return _ranked(sources, wanted, [])


def _ranked(sources: Iterable[tuple[_Place, TractTexts]], wanted: SearchFilter, hidden: list[Found]) -> list[SearchHit]:
    matches = [(place, texts, texts.find(wanted)) for place, texts in sources]
    if hidden:
        place, texts, match = matches[0]
        matches[0] = place, texts, Match([*match.found, *hidden], match.texts, match.size)
    texts_count = sum(match.texts for _, _, match in matches)
    size = sum(match.size for _, _, match in matches)
    found = sum(len(match.found) for _, _, match in matches)
    rank = ranking(mean_size=size / max(texts_count, 1), texts=max(texts_count, found), found=found)
    order: list[tuple[float, int, bytes, int]] = []
    for number, (place, _, match) in enumerate(matches):
        for one in match.found:
            read: Found | None = one if one.matches else _counted(place, one, wanted)
            if read is not None:
                order.append((-rank(read.matches, read.size), -read.created_us, read.commit, number))
    order.sort()
    hits: list[SearchHit] = []
    seen: set[tuple[str, bytes]] = set()
    for negative_rank, _, digest, number in order:
        if wanted.limit is not None and len(hits) >= wanted.limit:
            break
        place, texts, _ = matches[number]
        name = CommitHash(digest.hex())
        if (place.tract, digest) in seen or not place.has(name):
            continue
        seen.add((place.tract, digest))
        hit = _hit(place, name, wanted, -negative_rank, texts)
        if hit is not None and (wanted.where is None or wanted.where(place.info(name))):
            hits.append(hit)
    return hits


def _counted(place: _Place, found: Found, wanted: SearchFilter) -> Found | None:
    """Returns a match whose text is not in the index, as its content has it; None if it has none, or can't be read."""
    read = _read(place, CommitHash(found.commit.hex()))
    if read is None:
        return None
    content_type, role, text, created_us = read
    folded = text.casefold()
    matches = folded.count(wanted.phrase)
    if not matches or not wanted.accepts(content_type, role, created_us):
        return None
    return found._replace(created_us=created_us, matches=matches, size=len(folded.encode()))


def _hit(place: _Place, name: CommitHash, wanted: SearchFilter, rank: float, texts: TractTexts) -> SearchHit | None:
    """Returns a hit as its content has it; None if that can't be read: it was redacted, or is damaged or missing."""
    read = _read(place, name)
    if read is None:
        return None
    content_type, role, text, created_us = read
    shown = snippet_of(text, wanted.phrase)
    if shown is None or not wanted.accepts(content_type, role, created_us):
        texts.discard()
        return None
    return SearchHit(
        tract_id=place.tract,
        commit_hash=name,
        content_type=content_type,
        role=role,
        created_at=to_datetime(created_us),
        snippet=shown[0],
        spans=shown[1],
        rank=rank,
    )


def _read(place: _Place, name: CommitHash) -> tuple[str, str, str, int] | None:
    """Returns type, role, text and creation time of a commit, or None if there is no text that can be read."""
    commit = place.objects.commit(name)
    if commit is None or commit.content is None or commit.content_type is None:
        return None
    try:
        role, text = searchable(place.objects.require(commit.content, "content"), commit.content_type)
    except (DamageError, JsonValueError):
        return None
    return commit.content_type, role, text, commit.created_us


def _info_in(log: TractLog, objects: Objects, counter: TokenCounter) -> Callable[[CommitHash], CommitInfo]:
    def info(name: CommitHash) -> CommitInfo:
        entry = log.origins.brought(name)
        config = b"" if entry is None else bytes(entry.config)
        tokens = None if entry is None else recorded_tokens(counter, entry.tokens)[0]
        return CommitInfo(name, log.tract, CommitFacts(objects.require_commit(name), config, tokens))

    return info


def _is_brought_in(log: TractLog) -> Callable[[CommitHash], bool]:
    return lambda name: bool(log.origins.events_of(name))
