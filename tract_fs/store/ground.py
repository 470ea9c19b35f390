"""The ground: whether the store that a handle opened is still the one at its path.

A directory may be moved, removed, replaced or emptied under an open handle (`mv`, `git switch`, `git clean`, a sync tool). FORMAT makes a directory a store,
and it is not written again; so as long as the signature of that file is the one noted at the open, so is the store. Nothing here writes.
"""

from __future__ import annotations

from tract_fs.store import files
from tract_fs.store.layout import Layout


class Ground:
    """The FORMAT file and the directory of one store, as they were when they were last noted."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.format: files.Signature | None = None  # that of FORMAT; while it is the same, so is the store
        self._directory: tuple[int, int] | None = None  # inode and device

    def note(self) -> None:
        """Notes what lies at the path now as the store."""
        self.format = files.signature(self._layout.format)
        self._directory = self._identity()

    def is_same_directory(self) -> bool:
        """Returns whether the directory at the path is the one that was noted."""
        return self._directory is not None and self._identity() == self._directory

    def _identity(self) -> tuple[int, int] | None:
        found = files.status_of(self._layout.root)
        return None if found is None else (found.st_ino, found.st_dev)
