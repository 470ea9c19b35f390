"""Packs: one look finds a member among many packs, and no index, however damaged, stale or foreign, hides one."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.disk import disk, os_error
from tests.lab.states import bound_layout, own_place, put, put_in_place, remove_local, store_root
from tract_fs import Tract
from tract_fs.store import files, packs
from tract_fs.store.index import file as index_file
from tract_fs.store.index.file import IndexFile
from tract_fs.store.packs import Packs, assemble
from tract_fs.store.suspects import Suspects


def line(text: str) -> bytes:
    return b'{"content":{"content_type":"reasoning","text":"%s"}}' % text.encode()


def event(tract: str, number: int) -> bytes:
    at = f"2026-01-02T03:04:05.{number:06}Z"
    return f'{{"event":{{"at":"{at}","ops":[],"parents":[],"tract":"{tract}","writer":""}}}}'.encode()


def name_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_pack(path: Path, members: list[bytes]) -> Path:
    data = b"".join(member + b"\n" for member in members)
    file = store_root(path) / "packs" / name_of(data)
    put(file, data)
    return file


def read_surely(packs: Packs, name: str) -> bytes | None:
    data = packs.read(name)
    while data is None and packs.renew(name):
        data = packs.read(name)
    return data


def opened(path: Path, *, read_only: bool = False) -> Packs:
    packs = Packs(bound_layout(path), read_only=read_only)
    packs.refresh()
    return packs


def index_of(path: Path) -> Path:
    return own_place(path) / "index.db"


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(index_of(path))
    found = connection.execute(sql).fetchall()
    connection.close()
    return found


def change(path: Path, sql: str) -> None:
    connection = sqlite3.connect(index_of(path))
    connection.executescript(sql)
    connection.close()


def packs_opened(act: Callable[[], object]) -> list[str]:
    """Returns the packs whose files are opened meanwhile."""
    found: list[str] = []

    def note(call: str, _number: int, arguments: tuple[object, ...]) -> None:
        if call == "open" and "/packs/" in str(arguments[0]):
            found.append(os.path.basename(str(arguments[0])))

    with disk(note):
        act()
    return found


@pytest.fixture
def members(tmp_path: Path) -> Iterator[list[bytes]]:
    """Three packs in `tmp_path`, with objects, and events of two tracts; returns all members."""
    found = []
    for pack in range(3):
        inside = [line(f"{pack} {number}") for number in range(40)]
        inside += [event("a", 10 * pack + number) for number in range(3)] + [event("b", pack)]
        write_pack(tmp_path, inside)
        found += inside
    yield found


def test_every_member_is_found_and_no_other(tmp_path: Path, members: list[bytes]) -> None:
    packs = opened(tmp_path)
    assert [packs.read(name_of(member)) for member in members] == members
    assert [packs.has(name_of(member)) for member in members] == [True] * len(members)
    absent = [name_of(b"%d" % number) for number in range(2000)]
    assert [name for name in absent if packs.has(name) or packs.read(name) or packs.renew(name)] == []
    assert packs.tracts() == {"a", "b"}
    of_b = sorted(name for pack in packs.names for name in packs.event_names(pack, "b"))
    assert of_b == sorted(name_of(event("b", number)) for number in range(3))
    assert sorted(len(packs.event_names(pack)) for pack in packs.names) == [4, 4, 4]


def test_a_pack_is_read_once_and_a_fresh_handle_reads_none_for_a_look(tmp_path: Path, members: list[bytes]) -> None:
    first = packs_opened(lambda: opened(tmp_path).has(name_of(members[0])))
    assert sorted(first) == sorted(os.listdir(store_root(tmp_path) / "packs"))
    assert rows(tmp_path, "select count(*) from packs") == [(3,)]
    for read_only in (True, False):
        again = opened(tmp_path, read_only=read_only)
        assert packs_opened(lambda packs=again: packs.has(name_of(members[-1]))) == []  # type: ignore[misc]
        assert packs_opened(lambda packs=again: packs.renew("0" * 64)) == []  # type: ignore[misc]
        assert again.has(name_of(members[-1]))


def test_a_reader_without_an_index_keeps_the_members_for_itself(tmp_path: Path, members: list[bytes]) -> None:
    packs = opened(tmp_path, read_only=True)
    assert [packs.read(name_of(member)) for member in members] == members
    assert not index_of(tmp_path).exists()
    assert packs_opened(lambda: [packs.has(name_of(member)) for member in members]) == []


@pytest.mark.parametrize("most_held", [1 << 17, 0], ids=["in a dict", "in an index in memory"])
def test_a_reader_with_an_index_that_lacks_a_pack_keeps_its_members_for_itself(
    tmp_path: Path, members: list[bytes], monkeypatch: pytest.MonkeyPatch, most_held: int
) -> None:
    monkeypatch.setattr(packs, "_MOST_HELD", most_held)
    opened(tmp_path).has("0" * 64)
    before = index_of(tmp_path).read_bytes()
    late = [line("late"), event("late", 1)]
    name = write_pack(tmp_path, late).name
    reader = opened(tmp_path, read_only=True)
    assert [reader.read(name_of(member)) for member in (*members, *late)] == [*members, *late]
    assert reader.tracts() == {"a", "b", "late"}
    assert reader.event_names(name) == [name_of(late[1])]
    assert reader.has_events(name)
    wanted = [name_of(late[0]), name_of(members[0])]
    assert reader.listed([*wanted, "0" * 64]) == set(wanted)
    assert reader.holder(name_of(late[0]), {name}) == name
    assert reader.holder(name_of(members[0]), {name}) is None
    assert reader.holders(name_of(late[0]), {name}, set(), reader.names) == [name, None, name]
    assert reader.member_names(name) == {bytes.fromhex(name_of(member)) for member in late}
    assert reader.member_names("0" * 64) == set()
    assert read_surely(reader, "0" * 64) is None
    assert index_of(tmp_path).read_bytes() == before


def test_new_packs_join_the_index_and_packs_that_went_leave_it(tmp_path: Path, members: list[bytes]) -> None:
    packs = opened(tmp_path)
    assert packs.has(name_of(members[0]))
    for number in range(20):
        added = write_pack(tmp_path, [line(f"more {number}")])
        assert packs.refresh()
        assert packs.read(name_of(line(f"more {number}"))) == line(f"more {number}")
    assert rows(tmp_path, "select count(*), sum(members) from packs") == [(23, 3 * 44 + 20)]
    added.unlink()
    assert packs.refresh()
    assert packs.read(name_of(line("more 19"))) is None
    assert not packs.has(name_of(line("more 19")))
    assert [packs.read(name_of(member)) for member in members] == members


def test_rows_of_packs_that_went_are_removed_once_they_are_the_most(tmp_path: Path, members: list[bytes]) -> None:
    packs = opened(tmp_path)
    assert packs.has(name_of(members[0]))
    whole = write_pack(tmp_path, members)
    for file in (store_root(tmp_path) / "packs").iterdir():
        if file != whole:
            file.unlink()
    assert packs.refresh()
    assert [packs.read(name_of(member)) for member in members] == members
    assert rows(tmp_path, "select hex(name), members, tracts from packs") == [(whole.name.upper(), 132, 2)]
    assert rows(tmp_path, "select count(*), count(distinct name) from members") == [(132, 132)]
    assert rows(tmp_path, "select sum(rows) from sums where family = 'member'") == [(132,)]
    assert rows(tmp_path, "select tract, events from pack_events order by tract") == [("a", 9), ("b", 3)]
    assert not packs.renew("0" * 64)


def test_a_directory_that_changes_again_within_a_tick_is_listed_again(
    tmp_path: Path, members: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its ctime has the grain of the kernel's clock: two changes may leave the same."""
    first = files.signature(str(store_root(tmp_path) / "packs"))
    layout = bound_layout(tmp_path)
    plain = files.signature
    monkeypatch.setattr(files, "signature", lambda path: first if path == layout.packs else plain(path))
    packs = opened(tmp_path)
    write_pack(tmp_path, [line("late")])
    assert packs.refresh()
    assert packs.read(name_of(line("late"))) == line("late")


