"""Peer: the standard library's sqlite3, tuned by hand: the limit that a single-file store of one table has.

Per message one row (role, text, config as JSON) in one transaction; statements cached, 64 MiB of page cache and mmap. Nothing is
hashed. The context is one SELECT; the caller may keep what it has read and ask for the rows after it, which still sees other writers.

Durable: WAL with synchronous=FULL, one fsync per message. `fast`: NORMAL. History: none. Config queries: json_extract, indexable.
"""

import json
import sqlite3

from benchmarks.peer import Config, Message

TABLE = """CREATE TABLE IF NOT EXISTS messages
(number INTEGER PRIMARY KEY, role TEXT NOT NULL, text TEXT NOT NULL, config TEXT NOT NULL)"""


class SqlitePeer:
    def __init__(self, path: str, level: str, keeps: bool) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode=WAL", "cache_size=-65536", "mmap_size=67108864", "temp_store=MEMORY"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute(f"PRAGMA synchronous={'FULL' if level == 'durable' else 'NORMAL'}")
        self._connection.execute(TABLE)
        self._keeps, self._known, self._last = keeps, list[Message](), 0

    def append(self, message: Message, generation_config: Config) -> None:
        row = (message["role"], message["content"], json.dumps(generation_config))
        self._connection.execute("INSERT INTO messages (role, text, config) VALUES (?, ?, ?)", row)

    def context(self) -> list[Message]:
        rows = self._connection.execute(
            "SELECT number, role, text FROM messages WHERE number > ? ORDER BY number", (self._last,)
        ).fetchall()
        messages = self._known + [{"role": role, "content": text} for _, role, text in rows]
        if self._keeps:
            self._known, self._last = messages, rows[-1][0] if rows else self._last
        return messages

    def close(self) -> None:
        self._connection.close()


def open_peer(path: str, level: str, keeps: bool) -> SqlitePeer:
    return SqlitePeer(path, level, keeps)
