"""Exports an imported session as it came in: the records of its file, in their order, whatever branch they are on."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Sequence
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


def iter_records(
    session: Session, format: str, session_id: str, *, count: int, branches: Sequence[str], file: str = ""
) -> Iterator[Record]:
    """Yields the records of an imported session, in the order of its file, which had `count` of them at the last import; or of
    a `file` beside it.

    What this branch holds counts first, then what the `branches` of that import do, then what the session left before.
    Call it under the session's guard. What edits and skips of your own changed is not in it. Errors: as those of reading contents.
    """
    heads = [session.reader.head(), *(session.reader.overlay.head(name) for name in branches)]
    lines = [*(_line(session, head, {}) for head in heads), _commits(session)]
    places: dict[int, _Parts] = {}
    keys: set[str] = set()
    for line in lines if len(lines) > 2 or len(session.reader.overlay.branches()) > 1 else lines[:1]:
        for key, entry in _entries(session, line, (format, session_id, file)).items():
            if key not in keys and entry.stamp.position < count:
                keys.add(key)
                places.setdefault(entry.stamp.position, entry)
    for _, entry in sorted(places.items()):
        yield _record(session, entry)


def _entries(session: Session, names: Iterable[CommitHash], origin: tuple[str, str, str]) -> dict[str, _Parts]:
    """Returns the entries of commits by key, in order; the last of each part counts. `origin`: format, session and file."""
    entries: dict[str, _Parts] = {}
    for name in names:
        commit = session.reader.commit(name)
        stamp = stamp_of(commit)
        if stamp is None or (stamp.format, stamp.session, stamp.file) != origin:
            continue
        entry = entries.setdefault(stamp.key, _Parts(stamp, {}))
        entry.commits[stamp.part] = name, commit
        if stamp.part == 0:
            entry.stamp = stamp
    return entries


def _commits(session: Session) -> list[CommitHash]:
    """Returns the commits of all branches, each after its parents; edits come after what they change."""
    found: dict[CommitHash, None] = {}
    for branch in sorted(session.reader.overlay.branches()):
        for head in session.reader.overlay.heads(branch):
            found.update(dict.fromkeys(_line(session, head, found)))
    return list(found)


def _line(session: Session, head: CommitHash | None, known: Container[CommitHash]) -> list[CommitHash]:
    """Returns the commits up to a head, by first parents, from the first that is not known on."""
    line = []
    name = head
    while name is not None and name not in known:
        line.append(name)
        parents = session.reader.commit(name).parents
        name = parents[0] if parents else None
    line.reverse()
    return line


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


def exact_value(record: Record) -> Any:
    """Returns the JSON value of a record that is a part of a document, with what no message can hold."""
    return record.value if record.raw is None else json.loads(record.raw)


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
