"""Changed configs: what this copy has shown as a commit's generation config, it never shows otherwise without a warning."""

from __future__ import annotations

import json
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.lab.command import TRACT
from tests.lab.states import put, remove_local, store_root
from tests.lab.talk import Clock, user
from tract_fs import Tract


@pytest.fixture
def first(path: Path) -> str:
    """A store with two commits of one batch; returns the first commit. Its event has the time of the second."""
    with Tract.open(path, clock=Clock(), durability="fast") as t, t.batch():
        first = t.commit(user("one"), generation_config={"temperature": 0.5}).commit_hash
        t.commit(user("two"))
    return first


def bring_again(path: Path, commit: str, config: dict[str, Any]) -> None:
    """Writes an event, as from another copy, that brings a commit again, at the time when the commit was made."""
    data = (store_root(path) / "objects" / commit[:2] / commit[2:]).read_bytes()
    made = json.loads(data)["commit"]["created_at"]
    move = {"branch": "side", "head": commit, "kind": "append", "replaces": []}
    move["commits"] = [{"commit": commit, "config": config}]
    event = {"at": made, "ops": [move], "parents": [], "tract": "default", "writer": "f" * 32}
    written = json.dumps({"event": event}, sort_keys=True, separators=(",", ":")).encode()
    name = sha256(written).hexdigest()
    put(store_root(path) / "events/default" / name[:2] / name[2:], written)


def configs(t: Tract) -> list[dict[str, Any]]:
    return t.compile().generation_configs


@pytest.mark.parametrize("is_rebuilt", [False, True])
def test_a_config_that_an_earlier_event_changes_is_warned_of(path: Path, first: str, is_rebuilt: bool) -> None:
    with Tract.open(path) as t:
        assert (configs(t), t.compile().warnings) == ([{"temperature": 0.5}, {}], [])
    bring_again(path, first, {"temperature": 2})
    if is_rebuilt:
        Tract.open(path, verify=True).close()
    warning = (
        f'commit {first}: this copy showed the generation config {{"temperature":0.5}}, and an event that arrived later with an '
        "earlier time sets {\"temperature\":2}, which applies; edit the commit to set another, 'tract repair --accept' ends "
        "this warning"
    )
    for _ in range(2):
        with Tract.open(path) as t:
            t.refresh()
            assert (configs(t), t.compile().warnings) == ([{"temperature": 2}, {}], [warning])
            assert (t.status().overruled, t.changed_configs()) == ((warning,), {first: warning})
    shown = subprocess.run([*TRACT, "log", "-C", str(path)], capture_output=True, text=True, check=True)
    assert "temperature" in shown.stderr
    with Tract.open(path) as t:
        t.repair(accept=True)
        assert (t.compile().warnings, t.status().overruled) == ([], ())
    with Tract.open(path) as t:
        assert (configs(t), t.compile().warnings) == ([{"temperature": 2}, {}], [])


def test_a_handle_that_is_open_warns_too(path: Path, first: str) -> None:
    with Tract.open(path) as t:
        assert configs(t) == [{"temperature": 0.5}, {}]
        bring_again(path, first, {"temperature": 2})
        t.refresh()
        assert configs(t) == [{"temperature": 2}, {}]
        assert len(t.compile().warnings) == 1


def test_an_event_that_brings_the_same_config_or_comes_to_a_copy_that_showed_none_is_no_change(
    path: Path, first: str
) -> None:
    bring_again(path, first, {"temperature": 0.5})
    with Tract.open(path) as t:
        t.refresh()
        assert (configs(t), t.compile().warnings) == ([{"temperature": 0.5}, {}], [])
    bring_again(path, first, {"temperature": 2})
    remove_local(path)
    with Tract.open(path) as t:
        assert t.compile().warnings == []


def test_a_query_of_a_fork_finds_the_config_that_its_own_past_records(path: Path, first: str) -> None:
    with Tract.open(path, clock=Clock(), durability="fast") as t:
        t.fork("sub").close()
    bring_again(path, first, {"temperature": 2})
    with Tract.open(path, tract_id="sub") as t:
        assert configs(t) == [{"temperature": 0.5}, {}]
        assert [found.commit_hash for found in t.query_by_config("temperature", "=", 0.5)] == [first]
        assert t.query_by_config("temperature", ">", 1) == []
    with Tract.open(path) as t:
        assert [found.generation_config for found in t.query_by_config("temperature", ">", 1)] == [{"temperature": 2}]


def test_a_handle_of_a_fork_that_is_open_shows_the_config_of_what_it_merges(path: Path, first: str) -> None:
    with Tract.open(path, clock=Clock(), durability="fast") as t:
        t.fork("sub").close()
    bring_again(path, first, {"temperature": 2})
    with Tract.open(path, tract_id="sub") as sub:
        before = sub.head
        assert sub.compile(at_commit=before).generation_configs == [{"temperature": 0.5}, {}]
        with Tract.open(path) as t:
            t.switch("side")
            t.commit(user("three"))
        sub.merge("default:side")
        for _ in range(2):
            assert sub.compile(at_commit=before).generation_configs == [{"temperature": 2}, {}]
            assert configs(sub) == [{"temperature": 2}, {}, {}]
    with Tract.open(path, tract_id="sub") as sub:
        assert configs(sub) == [{"temperature": 2}, {}, {}]
