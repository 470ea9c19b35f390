"""Damage: a typed error, or a cache rebuilt without a word; never a wrong answer, and all as before once the good file is back."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lab.index_rows import index_of, make_sums_right, opened, put_saved_view, saved_view
from tests.lab.states import (
    QUERIES,
    answers,
    as_json,
    bound_layout,
    copy_store,
    exact,
    list_always,
    local_files,
    members_of,
    missed,
    own_place,
    put,
    put_in_place,
    remove_local,
    settle_at_once,
    store_root,
    synced,
    told,
    told_context,
)
from tests.lab.stores import AT_ONCE, FILLING, fill, fill_pack
from tests.lab.talk import Clock, user
from tract_fs import Tract
from tract_fs.errors import DamageError, HashMismatch, HistoryIncomplete, ObjectMissing
from tract_fs.store import origins, quarantine
from tract_fs.store.packs import Packs

pytestmark = pytest.mark.usefixtures("in_time")  # a pipe under one of the store's names must not be waited for

SHOWN = ("messages", "of_commits", "configs", "commits", "count")


@dataclass
class Whole:
    """A store before any damage, and what it answers."""

    path: Path
    answers: dict[str, Any] = field(default_factory=dict)
    compiled: dict[str | None, dict[str, Any]] = field(default_factory=dict)  # by head, as it was then
    infos: dict[str, str] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)  # what a file is: its name from the store's root on
    events: dict[str, list[str]] = field(default_factory=dict)  # event file: the commits it brings
    files: dict[str, bytes] = field(default_factory=dict)


@pytest.fixture(scope="module", autouse=True)
def few_in_memory() -> Iterator[None]:
    """So few records stay in memory, and so few rows are written at a time, that a small store needs more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(origins, "_MOST_KEPT", 2)
        patch.setattr(origins, "_ROWS_AT_ONCE", 16)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    made = Whole(tmp_path_factory.mktemp("whole") / "context")
    with Tract.open(made.path, durability="durable", clock=Clock()) as t:
        made.compiled[None] = told_context(t.compile())
        steps: list[Callable[[Tract], object]] = [*FILLING, lambda t: fill_pack(t, 60)]
        steps += [
            lambda t, n=n: t.commit(user(f"after {n}"), generation_config={"model": "m-1", "temperature": n})
            for n in range(6)
        ]
        for step in steps:
            step(t)
            made.compiled[t.head] = told_context(t.compile())
        made.answers = answers(t)
        assert t.compile().warnings == []
        made.infos = {info.commit_hash: told(info) for info in t.log(None)}
        made.contents = {
            info.commit_hash: exact(as_json(t.get_content(info.commit_hash)))
            for info in t.log(None)
            if info.content_hash
        }
    made.files = synced(made.path)
    find_roles(made)
    return made


@pytest.fixture
def path(whole: Whole) -> Path:
    """A copy of the whole store with a local/ of its own; a test that leaves it as it was leaves it to the next."""
    work = whole.path.parent / "work"
    if not is_whole(work, whole):
        shutil.rmtree(work, ignore_errors=True)
        copy_store(whole.path, work)
        remove_local(work)
    if not all(file_of(work, whole.roles[role]).is_file() for role in ("the index", "the redo log")):
        put(own_place(work) / "redo", (own_place(whole.path) / "redo").read_bytes())
        for _ in range(2):
            with Tract.open(work, durability="durable") as t:
                assert answers(t) == whole.answers
    return work


@pytest.fixture
def path_with_caches(path: Path) -> Iterator[Path]:
    """The same for tests that damage local/: the next test gets another."""
    yield path
    local = store_root(path) / "local"
    if local.is_dir():
        remove_local(path)
    else:
        local.unlink()


def is_whole(work: Path, whole: Whole) -> bool:
    root = store_root(work)
    return (
        everything(work) == everything(whole.path)
        and all((root / name).lstat().st_size == len(data) for name, data in whole.files.items())
        and synced(work) == whole.files
    )


def everything(path: Path) -> list[str]:
    """Returns the names of all that lies in a store outside local/, of whatever kind."""
    root = store_root(path)
    names = [os.path.relpath(os.path.join(folder, name), root) for folder, _, files in os.walk(root) for name in files]
    return sorted(name for name in names if not name.startswith("local/"))


