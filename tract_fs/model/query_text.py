"""The text of queries: `temperature > 0.5 and model = "gpt-4o"` is `(field("temperature") > 0.5) & (field("model") == "gpt-4o")`.

    either     = both ("or" both)*
    both       = one ("and" one)*
    one        = "not" one | "(" either ")" | source test
    source     = ["@"] key ("." key | "[" index "]")*      @ before a facet; a key is a word, or quoted
    test       = ("=" | "!=" | "<" | "<=" | ">" | ">=") value | "is" ["not"] ("set" | "unset")
               | ["not"] "in" "(" [value ("," value)*] ")" | "between" value "and" value
               | "starts" "with" value | "contains" value
    value      = number | "true" | "false" | "null" | string: in " or ', with the escapes of JSON

Words are read in any case. What can't be understood is a QueryError with its position.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from msgspec import Struct

from tract_fs.errors import ArgumentError, QueryError
from tract_fs.model.config_query import Scalar
from tract_fs.model.query import KEYWORDS, MAX_DEPTH, Both, Either, Expression, Field, Source, comparison, joined

MAX_CHARACTERS = 100_000
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"""|(?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_.]))"""
    r"""|(?P<word>[A-Za-z_][A-Za-z0-9_-]*)|(?P<mark>==|!=|<=|>=|[=<>@().,\[\]]))""",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\", "/": "/"}
_OPERATORS = {"==": "=", **{mark: mark for mark in ("=", "!=", "<", "<=", ">", ">=")}}
_CONSTANTS = {"true": True, "false": False, "null": None}
_T = TypeVar("_T")
_AROUND = 60  # characters shown on each side of a fault
_MOST_DIGITS = 20  # of an index: those of 2^64


class _Token(Struct, frozen=True):
    """A part of the text: its kind, the text itself, and where it starts."""

    kind: str  # string, number, word, mark; end
    text: str
    position: int


def parse_query(text: object) -> Expression:
    """Returns the expression of a text. Errors: QueryError; ArgumentError if it is no text."""
    parser = _Parser(text)
    found = parser.either(0)
    parser.require_end("and, or, or the end")
    return found


def parse_source(text: object) -> Field:
    """Returns the field or facet of a text, as `response_format.type` or `@branch`. Errors: as `parse_query`."""
    parser = _Parser(text)
    found = parser.source()
    parser.require_end("the end")
    return Field(found)


class _Parser:
    """Reads one text, token by token."""

    def __init__(self, text: object) -> None:
        if type(text) is not str:
            raise ArgumentError(f"query {text!r}: give an expression, or its text")
        self._text = text
        if len(text) > MAX_CHARACTERS:
            raise self._error(MAX_CHARACTERS, f"over {MAX_CHARACTERS} characters")
        self._tokens = self._read()
        self._next = next(self._tokens)

    def either(self, depth: int) -> Expression:
        """Returns the next condition, with all that `or` joins."""
        return self._joined(Either, "or", lambda: self._joined(Both, "and", lambda: self._one(depth)))

    def source(self) -> Source:
        """Returns the next field or facet."""
        start = self._next.position
        is_facet = self._take_mark("@")
        path: list[str | int] = [self._key("the name of a facet" if is_facet else "a field")]
        while True:
            if self._take_mark("."):
                path.append(self._key("a key"))
            elif self._take_mark("["):
                token = self._next
                if token.kind != "number" or not token.text.isdigit() or len(token.text) > _MOST_DIGITS:
                    raise self._expected("an index from 0")
                self._go_on()
                path.append(int(token.text))
                self._require_mark("]")
            else:
                return self._checked(start, lambda: Source.of(tuple(path), is_facet=is_facet))

    def require_end(self, expected: str) -> None:
        """Raises QueryError unless all is read."""
        if self._next.kind != "end":
            raise self._expected(expected)

    def _joined(self, kind: type[Both] | type[Either], word: str, read: Callable[[], Expression]) -> Expression:
        start = self._next.position
        parts = [read()]
        while self._take_word(word):
            parts.append(read())
        return parts[0] if len(parts) == 1 else self._checked(start, lambda: joined(kind, parts))

    def _one(self, depth: int) -> Expression:
        start = self._next.position
        if depth > MAX_DEPTH:
            raise self._error(start, f"over {MAX_DEPTH} expressions deep")
        if self._take_word("not"):
            return self._checked(start, lambda: ~self._one(depth + 1))
        if self._take_mark("("):
            found = self.either(depth + 1)
            self._require_mark(")")
            return found
        return self._comparison()

    def _comparison(self) -> Expression:
        source, token = self.source(), self._next
        operator = _OPERATORS.get(token.text) if token.kind == "mark" else None
        values: list[Scalar] = []
        is_not = False
        if operator is not None:
            self._go_on()
            values = [self._value()]
        elif self._take_word("is"):
            opposite = {"set": "unset", "unset": "set"} if self._take_word("not") else {}
            if self._is_word("null"):
                raise self._expected("set or unset (compare with null by = or !=)")
            found = self._require_word("set", "unset")
            operator = f"is {opposite.get(found, found)}"
        elif self._take_word("between"):
            operator, values = "between", [self._value()]
            self._require_word("and")
            values.append(self._value())
        elif self._take_word("starts"):
            self._require_word("with")
            operator, values = "starts with", [self._value()]
        elif self._take_word("contains"):
            operator, values = "contains", [self._value()]
        else:
            is_not = self._take_word("not")
            if not self._take_word("in"):
                raise self._expected(
                    "in" if is_not else "=, !=, <, <=, >, >=, is, in, between, starts with or contains"
                )
            operator, values = "in", self._list()
        made: Expression = self._checked(token.position, lambda: comparison(source, operator, *values))
        return ~made if is_not else made

    def _list(self) -> list[Scalar]:
        self._require_mark("(")
        values: list[Scalar] = []
        while not self._take_mark(")"):
            if values:
                self._require_mark(",")
            values.append(self._value())
        return values

    def _value(self) -> Scalar:
        token = self._next
        if token.kind == "string":
            value: Scalar = self._string(token)
        elif token.kind == "number":
            try:
                value = int(token.text) if token.text.lstrip("-").isdigit() else float(token.text)
            except ValueError:
                raise self._error(token.position, "a number of too many digits") from None
        elif token.kind == "word" and token.text.lower() in _CONSTANTS:
            value = _CONSTANTS[token.text.lower()]
        elif token.kind == "word":
            raise self._expected(f'a value (write text in quotes: "{token.text}")')
        else:
            raise self._expected('a value: a number, a "text", true, false or null')
        self._go_on()
        return value

    def _key(self, expected: str) -> str:
        token = self._next
        if token.kind == "string":
            key = self._string(token)
        elif token.kind == "word" and token.text.lower() not in KEYWORDS:
            key = token.text
        else:
            raise self._expected(expected)
        self._go_on()
        return key

    def _string(self, token: _Token) -> str:
        def unescape(match: re.Match[str]) -> str:
            code = match[1]
            if len(code) == 5:
                return chr(int(code[1:], 16))
            if code not in _ESCAPED:
                raise self._error(token.position + 1 + match.start(), f"\\{code} is no escape of JSON")
            return _ESCAPED[code]

        whole = _ESCAPE.sub(unescape, token.text[1:-1])
        try:
            return whole.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise self._error(token.position, "the text has half a surrogate pair") from None

    def _is_word(self, word: str) -> bool:
        return self._next.kind == "word" and self._next.text.lower() == word

    def _take_word(self, word: str) -> bool:
        is_next = self._is_word(word)
        if is_next:
            self._go_on()
        return is_next

    def _require_word(self, *words: str) -> str:
        for word in words:
            if self._take_word(word):
                return word
        raise self._expected(" or ".join(words))

    def _take_mark(self, mark: str) -> bool:
        is_next = self._next.kind == "mark" and self._next.text == mark
        if is_next:
            self._go_on()
        return is_next

    def _require_mark(self, mark: str) -> None:
        if not self._take_mark(mark):
            raise self._expected(mark)

    def _go_on(self) -> None:
        self._next = next(self._tokens)

    def _read(self) -> Iterator[_Token]:
        position, end = 0, len(self._text.rstrip())
        while position < end:
            match = _TOKEN.match(self._text, position)
            if match is None:
                start = position + len(self._text[position:]) - len(self._text[position:].lstrip())
                is_open = self._text[start] in "\"'"
                raise self._error(start, "the text in quotes has no end" if is_open else "a character of no query")
            kind = match.lastgroup or ""
            yield _Token(kind, match[kind], match.start(kind))
            position = match.end()
        while True:
            yield _Token("end", "", end)

    def _checked(self, position: int, make: Callable[[], _T]) -> _T:
        try:
            return make()
        except QueryError:
            raise
        except ArgumentError as error:
            raise self._error(position, str(error)) from None

    def _expected(self, what: str) -> QueryError:
        found = "it ends" if self._next.kind == "end" else f"it has {_printable(self._next.text[:_AROUND])}"
        return self._error(self._next.position, f"expected {what}, but {found}")

    def _error(self, position: int, reason: str) -> QueryError:
        first = max(0, position - _AROUND)
        shown = _printable(self._text[first : position + _AROUND])
        return QueryError(
            text=self._text,
            position=position,
            number=position + 1,
            reason=reason,
            line=f"  {shown}",
            mark=f"  {' ' * _columns(shown[: position - first])}^",
        )


def _columns(text: str) -> int:
    """Returns how many columns of a terminal a text has (Unicode, UAX 11): a wide character has two, an accent none."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width  # 1 ms

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
