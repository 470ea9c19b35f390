"""Pack tables: one look finds a member among many packs, and no table, however damaged, stale or foreign, hides one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tract_fs.store.pack_table import PackRows, PackTable

from tests.lab.disk import disk, os_error
from tests.lab.states import bound_layout, own_place, put, remove_local, store_root
from tract_fs import Tract
from tract_fs.store import files, pack_table, packs
from tract_fs.store.packs import Packs


def line(text: str) -> bytes:
    return b'{"content":{"content_type":"reasoning","text":"%s"}}' % text.encode()


def event(tract: str, number: int) -> bytes:
    at = f"2026-01-02T03:04:05.{number:06}Z"
    return f'{{"event":{{"at":"{at}","ops":[],"parents":[],"tract":"{tract}","writer":""}}}}'.encode()


def name_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_pack(path: Path, members: list[bytes]) -> Path:
    data = b"".join(member + b"\n" for member in members)
    file = store_root(path) / "packs" / name_of(data)
    put(file, data)
    return file


def read_surely(packs: Packs, name: str) -> bytes | None:
    data = packs.read(name)
    while data is None and packs.renew(name):
        data = packs.read(name)
    return data


def opened(path: Path, *, read_only: bool = False) -> Packs:
    packs = Packs(bound_layout(path), read_only=read_only)
    packs.refresh()
    return packs


def tables(path: Path) -> list[Path]:
    return sorted((own_place(path) / "packs").glob("*"))


@pytest.fixture
def members(tmp_path: Path) -> Iterator[list[bytes]]:
    """Three packs in `tmp_path`, with objects, and events of two tracts; returns all members."""
    found = []
    for pack in range(3):
        inside = [line(f"{pack} {number}") for number in range(40)]
        inside += [event("a", 10 * pack + number) for number in range(3)] + [event("b", pack)]
        write_pack(tmp_path, inside)
        found += inside
    yield found


def test_every_member_is_found_and_no_other(tmp_path: Path, members: list[bytes]) -> None:
    packs = opened(tmp_path)
    assert [packs.read(name_of(member)) for member in members] == members
    assert [packs.has(name_of(member)) for member in members] == [True] * len(members)
    absent = [name_of(b"%d" % number) for number in range(2000)]
    assert [name for name in absent if packs.has(name) or packs.read(name) or packs.renew(name)] == []
    assert packs.tracts() == {"a", "b"}
    of_b = sorted(name for pack in packs.names for name in packs.event_names(pack, "b"))
    assert of_b == sorted(name_of(event("b", number)) for number in range(3))
    assert sorted(len(packs.event_names(pack)) for pack in packs.names) == [4, 4, 4]


def test_one_table_serves_all_packs_and_a_fresh_handle_reads_no_pack_for_it(
    tmp_path: Path, members: list[bytes]
) -> None:
    assert opened(tmp_path).has(name_of(members[0]))
    assert len(tables(tmp_path)) == 1
    with disk() as counted:
        packs = opened(tmp_path, read_only=True)
        assert packs.has(name_of(members[-1]))
        opens = counted.calls.count("open")
    assert opens == 2  # the marker of the place, and the table


def test_new_packs_join_the_table_and_packs_that_went_leave_it(tmp_path: Path, members: list[bytes]) -> None:
    packs = opened(tmp_path)
    assert packs.has(name_of(members[0]))
    for number in range(20):
        added = write_pack(tmp_path, [line(f"more {number}")])
        assert packs.refresh()
        assert packs.read(name_of(line(f"more {number}"))) == line(f"more {number}")
    assert len(tables(tmp_path)) <= 6  # few, since small ones are merged
    added.unlink()
    assert packs.refresh()
    assert packs.read(name_of(line("more 19"))) is None
    assert not packs.has(name_of(line("more 19")))
    assert [packs.read(name_of(member)) for member in members] == members


def test_a_directory_that_changes_again_within_a_tick_is_listed_again(
    tmp_path: Path, members: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its ctime has the grain of the kernel's clock: two changes may leave the same."""
    from tract_fs.store import files

    first = files.signature(str(store_root(tmp_path) / "packs"))
    monkeypatch.setattr(files, "signature", lambda path: first)
    packs = opened(tmp_path)
    write_pack(tmp_path, [line("late")])
    assert packs.refresh()
    assert packs.read(name_of(line("late"))) == line("late")


