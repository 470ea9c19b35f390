"""The index beside open handles: removed, replaced, locked, on a full disk, half saved; no answer changes, no error reaches a caller."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.altered import flip, zero
from tests.lab.hostile import hot_journal_of_pages, journal_naming
from tests.lab.index_rows import index_of, opened
from tests.lab.states import answers, copy_store, own_place, put, put_in_place, remove_local
from tests.lab.stores import AT_ONCE, fill
from tests.lab.talk import Clock, user
from tract_fs import Tract
from tract_fs.store import origins
from tract_fs.store.index import file as index_file

pytestmark = pytest.mark.usefixtures("in_time")

OPENINGS: dict[str, dict[str, Any]] = {
    "for writing": {"durability": "fast"},
    "read-only": {"read_only": True},
    "verified": {"verify": True, "durability": "fast"},
    "verified, read-only": {"verify": True, "read_only": True},
}
HANDLES = ("for writing", "read-only")


@pytest.fixture(autouse=True)
def few_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origins, "_MOST_KEPT", 2)
    monkeypatch.setattr(origins, "_ROWS_AT_ONCE", 16)


class Made:
    """A store with all rows, an older index of it, and one of another copy."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "context"
        with Tract.open(self.path, durability="fast", clock=Clock()) as t:
            fill(t)
            t.pack(keep_loose=AT_ONCE)
            answers(t)
        self.older = index_of(self.path).read_bytes()
        with Tract.open(self.path, durability="fast", clock=Clock(1_800_000_000_000_000)) as t:
            for number in range(30):
                t.commit(user(f"more {number}"), generation_config={"model": "m-1", "temperature": number / 10})
            t.pack(keep_loose=AT_ONCE)
            for number in range(10):
                t.commit(user(f"still more {number}"), generation_config={"model": "m-2"})
            self.expected = answers(t)
        other = copy_store(self.path, folder / "other")
        remove_local(other)
        with Tract.open(other, durability="fast") as t:
            t.commit(user("of the other"), generation_config={"model": "m-1"})
            answers(t)
        self.foreign = index_of(other).read_bytes()
        shutil.rmtree(other)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("template"))


@pytest.fixture
def path(template: Made, tmp_path: Path) -> Path:
    """The store, in whose place the index has this place's seal."""
    path = copy_store(template.path, tmp_path / "context")
    with Tract.open(path, durability="fast") as t:
        assert answers(t) == template.expected
    return path


def remove(path: Path, made: Made) -> None:
    index_of(path).unlink()


def put_older(path: Path, made: Made) -> None:
    put(index_of(path), made.older)


def put_foreign(path: Path, made: Made) -> None:
    put(index_of(path), made.foreign)


def put_older_in_place(path: Path, made: Made) -> None:
    put_in_place(index_of(path), made.older)


def put_foreign_in_place(path: Path, made: Made) -> None:
    put_in_place(index_of(path), made.foreign)


def empty_in_place(path: Path, made: Made) -> None:
    put_in_place(index_of(path), b"")


def cut_in_place(path: Path, made: Made) -> None:
    put_in_place(index_of(path), index_of(path).read_bytes()[:9000])


def zeros_in_place(path: Path, made: Made) -> None:
    put_in_place(index_of(path), b"\0" * index_of(path).stat().st_size)


def make_link(path: Path, made: Made) -> None:
    index_of(path).unlink()
    index_of(path).symlink_to(path.parent / "victim")


def make_hard_link(path: Path, made: Made) -> None:
    index_of(path).unlink()
    os.link(path.parent / "victim", index_of(path))


def make_pipe(path: Path, made: Made) -> None:
    index_of(path).unlink()
    os.mkfifo(index_of(path))


def make_directory(path: Path, made: Made) -> None:
    index_of(path).unlink()
    index_of(path).mkdir()
    (index_of(path) / "file").touch()


