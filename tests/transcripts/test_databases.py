"""Sessions in the databases of agents: read from a copy, with what lies in the log beside; nothing of them is trusted or changed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.samples import SAMPLES
from tract_fs import Tract
from tract_fs.capture import files
from tract_fs.capture.files import open_source
from tract_fs.capture.sessions import read_source
from tract_fs.errors import ArgumentError, TranscriptFormatUnknown

DOCUMENT = json.loads(SAMPLES["opencode"]().data)
FIRST = "CREATE TABLE session (id TEXT PRIMARY KEY, directory TEXT, title TEXT, revert TEXT, time_created INTEGER)"
MESSAGE = "CREATE TABLE message (id TEXT PRIMARY KEY, session_id TEXT, time_created INTEGER, data TEXT)"
PART = "CREATE TABLE part (id TEXT PRIMARY KEY, message_id TEXT, session_id TEXT, data TEXT)"
SECOND = "CREATE TABLE session_v2 (id TEXT PRIMARY KEY, title TEXT, time_created INTEGER)"
TYPED = "CREATE TABLE session_message (id TEXT, session_id TEXT, type TEXT, seq INTEGER, data TEXT)"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database of the first generation, with one session, all of it in the log."""
    connection = sqlite3.connect(tmp_path / "opencode.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    for statement in (FIRST, MESSAGE, PART):
        connection.execute(statement)
    connection.execute("INSERT INTO session VALUES ('ses_1', '/work', 'A session', NULL, 1)")
    for number, message in enumerate(DOCUMENT["messages"]):
        data = {key: value for key, value in message["info"].items() if key != "id"}
        row = (message["info"]["id"], "ses_1", number, json.dumps(data))
        connection.execute("INSERT INTO message VALUES (?, ?, ?, ?)", row)
        for place, part in enumerate(message["parts"]):
            own = (f"prt_{number}{place}", message["info"]["id"], "ses_1", json.dumps(part))
            connection.execute("INSERT INTO part VALUES (?, ?, ?, ?)", own)
    yield connection
    connection.close()


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def second_session(connection: sqlite3.Connection) -> None:
    connection.execute(SECOND)
    connection.execute(TYPED)
    connection.execute("INSERT INTO session_v2 VALUES ('ses_2', 'Another', 1)")
    user = json.dumps({"text": "Hello", "time": {"created": 1788218993905}})
    done = {"status": "completed", "input": {}, "content": [{"type": "text", "text": "42"}], "structured": {}}
    tool = {"type": "tool", "id": "c1", "name": "count", "state": done, "time": {"created": 1}}
    made = json.dumps(
        {"model": {"id": "m-1", "providerID": "p-1"}, "content": [tool, {"type": "text", "text": "It is 42."}]}
    )
    rows = [("msg_b", "ses_2", "assistant", 2, made), ("msg_a", "ses_2", "user", 1, user)]
    connection.executemany("INSERT INTO session_message VALUES (?, ?, ?, ?, ?)", rows)


def test_a_session_that_is_in_the_log_alone_comes_in(database: sqlite3.Connection, tmp_path: Path) -> None:
    before = files_in(tmp_path)
    with Tract.open(tmp_path / "store") as tract:
        report = tract.import_transcript(tmp_path / "opencode.db")
        assert (report.format, report.session_id, report.entries, report.messages) == ("opencode", "ses_1", 7, 9)
        exported = json.loads(tract.export_transcript())
        assert [m["info"]["id"] for m in exported["messages"]] == ["msg_1", "msg_2", "msg_3", "msg_4", "msg_5", "msg_6"]
        assert exported["info"]["time"] == {"created": 1}
        assert tract.import_transcript(tmp_path / "opencode.db").added == 0
    assert {name: data for name, data in files_in(tmp_path).items() if name in before} == before


def test_a_session_that_grew_adds_what_is_new(database: sqlite3.Connection, tmp_path: Path) -> None:
    with Tract.open(tmp_path / "store") as tract:
        tract.import_transcript(tmp_path / "opencode.db")
        info = json.dumps({"role": "user", "time": {"created": 1788218994905}})
        database.execute("INSERT INTO message VALUES ('msg_7', 'ses_1', 9, ?)", (info,))
        text = json.dumps({"type": "text", "text": "One more."})
        database.execute("INSERT INTO part VALUES ('prt_9', 'msg_7', 'ses_1', ?)", (text,))
        report = tract.import_transcript(tmp_path / "opencode.db")
        assert (report.added, report.edited) == (1, 0)


def test_both_generations_are_read_and_one_is_chosen_by_its_id(database: sqlite3.Connection, tmp_path: Path) -> None:
    second_session(database)
    with Tract.open(tmp_path / "store") as tract:
        with pytest.raises(ArgumentError, match="2 sessions to import; choose one by its id: ses_2, ses_1"):
            tract.import_transcript(tmp_path / "opencode.db")
        report = tract.import_transcript(tmp_path / "opencode.db", session_id="ses_2")
        assert (report.entries, report.messages) == (3, 3)
        assert [message.role for message in tract.compile().messages] == ["user", "assistant", "user"]


def test_the_second_generation_of_a_session_wins(database: sqlite3.Connection, tmp_path: Path) -> None:
    second_session(database)
    database.execute("UPDATE session_v2 SET id = 'ses_1'")
    database.execute("UPDATE session_message SET session_id = 'ses_1'")
    with open_source(tmp_path / "opencode.db") as source:
        (transcript,) = read_source(source)
        assert (transcript.id, transcript.title, transcript.count) == ("ses_1", "Another", 3)


def test_what_follows_a_revert_is_a_branch(database: sqlite3.Connection, tmp_path: Path) -> None:
    database.execute("""UPDATE session SET revert = '{"messageID": "msg_4"}'""")
    with Tract.open(tmp_path / "store") as tract:
        report = tract.import_transcript(tmp_path / "opencode.db")
        assert (report.messages, report.branches) == (4, ("reverted-msg-4",))


def test_a_journal_beside_is_not_played_back(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    for statement in (FIRST, MESSAGE, PART):
        connection.execute(statement)
    connection.execute("INSERT INTO session VALUES ('ses_1', '/work', 'A session', NULL, 1)")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE session SET title = 'Not this'")
    (tmp_path / "hot.db-journal").write_bytes((tmp_path / "a.db-journal").read_bytes())
    connection.execute("COMMIT")
    connection.close()
    (tmp_path / "hot.db").write_bytes((tmp_path / "a.db").read_bytes())
    before = files_in(tmp_path)
    with open_source(tmp_path / "hot.db") as source:
        assert [transcript.title for transcript in read_source(source)] == ["Not this"]
    assert files_in(tmp_path) == before


def test_a_link_beside_is_not_followed(database: sqlite3.Connection, tmp_path: Path) -> None:
    (tmp_path / "b.db").write_bytes((tmp_path / "opencode.db").read_bytes())
    (tmp_path / "b.db-wal").symlink_to(tmp_path / "opencode.db-wal")
    with open_source(tmp_path / "b.db") as source, pytest.raises(TranscriptFormatUnknown):
        read_source(source)


def test_a_view_in_place_of_a_table_is_not_read(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    connection.execute(MESSAGE)
    connection.execute(
        "CREATE VIEW session AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id FROM n) SELECT * FROM n"
    )
    connection.close()
    with open_source(tmp_path / "a.db") as source, pytest.raises(TranscriptFormatUnknown, match="with message"):
        read_source(source)


def test_a_damaged_database_is_a_typed_error(database: sqlite3.Connection, tmp_path: Path) -> None:
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray((tmp_path / "opencode.db").read_bytes())
    for start in range(100, len(data), 256):
        made = bytearray(data)
        made[start : start + 200] = b"\xff" * len(made[start : start + 200])
        with open_source(bytes(made)) as source:
            try:
                assert all(transcript.format == "opencode" for transcript in read_source(source))
            except TranscriptFormatUnknown:
                continue


def test_a_database_that_is_written_to_all_the_time_is_an_error(
    database: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter(range(100))
    monkeypatch.setattr(files, "_own_state", lambda path: (next(counts), 0))
    with open_source(tmp_path / "opencode.db") as source, pytest.raises(OSError, match="written to during each copy"):
        read_source(source)


def test_the_sessions_of_other_programs_come_in(tmp_path: Path) -> None:
    for name, column in (("goose", "content_json"), ("crush", "parts")):
        document = json.loads(SAMPLES[name]().data)
        path = tmp_path / f"{name}.db"
        connection = sqlite3.connect(path, isolation_level=None)
        for table, rows in (("sessions", [document["session"]]), ("messages", document["messages"])):
            columns = list(dict.fromkeys(key for row in rows for key in row)) + ["created_at"] * (table == "sessions")
            connection.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
            for row in rows:
                values = [as_column(row.get(key)) for key in columns]
                connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", values)
        connection.close()
        assert column in {key for row in document["messages"] for key in row}
        with Tract.open(tmp_path / name) as tract:
            report = tract.import_transcript(path)
            sample = SAMPLES[name]()
            assert (report.format, report.entries, report.messages) == (name, sample.entries, sample.messages)


def as_column(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value
