"""The pager: on a terminal, a long answer goes through the program that git would use for it.

$TRACT_PAGER names it, else $PAGER, else `less`, which gets -FRX unless $LESS is set: it ends by itself where all fits on
one screen, and shows colours. An empty name, `cat`, a terminal that is dumb, and a `less` that is not installed mean none.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tract_fs.cli.streams import output_to


@contextmanager
def paged() -> Iterator[None]:
    """Sends what is printed inside to the pager, and waits for its end. Leaving it early is no failure."""
    command = _command()
    if not command:
        yield
        return
    environment = {"LESS": "FRX", "LV": "-c", **os.environ}
    reading, writing = os.pipe()
    # a shell reads the command, as git's does: it may have arguments, and comes from this user's environment
    with subprocess.Popen(command, shell=True, stdin=reading, env=environment) as child:
        os.close(reading)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pager's
        try:
            with output_to(writing):
                yield
        finally:
            os.close(writing)
            child.wait()
            signal.signal(signal.SIGINT, before)


def _command() -> str:
    if os.environ.get("TERM") == "dumb":
        return ""
    for name in ("TRACT_PAGER", "PAGER"):
        if name in os.environ:
            command = os.environ[name].strip()
            return "" if command == "cat" else command
    return "less" if shutil.which("less") else ""
