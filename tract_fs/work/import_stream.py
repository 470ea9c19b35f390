"""Streamed imports: commits the messages of an iterable, however many, in bounded memory and in as many transactions.

Messages are checked, encoded and counted as they come, with nothing locked. Some thousands at a time are then written
as one pack, under the store's lock, and brought in by an event per batch; fewer at a time if another writer waits for
the lock. Each transaction stands once it is written; the import as a whole is not atomic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import Any

from msgspec import Struct

from tract_fs.errors import ArgumentError, BudgetExceeded, ContentValidationError, ImportInterrupted
from tract_fs.model import canonical
from tract_fs.model.blobs import has_reference
from tract_fs.model.content import encode_message
from tract_fs.model.events import NewCommit
from tract_fs.model.info import ImportReport
from tract_fs.model.messages import Rendering
from tract_fs.model.names import CommitHash, iter_times, next_time, require_step
from tract_fs.model.objects import CommitOperation, encode_append
from tract_fs.model.shapes import with_role
from tract_fs.model.tokens import count_json_message, source_name
from tract_fs.transcripts import require_format
from tract_fs.work.session import Session
from tract_fs.work.writer import ANY, Draft

_PACK_MESSAGES = 8000  # at most, once nobody waits for the lock
_FIRST_MESSAGES = 1000
_PACK_BYTES = 24 * 1024 * 1024
_EVENT_BYTES = 8 * 1024 * 1024
_ENTRY_BYTES = 400  # of a commit in an event, its config apart

ConfigOf = Callable[[int, dict[str, Any]], "dict[str, Any] | None"]


class _Prepared(Struct, frozen=True, gc=False):
    """A message that is checked and encoded."""

    name: str  # of its content
    config: bytes | None
    tokens: dict[str, int]  # by the name of what counted
    rendering: Rendering | None  # where there is a budget


class MessageStream:
    """One streamed import. It enters the guard for each write; between writes other threads can use the handle.

    States: preparing (`_prepared`, `_contents` and `_size_bytes` grow with each message) and writing, which empties them,
    by turns. `_position` counts the messages read, `_committed` those of written transactions; they agree at the end.
    """

    def __init__(
        self,
        session: Session,
        *,
        format: str,
        generation_config: ConfigOf | dict[str, Any] | None,
        batch_size: int,
        progress: Callable[[int], object] | None,
    ) -> None:
        require_format(format)
        if type(batch_size) is not int or batch_size < 1:
            raise ArgumentError(f"batch_size {batch_size!r}: use an integer from 1")
        if progress is not None and not callable(progress):
            raise ArgumentError(f"progress {progress!r}: give a function of the number of messages committed")
        self._reader = session.reader
        self._writer = session.writer
        self._config_of: ConfigOf | None = generation_config if callable(generation_config) else None
        self._config = None if self._config_of else self._writer.optional_object(generation_config, "generation_config")
        self._batch_size = batch_size
        self._progress = progress
        self._holding = session.guard.writing
        self._position = 0  # of the next message
        self._committed = 0
        self._transactions = 0
        self._head: str | None = None
        self._prepared: list[_Prepared] = []
        self._contents: dict[str, bytes] = {}  # of those prepared
        self._size_bytes = 0
        self._set_most(min(_FIRST_MESSAGES, _PACK_MESSAGES))
        self._objects = session.store.objects
        self._fans = self._objects.fans()  # an object that another writer adds meanwhile may be written twice

    def run(self, messages: Iterable[object]) -> ImportReport:
        """Commits all messages. Errors: ArgumentError, ReadOnlyError; ImportInterrupted for any other error."""
        if isinstance(messages, (str, bytes, dict)) or not isinstance(messages, Iterable):
            raise ArgumentError("messages: give an iterable of message dicts")
        try:
            try:
                self._consume(messages)
            finally:  # what came before the one at fault
                self._write()
        except Exception as error:
            raise ImportInterrupted(position=self._committed, head=self._head, reason=str(error)) from error
        return ImportReport(self._committed, self._transactions, self._head)

    def _consume(self, messages: Iterable[object]) -> None:
        for message in messages:
            self._prepare(message)
            if len(self._prepared) >= self._most or self._size_bytes >= self._most_bytes:
                self._write()

    def _set_most(self, messages: int) -> None:
        """Sets the size of the next write: about so many messages, in whole batches."""
        size = self._batch_size
        self._most = size if self._writer.budget is not None else max(size, messages // size * size)
        self._most_bytes = _PACK_BYTES * min(messages, _PACK_MESSAGES) // _PACK_MESSAGES

    def _prepare(self, message: Any) -> None:
        if type(message) is not dict:
            message = canonical.dumped(message)
        if type(message) is dict and "role" not in message:
            message = with_role(message)
        try:
            message, data = self._encoded(message)
        except ContentValidationError as error:
            field = f"messages[{self._position}]{error.field.removeprefix('message')}"
            raise ContentValidationError(content_type="message", field=field, reason=error.reason) from None
        config = self._config
        if self._config_of is not None:
            config = self._writer.optional_object(self._config_of(self._position, message), "generation_config")
        name = sha256(data).hexdigest()
        is_rendered = self._writer.budget is not None or has_reference(message)
        rendering = self._writer.render_message(message) if is_rendered else None
        counter = self._reader.counter
        if rendering is None:
            tokens, has_media = count_json_message(counter, message)
        else:
            tokens, has_media = rendering.tokens, rendering.has_media
        if name not in self._contents:
            self._contents[name] = data
            self._size_bytes += len(data)
        recorded = {source_name(counter, has_media=has_media): tokens}
        self._prepared.append(_Prepared(name, config, recorded, rendering))
        self._position += 1

    def _encoded(self, message: Any) -> tuple[Any, bytes]:
        try:
            return message, encode_message(message)
        except ContentValidationError:
            if not self._writer.replaces_text:
                raise
        message = canonical.without_surrogates(message)
        return message, encode_message(message)

    def _write(self) -> None:
        """Commits the prepared messages."""
        if not self._prepared:
            return
        prepared, contents = self._prepared, self._contents
        self._prepared, self._contents, self._size_bytes = [], {}, 0
        if self._writer.budget is None:
            for name in self._objects.written(contents.keys(), fans=self._fans):
                del contents[name]
        with self._holding:
            if self._writer.budget is not None:
                self._write_singly(prepared, contents)
            else:
                failure: Exception | None = None
                with self._reader.store.locked():
                    try:
                        self._write_lines(prepared, contents)
                    except (
                        Exception
                    ) as error:  # raised below: the events before it stand, and the lock's end syncs them
                        failure = error
                    is_awaited = self._reader.store.is_awaited()
                if failure is not None:
                    raise failure
                self._set_most(_FIRST_MESSAGES if is_awaited else min(2 * self._most, _PACK_MESSAGES))
        if self._progress is not None:
            self._progress(self._committed)

    def _write_singly(self, prepared: list[_Prepared], contents: dict[str, bytes]) -> None:
        """Commits messages in one transaction, the budget checked for each; those before one that it refuses stand."""
        refused: BudgetExceeded | None = None
        count = 0
        with self._writer.batch():
            for message in prepared:
                draft = Draft(
                    operation=CommitOperation.APPEND,
                    data=contents[message.name],
                    content_type="message",
                    config=message.config,
                    rendering=message.rendering,
                )
                try:
                    head = self._writer.write(draft, ANY).commit_hash
                except BudgetExceeded as error:
                    refused = error
                    break
                count += 1
        if count:
            self._note(count, head)
        if refused is not None:
            raise refused

    def _write_lines(self, prepared: list[_Prepared], contents: dict[str, bytes]) -> None:
        """Writes all objects as a pack, the contents first, then an event per batch."""
        reader, log = self._reader, self._reader.log
        transaction = self._writer.begin()
        parent = transaction.head
        if parent is None:
            self._writer.require_not_deleted(reader.branch)
        first_us = next_time(self._writer.now_us(), log.view.newest_us)
        require_step(first_us, log.view.newest_us)  # each later event is checked as it is staged
        commits: list[NewCommit] = []
        for message, created_at in zip(prepared, iter_times(first_us), strict=False):
            data = encode_append(message.name, "message", created_at, parent)
            parent = CommitHash(sha256(data).hexdigest())
            contents[parent] = data
            commits.append(NewCommit(parent, message.config, message.tokens))
        reader.store.write_packed(contents)
        start = 0
        for count in self._batches(prepared):
            transaction = self._writer.begin() if start else transaction
            transaction.extend(commits[start : start + count], range(first_us + start, first_us + start + count))
            reader.store.write(log, transaction)
            start += count
            self._note(count, commits[start - 1].commit)

    def _batches(self, prepared: list[_Prepared]) -> Iterator[int]:
        """Yields how many of the messages each event is to bring: `batch_size`, or fewer where their configs would make
        it too large.
        """
        count = size_bytes = 0
        for message in prepared:
            more_bytes = _ENTRY_BYTES + len(message.config or b"")
            if count and (count >= self._batch_size or size_bytes + more_bytes > _EVENT_BYTES):
                yield count
                count = size_bytes = 0
            count += 1
            size_bytes += more_bytes
        yield count

    def _note(self, count: int, head: str) -> None:
        self._committed += count
        self._transactions += 1
        self._head = head
