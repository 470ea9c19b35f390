"""Full-text search, as far as it is pure: the searchable text of a content, where a phrase is in it, snippets, ranks.

A phrase is found wherever it stands in a text, inside words too, whatever the case: both are composed (NFC) and
case-folded (Unicode, full folding), and nothing else is changed. So it works alike for every script, and no character
of a phrase has a meaning of its own.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from itertools import accumulate
from operator import truediv
from typing import Any

from msgspec import Struct

from tract_fs.errors import JsonValueError
from tract_fs.model import canonical
from tract_fs.model.content import BUILTIN_TYPES, ContentTypes, FreeformContent, MessageContent, ToolIOContent
from tract_fs.model.messages import iter_texts, render
from tract_fs.model.names import format_time, to_us
from tract_fs.model.tokens import iter_strings

_ESCAPED = re.compile(r'["\\\x00-\x1f]')  # characters that JSON writes with a backslash
_LEAST_RUN = 64  # characters, of at least one byte more than an ASCII character's
_LONG_RUN = re.compile(rf"([^\w\x00-\x7f]{{{_LEAST_RUN},}})")
_BEFORE = 30  # characters of a snippet before the first match
_AFTER = 90  # after its end
_MOST_OF_MATCH = 200  # characters of one match that a snippet shows
# Of BM25: how fast more matches in one text count less, and how much a long text counts less than a short one.
_SATURATION = 1.2
_LENGTH_WEIGHT = 0.75


class LazyFact:
    """Whether something holds, None: unknown, which `find` looks up at the first call; without it that is `known`.

    All are equal: they take no part in a comparison.
    """

    __slots__ = ("_find", "_known")

    def __init__(self, find: Callable[[], bool | None] | None, known: bool | None = None) -> None:
        self._find = find
        self._known = known

    def __call__(self) -> bool | None:
        if self._find is not None:
            self._known = self._find()
            self._find = None
        return self._known

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LazyFact)

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return f"LazyFact(known={self._known})"

    def __reduce__(self) -> tuple[object, ...]:
        return LazyFact, (None, self())


class SearchHit(Struct, frozen=True, kw_only=True):
    """A commit whose text contains the phrase."""

    tract_id: str
    commit_hash: str
    content_type: str
    role: str  # of the message; empty where it makes none
    created_at: datetime  # aware, UTC
    snippet: str  # the text around the first match, composed (NFC); it may hold control characters
    spans: tuple[tuple[int, int], ...]  # the matches in `snippet`: start and end, in characters
    rank: float  # BM25; more is better
    _is_shown: LazyFact

    @property
    def is_shown(self) -> bool | None:
        """Whether the context of the branch shows this text: of the branch that was asked for, else of the handle's, or of
        `main` in a search of all tracts. An edited, skipped or summarized text is not shown. None: it is unknown, because a custom
        compiler decides what shows, or a file of the history is missing.

        It is looked up at the first use, in the head of that moment. Cost: then compiles that head, unless it is in memory.
        """
        return self._is_shown()

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields as JSON values (fresh)."""
        return {
            "tract_id": self.tract_id,
            "commit_hash": self.commit_hash,
            "content_type": self.content_type,
            "role": self.role,
            "created_at": format_time(to_us(self.created_at)),
            "snippet": self.snippet,
            "spans": [list(span) for span in self.spans],
            "rank": self.rank,
            "is_shown": self.is_shown,
        }


class SearchFilter(Struct, frozen=True):
    """What to search for, and in which commits; None: no condition."""

    phrase: str  # folded
    content_type: str | None = None
    role: str | None = None
    since_us: int | None = None
    until_us: int | None = None
    shown: bool | None = None  # whether the context shows the text
    limit: int | None = None

    def accepts(self, content_type: str, role: str, created_us: int) -> bool:
        """Returns whether a commit is of the type, the role and the time that are wanted."""
        return (
            (self.content_type is None or content_type == self.content_type)
            and (self.role is None or role == self.role)
            and (self.since_us is None or created_us >= self.since_us)
            and (self.until_us is None or created_us <= self.until_us)
        )


class _NoCounter:
    """Counts nothing: a search has no use for tokens."""

    name = "none"

    def count_text(self, _: str, /) -> int:
        return 0

    def count_media(self, *_: object) -> int:
        return 0


_TYPES = ContentTypes()
_COUNTER = _NoCounter()


