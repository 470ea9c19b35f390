"""Exports an imported session as it came in: the records of its file, in their order, whatever branch they are on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from tract_fs.capture import stamps
from tract_fs.capture.stamps import Stamp, stamp_of
from tract_fs.model import canonical
from tract_fs.model.content import RecordContent
from tract_fs.model.names import CommitHash
from tract_fs.model.objects import Commit
from tract_fs.transcripts.rest import join_rest
from tract_fs.work.session import Session


class Record(Struct, frozen=True):
    """A record of a session file: its JSON, or the exact bytes where these are known."""

    position: int
    value: Any
    raw: bytes | None
    is_joined: bool


class _Parts(Struct):
    """The commits of one entry, by part; the last import of each counts."""

    stamp: Stamp
    commits: dict[int, tuple[CommitHash, Commit]]


def iter_records(session: Session, format: str, session_id: str) -> Iterator[Record]:
    """Yields the records of an imported session, in the order of its file.

    Call it under the session's guard. What edits and skips of your own changed is not in it. Errors: as those of reading contents.
    """
    entries: dict[str, _Parts] = {}
    for name in _commits(session):
        commit = session.reader.commit(name)
        stamp = stamp_of(commit)
        if stamp is None or (stamp.format, stamp.session) != (format, session_id):
            continue
        entry = entries.setdefault(stamp.key, _Parts(stamp, {}))
        entry.commits[stamp.part] = name, commit
        if stamp.part == 0:
            entry.stamp = stamp
    for entry in sorted(entries.values(), key=lambda entry: entry.stamp.position):
        yield _record(session, entry)


def _commits(session: Session) -> list[CommitHash]:
    """Returns the commits of all branches, each after its parents; edits come after what they change."""
    found: dict[CommitHash, None] = {}
    reader = session.reader
    for branch in sorted(reader.overlay.branches()):
        for head in reader.overlay.heads(branch):
            line = []
            name: CommitHash | None = head
            while name is not None and name not in found:
                line.append(name)
                parents = reader.commit(name).parents
                name = parents[0] if parents else None
            found.update(dict.fromkeys(reversed(line)))
    return list(found)


def _record(session: Session, entry: _Parts) -> Record:
    stamp = entry.stamp
    contents = [session.reader.content(name) for _, (name, _) in sorted(entry.commits.items())]
    own = [content for content in contents if isinstance(content, RecordContent) and content.kind == stamps.RECORD_KIND]
    record = own[-1] if own else None
    raw = stamps.decode_raw(stamp.raw) if stamp.raw else None
    if raw is None and record is not None:
        names = stamps.raw_blob_names(record.blobs)
        raw = b"".join(map(session.reader.blob, names)) if names else None
    value = None
    if raw is None and record is not None and "record" in record.data:
        value = record.data["record"]
    elif raw is None:
        metadata = canonical.decode(bytes(entry.commits[0][1].metadata))
        del metadata[stamps.KEY]
        shown = [content for content in contents if content is not record]
        value = join_rest(stamp.rest, [*map(stamps.plain, shown), metadata])
    return Record(stamp.position, value, raw, stamp.is_joined)


def to_lines(records: Iterator[Record]) -> Iterator[bytes]:
    """Yields the lines of a file of records."""
    is_first = True
    for record in records:
        if not is_first and not record.is_joined:
            yield b"\n"
        yield record.raw if record.raw is not None else canonical.encode_checked(record.value)
        is_first = False
    if not is_first:
        yield b"\n"
