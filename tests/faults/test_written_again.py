"""What this copy wrote itself and its redo log still holds, and what a copying tool took away: `repair` writes it again."""

from __future__ import annotations

import errno
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.copies import hashed
from tests.lab.disk import disk, full_from
from tests.lab.states import answers, event_files, remove_local, store_root
from tests.lab.stores import redact
from tests.lab.talk import Clock, texts, user
from tract_fs import Tract
from tract_fs.errors import HistoryIncomplete

TEXTS = ["base", "one", "two", "three"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of four commits; the redo log has the last three."""
    path = tmp_path / "store"
    with Tract.open(path, clock=Clock()) as t:
        t.commit(user("base"))
        t.flush()
        for text in TEXTS[1:]:
            t.commit(user(text))
    return path


def own_files(path: Path) -> set[str]:
    """Returns the files of the last three commits."""
    older = {name for name in hashed(path) if b'"base"' in hashed(path)[name]} | set(event_files(path)[:1])
    first = [name for name, data in hashed(path).items() if b'"parents":[]}}' in data]
    return hashed(path).keys() - older - set(first)


def take_away(path: Path, names: set[str]) -> None:
    for name in names:
        (store_root(path) / name).unlink()


KINDS: dict[str, Callable[[str], bool]] = {
    "all": lambda name: True,
    "events": lambda name: name.startswith("events/"),
    "objects": lambda name: name.startswith("objects/"),
}


@pytest.mark.parametrize("is_taken", KINDS.values(), ids=KINDS)
def test_what_a_copying_tool_took_away_is_written_again_at_one_repair(
    path: Path, is_taken: Callable[[str], bool]
) -> None:
    with Tract.open(path) as t:
        expected = answers(t)
    before = hashed(path)
    taken = {name for name in own_files(path) if is_taken(name)}
    assert len(taken) == {"all": 9, "events": 3, "objects": 6}[next(k for k, v in KINDS.items() if v is is_taken)]
    take_away(path, taken)
    with Tract.open(path) as t:
        assert set(t.repair().mended) == taken
        assert answers(t) == expected
        assert t.repair().mended == ()
    assert hashed(path) == before
    remove_local(path)
    with Tract.open(path) as t:
        assert texts(t) == TEXTS


def test_a_pack_of_another_copy_and_files_deleted_for_it_lose_no_text(path: Path, tmp_path: Path) -> None:
    """As unison leaves it that prefers the other copy, which has packed."""
    other = tmp_path / "other"
    shutil.copytree(path, other)
    take_away(other, own_files(path))
    remove_local(other)
    with Tract.open(other, clock=Clock()) as t:
        t.commit(user("of the other"))
        t.pack()
    shutil.rmtree(store_root(path) / "objects")
    shutil.rmtree(store_root(path) / "events")
    shutil.copytree(store_root(other) / "packs", store_root(path) / "packs")
    for kind in ("objects", "events"):
        if (store_root(other) / kind).exists():
            shutil.copytree(store_root(other) / kind, store_root(path) / kind)
    with Tract.open(path) as t:
        t.repair()
        status = t.status()
        assert (status.pending, status.gone, status.lost, len(status.other_heads)) == ((), (), (), 1)
        assert texts(t) == TEXTS


def test_a_packed_file_is_not_written_again(path: Path) -> None:
    with Tract.open(path) as t:
        t.pack()
        before = hashed(path)
        assert t.repair().mended == ()
    assert hashed(path) == before


def test_a_refused_transaction_is_not_written_again(path: Path) -> None:
    with Tract.open(path) as t:
        before = hashed(path)
        for number in range(100):
            try:
                with disk(full_from(number)):
                    t.commit(user("refused"))
                break
            except OSError as error:
                assert error.errno == errno.ENOSPC
            t.repair()
            assert hashed(path) == before
        assert number > 5
        assert texts(t) == [*TEXTS, "refused"]


def test_a_content_that_was_given_up_is_not_written_again(path: Path) -> None:
    with Tract.open(path) as t:
        newest = t.log()[0]
        content = newest.content_hash
    redact(path, content, after=newest.commit_hash, at="2031-01-01T00:00:00.000000Z")
    assert content is not None
    with Tract.open(path) as t:
        assert t.repair().mended == ()
        assert f"objects/{content[:2]}/{content[2:]}" not in hashed(path)


def test_what_repair_writes_again_is_named_in_the_error_and_in_status(path: Path) -> None:
    lost = event_files(path)[2]
    take_away(path, {lost})
    with Tract.open(path) as t:
        with pytest.raises(
            HistoryIncomplete, match="redo log still has what is missing: 'tract repair' writes it again"
        ):
            t.compile()
        assert t.status().advice[0] == (
            "this copy's redo log still has what is missing: 'tract repair' writes it again"
        )
        t.flush()
        with pytest.raises(HistoryIncomplete) as caught:
            t.compile()
        assert "redo" not in str(caught.value)
        assert not any("redo" in line for line in t.status().advice)


@pytest.mark.needs("git")
def test_what_went_with_a_checkout_stays_away(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        options = ["-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
        subprocess.run(["git", *options, *arguments], check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    with Tract.open(tmp_path) as t:
        t.commit(user("base"))
    git("add", ".")
    git("commit", "-qm", "base")
    git("switch", "-qc", "topic")
    with Tract.open(tmp_path) as t:
        t.commit(user("of the topic"))
    git("add", ".")
    git("commit", "-qm", "topic")
    git("switch", "-q", "main")
    before = hashed(tmp_path)
    with Tract.open(tmp_path) as t:
        assert t.repair().mended == ()
        assert texts(t) == ["base"]
    assert hashed(tmp_path) == before
