"""What `durable` promises: an acknowledged commit outlives a power cut, for one fdatasync; and what a store is without `local/`.

A power cut is played by a model: what was never synced may be gone, empty, zeros, torn, or there. The model is told of each
sync by a stand-in for `os`; the machine's boot is told apart by the header of `local/redo`.
"""

from __future__ import annotations

import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any, Literal

import pytest

from tests.lab.copies import bring_files
from tests.lab.disk import Strike, Trap, die, die_halfway, set_trap
from tests.lab.power import (
    Recorder,
    cut_power,
    cut_what_is_not_in,
    in_next_boot,
    lose_loose_files,
    replace,
    sizes_by_path,
    start_anew,
    stats_of,
)
from tests.lab.processes import ROOT, ForkServer, run_child, serve, told_on_failure
from tests.lab.states import TEXT_FILES, files_of, own_place, prove_places
from tests.lab.talk import Clock, user
from tests.lab.writers import (
    MEMORY,
    SCENARIOS,
    make_template,
    open_and_commit_two,
    open_unclosed,
    require_goes_on,
    require_whole,
)
from tract_fs import ToolIOContent, Tract
from tract_fs.errors import CommitUncertain, ReadOnlyError
from tract_fs.store import redo
from tract_fs.store.place import MARKER

# ---------------------------------------------------------------------------------------------------------------------
# A power cut at each call


def flush_at_each_commit(path: str, durability: str, acknowledge: Callable[[str], None]) -> None:
    redo.CHECKPOINT_BYTES = 100
    open_and_commit_two(path, durability, acknowledge)


def write_by_two_handles(path: str, durability: str, acknowledge: Callable[[str], None]) -> None:
    one, other = (open_unclosed(path, durability) for _ in range(2))
    for handle in (one, other, one):
        acknowledge(handle.commit(user("single")).commit_hash)


CUT_SCENARIOS = {
    **SCENARIOS,
    flush_at_each_commit.__name__: flush_at_each_commit,
    write_by_two_handles.__name__: write_by_two_handles,
}
del CUT_SCENARIOS["write_without_local"]  # between a power cut and the next open local/ is needed
HOWS = ("absent", "empty", "half", "zeros", "kept", "mixed")


def cut_power_at_each_call(scenario_name: str, *, hows_per_call: int) -> dict[str, int]:
    """Ends a durable writer at each call in turn, cuts the power then or after another went on, and checks the store."""
    scenario = CUT_SCENARIOS[scenario_name]
    chance = random.Random(scenario_name)
    cuts = 0
    with tempfile.TemporaryDirectory(prefix="tract-cut-", dir=MEMORY) as folder:
        template = os.path.join(folder, "template")
        path = os.path.join(folder, "store")
        code, before = run_child(lambda tell: tell("\n".join(make_template(template, "durable")).encode()))
        assert code == 0, before
        for strike in (die, die_halfway):
            code = -signal.SIGKILL
            number = 0
            while code:
                number += 1
                shutil.copytree(template, path)
                prove_places(Path(path))
                synced = {found.st_ino: found.st_size for found in stats_of(path)}
                code, acknowledged = run_recorded(scenario, path, number, strike, synced)
                for follower in ("", ", then another writer"):
                    if follower:
                        acknowledged += run_recorded(open_and_commit_two, path, 0, die, synced)[1]
                    for how in chance.sample(HOWS, hows_per_call):
                        with told_on_failure(f"{strike.__name__} at call {number}{follower}, power cut: {how}"):
                            check_cut(path, synced, before + acknowledged, how, chance)
                        cuts += 1
                shutil.rmtree(path)
    return {"cuts": cuts}


def check_cut(path: str, synced: dict[int, int], acknowledged: list[str], how: str, chance: random.Random) -> None:
    """Cuts the power of a copy of a store, and checks what is left of it."""
    image = path + "-image"
    shutil.copytree(path, image)
    cut_power(image, sizes_by_path(path, synced), how, chance)
    with in_next_boot():
        require_whole(image, acknowledged, is_power_cut=True)
        with Tract.open(image, durability="fast") as tract:
            again = tract.commit(user("single 0")).commit_hash  # its content may lie there torn
        require_whole(image, [*acknowledged, again], is_power_cut=True)
    shutil.rmtree(image)


