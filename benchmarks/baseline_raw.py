"""Baseline: the files of a store, written by bare os calls.

Per commit a content, a commit and an event of the bytes that the format asks for, each hashed, written to a dot-named
temp and renamed, the event last; one flock and unlock; one append of 96 bytes. `durable` adds one append of the same
bytes to one file and one fdatasync of it after the unlock. Prints microseconds per commit.
"""

import fcntl
import json
import os
import sys
import time
from hashlib import sha256
from itertools import pairwise

import orjson

from benchmarks.payloads import ROLES, config, texts

AT = "2026-01-02T03:04:05.{:06d}Z"


def encode(value: dict[str, object]) -> tuple[bytes, str]:
    data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return data, sha256(data).hexdigest()


def make(text: str, number: int, head: str, event: str, writer: str) -> list[tuple[str, bytes, str]]:
    role, at = ROLES[number % 2], AT.format(number)
    content, c = encode({"content": {"content_type": "dialogue", "role": role, "text": text}})
    fields = {"content": c, "content_type": "dialogue", "created_at": at, "operation": "append"}
    commit, h = encode({"commit": fields | {"parents": [head] if head else []}})
    brought = {"commit": h, "config": config(number), "tokens": {"estimate:utf8/4": len(text) // 4 + 4}}
    seen = [event] if event else []
    op = {"branch": "main", "commits": [brought], "head": h, "kind": "append", "replaces": seen}
    moved, e = encode({"event": {"at": at, "ops": [op], "parents": seen, "tract": "default", "writer": writer}})
    return [("objects", content, c), ("objects", commit, h), ("events/default", moved, e)]


def put(root: str, kind: str, data: bytes, name: str, made: set[str]) -> None:
    directory = f"{root}/{kind}/{name[:2]}"
    if directory not in made:
        os.makedirs(directory, exist_ok=True)
        made.add(directory)
    temp = f"{directory}/.{name[2:10]}-{os.getpid()}"
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
    os.write(fd, data)
    os.close(fd)
    os.rename(temp, f"{directory}/{name[2:]}")


def run(root: str, mode: str, count: int, seed: int) -> list[float]:
    os.makedirs(f"{root}/local", exist_ok=True)
    names = ("lock", "arrivals", f"redo-{seed}")
    lock, arrivals, redo = (os.open(f"{root}/local/{n}", os.O_RDWR | os.O_CREAT | os.O_APPEND) for n in names)
    made, head, event, writer, said = set[str](), "", "", os.urandom(16).hex(), texts(count, seed=seed)
    times = [time.perf_counter()]
    for number, text in enumerate(said):
        files = make(text, number, head, event, writer)
        head, event = files[1][2], files[2][2]
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.write(arrivals, event.encode().ljust(96))
        if mode == "durable":
            os.write(redo, b"".join(data + name.encode() for _, data, name in files))
        for kind, data, name in files:
            put(root, kind, data, name, made)
        fcntl.flock(lock, fcntl.LOCK_UN)
        if mode == "durable":
            os.fdatasync(redo)
        times.append(time.perf_counter())
    return times


if __name__ == "__main__":
    directory, level, commits, number, starts_at = sys.argv[1:]
    time.sleep(max(0.0, float(starts_at) - time.time()))
    t = run(directory, level, int(commits), int(number))
    commit_us, stall_us = (t[-1] - t[0]) / int(commits) * 1e6, max(b - a for a, b in pairwise(t)) * 1e6
    print(json.dumps({"commit_us": commit_us, "stall_us": stall_us, "began_s": t[0], "ended_s": t[-1]}))
