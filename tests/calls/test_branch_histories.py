"""Random histories of branches, tags, resets, forks and merge-backs on two copies, held against the reference model after every step."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.lab.copies import sync_files
from tests.lab.reference import ReferenceStore
from tests.lab.states import remove_local
from tests.lab.stores import merge_back, merge_commit
from tests.lab.talk import START_US, Clock, user
from tract_fs import Tract
from tract_fs.errors import TractError

HISTORIES = int(os.environ.get("TRACT_BRANCH_HISTORIES", "16"))
STEPS = 40
NAMES = ("main", "dev", "x/y", "topic")
TRACTS = ("default", "sub", "subsub")


class Copies:
    """Two copies of a store, with a handle per tract on each that stays open."""

    def __init__(self, folder: str, seed: int) -> None:
        self.random = random.Random(seed)
        self.paths = [Path(folder) / "a", Path(folder) / "b"]
        clocks = [Clock(START_US), Clock(START_US + self.random.choice([0, 500_000, -(10**7)]))]
        self.handles = [
            {tract: Tract.open(path, tract_id=tract, clock=clock, durability="fast") for tract in TRACTS}
            for path, clock in zip(self.paths, clocks, strict=True)
        ]
        self.done: list[str] = []

    def close(self) -> None:
        for handles in self.handles:
            for handle in handles.values():
                handle.close()

    def step(self) -> None:
        side = self.random.randrange(2)
        t = self.handles[side][self.random.choice(("default", *TRACTS))]
        name, call = self.random.choice(STEP_CALLS)
        before = t.head, str(t.branch)
        with suppress(TractError):
            call(self, t, side)
            self.done.append(name)
        after = t.head, str(t.branch)
        if before[1] == after[1] and before[0] != after[0] and name not in ("sync", "switch", "rename"):
            entry = t.reflog(1)[0]
            assert (entry.old_head, entry.head) == (before[0], after[0]), name

    def any_commit(self, t: Tract) -> str:
        found = [info.commit_hash for info in t.log(None, branch=self.random.choice(sorted(t.branches()) or ["none"]))]
        return self.random.choice(found)

    def check(self) -> None:
        for handles, path in zip(self.handles, self.paths, strict=True):
            store = ReferenceStore(path)
            known = {name for tract in TRACTS for name in store.tract(tract).tract_commits()}
            for tract, t in handles.items():
                t.refresh()
                model = store.tract(tract)
                assert len(t.status().pending) == len(model.pending) + len(model.invalid)
                branches = t.branches()
                assert {name: set(heads) for name, heads in branches.items()} == model.branches()
                assert t.tags() == model.tags()
                for heads in branches.values():
                    assert len(heads) == len(set(heads))
                assert {name for name in known if t.get_commit(name) is not None} == model.tract_commits()
                found = t.query_by_config("n", ">=", 0)
                assert [info.commit_hash for info in found] == model.query("n", ">=", 0)
                head = t.head
                if head is not None:
                    assert head == branches[t.branch][0]
                    compiled, expected = t.compile(), model.compile(head)
                    assert (compiled.commit_hashes, compiled.generation_configs, compiled.token_count) == (
                        expected.commit_hashes,
                        expected.generation_configs,
                        expected.token_count,
                    )
                    assert [info.commit_hash for info in t.log(None)] == model.log(head)


def _commit(copies: Copies, t: Tract, _: int) -> None:
    number = copies.random.randrange(10**6)
    config = {"n": number} if number % 2 else None
    t.commit(user(f"said {number}"), generation_config=config)


def _batch(copies: Copies, t: Tract, side: int) -> None:
    with t.batch():
        _commit(copies, t, side)
        if copies.random.random() < 0.5:
            t.reset(copies.any_commit(t))
        if copies.random.random() < 0.5:
            _commit(copies, t, side)


def _sync(copies: Copies, _: Tract, __: int) -> None:
    sync_files(*copies.paths)


def _fork(copies: Copies, t: Tract, _: int) -> None:
    t.fork(copies.random.choice(TRACTS)).close()


def _merge_back(copies: Copies, t: Tract, side: int) -> None:
    other = copies.handles[side][copies.random.choice(TRACTS)]
    if t.head is None or other.head is None or other is t or other.head in {i.commit_hash for i in t.log(None)}:
        return
    merge_back(t, other)


def _merge(copies: Copies, t: Tract, _: int) -> None:
    target = copies.any_commit(t)
    if t.head is not None and target not in {info.commit_hash for info in t.log(None)}:
        merge_commit(t, target)


StepCall = Callable[[Copies, Tract, int], object]
STEP_CALLS: list[tuple[str, StepCall]] = [
    *[("commit", _commit)] * 6,
    ("edit", lambda c, t, _: t.edit(c.any_commit(t), user("edited"), generation_config={"n": 0})),
    ("annotate", lambda c, t, _: t.annotate(c.any_commit(t), c.random.choice(["skip", "normal", "pinned"]))),
    ("batch", _batch),
    ("branch", lambda c, t, _: t.branch(c.random.choice(NAMES), at=c.any_commit(t))),
    ("switch", lambda c, t, _: t.switch(c.random.choice(NAMES))),
    ("switch", lambda c, t, _: t.switch(c.random.choice(NAMES))),
    *[("rename", lambda c, t, _: t.rename_branch(c.random.choice(NAMES), c.random.choice(NAMES)))] * 2,
    ("delete", lambda c, t, _: t.delete_branch(c.random.choice(NAMES), force=c.random.random() < 0.5)),
    ("reset", lambda c, t, _: t.reset(c.any_commit(t))),
    ("undo", lambda c, t, _: t.undo(anyone=c.random.random() < 0.5)),
    ("tag", lambda c, t, _: t.tag(c.random.choice(NAMES), c.any_commit(t), force=True)),
    *[("untag", lambda c, t, _: t.untag(c.random.choice(NAMES)))] * 2,
    ("pick", lambda c, t, _: t.cherry_pick(c.any_commit(t))),
    ("revert", lambda c, t, _: t.revert(c.any_commit(t))),
    ("fork", _fork),
    ("fork", _fork),
    ("merge", _merge),
    ("merge back", _merge_back),
    ("merge back", _merge_back),
    *[("sync", _sync)] * 3,
]


@contextmanager
def copies_of(seed: int) -> Iterator[Copies]:
    with tempfile.TemporaryDirectory(prefix="tract-branches-") as folder:
        copies = Copies(folder, seed)
        try:
            yield copies
        finally:
            copies.close()


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_a_random_history_agrees_with_the_reference(seed: int) -> None:
    with copies_of(seed) as copies:
        for _ in range(STEPS):
            copies.step()
            copies.check()
        sync_files(*copies.paths)
        copies.check()
        told = [{t: (h.branches().keys(), h.tags()) for t, h in handles.items()} for handles in copies.handles]
        assert told[0] == told[1]
        copies.close()
        remove_local(copies.paths[0])
        copies.handles[0] = {
            tract: Tract.open(copies.paths[0], tract_id=tract, read_only=True) for tract in reversed(TRACTS)
        }
        copies.handles[1] = {tract: Tract.open(copies.paths[1], tract_id=tract, verify=True) for tract in TRACTS}
        copies.check()


def test_the_random_histories_reach_every_call() -> None:
    done: set[str] = set()
    for seed in range(HISTORIES):
        with copies_of(seed) as copies:
            for _ in range(STEPS):
                copies.step()
            done.update(copies.done)
    assert done == {name for name, _ in STEP_CALLS}