def run_recorded(
    scenario: Callable[..., None], path: str, number: int, strike: Strike, synced: dict[int, int]
) -> tuple[int, list[str]]:
    """Runs a durable scenario in a child; notes in `synced` what it synced, and returns how it ended and what it acknowledged."""

    def work(tell: Callable[[bytes], None]) -> None:
        with set_trap(Recorder(number, strike, path, tell)):
            scenario(path, "durable", lambda name: tell(json.dumps({"acknowledged": name}).encode()))

    code, lines = run_child(work)
    assert code in (0, -signal.SIGKILL), lines
    acknowledged = []
    for line in map(json.loads, lines):
        if "acknowledged" in line:
            acknowledged.append(line["acknowledged"])
        synced.update(map(tuple, line.get("synced", ())))
    return code, acknowledged


def cut_power_while_recovering() -> dict[str, int]:
    """Cuts the power again at each call of the open that recovers from the first cut."""
    cuts = 0
    with tempfile.TemporaryDirectory(prefix="tract-cut-", dir=MEMORY) as folder:
        template = os.path.join(folder, "template")
        code, acknowledged = run_child(lambda tell: tell("\n".join(make_template(template, "durable")).encode()))
        assert code == 0, acknowledged
        lose_loose_files(template)
        for number in range(1, 1000):
            path = os.path.join(folder, str(number))
            shutil.copytree(template, path)
            prove_places(Path(path))
            synced = {found.st_ino: found.st_size for found in stats_of(path)}
            code, _ = run_recorded(lambda path, *_: void_open(path), path, number, die, synced)
            cut_power(path, sizes_by_path(path, synced), HOWS[number % 4], random.Random(number))
            with in_next_boot():
                require_goes_on(path, acknowledged)
            cuts += 1
            if code == 0:
                break
    return {"cuts": cuts}


def void_open(path: str) -> None:
    Tract.open(path)


WORK = (cut_power_at_each_call, cut_power_while_recovering)


@pytest.fixture(scope="module")
def lab() -> Iterator[ForkServer]:
    lab = ForkServer("tests.faults.test_durability")
    yield lab
    lab.close()


@pytest.mark.slow
@pytest.mark.parametrize("scenario", CUT_SCENARIOS)
def test_a_power_cut_at_any_call_loses_nothing_acknowledged(lab: ForkServer, scenario: str) -> None:
    assert lab(cut_power_at_each_call, scenario, hows_per_call=1)["cuts"] >= 40


@pytest.mark.campaign
@pytest.mark.parametrize("scenario", CUT_SCENARIOS)
def test_any_power_cut_at_any_call_loses_nothing_acknowledged(lab: ForkServer, scenario: str) -> None:
    assert lab(cut_power_at_each_call, scenario, hows_per_call=6)["cuts"] >= 300


def test_a_power_cut_while_an_open_recovers_from_another_loses_nothing_acknowledged(lab: ForkServer) -> None:
    assert lab(cut_power_while_recovering)["cuts"] >= 10


# ---------------------------------------------------------------------------------------------------------------------
# Power cuts, one by one


def write_twelve(path: Path) -> list[str]:
    """Makes a durable store of twelve commits, three of them in a batch, and a usage; its handle stays open."""
    tract = Tract.open(path)
    made = [tract.commit(user(f"text {number}"), generation_config={"seed": number}) for number in range(9)]
    with tract.batch():
        made += [tract.commit(user(f"in the batch {number}")) for number in range(3)]
    tract.record_usage({"prompt_tokens": 90, "completion_tokens": 9, "total_tokens": 99})
    return [info.commit_hash for info in made]


@pytest.mark.parametrize("how", ["absent", "empty", "half", "zeros"])
def test_an_open_after_a_power_cut_restores_every_file_of_the_redo_log(tmp_path: Path, how: str) -> None:
    made = write_twelve(tmp_path)
    before = {name: full.read_bytes() for name, full in files_of(str(tmp_path)).items()}
    assert len(before) == 12 + 12 + 11  # contents, commits, events
    lose_loose_files(tmp_path, how)
    assert all(full.read_bytes() != before[name] for name, full in files_of(str(tmp_path)).items())
    with Tract.open(tmp_path) as tract:
        assert [info.commit_hash for info in tract.log(None)][::-1] == made
        assert tract.compile().token_source == "api:90+9"
        assert [info.commit_hash for info in tract.query_by_config("seed", ">=", 7)] == made[7:9]
    assert {name: full.read_bytes() for name, full in files_of(str(tmp_path)).items()} == before
    require_goes_on(str(tmp_path), made)


