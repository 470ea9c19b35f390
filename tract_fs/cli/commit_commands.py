"""The commands that commit: `tract commit`, `edit` and `annotate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from tract_fs import ANY, CommitInfo, Tract
from tract_fs.cli.contents import build_content, with_text
from tract_fs.cli.display import DIGITS, annotation_document, require_commit, show_warnings
from tract_fs.cli.invocation import Invocation, warnings_of, with_store
from tract_fs.cli.output import styled
from tract_fs.cli.values import parse_generation_config, parse_pairs, read_stdin
from tract_fs.errors import EditTargetError


def _content_options(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(
        (
            click.option("-m", "--text", metavar="TEXT", help="What is said [stdin, as it is]."),
            click.option("--role", type=click.Choice(["user", "assistant", "system"]), help="Speaker of a dialogue."),
            click.option("--type", "content_type", metavar="TYPE", help="Content type [dialogue]."),
            click.option("--field", "fields", multiple=True, metavar="KEY=VALUE", help="Another field of the content."),
            click.option("--json-content", metavar="OBJECT", help="The whole content as JSON; - reads it from stdin."),
            click.option(
                "--config", "pairs", multiple=True, metavar="KEY=VALUE", help="Generation config, key by key."
            ),
            click.option("--config-json", metavar="OBJECT", help="Generation config as a JSON object."),
            click.option("--message", metavar="TEXT", help="Commit message."),
            click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="Metadata of the commit."),
            click.option(
                "--expected-head", metavar="HASH", help="Only if this is the head; 'none': only the first commit."
            ),
        )
    ):
        function = option(function)
    return function


@click.command(short_help="Commit a content.")
@_content_options
@click.option("--edit", "target", metavar="TARGET", help="Commit it as an edit of TARGET (as the command 'edit').")
@with_store
def commit(invocation: Invocation, target: str | None, **options: Any) -> None:
    """Commit a content: a dialogue turn of the user, unless --role, --type or --json-content say otherwise.

    TEXT is the main field of its type: text (dialogue, instruction, reasoning, output), content (artifact), or, as
    JSON, payload (tool_io, freeform) or message (message). VALUEs are JSON where they parse as JSON, else text.
    """
    _commit(invocation, target, **options)


@click.command(short_help="Replace the content of a commit.")
@click.argument("target")
@_content_options
@with_store
def edit(invocation: Invocation, target: str, **options: Any) -> None:
    """Commit a content that stands in TARGET's place from here on.

    With a text alone, all else of TARGET's content stays as it was first committed.
    """
    _commit(invocation, target, **options)


def _commit(
    invocation: Invocation,
    target: str | None,
    *,
    text: str | None,
    role: str | None,
    content_type: str | None,
    fields: tuple[str, ...],
    json_content: str | None,
    pairs: tuple[str, ...],
    config_json: str | None,
    message: str | None,
    metadata: tuple[str, ...],
    expected_head: str | None,
) -> None:
    if json_content is not None and text is not None:
        raise click.UsageError("--json-content is a whole content: leave out -m")
    given: dict[str, Any] = {
        "message": message,
        "metadata": parse_pairs(metadata, "--metadata") or None,
        "generation_config": parse_generation_config(pairs, config_json),
        "expected_head": ANY if expected_head is None else None if expected_head == "none" else expected_head,
    }
    if json_content == "-":
        json_content = read_stdin()
    elif json_content is None and text is None:
        text = read_stdin()
    is_text_alone = role is None and content_type is None and not fields and json_content is None
    if target is None or not is_text_alone:
        content = build_content(
            text or "", role=role, content_type=content_type, fields=fields, json_content=json_content
        )
    with invocation.writing() as found:
        if target is None:
            _answer_commit(invocation, found, found.commit(content, **given), [])
            return
        target = found.resolve(target)
        if is_text_alone:
            content = with_text(_require_content(found, target), text or "")
        before = _pairing_warnings(found, target)
        made = found.edit(target, content, **given)
        _answer_commit(invocation, found, made, _new(_pairing_warnings(found, target), before))


def _require_content(found: Tract, target: str) -> object:
    """Returns the content of an edit's target. Errors: EditTargetError if it has none."""
    info = require_commit(found, target)
    if info.content_type is None:
        reason = f"it is of operation {info.operation.value}; edit the commit that it is about"
        raise EditTargetError(target=info.commit_hash, reason=reason)
    return found.get_content(info.commit_hash)


def _answer_commit(invocation: Invocation, found: Tract, made: CommitInfo, warnings: list[str]) -> None:
    def show() -> None:
        about = f" of {made.targets[0][:DIGITS]}" if made.targets else ""
        click.echo(
            f"[{found.branch} {styled(made.commit_hash[:DIGITS], fg='yellow')}] "
            f"{made.operation.value}{about}: {made.content_type}, {made.token_count} tokens"
        )
        show_warnings(warnings)

    invocation.answer(lambda: made.to_dict() | {"branch": found.branch, "warnings": warnings}, show)


@click.command(short_help="Skip or pin a commit.")
@click.argument("target")
@click.argument("priority", metavar="PRIORITY", type=click.Choice(["skip", "normal", "pinned"]))
@click.option("--reason", metavar="TEXT", help="Why.")
@click.option("--expected-head", metavar="HASH", help="Only if this is the head.")
@with_store
def annotate(invocation: Invocation, target: str, priority: str, reason: str | None, expected_head: str | None) -> None:
    """Set the PRIORITY of TARGET from here on: skip leaves it out of the context; normal and pinned bring it back."""
    with invocation.writing() as found:
        target = found.resolve(target)
        before = _pairing_warnings(found, target)
        made = found.annotate(
            target, priority, reason=reason, expected_head=ANY if expected_head is None else expected_head
        )
        warnings = _new(_pairing_warnings(found, target), before)

        def show() -> None:
            shown = styled(str(made.commit_hash)[:DIGITS], fg="yellow")
            click.echo(f"[{found.branch} {shown}] {made.target_hash[:DIGITS]} is now {priority}")
            show_warnings(warnings)

        invocation.answer(lambda: annotation_document(made) | {"branch": found.branch, "warnings": warnings}, show)


def _pairing_warnings(found: Tract, target: str) -> list[str]:
    """Returns what a compile warns of, if the target is of a type that tool calls come in; else nothing, for nothing."""
    info = found.get_commit(target)
    return warnings_of(found) if info is not None and info.content_type in ("message", "tool_io") else []


def _new(after: Sequence[str], before: Sequence[str]) -> list[str]:
    known = set(before)
    return [warning for warning in after if warning not in known]


COMMANDS = (commit, edit, annotate)
