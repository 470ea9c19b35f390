"""Verified bytes: from a file or a pack, whichever has them, also while a packing moves them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tract_fs.errors import HashMismatch, ObjectMissing
from tract_fs.store import files
from tract_fs.store.address import Address
from tract_fs.store.bytes import StoredBytes, read_hashed
from tract_fs.store.layout import Layout
from tract_fs.store.packs import Packs
from tract_fs.store.suspects import Suspects

DATA = b'{"kind":"dialogue","payload":{"role":"user","text":"hi"}}'
NAME = hashlib.sha256(DATA).hexdigest()
PACK = DATA + b"\n"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(str(tmp_path))


def put(path: str, data: bytes) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(data)


def put_pack(layout: Layout) -> None:
    put(layout.pack(hashlib.sha256(PACK).hexdigest()), PACK)


def of(layout: Layout, suspects: Suspects | None = None) -> StoredBytes:
    return StoredBytes(layout, Packs(layout, read_only=True), suspects)


def test_a_loose_file_is_read_with_its_signature(layout: Layout) -> None:
    put(layout.object(NAME), DATA)
    assert of(layout).read("object", NAME) == (DATA, files.signature(layout.object(NAME)))
    put(layout.event("main", NAME), DATA)
    assert of(layout).read("event", NAME, "main") == (DATA, files.signature(layout.event("main", NAME)))


def test_a_member_of_a_pack_is_read_without_a_signature(layout: Layout) -> None:
    put_pack(layout)
    assert of(layout).read("object", NAME) == (DATA, None)
    assert of(layout).packed(NAME) == DATA
    assert of(layout).loose(Address("object", NAME)) is None
    assert of(layout).exists(Address("object", NAME))


def test_a_missing_file_is_an_error_that_names_what_it_should_be(layout: Layout) -> None:
    suspects = Suspects()
    with pytest.raises(ObjectMissing) as error:
        of(layout, suspects).read("object", NAME, shown_as="commit")
    assert (error.value.path, error.value.kind, error.value.hash) == (f"objects/{NAME[:2]}/{NAME[2:]}", "commit", NAME)
    assert suspects.all() == []
    assert not of(layout).exists(Address("object", NAME))
    assert not of(layout).is_written(Address("object", NAME))
    assert of(layout).packed(NAME) is None


def test_a_damaged_file_is_an_error_and_a_suspect(layout: Layout) -> None:
    put(layout.event("main", NAME), b"other")
    suspects = Suspects()
    with pytest.raises(HashMismatch) as error:
        of(layout, suspects).read("event", NAME, "main")
    assert error.value.path == f"events/main/{NAME[:2]}/{NAME[2:]}"
    assert error.value.actual == hashlib.sha256(b"other").hexdigest()
    assert suspects.all() == [Address("event", NAME, "main")]
    assert of(layout).exists(Address("event", NAME, "main"))
    assert not of(layout).is_written(Address("event", NAME, "main"))
    assert of(layout).loose(Address("event", NAME, "main")) is None


def test_a_pack_has_the_bytes_of_a_damaged_file(layout: Layout) -> None:
    put(layout.object(NAME), b"other")
    stored = of(layout)
    put_pack(layout)
    assert stored.read("object", NAME) == (DATA, None)
    assert stored.is_written(Address("object", NAME))


def test_a_file_that_is_packed_between_two_looks_is_found(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """The packs were looked at before there was one, and the file is gone when its turn comes."""
    put(layout.object(NAME), DATA)
    stored, read_signed = of(layout), files.read_signed

    def pack_first(path: str, *, limit_bytes: int) -> tuple[bytes, files.Signature] | None:
        put_pack(layout)
        Path(path).unlink(missing_ok=True)
        return read_signed(path, limit_bytes=limit_bytes)

    monkeypatch.setattr(files, "read_signed", pack_first)
    assert stored.read("object", NAME) == (DATA, None)


def test_a_file_that_is_packed_while_it_is_asked_for_exists(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    put(layout.object(NAME), DATA)
    stored, exists = of(layout), files.exists

    def pack_first(path: str) -> bool:
        put_pack(layout)
        Path(path).unlink(missing_ok=True)
        return exists(path)

    monkeypatch.setattr(files, "exists", pack_first)
    assert stored.exists(Address("object", NAME))


def test_any_file_can_be_read_and_compared_with_a_hash(layout: Layout, tmp_path: Path) -> None:
    put(f"{tmp_path}/file", DATA)
    assert read_hashed(f"{tmp_path}/file", NAME) == (DATA, True)
    assert read_hashed(f"{tmp_path}/file", "0" * 64) == (DATA, False)
    assert read_hashed(f"{tmp_path}/none", NAME) == (None, False)
