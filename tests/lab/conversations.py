"""One conversation in each native shape: system, a question with an image and a document, thinking, two calls at once,
their results (one with an image, one an error), an answer, and the next question.
"""

from __future__ import annotations

from typing import Any

Fields = dict[str, Any]
PNG = "iVBORw0KGgo="
PDF = "JVBERi0xLjQK"

CHAT: list[Fields] = [
    {"role": "system", "content": "be brief"},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "what is this?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}},
        ],
    },
    {
        "role": "assistant",
        "content": "I look",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "it"}'}},
            {"id": "c2", "type": "function", "function": {"name": "find", "arguments": '{"q":1}'}},
            {"id": "c3", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}},
        ],
    },
    {"role": "tool", "tool_call_id": "c2", "content": "nothing"},
    {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "a cat"}]},
    {"role": "tool", "tool_call_id": "c3", "content": "done"},
    {"role": "assistant", "content": "a cat"},
    {"role": "user", "content": "thanks", "name": "ann"},
]

ANTHROPIC: list[Fields] = [
    {"role": "system", "content": [{"type": "text", "text": "be brief"}]},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "what is this?", "cache_control": {"type": "ephemeral"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            {
                "type": "document",
                "title": "a.pdf",
                "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
            },
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "long"}},
        ],
    },
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "eHg="},
            {"type": "text", "text": "I look"},
            {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "it"}},
            {"type": "tool_use", "id": "toolu_2", "name": "find", "input": {"q": 1}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "hurry"},
            {"type": "tool_result", "tool_use_id": "toolu_2", "content": "no such file", "is_error": True},
            {
                "type": "tool_result",
                "tool_use_id": "toolu_1",
                "content": [
                    {"type": "text", "text": "a cat"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                ],
            },
        ],
    },
    {"role": "assistant", "content": [{"type": "text", "text": "a cat"}]},
    {"role": "user", "content": "thanks"},
]

RESPONSES: list[Fields] = [
    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "be brief"}]},
    {
        "type": "message",
        "role": "user",
        "content": [
            {"type": "input_text", "text": "what is this?"},
            {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"},
            {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
        ],
    },
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "phase": "commentary",
        "content": [{"type": "output_text", "text": "I look", "annotations": []}],
    },
    {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look", "arguments": '{"at":"it"}'},
    {"type": "custom_tool_call", "call_id": "call_2", "name": "exec", "input": "ls"},
    {"type": "custom_tool_call_output", "call_id": "call_2", "output": "a.png"},
    {
        "type": "function_call_output",
        "call_id": "call_1",
        "output": [
            {"type": "input_text", "text": "a cat"},
            {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"},
        ],
    },
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a cat"}]},
    {"type": "message", "role": "user", "content": "thanks"},
]

GEMINI: list[Fields] = [
    {
        "role": "user",
        "parts": [
            {"text": "what is this?"},
            {"inline_data": {"mime_type": "image/png", "data": PNG}},
            {"inlineData": {"mimeType": "application/pdf", "data": PDF}},
        ],
    },
    {
        "role": "model",
        "parts": [
            {"text": "hm", "thought": True},
            {"text": "I look"},
            {"functionCall": {"name": "look", "args": {"at": "it"}}, "thoughtSignature": "c2ln"},
            {"functionCall": {"name": "look", "args": {"at": "her"}}},
            {"function_call": {"id": "f-3", "name": "find", "args": {}}},
        ],
    },
    {
        "role": "user",
        "parts": [
            {"functionResponse": {"name": "look", "response": {"output": "a cat"}}},
            {"functionResponse": {"name": "look", "response": {"error": "gone"}}},
            {
                "function_response": {
                    "id": "f-3",
                    "name": "find",
                    "response": {"paths": ["a.png"]},
                    "parts": [{"inline_data": {"mime_type": "image/png", "data": PNG}}],
                }
            },
        ],
    },
    {"role": "model", "parts": [{"text": "a cat", "thought_signature": "c2ln"}]},
    {"role": "user", "parts": [{"text": "thanks"}]},
]

CONVERSATIONS = {"openai": CHAT, "openai-responses": RESPONSES, "anthropic": ANTHROPIC, "gemini": GEMINI}


def exported(context: Any, form: str) -> Any:
    """Returns a context in a provider's form."""
    return getattr(context, f"to_{form.replace('-', '_')}")()
