"""A redacted content may be absent: its event stays visible, and what is left compiles."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.lab.stores import redact
from tract_fs import DialogueContent, ToolIOContent, Tract
from tract_fs.errors import ContentRedacted, ObjectMissing


@pytest.fixture
def redacted(tmp_path: Path) -> tuple[Path, str, str]:
    """Makes a store whose first content was redacted by an event, and removed; returns it, that commit, and the other."""
    with Tract.open(tmp_path, clock=lambda: 1_000_000) as t:
        secret = t.commit(DialogueContent("user", "secret"))
        kept = t.commit(DialogueContent("user", "kept"))
    redact(tmp_path, secret.content_hash, after='"at":"1970-01-01T00:00:01.000001Z"', at="1970-01-01T00:00:02.000000Z")
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


def test_a_summary_of_a_redacted_summary_still_stands_for_what_that_stood_for(tmp_path: Path) -> None:
    with Tract.open(tmp_path, clock=lambda: 1_000_000) as t:
        first = t.commit(DialogueContent("user", "first"))
        inner = t.summarize([first.commit_hash], "secret")
        outer = t.summarize([inner.commit_hash], "outer")
    redact(tmp_path, inner.content_hash, after='"at":"1970-01-01T00:00:01.000002Z"', at="1970-01-01T00:00:02.000000Z")
    with Tract.open(tmp_path) as t:
        t.refresh()
        assert [message.content for message in t.compile().messages] == ["outer"]
        t.annotate(outer.commit_hash, "skip")
        assert [message.content for message in t.compile().messages] == ["first"]
        t.annotate(inner.commit_hash, "pinned")
        assert [message.content for message in t.compile().messages] == ["first"]
        t.edit(inner.commit_hash, DialogueContent("user", "edited"))
        assert [message.content for message in t.compile().messages] == ["first"]


def test_a_cut_before_a_redacted_tool_result_compiles(tmp_path: Path) -> None:
    with Tract.open(tmp_path, clock=lambda: 1_000_000) as t:
        call = t.commit(ToolIOContent("search", "call", {}, call_id="c1"))
        result = t.commit(ToolIOContent("search", "result", {"secret": 1}, call_id="c1"))
    redact(tmp_path, result.content_hash, after='"at":"1970-01-01T00:00:01.000001Z"', at="1970-01-01T00:00:02.000000Z")
    with Tract.open(tmp_path) as t:
        t.refresh()
        assert t.compile(at_commit=call.commit_hash).commit_hashes == [call.commit_hash]
        assert t.compile().commit_hashes == [call.commit_hash]


@pytest.mark.parametrize("prefer", ["theirs", "newer"])
def test_a_merge_by_preference_takes_another_side_than_a_redacted_one(tmp_path: Path, prefer: str) -> None:
    with Tract.open(tmp_path, clock=lambda: 1_000_000) as t:
        first = t.commit(DialogueContent("user", "first")).commit_hash
        t.branch("side")
        t.edit(first, "ours")
        t.switch("side")
        secret = t.edit(first, "secret")
    redact(tmp_path, secret.content_hash, after='"at":"1970-01-01T00:00:01.000003Z"', at="1970-01-01T00:00:02.000000Z")
    with Tract.open(tmp_path) as t:
        t.refresh()
        with pytest.raises(ContentRedacted):
            t.merge("side", resolutions={first: "theirs"})
        t.merge("side", prefer=prefer)
        assert [message.content for message in t.compile().messages] == ["ours"]
        assert t.merge("side").kind == "up-to-date"


def test_an_open_handle_and_those_beside_it_stop_showing_a_text_once_it_is_redacted(tmp_path: Path) -> None:
    with Tract.open(tmp_path, clock=lambda: 1_000_000) as t:
        secret = t.commit(DialogueContent("user", "secret"))
        t.commit(DialogueContent("user", "kept"))
        assert [message.content for message in t.compile().messages] == ["secret", "kept"]
        redact(
            tmp_path, secret.content_hash, after='"at":"1970-01-01T00:00:01.000001Z"', at="1970-01-01T00:00:02.000000Z"
        )
        t.refresh()
        assert [message.content for message in t.compile().messages] == ["kept"]
        with t.at("main") as fixed, t.on("main") as beside:
            assert [message.content for message in fixed.compile().messages] == ["kept"]
            assert [message.content for message in beside.compile().messages] == ["kept"]


def test_an_open_handle_of_a_fork_stops_showing_a_text_that_another_tract_redacts(tmp_path: Path) -> None:
    with Tract.open(tmp_path, clock=lambda: 1_000_000) as t:
        secret = t.commit(DialogueContent("user", "secret"))
        t.commit(DialogueContent("user", "kept"))
        with t.fork("sub") as sub:
            assert [message.content for message in sub.compile().messages] == ["secret", "kept"]
            redact(
                tmp_path,
                secret.content_hash,
                after='"at":"1970-01-01T00:00:01.000001Z"',
                at="1970-01-01T00:00:02.000000Z",
            )
            sub.refresh()
            assert [message.content for message in sub.compile().messages] == ["kept"]
