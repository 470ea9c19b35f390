"""Codex rollouts, legacy and paginated: `sessions/YYYY/MM/DD/rollout-<time>-<id>.jsonl`.

What the model saw is in `response_item` lines, in what replaces them at a compaction, and in messages of other agents; an
`event_msg` repeats for display what was said, and is a record. What the user took back is a branch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tract_fs.model.content import InstructionContent, ToolsContent
from tract_fs.model.fields import Fields, fields_in, fields_of, text_in
from tract_fs.transcripts.codex_facts import ThreadFacts, communication_of, event_of, instructions_of, tools_of
from tract_fs.transcripts.codex_lines import ThreadLines, parts_of
from tract_fs.transcripts.codex_resume import MESSAGES, write
from tract_fs.transcripts.measures import time_us
from tract_fs.transcripts.response_items import message_of
from tract_fs.transcripts.resume import Loss, SessionCheck
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Branch, Entry, Transcript

__all__ = ["MESSAGES", "NAME", "check", "matches", "read", "write"]

NAME = "codex"
_LINE_TYPES = frozenset(["session_meta", "response_item", "event_msg", "turn_context", "compacted", "world_state"])
_SESSION = ("cwd", "originator", "cli_version", "source", "model_provider", "git", "history_mode", "history_base")
_ORIGIN = ("forked_from_id", "parent_thread_id", "timestamp")
_NAMED = ("id", "call_id", "turn_id", "response_id", "phase", "cwd", "cli_version")
_LONGEST_NAME = 500


def matches(source: Source) -> bool:
    """Returns whether one of the first records is a line of a rollout."""
    sample = source.sample[:3]
    is_old = any(parts_of(record)[0] == "session_meta" for record in sample[:1])
    return is_old or any(
        text_in(record, "type") in _LINE_TYPES and isinstance(record.get("payload"), dict) for record in sample
    )


def read(source: Source) -> list[Transcript]:
    """Returns the thread of a rollout, with what it was forked from where that is another rollout beside it."""
    lines = ThreadLines(source)
    facts = ThreadFacts(lines)
    header = lines.header
    return [
        Transcript(
            format=NAME,
            id=lines.thread,
            branches=[Branch("main", facts.main), *facts.branches],
            entry=lambda position: _entry(facts, position),
            count=len(lines),
            title=facts.title,
            metadata={name: header[name] for name in (*_SESSION, *_ORIGIN) if header.get(name) is not None},
            flaws=[*lines.own.flaws(), *facts.flaws],
            encoding=source.encoding,
        )
    ]


def check(source: Source) -> SessionCheck:
    """Returns what Codex would load of a rollout: all lines that it can read, or nothing where the thread does not hold together."""
    lines = ThreadLines(source)
    facts = ThreadFacts(lines)
    on_main = [place for place in facts.main if facts.is_shown[place] == 1]
    summarized = {place for position in on_main for place in facts.covers.get(position, ())}
    current = [place for place in on_main if place not in summarized]
    reason = _reason_to_refuse(source, facts)
    if reason:
        lost = [Loss(lines.unit(place).line, lines.name(place), reason) for place in current]
    else:
        lost = _unreadable(facts, summarized)
    unread = sum(loss.reason == _NOT_JSON for loss in lost)
    return SessionCheck(
        format=NAME,
        session_id=lines.thread,
        messages=facts.is_shown.count(1) + unread,
        loaded=len(current) + unread - len(lost),
        summarized=len(summarized),
        left=facts.is_shown.count(1) - len(on_main),
        lost=tuple(lost),
        flaws=tuple(sorted([*lines.own.flaws(), *facts.flaws], key=lambda flaw: flaw.line)),
    )


_NOT_JSON = "the line is no JSON, whatever it was"


def _reason_to_refuse(source: Source, facts: ThreadFacts) -> str:
    """Returns why Codex loads nothing of a thread; empty if it loads it."""
    lines = facts.lines
    first = lines.own.flaws()[0] if lines.own.flaws() and lines.own.flaws()[0].line == 1 else None
    if source.encoding:
        return "the file is not UTF-8"
    if not lines.thread or first is not None:
        return "the rollout does not begin with a session_meta that Codex can read"
    if not lines.is_whole:
        return "the history that the thread was forked from is missing"
    if lines.header.get("history_mode") == "paginated" and facts.irregular is not None:
        return f"line {facts.irregular.line}: {facts.irregular.reason}"
    return ""


def _unreadable(facts: ThreadFacts, summarized: set[int]) -> list[Loss]:
    """Returns the messages that Codex leaves out: those in lines that it can't decode, and results without a call."""
    lines, lost = facts.lines, []
    calls: set[str] = set()
    crowded = {unit.line for unit in lines.own if unit.is_joined}
    for place in facts.main:
        unit = lines.unit(place)
        payload = parts_of(unit.value)[1]
        call_id, is_output = text_in(payload, "call_id"), text_in(payload, "type").endswith("_output")
        reason = ""
        if place >= lines.first_own and (unit.raw is not None or unit.line in crowded):
            reason = _NOT_JSON if unit.value is None else unit.flaw or "shares its line with another record"
        elif is_output and call_id not in calls:
            reason = f"answers the call {call_id[:60]!r}, which is not in the rollout"
        elif call_id and not is_output:
            calls.add(call_id)
        if reason and place not in summarized and (facts.is_shown[place] == 1 or unit.value is None):
            lost.append(Loss(unit.line, lines.name(place), reason))
    return lost


