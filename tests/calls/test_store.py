"""A store's own calls: its tracts listed, found, named, opened, deleted, and the sums of their usage."""

from __future__ import annotations

import os
import pickle
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct, msgpack
from msgspec.json import Decoder

from tests.lab.copies import bring_files, sync_files
from tests.lab.inside import guard_of, log_of, session_of, store_of
from tests.lab.processes import run_child
from tests.lab.states import bound_layout, event_files, own_place, settle_at_once, store_root
from tests.lab.stores import AT_ONCE
from tests.lab.talk import START_US, Clock, say, texts, user
from tract_fs import Store, TokenUsage, Tract, TractInfo
from tract_fs.errors import (
    ArgumentError,
    BranchNotFound,
    ClosedError,
    ContentValidationError,
    JsonValueError,
    ReadOnlyError,
    StoreNotFound,
    TractDeleted,
    TractNotFound,
    UnrelatedHistories,
)
from tract_fs.model import events
from tract_fs.model.events import Append, Create, Delete, Event, Forward, Merge, Redact, Reset, Tag, Usage
from tract_fs.store.store import Store as StoreFiles
from tract_fs.store.tract_log import TractLog


def open_store(path: Path, **options: Any) -> Store:
    return Store.open(path, **{"durability": "fast", "clock": Clock(), "lock_timeout_s": 2.0, **options})


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with open_store(path) as opened:
        yield opened


def ids(store: Store) -> list[str]:
    return [info.tract_id for info in store.tracts()]


def fresh(path: Path) -> list[TractInfo]:
    """Returns the list of a process that has no caches."""
    copy = path.with_name(f"{path.name}.fresh")
    shutil.copytree(path, copy)
    shutil.rmtree(store_root(copy) / "local")
    try:
        with open_store(copy, read_only=True) as opened:
            return opened.tracts()
    finally:
        shutil.rmtree(copy)


