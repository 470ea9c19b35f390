"""The commands of `tract`: each reads its options, makes one or a few calls of the facade, and answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC
from typing import Any

import click
from msgspec import to_builtins

from tract_fs import ANY, CommitInfo, CompiledContext, PriorityAnnotation, Tract, __version__
from tract_fs.cli.contents import build_content, retold, to_plain
from tract_fs.cli.demo import run_demo
from tract_fs.cli.display import (
    DIGITS,
    annotations_of,
    own_annotation,
    show_commit,
    show_commits,
    show_context,
    show_context_lines,
    show_status,
    show_totals,
    show_warnings,
)
from tract_fs.cli.invocation import InOrder, Invocation, warnings_of, with_store
from tract_fs.cli.output import json_text, styled
from tract_fs.cli.values import (
    json_or_text,
    parse_field,
    parse_generation_config,
    parse_moment,
    parse_pairs,
    read_stdin,
)
from tract_fs.errors import CommitNotFoundError, ContentRedacted, EditTargetError
from tract_fs.model.compiler import Orphans

_WORDS = {"eq": "=", "ne": "!=", "gt": ">", "lt": "<", "ge": ">=", "le": "<="}


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="tract")
@with_store
def tract(invocation: Invocation) -> None:
    """Version control for the context of an LLM agent, on plain files."""


@tract.command(short_help="Make a store.")
@click.argument("path", required=False)
@with_store
def init(invocation: Invocation, path: str | None) -> None:
    """Make a store in PATH, or in the current directory. One that is there stays as it is."""
    directory = os.path.abspath(path or invocation.context_path or os.getcwd())
    is_new = not os.path.exists(os.path.join(directory, ".tract", "FORMAT"))
    Tract.open(directory).close()
    invocation.answer(
        lambda: {"path": directory, "is_new": is_new},
        lambda: click.echo(f"{'made a store' if is_new else 'there is a store already'} in {directory}/.tract"),
    )


@tract.command("import", short_help="Commit the messages of a file.")
@click.argument("file")
@click.option("--format", "format_", type=click.Choice(["openai"]), default="openai", show_default=True)
@click.option(
    "--conversation", type=click.IntRange(min=1), metavar="N", help="The Nth conversation of the file, from 1."
)
@click.option(
    "--all", "is_all", is_flag=True, help="Each conversation into a tract of its own: the file's stem, -1, -2, …"
)
@click.option(
    "--config", "pairs", multiple=True, metavar="KEY=VALUE", help="Generation config where the file has none."
)
@click.option("--config-json", metavar="OBJECT", help="The same as a JSON object.")
@with_store
def import_(
    invocation: Invocation,
    *,
    file: str,
    format_: str,
    conversation: int | None,
    is_all: bool,
    pairs: tuple[str, ...],
    config_json: str | None,
) -> None:
    """Commit the messages of FILE (- is stdin), each whole: JSON or JSON lines.

    A file holds a list of messages, a request body, a record with such a list, or several of these. What a record
    says of its generation config (model, temperature, …) is kept; --config adds what it does not say. With --all,
    --tract gives another stem, and a conversation that its tract already holds is left alone.
    """
    from tract_fs.cli.importing import import_file

    imported = import_file(
        invocation, file, number=conversation, is_all=is_all, config=parse_generation_config(pairs, config_json)
    )

    def show() -> None:
        for one in imported:
            if one["is_new"]:
                told = f"imported {one['message_count']} messages into tract {one['tract_id']}, head {str(one['head'])[:DIGITS]}"
            else:
                told = f"tract {one['tract_id']} holds this conversation already"
            click.echo(told)

    invocation.answer(lambda: {"imported": imported}, show)


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


@tract.command(short_help="Commit a content.")
@_content_options
@click.option("--edit", "target", metavar="TARGET", help="Commit it as an edit of TARGET (as the command 'edit').")
@with_store
def commit(invocation: Invocation, target: str | None, **options: Any) -> None:
    """Commit a content: a dialogue turn of the user, unless --role, --type or --json-content say otherwise.

    TEXT is the main field of its type: text (dialogue, instruction, reasoning, output), content (artifact), or, as
    JSON, payload (tool_io, freeform) or message (message). VALUEs are JSON where they parse as JSON, else text.
    """
    _commit(invocation, target, **options)


@tract.command(short_help="Replace the content of a commit.")
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
            content = retold(_require_content(found, target), text or "")
        before = _pairing_warnings(found, target)
        made = found.edit(target, content, **given)
        _answer_commit(invocation, found, made, _new(_pairing_warnings(found, target), before))


def _require_content(found: Tract, target: str) -> object:
    """Returns the content of an edit's target. Errors: EditTargetError if it has none."""
    info = _require(found, target)
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


