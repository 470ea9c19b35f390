"""Gemini CLI: a line per record, replayed as the tool does: a later line of an id replaces the one before it in place.

`{"$set": {"messages": …}}` puts other messages in place of all, and `{"$rewindTo": id}` takes a message and all after it
away. Calls and their results are one record. Sources: @google/gemini-cli-core, `services/chatRecordingService.js` and
`utils/sessionUtils.js`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from tract_fs.model.fields import Fields, fields_in, fields_of, picked, records_in, text_in
from tract_fs.transcripts.measures import time_us, usage_in
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import MOST_LEFT, Branch, Entry, Keys, Transcript

NAME = "gemini-cli"
_NOT_SENT = ("/", "?", "<session_context>", "<hook_context>")


def matches(source: Source) -> bool:
    """Returns whether the first record is the header of a session, without its messages."""
    first = source.sample[0] if source.sample else {}
    return is_header(first) and "messages" not in first


def is_header(record: Fields) -> bool:
    """Returns whether a record names a session and its project."""
    return isinstance(record.get("sessionId"), str) and isinstance(record.get("projectHash"), str)


def read(source: Source) -> list[Transcript]:
    """Returns the session of the file."""
    return [_Replay(source).transcript()]


class _Shown(Struct):
    """What an entry shows: the messages that it brings, the entries that it stands for, and whether it has a usage of its own."""

    messages: list[Fields]
    covers: list[int] = []
    has_usage: bool = True


class _Replay:
    """The lines of one file as the tool replays them.

    States: `_alive` has the entry of each message by its id, in order; `_main` the entries since the last way back.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._units = source.units
        self._keys = Keys()
        self._key: list[str] = []
        self._shown: dict[int, _Shown] = {}
        self._alive: dict[str, int] = {}
        self._main: list[int] = []
        self._left: list[Branch] = []
        self._header: Fields = {}
        for position, unit in enumerate(self._units):
            self._add(position, fields_of(unit.value), unit.line)

    def transcript(self) -> Transcript:
        header = self._header
        return Transcript(
            format=NAME,
            id=text_in(header, "sessionId"),
            branches=[Branch("main", self._main), *self._left],
            entry=self._entry,
            count=len(self._units),
            title=text_in(header, "summary"),
            metadata=picked(header, "projectHash", "startTime", "directories", "kind"),
            flaws=[*self._units.flaws(), *self._keys.flaws],
            encoding=self._source.encoding,
        )

    def _add(self, position: int, record: Fields, line: int) -> None:
        id_ = record.get("id")
        is_message = isinstance(id_, str) and not isinstance(record.get("$rewindTo"), str)
        self._key.append(self._keys.of(id_ if is_message else None, position, line, is_expected=True))
        if isinstance(record.get("$rewindTo"), str):
            self._rewind(position, record["$rewindTo"])
        elif isinstance(id_, str):
            self._replace(position, id_, record)
        elif isinstance(record.get("$set"), dict):
            messages = record["$set"].get("messages")
            if isinstance(messages, list):
                found = [message for message in messages if isinstance(message, dict)]
                self._shown[position] = _Shown(found, list(dict.fromkeys(self._alive.values())), has_usage=False)
                self._alive = dict.fromkeys(_ids(found), position)
            self._header = {**self._header, **{k: v for k, v in record["$set"].items() if k != "messages"}}
        elif is_header(record):
            self._header = {**self._header, **record}
        self._main.append(position)

    def _replace(self, position: int, id_: str, record: Fields) -> None:
        """Adds a message; one that has its id stood for with it, and what else that one's entry shows goes along."""
        before = self._alive.get(id_)
        if before is None:
            self._shown[position] = _Shown([record])
            self._alive[id_] = position
            return
        messages = [record if message.get("id") == id_ else message for message in self._shown[before].messages]
        has_usage = not any(m.get("id") == id_ and m.get("tokens") for m in self._shown[before].messages)
        self._shown[position] = _Shown(messages, [before], has_usage=has_usage)
        self._alive.update(dict.fromkeys(_ids(messages), position))

    def _rewind(self, position: int, id_: str) -> None:
        """Takes a message and what follows it away, as the branch that was left; without such a message, all of them."""
        gone: dict[str, int] = {}
        while self._alive and id_ not in gone:
            gone |= [self._alive.popitem()]
        if not gone:
            return
        first = next(reversed(gone.values()))
        kept = [m for m in self._shown[first].messages if text_in(m, "id") not in gone]
        if kept or len(self._left) == MOST_LEFT:  # kept: of an entry that shows more
            hidden = self._main[bisect_left(self._main, first) :]
            self._shown[position] = _Shown(kept, hidden, has_usage=False)
            self._alive.update(dict.fromkeys(_ids(kept), position))
            return
        while self._shown[first].covers and len(self._shown[first].messages) == 1:  # where it came in first
            first = self._shown[first].covers[0]
        self._left.append(Branch(f"rewound-{self._key[position]}", self._main))
        self._main = self._main[: bisect_left(self._main, first)]

    def _entry(self, position: int) -> Entry:
        unit, key = self._units[position], self._key[position]
        shown = self._shown.get(position)
        value = fields_of(unit.value)
        contents = [content for message in shown.messages for content in contents_of(message)] if shown else []
        fields = message_fields(value)
        if shown and not shown.has_usage:
            fields["usage"] = None
        return Entry.of(unit, key, contents=contents, covers=shown.covers if shown else (), **fields)


