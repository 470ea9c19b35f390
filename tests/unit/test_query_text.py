"""The text of queries: what it means, that it is stable, and where what can't be understood is shown."""

from __future__ import annotations

import json
import random

import pytest

from tests.lab.queries import random_query
from tract_fs import Expression, facet, field
from tract_fs.errors import ArgumentError, QueryError, TractError
from tract_fs.model.query_text import parse_query

MEANINGS: list[tuple[str, Expression, str]] = [
    ("temperature > 0.5", field("temperature") > 0.5, "temperature > 0.5"),
    ('model="gpt-4o"', field("model") == "gpt-4o", 'model = "gpt-4o"'),
    ("model == 'gpt-4o'", field("model") == "gpt-4o", 'model = "gpt-4o"'),
    ('stop[0] = "\\n"', field("stop", 0) == "\n", 'stop[0] = "\\n"'),
    ("'response_format'.type != null", field("response_format", "type") != None, "response_format.type != null"),  # noqa: E711
    ('logit_bias."50256" <= -100', field("logit_bias", "50256") <= -100, 'logit_bias."50256" <= -100'),
    ('"a.b" = 1', field("a.b") == 1, '"a.b" = 1'),
    ('"And" is SET', field("And").is_set(), '"And" is set'),
    ('"@branch" is set', field("@branch").is_set(), '"@branch" is set'),
    ("top-p is not set", field("top-p").is_unset(), "top-p is unset"),
    ("top_p is not unset", field("top_p").is_set(), "top_p is set"),
    ("stream = TRUE", field("stream") == True, "stream = true"),  # noqa: E712
    ("n in (1, 2.0,'x')", field("n").in_([1, 2.0, "x"]), 'n in (1, 2.0, "x")'),
    ("n in ()", field("n").in_([]), "n in ()"),
    ("n not in (1)", ~field("n").in_([1]), "not n in (1)"),
    ("n between 1 and 2 and m > 3", field("n").between(1, 2) & (field("m") > 3), "n between 1 and 2 and m > 3"),
    ("model starts with 'gpt'", field("model").startswith("gpt"), 'model starts with "gpt"'),
    ("stop contains 'END'", field("stop").contains("END"), 'stop contains "END"'),
    ("n < 1e999", field("n") < float("inf"), "n < 1e999"),
    ("n > -1e999", field("n") > -float("inf"), "n > -1e999"),
    (
        "n = 123456789012345678901234567890",
        field("n") == 123456789012345678901234567890,
        "n = 123456789012345678901234567890",
    ),
    ("n[18446744073709551615] = 1", field("n", 2**64 - 1) == 1, "n[18446744073709551615] = 1"),
    ('s = "\\u00e9\\ud83d\\ude00\\/"', field("s") == "é😀/", 's = "é😀/"'),
    ("a=1 or b=2 and c=3", (field("a") == 1) | ((field("b") == 2) & (field("c") == 3)), "a = 1 or b = 2 and c = 3"),
    ("(a=1 or b=2) and c=3", ((field("a") == 1) | (field("b") == 2)) & (field("c") == 3), "(a = 1 or b = 2) and c = 3"),
    ("a=1 and (b=2 and c=3)", (field("a") == 1) & (field("b") == 2) & (field("c") == 3), "a = 1 and b = 2 and c = 3"),
    ("not a=1 and b=2", ~(field("a") == 1) & (field("b") == 2), "not a = 1 and b = 2"),
    ("not (a=1 and b=2)", ~((field("a") == 1) & (field("b") == 2)), "not (a = 1 and b = 2)"),
    ("not not a=1", field("a") == 1, "a = 1"),
    ('@branch = "main"', facet("branch") == "main", '@branch = "main"'),
    ("@usage.prompt_tokens >= 100", facet("usage", "prompt_tokens") >= 100, "@usage.prompt_tokens >= 100"),
    ("@metadata.user.name = 'ann'", facet("metadata", "user", "name") == "ann", '@metadata.user.name = "ann"'),
    (
        "@time >= '2026-01-02T03:00+02:00'",
        facet("time") >= "2026-01-02T01:00:00",
        '@time >= "2026-01-02T01:00:00.000000Z"',
    ),
]
FAULTS: list[tuple[str, int, str]] = [
    ("", 0, "expected a field, but it ends"),
    ("model", 5, "expected =, !=, <, <=, >, >=, is, in, between, starts with or contains, but it ends"),
    ("model = gpt-4o", 8, 'expected a value (write text in quotes: "gpt-4o"), but it has gpt-4o'),
    ("temperature > and x = 1", 14, 'expected a value (write text in quotes: "and"), but it has and'),
    ("a = 1 b = 2", 6, "expected and, or, or the end, but it has b"),
    ("(a = 1", 6, "expected ), but it ends"),
    ("a = 1)", 5, "expected and, or, or the end, but it has )"),
    ('a = "x', 4, "the text in quotes has no end"),
    ("a = $b", 4, "a character of no query"),
    ('a = "\\x"', 5, "\\x is no escape of JSON"),
    ('a = "\\ud83d"', 4, "the text has half a surrogate pair"),
    ("a = 1.", 4, "a character of no query"),
    ("a = 12ab", 4, "a character of no query"),
    ("a is empty", 5, "expected set or unset, but it has empty"),
    ("a in 1", 5, "expected (, but it has 1"),
    ("a in (1 2)", 8, "expected ,, but it has 2"),
    ("a not 1", 6, "expected in, but it has 1"),
    ("a is not null", 9, "expected set or unset (compare with null by = or !=), but it has null"),
    (f"stop[{2**64}] = 1", 0, "an integer beyond 64 bits"),
    ("stop[123456789012345678901] = 1", 5, "expected an index from 0"),
    ("a between 1 or 2", 12, "expected and, but it has or"),
    ("a between 1 and 'x'", 2, "between is for numbers or strings, not 1 and 'x'"),
    ("a starts 'x'", 9, "expected with, but it has 'x'"),
    ("a > true", 2, "> is for numbers or strings, not True"),
    ("stop[-1] = 1", 5, "expected an index from 0, but it has -1"),
    ("stop[x] = 1", 5, "expected an index from 0, but it has x"),
    ("and = 1", 0, "expected a field, but it has and"),
    ("a = 1 and @brnch = 'x'", 10, "there is no facet 'brnch'"),
    ("@operation = 'apend'", 11, "operation 'apend': use one of append, edit, annotate, merge, summarize"),
    ("@tokens = '8'", 8, "@tokens is a number, and never equals '8'"),
    ("@time > 'now'", 6, "time 'now': write it like 2026-01-02"),
    ("a = 1 and\nb", 11, "but it ends"),
    (f"a = {'9' * 5000}", 4, "a number of too many digits"),
    (f"a = {'9' * 4000}", 2, "a number of 13288 bits"),
    ("(" * 200 + "a = 1" + ")" * 200, 101, "over 100 expressions deep"),
    ("not " * 20_000, 404, "over 100 expressions deep"),
    ("a" * 100_001, 100_000, "over 100000 characters"),
]


