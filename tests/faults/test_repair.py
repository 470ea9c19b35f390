"""Repair: every file is checked, what is damaged is set aside or mended, and adopted commits are neither lost nor doubled."""

from __future__ import annotations

import hashlib
import json
import os
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.lab.index_rows import count_rows, index_of, make_sums_right, opened
from tests.lab.inside import log_of, reader_of, store_of
from tests.lab.states import (
    answers,
    bound_layout,
    copy_store,
    event_files,
    own_place,
    put,
    put_in_place,
    remove_local,
    store_root,
    synced,
    told,
)
from tests.lab.stores import fill, fill_pack, make_store
from tests.lab.talk import START_US, Clock, texts, user
from tract_fs import RepairReport, Tract
from tract_fs.errors import ArgumentError, HistoryIncomplete, ReadOnlyError
from tract_fs.model.history import is_ancestor
from tract_fs.model.names import CommitHash
from tract_fs.store import quarantine
from tract_fs.upkeep import adopt


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_store(tmp_path / "context", fill, partial(fill_pack, count=60), fill, Tract.flush)


def repair(path: Path, **options: Any) -> RepairReport:
    with Tract.open(path, clock=Clock(START_US + 10**9)) as t:
        return t.repair(**options)


def lose(path: Path, name: str, *, is_local_lost: bool = True) -> bytes:
    data = (store_root(path) / name).read_bytes()
    (store_root(path) / name).unlink()
    if is_local_lost:
        remove_local(path)
    return data


# files


