"""Imports files of conversations: decodes them, commits each message whole, one transaction per conversation but for a very long one."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, NamedTuple

import click

from tract_fs import ANY, MessageContent, Tract
from tract_fs.cli.invocation import CommandError, Invocation, Stopped
from tract_fs.cli.values import read_document, tract_id_of
from tract_fs.errors import ArgumentError, ContentValidationError, ImportInterrupted
from tract_fs.transcripts import to_contents
from tract_fs.transcripts.conversations import Conversation, find_conversations

_LONG_IMPORT_MESSAGES = 200
_STREAMED_MESSAGES = 10_000  # one conversation of so many is imported in several transactions
_DIGEST_DIGITS = 8
_POSITION = re.compile(r"^messages\[(\d+)\]")
_Advance = Callable[[int], object]


class _Stop(Exception):
    """Ctrl-C or SIGTERM, between two messages."""


class _Flow(NamedTuple):
    """How an import goes: it counts messages with `advance`, and ends between two of them once `is_stopped`."""

    advance: _Advance
    is_stopped: Callable[[], bool]

    def iter(self, contents: Iterable[MessageContent]) -> Iterator[MessageContent]:
        """Yields the contents. Errors: _Stop."""
        for content in contents:
            if self.is_stopped():
                raise _Stop
            yield content


def import_file(
    invocation: Invocation,
    file: str,
    *,
    number: int | None,
    is_all: bool,
    config: dict[str, Any] | None,
    first: int | None,
    is_created: bool,
) -> list[dict[str, Any]]:
    """Imports one conversation of a file, or all; returns what became of each. `first` is the message to begin at, from 1.

    What is wrong with the file or the tracts shows before anything is written; an import of all that is broken off goes on when run again.
    Errors: click.UsageError, ArgumentError, ContentValidationError, CommandError, Stopped, OSError.
    """
    if is_all and (number is not None or first is not None or is_created):
        raise click.UsageError("--all excludes --conversation, --from and --create")
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
        chosen = {
            f"{stem}-{n:0{digits}}-{_digest(conversation)}": conversation
            for n, conversation in enumerate(conversations, 1)
        }
    contents = {tract_id: to_contents(conversation.messages, "openai") for tract_id, conversation in chosen.items()}
    is_held = _held(invocation, contents) if is_all else dict.fromkeys(contents, False)
    count = sum(len(contents[tract_id]) for tract_id, held in is_held.items() if not held)
    done: list[dict[str, Any]] = []
    with _progress(count, is_hidden=invocation.is_json) as advance, stopping() as is_stopped:
        for tract_id, conversation in chosen.items():
            try:
                done.append(
                    _import(
                        invocation,
                        tract_id,
                        contents[tract_id],
                        config={**(config or {}), **(conversation.generation_config or {})} or None,
                        is_held=is_held[tract_id],
                        first=None if is_all else first or 1,
                        is_created=is_all or is_created,
                        flow=_Flow(advance, is_stopped),
                    )
                )
            except _Stop:
                stand = f"{len(done):,} of {len(chosen):,} conversations are committed; run the same command again to continue"
                raise Stopped(f"stopped: {stand}" if is_all else "stopped: nothing was written") from None
    return done


def _digest(conversation: Conversation) -> str:
    """Returns what distinguishes the tract of a conversation from that of another one with the same name, which another machine imports."""
    return sha256(json.dumps(conversation.messages, sort_keys=True).encode()).hexdigest()[:_DIGEST_DIGITS]


def _choose(conversations: Sequence[Conversation], number: int | None, file: str) -> Conversation:
    count = len(conversations)
    if number is None and count > 1:
        raise click.UsageError(
            f"{file} contains {count} conversations: give --conversation N, from 1 to {count}, or --all"
        )
    if number is not None and number > count:
        raise click.UsageError(f"{file} contains no conversation {number}, only {count}")
    return conversations[(number or 1) - 1]


def _held(invocation: Invocation, contents: dict[str, list[MessageContent]]) -> dict[str, bool]:
    """Returns for each tract id whether its tract already contains the conversation. Errors: CommandError if a tract holds anything else."""
    there = set(Tract.tracts(invocation.require_context()))
    result = {}
    for tract_id, wanted in contents.items():
        result[tract_id] = False
        if tract_id not in there:
            continue
        with invocation.writing(tract_id=tract_id, needs_branch=False) as t:
            if t.head is None:
                continue
            if t.compile().to_openai(as_committed=True) != [content.message for content in wanted]:
                raise CommandError(
                    f"tract {tract_id!r} contains other commits already; choose another stem with --tract; nothing was written"
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
    first: int | None,
    is_created: bool,
    flow: _Flow,
) -> dict[str, Any]:
    """Imports one conversation; without `first`, whole and into an empty branch only."""
    skipped = 0 if first is None else first - 1
    if skipped and skipped >= len(contents):
        raise click.UsageError(f"the conversation has {len(contents):,} messages: --from {first:,} is past its end")
    contents = contents[skipped:]
    is_new = is_created and first is not None
    with invocation.writing(tract_id=tract_id, is_created=is_new, needs_branch=first is not None) as t:
        made: list[str] = []
        if first is not None and len(contents) >= _STREAMED_MESSAGES:
            made = _import_streamed(t, contents, config, skipped, flow)
        elif not is_held:
            made = _import_at_once(t, contents, config, first, flow)
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
    t: Tract, contents: Sequence[MessageContent], config: dict[str, Any] | None, first: int | None, flow: _Flow
) -> list[str]:
    """Commits contents in one transaction; without `first`, on an empty branch only. Errors: CommandError, _Stop."""
    made = []
    with t.batch():
        for number, content in enumerate(flow.iter(contents), first or 1):
            expected = None if first is None and number == 1 else ANY
            try:
                made.append(t.commit(content, generation_config=config, expected_head=expected).commit_hash)
            except ContentValidationError as error:
                raise CommandError(f"message {number} of the conversation: {error}") from None
            flow.advance(1)
    return made


def _import_streamed(
    t: Tract, contents: Sequence[MessageContent], config: dict[str, Any] | None, skipped: int, flow: _Flow
) -> list[str]:
    """Commits very many contents in as many transactions as it takes; `skipped` stand already. Errors: CommandError, Stopped."""
    done = 0

    def advance_to(count: int) -> None:
        nonlocal done
        flow.advance(count - done)
        done = count

    messages = (content.message for content in flow.iter(contents))
    try:
        t.import_stream(messages, generation_config=config, progress=advance_to)
    except ImportInterrupted as error:
        raise _interrupted(error, skipped, skipped + len(contents)) from None
    return [info.commit_hash for info in t.log(len(contents))][::-1]


def _interrupted(error: ImportInterrupted, skipped: int, total: int) -> CommandError:
    """Returns what stopped a streamed import, how much of it stands, and how to go on."""
    cause = error.__cause__
    standing = skipped + error.position
    fields = {"position": standing, "total": total, "head": error.head}
    stand = f"{standing:,} of {total:,} messages are committed" + (
        "" if error.head is None else f", up to {error.head}"
    )
    go_on = f"continue with --from {standing + 1}"
    if isinstance(cause, _Stop):
        return Stopped(f"stopped: {stand}; {go_on}", **fields)
    reason = error.reason
    if isinstance(cause, ContentValidationError):
        number = skipped + int(_POSITION.findall(cause.field)[0]) + 1
        fault = ContentValidationError(
            content_type=cause.content_type, field=_POSITION.sub("message", cause.field, 1), reason=cause.reason
        )
        reason = f"message {number} of the conversation: {fault}"
    return CommandError(f"{reason}; {stand}; {go_on} once that is corrected", **fields)


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Yields a function that returns whether Ctrl-C or SIGTERM has come; a second one ends the command at once."""
    came: list[int] = []

    def note(number: int, _frame: object) -> None:
        came.append(number)
        if len(came) > 1:
            raise KeyboardInterrupt

    def is_stopped() -> bool:
        return bool(came)

    before: dict[signal.Signals, Any] = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                before[number] = signal.signal(number, note)
        yield is_stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
