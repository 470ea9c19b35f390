"""What the right side shows: a commit, a context with what it leaves out, a diff, the usage. Each is a list of lines.

All facts come from the public calls, and the words from the commands that print the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from tract_fs import CommitInfo, CompiledContext, ExplainedCommit, Message, TokenUsage, Tract
from tract_fs.cli.browse.history import role_style, row_text
from tract_fs.cli.browse.lines import Line, table_lines, text_lines
from tract_fs.cli.contents import content_text, to_plain
from tract_fs.cli.diff_commands import config_line, entry_lines, entry_words, total_lines
from tract_fs.cli.display import DIGITS, REDACTED, commit_pairs, config_words, context_totals, require_commit
from tract_fs.cli.output import one_line, some
from tract_fs.cli.read_commands import usage_table
from tract_fs.errors import ContentRedacted, DamageError
from tract_fs.page.texts import readable

_MOST_ENTRIES = 200  # messages and gaps of a context, the last ones
_MOST_OF_MESSAGE = 2_000  # characters
_MOST_OF_CONTENT = 20_000
_MOST_ALIKE = 3  # commits left out for one reason, one after the other: more are one line
_PAIRS_WIDTH = 12
_HASHES = ("parents", "targets", "content", "edited by", "summaries")
# What is beside the messages, not among them: an edit or annotation shows at what it is about.
_BESIDE = ("edit", "annotation", "merge", "start")
_DIFF_STYLES = {"+": "add", "-": "remove", "@": "hunk", "~": "changed"}


def commit_lines(
    t: Tract,
    info: CommitInfo,
    *,
    names: Sequence[str],
    about: Sequence[CommitInfo],
    usage: TokenUsage | None,
    is_whole: bool,
) -> Iterator[Line]:
    """Yields a commit with all that is known of it; `about` are its edits, annotations and summaries, newest first."""
    most = None if is_whole else _MOST_OF_CONTENT
    text, style, content = "", "", None
    try:
        content = t.get_content(info.commit_hash) if info.content_type is not None else None
    except ContentRedacted:
        text, style = REDACTED, "warn"
    except DamageError as error:
        text, style = str(error), "error"
    if content is not None:
        plain = to_plain(content)
        text = readable(plain["message"]) if plain["content_type"] == "message" else content_text(content)
    edits = [one for one in reversed(about) if one.operation.value == "edit"]
    facts = dict(commit_pairs(info, content, own=None, annotations=(), edits=edits)) | {
        "tract": "",  # the title names it
        "made": f"{info.created_at:%Y-%m-%d %H:%M:%S} UTC",
        "config": "" if info.generation_config is None else config_words(info.generation_config),
        "priority": "" if info.priority is None else _priority(info),
        "branches": ", ".join(some(names)),
        "annotations": "\n".join(_priority(one) for one in reversed(about) if one.priority is not None),
        "summaries": "\n".join(one.commit_hash for one in about if one.operation.value == "summarize"),
        "usage": "" if usage is None else _usage_words(usage),
    }
    facts |= {name: _shortened(facts[name]) for name in _HASHES}
    for name, value in facts.items():
        if value:
            yield from _pair(name, value, most)
    if info.content_type is not None:
        yield Line()
        yield from text_lines(text, style, most=most)


def _pair(name: str, value: str, most: int | None) -> Iterator[Line]:
    style = "hash" if name in ("commit", "parents", "targets") else "ref" if name == "branches" else ""
    for place, line in enumerate(text_lines(value, style, most=most)):
        yield Line((("" if place else name).ljust(_PAIRS_WIDTH), "label"), *line.spans, hang=_PAIRS_WIDTH)


def _shortened(hashes: str) -> str:
    return "\n".join(name[:DIGITS] for name in hashes.split("\n"))


def _priority(info: CommitInfo) -> str:
    reason = "" if info.reason is None else f": {info.reason}"
    assert info.priority is not None
    return f"{info.priority.value}{reason} ({info.commit_hash[:DIGITS]})"


def _usage_words(usage: TokenUsage) -> str:
    counts = {
        "prompt": usage.prompt_tokens,
        "from cache": usage.cache_read_tokens,
        "to cache": usage.cache_write_tokens,
        "completion": usage.completion_tokens,
        "reasoning": usage.reasoning_tokens,
    }
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count or name in ("prompt", "completion"))


def context_lines(t: Tract, *, is_whole: bool) -> Iterator[Line]:
    """Yields the context of the handle's head: its messages, with what is left out in its place, and why."""
    context = t.compile()
    entries, counts = _entries(t.explain().commits)
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
    yield Line((context_totals(context), "head"), (f"; left out: {left_out}" if left_out else "", "warn"))
    for warning in context.warnings:
        yield Line(("warning: ", "warn"), (warning, ""), hang=2)
    yield Line()
    earlier = 0 if is_whole else max(0, len(entries) - _MOST_ENTRIES)
    if earlier:
        yield Line((f"… {earlier:,} earlier messages and gaps: w shows all", "dim"))
        yield Line()
    for why, group in groupby(entries[earlier:], key=_why):
        ones = list(group)
        if why is None:
            for one in ones:
                yield from _message_lines(t, one, context, most=None if is_whole else _MOST_OF_MESSAGE)
        elif len(ones) > _MOST_ALIKE and not is_whole:
            yield Line((f"· {len(ones):,} commits: ", "dim"), (why, "dim"), hang=2)
            yield Line()
        else:
            for one in ones:
                text = one_line(row_text(t, require_commit(t, one.commit_hash)), width=160)
                yield Line((f"· {one.commit_hash[:DIGITS]} ", "hash"), (text, "dim"), hang=2)
                yield from (Line((sentence, "reason"), indent=2) for sentence in _notes(one, why))
            yield Line()


