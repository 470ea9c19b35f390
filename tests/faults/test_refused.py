"""A transaction that was refused stays refused: no failing step of taking it back keeps the others from being done, and no power cut brings it back."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.disk import disk, os_error
from tests.lab.inside import store_of
from tests.lab.power import lose_loose_files
from tests.lab.states import list_never, own_place, synced
from tests.lab.talk import texts, user
from tract_fs import Tract
from tract_fs.errors import CommitUncertain, ReadOnlyError
from tract_fs.store import redo
from tract_fs.store.store import Store

Fails = Callable[[str, int, tuple[Any, ...]], BaseException | None]


def at(*places: tuple[str, str], code: int = errno.EIO) -> Fails:
    """Lets each call fail that is one of these and has this text in its path, or in that of its descriptor."""

    def fails(call: str, _number: int, arguments: tuple[Any, ...]) -> BaseException | None:
        path = shown(arguments)
        for name, part in places:
            if call == name and part in path:
                return os_error(code, arguments[0])
        return None

    return fails


def shown(arguments: tuple[Any, ...]) -> str:
    first = arguments[0] if arguments else ""
    if isinstance(first, int):
        return str(Path(f"/proc/self/fd/{first}").readlink())
    return str(first)


def entries_of(path: Path) -> list[str]:
    return [entry.name for entry in redo.iter_entries(str(own_place(path) / "redo"))]


def require_refused(path: Path, t: Tract) -> None:
    """Commits, cuts the power, and checks that the refused commit is nowhere and nothing else is lost."""
    t.commit(user("second"))
    assert texts(t) == ["one", "second"]
    t.close()
    lose_loose_files(path)
    with Tract.open(path) as after:
        assert texts(after) == ["one", "second"]
        assert after.status().other_heads == ()
        assert after.status().pending == ()


@pytest.fixture
def t(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tract:
    list_never(monkeypatch)  # a listing would meet the fault before the write does
    tract = Tract.open(tmp_path)
    tract.commit(user("one"))
    return tract


EVENT = ("rename", "/events/")
STEPS = {
    "none": (),
    "arrivals": (("ftruncate", "/arrivals"),),
    "objects": (("unlink", "/objects/"),),
    "arrivals and objects": (("ftruncate", "/arrivals"), ("unlink", "/objects/")),
    "the cut of the redo log": (("ftruncate", "/redo"),),
    "the sync of the cut": (("fdatasync", "/redo"),),
    "all but a new redo log": (("ftruncate", "/redo"), ("ftruncate", "/arrivals"), ("unlink", "/objects/")),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_of_taking_back_that_fails_keeps_none_of_the_others_from_being_done(
    tmp_path: Path, t: Tract, step: str
) -> None:
    before, kept = synced(tmp_path), entries_of(tmp_path)
    with disk(at(EVENT, *STEPS[step])), pytest.raises(OSError, match="Input/output error") as caught:
        t.commit(user("refused"))
    assert "/events/default/" in str(caught.value.filename)
    assert entries_of(tmp_path) == kept
    if "objects" not in step and "all" not in step:
        assert synced(tmp_path) == before
    require_refused(tmp_path, t)


def test_where_no_file_can_be_opened_a_commit_is_refused_for_ever(tmp_path: Path, t: Tract) -> None:
    t.close()
    kept = entries_of(tmp_path)
    t = Tract.open(tmp_path)
    assert texts(t) == ["one"]
    with disk(at(("open", "/arrivals"), code=errno.EMFILE)), pytest.raises(OSError, match="Too many open files"):
        t.commit(user("refused"))
    assert entries_of(tmp_path) == kept
    require_refused(tmp_path, t)


def test_a_refused_commit_that_the_disk_keeps_in_the_redo_log_is_in_doubt_until_the_next_one(
    tmp_path: Path, t: Tract
) -> None:
    kept = entries_of(tmp_path)
    with (
        disk(at(EVENT, ("ftruncate", "/redo"), ("rename", "/local/"))),
        pytest.raises(CommitUncertain, match="a power cut may bring it back") as caught,
    ):
        t.commit(user("refused"))
    assert isinstance(caught.value.__cause__, OSError)
    assert len(entries_of(tmp_path)) == len(kept) + 3
    assert caught.value.hash in entries_of(tmp_path)
    assert caught.value.hashes == (caught.value.hash,)
    assert texts(t) == ["one"]
    require_refused(tmp_path, t)


def test_a_refused_commit_is_taken_out_from_between_those_of_others(tmp_path: Path, t: Tract) -> None:
    with disk(at(EVENT, ("ftruncate", "/redo"), ("rename", "/local/"))), pytest.raises(CommitUncertain) as caught:
        t.commit(user("refused"))
    with Tract.open(tmp_path) as other:
        other.commit(user("of another"))
    assert caught.value.hash in entries_of(tmp_path)
    t.commit(user("second"))
    assert caught.value.hash not in entries_of(tmp_path)
    assert texts(t) == ["one", "of another", "second"]
    t.close()
    lose_loose_files(tmp_path)
    with Tract.open(tmp_path) as after:
        assert texts(after) == ["one", "of another", "second"]


def test_a_close_takes_a_refused_commit_out_of_the_redo_log(tmp_path: Path, t: Tract) -> None:
    kept = entries_of(tmp_path)
    with disk(at(EVENT, ("ftruncate", "/redo"), ("rename", "/local/"))), pytest.raises(CommitUncertain):
        t.commit(user("refused"))
    t.close()
    assert entries_of(tmp_path) == kept


# ---------------------------------------------------------------------------------------------------------------------
# In doubt


def test_a_commit_that_no_sync_makes_durable_is_in_doubt_and_named(tmp_path: Path, t: Tract) -> None:
    with disk(at(("fdatasync", "/redo"))), pytest.raises(CommitUncertain) as caught, t.batch():
        first = t.commit(user("two")).commit_hash
        last = t.commit(user("three")).commit_hash
    assert (caught.value.hash, caught.value.hashes) == (last, (first, last))
    assert "it is in the history, but the disk failed to make it durable" in caught.value.reason
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EIO
    assert t.get_commit(last) is not None
    assert texts(t) == ["one", "two", "three"]
    with pytest.raises(ReadOnlyError):
        t.commit(user("four"))


def test_one_sync_that_fails_leaves_nothing_in_doubt(tmp_path: Path, t: Tract) -> None:
    count = [0]

    def fails(call: str, _number: int, arguments: tuple[Any, ...]) -> BaseException | None:
        count[0] += call == "fdatasync"
        return os_error(errno.EIO) if call == "fdatasync" and count[0] == 1 else None

    with disk(fails):
        t.commit(user("two"))
    assert texts(t) == ["one", "two"]


def test_an_event_whose_rename_can_not_be_seen_is_in_doubt(tmp_path: Path, t: Tract) -> None:
    with (
        disk(at(EVENT, ("stat", "/events/default/"))),
        pytest.raises(CommitUncertain, match="does not show whether") as caught,
    ):
        t.commit(user("two"))
    assert len(caught.value.hash) == 64


def test_a_full_checkpoint_that_fails_raises_from_no_commit(
    tmp_path: Path, t: Tract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redo, "CHECKPOINT_BYTES", 100)
    store: Store = store_of(t)
    store._sync_failed = True
    with disk(at(("syncfs", ""))):
        t.commit(user("two"))
    assert texts(t) == ["one", "two"]
