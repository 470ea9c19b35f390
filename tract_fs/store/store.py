"""The store of one context directory: opens and recovers it, locks it, and writes transactions.

Objects first, then the event: the event's rename is the commit point, and the answer is given after it.
Format: FORMAT.md.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from threading import Thread

from tract_fs.errors import (
    BatchTooLarge,
    CommitUncertain,
    HeadMoved,
    LockTimeout,
    ObjectMissing,
    ReadOnlyError,
    StoreGone,
)
from tract_fs.model.events import MAX_EVENT_BYTES, Redact
from tract_fs.model.names import EventHash, hash_bytes
from tract_fs.store import files, place, redo, texts, tree
from tract_fs.store.address import Address
from tract_fs.store.arrivals import Record
from tract_fs.store.bytes import StoredBytes
from tract_fs.store.events import Events
from tract_fs.store.ground import Ground
from tract_fs.store.hidden import HiddenEvents
from tract_fs.store.index.file import IndexFile
from tract_fs.store.layout import Layout
from tract_fs.store.lock import StoreLock
from tract_fs.store.objects import Objects
from tract_fs.store.packs import Packs
from tract_fs.store.quarantine import Finding, Quarantine
from tract_fs.store.redo import Entry, LastEntry, RedoLog
from tract_fs.store.suspects import Suspects
from tract_fs.store.tract_log import Parts, TractLog
from tract_fs.store.transaction import Transaction
from tract_fs.store.transaction_files import InDoubtError, TransactionFiles
from tract_fs.store.waiting_line import WaitingLine

# Between two tries for the lock. Durable writers leave the lock free while they wait for the disk. Fast writers take it
# again at once, in turns of several commits, which cost less than as many changes of writer.
_DURABLE_WAIT_S = 0.0002
_FAST_WAIT_S = 0.0005
_SUSPECTS_AT_ONCE = 8
_FRESH_PAUSE_S = 2.0
_FAILED_PAUSE_S = 60.0
_NO_LOCK = (
    "this file system gives no lock ({}): only one writer at a time is safe; two at once leave a branch with two heads"
)
_NOT_DURABLE = "it is in the history, but the disk failed to make it durable ({})"
_DEEPEST_LOOK = 16  # tracts whose logs ask each other in turn, each on ten frames of the stack or so


class Store:
    """One handle's access to the files of a context directory.

    States, by the field that holds each:

    - `_lock_depth`: 0, or how often this handle holds the lock. `acquire` adds 1, `release` takes 1 away; at 0 it
      frees the lock, then syncs the redo log.
    - `_is_doubtful`: an error broke off a call, and what is in memory may be half changed. `restore` sets it, and unsets
      it once everything is dropped; inside a batch, that is when the lock is freed.
    - `layout.local`: bound to a place by `open`; once that was removed, `renew_place` binds another one.
    - `_redo`: the common log. After a failed sync of it, `_sync_elsewhere` uses a log of this handle's own; if that
      fails too, it sets `_failure`, and the handle writes no more.
    - `needs_recovery`: a redo log of another boot waits. An open and each first `acquire` recover from it; an open that
      can't get the lock at once leaves it to the next write.
    - `_is_after_boot`: the machine was started again since this copy began its redo log; found by `open`, before it
      recovers. A place that was bound later has no such log.
    - `_unsynced`, `_in_doubt`: entries that this handle appended to the redo log and no sync has covered, and the
      commits that they brought; `_sync` empties both.
    - `_has_undurable_ancestor`: set by a durable write on events that no redo log holds, and by `renew_place`. The next
      `_sync` or `flush` syncs the whole file system and unsets it.
    - `_sync_failed`: set when a sync of the file system fails, so that files may be lost that only the redo logs hold.
      `flush` writes these files again, syncs, and unsets it.
    - `_checkpointing`: None, or the thread of the last checkpoint, running or ended. At most one runs; `flush` and
      `close` wait for it.

    - `_look_depth`: how many calls of `_finds` run inside each other. `_to_look_at` are the tracts that were too deep,
      `_looked_at` those of them that are done; both are empty once the outermost call has ended.

    A fork keeps the place and the logs; `after_fork` resets the lock depth, `_unsynced` and `_checkpointing`.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        writer: str,
        is_durable: bool,
        read_only: bool,
        lock_timeout_s: float,
        distrusts_caches: bool = False,
        accepts_gaps: bool = False,
    ) -> None:
        self.layout = layout
        self.read_only = read_only
        self.accepts_gaps = accepts_gaps  # a content that is missing or damaged counts as redacted
        self.distrusts_caches = distrusts_caches  # no answer comes from what local/ caches of the history
        self._needs_recovery = False
        self._is_after_boot = False
        self._ground = Ground(layout)
        self._writer = writer
        self._is_durable = is_durable
        self.lock_timeout_s = lock_timeout_s
        self._failure: str | None = None
        self._lock_depth = 0
        self._is_doubtful = False
        self._is_looking_ahead = False
        self._holding = _Holding(self)
        self._holding_now = _Holding(self, timeout_s=0.0)
        self._last_entry = LastEntry()
        self._use_place()  # `open` calls it again, once the place is known
        self._unsynced: list[Entry] = []
        self._in_doubt: list[str] = []
        self._last_event = "", ""  # the hash of the last event that this handle wrote, and its path
        self._has_undurable_ancestor = False
        self._checkpointing: Thread | None = None
        self._sync_failed = False
        self._redacted: frozenset[str] | None = None
        self.noted_redactions: set[str] = set()  # contents that events redact which a log here has read since the open
        self._redo_listed: tuple[list[tuple[str, files.Signature | None]], frozenset[str]] = [], frozenset()
        self._logs: dict[str, TractLog] = {}
        self._hidden: dict[str, HiddenEvents] = {}
        self._look_depth = 0
        self._to_look_at: dict[str, None] = {}
        self._looked_at: set[str] = set()
        self.suspects = Suspects()
        self.index = IndexFile(layout, read_only=read_only, is_distrusted=distrusts_caches)
        self.packs = Packs(layout, self.suspects, index=self.index)
        self.bytes = StoredBytes(layout, self.packs, self.suspects, require_store=self.require_store)
        self.objects = Objects(self.bytes, self.packs)
        self.events = Events(self.bytes)
        self.quarantine = Quarantine(layout, self.packs)
        self.findings: dict[Address, Finding] = {}  # of the examined suspects, since the last `take_findings`

    def open(self, *, create: bool, is_beside: bool = False) -> None:
        """Creates the store if it is absent and `create` is set; recovers from a power cut; lists the packs.

        Waits for no lock: what needs it while another writer has it is left to the next write. With `is_beside` another handle
        of this process has the store open, and has examined its text files.
        Errors: StoreNotFound, FormatMissing, NotAStore, UnsupportedFormat.
        """
        try:
            self._open(create=create, is_beside=is_beside)
        except BaseException:
            files.close_directories(self.layout.root)
            raise

    def _open(self, *, create: bool, is_beside: bool) -> None:
        files.forget_moved(self.layout.root)
        place.require_no_links(self.layout)
        texts.require_format(self.layout, create=create and not self.read_only)
        self._ground.note()
        place.bind(self.layout, create=not self.read_only)
        self._use_place()
        self._needs_recovery = True
        with suppress(PermissionError):  # local/ of another user
            paths, seal = redo.log_paths(self.layout.local, self.layout.redo), self.layout.seal
            self._is_after_boot = any(redo.is_of_earlier_boot(path, seal) for path in paths)
            self._needs_recovery = any(redo.needs_recovery(path, seal) for path in paths)
        if self._needs_recovery and not self.read_only:
            with suppress(LockTimeout, PermissionError), self.locked_now():  # the first to have the lock recovers
                pass
        if not (self.read_only or is_beside):
            with suppress(OSError, LockTimeout):
                self._write_outdated_texts()
        self.packs.refresh()

    @property
    def needs_recovery(self) -> bool:
        """Whether a redo log of another boot waits for a writer. Cost: nothing if there was none at the last look."""
        if self._needs_recovery:
            with suppress(PermissionError):  # local/ of another user: the files that are on disk can still be read
                paths = redo.log_paths(self.layout.local, self.layout.redo)
                self._needs_recovery = any(redo.needs_recovery(path, self.layout.seal) for path in paths)
        return self._needs_recovery

    def require_store(self) -> None:
        """Raises StoreGone unless the store that this handle opened is still at its path. Cost: one stat."""
        if files.signature(self.layout.format) != self._ground.format:
            self._look_at_ground()

    def _look_at_ground(self) -> None:
        """Accepts what lies at the path if it is the store of this handle, or a copy of it with all that the handle knows.

        A directory that was emptied and filled again is the same one; that it holds less is for the listing to judge.
        """
        if files.signature(self.layout.format) is None:
            raise StoreGone(path=self.layout.context, reason="the store that this handle opened is gone from here")
        files.forget_moved(self.layout.root)
        place.require_no_links(self.layout)
        texts.require_format(self.layout, create=False)
        if not (self._ground.is_same_directory() and place.is_there(self.layout)):
            if not all(self._is_here(log.tract, head) for log in self._logs.values() for head in log.view.event_heads):
                reason = "another store, or an older copy, is in the place of the store that this handle opened"
                raise StoreGone(path=self.layout.context, reason=reason)
            files.close_directories(self.layout.root)
            self._ground.note()
            self._bind_place()
        self._ground.note()

    def _use_place(self) -> None:
        """Uses the lock and the redo log of the place that the layout is bound to; opens neither."""
        self._redo = RedoLog(self.layout.redo, self.layout.seal, self._last_entry)
        self._is_lock_tried = False
        self._lock = StoreLock(
            self.layout.lock,
            WaitingLine(self.layout.line),
            longest_wait_s=_DURABLE_WAIT_S if self._is_durable else _FAST_WAIT_S,
            meanwhile=self._look_ahead,
        )

    @property
    def lock_fault(self) -> str:
        """Why a try for the lock found none; empty while none did."""
        return self._lock.fault

    @property
    def lock_warning(self) -> str:
        """What several writers risk where the system gives no lock; empty where it gives one, or this handle can't write.

        Cost: a try for the lock, once.
        """
        if not self._is_lock_tried and not (self.read_only or self._lock_depth or self._is_looking_ahead):
            self._is_lock_tried = True
            if place.is_there(self.layout):
                with suppress(LockTimeout, OSError):
                    self._lock.acquire(0.0)
                    self._lock.release()
        fault = self._lock.fault
        return fault and _NO_LOCK.format(fault)

    def renew_place(self) -> bool:
        """Binds another place if this copy's was removed with local/; returns whether it did. Cost: two stats.

        Errors: StoreGone.
        """
        self.require_store()
        if self.read_only or self._is_looking_ahead or place.is_there(self.layout):
            return False
        return self._bind_place()

    def _bind_place(self) -> bool:
        before, gone = (self._lock, self._redo), self.layout.local
        if not place.bind(self.layout, create=not self.read_only):
            return False
        self._use_place()
        self._is_after_boot = False
        if self._lock_depth:
            self._lock.acquire(self.lock_timeout_s)
            before[0].release()
        for file in before:
            file.close()
        if gone != self.layout.local:
            with suppress(OSError):  # another handle may have made the lock file again
                for left in ("lock", "line"):
                    files.remove(f"{gone}/{left}")
                files.remove_empty_directory(gone)
        self._has_undurable_ancestor = True  # no log holds the entries of the removed one
        self.index.move()
        for log in self._logs.values():
            log.move_to_place()
        return True

    def log(self, tract: str, *, verify: bool = False, like: TractLog | None = None) -> TractLog:
        """Returns the log of a tract, opened; `like`: its log in another handle, which is not in use meanwhile."""
        log = self._logs.get(tract)
        if log is None:
            log = self._logs[tract] = self._new_log(tract)
            log.open(verify=verify, like=like)
        return log

    def passing_log(self, tract: str) -> TractLog:
        """Returns the log of a tract, caught up with all that is in the store; it is not kept if it is not open here yet."""
        log = self._logs.get(tract)
        if log is None:
            log = self._new_log(tract)
            log.open(verify=False)
        else:
            log.list_events()
        return log

    def drop_passing(self, log: TractLog) -> None:
        """Closes the files of a log that `passing_log` returned, and saves it if it lags, unless this handle keeps it."""
        if self._logs.get(log.tract) is not log:
            log.save_if_due()  # below that, the writer's own handle saves it
            log.rest()

    def drop(self, tract: str) -> None:
        """Saves the log of a tract and drops it, with what is in memory of objects and events; where the store is gone, only
        drops it.
        """
        self._hidden.pop(tract, None)
        log = self._logs.pop(tract, None)
        try:
            with suppress(StoreGone):
                self.require_store()
                self.quarantine_suspects()
                if log is not None:
                    log.close(is_passing=True)
        finally:
            self.forget()

    def _new_log(self, tract: str) -> TractLog:
        self.require_store()
        return TractLog(
            tract,
            Parts(
                layout=self.layout,
                index=self.index,
                packs=self.packs,
                objects=self.objects,
                events=self.events,
                locked=self.locked_now,
                finds=self._finds,
                require_store=self.require_store,
                renew_place=self.renew_place,
                is_after_boot=lambda: self._is_after_boot,
                redacted=self.redacted,
                note_redacted=self.note_redacted,
                quarantined=self.quarantine.events,
                losses=self.quarantine.losses,
                read_only=self.read_only,
                accepts_gaps=self.accepts_gaps,
            ),
        )

    def hidden(self, tract: str) -> HiddenEvents:
        """Returns what events of a tract show that take no part."""
        found = self._hidden.get(tract)
        if found is None:
            found = self._hidden[tract] = HiddenEvents(
                self.log(tract), self.log, self.objects, self.redacted, self.quarantine.damaged_bytes
            )
        return found

    def _finds(self, tract: str, name: EventHash) -> bool:
        """Answers a tract's log whether an event of another tract is visible; looks for the event if it has a file.

        To answer, that tract's log may need a third tract, and so on. Beyond `_DEEPEST_LOOK` of them, the answer is what is known
        already, and the tract is looked at when the outermost call is back here. So no chain of tracts is too long for the stack.
        """
        if self._look_depth >= _DEEPEST_LOOK:
            log = self._logs.get(tract)
            if log is not None and log.shows(name):
                return True
            if tract not in self._looked_at:
                self._to_look_at.setdefault(tract)
            return False
        depth = self._look_depth
        try:
            self._look_depth = depth + 1
            found = self.log(tract).finds(name)
            if depth == 0 and self._to_look_at:
                self._look_deeper()
                found = self.log(tract).finds(name)
            return found
        finally:
            self._look_depth = depth
            if depth == 0:
                self._to_look_at.clear()
                self._looked_at.clear()

    def _look_deeper(self) -> None:
        """Looks at the tracts that were too deep, each after those that it depends on, as long as that changes anything."""
        queue = self._to_look_at
        while queue:
            tract, before = next(reversed(queue)), self._waiting_count()
            self.log(tract).list_events()
            if self._waiting_count() != before:
                self._looked_at.clear()
            if next(reversed(queue)) == tract:  # it needs no other tract that was too deep
                del queue[tract]
                self._looked_at.add(tract)

    def _waiting_count(self) -> tuple[int, int]:
        return len(self._logs), sum(len(log.view.pending) for log in self._logs.values())

    def list_events(self) -> None:
        """Lists the events of every tract that this handle has opened, now, to see which came or went."""
        for log in list(self._logs.values())[::-1]:  # the handle's own tract last: it may wait for others
            log.list_events(is_forced=True)

    def has_tract(self, tract: str) -> bool:
        """Returns whether a tract has events here."""
        return tree.has_tract(self.layout, self.packs, tract)

    def knows_tract(self, tract: str) -> bool:
        """Returns whether a tract has events here, or a directory for them: one that was made for its first commit."""
        return tree.has_directory(self.layout, tract) or self.has_tract(tract)

    def list_tracts(self) -> list[str]:
        """Returns the ids of the tracts that have events, sorted."""
        return tree.list_tracts(self.layout, self.packs)

    def beside(self, *, writer: str, read_only: bool, accepts_gaps: bool | None = None) -> Store:
        """Opens another store of the same files and settings, for another handle; `accepts_gaps`: by default as this one
        does. Errors: as `open`.
        """
        other = Store(
            self.layout,
            writer=writer,
            is_durable=self._is_durable,
            read_only=read_only,
            lock_timeout_s=self.lock_timeout_s,
            accepts_gaps=self.accepts_gaps if accepts_gaps is None else accepts_gaps,
        )
        other._last_entry = self._last_entry
        other.open(create=False, is_beside=True)
        return other

    def locked(self) -> AbstractContextManager[None]:
        """Holds the store's lock; nests. At its end, makes durable what was written.

        Errors: LockTimeout, ReadOnlyError.
        """
        self.require_writable()
        return self._holding

    def locked_now(self) -> AbstractContextManager[None]:
        """As `locked`, for a read, which waits for no writer: LockTimeout at once where another has the lock."""
        self.require_writable()
        return self._holding_now

    def acquire(self, *, timeout_s: float | None = None) -> None:
        """Takes the lock, or counts one more holder. The first also recovers from a power cut that was left to it.

        Callers that do not use `locked()` must call `require_writable()` first and `release()` afterwards.
        Errors: LockTimeout, StoreGone.
        """
        if self._lock_depth == 0:
            self.require_store()
            while self._lock.acquire(self.lock_timeout_s if timeout_s is None else timeout_s):
                if files.signature(self.layout.format) == self._ground.format:
                    break
                self._lock.release()  # the store was taken away while this handle waited
                self.require_store()
        self._lock_depth += 1
        if self._needs_recovery and self._lock_depth == 1:
            try:
                self._recover()
            except BaseException:
                self.release(is_failed=True)
                raise

    def restore(self, *, holds_lock: bool) -> None:
        """Cleans up after a call that an error interrupted: frees the lock, unless a batch holds it, closes
        the index, and reads everything again, at once or after the batch.
        """
        self.index.move()
        self._is_doubtful = True
        self._lock_depth = int(holds_lock)
        if not holds_lock:
            self._lock.let_go()
            self._read_again()

    def _read_again(self) -> None:
        self.forget()
        self.packs.restart()
        for log in self._logs.values():
            log.distrust()
        self._is_doubtful = False

    def is_awaited(self) -> bool:
        """Returns whether another writer waits for the lock that this handle holds. Cost: a read."""
        return self._lock.is_awaited()

    def release(self, *, is_failed: bool) -> None:
        """Counts one holder less; the last one frees the lock and, unless `is_failed`, makes durable what was written.

        Before it releases the lock, it quarantines a few suspects.
        """
        if self.suspects and self._lock_depth == 1 and not is_failed:
            self._examine_due()
        self._lock_depth -= 1
        if self._lock_depth == 0:
            self._lock.release()
            if self._is_doubtful:
                self._read_again()
            if not is_failed:
                if self._unsynced:
                    self._sync()
                for log in self._logs.values():
                    log.save_if_long()

    def _look_ahead(self) -> None:
        """Applies what others write while this handle waits for the lock, so that less work is left under it."""
        if self._is_looking_ahead or not self._logs:
            return
        self._is_looking_ahead = True
        try:
            next(iter(self._logs.values())).look_ahead()  # the handle's own tract; it only reads others
        finally:
            self._is_looking_ahead = False

    def quarantine_suspects(self) -> None:
        """Quarantines damaged files, if this handle can write and the lock is free.

        Cost: nothing if no suspect is due.
        """
        if self.read_only or self._failure is not None or not self.suspects.due(1):
            return
        with suppress(LockTimeout, OSError), self.locked_now():
            pass

    def examine(self, suspect: Address) -> None:
        """Quarantines or repairs a damaged file, and keeps the finding; the lock is held.

        A file that is too fresh, or that could not be moved, becomes due again later.
        """
        finding = self.quarantine.examine(suspect)
        if finding.outcome in ("fresh", "failed"):
            self.suspects.note(suspect)
            self.suspects.postpone(suspect, _FRESH_PAUSE_S if finding.outcome == "fresh" else _FAILED_PAUSE_S)
        else:
            self.suspects.settle(suspect)
        self.findings[suspect] = finding

    def take_findings(self) -> list[Finding]:
        """Returns the findings of all examinations since the last call."""
        taken, self.findings = self.findings, {}
        return list(taken.values())

    def _examine_due(self) -> None:
        for suspect in self.suspects.due(_SUSPECTS_AT_ONCE):
            self.examine(suspect)

    def require_writable(self) -> None:
        """Raises ReadOnlyError if this handle can't write."""
        if self.read_only:
            raise ReadOnlyError(path=self.layout.context, reason="this handle was opened read-only")
        if self._failure is not None:
            raise ReadOnlyError(path=self.layout.context, reason=self._failure)

    def write_packed(self, objects: dict[str, bytes]) -> None:
        """Writes objects, by hash, as packs, for the transactions that will bring them; the lock is held.

        Objects that no event names are harmless.
        """
        written = TransactionFiles(self.layout, self.packs, self._redo, is_durable=self._is_durable)
        try:
            written.write_packed(objects)
        except BaseException:
            if not written.remove():
                self._has_undurable_ancestor = self._is_durable
            raise

    def put_object(self, name: str, data: bytes) -> None:
        """Writes an object that no event brings, as a blob is. At the return it is as durable as a commit, inside a batch too.

        Errors: ReadOnlyError, LockTimeout, StoreGone; CommitUncertain; OSError of the disk.
        """
        with self.locked():
            is_there = self.objects.is_written(name)
            is_logged = self._is_durable and len(data) <= redo.BYPASS_BYTES
            redo_size = -1
            if is_logged:
                entry = Entry(name, data)
                redo_size = self._redo.append([entry])
            try:
                if not is_there:
                    files.replace(self.layout.object(name), data, is_synced=self._is_durable and not is_logged)
            except BaseException:
                if is_logged:
                    with suppress(OSError):  # a power cut may bring it back: an object that nothing names is harmless
                        self._redo.take_back(redo_size)
                raise
            if is_logged:
                self._unsynced.append(entry)
            elif is_there and self._is_durable:
                self._has_undurable_ancestor = True  # whatever tool or fast writer wrote it may not have synced it
            if self._is_durable and (self._lock_depth > 1 or not is_logged):
                self._sync()
        self.objects.remember({name: data}, {})

    def write(self, log: TractLog, transaction: Transaction) -> EventHash:
        """Writes a transaction; the lock is held and the log caught up. All of it is in the store, or nothing.

        Errors: BatchTooLarge; ObjectMissing if an event that it builds on is gone; OSError of the disk; CommitUncertain.
        """
        self._require_parents(log, transaction)
        event = self._event_of(log, transaction)
        objects = self._objects_to_write(transaction)
        records = transaction.records(
            event.name,
            log.branch_digest(transaction.branch),
            is_plain=log.is_plain(transaction.branch),
            is_durable=self._is_durable,
            is_brought=log.origins.is_brought,
        )
        self._write_files(log, transaction, objects, event, records)
        self.objects.remember(objects, transaction.made)
        name = EventHash(event.name)
        with suppress(OSError):  # the transaction stands; the next call applies what is not applied now
            log.record_own(name, records)
        return name

    def _event_of(self, log: TractLog, transaction: Transaction) -> Entry:
        """Returns the event of a transaction. Errors: BatchTooLarge."""
        line = log.view.line_moves(transaction.branch, transaction.start, log)
        data = transaction.encode(log.tract, self._writer, log.view, line)
        if len(data) > MAX_EVENT_BYTES:
            raise BatchTooLarge(size_bytes=len(data), limit_bytes=MAX_EVENT_BYTES)
        return Entry(hash_bytes(data), data, log.tract)

    def _objects_to_write(self, transaction: Transaction) -> dict[str, bytes]:
        """Returns the objects of a transaction without the contents that are in the store already."""
        objects = dict(transaction.objects)
        for name in transaction.contents:
            if self.objects.is_written(name):
                del objects[name]
        return objects

    def _write_files(
        self, log: TractLog, transaction: Transaction, objects: dict[str, bytes], event: Entry, records: list[Record]
    ) -> None:
        """Writes the files of a transaction, and notes what the next sync must cover. Errors: as `write`."""
        is_durable = self._is_durable
        self._has_undurable_ancestor = is_durable and (self._has_undurable_ancestor or not log.is_durable)
        made: list[str] = [*transaction.commits] or [event.name]
        written = TransactionFiles(self.layout, self.packs, self._redo, is_durable=is_durable)
        try:
            written.write(log, objects, transaction.contents, event, records)
        except InDoubtError as doubt:
            raise self._uncertain(made, str(doubt)) from doubt.__cause__
        finally:
            self._unsynced += written.unsynced
            if written.is_some_left:  # harmless, but no log holds it: a durable commit that needs it must sync it
                self._has_undurable_ancestor = is_durable
        self._last_event = event.name, written.event_path
        if is_durable:
            self._in_doubt += made

    @property
    def is_sound(self) -> bool:
        """Whether no error has left anything behind that another handle would not have."""
        return self._failure is None and not (self._is_doubtful or self._lock_depth)

    @property
    def writer(self) -> str:
        """The label of this open for writing."""
        return self._writer

    def add_event(self, tract: str, data: bytes) -> EventHash:
        """Writes an event as a copying tool would: it takes effect at the next listing, and is on no writer's own line.

        The objects that it brings are in the store already. The lock is held.
        Errors: BatchTooLarge; OSError of the disk.
        """
        if len(data) > MAX_EVENT_BYTES:
            raise BatchTooLarge(size_bytes=len(data), limit_bytes=MAX_EVENT_BYTES)
        name = EventHash(hash_bytes(data))
        if self._is_durable:
            files.sync_filesystem(self.layout.root)
        path = self.layout.event(tract, name)
        try:
            files.replace(path, data, is_synced=self._is_durable)
        except OSError as error:
            if files.may_exist(path):
                raise self._uncertain([name], _NOT_DURABLE.format(error)) from error
            raise
        return name

    def write_from_redo(self, names: Container[str]) -> list[str]:
        """Writes those of the named files that this copy's redo logs hold; returns their names. The lock is held."""
        found = []
        for entry in self.iter_redo():
            if entry.name in names:
                files.replace(self._path_of(entry), entry.data, is_synced=True)
                found.append(entry.name)
        return found

    def redo_names(self) -> frozenset[str]:
        """Returns the hashes of the files that this copy's redo logs hold. Cost: reads them, if they changed since the last call."""
        paths = redo.log_paths(self.layout.local, self.layout.redo)
        signatures = [(path, files.signature(path)) for path in paths]
        if signatures != self._redo_listed[0]:
            self._redo_listed = signatures, frozenset(entry.name for entry in self.iter_redo())
        return self._redo_listed[1]

    def iter_redo(self) -> Iterator[Entry]:
        """Yields the files that this copy's redo logs hold, those of each transaction in the order in which they were written."""
        for path in redo.log_paths(self.layout.local, self.layout.redo):
            yield from redo.iter_entries(path, self.layout.seal)

    def forget(self) -> None:
        """Drops the cached objects and events, so that they are read again."""
        self.objects.forget()
        self.events.forget()

    def redacted(self) -> frozenset[str]:
        """Returns the contents that some event of the store redacts. Cost: reads all events, once."""
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

    def note_redacted(self, names: Iterable[str]) -> None:
        """Forgets the contents that an event redacts; adds them to `redacted`, if that has read the events already."""
        names = list(names)
        self.objects.drop(names)
        self.noted_redactions.update(names)
        if self._redacted is not None:
            self._redacted |= frozenset(names)

    def forget_redacted(self) -> None:
        """Makes the next call of `redacted` read the events again."""
        self._redacted = None

    def flush(self) -> None:
        """Makes all files so far survive a power cut without the redo log, and empties the log.

        Cost: a sync of the file system, during which others may write.
        """
        self.require_writable()
        self._wait_for_checkpoint()
        try:
            if self._sync_failed:
                self._write_again([*self._redo.old_paths(), self._redo.path], is_forced=True)
            old = self._set_log_aside()
            files.sync_filesystem(self.layout.root)
            for path in old:
                files.remove(path)
        except OSError:
            self._sync_failed = True  # the next sync may succeed and yet have lost what this one could not write
            raise
        self._sync_failed = False
        self._note_durable()

    def _set_log_aside(self) -> list[str]:
        """Begins a new redo log, and returns the paths of the old ones, to remove once all files are synced."""
        with self.locked():
            if self._redo.size() > redo.EMPTY_BYTES:  # else another writer has just done it
                self._redo.set_aside()
            return self._redo.old_paths()

    def _checkpoint(self) -> None:
        """Sets a full log aside and syncs its files in a thread of its own, so that no writer waits for it."""
        self._redo.postpone_checkpoint()
        if self._sync_failed:
            with suppress(OSError, LockTimeout, StoreGone):  # the redo logs hold all: the next checkpoint tries again
                self.flush()
        elif self._checkpointing is None or not self._checkpointing.is_alive():
            with suppress(OSError, LockTimeout):  # the commit stands; the next checkpoint is due at the next multiple
                self._checkpointing = Thread(
                    target=self._sync_and_remove_logs, args=(self._set_log_aside(),), daemon=True
                )
                self._checkpointing.start()

    def _sync_and_remove_logs(self, old: list[str]) -> None:
        try:
            files.sync_filesystem(self.layout.root)
            for path in old:
                files.remove(path)
        except OSError:
            self._sync_failed = True  # the logs stay; the next checkpoint writes their files again

    def _wait_for_checkpoint(self) -> None:
        if self._checkpointing is not None:
            self._checkpointing.join()
            self._checkpointing = None

    def close(self) -> None:
        """Saves the caches, and checkpoints a redo log over 1 MiB. Where the store is gone, only closes the files."""
        try:
            with suppress(StoreGone):
                self._settle()
        finally:
            self._wait_for_checkpoint()
            self._redo.close()
            self._lock.close()
            self.packs.close()
            self.index.close()
            files.close_directories(self.layout.root)

    def _settle(self) -> None:
        self.require_store()
        self.quarantine_suspects()
        for log in self._logs.values():
            log.close()
        can_write = not self.read_only and self._failure is None
        if can_write and self._redo.has_refused:
            with suppress(LockTimeout, OSError), self.locked():
                self._redo.drop_refused()
        is_used = can_write and self._is_durable and self._redo.end > 0
        if is_used and self._redo.size() > redo.CLOSE_CHECKPOINT_BYTES:
            self.flush()

    def rest(self) -> None:
        """Closes the files until their next use; this handle holds no lock."""
        self._redo.close()
        self._lock.close()
        self.packs.close()
        self.index.close()
        for log in self._logs.values():
            log.rest()

    def after_fork(self) -> None:
        """Forgets what belongs to the parent process."""
        self._lock_depth = 0
        self._unsynced = []
        self._in_doubt = []
        self._checkpointing = None

    def _require_parents(self, log: TractLog, transaction: Transaction) -> None:
        """Raises ObjectMissing if an event that the next one builds on is gone or emptied: no other copy could show the next;
        HeadMoved if that is explained, as by a checkout by git.

        The handle then lists the store again, so that the next call sees what there is. Cost: one stat per head.
        """
        last, path = self._last_event  # of which the path is known, in a run of commits
        for name in log.view.event_heads:
            if not (name == last and files.has_bytes(path)) and not self._is_here(log.tract, name):
                place.require_no_links(self.layout)
                log.list_events(is_forced=True)
                if not log.hides_any and not log.shows(name):
                    before, now = transaction.start, log.own_head(transaction.branch)
                    expected, actual = (None if head is None else head.commit for head in (before, now))
                    raise HeadMoved(branch=transaction.branch, expected=expected, actual=actual)
                raise ObjectMissing(path=Address("event", name, log.tract).path, kind="event", hash=name)

    def link_above(self, path: str) -> str | None:
        """Returns the directory on the way to a path of the store that is a symbolic link, or None."""
        parts = path.split("/")[:-1]
        for end in range(1, len(parts) + 1):
            with suppress(OSError):
                if files.is_link(f"{self.layout.root}/{'/'.join(parts[:end])}"):
                    return "/".join(parts[:end])
        return None

    def _is_here(self, tract: str, event: str) -> bool:
        """Returns whether an event has a file, or its right bytes are in a pack. Cost: one stat for a loose one."""
        return files.has_bytes(self.layout.event(tract, event)) or self.bytes.packed(event) is not None

    def _uncertain(self, made: list[str], reason: str) -> CommitUncertain:
        return CommitUncertain(path=self.layout.context, hash=made[-1], hashes=tuple(made), reason=reason)

    def _sync(self) -> None:
        """Makes the transactions so far durable. A sync that fails is not tried again on that file.

        Errors: CommitUncertain: they are in the history, but a power cut may undo them.
        """
        entries, self._unsynced = self._unsynced, []
        made, self._in_doubt = self._in_doubt, []
        try:
            try:
                self._redo.sync()
            except OSError as error:
                self._sync_elsewhere(entries, error)
            if not place.is_there(self.layout):  # no recovery would read the log
                self._has_undurable_ancestor = True
            if self._has_undurable_ancestor:  # no log holds what a fast writer or a copying tool wrote
                files.sync_filesystem(self.layout.root)
                self._note_durable()
        except OSError as error:
            raise self._uncertain(made or [entry.name for entry in entries], _NOT_DURABLE.format(error)) from error
        if self._redo.is_checkpoint_due:  # only the writer whose append passed the multiple makes it
            self._checkpoint()

    def _note_durable(self) -> None:
        self._has_undurable_ancestor = False
        for log in self._logs.values():
            log.is_durable = True

    def _sync_elsewhere(self, entries: list[Entry], error: OSError) -> None:
        """Writes the entries of the old log and of the failed sync to a new log.

        If that fails too, this handle writes no more.
        """
        with suppress(OSError):
            kept = list(redo.iter_entries(self._redo.path, self.layout.seal))
            entries = kept + [entry for entry in entries if entry not in kept]
        self._redo.close()
        self._redo = RedoLog(f"{self.layout.redo}.{self._writer}", self.layout.seal)
        try:
            self._redo.append(entries)
            self._redo.sync()
        except OSError:
            self._failure = f"the disk failed to make a commit durable ({error}); reopen the store and check it"
            raise error from None

    def _recover(self) -> None:
        """Writes the files again that the redo logs hold and the disk lost, unless another writer did; the lock is held."""
        if self.read_only or not self.needs_recovery:
            return
        paths = redo.log_paths(self.layout.local, self.layout.redo)
        self._write_again(paths)
        texts.write(self.layout, texts.damaged(self.layout))
        self._ground.note()
        files.sync_filesystem(self.layout.root)
        for path in paths:
            if path == self.layout.redo:
                self._redo.empty()
            else:
                files.remove(path)
        self._needs_recovery = False
        self.packs.refresh()
        self.list_events()

    def _write_outdated_texts(self) -> None:
        names = texts.outdated(self.layout)
        if names:
            with self.locked_now():
                texts.write(self.layout, names)
            self._ground.note()

    def _write_again(self, paths: list[str], *, is_forced: bool = False) -> None:
        """Writes the files of redo logs that are missing or torn; with `is_forced` all of them."""
        for path in paths:
            for entry in redo.iter_entries(path, self.layout.seal):
                target = self._path_of(entry)
                data = None if is_forced else files.read(target, limit_bytes=len(entry.data))
                if data is None or hash_bytes(data) != entry.name:
                    files.replace(target, entry.data)

    def _path_of(self, entry: Entry) -> str:
        return entry.address.path_in(self.layout)


class _Holding:
    """The store's lock as a context manager; one object serves all uses, since the store counts the depth."""

    def __init__(self, store: Store, *, timeout_s: float | None = None) -> None:
        self._store = store
        self._timeout_s = timeout_s

    def __enter__(self) -> None:
        self._store.acquire(timeout_s=self._timeout_s)

    def __exit__(self, kind: object, *_: object) -> None:
        self._store.release(is_failed=kind is not None)
