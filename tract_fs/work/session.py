"""An open tract: its parts, its options, and its life from open to close.

The session stands above the parts that it owns and below every call that works on several of them (merge, branches,
summaries, status, ...): these take a `Session` and import this module; nothing here imports them. It is therefore a
module of `work`, not one above it. A session may be used by several threads, and goes on in a forked child.
"""

from __future__ import annotations

import math
import os
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from threading import Lock
from types import FrameType
from typing import Any, Literal, TypeVar

from msgspec import Struct

from tract_fs.errors import (
    ArgumentError,
    BatchOpen,
    BranchNotFound,
    JsonValueError,
    TractError,
    TractNotFound,
)
from tract_fs.model import canonical
from tract_fs.model.compiler import ContextCompiler
from tract_fs.model.content import ContentTypes, Priority
from tract_fs.model.info import TractConfig
from tract_fs.model.media import MediaCounter
from tract_fs.model.names import Clock, CommitHash, require_branch_name, require_tract_id
from tract_fs.model.tokens import EstimateCounter, TokenCounter, WithMedia
from tract_fs.store import files
from tract_fs.store.files import process
from tract_fs.store.layout import Layout
from tract_fs.store.store import Store
from tract_fs.work.batch import Batch, find_opener
from tract_fs.work.contexts import ContextReader
from tract_fs.work.guard import SessionGuard
from tract_fs.work.reader import TractReader
from tract_fs.work.writer import TractWriter

Durability = Literal["durable", "fast"]
OnIncomplete = Literal["raise", "use"]
StorePath = str | os.PathLike[str]
_T = TypeVar("_T")


class SessionOptions(Struct, frozen=True):
    """How a session works, checked; a session opened beside another has the same."""

    config: TractConfig
    counter: TokenCounter
    compiler: ContextCompiler | None
    clock: Clock

    @classmethod
    def of(
        cls,
        config: TractConfig | None,
        tokenizer: TokenCounter | None,
        media: MediaCounter | None,
        compiler: ContextCompiler | None,
        clock: Clock | None,
    ) -> SessionOptions:
        """Returns the options that the arguments of `Tract.open` describe. Errors: ArgumentError."""
        config = TractConfig() if config is None else config
        if not isinstance(config, TractConfig):
            raise ArgumentError(f"config {config!r}: give a TractConfig")
        config.require_valid()
        counter = EstimateCounter() if tokenizer is None else tokenizer
        _require_counter(counter, "tokenizer", "count_text")
        if media is not None:
            _require_counter(media, "media", "count_media")
            counter = WithMedia(counter, media)
        if compiler is not None and not callable(getattr(compiler, "compile", None)):
            raise ArgumentError(f"compiler {compiler!r}: needs a `compile(history, options)`")
        clock = _wall_clock_us if clock is None else clock
        if not callable(clock):
            raise ArgumentError(f"clock {clock!r}: give a callable that returns microseconds since 1970, or a datetime")
        return cls(config, counter, compiler, clock)


class ThrowAway:
    """The directory of a throw-away store. It is removed with the last reference to this object, or at the end of the
    process, and only by the process that made it: a forked child has a copy of the object, not of the directory.

    All sessions on the store that are not closed hold it, and so do the results of their queries.
    """

    def __init__(self) -> None:
        self.path = files.make_temporary_directory()
        weakref.finalize(self, _remove_directory, self.path, process.id)


def _remove_directory(path: str, maker: int) -> None:
    if process.id == maker:
        files.remove_tree(path)


