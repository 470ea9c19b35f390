"""Search where the index is gone, damaged, foreign, behind, or can't be written: never a wrong answer, never a missing hit."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.states import own_place
from tests.lab.stores import redact
from tests.lab.talk import Clock
from tract_fs import Tract

COUNT = 60


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store whose texts are indexed."""
    with Tract.open(tmp_path / "store", durability="fast", clock=Clock()) as t, t.batch():
        for number in range(COUNT):
            t.add(f"message {number:03} " + "filler " * 800)
    with Tract.open(tmp_path / "store") as t:
        assert t.search("nowhere") == []
    return tmp_path / "store"


def count(path: Path, phrase: str, **options: bool) -> int:
    with Tract.open(path, **options) as t:  # type: ignore[arg-type]
        return len(t.search(phrase, limit=None))


def run(path: Path, sql: str, *values: object) -> None:
    connection = sqlite3.connect(own_place(path) / "index.db")
    connection.execute(sql, values)
    connection.commit()
    connection.close()


def test_an_index_that_is_gone_is_rebuilt(path: Path) -> None:
    (own_place(path) / "index.db").unlink()
    assert (count(path, "MESSAGE 007"), count(path, "message", read_only=True)) == (1, COUNT)


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(
    "sql",
    [
        "delete from search_blocks where number = 0",
        "delete from search_blocks where number = (select max(number) from search_blocks)",
        "delete from search_blocks",
        "delete from search_stamps",
        "update search_stamps set blocks = 0, total = 0",
        "update search_stamps set records = records + 1",
        "update search_stamps set tract = 'other'",
        "update search_stamps set chain = 7",
        "update search_blocks set number = number + 1000",
        "update search_blocks set texts = replace(texts, 'message', 'massage')",
        "update search_blocks set texts = zeroblob(length(texts))",
        "update search_blocks set texts = x''",
        "update search_blocks set records = x'00'",
        "update search_blocks set names = x'5b5d'",
        "update search_blocks set crc = crc + 1",
        "update search_blocks set crc = 'x', texts = 7",
    ],
)
def test_rows_that_are_not_as_they_were_written_are_written_again(path: Path, sql: str, *, read_only: bool) -> None:
    run(path, sql)
    assert count(path, "message 0", read_only=read_only) == COUNT
    assert count(path, "massage", read_only=read_only) == 0
    assert count(path, "message 007") == 1


@pytest.mark.parametrize("step", [997, 4096])
def test_a_flipped_bit_anywhere_hides_no_hit(path: Path, step: int) -> None:
    file = own_place(path) / "index.db"
    good = file.read_bytes()
    for at in range(step // 2, len(good), len(good) // 12 // step * step or step):
        file.write_bytes(good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :])
        assert (count(path, "message 0", read_only=True), count(path, "filmer", read_only=True)) == (COUNT, 0)


@pytest.mark.parametrize(
    "sql",
    [
        "update search_blocks set texts = replace(texts, 'message', 'massage') where tract = 'other'",
        "delete from search_blocks where tract = 'other' and number = 1",
    ],
)
def test_a_redaction_gives_no_damaged_block_a_right_checksum(path: Path, sql: str) -> None:
    with Tract.open(path, tract_id="other", durability="fast") as t:
        for number in range(COUNT):
            t.add(f"message {number} " + "filler " * 8000)
        assert len(t.search("message", limit=None)) == COUNT
    with Tract.open(path) as t:
        first = t.add("message that is secret")
        assert len(t.search("message", limit=None)) == COUNT + 1
        event = first.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    redact(path, first.content_hash, after=f'"at":"{event}"', at="2040-01-01T00:00:00.000000Z")
    run(path, sql)
    with Tract.open(path) as t:
        t.refresh()
        assert len(t.search("message", limit=None)) == COUNT
    with Tract.open(path, tract_id="other") as t:
        assert len(t.search("message", limit=None)) == COUNT


def test_an_index_of_another_copy_is_not_used(path: Path, tmp_path: Path) -> None:
    with Tract.open(tmp_path / "other") as t:
        t.add("of the other copy")
        t.search("other")
    shutil.copy(own_place(path) / "index.db", own_place(tmp_path / "other") / "index.db")
    assert (count(tmp_path / "other", "message"), count(tmp_path / "other", "of the other")) == (0, 1)


def test_an_older_index_is_filled_with_what_is_new(path: Path) -> None:
    file = own_place(path) / "index.db"
    old = file.read_bytes()
    with Tract.open(path) as t:
        t.add("message that is new")
        assert len(t.search("message", limit=None)) == COUNT + 1
    file.write_bytes(old)
    assert count(path, "message", read_only=True) == COUNT + 1
    assert count(path, "message") == COUNT + 1


def test_a_reader_without_an_index_finds_what_others_write(path: Path) -> None:
    (own_place(path) / "index.db").unlink()
    with Tract.open(path, read_only=True) as reader, Tract.open(path) as writer:
        for number in range(5):
            assert len(reader.search("message", limit=None)) == COUNT + number
            writer.add(f"message that is new {number}")
            reader.refresh()
            assert len(reader.search(f"NEW {number}")) == 1


def test_a_reader_behind_a_writer_finds_what_is_new(path: Path) -> None:
    with Tract.open(path, read_only=True) as reader, Tract.open(path) as writer:
        for number in range(5):
            writer.add(f"message that is new {number}")
            reader.refresh()
            assert len(reader.search(f"NEW {number}")) == 1
            assert len(reader.search("message", limit=None)) == COUNT + number + 1


def test_an_index_that_another_process_holds_is_not_waited_for_for_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tract_fs.store.index.file._WAIT_S", 0.05)
    with Tract.open(path) as t:
        t.add("message that is new")
        connection = sqlite3.connect(own_place(path) / "index.db", isolation_level=None)
        connection.execute("begin immediate")
        assert len(t.search("message", limit=None)) == COUNT + 1
        connection.execute("rollback")
        connection.close()
        t.add("message that is newer")
        assert len(t.search("message", limit=None)) == COUNT + 2


def test_two_processes_fill_one_index(path: Path) -> None:
    code = (
        "import sys; from tract_fs import Tract; t = Tract.open(sys.argv[1], durability='fast')\n"
        "for n in range(30): t.add(f'{sys.argv[2]} {n}'); assert len(t.search(sys.argv[2], limit=None)) == n + 1\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in ("first", "second")]
    with Tract.open(path, read_only=True) as watching:
        while any(process.poll() is None for process in processes):
            assert len(watching.search("message", limit=None)) == COUNT
    assert [process.wait() for process in processes] == [0, 0]
    assert (count(path, "first"), count(path, "second"), count(path, "message")) == (30, 30, COUNT)