def find_roles(made: Whole) -> None:
    names = synced(made.path)
    for name, data in names.items():
        if name.startswith("events/"):
            ops = json.loads(data)["event"]["ops"]
            made.events[name] = [entry["commit"] for op in ops for entry in op.get("commits", ())]
            if ops[0]["kind"] == "usage":
                made.roles["the event of a usage"] = name
    line = [json.loads(text) for text in made.answers["log"]][::-1]
    loose = [facts for facts in line if object_name(facts["commit_hash"]) in names and facts["content_hash"]]
    places = {"first": loose[0], "middle": loose[len(loose) // 2], "newest": loose[-1]}
    for place, facts in places.items():
        made.roles[f"the {place} content"] = object_name(facts["content_hash"])
        made.roles[f"the {place} commit"] = object_name(facts["commit_hash"])
        made.roles[f"the {place} event"] = event_of(made, facts["commit_hash"])
    made.roles["the event of the pack"] = event_of(
        made, next(c["commit_hash"] for c in line if object_name(c["commit_hash"]) not in names)
    )
    made.roles["the pack"] = next(name for name in names if name.startswith("packs/"))
    own = f"local/{own_place(made.path).name}"  # left out of the names: each copy has its own
    local = [name.replace(own, "local") for name in local_files(made.path)]
    made.roles["arrivals"] = "local/tracts/default/arrivals"
    made.roles["the index"] = "local/index.db"
    made.roles["a snapshot"] = next(name for name in local if "/snapshots/" in name)
    made.roles["the redo log"] = "local/redo"
    made.roles["the lock"] = "local/lock"


def file_of(path: Path, name: str) -> Path:
    """Returns the file of a role: one in local/ is in the copy's own place."""
    return own_place(path) / name.removeprefix("local/") if name.startswith("local/") else store_root(path) / name


def object_name(name: str) -> str:
    return f"objects/{name[:2]}/{name[2:]}"


def event_of(made: Whole, commit: str) -> str:
    return next(name for name, commits in made.events.items() if commit in commits)


def alter(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def make_missing(file: Path) -> None:
    file.unlink()


def make_symlink(file: Path) -> None:
    """Moves the good file aside and leaves a link to it: a link is none of ours, whatever it leads to."""
    aside = next(p for p in file.parents if p.name == ".tract").parent / "aside"
    file.rename(aside)
    file.symlink_to(aside)


def make_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def make_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def make_huge(file: Path) -> None:
    file.chmod(0o644)
    os.truncate(file, 2**36)  # sparse: takes no room


DAMAGES: dict[str, Callable[[Path], None]] = {
    "truncated": lambda file: put_in_place(file, file.read_bytes()[: file.stat().st_size // 2]),
    "altered": lambda file: put_in_place(file, alter(file.read_bytes())),
    "altered by rename": lambda file: put(file, alter(file.read_bytes())),
    "missing": make_missing,
}
MORE_DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty": lambda file: put(file, b""),
    "grown": lambda file: put_in_place(file, file.read_bytes() + b" "),
}
OTHER_KINDS: dict[str, Callable[[Path], None]] = {
    "a link": make_symlink,
    "a directory": make_directory,
    "a pipe": make_pipe,
    "huge": make_huge,
}
TRUTH = [
    "the first content", "the middle content", "the newest content", "the first commit", "the middle commit",
    "the newest commit", "the first event", "the middle event", "the newest event", "the event of a usage",
    "the event of the pack", "the pack",
]  # fmt: skip
STATES = [(damage, state) for damage in DAMAGES for state in ("fresh", "fresh, without local")]
STATES += [(damage, state) for damage in ("altered", "missing") for state in ("same handle", "same handle, cold")]
CACHE_STATES = [
    (damage, state) for damage in ("truncated", "altered", "missing", "empty") for state in ("fresh", "same handle")
]
CACHE_STATES.append(("altered", "same handle, cold"))
CACHES = ["arrivals", "the index", "a snapshot", "the redo log"]


def put_back(file: Path, data: bytes, *, in_place: bool) -> None:
    if file.is_symlink() or not file.is_file():
        if file.is_dir() and not file.is_symlink():
            file.rmdir()
        file.unlink(missing_ok=True)
    if in_place and file.exists():
        put_in_place(file, data)
    else:
        put(file, data)


def attempt(call: Callable[[], Any]) -> tuple[bool, Any]:
    """Returns whether the call answered, and what; a refusal must be a typed error that names hash and path."""
    try:
        return True, call()
    except DamageError as error:
        assert len(error.hash) == 64
        assert error.path.startswith(("objects/", "events/", "packs/"))
        return False, error


def check_answers(t: Tract, whole: Whole, *, is_missed: bool = True) -> None:
    """Each call answers right for what can be read of the history, or raises a typed error; what is left out is told of."""
    is_told, infos = attempt(lambda: [told(info) for info in t.log(None)])  # it looks again where a file is missing
    head_is_told, head = attempt(lambda: t.head)
    if head_is_told:
        assert head in whole.compiled
    full = whole.answers["log"]
    if is_told:
        assert infos == full[len(full) - len(infos) :]
        assert not head_is_told or head == (json.loads(infos[0])["commit_hash"] if infos else None)
    is_compiled, context = attempt(t.compile)
    if is_compiled:
        is_compiled, shown = attempt(lambda: told_context(context))
    if is_compiled and head_is_told:
        assert {key: shown[key] for key in SHOWN} == {key: whole.compiled[head][key] for key in SHOWN}
    known = check_commits(t, whole)
    for query in QUERIES:
        expected = whole.answers["queries"][repr(query)]
        is_answered, found = attempt(lambda given=query: [told(info) for info in t.query_by_config(*given)])
        if is_answered:
            assert found == [text for text in expected if json.loads(text)["commit_hash"] in known]
    is_complete = head == whole.answers["head"] and len(known) == len(whole.infos)
    if is_missed and is_compiled and head_is_told and not is_complete:
        assert context.warnings, "what takes no part is not told of"
        status = t.status()
        assert status.pending or status.damaged or status.gone or status.quarantined
        assert status.advice


def check_commits(t: Tract, whole: Whole) -> set[str]:
    """Checks each commit by itself; returns those that the tract has."""
    known = set()
    for name, expected in whole.infos.items():
        info_is_told, info = attempt(lambda given=name: t.get_commit(given))
        if info_is_told and info is None:
            continue
        if isinstance(info, HistoryIncomplete):
            continue  # its event is lost, and its config with it: no query can match it
        known.add(name)
        assert not info_is_told or told(info) == expected
        if name in whole.contents:
            is_read, content = attempt(lambda given=name: t.get_content(given))
            assert not is_read or exact(as_json(content)) == whole.contents[name]
    return known


@pytest.mark.parametrize(("damage", "state"), STATES, ids=[f"{damage}, {state}" for damage, state in STATES])
@pytest.mark.parametrize("role", TRUTH)
def test_a_damaged_file_gives_an_error_or_a_right_answer_and_all_returns_with_the_file(
    whole: Whole, path: Path, role: str, damage: str, state: str
) -> None:
    check_damage_and_return(whole, path, role, DAMAGES[damage], state, in_place=damage == "altered")


@pytest.mark.parametrize("state", ["fresh", "fresh, without local", "same handle", "same handle, cold"])
@pytest.mark.parametrize("damage", ["truncated", "altered by rename", "empty", "grown"])
@pytest.mark.parametrize("role", TRUTH)
def test_a_damaged_file_that_is_set_aside_gives_no_wrong_answer_and_all_returns_with_the_file(
    whole: Whole, path: Path, monkeypatch: pytest.MonkeyPatch, role: str, damage: str, state: str
) -> None:
    """As above, with every damaged file moved to the quarantine by the first writer that meets it."""
    monkeypatch.setattr(quarantine, "SETTLED_NS", -(10**18))
    check_damage_and_return(whole, path, role, (DAMAGES | MORE_DAMAGES)[damage], state, in_place=False)


@pytest.mark.parametrize("state", ["fresh", "fresh, without local"])
@pytest.mark.parametrize("damage", {**MORE_DAMAGES, **OTHER_KINDS})
@pytest.mark.parametrize("role", ["the middle content", "the middle commit", "the middle event", "the pack"])
def test_what_is_empty_grown_huge_or_no_regular_file_counts_as_absent(
    whole: Whole, path: Path, role: str, damage: str, state: str
) -> None:
    check_damage_and_return(whole, path, role, {**MORE_DAMAGES, **OTHER_KINDS}[damage], state, in_place=False)


def check_damage_and_return(
    whole: Whole, path: Path, role: str, damage: Callable[[Path], None], state: str, *, in_place: bool
) -> None:
    file = file_of(path, whole.roles[role])
    good = file.read_bytes()
    handle = Tract.open(path, durability="fast") if state.startswith("same") else None
    if handle is not None and "cold" not in state:
        assert answers(handle) == whole.answers
    damage(file)
    if "without local" in state:
        remove_local(path)
    # what nobody knows of is not missed: an event that no other builds on, in a copy that never met it
    is_missed = not (role == "the newest event" and damage is make_missing and "without local" in state)
    with handle or Tract.open(path, durability="fast") as t:
        if handle is not None:
            check_answers(t, whole)
            t.refresh()
        check_answers(t, whole, is_missed=is_missed)
        put_back(file, good, in_place=in_place)
        t.refresh()
        assert answers(t) == whole.answers
        assert t.compile().warnings == []
    with Tract.open(path, durability="fast") as t:
        assert answers(t) == whole.answers
        status = t.status()
        assert (status.pending, status.damaged, status.other_heads) == ((), (), ())


@pytest.mark.parametrize("in_place", [False, True], ids=["by rename", "in place"])
@pytest.mark.parametrize("is_local_kept", [True, False], ids=["with local", "without local"])
@pytest.mark.parametrize("role", ["the middle content", "the middle commit", "the middle event", "the pack"])
def test_a_fresh_handle_notices_by_itself_that_a_file_is_back(
    whole: Whole, path: Path, monkeypatch: pytest.MonkeyPatch, role: str, is_local_kept: bool, in_place: bool
) -> None:
    """The directories may count as seen by then: a file that was put back in place does not change them."""
    settle_at_once(monkeypatch)
    file = file_of(path, whole.roles[role])
    good = file.read_bytes()
    put_in_place(file, alter(good))
    if not is_local_kept:
        remove_local(path)
    for _ in range(2):
        with Tract.open(path, durability="fast") as t:
            check_answers(t, whole)
    time.sleep(0.01)
    put_back(file, good, in_place=in_place)
    with Tract.open(path, durability="fast") as t:
        assert answers(t) == whole.answers
        assert t.compile().warnings == []


@pytest.mark.parametrize("is_local_kept", [True, False], ids=["with local", "without local"])
@pytest.mark.parametrize("role", TRUTH)
def test_a_commit_on_a_damaged_store_costs_no_earlier_commit(
    whole: Whole, path: Path, role: str, is_local_kept: bool
) -> None:
    file = file_of(path, whole.roles[role])
    good = file.read_bytes()
    file.unlink()
    if not is_local_kept:
        remove_local(path)
    new: list[str] = []
    with Tract.open(path, durability="fast") as t:
        for text in ("first", "second"):
            is_made, info = attempt(lambda given=text: t.commit(user(given)))
            if is_made:
                new.append(info.commit_hash)
    put_back(file, good, in_place=False)
    for is_removed in (False, True):
        if is_removed:
            remove_local(path)
        with Tract.open(path, durability="fast") as t:
            for name, expected in whole.infos.items():
                info = t.get_commit(name)
                assert info is not None
                assert told(info) == expected
            assert all(t.get_commit(name) is not None for name in new)
            reachable = {info.commit_hash for info in t.log(None)}
            for head in t.status().other_heads:
                reachable |= set(t.compile(at_commit=head).commit_hashes) | {head}
            assert whole.answers["head"] in reachable
            assert set(new) <= reachable


def test_a_content_that_is_committed_again_is_written_anew_if_its_file_is_damaged(tmp_path: Path) -> None:
    for damage in DAMAGES.values():
        path = tmp_path / "context"
        shutil.rmtree(path, ignore_errors=True)
        with Tract.open(path, durability="fast", clock=Clock()) as t:
            first = t.commit(user("hello"))
            assert t.get_content(first.commit_hash) == user("hello")
            damage(store_root(path) / object_name(first.content_hash or ""))
            second = t.commit(user("hello"))
            assert second.content_hash == first.content_hash
        remove_local(path)
        with Tract.open(path, durability="fast") as t:
            assert [info.commit_hash for info in t.log(None)] == [second.commit_hash, first.commit_hash]
            assert [message.content for message in t.compile().messages] == ["hello", "hello"]


@pytest.mark.parametrize("in_place", [False, True], ids=["by rename", "in place"])
@pytest.mark.parametrize("kind", ["commit", "batch", "usage"])
def test_an_event_of_another_handle_that_is_damaged_before_it_was_read_returns_with_the_file(
    tmp_path: Path, kind: str, in_place: bool
) -> None:
    path = tmp_path / "context"
    with (
        Tract.open(path, durability="fast", clock=Clock()) as here,
        Tract.open(path, durability="fast", clock=Clock()) as there,
    ):
        fill(here)
        before = answers(here)
        files = synced(path)
        if kind == "usage":
            there.record_usage({"prompt_tokens": 5, "completion_tokens": 1})
        else:
            with there.batch():
                for number in range(1 if kind == "commit" else 3):
                    there.commit(user(f"there {number}"), generation_config={"model": "m-1"})
        expected = answers(there)
        event = next(name for name in synced(path).keys() - files.keys() if name.startswith("events/"))
        file = store_root(path) / event
        good = file.read_bytes()
        put_in_place(file, alter(good))
        for _ in range(2):
            is_told, found = attempt(lambda: answers(here))
            assert not is_told or found in (before, expected)
            here.refresh()
        put_back(file, good, in_place=in_place)
        here.refresh()
        assert answers(here) == expected
        assert here.compile().warnings == []
        assert here.commit(user("goes on")).parents == (expected["head"],)


# the fields of the errors


def test_an_altered_object_names_what_was_expected_and_what_was_found(whole: Whole, path: Path) -> None:
    name = whole.roles["the middle content"]
    file = store_root(path) / name
    data = alter(file.read_bytes())
    put(file, data)
    commit = next(n for n, text in whole.infos.items() if object_name(json.loads(text)["content_hash"] or "xx") == name)
    with Tract.open(path, read_only=True) as t, pytest.raises(HashMismatch) as caught:
        t.get_content(commit)
    expected = json.loads(whole.infos[commit])["content_hash"]
    found = caught.value
    assert (found.path, found.hash, found.expected) == (name, expected, expected)
    assert found.actual == hashlib.sha256(data).hexdigest()
    assert name in str(found)


def test_a_missing_object_is_named(whole: Whole, path: Path) -> None:
    name = whole.roles["the middle content"]
    (store_root(path) / name).unlink()
    commit = next(n for n, text in whole.infos.items() if object_name(json.loads(text)["content_hash"] or "xx") == name)
    with Tract.open(path, read_only=True) as t, pytest.raises(ObjectMissing) as caught:
        t.get_content(commit)
    assert caught.value.path == name
    assert caught.value.hash == json.loads(whole.infos[commit])["content_hash"]


def test_an_object_of_another_kind_is_refused(tmp_path: Path) -> None:
    """A text that a peer chose can't pass as history: a commit may not serve as content."""
    path = tmp_path / "context"
    with Tract.open(path, durability="fast", clock=Clock()) as t:
        commit = t.commit(user("hello"))
    data = (store_root(path) / object_name(commit.commit_hash)).read_bytes()
    facts = json.loads(data)
    facts["commit"]["content"] = commit.commit_hash
    facts["commit"]["parents"] = [commit.commit_hash]
    new = add_object(path, facts)
    add_event(path, {"kind": "append", "branch": "main", "head": new, "commits": [{"commit": new}], "replaces": []})
    with Tract.open(path, durability="fast") as t:
        assert t.head == commit.commit_hash
        assert len(t.status().pending) == 1
        assert t.compile().warnings


# the config in the event's file


def altered_config(data: bytes) -> bytes:
    changed = data.replace(b'"model":"m-1"', b'"model":"m-7"', 1)
    assert changed != data
    assert len(changed) == len(data)
    return changed


@pytest.mark.parametrize("in_place", [False, True], ids=["by rename", "in place"])
@pytest.mark.parametrize("state", ["same handle", "same handle, cold", "fresh", "fresh, without local"])
def test_an_altered_config_is_noticed_at_the_next_read(whole: Whole, path: Path, state: str, in_place: bool) -> None:
    role = "the newest event"
    file = file_of(path, whole.roles[role])
    commit = whole.events[whole.roles[role]][0]
    handle = Tract.open(path, durability="fast") if state.startswith("same") else None
    if handle is not None and "cold" not in state:
        assert answers(handle) == whole.answers
    (put_in_place if in_place else put)(file, altered_config(file.read_bytes()))
    if "without local" in state:
        remove_local(path)
    with handle or Tract.open(path, durability="fast") as t:
        reads: list[Callable[[], object]] = [
            lambda: t.log(1)[0].generation_config,
            lambda: t.get_commit(commit).generation_config,  # type: ignore[union-attr]
        ]
        for read in reads:
            if "without local" in state:
                assert t.get_commit(commit) is None  # it takes no part, and compile() says so
                assert "m-7" not in exact(t.log(1)[0].generation_config)
                assert missed(t)
                continue
            with pytest.raises(HashMismatch) as caught:
                read()
            assert caught.value.path == whole.roles[role]
        for query in (("model", "=", "m-7"), ("temperature", "=", 5)):
            is_answered, found = attempt(
                lambda given=query: [info.generation_config for info in t.query_by_config(*given)]
            )
            assert not is_answered or "m-7" not in exact(found)
        is_compiled, compiled = attempt(lambda: told_context(t.compile()))
        assert not is_compiled or "m-7" not in "".join(compiled["configs"])
        with Tract.open(path, read_only=True, verify=True) as verified:
            assert verified.status().damaged or verified.status().pending
            assert missed(verified)


def test_a_config_that_is_altered_right_after_it_was_read_is_noticed(tmp_path: Path) -> None:
    """The file may keep its size and, within one tick of the file system's clock, even its times."""
    path = tmp_path / "context"
    with Tract.open(path, durability="fast", clock=Clock()) as t:
        for number in range(20):
            before = set(synced(path))
            t.commit(user(f"text {number}"), generation_config={"model": "m-1", "n": number})
            assert t.log(1)[0].generation_config == {"model": "m-1", "n": number}
            event = next(name for name in synced(path).keys() - before if name.startswith("events/"))
            file = store_root(path) / event
            good = file.read_bytes()
            with open(file, "r+b") as opened:
                opened.write(altered_config(good))
            with pytest.raises(HashMismatch):
                t.log(1)
            with open(file, "r+b") as opened:
                opened.write(good)
            assert t.log(1)[0].generation_config == {"model": "m-1", "n": number}


# caches


@pytest.mark.parametrize(
    ("damage", "state"), CACHE_STATES, ids=[f"{damage}, {state}" for damage, state in CACHE_STATES]
)
@pytest.mark.parametrize("role", CACHES)
def test_a_damaged_cache_is_rebuilt_without_a_word(
    whole: Whole, path_with_caches: Path, role: str, damage: str, state: str
) -> None:
    check_cache(whole, path_with_caches, role, (DAMAGES | MORE_DAMAGES)[damage], state)


@pytest.mark.parametrize("state", ["fresh", "same handle"])
@pytest.mark.parametrize("damage", ["a link", "a directory", "a pipe"])
@pytest.mark.parametrize("role", CACHES)
def test_a_cache_that_is_no_regular_file_hinders_no_answer(
    whole: Whole, path_with_caches: Path, role: str, damage: str, state: str
) -> None:
    check_cache(whole, path_with_caches, role, OTHER_KINDS[damage], state, is_writable=False)


def check_cache(
    whole: Whole, path: Path, role: str, damage: Callable[[Path], None], state: str, *, is_writable: bool = True
) -> None:
    handle = Tract.open(path, durability="durable") if state.startswith("same") else None
    if handle is not None and "cold" not in state:
        assert answers(handle) == whole.answers
    damage(role_file(path, whole, role))
    log = list(whole.infos)
    with handle or Tract.open(path, durability="durable") as t:
        assert answers(t) == whole.answers
        t.refresh()
        assert answers(t) == whole.answers
        assert t.compile().warnings == []
        try:
            log.insert(0, t.commit(user("goes on"), generation_config={"model": "m-1"}).commit_hash)
        except OSError:
            assert not is_writable
        assert [info.commit_hash for info in t.log(None)] == log
        expected = answers(t)
    with Tract.open(path, durability="durable") as t:
        assert answers(t) == expected
        assert (t.status().pending, t.status().damaged, t.status().other_heads) == ((), (), ())
    remove_local(path)
    with Tract.open(path, durability="durable") as t:
        assert answers(t) == expected


def role_file(path: Path, whole: Whole, role: str) -> Path:
    """Returns the file of a role; a snapshot is named by the head, so there is another in each copy."""
    if role == "a snapshot":
        return next((own_place(path) / "tracts/default/snapshots").iterdir())
    return file_of(path, whole.roles[role])


@pytest.mark.parametrize("name", ["snapshots", "tracts", "."])
def test_a_file_in_the_place_of_a_directory_of_caches_hinders_no_answer(
    whole: Whole, path_with_caches: Path, name: str
) -> None:
    path = path_with_caches
    local = own_place(path)
    place = {"snapshots": local / "tracts/default/snapshots", "tracts": local / "tracts"}
    directory = place.get(name, local)
    shutil.rmtree(directory)
    directory.write_bytes(b"a file")
    with Tract.open(path, durability="fast") as t:
        assert answers(t) == whole.answers


def test_an_altered_record_of_arrivals_changes_no_answer(whole: Whole, path_with_caches: Path) -> None:
    """Wherever the file is altered: at each record, in each of its parts."""
    path = path_with_caches
    file = file_of(path, whole.roles["arrivals"])
    index = index_of(path)
    good, good_index = file.read_bytes(), index.read_bytes()
    names = list(whole.infos)
    for place in range(3, len(good), 89):
        put(file, good[:place] + bytes([good[place] ^ 0x10]) + good[place + 1 :])
        put(index, good_index)
        with Tract.open(path, durability="fast") as t:
            assert [told(found) for name in names if (found := t.get_commit(name))] == list(whole.infos.values()), place
            assert t.head == whole.answers["head"]


def commits_are_right(t: Tract, whole: Whole) -> None:
    """Checks the commits that there are, some that there are not, prefixes, what comes after, and queries."""
    names = list(whole.infos)
    absent = [name[:40] + "0" * 24 for name in names]
    assert [told(found) for name in names if (found := t.get_commit(name))] == list(whole.infos.values())
    assert [t.get_commit(name) for name in absent] == [None] * len(absent)
    assert [t.resolve(name[:12]) for name in names] == names
    t.refresh()
    assert t.status().gone == ()
    assert t.head == whole.answers["head"]
    for query in QUERIES[:2]:
        assert [told(info) for info in t.query_by_config(*query)] == whole.answers["queries"][repr(query)]


def check_altered_index(whole: Whole, path: Path, places: Callable[[bytes], list[int]]) -> None:
    file = index_of(path)
    good = file.read_bytes()
    for number, place in enumerate(places(good)):
        put(file, good[:place] + bytes([good[place] ^ (1 << number % 8)]) + good[place + 1 :])
        with Tract.open(path, **({"read_only": True} if number % 3 == 1 else {"durability": "fast"})) as t:  # type: ignore[arg-type]
            commits_are_right(t, whole)
            if number % 4 == 0:
                assert answers(t) == whole.answers, place


def test_an_altered_index_changes_no_answer(whole: Whole, path_with_caches: Path) -> None:
    """Wherever the file is altered: page headers, keys, hashes, checksums, texts and the saved view among it."""
    check_altered_index(whole, path_with_caches, lambda good: [at for at, byte in enumerate(good) if byte][5::251])


@pytest.mark.campaign
@pytest.mark.parametrize("start", range(48))
def test_an_index_altered_anywhere_changes_no_answer(whole: Whole, path_with_caches: Path, start: int) -> None:
    signal.alarm(600)
    check_altered_index(
        whole, path_with_caches, lambda good: [at for at, byte in enumerate(good) if byte or at % 97 == 0][start::192]
    )


@pytest.mark.parametrize("is_resealed", [False, True], ids=["as it is", "with this copy's seal"])
def test_an_index_of_other_arrivals_changes_no_answer(
    whole: Whole, path_with_caches: Path, tmp_path: Path, is_resealed: bool
) -> None:
    other = tmp_path / "other"
    with Tract.open(other, durability="fast") as t:
        for number in range(200):
            t.commit(user(f"other {number}"), generation_config={"model": "m-1"})
        t.query_by_config("model", "=", "m-1")
    file = index_of(path_with_caches)
    put(file, index_of(other).read_bytes())
    if is_resealed:
        seal = bound_layout(path_with_caches).seal
        with opened(file) as connection:
            connection.execute("update store set seal = ?", (seal.hex(),))
            make_sums_right(connection, seal)
    with Tract.open(path_with_caches, durability="fast") as t:
        assert answers(t) == whole.answers
        commits_are_right(t, whole)


VIEWS: dict[str, Callable[[bytes], bytes | None]] = {
    "none": lambda data: None,
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "altered": alter,
    "grown": lambda data: data + b" ",
    "altered under its checksum": lambda data: hashlib.sha256(data[65:]).hexdigest().encode() + data[64:],
    "zeros": lambda data: b"\0" * len(data),
}


@pytest.mark.parametrize("state", ["fresh", "same handle", "same handle, cold"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_damaged_saved_view_is_rebuilt_without_a_word(
    whole: Whole, path_with_caches: Path, view: str, state: str
) -> None:
    path = path_with_caches

    def damage(file: Path) -> None:
        put_saved_view(path, VIEWS[view](saved_view(path)))

    check_cache(whole, path, "the index", damage, state)


CHANGES_BY_SQL = [
    # generation configs
    "update config_commits set name = substr(name, 1, 7) || randomblob(25) where name = (select max(name) from config_commits)",
    "update configs set config = 'text'",
    "update configs set config = null",
    "update configs set commits = 'many'",
    "update config_stamps set records = 'many'",
    "update config_stamps set tract = 'other'",
    "update config_stamps set records = records - 1",
    "update config_stamps set records = records + 1",
    "update config_stamps set chain = upper(chain)",
    "delete from config_stamps",
    "delete from configs where number = 0",
    "delete from configs where number = (select max(number) from configs)",
    "delete from config_commits",
    "delete from config_commits where name = (select max(name) from config_commits)",
    "drop table config_commits",
    "drop table config_stamps",
    "insert into configs select tract, number + 100, config, commits, total, crc from configs",
    "update config_commits set created = created + 1",
    "update config_commits set name = substr(name, 1, 31) || x'00'",
    "update config_commits set name = cast(hex(name) as text)",
    # records
    "delete from records",
    "delete from records where kind in ('C', 'D')",
    "delete from records where kind = 'U'",
    "delete from records where kind in ('O', 'o', 'A', 'a', 'S')",
    "delete from records where id = (select min(id) from records)",
    "delete from records where id = (select max(id) from records)",
    "delete from records where id % 2",
    "update records set id = id + 100000",
    "update records set id = -id",
    "update records set kind = 'U' where kind in ('C', 'D')",
    "update records set kind = 'C' where kind = 'U'",
    "update records set kind = 'S'",
    "update records set kind = null",
    "update records set event = zeroblob(32)",
    "update records set event = 'text'",
    "update records set event = (select max(event) from records)",
    "update records set commit_hash = null",
    "update records set commit_hash = zeroblob(31)",
    "update records set commit_key = null",
    "update records set event_key = null",
    "update records set commit_key = commit_key + 1",
    "update records set commit_key = commit_key + 1 where kind = 'U'",
    "update records set commit_key = commit_key + 1 where kind in ('C', 'D')",
    "update records set event_key = event_key + 1",
    "update records set commit_key = 'text'",
    "update records set crc = 'text'",
    "update records set crc = 0",
    "update records set crc = null",
    "delete from sums",
    "delete from sums where family = 'event'",
    "delete from sums where family = 'commit'",
    "update sums set rows = 0, total = 0",
    "update sums set rows = 'many'",
    "drop table sums",
    "drop index records_commit",
    "drop table records",
    # tracts
    "delete from tracts",
    "update tracts set name = 'other'",
    "update tracts set id = id + 1",
    "update tracts set records = records - 1",
    "update tracts set records = records + 1",
    "update tracts set records = 0",
    "update tracts set records = 'many'",
    "update tracts set records = -1",
    "update tracts set chain = upper(chain)",
    "update tracts set chain = x'00'",
    "update tracts set crc = 0",
    # packs
    "delete from packs",
    "update packs set name = randomblob(32)",
    "update packs set name = x'00'",
    "update packs set name = 'text'",
    "update packs set id = id + 1",
    "update packs set members = 0",
    "update packs set tracts = 0",
    "delete from members",
    "delete from members where place % 2",
    "delete from members where place = (select min(place) from members)",
    "update members set place = place + 1",
    "update members set place = place + (1 << 32)",
    "update members set size = size - 1",
    "update members set size = 0",
    "update members set size = -1",
    "update members set size = 1 << 62",
    "update members set size = 'text'",
    "update members set name = randomblob(32)",
    "update members set name = 'text'",
    "update members set name = (select max(name) from members)",
    "update members set key = key + 1",
    "update members set key = 'text'",
    "delete from pack_events",
    "update pack_events set tract = 'other'",
    "update pack_events set tract = ''",
    "update pack_events set names = x''",
    "update pack_events set names = randomblob(length(names))",
    "update pack_events set events = 0, names = x''",
    "update pack_events set pack = pack + 1",
    "delete from sums where family = 'member'",
    # which index it is
    "delete from store",
    "update store set version = 2",
    "update store set version = 'text'",
    "update store set seal = upper(seal)",
    "insert into store select * from store",
    "create table more (x)",
    "create trigger t after insert on records begin delete from records; end",
    "create trigger t after insert on config_commits begin delete from config_commits; end",
    "create view more as select * from records",
    "create index more on records (kind)",
    "update sqlite_master set sql = replace(sql, 'not null', '') where name = 'records'",
    "update sqlite_master set sql = replace(sql, '-- ', '--  ') where name = 'members'",
    "pragma user_version = 7",
    "pragma application_id = 7",
]


@pytest.mark.parametrize("state", ["fresh", "read-only", "same handle", "same handle, read-only"])
@pytest.mark.parametrize("change", CHANGES_BY_SQL)
def test_an_index_changed_by_sql_changes_no_answer(
    whole: Whole, path_with_caches: Path, change: str, state: str
) -> None:
    path = path_with_caches
    options: dict[str, Any] = {"read_only": True} if "read-only" in state else {"durability": "fast"}
    handle = Tract.open(path, **options) if "same" in state else None
    if handle is not None:
        handle.compile()
    with opened(index_of(path)) as connection:
        try:
            connection.execute(change)
        except sqlite3.IntegrityError:
            return  # the file itself refuses it
    with handle or Tract.open(path, **options) as t:
        assert told_context(t.compile()) == whole.answers["compile"]
        commits_are_right(t, whole)
        assert answers(t) == whole.answers


PACKED_BY_SQL = [change for change in CHANGES_BY_SQL if "pack" in change or "members" in change or "'member'" in change]


@pytest.mark.parametrize("first", ["tracts", "answers", "has_events"])
@pytest.mark.parametrize("change", PACKED_BY_SQL)
def test_an_index_of_packed_events_changed_by_sql_hides_none(tmp_path: Path, change: str, first: str) -> None:
    path = tmp_path / "context"
    with Tract.open(path, durability="fast", clock=Clock()) as t:
        fill(t)
        t.pack(keep_loose=AT_ONCE)
        expected = answers(t)
    assert not any(name.startswith("events/") for name in synced(path))
    with opened(index_of(path)) as connection:
        connection.execute(change)
    if first == "tracts":
        assert Tract.tracts(path) == ["default"]
    elif first == "has_events":
        packs = Packs(bound_layout(path), read_only=True)
        packs.refresh()
        assert all(map(packs.has_events, packs.names))
    for options in ({"read_only": True}, {"durability": "fast"}, {"verify": True}):
        with Tract.open(path, **options) as t:  # type: ignore[arg-type]
            assert answers(t) == expected
    assert Tract.tracts(path) == ["default"]


ENDLESS = "with recursive n(x) as (select 1 union all select x + 1 from n) select {} from n"


@pytest.mark.parametrize("table", ["tracts", "records", "packs", "members", "pack_events", "sums", "configs", "store"])
def test_a_view_in_the_place_of_a_table_of_the_index_is_not_asked(
    whole: Whole, path_with_caches: Path, table: str
) -> None:
    path = path_with_caches
    with opened(index_of(path)) as connection:
        columns = [row[1] for row in connection.execute(f"pragma table_info({table})")]
        connection.execute(f"drop table {table}")
        connection.execute(f"create view {table} as {ENDLESS.format(', '.join(f'x as {name}' for name in columns))}")
    for options in ({"read_only": True}, {"durability": "fast"}, {"read_only": True}):
        with Tract.open(path, **options) as t:  # type: ignore[arg-type]
            assert answers(t) == whole.answers


def test_a_record_of_arrivals_without_its_event_is_dropped(whole: Whole, path: Path) -> None:
    """As a writer leaves it who died before his rename: the record is there, the event is not."""
    remove_local(path)
    with Tract.open(path, durability="fast", clock=Clock()) as t:
        expected = answers(t)
        t.flush()
        view = own_place(path) / "tracts/default/view"
        covered = view.read_bytes()
        before = set(synced(path))
        t.commit(user("will be lost"), generation_config={"model": "m-1"})
        new = synced(path).keys() - before
    put(view, covered)  # he saved no view that has it
    for name in new:
        (store_root(path) / name).unlink()
    with Tract.open(path, durability="fast") as t:
        assert answers(t) == expected
        assert t.commit(user("goes on")).parents == (expected["head"],)
        assert t.status().other_heads == ()


# what lies about


def test_what_is_none_of_our_files_is_ignored_and_listed(whole: Whole, path: Path) -> None:
    root = store_root(path)
    fan = next(name for name in synced(path) if name.startswith("events/")).rsplit("/", 1)[0]
    strays = [
        "FORMAT (conflicted copy)",
        "notes.txt",
        "objects/README",
        "objects/ab/.nfs000000000001",
        "objects/AB/" + "0" * 62,
        "objects/ab/" + "0" * 61,
        "objects/ab/" + "0" * 62 + ".sync-conflict-20260102-030405",
        "objects/ab/" + "G" * 62,
        f"{fan}/.new.1.2.abcdef01",
        f"{fan}/" + "1" * 62 + " (1)",
        "events/default/index.html",
        "events/Default",
        "packs/pack.tmp",
        "packs/" + "2" * 63,
    ]
    for name in strays:
        put(root / name, b"none of ours")
    with Tract.open(path, durability="fast") as t:
        assert answers(t) == whole.answers
        assert t.compile().warnings == []
        assert Tract.tracts(path) == ["default"]
        listed = t.status().strays
        assert [name for name in strays if name not in listed and not name.startswith("objects/AB/")] == []
        assert "objects/AB" in listed
    remove_local(path)
    with Tract.open(path, durability="fast") as t:
        assert answers(t) == whole.answers


@pytest.mark.parametrize("kind", ["a link", "a pipe", "a directory", "a socket's name"])
@pytest.mark.parametrize("is_local_kept", [True, False], ids=["with local", "without local"])
def test_links_pipes_and_directories_under_our_names_are_ignored(
    whole: Whole, path: Path, tmp_path: Path, kind: str, is_local_kept: bool
) -> None:
    root = store_root(path)
    target = tmp_path / "target"
    target.write_bytes(b'{"event":{}}')
    for name in (
        "objects/ab/" + "0" * 62,
        "objects/cd",
        "events/default/ab/" + "0" * 62,
        "events/default/" + "ef" * 1 + "/" + "1" * 62,
        "packs/" + "2" * 64,
    ):
        place = root / name
        if place.exists():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if kind == "a link":
            place.symlink_to(target)
        elif kind == "a pipe":
            os.mkfifo(place)
        elif kind == "a directory":
            place.mkdir()
        else:
            place.symlink_to(tmp_path / "nowhere")
    if not is_local_kept:
        remove_local(path)
    with Tract.open(path, durability="fast", clock=Clock()) as t:  # a hash of its own may not begin with cd
        assert answers(t) == whole.answers
        t.refresh()
        assert answers(t) == whole.answers
        t.status()
        assert t.commit(user("goes on")).parents == (whole.answers["head"],)
    assert target.read_bytes() == b'{"event":{}}'


@pytest.mark.parametrize("name", ["objects/{}", "events/default/{}", "events/notes", "events/a.tract"])
@pytest.mark.parametrize("is_local_kept", [True, False], ids=["with local", "without local"])
def test_a_file_in_the_place_of_a_directory_is_ignored(
    whole: Whole, path: Path, name: str, is_local_kept: bool
) -> None:
    root = store_root(path)
    free = next(f"{n:02x}" for n in range(256) if not (root / name.format(f"{n:02x}")).exists())
    (root / name.format(free)).write_bytes(b"none of ours")
    if not is_local_kept:
        remove_local(path)
    with Tract.open(path, durability="fast") as t:
        assert answers(t) == whole.answers
        assert name.format(free) in t.status().strays
        t.refresh()
        assert answers(t) == whole.answers
    assert Tract.tracts(path) == ["default"]


def test_a_directory_without_events_is_no_tract(whole: Whole, path: Path) -> None:
    (store_root(path) / "events" / "empty" / "ab").mkdir(parents=True)
    assert Tract.tracts(path) == ["default"]


# what a peer writes


def add_object(path: Path, value: dict[str, Any]) -> str:
    return add_bytes(path, json.dumps(value, sort_keys=True, separators=(",", ":")).encode(), "objects")


def add_bytes(path: Path, data: bytes, folder: str) -> str:
    name = hashlib.sha256(data).hexdigest()
    put(store_root(path) / folder / name[:2] / name[2:], data)
    return name


def event_bytes(*ops: Any, tract: str = "default", at: str = "2026-03-01T00:00:00.000000Z", **more: Any) -> bytes:
    fields = {"at": at, "ops": list(ops), "parents": [], "tract": tract, "writer": "0" * 32, **more}
    return json.dumps({"event": fields}, sort_keys=True, separators=(",", ":")).encode()


def add_event(path: Path, *ops: Any, **fields: Any) -> str:
    return add_bytes(path, event_bytes(*ops, **fields), "events/default")


USAGE = {"kind": "usage", "commit": "0" * 64, "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
PEERS: dict[str, bytes] = {
    "no JSON": b"hello",
    "nothing": b"",
    "no object": b"[]",
    "another kind": b'{"commit":{}}',
    "two kinds": b'{"event":{},"more":1}',
    "an unknown field": event_bytes(mood="good"),
    "an unknown operation": event_bytes({"kind": "teleport", "branch": "main"}),
    "an unknown field of an operation": event_bytes({**USAGE, "mood": "good"}),
    "another tract's": event_bytes(USAGE, tract="other"),
    "a tract that is no name": event_bytes(USAGE, tract="../up"),
    "a time that is none": event_bytes(USAGE, at="yesterday"),
    "a time that there is not": event_bytes(USAGE, at="2026-02-30T00:00:00.000000Z"),
    "a time after year 8999": event_bytes(USAGE, at="9000-01-01T00:00:00.000000Z"),
    "a time of another form": event_bytes(USAGE, at="2026-03-01T00:00:00.000000+00:00"),
    "a negative count": event_bytes({**USAGE, "prompt_tokens": -1}),
    "a parent that is no hash": event_bytes(USAGE, parents=["x"]),
    "a missing parent": event_bytes(USAGE, parents=["1" * 64]),
    "a missing commit": event_bytes(
        {"kind": "append", "branch": "main", "head": "1" * 64, "commits": [{"commit": "1" * 64}], "replaces": []}
    ),
    "a branch that is no name": event_bytes({"kind": "delete", "branch": "a..b", "replaces": []}),
    "two moves of a branch": event_bytes(*[{"kind": "delete", "branch": "main", "replaces": []}] * 2),
    "deep nesting": b'{"event":' + b"[" * 100_000,
    "no UTF-8": b'{"event":{"at":"\xff"}}',
    "a float": event_bytes({**USAGE, "prompt_tokens": 1.5}),
    "null": event_bytes({**USAGE, "prompt_tokens": None}),
}


PACKED = (
    "an unknown operation",
    "another tract's",
    "a time that there is not",
    "a missing parent",
    "no UTF-8",
    "a float",
)


@pytest.mark.parametrize(
    ("data", "is_packed"),
    [(data, False) for data in PEERS.values()] + [(PEERS[name], True) for name in PACKED],
    ids=[*PEERS, *(f"{name}, in a pack" for name in PACKED)],
)
def test_an_event_that_can_not_be_understood_is_pending_and_blocks_nothing(
    whole: Whole, path: Path, data: bytes, is_packed: bool
) -> None:
    with Tract.open(path, durability="fast") as t:
        if is_packed:
            pack = b'{"content":{"content_type":"reasoning","text":"a"}}\n' + data + b"\n"
            put(store_root(path) / "packs" / hashlib.sha256(pack).hexdigest(), pack)
        else:
            add_bytes(path, data, "events/default")
        t.refresh()
        assert answers(t) == whole.answers
        assert t.commit(user("goes on")).parents == (whole.answers["head"],)
        expected = answers(t)
        is_other_tracts = b'"tract":"other"' in data or b"../up" in data
        if not (is_packed and is_other_tracts):
            assert len(t.status().pending) + len(t.status().damaged) == 1
            assert t.compile().warnings
    assert "default" in Tract.tracts(path)
    for is_removed in (False, True):
        if is_removed:
            remove_local(path)
        with Tract.open(path, durability="fast") as t:
            assert answers(t) == expected


NUMBERS = {
    "beyond a double": b"1e999",
    "beyond 64 bits": b"18446744073709551616",
    "deep": b"[" * 1_500 + b"]" * 1_500,
    "a lone surrogate": b'"\\ud800"',
}


@pytest.mark.parametrize("place", ["config", "metadata", "payload"])
@pytest.mark.parametrize("value", NUMBERS.values(), ids=NUMBERS)
def test_a_value_that_json_here_can_not_hold_blocks_nothing_when_a_peer_writes_it(
    tmp_path: Path, value: bytes, place: str
) -> None:
    """FORMAT.md allows integers of 64 bits, finite floats and strings without lone surrogates; a reader meets others."""
    path = tmp_path / "context"
    with Tract.open(path, durability="fast", clock=Clock()) as t:
        first = t.commit(user("hello"), generation_config={"model": "m-1"})
        expected = answers(t)
    content = b'{"content":{"content_type":"freeform","payload":{"a":%s}}}' % (value if place == "payload" else b"1")
    content_hash = add_bytes(path, content, "objects")
    commit = (
        b'{"commit":{"content":"%s","content_type":"freeform","created_at":"2026-03-01T00:00:00.000000Z",%s"operation":"append","parents":["%s"]}}'
        % (
            content_hash.encode(),
            b'"metadata":{"a":%s},' % value if place == "metadata" else b"",
            first.commit_hash.encode(),
        )
    )
    commit_hash = add_bytes(path, commit, "objects")
    event = (
        b'{"event":{"at":"2026-03-01T00:00:00.000000Z","ops":[{"branch":"main","commits":[{"commit":"%s","config":%s}],"head":"%s","kind":"append","replaces":[]}],"parents":[],"tract":"default","writer":""}}'
        % (
            commit_hash.encode(),
            b'{"model":"m-1","a":%s}' % value if place == "config" else b'{"model":"m-1"}',
            commit_hash.encode(),
        )
    )
    add_bytes(path, event, "events/default")
    remove_local(path)
    with Tract.open(path, durability="fast") as t:
        if t.head == first.commit_hash:
            assert answers(t) == expected
            assert t.compile().warnings
            return
        # it is read, then: every call must answer, and none may turn the value into another
        assert t.head == commit_hash
        assert t.get_commit(first.commit_hash) is not None
        for call in (
            t.compile,
            lambda: told_context(t.compile()),
            lambda: [told(info) for info in t.log(None)],
            lambda: t.get_content(commit_hash),
            lambda: [told(info) for info in t.query_by_config("model", "=", "m-1")],
        ):
            try:
                assert "inf" not in repr(call())
            except DamageError as error:
                assert error.hash


# packs


def test_the_good_members_of_a_damaged_pack_are_read(whole: Whole, path: Path) -> None:
    """Without its table, a pack is read line by line, each under its own hash."""
    file = file_of(path, whole.roles["the pack"])
    lines = members_of(file.read_bytes())
    good = [hashlib.sha256(line).hexdigest() for line in lines]
    lines[10] = lines[10][:5]
    put(file, b"\n".join(lines))
    remove_local(path)
    packs = Packs(bound_layout(path), read_only=True)
    packs.refresh()
    found = [name for name in good if packs.read(name) is not None]
    assert found == good[:10] + good[11:]
    with Tract.open(path, durability="fast") as t:
        check_answers(t, whole)


MEMBERS_BY_SQL = (
    "delete from members",
    "delete from members where place = (select max(place) from members)",
    "update members set place = place + 1, size = 1 << 30",
    "update members set name = (select max(name) from members), key = (select key from members order by name desc limit 1)",
)


@pytest.mark.parametrize("change", MEMBERS_BY_SQL)
def test_wrong_rows_of_a_pack_whose_sums_are_right_give_no_wrong_bytes(
    whole: Whole, path_with_caches: Path, change: str
) -> None:
    path = path_with_caches
    with opened(index_of(path)) as connection:
        assert connection.execute(change).rowcount
        make_sums_right(connection, bound_layout(path).seal)
    with Tract.open(path, durability="fast") as t:
        check_answers(t, whole, is_missed=False)


def test_a_pack_under_a_wrong_name_gives_its_members(whole: Whole, path: Path) -> None:
    """Members are checked one by one, so a pack that grew or lost a line harms no other member."""
    file = file_of(path, whole.roles["the pack"])
    file.rename(file.parent / ("3" * 64))
    remove_local(path)
    with Tract.open(path, durability="fast") as t:
        assert answers(t) == whole.answers


# arriving in pieces


def test_files_that_arrive_one_by_one_in_any_order_never_give_a_wrong_answer(whole: Whole, tmp_path: Path) -> None:
    path = tmp_path / "context"
    names = synced(whole.path)
    order = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    order = ["FORMAT", *(name for name in order if name != "FORMAT")]
    with pytest.MonkeyPatch.context() as patched:
        list_always(patched)
        put(store_root(path) / "FORMAT", names["FORMAT"])
        with Tract.open(path, durability="fast") as t:
            for position, name in enumerate(order):
                put(store_root(path) / name, names[name])
                if position % 6 == 0:
                    check_answers(t, whole, is_missed=False)
            t.refresh()
            assert answers(t) == whole.answers
            assert t.status().pending == ()


def test_a_missing_content_does_not_hinder_the_commits_before_it(whole: Whole, path: Path) -> None:
    name = whole.roles["the newest content"]
    (file_of(path, name)).unlink()
    remove_local(path)
    with Tract.open(path, durability="fast") as t:
        assert [told(info) for info in t.log(None)] == whole.answers["log"][1:]
        assert len(t.status().pending) == 1
        with pytest.raises(HistoryIncomplete) as caught:
            t.compile()
        assert (caught.value.path, caught.value.commits) == (name, (whole.answers["head"],))


def test_a_tract_does_not_suffer_from_the_damage_of_another(tmp_path: Path) -> None:
    path = tmp_path / "context"
    with (
        Tract.open(path, tract_id="a", durability="fast", clock=Clock()) as a,
        Tract.open(path, tract_id="b", durability="fast", clock=Clock(2 * 10**15)) as b,
    ):
        fill(a)
        fill(b)
        expected = answers(b)
    for name in synced(path):
        if name.startswith("events/a/"):
            put(store_root(path) / name, b"")
    remove_local(path)
    with Tract.open(path, tract_id="b", durability="fast") as b:
        assert answers(b) == expected
        assert b.compile().warnings == []
    with Tract.open(path, tract_id="a", durability="fast") as a:
        assert a.head is None
        assert missed(a)
        assert len(a.status().damaged) == 9


def test_records_and_their_rows_damaged_in_the_same_place_are_found_again_with_what_another_copy_brought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last records are whole, so the view seems to cover them."""
    monkeypatch.setattr(origins, "_ROWS_AT_ONCE", 16)
    path, other = tmp_path / "context", tmp_path / "other"
    with Tract.open(path, durability="fast") as t:
        for number in range(40):
            t.commit(user(f"text {number}"))
    copy_store(path, other)
    with Tract.open(other, durability="fast") as t:
        t.commit(user("from elsewhere"))
    local = own_place(path) / "tracts/default"
    records = (local / "arrivals").read_bytes()
    put(local / "arrivals", records[: 3 * 96 + 20] + bytes([records[3 * 96 + 20] ^ 1]) + records[3 * 96 + 21 :])
    with opened(index_of(path)) as connection:
        assert connection.execute("update records set event = randomblob(32) where id % 7 = 3").rowcount
    for name, data in synced(other).items():
        put(store_root(path) / name, data)
    for options in ({"read_only": True}, {"durability": "fast"}):
        with Tract.open(path, **options) as t:  # type: ignore[arg-type]
            assert [m.content for m in t.compile().messages] == [
                *(f"text {number}" for number in range(40)),
                "from elsewhere",
            ]
