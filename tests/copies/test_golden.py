"""Golden stores: what an earlier version of the package wrote opens for ever, and answers what it answered then.

The stores and the answers in `tests/golden` were written at revision 116b562, the one before modules moved into folders.
"""

from __future__ import annotations

import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.lab import golden
from tests.lab.states import members_of, synced
from tests.lab.stores import AT_ONCE
from tract_fs import DialogueContent, Tract
from tract_fs.work import resolutions

STORED = Path(__file__).parents[1] / "golden"
ANSWERS = (STORED / "answers.json").read_text(encoding="utf-8")
MAIN = "524a5e4ca93314549322bd3fe5854674f3923f3fe6b22f267282b53f84780273"
NAMES = ("loose", "packed")
OPENINGS = {
    "read-only": {"read_only": True},
    "read-only, verified": {"read_only": True, "verify": True},
    "writable": {},
    "writable, verified": {"verify": True},
}


@pytest.fixture(params=NAMES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Makes a copy of one golden store; returns its directory."""
    shutil.copytree(STORED / request.param, tmp_path / "store")
    return tmp_path / "store"


def is_golden(answers: str) -> None:
    # line by line: a difference of long texts takes pytest minutes to show
    differing = [pair for pair in zip(answers.splitlines(), ANSWERS.splitlines(), strict=False) if pair[0] != pair[1]]
    assert not differing, differing[:3]
    assert len(answers) == len(ANSWERS)


def as_today(files: dict[str, bytes]) -> dict[str, bytes]:
    """Returns the files of a stored store after an open for writing, which replaces the earlier `.gitignore`."""
    return {**files, ".gitignore": b"!*\n/local\n.new.*\n"}


@pytest.mark.parametrize("name", NAMES)
def test_the_stored_bytes_are_as_they_were_written(name: str) -> None:
    """A tool that handles this repository changed no line end and left no file out."""
    files = synced(STORED / name)
    assert {"FORMAT", ".gitattributes", ".gitignore"} < set(files)
    hashed = {path: data for path, data in files.items() if path.startswith(("objects/", "events/", "packs/"))}
    assert len(hashed) == {"loose": 169, "packed": 7}[name]
    for path, data in hashed.items():
        assert "".join(path.split("/")[-2:]).endswith(sha256(data).hexdigest()), path


@pytest.mark.parametrize("opening", OPENINGS)
def test_every_answer_is_the_one_of_then(store: Path, opening: str) -> None:
    options: dict[str, Any] = OPENINGS[opening]
    before = synced(store)
    is_golden(golden.answers(store, **options))
    is_golden(golden.answers(store, **options))  # now from the caches of this copy, where it may have any
    assert synced(store) == (before if options.get("read_only") else as_today(before))


def test_writing_goes_on_at_the_stored_head(store: Path) -> None:
    before = synced(store)
    with Tract.open(store, clock=golden.SteppedClock(golden.START_US * 2)) as t:
        assert t.head == MAIN
        messages = [message.to_dict() for message in t.compile().messages]
        added = t.commit(DialogueContent("user", "and on"))
        assert added.parents == (MAIN,)
        assert t.edit(added.commit_hash, DialogueContent("user", "and further")).parents == (added.commit_hash,)
        t.switch("parted")
        assert t.merge().kind == "merge"
    with Tract.open(store, read_only=True, verify=True) as t:
        compiled = [message.to_dict() for message in t.compile().messages]
        assert compiled[:-1] == messages
        assert compiled[-1]["content"] == "and further"
        assert {len(heads) for heads in t.branches().values()} == {1}
        assert t.status().commit_count == 49
    assert as_today(before).items() <= synced(store).items()


def test_packing_and_syncing_a_stored_store_changes_no_answer(store: Path, tmp_path: Path) -> None:
    with Tract.open(store) as t:
        t.pack(keep_loose=AT_ONCE)
        assert t.status().loose_count == 0
        (tmp_path / "copy").mkdir()
        t.sync(tmp_path / "copy")
    is_golden(golden.answers(store))
    is_golden(golden.answers(tmp_path / "copy"))


def test_a_bundle_of_a_stored_tract_holds_the_same_history(store: Path, tmp_path: Path) -> None:
    with Tract.open(store) as t:
        t.bundle(tmp_path / "bundle")
        log = [info.to_dict() for info in t.log(None)]
    with Tract.open(tmp_path / "other") as t:
        t.apply_bundle(tmp_path / "bundle")
        assert [info.to_dict() for info in t.log(None)] == log


def without_lists(files: dict[str, bytes]) -> dict[str, bytes]:
    """Returns the files of a store with its packs as earlier versions wrote them: without the list of events at the end."""
    found = {name: data for name, data in files.items() if not name.startswith("packs/")}
    for name in files.keys() - found.keys():
        data = b"".join(line + b"\n" for line in members_of(files[name]))
        found[f"packs/{sha256(data).hexdigest()}"] = data
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_same_calls_write_the_same_bytes_today(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolutions, "SETTLEMENT", b"")  # earlier versions did not mark what settles a conflict
    golden.write(tmp_path, is_packed=name == "packed")
    assert without_lists(synced(tmp_path)) == as_today(synced(STORED / name))
