"""OpenHands: a folder of event files, which is read as a line for each, in order. Source: files of OpenHands CLI 1.16."""

from __future__ import annotations

from collections.abc import Sequence

from tract_fs.model.fields import Fields, fields_in, fields_of, items_in, items_of, picked, records_in, text_in, text_of
from tract_fs.transcripts.blocks import (
    call_block,
    messages_of,
    plain_content,
    result_block,
    system_prompt,
    text_block,
    thinking_block,
    tool_definitions,
    url_block,
)
from tract_fs.transcripts.linear import read_linear
from tract_fs.transcripts.measures import time_us
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Transcript

NAME = "openhands"
_KINDS = ("SystemPromptEvent", "MessageEvent", "ActionEvent", "ObservationEvent", "ConversationStateUpdateEvent")


def matches(source: Source) -> bool:
    """Returns whether one of the first records is an event with an id, a source and a kind of OpenHands."""
    return any(record.get("kind") in _KINDS and "source" in record and "id" in record for record in source.sample[:3])


def read(source: Source) -> list[Transcript]:
    """Returns the conversation of the file."""
    places: dict[str, int] = {}
    for position, unit in enumerate(source.units):
        places.setdefault(text_in(unit.value, "id"), position)

    def meaning(event: Fields, position: int) -> Fields:
        forgotten = [places.get(id_) for id_ in items_in(event, "forgotten_event_ids") if isinstance(id_, str)]
        covers = [place for place in forgotten if place is not None and place < position]
        return {
            "contents": _contents(event),
            "at_us": time_us(event.get("timestamp")),
            "metadata": picked(event, "id", "source", "kind", "llm_response_id", "action_id"),
            "covers": sorted(set(covers)),
        }

    return read_linear(
        NAME,
        source,
        source.units,
        meaning,
        id_of=lambda event: event.get("id"),
        is_system=lambda event: event.get("kind") == "SystemPromptEvent",
        id=source.name if not source.name.endswith((".json", ".jsonl")) else "",
    )


def _contents(event: Fields) -> Sequence[object]:
    kind = event.get("kind")
    if kind == "SystemPromptEvent":
        text = text_in(fields_in(event, "system_prompt"), "text")
        return [*system_prompt(text), *tool_definitions(event.get("tools"))]
    if kind == "MessageEvent":
        message = fields_in(event, "llm_message")
        blocks = _thinking(message) + _blocks(message.get("content")) + _blocks(event.get("extended_content"))
        return messages_of(("assistant" if message.get("role") == "assistant" else "user", blocks))
    if kind == "ActionEvent":
        call = fields_in(event, "tool_call")
        id_, name = event.get("tool_call_id") or call.get("id"), event.get("tool_name") or call.get("name")
        blocks = [*_thinking(event), *_blocks(event.get("thought")), call_block(id_, name, call.get("arguments"))]
        return messages_of(("assistant", blocks))
    if kind == "ObservationEvent":
        observation = fields_in(event, "observation")
        inner = _blocks(observation.get("content"))
        return _result(event, inner, is_error=observation.get("is_error") is True)
    if kind in ("AgentErrorEvent", "UserRejectObservation"):
        text = text_in(event, "error") or text_in(event, "rejection_reason")
        return _result(event, [text_block(text)] if text else [], is_error=True)
    if text_in(event, "summary") and kind in ("Condensation", "CondensationSummaryEvent"):
        return [{"role": "user", "content": event["summary"]}]
    return []


def _result(event: Fields, blocks: list[Fields], *, is_error: bool) -> Sequence[object]:
    made = result_block(text_in(event, "tool_call_id"), plain_content(blocks), is_error=is_error)
    return messages_of(("user", [made]))


def _thinking(holder: Fields) -> list[Fields]:
    signed = records_in(holder, "thinking_blocks")
    found = [picked(block, "type", "thinking", "signature", "data") for block in signed if text_in(block, "type")]
    text = text_in(holder, "reasoning_content")
    return found or ([thinking_block(text)] if text else [])


def _blocks(content: object) -> list[Fields]:
    found: list[Fields] = []
    for part in map(fields_of, items_of(content)):
        if text_in(part, "text"):
            found.append(text_block(part["text"]))
        for url in items_in(part, "image_urls"):
            found += [url_block(url, "image/")] if text_of(url) else []
    return found
