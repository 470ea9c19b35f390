"""The exception tree: everything that tract_fs raises by itself is a TractError.

Each error carries its facts as attributes and says in one sentence what happened, where, and what to do. Errors
about an argument are ValueErrors too. OSError passes through from the operating system with its errno and path.
"""

from __future__ import annotations

from typing import Any


class TractError(Exception):
    """Base of all errors of this package; keyword arguments become attributes."""

    template = "{message}"

    def __init__(self, message: str | None = None, /, **fields: object) -> None:
        self.fields = fields
        for key, value in fields.items():
            setattr(self, key, value)
        super().__init__(self.template.format(**fields) if message is None else message)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), str(self), self.fields)


def _rebuild(kind: type[TractError], message: str, fields: dict[str, object]) -> TractError:
    return kind(message, **fields)


# Arguments


class ArgumentError(TractError, ValueError):
    """An argument that can't be understood, or two that exclude each other."""


class ContentValidationError(TractError, ValueError):
    """A content that fits no content type; `field` names the place, `reason` says why."""

    template = "content of type {content_type!r}: field {field!r}: {reason}"
    field: str
    reason: str
    content_type: str | None


class JsonValueError(TractError, ValueError):
    """A value that canonical JSON can't hold; `path` leads to it."""

    template = "{path}: {reason}"
    path: str
    reason: str


class BatchTooLarge(TractError):
    """A transaction whose event would exceed the format's limit; nothing was written."""

    template = "the transaction's event would take {size_bytes} bytes, over {limit_bytes}; split it into smaller batches; nothing was written"


class ObjectTooLarge(TractError, ValueError):
    """A content or commit over the format's limit; nothing was written."""

    template = "the {kind} takes {size_bytes} bytes, over {limit_bytes}; split it; nothing was written"


# History


class CommitNotFoundError(TractError, LookupError):
    """No such commit in this tract or branch."""

    template = "commit {hash!r} is not in {where}; see log() for the commits there are"
    hash: str


class AmbiguousRefError(TractError, LookupError):
    """A prefix of several commits."""

    template = "{ref!r} is a prefix of {count} commits; give more digits"


class ContentRedacted(TractError, LookupError):
    """The content was taken out of the store on purpose."""

    template = "the content {content_hash} of commit {hash} was redacted and is not in the store"
    hash: str


class BranchNotFound(TractError, LookupError):
    """No such branch."""

    template = "tract {tract_id!r} has no branch {branch!r}; see branches(), or make it by branch({branch!r})"


class BranchExists(TractError):
    """The branch has a head already; nothing was written."""

    template = "tract {tract_id!r} has a branch {branch!r} already, at {head}; choose another name, or delete it first; nothing was written"


class BranchDiverged(TractError):
    """The branch has several heads, of which the call would lose or confuse one; nothing was written."""

    template = "branch {branch!r} has {heads} as heads; merge() joins them, force=True does it all the same; nothing was written"
    branch: str
    heads: tuple[str, ...]


class BranchInUse(TractError):
    """The branch is the one that this handle works on; nothing was written."""

    template = "branch {branch!r} is the one that this handle works on; switch() to another, or use force=True; nothing was written"
    branch: str


class BatchOpen(TractError):
    """A call that can't be part of a batch; nothing was written."""

    template = "{call} can't be part of a batch; make it before the batch or after its end; nothing was written"
    call: str


class TagExists(TractError):
    """The tag names another commit; nothing was written."""

    template = "tag {tag!r} names {target} already; choose another name, or use force=True; nothing was written"
    target: str


class TagNotFound(TractError, LookupError):
    """No such tag."""

    template = "tract {tract_id!r} has no tag {tag!r}; see tags()"


class TractExists(TractError):
    """The tract has events already; nothing was written."""

    template = "there is a tract {tract_id!r} in this store already; choose another id; nothing was written"


class UndoError(TractError):
    """There is no last move of this copy that could be taken back; nothing was written."""

    template = "can't undo on branch {branch!r}: {reason}; nothing was written"


class CherryPickError(TractError, ValueError):
    """A commit that can't be made again here; nothing was written."""

    template = "can't make {target} again on branch {branch!r}: {reason}; nothing was written"


class RevertError(TractError, ValueError):
    """A commit that can't be taken back; nothing was written."""

    template = "can't revert {target}: {reason}; nothing was written"


class EditTargetError(TractError, ValueError):
    """An edit of what can't be edited."""

    template = "can't edit {target!r}: {reason}"


