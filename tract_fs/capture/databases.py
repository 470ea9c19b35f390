"""Databases of agents: sessions that a program keeps in SQLite, each as the JSON document that its format reads.

A database is a stranger's: it is opened as a copy, with its `-wal`, in a temporary folder, so no journal of it is played back
into anything else; its views, triggers and extensions do nothing, and each value has a limit. Only this module and the
store's index import sqlite3.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from msgspec import Struct

from tract_fs.capture.files import copied_database, open_source
from tract_fs.errors import TranscriptFormatUnknown
from tract_fs.transcripts import SESSION_FORMATS, format_of
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Transcript

if TYPE_CHECKING:
    pass

_MAGIC = b"SQLite format 3\0"
_LONGEST_VALUE = 256 * 1024 * 1024  # bytes of one text or blob
_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE 'CREATE TABLE%' AND rootpage > 0"
Row = dict[str, Any]


class _Layout(Struct, frozen=True):
    """The tables of one program: of sessions, and of their messages, each with the column of its session's id."""

    format: str
    sessions: str
    messages: str
    order: tuple[str, ...]
    parts: str = ""  # of the messages, in a table of their own


_LAYOUTS = (  # where two of a format are in one database, the first that has a session wins
    _Layout("opencode", "session_v2", "session_message", ("seq", "id")),
    _Layout("opencode", "session", "message", ("time_created", "id"), parts="part"),
    _Layout("goose", "sessions", "messages", ("id",)),
    _Layout("crush", "sessions", "messages", ("created_at", "id")),
)


def is_database(source: Source) -> bool:
    """Returns whether a file is a SQLite database."""
    source.stream.seek(0)
    return source.stream.read(len(_MAGIC)) == _MAGIC


def read_database(source: Source, session_id: str | None = None) -> Sequence[Transcript]:
    """Returns the sessions of a database, or the one with an id; each is read when it is asked for.

    The copy lasts as long as the source is open. Errors: TranscriptFormatUnknown, OSError, ArgumentError.
    """
    path = source.resources.enter_context(copied_database(source))
    return _Sessions(source, path, session_id)


class _Sessions(Sequence[Transcript]):
    """The sessions of the copy of a database, by their ids."""

    def __init__(self, source: Source, path: str, session_id: str | None) -> None:
        import sqlite3

        self._source = source
        self._connection = sqlite3.connect(path, isolation_level=None)
        source.resources.callback(self._connection.close)
        self._errors = (sqlite3.Error, OverflowError)
        self._found: dict[str, tuple[_Layout, Row]] = {}
        try:
            self._prepare()
            self._find(session_id)
        except self._errors as error:
            raise self._unknown(f"a SQLite database that can't be read: {error}") from None

    def __len__(self) -> int:
        return len(self._found)

    @overload
    def __getitem__(self, place: int) -> Transcript: ...
    @overload
    def __getitem__(self, place: slice) -> list[Transcript]: ...
    def __getitem__(self, place: int | slice) -> Transcript | list[Transcript]:
        ids = list(self._found)[place]
        return self._read(ids) if isinstance(ids, str) else [self._read(id_) for id_ in ids]

    def _unknown(self, found: str) -> TranscriptFormatUnknown:
        return TranscriptFormatUnknown(name=self._source.name, formats=SESSION_FORMATS, found=found)

    def _prepare(self) -> None:
        import sqlite3

        connection = self._connection
        connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
        for pragma in ("query_only = ON", "trusted_schema = OFF", "cell_size_check = ON"):
            connection.execute(f"PRAGMA {pragma}")

    def _find(self, session_id: str | None) -> None:
        tables = {name for (name,) in self._connection.execute(_TABLES)}
        for layout in _LAYOUTS:
            if not {layout.sessions, layout.messages} <= tables or not self._fits(layout):
                continue
            for row in self._rows(layout.sessions, ()):
                id_ = str(row.get("id", ""))
                if session_id in (None, id_):
                    self._found.setdefault(id_, (layout, row))
        if not self._found and session_id is None:
            shown = ", ".join(sorted(tables)[:12]) or "no tables"
            raise self._unknown(f"a SQLite database with {shown}, and no session of opencode, Goose or Crush")

    def _fits(self, layout: _Layout) -> bool:
        """Returns whether the table of messages has the columns of a layout."""
        columns = {row[1] for row in self._connection.execute(f'PRAGMA table_info("{layout.messages}")')}
        own = {"goose": "content_json", "crush": "parts"}.get(layout.format, "data")
        return {"session_id", own, *layout.order} <= columns

    def _rows(self, table: str, order: Sequence[str], session_id: object = None) -> Iterator[Row]:
        where = "" if session_id is None else " WHERE session_id = ?"
        ordered = f" ORDER BY {', '.join(order)}" if order else ""
        cursor = self._connection.execute(
            f'SELECT * FROM "{table}"{where}{ordered}', () if session_id is None else (session_id,)
        )
        names = [column[0] for column in cursor.description]
        for values in cursor:
            yield {name: _plain(value) for name, value in zip(names, values, strict=True) if value is not None}

    def _read(self, id_: str) -> Transcript:
        layout, session = self._found[id_]
        try:
            messages = list(self._rows(layout.messages, layout.order, session.get("id")))
            parts = list(self._rows(layout.parts, ("id",), session.get("id"))) if layout.parts else []
        except self._errors as error:
            raise self._unknown(f"a SQLite database that can't be read: {error}") from None
        make = _opencode_document if layout.format == "opencode" else _document
        document = json.dumps(make(session, messages, parts)).encode()
        (transcript,) = format_of(layout.format).read(open_source(document))
        return transcript


def _plain(value: object) -> object:
    """Returns a value of a row as JSON: a text that is an object or an array as that, bytes as base64."""
    if isinstance(value, bytes):
        return {"base64": b64encode(value).decode()}
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _document(session: Row, messages: list[Row], _parts: list[Row]) -> Row:
    return {"session": session, "messages": messages}


def _opencode_document(session: Row, messages: list[Row], parts: list[Row]) -> Row:
    """Returns a session as `opencode export` writes it."""
    names = {"project_id": "projectID", "parent_id": "parentID", "workspace_id": "workspaceID", "share_url": "share"}
    info = {names.get(key, key): value for key, value in session.items() if not key.startswith("time_")}
    info["time"] = {key.removeprefix("time_"): value for key, value in session.items() if key.startswith("time_")}
    by_message: dict[object, list[Row]] = {}
    for part in parts:
        ids = {"id": part.get("id"), "sessionID": part.get("session_id"), "messageID": part.get("message_id")}
        by_message.setdefault(str(part.get("message_id")), []).append({**_data(part), **ids})
    found = []
    for message in messages:
        data, id_ = _data(message), message.get("id")
        if "type" in message:  # of the second generation
            found.append({**data, "id": id_, "type": message["type"]})
        else:
            own = {**data, "id": id_, "sessionID": message.get("session_id")}
            found.append({"info": own, "parts": by_message.get(str(id_), [])})
    return {"info": info, "messages": found}


def _data(row: Row) -> Row:
    data = row.get("data")
    return data if isinstance(data, dict) else {"data": data}
