"""Long histories: what a call reads does not grow with all that lies before, and answers are those of a short one. Counted, not timed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.lab.inside import log_of, reader_of
from tests.lab.states import answers, own_place
from tests.lab.talk import user
from tract_fs import Priority, Tract
from tract_fs.model.compiler import ContextState
from tract_fs.store import files, listing, origins, snapshot_cache, tract_log
from tract_fs.store.arrivals import RECORD_BYTES
from tract_fs.store.index.file import IndexFile
from tract_fs.store.index.members import MemberIndex
from tract_fs.store.index.records import TractRecords
from tract_fs.store.objects import Objects
from tract_fs.store.operations import Operations
from tract_fs.work.contexts import ContextReader


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a handle keep few records in memory, and write few rows at once, early."""
    monkeypatch.setattr(tract_log, "_SAVE_EVERY_RECORDS", 256)
    monkeypatch.setattr(origins, "_MOST_KEPT", 16)
    monkeypatch.setattr(origins, "_ROWS_AT_ONCE", 16)


@pytest.fixture
def arrivals_read(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Returns what tells the bytes of arrivals read since the last call."""
    sizes: list[int] = []
    plain = files.read_at

    def read_at(path: str, offset: int, size: int) -> bytes | None:
        data = plain(path, offset, size)
        if path.endswith("/arrivals"):
            sizes.append(len(data or b""))
        return data

    def told() -> int:
        total = sum(sizes)
        sizes.clear()
        return total

    monkeypatch.setattr(files, "read_at", read_at)
    return told


def stream(count: int) -> list[dict[str, Any]]:
    return [{"role": "user", "content": f"message {number}"} for number in range(count)]


def test_an_open_a_log_and_a_lookup_read_few_of_many_records(
    tmp_path: Path, small_steps: None, arrivals_read: Callable[[], int]
) -> None:
    with Tract.open(tmp_path, durability="fast") as t:
        t.import_stream(stream(2000), batch_size=20)
        t.commit(user("the last"))
        names = [info.commit_hash for info in t.log(None)]
    arrivals_read()
    with Tract.open(tmp_path, durability="fast") as t:
        assert t.log(10)[0].token_count == 3 + 1 + 2
        assert arrivals_read() < 600 * RECORD_BYTES
        assert t.get_commit(names[1500]).commit_hash == names[1500]  # type: ignore[union-attr]
        assert t.get_commit("0" * 64) is None
        assert t.resolve(names[1700][:10]) == names[1700]
        assert t.query_by_config("x", "=", 1) == []
        arrivals_read()
        t.commit(user("one more"))
        assert t.reflog(3)[0].head == t.head
        assert arrivals_read() < 1100 * RECORD_BYTES
        assert [info.commit_hash for info in t.log(None)][1:] == names


def test_no_open_after_a_pack_looks_up_what_was_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[object] = []
    monkeypatch.setattr(listing, "_SETTLED_NS", 10**18)  # as where the pack was a moment ago
    with Tract.open(tmp_path, durability="fast") as t:
        for number in range(300):
            t.commit(user(f"message {number}"))
        t.pack(keep_loose=timedelta(0))
    for part, call in ((TractRecords, "events_in_fan"), (MemberIndex, "places"), (MemberIndex, "listed")):
        plain = getattr(part, call)

        def counted(*args: Any, _plain: Any = plain, **options: Any) -> Any:
            looks.append(args[1])
            return _plain(*args, **options)

        monkeypatch.setattr(part, call, counted)
    for _ in range(3):
        looks.clear()
        with Tract.open(tmp_path, durability="fast") as t:
            assert len(t.log(10)) == 10
        assert len(looks) <= 10, looks


def test_an_open_and_a_log_of_loose_files_need_no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Tract.open(tmp_path, durability="fast") as t:
        for number in range(20):
            t.commit(user(f"message {number}"))
    monkeypatch.setattr(IndexFile, "_open", lambda _: pytest.fail("the index is opened"))
    with Tract.open(tmp_path, durability="fast") as t:
        assert len(t.log(10)) == 10


def test_the_first_open_of_a_small_tract_writes_no_rows_and_the_next_handles_answer_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Tract.open(tmp_path, durability="fast") as t:
        t.import_stream(stream(60), batch_size=7, generation_config=lambda n, _: {"n": n % 3})
        expected, names = answers(t), [info.commit_hash for info in t.log(None)]
    shutil.rmtree(own_place(tmp_path))
    saved: list[int] = []
    save = TractRecords.save

    def counted(self: TractRecords, records: Any, *args: Any, **options: Any) -> bool:
        saved.append(len(records))
        return save(self, records, *args, **options)

    monkeypatch.setattr(TractRecords, "save", counted)
    with Tract.open(tmp_path, durability="fast") as t:
        assert t.log(10)[9].commit_hash == names[9]
    assert saved == []
    with Tract.open(tmp_path, read_only=True) as t:
        assert answers(t) == expected
    with Tract.open(tmp_path, durability="fast") as t:
        assert answers(t) == expected
        assert t.get_commit(names[-1]).commit_hash == names[-1]  # type: ignore[union-attr]


def rows_of(path: Path) -> list[tuple[Any, ...]]:
    """Returns the rows that mirror arrivals, and what tells how far they go."""
    connection = sqlite3.connect(own_place(path) / "index.db")
    found = [
        *connection.execute("select * from records"),
        *connection.execute("select name, records, chain from tracts"),
    ]
    found += connection.execute("select * from sums where family in ('event', 'commit')")
    connection.close()
    return found


def test_rows_are_written_alike_by_every_handle_and_used_by_readers(tmp_path: Path, small_steps: None) -> None:
    with Tract.open(tmp_path, durability="fast") as t:
        t.import_stream(stream(700), batch_size=3, generation_config=lambda n, _: {"n": n})
        expected = answers(t)
    arrivals = own_place(tmp_path) / "tracts/default/arrivals"
    count = arrivals.stat().st_size // RECORD_BYTES
    before = rows_of(tmp_path)
    assert [row[0] for row in before[:count]] == [(1 << 40) + number for number in range(count)]
    assert before[count] == ("default", count, arrivals.read_bytes()[-16:].hex())
    index = own_place(tmp_path) / "index.db"
    connection = sqlite3.connect(index)
    connection.execute("delete from records where id % 2 = 0")
    connection.commit()
    connection.close()
    damaged = rows_of(tmp_path)
    with Tract.open(tmp_path, read_only=True) as t:
        assert answers(t) == expected
    assert rows_of(tmp_path) == damaged
    with Tract.open(tmp_path, durability="fast") as t:
        t.refresh()
        assert answers(t) == expected
    assert rows_of(tmp_path) == before
    index.unlink()
    with Tract.open(tmp_path, read_only=True) as t:
        assert answers(t) == expected
        assert not index.exists()


def test_a_commit_brought_twice_and_one_with_usage_are_found_through_rows(tmp_path: Path, small_steps: None) -> None:
    with Tract.open(tmp_path, durability="fast") as t:
        first = t.commit(user("first"), generation_config={"n": 1}).commit_hash
        t.record_usage({"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11})
        t.branch("side")
        for number in range(60):
            t.commit(user(f"message {number}"))
        expected = answers(t)
    with Tract.open(tmp_path, durability="fast") as t:
        assert t.compile(at_commit=first).token_source == "api:5+6"
        assert t.get_commit(first).generation_config == {"n": 1}  # type: ignore[union-attr]
        assert answers(t) == expected


def test_a_state_of_a_long_history_that_shows_little_is_stored_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ContextState, "CONDENSED_LEAST", 1)
    with Tract.open(tmp_path, durability="fast") as t:
        t.import_stream(stream(500))
        names = [info.commit_hash for info in t.log(None)][::-1]
        t.summarize(names[:450], "what was said", keep_pinned=False)
        t.annotate(names[470], Priority.SKIP)
        told = t.compile()
        assert told.commit_count == 50
    snapshot = max((own_place(tmp_path) / "tracts/default/snapshots").iterdir(), key=lambda p: p.stat().st_mtime_ns)
    assert snapshot.stat().st_size < 30_000
    with Tract.open(tmp_path, durability="fast") as t:
        assert t.compile() == told
        t.annotate(names[470], Priority.NORMAL)  # what the stored state has let go
        assert t.compile().commit_count == 51
        with t.batch():
            t.annotate(names[3], Priority.PINNED)
            t.edit(names[4], user("edited"))
        t.annotate(t.compile().commit_hashes[0], Priority.SKIP)  # the summary
        assert t.compile().commit_count == 500
        assert t.compile().messages[4].content == "edited"
        with Tract.open(tmp_path, durability="fast", verify=True) as other:
            assert other.compile() == t.compile()


def test_a_merge_near_a_stored_state_reads_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Tract.open(tmp_path, durability="fast") as t:
        t.import_stream(stream(1000))
        t.compile()
    with Tract.open(tmp_path, durability="fast") as t:
        t.branch("side")
        t.switch("side")
        t.commit(user("on the side"))
        t.switch("main")
        t.commit(user("on main"))
        t.merge("side")
    read: set[str] = set()
    plain = Objects.require_commit

    def require_commit(self: Objects, name: Any) -> Any:
        read.add(name)
        return plain(self, name)

    monkeypatch.setattr(Objects, "require_commit", require_commit)
    with Tract.open(tmp_path, durability="fast") as t:
        assert [message.content for message in t.compile().messages[-2:]] == ["on main", "on the side"]
        assert len(read) < 10


def test_stored_states_are_few_and_small_and_the_last_used_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Tract.open(tmp_path).close()
    directory = own_place(tmp_path) / "tracts/default/snapshots"
    heads = []
    for _ in range(12):
        with Tract.open(tmp_path, durability="fast") as t:
            if heads:
                t.compile(at_commit=heads[0])
            t.import_stream(stream(70))
            t.compile()
            heads.append(str(t.head))
    assert {path.name for path in directory.iterdir()} >= {heads[0], heads[-1]}
    assert len(list(directory.iterdir())) == 8
    size = (directory / heads[-1]).stat().st_size
    monkeypatch.setattr(snapshot_cache, "_KEPT_BYTES", 2 * size)
    with Tract.open(tmp_path, durability="fast") as t:
        t.import_stream(stream(70))
        t.compile()
    assert 0 < sum(path.stat().st_size for path in directory.iterdir()) <= 2 * size
    monkeypatch.setattr(snapshot_cache, "_LIMIT_BYTES", size)
    with Tract.open(tmp_path, durability="fast") as t:
        t.import_stream(stream(70))
        assert t.compile().commit_count == 14 * 70
        head = t.head
    assert not (directory / str(head)).exists()


def test_a_query_is_answered_while_another_process_builds_the_index(tmp_path: Path) -> None:
    with Tract.open(tmp_path, durability="fast") as t:
        t.import_stream(stream(300), generation_config=lambda n, _: {"n": n})
        assert len(t.query_by_config("n", "<", 10)) == 10
        t.import_stream(stream(300), generation_config=lambda n, _: {"n": n})
    file = own_place(tmp_path) / "index.db"
    holder = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    holder.execute("begin immediate")
    with Tract.open(tmp_path, read_only=True) as t:
        assert len(t.query_by_config("n", "<", 10)) == 20  # from a copy in memory, at once
    timer = threading.Timer(0.3, holder.rollback)
    timer.start()
    with Tract.open(tmp_path, durability="fast") as t:
        assert len(t.query_by_config("n", "<", 10)) == 20  # after a wait
    timer.join()
    holder.close()


def test_processes_that_build_one_index_at_once_all_answer(tmp_path: Path) -> None:
    with Tract.open(tmp_path, durability="fast") as t:
        t.import_stream(stream(3000), generation_config=lambda n, _: {"n": n % 100})
    program = textwrap.dedent(
        """
        import sys
        from tract_fs import Tract
        from tract_fs.store.index import configs
        configs._RECORDS_AT_ONCE = 200
        with Tract.open(sys.argv[1], durability="fast") as t:
            print(len(t.query_by_config("n", "=", 7)))
        """
    )
    running = [subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE) for _ in range(3)]
    assert [process.communicate(timeout=240)[0] for process in running] == [b"30\n"] * 3


def test_an_index_that_a_handle_with_more_commits_wrote_is_used_as_it_is(tmp_path: Path) -> None:
    path, operator, value = ("n",), "=", 7
    with Tract.open(tmp_path, durability="fast") as old, Tract.open(tmp_path, durability="fast") as new:
        old.commit(user("one"), generation_config={"n": 7})
        assert len(old.query_by_config("n", operator, value)) == 1
        file = own_place(tmp_path) / "index.db"
        inode = file.stat().st_ino
        for number in range(2):  # its rows are new to the first handle amid a call; its configs as well
            new.commit(user(f"more {number}"), generation_config={"n": 7, "number": number})
            new.commit(user(f"other {number}"), generation_config={"n": 7})
            assert len(new.query_by_config("n", operator, value)) == 3 + 2 * number
            assert len(reader_of(old).query(path, operator, value)) == 3 + 2 * number
        with Tract.open(tmp_path, durability="fast") as late:
            late.commit(user("last"), generation_config={"n": 8})
            late.query_by_config("n", operator, value)
        index = next(iter(reader_of(old)._config_indexes.values()))
        index.close()  # read anew, ahead of what this handle has taken in
        assert len(reader_of(old).query(path, "=", 8)) == 1
        assert file.stat().st_ino == inode


def test_the_handle_that_fills_a_store_keeps_few_records_in_memory(tmp_path: Path, small_steps: None) -> None:
    with Tract.open(tmp_path, durability="fast") as t:
        for _ in range(10):
            t.import_stream(stream(100), batch_size=20)
        assert len(log_of(t).origins._brought) < 400
        assert len(t.log(None)) == 1000
        told = answers(t)
    with Tract.open(tmp_path, durability="fast") as t:
        assert answers(t) == told


ONE_COMMIT: dict[str, Callable[[Tract, list[str]], object]] = {
    "annotate": lambda t, names: t.annotate(names[5], Priority.SKIP),
    "edit": lambda t, names: t.edit(names[5], user("edited")),
    "edit of a text": lambda t, names: t.edit(names[4], "edited again"),
    "get_annotations": lambda t, names: t.get_annotations(names[5]),
    "revert": lambda t, names: t.revert(names[6]),
    "revert of an annotation": lambda t, names: t.revert(names[-4]),
    "expand": lambda t, names: t.expand(names[-2]),
    "get_commit": lambda t, names: t.get_commit(names[5]),
    "get_content": lambda t, names: t.get_content(names[5]),
    "cherry_pick": lambda t, names: t.cherry_pick(names[5]),
    "tag": lambda t, names: t.tag("here", names[5]),
    "reset": lambda t, names: t.reset(names[5]),
    "branch": lambda t, names: t.branch(f"side-{len(t.branches())}", at=names[5]),
    "pop": lambda t, names: t.pop(),
}


@pytest.fixture(scope="module")
def short_and_long(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, list[str]]]:
    """Returns two stores with all their commits: one history is ten times as long as the other."""
    made = []
    for count in (400, 4000):
        path = tmp_path_factory.mktemp(f"of-{count}")
        with Tract.open(path, durability="fast") as t:
            t.import_stream(stream(count))
            names = [info.commit_hash for info in t.log(None)][::-1]
            t.annotate(names[5], Priority.PINNED)
            t.edit(names[4], user("edited"))
            t.annotate(names[5], Priority.SKIP)
            t.add("a message in between")
            t.summarize([names[8], names[9]], "a summary")
            t.add("the last message")
            made.append((path, [info.commit_hash for info in t.log(None)][::-1]))
            t.compile()
    return made


@pytest.mark.parametrize("call", ONE_COMMIT)
@pytest.mark.parametrize("is_batch", [False, True], ids=["alone", "in a batch"])
def test_a_call_on_one_commit_reads_as_many_objects_in_a_long_history_as_in_a_short_one(
    short_and_long: list[tuple[Path, list[str]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    is_batch: bool,
) -> None:
    read: list[str] = []
    for name in ("commit", "require_commit", "get", "require"):
        plain = getattr(Objects, name)

        def counted(self: Objects, *args: Any, _plain: Any = plain) -> Any:
            read.append(args[0])
            return _plain(self, *args)

        monkeypatch.setattr(Objects, name, counted)
    monkeypatch.setattr(ContextReader, "state", lambda *_: pytest.fail("it compiles the history"))
    counts = []
    for made, names in short_and_long:
        path = tmp_path / made.name
        path.mkdir()
        os.rename(made / ".tract", path / ".tract")  # with its place and caches
        try:
            with Tract.open(path, durability="fast") as t:
                read.clear()
                with t.batch() if is_batch else nullcontext():
                    ONE_COMMIT[call](t, names)
                counts.append(len(read))
                t.reset(names[-1])
        finally:
            os.rename(path / ".tract", made / ".tract")
    assert counts[1] <= counts[0] + 2
    assert counts[0] < 60


def test_what_is_about_a_commit_is_found_in_the_order_of_the_history_with_and_without_the_saved_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Tract.open(tmp_path, durability="fast") as t:
        t.import_stream(stream(300))
        name = t.log(None)[290].commit_hash
        t.annotate(name, Priority.PINNED, reason="first")
        t.branch("side")
        t.annotate(name, Priority.SKIP, reason="on main")
        t.switch("side")
        t.annotate(name, Priority.NORMAL, reason="on the side")
        t.edit(name, "of the side")
        t.switch("main")
        t.import_stream(stream(300))
        t.annotate(name, Priority.PINNED, reason="last on main")
        t.compile()
    file = own_place(tmp_path) / "tracts/default/operations"
    whole = file.read_bytes()

    def reasons(path: Path) -> list[list[str | None]]:
        found = []
        for branch in ("main", "side"):
            with Tract.open(path, branch=branch, read_only=True) as t:
                found.append([annotation.reason for annotation in t.get_annotations(name)])
        return found

    expected = [["first", "on main", "last on main"], ["first", "on the side"]]
    assert reasons(tmp_path) == expected
    for data in (None, b"", whole[:-1], whole[:-64], whole[:100] + bytes([whole[100] ^ 1]) + whole[101:]):
        file.unlink(missing_ok=True)
        if data is not None:
            file.write_bytes(data)
        assert reasons(tmp_path) == expected
    with Tract.open(tmp_path, durability="fast") as t:
        assert t.edit(name, "of main").targets == (name,)
        assert [annotation.reason for annotation in t.get_annotations(name)] == expected[0]
        t.merge("side", prefer="ours")
        t.edit(name, "of both")
        t.annotate(name, Priority.PINNED, reason="of both")
        joined = ["first", "on main", "last on main", "on the side", None, "of both"]
        assert [annotation.reason for annotation in t.get_annotations(name)] == joined
        monkeypatch.setattr(Operations, "about", lambda *_: None)
        assert [annotation.reason for annotation in t.get_annotations(name)] == joined


def test_a_lost_commit_of_another_branch_does_not_keep_the_annotations_of_this_one_from_being_read(
    tmp_path: Path,
) -> None:
    with Tract.open(tmp_path, durability="fast") as t:
        t.import_stream(stream(300))
        name = t.log(None)[290].commit_hash
        t.annotate(name, Priority.PINNED, reason="of both")
        t.branch("side")
        t.switch("side")
        lost = t.annotate(name, Priority.SKIP, reason="on the side").commit_hash
        t.switch("main")
        t.annotate(name, Priority.NORMAL, reason="on main")
        t.compile()
    (tmp_path / ".tract/objects" / str(lost)[:2] / str(lost)[2:]).unlink()
    with Tract.open(tmp_path, durability="fast") as t:
        assert [annotation.reason for annotation in t.get_annotations(name)] == ["of both", "on main"]


def test_a_dropped_part_of_a_batch_leaves_nothing_about_a_commit(tmp_path: Path) -> None:
    with Tract.open(tmp_path, durability="fast") as t:
        t.import_stream(stream(300))
        name = t.log(None)[290].commit_hash
        with t.batch():
            t.annotate(name, Priority.PINNED, reason="kept")
            with pytest.raises(KeyError), t.batch():
                t.annotate(name, Priority.SKIP, reason="dropped")
                t.edit(name, "dropped")
                assert [a.reason for a in t.get_annotations(name)] == ["kept", "dropped"]
                raise KeyError
            assert [a.reason for a in t.get_annotations(name)] == ["kept"]
            t.edit(name, "kept too")
            assert t.revert(t.head).targets  # type: ignore[arg-type]
        assert [a.reason for a in t.get_annotations(name)] == ["kept"]
