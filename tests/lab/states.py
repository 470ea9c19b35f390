"""What a store holds and what a handle answers, to compare before and after something goes wrong; and a disk that fails when told to."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tract_fs import (
    CommitInfo,
    CompiledContext,
    DialogueContent,
    FreeformContent,
    InstructionContent,
    MessageContent,
    ToolIOContent,
    Tract,
)
from tract_fs.store import files, listing, place, tract_log
from tract_fs.store.layout import Layout

START_US = 1_767_323_045_000_006  # 2026-01-02T03:04:05.000006Z
QUERIES: tuple[tuple[Any, str, Any], ...] = (
    ("model", "=", "m-1"),
    ("model", "!=", "m-1"),
    ("temperature", ">", 0.25),
    ("temperature", "<=", 1),
    (("response_format", "type"), "=", "json"),
    (("stop", 0), "=", "a"),
)


class Clock:
    """A clock that goes on by a second whenever it is read."""

    def __init__(self, now_us: int = START_US) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        self.now_us += 1_000_000
        return self.now_us


def user(text: str) -> DialogueContent:
    return DialogueContent(role="user", text=text)


def nth_commit(t: Tract, number: int) -> str:
    return t.log(None)[-1 - number].commit_hash


# one of everything: instruction, dialogue, tool call and result, edit, provider message, annotation, usage
FILLING: tuple[Callable[[Tract], object], ...] = (
    lambda t: t.commit(InstructionContent(text="be brief"), message="rules", metadata={"by": {"who": "ann"}}),
    lambda t: t.commit(user("hello"), generation_config={"model": "m-1", "temperature": 0.5}),
    lambda t: t.commit(
        DialogueContent(role="assistant", text="hi there", name="bot"),
        generation_config={"model": "m-2", "temperature": 1, "response_format": {"type": "json"}, "stop": ["a", "b"]},
    ),
    lambda t: t.commit(ToolIOContent("search", "call", {"q": [1, {"deep": None}]}, call_id="c1")),
    lambda t: t.commit(ToolIOContent("search", "result", {"hits": []}, status="success", call_id="c1")),
    lambda t: t.edit(nth_commit(t, 1), user("hello, edited"), generation_config={"model": "m-1", "temperature": 0.75}),
    lambda t: t.commit(MessageContent({"role": "user", "content": [{"type": "text", "text": "blocks"}], "x": [1.0]})),
    lambda t: t.annotate(nth_commit(t, 2), "skip", reason="noise"),
    lambda t: t.record_usage({"prompt_tokens": 41, "completion_tokens": 7, "total_tokens": 48}),
)


def fill(t: Tract) -> None:
    """Writes one of everything, each in a transaction of its own."""
    for step in FILLING:
        step(t)


def fill_pack(t: Tract, count: int = 40) -> None:
    """Writes one batch that is large enough to become a pack."""
    with t.batch():
        for number in range(count):
            t.commit(
                FreeformContent(payload={"number": number}),
                generation_config={"model": "m-1" if number % 2 else "m-3", "temperature": number / 10},
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


def settle_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a directory count as standing still right after it changed, as it does after two seconds."""
    monkeypatch.setattr(listing, "_SETTLED_NS", -(10**18))


CALLS = frozenset(
    [
        "open",
        "read",
        "pread",
        "write",
        "close",
        "fstat",
        "stat",
        "listdir",
        "scandir",
        "rename",
        "unlink",
        "rmdir",
        "fsync",
        "fdatasync",
        "ftruncate",
        "makedirs",
        "mkdir",
        "sync",
        "syncfs",
    ]
)


def with_full_path(arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, ...]:
    """Returns the arguments of a call of `os` with the whole path in place of a name in a directory's descriptor."""
    descriptor = options.get("dir_fd", options.get("src_dir_fd"))
    if descriptor is None:
        return arguments
    directory = os.readlink(f"/proc/self/fd/{descriptor}")
    if len(arguments) > 1 and "dst_dir_fd" in options:
        return f"{directory}/{arguments[0]}", os.path.join(
            os.readlink(f"/proc/self/fd/{options['dst_dir_fd']}"), arguments[1]
        )
    return (f"{directory}/{arguments[0]}", *arguments[1:])


class Disk:
    """Stands in for the module `os` at the one seam where the package meets the disk; counts the calls and lets some fail.

    `fails(call, number, arguments)` returns the exception that a call is to raise, or None. It raises instead of acting; `close` acts, then raises.
    """

    def __init__(self, fails: Callable[[str, int, tuple[Any, ...]], BaseException | None]) -> None:
        self._fails = fails
        self.calls: list[str] = []
        self.is_on = True
        self.raised = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(os, name)
        return self.wrap(name, found) if name in CALLS else found

    def wrap(self, name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if not self.is_on:
                return act(*arguments, **options)
            is_directory = name == "open" and bool(arguments[1] & os.O_DIRECTORY)
            shown = "opendir" if is_directory else name
            self.calls.append(shown)
            error = self._fails(shown, len(self.calls) - 1, with_full_path(arguments, options))
            if error is None:
                return act(*arguments, **options)
            self.raised += 1
            if name == "close":
                act(*arguments, **options)
            raise error

        return call


@contextmanager
def disk(
    fails: Callable[[str, int, tuple[Any, ...]], BaseException | None] = lambda call, number, arguments: None,
) -> Iterator[Disk]:
    """Puts a Disk in the place of the real one."""
    stand_in = Disk(fails)
    sync_filesystem = files.sync_filesystem
    files.os = stand_in  # type: ignore[attr-defined]
    files.sync_filesystem = stand_in.wrap("syncfs", sync_filesystem)
    try:
        yield stand_in
    finally:
        files.os = os  # type: ignore[attr-defined]
        files.sync_filesystem = sync_filesystem


def os_error(code: int, path: object = "a file") -> OSError:
    return OSError(code, os.strerror(code), path if isinstance(path, str) else None)


def nth(number: int, code: int) -> Callable[[str, int, tuple[Any, ...]], BaseException | None]:
    """Lets exactly one call fail."""
    return lambda call, found, arguments: (
        os_error(code, arguments[0] if arguments else None) if found == number else None
    )


def full_from(number: int) -> Callable[[str, int, tuple[Any, ...]], BaseException | None]:
    """Lets the disk be full from a call on: nothing can be made or written any more, all else works."""

    def fails(call: str, found: int, arguments: tuple[Any, ...]) -> BaseException | None:
        is_write = call in ("write", "makedirs", "mkdir") or (call == "open" and bool(arguments[1] & os.O_CREAT))
        return os_error(errno.ENOSPC, arguments[0]) if is_write and found >= number else None

    return fails
