"""`tract browse`: what it shows and finds, keys, hostile texts, damage, other writers, and the terminal that it leaves as it was."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.lab.command import Run, commit, refused
from tests.lab.screen import Screen, Terminal, browse
from tests.lab.states import copy_store, event_files, remove_local, store_root
from tests.lab.stores import redact
from tests.lab.talk import Clock, say
from tract_fs import DialogueContent, InstructionContent, Tract
from tract_fs.cli.browse.history import History
from tract_fs.cli.browse.lines import Document, Line, text_lines

Work = Callable[[Screen], Awaitable[None]]


@pytest.fixture
def talk(path: Path) -> dict[str, str]:
    """A talk with an edit, a skip, a summary, two branches and a merge; returns the commits by name."""
    with Tract.open(path, clock=Clock(), durability="fast") as t:
        t.describe(title="Capitals")
        rule = t.commit(InstructionContent("Be short."), message="the first rule", metadata={"run": 7})
        question = t.add("What is the capitol of France?")
        answer = t.add(
            {"role": "assistant", "content": "Paris."}, generation_config={"model": "m-1", "temperature": 0.9}
        )
        t.record_usage({"prompt_tokens": 14, "completion_tokens": 3})
        edit = t.edit(question.commit_hash, "What is the capital of France?")
        t.tag("v1", answer.commit_hash)
        with t.on("side", create=True) as side:
            other = side.add("Tell me of Berlin.")
        t.annotate(answer.commit_hash, "skip", reason="too curt")
        one, two = say(t, "one more", "two more")
        summary = t.summarize([one, two], "They said two things.")
        t.merge("side")
        end = t.add("The end?")
    named = {"rule": rule, "question": question, "answer": answer, "edit": edit, "other": other, "end": end}
    return {name: info.commit_hash for name, info in named.items()} | {"summary": summary.commit_hash, "one": one}


def test_the_graph_and_the_commit_with_all_that_is_known_of_it(path: Path, talk: dict[str, str]) -> None:
    async def work(screen: Screen) -> None:
        await screen.until(
            "default: Capitals", "2 branches", f"* {talk['end'][:8]} (@ -> main) user: The end?", "1 commit"
        )
        await screen.until(f"| * {talk['other'][:8]} (side) user: Tell me of Berlin.", "operation   append")
        await screen.press("G")
        await screen.until("the first rule", '"run": 7', "Be short.", "type        instruction")
        await screen.press("k", "k")
        await screen.until("config      model=m-1 temperature=0.9", "usage       14 prompt, 3 completion")
        await screen.until("branches    tag: v1", "annotations skip: too curt (", "Paris.")
        await screen.press("j")
        await screen.until("What is the capitol of France?", f"edited by   {talk['edit'][:12]}")

    browse(path, work)


def test_a_context_shows_what_it_leaves_out_and_why(path: Path, talk: dict[str, str]) -> None:
    async def work(screen: Screen) -> None:
        await screen.press("2")
        await screen.until("[5] user", "The end?")
        shown = screen.side("right")
        assert (
            "5 messages of 5 commits, 49 tokens by estimate:utf8/4; left out: 1 skipped, 2 summarized"
            in shown.replace("\n", " ")
        )
        assert (
            f"[2] user  {talk['question'][:12]}  12 tokens\n  What is the capital of France?\n  It has 1 edit ("
            in shown
        )
        assert f"· {talk['answer'][:12]} assistant: Paris.\n  It is left out: " in shown
        assert "set its priority to skip (too curt) at 2026-01-02" in shown.replace("\n  ", " ")
        assert f"It is left out: the summary {talk['summary'][:12]} stands for it." in shown.replace("\n  ", " ")
        assert "They said two things.\n  It stands for 2 commits: " in shown

    browse(path, work)


def test_the_diff_of_two_marked_commits_and_of_one_with_its_parent(path: Path, talk: dict[str, str]) -> None:
    async def work(screen: Screen) -> None:
        await screen.press("3")
        await screen.until("+The end?", "1 added, 0 removed")
        await screen.press("a", "G", "b")
        await screen.until(f"A {talk['end'][:12]} → B {talk['rule'][:12]}", "-Tell me of Berlin.", "B* ")
        await screen.press("b", "g", "a")
        await screen.until("+The end?", gone="B* ")

    browse(path, work)


def test_usage_is_summed_by_model_and_branch(path: Path, talk: dict[str, str]) -> None:
    async def work(screen: Screen) -> None:
        await screen.press("4")
        await screen.until("m-1        14           0         0           3", "side")

    browse(path, work)


def test_a_phrase_is_found_and_leads_into_the_graph(path: Path, talk: dict[str, str]) -> None:
    async def work(screen: Screen) -> None:
        await screen.until("The end?")
        await screen.press("slash")
        await screen.type("CAPIT")
        await screen.press("enter")
        await screen.until("2 found: /CAPIT", "user: What is the capit")
        await screen.press("j", "enter")
        await screen.until("The end?", "edited by")
        await screen.press("n")
        await screen.until(f"{talk['edit'][:8]}", f"targets     {talk['question'][:12]}")
        await screen.press("N")
        await screen.until("edited by")
        await screen.press("slash")
        await screen.type("no such text")
        await screen.press("enter")
        await screen.until("nothing matches")
        await screen.press("escape")
        await screen.until("The end?", gone="nothing matches")

    browse(path, work)


def test_escape_leads_from_what_was_found_to_where_the_graph_was(path: Path, talk: dict[str, str]) -> None:
    async def work(screen: Screen) -> None:
        await screen.until("The end?")
        await screen.press("j", "j", "slash")
        await screen.type("berlin")
        await screen.press("enter")
        await screen.until("1 found", "user: Tell me of Berlin.", gone="The end?")
        await screen.press("escape")
        await screen.until("The end?", gone="1 found")
        assert screen.view("left").cursor == 3  # the row after that of a merge

    browse(path, work)


def test_a_commit_that_no_branch_has_gets_a_line_of_its_own(path: Path, talk: dict[str, str]) -> None:
    with Tract.open(path, durability="fast") as t:
        lost = t.add("left behind").commit_hash
        t.reset("@~1")

    async def work(screen: Screen) -> None:
        await screen.until("The end?", gone="left behind")
        await screen.press("slash")
        await screen.type("left behind")
        await screen.press("enter")
        await screen.until("1 found", f"commit      {lost[:20]}")
        await screen.press("enter")
        await screen.until(f"* {lost[:8]} user: left behind", "The end?")

    browse(path, work)
    browse(path, lambda screen: screen.until(f"* {lost[:8]} user: left behind", "The end?"), start=lost)


def test_an_expression_finds_and_one_that_is_not_understood_shows_its_caret(path: Path, talk: dict[str, str]) -> None:
    async def work(screen: Screen) -> None:
        await screen.press("colon")
        await screen.type("temperature >> 1")
        await screen.press("enter")
        await screen.until("can't understand the query: ", "at character 14")
        rows = screen.text().split("\n")
        place = rows.index("  temperature >> 1")
        assert rows[place + 1] == "               ^"
        await screen.press(*["backspace"] * 3)
        await screen.type(" 0.5")
        await screen.press("enter")
        await screen.until("1 found: :temperature > 0.5", "assistant: Paris.")

    browse(path, work)


def test_a_branch_and_a_tract_are_chosen(path: Path, talk: dict[str, str]) -> None:
    with Tract.open(path, tract_id="other", durability="fast") as other:
        other.add("of another tract")

    async def work(screen: Screen) -> None:
        await screen.until("The end?")
        await screen.press("B")
        await screen.until("all branches", f"side  {talk['other'][:8]}")
        await screen.type("sid")
        await screen.until(f"side  {talk['other'][:8]}", gone="all branches")
        await screen.press("enter")
        await screen.until("branch side", "(@ -> side) user: Tell me of Berlin.", gone="The end?")
        await screen.press("T")
        await screen.until("other    1 commit", "default  Capitals  11 commits")
        await screen.press("down", "enter")
        await screen.until("other   1 branch", "(@ -> main) user: of another tract")
        await screen.press("T", "escape")
        await screen.until("of another tract", gone="Capitals")

    browse(path, work)


def test_keys_move_change_sides_and_leave(path: Path, talk: dict[str, str]) -> None:
    async def work(screen: Screen) -> None:
        await screen.until("The end?")
        await screen.press("question_mark")
        await screen.until("find a phrase in the texts", "light or dark")
        await screen.press("escape")
        await screen.until("The end?", gone="light or dark")
        assert screen.app.focused is screen.view("left")
        await screen.press("tab")
        assert screen.app.focused is screen.view("right")
        await screen.press("escape", "enter")
        assert screen.app.focused is screen.view("right")
        await screen.press("shift+tab")
        assert screen.app.focused is screen.view("left")
        assert screen.app.theme == "textual-dark"
        await screen.press("t")
        assert screen.app.theme == "textual-light"
        left = screen.view("left")
        for keys, row in (("down down", 3), ("up", 1), ("pagedown", 12), ("pageup", 0), ("end", 12), ("home", 0)):
            await screen.press(*keys.split())
            await screen.cursor_at(row)
        await screen.click("left", row=3)
        await screen.until(f"commit      {talk['summary']}")
        await screen.click("left", row=left.cursor)
        assert screen.app.focused is screen.view("right")
        await screen.press("q")

    assert browse(path, work) == 0


@pytest.mark.parametrize("where", ["graph", "help", "prompt"])
def test_ctrl_c_leaves_from_everywhere(path: Path, talk: dict[str, str], where: str) -> None:
    async def work(screen: Screen) -> None:
        await screen.until("The end?")
        await screen.press(*{"graph": (), "help": ("question_mark",), "prompt": ("slash", "x")}[where])
        await screen.press("ctrl+c")

    assert browse(path, work) == 130


HOSTILE = (
    "[bold red]loud[/] [@click=app.quit]here[/] [link=http://x]x[/link]",
    "\x1b[31mred\x1b]0;title\x07 \x9b2J",
    "evil \u202etxt.exe\u2066 \u200fmark\u2028line",
    "日本語 🎉 👩\u200d👩 e\u0301 \ufeff",
)


def test_hostile_texts_are_shown_and_not_obeyed(path: Path) -> None:
    name = "a\u202eb"
    with Tract.open(path, clock=Clock(), durability="fast") as t:
        t.describe(title="[blink]" + HOSTILE[1])
        for text in HOSTILE:
            t.commit(
                DialogueContent("user", text), message=text, metadata={text: text}, generation_config={"model": text}
            )
        first = t.log(None)[-1].commit_hash
        t.annotate(first, "pinned", reason="".join(HOSTILE))
        t.branch(name)
        t.tag(name, first)

    async def work(screen: Screen) -> None:
        await screen.until("[blink]\\x1b[31mred\\x1b]0;title\\x07 \\x9b2J", "a\\u202eb")
        for key in "1234":
            await screen.press("g", key)
            for _ in range(5):
                await asyncio.sleep(0.1)
                require_harmless(screen)
                await screen.press("j")
        await screen.press("1")
        await screen.until("[bold red]loud[/] [@click=app.quit]here[/]", "model=[bold red]loud")
        await screen.press("B")
        await screen.until("all branches")
        require_harmless(screen)
        await screen.press("escape", "slash")
        await screen.type("[@click=app.quit]")
        await screen.press("enter")
        await screen.until("1 found: /[@click=app.quit]", "[@click=app.quit]here")
        require_harmless(screen)

    assert browse(path, work, size=(140, 40)) is None


def require_harmless(screen: Screen) -> None:
    """Checks that no character on the screen is a command of a terminal, or can't be seen."""
    shown = screen.text() + screen.side("left") + screen.side("right")
    assert not set(shown.replace("\n", "")) & {chr(code) for code in (*range(32), *range(127, 160))}
    assert not set(shown) & set("\u202e\u2066\u200f\u2028\u200d\ufeff")


