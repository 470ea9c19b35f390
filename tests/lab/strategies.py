"""Hypothesis strategies of what a user hands in: contents, generation configs, metadata, usages. All small, all valid."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tract_fs import (
    ArtifactContent,
    DialogueContent,
    FreeformContent,
    InstructionContent,
    MessageContent,
    OutputContent,
    ReasoningContent,
    TokenUsage,
    ToolIOContent,
)

CALL_IDS = ("call_1", "call_2")

texts = st.sampled_from(("", "hello", "naïve 日本", "line\nline", '"quoted" \\ \u007f', "<|endoftext|>")) | st.text(
    max_size=6
)
names = st.none() | st.sampled_from(("ann", "bob"))
call_ids = st.sampled_from(CALL_IDS)
numbers = st.sampled_from((0, 1, -1, 2**63, -(2**63), 1.0, 0.5, -0.0, 1e16, 1e-5, 1e-7, 0.1, 5e-324))
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2), max_leaves=4
)
objects = st.dictionaries(texts, values, max_size=3)


def tool_io(call_id: st.SearchStrategy[str | None]) -> st.SearchStrategy[ToolIOContent]:
    return st.builds(
        ToolIOContent,
        tool_name=st.sampled_from(("search", "read")),
        direction=st.sampled_from(("call", "result")),
        payload=objects,
        status=st.sampled_from((None, "success", "error")),
        call_id=call_id,
    )


@st.composite
def provider_calls(draw: st.DrawFn) -> dict[str, Any]:
    """One assistant message that calls tools, as OpenAI or as Anthropic writes it."""
    ids = draw(st.lists(call_ids, min_size=1, max_size=2, unique=True))
    if draw(st.booleans()):
        calls = [
            {"id": name, "type": "function", "function": {"name": "search", "arguments": '{"q": 1}'}} for name in ids
        ]
        return {"role": "assistant", "content": draw(st.none() | texts), "tool_calls": calls}
    blocks: list[dict[str, Any]] = [
        {"type": "tool_use", "id": name, "name": "search", "input": draw(objects)} for name in ids
    ]
    return {"role": "assistant", "content": [{"type": "text", "text": draw(texts)}, *blocks]}


@st.composite
def provider_results(draw: st.DrawFn) -> dict[str, Any]:
    """One message that answers a tool call, as OpenAI or as Anthropic writes it."""
    if draw(st.booleans()):
        return {"role": "tool", "tool_call_id": draw(call_ids), "content": draw(texts)}
    ids = draw(st.lists(call_ids, min_size=1, max_size=2, unique=True))
    blocks = [{"type": "tool_result", "tool_use_id": name, "content": draw(texts)} for name in ids]
    return {"role": "user", "content": blocks}


@st.composite
def provider_plain(draw: st.DrawFn) -> dict[str, Any]:
    """One provider message without tools, sometimes with fields that nobody knows."""
    message: dict[str, Any] = {"role": draw(st.sampled_from(("system", "user", "assistant")))}
    message["content"] = draw(st.none() | texts | st.just([{"type": "text", "text": "block"}]))
    if draw(st.booleans()):
        message["name"] = draw(st.sampled_from(("ann", "bob")))
    if draw(st.booleans()):
        message["x_extra"] = draw(values)
    return message


provider_messages = provider_calls() | provider_results() | provider_plain()

contents: st.SearchStrategy[Any] = st.one_of(
    st.builds(InstructionContent, text=texts),
    st.builds(DialogueContent, role=st.sampled_from(("user", "assistant", "system")), text=texts, name=names),
    st.builds(ReasoningContent, text=texts),
    st.builds(ArtifactContent, artifact_type=texts, content=texts, language=names),
    st.builds(OutputContent, text=texts, format=st.sampled_from(("text", "markdown", "json"))),
    st.builds(FreeformContent, payload=objects),
    tool_io(st.none()),
    tool_io(call_ids),
    tool_io(call_ids),
    st.builds(MessageContent, message=provider_messages),
    st.builds(MessageContent, message=provider_calls()),
    st.builds(MessageContent, message=provider_results()),
    st.builds(lambda text: {"content_type": "dialogue", "role": "user", "text": text}, texts),
    st.builds(lambda payload: {"content_type": "freeform", "payload": payload}, objects),
)

tool_contents: st.SearchStrategy[Any] = st.one_of(
    tool_io(call_ids),
    st.builds(MessageContent, message=provider_calls()),
    st.builds(MessageContent, message=provider_results()),
)


def edits_of(stored: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Contents to put in the place of a stored one: any, or nearly the same, with its tool call ids."""
    if stored["content_type"] == "message":
        message = stored["message"]
        content = message.get("content")
        if isinstance(content, list):
            return contents | st.just({**stored, "message": {**message, "content": content[::-1]}})
        return contents | st.builds(lambda text: {**stored, "message": {**message, "content": text}}, texts)
    if stored["content_type"] == "tool_io":
        return contents | st.builds(lambda payload: {**stored, "payload": payload}, objects)
    return contents


generation_configs = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(("m-1", "m-2", "", "日本", 1)),
        "temperature": st.sampled_from((0, 1, 1.0, 0.5, True, False, None, "1", 2**53, float(2**53), 2**53 + 1)),
        "top.p": st.sampled_from((0.9, 1, "0.9")),
        "stop": st.lists(st.sampled_from(("a", "b", 1)), max_size=2),
        "response_format": st.fixed_dictionaries({"type": st.sampled_from(("json", "text", 1, None))})
        | st.just("json"),
    },
)
metadata = st.none() | objects

QUERY_FIELDS: tuple[str | tuple[str | int, ...], ...] = (
    "model",
    "temperature",
    "top.p",
    "absent",
    "stop",
    ("response_format", "type"),
    ("stop", 0),
    ("stop", 1),
    ("temperature",),
)
QUERY_OPERATORS = ("=", "!=", ">", "<", ">=", "<=")
QUERY_VALUES: tuple[Any, ...] = (
    0, 1, 1.0, True, False, None, 0.5, 0.9, "1", "", "m-1", "日本", "json", "a", 2**53, float(2**53), 2**53 + 1,
)  # fmt: skip
queries = st.tuples(st.sampled_from(QUERY_FIELDS), st.sampled_from(QUERY_OPERATORS), st.sampled_from(QUERY_VALUES))


@st.composite
def usages(draw: st.DrawFn) -> TokenUsage | dict[str, int]:
    """A usage in one of the three shapes that record_usage takes."""
    prompt, completion = draw(st.integers(0, 2000)), draw(st.integers(0, 2000))
    shape = draw(st.sampled_from(("ours", "openai", "anthropic")))
    if shape == "ours":
        return TokenUsage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
    if shape == "openai":
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {"input_tokens": prompt, "output_tokens": completion}
