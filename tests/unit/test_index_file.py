"""The index file: a file that is not as this copy wrote it is discarded, and nothing beside it or outside is harmed."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import struct
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.disk import disk, os_error
from tests.lab.states import bound_layout
from tract_fs.store.index import file as index_file
from tract_fs.store.index.file import (
    IndexDamagedError,
    IndexFile,
    IndexRowsGoneError,
    IndexUnwritableError,
    Sums,
    bucket_range,
    crc_of,
    insert_rows,
    key_of,
    keys_of,
    require_sums,
)
from tract_fs.store.layout import Layout

TABLES = [
    "store",
    "tracts",
    "records",
    "packs",
    "members",
    "pack_events",
    "sums",
    "config_stamps",
    "configs",
    "config_commits",
    "search_stamps",
    "search_blocks",
    "search_redacted",
]
ADD_PACK = "insert into packs values (?, ?, 0, 0, 0)"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return bound_layout(tmp_path)


def opened(layout: Layout, *, read_only: bool = False) -> IndexFile:
    return IndexFile(layout, read_only=read_only)


def add(index: IndexFile, number: int) -> None:
    with index.writing() as connection:
        connection.execute(ADD_PACK, (number, b"%032d" % number))


def numbers(index: IndexFile) -> list[int]:
    with index.reading() as connection:
        return [number for (number,) in connection.execute("select id from packs order by id")]


def filled(layout: Layout) -> Path:
    """Writes an index with one row, and returns its path."""
    index = opened(layout)
    add(index, 7)
    index.close()
    return Path(layout.index)


# what is in the file


def test_a_new_file_has_all_tables_and_names_its_version_and_its_place(layout: Layout) -> None:
    index = opened(layout)
    assert not index.exists()
    connection = index.connection()
    assert index.exists()
    tables = connection.execute("select name from sqlite_master where type = 'table' order by rowid").fetchall()
    assert [name for (name,) in tables] == TABLES
    assert connection.execute("select * from store").fetchall() == [(1, layout.seal.hex())]
    assert (index.generation, index.is_in_memory(), index.is_writable()) == (0, False, True)
    assert Path(layout.index).name == "index.db"


def test_the_schema_reads_as_documentation(layout: Layout) -> None:
    """`.schema` of the command line of SQLite prints these texts as they are."""
    connection = opened(layout).connection()
    tables = dict(connection.execute("select name, sql from sqlite_master where type = 'table'").fetchall())
    plain: set[str] = set()
    for name, text in tables.items():
        heading, *columns, end = text.split("\n")
        assert re.fullmatch(rf"CREATE TABLE {name} \( -- \w.{{15,}}", heading), heading
        assert end in (")", ") without rowid")
        plain.update(f"{name}: {column.strip().rstrip(',')}" for column in columns if " -- " not in column)
    assert plain == {  # what their names and the heading say
        "store: version integer not null",
        "store: seal text not null",
        "tracts: id integer primary key",
        "tracts: name text not null unique",
        "packs: id integer primary key",
        "packs: members integer not null",
        "pack_events: pack integer not null",
        "pack_events: tract text not null",
        "pack_events: events integer not null",
        "pack_events: primary key (pack, tract)",
        "sums: rows integer not null",
        "sums: total integer not null",
        "sums: primary key (family, bucket)",
        "config_stamps: tract text primary key",
        "config_stamps: chain text not null",
        "config_stamps: total integer not null",
        "configs: tract text not null",
        "configs: total integer not null",
        "configs: primary key (tract, number)",
        "config_commits: tract text not null",
        "config_commits: primary key (tract, config, created, name)",
        "search_stamps: tract text primary key",
        "search_stamps: chain text not null",
        "search_stamps: total integer not null",
        "search_blocks: tract text not null",
        "search_blocks: primary key (tract, number)",
    }


def test_rows_stay_for_the_next_handle(layout: Layout) -> None:
    filled(layout)
    assert numbers(opened(layout)) == numbers(opened(layout, read_only=True)) == [7]


# a file that is not as this copy wrote it


def change(sql: str) -> Callable[[Path, Path], None]:
    def act(file: Path, _outside: Path) -> None:
        connection = sqlite3.connect(file)
        connection.executescript(sql)
        connection.close()

    return act


def flip_header(file: Path, _outside: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(b"\xff" + data[1:])


def link(file: Path, outside: Path) -> None:
    file.rename(outside)
    file.symlink_to(outside)


def hard_link(file: Path, outside: Path) -> None:
    os.link(file, outside)


def as_directory(file: Path, _outside: Path) -> None:
    file.unlink()
    file.mkdir()
    (file / "inside").write_bytes(b"kept")


DAMAGES: dict[str, Callable[[Path, Path], None]] = {
    "another header": flip_header,
    "random bytes": lambda file, _: file.write_bytes(b"\x8f" * 5000) and None,
    "cut in half": lambda file, _: os.truncate(file, file.stat().st_size // 2),
    "a table too many": change("create table more (x)"),
    "a table less": change("drop table configs"),
    "a view as a table": change("drop table packs; create view packs as select 7 as id"),
    "a trigger": change("create trigger odd after insert on packs begin delete from packs; end"),
    "another version": change("update store set version = 2"),
    "another place": change(f"update store set seal = '{'0' * 64}'"),
    "no place": change("delete from store"),
    "two places": change("insert into store select * from store"),
    "a link": link,
    "a second name": hard_link,
}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_writer_replaces_a_file_that_is_not_its_own(layout: Layout, tmp_path: Path, how: str) -> None:
    file, outside = filled(layout), tmp_path / "outside.db"
    DAMAGES[how](file, outside)
    kept = outside.read_bytes() if outside.exists() else b""
    index = opened(layout)
    assert numbers(index) == []
    assert (index.generation, index.is_in_memory()) == (1, False)
    assert file.is_file() and not file.is_symlink() and file.stat().st_nlink == 1
    add(index, 8)
    assert numbers(opened(layout)) == [8]
    assert (outside.read_bytes() if outside.exists() else b"") == kept


@pytest.mark.parametrize("how", [*DAMAGES, "a directory"])
def test_a_reader_does_without_a_file_that_is_not_its_own(layout: Layout, tmp_path: Path, how: str) -> None:
    file, outside = filled(layout), tmp_path / "outside.db"
    {**DAMAGES, "a directory": as_directory}[how](file, outside)
    before = None if file.is_dir() else file.read_bytes()
    index = opened(layout, read_only=True)
    assert numbers(index) == []
    assert (index.is_in_memory(), index.is_writable()) == (True, True)
    add(index, 8)
    assert numbers(index) == [8]
    assert (None if file.is_dir() else file.read_bytes()) == before


def test_a_directory_in_the_files_place_stays_and_is_done_without(layout: Layout, tmp_path: Path) -> None:
    file = filled(layout)
    as_directory(file, tmp_path)
    index = opened(layout)
    assert numbers(index) == []
    assert index.is_in_memory()
    assert (file / "inside").read_bytes() == b"kept"


def test_an_empty_file_is_filled(layout: Layout) -> None:
    Path(layout.index).touch()
    index = opened(layout)
    assert numbers(index) == []
    assert (index.generation, index.is_in_memory()) == (0, False)


def test_damage_met_in_a_look_discards_the_file(layout: Layout) -> None:
    file = filled(layout)
    index = opened(layout)
    assert numbers(index) == [7]
    with pytest.raises(IndexDamagedError), index.reading() as connection:
        connection.execute("select * from no_such_table")
    assert index.generation == 1
    assert not file.exists()
    assert numbers(index) == []
    assert not index.is_in_memory()


@pytest.mark.parametrize(
    "error", [ValueError("a hash"), TypeError("a type"), OverflowError("a number"), struct.error("a size")]
)
def test_a_column_of_another_type_counts_as_damage(layout: Layout, error: Exception) -> None:
    index = opened(layout)
    add(index, 7)
    with pytest.raises(IndexDamagedError), index.reading():
        raise error
    assert (index.generation, numbers(index)) == (1, [])


def test_an_error_of_another_kind_passes_and_discards_nothing(layout: Layout) -> None:
    index = opened(layout)
    add(index, 7)
    with pytest.raises(KeyError), index.reading():
        raise KeyError
    with pytest.raises(KeyError), index.writing() as connection:
        connection.execute(ADD_PACK, (8, b"8" * 32))
        raise KeyError
    assert (index.generation, numbers(index)) == (0, [7])


def test_a_reader_that_finds_damage_leaves_the_file_and_goes_on_in_memory(layout: Layout) -> None:
    file = filled(layout)
    before = file.read_bytes()
    index = opened(layout, read_only=True)
    assert numbers(index) == [7]
    index.discard()
    assert (index.generation, numbers(index), index.is_in_memory()) == (1, [], True)
    assert file.read_bytes() == before


def test_a_discarded_file_goes_with_what_sqlite_keeps_beside_it(layout: Layout) -> None:
    index = opened(layout)
    add(index, 7)
    for suffix in ("-journal", "-wal", "-shm"):
        Path(layout.index + suffix).write_bytes(b"")
    index.discard()
    assert [name for name in os.listdir(layout.local) if name.startswith("index.db")] == []


# files beside it


def test_files_of_a_wal_are_removed_unread(layout: Layout) -> None:
    file = filled(layout)
    for suffix in ("-wal", "-shm"):
        Path(f"{file}{suffix}").write_bytes(b"\x37\x7f\x06\x82" + b"\1" * 4000)
    assert numbers(opened(layout)) == [7]
    assert [name for name in os.listdir(layout.local) if name.startswith("index.db")] == ["index.db"]


def test_a_journal_that_names_another_file_is_removed_with_the_index_and_nothing_else(
    layout: Layout, tmp_path: Path
) -> None:
    file, victim = filled(layout), tmp_path / "victim"
    victim.write_bytes(b"kept")
    magic, name = bytes.fromhex("d9d505f920a163d7"), str(victim).encode()
    head = magic + struct.pack(">5I", 0, 0, file.stat().st_size // 4096, 512, 4096)
    tail = struct.pack(">I", (1 << 30) // 4096 + 1) + name + struct.pack(">II", len(name), sum(name)) + magic
    Path(f"{file}-journal").write_bytes(head.ljust(512, b"\0") + tail)
    assert numbers(opened(layout)) == []
    assert victim.read_bytes() == b"kept"


def test_a_journal_that_is_a_link_is_removed_with_the_index(layout: Layout, tmp_path: Path) -> None:
    file, victim = filled(layout), tmp_path / "victim"
    victim.write_bytes(b"k" * 100)
    Path(f"{file}-journal").symlink_to(victim)
    index = opened(layout)
    assert numbers(index) in ([], [7])
    add(index, 8)
    assert victim.read_bytes() == b"k" * 100


# a file that can't be used


def test_without_a_place_rows_are_in_memory(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path))  # bound to no place
    index = opened(layout)
    add(index, 7)
    assert (numbers(index), index.is_in_memory(), index.is_writable()) == ([7], True, True)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_makes_no_file(layout: Layout) -> None:
    index = opened(layout, read_only=True)
    assert not index.exists()
    add(index, 7)
    assert (numbers(index), index.is_in_memory()) == ([7], True)
    assert not Path(layout.index).exists()


@pytest.mark.parametrize("read_only", [False, True], ids=["writer", "reader"])
def test_a_directory_that_may_not_be_looked_into_is_done_without(layout: Layout, read_only: bool) -> None:
    filled(layout)

    def fails(_call: str, _number: int, arguments: tuple[object, ...]) -> OSError | None:
        is_below = bool(arguments) and str(arguments[0]).startswith(layout.local)
        return os_error(errno.EACCES, arguments[0]) if is_below else None

    with disk(fails):
        index = opened(layout, read_only=read_only)
        assert not index.exists()
        assert numbers(index) == []
        assert index.is_in_memory()


@pytest.mark.parametrize("read_only", [False, True], ids=["writer", "reader"])
def test_a_file_that_can_not_be_opened_is_done_without(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, read_only: bool
) -> None:
    filled(layout)
    plain = index_file._connect

    def connect(path: str) -> sqlite3.Connection:
        if path != ":memory:":
            raise sqlite3.OperationalError("unable to open database file")  # without a code
        return plain(path)

    monkeypatch.setattr(index_file, "_connect", connect)
    index = opened(layout, read_only=read_only)
    assert (numbers(index), index.is_in_memory()) == ([], True)


def test_a_file_that_another_process_holds_is_left_alone(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_file, "_WAIT_S", 0.05)
    file = filled(layout)
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("begin exclusive")
    index = opened(layout)
    assert (numbers(index), index.is_in_memory(), index.generation) == ([], True, 0)
    holder.rollback()
    assert numbers(opened(layout)) == [7]


def test_a_write_while_another_process_writes_is_refused_whole(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_file, "_WAIT_S", 0.05)
    file = filled(layout)
    index = opened(layout)
    assert numbers(index) == [7]
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("begin immediate")
    with pytest.raises(IndexUnwritableError):
        add(index, 8)
    assert (numbers(index), index.generation) == ([7], 0)
    holder.rollback()
    add(index, 8)
    assert numbers(index) == [7, 8]


def test_a_full_disk_refuses_the_write_and_keeps_the_rows(layout: Layout) -> None:
    filled(layout)
    index = opened(layout)
    (pages,) = index.connection().execute("pragma page_count").fetchone()
    index.connection().execute(f"pragma max_page_count = {pages}")  # as a disk without room
    with pytest.raises(IndexUnwritableError), index.writing() as connection:
        connection.executemany(ADD_PACK, [(number, b"%032d" % number) for number in range(100, 5000)])
    assert (numbers(index), index.generation) == ([7], 0)


def test_an_index_that_went_into_memory_stays_there(layout: Layout) -> None:
    filled(layout)
    index = opened(layout)
    assert numbers(index) == [7]
    index.go_in_memory()
    assert (index.generation, numbers(index), index.is_in_memory()) == (1, [], True)
    add(index, 8)
    assert numbers(opened(layout)) == [7]
    index.close()
    assert (index.generation, numbers(index)) == (2, [])


def test_an_index_in_memory_beside_the_file_is_another(layout: Layout) -> None:
    index = opened(layout)
    add(index, 7)
    own = index.in_memory()
    add(own, 8)
    assert (numbers(own), numbers(index)) == ([8], [7])
    assert own.seal == index.seal == layout.seal


def test_a_distrusted_file_is_removed_by_a_writer_and_not_read_by_a_reader(layout: Layout) -> None:
    file = filled(layout)
    before = file.read_bytes()
    reader = IndexFile(layout, read_only=True, is_distrusted=True)
    assert (numbers(reader), reader.is_in_memory()) == ([], True)
    assert file.read_bytes() == before
    writer = IndexFile(layout, read_only=False, is_distrusted=True)
    assert (numbers(writer), writer.is_in_memory()) == ([], False)
    add(writer, 8)
    writer.close()
    assert numbers(writer) == [8]  # its own rows are trusted


# several handles


def test_what_another_handle_writes_is_seen_at_the_next_look(layout: Layout) -> None:
    one, two = opened(layout), opened(layout)
    assert (numbers(one), numbers(two)) == ([], [])
    add(one, 1)
    add(two, 2)
    assert numbers(one) == numbers(two) == [1, 2]
    assert (one.generation, two.generation) == (0, 0)


def test_a_file_that_another_handle_replaced_is_noticed_at_the_next_write(layout: Layout) -> None:
    one, two = opened(layout), opened(layout)
    add(one, 1)
    two.discard()
    add(two, 2)
    assert one.generation == 0
    add(one, 3)
    assert one.generation == 1
    assert numbers(one) == numbers(two) == [2, 3]


def test_the_version_changes_when_others_change_the_file(layout: Layout) -> None:
    one, two = opened(layout), opened(layout)
    add(one, 1)
    first = one.version()
    add(one, 2)
    assert one.version() == first
    add(two, 3)
    second = one.version()
    assert second != first
    with open(layout.index, "r+b") as file:  # as a tool that writes a backup into the file itself
        data = bytearray(file.read())
        data[24:28] = data[92:96] = b"\0\0\0\1"
        file.seek(0)
        file.write(data)
    assert one.version() != second


def test_rows_that_are_gone_are_no_damage_of_the_file(layout: Layout) -> None:
    index = opened(layout)
    add(index, 7)
    with pytest.raises(IndexRowsGoneError), index.reading():
        raise index.note_loss()
    assert (index.generation, numbers(index)) == (1, [7])
    assert numbers(opened(layout)) == [7]


def test_a_closed_index_opens_again_with_its_rows(layout: Layout) -> None:
    index = opened(layout)
    add(index, 7)
    index.close()
    index.close()
    assert (numbers(index), index.generation) == ([7], 0)


def test_a_move_starts_over_in_the_layouts_present_place(tmp_path: Path) -> None:
    layout = bound_layout(tmp_path)
    index = opened(layout)
    add(index, 7)
    os.rename(layout.local, f"{tmp_path}/gone")
    assert bound_layout(tmp_path).local != layout.local
    layout.use_place(Path(bound_layout(tmp_path).local).name, bound_layout(tmp_path).seal)
    index.move()
    assert (index.generation, numbers(index)) == (1, [])
    add(index, 8)
    assert Path(layout.index).exists()


def test_a_forked_child_uses_a_connection_of_its_own(layout: Layout, tmp_path: Path) -> None:
    program = """
        import os, sys
        from tests.lab.states import bound_layout
        from tract_fs.store.index.file import IndexFile
        from pathlib import Path

        layout = bound_layout(Path(sys.argv[1]))
        shared = IndexFile(layout, read_only=False)
        own = shared.in_memory()
        for index, number in ((shared, 1), (own, 2)):
            with index.writing() as connection:
                connection.execute("insert into packs values (?, ?, 0, 0, 0)", (number, b"x"))
        before = shared.connection()

        def state():
            rows = [index.connection().execute("select id from packs").fetchall() for index in (shared, own)]
            return rows, shared.generation, own.generation

        child = os.fork()
        if child == 0:
            print("child", *state(), shared.connection() is before, flush=True)
            shared.close()
            os._exit(0)
        os.waitpid(child, 0)
        print("parent", *state(), shared.connection() is before)
        """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines() == ["child [[(1,)], []] 0 1 False", "parent [[(1,)], [(2,)]] 0 0 True"]


# keys and sums


def test_a_key_is_the_beginning_of_a_hash_as_a_signed_number() -> None:
    assert key_of(bytes(32)) == 0
    assert key_of(b"\x80" + bytes(31)) == -(2**63)
    assert key_of(b"\xff" * 32) == -1
    assert key_of(bytes(7) + b"\1" + b"\xff" * 24) == 1
    assert list(keys_of([bytes(32), b"\x80" + bytes(31), b"\xff" * 32])) == [0, -(2**63), -1]


def test_the_keys_of_a_bucket_are_those_of_the_hashes_that_begin_with_its_byte() -> None:
    assert bucket_range(0) == (0, 2**56 - 1)
    assert bucket_range(127) == (2**63 - 2**56, 2**63 - 1)
    assert bucket_range(128) == (-(2**63), -(2**63) + 2**56 - 1)
    assert bucket_range(255) == (-(2**56), -1)
    for first in range(256):
        low, high = bucket_range(first)
        assert low <= key_of(bytes([first]) + bytes(31)) <= key_of(bytes([first]) + b"\xff" * 31) <= high


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 128, 200])
def test_many_rows_are_inserted_by_few_statements(layout: Layout, count: int) -> None:
    index = IndexFile(layout, read_only=False)
    texts: list[str] = []
    with index.writing() as connection:
        connection.set_trace_callback(texts.append)
        values: list[object] = [
            value for number in range(count) for value in (number, bytes([number]), number, -number)
        ]
        insert_rows(connection, "members", 4, values)
        connection.set_trace_callback(None)
    rows = index.connection().execute("select * from members order by place").fetchall()
    assert rows == [(number, bytes([number]), number, -number) for number in range(count)]
    assert len(texts) == count // 64 + count % 64


def test_of_rows_of_which_one_is_refused_none_stays(layout: Layout) -> None:
    index = IndexFile(layout, read_only=False)
    values: list[object] = [value for number in range(100) for value in (number, b"x", number, number)]
    values[4 * 70] = 5
    with pytest.raises(IndexDamagedError), index.writing() as connection:
        insert_rows(connection, "members", 4, values)
    assert index.connection().execute("select count(*) from members").fetchall() == [(0,)]


def test_sums_are_added_to_and_subtracted_from_those_there_are(layout: Layout) -> None:
    index = opened(layout)
    with index.writing() as connection:
        sums = Sums("event")
        sums.rows[1], sums.totals[1] = 2, 120
        sums.rows[2], sums.totals[2] = 1, 3
        sums.write(connection)
        more = Sums("event")
        more.rows[1], more.totals[1] = -1, -100
        more.rows[2], more.totals[2] = 1, 4
        more.write(connection)
        Sums("commit").write(connection)
    rows = index.connection().execute("select * from sums").fetchall()
    assert rows == [("event", 1, 1, 20), ("event", 2, 2, 7)]


def test_sums_notice_a_row_too_few_or_too_many_or_another(layout: Layout) -> None:
    connection = opened(layout).connection()
    connection.execute("insert into sums values ('member', 5, 2, 30)")
    require_sums(connection, "member", 5, [10, 20])
    require_sums(connection, "member", 5, [20, 10])
    require_sums(connection, "member", 6, [])
    for bucket, checksums in ((5, [10]), (5, []), (5, [10, 20, 0]), (5, [10, 21]), (6, [0])):
        with pytest.raises(IndexDamagedError, match="rows of the family member are missing"):
            require_sums(connection, "member", bucket, checksums)


def test_a_checksum_is_of_the_values_and_of_the_place() -> None:
    assert crc_of(b"", 1, "a", b"b") == zlib.crc32(b"1;'a';b")
    assert crc_of(b"\1" * 32, 1, "a") == zlib.crc32(b"\1" * 32 + b"1;'a';")
    assert len({crc_of(b"\1" * 32, 1), crc_of(b"\2" * 32, 1), crc_of(b"\1" * 32, "1"), crc_of(b"\1" * 32, 2)}) == 4
