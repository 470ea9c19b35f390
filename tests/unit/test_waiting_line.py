"""The waiting line: places by the time of arrival; who is killed or stopped counts no more; no state of the file does harm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lab.processes import ROOT
from tests.lab.states import own_place
from tests.lab.talk import user
from tract_fs import Tract
from tract_fs.errors import LockTimeout
from tract_fs.store import waiting_line
from tract_fs.store.waiting_line import WaitingLine

MS = 1_000_000


class MonotonicClock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now_ns = 5_000_000 * MS

    def monotonic_ns(self) -> int:
        return self.now_ns

    def go_on(self, ms: int) -> None:
        self.now_ns += ms * MS


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MonotonicClock:
    clock = MonotonicClock()
    monkeypatch.setattr(waiting_line, "time", clock)
    return clock


def join(path: Path, clock: MonotonicClock, count: int) -> list[WaitingLine]:
    """Returns so many places, one a millisecond after the other."""
    lines = []
    for _ in range(count):
        clock.go_on(1)
        lines.append(WaitingLine(str(path)))
        lines[-1].place()
    return lines


def places(lines: list[WaitingLine]) -> list[int]:
    return [line.place() for line in lines]


def test_places_go_by_the_time_of_arrival_and_move_up_when_one_leaves(tmp_path: Path, clock: MonotonicClock) -> None:
    lines = join(tmp_path / "line", clock, 4)
    assert places(lines) == [0, 1, 2, 3]
    lines[1].leave()
    assert places([lines[0], lines[2], lines[3]]) == [0, 1, 2]
    clock.go_on(1)
    assert places(lines) == [0, 3, 1, 2]  # who comes back stands at the end


def test_the_line_is_empty_for_one_that_waits_alone_and_for_one_that_does_not_wait(
    tmp_path: Path, clock: MonotonicClock
) -> None:
    one, other = WaitingLine(str(tmp_path / "line")), WaitingLine(str(tmp_path / "line"))
    assert one.is_empty()
    one.place()
    assert (one.is_empty(), other.is_empty()) == (True, False)
    one.leave()
    assert other.is_empty()


def test_one_that_has_not_looked_for_a_tenth_of_a_second_counts_no_more_and_has_its_place_back_when_it_does(
    tmp_path: Path, clock: MonotonicClock
) -> None:
    stopped, other = join(tmp_path / "line", clock, 2)
    clock.go_on(98)
    assert other.place() == 1
    clock.go_on(1)
    assert other.place() == 0
    assert stopped.place() == 0
    assert other.place() == 1


def test_the_slot_of_one_that_was_killed_is_taken_by_others(tmp_path: Path, clock: MonotonicClock) -> None:
    join(tmp_path / "line", clock, 32)  # and none of them leaves
    clock.go_on(200)
    assert places(join(tmp_path / "line", clock, 32)) == list(range(32))
    assert (tmp_path / "line").stat().st_size == 512


def test_where_all_slots_are_taken_one_waits_behind_them(tmp_path: Path, clock: MonotonicClock) -> None:
    lines = join(tmp_path / "line", clock, 33)
    assert places(lines) == [*range(32), 32]
    lines[5].leave()
    assert lines[32].place() == 31


def test_two_that_took_one_slot_at_the_same_time_have_one_each_at_their_next_look(
    tmp_path: Path, clock: MonotonicClock
) -> None:
    one, other = join(tmp_path / "line", clock, 2)
    other._slot = one._slot
    other._file.write_at(one._slot * 16, waiting_line._SLOT.pack(other._since, clock.now_ns))
    clock.go_on(1)
    assert places([one, other]) == [0, 1]
    assert one._slot != other._slot


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 512, b"\0" * 100, os.urandom(700)], ids=["empty", "ones", "short", "noise"]
)
def test_whatever_is_in_the_file_a_place_is_had(tmp_path: Path, clock: MonotonicClock, data: bytes) -> None:
    (tmp_path / "line").write_bytes(data)
    assert places(join(tmp_path / "line", clock, 3)) == [0, 1, 2]


def test_slots_of_another_boot_count_for_nothing(tmp_path: Path, clock: MonotonicClock) -> None:
    join(tmp_path / "line", clock, 3)
    clock.now_ns = 1000 * MS  # the clock began anew
    assert WaitingLine(str(tmp_path / "line")).place() == 0


def test_a_line_that_can_not_be_written_holds_nobody_up(
    tmp_path: Path, clock: MonotonicClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, other = join(tmp_path / "line", clock, 2)

    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", fail)
    assert other.place() == 0
    other.leave()
    monkeypatch.setattr(os, "pread", fail)
    assert line.is_empty()


def test_those_who_wait_after_local_was_deleted_see_each_other(tmp_path: Path, clock: MonotonicClock) -> None:
    before = join(tmp_path / "line", clock, 1)[0]
    before.leave()
    (tmp_path / "line").unlink()
    other = join(tmp_path / "line", clock, 1)[0]
    clock.go_on(1)
    assert places([other, before]) == [0, 1]


COMMIT = """
import sys
from tract_fs import DialogueContent, Tract
tract = Tract.open(sys.argv[1], lock_timeout_s=240.0)
tract.commit(DialogueContent(role="user", text=sys.argv[2]))
"""


def count_waiting(path: Path) -> int:
    data = (own_place(path) / "line").read_bytes() if (own_place(path) / "line").exists() else b""
    return sum(any(data[start : start + 16]) for start in range(0, len(data), 16))


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_waiter_that_is_killed_or_stopped_keeps_no_other_from_the_lock(tmp_path: Path, blow: signal.Signals) -> None:
    tract = Tract.open(tmp_path)
    started = []
    try:
        with tract.batch():
            tract.commit(user("the first"))
            for number in range(3):
                command = [sys.executable, "-c", COMMIT, str(tmp_path), f"waiter {number}"]
                started.append(subprocess.Popen(command, cwd=ROOT))
                while count_waiting(tmp_path) <= number:
                    assert started[-1].poll() is None
                    time.sleep(0.01)
            started[0].send_signal(blow)
            if blow == signal.SIGKILL:
                started[0].wait(200)
        assert [process.wait(200) for process in started[1:]] == [0, 0]
    finally:
        for process in started:
            process.kill()
            process.wait()
    texts = [message.content for message in tract.compile().messages]
    assert (texts[0], sorted(texts[1:])) == ("the first", ["waiter 1", "waiter 2"])
    tract.close()


def test_no_slot_is_kept_by_one_that_got_the_lock_or_gave_up(tmp_path: Path) -> None:
    tract = Tract.open(tmp_path)
    other = Tract.open(tmp_path, lock_timeout_s=0.05)
    with tract.batch():
        tract.commit(user("held"))
        with pytest.raises(LockTimeout):
            other.commit(user("too late"))
    assert count_waiting(tmp_path) == 0
    other.commit(user("in time"))
    assert count_waiting(tmp_path) == 0