@pytest.mark.parametrize("read_only", [False, True], ids=["writer", "reader"])
def test_an_index_altered_at_any_place_hides_no_member(tmp_path: Path, members: list[bytes], read_only: bool) -> None:
    made = opened(tmp_path)
    made.has(name_of(members[0]))
    made.close()
    index = index_of(tmp_path)
    good = index.read_bytes()
    for place in range(0, len(good), 397):
        put(index, good[:place] + bytes([good[place] ^ (1 << place % 8)]) + good[place + 1 :])
        packs = opened(tmp_path, read_only=read_only)
        assert [read_surely(packs, name_of(member)) for member in members] == members, place
        names = {name for pack in packs.names for name in packs.event_names(pack)}
        assert names == {name_of(member) for member in members if member.startswith(b'{"event"')}, place
        assert read_surely(packs, "0" * 64) is None, place
        assert not packs.renew("0" * 64), place
        packs.close()


CHANGES = {
    "a member less": "delete from members where place = (select min(place) from members)",
    "no members": "delete from members",
    "a member of another size": "update members set size = size + 1 where place = (select max(place) from members)",
    "a member elsewhere": "update members set place = place + 3 where place = (select max(place) from members)",
    "a member of another name": "update members set name = zeroblob(32) where place = (select min(place) from members)",
    "a member under another key": "update members set key = key + 1 where place = (select min(place) from members)",
    "a name that is a text": "update members set name = 'x' where place = (select min(place) from members)",
    "a size that is a text": "update members set size = 'x' where place = (select min(place) from members)",
    "a pack less": "delete from packs where id = 1",
    "packs that swapped names": "update packs set id = id + 7",
    "a pack of another name": "update packs set name = zeroblob(32) where id = 1",
    "a pack of another count": "update packs set members = 5 where id = 1",
    "events of a tract less": "delete from pack_events where tract = 'b'",
    "events of another tract": "update pack_events set tract = 'c' where tract = 'b'",
    "events cut": "update pack_events set names = substr(names, 1, 32) where tract = 'a'",
    "other events": "update pack_events set names = zeroblob(length(names))",
    "no sums": "delete from sums",
    "other sums": "update sums set total = total + 1",
}