def _entries(commits: Sequence[ExplainedCommit]) -> tuple[list[ExplainedCommit], Counter[str]]:
    """Returns messages in their order, each gap behind the message that comes before it in the history; and how many commits
    are left out for each reason.
    """
    placed: list[tuple[int, ExplainedCommit]] = []
    counts: Counter[str] = Counter()
    before = -1
    for one in commits:
        if one.is_shown:
            placed.append((one.index or 0, one))
            if not one.stands_for:  # a summary stands at the place of the first that it is for
                before = one.index or 0
        elif one.reason not in _BESIDE:
            placed.append((before, one))
            counts[one.reason] += 1
    placed.sort(key=lambda entry: (entry[0], not entry[1].is_shown))
    return [one for _, one in placed], counts


def _why(one: ExplainedCommit) -> str | None:
    """Returns the sentence that a commit is left out by; None if it is a message."""
    return None if one.is_shown else one.describe(DIGITS)[0]


def _notes(one: ExplainedCommit, first: str) -> list[str]:
    """Returns why a commit is left out; the sentence on its annotation has the reason that was given."""
    sentences = [sentence for sentence in one.describe(DIGITS)[1:] if " set its priority to " in sentence]
    return [first, *sentences]


def _message_lines(t: Tract, one: ExplainedCommit, context: CompiledContext, *, most: int | None) -> Iterator[Line]:
    index = one.index or 0
    message: Message = context.messages[index]
    count = require_commit(t, one.shown_edit or one.commit_hash).token_count
    role = message.role if message.name is None else f"{message.role} {message.name}"
    tokens = "" if count is None else f"  {count:,} tokens"
    head = (f"[{index + 1}] {one_line(role)}", role_style(message.role))
    yield Line(head, (f"  {one.commit_hash[:DIGITS]}", "hash"), (tokens, "dim"))
    if one.generation_config:
        yield Line((one_line(config_words(one.generation_config), width=400), "config"), indent=2)
    yield from text_lines(readable(message.to_dict()), indent=2, most=most)
    sentences = one.describe(DIGITS)[1 : None if one.source is None else -1]
    yield from (Line((said, "reason"), indent=2) for said in sentences if "generation config" not in said)
    yield Line()


def diff_lines(t: Tract, a: str | None, b: str, signs: Mapping[str, str], *, is_whole: bool) -> Iterator[Line]:
    """Yields what differs from the context of A (None: that of the first parent) to that of B."""
    made = t.diff(a, b)
    sides = [made.a.commit_hash or "", b]
    named = (f"{signs.get(side, '')} {side[:DIGITS] or 'nothing'}".strip() for side in sides)
    yield Line((" → ".join(named), "head"))
    yield from (Line((line, ""), hang=14) for line in total_lines(made))
    yield from (Line(("warning: ", "warn"), (warning, ""), hang=2) for warning in made.warnings)
    most = None if is_whole else _MOST_OF_CONTENT
    for entry in made.entries:
        header, commits, rest = entry_words(entry)
        yield Line()
        yield Line((f"{header}  ", _DIFF_STYLES[header[0]]), (f"{commits}  ", "hash"), (rest, "dim"))
        yield from (Line((f"config {config_line(change)}", "config"), indent=2) for change in entry.config_changes)
        if entry.moved_index is None:
            for line in text_lines("\n".join(entry_lines(entry)), most=most):
                style = line.spans[0][1] if line.spans else ""
                yield Line((line.text, style or _DIFF_STYLES.get(line.text[:1], "")), indent=2, hang=1)


def usage_lines(t: Tract) -> Iterator[Line]:
    """Yields the sums of the recorded usage, by model and by branch."""
    for by in ("model", "branch"):
        found = t.usage(by)
        if not found:
            yield Line(("no usage was recorded in this tract", "dim"))
            return
        yield from table_lines(*usage_table(by, found))
        yield Line()
