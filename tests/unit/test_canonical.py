"""Canonical JSON: exactly one form of bytes per value, and a refusal with its path for what JSON can't hold; times in the one stored form."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import pickle
import tracemalloc
import uuid
from collections import OrderedDict, UserDict, namedtuple
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from tract_fs.errors import JsonValueError, TractError
from tract_fs.model import canonical
from tract_fs.model.names import format_time, parse_time

VECTORS = [
    (1, b"1"),
    (1.0, b"1.0"),
    (0.1, b"0.1"),
    (100000.0, b"100000.0"),
    (1e16, b"1e+16"),
    (1.5e300, b"1.5e+300"),
    (1e-7, b"1e-7"),
    (1e-5, b"0.00001"),
    (5e-324, b"5e-324"),
    (-0.0, b"-0.0"),
    (18446744073709551615, b"18446744073709551615"),
    (-9223372036854775808, b"-9223372036854775808"),
]


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Real(float):
    pass


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    YES = "yes"


class Point(msgspec.Struct):
    x: int


@dataclass
class Pair:
    a: int


Row = namedtuple("Row", "a")


def surrogate_at(position: int) -> str:
    return (
        f"a string with a lone surrogate, at position {position}, can't be stored; "
        'Tract.open(text="replace") commits U+FFFD for it'
    )


REFUSED: list[tuple[object, str, str]] = [
    ({"a": float("nan")}, "value.a", "nan is not a JSON number"),
    ([float("inf")], "value[0]", "inf is not a JSON number"),
    ((1, -float("inf")), "value[1]", "-inf is not a JSON number"),
    ({"a": [0, {"b": 2**64}]}, "value.a[1].b", "an integer beyond 64 bits can't be stored; give it as a string"),
    (2**70, "value", "an integer beyond 64 bits can't be stored; give it as a string"),
    (-(2**63) - 1, "value", "an integer beyond 64 bits can't be stored; give it as a string"),
    ({"a": "\ud800"}, "value.a", surrogate_at(0)),
    (["ok", "x\udfffy"], "value[1]", surrogate_at(1)),
    ({"a": {"\udc00": 1}}, "value.a (key)", surrogate_at(0)),
    ({1: "a"}, "value", "key 1 is not a string"),
    ({"a": {None: 1}}, "value.a", "key None is not a string"),
    ({"a": {True: 1, "True": 2}}, "value.a", "key True is not a string"),
    ({"a": {b"k": 1}}, "value.a", "key b'k' is not a string"),
    ({"a": {("t",): 1}}, "value.a", "key ('t',) is not a string"),
    ({"a": {Text("k"): 1}}, "value.a", "key 'k' is not a string"),
]
WRONG_TYPES: list[tuple[object, str]] = [
    ({1, 2}, "builtins.set"),
    (frozenset(), "builtins.frozenset"),
    (b"bytes", "builtins.bytes"),
    (bytearray(b"b"), "builtins.bytearray"),
    (memoryview(b"m"), "builtins.memoryview"),
    (1j, "builtins.complex"),
    (range(2), "builtins.range"),
    (object(), "builtins.object"),
    (int, "builtins.type"),
    (..., "builtins.ellipsis"),
    (dt.datetime(2026, 1, 2), "datetime.datetime"),
    (dt.date(2026, 1, 2), "datetime.date"),
    (uuid.UUID(int=0), "uuid.UUID"),
    (decimal.Decimal(1), "decimal.Decimal"),
    (OrderedDict(a=1), "collections.OrderedDict"),
    (UserDict(a=1), "collections.UserDict"),
    (Row(1), "tests.unit.test_canonical.Row"),
    (Text("t"), "tests.unit.test_canonical.Text"),
    (Number(1), "tests.unit.test_canonical.Number"),
    (Real(1.0), "tests.unit.test_canonical.Real"),
    (Colour.RED, "tests.unit.test_canonical.Colour"),
    (Level.LOW, "tests.unit.test_canonical.Level"),
    (Word.YES, "tests.unit.test_canonical.Word"),
    (Point(1), "tests.unit.test_canonical.Point"),
    (Pair(1), "tests.unit.test_canonical.Pair"),
]


def nested(depth: int, inner: object = 1) -> object:
    """Returns `depth` lists, one in the other."""
    value: object = inner
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(("value", "data"), VECTORS, ids=[data.decode() for _, data in VECTORS])
def test_a_number_has_one_form(value: float, data: bytes) -> None:
    assert canonical.encode(value) == data
    read = canonical.decode(data)
    assert (type(read), repr(read)) == (type(value), repr(value))


def test_one_and_one_point_zero_differ() -> None:
    assert canonical.encode({"a": 1}) == b'{"a":1}'
    assert canonical.encode({"a": 1.0}) == b'{"a":1.0}'
    assert canonical.encode({"a": True}) == b'{"a":true}'


def test_keys_stand_in_the_order_of_code_points_at_every_depth() -> None:
    value = {"b": 1, "\U0001f600": 2, "\uffff": 3, "a": {"z": 1, "Z": 2, "é": 3, "": 4}, "10": 5, "9": 6}
    assert canonical.encode(value) == (
        '{"10":5,"9":6,"a":{"":4,"Z":2,"z":1,"é":3},"b":1,"\uffff":3,"\U0001f600":2}'.encode()
    )


def test_strings_have_the_shortest_escapes() -> None:
    assert canonical.encode('"\\\b\t\n\f\r\x00\x1f') == b'"\\"\\\\\\b\\t\\n\\f\\r\\u0000\\u001f"'
    assert canonical.encode("/\x7fé\u2028\U0001f600<|endoftext|>") == '"/\x7fé\u2028\U0001f600<|endoftext|>"'.encode()


def test_strings_are_not_normalised() -> None:
    assert canonical.encode(["\u00e9", "e\u0301"]) == b'["\xc3\xa9","e\xcc\x81"]'


def test_there_is_no_white_space_and_no_newline_at_the_end() -> None:
    assert canonical.encode({"a": [1, {}, []], "b": None}) == b'{"a":[1,{},[]],"b":null}'


def test_a_tuple_is_written_as_a_list() -> None:
    assert canonical.encode((1, ("a", ()))) == b'[1,["a",[]]]'


def test_the_largest_and_smallest_numbers_are_written() -> None:
    value = [2**64 - 1, -(2**63), 1.7976931348623157e308, -5e-324]
    assert canonical.encode(value) == b"[18446744073709551615,-9223372036854775808,1.7976931348623157e+308,-5e-324]"


@pytest.mark.parametrize(("value", "path", "reason"), REFUSED, ids=[f"{path} {reason}" for _, path, reason in REFUSED])
def test_what_json_can_not_hold_is_refused_with_its_path(value: object, path: str, reason: str) -> None:
    with pytest.raises(JsonValueError) as caught:
        canonical.encode(value)
    assert (caught.value.path, caught.value.reason) == (path, reason)
    assert str(caught.value) == f"{path}: {reason}"


@pytest.mark.parametrize(("value", "name"), WRONG_TYPES, ids=[name for _, name in WRONG_TYPES])
def test_only_exact_json_types_are_written(value: object, name: str) -> None:
    for given, path in ((value, "value"), ({"a": [value]}, "value.a[0]"), ([{"b": value}], "value[0].b")):
        with pytest.raises(JsonValueError) as caught:
            canonical.encode(given)
        assert caught.value.path == path
        assert caught.value.reason == f"{name} is not a JSON value; use dict, list, str, int, float, bool or None"


def test_the_path_begins_with_the_name_given() -> None:
    with pytest.raises(JsonValueError) as caught:
        canonical.encode({"top.p": {"x": [0, float("nan")]}}, name="generation_config")
    assert caught.value.path == "generation_config.top.p.x[1]"


def test_the_first_fault_in_order_is_the_one_that_is_named() -> None:
    with pytest.raises(JsonValueError) as caught:
        canonical.encode({"b": 1, "z": [1, {2}], "a": float("nan")})
    assert caught.value.path == "value.z[1]"


def test_two_hundred_levels_are_written() -> None:
    assert canonical.encode(nested(200)) == b"[" * 200 + b"1" + b"]" * 200
    assert canonical.decode(canonical.encode(nested(200))) == nested(200)


@pytest.mark.parametrize("depth", [201, 255, 1_000, 100_000])
def test_more_than_two_hundred_levels_are_refused_with_their_path(depth: int) -> None:
    with pytest.raises(JsonValueError) as caught:
        canonical.encode(nested(depth))
    assert caught.value.path == "value" + "[0]" * 200
    assert caught.value.reason == "more than 200 arrays and objects deep"


def test_an_empty_object_at_level_201_is_refused() -> None:
    assert canonical.encode(nested(199, {})) == b"[" * 199 + b"{}" + b"]" * 199
    with pytest.raises(JsonValueError) as caught:
        canonical.encode(nested(200, {}))
    assert caught.value.path == "value" + "[0]" * 200


def test_a_value_that_holds_itself_is_refused() -> None:
    ring: list[Any] = []
    ring.append({"next": ring})
    with pytest.raises(JsonValueError) as caught:
        canonical.encode(ring)
    assert caught.value.reason == "more than 200 arrays and objects deep"


def test_a_refusal_is_a_value_error_of_our_tree() -> None:
    with pytest.raises(ValueError, match=r"^metadata\.a: nan is not a JSON number$") as caught:
        canonical.encode({"a": float("nan")}, name="metadata")
    assert isinstance(caught.value, TractError)


def test_a_refusal_survives_pickling() -> None:
    with pytest.raises(JsonValueError) as caught:
        canonical.encode({"a": float("nan")})
    copied = pickle.loads(pickle.dumps(caught.value))
    assert (type(copied), str(copied), copied.path) == (JsonValueError, "value.a: nan is not a JSON number", "value.a")


@pytest.mark.parametrize(
    "data",
    [b"", b"NaN", b"Infinity", b"[1,]", b"{'a':1}", b"1 2", b'"\xff"', b'"\\ud800"', b"\xef\xbb\xbf1", b"[" * 100_000],
    ids=["empty", "NaN", "Infinity", "comma", "quotes", "two values", "no UTF-8", "surrogate", "BOM", "deep"],
)
def test_bytes_that_are_no_json_are_refused(data: bytes) -> None:
    with pytest.raises(JsonValueError) as caught:
        canonical.decode(data)
    assert caught.value.reason.startswith("not JSON: ")


def test_a_typed_decoder_that_fails_raises_the_same_error() -> None:
    decoder = msgspec.json.Decoder(Point)
    for data in (b"", b"{}", b'{"x":"1"}', b"[" * 100_000, b'{"x":' + b"[" * 100_000, b'{"x":1}\xff'):
        with pytest.raises(JsonValueError):
            canonical.decode_typed(decoder, data)


def test_encoding_changes_nothing_that_was_given() -> None:
    value = {"b": [1, (2, {"c": None})], "a": 1.0}
    canonical.encode(value)
    assert list(value) == ["b", "a"]
    assert value == {"b": [1, (2, {"c": None})], "a": 1.0}


def test_each_decoding_is_fresh() -> None:
    data = b'{"a":[1]}'
    canonical.decode(data)["a"].append(2)
    assert canonical.decode(data) == {"a": [1]}


def test_text_for_people_is_indented_and_sorted_with_all_characters_as_they_are() -> None:
    assert canonical.indent({"b": [1, "é"], "a": {}}) == '{\n  "a": {},\n  "b": [\n    1,\n    "é"\n  ]\n}'


@pytest.mark.parametrize(
    ("text", "wanted_us"),
    [
        ("1970-01-01T00:00:00.000000Z", 0),
        ("1970-01-01T00:00:01.000007Z", 1_000_007),
        ("2026-03-01T12:30:15.999999Z", 1_772_368_215_999_999),
        ("8999-12-31T23:59:59.999999Z", 221_845_391_999_999_999),
    ],
)
def test_a_stored_time_is_read_to_the_microsecond_and_written_as_it_was(text: str, wanted_us: int) -> None:
    assert parse_time(text) == wanted_us
    assert format_time(wanted_us) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-03-01T12:30:15Z",
        "2026-03-01T12:30:15.99999Z",
        "2026-03-01T12:30:15.9999999Z",
        "2026-03-01T12:30:15.99999_Z",
        "2026-03-01T12:30:15.+99999Z",
        "2026-03-01T12:30:15.99999\uff19Z",
        "2026-03-01T12:30:15.999999z",
        "2026-03-01 12:30:15.999999Z",
        "2026-03-01T12:30:60.999999Z",
        "2026-02-29T12:30:15.999999Z",
        "2026-W10-7T12:30:15.999999Z",  # a week's day: it would not sort as a string
        "1969-12-31T23:59:59.999999Z",
        "9000-01-01T00:00:00.000000Z",
        "\u0662026-03-01T12:30:15.99999Z",
    ],
)
def test_a_time_in_any_other_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|second|day"):
        parse_time(text)


def test_what_is_kept_takes_no_more_memory_than_its_length() -> None:
    config = {"model": "m-1", "note": "x" * 100}
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = [canonical.encode_kept(config) for _ in range(1000)]
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert set(kept) == {b'{"model":"m-1","note":"' + b"x" * 100 + b'"}'}
    assert used < 1000 * 256


@pytest.mark.parametrize(
    ("texts", "are"),
    [
        ([], True),
        (["{}", '{"a":1}'], True),
        (["{}", "["], False),
        (["{}", ""], False),
        ([""], False),
        (["{}\n{}", ""], False),
        (["{}\n{}"], False),
        (["[]"], False),
        (["{} {}"], False),
        (["\ud800"], False),
    ],
)
def test_texts_are_objects_if_each_is_one(texts: list[str], are: bool) -> None:
    assert canonical.are_objects(texts) is are
