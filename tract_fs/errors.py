"""The exception tree: every error that a call of this package raises on its own account is a TractError.

Each error carries its facts as attributes; its message states in one sentence what happened, where, and what to do.
Errors about an argument are ValueErrors too, errors about a name without an object are LookupErrors too. OSError passes
through from the operating system with its errno and path, but for one about a file of the store that can't be read.
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
    """Raised when an argument has no valid value, or two arguments exclude each other. Correct the call."""


class QueryError(ArgumentError):
    """Raised when the text of a query can't be understood. Correct it at `position`, an index into `text`."""

    template = "can't understand the query: {reason}, at character {number}\n{line}\n{mark}"
    text: str
    position: int
    reason: str


class ContentValidationError(TractError, ValueError):
    """Raised when a content does not fit its type. Correct the field named by `field`; `reason` is why."""

    template = "content of type {content_type!r}: field {field!r}: {reason}"
    field: str
    reason: str
    content_type: str | None


class JsonValueError(TractError, ValueError):
    """Raised when a value can't be stored as JSON, or bytes are not the JSON expected. Correct the value at `path`."""

    template = "{path}: {reason}"
    path: str
    reason: str


class BatchTooLarge(TractError):
    """Raised when the event of a transaction would be over the size limit. Split the batch; nothing was written."""

    template = "the transaction's event would take {size_bytes} bytes, over {limit_bytes}; split it into smaller batches; nothing was written"


class ObjectTooLarge(TractError, ValueError):
    """Raised when a content or commit exceeds the format's size limit. Split it; nothing was written."""

    template = "the {kind} takes {size_bytes} bytes, over {limit_bytes}; split it; nothing was written"


class TokenizerError(TractError, ValueError):
    """Raised when the handle's tokenizer raises, or returns no count. Mend the tokenizer, or open with another one.

    `hash` is the commit whose message can't be counted, None if that is not committed; the tokenizer's own error is the
    cause.
    """

    template = "tokenizer {tokenizer!r} can't count the message{where}: {reason}; mend it, or open with another one"
    tokenizer: str
    hash: str | None
    reason: str

    @classmethod
    def of(cls, tokenizer: str, reason: str, commit: str | None = None) -> TokenizerError:
        """Returns the error of a tokenizer at a message, of a commit if it has one."""
        where = "" if commit is None else f" of commit {commit}"
        return cls(tokenizer=tokenizer, hash=commit, where=where, reason=reason)

    def at(self, commit: str) -> TokenizerError:
        """Returns the same error at a commit; this one if it names a commit already."""
        return self if self.hash is not None else self.of(self.tokenizer, self.reason, commit)


# History


class CommitNotFoundError(TractError, LookupError):
    """Raised when a hash, prefix or ref names no commit of this tract or branch. `log()` lists the commits."""

    template = "commit {hash!r} is not in {where}; log() lists the commits"
    hash: str


class AmbiguousRefError(TractError, LookupError):
    """Raised when several commits begin with the given prefix; `matches` are the first of them. Give more digits."""

    template = "{ref!r} is a prefix of {count} commits{shown}; give more digits"
    matches: tuple[str, ...]

    def __init__(self, message: str | None = None, /, *, matches: tuple[str, ...] = (), **fields: Any) -> None:
        fields["matches"] = matches
        if message is None:
            shown = f", such as {' and '.join(name[:12] for name in matches)}" if matches else ""
            message = self.template.format(**fields, shown=shown)
        super().__init__(message, **fields)


class ContentRedacted(TractError, LookupError):
    """Raised when a content was removed from the store on purpose. Another copy may still have it."""

    template = "the content {content_hash} of commit {hash} was redacted and is not in the store"
    hash: str


class BranchNotFound(TractError, LookupError):
    """Raised when the tract has no branch of this name. `branches()` lists them, `branch()` creates one."""

    template = "tract {tract_id!r} has no branch {branch!r}; see branches(), or create it with branch({branch!r})"


class TractDeleted(BranchNotFound):
    """Raised when a write goes to a tract that was deleted. `Store.tract(id)` gives a handle that begins it again."""

    template = (
        "tract {tract_id!r} was deleted: Store.tract({tract_id!r}) begins it again without what was in it, and "
        "branch({branch!r}, at=...) brings a commit of it back; nothing was written"
    )
    tract_id: str


class BranchExists(TractError):
    """Raised when a new branch would take the name of an existing one. Choose another name; nothing was written."""

    template = "tract {tract_id!r} has a branch {branch!r} already, at {head}; choose another name, or delete it first; nothing was written"


class BranchDiverged(TractError):
    """Raised when a call would lose one of several heads of a branch. Join them with `merge()`; nothing was written."""

    template = "branch {branch!r} has several heads: {heads}; join them with merge(), or delete the branch with force=True; nothing was written"
    branch: str
    heads: tuple[str, ...]


