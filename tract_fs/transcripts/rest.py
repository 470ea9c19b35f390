"""The rest of a record: what it holds beside the messages that were made of it, so that both give it back.

The rest is the record with each part that the messages hold too replaced by where it is there. It works for every
format, and a message that was edited meanwhile comes back edited.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_REF = "$"  # {"$": [0, "content", 1]}: what is at this path of the parts
_LITERAL = "$$"  # {"$$": {...}}: an object of the record that looks like one of the two
_SHORTEST = 24  # characters of a text that is worth a reference
Path = list[str | int]


def split_rest(record: Any, parts: Sequence[Any]) -> Any:
    """Returns what `join_rest` needs beside `parts` to return `record`; all are JSON values.

    A list or object that the parts share with the record, as the same Python object, is found without a comparison, and so
    is a long text.
    """
    texts: dict[str, Path] = {}
    shared: dict[int, Path] = {}
    _index(parts, [], texts, shared)
    return _split(record, texts, shared)


def join_rest(rest: Any, parts: Sequence[Any]) -> Any:
    """Returns the record of a rest and its parts. Errors: LookupError or TypeError where the parts changed their form."""
    if isinstance(rest, dict):
        if len(rest) == 1:
            if _REF in rest:
                return _at(parts, rest[_REF])
            if _LITERAL in rest:
                return {key: join_rest(item, parts) for key, item in rest[_LITERAL].items()}
        return {key: join_rest(item, parts) for key, item in rest.items()}
    if isinstance(rest, list):
        return [join_rest(item, parts) for item in rest]
    return rest


def _index(value: Any, path: Path, texts: dict[str, Path], shared: dict[int, Path]) -> None:
    if isinstance(value, str):
        if len(value) >= _SHORTEST:
            texts.setdefault(value, path)
        return
    if isinstance(value, dict):
        shared.setdefault(id(value), path)
        for key, item in value.items():
            if type(item) is not str or len(item) >= _SHORTEST:  # most are short: this saves a call
                _index(item, [*path, key], texts, shared)
    elif isinstance(value, (list, tuple)):
        shared.setdefault(id(value), path)
        for place, item in enumerate(value):
            _index(item, [*path, place], texts, shared)


def _split(value: Any, texts: dict[str, Path], shared: dict[int, Path]) -> Any:
    if isinstance(value, str):
        path = texts.get(value) if len(value) >= _SHORTEST else None
        return value if path is None else {_REF: path}
    if isinstance(value, (dict, list)) and value:
        path = shared.get(id(value))
        if path is not None:
            return {_REF: path}
    if isinstance(value, dict):
        made = {
            key: item  # most are one of these: this saves a call
            if item is None or type(item) is bool or (type(item) is str and len(item) < _SHORTEST)
            else _split(item, texts, shared)
            for key, item in value.items()
        }
        return {_LITERAL: made} if len(value) == 1 and not value.keys().isdisjoint((_REF, _LITERAL)) else made
    if isinstance(value, list):
        return [_split(item, texts, shared) for item in value]
    return value


def _at(parts: Any, path: Path) -> Any:
    for step in path:
        parts = parts[step]
    return parts
