"""The commands that read a history: `tract log`, `show`, `compile` and `usage`."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import click
from msgspec import structs

from tract_fs import CommitInfo, CompiledContext, PriorityAnnotation, TokenUsage, Tract
from tract_fs.cli.contents import to_plain
from tract_fs.cli.display import (
    DIGITS,
    annotation_document,
    annotations_of,
    head_warnings,
    own_annotation,
    require_commit,
    show_commit,
    show_commits,
    show_context,
    show_context_lines,
    show_totals,
    show_warnings,
)
from tract_fs.cli.invocation import Invocation, with_store
from tract_fs.cli.output import Column, echo_table, json_text, one_line, styled
from tract_fs.cli.values import Count, parse_moment
from tract_fs.errors import CommitNotFoundError, ContentRedacted
from tract_fs.model.shapes import SHAPES

if TYPE_CHECKING:
    from tract_fs.model.compiler import Orphans
    from tract_fs.model.providers.export import Document
    from tract_fs.work.usage import TractUsageKey


@click.command(short_help="List the newest commits.")
@click.argument("ref", required=False, metavar="[REF | A..B]")
@click.option(
    "-n", "--limit", type=Count(), metavar="N", default=10, show_default=True, help="How many commits; -N for short."
)
@click.option("--all", "is_all", is_flag=True, help="The whole history; with --graph, of all branches.")
@click.option("--operation", metavar="OP", help="Only this operation: append, edit, annotate, merge or summarize.")
@click.option("--type", "content_type", metavar="TYPE", help="Only contents of this type.")
@click.option(
    "--since", metavar="TIME", help="Only commits made at this time or later (ISO 8601; UTC if it has no offset)."
)
@click.option("--until", metavar="TIME", help="Only commits made at this time or before.")
@click.option("--tag", metavar="NAME", help="List the history of this tag.")
@click.option("--text", metavar="TEXT", help="Only commits whose content or commit message contains TEXT.")
@click.option(
    "--oneline", "is_oneline", is_flag=True, help="Short hashes, with branches and tags beside their commits."
)
@click.option("--graph", "is_graph", is_flag=True, help="Draw how branches and heads parted and merged.")
@click.option("--all-branches", "is_all_branches", is_flag=True, help="With --graph: all branches, not this one alone.")
@click.option("--stat", "is_stat", is_flag=True, help="Show how many bytes each content has beside its tokens.")
@click.option("-p", "--patch", "is_patch", is_flag=True, help="Show what each commit changed in the context.")
@click.option("--reverse", "is_reversed", is_flag=True, help="Show the oldest of them first.")
@with_store
def log(
    invocation: Invocation,
    *,
    ref: str | None,
    limit: int,
    is_all: bool,
    operation: str | None,
    content_type: str | None,
    since: str | None,
    until: str | None,
    tag: str | None,
    text: str | None,
    is_oneline: bool,
    is_graph: bool,
    is_all_branches: bool,
    is_stat: bool,
    is_patch: bool,
    is_reversed: bool,
) -> None:
    """List the newest commits of the branch that match, newest first; with REF, those of its history; with A..B, those that B has
    and A has not.

    \b
    tract log -3 -p                the last three, and what each changed
    tract log main..side           what side has beyond main
    """
    since_time = None if since is None else parse_moment(since, "--since")
    until_time = None if until is None else parse_moment(until, "--until")
    filters = (operation, content_type, since, until, tag, text)
    most = None if is_all else limit
    after, start = _range(ref)
    if is_all_branches and not is_graph:
        raise click.UsageError("--all-branches goes with --graph")
    if is_graph and (after or is_patch or is_reversed or any(given is not None for given in filters)):
        raise click.UsageError("--graph draws whole histories: leave out the filters, A..B, --patch and --reverse")
    if ref is not None and tag is not None:
        raise click.UsageError("give REF or --tag, not both: each names a history")
    with invocation.reading() as t, ExitStack() as held:
        is_here = True
        if start is None:
            is_here = invocation.require_history(t)
        else:
            invocation.require_tract(t)
        if is_graph:
            from tract_fs.cli.log_lines import graph_document, read_graph, show_graph

            is_every = is_all_branches or (is_all and start is None and invocation.branch is None)
            graph = read_graph(t, start=start, is_all_branches=is_every)
            invocation.answer(
                lambda: graph_document(graph, most),
                lambda: show_graph(t, graph, most, is_oneline=is_oneline, is_stat=is_stat),
            )
            invocation.warn_if_incomplete(t)
            return
        history = t if start is None else held.enter_context(t.at(start))
        is_selected = is_here and (ref is not None or any(given is not None for given in filters))
        infos = history.log(
            most if most is None else most + 1,
            operation=operation,
            content_type=content_type,
            since=since_time,
            until=until_time,
            tag=tag,
            text=text,
            after=None if after is None else t.resolve(after),
        )
        is_more = most is not None and len(infos) > most
        infos = infos[:most]
        if is_reversed:
            infos.reverse()

        def show() -> None:
            if is_patch:
                from tract_fs.cli.log_lines import show_patches

                show_patches(t, infos)
            elif is_oneline and infos:
                from tract_fs.cli.log_lines import show_lines

                show_lines(t, infos, is_stat=is_stat)
            else:
                show_commits(t, infos, is_selected=is_selected, is_size_shown=is_stat)
            if is_more and sys.stdout.isatty():
                click.echo(styled(f"the newest {most}; -n N lists more, --all lists all", dim=True))

        invocation.answer(lambda: [_listed(t, info, is_patch=is_patch) for info in infos], show)
        invocation.warn_if_incomplete(t)
        if tag is None and start is None:
            show_warnings(head_warnings(t))


def _range(ref: str | None) -> tuple[str | None, str | None]:
    """Returns the commit whose history to leave out and the one whose history to list; None: none, and the head.

    Errors: click.UsageError.
    """
    if ref is None or ".." not in ref:
        return None, ref
    a, b = ref.split("..", 1)
    if b.startswith("."):
        raise click.UsageError(
            f"{ref}: write A..B for what B has and A has not; 'tract diff A B' compares their contexts"
        )
    return a or "@", b or None


def _listed(t: Tract, info: CommitInfo, *, is_patch: bool) -> dict[str, object]:
    return info.to_dict() | ({"diff": t.diff(None, info.commit_hash).to_dict()} if is_patch else {})


@click.command(short_help="Show a commit.")
@click.argument("refs", nargs=-1, metavar="[REF]...")
@with_store
def show(invocation: Invocation, refs: tuple[str, ...]) -> None:
    """Show the commit REF (a hash, 4 or more of its digits, a branch; the head if left out) with its content, config and annotations.

    With several REFs, --json prints a list.
    """
    with invocation.reading() as t:
        if not refs:
            if not invocation.require_history(t, is_said=False):
                raise CommitNotFoundError("no commits yet", hash=None)
            refs = (t.head or "",)
        else:
            invocation.require_tract(t)
        found = [_Shown.of(t, require_commit(t, ref)) for ref in refs]

        def show_all() -> None:
            for number, one in enumerate(found):
                if number:
                    click.echo()
                show_commit(one.info, one.content, own=one.own, annotations=one.annotations, edits=one.edits)

        documents = [one.to_dict() for one in found]
        invocation.answer(lambda: documents[0] if len(documents) == 1 else documents, show_all)


class _Shown(NamedTuple):
    """A commit with what is known of it."""

    info: CommitInfo
    content: object
    is_redacted: bool
    own: PriorityAnnotation | None
    annotations: list[PriorityAnnotation]
    edits: list[CommitInfo]  # newest first

    @classmethod
    def of(cls, t: Tract, info: CommitInfo) -> _Shown:
        content, is_redacted = _content_or_redacted(t, info)
        annotations = annotations_of(t, info.commit_hash)
        edits = [e for e in t.log(None) if e.operation.value == "edit" and info.commit_hash in e.targets]
        return cls(info, content, is_redacted, own_annotation(t, info), annotations, edits)

    def to_dict(self) -> dict[str, object]:
        return self.info.to_dict() | {
            "content": None if self.content is None else to_plain(self.content),
            "is_redacted": self.is_redacted,
            "annotation": None if self.own is None else annotation_document(self.own),
            "annotations": list(map(annotation_document, self.annotations)),
            "edits": [e.commit_hash for e in reversed(self.edits)],
        }


@click.command("compile", short_help="Print the messages to send next.")
@click.option("--at-commit", metavar="REF", help="Compile the history of this commit.")
@click.option(
    "--at-time",
    metavar="TIME",
    help="Compile what had been committed by this time (ISO 8601; UTC if it has no offset).",
)
@click.option(
    "--orphans",
    type=click.Choice(["drop", "raise", "keep"]),
    default="drop",
    show_default=True,
    help="What happens to a tool call or result without its other half.",
)
@click.option("--aggregate-same-role", is_flag=True, help="Join neighbouring messages of one role.")
@click.option(
    "--max-tokens",
    type=Count(1),
    metavar="N",
    help="Shorten large tool payloads, then leave out old messages, until the rest fits in N tokens.",
)
@click.option("--include-edit-annotations", is_flag=True, help="Mark edited messages with [edited].")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "oneline", *SHAPES]),
    default="text",
    show_default=True,
    help="How to print them; the name of a provider's API prints the JSON to send there.",
)
@click.option(
    "--as-committed",
    "as_is",
    is_flag=True,
    help="With openai: leave empty messages in, and tool results where they are.",
)
@with_store
def compile_(
    invocation: Invocation,
    *,
    at_commit: str | None,
    at_time: str | None,
    orphans: Orphans,
    aggregate_same_role: bool,
    max_tokens: int | None,
    include_edit_annotations: bool,
    format_: str,
    as_is: bool,
) -> None:
    """Print the messages to send next. Warnings go to stderr.

    With a provider's format, messages between a tool call and its results move behind the results, and empty messages are
    left out, because providers refuse both.
    """
    if as_is and format_ != "openai":
        raise click.UsageError("--as-committed goes with --format openai")
    if max_tokens is not None and aggregate_same_role:
        raise click.UsageError("give --max-tokens or --aggregate-same-role, not both")
    if at_commit is not None and at_time is not None:
        raise click.UsageError("give --at-commit or --at-time, not both")
    moment = None if at_time is None else parse_moment(at_time, "--at-time")
    with invocation.reading() as t:
        if at_commit is not None:
            invocation.require_tract(t)
            at_commit = t.resolve(at_commit)
        else:
            invocation.require_history(t)
        context = t.compile(
            at_time=moment,
            at_commit=at_commit,
            include_edit_annotations=include_edit_annotations,
            aggregate_same_role=aggregate_same_role,
            orphans=orphans,
            max_tokens=max_tokens,
        )

        def show() -> None:
            if format_ in SHAPES:
                click.echo((json_text(_sent(context, format_, as_is=as_is)) + "\n").encode(), nl=False)
            elif format_ == "oneline":
                show_context_lines(context)
            else:
                show_context(context)
            if format_ not in SHAPES:
                show_totals(context)
            show_warnings(context.warnings)

        invocation.answer(lambda: _context(t, context, _exported(context, format_, as_is=as_is)), show)


@click.command(short_help="Sum the recorded usage.")
@click.option(
    "--by", type=click.Choice(["commit", "model", "branch"]), default="model", show_default=True, help="What to sum by."
)
@click.option("--since", metavar="TIME", help="Only usage recorded then or later (ISO 8601; UTC if it has no offset).")
@with_store
def usage(invocation: Invocation, *, by: TractUsageKey, since: str | None) -> None:
    """Sum the usage that was recorded in the tract, in tokens. Prompt tokens include those read from and written to a cache,
    completion tokens those of reasoning.

    By branch, a commit on two branches counts for both. With --json each key has its counts; the key "" is that of no model, or
    no branch.
    """
    since_time = None if since is None else parse_moment(since, "--since")
    with invocation.reading() as t:
        invocation.require_tract(t)
        found = t.usage(by, since=since_time)
        invocation.answer(
            lambda: {key: structs.asdict(counts) for key, counts in found.items()}, lambda: _show_usage(by, found)
        )
        invocation.warn_if_incomplete(t)


def _show_usage(by: TractUsageKey, found: dict[str, TokenUsage]) -> None:
    if found:
        echo_table(*usage_table(by, found))


def usage_table(by: TractUsageKey, found: dict[str, TokenUsage]) -> tuple[list[Column], list[list[str]]]:
    """Returns columns and rows of sums of usage."""
    names = {key: key[:DIGITS] if by == "commit" else one_line(key) or "(none)" for key in found}
    columns = [Column(by, style="yellow" if by == "commit" else "")]
    columns += [
        Column(name, is_number=True) for name in ("prompt", "from cache", "to cache", "completion", "reasoning")
    ]
    rows = [
        [
            names[key],
            *(
                f"{count:,}"
                for count in (
                    counts.prompt_tokens,
                    counts.cache_read_tokens,
                    counts.cache_write_tokens,
                    counts.completion_tokens,
                    counts.reasoning_tokens,
                )
            ),
        ]
        for key, counts in found.items()
    ]
    return columns, rows


def _content_or_redacted(t: Tract, info: CommitInfo) -> tuple[object, bool]:
    """Returns a commit's content, None where there is none, and whether it was redacted."""
    if info.content_type is None:
        return None, False
    try:
        return t.get_content(info.commit_hash), False
    except ContentRedacted:
        return None, True