class BranchInUse(TractError):
    """Raised when a call would delete the branch that this handle works on. Switch to another; nothing was written."""

    template = "branch {branch!r} is the one that this handle works on; switch() to another, or use force=True; nothing was written"
    branch: str


class BatchOpen(TractError):
    """Raised when a call can't be part of a batch. Call it before or after the batch; nothing was written."""

    template = "{call} can't be part of a batch; call it before or after the batch; nothing was written"
    call: str


class TagExists(TractError):
    """Raised when a tag names another commit already. Choose another name, or use force=True; nothing was written."""

    template = "tag {tag!r} names {target} already; choose another name, or use force=True; nothing was written"
    target: str


class TagNotFound(TractError, LookupError):
    """Raised when the tract has no tag of this name. `tags()` lists them."""

    template = "tract {tract_id!r} has no tag {tag!r}; see tags()"


class TractNotFound(TractError, LookupError):
    """Raised when `Tract.open(create=False)` names a tract that the store lacks. `Tract.tracts(path)` lists them."""

    template = (
        "{path}: no tract {tract_id!r} in this store; see Tract.tracts(), or create it by opening it with create=True"
    )
    tract_id: str


class TractExists(TractError):
    """Raised when a new tract would take the id of an existing one. Choose another id; nothing was written."""

    template = "there is a tract {tract_id!r} in this store already; choose another id; nothing was written"


class UndoError(TractError):
    """Raised when this copy made no move of the branch that can be undone. See `reflog()`; nothing was written."""

    template = "can't undo on branch {branch!r}: {reason}; nothing was written"


class CherryPickError(TractError, ValueError):
    """Raised when a commit can't be repeated on this branch; `reason` is why. Nothing was written."""

    template = "can't cherry-pick {target} onto branch {branch!r}: {reason}; nothing was written"


class RevertError(TractError, ValueError):
    """Raised when a commit can't be reverted; `reason` is why. Nothing was written."""

    template = "can't revert {target}: {reason}; nothing was written"


class EditTargetError(TractError, ValueError):
    """Raised when the target of an edit can't be edited. Edit a commit with a content, in this branch's history."""

    template = "can't edit {target!r}: {reason}"


class AnnotateTargetError(TractError, ValueError):
    """Raised when the target of an annotation can't be annotated. Annotate a commit with a content."""

    template = "can't annotate {target!r}: {reason}"


class SummarizeError(TractError, ValueError):
    """Raised when commits can't be summarized; `target` is the one at fault, None if there is nothing to summarize."""

    template = "can't summarize {target!r}: {reason}; nothing was written"
    target: object
    reason: str


class HeadMoved(TractError):
    """Raised when the branch's head is not the expected one. Read the new commits, try again; nothing was written."""

    template = "branch {branch!r} {found}, {wanted}; read the new commits, then try again; nothing was written"
    expected: str | None
    actual: str | None

    def __init__(self, message: str | None = None, /, **fields: object) -> None:
        if message is None:
            actual, expected = fields["actual"], fields["expected"]
            found = "has no commits" if actual is None else f"is at {actual}"
            wanted = "though no commit was expected" if expected is None else f"not at {expected}"
            message = self.template.format(**fields, found=found, wanted=wanted)
        super().__init__(message, **fields)


class MergeError(TractError, ValueError):
    """Raised when a merge can't be made with these arguments. Nothing was written."""


class MergeConflict(MergeError):
    """Raised when the lines to merge disagree on a commit. Merge again with `resolutions` or `prefer`.

    `conflicts` lists the disagreements, each with its `kind`, `target`, `ours`, `theirs` and all `sides`.
    """

    conflicts: tuple[Any, ...]


class UnrelatedHistories(MergeError):
    """Raised when `sync`, `apply_bundle` or `merge` would mix two histories of one name that have nothing in common.

    Two projects met. Give each a directory of its own, or pass `allow_unrelated=True` (`--unrelated`) to mix them for good.
    `ours` and `theirs` are the starts of their first messages. Nothing was written.
    """

    template = (
        "tract {tract_id!r}{where}: two histories with nothing in common: ours begins with {ours!r}, the other with {theirs!r}; "
        "give each project a directory of its own, or mix them for good with --unrelated (allow_unrelated=True); nothing was written"
    )
    tract_id: str
    ours: str
    theirs: str


class ResetConflict(MergeError):
    """Raised when one head of a branch was reset and another one contains it. Merge again with `prefer`.

    This happens when one copy resets a branch while another copy appends to it.
    """

    template = (
        "branch {branch!r} was reset to {shown}, while {containing} continues from there; "
        "merge again with prefer 'reset' to drop the latter, or prefer 'commits' to keep it; nothing was written"
    )
    branch: str
    reset: tuple[str, ...]
    commits: tuple[str, ...]


