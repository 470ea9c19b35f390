"""Token counting: the protocol of a counter, the offline estimate, and the rule per message.

A message costs 3, plus the tokens of each string value in it at any depth, plus 1 for a name; a context costs 3 more
for the reply. Source: OpenAI cookbook, "How to count tokens with tiktoken". The base64 of media is no text: see
model/media. A count that contains media is recorded by another name, so that equal names still mean equal counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from tract_fs.errors import ArgumentError, TokenizerError, TractError
from tract_fs.model.media import Media, MediaCounter, MediaEstimate, gather

PER_MESSAGE = 3
PER_NAME = 1
PER_REPLY = 3
MOST_TOKENS = 2**53  # of a message: a double holds every count up to here
_MOST_TOKENS_OF_TEXT = 2**40
_T = TypeVar("_T")


class TokenCounter(Protocol):
    """Anything that counts the tokens of a text; equal names must mean equal counts."""

    @property
    def name(self) -> str: ...

    def count_text(self, text: str, /) -> int: ...


class EstimateCounter:
    """One token per four bytes of UTF-8, rounded up: offline, with no vocabulary."""

    name = "estimate:utf8/4"

    def count_text(self, text: str, /) -> int:
        """Returns the estimated number of tokens of `text`."""
        return ((len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))) + 3) // 4


class VocabularyCounter:
    """Exact counts with a vocabulary of the `toktok-rs` wheel (extra `tokens`): `o200k_base` or `cl100k_base`."""

    def __init__(self, encoding: str = "o200k_base") -> None:
        try:
            from toktok import batch_count
        except ImportError:
            raise ArgumentError("exact token counts need the extra: pip install 'tract-fs[tokens]'") from None
        if encoding not in ("o200k_base", "cl100k_base"):
            raise ArgumentError(f"encoding {encoding!r}: use o200k_base or cl100k_base")
        self.name = encoding
        self._batch_count = batch_count

    def count_text(self, text: str, /) -> int:
        """Returns the number of tokens of `text`; special tokens are counted as plain text."""
        return int(self._batch_count([text], self.name)[0])


def iter_strings(value: object) -> Iterator[str]:
    """Yields every string value of a JSON value, at any depth, but no keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from iter_strings(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from iter_strings(item)


class WithMedia:
    """A counter of texts, with the counter that its messages' media go to in place of the estimate."""

    def __init__(self, texts: TokenCounter, media: MediaCounter) -> None:
        self.name = texts.name
        self.texts = texts
        self.media = media

    def count_text(self, text: str, /) -> int:
        """Returns the number of tokens of `text`."""
        return self.texts.count_text(text)


def source_name(counter: TokenCounter, *, has_media: bool) -> str:
    """Returns the name that a count is recorded by: the counter's, with that of the media's counter if these count."""
    return f"{counter.name}+{_media_counter(counter).name}" if has_media else counter.name


def cache_name(counter: TokenCounter) -> str:
    """Returns the name of all that a count depends on."""
    return source_name(counter, has_media=isinstance(counter, WithMedia))


def recorded_tokens(counter: TokenCounter, recorded: Mapping[str, int]) -> tuple[int | None, bool]:
    """Returns the count that was recorded of a message by this counter (None: none was), and whether it is of media too.

    What was counted before media had a rule stays as it was recorded.
    """
    tokens = recorded.get(counter.name)
    if tokens is not None or not recorded:
        return tokens, False
    tokens = recorded.get(source_name(counter, has_media=True))
    return tokens, tokens is not None


def count_json_message(counter: TokenCounter, message: Mapping[str, Any]) -> tuple[int, bool]:
    """Returns the tokens of one provider message, and whether it holds media. Errors: as `count_message`."""
    strings: list[str] = []
    media: list[Media] = []
    for value in message.values():
        if type(value) is str:
            strings.append(value)
        elif value is not None:
            gather(value, strings, media)
    return count_message(counter, strings, has_name=type(message.get("name")) is str, media=media), bool(media)


def count_message(counter: TokenCounter, strings: list[str], *, has_name: bool, media: Sequence[Media] = ()) -> int:
    """Returns the tokens of one message with these string values and media.

    Errors: TokenizerError if a counter raises, or does not return a count.
    """
    tokens = PER_MESSAGE + (PER_NAME if has_name else 0) + _total(counter.count_text, strings, counter)
    if media:
        rule = _media_counter(counter)
        tokens += _total(rule.count_media, media, rule)
    if tokens > MOST_TOKENS:
        raise TokenizerError.of(counter.name, f"it counted {tokens} tokens in one message")
    return tokens


def _media_counter(counter: TokenCounter) -> MediaCounter:
    return counter.media if isinstance(counter, WithMedia) else _MEDIA_ESTIMATE


_MEDIA_ESTIMATE = MediaEstimate()


def _total(count_one: Callable[[_T], int], items: Sequence[_T], counter: TokenCounter | MediaCounter) -> int:
    tokens = 0
    try:
        for item in items:
            count = count_one(item)
            if type(count) is not int or not 0 <= count < _MOST_TOKENS_OF_TEXT:
                raise TokenizerError.of(counter.name, f"it counted {count!r} tokens, and a count is an integer from 0")
            tokens += count
    except (TractError, MemoryError, RecursionError):
        raise
    except Exception as error:
        if isinstance(counter.texts if isinstance(counter, WithMedia) else counter, _RAISE_NOTHING):
            raise  # a signal handler did
        raise TokenizerError.of(counter.name, f"{type(error).__name__}: {error}") from error
    return tokens


_RAISE_NOTHING = (EstimateCounter, VocabularyCounter, MediaEstimate)
