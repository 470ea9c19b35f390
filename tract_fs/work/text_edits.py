"""Text edits: what an edit by a text alone is made from, the content and config that a message has now."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from tract_fs.errors import ContentValidationError, EditTargetError
from tract_fs.model.content import BUILTIN_TYPES
from tract_fs.model.names import CommitHash
from tract_fs.model.text_edits import with_text
from tract_fs.work.contexts import ContextReader
from tract_fs.work.reader import TractReader


class TextBasis(Struct, frozen=True):
    """What a text edit was made from: the commit or edit that stood for `target`, and the head then."""

    target: CommitHash
    standing: CommitHash
    head: CommitHash | None


class TextEdit(Struct, frozen=True):
    """The content of a text edit as a dict; the config of the edit that stood, None if it had none of its own."""

    content: dict[str, Any]
    config: bytes | None
    basis: TextBasis


def standing_commit(contexts: ContextReader, head: CommitHash, target: CommitHash) -> CommitHash:
    """Returns the edit of `target` that applies after the history of `head`, or `target` itself."""
    slot = contexts.state(head).slot_of(target) or contexts.whole_state(head).slot_of(target)
    edit = slot.winner() if slot is not None and slot.edits else None
    return target if edit is None else CommitHash(edit.commit)


def edit_text(reader: TractReader, contexts: ContextReader, target: CommitHash, text: str) -> TextEdit:
    """Returns an edit of `target` by a text alone: all else is as the last edit that applies left it.

    Errors: EditTargetError if the content has no text, or several of them; ContentRedacted.
    """
    head = reader.head()
    standing = target if head is None else standing_commit(contexts, head, target)
    content_type = reader.commit(standing).content_type
    assert content_type is not None
    content = reader.content(standing)
    if content_type in BUILTIN_TYPES:
        fields: dict[str, Any] = msgspec.to_builtins(content)
    elif isinstance(content, dict):
        fields = content
    else:
        fields = {**reader.types.plain_fields(content), "content_type": content_type}
    try:
        edited = with_text(fields, text)
    except ContentValidationError as error:
        raise EditTargetError(target=target, reason=error.reason) from error
    config = None if standing == target else reader.facts(standing).config or None
    return TextEdit(edited, config, TextBasis(target, standing, head))
