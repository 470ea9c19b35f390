"""The index of a copy, changed by SQL: with its checksums as they were, or made right for the rows as they are."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.lab.states import bound_layout, own_place, put
from tract_fs.store.arrivals import NO_HASH
from tract_fs.store.index import configs, members, records
from tract_fs.store.index.file import Sums, crc_of

TRACT = "default"
_MOST = 1 << 62


def index_of(path: Path) -> Path:
    """Returns the index of a store."""
    return Path(bound_layout(path).index)


@contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    """Yields a connection to an index that takes any change; commits it."""
    connection = sqlite3.connect(file)
    try:
        connection.executescript("pragma ignore_check_constraints = on; pragma writable_schema = on;")
        yield connection
        connection.commit()
    finally:
        connection.close()


def saved_view(path: Path, tract: str = TRACT) -> bytes:
    """Returns the bytes of a tract's saved view."""
    return view_file(path, tract).read_bytes()


def put_saved_view(path: Path, data: bytes | None, tract: str = TRACT) -> None:
    """Puts bytes in the place of a tract's saved view; None removes it."""
    if data is None:
        view_file(path, tract).unlink()
    else:
        put(view_file(path, tract), data)


def view_file(path: Path, tract: str) -> Path:
    """Returns where a tract's saved view is."""
    return own_place(path) / "tracts" / tract / "view"


def count_rows(path: Path, table: str) -> int:
    """Returns how many rows a table has."""
    with opened(index_of(path)) as connection:
        found: int = connection.execute(f"select count(*) from {table}").fetchone()[0]
    return found


def make_sums_right(connection: sqlite3.Connection, seal: bytes) -> None:
    """Makes all checksums, counts and sums those of the rows as they are, as far as their values can be summed."""
    seed = zlib.crc32(seal)
    _make_tracts_right(connection, seal)
    _make_packs_right(connection, seal)
    connection.execute("delete from sums")
    sums = {family: Sums(family) for family in ("event", "commit", "member")}

    def count(family: str, key: object, crc: int) -> None:
        if isinstance(key, int):
            sums[family].rows[key >> 56 & 0xFF] += 1
            sums[family].totals[key >> 56 & 0xFF] += crc

    for number, kind, event, commit, event_key, commit_key in connection.execute(
        "select id, kind, event, commit_hash, event_key, commit_key from records"
    ).fetchall():
        with suppress(*_ODD):
            letter = kind.encode() if isinstance(kind, str) else kind
            crc = zlib.crc32(records._CHECKED.pack(number, letter, event, commit or NO_HASH), seed)
            connection.execute("update records set crc = ? where id = ?", (crc, number))
            count("event", event_key, crc)
            count("commit", commit_key, crc)
    for place, size, name, key in connection.execute("select place, size, name, key from members").fetchall():
        with suppress(*_ODD):
            count("member", key, members._crc(seed, place, size, name))
    for family in sums.values():
        family.write(connection)
    _make_configs_right(connection, seal)


_ODD: Any = (TypeError, ValueError, OverflowError, records.struct.error, sqlite3.Error)


def _make_tracts_right(connection: sqlite3.Connection, seal: bytes) -> None:
    rows = connection.execute("select id, name, records, chain from tracts").fetchall()
    for number, name, count, chain in rows:
        connection.execute("update tracts set crc = ? where id = ?", (crc_of(seal, name, number, count, chain), number))


def _make_packs_right(connection: sqlite3.Connection, seal: bytes) -> None:
    rows = connection.execute("select id, name, members, tracts from packs").fetchall()
    for number, name, count, tracts in rows:
        crc = crc_of(seal, number, name, count, tracts)
        connection.execute("update packs set crc = ? where id = ?", (crc, number))
    for pack, tract, count, names in connection.execute(
        "select pack, tract, events, names from pack_events"
    ).fetchall():
        crc = crc_of(seal, pack, tract, count, names)
        connection.execute("update pack_events set crc = ? where pack = ? and tract = ?", (crc, pack, tract))


def _make_configs_right(connection: sqlite3.Connection, seal: bytes) -> None:
    for tract, number, data in connection.execute("select tract, number, config from configs").fetchall():
        rows = connection.execute(
            "select created, name from config_commits where tract = ? and config = ?", (tract, number)
        ).fetchall()
        with suppress(*_ODD):
            total = sum(map(configs._weight, rows)) % _MOST
            crc = crc_of(seal, number, data, len(rows), total)
            connection.execute(
                "update configs set commits = ?, total = ?, crc = ? where tract = ? and number = ?",
                (len(rows), total, crc, tract, number),
            )
    for (tract,) in connection.execute("select tract from config_stamps").fetchall():
        count, total = connection.execute(
            "select count(*), coalesce(sum(crc), 0) from configs where tract = ?", (tract,)
        ).fetchone()
        with suppress(*_ODD):
            connection.execute(
                "update config_stamps set configs = ?, total = ? where tract = ?", (count, total % _MOST, tract)
            )
