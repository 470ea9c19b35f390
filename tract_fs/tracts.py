"""The facade of a store: its tracts, listed, found, opened, deleted; what a server keeps open for all its sessions.

Each handle that a `Store` returns is a `Tract` like any other. What they share is bounded by the store: the files of
those that were used last are open, and these alone keep what they read in memory. What a closed handle has read waits for
the next one of its tract; a handle beside an open one of its tract begins with what that has in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from tract_fs.errors import ArgumentError, ClosedError, TractError, TractNotFound
from tract_fs.model.compiler import ContextCompiler
from tract_fs.model.config_query import is_part
from tract_fs.model.content import ContentTypes
from tract_fs.model.info import CommitInfo, TractConfig, TractInfo
from tract_fs.model.media import MediaCounter
from tract_fs.model.names import Clock, derive_tract_id, require_branch_name, require_tract_id
from tract_fs.model.tokens import TokenCounter
from tract_fs.model.usage import TokenUsage
from tract_fs.store.files import process
from tract_fs.store.store import Store as StoreFiles
from tract_fs.store.summaries import Summaries
from tract_fs.store.tract_log import TractLog
from tract_fs.tract import Tract
from tract_fs.work.branches import TractBranches
from tract_fs.work.log_filter import optional_moment
from tract_fs.work.session import (
    Durability,
    OnBadText,
    OnIncomplete,
    OpenFiles,
    Session,
    SessionOptions,
    StorePath,
    ThrowAway,
    new_writer,
    open_store,
    require_opened,
)
from tract_fs.work.usage import StoreUsageKey, add, iter_usage, require_usage_key
from tract_fs.work.writer import require_object

if TYPE_CHECKING:
    from tract_fs.async_tract import AsyncTract
    from tract_fs.capture.importer import TranscriptReport
    from tract_fs.capture.sessions import SessionFile
    from tract_fs.model.query import Expression, Field
    from tract_fs.model.query_groups import Prices, QueryGroup
    from tract_fs.model.search import SearchHit
    from tract_fs.store.index.texts import Blocks, TractTexts

_MAIN = "main"


class _Opened(NamedTuple):
    """What a Store keeps open, and the options of its handles."""

    files: StoreFiles
    options: SessionOptions
    throw_away: ThrowAway | None


class Store:
    """All tracts of one context directory. Made by `Store.open`; it may be used by several threads.

    In the examples below, `store` is a new one.
    """

    def __init__(self, opened: _Opened | None = None, **_: object) -> None:
        self._files, self._options, self._throw_away = require_opened(opened, _Opened, "Store.open(path)")
        self._summaries = Summaries(self._files)
        self._blocks: Blocks | None = None  # of texts, for search
        self._open_files = OpenFiles()
        self._lock = RLock()
        self._pid = process.id
        self._is_closed = False
        self._threads: object = None  # of the handles for asyncio: these end when nothing holds them

    @classmethod
    def open(
        cls,
        path: StorePath | None = None,
        *,
        config: TractConfig | None = None,
        tokenizer: TokenCounter | None = None,
        media: MediaCounter | None = None,
        compiler: ContextCompiler | None = None,
        durability: Durability = "durable",
        read_only: bool = False,
        create: bool = True,
        lock_timeout_s: float = 10.0,
        clock: Clock | None = None,
        incomplete: OnIncomplete = "raise",
        text: OnBadText = "strict",
    ) -> Self:
        """Opens the store of the context directory at `path`, and makes it on first use. No path: a throw-away store.

        The options are those of `Tract.open`, and hold for each handle that `tract` returns. Errors: ArgumentError,
        StoreNotFound, NotAStore, UnsupportedFormat.

        >>> with Store.open("contexts") as store:
        ...     question = store.tract("ann").add("What is the capital of France?")
        ...     [(info.tract_id, info.commit_count) for info in store.tracts()]
        [('ann', 1)]
        """
        options = SessionOptions.of(config, tokenizer, media, compiler, clock, text)
        files, throw_away = open_store(
            path,
            durability=durability,
            read_only=read_only,
            create=create,
            verify=False,
            lock_timeout_s=lock_timeout_s,
            incomplete=incomplete,
        )
        return cls(_Opened(files, options, throw_away))

    def tracts(self) -> list[TractInfo]:
        """Returns the tracts that have events and were not deleted, by id.

        What writers of this copy did is in it at once, what other tools brought within seconds, as in a handle;
        `refresh()` looks at once. Cost: one stat per tract; a read of each log that changed. The first list, and one a
        second or more after the last, costs one stat per directory of events instead.
        """
        with self._using():
            return self._summaries.infos()

    def find(self, metadata: dict[str, Any]) -> list[TractInfo]:
        """Returns the tracts whose metadata has all these fields, by id.

        A value that is an object may have more fields there. JSON's own types: `1` equals `1.0`, and a bool is no
        number. Errors: ArgumentError, JsonValueError.

        >>> store.tract("ann").describe(metadata={"user": "ann", "open": True})
        >>> [info.tract_id for info in store.find({"user": "ann"})]
        ['ann']
        """
        wanted = require_object(metadata, "metadata")
        return [info for info in self.tracts() if is_part(wanted, info.metadata)]

    def tract(
        self, tract_id: str | None = None, *, name: str | None = None, branch: str = "main", create: bool = True
    ) -> Tract:
        """Returns a handle of a tract, by its id, or by any name: then the id is derived from the name, and the name is
        its title if it is no id.

        The first commit makes the tract; of one that was deleted, it begins it again, without what was in it. With
        `create=False` the tract must be there. Close the handle, or the store. The next handle of a tract goes on with
        what a closed one has read: it shows at once what writers of this copy did, what other tools brought within
        seconds, as the closed one would; `refresh()` makes it look at once. Errors: ArgumentError, TractNotFound; for a
        new name also those of `Tract.describe`.

        >>> chat = store.tract(name="Session 12: Größe")
        >>> chat.tract_id, chat.title
        ('session-12-gr-e-...', 'Session 12: Größe')
        """
        if (tract_id is None) == (name is None):
            raise ArgumentError("tract(): give an id, or a name")
        wanted = require_tract_id(derive_tract_id(name) if name is not None else tract_id)
        require_branch_name(branch)
        with self._using():
            session = self._open(wanted, branch)
        return self._begun(session, name, create=create)

    def _begun(self, session: Session, name: str | None, *, create: bool) -> Tract:
        """Returns the handle of a session that was just opened, by a name or by the id alone. Errors: as `tract`."""
        handle = Tract(session)
        wanted, view = session.tract_id, session.reader.log.view
        try:
            if not create and (not view.newest or view.is_deleted):
                raise TractNotFound(path=self._files.layout.context, tract_id=wanted)
            if not view.has_heads:
                session.writer.remakes = frozenset(view.moves())
            if name is not None and name != wanted and not view.title and not self._files.read_only:
                handle.describe(title=name)
        except BaseException:
            handle.close()
            raise
        return handle

    async def async_tract(
        self, tract_id: str | None = None, *, name: str | None = None, branch: str = "main", create: bool = True
    ) -> AsyncTract:
        """Returns a handle for asyncio, as `tract` does. Close the handle before the store."""
        from tract_fs.async_tract import opened_by  # only a program that uses asyncio needs it

        handle = await opened_by(partial(self.tract, tract_id, name=name, branch=branch, create=create))
        self._threads = handle._threads
        return handle

    def import_transcripts(
        self,
        files: Iterable[SessionFile],
        *,
        format: str | None = None,
        strict: bool = False,
        is_growing: bool = False,
        on_error: Callable[[SessionFile, TractError | OSError], object] | None = None,
    ) -> Iterator[tuple[SessionFile, TranscriptReport]]:
        """Imports each session of some files into a tract of its own, found again by the format and the session's id, and
        yields what became of it, with its file.

        The bytes of a file that was imported before cost their reading alone, and are in no report. A last line without an end
        waits where the file `is_growing`. With `on_error`, that is called for a file that fails, and the others go on. Errors:
        as `Tract.import_transcript`; what was reported stands.
        """
        from tract_fs.capture.sessions import import_transcript, iter_new

        own = [info.metadata.get("transcript") for info in self.tracts()]
        known = {fields.get("sha256") for fields in own if isinstance(fields, dict)}
        with _SharedFiles(self) as shared:
            for file in files:
                try:
                    found = iter_new(file, known, format=format, strict=strict, is_growing=is_growing)
                    for name, transcript, digest in found:
                        with shared.tract(name) as tract:
                            report = import_transcript(tract._session, transcript, digest)
                        yield file, report
                except (TractError, OSError) as error:
                    if on_error is None:
                        raise
                    on_error(file, error)

    def delete(self, tract_id: str) -> bool:
        """Deletes a tract: all its branches and tags, its title and metadata. Returns False if there was none.

        It is an event, as any other write: the tract is in no list of any copy that has it. A commit that another copy
        makes without it meanwhile is not lost: the tract is there then, with that commit's history. The files stay in
        the store; `Tract.open` reaches each commit by its hash. A handle that is open gets TractDeleted for a commit.
        Errors: ArgumentError, HistoryIncomplete, LockTimeout, ReadOnlyError; nothing is written then.

        >>> question = store.tract("ann").add("What is the capital of France?")
        >>> store.delete("ann"), store.tracts()
        (True, [])
        """
        require_tract_id(tract_id)
        with self._using():
            self._files.require_writable()
            session = self._open(tract_id, "main")
        try:
            with session.guard.changing:
                return TractBranches(session).delete_tract()
        finally:
            session.close()

    def usage(self, by: StoreUsageKey = "tract", *, since: datetime | None = None) -> dict[str, TokenUsage]:
        """Returns the sums, in tokens, of the recorded usage of all tracts that `tracts()` returns, by tract id, or by the
        `model` of the generation config of the commits that it is of, or of the answers to these ("": none known).

        Of each commit the usage that was recorded last counts, with `since` only if that was then or later (naive: UTC).
        Cost: reads one event for each; by model all commits, where a commit with usage has no model. Errors: ArgumentError.

        >>> answer = store.tract("ann").add("Paris.", generation_config={"model": "m-1"})
        >>> context = store.tract("ann").record_usage({"prompt_tokens": 14, "completion_tokens": 3})
        >>> store.usage(by="model")["m-1"].total_tokens
        17
        """
        require_usage_key(by, StoreUsageKey)
        optional_moment(since, "since")
        found: dict[str, TokenUsage] = {}
        with self._using():
            for tract in [name for name, summary in self._summaries.get().items() if summary.has_usage]:
                log = self._files.passing_log(tract)
                try:
                    for name, usage in iter_usage(log, by, since):
                        found[name] = add(found.get(name), usage)
                finally:
                    self._files.drop_passing(log)
        return dict(sorted(found.items()))

    def query(self, expression: Expression | str) -> list[CommitInfo]:
        """Returns the commits of all tracts that an expression or its text matches, by creation time, then hash, then tract.

        As `Tract.query`; `facet("tract")` is the tract's id. A commit that several tracts have, as a fork has those that it began
        with, is in the list once for each. Cost: opens each tract. Errors: as `Tract.query`.

        >>> answer = store.tract("ann").add("Paris.", generation_config={"model": "m-1"})
        >>> [(info.tract_id, info.token_count) for info in store.query('model = "m-1"')]
        [('ann', 6)]
        """
        from tract_fs.work.queries import require_expression

        wanted = require_expression(expression)
        found: list[CommitInfo] = []
        for info in self.tracts():
            with self.tract(info.tract_id) as tract:
                found += tract.query(wanted)
        return sorted(found, key=lambda info: (info.created_at, info.commit_hash, info.tract_id))

    def aggregate(
        self,
        by: Field | str | Sequence[Field | str] | None = None,
        *,
        sum: Field | str | Sequence[Field | str] = (),
        where: Expression | str | None = None,
        prices: Prices | None = None,
    ) -> list[QueryGroup]:
        """Returns counts of the commits of all tracts, grouped, with sums and costs; as `Tract.aggregate`.

        A commit that several tracts have counts for each, its usage once. Errors: as `Tract.query`.

        >>> one, two = store.tract("ann").add("Hello."), store.tract("bob").add("Hi.")
        >>> [(group.key, group.count, group.sums) for group in store.aggregate("@tract", sum="tokens")]
        [({'@tract': 'ann'}, 1, {'tokens': 6}), ({'@tract': 'bob'}, 1, {'tokens': 5})]
        """
        from tract_fs.model.query_groups import QueryGroups
        from tract_fs.work.queries import group_tract, optional_expression

        wanted, groups = optional_expression(where), QueryGroups(by, sum, prices)
        for info in self.tracts():
            with self.tract(info.tract_id) as tract, tract._guard.reading:
                group_tract(tract._session.reader, wanted, groups)
        return groups.result()

    def search(
        self,
        phrase: str,
        *,
        content_type: str | None = None,
        role: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        shown: bool | None = None,
        limit: int | None = 20,
        where: Expression | str | None = None,
    ) -> list[SearchHit]:
        """Returns the commits of all tracts that `tracts()` returns whose text contains a phrase, as `Tract.search` does:
        best first, the newest first among equals. A commit that a fork shares is a hit of the tract that made it. `shown`
        and a hit's `is_shown` are about the branch `main` of its tract.

        Cost: with `where` or `shown` opens each tract with a match. Errors: ArgumentError, QueryError.

        >>> question = store.tract("ann").add("What is the capital of France?")
        >>> [(hit.tract_id, hit.role) for hit in store.search("capital")]
        [('ann', 'user')]
        """
        from tract_fs.work.search import filter_of, search_logs

        wanted = filter_of(
            phrase, content_type=content_type, role=role, since=since, until=until, shown=shown, limit=limit
        )
        with self._using():
            return search_logs(self._iter_texts(), self._files.objects, wanted, where, self._reading)

    def refresh(self) -> None:
        """Makes the next list, and each next handle, show at once what any tool brought into the store."""
        with self._using():
            self._summaries.forget()
            self._open_files.end_waiting()

    def close(self) -> None:
        """Closes all handles that came from this store, saves the caches and closes the files; later calls raise ClosedError."""
        self._open_files.close()
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                try:
                    self._summaries.save()
                finally:
                    self._files.close()
                    self._throw_away = self._threads = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({self._files.layout.context!r})"

    @contextmanager
    def _reading(self, tract_id: str) -> Iterator[Session]:
        """Yields the session of a tract, to read from."""
        with self.tract(tract_id) as tract, tract._guard.reading:
            yield tract._session

    def _iter_texts(self) -> Iterator[tuple[TractLog, TractTexts]]:
        """Yields the log of each listed tract, caught up, with its texts."""
        from tract_fs.store.index.texts import Blocks, TractTexts

        self._blocks = self._blocks or Blocks()
        files = self._files
        for tract in self._summaries.get():
            log = self._files.passing_log(tract)
            try:
                yield log, TractTexts(files.index, log, files.objects, files.events, self._blocks)
            finally:
                self._files.drop_passing(log)

    def _open(self, tract_id: str, branch: str) -> Session:
        waited = self._open_files.take(tract_id, branch)
        if waited is not None:
            return waited
        return self._open_files.make_like(tract_id, partial(self._make, tract_id, branch))

    def _make(self, tract_id: str, branch: str, like: Session | None, *, shared: StoreFiles | None = None) -> Session:
        return Session(
            self._beside() if shared is None else shared,
            tract_id=tract_id,
            branch=branch,
            options=self._options,
            types=ContentTypes(),
            throw_away=self._throw_away,
            like=like,
            shares_store=shared is not None,
        )

    def _beside(self) -> StoreFiles:
        return self._files.beside(writer=new_writer(), read_only=self._files.read_only)

    @contextmanager
    def _using(self) -> Iterator[None]:
        """Lets one thread use the files of the store itself, and puts them straight after an error. Errors: ClosedError."""
        if self._pid != process.id:  # a forked child: a thread of the parent may hold the lock for ever
            self._pid, self._lock = process.id, RLock()
            self._files.after_fork()
        with self._lock:
            if self._is_closed:
                raise ClosedError(f"{self!r} is closed; open it again")
            try:
                yield
            except TractError:
                raise
            except BaseException:
                self._files.restore(holds_lock=False)
                self._summaries = Summaries(self._files)
                raise


class _SharedFiles:
    """The files that the handles of many tracts share, one after the other, as an import does: what one has written, the
    next one need not read. As a context; opened on first need.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._files: StoreFiles | None = None
        self._pid = process.id

    def tract(self, name: str) -> Tract:
        """Returns the handle of a tract by its name; close it before the next one. Errors: as `Store.tract`."""
        store = self._store
        with store._using():
            session = store._make(derive_tract_id(name), _MAIN, None, shared=self._opened())
        return store._begun(session, name, create=True)

    def _opened(self) -> StoreFiles:
        if self._files is not None and (self._pid != process.id or not self._files.is_sound):
            self.close()
        if self._files is None:
            self._files, self._pid = self._store._beside(), process.id
        return self._files

    def close(self) -> None:
        """Closes the files, unless they are of the parent of this process."""
        if self._files is not None and self._pid == process.id:
            self._files.close()
        self._files = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