class OpenFiles:
    """The sessions of one `Store` that have files open: at most `most`, the ones used last. Where another is used, the
    one used least recently closes its files and drops its caches, until its next call.
    """

    def __init__(self, most: int = 8) -> None:
        self._most = most
        self.sessions: weakref.WeakSet[Session] = weakref.WeakSet()  # all, to close them
        self._recent: dict[Session, None] = {}  # used last at the end
        self._last: Session | None = None
        self._lock = Lock()

    def add(self, session: Session) -> None:
        """Includes a session from now on."""
        session.open_files = self
        self.sessions.add(session)
        session.guard.on_use = partial(self.use, session)
        self.use(session)

    def use(self, session: Session) -> None:
        """Notes that a session is used. Waits for nothing: another thread's look at the same time comes first."""
        if session is self._last or not self._lock.acquire(blocking=False):
            return
        try:
            self._last = session
            self._recent.pop(session, None)
            self._recent[session] = None
            for other in list(self._recent)[: -self._most]:
                with suppress(TractError, OSError):
                    if other.guard.is_closed or other.rest():
                        self._recent.pop(other, None)
        finally:
            self._lock.release()

    def drop(self, session: Session) -> None:
        """Forgets a session that was closed."""
        self._recent.pop(session, None)
        if self._last is session:
            self._last = None


