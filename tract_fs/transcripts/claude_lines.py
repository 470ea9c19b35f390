"""Lines of a Claude Code session, one at a time: what a model sees of each, and what it is to find and place it by."""

from __future__ import annotations

import re
from typing import Any

from tract_fs.model.fields import fields_in, items_in, text_in
from tract_fs.transcripts.blocks import texts_of
from tract_fs.transcripts.graph import Node
from tract_fs.transcripts.graph_file import Form, writer_of
from tract_fs.transcripts.units import Unit, is_plain_json

GRAPH_TYPES = frozenset(["user", "assistant", "system", "attachment", "progress"])
SYNTHETIC = "<synthetic>"  # model of what Claude Code itself wrote in the assistant's place
_METADATA = (
    *("uuid", "parentUuid", "logicalParentUuid", "sessionId", "timestamp", "cwd", "version", "gitBranch"),
    *("requestId", "agentId", "teamName", "promptId", "permissionMode", "slug", "forkedFrom"),
    *("isMeta", "isSidechain", "isCompactSummary", "sourceToolUseID", "sourceToolAssistantUUID"),
)
_RECORD_METADATA = ("type", "subtype", "uuid", "sessionId", "messageId")
_TITLES = {"custom-title": (0, "customTitle"), "ai-title": (1, "aiTitle"), "summary": (2, "summary")}
_COMPACTION = frozenset(["compactMetadata", "preservedMessages", "preservedSegment"])
_SAVED = re.compile(r"Full output saved to: ?([^\n<]*)")


def is_of_graph(record: Any) -> bool:
    """Returns whether a record is a line of the graph; one of an unknown type too, if it names a parent."""
    if not text_in(record, "uuid"):
        return False
    return text_in(record, "type") in GRAPH_TYPES or "parentUuid" in record


def contents_of(record: Any) -> list[dict[str, Any]]:
    """Returns what a model sees of a record, as messages in Anthropic's form."""
    kind = record.get("type") if isinstance(record, dict) else None
    if kind in ("user", "assistant"):
        message = fields_in(record, "message")
        content = message.get("content")
        if not is_content(content) or record.get("isApiErrorMessage"):
            return []
        return [{"role": text_in(message, "role") or kind, "content": content}]
    if kind == "system" and record.get("subtype") == "local_command":
        return _of_user(record.get("content"))
    if kind == "attachment":
        attachment = fields_in(record, "attachment")
        return _of_user(attachment.get("prompt")) if attachment.get("type") == "queued_command" else []
    if kind == "queue-operation" and record.get("operation") == "remove":
        return _of_user(record.get("content"))
    return []


def is_content(content: Any) -> bool:
    """Returns whether something is the content of a message: a text, or blocks that have a type."""
    return isinstance(content, str) or (isinstance(content, list) and all(text_in(block, "type") for block in content))


def said_twice(record: dict[str, Any]) -> str:
    """Returns the other type of line that some versions write what the user said while the agent worked in, too."""
    return {"attachment": "queue-operation", "queue-operation": "attachment"}.get(text_in(record, "type"), "")


def usage_of(record: Any) -> tuple[str, object] | None:
    """Returns the usage of a line of the assistant, with the response that it is of."""
    message = fields_in(record, "message")
    usage = fields_in(message, "usage")
    if text_in(record, "type") != "assistant" or not usage or message.get("model") == SYNTHETIC:
        return None
    return text_in(message, "id"), usage


def titles_of(record: Any) -> list[tuple[int, str]]:
    """Returns the title in a line, with its rank: the user's own goes before one that a model made."""
    rank, key = _TITLES.get(text_in(record, "type"), (0, ""))
    return [(rank, text_in(record, key))] if key else []


def metadata_of(record: Any, *, is_shown: bool) -> dict[str, Any]:
    """Returns what a line is found by; of one that no model sees, which is stored whole, its ids alone."""
    if not isinstance(record, dict):
        return {}
    found = {key: record[key] for key in (_METADATA if is_shown else _RECORD_METADATA) if record.get(key) is not None}
    message_id = text_in(record.get("message"), "id")
    return found | {"messageId": message_id} if message_id and is_shown else found


def config_of(record: Any) -> dict[str, Any] | None:
    """Returns the generation config of a line: the model is all that a file has."""
    model = text_in(record.get("message"), "model") if text_in(record, "type") == "assistant" else ""
    return {"model": model} if model and model != SYNTHETIC else None


def saved_outputs(record: Any) -> list[str]:
    """Returns the names of the files in `tool-results` that a line stands for."""
    if text_in(record, "type") != "user":
        return []
    paths = [text_in(record.get("toolUseResult"), "persistedOutputPath")]
    for block in items_in(record.get("message"), "content"):
        if isinstance(block, dict) and block.get("type") == "tool_result":
            paths += _SAVED.findall("\n".join(texts_of(block.get("content"))))
    names = (path.strip().replace("\\", "/").rpartition("/")[2] for path in paths)
    return list(dict.fromkeys(name for name in names if name not in ("", ".", "..")))


def node_of(record: dict[str, Any], unit: Unit, position: int, *, is_shown: bool) -> Node:
    """Returns the place of a line in the graph."""
    kind = text_in(record, "type")
    message = record.get("message")
    blocks = [block for block in items_in(message, "content") if isinstance(block, dict)]
    node = Node(
        position=position,
        line=unit.line,
        uuid=record["uuid"],
        parent=text_in(record, "parentUuid"),
        writer=writer_of(record),
        is_message=kind in ("user", "assistant"),
        is_shown=is_shown,
        is_aside=bool(record.get("isSidechain")),
        is_preferred=not record.get("teamName") and not record.get("isMeta"),
        is_parsed=kind in GRAPH_TYPES and is_plain_json(unit),
        response=text_in(message, "id") if kind == "assistant" else "",
        calls=tuple(block["id"] for block in blocks if block.get("type") == "tool_use" and text_in(block, "id")),
        answers=tuple(
            block["tool_use_id"]
            for block in blocks
            if block.get("type") == "tool_result" and text_in(block, "tool_use_id")
        ),
        source=text_in(record, "sourceToolAssistantUUID"),
        is_assistant=kind == "assistant",
        is_boundary=kind == "system" and record.get("subtype") == "compact_boundary",
        is_summary=bool(record.get("isCompactSummary")),
        logical_parent=text_in(record, "logicalParentUuid"),
    )
    if not _COMPACTION.isdisjoint(record):  # few lines have any of it
        _add_kept(node, record)
    return node


def _add_kept(node: Node, record: dict[str, Any]) -> None:
    """Adds to the place of a boundary which messages the compaction kept."""
    compaction = fields_in(record, "compactMetadata")
    kept = fields_in(compaction, "preservedMessages") or fields_in(record, "preservedMessages")
    segment = fields_in(compaction, "preservedSegment") or fields_in(record, "preservedSegment")
    node.anchor = text_in(kept, "anchorUuid") or text_in(segment, "anchorUuid")
    node.kept = tuple(uuid for uuid in items_in(kept, "uuids") if isinstance(uuid, str))
    node.kept_ends = text_in(segment, "headUuid"), text_in(segment, "tailUuid")


def _of_user(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}] if content and is_content(content) else []


FORM = Form(
    name="claude-code",
    is_of_graph=is_of_graph,
    node_of=node_of,
    contents_of=contents_of,
    metadata_of=metadata_of,
    config_of=config_of,
    usage_of=usage_of,
    titles_of=titles_of,
    said_twice=said_twice,
    saved_outputs=saved_outputs,
)
