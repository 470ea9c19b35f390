"""Explanations: for each commit of a history, which message it makes, or why it makes none.

The reasons are the compiler's own: its slots (model/slots) and its layout (model/arrangement). Nothing here decides
what shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from msgspec import Struct, structs

from tract_fs.model import canonical
from tract_fs.model.arrangement import in_shown_order, lost_halves
from tract_fs.model.compiler import ContextState
from tract_fs.model.content import Priority
from tract_fs.model.diff import text_of
from tract_fs.model.exports import find_flaws
from tract_fs.model.messages import Message
from tract_fs.model.names import CommitHash
from tract_fs.model.objects import Commit, CommitOperation
from tract_fs.model.slots import REDACTED, Edit, Slot

Reason = Literal[
    "shown",  # it makes a message
    "skipped",  # its priority is skip
    "summarized",  # a summary stands for it
    "superseded",  # a summary that shares commits with it shows in its place
    "orphaned",  # a tool call or result without its other half
    "redacted",
    "lost",  # its content, or that of the edit that applies, is missing or damaged
    "record",
    "tools",
    "edit",
    "annotation",
    "merge",
    "start",  # of an empty history
    "later",  # behind the cut
    "over_budget",  # it is left out so that the context fits in `max_tokens`
]


class CommitSource(Struct, frozen=True):
    """The event that brought a commit into its tract, and the merge by which the branch got it (None: along its own line)."""

    event: str
    tract_id: str
    branch: str
    writer: str  # the label of the handle that wrote it; empty for a join that is the same on every copy
    at: str  # RFC 3339
    merge: str | None


class Elsewhere(Struct, frozen=True):
    """Where a commit is that is not in this branch's history: on which branches, and since which commit they go their own way."""

    branches: tuple[str, ...]
    since: str | None  # the last commit before it that this branch has; None: they have nothing in common


class SetPriority(Struct, frozen=True):
    """An annotation as an explanation shows it."""

    commit_hash: str
    priority: Priority
    reason: str | None
    created_at: str


class ExplainedCommit(Struct, frozen=True, kw_only=True):
    """One commit: what it makes of the context, and because of which other commits.

    `by` are the commits behind `reason`: the annotation that skips it (none: its type's own priority), the summary, the
    other halves of a tool call or result; for an edit or annotation its target. `elsewhere` is for a commit that this
    branch does not have: all else is as on the first of its branches.
    """

    commit_hash: str
    operation: CommitOperation
    content_type: str | None
    created_at: str
    reason: Reason
    by: tuple[str, ...] = ()
    index: int | None = None  # of its message in `compile().messages`
    role: str | None = None  # of its message, as the text
    text: str | None = None
    is_empty: bool = False  # its message has nothing in it, so to_openai() leaves it out
    is_in_effect: bool = True  # of an edit, annotation or list of tools: False if another one applies in its place
    outdone_by: str | None = None  # that one, or the annotation that skips an edit
    edits: tuple[str, ...] = ()  # all of it, in history order
    shown_edit: str | None = None  # the one whose content shows
    annotations: tuple[SetPriority, ...] = ()  # in history order; the last is in effect
    priority: Priority | None = None  # in effect; None for a commit that makes no message in any case
    stands_for: tuple[str, ...] = ()  # what a shown summary hides
    config_json: str = "{}"
    config_from: str | None = None  # the commit whose generation config is in effect: an edit's or its own
    source: CommitSource | None = None  # None: not written yet, in a batch
    elsewhere: Elsewhere | None = None

    @property
    def is_shown(self) -> bool:
        """Whether it makes a message of this context."""
        return self.reason == "shown" and self.elsewhere is None

    @property
    def generation_config(self) -> dict[str, Any]:
        """The generation config in effect (fresh); {} where there is none."""
        config: dict[str, Any] = canonical.decode(self.config_json.encode())
        return config

    def describe(self, digits: int = 64) -> list[str]:
        """Returns the explanation in sentences; hashes have `digits` digits."""
        return list(_sentences(self, digits))

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields as JSON values (fresh), and the sentences."""
        fields = {name: _plain(getattr(self, name)) for name in self.__struct_fields__ if name != "config_json"}
        return {**fields, "generation_config": self.generation_config, "sentences": self.describe()}


class Explanation(Struct, frozen=True):
    """Why a context is what it is: an entry for each commit of the history, root first, and for those behind a cut."""

    tract_id: str
    branch: str
    head: str | None  # the last commit of the history that is explained
    commits: tuple[ExplainedCommit, ...]

    @property
    def messages(self) -> tuple[ExplainedCommit, ...]:
        """The commits that make messages, in the order of `compile().messages`."""
        return tuple(sorted((one for one in self.commits if one.is_shown), key=lambda one: one.index or 0))

    @property
    def absent(self) -> tuple[ExplainedCommit, ...]:
        """The commits that make no message, in history order."""
        return tuple(one for one in self.commits if not one.is_shown)

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields as JSON values (fresh)."""
        return {
            "tract_id": self.tract_id,
            "branch": self.branch,
            "head": self.head,
            "messages": [one.to_dict() for one in self.messages],
            "absent": [one.to_dict() for one in self.absent],
        }