def _entry(facts: ThreadFacts, position: int) -> Entry:
    lines = facts.lines
    unit = lines.unit(position)
    thread, number = lines.place(position)
    kind, payload = parts_of(unit.value)
    at_us = time_us(fields_of(unit.value).get("timestamp"))
    contents = _contents(facts, position, kind, payload) if facts.is_shown[position] else []
    is_made = any(isinstance(made, dict) and made["role"] == "assistant" for made in contents) and kind != "compacted"
    usage = facts.usages.get(position)
    return Entry.of(
        unit,
        key=lines.name(position) + (f".{at_us // 1000}" if at_us else ""),
        contents=contents,
        at_us=at_us,
        config=facts.config_at(position) if is_made or usage is not None else None,
        usage=usage,
        metadata=_metadata(unit.value, kind, payload),
        covers=facts.covers.get(position, ()),
        file=thread,
        place=number,
    )


def _contents(facts: ThreadFacts, position: int, kind: str, payload: Fields) -> Sequence[object]:
    if kind == "compacted":
        return facts.items_of(position, payload)
    if kind == "session_meta":
        made: list[object] = []
        if position == facts.instructions_at:
            made.append(InstructionContent(instructions_of(payload)))
        if position == facts.tools_at:
            made.append(ToolsContent(tools_of(payload)))
        return made
    message = message_of(payload) if kind == "response_item" else communication_of(payload)
    return [] if message is None else [message]


def _metadata(value: Any, kind: str, payload: Fields) -> Fields:
    record = fields_of(value)
    found: Fields = {"type": kind} if kind else {}
    if kind == "event_msg" and text_in(payload, "type"):
        found["event"] = payload["type"]
        if event_of(payload):
            found["shown"] = True
    for source, names in ((record, ("timestamp", "ordinal")), (payload, _NAMED)):
        for name in names:
            part = source.get(name)
            if type(part) is int or (isinstance(part, str) and len(part) <= _LONGEST_NAME):
                found[name] = part
    git = fields_in(payload, "git")
    branch = git.get("branch")
    if isinstance(branch, str) and len(branch) <= _LONGEST_NAME:
        found["git_branch"] = branch
    passed = fields_in(payload, "internal_chat_message_metadata_passthrough").get("turn_id")
    if isinstance(passed, str) and len(passed) <= _LONGEST_NAME:
        found.setdefault("turn_id", passed)
    return found
