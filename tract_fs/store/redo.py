"""The redo log: one append and one fdatasync make a transaction durable, however many files it writes.

`local/redo` starts with a header that names the boot in which it was begun and the place that it belongs to; then comes one entry per file: the file's name, which
is the hash of its bytes, and the bytes. After a power cut, an open writes the files again that are missing or torn. Reading stops at
the first bad entry: it was never acknowledged. A checkpoint renames the log, begins a new one, makes the files themselves durable,
and removes the renamed one.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from hashlib import sha256
from typing import NamedTuple

from tract_fs.model.members import tract_of_event
from tract_fs.store import files
from tract_fs.store.address import LIMITS_BYTES, Address
from tract_fs.store.place import MARKER

CHECKPOINT_BYTES = 3 * 1024 * 1024  # of files that a sync is to write in less than a tenth of a second
CLOSE_CHECKPOINT_BYTES = 1024 * 1024
BYPASS_BYTES = 1024 * 1024
_BLOCK_BYTES = 64 * 1024
_OLD = ".old."
_MAGIC = b"tractredo1\n"
EMPTY_BYTES = 64  # the header
_BOOT_BYTES = 37  # the id and a newline
_SEAL_DIGITS = 16
_LIMITS = {b"o": LIMITS_BYTES["object"], b"e": LIMITS_BYTES["event"]}
_ENTRY = struct.Struct(">cBI32s")  # b"o" or b"e", length of the tract id, length of the bytes, sha256


class Entry(NamedTuple):
    """One file: its hash, its bytes, and the tract of an event (else empty)."""

    name: str
    data: bytes
    tract: str = ""

    @property
    def address(self) -> Address:
        """The address of the file."""
        return Address("event", self.name, self.tract) if self.tract else Address("object", self.name)


class LastEntry:
    """Where the last entry begins that a handle of this process appended to a log, and the head of it; the handles of one
    store share it, so that none needs to look at all entries before. Changed under the store's lock.
    """

    def __init__(self) -> None:
        self.offset = 0
        self.head = b""

    def start(self, file: files.AppendFile) -> int:
        """Returns where the entries begin that no handle of this process is sure of. Cost: a read."""
        is_there = self.head != b"" and file.read_at(self.offset, _ENTRY.size) == self.head
        return self.offset if is_there else EMPTY_BYTES


def boot_id() -> str:
    """Returns the id of this boot of the machine; empty where the system has none."""
    try:
        return _read_boot_id()
    except OSError:
        return ""


@cache
def _read_boot_id() -> str:
    data = files.read("/proc/sys/kernel/random/boot_id", limit_bytes=1 << 20)
    return (data or b"").decode("ascii", "replace").strip()


class RedoLog:
    """One log file; appends happen under the store's lock, syncs outside it."""

    def __init__(self, path: str, seal: bytes = b"", last: LastEntry | None = None) -> None:
        """`seal` is that of the place; without one, the log is of no place, and an entry of it counts anywhere."""
        self.path = path
        self._last = LastEntry() if last is None else last
        self._seal = seal
        self._file = files.AppendFile(path)
        self.end = 0  # the log's size after this handle's last append
        self.is_checkpoint_due = False  # this handle's appends passed a multiple of CHECKPOINT_BYTES
        self._is_new = False
        self._end_of = (0, 0)  # inode and device of the file that has this size
        self._refused: tuple[int, int] | None = None  # where a refused transaction begins and ends that is still there

    def append(self, entries: Sequence[Entry]) -> int:
        """Appends entries in one write, and returns the size before it; after an error the log is unchanged."""
        self.drop_refused()
        size = self._file.current_size() or self._start()
        if size != self.end or self._file.identity != self._end_of:
            header = self._file.read_at(0, EMPTY_BYTES)
            is_own = len(header) == EMPTY_BYTES and _is_of_place(header, self._seal)
            size = self._cut_torn_tail(size) if is_own else self._start_over()
        parts = []
        for entry in entries:
            tract = entry.tract.encode()
            kind = b"e" if tract else b"o"
            parts.append(_ENTRY.pack(kind, len(tract), len(entry.data), bytes.fromhex(entry.name)))
            parts.append(tract)
            parts.append(entry.data)
        data = b"".join(parts)
        last_bytes = sum(map(len, parts[-3:]))
        try:
            self._file.append(data, size)
        except BaseException:
            self.end, self._end_of = size + len(data), self._file.identity
            with suppress(OSError):
                self.take_back(size)
            raise
        self.end, self._end_of = size + len(data), self._file.identity
        if parts:
            self._last.offset, self._last.head = self.end - last_bytes, parts[-3]
        self.is_checkpoint_due |= size // CHECKPOINT_BYTES < self.end // CHECKPOINT_BYTES
        return size

    def take_back(self, size_bytes: int) -> None:
        """Cuts the log back to an earlier size, so that no recovery writes a refused transaction; the lock is held.

        After an error `drop_refused` tries again, at the next append at the latest. Errors: OSError.
        """
        self._refused = size_bytes, self.end
        self.drop_refused()

    @property
    def has_refused(self) -> bool:
        """Whether a refused transaction is still in the log."""
        return self._refused is not None

    def drop_refused(self) -> None:
        """Takes a refused transaction out of the log: by a cut, or by a new file without it; the lock is held."""
        if self._refused is None:
            return
        start, end = self._refused
        size = self._file.current_size()
        if self._file.identity == self._end_of and size > start:
            try:
                if size > end:
                    raise OSError(errno.EBUSY, "others have appended since", self.path)
                self._file.truncate(start)
                self._file.sync_data()  # or a power cut could undo the cut
            except OSError:
                data = self._file.read_at(0, size)
                files.replace(self.path, data[:start] + data[end:], mode=0o666, is_synced=True)
                self._file.close()
        self.end, self._refused = start, None

    def size(self) -> int:
        """Returns the log's size in bytes; 0 if there is none yet."""
        status = files.signature(self.path)
        return 0 if status is None else status[1]

    def sync(self) -> None:
        """Makes all entries so far survive a power cut. Never call it again after it failed.

        A log that this handle began must be found again, too: its name and those of the directories above it are synced.
        """
        self._file.sync_data()
        if self._is_new:
            directory = os.path.dirname(self.path)
            files.sync_data(f"{directory}/{MARKER}")  # or recovery would not accept the log as this copy's own
            for _ in range(4):  # the place, local/, the store, the context directory
                files.sync_directory(directory)
                directory = os.path.dirname(directory)
            self._is_new = False

    def empty(self) -> None:
        """Begins an empty log in a new file, so that no writer mistakes it for the one before.

        The files of all entries must be durable by now, or the log must be kept under another name.
        """
        files.replace(self.path, _header(self._seal), mode=0o666, is_synced=True)
        self._file.close()
        self.end = 0
        self.is_checkpoint_due = False

    def set_aside(self) -> None:
        """Begins an empty log; keeps the one before under another name until its files are durable. The lock is held."""
        files.rename(self.path, f"{self.path}{_OLD}{files.process.new_label()}")
        self.empty()

    def postpone_checkpoint(self) -> None:
        """Makes no checkpoint due before the log has passed the next multiple of CHECKPOINT_BYTES."""
        self.is_checkpoint_due = False

    def old_paths(self) -> list[str]:
        """Returns the paths of the logs kept under other names."""
        directory, name = os.path.split(self.path)
        return [
            f"{directory}/{found}" for found in sorted(files.list_names(directory)) if found.startswith(name + _OLD)
        ]

    def close(self) -> None:
        """Closes the descriptor."""
        self._file.close()

    def _cut_torn_tail(self, size: int) -> int:
        """Cuts off the unfinished entry of a killed writer, which would hide all later ones, and returns the new size."""
        start = self._last.start(self._file)
        end = start + _whole_length(self._file, start, size)
        if end != size:
            self._file.truncate(end)
        return end

    def _start_over(self) -> int:
        """Puts an empty log in the place of a file that is no log of this place, and returns its size."""
        self.empty()
        self._is_new = True
        return self._file.current_size()

    def _start(self) -> int:
        """Writes the header of an empty log and returns its size."""
        self._file.append(_header(self._seal), 0)
        self._is_new = True
        return EMPTY_BYTES


