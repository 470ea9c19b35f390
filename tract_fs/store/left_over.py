"""Left-over files: temporary files of writers that were killed. They are removed once they have not changed for a day."""

from __future__ import annotations

import re
import time
from contextlib import suppress

from tract_fs.model.names import is_tract_id
from tract_fs.store import files
from tract_fs.store.layout import Layout
from tract_fs.store.tree import list_unknown

_TEMPORARY = re.compile(r"\.new\.[0-9]+\.[0-9a-f]{8}\.[0-9]+")  # see files.Process.new_label
_DAY_NS = 86_400 * 10**9


def remove_left_over(layout: Layout, *, unknown: list[str] | None = None) -> list[str]:
    """Removes temporary files that have not changed for a day, outside local/ and in this copy's place; returns their paths.

    `unknown` are the store's unknown files, if the caller has listed them. A file that can't be removed stays.
    """
    found = [f"{layout.root}/{name}" for name in (list_unknown(layout) if unknown is None else unknown)]
    tracts = [name for name in files.list_names(f"{layout.local}/tracts") if is_tract_id(name)]
    own = [layout.tract_local(tract, "arrivals").rpartition("/")[0] for tract in tracts]
    for directory in (layout.local, layout.quarantine, *own, *(f"{name}/snapshots" for name in own)):
        found += [f"{directory}/{name}" for name in files.list_names(directory)]
    now_ns = time.time_ns()
    removed = []
    for path in found:
        if _TEMPORARY.fullmatch(path.rpartition("/")[2]):
            with suppress(OSError):
                changed = files.times(path)
                if changed is not None and now_ns - max(changed) > _DAY_NS:
                    files.remove(path)
                    removed.append(layout.relative(path))
    return removed
