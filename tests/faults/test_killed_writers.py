"""A writer that was killed before its event had a file leaves nothing: no message, and no event that counts as lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.talk import user
from tract_fs import Tract

# The three renames of a fast commit: the content, the commit, the event. The record in arrivals comes before all of them.
_DIES_AT_RENAME = """
import os, sys
from tract_fs import DialogueContent, Tract
t = Tract.open(sys.argv[1], durability=sys.argv[3])
t.commit(DialogueContent(role="user", text="one"))
rename, left = os.rename, [int(sys.argv[2])]
def rename_or_die(*arguments, **options):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), 9)
    return rename(*arguments, **options)
os.rename = rename_or_die
t.commit(DialogueContent(role="user", text="two"))
"""


def kill_a_writer(path: Path, rename: int, durability: str = "fast") -> None:
    """Commits "one", and is killed at a rename of the commit of "two"."""
    command = [sys.executable, "-c", _DIES_AT_RENAME, str(path), str(rename), durability]
    assert subprocess.run(command, check=False).returncode == -9


def require_only_one(path: Path, **options: bool) -> None:
    with Tract.open(path, **options) as t:  # type: ignore[arg-type]
        context, status = t.compile(), t.status()
        assert [message.content for message in context.messages] == ["one"]
        assert context.warnings == []
        assert (status.gone, status.pending, status.damaged) == ((), (), ())


@pytest.mark.parametrize(("rename", "durability"), [(1, "fast"), (2, "fast"), (3, "fast"), (3, "durable")])
def test_an_event_that_was_never_written_is_not_gone(tmp_path: Path, rename: int, durability: str) -> None:
    kill_a_writer(tmp_path, rename, durability)
    require_only_one(tmp_path, verify=True, read_only=True)
    require_only_one(tmp_path, verify=True)
    require_only_one(tmp_path)


@pytest.mark.parametrize("verify", [False, True])
def test_repair_writes_no_event_that_was_never_acknowledged(tmp_path: Path, verify: bool) -> None:
    """The temporary file of the killed writer has all bytes of its event."""
    kill_a_writer(tmp_path, 3)
    with Tract.open(tmp_path, verify=verify) as t:
        assert [name.rpartition("/")[2][:5] for name in t.status().strays] == [".new."]
        report = t.repair()
        assert (report.salvaged, report.mended, report.set_aside) == ((), (), ())
    require_only_one(tmp_path)
    with Tract.open(tmp_path) as t:
        t.commit(user("three"))
        t.repair()
        assert [message.content for message in t.compile().messages] == ["one", "three"]
        assert t.status().gone == ()


def test_an_event_that_another_record_follows_was_written_and_counts_as_gone(tmp_path: Path) -> None:
    kill_a_writer(tmp_path, 3)
    with Tract.open(tmp_path) as t:
        t.commit(user("two"))
        t.commit(user("three"))
        names = [entry.event for entry in t.reflog()][:2]
        for name in names:
            (tmp_path / ".tract/events/default" / name[:2] / name[2:]).unlink()
        with Tract.open(tmp_path, verify=True) as other:  # this view is not saved yet: only the record shows it
            assert len(other.status().gone) == 1
        t.refresh()
        assert sorted(t.status().gone) == sorted(names)