@pytest.fixture
def opened_logs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Returns the tracts whose logs a list reads."""
    found: list[str] = []
    read = StoreFiles.passing_log
    monkeypatch.setattr(StoreFiles, "passing_log", lambda self, tract: found.append(tract) or read(self, tract))
    return found


# titles and metadata


def test_a_tract_has_the_title_and_metadata_that_were_described_last(path: Path) -> None:
    with Tract.open(path, clock=Clock()) as t:
        assert (t.title, t.metadata) == (None, {})
        t.describe(title="First", metadata={"user": "ann", "n": [1, {"x": None}]})
        say(t, "one")
        t.describe(title="Second")
        assert (t.title, t.metadata) == ("Second", {"user": "ann", "n": [1, {"x": None}]})
        t.describe(metadata={})
    for verify in (False, True):
        with Tract.open(path, verify=verify) as t:
            assert (t.title, t.metadata, texts(t)) == ("Second", {}, ["one"])
            assert t.status().pending == ()
    with Tract.open(path) as t:
        t.describe(title="")
        assert t.title is None


def test_the_metadata_that_a_caller_changes_stays_as_it_was_described(t: Tract) -> None:
    given: dict[str, Any] = {"a": [1]}
    t.describe(metadata=given)
    given["a"].append(2)
    t.metadata["a"].append(3)
    assert t.metadata == {"a": [1]}


def test_a_description_that_changes_nothing_writes_nothing(t: Tract, tmp_path: Path) -> None:
    t.describe(title="A", metadata={"b": 1, "a": 2})
    before = event_files(tmp_path / "a")
    t.describe(title="A")
    t.describe(metadata={"a": 2, "b": 1})
    assert event_files(tmp_path / "a") == before


def test_a_batch_describes_with_its_commits_or_not_at_all(t: Tract, tmp_path: Path) -> None:
    t.describe(title="before", metadata={"n": 1})
    with pytest.raises(KeyError), t.batch():
        t.describe(title="inside", metadata={"n": 2})
        assert (t.title, t.metadata) == ("inside", {"n": 2})
        raise KeyError
    assert (t.title, t.metadata) == ("before", {"n": 1})
    before = len(event_files(tmp_path / "a"))
    with t.batch():
        say(t, "one")
        t.describe(title="after")
    assert (t.title, texts(t), len(event_files(tmp_path / "a"))) == ("after", ["one"], before + 1)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({}, ArgumentError),
        ({"title": 1}, ArgumentError),
        ({"title": "\ud800"}, JsonValueError),
        ({"metadata": []}, ArgumentError),
        ({"metadata": {"a": {1}}}, JsonValueError),
    ],
)
def test_what_is_no_title_or_metadata_is_refused(t: Tract, given: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        t.describe(**given)
    assert (t.title, t.metadata) == (None, {})


def test_a_handle_at_a_commit_reads_the_title_and_writes_none(t: Tract) -> None:
    (one,) = say(t, "one")
    t.describe(title="A")
    with t.at(one) as pinned:
        assert pinned.title == "A"
        with pytest.raises(ReadOnlyError):
            pinned.describe(title="B")


# the list


def test_a_store_lists_its_tracts(store: Store) -> None:
    assert store.tracts() == []
    with store.tract("b") as b, store.tract("a", branch="dev") as a:
        b.describe(title="B", metadata={"n": 1})
        (head,) = say(a, "one")
        a.branch("side")
        first, second = store.tracts()
        at = datetime.fromtimestamp(START_US / 1_000_000, UTC)
        assert (first.tract_id, first.title, first.metadata, first.head) == ("a", None, {}, head)
        assert (first.commit_count, first.updated_at > at) == (1, True)
        assert (second.tract_id, second.title, second.metadata, second.head) == ("b", "B", {"n": 1}, None)
        assert second.commit_count == 0
        one, _ = say(b, "one", "two")
        b.annotate(one, "skip")
        b.branch("other", at=one)
        b.switch("other")
        say(b, "three")
        b.tag("t")
        found = store.tracts()[1]
        assert (found.head, found.commit_count) == (b.branches()["main"][0], 4)
        assert pickle.loads(pickle.dumps(found)) == found
        assert found.to_dict() == {
            "tract_id": "b",
            "title": "B",
            "metadata": {"n": 1},
            "head": found.head,
            "commit_count": 4,
            "updated_at": f"{found.updated_at:%Y-%m-%dT%H:%M:%S.%fZ}",
        }


def test_other_handles_and_processes_show_at_once(store: Store, path: Path) -> None:
    assert ids(store) == []
    with Tract.open(path, tract_id="x", durability="fast") as x:
        for number in range(3):
            say(x, f"{number}")
            assert [(info.tract_id, info.commit_count) for info in store.tracts()] == [("x", number + 1)]
    assert run_child(lambda _: make(path, "y", "one", "two")) == (0, [])
    assert [(info.tract_id, info.commit_count) for info in store.tracts()] == [("x", 3), ("y", 2)]


def make(path: Path, tract: str, *said: str) -> None:
    with Tract.open(path, tract_id=tract, durability="fast") as t:
        say(t, *said)


def test_what_a_copying_tool_brings_or_removes_shows_after_a_refresh(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    make(here, "a", "one")
    bring_files(here, there)
    with open_store(there) as store:
        assert [info.commit_count for info in store.tracts()] == [1]
        make(here, "a", "two", "three")
        make(here, "b", "one")
        bring_files(here, there)
        store.refresh()
        assert [(info.tract_id, info.commit_count) for info in store.tracts()] == [("a", 3), ("b", 1)]
        shutil.rmtree(store_root(there) / "events" / "b")
        store.refresh()
        assert ids(store) == ["a"]


def test_objects_that_come_after_their_event_show_after_it(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    make(here, "a", "one")
    bring_files(here, there)
    shutil.rmtree(store_root(there) / "objects")
    with open_store(there) as store:
        assert ids(store) == []
        bring_files(here, there)
        store.refresh()
        assert [(info.tract_id, info.commit_count) for info in store.tracts()] == [("a", 1)]


def test_a_list_reads_only_the_logs_of_tracts_that_changed(
    path: Path, monkeypatch: pytest.MonkeyPatch, opened_logs: list[str]
) -> None:
    settle_at_once(monkeypatch)
    for name in "abc":
        make(path, name, "one")
    with open_store(path) as store:
        first = store.tracts()
        assert sorted(opened_logs) == ["a", "b", "c"]
        opened_logs.clear()
        store.refresh()
        assert (store.tracts(), opened_logs) == (first, [])
        with store.tract("b") as b:
            say(b, "two")
        assert [info.commit_count for info in store.tracts()] == [1, 2, 1]
        assert opened_logs == ["b"]
        store.refresh()
        store.tracts()  # its directory changed too
    opened_logs.clear()
    with open_store(path) as store:
        assert ([info.commit_count for info in store.tracts()], opened_logs) == ([1, 2, 1], [])


def test_a_pack_changes_no_list(path: Path, monkeypatch: pytest.MonkeyPatch, opened_logs: list[str]) -> None:
    settle_at_once(monkeypatch)
    for name in "ab":
        make(path, name, "one", "two")
    with open_store(path) as store:
        before = store.tracts()
        with store.tract("a") as a:
            a.pack(keep_loose=AT_ONCE)
            store.refresh()
            assert store.tracts() == before
            opened_logs.clear()
            with a.batch():
                say(a, *(f"{number}" for number in range(40)))  # a pack of objects alone
        assert [info.commit_count for info in store.tracts()] == [42, 2]
        assert opened_logs == ["a"]
    shutil.rmtree(store_root(path) / "events")
    with open_store(path) as store:
        assert [info.commit_count for info in store.tracts()] == [2, 2]


@pytest.mark.parametrize("how", ["missing", "cut", "altered", "other boot", "of another place", "a directory"])
def test_a_list_does_not_depend_on_its_cache(path: Path, how: str) -> None:
    for name in "ab":
        make(path, name, "one")
    with open_store(path) as store:
        before = store.tracts()
    file = own_place(path) / "summaries"
    data = file.read_bytes()
    file.unlink()
    layout = bound_layout(path)
    body = data[65:].replace(b"\xa1a", b"\xa1c")
    sealed = layout.sealed(body) + b"\n" + body
    _, *rest = msgpack.decode(data[65:])
    other = msgpack.encode(["another", *rest])
    if how == "a directory":
        file.mkdir()
    elif how != "missing":
        wrong = {"cut": data[:-20], "altered": data[:65] + body, "of another place": sealed[:60] + b"0000\n" + body}
        file.write_bytes({**wrong, "other boot": layout.sealed(other) + b"\n" + other}[how])
    with open_store(path) as store:
        assert store.tracts() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [(0, "../a"), (2, "../" + "a" * 61), (3, -1), (4, 10**18), (5, "["), (5, ""), (5, "{}\n{}"), (10, [["..", 1, 1]])],
)
def test_a_cache_with_values_that_no_handle_writes_is_made_again(path: Path, field: int, value: object) -> None:
    make(path, "a", "one")
    with open_store(path) as store:
        before = store.tracts()
    file, layout = own_place(path) / "summaries", bound_layout(path)
    saved = msgpack.decode(file.read_bytes()[65:])
    ((*fields,),) = saved[2]
    assert fields[:4] == ["a", None, before[0].head, 1]
    fields[field] = value
    body = msgpack.encode([*saved[:2], [fields]])
    file.write_bytes(layout.sealed(body) + b"\n" + body)
    with open_store(path) as store:
        assert store.tracts() == before
        assert store.tracts()[0].metadata == {}


def test_a_list_is_right_after_local_was_removed_or_the_store_was_copied(path: Path, tmp_path: Path) -> None:
    with open_store(path) as store:
        with store.tract("a") as a:
            say(a, "one")
        before = store.tracts()
        shutil.rmtree(store_root(path) / "local")
        assert store.tracts() == before
        shutil.copytree(path, tmp_path / "copy")
        with store.tract("a") as a:
            say(a, "two")
    with open_store(tmp_path / "copy") as copied:
        assert copied.tracts() == before


def test_a_read_only_list_writes_nothing(path: Path) -> None:
    make(path, "a", "one")
    names = sorted(str(file) for file in path.rglob("*"))
    with open_store(path, read_only=True) as store:
        assert ids(store) == ["a"]
        with pytest.raises(ReadOnlyError):
            store.delete("a")
        with store.tract(name="New name") as t, pytest.raises(ReadOnlyError):
            say(t, "x")
    assert sorted(str(file) for file in path.rglob("*")) == names


# finding


def test_tracts_are_found_by_a_part_of_their_metadata(store: Store) -> None:
    for name, metadata in {"a": {"user": "ann", "n": 1, "deep": {"x": [1]}}, "b": {"user": "ann", "n": True}}.items():
        store.tract(name).describe(metadata=metadata)
    say(store.tract("c"), "one")

    def found(**wanted: Any) -> list[str]:
        return [info.tract_id for info in store.find(wanted)]

    assert found(user="ann") == ["a", "b"]
    assert found(n=1.0) == ["a"]
    assert found(n=True) == ["b"]
    assert found(deep={"x": [1]}, user="ann") == ["a"]
    assert found(deep={}) == ["a"]
    assert found(deep={"y": 1}) == []
    assert found(missing=None) == []
    assert found() == ["a", "b", "c"]
    with pytest.raises(ArgumentError):
        store.find(None)  # type: ignore[arg-type]
    with pytest.raises(JsonValueError):
        found(n={1})


# names


def test_any_name_names_a_tract(store: Store) -> None:
    named = store.tract(name="Session 12: Größe")
    assert (named.tract_id, named.title) == ("session-12-gr-e-7113b4f147b4541c", "Session 12: Größe")
    plain = store.tract(name="chat-1")
    assert (plain.tract_id, plain.title) == ("chat-1", None)
    assert store.tract(name="Chat-1").tract_id == "chat-1-da9c39ed5d5942e0"
    assert store.tract(name="con").tract_id.startswith("con-")
    assert store.tract(name="..").tract_id.startswith("tract-")
    assert len(store.tract(name="x" * 500).tract_id) <= 64
    again = store.tract(name="Session 12: Größe")
    say(again, "one")
    assert texts(named) == ["one"]
    again.describe(title="Other")
    assert store.tract(name="Session 12: Größe").title == "Other"
    for wrong in ("", "\ud800", 5):
        with pytest.raises(ArgumentError):
            store.tract(name=wrong)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError):
        store.tract("a", name="b")
    with pytest.raises(ArgumentError):
        store.tract()
    with pytest.raises(ArgumentError):
        store.tract("Session 12")


def test_without_create_a_tract_must_be_there(store: Store, path: Path) -> None:
    with pytest.raises(TractNotFound):
        store.tract("a", create=False)
    assert ids(store) == []
    say(store.tract("a"), "one")
    assert texts(store.tract("a", create=False)) == ["one"]
    with pytest.raises(StoreNotFound):
        Store.open(path / "none", create=False)


# deleting


def test_a_deleted_tract_is_hidden_and_takes_no_commit(store: Store, path: Path) -> None:
    with store.tract("a") as a, store.tract("b") as b:
        (one, _) = say(a, "one", "two")
        a.branch("side")
        a.tag("t")
        a.describe(title="A", metadata={"n": 1})
        say(b, "one")
        assert store.delete("a") is True
        assert ids(store) == ["b"]
        assert store.find({"n": 1}) == []
        assert (a.head, a.branches(), a.tags(), a.title, a.metadata) == (None, {}, {}, None, {})
        before = event_files(path)
        for write in (
            lambda: a.commit(user("lost?")),
            lambda: a.describe(title="lost?"),
            lambda: a.annotate(one, "skip"),
            lambda: a.cherry_pick(one),
        ):
            with pytest.raises(TractDeleted, match="tract 'a' was deleted"):
                write()
        with Tract.open(path, tract_id="a", branch="other") as other, pytest.raises(BranchNotFound):
            say(other, "lost?")
        with pytest.raises(TractNotFound):
            store.tract("a", create=False)
        assert store.delete("a") is False
        assert store.delete("never") is False
        assert event_files(path) == before
        assert a.get_commit(one) is not None
    assert [info.tract_id for info in fresh(path)] == ["b"]


def test_a_deleted_tract_begins_again_without_what_was_in_it(store: Store, path: Path) -> None:
    with store.tract("a") as a:
        say(a, "old")
        a.describe(title="A")
        a.tag("t")
    store.delete("a")
    with store.tract("a") as again, store.tract("a") as late:
        assert (texts(again), again.title, again.tags(), ids(store)) == ([], None, {}, [])
        say(again, "new", "newer")
        assert (texts(again), len(again.log()), ids(store)) == (["new", "newer"], 2, ["a"])
        say(late, "newest")
        assert again.branches() == {"main": (late.head,)}
        store.delete("a")
        with pytest.raises(TractDeleted):
            say(again, "lost?")
    with store.tract("a") as again:
        again.describe(title="B")
        assert [info.title for info in store.tracts()] == ["B"]
        say(again, "third")
    assert [(info.tract_id, info.title) for info in fresh(path)] == [("a", "B")]
    with Tract.open(path, tract_id="a", verify=True) as t:
        assert texts(t) == ["third"]


def test_a_tract_that_was_only_described_can_be_deleted(store: Store) -> None:
    with store.tract(name="An empty one") as t:
        assert ids(store) == [t.tract_id]
        assert store.delete(t.tract_id) is True
        assert ids(store) == []
        with pytest.raises(TractDeleted):
            say(t, "lost?")


def test_a_commit_brings_a_deleted_tract_back_on_request(store: Store) -> None:
    with store.tract("a") as a:
        (one,) = say(a, "one")
        store.delete("a")
        a.branch("main", at=one)
        assert (texts(a), ids(store)) == (["one"], ["a"])


# copies


def test_descriptions_of_two_copies_end_alike(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    with open_store(here, clock=Clock(START_US)) as store:
        store.tract("a").describe(title="first", metadata={"n": 0})
    bring_files(here, there)
    with open_store(here, clock=Clock(START_US + 10**9)) as store:
        store.tract("a").describe(title="here")
    with open_store(there, clock=Clock(START_US + 2 * 10**9)) as store:
        store.tract("a").describe(title="there", metadata={"n": 1})
    with open_store(here, clock=Clock(START_US + 3 * 10**9)) as store:
        store.tract("a").describe(metadata={"n": 2})
    sync_files(here, there)
    for path in (here, there):
        with open_store(path) as store:
            assert [(info.title, info.metadata) for info in store.tracts()] == [("there", {"n": 2})]
        assert [(info.title, info.metadata) for info in fresh(path)] == [("there", {"n": 2})]


def test_a_delete_hides_a_tract_on_every_copy(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    make(here, "a", "one")
    make(here, "b", "one")
    bring_files(here, there)
    with open_store(here) as store, open_store(there) as other, other.tract("a") as a:
        assert ids(other) == ["a", "b"]
        store.delete("a")
        sync_files(here, there)
        other.refresh()
        a.refresh()
        assert ids(other) == ["b"]
        with pytest.raises(TractDeleted):
            say(a, "lost?")


def test_a_commit_that_a_delete_did_not_see_is_not_lost(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    make(here, "a", "one")
    bring_files(here, there)
    make(there, "a", "two")
    with open_store(here) as store:
        store.delete("a")
    sync_files(here, there)
    for path in (here, there):
        with open_store(path) as store, store.tract("a") as a:
            assert (ids(store), texts(a)) == (["a"], ["one", "two"])
    with open_store(here) as store:
        assert store.delete("a")
    sync_files(here, there)
    assert (fresh(here), fresh(there)) == ([], [])


def test_two_deletes_at_once_are_one(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    with open_store(here) as store:
        store.tract(name="A b").describe(metadata={"n": 1})
        (info,) = store.tracts()
        say(store.tract(info.tract_id), "one")
    bring_files(here, there)
    for path in (here, there):
        with open_store(path) as store:
            store.delete(info.tract_id)
    sync_files(here, there)
    for path in (here, there):
        with open_store(path) as store, store.tract(info.tract_id) as again:
            assert (ids(store), texts(again)) == ([], [])


def test_a_tract_that_two_copies_begin_again_has_two_heads(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    make(here, "a", "old")
    with open_store(here) as store:
        store.delete("a")
    bring_files(here, there)
    for path, text in ((here, "x"), (there, "y")):
        with open_store(path) as store:
            say(store.tract("a"), text)
    sync_files(here, there)
    for path, text in ((here, "x"), (there, "y")):
        with open_store(path) as store, store.tract("a") as a:
            assert (texts(a), len(a.branches()["main"])) == ([text], 2)
    with open_store(here) as store, store.tract("a") as a:
        with pytest.raises(UnrelatedHistories):
            a.merge()
        a.merge(allow_unrelated=True)
        assert sorted(texts(a)) == ["x", "y"]


# usage


def test_usage_is_summed_by_tract_and_by_model(store: Store) -> None:
    def use(t: Tract, text: str, prompt: int, model: str | None) -> None:
        t.commit(user(text), generation_config=None if model is None else {"model": model})
        t.record_usage({"prompt_tokens": prompt, "completion_tokens": 1})

    with store.tract("a") as a, store.tract("b") as b:
        use(a, "1", 10, "m-1")
        use(a, "2", 20, "m-2")
        a.record_usage({"prompt_tokens": 25, "completion_tokens": 2, "total_tokens": 30})
        use(b, "1", 100, "m-1")
        use(b, "2", 7, None)
        with a.fork("c") as c:
            assert c.compile().token_count == 25
            use(c, "3", 1000, "m-2")
        say(store.tract("d"), "one")
    assert store.usage() == store.usage(by="tract")
    assert store.usage() == {
        "a": TokenUsage(35, 3, 41),
        "b": TokenUsage(107, 2, 109),
        "c": TokenUsage(1000, 1, 1001),
    }
    assert store.usage(by="model") == {
        "": TokenUsage(7, 1, 8),
        "m-1": TokenUsage(110, 2, 112),
        "m-2": TokenUsage(1025, 3, 1031),
    }
    store.delete("b")
    assert sorted(store.usage()) == ["a", "c"]
    with pytest.raises(ArgumentError):
        store.usage(by="branch")  # type: ignore[arg-type]


# the handles of one store


def test_handles_keep_few_files_open(store: Store) -> None:
    handles, before = [], len(os.listdir("/proc/self/fd"))
    for number in range(40):
        handles.append(store.tract(f"t{number}"))
        say(handles[-1], f"{number}")
    for number, handle in enumerate(handles):
        say(handle, "again")
        assert texts(handle) == [f"{number}", "again"]
    assert len(os.listdir("/proc/self/fd")) - before < 90
    assert sum(is_open(handle) for handle in handles) == 8
    store.close()
    with pytest.raises(ClosedError):
        say(handles[0], "late")


def is_open(t: Tract) -> bool:
    return store_of(t)._lock._file._descriptor >= 0


def test_a_batch_keeps_its_files_while_other_handles_are_used(path: Path) -> None:
    with open_store(path) as store:
        handles = [store.tract(f"t{number}") for number in range(12)]
        with handles[0].batch():
            say(handles[0], "one")
            for handle in handles[1:]:
                assert handle.compile().messages == []
            say(handles[0], "two")
        assert texts(handles[0]) == ["one", "two"]
        assert not session_of(handles[0]).guard.is_closed


def test_threads_share_a_store(path: Path) -> None:
    errors: list[BaseException] = []

    def work(store: Store, number: int) -> None:
        try:
            for turn in range(6):
                with store.tract(f"t{number}") as t:
                    say(t, f"{turn}")
                assert f"t{number}" in ids(store)
        except BaseException as error:
            errors.append(error)

    with open_store(path, lock_timeout_s=120.0) as store:
        threads = [threading.Thread(target=work, args=(store, number)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert [info.commit_count for info in store.tracts()] == [6] * 12


def test_a_closed_store_says_so(path: Path) -> None:
    store = open_store(path)
    store.close()
    store.close()
    for call in (store.tracts, lambda: store.tract("a"), lambda: store.delete("a"), store.usage, store.refresh):
        with pytest.raises(ClosedError):
            call()


def test_a_forked_child_uses_the_store_too(store: Store) -> None:
    say(store.tract("a"), "one")
    assert ids(store) == ["a"]

    def in_the_child(_: object) -> None:
        assert ids(store) == ["a"]
        with store.tract("b") as b:
            say(b, "two")

    assert run_child(in_the_child) == (0, [])
    assert ids(store) == ["a", "b"]


def test_a_throw_away_store_goes_with_its_last_handle() -> None:
    with Store.open(durability="fast") as store:
        say(store.tract("a"), "one")
        where = Path(store._files.layout.context)
        assert where.is_dir()
    del store
    assert not where.exists()


# readers of an earlier version


class _EarlierEvent(Event, frozen=True, forbid_unknown_fields=True, gc=False):
    ops: tuple[Append | Merge | Forward | Create | Reset | Delete | Tag | Usage | Redact, ...]  # type: ignore[assignment]


class _EarlierEnvelope(Struct, frozen=True, forbid_unknown_fields=True):
    event: _EarlierEvent


def test_an_earlier_reader_shows_a_described_tract_as_it_was_before(path: Path) -> None:
    with Tract.open(path, clock=Clock(), durability="fast") as t:
        say(t, "one")
        t.describe(title="A")
        (two,) = say(t, "two")
    shutil.rmtree(store_root(path) / "local")
    with pytest.MonkeyPatch.context() as earlier:
        earlier.setattr(events, "_DECODER", Decoder(_EarlierEnvelope))
        with Tract.open(path, clock=Clock(START_US + 10**9), durability="fast") as t:
            assert texts(t) == ["one"]
            assert [pending.describe()[:14] for pending in log_of(t).view.pending.values()] == [
                "not understood",
                "its parent is not visible"[:14],
            ]
            (other,) = say(t, "other")
    with Tract.open(path, durability="fast") as t:  # with the caches that the earlier reader left
        assert (t.title, set(t.branches()["main"]), t.status().pending) == ("A", {two, other}, ())
    with Tract.open(path, durability="fast", verify=True) as t:
        assert (t.title, set(t.branches()["main"])) == ("A", {two, other})


def test_a_handle_keeps_its_files_in_a_call_and_is_left_alone_once_it_is_closed(store: Store) -> None:
    t = store.tract("a")
    say(t, "one")
    with guard_of(t).reading:
        assert (session_of(t).rest(), is_open(t)) == (False, True)
    assert (session_of(t).rest(), is_open(t)) == (True, False)
    t.close()
    with store.tract("a") as again:
        assert (texts(again), is_open(again)) == (["one"], True)
        with pytest.raises(ClosedError):
            t.compile()


# handles one after the other, and beside each other


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Returns the tracts whose logs are loaded."""
    found: list[str] = []
    load = TractLog.open

    def noted(self: TractLog, **given: Any) -> None:
        found.append(self.tract)
        load(self, **given)

    monkeypatch.setattr(TractLog, "open", noted)
    return found