def test_a_large_text_is_cut_until_it_is_wanted_whole(path: Path) -> None:
    with Tract.open(path, clock=Clock(), durability="fast") as t:
        t.add("日本" * 250_000 + "\n" + "a" * 500_000 + "the end")

    async def work(screen: Screen) -> None:
        await screen.until("* ", "日本日本")
        assert "… 980,008 more characters: w shows all" in screen.side("right")
        await screen.press("2")
        await screen.until("… 998,008 more characters: w shows all")
        await screen.press("w")
        await screen.until("the end")
        await screen.press("w", "1")
        await screen.until("日本日本")

    browse(path, work, size=(80, 24))


def test_a_long_context_shows_its_end_first(path: Path) -> None:
    with Tract.open(path, clock=Clock(), durability="fast") as t:
        say(t, *(f"turn {n}" for n in range(300)))
        t.annotate_all([info.commit_hash for info in t.log(None)[20:30]], "skip")

    async def work(screen: Screen) -> None:
        await screen.press("2")
        await screen.until("turn 299", "[290] user")
        shown = screen.side("right")
        assert "… 100 earlier messages and gaps: w shows all" in shown
        assert "[1] user" not in shown
        await screen.press("w")
        await screen.until("turn 299")
        while "[1] user" not in screen.side("right"):
            await asyncio.sleep(0.01)

    browse(path, work)


