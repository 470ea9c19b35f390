"""The one place where tests reach into an open handle: its store, its parts, the files behind it."""

from __future__ import annotations

from tract_fs import Tract
from tract_fs.guard import HandleGuard
from tract_fs.store.store import Store
from tract_fs.store.tract_log import TractLog
from tract_fs.work.contexts import ContextReader
from tract_fs.work.reader import TractReader
from tract_fs.work.writer import TractWriter


def store_of(t: Tract) -> Store:
    """Returns the store of a handle."""
    return t._store


def reader_of(t: Tract) -> TractReader:
    """Returns the read side of a handle."""
    return t._reader


def log_of(t: Tract) -> TractLog:
    """Returns the log of a handle's own tract."""
    return t._reader.log


def writer_of(t: Tract) -> TractWriter:
    """Returns the write side of a handle."""
    return t._writer


def contexts_of(t: Tract) -> ContextReader:
    """Returns the compiled states of a handle."""
    return t._contexts


def guard_of(t: Tract) -> HandleGuard:
    """Returns what lets one thread at a time into a handle."""
    return t._guard
