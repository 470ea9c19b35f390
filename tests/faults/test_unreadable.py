"""A file that the system can't read is damage like any other: named with its path, in no one's way who does not need it."""

from __future__ import annotations

import errno
import getpass
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.disk import disk, os_error
from tests.lab.states import missed, remove_local, store_root
from tests.lab.stores import AT_ONCE
from tests.lab.talk import Clock, user
from tract_fs import Tract
from tract_fs.cli import main
from tract_fs.errors import DamageError, FileUnreadable, HistoryIncomplete, TractError

TEXTS = [f"default text {number}" for number in range(4)]
OTHER_TEXTS = [f"other text {number}" for number in range(4)]
Unreadable = Callable[[Path], AbstractContextManager[None]]


@contextmanager
def bad_sector(file: Path) -> Iterator[None]:
    """Lets every read of a file fail with EIO."""

    def fails(call: str, _number: int, given: tuple[Any, ...]) -> OSError | None:
        is_it = call in ("read", "pread") and os.readlink(f"/proc/self/fd/{given[0]}") == str(file)
        return os_error(errno.EIO, None) if is_it else None

    with disk(fails):
        yield


@contextmanager
def closed_to_others(file: Path) -> Iterator[None]:
    """Lets every open of a file fail, as where only another user may read it."""

    def fails(call: str, _number: int, given: tuple[Any, ...]) -> OSError | None:
        return os_error(errno.EACCES, str(file)) if call == "open" and str(given[0]) == str(file) else None

    with disk(fails):
        yield


