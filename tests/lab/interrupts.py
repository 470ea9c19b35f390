"""Exceptions at each line of a call, and what a store must be like afterwards."""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import tract_fs
from tests.lab.talk import texts, user
from tract_fs import Tract

PACKAGE = os.path.dirname(tract_fs.__file__)
Call = Callable[[Tract, Path], object]


class Interrupt(BaseException):
    """What a signal handler raises."""


def trace(call: Callable[[], object], at: int) -> tuple[int, str, bool]:
    """Runs a call, and raises Interrupt at the line of the package with this number, from 1.

    Returns the number of lines that ran, the place of the interrupt, and whether it came out of the call.
    """
    count = 0
    place = ""

    def look(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count, place
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            count += 1
            if count == at:
                place = f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
                sys.settrace(None)
                raise Interrupt
        return look

    before = sys.gettrace()
    came_out = False
    sys.settrace(look)
    try:
        call()
    except Interrupt:
        came_out = True
    finally:
        sys.settrace(before)
    return count, place, came_out


def is_lock_free(directory: Path) -> bool:
    """Returns whether a writer could lock the store now."""
    for path in directory.glob(".tract/local/*/lock"):
        with open(path, "rb") as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
    return True


def faults_after(directory: Path, call: Call, at: int, *, durability: str) -> tuple[list[str], str]:
    """Interrupts a call on a new store at a line, and returns what is wrong afterwards, and where it was interrupted.

    An empty place: the call has fewer lines.
    """
    shutil.rmtree(directory, ignore_errors=True)
    tract = Tract.open(directory / "store", durability=durability, lock_timeout_s=0.3)  # type: ignore[arg-type]
    for number in range(3):
        tract.commit(user(f"m{number}"), generation_config={"temperature": number})
    tract.compile()
    gc.collect()
    open_files = len(os.listdir("/proc/self/fd"))
    _, place, came_out = trace(lambda: call(tract, directory), at)
    found = []
    if place and not came_out:
        found.append("the interrupt was swallowed")
    if not is_lock_free(directory / "store"):
        found.append("the lock stays held")
    gc.collect()
    if len(os.listdir("/proc/self/fd")) > open_files + 6:  # what a handle keeps open: lock, line, redo log, index
        found.append("files stay open")
    if list((directory / "store").rglob("*.new.*")):
        found.append("a temporary file stays")
    found += _faults_of_handles(tract, directory / "store")
    return found, place


def _faults_of_handles(tract: Tract, store: Path) -> list[str]:
    found = []
    try:
        with Tract.open(store, durability="fast", lock_timeout_s=0.3) as other:
            other.commit(user("other"))
    except Exception as error:
        found.append(f"another handle: {error!r}")
    own_branch = str(tract.branch)
    try:
        tract.commit(user("own"))
        own = texts(tract)
        with Tract.open(store, branch=own_branch, durability="fast") as fresh:
            if texts(fresh) != own:
                found.append(f"views differ: {own}, {texts(fresh)}")
            if fresh.status().warnings:
                found.append(f"warnings: {fresh.status().warnings}")
        if own[-1:] != ["own"]:
            found.append("the next commit is lost")
        if ("b1" in own) != ("b2" in own):
            found.append("half of a batch is there")
    except Exception as error:
        found.append(f"the handle: {error!r}")
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(len(tract.log(None))), daemon=True)
    thread.start()
    thread.join(60)
    if not seen:
        found.append("another thread waits")
    try:
        tract.close()
    except Exception as error:
        found.append(f"close: {error!r}")
    return found
