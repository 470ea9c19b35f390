"""The command's standard streams: what is written goes out whole or is reported, and what is read is read to its end.

Python leaves both open: with PYTHONUNBUFFERED=1 a short write ends without an error, and on a stream that does not block
(a parent of Node or asyncio leaves such ones) a part is lost or the rest is taken for the end. Nothing here knows what
the bytes mean.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from select import POLLIN, POLLOUT, poll
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_CHUNK_BYTES = 1 << 20


class OutputLost(Exception):  # no OSError: the store's calls and click handle those
    """Raised when standard output can't be written; `sent_bytes` went out before."""

    def __init__(self, cause: OSError, sent_bytes: int) -> None:
        self.errno = cause.errno
        self.is_broken_pipe = cause.errno == errno.EPIPE
        sent = f" after {sent_bytes:,} bytes" if sent_bytes else ""
        super().__init__(f"standard output can't be written: {cause.strerror or cause}{sent}")


class _Sink(io.RawIOBase):
    """A descriptor that takes every write whole. After a failure it drops what comes, so that a buffer can be closed."""

    def __init__(self, descriptor: int | None, *, is_reported: bool, is_terminal: bool = False) -> None:
        self._is_terminal = is_terminal  # what is written here ends on one
        self._descriptor = descriptor  # None: closed by the caller
        self._is_reported = is_reported
        self._is_dropping = False
        self._sent_bytes = 0

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        if self._descriptor is None:
            raise io.UnsupportedOperation("fileno")
        return self._descriptor

    def isatty(self) -> bool:
        return self._is_terminal or (self._descriptor is not None and os.isatty(self._descriptor))

    def write(self, data: ReadableBuffer, /) -> int:
        view = memoryview(data).cast("B")
        rest = view
        while rest and not self._is_dropping:
            try:
                sent = self._send(rest)
            except OSError as error:
                self._is_dropping = True
                if self._is_reported:
                    raise OutputLost(error, self._sent_bytes) from None
            else:
                self._sent_bytes += sent
                rest = rest[sent:]
        return len(view)

    def _send(self, data: memoryview) -> int:
        if self._descriptor is None:
            raise OSError(errno.EBADF, "it is closed")
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            _wait(self._descriptor, POLLOUT)
            return 0


@contextmanager
def whole_output() -> Iterator[None]:
    """Makes `sys.stdout` raise OutputLost for what does not go out, and `sys.stderr` drop it: there is no place to report that."""
    before = sys.stdout, sys.stderr
    try:
        sys.stdout = _whole(before[0], is_reported=True)
        sys.stderr = _whole(before[1], is_reported=False)
        yield
    finally:
        sys.stdout, sys.stderr = before


def _whole(stream: IO[str] | None, *, is_reported: bool) -> IO[str]:
    if stream is None:
        os.open(os.devnull, os.O_WRONLY)  # to the end of the process: a file of the store must not get this number
        return _text(_Sink(None, is_reported=is_reported), "utf-8")
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    try:
        descriptor = stream.fileno()
    except OSError:
        return stream
    stream.flush()
    return _text(_Sink(descriptor, is_reported=is_reported), stream.encoding)


def _text(sink: _Sink, encoding: str) -> io.TextIOWrapper:
    # a terminal without UTF-8 shows what it can
    return io.TextIOWrapper(io.BufferedWriter(sink), encoding, "backslashreplace", line_buffering=sink.isatty())


@contextmanager
def output_to(descriptor: int) -> Iterator[None]:
    """Sends both streams to the pipe of a pager, as text for a terminal; drops the rest once its reader is gone."""
    before = sys.stdout, sys.stderr
    sink = _Sink(descriptor, is_reported=False, is_terminal=True)
    stream = io.TextIOWrapper(io.BufferedWriter(sink), before[0].encoding, "backslashreplace", write_through=True)
    before[0].flush()
    try:
        sys.stdout = stream
        if before[1].isatty():
            sys.stderr = stream
        yield
    finally:
        sys.stdout, sys.stderr = before
        stream.flush()


def read_whole(stream: IO[str]) -> bytes:
    """Returns all bytes of a text stream, waiting where it does not block. Errors: OSError."""
    try:
        descriptor = stream.fileno()
    except OSError:
        return bytes(stream.buffer.read())  # type: ignore[attr-defined]  # in memory
    parts: list[bytes] = []
    while True:
        try:
            part = os.read(descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            _wait(descriptor, POLLIN)
            continue
        if not part:
            return b"".join(parts)
        parts.append(part)


def _wait(descriptor: int, event: int) -> None:
    waiting = poll()
    waiting.register(descriptor, event)
    waiting.poll()
