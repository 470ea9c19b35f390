"""Slots: the entries of a compiler's state, one for each append and summary of a history.

They are stored as arrays; see store/snapshot_cache.
"""

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
    """One append or summary of the history, whether it is shown or not; `targets` are those of a summary."""

    commit: str
    rendering: Rendering
    config: str | None
    priority: Priority
    edits: tuple[Edit, ...] = ()
    targets: tuple[str, ...] = ()

    @property
    def is_shown(self) -> bool:
        """Whether the slot shows in the context, before summaries hide others and tool calls are paired."""
        if self.priority is Priority.SKIP:
            return False
        rendering = self.shown_rendering()
        return rendering.text is not None or (rendering is not LOST and rendering.is_message)

    @property
    def tools(self) -> Rendering | None:
        """The list of tools that the slot holds, if it is not skipped."""
        rendering = self.shown_rendering()
        is_list = rendering.content_type == "tools" and not rendering.is_message
        return rendering if is_list and self.priority is not Priority.SKIP else None

    @property
    def is_lost(self) -> bool:
        """Whether the slot would show, if the content that it shows were not missing or damaged."""
        return self.priority is not Priority.SKIP and self.shown_rendering() is LOST

    @property
    def shown_commit(self) -> str:
        """The commit whose content shows: that of the edit that applies, or the slot's own."""
        edit = self.winner() if self.edits else None
        return self.commit if edit is None else edit.commit

    def winner(self) -> Edit | None:
        """Returns the edit that applies, or None."""
        return next((edit for edit in reversed(self.edits) if not edit.is_skipped), None)

    def shown_rendering(self) -> Rendering:
        """Returns the rendering of the edit that applies, or its own."""
        edit = self.winner() if self.edits else None
        return self.rendering if edit is None else edit.rendering

    def with_edits(self, edits: tuple[Edit, ...]) -> Slot:
        """Returns the slot with other edits."""
        return Slot(self.commit, self.rendering, self.config, self.priority, edits, self.targets)

    def with_targets(self, targets: tuple[str, ...]) -> Slot:
        """Returns the slot of a summary with other targets."""
        return Slot(self.commit, self.rendering, self.config, self.priority, self.edits, targets)

    def with_priority(self, priority: Priority) -> Slot:
        """Returns the slot with another priority; a redacted slot keeps its own."""
        if self.rendering == REDACTED:
            return self
        return Slot(self.commit, self.rendering, self.config, priority, self.edits, self.targets)


# The rendering of a redacted append or summary. It never shows, but a summary of it still takes its place.
REDACTED = Rendering("", None, None, "freeform", None, 0)
# The rendering of a content that is missing or damaged. A slot that would show it is lost; none is stored.
LOST = Rendering("", None, "lost", "freeform", None, 0)
