"""Writes Codex rollouts to go on from: legacy mode, a new thread, one valid chain, every call answered.

Legacy mode has no ordinals, and every version of Codex reads it. Its `response_item` lines are what the model will see; an
`event_msg` beside each message is what the user sees, and what lists the session.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import takewhile
from typing import Any
from uuid import UUID

from tract_fs.model.fields import Fields, items_of, text_in
from tract_fs.model.names import to_datetime
from tract_fs.transcripts.blocks import texts_of
from tract_fs.transcripts.resume import ResumeContext, ResumeFile, iso_time
from tract_fs.transcripts.units import repaired

MESSAGES = "openai_responses"  # the form of the messages that `write` takes
_ORIGINATOR = "tract"
_CLI_VERSION = "0.144.4"  # of the shape that is written
_ABORTED = "aborted"  # what Codex itself answers a call that was cut off with
_NEEDED: dict[str, dict[str, Any]] = {  # by item type, the fields that Codex can't read it without
    "reasoning": {"summary": list},
    "function_call": {"name": str, "arguments": str, "call_id": str},
    "custom_tool_call": {"name": str, "input": str, "call_id": str},
    "local_shell_call": {"action": dict, "status": str},
    "web_search_call": {},
    "function_call_output": {"call_id": str, "output": (str, list)},
    "custom_tool_call_output": {"call_id": str, "output": (str, list)},
    "compaction": {"encrypted_content": str},
}
_ANSWERS = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "local_shell_call": "function_call_output",
}
_PARTS = frozenset(["input_text", "output_text", "input_image"])


def write(context: ResumeContext) -> ResumeFile:
    """Returns a rollout of a context whose `messages` are items of OpenAI's responses; the system messages that they begin
    with become the instructions of the thread, where `system` is empty.
    """
    lost: Counter[str] = Counter()
    count = len(list(takewhile(lambda message: message.get("role") == "system", context.messages)))
    texts = [text for message in context.messages[:count] for text in texts_of(message.get("content"))]
    system = context.system or "\n\n".join(texts)
    items = _paired([item for message in context.messages[count:] for item in _item(message, lost)], lost)
    lines: list[tuple[str, Fields]] = [("session_meta", {})]
    for item in items:
        event = _event(item)
        lines.append(("response_item", item))
        if event is not None:
            lines.append(("event_msg", event))
    start = to_datetime(context.at_us) - timedelta(milliseconds=len(lines))
    lines[0] = ("session_meta", _header(context, system, iso_time(start)))
    records = [
        {"timestamp": iso_time(start + timedelta(milliseconds=number)), "type": kind, "payload": payload}
        for number, (kind, payload) in enumerate(lines)
    ]
    name = f"rollout-{start:%Y-%m-%dT%H-%M-%S}-{context.session_id}.jsonl"
    return ResumeFile(
        f"{start:%Y/%m/%d}/{name}",
        tuple(repaired(record)[0] for record in records),
        tuple(f"{count} {what}" for what, count in sorted(lost.items())),
    )


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _header(context: ResumeContext, system: str, timestamp: str) -> Fields:
    header: Fields = {
        "session_id": context.session_id,
        "id": context.session_id,
        "timestamp": timestamp,
        "cwd": context.cwd,
        "originator": _ORIGINATOR,
        "cli_version": _CLI_VERSION,
        "source": "cli",
        "model_provider": "openai",
        "history_mode": "legacy",
    }
    if system:
        header["base_instructions"] = {"text": system}
    if context.git_branch:
        header["git"] = {"branch": context.git_branch}
    if _is_uuid(context.forked_from):  # Codex can't read a header with any other id
        header["forked_from_id"] = context.forked_from
    return header


def _item(message: Fields, lost: Counter[str]) -> list[Fields]:
    """Returns an item as Codex reads it; nothing for one that it can't."""
    kind = text_in(message, "type") or "message"
    if kind == "message":
        return _message(message, lost)
    needed = _NEEDED.get(kind)
    item = {name: value for name, value in message.items() if name != "role"}
    if kind == "reasoning" and not isinstance(item.get("encrypted_content"), str | None):
        needed = None
    if needed is None or any(not isinstance(item.get(name), type_) for name, type_ in needed.items()):
        lost[f"of type {kind[:40]}, which Codex can't read"] += 1
        return []
    if isinstance(item.get("output"), list):
        item["output"] = _blocks(item["output"], lost)
    return [item]