def _sent(context: CompiledContext, format_: str, *, as_is: bool) -> object:
    """Returns what goes to a provider: the list of messages, or an object with the system's beside them."""
    if format_ == "anthropic":
        return context.to_anthropic()
    if format_ == "gemini":
        return context.to_gemini()
    return context.to_openai(as_committed=as_is) if format_ == "openai" else context.to_openai_responses()


def _exported(context: CompiledContext, format_: str, *, as_is: bool) -> Document:
    from tract_fs.model.providers.export import Document, as_committed, export  # 1.5 ms

    if as_is:
        return Document([], as_committed(context.messages))
    for shape in SHAPES:
        if shape == format_:
            return export(context.messages, shape, context.add_warning)
    return Document([], [(message.to_dict(), message.commit_hashes) for message in context.messages])


def _context(t: Tract, context: CompiledContext, document: Document) -> dict[str, object]:
    return {
        "tract_id": t.tract_id,
        "branch": t.branch,
        **({"system": document.system} if document.system else {}),
        "messages": [message for message, _ in document.messages],
        "message_commits": [list(commits) for _, commits in document.messages],
        "generation_configs": context.generation_configs,
        "commit_hashes": context.commit_hashes,
        "token_count": context.token_count,
        "token_source": context.token_source,
        "commit_count": context.commit_count,
        "warnings": context.warnings,
    }


COMMANDS = (log, show, compile_, usage)
