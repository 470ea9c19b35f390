"""The reader of packs: a walk reads few blocks, what it keeps is verified, and no damage of a block reaches an answer."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest

from tests.lab.disk import disk
from tests.lab.states import bound_layout, put, put_in_place
from tract_fs.model.members import encode_event_list
from tract_fs.store import files, pack_reader
from tract_fs.store.pack_reader import PackReader

LINES = [b"%04d" % number + b"x" * 96 for number in range(100)]  # 101 bytes each with the newline
DIGESTS = [sha256(line).digest() for line in LINES]
PACK = "a" * 64


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_BLOCK_BYTES", 1010)  # ten lines


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    path = Path(bound_layout(tmp_path).pack(PACK))
    put(path, b"".join(line + b"\n" for line in LINES))
    return path


@pytest.fixture
def reader(tmp_path: Path, pack: Path) -> PackReader:
    return PackReader(bound_layout(tmp_path))


def read(reader: PackReader, number: int) -> bytes | None:
    return reader.read(PACK, 101 * number, 100, DIGESTS[number])


def kept(reader: PackReader) -> list[int]:
    return [number for number, digest in enumerate(DIGESTS) if reader.near(digest) is not None]


def test_a_member_alone_is_read_alone(reader: PackReader) -> None:
    assert (read(reader, 50), kept(reader)) == (LINES[50], [])
    assert (read(reader, 5), kept(reader)) == (LINES[5], [])


def test_the_members_in_the_block_of_a_near_one_are_kept(reader: PackReader) -> None:
    read(reader, 50)
    assert read(reader, 51) == LINES[51]
    assert kept(reader) == [51, 52, 53, 54, 55, 56, 57, 58, 59]  # the first line of a block may be a part of one
    assert [reader.near(DIGESTS[number]) for number in kept(reader)] == LINES[51:60]


def test_two_walks_by_turns_read_blocks_too(reader: PackReader) -> None:
    for number in (10, 70, 11, 71):
        assert read(reader, number) == LINES[number]
    assert kept(reader) == [*range(11, 20), *range(71, 80)]


def test_a_walk_over_all_reads_each_block_once(reader: PackReader) -> None:
    calls: list[str] = []
    with disk(lambda call, _number, _arguments: calls.append(call)):
        found = [reader.near(DIGESTS[number]) or read(reader, number) for number in range(100)]
    assert found == LINES
    assert (calls.count("pread"), calls.count("open")) == (1 + 10, 1)


def test_the_blocks_read_first_are_dropped(reader: PackReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_reader, "_MOST_BLOCKS", 2)
    for number in (9, 11, 21, 31):
        read(reader, number)
    assert kept(reader) == [*range(21, 30), *range(31, 40)]
    reader.forget()
    assert kept(reader) == []


def test_a_member_in_two_blocks_is_read_alone(reader: PackReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_BLOCK_BYTES", 250)
    for number in range(100):
        assert reader.near(DIGESTS[number]) or read(reader, number) == LINES[number]


def test_what_is_no_member_is_not_kept(reader: PackReader, pack: Path) -> None:
    event_list, short = encode_event_list({}, 303), b"short"
    put_in_place(pack, b"\n".join((*LINES[:3], event_list, short, *LINES[3:6])) + b"\n")
    read(reader, 0)
    assert read(reader, 1) == LINES[1]
    assert kept(reader) == [1, 2, 3, 4, 5]
    assert [reader.near(sha256(line).digest()) for line in (event_list, short)] == [None, None]


def test_altered_lines_of_a_block_are_not_served_under_their_old_names(reader: PackReader, pack: Path) -> None:
    data = bytearray(pack.read_bytes())
    data[101 * 55 + 50] ^= 1
    put_in_place(pack, bytes(data))
    read(reader, 50)
    read(reader, 51)
    assert kept(reader) == [51, 52, 53, 54, 56, 57, 58, 59]
    assert read(reader, 55) == b""
    assert read(reader, 56) == LINES[56]


def test_without_a_file_there_is_nothing_and_another_file_is_noticed(reader: PackReader, pack: Path) -> None:
    data = pack.read_bytes()
    os.rename(pack, pack.with_name("b" * 64))
    assert read(reader, 1) is None
    put(pack, bytes(len(data)))
    assert read(reader, 1) == b""
    put(pack, data)
    assert read(reader, 1) == LINES[1]


def test_few_files_stay_open(tmp_path: Path, reader: PackReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_reader, "_OPEN_PACKS", 2)
    layout = bound_layout(tmp_path)
    for digit in "bcdef":
        put(Path(layout.pack(digit * 64)), LINES[0])
        assert reader.read(digit * 64, 0, 100, DIGESTS[0]) == LINES[0]
    assert open_packs(layout.packs) == ["e" * 64, "f" * 64]
    reader.close_all()
    assert open_packs(layout.packs) == []


def open_packs(directory: str) -> list[str]:
    links = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return sorted(link.name for link in links if str(link.parent) == directory)