@pytest.mark.parametrize("read_only", [False, True], ids=["writer", "reader"])
def test_a_table_altered_at_any_place_hides_no_member(tmp_path: Path, members: list[bytes], read_only: bool) -> None:
    opened(tmp_path).has(name_of(members[0]))
    (table,) = tables(tmp_path)
    good = table.read_bytes()
    for place in range(0, len(good), 61):
        put(table, good[:place] + bytes([good[place] ^ (1 << place % 8)]) + good[place + 1 :])
        packs = opened(tmp_path, read_only=read_only)
        assert [read_surely(packs, name_of(member)) for member in members] == members, place
        names = {name for pack in packs.names for name in packs.event_names(pack)}
        assert names == {name_of(member) for member in members if member.startswith(b'{"event"')}, place
        assert not packs.renew("0" * 64)
        packs.close()


@pytest.mark.parametrize("cut", [0, 11, 47, 48, 200, -1])
def test_a_table_cut_short_is_made_again(tmp_path: Path, members: list[bytes], cut: int) -> None:
    opened(tmp_path).has(name_of(members[0]))
    (table,) = tables(tmp_path)
    good = table.read_bytes()
    put(table, good[:cut])
    packs = opened(tmp_path)
    assert [packs.read(name_of(member)) for member in members] == members
    assert table.read_bytes() == good


def test_the_table_of_another_store_hides_nothing(tmp_path: Path, members: list[bytes]) -> None:
    other = tmp_path / "other"
    write_pack(other, [line("other")])
    opened(other).has("0" * 64)
    put(own_place(tmp_path) / "packs" / tables(other)[0].name, tables(other)[0].read_bytes())
    packs = opened(tmp_path)
    assert [packs.read(name_of(member)) for member in members] == members
    assert packs.read(name_of(line("other"))) is None


def test_without_a_place_for_tables_all_is_found(tmp_path: Path, members: list[bytes]) -> None:
    put(store_root(tmp_path) / "local", b"no directory")
    packs = opened(tmp_path)
    assert [packs.read(name_of(member)) for member in members] == members


def test_tables_that_can_not_be_opened_are_done_without(tmp_path: Path, members: list[bytes]) -> None:
    opened(tmp_path).has("0" * 64)

    def fails(call: str, _number: int, arguments: tuple[object, ...]) -> OSError | None:
        is_table = call in ("open", "listdir") and "local" in str(arguments[0])
        return os_error(13, str(arguments[0])) if is_table else None

    with disk(fails):
        packs = opened(tmp_path)
        assert [packs.read(name_of(member)) for member in members] == members


def test_a_pack_that_is_not_what_its_table_says_gives_what_it_holds(tmp_path: Path, members: list[bytes]) -> None:
    """Line ends rewritten after the table was made: each member lies elsewhere."""
    opened(tmp_path).has("0" * 64)
    file = next((store_root(tmp_path) / "packs").iterdir())
    put(file, file.read_bytes().replace(b"\n", b"\r\n"))
    packs = opened(tmp_path, read_only=True)
    assert [read_surely(packs, name_of(member)) for member in members] == members


def test_the_files_of_an_earlier_form_are_removed_by_a_writer(tmp_path: Path, members: list[bytes]) -> None:
    old = own_place(tmp_path) / "packs" / ("1" * 64)
    put(old, b"\0" * 32 + b"\1" * 45)
    assert opened(tmp_path).has(name_of(members[0]))
    assert len(tables(tmp_path)) == 1 and not old.exists()


def test_a_table_says_of_a_pack_what_it_was_told(tmp_path: Path) -> None:
    rows = PackRows("1" * 64, [], {})
    for number in range(300):
        digest = hashlib.sha256(b"%d" % number).digest()
        rows.add(digest, number, number + 1)
        if number % 3 == 0:
            rows.add_event(digest, "t")
    table = PackTable.parse(pack_table.encode([rows, PackRows("2" * 64, [], {})]))
    assert table is not None and table.is_whole()
    assert table.packs == ["1" * 64, "2" * 64]
    assert list(table.places(hashlib.sha256(b"7").digest())) == [("1" * 64, 7, 8)]
    assert table.says(rows)
    assert sorted(table.rows_of({"1" * 64})[0].rows) == sorted(rows.rows)
    assert len(table.events("1" * 64, "t") or []) == 100
    assert table.events("1" * 64, "other") == []
    rows.add(b"\0" * 32, 0, 1)
    assert not table.says(rows)