def put_hot_journal(path: Path, made: Made) -> None:
    data = journal_naming(path.parent / "victim", index_of(path).stat().st_size // 4096)
    Path(f"{index_of(path)}-journal").write_bytes(data)


def put_journal_of_pages(path: Path, made: Made) -> None:
    hot_journal_of_pages(own_place(path), None)  # type: ignore[arg-type]


def put_wal(path: Path, made: Made) -> None:
    Path(f"{index_of(path)}-wal").write_bytes(b"\x37\x7f\x06\x83" + b"\xff" * 8000)
    Path(f"{index_of(path)}-shm").write_bytes(b"\xff" * 32768)


FAULTS: dict[str, Callable[[Path, Made], None]] = {
    name.replace("_", " "): fault
    for name, fault in {
        "removed": remove,
        "an_older_one": put_older,
        "another_copy_s": put_foreign,
        "an_older_one_in_place": put_older_in_place,
        "another_copy_s_in_place": put_foreign_in_place,
        "emptied_in_place": empty_in_place,
        "cut_in_place": cut_in_place,
        "zeros_in_place": zeros_in_place,
        "a_link": make_link,
        "a_hard_link": make_hard_link,
        "a_pipe": make_pipe,
        "a_directory": make_directory,
        "a_hot_journal": put_hot_journal,
        "a_journal_of_other_pages": put_journal_of_pages,
        "a_write_ahead_log": put_wal,
    }.items()
}


@pytest.mark.parametrize("is_warm", [True, False], ids=["warm", "cold"])
@pytest.mark.parametrize("opening", HANDLES)
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "a hot journal"])  # who adds one may do all
def test_a_fault_of_the_index_under_an_open_handle_changes_no_answer(
    template: Made, path: Path, fault: str, opening: str, is_warm: bool
) -> None:
    victim = path.parent / "victim"
    victim.write_bytes(b"keep me\n")
    with Tract.open(path, **OPENINGS[opening]) as t:
        if is_warm:
            assert answers(t) == template.expected
        FAULTS[fault](path, template)
        assert answers(t) == template.expected
        t.refresh()
        assert answers(t) == template.expected
        if opening == "for writing":
            t.commit(user("goes on"), generation_config={"model": "m-1"})
            t.flush()
        expected = answers(t)
    assert victim.read_bytes() == b"keep me\n"
    for options in (*OPENINGS.values(), *OPENINGS.values()):
        with Tract.open(path, **options) as t:
            assert answers(t) == expected, options
    assert victim.read_bytes() == b"keep me\n"


