"""Events that one handle found whole and recorded, and that another can't apply yet: an object of theirs is not here now."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.states import copy_store, files_of, store_root, synced
from tests.lab.talk import user
from tract_fs import Tract


def bring(source: Path, target: Path) -> None:
    """Copies what the other copy lacks."""
    there = synced(target)
    for name, data in synced(source).items():
        if name not in there:
            file = store_root(target) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)


@pytest.fixture
def copies(tmp_path: Path) -> tuple[Path, Path, str]:
    """Two copies with a commit, and the hash of a second one; the first copy has then set the branch back to the first commit."""
    with Tract.open(tmp_path / "a") as t:
        first = t.commit(user("first")).commit_hash
    copy_store(tmp_path / "a", tmp_path / "b")
    with Tract.open(tmp_path / "a") as t:
        second = t.commit(user("second")).commit_hash
        t.reset(first)
    return tmp_path / "a", tmp_path / "b", second


def test_a_handle_that_lacks_an_object_of_a_recorded_event_shows_the_same_heads_later(
    copies: tuple[Path, Path, str],
) -> None:
    source, path, second = copies
    with Tract.open(path) as follower:
        bring(source, path)
        with Tract.open(path) as writer:
            writer.refresh()
            third = writer.commit(user("third")).commit_hash
        file = files_of(path)[f"objects/{second[:2]}/{second[2:]}"]
        data = file.read_bytes()
        file.unlink()
        follower.refresh()
        assert len(follower.status().pending) == 3
        file.write_bytes(data)
        follower.refresh()
        assert (follower.branches(), follower.status().pending) == ({"main": (third,)}, ())
        fourth = follower.commit(user("fourth")).commit_hash
    for _ in range(2):
        with Tract.open(path) as t:
            assert t.branches() == {"main": (fourth,)}
            assert [info.commit_hash for info in t.log()][:2] == [fourth, third]


def test_a_commit_of_a_handle_that_lacks_an_object_hides_no_head_from_one_that_has_it(
    copies: tuple[Path, Path, str],
) -> None:
    source, path, second = copies
    with Tract.open(source) as t:
        t.reset(second)
    with Tract.open(path, incomplete="use") as writer, Tract.open(path) as follower:
        bring(source, path)
        follower.refresh()
        assert follower.branches() == {"main": (second,)}
        file = files_of(path)[f"objects/{second[:2]}/{second[2:]}"]
        data = file.read_bytes()
        file.unlink()
        writer.refresh()
        other = writer.commit(user("other")).commit_hash
        file.write_bytes(data)
        assert {name: set(heads) for name, heads in follower.branches().items()} == {"main": {second, other}}
        writer.refresh()
        assert {name: set(heads) for name, heads in writer.branches().items()} == {"main": {second, other}}
    with Tract.open(path) as t:
        assert {name: set(heads) for name, heads in t.branches().items()} == {"main": {second, other}}
