"""Peer: pygit2, libgit2's binding.

The same objects as with dulwich: per message a blob, a tree, a commit whose message is the config, and the branch moved, in a
bare repository (no reflog). `enable_strict_object_creation(False)` spares a look-up of each object that a new one names.

Durable: `enable_fsync_gitdir` syncs each object, the ref and their directories. `fast`: libgit2's default, no fsync.
History: yes. Config queries: none (a walk of all commits).
"""

import json
import os
from typing import Any

import pygit2

from benchmarks.peer import Config, Message

MAIN, NAME = "refs/heads/main", "message.json"


class Pygit2Peer:
    def __init__(self, path: str, level: str, keeps: bool) -> None:
        pygit2.settings.enable_fsync_gitdir(level == "durable")
        pygit2.settings.enable_strict_object_creation(False)
        is_new = not os.path.isdir(path)
        self._repo: Any = pygit2.init_repository(path, bare=True) if is_new else pygit2.Repository(path)
        self._keeps, self._author = keeps, pygit2.Signature("agent", "agent@example.org")
        self._head = None if is_new else self._repo.references[MAIN].target
        self._known: list[Message] = []
        self._known_head: object = None

    def append(self, message: Message, generation_config: Config) -> None:
        blob = self._repo.create_blob(json.dumps(message).encode())
        builder = self._repo.TreeBuilder()
        builder.insert(NAME, blob, pygit2.enums.FileMode.BLOB)
        said = json.dumps(generation_config)
        parents = [self._head] if self._head else []
        self._head = self._repo.create_commit(MAIN, self._author, self._author, said, builder.write(), parents)

    def context(self) -> list[Message]:
        new, head = list[Message](), self._repo.references[MAIN].target
        at = head
        while at and at != self._known_head:
            commit = self._repo[at]
            new.append(json.loads(commit.tree[NAME].data))
            at = commit.parent_ids[0] if commit.parent_ids else None
        messages = self._known + new[::-1]
        if self._keeps:
            self._known, self._known_head = messages, head
        return messages

    def close(self) -> None:
        self._repo.free()


def open_peer(path: str, level: str, keeps: bool) -> Pygit2Peer:
    return Pygit2Peer(path, level, keeps)
