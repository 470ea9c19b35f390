"""An event that redacts a content, as another tool could have written it; no call of this package writes one."""

from __future__ import annotations

from pathlib import Path

from tract_fs.model.events import encode_event
from tract_fs.model.names import hash_bytes


def redact(path: Path, content: str | None, *, after: str, at: str) -> None:
    """Writes the event that redacts a content, on the one event that holds the text `after`, and removes the content."""
    assert content is not None
    events = (path / ".tract/events/default").glob("*/*")
    last = next(event for event in events if after in event.read_text())
    op: dict[str, object] = {"kind": "redact", "object": content, "reason": "a password"}
    parents = [last.parent.name + last.name]
    data = encode_event(tract="default", at=at, writer="0" * 32, parents=parents, ops=[op])
    name = hash_bytes(data)
    target = path / ".tract/events/default" / name[:2] / name[2:]
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(data)
    (path / ".tract/objects" / content[:2] / content[2:]).unlink()
