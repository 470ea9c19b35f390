"""Faults: every error at every call to the disk; a transaction is there whole or not at all, and the handle goes on."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.lab.disk import Disk, disk, full_from, nth, os_error
from tests.lab.states import (
    answers,
    copy_store,
    is_unlocked,
    local_files,
    own_place,
    prove_places,
    put,
    remove_local,
    store_root,
    synced,
    told_context,
)
from tests.lab.stores import fill
from tests.lab.talk import Clock, user
from tract_fs import InstructionContent, Tract
from tract_fs.errors import CommitUncertain, FileUnreadable, HistoryIncomplete, NotAStore, ReadOnlyError, TractError
from tract_fs.store import files, redo
from tract_fs.store.place import MARKER

ERRNOS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EMFILE,
    errno.ENFILE,
    errno.ESTALE,
    errno.EINTR,
)
MIB = 1024 * 1024
Fails = Callable[[str, int, tuple[Any, ...]], BaseException | None]


def batch_of(count: int) -> Callable[[Tract, str], object]:
    def run(t: Tract, root: str) -> object:
        with t.batch():
            for number in range(count):
                t.commit(user(f"one of {count}: {number}"), generation_config={"n": number})
        return None

    return run


WRITES: dict[
    str, tuple[Callable[[Tract, str], object], int]
] = {  # what is written, given the root; and how many commits it makes
    "commit": (lambda t, root: t.commit(user("a new message"), generation_config={"model": "m-9"}), 1),
    "edit": (lambda t, root: t.edit(root, InstructionContent(text="be long")), 1),
    "annotation": (lambda t, root: t.annotate(root, "skip"), 1),
    "usage": (lambda t, root: t.record_usage({"prompt_tokens": 1, "completion_tokens": 2}), 0),
    "batch": (batch_of(3), 3),
    "pack": (batch_of(33), 33),
    "large content": (lambda t, root: t.commit(user("x" * (MIB + 1))), 1),
}


def open_tract(path: Path, **options: Any) -> Tract:
    options.setdefault("durability", "fast")
    return Tract.open(path, clock=Clock(), lock_timeout_s=0.2, **options)


def hashes(t: Tract) -> list[str]:
    return [info.commit_hash for info in t.log(None)]


def by_fresh_handle(path: Path) -> tuple[list[str], dict[str, Any]]:
    """Returns log and compiled context as a handle sees them that trusts no cache."""
    with Tract.open(path, read_only=True, verify=True) as fresh:
        return hashes(fresh), told_context(fresh.compile())


def temporary_files(path: Path) -> list[str]:
    names = [*synced(path), *local_files(path)]
    return [name for name in names if "/.new" in f"/{name}"]


def check_whole_or_nothing(t: Tract, path: Path, before: dict[str, bytes], log: list[str], count: int) -> bool:
    """Checks the store after a write that may have failed; returns whether its transaction is there."""
    now, compiled = by_fresh_handle(path)
    after = synced(path)
    events = sum(name.startswith("events") for name in after) - sum(name.startswith("events") for name in before)
    if events == 0:
        assert now == log
        assert after == before, "a refused write left something behind"
    else:
        assert events == 1
        assert now[count:] == log
    assert temporary_files(path) == []
    assert is_unlocked(path), "the lock is held"
    assert hashes(t) == now, "the handle sees another history than a fresh one"
    assert told_context(t.compile()) == compiled
    return events == 1


def fail_at_every_call(
    path: Path, name: str, durability: str, error: Callable[[int, tuple[Any, ...]], BaseException]
) -> int:
    """Lets a write fail at each of its calls in turn, over one handle; returns how often it was refused."""
    refused = number = 0
    is_done = False
    with open_tract(path, durability=durability) as t:
        t.commit(user("a"), generation_config={"model": "m-1"})
        t.query_by_config("model", "=", "m-1")
        while not is_done:
            is_refused, is_done = fail_at_call(t, path, name, number, error)
            refused += is_refused
            number += 1
            assert number < 100, "the write makes more calls each time"
    assert number >= 5
    remove_local(path)
    with open_tract(path) as without_local:
        assert hashes(without_local) == by_fresh_handle(path)[0]
    return refused


def fail_at_call(
    t: Tract, path: Path, name: str, number: int, error: Callable[[int, tuple[Any, ...]], BaseException]
) -> tuple[bool, bool]:
    """Lets a write fail at one call; returns whether it was refused, and whether it made fewer calls than that."""
    act, count = WRITES[name]
    before, log = synced(path), hashes(t)
    raised: BaseException | None = None
    with disk(lambda call, found, given: error(number, given) if found == number else None) as failing:
        try:
            act(t, log[-1])
        except BaseException as caught:
            raised = caught
    is_there = check_whole_or_nothing(t, path, before, log, count)
    if raised is None:
        assert is_there, "a write that was not made was acknowledged"
    else:
        assert type(raised) is type(error(number, ())), repr(raised)
    assert t.commit(user(f"goes on after call {number}")).parents == (hashes(t)[1],)
    assert failing.raised or raised is None
    return raised is not None, failing.raised == 0


@pytest.mark.parametrize("code", ERRNOS, ids=errno.errorcode.get)
def test_a_durable_commit_is_there_whole_or_not_at_all(path: Path, code: int) -> None:
    assert fail_at_every_call(path, "commit", "durable", lambda number, given: os_error(code)) >= 3


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_a_fast_commit_is_there_whole_or_not_at_all(path: Path, code: int) -> None:
    assert fail_at_every_call(path, "commit", "fast", lambda number, given: os_error(code)) >= 3


@pytest.mark.parametrize("name", [name for name in WRITES if name not in ("commit", "pack")])
def test_any_write_is_there_whole_or_not_at_all(path: Path, name: str) -> None:
    assert fail_at_every_call(path, name, "durable", lambda number, given: os_error(errno.EIO)) >= 3


@pytest.mark.parametrize("durability", ["fast", "durable"])
def test_a_pack_is_there_whole_or_not_at_all(path: Path, durability: str) -> None:
    refused = number = 0
    is_done = False
    while not is_done:
        shutil.rmtree(path, ignore_errors=True)
        with open_tract(path, durability=durability) as t:
            t.commit(user("a"))
            is_refused, is_done = fail_at_call(t, path, "pack", number, lambda number, given: os_error(errno.EIO))
        refused += is_refused
        number += 1
    assert refused >= 3
    assert number < 200


@pytest.mark.parametrize("name", ["commit", "batch", "large content"])
def test_an_interrupt_at_any_call_leaves_all_or_nothing(path: Path, name: str) -> None:
    assert fail_at_every_call(path, name, "durable", lambda number, given: KeyboardInterrupt()) >= 3


@pytest.mark.parametrize("durability", ["fast", "durable"])
def test_a_disk_that_fails_for_good_from_any_call_on_leaves_all_or_nothing(path: Path, durability: str) -> None:
    act, count = WRITES["batch"]
    for number in range(120):
        shutil.rmtree(path, ignore_errors=True)
        with open_tract(path, durability=durability) as t:
            t.commit(user("a"))
            log = hashes(t)
            with disk(lambda call, found, given, n=number: os_error(errno.EIO) if found >= n else None) as failing:
                try:
                    act(t, log[-1])
                except OSError as error:
                    assert error.errno == errno.EIO
                except CommitUncertain as error:
                    assert isinstance(error.__cause__, OSError)
                    assert error.__cause__.errno == errno.EIO
            now, _ = by_fresh_handle(path)
            assert now in (log, now[:count] + log)
            assert is_unlocked(path), f"call {number}: the lock is held"
            assert hashes(t) == now, f"call {number}"
            if not failing.raised:
                return
            try:
                t.commit(user("goes on"))
            except ReadOnlyError:
                assert durability == "durable"
        assert by_fresh_handle(path)[0][-len(now) :] == now
    pytest.fail("the batch made more than 120 calls")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "durability", "is_local_kept"),
    [(errno.EIO, "durable", True), (errno.ENOSPC, "fast", True), (errno.EACCES, "durable", False)],
    ids=["EIO, durable", "ENOSPC, fast", "EACCES, durable, without local"],
)
def test_a_fresh_handle_that_fails_at_any_call_harms_nothing(
    tmp_path: Path, code: int, durability: str, is_local_kept: bool
) -> None:
    """Opens, commits, queries and closes a store, each time with one call that fails."""
    base = tmp_path / "base"
    with open_tract(base, durability=durability) as t:
        t.commit(user("a"), generation_config={"model": "m-1"})
        log = hashes(t)
    if not is_local_kept:
        remove_local(base)
    number = 0
    is_done = False
    while not is_done:
        path = copy_store(base, tmp_path / f"copy-{number}")
        with disk(nth(number, code)) as failing:
            try:
                t = open_tract(path, durability=durability)
                try:
                    t.commit(user("a new message"))
                    t.query_by_config("model", "=", "m-1")
                finally:
                    t.close()
            except OSError as error:
                assert error.errno == code
            except (FileUnreadable, NotAStore, CommitUncertain) as error:
                assert isinstance(error.__cause__, OSError)
                assert error.__cause__.errno == code
        now, _ = by_fresh_handle(path)
        assert now in (log, [now[0], *log])
        assert is_unlocked(path), f"call {number}: the lock is held"
        assert temporary_files(path) == []
        with open_tract(path) as again:
            assert hashes(again) == now
            assert again.commit(user("goes on")).parents == (now[0],)
        is_done = not failing.raised
        number += 1
        assert number < 400
    assert number > 15


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_a_store_whose_making_failed_at_any_call_can_be_made_after(tmp_path: Path, code: int) -> None:
    number = 0
    while True:
        path = tmp_path / f"context-{number}"
        with disk(nth(number, code)) as failing:
            try:
                with open_tract(path) as t:
                    t.commit(user("a"))
            except OSError as error:
                assert error.errno == code
            except NotAStore as error:  # FORMAT could not be read
                assert isinstance(error.__cause__, OSError)
                assert error.__cause__.errno == code
        with open_tract(path) as t:
            assert len(hashes(t)) in (0, 1)
            t.commit(user("b"))
            assert [message.content for message in t.compile().messages][-1] == "b"
        if not failing.raised:
            break
        number += 1
    assert number > 15


def test_a_tract_whose_first_commit_failed_is_not_listed(path: Path) -> None:
    with open_tract(path) as t:
        t.commit(user("a"))
    is_made = False
    number = 0
    while not is_made:
        with disk(full_from(number)), open_tract(path, tract_id="second") as second:
            try:
                second.commit(user("b"))
                is_made = True
            except OSError as error:
                assert error.errno == errno.ENOSPC
        assert Tract.tracts(path) == (["default", "second"] if is_made else ["default"])
        number += 1
    assert number > 5


# reading


@pytest.mark.parametrize(
    ("code", "is_local_kept"),
    [(errno.EIO, True), (errno.EMFILE, True), (errno.EACCES, False), (errno.ESTALE, False)],
    ids=["EIO", "EMFILE", "EACCES, without local", "ESTALE, without local"],
)
def test_a_read_that_fails_is_an_error_or_a_right_answer_never_an_absence(
    path: Path, code: int, is_local_kept: bool
) -> None:
    with open_tract(path) as t:
        fill(t)
        expected = answers(t)
    number = 0
    is_done = False
    while not is_done:
        if not is_local_kept:
            remove_local(path)
        with disk(nth(number, code)) as failing:
            try:
                with Tract.open(path, durability="fast") as t:
                    found = answers(t)
                    is_said = code == errno.EIO and t.compile().warnings != []
                    assert found == expected or is_said, f"call {number}: {failing.calls[number]}"
            except OSError as error:
                assert error.errno == code
            except (FileUnreadable, NotAStore) as error:
                assert isinstance(error.__cause__, OSError)
                assert error.__cause__.errno == code
            is_done = not failing.raised
        assert is_unlocked(path)
        number += 1
    with Tract.open(path, read_only=True) as t:
        assert answers(t) == expected
    assert number > 20


@pytest.mark.parametrize("code", [errno.EIO, errno.EMFILE], ids=errno.errorcode.get)
def test_a_handle_whose_read_failed_answers_the_next_time(path: Path, code: int) -> None:
    with open_tract(path) as t:
        fill(t)
        expected = answers(t)
    number = 0
    is_done = False
    while not is_done:
        with Tract.open(path, durability="fast") as t:
            with disk(nth(number, code)) as failing:
                try:
                    assert answers(t) == expected
                except OSError as error:
                    assert error.errno == code
                except FileUnreadable as error:
                    assert isinstance(error.__cause__, OSError)
                    assert error.__cause__.errno == code
            assert answers(t) == expected
            is_done = not failing.raised
        number += 1
    assert number > 10


def test_an_object_that_can_not_be_read_is_not_taken_for_missing(path: Path) -> None:
    with open_tract(path) as t:
        fill(t)
        log = hashes(t)
    remove_local(path)

    def fails(call: str, number: int, given: tuple[Any, ...]) -> BaseException | None:
        is_object = call == "open" and "/objects/" in str(given[0])
        return os_error(errno.EACCES, given[0]) if is_object else None

    with disk(fails), Tract.open(path) as t:
        with pytest.raises(HistoryIncomplete, match=r"commit\) is damaged; 8 commits depend on it"):
            t.compile()
        assert {waiting.state for waiting in t.status().waiting} <= {"damaged", "pending"}
        assert t.repair().unmoved != ()
    with Tract.open(path) as t:
        assert hashes(t) == log


@pytest.mark.parametrize(
    ("code", "is_read_only"),
    [(errno.EIO, False), (errno.ENOSPC, False), (errno.EIO, True)],
    ids=["EIO", "ENOSPC", "EIO, read-only"],
)
def test_what_a_copy_brings_is_taken_in_whatever_call_fails(tmp_path: Path, code: int, is_read_only: bool) -> None:
    base = tmp_path / "base"
    with open_tract(base) as t:
        t.commit(user("a"))
        t.compile()
    with open_tract(copy_store(base, tmp_path / "copy")) as other:
        for text in ("first", "second"):
            other.commit(user(text), generation_config={"model": "m-1", "temperature": 0.5})
        other.record_usage({"prompt_tokens": 9, "completion_tokens": 1})
        expected = answers(other)
        brought = synced(tmp_path / "copy")
    number = 0
    is_done = False
    while not is_done:
        path = copy_store(base, tmp_path / f"copy-{number}")
        with Tract.open(path, durability="fast", read_only=is_read_only) as t:
            for name in brought.keys() - synced(base).keys():
                put(store_root(path) / name, brought[name])
            with disk(nth(number, code)) as failing:
                try:
                    t.refresh()
                except OSError as error:
                    assert error.errno == code
            is_done = not failing.raised
            t.refresh()
            assert answers(t) == expected, f"call {number}: {failing.calls[number : number + 1]}"
        with Tract.open(path, durability="fast") as fresh:
            assert answers(fresh) == expected, f"call {number}: {failing.calls[number : number + 1]}"
        number += 1
        assert number < 400
    assert number > 5


# what was there before


def test_a_refused_commit_leaves_the_equal_commit_of_another_tract_alone(path: Path) -> None:
    """With equal clocks, two tracts may write the same commit; the object belongs to both."""
    with open_tract(path, tract_id="first") as first:
        name = first.commit(user("hello")).commit_hash
    before = synced(path)
    number = 0
    is_refused = True
    while is_refused:
        with open_tract(path, tract_id="second") as second, disk(nth(number, errno.ENOSPC)):
            try:
                assert second.commit(user("hello")).commit_hash == name
                is_refused = False
            except OSError:
                pass
        if is_refused:
            assert synced(path) == before, f"call {number}"
        number += 1
    remove_local(path)
    with open_tract(path, tract_id="first") as first:
        assert hashes(first) == [name]


def test_a_refused_batch_leaves_the_equal_pack_of_another_tract_alone(path: Path) -> None:
    with open_tract(path, tract_id="first") as first:
        batch_of(33)(first, "")
        log = hashes(first)
    before = synced(path)
    assert [name for name in before if name.startswith("packs/")]
    with open_tract(path, tract_id="second") as second:

        def fails(call: str, number: int, given: tuple[Any, ...]) -> BaseException | None:
            is_event = call == "rename" and "/events/" in str(given[1])
            return os_error(errno.ENOSPC) if is_event else None

        with disk(fails) as full, pytest.raises(OSError, match="No space"):
            batch_of(33)(second, "")
        assert full.raised == 1
    assert synced(path) == before
    remove_local(path)
    with open_tract(path, tract_id="first") as first:
        assert hashes(first) == log


def test_a_short_write_is_finished(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with open_tract(path, durability="durable") as t, disk() as slow:
        monkeypatch.setattr(slow, "write", lambda descriptor, data: write(descriptor, data[:7]), raising=False)
        fill(t)
        log = hashes(t)
    assert by_fresh_handle(path)[0] == log


def test_a_disk_that_fills_up_in_the_middle_of_a_file_leaves_no_part_of_it(path: Path) -> None:
    write = os.write
    with open_tract(path, durability="durable") as t:
        fill(t)
        number = 0
        is_refused = True
        while is_refused:
            before, log = synced(path), hashes(t)
            written = [0]

            def write_half(descriptor: int, data: bytes, n: int = number, made: list[int] = written) -> int:
                made[0] += 1
                if made[0] <= n:
                    return write(descriptor, data)
                if made[0] == n + 1:
                    return write(descriptor, data[: len(data) // 2])
                raise os_error(errno.ENOSPC)

            with disk() as full:
                full.__dict__["write"] = write_half
                try:
                    t.commit(user("a new message"))
                    is_refused = False
                except OSError as error:
                    assert error.errno == errno.ENOSPC
            assert check_whole_or_nothing(t, path, before, log, 1) is not is_refused
            number += 1
    assert number == 6  # redo, arrivals, content, commit, event: each refuses; then all pass


# syncs


class Syncs:
    """Lets chosen fsyncs fail, and remembers on which files."""

    def __init__(self, should_fail: Callable[[int, str], bool]) -> None:
        self._should_fail = should_fail
        self.count = 0
        self.failed: set[tuple[int, int]] = set()
        self.retried: list[str] = []

    def __call__(self, call: str, number: int, given: tuple[Any, ...]) -> BaseException | None:
        if call not in ("fsync", "fdatasync"):
            return None
        status = os.fstat(given[0])
        identity = status.st_dev, status.st_ino
        name = os.readlink(f"/proc/self/fd/{given[0]}")
        if identity in self.failed:
            self.retried.append(name)
        self.count += 1
        if not self._should_fail(self.count, name):
            return None
        self.failed.add(identity)
        return os_error(errno.EIO)


def cut_power(path: Path, target: Path, kept: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes `target` what a power cut may leave of a store: of the files outside local/ only those in `kept`, the redo logs, and another boot."""
    for name, data in kept.items():
        put(store_root(target) / name, data)
    for name in local_files(path):
        if name.startswith("local/") and ("/redo" in name or name.endswith(MARKER)):
            put(store_root(target) / name, (store_root(path) / name).read_bytes())
    monkeypatch.setattr(redo, "boot_id", lambda: "another boot")
    return prove_places(target)


