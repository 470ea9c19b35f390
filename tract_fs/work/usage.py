"""Sums of the recorded usage: of a store by tract or model, of a tract by commit, model or branch.

Of each commit the usage that was recorded last counts, and a time compares with when that was recorded. What a fork
repeats of the tract that it was made from is that one's. So the sums of the tracts add up to those of the store.

The model of a usage is that of its commit's config; where that has none, as that of a prompt whose usage was recorded before
the answer was committed, it is that of the first commit, by creation time, that continues it and has one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Literal, get_args

from tract_fs.errors import ArgumentError
from tract_fs.model import canonical
from tract_fs.model.events import BroughtCommit
from tract_fs.model.history import KnownHistory
from tract_fs.model.names import CommitHash, parse_time
from tract_fs.model.objects import Commit
from tract_fs.model.usage import TokenUsage
from tract_fs.store.tract_log import TractLog
from tract_fs.work.log_filter import optional_moment
from tract_fs.work.reader import LOSSES, TractReader

StoreUsageKey = Literal["tract", "model"]
TractUsageKey = Literal["commit", "model", "branch"]


def require_usage_key(by: object, keys: object) -> None:
    """Raises ArgumentError unless `by` is one of the keys of a type."""
    if by not in get_args(keys):
        raise ArgumentError(f"usage by {by!r}: use {' or '.join(get_args(keys))}")


def iter_usage(log: TractLog, by: StoreUsageKey, since: datetime | None) -> Iterator[tuple[str, TokenUsage]]:
    """Yields the last usage of each commit of a tract with its tract or model, "" where no model is known.

    Cost: reads one event for each; for models also all commits, where the config of one with usage has none.
    """
    recorded = dict(_iter_recorded(log, optional_moment(since, "since"), log.origins.commits_with_usage()))
    models: Mapping[CommitHash, str] = {}
    if by == "model":
        names = (CommitHash(digest.hex()) for digest in log.origins.all_commits())
        models = _models(recorded, names, log.origins.brought, log.commit)
    for commit, counts in recorded.items():
        yield log.tract if by == "tract" else models[commit], counts


def sum_usage(
    reader: TractReader, by: TractUsageKey, since: datetime | None, of: str | None = None
) -> dict[str, TokenUsage]:
    """Returns the sums of the usage of the reader's tract, or of one commit of it; see the facade."""
    require_usage_key(by, TractUsageKey)
    since_us = optional_moment(since, "since")
    recorded = recorded_usage(reader, since_us, None if of is None else reader.resolve(of))
    keys_of = _keys(reader, by, recorded)
    found: dict[str, TokenUsage] = {}
    for commit, counts in recorded.items():
        for key in keys_of(commit):
            found[key] = add(found.get(key), counts)
    return dict(sorted(found.items()))


def recorded_usage(
    reader: TractReader, since_us: int | None = None, only: CommitHash | None = None
) -> dict[CommitHash, TokenUsage]:
    """Returns the last usage recorded for each commit of the reader's tract, or for one, what is staged included."""
    commits = reader.log.origins.commits_with_usage() if only is None else (only,)
    recorded = dict(_iter_recorded(reader.log, since_us, commits))
    staged = reader.overlay.transaction
    if staged is not None and staged.usage and (since_us is None or parse_time(staged.now) >= since_us):
        recorded.update((commit, counts) for commit, counts in staged.usage if only in (None, commit))
    return recorded


def add(first: TokenUsage | None, second: TokenUsage) -> TokenUsage:
    """Returns the sum of two usages, count by count."""
    if first is None:
        return second
    return TokenUsage(*(getattr(first, key) + getattr(second, key) for key in TokenUsage.__struct_fields__))


def _iter_recorded(
    log: TractLog, since_us: int | None, commits: Iterable[str]
) -> Iterator[tuple[CommitHash, TokenUsage]]:
    """Yields each of some commits with the usage that events of the tract recorded last, unless that was before a time."""
    for commit in commits:
        found = log.origins.last_usage(commit)
        if found is None or (found[0].parents and all("/" in parent for parent in found[0].parents)):
            continue
        if since_us is None or found[0].at_us >= since_us:
            yield CommitHash(commit), found[1].counts


def usage_models(reader: TractReader, recorded: Collection[CommitHash]) -> dict[CommitHash, str]:
    """Returns the model of the usage of each of some commits, "" where none is known. Cost: as `iter_usage`."""
    return _models(recorded, reader.overlay.names(), reader.overlay.entry, reader.commit)


def _models(
    recorded: Collection[CommitHash],
    names: Iterable[str],
    entry: Callable[[CommitHash], BroughtCommit | None],
    read: Callable[[CommitHash], Commit | None],
) -> dict[CommitHash, str]:
    def config_model(name: CommitHash) -> str:
        found = entry(name)
        config = b"" if found is None else bytes(found.config)
        if config not in known:
            known[config] = _model_in(config)
        return known[config]

    known: dict[bytes, str] = {}
    models = {commit: config_model(commit) for commit in recorded}
    if all(models.values()):
        return models
    first: dict[CommitHash, tuple[int, CommitHash, str]] = {}  # the answer to each prompt
    for name in map(CommitHash, names):
        try:
            model = config_model(name)
            commit = read(name) if model else None
        except LOSSES:
            continue  # another answer may be there, and none of the counts is lost
        if commit is not None and commit.parents and models.get(commit.parents[0]) == "":
            answer = (commit.created_us, name, model)
            first[commit.parents[0]] = min(answer, first.get(commit.parents[0], answer))
    return {**models, **{prompt: model for prompt, (_, _, model) in first.items()}}


def _keys(
    reader: TractReader, by: TractUsageKey, recorded: Collection[CommitHash]
) -> Callable[[CommitHash], list[str]]:
    """Returns what gives the keys under which a commit's usage counts."""
    if by == "commit":
        return lambda commit: [commit]
    if by == "model":
        models = usage_models(reader, recorded)
        return lambda commit: [models[commit]]
    branches_of = holders(reader, branch_tips(reader))
    return lambda commit: branches_of(commit) or [""]


def branch_tips(reader: TractReader) -> list[tuple[str, CommitHash]]:
    """Returns each head of each branch, with the branch."""
    return [(branch, head) for branch in reader.overlay.branches() for head in reader.overlay.heads(branch)]


def holders(reader: TractReader, tips: Iterable[tuple[str, CommitHash]]) -> Callable[[CommitHash], list[str]]:
    """Returns what gives the names whose tips have a commit in their history, sorted."""
    histories = [(name, tip, KnownHistory(reader.commit)) for name, tip in tips]

    def names_of(commit: CommitHash) -> list[str]:
        return sorted({name for name, tip, history in histories if commit == tip or history.has(tip, commit)})

    return names_of


def _model_in(config: bytes) -> str:
    model = (canonical.decode(config) if config else {}).get("model")
    return model if type(model) is str else ""
