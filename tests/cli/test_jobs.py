"""The common jobs of the guide: each is at most three lines, runs, and has the outcome that is stated here."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.lab.talk import texts
from tract_fs import BudgetExceeded, HeadMoved, TokenUsage, Tract

PAGE = (Path(__file__).parents[2] / "tract_fs" / "guide" / "jobs.md").read_text(encoding="utf-8")
SETTING, *BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
JOBS = {
    title: code
    for block in BLOCKS
    for title, _, code in (job.partition("\n") for job in re.split(r"^# ", block, flags=re.MULTILINE)[1:])
}
START = ["Answer in one sentence.", "What is the capitol of France?", "Paris.", "And of Spain?"]
CHAT = [{"role": "user", "content": "And of Portugal?"}, {"role": "assistant", "content": "Lisbon."}]
ANSWER = {"role": "assistant", "content": "Paris."}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)


class Answer(SimpleNamespace):
    """A response of a chat completion, as an SDK gives it."""

    def model_dump(self, *, mode: str, exclude_unset: bool) -> dict[str, Any]:
        assert (mode, exclude_unset) == ("json", True)
        return {
            "object": "chat.completion",
            "model": "m-1",
            "choices": [{"message": {"role": "assistant", "content": "Madrid."}}],
        }


class Names(SimpleNamespace):
    """What a job has made, by name."""

    t: Tract


def create(*, messages: list[Any], model: str, temperature: float) -> Answer:
    """Answers as a provider does."""
    assert (len(messages), model, temperature) == (4, "m-1", 0.2)
    return Answer(usage=SimpleNamespace(prompt_tokens=30, completion_tokens=4, total_tokens=34))


def added(*new: str) -> Callable[[Names], bool]:
    """Returns whether a job added messages with these texts."""
    return lambda n: texts(n.t) == [*START, *new]


def shows(*expected: str) -> Callable[[Names], bool]:
    """Returns whether a job left the context with these texts."""
    return lambda n: texts(n.t) == list(expected)


def answered(n: Names) -> bool:
    head = n.t.log(1)[0]
    assert head.generation_config == {"model": "m-1", "temperature": 0.2}
    assert n.t.compile(at_commit="@~1").token_count == 30
    return added("Madrid.")(n)


def has_a_tool(n: Names) -> bool:
    call, result = n.t.compile().to_openai()[-2:]
    assert call["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city":"Madrid"}'}
    return result == {"role": "tool", "tool_call_id": "call-1", "content": "18 degrees"}


def shows_an_image(n: Names) -> bool:
    (block,) = n.t.compile().to_openai()[-1]["content"]
    return block["image_url"]["url"] == "data:image/png;base64,iVBORw0KGgoAAAAAAAAAAA=="


def moved(n: Names) -> bool:
    with pytest.raises(HeadMoved):
        n.t.add("late", expected_head=n.context.head)
    return added("Madrid.")(n)


def refuses(n: Names) -> bool:
    with n.small as small, pytest.raises(BudgetExceeded):
        small.add("a long question " * 20)
    return added()(n)


def runs(n: Names) -> bool:
    asyncio.run(n.main())
    n.t.refresh()
    return added("And of Portugal?")(n)


def keeps_what_is_pinned(n: Names) -> bool:
    n.t.summarize(first="main~3", last="v1", content="They spoke of Paris.")
    return shows(*START[:2], "They spoke of Paris.", START[3])(n)


def has_the_helper(n: Names) -> bool:
    with n.helper as helper:
        helper.add("Search.")
        return texts(helper) == [*START, "Search."] and added()(n)


def is_on_a_new_branch(n: Names) -> bool:
    n.t.add("Rome?")
    assert added("Rome?")(n)
    n.t.switch("main")
    return added()(n)


def is_in_the_copy(n: Names) -> bool:
    with Tract.open("backup", tract_id="ann", read_only=True) as copy:
        return texts(copy) == START and n.report.bad == ()


def is_in_the_file(n: Names) -> bool:
    with Tract.open("other", tract_id="ann") as other:
        other.apply_bundle("ann.bundle")
        return texts(other) == START


OUTCOMES: dict[str, Callable[[Names], object]] = {
    "Commit a message of the user": added("And of Portugal?"),
    "Commit a message of any role, as the provider has it": added("Madrid."),
    "Call the model, and commit its answer with config and usage": answered,
    "Commit a tool's call and its result": has_a_tool,
    "Define the tools that the model may call": lambda n: (
        n.tools == [{"type": "function", "function": {"name": "weather"}}] and added()(n)
    ),
    "Attach an image": shows_an_image,
    "Keep a record that is no message, and read the last one": lambda n: n.state == {"step": 7} and added()(n),
    "Commit several messages together, or none": added("Madrid.", "And of Portugal?"),
    "Commit only if nothing came since the context was compiled": moved,
    "Import a file of messages": added("And of Portugal?", "Lisbon."),
    "Import a session file of an agent, and write it out again": lambda n: (
        texts(n.session) == ["And of Portugal?", "Lisbon."]
        and list(map(json.loads, Path("again.jsonl").read_text().splitlines())) == CHAT
    ),
    "Write a session that Claude Code can resume from, of the context at the head": lambda n: (
        n.resumed.startswith(b'{"') and n.printed.startswith("write it to ~/.claude/projects/")
    ),
    "Edit a message": shows(START[0], "What is the capital of France?", *START[2:]),
    "Skip a message": shows(START[0], *START[2:]),
    "Show a skipped message again": added(),
    "Pin a message, so that no summary takes its place": keeps_what_is_pinned,
    "Skip several messages at once": shows(START[0], START[3]),
    "Summarize a range of messages": shows(START[0], "They spoke of Paris.", START[3]),
    "Show again what a summary stands for": added(),
    "Take the last message away": lambda n: n.last.metadata == {"turn": 2} and texts(n.t) == START[:3],
    "Clear the context": shows(),
    "Roll back to an earlier commit": shows(*START[:3]),
    "Undo the last move of the branch": added(),
    "Compile for a provider": lambda n: n.messages[2:] == [ANSWER, {"role": "user", "content": "And of Spain?"}],
    "Compile an earlier state": lambda n: len(n.messages) == 3 and n.messages[2] == ANSWER,
    "Count tokens, in all and of each message": lambda n: (n.total, n.each) == (42, (11, 12, 8, 8)),
    "Refuse what exceeds a token budget": refuses,
    "Sum the usage of each model": lambda n: n.sums == {"m-1": TokenUsage(30, 4, 34)},
    "Export the messages to a file": lambda n: json.loads(Path("out.json").read_text())[2] == ANSWER,
    "Make a branch": lambda n: list(n.t.branches()) == ["draft", "main", "try"] and n.t.branch == "main",
    "Switch to a new branch": is_on_a_new_branch,
    "Work on another branch beside this one": lambda n: (
        [m.content for m in n.t.compile(at_commit="draft").messages[4:]] == ["Name its rivers, too.", "Its mountains."]
        and added()(n)
    ),
    "Tag a commit": lambda n: n.t.tags()["asked"] == n.question,
    "Compare two states": lambda n: n.printed == "And of Spain?\nName its rivers, too.\n",
    "Merge a branch": added("Name its rivers, too."),
    "Copy one commit of another branch": added("Name its rivers, too."),
    "Read an earlier state without a change to any branch": lambda n: n.messages[2:] == [ANSWER] and added()(n),
    "Fork a tract, for a sub-agent": has_the_helper,
    "Open a tract by any name": lambda n: (
        n.chat.title == "Ann's second chat" and re.fullmatch("ann-s-second-chat-[0-9a-f]{16}", n.chat.tract_id)
    ),
    "Give a tract a title and metadata": lambda n: (n.t.title, n.t.metadata) == ("Capitals", {"user": "ann"}),
    "List the tracts": lambda n: n.names == ["ann"],
    "Delete a tract": lambda n: n.store.tracts() == [],
    "Find commits by generation config": lambda n: [hit.commit_hash for hit in n.hits] == [n.t.tags()["v1"]],
    "Find commits by metadata": lambda n: [hit.commit_hash for hit in n.hits] == [n.t.head],
    "Find tracts by metadata": lambda n: [info.tract_id for info in n.infos] == ["ann"],
    "Search the text of messages": lambda n: [hit.commit_hash for hit in n.hits] == [n.question],
    "Search the text of all tracts": lambda n: n.question in [hit.commit_hash for hit in n.hits],
    "List what came since a commit": lambda n: [info.commit_hash for info in n.new] == [n.t.head],
    "Wait for new commits of any process": lambda n: [info.commit_hash for info in n.new] == [n.t.head],
    "Sync two directories": is_in_the_copy,
    "Carry a tract in one file": is_in_the_file,
    "Pack the files of a store": lambda n: len(n.report.packs_written) == 1 and added()(n),
    "Check and repair a store": lambda n: n.report.lost == () and added()(n),
    "Use a tract in asyncio": runs,
}


@pytest.mark.parametrize("title", JOBS)
def test_a_job_has_the_stated_outcome(
    title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("backup").mkdir()
    Path("plot.png").write_bytes(PNG)
    Path("chat.json").write_text(json.dumps(CHAT))
    Path("session.jsonl").write_text("".join(json.dumps(message) + "\n" for message in CHAT))
    completions = SimpleNamespace(create=create)
    client = SimpleNamespace(chat=SimpleNamespace(completions=completions))
    names: dict[str, Any] = {"client": client, "config": {"model": "m-1", "temperature": 0.2}}
    exec(SETTING, names)
    exec(JOBS[title], names)
    with names["store"]:
        assert OUTCOMES[title](Names(**names, printed=capsys.readouterr().out))


def test_no_job_takes_more_than_three_lines() -> None:
    assert len(JOBS) == len(OUTCOMES) == 54
    assert JOBS.keys() == OUTCOMES.keys()
    assert max(len(code.strip().splitlines()) for code in JOBS.values()) == 3
