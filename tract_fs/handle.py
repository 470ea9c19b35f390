"""One open handle: its parts, its options, its life. The calls on a tract are in `tract`, built on this.

This is the one module that reads a clock and draws random numbers. A handle may be used by several threads, and goes on in a forked child.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Literal, Self

from tract_fs.guard import HandleGuard
from tract_fs.model.compiler import ContextCompiler
from tract_fs.model.content import ContentTypes, Priority
from tract_fs.model.info import TractConfig
from tract_fs.model.names import CommitHash
from tract_fs.model.tokens import EstimateCounter, TokenCounter
from tract_fs.opening import list_tracts, open_store, require_options
from tract_fs.store.store import Store
from tract_fs.work.branches import TractBranches
from tract_fs.work.contexts import ContextReader
from tract_fs.work.merge import TractMerger
from tract_fs.work.reader import TractReader
from tract_fs.work.summaries import TractSummarizer
from tract_fs.work.writer import Clock, TractWriter

Durability = Literal["durable", "fast"]


class Handle:
    """A tract opened for one process: opened, refreshed, flushed and closed here."""

    def __init__(
        self,
        store: Store,
        *,
        tract_id: str,
        branch: str,
        config: TractConfig,
        counter: TokenCounter,
        compiler: ContextCompiler | None,
        clock: Clock,
        verify: bool = False,
        discard: Callable[[], object] | None = None,
        types: ContentTypes | None = None,
        pinned: CommitHash | None = None,
    ) -> None:
        self._store = store
        self._tract_id = tract_id
        self._config = config
        self._discard = discard
        self._counter = counter
        self._compiler = compiler
        self._clock = clock
        self._types = ContentTypes() if types is None else types
        self._reader = TractReader(store, store.log(tract_id, verify=verify), branch, self._types, counter, pinned)
        self._contexts = ContextReader(self._reader, compiler, cache_size=config.snapshot_cache_size)
        self._writer = TractWriter(self._reader, self._contexts, budget=config.token_budget, clock=clock)
        self._summarizer = TractSummarizer(self._reader, self._writer, self._contexts)
        self._branches = TractBranches(self._reader, self._writer)
        self._merger = TractMerger(self._reader, self._contexts, self._writer)
        self._guard = HandleGuard(self._reader, self._abandon)
        self._reader.loading = self._guard.loading

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        tract_id: str = "default",
        branch: str = "main",
        config: TractConfig | None = None,
        tokenizer: TokenCounter | None = None,
        compiler: ContextCompiler | None = None,
        durability: Durability = "durable",
        read_only: bool = False,
        create: bool = True,
        verify: bool = False,
        lock_timeout_s: float = 10.0,
        clock: Clock | None = None,
    ) -> Self:
        """Opens a tract of the context directory at `path`; makes the store on first use. No path: a throw-away store.

        `verify` reads all events and objects again and answers from no cache in local/. `clock` returns microseconds since 1970, or a datetime.
        Errors: ArgumentError, StoreNotFound, NotAStore, UnsupportedFormat, LockTimeout.
        """
        config = TractConfig() if config is None else config
        counter = EstimateCounter() if tokenizer is None else tokenizer
        clock = _wall_clock_us if clock is None else clock
        require_options(
            tract_id=tract_id, branch=branch, config=config, counter=counter, compiler=compiler, clock=clock
        )
        store, discard = open_store(
            path,
            durability=durability,
            read_only=read_only,
            create=create,
            lock_timeout_s=lock_timeout_s,
            writer=os.urandom(16).hex(),
            distrusts_caches=verify,
        )
        return cls(
            store,
            tract_id=tract_id,
            branch=branch,
            config=config,
            counter=counter,
            compiler=compiler,
            clock=clock,
            verify=verify,
            discard=discard,
        )

    def _open_beside(self, *, tract_id: str, branch: str, pinned: CommitHash | None = None) -> Self:
        """Returns another handle on the same store with the same options; read-only if it is pinned to a commit."""
        return type(self)(
            self._store.beside(writer=os.urandom(16).hex(), read_only=pinned is not None),
            tract_id=tract_id,
            branch=branch,
            config=self._config,
            counter=self._counter,
            compiler=self._compiler,
            clock=self._clock,
            types=self._types.copy(),
            pinned=pinned,
        )

    @staticmethod
    def tracts(path: str | os.PathLike[str]) -> list[str]:
        """Returns the ids of the tracts in the store at `path` that have events, sorted. Errors: as `open`."""
        return list_tracts(path)

    # what the handle is

    @property
    def tract_id(self) -> str:
        """The tract's id."""
        return self._tract_id

    @property
    def config(self) -> TractConfig:
        """How this handle works."""
        return self._config

    @property
    def head(self) -> str | None:
        """The hash of the branch's head; None if it has no commits. Inside a batch: the staged head."""
        with self._guard.reading:
            return self._reader.head()

    # the handle

    def register_content_type(
        self,
        name: str,
        type: type,
        *,
        role: str = "assistant",
        priority: Priority | str = Priority.NORMAL,
        text: Callable[[Any], str] | None = None,
    ) -> None:
        """Lets this handle commit and read a msgspec.Struct or dataclass under `name`; `text` makes its message text.

        Errors: ArgumentError.
        """
        with self._guard.reading:
            self._types.register(name, type, role=role, priority=priority, text=text)
            self._reader.forget_renderings()
            self._contexts.forget()

    def refresh(self) -> None:
        """Looks at once for what any tool brought into the store; else that is noticed within a second or so."""
        with self._guard.reading:
            self._store.forget_redacted()
            self._store.tend()
            self._store.list_events()

    def flush(self) -> None:
        """Makes every file written so far survive a power cut by itself (not only by the redo log), and saves the caches."""
        with self._guard.reading:
            self._store.flush()
            self._contexts.save()
            self._reader.log.save()

    def close(self) -> None:
        """Saves the caches and closes the files; every later call but this raises ClosedError."""
        if self._guard.close():
            self._contexts.save()
            self._reader.close()
            self._store.close()
            if self._discard is not None:
                self._discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Tract({self._store.layout.context!r}, tract_id={self._tract_id!r}, branch={self._reader.branch!r})"

    def _abandon(self) -> None:
        self._writer.abandon()
        self._store.after_fork()


def _wall_clock_us() -> int:
    return time.time_ns() // 1000
