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

MOST_LEFT = 200  # branches of what a session left; what it leaves later is hidden in its place, since each costs a walk


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
    usage_of: int | None = None  # position of the response's first entry, which gets the usage, where it has several
    metadata: dict[str, Any] = field(default_factory=dict)  # to find it by: ids, directory, version
    covers: Sequence[int] = ()  # positions of the entries that its first content stands for, as a summary
    blobs: dict[str, bytes] = field(default_factory=dict)  # files that belong to it, by name
    raw: bytes | None = None
    is_joined: bool = False
    file: str = ""  # beside the session's own that it is of, without its ending; exported apart
    place: int | None = None  # in that file, where it is not the position

    @classmethod
    def of(cls, unit: Unit, key: str, *, config: dict[str, Any] | None = None, **fields: Any) -> Entry:
        """Returns the entry of a line; an empty config is none."""
        return cls(key, unit.value, config=config or None, raw=unit.raw, is_joined=unit.is_joined, **fields)


class Keys:
    """The keys of a file's entries: each once, whatever ids the file has."""

    def __init__(self) -> None:
        self.flaws: list[Flaw] = []
        self._used: dict[str, int] = {}

    def of(self, id_: object, position: int, line: int = 0, *, is_expected: bool = False) -> str:
        """Returns the key for an id; for the second use of one, a key made of it; without an id, one of the position.

        A second use is a flaw, unless it `is_expected`.
        """
        wanted = id_ if isinstance(id_, str) and id_ else f"@{position}"
        count = self._used.get(wanted, 0) + 1
        self._used[wanted] = count
        if count == 1:
            return wanted
        if not is_expected:
            self.flaws.append(Flaw(line, "noted", f"the id {wanted[:60]!r} is used {count} times"))
        key = f"{wanted}#{count}"
        while key in self._used:
            key += "#"
        self._used[key] = 1
        return key


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
    """A module that knows one format. It may also have, where its files allow that:

    - `assemble(values) -> bytes`: the file of a document's records; without it, an export has a record a line.
    - `check(source) -> SessionCheck` and `write(context) -> ResumeFile`; see `resume`.
    """

    NAME: str

    def matches(self, source: Source) -> bool:
        """Returns whether a file is of this format."""

    def read(self, source: Source) -> list[Transcript]:
        """Returns the sessions of a file."""