def fitted(explained: Sequence[ExplainedCommit], messages: Sequence[Message]) -> tuple[ExplainedCommit, ...]:
    """Returns an explanation as it is where only some of its messages fit, maybe shortened: `messages`, in order."""
    places = {message.commit_hashes[0]: index for index, message in enumerate(messages)}

    def fit(one: ExplainedCommit) -> ExplainedCommit:
        if one.reason != "shown":
            return one
        index = places.get(one.commit_hash)
        if index is None:
            return structs.replace(one, reason="over_budget", index=None)
        return structs.replace(one, index=index, text=text_of(messages[index]))

    return tuple(map(fit, explained))


class _About(NamedTuple):
    """The edits and annotations of each commit of a history, in its order, by their target."""

    edits: dict[str, list[str]]
    annotations: dict[str, list[SetPriority]]

    @classmethod
    def of(cls, history: Sequence[tuple[CommitHash, Commit]]) -> _About:
        about = cls({}, {})
        for name, commit in history:
            if commit.operation is CommitOperation.EDIT:
                about.edits.setdefault(commit.targets[0], []).append(name)
            elif commit.priority is not None:
                made = SetPriority(name, commit.priority, commit.reason, commit.created_at)
                about.annotations.setdefault(commit.targets[0], []).append(made)
        return about

    def last_annotation(self, name: str) -> str | None:
        found = self.annotations.get(name)
        return found[-1].commit_hash if found else None


def explain_history(
    history: Sequence[tuple[CommitHash, Commit]],
    state: ContextState,
    *,
    later: Sequence[Slot] = (),
    behind: Sequence[tuple[CommitHash, Commit]] = (),
    source_of: Callable[[CommitHash, str | None], CommitSource | None],
    only: CommitHash | None = None,
) -> tuple[ExplainedCommit, ...]:
    """Returns an explanation for each commit of a history, root first, and of those behind its cut; with `only`, for that one.

    `state` is the whole state after the history, `later` as for `ContextState.compile`; `source_of` returns where a commit came
    from, given the merge that brought it into the line of first parents.
    """
    about = _About.of(history)
    made = _of_slots(state, later, about)
    merges = _merges(history)
    found = []
    for name, commit in history:
        if only in (None, name):
            one = made.get(name) or _of_other(name, commit, state, about)
            found.append(_Entry(name, commit, one, merges.get(name)))
    found += [_Entry(name, commit, {"reason": "later"}, None) for name, commit in behind if only in (None, name)]
    return tuple(
        ExplainedCommit(
            commit_hash=entry.name,
            operation=entry.commit.operation,
            content_type=entry.commit.content_type,
            created_at=entry.commit.created_at,
            source=source_of(entry.name, entry.merge),
            edits=tuple(about.edits.get(entry.name, ())),
            annotations=tuple(about.annotations.get(entry.name, ())),
            **entry.fields,
        )
        for entry in found
    )


class _Entry(NamedTuple):
    name: CommitHash
    commit: Commit
    fields: dict[str, Any]
    merge: str | None


def _merges(history: Sequence[tuple[CommitHash, Commit]]) -> dict[str, str]:
    """Maps each commit that a merge brought into the line of first parents to that merge.

    In the linear order, what a merge brings stands between its first parent and the merge.
    """
    commits = dict(history)
    line: set[str] = set()
    cursor = history[-1][0] if history else None
    while cursor in commits:
        line.add(cursor)
        parents = commits[cursor].parents
        cursor = parents[0] if parents else None
    found: dict[str, str] = {}
    waiting: list[str] = []
    for name, _ in history:
        if name in line:
            found.update(dict.fromkeys(waiting, name))
            waiting = []
        else:
            waiting.append(name)
    return found