def searchable(data: bytes, content_type: str) -> tuple[str, str]:
    """Returns role and text of a content's bytes: the text that its message shows, or all strings of a message of blocks
    or tool calls. What stands there as JSON, with escapes, follows once more without them.

    A custom type has the text that it was stored with, whatever is registered here. Errors: JsonValueError.
    """
    read = _TYPES.read(data, content_type)
    shown = None if content_type in BUILTIN_TYPES else read.shown
    rendering = render(read.content, content_type, _TYPES, _COUNTER, shown=shown)
    return rendering.role, composed("\n".join([*iter_texts(rendering), *_iter_unescaped(read.content)]))


def _iter_unescaped(content: object) -> Iterator[str]:
    """Yields the strings that stand in a text with escapes: those of JSON payloads, and of the arguments of tool calls."""
    values: list[object] = []
    if isinstance(content, MessageContent):
        if content.message.keys() - {"role", "content"}:
            calls = {key: value for key, value in content.message.items() if key not in ("role", "content")}
            values += (_decoded(text) for text in iter_strings(calls) if text.startswith("{"))
    elif isinstance(content, ToolIOContent | FreeformContent) and not isinstance(content.payload, str):
        values.append(content.payload)
    for value in values:
        yield from filter(_ESCAPED.search, iter_strings(value))


def _decoded(text: str) -> object:
    """Returns the JSON value that a text is, or None."""
    data = text.encode()
    with suppress(JsonValueError):
        return None if canonical.is_deep(data) else canonical.decode(data)
    return None


def composed(text: str) -> str:
    """Returns a text with each accent as a part of its letter (NFC): an é is one character, however it was typed.

    A run of 64 marks or symbols stays as it is: to put marks in order takes the square of their number.
    """
    if text.isascii():
        return text
    if len(text.encode()) - len(text) < _LEAST_RUN:
        return unicodedata.normalize("NFC", text)
    parts = _LONG_RUN.split(text)
    parts[::2] = [unicodedata.normalize("NFC", part) for part in parts[::2]]
    return "".join(parts)


def folded(text: str) -> str:
    """Returns a composed text as searches compare it: without case."""
    return text.casefold()


class Ranking:
    """BM25 of texts for one phrase. The order needs their densities alone, which are cheap: more is better."""

    def __init__(self, *, mean_size: float, texts: int, found: int) -> None:
        """`texts` are all, in bytes `mean_size` each; `found` of them have the phrase."""
        self._weight = math.log(1 + (texts - found + 0.5) / (found + 0.5)) * (_SATURATION + 1)
        self._slope = _SATURATION * _LENGTH_WEIGHT / (mean_size or 1.0)
        self.shift = _SATURATION * (1 - _LENGTH_WEIGHT) / self._slope

    def densities(self, counts: Iterable[int], shifted: Iterable[float]) -> Iterator[float]:
        """Yields the density of each text, of its count of matches and its size in bytes plus `shift`; 0 where it has none."""
        return map(truediv, counts, shifted)

    def rank(self, density: float) -> float:
        """Returns the BM25 of a text."""
        return self._weight * density / (density + self._slope)


def snippet_of(text: str, phrase: str) -> tuple[str, tuple[tuple[int, int], ...]] | None:
    """Returns the text around the first match of a case-folded phrase, and the matches in it; None if there is none."""
    folded = text.casefold()
    first = folded.find(phrase)
    if first < 0:
        return None
    start, end = _in_text(text, folded, first, first + len(phrase))
    begin = max(0, start - _BEFORE)
    stop = min(len(text), min(end, start + _MOST_OF_MATCH) + _AFTER)
    snippet = text[begin:stop]
    spans = tuple(_iter_spans(snippet, phrase)) if stop >= end else ()
    return snippet, spans or ((start - begin, min(end, stop) - begin),)


def _iter_spans(text: str, phrase: str) -> Iterator[tuple[int, int]]:
    folded = text.casefold()
    at, last = folded.find(phrase), 0
    while at >= 0:
        start, end = _in_text(text, folded, at, at + len(phrase))
        if start >= last:  # one character that folds to several may hold two matches
            yield start, end
            last = end
        at = folded.find(phrase, at + len(phrase))


def _in_text(text: str, folded: str, start: int, end: int) -> tuple[int, int]:
    """Returns the span of `text` whose folding contains a span of `folded`. A character may fold to several."""
    if len(text) == len(folded):
        return start, end
    ends = list(accumulate(len(character.casefold()) for character in text))
    first = next(index for index, stop in enumerate(ends) if stop > start)
    return first, next(index for index, stop in enumerate(ends) if stop >= end) + 1
