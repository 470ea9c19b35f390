"""The commands that commit: `tract commit`, `edit` and `annotate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import click

from tract_fs import CommitInfo, Tract
from tract_fs.cli.contents import PAYLOAD_TYPES, build_content, to_plain
from tract_fs.cli.display import DIGITS, annotation_document, head_warnings, require_commit, show_warnings
from tract_fs.cli.invocation import Invocation, expected_of, warnings_of, with_store
from tract_fs.cli.output import inline, styled
from tract_fs.cli.values import parse_generation_config, parse_pairs, read_stdin, require_json, require_text
from tract_fs.errors import ContentRedacted, DamageError, EditTargetError


def _content_options(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(
        (
            click.option("-m", "--text", metavar="TEXT", help="The text [stdin, unchanged]."),
            click.option(
                "--role", type=click.Choice(["user", "assistant", "system"]), help="Who speaks in a dialogue."
            ),
            click.option("--type", "content_type", metavar="TYPE", help="Content type [dialogue]."),
            click.option("--field", "fields", multiple=True, metavar="KEY=VALUE", help="Another field of the content."),
            click.option("--json-content", metavar="OBJECT", help="The whole content as JSON; - reads it from stdin."),
            click.option(
                "--config", "pairs", multiple=True, metavar="KEY=VALUE", help="Generation config, key by key."
            ),
            click.option("--config-json", metavar="OBJECT", help="Generation config as a JSON object."),
            click.option("--message", metavar="TEXT", help="Commit message."),
            click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="Metadata of the commit."),
            click.option("--allow-empty", is_flag=True, help="Commit a text that is empty or only white space."),
            click.option(
                "--expected-head",
                metavar="HASH",
                help="Commit only if this is the head; 'none': only as the first commit.",
            ),
        )
    ):
        function = option(function)
    return function


@click.command(short_help="Commit content.")
@_content_options
@click.option("--edit", "target", metavar="TARGET", help="Commit an edit of TARGET, as 'tract edit' does.")
@click.option("-c", "--create", is_flag=True, help="Create the branch, and the tract if need be, without a history.")
@with_store
def commit(invocation: Invocation, target: str | None, **options: Any) -> None:
    """Commit content: a dialogue turn of the user, unless --role, --type or --json-content is given.

    TEXT is the main field of its type: text (dialogue, instruction, reasoning, output), content (artifact), or, as
    JSON, payload (tool_io, freeform) or message (message). VALUEs are JSON where they parse as JSON, else text.
    """
    _commit(invocation, target, **options)


@click.command(short_help="Replace the content of a commit.")
@click.argument("target")
@_content_options
@with_store
def edit(invocation: Invocation, target: str, **options: Any) -> None:
    """Commit content that replaces TARGET's content from here on.

    With only a text, all else stays as it is now: role, config, images, tool calls. An edit named as TARGET stands for
    the commit that it is about.
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
    allow_empty: bool,
    expected_head: str | None,
    create: bool = False,
) -> None:
    if json_content is not None and text is not None:
        raise click.UsageError("--json-content is a whole content: leave out -m")
    if create and target is not None:
        raise click.UsageError("--create is for a first commit, --edit for a later one")
    given: dict[str, Any] = {
        "message": message,
        "metadata": parse_pairs(metadata, "--metadata") or None,
        "generation_config": parse_generation_config(pairs, config_json),
    }
    if json_content == "-":
        json_content = read_stdin()
    elif json_content is None and text is None:
        text = read_stdin()
    if json_content is None and not allow_empty:
        require_text(text or "")
    is_text_alone = role is None and content_type is None and not fields and json_content is None
    if target is None or not is_text_alone:
        content = build_content(
            text or "", role=role, content_type=content_type, fields=fields, json_content=json_content
        )
    with invocation.writing(is_created=create) as t:
        given["expected_head"] = None if expected_head == "none" else expected_of(t, expected_head)
        if target is None:
            _answer_commit(invocation, t, t.commit(content, **given), [])
            return
        target = t.resolve(target)
        if role is not None and content_type is None and not fields:
            _require_no_more_than_text(t, target)
        if is_text_alone:
            info = t.get_commit(target)
            if info is not None and info.content_type in PAYLOAD_TYPES:
                require_json(text or "", "-m / --text")
        before = _pairing_warnings(t, target)
        try:
            made = t.edit(target, (text or "") if is_text_alone else content, **given)
        except EditTargetError as error:
            raise _named(t, target, error) from None
        _answer_commit(invocation, t, made, _new(_pairing_warnings(t, target), before))


