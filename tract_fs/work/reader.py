"""Reads one tract: commit infos, contents, refs, histories; what a transaction has staged reads as if written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

from tract_fs.errors import (
    AmbiguousRefError,
    ArgumentError,
    BranchNotFound,
    CommitNotFoundError,
    ContentRedacted,
    DamageError,
    FileUnreadable,
    HashMismatch,
    HistoryIncomplete,
    InvalidObject,
    JsonValueError,
    ObjectMissing,
    TokenizerError,
)
from tract_fs.model import canonical
from tract_fs.model.blobs import base64_of, decode_blob, put_data
from tract_fs.model.compiler import Loaded
from tract_fs.model.config_query import FieldColumn, FieldPath, Scalar, is_part
from tract_fs.model.content import BUILTIN_TYPES, ContentTypes, Priority, ReadContent
from tract_fs.model.events import BroughtCommit, NewCommit
from tract_fs.model.history import KnownHistory, iter_newest_first
from tract_fs.model.incomplete import BY_GIT, Incomplete, Lost
from tract_fs.model.info import CommitFacts, CommitInfo, PriorityAnnotation
from tract_fs.model.lines import shows
from tract_fs.model.messages import Message, Rendering, render
from tract_fs.model.names import CommitHash, ContentHash, is_hash, is_hex, to_datetime
from tract_fs.model.objects import ABOUT_ONE, Commit
from tract_fs.model.refs import HEAD, Ref, parse_ref
from tract_fs.model.slots import LOST
from tract_fs.model.tokens import TokenCounter, recorded_tokens
from tract_fs.store.bounded_cache import BoundedCache
from tract_fs.store.foreign_commits import ForeignCommits
from tract_fs.store.operations import Operations
from tract_fs.store.store import Store
from tract_fs.store.tract_log import TractLog
from tract_fs.work.overlay import Overlay

if TYPE_CHECKING:
    from tract_fs.store.index.configs import ConfigIndex, Hit
    from tract_fs.store.index.texts import Blocks, TractTexts

_T = TypeVar("_T")
_CACHED_BYTES = 32 * 1024 * 1024
_CACHED_NEW = 1024
_SHORTEST_PREFIX = 4
_NEAR_COMMITS = 128  # a walk over so many is shorter than what it spares
_NEVER = "~"  # after every time
_MOST_NAMED = 3
WRITTEN_AGAIN = "this copy's redo log still has what is missing: 'tract repair' writes it again"
_MOST_SHOWN = 200  # characters of a config
_GONE = (
    "branch {branch!r} of tract {tract_id!r} is incomplete: it went back, and no checkout by git explains it: {reason}; "
    "fetch what is gone from another copy of this store, go on without it (incomplete='use', --incomplete), or accept "
    "that it is gone (tract repair --accept)"
)
LOSSES = (ObjectMissing, HashMismatch, FileUnreadable)  # of a file, not of a call


class TractReader:
    """Reads the tract of one session.

    States: it reads the head of `branch`, or for ever the commit `pinned`; inside a transaction, `overlay` adds what is
    staged. The private fields are caches, which may be dropped at any time.
    """

    def __init__(
        self,
        store: Store,
        log: TractLog,
        branch: str,
        types: ContentTypes,
        counter: TokenCounter,
        *,
        pinned: CommitHash | None = None,
    ) -> None:
        self.store = store
        self.log = log
        self.foreign = ForeignCommits(log, store.log, store.objects, store.events)
        self.pinned = pinned  # the head for ever; None: the head is the branch's
        self.branch = branch
        self.types = types
        self.counter = counter
        self.hidden = store.hidden(log.tract)
        self.overlay = Overlay(log, self.foreign, self.hidden, store.objects)
        self.gaps: dict[CommitHash, str] = {}  # commits whose contents, or blobs, could not be read for a context
        self.uncounted: set[CommitHash] = set()  # those of them whose tokens were counted without a blob
        self.loading: AbstractContextManager[None] = nullcontext()  # held while a query's result loads its facts
        self.misfits: dict[ContentHash, str] = {}  # rendered contents that their registered types do not fit: why
        self.throw_away: object = None  # keeps a throw-away store for as long as a reference to it is left
        self._history = KnownHistory(self.commit)
        self._config_indexes: dict[str, ConfigIndex] = {}  # by tract
        self._texts: dict[str, TractTexts] = {}  # by tract
        self._blocks: Blocks | None = None  # of texts
        self._operations: dict[TractLog, Operations] = {}
        self._renderings: BoundedCache[str, Rendering] = BoundedCache(_CACHED_BYTES)
        self._with_data: BoundedCache[tuple[str, tuple[str, ...]], Message] = BoundedCache(_CACHED_BYTES)  # by message
        self._written: dict[CommitHash, NewCommit] = {}  # recent commits of this session
        self._written_version = (0, 0)  # `records_version` when it wrote them

    def head(self) -> CommitHash | None:
        """Returns the head that this copy works on; inside a batch, the staged one."""
        return self.overlay.head(self.branch) if self.pinned is None else self.pinned

    def title(self) -> str | None:
        """Returns the title of the tract, or None."""
        return self.overlay.description()[0] or None

    def metadata(self) -> dict[str, Any]:
        """Returns the metadata of the tract."""
        found: dict[str, Any] = canonical.decode(self.overlay.description()[1].encode())
        return found

    def require_branch(self, branch: str) -> CommitHash:
        """Returns the head of a branch that this copy works on. Errors: BranchNotFound."""
        head = self.overlay.head(branch)
        if head is None:
            raise BranchNotFound(tract_id=self.log.tract, branch=branch)
        return head

    def incomplete(self, branch: str | None = None) -> HistoryIncomplete | None:
        """Returns what hides a part of a branch (None: the handle's) from this copy, or None. Cost: nothing if no event
        is hidden.
        """
        if self.pinned is not None or not self.log.hides_any:
            return None
        found = self.hidden.of(self.branch if branch is None else branch)
        return None if found is None else self.error_of(found)

    def require_complete(self, branch: str | None = None) -> None:
        """Raises HistoryIncomplete if a part of a branch is hidden, unless this handle accepts gaps."""
        if self.log.hides_any and not self.store.accepts_gaps:
            error = self.incomplete(branch)
            if error is not None:
                raise error

    def require_head(self, head: CommitHash) -> None:
        """Raises HistoryIncomplete for a head that can't be read. A handle that accepts gaps goes back to the last whole
        commit instead: its view is rebuilt.
        """
        if self.store.accepts_gaps:
            self.log.rebuild(is_ours=True)
            return
        lost = Lost("commit", head, "", self.store.objects.exists(head))
        raise self.error_of(Incomplete(self.branch, (lost,), (), ()))

    def whole_or_rebuilt(self, read: Callable[[], _T]) -> _T:
        """Returns what `read` returns. Where a lost file stops it, a handle that accepts gaps rebuilds its view, so that the
        head is the last whole commit, and reads again.
        """
        try:
            return read()
        except DamageError:
            if not self.store.accepts_gaps or self.pinned is not None or self.overlay.is_staging:
                raise
        self.log.rebuild(is_ours=True)
        return read()

    def looking_again(self, read: Callable[[], _T]) -> _T:
        """Returns what `read` returns. Where a file is missing, what is known only from a cache is looked at again before it
        is believed, and `read` is called once more.
        """
        try:
            return read()
        except ObjectMissing:
            if self.overlay.is_staging:
                raise
        self.log.list_events(is_forced=True)
        return read()

    def require_complete_ref(self, ref: str) -> None:
        """Raises HistoryIncomplete if a ref names a branch of which a part is hidden, unless this handle accepts gaps."""
        parsed = parse_ref(ref)
        if parsed is not None and parsed.name in self.log.view.branches:
            self.require_complete(parsed.name)

    def error_of(self, found: Incomplete) -> HistoryIncomplete:
        """Returns the error that lists what is lost, and the commits that depend on it."""
        lost = [one.describe() for one in found.lost]
        reason = "; ".join(
            [*lost[:_MOST_NAMED], *([f"and {len(lost) - _MOST_NAMED} more"] if lost[_MOST_NAMED:] else [])]
        )
        if found.commits:
            count = len(found.commits)
            reason += f"; {count} commit{'s depend' if count > 1 else ' depends'} on it, up to {found.commits[-1]}"
        if not self.store.redo_names().isdisjoint(one.hash for one in found.lost):
            reason += f"; {WRITTEN_AGAIN}"
        if any(one.cause == BY_GIT for one in found.lost):
            reason += (
                "; it went with a checkout by git, and what builds on it stayed, since git does not track that: "
                "'git switch' back and 'git add' it"
            )
        links = {link for one in found.lost if (link := self.store.link_above(one.path)) is not None}
        reason += "".join(f"; {link} is a symbolic link, and none is followed in a store" for link in sorted(links))
        fields = {
            "tract_id": self.log.tract,
            "branch": found.branch,
            "reason": reason,
            "hash": found.lost[0].hash,
            "path": found.lost[0].path,
            "lost": tuple(one.path for one in found.lost),
            "commits": found.commits,
        }
        return HistoryIncomplete(_GONE.format(**fields) if found.is_going_back else None, **fields)

    def gap_error(self, names: Iterable[str]) -> DamageError:
        """Returns the error for commits whose contents the context needs: HistoryIncomplete, or FileUnreadable where a file
        is there.
        """
        lost = []
        for name in names:
            content = self.commit(CommitHash(name)).content or ContentHash("")
            try:
                self.store.objects.require(content, "content")
            except FileUnreadable as unreadable:
                return unreadable
            except DamageError:
                pass
            lost.append(Lost("content", content, "", self.store.objects.exists(content)))
        error = self.error_of(Incomplete(self.branch, tuple(dict.fromkeys(lost)), (), ()))
        shown = ", ".join(names)
        fields = {**error.fields, "reason": f"the content of commit {shown} is lost: {error.reason}"}
        message = HistoryIncomplete.template.format(**fields)
        return HistoryIncomplete(f"{message}, or skip, edit or summarize the commit", **fields)

    def commit(self, name: CommitHash) -> Commit:
        """Returns a commit of the store. Errors: ObjectMissing, HashMismatch, InvalidObject."""
        return self.store.objects.require_commit(name)

    def has(self, name: object) -> bool:
        """Returns whether this tract has a commit of this full hash."""
        return type(name) is str and is_hash(name) and self.overlay.has(name)

    def get(self, ref: object) -> CommitInfo | None:
        """Returns the info of the commit that a ref names, or None if it names none. Errors: AmbiguousRefError."""
        try:
            return self.info(self.resolve(ref))
        except CommitNotFoundError:
            return None

    def is_in_history(self, name: CommitHash) -> bool:
        """Returns whether a commit is in the history of the head.

        Cost: that of a look-up where the branch's moves show it; else a walk, over what no walk for this head has met.
        """
        head = self.head()
        if head is None or not self.overlay.may_have(name):
            return False
        return name == head or self._is_in_line(name) or self._history.has(head, name)

    def is_in_history_of(self, head: CommitHash, name: CommitHash, created_us: int) -> bool:
        """Returns whether a commit, made at that time, is in the history of any head. Cost: as `is_in_history`'s walk."""
        return self._history.has(head, name, created_us)

    def _is_in_line(self, name: CommitHash) -> bool:
        """Returns whether the moves of branches show that a commit is in the history of the head; False: it is unknown."""
        if self.pinned is not None:
            return shows(name, self.pinned, None, self.foreign.bringing_moves)
        line = self.overlay.line(self.branch)
        if line is None:
            return False
        start, staged = line
        if name in staged:
            return True
        view = self.log.view
        is_single = len(view.branches.get(self.branch, ())) == 1
        own = view.lines.get(self.branch) if is_single else None
        return start is not None and shows(name, start, own, self.foreign.bringing_moves)

    def require_in_history(self, ref: str) -> CommitHash:
        """Returns a commit of the head's history. Errors: CommitNotFoundError, AmbiguousRefError."""
        name = self.resolve(ref)
        if not self.is_in_history(name):
            raise CommitNotFoundError(hash=name, where=f"the history of branch {self.branch!r}")
        return name

    def resolve(self, ref: object) -> CommitHash:
        """Returns the commit of this tract that a ref names: a full hash, branch, tag, `@`, or unique prefix of 4
        digits or more, with steps back.

        `tract:branch` names a commit of this tract only if a merge brought it in. Errors: CommitNotFoundError,
        AmbiguousRefError.
        """
        if type(ref) is str and self.has(ref):
            return CommitHash(ref)
        reader, name = self.resolve_foreign(ref)
        if reader is not self and not self.has(name):
            raise CommitNotFoundError(
                f"commit {name} is in tract {reader.log.tract!r} and not in tract {self.log.tract!r}; "
                f"merge({ref!r}) brings it in",
                hash=name,
            )
        return name

    def resolve_foreign(self, ref: object) -> tuple[TractReader, CommitHash]:
        """Returns the commit that a ref names, and a reader of its tract: another reader for `tract:branch`.

        For calls that take commits of other tracts. Errors: CommitNotFoundError, AmbiguousRefError.
        """
        parsed = parse_ref(ref)
        if parsed is None:
            raise CommitNotFoundError(hash=ref, where=f"tract {self.log.tract!r}")
        reader = self if parsed.tract in (None, self.log.tract) else self._beside(parsed)
        name = reader._resolve_name(parsed.name)
        return reader, reader._step_back(name, parsed, ref)

    def _beside(self, ref: Ref) -> TractReader:
        """Returns a reader of another tract of this store, caught up."""
        tract = ref.tract or ""
        if not self.store.has_tract(tract):
            raise CommitNotFoundError(f"there is no tract {tract!r} in this store; see Tract.tracts()", hash=ref.name)
        log = self.store.log(tract)
        log.catch_up()
        log.list_if_due()
        reader = TractReader(self.store, log, self.branch, self.types, self.counter)
        reader.loading = self.loading
        return reader

    def _resolve_name(self, name: str) -> CommitHash:
        if self.has(name):
            return CommitHash(name)
        commit = self.overlay.head(name) or self.overlay.tag(name)
        if commit is None and name in (HEAD, "HEAD"):
            commit = self.head()
        if commit is not None:
            return commit
        if len(name) >= _SHORTEST_PREFIX and is_hex(name):
            return self._resolve_prefix(name)
        raise CommitNotFoundError(hash=name, where=f"tract {self.log.tract!r}")

    def _step_back(self, name: CommitHash, parsed: Ref, ref: object) -> CommitHash:
        for number, count in parsed.steps:
            for _ in range(count if number else 0):
                parents = self.commit(name).parents
                if len(parents) < number:
                    message = f"commit {name} has {len(parents)} parents, so {ref!r} names no commit; see log()"
                    raise CommitNotFoundError(message, hash=ref)
                name = parents[number - 1]
        return name

    def info(self, name: CommitHash) -> CommitInfo:
        """Returns the info of a commit of this tract."""
        return CommitInfo(name, self.log.tract, self.facts(name))

    def facts(self, name: CommitHash) -> CommitFacts:
        """Returns what is known of a commit: its object, its config and its tokens by this handle's counter."""
        commit = self.commit(name)
        entry = self.overlay.entry(name)
        if entry is None and self.log.hides_any and not self.store.accepts_gaps:
            self._require_entry(name)
        config = b"" if entry is None else bytes(entry.config)
        if commit.content is None:
            return CommitFacts(commit, config, 0)
        tokens = None if entry is None else recorded_tokens(self.counter, entry.tokens)[0]
        if tokens is None:
            rendering = self._renderings.get(name)
            if rendering is None:
                try:
                    rendering = self._render(name, commit, entry)
                except TokenizerError:  # a log needs no count
                    return CommitFacts(commit, config, None)
                except LOSSES:
                    return CommitFacts(commit, config, tokens or 0)
                if name not in self.uncounted:
                    self.keep_rendering(name, rendering)
            tokens = rendering.tokens
        return CommitFacts(commit, config, tokens)

    def _require_entry(self, name: CommitHash) -> None:
        """Raises HistoryIncomplete for a commit whose config and token counts are lost with its event."""
        if name in self.hidden.commits():
            lost = [one.lost for one in self.hidden.lost_files() if one.lost.kind == "event"]
            if lost:
                error = self.error_of(Incomplete(self.branch, tuple(lost), (), ()))
                reason = f"{error.reason}, and with it the generation config and token counts of commit {name}"
                raise HistoryIncomplete(**{**error.fields, "reason": reason})

    def content(self, name: CommitHash) -> object:
        """Returns the typed content of a commit (fresh). Errors: CommitNotFoundError if it has none; damage."""
        commit = self.commit(name)
        if commit.content is None or commit.content_type is None:
            raise CommitNotFoundError(
                f"commit {name} is of operation {commit.operation.value} and has no content", hash=name
            )
        try:
            return self._decode(commit.content, commit.content_type).content
        except ObjectMissing as error:
            if commit.content not in self.store.redacted():
                raise
            raise ContentRedacted(hash=name, content_hash=commit.content) from error

    def blob(self, name: str) -> bytes:
        """Returns the bytes of a blob. Errors: ArgumentError; ContentRedacted, ObjectMissing, InvalidObject; damage."""
        if type(name) is not str or not is_hash(name):
            raise ArgumentError(f"blob {name!r}: give the hash that put_blob() returned")
        try:
            return decode_blob(self.store.objects.require(name, "blob"))
        except ObjectMissing as error:
            if name not in self.store.redacted():
                raise
            raise ContentRedacted(
                f"the blob {name} was redacted and is not in the store", hash=name, content_hash=name
            ) from error
        except JsonValueError as error:
            path = self.store.layout.relative(self.store.layout.object(name))
            raise InvalidObject(path=path, hash=name, kind="blob", reason=error.reason) from None

    def with_data(self, message: Message) -> tuple[Message, list[str]]:
        """Returns a provider message with the data of the blobs that it names, and the blobs that are lost."""
        key = message.canonical_json, message.commit_hashes
        known = self._with_data.get(key)
        if known is not None:
            return known, []
        fields = message.to_dict()
        absent = put_data(fields, self.read_blob, self._shown_absent)
        found = message.with_fields(fields)
        if absent:
            return found, [name for name in dict.fromkeys(absent) if name not in self.store.redacted()]
        self._with_data.put(key, found, 2 * len(found.canonical_json) + 300)
        return found, []

    def read_blob(self, name: str) -> str | None:
        """Returns the base64 of a blob, or None if it is missing or damaged."""
        data = self.store.objects.get(name)
        return None if data is None else base64_of(data)

    def _shown_absent(self, name: str) -> str:
        return f"[{'a redacted attachment' if name in self.store.redacted() else 'an attachment that is missing'}: blob {name}]"

    def loaded(self, name: CommitHash, commit: Commit | None = None) -> Loaded:
        """Returns a commit, with its rendering and config, for the compiler; `commit` is that commit if the caller has
        read it. A content that can't be read is noted in `gaps`.
        """
        if commit is None:
            commit = self.commit(name)
        if commit.content is None:
            return Loaded(commit, None, None)
        rendering = self._renderings.get(name)
        new = None if rendering is None else self._written.get(name)
        if new is not None and self._written_version == self.records_version():
            return Loaded(commit, rendering, None if new.config is None else new.config.decode())
        entry = self.overlay.entry(name)
        config = None if entry is None or not entry.config else bytes(entry.config).decode()
        try:
            return Loaded(commit, rendering or self._render(name, commit, entry), config)
        except LOSSES:
            self.gaps[name] = commit.content
            if commit.content in self.store.redacted():
                return Loaded(commit, None, None)  # a redacted content makes no message
            return Loaded(commit, LOST, config)

    def require_loaded(self, name: CommitHash, commit: Commit | None = None) -> Loaded:
        """Returns a commit as `loaded` does; a content that is lost counts as redacted if this handle accepts gaps.

        Errors: HistoryIncomplete.
        """
        found = self.loaded(name, commit)
        if found.rendering is not LOST:
            return found
        if not self.store.accepts_gaps:
            raise self.gap_error([name])
        return Loaded(found.commit, None, None)

    def overruled_configs(self) -> dict[str, str]:
        """Returns the commits that have another generation config than this copy showed before, and a sentence on each."""
        return {
            commit: f"commit {commit}: this copy showed the generation config {_shown(before)}, and an event that arrived later with an earlier "
            f"time sets {_shown(now)}, which applies; edit the commit to set another, 'tract repair --accept' ends this warning"
            for commit, before, now in self.log.overruled_configs()
        }

    def default_priority(self, name: CommitHash) -> Priority:
        """Returns the priority that a commit has until it is annotated: that of its content, or of its type."""
        commit = self.commit(name)
        if commit.content_type is None:
            return Priority.NORMAL
        rendering = None if commit.content_type in BUILTIN_TYPES else self.loaded(name, commit).rendering
        own = None if rendering is None else rendering.priority
        return self.types.default_priority(commit.content_type) if own is None else own

    def has_gap_closed(self) -> bool:
        """Returns whether a content in `gaps` can be read by now. Cost: a read of each."""
        return any(self.store.objects.get(content) is not None for content in self.gaps.values())

    def keep_rendering(self, name: CommitHash, rendering: Rendering) -> None:
        """Caches the rendering of a commit, within bounds."""
        weight = 300 + 2 * len(rendering.text or "") + 2 * len(rendering.body or "")
        self._renderings.put(name, rendering, weight)

    def keep_written(self, commits: Mapping[CommitHash, NewCommit]) -> None:
        """Caches the configs of commits that this session has just written."""
        version = self.records_version()
        if version != self._written_version or len(self._written) + len(commits) > _CACHED_NEW:
            self._written.clear()
            self._written_version = version
        if len(commits) <= _CACHED_NEW:
            self._written.update(commits)

    def _render(self, name: str, commit: Commit, entry: BroughtCommit | None) -> Rendering:
        assert commit.content is not None and commit.content_type is not None
        is_builtin = commit.content_type in BUILTIN_TYPES  # a custom type's text depends on its registration
        recorded = entry.tokens if entry is not None and is_builtin else None
        read = self._decode(commit.content, commit.content_type)
        if read.misfit:
            self.misfits[commit.content] = read.misfit
        absent: list[str] = []

        def read_blob(blob: str) -> str | None:
            text = self.read_blob(blob)
            if text is None:
                absent.append(blob)
            return text

        try:
            found = render(
                read.content,
                commit.content_type,
                self.types,
                self.counter,
                recorded=recorded,
                shown=read.shown,
                read_blob=read_blob,
            )
        except TokenizerError as error:
            raise error.at(name) from error.__cause__
        if absent:
            self.uncounted.add(CommitHash(name))
            self.gaps[CommitHash(name)] = absent[0]
        return found

    def forget_renderings(self) -> None:
        """Drops all renderings, since a content type was registered."""
        self._renderings.clear()
        self._with_data.clear()
        self.misfits.clear()

    def forget_history(self) -> None:
        """Drops what is known of the head's history, since an error may have left it half known."""
        self._history.forget()

    def iter_log(self) -> Iterator[CommitHash]:
        """Yields the history of the head, newest first."""
        head = self.head()
        if head is not None:
            for name, _ in iter_newest_first(head, self.commit):
                yield name

    def annotations(self, ref: str) -> list[PriorityAnnotation]:
        """Returns the annotations of a commit of the head's history, oldest first; before them the default priority of
        its type, unless that is normal.
        """
        name = self.require_in_history(ref)
        tract = self.log.tract
        annotations = []
        for other, commit in self.iter_about(name):
            if commit.priority is not None:
                made = to_datetime(commit.created_us)
                annotations.append(PriorityAnnotation(other, tract, name, commit.priority, commit.reason, made))
        target = self.commit(name)
        level = self.default_priority(name)
        if level is not Priority.NORMAL:
            annotations.append(PriorityAnnotation(None, tract, name, level, None, to_datetime(target.created_us)))
        return annotations[::-1]

    def iter_about(self, name: CommitHash) -> Iterator[tuple[CommitHash, Commit]]:
        """Yields the edits and annotations of a commit that are in the head's history, newest first.

        Cost: a look-up for each where the branch's moves show their order; else a walk back to the commit.
        """
        if self._operations_of(self.log).unread_count() > _NEAR_COMMITS:
            about = self._about_near(name)
            if about is not None:
                yield from about
                return
        names = self._about(name)
        if names is None:
            yield from self._iter_about(name, self.iter_log())
            return
        for other in names:
            if self.is_in_history(other):
                yield other, self.commit(other)

    def _about_near(self, name: CommitHash) -> list[tuple[CommitHash, Commit]] | None:
        """Returns what `iter_about` yields of a commit that is just before the head; None of any other."""
        near: list[CommitHash] = []
        cursor = self.head()
        while cursor is not None and len(near) < _NEAR_COMMITS:
            near.append(cursor)
            parents = self.commit(cursor).parents
            if cursor == name:
                return list(self._iter_about(name, near))
            cursor = parents[0] if len(parents) == 1 else None
        return None

    def _iter_about(self, name: CommitHash, history: Iterable[CommitHash]) -> Iterator[tuple[CommitHash, Commit]]:
        for other in history:
            if other == name:
                return  # what is about it comes after it
            commit = self.commit(other)
            if commit.operation in ABOUT_ONE and commit.targets[0] == name:
                yield other, commit

    def _about(self, name: CommitHash) -> list[CommitHash] | None:
        """Returns the edits and annotations of a commit on any branch, newest first, those of the head's history in its order;
        None if it takes a walk to know.
        """
        staged = None if self.log.hides_any else self.overlay.staged_about(name, self.branch)
        if staged is None:
            return None
        found: set[CommitHash] = set()
        for log in (self.log, *self.foreign.sources()) if self.log.view.foreign else (self.log,):
            about = self._operations_of(log).about(name)
            if about is None:
                return None
            found.update(about)
        made: dict[CommitHash, str] = {}
        for other in found.difference(staged):
            commit = self.log.commit(other)
            if commit is None:  # the walk meets it, if it is of this history
                return None
            if commit.operation in ABOUT_ONE and commit.targets[0] == name:
                made[other] = commit.created_at
        order = sorted(made, key=made.__getitem__)
        if len(order) > 1 and made[order[1]] <= self._straight_since():
            order = [other for other in order if self.is_in_history(other)]
            if not self.is_line(order):
                return None
        return [*reversed(staged), *reversed(order)]

    def ordered_before(self, names: Iterable[CommitHash], end: CommitHash) -> list[CommitHash] | None:
        """Returns commits of the history of `end`, in its order, or None where moves of branches do not show it.

        Cost: some look-ups for each; a walk over as many commits as there are names costs less, and comes first.
        """
        wanted = set(names)
        met: list[CommitHash] = []
        cursor: CommitHash | None = end
        for _ in range(16 + 2 * len(wanted)):
            if cursor is None or len(met) == len(wanted):
                break
            if cursor in wanted:
                met.append(cursor)
            parents = self.commit(cursor).parents
            cursor = parents[0] if len(parents) == 1 else None
        made = {name: self.log.commit(name) for name in wanted.difference(met)}
        times = {name: commit.created_at for name, commit in made.items() if commit is not None}
        order = sorted(times, key=times.__getitem__)
        last = met[-1] if met else end
        start = self.overlay.line(self.branch) if self.overlay.is_staged(last) else None
        last = last if start is None else start[0] or last
        return [*order, *met[::-1]] if len(order) == len(made) and self.is_line([*order, last]) else None

    def is_line(self, names: Iterable[CommitHash]) -> bool:
        """Returns whether moves of branches show that each commit is in the history of the next; False: it is unknown."""
        return all(shows(before, after, None, self.foreign.bringing_moves) for before, after in pairwise(names))

    def _straight_since(self) -> str:
        """Returns the time after which all written commits of the head's history are one line; the end of times if it is unknown."""
        view = self.log.view
        line = view.lines.get(self.branch) if self.pinned is None else None
        is_single = len(view.branches.get(self.branch, ())) == 1
        return line.straight_since if line is not None and is_single else _NEVER

    def _operations_of(self, log: TractLog) -> Operations:
        found = self._operations.get(log)
        if found is None:
            store = self.store
            found = self._operations[log] = Operations(
                store.layout, log, store.objects, read_only=store.read_only, is_distrusted=store.distrusts_caches
            )
        return found

    def query(self, path: FieldPath, operator: str, value: Scalar) -> list[CommitInfo]:
        """Returns the commits whose generation config matches, by creation time, then hash."""
        tract, load = self.log.tract, self._loader()
        hits = self._select(self.log, path, operator, value)
        sources = self.foreign.sources()
        if sources:
            repeated = self.foreign.brought_repeatedly()
            foreign = self.foreign.names() - repeated
            foreign_hits = (hit for log in sources for hit in self._select(log, path, operator, value))
            beside = (self.foreign.brought(name) for name in repeated)
            hits = [*hits, *(hit for hit in foreign_hits if hit[1] in foreign)]
            hits = sorted({*hits, *self._select_among(beside, path, operator, value)})
        if self.log.hides_any:
            hits = sorted({*hits, *self._select_among(self.hidden.commits().values(), path, operator, value)})
        written = [CommitInfo(name, tract, None, load, config) for _, name, config in hits]
        return written + [self.info(name) for name in self.overlay.staged_matches(path, operator, value)]

    def names_where(self, matches: Callable[[Any], bool] | None) -> list[CommitHash]:
        """Returns the commits of this tract, or at least those whose generation config matches, each once; without those whose
        config is lost.
        """
        if matches is None:
            found = self.overlay.names()
        else:
            hits = (hit[1] for hit in self._index(self.log).select_where(matches))
            found = list(dict.fromkeys((*hits, *self.overlay.names_beside())))
        lost = {name for name, entry in self.hidden.commits().items() if entry is None} if self.log.hides_any else ()
        return [CommitHash(name) for name in found if name not in lost]

    def find(self, metadata: Mapping[str, object]) -> list[CommitInfo]:
        """Returns the commits of this tract whose metadata has these fields, by creation time, then hash. Cost: reads all
        commits of the tract.
        """
        found = []
        for name in self.overlay.names():
            commit = self.commit(CommitHash(name))
            if commit.metadata and is_part(metadata, canonical.decode(bytes(commit.metadata))):
                found.append((commit.created_us, CommitHash(name)))
        return [self.info(name) for _, name in sorted(found)]

    def texts(self, log: TractLog) -> TractTexts:
        """Returns the searchable texts of this tract, or of one that it has commits from."""
        found = self._texts.get(log.tract)
        if found is None:
            from tract_fs.store.index.texts import Blocks, TractTexts  # only a search needs it

            store = self.store
            self._blocks = self._blocks or Blocks()
            found = self._texts[log.tract] = TractTexts(store.index, log, store.objects, store.events, self._blocks)
        return found

    def records_version(self) -> tuple[int, int]:
        """Returns numbers that change when the config or tokens recorded for a commit may have changed: since the open,
        and as far as arrivals show.

        Where more than one event may bring a commit of another tract, which one counts changes with the events of other
        tracts that this one builds on.
        """
        if not self.log.view.foreign:
            return self.log.version, self.log.again_count
        sources = self.foreign.sources()
        again_count = sum(log.again_count for log in (self.log, *sources))
        built_on = len(self.log.view.foreign) if again_count or len(sources) > 1 else 0
        return sum(log.version for log in (self.log, *sources)) + built_on, again_count + (built_on << 32)

    def expect_operations(self) -> None:
        """Makes `save` read the tract's edits and annotations: its commits were just read, so that costs little now."""
        self._operations_of(self.log)

    def save(self) -> None:
        """Saves what is cached of edits and annotations."""
        for operations in self._operations.values():
            operations.save()

    def close(self) -> None:
        """Saves what is cached, and closes the files that reading opened."""
        self.save()
        for index in self._config_indexes.values():
            index.close()

    def _select(self, log: TractLog, path: FieldPath, operator: str, value: Scalar) -> list[Hit]:
        return self._index(log).select(path, operator, value)

    def _index(self, log: TractLog) -> ConfigIndex:
        index = self._config_indexes.get(log.tract)
        if index is None:
            from tract_fs.store.index.configs import ConfigIndex  # only a query needs it

            index = self._config_indexes[log.tract] = ConfigIndex(self.store.index, log, self.store.events)
        return index

    def _select_among(
        self, brought: Iterable[BroughtCommit | None], path: FieldPath, operator: str, value: Scalar
    ) -> Iterator[Hit]:
        """Yields the matching commits of these, which no index has."""
        entries = [entry for entry in brought if entry is not None and entry.config]
        column = FieldColumn(path)
        column.add((number, canonical.decode(bytes(entry.config))) for number, entry in enumerate(entries))
        for number in column.select(operator, value):
            entry = entries[number]
            yield self.commit(entry.commit).created_us, entry.commit, bytes(entry.config)

    def _loader(self) -> Callable[[str], CommitFacts]:
        """Returns what loads the facts of a query's result on first use, however late; it keeps a throw-away store."""
        throw_away = self.throw_away

        def load(name: str, _keeps: object = throw_away) -> CommitFacts:
            return self._load_facts(name)

        return self._load_facts if throw_away is None else load

    def _load_facts(self, name: str) -> CommitFacts:
        with self.loading:
            return self.facts(CommitHash(name))

    def _decode(self, content: str, content_type: str) -> ReadContent:
        data = self.store.objects.require(content, "content")
        try:
            return self.types.read(data, content_type)
        except JsonValueError as error:
            path = self.store.layout.relative(self.store.layout.object(content))
            raise InvalidObject(path=path, hash=content, kind=content_type, reason=error.reason) from None

    def _resolve_prefix(self, prefix: str) -> CommitHash:
        names = self.overlay.names_with_prefix(prefix)
        if len(names) > 1:
            raise AmbiguousRefError(ref=prefix, count=len(names), matches=tuple(sorted(names)[:2]))
        if not names:
            raise CommitNotFoundError(hash=prefix, where=f"tract {self.log.tract!r}")
        return CommitHash(names.pop())


def _shown(config: bytes) -> str:
    """Returns a config as a part of a sentence, cut after some characters."""
    text = config.decode() or "{}"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
