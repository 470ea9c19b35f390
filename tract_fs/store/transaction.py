"""A transaction: what is to be written at once, gathered in memory; nothing of it is on disk before its end."""

from __future__ import annotations

from typing import NamedTuple

from tract_fs.model.events import NewCommit, encode_event, move_op
from tract_fs.model.names import CommitHash, format_time, hash_bytes, next_time
from tract_fs.model.view import Head, View
from tract_fs.store import arrivals
from tract_fs.store.arrivals import NO_HASH, Record


class Mark(NamedTuple):
    """How far a transaction had come."""

    head: CommitHash | None
    counts: tuple[int, int, int, int, int]  # objects, contents, commits, other operations, usages


class Transaction:
    """New objects, the commits that move one branch, and other operations, on top of a view."""

    def __init__(self, branch: str, view: View, start: Head | None) -> None:
        self.branch = branch
        self.start = start
        self.head: CommitHash | None = None if start is None else start.commit
        self.objects: dict[str, bytes] = {}  # in the order in which they must be written
        self.contents: dict[str, None] = {}  # those of `objects` that may be in the store already
        self.commits: dict[CommitHash, NewCommit] = {}
        self.created_us: list[int] = []
        self.ops: list[dict[str, object]] = []
        self.usage: list[tuple[CommitHash, int, int]] = []  # commit, prompt and completion tokens
        self._newest_us = view.newest_us
        self.now = ""  # the last tick as it is stored

    @property
    def is_empty(self) -> bool:
        """Tells whether there is nothing to write."""
        return not self.commits and not self.ops

    def tick(self, wall_us: int) -> int:
        """Returns the next time of the hybrid logical clock."""
        self._newest_us = next_time(wall_us, self._newest_us)
        self.now = format_time(self._newest_us)
        return self._newest_us

    def add_content(self, name: str, data: bytes) -> None:
        """Stages a content."""
        self.objects[name] = data
        self.contents[name] = None

    def add_commit(self, data: bytes, created_us: int, config: bytes | None, tokens: dict[str, int]) -> CommitHash:
        """Stages a commit on the head and moves the head to it."""
        name = CommitHash(hash_bytes(data))
        self.objects[name] = data
        self.commits[name] = NewCommit(name, config, tokens)
        self.created_us.append(created_us)
        self.head = name
        return name

    def add_usage(self, op: dict[str, object], commit: CommitHash, prompt_tokens: int, completion_tokens: int) -> None:
        """Stages the usage of a commit."""
        self.ops.append(op)
        self.usage.append((commit, prompt_tokens, completion_tokens))

    def mark(self) -> Mark:
        """Returns where the transaction stands, to return to it."""
        return Mark(
            self.head, (len(self.objects), len(self.contents), len(self.commits), len(self.ops), len(self.usage))
        )

    def return_to(self, mark: Mark) -> None:
        """Drops what was staged since a mark."""
        objects, contents, commits, ops, usages = mark.counts
        for staged, count in ((self.objects, objects), (self.contents, contents), (self.commits, commits)):
            while len(staged) > count:
                staged.popitem()
        del self.created_us[commits:]
        del self.ops[ops:]
        del self.usage[usages:]
        self.head = mark.head

    def encode(self, tract: str, writer: str, view: View, replaces: list[str]) -> bytes:
        """Returns the bytes of the event."""
        ops = list(self.ops)
        if self.commits and self.head is not None:
            ops.insert(0, move_op("append", self.branch, self.head, list(self.commits.values()), replaces))
        return encode_event(tract=tract, at=self.now, writer=writer, parents=list(view.event_heads), ops=ops)

    def records(self, event: str, branch: bytes, *, is_plain: bool, is_durable: bool) -> list[Record]:
        """Returns what arrivals records of the event; `branch` stands for the branch, a plain append is one that the caller found to be so."""
        name = bytes.fromhex(event)
        is_plain = is_plain and not self.ops and bool(self.commits)
        brought = [
            Record(arrivals.BRINGS, branch, name, bytes.fromhex(commit), created_us)
            for commit, created_us in zip(self.commits, self.created_us, strict=True)
        ]
        if is_plain:
            kind = arrivals.PLAIN_APPEND if is_durable else arrivals.PLAIN_APPEND_FAST
            brought[-1] = Record(kind, *brought[-1][1:])
            return brought
        usage = [Record(arrivals.USAGE, branch, name, bytes.fromhex(c), self._newest_us) for c, _, _ in self.usage]
        kind = arrivals.OWN if is_durable else arrivals.OWN_FAST
        return [*brought, *usage, Record(kind, branch, name, NO_HASH, self._newest_us)]
