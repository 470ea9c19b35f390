"""opencode and Kilo: one session as `opencode export` writes it, of both generations.

`{info, messages}`: the first generation's messages are `{info, parts}`, the second's flat, by `type`. A tool's call and
its result are one part, so an assistant's entry is its message and a user's with the results. `info.revert` hides a
message and what follows. Sources: @opencode-ai/sdk, `dist/v2/gen/types.gen.d.ts`; files of opencode 1.17.20, Kilo 7.5.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tract_fs.model.fields import Fields, fields_in, fields_of, items_in, picked, records_in, text_in, text_of
from tract_fs.transcripts.blocks import (
    messages_of,
    plain_content,
    result_block,
    system_prompt,
    text_block,
    thinking_block,
    url_block,
)
from tract_fs.transcripts.document import HEAD, assemble_document, document_units, flaws_of
from tract_fs.transcripts.measures import time_us, usage_in
from tract_fs.transcripts.opencode_resume import fault_of, write
from tract_fs.transcripts.resume import Loss, SessionCheck
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Branch, Entry, Keys, Transcript
from tract_fs.transcripts.units import Unit

__all__ = ["NAME", "assemble", "check", "matches", "read", "transcript_of", "write"]

NAME = "opencode"
_NOT_RUN = "[Tool execution was interrupted]"
_CLEARED = "[Old tool result content cleared]"
_COMPACTION_QUESTION = "What did we do so far?"


def matches(source: Source) -> bool:
    """Returns whether the file is an object of `info` with a session's id, and `messages`."""
    document = fields_of(source.document)
    info = fields_in(document, "info")
    return isinstance(document.get("messages"), list) and isinstance(info.get("id"), str) and "time" in info


def read(source: Source) -> list[Transcript]:
    """Returns the session of the file."""
    return [transcript_of(document_units(source, "messages"))]


def assemble(values: Sequence[Any]) -> bytes:
    """Returns the file of the document and its messages."""
    return assemble_document(values, "messages")


def check(source: Source) -> SessionCheck:
    """Returns what `opencode import` would load of a session: it ends at the first message that it can't read."""
    units = document_units(source, "messages")
    transcript = transcript_of(units)
    main = set(transcript.branches[0].positions) - {0}
    summarized = {place for position in main for place in transcript.entry(position).covers}
    lost: list[Loss] = []
    seen: set[str] = set()
    fault = ""
    for position in range(1, len(units)):
        value = fields_of(units[position].value)
        id_ = text_of(_id_of(value))
        reason = fault and f"after message {fault}"
        if not reason and "info" in value and (why := fault_of(value)):
            fault = f"{position}, which opencode can't import: {why}"
            reason = f"message {fault}"
        if not reason and id_ in seen:
            reason = "another message has its id"
        seen.add(id_)
        if reason and position in main - summarized:
            lost.append(Loss(0, id_, reason))
    return SessionCheck(
        format=NAME,
        session_id=transcript.id,
        messages=len(units) - 1,
        loaded=len(main - summarized) - len(lost),
        summarized=len(summarized & main),
        left=len(units) - 1 - len(main),
        lost=tuple(lost),
        flaws=tuple(transcript.flaws),
    )


def transcript_of(units: Sequence[Unit]) -> Transcript:
    """Returns the session of a document's units: the document first, then each message."""
    info = fields_in(units[0].value, "info")
    return _Session(units, info).transcript()


