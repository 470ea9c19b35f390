"""Names and times: hashes, tract ids, branch names, timestamps, and the hybrid logical clock.

Everything that becomes a path or a key is checked here, once. Format: FORMAT.md, sections 1 and 3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import NewType

from tract_fs.errors import ArgumentError, TimeLimitReached

Clock = Callable[[], "int | datetime"]
ContentHash = NewType("ContentHash", str)
CommitHash = NewType("CommitHash", str)
EventHash = NewType("EventHash", str)

_match_hash = re.compile("[0-9a-f]{64}").fullmatch
_match_hex = re.compile("[0-9a-f]*").fullmatch
_match_second = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d").fullmatch
_MANY = 16
_TRACT_CHARS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")
_TRACT_ENDS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_SLUG_CHARS = 40
_NAME_DIGITS = 16
_DEVICES = frozenset(["con", "prn", "aux", "nul", *(f"com{n}" for n in range(10)), *(f"lpt{n}" for n in range(10))])
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
LAST_US = int((datetime(9000, 1, 1, tzinfo=UTC) - _EPOCH) / _MICROSECOND) - 1
# Only small steps lead into the last year and through it, so that no event uses up the time of those after it.
LAST_YEAR = "8999-01-01T00:00:00.000000Z"
LAST_YEAR_US = int((datetime(8999, 1, 1, tzinfo=UTC) - _EPOCH) / _MICROSECOND)
LONGEST_STEP_US = 1_000_000


def hash_bytes(data: bytes | memoryview) -> str:
    """Returns the SHA-256 of `data` in hexadecimal: the name of a file with these bytes."""
    return sha256(data).hexdigest()


def is_hash(text: str) -> bool:
    """Returns whether `text` is a full hash: 64 lower-case hexadecimal digits."""
    return _match_hash(text) is not None


def are_hashes(names: Sequence[str]) -> bool:
    """Returns whether all `names` are full hashes. Cost: a small part of a microsecond for each of many."""
    if len(names) < _MANY:
        for name in names:  # noqa: SIM110 - a generator takes twice the time
            if _match_hash(name) is None:
                return False
        return True
    digits = "".join(names).encode("utf-8", "surrogatepass")
    return set(map(len, names)) == {64} and not digits.translate(None, b"0123456789abcdef")


def is_hex(text: str) -> bool:
    """Returns whether all of `text` is lower-case hexadecimal digits."""
    return _match_hex(text) is not None


@lru_cache(maxsize=1024)
def is_tract_id(text: str) -> bool:
    """Returns whether `text` may name a tract; it is the one user-chosen name that becomes a path."""
    if not 0 < len(text) <= 64 or not _TRACT_CHARS.issuperset(text):
        return False
    return text[0] in _TRACT_ENDS and text[-1] in _TRACT_ENDS and text.split(".", 1)[0] not in _DEVICES


def require_tract_id(text: object) -> str:
    """Returns `text` if it may name a tract, else raises ArgumentError."""
    if type(text) is not str or not is_tract_id(text):
        raise ArgumentError(
            f"tract id {text!r}: use 1 to 64 of a-z, 0-9, '.', '_', '-', with a letter or digit at both ends, no device name"
        )
    return text


def derive_tract_id(name: str) -> str:
    """Returns the id of the tract that has this name: the name itself if it is an id, else its letters and digits and a
    digest, so that each name has its own. Errors: ArgumentError for an empty name, or one that can't be stored.
    """
    if type(name) is not str or not name or any(0xD800 <= ord(c) < 0xE000 for c in name):
        raise ArgumentError(f"tract name {name!r}: give a string that is not empty, without lone surrogates")
    if is_tract_id(name):
        return name
    kept = "".join(c if c in _TRACT_ENDS else "-" for c in name.lower())
    slug = "-".join(part for part in kept.split("-") if part)[:_SLUG_CHARS].strip("-")
    return f"{slug or 'tract'}-{hash_bytes(name.encode())[:_NAME_DIGITS]}"


@lru_cache(maxsize=1024)
def is_branch_name(name: str) -> bool:
    """Returns whether `name` is a branch or tag name by the rules of git-check-ref-format(1), at most 255 bytes."""
    if not name or len(name.encode("utf-8", "replace")) > 255 or name == "@" or name[0] == "-" or name[-1] in "/.":
        return False
    if any(ord(c) < 33 or c in "\x7f~^:?*[\\" or 0xD800 <= ord(c) < 0xE000 for c in name):
        return False
    if ".." in name or "@{" in name or "//" in name:
        return False
    return all(part and part[0] != "." and not part.endswith(".lock") for part in name.split("/"))


def require_branch_name(name: object) -> str:
    """Returns `name` if it is a valid branch name, else raises ArgumentError."""
    if type(name) is not str or not is_branch_name(name):
        raise ArgumentError(f"branch name {name!r}: not a valid name by git's rules (see git check-ref-format)")
    return name


def format_time(us: int) -> str:
    """Returns microseconds since 1970 as RFC 3339 in UTC with six decimals."""
    second, microsecond = divmod(us, 1_000_000)
    return f"{_format_second(second)}.{microsecond:06d}Z"


@lru_cache(maxsize=64)
def _format_second(second: int) -> str:
    return (_NAIVE_EPOCH + timedelta(seconds=second)).isoformat()


def iter_times(first_us: int) -> Iterator[str]:
    """Yields a time and each later microsecond in the form of `format_time`; cheaper for many times."""
    second, microsecond = divmod(first_us, 1_000_000)
    while True:
        prefix = _format_second(second)
        for fraction in range(microsecond, 1_000_000):
            yield f"{prefix}.{fraction:06d}Z"
        second, microsecond = second + 1, 0


def parse_time(text: str) -> int:
    """Returns the microseconds since 1970 of a time in the stored form; ValueError if it is not in that form."""
    if len(text) != 27 or text[19] != "." or text[26] != "Z" or not (text.isascii() and text[20:26].isdigit()):
        raise ValueError(f"not a time with six decimals in UTC: {text!r}")
    return _parse_second(text[:19]) + int(text[20:26])


@lru_cache(maxsize=64)
def _parse_second(text: str) -> int:
    if _match_second(text) is None:  # fromisoformat accepts weeks as well
        raise ValueError(f"not a time with six decimals in UTC: {text!r}")
    if not "1970" <= text[:4] < "9000":
        raise ValueError(f"time out of range: {text!r}")
    return to_us(datetime.fromisoformat(text))


def require_time(text: str) -> None:
    """Raises ValueError unless `text` is a time in the stored form; two such times compare as strings do."""
    parse_time(text)


def to_us(moment: datetime) -> int:
    """Returns the microseconds since 1970 of a datetime; a naive one is taken as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND


def to_datetime(us: int) -> datetime:
    """Returns an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=us)


def read_clock(clock: Clock) -> int:
    """Returns a clock's time in microseconds since 1970. Errors: ArgumentError if its time can't be stored."""
    now = clock()
    now_us = to_us(now) if isinstance(now, datetime) else now
    if type(now_us) is not int or now_us >= LAST_YEAR_US:
        raise ArgumentError(
            f"the clock returned {now!r}: give microseconds since 1970, or a datetime, before year 8999"
        )
    return now_us


def is_in_step(us: int, parent_us: int | None) -> bool:
    """Returns whether an event may have the time `us` after parents of which the latest has `parent_us`; None: no parents.

    In the format's last year, an event is at most a second later than its latest parent. FORMAT.md, section 6.
    """
    return us < LAST_YEAR_US or (us <= LAST_US and parent_us is not None and us - parent_us <= LONGEST_STEP_US)


def require_step(us: int, parent_us: int | None) -> None:
    """Raises TimeLimitReached unless `is_in_step`; for a writer, before it writes."""
    if not is_in_step(us, parent_us):
        raise TimeLimitReached(at=format_time(us))


def next_time(wall_us: int, newest_us: int) -> int:
    """Returns the hybrid logical clock's next reading: the wall clock, or just after the newest time seen."""
    return max(wall_us, newest_us + 1)