class Session:
    """The parts of one open tract: `store`, `reader`, `contexts`, `writer`, `guard`, `types`, `options`."""

    def __init__(
        self,
        store: Store,
        *,
        tract_id: str,
        branch: str,
        options: SessionOptions,
        types: ContentTypes,
        verify: bool = False,
        throw_away: ThrowAway | None = None,
        pinned: CommitHash | None = None,
    ) -> None:
        self.store = store
        self.tract_id = tract_id
        self.options = options
        self.types = types
        config = options.config
        self.reader = TractReader(
            store, store.log(tract_id, verify=verify), branch, types, options.counter, pinned=pinned
        )
        self.contexts = ContextReader(
            self.reader, options.compiler, cache_size=config.snapshot_cache_size, clock=options.clock
        )
        self.writer = TractWriter(self.reader, self.contexts, budget=config.token_budget, clock=options.clock)
        self.guard = SessionGuard(
            self.reader,
            self.writer,
            timeout_s=store.lock_timeout_s,
            restore=self._restore,
            on_fork=self._after_fork,
        )
        self.reader.loading = self.guard.loading
        self.writer.run_outside = self.guard.run_outside
        self._throw_away = self.reader.throw_away = throw_away
        self.open_files: OpenFiles | None = None  # of all handles of a `Store`

    @classmethod
    def open(
        cls,
        path: StorePath | None,
        *,
        tract_id: str,
        branch: str,
        options: SessionOptions,
        durability: Durability,
        read_only: bool,
        create: bool,
        verify: bool,
        lock_timeout_s: float,
        incomplete: OnIncomplete,
    ) -> Session:
        """Opens a tract of the store at `path`; see `Tract.open`. No path: a throw-away store."""
        require_tract_id(tract_id)
        require_branch_name(branch)
        store, throw_away = open_store(
            path,
            durability=durability,
            read_only=read_only,
            create=create,
            verify=verify,
            lock_timeout_s=lock_timeout_s,
            incomplete=incomplete,
        )
        types = ContentTypes()
        session = cls(
            store,
            tract_id=tract_id,
            branch=branch,
            options=options,
            types=types,
            verify=verify,
            throw_away=throw_away,
        )
        if not create:
            session._require_names()
        return session

    def _require_names(self) -> None:
        """Raises TractNotFound or BranchNotFound unless the tract and the branch are there.

        A store without tracts is open to the tract `default`, and a tract without branches to the branch `main`: that is
        how the first commit is made. What waits for missing files may be the branch, so then nothing is raised.
        """
        try:
            with self.guard.reading:
                self._require_tract()
                self._require_branch()
        except (TractNotFound, BranchNotFound):
            self.close()
            raise

    def _require_tract(self) -> None:
        store, tract = self.store, self.tract_id
        if not store.knows_tract(tract) and (tract != "default" or store.list_tracts()):
            raise TractNotFound(path=store.layout.context, tract_id=tract)

    def _require_branch(self) -> None:
        branch, log = self.reader.branch, self.reader.log
        view = log.view
        if any(move.head is not None for move in view.branches.get(branch, {}).values()):
            return
        is_whole = not (view.pending or log.damaged or len(log.gone) > len(log.accepted))
        if is_whole and (branch != "main" or view.branches):
            raise BranchNotFound(tract_id=self.tract_id, branch=branch)

    def open_beside(self, *, tract_id: str, branch: str, pinned: CommitHash | None = None) -> Session:
        """Returns another session on the same store with the same options; read-only too, or if it is pinned to a commit."""
        store = self.store.beside(writer=new_writer(), read_only=self.store.read_only or pinned is not None)
        session = Session(
            store,
            tract_id=tract_id,
            branch=branch,
            options=self.options,
            types=self.types.copy(),
            throw_away=self._throw_away,
            pinned=pinned,
        )
        if self.open_files is not None:
            self.open_files.add(session)
        return session

    def open_at(self, ref: str) -> Session:
        """Returns a read-only session whose head is a commit for ever. Errors: CommitNotFoundError, BatchOpen."""
        name = self.reader.resolve(ref)
        if self.reader.overlay.is_staged(name):
            raise BatchOpen(call="at() of a commit of this batch")
        return self.open_beside(tract_id=self.tract_id, branch=self.reader.branch, pinned=name)

    def register_content_type(
        self, name: str, type: type, *, role: str, priority: Priority | str, text: Callable[[Any], str] | None
    ) -> None:
        """Registers a content type, and drops what was rendered without it; see `Tract.register_content_type`."""
        self.types.register(name, type, role=role, priority=priority, text=text)
        self.reader.forget_renderings()
        self.contexts.forget()

    def require_outside_batch(self, call: str) -> None:
        """Raises ArgumentError inside a batch, for a call that works on the files of the store."""
        if self.writer.is_in_batch:
            raise ArgumentError(
                f"{call} inside a batch: call it before or after; what the batch holds is in no file yet"
            )

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Makes all writes inside visible together, or none; see `Tract.batch`."""
        batch = Batch(find_opener())
        try:
            try:
                self._step(batch, self.writer.open_batch)
                yield
                self._step(batch, self.writer.end_batch)
            finally:
                self.guard.drop(batch)
        finally:  # an error that broke off the line above
            self.guard.drop(batch)

    def _step(self, batch: Batch, work: Callable[[Batch], object]) -> None:
        with self.guard.of_batch(batch):  # in a function of its own, whose end tells a call that was broken off
            work(batch)

    def rest(self) -> bool:
        """Closes the files until the next call, and drops what is cached in memory; False if a call or batch is under way."""
        return self.guard.run_if_idle(self._rest)

    def _rest(self) -> None:
        self.contexts.save()
        self.reader.save()
        self.contexts.forget()
        self.reader.forget_renderings()
        self.store.forget()
        self.store.rest()

    def refresh(self) -> None:
        """Lists the store's events at once, and quarantines damaged files that were found."""
        self.store.forget_redacted()
        self.store.quarantine_suspects()
        self.store.list_events()

    def flush(self) -> None:
        """Makes every file written so far survive a power cut by itself, and saves the caches."""
        self.store.flush()
        self.contexts.save()
        self.reader.save()
        self.reader.log.save()

    def close(self) -> None:
        """Saves the caches and closes the files; does nothing if the session is closed."""
        if self.guard.close():
            try:
                self.contexts.save()
                self.reader.close()
            finally:
                self.store.close()
                if self.store.accepts_gaps:
                    self._save_plain_view()
                self._throw_away = self.reader.throw_away = None
                if self.open_files is not None:
                    self.open_files.drop(self)

    def _save_plain_view(self) -> None:
        """Saves the view that a handle without gaps has, so that what this one committed is known if it goes away, and what it
        went on without is not missed.
        """
        if not self.store.read_only:
            with suppress(TractError, OSError):
                store = self.store.beside(writer=new_writer(), read_only=False, accepts_gaps=False)
                store.log(self.tract_id).accept(self.reader.log.accepted.keys())
                store.close()

    def _restore(self, frame: FrameType | None) -> None:
        """Puts all straight after the call of the function `frame`, which an error broke off anywhere: frees the lock,
        closes what was half done, and loads everything again at the next call, unless an open batch needs it as it is.
        """
        self.writer.end_call(frame)
        self.store.restore(holds_lock=self.writer.holds_lock)
        self.reader.forget_renderings()
        self.reader.forget_history()
        self.contexts.forget()

    def _after_fork(self) -> None:
        """Drops in a forked child what belongs to the parent: an open batch, the lock, open files."""
        self.writer.abandon()
        self.store.after_fork()


