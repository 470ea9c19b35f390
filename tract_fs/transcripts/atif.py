"""ATIF, the Agent Trajectory Interchange Format, up to 1.8: one JSON object, with `steps`. Source: PyPI `harbor`, its models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tract_fs.model.content import InstructionContent
from tract_fs.model.fields import Fields, fields_in, fields_of, items_of, picked, records_in, text_in
from tract_fs.transcripts.blocks import (
    as_text_block,
    call_block,
    messages_of,
    plain_content,
    result_block,
    text_block,
    thinking_block,
    tool_definitions,
    url_block,
)
from tract_fs.transcripts.document import assemble_document, document_units
from tract_fs.transcripts.linear import read_linear
from tract_fs.transcripts.measures import time_us, usage_in
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Transcript

NAME = "atif"


def matches(source: Source) -> bool:
    """Returns whether the file is an object with an ATIF version and steps."""
    document = fields_of(source.document)
    return text_in(document, "schema_version").startswith("ATIF") and isinstance(document.get("steps"), list)


def read(source: Source) -> list[Transcript]:
    """Returns the trajectory of the file."""
    units = document_units(source, "steps")
    head = fields_of(units[0].value)
    agent = fields_in(head, "agent")

    def meaning(value: Fields, position: int) -> Fields:
        if position:
            return _step(value, agent)
        return {"contents": tool_definitions(agent.get("tool_definitions"))}

    return read_linear(
        NAME,
        source,
        units,
        meaning,
        id_of=lambda step: str(step["step_id"]) if isinstance(step.get("step_id"), int) else None,
        has_head=True,
        id=text_in(head, "session_id") or text_in(head, "trajectory_id"),
        metadata=picked(head, "schema_version", "trajectory_id", "notes") | {"agent": picked(agent, "name", "version")},
    )


def assemble(values: Sequence[Any]) -> bytes:
    """Returns the file of the document and its steps."""
    return assemble_document(values, "steps")


def _step(step: Fields, agent: Fields) -> Fields:
    is_made = step.get("source") == "agent"
    blocks = _blocks(step.get("message"))
    contents: list[object] = []
    results: list[Fields] = []
    calls = records_in(step, "tool_calls")
    known = {text_in(call, "tool_call_id") for call in calls}
    for result in records_in(fields_in(step, "observation"), "results"):
        inner = _blocks(result.get("content"))
        id_ = text_in(result, "source_call_id")
        results += [result_block(id_, plain_content(inner))] if id_ in known and id_ else inner
    if is_made:
        thought = text_in(step, "reasoning_content")
        blocks = [thinking_block(thought), *blocks] if thought else blocks
        blocks += [call_block(c.get("tool_call_id"), c.get("function_name"), c.get("arguments")) for c in calls]
        contents += messages_of(("assistant", blocks), ("user", results))
    elif step.get("source") == "system" and isinstance(step.get("message"), str) and step["message"]:
        contents += [InstructionContent(step["message"]), *messages_of(("user", results))]
    else:
        contents += messages_of(("user", blocks), ("user", results))
    metrics = fields_in(step, "metrics")
    model = {"model": step.get("model_name") or agent.get("model_name"), **picked(step, "reasoning_effort")}
    return {
        "contents": contents,
        "at_us": time_us(step.get("timestamp")),
        "config": picked(model, *model) if is_made else None,
        "usage": usage_in(metrics, "prompt_tokens", "completion_tokens", cache_read="cached_tokens"),
        "metadata": picked(step, "step_id", "source", "is_copied_context", "extra"),
    }


def _blocks(content: object) -> list[Fields]:
    if isinstance(content, str):
        return [text_block(content)] if content else []
    found = []
    for part in map(fields_of, items_of(content)):
        source = fields_in(part, "source")
        if text_in(part, "text"):
            found.append(as_text_block(part))
        elif text_in(source, "path"):
            found.append(url_block(source["path"], text_in(source, "media_type") or "image/"))
    return found
