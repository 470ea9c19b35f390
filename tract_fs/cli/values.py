"""What the command line gives as text: JSON values, KEY=VALUE, times, config fields, files of messages, tract ids."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import click

from tract_fs.cli.output import warn
from tract_fs.cli.streams import read_whole
from tract_fs.errors import ArgumentError
from tract_fs.model.names import is_tract_id

_BYTE_ORDER_MARK = "\ufeff"
_TRACT_CHARS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")
_LONGEST_STEM = 48
_AGO = re.compile(r"([0-9]{1,4})[ .](minute|hour|day|week)s?(?:[ .]ago)?")
_SURE_DIGITS = 15  # a float keeps as many


_NEAR_NUMBER = re.compile(r"([+-]?)([0-9][0-9_]*)?(?:(\.)([0-9_]*))?([eE][+-]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_NEAR_WORDS = {"True": "true", "TRUE": "true", "False": "false", "FALSE": "false"}
_NEAR_WORDS |= dict.fromkeys(("None", "NONE", "Null", "NULL"), "null")
_OPENING = tuple('[{"')
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:]', re.DOTALL)


class DuplicateKey(ValueError):
    """Raised when an object of a JSON text has a key twice: which value is meant is unknown."""

    def __init__(self, key: str, line: int) -> None:
        self.key = key
        self.line = line
        super().__init__(f"the key {json.dumps(key, ensure_ascii=False)} appears twice in one object")


def parse_json(text: str) -> Any:
    """Returns the value of a JSON text. Errors: ValueError; DuplicateKey with its line in the text.

    The standard library's reader, since it keeps integers beyond 64 bits, for the store to refuse; orjson would make floats of them.
    Warns of digits that no float keeps.
    """
    rounded: list[str] = []
    try:
        decoder = json.JSONDecoder(
            parse_constant=_refuse_constant,
            parse_float=lambda number: _read_float(number, rounded),
            parse_int=_read_int,
            object_pairs_hook=_unique,
        )
        value = decoder.decode(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    except DuplicateKey as error:
        raise DuplicateKey(error.key, _duplicate_line(text)) from None
    if rounded:
        more = f", and {len(rounded) - 1} more like it" if len(rounded) > 1 else ""
        warn(f"{rounded[0]} has more digits than a float of 64 bits: it is stored as {float(rounded[0])!r}{more}")
    return value


def _read_float(number: str, rounded: list[str]) -> float:
    """Returns the float of a JSON number, and adds the number to `rounded` if the float's digits are not its own."""
    value = float(number)
    if len(number) > _SURE_DIGITS and Decimal(repr(value)) != Decimal(number) and math.isfinite(value):
        rounded.append(number)
    return value


def _read_int(number: str) -> int | float:
    """Returns the integer of a JSON number; -0 is a float, which keeps its sign."""
    return -0.0 if number == "-0" else int(number)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns the object of these pairs. Errors: DuplicateKey, its line unknown."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise DuplicateKey(next(key for key in found if keys.count(key) > 1), 0)
    return found


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _duplicate_line(text: str) -> int:
    """Returns the line, from 1, of the first key that its object has already; `text` is JSON as far as that."""
    keys_above: list[set[str]] = []
    last = ""
    for token in _TOKEN.finditer(text):
        found = token[0]
        if found in "{[":
            keys_above.append(set())
        elif found in "}]":
            keys_above.pop()
        elif found == ":":
            key = json.loads(last, strict=False)
            if key in keys_above[-1]:
                return text.count("\n", 0, token.start()) + 1
            keys_above[-1].add(key)
        else:
            last = found
    return 1


def json_or_text(text: str) -> Any:
    """Returns the value of `text` if it is JSON, else `text` itself. Errors: DuplicateKey."""
    try:
        return parse_json(text)
    except DuplicateKey:
        raise
    except ValueError:
        return text


def require_plain(text: str, option: str) -> Any:
    """Returns the value of `text` if it is JSON, else `text` itself, unless it is nearly a number, a word or a list of
    JSON: stored as text, such a value would be missed by every query for what was meant. Errors: click.BadParameter.
    """
    try:
        return parse_json(text)
    except DuplicateKey as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint=option) from None
    except ValueError as error:
        reason = _near_json(text.strip(), error)
    if reason:
        import shlex  # 1 ms: only for this advice

        quoted = shlex.quote(json.dumps(text, ensure_ascii=False))
        raise click.BadParameter(f"{text!r} {reason}{quoted} for the text", param_hint=option)
    return text


def _near_json(text: str, error: ValueError) -> str:
    """Returns what a text that is not JSON may be meant for, up to the text's own spelling; empty for plain words."""
    number = _NEAR_NUMBER.fullmatch(text)
    if number is not None and any(part and part.strip("_") for part in (number[2], number[4])):
        whole = (number[2] or "").replace("_", "").lstrip("0") or "0"
        fraction = "" if number[3] is None else f".{number[4].replace('_', '') or '0'}"
        sign = number[1].replace("+", "")
        return f"is not JSON: write {sign}{whole}{fraction}{number[5] or ''} for the number, "
    if text in _NEAR_WORDS:
        return f"is not JSON: write {_NEAR_WORDS[text]} for the value, "
    if _NO_NUMBER.fullmatch(text):
        return "is not a number in JSON: write "
    if text.startswith(_OPENING):
        return f"begins like JSON, but is not valid ({error}): correct it, or write "
    return ""


def require_json(text: str, option: str) -> Any:
    """Returns the value of an option that takes JSON. Errors: click.BadParameter."""
    try:
        return parse_json(text)
    except ValueError as error:
        reason = f"line {error.line}: {error}" if isinstance(error, DuplicateKey) else f"not JSON: {error}"
        raise click.BadParameter(reason, param_hint=option) from None


