"""The listing: events that any tool brought or took away are found, by looking only at what changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.disk import disk
from tests.lab.inside import log_of, store_of
from tests.lab.states import event_files, settle_at_once, store_root
from tests.lab.stores import AT_ONCE
from tests.lab.talk import Clock, user
from tract_fs import Tract
from tract_fs.store import arrivals, listing
from tract_fs.store.arrivals import ArrivalsDamagedError
from tract_fs.store.layout import FANS
from tract_fs.store.listing import EventListing, KnownEvents
from tract_fs.store.origins import Origins


@pytest.fixture
def t(tmp_path: Path) -> Iterator[Tract]:
    with Tract.open(tmp_path, durability="fast", clock=Clock()) as made:
        for number in range(12):
            made.commit(user(f"text {number}"))
        yield made


def listing_of(t: Tract) -> EventListing:
    store = store_of(t)
    return EventListing("default", store.layout, store.packs, store.events)


def names_of(path: Path) -> list[str]:
    return [name[-65:].replace("/", "") for name in event_files(path)]


def known_of(names: list[str]) -> KnownEvents:
    known = KnownEvents()
    for name in names:
        known.add(name)
    return known


def test_what_is_there_and_not_known_is_new(t: Tract, tmp_path: Path) -> None:
    names = names_of(tmp_path)
    assert len(names) == 12
    assert listing_of(t).look(KnownEvents).new == set(names)
    seen = listing_of(t).look(lambda: known_of(names[:7]))
    assert (seen.new, seen.is_gone, seen.packs) == (set(names[7:]), False, set())
    assert set(seen.fans) == {name[:2] for name in names}


def test_a_directory_that_did_not_change_is_not_listed_again(
    t: Tract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle_at_once(monkeypatch)
    names = names_of(tmp_path)
    looked, known = listing_of(t), known_of(names)
    looked.settle(looked.look(lambda: known))
    assert looked.is_changed
    fans = {name[:2] for name in names}
    for changed in (set(), {names[3][:2]}):
        for fan in changed:
            (store_root(tmp_path) / "events/default" / fan / "stray").touch()
        listed: list[str] = []

        def note(call: str, _number: int, arguments: tuple[object, ...], listed: list[str] = listed) -> None:
            if call in ("listdir", "scandir", "opendir") and "/events/default/" in str(arguments[0]):
                listed.append(os.path.basename(str(arguments[0])))

        with disk(note):
            seen = looked.look(lambda: known)
        assert (seen.new, seen.is_gone) == (set(), False)
        assert set(listed) & (fans - changed) == set()
    assert looked.look(KnownEvents).new == {name for name in names if name[:2] == names[3][:2]}


def test_a_directory_that_changed_just_now_is_listed_again_and_its_names_are_compared(
    t: Tract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_SETTLED_NS", 10**18)
    looked, names = listing_of(t), names_of(tmp_path)
    known = known_of(names)
    looked.settle(looked.look(lambda: known))
    assert {inode for inode, _ in looked.fans.values()} == {0}
    seen = looked.look(lambda: pytest.fail("all names are as before"))
    assert (seen.new, seen.is_gone, seen.fans) == (set(), False, looked.fans)
    looked.settle(seen)
    assert not looked.look(lambda: known).is_gone
    file = store_root(tmp_path) / event_files(tmp_path)[4]
    data, name = file.read_bytes(), names[4]
    file.unlink()
    assert looked.look(lambda: known).is_gone
    file.with_name("0" * 62).write_bytes(data)
    assert looked.look(lambda: known).new == {name[:2] + "0" * 62}
    file.with_name("0" * 62).unlink()
    file.write_bytes(data)
    assert (looked.look(lambda: known).new, looked.look(lambda: known).is_gone) == (set(), False)


def test_an_event_that_is_known_since_a_directory_was_listed_is_missed_there(
    t: Tract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_SETTLED_NS", 10**18)
    names = names_of(tmp_path)
    name = names[0][:2] + "0" * 62  # its file came and went again since
    known = known_of(names)
    for is_noted_after_the_look in (False, True):
        looked = listing_of(t)
        seen = looked.look(lambda: known)
        if is_noted_after_the_look:
            looked.note(name)
        looked.settle(seen)
        if not is_noted_after_the_look:
            looked.note(name)
        assert looked.look(lambda: known_of([*names, name])).is_gone
    looked = listing_of(t)
    seen = looked.look(lambda: known)
    looked.settle(looked.look(lambda: known_of([*names, name])))  # amid the first look, as a rebuild does
    looked.settle(seen)
    assert looked.look(lambda: known_of([*names, name])).is_gone
    looked, other = listing_of(t), listing_of(t)
    other.settle(other.look(lambda: known))
    looked.share(other)
    assert looked.look(lambda: known_of([*names, name])).is_gone


def test_known_events_that_went_are_noticed(t: Tract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle_at_once(monkeypatch)
    names = names_of(tmp_path)
    looked, known = listing_of(t), known_of(names)
    looked.settle(looked.look(lambda: known))
    file = store_root(tmp_path) / event_files(tmp_path)[4]
    file.unlink()
    assert looked.look(lambda: known).is_gone
    if not os.listdir(file.parent):
        file.parent.rmdir()
        assert looked.look(lambda: known).is_gone
        assert looked.is_all_gone(known)


def test_a_directory_that_is_noted_is_missed_when_it_goes(t: Tract, tmp_path: Path) -> None:
    looked, used = listing_of(t), {name[:2] for name in names_of(tmp_path)}
    fan = next(fan for fan in sorted(FANS) if fan not in used)
    name = fan + "0" * 62
    assert not looked.look(lambda: known_of([*names_of(tmp_path), name])).is_gone  # no such directory was ever seen
    looked.note(name)
    assert looked.fans == {fan: (0, 0)}
    assert looked.look(lambda: known_of([*names_of(tmp_path), name])).is_gone


def test_events_of_packs_are_looked_at_once_each(t: Tract, tmp_path: Path) -> None:
    names = names_of(tmp_path)
    t.pack(keep_loose=AT_ONCE)
    looked = listing_of(t)
    seen = looked.look(KnownEvents)
    (pack,) = seen.packs
    assert seen.new == set(names)
    looked.settle(seen)
    assert looked.look(KnownEvents).new == set()
    looked.forget()
    assert looked.look(KnownEvents).new == set(names)
    looked.settle(looked.look(KnownEvents))
    (store_root(tmp_path) / "packs" / pack).unlink()
    assert looked.look(lambda: known_of(names)).is_gone


def test_the_stores_directory_has_an_inode_until_it_goes(t: Tract, tmp_path: Path) -> None:
    looked = listing_of(t)
    assert looked.root_inode() == store_root(tmp_path).stat().st_ino
    store_root(tmp_path).rename(tmp_path / "elsewhere")
    assert looked.root_inode() == 0
    (tmp_path / "elsewhere").rename(store_root(tmp_path))


# known events: some have rows, some were added


def origins_of(t: Tract, count: int) -> Origins:
    log, store = log_of(t), store_of(t)
    made = Origins("default", log._arrivals, store.index, events=store.events, objects=store.objects, rebuild=list)
    made.reset(count, log_of(t)._arrivals.chain_at(count) or b"", again_count=0, usage_count=0)
    return made


def recorded(t: Tract) -> list[str]:
    found = arrivals.iter_sound(log_of(t)._arrivals)
    return [record.event.hex() for record in found if record.kind in arrivals.EVENT_KINDS]


@pytest.mark.parametrize("count", [0, 1, 6, 12])
def test_events_with_rows_and_those_added_are_one_set(t: Tract, count: int) -> None:
    names = recorded(t)
    assert len(names) == 12
    known = KnownEvents(origins_of(t, count), count)
    assert sorted(known) == sorted(names[:count])
    assert [name in known for name in names] == [True] * count + [False] * (12 - count)
    for name in names[count:]:
        known.add(name)
        known.add(name)
    assert sorted(known) == sorted(names)
    assert all(name in known for name in names)
    assert known.fans() == {name[:2] for name in names}
    for fan in ("00", *known.fans()):
        assert known.in_fan(fan) == {name for name in names if name[:2] == fan}
    assert "0" * 64 not in known


@pytest.mark.parametrize("look", ["contains", "fan", "fans", "all"])
def test_where_rows_can_not_be_had_all_are_read_once(t: Tract, monkeypatch: pytest.MonkeyPatch, look: str) -> None:
    names, reads = recorded(t), list[int]()

    def fails(*_: object, **__: object) -> None:
        raise ArrivalsDamagedError

    def read_all() -> set[str]:
        reads.append(1)
        return set(names)

    monkeypatch.setattr(Origins, "has_event", fails)
    monkeypatch.setattr(Origins, "events_in_fan", fails)
    known = KnownEvents(origins_of(t, 12), 12, read_all)
    looks = {
        "contains": lambda: all(name in known for name in names) and "0" * 64 not in known,
        "fan": lambda: known.in_fan(names[0][:2]) == {name for name in names if name[:2] == names[0][:2]},
        "fans": lambda: known.fans() == {name[:2] for name in names},
        "all": lambda: sorted(known) == sorted(names),
    }
    assert looks[look]()
    assert all(one() for one in looks.values())
    assert reads == [1]
