"""Origins: records in memory and rows of the index give one answer, wherever the border between them lies and whatever is damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.inside import log_of, store_of
from tests.lab.states import own_place
from tests.lab.talk import Clock, user
from tract_fs import Tract
from tract_fs.store import arrivals, origins
from tract_fs.store.arrivals import BRING_KINDS, EVENT_KINDS, RECORD_BYTES, USAGE, Record
from tract_fs.store.origins import Origins


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origins, "_ROWS_AT_ONCE", 16)
    monkeypatch.setattr(origins, "_MOST_KEPT", 8)


@pytest.fixture
def t(tmp_path: Path) -> Iterator[Tract]:
    with Tract.open(tmp_path, durability="fast", clock=Clock()) as made:
        for number in range(30):
            made.commit(user(f"text {number}"), generation_config={"n": number})
            if number == 7:
                made.record_usage({"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11})
        with made.batch():
            for number in range(10):
                made.commit(user(f"batch {number}"))
        yield made


def records_of(t: Tract) -> list[Record]:
    return list(arrivals.iter_sound(log_of(t)._arrivals))


def split(t: Tract, first: int, rebuild: Callable[[], None] | None = None) -> Origins:
    """Returns origins whose first records are rows, and the others in memory."""
    log, store = log_of(t), store_of(t)

    def fails() -> None:
        raise AssertionError("everything was found again")

    made = Origins(
        "default", log._arrivals, store.index, events=store.events, objects=store.objects, rebuild=rebuild or fails
    )
    usage = sum(record.kind == USAGE for record in records_of(t)[:first])
    made.reset(first, log._arrivals.chain_at(first) or b"", again_count=0, usage_count=usage)
    for record in records_of(t)[first:]:
        made.add(record)
    return made


def brought_in(t: Tract) -> dict[str, bytes]:
    return {record.commit.hex(): record.event for record in records_of(t) if record.kind in BRING_KINDS}


@pytest.mark.parametrize("first", [0, 1, 15, 16, 17, 33, 42])
def test_every_commit_is_found_wherever_memory_begins(t: Tract, first: int) -> None:
    found = split(t, first)
    expected = brought_in(t)
    assert len(expected) == 40
    assert found.first == first
    assert {name: found.events_of(name) for name in expected} == {name: (event,) for name, event in expected.items()}
    assert [name.hex() for name in found.all_commits()] == list(expected)
    assert all(found.is_brought(bytes.fromhex(name)) for name in expected)
    assert not any(found.is_brought(bytes([number]) * 32) for number in range(256))
    names = list(expected)
    assert [bytes(found.brought(name).config) for name in names[:30]] == [b'{"n":%d}' % n for n in range(30)]  # type: ignore[union-attr]
    assert found.brought("0" * 64) is None
    assert found.commits_with_prefix(names[3][:12]) == {bytes.fromhex(names[3])}
    assert found.commits_with_prefix(names[3]) == {bytes.fromhex(names[3])}
    of_two = {bytes.fromhex(name) for name in names if name.startswith(names[3][:2])}
    assert found.commits_with_prefix(names[3][:2]) == of_two
    assert [name for _, name, _ in found.iter_brought()] == names


@pytest.mark.parametrize("first", [0, 5, 9, 20, 42])
def test_the_usage_of_a_commit_is_found_wherever_memory_begins(t: Tract, first: int) -> None:
    found = split(t, first)
    names = list(brought_in(t))
    usage = found.usage(names[7])
    assert usage is not None
    assert [found.usage(name) for name in names if name != names[7]] == [None] * 39


def test_an_event_is_known_among_the_first_records_only(t: Tract) -> None:
    found = split(t, 42)
    events = [(number, record.event) for number, record in enumerate(records_of(t)) if record.kind in EVENT_KINDS]
    for number, event in events:
        assert found.has_event(event, before=number + 1)
        assert not found.has_event(event, before=number)
        assert event.hex() in found.events_in_fan(event[0], before=42)


def test_rows_are_written_in_steps_up_to_a_count(t: Tract, tmp_path: Path) -> None:
    found = split(t, 42)
    found.extend_rows(20)
    connection = sqlite3.connect(own_place(tmp_path) / "index.db")
    chain = log_of(t)._arrivals.chain_at(20) or b""
    assert connection.execute("select records, chain from tracts").fetchall() == [(20, chain.hex())]
    assert connection.execute("select count(*) from records").fetchall() == [(20,)]
    found.extend_rows(42)
    rows = connection.execute("select kind, event from records order by id").fetchall()
    assert rows == [(record.kind.decode(), record.event) for record in records_of(t)[:42]]
    assert connection.execute("select records from tracts").fetchall() == [(42,)]
    connection.close()


def test_rows_of_the_last_records_follow_those_there_are_and_no_others(t: Tract, tmp_path: Path) -> None:
    found, records, log = split(t, 42), records_of(t)[:42], log_of(t)
    chains = {count: (log._arrivals.chain_at(count) or b"").hex() for count in (20, 42)}
    assert not found.append_rows(records[20:], (42, chains[42]))
    assert found.append_rows(records[:20], (20, chains[20]))
    assert not found.append_rows(records[21:], (42, chains[42]))
    assert not found.append_rows(records[19:], (42, chains[42]))
    assert found.rows.stamp() == (20, chains[20])
    assert found.append_rows(records[20:], (42, chains[42]))
    assert found.rows.stamp() == (42, chains[42])
    expected = brought_in(t)
    assert {name: found.events_of(name) for name in expected} == {name: (event,) for name, event in expected.items()}
    connection = sqlite3.connect(own_place(tmp_path) / "index.db")
    assert connection.execute("select kind, event from records order by id").fetchall() == [
        (record.kind.decode(), record.event) for record in records
    ]
    connection.close()


def test_rows_that_go_beyond_what_a_handle_knows_are_left_alone(t: Tract) -> None:
    found = split(t, 42)
    found.extend_rows(42)
    with pytest.raises(origins.IndexUnwritableError):
        found.extend_rows(20)
    early = split(t, 20)
    name, event = next(iter(brought_in(t).items()))
    assert early.events_of(name) == (event,)
    assert early.rows.stamp()[0] == 42


def test_rows_of_other_arrivals_are_replaced(t: Tract) -> None:
    found = split(t, 42)
    foreign = [record._replace(event=b"\7" * 32) for record in records_of(t)[:5]]
    assert found.rows.save(foreign, (5, "0" * 32), is_fresh=True)
    expected = brought_in(t)
    assert {name: found.events_of(name) for name in expected} == {name: (event,) for name, event in expected.items()}
    assert found.rows.stamp()[0] == 10  # the newest 32 records are in memory


def test_a_damaged_index_is_filled_again_from_arrivals(t: Tract, tmp_path: Path) -> None:
    expected = brought_in(t)
    found = split(t, 42)
    found.extend_rows(42)
    for sql in (
        "delete from records",
        "update records set event = zeroblob(32)",
        "delete from sums",
        "drop table sums",
    ):
        connection = sqlite3.connect(own_place(tmp_path) / "index.db")
        connection.execute(sql)
        connection.commit()
        connection.close()
        again = split(t, 42)
        assert {name: again.events_of(name) for name in expected} == {name: (one,) for name, one in expected.items()}
        assert again.rows.stamp()[0] == 10


def test_where_arrivals_are_damaged_as_well_all_is_found_from_the_events(t: Tract, tmp_path: Path) -> None:
    store_of(t).index.discard()
    file = own_place(tmp_path) / "tracts/default/arrivals"
    data = file.read_bytes()
    file.write_bytes(data[: 3 * RECORD_BYTES] + b"\0" + data[3 * RECORD_BYTES + 1 :])
    rebuilt: list[int] = []

    def rebuild() -> None:
        rebuilt.append(1)
        file.write_bytes(data)

    found = split(t, 42, rebuild)
    name, event = next(iter(brought_in(t).items()))
    assert found.events_of(name) == (event,)
    assert rebuilt == [1]


def test_memory_is_long_only_where_it_has_many_records(t: Tract, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origins, "_MOST_KEPT", 10)
    total = len(records_of(t))
    assert not split(t, total - 10).is_long()
    assert split(t, total - 11).is_long()


def test_neighbours_of_a_row_are_found_without_a_look(t: Tract, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origins, "_NEWEST_RECORDS", 1)
    found = split(t, 42)
    found._window = 3
    names = list(brought_in(t))
    found.events_of(names[20])
    assert found._near == {}
    found._window = 3
    found.events_of(names[21])
    assert [name.hex() for name in found._near] == names[21:27]  # twice the window, since the walk goes on
    found._near.clear()
    found._window = 3
    found.events_of(names[19])
    assert names[15] in {name.hex() for name in found._near}
    found.rows.find = None  # type: ignore[assignment,method-assign]
    assert found.events_of(names[15]) == (brought_in(t)[names[15]],)
