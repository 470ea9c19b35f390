"""Commits: the nodes of a history, as immutable structs, and their canonical bytes.

A commit holds no config, no token count and no tract: those are in the event that brings it. Format: FORMAT.md, section
5.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Raw, Struct
from msgspec.json import Decoder

from tract_fs.errors import JsonValueError
from tract_fs.model import canonical
from tract_fs.model.content import ILL_FORMED, Priority, is_type_name
from tract_fs.model.names import CommitHash, ContentHash, are_hashes, is_hash, parse_time, require_time


class CommitOperation(StrEnum):
    """What a commit does to the context."""

    APPEND = "append"
    EDIT = "edit"
    ANNOTATE = "annotate"
    MERGE = "merge"
    SUMMARIZE = "summarize"


ABOUT_ONE = frozenset([CommitOperation.EDIT, CommitOperation.ANNOTATE])  # each changes how one other commit shows


class Commit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """One commit; `metadata` is JSON bytes, empty where there is none."""

    operation: CommitOperation
    parents: tuple[CommitHash, ...]  # first parent first; empty at a root
    created_at: str  # RFC 3339, UTC, microseconds
    content: ContentHash | None = None
    content_type: str | None = None
    targets: tuple[CommitHash, ...] = ()
    priority: Priority | None = None
    reason: str | None = None
    message: str | None = None
    metadata: Raw = Raw()  # empty: none

    @property
    def created_us(self) -> int:
        """The time of creation in microseconds since 1970."""
        return parse_time(self.created_at)


class _Envelope(Struct, frozen=True, forbid_unknown_fields=True):
    commit: Commit


_DECODER = Decoder(_Envelope)
_TARGET_COUNTS = {
    CommitOperation.APPEND: (0, 0),
    CommitOperation.EDIT: (1, 1),
    CommitOperation.ANNOTATE: (1, 1),
    CommitOperation.MERGE: (0, 0),
    CommitOperation.SUMMARIZE: (1, 2**31),
}
_WITH_CONTENT = frozenset([CommitOperation.APPEND, CommitOperation.EDIT, CommitOperation.SUMMARIZE])


def encode_commit(commit: Commit) -> bytes:
    """Returns the stored bytes of a commit whose parts are checked already; `metadata` is canonical JSON."""
    if (
        commit.operation is CommitOperation.APPEND
        and commit.message is None
        and not commit.metadata
        and len(commit.parents) <= 1
    ):
        parent = commit.parents[0] if commit.parents else None
        return encode_append(commit.content or "", commit.content_type or "", commit.created_at, parent)
    fields: dict[str, object] = {
        "created_at": commit.created_at,
        "operation": commit.operation.value,
        "parents": commit.parents,
    }
    for name in ("content", "content_type", "priority", "reason", "message"):
        value = getattr(commit, name)
        if value is not None:
            fields[name] = value
    if commit.targets:
        fields["targets"] = commit.targets
    if commit.metadata:
        fields["metadata"] = canonical.raw(bytes(commit.metadata))
    return canonical.encode_checked({"commit": fields})


def encode_append(content: str, content_type: str, created_at: str, parent: str | None) -> bytes:
    """Returns the stored bytes of an append with one parent, or none, and no optional fields."""
    parents = "" if parent is None else f'"{parent}"'
    return (
        f'{{"commit":{{"content":"{content}","content_type":"{content_type}","created_at":"{created_at}"'
        f',"operation":"append","parents":[{parents}]}}}}'
    ).encode()


def decode_commit(data: bytes) -> Commit:
    """Returns the commit of stored bytes; JsonValueError if they hold no valid commit."""
    commit = canonical.decode_typed(_DECODER, data).commit
    fault = _fault(commit)
    if fault is not None:
        raise JsonValueError(path="commit", reason=fault)
    return commit


def fault_of_commit(commit: Commit, content_type: str) -> str | None:
    """Returns what keeps a decoded commit from being brought by an event, or None.

    `content_type` is that of its content: "" if it is not known, ILL_FORMED if the object is no content. Older versions brought such commits, so they can be read where they are visible already.
    """
    if content_type != commit.content_type and commit.content_type is not None:
        if content_type == ILL_FORMED:
            return f"it brings the ill-formed content {commit.content}"
        if content_type:
            return f"it brings a commit of type {commit.content_type!r}, whose content is of type {content_type!r}"
        if not is_type_name(commit.content_type):
            return f"it brings a commit of the ill-formed type {commit.content_type!r}"
    if commit.metadata and canonical.is_deep(bytes(commit.metadata)):
        return f"it brings a commit whose metadata is over {canonical.MAX_DEPTH} arrays and objects deep"
    return None


def _fault(commit: Commit) -> str | None:
    """Returns what is wrong beyond the types (fields of the operation, the form of hashes and times), or None."""
    least, most = _TARGET_COUNTS[commit.operation]
    if not least <= len(commit.targets) <= most:
        return f"{commit.operation.value} with {len(commit.targets)} targets"
    has_content = commit.content is not None
    if has_content != (commit.operation in _WITH_CONTENT) or has_content != (commit.content_type is not None):
        return "content and content_type go with append, edit and summarize"
    if (commit.priority is not None) != (commit.operation is CommitOperation.ANNOTATE):
        return "priority goes with annotate"
    if commit.reason is not None and commit.priority is None:
        return "reason goes with annotate"
    if commit.metadata and not canonical.is_object(bytes(commit.metadata)):
        return "metadata is not a JSON object that the format allows"
    if not are_hashes(commit.parents + commit.targets) or (commit.content is not None and not is_hash(commit.content)):
        return "a hash is not 64 lower-case hexadecimal digits"
    if len(commit.parents) > 1 and len(set(commit.parents)) != len(commit.parents):
        return "a parent is listed twice"
    try:
        require_time(commit.created_at)
    except ValueError as error:
        return str(error)
    return None