def _header(seal: bytes) -> bytes:
    boot = (_MAGIC + boot_id().encode())[: len(_MAGIC) + _BOOT_BYTES - 1].ljust(len(_MAGIC) + _BOOT_BYTES, b"\n")
    return (boot + _mark(seal)).ljust(EMPTY_BYTES, b"\n")


def _mark(seal: bytes) -> bytes:
    """Returns what stands in the header for a place."""
    return sha256(b"redo" + seal).hexdigest()[:_SEAL_DIGITS].encode() if seal else b""


def _is_of_place(header: bytes, seal: bytes) -> bool:
    """Returns whether a log is of the place with this seal. One without a mark is: earlier versions wrote none."""
    mark = header[EMPTY_BYTES - _SEAL_DIGITS : EMPTY_BYTES].strip(b"\n\0")
    return header.startswith(_MAGIC) and (not seal or not mark or mark == _mark(seal))


def needs_recovery(path: str, seal: bytes = b"") -> bool:
    """Returns whether the log at `path` has entries of another boot, or of an unknown one; not if it is of another place."""
    header = files.read_at(path, 0, EMPTY_BYTES + 1)
    if header is None or len(header) <= EMPTY_BYTES:
        return False
    if header.startswith(_MAGIC) and not _is_of_place(header, seal):
        return False  # an append replaces it
    boot = boot_id()
    return not boot or not header.startswith(_MAGIC + boot.encode() + b"\n")


