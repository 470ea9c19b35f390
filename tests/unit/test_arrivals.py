"""Arrivals: records of one length, each chained to the one before; a torn, cut or foreign file is noticed."""

from __future__ import annotations

import errno
import os
from hashlib import sha256
from pathlib import Path

import pytest

from tests.lab.disk import disk, os_error
from tests.lab.inside import log_of
from tests.lab.states import answers, own_place, put_in_place
from tests.lab.talk import Clock, user
from tract_fs import Tract
from tract_fs.model.names import LAST_US
from tract_fs.store import arrivals, files
from tract_fs.store.arrivals import (
    BRINGS,
    NO_BRANCH,
    NO_HASH,
    OWN,
    PLAIN_APPEND,
    RECORD_BYTES,
    SEEN,
    Arrivals,
    ArrivalsDamagedError,
    ArrivalsUnwritableError,
    NewArrivals,
    Record,
    branch_digest,
    chain_before,
    decode_records,
    encode_records,
    iter_records,
    iter_sound,
)

START = b"s" * 16
RECORDS = [
    Record(PLAIN_APPEND, branch_digest("main"), b"\1" * 32, b"\2" * 32, 5),
    Record(BRINGS, NO_BRANCH, b"\3" * 32, b"\4" * 32, 6),
    Record(SEEN, NO_BRANCH, b"\3" * 32, NO_HASH, 7),
    Record(OWN, NO_BRANCH, b"\5" * 32, NO_HASH, LAST_US),
]


@pytest.fixture
def written(tmp_path: Path) -> Arrivals:
    made = Arrivals(str(tmp_path / "arrivals"), START)
    made.signature()
    made.append(encode_records(RECORDS, START)[0], 0)
    return made


def test_a_record_is_ninety_six_bytes_with_a_digest_of_all_before(written: Arrivals) -> None:
    data = Path(written.path).read_bytes()
    assert RECORD_BYTES == 96
    assert len(data) == 4 * 96
    first = b"A" + sha256(b"main").digest()[:7] + b"\1" * 32 + b"\2" * 32 + (5).to_bytes(8, "big")
    chain = sha256(START + first).digest()[:16]
    assert data[:96] == first + chain
    second = b"C" + bytes(7) + b"\3" * 32 + b"\4" * 32 + (6).to_bytes(8, "big")
    assert data[96:192] == second + sha256(chain + second).digest()[:16]


def test_what_is_decoded_is_what_was_encoded(written: Arrivals) -> None:
    data, chain = encode_records(RECORDS, START)
    found = list(decode_records(data, START))
    assert [record for record, _ in found] == RECORDS
    assert found[-1][1] == chain
    assert encode_records([], START) == (b"", START)
    assert list(decode_records(data, b"t" * 16)) == []
    assert [record for record, _ in decode_records(data[:-1], START)] == RECORDS[:3]


@pytest.mark.parametrize("at", [0, 7, 40, 71, 79, 80, 95])
def test_a_changed_byte_ends_the_records(written: Arrivals, at: int) -> None:
    data = bytearray(encode_records(RECORDS, START)[0])
    data[96 + at] ^= 1
    assert [record for record, _ in decode_records(bytes(data), START)] == RECORDS[:1]


def test_a_time_past_the_last_ends_the_records() -> None:
    late = Record(SEEN, NO_BRANCH, b"\1" * 32, NO_HASH, LAST_US + 1)
    assert list(decode_records(encode_records([late], START)[0], START)) == []


def test_a_look_tells_the_inode_and_the_whole_records(written: Arrivals) -> None:
    assert written.signature() == (os.stat(written.path).st_ino, 4)
    with open(written.path, "ab") as opened:
        opened.write(b"torn")
    assert written.signature()[1] == 4
    os.unlink(written.path)
    assert written.signature() == (0, 0)
    assert written.read(0, 4) == b""


def test_a_file_of_another_user_counts_as_none(written: Arrivals) -> None:
    with disk(lambda call, *_: os_error(errno.EACCES) if call in ("open", "stat") else None):
        assert written.signature() == (0, 0)
        assert written.read(0, 4) == b""
        assert written.chain_at(4) is None


def test_the_digest_after_some_records_is_read_from_the_last_of_them(written: Arrivals) -> None:
    chains = [chain for _, chain in decode_records(encode_records(RECORDS, START)[0], START)]
    assert [written.chain_at(count) for count in range(5)] == [START, *chains]
    assert written.chain_at(5) is None
    assert [chain_before(written, 4), chain_before(written, 5)] == [chains[3], b""]


