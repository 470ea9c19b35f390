"""Small sessions of every format, made up: each with a call and its result, and with what its format has that no message shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

LONG = "The quick brown fox jumps over the lazy dog. "


class Sample(NamedTuple):
    """A session file: its bytes, how many entries it has, how many messages they make, how many of these show at the end, and where its records are."""

    data: bytes
    entries: int
    messages: int
    shown: int
    array: tuple[str, ...] | None = None  # the way to the messages in a document; None: a record a line
    goes_back: bool = False  # the session went back once: what it left is a branch


def lines(records: list[Any]) -> bytes:
    """Returns a file of one record a line."""
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def jsonl() -> Sample:
    records = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": LONG},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": {"name": "f"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "(no output)"},
        {"note": "no message", "number": 12345678901234567890},
        {"role": "assistant", "content": "(no output)"},
    ]
    return Sample(lines(records), 6, 5, 5)


def opencode() -> Sample:
    def part(kind: str, **fields: Any) -> dict[str, Any]:
        return {"type": kind, "id": f"prt_{kind}", **fields}

    def message(id_: str, role: str, *parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
        return {"info": {"id": id_, "role": role, "time": {"created": 1788218993905}, **fields}, "parts": list(parts)}

    tokens = {"input": 20, "output": 2, "reasoning": 1, "cache": {"read": 5, "write": 3}}
    made = {"modelID": "m-1", "providerID": "p-1", "agent": "build", "tokens": tokens, "finish": "stop"}
    done = {"status": "completed", "input": {"path": "a.py"}, "output": LONG, "time": {"start": 1, "end": 2}}
    document = {
        "info": {"id": "ses_1", "title": "A session", "directory": "/work", "time": {"created": 1, "updated": 2}},
        "messages": [
            message("msg_1", "user", part("text", text=LONG + "?"), part("file", mime="image/png", url="data:,x")),
            message(
                "msg_2", "assistant", part("reasoning", text="hm"), part("tool", callID="c", tool="read", state=done)
            ),
            message("msg_3", "assistant", part("step-start"), part("text", text="So it is."), **made),
            message("msg_4", "user", part("compaction", auto=True)),
            message("msg_5", "assistant", part("text", text="A fox, a dog."), parentID="msg_4", summary=True, **made),
            message("msg_6", "user", part("text", text="Go on."), system="be brief"),
        ],
    }
    return Sample(json.dumps(document).encode(), 7, 9, 4, ("messages",))


def pi() -> Sample:
    def entry(id_: str, parent: str | None, kind: str, **fields: Any) -> dict[str, Any]:
        return {"type": kind, "id": id_, "parentId": parent, "timestamp": "2026-08-31T23:30:11.829Z", **fields}

    def message(id_: str, parent: str | None, role: str, **fields: Any) -> dict[str, Any]:
        return entry(id_, parent, "message", message={"role": role, **fields})

    usage = {"input": 10, "output": 3, "cacheRead": 1, "cacheWrite": 0, "totalTokens": 14}
    made = {"api": "anthropic-messages", "provider": "anthropic", "model": "m-1", "usage": usage, "stopReason": "stop"}
    call = {"type": "toolCall", "id": "c1", "name": "read", "arguments": {"path": LONG}}
    text = [{"type": "text", "text": LONG}]
    records = [
        {"type": "session", "version": 3, "id": "s-1", "timestamp": "2026-08-31T23:30:11.829Z", "cwd": "/work"},
        entry("a1", None, "thinking_level_change", thinkingLevel="high"),
        message("a2", "a1", "user", content=text),
        message("a3", "a2", "assistant", content=[{"type": "thinking", "thinking": "hm"}, call], **made),
        message("a4", "a3", "toolResult", toolCallId="c1", toolName="read", content=text, isError=False),
        message("a5", "a4", "assistant", content=[{"type": "text", "text": "So it is."}], **made),
        message("a6", "a5", "user", content="And the cat?"),
        message("a7", "a5", "user", content="And the dog?"),
        message("a8", "a7", "bashExecution", command="ls", output=LONG, exitCode=0),
        entry("a9", "a8", "compaction", summary="A fox." + LONG, firstKeptEntryId="a7", tokensBefore=90),
        entry("b0", "a9", "custom", customType="x", data={"n": 1}),
        entry("b1", "b0", "custom_message", customType="x", content="Be quick.", display=True),
        entry("b2", "b1", "session_info", name="A session"),
    ]
    return Sample(lines(records), 13, 8, 4, goes_back=True)


_GEMINI_HEADER = {
    "sessionId": "g-1",
    "projectHash": "p-1",
    "startTime": "2026-08-31T23:30:11.829Z",
    "summary": "A session",
}


def _gemini_messages() -> list[dict[str, Any]]:
    def message(id_: str, type_: str, content: Any, **fields: Any) -> dict[str, Any]:
        return {"id": id_, "type": type_, "timestamp": "2026-08-31T23:30:12.829Z", "content": content, **fields}

    response = [{"functionResponse": {"id": "c1", "name": "read", "response": {"output": LONG}}}]
    call = {"id": "c1", "name": "read", "args": {"path": "a.py"}, "status": "success", "result": response}
    tokens = {"input": 20, "output": 2, "cached": 5, "thoughts": 1, "tool": 0, "total": 23}
    thought = {"subject": "Look", "description": LONG, "timestamp": "2026-08-31T23:30:12.829Z"}
    made = {"model": "gemini-1", "tokens": tokens}
    return [
        message("m1", "user", [{"text": LONG + "?"}]),
        message("m2", "info", "Started."),
        message("m3", "gemini", "", thoughts=[thought], **made),
        message("m3", "gemini", "", thoughts=[thought], toolCalls=[call], **made),
        message("m4", "gemini", "So it is.", **made),
    ]


def gemini_cli() -> Sample:
    again = {"id": "m9", "type": "user", "content": "And the dog?"}
    messages = _gemini_messages()
    records = [
        _GEMINI_HEADER,
        *messages,
        {"$set": {"lastUpdated": "2026-08-31T23:30:13.829Z"}},
        {"id": "m5", "type": "user", "content": "And the cat?"},
        {"$rewindTo": "m5"},
        {"$set": {"messages": [messages[0], {"id": "m6", "type": "gemini", "content": "A fox." + LONG}]}},
        again,
        {**again, "content": "And the dog, then?"},
        {"$rewindTo": "m6"},
        {"id": "m7", "type": "user", "content": "Once more."},
    ]
    return Sample(lines(records), 14, 11, 2, goes_back=True)


def gemini_cli_json() -> Sample:
    document = {**_GEMINI_HEADER, "messages": [m for n, m in enumerate(_gemini_messages()) if n != 2]}
    return Sample(json.dumps(document).encode(), 5, 4, 4, ("messages",))


def copilot() -> Sample:
    def event(number: int, kind: str, **data: Any) -> dict[str, Any]:
        fields = {"id": f"e{number}", "parentId": f"e{number - 1}", "timestamp": "2026-08-31T23:05:50.234Z"}
        return {"type": kind, "data": data, **fields}

    request = {"toolCallId": "c1", "name": "view", "arguments": {"path": "a.py"}, "type": "function"}
    asset = {"assetId": "sha256:d6", "mimeType": "image/png", "data": "iVBORw0KGgoAAAANSUhEUgAAAoAAAAGQEAYAAABuYw1m"}
    records = [
        event(0, "session.start", sessionId="s-1", version=1, copilotVersion="1.0.70", context={"cwd": "/work"}),
        event(1, "session.model_change", newModel="m-1", reasoningEffort="high"),
        event(2, "system.message", role="system", content="be brief"),
        event(3, "session.binary_asset", **asset),
        event(
            4,
            "user.message",
            content="Look",
            transformedContent=f"Look. {LONG}",
            attachments=[{"assetId": "sha256:d6"}],
        ),
        event(5, "assistant.message", model="m-1", content="", reasoningText="hm", toolRequests=[request]),
        {**event(6, "assistant.message", content="I am another."), "agentId": "a-1"},
        event(7, "tool.execution_complete", toolCallId="c1", success=True, result={"content": LONG}),
        event(8, "system.message", role="system", content="be very brief"),
        event(9, "assistant.message", model="m-1", content="So it is.", toolRequests=[]),
        event(10, "assistant.usage", model="m-1", inputTokens=20, outputTokens=2, cacheReadTokens=5),
        event(11, "session.compaction_complete", success=True, summaryContent="A fox." + LONG),
        event(12, "user.message", content="And the cat?"),
        event(13, "session.snapshot_rewind", upToEventId="e12", eventsRemoved=1),
        event(14, "user.message", content="And the dog?"),
        event(15, "session.title_changed", title="A session"),
    ]
    return Sample(lines(records), 16, 8, 3, goes_back=True)


def codex() -> Sample:
    """A legacy rollout: a turn with a call, one taken back, and a compaction."""
    number = 0

    def line(kind: str, payload: dict[str, Any]) -> dict[str, Any]:
        nonlocal number
        number += 1
        return {"timestamp": f"2026-05-11T08:27:17.{number:03}Z", "type": kind, "payload": payload}

    def item(**fields: Any) -> dict[str, Any]:
        return line("response_item", fields)

    def event(kind: str, **fields: Any) -> dict[str, Any]:
        return line("event_msg", {"type": kind, **fields})

    def said(role: str, text: str, **fields: Any) -> dict[str, Any]:
        kind = "output_text" if role == "assistant" else "input_text"
        return {"type": "message", "role": role, "content": [{"type": kind, "text": text}], **fields}

    count = {"input_tokens": 90, "cached_input_tokens": 40, "output_tokens": 7, "reasoning_output_tokens": 2}
    tool = {"name": "look", "description": "Looks.", "inputSchema": {"type": "object", "properties": {}}}
    records = [
        line(
            "session_meta",
            {"id": "th-1", "cwd": "/work", "base_instructions": {"text": "be brief"}, "dynamic_tools": [tool]},
        ),
        event("task_started", turn_id="t1"),
        item(**said("user", "<environment_context>/work</environment_context>")),
        line("turn_context", {"turn_id": "t1", "cwd": "/work", "model": "m-1", "effort": "high", "summary": "auto"}),
        item(**said("user", LONG)),
        event("user_message", message=LONG),
        item(type="reasoning", id="rs_1", summary=[], encrypted_content="g" * 40),
        item(type="function_call", name="look", arguments="{}", call_id="c1", id="fc_1"),
        item(type="function_call_output", call_id="c1", output=LONG),
        event("token_count", info={"total_token_usage": count, "last_token_usage": count}),
        item(**said("assistant", "So it is.", id="msg_1", phase="final_answer")),
        event("task_complete", turn_id="t1"),
        event("task_started", turn_id="t2"),
        item(**said("user", "And the cat?")),
        event("user_message", message="And the cat?"),
        item(**said("assistant", "No cat.")),
        event("task_complete", turn_id="t2"),
        event("thread_rolled_back", num_turns=1),
        line("compacted", {"message": "", "replacement_history": [said("user", LONG), said("user", "A fox, a dog.")]}),
        item(type="ghost_snapshot", ghost_commit={"id": "g"}),
        item(**said("user", "Go on.")),
    ]
    return Sample(lines(records), 21, 10, 4, goes_back=True)


def anthropic() -> Sample:
    call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"path": LONG}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": LONG, "is_error": False}
    body = {
        "model": "m-1",
        "max_tokens": 100,
        "system": [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}],
        "tools": [{"name": "look", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": LONG},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s" * 30}, call]},
            {"role": "user", "content": [result]},
            {"role": "assistant", "content": [{"type": "text", "text": "So it is."}]},
        ],
    }
    return Sample(json.dumps(body).encode(), 5, 5, 5, ("messages",))


def openai_responses() -> Sample:
    items = [
        {"role": "user", "content": LONG},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "g" * 40},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": LONG},
        {"type": "item_reference", "id": "msg_0"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "So it is."}]},
    ]
    return Sample(json.dumps(items).encode(), 7, 5, 5, ())


def openai_chat() -> Sample:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    body = {
        "model": "m-1",
        "temperature": 0.5,
        "tools": [{"type": "function", "function": {"name": "look"}}],
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": LONG},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": LONG},
            {"role": "assistant", "content": "So it is."},
        ],
    }
    return Sample(json.dumps(body).encode(), 6, 5, 5, ("messages",))


def inspect() -> Sample:
    messages = [
        {"id": "m1", "role": "system", "content": "be brief"},
        {"id": "m2", "role": "user", "content": LONG, "source": "input"},
        {"id": "m3", "role": "assistant", "content": "Yes", "model": "m-1", "source": "generate"},
    ]
    sample = {"id": 1, "epoch": 1, "input": LONG, "target": "Yes", "messages": messages}
    return Sample(json.dumps(sample).encode(), 4, 3, 3, ("messages",))


def goose() -> Sample:
    def row(number: int, role: str, *parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
        return {
            "id": number,
            "session_id": "s",
            "role": role,
            "content_json": list(parts),
            "created_timestamp": 1788218993,
            **fields,
        }

    call = {
        "type": "toolRequest",
        "id": "c1",
        "toolCall": {"status": "success", "value": {"name": "f", "arguments": {"x": 1}}},
    }
    result = {
        "type": "toolResponse",
        "id": "c1",
        "toolResult": {"status": "success", "value": [{"type": "text", "text": LONG}]},
    }
    rows = [
        row(1, "user", {"type": "text", "text": LONG + "?"}, message_id="m1"),
        row(2, "assistant", {"type": "thinking", "thinking": "hm", "signature": "s"}, call),
        row(3, "user", result),
        row(4, "user", {"type": "text", "text": "For you alone."}, metadata_json={"agentVisible": False}),
        row(5, "assistant", {"type": "text", "text": "So it is."}),
    ]
    session = {"id": "s", "name": "A session", "working_dir": "/work", "model_config_json": {"model_name": "m-1"}}
    return Sample(json.dumps({"session": session, "messages": rows}).encode(), 6, 4, 4, ("messages",))


def crush() -> Sample:
    def row(number: int, role: str, *parts: tuple[str, dict[str, Any]], **fields: Any) -> dict[str, Any]:
        data = [{"type": kind, "data": data} for kind, data in parts]
        return {"id": f"m{number}", "session_id": "s", "role": role, "parts": data, "created_at": 1788218993, **fields}

    rows = [
        row(1, "user", ("text", {"text": LONG + "?"})),
        row(
            2,
            "assistant",
            ("reasoning", {"thinking": "hm"}),
            ("tool_call", {"id": "c", "name": "f", "input": '{"x": 1}'}),
        ),
        row(3, "tool", ("tool_result", {"tool_call_id": "c", "content": LONG})),
        row(4, "assistant", ("text", {"text": "A fox."}), is_summary_message=1, model="m-1", provider="p-1"),
        row(5, "user", ("text", {"text": "Go on."})),
    ]
    document = {"session": {"id": "s", "title": "A session"}, "messages": rows}
    return Sample(json.dumps(document).encode(), 6, 5, 2, ("messages",))


def cline() -> Sample:
    def message(role: str, *blocks: dict[str, Any], **fields: Any) -> dict[str, Any]:
        return {"role": role, "content": list(blocks), "ts": 1788218993905, **fields}

    text = {"type": "text", "text": LONG}
    made = {"modelInfo": {"id": "m-1", "provider": "p-1"}, "metrics": {"inputTokens": 20, "outputTokens": 2}}
    messages = [
        message("user", text, condenseParent="k"),
        message(
            "assistant", {"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}}, condenseParent="k", **made
        ),
        message("user", {"type": "tool_result", "tool_use_id": "c1", "content": LONG}, condenseParent="k"),
        message("assistant", {"type": "text", "text": "A fox."}, isSummary=True, condenseId="k"),
        message("user", {"type": "text", "text": "Go on."}),
    ]
    return Sample(json.dumps(messages).encode(), 5, 5, 2, ())


def atif() -> Sample:
    result = {"source_call_id": "c1", "content": LONG}
    call = {"tool_call_id": "c1", "function_name": "f", "arguments": {"x": 1}}
    metrics = {"prompt_tokens": 20, "completion_tokens": 2, "cached_tokens": 5}
    steps = [
        {"step_id": 1, "source": "system", "message": "be brief"},
        {"step_id": 2, "source": "user", "message": LONG + "?", "timestamp": "2026-08-31T23:30:12.829Z"},
        {"step_id": 3, "source": "agent", "message": "", "tool_calls": [call], "observation": {"results": [result]}},
        {"step_id": 4, "source": "agent", "message": "So it is.", "reasoning_content": "hm", "metrics": metrics},
    ]
    agent = {"name": "a", "version": "1", "model_name": "m-1", "tool_definitions": [{"name": "f"}]}
    document = {"schema_version": "ATIF-v1.8", "session_id": "s-1", "agent": agent, "steps": steps}
    return Sample(json.dumps(document).encode(), 5, 5, 5, ("steps",))


def amp() -> Sample:
    call = {"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}}
    result = {"type": "tool_result", "toolUseID": "c1", "run": {"status": "done", "result": {"text": LONG}}}
    usage = {"model": "m-1", "inputTokens": 20, "outputTokens": 2, "cacheReadInputTokens": 5}
    messages = [
        {"role": "user", "messageId": 0, "content": [{"type": "text", "text": LONG + "?"}]},
        {
            "role": "assistant",
            "messageId": 1,
            "content": [{"type": "thinking", "thinking": "hm"}, call],
            "usage": usage,
        },
        {"role": "user", "messageId": 2, "content": [result]},
        {"role": "assistant", "messageId": 3, "content": [{"type": "text", "text": "So it is."}], "usage": usage},
    ]
    document = {"v": 3, "id": "T-1", "title": "A session", "created": 1788218993905, "messages": messages}
    return Sample(json.dumps(document).encode(), 5, 4, 4, ("messages",))


def kiro() -> Sample:
    def record(kind: str, *content: tuple[str, Any], **fields: Any) -> dict[str, Any]:
        parts = [{"kind": inner, "data": data} for inner, data in content]
        return {"version": "v1", "kind": kind, "data": {"content": parts, **fields}}

    call = {"toolUseId": "c1", "name": "f", "input": {"x": 1}}
    result = {"toolUseId": "c1", "content": [{"kind": "text", "data": LONG}], "status": "success"}
    records = [
        record("Prompt", ("text", LONG + "?"), message_id="m1"),
        record("AssistantMessage", ("text", "Let me see."), ("toolUse", call), message_id="m2"),
        record("ToolResults", ("toolResult", result), message_id="m3"),
        record("Compaction", summary="A fox." + LONG),
        record("AssistantMessage", ("text", "So it is."), message_id="m4"),
    ]
    return Sample(lines(records), 5, 5, 2)


def kimi() -> Sample:
    def event(kind: str, **fields: Any) -> dict[str, Any]:
        return {"type": "context.append_loop_event", "event": {"type": kind, **fields}, "time": 1788217588440}

    user = {"role": "user", "content": [{"type": "text", "text": LONG + "?"}], "toolCalls": []}
    usage = {"inputOther": 2301, "output": 123, "inputCacheRead": 18112, "inputCacheCreation": 0}
    records = [
        {"type": "metadata", "protocol_version": "1.5", "created_at": 1788217570681},
        {"type": "profile.bind", "systemPrompt": "be brief", "time": 1788217570681},
        {"type": "context.append_message", "message": user, "time": 1788217570681},
        {"type": "llm.tools_snapshot", "tools": [{"name": "Read"}]},
        {"type": "llm.request", "model": "m-1", "thinkingEffort": "on"},
        event("content.part", part={"type": "think", "think": LONG}),
        event("tool.call", toolCallId="c1", name="Read", args={"path": "a.py"}),
        event("tool.result", toolCallId="c1", result={"output": LONG, "note": "All of it."}),
        event("step.end", usage=usage),
        {"type": "context.apply_compaction", "summary": "A fox." + LONG},
        event("content.part", part={"type": "text", "text": "So it is."}),
    ]
    return Sample(lines(records), 11, 7, 3)


def vibe() -> Sample:
    call = {"id": "c1", "index": 0, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    records = [
        {"role": "system", "content": "be brief", "injected": False, "message_id": "m0"},
        {"role": "user", "content": LONG + "?", "injected": False, "message_id": "m1"},
        {"role": "assistant", "content": "", "injected": False, "tool_calls": [call], "message_id": "m2"},
        {"role": "tool", "content": LONG, "injected": False, "tool_call_id": "c1", "name": "f", "message_id": "m3"},
        {"role": "user", "content": "A fox.", "injected": True, "context_boundary": "compaction", "message_id": "m4"},
        {"role": "assistant", "content": "So it is.", "reasoning_content": "hm", "injected": False, "message_id": "m5"},
    ]
    return Sample(lines(records), 6, 6, 3)


def grok() -> Sample:
    def update(kind: str, **fields: Any) -> dict[str, Any]:
        params = {"sessionId": "s-1", "update": {"sessionUpdate": kind, **fields}, "_meta": {"eventId": "e"}}
        return {"timestamp": 1788219544, "method": "session/update", "params": params}

    text = {"type": "text", "text": LONG}
    usage = {"inputTokens": 10, "outputTokens": 2, "cachedReadTokens": 0}
    records = [
        update("user_message_chunk", content=text, _meta={"modelId": "m-1"}),
        update("agent_thought_chunk", content={"type": "text", "text": "hm"}),
        update("tool_call", toolCallId="c1", title="read_file", rawInput={"target_file": "a.py"}),
        update("tool_call_update", toolCallId="c1", title="Read"),
        update("tool_call_update", toolCallId="c1", status="completed", content=[{"type": "content", "content": text}]),
        update("tool_call_update", toolCallId="c1", status="completed", content=[{"type": "content", "content": text}]),
        update("agent_message_chunk", content={"type": "text", "text": "So it is."}),
        update("turn_completed", usage=usage),
    ]
    return Sample(lines(records), 8, 6, 5)


def openhands() -> Sample:
    def event(number: int, kind: str, source: str, **fields: Any) -> dict[str, Any]:
        return {"id": f"e{number}", "timestamp": "2026-08-31T19:25:13.730194", "source": source, "kind": kind, **fields}

    text = [{"type": "text", "text": LONG}]
    call = {"id": "c1", "name": "terminal", "arguments": '{"command": "ls"}'}
    records = [
        event(
            0, "SystemPromptEvent", "agent", system_prompt={"type": "text", "text": "be brief"}, tools=[{"title": "f"}]
        ),
        event(1, "MessageEvent", "user", llm_message={"role": "user", "content": text}),
        event(2, "ActionEvent", "agent", thought=[], tool_call=call, tool_name="terminal", tool_call_id="c1"),
        event(
            3, "ObservationEvent", "environment", tool_call_id="c1", observation={"content": text, "is_error": False}
        ),
        event(4, "Condensation", "environment", forgotten_event_ids=["e1", "e2", "e3"], summary="A fox."),
        event(
            5, "MessageEvent", "agent", llm_message={"role": "assistant", "content": [{"type": "text", "text": "Yes."}]}
        ),
    ]
    return Sample(lines(records), 6, 6, 3)


def otel() -> Sample:
    def message(role: str, *parts: dict[str, Any]) -> dict[str, Any]:
        return {"role": role, "parts": list(parts)}

    user = message("user", {"type": "text", "content": LONG + "?"})
    call = message("assistant", {"type": "tool_call", "id": "c1", "name": "f", "arguments": {"x": 1}})
    result = message("tool", {"type": "tool_call_response", "id": "c1", "response": LONG})
    answer = message("assistant", {"type": "text", "content": "So it is."})
    system = [{"type": "text", "content": "be brief"}]
    config = {"gen_ai.request.model": "m-1", "gen_ai.usage.input_tokens": 20, "gen_ai.usage.output_tokens": 2}
    first = {"gen_ai.system_instructions": system, "gen_ai.input.messages": [user], "gen_ai.output.messages": [call]}
    more = {"gen_ai.input.messages": [user, call, result], "gen_ai.output.messages": [answer]}
    other = {"gen_ai.input.messages": json.dumps([message("user", {"type": "text", "content": "A fox."})])}
    records = [{"name": "chat", "attributes": {**attributes, **config}} for attributes in (first, more)]
    return Sample(lines([*records, {"name": "chat", "attributes": other}]), 3, 6, 1)


def claude_code() -> Sample:
    def line(number: int, kind: str, before: int | None, message: dict[str, Any], **fields: Any) -> dict[str, Any]:
        ids = {"uuid": f"u{number}", "parentUuid": None if before is None else f"u{before}", "sessionId": "s-1"}
        about = {"timestamp": f"2026-08-31T23:30:{number:02}.000Z", "cwd": "/work", "version": "2.1.209"}
        return {"type": kind, **ids, **about, "isSidechain": False, "message": message, **fields}

    def made(*blocks: dict[str, Any], id_: str = "msg_1") -> dict[str, Any]:
        usage = {"input_tokens": 20, "output_tokens": 2}
        return {
            "id": id_,
            "type": "message",
            "role": "assistant",
            "model": "m-1",
            "content": list(blocks),
            "usage": usage,
        }

    call = {"type": "tool_use", "id": "c1", "name": "Read", "input": {"path": "a.py"}}
    result = {"type": "tool_result", "tool_use_id": "c1", "content": LONG}
    records = [
        {"type": "custom-title", "customTitle": "A session", "sessionId": "s-1"},
        line(0, "user", None, {"role": "user", "content": LONG + "?"}),
        line(1, "assistant", 0, made({"type": "thinking", "thinking": "hm", "signature": "s"})),
        line(2, "assistant", 1, made(call)),
        line(3, "user", 2, {"role": "user", "content": [result]}),
        line(4, "assistant", 3, made({"type": "text", "text": "So it is."}, id_="msg_2")),
    ]
    return Sample(lines(records), 6, 5, 5)


def qwen() -> Sample:
    def line(number: int, kind: str, before: int | None, **fields: Any) -> dict[str, Any]:
        ids = {"uuid": f"u{number}", "parentUuid": None if before is None else f"u{before}", "sessionId": "s-1"}
        about = {"timestamp": f"2026-08-31T23:30:{number:02}.000Z", "cwd": "/work", "version": "0.22.1"}
        return {"type": kind, **ids, **about, **fields}

    call = {"functionCall": {"id": "c1", "name": "read_file", "args": {"path": "a.py"}}}
    response = {"functionResponse": {"id": "c1", "name": "read_file", "response": {"output": LONG}}}
    usage = {"promptTokenCount": 20, "candidatesTokenCount": 2, "totalTokenCount": 22}
    made = {"model": "m-1", "usageMetadata": usage}
    records = [
        line(0, "user", None, message={"role": "user", "parts": [{"text": LONG + "?"}]}),
        line(1, "assistant", 0, message={"role": "model", "parts": [call]}, **made),
        line(2, "tool_result", 1, message={"role": "user", "parts": [response]}),
        line(3, "system", 2, subtype="ui_telemetry", systemPayload={"n": 1}),
        line(4, "assistant", 3, message={"role": "model", "parts": [{"text": "So it is."}]}, **made),
    ]
    return Sample(lines(records), 5, 4, 4)


SAMPLES: dict[str, Callable[[], Sample]] = {  # a line for each format
    "anthropic": anthropic,
    "codex": codex,
    "inspect": inspect,
    "openai-chat": openai_chat,
    "openai-responses": openai_responses,
    "jsonl": jsonl,
    "claude-code": claude_code,
    "qwen": qwen,
    "opencode": opencode,
    "pi": pi,
    "gemini-cli": gemini_cli,
    "gemini-cli-json": gemini_cli_json,
    "copilot": copilot,
    "goose": goose,
    "crush": crush,
    "cline": cline,
    "atif": atif,
    "amp": amp,
    "kiro": kiro,
    "kimi": kimi,
    "vibe": vibe,
    "grok": grok,
    "openhands": openhands,
    "otel": otel,
}
