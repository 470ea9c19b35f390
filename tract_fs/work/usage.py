"""Sums of the recorded usage of a store: by tract, or by the model of the commits that it is of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

from tract_fs.errors import ArgumentError
from tract_fs.model import canonical
from tract_fs.model.usage import TokenUsage
from tract_fs.store.tract_log import TractLog

UsageKey = Literal["tract", "model"]


def require_usage_key(by: object) -> UsageKey:
    """Returns what to sum by. Errors: ArgumentError."""
    for key in get_args(UsageKey):
        if by == key:
            found: UsageKey = key
            return found
    raise ArgumentError(f"usage by {by!r}: use tract or model")


def iter_usage(log: TractLog, by: UsageKey) -> Iterator[tuple[str, TokenUsage]]:
    """Yields the last usage of each commit of a tract with its tract or model, "" where no model is known.

    What a fork repeats of the tract that it was made from is left out. Cost: reads one event for each.
    """
    for commit in log.origins.commits_with_usage():
        found = log.origins.last_usage(commit)
        if found is None or (found[0].parents and all("/" in parent for parent in found[0].parents)):
            continue
        yield (log.tract if by == "tract" else _model(log, commit)), found[1].counts


def add(first: TokenUsage | None, second: TokenUsage) -> TokenUsage:
    """Returns the sum of two usages, count by count."""
    if first is None:
        return second
    return TokenUsage(*(getattr(first, key) + getattr(second, key) for key in TokenUsage.__struct_fields__))


def _model(log: TractLog, commit: str) -> str:
    entry = log.origins.brought(commit)
    config = canonical.decode(bytes(entry.config)) if entry is not None and entry.config else {}
    model = config.get("model")
    return model if type(model) is str else ""
