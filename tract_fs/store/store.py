"""The store of one context directory: opens and recovers it, locks it, and writes transactions.

Objects first, then the event: the event's rename is the commit point, and the answer is given after it. Format: FORMAT.md.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import AbstractContextManager, suppress
from threading import Thread

from tract_fs.errors import (
    BatchTooLarge,
    LockTimeout,
    ReadOnlyError,
)
from tract_fs.model.events import MAX_EVENT_BYTES, Redact
from tract_fs.model.names import EventHash, hash_bytes
from tract_fs.store import files, place, redo, texts, tree
from tract_fs.store.address import Address
from tract_fs.store.arrivals import Record
from tract_fs.store.bytes import StoredBytes
from tract_fs.store.events import Events
from tract_fs.store.index.file import IndexFile
from tract_fs.store.layout import Layout
from tract_fs.store.lock import StoreLock
from tract_fs.store.objects import Objects
from tract_fs.store.packs import Packs, assemble
from tract_fs.store.quarantine import Finding, Quarantine
from tract_fs.store.redo import Entry, RedoLog
from tract_fs.store.suspects import Suspects
from tract_fs.store.tract_log import Parts, TractLog
from tract_fs.store.transaction import Transaction
from tract_fs.store.waiting_line import WaitingLine

PACK_MIN_OBJECTS = 64
PACK_MAX_BYTES = 256 * 1024 * 1024
_SAVE_EVERY_RECORDS = 256
# Between two looks for the lock: those who wait for the disk leave it free so long; the others are back at once, and take turns
# of several commits, which cost less than as many changes of writer.
_DURABLE_WAIT_S = 0.0002
_FAST_WAIT_S = 0.0005
_SUSPECTS_AT_ONCE = 8
_FRESH_PAUSE_S = 2.0
_FAILED_PAUSE_S = 60.0


class Store:
    """One handle's way to the files of a context directory."""

    def __init__(
        self,
        layout: Layout,
        *,
        writer: str,
        is_durable: bool,
        read_only: bool,
        lock_timeout_s: float,
        distrusts_caches: bool = False,
    ) -> None:
        self.layout = layout
        self.read_only = read_only
        self.distrusts_caches = distrusts_caches  # nothing is answered from what local/ has stored of the history
        self.needs_recovery = False
        self._writer = writer
        self._is_durable = is_durable
        self._lock_timeout_s = lock_timeout_s
        self._failure: str | None = None
        self._lock_depth = 0
        self._is_looking = False
        self._holding = _Holding(self)
        self._use_place()  # again once it is known
        self._unsynced: list[Entry] = []  # what the redo log holds of this handle and no sync has covered
        self._builds_on_undurable = False  # a transaction not synced yet follows events that no redo log covers
        self._syncing: Thread | None = None  # what a checkpoint has left to do
        self._is_suspect = False  # a sync of the file system failed: files may be lost that only the redo log has
        self._redacted: frozenset[str] | None = None
        self._logs: dict[str, TractLog] = {}
        self.suspects = Suspects()
        self.index = IndexFile(layout, read_only=read_only, is_distrusted=distrusts_caches)
        self.packs = Packs(layout, self.suspects, index=self.index)
        self.bytes = StoredBytes(layout, self.packs, self.suspects)
        self.objects = Objects(self.bytes, self.packs)
        self.events = Events(self.bytes)
        self.quarantine = Quarantine(layout, self.packs)
        self.findings: dict[Address, Finding] = {}  # what came of the suspects, since a repair last took it

    def open(self, *, create: bool) -> None:
        """Makes the store if it is absent and `create` is set; finishes what a power cut left; sees which packs there are.

        Errors: StoreNotFound, NotAStore, UnsupportedFormat, LockTimeout (recovery needs the lock).
        """
        try:
            self._open(create=create)
        except BaseException:
            files.close_directories(self.layout.root)
            raise

    def _open(self, *, create: bool) -> None:
        place.require_no_links(self.layout)
        texts.require_format(self.layout, create=create and not self.read_only)
        place.bind(self.layout, create=not self.read_only)
        self._use_place()
        try:
            paths = redo.log_paths(self.layout.local, self.layout.redo)
            self.needs_recovery = any(redo.needs_recovery(path) for path in paths)
        except PermissionError:  # another user's local/: what is on disk can be read all the same
            self.needs_recovery = True
        else:
            if self.needs_recovery and not self.read_only:
                self._recover(paths)
                self.needs_recovery = False
        if not self.read_only:
            with suppress(OSError, LockTimeout):
                self._mend_texts()
        self.packs.refresh()

    def _use_place(self) -> None:
        """Takes the lock and the redo log of the place that the layout is bound to; neither is open yet."""
        self._redo = RedoLog(self.layout.redo)
        self._lock = StoreLock(
            self.layout.lock,
            WaitingLine(self.layout.line),
            longest_wait_s=_DURABLE_WAIT_S if self._is_durable else _FAST_WAIT_S,
            meanwhile=self._look_meanwhile,
        )

    def renew_place(self) -> bool:
        """Goes on in another place where this copy's has gone with local/; tells whether it does. Cost: one stat."""
        if self.read_only or self._is_looking or place.is_there(self.layout):
            return False
        before, gone = (self._lock, self._redo), self.layout.local
        if not place.bind(self.layout, create=True):
            return False
        self._use_place()
        if self._lock_depth:
            self._lock.acquire(self._lock_timeout_s)
            before[0].release()
        for file in before:
            file.close()
        with suppress(OSError):  # a lock was taken there anew, perhaps
            for left in ("lock", "line"):
                files.remove(f"{gone}/{left}")
            files.remove_empty_directory(gone)
        self._builds_on_undurable = True  # what the log that went held is in none
        self.index.move()
        for log in self._logs.values():
            log.move_to_place()
        return True

    def log(self, tract: str, *, verify: bool = False) -> TractLog:
        """Returns the log of a tract, opened."""
        log = self._logs.get(tract)
        if log is None:
            parts = Parts(
                layout=self.layout,
                index=self.index,
                packs=self.packs,
                objects=self.objects,
                events=self.events,
                locked=self.locked,
                other=self.log,
                renew_place=self.renew_place,
                redacted=self.redacted,
                quarantined=self.quarantine.events,
                read_only=self.read_only,
            )
            log = self._logs[tract] = TractLog(tract, parts)
            log.open(verify=verify)
        return log

    def list_events(self) -> None:
        """Looks at once for events that came or went, in every tract that this handle has looked at so far."""
        for log in list(self._logs.values())[::-1]:  # the handle's own tract last: it may wait for others
            log.list_events(is_forced=True)

    def has_tract(self, tract: str) -> bool:
        """Tells whether a tract has events here."""
        return tree.has_tract(self.layout, self.packs, tract)

    def list_tracts(self) -> list[str]:
        """Returns the ids of the tracts that have events, sorted."""
        return tree.list_tracts(self.layout, self.packs)

    def beside(self, *, writer: str, read_only: bool) -> Store:
        """Returns another handle's way to the same files, opened, by the same settings. Errors: as `open`."""
        other = Store(
            self.layout,
            writer=writer,
            is_durable=self._is_durable,
            read_only=read_only,
            lock_timeout_s=self._lock_timeout_s,
        )
        other.open(create=False)
        return other

    def locked(self) -> AbstractContextManager[None]:
        """Holds the store's lock; nests. At its end, makes durable what was written. Errors: LockTimeout, ReadOnlyError."""
        self.require_writable()
        return self._holding

    def acquire(self, *, timeout_s: float | None = None) -> None:
        """Takes the lock, or counts that it is held once more; whoever does not use `locked` asks `require_writable` before, and releases it."""
        if self._lock_depth == 0:
            self._lock.acquire(self._lock_timeout_s if timeout_s is None else timeout_s)
        self._lock_depth += 1

    def is_awaited(self) -> bool:
        """Tells whether another writer waits for the lock, which is held. Cost: a read."""
        return self._lock.is_awaited()

    def release(self, *, is_failed: bool) -> None:
        """Gives the lock back if it is held no more, and makes durable what was written, unless an error is on its way.

        Before, sets aside a few of the damaged files that were met.
        """
        if self.suspects and self._lock_depth == 1 and not is_failed:
            self._examine_some()
        self._lock_depth -= 1
        if self._lock_depth == 0:
            self._lock.release()
            if not is_failed:
                if self._unsynced:
                    self._sync()
                self._save_views()

    def _save_views(self) -> None:
        """Saves the views that lag far behind; the lock is free."""
        for log in self._logs.values():
            if log.unsaved_count >= _SAVE_EVERY_RECORDS:
                with suppress(OSError):
                    log.save()

    def _look_meanwhile(self) -> None:
        """Takes in what others write while this handle waits for the lock: so much less is left to do under it."""
        if self._is_looking or not self._logs:
            return
        self._is_looking = True
        try:
            next(iter(self._logs.values())).look_ahead()  # the handle's own tract; of others it reads only
        finally:
            self._is_looking = False

    def tend(self) -> None:
        """Sets aside damaged files that were met, if this handle can write and nobody holds the lock. Cost: nothing if there are none."""
        if self.read_only or self._failure is not None or not self.suspects.due(1):
            return
        with suppress(LockTimeout, OSError):
            self.acquire(timeout_s=0.0)
            self.release(is_failed=False)

    def examine(self, suspect: Address) -> None:
        """Sets a damaged file aside or mends it, and notes what came of it; the lock is held. What is too fresh is looked at again later."""
        finding = self.quarantine.examine(suspect)
        if finding.outcome in ("fresh", "failed"):
            self.suspects.note(suspect)
            self.suspects.postpone(suspect, _FRESH_PAUSE_S if finding.outcome == "fresh" else _FAILED_PAUSE_S)
        else:
            self.suspects.settle(suspect)
        self.findings[suspect] = finding

    def _examine_some(self) -> None:
        for suspect in self.suspects.due(_SUSPECTS_AT_ONCE):
            self.examine(suspect)

    def require_writable(self) -> None:
        """Raises ReadOnlyError if this handle can't write."""
        if self.read_only:
            raise ReadOnlyError(path=self.layout.context, reason="this handle was opened read-only")
        if self._failure is not None:
            raise ReadOnlyError(path=self.layout.context, reason=self._failure)

    def write_packed(self, objects: dict[str, bytes]) -> None:
        """Writes objects, by hash, as packs, for transactions that follow and bring them; the lock is held. What no event names harms nothing."""
        written: list[str] = []
        try:
            self._write_packed(objects, written)
        except BaseException:
            for path in written:
                files.remove(path)
            raise

    def write(self, log: TractLog, transaction: Transaction) -> EventHash:
        """Writes a transaction; the lock is held and the log caught up. All of it is in the store, or nothing.

        Errors: BatchTooLarge; OSError of the disk.
        """
        line = log.view.line_moves(transaction.branch, transaction.start, log)
        data = transaction.encode(log.tract, self._writer, log.view, line)
        if len(data) > MAX_EVENT_BYTES:
            raise BatchTooLarge(size_bytes=len(data), limit_bytes=MAX_EVENT_BYTES)
        name = EventHash(hash_bytes(data))
        fresh = dict(transaction.objects)
        for key in transaction.contents:
            if self.objects.is_written(key):
                del fresh[key]
        records = transaction.records(
            name,
            log.branch_digest(transaction.branch),
            is_plain=log.is_plain(transaction.branch),
            is_durable=self._is_durable,
            is_brought=log.origins.is_brought,
        )
        self._builds_on_undurable = self._is_durable and (self._builds_on_undurable or not log.is_durable)
        self._write_files(log, fresh, transaction.contents, Entry(name, data, log.tract), records)
        self.objects.remember(fresh, transaction.made)
        with suppress(OSError):  # the transaction stands; what is not taken in now is at the next call
            log.record_own(name, records)
        return name

    @property
    def writer(self) -> str:
        """The label of this open for writing."""
        return self._writer

    def add_event(self, tract: str, data: bytes) -> EventHash:
        """Writes an event as a copying tool would bring it: it takes effect at the next listing and is no writer's own line.

        What it brings is in the store already. The lock is held. Errors: BatchTooLarge; OSError of the disk.
        """
        if len(data) > MAX_EVENT_BYTES:
            raise BatchTooLarge(size_bytes=len(data), limit_bytes=MAX_EVENT_BYTES)
        name = EventHash(hash_bytes(data))
        if self._is_durable:
            files.sync_filesystem(self.layout.root)
        files.replace(self.layout.event(tract, name), data, is_synced=self._is_durable)
        return name

    def write_from_redo(self, names: Container[str]) -> list[str]:
        """Writes again the files of these names that this copy's redo logs hold; returns those written. The lock is held."""
        found = []
        for path in redo.log_paths(self.layout.local, self.layout.redo):
            for entry in redo.iter_entries(path):
                if entry.name in names:
                    files.replace(self._path_of(entry), entry.data, is_synced=True)
                    found.append(entry.name)
        return found

    def forget(self) -> None:
        """Reads everything anew from now on."""
        self.objects.forget()
        self.events.forget()

    def redacted(self) -> frozenset[str]:
        """Returns the contents that some event of the store names as redacted. Cost: reads all events, once."""
        if self._redacted is None:
            found: set[str] = set()
            for tract in self.list_tracts():
                names = tree.list_events(self.layout, self.packs, tract)
                events = (self.events.get(tract, name) for name in names)
                found.update(
                    op.object for event in events if event is not None for op in event.ops if isinstance(op, Redact)
                )
            self._redacted = frozenset(found)
        return self._redacted

    def forget_redacted(self) -> None:
        """Lets the next look find redactions that came since."""
        self._redacted = None

    def flush(self) -> None:
        """Makes all files written so far survive a power cut by themselves, and empties the redo log. Cost: a disk sync, while others write."""
        self.require_writable()
        self._wait_for_checkpoint()
        try:
            if self._is_suspect:
                self._write_again([*self._redo.old_paths(), self._redo.path], is_forced=True)
            old = self._set_log_aside()
            files.sync_filesystem(self.layout.root)
            for path in old:
                files.remove(path)
        except OSError:
            self._is_suspect = True  # the next sync may succeed and yet have lost what this one could not write
            raise
        self._is_suspect = False
        self._note_durable()

    def _set_log_aside(self) -> list[str]:
        """Begins the redo log anew, and returns those before it: they may go once all files are synced."""
        with self.locked():
            if self._redo.size() > redo.EMPTY_BYTES:  # else another writer has just done it
                self._redo.set_aside()
            return self._redo.old_paths()

    def _checkpoint(self) -> None:
        """Sets a full log aside and syncs its files in a thread of its own: no commit waits for them, nor a writer for the lock."""
        self._redo.is_checkpoint_due = False
        if self._is_suspect:
            self.flush()
        elif self._syncing is None or not self._syncing.is_alive():
            with suppress(OSError, LockTimeout):  # the commit stands; the log goes on until it is as long again
                self._syncing = Thread(target=self._sync_and_remove, args=(self._set_log_aside(),), daemon=True)
                self._syncing.start()

    def _sync_and_remove(self, old: list[str]) -> None:
        try:
            files.sync_filesystem(self.layout.root)
            for path in old:
                files.remove(path)
        except OSError:
            self._is_suspect = True  # the logs stay; the next checkpoint writes their files again

    def _wait_for_checkpoint(self) -> None:
        if self._syncing is not None:
            self._syncing.join()
            self._syncing = None

    def close(self) -> None:
        """Saves the caches, and checkpoints a redo log over 1 MiB."""
        self.tend()
        for log in self._logs.values():
            log.close()
        can_write = not self.read_only and self._failure is None
        is_used = can_write and self._is_durable and self._redo.end > 0
        if is_used and self._redo.size() > redo.CLOSE_CHECKPOINT_BYTES:
            self.flush()
        self._wait_for_checkpoint()
        self._redo.close()
        self._lock.close()
        self.packs.close()
        self.index.close()
        files.close_directories(self.layout.root)

    def after_fork(self) -> None:
        """Forgets what belongs to the parent process."""
        self._lock_depth = 0
        self._unsynced = []
        self._syncing = None

    def _write_files(
        self, log: TractLog, fresh: dict[str, bytes], contents: dict[str, None], event: Entry, records: list[Record]
    ) -> None:
        redo_size = -1
        entries: list[Entry] = []
        written: list[str] = []
        try:
            loose = fresh
            if len(fresh) >= PACK_MIN_OBJECTS:
                self._write_packed(fresh, written)
                loose = {}
            small = loose
            if loose and max(map(len, loose.values())) > redo.BYPASS_BYTES:
                large = {key: value for key, value in loose.items() if len(value) > redo.BYPASS_BYTES}
                self._write_loose(large, contents, written, is_synced=self._is_durable)
                small = {key: value for key, value in loose.items() if key not in large}
            if (
                self._is_durable
            ):  # after what the log does not hold: it must not bring back an event without its objects
                entries = [*(Entry(key, value) for key, value in small.items()), event]
                redo_size = self._redo.append(entries)
            log.append_own(records)
            self._write_loose(small, contents, written, is_synced=False)
            files.replace(self.layout.event(event.tract, event.name), event.data)
        except BaseException:
            if files.exists(self.layout.event(event.tract, event.name)):
                raise  # the rename was done: the transaction stands, only the answer is lost
            log.take_back()
            if redo_size >= 0:
                self._redo.take_back(redo_size)
            for path in written:
                files.remove(path)
            raise
        self._unsynced += entries

    def _write_packed(self, objects: dict[str, bytes], written: list[str]) -> None:
        self.packs.refresh()
        for members in _in_packs(objects):
            rows, data = assemble(members)
            if rows.pack not in self.packs.names:  # else it was there, and is not ours to take back
                written.append(self.layout.pack(rows.pack))
            self.packs.add(rows, data, is_synced=self._is_durable)

    def _write_loose(
        self, objects: dict[str, bytes], contents: dict[str, None], written: list[str], *, is_synced: bool
    ) -> None:
        for name, data in objects.items():
            path = self.layout.object(name)
            if name in contents or not files.may_exist(path):  # an equal one of another tract is not ours to take back
                written.append(path)
            files.replace(path, data, is_synced=is_synced)

    def _sync(self) -> None:
        """Makes the transactions so far durable. A sync that fails is not tried again on that file."""
        entries, self._unsynced = self._unsynced, []
        try:
            self._redo.sync()
        except OSError as error:
            self._sync_elsewhere(entries, error)
        if not place.is_there(self.layout):  # nobody would read the log
            self._builds_on_undurable = True
        if self._builds_on_undurable:  # what a fast writer or a copy brought is in no log
            files.sync_filesystem(self.layout.root)
            self._note_durable()
        if self._redo.is_checkpoint_due:  # so of several writers one makes it
            self._checkpoint()

    def _note_durable(self) -> None:
        self._builds_on_undurable = False
        for log in self._logs.values():
            log.is_durable = True

    def _sync_elsewhere(self, entries: list[Entry], error: OSError) -> None:
        """Writes a new log, once, with what the old one had and the failed sync was for; if that fails too, this handle writes no more."""
        with suppress(OSError):
            kept = list(redo.iter_entries(self._redo.path))
            entries = kept + [entry for entry in entries if entry not in kept]
        self._redo.close()
        self._redo = RedoLog(f"{self.layout.redo}.{self._writer}")
        try:
            self._redo.append(entries)
            self._redo.sync()
        except OSError:
            self._failure = f"the disk failed to make a commit durable ({error}); open the store anew and check it"
            raise error from None

    def _recover(self, paths: list[str]) -> None:
        """Writes again what the redo logs hold and the disk lost."""
        with self.locked():
            self._write_again(paths)
            texts.write(self.layout, texts.damaged(self.layout))
            files.sync_filesystem(self.layout.root)
            for path in paths:
                if path == self.layout.redo:
                    self._redo.empty()
                else:
                    files.remove(path)

    def _mend_texts(self) -> None:
        names = texts.outdated(self.layout)
        if names:
            with self.locked():
                texts.write(self.layout, names)

    def _write_again(self, paths: list[str], *, is_forced: bool = False) -> None:
        """Writes the files of redo logs that are missing or torn; with `is_forced` all of them."""
        for path in paths:
            for entry in redo.iter_entries(path):
                target = self._path_of(entry)
                data = None if is_forced else files.read(target, limit_bytes=1 << 31)
                if data is None or hash_bytes(data) != entry.name:
                    files.replace(target, entry.data)

    def _path_of(self, entry: Entry) -> str:
        return entry.address.path_in(self.layout)


class _Holding:
    """The store's lock as a context; one object serves all, since the store counts the depth."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __enter__(self) -> None:
        self._store.acquire()

    def __exit__(self, kind: object, *_: object) -> None:
        self._store.release(is_failed=kind is not None)


def _in_packs(objects: dict[str, bytes]) -> Iterator[dict[str, bytes]]:
    """Yields the objects in groups of at most 256 MiB."""
    if sum(map(len, objects.values())) + len(objects) <= PACK_MAX_BYTES:
        yield objects
        return
    group: dict[str, bytes] = {}
    size = 0
    for name, data in objects.items():
        if group and size + len(data) > PACK_MAX_BYTES:
            yield group
            group, size = {}, 0
        group[name] = data
        size += len(data) + 1
    if group:
        yield group
