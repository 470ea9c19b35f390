"""Units: the records of a session file, one a line, decoded one at a time whatever state the file is in.

Files that agents write are not clean: torn tails, two records in a line, NUL bytes, lone surrogates, integers beyond 64
bits. A record that can't be stored as it stands is repaired, and keeps its exact bytes beside it. Nothing here raises
for what a line holds.
"""

from __future__ import annotations

import json
import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, BinaryIO

from msgspec import Struct

from tract_fs.errors import JsonValueError
from tract_fs.model import canonical

LONGEST_TEXT = 8 * 1024 * 1024  # characters of one string; more is left out of a message, and kept beside it
_MOST_DEPTH = canonical.MAX_DEPTH - 10
_KEPT_BYTES = 64 * 1024 * 1024  # of a file whose records are decoded once and kept
_MAX_INT = 2**64 - 1
_MIN_INT = -(2**63)
_LONG_NUMBER = re.compile(rb"\d{19}")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACE = " \t\r\n\x00\ufeff"


class Flaw(Struct, frozen=True):
    """What was not right in a session file: where (a line from 1; 0: the file), what became of it, and the reason."""

    line: int
    outcome: str  # repaired; kept (as its bytes, or as a record that no model sees); noted
    reason: str


class Unit(Struct, frozen=True):
    """One record of a file: a line, or one of several in a line.

    `value` is its JSON, repaired where that was needed; None if it is not JSON. `raw` are its exact bytes, where `value`
    does not give them back, with the reason in `flaw`. `is_joined`: no newline is between it and the record before.
    """

    value: Any
    line: int
    raw: bytes | None = None
    flaw: str = ""
    is_joined: bool = False


class Units:
    """The records of a file in its order, by position from 0; a large file is read again instead of kept.

    States: the file is indexed at the start, `_starts`, `_sizes`, `_lines` and `_joined` having a number per record;
    `_kept` has the records of a file of up to 64 MB.
    """

    def __init__(self, stream: BinaryIO, *, is_growing: bool = False, most: int | None = None) -> None:
        """Reads a seekable stream of bytes, or the lines that begin it, until there are `most` records.

        Where the file `is_growing`, a last line without its end is left for later.
        """
        self._stream = stream
        self._starts, self._sizes, self._lines = array("Q"), array("Q"), array("Q")
        self._joined = bytearray()
        self._kept: list[Unit] | None = []
        self._flaws: list[Flaw] = []
        self._size_bytes = 0  # read
        self.has_rest = False  # a last line that waits for its end
        self.is_whole = True  # no line after those with `most` records was left out
        self._index(is_growing, most)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, position: int) -> Unit:
        if self._kept is not None:
            return self._kept[position]
        self._stream.seek(self._starts[position])
        data = self._stream.read(self._sizes[position])
        _, _, value, flaw = _decode(data)[0]
        raw = data if flaw else None
        return Unit(value, self._lines[position], raw, flaw, bool(self._joined[position]))

    def __iter__(self) -> Iterator[Unit]:
        return (self[position] for position in range(len(self)))

    def place_of(self, byte: int) -> int | None:
        """Returns how many records are before a byte of the file at which one begins or the file ends; None for another."""
        place = bisect_left(self._starts, byte)
        begins = place < len(self._starts) and self._starts[place] == byte
        return place if begins or byte == self._size_bytes else None

    def flaws(self) -> list[Flaw]:
        """Returns what was not right in the file, by line."""
        return list(self._flaws)

    def _index(self, is_growing: bool, most: int | None) -> None:
        start = 0
        self._stream.seek(0)
        for number, line in enumerate(self._stream, 1):
            if is_growing and not line.endswith(b"\n"):
                self.has_rest = True
                break
            for first, end, value, flaw in _decode(line):
                self._starts.append(start + first)
                self._sizes.append(end - first)
                self._lines.append(number)
                if flaw:
                    self._flaws.append(Flaw(number, "kept" if value is None else "repaired", flaw))
                self._joined.append(first > 0 and len(self._lines) > 1 and self._lines[-2] == number)
                if self._kept is not None:
                    raw = line[first:end] if flaw else None
                    self._kept.append(Unit(value, number, raw, flaw, bool(self._joined[-1])))
            start += len(line)
            self._size_bytes = start
            if start > _KEPT_BYTES:
                self._kept = None
            if most is not None and len(self._starts) >= most:
                self.is_whole = False
                break


def is_plain_json(unit: Unit) -> bool:
    """Returns whether a tool that reads a line at a time gets the record of a unit that has a line of its own."""
    if unit.raw is None:
        return True
    try:
        json.loads(unit.raw.decode("utf-8", "replace").strip().strip("\ufeff"))
    except (ValueError, RecursionError):
        return False
    return True


