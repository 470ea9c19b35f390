"""What another writer could have put into a store: objects and events under their right hashes, whatever they contain."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from tests.lab.states import store_root

AT = "2026-03-01T00:00:00.000000Z"


class Put(NamedTuple):
    """The hashes of an append that a peer wrote."""

    content: str
    commit: str
    event: str


def put_bytes(path: Path, data: bytes, folder: str = "objects") -> str:
    """Writes a file under its hash; returns the hash."""
    name = hashlib.sha256(data).hexdigest()
    target = store_root(path) / folder / name[:2] / name[2:]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return name


def put_object(path: Path, kind: str, fields: dict[str, Any]) -> str:
    """Writes a content or commit, or what looks like one; returns its hash."""
    return put_bytes(path, as_json({kind: fields}))


def put_event(path: Path, *ops: Any, at: str = AT, tract: str = "default", parents: Any = (), **more: Any) -> str:
    """Writes an event of a tract; returns its hash."""
    fields = {"at": at, "ops": list(ops), "parents": list(parents), "tract": tract, "writer": "", **more}
    return put_bytes(path, as_json({"event": fields}), f"events/{tract}")


def put_append(
    path: Path,
    content: dict[str, Any],
    *,
    at: str = AT,
    made_at: str | None = None,
    tract: str = "default",
    branch: str = "main",
    on: Put | None = None,
    commit: dict[str, Any] | None = None,
    entry: dict[str, Any] | None = None,
    parents: Any = None,
    more_parents: tuple[str, ...] = (),
) -> Put:
    """Writes a content, its commit and the event that appends it to a branch; `on` is what the branch stands at.

    `commit` and `entry` replace fields of the commit and of its entry in the event.
    """
    content_hash = put_object(path, "content", content)
    fields = {
        "content": content_hash,
        "content_type": content.get("content_type"),
        "created_at": at if made_at is None else made_at,
        "operation": "append",
        "parents": [] if on is None else [on.commit],
        **(commit or {}),
    }
    commit_hash = put_object(path, "commit", fields)
    replaces = [] if on is None or not on.event else [on.event]
    op = {
        "branch": branch,
        "commits": [{"commit": commit_hash, **(entry or {})}],
        "head": commit_hash,
        "kind": "append",
        "replaces": replaces,
    }
    before = replaces if parents is None else parents
    return Put(content_hash, commit_hash, put_event(path, op, at=at, tract=tract, parents=[*before, *more_parents]))


def newest(path: Path, tract: str = "default") -> Put:
    """Returns the one head of branch main of a store, with the event that set it, read from its files."""
    events = {}
    for file in (store_root(path) / "events" / tract).glob("*/*"):
        events[file.parent.name + file.name] = json.loads(file.read_bytes())["event"]
    name = max(events, key=lambda event: events[event]["at"])
    (head,) = [op["head"] for op in events[name]["ops"] if op.get("branch") == "main"]
    return Put("", head, name)


def as_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def put_forks(path: Path, count: int) -> str:
    """Writes a chain of tracts t0, t1, ..., each a fork of the one before with a commit of its own; returns the last one's head."""
    head, event = "", ""
    for number in range(count):
        tract, at = f"t{number}", f"2026-03-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}"
        if event:
            create = {"branch": "main", "commits": [], "head": head, "kind": "create", "replaces": []}
            event = put_event(path, create, at=f"{at}.000001Z", tract=tract, parents=[f"t{number - 1}/{event}"])
        on = Put("", head, event) if event else None
        content = {"content_type": "dialogue", "role": "user", "text": f"s{number}"}
        _, head, event = put_append(path, content, at=f"{at}.000002Z", tract=tract, on=on)
    return head
