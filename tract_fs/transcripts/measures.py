"""Measures in records: times and token counts, in whatever unit and sum a format has them."""

from __future__ import annotations

from datetime import UTC, datetime

from tract_fs.model.fields import Fields
from tract_fs.model.names import to_us
from tract_fs.model.usage import TokenUsage

_LEAST_MS = 10**11  # a number of seconds is smaller until the year 5138
_LEAST_US = 10**14
_LEAST_NS = 10**17
_MOST_US = 253402300799 * 10**6  # the year 9999


def time_us(value: object) -> int | None:
    """Returns a time in microseconds since 1970, of ISO 8601 or of a number of seconds or less; None if it is none."""
    if isinstance(value, str):
        return _iso_us(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 10**19:
        return None
    for least, scale in ((_LEAST_NS, 0.001), (_LEAST_US, 1), (_LEAST_MS, 1000)):
        if value >= least:
            found = int(value * scale)
            return found if found < _MOST_US else None
    return int(value * 10**6)


def _iso_us(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
        return to_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None


def usage_in(
    counts: Fields,
    prompt: str,
    completion: str,
    *,
    cache_read: str = "",
    cache_write: str = "",
    reasoning: str = "",
    is_cache_apart: bool = False,
    is_reasoning_apart: bool = False,
) -> TokenUsage | None:
    """Returns the usage of a record of counts, by the names of its fields; None without a prompt's or a completion's.

    `is_cache_apart`: the prompt's count is without what was read from the cache and written to it; `is_reasoning_apart`:
    the completion's is without its reasoning.
    """
    whole, answer = _count(counts.get(prompt)), _count(counts.get(completion))
    if whole is None or answer is None:
        return None
    read, written, thought = (_count(counts.get(name)) or 0 for name in (cache_read, cache_write, reasoning))
    whole += read + written if is_cache_apart else 0
    answer += thought if is_reasoning_apart else 0
    return TokenUsage(whole, answer, whole + answer, read, written, thought)


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 2**62 else None
