"""Transcripts: converts lists of messages, as agents and providers keep them, to contents. Pure; one module per format."""

from __future__ import annotations

from collections.abc import Sequence

from tract_fs.errors import ArgumentError
from tract_fs.model.content import MessageContent
from tract_fs.transcripts import openai

FORMATS = ("openai",)


def require_format(format: str) -> None:
    """Raises ArgumentError for an unknown format."""
    if format not in FORMATS:
        raise ArgumentError(f"format {format!r}: use one of {', '.join(FORMATS)}")


def to_contents(messages: Sequence[object], format: str) -> list[MessageContent]:
    """Returns one content per message. Errors: ArgumentError, ContentValidationError."""
    require_format(format)
    return openai.to_contents(messages)
