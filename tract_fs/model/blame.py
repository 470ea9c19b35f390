"""Blame: for each line of a compiled context the commit that brought it, the original or an edit, by line diffs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from tract_fs.model.alignment import Line, align
from tract_fs.model.arrangement import in_shown_order
from tract_fs.model.compiler import ContextState
from tract_fs.model.diff import text_of
from tract_fs.model.messages import Message, Rendering
from tract_fs.model.names import CommitHash
from tract_fs.model.objects import Commit
from tract_fs.model.slots import LOST, REDACTED, Slot


class BlamedLine(Struct, frozen=True):
    """One line of a message's text, with the commit that brought it. `line` and `index` count from 0."""

    commit_hash: str
    created_at: str  # of that commit, RFC 3339
    index: int  # of the message in `compile().messages`
    message_commit: str  # that of the message, where the line is an edit's
    role: str
    line: int  # within the message
    text: str

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields as JSON values (fresh)."""
        return {name: getattr(self, name) for name in self.__struct_fields__}


def blame_slots(
    state: ContextState, later: Sequence[Slot], read: Callable[[CommitHash], Commit]
) -> Iterator[BlamedLine]:
    """Yields the lines of a context, in order; a message that is more than a text has those of its indented JSON."""
    order = in_shown_order(state.slots(), state.layout(later))
    for index, slot in enumerate(slot for _, slot in order if slot.is_shown):
        role = slot.shown_rendering().role
        for number, (text, commit) in enumerate(_lines(slot)):
            made = read(CommitHash(commit)).created_at
            yield BlamedLine(commit, made, index, slot.commit, role, number, text)


def _lines(slot: Slot) -> list[tuple[str, str]]:
    """Returns the lines of a slot's text, each with the commit from which on it has been there; skipped edits do not count."""
    versions = [(slot.commit, slot.rendering)]
    versions += [(edit.commit, edit.rendering) for edit in slot.edits if not edit.is_skipped]
    lines: list[str] = []
    owners: list[str] = []
    for commit, rendering in versions:
        if rendering in (LOST, REDACTED):
            continue
        new = _text(rendering).split("\n")
        pairs = align(Line(lines, [""] * len(lines)), Line(new, [""] * len(new)))
        kept = {j: owners[i] for i, j in pairs}
        lines, owners = new, [kept.get(number, commit) for number in range(len(new))]
    return list(zip(lines, owners, strict=True))


def _text(rendering: Rendering) -> str:
    return text_of(Message.from_rendering(rendering, ()))
