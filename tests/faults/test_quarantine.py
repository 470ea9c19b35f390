"""Quarantine: a file whose bytes are not what its name says is set aside by a writer, kept, told of, and replaced by the good one when it comes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.lab.disk import disk, os_error
from tests.lab.inside import log_of, reader_of, store_of
from tests.lab.states import (
    answers,
    copy_store,
    list_always,
    list_never,
    members_of,
    missed,
    own_place,
    put,
    put_in_place,
    remove_local,
    store_root,
    synced,
    told,
)
from tests.lab.stores import fill, fill_pack, make_store
from tests.lab.talk import Clock, user
from tract_fs import Tract
from tract_fs.errors import DamageError
from tract_fs.model import damage
from tract_fs.model.history import linear_order
from tract_fs.model.names import CommitHash
from tract_fs.store import files, place, quarantine
from tract_fs.store.address import Address
from tract_fs.store.layout import Layout
from tract_fs.store.packs import Packs
from tract_fs.store.quarantine import Quarantine

TEN_SECONDS_NS = quarantine.SETTLED_NS
TEXT = b'{"content":{"content_type":"dialogue","role":"user","text":"hi"}}'
NAME = "edc0747e474ac083f3c2f9b0caa4ac45f9113ce8ef94cb85d291a2862da35a19"


def later(seconds: float) -> Callable[[], int]:
    return lambda: time.time_ns() + int(seconds * 1e9)


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setattr(quarantine, "SETTLED_NS", TEN_SECONDS_NS)  # these tests set the time
    (tmp_path / ".tract").mkdir()
    layout = Layout(str(tmp_path))
    place.bind(layout, create=True)
    return layout


def of(layout: Layout, now_ns: Callable[[], int] | None = None) -> Quarantine:
    return Quarantine(layout, Packs(layout, read_only=False), now_ns=now_ns or later(11))


def after(file: Path, seconds: float) -> Callable[[], int]:
    """Returns a clock that stands still, so many seconds after the last change of a file."""
    now_ns = file.stat().st_ctime_ns + int(seconds * 1e9)
    return lambda: now_ns


def kept(path: Path) -> dict[str, bytes]:
    folder = own_place(path) / "quarantine"
    return {file.name: file.read_bytes() for file in sorted(folder.glob("*")) if file.suffix != ".txt"}


def note(path: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((own_place(path) / "quarantine" / f"{name}.txt").read_bytes())
    return found


# what happened to the bytes


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "torn copy"),
        (TEXT[:40], "torn copy"),
        (TEXT[:-1], "torn copy"),
        (TEXT[:30] + b"\0" * 20 + TEXT[50:], "zeroed blocks"),
        (b"\0" * len(TEXT), "zeroed blocks"),
        (b"<<<<<<< HEAD\n" + TEXT + b"\n=======\n" + TEXT + b"\n>>>>>>> other\n", "git conflict markers"),
        (TEXT.replace(b"hi", b"ho"), "altered"),
        (TEXT + b" ", "altered"),
        (b"\xff\xfe garbage", "altered"),
        (TEXT.replace(b"hi", rb"h\""), "altered"),
        (TEXT.replace(b"hi", b"[{")[:-1] + b"}", "altered"),
    ],
)
def test_the_cause_is_told_where_the_bytes_tell(data: bytes, cause: str) -> None:
    assert damage.diagnose(data, NAME) == (cause, None)


def test_the_cause_of_a_large_torn_text_is_told_at_once() -> None:
    """A string that the end cuts off, full of escaped quotes: each of them might begin another."""
    data = b'{"content":{"content_type":"dialogue","role":"user","text":"' + rb"\"" * 2_000_000
    began = time.process_time()
    assert damage.diagnose(data, NAME).cause == "torn copy"
    assert damage.diagnose(data[:-1], NAME).cause == "torn copy"
    assert time.process_time() - began < 60  # a search from each quote takes hours


@pytest.mark.parametrize("data", [TEXT + b"\n", TEXT + b"\r\n", TEXT + b"\n\n"])
def test_added_line_ends_are_undone(data: bytes) -> None:
    assert damage.diagnose(data, NAME) == ("line ends rewritten", TEXT)


def test_rewritten_line_ends_of_a_pack_are_undone() -> None:
    pack = TEXT + b"\n" + TEXT.replace(b"hi", b"ho") + b"\n"
    name = hashlib.sha256(pack).hexdigest()
    assert damage.diagnose(pack.replace(b"\n", b"\r\n"), name) == ("line ends rewritten", pack)
    assert damage.diagnose(pack[:-1], name) == ("line ends rewritten", pack)
    assert damage.diagnose(pack[:-5], name) == ("torn copy", None)


# one file


def test_a_bad_file_is_moved_with_a_note_and_kept(layout: Layout, tmp_path: Path) -> None:
    put(Path(layout.object(NAME)), TEXT[:40])
    finding = of(layout).examine(Address("object", NAME))
    assert finding == ("set aside", f"objects/{NAME[:2]}/{NAME[2:]}", "torn copy")
    assert not os.path.exists(layout.object(NAME))
    assert kept(tmp_path) == {f"object-{NAME}": TEXT[:40]}
    told = note(tmp_path, f"object-{NAME}")
    assert len(told.pop("at")) == 27
    assert told == {"kind": "object", "name": NAME, "tract": "", "cause": "torn copy"}


def test_a_good_file_is_never_moved(layout: Layout, tmp_path: Path) -> None:
    put(Path(layout.object(NAME)), TEXT)
    assert of(layout).examine(Address("object", NAME)).outcome == "good"
    assert Path(layout.object(NAME)).read_bytes() == TEXT
    assert kept(tmp_path) == {}


@pytest.mark.parametrize(("seconds", "outcome"), [(0, "fresh"), (9, "fresh"), (11, "set aside")])
def test_a_file_is_moved_only_when_it_stood_still_for_ten_seconds(layout: Layout, seconds: float, outcome: str) -> None:
    file = Path(layout.object(NAME))
    put(file, TEXT[:40])
    assert of(layout, after(file, seconds)).examine(Address("object", NAME)).outcome == outcome
    assert file.exists() == (outcome == "fresh")


@pytest.mark.parametrize(("offset_s", "outcome"), [(-86400, "set aside"), (5, "fresh"), (86400, "set aside")])
def test_a_time_that_a_copy_preserved_does_not_keep_a_file_for_ever(
    layout: Layout, offset_s: int, outcome: str
) -> None:
    """The mtime comes along with a copy, from whatever clock; one far ahead says nothing about a write here."""
    file = Path(layout.object(NAME))
    put(file, TEXT[:40])
    os.utime(file, ns=(0, time.time_ns() + offset_s * 10**9))
    assert of(layout, after(file, 11)).examine(Address("object", NAME)).outcome == outcome


def test_a_good_file_that_comes_at_the_last_moment_is_moved_back(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(layout.object(NAME))
    put(file, TEXT[:40])
    rename = files.rename
    moves: list[str] = []

    def late(path: str, target: str) -> None:
        if not moves:
            put(file, TEXT)
        moves.append(target)
        rename(path, target)

    monkeypatch.setattr(files, "rename", late)
    assert of(layout).examine(Address("object", NAME)).outcome == "good"
    assert len([target for target in moves if target == str(file)]) == 1
    assert file.read_bytes() == TEXT
    assert kept(tmp_path) == {}


def test_each_bad_form_of_a_file_is_kept_once(layout: Layout, tmp_path: Path) -> None:
    for data in (TEXT[:40], b"", TEXT[:40], TEXT[:40]):
        put(Path(layout.object(NAME)), data)
        assert of(layout).examine(Address("object", NAME)).outcome == "set aside"
    assert kept(tmp_path) == {f"object-{NAME}": TEXT[:40], f"object-{NAME}.2": b""}
    assert [(e.file, e.note.cause) for e in of(layout).entries()] == [
        (f"local/{own_place(tmp_path).name}/quarantine/object-{NAME}.2", "torn copy"),
        (f"local/{own_place(tmp_path).name}/quarantine/object-{NAME}", "torn copy"),
    ]


def test_line_ends_are_mended_without_a_moment_of_absence(layout: Layout, tmp_path: Path) -> None:
    file = Path(layout.object(NAME))
    put(file, TEXT + b"\r\n")
    with disk() as watched:
        assert of(layout).examine(Address("object", NAME)).outcome == "repaired"
    assert "unlink" not in watched.calls
    assert file.read_bytes() == TEXT
    assert kept(tmp_path) == {f"object-{NAME}": TEXT + b"\r\n"}
    assert note(tmp_path, f"object-{NAME}")["cause"] == "line ends rewritten"


def test_a_link_a_pipe_and_a_directory_stay_where_they_are(layout: Layout, tmp_path: Path) -> None:
    place = Path(layout.object(NAME))
    place.parent.mkdir(parents=True)
    makers: list[Callable[[], object]] = [lambda: place.symlink_to(tmp_path), lambda: os.mkfifo(place), place.mkdir]
    for make in makers:
        make()
        assert of(layout).examine(Address("object", NAME)).outcome == "absent"
        assert place.is_symlink() or place.exists()
        place.rmdir() if place.is_dir() and not place.is_symlink() else place.unlink()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO, errno.EXDEV])
@pytest.mark.parametrize("data", [TEXT[:40], TEXT + b"\r\n"], ids=["torn", "line ends"])
def test_a_disk_that_fails_at_any_call_loses_no_byte(layout: Layout, tmp_path: Path, data: bytes, code: int) -> None:
    file = Path(layout.object(NAME))
    number = 0
    while True:
        put(file, data)

        def fails(call: str, found: int, given: tuple[Any, ...], at: int = number) -> BaseException | None:
            return os_error(code, given[0]) if found == at and call not in ("close", "unlink") else None

        with disk(fails) as stand_in:
            outcome = of(layout).examine(Address("object", NAME)).outcome
        there = file.read_bytes() if file.exists() else None
        assert there in (None, data, TEXT)
        assert {"cause unknown"}.isdisjoint(entry.note.cause for entry in of(layout).entries())
        assert there is not None or data in kept(tmp_path).values()
        number += 1
        if number > len(stand_in.calls):
            break
    assert outcome in ("set aside", "repaired")
    assert number > 10


def test_what_becomes_good_in_the_quarantine_is_given_back(layout: Layout, tmp_path: Path) -> None:
    """As when a copy in place stalls for long: the tool goes on with the file that was moved."""
    file = Path(layout.object(NAME))
    put(file, TEXT[:40])
    found = of(layout)
    with open(file, "ab") as copying:
        assert found.examine(Address("object", NAME)).outcome == "set aside"
        assert found.give_back() == []
        copying.write(TEXT[40:])
    assert found.give_back() == [f"objects/{NAME[:2]}/{NAME[2:]}"]
    assert file.read_bytes() == TEXT
    assert kept(tmp_path) == {}
    assert found.entries() == []


# in a store


def damage_event(path: Path, change: Callable[[bytes], bytes], *, nth: int = 2) -> tuple[Path, bytes]:
    """Damages the nth newest event; returns its file and its good bytes."""
    found = sorted(
        ((json.loads(data)["event"]["at"], name) for name, data in synced(path).items() if name.startswith("events/")),
        reverse=True,
    )
    file = store_root(path) / found[nth][1]
    good = file.read_bytes()
    put(file, change(good))
    return file, good


def read_all(t: Tract) -> None:
    """Reads every commit with its event and content, damaged ones too."""
    for name in log_of(t).origins.all_commits():
        with suppress(DamageError):
            told(reader_of(t).info(CommitHash(name.hex())))


TWO_HEADS = "branch 'main' has 2 heads; this context leaves out 2 commits of the other; 'tract merge' joins them"


def torn(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_store(tmp_path / "context", fill, partial(fill_pack, count=60), fill)


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("is_local_kept", [True, False], ids=["with local", "without local"])
@pytest.mark.parametrize("how", ["refresh", "commit", "close"])
def test_a_writer_sets_a_bad_event_aside_and_all_returns_with_the_file(
    path: Path, how: str, is_local_kept: bool
) -> None:
    with Tract.open(path) as t:
        expected = answers(t)
    file, good = damage_event(path, torn)
    if not is_local_kept:
        remove_local(path)
    with Tract.open(path, incomplete="raise" if is_local_kept else "use") as t:
        read_all(t)  # a known event is read again when it is needed
        if how == "refresh":
            t.refresh()
        elif how == "commit":
            t.commit(user("goes on"))
    name = file.parent.name + file.name
    assert not file.exists()
    assert kept(path) == {f"event-{name}": torn(good)}
    with Tract.open(path) as t:
        assert missed(t) != []
        status = t.status()
        assert status.gone == ()
        assert [(q.path, q.cause, q.is_back) for q in status.quarantined] == [
            (f"events/default/{name[:2]}/{name[2:]}", "torn copy", False)
        ]
    put(file, good)
    with Tract.open(path) as t:
        t.refresh()
        status = t.status()
        assert (status.pending, status.damaged, status.gone) == ((), (), ())
        assert [q.is_back for q in status.quarantined] == [True]
        if how != "commit":
            assert answers(t) == expected
        # a copy that did not know the event went on below it; one that had it in its view went on above
        has_two_heads = how == "commit" and not is_local_kept
        assert len(status.other_heads) == has_two_heads
        assert t.compile().warnings == ([TWO_HEADS] if has_two_heads else [])


@pytest.mark.usefixtures("still")
def test_an_object_is_set_aside_and_its_commit_can_be_read_again_with_the_good_one(path: Path) -> None:
    with Tract.open(path) as t:
        expected = answers(t)
        info = t.log(None)[3]
    content = info.content_hash or ""
    file = store_root(path) / "objects" / content[:2] / content[2:]
    good = file.read_bytes()
    put_in_place(file, good.replace(b"e", b"E", 1))
    with Tract.open(path) as t:
        with pytest.raises(Exception, match="hash to"):
            t.get_content(info.commit_hash)
        t.refresh()
        assert not file.exists()
        with pytest.raises(Exception, match="missing"):
            t.get_content(info.commit_hash)
        put(file, good)
        assert answers(t) == expected


@pytest.mark.usefixtures("still")
def test_a_reader_moves_nothing(path: Path) -> None:
    damage_event(path, torn)
    remove_local(path)
    before = synced(path)
    for _ in range(2):
        with Tract.open(path, read_only=True) as t:
            t.refresh()
            assert len(t.status().damaged) == 1
    assert synced(path) == before
    assert not (store_root(path) / "local").exists()


def test_a_fresh_bad_file_stays_where_it_is(path: Path) -> None:
    """A copy that is under way writes in place: half of a file is no damage yet."""
    file, good = damage_event(path, torn)
    remove_local(path)
    with Tract.open(path) as t:
        t.refresh()
        assert len(t.status().damaged) == 1
        assert t.status().quarantined == ()
    assert file.read_bytes() == torn(good)


def test_a_bad_file_is_set_aside_by_a_later_call_of_the_same_handle(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, _ = damage_event(path, torn)
    remove_local(path)
    with Tract.open(path, incomplete="use") as t:
        t.commit(user("too fresh"))
        assert file.exists()
        monkeypatch.setattr(quarantine, "SETTLED_NS", -(10**18))
        monkeypatch.setattr(time, "monotonic", lambda before=time.monotonic: before() + 3)
        t.commit(user("still"))
        assert not file.exists()


@pytest.mark.usefixtures("still")
def test_commits_without_damage_do_not_look_at_the_quarantine(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    list_never(monkeypatch)
    with Tract.open(path) as t:
        t.commit(user("warm"))
        looked: list[str] = []

        def watch(call: str, number: int, given: tuple[Any, ...]) -> None:
            looked.extend(part for part in given if isinstance(part, str) and "/quarantine" in part)

        with disk(watch):
            t.commit(user("one"))
        assert looked == []


@pytest.mark.usefixtures("still")
def test_a_writer_waits_for_nobody_to_set_a_file_aside(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Tract.open(path) as other, other.batch():
        other.commit(user("holds the lock"))
        file, _ = damage_event(path, torn)
        with monkeypatch.context() as patched, Tract.open(path, lock_timeout_s=60.0) as t:
            patched.setattr(time, "sleep", lambda seconds: pytest.fail(f"a wait of {seconds} s"))
            read_all(t)
        assert file.exists()


# packs


def pack_of(path: Path) -> Path:
    return next((store_root(path) / "packs").iterdir())


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("is_local_kept", [True, False], ids=["with local", "without local"])
def test_a_damaged_pack_gives_its_good_members_back_and_is_set_aside(path: Path, is_local_kept: bool) -> None:
    with Tract.open(path) as t:
        expected = answers(t)
    file = pack_of(path)
    good = file.read_bytes()
    lines = members_of(good)
    bad = lines[10]
    put(file, good.replace(bad, bad[:-3] + b"???"))
    if not is_local_kept:
        remove_local(path)
    name = hashlib.sha256(bad).hexdigest()
    with Tract.open(path) as t:
        found = store_of(t).objects.get(name)
        assert found is None
        t.refresh()
    assert not file.exists()
    objects = {n.removeprefix("objects/").replace("/", "") for n in synced(path) if n.startswith("objects/")}
    members = {hashlib.sha256(line).hexdigest() for line in lines}
    assert members - objects == {name}
    assert list(kept(path)) == [f"pack-{file.name}"]
    put(file, good)
    with Tract.open(path) as t:
        t.refresh()
        assert answers(t) == expected
        assert t.compile().warnings == []


@pytest.mark.usefixtures("still")
def test_a_pack_with_rewritten_line_ends_is_mended(path: Path) -> None:
    with Tract.open(path) as t:
        expected = answers(t)
    file = pack_of(path)
    good = file.read_bytes()
    put(file, good.replace(b"\n", b"\r\n"))
    remove_local(path)
    with Tract.open(path) as t:
        t.refresh()
        assert file.read_bytes() == good
        t.refresh()
        assert answers(t) == expected
        assert [q.cause for q in t.status().quarantined] == ["line ends rewritten"]


def event_line(at: str, parents: list[str], temperature: str) -> bytes:
    op = (
        b'{"branch":"main","commits":[{"commit":"' + b"1" * 64 + b'","config":{"temperature":'
        + temperature.encode() + b'}}],"head":"' + b"1" * 64 + b'","kind":"append","replaces":[]}'
    )  # fmt: skip
    told = json.dumps(parents).encode()
    return (
        b'{"event":{"at":"' + at.encode() + b'","ops":[' + op + b'],"parents":' + told + b',"tract":"t","writer":""}}'
    )


def test_an_altered_event_of_a_damaged_pack_is_not_given_back_as_another(layout: Layout) -> None:
    """An altered line hashes to some name, too, and an event takes effect by being there."""
    first = event_line("2026-01-02T03:04:05.000006Z", [], "0.5")
    second = event_line("2026-01-02T03:04:05.000007Z", [hashlib.sha256(first).hexdigest()], "0.5")
    data = first + b"\n" + second + b"\n"
    name = hashlib.sha256(data).hexdigest()
    altered = first + b"\n" + second.replace(b"0.5", b"0.7") + b"\n"
    packs = Packs(layout, read_only=True)
    assert packs.good_members(name, altered) == [first]
    put(Path(layout.pack(name)), altered)
    packs.refresh()
    assert [packs.event_names(pack) for pack in packs.names] == [[hashlib.sha256(first).hexdigest()]]
    put(Path(layout.pack(name)), data)
    writer = Packs(layout, read_only=False)
    writer.refresh()
    assert writer.has(name) is False  # its rows are in the index by now
    writer.close()
    packs = Packs(layout, read_only=True)
    packs.refresh()
    assert packs.good_members(name, second + b"\n" + first) == []  # the rows show where each lies
    assert packs.good_members(name, altered) == [first]


# the text files


@pytest.mark.parametrize("name", ["FORMAT", ".gitattributes", ".gitignore"])
def test_a_store_whose_text_files_have_other_line_ends_opens_and_a_writer_mends_them(path: Path, name: str) -> None:
    file = store_root(path) / name
    good = file.read_bytes()
    with Tract.open(path) as t:
        expected = answers(t)
    file.write_bytes(good.replace(b"\n", b"\r\n"))
    with Tract.open(path, read_only=True) as t:
        assert answers(t) == expected
    assert file.read_bytes() != good
    with Tract.open(path) as t:
        assert answers(t) == expected
    assert file.read_bytes() == good


def test_text_files_that_say_something_else_are_left_alone(path: Path) -> None:
    (store_root(path) / ".gitignore").write_bytes(b"!*\n/local/\n/mine\n")
    Tract.open(path).close()
    assert (store_root(path) / ".gitignore").read_bytes() == b"!*\n/local/\n/mine\n"


# copies


@pytest.mark.usefixtures("still")
def test_a_bad_copy_that_comes_again_and_again_fills_no_disk(path: Path) -> None:
    file, good = damage_event(path, torn)
    for _ in range(4):
        with Tract.open(path) as t:
            read_all(t)
            t.refresh()
        assert not file.exists()
        put(file, torn(good))
    assert len(kept(path)) == 1


@pytest.mark.needs("rsync")
@pytest.mark.usefixtures("still")
def test_the_good_file_of_another_copy_replaces_the_quarantined(path: Path, tmp_path: Path) -> None:
    other = copy_store(path, tmp_path / "other")
    with Tract.open(other) as t:
        expected = answers(t)
    file, _ = damage_event(path, torn)
    with Tract.open(path) as t:
        read_all(t)
        t.refresh()
    assert not file.exists()
    subprocess.run(["rsync", "-a", "--ignore-existing", "--exclude", "local", f"{other}/", f"{path}/"], check=True)
    with Tract.open(path) as t:
        t.refresh()
        assert answers(t) == expected


@pytest.mark.needs("git")
@pytest.mark.usefixtures("still")
def test_a_git_checkout_that_rewrites_line_ends_is_mended(path: Path, tmp_path: Path) -> None:
    """Against the store's own .gitattributes, which says -text: a clone may overrule it."""

    def git(*arguments: str, cwd: Path) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=cwd, check=True, capture_output=True)

    with Tract.open(path) as t:
        expected = answers(t)
    git("init", "-q", cwd=path)
    git("add", "-A", cwd=path)
    git("commit", "-qm", "all", cwd=path)
    clone = tmp_path / "clone"
    git("clone", "-q", "--no-checkout", "-c", "core.autocrlf=true", str(path), str(clone), cwd=tmp_path)
    (clone / ".git" / "info" / "attributes").write_text("* text\n")
    git("checkout", "-q", "HEAD", cwd=clone)
    changed = {name for name, data in synced(clone).items() if data != synced(path)[name]}
    assert changed == {"FORMAT", ".gitattributes", ".gitignore", f"packs/{pack_of(path).name}"}
    with Tract.open(clone, read_only=True) as t:
        assert answers(t) == expected
    with Tract.open(clone) as t:
        t.refresh()
        assert answers(t) == expected
        assert t.compile().warnings == []
    assert synced(clone) == synced(path)


