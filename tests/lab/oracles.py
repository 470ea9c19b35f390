"""The providers' own typed parameters as oracles: what a provider's package refuses raises here. Unknown fields too."""

from __future__ import annotations

import json
from functools import cache
from typing import Any


def check(form: str, sent: Any) -> None:
    """Raises pydantic's ValidationError if the types of the provider's package refuse what an export returns."""
    if form == "anthropic":
        for message in sent["messages"]:
            _consume(_adapter("anthropic").validate_python(message))
        for block in sent.get("system", []):
            assert block.keys() >= {"type", "text"}
    elif form == "gemini":
        for content in (*sent["contents"], *filter(None, [sent.get("system_instruction")])):
            _adapter("gemini").validate_json(json.dumps(content))
    else:
        for message in sent:
            _consume(_adapter(form).validate_python(message))


def check_request(form: str, request: Any) -> None:
    """Raises pydantic's ValidationError if the types of the provider's package refuse the arguments of a call."""
    if form == "gemini":
        from google.genai import types

        check(
            form, {"contents": request["contents"], "system_instruction": request["config"].get("system_instruction")}
        )
        types.GenerateContentConfig.model_validate(request["config"])
    else:
        _consume(_adapter(f"{form} request").validate_python(request))


@cache
def _adapter(form: str) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    if form == "gemini":
        from google.genai import types

        return TypeAdapter(types.Content)
    if form == "anthropic":
        from anthropic.types import beta  # with the blocks of compaction

        kind: Any = beta.BetaMessageParam
    elif form == "openai":
        from openai.types import chat

        kind = chat.ChatCompletionMessageParam
    else:
        from openai.types import responses

        kind = responses.ResponseInputItemParam
    if form == "anthropic request":
        from anthropic.types import message_create_params

        kind = message_create_params.MessageCreateParamsNonStreaming
    elif form == "openai request":
        from openai.types.chat import completion_create_params

        kind = completion_create_params.CompletionCreateParamsNonStreaming
    elif form == "openai-responses request":
        from openai.types.responses import response_create_params

        kind = response_create_params.ResponseCreateParamsNonStreaming
    return TypeAdapter(kind | None, config=ConfigDict(extra="forbid"))


def _consume(value: object) -> None:
    """Reads what was validated to its end: pydantic checks the items of an Iterable as they are read."""
    if isinstance(value, dict):
        for item in value.values():
            _consume(item)
    elif not isinstance(value, str | bytes | int | float | None):
        for item in value:  # type: ignore[attr-defined]
            _consume(item)


def unpaired(form: str, sent: Any) -> list[str]:
    """Returns what is wrong with the tool calls and results that an export returns: calls that no result follows at
    once, but for those of the last message, and results without an open call.
    """
    wrong: list[str] = []
    waiting: list[str] = []  # calls of one name without an id are several
    for calls, results, is_call_alone in _steps(form, sent):
        for id_ in results:
            if id_ not in waiting:
                wrong.append(f"result {id_}")
            else:
                waiting.remove(id_)
        if not results and not (is_call_alone and calls):
            wrong += [f"call {id_}" for id_ in waiting]
            waiting = []
        waiting += calls
    return wrong


def _steps(form: str, sent: Any) -> list[tuple[list[str], list[str], bool]]:
    """Returns the ids that each message calls, those that it answers, and whether more calls may follow before these."""
    steps = []
    messages = {"anthropic": "messages", "gemini": "contents"}
    for message in sent[messages[form]] if form in messages else sent:
        if form == "openai":
            calls = [call["id"] for call in message.get("tool_calls") or ()]
            results = [message["tool_call_id"]] if message["role"] == "tool" else []
        elif form == "openai-responses":
            kind, id_ = str(message.get("type")), message.get("call_id")
            calls = [id_] if id_ and not kind.endswith("_output") else []
            results = [id_] if kind.endswith("_output") else []
        elif form == "anthropic":
            blocks = message["content"] if isinstance(message["content"], list) else []
            calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
            results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
            assert [block["type"] == "tool_result" for block in blocks] == sorted(
                (block["type"] == "tool_result" for block in blocks), reverse=True
            )
        else:
            found = [part.get("function_call") or part.get("functionCall") for part in message["parts"]]
            calls = [call.get("id", call["name"]) for call in found if call]
            found = [part.get("function_response") or part.get("functionResponse") for part in message["parts"]]
            results = [one.get("id", one["name"]) for one in found if one]
        steps.append((calls, results, form == "openai-responses" and not results))
    return steps
