"""Peer: langgraph's SqliteSaver, the checkpointer, with the ordinary `messages` channel.

Per message one `put` of a checkpoint, which holds the whole list (that is how this saver stores a channel); the config goes into its
metadata, where `list(filter=…)` finds it. The `put_writes` that a running graph adds per step is spared. The context is the newest
checkpoint. The runtime's copy of the list in memory is used to write, never to answer.

Durable: WAL with synchronous=FULL, SQLite's default. `fast`: NORMAL. History: every checkpoint stays. Config queries: equality.
"""

import sqlite3
from datetime import UTC, datetime
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.sqlite import SqliteSaver

from benchmarks.peer import Config, Message

THREAD: RunnableConfig = {"configurable": {"thread_id": "1", "checkpoint_ns": ""}}


def open_saver(path: str, level: str) -> tuple[sqlite3.Connection, SqliteSaver]:
    connection = sqlite3.connect(path, check_same_thread=False)
    saver = SqliteSaver(connection)
    saver.setup()  # WAL
    connection.execute(f"PRAGMA synchronous={'FULL' if level == 'durable' else 'NORMAL'}")
    return connection, saver


class LanggraphPeer:
    def __init__(self, path: str, level: str) -> None:
        self._connection, self._saver = open_saver(path, level)
        newest = self._saver.get_tuple(THREAD)
        self._messages: list[Message] = list(newest.checkpoint["channel_values"]["messages"]) if newest else []
        self._at = newest.config if newest else THREAD

    def append(self, message: Message, generation_config: Config) -> None:
        self._messages.append(message)
        step = len(self._messages)
        metadata: Any = {"source": "loop", "step": step, "parents": {}, **generation_config}
        checkpoint: Any = {
            **empty_checkpoint(),
            "id": str(uuid6(clock_seq=step)),
            "ts": datetime.now(UTC).isoformat(),
            "channel_values": {"messages": self._messages},
            "channel_versions": {"messages": step},
        }
        self._at = self._saver.put(self._at, checkpoint, metadata, {"messages": step})

    def context(self) -> list[Message]:
        newest = self._saver.get_tuple(THREAD)
        assert newest is not None
        messages: list[Message] = newest.checkpoint["channel_values"]["messages"]
        return messages

    def close(self) -> None:
        self._connection.close()


def open_peer(path: str, level: str, keeps: bool) -> LanggraphPeer:
    return LanggraphPeer(path, level)
