"""Reads one tract: commit infos, contents, refs, histories; what a transaction has staged reads as if written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from tract_fs.errors import (
    AmbiguousRefError,
    CommitNotFoundError,
    ContentRedacted,
    InvalidObject,
    JsonValueError,
    ObjectMissing,
)
from tract_fs.model import canonical
from tract_fs.model.compiler import Loaded
from tract_fs.model.config_query import FieldColumn, FieldPath, Scalar
from tract_fs.model.content import BUILTIN_TYPES, ContentTypes, Priority
from tract_fs.model.events import BroughtCommit
from tract_fs.model.history import is_ancestor, iter_newest_first
from tract_fs.model.info import CommitFacts, CommitInfo, PriorityAnnotation
from tract_fs.model.messages import Rendering, render
from tract_fs.model.names import CommitHash, is_hash, is_hex, to_datetime
from tract_fs.model.objects import Commit
from tract_fs.model.tokens import TokenCounter
from tract_fs.store.bounded_cache import BoundedCache
from tract_fs.store.store import Store
from tract_fs.store.tract_log import TractLog
from tract_fs.store.transaction import Transaction

if TYPE_CHECKING:
    from tract_fs.store.generation_index import GenerationIndex

_CACHED_BYTES = 32 * 1024 * 1024
_SHORTEST_PREFIX = 4


class TractReader:
    """The read side of one handle."""

    def __init__(self, store: Store, log: TractLog, branch: str, types: ContentTypes, counter: TokenCounter) -> None:
        self.store = store
        self.log = log
        self.branch = branch
        self.types = types
        self.counter = counter
        self.transaction: Transaction | None = None
        self.loading: AbstractContextManager[None] = nullcontext()  # one thread at a time, for what is read later
        self._generation_index: GenerationIndex | None = None
        self._renderings: BoundedCache[str, Rendering] = BoundedCache(_CACHED_BYTES)

    def head(self) -> CommitHash | None:
        """Returns the head that this copy works on; inside a transaction, the staged one."""
        if self.transaction is not None:
            return self.transaction.head
        found = self.log.own_head(self.branch)
        return None if found is None else found.commit

    def commit(self, name: CommitHash) -> Commit:
        """Returns a commit of the store. Errors: ObjectMissing, HashMismatch, InvalidObject."""
        return self.store.objects.require_commit(name)

    def has(self, name: object) -> bool:
        """Tells whether this tract has a commit of this full hash."""
        if type(name) is not str or not is_hash(name):
            return False
        if self.transaction is not None and name in self.transaction.commits:
            return True
        return bool(self.log.events_of(name))

    def is_in_history(self, name: str) -> bool:
        """Tells whether a commit is in the history of the head."""
        head = self.head()
        return head is not None and self.has(name) and is_ancestor(CommitHash(name), head, self.commit)

    def require(self, name: object) -> CommitHash:
        """Returns a full hash of this tract as it is. Errors: CommitNotFoundError."""
        if type(name) is not str or not self.has(name):
            raise CommitNotFoundError(hash=name, where=f"tract {self.log.tract!r}")
        return CommitHash(name)

    def require_in_history(self, ref: object) -> CommitHash:
        """Returns a commit of the head's history. Errors: CommitNotFoundError, AmbiguousRefError."""
        name = self.resolve(ref)
        if not self.is_in_history(name):
            raise CommitNotFoundError(hash=name, where=f"the history of branch {self.branch!r}")
        return name

    def resolve(self, ref: object) -> CommitHash:
        """Returns the commit of a full hash, branch, tag, or unique prefix of 4 digits or more.

        Errors: CommitNotFoundError, AmbiguousRefError.
        """
        if type(ref) is str and self.has(ref):
            return CommitHash(ref)
        if type(ref) is str:
            if ref == self.branch and (head := self.head()) is not None:
                return head
            other = self.log.own_head(ref)
            if other is not None:
                return other.commit
            tag = self.log.view.tags.get(ref)
            if tag is not None and tag.target is not None:
                return tag.target
            if len(ref) >= _SHORTEST_PREFIX and is_hex(ref):
                return self._resolve_prefix(ref)
        raise CommitNotFoundError(hash=ref, where=f"tract {self.log.tract!r}")

    def info(self, name: CommitHash) -> CommitInfo:
        """Returns the info of a commit of this tract."""
        return CommitInfo(name, self.log.tract, self.facts(name))

    def facts(self, name: CommitHash) -> CommitFacts:
        """Returns what is known of a commit: its object, its config and its tokens by this handle's counter."""
        commit = self.commit(name)
        entry = self._entry(name)
        config = b"" if entry is None else bytes(entry.config)
        if commit.content is None:
            return CommitFacts(commit, config, 0)
        tokens = None if entry is None else entry.tokens.get(self.counter.name)
        if tokens is None or commit.content_type not in BUILTIN_TYPES:
            rendering = self._renderings.get(name)
            if rendering is None:
                rendering = self._render(commit, entry)
                self.keep_rendering(name, rendering)
            tokens = rendering.tokens
        return CommitFacts(commit, config, tokens)

    def content(self, name: CommitHash) -> object:
        """Returns the typed content of a commit (fresh). Errors: CommitNotFoundError if it has none; damage."""
        commit = self.commit(name)
        if commit.content is None or commit.content_type is None:
            raise CommitNotFoundError(
                f"commit {name} is of operation {commit.operation.value} and has no content", hash=name
            )
        try:
            return self._decode(commit.content, commit.content_type)
        except ObjectMissing as error:
            if commit.content not in self.store.redacted():
                raise
            raise ContentRedacted(hash=name, content_hash=commit.content) from error

    def loaded(self, name: CommitHash, commit: Commit | None = None) -> Loaded:
        """Returns a commit, which the caller may have read already, with its rendering and config, as the compiler takes it."""
        if commit is None:
            commit = self.commit(name)
        if commit.content is None:
            return Loaded(commit, None, None)
        entry = self._entry(name)
        config = None if entry is None or not entry.config else bytes(entry.config).decode()
        try:
            return Loaded(commit, self._renderings.get(name) or self._render(commit, entry), config)
        except ObjectMissing:
            if commit.content not in self.store.redacted():
                raise
            return Loaded(commit, None, None)  # a redacted content makes no message

    def keep_rendering(self, name: CommitHash, rendering: Rendering) -> None:
        """Remembers what a commit's content makes of a message, within bounds."""
        weight = 300 + 2 * len(rendering.text or "") + 2 * len(rendering.body or "")
        self._renderings.put(name, rendering, weight)

    def _render(self, commit: Commit, entry: BroughtCommit | None) -> Rendering:
        assert commit.content is not None and commit.content_type is not None
        is_builtin = commit.content_type in BUILTIN_TYPES  # a custom type's text depends on who registered it
        tokens = entry.tokens.get(self.counter.name) if entry is not None and is_builtin else None
        content = self._decode(commit.content, commit.content_type)
        return render(content, commit.content_type, self.types, self.counter, tokens=tokens)

    def forget_renderings(self) -> None:
        """Forgets renderings: a content type was registered anew."""
        self._renderings.clear()

    def iter_log(self) -> Iterator[CommitHash]:
        """Yields the history of the head, newest first."""
        head = self.head()
        if head is not None:
            for name, _ in iter_newest_first(head, self.commit):
                yield name

    def usage(self, name: CommitHash) -> tuple[int, int] | None:
        """Returns the last prompt and completion tokens told of a commit, or None."""
        if self.transaction is not None:
            for commit, prompt_tokens, completion_tokens in reversed(self.transaction.usage):
                if commit == name:
                    return prompt_tokens, completion_tokens
        found = self.log.usage(name)
        return None if found is None else (found.prompt_tokens, found.completion_tokens)

    def annotations(self, ref: object) -> list[PriorityAnnotation]:
        """Returns the annotations of a commit of the head's history, oldest first; its type's own, if not normal, before them."""
        name = self.require_in_history(ref)
        tract = self.log.tract
        found = []
        for other in self.iter_log():
            commit = self.commit(other)
            if commit.priority is not None and commit.targets[0] == name:
                made = to_datetime(commit.created_us)
                found.append(PriorityAnnotation(other, tract, name, commit.priority, commit.reason, made))
        target = self.commit(name)
        if target.content_type is not None:
            level = self.types.default_priority(target.content_type)
            if level is not Priority.NORMAL:
                found.append(PriorityAnnotation(None, tract, name, level, None, to_datetime(target.created_us)))
        return found[::-1]

    def query(self, path: FieldPath, operator: str, value: Scalar) -> list[CommitInfo]:
        """Returns the commits whose generation config matches, by creation time, then hash."""
        if self._generation_index is None:
            from tract_fs.store.generation_index import GenerationIndex  # sqlite3: only a query needs it

            file = self.store.layout.tract_local(self.log.tract, "generation.db")
            read_only = self.store.read_only
            self._generation_index = GenerationIndex(file, self.log, self.store.events, read_only=read_only)
        hits = self._generation_index.select(path, operator, value)
        tract, load = self.log.tract, self._load_facts
        found = [CommitInfo(name, tract, None, load, config) for name, config in hits]
        return found + [self.info(name) for name in self._staged_matches(path, operator, value)]

    def close(self) -> None:
        """Closes the files that reading opened."""
        if self._generation_index is not None:
            self._generation_index.close()

    def _staged_matches(self, path: FieldPath, operator: str, value: Scalar) -> list[CommitHash]:
        """Returns the commits of the open transaction whose config matches, in order."""
        if self.transaction is None:
            return []
        column = FieldColumn(path)
        staged = list(self.transaction.commits.values())
        column.add((n, canonical.decode(new.config)) for n, new in enumerate(staged) if new.config is not None)
        return [CommitHash(staged[n].commit) for n in sorted(column.select(operator, value))]

    def _entry(self, name: CommitHash) -> BroughtCommit | None:
        if self.transaction is not None and name in self.transaction.commits:
            return self.transaction.commits[name].as_brought()
        return self.log.brought(name)

    def _load_facts(self, name: str) -> CommitFacts:
        with self.loading:
            return self.facts(CommitHash(name))

    def _decode(self, content: str, content_type: str) -> object:
        data = self.store.objects.require(content, "content")
        try:
            return self.types.decode(data, content_type)
        except JsonValueError as error:
            path = self.store.layout.relative(self.store.layout.object(content))
            raise InvalidObject(path=path, hash=content, kind=content_type, reason=error.reason) from None

    def _resolve_prefix(self, prefix: str) -> CommitHash:
        names = [digest.hex() for digest in self.log.all_commits()]
        if self.transaction is not None:
            names += self.transaction.commits
        found = [name for name in names if name.startswith(prefix)]
        if len(found) > 1:
            raise AmbiguousRefError(ref=prefix, count=len(found))
        if not found:
            raise CommitNotFoundError(hash=prefix, where=f"tract {self.log.tract!r}")
        return CommitHash(found[0])
