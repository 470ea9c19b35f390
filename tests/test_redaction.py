"""A redacted content may be absent: its event stays visible, and what is left compiles."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tract_fs import DialogueContent, Tract
from tract_fs.errors import ContentRedacted, ObjectMissing
from tract_fs.model.events import encode_event
from tract_fs.model.names import hash_bytes


@pytest.fixture
def redacted(tmp_path: Path) -> tuple[Path, str, str]:
    """Makes a store whose first content was redacted by an event, and removed; returns it, that commit, and the other."""
    with Tract.open(tmp_path, clock=lambda: 1_000_000) as t:
        secret = t.commit(DialogueContent("user", "secret"))
        kept = t.commit(DialogueContent("user", "kept"))
    events = sorted((tmp_path / ".tract/events/default").glob("*/*"), key=lambda path: b"000001Z" in path.read_bytes())
    last = events[-1].parent.name + events[-1].name
    op: dict[str, object] = {"kind": "redact", "object": secret.content_hash, "reason": "a password"}
    data = encode_event(tract="default", at="1970-01-01T00:00:02.000000Z", writer="0" * 32, parents=[last], ops=[op])
    name = hash_bytes(data)
    target = tmp_path / ".tract/events/default" / name[:2] / name[2:]
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(data)
    assert secret.content_hash is not None
    (tmp_path / ".tract/objects" / secret.content_hash[:2] / secret.content_hash[2:]).unlink()
    return tmp_path, secret.commit_hash, kept.commit_hash


@pytest.mark.parametrize("local", ["kept", "removed"])
def test_the_rest_of_the_history_compiles(redacted: tuple[Path, str, str], local: str) -> None:
    path, secret, kept = redacted
    if local == "removed":
        shutil.rmtree(path / ".tract/local")
    with Tract.open(path) as t:
        t.refresh()
        assert [message.content for message in t.compile().messages] == ["kept"]
        assert [info.commit_hash for info in t.log()] == [kept, secret]
        assert t.status().pending == ()
        with pytest.raises(ContentRedacted, match=secret):
            t.get_content(secret)


def test_without_the_event_the_content_is_missing(redacted: tuple[Path, str, str]) -> None:
    path, secret, _ = redacted
    for event in (path / ".tract/events/default").glob("*/*"):
        if b'"kind":"redact"' in event.read_bytes():
            event.unlink()
    with Tract.open(path) as t, pytest.raises(ObjectMissing, match="fetch it from another copy"):
        t.get_content(secret)
