"""Opens the store behind a handle: checks every option before anything is made, and finds the place of a throw-away store."""

from __future__ import annotations

import math
import os
from collections.abc import Callable

from tract_fs.errors import ArgumentError, JsonValueError
from tract_fs.model import canonical
from tract_fs.model.info import TractConfig
from tract_fs.model.names import require_branch_name, require_tract_id
from tract_fs.store import files
from tract_fs.store.layout import Layout
from tract_fs.store.store import Store


def require_options(
    *, tract_id: object, branch: object, config: object, counter: object, compiler: object, clock: object
) -> None:
    """Raises ArgumentError for an option of `Tract.open` that can't work."""
    require_tract_id(tract_id)
    require_branch_name(branch)
    if not isinstance(config, TractConfig):
        raise ArgumentError(f"config {config!r}: give a TractConfig")
    config.require_valid()
    name = getattr(counter, "name", None)
    if type(name) is not str or not callable(getattr(counter, "count_text", None)):
        raise ArgumentError(f"tokenizer {counter!r}: needs a string `name` and a `count_text(text)`")
    try:
        canonical.encode(name)
    except JsonValueError as error:
        raise ArgumentError(f"tokenizer {counter!r}: its name can't be stored: {error.reason}") from None
    if compiler is not None and not callable(getattr(compiler, "compile", None)):
        raise ArgumentError(f"compiler {compiler!r}: needs a `compile(history, options)`")
    if not callable(clock):
        raise ArgumentError(f"clock {clock!r}: give a callable that returns microseconds since 1970, or a datetime")


def open_store(
    path: object,
    *,
    durability: object,
    read_only: bool,
    create: bool,
    lock_timeout_s: object,
    writer: str,
    distrusts_caches: bool,
) -> tuple[Store, Callable[[], object] | None]:
    """Returns the store at a path, and what removes it if it is a throw-away one (no path)."""
    if durability not in ("durable", "fast"):
        raise ArgumentError(f"durability {durability!r}: use durable or fast")
    if type(lock_timeout_s) not in (int, float) or not 0 <= lock_timeout_s < math.inf:  # type: ignore[operator]
        raise ArgumentError(f"lock_timeout_s {lock_timeout_s!r}: give seconds, from 0")
    discard = None
    if path is None:
        from tempfile import TemporaryDirectory  # 10 ms: only a throw-away store needs it

        directory = TemporaryDirectory(prefix="tract-", ignore_cleanup_errors=True)
        path, discard = directory.name, directory.cleanup
    store = Store(
        require_layout(path),
        writer=writer,
        is_durable=durability == "durable",
        read_only=read_only,
        lock_timeout_s=float(lock_timeout_s),  # type: ignore[arg-type]
        distrusts_caches=distrusts_caches,
    )
    store.open(create=create)
    return store, discard


def list_tracts(path: object) -> list[str]:
    """Returns the ids of the tracts in the store at a path that have events."""
    store = Store(require_layout(path), writer="", is_durable=False, read_only=True, lock_timeout_s=0.0)
    try:
        store.open(create=False)
        return store.list_tracts()
    finally:
        store.close()


def require_layout(path: object) -> Layout:
    """Returns the layout of a context directory. Errors: ArgumentError if `path` is none."""
    found = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if type(found) is not str or "\0" in found or not found:
        raise ArgumentError(f"path {path!r}: give the path of a context directory as a string or pathlib.Path")
    return Layout(files.absolute_path(found))
