"""What an agent calls as a hook: reads the event on stdin, imports what is new of its session, prints nothing, exits 0.

It imports no command line, so that the agent waits as short as may be. An error goes into `hook.log` in the store's
directory for local files.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

_LONGEST_LOG_BYTES = 64 * 1024


def run_hook(program: str, arguments: Sequence[str]) -> int:
    """Runs the hook of a program with the store that `-C` names, by default the one above the current directory; returns 0."""
    gc.disable()  # the process ends soon, and what it reads is freed without
    store = _store_of(arguments)
    try:
        _import(program, json.loads(sys.stdin.buffer.read()), store)
    except Exception as error:  # whatever it is, the agent goes on
        with suppress(OSError):
            _log(store, f"{program}: {type(error).__name__}: {error}")
    return 0


def _import(program: str, event: Any, store: str) -> None:
    from tract_fs.capture.hooks import BEFORE_COMPACTION, PROGRAMS
    from tract_fs.capture.sessions import import_transcript, iter_new
    from tract_fs.model.names import derive_tract_id
    from tract_fs.tract import Tract

    path = event.get("transcript_path") if isinstance(event, dict) else None
    if not isinstance(path, str):
        raise ValueError("the event names no transcript_path")
    for name, transcript, digest in iter_new(path, format=PROGRAMS[program].format, is_growing=True):
        with Tract.open(store, tract_id=derive_tract_id(name)) as t:
            import_transcript(t._session, transcript, digest)
            tags = t.tags()
            if event.get("hook_event_name") in BEFORE_COMPACTION and t.head not in (None, *tags.values()):
                t.tag(f"before-compaction-{1 + sum(tag.startswith('before-compaction-') for tag in tags)}")


def _store_of(arguments: Sequence[str]) -> str:
    if len(arguments) == 2 and arguments[0] == "-C":
        return arguments[1]
    directory = current = os.getcwd()
    while not os.path.isdir(os.path.join(directory, ".tract")):
        directory, below = os.path.dirname(directory), directory
        if directory == below:
            return current
    return directory


def _log(store: str, line: str) -> None:
    folder = os.path.join(store, ".tract", "local")
    if not os.path.isdir(folder):
        return
    path = os.path.join(folder, "hook.log")
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    if os.path.exists(path) and os.path.getsize(path) > _LONGEST_LOG_BYTES:
        flags |= os.O_TRUNC
    with open(os.open(path, flags, 0o600), "ab") as stream:
        stream.write(line.encode("utf-8", "replace")[:4096].replace(b"\n", b" ") + b"\n")
