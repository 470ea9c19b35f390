"""Files: each error of the system names its path, leaves no descriptor open, and says of a refusal whose file it is."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.disk import disk
from tract_fs.store import files

Act = Callable[[str], object]


def appended(path: str) -> object:
    file = files.AppendFile(path)
    try:
        file.append(b"more", 4)
        file.sync_data()
        file.current_size()
        file.is_current()
        file.truncate(4)
        return file.read_at(0, 4)
    finally:
        file.close()


def written_in_place(path: str) -> object:
    file = files.TableFile(path)
    try:
        return file.write_at(0, b"x")
    finally:
        file.close()


def read_by_ranges(path: str) -> object:
    reader = files.RangeReader(path)
    try:
        return reader.read(0, 2), reader.read(1, 2)
    finally:
        reader.close()


def written_in_pieces(path: str) -> object:
    with files.NewFile(os.path.dirname(path), shown_as=path) as file:
        file.write(b"one")
        return file.finish(path)


ACTS: dict[str, Act] = {
    "read": lambda path: files.read(path, limit_bytes=100),
    "read_at": lambda path: files.read_at(path, 0, 2),
    "RangeReader": read_by_ranges,
    "replace": lambda path: files.replace(path, b"new"),
    "replace, synced": lambda path: files.replace(path, b"new", is_synced=True),
    "remove": files.remove,
    "remove_empty_directory": lambda path: files.remove_empty_directory(os.path.dirname(path)),
    "drop_cached": files.drop_cached,
    "exists": files.exists,
    "signature": files.signature,
    "signatures": lambda path: files.signatures(os.path.dirname(path), [os.path.basename(path)]),
    "changed": lambda path: files.changed(os.path.dirname(path), [(os.path.basename(path), 1, 1)]),
    "is_link": files.is_link,
    "times": files.times,
    "is_own_file": files.is_own_file,
    "touch": files.touch,
    "rename": lambda path: files.rename(path, path + ".other"),
    "list_names": lambda path: files.list_names(os.path.dirname(path)),
    "list_files": lambda path: files.list_files(os.path.dirname(path)),
    "list_kinds": lambda path: files.list_kinds(os.path.dirname(path)),
    "iter_lines": lambda path: list(files.iter_lines(path, limit_bytes=100)),
    "NewFile": written_in_pieces,
    "make_directory": lambda path: files.make_directory(os.path.join(os.path.dirname(path), "in", "it")),
    "sync_directory": lambda path: files.sync_directory(os.path.dirname(path)),
    "sync_data": files.sync_data,
    "create_empty": lambda path: files.create_empty(path + ".empty"),
    "AppendFile": appended,
    "TableFile": written_in_place,
}
CALLS = frozenset(
    [
        "open",
        "read",
        "pread",
        "write",
        "pwrite",
        "close",
        "fstat",
        "stat",
        "listdir",
        "scandir",
        "rename",
        "unlink",
        "rmdir",
        "fsync",
        "fdatasync",
        "ftruncate",
        "utime",
        "mkdir",
        "makedirs",
    ]
)


class Failing:
    """Stands in for `os`: the n-th call fails without a path, as calls by a descriptor do."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in CALLS:
            return real

        def call(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count != self.number:
                return real(*arguments, **options)
            if name == "close":
                real(*arguments, **options)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        return call


@pytest.mark.parametrize("place", ["in a store", "outside"])
@pytest.mark.parametrize("name", ACTS)
def test_an_error_at_any_call_names_its_path_and_leaves_no_descriptor(
    tmp_path: Path, name: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 60):
        root = tmp_path / str(number) / (".tract" if place == "in a store" else "folder")
        path = root / "objects" / "ab" / ("c" * 62)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"text")
        files.close_directories(str(root))
        failing = Failing(number)
        before = set(os.listdir("/proc/self/fd"))
        with monkeypatch.context() as patched:
            patched.setattr(files, "os", failing)
            try:
                ACTS[name](str(path))
            except OSError as error:
                assert str(error.filename).startswith(str(root)), f"call {number}"
        files.close_directories(str(root))
        assert set(os.listdir("/proc/self/fd")) == before, f"call {number}"
        if failing.count < number:
            assert number > 1
            return
    pytest.fail("it made more than 60 calls")


