"""Tools: the definitions of tools, from any provider's form into any other's. A provider's own tool, which runs there,
goes to that provider alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from tract_fs.model import canonical
from tract_fs.model.fields import Fields
from tract_fs.model.providers.parts import PROVIDERS
from tract_fs.model.shapes import Shape, part_of

_DATED = re.compile(r"_20\d{6}$", re.ASCII)
_FREE_SCHEMA: Fields = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


class Tool(Struct, frozen=True, kw_only=True):
    """One tool: a function with a schema, a tool that takes any text (`is_free`), or one of a provider (no name)."""

    shape: Shape
    raw: Fields
    name: str | None = None
    description: str | None = None
    schema: Fields | None = None
    strict: bool | None = None
    is_free: bool = False
    format: Fields | None = None


def tools_for(definitions: list[Any], form: Shape, warn: Callable[[str], object]) -> list[Fields]:
    """Returns tool definitions in a provider's form. Calls `warn` for each that only another provider can run."""
    result: list[Fields] = []
    declared: list[Fields] = []  # of Gemini, where all functions are one tool
    for tool in (tool for one in canonical.copy(definitions) if isinstance(one, dict) for tool in _read(one)):
        if tool.name is None and tool.shape != form:
            kind = tool.raw.get("type") or ", ".join(sorted(tool.raw))
            warn(f"tool {kind!r} is for {PROVIDERS[tool.shape]} alone; request({form!r}) left it out")
        elif tool.name is None or (tool.shape == form and form != "gemini"):
            result.append(tool.raw)
        elif form == "gemini":
            declared.append(tool.raw if tool.shape == form else _WRITERS[form](tool))
        else:
            result.append(_WRITERS[form](tool))
    return [*([{"function_declarations": declared}] if declared else []), *result]


def _read(tool: Fields) -> list[Tool]:
    declared = part_of(tool, "function_declarations")
    if isinstance(declared, list):
        rest = {key: value for key, value in tool.items() if value is not declared}
        found = [_read_declaration(one) for one in declared if isinstance(one, dict)]
        return [*found, Tool(shape="gemini", raw=rest)] if rest else found
    kind, name = tool.get("type"), tool.get("name")
    body = tool.get(kind) if isinstance(kind, str) and kind in ("function", "custom") else None
    if isinstance(body, dict):
        return [_read_function(body, tool, "openai", is_free=kind == "custom")]
    if isinstance(name, str) and isinstance(tool.get("input_schema"), dict):
        schema = tool["input_schema"]
        strict = tool.get("strict")
        text = tool.get("description")
        return [Tool(shape="anthropic", raw=tool, name=name, description=text, schema=schema, strict=strict)]
    if isinstance(name, str) and kind in ("function", "custom", None):
        shape: Shape = "openai-responses" if kind is not None else "gemini"
        return [_read_function(tool, tool, shape, is_free=kind == "custom")]
    if isinstance(kind, str):
        return [Tool(shape="anthropic" if _DATED.search(kind) else "openai-responses", raw=tool)]
    return [Tool(shape="gemini", raw=tool)]


def _read_function(body: Fields, tool: Fields, shape: Shape, *, is_free: bool) -> Tool:
    schema, form = body.get("parameters"), body.get("format")
    return Tool(
        shape=shape,
        raw=tool,
        name=str(body.get("name")),
        description=body.get("description"),
        schema=schema if isinstance(schema, dict) else None,
        strict=body.get("strict"),
        is_free=is_free,
        format=form if isinstance(form, dict) else None,
    )


def _read_declaration(body: Fields) -> Tool:
    schema = part_of(body, "parameters_json_schema")
    if schema is None:
        schema = _lowered(body.get("parameters"))
    schema = schema if isinstance(schema, dict) else None
    return Tool(
        shape="gemini", raw=body, name=str(body.get("name")), description=body.get("description"), schema=schema
    )


def _lowered(schema: Any) -> Any:
    """Returns a schema of Gemini, whose types are OBJECT, STRING, as a JSON schema."""
    if isinstance(schema, list):
        return [_lowered(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _lowered(value) for key, value in schema.items()}
    if isinstance(made.get("type"), str):
        made["type"] = made["type"].lower()
    return made


def _described(tool: Tool) -> Fields:
    described = {} if tool.description is None else {"description": tool.description}
    return {"name": tool.name, **described}


def _schema(tool: Tool) -> Fields:
    if tool.is_free:
        return canonical.copy(_FREE_SCHEMA)
    return tool.schema if tool.schema is not None else {"type": "object", "properties": {}}


def _to_chat(tool: Tool) -> Fields:
    if tool.is_free:
        return {"type": "custom", "custom": {**_described(tool), **_chat_format(tool)}}
    strict = {} if tool.strict is None else {"strict": tool.strict}
    parameters = {} if tool.schema is None else {"parameters": tool.schema}
    return {"type": "function", "function": {**_described(tool), **parameters, **strict}}


def _chat_format(tool: Tool) -> Fields:
    """Returns the format of a free tool; that of a grammar is nested in chat completions."""
    form = tool.format
    if form is None:
        return {}
    grammar = {key: form[key] for key in ("definition", "syntax") if key in form}
    return {"format": {"type": "grammar", "grammar": grammar} if grammar else form}


def _to_responses(tool: Tool) -> Fields:
    if tool.is_free:
        form = tool.format
        if form is not None and isinstance(form.get("grammar"), dict):
            form = {"type": "grammar", **form["grammar"]}
        return {"type": "custom", **_described(tool), **({} if form is None else {"format": form})}
    return {"type": "function", **_described(tool), "parameters": _schema(tool), "strict": bool(tool.strict)}


def _to_anthropic(tool: Tool) -> Fields:
    strict = {"strict": True} if tool.strict else {}
    return {**_described(tool), "input_schema": _schema(tool), **strict}


def _to_gemini(tool: Tool) -> Fields:
    return {**_described(tool), "parameters_json_schema": _schema(tool)}


_WRITERS: dict[Shape, Callable[[Tool], Fields]] = {
    "openai": _to_chat,
    "openai-responses": _to_responses,
    "anthropic": _to_anthropic,
    "gemini": _to_gemini,
}
