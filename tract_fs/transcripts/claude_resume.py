"""Claude Code sessions to resume from: one chain of lines for a context in Anthropic's form.

After the recipe of the tool's own forks (claude-agent-sdk, `_internal/session_mutations.py`): new ids throughout, each
line the child of the one before, no parallel forks, a `custom-title` last. Each call has its result in the next message.
"""

from __future__ import annotations

import re
from collections import Counter
from hashlib import sha256
from typing import Any

from tract_fs.model.fields import text_in
from tract_fs.model.names import to_datetime
from tract_fs.transcripts.claude_lines import SYNTHETIC
from tract_fs.transcripts.resume import ResumeContext, ResumeFile, iso_time
from tract_fs.transcripts.turns import Message, turns_of
from tract_fs.transcripts.units import repaired

_VERSION = "2.1.209"  # of Claude Code, whose lines these are like
_LONGEST_FOLDER = 200  # characters
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def write(context: ResumeContext) -> ResumeFile:
    """Returns a session file for a context, and what of it the file can't hold."""
    lost: Counter[str] = Counter()
    messages = turns_of(context.messages, lost, _is_sendable)
    if context.system:
        lost["system prompts left out: Claude Code writes its own"] += 1
    records: list[dict[str, Any]] = []
    for place, message in enumerate(messages):
        at = iso_time(to_datetime(context.at_us - (len(messages) - 1 - place) * 1000))
        records.append(_line(context, message, place, records[-1]["uuid"] if records else None, at))
    title = {"type": "custom-title", "sessionId": context.session_id, "customTitle": repaired(context.title)[0]}
    records.append({**title, "uuid": _uuid(context, "title"), "timestamp": iso_time(to_datetime(context.at_us))})
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


def _is_sendable(block: Message, lost: Counter[str]) -> bool:
    """Returns whether Claude Code can send a block again."""
    if block["type"] == "thinking" and not text_in(block, "signature"):
        lost["thinking blocks left out, which have no signature"] += 1
        return False
    return True


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