@pytest.mark.parametrize("opening", OPENINGS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_index_of_a_closed_store_changes_no_answer(
    template: Made, path: Path, fault: str, opening: str
) -> None:
    victim = path.parent / "victim"
    victim.write_bytes(b"keep me\n")
    FAULTS[fault](path, template)
    for options in (OPENINGS[opening], *OPENINGS.values()):
        with Tract.open(path, **options) as t:
            assert answers(t) == template.expected, options
    assert victim.read_bytes() == b"keep me\n"
    assert sorted(file.name for file in path.parent.iterdir()) == ["context", "victim"]


@pytest.mark.parametrize("lock", ["begin immediate", "begin exclusive"])
@pytest.mark.parametrize("opening", OPENINGS)
def test_an_index_that_another_process_locks_for_long_hinders_nobody(
    template: Made, path: Path, monkeypatch: pytest.MonkeyPatch, opening: str, lock: str
) -> None:
    monkeypatch.setattr(index_file, "_WAIT_S", 0.05)
    before = index_of(path).stat().st_ino
    locking = sqlite3.connect(index_of(path), isolation_level=None)
    locking.execute(lock)
    with Tract.open(path, **OPENINGS[opening]) as t:
        assert answers(t) == template.expected
        if "read_only" not in OPENINGS[opening]:
            t.commit(user("goes on"), generation_config={"model": "m-1"})
            assert t.head != template.expected["head"]
        expected = answers(t)
    locking.execute("rollback")
    locking.close()
    assert "verified" in opening or index_of(path).stat().st_ino == before  # a locked index is no damaged one
    for options in OPENINGS.values():
        with Tract.open(path, **options) as t:
            assert answers(t) == expected, options


@pytest.mark.parametrize("pages", [1, 2, 10, 30, 45, 60])
@pytest.mark.parametrize("is_kept", [True, False], ids=["with an index", "without"])
def test_a_disk_without_room_for_the_index_hinders_nobody(
    template: Made, path: Path, monkeypatch: pytest.MonkeyPatch, is_kept: bool, pages: int
) -> None:
    connect = index_file._connect

    def connect_full(name: str) -> sqlite3.Connection:
        connection = connect(name)
        if name != ":memory:":
            connection.execute(f"pragma max_page_count = {pages}")
        return connection

    monkeypatch.setattr(index_file, "_connect", connect_full)
    if not is_kept:
        index_of(path).unlink()
    with Tract.open(path, durability="fast") as t:
        assert answers(t) == template.expected
        for number in range(40):
            t.commit(user(f"goes on {number}"), generation_config={"model": "m-1", "temperature": number})
            if number % 10 == 0:
                t.flush()
        t.pack(keep_loose=AT_ONCE)
        expected = answers(t)
    for _ in range(2):
        for options in OPENINGS.values():
            with Tract.open(path, **options) as t:
                assert answers(t) == expected, options
        monkeypatch.setattr(index_file, "_connect", connect)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("is_kept", [True, False], ids=["with an index", "without"])
def test_a_place_that_can_not_be_written_hinders_no_answer(template: Made, path: Path, is_kept: bool) -> None:
    place = own_place(path)
    if not is_kept:
        index_of(path).unlink()
    place.chmod(0o555)
    try:
        with Tract.open(path, read_only=True) as t:
            assert answers(t) == template.expected
    finally:
        place.chmod(0o755)


SAVED_HALF = """
import os, sqlite3, sys
from datetime import timedelta
from tract_fs import Tract
from tract_fs.store import origins
from tract_fs.store.index import file as index_file
origins._ROWS_AT_ONCE = 8
path, after = sys.argv[1], int(sys.argv[2])

class Dying(sqlite3.Connection):
    left = after
    def _count(self, text):
        if not text.lstrip().startswith(("select", "pragma")):
            Dying.left -= 1
            if Dying.left == 0:
                os._exit(7)
    def execute(self, text, *more):
        self._count(text)
        return super().execute(text, *more)
    def executemany(self, text, *more):
        self._count(text)
        return super().executemany(text, *more)

connect = sqlite3.connect
sqlite3.connect = lambda *given, **options: connect(*given, factory=Dying, **options)
with Tract.open(path, durability="fast") as t:
    from tract_fs import DialogueContent
    for number in range(20):
        t.commit(DialogueContent(role="user", text=f"said {number}"), generation_config={"model": "m-1"})
    t.query_by_config("model", "=", "m-1")
    t.pack(keep_loose=timedelta(0))
    t.query_by_config("model", "=", "m-1")
"""


@pytest.mark.parametrize("after", [1, 2, 3, 5, 8, 12, 17, 23, 30, 38])
@pytest.mark.parametrize("is_kept", [True, False], ids=["with an index", "without"])
def test_a_process_that_dies_between_two_statements_leaves_an_index_that_changes_no_answer(
    path: Path, after: int, is_kept: bool
) -> None:
    if not is_kept:
        index_of(path).unlink()
    run = subprocess.run([sys.executable, "-c", SAVED_HALF, str(path), str(after)], check=False, capture_output=True)
    assert run.returncode in (0, 7), run.stderr
    bare = copy_store(path, path.parent / "bare")
    remove_local(bare)
    with Tract.open(bare, read_only=True) as t:
        expected = answers(t)
    shutil.rmtree(bare)
    for options in (OPENINGS["read-only"], OPENINGS["for writing"], *OPENINGS.values()):
        with Tract.open(path, **options) as t:
            assert answers(t) == expected, options


def damage_by_chance(path: Path, chance: random.Random, good: bytes) -> str:
    data, shown = good, []
    for _ in range(chance.randint(1, 3)):
        how = chance.randrange(6)
        size = len(data)
        page = 4096 * chance.randrange(max(1, size // 4096))
        if how == 0:
            data = flip(chance, data)
        elif how == 1:
            data = data[: chance.randrange(size + 1)]
        elif how == 2:
            data = zero(chance, data)
        elif how == 3:
            data = data[:page] + b"\0" * 4096 + data[page + 4096 :]
        elif how == 4:  # a page in the place of another
            other = 4096 * chance.randrange(max(1, size // 4096))
            data = data[:page] + data[other : other + 4096] + data[page + 4096 :]
        else:  # the last bytes of a page's header, and its cells' pointers
            at = min(size - 1, page + chance.randrange(40)) if size else 0
            data = data[:at] + chance.randbytes(1) + data[at + 1 :]
        shown.append(f"{how} at {page}")
    (put if chance.random() < 0.5 else put_in_place)(index_of(path), data)
    return ", ".join(shown)


def fuzz(template: Made, path: Path, *, seed: int, rounds: int) -> None:
    chance = random.Random(seed)
    good = index_of(path).read_bytes()
    for number in range(rounds):
        put(index_of(path), good)
        options = chance.choice(list(OPENINGS.values()))
        if chance.random() < 0.3:
            with Tract.open(path, **options) as t:
                if chance.random() < 0.5:
                    t.compile()
                shown = damage_by_chance(path, chance, good)
                assert answers(t) == template.expected, f"round {number}, open, {options}: {shown}"
            continue
        shown = damage_by_chance(path, chance, good)
        for _ in range(2):
            with Tract.open(path, **options) as t:
                assert answers(t) == template.expected, f"round {number}, {options}: {shown}"


@pytest.mark.parametrize("seed", range(4))
def test_chance_damage_of_the_index_changes_no_answer(template: Made, path: Path, seed: int) -> None:
    fuzz(template, path, seed=seed, rounds=60)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(100, 140))
def test_ten_thousand_damages_of_the_index_change_no_answer(template: Made, path: Path, seed: int) -> None:
    signal.alarm(600)
    fuzz(template, path, seed=seed, rounds=250)


@pytest.mark.parametrize("family", ["commit", "event"])
def test_every_key_of_the_index_that_is_another_is_noticed(template: Made, path: Path, family: str) -> None:
    """Also where the row itself is as it was: the key decides whether it is found."""
    with opened(index_of(path)) as connection:
        numbers = [
            n for (n,) in connection.execute(f"select id from records where {family}_key is not null order by id")
        ]
    good = index_of(path).read_bytes()
    for number in numbers[::7]:
        put(index_of(path), good)
        with opened(index_of(path)) as connection:
            connection.execute(f"update records set {family}_key = {family}_key + 1 where id = ?", (number,))
        with Tract.open(path, read_only=True) as t:
            assert answers(t) == template.expected, number
            t.refresh()
            assert t.status().gone == ()
