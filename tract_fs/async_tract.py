"""The facade for asyncio: the calls of `Tract`, awaited.

The calls on one store, by whatever handles of this process, run in two threads of their own: one for reads, one for
writes. So the event loop never waits for the disk or a lock, and a process with a thousand handles has two threads per
store. A batch occupies the thread of writes from its begin to its end: other writes wait in the queue of that thread, and
reads go on. A call that may take long without a lock (a sync, a summary that a model writes) has a thread
for itself. Every method is made from that of `Tract`, so its arguments, types and docstring are the same.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial, wraps
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, Concatenate, ParamSpec, Self, TypeVar
from weakref import WeakValueDictionary, finalize

from tract_fs.errors import BatchOpen, ClosedError
from tract_fs.model.compiler import ContextCompiler
from tract_fs.model.info import CommitInfo, TractConfig
from tract_fs.model.media import MediaCounter
from tract_fs.model.names import Clock
from tract_fs.model.tokens import TokenCounter
from tract_fs.store.files import process
from tract_fs.tract import Tract
from tract_fs.work.session import Durability, OnBadText, OnIncomplete, StorePath, require_opened
from tract_fs.work.watch import Watch

_P = ParamSpec("_P")
_R = TypeVar("_R")
_GiveUp = Callable[[Callable[[], bool], float], None]
_LOOK_EVERY_S = 0.1  # whether a batch is open that a call waits for, and whether a batch's event loop is closed


class _Work:
    """A call to make in another thread, and its outcome."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.outcome: Future[Any] = Future()
        self._call = call

    def run(self) -> None:
        if not self.outcome.set_running_or_notify_cancel():
            return
        try:
            result = self._call()
        except StopIteration as error:  # which no asyncio future can hold
            self.outcome.set_exception(RuntimeError(f"the call raised {error!r}"))
        except BaseException as error:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(result)


