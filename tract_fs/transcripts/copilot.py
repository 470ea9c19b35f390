"""GitHub Copilot CLI: `events.jsonl`, an event a line, one after the other; the name is in `workspace.yaml` beside.

What a sub-agent said is a record here. A `session.snapshot_rewind` takes the event that it names and all after it away.
Sources: github-copilot-sdk, `generated/session_events.py`; files of Copilot CLI 1.0.70.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from tract_fs.model.fields import Fields, fields_in, fields_of, picked, records_in, text_in, text_of
from tract_fs.transcripts.blocks import (
    media_block,
    messages_of,
    result_block,
    system_prompt,
    text_block,
    thinking_block,
)
from tract_fs.transcripts.measures import time_us, usage_in
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import MOST_LEFT, Branch, Entry, Keys, Transcript

NAME = "copilot"


def matches(source: Source) -> bool:
    """Returns whether one of the first records is the start of a session."""
    return any(
        record.get("type") == "session.start" and isinstance(record.get("data"), dict) for record in source.sample[:3]
    )


def read(source: Source) -> list[Transcript]:
    """Returns the session of the file."""
    return [_Session(source).transcript()]


class _Session:
    """The events of one file.

    States: `_main` is what is not taken away; for each event, `_before` has the last system prompt and compaction before it,
    and `_is_shown` whether it is a message.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._units = source.units
        self._keys = Keys()
        self._key: list[str] = []
        self._main: list[int] = []
        self._left: list[Branch] = []
        self._covers: dict[int, list[int]] = {}
        self._efforts: dict[int, object] = {}
        self._assets: dict[str, int] = {}
        self._before: list[tuple[int | None, int]] = []
        self._is_shown = bytearray()
        self._start: Fields = {}
        self._title = ""
        self._scan()

    def transcript(self) -> Transcript:
        start = self._start
        return Transcript(
            format=NAME,
            id=text_in(start, "sessionId"),
            branches=[Branch("main", self._main), *self._left],
            entry=self._entry,
            count=len(self._units),
            title=self._title or self._name_beside(),
            metadata=picked(start, "copilotVersion", "producer", "startTime", "version", "context"),
            flaws=[*self._units.flaws(), *self._keys.flaws],
            encoding=self._source.encoding,
        )

    def _scan(self) -> None:
        places: dict[str, int] = {}
        system, since, effort = None, 0, None
        for position, unit in enumerate(self._units):
            event = fields_of(unit.value)
            kind, data = text_in(event, "type"), fields_in(event, "data")
            self._key.append(self._keys.of(event.get("id"), position, unit.line))
            self._before.append((system, since))
            self._is_shown.append(kind != "system.message" and bool(self._contents(event)))
            self._note(position, kind, data)
            if kind == "session.model_change":
                effort = data.get("reasoningEffort")
            elif kind == "assistant.message" and effort is not None:
                self._efforts[position] = effort
            elif kind == "session.snapshot_rewind":
                first = places.get(text_in(data, "upToEventId"))
                if first is not None and self._rewind(position, first):
                    system, since = self._before[first]
            elif kind == "system.message" and text_in(data, "content"):
                self._covers[position] = [] if system is None else [system]
                system = position
            elif _is_compaction(kind, data) or kind == "session.context_cleared":
                first = bisect_left(self._main, since)
                self._covers[position] = [place for place in self._main[first:] if self._is_shown[place]]
                since = position
            self._main.append(position)
            places.setdefault(self._key[position], position)

    def _note(self, position: int, kind: str, data: Fields) -> None:
        if kind == "session.start" and not self._start:
            self._start = data
        elif kind == "session.title_changed":
            self._title = text_in(data, "title")
        elif kind == "session.binary_asset" and isinstance(data.get("assetId"), str):
            self._assets.setdefault(data["assetId"], position)

    def _rewind(self, position: int, first: int) -> bool:
        """Takes an event and all after it away, as a branch that was left; returns whether it was there."""
        count = bisect_left(self._main, first)
        if count == len(self._main) or self._main[count] != first:
            return False
        if len(self._left) < MOST_LEFT:
            self._left.append(Branch(f"rewound-{self._key[position][:8]}", self._main))
            self._main = self._main[:count]
        else:
            self._covers[position] = self._main[count:]
        return True

    def _entry(self, position: int) -> Entry:
        unit, key = self._units[position], self._key[position]
        event = fields_of(unit.value)
        data, kind = fields_in(event, "data"), text_in(event, "type")
        config = picked(data, "model") if kind == "assistant.message" else {}
        if self._efforts.get(position) is not None:
            config["reasoningEffort"] = self._efforts[position]
        return Entry.of(
            unit,
            key,
            contents=self._contents(event),
            at_us=time_us(event.get("timestamp")),
            config=config,
            usage=_usage(data) if kind == "assistant.usage" else None,
            metadata=picked(event, "id", "parentId", "agentId", "type")
            | picked(data, "messageId", "turnId", "interactionId", "apiCallId", "requestId", "phase"),
            covers=self._covers.get(position, ()),
        )

    def _contents(self, event: Fields) -> Sequence[object]:
        """Returns what the session's own model sees of an event."""
        kind, data = text_in(event, "type"), fields_in(event, "data")
        if event.get("agentId") or data.get("parentToolCallId"):
            return []
        text = text_in(data, "content")
        if kind == "system.message":
            return system_prompt(text)
        if kind == "user.message":
            sent = text_in(data, "transformedContent") or text
            blocks = [text_block(sent)] if sent else []
            blocks += [block for file in records_in(data, "attachments") for block in self._attached(file)]
            return messages_of(("user", blocks))
        if kind == "assistant.message":
            blocks = _thinking(data) + ([text_block(text)] if text else [])
            blocks += [_call(request) for request in records_in(data, "toolRequests")]
            return messages_of(("assistant", blocks))
        if kind == "tool.execution_complete":
            return [{"role": "user", "content": [self._result(data)]}]
        if _is_compaction(kind, data):
            return [{"role": "user", "content": data["summaryContent"]}]
        return []

    def _attached(self, file: Fields) -> list[Fields]:
        """Returns the block of an attachment whose bytes are in the file, in it or as an asset."""
        asset = self._assets.get(text_in(file, "assetId"))
        held = file if asset is None else fields_in(self._units[asset].value, "data")
        data, mime = text_in(held, "data"), text_in(held, "mimeType")
        return [media_block(data, mime)] if data and mime else []

    def _result(self, data: Fields) -> Fields:
        result = fields_in(data, "result")
        error = data.get("error")
        text = text_in(result, "content") or text_of(error) or text_in(error, "message")
        media = [block for one in records_in(result, "binaryResultsForLlm") for block in self._attached(one)]
        content: object = [*([text_block(text)] if text else []), *media] if media else text
        return result_block(text_in(data, "toolCallId"), content, is_error=data.get("success") is False)

    def _name_beside(self) -> str:
        """Returns the session's name as `workspace.yaml` has it; empty if there is none."""
        for line in (self._source.beside("workspace.yaml") or b"").decode("utf-8", "replace").splitlines():
            if line.startswith("name: "):
                return line.removeprefix("name: ").strip().strip("\"'")
        return ""


def _is_compaction(kind: str, data: Fields) -> bool:
    is_done = kind == "session.compaction_complete" and data.get("success") is not False
    return is_done and bool(text_in(data, "summaryContent"))


def _thinking(data: Fields) -> list[Fields]:
    text = text_in(data, "reasoningText")
    return [thinking_block(text)] if text else []


def _call(request: Fields) -> Fields:
    given = request.get("arguments")
    id_, name = text_in(request, "toolCallId"), text_in(request, "name")
    inner = given if isinstance(given, dict) else {} if given in (None, "") else {"input": given}
    return {"type": "tool_use", "id": id_, "name": name, "input": inner}


def _usage(data: Fields) -> object:
    return usage_in(
        data,
        "inputTokens",
        "outputTokens",
        cache_read="cacheReadTokens",
        cache_write="cacheWriteTokens",
        reasoning="reasoningTokens",
    )