class _Session:
    """The messages of one session, in their order: which are shown, and what each stands for."""

    def __init__(self, units: Sequence[Unit], info: Fields) -> None:
        self._units = units
        self._info = info
        self._keys = Keys()
        self._key: list[str] = []
        self._place: dict[str, int] = {}
        self._covers: dict[int, range] = {}
        self._systems: dict[int, str] = {}
        for position, unit in enumerate(units):
            id_ = HEAD if position == 0 else _id_of(fields_of(unit.value))
            self._key.append(self._keys.of(id_, position))
            self._place.setdefault(self._key[-1], position)
        self._walk()

    def transcript(self) -> Transcript:
        info, count = self._info, len(self._units)
        branches = [Branch("main", range(count))]
        end = self._place.get(text_in(fields_in(info, "revert"), "messageID"), 0)
        if end:
            branches = [Branch("main", range(end)), Branch(f"reverted-{self._key[end][-8:]}", range(count))]
        return Transcript(
            format=NAME,
            id=text_in(info, "id"),
            branches=branches,
            entry=self.entry,
            count=count,
            title=text_in(info, "title"),
            metadata=picked(info, "directory", "projectID", "parentID", "version", "agent", "fork"),
            flaws=[*flaws_of(self._units), *self._keys.flaws],
        )

    def entry(self, position: int) -> Entry:
        unit, key = self._units[position], self._key[position]
        value = fields_of(unit.value)
        if position == 0 or not value:
            return Entry.of(unit, key)
        if "info" in value:
            return self._first_generation(unit, key, position)
        return self._second_generation(unit, key, position)

    def _walk(self) -> None:
        """Finds the compactions, with the messages that each stands for, and the system prompts where they change."""
        asked: dict[str, str] = {}  # by the id of the user's message: where what is kept begins
        system = ""
        for position, unit in enumerate(self._units):
            value = fields_of(unit.value)
            info = fields_in(value, "info")
            for part in items_in(value, "parts"):
                if fields_of(part).get("type") == "compaction":
                    asked[self._key[position]] = text_in(part, "tail_start_id")
            new = text_in(info, "system")
            if info.get("role") == "user" and new and new != system:
                self._systems[position] = system = new
            if value.get("type") == "compaction" and text_in(value, "summary"):
                self._covers[position] = range(1, position)
            parent = text_in(info, "parentID")
            if info.get("summary") is True and info.get("finish") and not info.get("error") and parent in asked:
                self._covers[position] = self._compacted(position, self._place.get(asked[parent], position))
                system = ""  # which the summary stands for, too

    def _compacted(self, position: int, tail: int) -> range:
        """Returns the positions that a summary stands for: all before it but for the last that are kept."""
        return range(1, min(position, tail))

    def _first_generation(self, unit: Unit, key: str, position: int) -> Entry:
        info = fields_of(unit.value["info"])
        parts = records_in(unit.value, "parts")
        contents: list[object] = [*system_prompt(self._systems.get(position, ""))]
        if info.get("role") == "user":
            blocks = [block for part in parts for block in _user_blocks(part)]
            contents += messages_of(("user", blocks))
        elif info.get("role") == "assistant":
            contents += _assistant_messages(parts)
        covers = self._covers.get(position, range(0)) if contents else []
        if covers and covers[-1] == position - 1:  # nothing is kept, so the question comes first
            contents = [{"role": "user", "content": _COMPACTION_QUESTION}, *contents]
        tokens, model = fields_in(info, "tokens"), fields_in(info, "model")
        config = picked(info, "modelID", "providerID", "agent", "mode", "variant")
        return Entry.of(
            unit,
            key,
            contents=contents,
            at_us=time_us(fields_in(info, "time").get("created")),
            config=_config(config) if info.get("role") == "assistant" else None,
            usage=_usage(tokens),
            metadata=picked(info, "id", "parentID", "path", "cost", "finish", "error", "agent")
            | ({"model": model} if model else {}),
            covers=covers,
        )

    def _second_generation(self, unit: Unit, key: str, position: int) -> Entry:
        value: Fields = unit.value
        kind = text_in(value, "type")
        contents: list[object] = []
        if kind == "assistant":
            contents += _assistant_messages(records_in(value, "content"))
        elif kind == "system" and text_in(value, "text"):
            contents = [*system_prompt(value["text"])]
        elif kind in ("user", "synthetic"):
            blocks = [text_block(value["text"])] if text_in(value, "text") else []
            blocks += [block for file in records_in(value, "files") for block in _file_blocks(file)]
            contents += messages_of(("user", blocks))
        elif kind == "shell":
            command, output = text_in(value, "command"), text_in(value, "output")
            blocks = [text_block("The user ran this command:"), text_block(command), text_block(output)]
            contents = [{"role": "user", "content": [block for block in blocks if block["text"]]}]
        elif kind == "compaction" and text_in(value, "summary"):
            blocks = [text_block(text) for text in (value["summary"], text_in(value, "recent")) if text]
            contents = [{"role": "user", "content": blocks}]
        model = fields_in(value, "model")
        config = {**picked(model, "variant"), "modelID": model.get("id"), "providerID": model.get("providerID")}
        return Entry.of(
            unit,
            key,
            contents=contents,
            at_us=time_us(fields_in(value, "time").get("created")),
            config=_config(picked(config, *config)) if kind == "assistant" else None,
            usage=_usage(fields_in(value, "tokens")),
            metadata=picked(value, "id", "agent", "cost", "finish", "error"),
            covers=self._covers.get(position, range(0)),
        )


