"""One call of the system that fails, in every operation, with every error a disk gives: nothing acknowledged is lost, nothing
refused comes back after a reboot, each error names its file, and the same operation works when the disk does again.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.disk import disk, nth
from tests.lab.power import in_next_boot, start_anew
from tests.lab.stores import AT_ONCE
from tests.lab.talk import say, texts, user
from tract_fs import TokenUsage, Tract
from tract_fs.errors import CommitUncertain, ReadOnlyError, TractError
from tract_fs.store import files

Work = Callable[[Tract, Path], object]
CODES = (errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EROFS, errno.EDQUOT)
START = ["one", "two"]


def batch(t: Tract, _: Path) -> None:
    with t.batch():
        say(t, *(f"b{number}" for number in range(10)))


def large_batch(t: Tract, _: Path) -> None:
    with t.batch():
        say(t, "x" * 2_000_000, "y" * 2_000_000)


def merge(t: Tract, _: Path) -> None:
    t.merge("side")


def sync(t: Tract, path: Path) -> None:
    (path / "stick").mkdir(exist_ok=True)
    t.sync(path / "stick")


def tag(t: Tract, _: Path) -> None:
    t.tag("v1", force=True)


WORKS: dict[str, Work] = {
    "commit": lambda t, _: say(t, "new"),
    "batch": batch,
    "large batch": large_batch,
    "edit": lambda t, _: t.edit("main~1", user("edited")),
    "annotate": lambda t, _: t.annotate("main~1", "skip"),
    "reset": lambda t, _: t.reset("main~1"),
    "tag": tag,
    "merge": merge,
    "pack": lambda t, _: t.pack(keep_loose=AT_ONCE),
    "sync": sync,
    "record_usage": lambda t, _: t.record_usage(TokenUsage(1, 2, 3)),
}


def state_of(t: Tract) -> tuple[object, ...]:
    """Returns what a fresh look at a tract shows of what these operations change."""
    heads = {name: found for name, found in t.branches().items() if name == "main"}
    return heads, t.tags(), texts(t), t.status().other_heads


def shown(path: Path) -> tuple[object, ...]:
    with Tract.open(path, durability="fast") as fresh:
        return state_of(fresh)


def one_trial(path: Path, work: Work, durability: str, number: int, code: int, counts: Counter[str]) -> bool:
    """Lets one call fail; returns False where the operation makes fewer calls. What is wrong is counted."""
    shutil.rmtree(path, ignore_errors=True)
    store = path / "store"
    t = Tract.open(store, durability=durability, lock_timeout_s=0)  # type: ignore[arg-type]
    say(t, "one")
    t.branch("side")
    say(t, "two")
    t.switch("side")
    say(t, "beside")
    t.switch("main")
    before = state_of(t)
    opened = len(os.listdir("/proc/self/fd"))
    error: Exception | None = None
    with disk(nth(number, code)) as failing:
        try:
            work(t, path)
        except Exception as raised:
            error = raised
    if not failing.raised:
        t.close()
        return False
    counts["trials"] += 1
    counts["raised"] += error is not None
    if isinstance(error, OSError):
        counts["without a path"] += error.filename is None
    elif error is not None:
        counts["of no type"] += not isinstance(error, TractError)
    counts["in doubt"] += isinstance(error, CommitUncertain)
    counts["files left open"] += len(os.listdir("/proc/self/fd")) > opened + 8
    now = shown(store)
    is_landed = now != before
    if error is not None and is_landed and not isinstance(error, CommitUncertain):
        counts["refused, and stands"] += 1
    if error is None and durability == "durable":
        image = path / "image"
        shutil.copytree(store, image)
        start_anew(image)
        with in_next_boot():
            counts["acknowledged, then lost"] += shown(image) != now
    if error is not None and not is_landed:
        image = path / "image"
        shutil.copytree(store, image)
        start_anew(image)
        with in_next_boot():
            counts["comes back"] += shown(image) != before
        try:
            work(t, path)
        except ReadOnlyError:
            counts["retry refused, with the reason"] += 1
        except Exception as again:
            counts[f"retry fails: {again!r:.120}"] += 1
    t.close()
    files.close_directories(str(path))
    return True


def try_all(path: Path, step: int, codes: tuple[int, ...]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for (name, work), durability in itertools.product(WORKS.items(), ("durable", "fast")):
        for code in codes:
            number = (code + len(name)) % step
            while one_trial(path, work, durability, number, code, counts):
                number += step
    return counts


HARMLESS = {"trials", "raised", "in doubt", "retry refused, with the reason"}


@pytest.mark.slow
def test_a_call_that_fails_anywhere_loses_nothing_and_says_which_file(tmp_path: Path) -> None:
    counts = try_all(tmp_path, 19, (errno.ENOSPC, errno.EIO, errno.EMFILE))
    print(dict(counts))
    assert counts["trials"] > 100
    assert {name: count for name, count in counts.items() if count and name not in HARMLESS} == {}


@pytest.mark.campaign
def test_each_call_that_fails_with_each_error_loses_nothing_and_says_which_file(tmp_path: Path) -> None:
    counts = try_all(tmp_path, 1, CODES)
    print(dict(counts))
    assert counts["trials"] > 800
    assert {name: count for name, count in counts.items() if count and name not in HARMLESS} == {}
