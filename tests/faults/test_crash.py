"""A writer may die at any moment: what it acknowledged is there afterwards, and nothing is there by half.

Writers die before, or in the middle of, each call in turn that changes the disk, and at random moments. They are forked by a
process of their own (`python -m tests.faults.test_crash`), so that no thread of the test runner is forked along.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.lab.states import prove_places, with_full_path
from tract_fs import DialogueContent, Tract
from tract_fs.store import files

ROOT = Path(__file__).resolve().parents[2]
TEXT_FILES = {"FORMAT", ".gitattributes", ".gitignore"}
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a kill takes nothing from there either
sync_filesystem = files.sync_filesystem
CHANGES = {"open", "write", "rename", "unlink", "rmdir", "ftruncate", "fsync", "fdatasync", "makedirs", "mkdir"}
Strike = Callable[[str, Callable[..., Any], tuple[Any, ...]], None]
Acknowledge = Callable[[str], None]
Scenario = Callable[[str, str, Acknowledge], None]


# ---------------------------------------------------------------------------------------------------------------------
# Striking at a call


class Trap:
    """Stands in for the module `os` where the package touches the disk; strikes at the n-th call that changes it.

    A strike in the middle of a call counts the calls that have a middle.
    """

    def __init__(self, number: int, strike: Strike) -> None:
        self.number = number
        self.strike = strike
        self.counted = {"write"} if strike is die_halfway else {*CHANGES, "syncfs"}
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in CHANGES:
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            if name == "open" and not args[1] & os.O_CREAT:
                return real(*args, **kwargs)
            args = with_full_path(args, kwargs)
            self.step(name, partial(real, **kwargs), args)
            return self.perform(name, real, args, kwargs)

        return call

    def step(self, name: str, real: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.count += name in self.counted
        if self.count == self.number and name in self.counted:
            self.strike(name, real, args)

    def perform(self, name: str, real: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Makes the call, unless it only waits for the disk: a kill takes nothing from the page cache."""
        return None if name in ("fsync", "fdatasync") else real(*args, **kwargs)

    def sync_filesystem(self, path: str) -> None:
        """Stands in for the checkpoint's call, which is not made by way of `os`."""
        self.step("syncfs", sync_filesystem, (path,))