def _id_of(value: Fields) -> object:
    return fields_in(value, "info").get("id") or value.get("id")


def _config(config: Fields) -> Fields:
    """Returns a generation config, with the names that others use for the model and its provider."""
    names = {"modelID": "model", "providerID": "provider", "variant": "effort"}
    return {names.get(name, name): value for name, value in config.items()}


def _usage(tokens: Fields) -> object:
    tokens = {**tokens, **fields_in(tokens, "cache")}
    return usage_in(
        tokens,
        "input",
        "output",
        cache_read="read",
        cache_write="write",
        reasoning="reasoning",
        is_cache_apart=True,
        is_reasoning_apart=True,
    )


def _user_blocks(part: Fields) -> list[Fields]:
    kind = part.get("type")
    if kind == "text" and text_in(part, "text") and not part.get("ignored"):
        return [text_block(part["text"])]
    if kind == "file":
        mime = text_in(part, "mime")
        return [] if mime in ("text/plain", "application/x-directory") else _file_blocks(part)
    if kind == "compaction":
        return [text_block(_COMPACTION_QUESTION)]
    if kind == "subtask":
        return [text_block("The following tool was executed by the user")]
    return []


def _file_blocks(part: Fields) -> list[Fields]:
    url = text_in(part, "url") or text_in(part, "uri")
    return [url_block(url, text_in(part, "mime"), text_of(part.get("filename") or part.get("name")))] if url else []


def _assistant_messages(parts: Sequence[Fields]) -> list[Fields]:
    """Returns the message of an assistant, and the one with the results of its calls."""
    blocks: list[Fields] = []
    results: list[Fields] = []
    for part in parts:
        kind, text = part.get("type"), text_in(part, "text")
        if kind == "text" and text:
            blocks.append(text_block(text))
        elif kind == "reasoning" and text:
            signature = _signature(fields_of(part.get("metadata") or part.get("providerMetadata")))
            blocks.append({**thinking_block(text), **signature})
        elif kind == "tool":
            state, id_ = fields_in(part, "state"), text_of(part.get("callID") or part.get("id"))
            name = text_of(part.get("tool") or part.get("name"))
            blocks.append({"type": "tool_use", "id": id_, "name": name, "input": _input(state)})
            results.append(_result(id_, part, state))
    return messages_of(("assistant", blocks), ("user", results))


def _signature(metadata: Fields) -> Fields:
    """Returns the signature of Anthropic's thinking."""
    return picked(fields_in(metadata, "anthropic"), "signature")


def _input(state: Fields) -> object:
    given = state.get("input")
    return given if isinstance(given, dict) else {} if given in (None, "") else {"input": given}


def _result(id_: str, part: Fields, state: Fields) -> Fields:
    """Returns the result of a tool's part; of a call that did not end, that it was interrupted."""
    status, time = state.get("status"), fields_in(state, "time") | fields_in(part, "time")
    if status == "error":
        error = state.get("error")
        text = text_of(error) or text_in(error, "message") or _NOT_RUN
        return result_block(id_, text, is_error=True)
    if status != "completed":
        return result_block(id_, _NOT_RUN, is_error=True)
    if time.get("compacted") or time.get("pruned"):
        return result_block(id_, _CLEARED)
    output = text_in(state, "output")
    blocks = [text_block(output)] if output else []
    for item in records_in(state, "content"):
        blocks += [text_block(item["text"])] if text_in(item, "text") else _file_blocks(item)
    blocks += [block for file in records_in(state, "attachments") for block in _file_blocks(file)]
    return result_block(id_, plain_content(blocks))
