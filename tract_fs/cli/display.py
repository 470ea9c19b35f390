"""What people see: commits in a table, one commit, a compiled context, the state of a tract, warnings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC
from typing import Any

import click

from tract_fs import CommitInfo, CompiledContext, Message, PriorityAnnotation, Sibling, Status, Tract
from tract_fs.cli.contents import content_fields, content_text, headline, message_text, to_plain
from tract_fs.cli.output import (
    Column,
    body,
    counted,
    echo_pairs,
    echo_table,
    inline,
    json_text,
    one_line,
    some,
    styled,
    warn,
)
from tract_fs.errors import CommitNotFoundError, ContentRedacted, DamageError, TractError
from tract_fs.model import canonical
from tract_fs.model.status import HeadDistance, LostFile, QuarantinedFile, WaitingEvent

DIGITS = 12  # of a hash, where people read it
_MOST_HIDDEN = 10
REDACTED = "(the content was redacted)"
_COMMIT_COLUMNS = (
    Column("commit", style="yellow"),
    Column("made (UTC)", style="dim"),
    Column("what"),
    Column("tokens", is_number=True),
)


def show_warnings(warnings: Sequence[str]) -> None:
    """Prints warnings of the library to stderr, in the words of the command."""
    if not warnings:
        return
    from tract_fs.cli.words import as_command  # needed for a warning alone

    for warning in warnings:
        warn(as_command(warning))


def head_warnings(t: Tract) -> list[str]:
    """Returns what the other heads of the branch have that its context leaves out; nothing if there are none, or they can't be read."""
    try:
        found = t.other_heads()
    except (TractError, OSError):  # what was written stands all the same
        return []
    return [] if found is None else [found.describe()]


def name_warnings(name: str, names: Iterable[str]) -> list[str]:
    """Returns what is confusing about a new name among others of its kind: what looks the same, or can't be seen."""
    if name in names:
        return []
    found = []
    if inline(name) != name:
        found.append(f"the name {inline(name)} has characters that can't be seen")
    if name.upper() == "HEAD":
        found.append(f"the name {name} is easily mistaken for the head, which is '@' here")
    looks = _looks(name)
    found += [
        f"the name {name!a} looks the same as {other!a}, which is another one"
        for other in names
        if _looks(other) == looks
    ]
    return found


def _looks(name: str) -> str:
    from unicodedata import normalize  # 1 ms

    return normalize("NFKC", "".join(c for c in name if inline(c) == c))


def require_commit(t: Tract, ref: str) -> CommitInfo:
    """Returns the commit that a ref names. Errors: CommitNotFoundError, AmbiguousRef."""
    name = t.resolve(ref)
    info = t.get_commit(name)
    if info is None:
        raise CommitNotFoundError(hash=name, where=f"tract {t.tract_id!r}")
    return info


def annotations_of(t: Tract, name: str) -> list[PriorityAnnotation]:
    """Returns a commit's annotations; none if it is not in the branch's history."""
    try:
        return t.get_annotations(name)
    except CommitNotFoundError:
        return []


def own_annotation(t: Tract, info: CommitInfo) -> PriorityAnnotation | None:
    """Returns the annotation that a commit is, or None."""
    if info.operation.value != "annotate":
        return None
    return _own(annotations_of(t, info.targets[0]), info)


def _own(annotations: Sequence[PriorityAnnotation], info: CommitInfo) -> PriorityAnnotation | None:
    return next((made for made in annotations if made.commit_hash == info.commit_hash), None)


def annotation_document(made: PriorityAnnotation) -> dict[str, object]:
    """Returns an annotation for JSON output."""
    return {
        "commit_hash": made.commit_hash,
        "tract_id": made.tract_id,
        "target_hash": made.target_hash,
        "priority": made.priority.value,
        "reason": made.reason,
        "created_at": made.created_at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
    }


def show_siblings(t: Tract, found: Sequence[Sibling]) -> None:
    """Prints the answers to one prompt, one a line."""
    rows = [
        [
            one.commit.commit_hash[:DIGITS],
            one_line(", ".join(one.branches), width=40) or "(none)",
            _config_cell(one.commit.generation_config or {}),
            one_line(commit_text(t, one.commit)),
        ]
        for one in found
    ]
    columns = [Column("commit", style="yellow"), Column("branches"), Column("config", style="cyan"), Column("text")]
    echo_table(columns, rows)


