"""`tract log --oneline`, `--graph`, `--stat` and the pager."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lab.command import Run, commit, on_terminal
from tract_fs import Tract
from tract_fs.cli.graph import children_first, draw

GRAPHS = [
    pytest.param({"b": ["a"], "a": []}, ["b"], ["* b", "* a"], id="line"),
    pytest.param(
        {"m": ["b", "c"], "b": ["a"], "c": ["a"], "a": []},
        ["m"],
        ["* m", "|\\", "| * c", "* | b", "|/", "* a"],
        id="merge",
    ),
    pytest.param(
        {"b": ["a"], "c": ["a"], "d": ["a"], "a": []},
        ["b", "c", "d"],
        ["* b", "| * c", "|/", "| * d", "|/", "* a"],
        id="three heads",
    ),
    pytest.param({"b": ["a"], "a": [], "z": []}, ["b", "z"], ["* b", "* a", "* z"], id="two roots"),
    pytest.param(
        {"m": ["b", "c"], "n": ["b", "c"], "b": [], "c": []},
        ["m", "n"],
        ["* m", "|\\", "| | * n", "| | |\\", "| |/ /", "|/|/", "| * c", "* b"],
        id="crossed merges",
    ),
    pytest.param(
        {"m": ["a", "b", "c"], "a": [], "b": [], "c": []},
        ["m"],
        ["* m", "|\\", "| |\\", "| | * c", "| * b", "* a"],
        id="three parents",
    ),
]


@pytest.mark.parametrize(("parents", "heads", "lines"), GRAPHS)
def test_a_graph_is_drawn_as_git_draws_it(parents: dict[str, list[str]], heads: list[str], lines: list[str]) -> None:
    order = children_first(heads, parents)
    assert [f"{shown} {name}" if name else shown for shown, name in draw(order, parents)] == lines


def test_children_stand_above_their_parents_however_long_the_history_is() -> None:
    parents = {str(n): [str(n - 1)] if n else [] for n in range(20_000)}
    assert children_first(["19999"], parents) == [str(n) for n in range(19_999, -1, -1)]
    assert children_first(["b"], {"b": ["gone"]}) == ["b"]


def test_a_graph_stays_narrow_whatever_a_history_holds() -> None:
    many = [f"p{n}" for n in range(3000)]
    roots: dict[str, list[str]] = {name: [] for name in many}
    lines = list(draw(["m", *many], {"m": many} | roots))
    assert lines[0] == ("* …", "m")
    assert [name for _, name in lines if name] == ["m", *many]
    assert max(len(shown) for shown, _ in lines) <= 32
    parents = {f"h{n}": [f"p{n}"] for n in range(3000)} | roots
    lines = list(draw([name for name in parents if name.startswith("h")], parents))
    assert lines[63:65] == [("| " * 63 + "*", "h63"), ("| " * 64 + "… *", "h64")]
    assert max(len(shown) for shown, _ in lines) <= 131


@pytest.fixture
def forked(store: Run) -> Run:
    """Two branches that parted at "two"; main has merged what side had then, and side went on."""
    commit(store, "-m", "one")
    commit(store, "-m", "two")
    store("branch", "side")
    commit(store, "--branch", "side", "-m", "theirs")
    commit(store, "-m", "mine")
    store("tag", "v1")
    store("merge", "side")
    commit(store, "--branch", "side", "-m", "open")
    return store


def texts(out: str) -> list[str]:
    """Returns the lines of a graph without their hashes, and without those of the commits that a merge joins."""
    return [re.sub(r"\b[0-9a-f]{8,12}\b", "#", line) for line in out.splitlines()]


def test_a_graph_shows_lines_merges_and_names(forked: Run) -> None:
    assert texts(forked("log", "--graph", "--oneline").out) == [
        "* # (@ -> main) joins #, #",
        "|\\",
        "| * # user: theirs",
        "* | # (tag: v1) user: mine",
        "|/",
        "* # user: two",
        "* # user: one",
    ]
    lines = texts(forked("log", "--graph", "--oneline", "--all-branches").out)
    assert lines[3:7] == ["| | * # (side) user: open", "| |/", "| * # user: theirs", "|/"]
    assert texts(forked("log", "--graph", "-n", "2").out)[-1].startswith("| * # 20")


def test_a_graph_for_programs_lists_the_commits_in_its_order(forked: Run) -> None:
    for arguments in (["--all", "@"], ["--all", "--branch", "main"], ["-n", "5"]):
        found = forked("log", "--graph", "--json", *arguments).document
        assert [one["operation"] for one in found] == ["merge", "append", "append", "append", "append"]


def test_all_of_a_graph_are_all_branches_as_in_git(forked: Run) -> None:
    shown = forked("log", "--all", "--decorate", "--oneline", "--graph")
    assert shown.out == forked("log", "--graph", "--oneline", "--all-branches").out
    assert len(forked("log", "--graph", "--json", "--all").document) == 6


def test_both_heads_of_a_branch_are_drawn(store: Run) -> None:
    commit(store, "-m", "one")
    Path("copy").mkdir()
    store("sync", "copy")
    commit(store, "-m", "here")
    commit(store, "-C", "copy", "-m", "there")
    store("sync", "copy")
    lines = texts(store("log", "--graph", "--oneline").out)
    assert [line for line in lines if "another head" in line] == ["| * # (main, another head) user: there"]


def test_a_short_line_names_its_commit_alone(forked: Run) -> None:
    for line in forked("log", "--oneline").out.splitlines():
        shown = forked("show", line.split()[0], "--json").document
        assert shown["commit_hash"].startswith(line.split()[0])


def test_a_branch_named_like_a_hash_does_not_stand_for_the_commit(store: Run) -> None:
    name = commit(store, "-m", "x")
    commit(store, "-m", "y")
    store("branch", name[:8])
    assert store("log", "--oneline").out.splitlines()[1].startswith(f"{name[:12]} ")


def test_stat_shows_tokens_and_bytes(store: Run) -> None:
    commit(store, "-m", "one")
    stored = b'{"content":{"content_type":"dialogue","role":"user","text":"one"}}'
    assert any(path.read_bytes() == stored for path in Path(".tract/objects").rglob("*") if path.is_file())
    assert len(stored) == 66
    assert texts(store("log", "--oneline", "--stat").out) == [
        "# (@ -> main) [5 tokens, 66 bytes] user: one",
        "1 commit, 5 tokens",
    ]
    assert store("log", "--stat").out.splitlines()[0].split() == [
        "commit",
        "made",
        "(UTC)",
        "what",
        "tokens",
        "bytes",
        "text",
    ]


@pytest.mark.parametrize("arguments", [["--graph", "--text", "x"], ["--all-branches"]])
def test_what_goes_together_is_said(store: Run, arguments: list[str]) -> None:
    told = store("log", *arguments)
    assert (told.code, "--graph" in told.err) == (2, True)


def test_a_graph_obeys_no_text(store: Run) -> None:
    evil = "a\x1b]0;t\x07\u202e\x9b31m\n* deadbeef (@ -> main) user: all is well"
    commit(store, "-m", evil, "--message", evil, "--config", f"{evil}=1", "--metadata", f"{evil}=1")
    with Tract.open(".") as t:
        t.branch("b\u202e\x9b")
        t.tag("t\u2066")
    for arguments in (["--graph", "--stat"], ["--oneline"], ["--graph", "--oneline", "--all-branches"]):
        out = store("log", *arguments).out
        assert not set(out) & set("\x1b\x07\x9b\u202e\u2066")
        assert "a\\x1b]0;t\\x07\\u202e\\x9b31m * deadbeef" in out
        assert "(@ -> main, b\\u202e\\x9b, tag: t\\u2066)" in out
        assert len([line for line in out.splitlines() if "user: " in line]) == 1


# the pager


def test_a_long_answer_goes_through_the_pager(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "hello")
    pager = f"tr a-z A-Z > {tmp_path}/paged"
    assert on_terminal("log", "--oneline", cwd=tmp_path, TRACT_PAGER=pager) == ""
    paged = (tmp_path / "paged").read_text()
    assert "USER: HELLO" in paged and "\x1b[33M" in paged  # in colour, though it is a pipe
    assert "hello" in on_terminal("--no-pager", "log", cwd=tmp_path, TRACT_PAGER=pager)
    assert "hello" in on_terminal("log", "--no-pager", cwd=tmp_path, TRACT_PAGER=pager)
    assert '"hello"' in on_terminal("show", "--json", cwd=tmp_path, TRACT_PAGER=pager)
    assert "side" in on_terminal("branch", "side", cwd=tmp_path, TRACT_PAGER=pager)


def test_the_pager_is_the_users(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "hello")
    assert "PAGED" in on_terminal("log", cwd=tmp_path, TRACT_PAGER="echo PAGED", PAGER="echo OTHER")
    assert "hello" in on_terminal("log", cwd=tmp_path, TRACT_PAGER="cat")
    assert "hello" in on_terminal("log", cwd=tmp_path, TRACT_PAGER="", PAGER="echo OTHER")
    assert "hello" in on_terminal("log", cwd=tmp_path, TRACT_PAGER="echo PAGED", TERM="dumb")


def test_leaving_the_pager_early_is_no_failure(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "line\n" * 100_000)
    assert on_terminal("show", cwd=tmp_path, TRACT_PAGER="head -n 1").startswith("\x1b[2mcommit")
    assert "not found" in on_terminal("show", cwd=tmp_path, TRACT_PAGER="no-such-pager-here")
