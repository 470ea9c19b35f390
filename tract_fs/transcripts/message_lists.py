"""Message lists as sessions: request bodies, lists of messages or items, and responses, as JSON documents or JSON lines.

What is around the list, the request's system prompt, tools and parameters, is an entry of its own, before the messages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from tract_fs.model.fields import Fields, fields_of, picked, text_in
from tract_fs.transcripts.document import HEAD, assemble_document, encode_document, flaws_of, split_document
from tract_fs.transcripts.measures import time_us
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Branch, Entry, Keys, Transcript
from tract_fs.transcripts.units import Flaw, Unit, Units, checked_unit

LINES = "lines"  # the shape of a session that is a line a record, for the export
_LOOKED_AT = 50
_LINE_ENDINGS = (".jsonl", ".ndjson")
_NAMED = ("id", "call_id", "tool_call_id", "created", "created_at", "finish_reason", "stop_reason", "status")


class Parsed(Struct):
    """What a record is: its messages, the config and the usage of the response that it is, if it is one."""

    contents: list[Any]
    config: Fields | None = None
    usage: object = None


class Family(Struct, frozen=True):
    """How a provider's lists look.

    `keys` are where a body has its list; the three tests say whether a body, a list of records, or one record is of this
    provider; `parse` reads a record, `head` the contents of a body beside its list, and `config` its parameters.
    """

    name: str
    keys: tuple[str, ...]
    is_body: Callable[[Fields, list[Any]], bool]
    is_list: Callable[[list[Any]], bool]
    is_response: Callable[[Fields], bool]
    parse: Callable[[Any], Parsed]
    head: Callable[[Fields], list[Any]]
    config: tuple[str, ...]
    has_lines: bool = False  # a record a line is of this family, too


def is_of(source: Source, family: Family) -> bool:
    """Returns whether a file is of a family."""
    document = source.document
    if document is None or source.name.endswith(_LINE_ENDINGS):
        records: list[Any] = source.sample
        return _is_known(records, family) or (family.has_lines and bool(records) and family.is_list(records))
    if isinstance(document, list):
        return _is_known(document, family) or (bool(document) and family.is_list(document[:_LOOKED_AT]))
    is_alone = is_message(document) and len(source.units) > 1  # in one line it is of JSON lines
    return _is_known([document], family) or (is_alone and family.is_list([document]))


def read_as(source: Source, family: Family) -> list[Transcript]:
    """Returns the conversations of a file: one, or one for each request body, whose id ends with its number in the file."""
    document, is_clean = source.exact_document
    if document is None or source.name.endswith(_LINE_ENDINGS):
        return _read_lines(source, family)
    if isinstance(document, list) and document and _key(document[0], family) is not None:
        bodies = [(number, body, is_clean) for number, body in enumerate(document, 1)]
        return [_conversation(source, family, *body) for body in bodies]
    return [_conversation(source, family, 0, document, is_clean)]


def assemble_as(values: Sequence[Any], family: Family) -> bytes:
    """Returns the document of its first entry, which is without the list, and the others."""
    if not values or isinstance(values[0], list):
        return assemble_document(values[1:])
    key = _key(values[0], family)
    return encode_document(values[0]) if key is None else assemble_document(values, key)


def is_message(value: Any) -> bool:
    """Returns whether a record is a message with a role."""
    return isinstance(value, dict) and isinstance(value.get("role"), str) and bool(value["role"])


def blocks_of(messages: Sequence[Any]) -> list[Fields]:
    """Returns the blocks of messages whose content is a list."""
    contents = [fields_of(message).get("content") for message in messages]
    return [block for content in contents if isinstance(content, list) for block in content if isinstance(block, dict)]


def _key(body: Any, family: Family) -> str | None:
    """Returns where a body has its list; None for what is no body."""
    if not isinstance(body, dict) or is_message(body) or family.is_response(body):
        return None
    return next((key for key in family.keys if isinstance(body.get(key), list)), None)


def _is_known(records: Sequence[Any], family: Family) -> bool:
    """Returns whether records begin with a body or a response of a family."""
    first = records[0] if records else None
    if not isinstance(first, dict):
        return False
    key = _key(first, family)
    return family.is_response(first) if key is None else family.is_body(first, first[key][:_LOOKED_AT])


def _read_lines(source: Source, family: Family) -> list[Transcript]:
    units = source.units
    if not len(units) or _key(units[0].value, family) is None:
        shape = {"shape": LINES}
        return [_transcript(source, family, "", units, {}, metadata=shape, flaws=units.flaws())]
    found = []
    flaws = units.flaws()
    for number, unit in enumerate(units, 1):
        if _key(unit.value, family) is not None:
            found.append(_conversation(source, family, number, unit.value, True))
        elif not unit.flaw:
            flaws.append(Flaw(unit.line, "skipped", "no request body, as the lines before it are"))
    found[0].flaws += flaws
    return found


def _conversation(source: Source, family: Family, number: int, value: Any, is_clean: bool) -> Transcript:
    """Returns a conversation of a document or of a part of one; `number` is 0 for the one of a file."""
    key = _key(value, family)
    if isinstance(value, list):
        units = [Unit([], 0), *split_document(value, is_clean)]
    else:
        whole = [checked_unit(value, "the document", is_clean=is_clean)]
        units = whole if key is None else split_document(value, is_clean, key)
    stem = source.name.rpartition(".")[0] or source.name
    id_ = "" if not number else f"{stem}-{number}" if stem else str(number)
    return _transcript(source, family, id_, units, fields_of(value) if key is not None else {}, flaws=flaws_of(units))


def _transcript(
    source: Source,
    family: Family,
    id_: str,
    units: Sequence[Unit] | Units,
    body: Fields,
    *,
    flaws: list[Flaw],
    metadata: Fields | None = None,
) -> Transcript:
    is_lines = metadata is not None
    config = picked(body, *family.config)
    keys = Keys()
    names = [] if is_lines else [keys.of(fields_of(unit.value).get("id"), place) for place, unit in enumerate(units)]

    def entry(position: int) -> Entry:
        unit = units[position]
        is_head = position == 0 and not is_lines and (bool(body) or isinstance(unit.value, list))
        if is_head:
            return Entry.of(unit, key=HEAD, contents=family.head(unit.value) if body else [])
        found = family.parse(unit.value)
        record = fields_of(unit.value)
        is_made = any(fields_of(content).get("role") == "assistant" for content in found.contents)
        return Entry.of(
            unit,
            key=str(position + 1) if is_lines else names[position],
            contents=found.contents,
            at_us=time_us(record.get("created_at", record.get("created"))),
            config=found.config or (config if is_made else None),
            usage=found.usage,
            metadata={
                name: record[name]
                for name in _NAMED
                if type(record.get(name)) is int or 0 < len(text_in(record, name)) < _LOOKED_AT * 10
            },
        )

    return Transcript(
        format=family.name,
        id=id_,
        branches=[Branch("main", range(len(units)))],
        entry=entry,
        count=len(units),
        metadata=metadata or {},
        flaws=[*flaws, *keys.flaws],
        encoding=source.encoding,
    )
