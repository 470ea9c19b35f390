"""Text edits: what an edit by a text alone is made from, the content and config that a message has now."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from tract_fs.errors import ContentValidationError, EditTargetError
from tract_fs.model.content import BUILTIN_TYPES, Priority
from tract_fs.model.names import CommitHash
from tract_fs.model.objects import CommitOperation
from tract_fs.model.text_edits import with_text
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


def standing_commit(reader: TractReader, target: CommitHash) -> CommitHash:
    """Returns the edit of `target` that applies at the head, or `target` itself."""
    for name, commit in reader.iter_about(target):
        is_edit = commit.operation is CommitOperation.EDIT
        if is_edit and not _is_skipped(reader, name) and reader.loaded(name, commit).rendering is not None:
            return name
    return target


def _is_skipped(reader: TractReader, edit: CommitHash) -> bool:
    priorities = (commit.priority for _, commit in reader.iter_about(edit))
    return next((priority for priority in priorities if priority is not None), None) is Priority.SKIP


def edit_text(reader: TractReader, target: CommitHash, text: str) -> TextEdit:
    """Returns an edit of `target` by a text alone: all else is as the last edit that applies left it.

    Errors: EditTargetError if the content has no text, or several of them; ContentRedacted.
    """
    head = reader.head()
    standing = standing_commit(reader, target)
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
