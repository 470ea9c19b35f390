"""Generation configs in the index: rows as written, and no row missing, altered or of other arrivals unnoticed."""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.inside import log_of, store_of
from tests.lab.states import list_always, own_place, put, store_root, synced
from tests.lab.talk import START_US, Clock, user
from tract_fs import Tract
from tract_fs.store.arrivals import BRING_KINDS, Arrivals, iter_sound
from tract_fs.store.index import configs
from tract_fs.store.index.configs import ConfigIndex
from tract_fs.store.index.file import IndexFile


@pytest.fixture
def t(tmp_path: Path) -> Iterator[Tract]:
    with Tract.open(tmp_path, durability="fast", clock=Clock()) as made:
        for number in range(6):
            made.commit(user(f"text {number}"), generation_config={"n": number % 2} if number else None)
        yield made


def run(t: Tract, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(store_of(t).layout.index)
    found = connection.execute(sql).fetchall()
    connection.commit()
    connection.close()
    return found


def index_of(t: Tract) -> ConfigIndex:
    return ConfigIndex(store_of(t).index, log_of(t), store_of(t).events)


def names(t: Tract) -> list[str]:
    return [info.commit_hash for info in reversed(t.log(None))]


def hits(index: ConfigIndex, value: int) -> list[str]:
    return [name for _, name, _ in index.select(("n",), "=", value)]


def test_each_config_is_a_row_and_each_of_its_commits_another(t: Tract) -> None:
    found = index_of(t).select(("n",), "=", 1)
    all_names = names(t)
    assert [(name, config) for _, name, config in found] == [(all_names[n], b'{"n":1}') for n in (1, 3, 5)]
    assert [created for created, _, _ in found] == sorted(created for created, _, _ in found)
    assert all(created >= START_US for created, _, _ in found)
    rows = run(t, "select * from config_commits order by config, created")
    assert [(row[0], row[1], row[3].hex()) for row in rows] == [
        ("default", 0, all_names[1]),
        ("default", 0, all_names[3]),
        ("default", 0, all_names[5]),
        ("default", 1, all_names[2]),
        ("default", 1, all_names[4]),
    ]
    weights = [zlib.crc32(row[3]) + 3 * row[2] for row in rows]
    seal = store_of(t).layout.seal
    first = (0, b'{"n":1}', 3, sum(weights[:3]))
    second = (1, b'{"n":0}', 2, sum(weights[3:]))
    checksums = [
        zlib.crc32(b'%d;{"n":%d}%d;%d;' % (number, n, count, total), zlib.crc32(seal))
        for (number, _, count, total), n in ((first, 1), (second, 0))
    ]
    assert run(t, "select * from configs") == [
        ("default", *first, checksums[0]),
        ("default", *second, checksums[1]),
    ]
    assert run(t, "select * from config_stamps") == [("default", *log_of(t).stamp(), 2, sum(checksums))]


def test_a_commit_does_not_touch_the_rows_and_a_query_catches_up(t: Tract) -> None:
    index = index_of(t)
    assert len(hits(index, 1)) == 3
    before = run(t, "select * from config_stamps")
    new = t.commit(user("more"), generation_config={"n": 1}).commit_hash
    assert run(t, "select * from config_stamps") == before
    assert hits(index, 1)[-1] == new
    assert run(t, "select records from config_stamps") == [(log_of(t).stamp()[0],)]


def test_rows_are_added_in_steps(t: Tract, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configs, "_RECORDS_AT_ONCE", 2)
    assert hits(index_of(t), 0) == [names(t)[n] for n in (2, 4)]
    assert run(t, "select records from config_stamps") == [(log_of(t).stamp()[0],)]


def test_two_indexes_on_one_file_follow_each_other(t: Tract) -> None:
    one, two = index_of(t), ConfigIndex(
        IndexFile(store_of(t).layout, read_only=False), log_of(t), store_of(t).events
    )  # fmt: skip
    assert hits(one, 1) == hits(two, 1)
    for number in range(3):
        new = t.commit(user(f"more {number}"), generation_config={"n": 1, "number": number}).commit_hash
        assert hits((one, two)[number % 2], 1)[-1] == new
        assert hits((two, one)[number % 2], 1)[-1] == new
    assert run(t, "select count(*), count(distinct name) from config_commits") == [(8, 8)]


def test_a_reader_writes_nothing_and_adds_what_is_new_in_memory(t: Tract) -> None:
    assert len(hits(index_of(t), 1)) == 3
    new = t.commit(user("more"), generation_config={"n": 1}).commit_hash
    before = run(t, "select * from config_stamps")
    shared = IndexFile(store_of(t).layout, read_only=True)
    index = ConfigIndex(shared, log_of(t), store_of(t).events)
    assert hits(index, 1)[-1] == new
    assert run(t, "select * from config_stamps") == before
    assert not shared.is_in_memory()
    index.close()
    assert hits(index, 1)[-1] == new


@pytest.mark.parametrize("numbers", [(1, 2), (2, 1)])
def test_a_commit_that_is_brought_again_has_one_row_with_the_config_it_has_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, numbers: tuple[int, int]
) -> None:
    """Of two events that bring a commit the least (`at`, hash) counts, which may be the later to arrive."""
    list_always(monkeypatch)
    made = []
    for number in numbers:
        with Tract.open(tmp_path / str(number), durability="fast", clock=Clock()) as t:
            made.append(t.commit(user("the same"), generation_config={"n": number}).commit_hash)
            events = {
                name: json.loads(data)["event"]["at"]
                for name, data in synced(tmp_path / str(number)).items()
                if name.startswith("events/")
            }
            made.append(min((at, name[-65:].replace("/", "")) for name, at in events.items()))
    (first, of_first, second, of_second) = made
    assert first == second
    with Tract.open(tmp_path / str(numbers[0]), durability="fast", clock=Clock()) as t:
        index = index_of(t)
        assert hits(index, numbers[0]) == [first]
        for name, data in synced(tmp_path / str(numbers[1])).items():
            put(store_root(tmp_path / str(numbers[0])) / name, data)
        t.refresh()
        least = numbers[0] if of_first < of_second else numbers[1]
        other = sum(numbers) - least
        assert (hits(index, least), hits(index, other)) == ([first], [])
        assert run(t, "select name, created from config_commits") == [(bytes.fromhex(first), START_US + 1_000_000)]
        assert run(t, "select sum(commits) from configs") == [(1,)]


