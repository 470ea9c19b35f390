"""Documents: a session in one JSON value, whose messages are an array in it, as units: the rest of it first, then each message."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tract_fs.errors import JsonValueError
from tract_fs.model import canonical
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.units import Flaw, Unit, checked_unit

HEAD = "document"  # the key of the rest, the first entry


def document_units(source: Source, *path: str) -> list[Unit]:
    """Returns the document without its array at `path`, which is empty there, and the elements of that.

    Of a document that is an array itself, by an empty path, the elements alone.
    """
    return split_document(*source.exact_document, *path)


def split_document(document: Any, is_clean: bool, /, *path: str) -> list[Unit]:
    """Returns the same of a JSON value; `is_clean`: it can be stored as it stands."""
    elements = document
    for key in path:
        elements = elements.get(key) if isinstance(elements, dict) else None
    head = [_replaced(document, path, [])] if path else []
    found = [checked_unit(part, "the document", is_clean=is_clean) for part in head]
    name = path[-1] if path else "element "
    for number, element in enumerate(elements if isinstance(elements, list) else []):
        found.append(checked_unit(element, f"{name}[{number}]", is_clean=is_clean))
    return found


def flaws_of(units: Sequence[Unit]) -> list[Flaw]:
    """Returns what was not right in the parts of a document."""
    return [Flaw(0, "repaired", unit.flaw) for unit in units if unit.flaw]


def assemble_document(values: Sequence[Any], *path: str) -> bytes:
    """Returns the document of its rest and its elements, as one line."""
    head, elements = (values[0], list(values[1:])) if path and values else ([], list(values))
    return encode_document(_replaced(head, path, elements))


def encode_document(document: Any) -> bytes:
    """Returns a JSON value as a file of one line."""
    try:
        return canonical.encode(document, name="document") + b"\n"
    except JsonValueError:  # it holds what was repaired in the messages, and comes back as it was
        return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _replaced(document: Any, path: Sequence[str], elements: list[Any]) -> Any:
    """Returns a document with another array at a path; as it is where it has none there."""
    if not path:
        return elements if isinstance(document, list) else document
    if not isinstance(document, dict) or path[0] not in document:
        return document
    return {**document, path[0]: _replaced(document[path[0]], path[1:], elements)}
