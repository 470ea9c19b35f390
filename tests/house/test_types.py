"""Types: a program that uses the package is checked against its annotations, as an installed package's are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tract_fs
from tract_fs import errors

REPOSITORY = Path(__file__).parents[2]
PROGRAM = REPOSITORY / "tests/lab/user_program.py"


def test_the_package_says_that_it_is_typed() -> None:
    """Without this file a type checker takes everything in an installed package for Any (PEP 561)."""
    assert Path(tract_fs.__file__).with_name("py.typed").read_bytes() == b""
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["tool"]["hatch"]["build"]["targets"]["wheel"] == {"packages": ["tract_fs"]}  # all files in it


def test_each_mistake_of_a_program_is_reported_and_no_other(tmp_path: Path) -> None:
    lines = PROGRAM.read_text(encoding="utf-8").splitlines()
    planted = {(n, line.split("# wrong: ")[1]) for n, line in enumerate(lines, 1) if "# wrong: " in line}
    assert len(planted) == 17
    program = tmp_path / "program.py"
    program.write_bytes(PROGRAM.read_bytes())
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context"]
    result = subprocess.run(
        [*command, "--config-file=", "--cache-dir", str(tmp_path / "cache"), str(program)],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": ""},
        capture_output=True,
        text=True,
    )
    found = re.findall(r"^program\.py:(\d+): error: .*  \[([a-z-]+)\]$", result.stdout, re.MULTILINE)
    assert {(int(n), code) for n, code in found} == planted, result.stdout + result.stderr
    assert len(found) == len(planted)


def test_the_errors_that_callers_handle_are_names_of_the_package() -> None:
    exported = {name for name in tract_fs.__all__ if getattr(errors, name, None) is getattr(tract_fs, name)}
    assert exported == {
        "AmbiguousRefError",
        "ArgumentError",
        "BatchOpen",
        "BranchExists",
        "BranchNotFound",
        "BudgetExceeded",
        "ClosedError",
        "CommitNotFoundError",
        "CommitUncertain",
        "ContentValidationError",
        "ContextTooLarge",
        "DamageError",
        "EditTargetError",
        "ExportError",
        "HeadMoved",
        "HistoryIncomplete",
        "JsonValueError",
        "LockTimeout",
        "MergeConflict",
        "MergeError",
        "ObjectTooLarge",
        "OrphanedToolCall",
        "QueryError",
        "ReadOnlyError",
        "StoreError",
        "StoreGone",
        "StoreNotFound",
        "SummarizeError",
        "TagExists",
        "TagNotFound",
        "TokenizerError",
        "TractError",
        "TractDeleted",
        "TractNotFound",
        "TranscriptFlawed",
        "TranscriptFormatUnknown",
        "UsageError",
    }


def test_every_name_of_the_package_can_be_had() -> None:
    assert [name for name in tract_fs.__all__ if not hasattr(tract_fs, name)] == []
    assert sorted(tract_fs.__all__) == sorted([*tract_fs._OWNERS, "__version__"])
    with pytest.raises(AttributeError, match="no attribute 'Nope'"):
        _ = tract_fs.Nope  # type: ignore[attr-defined]
