"""What somebody types who knows git: it works, or the error names the command to use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lab.command import COMMANDS, Run, commit, on_terminal, refused, shown_texts
from tract_fs import Tract
from tract_fs.cli import git_words
from tract_fs.cli.words import as_command


@pytest.fixture
def forked(store: Run) -> Run:
    """Main has one, two and three; side parted after one and has four."""
    commit(store, "-m", "one")
    store("branch", "side")
    commit(store, "-m", "two")
    commit(store, "-m", "three")
    commit(store, "--branch", "side", "-m", "four")
    return store


def texts(run: Run, *arguments: str) -> list[str]:
    told = run(*arguments, "--oneline")
    assert told.code == 0, told.err
    return [line.rsplit("user: ", 1)[1] for line in told.out.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["log", "-2"], ["three", "two"]),
        (["log", "--max-count=1"], ["three"]),
        (["log", "side"], ["four", "one"]),
        (["log", "@~1"], ["two", "one"]),
        (["log", "side..main"], ["three", "two"]),
        (["log", "..side"], ["four"]),
        (["log", "side.."], ["three", "two"]),
        (["log", "--reverse", "-2"], ["two", "three"]),
        (["log", "--grep", "TWO"], ["two"]),
        (["log", "--grep=two", "--decorate"], ["two"]),
        (["log", "--after", "2020-01-01", "--before=2999-01-01"], ["three", "two", "one"]),
        (["log", "--graph", "-1"], ["three"]),
        (["log", "--graph", "side"], ["four", "one"]),
    ],
)
def test_log_takes_what_git_log_takes(forked: Run, arguments: list[str], shown: list[str]) -> None:
    assert texts(forked, *arguments) == shown


@pytest.mark.parametrize("since", ["yesterday", "2 hours ago", "1.week.ago", "3 days"])
def test_a_time_may_be_so_long_ago(forked: Run, since: str) -> None:
    assert texts(forked, "log", "--since", since) == ["three", "two", "one"]
    assert forked("log", "--until", since, "--json").document == []


@pytest.mark.parametrize("arguments", [["log", "-n", "x"], ["log", "-n", "-1"], ["search", "x", "-n", "0"]])
def test_a_count_is_a_whole_number(forked: Run, arguments: list[str]) -> None:
    assert "give a whole number from " in refused(forked, *arguments, error="CommandLineError", code=2)


def test_the_start_of_a_hash_has_four_digits(forked: Run) -> None:
    head = forked("log", "-1", "--json").document[0]["commit_hash"]
    assert forked("show", head[:4]).code in (0, 1)
    assert "the start of a hash needs 4 digits or more; " in forked("show", "a0b").err


def test_log_shows_what_each_commit_changed(forked: Run) -> None:
    forked("edit", "@~2", "-m", "uno")
    shown = forked("log", "-p", "-2").out
    newest, before = shown.split("\ncommit ")
    assert "(@ -> main)" in newest and "-one\n+uno\n" in newest
    assert "+ [3] user" in before and "+three\n" in before
    found = forked("log", "-p", "-1", "--json").document
    assert [entry["kind"] for entry in found[0]["diff"]["entries"]] == ["changed"]
    forked("annotate", "@~1", "skip", "--reason", "why not")
    assert ": why not" in forked("log", "-p", "-1").out


def test_log_on_a_terminal_says_that_there_is_more(forked: Run, tmp_path: Path) -> None:
    assert "the newest 2; -n N lists more, --all lists all" in on_terminal("log", "-n", "2", cwd=tmp_path)
    assert "--all lists" not in on_terminal("log", "-n", "3", cwd=tmp_path)
    assert "--all lists" not in forked("log", "-n", "2").out


@pytest.mark.parametrize("arguments", [["log", "a...b"], ["log", "--graph", "-p"], ["log", "main", "--tag", "v"]])
def test_a_log_without_a_meaning_is_a_usage_error(forked: Run, arguments: list[str]) -> None:
    assert (forked(*arguments).code, forked(*arguments).out) == (2, "")


def test_diff_takes_two_points_as_one_word(forked: Run) -> None:
    for word in ("side..main", "side..", "side..@"):
        assert forked("diff", word).out == forked("diff", "side", "main").out
    assert forked("diff", "side...main").out == forked("diff", "main~2", "main").out
    assert forked("diff", "..side").out == forked("diff", "main", "side").out
    commit(forked, "--branch", "lone", "-c", "-m", "x")
    assert "no commit in common" in forked("diff", "main...lone").err


def test_show_takes_several_refs(forked: Run) -> None:
    told = forked("show", "main", "side")
    assert (told.out.count("commit  "), told.out.count("\ntract ")) == (2, 2)
    assert [one["content"]["text"] for one in forked("show", "main", "side", "--json").document] == ["three", "four"]
    assert forked("show", "main", "--json").document["content"]["text"] == "three"


def test_branches_and_tags_are_deleted_renamed_and_listed_as_in_git(forked: Run) -> None:
    assert forked("branch", "new", "main~1").code == 0
    assert shown_texts(forked, "--branch", "new") == ["one", "two"]
    assert forked("branch", "-v").out.splitlines()[1].endswith("user: two")
    assert forked("branch", "--show-current").out == "main\n"
    assert forked("branch", "--show-current", "--json").document == {"current": "main"}
    forked("branch", "-m", "new", "newer")
    forked("branch", "-m", "trunk")
    forked("branch", "-d", "newer")
    forked("branch", "-D", "side")
    assert list(forked("branch", "--list", "--json").document["branches"]) == ["trunk"]
    assert forked("branch", "-a").out.startswith("* trunk  ")
    forked("tag", "v1")
    assert forked("tag", "-f", "v1", "@~1").code == 0
    assert list(forked("tag", "-l", "--json").document["tags"]) == ["v1"]
    forked("tag", "-d", "v1")
    assert forked("tag").out == ""


def test_switch_makes_a_branch_at_a_commit(forked: Run) -> None:
    assert forked("switch", "-c", "new", "main~2").code == 0
    assert (forked("branch", "--show-current").out, shown_texts(forked)) == ("new\n", ["one"])
    refused(forked, "switch", "main", "@~1", error="CommandLineError", code=2)
    forked("tag", "v1")
    for name in ("v1", "main~1"):
        told = refused(forked, "switch", name, error="CommandError")
        assert f"'tract switch -c NAME {name}' starts a branch there" in told
    assert "did you mean 'main'?" in refused(forked, "switch", "mian", error="BranchNotFound")


def test_a_short_status_is_a_line(forked: Run) -> None:
    head = forked("log", "-n", "1", "--json").document[0]["commit_hash"]
    assert forked("status", "-s").out == f"## main {head[:12]}, 3 commits, 3 in the context, 19 tokens\n"
    Path(".tract/objects/stray").write_text("x")
    assert forked("status", "--short").out.splitlines()[1:] == ["unknown: 1"]


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["checkout", "-b", "x"], "'tract switch NAME' switches to a branch"),
        (["grep", "x"], "'tract search PHRASE'"),
        (["stash"], "'tract undo'"),
        (["gc"], "'tract pack'"),
        (["fsck"], "'tract repair'"),
        (["push"], "'tract sync PATH'"),
        (["rebase", "main"], "'tract cherry-pick REF'"),
        (["add", "."], "'tract commit -m TEXT'"),
        (["commit", "--amend", "-m", "x"], "'tract edit @ -m TEXT'"),
        (["commit", "-am", "x"], "'tract commit -m TEXT'"),
        (["reset", "--hard", "@~1"], "'tract undo' takes that back"),
        (["merge", "--abort"], "has written nothing"),
        (["log", "--author", "x"], "'tract query'"),
        (["tag", "-a", "v1", "-m", "x"], "tract tag NAME [REF]"),
        (["diff", "--cached"], "'tract diff' shows what the last commit changed"),
        (["log", "--color=always"], "$NO_COLOR"),
    ],
)
def test_a_word_of_git_without_a_meaning_here_is_answered_with_the_right_command(
    forked: Run, arguments: list[str], advice: str
) -> None:
    told = forked(*arguments)
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert advice in told.err
    assert advice in refused(forked, *arguments, error="CommandLineError", code=2)


def test_a_text_without_its_option_is_answered_with_the_option(forked: Run) -> None:
    assert "give the text with -m TEXT" in refused(forked, "commit", "some text", error="CommandLineError", code=2)
    assert "give the text with -m TEXT" in forked("edit", "@", "some text").err


def test_each_command_that_an_advice_names_is_one(run: Run) -> None:
    advice = "\n".join([*git_words.COMMANDS.values(), *git_words._OPTIONS.values()])
    named = set(re.findall(r"'tract ([a-z][a-z-]*)", advice))
    assert named <= set(COMMANDS)
    assert not git_words.COMMANDS.keys() & set(COMMANDS)
    for command, option in re.findall(r"'tract ([a-z-]+(?: create)?)[^']*? (--[a-z-]+)", advice):
        assert option in run(*command.split(), "--help").out, (command, option)
    for (command, _), spelling in git_words._MEANT.items():
        shown = run(command, "--help").out
        assert all(re.search(rf"(?:^| ){word}\b", shown) for word in spelling), (command, spelling)


def test_a_mistyped_commit_is_answered_with_the_one_that_is_meant(forked: Run) -> None:
    expected = "commit 'mian' is not in tract 'default' (did you mean 'main'?); 'tract log' lists the commits"
    assert expected in forked("show", "mian").err
    assert expected in refused(forked, "annotate", "mian", "skip", error="CommitNotFoundError")


def test_the_start_of_a_tract_id_is_enough_to_read(forked: Run) -> None:
    commit(forked, "--tract", "claude-1a2b-3c4d", "-c", "-m", "in it")
    assert shown_texts(forked, "--tract", "claude-1a") == ["in it"]
    said = refused(forked, "annotate", "@", "skip", "--tract", "claude-1a", error="CommandError")
    assert "did you mean 'claude-1a2b-3c4d'?" in said
    assert "did you mean 'claude-1a2b-3c4d'?" in forked("log", "--tract", "1a2b").err
    commit(forked, "--tract", "claude-1a2b-9999", "-c", "-m", "in the other")
    assert "no tract 'claude-1a' in this store; there are: " in forked("log", "--tract", "claude-1a").err
    forked("init", "--tract", "claude")
    commit(forked, "--tract", "claude-x", "-c", "-m", "x")
    assert forked("log", "--tract", "claude").err == "no commits yet\n"


def test_the_tracts_are_listed(store: Run) -> None:
    assert (store("tracts").out, store("tracts").err) == ("", "no tracts yet\n")
    commit(store, "-m", "one")
    commit(store, "-m", "two")
    commit(store, "--tract", "b", "-c", "-m", "three")
    with Tract.open(".", tract_id="b") as t:
        t.describe(title="A title\x1b[31m")
    lines = store("tracts").out.splitlines()
    assert [line.split()[0] for line in lines] == ["tract", "b", "default"]
    assert (lines[1].endswith("  A title\\x1b[31m"), lines[2].split()[-1]) == (True, "2")
    assert [(one["tract_id"], one["commit_count"]) for one in store("tracts", "--json").document] == [
        ("b", 1),
        ("default", 2),
    ]
    for n in range(5):
        commit(store, "--tract", f"c{n}", "-c", "-m", "x")
    assert "there are 7, which 'tract tracts' lists" in store("log", "--tract", "nowhere").err
    assert "no tract 'nowhere'" not in store("status", "--tract", "default").err


def test_blocks_and_records_are_shown_in_words(store: Run) -> None:
    blocks = [
        {"type": "thinking", "thinking": "Let me look.", "signature": "abc"},
        {"type": "text", "text": "First a line,\nthen another."},
        {"type": "tool_use", "id": "t1", "name": "Read", "input": {"path": "a.txt"}},
    ]
    record = {"content_type": "record", "kind": "transcript", "data": {"record": {"type": "mode", "mode": "plan"}}}
    with Tract.open(".") as t:
        t.commit({"content_type": "message", "message": {"role": "assistant", "content": blocks}})
        t.commit(record)
    lines = store("log").out.splitlines()
    assert lines[1].endswith('  mode { "mode": "plan" }')
    assert "  assistant: [thinking] Let me look. First a line, then another. calls Read({" in lines[2]
    assert (
        "\n[thinking] Let me look.\nFirst a line,\nthen another.\ncalls Read({"
        in store("compile", "--orphans", "keep").out
    )
    assert '"signature": "abc"' in store("show", "@~1").out
    assert "[1] assistant  " in store("why").out or "assistant: [thinking]" in store("why").out


def test_a_narrow_terminal_cuts_texts_and_no_hash(store: Run, tmp_path: Path) -> None:
    name = "claude-code-03eb5929-52b3-4b13-ada3-b93ae35806b8-agent-a1b2c3d"
    head = commit(store, "--tract", name, "-c", "-m", "word " * 40, "--config", "model=claude-haiku-4-5-20251001")
    for arguments in (["query", "model is set", "--all-tracts"], ["log", "--tract", name], ["tracts"]):
        lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in _lines(tmp_path, *arguments)]
        assert (
            all(len(line) <= 80 for line in lines) or arguments[0] == "query"
        )  # seven columns, which the terminal wraps
        assert head[:12] in lines[1] or arguments == ["tracts"]
        assert name[:15] in lines[1] or arguments[0] == "log"
    for arguments in (["log", "--oneline"], ["log", "--graph"]):
        lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in _lines(tmp_path, "--tract", name, *arguments)]
        assert (len(lines), len(lines[0]) <= 80, lines[0].endswith("…")) == (1, True, True)


def _lines(folder: Path, *arguments: str) -> list[str]:
    return on_terminal(*arguments, cwd=folder, COLUMNS="80").splitlines()


def test_the_words_of_the_command_leave_names_alone() -> None:
    assert (
        as_command("tract 'log()' has no tag 'x'; see tags()") == "tract 'log()' has no tag 'x'; 'tract tag' lists them"
    )
    assert (
        as_command('commit "see tags()" is gone; see status()') == "commit \"see tags()\" is gone; see 'tract status'"
    )
    assert as_command("merge('a:main') brings it in") == "'tract merge a:main' brings it in"
    assert (
        as_command("this copy's log has it (incomplete='use', --incomplete)") == "this copy's log has it (--incomplete)"
    )
