"""The records of arrivals in the index: rows and sums as written, prefixes, and no row missing, altered or foreign unnoticed."""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path

import pytest

from tests.lab.states import bound_layout
from tract_fs.store.arrivals import BRINGS, BRINGS_AGAIN, GONE, NO_BRANCH, NO_HASH, PLAIN_APPEND, SEEN, USAGE, Record
from tract_fs.store.index.file import IndexDamagedError, IndexFile, key_of
from tract_fs.store.index.records import Row, TractRecords
from tract_fs.store.layout import Layout


def hash_of(first: int, last: int = 0) -> bytes:
    return bytes([first]) + bytes(30) + bytes([last])


E1, E2, E3, C1, C2 = hash_of(0x10), hash_of(0x20), hash_of(0x30), hash_of(0xA0), hash_of(0xB0)
RECORDS = [
    Record(PLAIN_APPEND, b"branch!", E1, C1, 1),
    Record(BRINGS, NO_BRANCH, E2, C2, 2),
    Record(BRINGS_AGAIN, NO_BRANCH, E2, C1, 3),
    Record(USAGE, NO_BRANCH, E2, C1, 4),
    Record(SEEN, NO_BRANCH, E2, NO_HASH, 5),
    Record(GONE, NO_BRANCH, E3, NO_HASH, 6),
]
ROWS = [
    Row(0, b"A", E1, C1),
    Row(1, b"C", E2, C2),
    Row(2, b"D", E2, C1),
    Row(3, b"U", E2, C1),
    Row(4, b"S", E2, NO_HASH),
    Row(5, b"G", E3, NO_HASH),
]
AFTER = (6, "6" * 32)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return bound_layout(tmp_path)


def opened(layout: Layout, tract: str = "main") -> TractRecords:
    return TractRecords(IndexFile(layout, read_only=False), tract)


def saved(layout: Layout) -> TractRecords:
    rows = opened(layout)
    assert rows.save(RECORDS, AFTER)
    return rows


