"""Forks: a tract that starts where another stands, shares objects and configs with it, and sees nothing else of it."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.lab.copies import sync_files
from tests.lab.inside import clock_of, reader_of, store_of
from tests.lab.reference import ReferenceStore
from tests.lab.states import answers, copy_store, list_always, own_place, refused, remove_local, synced
from tests.lab.stores import merge_back, merge_commit
from tests.lab.talk import Clock, say, texts, user
from tract_fs import Tract
from tract_fs.errors import ArgumentError, CommitNotFoundError, EditTargetError, ObjectMissing, TractExists
from tract_fs.store import files


def configured(t: Tract, text: str, **config: object) -> str:
    return t.commit(user(text), generation_config=config).commit_hash


def test_a_fork_starts_with_the_history_and_goes_its_own_way(t: Tract) -> None:
    one, two = configured(t, "one", model="m-1"), configured(t, "two", model="m-2")
    with t.fork("sub") as sub:
        assert (sub.tract_id, sub.branch, sub.head) == ("sub", "main", two)
        assert [info.commit_hash for info in sub.log()] == [two, one]
        assert (texts(sub), sub.compile().generation_configs) == (["one", "two"], [{"model": "m-1"}, {"model": "m-2"}])
        assert sub.compile().token_count == t.compile().token_count
        (ahead,) = say(sub, "ahead")
        (beside,) = say(t, "beside")
        assert (texts(sub), texts(t)) == (["one", "two", "ahead"], ["one", "two", "beside"])
        assert (sub.branches(), t.branches()) == ({"main": (ahead,)}, {"main": (beside,)})


def test_a_fork_is_one_event_and_no_object(t: Tract, tmp_path: Path) -> None:
    (one,) = say(t, "one")
    before = synced(tmp_path / "a")
    t.fork("sub", branch="work").close()
    (new,) = set(synced(tmp_path / "a")) - set(before)
    event = json.loads((tmp_path / "a" / ".tract" / new).read_bytes())["event"]
    (parent,) = event["parents"]
    assert (event["tract"], parent.split("/")[0]) == ("sub", "default")
    assert event["ops"] == [{"branch": "work", "commits": [], "head": one, "kind": "create", "replaces": []}]
    assert Tract.tracts(tmp_path / "a") == ["default", "sub"]


def test_a_fork_that_can_not_be_is_refused(t: Tract, tmp_path: Path) -> None:
    refused(t, CommitNotFoundError, lambda: t.fork("sub"))
    say(t, "one")
    t.fork("sub").close()
    assert refused(t, TractExists, lambda: t.fork("sub")).fields == {"tract_id": "sub"}
    refused(t, TractExists, lambda: t.fork("default"))
    for name in ("UPPER", "../up", "", "con"):
        refused(t, ArgumentError, lambda name=name: t.fork(name))  # type: ignore[misc]


def test_what_was_edited_and_skipped_before_the_fork_is_so_in_it(t: Tract) -> None:
    one, two, _ = say(t, "one", "two", "three")
    t.edit(one, user("one!"), generation_config={"edited": True})
    t.annotate(two, "skip", reason="noise")
    with t.fork("sub") as sub:
        assert (texts(sub), sub.compile().generation_configs) == (["one!", "three"], [{"edited": True}, {}])
        assert [a.reason for a in sub.get_annotations(two)] == ["noise"]
        sub.edit(one, user("one in sub"))
        sub.annotate(two, "normal")
        assert (texts(sub), texts(t)) == (["one in sub", "two", "three"], ["one!", "three"])


def test_commits_of_the_other_tract_that_the_fork_does_not_reach_are_not_there(t: Tract) -> None:
    one, two = configured(t, "one", model="m"), configured(t, "two", model="m")
    t.reset(one)
    with t.fork("sub") as sub:
        beside = configured(t, "beside", model="m")
        assert sub.get_commit(one) is not None
        for name in (two, beside):
            assert sub.get_commit(name) is None
            with pytest.raises(CommitNotFoundError):
                sub.resolve(name)
            with pytest.raises(CommitNotFoundError):
                sub.resolve(name[:12])
            with pytest.raises(CommitNotFoundError):
                sub.get_content(name)
            with pytest.raises(CommitNotFoundError):
                sub.reset(name)
            with pytest.raises(EditTargetError):
                sub.edit(name, user("x"))
        assert [info.commit_hash for info in sub.query_by_config("model", "=", "m")] == [one]
        ahead = configured(sub, "ahead", model="m")
        assert t.get_commit(ahead) is None
        assert [info.commit_hash for info in t.query_by_config("model", "=", "m")] == [one, two, beside]


def test_a_query_finds_the_past_of_a_fork_in_order_of_time(t: Tract) -> None:
    one, two = configured(t, "one", n=1), configured(t, "two", n=2)
    with t.fork("sub") as sub:
        three = configured(sub, "three", n=3)
        sub.reset(two)
        found = sub.query_by_config("n", ">=", 1)
        assert [info.commit_hash for info in found] == [one, two, three]
        assert [info.generation_config for info in found] == [{"n": 1}, {"n": 2}, {"n": 3}]
        assert {info.tract_id for info in found} == {"sub"}
        assert [info.commit_hash for info in sub.query_by_config("n", "<", 2)] == [one]
        with sub.batch():
            four = configured(sub, "four", n=4)
            assert [info.commit_hash for info in sub.query_by_config("n", "!=", 2)] == [one, three, four]


def test_a_prefix_finds_the_past_of_a_fork(t: Tract) -> None:
    one, _ = say(t, "one", "two")
    with t.fork("sub") as sub:
        assert sub.resolve(one[:8]) == one


def test_a_chain_of_forks_knows_the_whole_past(t: Tract, tmp_path: Path) -> None:
    names = [configured(t, "in default", n=0)]
    open_tracts = [t]
    for number, tract in enumerate(("one", "two", "three"), 1):
        open_tracts.append(open_tracts[-1].fork(tract))
        names.append(configured(open_tracts[-1], f"in {tract}", n=number))
    for opened in open_tracts[1:]:
        opened.close()
    said = ["in default", "in one", "in two", "in three"]
    for path in (tmp_path / "a", copy_store(tmp_path / "a", tmp_path / "b")):
        if path.name == "b":
            remove_local(path)
        for verify in (False, True):
            for count, tract in enumerate(("one", "two", "three"), 2):
                with Tract.open(path, tract_id=tract, verify=verify) as found:
                    assert texts(found) == said[:count]
                    assert found.compile().generation_configs == [{"n": n} for n in range(count)]
                    assert [info.commit_hash for info in found.query_by_config("n", ">=", 0)] == names[:count]
                    assert found.resolve(names[0][:10]) == names[0]
                    assert found.status().pending == ()
                    assert [found.get_commit(name) is not None for name in names[count:]] == [False] * (4 - count)


def test_the_reference_model_agrees_on_a_chain_of_forks(t: Tract, tmp_path: Path) -> None:
    configured(t, "one", n=1)
    with t.fork("sub") as sub:
        two = configured(sub, "two", n=2)
        sub.edit("main~1", user("one!"))
        with sub.fork("subsub") as last:
            configured(last, "three", n=3)
            last.reset("main~2")
            model = ReferenceStore(tmp_path / "a").tract("subsub")
            assert model.pending == set()
            assert model.branches() == {"main": {two}}
            assert {info.commit_hash for info in last.query_by_config("n", ">", 0)} == set(model.query("n", ">", 0))
            compiled = model.compile(two)
            assert (compiled.commit_hashes, compiled.generation_configs) == (
                last.compile().commit_hashes,
                last.compile().generation_configs,
            )
            assert all(last.get_commit(name) is not None for name in model.tract_commits())


def test_a_merge_back_brings_the_commits_of_the_fork_in(t: Tract, tmp_path: Path) -> None:
    base = configured(t, "base", n=0)
    with t.fork("sub") as sub:
        ahead = configured(sub, "ahead", n=1)
        left = configured(sub, "left behind", n=2)
        sub.reset(ahead)
        beside = configured(t, "beside", n=3)
        assert t.get_commit(ahead) is None
        merge_back(t, sub)
        assert (texts(t), t.compile().generation_configs) == (
            ["base", "beside", "ahead"],
            [{"n": 0}, {"n": 3}, {"n": 1}],
        )
        assert [info.commit_hash for info in t.query_by_config("n", ">=", 0)] == [base, ahead, beside]
        assert (t.resolve(ahead[:10]), t.get_commit(left)) == (ahead, None)
        t.edit(ahead, user("ahead!"))
        again = configured(sub, "again", n=4)
        merge_back(t, sub)
        assert texts(t) == ["base", "beside", "ahead!", "again"]
        assert t.get_commit(again) is not None
        told = answers(t)
    for path in (tmp_path / "a", copy_store(tmp_path / "a", tmp_path / "b")):
        if path.name == "b":
            remove_local(path)
        for verify in (False, True):
            with Tract.open(path, verify=verify, clock=Clock()) as found:
                assert (answers(found), found.status().pending) == (told, ())


def test_merge_backs_both_ways_know_each_other(t: Tract, tmp_path: Path) -> None:
    say(t, "base")
    with t.fork("sub") as sub:
        for number in range(3):
            configured(t, f"here {number}", n=number)
            configured(sub, f"there {number}", n=number)
            merge_back(t, sub)
            merge_back(sub, t)
        assert sorted(texts(t)) == sorted(texts(sub))
        wanted = texts(t), texts(sub)
    copied = copy_store(tmp_path / "a", tmp_path / "b")
    remove_local(copied)
    for order in (("default", "sub"), ("sub", "default")):
        for tract in order:
            with Tract.open(copied, tract_id=tract) as found:
                assert texts(found) == wanted[tract == "sub"]
                assert found.compile().generation_configs[1:] == [
                    {"n": int(text[-1])} for text in wanted[tract == "sub"][1:]
                ]
                assert found.status().pending == ()
        remove_local(copied)


def test_a_fork_waits_for_the_tract_that_it_comes_from(
    t: Tract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_always(monkeypatch)
    say(t, "one", "two")
    with t.fork("sub") as sub:
        say(sub, "three")
    whole = synced(tmp_path / "a")
    other = tmp_path / "b"
    for name, data in whole.items():
        if not name.startswith("events/default/"):
            file = other / ".tract" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
    with Tract.open(other, tract_id="sub") as waiting:
        assert (waiting.head, len(waiting.status().pending)) == (None, 2)
        events = sorted(name for name in whole if name.startswith("events/default/"))
        for name in events:
            file = other / ".tract" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(whole[name])
        assert (texts(waiting), waiting.status().pending) == (["one", "two", "three"], ())


def test_a_fork_that_waits_shows_after_a_refresh(t: Tract, tmp_path: Path) -> None:
    say(t, "one")
    t.fork("sub").close()
    other = copy_store(tmp_path / "a", tmp_path / "b")
    shutil.rmtree(other / ".tract" / "local")
    kept = tmp_path / "kept"
    shutil.move(other / ".tract" / "events" / "default", kept)
    with Tract.open(other, tract_id="sub") as waiting:
        assert waiting.head is None
        shutil.move(kept, other / ".tract" / "events" / "default")
        waiting.refresh()
        assert texts(waiting) == ["one"]


def test_a_fork_made_by_another_handle_is_seen(t: Tract, tmp_path: Path) -> None:
    say(t, "one")
    with Tract.open(tmp_path / "a", tract_id="sub", clock=Clock()) as early:
        assert early.head is None
        with t.fork("sub") as sub:
            assert (early.head, texts(early)) == (sub.head, ["one"])
            (two,) = say(early, "two")
            assert sub.head == two


def test_two_copies_of_a_fork_go_on_and_keep_both_lines(t: Tract, tmp_path: Path) -> None:
    configured(t, "one", n=1)
    with t.fork("sub") as sub:
        other_path = copy_store(tmp_path / "a", tmp_path / "b")
        shutil.rmtree(other_path / ".tract" / "local")
        with Tract.open(other_path, tract_id="sub", clock=Clock(clock_of(sub)() + 10)) as other:  # type: ignore[operator]
            (ours,) = say(sub, "ours")
            (theirs,) = say(other, "theirs")
            sync_files(tmp_path / "a", other_path)
            sub.refresh()
            other.refresh()
            assert (sub.branches(), other.branches()) == ({"main": (ours, theirs)}, {"main": (theirs, ours)})
            merged = merge_commit(sub, theirs)
            assert merged == sub.head
            assert (texts(sub), sub.compile().generation_configs) == (["one", "ours", "theirs"], [{"n": 1}, {}, {}])


def test_an_append_to_a_fork_is_recorded_as_plain_and_the_fork_itself_is_not(t: Tract, tmp_path: Path) -> None:
    say(t, "one")
    with t.fork("sub") as sub:
        say(sub, "two")
    records = (own_place(tmp_path / "a") / "tracts" / "sub" / "arrivals").read_bytes()
    fork, append = (records[at : at + 1] for at in range(0, len(records), 96))
    assert (fork.lower(), append) == (b"o", b"a")


def test_a_fork_has_a_reflog_and_an_undo_of_its_own(t: Tract) -> None:
    one, two = say(t, "one", "two")
    with t.fork("sub") as sub:
        (three,) = say(sub, "three")
        assert [(e.kind, e.old_head, e.head) for e in sub.reflog()] == [("append", two, three), ("create", None, two)]
        assert sub.undo() == two
        sub.reset(one)
        assert texts(sub) == ["one"]
        assert sub.get_commit(two) is not None


def test_a_fork_starts_with_the_usage_of_its_head_and_records_its_own_from_there(t: Tract, tmp_path: Path) -> None:
    say(t, "one")
    t.record_usage({"prompt_tokens": 41, "completion_tokens": 1, "total_tokens": 50})
    with t.fork("sub") as sub:
        assert (sub.compile().token_count, sub.compile().token_source) == (41, "api:41+1")
        with sub.fork("deeper") as deeper:
            assert deeper.compile().token_source == "api:41+1"
        sub.record_usage({"prompt_tokens": 7, "completion_tokens": 1})
        assert (t.compile().token_count, sub.compile().token_count) == (41, 7)
    with t.fork("later") as later:
        assert later.compile().token_count == 41
    with Tract.open(tmp_path / "a", tract_id="deeper", verify=True) as fresh:
        assert fresh.compile().token_source == "api:41+1"


def test_a_fork_of_a_head_without_usage_counts_for_itself(t: Tract) -> None:
    say(t, "one")
    t.record_usage({"prompt_tokens": 41, "completion_tokens": 1})
    say(t, "two")
    with t.fork("sub") as sub:
        assert sub.compile().token_source == "estimate:utf8/4"


def test_a_fork_that_the_disk_refuses_leaves_nothing_and_can_be_made_again(
    t: Tract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = say(t, "one")
    before = synced(tmp_path / "a")
    replace = files.replace

    def refuse(path: str, *arguments: Any, **options: Any) -> None:
        if "/events/sub/" in path:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            raise OSError(errno.ENOSPC, "no space left on device", path)
        replace(path, *arguments, **options)

    with monkeypatch.context() as broken:
        broken.setattr(files, "replace", refuse)
        with pytest.raises(OSError, match="no space left"):
            t.fork("sub")
    assert (synced(tmp_path / "a"), Tract.tracts(tmp_path / "a")) == (before, ["default"])
    with t.fork("sub") as sub:
        assert (sub.head, sub.status().pending) == (one, ())


def test_a_damaged_commit_of_the_past_blocks_nothing_else_in_a_fork(t: Tract, tmp_path: Path) -> None:
    one, two, three = say(t, "one", "two", "three")
    t.fork("sub").close()
    file = tmp_path / "a" / ".tract" / "objects" / two[:2] / two[2:]
    data = file.read_bytes()
    file.unlink()
    with Tract.open(tmp_path / "a", tract_id="sub", clock=Clock()) as sub:
        assert (sub.get_commit("f" * 64), sub.resolve(three[:8])) == (None, three)
        (four,) = say(sub, "four")
        with pytest.raises(ObjectMissing):
            sub.compile()
        file.write_bytes(data)
        assert texts(sub) == ["one", "two", "three", "four"]
        assert (sub.resolve(one[:8]), sub.head) == (one, four)


def test_a_refresh_looks_at_other_tracts_too(t: Tract, tmp_path: Path) -> None:
    say(t, "one")
    t.fork("sub").close()
    assert t.resolve("sub:main") == t.head
    other = copy_store(tmp_path / "a", tmp_path / "b")
    with Tract.open(other, tract_id="sub", clock=Clock()) as sub:
        (two,) = say(sub, "two")
    sync_files(tmp_path / "a", other)
    t.refresh()
    assert reader_of(t).resolve_foreign("sub:main")[1] == two


def test_a_diff_compares_with_another_tract(t: Tract) -> None:
    say(t, "one")
    with t.fork("sub") as sub:
        configured(sub, "two", n=1)
        configured(sub, "three", n=2)
        made = t.diff("main", "sub:main")
        told = [(e.kind, e.b.text, e.b.generation_config) for e in made.entries if e.b is not None]
        assert told == [("added", "two", {"n": 1}), ("added", "three", {"n": 2})]
        assert t.diff(None, "sub:main").a.commit_hash == sub.resolve("main~1")
        assert t.diff("sub:main~2").entries == ()


def test_a_fork_in_a_throw_away_store_goes_with_it() -> None:
    with Tract.open() as t:
        say(t, "one")
        path = Path(store_of(t).layout.context)
        with t.fork("sub") as sub:
            assert texts(sub) == ["one"]
        assert path.exists()
    assert not path.exists()