def test_a_refusal_says_whose_file_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a-file"
    path.write_bytes(b"text")
    path.chmod(0o640)

    def refuse(call: str, _number: int, _arguments: tuple[Any, ...]) -> BaseException | None:
        return PermissionError(errno.EACCES, "Permission denied") if call == "open" else None

    with disk(refuse), pytest.raises(PermissionError) as caught:
        files.read(str(path), limit_bytes=100)
    from pwd import getpwuid

    owner = getpwuid(path.stat().st_uid).pw_name
    assert caught.value.strerror == f"Permission denied; it belongs to user {owner}, mode 0640"
    assert caught.value.filename == str(path)


# ---------------------------------------------------------------------------------------------------------------------
# Modes


def modes(root: Path) -> dict[str, str]:
    return {str(name.relative_to(root)): f"{stat.S_IMODE(name.stat().st_mode):04o}" for name in sorted(root.rglob("*"))}


def make_some(root: Path) -> dict[str, str]:
    files.make_directory(str(root / ".tract"), is_new_store=True)
    files.replace(str(root / ".tract/objects/ab/object"), b"x")
    files.replace(str(root / ".tract/local/view"), b"x", mode=0o666)
    file = files.AppendFile(str(root / ".tract/local/lock"))
    file.open()
    file.close()
    files.create_empty(str(root / ".tract/local/index.db"))
    files.close_directories(str(root))
    return modes(root)


def modes_of_some(directory: str, own: str, synced: str) -> dict[str, str]:
    """Returns what `make_some` returns, given the mode of each kind of entry."""
    return {
        ".tract": directory,
        ".tract/local": directory,
        ".tract/local/index.db": own,
        ".tract/local/lock": own,
        ".tract/local/view": own,
        ".tract/objects": directory,
        ".tract/objects/ab": directory,
        ".tract/objects/ab/object": synced,
    }


@pytest.mark.parametrize(
    ("umask", "directory", "own", "synced"),
    [(0o022, "0755", "0644", "0444"), (0o002, "0775", "0664", "0444"), (0o077, "0700", "0600", "0400")],
)
def test_files_and_directories_follow_the_umask(
    tmp_path: Path, umask: int, directory: str, own: str, synced: str
) -> None:
    before = os.umask(umask)
    try:
        found = make_some(tmp_path)
    finally:
        os.umask(before)
    assert found == modes_of_some(directory, own, synced)


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_where_a_group_shares_the_directory_all_is_for_the_group_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    root = tmp_path / "shared"
    root.mkdir()
    root.chmod(0o2770)
    before = os.umask(umask)
    try:
        found = make_some(root)
    finally:
        os.umask(before)
    directory, own, synced = ("2775", "0664", "0444") if umask == 0o022 else ("2770", "0660", "0440")
    assert found == modes_of_some(directory, own, synced)


def test_entries_that_are_not_as_they_were_are_changed(tmp_path: Path) -> None:
    for name in ("same", "other", "appeared"):
        (tmp_path / name).mkdir()
    found = files.signatures(str(tmp_path), ["same", "other", "gone"])
    assert found.keys() == {"same", "other"}
    (inode, _, ctime), (other_inode, _, other_ctime) = found["same"], found["other"]
    expected = [
        ("same", inode, ctime),
        ("other", other_inode, other_ctime + 1),
        ("gone", inode, ctime),
        ("appeared", 0, 0),
        ("absent", 0, 0),
        ("unlisted", -1, 0),
    ]
    assert files.changed(str(tmp_path), expected) == ["other", "gone", "appeared", "unlisted"]
    assert files.changed(str(tmp_path / "absent"), [("a", 1, 1), ("b", 0, 0)]) == ["a"]
