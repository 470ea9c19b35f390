"""Sources: a session file, as a reader of a format gets it, and the files beside it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, BinaryIO, Self

from tract_fs.errors import JsonValueError
from tract_fs.model import canonical
from tract_fs.transcripts.units import Units, repaired

_SAMPLE = 50
_SHOWN_KEYS = 12


class Source:
    """One file: as lines (`units`), or as one JSON document."""

    def __init__(
        self,
        stream: BinaryIO,
        name: str = "",
        *,
        encoding: str = "",
        is_growing: bool = False,
        is_owned: bool = True,
        open_beside: Callable[[str], BinaryIO | None] = lambda _: None,
    ) -> None:
        """`stream` can seek, and holds UTF-8; `encoding` is that of the file, where it is another. `name` is the file's name. `open_beside` opens a file by its path relative to the folder of this one; None where it is not. A stream that is not `is_owned` stays open at the end."""
        self.name = name
        self.encoding = encoding
        self.stream = stream
        self._is_owned = is_owned
        self._is_growing = is_growing
        self._open_beside = open_beside

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_owned:
            self.stream.close()

    @cached_property
    def units(self) -> Units:
        """The records of its lines."""
        return Units(self.stream, is_growing=self._is_growing)

    @property
    def has_rest(self) -> bool:
        """Whether the last line of a growing file waits for its end."""
        return "units" in self.__dict__ and self.units.has_rest

    @cached_property
    def document(self) -> Any:
        """The file as one JSON value, repaired; None if it is not one, or is of several records."""
        self.stream.seek(0)
        first = self.stream.readline()
        has_more = bool(self.stream.readline().strip())
        if has_more and _is_record(first):
            return None
        self.stream.seek(0)
        try:
            return repaired(canonical.decode(self.stream.read()))[0]
        except JsonValueError:
            return None

    @cached_property
    def sample(self) -> list[dict[str, Any]]:
        """The objects among the first records of its lines; empty for a document of several lines."""
        if self.document is not None and not isinstance(self.document, dict):
            return []
        first = (self.units[position].value for position in range(min(_SAMPLE, len(self.units))))
        return [value for value in first if isinstance(value, dict)]

    def described(self) -> str:
        """Returns what the file looks like, for an error."""
        first = self.document if self.document is not None else next(iter(self.sample), None)
        if isinstance(first, dict):
            return f"an object with {', '.join(map(repr, sorted(first)[:_SHOWN_KEYS])) or 'no keys'}"
        return "a list" if isinstance(first, list) else "no JSON object"

    def beside(self, path: str) -> bytes | None:
        """Returns the bytes of a file by its path relative to the folder of this one; None if there is none."""
        stream = self._open_beside(path)
        if stream is None:
            return None
        with stream:
            return stream.read()


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(canonical.decode(line), (dict, list))
    except JsonValueError:
        return False