@pytest.mark.parametrize("read_only", [False, True], ids=["writer", "reader"])
@pytest.mark.parametrize("how", CHANGES)
def test_a_wrong_row_hides_no_member_and_gives_no_wrong_bytes(
    tmp_path: Path, members: list[bytes], how: str, read_only: bool
) -> None:
    made = opened(tmp_path)
    made.has("0" * 64)
    made.close()
    change(tmp_path, CHANGES[how])
    packs = opened(tmp_path, read_only=read_only)
    assert [read_surely(packs, name_of(member)) for member in members] == members
    events = {name_of(member) for member in members if member.startswith(b'{"event"')}
    assert {name for pack in packs.names for name in packs.event_names(pack)} == events
    of_b = {name for pack in packs.names for name in packs.event_names(pack, "b")}
    assert of_b == {name_of(event("b", number)) for number in range(3)}
    assert packs.tracts() == {"a", "b"}
    assert read_surely(packs, "0" * 64) is None


@pytest.mark.parametrize("size_bytes", [0, 11, 100, 4096, 5000, 8192, -1])
def test_an_index_cut_short_is_made_again(tmp_path: Path, members: list[bytes], size_bytes: int) -> None:
    made = opened(tmp_path)
    made.has(name_of(members[0]))
    made.close()
    expected = rows(tmp_path, "select place, name, size from members")
    put(index_of(tmp_path), index_of(tmp_path).read_bytes()[:size_bytes])
    packs = opened(tmp_path)
    assert [read_surely(packs, name_of(member)) for member in members] == members
    assert read_surely(packs, "0" * 64) is None
    packs.close()
    assert sorted(rows(tmp_path, "select place, name, size from members")) == sorted(expected)


