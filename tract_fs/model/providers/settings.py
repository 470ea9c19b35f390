"""Settings: a generation config, in whatever provider's names it was recorded, in the names of another.

What has no equivalent is left out and named. Source: the parameters of the packages anthropic 2.14, openai 3.57 and
google-genai 3.6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tract_fs.model import canonical
from tract_fs.model.fields import Fields
from tract_fs.model.providers.parts import PROVIDERS
from tract_fs.model.shapes import Shape

Path = tuple[str, ...]
Warn = Callable[[str], object]
_NESTED = ("config", "generationConfig", "generation_config")
_PLACES: dict[str, tuple[Path, ...]] = {  # where a setting is recorded
    "model": (("model",),),
    "limit": (("max_tokens",), ("max_completion_tokens",), ("max_output_tokens",), ("maxOutputTokens",)),
    "temperature": (("temperature",),),
    "top_p": (("top_p",), ("topP",)),
    "top_k": (("top_k",), ("topK",)),
    "stop": (("stop",), ("stop_sequences",), ("stopSequences",)),
    "seed": (("seed",),),
    "presence_penalty": (("presence_penalty",), ("presencePenalty",)),
    "frequency_penalty": (("frequency_penalty",), ("frequencyPenalty",)),
    "count": (("n",), ("candidate_count",), ("candidateCount",)),
    "effort": (
        ("effort",),
        ("reasoning_effort",),
        ("reasoning", "effort"),
        ("output_config", "effort"),
        ("thinking_config", "thinking_level"),
        ("thinkingConfig", "thinkingLevel"),
    ),
    "budget": (
        ("thinking", "budget_tokens"),
        ("thinking_config", "thinking_budget"),
        ("thinkingConfig", "thinkingBudget"),
    ),
    "verbosity": (("verbosity",), ("text", "verbosity")),
    "format": (
        ("response_format",),
        ("text", "format"),
        ("output_config", "format"),
        ("response_json_schema",),
        ("responseJsonSchema",),
        ("response_schema",),
        ("responseSchema",),
    ),
    "mime_type": (("response_mime_type",), ("responseMimeType",)),
    "choice": (("tool_choice",), ("tool_config", "function_calling_config"), ("toolConfig", "functionCallingConfig")),
    "parallel": (("parallel_tool_calls",),),
}
_NAMES: dict[Shape, dict[str, Path]] = {  # where it goes
    "anthropic": {
        "model": ("model",),
        "limit": ("max_tokens",),
        "stop": ("stop_sequences",),
        "effort": ("output_config", "effort"),
        "format": ("output_config", "format"),
        "choice": ("tool_choice",),
        "budget": ("thinking",),
    },
    "openai": {
        "model": ("model",),
        "limit": ("max_completion_tokens",),
        "temperature": ("temperature",),
        "top_p": ("top_p",),
        "stop": ("stop",),
        "seed": ("seed",),
        "presence_penalty": ("presence_penalty",),
        "frequency_penalty": ("frequency_penalty",),
        "count": ("n",),
        "effort": ("reasoning_effort",),
        "verbosity": ("verbosity",),
        "format": ("response_format",),
        "choice": ("tool_choice",),
        "parallel": ("parallel_tool_calls",),
    },
    "openai-responses": {
        "model": ("model",),
        "limit": ("max_output_tokens",),
        "temperature": ("temperature",),
        "top_p": ("top_p",),
        "effort": ("reasoning", "effort"),
        "verbosity": ("text", "verbosity"),
        "format": ("text", "format"),
        "choice": ("tool_choice",),
        "parallel": ("parallel_tool_calls",),
    },
    "gemini": {
        "model": ("model",),
        "limit": ("max_output_tokens",),
        "temperature": ("temperature",),
        "top_p": ("top_p",),
        "top_k": ("top_k",),
        "stop": ("stop_sequences",),
        "seed": ("seed",),
        "presence_penalty": ("presence_penalty",),
        "frequency_penalty": ("frequency_penalty",),
        "count": ("candidate_count",),
        "effort": ("thinking_config", "thinking_level"),
        "budget": ("thinking_config", "thinking_budget"),
        "format": ("response_json_schema",),
        "choice": ("tool_config", "function_calling_config"),
    },
}
_OPENAI = {"metadata", "safety_identifier", "service_tier", "store", "top_logprobs", "user", "moderation"}
_OWN: dict[Shape, frozenset[str]] = {  # what a provider takes beside the above, by its own names
    "anthropic": frozenset(
        ["container", "inference_geo", "metadata", "output_config", "service_tier", "speed", "thinking"]
    ),
    "openai": frozenset(
        _OPENAI | {"audio", "logit_bias", "logprobs", "modalities", "prediction", "web_search_options"}
    ),
    "openai-responses": frozenset(
        _OPENAI | {"background", "context_management", "include", "max_tool_calls", "reasoning", "text", "truncation"}
    ),
    "gemini": frozenset(
        (
            *("safety_settings", "response_logprobs", "logprobs", "labels", "cached_content", "response_modalities"),
            *("media_resolution", "speech_config", "thinking_config", "image_config", "service_tier", "tool_config"),
        )
    ),
}
_FAMILIES = (
    ("claude", "anthropic"),
    ("gemini", "gemini"),
    ("gpt-", "openai"),
    ("chatgpt", "openai"),
    ("codex", "openai"),
)
_EFFORTS: dict[Shape, dict[str, str]] = {
    "anthropic": {"minimal": "low"} | {one: one for one in ("low", "medium", "high", "xhigh", "max")},
    "gemini": {one: one.upper() for one in ("minimal", "low", "medium", "high", "xhigh")} | {"max": "XHIGH"},
    "openai": {one: one for one in ("none", "minimal", "low", "medium", "high", "xhigh", "max")},
}
_EFFORTS["openai-responses"] = _EFFORTS["openai"]


def settings_for(config: Fields, form: Shape, *, has_tools: bool, warn: Warn) -> Fields:
    """Returns a generation config as the parameters of a provider's request (fresh).

    Calls `warn` with a sentence for what has no equivalent there.
    """
    return _Settings(config, form, has_tools=has_tools, warn=warn).run()


class _Settings:
    """A config while its settings are taken out of it one by one; what is left at the end is no known setting."""

    def __init__(self, config: Fields, form: Shape, *, has_tools: bool, warn: Warn) -> None:
        self._left: Fields = canonical.copy(config)
        for key in _NESTED:
            if isinstance(self._left.get(key), dict):
                self._left |= self._left.pop(key)
        self._form = form
        self._has_tools = has_tools
        self._warn = warn
        self._made: Fields = {}

    def run(self) -> Fields:
        """Returns the parameters."""
        found = {name: self._take(places) for name, places in _PLACES.items()}
        if found.get("mime_type") == "application/json" and found["format"] is None:
            found["format"] = {"type": "json_object"}
        if self._form == "gemini" and found["budget"] is not None:
            found["effort"] = None  # one of the two is accepted
        for name, value in found.items():
            if value is not None and name != "mime_type":
                self._put(name, value)
        for key, value in self._left.items():
            if value in ({}, None):
                continue
            if key in _OWN[self._form]:
                merged = self._made.get(key)
                self._made[key] = {**value, **merged} if isinstance(merged, dict) and isinstance(value, dict) else value
            else:
                self._leave(key)
        return self._made

    def _take(self, places: tuple[Path, ...]) -> Any:
        found = None
        for path in places:
            holder: Any = self._left
            for key in path[:-1]:
                holder = holder.get(key) if isinstance(holder, dict) else None
            if isinstance(holder, dict) and path[-1] in holder:
                if path == ("thinking", "budget_tokens") and self._form == "anthropic":
                    continue  # goes as it is
                value = holder.pop(path[-1])
                found = value if found is None else found
                if path == ("thinking", "budget_tokens"):
                    self._left.pop("thinking")
        return found

    def _put(self, name: str, value: Any) -> None:
        path = _NAMES[self._form].get(name)
        made = None if path is None else self._value(name, value)
        if path is None or made is None:
            self._leave(name if name in _PLACES[name][0] else _PLACES[name][0][0])
            return
        holder = self._made
        for key in path[:-1]:
            holder = holder.setdefault(key, {})
        holder[path[-1]] = made
        if name == "format" and self._form == "gemini":
            self._made["response_mime_type"] = "application/json"
            if made == {}:
                del self._made["response_json_schema"]

    def _value(self, name: str, value: Any) -> Any:
        """Returns a setting's value as the provider takes it; None if it does not."""
        if name == "model":
            return value if _is_of(str(value), self._form) else None
        if name == "stop":
            return value if isinstance(value, list) or self._form == "openai" else [value]
        if name == "effort":
            made = _EFFORTS[self._form].get(str(value).lower())
            if made is not None and made.lower() != str(value).lower():
                self._warn(f"generation config: effort {value!r} goes out as {made!r}")
            return made
        if name == "budget":
            return _thinking(value) if self._form == "anthropic" else value
        if name == "format":
            return _format(value, self._form)
        if name == "choice":
            return _choice(value, self._form) if self._has_tools else None
        return value

    def _leave(self, key: str) -> None:
        self._warn(
            f"generation config: {key!r} as it is has no equivalent in {PROVIDERS[self._form]}; "
            f"request({self._form!r}) left it out"
        )


