"""Peer: tract_fs itself, by the same driver as the others.

Per message three files (content, commit, event) and, at `durable`, one fdatasync. History, edits, branches, config queries.
"""

from collections.abc import Sequence
from typing import Literal, cast

from benchmarks.peer import Config, Message
from tract_fs import DialogueContent, Tract
from tract_fs.work.session import Durability


class TractPeer:
    def __init__(self, path: str, level: str) -> None:
        self._tract = Tract.open(path, durability=cast(Durability, level))

    def append(self, message: Message, generation_config: Config) -> None:
        role = cast(Literal["user", "assistant"], message["role"])
        self._tract.commit(DialogueContent(role=role, text=message["content"]), generation_config=generation_config)

    def context(self) -> Sequence[object]:
        return self._tract.compile().messages

    def close(self) -> None:
        self._tract.close()


def open_peer(path: str, level: str, keeps: bool) -> TractPeer:
    return TractPeer(path, level)
