"""Damage: what happened to bytes that do not hash to their name, and the right bytes if they can be recovered.

Canonical JSON has no line breaks, no NUL bytes and no text outside its one value, so what was done to it often shows.
Format: FORMAT.md, sections 3 and 8.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tract_fs.model.names import hash_bytes

LINE_ENDS = "line ends rewritten"
CONFLICT_MARKERS = "git conflict markers"
TORN = "torn copy"
ZEROED = "zeroed blocks"
ALTERED = "altered"
NO_FILE = "no regular file"
TOO_LARGE = "too large for a file of a store"
UNREADABLE = "it can't be read"


def unreadable(reason: str | None) -> str:
    """Returns the cause of damage for a file that the system can't read."""
    return f"{UNREADABLE}: {reason}"


# A string, or one that the end cuts off; it matches at every quote that opens one, so that the search is linear.
_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*("|\\?\Z)'
_MARKERS = (b"<<<<<<< ", b"=======", b">>>>>>> ")


class Diagnosis(NamedTuple):
    """What happened; `repaired` are the right bytes, None if they can't be recovered."""

    cause: str
    repaired: bytes | None = None


def diagnose(data: bytes, name: str) -> Diagnosis:
    """Returns what happened to the bytes of a file that should hash to `name` and do not."""
    for candidate in with_line_ends_undone(data):
        if hash_bytes(candidate) == name:
            return Diagnosis(LINE_ENDS, candidate)
    if not data:
        return Diagnosis(TORN)
    if b"\0" in data:
        return Diagnosis(ZEROED)
    if _has_conflict_markers(data):
        return Diagnosis(CONFLICT_MARKERS)
    last_line = data[data.rstrip(b"\n").rfind(b"\n") + 1 :]
    return Diagnosis(TORN if _ends_early(last_line) else ALTERED)


def with_line_ends_undone(data: bytes) -> list[bytes]:
    """Returns what the bytes may have been before a tool rewrote line ends or added one at the end."""
    plain = data.replace(b"\r\n", b"\n")
    candidates = (plain, plain.rstrip(b"\n"), plain.rstrip(b"\n") + b"\n")
    return [candidate for candidate in candidates if candidate != data]


def _has_conflict_markers(data: bytes) -> bool:
    lines = data.split(b"\n")
    return all(any(line.startswith(marker) for line in lines) for marker in _MARKERS)


def _ends_early(line: bytes) -> bool:
    """Returns whether a JSON object stops before its end: a string or a bracket is still open."""
    if not line.startswith(b"{"):
        return False
    bare = re.sub(_STRING, lambda found: b"" if found[1] == b'"' else b'"', line, flags=re.DOTALL)
    return b'"' in bare or bare.count(b"{") + bare.count(b"[") > bare.count(b"}") + bare.count(b"]")
