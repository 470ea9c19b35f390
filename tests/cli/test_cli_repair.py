"""`tract repair`, and what `tract status` says of damage and divergence."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from tests.lab.command import Run, Told, commit, shown_texts
from tests.lab.disk import disk, os_error
from tests.lab.states import copy_store, event_files, put, remove_local, store_root, synced
from tests.lab.stores import make_store
from tests.lab.talk import START_US, Clock, say, user
from tract_fs import Tract
from tract_fs.cli import main
from tract_fs.upkeep.repair import restore_format


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_store(tmp_path / "context", lambda t: say(t, "0", "1", "2", "3"), Tract.flush)


@pytest.fixture
def tract(capsys: pytest.CaptureFixture[str], path: Path) -> Any:
    def run(*arguments: str) -> Told:
        code = main([*arguments, "-C", str(path)])
        return Told(code, *capsys.readouterr())

    return run


def digits(path: str) -> str:
    """Returns the first digits of the hash that a path names."""
    return path.replace("/", "")[-64:][:12]


def test_a_whole_store(tract: Any) -> None:
    told = tract("repair")
    assert (told.code, told.out, told.err) == (0, "checked  12 files\n", "")
    document = tract("repair", "--json").document
    assert document["checked_count"] == 12
    assert {key: value for key, value in document.items() if value and key != "dropped_caches"} == {"checked_count": 12}


@pytest.mark.usefixtures("still")
def test_what_was_set_aside_as_the_store_was_opened_is_told(tract: Any, path: Path) -> None:
    name = event_files(path)[1]
    put(store_root(path) / name, b"")
    remove_local(path)
    told = tract("repair")
    assert told.code == 1
    assert told.out.startswith(
        f"checked      11 files\nquarantined  {name}: torn copy\nlost         {name}: event {digits(name)} is damaged, 2"
    )


@pytest.mark.usefixtures("still")
def test_a_damaged_file(tract: Any, path: Path) -> None:
    name = event_files(path)[1]
    data = (store_root(path) / name).read_bytes()
    put(store_root(path) / name, data[:50])
    told = tract("repair")
    assert told.code == 1
    assert told.out.startswith(
        f"checked      12 files\nquarantined  {name}: torn copy\nlost         {name}: event {digits(name)} is damaged, 2"
    )
    assert told.err.startswith("warning: quarantined files are kept: fetch")
    shown = tract("status")
    assert shown.code == 1  # the context can't be compiled
    assert f"quarantined  {name}: quarantined (torn copy), fetch it from another copy" in shown.out
    assert "gone" not in shown.out
    document = tract("status", "--json").document
    assert [(q["path"], q["cause"], q["is_back"]) for q in document["quarantined"]] == [(name, "torn copy", False)]
    put(store_root(path) / name, data)
    assert "quarantined" not in tract("status").out
    assert tract("log", "--json").document[0]["parents"] != []


def test_a_fresh_one(tract: Any, path: Path) -> None:
    name = event_files(path)[1]
    put(store_root(path) / name, b"")
    told = tract("repair")
    assert told.out.startswith(
        f"checked     12 files\ntoo recent  {name}: torn copy\nlost        {name}: event {digits(name)} is damaged, 2"
    )
    assert "ten seconds" in told.err


def test_adoption(tract: Any, path: Path) -> None:
    with Tract.open(path) as t:
        head = t.head
    name = event_files(path)[1]
    (store_root(path) / name).unlink()
    remove_local(path)
    assert "(unknown)" in tract("status").out
    told = tract("repair")
    assert told.code == 1
    assert told.out.startswith(
        f"checked  11 files\nlost     {name}: event {digits(name)} is missing, 2 commits depend on it\n"
    )
    told = tract("repair", "--adopt")
    assert (told.code, told.out) == (0, f"checked  11 files\nadopted  main {head}\n")
    assert tract("log", "--json").document[0]["commit_hash"] == head
    assert tract("repair", "--adopt", "--json").document["adopted"] == []


def test_what_can_not_be_adopted(tract: Any, path: Path) -> None:
    with Tract.open(path) as t:
        third = t.log(None)[1].commit_hash
    (store_root(path) / event_files(path)[1]).unlink()
    (store_root(path) / "objects" / third[:2] / third[2:]).unlink()
    remove_local(path)
    told = tract("repair", "--adopt")
    assert told.code == 1
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
    assert told.err == (
        "warning: branch 'main' has 2 heads; this context leaves out 2 commits of the other; 'tract merge' joins them\n"
    )
    assert tract("status", "--json").document["distances"] == [
        {"head": theirs, "common": common, "only_there": 2, "only_here": 1}
    ]


def test_no_store_and_an_unknown_option(tract: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["repair", "-C", str(tmp_path / "none")]) == 1
    assert "no store here" in capsys.readouterr().err
    assert tract("repair", "--force").code == 2
    told = tract("repair", "--tract", "other")
    assert (told.code, "no tract 'other'" in told.err) == (1, True)


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"\0" * 34,
        b'{"format":"tract-fs","versi',
        b'{"format":"tract-gs","version":1}\n',
        b'{"format":"tract-fs","version":"1"}\n',
    ],
)
def test_a_format_file_that_is_missing_or_damaged_is_written_again_where_a_store_lies(
    store: Run, data: bytes | None
) -> None:
    commit(store, "-m", "one")
    file = Path(".tract/FORMAT")
    file.unlink()
    if data is not None:
        file.write_bytes(data)
    told = store("log")
    assert told.code == 1
    if data is not None:
        assert "'tract repair' writes it again" in told.err
    repaired = store("repair")
    assert (repaired.code, repaired.out.splitlines()[1]) == (0, "repaired  FORMAT")
    assert file.read_bytes() == b'{"format":"tract-fs","version":1}\n'
    assert shown_texts(store) == ["one"]


def test_a_format_file_that_can_not_be_read_is_written_again(store: Run) -> None:
    commit(store, "-m", "one")
    file = Path(".tract/FORMAT").absolute()

    def fails(call: str, _number: int, given: tuple[Any, ...]) -> OSError | None:
        return os_error(errno.EIO, str(file)) if call == "open" and str(given[0]) == str(file) else None

    inode = file.stat().st_ino
    with disk(fails):
        told = store("log")
        assert (told.code, "can't be read: Input/output error" in told.err) == (1, True)
        assert restore_format(Path.cwd())
        assert file.stat().st_ino != inode
    assert store("repair").code == 0
    assert shown_texts(store) == ["one"]


@pytest.mark.parametrize("data", [b'{"format":"tract-fs","version":2}\n', None])
def test_a_format_file_of_a_later_version_and_what_is_no_file_stay(store: Run, data: bytes | None) -> None:
    commit(store, "-m", "one")
    file = Path(".tract/FORMAT")
    file.unlink()
    if data is None:
        file.mkdir()
    else:
        file.write_bytes(data)
    assert store("repair").code == 1
    assert file.is_dir() if data is None else file.read_bytes() == data


def test_no_format_file_is_written_where_no_store_lies(run: Run) -> None:
    Path(".tract").mkdir()
    Path(".tract/FORMAT").write_bytes(b"notes")
    assert run("repair").code == 1
    assert Path(".tract/FORMAT").read_bytes() == b"notes"