CHANGES = [
    "delete from config_commits where config = 0 and created = (select min(created) from config_commits)",
    "update config_commits set created = created + 1",
    "update config_commits set name = zeroblob(32) where created = (select min(created) from config_commits)",
    "update config_commits set name = 'x'",
    "update config_commits set created = 'x'",
    "update config_commits set config = 1 where created = (select min(created) from config_commits)",
    "update config_commits set tract = 'other'",
    "delete from configs where number = 0",
    "delete from configs where number = 1",
    "delete from configs",
    "update configs set number = 2 where number = 0",
    "update configs set config = '{\"n\":0}' where number = 0",
    "update configs set config = 'no json' where number = 0",
    "update configs set commits = 2 where number = 0",
    "update configs set total = total + 1 where number = 0",
    "update configs set crc = crc + 1 where number = 0",
    "update config_stamps set configs = 1",
    "update config_stamps set total = total + 1",
    "update config_stamps set chain = 'x'",
    "update config_stamps set records = 'x'",
    "update config_stamps set records = 1 << 40",
    "update config_stamps set records = -1",
    "update config_stamps set records = 0",
    "delete from config_stamps",
]


@pytest.mark.parametrize("is_open", [False, True], ids=["a fresh handle", "an open one"])
@pytest.mark.parametrize("sql", CHANGES)
def test_a_changed_row_changes_no_answer(t: Tract, sql: str, is_open: bool) -> None:
    index = index_of(t)
    expected = hits(index, 1), hits(index, 0)
    assert [len(found) for found in expected] == [3, 2]
    run(t, sql)
    if not is_open:
        index = index_of(t)
    assert (hits(index, 1), hits(index, 0)) == expected


def test_rows_of_a_past_that_this_copy_never_had_are_removed(t: Tract) -> None:
    index = index_of(t)
    expected = hits(index, 1)
    run(t, f"update config_stamps set chain = '{'0' * 32}'")
    assert hits(index_of(t), 1) == expected
    assert run(t, "select records, chain from config_stamps") == [log_of(t).stamp()]
    assert run(t, "select count(*) from config_commits") == [(5,)]


def test_the_records_of_commits_are_those_that_the_rows_stand_for(t: Tract, tmp_path: Path) -> None:
    hits(index_of(t), 1)
    path = own_place(tmp_path) / "tracts/default/arrivals"
    found = iter_sound(Arrivals(str(path), store_of(t).layout.seal[:16]))
    times = {record.commit: record.time_us for record in found if record.kind in BRING_KINDS}
    rows = run(t, "select name, created from config_commits")
    assert {name: times[name] for name, _ in rows} == dict(rows)
    assert len(times) == 6


def test_a_forked_child_answers(t: Tract) -> None:
    index = index_of(t)
    expected = hits(index, 1)
    child = os.fork()
    if child == 0:
        os._exit(0 if hits(index, 1) == expected else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert hits(index, 1) == expected
