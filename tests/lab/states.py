"""What a store holds and what a handle answers, to compare before and after something goes wrong."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.inside import store_of
from tract_fs import (
    CommitInfo,
    CompiledContext,
    Tract,
)
from tract_fs.errors import HistoryIncomplete, TractError
from tract_fs.store import listing, place, summaries, tract_log
from tract_fs.store.layout import Layout

TEXT_FILES = {"FORMAT", ".gitattributes", ".gitignore"}
QUERIES: tuple[tuple[Any, str, Any], ...] = (
    ("model", "=", "m-1"),
    ("model", "!=", "m-1"),
    ("temperature", ">", 0.25),
    ("temperature", "<=", 1),
    (("response_format", "type"), "=", "json"),
    (("stop", 0), "=", "a"),
)


def exact(value: object) -> str:
    """Returns a JSON value as text in which 1, 1.0 and true differ."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def told(info: CommitInfo) -> str:
    return exact(info.to_dict())


def told_context(context: CompiledContext) -> dict[str, Any]:
    """Returns all of a compiled context but its warnings."""
    return {
        "messages": [exact(message.to_dict()) for message in context.messages],
        "of_commits": [list(message.commit_hashes) for message in context.messages],
        "configs": [exact(config) for config in context.generation_configs],
        "commits": list(context.commit_hashes),
        "tokens": context.token_count,
        "source": context.token_source,
        "count": context.commit_count,
    }


