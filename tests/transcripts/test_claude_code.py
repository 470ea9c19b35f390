"""Claude Code sessions: what the tool loads of a broken one, that an import has all of it, and an export is whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tract_fs import Store, Tract
from tract_fs.capture.sessions import check_session
from tract_fs.transcripts.claude_resume import project_folder, write
from tract_fs.transcripts.resume import ResumeContext

SESSION = "5e551011-0000-4000-8000-000000000001"
OTHER = "5e551011-0000-4000-8000-000000000002"
NEW = "5e551011-0000-4000-8000-00000000000f"
Line = dict[str, Any]


def line(kind: str, uuid: str, parent: str | None, content: Any, **more: Any) -> Line:
    message: dict[str, Any] = {"role": kind, "content": content}
    if kind == "assistant":
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        usage = {"input_tokens": 10, "output_tokens": 5}
        message = {
            "id": f"msg-{more.pop('response', uuid)}",
            "role": kind,
            "model": "opus",
            "content": blocks,
            "usage": usage,
        }
    return {
        "parentUuid": parent,
        "isSidechain": False,
        "cwd": "/work",
        "sessionId": SESSION,
        "version": "2.1.0",
        "gitBranch": "main",
        "type": kind,
        "message": message,
        "uuid": uuid,
        "timestamp": f"2026-01-02T03:04:{sum(uuid.encode()) % 60:02}.000Z",
        **more,
    }


def user(uuid: str, parent: str | None, text: Any = "", **more: Any) -> Line:
    return line("user", uuid, parent, text or f"text of {uuid}", **more)


def agent(uuid: str, parent: str | None, text: Any = "", **more: Any) -> Line:
    return line("assistant", uuid, parent, text or f"text of {uuid}", **more)


def call(uuid: str, parent: str | None, *ids: str, **more: Any) -> Line:
    blocks = [{"type": "tool_use", "id": id_, "name": "Bash", "input": {"command": "ls"}} for id_ in ids]
    return line("assistant", uuid, parent, blocks, **more)


def result(uuid: str, parent: str | None, *ids: str, **more: Any) -> Line:
    blocks = [{"type": "tool_result", "tool_use_id": id_, "content": f"result of {id_}"} for id_ in ids]
    return line("user", uuid, parent, blocks, **more)


def boundary(uuid: str, logical: str, **compaction: Any) -> Line:
    more = {"logicalParentUuid": logical, "compactMetadata": {"trigger": "auto", "preTokens": 9, **compaction}}
    found = {
        **line("system", uuid, None, ""),
        "subtype": "compact_boundary",
        "content": "Conversation compacted",
        **more,
    }
    del found["message"]
    return found


def file_of(*lines: Line | bytes) -> bytes:
    return b"".join(one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n" for one in lines)


def chain(*names: str) -> list[Line]:
    """Returns lines of the user and the assistant by turns, each the child of the one before."""
    parents = [None, *names]
    make = [user if place % 2 == 0 else agent for place in range(len(names))]
    return [one(name, parent) for one, name, parent in zip(make, names, parents, strict=False)]


class Broken(NamedTuple):
    """A session file; how many messages it has, how many of those the tool loads; what main shows; what is noted."""

    data: bytes
    messages: int
    loaded: int
    shown: int
    flaws: Sequence[tuple[int, str]] = ()
    left: int = 0
    summarized: int = 0


def cut(**change: Any) -> bytes:
    """Returns a chain of five of which the fourth is changed."""
    lines = chain("a", "b", "c", "d", "e")
    return file_of(*lines[:3], {**lines[3], **change}, *lines[4:])


def turned(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new)


FIVE = file_of(*chain("a", "b", "c", "d", "e"))
LINES = FIVE.splitlines(keepends=True)
SNAPSHOT = {
    "type": "file-history-snapshot",
    "messageId": "a",
    "snapshot": {"messageId": "a"},
    "isSnapshotUpdate": False,
}
KEPT = {"anchorUuid": "sum", "uuids": ["c", "d"]}
SUMMARY = user("sum", "cut", "what happened", isCompactSummary=True)

BROKEN = {
    "a parent that was never written": Broken(
        cut(parentUuid="gone"), 5, 2, 5, [(4, "its parent gone is in no line; it goes on from line 3")]
    ),
    "a parent that is no text": Broken(cut(parentUuid=7), 5, 2, 5, [(4, "it has no parent; it goes on from line 3")]),
    "no parent": Broken(cut(parentUuid=None), 5, 2, 5, [(4, "it has no parent; it goes on from line 3")]),
    "the first parent is in another file": Broken(
        file_of(user("a", "gone"), agent("b", "a")),
        2,
        2,
        2,
        [(1, "its parent gone is in no line; the session begins here")],
    ),
    "its own parent": Broken(
        cut(parentUuid="d"), 5, 2, 5, [(4, "its parents form a cycle; it goes on from the line before")]
    ),
    "a cycle": Broken(cut(parentUuid="e"), 5, 3, 5, [(4, "its parents form a cycle; it goes on from the line before")]),
    "a line is missing": Broken(
        file_of(*LINES[:2], *LINES[3:]), 4, 2, 4, [(3, "its parent c is in no line; it goes on from line 2")]
    ),
    "a torn line": Broken(
        file_of(*LINES[:2], LINES[2][:60] + b"\n", *LINES[3:]),
        4,
        2,
        4,
        [(3, "not JSON, or torn"), (4, "its parent c is in no line; it goes on from line 2")],
    ),
    "a torn tail": Broken(FIVE + LINES[4][:70], 5, 5, 5, [(6, "not JSON, or torn")]),
    "two records in a line": Broken(file_of(*LINES[:2], LINES[2].rstrip(), *LINES[3:]), 5, 1, 5),
    "NUL bytes": Broken(
        file_of(*LINES[:2], b"\0\0\0" + LINES[2], *LINES[3:]),
        5,
        2,
        5,
        [(3, "NUL bytes, a byte order mark or another character that JSON does not allow")],
    ),
    "a byte order mark": Broken(
        b"\xef\xbb\xbf" + FIVE,
        5,
        5,
        5,
        [(1, "NUL bytes, a byte order mark or another character that JSON does not allow")],
    ),
    "UTF-16": Broken(b"\xff\xfe" + FIVE.decode().encode("utf-16-le"), 5, 0, 5),
    "a lone surrogate": Broken(
        turned(FIVE, b"text of c", b"text \\ud83d of c"),
        5,
        5,
        5,
        [(3, "a lone surrogate or a byte that is not UTF-8, now U+FFFD")],
    ),
    "an integer beyond 64 bits": Broken(
        turned(FIVE, b'"version": "2.1.0"', b'"version": 123456789012345678901234567890'),
        5,
        5,
        5,
        [(number, "an integer beyond 64 bits, now its digits") for number in range(1, 6)],
    ),
    "a line twice": Broken(file_of(*LINES[:3], LINES[2], *LINES[3:]), 5, 5, 5, [(4, "it repeats line 3, c")]),
    "two messages with one id": Broken(
        file_of(*LINES[:3], agent("c", "c", "another"), *LINES[3:]),
        6,
        3,
        6,
        [(4, "it is another message with the id of line 3, c")],
    ),
    "a snapshot with the id of a message": Broken(
        file_of(SNAPSHOT, {**SNAPSHOT, "uuid": "a"}, *LINES),
        5,
        5,
        5,
        [(3, "it is another record with the id of line 2, a")],
    ),
    "lines of another session at the start": Broken(
        file_of(*({**one, "sessionId": OTHER} for one in chain("a", "b")), *chain("a", "b", "c", "d", "e")[2:]),
        5,
        5,
        5,
        [(1, f"from here on, 2 lines are of session {OTHER}")],
    ),
    "a call without a result": Broken(file_of(user("a", None), call("b", "a", "t1"), user("c", "b")), 3, 3, 3),
    "a result without a call": Broken(
        file_of(user("a", None), result("b", "a", "t1"), agent("c", "b")),
        3,
        3,
        3,
        [(2, "it answers the tool call t1, which is in no line")],
    ),
    "a call with two results": Broken(
        file_of(user("a", None), call("b", "a", "t1"), result("c", "b", "t1"), result("d", "b", "t1"), agent("e", "d")),
        5,
        5,
        5,
        [(4, "it answers the tool call t1, as line 3 does")],
    ),
    "parallel calls without a response id": Broken(
        turned(
            file_of(
                user("a", None),
                call("b", "a", "t1", response="x"),
                call("c", "b", "t2", response="x"),
                result("d", "b", "t1"),
                result("e", "c", "t2"),
                agent("f", "e"),
            ),
            b'"id": "msg-x"',
            b'"id": null',
        ),
        6,
        5,
        6,
    ),
    "a compaction whose past is gone": Broken(
        file_of(*LINES, boundary("cut", "gone"), SUMMARY, agent("f", "sum")),
        7,
        2,
        2,
        [(6, "its parent gone is in no line; it goes on from line 5")],
        summarized=5,
    ),
    "a summary without a boundary": Broken(
        file_of(*LINES, {**SUMMARY, "parentUuid": None}, agent("f", "sum")), 7, 2, 2, summarized=5
    ),
    "an unknown type between two lines": Broken(
        file_of(*LINES[:3], {**line("novelty", "x", "c", ""), "message": None}, agent("d", "x"), user("e", "d")),
        5,
        2,
        5,
    ),
    "a steered message in two ways": Broken(
        file_of(
            *LINES[:2],
            {"type": "queue-operation", "operation": "remove", "content": "quick!", "sessionId": SESSION},
            {**line("attachment", "q", "b", ""), "attachment": {"type": "queued_command", "prompt": "quick!"}},
            user("c", "q"),
        ),
        3,
        3,
        4,
    ),
    "fields of any type": Broken(
        file_of(
            *LINES,
            {"type": ["x"], "uuid": {}, "parentUuid": []},
            {
                **user("f", "e"),
                "message": ["x"],
                "sessionId": 5,
                "timestamp": [],
                "toolUseResult": {"persistedOutputPath": 1},
            },
            {**agent("g", "f"), "message": {"id": [], "role": 5, "content": [1, None, {"type": ["x"]}], "usage": "x"}},
            b"17\n",
            b"[]\n",
        ),
        7,
        7,
        5,
        [
            (7, "its message has no known form; it is kept as a record"),
            (8, "its message has no known form; it is kept as a record"),
        ],
    ),
}


@pytest.fixture
def open_tract(tmp_path: Path) -> Callable[[], Tract]:
    return lambda: Tract.open(tmp_path / "store")


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_session_is_checked_imported_whole_and_exported_so_that_the_tool_loads_all(
    name: str, open_tract: Callable[[], Tract]
) -> None:
    broken = BROKEN[name]
    before = check_session(broken.data, format="claude-code")
    counts = (before.messages, before.loaded, before.left, before.summarized, len(before.lost))
    missing = broken.messages - broken.loaded - broken.left - broken.summarized
    assert counts == (broken.messages, broken.loaded, broken.left, broken.summarized, missing)
    with open_tract() as t:
        report = t.import_transcript(broken.data)
        compiled = t.compile()
        assert len(compiled.messages) == broken.shown
        assert t.import_transcript(broken.data).added == 0
        again = bytes(t.export_transcript())
        made = t.export_transcript(format="claude-code", session_id=NEW)
    reasons = [(flaw.line, flaw.reason) for flaw in report.flaws]
    assert [flaw for flaw in broken.flaws if flaw not in reasons] == []
    if name != "two records in a line":
        assert len(reasons) == len(broken.flaws)
    text = broken.data[2:].decode("utf-16-le").encode() if name == "UTF-16" else broken.data
    out = again[2:].decode("utf-16-le").encode() if again[:2] == b"\xff\xfe" else again
    assert records(out) == records(text)
    after = check_session(made)
    assert (after.loaded, after.lost, after.flaws, after.session_id) == (after.messages, (), (), NEW)
    texts = json.dumps([record.get("message") for record in records(made)])
    assert all(text in texts for text in shown_texts(broken.data, compiled.messages))


def records(data: bytes) -> list[Any]:
    """Returns the records of a file, a line that is none as its bytes; without the differences of spaces."""
    found: list[Any] = []
    for one in data.replace(b"}{", b"}\n{").splitlines():
        try:
            found.append(json.loads(one.strip(b"\0\xef\xbb\xbf")))
        except ValueError:
            found.append(one)
    return found


def shown_texts(data: bytes, messages: Any) -> list[str]:
    return [f"text of {name}" for name in "abcdef" if any(f"text of {name}" in str(message) for message in messages)]


def test_parallel_calls_are_on_the_main_branch_in_the_order_of_the_file(open_tract: Callable[[], Tract]) -> None:
    data = file_of(
        user("a", None),
        call("b", "a", "t1", response="x"),
        call("c", "b", "t2", response="x"),
        result("d", "c", "t2"),
        result("e", "b", "t1"),
        agent("f", "e"),
    )
    found = check_session(data)
    assert (found.messages, found.loaded, found.share) == (6, 6, 1.0)
    with open_tract() as t:
        assert t.import_transcript(data).branches == ()
        kinds = [json.dumps(m.content) for m in t.compile().messages]
        made = t.export_transcript(format="claude-code", session_id=NEW)
    assert [("t1" in kind, "t2" in kind) for kind in kinds[1:5]] == [
        (True, False),
        (False, True),
        (False, True),
        (True, False),
    ]
    found = check_session(made)
    assert (found.messages, found.loaded, found.flaws) == (6, 6, ())


REWOUND = file_of(
    *chain("a", "b", "c", "d"),
    SNAPSHOT,
    user("c2", "b", "the other way"),
    agent("d2", "c2"),
    {"type": "ai-title", "aiTitle": "A made title", "sessionId": SESSION},
    {"type": "custom-title", "customTitle": "My title", "sessionId": SESSION},
    {"type": "ai-title", "aiTitle": "A later title", "sessionId": SESSION},
)


def test_where_the_session_went_back_the_other_way_is_a_branch(open_tract: Callable[[], Tract]) -> None:
    found = check_session(REWOUND)
    assert (found.messages, found.loaded, found.left, found.share) == (6, 4, 2, 1.0)
    with open_tract() as t:
        assert t.import_transcript(REWOUND).branches == ("fork-d",)
        assert [m.content for m in t.compile().messages][2] == "the other way"
        assert t.title == "My title"
        with t.on("fork-d") as fork:
            assert "text of c" in str(fork.compile().messages)
            made = fork.export_transcript(format="claude-code", session_id=NEW, title="Back to it")
    assert made.path == f"-work/{NEW}.jsonl"
    lines = records(made)
    assert [one["type"] for one in lines] == ["user", "assistant", "user", "assistant", "custom-title"]
    assert lines[-1]["customTitle"] == "Back to it"
    assert {one["sessionId"] for one in lines} == {NEW}
    assert [one.get("parentUuid") for one in lines[:-1]] == [None, *(one["uuid"] for one in lines[:3])]


COMPACTED = file_of(
    *LINES[:4],
    boundary("cut", "d", preservedMessages=KEPT),
    SUMMARY,
    user("e", "d"),
    agent("f", "e"),
    boundary("cut2", "f", preservedSegment={"headUuid": "f", "anchorUuid": "sum2", "tailUuid": "f"}),
    user("sum2", "cut2", "what happened then", isCompactSummary=True),
    user("g", "f"),
)
PARALLEL = file_of(
    user("a", None),
    call("b", "a", "t1", response="x"),
    call("c", "b", "t2", response="x"),
    {"type": "progress", "uuid": "p", "parentUuid": "c", "sessionId": SESSION},
    result("d", "c", "t2"),
    result("e", "b", "t1"),
    agent("f", "e"),
)


@pytest.mark.parametrize(("data", "branches"), [(REWOUND, 2), (COMPACTED, 1), (PARALLEL, 1)])
def test_an_import_line_by_line_has_the_commits_of_one_import(tmp_path: Path, data: bytes, branches: int) -> None:
    lines = data.splitlines(keepends=True)
    with Tract.open(tmp_path / "whole") as whole, Tract.open(tmp_path / "grown") as grown:
        whole.import_transcript(data)
        for count in range(1, len(lines) + 1):
            grown.import_transcript(b"".join(lines[:count]))
        contents = []
        for t in (whole, grown):
            handles = [t.on(name) for name in sorted(t.branches())]
            contents.append(sorted([str(h.compile().messages) for h in handles]))
            for handle in handles:
                handle.close()
        assert grown.export_transcript() == whole.export_transcript()
    assert contents[0] == contents[1]
    assert len(contents[0]) == branches


def test_a_second_compaction_covers_the_summary_of_the_first(open_tract: Callable[[], Tract]) -> None:
    found = check_session(COMPACTED)
    assert (found.messages, found.loaded, found.summarized, found.lost) == (9, 3, 6, ())
    with open_tract() as t:
        t.import_transcript(COMPACTED)
        shown = [str(message) for message in t.compile().messages]
    texts = ("what happened then", "text of f", "text of g")
    assert [text in message for text, message in zip(texts, shown, strict=True)] == [True, True, True]


def test_a_summary_covers_what_was_before_it_but_for_the_messages_that_were_kept(
    open_tract: Callable[[], Tract],
) -> None:
    data = file_of(*LINES[:4], boundary("cut", "d", preservedMessages=KEPT), SUMMARY, user("e", "d"))
    found = check_session(data)
    assert (found.messages, found.loaded, found.summarized, found.lost) == (6, 4, 2, ())
    with open_tract() as t:
        t.import_transcript(data)
        assert t.compile().messages[0].content == "what happened"
        assert [("text of c" in str(m), "text of d" in str(m)) for m in t.compile().messages] == [
            (False, False),
            (True, False),
            (False, True),
            (False, False),
        ]
        earlier = next(info for info in t.log() if info.operation == "summarize")
        with t.at(f"{earlier.commit_hash}~1") as before:
            made = before.export_transcript(format="claude-code", session_id=NEW)
    assert [name for name in "abcde" if f"text of {name}" in made.decode()] == ["a", "b", "c", "d"]


def test_the_usage_of_a_response_counts_once_however_the_file_grows(tmp_path: Path) -> None:
    lines = [
        user("a", None),
        agent("b", "a", response="x"),
        call("c", "b", "t1", response="x"),
        result("d", "c", "t1"),
    ]
    lines[2]["message"]["usage"]["output_tokens"] = 50
    for name, counts in (("whole", (4,)), ("grown", (2, 3, 4))):
        with Store.open(tmp_path / name) as store:
            with store.tract("session") as t:
                for count in counts:
                    t.import_transcript(file_of(*lines[:count]))
            usage = store.usage()["session"]
        assert (usage.prompt_tokens, usage.completion_tokens) == (10, 50)


def test_sub_agents_are_branches_and_large_outputs_come_along(tmp_path: Path) -> None:
    saved = result("c", "b", "t1", toolUseResult={"persistedOutputPath": f"/home/u/{SESSION}/tool-results/big.txt"})
    lost = result("e", "d", "t2", toolUseResult={"persistedOutputPath": "../../etc/passwd"})
    inside = [user("s1", None, isSidechain=True), agent("s2", "s1", isSidechain=True)]
    data = file_of(user("a", None), call("b", "a", "t1"), saved, *inside, call("d", "c", "t2"), lost, agent("f", "e"))
    folder = tmp_path / SESSION
    (folder / "tool-results").mkdir(parents=True)
    (folder / "subagents" / "workflows" / "w1").mkdir(parents=True)
    (tmp_path / f"{SESSION}.jsonl").write_bytes(data)
    (folder / "tool-results" / "big.txt").write_bytes(b"much")
    beside = [user("a", None, isSidechain=True, agentId="x1"), agent("b", "a", isSidechain=True, agentId="x1")]
    (folder / "subagents" / "agent-x1.jsonl").write_bytes(file_of(*beside))
    (folder / "subagents" / "workflows" / "w1" / "agent-x2.jsonl").write_bytes(file_of(*beside))
    (folder / "subagents" / "agent-x2.meta.json").write_text("{torn")
    (folder / "subagents" / "agent-x1.meta.json").write_text('{"toolUseId": "t1"}')
    (folder / "subagents" / "agent-x3.jsonl").symlink_to(tmp_path / f"{SESSION}.jsonl")
    with Tract.open(tmp_path / "store") as t:
        report = t.import_transcript(tmp_path / f"{SESSION}.jsonl")
        assert report.session_id == SESSION
        assert set(report.branches) == {"sidechain-s1", "agent-x1", "agent-x2"}
        assert [flaw.reason for flaw in report.flaws] == ["its output passwd is not beside the session"]
        blobs = [t.get_content(info.commit_hash).blobs for info in t.log() if info.content_type == "record"]
        assert [t.get_blob(hash_) for found in blobs for hash_ in found.values()] == [b"much"]
        assert len(t.compile().messages) == 6
        with t.on("agent-x1") as sub:
            assert len(sub.compile().messages) == 2
            assert (sub.log()[-1].metadata or {})["toolUseId"] == "t1"
        assert records(t.export_transcript()) == records(data)


def test_a_written_session_has_no_orphans_and_says_what_it_lacks() -> None:
    text = {"type": "text", "text": "hello", "cache_control": {"type": "ephemeral"}}
    use = {"type": "tool_use", "id": "t1", "name": "ls", "input": {}}
    messages = [
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, use, {**use, "id": "t2"}]},
        {"role": "user", "content": [text]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t2", "content": "late"}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t9", "content": "stray"}]},
        {"role": "system", "content": "a \ud800 note"},
        {"role": "user", "content": ""},
    ]
    made = write(
        ResumeContext(
            messages=messages, system="be brief", session_id=NEW, cwd="/w", title="T", at_us=1_767_323_045_000_000
        )
    )
    assert [one.get("timestamp") for one in made.records] == [
        "2026-01-02T03:04:04.998Z",
        "2026-01-02T03:04:04.999Z",
        "2026-01-02T03:04:05.000Z",
        "2026-01-02T03:04:05.000Z",
    ]
    start, calls, answers = (one["message"]["content"] for one in made.records[:3])
    assert start == "[the conversation before is not in this context]"
    assert calls == [use, {**use, "id": "t2"}]
    assert answers == [
        {
            "type": "tool_result",
            "tool_use_id": "t1",
            "content": "[no result of this tool call is in the context]",
            "is_error": True,
        },
        {"type": "tool_result", "tool_use_id": "t2", "content": "late"},
        {"type": "text", "text": "hello"},
        {"type": "text", "text": "[result of a tool call]\nstray"},
        {"type": "text", "text": "a \ufffd note"},
    ]
    assert sorted(made.lost) == [
        "1 empty messages left out",
        "1 messages changed: a lone surrogate is now U+FFFD, or the like",
        "1 messages of the role system now of the user",
        "1 system prompts left out: Claude Code writes its own",
        "1 thinking blocks left out, which have no signature",
        "1 tool calls without a result got one that says so",
        "1 tool results without a call of their own are texts now",
    ]


def test_the_folder_of_a_directory_is_claude_codes() -> None:
    assert project_folder("/home/me/my.app") == "-home-me-my-app"
    assert project_folder("/" + "a" * 250) == "-" + "a" * 199 + "-feo44x"


def test_a_metadata_names_the_fork_that_a_session_is(open_tract: Callable[[], Tract]) -> None:
    data = file_of(user("a", None, forkedFrom={"sessionId": OTHER, "messageUuid": "z"}), agent("b", "a"))
    with open_tract() as t:
        t.import_transcript(data)
        first = t.log()[-1]
    assert first.metadata is not None
    assert first.metadata["forkedFrom"] == {"sessionId": OTHER, "messageUuid": "z"}
    assert (first.metadata["cwd"], first.metadata["sessionId"]) == ("/work", SESSION)


@pytest.mark.parametrize("name", BROKEN)
def test_the_tools_own_reader_loads_all_of_an_exported_session(name: str, open_tract: Callable[[], Tract]) -> None:
    sessions = pytest.importorskip("claude_agent_sdk._internal.sessions")
    with open_tract() as t:
        t.import_transcript(BROKEN[name].data)
        made = t.export_transcript(format="claude-code", session_id=NEW)
    entries = sessions._parse_transcript_entries(made.decode())
    assert len(sessions._build_conversation_chain(entries)) == len(records(made)) - 1
