"""Items of OpenAI's responses as messages. Source: OpenAI API reference, "Create a model response", `input` and `output`."""

from __future__ import annotations

from tract_fs.model.fields import Fields, text_in

_ROLES = {
    "reasoning": "assistant",
    "compaction": "assistant",
    "compaction_summary": "assistant",
    "context_compaction": "assistant",
    "mcp_list_tools": "assistant",
    "mcp_approval_request": "assistant",
    "mcp_approval_response": "user",
    "program": "assistant",
    "program_output": "tool",
    "agent_message": "user",
    "additional_tools": "developer",
}
_CALLS = (
    "function_call",
    "custom_tool_call",
    "tool_search_call",
    "web_search_call",
    "file_search_call",
    "computer_call",
    "code_interpreter_call",
    "image_generation_call",
    "local_shell_call",
    "shell_call",
    "apply_patch_call",
    "mcp_call",
)
_ROLES.update(dict.fromkeys(_CALLS, "assistant"))
_ROLES.update(dict.fromkeys([f"{call}_output" for call in _CALLS], "tool"))
_ROLES["tool_search_output"] = "tool"


def is_item(value: Fields) -> bool:
    """Returns whether a record is an item that is no message."""
    return text_in(value, "type") in _ROLES


def message_of(item: Fields) -> Fields | None:
    """Returns an item as a message: the item itself, or with a role where it has none; None for what no model sees."""
    role = item.get("role")
    kind = text_in(item, "type")
    if kind == "message" or isinstance(role, str):
        return item if isinstance(role, str) and role and (kind == "message" or kind in _ROLES) else None
    return {**item, "role": _ROLES[kind]} if kind in _ROLES else None
