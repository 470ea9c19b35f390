"""The command `tract` from its first moment on: Ctrl-C ends it in silence while its modules are still imported.

The packages above import next to nothing, so the handler is set before all else.
"""

from __future__ import annotations

import os
import signal

_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it


def script() -> int:
    """Runs the command line of this process and returns its exit code."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, as under nohup
        from tract_fs.cli import script as run

        return run()
    signal.signal(signal.SIGINT, _end)
    from tract_fs.cli import script as run

    return run(ready=_listen)


def _end(*_: object) -> None:
    os._exit(_INTERRUPTED)  # nothing is open yet, and an exception could be lost in an import


def _listen() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