class BudgetExceeded(TractError):
    """Raised when a commit would put the context over its token budget. Skip or edit commits; nothing was written."""

    template = "the context would hold {current} tokens, over the budget of {maximum}; skip or edit commits first; nothing was written"
    current: int
    maximum: int


class ContextTooLarge(TractError):
    """Raised when a context can't be made to fit in so many tokens: what has to stay holds `token_count`.

    Pinned messages, those of the system, summaries, the last message and the tools stay. Unpin, edit or summarize some, or
    give more tokens; nothing was written.
    """

    template = "the context can't be made to fit in {max_tokens} tokens: what stays of it (pinned and system messages, summaries, the last message, tools) has {token_count}; unpin, edit or summarize some of it, or give more; nothing was written"
    max_tokens: int
    token_count: int


class OrphanedToolCall(TractError):
    """Raised by `compile(orphans="raise")` when a skip, edit or cut separates a tool call from its result.

    `commits` are those that have lost their other half. Skip them too, or compile with "drop" or "keep".
    """

    template = "tool call and result are separated: {commits} have lost their other half; skip both, or compile with orphans='drop' or 'keep'"
    commits: tuple[str, ...]


class ExportError(TractError, ValueError):
    """Raised by an export when a message holds what the provider's messages have no form for; `reason` is what,
    `form` names the provider's.

    `commits` are those that made the message. Edit or skip them, or export `as_committed`.
    """

    template = "commit {commits}: {reason} has no form in {form}; edit or skip it, or take `messages` as committed"
    commits: tuple[str, ...]
    reason: str
    form: str


class UsageError(TractError, ValueError):
    """Raised when token usage has no known shape, or there is no commit that it could be recorded for."""


class TimeLimitReached(TractError):
    """Raised when the next time of a tract, `at`, is one that the format does not allow. Nothing was written.

    A tract's times only grow, and end with year 8999; in that year, an event is at most a second later than those it
    follows. Check the clock; if the tract itself is dated so late, import its messages into another tract.
    """

    template = "the next time of this tract would be {at}, and the format ends with year 8999, which only steps of a second lead into; check the clock, or begin another tract; nothing was written"
    at: str


# Store


class StoreError(TractError):
    """Base of the errors about a store and its files."""


class StoreNotFound(StoreError, LookupError):
    """Raised when there is no store at this path. Open it with create=True, or run `tract init`."""

    template = "{path}: no store here; open it with create=True, or run 'tract init'"


class FormatMissing(StoreNotFound):
    """Raised when parts of a store lie at the path, but not the FORMAT file that makes it one; nothing was written.

    Bring the missing files back, or run `tract repair`, which writes FORMAT again.
    """

    template = (
        "{path}: parts of a store lie here ({found}), but its FORMAT file is missing; bring the missing files back "
        "(git switch, the end of a copy), or run 'tract repair' to write FORMAT again; nothing was written"
    )
    found: str


class StoreNotCheckedOut(StoreNotFound):
    """Raised when git's index has a store at this path, and the work tree has not: a sparse checkout, or removed files.

    Run `command`, and it is there again. A new one in its place would be a second root; nothing was written.
    """

    template = (
        "{path}: git has a store here that is not checked out; '{command}' brings it back. To begin another one, remove this "
        "one from git first (git rm -r --cached); nothing was written"
    )
    command: str


class StoreGone(StoreError):
    """Raised when the store that a handle has open is no longer at its path; `reason` is what lies there now.

    Nothing was written. Put the directory back, and the handle goes on; or open the store where it is now.
    """

    template = (
        "{path}: {reason}; put the store's directory back and this handle goes on, or open it where it is now; "
        "nothing was written"
    )
    path: str
    reason: str


class NotAStore(StoreError):
    """Raised when the path can't hold a store, or the FORMAT file there is not that of a store. Choose another path."""

    template = "{path}: {reason}"


class UnsupportedFormat(StoreError):
    """Raised when a newer version of tract_fs wrote the store. Update tract_fs."""

    template = "{path}: written in format {found}, this version reads up to {supported}; update tract_fs"


class ReadOnlyError(StoreError):
    """Raised when a call would write through a handle that can't write; `reason` is why. Nothing was written."""

    template = "{path}: {reason}; nothing was written"


class CommitUncertain(StoreError):
    """Raised when the disk failed, so that a commit may stand or not; chained from its OSError.

    `hash` is the newest commit that may stand (of a transaction without commits: its event), `hashes` are all of them.
    Look for it in the history, perhaps after a power cut, before you commit the same again.
    """

    template = (
        "{path}: commit {hash} may stand or not: {reason}; look for it in the log before you commit the same again"
    )
    hash: str
    hashes: tuple[str, ...]
    reason: str


