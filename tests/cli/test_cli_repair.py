"""`tract repair`, and what `tract status` says of damage and divergence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.lab.states import START_US, Clock, copy_store, put, remove_local, store_root, synced, user
from tract_fs import Tract
from tract_fs.cli import main
from tract_fs.store import quarantine


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets every file count as standing still."""
    monkeypatch.setattr(quarantine, "SETTLED_NS", -(10**18))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "context"
    with Tract.open(path, clock=Clock()) as t:
        for n in range(4):
            t.commit(user(f"{n}"))
        t.flush()
    return path


def events(path: Path) -> list[str]:
    names = [name for name in synced(path) if name.startswith("events/")]
    return sorted(names, key=lambda name: str(json.loads((store_root(path) / name).read_bytes())["event"]["at"]))


class Told:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def tract(capsys: pytest.CaptureFixture[str], path: Path) -> Any:
    def run(*arguments: str) -> Told:
        code = main([*arguments, "-C", str(path)])
        return Told(code, *capsys.readouterr())

    return run


def test_a_whole_store(tract: Any) -> None:
    told = tract("repair")
    assert (told.code, told.out, told.err) == (0, "checked  12 files\n", "")
    document = tract("repair", "--json").document
    assert document["checked_count"] == 12
    assert {key: value for key, value in document.items() if value and key != "dropped_caches"} == {"checked_count": 12}


@pytest.mark.usefixtures("still")
def test_what_was_set_aside_as_the_store_was_opened_is_told(tract: Any, path: Path) -> None:
    name = events(path)[1]
    put(store_root(path) / name, b"")
    remove_local(path)
    assert tract("repair").out == f"checked    11 files\nset aside  {name}: torn copy\n"


@pytest.mark.usefixtures("still")
def test_a_damaged_file(tract: Any, path: Path) -> None:
    name = events(path)[1]
    data = (store_root(path) / name).read_bytes()
    put(store_root(path) / name, data[:50])
    told = tract("repair")
    assert told.code == 0
    assert told.out == f"checked    12 files\nset aside  {name}: torn copy\n"
    assert told.err.startswith("warning: quarantined files are kept: fetch")
    shown = tract("status")
    assert shown.code == 0
    assert f"quarantined  {name}: quarantined (torn copy), fetch it from another copy" in shown.out
    assert "gone" not in shown.out
    document = tract("status", "--json").document
    assert [(q["path"], q["cause"], q["is_back"]) for q in document["quarantined"]] == [(name, "torn copy", False)]
    put(store_root(path) / name, data)
    assert "quarantined" not in tract("status").out
    assert tract("log", "--json").document[0]["parents"] != []


def test_a_fresh_one(tract: Any, path: Path) -> None:
    name = events(path)[1]
    put(store_root(path) / name, b"")
    told = tract("repair")
    assert told.out == f"checked    12 files\ntoo fresh  {name}: torn copy\n"
    assert "ten seconds" in told.err


def test_adoption(tract: Any, path: Path) -> None:
    with Tract.open(path) as t:
        head = t.head
    (store_root(path) / events(path)[1]).unlink()
    remove_local(path)
    assert "(unknown)" in tract("status").out
    assert tract("repair").out == "checked  11 files\n"
    told = tract("repair", "--adopt")
    assert (told.code, told.out) == (0, f"checked  11 files\nadopted  main {head}\n")
    assert tract("log", "--json").document[0]["commit_hash"] == head
    assert tract("repair", "--adopt", "--json").document["adopted"] == []


def test_what_can_not_be_adopted(tract: Any, path: Path) -> None:
    with Tract.open(path) as t:
        third = t.log(None)[1].commit_hash
    (store_root(path) / events(path)[1]).unlink()
    (store_root(path) / "objects" / third[:2] / third[2:]).unlink()
    remove_local(path)
    told = tract("repair", "--adopt")
    assert told.code == 0
    assert f"{third} is missing (unknown)" in told.out
    assert "fetch them from another copy" in told.err


def test_two_heads(tract: Any, path: Path, tmp_path: Path) -> None:
    other = copy_store(path, tmp_path / "other")
    with Tract.open(path) as t:
        common = t.head or ""
        t.commit(user("here"))
    with Tract.open(other, clock=Clock(START_US + 10**9)) as t:
        t.commit(user("there"))
        theirs = t.commit(user("there too")).commit_hash
    for name, data in synced(other).items():
        put(store_root(path) / name, data)
    told = tract("status")
    assert f"other heads  {theirs}: 2 commits only there, 1 only here, since {common[:12]}" in told.out
    assert "warning: a branch has several heads" in told.err
    assert tract("status", "--json").document["distances"] == [
        {"head": theirs, "common": common, "only_there": 2, "only_here": 1}
    ]


def test_no_store_and_an_unknown_option(tract: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["repair", "-C", str(tmp_path / "none")]) == 1
    assert "no store here" in capsys.readouterr().err
    assert tract("repair", "--force").code == 2
    told = tract("repair", "--tract", "other")
    assert (told.code, "no tract 'other'" in told.err) == (1, True)
