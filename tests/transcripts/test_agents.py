"""What single formats hold beside their records: files in other places, what a tool hides, and what JSON alone can say."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.lab.samples import SAMPLES, lines
from tract_fs import Tract
from tract_fs.capture.discover import discover, sessions_in
from tract_fs.capture.files import open_source
from tract_fs.errors import ArgumentError
from tract_fs.transcripts import read_transcripts

IMAGE = b"\x89PNG\r\n\x1a\n" + bytes(range(64))


def records_of(data: bytes) -> list[Any]:
    return [json.loads(line) for line in data.splitlines()]


def test_a_document_with_a_lone_surrogate_and_a_large_number_comes_back_as_it_was(tmp_path: Path) -> None:
    document = json.loads(SAMPLES["opencode"]().data)
    document["messages"][0]["parts"][0]["text"] = "half \ud83d of a pair"
    document["messages"][2]["info"]["cost"] = 2**70
    with Tract.open(tmp_path) as tract:
        report = tract.import_transcript(json.dumps(document).encode())
        assert [flaw.outcome for flaw in report.flaws] == ["repaired", "repaired"]
        assert [flaw.reason.partition(":")[0] for flaw in report.flaws] == ["messages[0]", "messages[2]"]
        assert json.loads(tract.export_transcript()) == document


def test_an_image_beside_a_session_of_oh_my_pi_is_a_blob(tmp_path: Path) -> None:
    name = sha256(IMAGE).hexdigest()
    for folder in ("sessions/--work--", "blobs", "store"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "blobs" / name).write_bytes(IMAGE)
    image = {"type": "image", "data": f"blob:sha256:{name}", "mimeType": "image/png"}
    other = {**image, "data": f"blob:sha256:{'0' * 64}"}
    records = [
        {"type": "title", "v": 1, "title": "A session"},
        {"type": "session", "version": 3, "id": "s-1", "cwd": "/work"},
        {"type": "message", "id": "a1", "parentId": None, "message": {"role": "user", "content": [image, other]}},
    ]
    path = tmp_path / "sessions" / "--work--" / "session.jsonl"
    path.write_bytes(lines(records))
    with Tract.open(tmp_path / "store") as tract:
        report = tract.import_transcript(path)
        assert (report.entries, report.added, report.flaws) == (3, 4, ())
        assert tract.title == "A session"
        (record,) = [
            info for info in tract.log(None) if info.content_type == "record" and info.metadata.get("id") is None
        ][:1]
        blobs = tract.get_content(record.commit_hash).blobs
        assert [tract.get_blob(hash_) for hash_ in blobs.values()] == [IMAGE]
        (message,) = tract.compile().messages
        assert message.content[0]["source"]["data"] == b64encode(IMAGE).decode()
        assert message.content[1]["text"] == "[an image whose file is not beside the session]"
        assert records_of(tract.export_transcript()) == records


def test_a_folder_of_events_is_one_session_and_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = records_of(SAMPLES["openhands"]().data)
    events = tmp_path / "conversation-1" / "events"
    events.mkdir(parents=True)
    for number, record in enumerate(records[:-1]):
        (events / f"event-{number:05}-{record['id']}.json").write_text(json.dumps(record, indent=2))
    with Tract.open(tmp_path / "store") as tract:
        report = tract.import_transcript(tmp_path / "conversation-1")
        assert (report.session_id, report.entries, report.messages) == ("conversation-1", 5, 5)
        (events / "event-00005-e5.json").write_text(json.dumps(records[-1]))
        assert tract.import_transcript(tmp_path / "conversation-1").added == 1
        assert records_of(tract.export_transcript()) == records
    assert [state.path for state in sessions_in(str(tmp_path / "conversation-1"))] == [str(tmp_path / "conversation-1")]
    (tmp_path / ".openhands" / "conversations").mkdir(parents=True)
    (tmp_path / "conversation-1").rename(tmp_path / ".openhands" / "conversations" / "c-1")
    monkeypatch.setenv("HOME", str(tmp_path))
    found = [(one.format, Path(one.file.path).name) for one in discover({})]
    assert found == [("openhands", "c-1")]
    with pytest.raises(ArgumentError, match="a folder without event files"):
        open_source(tmp_path)


def test_an_image_beside_a_session_of_vibe_is_a_blob_and_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "attachments").mkdir()
    (tmp_path / "attachments" / "a.png").write_bytes(IMAGE)
    (tmp_path / "attachments" / "b.png").symlink_to(tmp_path / "attachments" / "a.png")
    (tmp_path / "meta.json").write_text(
        json.dumps({"session_id": "s-1", "title": "A session", "config": {"model": "m-1"}})
    )
    paths = ("attachments/a.png", "attachments/b.png", "../meta.json", "/etc/passwd")
    images = [{"source": {"kind": "file", "path": path}} for path in paths]
    (tmp_path / "messages.jsonl").write_bytes(
        lines([{"role": "user", "content": "Look", "images": images, "injected": False}])
    )
    with open_source(tmp_path / "messages.jsonl") as source:
        (transcript,) = read_transcripts(source)
        entry = transcript.entry(0)
        assert (transcript.id, transcript.title, entry.blobs) == ("s-1", "A session", {"attachments/a.png": IMAGE})
        assert [block["type"] for block in entry.contents[0]["content"]] == ["text", "image_url"]  # type: ignore[index]


def test_a_task_of_roo_is_named_by_its_folder(tmp_path: Path) -> None:
    task = tmp_path / "tasks" / "1788218993905"
    task.mkdir(parents=True)
    (task / "api_conversation_history.json").write_bytes(SAMPLES["cline"]().data)
    (task / "history_item.json").write_text(json.dumps({"id": "1", "task": "Fix it", "workspace": "/work"}))
    with open_source(task / "api_conversation_history.json") as source:
        (transcript,) = read_transcripts(source)
        assert (transcript.format, transcript.id, transcript.title) == ("cline", "1788218993905", "Fix it")


def test_a_model_sees_what_the_program_sent(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as tract:
        tract.import_transcript(SAMPLES["copilot"]().data)
        assert [message.content for message in tract.compile().messages] == [
            "be very brief",
            "A fox.The quick brown fox jumps over the lazy dog. ",
            [{"type": "text", "text": "And the dog?"}],
        ]


def test_of_many_forks_the_first_are_branches_and_the_others_records() -> None:
    records: list[Any] = [{"type": "session", "version": 3, "id": "s-1", "cwd": "/work"}]
    message = {"role": "user", "content": "Hello"}
    for number in range(300):
        before = f"a{number - 1}" if number else None
        records.append({"type": "message", "id": f"a{number}", "parentId": before, "message": message})
        records.append({"type": "message", "id": f"b{number}", "parentId": f"a{number}", "message": message})
    with open_source(lines(records)) as source:
        (transcript,) = read_transcripts(source)
        assert len(transcript.branches) == 201
        assert {p for branch in transcript.branches for p in branch.positions} == set(range(601))
        assert [len(transcript.entry(position).contents) for position in (1, 2, 402, 598)] == [1, 1, 0, 0]
        assert [flaw.reason for flaw in transcript.flaws] == [
            "more than 200 forks; 99 entries of the others are records"
        ]


def test_many_ways_back_cost_no_branch_each() -> None:
    header = {"sessionId": "g-1", "projectHash": "p-1"}
    turns = [[{"id": f"m{n}", "type": "user", "content": "Hello"}, {"$rewindTo": f"m{n}"}] for n in range(300)]
    with open_source(lines([header, *(record for turn in turns for record in turn)])) as source:
        (transcript,) = read_transcripts(source)
        assert len(transcript.branches) == 201
        assert transcript.count == 601
        assert {p for branch in transcript.branches for p in branch.positions} == set(range(601))


def test_a_branch_of_a_document_whose_head_changed_is_the_same_branch(tmp_path: Path) -> None:
    document = json.loads(SAMPLES["opencode"]().data)
    document["info"]["revert"] = {"messageID": "msg_4"}
    with Tract.open(tmp_path) as tract:
        report = tract.import_transcript(json.dumps(document).encode())
        assert (report.messages, report.branches) == (4, ("reverted-msg-4",))
        document["info"]["title"] = "Another title"
        again = tract.import_transcript(json.dumps(document).encode())
        assert (again.added, again.edited, again.branches) == (2, 2, ())
        assert json.loads(tract.export_transcript()) == document
        last = tract.import_transcript(json.dumps(document).encode())
        assert (last.added, last.edited, last.branches) == (0, 0, ())