@pytest.mark.parametrize("is_sealed", [False, True], ids=["of its place", "as if of this place"])
def test_the_index_of_another_store_hides_nothing(tmp_path: Path, members: list[bytes], is_sealed: bool) -> None:
    other = tmp_path / "other"
    write_pack(other, [line("other")])
    layout = bound_layout(other)
    if is_sealed:
        layout.use_place(os.path.basename(layout.local), bound_layout(tmp_path).seal)
    made = Packs(layout)
    made.refresh()
    made.has("0" * 64)
    made.close()
    put(index_of(tmp_path), index_of(other).read_bytes())
    packs = opened(tmp_path)
    assert [packs.read(name_of(member)) for member in members] == members
    assert packs.read(name_of(line("other"))) is None
    assert read_surely(packs, "0" * 64) is None


def test_an_older_index_that_is_put_over_the_open_one_hides_nothing(tmp_path: Path, members: list[bytes]) -> None:
    """As by a tool that writes the bytes of a backup into the file itself."""
    made = opened(tmp_path)
    made.has("0" * 64)
    made.close()
    older = index_of(tmp_path).read_bytes()
    late = [line(f"late {number}") for number in range(40)]
    write_pack(tmp_path, late)
    packs = opened(tmp_path)
    assert [read_surely(packs, name_of(member)) for member in (*members, *late)] == [*members, *late]
    for number in range(256):
        assert read_surely(packs, f"{number:02x}" + "0" * 62) is None
    with open(index_of(tmp_path), "r+b") as file:
        file.write(older)
        file.truncate()
    assert [read_surely(packs, name_of(member)) for member in (*members, *late)] == [*members, *late]


def test_without_a_place_for_the_index_all_is_found(tmp_path: Path, members: list[bytes]) -> None:
    put(store_root(tmp_path) / "local", b"no directory")
    packs = opened(tmp_path)
    assert [packs.read(name_of(member)) for member in members] == members
    assert read_surely(packs, "0" * 64) is None


@pytest.mark.parametrize("read_only", [False, True], ids=["writer", "reader"])
def test_an_index_that_can_not_be_opened_is_done_without(
    tmp_path: Path, members: list[bytes], monkeypatch: pytest.MonkeyPatch, read_only: bool
) -> None:
    opened(tmp_path).has("0" * 64)
    plain = index_file._connect

    def connect(path: str) -> sqlite3.Connection:
        if path != ":memory:":
            raise sqlite3.OperationalError("unable to open database file")
        return plain(path)

    def fails(call: str, _number: int, arguments: tuple[object, ...]) -> OSError | None:
        is_local = call in ("open", "listdir") and "local" in str(arguments[0])
        return os_error(13, str(arguments[0])) if is_local else None

    monkeypatch.setattr(index_file, "_connect", connect)
    with disk(fails):
        packs = opened(tmp_path, read_only=read_only)
        assert [packs.read(name_of(member)) for member in members] == members
        assert read_surely(packs, "0" * 64) is None


def test_an_index_that_another_process_holds_is_done_without(
    tmp_path: Path, members: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_file, "_WAIT_S", 0.05)
    packs = opened(tmp_path)
    assert packs.has(name_of(members[0]))
    holder = sqlite3.connect(index_of(tmp_path), isolation_level=None)
    holder.execute("begin immediate")
    late = [line("late"), event("late", 1)]
    write_pack(tmp_path, late)
    assert packs.refresh()
    assert [packs.read(name_of(member)) for member in (*members, *late)] == [*members, *late]
    holder.rollback()
    assert rows(tmp_path, "select count(*) from packs") == [(3,)]
    assert opened(tmp_path).has(name_of(late[0]))
    assert rows(tmp_path, "select count(*) from packs") == [(4,)]


