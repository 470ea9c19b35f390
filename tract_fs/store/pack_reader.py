"""Reads members of packs, each hashed at its read. A walk reads whole blocks, and all members in them are kept for a while."""

from __future__ import annotations

from hashlib import sha256

from tract_fs.model.members import is_event_list
from tract_fs.store import files
from tract_fs.store.layout import Layout

_OPEN_PACKS = 16
_MOST_BLOCKS = 16
LEAST_MEMBER_BYTES = 16  # a shorter line can be no object and no event, and a pack may contain millions of them


def may_be_member(line: bytes) -> bool:
    """Returns whether a line of a pack is a member by its length and its start."""
    return len(line) >= LEAST_MEMBER_BYTES and not is_event_list(line)


class PackReader:
    """The open pack files of one handle, and the verified members of the blocks read last."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._files: dict[str, files.RangeReader] = {}  # in order of opening; few stay open
        self._near: dict[bytes, bytes] = {}
        self._blocks: list[list[bytes]] = []  # the hashes of the members in `_near`, by block; the first read first

    def near(self, digest: bytes) -> bytes | None:
        """Returns the verified bytes of a member that lies near another one read lately, or None."""
        return self._near.get(digest)

    def read(self, pack: str, offset: int, size: int, digest: bytes, *, keeps_near: bool = True) -> bytes | None:
        """Returns the verified bytes of a member. Empty if the bytes at this place have another hash; None if there is no file.

        Errors: OSError of the disk.
        """
        file = self._files.get(pack) or self._open(pack)
        for _ in range(2):
            data = file.read(offset, size)
            if data is not None and sha256(data).digest() == digest:
                if keeps_near:
                    self._keep_near(file.take_fresh())
                return data
            file.close()  # another, whole file may be at the path by now
        return None if data is None else b""

    def close(self, pack: str) -> None:
        """Closes the file of a pack."""
        file = self._files.pop(pack, None)
        if file is not None:
            file.close()

    def close_all(self) -> None:
        """Closes all files."""
        for pack in list(self._files):
            self.close(pack)
        self.forget()

    def forget(self) -> None:
        """Drops the members that are kept."""
        self._near.clear()
        self._blocks.clear()

    def _open(self, pack: str) -> files.RangeReader:
        if len(self._files) >= _OPEN_PACKS:
            self.close(next(iter(self._files)))
        file = self._files[pack] = files.RangeReader(self._layout.pack(pack))
        return file

    def _keep_near(self, block: bytes) -> None:
        """Keeps the members in a block: its lines but for the first and the last, which may be parts of lines."""
        lines = [line for line in block.split(b"\n")[1:-1] if may_be_member(line)]
        if lines:
            digests = [sha256(line).digest() for line in lines]
            self._near.update(zip(digests, lines, strict=True))
            self._blocks.append(digests)
            if len(self._blocks) > _MOST_BLOCKS:
                for digest in self._blocks.pop(0):
                    self._near.pop(digest, None)