def run(layout: Layout, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(layout.index)
    found = connection.execute(sql).fetchall()
    connection.commit()
    connection.close()
    return found


def crc(layout: Layout, row: Row) -> int:
    place = (1 << 40) + row.number
    return zlib.crc32(layout.seal + place.to_bytes(8, "big") + row.kind + row.event + row.commit)


def test_each_record_is_a_row(layout: Layout) -> None:
    saved(layout)
    first, e1, e2, c1, c2 = 1 << 40, key_of(E1), key_of(E2), key_of(C1), key_of(C2)
    sums = [crc(layout, row) for row in ROWS]
    assert run(layout, "select * from records order by id") == [
        (first, "A", E1, C1, e1, c1, sums[0]),
        (first + 1, "C", E2, C2, None, c2, sums[1]),
        (first + 2, "D", E2, C1, None, c1, sums[2]),
        (first + 3, "U", E2, C1, None, c1, sums[3]),
        (first + 4, "S", E2, None, e2, None, sums[4]),
        (first + 5, "G", E3, None, None, None, sums[5]),
    ]
    assert run(layout, "select id, name, records, chain from tracts") == [(1, "main", 6, "6" * 32)]


def test_sums_count_the_rows_of_each_bucket(layout: Layout) -> None:
    saved(layout)
    sums = [crc(layout, row) for row in ROWS]
    assert run(layout, "select * from sums order by family, bucket") == [
        ("commit", 0xA0, 3, sums[0] + sums[2] + sums[3]),
        ("commit", 0xB0, 1, sums[1]),
        ("event", 0x10, 1, sums[0]),
        ("event", 0x20, 1, sums[4]),
    ]


def test_another_handle_reads_what_was_saved(layout: Layout) -> None:
    saved(layout)
    rows = opened(layout)
    assert rows.stamp() == AFTER
    assert rows.between(0, 6) == ROWS
    assert rows.between(2, 4) == ROWS[2:4]
    assert rows.between(4, 99) == ROWS[4:]
    assert rows.between(6, 9) == []


def test_without_a_file_there_are_no_rows_and_none_is_made(layout: Layout) -> None:
    rows = opened(layout)
    assert (rows.load(), rows.stamp()) == (None, (0, ""))
    assert rows.find(C1, before=9) == rows.between(0, 0) == []
    assert not rows.has_event(E1, before=9)
    assert rows.events_in_fan(0, before=9) == set()
    assert rows.commits_brought_again(before=9, count=0) == set()
    rows.require_all_of(C1)
    assert not Path(layout.index).exists()


def test_a_commit_is_found_in_the_order_of_arrival_up_to_a_number(layout: Layout) -> None:
    rows = saved(layout)
    assert rows.find(C1, before=6) == [ROWS[0], ROWS[2], ROWS[3]]
    assert rows.find(C1, before=3) == [ROWS[0], ROWS[2]]
    assert rows.find(C1, before=2) == [ROWS[0]]
    assert rows.find(C1, before=0) == []
    assert rows.find(C2, before=1) == []
    assert rows.find(hash_of(0xA0, 9), before=6) == []  # of the same key
    assert rows.find(E1, before=6) == []


def test_events_and_commits_are_found_by_the_beginning_of_their_hashes(layout: Layout) -> None:
    rows = saved(layout)
    assert [rows.has_event(event, before=6) for event in (E1, E2, E3, C1, hash_of(0x10, 1))] == [True, True] + [
        False
    ] * 3
    assert [rows.has_event(E2, before=before) for before in (4, 5)] == [False, True]
    assert rows.events_in_fan(0x20, before=6) == {E2.hex()}
    assert rows.events_in_fan(0x20, before=4) == set()
    assert rows.events_in_fan(0x21, before=6) == set()
    assert rows.commits_between(b"\xa0" + bytes(7), b"\xa0" + b"\xff" * 7, before=6) == {C1}
    assert rows.commits_between(b"\xa0" + bytes(7), b"\xa0" + b"\xff" * 7, before=0) == set()


def test_a_commit_of_which_only_usage_is_recorded_is_not_brought(layout: Layout) -> None:
    rows = opened(layout)
    rows.save([RECORDS[3]], (1, "1" * 32))
    assert rows.find(C1, before=1) == [Row(0, b"U", E2, C1)]
    assert rows.commits_between(b"\xa0" + bytes(7), b"\xa0" + b"\xff" * 7, before=1) == set()


def test_commits_brought_again_are_those_of_their_records(layout: Layout) -> None:
    rows = saved(layout)
    assert rows.commits_brought_again(before=6, count=1) == {C1}
    assert rows.commits_brought_again(before=2, count=0) == set()
    with pytest.raises(IndexDamagedError):
        rows.commits_brought_again(before=6, count=2)


# prefixes


def test_later_records_follow_those_there_are(layout: Layout) -> None:
    rows = opened(layout)
    assert rows.save(RECORDS[:2], (2, "2" * 32))
    assert rows.save(RECORDS[2:], AFTER)
    again = opened(layout)
    assert (again.stamp(), again.between(0, 6)) == (AFTER, ROWS)
    assert again.save([], AFTER)
    assert opened(layout).stamp() == AFTER


def test_fresh_records_replace_all_of_the_tract_and_none_of_another(layout: Layout) -> None:
    other = opened(layout, "other")
    assert other.save(RECORDS[:2], (2, "2" * 32))
    rows = saved(layout)
    assert rows.save(RECORDS[4:5], (1, "1" * 32), is_fresh=True)
    assert (rows.stamp(), rows.between(0, 9)) == ((1, "1" * 32), [Row(0, b"S", E2, NO_HASH)])
    assert (other.stamp(), other.between(0, 9)) == ((2, "2" * 32), ROWS[:2])
    assert run(layout, "select family, bucket, rows from sums where rows != 0 order by family, bucket") == [
        ("commit", 0xA0, 1),
        ("commit", 0xB0, 1),
        ("event", 0x10, 1),
        ("event", 0x20, 1),
    ]
    assert run(layout, "select count(*) from sums where rows = 0 and total != 0") == [(0,)]


def test_tracts_do_not_see_each_others_rows(layout: Layout) -> None:
    saved(layout)
    other = opened(layout, "other")
    assert other.stamp() == (0, "")
    assert other.save(RECORDS[1:2], (1, "1" * 32))
    assert other.find(C1, before=9) == []
    assert other.find(C2, before=9) == [Row(0, b"C", E2, C2)]
    assert not other.has_event(E1, before=9)
    assert other.commits_brought_again(before=9, count=0) == set()


def test_a_handle_that_wrote_meanwhile_is_noticed_and_nothing_is_written_twice(layout: Layout) -> None:
    one, two = opened(layout), opened(layout)
    assert one.stamp() == two.stamp() == (0, "")
    assert one.save(RECORDS[:2], (2, "2" * 32))
    assert not two.save(RECORDS, AFTER)
    assert two.stamp() == (2, "2" * 32)
    assert two.save(RECORDS[2:], AFTER)
    assert not one.save(RECORDS[2:], AFTER)
    assert (one.stamp(), one.between(0, 6)) == (AFTER, ROWS)


def test_rows_that_another_handle_added_are_found(layout: Layout) -> None:
    one, two = opened(layout), opened(layout)
    one.save(RECORDS[:1], (1, "1" * 32))
    assert two.stamp() == (1, "1" * 32)
    assert two.find(C2, before=9) == []  # its bucket is whole now
    one.save(RECORDS[1:], AFTER)
    assert two.find(C2, before=9) == [ROWS[1]]
    assert not two.has_event(E3, before=9)


def test_a_discarded_index_leaves_every_handle_of_it_without_rows(layout: Layout) -> None:
    index = IndexFile(layout, read_only=False)
    rows, other = TractRecords(index, "main"), TractRecords(index, "other")
    rows.save(RECORDS, AFTER)
    other.save(RECORDS, AFTER)
    index.discard()
    assert rows.stamp() == other.stamp() == (0, "")
    assert rows.find(C1, before=6) == []
    assert rows.save(RECORDS, AFTER)
    assert (rows.between(0, 6), other.stamp()) == (ROWS, (0, ""))


def test_rows_in_memory_go_with_the_index(layout: Layout) -> None:
    saved(layout)
    index = IndexFile(layout, read_only=True)
    rows = TractRecords(index, "main")
    assert rows.stamp() == AFTER
    index.go_in_memory()
    assert rows.stamp() == (0, "")
    assert rows.save(RECORDS[:1], (1, "1" * 32))
    assert rows.between(0, 1) == ROWS[:1]
    index.close()
    assert rows.stamp() == (0, "")
    assert opened(layout).stamp() == AFTER


# damage


LOOKS = {
    "a commit": lambda rows: rows.find(C1, before=6),
    "an absent commit": lambda rows: rows.find(hash_of(0xA0, 9), before=6),
    "all of a commit": lambda rows: rows.require_all_of(C1),
    "a stretch": lambda rows: rows.between(0, 6),
    "brought again": lambda rows: rows.commits_brought_again(before=6, count=1),
    "an event": lambda rows: rows.has_event(E2, before=6),
    "an absent event": lambda rows: rows.has_event(hash_of(0x20, 9), before=6),
    "events of a bucket": lambda rows: rows.events_in_fan(0x20, before=6),
    "commits of a bucket": lambda rows: rows.commits_between(b"\xa0" + bytes(7), b"\xa0" + b"\xff" * 7, before=6),
}
LATER = (1 << 40) + 2  # the row that brings C1 again
EVENT = (1 << 40) + 4  # the row of E2


@pytest.mark.parametrize(
    ("sql", "noticed_by"),
    [
        (
            f"delete from records where id = {LATER}",
            {"an absent commit", "all of a commit", "a stretch", "brought again", "commits of a bucket"},
        ),
        (
            f"delete from records where id = {EVENT}",
            {"a stretch", "an event", "an absent event", "events of a bucket"},
        ),
        (f"update records set kind = 'C' where id = {LATER}", set(LOOKS) - {"an event", "an absent event", "events of a bucket"}),
        (f"update records set kind = 7 where id = {LATER}", set(LOOKS) - {"an event", "an absent event", "events of a bucket"}),
        (f"update records set event = zeroblob(32) where id = {EVENT}", {"a stretch", "an event", "an absent event", "events of a bucket"}),
        (f"update records set event = 'text' where id = {EVENT}", {"a stretch", "an event", "an absent event", "events of a bucket"}),
        (f"update records set crc = crc + 1 where id = {EVENT}", {"a stretch", "an event", "an absent event", "events of a bucket"}),
        (f"update records set event_key = event_key + 1 where id = {EVENT}", {"an event", "an absent event", "events of a bucket"}),
        (f"update records set commit_key = commit_key + 1 where id = {LATER}", {"an absent commit", "all of a commit", "commits of a bucket"}),
        ("update sums set total = total + 1", {"an absent commit", "all of a commit", "an event", "an absent event", "events of a bucket", "commits of a bucket"}),
        ("delete from sums", {"an absent commit", "all of a commit", "an event", "an absent event", "events of a bucket", "commits of a bucket"}),
        ("update tracts set records = 5", set(LOOKS)),
        ("update tracts set chain = 'x'", set(LOOKS)),
        ("update tracts set id = 2", set(LOOKS)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("look", LOOKS)
def test_a_changed_row_is_noticed_where_it_could_change_an_answer(
    layout: Layout, sql: str, noticed_by: set[str], look: str
) -> None:
    saved(layout)
    run(layout, sql)
    index = IndexFile(layout, read_only=False)
    rows = TractRecords(index, "main")
    if look in noticed_by:
        with pytest.raises(IndexDamagedError):
            LOOKS[look](rows)
        assert index.generation == 1
        assert not Path(layout.index).exists()
    else:
        expected = TractRecords(index.in_memory(), "main")
        expected.save(RECORDS, AFTER)
        found, right = LOOKS[look](rows), LOOKS[look](expected)
        if look == "a commit":  # that none of several is missing, `require_all_of` makes sure
            assert found and set(found) <= set(right)
        else:
            assert found == right
        assert index.generation == 0


def test_rows_of_another_place_are_not_used(layout: Layout) -> None:
    saved(layout)
    foreign = Layout(layout.context)
    foreign.use_place(Path(layout.local).name, b"\7" * 32)
    run(layout, f"update store set seal = '{foreign.seal.hex()}'")
    with pytest.raises(IndexDamagedError):
        opened(foreign).stamp()


def test_a_row_that_goes_after_its_bucket_was_compared_is_noticed(layout: Layout) -> None:
    """As when a tool puts an older file over the open one."""
    rows = opened(layout)
    rows.save(RECORDS[:1], (1, "1" * 32))
    older = Path(layout.index).read_bytes()
    rows.save(RECORDS[1:], AFTER)
    assert rows.find(hash_of(0xB0, 9), before=6) == []
    with open(layout.index, "r+b") as file:
        file.write(older)
        file.truncate()
    with pytest.raises(IndexDamagedError):
        rows.find(C2, before=6)
    assert rows.stamp() == (1, "1" * 32)
    assert rows.save(RECORDS[1:], AFTER)
    assert rows.between(0, 6) == ROWS
