"""The saved view: bytes that are not whole, of another place, or of no possible view are not used."""

from __future__ import annotations

import json
import os
import sqlite3
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.lab.inside import log_of, store_of
from tests.lab.states import answers, bound_layout, own_place
from tests.lab.talk import Clock, user
from tract_fs import Tract
from tract_fs.model.view import View
from tract_fs.store import listing, tract_log
from tract_fs.store.layout import Layout
from tract_fs.store.saved_view import SavedView, decode, encode, read
from tract_fs.store.tract_log import TractLog

SAVED = SavedView(
    count=3,
    chain="0123456789abcdef" * 2,
    usage_count=2,
    again_count=1,
    is_durable=True,
    gone=["a" * 64],
    view=View("default"),
    fans={"0f": (7, 8)},
    packs=["b" * 64],
    root=9,
)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return bound_layout(tmp_path)


def sealed(layout: Layout, value: Any) -> bytes:
    body = json.dumps(value).encode()
    return sha256(layout.seal + body).hexdigest().encode() + b"\n" + body


def test_what_is_decoded_is_what_was_encoded(layout: Layout) -> None:
    found = decode(layout, encode(layout, SAVED))
    assert found is not None
    assert encode(layout, found) == encode(layout, SAVED)
    assert (found.count, found.chain, found.again_count, found.is_durable) == (3, "0123456789abcdef" * 2, 1, True)
    assert (found.gone, found.fans, found.packs, found.root) == (["a" * 64], {"0f": (7, 8)}, ["b" * 64], 9)
    assert found.view.tract == "default"


def test_the_bytes_are_a_sealed_checksum_and_json(layout: Layout) -> None:
    checksum, body = encode(layout, SAVED).split(b"\n")
    assert checksum == sha256(layout.seal + body).hexdigest().encode()
    assert json.loads(body)["fans"] == {"0f": [7, 8]}


def test_bytes_changed_or_cut_anywhere_are_not_used(layout: Layout) -> None:
    data = encode(layout, SAVED)
    for at in range(len(data)):
        assert decode(layout, data[:at]) is None, at
        assert decode(layout, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]) is None, at
    assert decode(layout, data + b" ") is None


def test_a_view_of_another_place_is_not_used(layout: Layout, tmp_path: Path) -> None:
    assert decode(bound_layout(tmp_path / "other"), encode(layout, SAVED)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"count": -1},
        {"count": 1 << 48},
        {"again_count": -1},
        {"usage_count": -1},
        {"chain": "0" * 31},
        {"chain": "x" * 32},
        {"gone": ["../" + "a" * 61]},
        {"packs": ["b" * 63]},
        {"fans": {"..": [7, 8]}},
        {"fans": {"0g": [7, 8]}},
        {"root": "9"},
        {"accepted": {"a" * 64: "a whim"}},
        {"accepted": {"c" * 64: "git took it away"}},
        {"undecided": ["a"]},
        {"overruled": {"a" * 64: ".."}},
        {"more": 1},
        {"view": {"tract": 5}},
        {"view": {"tract": "default", "lines": {"main": {"bends": []}}}},
        {"view": {"tract": "default", "lines": {"main": {"bends": [["", "x"]]}}}},
        {"view": {"tract": "default", "lines": {"main": {"inlets": [["yesterday", None]]}}}},
        {"view": {"tract": "default", "lines": {"main": {"forked_at": "later"}}}},
    ],
    ids=repr,
)
def test_values_that_no_handle_writes_are_not_used(layout: Layout, change: dict[str, Any]) -> None:
    body = json.loads(encode(layout, SAVED)[65:])
    assert decode(layout, sealed(layout, body)) is not None
    assert decode(layout, sealed(layout, {**body, **change})) is None
    assert decode(layout, sealed(layout, [body])) is None