def test_two_handles_that_read_the_same_packs_write_their_rows_once(tmp_path: Path, members: list[bytes]) -> None:
    one, two = opened(tmp_path), opened(tmp_path)
    assert set(two._members.packs()) == set(one._members.packs()) == set()
    assert one.has(name_of(members[0]))
    assert two.has(name_of(members[0]))
    assert rows(tmp_path, "select id from packs order by id") == [(1,), (2,), (3,)]
    assert rows(tmp_path, "select count(*) from members") == [(132,)]
    assert [read_surely(two, name_of(member)) for member in members] == members
    assert not two.renew("0" * 64)


# packs that this handle wrote


def write(packs: Packs, number: int) -> dict[str, bytes]:
    objects = {name_of(member): member for member in (line(f"{number} {other}") for other in range(40))}
    packs.add(*assemble(objects), is_synced=False)
    return objects


def test_members_of_a_pack_that_was_just_written_are_found_and_have_rows_at_the_close(tmp_path: Path) -> None:
    packs = opened(tmp_path)
    objects = write(packs, 1) | write(packs, 2)
    assert packs_opened(lambda: [packs.has(name) for name in objects]) == []
    assert {name: packs.read(name) for name in objects} == objects
    assert packs.listed([*objects, "0" * 64]) == set(objects)
    assert [packs.holder(name, packs.names) in packs.names for name in objects] == [True] * 80
    assert not packs.renew("0" * 64)
    assert set(packs._members.packs()) == set()
    packs.close()
    assert rows(tmp_path, "select count(*), count(distinct key) from members") == [(80, 80)]
    again = opened(tmp_path)
    assert packs_opened(lambda: [again.has(name) for name in objects]) == []
    assert {name: read_surely(again, name) for name in objects} == objects


def test_rows_of_written_packs_are_written_once_they_are_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "_MOST_WAITING", 100)
    mine = opened(tmp_path)
    objects: dict[str, bytes] = {}
    for number in range(5):
        objects |= write(mine, number)
        assert all(map(mine.has, objects))
    assert rows(tmp_path, "select count(*) from members") == [(120,)]
    assert set(mine._held) == mine.names - set(mine._members.packs())
    assert {name: read_surely(mine, name) for name in objects} == objects


def test_a_written_pack_that_goes_or_is_damaged_leaves_no_rows(tmp_path: Path) -> None:
    packs = opened(tmp_path)
    gone, damaged, kept = write(packs, 1), write(packs, 2), write(packs, 3)
    assert all(map(packs.has, (*gone, *damaged, *kept)))
    first, second, third = (packs.holder(next(iter(one)), packs.names) for one in (gone, damaged, kept))
    (store_root(tmp_path) / "packs" / str(first)).unlink()
    file = store_root(tmp_path) / "packs" / str(second)
    put_in_place(file, file.read_bytes().replace(b'"2 7"', b'"2 x"'))
    assert packs.refresh()
    assert [name for name in gone if read_surely(packs, name) is not None] == []
    found = [name for name in damaged if read_surely(packs, name) is not None]
    assert found == [name for name in damaged if name != name_of(line("2 7"))]
    packs.close()
    assert rows(tmp_path, "select hex(name) from packs") == [(str(third).upper(),)]


# packs that are damaged


def test_of_a_damaged_pack_the_members_that_can_be_trusted_are_read(tmp_path: Path) -> None:
    """An event that no other line names may be an altered one, which would take effect by being there."""
    known = event("a", 1)
    named = b'{"commit":{"content":"%s"}}' % name_of(known).encode()
    lone, kept = event("a", 2), line("kept")
    file = write_pack(tmp_path, [known, named, lone, kept, line("altered")])
    put(file, file.read_bytes().replace(b"altered", b"alTered"))
    suspects = Suspects()
    packs = Packs(bound_layout(tmp_path), suspects)
    packs.refresh()
    assert [packs.read(name_of(member)) for member in (known, named, kept)] == [known, named, kept]
    packs.forget_recent()
    assert packs.read(name_of(lone)) is None
    assert packs.read(name_of(line("altered"))) is None
    assert packs.event_names(file.name) == [name_of(known)]
    assert [(suspect.kind, suspect.name) for suspect in suspects.all()] == [("pack", file.name)]
    assert packs.names == {file.name}
    assert packs._members.packs() == {}.keys()


