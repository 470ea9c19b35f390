"""A peer at work: the same work on tract_fs and on each of the tools that one might use instead.

`python -m benchmarks.peer NAME WORK …` does one piece with the adapter in `peer_NAME.py` and prints one JSON object of
numbers. All packages are imported, and messages and configs made, before a clock starts. Every answer is checked.

An adapter's `open_peer(path, level, keeps)` opens or makes a store. `level` is `durable` (an acknowledged message survives
a power cut) or `fast` (the end of the process). With `keeps` the caller keeps what it has read and asks the tool for what
is new only; without, the tool gives the whole context back at each call, by the best means that it offers.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Protocol, TypeAlias, cast

from benchmarks.payloads import ROLES, config, texts

Numbers: TypeAlias = dict[str, float]
Message: TypeAlias = dict[str, str]
Config: TypeAlias = dict[str, object]


class Peer(Protocol):
    """A conversation in the hands of one tool."""

    def append(self, message: Message, generation_config: Config) -> None:
        """Stores one message with its config; returns once that is acknowledged."""

    def context(self) -> Sequence[object]:
        """Returns all messages, decoded, oldest first: dicts or objects with `content`."""

    def close(self) -> None: ...


def open_peer(name: str, path: str, level: str, *, keeps: bool = False) -> Peer:
    adapter = import_module(f"benchmarks.peer_{name}")
    return cast(Callable[[str, str, bool], Peer], adapter.open_peer)(path, level, keeps)


def inputs(count: int) -> list[tuple[Message, Config]]:
    said = enumerate(texts(count))
    return [({"role": ROLES[number % 2], "content": text}, config(number)) for number, text in said]


def check(context: Sequence[object], expected: Sequence[tuple[Message, Config]]) -> None:
    """Raises where the first or last message or their number is not what was written: a wrong answer has no speed."""
    contents = [one["content"] if isinstance(one, dict) else getattr(one, "content", None) for one in context]
    wanted = [message["content"] for message, _ in expected]
    if len(contents) != len(wanted) or contents[:1] != wanted[:1] or contents[-1:] != wanted[-1:]:
        raise AssertionError(f"{len(contents)} messages came back, not the {len(wanted)} that were written")


def commit(name: str, path: str, level: str, count: str) -> Numbers:
    """Stores one message after the other; the close counts, the first message, which brings lazy imports, does not."""
    (first, *rest), peer = inputs(int(count)), open_peer(name, path, level)
    peer.append(*first)
    began = time.perf_counter()
    for message, generation_config in rest:
        peer.append(message, generation_config)
    peer.close()
    return {"commit_us": (time.perf_counter() - began) / len(rest) * 1e6}


def loop(name: str, path: str, level: str, turns: str, stride: str, keeps: str) -> Numbers:
    """The turns of an agent: append one message, get the whole context back.

    With a stride of k the context is asked for at every k-th turn, and its time counts k-fold.
    """
    given, step = inputs(int(turns)), int(stride)
    peer = open_peer(name, path, level, keeps=bool(int(keeps)))
    appending, reading = 0.0, 0.0
    for number, (message, generation_config) in enumerate(given, 1):
        began = time.perf_counter()
        peer.append(message, generation_config)
        appended = time.perf_counter()
        appending += appended - began
        if number % step == 0:
            context = peer.context()
            reading += (time.perf_counter() - appended) * step
            check(context, given[:number])
    peer.close()
    each = 1e6 / len(given)
    return {"turn_us": (appending + reading) * each, "append_us": appending * each, "context_us": reading * each}


def reopen(name: str, path: str, level: str, count: str) -> Numbers:
    """Opens what another process wrote and reads the whole context; the imports are done, and told apart."""
    began = time.perf_counter()
    import_module(f"benchmarks.peer_{name}")
    imported = time.perf_counter()
    peer = open_peer(name, path, level)
    context = peer.context()
    found = len(context)
    ended = time.perf_counter()
    check(context, inputs(int(count)))
    peer.close()
    return {"us": (ended - imported) * 1e6, "import_us": (imported - began) * 1e6, "found": found}


WORKS: dict[str, Callable[..., Numbers]] = {work.__name__: work for work in (commit, loop, reopen)}

if __name__ == "__main__":
    print(json.dumps(WORKS[sys.argv[2]](sys.argv[1], *sys.argv[3:])))
    sys.stdout.flush()
    os._exit(0)