def commit_line(t: Tract, info: CommitInfo) -> str:
    """Returns what a commit is and says, on one line."""
    about = what(info)
    text = one_line(commit_text(t, info))
    return f"{about}  {text}" if about else text


def show_commits(
    t: Tract | Callable[[str], Tract],
    infos: Sequence[CommitInfo],
    *,
    is_config_shown: bool = False,
    is_selected: bool = False,
    is_size_shown: bool = False,
) -> None:
    """Prints commits, one a line; a line on stderr where none was selected. A `t` that opens tracts: with the tract of each."""
    is_one = isinstance(t, Tract)
    rows = []
    for info in infos:
        row = [
            info.commit_hash[:DIGITS],
            info.created_at.strftime("%Y-%m-%d %H:%M"),
            what(info),
            "?" if info.token_count is None else str(info.token_count),
        ]
        if not is_one:
            row.insert(1, info.tract_id)
        if is_config_shown:
            row.append(_config_cell(info.generation_config or {}))
        own = t if isinstance(t, Tract) else t(info.tract_id)
        if is_size_shown:
            row.append(size_of(own, info))
        rows.append([*row, one_line(commit_text(own, info))])
    if not rows:
        if is_config_shown or is_selected:
            click.echo("no commit matches", err=True)
        return
    config = [Column("config", style="cyan")] if is_config_shown else []
    first, *rest = _COMMIT_COLUMNS
    tract = [] if is_one else [Column("tract")]
    size = [Column("bytes", is_number=True)] if is_size_shown else []
    echo_table([first, *tract, *rest, *config, *size, Column("text")], rows)


def size_of(t: Tract, info: CommitInfo) -> str:
    """Returns how many bytes a commit's content has as it is stored; "?" where it can't be read, "0" where there is none."""
    if info.content_type is None:
        return "0"
    try:
        fields = to_plain(t.get_content(info.commit_hash)).items()
        stored = {"content": {key: value for key, value in fields if value is not None}}
        return f"{len(canonical.encode_kept(stored)):,}"
    except (ContentRedacted, DamageError):
        return "?"


def commit_text(t: Tract, info: CommitInfo) -> str:
    """Returns what a commit says or does, in words that may span lines."""
    target = info.targets[0] if info.targets else ""
    if info.priority is not None:
        return f"{info.priority.value} {target[:DIGITS]}" + ("" if info.reason is None else f": {info.reason}")
    if info.content_type is None:
        return "joins " + ", ".join(parent[:DIGITS] for parent in info.parents)
    try:
        text = headline(t.get_content(info.commit_hash))
    except ContentRedacted:
        text = REDACTED
    except DamageError:
        text = "(the content is missing or damaged)"
    if info.operation.value == "summarize":
        return f"for {counted(len(info.targets), 'commit')}: {text}"
    return f"{target[:DIGITS]} is now {text}" if target else text


def show_commit(
    info: CommitInfo,
    content: object,
    *,
    own: PriorityAnnotation | None,
    annotations: Sequence[PriorityAnnotation],
    edits: Sequence[CommitInfo],
) -> None:
    """Prints a commit whole; `content` is None where it has none or it was redacted, `own` the annotation that it is."""
    pairs = commit_pairs(info, content, own=own, annotations=annotations, edits=edits)
    echo_pairs([(name, value) for name, value in pairs if value])
    if info.content_type is not None:
        click.echo()
        click.echo(REDACTED if content is None else body(content_text(content)))


def commit_pairs(
    info: CommitInfo,
    content: object,
    *,
    own: PriorityAnnotation | None,
    annotations: Sequence[PriorityAnnotation],
    edits: Sequence[CommitInfo],
) -> list[tuple[str, str]]:
    """Returns all of a commit but its text, as names with values; a value may be empty. The arguments are those of `show_commit`."""
    return [
        ("commit", info.commit_hash),
        ("tract", info.tract_id),
        ("parents", "\n".join(info.parents)),
        ("made", info.created_at.isoformat(" ")),
        ("operation", info.operation.value),
        ("targets", "\n".join(info.targets)),
        ("priority", "" if own is None else _priority_line(own)),
        ("type", info.content_type or ""),
        *(() if content is None else content_fields(content)),
        ("content", info.content_hash or ""),
        ("tokens", str(info.token_count) if info.content_type else ""),
        ("message", info.message or ""),
        ("metadata", "" if info.metadata is None else json_text(info.metadata)),
        ("config", "" if info.generation_config is None else json_text(info.generation_config)),
        ("annotations", "\n".join(f"{_priority_line(a)} {_by(a)}" for a in annotations)),
        ("edited by", "\n".join(e.commit_hash for e in reversed(edits))),
    ]


