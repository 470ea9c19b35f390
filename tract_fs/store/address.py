"""Addresses: which file of a store is meant, by its kind, its hash, and the tract of an event.

Every regular file outside `local/` but the three text files has one address; so has an object or event in a pack, which has no file of its own.
The path of an address ends in the hash of the file's bytes. Format: FORMAT.md, section 1.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from tract_fs.model.content import MAX_OBJECT_BYTES
from tract_fs.model.events import MAX_EVENT_BYTES
from tract_fs.model.members import is_object_of_ours, tract_of_event
from tract_fs.store.layout import Layout

Kind = Literal["object", "event", "pack"]

MAX_PACK_BYTES = 1 << 29  # a pack has 256 MiB at most, or one large object more
LIMITS_BYTES: dict[Kind, int] = {"object": MAX_OBJECT_BYTES, "event": MAX_EVENT_BYTES, "pack": MAX_PACK_BYTES}


class Address(Struct, frozen=True, gc=False, order=True):
    """One file: its kind, its hash, and the tract of an event (else empty). `gc=False`: a sync of a large store keeps millions."""

    kind: Kind
    name: str
    tract: str = ""

    @property
    def path(self) -> str:
        """The path from the store's root on, as reports and errors show it."""
        if self.kind == "pack":
            return f"packs/{self.name}"
        directory = "objects" if self.kind == "object" else f"events/{self.tract}"
        return f"{directory}/{self.name[:2]}/{self.name[2:]}"

    @property
    def limit_bytes(self) -> int:
        """The size that a file of this kind may have; a larger one counts as absent."""
        return LIMITS_BYTES[self.kind]

    def path_in(self, layout: Layout) -> str:
        """Returns the whole path in one store. Errors: ValueError if the name is no hash, or the tract no tract id."""
        if self.kind == "object":
            return layout.object(self.name)
        return layout.event(self.tract, self.name) if self.kind == "event" else layout.pack(self.name)


def address_of(data: bytes, name: str) -> Address | None:
    """Returns the address of an event or object with these bytes, which hash to `name`; None if they are neither."""
    tract = tract_of_event(data)
    if tract is not None:
        return Address("event", name, tract)
    return Address("object", name) if is_object_of_ours(data) else None