class LockTimeout(StoreError):
    """Raised when the store's lock was not free in time. Try again, or raise lock_timeout_s; nothing was written."""

    template = "{path}: another writer held the lock for over {timeout_s} s; try again, or raise lock_timeout_s; nothing was written"


class NoLockWarning(UserWarning):
    """Warns, at the first write of a handle, that the file system gives no locks: only one writer at a time is safe there."""


class CallInsideCall(LockTimeout):
    """Raised at once when a call can't wait, because its own thread is inside another call or batch on the store, which
    would have to end first: in a signal handler, a finalizer, a callback. Make the call afterwards; nothing was written.
    """

    template = "{message}"


class ClosedError(TractError):
    """Raised when a call uses a closed handle. Open another one."""

    template = "this handle of tract {tract_id!r} is closed; open another"


class DamageError(StoreError):
    """Base of the errors about one file of the store, named by `hash` and `path`. Fetch it from another copy."""

    hash: str
    path: str


class ObjectMissing(DamageError):
    """Raised when an object or event is named in the store but missing. Fetch it from another copy."""

    template = (
        "{path}: the {kind} {hash} is missing; fetch it from another copy of this store; where there is none, 'tract repair' "
        "lists what can be kept"
    )


class HashMismatch(DamageError):
    """Raised when the bytes of a file do not hash to its name. Fetch it from another copy."""

    template = (
        "{path}: bytes hash to {actual}, not to {expected}; fetch the file from another copy of this store; where there is "
        "none, 'tract repair' lists what can be kept"
    )
    expected: str
    actual: str


class FileUnreadable(DamageError):
    """Raised when the system can't read a file that is there: a bad sector, or missing permission. `__cause__` is its error.

    Mend the permissions, or remove the file and fetch it from another copy.
    """

    template = "{path}: it can't be read: {reason}; mend its permissions, or remove it and fetch it from another copy of this store"
    reason: str


class InvalidObject(DamageError):
    """Raised when the bytes of a file hash to its name, but are not a valid object of the expected kind."""

    template = "{path}: not a valid {kind}: {reason}"
    reason: str


class HistoryIncomplete(DamageError):
    """Raised when files are lost or unread, so that this copy would show or go on from less than it had or its files show.

    `lost` are the paths of the files, `commits` those that depend on them, oldest first; `hash` and `path` are of the
    first file. Fetch the files from another copy: that ends it. `open(incomplete="use")` works with what is whole;
    `repair(give_up=[hash])` makes the gap permanent. Where whole events are gone and nothing builds on them,
    `repair(accept=True)` goes on without them.
    """

    template = (
        "branch {branch!r} of tract {tract_id!r} is incomplete: {reason}; fetch what is lost from another copy of this "
        "store, go on without it (incomplete='use', --incomplete), or give it up (tract repair --give-up {hash:.12})"
    )
    tract_id: str
    branch: str
    lost: tuple[str, ...]
    commits: tuple[str, ...]
    reason: str


# Bulk imports


class ImportInterrupted(TractError):
    """Raised when a streamed import fails. The `position` messages before the failure are committed; continue there."""

    template = "message {position} of the stream: {reason}; the {position} before it are committed up to {head}; continue from there"
    position: int
    head: str | None
    reason: str


class TranscriptFormatUnknown(TractError):
    """Raised when a file is no session of a known format. Name the format, if you know it."""

    template = (
        "{name}: no session of a known format; it holds {found}; known are {shown}; name one with --format (format=)"
    )
    name: str
    formats: tuple[str, ...]
    found: str

    def __init__(self, message: str | None = None, /, **fields: Any) -> None:
        if message is None:
            message = self.template.format(**fields, shown=", ".join(fields["formats"]))
        super().__init__(message, **fields)


class TranscriptFlawed(TractError):
    """Raised by a strict import of a session file that is not clean. `flaws` are what was found; nothing was written."""

    template = "{name}: {count} flaws, the first in line {line}: {reason}; import it without --strict (strict=False); nothing was written"
    name: str
    line: int
    reason: str
    flaws: tuple[Any, ...]


# Bundles


class BundleDamaged(TractError):
    """Raised when a file is not a whole bundle, as of `line` (from 1). Copy or create the bundle again."""

    template = "{path}, line {line}: {reason}; copy or create the bundle again; nothing was applied"
    path: str
    line: int
    reason: str


class BundleExists(TractError):
    """Raised when the path of a new bundle exists already. Choose another path, or use force=True."""

    template = "{path}: the file exists already; choose another name, or replace it with --force (force=True)"
    path: str
