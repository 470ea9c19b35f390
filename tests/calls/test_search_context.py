"""Search: whether the context shows a hit now, and filters by what queries know, in one tract and in all."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.lab.talk import Clock
from tract_fs import DialogueContent, Priority, Store, Tract
from tract_fs.errors import ArgumentError, HistoryIncomplete, QueryError


@pytest.fixture
def t(tmp_path: Path) -> Tract:
    return Tract.open(tmp_path, durability="fast", clock=Clock())


def shown(t: Tract, phrase: str, **filters: object) -> dict[str, bool]:
    return {hit.snippet: hit.is_shown for hit in t.search(phrase, limit=None, **filters)}  # type: ignore[arg-type]


def test_a_hit_is_shown_where_the_context_has_its_text(t: Tract) -> None:
    kept, edited, skipped = (t.add(f"cat {word}").commit_hash for word in ("kept", "edited", "skipped"))
    one, two = t.add("cat one").commit_hash, t.add("cat two").commit_hash
    t.edit(edited, "cat edited once")
    t.edit(edited, "cat edited twice")
    t.annotate(skipped, Priority.SKIP)
    t.summarize([one, two], "two cats")
    t.add("cat gone with a reset")
    t.reset("@~1")
    assert shown(t, "cat") == {
        "cat kept": True,
        "cat edited": False,
        "cat edited once": False,
        "cat edited twice": True,
        "cat skipped": False,
        "cat one": False,
        "cat two": False,
        "two cats": True,
        "cat gone with a reset": False,
    }
    assert [message.content for message in t.compile().messages] == ["cat kept", "cat edited twice", "two cats"]
    t.annotate(skipped, Priority.NORMAL)
    t.annotate(kept, Priority.SKIP)
    assert (shown(t, "cat kept"), shown(t, "cat skipped")) == ({"cat kept": False}, {"cat skipped": True})


def test_the_filter_gives_one_kind_or_the_other(t: Tract) -> None:
    for number in range(60):
        t.add(f"cat {number}")
    t.annotate(t.search("cat 7")[0].commit_hash, Priority.SKIP)
    (hit,) = t.search("cat", shown=False)
    assert (hit.snippet, hit.is_shown) == ("cat 7", False)
    assert len(t.search("cat", shown=True, limit=None)) == 59
    assert all(hit.is_shown for hit in t.search("cat", shown=True))
    with pytest.raises(ArgumentError, match="shown 1: give True, False, or None for both"):
        t.search("cat", shown=1)  # type: ignore[arg-type]


def test_it_is_the_context_of_the_branch_that_was_asked_for(t: Tract) -> None:
    both = t.add("cat of both").commit_hash
    t.branch("side")
    t.add("cat of main")
    t.on("side").annotate(both, Priority.SKIP)
    assert shown(t, "cat") == {"cat of both": True, "cat of main": True}
    assert shown(t.on("side"), "cat") == {"cat of both": False, "cat of main": False}
    assert shown(t, "cat", branch="side") == {"cat of both": False}
    assert shown(t, "cat", branch="side", shown=True) == {}


def test_a_tool_result_without_its_call_is_not_shown(t: Tract) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "cat", "arguments": "{}"}}
    made = t.commit({"role": "assistant", "content": "cat call", "tool_calls": [call]}).commit_hash
    t.commit({"role": "tool", "tool_call_id": "c1", "content": "cat result"})
    (before,) = t.search("cat result")
    assert before.is_shown
    t.annotate(made, Priority.SKIP)
    assert before.is_shown  # it was looked at before
    assert not t.search("cat result")[0].is_shown


def test_it_is_known_after_the_close_and_in_a_copy(t: Tract) -> None:
    t.add("a cat")
    (hit,) = t.search("cat")
    assert pickle.loads(pickle.dumps(hit)) == hit == t.search("cat")[0]
    assert pickle.loads(pickle.dumps(hit)).is_shown
    (again,) = t.search("cat")
    t.close()
    assert again.is_shown
    assert again.to_dict()["is_shown"] is True


def test_a_dropped_slot_of_a_long_history_is_not_shown(t: Tract, tmp_path: Path) -> None:
    with t.batch():
        names = [t.add(f"cat {number}").commit_hash for number in range(2200)]
        t.summarize(names[:2190], "many")
    assert shown(t, "cat 2195") == {"cat 2195": True}
    with Tract.open(tmp_path) as other:
        assert (shown(t, "cat 1234"), shown(other, "cat 1234")) == ({"cat 1234": False}, {"cat 1234": False})
        assert shown(other, "cat 2195") == {"cat 2195": True}


@pytest.mark.parametrize("kind", ["commit", "content"])
def test_a_hit_of_a_history_with_a_lost_file_is_found(t: Tract, tmp_path: Path, kind: str) -> None:
    t.add("a bird")
    lost = t.add("a dog")
    t.add("a cat")
    assert t.search("cat", shown=False) == []
    t.close()
    name = (lost.commit_hash if kind == "commit" else lost.content_hash) or ""
    (tmp_path / ".tract/objects" / name[:2] / name[2:]).unlink()
    shutil.rmtree(tmp_path / ".tract/local")
    with Tract.open(tmp_path) as other, Store.open(tmp_path) as store:
        for hits in (other.search("cat"), store.search("cat")):
            assert [hit.is_shown for hit in hits] == [None]
        with pytest.raises(HistoryIncomplete):
            other.search("cat", shown=True)


def test_a_custom_compiler_decides_what_it_shows(tmp_path: Path) -> None:
    class Own:
        def compile(self, history: Any, options: Any) -> Any:
            raise AssertionError

    with Tract.open(tmp_path, compiler=Own(), durability="fast") as t:
        t.add("a cat")
        (hit,) = t.search("cat")
        assert (hit.is_shown, hit.to_dict()["is_shown"]) == (None, None)
        with pytest.raises(ArgumentError, match="a custom compiler decides what its contexts show"):
            t.search("cat", shown=True)


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ('model = "m-1"', ["cat two"]),
        ("temperature between 0.1 and 0.3", ["cat two"]),
        ("stop[0] is unset", ["cat one", "cat three", "cat two"]),
        ('@tag = "here"', ["cat one"]),
        ('@branch = "side"', ["cat one"]),
        ('@branch != "side"', ["cat two", "cat three"]),
        ('@tract = "default"', ["cat one", "cat three", "cat two"]),
        ('@tract = "other"', []),
        ('@type = "message"', ["cat three", "cat two"]),
        ('@role = "assistant"', ["cat three", "cat two"]),
        ('@text contains "two"', ["cat two"]),
        ('@operation = "edit"', ["cat three"]),
        ('@time >= "2026-01-02T03:05:00Z"', []),
        ('@day = "2026-01-02"', ["cat one", "cat three", "cat two"]),
        ("@tokens > 0", ["cat one", "cat three", "cat two"]),
        ("@usage.prompt_tokens = 7", ["cat two"]),
        ('@metadata.kind = "pet"', ["cat one"]),
    ],
)
def test_all_that_queries_know_filters_hits(t: Tract, tmp_path: Path, where: str, wanted: list[str]) -> None:
    t.commit(DialogueContent("user", "cat one"), metadata={"kind": "pet"})
    t.tag("here")
    t.branch("side")
    second = t.commit(
        {"role": "assistant", "content": "cat two"}, generation_config={"model": "m-1", "temperature": 0.2}
    )
    t.record_usage({"prompt_tokens": 7, "completion_tokens": 1})
    t.edit(second.commit_hash, "cat three")
    hits = [hit.snippet for hit in t.search("cat", where=where)]
    assert sorted(hits) == sorted(wanted)
    t.close()
    with Store.open(tmp_path) as store:
        assert sorted(hit.snippet for hit in store.search("cat", where=where)) == sorted(wanted)


def test_a_search_of_all_tracts_takes_an_expression(tmp_path: Path) -> None:
    with Store.open(tmp_path, clock=Clock()) as store:
        ann, bob = store.tract("ann"), store.tract("bob")
        ann.add("cat of ann", generation_config={"model": "m-1"})
        bob.add("cat of bob", generation_config={"model": "m-2"})
        skipped = bob.add("old cat of bob", generation_config={"model": "m-2"})
        bob.annotate(skipped.commit_hash, Priority.SKIP)
        hits = store.search("cat", where='model = "m-2"')
        assert {hit.snippet: hit.is_shown for hit in hits} == {"cat of bob": True, "old cat of bob": False}
        assert [hit.snippet for hit in store.search("cat", where='@tract = "ann"')] == ["cat of ann"]
        assert [hit.snippet for hit in store.search("cat", shown=False)] == ["old cat of bob"]
        with pytest.raises(QueryError):
            store.search("cat", where="model =")
        with pytest.raises(ArgumentError):
            store.search("")


def test_a_tract_without_the_branch_main_shows_nothing_in_a_search_of_all(tmp_path: Path) -> None:
    with Store.open(tmp_path, clock=Clock()) as store:
        store.tract("ann", branch="side").add("a cat")
        (hit,) = store.search("cat")
        assert not hit.is_shown
