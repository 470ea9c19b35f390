"""A writer may die at any moment: what it acknowledged is there afterwards, and nothing is there by half.

Writers die before, or in the middle of, each call in turn that changes the disk, and at random moments. They are forked by a
process of their own (`python -m tests.faults.test_crash`), so that no thread of the test runner is forked along.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.disk import Strike, Trap, die, die_halfway, fill_the_disk, interrupt, interrupt_after, set_trap
from tests.lab.processes import ForkServer, run_and_kill, run_child, serve, told_on_failure
from tests.lab.states import files_of, prove_places
from tests.lab.talk import user
from tests.lab.writers import (
    MEMORY,
    SCENARIOS,
    Scenario,
    close_all,
    make_template,
    open_and_commit_two,
    require_goes_on,
    require_whole,
)
from tract_fs import Tract
from tract_fs.errors import CommitUncertain

# ---------------------------------------------------------------------------------------------------------------------
# Killing


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
            tell(tract.commit(user("single")).commit_hash.encode())
            continue
        label = os.urandom(4).hex()
        with tract.batch():
            made = [tract.commit(user(f"batch {label} {number} of {size}")).commit_hash for number in range(size)]
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


# ---------------------------------------------------------------------------------------------------------------------
# Tests


WORK = (kill_at_each_call, kill_while_making_a_store, kill_at_random, kill_one_of_several)


@pytest.fixture(scope="module")
def lab() -> Iterator[ForkServer]:
    lab = ForkServer("tests.faults.test_crash")
    yield lab
    lab.close()


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["fast", "durable"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kill_at_any_call_loses_nothing_acknowledged(lab: ForkServer, scenario: str, durability: str) -> None:
    done = lab(kill_at_each_call, scenario, durability, removes_local=False)
    assert done["kills"] >= 15


@pytest.mark.parametrize(
    "scenario", ["open_and_commit_two", "commit_batch_of_3", "commit_batch_of_100", "annotate_and_tell_usage"]
)
def test_a_kill_at_any_call_loses_nothing_acknowledged_without_local(lab: ForkServer, scenario: str) -> None:
    done = lab(kill_at_each_call, scenario, "fast", removes_local=True)
    assert done["kills"] >= 15


@pytest.mark.parametrize("durability", ["fast", "durable"])
def test_a_kill_at_any_call_while_a_store_is_made_leaves_one_that_opens(lab: ForkServer, durability: str) -> None:
    assert lab(kill_while_making_a_store, durability)["kills"] >= 20


@pytest.mark.parametrize("removes_local", [False, True], ids=["with_local", "without_local"])
@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize("durability", ["fast", "durable"])
def test_a_kill_at_a_random_moment_loses_nothing_acknowledged(
    lab: ForkServer, durability: str, size: int, removes_local: bool
) -> None:
    done = lab(kill_at_random, durability, size, rounds=10, removes_local=removes_local, seed=size)
    assert done["acknowledged"] >= 5


@pytest.mark.parametrize("durability", ["fast", "durable"])
def test_writers_killed_beside_others_lose_nothing_acknowledged(lab: ForkServer, durability: str) -> None:
    assert lab(kill_one_of_several, durability, rounds=8, seed=1)["acknowledged"] >= 8


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("removes_local", [False, True], ids=["with_local", "without_local"])
@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize("durability", ["fast", "durable"])
def test_many_kills_at_random_moments_lose_nothing_acknowledged(
    lab: ForkServer, durability: str, size: int, removes_local: bool, seed: int
) -> None:
    lab(kill_at_random, durability, size, rounds=100, removes_local=removes_local, seed=seed)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("durability", ["fast", "durable"])
def test_many_writers_killed_beside_others_lose_nothing_acknowledged(
    lab: ForkServer, durability: str, seed: int
) -> None:
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
            except (KeyboardInterrupt, OSError, CommitUncertain):
                is_struck = True
        after = tract.commit(user("by the handle that stood by")).commit_hash
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
        acknowledged = [tract.commit(user("first")).commit_hash]
        is_refused = False
        with set_trap(Trap(number, strike)) as trap:
            try:
                acknowledged.append(tract.commit(user("second")).commit_hash)
            except (KeyboardInterrupt, OSError, CommitUncertain):
                is_refused = True
        acknowledged.append(tract.commit(user("third")).commit_hash)
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
        first = tract.commit(user("first"))
    assert first.content_hash is not None
    left = tmp_path / ".tract" / "objects" / first.content_hash[:2] / ".left.1.0"
    left.write_bytes(b'{"content":{')
    with Tract.open(path) as tract:
        assert tract.status().strays == (f"objects/{first.content_hash[:2]}/.left.1.0",)
        second = tract.commit(user("second"))
        assert [info.commit_hash for info in tract.log()] == [second.commit_hash, first.commit_hash]


if __name__ == "__main__":
    serve({function.__name__: function for function in WORK})
