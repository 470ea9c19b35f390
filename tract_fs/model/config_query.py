"""Config queries: typed predicates over generation configs, with JSON's own types.

Numbers compare with numbers, strings with strings by code point, booleans and null only for equality; a bool is not a
number, `1` equals `1.0`, and a value of another type never matches, under any operator. A config without the field
never matches.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Any

from tract_fs.errors import ArgumentError, JsonValueError
from tract_fs.model import canonical

OPERATORS = ("=", "!=", ">", "<", ">=", "<=")
FieldPath = tuple[str | int, ...]
Scalar = str | int | float | bool | None
_MOST_BITS = 12_000  # of an integer: Python writes it in less than the 4300 digits that it reads


def require_field(field: object) -> FieldPath:
    """Returns the path of a field: a string is one top-level key, dots included. Errors: ArgumentError."""
    if type(field) is str:
        return (field,)
    if type(field) is tuple and field and all(type(k) is str or (type(k) is int and k >= 0) for k in field):
        return field
    raise ArgumentError(f"field {field!r}: use a key, or a tuple of keys and indexes from 0")


def require_operator(operator: object) -> str:
    """Returns a comparison operator. Errors: ArgumentError."""
    if type(operator) is not str or operator not in OPERATORS:
        raise ArgumentError(f"Unsupported operator {operator!r}; use one of {', '.join(OPERATORS)}")
    return operator


def require_scalar(value: object) -> Scalar:
    """Returns a value to compare with: a JSON scalar, or a number that no config can hold, as infinity.

    Errors: ArgumentError.
    """
    if type(value) not in (str, int, float, bool, type(None)):
        raise ArgumentError(f"value {value!r}: use a string, a number, a bool or None")
    if type(value) is int and value.bit_length() > _MOST_BITS:
        raise ArgumentError(f"a number of {value.bit_length()} bits: use one of at most {_MOST_BITS}")
    if type(value) is int or (type(value) is float and value == value):
        return value  # numbers compare whatever their size
    try:
        canonical.encode(value)
    except JsonValueError as error:
        raise ArgumentError(f"value {value!r}: {error.reason}") from None
    return value  # type: ignore[return-value]


class FieldColumn:
    """The values of one field in many configs, by type, sorted: answers any operator by bisection."""

    def __init__(self, path: FieldPath) -> None:
        self._path = path
        self._sorted: dict[type, list[tuple[Any, int]]] = {float: [], str: []}
        self._constants: dict[object, list[int]] = {True: [], False: [], None: []}

    def add(self, configs: Iterable[tuple[int, Any]]) -> None:
        """Adds configs, each with its id; no id may be added twice."""
        for number, config in configs:
            is_there, value = follow(config, self._path)
            if not is_there:
                continue
            kind = type(value)
            if kind is str:
                self._sorted[str].append((value, number))
            elif kind in (int, float):
                self._sorted[float].append((value, number))
            elif kind in (bool, type(None)):
                self._constants[value].append(number)
        for values in self._sorted.values():
            values.sort()

    def select(self, operator: str, value: Scalar) -> list[int]:
        """Returns the ids of the configs whose value matches, in no order."""
        kind = type(value)
        if kind in (bool, type(None)):
            if operator == "=":
                return list(self._constants[value])
            if operator == "!=" and kind is bool:
                return list(self._constants[not value])
            return []
        values = self._sorted[str if kind is str else float]
        low = bisect_left(values, value, key=_first)
        high = bisect_right(values, value, key=_first)
        parts = {
            "=": values[low:high],
            "!=": values[:low] + values[high:],
            "<": values[:low],
            "<=": values[:high],
            ">": values[high:],
            ">=": values[low:],
        }
        return [number for _, number in parts[operator]]


def _first(item: tuple[Any, int]) -> Any:
    return item[0]


def follow(config: Any, path: FieldPath) -> tuple[bool, Any]:
    """Returns whether `path` leads somewhere, and where; string keys enter objects only, indexes arrays only."""
    for key in path:
        if isinstance(key, str):
            if type(config) is not dict or key not in config:
                return False, None
            config = config[key]
        else:
            if type(config) is not list or key >= len(config):
                return False, None
            config = config[key]
    return True, config


def is_part(wanted: object, found: object) -> bool:
    """Returns whether a JSON value equals another, or an object has all fields of another, at any depth.

    `1` equals `1.0`; a bool is no number.
    """
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(
            key in found and is_part(value, found[key]) for key, value in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        if not isinstance(found, list) or len(found) != len(wanted):
            return False
        return all(is_part(one, other) for one, other in zip(wanted, found, strict=True))
    return isinstance(wanted, bool) == isinstance(found, bool) and wanted == found
