"""Transcripts: sessions and message lists, as agents and providers keep them, read into contents. Pure; one module per format."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import cast

from tract_fs.errors import ArgumentError, TranscriptFormatUnknown
from tract_fs.model.content import MessageContent
from tract_fs.transcripts import openai
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Format, Transcript

FORMATS = ("openai",)
_SESSION_FORMATS = {  # by name, the module of each; the first that matches a file reads it
    "jsonl": "jsonl",
}
SESSION_FORMATS = tuple(_SESSION_FORMATS)
LISTS = frozenset(["jsonl"])  # formats that are no program's sessions, but lists of messages


def require_format(format: str) -> None:
    """Raises ArgumentError for an unknown format."""
    if format not in FORMATS:
        raise ArgumentError(f"format {format!r}: use one of {', '.join(FORMATS)}")


def to_contents(messages: Sequence[object], format: str) -> list[MessageContent]:
    """Returns one content per message. Errors: ArgumentError, ContentValidationError."""
    require_format(format)
    return openai.to_contents(messages)


def format_of(name: str) -> Format:
    """Returns the module of a session format. Errors: ArgumentError."""
    if name not in _SESSION_FORMATS:
        raise ArgumentError(f"format {name!r}: use one of {', '.join(SESSION_FORMATS)}")
    return cast(Format, import_module(f"tract_fs.transcripts.{_SESSION_FORMATS[name]}"))


def format_for(source: Source) -> str:
    """Returns the name of the format of a file: the first that matches. Errors: TranscriptFormatUnknown."""
    for name in SESSION_FORMATS:
        if format_of(name).matches(source):
            return name
    raise TranscriptFormatUnknown(name=source.name, formats=SESSION_FORMATS, found=source.described())


def read_transcripts(source: Source, format: str | None = None) -> list[Transcript]:
    """Returns the sessions of a file, of a format or of the first that matches. Errors: ArgumentError, TranscriptFormatUnknown."""
    return format_of(format_for(source) if format is None else format).read(source)
