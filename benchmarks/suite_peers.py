"""Peers: tract_fs beside the tools that one might use instead, each at the same work and the same durability.

What each does and guarantees stands in its adapter, `peer_*.py`. One that is not installed is skipped and named:
`pip install 'tract-fs[peers]'`. Ratios are the peer's time to that of tract_fs: over 1, tract_fs is faster.
"""

import os
from collections.abc import Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from benchmarks.harness import Found, Numbers, Rounds, Row, Skipped, interleave, row, run, values
from benchmarks.stores import Sizes, expect

PACKAGES = {
    "dulwich": "dulwich",
    "pygit2": "pygit2",
    "kvgit": "kvgit",
    "langgraph": "langgraph-checkpoint-sqlite",
    "langgraph_delta": "langgraph-checkpoint-sqlite",
    "session": "openai-agents",
    "sqlite": "",
}
NEEDS = {"kvgit": ("diskcache",)}
TITLES = {
    "langgraph": "langgraph SqliteSaver",
    "langgraph_delta": "langgraph SqliteSaver, deltas",
    "session": "agents SQLiteSession",
    "sqlite": "sqlite3 by hand",
}
KEEPING = ("dulwich", "pygit2", "kvgit", "sqlite")
COMMIT_TARGETS = {"dulwich": 3.0, "pygit2": 3.0, "kvgit": 3.0, "langgraph": 3.0}
LOOP_TARGETS = {"dulwich": 10.0, "pygit2": 10.0, "kvgit": 10.0, "langgraph": 10.0, "session": 10.0}
FRAMEWORK_TURNS = 500
FRAMEWORKS = (  # the work, the peer, and what is measured: its key, its name, its unit, the least ratio
    (
        "put",
        "langgraph",
        (("turn_us", "put and put_writes", "us", 0.83), ("bytes", "put and put_writes, size", "B", 3.33)),
    ),
    (
        "items",
        "session",
        (("add_us", "add_items of 3", "us", 0.67), ("get_us", "get_items", "us", 1.0)),
    ),
)
LEVELS = {"session": ("durable",)}  # the others have both


def installed() -> dict[str, str]:
    """Returns the title, with the version, of each peer that is installed."""
    found = {}
    for name, package in PACKAGES.items():
        title = TITLES.get(name, name)
        try:
            for needed in NEEDS.get(name, ()):
                version(needed)
            found[name] = f"{title} {version(package)}" if package else title
        except PackageNotFoundError:
            continue
    return found


def beside(name: str, unit_scale: float, found: Rounds, key: str, title: str, at_least: float | None) -> Row:
    """Returns the peer's row: its time beside that of tract_fs in the same rounds."""
    own, mine = values(found[name], key, unit_scale), values(found["tract"], key, unit_scale)
    return row(title, "ms" if unit_scale == 1e-3 else "us", own, baseline="tract_fs", beside=mine, at_least=at_least)


def drop_database(path: str) -> None:
    """Removes the database of a tool that keeps one file; a saver that rewrites its state fills gigabytes. Directories stay."""
    for name in (path, f"{path}-wal", f"{path}-shm"):
        if os.path.isfile(name):
            os.remove(name)


def peers(sizes: Sizes) -> Iterator[Found]:
    """Commit, agent loop and reopening, of tract_fs and of each peer that is installed."""
    titles = installed()
    for name in PACKAGES:
        if name not in titles:
            needed = " with ".join((PACKAGES[name], *NEEDS.get(name, ())))
            yield Skipped(name=f"peer {TITLES.get(name, name)}", reason=f"{needed} is not installed")
    for level in sizes.levels:
        at_level = {name: title for name, title in titles.items() if level in LEVELS.get(name, ("durable", "fast"))}
        yield from committing(sizes, at_level, level)
        yield from looping(sizes, at_level, level)
        yield from frameworks(sizes, at_level, level)


def committing(sizes: Sizes, titles: dict[str, str], level: str) -> Iterator[Row]:
    """One message with its config at a time, then the same store opened by a fresh process."""
    names, count = ("tract", *titles), sizes.peer_turns

    def act(work: str, name: str, number: int) -> Numbers:
        path = sizes.path("peer", name, level, number)
        found = run("peer", name, work, path, level, count)
        if work == "reopen":
            drop_database(path)
        return found

    found = interleave(sizes.rounds, {name: partial(act, "commit", name) for name in names})
    again = interleave(sizes.rounds, {name: partial(act, "reopen", name) for name in names})
    yield row(f"commit {level}, {count:,}: tract_fs", "us", values(found["tract"], "commit_us"))
    for name, title in titles.items():
        target = COMMIT_TARGETS.get(name) if level == "durable" else None
        yield beside(name, 1.0, found, "commit_us", f"commit {level}, {count:,}: {title}", target)
    what = f"reopen and read {count:,}, {level}"
    yield row(f"{what}: tract_fs", "ms", values(again["tract"], "us", 1e-3))
    for name, title in titles.items():
        expect(f"reopened, {name}", again[name][0]["found"], count)
        yield beside(name, 1e-3, again, "us", f"{what}: {title}", None)


def looping(sizes: Sizes, titles: dict[str, str], level: str) -> Iterator[Row]:
    """An agent's turns: append one message, get the whole context back.

    A tool that reads the whole context anew costs the square of the turns; it is asked at every `stride`-th turn, and that time
    counts so often. tract_fs and callers that keep what they have read are asked at each turn.
    """
    turns = sizes.peer_turns

    def once(name: str, keeps: int, number: int) -> Numbers:
        stride = 1 if keeps or name == "tract" else sizes.stride
        path = sizes.path("peer-loop", name, level, keeps, number)
        found = run("peer", name, "loop", path, level, turns, stride, keeps)
        drop_database(path)
        return found

    whole = {name: partial(once, name, 0) for name in ("tract", *titles)}
    kept = {f"{name} keeps": partial(once, name, 1) for name in KEEPING if name in titles}
    found = interleave(sizes.rounds, whole | kept)
    what = f"loop {level}, {turns:,} turns"
    yield row(f"{what}: tract_fs", "us", values(found["tract"], "turn_us"))
    yield row(f"{what}: tract_fs, the context alone", "us", values(found["tract"], "context_us"))
    for name, title in titles.items():
        target = LOOP_TARGETS.get(name)
        yield beside(name, 1.0, found, "turn_us", f"{what}: {title}", target)
        yield beside(name, 1.0, found, "context_us", f"{what}: {title}, the context alone", None)
    for name in kept:
        yield beside(name, 1.0, found, "turn_us", f"{what}: {titles[name.removesuffix(' keeps')]}, caller keeps", None)


def frameworks(sizes: Sizes, titles: dict[str, str], level: str) -> Iterator[Row]:
    """What LangGraph and openai-agents ask of their savers at each turn, beside savers on tract_fs."""
    turns = FRAMEWORK_TURNS

    def once(work: str, name: str, number: int) -> Numbers:
        path = sizes.path("framework", work, name, level, number)
        found = run("framework", work, name, path, level, turns)
        drop_database(path)
        return found

    for work, name, measures in FRAMEWORKS:
        if name not in titles:
            continue
        found = interleave(sizes.rounds, {one: partial(once, work, one) for one in ("tract", name)})
        for key, what, unit, target in measures:
            title = f"{what} {level}, {turns:,} turns"
            mine = values(found["tract"], key)
            yield row(f"{title}: tract_fs", unit, mine)
            peer = values(found[name], key)
            yield row(f"{title}: {titles[name]}", unit, peer, baseline="tract_fs", beside=mine, at_least=target)