def test_an_append_cuts_off_what_lies_beyond(written: Arrivals) -> None:
    more, _ = encode_records(RECORDS[:1], written.chain_at(2) or b"")
    with open(written.path, "ab") as opened:
        opened.write(b"torn")
    written.signature()
    written.append(more, 2)
    assert list(iter_sound(written)) == [*RECORDS[:2], RECORDS[0]]
    written.cut(1)
    assert written.signature()[1] == 1
    assert list(iter_sound(written)) == RECORDS[:1]


def test_records_are_read_in_steps_and_their_end_is_compared(
    written: Arrivals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "_READ_RECORDS", 3)
    end = written.chain_at(4) or b""
    assert list(iter_records(written, 0, 4, end)) == RECORDS
    assert list(iter_records(written, 3, 4, end)) == RECORDS[3:]
    assert list(iter_records(written, 4, 4, end)) == []
    assert list(iter_sound(written)) == RECORDS
    for start, stop, chain in ((0, 4, START), (0, 5, end), (0, 3, end), (4, 4, START)):
        with pytest.raises(ArrivalsDamagedError):
            list(iter_records(written, start, stop, chain))


def test_arrivals_written_from_the_start_replace_the_file_at_the_end(
    written: Arrivals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "_READ_RECORDS", 2)
    directory = os.path.dirname(written.path)
    with files.NewFile(directory, mode=0o644) as file:
        made = NewArrivals(file, b"t" * 16)
        made.add(RECORDS[:1])
        made.add(RECORDS[1:3])
        assert (made.count, made.chain == encode_records(RECORDS[:3], b"t" * 16)[1]) == (3, True)
        made.add(RECORDS[3:])
        made.flush()
        assert list(iter_sound(written)) == RECORDS
        written.replace(file)
    assert Path(written.path).read_bytes() == encode_records(RECORDS, b"t" * 16)[0]
    assert made.chain == encode_records(RECORDS, b"t" * 16)[1]


def test_arrivals_that_can_not_be_written_are_an_error_of_their_own(written: Arrivals) -> None:
    with files.NewFile(os.path.dirname(written.path), mode=0o644) as file:
        made = NewArrivals(file, START)
        with disk(lambda call, *_: os_error(errno.ENOSPC) if call in ("write", "rename") else None):
            with pytest.raises(ArrivalsUnwritableError):
                made.add(RECORDS * arrivals._READ_RECORDS)
            with pytest.raises(ArrivalsUnwritableError):
                written.replace(file)
    assert list(iter_sound(written)) == RECORDS


def test_another_file_under_the_same_inode_number_is_noticed(written: Arrivals) -> None:
    """A file system gives the number of a removed file to the next one."""
    end, reader = written.chain_at(4) or b"", Arrivals(written.path, START)
    inode = reader.signature()[0]
    assert reader.is_same(4, end)
    assert not Arrivals(written.path, START).is_same(4, b"e" * 16)
    put_in_place(Path(written.path), encode_records(RECORDS, b"t" * 16)[0])
    assert reader.signature() == (inode, 4)
    assert not reader.is_same(4, end)
    written.signature()
    assert written.is_same(4, end)  # this one is open, so that no other can have its number


def test_a_handle_notices_arrivals_of_the_same_length_under_the_same_inode_number(tmp_path: Path) -> None:
    path, other = tmp_path / "one", tmp_path / "other"
    for place, text in ((path, "here"), (other, "there")):
        with Tract.open(place, durability="fast", clock=Clock()) as t:
            t.commit(user(text), generation_config={"model": "m-1"})
    with Tract.open(path, durability="fast", clock=Clock()) as t:
        expected = answers(t)
        mine, theirs = (own_place(place) / "tracts/default/arrivals" for place in (path, other))
        inode = mine.stat().st_ino
        assert mine.stat().st_size == theirs.stat().st_size
        put_in_place(mine, theirs.read_bytes())
        assert mine.stat().st_ino == inode
        assert answers(t) == expected
        t.commit(user("goes on"), generation_config={"model": "m-1"})
        assert len(t.query_by_config("model", "=", "m-1")) == 2
        count, chain = log_of(t).stamp()
        assert mine.stat().st_size == count * RECORD_BYTES
        assert mine.read_bytes()[-16:].hex() == chain
        assert len(list(iter_sound(log_of(t)._arrivals))) == count
