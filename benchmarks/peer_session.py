"""Peer: SQLiteSession of openai-agents.

Per message one `add_items` of one item, with the config as a further field of the item (there is no other place); the context is
`get_items()`, as the SDK's runner asks at each turn. All calls go by one event loop; the session moves each to a thread.

Durable: WAL with SQLite's default, synchronous=FULL; there is no other level, so `fast` is the same. History: none but the list.
Config queries: none.
"""

import asyncio
from typing import Any

from agents import SQLiteSession

from benchmarks.peer import Config, Message


class SessionPeer:
    def __init__(self, path: str) -> None:
        self._runner = asyncio.Runner()
        self._session = SQLiteSession("1", path)

    def append(self, message: Message, generation_config: Config) -> None:
        item: Any = {**message, "generation_config": generation_config}
        self._runner.run(self._session.add_items([item]))

    def context(self) -> list[Any]:
        return list(self._runner.run(self._session.get_items()))

    def close(self) -> None:
        self._session.close()
        self._runner.close()


def open_peer(path: str, level: str, keeps: bool) -> SessionPeer:
    return SessionPeer(path)
