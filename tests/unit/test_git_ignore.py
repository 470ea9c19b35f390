"""Ignore rules above a store: judged as the real git judges them, and mended by the lines that the answer gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.outer_git import git
from tract_fs.store.git_ignore import find_ignored

EXCLUDE = ".git/info/exclude"
IGNORED = [  # a file, its lines, and what the last rule leaves out of a store in a/b
    (".gitignore", ".*", ".*", "a/b/.tract"),
    (".gitignore", ".tract", ".tract", "a/b/.tract"),
    (".gitignore", ".tract/", ".tract/", "a/b/.tract"),
    (".gitignore", "*", "*", "a"),
    (".gitignore", "/a/", "/a/", "a"),
    (".gitignore", "b", "b", "a/b"),
    (".gitignore", "a/b", "a/b", "a/b"),
    (".gitignore", "a/**", "a/**", "a/b"),
    (".gitignore", "**/.tract", "**/.tract", "a/b/.tract"),
    (".gitignore", "a/**/.tract", "a/**/.tract", "a/b/.tract"),
    (".gitignore", "a/*/.tract", "a/*/.tract", "a/b/.tract"),
    (".gitignore", "*/b", "*/b", "a/b"),
    (".gitignore", "!.tract\n.t[!x]*t  \r", ".t[!x]*t", "a/b/.tract"),
    (".gitignore", ".[[:alpha:]]*", ".[[:alpha:]]*", "a/b/.tract"),
    (".gitignore", "\\.tr\\act", "\\.tr\\act", "a/b/.tract"),
    (".gitignore", "\ufeff.?ract", ".?ract", "a/b/.tract"),
    ("a/.gitignore", "/b", "/b", "a/b"),
    ("a/b/.gitignore", "*", "*", "a/b/.tract"),
    (EXCLUDE, ".*", ".*", "a/b/.tract"),
]
TRACKED = [
    "# .tract",
    ".tract/*",
    ".tract/**",
    "/.tract",
    "/b",
    "a/.tract",
    "**/a/.tract",
    "objects\nevents\nFORMAT\n*.lock",
    ".*\n!.tract",
    "*\n!/a\n!b/\n!.tract/",
    "\\!.tract",
    "\\#",
    "[",
    "!",
    "/",
]


def make_files(top: Path, file: str, lines: str) -> Path:
    """Makes a repository with a file of rules, and what a store in `a/b` begins with; returns that directory."""
    top.mkdir(exist_ok=True)
    git(top, "init", "-q")
    store = top / "a/b/.tract"
    (store / "objects/00").mkdir(parents=True)
    (store / ".gitignore").write_text("!*\n/local\n")
    for name in ("FORMAT", "objects/00/one.lock"):
        (store / name).write_text("x\n")
    for name in ("top.txt", "a/middle.txt", "a/b/beside.txt"):
        (top / name).write_text("x\n")
    (top / file).write_text(lines + "\n", encoding="utf-8", newline="")
    return store.parent


def added(top: Path) -> set[str]:
    """Returns what `git add .` takes."""
    git(top, "rm", "-rfq", "--cached", "--ignore-unmatch", ".")
    git(top, "add", ".")
    return set(git(top, "ls-files").split())


@pytest.mark.needs("git")
@pytest.mark.parametrize(("file", "lines", "rule", "path"), IGNORED)
def test_a_rule_that_ignores_the_store_is_found_and_its_lines_mend_it(
    tmp_path: Path, file: str, lines: str, rule: str, path: str
) -> None:
    context = make_files(tmp_path, file, lines)
    before = added(tmp_path)
    assert "a/b/.tract/FORMAT" not in before
    found = find_ignored(str(context))
    assert found is not None
    assert (found.file, found.rule, found.path) == (file, rule, path)
    with (tmp_path / found.mend_file).open("a") as rules:
        rules.write("\n".join(found.mend) + "\n")
    assert find_ignored(str(context)) is None
    new = added(tmp_path) - before
    assert {name for name in new if name != found.mend_file} == {
        "a/b/.tract/.gitignore",
        "a/b/.tract/FORMAT",
        "a/b/.tract/objects/00/one.lock",
    }


@pytest.mark.needs("git")
@pytest.mark.parametrize("lines", TRACKED)
def test_rules_that_leave_the_store_alone_are_no_reason_for_a_warning(tmp_path: Path, lines: str) -> None:
    context = make_files(tmp_path, ".gitignore", lines)
    assert {"a/b/.tract/FORMAT", "a/b/.tract/objects/00/one.lock"} <= added(tmp_path)
    assert find_ignored(str(context)) is None


@pytest.mark.needs("git")
def test_the_deepest_file_decides_and_a_linked_work_tree_shares_the_exclude_file(tmp_path: Path) -> None:
    context = make_files(tmp_path / "top", ".gitignore", ".*\n!.gitignore")
    (context / ".gitignore").write_text("!.tract\n")
    assert find_ignored(str(context)) is None
    git(tmp_path / "top", "add", "a/middle.txt")
    git(tmp_path / "top", "commit", "-qm", "begin")
    git(tmp_path / "top", "worktree", "add", "-q", "../linked")
    (tmp_path / "top" / EXCLUDE).write_text(".tract\n")
    found = find_ignored(str(tmp_path / "linked/a"))
    assert found is not None
    assert (found.path, found.file, found.mend_file) == ("a/.tract", EXCLUDE, ".gitignore")


def test_no_link_and_no_huge_file_is_read_and_no_rule_takes_long(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").write_text("ref: refs/heads/main\n")
    rules = tmp_path / ".gitignore"
    (tmp_path / "elsewhere").write_text(".tract\n")
    rules.symlink_to(tmp_path / "elsewhere")
    assert find_ignored(str(tmp_path)) is None
    rules.unlink()
    rules.write_bytes(b".tract\n" * 100_000)
    assert find_ignored(str(tmp_path)) is None
    rules.write_bytes(b"*a" * 20_000 + b"\n" + b"/**" * 20_000 + b"\n\xff\xfe\0\n")
    deep = tmp_path / "/".join(["a" * 200] * 8)
    assert find_ignored(str(deep)) is not None


def test_names_that_are_patterns_are_escaped_in_the_lines(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").write_text("ref: refs/heads/main\n")
    (tmp_path / ".gitignore").write_text(".*\n")
    found = find_ignored(str(tmp_path / "a [b]*"))
    assert found is not None
    assert found.mend == ("!/a \\[b]\\*/.tract/",)
    assert found.describe() == (
        "git ignores a [b]*/.tract by the rule '.*' in .gitignore, so 'git add' takes nothing of this store; if git is to "
        "have it, add at the end of .gitignore: '!/a \\\\[b]\\\\*/.tract/'"
    )
