"""Folding: events in causal order within bounds of memory, and the records of arrivals that stand for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.inside import log_of, store_of
from tests.lab.states import list_always
from tests.lab.talk import Clock, user
from tract_fs import Tract
from tract_fs.model.events import Event
from tract_fs.model.names import EventHash, parse_time
from tract_fs.store import folding
from tract_fs.store.arrivals import BRINGS, BRINGS_AGAIN, NO_BRANCH, NO_HASH, OWN, SEEN, SEEN_BRINGS, USAGE, Record
from tract_fs.store.folding import iter_in_causal_order, records_of


@pytest.fixture
def t(tmp_path: Path) -> Iterator[Tract]:
    with Tract.open(tmp_path, durability="fast", clock=Clock()) as made:
        for number in range(4):
            made.commit(user(f"text {number}"))
        with made.batch():
            made.commit(user("of a batch"))
            made.commit(user("of a batch as well"))
        yield made


def events_of(t: Tract) -> dict[EventHash, Event]:
    found = {EventHash(name): store_of(t).events.require("default", EventHash(name)) for name in log_of(t).known()}
    return dict(sorted(found.items(), key=lambda item: (item[1].at, item[0])))


@pytest.mark.parametrize("held", [0, 1, 3, 1 << 16])
def test_events_come_by_time_whatever_is_held(t: Tract, monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr(folding, "_HELD_COMMITS", held)
    events = events_of(t)
    assert len(events) == 5
    assert list(iter_in_causal_order(sorted(events), events.get)) == list(events.items())
    seen: set[str] = set()
    for name, event in iter_in_causal_order(sorted(events, reverse=True), events.get):
        assert set(event.parents) <= seen
        seen.add(name)


def test_few_events_are_held_and_the_others_are_read_twice(t: Tract, monkeypatch: pytest.MonkeyPatch) -> None:
    events, read = events_of(t), list[str]()

    def get(name: EventHash) -> Event | None:
        read.append(name)
        return events.get(name)

    for held, reads in ((1 << 16, 5), (0, 10), (3, 8)):  # an event counts 1, and 1 for each commit
        monkeypatch.setattr(folding, "_HELD_COMMITS", held)
        read.clear()
        assert len(list(iter_in_causal_order(events, get))) == 5
        assert len(read) == reads


def test_events_of_one_time_come_by_their_hashes(t: Tract) -> None:
    event = next(iter(events_of(t).values()))
    names = [EventHash(digit * 64) for digit in "c0fa7"]
    found = iter_in_causal_order(names, dict.fromkeys(names, event).get)
    assert [name[0] for name, _ in found] == ["0", "7", "a", "c", "f"]


def test_events_that_can_not_be_read_are_left_out(t: Tract, monkeypatch: pytest.MonkeyPatch) -> None:
    events = events_of(t)
    gone = list(events)[1]
    left = {name: event for name, event in events.items() if name != gone}
    assert list(iter_in_causal_order(events, left.get)) == list(left.items())
    monkeypatch.setattr(folding, "_HELD_COMMITS", 0)
    calls: dict[str, int] = {}

    def goes_meanwhile(name: EventHash) -> Event | None:
        calls[name] = calls.get(name, 0) + 1
        return None if name == gone and calls[name] == 2 else events[name]

    assert list(iter_in_causal_order(events, goes_meanwhile)) == list(left.items())


def test_an_event_is_a_record_for_each_commit_and_usage_the_last_one_its_own(t: Tract) -> None:
    name, event = list(events_of(t).items())[-1]
    first, second = (bytes.fromhex(entry.commit) for entry in event.iter_commits())
    objects = store_of(t).objects
    times = [parse_time(objects.require_commit(entry.commit).created_at) for entry in event.iter_commits()]
    whole = bytes.fromhex(name)
    assert records_of(name, event, SEEN, objects, lambda commit: False) == [
        Record(BRINGS, NO_BRANCH, whole, first, times[0]),
        Record(SEEN_BRINGS, NO_BRANCH, whole, second, times[1]),
    ]
    assert records_of(name, event, OWN, objects, lambda commit: False) == [
        Record(BRINGS, NO_BRANCH, whole, first, times[0]),
        Record(BRINGS, NO_BRANCH, whole, second, times[1]),
        Record(OWN, NO_BRANCH, whole, NO_HASH, parse_time(event.at)),
    ]
    kinds = [record.kind for record in records_of(name, event, SEEN, objects, lambda commit: commit == second)]
    assert kinds == [BRINGS, BRINGS_AGAIN, SEEN]


def test_usage_is_a_record_of_its_own(t: Tract, monkeypatch: pytest.MonkeyPatch) -> None:
    list_always(monkeypatch)
    head: Any = t.head
    t.record_usage({"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11})
    name, event = list(events_of(t).items())[-1]
    assert records_of(name, event, SEEN, store_of(t).objects, lambda commit: False) == [
        Record(USAGE, NO_BRANCH, bytes.fromhex(name), bytes.fromhex(head), parse_time(event.at)),
        Record(SEEN, NO_BRANCH, bytes.fromhex(name), NO_HASH, parse_time(event.at)),
    ]