def is_of_earlier_boot(path: str, seal: bytes) -> bool:
    """Returns whether the log at `path` was begun in this place and in an earlier boot, with or without entries."""
    header, boot = files.read_at(path, 0, EMPTY_BYTES) or b"", boot_id()
    is_of_place = len(header) == EMPTY_BYTES and _is_of_place(header, seal)
    return bool(boot) and is_of_place and not header.startswith(_MAGIC + boot.encode() + b"\n")


def iter_entries(path: str, seal: bytes = b"") -> Iterator[Entry]:
    """Yields the entries of a log up to the first bad one: with bytes of another hash, too large for its kind, or with a wrong tract.

    A log of another place than that of `seal` has none. Memory: one entry, whatever the size of the file.
    """
    reader = files.RangeReader(path)
    try:
        if not _is_of_place(reader.read(0, EMPTY_BYTES) or b"", seal):
            return
        offset = EMPTY_BYTES
        while len(head := reader.read(offset, _ENTRY.size) or b"") == _ENTRY.size:
            kind, tract_size, size, digest = _ENTRY.unpack(head)
            if size > _LIMITS.get(kind, -1):
                return
            rest = reader.read(offset + _ENTRY.size, tract_size + size) or b""
            tract, data = rest[:tract_size].decode("ascii", "replace"), rest[tract_size:]
            if len(data) != size or sha256(data).digest() != digest or not _is_of_kind(kind, tract, data):
                return
            yield Entry(digest.hex(), data, tract)
            offset += _ENTRY.size + len(rest)
    finally:
        reader.close()


def _is_of_kind(kind: bytes, tract: str, data: bytes) -> bool:
    """Returns whether bytes may be written at the address of an entry."""
    return tract_of_event(data) == tract if kind == b"e" else not tract


def _whole_length(file: files.AppendFile, start: int, size: int) -> int:
    """Returns the length of the complete entries from `start` on, in a log of `size` bytes. Cost: reads them, or the heads of
    large ones.
    """
    offset = first = start
    block = b""
    while offset + _ENTRY.size <= size:
        if offset + _ENTRY.size > first + len(block):
            first, block = offset, file.read_at(offset, _BLOCK_BYTES)
            if len(block) < _ENTRY.size:
                break
        kind, tract_size, data_size, _ = _ENTRY.unpack_from(block, offset - first)
        end = offset + _ENTRY.size + tract_size + data_size
        if kind not in _LIMITS or end > size:
            break
        offset = end
    return offset - start


def log_paths(local: str, main: str) -> list[str]:
    """Returns all redo logs of this copy: the common one, and those of writers that had no lock."""
    prefix = os.path.basename(main)
    return [
        f"{local}/{name}" for name in sorted(files.list_names(local)) if name == prefix or name.startswith(prefix + ".")
    ]
