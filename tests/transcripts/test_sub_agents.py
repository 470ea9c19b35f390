"""Files beside a session: its sub-agents and large outputs come with it, and a change of one is a change of the session."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tract_fs import Store, Tract
from tract_fs.capture.discover import sessions_in
from tract_fs.capture.follow import Follower

SESSION = "5e551011-0000-4000-8000-000000000001"
TRACT = f"claude-code-{SESSION}"


def line(number: int, name: str = "u", **more: Any) -> dict[str, Any]:
    role = ("user", "assistant")[number % 2]
    return {
        "type": role,
        "uuid": f"{name}{number}",
        "parentUuid": f"{name}{number - 1}" if number else None,
        "sessionId": SESSION,
        "timestamp": f"2026-01-02T03:04:{number:02}.000Z",
        "isSidechain": name != "u",
        "message": {"role": role, "content": f"{name} {number}"},
        **more,
    }


def write(path: Path, count: int, name: str = "u") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(json.dumps(line(number, name)).encode() + b"\n" for number in range(count)))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns a folder of a session with two sub-agents and an output, and of a sub-agent whose session is gone."""
    projects = tmp_path / "projects" / "-work"
    write(projects / f"{SESSION}.jsonl", 4)
    write(projects / SESSION / "subagents" / "agent-a.jsonl", 2, "a")
    write(projects / SESSION / "subagents" / "workflows" / "w" / "agent-b.jsonl", 2, "b")
    write(projects / SESSION / "tool-results" / "t.jsonl", 2, "t")
    write(projects / "gone" / "subagents" / "agent-c.jsonl", 2, "c")
    return projects


def texts(store: Path, branch: str) -> list[Any]:
    with Tract.open(store, tract_id=TRACT, branch=branch) as t:
        return [message.content for message in t.compile().messages]


def test_what_comes_with_a_session_is_no_session(folder: Path) -> None:
    found = [Path(state.path).relative_to(folder).as_posix() for state in sessions_in(str(folder))]
    assert found == [f"{SESSION}.jsonl", "gone/subagents/agent-c.jsonl"]
    agent = folder / SESSION / "subagents" / "agent-a.jsonl"
    assert [state.path for state in sessions_in(str(agent))] == [str(agent)]  # it was named


def test_a_sub_agent_that_has_grown_is_imported(folder: Path, tmp_path: Path) -> None:
    file = folder / f"{SESSION}.jsonl"
    with Store.open(tmp_path / "store") as store:
        assert [report.branches for _, report in store.import_transcripts([file])] == [("agent-a", "agent-b")]
        assert list(store.import_transcripts([file])) == []
        write(folder / SESSION / "subagents" / "agent-a.jsonl", 3, "a")
        assert [(report.added, report.branches) for _, report in store.import_transcripts([file])] == [(1, ())]
        assert list(store.import_transcripts([file])) == []
        write(folder / SESSION / "subagents" / "agent-d.jsonl", 2, "d")
        assert [report.branches for _, report in store.import_transcripts([file])] == [("agent-d",)]
    assert texts(tmp_path / "store", "agent-a") == ["a 0", "a 1", "a 2"]
    assert texts(tmp_path / "store", "main") == ["u 0", "u 1", "u 2", "u 3"]


def test_a_torn_line_of_a_sub_agent_waits_for_its_end(folder: Path, tmp_path: Path) -> None:
    file, agent = folder / f"{SESSION}.jsonl", folder / SESSION / "subagents" / "agent-a.jsonl"
    whole = write(agent, 3, "a").read_bytes()
    agent.write_bytes(whole[:-1])
    with Store.open(tmp_path / "store") as store:
        assert len(list(store.import_transcripts([file], is_growing=True))) == 1
        assert texts(tmp_path / "store", "agent-a") == ["a 0", "a 1"]
        assert [report.added for _, report in store.import_transcripts([file])] == [1]  # it does not grow any more
    assert texts(tmp_path / "store", "agent-a") == ["a 0", "a 1", "a 2"]


def test_a_follower_sees_what_changes_beside_a_session(folder: Path, tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        follower = Follower(
            lambda path: [report for _, report in store.import_transcripts([path], is_growing=True)], [str(folder)]
        )
        assert len(follower.look()) == 2
        assert follower.look() == []
        write(folder / SESSION / "subagents" / "agent-a.jsonl", 3, "a")
        ((path, report),) = follower.look()
        assert (path, getattr(report, "added", None)) == (str(folder / f"{SESSION}.jsonl"), 1)
        assert follower.look() == []
