"""The command `tract` under test: how it is run, and what it printed; the fixtures that run it are in `tests/cli/conftest.py`."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.lab.states import own_place, synced

COMMANDS = [
    "init",
    "import",
    "export",
    "check-session",
    "watch",
    "hook",
    "commit",
    "edit",
    "annotate",
    "log",
    "show",
    "compile",
    "query",
    "usage",
    "search",
    "tracts",
    "status",
    "demo",
]
COMMANDS += [
    "branch",
    "switch",
    "retry",
    "reset",
    "reflog",
    "undo",
    "tag",
    "cherry-pick",
    "revert",
    "fork",
    "merge",
    "diff",
    "view",
]
COMMANDS += ["browse", "why", "blame", "compare"]
COMMANDS += ["summarize", "expand", "repair", "pack", "sync", "bundle", "doctor", "completion", "help"]
TRACT = [sys.executable, "-m", "tract_fs.cli"]
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"q":1}'}}],
}
RESULT = {"role": "tool", "tool_call_id": "c1", "name": "search", "content": "found"}


class Told(NamedTuple):
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Told]


def commit(run: Run, *arguments: str) -> str:
    told = run("commit", "--json", *arguments)
    assert told.code == 0, told.err
    return str(told.document["commit_hash"])


def head_file() -> Path:
    return own_place(Path()) / "HEAD"


def refused(run: Run, *arguments: str, error: str, code: int = 1) -> str:
    """Returns the message of a command that must write nothing."""
    before = synced(Path.cwd())
    head = head_file().read_bytes() if head_file().exists() else None
    told = run(*arguments, "--json")
    assert (told.code, told.out) == (code, "")
    assert f'"error": "{error}"' in told.err
    assert "Traceback" not in told.err
    assert synced(Path.cwd()) == before
    assert (head_file().read_bytes() if head_file().exists() else None) == head
    return told.err


def write(name: str, value: object) -> str:
    Path(name).write_text(json.dumps(value), encoding="utf-8")
    return name


def shown_texts(run: Run, *arguments: str) -> list[str]:
    return [message["content"] for message in run("compile", "--json", *arguments).document["messages"]]


def process(*arguments: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*TRACT, *arguments], cwd=cwd, capture_output=True, timeout=240, check=False, **options)


def on_terminal(*arguments: str, cwd: Path, **variables: str) -> str:
    """Returns what a terminal gets to see of stdout and stderr."""
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "TRACT_PAGER": "", **variables}
    if "NO_COLOR" not in variables:
        environment.pop("NO_COLOR", None)
    with subprocess.Popen(
        [*TRACT, *arguments], cwd=cwd, stdin=slave, stdout=slave, stderr=slave, env=environment
    ) as child:
        os.close(slave)
        parts = []
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:  # Linux: EIO once the other side is closed
                break
            if not part:
                break
            parts.append(part)
        assert child.wait(timeout=240) == 0
    os.close(master)
    return b"".join(parts).decode()