def answers(t: Tract) -> dict[str, Any]:
    """Returns everything that a user can read of a tract, in a form that compares exactly."""
    infos = t.log(None)
    names = [info.commit_hash for info in infos]
    with_content = [info.commit_hash for info in infos if info.content_hash is not None]
    return {
        "head": t.head,
        "log": [told(info) for info in infos],
        "found": [told(found) for name in names if (found := t.get_commit(name)) is not None],
        "contents": [exact(as_json(t.get_content(name))) for name in with_content],
        "compile": told_context(t.compile()),
        "annotated": told_context(t.compile(include_edit_annotations=True, aggregate_same_role=True, orphans="keep")),
        "middle": told_context(t.compile(at_commit=names[len(names) // 2])) if names else None,
        "annotations": [[repr(a) for a in t.get_annotations(name)] for name in names[-12:]],
        "queries": {repr(query): [told(info) for info in t.query_by_config(*query)] for query in QUERIES},
    }


def as_json(content: object) -> object:
    """Returns a content's fields: of a struct, a dataclass, or the dict of a type that is not registered."""
    if isinstance(content, dict):
        return content
    names = getattr(content, "__struct_fields__", None) or getattr(content, "__dataclass_fields__", ())
    return {name: getattr(content, name) for name in names}


def store_root(path: Path) -> Path:
    return path / ".tract"


def synced(path: Path) -> dict[str, bytes]:
    """Returns the regular files of a store outside local/, by name."""
    root = store_root(path)
    return {name: (root / name).read_bytes() for name in _names(root) if not name.startswith("local/")}


def files_of(path: str | Path) -> dict[str, Path]:
    """Returns the files of a store outside `local/`, less the three text files: relative name to path."""
    root = Path(path, ".tract")
    found = {}
    for folder, folders, names in os.walk(root):
        if Path(folder) == root and "local" in folders:
            folders.remove("local")
        for name in names:
            full = Path(folder, name)
            if name not in TEXT_FILES:
                found[str(full.relative_to(root))] = full
    return found


def members_of(pack: bytes) -> list[bytes]:
    """Returns the lines of a pack without the list of its events at the end."""
    return [line for line in pack.splitlines() if not line.startswith(b'{"pack":')]


def event_files(path: Path) -> list[str]:
    """Returns the event files, oldest first."""
    names = [name for name in synced(path) if name.startswith("events/")]
    return sorted(names, key=lambda name: str(json.loads((store_root(path) / name).read_bytes())["event"]["at"]))


def local_files(path: Path) -> list[str]:
    """Returns the names of the regular files in local/, from the store's root on."""
    return [name for name in _names(store_root(path)) if name.startswith("local/")]


def _names(root: Path) -> list[str]:
    found = []
    for folder, _, names in os.walk(root):
        found += [os.path.relpath(os.path.join(folder, name), root) for name in names]
    return sorted(name for name in found if (root / name).is_file() and not (root / name).is_symlink())


def bound_layout(path: Path) -> Layout:
    """Returns the layout of a store with this copy's own place in local/, which is made if it is not there."""
    layout = Layout(str(path))
    Path(layout.root).mkdir(parents=True, exist_ok=True)  # no place is made where no store is
    place.bind(layout, create=True)
    return layout


def own_place(path: Path) -> Path:
    """Returns the directory of this copy's own files in local/, which is made if it is not there."""
    return Path(bound_layout(path).local)


def prove_places(path: Path) -> Path:
    """Makes the places in local/ that were copied along with a store those of this copy, as if the whole volume had been copied.

    Their caches are read then. One whose marker a power cut took stays unproved.
    """
    for directory in [*(store_root(path) / "local").glob("*")]:
        marker = directory / place.MARKER
        if marker.is_file() and re.fullmatch(rb"[0-9a-f]{64}\n", marker.read_bytes()):
            proof = place.proof_of(str(directory))
            assert proof is not None
            directory.rename(directory.parent / proof[0])
    return path


def take_over_local(source: Path, target: Path) -> Path:
    """Makes a copy of another store's own files those of the store at `target`, as if they had been made there; returns its place.

    `source` is the other store's place, which `own_place` returned.
    """
    there = own_place(target)
    for file in sorted(source.rglob("*")):
        name = file.relative_to(source)
        if file.is_file() and name.name != place.MARKER:
            put(there / name, file.read_bytes())
    return there


def remove_local(path: Path) -> None:
    shutil.rmtree(store_root(path) / "local", ignore_errors=True)


def copy_store(source: Path, target: Path) -> Path:
    """Copies a store with its local/, which is read by the copy, too."""
    shutil.copytree(source, target, symlinks=True)
    return prove_places(target)


def put(file: Path, data: bytes) -> None:
    """Makes `file` one of these bytes by rename, as copying tools do."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temp = file.parent / f".{file.name[:20]}.new"
    temp.write_bytes(data)
    os.replace(temp, file)


def put_in_place(file: Path, data: bytes) -> None:
    """Overwrites the bytes of `file`; it stays the same file."""
    file.chmod(0o644)
    with open(file, "r+b") as opened:
        opened.write(data)
        opened.truncate()


def is_unlocked(path: Path) -> bool:
    """Tells whether nobody holds the store's lock."""
    for lock in (store_root(path) / "local").glob("*/lock"):
        with open(lock, "rb") as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
    return True


def list_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets every call look at the directories, not only once a second."""
    monkeypatch.setattr(tract_log, "_LISTING_INTERVAL_S", 0.0)
    monkeypatch.setattr(tract_log, "_LISTING_SHARE", 0)


def list_never(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a handle that is opened later look at the directories at its open alone, and where a call asks for it."""
    monkeypatch.setattr(tract_log, "_LISTING_INTERVAL_S", 1000.0)


def settle_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a directory count as standing still right after it changed, as it does after two seconds."""
    monkeypatch.setattr(listing, "_SETTLED_NS", -(10**18))
    monkeypatch.setattr(summaries, "_SETTLED_NS", -(10**18))


def refused(t: Tract, error: type[TractError], call: Callable[[], object]) -> TractError:
    """Returns the error of a call that must write nothing and move nothing."""
    path = Path(store_of(t).layout.context)
    before, state = synced(path), (t.branch, t.head, t.branches(), t.tags())
    with pytest.raises(error) as told:
        call()
    assert type(told.value) is error
    assert synced(path) == before
    assert (t.branch, t.head, t.branches(), t.tags()) == state
    return told.value


def missed(t: Tract) -> list[str]:
    """Returns how compile() reports that something takes no part: its warnings, or its refusal."""
    try:
        return t.compile().warnings
    except HistoryIncomplete as error:
        return [str(error)]