def test_a_handle_goes_on_with_what_the_one_before_it_has_read(store: Store, opened: list[str]) -> None:
    for number in range(4):
        with store.tract("a") as t:
            say(t, f"{number}")
            assert texts(t) == [f"{n}" for n in range(number + 1)]
    with store.tract("a").on("main") as t:
        assert texts(t) == ["0", "1", "2", "3"]
    assert opened.count("a") == 2  # the last two are open at the same time


def test_the_next_handle_works_on_its_own_branch_and_outlives_the_one_before(store: Store) -> None:
    before = store.tract("a")
    say(before, "one")
    before.branch("side")
    before.close()
    with store.tract("a", branch="side") as after:
        say(after, "two")
        before.close()
        assert (after.branch, texts(after)) == ("side", ["one", "two"])
        for call in (before.compile, lambda: say(before, "late"), before.batch().__enter__):
            with pytest.raises(ClosedError):
                call()
        assert texts(after) == ["one", "two"]
    with store.tract("a") as t:
        assert texts(t) == ["one"]


def test_what_a_closed_handle_returned_is_loaded_beside_the_next_one(store: Store) -> None:
    with store.tract("a") as t:
        say(t, "one", "two")
    with store.tract("a") as t:
        found = t.log(None)
    with store.tract("a") as t, t.batch():
        say(t, "three")
        assert [info.operation for info in found] == ["append", "append"]
        loaded: list[int] = []
        thread = threading.Thread(target=lambda: loaded.extend(info.token_count or 0 for info in found))
        thread.start()
        thread.join()
        assert len(loaded) == 2
        say(t, "four")
    assert [info.operation for info in found] == ["append", "append"]