def test_what_is_missing_or_redacted_is_said_and_the_rest_is_shown(path: Path) -> None:
    with Tract.open(path, clock=lambda: 1_000_000, durability="fast") as t:
        one = t.commit(DialogueContent("user", "secret"))
        two = t.commit(DialogueContent("user", "lost"))
        t.commit(DialogueContent("user", "kept"))
    redact(path, one.content_hash, after='"at":"1970-01-01T00:00:01.000001Z"', at="1970-01-01T00:00:02.000000Z")
    lost = two.content_hash or ""
    (store_root(path) / "objects" / lost[:2] / lost[2:]).unlink()

    async def work(screen: Screen) -> None:
        await screen.until("user: kept", "(the content was redacted)", "(the content is missing or damaged)")
        await screen.press("j")
        await screen.until("is missing; fetch it from")
        await screen.press("j", "3")
        await screen.until("no difference")
        await screen.press("g", "2")
        await screen.until("warning: ", "left out: 1 redacted, 1 lost", "kept")

    browse(path, work)


def test_a_missing_commit_ends_its_line_of_the_graph(path: Path) -> None:
    with Tract.open(path, clock=Clock(), durability="fast") as t:
        names = say(t, "one", "two", "three")
    (store_root(path) / "objects" / names[1][:2] / names[1][2:]).unlink()

    async def work(screen: Screen) -> None:
        await screen.until(
            f"* {names[2][:8]} (@ -> main) user: three", f"* {names[1][:8]} (the commit is missing or damaged)"
        )
        await screen.press("j")
        for key in "1234":
            await screen.press(key)
            await screen.until("is missing; fetch it from" if key != "4" else "no usage was recorded")

    browse(path, work)


