"""Writers that may die at any call, and what must hold of their store afterwards."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable

from tests.lab.states import files_of
from tests.lab.stores import AT_ONCE
from tests.lab.talk import user
from tract_fs import Tract

Acknowledge = Callable[[str], None]
Scenario = Callable[[str, str, Acknowledge], None]
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a kill takes nothing from there either

# what writers do


OPENED: list[Tract] = []


def open_unclosed(path: str, durability: str) -> Tract:
    """Opens a handle that nobody closes, as a writer that dies leaves it; `close_all` does where the process lives on."""
    OPENED.append(Tract.open(path, durability=durability))  # type: ignore[arg-type]
    return OPENED[-1]


def close_all() -> None:
    while OPENED:
        OPENED.pop().close()


def open_and_commit_two(path: str, durability: str, acknowledge: Acknowledge) -> None:
    tract = open_unclosed(path, durability)
    for number in range(2):
        acknowledge(tract.commit(user(f"single {number}")).commit_hash)


def commit_a_long_one(path: str, durability: str, acknowledge: Acknowledge) -> None:
    tract = open_unclosed(path, durability)
    acknowledge(tract.commit(user("long " * 300_000)).commit_hash)  # over 1 MiB: bypasses the redo log


def commit_batch(path: str, durability: str, acknowledge: Acknowledge, *, size: int) -> None:
    tract = open_unclosed(path, durability)
    label = os.urandom(4).hex()
    with tract.batch():
        made = [tract.commit(user(f"batch {label} {number} of {size}")).commit_hash for number in range(size)]
    for name in made:
        acknowledge(name)


def commit_batch_of_3(path: str, durability: str, acknowledge: Acknowledge) -> None:
    commit_batch(path, durability, acknowledge, size=3)


def commit_batch_of_100(path: str, durability: str, acknowledge: Acknowledge) -> None:
    commit_batch(path, durability, acknowledge, size=100)


def annotate_and_tell_usage(path: str, durability: str, acknowledge: Acknowledge) -> None:
    tract = open_unclosed(path, durability)
    note = tract.annotate(tract.log(1)[0].commit_hash, "pinned")
    assert note.commit_hash is not None
    acknowledge(note.commit_hash)
    tract.record_usage({"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12})


def commit_flush_and_close(path: str, durability: str, acknowledge: Acknowledge) -> None:
    tract = open_unclosed(path, durability)
    acknowledge(tract.commit(user("before the flush")).commit_hash)
    tract.flush()
    acknowledge(tract.commit(user("after the flush")).commit_hash)
    tract.compile()
    tract.query_by_config("seed", "=", 1)
    tract.close()


def write_without_local(path: str, durability: str, acknowledge: Acknowledge) -> None:
    shutil.rmtree(os.path.join(path, ".tract", "local"))
    open_and_commit_two(path, durability, acknowledge)


def pack_commit_and_pack(path: str, durability: str, acknowledge: Acknowledge) -> None:
    tract = open_unclosed(path, durability)
    tract.pack(keep_loose=AT_ONCE)
    for number in range(4):  # more than there was, so that the first pack is written again
        acknowledge(tract.commit(user(f"between the packings {number}")).commit_hash)
    assert len(tract.pack(keep_loose=AT_ONCE).packs_removed) == 1


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
    tract = open_unclosed(path, durability)
    acknowledged.append(tract.commit(user("third"), generation_config={"seed": 1}).commit_hash)
    return acknowledged


# what must hold afterwards


def require_whole(path: str, acknowledged: list[str], *, is_power_cut: bool = False) -> list[str]:
    """Checks the store at `path` through a fresh handle; returns its history, root first.

    What was not acknowledged may stand beside the line after a power cut, whole, or lie there as damaged files.
    """
    with Tract.open(path, durability="fast") as tract:
        status = tract.status()
        assert is_power_cut or not (status.pending or status.damaged or status.other_heads), status
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
        after = tract.commit(user("after")).commit_hash
        assert require_whole(path, [*acknowledged, after]) == [*line, after]
    for name, full in files_of(path).items():
        if full.name.startswith("."):
            continue  # what a killed writer had not renamed yet
        digest = hashlib.sha256(full.read_bytes()).hexdigest()
        assert "".join(name.split(os.sep))[-64:] == digest, name