class _Worker:
    """A thread that makes calls one after the other. It starts with the first one, and ends with the last reference to
    this object, once all are made.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._starting = Lock()
        self._is_started = False

    def submit(self, call: Callable[[], _R]) -> Future[_R]:
        """Queues a call; cancel the future to withdraw it before it begins."""
        work = _Work(call)
        self._queue.put(work)
        with self._starting:
            if not self._is_started:
                self._is_started = True
                Thread(target=_work_off, args=(self._queue,), name=self._name, daemon=True).start()
                finalize(self, self._queue.put, None)
        return work.outcome


def _work_off(queue: SimpleQueue[_Work | None]) -> None:
    while (work := queue.get()) is not None:
        work.run()
        del work  # its result


class _StoreThreads:
    """The threads of one store in this process, and the batch that occupies that of the writes."""

    def __init__(self, directory: str) -> None:
        self.pid = process.id
        self.directory = directory
        self.reads = _Worker("tract_fs reads")
        self.writes = _Worker("tract_fs writes")
        self.batch: AsyncBatch | None = None

    @classmethod
    def of(cls, directory: str) -> _StoreThreads:
        """Returns the threads of the store in a directory: those that another handle has, if one is open."""
        key = (process.id, directory)
        return _threads.get(key) or _threads.setdefault(key, cls(directory))

    def batch_of_task(self) -> AsyncBatch | None:
        """Returns the open batch if it is of the running task."""
        batch = self.batch
        return batch if batch is not None and batch._task is asyncio.current_task() else None

    def require_no_batch_of_task(self) -> None:
        """Raises BatchOpen for a call that would wait for a batch of the task itself."""
        if self.batch_of_task() is not None:
            raise BatchOpen(
                "this task has a batch open: make the call through the object of the batch, or after its end; nothing "
                "was written"
            )

    def give_up_for_batch(self, withdraw: Callable[[], bool], limit_s: float) -> None:
        """Raises BatchOpen, if a call that waited too long waits for a batch, and can be withdrawn."""
        if self.batch is not None and withdraw():
            raise BatchOpen(
                f"another task had a batch open for {limit_s:g} s; make the call through the object of the batch, or "
                "after its end; nothing was written"
            )


# Module state, since threads belong to the process: those of each store that has handles, by process and directory.
_threads: WeakValueDictionary[tuple[int, str], _StoreThreads] = WeakValueDictionary()


async def _outcome(
    call: Future[_R],
    withdraw: Callable[[], bool],
    *,
    limit_s: float | None = None,
    give_up: _GiveUp | None = None,
) -> _R:
    """Returns what a call in another thread returned. A task that is cancelled meanwhile withdraws the call, or, where it
    has begun, waits for its end; then it ends with the cancellation.

    After `limit_s`, and again and again then, `give_up` may raise.
    """
    end = asyncio.wrap_future(call)
    pause_s, cancellation = limit_s, None
    while not end.done():
        try:
            await asyncio.wait([end], timeout=pause_s)
        except asyncio.CancelledError as error:
            if withdraw():
                raise
            cancellation = error
        if give_up is not None and limit_s is not None and not end.done() and cancellation is None:
            give_up(withdraw, limit_s)
            pause_s = _LOOK_EVERY_S
    if cancellation is not None:
        end.exception()  # or asyncio logs that nobody looked at it
        raise cancellation
    return end.result()


class _AsyncCallbacks:
    """The callbacks of a call that are coroutine functions: each run is a task of the event loop, for which the thread of
    the call waits.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._running = set[Future[Any]]()
        self._is_cancelled = False

    def wrapped(self, value: Any) -> Any:
        """Returns a function that runs `value` so, if that is a coroutine function; else `value`."""
        own_call = getattr(type(value), "__call__", None)  # noqa: B004 - of an object, which may be a coroutine function
        if inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(own_call):
            return partial(self._run, value)
        return value

    def cancel(self) -> bool:
        """Cancels what runs, and what is to run later. Returns False: the call itself was not withdrawn."""
        self._is_cancelled = True
        for running in tuple(self._running):
            running.cancel()
        return False

    def _run(self, function: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
        running = asyncio.run_coroutine_threadsafe(function(*args), self._loop)
        self._running.add(running)
        if self._is_cancelled:
            running.cancel()
        try:
            return running.result()
        finally:
            self._running.discard(running)


def _reading(
    method: Callable[Concatenate[Tract, _P], _R],
) -> Callable[Concatenate[_Calls, _P], Coroutine[Any, Any, _R]]:
    """Returns a method of `Tract` as one to await, for a read: a cancellation ends it at once."""

    @wraps(method)
    async def run(self: _Calls, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return await self._read(lambda tract: method(tract, *args, **kwargs))

    return run


def _writing(
    method: Callable[Concatenate[Tract, _P], _R],
) -> Callable[Concatenate[_Calls, _P], Coroutine[Any, Any, _R]]:
    """Returns a method of `Tract` as one to await, for a write, which runs to its outcome."""

    @wraps(method)
    async def run(self: _Calls, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return await self._write(lambda tract: method(tract, *args, **kwargs))

    return run


def _running_long(
    method: Callable[Concatenate[Tract, _P], _R],
) -> Callable[Concatenate[_Calls, _P], Coroutine[Any, Any, _R]]:
    """Returns a method of `Tract` as one to await, for a call that may take long. A callback may be a coroutine function."""

    @wraps(method)
    async def run(self: _Calls, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        callbacks = _AsyncCallbacks()
        given = map(callbacks.wrapped, args)
        named = {name: callbacks.wrapped(value) for name, value in kwargs.items()}
        bound: Callable[[Tract], _R] = partial(_call, method, tuple(given), named)
        return await self._long(bound, callbacks.cancel)

    return run


def _call(method: Callable[..., _R], args: tuple[Any, ...], named: dict[str, Any], tract: Tract) -> _R:
    return method(tract, *args, **named)


def _loaded(
    method: Callable[Concatenate[Tract, _P], list[CommitInfo]],
) -> Callable[Concatenate[Tract, _P], list[CommitInfo]]:
    """Returns a method of `Tract` whose results have read their facts, which else the event loop would do later."""

    @wraps(method)
    def run(self: Tract, /, *args: _P.args, **kwargs: _P.kwargs) -> list[CommitInfo]:
        found = method(self, *args, **kwargs)
        for info in found:
            _ = info.operation
        return found

    return run


class AsyncCurrentBranch(str):
    """The name of the branch that a handle works on: a string. Called and awaited, it makes another branch."""

    _make: Callable[[str, str | None], Awaitable[str]]

    async def __call__(self, name: str, *, at: str | None = None) -> str:
        """Makes a branch at the head, or at a ref, and returns its head; as for `Tract.branch`."""
        return await self._make(name, at)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)  # a copy is the name alone


class _Calls:
    """The calls that a handle and a batch have, but for how they run."""

    _tract: Tract

    async def _read(self, call: Callable[[Tract], _R]) -> _R:
        raise NotImplementedError

    async def _write(self, call: Callable[[Tract], _R]) -> _R:
        raise NotImplementedError

    async def _long(self, call: Callable[[Tract], _R], cancel: Callable[[], bool]) -> _R:
        raise NotImplementedError

    @property
    def tract_id(self) -> str:
        """The tract's id."""
        return self._tract.tract_id

    @property
    def config(self) -> TractConfig:
        """How this handle works."""
        return self._tract.config

    @property
    def head(self) -> Awaitable[str | None]:
        """The hash of the branch's head, to be awaited (`await t.head`); None if it has no commits."""
        return self._read(lambda tract: tract.head)

    @property
    def title(self) -> Awaitable[str | None]:
        """The title of the tract, to be awaited (`await t.title`), or None."""
        return self._read(lambda tract: tract.title)

    @property
    def metadata(self) -> Awaitable[dict[str, Any]]:
        """The metadata of the tract (fresh), to be awaited (`await t.metadata`); empty where none was given."""
        return self._read(lambda tract: tract.metadata)

    @property
    def branch(self) -> AsyncCurrentBranch:
        """The branch that this handle works on, by name; `await t.branch(name, at=None)` makes one."""
        current = AsyncCurrentBranch(self._tract.branch)
        current._make = lambda name, at: self._write(lambda tract: tract.branch(name, at=at))
        return current

    # write

    commit = _writing(Tract.commit)
    add = _writing(Tract.add)
    put_blob = _writing(Tract.put_blob)
    edit = _writing(Tract.edit)
    annotate = _writing(Tract.annotate)
    annotate_all = _writing(Tract.annotate_all)
    pop = _writing(Tract.pop)
    clear = _writing(Tract.clear)
    describe = _writing(Tract.describe)
    record_usage = _writing(Tract.record_usage)
    summarize = _running_long(Tract.summarize)
    fit = _writing(Tract.fit)
    import_messages = _writing(Tract.import_messages)
    merge = _writing(Tract.merge)
    cherry_pick = _writing(Tract.cherry_pick)
    revert = _writing(Tract.revert)

    # read

    compile = _reading(Tract.compile)
    get_commit = _reading(Tract.get_commit)
    resolve = _reading(Tract.resolve)
    get_content = _reading(Tract.get_content)
    get_blob = _reading(Tract.get_blob)
    expand = _reading(Tract.expand)
    export_transcript = _reading(Tract.export_transcript)
    get_annotations = _reading(Tract.get_annotations)
    log = _reading(Tract.log)
    reflog = _reading(Tract.reflog)
    find = _reading(_loaded(Tract.find))
    query = _reading(Tract.query)
    aggregate = _reading(Tract.aggregate)
    query_by_config = _reading(_loaded(Tract.query_by_config))
    search = _reading(Tract.search)
    usage = _reading(Tract.usage)
    diff = _reading(Tract.diff)
    explain = _reading(Tract.explain)
    blame = _reading(Tract.blame)
    compare = _reading(Tract.compare)
    siblings = _reading(Tract.siblings)
    view = _reading(Tract.view)
    status = _reading(Tract.status)
    incomplete = _reading(Tract.incomplete)
    other_heads = _reading(Tract.other_heads)
    changed_configs = _reading(Tract.changed_configs)

    # branches and tags

    branches = _reading(Tract.branches)
    reset = _writing(Tract.reset)
    tag = _writing(Tract.tag)
    untag = _writing(Tract.untag)
    tags = _reading(Tract.tags)


class AsyncTract(_Calls):
    """The context of one agent under version control, for asyncio: the calls of `Tract`, each awaited. Made by
    `await AsyncTract.open(…)`.

    A write that has begun runs to its outcome, also if its task is cancelled: then the cancellation is raised after the
    outcome, and what the call wrote is in the history. One that has not begun is withdrawn. Two tasks that share a handle
    write one after the other.
    """

    def __init__(self, tract: Tract | None = None, **_: object) -> None:
        self._tract = require_opened(tract, Tract, "await AsyncTract.open(path)")
        self._store_threads = _StoreThreads.of(self._tract._session.store.layout.context)

    # open and close

    @classmethod
    async def open(
        cls,
        path: StorePath | None = None,
        *,
        tract_id: str = "default",
        branch: str = "main",
        config: TractConfig | None = None,
        tokenizer: TokenCounter | None = None,
        media: MediaCounter | None = None,
        compiler: ContextCompiler | None = None,
        durability: Durability = "durable",
        read_only: bool = False,
        create: bool = True,
        verify: bool = False,
        lock_timeout_s: float = 10.0,
        clock: Clock | None = None,
        incomplete: OnIncomplete = "raise",
        text: OnBadText = "strict",
    ) -> Self:
        """Opens a tract, as `Tract.open` does. `tokenizer`, `compiler` and `clock` are called in other threads."""
        opened = partial(
            Tract.open,
            path,
            tract_id=tract_id,
            branch=branch,
            config=config,
            tokenizer=tokenizer,
            media=media,
            compiler=compiler,
            durability=durability,
            read_only=read_only,
            create=create,
            verify=verify,
            lock_timeout_s=lock_timeout_s,
            clock=clock,
            incomplete=incomplete,
            text=text,
        )
        return await cls._handle(_in_own_thread(opened))

    @staticmethod
    async def tracts(path: StorePath) -> list[str]:
        """Returns the ids of the tracts in the store at `path` that have events, sorted. Errors: as `open`."""
        return await asyncio.wrap_future(_in_own_thread(partial(Tract.tracts, path)))

    refresh = _writing(Tract.refresh)
    flush = _writing(Tract.flush)

    async def close(self) -> None:
        """Saves the caches and closes the files, after all writes that were called before; every later call but this raises
        ClosedError. It runs to its end, also if its task is cancelled.
        """
        threads = self._threads
        batch = threads.batch_of_task()
        if batch is None:
            closing = threads.writes.submit(self._tract.close)
        elif batch._tract is self._tract:
            raise BatchOpen(call="close()")
        else:  # the batch of another handle occupies the thread of writes
            closing = _in_own_thread(self._tract.close)
        await _outcome(closing, lambda: False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"Async{self._tract!r}"

    # the handle

    register_content_type = _reading(Tract.register_content_type)

    # write

    @asynccontextmanager
    async def _batch(self) -> AsyncIterator[AsyncBatch]:
        self._threads.require_no_batch_of_task()
        batch = AsyncBatch(self._tract, self._threads)
        await batch._begin(self._timeout_s)
        try:
            yield batch
        except BaseException:
            await batch._end(is_kept=False)
            raise
        await batch._end(is_kept=True)

    def batch(self) -> AbstractAsyncContextManager[AsyncBatch]:
        """Makes all that is written through its object visible together, or none if anything is raised, a cancellation
        too: `async with t.batch() as b: await b.commit(…)`.

        Reads through the object see what it wrote; those of `t`, in this task and others, show what was written before.
        Writes of other tasks of this process to the store wait for the end of the batch, up to `lock_timeout_s`, then
        they raise BatchOpen; one of the same task that does not go through the object raises it at once. A task that is
        cancelled while the batch ends raises the cancellation after the outcome. Errors: BatchTooLarge at its end, nothing
        written.
        """
        return self._batch()

    import_stream = _running_long(Tract.import_stream)
    import_transcript = _running_long(Tract.import_transcript)

    # read

    async def watch(self, *, after: str | None, timeout_s: float | None = None) -> list[CommitInfo]:
        """Waits for newer commits, as `Tract.watch` does; other calls go on meanwhile, and a cancellation ends it."""
        watch = await self._read(lambda tract: Watch(tract._session, after, timeout_s))
        while not (found := await self._read(lambda _: watch.look())) and (pause_s := watch.next_pause_s()):
            await asyncio.sleep(pause_s)
        return found

    # branches and tags

    switch = _writing(Tract.switch)
    rename_branch = _writing(Tract.rename_branch)
    delete_branch = _writing(Tract.delete_branch)
    undo = _writing(Tract.undo)

    # other handles

    async def at(self, ref: str) -> Self:
        """Returns a read-only handle whose head is this commit for ever, as `Tract.at` does."""
        return await self._handle(self._threads.reads.submit(partial(self._tract.at, ref)))

    async def on(self, branch: str, *, create: bool = False) -> Self:
        """Returns a handle of its own on another branch of this tract, as `Tract.on` does."""
        return await self._written_handle(partial(self._tract.on, branch, create=create))

    async def retry(
        self, commit: str, *, generation_config: dict[str, Any] | None = None, branch: str | None = None
    ) -> Self:
        """Makes a branch that starts before an answer, and returns a handle of its own on it, as `Tract.retry` does."""
        return await self._written_handle(
            partial(self._tract.retry, commit, generation_config=generation_config, branch=branch)
        )

    async def fork(self, tract_id: str, *, branch: str = "main") -> Self:
        """Makes a tract that starts at the head, and returns an open handle of it, as `Tract.fork` does."""
        return await self._written_handle(partial(self._tract.fork, tract_id, branch=branch))

    # upkeep

    repair = _running_long(Tract.repair)
    pack = _running_long(Tract.pack)

    # copies

    sync = _running_long(Tract.sync)
    bundle = _running_long(Tract.bundle)
    apply_bundle = _running_long(Tract.apply_bundle)

    # how the calls run

    @property
    def _threads(self) -> _StoreThreads:
        if self._store_threads.pid != process.id:  # a forked child has no thread of its parent
            self._store_threads = _StoreThreads.of(self._store_threads.directory)
        return self._store_threads

    @property
    def _timeout_s(self) -> float:
        return self._tract._session.store.lock_timeout_s

    async def _read(self, call: Callable[[Tract], _R]) -> _R:
        return await asyncio.wrap_future(self._threads.reads.submit(partial(call, self._tract)))

    async def _write(self, call: Callable[[Tract], _R]) -> _R:
        threads = self._threads
        threads.require_no_batch_of_task()
        begun = threads.writes.submit(partial(call, self._tract))
        return await _outcome(begun, begun.cancel, limit_s=self._timeout_s, give_up=threads.give_up_for_batch)

    async def _long(self, call: Callable[[Tract], _R], cancel: Callable[[], bool]) -> _R:
        self._threads.require_no_batch_of_task()
        return await _outcome(_in_own_thread(partial(call, self._tract)), cancel)

    async def _written_handle(self, call: Callable[[], Tract]) -> Self:
        threads = self._threads
        threads.require_no_batch_of_task()
        opening = threads.writes.submit(call)
        return await self._handle(opening, limit_s=self._timeout_s, give_up=threads.give_up_for_batch)

    @classmethod
    async def _handle(
        cls, opening: Future[Tract], *, limit_s: float | None = None, give_up: _GiveUp | None = None
    ) -> Self:
        """Returns the handle that is being opened. Where the task is cancelled meanwhile, it is closed again."""
        try:
            opened = await _outcome(opening, opening.cancel, limit_s=limit_s, give_up=give_up)
            return cls(opened)
        except asyncio.CancelledError:
            if not opening.cancelled() and opening.exception() is None:
                await _outcome(closing := _in_own_thread(opening.result().close), closing.cancel)
            raise


async def opened_by(call: Callable[[], Tract]) -> AsyncTract:
    """Returns the handle for asyncio of the one that `call` opens, in a thread of its own."""
    return await AsyncTract._handle(_in_own_thread(call))


class _Dropped(Exception):
    """Ends a batch whose writes are to be forgotten."""


class AsyncBatch(_Calls):
    """The calls that go into an open batch of an `AsyncTract`, by its task or by tasks that it gave this object to. Once
    the batch is over, each raises ClosedError.

    States: opening, until the thread of writes is free for it; open; over.
    """

    def __init__(self, tract: Tract, threads: _StoreThreads) -> None:
        self._tract = tract
        self._threads = threads
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._opened: Future[None] = Future()
        self._over: Future[None] = Future()
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._is_kept = False
        self._is_open = False

    async def _begin(self, timeout_s: float) -> None:
        self._over = self._threads.writes.submit(self._hold)
        try:
            await _outcome(self._opened, self._over.cancel, limit_s=timeout_s, give_up=self._threads.give_up_for_batch)
        except BaseException:
            self._queue.put(None)
            raise
        self._is_open = True

    async def _end(self, *, is_kept: bool) -> None:
        self._is_kept, self._is_open = is_kept, False
        self._queue.put(None)
        await _outcome(self._over, self._over.cancel)

    def _hold(self) -> None:
        """Holds the batch open in this thread, and makes its calls, until its end."""
        self._threads.batch = self
        try:
            with suppress(_Dropped), self._tract.batch():
                self._opened.set_result(None)
                self._make_calls()
        except BaseException as error:
            if self._opened.done():
                raise
            self._opened.set_exception(error)
        finally:
            self._threads.batch = None

    def _make_calls(self) -> None:
        while True:
            try:
                work = self._queue.get(timeout=_LOOK_EVERY_S)
            except Empty:
                if self._loop.is_closed():
                    raise _Dropped from None
                continue
            if work is None:
                break
            work.run()
            del work
        if not self._is_kept:
            raise _Dropped

    async def _read(self, call: Callable[[Tract], _R]) -> _R:
        return await self._write(call)

    async def _long(self, call: Callable[[Tract], _R], cancel: Callable[[], bool]) -> _R:
        work = self._queued(call)
        return await _outcome(work, lambda: work.cancel() or cancel())

    async def _write(self, call: Callable[[Tract], _R]) -> _R:
        work = self._queued(call)
        return await _outcome(work, work.cancel)

    def _queued(self, call: Callable[[Tract], _R]) -> Future[_R]:
        if not self._is_open:
            raise ClosedError(
                f"this batch of tract {self._tract.tract_id!r} is over; write through the handle, or open another batch; "
                "nothing was written",
                tract_id=self._tract.tract_id,
            )
        work = _Work(partial(call, self._tract))
        self._queue.put(work)
        return work.outcome


def _in_own_thread(call: Callable[[], _R]) -> Future[_R]:
    work = _Work(call)
    Thread(target=work.run, name="tract_fs call", daemon=True).start()
    return work.outcome
