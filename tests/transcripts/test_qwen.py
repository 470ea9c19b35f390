"""Qwen Code sessions: Claude Code's graph with Gemini's messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tract_fs import Store, Tract
from tract_fs.capture.sessions import check_session

SESSION = "5e551011-0000-4000-8000-000000000001"


def line(kind: str, uuid: str, parent: str | None, *parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    role = "model" if kind == "assistant" else "user"
    message = {"message": {"role": role, "parts": list(parts)}} if parts else {}
    head = {"uuid": uuid, "parentUuid": parent, "sessionId": SESSION, "timestamp": "2026-01-02T03:04:05.000Z"}
    return {**head, "type": kind, "cwd": "/work", "version": "0.22.1", **message, **more}


CALL = {"functionCall": {"id": "t1", "name": "ls", "args": {"path": "."}}}
RESULT = {"functionResponse": {"id": "t1", "name": "ls", "response": {"output": "a.py"}}}
USAGE = {"promptTokenCount": 100, "candidatesTokenCount": 7, "thoughtsTokenCount": 3, "cachedContentTokenCount": 40}
LINES = [
    line("system", "s", None, subtype="ui_telemetry", systemPayload={"uiEvent": {}}),
    line("user", "a", "s", {"text": "what is here?"}),
    line("assistant", "b", "a", CALL, model="qwen3", usageMetadata=USAGE),
    line("tool_result", "c", "b", RESULT, toolCallResult={"status": "success"}),
    line("assistant", "d", "c", {"text": "one file"}, model="qwen3"),
]
TITLE = line("system", "t", "d", subtype="custom_title", systemPayload={"customTitle": "Files"})
KEPT = [{"role": "user", "parts": [{"text": "it was about files"}]}, {"role": "model", "parts": [{"text": "right"}]}]
COMPRESSION = line("system", "z", "d", subtype="chat_compression", systemPayload={"compressedHistory": KEPT})


def file_of(lines: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in lines)


def test_a_session_is_read_with_its_usage_and_title_and_comes_back(tmp_path: Path) -> None:
    data = file_of([*LINES, TITLE])
    with Store.open(tmp_path) as store:
        with store.tract("q") as t:
            report = t.import_transcript(data)
            assert (report.format, report.session_id, report.messages, report.flaws) == ("qwen", SESSION, 4, ())
            assert t.title == "Files"
            assert [m.role for m in t.compile().messages] == ["user", "model", "user", "model"]
            assert t.compile().generation_configs[-1] == {"model": "qwen3"}
            assert [json.loads(one) for one in t.export_transcript().splitlines()] == [*LINES, TITLE]
        usage = store.usage()["q"]
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (100, 10, 110)
    assert (usage.cache_read_tokens, usage.reasoning_tokens) == (40, 3)


def test_a_compression_covers_what_was_before_it(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        t.import_transcript(file_of([*LINES, COMPRESSION, line("user", "e", "z", {"text": "go on"})]))
        texts = [str(m.to_dict()) for m in t.compile().messages]
    assert ["it was about files" in texts[0], "right" in texts[1], "go on" in texts[2]] == [True, True, True]
    assert len(texts) == 3


def test_a_broken_chain_is_checked_and_mended(tmp_path: Path) -> None:
    data = file_of([*LINES[:3], *LINES[4:]])
    found = check_session(data)
    assert (found.format, found.messages, found.loaded, found.share) == ("qwen", 3, 1, 1 / 3)
    with Tract.open(tmp_path) as t:
        assert t.import_transcript(data).messages == 3
        made = t.export_transcript(format="claude-code")
    assert check_session(made).share == 1.0
