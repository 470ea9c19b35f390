"""Imports files of conversations: decodes them, commits each message whole, one transaction per conversation but for a very long one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from tract_fs import ANY, MessageContent, Tract
from tract_fs.cli.invocation import CommandError, Invocation
from tract_fs.cli.values import read_document, tract_id_of
from tract_fs.errors import ArgumentError, ContentValidationError
from tract_fs.transcripts import to_contents
from tract_fs.transcripts.openai import Conversation, find_conversations

_LONG_IMPORT_MESSAGES = 200
_STREAMED_MESSAGES = 10_000  # one conversation of so many is imported in several transactions
_Advance = Callable[[int], object]


def import_file(
    invocation: Invocation, file: str, *, number: int | None, is_all: bool, config: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """Imports one conversation of a file, or all; returns what became of each.

    What is wrong with the file or the tracts shows before anything is written; an import of all that is broken off goes on when run again.
    Errors: click.UsageError, ArgumentError, ContentValidationError, CommandError, OSError.
    """
    if number is not None and is_all:
        raise click.UsageError("give --conversation or --all, not both")
    document = read_document(file)
    try:
        conversations = find_conversations(document)
    except ArgumentError as error:
        raise CommandError(f"{file}: {error}") from None
    if not is_all:
        chosen = {invocation.tract_id or "default": _choose(conversations, number, file)}
    else:
        stem = invocation.tract_id or tract_id_of(file)
        digits = len(str(len(conversations)))
        chosen = {f"{stem}-{n:0{digits}}": conversation for n, conversation in enumerate(conversations, 1)}
    contents = {tract_id: to_contents(conversation.messages, "openai") for tract_id, conversation in chosen.items()}
    is_held = _held(invocation, contents) if is_all else dict.fromkeys(contents, False)
    count = sum(len(contents[tract_id]) for tract_id, held in is_held.items() if not held)
    with _progress(count, is_hidden=invocation.is_json) as advance:
        return [
            _import(
                invocation,
                tract_id,
                contents[tract_id],
                config={**(config or {}), **(conversation.generation_config or {})} or None,
                is_held=is_held[tract_id],
                is_alone=not is_all,
                advance=advance,
            )
            for tract_id, conversation in chosen.items()
        ]


def _choose(conversations: Sequence[Conversation], number: int | None, file: str) -> Conversation:
    count = len(conversations)
    if number is None and count > 1:
        raise click.UsageError(
            f"{file} holds {count} conversations: give --conversation N, from 1 to {count}, or --all"
        )
    if number is not None and number > count:
        raise click.UsageError(f"{file} holds no conversation {number}, only {count}")
    return conversations[(number or 1) - 1]


def _held(invocation: Invocation, contents: dict[str, list[MessageContent]]) -> dict[str, bool]:
    """Returns for each tract id whether its tract already contains the conversation. Errors: CommandError if a tract holds anything else."""
    there = set(Tract.tracts(invocation.require_context()))
    result = {}
    for tract_id, wanted in contents.items():
        result[tract_id] = False
        if tract_id not in there:
            continue
        with invocation.writing(tract_id=tract_id) as t:
            if t.head is None:
                continue
            if t.compile().to_openai(as_committed=True) != [content.message for content in wanted]:
                raise CommandError(
                    f"tract {tract_id!r} holds other commits already; choose another stem with --tract; nothing was written"
                )
            result[tract_id] = True
    return result


def _import(
    invocation: Invocation,
    tract_id: str,
    contents: Sequence[MessageContent],
    *,
    config: dict[str, Any] | None,
    is_held: bool,
    is_alone: bool,
    advance: _Advance,
) -> dict[str, Any]:
    with invocation.writing(tract_id=tract_id) as t:
        made: list[str] = []
        if is_alone and len(contents) >= _STREAMED_MESSAGES:
            made = _import_streamed(t, contents, config, advance)
        elif not is_held:
            made = _import_at_once(t, contents, config, is_first=not is_alone, advance=advance)
        return {
            "tract_id": tract_id,
            "branch": t.branch,
            "is_new": not is_held,
            "message_count": len(contents),
            "head": t.head,
            "generation_config": None if is_held else config,
            "commit_hashes": made,
        }


def _import_at_once(
    t: Tract,
    contents: Sequence[MessageContent],
    config: dict[str, Any] | None,
    *,
    is_first: bool,
    advance: _Advance,
) -> list[str]:
    """Commits contents in one transaction; with `is_first`, on an empty branch only."""
    made = []
    with t.batch():
        for position, content in enumerate(contents):
            expected = None if is_first and position == 0 else ANY
            try:
                made.append(t.commit(content, generation_config=config, expected_head=expected).commit_hash)
            except ContentValidationError as error:
                raise CommandError(f"message {position + 1} of the conversation: {error}") from None
            advance(1)
    return made


def _import_streamed(
    t: Tract, contents: Sequence[MessageContent], config: dict[str, Any] | None, advance: _Advance
) -> list[str]:
    """Commits very many contents in as many transactions as it takes."""
    done = 0

    def advance_to(count: int) -> None:
        nonlocal done
        advance(count - done)
        done = count

    t.import_stream((content.message for content in contents), generation_config=config, progress=advance_to)
    return [info.commit_hash for info in t.log(len(contents))][::-1]


@contextmanager
def _progress(count: int, *, is_hidden: bool) -> Iterator[_Advance]:
    """Yields a function that counts imported messages; for long imports it moves a progress bar on stderr, if that is a terminal."""
    if is_hidden or count < _LONG_IMPORT_MESSAGES or not sys.stderr.isatty():
        yield lambda done: None
        return
    steps = max(1, count // 100)
    with click.progressbar(
        length=count, label="importing", show_pos=True, file=sys.stderr, update_min_steps=steps
    ) as bar:
        yield bar.update
