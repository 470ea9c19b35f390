"""Lost files: nothing shows or goes on from less than there was without an error that names the file, and all heals with it."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.power import in_next_boot
from tests.lab.states import copy_store, event_files, own_place, put, remove_local, store_root, synced, told
from tests.lab.stores import AT_ONCE
from tests.lab.talk import START_US, Clock, say, texts, user
from tract_fs import InstructionContent, Tract
from tract_fs.errors import ArgumentError, HashMismatch, HistoryIncomplete, ObjectMissing, TractError
from tract_fs.store.place import MARKER

LINE = ["m0", "m1", "m2", "m3", "m4", "m5"]


def open_tract(path: Path, **options: Any) -> Tract:
    return Tract.open(path, durability="fast", **options)


@pytest.fixture
def line(tmp_path: Path) -> tuple[Path, list[str]]:
    """A store of six commits in events of their own, and their hashes."""
    path = tmp_path / "line"
    with open_tract(path, clock=Clock()) as t:
        names = [t.commit(user(text), generation_config={"n": n}).commit_hash for n, text in enumerate(LINE)]
    return path, names


def content_of(path: Path, commit: str) -> str:
    """Returns the file of a commit's content, from the store's root on."""
    with open_tract(path, read_only=True) as t:
        found = t.get_commit(commit)
    assert found is not None and found.content_hash is not None
    return object_name(found.content_hash)


def object_name(name: str) -> str:
    return f"objects/{name[:2]}/{name[2:]}"


def hash_of(name: str) -> str:
    return name.replace("/", "")[-64:]


def lose(path: Path, name: str) -> bytes:
    data = (store_root(path) / name).read_bytes()
    (store_root(path) / name).unlink()
    return data


def require_refused(t: Tract, name: str, commits: list[str]) -> None:
    """Checks that nothing starts from less than there was, and that each refusal names the file and what it hides."""
    for call in (
        t.compile,
        lambda: t.commit(user("on top of less")),
        lambda: t.reset("@"),
        lambda: t.undo(),
        lambda: t.merge(),
        lambda: t.branch("other"),
        lambda: t.rename_branch("main", "renamed"),
        lambda: t.delete_branch("main", force=True),
        lambda: t.fork("forked"),
        lambda: t.import_messages([{"role": "user", "content": "x"}]),
        lambda: t.record_usage({"prompt_tokens": 1, "completion_tokens": 1}),
        lambda: t.summarize([t.log(1)[0].commit_hash], "a summary"),
    ):
        with pytest.raises(HistoryIncomplete) as caught:
            call()
        assert (caught.value.path, caught.value.hash) == (name, hash_of(name))
        assert caught.value.lost == (name,)
        assert list(caught.value.commits) == commits


LOST: dict[str, Callable[[Path, str], str]] = {
    "content": content_of,
    "commit": lambda path, commit: object_name(commit),
    "event": lambda path, commit: event_files(path)[3],
}


def open_another_tract(path: Path) -> None:
    with open_tract(path, tract_id="other") as t:
        say(t, "of another tract")


def use_what_there_is(path: Path) -> None:
    with open_tract(path, incomplete="use") as t:
        assert texts(t) == LINE[:3]


def lose_the_saved_view(path: Path) -> None:
    with open_tract(path) as t, pytest.raises(HistoryIncomplete):
        t.compile()
    (own_place(path) / "tracts" / "default" / "view").unlink()


def lose_all_about_the_tract(path: Path) -> None:
    lose_the_saved_view(path)
    shutil.rmtree(own_place(path) / "tracts" / "default")


@pytest.mark.parametrize(
    "before", [open_another_tract, use_what_there_is, lose_the_saved_view, lose_all_about_the_tract]
)
def test_a_torn_event_counts_as_lost_in_a_place_that_has_no_saved_view(
    line: tuple[Path, list[str]], before: Callable[[Path], None]
) -> None:
    path, names = line
    name = event_files(path)[3]
    put(store_root(path) / name, (store_root(path) / name).read_bytes()[:-20])
    remove_local(path)
    before(path)
    for _ in range(2):
        with open_tract(path) as t:
            require_refused(t, name, names[4:])


def test_a_restart_of_the_machine_makes_no_altered_event_a_torn_one(line: tuple[Path, list[str]]) -> None:
    path, names = line
    last = event_files(path)[5]
    data = lose(path, last)
    remove_local(path)
    with open_tract(path) as t:
        assert texts(t) == LINE[:5]
    put(store_root(path) / last, data.replace(names[5].encode(), names[4].encode()))  # whole JSON, other bytes
    with in_next_boot(), open_tract(path) as t:
        require_refused(t, last, [])


@pytest.mark.parametrize("kind", LOST)
def test_a_clone_without_one_file_refuses_to_go_on_from_before_it(line: tuple[Path, list[str]], kind: str) -> None:
    path, names = line
    name = LOST[kind](path, names[3])
    data = lose(path, name)
    remove_local(path)
    hidden = names[4:] if kind == "event" else names[3:]
    with open_tract(path) as t:
        require_refused(t, name, hidden)
        assert [t.get_content(info.commit_hash).text for info in t.log(None)] == ["m2", "m1", "m0"]
        assert t.incomplete() is not None
        # what is whole is reached, by full hash, by its first digits, and by steps
        assert t.get_content(names[4]).text == "m4"
        assert t.resolve(names[5][:10]) == names[5]
        assert t.resolve(f"{names[5]}~1") == names[4]
        found = t.get_commit(names[5])
        assert found is not None and found.generation_config == {"n": 5}
        assert [info.commit_hash for info in t.query_by_config("n", ">=", 4)] == names[4:]
    put(store_root(path) / name, data)
    with open_tract(path) as t:
        t.refresh()
        assert (texts(t), t.incomplete(), t.compile().warnings) == (LINE, None, [])
        assert t.status().other_heads == ()


@pytest.mark.parametrize("is_repaired", [False, True])
@pytest.mark.parametrize("kind", LOST)
def test_a_copy_that_knew_the_file_refuses_too_once_its_view_was_rebuilt(
    line: tuple[Path, list[str]], kind: str, is_repaired: bool
) -> None:
    path, names = line
    name = LOST[kind](path, names[3])
    data = lose(path, name)
    if is_repaired:
        with open_tract(path) as t:
            report = t.repair()
            assert [(lost.path, lost.kind, lost.is_damaged) for lost in report.lost] == [(name, kind, False)]
            shown = ["m3", "m4", "m5"]
            if kind == "content":
                shown[0] = "(its content is lost)"
            elif kind == "commit":
                shown[0] = "(the commit is lost)"
            else:
                del shown[0]
            assert [line.partition(": ")[2] for line in report.lost[0].hidden] == shown
    else:
        open_tract(path, verify=True).close()
    hidden = names[4:] if kind == "event" else names[3:]
    with open_tract(path) as t:
        require_refused(t, name, hidden)
        assert [lost.path for lost in t.status().lost] == [name]
        assert t.get_content(names[5]).text == "m5"
        with t.at(names[2]) as at:
            assert texts(at) == LINE[:3]
    put(store_root(path) / name, data)
    with open_tract(path) as t:
        t.refresh()
        assert (texts(t), t.incomplete(), t.status().lost) == (LINE, None, ())


def test_a_lost_content_in_a_known_history_is_named_and_can_be_dropped(line: tuple[Path, list[str]]) -> None:
    path, names = line
    name = content_of(path, names[3])
    lose(path, name)
    with open_tract(path) as t:
        with pytest.raises(HistoryIncomplete) as caught:
            t.compile()
        assert (caught.value.path, names[3] in str(caught.value)) == (name, True)
        assert len(t.log(None)) == 6
        with pytest.raises(ObjectMissing):
            t.get_content(names[3])
        ways: list[Callable[[], object]] = [
            lambda: t.annotate(names[3], "skip"),
            lambda: t.revert(names[3]),
            lambda: t.summarize([names[3]], "in short"),
            lambda: t.summarize(first=names[2], last=names[4], content="in short"),
            lambda: t.edit(names[3], user("again")),
        ]
        shown = [
            ["m0", "m1", "m2", "m4", "m5"],
            ["m0", "m1", "m2", "m4", "m5"],
            ["m0", "m1", "m2", "in short", "m4", "m5"],
            ["m0", "m1", "in short", "m5"],
            ["m0", "m1", "m2", "again", "m4", "m5"],
        ]
        for way, expected in zip(ways, shown, strict=True):
            way()
            assert texts(t) == expected
            with open_tract(path) as fresh:
                assert texts(fresh) == expected
            t.reset(names[5])
            with pytest.raises(HistoryIncomplete):
                t.compile()
        t.reset(names[2])
        assert texts(t) == ["m0", "m1", "m2"]


def test_a_context_shows_a_message_again_once_its_content_is_back(line: tuple[Path, list[str]]) -> None:
    path, names = line
    name = content_of(path, names[3])
    data = lose(path, name)
    with open_tract(path) as t, open_tract(path, incomplete="use") as used:
        with pytest.raises(HistoryIncomplete):
            t.compile()
        assert texts(used) == ["m0", "m1", "m2", "m4", "m5"]
        put(store_root(path) / name, data)
        assert texts(t) == LINE
        assert (texts(used), used.compile().warnings) == (LINE, [])


@pytest.mark.parametrize("is_local_kept", [True, False])
def test_a_handle_that_is_told_to_works_with_what_is_whole(line: tuple[Path, list[str]], is_local_kept: bool) -> None:
    path, names = line
    name = content_of(path, names[3])
    data = lose(path, name)
    if is_local_kept:
        open_tract(path, verify=True).close()
    else:
        remove_local(path)
    with open_tract(path, incomplete="use", clock=Clock(START_US + 10**9)) as t:
        for _ in range(2):
            assert texts(t) == ["m0", "m1", "m2", "m4", "m5"]
            assert t.compile().warnings == [f"commit {names[3]} is left out: its content {hash_of(name)} is lost"]
            t.refresh()
        added = t.commit(user("m6"))
        assert added.parents == (names[5],)
        with t.batch():
            t.commit(user("m7"))
            t.tag("here")
        assert texts(t) == ["m0", "m1", "m2", "m4", "m5", "m6", "m7"]
        assert [info.commit_hash for info in t.query_by_config("n", ">=", 4)] == names[4:]
    # nothing of it goes into what other handles of this copy use
    with open_tract(path) as t:
        with pytest.raises(HistoryIncomplete):
            t.compile()
        with pytest.raises(HistoryIncomplete):
            t.commit(user("on top of less"))
        assert [info.commit_hash for info in t.log(None)] == names[2::-1]
    with open_tract(path, incomplete="use") as t:
        assert texts(t) == ["m0", "m1", "m2", "m4", "m5", "m6", "m7"]
    put(store_root(path) / name, data)
    for is_removed in (False, True):
        if is_removed:
            remove_local(path)
        with open_tract(path) as t:
            t.refresh()
            assert texts(t) == [*LINE, "m6", "m7"]
            assert (t.status().other_heads, t.incomplete(), t.compile().warnings) == ((), None, [])


@pytest.mark.parametrize("position", [3, 5])
def test_a_log_of_a_handle_that_is_told_to_ends_before_a_lost_commit(
    line: tuple[Path, list[str]], position: int
) -> None:
    path, names = line
    lose(path, object_name(names[position]))
    with open_tract(path) as t, pytest.raises(ObjectMissing) as caught:
        t.log()
    assert "'tract repair' lists what can be kept" in str(caught.value)
    with open_tract(path, incomplete="use") as t:
        assert [info.commit_hash for info in t.log()] == names[:position][::-1]


@pytest.mark.parametrize("kind", ["commit", "event"])
def test_a_handle_that_is_told_to_goes_on_before_a_lost_commit_or_event(
    line: tuple[Path, list[str]], kind: str
) -> None:
    path, names = line
    name = LOST[kind](path, names[3])
    data = lose(path, name)
    with open_tract(path, incomplete="use", clock=Clock(START_US + 10**9)) as t:
        assert texts(t) == ["m0", "m1", "m2"]
        assert name in t.compile().warnings[0]
        added = t.commit(user("instead"))
        assert added.parents == (names[2],)
    with open_tract(path, clock=Clock(START_US + 2 * 10**9)) as t:  # it has a later line of its own now
        assert texts(t) == ["m0", "m1", "m2", "instead"]
        t.commit(user("more"))
    put(store_root(path) / name, data)
    with open_tract(path) as t:
        t.refresh()
        assert texts(t) == ["m0", "m1", "m2", "instead", "more"]
        assert t.status().other_heads == (names[5],)


def test_a_lost_content_that_is_given_up_is_left_out_in_all_copies(
    line: tuple[Path, list[str]], tmp_path: Path
) -> None:
    path, names = line
    name = content_of(path, names[3])
    data = lose(path, name)
    other = copy_store(path, tmp_path / "other")
    remove_local(other)
    with open_tract(path, clock=Clock(START_US + 10**9)) as t:
        before = synced(path)
        with pytest.raises(ArgumentError, match="not the hash of one lost file"):
            t.repair(give_up=["0" * 64])
        assert synced(path) == before
        report = t.repair(give_up=[hash_of(name)[:12]])
        assert (report.lost, report.given_up) == ((), (hash_of(name),))
        assert texts(t) == ["m0", "m1", "m2", "m4", "m5"]
        assert t.commit(user("m6")).parents == (names[5],)
        with pytest.raises(HistoryIncomplete), open_tract(other) as there:
            there.compile()
        assert t.sync(other).is_whole
    for copy in (path, other):
        with open_tract(copy) as t:
            assert texts(t) == ["m0", "m1", "m2", "m4", "m5", "m6"]
            assert (t.compile().warnings, t.repair().lost) == ([], ())
    put(store_root(path) / name, data)  # it comes back after all
    with open_tract(path) as t:
        assert texts(t) == [*LINE, "m6"]


@pytest.mark.parametrize("kind", ["commit", "event"])
def test_what_stands_behind_a_commit_or_event_that_is_given_up_is_reached_by_its_hash(
    line: tuple[Path, list[str]], tmp_path: Path, kind: str
) -> None:
    path, names = line
    name = LOST[kind](path, names[3])
    data = lose(path, name)
    remove_local(path)
    with open_tract(path, clock=Clock(START_US + 10**9)) as t:
        assert t.repair(give_up=[hash_of(name)]).lost == ()
        assert (texts(t), t.incomplete()) == (["m0", "m1", "m2"], None)
        assert t.get_content(names[5]).text == "m5"
        t.cherry_pick(names[5])
        assert texts(t) == ["m0", "m1", "m2", "m5"]
    copy = copy_store(path, tmp_path / "copy")
    remove_local(copy)
    with open_tract(copy) as t:
        assert (texts(t), t.incomplete()) == (["m0", "m1", "m2", "m5"], None)
    put(store_root(path) / name, data)
    with open_tract(path) as t:
        t.refresh()
        assert texts(t) == ["m0", "m1", "m2", "m5"]
        assert t.status().other_heads == (names[5],)


def test_an_empty_tract_whose_events_went_away_is_incomplete(line: tuple[Path, list[str]], tmp_path: Path) -> None:
    path, _ = line
    shutil.move(store_root(path) / "events/default", tmp_path / "events")
    with open_tract(path) as t:
        assert t.head is None
        with pytest.raises(HistoryIncomplete) as caught:
            t.compile()
        assert len(caught.value.lost) == 6
        with pytest.raises(HistoryIncomplete):
            t.commit(user("from nothing"))
    shutil.move(tmp_path / "events", store_root(path) / "events/default")
    with open_tract(path) as t:
        t.refresh()
        assert texts(t) == LINE


def test_a_going_back_that_nothing_explains_is_missed_until_it_is_accepted(line: tuple[Path, list[str]]) -> None:
    """Events that went together with the commits that they bring, as by a sync with --delete from an older copy."""
    path, names = line
    for name in names[4:]:
        lose(path, content_of(path, name))
        lose(path, object_name(name))
    events = event_files(path)[4:]
    for name in events:
        lose(path, name)
    with open_tract(path, clock=Clock(START_US + 10**9)) as t:
        with pytest.raises(HistoryIncomplete) as caught:
            t.compile()
        assert sorted(caught.value.lost) == sorted(events)
        report = t.repair(accept=True)
        assert (sorted(report.accepted), report.lost) == (sorted(map(hash_of, events)), ())
        assert (texts(t), t.compile().warnings) == (LINE[:4], [])
        assert t.commit(user("on an older revision")).parents == (names[3],)


def test_the_newest_event_alone_is_missed_where_its_commit_is_still_there(line: tuple[Path, list[str]]) -> None:
    path, names = line
    name = event_files(path)[5]
    lose(path, name)
    with open_tract(path) as t:
        require_refused(t, name, [])
        assert t.get_content(names[5]).text == "m5"
    with open_tract(path) as t:  # from the saved view
        require_refused(t, name, [])


def test_a_copy_with_a_line_of_its_own_goes_on_while_a_sync_is_under_way(
    line: tuple[Path, list[str]], tmp_path: Path
) -> None:
    path, names = line
    other = copy_store(path, tmp_path / "other")
    with open_tract(other, clock=Clock(START_US + 10**8)) as t:
        say(t, "there 1", "there 2")
    files = synced(other)
    late = event_files(other)[6]
    with open_tract(path, clock=Clock(START_US + 10**9)) as t:
        for name, data in files.items():
            if name != late:
                put(store_root(path) / name, data)
        t.refresh()
        assert texts(t) == LINE
        assert t.commit(user("here")).parents == (names[5],)
        put(store_root(path) / late, files[late])
        t.refresh()
        assert texts(t) == [*LINE, "here"]
        assert len(t.status().other_heads) == 1


def test_other_branches_of_a_tract_do_not_suffer(line: tuple[Path, list[str]]) -> None:
    path, names = line
    with open_tract(path, clock=Clock(START_US + 10**8)) as t:
        t.branch("side", at=names[1])
        t.switch("side")
        on_side = say(t, "side 1", "side 2")
    name = content_of(path, on_side[0])
    lose(path, name)
    remove_local(path)
    with open_tract(path, clock=Clock(START_US + 10**9)) as t:
        assert texts(t) == LINE
        say(t, "goes on")
        t.switch("side")
        with pytest.raises(HistoryIncomplete) as caught:
            t.compile()
        assert (caught.value.branch, caught.value.lost) == ("side", (name,))
        t.switch("main")
        with pytest.raises(HistoryIncomplete):
            t.merge("side")


def test_a_fork_of_a_tract_whose_file_is_lost_is_incomplete(line: tuple[Path, list[str]]) -> None:
    path, names = line
    with open_tract(path, clock=Clock(START_US + 10**8)) as t, t.fork("child") as child:
        say(child, "child 1")
    name = content_of(path, names[3])
    data = lose(path, name)
    remove_local(path)
    with open_tract(path, tract_id="child") as child:
        with pytest.raises(HistoryIncomplete) as caught:
            child.compile()
        assert caught.value.lost == (name,)
    with open_tract(path, tract_id="child", incomplete="use") as child:
        assert texts(child) == ["m0", "m1", "m2", "m4", "m5", "child 1"]
    put(store_root(path) / name, data)
    with open_tract(path, tract_id="child") as child:
        assert texts(child) == [*LINE, "child 1"]


def test_a_sync_of_a_store_with_a_lost_file_says_so(line: tuple[Path, list[str]], tmp_path: Path) -> None:
    path, names = line
    name = content_of(path, names[3])
    lose(path, name)
    stick = tmp_path / "stick"
    stick.mkdir()
    with open_tract(path) as t:
        report = t.sync(stick)
        assert (report.is_whole, report.lost) == (False, (name,))
        assert t.bundle(tmp_path / "bundle").missing == (hash_of(name),)


def test_a_damaged_content_keeps_no_context_of_its_skip(line: tuple[Path, list[str]]) -> None:
    """Nothing that was compiled without it is stored: a fresh handle shows it once it is good again."""
    path, names = line
    with open_tract(path) as t:
        say(t, *(f"filler {n}" for n in range(300)))
    for snapshot in (own_place(path) / "tracts/default/snapshots").glob("*"):
        snapshot.unlink()
    name = content_of(path, names[3])
    good = (store_root(path) / name).read_bytes()
    put(store_root(path) / name, b"")
    with open_tract(path, incomplete="use") as t:
        assert "m3" not in texts(t)
    put(store_root(path) / name, good)
    with open_tract(path) as t:
        assert "m3" in texts(t)


def test_an_event_that_goes_before_any_view_covers_it_is_gone(line: tuple[Path, list[str]]) -> None:
    """A handle with gaps saves no view: its record is all that shows its event. A later event of this copy is there."""
    path, _ = line
    with open_tract(path, clock=Clock(START_US + 10**9)) as t:
        with open_tract(path, incomplete="use", clock=Clock(START_US + 2 * 10**9)) as used:
            used.commit(user("m6"))
        first = event_files(path)[6]
        t.refresh()
        last = t.commit(user("m7")).commit_hash
        data = lose(path, first)
        for _ in range(2):
            with open_tract(path) as fresh:
                assert fresh.status().gone == (hash_of(first),)
                require_refused(fresh, first, [last])
        put(store_root(path) / first, data)
        t.refresh()
        assert (texts(t), t.status().gone) == ([*LINE, "m6", "m7"], ())


# a power cut


def cut_while_open(path: Path, name: str) -> None:
    """Empties an event and removes the redo logs, as a power cut may that came before they were synced."""
    put(store_root(path) / name, b"")
    for log in own_place(path).glob("redo*"):
        log.unlink()


def require_named_as_damaged(path: Path, name: str) -> None:
    """Checks that a handle that knows the event refuses to compile, and so does one that has rebuilt the view."""
    with open_tract(path) as t:
        with pytest.raises(HashMismatch) as damaged:
            t.compile()
        assert damaged.value.path == name
    for is_verified in (True, False):
        with open_tract(path, verify=is_verified) as t:
            require_refused(t, name, [])


@pytest.mark.parametrize("durability", ["durable", "fast"])
def test_an_event_torn_by_a_power_cut_is_shown_and_not_missed(line: tuple[Path, list[str]], durability: Any) -> None:
    path, names = line
    running = Tract.open(path, durability=durability, clock=Clock(START_US + 10**9))  # no close saves its view
    running.commit(user("torn"))
    torn = event_files(path)[6]
    cut_while_open(path, torn)
    hidden = ["1 events of this tract are pending, damaged or gone, and take no part; see status()"]
    with in_next_boot():
        with open_tract(path, clock=Clock(START_US + 2 * 10**9)) as t:
            assert (texts(t), t.compile().warnings) == (LINE, hidden)
            assert [line.partition(":")[0] for line in t.status().damaged] == [hash_of(torn)]
            assert t.status().gone == ()
            assert t.commit(user("on")).parents == (names[5],)
        for number, is_verified in enumerate((False, True)):
            with open_tract(path, verify=is_verified, clock=Clock(START_US + 3 * 10**9)) as t:
                assert (texts(t), t.compile().warnings) == ([*LINE, "on", "and on"][: 7 + number], hidden)
                t.commit(user("and on"))
                assert texts(t)[7:] == ["and on"] * (1 + number)


@pytest.mark.parametrize("kept", ["arrivals", "nothing"])
@pytest.mark.parametrize("kind", ["commit", "content"])
def test_an_event_whose_object_a_power_cut_tore_is_shown_and_not_missed(
    line: tuple[Path, list[str]], kind: str, kept: str
) -> None:
    path, names = line
    running = Tract.open(path, clock=Clock(START_US + 10**9))  # no close saves its view
    last = running.commit(user("torn"))
    name = object_name(last.commit_hash if kind == "commit" else last.content_hash or "")
    data = (store_root(path) / name).read_bytes()
    if kept == "arrivals":
        cut_while_open(path, name)
    else:
        put(store_root(path) / name, b"")
        put(own_place(path) / "redo", (own_place(path) / "redo").read_bytes()[:64])
        for file in ("arrivals", "view"):
            put(own_place(path) / "tracts/default" / file, b"")
    hidden = ["1 events of this tract are pending, damaged or gone, and take no part; see status()"]
    with in_next_boot():
        with open_tract(path, clock=Clock(START_US + 2 * 10**9)) as t:
            assert (texts(t), t.compile().warnings) == (LINE, hidden)
            assert (len(t.status().pending), t.status().gone) == (1, ())
            on = t.commit(user("on"))
            assert on.parents == (names[5],)
        for is_verified in (False, True):
            with open_tract(path, verify=is_verified) as t:
                assert (texts(t), t.compile().warnings) == ([*LINE, "on"], hidden)
        put(store_root(path) / name, data)
        with open_tract(path) as t:
            t.refresh()
            assert t.status().pending == ()
            assert {head for heads in t.branches().values() for head in heads} == {on.commit_hash, last.commit_hash}


def test_a_power_cut_does_not_excuse_an_event_of_a_saved_view_whose_object_is_torn(
    line: tuple[Path, list[str]],
) -> None:
    path, names = line
    cut_while_open(path, object_name(names[5]))
    with in_next_boot(), open_tract(path, verify=True) as t, pytest.raises(HistoryIncomplete):
        t.compile()


def test_in_the_same_boot_a_damaged_event_is_no_torn_one(line: tuple[Path, list[str]]) -> None:
    path, _ = line
    running = open_tract(path, clock=Clock(START_US + 10**9))  # no close saves its view
    running.commit(user("damaged"))
    name = event_files(path)[6]
    cut_while_open(path, name)
    require_named_as_damaged(path, name)


def test_a_power_cut_does_not_excuse_an_event_that_a_saved_view_covers(line: tuple[Path, list[str]]) -> None:
    path, _ = line
    name = event_files(path)[5]
    cut_while_open(path, name)
    with in_next_boot():
        require_named_as_damaged(path, name)


# every single damage

DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "flipped": lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :],
    "cut": lambda data: data[: 2 * len(data) // 3],
    "emptied": lambda data: b"",
    "removed": lambda data: None,
}


def damages_of(file: str, good: bytes) -> dict[str, Callable[[bytes], bytes | None]]:
    """Returns how to damage a file: a pack in many places."""
    found = dict(DAMAGES)
    if file.startswith("packs/"):
        for at in range(0, len(good), len(good) // 40):
            found[f"flipped at {at}"] = lambda data, at=at: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]  # type: ignore[misc]
        for size in range(1, len(good), len(good) // 10):
            found[f"cut at {size}"] = lambda data, size=size: data[:size]  # type: ignore[misc]
    return found


class Small:
    """A small store of every kind of file, and what it answers."""

    def __init__(self, path: Path, *, is_packed: bool) -> None:
        self.path = path
        with open_tract(path, clock=Clock()) as t:
            t.commit(InstructionContent(text="be brief"), generation_config={"n": 0})
            say(t, "one", "two")
            t.edit(t.log(1)[0].commit_hash, user("two, edited"), generation_config={"n": 1})
            t.record_usage({"prompt_tokens": 9, "completion_tokens": 3})
            t.tag("here")
            t.commit(user("three"), generation_config={"n": 2})
            t.annotate(t.log(1)[0].commit_hash, "pinned")
            t.commit(user("four"), generation_config={"n": 3})
            self.newest = event_files(path)[-1]
            if is_packed:
                t.pack(keep_loose=AT_ONCE)
            self.head, self.texts = t.head, texts(t)
            self.log, self.hits = self.listed(t)
        self.files = synced(path)

    def listed(self, t: Tract) -> tuple[list[str], list[str]]:
        return [told(info) for info in t.log(None)], [told(info) for info in t.query_by_config("n", ">=", 0)]


def restore(small: Small, kept: dict[Path, bytes]) -> None:
    """Makes the store what it was, in its own place."""
    for name in synced(small.path).keys() - small.files.keys():
        (store_root(small.path) / name).unlink()
    for name, data in small.files.items():
        put(store_root(small.path) / name, data)
    for file in own_place(small.path).rglob("*"):
        if file.is_file() and file not in kept:
            file.unlink()
    for file, data in kept.items():
        if file.name not in (MARKER, "lock", "line"):
            put(file, data)


def check_single_damage(small: Small, work: Path, file: str, counts: Counter[str]) -> None:
    """Checks that each call gives what it gave before, or a typed error; a list may be shorter where `incomplete` names a file."""
    answered: list[str] = []
    try:
        with open_tract(work) as t:
            try:
                assert texts(t) == small.texts
                answered.append("compile")
            except TractError as error:
                counts[f"compile: {type(error).__name__}"] += 1
            try:
                for shown, before in zip(small.listed(t), (small.log, small.hits), strict=True):
                    if shown != before:
                        reason = t.incomplete()
                        assert reason is not None
                        assert file in reason.lost or file.startswith("packs/")  # there a member of it is named
                        assert "compile" not in answered
                answered.append("lists")
            except TractError as error:
                counts[f"lists: {type(error).__name__}"] += 1
        with open_tract(work) as t:
            try:
                assert t.commit(user("goes on")).parents == (small.head,)
                answered.append("commit")
            except TractError as error:
                counts[f"commit: {type(error).__name__}"] += 1
    except TractError as error:
        counts[f"open: {type(error).__name__}"] += 1
    counts[f"answered {len(answered)} of 3"] += 1


@pytest.mark.slow
@pytest.mark.parametrize("is_packed", [False, True], ids=["loose", "packed"])
def test_no_single_damage_gives_less_than_before_in_silence(tmp_path: Path, is_packed: bool) -> None:
    small = Small(tmp_path / "small", is_packed=is_packed)
    kept = {file: file.read_bytes() for file in own_place(small.path).rglob("*") if file.is_file()}
    counts: Counter[str] = Counter()
    for is_local_kept in (True, False):
        for file, good in small.files.items():
            for damage, change in damages_of(file, good).items():
                is_tip = file == small.newest or file.startswith("packs/")
                if is_tip and damage == "removed" and not is_local_kept:
                    continue  # no other file names it, and this copy never met it: nothing can miss it
                if is_local_kept:
                    work = small.path
                    restore(small, kept)
                else:
                    work = tmp_path / "work"
                    shutil.rmtree(work, ignore_errors=True)
                    shutil.copytree(small.path, work, ignore=shutil.ignore_patterns("local"))
                bad = change(good)
                if bad is None:
                    (store_root(work) / file).unlink()
                else:
                    put(store_root(work) / file, bad)
                counts["damages"] += 1
                try:
                    check_single_damage(small, work, file, counts)
                except AssertionError as error:
                    raise AssertionError(f"{file} {damage}, local kept: {is_local_kept}") from error
        restore(small, kept)
    print(dict(sorted(counts.items())))
    assert counts["damages"] > (100 if is_packed else 150)
