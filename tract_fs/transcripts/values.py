"""Values of a record that may have any type: each reader of a format takes them by these."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from tract_fs.model.names import to_us
from tract_fs.transcripts.units import Unit


def text_in(value: Any, key: str) -> str:
    """Returns the text that a dict has under a key; empty if it is no dict or has none."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def dict_in(value: Any, key: str) -> dict[str, Any]:
    """Returns the dict that a dict has under a key; empty if there is none."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def list_in(value: Any, key: str) -> list[Any]:
    """Returns the list that a dict has under a key; empty if there is none."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


def time_us(text: Any) -> int | None:
    """Returns an ISO 8601 time in microseconds since 1970, UTC; None if it is none."""
    try:
        moment = datetime.fromisoformat(text)
        return to_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (TypeError, ValueError, OverflowError):
        return None


def is_plain_json(unit: Unit) -> bool:
    """Returns whether a tool that reads a line at a time gets the record of a unit that has a line of its own."""
    if unit.raw is None:
        return True
    try:
        json.loads(unit.raw.decode("utf-8", "replace").strip().strip("\ufeff"))
    except (ValueError, RecursionError):
        return False
    return True