class AnnotateTargetError(TractError, ValueError):
    """An annotation of what can't be annotated."""

    template = "can't annotate {target!r}: {reason}"


class SummarizeError(TractError, ValueError):
    """A summary of what can't be summarized; `target` names the commit, None where there is nothing left."""

    template = "can't summarize {target!r}: {reason}; nothing was written"
    target: object
    reason: str


class HeadMoved(TractError):
    """Compare-and-swap failed: the branch's head is not the expected one; nothing was written."""

    template = (
        "branch {branch!r} is at {actual}, not at {expected}; read what came, then try again; nothing was written"
    )
    expected: str | None
    actual: str | None


class MergeError(TractError, ValueError):
    """A merge that can't be made as asked; nothing was written."""


class MergeConflict(MergeError):
    """Both lines changed the same; `conflicts` says what: each has `kind`, `target`, `ours`, `theirs` and all `sides`."""

    conflicts: tuple[Any, ...]


class ResetConflict(MergeError):
    """One head of the branch was set back, another contains it: a reset beside commits that it had not seen."""

    template = (
        "branch {branch!r} was set back to {shown}, while {containing} goes on from there; "
        "merge again with prefer 'reset' to drop the latter, or prefer 'commits' to keep it; nothing was written"
    )
    branch: str
    reset: tuple[str, ...]
    commits: tuple[str, ...]


class BudgetExceeded(TractError):
    """The operation would raise the context over its token budget; nothing was written."""

    template = "the context would hold {current} tokens, over the budget of {maximum}; skip or edit commits first; nothing was written"
    current: int
    maximum: int


class OrphanedToolCall(TractError):
    """A skip, edit or cut separates a tool call from its result; `commits` are the ones left standing."""

    template = "tool call and result are separated: {commits} stand without their other half; skip both, or compile with orphans='drop' or 'keep'"
    commits: tuple[str, ...]


class UsageError(TractError, ValueError):
    """Token usage of no known shape, or for a commit that is not the head."""


# Store


class StoreError(TractError):
    """Something about the store as a whole."""


class StoreNotFound(StoreError, LookupError):
    """There is no store at this path."""

    template = "{path}: no store here; open it with create=True, or run 'tract init'"


class NotAStore(StoreError):
    """The path can't hold a store, or its FORMAT file is none of ours."""

    template = "{path}: {reason}"


class UnsupportedFormat(StoreError):
    """A store of a newer format."""

    template = "{path}: written by format {found}, this version reads up to {supported}; update tract_fs"


class ReadOnlyError(StoreError):
    """A write through a handle that can't write."""

    template = "{path}: {reason}; nothing was written"


class LockTimeout(StoreError):
    """The store's lock could not be had in time; nothing was written."""

    template = "{path}: another writer held the lock for over {timeout_s} s; try again, or raise lock_timeout_s; nothing was written"


class ClosedError(TractError):
    """A call on a closed handle."""

    template = "this handle of tract {tract_id!r} is closed; open another"


class DamageError(StoreError):
    """Bytes in the store that are absent or not what their name says; `hash` and `path` say which."""

    hash: str
    path: str


class ObjectMissing(DamageError):
    """An object or event that something names is not in the store."""

    template = "{path}: the {kind} {hash} is missing; fetch it from another copy of this store"


class HashMismatch(DamageError):
    """A file whose bytes do not hash to its name."""

    template = "{path}: bytes hash to {actual}, not to {expected}; fetch the file from another copy of this store"
    expected: str
    actual: str


class InvalidObject(DamageError):
    """A file whose bytes are as named, but which holds no valid object of the kind asked for."""

    template = "{path}: no valid {kind}: {reason}"
    reason: str


# Bulk imports


class ImportInterrupted(TractError):
    """A stream that ended with an error; `position` messages were committed before, and none from there on."""

    template = "message {position} of the stream: {reason}; the {position} before it are committed up to {head}; go on from there"
    position: int
    head: str | None
    reason: str


# Bundles


class BundleDamaged(TractError):
    """A file that is no whole bundle; `line` counts from 1 and says where that shows."""

    template = "{path}, line {line}: {reason}; copy the bundle again, or make it anew; nothing of it was applied"
    path: str
    line: int
    reason: str


class BundleExists(TractError):
    """There is a file already where a bundle was to be made."""

    template = "{path}: there is a file already; choose another name, or replace it by --force (force=True)"
    path: str
