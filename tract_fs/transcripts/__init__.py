"""Transcripts: sessions and message lists, as agents and providers keep them, read into contents. Pure.

Every format uses these: source (a file and what lies beside it), units (its records, repaired), transcript (what a reader
returns), rest (what gives a record back). A reader is made of: fields (in model/), measures, blocks; linear, for records
that follow one another; document, for one JSON value; message_lists, for what providers send and return; graph_file, for
records that name their parents. conversations and added are for messages that are no session.

To add a format:

- Write a module with NAME, `matches` and `read` (`transcript.Format` has these, and what it may have besides).
- Name it in `_SESSION_FORMATS`: the first that matches a file reads it, so one that is easily mistaken comes late.
- Give it a sample in tests/lab/samples.py, which the conformance suite runs, and a line in tests/house/test_layering.py.
- Where its program keeps its files is in capture/discover, and in guide/transcripts.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import cast

from tract_fs.errors import ArgumentError, TranscriptFormatUnknown
from tract_fs.model.content import MessageContent
from tract_fs.model.shapes import Shape
from tract_fs.transcripts import conversations
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Format, Transcript

FORMATS = ("openai",)  # of lists of messages that are no session; see conversations
_SESSION_FORMATS = {  # by name, the module of each; the first that matches a file reads it
    "qwen": "qwen",
    "claude-code": "claude_code",
    "codex": "codex",
    "opencode": "opencode",
    "pi": "pi",
    "gemini-cli": "gemini_cli",
    "gemini-cli-json": "gemini_cli_json",
    "copilot": "copilot",
    "goose": "goose",
    "crush": "crush",
    "cline": "cline",
    "atif": "atif",
    "amp": "amp",
    "kiro": "kiro",
    "kimi": "kimi",
    "vibe": "vibe",
    "grok": "grok",
    "openhands": "openhands",
    "otel": "otel",
    "inspect": "inspect",
    "anthropic": "anthropic",
    "openai-responses": "openai_responses",
    "openai-chat": "openai_chat",
    "jsonl": "jsonl",
}
SESSION_FORMATS = tuple(_SESSION_FORMATS)
REQUESTS: dict[str, Shape] = {  # formats that a request's body is of, and the provider of each
    "anthropic": "anthropic",
    "openai-chat": "openai",
    "openai-responses": "openai-responses",
}
RESUMED_FORMATS = ("claude-code", "codex", "opencode", *REQUESTS)  # that a program or a provider can go on from
LISTS = frozenset(["anthropic", "openai-chat", "jsonl"])  # that are no program's sessions, but lists of messages


def require_format(format: str) -> None:
    """Raises ArgumentError for an unknown format."""
    if format not in FORMATS:
        raise ArgumentError(f"format {format!r}: use one of {', '.join(FORMATS)}")


def to_contents(messages: Sequence[object], format: str) -> list[MessageContent]:
    """Returns one content per message. Errors: ArgumentError, ContentValidationError."""
    require_format(format)
    return conversations.to_contents(messages)


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


def is_list(source: Source) -> bool:
    """Returns whether a file is a list of messages, as an import of conversations takes it, and no program's session.

    Errors: TranscriptFormatUnknown.
    """
    if format_for(source) not in LISTS:
        return False
    try:  # one response is neither
        return not isinstance(source.document, dict) or bool(conversations.find_conversations(source.document))
    except ArgumentError:
        return False


def read_transcripts(source: Source, format: str | None = None) -> list[Transcript]:
    """Returns the sessions of a file, of a format or of the first that matches. Errors: ArgumentError, TranscriptFormatUnknown."""
    found = format_of(format_for(source) if format is None else format).read(source)
    for transcript in found:
        transcript.flaws += source.flaws
    return found