def repaired(value: Any) -> tuple[Any, str]:
    """Returns a decoded JSON value so that it can be stored, and what was changed, empty if nothing.

    A lone surrogate becomes U+FFFD, a number that no file can hold its text, a longer text than a message can hold its
    start.
    """
    reasons: list[str] = []
    return _repair(value, reasons), "; ".join(dict.fromkeys(reasons))


def decoded_whole(data: bytes) -> tuple[Any, bool]:
    """Returns the JSON value of a whole file, None if it is none, and whether that can be stored as it stands."""
    if canonical.is_deep(data, _MOST_DEPTH):
        return None, True
    try:
        value, is_clean = canonical.decode(data), len(data) <= LONGEST_TEXT
    except JsonValueError:
        value, is_clean = None, False
    if not is_clean or _LONG_NUMBER.search(data):
        try:
            text = data.decode("utf-8", "surrogateescape").strip(_SPACE)
            value, is_clean = json.loads(text, strict=False), False
        except (ValueError, RecursionError):
            return None, True
    return value, is_clean


def checked_unit(value: Any, place: str, *, is_clean: bool) -> Unit:
    """Returns a part of a whole file's JSON value as a unit; what it can't be stored as is in `raw`, as JSON."""
    if is_clean:
        return Unit(value, 0)
    kept, flaw = repaired(value)
    return Unit(kept, 0, json.dumps(value).encode(), f"{place}: {flaw}") if flaw else Unit(value, 0)


def _decode(line: bytes) -> list[tuple[int, int, Any, str]]:
    """Returns the records of a line: where each begins and ends in it, its value, and what is wrong with it."""
    data = line.rstrip(b"\r\n")
    if not data.strip():
        return []
    if canonical.is_deep(data, _MOST_DEPTH):
        return [(0, len(data), None, f"more than {_MOST_DEPTH} arrays and objects deep")]
    try:
        value = canonical.decode(data)
    except JsonValueError:
        return _decode_unclean(data)
    has_long = _LONG_NUMBER.search(data) is not None
    if has_long:  # maybe beyond 64 bits, which the decoder rounds
        value = json.loads(data)
    value, flaw = repaired(value) if has_long or len(data) > LONGEST_TEXT else (value, "")
    return [(0, len(data), value, flaw)]


def _decode_unclean(data: bytes) -> list[tuple[int, int, Any, str]]:
    """Returns the records of bytes that are not one record of JSON."""
    text = data.decode("utf-8", "surrogateescape")
    decoder = json.JSONDecoder(strict=False)
    found: list[tuple[int, int, Any, str]] = []
    place = start = 0  # in characters, in bytes
    while True:
        first = len(text) - len(text[place:].lstrip(_SPACE))
        if first == len(text):
            break
        try:
            value, end = decoder.raw_decode(text, first)
        except (ValueError, RecursionError):
            found.append((start, len(data), None, "not JSON" if found or first else "not JSON, or torn"))
            return found
        size = len(text[place:end].encode("utf-8", "surrogateescape"))
        found.append((start, start + size, *_checked(value, data[start : start + size])))
        place, start = end, start + size
    if not found:
        return [(0, len(data), None, "not JSON")]
    if start < len(data):  # what follows the last belongs to it
        begin, _, value, _ = found[-1]
        found[-1] = (begin, len(data), *_checked(value, data[begin:]))
    return found


def _checked(value: Any, data: bytes) -> tuple[Any, str]:
    """Returns a decoded value, repaired, and in what it differs from its bytes."""
    value, flaw = repaired(value)
    if not flaw:
        try:
            canonical.decode(data.strip())
        except JsonValueError:
            flaw = "NUL bytes, a byte order mark or another character that JSON does not allow"
    return value, flaw


def _repair(value: Any, reasons: list[str]) -> Any:
    if isinstance(value, str):
        if _LONE_SURROGATE.search(value):
            reasons.append("a lone surrogate or a byte that is not UTF-8, now U+FFFD")
            value = _LONE_SURROGATE.sub("\ufffd", value)
        if len(value) > LONGEST_TEXT:
            reasons.append(f"a text of {len(value):,} characters, of which {LONGEST_TEXT:,} are in the message")
            value = f"{value[:LONGEST_TEXT]}\n[{len(value) - LONGEST_TEXT:,} characters left out]"
        return value
    if isinstance(value, dict):
        return {_repair(key, reasons): _repair(item, reasons) for key, item in value.items()}
    if isinstance(value, list):
        return [_repair(item, reasons) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and not _MIN_INT <= value <= _MAX_INT:
        reasons.append("an integer beyond 64 bits, now its digits")
        return str(value)
    if isinstance(value, float) and not -float("inf") < value < float("inf"):
        reasons.append(f"{value}, which is no JSON number, now a text")
        return str(value)
    return value
