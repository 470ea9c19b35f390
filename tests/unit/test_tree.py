"""The tree: which files of a store are listed, in which order, and what counts as unknown."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tract_fs.store import tree
from tract_fs.store.address import Address
from tract_fs.store.layout import Layout
from tract_fs.store.packs import Packs

FIRST, SECOND = "aa" + "1" * 62, "bb" + "2" * 62
EVENT = (
    b'{"event":{"at":"2026-01-01T00:00:00.000000Z","ops":[],"parents":[],"tract":"main","writer":""},"kind":"event"}'
)
PACK = EVENT + b"\n"


def name_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / ".tract"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(str(tmp_path))


def put(root: Path, path: str, data: bytes = b"x") -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(data)


def fill(root: Path) -> None:
    """Writes two objects, one event each of two tracts, and a pack with an event."""
    put(root, f"objects/bb/{SECOND[2:]}", b"four")
    put(root, f"objects/aa/{FIRST[2:]}", b"three")
    put(root, f"events/main/aa/{FIRST[2:]}")
    put(root, f"events/a-fork/bb/{SECOND[2:]}")
    put(root, f"packs/{name_of(PACK)}", PACK)


def test_every_file_is_listed_by_address_with_its_size(root: Path, layout: Layout) -> None:
    fill(root)
    assert list(tree.iter_files(layout)) == [
        (Address("object", FIRST), 5),
        (Address("object", SECOND), 4),
        (Address("event", SECOND, "a-fork"), 1),
        (Address("event", FIRST, "main"), 1),
        (Address("pack", name_of(PACK)), len(PACK)),
    ]
    assert tree.count_files(layout) == (4, 1)


def test_a_store_without_directories_has_no_files(layout: Layout) -> None:
    packs = Packs(layout, read_only=True)
    assert list(tree.iter_files(layout)) == []
    assert tree.count_files(layout) == (0, 0)
    assert tree.fan_directories(layout) == []
    assert tree.list_tracts(layout, packs) == []
    assert tree.list_store(layout, packs) == ({}, set())
    assert tree.list_unknown(layout) == []


def test_what_is_no_regular_file_under_an_address_is_unknown(root: Path, layout: Layout) -> None:
    fill(root)
    put(root, "local/anything/at/all")
    put(root, "FORMAT")
    for path in (
        "notes.txt",
        "objects/readme",
        f"objects/aa/{'1' * 61}",
        f"objects/aa/{'1' * 61}A",
        "objects/AA/x",
        "events/Main/aa/x",
        f"events/main/aa/{FIRST[2:]}.orig",
        f"packs/.new.{SECOND}",
    ):
        put(root, path)
    os.symlink("/dev/null", root / f"objects/bb/{'3' * 62}")
    os.mkfifo(root / f"packs/{SECOND}")
    (root / f"objects/bb/{'4' * 62}").mkdir()
    assert tree.list_unknown(layout) == [
        "events/Main",
        f"events/main/aa/{FIRST[2:]}.orig",
        "notes.txt",
        "objects/AA",
        f"objects/aa/{'1' * 61}",
        f"objects/aa/{'1' * 61}A",
        f"objects/bb/{'3' * 62}",
        f"objects/bb/{'4' * 62}",
        "objects/readme",
        f"packs/.new.{SECOND}",
        f"packs/{SECOND}",
    ]
    assert [address.name for address, _ in tree.iter_files(layout)] == [FIRST, SECOND, SECOND, FIRST, name_of(PACK)]


def test_one_directory_of_the_fan_out_is_listed_by_hash(root: Path, layout: Layout) -> None:
    fill(root)
    put(root, "objects/aa/notes")
    assert sorted(tree.list_fans(layout.objects)) == ["aa", "bb"]
    assert tree.list_fan(layout.objects, "aa") == [FIRST]
    assert tree.list_fan(layout.objects, "cc") == []
    assert tree.fan_directories(layout) == [
        f"{root}/objects/aa",
        f"{root}/objects/bb",
        f"{root}/events/a-fork/bb",
        f"{root}/events/main/aa",
    ]


def test_tracts_and_their_events_are_found_loose_and_in_packs(root: Path, layout: Layout) -> None:
    put(root, f"events/a-fork/bb/{SECOND[2:]}")
    (root / "events/empty/aa").mkdir(parents=True)
    put(root, f"packs/{name_of(PACK)}", PACK)
    packs = Packs(layout, read_only=True)
    assert tree.list_tracts(layout, packs) == ["a-fork", "main"]
    assert tree.has_tract(layout, packs, "main")
    assert not tree.has_tract(layout, packs, "empty")
    put(root, f"events/main/aa/{FIRST[2:]}")
    assert tree.list_events(layout, packs, "main") == {name_of(EVENT), FIRST}


def test_a_listing_for_a_copy_names_the_packs_with_events(root: Path, layout: Layout) -> None:
    fill(root)
    listing = tree.list_store(layout, Packs(layout, read_only=True))
    assert listing.files == dict(tree.iter_files(layout))
    assert listing.event_packs == {Address("pack", name_of(PACK))}


def test_objects_that_come_with_an_event_amid_a_listing_do_not_make_the_event_listed(
    root: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    iter_loose = tree.iter_loose

    def write_meanwhile(layout: Layout, kind: tree.LooseKind) -> Iterator[tuple[Address, int]]:
        yield from iter_loose(layout, kind)
        if kind == "object":  # a writer adds an object and a pack with its event, just after the objects were listed
            put(root, f"objects/aa/{FIRST[2:]}")
            put(root, f"packs/{name_of(PACK)}", PACK)

    monkeypatch.setattr(tree, "iter_loose", write_meanwhile)
    assert tree.list_store(layout, Packs(layout, read_only=True)).files == {}