def _of_slots(state: ContextState, later: Sequence[Slot], about: _About) -> dict[str, dict[str, Any]]:
    """Returns what becomes of each append and summary, by commit."""
    slots, layout = state.slots(), state.layout(later)
    summaries = state.hidden_by(layout)
    line = [*slots, *later]
    halves = lost_halves(slots, layout, later)
    order = in_shown_order(slots, layout)
    places = {position: index for index, position in enumerate(p for p, slot in order if slot.is_shown)}
    tools = [slot.commit for _, slot in order if not slot.is_shown and slot.tools]
    stands_for: dict[int, list[int]] = {}
    for position in sorted(summaries.keys() - layout.beaten.keys()):
        stands_for.setdefault(summaries[position], []).append(position)
    found: dict[str, dict[str, Any]] = {}
    for position, slot in enumerate(slots):
        fields = _effect(slot)
        if slot.rendering == REDACTED:
            fields["reason"] = "redacted"
        elif slot.priority is Priority.SKIP:
            annotation = about.last_annotation(slot.commit)
            fields |= {"reason": "skipped", "by": () if annotation is None else (annotation,)}
        elif position in summaries:
            reason = "superseded" if position in layout.beaten else "summarized"
            fields |= {"reason": reason, "by": (slots[summaries[position]].commit,)}
        elif position in layout.dropped:
            commits = dict.fromkeys(line[half].commit for half in halves[position])
            fields |= {"reason": "orphaned", "by": tuple(commits)}
        elif position in places:
            fields |= _shown(slot, places[position])
            fields["stands_for"] = tuple(slots[p].commit for p in stands_for.get(position, ()))
        elif slot.is_lost:
            fields |= {"reason": "lost", "by": (slot.shown_commit,)}
        elif slot.tools:
            outdone = None if slot.commit == tools[-1] else tools[-1]
            fields |= {"reason": "tools", "is_in_effect": outdone is None, "outdone_by": outdone}
        else:
            fields["reason"] = "record"
        found[slot.commit] = fields
    return found


def _effect(slot: Slot) -> dict[str, Any]:
    """Returns the edit, priority and config of a slot that are in effect."""
    edit = slot.winner() if slot.edits else None
    is_edits = edit is not None and edit.config is not None
    config = edit.config if edit is not None and is_edits else slot.config
    return {
        "shown_edit": None if edit is None else edit.commit,
        "priority": slot.priority,
        "config_json": "{}" if config is None else config,
        "config_from": None if config is None else edit.commit if edit is not None and is_edits else slot.commit,
    }


def _shown(slot: Slot, index: int) -> dict[str, Any]:
    rendering = slot.shown_rendering()
    message = Message.from_rendering(rendering, (slot.commit,))
    is_empty = "message" in find_flaws(rendering)
    return {
        "reason": "shown",
        "index": index,
        "role": message.role,
        "text": text_of(message),
        "is_empty": is_empty,
    }


def _of_other(name: CommitHash, commit: Commit, state: ContextState, about: _About) -> dict[str, Any]:
    """Returns what an edit, annotation or merge is in a context."""
    if commit.operation is CommitOperation.EDIT:
        return _of_edit(name, commit, state, about)
    if commit.operation is CommitOperation.ANNOTATE:
        last = about.last_annotation(commit.targets[0])
        outdone = None if last == name else last
        return {"reason": "annotation", "by": commit.targets, "is_in_effect": outdone is None, "outdone_by": outdone}
    return {"reason": "merge" if commit.parents else "start"}


def _of_edit(name: CommitHash, commit: Commit, state: ContextState, about: _About) -> dict[str, Any]:
    slot = state.slot_of(commit.targets[0])
    own: Edit | None = next((edit for edit in slot.edits if edit.commit == name), None) if slot is not None else None
    if slot is None or own is None:  # what it edits is not before it, or its own content was redacted
        return {"reason": "edit" if slot is None else "redacted", "by": commit.targets, "is_in_effect": False}
    winner = slot.winner()
    outdone = None if winner is own else about.last_annotation(name) if own.is_skipped else winner and winner.commit
    return {"reason": "edit", "by": commit.targets, "is_in_effect": winner is own, "outdone_by": outdone}


