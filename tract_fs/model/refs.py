"""Refs: parses the text by which a user names a commit; work/reader resolves the names in it.

`name`, a branch or tag; a hash or a prefix of one; `@`, the head; each with any number of `~n` (n first parents back)
and `^n` (the nth parent) after it, and `tract:` before it. No branch, tag or tract id holds `~`, `^` or `:`, so that
every text has one reading.
"""

from __future__ import annotations

import re

from msgspec import Struct

from tract_fs.model.names import is_tract_id

HEAD = "@"
_STEPS_BACK_LIMIT = 10**9
_match_ref = re.compile(r"(?:([^:~^]*):)?([^:~^]+)((?:[~^][0-9]*)*)").fullmatch
_find_steps = re.compile(r"([~^])([0-9]*)").findall


class Ref(Struct, frozen=True):
    """A parsed ref; `tract` is None if it names none."""

    tract: str | None
    name: str
    steps: tuple[tuple[int, int], ...] = ()  # (which parent to follow, from 1; how often); (0, …) stays


def parse_ref(text: object) -> Ref | None:
    """Returns the parsed ref, or None if `text` is not a ref."""
    match = _match_ref(text) if isinstance(text, str) else None  # the name of a handle's branch, too
    if match is None:
        return None
    tract, name, tail = match.groups()
    if tract is not None and not is_tract_id(tract):
        return None
    steps = []
    for mark, digits in _find_steps(tail):
        if len(digits) > 10 or int(digits or 1) > _STEPS_BACK_LIMIT:
            return None
        count = int(digits or 1)
        steps.append((1, count) if mark == "~" else (count, 1))
    return Ref(tract, name, tuple(steps))
