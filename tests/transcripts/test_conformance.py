"""One suite for all session formats: what goes in comes back, once, whatever state the file is in."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.samples import SAMPLES, Sample
from tract_fs import Tract
from tract_fs.capture import stamps
from tract_fs.capture.files import open_source
from tract_fs.errors import TranscriptFormatUnknown
from tract_fs.transcripts import SESSION_FORMATS, format_for, format_of, read_transcripts
from tract_fs.transcripts.rest import join_rest
from tract_fs.transcripts.transcript import Transcript

STEPS = 10
OTHERS: list[Any] = [None, True, 7, -1.5, "", "x", [], [7], {}, {"id": "x"}, {"$": [0]}, "\ud800", 2**70]
each_format = pytest.mark.parametrize("name", SAMPLES)


def records_of(data: bytes, sample: Sample) -> list[Any]:
    """Returns the records of a file, for a document what is around them first."""
    if sample.array is None:
        return [json.loads(line) for line in data.splitlines()]
    document = json.loads(data)
    found = document
    for key in sample.array:
        found = found[key]
    return [{"document": {**document}}, *found] if sample.array else list(found)


def file_of(records: list[Any], sample: Sample) -> bytes:
    """Returns the file of records: the contrary of `records_of`."""
    if sample.array is None:
        return b"".join(json.dumps(record).encode() + b"\n" for record in records)
    if not sample.array:
        return json.dumps(records).encode()
    document = json.loads(json.dumps(records[0]["document"]))
    inner = document
    for key in sample.array[:-1]:
        inner = inner[key]
    inner[sample.array[-1]] = records[1:]
    return json.dumps(document).encode()


def contents_of(tract: Tract) -> list[tuple[str, int]]:
    """Returns the keys and parts of the commits of a branch, in order, but for edits."""
    found = []
    for info in reversed(tract.log(None)):
        if info.operation != "edit":
            stamp = info.metadata[stamps.KEY]
            found.append((stamp["key"], stamp.get("part", 0)))
    return found


def messages_of(tract: Tract) -> list[Any]:
    return [message.content for message in tract.compile().messages]


def is_whole(transcript: Transcript) -> bool:
    """Returns whether every record comes back from what is stored of it."""
    on_branches = {position for branch in transcript.branches for position in branch.positions}
    assert on_branches == set(range(transcript.count))
    keys = [transcript.entry(position).key for position in range(transcript.count)]
    assert len(set(keys)) == len(keys)
    for position in range(transcript.count):
        entry = transcript.entry(position)
        if entry.contents and entry.raw is None:
            parts = [*map(stamps.plain, entry.contents), entry.metadata]
            assert join_rest(json.loads(json.dumps(stamps.rest_of(entry))), parts) == entry.value
        assert all(0 <= place < position for place in entry.covers)
    return True


def test_every_format_has_a_sample() -> None:
    assert set(SAMPLES) == set(SESSION_FORMATS)


@each_format
def test_the_format_is_detected(name: str) -> None:
    (transcript, *_) = read_transcripts(open_source(SAMPLES[name]().data))
    assert transcript.format == name


@each_format
def test_a_session_comes_in_whole_and_back_equal_and_once(name: str, tmp_path: Path) -> None:
    sample = SAMPLES[name]()
    with Tract.open(tmp_path) as tract:
        report = tract.import_transcript(sample.data)
        assert (report.entries, report.messages, report.flaws) == (sample.entries, sample.messages, ())
        assert (len(messages_of(tract)), bool(report.branches)) == (sample.shown, sample.goes_back)
        assert records_of(tract.export_transcript(), sample) == records_of(sample.data, sample)
        again = tract.import_transcript(sample.data)
        assert (again.added, again.edited, again.branches, again.head) == (0, 0, (), report.head)


@each_format
def test_a_session_that_grows_is_the_same_as_one_that_is_whole(name: str, tmp_path: Path) -> None:
    sample = SAMPLES[name]()
    records = records_of(sample.data, sample)
    with Tract.open(tmp_path / "whole") as whole, Tract.open(tmp_path / "growing") as growing:
        whole.import_transcript(sample.data)
        least = 1 if sample.array != () else 0
        for step in range(STEPS + 1):
            part = records[: max(least, len(records) * step // STEPS)]
            if part:
                growing.import_transcript(file_of(part, sample), format=name)
        assert growing.export_transcript() == whole.export_transcript()
        assert messages_of(growing) == messages_of(whole)
        assert contents_of(growing) == contents_of(whole)


def changed(records: list[Any], seed: int) -> list[Any]:
    """Returns records of which one has a value of another type, is there twice, or is not there."""
    chance = random.Random(seed)
    made = json.loads(json.dumps(records))
    place = chance.randrange(len(made))
    kind = chance.choice(["value", "value", "value", "value", "value", "key", "twice", "gone", "other", "order"])
    if kind == "twice":
        made.insert(chance.randrange(len(made)), made[place])
    elif kind == "gone":
        del made[place]
    elif kind == "other":
        made[place] = chance.choice(OTHERS)
    elif kind == "order":
        chance.shuffle(made)
    else:
        owner, key = chance.choice(list(places_in(made[place])) or [(made, place)])
        if kind == "value" or not isinstance(owner, dict):
            owner[key] = chance.choice(OTHERS)
        else:
            owner[key + "x"] = owner.pop(key)
    return made


def places_in(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yields the container and the key of each value in a record."""
    waiting = [value]
    while waiting:
        owner = waiting.pop()
        pairs = owner.items() if isinstance(owner, dict) else enumerate(owner) if isinstance(owner, list) else ()
        for key, inner in pairs:
            yield owner, key
            waiting.append(inner)