@tract.command(short_help="Skip or pin a commit.")
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

        invocation.answer(lambda: _annotation(made) | {"branch": found.branch, "warnings": warnings}, show)


@tract.command(short_help="List the newest commits.")
@click.option(
    "-n", "--limit", type=click.IntRange(0, 2**31 - 1), default=10, show_default=True, help="How many commits."
)
@click.option("--all", "is_all", is_flag=True, help="The whole history.")
@click.option("--operation", metavar="OP", help="Only this: append, edit, annotate, merge, summarize.")
@click.option("--type", "content_type", metavar="TYPE", help="Only contents of this type.")
@click.option("--since", metavar="TIME", help="Made then or later, ISO 8601; without an offset: UTC.")
@click.option("--until", metavar="TIME", help="Made then or before.")
@click.option("--tag", metavar="NAME", help="The history of this tag.")
@click.option("--text", metavar="TEXT", help="Only what says TEXT, in its message or its commit message.")
@with_store
def log(
    invocation: Invocation,
    *,
    limit: int,
    is_all: bool,
    operation: str | None,
    content_type: str | None,
    since: str | None,
    until: str | None,
    tag: str | None,
    text: str | None,
) -> None:
    """List the newest commits of the branch that match, newest first."""
    since_time = None if since is None else parse_moment(since, "--since")
    until_time = None if until is None else parse_moment(until, "--until")
    with invocation.reading() as found:
        invocation.require_history(found)
        infos = found.log(
            None if is_all else limit,
            operation=operation,
            content_type=content_type,
            since=since_time,
            until=until_time,
            tag=tag,
            text=text,
        )
        invocation.answer(lambda: [info.to_dict() for info in infos], lambda: show_commits(found, infos))


@tract.command(short_help="Show a commit.")
@click.argument("ref", required=False)
@with_store
def show(invocation: Invocation, ref: str | None) -> None:
    """Show the commit REF (a hash, 4 or more of its digits, a branch; the head if left out) with its content, config and annotations."""
    with invocation.reading() as found:
        if ref is None:
            if not invocation.require_history(found):
                raise CommitNotFoundError("no commits yet", hash=None)
            ref = found.head or ""
        else:
            invocation.require_tract(found)
        info = _require(found, ref)
        content, is_redacted = _content_or_redacted(found, info)
        annotations = annotations_of(found, info.commit_hash)
        edits = [e for e in found.log(None) if e.operation.value == "edit" and info.commit_hash in e.targets]
        own = own_annotation(found, info)
        invocation.answer(
            lambda: (
                info.to_dict()
                | {
                    "content": None if content is None else to_plain(content),
                    "is_redacted": is_redacted,
                    "annotation": None if own is None else _annotation(own),
                    "annotations": list(map(_annotation, annotations)),
                    "edits": [e.commit_hash for e in reversed(edits)],
                }
            ),
            lambda: show_commit(info, content, own=own, annotations=annotations, edits=edits),
        )


@tract.command("compile", short_help="Print the messages to send next.")
@click.option("--at-commit", metavar="REF", help="The history of this commit.")
@click.option("--at-time", metavar="TIME", help="What had been made by then, ISO 8601; without an offset: UTC.")
@click.option(
    "--orphans",
    type=click.Choice(["drop", "raise", "keep"]),
    default="drop",
    show_default=True,
    help="Tool calls and results that lost their other half.",
)
@click.option("--aggregate-same-role", is_flag=True, help="Join neighbours of one role.")
@click.option("--include-edit-annotations", is_flag=True, help="Mark edited messages with [edited].")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "oneline", "openai"]),
    default="text",
    show_default=True,
    help="openai: the JSON list of messages to send.",
)
@with_store
def compile_(
    invocation: Invocation,
    *,
    at_commit: str | None,
    at_time: str | None,
    orphans: Orphans,
    aggregate_same_role: bool,
    include_edit_annotations: bool,
    format_: str,
) -> None:
    """Print the messages to send next. Warnings go to stderr."""
    if at_commit is not None and at_time is not None:
        raise click.UsageError("give --at-commit or --at-time, not both")
    moment = None if at_time is None else parse_moment(at_time, "--at-time")
    with invocation.reading() as found:
        if at_commit is not None:
            invocation.require_tract(found)
            at_commit = found.resolve(at_commit)
        else:
            invocation.require_history(found)
        context = found.compile(
            at_time=moment,
            at_commit=at_commit,
            include_edit_annotations=include_edit_annotations,
            aggregate_same_role=aggregate_same_role,
            orphans=orphans,
        )

        def show() -> None:
            if format_ == "openai":
                click.echo((json_text(context.to_openai()) + "\n").encode(), nl=False)
            elif format_ == "oneline":
                show_context_lines(context)
            else:
                show_context(context)
            if format_ != "openai":
                show_totals(context)
            show_warnings(context.warnings)

        invocation.answer(lambda: _context(found, context, is_openai=format_ == "openai"), show)


