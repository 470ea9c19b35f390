"""Canonical JSON: how the package writes and reads JSON bytes; only this module imports orjson.

`encode` refuses what JSON can't hold, by exact type, before it encodes a byte: orjson and msgspec both write NaN as
null and dump dataclasses, datetimes and enums without being asked. Format: FORMAT.md, section 3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
import orjson
from orjson import Fragment as Fragment

from tract_fs.errors import JsonValueError

MAX_DEPTH = 200
_ENVELOPE_DEPTH = 10  # no more arrays and objects are around a value in a file
_BRACKETS = b"[]{}"
_NO_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_MIN_INT = -(2**63)
_MAX_INT = 2**64 - 1
_INFINITY = float("inf")
_MEMO_BYTES = 1024
_OBJECTS = msgspec.json.Decoder(dict[str, Any])
_T = TypeVar("_T")


def encode(value: object, *, name: str = "value", depth: int = MAX_DEPTH) -> bytes:
    """Returns the canonical bytes of a JSON value, at most `depth` arrays and objects deep.

    An object of an SDK counts as the dict that it dumps. `name` begins the path in an error. Errors: JsonValueError with
    the path of the first value that is not JSON.
    """
    if not _is_json(value, depth):
        value = dumped_in(value, depth)
        _raise_first_fault(value, name, depth)
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONEncodeError, RecursionError):
        _raise_first_fault(value, name, depth)
        raise


def encode_kept(value: object, *, name: str = "value") -> bytes:
    """Returns the bytes of `encode`, to keep in memory: a short result of orjson holds 4 KiB. Errors: as `encode`."""
    return b"".join((encode(value, name=name), b""))  # a copy, of its own length


def encode_checked(value: object) -> bytes:
    """Returns the canonical bytes of a value made by this package, whose parts are checked already."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def indent(value: object) -> str:
    """Returns a JSON value as text for people and models: two spaces, sorted keys, non-ASCII as it is."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2).decode()
    except orjson.JSONEncodeError as error:  # deeper than any version wrote
        raise JsonValueError(path="value", reason=str(error)) from None


def decode(data: bytes) -> Any:
    """Returns the value of JSON bytes, fresh at each call; JsonValueError if they are not JSON."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise JsonValueError(path="value", reason=f"not JSON: {error}") from None


def is_deep(data: bytes, depth: int = MAX_DEPTH) -> bool:
    """Returns whether JSON bytes are more than `depth` arrays and objects deep. Cost: a count, for nearly all."""
    if data.count(b"{") + data.count(b"[") <= depth:
        return False
    level = 0
    for bracket in _STRING.sub(b"", data).translate(None, _NO_BRACKETS):
        level += 1 if bracket in b"[{" else -1
        if level > depth:
            return True
    return False


def is_storable(value: object, depth: int = MAX_DEPTH) -> bool:
    """Returns whether a value is JSON within the format's limits, without a look for lone surrogates in its strings."""
    return _is_json(value, depth)


def is_object(data: bytes) -> bool:
    """Returns whether JSON bytes hold an object that `decode` can read."""
    return _is_known_object(data) if len(data) <= _MEMO_BYTES else _is_object(data)


def are_objects(texts: Collection[str]) -> bool:
    """Returns whether each of these JSON texts is an object that `decode` can read. Cost: a small part of a microsecond for each."""
    lines = "\n".join(texts)
    try:
        found = _OBJECTS.decode_lines(lines)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return len(found) == len(texts) == lines.count("\n") + 1 if texts else True


def _is_object(data: bytes) -> bool:
    try:
        return type(decode(data)) is dict
    except JsonValueError:
        return False


_is_known_object = lru_cache(maxsize=512)(_is_object)  # configs are few, and repeat in many events


def decode_typed(decoder: msgspec.json.Decoder[_T] | msgspec.msgpack.Decoder[_T], data: bytes | memoryview) -> _T:
    """Returns `data` as a typed decoder reads it; JsonValueError if it does not fit, or is deeper than a file can be.

    A RecursionError passes where the stack of the caller is at fault.
    """
    try:
        return decoder.decode(data)
    except RecursionError:
        if isinstance(decoder, msgspec.json.Decoder) and not is_deep(bytes(data), MAX_DEPTH + _ENVELOPE_DEPTH):
            raise
        raise JsonValueError(path="value", reason=f"more than {MAX_DEPTH} arrays and objects deep") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise JsonValueError(path="value", reason=str(error)) from None


