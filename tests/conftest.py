"""What all tests share: a few fixtures, and a rule on outside tools.

Tests that run an outside tool are skipped where it is missing, and one line at the end says so; with TRACT_FS_ALL_TOOLS set they fail.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.lab.talk import Clock
from tract_fs import Tract
from tract_fs.store import quarantine

_REASON = "needs a tool that is not installed: "
_LONGEST_S = 600  # below the time at which faulthandler ends the process

# no example fails because the machine is slow
settings.register_profile("slow machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("slow machine")


def pytest_configure() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what it runs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _missing(item: pytest.Item) -> list[str]:
    wanted = [tool for mark in item.iter_markers("needs") for tool in mark.args]
    return sorted({tool for tool in wanted if shutil.which(tool) is None})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    missing = _missing(item)
    if missing:
        stop = pytest.fail if os.environ.get("TRACT_FS_ALL_TOOLS") else pytest.skip
        stop(_REASON + ", ".join(missing))
    return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tools: list[str] = []
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        if _REASON in reason:
            tools.append(reason.partition(_REASON)[2])
    if tools:
        names = ", ".join(sorted({name for told in tools for name in told.split(", ")}))
        terminalreporter.write_line(f"{len(tools)} tests were skipped, as these tools are not installed: {names}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test makes its store; there is nothing yet."""
    return tmp_path / "context"


@pytest.fixture
def t(tmp_path: Path) -> Iterator[Tract]:
    """A handle on a new store."""
    with Tract.open(tmp_path / "a", clock=Clock(), durability="fast") as opened:
        yield opened


@pytest.fixture
def in_time() -> Iterator[None]:
    """Ends a test that hangs, as one that opens a pipe would."""

    def stop(*_: object) -> None:
        raise AssertionError(f"not done in {_LONGEST_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_LONGEST_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets no file count as standing still, though a test should take longer than that time."""
    monkeypatch.setattr(quarantine, "SETTLED_NS", 10**18)


@pytest.fixture
def still(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets every file count as standing still."""
    monkeypatch.setattr(quarantine, "SETTLED_NS", -(10**18))