def _is_of(model: str, form: Shape) -> bool:
    """Returns whether a model may be of a provider: its name is not that of another's."""
    family = next((owner for part, owner in _FAMILIES if part in model.lower()), None)
    return family is None or form.startswith(family)


def _thinking(budget: Any) -> Fields | None:
    """Returns Anthropic's thinking for a budget of Gemini's, where 0 is none and -1 the model's choice."""
    if budget in (0, -1):
        return {"type": "adaptive" if budget else "disabled"}
    is_enough = type(budget) is int and budget >= 1024
    return {"type": "enabled", "budget_tokens": budget} if is_enough else None


def _format(value: Any, form: Shape) -> Any:
    """Returns the format of an answer: a JSON schema, or any JSON object. None where the provider has no such form."""
    if not isinstance(value, dict):
        return None
    kind = value.get("type")
    if kind in ("text", "json_object"):
        if form == "openai-responses" or form == "openai":
            return {"type": kind}
        return {} if form == "gemini" and kind == "json_object" else None
    body = value.get("json_schema", value) if kind == "json_schema" else {"schema": value}
    schema = body.get("schema")
    if not isinstance(schema, dict):
        return None
    if form == "anthropic":
        return {"type": "json_schema", "schema": schema}
    if form == "gemini":
        return schema
    more = {key: body[key] for key in ("description", "strict") if body.get(key) is not None}
    named = {"name": body.get("name") or "answer", "schema": schema, **more}
    return {"type": "json_schema", "json_schema": named} if form == "openai" else {"type": "json_schema", **named}


def _choice(value: Any, form: Shape) -> Any:
    """Returns which tool the model is to call: auto, none, any, or one by name. None where it is none of these."""
    mode, name = value, None
    if isinstance(value, dict):
        mode = value.get("type", value.get("mode"))
        body = value.get("function")
        name = body.get("name") if isinstance(body, dict) else value.get("name")
        allowed = value.get("allowed_function_names") or value.get("allowedFunctionNames")
        if isinstance(allowed, list) and len(allowed) == 1:
            name = allowed[0]
    mode = "named" if isinstance(name, str) else {"required": "any"}.get(str(mode).lower(), str(mode).lower())
    if mode not in ("auto", "none", "any", "named"):
        return None
    if form == "anthropic":
        return {"type": "tool", "name": name} if mode == "named" else {"type": mode}
    if form == "gemini":
        named = {"mode": "ANY", "allowed_function_names": [name]}
        return named if mode == "named" else {"mode": mode.upper()}
    if mode == "named":
        return (
            {"type": "function", "function": {"name": name}} if form == "openai" else {"type": "function", "name": name}
        )
    return {"any": "required"}.get(mode, mode)
