"""Claude Code sessions to resume from: one chain of lines for a context in Anthropic's form.

After the recipe of the tool's own forks (claude-agent-sdk, `_internal/session_mutations.py`): new ids throughout, each
line the child of the one before, no parallel forks, a `custom-title` last. Each call has its result in the next message.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from tract_fs.model.names import to_datetime
from tract_fs.transcripts.claude_lines import SYNTHETIC
from tract_fs.transcripts.resume import ResumeContext, ResumeFile
from tract_fs.transcripts.units import repaired
from tract_fs.transcripts.values import list_in, text_in

_VERSION = "2.1.209"  # of Claude Code, whose lines these are like
_LONGEST_FOLDER = 200  # characters
_NO_RESULT = "[no result of this tool call is in the context]"
_NO_START = "[the conversation before is not in this context]"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
Message = dict[str, Any]


def write(context: ResumeContext) -> ResumeFile:
    """Returns a session file for a context, and what of it the file can't hold."""
    lost: Counter[str] = Counter()
    messages = _paired(_merged(_cleaned(context.messages, lost)), lost)
    if context.system:
        lost["system prompts left out: Claude Code writes its own"] += 1
    if messages and messages[0]["role"] == "assistant":
        messages.insert(0, {"role": "user", "content": _NO_START})
    records: list[dict[str, Any]] = []
    for place, message in enumerate(messages):
        at = _time(context.at_us - (len(messages) - 1 - place) * 1000)
        records.append(_line(context, message, place, records[-1]["uuid"] if records else None, at))
    title = {"type": "custom-title", "sessionId": context.session_id, "customTitle": repaired(context.title)[0]}
    records.append({**title, "uuid": _uuid(context, "title"), "timestamp": _time(context.at_us)})
    path = f"{project_folder(context.cwd)}/{context.session_id}.jsonl"
    return ResumeFile(path, tuple(records), tuple(f"{count} {reason}" for reason, count in lost.items()))


def project_folder(cwd: str) -> str:
    """Returns the name of the folder that Claude Code keeps the sessions of a directory in."""
    name = re.sub("[^a-zA-Z0-9]", "-", cwd)
    return name if len(name) <= _LONGEST_FOLDER else f"{name[:_LONGEST_FOLDER]}-{_hash(cwd)}"


def _hash(text: str) -> str:
    """Returns the hash of JavaScript's strings, in base 36: of 32 bits, over UTF-16."""
    data = text.encode("utf-16-le", "surrogatepass")
    sum_ = 0
    for place in range(0, len(data), 2):
        sum_ = (sum_ * 31 + int.from_bytes(data[place : place + 2], "little")) & 0xFFFFFFFF
    rest = abs(sum_ - 0x100000000 if sum_ >= 0x80000000 else sum_)
    digits = "" if rest else "0"
    while rest:
        rest, digit = divmod(rest, 36)
        digits = _DIGITS[digit] + digits
    return digits


def _cleaned(messages: Sequence[Message], lost: Counter[str]) -> list[Message]:
    """Returns the messages in storable Unicode, as blocks that Claude Code can send again, without those that are empty."""
    found = []
    for message in messages:
        mended, reason = repaired(message)
        if reason:
            lost["messages changed: a lone surrogate is now U+FFFD, or the like"] += 1
        role, content = mended.get("role"), mended.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list_in(mended, "content")
        blocks = [block for block in map(_block, blocks) if _is_sendable(block, lost)]
        if role not in ("user", "assistant"):
            lost[f"messages of the role {role} now of the user"] += 1
            role = "user"
        if blocks:
            found.append({"role": role, "content": blocks})
        else:
            lost["empty messages left out"] += 1
    return found


def _block(block: Any) -> Any:
    """Returns a block without what only its request had."""
    if isinstance(block, dict) and "cache_control" in block:
        return {key: value for key, value in block.items() if key != "cache_control"}
    return block