def test_of_a_pack_that_was_whole_the_known_events_are_trusted(tmp_path: Path, members: list[bytes]) -> None:
    opened(tmp_path).has("0" * 64)
    for file in (store_root(tmp_path) / "packs").iterdir():
        put(file, file.read_bytes().replace(b' 7"', b' 8"'))
    packs = opened(tmp_path)
    lost = {line(f"{pack} 7") for pack in range(3)}
    found = [read_surely(packs, name_of(member)) for member in members]
    assert found == [None if member in lost else member for member in members]
    events = {name for pack in packs.names for name in packs.event_names(pack)}
    assert events == {name_of(member) for member in members if member.startswith(b'{"event"')}


def test_a_damaged_pack_that_is_whole_again_is_read_again(tmp_path: Path, members: list[bytes]) -> None:
    file = next((store_root(tmp_path) / "packs").iterdir())
    good = file.read_bytes()
    put(file, good[:-60] + b"x" + good[-59:])
    packs = opened(tmp_path)
    assert [read_surely(packs, name_of(member)) is None for member in members].count(True) > 0
    put(file, good)
    assert packs.refresh()
    assert [packs.read(name_of(member)) for member in members] == members
    assert rows(tmp_path, "select count(*) from packs") == [(3,)]


def test_a_pack_that_can_not_be_read_is_no_longer_one_of_them_until_it_changes(tmp_path: Path) -> None:
    file = write_pack(tmp_path, [line("a member")])
    good = file.read_bytes()
    file.unlink()
    file.symlink_to(tmp_path / "elsewhere")
    packs = opened(tmp_path)
    assert packs.read(name_of(line("a member"))) is None
    assert packs.names == set()
    assert packs.event_names(file.name) == []
    file.unlink()
    put(file, good)
    assert packs.refresh()
    assert packs.read(name_of(line("a member"))) == line("a member")
    assert packs.names == {file.name}


def test_good_members_of_a_damaged_pack_are_those_of_its_rows_or_of_its_lines(tmp_path: Path) -> None:
    file = write_pack(tmp_path, [line("one"), line("two"), event("a", 1)])
    damaged = file.read_bytes().replace(b"two", b"TWO")
    assert Packs(bound_layout(tmp_path)).good_members(file.name, damaged) == [line("one"), line("TWO")]
    packs = opened(tmp_path)
    packs.has("0" * 64)
    assert packs.good_members(file.name, damaged) == [line("one"), event("a", 1)]


def test_wrong_rows_of_a_good_pack_are_dropped(tmp_path: Path, members: list[bytes]) -> None:
    packs = opened(tmp_path)
    packs.has("0" * 64)
    file = next((store_root(tmp_path) / "packs").iterdir())
    assert not packs.drop_wrong_rows(file.name, file.read_bytes())
    assert not packs.drop_wrong_rows("0" * 64, b"")
    change(tmp_path, f"delete from pack_events where pack = (select id from packs where name = x'{file.name}')")
    assert packs.drop_wrong_rows(file.name, file.read_bytes())
    assert not index_of(tmp_path).exists()
    assert [read_surely(packs, name_of(member)) for member in members] == members


def test_packs_close_an_index_of_their_own_and_leave_a_shared_one_open(tmp_path: Path, members: list[bytes]) -> None:
    shared = IndexFile(bound_layout(tmp_path), read_only=False)
    packs = Packs(bound_layout(tmp_path), index=shared)
    packs.refresh()
    assert packs.has(name_of(members[0]))
    connection = shared.connection()
    packs.close()
    assert shared.connection() is connection
    assert connection.execute("select count(*) from packs").fetchall() == [(3,)]


def test_a_pack_that_is_not_what_its_rows_say_gives_what_it_contains(tmp_path: Path, members: list[bytes]) -> None:
    """Line ends rewritten after its rows were written: each member lies elsewhere."""
    opened(tmp_path).has("0" * 64)
    file = next((store_root(tmp_path) / "packs").iterdir())
    put(file, file.read_bytes().replace(b"\n", b"\r\n"))
    packs = opened(tmp_path, read_only=True)
    assert [read_surely(packs, name_of(member)) for member in members] == members


