"""opencode sessions to resume from: what `opencode import` takes, of the first generation, which all versions read.

An id begins with its kind and its time, and opencode orders by it. A call and its result are one part. Sources: opencode,
`session/session.ts`, `session/message-v2.ts`, `cli/cmd/import.ts`, `id/id.ts`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

from tract_fs.model.fields import Fields, fields_in, fields_of, items_in, items_of, text_in
from tract_fs.transcripts.resume import ResumeContext, ResumeFile
from tract_fs.transcripts.turns import Message, turns_of
from tract_fs.transcripts.units import repaired

_VERSION = "1.17.20"  # of opencode, whose sessions these are like
_AGENT = "build"
_UNKNOWN = "unknown"
_PROVIDERS = {
    "claude": "anthropic",
    "gpt": "openai",
    "o1": "openai",
    "o3": "openai",
    "o4": "openai",
    "gemini": "google",
}
_SENT = frozenset(["text", "thinking", "tool_use", "tool_result", "image", "document"])
_NO_TOKENS = {"input": 0, "output": 0, "reasoning": 0, "cache": {"read": 0, "write": 0}}


def write(context: ResumeContext) -> ResumeFile:
    """Returns a session for a context, a document alone, and what of it the session can't hold."""
    lost: Counter[str] = Counter()
    messages = turns_of(context.messages, lost, _is_sendable)
    if context.system:
        lost["system prompts that are with the messages; opencode sends its own with new ones"] += 1
    made = _Made(context, lost)
    model = {"id": made.model, "providerID": made.provider}
    start_ms = made.now_ms - len(messages)
    info: Fields = {
        "id": made.session,
        "slug": f"tract-{made.session[-8:].lower()}",
        "projectID": "global",
        "directory": context.cwd,
        "title": context.title,
        "agent": _AGENT,
        "model": model,
        "version": _VERSION,
        "time": {"created": start_ms, "updated": made.now_ms},
    }
    document = {"info": info, "messages": list(made.messages(messages, start_ms))}
    return ResumeFile(
        f"{made.session}.json",
        (repaired(document)[0],),
        tuple(f"{count} {reason}" for reason, count in lost.items()),
    )


def _is_sendable(block: Message, lost: Counter[str]) -> bool:
    if block["type"] in _SENT:
        return True
    lost[f"parts of type {block['type'][:40]!r}, which opencode has no form for"] += 1
    return False