def dumped(value: object) -> object:
    """Returns an object of an SDK, one with `model_dump()`, as the dict that the SDK would send; any other value as it is."""
    if not hasattr(type(value), "model_dump"):
        return value
    dump: Callable[..., object] = value.model_dump  # type: ignore[attr-defined]
    try:
        return dump(mode="json", exclude_unset=True)
    except TypeError:  # not of pydantic
        return dump()


def dumped_in(value: object, depth: int = MAX_DEPTH) -> object:
    """Returns a value with the objects of SDKs in it, to some depth, as dicts (fresh)."""
    value = dumped(value)
    if depth == 0:
        return value
    if type(value) is dict:
        return {key: dumped_in(item, depth - 1) for key, item in value.items()}
    if type(value) in (list, tuple):
        return [dumped_in(item, depth - 1) for item in value]  # type: ignore[attr-defined]
    return value


def without_surrogates(value: Any) -> Any:
    """Returns a value in whose strings each lone surrogate is U+FFFD (fresh).

    An object whose keys would be one then stays as it is. The objects of SDKs in it are dicts.
    """
    return _without_surrogates(dumped_in(value), MAX_DEPTH)


def raw(data: bytes) -> Fragment:
    """Returns canonical bytes as a value that encode_checked writes as they are."""
    return Fragment(data)


def encode_struct(value: msgspec.Struct) -> bytes:
    """Returns the JSON bytes of a struct of this package."""
    return msgspec.json.encode(value)


def copy(value: _T) -> _T:
    """Returns a deep copy of a JSON value."""
    result: _T = orjson.loads(orjson.dumps(value))
    return result


def _is_json(value: object, depth: int) -> bool:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return _MIN_INT <= value <= _MAX_INT  # type: ignore[operator]
    if kind is float:
        return -_INFINITY < value < _INFINITY  # type: ignore[operator]
    if depth == 0:
        return False
    depth -= 1
    if kind is dict:
        for key, item in value.items():  # type: ignore[attr-defined]
            if type(key) is not str:
                return False
            kind = type(item)
            if kind is str or kind is bool or item is None:
                continue  # most values are one of these or numbers: this saves a call
            if (kind is int and 0 <= item <= _MAX_INT) or (kind is float and -_INFINITY < item < _INFINITY):
                continue
            if not _is_json(item, depth):
                return False
        return True
    if kind is list or kind is tuple:
        for item in value:  # type: ignore[attr-defined]  # noqa: SIM110 - a generator takes twice the time
            if type(item) is not str and not _is_json(item, depth):
                return False
        return True
    return False


def _without_surrogates(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind is str:
        return _LONE_SURROGATE.sub("\ufffd", value)
    if depth == 0:
        return value  # which the encoder refuses
    if kind is dict:
        keys = {key: _without_surrogates(key, 0) for key in value}
        is_clear = len(set(keys.values())) == len(keys)
        return {keys[key] if is_clear else key: _without_surrogates(item, depth - 1) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [_without_surrogates(item, depth - 1) for item in value]
    return value


def _raise_first_fault(value: object, path: str, depth: int) -> None:
    """Raises JsonValueError for the first value that is not JSON; returns if there is none."""
    kind = type(value)
    reason = None
    if kind is str:
        found = _LONE_SURROGATE.search(value)  # type: ignore[call-overload]
        if found is not None:
            reason = (
                f"a string with a lone surrogate, at position {found.start()}, can't be stored; "
                'Tract.open(text="replace") commits U+FFFD for it'
            )
    elif kind is int:
        if not _MIN_INT <= value <= _MAX_INT:  # type: ignore[operator]
            reason = "an integer beyond 64 bits can't be stored; give it as a string"
    elif kind is float:
        if not -_INFINITY < value < _INFINITY:  # type: ignore[operator]
            reason = f"{value!r} is not a JSON number"
    elif kind in (dict, list, tuple):
        if depth == 0:
            reason = f"more than {MAX_DEPTH} arrays and objects deep"
        elif kind is dict:
            for key, item in value.items():  # type: ignore[attr-defined]
                if type(key) is not str:
                    raise JsonValueError(path=path, reason=f"key {key!r} is not a string")
                _raise_first_fault(key, f"{path} (key)", depth)
                _raise_first_fault(item, f"{path}.{key}", depth - 1)
        else:
            for position, item in enumerate(value):  # type: ignore[arg-type]
                _raise_first_fault(item, f"{path}[{position}]", depth - 1)
    elif kind is not bool and value is not None:
        reason = (
            f"{kind.__module__}.{kind.__qualname__} is not a JSON value; use dict, list, str, int, float, bool or None"
        )
    if reason is not None:
        raise JsonValueError(path=path, reason=reason)
