"""Tracts that were made on the command line and have no commit yet: each is an empty directory for its events.

It marks the name as meant, in this copy; git copies no empty directory. The first commit makes the tract itself.
"""

from __future__ import annotations

from tract_fs.model.names import require_tract_id
from tract_fs.store import files
from tract_fs.store.layout import Layout


def declare_tract(context_path: str, tract_id: str) -> None:
    """Makes a tract's directory. Errors: ArgumentError, OSError."""
    files.make_directory(Layout(files.absolute_path(context_path)).tract_events(require_tract_id(tract_id)))


def is_declared(context_path: str, tract_id: str) -> bool:
    """Returns whether a tract has a directory, with events or without."""
    return files.kind_at(Layout(files.absolute_path(context_path)).tract_events(tract_id)) == "directory"