@pytest.fixture
def durable(path: Path) -> Iterator[tuple[Tract, dict[str, bytes]]]:
    """A durable handle, and the files that were in the store when it was opened."""
    with open_tract(path) as t:
        fill(t)
    with open_tract(path, durability="durable") as t:
        yield t, synced(path)


def test_a_sync_that_fails_once_goes_to_a_new_file_and_loses_nothing(
    durable: tuple[Tract, dict[str, bytes]], path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    t, kept = durable
    t.commit(user("before"))
    syncs = Syncs(lambda count, name: count == 1)
    with disk(syncs):
        for number in range(3):
            t.commit(user(f"commit {number}"))
    assert syncs.failed
    assert syncs.retried == []
    log = hashes(t)
    target = cut_power(path, tmp_path / "after", kept, monkeypatch)
    with open_tract(target) as after:
        assert hashes(after) == log
        assert not after.status().needs_recovery


def test_a_sync_that_fails_twice_turns_the_handle_read_only(
    durable: tuple[Tract, dict[str, bytes]], path: Path
) -> None:
    t, _ = durable
    before = hashes(t)
    syncs = Syncs(lambda count, name: True)
    with disk(syncs):
        with pytest.raises(CommitUncertain, match="failed to make it durable") as caught:
            t.commit(user("not durable"))
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == errno.EIO
        assert (caught.value.hash, caught.value.hashes) == (hashes(t)[0], (hashes(t)[0],))
        for act in (
            lambda: t.commit(user("b")),
            lambda: t.annotate(before[0], "skip"),
            lambda: t.record_usage({"prompt_tokens": 1, "completion_tokens": 2}),
            t.flush,
        ):
            with pytest.raises(ReadOnlyError) as refused:
                act()
            assert refused.value.path == str(path)  # type: ignore[attr-defined]
            assert "durable" in str(refused.value)
        assert hashes(t) == by_fresh_handle(path)[0]
    assert syncs.retried == []
    assert is_unlocked(path)
    with open_tract(path, durability="durable") as again:
        assert hashes(again)[-len(before) :] == before
        again.commit(user("goes on"))


def test_a_handle_that_turned_read_only_still_sees_what_others_bring(
    durable: tuple[Tract, dict[str, bytes]], path: Path, tmp_path: Path
) -> None:
    t, _ = durable
    other_path = copy_store(path, tmp_path / "copy")
    with disk(Syncs(lambda count, name: True)), pytest.raises(CommitUncertain):
        t.commit(user("not durable"))
    log = hashes(t)
    with open_tract(path) as local:
        by_local = local.commit(user("by another handle")).commit_hash
    assert hashes(t) == [by_local, *log]
    with open_tract(other_path) as other:
        by_copy = other.commit(user("by another copy")).commit_hash
    shutil.copytree(
        store_root(other_path), store_root(path), dirs_exist_ok=True, ignore=shutil.ignore_patterns("local")
    )
    t.refresh()
    t.refresh()
    assert t.compile().messages
    found = t.get_commit(by_copy)
    assert found is not None
    assert t.status().other_heads == (by_copy,)


def test_a_log_that_can_be_neither_synced_nor_read_is_not_synced_again(
    durable: tuple[Tract, dict[str, bytes]], path: Path
) -> None:
    t, _ = durable
    syncs = Syncs(lambda count, name: count == 1)

    def fails(call: str, number: int, given: tuple[Any, ...]) -> BaseException | None:
        if call == "pread" and syncs.failed:
            return os_error(errno.EIO)
        return syncs(call, number, given)

    with disk(fails) as failing:
        with suppress(CommitUncertain):
            t.commit(user("not durable"))
        failing._fails = syncs
        with suppress(ReadOnlyError):
            t.commit(user("b"))
    assert syncs.retried == []


def test_a_large_file_whose_sync_fails_is_refused_whole_and_can_be_written_after(
    durable: tuple[Tract, dict[str, bytes]], path: Path
) -> None:
    t, _ = durable
    content = user("x" * (MIB + 1))
    for failing_sync in (1, 2):  # the file, then its directory
        before, log = synced(path), hashes(t)
        syncs = Syncs(lambda count, name, n=failing_sync: count == n)
        with disk(syncs), pytest.raises(OSError, match="Input/output error"):
            t.commit(content)
        assert not check_whole_or_nothing(t, path, before, log, 1)
        assert syncs.retried == []
    name = t.commit(content).commit_hash
    assert by_fresh_handle(path)[0][0] == name


def test_entries_stay_in_the_log_when_the_file_system_failed_to_sync(
    durable: tuple[Tract, dict[str, bytes]], path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync that is repeated after it failed reports success and has lost the pages; so the log must not be emptied by it."""
    t, kept = durable
    t.commit(user("acknowledged"))
    log = hashes(t)
    with (
        disk(lambda call, number, given: os_error(errno.EIO) if call == "syncfs" else None),
        pytest.raises(OSError, match="Input/output error"),
    ):
        t.flush()
    with disk() as calls, suppress(TractError):
        t.flush()
    is_rewritten = "rename" in calls.calls
    target = cut_power(path, tmp_path / "after", kept, monkeypatch)
    with open_tract(target) as after:
        assert is_rewritten or hashes(after) == log


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_after_a_refused_commit_a_power_cut_loses_none_and_brings_none_back(
    path: Path, tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_tract(path) as t:
        t.commit(user("a"))
    kept = synced(path)
    for is_redo_kept in (True, False):
        number = 0
        is_done = False
        while not is_done:
            work = copy_store(path, tmp_path / f"work-{is_redo_kept}-{number}")
            if not is_redo_kept:
                (own_place(work) / "redo").unlink(missing_ok=True)
            with open_tract(work, durability="durable") as t:
                if is_redo_kept:
                    t.commit(user("first entry"))
                with disk(nth(number, code)) as failing, suppress(OSError, CommitUncertain):
                    t.commit(user("may be refused"))
                t.commit(user("acknowledged"))
                log = hashes(t)
                is_done = not failing.raised
                with monkeypatch.context() as patched:
                    target = cut_power(work, tmp_path / f"after-{is_redo_kept}-{number}", kept, patched)
                    with open_tract(target) as after:
                        assert hashes(after) == log, f"call {number}: {failing.calls[number : number + 1]}"
                        assert after.status().other_heads == ()
            number += 1
        assert number > 5


def test_the_calls_of_a_commit_are_seen_by_these_tests(path: Path) -> None:
    """The stand-in for the disk is itself tested: it sees the writes, renames and the one sync of a commit."""
    with open_tract(path, durability="durable") as t:
        fill(t)
        with disk() as seen:
            t.commit(user("a"))
    assert isinstance(seen, Disk)
    assert seen.calls.count("rename") == 3
    assert seen.calls.count("fdatasync") == 1
    assert seen.calls.count("write") == 5


def test_an_error_while_a_commit_is_written_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    for durability, file in (("fast", "/tracts/default/arrivals"), ("durable", "/redo")):
        with Tract.open(tmp_path / durability, durability=durability) as t:
            t.commit({"content_type": "reasoning", "text": "before"})
            with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left") as caught:
                patched.setattr(os, "write", full)
                t.commit({"content_type": "reasoning", "text": "refused"})
            assert str(caught.value.filename) == f"{own_place(tmp_path / durability)}{file}"
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left") as caught:
        patched.setattr(os, "write", full)
        files.replace(f"{tmp_path}/a-file", b"x")
    assert caught.value.filename == f"{tmp_path}/a-file"
