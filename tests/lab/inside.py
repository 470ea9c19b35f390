"""The one place where tests reach into an open handle: its store, its parts, the files behind it."""

from __future__ import annotations

from tract_fs import Tract
from tract_fs.store.store import Store
from tract_fs.store.tract_log import TractLog
from tract_fs.work.contexts import ContextReader
from tract_fs.work.guard import SessionGuard
from tract_fs.work.reader import TractReader
from tract_fs.work.session import Session
from tract_fs.work.writer import Clock, TractWriter


def store_of(t: Tract) -> Store:
    """Returns the store of a handle."""
    return t._session.store


def reader_of(t: Tract) -> TractReader:
    """Returns the read side of a handle."""
    return t._session.reader


def log_of(t: Tract) -> TractLog:
    """Returns the log of a handle's own tract."""
    return t._session.reader.log


def writer_of(t: Tract) -> TractWriter:
    """Returns the write side of a handle."""
    return t._session.writer


def contexts_of(t: Tract) -> ContextReader:
    """Returns the compiled states of a handle."""
    return t._session.contexts


def guard_of(t: Tract) -> SessionGuard:
    """Returns what lets one thread at a time into a handle."""
    return t._session.guard


def session_of(t: Tract) -> Session:
    """Returns what an open handle owns."""
    return t._session


def clock_of(t: Tract) -> Clock:
    """Returns the clock of a handle."""
    return t._session.options.clock
