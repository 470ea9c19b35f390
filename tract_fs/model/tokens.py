"""Token counting: the protocol of a counter, the offline estimate, and the rule per message.

A message costs 3, plus the tokens of each string value in it at any depth, plus 1 for a name; a context costs 3 more
for the reply. Source: OpenAI cookbook, "How to count tokens with tiktoken".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from tract_fs.errors import ArgumentError, TokenizerError, TractError

PER_MESSAGE = 3
PER_NAME = 1
PER_REPLY = 3
MOST_TOKENS = 2**53  # of a message: a double holds every count up to here
_MOST_TOKENS_OF_TEXT = 2**40


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


def count_json_message(counter: TokenCounter, message: dict[str, Any]) -> int:
    """Returns the tokens of one provider message. Errors: as `count_message`."""
    strings: list[str] = []
    for value in message.values():
        if type(value) is str:
            strings.append(value)
        elif value is not None:
            strings += iter_strings(value)
    return count_message(counter, strings, has_name=type(message.get("name")) is str)


def count_message(counter: TokenCounter, strings: list[str], *, has_name: bool) -> int:
    """Returns the tokens of one message with these string values.

    Errors: TokenizerError if the counter raises, or does not return a count.
    """
    tokens = PER_MESSAGE + (PER_NAME if has_name else 0)
    try:
        for text in strings:
            count = counter.count_text(text)
            if type(count) is not int or not 0 <= count < _MOST_TOKENS_OF_TEXT:
                raise TokenizerError.of(counter.name, f"it counted {count!r} tokens, and a count is an integer from 0")
            tokens += count
    except (TractError, MemoryError, RecursionError):
        raise
    except Exception as error:
        if isinstance(counter, (EstimateCounter, VocabularyCounter)):
            raise  # these raise nothing: a signal handler did
        raise TokenizerError.of(counter.name, f"{type(error).__name__}: {error}") from error
    if tokens > MOST_TOKENS:
        raise TokenizerError.of(counter.name, f"it counted {tokens} tokens in one message")
    return tokens