def _priority_line(annotation: PriorityAnnotation) -> str:
    reason = "" if annotation.reason is None else f": {annotation.reason}"
    return f"{annotation.priority.value}{reason}"


def _by(annotation: PriorityAnnotation) -> str:
    return "(its type's own)" if annotation.commit_hash is None else f"({annotation.commit_hash[:DIGITS]})"


def show_context(context: CompiledContext) -> None:
    """Prints the messages of a context whole."""
    for number, (message, config) in enumerate(_with_configs(context), 1):
        speaker = one_line(message.role if message.name is None else f"{message.role} {message.name}")
        commits = " ".join(commit[:DIGITS] for commit in message.commit_hashes)
        shown = f" {one_line(config_words(config), width=400)}" if config else ""
        click.echo(
            f"{styled(f'[{number}] {speaker}', bold=True)}  {styled(commits, fg='yellow')}{styled(shown, fg='cyan')}"
        )
        click.echo(body(message_text(message.to_dict())))
        click.echo()


def show_context_lines(context: CompiledContext) -> None:
    """Prints the messages of a context, one a line."""
    rows = []
    for number, (message, config) in enumerate(_with_configs(context), 1):
        said = one_line(message_text(message.to_dict()))
        commit = message.commit_hashes[0][:DIGITS] if message.commit_hashes else ""
        rows.append([str(number), commit, one_line(message.role), _config_cell(config), said])
    if rows:
        config_column = Column("config", style="cyan")
        echo_table(
            [
                Column("", is_number=True),
                Column("commit", style="yellow"),
                Column("role"),
                config_column,
                Column("text"),
            ],
            rows,
        )


def show_totals(context: CompiledContext) -> None:
    """Prints what a context amounts to."""
    click.echo(context_totals(context))


def context_totals(context: CompiledContext) -> str:
    """Returns what a context amounts to."""
    count = f"{counted(len(context.messages), 'message')} of {counted(context.commit_count, 'commit')}"
    return f"{count}, {counted(context.token_count, 'token')} by {inline(context.token_source)}"


def show_status(state: Status, path: str, tracts: Sequence[str], *, is_branch_missing: bool) -> None:
    """Prints the state of a tract."""
    none = "no such branch" if is_branch_missing else "no commits yet"
    is_waiting = bool(state.pending or state.damaged or state.quarantined)
    is_read = state.commit_count is not None
    shown = (
        f"{state.effective_count} in the context" if state.token_source or not is_read else "the context can't be read"
    )
    count = f"{state.commit_count} in the history, {shown}" if is_read else "the history can't be read"
    pairs = [
        ("store", inline(path)),
        ("tract", f"{state.tract_id}, branch {inline(state.branch)}"),
        ("head", state.head or ("none is visible" if is_waiting else f"none: {none}")),
        ("commits", count),
        ("tokens", f"{state.token_count:,} by {state.token_source}" if state.token_source else ""),
        ("tracts", "\n".join(some(tracts))),
        ("files", f"{state.loose_count:,} loose, {state.pack_count:,} packs"),
        ("other heads", "\n".join(_other_heads(state))),
        (
            "diverged",
            "\n".join(f"{inline(branch)}: {len(heads)} heads" for branch, heads in state.diverged_branches.items()),
        ),
        ("pending", "\n".join(some([_waiting(event) for event in state.waiting]))),
        ("damaged", "\n".join(map(inline, state.damaged))),
        ("quarantined", "\n".join(some([_quarantined(file) for file in state.quarantined if not file.is_back]))),
        ("lost", "\n".join(lost_lines(state.lost))),
        ("gone", "\n".join(some([_gone(name, state.explained) for name in state.gone]))),
        ("configs", "\n".join(some(state.overruled))),
        ("salvageable", "\n".join(some([f"{file.path} is {file.target}" for file in state.salvageable]))),
        ("under way", "\n".join(map(inline, some(state.under_way)))),
        ("unknown", "\n".join(inline(path) for path in state.strays if path not in state.under_way)),
        ("not read", "\n".join(f"local/{name}" for name in some(state.unread_local))),
    ]
    echo_pairs([(name, value) for name, value in pairs if value])


