"""What agent frameworks ask of a store at each turn, of their own savers and of one built on tract_fs.

`python -m benchmarks.framework WORK NAME PATH LEVEL TURNS` does one piece and prints one JSON object of numbers. Packages
are imported and values made before a clock starts; the first turn counts.

- `put`: a step of LangGraph. The state is ten channels of 3 kB, of which one and a counter change at each step; a
  `put_writes` of three writes, then a `put` of the checkpoint. `SqliteSaver` stores the whole state at each put. The saver
  on tract_fs commits one record for each call: that of a checkpoint has the channels that changed, and for the others the
  commits that have them.
- `items`: a session of openai-agents. At each turn `get_items()`, then `add_items()` of three items, by one event loop.

Durable: SQLite's synchronous=FULL, one fdatasync per transaction in tract_fs; `fast`: NORMAL. Answers are checked at the end.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias, cast

from benchmarks.payloads import texts
from benchmarks.stores import disk_use
from tract_fs import AsyncTract, RecordContent, Store
from tract_fs.work.session import Durability

Numbers: TypeAlias = dict[str, float]
State: TypeAlias = dict[str, Any]
Writes: TypeAlias = list[tuple[str, str]]
CHANNELS, CHANNEL_CHARS, ITEMS = 10, 3_000, 3


def states(turns: int) -> list[tuple[State, str, Writes]]:
    """Returns for each turn the state, the channel that changed, and what the step's tasks wrote."""
    corpus = "".join(texts(600))
    source = random.Random(7)

    def value() -> str:
        start = source.randrange(len(corpus) - CHANNEL_CHARS)
        return corpus[start : start + CHANNEL_CHARS]

    state: State = {f"channel-{number}": value() for number in range(CHANNELS)}
    found = []
    for turn in range(turns):
        changed = f"channel-{turn % CHANNELS}"
        state = {**state, changed: value(), "step": turn}
        found.append((state, changed, [(f"write-{number}", state[changed][:200]) for number in range(3)]))
    return found


def put_langgraph(path: str, level: str, turns: int) -> Numbers:
    """The saver's own transactions: one per `put_writes`, one per `put`."""
    from langgraph.checkpoint.base import empty_checkpoint
    from langgraph.checkpoint.base.id import uuid6

    from benchmarks.peer_langgraph import THREAD, open_saver

    given = states(turns)
    connection, saver = open_saver(path, level)
    at = THREAD
    began = time.perf_counter()
    for step, (state, changed, writes) in enumerate(given, 1):
        if step > 1:
            saver.put_writes(at, writes, task_id=str(step))
        checkpoint: Any = {
            **empty_checkpoint(),
            "id": str(uuid6(clock_seq=step)),
            "ts": datetime.now(UTC).isoformat(),
            "channel_values": state,
            "channel_versions": dict.fromkeys(state, step),
        }
        at = saver.put(at, checkpoint, {"source": "loop", "step": step, "parents": {}}, {changed: step})
    seconds = time.perf_counter() - began
    newest = saver.get_tuple(at)
    assert newest is not None
    assert newest.checkpoint["channel_values"] == given[-1][0]
    connection.close()
    return {"turn_us": seconds / turns * 1e6, "bytes": float(os.path.getsize(path))}


def put_tract(path: str, level: str, turns: int) -> Numbers:
    """A commit per `put_writes`, and one per `put`."""
    given = states(turns)
    with Store.open(path, durability=cast(Durability, level)) as store:
        t = store.tract("1")
        held: dict[str, str] = {}
        began = time.perf_counter()
        for step, (state, changed, writes) in enumerate(given, 1):
            if step > 1:
                t.commit(RecordContent("writes", {"task": str(step), "writes": writes}))
            fresh = {name: state[name] for name in ([changed, "step"] if step > 1 else state)}
            data = {"ts": datetime.now(UTC).isoformat(), "versions": dict.fromkeys(state, step), "fresh": fresh}
            made = t.commit(
                RecordContent("checkpoint", {**data, "held": held}), metadata={"source": "loop", "step": step}
            )
            held |= dict.fromkeys(fresh, made.commit_hash)
        seconds = time.perf_counter() - began
        assert {name: t.get_content(commit).data["fresh"][name] for name, commit in held.items()} == given[-1][0]
    return {"turn_us": seconds / turns * 1e6, "bytes": disk_use(path, skips_local=True)["bytes"]}


async def _converse(
    turns: int, add: Callable[[list[Any]], Awaitable[object]], get: Callable[[], Awaitable[list[Any]]]
) -> Numbers:
    said = texts(turns * ITEMS)
    given: list[Any] = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said)]
    adding = getting = 0.0
    for start in range(0, len(given), ITEMS):
        began = time.perf_counter()
        before = await get()
        got = time.perf_counter()
        await add(given[start : start + ITEMS])
        adding += time.perf_counter() - got
        getting += got - began
        assert len(before) == start
    assert await get() == given
    return {"add_us": adding / turns * 1e6, "get_us": getting / turns * 1e6}


async def items_session(path: str, level: str, turns: int) -> Numbers:
    from agents import SQLiteSession

    session = SQLiteSession("1", path)
    found = await _converse(turns, session.add_items, session.get_items)
    session.close()
    return found


async def items_tract(path: str, level: str, turns: int) -> Numbers:
    async with await AsyncTract.open(path, durability=cast(Durability, level)) as t:

        async def get() -> list[Any]:
            return [message.to_dict() for message in (await t.compile()).messages]

        return await _converse(turns, t.import_messages, get)


WORKS: dict[str, Callable[[str, str, int], Any]] = {
    work.__name__: work for work in (put_langgraph, put_tract, items_session, items_tract)
}

if __name__ == "__main__":
    work, name, path, level, turns = sys.argv[1:]
    found = WORKS[f"{work}_{name}"](path, level, int(turns))
    print(json.dumps(asyncio.run(found) if asyncio.iscoroutine(found) else found))
    sys.stdout.flush()
    os._exit(0)
