"""Peer: dulwich, git in Python.

Per message a blob, a tree that holds it, a commit whose message is the config, and the branch moved by compare-and-swap: the
layout with the fewest objects that keeps content and history apart, in a bare repository, by the object store's own calls
(porcelain and a work tree cost more), uncompressed. The context is a walk from the head to the root; the caller may keep what it
has walked already.

Durable: `core.fsyncObjectFiles` syncs each object; dulwich syncs no directory, so that less survives than with the
others; the ref is always synced, at `fast` too. History: yes. Config queries: none (a walk of all commits).
"""

import json
import os
import time

from dulwich.config import ConfigFile
from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo

from benchmarks.peer import Config, Message

MAIN, AUTHOR, NAME = Ref(b"refs/heads/main"), b"agent <agent@example.org>", b"message.json"


class DulwichPeer:
    def __init__(self, path: str, level: str, keeps: bool) -> None:
        if not os.path.isdir(path):
            os.mkdir(path)
            Repo.init_bare(path).close()
            settings = ConfigFile.from_path(os.path.join(path, "config"))
            settings.set((b"core",), b"fsyncObjectFiles", level == "durable")
            settings.set((b"core",), b"looseCompression", b"0")
            settings.write_to_path()
        self._repo, self._keeps = Repo(path), keeps
        self._head = self._repo.refs.read_ref(MAIN)
        self._known: list[Message] = []
        self._known_head: bytes | None = None

    def append(self, message: Message, generation_config: Config) -> None:
        blob, tree, commit = Blob.from_string(json.dumps(message).encode()), Tree(), Commit()
        tree.add(NAME, 0o100644, blob.id)
        commit.tree, commit.parents = tree.id, [ObjectID(self._head)] if self._head else []
        commit.author = commit.committer = AUTHOR
        commit.author_time = commit.commit_time = int(time.time())
        commit.author_timezone = commit.commit_timezone = 0
        commit.message = json.dumps(generation_config).encode()
        for one in (blob, tree, commit):
            self._repo.object_store.add_object(one)
        if not self._repo.refs.set_if_equals(MAIN, ObjectID(self._head) if self._head else None, commit.id):
            raise RuntimeError("another writer moved the branch")
        self._head = commit.id

    def context(self) -> list[Message]:
        store, new = self._repo.object_store, list[Message]()
        head = at = self._repo.refs.read_ref(MAIN)
        while at and at != self._known_head:
            commit = store[ObjectID(at)]
            assert isinstance(commit, Commit)
            tree = store[commit.tree]
            assert isinstance(tree, Tree)
            new.append(json.loads(store[tree[NAME][1]].as_raw_string()))
            at = commit.parents[0] if commit.parents else None
        messages = self._known + new[::-1]
        if self._keeps:
            self._known, self._known_head = messages, head
        return messages

    def close(self) -> None:
        self._repo.close()


def open_peer(path: str, level: str, keeps: bool) -> DulwichPeer:
    return DulwichPeer(path, level, keeps)
