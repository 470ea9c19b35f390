"""Usage: the tokens of one provider call, read from what the providers' SDKs return.

Sources of the shapes: OpenAI API reference, "Create chat completion" and "Create a model response" (`usage`); Anthropic
API reference, "Messages" (`usage`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from tract_fs.errors import UsageError
from tract_fs.model import canonical

USAGE_LIMIT = 2**63


class TokenUsage(Struct, frozen=True):
    """The tokens of one provider call, as the provider reported them.

    `prompt_tokens` is the whole prompt, cached or not, of which `cache_read_tokens` came from the provider's cache and
    `cache_write_tokens` were written to it. `completion_tokens` contains `reasoning_tokens`.
    """

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

    @classmethod
    def from_any(cls, usage: object) -> TokenUsage:
        """Returns the usage of a TokenUsage, or of what OpenAI (chat completions, responses) or Anthropic returns: a
        dict, an object with `model_dump()`, or one with these attributes.

        Anthropic's `input_tokens` are those that were neither read from the cache nor written to it; they are added
        here. Errors: UsageError.
        """
        if isinstance(usage, TokenUsage):
            made = usage
        else:
            usage = canonical.dumped(usage)
            names = next((names for names in _SHAPES if _get(usage, names.prompt) is not None), None)
            if names is None or _get(usage, names.completion) is None:
                raise UsageError(
                    "unknown shape of usage: give a TokenUsage, or what a provider returns, with prompt_tokens and "
                    "completion_tokens (OpenAI) or input_tokens and output_tokens (OpenAI responses, Anthropic)"
                )
            made = _read(usage, names)
        counts = tuple(getattr(made, name) for name in cls.__struct_fields__)
        if any(type(count) is not int or not 0 <= count < USAGE_LIMIT for count in counts):
            raise UsageError(f"usage {counts}: token counts are integers from 0")
        return made


class _Names(Struct, frozen=True):
    """How one family of providers names the counts."""

    prompt: str
    completion: str
    prompt_details: str
    completion_details: str


_SHAPES = (
    _Names("prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details"),
    _Names("input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details"),
)


def _read(usage: object, names: _Names) -> TokenUsage:
    prompt, completion, total = (_get(usage, name) for name in (names.prompt, names.completion, "total_tokens"))
    cached = _get(_get(usage, names.prompt_details), "cached_tokens")
    read, written = _get(usage, "cache_read_input_tokens"), _get(usage, "cache_creation_input_tokens")
    if names.prompt == "input_tokens" and (read is not None or written is not None):
        prompt, total = _sum(prompt, read or 0, written or 0), None
    return TokenUsage(
        prompt,
        completion,
        _sum(prompt, completion) if total is None else total,
        (read if cached is None else cached) or 0,
        written or 0,
        _get(_get(usage, names.completion_details), "reasoning_tokens") or 0,
    )


def _get(value: object, name: str) -> Any:
    """Returns a field of a dict, or of an object of an SDK; None if there is none."""
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _sum(*counts: object) -> Any:
    """Returns the sum of counts; None, which no usage has, where one of them is no count."""
    return sum(counts) if all(type(count) is int for count in counts) else None
