"""Bundle files: reads one member by member, each verified, and writes one. Memory: the hashes of the members.

A bundle is good as a whole or not at all: the members that a reader yields are valid only after it has reached the end. Format: FORMAT.md, section 12.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import chain
from typing import NamedTuple

from tract_fs.errors import BundleDamaged, JsonValueError, UnsupportedFormat
from tract_fs.model.blobs import is_blob
from tract_fs.model.content import MAX_OBJECT_BYTES, is_content
from tract_fs.model.events import MAX_EVENT_BYTES, Event, decode_event, split_parent
from tract_fs.model.exchange import BUNDLE_VERSION, BundleHeader, bundle_version, decode_header, encode_header
from tract_fs.model.names import hash_bytes, is_hash
from tract_fs.model.objects import Commit, decode_commit
from tract_fs.store import files
from tract_fs.store.address import Address

KINDS = ("blob", "content", "commit", "event")  # in their order in the file
_BLOB, _CONTENT, _COMMIT, _EVENT = range(4)
_LIMIT_BYTES = MAX_OBJECT_BYTES + 1


class Member(NamedTuple):
    """One object or event of a bundle."""

    name: str
    data: bytes
    value: Commit | Event | None  # None: a content or a blob
    kind: str

    @property
    def address(self) -> Address:
        """The address of the member in a store."""
        if isinstance(self.value, Event):
            return Address("event", self.name, self.value.tract)
        return Address("object", self.name)


class BundleReader:
    """One pass over a bundle. Errors: BundleDamaged, UnsupportedFormat; OSError.

    States, in this order: before the first line (`header` is None); among members, whose kinds never go back (`_kind`);
    at the end, where the counts, the digest and the parents were verified. An error ends the pass.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._line = 1
        self._digest = sha256()
        self._counts = [0] * len(KINDS)
        self._kind = 0  # of the last member: its index in KINDS
        self._names: set[bytes] = set()
        self._awaited: set[bytes] = set()  # parents of the commits so far that did not come before them
        self._parents: set[str] = set()  # tract/hash of all parents of the events so far
        self._inside: set[str] = set()  # tract/hash of the events so far
        self._tracts: set[str] = set()
        self._last_event = ("", "")
        self.size_bytes = 0
        self.header: BundleHeader | None = None  # set with the first member

    def __iter__(self) -> Iterator[Member]:
        previous: bytes | None = None
        for line in self._lines():
            self.size_bytes += len(line)
            if not line.endswith(b"\n"):
                self._line += previous is not None
                raise self._damaged("it is cut off here, or this line is longer than any member")
            if previous is not None:
                member = self._take(previous[:-1])
                if member is not None:
                    yield member
                self._digest.update(previous)
                self._line += 1
            previous = line
        self._finish(b"" if previous is None else previous[:-1])

    def _lines(self) -> Iterator[bytes]:
        try:
            yield from files.iter_lines(self._path, limit_bytes=_LIMIT_BYTES)
        except FileNotFoundError:
            if not files.exists(self._path):
                raise
            raise self._damaged("no regular file") from None

    def _take(self, line: bytes) -> Member | None:
        """Checks the next line; returns its member, or None for the first line."""
        if line.endswith(b"\r"):
            raise self._damaged("its line ends were rewritten (CRLF)")
        if self.header is None:
            self.header = self._header(line)
            return None
        kind, value = self._decode(line)
        name = hash_bytes(line)
        digest = bytes.fromhex(name)
        if digest in self._names:
            raise self._damaged(f"{name} stands here a second time")
        self._names.add(digest)
        self._counts[kind] += 1
        if isinstance(value, Commit):
            self._check_commit(digest, value)
        elif value is not None:
            self._check_event(name, value, len(line))
        return Member(name, line, value, KINDS[kind])

    def _header(self, line: bytes) -> BundleHeader:
        try:
            version = bundle_version(line)
            if version > BUNDLE_VERSION:
                raise UnsupportedFormat(path=self._path, found=version, supported=BUNDLE_VERSION)
            return decode_header(line)
        except JsonValueError as error:
            raise self._damaged(f"no bundle of tract_fs: {error.reason}") from None

    def _decode(self, line: bytes) -> tuple[int, Commit | Event | None]:
        """Returns the kind of a member, which is never before that of the last one, and its value."""
        reason = ""
        while self._kind < len(KINDS):
            try:
                if self._kind == _EVENT:
                    return _EVENT, decode_event(line)
                if self._kind == _COMMIT:
                    return _COMMIT, decode_commit(line)
                if is_blob(line) if self._kind == _BLOB else is_content(line):
                    return self._kind, None
            except JsonValueError as error:
                reason = error.reason
            self._kind += 1
        raise self._damaged(f"no valid blob, content, commit or event, or not in the order of these: {reason}")

    def _check_commit(self, digest: bytes, commit: Commit) -> None:
        if digest in self._awaited:
            raise self._damaged("a commit stands after one that builds on it")
        self._awaited.update(bytes.fromhex(p) for p in commit.parents if bytes.fromhex(p) not in self._names)

    def _check_event(self, name: str, event: Event, size_bytes: int) -> None:
        if size_bytes > MAX_EVENT_BYTES:
            raise self._damaged(f"an event of {size_bytes} bytes")
        if (event.at, name) < self._last_event:
            raise self._damaged("an event stands after a later one")
        self._last_event = event.at, name
        self._tracts.add(event.tract)
        self._inside.add(f"{event.tract}/{name}")
        self._parents.update("/".join(split_parent(parent, event.tract)) for parent in event.parents)

    def _finish(self, last: bytes) -> None:
        """Checks the last line, and that the members match the first line."""
        header = self.header
        if header is None:
            raise self._damaged("no bundle of tract_fs: less than two lines")
        if last.endswith(b"\r"):
            raise self._damaged("its line ends were rewritten (CRLF)")
        text = last.decode("ascii", "replace")
        if not is_hash(text):
            raise self._damaged("the last line is no SHA-256: the file is cut off")
        if text != self._digest.hexdigest():
            raise self._damaged(f"the lines above hash to {self._digest.hexdigest()}, not to what stands here")
        self._line = 1
        found = (self._counts, sorted(self._tracts), sorted(self._parents - self._inside))
        counts = [header.blobs, header.contents, header.commits, header.events]
        claimed = (counts, list(header.tracts), list(header.builds_on))
        if found != claimed:
            raise self._damaged("the members are not what the first line says")

    def _damaged(self, reason: str) -> BundleDamaged:
        return BundleDamaged(path=self._path, line=self._line, reason=reason)


def write_bundle(path: str, header: BundleHeader, members: Iterable[bytes]) -> int:
    """Writes a bundle, all or nothing, so that it survives a power cut; replaces what is at `path`. Returns its size in bytes.

    Errors: OSError with the path.
    """
    with files.NewFile(path[: path.rindex("/")] or "/", mode=0o644, shown_as=path) as file:
        digest = sha256()
        for line in chain([encode_header(header)], members):
            for part in (line, b"\n"):
                digest.update(part)
                file.write(part)
        file.write(digest.hexdigest().encode() + b"\n")
        file.finish(path)
        return file.size_bytes