def _sentences(one: ExplainedCommit, digits: int) -> Iterator[str]:
    def short(names: Sequence[str]) -> str:
        shown = ", ".join(name[:digits] for name in names[:5])
        return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"

    if one.elsewhere is not None:
        yield _where(one.elsewhere, short)
    yield _fate(one, short)
    if one.stands_for:
        yield f"It stands for {_count(one.stands_for)}: {short(one.stands_for)}."
    if one.is_empty:
        yield "The message is empty: to_openai() leaves it out."
    if one.edits and one.reason not in ("edit", "annotation"):
        which = f"{one.shown_edit[:digits]} applies" if one.shown_edit else "none applies"
        yield f"It has {len(one.edits)} edit{'s' if len(one.edits) > 1 else ''} ({short(one.edits)}); {which}."
    if one.annotations:
        last = one.annotations[-1]
        reason = "" if last.reason is None else f" ({last.reason})"
        yield f"{last.commit_hash[:digits]} set its priority to {last.priority.value}{reason} at {last.created_at}."
    elif one.priority is not None and one.priority is not Priority.NORMAL and one.reason != "redacted":
        yield f"Its priority is {one.priority.value}, by its type or content."
    if one.config_from is not None:
        config = f"Its generation config {one.config_json}"
        yield (
            f"{config} is its own."
            if one.config_from == one.commit_hash
            else f"{config} is from the edit {one.config_from[:digits]}."
        )
    if one.source is not None:
        yield _origin(one.source, digits)


def _where(where: Elsewhere, short: Callable[[Sequence[str]], str]) -> str:
    if not where.branches:
        return (
            "It is on no branch: a reset, an undo or a delete left it behind. What follows holds for its own history."
        )
    since = "with nothing in common" if where.since is None else f"from {short([where.since])} on"
    return f"It is not in this history: it is on {', '.join(where.branches)}, {since}. There:"


def _fate(one: ExplainedCommit, short: Callable[[Sequence[str]], str]) -> str:
    by, outdone = short(one.by), "" if one.outdone_by is None else short([one.outdone_by])
    if one.reason == "shown":
        return f"It is message {(one.index or 0) + 1}."
    if one.reason == "edit" and one.is_in_effect:
        return f"It is the edit of {by} that applies."
    if one.reason == "edit":
        is_skipped = bool(one.annotations) and one.annotations[-1].commit_hash == one.outdone_by
        why = f"{outdone} {'skips it' if is_skipped else 'does'}" if outdone else "no such commit comes before it"
        return f"It is an edit of {by}, and does not apply: {why}."
    if one.reason == "annotation":
        return f"It sets the priority of {by}{'.' if one.is_in_effect else f', until {outdone} sets it again.'}"
    if one.reason == "tools":
        applies = "its tools apply" if one.is_in_effect else f"the tools of {outdone} apply in place of its own"
        return f"It is no message: {applies}."
    return {
        "skipped": f"It is left out: {f'{by} skips it' if by else 'its type or content is skipped by default'}.",
        "summarized": f"It is left out: the summary {by} stands for it.",
        "superseded": f"It is left out: another summary, {by}, stands for some of the same commits.",
        "orphaned": f"It is left out: the other half of its tool call or result, {by}, does not show.",
        "redacted": "It is left out: its content was redacted.",
        "lost": f"It is left out: the content of {by} is missing or damaged.",
        "record": "It is no message, but a record of the program.",
        "merge": "It is no message: it joins lines of the history.",
        "start": "It is no message: it begins an empty history.",
        "later": "It is left out: the context is cut before it.",
        "over_budget": "It is left out, for the context to fit in the tokens that it may have.",
    }[one.reason]


def _origin(source: CommitSource, digits: int) -> str:
    merge = "" if source.merge is None else f", and the merge {source.merge[:digits]} brought it here"
    writer = f"writer {source.writer[:digits]}" if source.writer else "a join that every copy makes alike"
    where = f"branch {source.branch} of tract {source.tract_id}"
    return f"It was committed at {source.at} on {where} by {writer}{merge}."


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} commit{'s' if len(names) != 1 else ''}"


def _plain(value: object) -> Any:
    if isinstance(value, Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple):
        return list(map(_plain, value))
    return value.value if isinstance(value, Priority | CommitOperation) else value