@each_format
def test_a_record_of_any_form_comes_back(name: str) -> None:
    sample = SAMPLES[name]()
    records = records_of(sample.data, sample)
    first = 1 if sample.array else 0
    for seed in range(200):
        made = [*records[:first], *changed(records[first:], seed)]
        for transcript in format_of(name).read(open_source(file_of(made, sample))):
            assert is_whole(transcript), seed


@pytest.mark.campaign
@each_format
def test_records_with_several_changes_come_back(name: str) -> None:
    sample = SAMPLES[name]()
    records = records_of(sample.data, sample)
    first = 1 if sample.array else 0
    for seed in range(5000, 7000):
        made = records[first:]
        for step in range(1 + seed % 4):
            made = changed(made, seed * 7 + step) if made else made
        data = file_of([*records[:first], *made], sample)
        for transcript in format_of(name).read(open_source(data)):
            assert is_whole(transcript), seed


@each_format
def test_a_session_of_any_form_comes_in_and_back(name: str, tmp_path: Path) -> None:
    sample = SAMPLES[name]()
    records = records_of(sample.data, sample)
    first = 1 if sample.array else 0
    for seed in range(1000, 1004):
        data = file_of([*records[:first], *changed(records[first:], seed)], sample)
        with Tract.open(tmp_path / f"{seed}") as tract:
            tract.import_transcript(data, format=name)
            assert records_of(tract.export_transcript(), sample) == records_of(data, sample), seed
            assert tract.import_transcript(data, format=name).added == 0


@each_format
def test_a_session_that_was_rewritten_comes_back_as_it_is_now(name: str, tmp_path: Path) -> None:
    sample = SAMPLES[name]()
    records = records_of(sample.data, sample)
    first = 1 if sample.array else 0
    for seed in range(2000, 2003):
        data = file_of([*records[:first], *changed(records[first:], seed)], sample)
        with Tract.open(tmp_path / f"{seed}") as tract:
            tract.import_transcript(sample.data, format=name)
            tract.import_transcript(data, format=name)
            assert records_of(tract.export_transcript(), sample) == records_of(data, sample), seed
            again = tract.import_transcript(data, format=name)
            assert (again.added, again.edited, again.branches) == (0, 0, ())


@pytest.mark.parametrize("name", [name for name in SAMPLES if SAMPLES[name]().array is None])
def test_a_file_that_is_not_clean_comes_in_and_back(name: str, tmp_path: Path) -> None:
    whole = SAMPLES[name]().data
    for seed in range(4):
        chance = random.Random(seed)
        data = bytearray(whole)
        start = chance.randrange(len(data) // 2, len(data))
        if seed % 3 == 0:
            del data[start:]
        elif seed % 3 == 1:
            data[start : start + 3] = b"\x00\xff{"
        else:
            del data[start : start + 40]
        with Tract.open(tmp_path / f"{seed}") as tract:
            report = tract.import_transcript(bytes(data), format=name)
            assert report.flaws or bytes(data).rstrip() == data[: len(data.rstrip())]
            assert units_of(tract.export_transcript()) == units_of(bytes(data)), seed


def units_of(data: bytes) -> list[tuple[Any, bytes | None]]:
    return [(unit.value, unit.raw) for unit in open_source(data).units]


@each_format
def test_a_beginning_of_a_file_is_no_error_but_a_typed_one(name: str) -> None:
    data = SAMPLES[name]().data
    for end in range(0, len(data), max(1, len(data) // 60)):
        try:
            found = read_transcripts(open_source(data[:end]))
        except TranscriptFormatUnknown:
            continue
        assert all(is_whole(transcript) for transcript in found)


@each_format
def test_the_format_of_a_record_of_any_form_is_detected_or_unknown(name: str) -> None:
    sample = SAMPLES[name]()
    is_document = sample.array is not None
    records = [json.loads(sample.data)] if is_document else [json.loads(line) for line in sample.data.splitlines()]
    for seed in range(200):
        made = changed(records, seed)
        with contextlib.suppress(TranscriptFormatUnknown):
            data = json.dumps(made[:1]).encode()[1:-1] if is_document else file_of(made, sample)
            assert format_for(open_source(data)) in SESSION_FORMATS


@pytest.mark.parametrize("kind", [[], {}, 7])
def test_a_type_that_is_no_text_makes_a_file_unknown(kind: object) -> None:
    record = {"type": kind, "payload": {}}
    with pytest.raises(TranscriptFormatUnknown):
        format_for(open_source(json.dumps(record).encode() + b"\n" + json.dumps(record).encode()))
    blocks = {"messages": [{"role": "user", "content": [{"type": kind, "text": "hi"}]}]}
    assert format_for(open_source(json.dumps(blocks).encode())) == "openai-chat"
