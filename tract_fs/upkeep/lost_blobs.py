"""Lost blobs: those that contents of a tract name and that are missing or damaged. No event waits for a blob, so only a look at the contents finds them."""

from __future__ import annotations

from collections.abc import Callable

from tract_fs.model.blobs import blobs_of_content
from tract_fs.model.incomplete import Lost
from tract_fs.model.names import CommitHash
from tract_fs.work.reader import TractReader

_NAMING_TYPES = frozenset(["message", "record"])


def find_lost_blobs(reader: TractReader, is_there: Callable[[str], bool]) -> dict[Lost, tuple[CommitHash, ...]]:
    """Returns the lost blobs that are not redacted, by path, with the commits of the tract whose contents name each, in the order of their arrival.

    `is_there` returns whether a blob is. Cost: reads all commits of the tract, and those contents that may name a blob.
    """
    objects = reader.store.objects
    named: dict[str, list[CommitHash]] = {}
    for digest in reader.log.origins.all_commits():
        name = CommitHash(digest.hex())
        commit = reader.log.commit(name)
        if commit is not None and commit.content is not None and commit.content_type in _NAMING_TYPES:
            for blob in blobs_of_content(objects.get(commit.content) or b""):
                named.setdefault(blob, []).append(name)
    absent = sorted(blob for blob in named if not is_there(blob))
    redacted = reader.store.redacted() if absent else frozenset()
    return {
        Lost("blob", blob, is_damaged=objects.exists(blob)): tuple(named[blob])
        for blob in absent
        if blob not in redacted
    }
