"""Peer: langgraph's SqliteSaver, with the `messages` channel stored as deltas (langgraph's DeltaChannel, which is beta).

Per message one `put_writes` of it and one `put` of a checkpoint without the list, as a graph's step does; at every
100th the checkpoint holds the whole list. The context is the saver's own `get_delta_channel_history`: the newest whole list and the
writes since. Config: in the metadata.

Durable: WAL with synchronous=FULL, two transactions and so two fsyncs per message. `fast`: NORMAL. History: every checkpoint stays.
Config queries: equality.
"""

from datetime import UTC, datetime
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.base.id import uuid6

from benchmarks.peer import Config, Message
from benchmarks.peer_langgraph import THREAD, open_saver

WHOLE_EVERY = 100


class LanggraphDeltaPeer:
    def __init__(self, path: str, level: str) -> None:
        self._connection, self._saver = open_saver(path, level)
        newest = self._saver.get_tuple(THREAD)
        self._messages: list[Message] = self.context() if newest else []
        self._at = newest.config if newest else self._put(THREAD, {"source": "input", "step": -1, "parents": {}})

    def _put(self, at: RunnableConfig, metadata: Any) -> RunnableConfig:
        step = len(self._messages)
        checkpoint: Any = {
            **empty_checkpoint(),
            "id": str(uuid6(clock_seq=step)),
            "ts": datetime.now(UTC).isoformat(),
            "channel_values": {} if step % WHOLE_EVERY else {"messages": self._messages},
            "channel_versions": {"messages": step},
        }
        return self._saver.put(at, checkpoint, metadata, {"messages": step})

    def append(self, message: Message, generation_config: Config) -> None:
        self._messages.append(message)
        step = len(self._messages)
        metadata: Any = {"source": "loop", "step": step, "parents": {}, **generation_config}
        self._saver.put_writes(self._at, [("messages", message)], task_id=str(step))
        self._at = self._put(self._at, metadata)

    def context(self) -> list[Message]:
        newest = self._saver.get_tuple(THREAD)
        assert newest is not None
        if "messages" in newest.checkpoint["channel_values"]:
            return list(newest.checkpoint["channel_values"]["messages"])
        history = self._saver.get_delta_channel_history(config=newest.config, channels=["messages"])["messages"]
        return [*history.get("seed", ()), *(value for _, _, value in history["writes"])]

    def close(self) -> None:
        self._connection.close()


def open_peer(path: str, level: str, keeps: bool) -> LanggraphDeltaPeer:
    return LanggraphDeltaPeer(path, level)
