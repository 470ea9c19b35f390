"""Values that the facade accepts and returns: commit infos, annotations, budget, options, moves.

All are immutable; dicts are decoded at each access, so nothing that a caller does to them reaches the store.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from tract_fs.errors import ArgumentError
from tract_fs.model import canonical
from tract_fs.model.content import Priority
from tract_fs.model.names import format_time, to_datetime
from tract_fs.model.objects import Commit, CommitOperation


class CommitFacts(Struct, frozen=True):
    """All that is known of a commit in a tract; configs are canonical JSON bytes, empty where there is none."""

    commit: Commit
    config: bytes
    token_count: int | None  # None: the tokenizer fails at it


class CommitInfo:
    """A commit as the facade shows it.

    Either its facts are known from the start, or `load` reads them from the store, verified, on first access, as for
    the results of a query; also when it is copied or pickled.
    """

    __slots__ = ("_config", "_facts", "_load", "commit_hash", "tract_id")

    def __init__(
        self,
        commit_hash: str,
        tract_id: str,
        facts: CommitFacts | None,
        load: Callable[[str], CommitFacts] | None = None,
        config: bytes = b"",
    ) -> None:
        self.commit_hash = commit_hash
        self.tract_id = tract_id
        self._facts = facts
        self._load = load
        self._config = config or (b"" if facts is None else facts.config)

    def _known(self) -> CommitFacts:
        if self._facts is None:
            assert self._load is not None
            self._facts = self._load(self.commit_hash)
            self._load = None
        return self._facts

    @property
    def parents(self) -> tuple[str, ...]:
        """The parent commits, first parent first."""
        return self._known().commit.parents

    @property
    def parent_hash(self) -> str | None:
        """The first parent, or None at a root."""
        parents = self.parents
        return parents[0] if parents else None

    @property
    def content_hash(self) -> str | None:
        """The hash of the content; None where the operation has none."""
        return self._known().commit.content

    @property
    def content_type(self) -> str | None:
        """The type of the content; None where the operation has none."""
        return self._known().commit.content_type

    @property
    def operation(self) -> CommitOperation:
        """What the commit does."""
        return self._known().commit.operation

    @property
    def targets(self) -> tuple[str, ...]:
        """The commits that an edit, annotation or summary is about."""
        return self._known().commit.targets

    @property
    def priority(self) -> Priority | None:
        """The priority that an annotation sets; None for any other operation."""
        return self._known().commit.priority

    @property
    def reason(self) -> str | None:
        """The reason given for an annotation, or None."""
        return self._known().commit.reason

    @property
    def message(self) -> str | None:
        """The commit message."""
        return self._known().commit.message

    @property
    def metadata(self) -> dict[str, Any] | None:
        """The metadata (fresh)."""
        data = bytes(self._known().commit.metadata)
        return canonical.decode(data) if data else None

    @property
    def generation_config(self) -> dict[str, Any] | None:
        """The generation config (fresh); None where none was given."""
        return canonical.decode(self._config) if self._config else None

    @property
    def token_count(self) -> int | None:
        """The tokens of the message that this commit's content makes, as its writer counted them; 0 without content, None if the handle's tokenizer
        fails at it.
        """
        return self._known().token_count

    @property
    def created_at(self) -> datetime:
        """The time of the commit, aware, UTC."""
        return to_datetime(self._known().commit.created_us)

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields as JSON values (fresh)."""
        return {
            "commit_hash": self.commit_hash,
            "tract_id": self.tract_id,
            "parents": list(self.parents),
            "operation": self.operation.value,
            "content_hash": self.content_hash,
            "content_type": self.content_type,
            "targets": list(self.targets),
            "priority": None if self.priority is None else self.priority.value,
            "reason": self.reason,
            "message": self.message,
            "metadata": self.metadata,
            "generation_config": self.generation_config,
            "token_count": self.token_count,
            "created_at": self._known().commit.created_at,
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CommitInfo):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.commit_hash, self.tract_id))

    def __reduce__(self) -> tuple[type[CommitInfo], tuple[object, ...]]:
        return CommitInfo, (self.commit_hash, self.tract_id, self._known(), None, self._config)

    def __repr__(self) -> str:
        return f"CommitInfo({self.commit_hash[:12]}, {self.operation.value}, {self.content_type}, {self._known().commit.created_at})"


