"""Ten megabytes of nonsense in a store cost no command more than 5 s of processor time, or as many more as the machine is slower, and 500 MB."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.hostile import make_context
from tests.lab.states import own_place, remove_local, store_root

MOST_S = 5.0  # where `unit_s` is 0.1
MOST_KB = 500_000
COMMANDS = (
    ("log",),
    ("status",),
    ("compile",),
    ("commit", "-m", "mine"),
    ("query", "model", "eq", "m-1"),
    ("repair",),
    ("pack",),
)
MEASURED = """
import json, sys, time
from tract_fs.cli import main
code = main(sys.argv[1:])
status = open("/proc/self/status").read()
most = int(status.partition("VmHWM:")[2].split()[0])  # ru_maxrss counts the process that this one was forked from, too
print(json.dumps([code, time.process_time(), most]), file=sys.stderr)
"""


def unit_s() -> float:
    """Returns the processor time that this machine takes now for some work."""
    began = time.process_time()
    assert sum(number * number for number in range(3_000_000)) == 8999995500000500000
    return time.process_time() - began


def pack_of(data: bytes) -> Callable[[Path], None]:
    def put(path: Path) -> None:
        (store_root(path) / "packs" / hashlib.sha256(data).hexdigest()).write_bytes(data)

    return put


def event_of(data: bytes) -> Callable[[Path], None]:
    def put(path: Path) -> None:
        name = hashlib.sha256(data).hexdigest()
        file = store_root(path) / "events/default" / name[:2] / name[2:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    return put


def many_parents() -> bytes:
    parents = [f"{number:064x}" for number in range(140_000)]
    event = {"at": "2026-01-02T03:04:05.000006Z", "ops": [], "parents": parents, "tract": "default", "writer": "0" * 32}
    return json.dumps({"event": event}, separators=(",", ":")).encode()


def sparse_redo(path: Path) -> None:
    """In this copy's own place, and as a header of another boot says, to be read."""
    for name in ("redo", "redo.old.x"):
        file = own_place(path) / name
        file.write_bytes(b"tractredo1\n".ljust(64, b"-"))
        os.truncate(file, 4 << 30)


def strangers_local(path: Path) -> None:
    local = store_root(path) / "local"
    local.mkdir()
    for number in range(20_000):
        (local / f"{number:032x}").mkdir()
        (local / f"file {number}").touch()


HOSTILE: dict[str, Callable[[Path], None]] = {
    "a pack of three million short lines": pack_of(b"{}\n" * 3_000_000),
    "a pack of ten million newlines": pack_of(b"\n" * 10_000_000),
    "a pack of half a million lines that are no members": pack_of(b'{"content":{"x":1}}\n' * 500_000),
    "a pack of one line": pack_of(b'{"content":{"text":"' + b"x" * 10_000_000 + b'"}}\n'),
    "an event of many unknown parents": event_of(many_parents()),
    "an event of deep nesting": event_of(b'{"event":' + b"[" * 5_000_000 + b"]" * 5_000_000 + b"}"),
    "a pack of deep nesting": pack_of(b'{"event":' + b"[" * 5_000_000 + b"]" * 5_000_000 + b"}\n"),
    "sparse redo logs of 4 GiB": sparse_redo,
    "forty thousand entries in local/": strangers_local,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_no_command_is_slow_or_large(tmp_path: Path, name: str) -> None:
    path = make_context(tmp_path / "context")
    remove_local(path)
    HOSTILE[name](path)
    used = {}
    for command in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *command], cwd=path, capture_output=True, timeout=240, check=False
        )
        last = done.stderr.decode().strip().splitlines()[-1]
        code, seconds, kilobytes = json.loads(last)
        used[command[0]] = (round(seconds, 2), kilobytes // 1000)
        assert code in (0, 1), done.stderr
        assert b"Traceback" not in done.stderr
    print(name, used)
    assert max(seconds for seconds, _ in used.values()) < MOST_S * max(1.0, unit_s() / 0.1), used
    assert max(megabytes for _, megabytes in used.values()) < MOST_KB // 1000, used


def test_the_measure_counts_what_a_process_uses(tmp_path: Path) -> None:
    wasteful = "import sys, time; data = b'x' * 300_000_000; sys.argv = ['', 'init', sys.argv[1]]\n"
    wasteful += "while time.process_time() < 1: pass\n"
    done = subprocess.run(
        [sys.executable, "-c", wasteful + MEASURED, str(tmp_path)], capture_output=True, timeout=240, check=True
    )
    code, seconds, kilobytes = json.loads(done.stderr.decode().strip().splitlines()[-1])
    assert (code, seconds > 1, 300_000 < kilobytes < 450_000) == (0, True, True)
