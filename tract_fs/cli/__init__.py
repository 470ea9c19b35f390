"""The command `tract`: the library for people at a terminal and for scripts. Extra `cli`: click and rich.

Exit codes: 0 success, 1 the operation failed, 2 the command line is wrong.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from importlib.util import find_spec


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    missing = [name for name in ("click", "rich") if find_spec(name) is None]
    if missing:
        print(
            f"tract: the command needs {' and '.join(missing)}; install the extra: pip install 'tract-fs[cli]'",
            file=sys.stderr,
        )
        return 1
    from tract_fs.cli.running import run  # needs click

    return run(sys.argv[1:] if arguments is None else list(arguments))


def script() -> int:
    """Runs the command line of this process and returns its exit code.

    A process that ends soon needs few collections, and none of its modules at its end: they would take a quarter of its time.
    """
    gc.set_threshold(50_000)
    try:
        return main()
    finally:
        gc.freeze()
