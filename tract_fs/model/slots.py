"""Slots: what a state of the compiler holds of each append and summary of a history. Stored as arrays; see store/snapshot_cache."""

from __future__ import annotations

from msgspec import Struct

from tract_fs.model.content import Priority
from tract_fs.model.messages import Rendering


class Edit(Struct, frozen=True, array_like=True, gc=False):
    """An edit of a slot."""

    commit: str
    rendering: Rendering
    config: str | None
    is_skipped: bool = False


class Slot(Struct, frozen=True, array_like=True, gc=False):
    """One append or summary of the history, in its order, whatever became of it; `targets` are those of a summary."""

    commit: str
    rendering: Rendering
    config: str | None
    priority: Priority
    edits: tuple[Edit, ...] = ()
    targets: tuple[str, ...] = ()

    @property
    def is_shown(self) -> bool:
        """Tells whether the slot takes part in the context, before summaries hide others and tool calls are paired."""
        return self.priority is not Priority.SKIP

    def winner(self) -> Edit | None:
        """Returns the edit that applies, or None."""
        return next((edit for edit in reversed(self.edits) if not edit.is_skipped), None)

    def with_edits(self, edits: tuple[Edit, ...]) -> Slot:
        """Returns the slot with other edits."""
        return Slot(self.commit, self.rendering, self.config, self.priority, edits, self.targets)

    def with_targets(self, targets: tuple[str, ...]) -> Slot:
        """Returns the slot of a summary with other targets."""
        return Slot(self.commit, self.rendering, self.config, self.priority, self.edits, targets)

    def with_priority(self, priority: Priority) -> Slot:
        """Returns the slot with another priority; that of what was redacted stays."""
        if self.rendering == REDACTED:
            return self
        return Slot(self.commit, self.rendering, self.config, priority, self.edits, self.targets)


# of an append or a summary that was redacted: it never shows, but a summary of it still stands at its place, and for what it stood for
REDACTED = Rendering("", None, None, "freeform", None, 0)