def test_any_single_file_that_a_power_cut_took_is_restored_and_no_other_is_touched(tmp_path: Path) -> None:
    made = write_twelve(tmp_path / "whole")
    names = files_of(str(tmp_path / "whole"))
    for number, name in enumerate(names):
        path = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", path)
        files = files_of(str(path))
        data = files[name].read_bytes()
        if number % 3 == 0:
            files[name].unlink()
        else:
            replace(files[name], (data[: len(data) // 2], bytes(len(data)))[number % 3 - 1])
        inodes = {other: full.stat().st_ino for other, full in files.items() if other != name}
        start_anew(path)
        with Tract.open(path) as tract:
            assert [info.commit_hash for info in tract.log(None)][::-1] == made
        assert files[name].read_bytes() == data
        assert {other: full.stat().st_ino for other, full in files.items() if other != name} == inodes


def test_a_store_is_whole_after_a_power_cut_that_took_all_of_local_but_the_redo_log_and_the_marker(
    tmp_path: Path,
) -> None:
    made = write_twelve(tmp_path)
    lose_loose_files(tmp_path)
    for name in own_place(tmp_path).iterdir():
        if name.name not in ("redo", MARKER):
            shutil.rmtree(name) if name.is_dir() else name.unlink()
    require_goes_on(str(tmp_path), made)


def test_the_log_of_a_writer_that_had_no_lock_is_restored_too(tmp_path: Path) -> None:
    made = write_twelve(tmp_path)
    local = own_place(tmp_path)
    (local / "redo").rename(local / f"redo.{'a' * 32}")
    lose_loose_files(tmp_path)
    with Tract.open(tmp_path) as tract:
        assert [info.commit_hash for info in tract.log(None)][::-1] == made
    assert not (local / f"redo.{'a' * 32}").exists()


@pytest.mark.parametrize("kept", [1, 37, 38, 60, -1], ids=lambda kept: f"{kept}_bytes")
def test_a_torn_last_entry_of_the_redo_log_is_ignored(tmp_path: Path, kept: int) -> None:
    tract = Tract.open(tmp_path)
    made = [tract.commit(user("first")).commit_hash]
    log = own_place(tmp_path) / "redo"
    size = log.stat().st_size
    tract.commit(user("never acknowledged"))
    data = log.read_bytes()
    log.write_bytes(data[: size + kept] if kept >= 0 else data[:kept])
    lose_loose_files(tmp_path)
    with Tract.open(tmp_path) as tract:
        assert [info.commit_hash for info in tract.log(None)] == made
        assert tract.status().pending == ()
    require_goes_on(str(tmp_path), made)


def test_a_redo_log_that_a_killed_writer_left_torn_still_holds_what_later_writers_acknowledge(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as tract:
        made = [tract.commit(user("first")).commit_hash]
    log = own_place(tmp_path) / "redo"
    entry = redo.Entry("ab" * 32, b"x" * 5000)
    with log.open("ab") as file:  # as a kill amid a write of several pages leaves it
        file.write((b"o\0" + len(entry.data).to_bytes(4, "big") + bytes.fromhex(entry.name) + entry.data)[:3000])
    with Tract.open(tmp_path) as tract:
        made.append(tract.commit(user("second")).commit_hash)
    lose_loose_files(tmp_path)
    require_whole(str(tmp_path), made)


def test_a_redo_log_that_another_writer_emptied_and_filled_again_loses_nothing_by_the_next_append(
    tmp_path: Path,
) -> None:
    one, other = Tract.open(tmp_path), Tract.open(tmp_path)
    made = [one.commit(user("first, and longer than the later ones are " * 3)).commit_hash]
    log = own_place(tmp_path) / "redo"
    for _ in range(5):
        with set_trap(Trap(0, die)):  # which does not wait for the disk
            other.flush()
        assert log.stat().st_size == 64
        kept = files_of(str(tmp_path))
        made += [other.commit(user(str(number))).commit_hash for number in range(3)]
        made.append(one.commit(user("one")).commit_hash)
        image = tmp_path.with_name("image")
        shutil.copytree(tmp_path, image)
        for name, full in files_of(str(image)).items():
            if name not in kept:
                full.unlink()
        start_anew(image)
        require_whole(str(image), made)
        shutil.rmtree(image)


class AtOnce:
    """A thread that has done its work when it is started."""

    def __init__(self, *, target: Callable[..., None], args: tuple[Any, ...], daemon: bool) -> None:
        assert daemon
        self.start = lambda: target(*args)

    def join(self) -> None:
        pass

    def is_alive(self) -> bool:
        return False


class SyncCounter(Trap):
    """Counts how often the file system is synced."""

    def __init__(self) -> None:
        super().__init__(0, die)
        self.syncs = 0

    def sync_filesystem(self, path: str) -> None:
        super().sync_filesystem(path)
        self.syncs += 1


def test_of_several_writers_the_one_whose_commit_fills_the_log_makes_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redo, "CHECKPOINT_BYTES", 10_000)
    monkeypatch.setattr("tract_fs.store.store.Thread", AtOnce)
    handles = [Tract.open(tmp_path) for _ in range(3)]
    log = own_place(tmp_path) / "redo"
    handles[0].commit(user("first"))
    sizes = [log.stat().st_size]
    with set_trap(SyncCounter()) as counter:
        for number in range(40):
            handles[number % 3].commit(user("x" * 500))
            sizes.append(log.stat().st_size)
    assert counter.syncs == sizes.count(64) == 3
    assert max(sizes) < 10_000
    assert len(handles[0].log(None)) == 41
    assert [name.name for name in log.parent.glob("redo*")] == ["redo"]


def test_commits_go_on_while_a_checkpoint_waits_for_the_disk_and_a_power_cut_then_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redo, "CHECKPOINT_BYTES", 5_000)
    one, other = Tract.open(tmp_path / "store"), Tract.open(tmp_path / "store")
    is_asked, may_end = Event(), Event()

    class Slow(Trap):
        def sync_filesystem(self, path: str) -> None:
            is_asked.set()
            assert may_end.wait(60)

    local = own_place(tmp_path / "store")
    with set_trap(Slow(0, die)):
        made = []
        while not is_asked.is_set():
            made.append(one.commit(user("x" * 100)).commit_hash)
        handles = (one, other) * 15  # past the next checkpoints, too
        made += [handle.commit(user("y" * 300)).commit_hash for handle in handles]
        assert len(list(local.glob("redo.old.*"))) >= 1
        shutil.copytree(tmp_path / "store", tmp_path / "image")
        may_end.set()
        one.close()
        other.close()
    assert list(local.glob("redo.old.*")) == []
    lose_loose_files(tmp_path / "image")
    require_whole(str(tmp_path / "image"), made)
    assert list((tmp_path / "image" / ".tract" / "local").glob("*/redo.old.*")) == []


def test_a_log_stays_aside_when_the_sync_of_its_files_failed_and_the_next_checkpoint_writes_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redo, "CHECKPOINT_BYTES", 2_000)
    monkeypatch.setattr("tract_fs.store.store.Thread", AtOnce)
    tract = Tract.open(tmp_path)
    local = own_place(tmp_path)

    class Broken(Trap):
        def sync_filesystem(self, path: str) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    made = []
    with set_trap(Broken(0, die)):
        while not list(local.glob("redo.old.*")):
            made.append(tract.commit(user("x" * 300)).commit_hash)
    before = {name: full.stat().st_ino for name, full in files_of(str(tmp_path)).items()}
    tract.flush()
    after = {name: full.stat().st_ino for name, full in files_of(str(tmp_path)).items()}
    assert before.keys() == after.keys()
    same = [name for name, inode in before.items() if after[name] == inode]
    assert same == [], "a file that the disk may have lost was not written again"
    assert list(local.glob("redo.old.*")) == []
    assert [info.commit_hash for info in tract.log(None)][::-1] == made


def test_logs_that_a_killed_writer_left_aside_go_at_the_next_checkpoint(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as tract:
        made = [tract.commit(user("first")).commit_hash]
        log = own_place(tmp_path) / "redo"
        log.rename(log.with_name("redo.old.1.aa.0"))
        made.append(tract.commit(user("second")).commit_hash)
        tract.flush()
        assert [name.name for name in log.parent.glob("redo*")] == ["redo"]
        assert [info.commit_hash for info in tract.log(None)][::-1] == made


def test_a_log_that_another_writer_has_emptied_is_not_begun_anew(tmp_path: Path) -> None:
    one, other = Tract.open(tmp_path), Tract.open(tmp_path)
    for handle in (one, other):
        handle.commit(user("x"))
    one.flush()
    log = (own_place(tmp_path) / "redo").stat()
    assert log.st_size == 64
    other.flush()
    other.close()
    assert (own_place(tmp_path) / "redo").stat().st_ino == log.st_ino


def test_what_another_writer_commits_while_a_flush_waits_for_the_disk_stays_durable(tmp_path: Path) -> None:
    one, other = Tract.open(tmp_path), Tract.open(tmp_path)
    made = [one.commit(user("first")).commit_hash]
    synced: list[list[int]] = []

    class Slow(Recorder):
        def sync_filesystem(self, path: str) -> None:
            super().sync_filesystem(path)
            if len(made) == 1:
                made.append(other.commit(user("while the disk is synced")).commit_hash)

    with set_trap(Slow(0, die, str(tmp_path), lambda line: synced.extend(json.loads(line)["synced"]))):
        one.flush()
    assert len(made) == 2
    cut_what_is_not_in(tmp_path, synced)
    require_whole(str(tmp_path), made)


def refuse_once(tract: Tract, text: str, call: str, place: str) -> None:
    """Has a commit refused for lack of space, at the first call of a kind on a path that holds `place`."""
    paths: dict[int, str] = {}

    class FullDisk(Trap):
        def perform(self, name: str, real: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            path = paths.get(args[0], "") if name == "write" else args[-1] if name == "rename" else args[0]
            if name == call and place in path:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            result = real(*args, **kwargs)
            if name == "open":
                paths[result] = path
            return result

    with set_trap(FullDisk(0, die)), pytest.raises(OSError, match="No space left"):
        tract.commit(user(text))


@pytest.mark.parametrize(
    "call, place",
    [
        ("open", "/objects/"),
        ("write", "/objects/"),
        ("open", "/events/"),
        ("write", "/events/"),
        ("rename", "/events/"),
    ],
)
@pytest.mark.parametrize("is_first", [False, True], ids=["later", "first"])
def test_a_refused_transaction_never_comes_back(tmp_path: Path, call: str, place: str, is_first: bool) -> None:
    tract = Tract.open(tmp_path)
    texts = [] if is_first else ["one"]
    for text in texts:
        tract.commit(user(text))
    refuse_once(tract, "refused", call, place)
    tract.commit(user("two"))
    refuse_once(tract, "refused too", call, place)
    lose_loose_files(tmp_path)
    for _ in range(2):
        with Tract.open(tmp_path) as tract:
            assert [message.content for message in tract.compile().messages] == [*texts, "two"]
            assert (tract.status().pending, tract.status().other_heads) == ((), ())


def test_a_transaction_whose_writer_was_killed_comes_back_whole_and_beside_the_line_if_at_all(tmp_path: Path) -> None:
    tract = Tract.open(tmp_path)
    made = [tract.commit(user("first")).commit_hash]
    before = files_of(str(tmp_path))
    log = own_place(tmp_path) / "redo"
    with tract.batch():
        for number in range(3):
            tract.commit(user(f"its writer is killed {number}"))
    written = log.read_bytes()
    for name, full in files_of(str(tmp_path)).items():
        if name not in before:
            full.unlink()
    with Tract.open(tmp_path, verify=True) as tract:
        made.append(tract.commit(user("second")).commit_hash)
    assert log.read_bytes().startswith(written)
    lose_loose_files(tmp_path)
    with Tract.open(tmp_path) as tract:
        assert [info.commit_hash for info in tract.log()][::-1] == made
        for other in tract.status().other_heads:
            texts = [message.content for message in tract.compile(at_commit=other).messages]
            assert texts == ["first", *(f"its writer is killed {number}" for number in range(3))]


@pytest.mark.parametrize("durability", ["fast", "durable"], ids=["fast commits", "what a copy brought"])
def test_durable_commits_on_top_of_what_is_not_durable_here_are_durable_with_it(
    tmp_path: Path, durability: Literal["fast", "durable"]
) -> None:
    written = tmp_path / ("here" if durability == "fast" else "other")
    with Tract.open(written, durability=durability) as tract:
        made = [tract.commit(user(text)).commit_hash for text in ("one", "two")]
    if durability == "durable":
        shutil.copytree(written, tmp_path / "here", ignore=shutil.ignore_patterns("local"))
    with Tract.open(tmp_path / "here") as tract:
        synced: list[list[int]] = []
        trap = Recorder(0, die, str(tmp_path / "here"), lambda line: synced.extend(json.loads(line)["synced"]))
        with set_trap(trap):
            made.append(tract.commit(user("three, durable")).commit_hash)
        cut_what_is_not_in(tmp_path / "here", synced)
    require_whole(str(tmp_path / "here"), made)


@pytest.mark.parametrize("left", [b"", b"\0" * 34], ids=["empty", "zeros"])
def test_a_new_store_opens_after_a_power_cut_right_after_its_first_commit(tmp_path: Path, left: bytes) -> None:
    synced: list[list[int]] = []
    trap = Recorder(0, die, str(tmp_path), lambda line: synced.extend(json.loads(line)["synced"]))
    with set_trap(trap):
        made = [Tract.open(tmp_path).commit(user("first")).commit_hash]
    inodes = {inode for inode, _ in synced}
    for name in TEXT_FILES:
        if (tmp_path / ".tract" / name).stat().st_ino not in inodes:
            replace(tmp_path / ".tract" / name, left)
    cut_what_is_not_in(tmp_path, synced)
    require_whole(str(tmp_path), made)


def test_a_read_only_open_after_a_power_cut_tells_of_it_and_writes_nothing(tmp_path: Path) -> None:
    made = write_twelve(tmp_path)
    start_anew(tmp_path)
    lost = max(
        (full for name, full in files_of(str(tmp_path)).items() if name.startswith("events")),
        key=lambda full: json.loads(full.read_bytes())["event"]["at"],
    )  # the usage
    lost.unlink()
    before = sorted(str(full) for full in tmp_path.rglob("*"))
    with Tract.open(tmp_path, read_only=True) as tract:
        assert tract.status().needs_recovery
        assert "a power cut left work to finish: open the store once for writing" in tract.status().advice
        assert [info.commit_hash for info in tract.log(None)][::-1] == made
    assert sorted(str(full) for full in tmp_path.rglob("*")) == before
    with Tract.open(tmp_path) as tract:
        assert tract.compile().token_source == "api:90+9"
        assert not tract.status().needs_recovery


def test_a_refused_commit_takes_nothing_away_from_another_tract_that_has_the_same(tmp_path: Path) -> None:
    clock = lambda: 1_767_323_045_000_000  # noqa: E731 - one moment for both tracts, so that their commits are equal
    one = Tract.open(tmp_path, tract_id="one", durability="fast", clock=clock)
    other = Tract.open(tmp_path, tract_id="other", durability="fast", clock=clock)
    made = one.commit(user("the same")).commit_hash
    refuse_once(other, "the same", "rename", "/events/")
    assert other.head is None
    with Tract.open(tmp_path, tract_id="one") as tract:
        assert [info.commit_hash for info in tract.log()] == [made]
        assert tract.compile().messages[0].content == "the same"
    assert other.commit(user("the same")).commit_hash == made


# ---------------------------------------------------------------------------------------------------------------------
# A disk that fails to sync


class FailingDisk(Trap):
    """A disk whose next syncs fail; notes which files are synced."""

    def __init__(self, failures: int) -> None:
        super().__init__(0, die)
        self.failures = failures
        self.inodes: list[int] = []

    def perform(self, name: str, real: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if name == "fdatasync":
            self.inodes.append(os.fstat(args[0]).st_ino)
            if self.failures:
                self.failures -= 1
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(*args, **kwargs)


def test_a_sync_that_failed_is_done_once_more_on_another_file_and_never_again_on_that_one(tmp_path: Path) -> None:
    tract = Tract.open(tmp_path)
    made = [tract.commit(user("first")).commit_hash]
    failed = (own_place(tmp_path) / "redo").stat().st_ino
    with set_trap(FailingDisk(1)) as disk:
        made += [tract.commit(user(text)).commit_hash for text in ("second", "third")]
    assert disk.inodes[0] == failed
    assert len(disk.inodes) == 3
    assert failed not in disk.inodes[1:]
    (own_place(tmp_path) / "redo").write_bytes(b"")  # the disk lost it
    lose_loose_files(tmp_path)
    require_whole(str(tmp_path), made)


def test_a_handle_whose_syncs_fail_twice_says_so_and_writes_no_more(tmp_path: Path) -> None:
    tract = Tract.open(tmp_path)
    made = [tract.commit(user("first")).commit_hash]
    with set_trap(FailingDisk(2)), pytest.raises(CommitUncertain, match="Input/output error"):
        tract.commit(user("second"))
    with pytest.raises(ReadOnlyError, match="the disk failed to make a commit durable"):
        tract.commit(user("third"))
    assert [info.commit_hash for info in tract.log(None)][-1:] == made
    tract.close()
    require_goes_on(str(tmp_path), made)


# ---------------------------------------------------------------------------------------------------------------------
# How often it waits for the disk

NEW_LOG = 5  # once in a store's life: the marker of the place, and the directories above its first redo log
SYNCS = ("fsync", "fdatasync", "syncfs", "sync_file_range", "sync", "msync")
WRITE = """
import sys
from tract_fs import DialogueContent, Tract
path, durability, transactions, size, length = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
tract = Tract.open(path, durability=durability)
for number in range(transactions):
    text = f"{number} " + "x" * length
    if size == 1:
        tract.commit(DialogueContent(role="user", text=text), generation_config={"temperature": 0.5})
        continue
    with tract.batch():
        for member in range(size):
            tract.commit(DialogueContent(role="user", text=f"{member} {text}"))
tract.close()
"""


def count_syncs(path: Path, durability: str, *, transactions: int, size: int = 1, length: int = 10) -> Counter[str]:
    """Returns how often each way to wait for the disk is called by `transactions` of `size` commits and a close."""
    with Tract.open(path) as tract:
        tract.flush()  # what making a store waits for is not counted
    report = path / "strace.txt"
    command = ["strace", "-f", "-qq", "-e", f"trace={','.join(SYNCS)}", "-o", str(report)]
    arguments = [str(path), durability, str(transactions), str(size), str(length)]
    done = subprocess.run([*command, sys.executable, "-c", WRITE, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with Tract.open(path) as tract:
        assert tract.status().commit_count == transactions * size
    calls = Counter(re.findall(r"^\d+ +(\w+)\(", report.read_text(), re.MULTILINE))
    print(durability, transactions, "transactions of", size, "commits and a close:", dict(calls))
    return calls


@pytest.mark.needs("strace")
def test_a_thousand_durable_commits_and_a_close_wait_a_thousand_times_and_for_the_checkpoint(tmp_path: Path) -> None:
    calls = count_syncs(tmp_path, "durable", transactions=1000, length=1000)  # the log grows past 1 MiB
    assert calls.pop("fdatasync") == 1000
    assert calls.pop("syncfs") == 1
    assert calls.pop("fsync") == NEW_LOG + 2  # the names of the first log; the new log of the checkpoint, and its name
    assert not calls


@pytest.mark.needs("strace")
def test_a_thousand_short_durable_commits_and_a_close_wait_a_thousand_times(tmp_path: Path) -> None:
    assert count_syncs(tmp_path, "durable", transactions=700) == {"fsync": NEW_LOG, "fdatasync": 700}


@pytest.mark.needs("strace")
def test_a_durable_batch_waits_once(tmp_path: Path) -> None:
    assert count_syncs(tmp_path, "durable", transactions=20, size=10) == {"fsync": NEW_LOG, "fdatasync": 20}


@pytest.mark.needs("strace")
def test_a_durable_batch_that_makes_a_pack_waits_for_the_pack_its_directory_and_the_log(tmp_path: Path) -> None:
    assert count_syncs(tmp_path, "durable", transactions=5, size=100) == {"fsync": NEW_LOG + 10, "fdatasync": 5}


@pytest.mark.needs("strace")
def test_a_durable_commit_over_1_mib_waits_for_the_file_its_directory_and_the_log(tmp_path: Path) -> None:
    assert count_syncs(tmp_path, "durable", transactions=3, length=1 << 20) == {"fsync": NEW_LOG + 6, "fdatasync": 3}


@pytest.mark.parametrize("size, length", [(1, 1000), (100, 10), (1, 1 << 20)], ids=["commits", "batches", "long"])
@pytest.mark.needs("strace")
def test_fast_commits_never_wait(tmp_path: Path, size: int, length: int) -> None:
    transactions = 1000 if length == 1000 else 5
    assert count_syncs(tmp_path, "fast", transactions=transactions, size=size, length=length) == {}


# ---------------------------------------------------------------------------------------------------------------------
# Without local/


def write_variously(tract: Tract, label: str) -> None:
    """Writes appends, edits, annotations, batches that last and one that does not, a pack, tool calls, and usage."""
    first = tract.commit(user(f"{label} first"), generation_config={"model": "m-1", "temperature": 0.5})
    second = tract.commit(user(f"{label} second"), generation_config={"model": "m-2", "temperature": 1})
    with tract.batch():
        tract.edit(first.commit_hash, user(f"{label} first, edited"), generation_config={})
        tract.annotate(second.commit_hash, "skip", reason="too long")
    with pytest.raises(RuntimeError), tract.batch():
        tract.commit(user(f"{label} dropped"))
        raise RuntimeError
    for direction in ("call", "result"):
        tract.commit(ToolIOContent(tool_name="search", direction=direction, payload={"q": 1}, call_id=f"{label}-1"))
    tract.record_usage({"input_tokens": 40, "output_tokens": 4})
    with tract.batch():
        for number in range(70):  # over 64 objects: a pack
            tract.commit(user(f"{label} member {number}"), generation_config={"model": "m-1", "seed": number})
    tract.annotate(second.commit_hash, "normal")
    tract.edit(second.commit_hash, user(f"{label} second, edited"), message="shorter", metadata={"by": [1, {"two": 2}]})
    tract.record_usage({"prompt_tokens": 400, "completion_tokens": 5, "total_tokens": 405})


def one_line(path: Path) -> Tract:
    """Two tracts written by one copy; the redo log was never flushed."""
    with Tract.open(path, tract_id="second", clock=Clock(2_000_000_000_000)) as tract:
        write_variously(tract, "second")
    tract = Tract.open(path, clock=Clock(1_000_000_000_000))
    write_variously(tract, "default")
    return tract


def two_heads(path: Path) -> Tract:
    """Two copies that both went on, and then had each other's files; the line of this one is the newer."""
    return diverge(path, mine_s=3_000_000, theirs_s=2_000_000)


def two_heads_of_which_this_copy_has_the_older(path: Path) -> Tract:
    """As above, but a copy without `local/` takes the other line for its own."""
    return diverge(path, mine_s=2_000_000, theirs_s=3_000_000)


def diverge(path: Path, *, mine_s: int, theirs_s: int) -> Tract:
    with Tract.open(path, clock=Clock(1_000_000_000_000)) as tract:
        write_variously(tract, "common")
    other = path.with_name("other")
    shutil.copytree(path, other, ignore=shutil.ignore_patterns("local"))
    mine = Tract.open(path, clock=Clock(mine_s * 1_000_000))
    write_variously(mine, "mine")
    with Tract.open(other, clock=Clock(theirs_s * 1_000_000)) as theirs:
        write_variously(theirs, "theirs")
        theirs.commit(user("the last word"), generation_config={"seed": 7})
    bring_files(other, path)
    mine.refresh()
    return mine


QUERIES = [
    ("model", "=", "m-1"),
    ("model", "!=", "m-1"),
    ("temperature", ">=", 0.5),
    ("seed", "<", 9),
    ("seed", "=", 7),
    ("nothing", "=", None),
]


def answers(tract: Tract) -> dict[str, Any]:
    """Returns what must not depend on `local/`: of each head its history and context, with configs and usage, and queries."""
    status = tract.status()
    heads = sorted([status.head or "", *status.other_heads])
    compiled = {head: tract.compile(at_commit=head) for head in heads}
    return {
        "heads": heads,
        "history": {head: context.commit_hashes for head, context in compiled.items()},
        "messages": {head: context.to_openai() for head, context in compiled.items()},
        "configs": {head: context.generation_configs for head, context in compiled.items()},
        "tokens": {head: (context.token_count, context.token_source) for head, context in compiled.items()},
        "warnings": {head: context.warnings for head, context in compiled.items()},
        "queries": [[info.to_dict() for info in tract.query_by_config(*query)] for query in QUERIES],
        "pending": (status.pending, status.damaged, status.strays),
    }


@pytest.mark.parametrize("make", [one_line, two_heads, two_heads_of_which_this_copy_has_the_older])
def test_a_store_answers_the_same_without_local(tmp_path: Path, make: Callable[[Path], Tract]) -> None:
    path = tmp_path / "store"
    tract = make(path)
    head, log, before = tract.head, [info.to_dict() for info in tract.log(None)], answers(tract)
    assert len(before["heads"]) == (1 if make is one_line else 2)
    assert all(len(found) > 0 for found in before["queries"][:-1])
    assert {source for _, source in before["tokens"].values()} <= {"api:400+5", "estimate:utf8/4"}
    assert (own_place(path) / "redo").stat().st_size > 10_000
    shutil.rmtree(path / ".tract" / "local")
    with Tract.open(path) as fresh:
        if make is not two_heads_of_which_this_copy_has_the_older:
            assert fresh.head == head
            assert [info.to_dict() for info in fresh.log(None)] == log
        assert answers(fresh) == before
    with Tract.open(path, read_only=True) as fresh:
        assert answers(fresh) == before
    assert answers(tract) == before  # the handle that was open all the time
    if make is one_line:
        with Tract.open(path, tract_id="second") as second:
            assert second.compile().token_source == "api:400+5"
            assert second.compile().messages[-1].content == "second member 69"


@pytest.mark.parametrize("make", [one_line, two_heads])
def test_every_file_outside_local_but_three_texts_is_named_by_its_sha256sum(
    tmp_path: Path, make: Callable[[Path], Tract]
) -> None:
    path = tmp_path / "store"
    make(path).close()
    root = path / ".tract"
    names = sorted(
        str(full.relative_to(root))
        for full in root.rglob("*")
        if full.is_file() and full.parts[len(root.parts)] != "local"
    )
    assert {name for name in names if "/" not in name} == {"FORMAT", ".gitattributes", ".gitignore"}
    hashed = [name for name in names if "/" in name]
    told = subprocess.run(["sha256sum", "--", *hashed], cwd=root, capture_output=True, text=True, check=True).stdout
    for line in told.splitlines():
        digest, name = line.split(maxsplit=1)
        assert name in (
            f"objects/{digest[:2]}/{digest[2:]}",
            f"events/default/{digest[:2]}/{digest[2:]}",
            f"events/second/{digest[:2]}/{digest[2:]}",
            f"packs/{digest}",
        )
    assert len(told.splitlines()) == len(hashed) > 40


if __name__ == "__main__":
    serve({function.__name__: function for function in WORK})
