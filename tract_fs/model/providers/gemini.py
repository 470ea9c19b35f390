"""Gemini's contents: reads their parts, and writes turns as contents.

System messages go into `system_instruction`. A part that came from there goes back as it came, with its signature; a
call of another provider carries the value that lets Gemini accept one without. Data is base64, as the REST API takes
it. Source: Gemini API reference, "Content"; types of the package google-genai 3.6.
"""

from __future__ import annotations

from typing import Any

from tract_fs.model import canonical
from tract_fs.model.fields import Fields, fields_of, text_in
from tract_fs.model.providers.anthropic import arguments_of
from tract_fs.model.providers.parts import (
    Call,
    Media,
    NoFormError,
    Notes,
    Part,
    Result,
    Sealed,
    Text,
    Thinking,
    Turn,
    Unreadable,
    kind_of,
    refused,
)
from tract_fs.model.shapes import Shape, named_ids, part_of

SHAPE: Shape = "gemini"
NO_SIGNATURE = "skip_thought_signature_validator"  # as Gemini CLI sends it with calls of other models
_SEALED = ("executable_code", "code_execution_result", "tool_call", "tool_response")
_OUTPUTS = ("output", "result", "content", "error")
_ENDINGS = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"}
_ENDINGS |= {"pdf": "application/pdf", "txt": "text/plain", "mp3": "audio/mp3", "wav": "audio/wav", "mp4": "video/mp4"}


def read_parts(parts: list[object]) -> list[Part]:
    """Returns the parts of a content."""
    keys = {}
    for name in ("function_call", "function_response"):
        bodies = [body for part in parts if isinstance(body := part_of(part, name), dict)]
        keys[name] = dict(zip(map(id, bodies), named_ids(bodies), strict=True))
    return [_read(part, keys) for part in parts]


def _read(part: object, keys: dict[str, dict[int, str]]) -> Part:
    if not isinstance(part, dict):
        return Unreadable(shape=SHAPE, reason=f"a {type(part).__name__} among the parts of a content")
    call, response = part_of(part, "function_call"), part_of(part, "function_response")
    if isinstance(call, dict):
        arguments = canonical.encode_checked(call.get("args") or {}).decode()
        return Call(
            key=keys["function_call"][id(call)],
            id=text_in(call, "id") or None,
            name=str(call.get("name")),
            arguments=arguments,
            raw=part,
            shape=SHAPE,
        )
    if isinstance(response, dict):
        return _read_response(part, response, keys["function_response"][id(response)])
    for name in _SEALED:
        if part_of(part, name) is not None:
            return Sealed(raw=part, shape=SHAPE, kind=name)
    if part.get("thought") is True:
        return Thinking(raw=part, shape=SHAPE)
    if isinstance(part.get("text"), str):
        return Text(text=part["text"], raw=part, shape=SHAPE)
    return _read_media(part) or Unreadable(raw=part, shape=SHAPE, reason=f"a part with {sorted(part)} of Gemini")


def _read_response(part: Fields, response: Fields, key: str) -> Result:
    value = response.get("response")
    fields = value if isinstance(value, dict) and len(value) == 1 else {}
    content: Any = next((fields[name] for name in _OUTPUTS if isinstance(fields.get(name), str)), None)
    is_error = content is not None and "error" in fields
    if content is None:
        content = canonical.encode_checked(value if value is not None else {}).decode()
    media = [_read_media(one) for one in response.get("parts") or () if isinstance(one, dict)]
    found = tuple(one for one in media if one is not None)
    name = response.get("name")
    return Result(
        key=key,
        id=text_in(response, "id") or None,
        name=name if isinstance(name, str) else None,
        content=(Text(text=content), *found) if found else content,
        is_error=is_error,
        raw=part,
        shape=SHAPE,
    )


