"""Queries: expressions over one commit's config and facets, as objects and as text, and their only evaluator.

A comparison is between JSON's own types, as in `config_query`: a value of another type never matches, and neither does
an absent one, under any operator but `is unset`. `~` is the plain complement, so `~` of a comparison matches a commit
without the field. A facet with several values, as the branches of a commit, matches if one of them does; `!=` matches
if there is one and none is equal. The parser of the text is `query_text`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct

from tract_fs.errors import ArgumentError, JsonValueError
from tract_fs.model import canonical
from tract_fs.model.config_query import OPERATORS, FieldPath, Scalar, follow, require_field, require_scalar
from tract_fs.model.names import format_time, to_us
from tract_fs.model.objects import CommitOperation
from tract_fs.model.usage import TokenUsage

MAX_DEPTH = 100  # of expressions in expressions
KEYWORDS = frozenset(["and", "or", "not", "in", "is", "between", "starts", "contains", "true", "false", "null"])
USAGE_NAMES = TokenUsage.__struct_fields__
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_START_OF_DAY = re.compile(r"([0-9]{1,3}|[0-9]{4}(-([0-9]{1,2}|[0-9]{2}-[0-9]{0,2})?)?)?")
_SEVERAL = {"usage": "prompt_tokens", "metadata": "run"}  # facets that are no values, with an example of a field
_ORDERED = frozenset(["<", ">", "<=", ">=", "between"])
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_FACETS = {
    "branch": "text",
    "tag": "text",
    "tract": "text",
    "type": "text",
    "role": "text",
    "operation": "text",
    "text": "text",
    "day": "text",
    "time": "time",
    "tokens": "number",
    "usage": "number",
    "metadata": "",
}


class Values(Protocol):
    """What an expression reads of one commit."""

    def of(self, source: Source) -> Sequence[Any]:
        """Returns the JSON values that a source has; empty if it is absent."""


class Source(Struct, frozen=True):
    """What a comparison is about: a field of the generation config, or a facet of the commit."""

    is_facet: bool
    path: FieldPath

    @classmethod
    def of(cls, path: FieldPath, *, is_facet: bool) -> Source:
        """Returns a source. Errors: ArgumentError."""
        try:
            canonical.encode(list(path))
        except JsonValueError as error:
            raise ArgumentError(f"field {path!r}: {error.reason}") from None
        if is_facet:
            _require_facet(path)
        return cls(is_facet, path)

    def __str__(self) -> str:
        first, *rest = self.path
        parts = ["@" if self.is_facet else "", _key(str(first))]
        return "".join([*parts, *(f".{_key(k)}" if isinstance(k, str) else f"[{k}]" for k in rest)])


def _require_facet(path: FieldPath) -> None:
    name = path[0]
    if name not in _FACETS:
        raise ArgumentError(f"there is no facet {name!r}; use one of {', '.join(_FACETS)}")
    if name == "usage" and len(path) > 1 and (len(path) > 2 or path[1] not in USAGE_NAMES):
        raise ArgumentError(f"facet {name!r} has no such count; use one of {', '.join(USAGE_NAMES)}")
    if name not in ("usage", "metadata") and len(path) > 1:
        raise ArgumentError(f"facet {name!r} has no fields; leave the rest of the path out")


class Expression(Struct, frozen=True):
    """A condition that a commit meets or not. Combine with `&`, `|`, `~`; str() is its text."""

    depth = 0

    def matches(self, values: Values) -> bool:
        """Returns whether a commit with these values meets the condition."""
        raise NotImplementedError

    def sources(self) -> Iterator[Source]:
        """Yields what each comparison in it is about, in order."""
        raise NotImplementedError

    def is_of_config(self) -> bool:
        """Returns whether the condition reads the generation config alone."""
        return not any(source.is_facet for source in self.sources())

    def __and__(self, other: Expression) -> Expression:
        return joined(Both, (self, other)) if isinstance(other, Expression) else NotImplemented

    def __or__(self, other: Expression) -> Expression:
        return joined(Either, (self, other)) if isinstance(other, Expression) else NotImplemented

    def __invert__(self) -> Expression:
        return _checked(Not(self))

    def __bool__(self) -> bool:
        raise ArgumentError("an expression is neither true nor false: join with & | ~, each comparison in parentheses")


class Comparison(Expression, frozen=True):
    """One source compared with values: none for `is set`, two for `between`, any number for `in`."""

    source: Source
    operator: str
    values: tuple[Scalar, ...] = ()

    def matches(self, values: Values) -> bool:
        """Returns whether one of the source's values matches."""
        return self._matches(values.of(self.source))

    def sources(self) -> Iterator[Source]:
        """Yields the source."""
        yield self.source

    def _matches(self, found: Sequence[Any]) -> bool:
        operator, wanted = self.operator, self.values
        if operator == "is set":
            return bool(found)
        if operator == "is unset":
            return not found
        if operator == "in":
            return any(_is_equal(value, one) for value in found for one in wanted)
        if operator == "between":
            low, high = wanted
            return any(_kind(value) == _kind(low) and low <= value <= high for value in found)
        (one,) = wanted
        if operator == "!=":
            alike = [value for value in found if _kind(value) == _kind(one)]
            return bool(alike) and one not in alike
        if operator == "contains":
            return any(_contains(value, one) for value in found)
        return any(_kind(value) == _kind(one) and _COMPARE[operator](value, one) for value in found)

    def __str__(self) -> str:
        texts = [value_text(value) for value in self.values]
        if self.operator == "in":
            return f"{self.source} in ({', '.join(texts)})"
        return " ".join([str(self.source), self.operator, *(" and ".join(texts),)[: len(texts)]])