def die(_name: str, _real: Callable[..., Any], _args: tuple[Any, ...]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_halfway(name: str, real: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Lets half of a write reach the file, as a kill in the middle of a long write does."""
    assert name == "write"
    real(args[0], bytes(args[1])[: len(args[1]) // 2])
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt(_name: str, _real: Callable[..., Any], _args: tuple[Any, ...]) -> None:
    raise KeyboardInterrupt


def interrupt_after(_name: str, real: Callable[..., Any], args: tuple[Any, ...]) -> None:
    real(*args)
    raise KeyboardInterrupt


def fill_the_disk(name: str, real: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Half a write, then no space; other calls fail at once."""
    if name == "write":
        real(args[0], bytes(args[1])[: len(args[1]) // 2])
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def set_trap(trap: Trap) -> Iterator[Trap]:
    files.os = trap  # type: ignore[attr-defined]
    files.sync_filesystem = trap.sync_filesystem
    try:
        yield trap
    finally:
        files.os = os  # type: ignore[attr-defined]
        files.sync_filesystem = sync_filesystem


# ---------------------------------------------------------------------------------------------------------------------
# What writers do


def say(text: str) -> DialogueContent:
    return DialogueContent(role="user", text=text)


OPENED: list[Tract] = []


def open_tract(path: str, durability: str) -> Tract:
    """Opens a handle that nobody closes, as a writer that dies leaves it; `close_all` does where the process lives on."""
    OPENED.append(Tract.open(path, durability=durability))  # type: ignore[arg-type]
    return OPENED[-1]


def close_all() -> None:
    while OPENED:
        OPENED.pop().close()


def open_and_commit_two(path: str, durability: str, acknowledge: Acknowledge) -> None:
    tract = open_tract(path, durability)
    for number in range(2):
        acknowledge(tract.commit(say(f"single {number}")).commit_hash)


def commit_a_long_one(path: str, durability: str, acknowledge: Acknowledge) -> None:
    tract = open_tract(path, durability)
    acknowledge(tract.commit(say("long " * 300_000)).commit_hash)  # over 1 MiB: bypasses the redo log


def commit_batch(path: str, durability: str, acknowledge: Acknowledge, *, size: int) -> None:
    tract = open_tract(path, durability)
    label = os.urandom(4).hex()
    with tract.batch():
        made = [tract.commit(say(f"batch {label} {number} of {size}")).commit_hash for number in range(size)]
    for name in made:
        acknowledge(name)


def commit_batch_of_3(path: str, durability: str, acknowledge: Acknowledge) -> None:
    commit_batch(path, durability, acknowledge, size=3)


def commit_batch_of_100(path: str, durability: str, acknowledge: Acknowledge) -> None:
    commit_batch(path, durability, acknowledge, size=100)


def annotate_and_tell_usage(path: str, durability: str, acknowledge: Acknowledge) -> None:
    tract = open_tract(path, durability)
    note = tract.annotate(tract.log(1)[0].commit_hash, "pinned")
    assert note.commit_hash is not None
    acknowledge(note.commit_hash)
    tract.record_usage({"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12})


def commit_flush_and_close(path: str, durability: str, acknowledge: Acknowledge) -> None:
    tract = open_tract(path, durability)
    acknowledge(tract.commit(say("before the flush")).commit_hash)
    tract.flush()
    acknowledge(tract.commit(say("after the flush")).commit_hash)
    tract.compile()
    tract.query_by_config("seed", "=", 1)
    tract.close()


def write_without_local(path: str, durability: str, acknowledge: Acknowledge) -> None:
    shutil.rmtree(os.path.join(path, ".tract", "local"))
    open_and_commit_two(path, durability, acknowledge)


def pack_commit_and_pack(path: str, durability: str, acknowledge: Acknowledge) -> None:
    tract = open_tract(path, durability)
    tract.pack()
    for number in range(4):  # more than there was, so that the first pack is written again
        acknowledge(tract.commit(say(f"between the packings {number}")).commit_hash)
    assert len(tract.pack().packs_removed) == 1


SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        open_and_commit_two,
        commit_a_long_one,
        commit_batch_of_3,
        commit_batch_of_100,
        annotate_and_tell_usage,
        commit_flush_and_close,
        write_without_local,
        pack_commit_and_pack,
    )
}


def make_template(path: str, durability: str) -> list[str]:
    """Makes a store of three commits, whose last handle was never closed."""
    acknowledged: list[str] = []
    open_and_commit_two(path, durability, acknowledged.append)
    tract = open_tract(path, durability)
    acknowledged.append(tract.commit(say("third"), generation_config={"seed": 1}).commit_hash)
    return acknowledged


# ---------------------------------------------------------------------------------------------------------------------
# What must hold afterwards


def files_of(path: str) -> dict[str, Path]:
    """Returns the files of a store outside `local/`, less the three text files: relative name to path."""
    root = Path(path, ".tract")
    found = {}
    for folder, folders, names in os.walk(root):
        if Path(folder) == root and "local" in folders:
            folders.remove("local")
        for name in names:
            full = Path(folder, name)
            if name not in TEXT_FILES:
                found[str(full.relative_to(root))] = full
    return found


def require_whole(path: str, acknowledged: list[str], *, is_power_cut: bool = False) -> list[str]:
    """Checks the store at `path` through a fresh handle; returns its history, root first.

    What was not acknowledged may stand beside the line after a power cut, whole, or lie there as a damaged file.
    """
    with Tract.open(path, durability="fast") as tract:
        status = tract.status()
        assert not status.pending, status
        assert is_power_cut or not (status.damaged or status.other_heads), status
        infos = tract.log(None)[::-1]
        line = [info.commit_hash for info in infos]
        assert [info.parents for info in infos] == [(), *((name,) for name in line[:-1])][: len(line)]
        lost = [name for name in acknowledged if name not in set(line)]
        assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged commits are lost"
        batches: dict[str, tuple[int, int]] = {}
        for info in infos:
            if info.content_hash is None:
                continue
            words = tract.get_content(info.commit_hash).text.split()
            if words[0] == "batch":
                batches[words[1]] = (batches.get(words[1], (0, 0))[0] + 1, int(words[-1]))
        halves = {label: count for label, count in batches.items() if count[0] != count[1]}
        assert not halves, f"batches that are there by half: {halves}"
        shown = [name for name, info in zip(line, infos, strict=True) if info.content_hash is not None]
        assert tract.compile().commit_hashes == shown
    return line


def require_goes_on(path: str, acknowledged: list[str]) -> None:
    """Checks that the store takes one more commit, which others see, and that its files are named by their hashes."""
    line = require_whole(path, acknowledged)
    with Tract.open(path, durability="fast", lock_timeout_s=1.0) as tract:
        after = tract.commit(say("after")).commit_hash
        assert require_whole(path, [*acknowledged, after]) == [*line, after]
    for name, full in files_of(path).items():
        if full.name.startswith("."):
            continue  # what a killed writer had not renamed yet
        digest = hashlib.sha256(full.read_bytes()).hexdigest()
        assert "".join(name.split(os.sep))[-64:] == digest, name


# ---------------------------------------------------------------------------------------------------------------------
# Killing


def run_child(work: Callable[[Callable[[bytes], None]], None]) -> tuple[int, list[str]]:
    """Runs `work` in a forked child; returns how it ended (negative: by a signal) and the lines that it told."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            work(lambda line: void(os.write(writer, line + b"\n")))
            code = 0
        except BaseException as error:
            with suppress(OSError):
                os.write(writer, f"error {error!r}\n".encode())
        finally:
            os._exit(code)
    os.close(writer)
    lines = read_lines(reader)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, lines


def void(_result: object) -> None:
    """Drops a result."""


def read_lines(reader: int) -> list[str]:
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    return [line.decode() for line in data.split(b"\n")[:-1]]


def kill_at_each_call(scenario_name: str, durability: str, *, removes_local: bool) -> dict[str, int]:
    """Kills the scenario's writer before each call that changes the disk, and amid each write; checks the store each time."""
    scenario = SCENARIOS[scenario_name]
    kills = 0
    with tempfile.TemporaryDirectory(prefix="tract-crash-", dir=MEMORY) as folder:
        template = os.path.join(folder, "template")
        code, before = run_child(lambda tell: tell("\n".join(make_template(template, durability)).encode()))
        assert code == 0, before
        for strike in (die, die_halfway):
            code = -signal.SIGKILL
            number = 0
            while code:
                number += 1
                path = os.path.join(folder, "store")
                shutil.copytree(template, path)
                prove_places(Path(path))
                code, acknowledged = run_trapped(scenario, path, durability, number, strike)
                if removes_local:
                    shutil.rmtree(os.path.join(path, ".tract", "local"), ignore_errors=True)
                with told_on_failure(f"{strike.__name__} at call {number}"):
                    require_goes_on(path, before + acknowledged)
                shutil.rmtree(path)
            kills += number - 1
    return {"kills": kills}


@contextmanager
def told_on_failure(what: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        print(what, file=sys.stderr)
        raise


def run_trapped(scenario: Scenario, path: str, durability: str, number: int, strike: Strike) -> tuple[int, list[str]]:
    """Runs a scenario in a child that is struck at its n-th call; returns how it ended and what it acknowledged."""

    def work(tell: Callable[[bytes], None]) -> None:
        with set_trap(Trap(number, strike)):
            scenario(path, durability, lambda name: tell(name.encode()))

    code, lines = run_child(work)
    assert code in (0, -signal.SIGKILL), lines
    return code, lines


def kill_while_making_a_store(durability: str) -> dict[str, int]:
    """Kills a writer before each call that changes the disk, from the first directory of a new store on."""
    kills = 0
    with tempfile.TemporaryDirectory(prefix="tract-crash-", dir=MEMORY) as folder:
        for number in range(1, 1000):
            path = os.path.join(folder, str(number))
            code, acknowledged = run_trapped(open_and_commit_two, path, durability, number, die)
            require_goes_on(path, acknowledged)
            if code == 0:
                assert len(acknowledged) == 2
                break
            kills += 1
            shutil.rmtree(path)
    return {"kills": kills}


def write_for_ever(path: str, durability: str, size: int, tell: Callable[[bytes], None]) -> None:
    """Commits without end, one by one or in batches of `size`; tells each hash once it is acknowledged."""
    tract = Tract.open(path, durability=durability)  # type: ignore[arg-type]
    while True:
        if size == 1:
            tell(tract.commit(say("single")).commit_hash.encode())
            continue
        label = os.urandom(4).hex()
        with tract.batch():
            made = [tract.commit(say(f"batch {label} {number} of {size}")).commit_hash for number in range(size)]
        tell("\n".join(made).encode())


def kill_at_random(durability: str, size: int, *, rounds: int, removes_local: bool, seed: int) -> dict[str, int]:
    """Kills a writer that commits without end, `rounds` times on one store."""
    chance = random.Random(seed)
    acknowledged: list[str] = []
    longest = 0
    with tempfile.TemporaryDirectory(prefix="tract-crash-") as folder:
        path = os.path.join(folder, "context")
        for number in range(rounds):
            lives = [chance.uniform(0.0, 0.03)]
            works = [lambda tell: write_for_ever(path, durability, size, tell)]
            lines = run_and_kill(works, lives, waits_for_one=number % 2 == 0)
            acknowledged += lines
            longest = max(longest, len(lines))
            if removes_local:
                shutil.rmtree(os.path.join(path, ".tract", "local"), ignore_errors=True)
            require_whole(path, acknowledged)
        require_goes_on(path, acknowledged)
    return {"rounds": rounds, "acknowledged": len(acknowledged), "most_in_a_round": longest}


def kill_one_of_several(durability: str, *, rounds: int, seed: int) -> dict[str, int]:
    """Lets three writers commit to one branch at once, one by one and in batches; kills each at a moment of its own."""
    chance = random.Random(seed)
    acknowledged: list[str] = []
    with tempfile.TemporaryDirectory(prefix="tract-crash-") as folder:
        path = os.path.join(folder, "context")
        Tract.open(path).close()
        for _ in range(rounds):
            writers = [lambda tell, size=size: write_for_ever(path, durability, size, tell) for size in (1, 1, 3)]
            lives = [chance.uniform(0.0, 0.06) for _ in writers]
            acknowledged += run_and_kill(writers, lives, waits_for_one=True)
            require_whole(path, acknowledged)
        require_goes_on(path, acknowledged)
    return {"rounds": rounds, "acknowledged": len(acknowledged)}


def run_and_kill(
    works: list[Callable[[Callable[[bytes], None]], None]], lives_s: list[float], *, waits_for_one: bool
) -> list[str]:
    """Forks a child for each work and kills each at the end of its life; returns all lines told.

    Lives are counted from the fork, or from the first line that the first child tells.
    """
    children = []
    for work, life_s in zip(works, lives_s, strict=True):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            try:
                work(lambda line, writer=writer: void(os.write(writer, line + b"\n")))  # type: ignore[misc]
            except BaseException as error:
                os.write(writer, f"error {error!r}\n".encode())
            finally:
                os._exit(1)
        os.close(writer)
        children.append((life_s, child, reader))
    if waits_for_one:
        select.select([children[0][2]], [], [], 30.0)
    started = time.monotonic()
    lines = []
    for life_s, child, reader in sorted(children):
        time.sleep(max(0.0, started + life_s - time.monotonic()))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lines += read_lines(reader)
    errors = [line for line in lines if line.startswith("error")]
    assert not errors, errors
    return lines


# ---------------------------------------------------------------------------------------------------------------------
# Tests


WORK = (kill_at_each_call, kill_while_making_a_store, kill_at_random, kill_one_of_several)


class Lab:
    """A process of one thread that calls functions of a test module; it may fork and kill."""

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Calls a function there and returns its JSON answer, which is printed; fails with its traceback if it fails."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([function.__name__, args, options]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer["error"]
        print(function.__name__, *args, answer["result"])
        return answer["result"]

    def close(self) -> None:
        self._process.communicate()


def serve(functions: dict[str, Any]) -> None:
    """Answers the calls of a Lab until its input ends."""
    for line in sys.stdin:
        name, args, options = json.loads(line)
        try:
            answer = {"result": functions[name](*args, **options)}
        except BaseException:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    lab = Lab("tests.faults.test_crash")
    yield lab
    lab.close()


@pytest.mark.parametrize("durability", ["fast", "durable"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kill_at_any_call_loses_nothing_acknowledged(lab: Lab, scenario: str, durability: str) -> None:
    done = lab(kill_at_each_call, scenario, durability, removes_local=False)
    assert done["kills"] >= 20


@pytest.mark.parametrize(
    "scenario", ["open_and_commit_two", "commit_batch_of_3", "commit_batch_of_100", "annotate_and_tell_usage"]
)
def test_a_kill_at_any_call_loses_nothing_acknowledged_without_local(lab: Lab, scenario: str) -> None:
    done = lab(kill_at_each_call, scenario, "fast", removes_local=True)
    assert done["kills"] >= 20


@pytest.mark.parametrize("durability", ["fast", "durable"])
def test_a_kill_at_any_call_while_a_store_is_made_leaves_one_that_opens(lab: Lab, durability: str) -> None:
    assert lab(kill_while_making_a_store, durability)["kills"] >= 20


@pytest.mark.parametrize("removes_local", [False, True], ids=["with_local", "without_local"])
@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize("durability", ["fast", "durable"])
def test_a_kill_at_a_random_moment_loses_nothing_acknowledged(
    lab: Lab, durability: str, size: int, removes_local: bool
) -> None:
    done = lab(kill_at_random, durability, size, rounds=10, removes_local=removes_local, seed=size)
    assert done["acknowledged"] >= 5


@pytest.mark.parametrize("durability", ["fast", "durable"])
def test_writers_killed_beside_others_lose_nothing_acknowledged(lab: Lab, durability: str) -> None:
    assert lab(kill_one_of_several, durability, rounds=8, seed=1)["acknowledged"] >= 8


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("removes_local", [False, True], ids=["with_local", "without_local"])
@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize("durability", ["fast", "durable"])
def test_many_kills_at_random_moments_lose_nothing_acknowledged(
    lab: Lab, durability: str, size: int, removes_local: bool, seed: int
) -> None:
    lab(kill_at_random, durability, size, rounds=100, removes_local=removes_local, seed=seed)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("durability", ["fast", "durable"])
def test_many_writers_killed_beside_others_lose_nothing_acknowledged(lab: Lab, durability: str, seed: int) -> None:
    lab(kill_one_of_several, durability, rounds=60, seed=seed)


@pytest.fixture
def in_memory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tract-crash-", dir=MEMORY) as folder:
        yield Path(folder)


def strike_each_call(folder: Path, scenario: Scenario, durability: str, strike: Strike) -> int:
    """Strikes at each call in turn within one process that lives on; returns how many calls there were."""
    template = str(folder / "template")
    before = make_template(template, durability)
    number = 0
    while True:
        number += 1
        path = str(folder / str(number))
        shutil.copytree(template, path)
        prove_places(Path(path))
        acknowledged = list(before)
        tract = Tract.open(path, durability=durability)  # type: ignore[arg-type]
        tract.compile()
        is_struck = False
        with set_trap(Trap(number, strike)) as trap:
            try:
                scenario(path, durability, acknowledged.append)
            except (KeyboardInterrupt, OSError):
                is_struck = True
        after = tract.commit(say("by the handle that stood by")).commit_hash
        require_goes_on(path, [*acknowledged, after])
        tract.close()
        close_all()
        shutil.rmtree(path)
        if trap.count < number:
            assert not is_struck
            return number - 1


@pytest.mark.parametrize("durability", ["fast", "durable"])
@pytest.mark.parametrize("strike", [interrupt, interrupt_after], ids=lambda strike: strike.__name__)
@pytest.mark.parametrize("scenario", ["open_and_commit_two", "commit_batch_of_3", "commit_batch_of_100"])
def test_an_interrupt_at_any_call_leaves_the_store_whole_and_unlocked(
    in_memory: Path, scenario: str, strike: Strike, durability: str
) -> None:
    assert strike_each_call(in_memory, SCENARIOS[scenario], durability, strike) >= 10


@pytest.mark.parametrize("durability", ["fast", "durable"])
@pytest.mark.parametrize("scenario", ["open_and_commit_two", "commit_batch_of_3", "commit_batch_of_100"])
def test_a_full_disk_at_any_call_leaves_the_store_whole_and_unlocked(
    in_memory: Path, scenario: str, durability: str
) -> None:
    assert strike_each_call(in_memory, SCENARIOS[scenario], durability, fill_the_disk) >= 10


@pytest.mark.parametrize("durability", ["fast", "durable"])
@pytest.mark.parametrize("strike", [interrupt, interrupt_after, fill_the_disk], ids=lambda strike: strike.__name__)
def test_a_handle_goes_on_after_a_commit_that_failed_at_any_call(
    in_memory: Path, strike: Strike, durability: str
) -> None:
    number = 0
    while True:
        number += 1
        path = str(in_memory / str(number))
        tract = Tract.open(path, durability=durability)  # type: ignore[arg-type]
        acknowledged = [tract.commit(say("first")).commit_hash]
        is_refused = False
        with set_trap(Trap(number, strike)) as trap:
            try:
                acknowledged.append(tract.commit(say("second")).commit_hash)
            except (KeyboardInterrupt, OSError):
                is_refused = True
        acknowledged.append(tract.commit(say("third")).commit_hash)
        line = require_whole(path, acknowledged)
        assert [info.commit_hash for info in tract.log(None)][::-1] == line
        assert len(line) == 3 or (is_refused and len(line) == 2)
        lasting = [name for name in files_of(path) if not os.path.basename(name).startswith(".")]
        assert len(lasting) == 3 * len(line), "a refused commit left an orphan"
        require_goes_on(path, acknowledged)
        tract.close()
        if trap.count < number:
            break
    assert number > 8


def test_what_a_killed_writer_left_unrenamed_is_told_and_stands_in_no_ones_way(tmp_path: Path) -> None:
    path = str(tmp_path)
    with Tract.open(path) as tract:
        first = tract.commit(say("first"))
    assert first.content_hash is not None
    left = tmp_path / ".tract" / "objects" / first.content_hash[:2] / ".left.1.0"
    left.write_bytes(b'{"content":{')
    with Tract.open(path) as tract:
        assert tract.status().strays == (f"objects/{first.content_hash[:2]}/.left.1.0",)
        second = tract.commit(say("second"))
        assert [info.commit_hash for info in tract.log()] == [second.commit_hash, first.commit_hash]


if __name__ == "__main__":
    serve({function.__name__: function for function in WORK})
