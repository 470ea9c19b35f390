"""Real transcripts come out as they went in: imported, compiled and exported by a fresh process that has no `local/`.

The bundled transcript is always tested; more are, where there are any: in the folder that TRACT_TRANSCRIPTS names, else in
`../shared/data` beside the repository. They are other people's text, and only ever compared.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import tract_fs
from tests.lab.processes import ROOT
from tests.lab.states import files_of, members_of
from tract_fs import MessageContent, Tract
from tract_fs.errors import ArgumentError, ContentValidationError, OrphanedToolCall

BUNDLED = Path(tract_fs.__file__).parent / "cli" / "data"
SHARED = Path(os.environ.get("TRACT_TRANSCRIPTS") or ROOT.parent / "shared" / "data")
EXPORT = """
import json, sys
from tract_fs import Tract

for tract_id in Tract.tracts(sys.argv[1]):
    with Tract.open(sys.argv[1], tract_id=tract_id) as tract:
        print(json.dumps([tract_id, tract.compile().to_openai()]))
"""
Message = dict[str, Any]


def find_sources() -> dict[str, list[Path]]:
    """Returns the files of each source: the bundled one, found or not, and the shared one if it is there."""
    sources = {"bundled": sorted(BUNDLED.glob("*.json"))}
    shared = sorted((SHARED / "tau-bench").glob("*.json"))
    if shared or "TRACT_TRANSCRIPTS" in os.environ:
        sources["tau-bench"] = shared
    return sources


SOURCES = find_sources()


def read_conversations(paths: list[Path]) -> list[list[Message]]:
    """Returns the message lists of files that hold one record or a list of records."""
    found = []
    for path in paths:
        document = json.loads(path.read_bytes())
        records = document if isinstance(document, list) else [document]
        found += [record["traj"] if "traj" in record else record["messages"] for record in records]
    return found


def exact(value: Any) -> Any:
    """Returns a JSON value in a form in which 1, 1.0 and true differ."""
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [exact(item) for item in value]
    return type(value).__name__, repr(value)


def config_of(number: int) -> dict[str, Any]:
    return {"model": "gpt-4o", "temperature": 0.0, "seed": number, "tools": [{"nested": number}]}


class Imported(NamedTuple):
    """A store with each conversation in a tract of its own, and all in one."""

    path: Path
    conversations: list[list[Message]]
    commits: list[list[str]]  # of the tract that has all


@pytest.fixture(scope="module", params=SOURCES)
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    paths = SOURCES[request.param]
    assert paths, f"no transcript in {BUNDLED if request.param == 'bundled' else SHARED / 'tau-bench'}"
    conversations = read_conversations(paths)
    path = tmp_path_factory.mktemp(request.param) / "store"
    commits = []
    for number, messages in enumerate(conversations):
        with Tract.open(path, tract_id=f"conversation-{number:03}", durability="fast") as tract:
            infos = tract.import_messages(messages, generation_config=config_of(number))
            assert len(infos) == len(messages)
        with Tract.open(path, tract_id="all", durability="fast") as tract:
            infos = tract.import_messages(messages, generation_config=config_of(number))
            commits.append([info.commit_hash for info in infos])
    print(f"{request.param}: {len(conversations)} conversations, {sum(map(len, conversations))} messages")
    return Imported(path, conversations, commits)


def export_without_local(path: Path) -> dict[str, list[Message]]:
    """Returns what a fresh process makes of each tract of a store without `local/`."""
    shutil.rmtree(path / ".tract" / "local")
    done = subprocess.run([sys.executable, "-c", EXPORT, str(path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(map(json.loads, done.stdout.splitlines()))


@pytest.fixture
def copy(imported: Imported, tmp_path: Path) -> Iterator[Imported]:
    shutil.copytree(imported.path, tmp_path / "store")
    yield imported._replace(path=tmp_path / "store")
    shutil.rmtree(tmp_path / "store")


def test_a_transcript_is_bundled_and_has_tool_calls() -> None:
    (conversation,) = read_conversations(SOURCES["bundled"])
    assert sum("tool_calls" in message for message in conversation) >= 3


def test_every_conversation_comes_out_of_a_fresh_process_as_it_went_in(copy: Imported) -> None:
    exported = export_without_local(copy.path)
    assert sorted(exported) == ["all", *(f"conversation-{number:03}" for number in range(len(copy.conversations)))]
    for number, messages in enumerate(copy.conversations):
        assert exact(exported[f"conversation-{number:03}"]) == exact(messages)
    assert exact(exported["all"]) == exact([message for messages in copy.conversations for message in messages])


def test_after_one_edit_exactly_that_message_differs(copy: Imported) -> None:
    places = []
    for number, messages in enumerate(copy.conversations):
        with Tract.open(copy.path, tract_id=f"conversation-{number:03}", durability="fast") as tract:
            place = 5 * number % len(messages)
            target = tract.compile().commit_hashes[place]
            tract.edit(target, MessageContent({**messages[place], "content": "edited \u2713"}))
            places.append(place)
    exported = export_without_local(copy.path)
    for number, (messages, place) in enumerate(zip(copy.conversations, places, strict=True)):
        expected = [*messages[:place], {**messages[place], "content": "edited \u2713"}, *messages[place + 1 :]]
        assert exact(exported[f"conversation-{number:03}"]) == exact(expected)
    assert exact(exported["all"]) == exact([message for messages in copy.conversations for message in messages])


def test_no_object_holds_more_than_one_message(imported: Imported) -> None:
    messages = {json.dumps(message, sort_keys=True) for found in imported.conversations for message in found}
    contents = []
    for name, full in files_of(str(imported.path)).items():
        data = full.read_bytes()
        for line in members_of(data) if name.startswith("packs") else [data]:
            (kind,) = json.loads(line)
            if kind == "content":
                body = json.loads(line)["content"]
                assert sorted(body) == ["content_type", "message"]
                contents.append(json.dumps(body["message"], sort_keys=True))
            assert kind in ("content", "commit", "event")
            if kind != "content":
                assert b'"role"' not in line
    assert set(contents) == messages
    assert len(contents) == len(messages), "a message that comes again is stored once"


def test_the_commits_of_a_conversation_are_found_by_its_config(imported: Imported) -> None:
    with Tract.open(imported.path, tract_id="all") as tract:
        for number, commits in enumerate(imported.commits):
            assert [info.commit_hash for info in tract.query_by_config("seed", "=", number)] == commits
            nested = tract.query_by_config(("tools", 0, "nested"), "=", number)
            assert [info.commit_hash for info in nested] == commits
            assert nested[0].generation_config == config_of(number)
        everything = [name for commits in imported.commits for name in commits]
        assert [info.commit_hash for info in tract.query_by_config("model", "=", "gpt-4o")] == everything
        assert [info.commit_hash for info in tract.query_by_config("temperature", "<=", 0)] == everything
        assert tract.query_by_config("temperature", ">", 0) == []
        assert tract.compile().generation_configs == [
            config_of(number) for number, commits in enumerate(imported.commits) for _ in commits
        ]


def find_pairs(messages: list[Message]) -> list[tuple[int, int]]:
    """Returns the places of calls, of messages that make one call, and of their one result."""
    pairs = []
    for place, message in enumerate(messages):
        calls = message.get("tool_calls") or []
        if len(calls) != 1:
            continue
        results = (k for k in range(place + 1, len(messages)) if messages[k].get("tool_call_id") == calls[0]["id"])
        result = next(results, None)
        if result is not None:
            pairs.append((place, result))
    return pairs


@pytest.mark.parametrize("skips", ["call", "result"])
def test_a_skipped_half_of_a_tool_call_takes_the_other_half_along_and_warns(copy: Imported, skips: str) -> None:
    tried = 0
    for number, messages in enumerate(copy.conversations):
        pairs = find_pairs(messages)
        for call, result in pairs[:1] + pairs[1:][-1:]:
            with Tract.open(copy.path, tract_id=f"conversation-{number:03}", durability="fast") as tract:
                before = tract.compile()
                skipped, other = (call, result) if skips == "call" else (result, call)
                tract.annotate(before.commit_hashes[skipped], "skip")
                compiled = tract.compile()
                rest = [place for place in range(len(messages)) if place not in (call, result)]
                assert exact(compiled.to_openai()) == exact([messages[place] for place in rest])
                assert compiled.commit_hashes == [before.commit_hashes[place] for place in rest]
                assert len(compiled.generation_configs) == compiled.commit_count == len(messages) - 2
                (warning,) = (line for line in compiled.warnings if line not in before.warnings)
                assert before.commit_hashes[other] in warning
                with pytest.raises(OrphanedToolCall) as caught:
                    tract.compile(orphans="raise")
                assert caught.value.commits == (before.commit_hashes[other],)
                kept = tract.compile(orphans="keep").to_openai()
                assert exact(kept) == exact([m for place, m in enumerate(messages) if place != skipped])
                tract.annotate(before.commit_hashes[skipped], "normal")
                assert exact(tract.compile().to_openai()) == exact(messages)
                tried += 1
    print(tried, "tool calls")
    assert tried >= len(copy.conversations) // 2
    if skips == "call":
        exported = export_without_local(copy.path)
        assert exact(exported["conversation-000"]) == exact(copy.conversations[0])


def call(*ids: str, **more: Any) -> Message:
    calls = [{"id": id_, "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}} for id_ in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls, **more}


def result(id_: str, text: str = "done") -> Message:
    return {"role": "tool", "tool_call_id": id_, "content": text}


def test_a_skipped_result_of_parallel_calls_takes_the_calls_and_the_other_result_along(tmp_path: Path) -> None:
    user = {"role": "user", "content": "do both"}
    last = {"role": "assistant", "content": "both done"}
    with Tract.open(tmp_path) as tract:
        infos = tract.import_messages([user, call("a", "b"), result("a"), result("b"), last])
        tract.annotate(infos[2].commit_hash, "skip")
        compiled = tract.compile()
        assert compiled.to_openai() == [user, last]
        for place in (1, 3):
            assert sum(infos[place].commit_hash in line for line in compiled.warnings) == 1
        tract.annotate(infos[2].commit_hash, "normal")
        assert tract.compile().to_openai() == [user, call("a", "b"), result("a"), result("b"), last]
        assert tract.compile().warnings == []


def test_an_edit_that_takes_a_call_away_takes_its_result_along(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as tract:
        infos = tract.import_messages([call("a"), result("a"), {"role": "assistant", "content": "end"}])
        tract.edit(infos[0].commit_hash, MessageContent({"role": "assistant", "content": "no call any more"}))
        assert [message.content for message in tract.compile().messages] == ["no call any more", "end"]
        assert tract.compile(at_commit=infos[0].commit_hash).to_openai() == []  # the cut parts it from its result
        assert tract.compile(at_commit=infos[1].commit_hash).to_openai() == [call("a"), result("a")]


UNCLEAN: dict[str, list[Message]] = {
    "an aborted call in the middle": [
        call("a"),
        {"role": "user", "content": "stop"},
        {"role": "user", "content": "go"},
    ],
    "two results of one call": [call("a"), result("a", "1"), result("a", "2"), {"role": "user", "content": "x"}],
    "an id that comes again": [call("a"), result("a", "1"), call("a"), result("a", "2")],
    "a result of no call": [{"role": "user", "content": "x"}, result("nobody's"), {"role": "user", "content": "y"}],
    "a call of no answer at the end": [{"role": "user", "content": "x"}, call("a")],
}


@pytest.mark.parametrize("name", UNCLEAN)
def test_what_was_not_clean_goes_out_as_it_came_in_and_is_told(tmp_path: Path, name: str) -> None:
    with Tract.open(tmp_path) as tract:
        tract.import_messages(UNCLEAN[name])
    shutil.rmtree(tmp_path / ".tract" / "local")
    with Tract.open(tmp_path) as tract:
        compiled = tract.compile()
        assert compiled.to_openai() == UNCLEAN[name]
        assert tract.compile(orphans="raise").to_openai() == UNCLEAN[name]
        is_told = name not in ("an id that comes again", "a call of no answer at the end")
        assert len(compiled.warnings) == is_told


ODD: list[Message] = [
    {"role": "developer", "content": "be brief"},
    {"role": "user", "content": [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": "x:"}}]},
    {"role": "assistant", "content": None, "refusal": "no", "audio": None, "annotations": []},
    {"role": "assistant", "content": "", "name": "helper", "logprobs": {"content": [{"logprob": -0.1, "bytes": [1, 2]}]}},
    {"role": "assistant", "content": None, "function_call": {"name": "old", "arguments": "not json"}},
    {"role": "function", "name": "old", "content": "old result"},
    {"role": "user", "content": "\u00e9 e\u0301 \U0001f600 \u2028 \x00 \x7f \\ \" / </script> <|endoftext|>", "n": 18446744073709551615},
    {"role": "user", "content": "numbers", "values": [1, 1.0, -0.0, 1e16, 1e-7, 5e-324, True, None, "1"]},
    {"role": "tool", "tool_call_id": None, "content": "an id that is none"},
    {"role": "user", "no content": True},
    {"role": "user", "content": {"content_type": "instruction", "text": "is no instruction"}},
]  # fmt: skip


def test_fields_that_nobody_knows_come_out_as_they_went_in(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as tract:
        tract.import_messages(ODD)
    shutil.rmtree(tmp_path / ".tract" / "local")
    with Tract.open(tmp_path) as tract:
        assert exact(tract.compile().to_openai()) == exact(ODD)
        assert [message.role for message in tract.compile().messages] == [message["role"] for message in ODD]


def test_a_list_of_which_one_message_is_none_is_refused_whole(tmp_path: Path) -> None:
    good = {"role": "user", "content": "good"}
    with Tract.open(tmp_path) as tract:
        for bad in ({"content": "no role"}, {"role": 1}, "text", None, ["role"]):
            with pytest.raises(ContentValidationError) as caught:
                tract.import_messages([good, good, bad])  # type: ignore[list-item]
            assert caught.value.field == "messages[2]"
        for bad in ("text", {"messages": [good]}, None, 5):
            with pytest.raises(ArgumentError):
                tract.import_messages(bad)  # type: ignore[arg-type]
        with pytest.raises(ArgumentError):
            tract.import_messages([good], format="unknown")
        assert tract.head is None
        assert tract.import_messages([]) == []
    assert files_of(str(tmp_path)) == {}