@pytest.mark.parametrize(("text", "expression", "again"), MEANINGS)
def test_a_text_means_the_expression_and_is_stable(text: str, expression: Expression, again: str) -> None:
    parsed = parse_query(text)
    assert parsed == expression
    assert str(parsed) == again
    assert (parse_query(again), str(parse_query(again))) == (parsed, again)


@pytest.mark.parametrize("seed", range(20))
def test_random_expressions_are_stable_as_text(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(50):
        query = random_query(rng, depth=4)
        assert parse_query(query.text) == query.expression, query.text
        assert parse_query(str(query.expression)) == query.expression
        assert str(parse_query(str(query.expression))) == str(query.expression)


@pytest.mark.parametrize(("text", "position", "reason"), FAULTS, ids=range(len(FAULTS)))
def test_what_can_not_be_understood_is_an_error_with_its_place(text: str, position: int, reason: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_query(text)
    error = caught.value
    assert isinstance(error, (ArgumentError, ValueError)) and isinstance(error, TractError)
    assert (error.position, error.text) == (position, text)
    assert reason in error.reason
    assert len(str(error)) < 600 + len(error.reason)


def test_the_caret_is_below_the_character() -> None:
    with pytest.raises(QueryError) as caught:
        parse_query("temperature > and model = 'x'")
    assert str(caught.value).split("\n") == [
        'can\'t understand the query: expected a value (write text in quotes: "and"), but it has and, at character 15',
        "  temperature > and model = 'x'",
        "                ^",
    ]


def test_the_caret_is_below_the_character_behind_wide_ones_and_accents() -> None:
    with pytest.raises(QueryError) as caught:
        parse_query("a = '谢谢e\u0301' $")  # 2 + 2 + 1 columns between the quotes, for four characters
    assert str(caught.value).split("\n")[1:] == ["  a = '谢谢e\u0301' $", f"{' ' * 14}^"]


def test_the_caret_of_a_long_query_is_below_the_character_in_an_excerpt() -> None:
    text = f"{'a = 1 or ' * 100}b = $ or {'c = 2 or ' * 100}d\x1b[31m = 3"
    with pytest.raises(QueryError) as caught:
        parse_query(text)
    _, line, mark = str(caught.value).split("\n")
    assert line[mark.index("^")] == "$"
    assert len(line) == 122


def test_an_excerpt_has_no_characters_that_a_terminal_obeys() -> None:
    with pytest.raises(QueryError) as caught:
        parse_query("a = \x1b[31m\u202e\n1")
    assert str(caught.value).split("\n")[1:] == ["  a =  [31m  1", "      ^"]
    with pytest.raises(QueryError, match="but it has 'a  b', at") as caught:
        parse_query("a = 1 'a\n\x1bb'")
    assert len(str(caught.value).split("\n")) == 3


def test_random_bytes_are_an_expression_or_an_error() -> None:
    rng = random.Random(5)
    parts = [
        "a",
        " ",
        "=",
        "(",
        ")",
        "and",
        "or",
        "not",
        '"x"',
        "1",
        ".",
        "[",
        "]",
        "@",
        "is",
        "in",
        ",",
        "\\",
        "'",
        "set",
        "é",
        "\x00",
    ]
    for _ in range(5000):
        text = "".join(rng.choice(parts) for _ in range(rng.randrange(12)))
        try:
            expression = parse_query(text)
        except QueryError as error:
            assert 0 <= error.position <= len(text)
        else:
            assert parse_query(str(expression)) == expression


def test_a_key_of_any_characters_is_stable() -> None:
    for key in ("", " ", '"', "\\", "\n", "é", "a b", "NOT", "a[0]", "50256", "\u2028"):
        text = str(field(key) == json.dumps(key))
        assert parse_query(text) == (field(key) == json.dumps(key)), text
