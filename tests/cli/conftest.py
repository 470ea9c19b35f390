"""Fixtures that run the command `tract` in a directory of its own."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from tests.lab.command import Run, Told
from tract_fs.cli import main


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs `tract` in this process, in a directory of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, stdin: bytes = b"") -> Told:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        code = main(list(arguments))
        sys.stderr.flush()
        out, err = capfd.readouterr()
        return Told(code, out, err)

    return call


@pytest.fixture
def store(run: Run) -> Run:
    """As `run`, where a store has been made."""
    assert run("init").code == 0
    return run
