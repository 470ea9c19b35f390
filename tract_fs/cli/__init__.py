"""The command `tract`: the library for people at a terminal and for scripts. Extra `cli`: click and rich.

Exit codes: 0 success; 1 the operation failed; 2 the command line is wrong; 4 it is written, but the answer can't be
printed, or the disk failed so that it may be written: do not just run it again; 130 stopped by Ctrl-C.

- entry, running: from the start of the process to its exit code. commands: which module has which command.
- …_commands: the commands; examples: one for each. invocation: the store, tract and branch that one is about, and how it
  answers: with text or JSON.
- output, display, contents, graph, log_lines, diff_lines, pager: what is printed. values, streams: what is read.
- importing: conversations; sessions: those of agents; hook: what an agent calls.
- current_branch, declared: what the command keeps between its runs.
"""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec

_HOOK_COMMANDS = ("install", "uninstall", "--help", "-h")


def main(arguments: Sequence[str] | None = None, *, ready: Callable[[], object] | None = None) -> int:
    """Runs one command and returns its exit code; calls `ready` once all is imported that a command needs."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["hook"] and given[1:2] and given[1] not in _HOOK_COMMANDS:
        from tract_fs.cli.hook import run_hook  # which an agent waits for

        return run_hook(given[1], given[2:])
    missing = [name for name in ("click", "rich") if find_spec(name) is None]
    if missing:
        print(
            f"tract: the command needs {' and '.join(missing)}; install the extra: pip install 'tract-fs[cli]'",
            file=sys.stderr,
        )
        return 1
    from tract_fs.cli.running import run  # needs click

    if ready is not None:
        ready()
    return run(given)


def script(*, ready: Callable[[], object] | None = None) -> int:
    """Runs the command line of this process and returns its exit code; see `main`.

    A process that ends soon needs few collections, and none of its modules at its end: they would take a quarter of its time.
    """
    gc.set_threshold(50_000)
    try:
        return main(ready=ready)
    except KeyboardInterrupt:
        return 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the exit code stands
        gc.freeze()