class Sibling(Struct, frozen=True):
    """One of several answers to a prompt, and the branches whose history has it."""

    commit: CommitInfo
    branches: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns the commit's fields and `branches` as JSON values (fresh)."""
        return {**self.commit.to_dict(), "branches": list(self.branches)}


class PriorityAnnotation(Struct, frozen=True):
    """A commit's priority, set by an annotation or by the default of its type (then `commit_hash` is None)."""

    commit_hash: str | None
    tract_id: str
    target_hash: str
    priority: Priority
    reason: str | None
    created_at: datetime


class TokenBudgetConfig(Struct, frozen=True):
    """A limit of the compiled context: `warn` logs, `reject` raises BudgetExceeded, `callback` calls (current, maximum)."""

    max_tokens: int
    action: Literal["warn", "reject", "callback"] = "warn"
    callback: Callable[[int, int], object] | None = None

    def require_valid(self) -> None:
        """Raises ArgumentError if the fields do not go together."""
        if type(self.max_tokens) is not int or self.max_tokens < 1:
            raise ArgumentError(f"max_tokens {self.max_tokens!r}: use an integer from 1")
        if self.action not in ("warn", "reject", "callback"):
            raise ArgumentError(f"budget action {self.action!r}: use warn, reject or callback")
        if (self.action == "callback") != callable(self.callback):
            raise ArgumentError("a budget's callback goes with action 'callback'")


class TractConfig(Struct, frozen=True):
    """The options of a handle; they are not stored."""

    token_budget: TokenBudgetConfig | None = None
    snapshot_cache_size: int = 16  # compiled heads kept in memory

    def require_valid(self) -> None:
        """Raises ArgumentError if a field is not valid."""
        if type(self.snapshot_cache_size) is not int or self.snapshot_cache_size < 1:
            raise ArgumentError(f"snapshot_cache_size {self.snapshot_cache_size!r}: use an integer from 1")
        if self.token_budget is None:
            return
        if not isinstance(self.token_budget, TokenBudgetConfig):
            raise ArgumentError(f"token_budget {self.token_budget!r}: give a TokenBudgetConfig")
        self.token_budget.require_valid()


class ImportReport(Struct, frozen=True):
    """What a streamed import committed: how many messages, in how many transactions, and the head after the last."""

    commit_count: int
    transaction_count: int
    head: str | None


class TractInfo(Struct, frozen=True):
    """A tract of a store as a list shows it."""

    tract_id: str
    title: str | None
    head: str | None  # of `main`, or of the branch that moved last if there is no `main`; None: no commits yet
    commit_count: int  # of all commits made in this tract, on whatever branch
    updated_us: int  # its last change, in microseconds since 1970
    metadata_json: str = "{}"  # canonical

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of the tract (fresh); empty where none was given."""
        found: dict[str, Any] = canonical.decode(self.metadata_json.encode())
        return found

    @property
    def updated_at(self) -> datetime:
        """The time of the last change, aware, UTC."""
        return to_datetime(self.updated_us)

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields as JSON values (fresh)."""
        return {
            "tract_id": self.tract_id,
            "title": self.title,
            "metadata": self.metadata,
            "head": self.head,
            "commit_count": self.commit_count,
            "updated_at": format_time(self.updated_us),
        }


class ReflogEntry(Struct, frozen=True):
    """One move of a branch by this copy: from `old_head` to `head` (None: before the first move, or after a delete)."""

    at: datetime
    kind: str  # append, merge, forward, create, reset, delete or undo
    old_head: str | None
    head: str | None
    event: str
    message: str | None  # of the commit that the move brought as its head