class _Made:
    """The messages of one session while they are made, each with a time and ids after those of the one before."""

    def __init__(self, context: ResumeContext, lost: Counter[str]) -> None:
        self._context = context
        self._lost = lost
        self._count = 0
        self.now_ms = context.at_us // 1000
        self.model = context.model or _UNKNOWN
        family = next((name for start, name in _PROVIDERS.items() if self.model.startswith(start)), _UNKNOWN)
        self.provider = context.provider or family
        given = context.session_id
        self.session = given if given.startswith("ses_") else f"ses_{_digits(given, 26)}"

    def messages(self, turns: Sequence[Message], start_ms: int) -> Iterator[Fields]:
        """Yields the messages of turns; the results in one are in the message before it."""
        parent = ""
        for place, turn in enumerate(turns):
            at_ms = start_ms + place
            self._count = 0
            if turn["role"] == "user":
                shown = [block for block in turn["content"] if block["type"] != "tool_result"]
                parts = [part for block in shown for part in self._user_parts(block)]
                if parts:
                    parent = self._id("msg", at_ms)
                    yield self._message(self._user(parent, at_ms), parts, at_ms)
                continue
            after = turns[place + 1]["content"] if place + 1 < len(turns) else []
            results = {text_in(one, "tool_use_id"): one for one in after if one["type"] == "tool_result"}
            id_ = self._id("msg", at_ms)
            parts = [part for block in turn["content"] for part in self._own_parts(block, results, at_ms)]
            if parts:
                finish = "tool-calls" if any(part["type"] == "tool" for part in parts) else "stop"
                info = self._assistant(id_, parent, finish, at_ms)
                yield self._message(info, [{"type": "step-start"}, *parts], at_ms)

    def _message(self, info: Fields, parts: list[Fields], at_ms: int) -> Fields:
        owner = {"sessionID": self.session, "messageID": info["id"]}
        for part in parts:
            part |= {"id": self._id("prt", at_ms), **owner}
            for file in fields_in(part, "state").get("attachments", ()):
                file |= {"id": self._id("prt", at_ms), **owner}
        return {"info": {**info, "sessionID": self.session}, "parts": parts}

    def _user(self, id_: str, at_ms: int) -> Fields:
        system = {"system": self._context.system} if self._context.system else {}
        model = {"providerID": self.provider, "modelID": self.model}
        return {"id": id_, "role": "user", "time": {"created": at_ms}, "agent": _AGENT, "model": model, **system}

    def _assistant(self, id_: str, parent: str, finish: str, at_ms: int) -> Fields:
        return {
            "id": id_,
            "role": "assistant",
            "time": {"created": at_ms, "completed": at_ms},
            "parentID": parent,
            "modelID": self.model,
            "providerID": self.provider,
            "mode": _AGENT,
            "agent": _AGENT,
            "path": {"cwd": self._context.cwd, "root": "/"},
            "cost": 0,
            "tokens": _NO_TOKENS,
            "finish": finish,
        }

    def _user_parts(self, block: Message) -> list[Fields]:
        if block.get("type") == "text":
            return [{"type": "text", "text": text_in(block, "text")}]
        return [file] if (file := self._file(block)) is not None else []

    def _own_parts(self, block: Message, results: dict[str, Message], at_ms: int) -> list[Fields]:
        """Returns the parts of an assistant's block."""
        kind = block["type"]
        if kind == "text":
            return [{"type": "text", "text": block["text"]}]
        if kind == "thinking":
            signature = text_in(block, "signature")
            metadata = {"metadata": {"anthropic": {"signature": signature}}} if signature else {}
            time = {"start": at_ms, "end": at_ms}
            return [{"type": "reasoning", "text": text_in(block, "thinking"), **metadata, "time": time}]
        if kind == "tool_use":
            id_ = text_in(block, "id")
            state = self._state(block.get("input"), results[id_], at_ms)
            return [{"type": "tool", "callID": id_, "tool": text_in(block, "name"), "state": state}]
        self._lost[f"parts of type {kind!r} in a message of the assistant"] += 1
        return []

    def _state(self, given: Any, result: Message, at_ms: int) -> Fields:
        """Returns the state of a call that ended."""
        content = result.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else items_of(content)
        parts = [part for block in blocks for part in self._user_parts(fields_of(block))]
        texts = [part["text"] for part in parts if part["type"] == "text"]
        if len(texts) > 1:
            self._lost["results of several texts are one text now"] += 1
        attachments = [part for part in parts if part["type"] == "file"]
        ended = {
            "input": given if isinstance(given, dict) else {"input": given},
            "time": {"start": at_ms, "end": at_ms},
        }
        if result.get("is_error") is True:
            if attachments:
                self._lost["files in the result of a call that failed"] += len(attachments)
            return {"status": "error", "error": "\n".join(texts), **ended}
        done = {"status": "completed", "output": "\n".join(texts), "title": "", "metadata": {}, **ended}
        return {**done, "attachments": attachments} if attachments else done

    def _file(self, fields: Message) -> Fields | None:
        """Returns the part of an image or a document; None for one that opencode has no form for."""
        source = fields_in(fields, "source")
        kind, media_type = source.get("type"), text_in(source, "media_type")
        usual = "image/*" if fields.get("type") == "image" else "application/pdf"
        named = {"filename": fields["title"]} if text_in(fields, "title") else {}
        if kind == "base64" and media_type:
            url = f"data:{media_type};base64,{text_in(source, 'data')}"
            return {"type": "file", "mime": media_type, **named, "url": url}
        if kind == "url" and text_in(source, "url"):
            return {"type": "file", "mime": media_type or usual, **named, "url": source["url"]}
        if kind == "text" and text_in(source, "data"):
            self._lost["documents of text are texts now"] += 1
            return {"type": "text", "text": source["data"]}
        self._lost[f"parts of type {text_in(fields, 'type')[:40]!r}, which opencode has no form for"] += 1
        return None

    def _id(self, kind: str, at_ms: int) -> str:
        """Returns the next id: its time and a number in 48 bits, then digits of its own."""
        self._count += 1
        sequence = (at_ms * 0x1000 + self._count) & 0xFFFFFFFFFFFF
        return f"{kind}_{sequence:012x}{_digits(f'{self.session}/{sequence}', 14)}"


def _digits(text: str, count: int) -> str:
    return sha256(text.encode("utf-8", "replace")).hexdigest()[:count]


# By role of a message or type of a part: the fields that opencode can't import it without.
_NEEDED: dict[str, dict[str, Any]] = {
    "user": {"agent": str, "model": dict},
    "assistant": {
        "parentID": str,
        "modelID": str,
        "providerID": str,
        "mode": str,
        "path": dict,
        "cost": (int, float),
        "tokens": dict,
    },
    "text": {"text": str},
    "reasoning": {"text": str, "time": dict},
    "file": {"mime": str, "url": str},
    "tool": {"callID": str, "tool": str, "state": dict},
    "completed": {"input": dict, "output": str, "title": str, "metadata": dict, "time": dict},
    "error": {"input": dict, "error": str, "time": dict},
}


def fault_of(message: Any) -> str:
    """Returns why `opencode import` can't read a message of the first generation; empty if it can."""
    info = fields_in(message, "info")
    faults = [_fault(info, "role", "msg", {"time": dict})]
    for part in items_in(message, "parts"):
        fields = fields_of(part)
        faults.append(_fault(fields, "type", "prt", {"messageID": str}))
        if fields.get("type") == "tool":
            faults.append(_fault(fields_in(fields, "state"), "status", "", {}))
    return next(filter(None, faults), "")


def _fault(fields: Fields, name: str, prefix: str, needed: Fields) -> str:
    kind = text_in(fields, name)
    if not kind:
        return f"no {name}"
    if prefix and not text_in(fields, "id").startswith(prefix):
        return f"the id of a {kind} does not begin with {prefix}"
    for key, type_ in {**needed, **_NEEDED.get(kind, {})}.items():
        if not isinstance(fields.get(key), type_):
            return f"{kind} without {key}"
    return ""
