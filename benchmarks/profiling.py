"""Profiling: one piece of work on tract_fs under cProfile; writes where the time went as JSON.

`python -m benchmarks.profiling WORK PATH COUNT FILE`. Imports, and a first piece of the work, come before the profiler starts.
"""

import cProfile
import json
import os
import pstats
import sys
from collections.abc import Callable

from benchmarks.payloads import ROLES, config, texts
from benchmarks.subject import Durability
from tract_fs import DialogueContent, Tract

SHOWN = 40
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WARM_UP = 20
NAMES = {
    "commit-fast": "a commit, fast",
    "commit-durable": "a commit, durable",
    "turn": "a turn: commit, fast, and compile",
    "cold": "open and compile, packs, nothing cached",
    "snapshot": "open and compile from the stored snapshot",
}


def writing(path: str, durability: Durability, count: int, *, compiles: bool) -> Callable[[], None]:
    said = texts(count + WARM_UP)
    contents = [DialogueContent(role=ROLES[number % 2], text=text) for number, text in enumerate(said)]
    tract = Tract.open(path, durability=durability)

    def write(first: int, last: int) -> None:
        for number in range(first, last):
            tract.commit(contents[number], generation_config=config(number))
            if compiles:
                _ = tract.compile().messages

    write(0, WARM_UP)
    return lambda: write(WARM_UP, WARM_UP + count)


def reading(path: str) -> Callable[[], None]:
    def read() -> None:
        with Tract.open(path, read_only=True) as tract:
            _ = tract.compile().messages

    return read


def place(key: tuple[str, int, str]) -> str:
    """Returns what a reader calls the place: the module and function, or the built-in."""
    path, line, function = key
    if path.startswith(ROOT):
        return f"{os.path.relpath(path, ROOT)}:{line} {function}"
    return function.strip("<>") if path == "~" else f"{os.path.basename(path)}:{line} {function}"


def shares(profile: cProfile.Profile, pieces: int) -> dict[str, object]:
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]  # typeshed leaves it out
    whole = sum(one[2] for one in stats.values())
    longest = sorted(stats.items(), key=lambda item: -item[1][2])[:SHOWN]
    rows = [(place(key), one[2] / whole, one[1] / pieces) for key, one in longest]
    return {"total_us": whole / pieces * 1e6, "shares": rows}


def main(work: str, path: str, count: str, file: str) -> None:
    pieces = int(count) if work in ("commit-fast", "commit-durable", "turn") else 1
    if work in ("cold", "snapshot"):
        call = reading(path)
    else:
        call = writing(path, "durable" if work == "commit-durable" else "fast", pieces, compiles=work == "turn")
    profile = cProfile.Profile()
    profile.runcall(call)
    with open(file, "w") as kept:
        json.dump({"name": NAMES[work], **shares(profile, pieces)}, kept)


if __name__ == "__main__":
    main(*sys.argv[1:])