def _ids(messages: Sequence[Fields]) -> list[str]:
    return [message["id"] for message in messages if isinstance(message.get("id"), str)]


def message_fields(message: Fields) -> dict[str, Any]:
    """Returns what an entry has of a message beside its contents."""
    tokens = fields_in(message, "tokens")
    usage = usage_in(tokens, "input", "output", cache_read="cached", reasoning="thoughts", is_reasoning_apart=True)
    return {
        "at_us": time_us(message.get("timestamp")) or time_us(message.get("startTime")),
        "config": picked(message, "model") if message.get("type") == "gemini" else None,
        "usage": usage if message.get("type") == "gemini" else None,
        "metadata": picked(message, "id", "type", "sessionId", "projectHash", "model"),
    }


def contents_of(message: Fields) -> list[Fields]:
    """Returns what the tool sends of a message when it goes on with a session: none, a message, or calls and their results."""
    parts = _parts(message.get("content"))
    if message.get("type") == "user":
        text = "".join(text_in(part, "text") for part in parts).strip()
        is_sent = bool(parts) and not text.startswith(_NOT_SENT) and (text or any("text" not in p for p in parts))
        return [{"role": "user", "parts": parts}] if is_sent else []
    if message.get("type") != "gemini":
        return []
    calls = records_in(message, "toolCalls")
    if not any(part.get("functionCall") or part.get("thought") for part in parts):  # else the content has all of it
        thoughts = records_in(message, "thoughts")
        texts = [text_in(thought, key) for thought in thoughts for key in ("subject", "description")]
        named = [picked(call, "id", "name", "args") for call in calls]
        parts = [
            *({"text": text, "thought": True} for text in texts if text),
            *parts,
            *({"functionCall": call} for call in named if call),
        ]
    results = [part for call in calls for part in _results(call)]
    made = [{"role": "model", "parts": parts}, {"role": "user", "parts": results}]
    return [content for content in made if content["parts"]] if parts else []


def _parts(content: object) -> list[Fields]:
    """Returns a content as parts: a text, a part or a list of both."""
    if isinstance(content, list):
        if all(isinstance(part, dict) for part in content):
            return content
        return [found for part in content for found in _parts(part) if not isinstance(part, list)]
    if isinstance(content, str):
        return [{"text": content}] if content else []
    return [content] if isinstance(content, dict) and content else []


def _results(call: Fields) -> list[Fields]:
    """Returns the parts of a call's result; none where it has none."""
    result = call.get("result")
    if isinstance(result, str):
        return [{"functionResponse": {**picked(call, "id", "name"), "response": {"output": result}}}]
    return _parts(result)
