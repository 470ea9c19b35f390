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
from copy import copy
from functools import partial
from threading import Lock
from types import FrameType
from typing import Any, Literal, TypeVar

from msgspec import Struct

from tract_fs.errors import (
    ArgumentError,
    BatchOpen,
    BranchNotFound,
    ClosedError,
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
from tract_fs.work.guard import SessionGuard, Turns
from tract_fs.work.reader import TractReader
from tract_fs.work.writer import TractWriter

Durability = Literal["durable", "fast"]
OnBadText = Literal["strict", "replace"]
OnIncomplete = Literal["raise", "use"]
StorePath = str | os.PathLike[str]
_T = TypeVar("_T")


class SessionOptions(Struct, frozen=True):
    """How a session works, checked; a session opened beside another has the same."""

    config: TractConfig
    counter: TokenCounter
    compiler: ContextCompiler | None
    clock: Clock
    replaces_text: bool = False  # lone surrogates

    @classmethod
    def of(
        cls,
        config: TractConfig | None,
        tokenizer: TokenCounter | None,
        media: MediaCounter | None,
        compiler: ContextCompiler | None,
        clock: Clock | None,
        text: OnBadText = "strict",
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
        if text not in ("strict", "replace"):
            raise ArgumentError(f"text {text!r}: use strict or replace")
        return cls(config, counter, compiler, clock, text == "replace")


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


_MOST_OPEN = 8
_MOST_HELD = 64
_MOST_HELD_MESSAGES = 65_536
_MOST_WAITING = 256


class OpenFiles:
    """The sessions of one `Store`, bounded by how long ago each was used.

    The last 8 have files open, and caches in memory. The last 64 of the others, as far as these have 65,536 messages
    together, hold their compiled contexts. The rest read all that again at their next call.

    A session whose handle was closed waits here, as it is, for the next handle of its tract; at most 256 do, those closed
    last.
    """

    def __init__(self) -> None:
        self._open: weakref.WeakSet[Session] = weakref.WeakSet()  # all, to close them
        self._waiting: dict[Session, None] = {}  # closed last at the end; changed in single steps, as threads share it
        self._recent: dict[Turns, Session] = {}  # with files open; used last at the end
        self._held: dict[Turns, Session] = {}  # without, but with contexts in memory
        self._last: Turns | None = None
        self._lock = Lock()
        self._is_closed = False

    def add(self, session: Session) -> None:
        """Includes a session from now on."""
        session.open_files = self
        self._open.add(session)
        session.guard.turns.on_use = partial(self.use, session)
        self.use(session)

    def use(self, session: Session) -> None:
        """Notes that a session is used. Waits for nothing: another thread's look at the same time comes first."""
        turns = session.guard.turns
        if turns is self._last or not self._lock.acquire(blocking=False):
            return
        try:
            self._last = turns
            self._recent.pop(turns, None)
            self._recent[turns] = session
            self._held.pop(turns, None)
            self._rest_others()
        finally:
            self._lock.release()

    def _rest_others(self) -> None:
        for turns, session in list(self._recent.items())[:-_MOST_OPEN]:
            with suppress(TractError, OSError):
                if session.rest():
                    self._held[turns] = session
                    self._recent.pop(turns, None)
        held = [
            (turns, session.contexts, session.contexts.held_messages) for turns, session in list(self._held.items())
        ]
        message_count = sum(messages for _, _, messages in held)
        for number, (turns, contexts, messages) in enumerate(held):
            if message_count <= _MOST_HELD_MESSAGES and len(held) - number <= _MOST_HELD:
                break
            if turns.run_if_idle(contexts.forget):
                self._held.pop(turns, None)
                message_count -= messages

    def keep(self, session: Session) -> bool:
        """Keeps a session whose handle is closed for the next one; returns whether it does."""
        if self._is_closed or not session.can_serve_again():
            return False
        if not session.guard.turns.run_if_idle(session.save_if_due):
            return False
        self._waiting[session] = None
        for oldest in list(self._waiting)[:-_MOST_WAITING]:
            with suppress(TractError, OSError):
                self._end(oldest)
        if self._is_closed:  # meanwhile, by another thread
            self._end(session)
        return True

    def take(self, tract_id: str, branch: str) -> Session | None:
        """Returns a session that waited, for a new handle; None if there is none of this tract that can go on."""
        for waiting in list(self._waiting)[::-1]:
            if waiting.tract_id == tract_id and self._is_taken(waiting):
                session = waiting.for_next_handle()
                if session.has_begun_again(branch):
                    self._open.add(session)
                    return session
        return None

    def make_like(self, tract_id: str, make: Callable[[Session | None], Session]) -> Session:
        """Returns the session that `make` makes, and includes it. It is given one that is open on the tract, and not in use
        meanwhile, to begin with what that has in memory; None if there is none.
        """
        made: list[Session] = []
        for turns, other in [*self._held.items(), *self._recent.items()][::-1]:
            if other.tract_id == tract_id and turns.run_if_idle(partial(_make_into, made, make, other)):
                break
        else:
            _make_into(made, make, None)
        self.add(made[0])
        return made[0]

    def _is_taken(self, waiting: Session) -> bool:
        """Returns whether this thread, and no other, has a waiting session from now on."""
        return self._waiting.pop(waiting, waiting) is None

    def _end(self, waiting: Session) -> None:
        if self._is_taken(waiting):
            waiting.end()

    def end_waiting(self) -> None:
        """Ends all sessions that wait: each next handle reads its tract as it is in the store then."""
        for waiting in list(self._waiting):
            self._end(waiting)

    def close(self) -> None:
        """Closes all sessions."""
        self._is_closed = True
        for session in list(self._open):
            session.close()
        self.end_waiting()

    def drop(self, session: Session) -> None:
        """Forgets a session that has ended."""
        turns = session.guard.turns
        turns.on_use = None
        self._recent.pop(turns, None)
        self._held.pop(turns, None)
        if self._last is turns:
            self._last = None


def _make_into(made: list[Session], make: Callable[[Session | None], Session], like: Session | None) -> None:
    made.append(make(like))


class Session:
    """The parts of one open tract: `store`, `reader`, `contexts`, `writer`, `types`, `options`; and the `guard` of a handle.

    States: open; closed, with its handle; then it has ended, or its parts wait in `open_files` for the next handle, which
    has them in a session and a guard of its own. What a closed handle returned is loaded through these parts, in turn
    with the calls of the next one.
    """

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
        like: Session | None = None,
        shares_store: bool = False,
    ) -> None:
        """`like`: another session on this tract, which makes the call; what it has in memory is shared where it holds here.
        With `shares_store` the store serves other sessions after this one, which does not close it.
        """
        self.store = store
        self.tract_id = tract_id
        self.options = options
        self.types = types
        config = options.config
        log = store.log(tract_id, verify=verify, like=None if like is None else like.reader.log)
        self.reader: TractReader = TractReader(store, log, branch, types, options.counter, pinned=pinned)
        self.contexts = ContextReader(
            self.reader, options.compiler, cache_size=config.snapshot_cache_size, clock=options.clock
        )
        if like is not None:
            store.objects.share(like.store.objects)
            self.contexts.share(like.contexts)
        self.writer = TractWriter(
            self.reader,
            self.contexts,
            budget=config.token_budget,
            clock=options.clock,
            replaces_text=options.replaces_text,
        )
        turns = Turns(
            self.reader,
            self.writer,
            timeout_s=store.lock_timeout_s,
            restore=self._restore,
            on_fork=self._after_fork,
        )
        self.guard = SessionGuard(turns)
        self.reader.loading = self.guard.loading
        self.writer.run_outside = self.guard.run_outside
        self._throw_away = self.reader.throw_away = throw_away
        self.open_files: OpenFiles | None = None  # of all handles of a `Store`
        self._waits = False  # for the next handle, or has been taken by one
        self._shares_store = shares_store

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
        """Returns another session on the same store with the same options; read-only too, or if it is pinned to a commit.

        On the same tract, it begins with what this one has in memory.
        """
        if self.open_files is not None and pinned is None and not self.types.has_any:
            waited = self.open_files.take(tract_id, branch)
            if waited is not None:
                return waited
        store = self.store.beside(writer=new_writer(), read_only=self.store.read_only or pinned is not None)
        session = Session(
            store,
            tract_id=tract_id,
            branch=branch,
            options=self.options,
            types=self.types.copy(),
            throw_away=self._throw_away,
            pinned=pinned,
            like=self if tract_id == self.tract_id else None,
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

    def can_serve_again(self) -> bool:
        """Returns whether the next handle of this tract may go on with these parts: they are as its options make them."""
        is_plain = self.reader.pinned is None and not self.types.has_any
        return is_plain and self.store.is_sound and not self.store.accepts_gaps

    def for_next_handle(self) -> Session:
        """Returns the session of the next handle: these parts, and a guard of its own."""
        session = copy(self)
        session.guard = SessionGuard(self.guard.turns)
        session._waits = False
        return session

    def has_begun_again(self, branch: str) -> bool:
        """Begins the handle of a session that waited, on a branch; returns whether it can go on. Else the session ends:
        whatever is wrong, a handle that reads the store again finds it.
        """
        has_begun = False
        try:
            with suppress(TractError), self.guard.reading:
                self.reader.branch = branch
                self.reader.loading = self.guard.loading
                self.writer.run_outside = self.guard.run_outside
                self.writer.remakes = frozenset()
                self.writer.answer_config = None
                has_begun = True
        finally:
            if not has_begun:
                with suppress(TractError, OSError):
                    self.end()
        return has_begun

    def save_if_due(self) -> None:
        """Saves the caches if they lag much, and quarantines damaged files that were found."""
        self.store.quarantine_suspects()
        self.contexts.save()
        self.reader.log.save_if_due()

    def rest(self) -> bool:
        """Closes the files until the next call, and drops what is in memory but contexts; False if a call or batch is under way."""
        return self.guard.turns.run_if_idle(self._rest)

    def _rest(self) -> None:
        self.contexts.save()
        self.reader.save()
        self.reader.forget_renderings()
        self.store.forget()
        self.store.rest()

    def refresh(self) -> None:
        """Lists the store's events at once, and quarantines damaged files that were found."""
        self.store.forget_redacted()
        self.store.quarantine_suspects()
        self.store.list_events()

    def list_packed(self) -> None:
        """Lists what a pack removed: once here, where otherwise each later open would do it. Does nothing if the session is
        closed.
        """
        with suppress(ClosedError), self.guard.changing:
            self.reader.log.list_events()

    def flush(self) -> None:
        """Makes every file written so far survive a power cut by itself, and saves the caches."""
        self.store.flush()
        self.contexts.save()
        self.reader.save()
        self.reader.log.save()

    def close(self) -> None:
        """Ends the session, or leaves its parts to the next handle of the tract; does nothing if the session is closed."""
        if self._waits or not self.guard.close():
            return
        try:
            self._waits = self.open_files is not None and self.open_files.keep(self)
        finally:
            if not self._waits:
                self.end()

    def end(self) -> None:
        """Saves the caches and closes the files."""
        try:
            self.contexts.save()
            self.reader.close()
        finally:
            if self._shares_store:
                self.store.drop(self.tract_id)
            else:
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
