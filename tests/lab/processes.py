"""Children that are forked, heard and killed, in a process of their own: so no thread of the test runner is forked along."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def run_child(work: Callable[[Callable[[bytes], None]], None]) -> tuple[int, list[str]]:
    """Runs `work` in a forked child; returns how it ended (negative: by a signal) and the lines that it told."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            work(lambda line: void(os.write(writer, line + b"\n")))
            code = 0
        except BaseException as error:
            with suppress(OSError):
                os.write(writer, f"error {error!r}\n".encode())
        finally:
            os._exit(code)
    os.close(writer)
    lines = read_lines(reader)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, lines


def void(_result: object) -> None:
    """Drops a result."""


def read_lines(reader: int) -> list[str]:
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    return [line.decode() for line in data.split(b"\n")[:-1]]


@contextmanager
def told_on_failure(what: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        print(what, file=sys.stderr)
        raise


def run_and_kill(
    works: list[Callable[[Callable[[bytes], None]], None]], lives_s: list[float], *, waits_for_one: bool
) -> list[str]:
    """Forks a child for each work and kills each at the end of its life; returns all lines told.

    Lives are counted from the fork, or from the first line that the first child tells.
    """
    children = []
    for work, life_s in zip(works, lives_s, strict=True):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            try:
                work(lambda line, writer=writer: void(os.write(writer, line + b"\n")))  # type: ignore[misc]
            except BaseException as error:
                os.write(writer, f"error {error!r}\n".encode())
            finally:
                os._exit(1)
        os.close(writer)
        children.append((life_s, child, reader))
    if waits_for_one:
        select.select([children[0][2]], [], [], 200.0)
    started = time.monotonic()
    lines = []
    for life_s, child, reader in sorted(children):
        time.sleep(max(0.0, started + life_s - time.monotonic()))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lines += read_lines(reader)
    errors = [line for line in lines if line.startswith("error")]
    assert not errors, errors
    return lines


class ForkServer:
    """A process of one thread that calls functions of a test module; it may fork and kill."""

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Calls a function there and returns its JSON answer, which is printed; fails with its traceback if it fails."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([function.__name__, args, options]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer["error"]
        print(function.__name__, *args, answer["result"])
        return answer["result"]

    def close(self) -> None:
        self._process.communicate()


def serve(functions: dict[str, Any]) -> None:
    """Answers the calls of a ForkServer until its input ends."""
    for line in sys.stdin:
        name, args, options = json.loads(line)
        try:
            answer = {"result": functions[name](*args, **options)}
        except BaseException:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)