def _require_no_more_than_text(t: Tract, target: str) -> None:
    """Raises EditTargetError for a message with images, tool calls or the like: a role and a text would drop them."""
    plain: dict[str, Any] = {}
    with suppress(ContentRedacted, DamageError):  # an edit is the way out of these
        plain = to_plain(t.get_content(target))
    message = plain.get("message") if plain.get("content_type") == "message" else None
    if message is not None and not (message.keys() <= {"role", "content"} and isinstance(message["content"], str)):
        raise EditTargetError(
            target=target,
            reason="--role would make a dialogue turn of this message, without its images, tool calls and other fields; "
            "give the whole content (--json-content)",
        )


def _named(t: Tract, target: str, error: EditTargetError) -> EditTargetError:
    """Returns the error with the hash of the commit that can be edited in the place of `target`, if there is one."""
    info = require_commit(t, target)
    if not info.targets or info.operation.value not in ("edit", "annotate"):
        return error
    about = info.targets[0][:DIGITS]
    message = f"{info.commit_hash[:DIGITS]} can't be edited: it is a commit of operation {info.operation.value} about {about}; edit that one: tract edit {about}"
    return EditTargetError(message, **error.fields)


def _answer_commit(invocation: Invocation, t: Tract, made: CommitInfo, warnings: list[str]) -> None:
    warnings = list(dict.fromkeys((*warnings, *head_warnings(t))))

    def show() -> None:
        about = f" of {made.targets[0][:DIGITS]}" if made.targets else ""
        click.echo(
            f"[{inline(t.branch)} {styled(made.commit_hash[:DIGITS], fg='yellow')}] "
            f"{made.operation.value}{about}: {inline(str(made.content_type))}, {made.token_count} tokens"
        )
        show_warnings(warnings)

    document = made.to_dict() | {"branch": t.branch, "warnings": warnings}
    invocation.answer(lambda: document, show, wrote=f"written as {made.commit_hash}")


@click.command(short_help="Skip or pin a commit.")
@click.argument("target")
@click.argument("priority", metavar="PRIORITY", type=click.Choice(["skip", "normal", "pinned"]))
@click.option("--reason", metavar="TEXT", help="Why.")
@click.option("--expected-head", metavar="HASH", help="Do it only if this is the head.")
@with_store
def annotate(invocation: Invocation, target: str, priority: str, reason: str | None, expected_head: str | None) -> None:
    """Set the PRIORITY of TARGET from here on: skip leaves it out of the context; normal and pinned bring it back."""
    with invocation.writing() as t:
        target = t.resolve(target)
        before = _pairing_warnings(t, target)
        made = t.annotate(target, priority, reason=reason, expected_head=expected_of(t, expected_head))
        warnings = list(dict.fromkeys((*_new(_pairing_warnings(t, target), before), *head_warnings(t))))

        def show() -> None:
            shown = styled(str(made.commit_hash)[:DIGITS], fg="yellow")
            click.echo(f"[{inline(t.branch)} {shown}] {made.target_hash[:DIGITS]} is now {priority}")
            show_warnings(warnings)

        document = annotation_document(made) | {"branch": t.branch, "warnings": warnings}
        invocation.answer(lambda: document, show, wrote=f"written as {made.commit_hash}")


def _pairing_warnings(t: Tract, target: str) -> list[str]:
    """Returns what a compile warns of, if the target is of a type that tool calls come in; else nothing, for nothing."""
    info = t.get_commit(target)
    return warnings_of(t) if info is not None and info.content_type in ("message", "tool_io") else []


def _new(after: Sequence[str], before: Sequence[str]) -> list[str]:
    known = set(before)
    return [warning for warning in after if warning not in known]


COMMANDS = (commit, edit, annotate)