def require_json_object(text: str, option: str) -> dict[str, Any]:
    """Returns the object of an option that takes one. Errors: click.BadParameter."""
    value = require_json(text, option)
    if not isinstance(value, dict):
        raise click.BadParameter("give a JSON object", param_hint=option)
    return value


def parse_pairs(pairs: Iterable[str], option: str, *, is_strict: bool = False) -> dict[str, Any]:
    """Returns the dict of `KEY=VALUE` texts, each value as JSON, else as text; with `is_strict` as `require_plain` does.

    Errors: click.BadParameter.
    """
    result = {}
    for pair in pairs:
        key, mark, value = pair.partition("=")
        if not mark or not key:
            raise click.BadParameter(f"{pair!r}: write KEY=VALUE", param_hint=option)
        try:
            result[key] = require_plain(value, option) if is_strict else json_or_text(value)
        except DuplicateKey as error:
            raise click.BadParameter(f"{pair!r}: {error}", param_hint=option) from None
    return result


def parse_generation_config(pairs: Iterable[str], whole: str | None) -> dict[str, Any] | None:
    """Returns the config of --config-json with each --config KEY=VALUE laid over it; None if neither was given."""
    over = parse_pairs(pairs, "--config", is_strict=True)
    if whole is None:
        return over or None
    return require_json_object(whole, "--config-json") | over


class Count(click.IntRange):
    """A whole number of `least` or more."""

    def __init__(self, least: int = 0) -> None:
        super().__init__(least, 999_999_999)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Returns the number. Errors: click.BadParameter."""
        if isinstance(value, int):
            return value
        if not (value.isascii() and value.isdigit() and len(value) < 10 and int(value) >= (self.min or 0)):
            self.fail(f"{value!r}: give a whole number from {self.min} to {self.max}", param, ctx)
        return int(value)

    def _describe_range(self) -> str:
        """Returns nothing: the help says what a count is for, not how large it may be."""
        return ""


def parse_moment(text: str, option: str) -> datetime:
    """Returns a time in ISO 8601 form (without an offset: UTC), or one like "yesterday" or "2 hours ago".

    Errors: click.BadParameter.
    """
    ago = _AGO.fullmatch(text)
    if text in ("now", "yesterday"):
        return datetime.now(UTC) - timedelta(days=text == "yesterday")
    if ago is not None:
        return datetime.now(UTC) - timedelta(**{f"{ago[2]}s": int(ago[1])})
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        hint = "write it like 2026-01-02T03:04:05 (UTC), 2026-01-02T03:04:05+02:00, yesterday or '2 hours ago'"
        raise click.BadParameter(f"{text!r}: {hint}", param_hint=option) from None


def parse_field(text: str, *, is_nested: bool) -> str | tuple[str | int, ...]:
    """Returns a config field: a plain key; with `is_nested` a path of keys and indexes, dot-separated; or the path that a JSON array is.

    Errors: click.BadParameter.
    """
    if is_nested:
        return tuple(int(part) if _is_index(part) else part for part in text.split("."))
    if text.startswith("["):
        try:
            path = json_or_text(text)
        except DuplicateKey as error:
            raise click.BadParameter(f"{text!r}: {error}", param_hint="FIELD") from None
        if isinstance(path, list):
            return tuple(path)
    return text


def _is_index(part: str) -> bool:
    return part.isascii() and part.isdigit() and len(part) < 10


def read_stdin() -> str:
    """Returns the text on stdin, as it is but for a byte order mark at its start.

    Errors: click.UsageError on a terminal, ArgumentError if it is not UTF-8.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise click.UsageError("give the text with -m TEXT or on stdin")
    return decode_utf8(read_whole(sys.stdin), "stdin").removeprefix(_BYTE_ORDER_MARK)


def require_text(text: str) -> str:
    """Returns `text` unless it is empty or only white space. Errors: ArgumentError."""
    if text.strip():
        return text
    raise ArgumentError("the text is empty; nothing was written; --allow-empty commits it all the same")


def decode_utf8(data: bytes, name: str) -> str:
    """Returns UTF-8 bytes as text. Errors: ArgumentError naming the place."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ArgumentError(f"{name}: not UTF-8 at byte {error.start}") from None


def read_document(file: str) -> Any:
    """Returns the value of a file of JSON, or the list of values of a file of JSON lines; `-` is stdin.

    Errors: OSError; ArgumentError naming file and line.
    """
    if file == "-":
        text = read_stdin()
    else:
        with open(file, "rb") as stream:
            text = decode_utf8(stream.read(), file)
    text = text.removeprefix(_BYTE_ORDER_MARK)
    try:
        return parse_json(text)
    except DuplicateKey as error:
        raise ArgumentError(f"{file}: line {error.line}: {error}; keep the one that is meant") from None
    except ValueError as error:
        whole_error = error
    values: list[Any] = []
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines(): a string may hold U+2028
        if not line.strip():
            continue
        try:
            values.append(parse_json(line))
        except DuplicateKey as error:
            raise ArgumentError(f"{file}: line {number}: {error}; keep the one that is meant") from None
        except ValueError as error:
            if not values:
                break
            raise ArgumentError(f"{file}: line {number} is not JSON: {error}") from None
    if not values:
        raise ArgumentError(f"{file}: neither JSON nor JSON lines: {whole_error}")
    return values


def tract_id_of(file: str) -> str:
    """Returns a tract id made of a file's stem."""
    stem = "stdin" if file == "-" else os.path.splitext(os.path.basename(file))[0]
    kept = "".join(c if c in _TRACT_CHARS else "-" for c in stem.lower())[:_LONGEST_STEM].strip("._-")
    return kept if is_tract_id(kept) else f"tract-{kept}".strip("._-")
