"""Ill-formed values under right hashes: their event is pending with the reason, and everything else goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.lab.peers import as_json, newest, put_append, put_bytes, put_event, put_object
from tests.lab.states import answers, remove_local, store_root
from tests.lab.talk import Clock, say, texts
from tract_fs import Tract
from tract_fs.cli import main
from tract_fs.errors import InvalidObject
from tract_fs.model import view

TEXT = {"content_type": "dialogue", "role": "user", "text": "theirs"}


def begun(path: Path) -> Path:
    with Tract.open(path, durability="fast", clock=Clock()) as t:
        say(t, "mine")
    return path


def nested(depth: int) -> Any:
    return json.loads("[" * depth + "]" * depth)


ILL_FORMED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "another built-in type": (
        {"content_type": "instruction", "text": "theirs"},
        {"commit": {"content_type": "dialogue"}},
        "it brings a commit of type 'dialogue', whose content is of type 'instruction'",
    ),
    "a custom type in place of a built-in one": (
        {"content_type": "note", "text": "theirs"},
        {"commit": {"content_type": "message"}},
        "it brings a commit of type 'message', whose content is of type 'note'",
    ),
    "a built-in type in place of a custom one": (
        TEXT,
        {"commit": {"content_type": "note"}},
        "it brings a commit of type 'note', whose content is of type 'dialogue'",
    ),
    "a negative count": (TEXT, {"entry": {"tokens": {"estimate:utf8/4": -5}}}, "a token count is below 0 or too large"),
    "a count beyond all": (TEXT, {"entry": {"tokens": {"x": 2**53 + 1}}}, "a token count is below 0 or too large"),
    "a count beyond 64 bits": (TEXT, {"entry": {"tokens": {"x": 10**30}}}, "a token count is below 0 or too large"),
    "a config 201 deep": (
        TEXT,
        {"entry": {"config": {"a": nested(200)}}},
        "a config is over 200 arrays and objects deep",
    ),
    "a config 900 deep": (
        TEXT,
        {"entry": {"config": {"a": nested(899)}}},
        "a config is over 200 arrays and objects deep",
    ),
    "metadata 201 deep": (
        TEXT,
        {"commit": {"metadata": {"a": nested(200)}}},
        "it brings a commit whose metadata is over 200 arrays and objects deep",
    ),
}


@pytest.mark.parametrize("name", ILL_FORMED)
def test_an_event_that_brings_an_ill_formed_value_is_pending_and_the_tract_goes_on(tmp_path: Path, name: str) -> None:
    content, fields, reason = ILL_FORMED[name]
    path = begun(tmp_path / "context")
    put = put_append(path, content, on=newest(path), **fields)
    for _ in range(2):
        with Tract.open(path, durability="fast", clock=Clock()) as t:
            assert t.status().pending == (f"{put.event}: invalid: {reason}",)
            assert len(t.compile().warnings) == 1
            say(t, "more")
            assert t.diff("main~1", "main").entries
            assert t.query_by_config("model", "=", "m-1") == []
            assert t.repair(adopt=True).adopted == ()
        remove_local(path)
    with Tract.open(path) as t:
        assert texts(t) == ["mine", "more", "more"]


@pytest.mark.parametrize("name", ["Bad Name", "", "Note", "é", "1st", "a" * 65])
def test_a_content_type_is_a_name_of_the_format(tmp_path: Path, name: str) -> None:
    path = begun(tmp_path / "context")
    put = put_append(path, {"content_type": name, "text": "theirs"}, on=newest(path))
    with Tract.open(path) as t:
        assert t.status().pending == (f"{put.event}: invalid: it brings the ill-formed content {put.content}",)
        assert texts(t) == ["mine"]


def test_a_usage_beyond_64_bits_is_pending(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = begun(tmp_path / "context")
    head = newest(path)
    usage = {"kind": "usage", "commit": head.commit, "completion_tokens": 1, "total_tokens": 1}
    first = put_event(path, {**usage, "prompt_tokens": 2**63 - 2}, parents=[head.event])
    at = "2026-03-02T00:00:00.000000Z"
    second = put_event(path, {**usage, "prompt_tokens": 10**30}, parents=[first], at=at)
    with Tract.open(path) as t:
        assert t.status().pending == (f"{second}: invalid: a count of usage is too large",)
        assert t.compile().token_count == 2**63 - 2
    assert main(["-C", str(path), "--json", "compile"]) == 0
    assert json.loads(capsys.readouterr().out)["token_count"] == 2**63 - 2


def test_a_redacted_content_leaves_a_commit_whose_type_must_still_be_a_name(tmp_path: Path) -> None:
    path = begun(tmp_path / "context")
    put = put_append(path, TEXT, on=newest(path), commit={"content_type": "Bad Name"})
    (store_root(path) / "objects" / put.content[:2] / put.content[2:]).unlink()
    redact = {"kind": "redact", "object": put.content}
    fields = {"at": "2026-03-02T00:00:00.000000Z", "ops": [redact], "parents": [], "tract": "default", "writer": ""}
    put_bytes(path, as_json({"event": fields}), "events/default")
    with Tract.open(path) as t:
        assert t.status().pending == (f"{put.event}: invalid: it brings a commit of the ill-formed type 'Bad Name'",)
        assert texts(t) == ["mine"]


@pytest.mark.parametrize(
    "fields",
    [
        {"entry": {"tokens": {"estimate:utf8/4": 0, "x": 2**53}}},
        {"entry": {"config": {"a": nested(199)}}},
        {"commit": {"metadata": {"a": nested(199)}}},
        {"entry": {"config": {"a": ["[" * 300]}}},
    ],
    ids=["counts", "config", "metadata", "brackets in a string"],
)
def test_the_greatest_values_that_the_format_allows_are_read_everywhere(tmp_path: Path, fields: dict[str, Any]) -> None:
    path = begun(tmp_path / "context")
    put_append(path, TEXT, on=newest(path), **fields)
    with Tract.open(path) as t:
        assert t.status().pending == ()
        answers(t)
        assert texts(t) == ["mine", "theirs"]
        t.compile().to_openai()
        assert json.loads(json.dumps([info.to_dict() for info in t.log()]))
        assert t.compile().generation_configs


@pytest.mark.parametrize("kind", ["payload", "message", "custom"])
def test_a_content_as_deep_as_the_format_allows_compiles_and_a_deeper_one_is_pending(tmp_path: Path, kind: str) -> None:
    contents = {
        "payload": lambda depth: {"content_type": "freeform", "payload": {"a": nested(depth - 1)}},
        "message": lambda depth: {"content_type": "message", "message": {"role": "user", "content": nested(depth - 1)}},
        "custom": lambda depth: {"content_type": "note", "a": nested(depth)},
    }
    path = begun(tmp_path / "context")
    first = put_append(path, contents[kind](199), on=newest(path))
    second = put_append(path, contents[kind](200), on=first, at="2026-03-02T00:00:00.000000Z")
    with Tract.open(path) as t:
        assert t.head == first.commit
        assert len(t.compile().messages) == 2
        assert t.status().pending == (f"{second.event}: invalid: it brings the ill-formed content {second.content}",)


# stores of versions that did not look


@pytest.mark.parametrize("name", ILL_FORMED)
def test_an_ill_formed_commit_that_an_earlier_version_recorded_as_visible_blocks_no_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content, fields, _ = ILL_FORMED[name]
    path = begun(tmp_path / "context")
    put = put_append(path, content, on=newest(path), **fields)
    with monkeypatch.context() as earlier:
        earlier.setattr(view, "fault_of_commit", lambda *_: None)
        earlier.setattr(view, "fault_of_entry", lambda *_: None)
        with Tract.open(path, durability="fast") as t:
            assert t.head == put.commit
    with Tract.open(path, durability="fast") as t:
        assert t.head == put.commit
        if "type" in name:
            with pytest.raises(InvalidObject) as caught:
                t.compile()
            assert caught.value.hash == put.content
            assert put.content[2:] in t.status().warnings[0]
        else:
            assert texts(t) == ["mine", "theirs"]
            assert len(t.log()) == 2
        monkeypatch.chdir(path)
        for command in (
            ["log"],
            ["status"],
            ["compile"],
            ["--json", "compile"],
            ["--json", "log"],
            ["--json", "status"],
        ):
            assert main(command) in (0, 1), command
        t.reset("main~1")
        assert texts(t) == ["mine"]
        say(t, "more")
    assert "Traceback" not in capsys.readouterr().err


def test_an_object_that_looks_like_a_commit_of_another_operation_is_no_commit(tmp_path: Path) -> None:
    path = begun(tmp_path / "context")
    name = put_object(
        path, "commit", {"operation": "append", "parents": [], "created_at": "2026-03-01T00:00:00.000000Z"}
    )
    put = put_append(path, TEXT, on=newest(path), commit={"parents": [name]})
    with Tract.open(path) as t:
        assert t.status().pending == (f"{put.event}: a commit's parent is missing: {name}",)
        assert texts(t) == ["mine"]
