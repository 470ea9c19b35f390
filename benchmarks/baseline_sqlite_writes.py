"""Baseline: one of several processes that write to one SQLite file, in WAL mode, synchronous=FULL.

Per commit one transaction: take the write lock, read the head, hash content and commit, insert one row with the same
text, config and hashes as a commit of the store. Prints microseconds per commit.
"""

import json
import sqlite3
import sys
import time
from hashlib import sha256

from benchmarks.payloads import ROLES, config, texts

TABLE = """CREATE TABLE IF NOT EXISTS commits (number INTEGER PRIMARY KEY, commit_hash TEXT UNIQUE, parent_hash TEXT,
content_hash TEXT, operation TEXT, created_at TEXT, config TEXT, token_count INTEGER, content TEXT)"""


def encode(value: dict[str, object]) -> tuple[str, str]:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text, sha256(text.encode()).hexdigest()


def write(connection: sqlite3.Connection, number: int, text: str) -> None:
    at = f"2026-01-02T03:04:05.{number:06d}Z"
    content, c = encode({"content": {"content_type": "dialogue", "role": ROLES[number % 2], "text": text}})
    said, _ = encode(config(number))
    connection.execute("BEGIN IMMEDIATE")
    last = connection.execute("SELECT commit_hash FROM commits ORDER BY number DESC LIMIT 1").fetchone()
    parents = list(last or ())
    fields = {"content": c, "content_type": "dialogue", "created_at": at, "operation": "append"}
    _, h = encode({"commit": fields | {"parents": parents}})
    row = (None, h, parents[0] if parents else None, c, "append", at, said, len(text) // 4 + 4, content)
    connection.execute("INSERT INTO commits VALUES (?,?,?,?,?,?,?,?,?)", row)
    connection.execute("COMMIT")


if __name__ == "__main__":
    path, count, seed, starts_at = (sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
    connection = sqlite3.connect(path, timeout=60.0, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(TABLE)
    said = texts(count, seed=seed)
    time.sleep(max(0.0, starts_at - time.time()))
    began = time.perf_counter()
    for number, text in enumerate(said):
        write(connection, number, text)
    ended = time.perf_counter()
    print(json.dumps({"commit_us": (ended - began) / max(1, count) * 1e6, "began_s": began, "ended_s": ended}))
