"""Many tasks on one store, in batches, with errors, cancellations and threads: each acknowledged commit is kept once, and
no failed batch leaves anything.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from pathlib import Path

import pytest

from tests.lab.talk import user
from tract_fs import AsyncTract, Tract


class Failed(Exception):
    """Ends a batch."""


class Ledger:
    """What the tasks know of their commits, by text."""

    def __init__(self) -> None:
        self.kept: set[str] = set()  # acknowledged
        self.dropped: set[str] = set()  # of batches that raised before their end
        self.either: list[set[str]] = []  # of calls that were cancelled: all of each or none
        self._count = 0

    def text(self) -> str:
        self._count += 1
        return f"text {self._count}"


async def commit(t: AsyncTract, ledger: Ledger) -> None:
    text = ledger.text()
    try:
        await t.commit(user(text))
    except asyncio.CancelledError:
        ledger.either.append({text})
        raise
    ledger.kept.add(text)


async def batch(t: AsyncTract, ledger: Ledger, choice: random.Random) -> None:
    written = {ledger.text() for _ in range(choice.randint(1, 4))}
    is_whole = False
    try:
        async with t.batch() as b:
            await asyncio.gather(*(b.commit(user(text)) for text in sorted(written)))
            await t.log(2)
            if choice.random() < 0.4:
                raise Failed
            is_whole = True
    except Failed:
        ledger.dropped |= written
    except asyncio.CancelledError:
        if is_whole:
            ledger.either.append(written)
        else:
            ledger.dropped |= written
        raise
    else:
        ledger.kept |= written


async def in_thread(path: Path, ledger: Ledger) -> None:
    text = ledger.text()

    def write() -> None:
        with Tract.open(path, durability="fast", lock_timeout_s=60) as t:
            t.commit(user(text))

    try:
        await asyncio.to_thread(write)
    except asyncio.CancelledError:
        ledger.either.append({text})
        raise
    ledger.kept.add(text)


async def act(handles: list[AsyncTract], path: Path, ledger: Ledger, choice: random.Random) -> None:
    t = choice.choice(handles)
    kind = choice.random()
    if kind < 0.5:
        await commit(t, ledger)
    elif kind < 0.85:
        await batch(t, ledger, choice)
    elif kind < 0.9:
        await in_thread(path, ledger)
    else:
        await t.compile()


async def play(path: Path, ledger: Ledger, tasks: int, turns: int, seed: int) -> None:
    opened = [await AsyncTract.open(path, durability="fast", lock_timeout_s=60) for _ in range(2)]

    async def one(number: int) -> None:
        choice = random.Random(f"{seed} {number}")
        for _ in range(turns):
            turn = asyncio.create_task(act(opened, path, ledger, choice))
            if number % 3 == 0:
                await asyncio.sleep(choice.random() * 0.02)
                turn.cancel()
            with suppress(asyncio.CancelledError):
                await turn

    await asyncio.gather(*map(one, range(tasks)))
    for t in opened:
        await t.close()


@pytest.mark.parametrize(
    ("tasks", "turns", "seeds"), [(50, 4, [1]), pytest.param(50, 40, range(2, 12), marks=pytest.mark.campaign)]
)
def test_each_acknowledged_commit_is_kept_and_no_failed_batch_leaves_anything(
    tmp_path: Path, tasks: int, turns: int, seeds: list[int]
) -> None:
    for seed in seeds:
        ledger, path = Ledger(), tmp_path / str(seed)
        asyncio.run(play(path, ledger, tasks, turns, seed))
        with Tract.open(path) as t:
            found = [message.content for message in t.compile().messages]
            assert t.status().other_heads == ()
        line = set(found)
        assert len(line) == len(found)
        assert ledger.kept <= line
        assert not ledger.dropped & line
        assert all(written <= line or not written & line for written in ledger.either)
        assert line <= ledger.kept.union(*ledger.either)
        assert len(ledger.kept) > 50
        assert ledger.dropped
        assert ledger.either