class Both(Expression, frozen=True):
    """All of some conditions."""

    parts: tuple[Expression, ...]
    depth: int = 1

    def matches(self, values: Values) -> bool:
        """Returns whether all parts match."""
        return all(part.matches(values) for part in self.parts)

    def sources(self) -> Iterator[Source]:
        """Yields the sources of all parts."""
        for part in self.parts:
            yield from part.sources()

    def __str__(self) -> str:
        return " and ".join(f"({part})" if isinstance(part, Either) else str(part) for part in self.parts)


class Either(Expression, frozen=True):
    """At least one of some conditions."""

    parts: tuple[Expression, ...]
    depth: int = 1

    def matches(self, values: Values) -> bool:
        """Returns whether a part matches."""
        return any(part.matches(values) for part in self.parts)

    def sources(self) -> Iterator[Source]:
        """Yields the sources of all parts."""
        for part in self.parts:
            yield from part.sources()

    def __str__(self) -> str:
        return " or ".join(map(str, self.parts))


class Not(Expression, frozen=True):
    """The complement of a condition."""

    part: Expression

    @property
    def depth(self) -> int:  # type: ignore[override]
        """How deep it is, in expressions."""
        return 1 + self.part.depth

    def matches(self, values: Values) -> bool:
        """Returns whether the part does not match."""
        return not self.part.matches(values)

    def sources(self) -> Iterator[Source]:
        """Yields the sources of the part."""
        return self.part.sources()

    def __invert__(self) -> Expression:
        return self.part

    def __str__(self) -> str:
        return f"not ({self.part})" if isinstance(self.part, (Both, Either)) else f"not {self.part}"


def joined(kind: type[Both] | type[Either], given: Sequence[Expression]) -> Expression:
    """Returns the conditions joined to one, those of its own kind taken apart. Errors: ArgumentError."""
    parts = tuple(part for one in given for part in (one.parts if isinstance(one, kind) else (one,)))
    return _checked(kind(parts, 1 + max(part.depth for part in parts)))


def _checked(made: Expression) -> Expression:
    if made.depth > MAX_DEPTH:
        raise ArgumentError(f"an expression may be at most {MAX_DEPTH} expressions deep")
    return made