WAYS = {
    "bad sector": (bad_sector, "Input/output error"),
    "no permission": (closed_to_others, f"Permission denied; it belongs to user {getpass.getuser()}, mode 0444"),
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("two")
    for tract in ("default", "other"):
        with Tract.open(path, tract_id=tract, clock=Clock()) as t:
            for number in range(4):
                t.commit(user(f"{tract} text {number}"))
            t.flush()
    return path


@pytest.fixture(params=[True, False], ids=["with local", "without local"])
def path(request: pytest.FixtureRequest, template: Path, tmp_path: Path) -> Path:
    path = Path(shutil.copytree(template, tmp_path / "store"))
    remove_local(path)
    if request.param:
        for tract in ("default", "other"):
            with Tract.open(path, tract_id=tract) as t:
                t.compile()
        for snapshot in (store_root(path) / "local").rglob("snapshots/*"):
            snapshot.unlink()
    return path


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def way(request: pytest.FixtureRequest) -> tuple[Unreadable, str]:
    found: tuple[Unreadable, str] = request.param
    return found


def file_of(path: Path, kind: str, text: str = "default text 1") -> Path:
    """Returns the file of the content, the commit or the event of a message."""
    with Tract.open(path, read_only=True) as t:
        info = next(info for info in t.log(None) if t.get_content(info.commit_hash) == user(text))
        if kind == "commit":
            return loose(path, "objects", info.commit_hash)
        if kind == "content":
            return loose(path, "objects", str(info.content_hash))
    events = list((store_root(path) / "events/default").glob("??/*"))
    (event,) = [file for file in events if f'"commit":"{info.commit_hash}"'.encode() in file.read_bytes()]
    return event


def loose(path: Path, directory: str, name: str) -> Path:
    return store_root(path) / directory / name[:2] / name[2:]


def shown(file: Path) -> str:
    return str(file).partition(".tract/")[2]


@pytest.mark.parametrize("kind", ["content", "commit", "event"])
def test_what_needs_the_file_names_it_and_all_else_goes_on(path: Path, kind: str, way: tuple[Unreadable, str]) -> None:
    unreadable, reason = way
    file = file_of(path, kind)
    if kind == "event":
        remove_local(path)  # else nothing reads it
    with unreadable(file):
        with Tract.open(path) as t:
            try:
                context = t.compile()
            except FileUnreadable as error:
                assert (error.path, error.reason) == (shown(file), reason)
                assert isinstance(error.__cause__, OSError)
                assert shown(file) in str(error)
            except HistoryIncomplete as error:
                assert error.path == shown(file)
            except TractError:
                assert kind != "content"
            else:
                assert len(context.messages) < 4
                assert context.warnings != []
            status = t.status()
            assert shown(file) in repr(status) or file.parent.name + file.name in repr(status)
        with Tract.open(path, tract_id="other") as t:
            assert [message.content for message in t.compile().messages] == OTHER_TEXTS
            assert len(t.log(None)) == 4
            t.commit(user("goes on"))
    with Tract.open(path) as t:
        t.refresh()
        assert [message.content for message in t.compile().messages] == TEXTS
        assert t.compile().warnings == []


@pytest.mark.parametrize("kind", ["content", "commit", "event"])
def test_repair_and_pack_go_past_it_and_say_so(
    path: Path, kind: str, way: tuple[Unreadable, str], capsys: pytest.CaptureFixture[str]
) -> None:
    unreadable, reason = way
    file = file_of(path, kind)
    line = f"{shown(file)}: it can't be read: {reason}"
    with unreadable(file):
        with Tract.open(path) as t:
            report = t.repair()
            assert report.unmoved == (line,)
            assert report.checked_count > 20
        assert main(["-C", str(path), "repair"]) == 1
        assert shown(file) in capsys.readouterr().out
        with Tract.open(path, tract_id="other") as t:
            packed = t.pack(keep_loose=AT_ONCE)
            assert line in packed.left
            assert packed.packed_count == 23
            assert [message.content for message in t.compile().messages] == OTHER_TEXTS
        assert main(["-C", str(path), "pack"]) == 1
    assert file.exists()
    with Tract.open(path) as t:
        assert t.repair().unmoved == ()
        assert [message.content for message in t.compile().messages] == TEXTS
    assert main(["-C", str(path), "pack"]) == 0


@pytest.mark.parametrize("kind", ["content", "commit", "event"])
@pytest.mark.parametrize("side", ["here", "there"])
def test_sync_and_bundle_go_past_it(
    path: Path, kind: str, way: tuple[Unreadable, str], side: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unreadable, reason = way
    file = file_of(path, kind)
    other = tmp_path / "other"
    other.mkdir()
    with unreadable(file):
        here, there = (path, other) if side == "here" else (other, path)
        with Tract.open(here, tract_id="other") as t:
            report = t.sync(there)
            assert [(bad.path, bad.side, bad.cause, bad.is_replaced) for bad in report.bad] == [
                (shown(file), side, f"it can't be read: {reason}", False)
            ]
            t.commit(user("later"))
        assert main(["-C", str(here), "--tract", "other", "sync", str(there)]) == 1
        assert shown(file) in capsys.readouterr().err
        with Tract.open(other, tract_id="other") as t:
            assert [message.content for message in t.compile().messages] == [*OTHER_TEXTS, "later"]
        if side == "here" and kind != "event":
            assert main(["-C", str(path), "bundle", "create", str(tmp_path / "file")]) == 1
            assert "not in the bundle" in capsys.readouterr().err
    with Tract.open(here) as t:
        assert t.sync(there).bad == ()
        t.refresh()
        assert [message.content for message in t.compile().messages] == TEXTS


@pytest.fixture
def packed(path: Path) -> Path:
    with Tract.open(path) as t:
        t.pack(keep_loose=AT_ONCE)
    return path


def test_a_pack_that_can_not_be_read_is_named(packed: Path, way: tuple[Unreadable, str]) -> None:
    unreadable, reason = way
    (pack,) = (store_root(packed) / "packs").iterdir()
    remove_local(packed)
    with unreadable(pack):
        for tract in ("default", "other"):
            with Tract.open(packed, tract_id=tract) as t:
                assert any(f"packs/{pack.name}" in line and reason in line for line in missed(t))
                assert t.status().damaged == (
                    f"packs/{pack.name}: it can't be read: {reason}; it may have had newer events, of any tract",
                )
                assert f"packs/{pack.name}: it can't be read: {reason}" in t.repair().unmoved
                assert t.pack(keep_loose=AT_ONCE).packed_count == 0
    with Tract.open(packed) as t:
        assert [message.content for message in t.compile().messages] == TEXTS
        assert t.compile().warnings == []


def test_a_bad_sector_in_a_pack_costs_only_what_lies_there(packed: Path) -> None:
    """Also where it is within the block that is read for what lies before it."""
    (pack,) = (store_root(packed) / "packs").iterdir()
    at = pack.read_bytes().index(b"default text 2")

    def fails(call: str, _number: int, given: tuple[Any, ...]) -> OSError | None:
        if call != "pread" or os.readlink(f"/proc/self/fd/{given[0]}") != str(pack):
            return None
        size, offset = given[1:]
        return os_error(errno.EIO) if offset <= at < offset + size else None

    with Tract.open(packed) as t, disk(fails):
        with pytest.raises(FileUnreadable) as caught:
            t.compile()
        assert caught.value.path == f"packs/{pack.name}"
        assert len(t.log(None)) == 4
        with Tract.open(packed, tract_id="other") as other:
            assert [message.content for message in other.compile().messages] == OTHER_TEXTS


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_file_of_mode_000_is_an_error_that_names_it(path: Path) -> None:
    file = file_of(path, "content")
    os.chmod(file, 0)
    child = os.fork()
    if child == 0:  # another user, who may not read everything
        code = 1
        try:
            for folder in (path, *path.parents):
                os.chmod(folder, 0o755)
            os.setresuid(65534, 65534, 65534)
            with Tract.open(path, read_only=True) as t:
                t.log(None)
                try:
                    code = 0 if t.compile().warnings else 2
                except (FileUnreadable, HistoryIncomplete) as error:
                    code = 0 if error.path == shown(file) else 3
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_error_is_one_of_damage() -> None:
    error = FileUnreadable(path="objects/ab/c", hash="abc", reason="Input/output error")
    assert isinstance(error, DamageError)
    assert not isinstance(error, OSError)
    assert str(error) == (
        "objects/ab/c: it can't be read: Input/output error; mend its permissions, or remove it and fetch it from "
        "another copy of this store"
    )
