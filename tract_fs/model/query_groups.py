"""Groups of commits: counts, sums of token counts and usage, and costs by a table of prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import product
from typing import Any, Protocol

from msgspec import Struct

from tract_fs.errors import ArgumentError
from tract_fs.model import canonical
from tract_fs.model.query import USAGE_NAMES, Field, Source, Values
from tract_fs.model.query_text import parse_source

PRICE_NAMES = ("prompt", "completion", "cache_read", "cache_write")
Prices = Mapping[str, Mapping[str, float]]
_USAGE = [Source(True, ("usage", name)) for name in USAGE_NAMES]
_TOKENS = Source(True, ("tokens",))
_WHOLE_USAGE, _WHOLE_METADATA = Source(True, ("usage",)), Source(True, ("metadata",))
_PER = 1_000_000  # tokens that a price is for


class Priced(Values, Protocol):
    """What the groups read of one commit."""

    def usage_model(self) -> str:
        """Returns the model of a commit with usage; empty if none is known."""


class QueryGroup(Struct, frozen=True):
    """The commits that have the same values of some fields.

    `key` is those values by the texts of the fields; None: absent, or null. `sums` are in tokens, by name.
    """

    key: dict[str, Any]
    count: int
    sums: dict[str, int]
    cost: float | None = None  # in the currency of the prices; None: no prices were given
    unpriced_count: int = 0  # commits with usage that `cost` leaves out: no price is known for their model

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields as JSON values (fresh)."""
        cost = {} if self.cost is None else {"cost": self.cost, "unpriced_count": self.unpriced_count}
        return {"key": dict(self.key), "count": self.count, "sums": dict(self.sums), **cost}


class _Total:
    """The sums of one group."""

    def __init__(self, values: tuple[Any, ...], names: Sequence[str]) -> None:
        self.values = values
        self.count = 0
        self.sums = dict.fromkeys(names, 0)
        self.cost = Fraction(0)
        self.unpriced_count = 0


class QueryGroups:
    """Groups commits as they are added."""

    def __init__(self, by: object, sum: object, prices: object) -> None:
        """Takes what to group by, what to sum and the prices. Errors: ArgumentError; QueryError."""
        self._by = [_key_source(one) for one in _several(by)]
        self._sums = [source for one in _several(sum) for source in _counts(one)]
        self._names = [str(source)[1:] for source in self._sums]
        self._prices = None if prices is None else _require_prices(prices)
        self._totals: dict[tuple[object, ...], _Total] = {}

    def add(self, commit: Priced) -> None:
        """Adds a commit to its group; to several where a facet that it is grouped by has several values."""
        counts = [next(iter(commit.of(source)), 0) for source in self._sums]
        cost = self._cost(commit)
        for values in product(*(commit.of(source) or (None,) for source in self._by)):
            key = tuple(map(_key, values))
            total = self._totals.get(key)
            if total is None:
                total = self._totals[key] = _Total(values, self._names)
            total.count += 1
            for name, count in zip(self._names, counts, strict=True):
                total.sums[name] += count
            total.cost += cost or 0
            total.unpriced_count += cost is None

    def result(self) -> list[QueryGroup]:
        """Returns the groups, by their keys; one even if it is empty where nothing is grouped by."""
        if not self._by and not self._totals:
            self._totals[()] = _Total((), self._names)
        names = [str(source) for source in self._by]
        ordered = sorted(self._totals.values(), key=lambda total: list(map(_order, total.values)))
        return [
            QueryGroup(
                dict(zip(names, total.values, strict=True)),
                total.count,
                total.sums,
                None if self._prices is None else float(total.cost),
                total.unpriced_count,
            )
            for total in ordered
        ]

    def _cost(self, commit: Priced) -> Fraction | None:
        """Returns what a commit's usage costs; None if no price is known for it."""
        if self._prices is None or not commit.of(_USAGE[0]):
            return Fraction(0)
        price = self._prices.get(commit.usage_model())
        if price is None:
            return None
        count = {name: commit.of(source)[0] for name, source in zip(USAGE_NAMES, _USAGE, strict=True)}
        read, written = count["cache_read_tokens"], count["cache_write_tokens"]
        whole: Fraction = (
            max(0, count["prompt_tokens"] - read - written) * price["prompt"]
            + read * price["cache_read"]
            + written * price["cache_write"]
            + count["completion_tokens"] * price["completion"]
        )
        return whole / _PER


def _several(given: object) -> Sequence[object]:
    if given is None:
        return ()
    return given if isinstance(given, (list, tuple)) else (given,)


def _source(given: object) -> Source:
    return given.source if isinstance(given, Field) else parse_source(given).source


def _key_source(given: object) -> Source:
    source = _source(given)
    if source in (_WHOLE_USAGE, _WHOLE_METADATA):
        raise ArgumentError(f"group by {source}: it has several fields; give one of them")
    return source


def _counts(given: object) -> list[Source]:
    """Returns the facets that a name, with or without `@`, sums: `tokens`, `usage`, or one count of it."""
    source = _source(given)
    if not source.is_facet and not isinstance(given, Field):
        source = Source(True, source.path)
    if source == _WHOLE_USAGE:
        return _USAGE
    if source != _TOKENS and source not in _USAGE:
        raise ArgumentError(f"sum of {given!s}: use tokens, usage, or usage. with one of {', '.join(USAGE_NAMES)}")
    return [source]


def _require_prices(given: object) -> dict[str, dict[str, Fraction]]:
    """Returns prices by model; those of the cache are that of the prompt where they are not given."""
    if not isinstance(given, Mapping):
        raise ArgumentError("prices: give an object with an object of prices for each model")
    found = {}
    for model, prices in given.items():
        if not isinstance(prices, Mapping) or not {"prompt", "completion"} <= prices.keys() <= set(PRICE_NAMES):
            raise ArgumentError(
                f"prices of {model!r}: give prompt and completion, maybe cache_read and cache_write: per million tokens"
            )
        for name, price in prices.items():
            if type(price) not in (int, float) or not 0 <= price < float("inf"):
                raise ArgumentError(f"prices of {model!r}: {name} {price!r}: give a number from 0")
        whole = {"cache_read": prices["prompt"], "cache_write": prices["prompt"], **prices}
        found[model] = {name: Fraction(str(price)) for name, price in whole.items()}
    return found


def _key(value: object) -> object:
    if isinstance(value, (list, dict)):
        return canonical.encode(value)
    return (isinstance(value, bool), value)  # 1 equals 1.0, and a bool is no number


def _order(value: object) -> tuple[bool, bool, object]:
    """Returns what puts values in order: null first, numbers before all else."""
    if type(value) in (int, float):
        return value is not None, False, value
    return value is not None, True, value if isinstance(value, str) else canonical.encode(value).decode()