class Field:
    """A config field or a facet of commits; a comparison of it is an expression. Made by `field` and `facet`."""

    __slots__ = ("source",)
    __hash__ = None  # type: ignore[assignment]  # `==` is a comparison

    def __init__(self, source: Source) -> None:
        self.source = source

    def __eq__(self, value: object) -> Expression:  # type: ignore[override]
        return comparison(self.source, "=", value)

    def __ne__(self, value: object) -> Expression:  # type: ignore[override]
        return comparison(self.source, "!=", value)

    def __lt__(self, value: object) -> Expression:
        return comparison(self.source, "<", value)

    def __le__(self, value: object) -> Expression:
        return comparison(self.source, "<=", value)

    def __gt__(self, value: object) -> Expression:
        return comparison(self.source, ">", value)

    def __ge__(self, value: object) -> Expression:
        return comparison(self.source, ">=", value)

    def is_set(self) -> Expression:
        """Matches where it is there, null included."""
        return comparison(self.source, "is set")

    def is_unset(self) -> Expression:
        """Matches where it is absent."""
        return comparison(self.source, "is unset")

    def in_(self, values: Iterable[object]) -> Expression:
        """Matches where it equals one of the values."""
        if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
            raise ArgumentError(f"in_({values!r}): give a list of values")
        return comparison(self.source, "in", *values)

    def between(self, low: object, high: object) -> Expression:
        """Matches from `low` to `high`, both included: two numbers, or two strings."""
        return comparison(self.source, "between", low, high)

    def startswith(self, prefix: str) -> Expression:
        """Matches strings that start so."""
        return comparison(self.source, "starts with", prefix)

    def contains(self, value: object) -> Expression:
        """Matches strings that contain a string, and arrays that have an element equal to a value."""
        return comparison(self.source, "contains", value)

    def __str__(self) -> str:
        return str(self.source)

    def __repr__(self) -> str:
        return f"Field({self.source})"


def field(key: str, *path: str | int) -> Field:
    """Returns a field of the generation config: a top-level key, then keys and indexes from 0. Errors: ArgumentError."""
    if type(key) is not str:
        raise ArgumentError(f"field {key!r}: begin with a key; the path is of keys and indexes")
    return Field(Source.of(require_field((key, *path)), is_facet=False))


def facet(name: str, *path: str | int) -> Field:
    """Returns a facet of commits, which no config field can collide with. Errors: ArgumentError.

    `branch` and `tag`: those whose history has the commit; `tract`; `type` of the content; `role` and `text` of the
    message; `operation`; `time` (a datetime, or ISO 8601; UTC if it has no offset) and `day` (`"2026-01-02"`) of
    creation, UTC; `tokens` of the message; `usage` with a count of TokenUsage; `metadata` with a path.
    """
    return Field(Source.of(require_field((name, *path)), is_facet=True))


def names_of_facets(sources: Iterable[Source]) -> list[str]:
    """Returns the config fields among some sources whose names are those of facets: one may have forgotten the `@`."""
    keys = [source.path[0] for source in sources if not source.is_facet and len(source.path) == 1]
    return [str(key) for key in dict.fromkeys(keys) if key in _FACETS]


def comparison(source: Source, operator: str, *values: object) -> Comparison:
    """Returns a comparison with checked values. Errors: ArgumentError."""
    name = source.path[0] if source.is_facet else ""
    wanted = _FACETS.get(str(name), "")
    if name in _SEVERAL and len(source.path) == 1 and not operator.startswith("is "):
        raise ArgumentError(f"{source} has several fields; compare one of them, as {source}.{_SEVERAL[str(name)]}")
    if wanted == "time" and operator != "starts with" and operator != "contains":
        values = tuple(map(_time_text, values))
    scalars = tuple(map(require_scalar, values))
    kinds = [_kind(value) for value in scalars]
    if operator in _ORDERED and not (set(kinds) == {"number"} or set(kinds) == {"text"}):
        raise ArgumentError(f"{operator} is for numbers or strings, not {_shown(scalars)}")
    if operator == "starts with" and kinds != ["text"]:
        raise ArgumentError(f"{operator} is for a string, not {_shown(scalars)}")
    wanted = {"time": "text"}.get(wanted, wanted)
    if wanted == "number" and operator == "contains":
        raise ArgumentError(f"{source} is a number, and contains nothing")
    if wanted and any(kind != wanted for kind in kinds):
        raise ArgumentError(f"{source} is a {wanted}, and never equals {_shown(scalars)}")
    if source == _OPERATION and operator in ("=", "!=", "in"):
        unknown = [value for value in scalars if value not in _OPERATIONS]
        if unknown:
            raise ArgumentError(f"operation {unknown[0]!r}: use one of {', '.join(_OPERATIONS)}")
    if name == "day" and operator != "contains":
        _require_days(scalars, operator)
    return Comparison(source, operator, scalars)


