"""Baseline: config queries by the standard library's sqlite3, json_extract over a column of JSON text.

`build` fills one table of messages; `query` asks it, with a fresh connection and then again on the same one (warm: the
median of several). The rows come ordered, are fetched and their configs decoded. Prints microseconds.
"""

import json
import sqlite3
import statistics
import sys
import time
from hashlib import sha256
from itertools import pairwise

from benchmarks.payloads import ROLES, config_with_probe, texts

TABLE = """CREATE TABLE commits (commit_hash TEXT PRIMARY KEY, parent_hash TEXT, content_hash TEXT, content_type TEXT,
operation TEXT, message TEXT, token_count INTEGER, created_at TEXT, config TEXT, role TEXT, text TEXT)"""
COLUMNS = "commit_hash, parent_hash, content_hash, content_type, operation, message, token_count, created_at, config"
QUERIES = {
    "one": ("json_extract(config, '$.probe') = ?", "the-only-one"),
    "five": ("json_extract(config, '$.model') = ?", "model-07"),
    "thirty": ("json_extract(config, '$.temperature') >= ?", 0.7),
}


def build(path: str, count: int, with_indexes: bool) -> None:
    rows: list[tuple[object, ...]] = []
    parent: str | None = None
    for number, text in enumerate(texts(count)):
        name, content = sha256(f"commit {number}".encode()).hexdigest(), sha256(text.encode()).hexdigest()
        at = f"2026-01-02T03:{number // 60_000_000:02d}:{number // 1_000_000:02d}.{number % 1_000_000:06d}Z"
        said = json.dumps(config_with_probe(number, count), separators=(",", ":"))
        rows.append((name, parent, content, "dialogue", "append", None, 100, at, said, ROLES[number % 2], text))
        parent = name
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(TABLE)
    with connection:
        connection.executemany(f"INSERT INTO commits VALUES ({','.join('?' * 11)})", rows)
    for key in ("probe", "model", "temperature") if with_indexes else ():
        connection.execute(f"CREATE INDEX by_{key} ON commits (json_extract(config, '$.{key}'))")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def query(connection: sqlite3.Connection, which: str) -> int:
    condition, value = QUERIES[which]
    statement = f"SELECT {COLUMNS} FROM commits WHERE {condition} ORDER BY created_at, commit_hash"
    return len([(*row[:-1], json.loads(row[-1])) for row in connection.execute(statement, (value,))])


if __name__ == "__main__":
    if sys.argv[1] == "build":
        build(sys.argv[2], int(sys.argv[3]), sys.argv[4] == "indexed")
        sys.exit()
    times, hits = [time.perf_counter()], 0
    connection = sqlite3.connect(sys.argv[2])
    for _ in range(int(sys.argv[4])):
        hits = query(connection, sys.argv[3])
        times.append(time.perf_counter())
    each = [(b - a) * 1e6 for a, b in pairwise(times)]
    print(json.dumps({"fresh_us": each[0], "warm_us": statistics.median(each[1:] or each), "hits": hits}))