@pytest.mark.usefixtures("still")
def test_a_file_that_git_could_not_merge_is_set_aside_with_its_cause(path: Path) -> None:
    file, good = damage_event(
        path, lambda data: b"<<<<<<< HEAD\n" + data + b"\n=======\n" + data + b"\n>>>>>>> theirs\n"
    )
    with Tract.open(path) as t:
        expected_head = t.head
        read_all(t)
        t.refresh()
        assert [q.cause for q in t.status().quarantined] == ["git conflict markers"]
        put(file, good)
        t.refresh()
        assert t.head == expected_head


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("seed", range(12))
def test_commits_between_damage_and_quarantine_are_all_there_when_the_good_files_are_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Two writers and a reader of one store, files damaged at any time, set aside by whoever meets them, some brought back in between."""
    list_always(monkeypatch)
    random = Random(seed)
    path = tmp_path / "context"
    clock = Clock()
    good: dict[str, bytes] = {}
    acknowledged: list[str] = []
    damaged: set[str] = set()
    with (
        Tract.open(path, clock=clock, durability="fast") as one,
        Tract.open(path, clock=clock, durability="fast") as two,
        Tract.open(path, read_only=True) as reader,
    ):
        for step in range(40):
            with suppress(DamageError):
                acknowledged.append(random.choice((one, two)).commit(user(f"{step}")).commit_hash)
            good.update({name: data for name, data in synced(path).items() if name not in damaged})
            names = sorted(name for name in good if name.startswith(("objects/", "events/")))
            if random.random() < 0.25:
                name = random.choice(names[-12:] if random.random() < 0.5 else names)
                bad: list[bytes] = [torn(good[name]), b"", good[name] + b"\n"]
                put(store_root(path) / name, random.choice(bad))
                damaged.add(name)
            if damaged and random.random() < 0.3:
                name = random.choice(sorted(damaged))
                put(store_root(path) / name, good[name])
                damaged.discard(name)
            for t in random.sample((one, two, reader), 2):
                if random.random() < 0.3:
                    store_of(t).forget()
                    read_all(t)
                with suppress(DamageError):
                    t.refresh() if random.random() < 0.5 else t.compile()
            for name in [name for name in damaged if synced(path).get(name) == good[name]]:
                damaged.discard(name)  # its line ends were mended
        put(store_root(path) / names[0], torn(good[names[0]]))
        damaged.add(names[0])
        assert one.repair().set_aside
    for name in damaged:
        put(store_root(path) / name, good[name])
    assert len(acknowledged) > 10  # a commit is refused while files of its branch are lost
    for is_removed in (False, True):
        if is_removed:
            remove_local(path)
        with Tract.open(path, clock=clock) as t:
            t.refresh()
            status = t.status()
            assert (status.pending, status.damaged, status.gone) == ((), (), ())
            reached = set()
            for head in (status.head, *status.other_heads):
                assert head is not None
                reached.update(linear_order(CommitHash(head), reader_of(t).commit))
            assert set(acknowledged) <= reached
            assert all(q.is_back for q in status.quarantined)
