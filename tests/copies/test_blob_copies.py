"""Blobs in copies: synced before what names them, in bundles and packs, and named where they are missing."""

from __future__ import annotations

import json
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from tests.lab.stores import AT_ONCE
from tests.lab.talk import user
from tract_fs import MessageContent, RecordContent, Tract, verify_bundle
from tract_fs.errors import BundleDamaged, ObjectMissing


def blob_file(path: Path, name: str) -> Path:
    return path / ".tract/objects" / name[:2] / name[2:]


def fill(path: Path) -> list[str]:
    """Makes a store with a blob that a record names, one that a message names, and one that nothing names."""
    with Tract.open(path) as t:
        names = [t.put_blob(data) for data in (b"of a record", b"of a message", b"of nobody")]
        t.commit(RecordContent("state", {}, {"it": names[0]}))
        source = {"type": "blob", "hash": names[1], "media_type": "image/png"}
        t.commit(MessageContent({"role": "user", "content": [{"type": "image", "source": source}]}))
        t.commit(user("bye"))
    return names


def test_a_sync_brings_all_blobs(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    there.mkdir()
    names = fill(here)
    with Tract.open(here) as t:
        report = t.sync(there)
        assert (report.lost, report.sent.objects.files, report.sent.events.files) == ((), 9, 3)
    with Tract.open(there, read_only=True) as t:
        assert [t.get_blob(name) for name in names] == [b"of a record", b"of a message", b"of nobody"]


def test_a_sync_that_is_broken_off_has_brought_the_blobs_of_what_it_brought(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    there.mkdir()
    names = fill(here)

    def stop(done: int, total: int, path: str) -> None:
        if path.startswith("events/") and any((there / ".tract/events").glob("*/*/*")):
            raise KeyboardInterrupt

    with Tract.open(here) as t, pytest.raises(KeyboardInterrupt):
        t.sync(there, progress=stop)
    with Tract.open(there, read_only=True) as t:
        assert (len(t.log()), t.get_blob(names[0])) == (1, b"of a record")


def test_a_sync_names_a_blob_that_neither_side_has(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    there.mkdir()
    names = fill(here)
    blob_file(here, names[0]).unlink()
    with Tract.open(here) as t:
        report = t.sync(there)
        assert report.lost == (f"objects/{names[0][:2]}/{names[0][2:]}",)
        assert (report.pending_here, report.pending_there, report.is_whole) == ((), (), False)
    with Tract.open(there, read_only=True) as t, pytest.raises(ObjectMissing, match="blob"):
        t.get_blob(names[0])


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_bundle_carries_the_blobs_that_its_contents_name(tmp_path: Path, is_packed: bool) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    names = fill(here)
    with Tract.open(here) as t:
        if is_packed:
            t.pack(keep_loose=AT_ONCE)
        info = t.bundle(tmp_path / "file")
        assert (info.blobs, info.contents, info.commits, info.events, info.missing) == (2, 3, 3, 3, ())
    first, *lines = (tmp_path / "file").read_bytes().split(b"\n")
    header = json.loads(first)
    assert (header["version"], header["blobs"]) == (2, 2)
    assert sorted(lines[:2]) == [b'{"blob":{"base64":"b2YgYSBtZXNzYWdl"}}', b'{"blob":{"base64":"b2YgYSByZWNvcmQ="}}']
    assert verify_bundle(tmp_path / "file").blobs == 2
    with Tract.open(there) as t:
        report = t.apply_bundle(tmp_path / "file")
        assert (report.new_blobs, report.new_contents, report.new_commits, report.new_events) == (2, 3, 3, 3)
        assert [t.get_blob(name) for name in names[:2]] == [b"of a record", b"of a message"]
        assert t.compile().warnings == []
        report = t.apply_bundle(tmp_path / "file")
        assert (report.new_blobs, report.size_bytes) == (0, 0)
        with pytest.raises(ObjectMissing):
            t.get_blob(names[2])


def test_a_bundle_without_blobs_is_one_for_earlier_versions(tmp_path: Path) -> None:
    with Tract.open(tmp_path / "here") as t:
        t.commit(RecordContent("state", {}))
        assert t.bundle(tmp_path / "file").blobs == 0
    header = json.loads((tmp_path / "file").read_bytes().split(b"\n")[0])
    assert (header["version"], "blobs" in header) == (1, False)


def test_a_bundle_names_a_missing_blob(tmp_path: Path) -> None:
    names = fill(tmp_path / "here")
    blob_file(tmp_path / "here", names[1]).unlink()
    with Tract.open(tmp_path / "here") as t:
        info = t.bundle(tmp_path / "file")
        assert (info.blobs, info.missing) == (1, (names[1],))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"blobs":2,', b'"blobs":1,'),
        (b'"blobs":2,', b""),
        (b'"version":2', b'"version":1'),
        (b"b2YgYSBtZXNzYWdl", b"b2YgYSBtZXNzYWd="),
    ],
)
def test_a_bundle_whose_blobs_are_not_what_it_claims_is_refused(tmp_path: Path, old: bytes, new: bytes) -> None:
    fill(tmp_path / "here")
    with Tract.open(tmp_path / "here") as t:
        t.bundle(tmp_path / "file")
    data = (tmp_path / "file").read_bytes()[:-65]
    assert old in data
    data = data.replace(old, new)
    (tmp_path / "file").write_bytes(data + sha256(data).hexdigest().encode() + b"\n")
    with Tract.open(tmp_path / "there") as t, pytest.raises(BundleDamaged):
        t.apply_bundle(tmp_path / "file")


@pytest.mark.needs("git")
def test_git_carries_blobs_and_a_packing_leaves_them_loose(tmp_path: Path) -> None:
    """Which copy wrote a blob is nowhere recorded, so no copy removes it from a git work tree."""
    here, there = tmp_path / "here", tmp_path / "there"
    names = fill(here)

    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=n", "-c", "user.email=e@x", *arguments], cwd=here, check=True, capture_output=True
        )

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "all")
    with Tract.open(here) as t:
        t.pack(keep_loose=AT_ONCE)
        git("add", ".")
        t.pack(keep_loose=AT_ONCE)
        assert all(blob_file(here, name).exists() for name in names)
        assert not any(b'{"blob":' in pack.read_bytes() for pack in (here / ".tract/packs").iterdir())
        t.pack(keep_loose=AT_ONCE, with_others=True)
        assert sum(pack.read_bytes().count(b'{"blob":') for pack in (here / ".tract/packs").iterdir()) == 3
    git("add", ".")
    git("commit", "-qam", "packed")
    subprocess.run(["git", "clone", "-q", str(here), str(there)], check=True)
    with Tract.open(there, read_only=True) as t:
        assert [t.get_blob(name) for name in names] == [b"of a record", b"of a message", b"of nobody"]
