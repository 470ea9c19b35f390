"""The members of packs in the index: rows and sums as written, neighbours, and no row missing or altered unnoticed."""

from __future__ import annotations

import sqlite3
import zlib
from hashlib import sha256
from pathlib import Path

import pytest

from tests.lab.states import bound_layout
from tract_fs.store.index import members as index_members
from tract_fs.store.index.file import IndexDamagedError, IndexFile, key_of
from tract_fs.store.index.members import MemberIndex, PackMembers, Place
from tract_fs.store.layout import Layout

A, B = "a" * 64, "b" * 64
M1, M2, M3 = (bytes([first]) + bytes(31) for first in (0x10, 0x20, 0x21))
ONE = PackMembers(A, [(M1, 0, 40), (M2, 41, 50)], {"main": [M2]})
TWO = PackMembers(B, [(M3, 0, 60), (M1, 61, 40)], {"main": [M3, M1], "": [M1]})


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return bound_layout(tmp_path)


def opened(layout: Layout) -> MemberIndex:
    return MemberIndex(IndexFile(layout, read_only=False))


def filled(layout: Layout) -> MemberIndex:
    members = opened(layout)
    members.add(ONE, present={A, B})
    members.add(TWO, present={A, B})
    return members


def run(layout: Layout, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(layout.index)
    found = connection.execute(sql).fetchall()
    connection.commit()
    connection.close()
    return found


def crc(layout: Layout, place: int, size: int, name: bytes) -> int:
    return zlib.crc32(layout.seal + place.to_bytes(8, "big") + size.to_bytes(4, "big") + name)


def test_each_member_is_a_row(layout: Layout) -> None:
    filled(layout)
    first, second = 1 << 32, 2 << 32
    assert run(layout, "select * from members order by place") == [
        (first, M1, 40, key_of(M1)),
        (first + 41, M2, 50, key_of(M2)),
        (second, M3, 60, key_of(M3)),
        (second + 61, M1, 40, key_of(M1)),
    ]
    assert run(layout, "select id, name, members, tracts from packs") == [
        (1, bytes.fromhex(A), 2, 1),
        (2, bytes.fromhex(B), 2, 2),
    ]
    assert run(layout, "select pack, tract, events, names from pack_events") == [
        (1, "main", 1, M2),
        (2, "", 1, M1),
        (2, "main", 2, M1 + M3),
    ]
    assert run(layout, "select * from sums") == [
        ("member", 0x10, 2, crc(layout, first, 40, M1) + crc(layout, second + 61, 40, M1)),
        ("member", 0x20, 1, crc(layout, first + 41, 50, M2)),
        ("member", 0x21, 1, crc(layout, second, 60, M3)),
    ]


def test_another_handle_reads_what_was_added(layout: Layout) -> None:
    filled(layout)
    members = opened(layout)
    assert set(members.packs()) == {A, B}
    assert sorted(members.places(M1)) == [Place(A, 0, 40), Place(B, 61, 40)]
    assert list(members.places(M3)) == [Place(B, 0, 60)]
    assert list(members.places(bytes(32))) == []
    assert members.listed([M1, M2, bytes(32)], {A}) == {M1, M2}
    assert members.listed([M1, M2, bytes(32)], {B, "c" * 64}) == {M1}
    assert (members.events(A, None), members.events(B, "main")) == ([M2], [M1, M1, M3])
    assert (members.events(A, "other"), members.events("c" * 64, None)) == ([], [])
    assert (members.tracts({A}), members.tracts({A, B}), members.tracts(set())) == ({"main"}, {"main", ""}, set())
    assert members.members(A) == ONE
    assert members.members("c" * 64) is None
    members.require_absent(bytes(32))


def test_without_a_file_there_are_no_rows_and_none_is_made(layout: Layout) -> None:
    members = opened(layout)
    assert (list(members.packs()), list(members.places(M1)), members.listed([M1], {A})) == ([], [], set())
    assert (members.events(A, None), members.members(A)) == ([], None)
    members.require_absent(M1)
    assert not Path(layout.index).exists()


def test_many_hashes_are_looked_up_in_steps(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_members, "_AT_ONCE", 7)
    names = [sha256(b"%d" % number).digest() for number in range(100)]
    members = opened(layout)
    members.add(PackMembers(A, [(name, 50 * at, 40) for at, name in enumerate(names)], {}), present={A})
    absent = [sha256(b"x%d" % number).digest() for number in range(100)]
    assert members.listed([*names[::2], *absent], {A}) == set(names[::2])


def test_a_pack_that_another_handle_added_is_not_added_twice(layout: Layout) -> None:
    one, two = opened(layout), opened(layout)
    assert list(two.packs()) == []
    one.add(ONE, present={A})
    two.add(ONE, present={A})
    assert run(layout, "select count(*) from members") == [(2,)]
    two.require_absent(bytes([0x10]) + b"\1" * 31)
    assert list(two.places(M2)) == [Place(A, 41, 50)]


def test_rows_of_packs_that_went_are_removed_once_they_are_half(layout: Layout) -> None:
    members = opened(layout)
    members.add(ONE, present={A})
    members.add(PackMembers("c" * 64, [(M3, 0, 60)], {}), present={A, "c" * 64})
    members.add(TWO, present={A, B})  # c has 1 of 3
    assert set(members.packs()) == {A, B, "c" * 64}
    members.add(PackMembers("d" * 64, [], {}), present={"d" * 64})  # all have gone
    assert list(members.packs()) == ["d" * 64]
    assert run(layout, "select count(*) from members union all select count(*) from pack_events") == [(0,), (0,)]
    assert run(layout, "select * from sums where rows != 0 or total != 0") == []
    assert list(members.places(M1)) == []
    members.require_absent(M1)


def test_rows_that_went_in_another_handle_are_noticed_by_a_look_for_what_is_absent(layout: Layout) -> None:
    one, two = filled(layout), opened(layout)
    assert set(two.packs()) == {A, B}
    for first in range(256):
        two.require_absent(bytes([first]) + b"\1" * 31)
    one.add(PackMembers("d" * 64, [], {}), present={"d" * 64})
    with pytest.raises(IndexDamagedError):
        two.require_absent(M1)
    assert list(two.packs()) == ["d" * 64]
    assert Path(layout.index).exists()
    two.require_absent(M1)


def test_a_look_takes_as_many_steps_among_few_as_among_many(tmp_path: Path) -> None:
    """Counted in instructions of SQLite's machine."""
    steps = []
    for count in (100, 10_000, 50_000):
        members = opened(bound_layout(tmp_path / str(count)))
        names = [sha256(b"%d" % number).digest() for number in range(count)]
        rows = [(name, 70_000 * at % (1 << 32), 40) for at, name in enumerate(names)]
        members.add(PackMembers(A, rows, {}), present={A})
        taken: list[int] = []
        members._index.connection().set_progress_handler(lambda taken=taken: taken.append(1), 1)  # type: ignore[misc]
        for name in names[:100]:
            assert len(members.places(name)) == 1
        steps.append(len(taken))
    assert max(steps) < 1.2 * min(steps)


@pytest.mark.parametrize(
    "sql",
    [
        "delete from members where place = 1 << 32",
        "update members set size = 41 where place = 1 << 32",
        "update members set size = -1 where place = 1 << 32",
        "update members set size = 'x' where place = 1 << 32",
        "update members set name = zeroblob(32) where place = 1 << 32",
        "update members set name = zeroblob(31) where place = 1 << 32",
        "update members set place = place + 1 where place = 1 << 32",
        "update members set key = key + 1 where place = 1 << 32",
        "update members set key = key + (1 << 57) where place = 1 << 32",
        "insert into members select place + 1, name, size, key from members where place = 1 << 32",
        "update sums set rows = rows + 1",
        "update sums set total = total - 1",
        "delete from sums",
        "update packs set crc = crc + 1",
        "update packs set name = zeroblob(32) where id = 1",
        "update packs set members = 9",
    ],
)
def test_what_is_absent_is_not_believed_where_a_row_was_changed(layout: Layout, sql: str) -> None:
    filled(layout)
    run(layout, sql)
    members = opened(layout)
    with pytest.raises(IndexDamagedError):
        members.require_absent(bytes([0x10]) + b"\1" * 31)
    assert not Path(layout.index).exists()
    assert list(members.packs()) == []


@pytest.mark.parametrize(
    "sql",
    [
        "delete from pack_events where pack = 2 and tract = ''",
        "update pack_events set tract = 'other' where pack = 2",
        "update pack_events set names = zeroblob(32) where pack = 2",
        "update pack_events set names = 'x' where pack = 2",
        "update pack_events set events = 1 where pack = 2",
        "update pack_events set crc = 0 where pack = 2",
    ],
)
def test_changed_events_of_a_pack_are_noticed(layout: Layout, sql: str) -> None:
    filled(layout)
    if "other" in sql:
        run(layout, "delete from pack_events where pack = 2 and tract = ''")
    run(layout, sql)
    with pytest.raises(IndexDamagedError):
        opened(layout).events(B, None)
