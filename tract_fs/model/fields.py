"""Fields of records: any value may have any type, so each is read as what its format means, or as nothing.

The functions that end in `_of` take a value; those that end in `_in` a record, which may be no object either, and the
name of the field.
"""

from __future__ import annotations

from typing import Any

Fields = dict[str, Any]


def fields_of(value: object) -> Fields:
    """Returns an object; empty if it is none."""
    return value if isinstance(value, dict) else {}


def items_of(value: object) -> list[Any]:
    """Returns an array; empty if it is none."""
    return value if isinstance(value, list) else []


def text_of(value: object) -> str:
    """Returns a text; empty if it is none."""
    return value if isinstance(value, str) else ""


def fields_in(record: object, name: str) -> Fields:
    """Returns the object that a field holds; empty if it holds none."""
    found = record.get(name) if isinstance(record, dict) else None
    return found if isinstance(found, dict) else {}


def items_in(record: object, name: str) -> list[Any]:
    """Returns the array that a field holds; empty if it holds none."""
    found = record.get(name) if isinstance(record, dict) else None
    return found if isinstance(found, list) else []


def records_in(record: object, name: str) -> list[Fields]:
    """Returns the elements of the array that a field holds, each as an object; one that is none is empty."""
    return [fields_of(item) for item in items_in(record, name)]


def text_in(record: object, name: str) -> str:
    """Returns the text that a field holds; empty if it holds none."""
    found = record.get(name) if isinstance(record, dict) else None
    return found if isinstance(found, str) else ""


def picked(record: Fields, *names: str) -> Fields:
    """Returns these fields of a record, where it has them."""
    return {name: record[name] for name in names if record.get(name) is not None}