def _require_days(days: Sequence[Any], operator: str) -> None:
    """Raises ArgumentError for what no day equals, or is not ordered as days are: `2026-1-2` is after `2026-10-01`."""
    pattern = _DAY if operator in ("=", "!=", "in") else _START_OF_DAY
    for day in days:
        if pattern.fullmatch(day) is None:
            raise ArgumentError(f"day {day!r}: write it like 2026-01-02")


def value_text(value: Scalar) -> str:
    """Returns a value as the text of a query has it."""
    if type(value) is float and value in (float("inf"), -float("inf")):
        return "1e999" if value > 0 else "-1e999"
    if type(value) in (int, float):
        return repr(value)
    return canonical.encode_checked(value).decode()


class ConfigValues:
    """The values of a generation config alone, as the index asks."""

    def __init__(self, config: Any) -> None:
        self._config = config

    def of(self, source: Source) -> Sequence[Any]:
        """Returns the value of a config field; empty if it is absent."""
        return field_values(self._config, source.path)


def field_values(config: Any, path: FieldPath) -> Sequence[Any]:
    """Returns what is at a path of a JSON value, if anything is."""
    is_there, value = follow(config, path)
    return (value,) if is_there else ()


def narrowed(expression: Expression) -> Expression | None:
    """Returns a condition on the config alone that each commit with a match meets, and no commit without a config; or
    None if there is none.
    """
    found = _narrowed(expression)
    return None if found is None or found.matches(ConfigValues({})) else found


def _narrowed(expression: Expression) -> Expression | None:
    if expression.is_of_config():
        return expression
    if not isinstance(expression, (Both, Either)):
        return None
    parts = [found for part in expression.parts if (found := _narrowed(part)) is not None]
    if not parts or (isinstance(expression, Either) and len(parts) < len(expression.parts)):
        return None
    return type(expression)(tuple(parts))


def _key(key: str) -> str:
    is_plain = _PLAIN_KEY.fullmatch(key) is not None and key.lower() not in KEYWORDS
    return key if is_plain else canonical.encode_checked(key).decode()


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "")


def _is_equal(value: object, wanted: object) -> bool:
    return _kind(value) == _kind(wanted) and value == wanted


def _contains(value: object, wanted: Scalar) -> bool:
    if isinstance(value, list):
        return any(_is_equal(one, wanted) for one in value)
    return isinstance(value, str) and isinstance(wanted, str) and wanted in value


def _time_text(value: object) -> str:
    """Returns a time as commits store it: such times compare as strings do. Errors: ArgumentError."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(moment, datetime):
            return format_time(to_us(moment))
    except (ValueError, OverflowError):
        pass
    raise ArgumentError(f"time {value!r}: write it like 2026-01-02, or 2026-01-02T03:04:05+02:00 (UTC without offset)")


def _shown(values: Sequence[Scalar]) -> str:
    return " and ".join(map(repr, values))


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda value, wanted: bool(value == wanted),
    ">": lambda value, wanted: bool(value > wanted),
    "<": lambda value, wanted: bool(value < wanted),
    ">=": lambda value, wanted: bool(value >= wanted),
    "<=": lambda value, wanted: bool(value <= wanted),
    "starts with": lambda value, wanted: bool(value.startswith(wanted)),
}
assert set(OPERATORS) == {*_COMPARE, "!="} - {"starts with"}
_KINDS = {str: "text", int: "number", float: "number", bool: "bool", type(None): "null"}
_OPERATION = Source(True, ("operation",))
_OPERATIONS = tuple(operation.value for operation in CommitOperation)