def test_the_index_is_no_part_of_what_is_synced(tmp_path: Path, members: list[bytes]) -> None:
    opened(tmp_path).has("0" * 64)
    assert os.path.relpath(index_of(tmp_path), store_root(tmp_path)).split("/")[0] == "local"
    assert sorted(os.listdir(store_root(tmp_path))) == ["local", "packs"]
    remove_local(tmp_path)
    packs = opened(tmp_path)
    assert [packs.read(name_of(member)) for member in members] == members


def test_a_recent_member_is_returned_once_and_those_that_come_first_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "_RECENT_BYTES", 500)
    recent = packs.RecentMembers()
    recent.add([(b"a", b"1" * 100)])
    recent.add([(b"b", b"2" * 200), (b"c", b"3")])
    recent.add([(b"d", b"4")])
    assert recent.take(b"a") == b"1" * 100
    assert recent.take(b"a") is None
    assert recent.take(b"c") == b"3"
    assert recent.take(b"d") is None
    recent.clear()
    assert recent.take(b"b") is None


def test_a_pack_with_lines_longer_than_a_block_is_read_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_CHUNK", 16)
    data = b"a" * 40 + b"\n" + b"b\n\nc\r\n" + b"d" * 16 + b"\n" + b"e" * 20
    put(tmp_path / "lines", data)
    blocks = list(files.iter_line_blocks(str(tmp_path / "lines"), limit_bytes=1000))
    assert b"".join(blocks) == data
    assert all(block.endswith(b"\n") for block in blocks[:-1])
    assert list(files.iter_lines(str(tmp_path / "lines"), limit_bytes=1000)) == [
        b"a" * 40 + b"\n", b"b\n", b"\n", b"c\r\n", b"d" * 16 + b"\n", b"e" * 20
    ]  # fmt: skip
    assert list(files.iter_lines(str(tmp_path / "lines"), limit_bytes=30)) == [b"a" * 30]
    scanned, name = packs.scan(str(tmp_path / "lines"), "")
    assert scanned is not None and name == hashlib.sha256(data).hexdigest()
    assert [(offset, size) for _, offset, size in scanned.members] == [
        (0, 40),
        (47, 16),
        (64, 20),
    ]  # shorter lines hold nothing


def test_a_pack_that_a_handle_wrote_is_not_read_through_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scan(*_: object) -> None:
        raise AssertionError("a pack was read through")

    with monkeypatch.context() as patched, Tract.open(tmp_path, durability="fast") as t:
        patched.setattr(packs, "scan", scan)
        t.import_stream([{"role": "user", "content": f"message {number}"} for number in range(200)])
        with t.batch():
            made = [t.commit({"content_type": "output", "text": f"text {number}"}) for number in range(100)]
        assert t.get_content(made[0].commit_hash).text == "text 0"
        report = t.import_stream([{"role": "user", "content": "message 7"}] * 100)
        assert report.commit_count == 100
    with Tract.open(tmp_path, durability="fast") as t:
        assert len(t.log(None)) == 400
    members = [line for file in (store_root(tmp_path) / "packs").iterdir() for line in file.read_bytes().splitlines()]
    assert sum(b'"message 7"' in line for line in members) == 1


@pytest.mark.parametrize("size_bytes", [0, 100, 4096, 9000])
def test_an_index_that_is_cut_in_place_hides_nothing(tmp_path: Path, size_bytes: int) -> None:
    members = [line(str(number)) for number in range(2000)]
    write_pack(tmp_path, members)
    writer = opened(tmp_path)
    assert writer.has(name_of(members[0]))
    reading = opened(tmp_path, read_only=True)
    assert reading.read(name_of(members[7])) == members[7]
    os.truncate(index_of(tmp_path), size_bytes)
    for handle in (reading, writer):
        assert all(read_surely(handle, name_of(member)) == member for member in members)
        assert read_surely(handle, "0" * 64) is None
