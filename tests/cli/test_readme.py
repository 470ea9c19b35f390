"""README.md against the code: its Python and its command lines run, its output is what they print, its links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.command import COMMANDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [body for found, body in BLOCKS if found == language]


def matches(pattern: str, text: str) -> bool:
    """Tells whether `text` is `pattern`, in which `...` stands for anything."""
    return re.fullmatch(".*?".join(map(re.escape, pattern.split("..."))), text, re.DOTALL) is not None


def test_the_python_of_the_first_screen_prints_what_stands_below_it(tmp_path: Path) -> None:
    python, expected = blocks("python"), blocks("text")
    assert (len(python), len(expected)) == (1, 1)
    printed = subprocess.check_output([sys.executable, "-c", python[0]], cwd=tmp_path, text=True)
    assert printed == expected[0]


def test_the_python_of_the_first_screen_is_ten_lines() -> None:
    assert len([line for line in blocks("python")[0].splitlines() if line]) <= 10


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def steps(text: str) -> list[tuple[str, str]]:
    """Returns the command lines of a text's consoles, each with what stands below it."""
    consoles = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    found = [step.partition("\n") for shown in consoles for step in re.split(r"^\$ ", shown, flags=re.MULTILINE)[1:]]
    return [(line, expected) for line, _, expected in found]


@pytest.mark.parametrize(
    "title",
    ["The command", pytest.param("A walk through two machines", marks=pytest.mark.needs("git", "rsync"))],
)
def test_the_command_lines_print_what_stands_below_them(tmp_path: Path, title: str) -> None:
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "tract"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tract_fs.cli "$@"\n')
    command.chmod(0o755)
    (tmp_path / "gitconfig").write_text("[user]\n\tname = Ann\n\temail = ann@example.org\n")
    (tmp_path / "work").mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    for line, expected in steps(section(title)):
        told = subprocess.run(
            ["sh", "-c", f"{{ {line}; }} 2>&1"],
            cwd=tmp_path / "work",
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert told.returncode == 0, f"$ {line}\n{told.stdout}"
        assert matches(expected, told.stdout), f"$ {line}\n{told.stdout}"


def test_the_walk_is_short_and_every_console_is_run() -> None:
    walk = section("A walk through two machines")
    assert walk.count("\n") < 90
    assert len(steps(README)) == len(steps(section("The command"))) + len(steps(walk)) > 30


def test_two_lines_set_up_a_fresh_machine() -> None:
    lines = blocks("sh")[0].splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("python3 -m venv .venv && .venv/bin/pip install -q ")
    assert lines[0].endswith(" && .venv/bin/tract demo")
    assert lines[1].endswith(" && .venv/bin/pytest -q -n auto")


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)]+)\)", README))
def test_a_link_leads_to_a_file_of_the_repository(target: str) -> None:
    if not target.startswith("https://github.com/"):
        assert (ROOT / target).is_file()


def test_three_promises_each_have_their_test() -> None:
    promises = [
        line
        for line in README.splitlines()
        if line.startswith("- ") and re.search(r"\]\(tests/\w+/test_\w+\.py\)\.$", line)
    ]
    assert len(promises) == 3


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_table(name: str) -> None:
    rows = [line.split(" | ")[0] for line in README.splitlines() if line.startswith("| `")]
    assert any(re.search(rf"`{name}[ `]", row) for row in rows)
