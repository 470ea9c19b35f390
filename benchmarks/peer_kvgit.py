"""Peer: kvgit, a versioned key-value store, on its disk backend (diskcache, which is SQLite in WAL mode).

Per message one key (its number) and one commit whose `info` is the config. The context is one `get_many` of all keys; kvgit's
caches are as they come, and the one of values goes when the head moves. The caller may keep what it has read.

Durable: diskcache's default, synchronous=NORMAL, loses the last commits in a power cut; FULL is set here, and values of all
sizes stay in the database (beyond 32 KiB they would go to files that nobody syncs). History: yes. Config queries: none.
"""

from kvgit import Repo
from kvgit.kv.disk import Disk

from benchmarks.peer import Config, Message

IN_DATABASE_BYTES = 1 << 24
SYNCHRONOUS = {"fast": 1, "durable": 2}


class KvgitPeer:
    def __init__(self, path: str, level: str, keeps: bool) -> None:
        backend = Disk(path)
        backend.store.reset("sqlite_synchronous", SYNCHRONOUS[level])
        backend.store.reset("disk_min_file_size", IN_DATABASE_BYTES)
        self._repo, self._keeps = Repo(backend), keeps
        self._worktree = self._repo.worktree("main", create=True)
        self._count = len(self._worktree)
        self._known: list[Message] = []

    def append(self, message: Message, generation_config: Config) -> None:
        self._worktree[f"{self._count:08d}"] = message
        self._worktree.commit(info=generation_config)
        self._count += 1

    def context(self) -> list[Message]:
        keys = [f"{number:08d}" for number in range(len(self._known), self._count)]
        found = self._worktree.get_many(*keys)
        messages = self._known + [found[key] for key in keys]
        if self._keeps:
            self._known = messages
        return messages

    def close(self) -> None:
        self._repo.close()


def open_peer(path: str, level: str, keeps: bool) -> KvgitPeer:
    return KvgitPeer(path, level, keeps)