def open_store(
    path: StorePath | None,
    *,
    durability: Durability,
    read_only: bool,
    create: bool,
    verify: bool,
    lock_timeout_s: float,
    incomplete: OnIncomplete,
) -> tuple[Store, ThrowAway | None]:
    """Opens the store at `path`; see `Tract.open`. No path: a throw-away store. Errors: ArgumentError, StoreNotFound, NotAStore, UnsupportedFormat."""
    if durability not in ("durable", "fast"):
        raise ArgumentError(f"durability {durability!r}: use durable or fast")
    if type(lock_timeout_s) not in (int, float) or not 0 <= lock_timeout_s < math.inf:
        raise ArgumentError(f"lock_timeout_s {lock_timeout_s!r}: give seconds, from 0")
    if incomplete not in ("raise", "use"):
        raise ArgumentError(f"incomplete {incomplete!r}: use raise or use")
    throw_away = None
    if path is None:
        throw_away = ThrowAway()
        path = throw_away.path
    store = Store(
        require_layout(path),
        writer=new_writer(),
        is_durable=durability == "durable",
        read_only=read_only,
        lock_timeout_s=float(lock_timeout_s),
        distrusts_caches=verify,
        accepts_gaps=incomplete == "use",
    )
    store.open(create=create)
    return store, throw_away


def require_opened(given: object, kind: type[_T], call: str) -> _T:
    """Returns what a handle is made from. Errors: ArgumentError if a user called the class instead of `call`."""
    if not isinstance(given, kind):
        raise ArgumentError(f"the class itself opens nothing: use {call}, which takes the options too")
    return given


def list_tracts(path: StorePath) -> list[str]:
    """Returns the ids of the tracts in the store at a path that have events."""
    store = Store(require_layout(path), writer="", is_durable=False, read_only=True, lock_timeout_s=0.0)
    try:
        store.open(create=False)
        return store.list_tracts()
    finally:
        store.close()


def require_layout(path: StorePath) -> Layout:
    """Returns the layout of a context directory. Errors: ArgumentError if `path` is not a path."""
    directory = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if type(directory) is not str or "\0" in directory or not directory:
        raise ArgumentError(f"path {path!r}: give the path of a context directory as a string or pathlib.Path")
    return Layout(files.absolute_path(directory))


def _require_counter(counter: object, option: str, call: str) -> None:
    """Raises ArgumentError if the value of an option has no name, or not the call that counts."""
    name = getattr(counter, "name", None)
    if type(name) is not str or not callable(getattr(counter, call, None)):
        raise ArgumentError(
            f"{option} {counter!r}: needs a string `name` and a `{call}({call.removeprefix('count_')})`"
        )
    try:
        canonical.encode(name)
    except JsonValueError as error:
        raise ArgumentError(f"{option} {counter!r}: its name can't be stored: {error.reason}") from None


def new_writer() -> str:
    """Returns a label for one open of a store: random, so that no two copies write under the same one."""
    return os.urandom(16).hex()


def _wall_clock_us() -> int:
    return time.time_ns() // 1000
