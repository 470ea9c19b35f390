"""Addresses: the path and the size limit of each kind of file, and which address bytes have."""

from __future__ import annotations

import pytest

from tract_fs.store.address import Address, address_of
from tract_fs.store.layout import Layout

NAME = "ab" + "0" * 61 + "1"
REST = "0" * 61 + "1"


@pytest.mark.parametrize(
    ("address", "path", "limit_bytes"),
    [
        (Address("object", NAME), f"objects/ab/{REST}", 64 * 1024 * 1024),
        (Address("event", NAME, "main"), f"events/main/ab/{REST}", 16 * 1024 * 1024),
        (Address("pack", NAME), f"packs/{NAME}", 512 * 1024 * 1024),
    ],
)
def test_an_address_has_a_path_and_a_size_limit(address: Address, path: str, limit_bytes: int) -> None:
    assert address.path == path
    assert address.path_in(Layout("/here")) == f"/here/.tract/{path}"
    assert address.limit_bytes == limit_bytes


@pytest.mark.parametrize(
    "address",
    [
        Address("object", "../" * 21 + "a"),
        Address("object", NAME.upper()),
        Address("pack", NAME[:-1]),
        Address("event", NAME, "../up"),
        Address("event", NAME),
    ],
)
def test_only_a_hash_and_a_tract_id_become_a_path_on_disk(address: Address) -> None:
    with pytest.raises(ValueError, match="not a"):
        address.path_in(Layout("/here"))


def test_addresses_with_the_same_parts_are_equal() -> None:
    assert {Address("object", NAME), Address("object", NAME, "")} == {Address("object", NAME)}
    assert Address("event", NAME, "a") != Address("event", NAME, "b")


@pytest.mark.parametrize(
    ("data", "address"),
    [
        (b'{"event":{"tract":"main"}}', Address("event", NAME, "main")),
        (b'{"event":{"tract":"../up"}}', None),
        (b'{"kind":"dialogue","payload":{"role":"user","text":"hi"}}', None),
        (b"no JSON", None),
        (b"", None),
    ],
)
def test_bytes_that_are_no_object_and_no_event_have_no_address(data: bytes, address: Address | None) -> None:
    assert address_of(data, NAME) == address