def _is_sendable(block: Any, lost: Counter[str]) -> bool:
    kind = text_in(block, "type")
    if not kind or (kind == "text" and not text_in(block, "text").strip()):
        return False
    if kind == "thinking" and not text_in(block, "signature"):
        lost["thinking blocks left out, which have no signature"] += 1
        return False
    return True


def _merged(messages: Sequence[Message]) -> list[Message]:
    """Returns the messages with neighbours of one role as one."""
    found: list[Message] = []
    for message in messages:
        if found and found[-1]["role"] == message["role"]:
            found[-1]["content"] += message["content"]
        else:
            found.append({"role": message["role"], "content": list(message["content"])})
    return found


def _paired(messages: Sequence[Message], lost: Counter[str]) -> list[Message]:
    """Returns the messages with the results of each message's calls at the start of the next one."""
    results: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for place, message in enumerate(messages):
        for block in message["content"]:
            if block["type"] == "tool_result" and message["role"] == "user":
                results.setdefault(text_in(block, "tool_use_id"), []).append((place, block))
    taken: set[int] = set()  # by id of the block
    found: list[Message] = []
    for place, message in enumerate(messages):
        if message["role"] == "user":
            blocks = [_as_text(block, lost) for block in message["content"] if id(block) not in taken]
            _extend(found, "user", blocks)
            continue
        _extend(found, "assistant", message["content"])
        answers = []
        for call in (block for block in message["content"] if block["type"] == "tool_use"):
            waiting = results.get(text_in(call, "id"), [])
            answer = next((one for at, one in waiting if at > place and id(one) not in taken), None)
            if answer is None:
                lost["tool calls without a result got one that says so"] += 1
                answer = _no_result(text_in(call, "id"))
            taken.add(id(answer))
            answers.append(answer)
        _extend(found, "user", answers)
    return _merged(found)


def _extend(found: list[Message], role: str, blocks: list[Any]) -> None:
    if blocks:
        found.append({"role": role, "content": blocks})


def _no_result(call: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call, "content": _NO_RESULT, "is_error": True}


def _as_text(block: dict[str, Any], lost: Counter[str]) -> dict[str, Any]:
    """Returns a result whose call is not there, or has another result, as a text."""
    if block["type"] != "tool_result":
        return block
    lost["tool results without a call of their own are texts now"] += 1
    content = block.get("content")
    texts = [content] if isinstance(content, str) else [text_in(one, "text") for one in list_in(block, "content")]
    return {"type": "text", "text": "\n".join(["[result of a tool call]", *filter(None, texts)])}


def _line(context: ResumeContext, message: Message, place: int, parent: str | None, at: str) -> dict[str, Any]:
    role, content = message["role"], message["content"]
    if role == "user" and len(content) == 1 and isinstance(content, list) and content[0].keys() == {"type", "text"}:
        content = content[0]["text"]
    shown: dict[str, Any] = {"role": role, "content": content}
    if role == "assistant":
        is_call = any(block["type"] == "tool_use" for block in content)
        shown = {
            "id": f"msg_{sha256(f'{context.session_id} {place}'.encode()).hexdigest()[:24]}",
            "type": "message",
            "role": role,
            "model": context.model if context.model.startswith("claude") else SYNTHETIC,
            "content": content,
            "stop_reason": "tool_use" if is_call else "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }
    return {
        "parentUuid": parent,
        "isSidechain": False,
        "userType": "external",
        "cwd": context.cwd,
        "sessionId": context.session_id,
        "version": _VERSION,
        "gitBranch": context.git_branch,
        "type": role,
        "message": shown,
        "uuid": _uuid(context, str(place)),
        "timestamp": at,
    }


def _uuid(context: ResumeContext, name: str) -> str:
    """Returns an id of a line: one session id gives the same ones."""
    digits = sha256(f"{context.session_id}/{name}".encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:32]}"


def _time(us: int) -> str:
    return to_datetime(us).isoformat(timespec="milliseconds").replace("+00:00", "Z")
