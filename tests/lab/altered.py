"""The files of a copy's own place altered, cut, swapped and transplanted by chance."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.lab.hostile import make_context
from tests.lab.inside import contexts_of, reader_of
from tests.lab.states import answers, copy_store, own_place, put, remove_local
from tests.lab.talk import Clock, user
from tract_fs import Tract
from tract_fs.model.names import hash_bytes
from tract_fs.store.place import MARKER

Change = Callable[[random.Random, bytes], bytes]


def flip(chance: random.Random, data: bytes) -> bytes:
    if not data:
        return b"x"
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]


def cut(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def extend(chance: random.Random, data: bytes) -> bytes:
    return data + chance.choice((b"\0" * 96, chance.randbytes(40), data))


def zero(chance: random.Random, data: bytes) -> bytes:
    start = chance.randrange(len(data) + 1)
    size = min(chance.randrange(1, 4096), len(data) - start)
    return data[:start] + b"\0" * size + data[start + size :]


def randomize(chance: random.Random, data: bytes) -> bytes:
    return chance.randbytes(chance.choice((0, 1, 64, 96, 960, 4096)))


def rehash(chance: random.Random, data: bytes) -> bytes:
    """Alters what stands behind a checksum, and makes the checksum right."""
    if data[64:65] != b"\n":
        return flip(chance, data)
    body = data[65:]
    try:
        value = json.loads(body)
    except ValueError:
        body = flip(chance, body)
    else:
        body = json.dumps(odd(chance, value)).encode()
    return hash_bytes(body).encode() + b"\n" + body


def odd(chance: random.Random, value: Any) -> Any:
    """Returns a JSON value with one odd value somewhere in it."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(sorted(value))
        if chance.random() < 0.15:
            return {**value, chance.choice(("", "x", "../x", "a" * 64)): value[key]}
        return {**value, key: odd(chance, value[key])}
    if isinstance(value, list) and value and chance.random() < 0.8:
        at = chance.randrange(len(value))
        return [*value[:at], odd(chance, value[at]), *value[at + 1 :]]
    return chance.choice((None, 0, -1, 1 << 62, "", "x", "../../x", "f" * 64, "9999-99-99", [], {}, True))


MORE_COMMITS = 32
CHANGES: tuple[Change, ...] = (flip, cut, extend, zero, randomize, rehash)


class StoreWithCaches:
    """A store with all caches, the files of other places, and what it answers from nothing."""

    def __init__(self, folder: Path) -> None:
        self.template = make_context(folder / "template")
        with Tract.open(self.template, durability="fast", clock=Clock(1_800_000_000_000_000)) as t:
            for number in range(MORE_COMMITS):
                t.commit(user(f"more {number}"), generation_config={"model": "m-2", "temperature": number / 10})
            t.branch("side")
        self.sources = {"an older state": self._files(self.template)}
        with Tract.open(self.template, durability="durable", clock=Clock(1_850_000_000_000_000)) as t:
            t.commit(user("newest"), generation_config={"model": "m-1"})
            t.tag("mark")
            answers(t)
            contexts_of(t)._store(contexts_of(t).state(reader_of(t).head()))
        self.sources["its own"] = self._files(self.template)
        other = copy_store(self.template, folder / "other")
        remove_local(other)
        with Tract.open(other, durability="durable") as t:
            answers(t)
            t.commit(user("of the other"))
            answers(t)
        self.sources["another copy"] = self._files(other)
        unrelated = make_context(folder / "unrelated")
        self.sources["an unrelated store"] = self._files(unrelated)
        bare = copy_store(self.template, folder / "bare")
        remove_local(bare)
        with Tract.open(bare, read_only=True) as t:
            self.expected = answers(t)

    @staticmethod
    def _files(path: Path) -> dict[str, bytes]:
        place = own_place(path)
        found = {str(file.relative_to(place)): file.read_bytes() for file in place.rglob("*") if file.is_file()}
        return {name: data for name, data in found.items() if name not in (MARKER, "lock", "line")}

    def disturb(self, path: Path, chance: random.Random) -> str:
        """Changes one to three files of a store's own place; returns what was done."""
        place, told = own_place(path), []
        for _ in range(chance.randint(1, 3)):
            own = self.sources["its own"]
            name = chance.choice(sorted(own))
            if chance.random() < 0.5:
                change = chance.choice(CHANGES)
                put(place / name, change(chance, own[name]))
                told.append(f"{change.__name__} {name}")
            else:
                source = chance.choice(sorted(self.sources))
                kind = name.split("/")[-2] if name.count("/") > 1 else name.rpartition("/")[2]
                like = [n for n in sorted(self.sources[source]) if kind in n] or sorted(self.sources[source])
                taken = chance.choice(like)
                put(place / (name if chance.random() < 0.7 else taken), self.sources[source][taken])
                told.append(f"{taken} of {source} as {name}")
        return ", ".join(told)