class Note(Struct):
    text: str


def test_a_type_that_one_handle_registered_is_unknown_to_the_next(store: Store) -> None:
    with store.tract("a") as t:
        t.register_content_type("note", Note, role="user", text=lambda note: f"Note: {note.text}")
        t.commit(Note("x"))
        assert texts(t) == ["Note: x"]
    with store.tract("a") as t, pytest.raises(ContentValidationError):
        t.commit(Note("y"))


def test_a_type_that_is_registered_later_does_not_reach_a_handle_that_shares_memory(store: Store) -> None:
    t = store.tract("a")
    say(t, "one")
    t.compile()
    with t.on("main") as other:
        t.register_content_type("note", Note, role="user", priority="pinned")
        t.commit(Note("x"))
        with pytest.raises(ContentValidationError):
            other.commit(Note("y"))
        assert other.compile().messages[0].content == "one"


def test_a_handle_that_cannot_go_on_leaves_the_tract_to_one_that_reads_it(
    store: Store, path: Path, opened: list[str]
) -> None:
    with store.tract("a") as t:
        say(t, "one")
    path.rename(path.with_name("elsewhere"))
    with pytest.raises(StoreNotFound):
        store.tract("a")
    path.with_name("elsewhere").rename(path)
    with store.tract("a") as t:
        assert texts(t) == ["one"]
    assert opened.count("a") == 2


