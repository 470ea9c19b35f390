"""README.md and the guides against the code: their Python and command lines run, their output is what these print, their links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import parse
from tests.lab.command import COMMANDS

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "tract_fs" / "guide"
PAGES = {path: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *sorted(GUIDE.glob("*.md"))]}
README = PAGES[ROOT / "README.md"]
MERGING = PAGES[GUIDE / "merging.md"]
ASKING = PAGES[GUIDE / "asking.md"]
TRANSCRIPTS = PAGES[GUIDE / "transcripts.md"]
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


def section(page: str, title: str) -> str:
    return page.split(f"\n## {title}\n")[1].split("\n## ")[0]


def steps(text: str) -> list[tuple[str, str]]:
    """Returns the command lines of a text's consoles, each with what stands below it."""
    consoles = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    found = [step.partition("\n") for shown in consoles for step in re.split(r"^\$ ", shown, flags=re.MULTILINE)[1:]]
    return [(line, expected) for line, _, expected in found]


@pytest.mark.parametrize(
    ("page", "title"),
    [
        pytest.param(README, "Ask it", id="README"),
        pytest.param(MERGING, "A walk through two machines", id="walk", marks=pytest.mark.needs("git", "rsync")),
        pytest.param(TRANSCRIPTS, "Two machines", id="sessions"),
        pytest.param(ASKING, "From a question to the branch that won", id="asking"),
    ],
)
def test_the_command_lines_print_what_stands_below_them(tmp_path: Path, page: str, title: str) -> None:
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
    folder = tmp_path / "work"
    for line, expected in steps(section(page, title)):
        if line.startswith("cd "):
            folder /= line.removeprefix("cd ")
            continue
        told = subprocess.run(
            ["sh", "-c", f"{{ {line}; }} 2>&1"],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert told.returncode == 0, f"$ {line}\n{told.stdout}"
        assert matches(expected, told.stdout), f"$ {line}\n{told.stdout}"


def test_the_readme_goes_from_a_question_to_the_branch_that_won_in_under_ten_commands() -> None:
    lines = [line for line, _ in steps(section(README, "Ask it"))]
    assert len(lines) < 10
    assert [line.split()[1] for line in lines if line.startswith("tract ")] == [
        *("demo", "query", "why", "retry", "commit", "compare", "export"),
    ]


def test_the_walk_is_short_and_every_console_is_run() -> None:
    walk = section(MERGING, "A walk through two machines")
    assert walk.count("\n") < 90
    run = len(steps(section(README, "Ask it"))) + len(steps(walk))
    run += len(steps(section(TRANSCRIPTS, "Two machines"))) + len(steps(ASKING))
    assert sum(len(steps(page)) for page in PAGES.values()) == run > 30


def test_the_lines_of_the_benchmarks_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line for page in PAGES.values() for line in re.findall(r"^python -m benchmarks.*$", page, re.MULTILINE)]
    assert len(lines) == 4
    for line in lines:
        monkeypatch.setattr("sys.argv", ["benchmarks", *shlex.split(line, comments=True)[3:]])
        parse()


def test_the_readme_is_short() -> None:
    assert README.count("\n") <= 165
    assert len(README) <= 13_000


def test_two_lines_set_up_a_fresh_machine() -> None:
    lines = blocks("sh")[0].splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("python3 -m venv .venv && .venv/bin/pip install ")
        assert " -q " not in line.split(" && ")[1]  # pip shows what it does
    assert lines[0].endswith(" && .venv/bin/tract demo")
    assert lines[1].endswith(" && .venv/bin/pytest -q -n auto")


def places(page: str) -> set[str]:
    """Returns what a link may name in a page: its headings, as GitHub writes them."""
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in re.findall(r"^#+ (.*)$", page, re.M)}


@pytest.mark.parametrize(
    ("path", "target"),
    [
        pytest.param(path, target, id=f"{path.name}: {target}")
        for path, page in PAGES.items()
        for target in re.findall(r"\]\(([^)]+)\)", page)
    ],
)
def test_a_link_leads_to_a_place_in_the_repository(path: Path, target: str) -> None:
    if target.startswith("https://github.com/"):
        return
    name, _, place = target.partition("#")
    found = path.parent / name
    assert found.is_file()
    assert found.resolve().is_relative_to(ROOT)
    assert not place or place in places(found.read_text(encoding="utf-8"))


def test_the_readme_links_every_guide() -> None:
    linked = set(re.findall(r"\]\((tract_fs/guide/\w+\.md)\)", README))
    assert linked == {str(path.relative_to(ROOT)) for path in PAGES if path.parent == GUIDE}
    assert len(linked) == 8


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
