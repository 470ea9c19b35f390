"""Transcripts: a session of an agent, as a reader of its format understands the file.

A transcript is a list of entries, one per record of the file, and branches: which of them belong to the context, in order.
What an entry makes is a content or several (messages; none for what no model sees), and what the format says of it goes
into the generation config, the usage and the metadata.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from msgspec import Struct, field

from tract_fs.transcripts.source import Source
from tract_fs.transcripts.units import Flaw, Unit


class Entry(Struct):
    """One record of a session.

    `key` is the format's own id of it, unique in the file, else a name made of its position: what stays when the file grows. `contents`
    are what it brings to the context: contents of tract_fs, or provider messages as dicts, with the very objects of `value`
    where they are the same, so that these are stored once. `value` is the record, None if that is `raw` alone.
    """

    key: str
    value: Any
    contents: Sequence[object] = ()
    at_us: int | None = None  # microseconds since 1970, UTC
    config: dict[str, Any] | None = None  # the generation config that made it
    usage: object = None  # as TokenUsage.from_any takes it; of the response that ends here
    metadata: dict[str, Any] = field(default_factory=dict)  # to find it by: ids, directory, version
    covers: Sequence[int] = ()  # positions of the entries that its first content stands for, as a summary
    blobs: dict[str, bytes] = field(default_factory=dict)  # files that belong to it, by name
    raw: bytes | None = None
    is_joined: bool = False

    @classmethod
    def of(cls, unit: Unit, key: str, **fields: Any) -> Entry:
        """Returns the entry of a line."""
        return cls(key, unit.value, raw=unit.raw, is_joined=unit.is_joined, **fields)


class Branch(NamedTuple):
    """A line of entries, by position, from the first on."""

    name: str
    positions: Sequence[int]


class Transcript(Struct):
    """A session: its branches, the one that its program goes on with first, called main; and its entries, by position."""

    format: str
    id: str  # the session's own; empty if it has none
    branches: list[Branch]
    entry: Callable[[int], Entry]
    count: int  # of entries; those on no branch belong to the file alone
    title: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)  # of the session: its directory, its program
    flaws: list[Flaw] = field(default_factory=list)
    encoding: str = ""  # of a file that is not UTF-8


class Format(Protocol):
    """A module that knows one format; a new one is a file, and a line in `transcripts/__init__`."""

    NAME: str

    def matches(self, source: Source) -> bool:
        """Returns whether a file is of this format."""

    def read(self, source: Source) -> list[Transcript]:
        """Returns the sessions of a file."""
