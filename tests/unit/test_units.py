"""Units: the records of a file of lines, whatever state the file is in."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest

from tract_fs.transcripts import units
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.units import Flaw, Unit, Units


def read(data: bytes, *, is_growing: bool = False) -> list[Unit]:
    return list(Units(BytesIO(data), is_growing=is_growing))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"\n \n\r\n", []),
        (b'{"a":1}\n{"a":2}\n', [Unit({"a": 1}, 1), Unit({"a": 2}, 2)]),
        (b'{"a":1}\r\n\n{"a":2}', [Unit({"a": 1}, 1), Unit({"a": 2}, 3)]),
        (b'[1, "x", null]\n', [Unit([1, "x", None], 1)]),
        (b'{"a":1}{"b":2}\n', [Unit({"a": 1}, 1), Unit({"b": 2}, 1, is_joined=True)]),
        (b'{"a":18446744073709551615}\n', [Unit({"a": 18446744073709551615}, 1)]),
        (b'{"a":"\\ud83d\\ude00"}\n', [Unit({"a": "\U0001f600"}, 1)]),
    ],
    ids=["empty", "blank", "two", "crlf", "list", "two in a line", "64 bits", "a pair of surrogates"],
)
def test_clean_records_come_as_they_are(data: bytes, expected: list[Unit]) -> None:
    assert read(data) == expected


@pytest.mark.parametrize(
    ("data", "value", "flaw"),
    [
        (b'{"a":"\\ud800x"}', {"a": "\ufffdx"}, "a lone surrogate or a byte that is not UTF-8, now U+FFFD"),
        (b'{"\\udfff":1}', {"\ufffd": 1}, "a lone surrogate or a byte that is not UTF-8, now U+FFFD"),
        (b'{"a":"\xff"}', {"a": "\ufffd"}, "a lone surrogate or a byte that is not UTF-8, now U+FFFD"),
        (b'{"a":[18446744073709551616]}', {"a": ["18446744073709551616"]}, "an integer beyond 64 bits, now its digits"),
        (b'{"a":-9223372036854775809}', {"a": "-9223372036854775809"}, "an integer beyond 64 bits, now its digits"),
        (b'{"a":NaN}', {"a": "nan"}, "nan, which is no JSON number, now a text"),
        (
            b'\xef\xbb\xbf{"a":1}',
            {"a": 1},
            "NUL bytes, a byte order mark or another character that JSON does not allow",
        ),
        (b'\0\0\0{"a":1}\0', {"a": 1}, "NUL bytes, a byte order mark or another character that JSON does not allow"),
        (b'{"a":"x\ty"}', {"a": "x\ty"}, "NUL bytes, a byte order mark or another character that JSON does not allow"),
        (b"garbage", None, "not JSON, or torn"),
        (b'{"a":1', None, "not JSON, or torn"),
        (b"[" * 300 + b"]" * 300, None, "more than 190 arrays and objects deep"),
    ],
)
def test_what_is_not_clean_is_repaired_and_keeps_its_bytes(data: bytes, value: Any, flaw: str) -> None:
    found = Units(BytesIO(b'{"before":1}\n' + data + b'\n{"after":1}\n'))
    assert [unit.value for unit in found] == [{"before": 1}, value, {"after": 1}]
    assert found[1] == Unit(value, 2, data, flaw)
    assert found.flaws() == [Flaw(2, "kept" if value is None else "repaired", flaw)]


def test_a_record_and_a_torn_one_in_a_line_are_two() -> None:
    assert read(b'{"a":1}{"b":') == [Unit({"a": 1}, 1), Unit(None, 1, b'{"b":', "not JSON", is_joined=True)]


def test_a_long_text_is_cut_in_the_value_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "LONGEST_TEXT", 10)
    (found,) = read(b'{"a":"0123456789abc","b":"0123456789"}')
    assert found.value == {"a": "0123456789\n[3 characters left out]", "b": "0123456789"}
    assert found.raw == b'{"a":"0123456789abc","b":"0123456789"}'
    assert found.flaw == "a text of 13 characters, of which 10 are in the message"


def test_the_last_line_of_a_growing_file_waits_for_its_end() -> None:
    assert read(b'{"a":1}\n{"a":2}', is_growing=True) == [Unit({"a": 1}, 1)]
    assert Units(BytesIO(b'{"a":1}\n{"a":2}'), is_growing=True).has_rest
    assert not Units(BytesIO(b'{"a":1}\n'), is_growing=True).has_rest


def test_a_large_file_is_read_again_record_by_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "_KEPT_BYTES", 20)
    data = b'{"a":1}\n{"a":2}{"b":"\\ud800"}\n\n{"a":3}\nxyz\n'
    found = Units(BytesIO(data))
    assert found._kept is None
    assert [found[place] for place in (4, 2, 0, 1, 3)] == [
        Unit(None, 5, b"xyz", "not JSON, or torn"),
        Unit({"b": "\ufffd"}, 2, b'{"b":"\\ud800"}', "a lone surrogate or a byte that is not UTF-8, now U+FFFD", True),
        Unit({"a": 1}, 1),
        Unit({"a": 2}, 2),
        Unit({"a": 3}, 4),
    ]


def test_the_first_records_are_read_without_the_lines_behind_them() -> None:
    stream = BytesIO(b'{"a":1}\n{"a":2}{"a":3}\n{"a":4}\n')
    first = Units(stream, most=2)
    assert ([unit.value["a"] for unit in first], first.is_whole) == ([1, 2, 3], False)
    whole = Units(stream, most=5)
    assert ([unit.value["a"] for unit in whole], whole.is_whole) == ([1, 2, 3, 4], True)


class CountedStream(BytesIO):
    """A stream that counts the lines that are read from it."""

    lines = 0

    def __next__(self) -> bytes:
        line = super().__next__()
        self.lines += 1
        return line


def test_a_sample_reads_few_lines_of_a_long_file_and_a_short_one_once() -> None:
    stream = CountedStream(b'{"a":1}\n' * 1000)
    source = Source(stream)
    assert (len(source.sample), stream.lines) == (50, 50)
    assert (len(source.units), stream.lines) == (1000, 1050)
    stream = CountedStream(b'{"a":1}\n' * 3)
    source = Source(stream)
    assert (len(source.sample), len(source.units), stream.lines) == (3, 3, 3)
