"""Payloads: the inputs and results of tools in a message, and a shorter form of them.

Measured sessions are filled by few large ones. What is cut names the commit that has the whole. The message stays in
its shape: arguments stay a JSON object, a result stays a result.
"""

from __future__ import annotations

from typing import Any

from tract_fs.model import canonical
from tract_fs.model.fields import Fields, items_in, text_in
from tract_fs.model.shapes import is_gemini, is_item, part_of

_KEPT_CHARS = 200  # of a text that is cut
_LEAST_CHARS = 400  # a text of fewer characters stays
_MEDIA = frozenset(["image", "document", "image_url", "file", "input_audio", "input_image", "input_file"])
_MARK_DIGITS = 12
_SHORTENED = "shortened"  # the one field of an object of many small values that is cut


def shorten_payloads(fields: Fields, commit: str, *, is_tool_io: bool) -> bool:
    """Cuts the tool payloads in a message, or in a single tool call or result; returns whether any was."""
    cut = _Cut(commit)
    if is_tool_io:
        cut.at(fields, "payload")
    elif is_gemini(fields):
        for part in fields["parts"]:
            cut.at(part_of(part, "function_call"), "args")
            response = part_of(part, "function_response")
            cut.at(response, "response")
            cut.without_media(response)
    elif is_item(fields):
        for key in ("output", "input", "action", "operation"):
            cut.at(fields, key)
        cut.arguments(fields)
    else:
        _in_message(fields, cut)
    return cut.count > 0


def _in_message(fields: Fields, cut: _Cut) -> None:
    if fields.get("role") in ("tool", "function"):
        cut.at(fields, "content")
    for call in [*items_in(fields, "tool_calls"), fields]:
        if isinstance(call, dict):
            cut.arguments(call.get("function", call.get("function_call")))
            cut.at(call.get("custom"), "input")
    for block in items_in(fields, "content"):
        kind = text_in(block, "type")
        if kind == "tool_use":
            cut.at(block, "input")
        elif kind == "tool_result":
            cut.at(block, "content")


class _Cut:
    """Cuts values in place, and counts them."""

    def __init__(self, commit: str) -> None:
        self._commit = commit[:_MARK_DIGITS]
        self.count = 0

    def at(self, holder: Any, key: str) -> None:
        """Cuts the value at a key, if it is there."""
        if isinstance(holder, dict) and key in holder:
            holder[key] = self._whole(holder[key])

    def arguments(self, call: Any) -> None:
        """Cuts the values in the arguments of a call, a JSON text; a text that is none is cut itself."""
        text = text_in(call, "arguments")
        if len(text) <= _LEAST_CHARS:
            return
        try:
            value = canonical.decode(text.encode())
        except ValueError:
            call["arguments"] = self._text(text)
            return
        before = self.count
        made = self._whole(value)
        if self.count > before:
            call["arguments"] = canonical.encode_checked(made).decode()

    def without_media(self, response: Any) -> None:
        """Takes the media of one of Gemini's results away."""
        if isinstance(response, dict) and response.pop("parts", None):
            self.count += 1
            if isinstance(response.get("response"), dict):
                response["response"]["parts"] = self._mark("media")

    def _whole(self, value: Any) -> Any:
        """Returns a value cut; an object that stays long, as it is of many small values, as one text."""
        made = self._value(value)
        if isinstance(made, dict) and "type" not in made:
            text = canonical.encode_checked(made).decode()
            if len(text) > 5 * _LEAST_CHARS:
                self.count += 1
                text = canonical.encode_checked(value).decode()
                return {_SHORTENED: f"{text[:_KEPT_CHARS]} {self._mark(f'{len(text) - _KEPT_CHARS:,} characters')}"}
        return made

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return [self._value(item) for item in value]
        if not isinstance(value, dict):
            return value
        kind = value.get("type")
        if isinstance(kind, str) and kind in _MEDIA:
            self.count += 1
            text_type = "input_text" if kind.startswith("input_") and kind != "input_audio" else "text"
            return {"type": text_type, "text": self._mark(kind)}
        return {key: self._value(item) for key, item in value.items()}

    def _text(self, text: str) -> str:
        if len(text) <= _LEAST_CHARS:
            return text
        self.count += 1
        return f"{text[:_KEPT_CHARS]} {self._mark(f'{len(text) - _KEPT_CHARS:,} characters')}"

    def _mark(self, what: str) -> str:
        return f"[{what} left out; the whole is in commit {self._commit}]"
