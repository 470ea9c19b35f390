"""Sources: a session file, as a reader of a format gets it, and the files beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cached_property
from itertools import islice
from typing import Any, BinaryIO, Self

from tract_fs.errors import JsonValueError
from tract_fs.model import canonical
from tract_fs.transcripts.units import Flaw, Units, decoded_whole, repaired

_SAMPLE = 50
_LARGEST_DOCUMENT_BYTES = 512 * 1024 * 1024  # more is lines, whatever the first of them is
_SHOWN_KEYS = 12


class Source:
    """One file: as lines (`units`), or as one JSON document.

    States: `_units` has its lines once all of them were read, `_units_beside` those of each file beside it that was read
    so far.
    """

    def __init__(
        self,
        stream: BinaryIO,
        name: str = "",
        *,
        path: str = "",
        encoding: str = "",
        is_growing: bool = False,
        is_owned: bool = True,
        open_beside: Callable[[str], BinaryIO | None] = lambda _: None,
        open_above: Callable[[int, str], BinaryIO | None] = lambda _levels, _path: None,
        list_beside: Callable[[str], list[str]] = lambda _: [],
        find: Callable[[str], Source | None] = lambda _: None,
        flaws: Sequence[Flaw] = (),
    ) -> None:
        """`stream` can seek, and holds UTF-8; `encoding` is that of the file, where it is another. `name` is the file's name.

        `open_beside` opens a file by its path relative to the folder of this one, None where it is not; `open_above` so, from
        that many folders above on; `list_beside` lists the files in such a folder. `find` returns the session of the same
        program with an id. `path` is that of a file. `flaws` are of the file as a whole. A stream that is not `is_owned` stays open at the end.
        """
        self.name = name
        self.path = path
        self.resources = ExitStack()  # that last as long as it is open
        self.encoding = encoding
        self.stream = stream
        self._is_owned = is_owned
        self._is_growing = is_growing
        self._open_beside = open_beside
        self._open_above = open_above
        self._list_beside = list_beside
        self._find = find
        self._units: Units | None = None
        self._units_beside: list[Units] = []
        self.flaws = list(flaws)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.resources.close()
        if self._is_owned:
            self.stream.close()

    def folder(self, levels: int = 0) -> str:
        """Returns the name of the folder of this file, or of one above; empty if it is not known."""
        parts = self.path.replace("\\", "/").split("/")
        return parts[-2 - levels] if len(parts) > 1 + levels else ""

    @property
    def units(self) -> Units:
        """The records of its lines."""
        if self._units is None:
            self._units = Units(self.stream, is_growing=self._is_growing)
        return self._units

    @property
    def has_rest(self) -> bool:
        """Whether the last line of a growing file, or of one beside it, waits for its end."""
        own = [] if self._units is None else [self._units]
        return any(units.has_rest for units in (*own, *self._units_beside))

    @cached_property
    def document(self) -> Any:
        """The file as one JSON value, repaired; None if it is not one, or is of several records."""
        document, is_clean = self.exact_document
        return document if is_clean else repaired(document)[0]

    @cached_property
    def exact_document(self) -> tuple[Any, bool]:
        """The file as one JSON value, and whether that can be stored as it stands."""
        if self.stream.seek(0, 2) > _LARGEST_DOCUMENT_BYTES:
            return None, True
        self.stream.seek(0)
        first = self.stream.readline()
        has_more = bool(self.stream.readline().strip())
        if has_more and _is_record(first):
            return None, True
        if self.stream.seek(0, 2) > _LARGEST_DOCUMENT_BYTES:
            return None, True
        self.stream.seek(0)
        return decoded_whole(self.stream.read())

    @cached_property
    def sample(self) -> list[dict[str, Any]]:
        """The objects among the first records of its lines; empty for a document of several lines."""
        if self.document is not None and not isinstance(self.document, dict):
            return []
        first = self._units
        if first is None:  # what a file is shows before all of it is read
            first = Units(self.stream, is_growing=self._is_growing, most=_SAMPLE)
            self._units = first if first.is_whole else None
        return [unit.value for unit in islice(first, _SAMPLE) if isinstance(unit.value, dict)]

    def described(self) -> str:
        """Returns what the file looks like, for an error."""
        first = self.document if self.document is not None else next(iter(self.sample), None)
        if isinstance(first, dict):
            return f"an object with {', '.join(map(repr, sorted(first)[:_SHOWN_KEYS])) or 'no keys'}"
        return "a list" if isinstance(first, list) else "no JSON object"

    def find(self, session_id: str) -> Source | None:
        """Returns the session of the same program with an id, from another file; None if there is none. It is closed with this one."""
        other = self._find(session_id)
        if other is not None:
            self.resources.callback(other.stream.close)
        return other

    def open_beside(self, path: str) -> BinaryIO | None:
        """Opens a file by its path relative to the folder of this one; None if there is none. The caller closes it."""
        return self._open_beside(path)

    def beside(self, path: str) -> bytes | None:
        """Returns the bytes of a file by its path relative to the folder of this one; None if there is none."""
        return _read(self._open_beside(path))

    def json_beside(self, path: str, *, levels: int = 0) -> Any:
        """Returns the JSON value of a file beside this one, or so many levels above; None if there is none."""
        data = self.above(levels, path) if levels else self.beside(path)
        return None if data is None else decoded_whole(data)[0]

    def above(self, levels: int, path: str) -> bytes | None:
        """Returns the bytes of a file by its path relative to a folder above that of this one; None if there is none.

        How many levels above is the format's to say, never the file's.
        """
        return _read(self._open_above(levels, path))

    def units_beside(self, path: str) -> Units | None:
        """Returns the records of the lines of a file by its path relative to the folder of this one; None if there is none."""
        stream = self._open_beside(path)
        if stream is None:
            return None
        self.resources.callback(stream.close)
        units = Units(stream, is_growing=self._is_growing)
        self._units_beside.append(units)
        return units

    def list_beside(self, folder: str) -> list[str]:
        """Returns the paths of the files in a folder beside this file, and in its folders, relative to it, sorted."""
        return self._list_beside(folder)


def _read(stream: BinaryIO | None) -> bytes | None:
    if stream is None:
        return None
    with stream:
        return stream.read()


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(canonical.decode(line), (dict, list))
    except JsonValueError:
        return False