def test_what_a_lost_event_hides_is_named(path: Path) -> None:
    with Tract.open(path, clock=Clock(), durability="fast") as t:
        first = say(t, "one")[0]
        say(t, "two", "three")
    (store_root(path) / event_files(path)[1]).unlink()
    remove_local(path)

    async def work(screen: Screen) -> None:
        await screen.until(f"* {first[:8]} (@ -> main) user: one", "1 commit depends on it")
        await screen.press("escape")
        await screen.until("user: one", gone="1 commit depends on it")
        await screen.press("r")
        await screen.until("1 commit depends on it")

    browse(path, work)


@pytest.mark.parametrize("tract", ["default", "other"])
def test_an_empty_store_or_tract_is_shown_as_empty(path: Path, tract: str) -> None:
    with Tract.open(path, durability="fast") as t:
        if tract == "other":
            t.add("one")

    async def work(screen: Screen) -> None:
        await screen.until(f"{tract}   0 branches", "no commits yet")
        await screen.press("j", "k", "G", "g", "2", "3", "4", "a", "b", "w", "enter", "escape", "y", "n", "r", "space")
        await screen.press("slash", "x", "enter")
        await screen.until("nothing matches")

    browse(path, work, tract=tract)


def test_commits_of_others_come_by_themselves_and_the_cursor_stays(path: Path, talk: dict[str, str]) -> None:
    async def work(screen: Screen) -> None:
        await screen.until("The end?")
        await screen.press("j", "j")
        with Tract.open(path, durability="fast") as t:
            t.add("by another writer")
            t.tag("new")
        await screen.until("(@ -> main, tag: new) user: by another writer")
        left = screen.view("left")
        assert left.rows.name(left.cursor) == talk["summary"]

    browse(path, work)


