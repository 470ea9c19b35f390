"""A store that the users of one group share: each can write what the other made, whatever their umasks."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.processes import run_child
from tests.lab.stores import AT_ONCE
from tests.lab.talk import texts, user
from tract_fs import Tract

GROUP, ANNA, BERT, STRANGER = 54_321, 54_322, 54_323, 54_324


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root can work as two users")
    commit(tmp_path, "text", is_packed=True)()  # imports all: the users may not be let in where the modules lie
    path = Path(tempfile.mkdtemp(prefix="tract-shared-"))  # not below the directory of pytest, which others can't enter
    os.chown(path, ANNA, GROUP)
    path.chmod(0o2775)
    yield path
    shutil.rmtree(path)


def as_user(name: int, umask: int, work: Callable[[], object], *, groups: tuple[int, ...] = (GROUP,)) -> str:
    """Does some work as another user in a child process, and returns its result as a string, or the error."""

    def run(tell: Callable[[bytes], None]) -> None:
        os.setgroups(list(groups))
        os.setresgid(name, name, name)
        os.setresuid(name, name, name)
        os.umask(umask)
        try:
            tell(str(work()).encode())
        except OSError as error:
            tell(f"{type(error).__name__}: {error.strerror}".encode())

    code, lines = run_child(run)
    assert code == 0, lines
    return lines[-1]


def commit(path: Path, text: str, **options: bool) -> Callable[[], object]:
    def work() -> object:
        with Tract.open(path) as t:
            if options.get("is_packed"):
                t.pack(keep_loose=AT_ONCE)
            t.commit(user(text), generation_config={"seed": len(text)})
            return texts(t), len(t.query_by_config("seed", ">", 0))

    return work


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
def test_two_users_of_a_group_write_one_store(shared: Path, umask: int) -> None:
    assert as_user(ANNA, umask, commit(shared, "by Anna")) == "(['by Anna'], 1)"
    assert as_user(BERT, umask, commit(shared, "by Bert")) == "(['by Anna', 'by Bert'], 2)"
    assert as_user(ANNA, umask, commit(shared, "again", is_packed=True)) == "(['by Anna', 'by Bert', 'again'], 3)"
    assert (
        as_user(BERT, umask, commit(shared, "and again", is_packed=True))
        == "(['by Anna', 'by Bert', 'again', 'and again'], 4)"
    )
    places = [name for name in (shared / ".tract/local").iterdir() if not name.name.startswith(".new.")]
    assert len(places) == 1


def test_who_can_not_write_learns_whose_file_it_is(shared: Path) -> None:
    as_user(ANNA, 0o022, commit(shared, "by Anna"))
    found = as_user(STRANGER, 0o022, commit(shared, "by a stranger"), groups=())
    assert found.startswith("PermissionError: Permission denied; ")
    assert f" belongs to user {ANNA}, mode " in found
