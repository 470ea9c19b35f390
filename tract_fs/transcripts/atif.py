"""ATIF, the Agent Trajectory Interchange Format, up to 1.8: one JSON object, with `steps`. Source: PyPI `harbor`, its models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tract_fs.model.content import InstructionContent, ToolsContent
from tract_fs.transcripts.document import assemble_document, document_units
from tract_fs.transcripts.fields import (
    Fields,
    call_block,
    fields_of,
    items_of,
    messages_of,
    picked,
    result_block,
    text_block,
    text_of,
    time_us,
    url_block,
    usage_of,
)
from tract_fs.transcripts.linear import linear_transcript
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Transcript

NAME = "atif"


def matches(source: Source) -> bool:
    """Returns whether the file is an object with an ATIF version and steps."""
    document = fields_of(source.document)
    return text_of(document.get("schema_version")).startswith("ATIF") and isinstance(document.get("steps"), list)


def read(source: Source) -> list[Transcript]:
    """Returns the trajectory of the file."""
    units = document_units(source, "steps")
    head = fields_of(units[0].value)
    agent = fields_of(head.get("agent"))

    def meaning(value: Fields, position: int) -> Fields:
        if position:
            return _step(value, agent)
        tools = items_of(agent.get("tool_definitions"))
        return {"contents": [ToolsContent(tools)] if tools and all(isinstance(tool, dict) for tool in tools) else []}

    return [
        linear_transcript(
            NAME,
            source,
            units,
            meaning,
            id_of=lambda step: str(step["step_id"]) if isinstance(step.get("step_id"), int) else None,
            has_head=True,
            id=text_of(head.get("session_id")) or text_of(head.get("trajectory_id")),
            metadata=picked(head, "schema_version", "trajectory_id", "notes")
            | {"agent": picked(agent, "name", "version")},
        )
    ]


def assemble(values: Sequence[Any]) -> bytes:
    """Returns the file of the document and its steps."""
    return assemble_document(values, "steps")


def _step(step: Fields, agent: Fields) -> Fields:
    is_made = step.get("source") == "agent"
    blocks = _blocks(step.get("message"))
    contents: list[object] = []
    results: list[Fields] = []
    calls = [fields_of(call) for call in items_of(step.get("tool_calls"))]
    known = {text_of(call.get("tool_call_id")) for call in calls}
    for result in map(fields_of, items_of(fields_of(step.get("observation")).get("results"))):
        inner = _blocks(result.get("content"))
        id_ = text_of(result.get("source_call_id"))
        results += [result_block(id_, _plain(inner))] if id_ in known and id_ else inner
    if is_made:
        thought = text_of(step.get("reasoning_content"))
        blocks = [{"type": "thinking", "thinking": thought}, *blocks] if thought else blocks
        blocks += [call_block(c.get("tool_call_id"), c.get("function_name"), c.get("arguments")) for c in calls]
        contents += messages_of(("assistant", blocks), ("user", results))
    elif step.get("source") == "system" and isinstance(step.get("message"), str) and step["message"]:
        contents += [InstructionContent(step["message"]), *messages_of(("user", results))]
    else:
        contents += messages_of(("user", blocks), ("user", results))
    metrics = fields_of(step.get("metrics"))
    model = {"model": step.get("model_name") or agent.get("model_name"), **picked(step, "reasoning_effort")}
    return {
        "contents": contents,
        "at_us": time_us(step.get("timestamp")),
        "config": (picked(model, *model) or None) if is_made else None,
        "usage": usage_of(
            metrics.get("prompt_tokens"), metrics.get("completion_tokens"), cache_read=metrics.get("cached_tokens")
        ),
        "metadata": picked(step, "step_id", "source", "is_copied_context", "extra"),
    }


def _blocks(content: object) -> list[Fields]:
    if isinstance(content, str):
        return [text_block(content)] if content else []
    found = []
    for part in map(fields_of, items_of(content)):
        source = fields_of(part.get("source"))
        if text_of(part.get("text")):
            found.append(part if part.keys() == {"type", "text"} else text_block(part["text"]))
        elif text_of(source.get("path")):
            found.append(url_block(source["path"], text_of(source.get("media_type")) or "image/"))
    return found


def _plain(blocks: list[Fields]) -> object:
    is_text = len(blocks) == 1 and blocks[0]["type"] == "text"
    return blocks[0]["text"] if is_text else blocks or ""