def test_a_refresh_shows_what_a_copying_tool_brought(path: Path, talk: dict[str, str], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy_store(path, copy)
    with Tract.open(copy, durability="fast") as t:
        t.add("from another machine")
        t.sync(path)

    async def work(screen: Screen) -> None:
        await screen.press("r")
        await screen.until("user: from another machine")

    browse(path, work)


@pytest.mark.parametrize("size", [(80, 24), (20, 6), (300, 80)])
def test_any_size_of_screen_will_do(path: Path, talk: dict[str, str], size: tuple[int, int]) -> None:
    async def work(screen: Screen) -> None:
        await screen.until("* " + talk["end"][:4])
        for key in "2134":
            await screen.press(key, "tab", "j", "G", "escape", "j")
        await screen.resize(40, 12)
        await screen.press("question_mark", "escape", "g")
        await screen.until("* " + talk["end"][:8])

    browse(path, work, size=size)


def test_it_changes_no_file(path: Path, talk: dict[str, str]) -> None:
    def files() -> dict[str, bytes]:
        return {str(file): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}

    async def work(screen: Screen) -> None:
        await screen.until("The end?")
        for key in "234":
            await screen.press(key)
            await asyncio.sleep(0.1)
        await screen.press("slash", "o", "n", "e", "enter")
        await screen.until("found")
        await screen.press("r")
        await asyncio.sleep(0.1)

    before = files()
    browse(path, work)
    assert files() == before


def test_only_the_rows_on_the_screen_are_read(path: Path) -> None:
    with Tract.open(path, clock=Clock(), durability="fast") as t:
        say(t, *(f"turn {n}" for n in range(700)))
        history = History(t, [t.head or ""])
        history.read(40)
        assert (len(history), len(history.infos)) == (40, 41)

    async def work(screen: Screen) -> None:
        await screen.until("turn 699")
        await screen.press(*["j"] * 5)
        assert len(screen.view("left").rows) == 500
        await screen.press("G")
        await screen.until("user: turn 0")
        assert len(screen.view("left").rows) == 700

    browse(path, work)


@pytest.mark.campaign
def test_ten_thousand_commits_open_within_a_second_and_the_cursor_moves_as_in_a_hundred(tmp_path: Path) -> None:
    moves_s: dict[int, float] = {}
    for count in (100, 10_000):
        with Tract.open(tmp_path / str(count), clock=Clock(), durability="fast") as t:
            for start in range(0, count, 100):
                t.import_messages([{"role": "user", "content": f"turn {start + n}"} for n in range(100)])

        began_s = time.process_time()

        async def work(screen: Screen, count: int = count, began_s: float = began_s) -> None:
            await screen.until(f"turn {count - 1}", "operation   append")
            assert time.process_time() - began_s < 1
            before_s = time.process_time()
            await screen.press(*["j"] * 80)
            moves_s[count] = time.process_time() - before_s

        browse(tmp_path / str(count), work, size=(80, 24))
    assert moves_s[10_000] < 1.5 * moves_s[100]


def test_the_rows_of_a_history_are_all_its_commits_each_above_its_parents(path: Path, talk: dict[str, str]) -> None:
    with Tract.open(path, durability="fast") as t:
        history = History(t, [head for heads in t.branches().values() for head in heads])
        history.read(10_000)
        names = [name for at in range(len(history)) if (name := history.name(at)) is not None]
        assert sorted(names) == sorted(info.commit_hash for info in t.log(None))
        for name in names:
            assert all(names.index(parent) > names.index(name) for parent in history.infos[name].parents)
        assert history.is_whole
        assert [info.commit_hash for info in history.about[talk["question"]]] == [talk["edit"]]


@pytest.mark.parametrize("text", ["word " * 50, "a" * 333, "日本語" * 99, "e\u0301" * 500, "\u0301" * 5000, "", " "])
def test_rows_are_as_wide_as_the_screen_and_lose_nothing(text: str) -> None:
    for width in (9, 20, 80):
        for indent, hang in ((0, 0), (2, 4)):
            made = Document([Line((text[:7], "dim"), (text[7:], ""), indent=indent, hang=hang)], width=width)
            rows = [made.row(at) for at in range(len(made))]
            assert "".join(row.text for row in rows) == text
            assert all(row.indent + cell_len(row.text.rstrip(" ")) <= max(width, indent + hang + 8) for row in rows)


def test_a_text_is_cut_at_characters_and_lines() -> None:
    assert [line.text for line in text_lines("a\tb\nc")] == ["a   b", "c"]
    assert [line.text for line in text_lines("x" * 120, most=100)] == ["x" * 100, "… 20 more characters: w shows all"]
    assert [line.text for line in text_lines("\n" * 9, most=100)] == ["", "", "… 8 more characters: w shows all"]


# the command


def test_without_a_terminal_it_says_what_to_use(store: Run) -> None:
    commit(store, "-m", "one")
    message = refused_without_json(store, "browse")
    assert message == (
        "tract: the browser needs a terminal (stdin, stdout, stderr: no terminal); 'tract log --graph', 'tract why' "
        "and 'tract view' show the history elsewhere\n"
    )
    assert "leave out --json" in refused(store, "browse", error="CommandLineError", code=2)


def refused_without_json(run: Run, *arguments: str) -> str:
    told = run(*arguments)
    assert (told.code, told.out) == (1, "")
    return told.err


def test_without_the_extra_it_says_how_to_install_it(store: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tract_fs.cli.browse_commands.find_spec", lambda name: None)
    assert refused_without_json(store, "browse") == "tract: the browser needs the extra: pip install 'tract-fs[tui]'\n"


def test_other_commands_do_not_import_it(path: Path, talk: dict[str, str]) -> None:
    code = "import sys; from tract_fs.cli import main; main(['browse', '--help']); main(['log', '-n', '1']); print('textual' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], cwd=path, capture_output=True, text=True, check=True)
    assert told.stdout.endswith("False\n")


@pytest.mark.parametrize(
    ("end", "code"),
    [(b"q", 0), (b"\x03", 130), (signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGHUP, 130)],
)
def test_on_a_terminal_it_starts_shows_and_leaves_all_as_it_was(
    path: Path, talk: dict[str, str], end: bytes | signal.Signals, code: int
) -> None:
    terminal = Terminal("browse", cwd=path)
    terminal.wait_for("The end?")
    if isinstance(end, bytes):
        terminal.send(end)
    else:
        terminal.child.send_signal(end)
    assert terminal.end() == code
    assert terminal.output.count(b"\x1b[?1049h") == terminal.output.count(b"\x1b[?1049l") == 1
    assert b"Traceback" not in terminal.output


def test_it_ends_where_the_terminal_is_gone(path: Path, talk: dict[str, str]) -> None:
    terminal = Terminal("browse", cwd=path)
    terminal.wait_for("The end?")
    os.close(terminal.master)
    os.close(terminal.slave)
    assert terminal.child.wait(timeout=300) == 130


def test_on_a_terminal_a_hostile_text_is_no_command_and_no_color_has_none(path: Path) -> None:
    with Tract.open(path, durability="fast") as t:
        t.add("before \x1b]0;owned\x07 \x1b[2J \x1b[31mred after")
    terminal = Terminal("browse", cwd=path, NO_COLOR="1")
    terminal.wait_for("\\x1b]0;owned\\x07")
    terminal.send(b"q")
    assert terminal.end() == 0
    assert b"\x1b]0;owned" not in terminal.output
    assert b"\x1b[31mred" not in terminal.output


def test_names_that_are_not_there_are_refused_before_the_screen_changes(path: Path, talk: dict[str, str]) -> None:
    for arguments, words in (
        (["nowhere"], b"nowhere"),
        (["--tract", "x"], b"no tract 'x'"),
        (["--branch", "x"], b"no branch 'x'"),
    ):
        terminal = Terminal("browse", *arguments, cwd=path)
        assert terminal.end() == 1
        assert words in terminal.output
        assert b"\x1b[?1049h" not in terminal.output