def test_a_view_is_saved_with_the_rows_that_it_covers(tmp_path: Path) -> None:
    with Tract.open(tmp_path, durability="fast", clock=Clock()) as t:
        for number in range(33):
            t.commit(user(f"text {number}"))
        t.record_usage({"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11})
        (count, chain), view = log_of(t).stamp(), log_of(t).view
    saved = read(bound_layout(tmp_path), "default")
    assert saved is not None
    assert (saved.count, saved.chain, saved.usage_count, saved.again_count) == (count, chain, 1, 0)
    assert saved.view == view
    connection = sqlite3.connect(own_place(tmp_path) / "index.db")
    assert connection.execute("select name, records, chain from tracts").fetchall() == [("default", count, chain)]
    connection.close()


def test_few_records_have_no_rows_and_need_none(tmp_path: Path) -> None:
    with Tract.open(tmp_path, durability="fast", clock=Clock()) as t:
        names = [t.commit(user(f"text {number}")).commit_hash for number in range(32)]
    assert not os.path.exists(own_place(tmp_path) / "index.db")
    with Tract.open(tmp_path, read_only=True) as t:
        assert [info.commit_hash for info in t.log(None)] == names[::-1]
        assert t.get_commit(names[0][:12]).commit_hash == names[0]
    assert not os.path.exists(own_place(tmp_path) / "index.db")


def test_the_first_transaction_of_a_tract_saves_the_view(tmp_path: Path) -> None:
    """Or what a killed writer recorded would not count as known, and would not be missed."""
    with Tract.open(tmp_path, durability="fast", clock=Clock()) as t:
        assert read(bound_layout(tmp_path), "default") is None
        t.commit(user("text"))
        saved = read(bound_layout(tmp_path), "default")
        assert saved is not None
        assert saved.count == 1


def test_the_events_that_a_new_tract_received_are_saved_at_once(tmp_path: Path) -> None:
    with Tract.open(tmp_path / "a", durability="fast") as a, Tract.open(tmp_path / "b", durability="fast") as b:
        a.commit(user("text"))
        assert read(bound_layout(tmp_path / "b"), "default") is None
        a.sync(tmp_path / "b")
        b.refresh()
        saved = read(bound_layout(tmp_path / "b"), "default")
        assert saved is not None
        assert saved.count == 1


def test_of_two_writers_at_once_each_saves_the_view_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tract_log, "_SAVE_EVERY_EVENTS", 4)
    with Tract.open(tmp_path, durability="fast") as one, Tract.open(tmp_path, durability="fast") as other:
        counts = []
        for number in range(12):
            (one, other)[number % 2].commit(user(f"text {number}"))
            saved = read(bound_layout(tmp_path), "default")
            counts.append(0 if saved is None else saved.count)
    assert counts == [1, 2, 2, 2, 2, 2, 2, 2, 9, 10, 10, 10]


def test_a_view_outlives_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the next handle would have to find everything from the events."""
    monkeypatch.setattr(listing, "_SETTLED_NS", 10**18)  # what is saved of the directories depends on no time
    with Tract.open(tmp_path, durability="fast", clock=Clock()) as t:
        for number in range(3):
            t.commit(user(f"text {number}"))
        expected = answers(t)
    before = read(bound_layout(tmp_path), "default")
    assert before is not None
    with Tract.open(tmp_path, durability="fast", clock=Clock()) as t:
        store_of(t).index.discard()
        assert not (own_place(tmp_path) / "index.db").exists()
        assert answers(t) == expected
    assert read(bound_layout(tmp_path), "default") == before

    def rebuild(*_: object, **__: object) -> None:
        raise AssertionError("everything was found again")

    monkeypatch.setattr(TractLog, "rebuild", rebuild)
    with Tract.open(tmp_path, durability="fast", clock=Clock()) as t:
        assert answers(t) == expected


def test_a_reader_saves_nothing(tmp_path: Path) -> None:
    with Tract.open(tmp_path, durability="fast", clock=Clock()) as t:
        t.commit(user("text"))
        expected = answers(t)
    index, view = own_place(tmp_path) / "index.db", own_place(tmp_path) / "tracts/default/view"
    index.unlink()
    view.unlink()
    with Tract.open(tmp_path, read_only=True) as t:
        assert answers(t) == expected
    assert not index.exists() and not view.exists()
    assert decode(bound_layout(tmp_path), b"") is None