def _message(message: Fields, lost: Counter[str]) -> list[Fields]:
    role = text_in(message, "role")
    if role not in ("user", "assistant", "developer", "system"):
        lost[f"messages of role {role[:40]!r}"] += 1
        return []
    content = message.get("content")
    if isinstance(content, str):
        content = [{"type": "output_text" if role == "assistant" else "input_text", "text": content}]
    blocks = _blocks(items_of(content), lost)
    if not blocks:
        return []
    named = {name: message[name] for name in ("id", "phase") if isinstance(message.get(name), str)}
    return [{"type": "message", **named, "role": "developer" if role == "system" else role, "content": blocks}]


def _blocks(blocks: list[Any], lost: Counter[str]) -> list[Fields]:
    kept = []
    for block in blocks:
        kind = text_in(block, "type") if isinstance(block, dict) else ""
        field = "image_url" if kind == "input_image" else "text"
        if kind == "refusal" and isinstance(block.get("refusal"), str):
            kept.append({"type": "output_text", "text": block["refusal"]})
        elif kind in _PARTS and isinstance(block.get(field), str):
            kept.append({name: block[name] for name in ("type", field, "detail") if name in block})
        else:
            lost[f"parts of type {kind[:40]!r}"] += 1
    return kept


def _paired(items: list[Fields], lost: Counter[str]) -> list[Fields]:
    """Returns items in which every result follows its call, and every call has one: a lone call is answered as aborted."""
    calls: set[tuple[str, str]] = set()
    answered: set[tuple[str, str]] = set()
    again: dict[tuple[str, str], str] = {}  # of calls with the id of one before, the new one
    kept: list[Fields] = []
    for item in items:
        mark = (item["type"], text_in(item, "call_id"))
        if item["type"] in _ANSWERS and mark[1]:
            answer = (_ANSWERS[item["type"]], mark[1])
            if answer in calls:
                lost["calls with the id of another call, which got a new one"] += 1
                number = 2
                while (answer[0], new := f"{mark[1]}-{number}") in calls:
                    number += 1
                again[answer] = new
                answer, item = (answer[0], new), {**item, "call_id": new}
            calls.add(answer)
            kept.append(item)
        elif item["type"] in _ANSWERS.values():
            if mark in answered and mark in again:
                mark = (mark[0], again[mark])
                item = {**item, "call_id": mark[1]}
            if mark not in calls or mark in answered:
                lost["results without a call of their own"] += 1
                continue
            answered.add(mark)
            kept.append(item)
        else:
            kept.append(item)
    open_calls, whole = calls - answered, list[Fields]()
    for item in kept:
        whole.append(item)
        answer = (_ANSWERS.get(item["type"], ""), text_in(item, "call_id"))
        if answer in open_calls:
            lost["calls without a result, answered as aborted"] += 1
            whole.append({"type": answer[0], "call_id": answer[1], "output": _ABORTED})
    return whole


def _event(item: Fields) -> Fields | None:
    """Returns what shows a message to the user."""
    if item["type"] != "message" or item["role"] not in ("user", "assistant"):
        return None
    text = "\n".join(block["text"] for block in item["content"] if "text" in block)
    if item["role"] == "user":
        return {"type": "user_message", "message": text, "images": [], "local_images": [], "text_elements": []}
    phase = {"phase": item["phase"]} if "phase" in item else {}
    return {"type": "agent_message", "message": text, **phase} if text else None