def test_a_refresh_makes_the_next_handle_look_at_once(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    make(here, "a", "one")
    bring_files(here, there)
    with open_store(there) as store:
        with store.tract("a") as t:
            assert texts(t) == ["one"]
        make(here, "a", "two")
        bring_files(here, there)
        store.refresh()
        with store.tract("a") as t:
            assert texts(t) == ["one", "two"]


def test_handles_of_one_tract_share_messages_and_nothing_that_changes(store: Store) -> None:
    t = store.tract("a")
    say(t, "one", "two")
    t.compile()
    with t.on("side", create=True) as side, store.tract("a") as again:
        shown = [handle.compile().messages[0] for handle in (t, side, again)]
        assert shown[0] is shown[1] is shown[2]
        for number in range(3):
            say(t, f"main {number}")
            say(side, f"side {number}")
        assert texts(t) == ["one", "two", "main 0", "main 1", "main 2"]
        assert texts(side) == ["one", "two", "side 0", "side 1", "side 2"]
        assert texts(again) == texts(t)


def test_threads_write_beside_each_other_on_handles_that_share_messages(path: Path) -> None:
    with open_store(path, lock_timeout_s=30.0) as store:
        t = store.tract("a")
        say(t, "start")
        t.compile()
        handles = [t.on(f"b{number}", create=True) for number in range(4)]

        def work(handle: Tract) -> None:
            for turn in range(12):
                say(handle, f"{handle.branch} {turn}")
                handle.compile()

        threads = [threading.Thread(target=work, args=(handle,)) for handle in handles]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for handle in handles:
            assert texts(handle) == ["start", *(f"{handle.branch} {turn}" for turn in range(12))]


def test_a_deleted_tract_begins_again_in_the_next_handle_alone(store: Store) -> None:
    with store.tract("a") as t:
        say(t, "one")
    kept = store.tract("a")
    store.delete("a")
    with pytest.raises(TractDeleted):
        say(kept, "late")
    kept.close()
    with store.tract("a") as t:
        say(t, "two")
        assert texts(t) == ["two"]
    store.delete("a")
    store.tract("a").close()
    store.delete("a")
    with store.tract("a", create=True) as t:
        store.delete("a")
        assert texts(t) == []


def test_handles_that_were_closed_keep_few_files_open(store: Store) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(40):
        with store.tract(f"t{number}") as t:
            say(t, f"{number}")
    assert len(os.listdir("/proc/self/fd")) - before < 90
    for number in range(40):
        with store.tract(f"t{number}") as t:
            assert texts(t) == [f"{number}"]


def test_a_closed_handle_goes_on_in_a_forked_child_and_in_its_parent(store: Store) -> None:
    with store.tract("a") as t:
        say(t, "one")

    def in_the_child(_: object) -> None:
        with store.tract("a") as child:
            say(child, "two")
            assert texts(child) == ["one", "two"]

    assert run_child(in_the_child) == (0, [])
    with store.tract("a") as t:
        say(t, "three")
        assert texts(t) == ["one", "two", "three"]