def test_a_look_costs_the_same_among_few_and_many_packs(tmp_path: Path) -> None:
    """Counted in bytes compared: the names between two entries of the fan-out."""
    spans = []
    for count in (100, 10_000, 100_000):
        rows = PackRows("1" * 64, [], {})
        for number in range(count):
            rows.add(hashlib.sha256(b"%d" % number).digest(), 0, 1)
        table = PackTable.parse(pack_table.encode([rows]))
        assert table is not None
        digests = [hashlib.sha256(b"%d" % number).digest() for number in range(100)]
        spans.append(sum(stop - start for _, start, stop in map(table._bucket, digests)) / 100 / 32)
    assert max(spans) < 20


def test_the_tables_are_no_part_of_what_is_synced(tmp_path: Path, members: list[bytes]) -> None:
    opened(tmp_path).has("0" * 64)
    assert [os.path.relpath(table, store_root(tmp_path)).split("/")[0] for table in tables(tmp_path)] == ["local"]
    remove_local(tmp_path)
    packs = opened(tmp_path)
    assert [packs.read(name_of(member)) for member in members] == members


def test_a_member_at_hand_is_given_once_and_those_that_come_first_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "_AT_HAND_BYTES", 500)
    at_hand = packs.AtHand()
    at_hand.add([(b"a", b"1" * 100)])
    at_hand.add([(b"b", b"2" * 200), (b"c", b"3")])
    at_hand.add([(b"d", b"4")])
    assert at_hand.take(b"a") == b"1" * 100
    assert at_hand.take(b"a") is None
    assert at_hand.take(b"c") == b"3"
    assert at_hand.take(b"d") is None
    at_hand.clear()
    assert at_hand.take(b"b") is None


def test_a_pack_with_lines_longer_than_a_block_is_read_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_CHUNK", 16)
    data = b"a" * 40 + b"\n" + b"b\n\nc\r\n" + b"d" * 16 + b"\n" + b"e" * 20
    put(tmp_path / "lines", data)
    blocks = list(files.iter_line_blocks(str(tmp_path / "lines"), limit_bytes=1000))
    assert b"".join(blocks) == data
    assert all(block.endswith(b"\n") for block in blocks[:-1])
    assert list(files.iter_lines(str(tmp_path / "lines"), limit_bytes=1000)) == [
        b"a" * 40 + b"\n", b"b\n", b"\n", b"c\r\n", b"d" * 16 + b"\n", b"e" * 20
    ]  # fmt: skip
    assert list(files.iter_lines(str(tmp_path / "lines"), limit_bytes=30)) == [b"a" * 30]
    rows, name = packs.scan(str(tmp_path / "lines"), "")
    assert rows is not None and name == hashlib.sha256(data).hexdigest()
    assert [(offset, size) for _, offset, size in rows.iter_members()] == [
        (0, 40),
        (47, 16),
        (64, 20),
    ]  # shorter lines hold nothing


def test_a_pack_that_a_handle_wrote_is_not_read_through_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scan(*_: object) -> None:
        raise AssertionError("a pack was read through")

    with monkeypatch.context() as patched, Tract.open(tmp_path, durability="fast") as t:
        patched.setattr(packs, "scan", scan)
        t.import_stream([{"role": "user", "content": f"message {number}"} for number in range(200)])
        with t.batch():
            made = [t.commit({"content_type": "output", "text": f"text {number}"}) for number in range(100)]
        assert t.get_content(made[0].commit_hash).text == "text 0"
        report = t.import_stream([{"role": "user", "content": "message 7"}] * 100)
        assert report.commit_count == 100
    with Tract.open(tmp_path, durability="fast") as t:
        assert len(t.log(None)) == 400
    members = [line for file in (store_root(tmp_path) / "packs").iterdir() for line in file.read_bytes().splitlines()]
    assert sum(b'"message 7"' in line for line in members) == 1


@pytest.mark.parametrize("size_bytes", [0, 100, 9000])
def test_a_mapped_table_that_is_cut_in_place_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size_bytes: int
) -> None:
    monkeypatch.setattr(files, "_MAPPED_BYTES", 0)
    members = [line(str(number)) for number in range(2000)]
    write_pack(tmp_path, members)
    opened(tmp_path)
    reading = opened(tmp_path)
    assert reading.read(name_of(members[7])) == members[7]
    (table,) = tables(tmp_path)
    os.truncate(table, size_bytes)
    assert all(read_surely(reading, name_of(member)) == member for member in members)
    assert read_surely(reading, "0" * 64) is None
