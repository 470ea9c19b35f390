"""The lines of a unified diff as people read them: in colour, with what differs within a line set off, or side by side."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from unicodedata import combining, east_asian_width

from tract_fs.cli.output import styled

_GAP = 3  # characters between the columns: a space, a mark, a space
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")


def coloured(lines: Sequence[str]) -> Iterator[str]:
    """Yields the printable lines of a unified diff in the colour of what happened to each."""
    for removed, added in _runs(lines):
        if removed is added:
            yield from (styled(line, fg="cyan") if line.startswith("@") else line for line in removed)
            continue
        ends = [_shared(old[1:], new[1:]) for old, new in zip(removed, added, strict=False)]
        for run, colour in ((removed, "red"), (added, "green")):
            yield from (
                _set_off(line, end, colour) for line, end in zip_longest(run, ends[: len(run)], fillvalue=None) if line
            )


def side_by_side(lines: Sequence[str]) -> Iterator[str]:
    """Yields the printable lines of a unified diff in two columns, as wide as the terminal; long lines go on below."""
    width = max(8, (shutil.get_terminal_size((120, 24)).columns - _GAP) // 2)
    for removed, added in _runs(lines):
        if removed is added and removed[0].startswith("@"):
            yield styled(removed[0], fg="cyan")
            continue
        for old, new in zip_longest(removed, added):
            mark = " " if removed is added else "<" if new is None else ">" if old is None else "|"
            left, right = (_cells("" if line is None else line[1:].expandtabs(4), width) for line in (old, new))
            for n, (one, other) in enumerate(zip_longest(left, right, fillvalue="")):
                padding = " " * (width - _width(one))
                first = styled(one, fg="red") if one and mark != " " else one
                second = styled(other, fg="green") if other and mark != " " else other
                yield f"{first}{padding} {mark if n == 0 else ' '} {second}".rstrip()


def _runs(lines: Sequence[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Yields what was removed with what was added in its place; a line of both, or of the diff itself, as one list twice."""
    removed: list[str] = []
    added: list[str] = []
    for line in lines:
        if line.startswith("-") and not added:
            removed.append(line)
        elif line.startswith("+"):
            added.append(line)
        else:
            if removed or added:
                yield removed, added
            removed, added = ([line], []) if line.startswith("-") else ([], [])
            if not removed:
                both = [line]
                yield both, both
    if removed or added:
        yield removed, added


def _shared(old: str, new: str) -> tuple[int, int]:
    """Returns how many characters of whole words two lines share at their start and at their end."""
    words, others = _WORDS.findall(old), _WORDS.findall(new)
    least = min(len(words), len(others))
    start = next((n for n in range(least) if words[n] != others[n]), least)
    end = next((n for n in range(least - start) if words[-1 - n] != others[-1 - n]), least - start)
    return len("".join(words[:start])), len("".join(words[len(words) - end :]))


def _set_off(line: str, shared: tuple[int, int] | None, colour: str) -> str:
    """Returns a line with what lies between its shared ends in bold; the whole in one colour where it shares nothing."""
    start, end = shared or (0, 0)
    if not (start or end) or start + end >= len(line) - 1:
        return styled(line, fg=colour)
    start, end = 1 + start, len(line) - end
    parts = (
        styled(line[:start], fg=colour),
        styled(line[start:end], fg=colour, bold=True),
        styled(line[end:], fg=colour),
    )
    return "".join(part for part in parts if part)


def _cells(line: str, width: int) -> list[str]:
    """Returns a line in parts of at most `width` columns of a terminal."""
    parts = [""]
    used = 0
    for char in line:
        size = _width(char)
        if used + size > width:
            parts.append("")
            used = 0
        parts[-1] += char
        used += size
    return parts


def _width(text: str) -> int:
    """Returns how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)
