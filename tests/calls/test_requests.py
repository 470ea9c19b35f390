"""Whole requests: messages, tools, the config in the provider's names, cache breakpoints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conversations import CONVERSATIONS
from tests.lab.oracles import check_request
from tests.lab.talk import Clock, say
from tract_fs import DialogueContent, InstructionContent, ToolsContent, Tract
from tract_fs.errors import ArgumentError

FORMS = list(CONVERSATIONS)
Fields = dict[str, Any]
SCHEMA: Fields = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
TOOLS: dict[str, list[Fields]] = {
    "openai": [
        {"type": "function", "function": {"name": "find", "description": "finds", "parameters": SCHEMA}},
        {"type": "custom", "custom": {"name": "patch", "description": "patches"}},
    ],
    "openai-responses": [
        {"type": "function", "name": "find", "description": "finds", "parameters": SCHEMA, "strict": False},
        {"type": "custom", "name": "patch", "description": "patches"},
        {"type": "web_search"},
    ],
    "anthropic": [
        {"name": "find", "description": "finds", "input_schema": SCHEMA},
        {"type": "web_search_20250305", "name": "web_search"},
    ],
    "gemini": [
        {"functionDeclarations": [{"name": "find", "description": "finds", "parametersJsonSchema": SCHEMA}]},
        {"google_search": {}},
    ],
}
CONFIGS: dict[str, Fields] = {
    "openai": {
        "model": "m-1",
        "max_completion_tokens": 99,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": "END",
        "seed": 7,
        "reasoning_effort": "minimal",
        "verbosity": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "it", "schema": SCHEMA, "strict": True}},
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "user": "ann",
    },
    "openai-responses": {
        "model": "m-1",
        "max_output_tokens": 99,
        "reasoning": {"effort": "max", "summary": "auto"},
        "text": {"format": {"type": "json_schema", "name": "it", "schema": SCHEMA}, "verbosity": "high"},
        "tool_choice": {"type": "function", "name": "find"},
        "store": False,
    },
    "anthropic": {
        "model": "m-1",
        "max_tokens": 99,
        "stop_sequences": ["END"],
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": SCHEMA}},
        "tool_choice": {"type": "tool", "name": "find"},
    },
    "gemini": {
        "model": "m-1",
        "generationConfig": {
            "maxOutputTokens": 99,
            "temperature": 0.5,
            "topK": 40,
            "stopSequences": ["END"],
            "responseMimeType": "application/json",
            "responseJsonSchema": SCHEMA,
            "thinkingConfig": {"thinkingLevel": "HIGH"},
        },
        "tool_config": {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["find"]}},
    },
}


@pytest.fixture
def t(tmp_path: Path) -> Iterator[Tract]:
    with Tract.open(tmp_path, durability="fast", clock=Clock()) as opened:
        yield opened


@pytest.mark.parametrize("cache", [False, True], ids=["plain", "cached"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("source", FORMS)
def test_a_request_made_of_any_provider_s_parts_is_valid_for_every_other(
    t: Tract, source: str, form: Any, cache: bool
) -> None:
    t.commit(ToolsContent(TOOLS[source]))
    t.import_messages(CONVERSATIONS[source], generation_config=CONFIGS[source])
    request = t.compile().request(form, cache=cache)
    check_request(form, request)
    assert request["model"] == "m-1" and "find" in str(request["config" if form == "gemini" else "tools"])


# the config of a source, in the names of a provider, and what is left out
NAMES: list[tuple[str, str, Fields, list[str]]] = [
    (
        "openai",
        "anthropic",
        {
            "model": "m-1",
            "max_tokens": 99,
            "stop_sequences": ["END"],
            "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
            "tool_choice": {"type": "any"},
        },
        ["temperature", "top_p", "seed", "verbosity", "parallel_tool_calls", "user"],
    ),
    (
        "openai",
        "openai-responses",
        {
            "model": "m-1",
            "max_output_tokens": 99,
            "temperature": 0.5,
            "top_p": 0.9,
            "reasoning": {"effort": "minimal"},
            "text": {
                "verbosity": "low",
                "format": {"type": "json_schema", "name": "it", "schema": SCHEMA, "strict": True},
            },
            "tool_choice": "required",
            "parallel_tool_calls": False,
            "user": "ann",
        },
        ["stop", "seed"],
    ),
    (
        "openai",
        "gemini",
        {
            "max_output_tokens": 99,
            "temperature": 0.5,
            "top_p": 0.9,
            "stop_sequences": ["END"],
            "seed": 7,
            "thinking_config": {"thinking_level": "MINIMAL"},
            "response_json_schema": SCHEMA,
            "response_mime_type": "application/json",
            "tool_config": {"function_calling_config": {"mode": "ANY"}},
        },
        ["verbosity", "parallel_tool_calls", "user"],
    ),
    (
        "gemini",
        "openai",
        {
            "model": "m-1",
            "max_completion_tokens": 99,
            "temperature": 0.5,
            "stop": ["END"],
            "reasoning_effort": "high",
            "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}},
            "tool_choice": {"type": "function", "function": {"name": "find"}},
        },
        ["top_k"],
    ),
    ("anthropic", "anthropic", CONFIGS["anthropic"], []),
    ("openai-responses", "openai-responses", CONFIGS["openai-responses"], []),
    (
        "anthropic",
        "openai-responses",
        {
            "model": "m-1",
            "max_output_tokens": 99,
            "reasoning": {"effort": "high"},
            "text": {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA}},
            "tool_choice": {"type": "function", "name": "find"},
        },
        ["stop", "thinking"],
    ),
]


@pytest.mark.parametrize(("source", "form", "made", "left_out"), NAMES, ids=lambda value: str(value)[:20])
def test_a_config_goes_out_in_the_provider_s_names(
    t: Tract, source: str, form: Any, made: Fields, left_out: list[str]
) -> None:
    t.commit(ToolsContent(TOOLS["openai"][:1]))
    t.commit(DialogueContent("user", "q"), generation_config=CONFIGS[source])
    context = t.compile()
    request = context.request(form)
    found = request["config"] if form == "gemini" else request
    rest = {key: value for key, value in found.items() if key not in ("messages", "input", "tools")}
    assert rest == made
    named = [warning.split("'")[1] for warning in context.warnings if "no equivalent" in warning]
    assert sorted(named) == sorted(left_out)


def test_the_last_config_applies_and_a_model_of_another_provider_does_not(t: Tract) -> None:
    t.commit(DialogueContent("user", "q"), generation_config={"model": "claude-old", "max_tokens": 1})
    t.commit(DialogueContent("assistant", "a"), generation_config={"model": "claude-new", "max_tokens": 2})
    say(t, "n")
    context = t.compile()
    assert context.request("anthropic") == {
        "model": "claude-new",
        "max_tokens": 2,
        "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": "a"},
            {"role": "user", "content": "n"},
        ],
    }
    assert context.warnings == []
    assert "model" not in context.request("openai")
    assert context.warnings == [
        "generation config: 'model' as it is has no equivalent in OpenAI's chat completions; request('openai') left it out"
    ]
    t.clear()
    say(t, "q")
    context = t.compile()
    assert context.request("anthropic") == {"messages": [{"role": "user", "content": "q"}]}
    assert "add max_tokens" in context.warnings[0]


def test_tools_go_out_in_the_provider_s_form(t: Tract) -> None:
    t.commit(ToolsContent(TOOLS["openai-responses"]))
    say(t, "q")
    context = t.compile()
    free = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    assert context.request("anthropic")["tools"] == [
        {"name": "find", "description": "finds", "input_schema": SCHEMA},
        {"name": "patch", "description": "patches", "input_schema": free},
    ]
    assert context.warnings[0] == (
        "tool 'web_search' is for OpenAI's responses alone; request('anthropic') left it out"
    )
    assert context.request("gemini")["config"]["tools"] == [
        {
            "function_declarations": [
                {"name": "find", "description": "finds", "parameters_json_schema": SCHEMA},
                {"name": "patch", "description": "patches", "parameters_json_schema": free},
            ]
        }
    ]
    assert context.request("openai")["tools"] == [
        {"type": "function", "function": {**TOOLS["openai"][0]["function"], "strict": False}},
        TOOLS["openai"][1],
    ]
    assert context.request("openai-responses")["tools"] == TOOLS["openai-responses"] == context.tools
    old = [{"function_declarations": [{"name": "f", "parameters": {"type": "OBJECT", "properties": {}}}]}]
    t.commit(ToolsContent(old))
    assert t.compile().request("anthropic")["tools"] == [
        {"name": "f", "input_schema": {"type": "object", "properties": {}}}
    ]


# cache breakpoints


def marked(request: Fields) -> list[str]:
    """Returns the texts of the blocks that end a cached prefix."""
    blocks = [*request.get("system", [])]
    for message in request.get("messages", request.get("input", [])):
        content = message.get("content", message.get("output"))
        blocks += content if isinstance(content, list) else []
    return [block["text"] for block in blocks if {"cache_control", "prompt_cache_breakpoint"} & block.keys()]


def talk(t: Tract, first: int, last: int) -> None:
    for number in range(first, last + 1):
        t.commit(DialogueContent("user" if number % 2 else "assistant", str(number)))


def test_cache_breakpoints_stay_in_their_places_as_the_conversation_grows(t: Tract) -> None:
    t.commit(InstructionContent("be brief"))
    talk(t, 1, 15)
    assert marked(t.compile().request("anthropic", cache=True)) == ["be brief", "15"]
    talk(t, 16, 31)
    assert marked(t.compile().request("anthropic", cache=True)) == ["be brief", "16", "31"]
    talk(t, 32, 49)
    assert marked(t.compile().request("anthropic", cache=True)) == ["be brief", "32", "48", "49"]
    talk(t, 50, 65)
    request = t.compile().request("anthropic", cache="1h")
    assert marked(request) == ["be brief", "48", "64", "65"]
    assert request["system"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    check_request("anthropic", {"model": "m", "max_tokens": 1, **request})
    for form, lifetime in (("openai", "30m"), ("openai-responses", "12h")):
        request = t.compile().request(form, cache=lifetime)  # type: ignore[arg-type]
        assert marked(request) == ["be brief", "47", "63"]  # as blocks of the user; it counts the system's too
        assert request["prompt_cache_key"] == t.compile().commit_hashes[0][:32]
        assert request["prompt_cache_options"] == {"mode": "implicit", "ttl": lifetime}
        check_request(form, {"model": "m", **request})


def test_without_a_system_message_the_tools_end_the_first_prefix(t: Tract) -> None:
    t.commit(ToolsContent(TOOLS["anthropic"][:1]))
    say(t, "q")
    context = t.compile()
    assert context.request("anthropic", cache=True)["tools"][0]["cache_control"] == {"type": "ephemeral"}
    assert context.tools == TOOLS["anthropic"][:1]
    assert "cache_control" not in str(context.request("anthropic"))
    context.request("gemini", cache=True)
    assert context.warnings[-1] == "cache: Gemini caches by itself; request('gemini') sets no breakpoints"


def test_a_provider_or_a_lifetime_that_is_not_known_is_refused(t: Tract) -> None:
    context = t.compile()
    for provider, cache in [("mistral", False), ("anthropic", "30m"), ("openai", "12h"), ("gemini", "5m")]:
        with pytest.raises(ArgumentError):
            context.request(provider, cache=cache)  # type: ignore[arg-type]