def _read_media(part: Fields) -> Media | None:
    inline, file = part_of(part, "inline_data"), part_of(part, "file_data")
    body = inline if isinstance(inline, dict) else fields_of(file)
    media_type, title = part_of(body, "mime_type"), part_of(body, "display_name")
    media_type = media_type if isinstance(media_type, str) else None
    title = title if isinstance(title, str) else None
    kind = kind_of(media_type)
    if isinstance(body.get("data"), str):
        return Media(kind=kind, media_type=media_type, data=body["data"], title=title, raw=part, shape=SHAPE)
    uri = part_of(body, "file_uri")
    if not isinstance(uri, str):
        return None
    is_own = "googleapis.com/" in uri or not uri.startswith("http")
    return Media(
        kind=kind,
        media_type=media_type,
        url=None if is_own else uri,
        file_id=uri if is_own else None,
        title=title,
        raw=part,
        shape=SHAPE,
    )


def emit(turn: Turn, notes: Notes) -> list[Fields]:
    """Returns the content of a turn; none if nothing of it is left. Errors: NoFormError."""
    notes.name(turn, SHAPE)
    role = {"tool": "user", "assistant": "model", "developer": "system"}.get(turn.role, turn.role)
    if role not in ("user", "model", "system"):
        raise NoFormError(f"a message of role {role!r}")
    parts: list[Fields] = []
    has_call = False
    for part in turn.parts:
        made = _part(part, turn, notes)
        if isinstance(part, Call) and part.native(SHAPE) is None and not has_call:
            made = [{**one, "thought_signature": NO_SIGNATURE} for one in made]
        has_call = has_call or isinstance(part, Call)
        parts += made
    return [{"role": role, "parts": parts}] if parts else []


def _part(part: Part, turn: Turn, notes: Notes) -> list[Fields]:
    native = part.native(SHAPE)
    if native is not None and not isinstance(part, Call | Result):
        return [native]
    if isinstance(part, Text):
        return [{"text": part.text}] if part.text.strip() else []
    if isinstance(part, Call) and turn.role == "assistant":
        if native is not None:
            return [native]
        arguments = arguments_of(part, turn, notes)
        return [{"function_call": {"id": part.id, "name": part.name, "args": arguments}}]
    if isinstance(part, Result) and turn.role == "tool":
        return [native if native is not None else _response(part)]
    if isinstance(part, Media) and turn.role == "user":
        return [_media(part, turn.role)]
    raise refused(part, turn.role)


def _response(part: Result) -> Fields:
    text = part.texts()
    value = None if part.is_error else _object(text)
    response = value if value is not None else {"error" if part.is_error else "output": text}
    made: Fields = {"id": part.id, "name": part.name or "tool", "response": response}
    if not isinstance(part.content, str):
        for one in part.content:
            if isinstance(one, Media):
                made.setdefault("parts", []).append(_media(one, "user"))
            elif not isinstance(one, Text):
                raise refused(one, "user")
        made["parts"] = [one for one in made.get("parts", []) if "text" not in one]
        texts = [one.decoded() for one in part.content if isinstance(one, Media) and one.decoded() is not None]
        if texts and "output" in response:
            response["output"] = "\n".join(filter(None, [text, *(one or "" for one in texts)]))
        if not made["parts"]:
            del made["parts"]
    return {"function_response": made}


def _object(text: str) -> Fields | None:
    if not text.startswith("{"):
        return None
    try:
        value = canonical.decode(text.encode())
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _media(part: Media, role: str) -> Fields:
    if part.native(SHAPE) is not None:
        return part.native(SHAPE) or {}
    text = part.decoded() if part.kind == "document" else None
    if text is not None:
        return {"text": text}
    if part.data is not None:
        return {"inline_data": {"mime_type": part.media_type or "application/octet-stream", "data": part.data}}
    if part.url is not None:
        ending = part.url.split("?")[0].rsplit(".", 1)[-1].lower()
        media_type = _ENDINGS.get(ending, "image/jpeg" if part.kind == "image" else "application/pdf")
        return {"file_data": {"file_uri": part.url, "mime_type": part.media_type or media_type}}
    raise refused(part, role)
