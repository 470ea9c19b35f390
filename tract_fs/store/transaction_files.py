"""The files of one transaction: written in the one order that a crash leaves harmless, or taken back.

1. What the redo log does not hold: packs, and large objects.
2. The redo log's entries. They come after these, or it would restore an event without its objects.
3. The records of arrivals.
4. The other objects.
5. The event. Its rename is the commit point.

An error before the last step takes all of it back. After an error in that step, the event's file decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from tract_fs.store import files, redo
from tract_fs.store.arrivals import Record
from tract_fs.store.layout import Layout
from tract_fs.store.packs import Packs, assemble
from tract_fs.store.redo import Entry, RedoLog
from tract_fs.store.tract_log import TractLog

PACK_MIN_OBJECTS = 64
PACK_MAX_BYTES = 256 * 1024 * 1024


class InDoubtError(Exception):
    """A transaction may stand or not; its cause is the first error."""


class TransactionFiles:
    """What a transaction writes, and what of it is there.

    States: nothing is written; then `write` ends with all of it there (`event_path` is set, and `unsynced` has the entries
    that the redo log now holds), or with nothing. `is_some_left`: files of a refused transaction could not be removed.
    """

    def __init__(self, layout: Layout, packs: Packs, log: RedoLog, *, is_durable: bool) -> None:
        self._layout = layout
        self._packs = packs
        self._redo = log
        self._is_durable = is_durable
        self._paths: list[str] = []  # of files that were not there before, in the order to write them in
        self._redo_size = -1  # of the log before the entries; -1: it has none of them
        self.event_path = ""  # once nothing else is left to write
        self.unsynced: list[Entry] = []
        self.is_some_left = False

    def write(
        self, log: TractLog, objects: dict[str, bytes], contents: dict[str, None], event: Entry, records: list[Record]
    ) -> None:
        """Writes all of a transaction; the lock is held. `contents` are those of its objects that may be there already.

        Errors: InDoubtError; any other: nothing of it is left, unless that error is no OSError and the event is there.
        """
        entries: list[Entry] = []
        try:
            small = self._write_unlogged(objects, contents)
            if self._is_durable:
                entries = [*(Entry(name, data) for name, data in small.items()), event]
                self._redo_size = self._redo.append(entries)
            log.append_own(records)
            self._write_loose(small, contents, is_synced=False)
            self.event_path = self._layout.event(event.tract, event.name)
            files.replace(self.event_path, event.data)
        except BaseException as error:
            if not (self.event_path and self._stands(error)):
                self._take_back(log, error)
                raise
            if not isinstance(error, OSError):
                self.unsynced = entries
                raise  # only the answer is lost
        self.unsynced = entries

    def write_packed(self, objects: dict[str, bytes]) -> None:
        """Writes objects, by hash, as packs."""
        self._packs.refresh()
        for members in _in_packs(objects):
            rows, data = assemble(members)
            if rows.pack not in self._packs.names:  # else it was there before, and must stay after an error
                self._paths.append(self._layout.pack(rows.pack))
            self._packs.add(rows, data, is_synced=self._is_durable)

    def remove(self) -> bool:
        """Removes the files that were written, each that can be; returns whether that was all."""
        for path in self._paths:
            try:
                files.remove(path)
            except OSError:
                self.is_some_left = True
        return not self.is_some_left

    def _write_unlogged(self, objects: dict[str, bytes], contents: dict[str, None]) -> dict[str, bytes]:
        """Writes the objects that the redo log does not hold, durably where the transaction is; returns the others."""
        if len(objects) >= PACK_MIN_OBJECTS:
            self.write_packed(objects)
            return {}
        if not objects or max(map(len, objects.values())) <= redo.BYPASS_BYTES:
            return objects
        large = {name: data for name, data in objects.items() if len(data) > redo.BYPASS_BYTES}
        self._write_loose(large, contents, is_synced=self._is_durable)
        return {name: data for name, data in objects.items() if name not in large}

    def _write_loose(self, objects: dict[str, bytes], contents: dict[str, None], *, is_synced: bool) -> None:
        for name, data in objects.items():
            path = self._layout.object(name)
            if name in contents or not files.may_exist(path):  # else it stays after an error
                self._paths.append(path)
            files.replace(path, data, is_synced=is_synced)

    def _stands(self, error: BaseException) -> bool:
        """Returns whether the event is there after an error in writing it: its rename may have been done."""
        try:
            return files.exists(self.event_path)
        except OSError as unseen:
            if not isinstance(error, Exception):
                return True
            raise InDoubtError(
                f"the disk failed at its last step, and does not show whether it did it ({unseen})"
            ) from (error)

    def _take_back(self, log: TractLog, error: BaseException) -> None:
        """Removes what was written. An error in one step does not stop the others.

        Errors: InDoubtError if a power cut may bring the transaction back.
        """
        doubt: OSError | None = None
        if self._redo_size >= 0:
            try:
                self._redo.take_back(self._redo_size)
            except OSError as failed:
                doubt = failed
        with suppress(OSError):  # the next writer cuts off records without an event
            log.take_back()
        self.remove()
        if doubt is not None and isinstance(error, Exception):
            raise InDoubtError(
                f"it was refused ({error}), but the disk failed to take it out of the redo log ({doubt}), "
                "so a power cut may bring it back"
            ) from error


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
