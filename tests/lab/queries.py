"""Random queries: each as an expression, as a text in a spelling of its own, and as a plain predicate over facts that the test has.

Nothing of the package decides here what matches.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any, NamedTuple

from tract_fs import Expression, facet, field

Facts = dict[str, Any]  # "config" and, by facet, the list of its values
Predicate = Callable[[Facts], bool]
PATHS: list[tuple[Any, ...]] = [
    ("temperature",),
    ("model",),
    ("stop",),
    ("stop", 0),
    ("stop", 1),
    ("response_format", "type"),
    ("response_format",),
    ("stream",),
    ("odd key.x",),
    ("and",),
    ("absent",),
    ("", "é", 0),
    ("", "é", 1, "null"),
    ("Not", "50256"),
    ("stop", "0"),
]
VALUES: list[Any] = [
    0,
    1,
    0.5,
    1.0,
    -1,
    2**53 + 1,
    float(2**53),
    2**64 - 1,
    2**70,
    -(10**40),
    1e308,
    -0.0,
    float("inf"),
    1e-7,
    "1",
    "true",
    "null",
    "gpt-4o",
    "gpt",
    "o3",
    "",
    "\n",
    "a\"\\'b",
    "END",
    "é€😀",
    "\u2028\x00",
    "e\u0301",
    True,
    False,
    None,
]
FACETS: dict[str, list[Any]] = {
    "branch": ["main", "side", "nowhere"],
    "tag": ["v1", "v2"],
    "tract": ["one", "two"],
    "type": ["dialogue", "output", "instruction"],
    "role": ["user", "assistant", "system"],
    "operation": ["append", "edit", "annotate", "merge", "summarize"],
    "text": ["refund", "hello refund", "hello 3", ""],
    "day": ["2026-01-01", "2026-01-02"],
    "time": ["2026-01-02T03:04:10.000006Z", "2026-01-02T03:04:30Z", "2026-01-02"],
    "tokens": [0, 5, 6, 8],
}
COUNTS = ["prompt_tokens", "completion_tokens", "cache_read_tokens"]
METADATA: list[tuple[Any, ...]] = [("run",), ("user", "name"), ("tags", 0)]


class Query(NamedTuple):
    """One condition, three times."""

    expression: Expression
    text: str
    predicate: Predicate
    level: int = 2  # how tightly the text binds: 0 `or`, 1 `and`, 2 all else


def random_query(rng: random.Random, depth: int = 3) -> Query:
    """Returns a random query."""
    kind = rng.choice(["one", "one", "and", "or", "not"]) if depth else "one"
    if kind == "one":
        return _comparison(rng)
    first = random_query(rng, depth - 1)
    if kind == "not":
        text = f"{_cased(rng, 'not')} {_bound(rng, first, 2)}"
        return Query(~first.expression, text, lambda facts: not first.predicate(facts))
    second, level = random_query(rng, depth - 1), 1 if kind == "and" else 0
    space = rng.choice(" \t\n")
    text = f"{_bound(rng, first, level)}{space}{_cased(rng, kind)} {_bound(rng, second, level)}"
    if kind == "and":
        return Query(
            first.expression & second.expression,
            text,
            lambda facts: first.predicate(facts) and second.predicate(facts),
            level,
        )
    return Query(
        first.expression | second.expression,
        text,
        lambda facts: first.predicate(facts) or second.predicate(facts),
        level,
    )


def _bound(rng: random.Random, query: Query, level: int) -> str:
    """Returns the text of a part of a condition, in parentheses where it needs them, and now and then where not."""
    return f"( {query.text}\t)" if query.level < level or rng.random() < 0.3 else query.text


def _comparison(rng: random.Random) -> Query:
    is_time = False
    if rng.random() < 0.6:
        path = rng.choice(PATHS)
        source, name, values = field(*path), _path_text(rng, path), VALUES

        def read(facts: Facts) -> list[Any]:
            return follow(facts["config"], path)
    elif rng.random() < 0.7:
        key = rng.choice(list(FACETS))
        is_time = key == "time"
        source, name, values = facet(key), f"@{key}", FACETS[key]

        def read(facts: Facts) -> list[Any]:
            return list(facts[key])
    elif rng.random() < 0.5:
        count = rng.choice(COUNTS)
        source, name, values = facet("usage", count), f"@usage.{count}", [0, 14, 20, 100.5]

        def read(facts: Facts) -> list[Any]:
            return [] if facts["usage"] is None else [facts["usage"][count]]
    else:
        path = rng.choice(METADATA)
        source, name, values = facet("metadata", *path), "@metadata." + _path_text(rng, path), [7, "ann", "x", True]

        def read(facts: Facts) -> list[Any]:
            return follow(facts["metadata"], path)

    return _compared(rng, source, name, values, read, is_time=is_time)


def _compared(
    rng: random.Random, source: Any, name: str, values: list[Any], read: Callable[[Facts], list[Any]], *, is_time: bool
) -> Query:
    one, two = rng.choice(values), rng.choice(values)
    ordered = [value for value in values if isinstance(value, str) or (type(value) in (int, float))]
    strings = [value for value in values if isinstance(value, str)]
    operator = rng.choice(
        ["=", "!=", "<", "<=", ">", ">=", "set", "unset", "in", "not in", "between", "starts", "contains"]
    )
    if operator in ("starts", "contains") and not strings:
        operator = "="

    def meant(value: Any) -> Any:
        if not is_time:
            return value
        whole = value if "T" in value else f"{value}T00:00:00Z"
        return whole if "." in whole else whole.replace("Z", ".000000Z")

    if operator == "set":
        return Query(source.is_set(), f"{name} {_cased(rng, 'is')} set", lambda facts: bool(read(facts)))
    if operator == "unset":
        said = rng.choice(["is unset", "is not set"])
        return Query(source.is_unset(), f"{name} {said}", lambda facts: not read(facts))
    if operator in ("in", "not in"):
        some = rng.sample(values, rng.randrange(len(values)))
        text = f"{name} {operator} ({', '.join(_value_text(rng, value) for value in some)})"
        expression = source.in_(some)
        wanted = [meant(value) for value in some]
        if operator == "in":
            return Query(expression, text, lambda facts: any(equal(v, w) for v in read(facts) for w in wanted))
        return Query(~expression, text, lambda facts: not any(equal(v, w) for v in read(facts) for w in wanted))
    if operator == "between":
        low = rng.choice(ordered)
        high = rng.choice([value for value in ordered if isinstance(value, str) == isinstance(low, str)])
        text = f"{name} between {_value_text(rng, low)} and {_value_text(rng, high)}"
        ends = meant(low), meant(high)
        return Query(
            source.between(low, high),
            text,
            lambda facts: any(alike(v, ends[0]) and ends[0] <= v <= ends[1] for v in read(facts)),
        )
    if operator == "starts":
        start = rng.choice(strings)[:2]
        return Query(
            source.startswith(start),
            f"{name} starts  with {_value_text(rng, start)}",
            lambda facts: any(isinstance(v, str) and v[: len(start)] == start for v in read(facts)),
        )
    if operator == "contains":
        part = rng.choice(strings)[:3]
        return Query(
            source.contains(part),
            f"{name} contains {_value_text(rng, part)}",
            lambda facts: any(
                (isinstance(v, str) and v.find(part) >= 0) or (isinstance(v, list) and any(equal(e, part) for e in v))
                for v in read(facts)
            ),
        )
    if operator not in ("=", "!="):
        one = rng.choice(ordered)
    two = meant(one)
    text = f"{name}{rng.choice(['', ' '])}{'==' if operator == '=' and rng.random() < 0.3 else operator} {_value_text(rng, one)}"
    if operator == "=":
        return Query(source == one, text, lambda facts: any(equal(v, two) for v in read(facts)))
    if operator == "!=":
        return Query(
            source != one,
            text,
            lambda facts: any(alike(v, two) for v in read(facts)) and not any(equal(v, two) for v in read(facts)),
        )
    if operator == "<":
        return Query(source < one, text, lambda facts: any(alike(v, two) and v < two for v in read(facts)))
    if operator == "<=":
        return Query(source <= one, text, lambda facts: any(alike(v, two) and v <= two for v in read(facts)))
    if operator == ">":
        return Query(source > one, text, lambda facts: any(alike(v, two) and v > two for v in read(facts)))
    return Query(source >= one, text, lambda facts: any(alike(v, two) and v >= two for v in read(facts)))


def follow(value: Any, path: tuple[Any, ...]) -> list[Any]:
    """Returns what is at a path of a JSON value, in a list; an empty list if nothing is."""
    try:
        for key in path:
            if isinstance(value, list) != isinstance(key, int):
                return []
            value = value[key]
    except (KeyError, IndexError, TypeError):
        return []
    return [value]


def alike(value: Any, wanted: Any) -> bool:
    """Returns whether two values are of one type of JSON."""
    if isinstance(value, bool) or isinstance(wanted, bool):
        return isinstance(value, bool) and isinstance(wanted, bool)
    if isinstance(value, (int, float)):
        return isinstance(wanted, (int, float))
    return isinstance(value, str) and isinstance(wanted, str)


def equal(value: Any, wanted: Any) -> bool:
    """Returns whether two values are equal in JSON."""
    return (value is None and wanted is None) or (alike(value, wanted) and bool(value == wanted))


def _path_text(rng: random.Random, path: tuple[Any, ...]) -> str:
    def key_text(key: str) -> str:
        is_plain = key.isidentifier() and key.isascii() and key.lower() not in ("and", "not", "null")
        return key if is_plain and rng.random() < 0.8 else json.dumps(key)

    return key_text(path[0]) + "".join(f"[{key}]" if isinstance(key, int) else f".{key_text(key)}" for key in path[1:])


def _value_text(rng: random.Random, value: Any) -> str:
    if value == float("inf"):
        return "1e999"
    if not isinstance(value, str) or rng.random() < 0.5:
        return json.dumps(value, ensure_ascii=rng.random() < 0.5)
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _cased(rng: random.Random, word: str) -> str:
    return rng.choice([word, word.upper(), word.title()])
