"""The redo log: the bytes of an entry, where reading stops, what an append cuts off, and when a log needs recovery."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tract_fs.store import files, redo
from tract_fs.store.redo import Entry, RedoLog

BOOT = "11111111-2222-3333-4444-555555555555"
HEADER = b"tractredo1\n" + BOOT.encode() + b"\n" * 17
OBJECT = Entry("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", b"abc")
OBJECT_BYTES = b"o\x00\x00\x00\x00\x03" + bytes.fromhex(OBJECT.name) + b"abc"
EVENT_DATA = b'{"event":{"tract":"t"}}'
EVENT = Entry("3e105a0f4e1b167937465f54ebe2d239c34ef30dd618df35a4160e91a76e4a1d", EVENT_DATA, "t")

EVENT_BYTES = b"e\x01\x00\x00\x00\x17" + bytes.fromhex(EVENT.name) + b"t" + EVENT_DATA


@pytest.fixture(autouse=True)
def boot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redo, "boot_id", lambda: BOOT)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "redo"


@pytest.fixture
def log(path: Path) -> RedoLog:
    return RedoLog(str(path))


def entries(path: Path) -> list[Entry]:
    return list(redo.iter_entries(str(path)))


def test_a_log_is_a_header_of_64_bytes_then_entries(log: RedoLog, path: Path) -> None:
    assert log.size() == 0
    assert log.append([OBJECT]) == 64
    assert path.read_bytes() == HEADER + OBJECT_BYTES
    assert log.append([EVENT]) == 64 + len(OBJECT_BYTES)
    assert path.read_bytes()[64 + len(OBJECT_BYTES) :] == (
        b"e\x01\x00\x00\x00\x17" + bytes.fromhex(EVENT.name) + b"t" + EVENT_DATA
    )
    assert entries(path) == [OBJECT, EVENT]
    assert log.size() == log.end == len(path.read_bytes())


def test_a_refused_transaction_is_taken_back_whole(log: RedoLog, path: Path) -> None:
    log.append([OBJECT])
    size = log.append([EVENT, OBJECT])
    log.take_back(size)
    assert entries(path) == [OBJECT]
    log.append([EVENT])
    assert entries(path) == [OBJECT, EVENT]


@pytest.mark.parametrize("is_own", [True, False], ids=["by the same handle", "by another handle"])
@pytest.mark.parametrize("torn", [1, 37, 38, 40])
def test_an_append_cuts_off_the_entry_that_a_killed_writer_left_torn(
    log: RedoLog, path: Path, torn: int, is_own: bool
) -> None:
    log.append([OBJECT])
    with path.open("ab") as file:
        file.write(OBJECT_BYTES[:torn])
    writer = log if is_own else RedoLog(str(path))
    assert writer.append([EVENT]) == 64 + len(OBJECT_BYTES)
    assert entries(path) == [OBJECT, EVENT]


@pytest.mark.parametrize("torn", [0, 1, 40])
def test_a_writer_looks_only_behind_what_another_of_its_store_appended_last(
    path: Path, monkeypatch: pytest.MonkeyPatch, torn: int
) -> None:
    last = redo.LastEntry()
    RedoLog(str(path), b"", last).append([OBJECT] * 1000)
    with path.open("ab") as file:
        file.write(EVENT_BYTES + OBJECT_BYTES[:torn])
    offsets: list[int] = []
    read_at = files.AppendFile.read_at
    monkeypatch.setattr(
        files.AppendFile,
        "read_at",
        lambda file, offset, size: (offsets.append(offset), read_at(file, offset, size))[1],
    )
    RedoLog(str(path), b"", last).append([EVENT])
    assert [offset for offset in offsets if 0 < offset < 64 + 999 * len(OBJECT_BYTES)] == []
    assert entries(path) == [OBJECT] * 1000 + [EVENT] * 2


def test_an_entry_that_is_no_longer_there_is_where_no_writer_begins(path: Path) -> None:
    last = redo.LastEntry()
    log = RedoLog(str(path), b"", last)
    log.append([OBJECT])
    log.take_back(log.append([EVENT, OBJECT]))
    RedoLog(str(path)).append([OBJECT, OBJECT, OBJECT])
    RedoLog(str(path), b"", last).append([EVENT])
    assert entries(path) == [OBJECT] * 4 + [EVENT]


BAD: dict[str, Callable[[bytes], bytes]] = {
    "another byte of the data": lambda entry: entry[:-1] + b"x",
    "another hash": lambda entry: entry[:6] + b"\0" * 32 + entry[38:],
    "an unknown kind": lambda entry: b"x" + entry[1:],
    "an object of a tract": lambda entry: entry[:1] + b"\x01" + entry[2:38] + b"t" + entry[38:],
    "an event without a tract": lambda entry: b"e" + entry[1:],
    "a size over the limit": lambda entry: entry[:2] + b"\xff\xff\xff\xff" + entry[6:],
    "no data": lambda entry: entry[:38],
    "half a head": lambda entry: entry[:20],
}


@pytest.mark.parametrize("change", BAD.values(), ids=list(BAD))
def test_reading_stops_at_the_first_bad_entry(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(HEADER + OBJECT_BYTES + change(OBJECT_BYTES) + OBJECT_BYTES)
    assert entries(path) == [OBJECT]


@pytest.mark.parametrize("data", [b"", b"tractredo", b"tractredo2\n".ljust(64, b"\n") + OBJECT_BYTES])
def test_a_file_with_another_header_has_no_entries(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    assert entries(path) == []
    assert entries(path.with_name("absent")) == []


@pytest.mark.parametrize(
    ("boot_now", "data", "is_needed"),
    [
        (BOOT, HEADER + OBJECT_BYTES, False),
        ("another boot", HEADER + OBJECT_BYTES, True),
        ("", HEADER + OBJECT_BYTES, True),
        ("another boot", HEADER, False),
        ("another boot", b"", False),
        (BOOT, b"garbage" * 20, True),
    ],
    ids=["this boot", "another boot", "no boot known", "no entries", "an empty file", "garbage"],
)
def test_a_log_of_another_boot_or_an_unknown_one_needs_recovery_if_it_has_entries(
    path: Path, monkeypatch: pytest.MonkeyPatch, boot_now: str, data: bytes, is_needed: bool
) -> None:
    monkeypatch.setattr(redo, "boot_id", lambda: boot_now)
    path.write_bytes(data)
    assert redo.needs_recovery(str(path)) is is_needed
    assert redo.needs_recovery(str(path.with_name("absent"))) is False


@pytest.mark.parametrize(
    ("boot_now", "data", "is_earlier"),
    [
        (BOOT, HEADER + OBJECT_BYTES, False),
        ("another boot", HEADER + OBJECT_BYTES, True),
        ("another boot", HEADER, True),
        ("", HEADER, False),
        ("another boot", HEADER[:40], False),
        ("another boot", HEADER[:48] + b"0123456789abcdef", False),
        ("another boot", b"", False),
        ("another boot", b"garbage" * 20, False),
    ],
    ids=["this boot", "entries", "no entries", "no boot known", "cut", "of another place", "an empty file", "garbage"],
)
def test_a_log_of_an_earlier_boot_has_a_whole_header_of_this_place(
    path: Path, monkeypatch: pytest.MonkeyPatch, boot_now: str, data: bytes, is_earlier: bool
) -> None:
    monkeypatch.setattr(redo, "boot_id", lambda: boot_now)
    path.write_bytes(data)
    assert redo.is_of_earlier_boot(str(path), b"seal" * 8) is is_earlier
    assert redo.is_of_earlier_boot(str(path.with_name("absent")), b"seal" * 8) is False


def test_a_checkpoint_is_due_once_appends_pass_the_next_multiple(log: RedoLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redo, "CHECKPOINT_BYTES", 64 + 2 * len(OBJECT_BYTES))
    log.append([OBJECT])
    assert not log.is_checkpoint_due
    log.append([OBJECT])
    assert log.is_checkpoint_due


def test_a_log_that_is_set_aside_keeps_its_entries_under_another_name(log: RedoLog, path: Path) -> None:
    log.append([OBJECT])
    inode = path.stat().st_ino
    log.set_aside()
    (old,) = log.old_paths()
    assert old.startswith(f"{path}.old.")
    assert (entries(Path(old)), Path(old).stat().st_ino) == ([OBJECT], inode)
    assert (path.read_bytes(), log.end, log.is_checkpoint_due) == (HEADER, 0, False)
    log.append([EVENT])
    assert entries(path) == [EVENT]


def test_all_logs_of_a_copy_are_the_common_one_those_aside_and_those_of_writers_without_a_lock(tmp_path: Path) -> None:
    for name in ("redo", "redo.old.1", f"redo.{'a' * 32}", "redone", "lock", "xredo"):
        (tmp_path / name).write_bytes(b"")
    found = redo.log_paths(str(tmp_path), str(tmp_path / "redo"))
    assert found == [f"{tmp_path}/redo", f"{tmp_path}/redo.{'a' * 32}", f"{tmp_path}/redo.old.1"]


def test_a_log_of_another_place_has_no_entries_and_is_replaced_before_an_append(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = b"h" * 32, b"t" * 32
    foreign = RedoLog(str(path), there)
    foreign.append([OBJECT])
    foreign.close()
    assert [entry.name for entry in redo.iter_entries(str(path), there)] == [OBJECT.name]
    assert list(redo.iter_entries(str(path), here)) == []
    monkeypatch.setattr(redo, "boot_id", lambda: "another boot")
    assert not redo.needs_recovery(str(path), here)
    assert redo.needs_recovery(str(path), there)
    own = RedoLog(str(path), here)
    own.append([EVENT])
    assert [entry.name for entry in redo.iter_entries(str(path), here)] == [EVENT.name]


def test_a_log_without_a_place_is_read_anywhere(path: Path) -> None:
    log = RedoLog(str(path))
    log.append([OBJECT])
    assert [entry.name for entry in redo.iter_entries(str(path), b"h" * 32)] == [OBJECT.name]