def show_short_status(state: Status) -> None:
    """Prints the branch and its head on a line, then a line per kind of problem, with how many there are."""
    words = ["no commits yet" if state.head is None else styled(state.head[:DIGITS], fg="yellow")]
    if state.head is not None and state.commit_count is not None:
        words += [counted(state.commit_count, "commit"), f"{state.effective_count:,} in the context"]
        words.append(counted(state.token_count, "token") if state.token_source else "the context can't be read")
    click.echo(f"## {inline(state.branch)} {', '.join(words)}")
    problems = {
        "other heads": state.other_heads,
        "pending": state.pending,
        "damaged": state.damaged,
        "quarantined": [file for file in state.quarantined if not file.is_back],
        "lost": state.lost,
        "gone": state.gone,
        "under way": state.under_way,
        "unknown": [path for path in state.strays if path not in state.under_way],
    }
    for name, found in problems.items():
        if found:
            click.echo(f"{name}: {len(found):,}")


def lost_lines(lost: Sequence[LostFile]) -> list[str]:
    """Returns lost files, each with the commits that depend on it."""
    lines = []
    for file in lost:
        one, more = ("names", "name") if file.kind == "blob" else ("depends on", "depend on")
        dependent = f"1 commit {one} it" if len(file.hidden) == 1 else f"{len(file.hidden)} commits {more} it"
        count = f", {dependent}" if file.hidden else ""
        state = "damaged" if file.is_damaged else "missing"
        lines.append(f"{file.path}: {file.kind} {file.hash[:DIGITS]} is {state}{count}")
        lines += [f"  {line[:DIGITS]} {line.partition(': ')[2]}" for line in file.hidden[:_MOST_HIDDEN]]
        if len(file.hidden) > _MOST_HIDDEN:
            lines.append(f"  and {len(file.hidden) - _MOST_HIDDEN} more")
    return lines


def _other_heads(state: Status) -> list[str]:
    far = {distance.head: distance for distance in state.distances}
    return [f"{head}{_distance(far[head]) if head in far else ''}" for head in state.other_heads]


def _distance(distance: HeadDistance) -> str:
    since = f"since {distance.common[:DIGITS]}" if distance.common else "with nothing in common"
    commits = "commit" if distance.only_there == 1 else "commits"
    return f": {distance.only_there} {commits} only there, {distance.only_here} only here, {since}"


def _gone(name: str, explained: dict[str, str]) -> str:
    return f"{name}: {explained[name]}" if name in explained else name


def _waiting(event: WaitingEvent) -> str:
    missing = f": {event.missing} ({event.state})" if event.missing else ""
    return f"{event.event}: {event.reason}{missing}"


def _quarantined(file: QuarantinedFile) -> str:
    return f"{file.path}: quarantined ({file.cause}), fetch it from another copy"


def _with_configs(context: CompiledContext) -> Iterator[tuple[Message, dict[str, Any]]]:
    """Yields each message with the config of its first commit."""
    configs = iter(context.generation_configs)
    for message in context.messages:
        own = [next(configs) for _ in message.commit_hashes]
        yield message, own[0] if own else {}


def what(info: CommitInfo) -> str:
    """Returns a commit's operation and content type; the operation goes without saying for an append."""
    operation = [] if info.operation.value == "append" else [info.operation.value]
    return one_line(" ".join([*operation, info.content_type or ""]), width=32).rstrip()


def _config_cell(config: dict[str, Any]) -> str:
    return one_line(config_words(config), width=36)


def config_words(config: dict[str, Any]) -> str:
    """Returns a generation config on one line."""
    return " ".join(f"{key}={value if isinstance(value, str) else _short(value)}" for key, value in config.items())


def _short(value: object) -> str:
    return " ".join(json_text(value).split())