def test_a_whole_store_needs_no_repair(path: Path) -> None:
    with Tract.open(path) as t:
        expected = answers(t)
        before = synced(path)
        report = t.repair()
        assert answers(t) == expected
    assert synced(path) == before
    assert report.checked_count == len(before) - 3
    assert (report.mended, report.set_aside, report.too_fresh, report.unmoved, report.salvaged) == ((), (), (), (), ())
    assert (report.adopted, report.not_adopted, report.advice) == ((), (), ())


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("in_place", [False, True], ids=["by rename", "in place"])
def test_every_damaged_file_is_found_and_set_aside(path: Path, in_place: bool) -> None:
    with Tract.open(path) as t:
        expected = answers(t)
    loose = [name for name in synced(path) if name.startswith(("objects/", "events/"))]
    chosen = [*loose[::9], next(name for name in synced(path) if name.startswith("packs/"))]
    good = {name: (store_root(path) / name).read_bytes() for name in chosen}
    for name, data in good.items():
        (put_in_place if in_place else put)(store_root(path) / name, data[: len(data) // 2])
    report = repair(path)
    assert report.set_aside == tuple(sorted(f"{name}: torn copy" for name in chosen))
    assert [word in report.advice[0] for word in ("quarantine", "another copy")] == [True, True]
    assert not set(chosen) & synced(path).keys()
    for name, data in good.items():
        put(store_root(path) / name, data)
    with Tract.open(path) as t:
        t.refresh()
        assert answers(t) == expected
        assert t.compile().warnings == []
    again = repair(path)
    assert (again.set_aside, again.mended, again.advice) == ((), (), ())


def test_what_is_too_fresh_is_told_and_left(path: Path) -> None:
    name = event_files(path)[3]
    put(store_root(path) / name, b"")
    report = repair(path)
    assert report.too_fresh == (f"{name}: torn copy",)
    assert report.set_aside == ()
    assert (store_root(path) / name).read_bytes() == b""
    assert "ten seconds" in report.advice[0]


@pytest.mark.usefixtures("still")
def test_line_ends_are_mended_in_packs_and_text_files(path: Path) -> None:
    with Tract.open(path) as t:
        expected = answers(t)
    before = synced(path)
    pack = next(name for name in before if name.startswith("packs/"))
    with Tract.open(path) as t:
        for name in ("FORMAT", ".gitignore", pack):
            put(store_root(path) / name, before[name].replace(b"\n", b"\r\n"))
        (store_root(path) / ".gitattributes").unlink()
        report = t.repair()
        assert answers(t) == expected
    assert report.mended == (".gitattributes", ".gitignore", "FORMAT", pack)
    assert synced(path) == before


@pytest.mark.usefixtures("still")
def test_what_the_redo_log_still_holds_is_written_again(path: Path) -> None:
    with Tract.open(path) as t:
        info = t.commit(user("newest"))
        expected = answers(t)
        name = event_files(path)[-1]
        put(store_root(path) / name, b"")
        report = t.repair()
        assert report.mended == (name,)
        assert report.advice == ()
        t.refresh()
        assert (t.head, answers(t)) == (info.commit_hash, expected)


@pytest.mark.usefixtures("still")
def test_a_repair_drops_caches_that_lie(path: Path) -> None:
    with Tract.open(path) as t:
        expected = answers(t)
    assert count_rows(path, "members")
    with opened(index_of(path)) as connection:  # its packs contain nothing
        connection.execute("delete from members")
        make_sums_right(connection, bound_layout(path).seal)
    report = repair(path)
    assert f"local/{own_place(path).name}/index.db" in report.dropped_caches
    assert count_rows(path, "members")
    with Tract.open(path) as t:
        assert answers(t) == expected


def test_good_files_under_a_wrong_name_are_taken_in(path: Path) -> None:
    with Tract.open(path) as t:
        expected = answers(t)
    before = synced(path)
    objects = [name for name in before if name.startswith("objects/")]
    pack = next(name for name in before if name.startswith("packs/"))
    moves = {
        objects[0]: f"{objects[0]}.sync-conflict-20260102-030405-ABCDEFG",
        objects[5]: f"{objects[5]} (conflicted copy)",
        event_files(path)[
            2
        ]: f"{os.path.dirname(event_files(path)[2])}/.{os.path.basename(event_files(path)[2])}.AbCdEf",
        event_files(path)[4]: "lost and found",
        pack: f"{pack} (1)",
    }
    for name, stray in moves.items():
        (store_root(path) / name).rename(store_root(path) / stray)
    with Tract.open(path) as t:
        t.refresh()
        told = t.status()
        assert {(s.path, s.target) for s in told.salvageable} == {(stray, name) for name, stray in moves.items()}
        assert any("tract repair" in advice for advice in told.advice)
        report = t.repair()
        assert set(report.salvaged) == moves.keys()
        assert answers(t) == expected
        assert t.status().salvageable == ()
    after = synced(path)
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == set(moves.values())


@pytest.mark.parametrize("is_fresh", [True, False])
def test_good_files_in_the_place_of_another_are_taken_in(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, is_fresh: bool
) -> None:
    """As git leaves them where it takes a directory for a renamed one."""
    if not is_fresh:
        monkeypatch.setattr(quarantine, "SETTLED_NS", -(10**18))
    with Tract.open(path) as t:
        expected = answers(t)
    before = synced(path)
    loose = [next(name for name in before if name.startswith("objects/")), event_files(path)[3]]
    wrong = {}
    for name in loose:
        directory, base = os.path.split(name)
        wrong[name] = f"{os.path.dirname(directory)}/{'00' if not directory.endswith('00') else '01'}/{base}"
        (store_root(path) / wrong[name]).parent.mkdir(exist_ok=True)
        (store_root(path) / name).rename(store_root(path) / wrong[name])
    with Tract.open(path) as t:
        t.refresh()
        assert t.status().advice != ()
        report = t.repair()
        assert set(report.salvaged) == set(loose)
        assert {shown.partition(": ")[0] for shown in (report.too_fresh if is_fresh else report.set_aside)} == set(
            wrong.values()
        )
        assert answers(t) == expected
    after = synced(path)
    assert {name: after[name] for name in before} == before


def test_strays_that_are_no_missing_file_are_left_alone(path: Path) -> None:
    name = next(name for name in synced(path) if name.startswith("objects/"))
    good = (store_root(path) / name).read_bytes()
    put(store_root(path) / f"{name}.sync-conflict-1", good)
    put(store_root(path) / f"{name}.sync-conflict-2", good[:-1])
    put(store_root(path) / "notes.txt", b'{"content":{"content_type":"dialogue","role":"user","text":"mine"}}')
    before = synced(path)
    report = repair(path)
    assert report.salvaged == ()
    assert synced(path) == before


def test_a_repair_is_refused_where_it_can_not_be(path: Path) -> None:
    with Tract.open(path, read_only=True) as t, pytest.raises(ReadOnlyError):
        t.repair()
    with Tract.open(path) as t, t.batch():
        t.commit(user("x"))
        with pytest.raises(ArgumentError, match="batch"):
            t.repair()


def test_without_verify_only_what_was_met_is_dealt_with(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met, unmet = event_files(path)[3], event_files(path)[5]
    for name in (met, unmet):
        put(store_root(path) / name, b"")
    with Tract.open(path) as t:
        assert store_of(t).events.get("default", met.replace("/", "")[-64:]) is None
        assert t.repair(verify=False).too_fresh == (f"{met}: torn copy",)
        monkeypatch.setattr(quarantine, "SETTLED_NS", -(10**18))
        report = t.repair(verify=False)
        assert report.checked_count == 0
        assert f"{met}: torn copy" in report.set_aside  # and what was met as the loss was noticed
        report = t.repair()
        assert report.checked_count > 0
    assert not (store_root(path) / unmet).exists()


# adoption


def require_refused(t: Tract, lost: str) -> None:
    """Checks that nothing starts from less than there was, and that the refusal names the lost file."""
    for call in (t.compile, lambda: t.commit(user("on top of less"))):
        with pytest.raises(HistoryIncomplete) as caught:
            call()
        assert caught.value.lost == (lost,)


@pytest.fixture
def line(tmp_path: Path) -> tuple[Path, list[str]]:
    """A store of five commits in events of their own, and their hashes."""
    path = tmp_path / "line"
    with Tract.open(path, clock=Clock()) as t:
        names = [t.commit(user(f"{n}"), generation_config={"n": n}).commit_hash for n in range(5)]
        t.flush()
    return path, names


def test_pending_commits_come_back_when_their_parents_are_gone(line: tuple[Path, list[str]]) -> None:
    path, names = line
    lost = event_files(path)[2]
    data = lose(path, lost)
    with Tract.open(path, clock=Clock(START_US + 10**9)) as t:
        require_refused(t, lost)
        assert len(t.status().pending) == 2
        report = t.repair(adopt=True)
        assert report.adopted == (f"main {names[4]}",)
        assert texts(t) == ["0", "1", "2", "3", "4"]
        assert t.head == names[4]
        assert t.status().other_heads == ()
        configs = [None if (c := t.get_commit(name)) is None else c.generation_config for name in names]
        assert configs == [{"n": 0}, {"n": 1}, None, {"n": 3}, {"n": 4}]  # one config went with its event
        before = synced(path)
        assert t.repair(adopt=True).adopted == ()
        assert synced(path) == before
        info = t.commit(user("5"))
        assert info.parents == (names[4],)
    put(store_root(path) / lost, data)
    for is_removed in (False, True):
        if is_removed:
            remove_local(path)
        with Tract.open(path) as t:
            t.refresh()
            assert texts(t) == ["0", "1", "2", "3", "4", "5"]
            assert [info.commit_hash for info in t.log(None)] == [info.commit_hash, *names[::-1]]
            assert t.status().other_heads == ()
            assert t.status().pending == ()
            found = [info.generation_config for info in t.log(None)]
            assert found == [None, {"n": 4}, {"n": 3}, {"n": 2}, {"n": 1}, {"n": 0}]


def test_an_adopted_line_becomes_a_second_head_and_the_own_line_stays(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    with Tract.open(here, clock=Clock()) as t:
        base = t.commit(user("base")).commit_hash
        t.flush()
    copy_store(here, there)
    with Tract.open(there, clock=Clock(START_US + 10**8)) as t:
        lost_one = t.commit(user("there 1"))
        lost = event_files(there)[-1]
        second = t.commit(user("there 2")).commit_hash
    with Tract.open(here, clock=Clock(START_US + 10**7)) as t:
        own = t.commit(user("here 1")).commit_hash
        for name, data in synced(there).items():
            if name != lost:
                put(store_root(here) / name, data)
        t.refresh()
        assert (t.head, t.status().other_heads) == (own, ())
        assert [w.state for w in t.status().waiting] == ["unknown"]
        assert t.repair(adopt=True).adopted == (f"main {second}",)
        assert (t.head, t.status().other_heads) == (own, (second,))
        distance = t.status().distances[0]
        assert (distance.head, distance.common, distance.only_there, distance.only_here) == (second, base, 2, 1)
        assert texts(t) == ["base", "here 1"]
    with Tract.open(here) as t:
        assert t.head == own
        put(store_root(here) / lost, synced(there)[lost])
        t.refresh()
        assert (t.head, t.status().other_heads, t.status().pending) == (own, (second,), ())
        assert t.get_commit(lost_one.commit_hash) is not None


def test_two_copies_that_adopt_apart_have_one_head_each_after_a_sync(
    line: tuple[Path, list[str]], tmp_path: Path
) -> None:
    path, names = line
    lose(path, event_files(path)[1])
    other = copy_store(path, tmp_path / "other")
    for copy, clock in ((path, Clock(START_US + 10**9)), (other, Clock(START_US + 2 * 10**9))):
        with Tract.open(copy, clock=clock) as t:
            assert t.repair(adopt=True).adopted == (f"main {names[4]}",)
    for name, data in synced(other).items():
        put(store_root(path) / name, data)
    with Tract.open(path) as t:
        t.refresh()
        assert (t.head, t.status().other_heads) == (names[4], ())
        assert texts(t) == ["0", "1", "2", "3", "4"]


def test_commits_whose_history_is_not_here_are_not_adopted_and_told(line: tuple[Path, list[str]]) -> None:
    path, names = line
    event = event_files(path)[2]
    lose(path, event)
    commit = f"objects/{names[3][:2]}/{names[3][2:]}"
    data = lose(path, commit)
    with Tract.open(path, clock=Clock(START_US + 10**9)) as t:
        t.refresh()
        report = t.repair(adopt=True)
        assert report.adopted == ()
        assert [names[3] in told and "is missing (unknown)" in told for told in report.not_adopted] == [True, True]
        require_refused(t, event)
        put(store_root(path) / commit, data)
        assert t.repair(adopt=True).adopted == (f"main {names[4]}",)


def test_a_missing_content_is_told_and_what_is_whole_below_it_is_adopted(line: tuple[Path, list[str]]) -> None:
    path, names = line
    with Tract.open(path) as t:
        found = t.get_commit(names[4])
        assert found is not None and found.content_hash is not None
        content = found.content_hash
    event = event_files(path)[2]
    lose(path, event)
    lose(path, f"objects/{content[:2]}/{content[2:]}")
    with Tract.open(path, clock=Clock(START_US + 10**9)) as t:
        report = t.repair(adopt=True)
        assert report.adopted == (f"main {names[3]}",)
        assert len(report.not_adopted) == 1
        assert f"{content} is missing (unknown)" in report.not_adopted[0]
        assert t.head == names[3]
        require_refused(t, event)
    with Tract.open(path, incomplete="use") as t:
        assert texts(t) == ["0", "1", "2", "3"]


def test_two_lost_lines_of_a_branch_become_a_head_each(tmp_path: Path) -> None:
    base = tmp_path / "base"
    with Tract.open(base, clock=Clock()) as t:
        t.commit(user("base"))
        t.flush()
    heads = []
    for n in range(3):
        side = copy_store(base, tmp_path / f"side {n}")
        with Tract.open(side, clock=Clock(START_US + (n + 1) * 10**8)) as t:
            t.commit(user(f"side {n}, first"))
            lost = event_files(side)[-1]
            heads.append(t.commit(user(f"side {n}, second")).commit_hash)
        (store_root(side) / lost).unlink()
        for name, data in synced(side).items():
            put(store_root(base) / name, data)
    with Tract.open(base, clock=Clock(START_US + 10**9)) as t:
        t.refresh()
        assert texts(t) == ["base"]
        assert t.repair(adopt=True).adopted == tuple(sorted(f"main {head}" for head in heads))
        assert {t.head, *t.status().other_heads} == set(heads)
        assert t.repair(adopt=True).adopted == ()


def test_a_branch_whose_making_is_gone_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "context"
    with Tract.open(path, clock=Clock()) as t:
        t.commit(user("main"))
    with Tract.open(path, branch="side", clock=Clock(START_US + 10**8)) as t:
        t.commit(user("side 1"))
        lost = event_files(path)[-1]
        second = t.commit(user("side 2")).commit_hash
        t.flush()
    lose(path, lost)
    with Tract.open(path, branch="side", clock=Clock(START_US + 10**9)) as t:
        assert t.head is None
        assert t.repair(adopt=True).adopted == (f"side {second}",)
        assert t.head == second
        assert texts(t) == ["side 1", "side 2"]
    with Tract.open(path) as t:
        assert texts(t) == ["main"]


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_what_a_lost_line_had_reset_does_not_come_back(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "context"
    with Tract.open(path, clock=Clock()) as t:
        names = [t.commit(user(f"{n}")).commit_hash for n in range(4)]
        t.reset(names[1])
        last = t.commit(user("instead")).commit_hash
        t.flush()
    lose(path, event_files(path)[lost])
    with Tract.open(path, clock=Clock(START_US + 10**9)) as t:
        assert t.head == (names[lost - 1] if lost else None)
        assert t.repair(adopt=True).adopted == (f"main {last}",)
        assert (t.head, t.status().other_heads) == (last, ())
        assert texts(t) == ["0", "1", "instead"]


def test_a_lost_reset_alone_brings_nothing_back(tmp_path: Path) -> None:
    path = tmp_path / "context"
    with Tract.open(path, clock=Clock()) as t:
        names = [t.commit(user(f"{n}")).commit_hash for n in range(4)]
        t.reset(names[0])
        t.flush()
    lose(path, event_files(path)[2])
    with Tract.open(path, clock=Clock(START_US + 10**9)) as t:
        assert t.head == names[1]
        assert t.repair(adopt=True).adopted == ()
        assert t.head == names[1]


def test_a_fork_whose_first_event_is_gone_comes_back_with_the_configs_of_both_tracts(tmp_path: Path) -> None:
    path = tmp_path / "context"
    with Tract.open(path, clock=Clock()) as t:
        t.commit(user("common"), generation_config={"n": 0})
        with t.fork("child") as child:
            child.commit(user("child 1"), generation_config={"n": 1})
            child.commit(user("child 2"), generation_config={"n": 2})
            head = child.head
        t.flush()
    first = next(name for name in event_files(path) if name.startswith("events/child/"))
    lose(path, first)
    with Tract.open(path, tract_id="child", clock=Clock(START_US + 10**9)) as child:
        assert child.head is None
        assert child.repair(adopt=True).adopted == (f"main {head}",)
        assert texts(child) == ["common", "child 1", "child 2"]
        assert [info.generation_config for info in child.log(None)][:2] == [{"n": 2}, {"n": 1}]


def test_invalid_events_are_never_adopted(line: tuple[Path, list[str]]) -> None:
    path, _ = line
    made = json.loads((store_root(path) / event_files(path)[0]).read_bytes())
    made["event"]["at"] = "2020-01-01T00:00:00.000000Z"
    data = json.dumps(made, sort_keys=True, separators=(",", ":")).encode()
    name = hashlib.sha256(data).hexdigest()
    put(store_root(path) / f"events/default/{name[:2]}/{name[2:]}", data)
    with Tract.open(path) as t:
        t.refresh()
        report = t.repair(adopt=True)
        assert report.adopted == ()
        assert report.not_adopted == (f"{name}: invalid: it brings a commit that is later than itself",)


def test_without_adopt_nothing_is_written(line: tuple[Path, list[str]]) -> None:
    path, _ = line
    lose(path, event_files(path)[2])
    before = synced(path)
    report = repair(path)
    assert (report.adopted, report.not_adopted) == ((), ())
    assert synced(path) == before


def test_edits_and_annotations_are_adopted_with_their_line(path: Path) -> None:
    with Tract.open(path) as t:
        expected = answers(t)
    for name in event_files(path)[1:4]:
        lose(path, name)
    with Tract.open(path, clock=Clock(START_US + 10**9)) as t:
        assert len(t.repair(adopt=True).adopted) == 1
        found = answers(t)
        assert [json.loads(info)["commit_hash"] for info in found["log"]] == [
            json.loads(info)["commit_hash"] for info in expected["log"]
        ]
        assert found["contents"] == expected["contents"]
        assert found["compile"]["messages"] == expected["compile"]["messages"]


@pytest.mark.parametrize("is_interrupted", [False, True], ids=["at once", "interrupted"])
def test_a_history_too_long_for_one_event_comes_back_in_parts(
    line: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch, is_interrupted: bool
) -> None:
    path, names = line
    monkeypatch.setattr(adopt, "_PART_BYTES", 2 * 320)
    lose(path, event_files(path)[0])
    before = synced(path)
    with Tract.open(path, clock=Clock(START_US + 10**9)) as t:
        if is_interrupted:
            written = store_of(t).add_event

            def fails(tract: str, data: bytes) -> Any:
                if len(synced(path)) > len(before):
                    raise OSError(28, "no space left on device")
                return written(tract, data)

            monkeypatch.setattr(store_of(t), "add_event", fails)
            with pytest.raises(OSError, match="no space"):
                t.repair(adopt=True)
            monkeypatch.setattr(store_of(t), "add_event", written)
        assert t.repair(adopt=True).adopted == (f"main {names[4]}",)
        assert len(synced(path)) - len(before) >= 2
        assert (t.head, t.status().other_heads) == (names[4], ())
        assert texts(t) == ["0", "1", "2", "3", "4"]
        assert [info.generation_config for info in t.log(None)] == [{"n": 4}, {"n": 3}, {"n": 2}, {"n": 1}, None]
        assert t.repair(adopt=True).adopted == ()


@pytest.mark.parametrize("order", range(6))
def test_whatever_returns_after_an_adoption_nothing_is_lost_or_doubled(
    line: tuple[Path, list[str]], order: int
) -> None:
    path, names = line
    with Tract.open(path) as t:
        expected = answers(t)
    lost = [event_files(path)[n] for n in (1, 2, 3)]
    kept = {name: lose(path, name) for name in lost}
    with Tract.open(path, clock=Clock(START_US + 10**9)) as t:
        assert t.repair(adopt=True).adopted == (f"main {names[4]}",)
        for n in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0])[order]:
            put(store_root(path) / lost[n], kept[lost[n]])
            t.refresh()
            assert (t.head, t.status().other_heads) == (names[4], ())
            assert texts(t) == ["0", "1", "2", "3", "4"]
        assert answers(t) == expected
        assert t.repair(adopt=True).adopted == ()
    remove_local(path)
    with Tract.open(path) as t:
        assert answers(t) == expected


def heads_of(t: Tract) -> set[str]:
    return {name for name in (t.head, *t.status().other_heads) if name is not None}


@pytest.mark.parametrize("seed", range(40))
def test_any_loss_adoption_and_return_loses_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    copies = [tmp_path / "a", tmp_path / "b"]
    clock = Clock()
    for step in range(random.randint(6, 14)):
        place = copies[step % 2 if random.random() < 0.7 else 0]
        with Tract.open(place, clock=clock, durability="fast") as t:
            if random.random() < 0.15 and len(t.log(None)) > 2:
                t.reset(random.choice(t.log(None)[1:]).commit_hash)
            elif random.random() < 0.2 and t.head is not None:
                t.annotate(t.log(None)[-1].commit_hash, random.choice(["skip", "pinned"]))
            else:
                t.commit(user(f"{step}"), generation_config={"step": step})
        if random.random() < 0.4:
            source, target = random.sample(copies, 2)
            for name, data in synced(source).items():
                put(store_root(target) / name, data)
    path = copies[0]
    for name, data in synced(copies[1]).items():
        put(store_root(path) / name, data)
    with Tract.open(path, clock=clock) as t:
        t.refresh()
        heads = heads_of(t)
        known = {d.hex() for d in log_of(t).origins.all_commits()}
        infos = {name: told(info) for name in known if (info := t.get_commit(name)) is not None}
        t.flush()
    lost = random.sample(event_files(path), random.randint(1, 3))
    kept = {name: lose(path, name, is_local_lost=seed % 2 == 0) for name in lost}
    with Tract.open(path, clock=clock) as t:
        t.refresh()
        before = heads_of(t)
        brought = {told.removeprefix("main ") for told in t.repair(adopt=True).adopted}
        adopted = heads_of(t)
        assert all(any(is_in(t, old, new) for new in adopted) for old in before | brought)
        assert t.repair(adopt=True).adopted == ()
    with Tract.open(copy_without_local(path, tmp_path / "fresh")) as t:
        assert heads_of(t) == adopted
    for name, data in kept.items():
        put(store_root(path) / name, data)
    for is_removed in (False, True):
        if is_removed:
            remove_local(path)
        with Tract.open(path) as t:
            t.refresh()
            status = t.status()
            assert (status.pending, status.damaged, status.gone) == ((), (), ())
            found = {name: told(info) for name in known if (info := t.get_commit(name)) is not None}
            assert found == infos
            # what else was shown meanwhile may have been reset by what returned
            assert all(any(is_in(t, old, new) for new in heads_of(t)) for old in heads | brought)
            history = [info.commit_hash for info in t.log(None)]
            assert len(history) == len(set(history))
            assert t.repair(adopt=True).adopted == ()


def is_in(t: Tract, ancestor: str, head: str) -> bool:
    return is_ancestor(CommitHash(ancestor), CommitHash(head), reader_of(t).commit)


def copy_without_local(source: Path, target: Path) -> Path:
    copy_store(source, target)
    remove_local(target)
    return target