@tract.command(context_settings={"ignore_unknown_options": True}, short_help="Find commits by generation config.")
@click.argument("field")
@click.argument("operator", metavar="OP", type=click.Choice([*_WORDS.values(), *_WORDS]))
@click.argument("value")
@click.option("--nested", "is_nested", is_flag=True, help="FIELD is a path of keys and indexes with dots.")
@with_store
def query(invocation: Invocation, field: str, operator: str, value: str, is_nested: bool) -> None:
    """List the commits whose generation config matches, whatever branch they are on.

    \b
    tract query model = gpt-4o
    tract query temperature '<=' 0.5        (or: tract query temperature le 0.5)
    tract query --nested response_format.type = json_object
    tract query '["stop", 0]' = END

    FIELD is one key of the config, with --nested a path, or a JSON array of keys and indexes. OP is one of = != > <
    >= <=, or a word for it: eq ne gt lt ge le; quote < and >, which are the shell's own. VALUE is JSON where it parses
    as JSON, else text: 1 is a number, '"1"' a string.
    """
    path = parse_field(field, is_nested=is_nested)
    with invocation.reading() as found:
        invocation.require_tract(found)
        infos = found.query_by_config(path, _WORDS.get(operator, operator), json_or_text(value))
        invocation.answer(
            lambda: [info.to_dict() for info in infos],
            lambda: show_commits(found, infos, is_config_shown=True),
        )


@tract.command(short_help="Show the state of the tract.")
@with_store
def status(invocation: Invocation) -> None:
    """Show the state of the tract in this copy, and what to do about what is not as it should be."""
    with invocation.reading() as found:
        if invocation.tract_id is not None:
            invocation.require_tract(found)
        state = found.status()
        path = os.path.abspath(invocation.require_context())
        tracts = Tract.tracts(path)
        fields = {name: getattr(state, name) for name in state.__struct_fields__}
        document = {
            "path": path,
            "tracts": tracts,
            **{name: to_builtins(value) for name, value in fields.items()},
        }

        def show() -> None:
            show_status(state, path, tracts)
            show_warnings([*state.warnings, *state.advice])

        invocation.answer(lambda: document, show)


@tract.command(short_help="Run the main job on a bundled transcript.")
@click.argument("path", required=False)
@with_store
def demo(invocation: Invocation, path: str | None) -> None:
    """Run the main job on a bundled transcript: import, edit, skip, compile, query, and look at the files.

    The store is made in PATH, which must not hold one yet; without PATH it is thrown away at the end.
    """
    run_demo(invocation, path)


# refs, annotations, warnings


def _require(found: Tract, ref: str) -> CommitInfo:
    name = found.resolve(ref)
    info = found.get_commit(name)
    if info is None:
        raise CommitNotFoundError(hash=name, where=f"tract {found.tract_id!r}")
    return info


def _content_or_redacted(found: Tract, info: CommitInfo) -> tuple[object, bool]:
    """Returns a commit's content, None where there is none, and whether it was redacted."""
    if info.content_type is None:
        return None, False
    try:
        return found.get_content(info.commit_hash), False
    except ContentRedacted:
        return None, True


def _annotation(made: PriorityAnnotation) -> dict[str, object]:
    return {
        "commit_hash": made.commit_hash,
        "tract_id": made.tract_id,
        "target_hash": made.target_hash,
        "priority": made.priority.value,
        "reason": made.reason,
        "created_at": made.created_at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
    }


def _pairing_warnings(found: Tract, target: str) -> list[str]:
    """Returns what a compile warns of, if the target is of a type that tool calls come in; else nothing, for nothing."""
    info = found.get_commit(target)
    return warnings_of(found) if info is not None and info.content_type in ("message", "tool_io") else []


def _new(after: Sequence[str], before: Sequence[str]) -> list[str]:
    known = set(before)
    return [warning for warning in after if warning not in known]


def _context(found: Tract, context: CompiledContext, *, is_openai: bool) -> dict[str, object]:
    return {
        "tract_id": found.tract_id,
        "branch": found.branch,
        "messages": context.to_openai() if is_openai else [message.to_dict() for message in context.messages],
        "message_commits": [list(message.commit_hashes) for message in context.messages],
        "generation_configs": context.generation_configs,
        "commit_hashes": context.commit_hashes,
        "token_count": context.token_count,
        "token_source": context.token_source,
        "commit_count": context.commit_count,
        "warnings": context.warnings,
    }
