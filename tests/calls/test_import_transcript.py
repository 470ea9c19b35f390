"""Imports of session files: once each, as they grow, whatever happened to them, and back as they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tract_fs import DialogueContent, Store, Tract, TranscriptFlawed, TranscriptFormatUnknown
from tract_fs.capture import importer
from tract_fs.store import packs
from tract_fs.store.store import Store as StoreFiles
from tract_fs.transcripts import jsonl
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Branch, Entry, Transcript

USER = {"role": "user", "content": "hi"}
OK = {"role": "assistant", "content": "ok"}


def lines(*records: Any) -> bytes:
    return b"".join(record if isinstance(record, bytes) else json.dumps(record).encode() + b"\n" for record in records)


def values(data: bytes) -> list[Any]:
    return [json.loads(line) for line in data.splitlines()]


def texts(t: Tract) -> list[Any]:
    return [message.content for message in t.compile().messages]


@pytest.fixture
def t() -> Any:
    with Tract.open(durability="fast") as tract:
        yield tract


def test_a_file_becomes_messages_and_records_and_comes_back(t: Tract) -> None:
    data = lines(USER, {"type": "progress", "done": 3}, OK, OK, OK)
    report = t.import_transcript(data, format="jsonl")
    assert (report.entries, report.messages, report.added, report.flaws) == (5, 4, 5, ())
    assert texts(t) == ["hi", "ok", "ok", "ok"]
    assert [info.content_type for info in t.log()][::-1] == ["message", "record", "message", "message", "message"]
    assert values(t.export_transcript()) == values(data)
    assert t.title == "hi"


def test_the_metadata_holds_where_each_commit_came_from(t: Tract) -> None:
    t.import_transcript(lines(USER, {"type": "progress", "done": 3}, b'{"a":1}{"b":2}\n'), format="jsonl")
    stamps = [info.metadata["transcript"] for info in t.log(None)[::-1]]
    assert [sorted(stamp) for stamp in stamps] == [
        ["chain", "format", "key", "position", "rest", "session", "sum"],
        ["chain", "format", "key", "position", "session", "sum"],
        ["chain", "format", "key", "position", "session", "sum"],
        ["chain", "format", "is_joined", "key", "position", "session", "sum"],
    ]
    assert [(stamp["format"], stamp["position"]) for stamp in stamps] == [("jsonl", number) for number in range(4)]
    assert {key: t.metadata["transcript"][key] for key in ("format", "session", "title", "entries")} == {
        "format": "jsonl",
        "session": "",
        "title": "hi",
        "entries": 4,
    }
    assert t.metadata["transcript"]["sha256"] == ("303e176f7832a27aad0f0884886d0a3a43720dd6582400703414477bfb94f70e")


def test_what_is_not_clean_is_kept_and_comes_back_byte_for_byte(t: Tract) -> None:
    torn = b'{"role":"user","content":"cut o'
    data = lines(USER, b'{"role":"user","content":"\\ud800"}\n', b"\0\0\n", b'{"a":1}{"b":2}\n', torn)
    report = t.import_transcript(data, format="jsonl")
    assert [(flaw.line, flaw.outcome) for flaw in report.flaws] == [(2, "repaired"), (3, "kept"), (5, "kept")]
    assert texts(t) == ["hi", "\ufffd"]
    exported = t.export_transcript()
    assert values(exported.split(b"\n")[0]) == [USER]
    assert exported.split(b"\n")[1:] == [*data.split(b"\n")[1:], b""]


def test_bytes_too_many_for_the_metadata_are_blobs(t: Tract) -> None:
    data = lines(USER, b"\xff" * 100_000 + b"\n", OK)
    t.import_transcript(data, format="jsonl")
    assert t.export_transcript().split(b"\n")[1] == b"\xff" * 100_000
    assert t.log()[1].metadata["transcript"].get("raw") is None  # type: ignore[index]


def test_strict_refuses_what_is_not_clean_and_writes_nothing(t: Tract) -> None:
    with pytest.raises(TranscriptFlawed, match="1 flaws, the first in line 2: not JSON, or torn"):
        t.import_transcript(lines(USER, b"x\n"), format="jsonl", strict=True)
    assert t.head is None


def test_a_file_of_no_format_is_named_with_what_was_found(tmp_path: Path, t: Tract) -> None:
    path = tmp_path / "notes.json"
    path.write_bytes(b'{"b": 1, "a": 2}')
    with pytest.raises(TranscriptFormatUnknown, match=r"notes\.json: no session of a known format; it holds an object"):
        t.import_transcript(path)


@pytest.mark.parametrize("packed_from", [2, 1000])
def test_a_file_that_has_grown_adds_what_is_new(t: Tract, packed_from: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "_PACKED_COMMITS", packed_from)
    data = lines(USER, OK, OK)
    assert t.import_transcript(data, format="jsonl").added == 3
    first = t.head
    assert t.import_transcript(data, format="jsonl").added == 0
    assert t.head == first
    report = t.import_transcript(data + lines(OK, OK), format="jsonl")
    assert (report.added, report.edited, report.branches) == (2, 0, ())
    assert texts(t) == ["hi", "ok", "ok", "ok", "ok"]
    t.refresh()
    with Tract.open(t._session.store.layout.context, verify=True) as fresh:
        assert fresh.head == t.head
        assert texts(fresh) == texts(t)


def test_chunks_are_transactions_of_their_own(t: Tract, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "_CHUNK_COMMITS", 3)
    records = [{"role": "user", "content": str(number)} for number in range(10)]
    assert t.import_transcript(lines(*records), format="jsonl").added == 10
    assert texts(t) == ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
    assert len(t.reflog()) == 4


def test_what_users_commit_between_stays_and_the_session_goes_on(t: Tract) -> None:
    t.import_transcript(lines(USER, OK), format="jsonl")
    t.annotate(t.log()[0].commit_hash, "skip")
    t.commit(DialogueContent(role="user", text="mine"))
    assert t.import_transcript(lines(USER, OK, {"role": "user", "content": "on"}), format="jsonl").added == 1
    assert texts(t) == ["hi", "mine", "on"]


def test_a_record_that_changed_in_place_is_an_edit(t: Tract) -> None:
    t.import_transcript(lines(USER, OK, OK), format="jsonl")
    changed = lines(USER, {"role": "assistant", "content": "better", "model": "m"}, OK, USER)
    report = t.import_transcript(changed, format="jsonl")
    assert (report.added, report.edited, report.branches) == (2, 1, ())
    assert texts(t) == ["hi", "better", "ok", "hi"]
    assert values(t.export_transcript()) == values(changed)
    assert t.import_transcript(changed, format="jsonl").added == 0


def test_a_session_that_went_back_leaves_a_branch(t: Tract) -> None:
    t.import_transcript(lines(USER, OK, {"role": "user", "content": "left"}), format="jsonl")
    left = t.head
    report = t.import_transcript(lines(USER, OK), format="jsonl")
    assert report.branches == ("main-3",)
    assert texts(t) == ["hi", "ok"]
    assert t.branches()["main-3"] == (left,)
    assert t.import_transcript(lines(USER, OK), format="jsonl").branches == ()


def keyed(source: Source) -> list[Transcript]:
    """Reads lines of {"key", "text", "at", "on": [branches]}, as a format with ids and forks."""
    units = source.units
    names = ["main", *sorted({name for unit in units for name in unit.value["on"]} - {"main"})]

    def entry(position: int) -> Entry:
        value = {name: field for name, field in units[position].value.items() if name != "on"}
        contents = [{"role": "user", "content": value["text"]}]
        covers = [place for place in range(position) if units[place].value["key"] in value.get("covers", ())]
        return Entry(value["key"], value, contents, at_us=value["at"], covers=covers, usage=value.get("usage"))

    branches = [Branch(name, [place for place, unit in enumerate(units) if name in unit.value["on"]]) for name in names]
    return [Transcript(format="jsonl", id="s1", branches=branches, entry=entry, count=len(units))]


@pytest.fixture
def with_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "read", keyed)


def record(key: str, at: int, *on: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "text": key, "at": at, "on": on or ("main",), **more}


@pytest.mark.usefixtures("with_keys")
def test_forks_are_branches_that_share_their_beginning(t: Tract) -> None:
    both = ("main", "fork")
    data = lines(record("a", 1, *both), record("b", 2, *both), record("c", 3, "fork"), record("d", 4))
    report = t.import_transcript(data, format="jsonl")
    assert (report.added, report.branches) == (4, ("fork",))
    assert texts(t) == ["a", "b", "d"]
    with t.on("fork") as fork:
        assert texts(fork) == ["a", "b", "c"]
        assert fork.log()[1].commit_hash == t.log()[1].commit_hash
    assert [value["key"] for value in values(t.export_transcript())] == ["a", "b", "c", "d"]
    grown = data + lines(record("e", 5, "fork"), record("f", 6))
    assert t.import_transcript(grown, format="jsonl").added == 2
    with t.on("fork") as fork:
        assert texts(fork) == ["a", "b", "c", "e"]


@pytest.mark.usefixtures("with_keys")
def test_what_the_main_line_left_is_found_again_as_the_fork(t: Tract) -> None:
    t.import_transcript(lines(record("a", 1), record("b", 2), record("c", 3)), format="jsonl")
    moved = lines(record("a", 1, "main", "fork"), record("b", 2, "fork"), record("c", 3, "fork"), record("d", 4))
    report = t.import_transcript(moved, format="jsonl")
    assert (report.added, report.branches) == (1, ("main-c",))
    assert texts(t) == ["a", "d"]
    assert t.import_transcript(moved, format="jsonl").added == 0
    assert sorted(t.branches()) == ["main", "main-c"]


@pytest.mark.usefixtures("with_keys")
def test_a_summary_stands_for_what_it_covers_also_across_imports(t: Tract) -> None:
    first = lines(record("a", 1), record("b", 2), record("c", 3))
    t.import_transcript(first, format="jsonl")
    report = t.import_transcript(first + lines(record("s", 4, covers=["a", "b"]), record("d", 5)), format="jsonl")
    assert report.added == 2
    assert texts(t) == ["s", "c", "d"]
    assert [info.message for info in t.expand(t.log()[1].commit_hash)] == [None, None]


@pytest.mark.usefixtures("with_keys")
def test_times_are_those_of_the_file_and_rise_along_the_line(t: Tract) -> None:
    t.import_transcript(lines(record("a", 10), record("b", 5), record("c", 2**62)), format="jsonl")
    first, second, third = [info.created_at.timestamp() * 1e6 for info in t.log()[::-1]]
    assert (round(first), round(second)) == (10, 11)
    assert third < 4e15  # a time to come counts as now


@pytest.mark.usefixtures("with_keys")
def test_usage_is_recorded_and_what_is_none_is_noted(t: Tract) -> None:
    usage = {"input_tokens": 5, "output_tokens": 2}
    report = t.import_transcript(
        lines(record("a", 1, usage=usage), record("b", 2, usage={"x": 1}), record("c", 3, usage=usage)), format="jsonl"
    )
    assert [flaw.outcome for flaw in report.flaws] == ["noted"]
    assert t.compile().usage.prompt_tokens == 5  # type: ignore[union-attr]


@pytest.mark.usefixtures("with_keys")
def test_two_machines_that_import_one_session_make_the_same_commits(tmp_path: Path) -> None:
    data = lines(record("a", 1), record("b", 2), record("c", 3))
    with Tract.open(tmp_path / "one") as one, Tract.open(tmp_path / "two") as two:
        one.import_transcript(data, format="jsonl")
        two.import_transcript(data + lines(record("d", 4)), format="jsonl")
        assert two.log()[1].commit_hash == one.head
        one.sync(tmp_path / "two")
        one.merge()
        assert one.head == two.head
        assert texts(one) == ["a", "b", "c", "d"]


def test_each_session_of_a_store_has_a_tract_found_again_by_name(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_bytes(lines(USER, OK))
    with Store.open(tmp_path / "store") as store:
        ((_, report),) = store.import_transcripts([path], format="jsonl")
        assert (report.tract_id, report.added) == ("jsonl-chat", 2)
        assert list(store.import_transcripts([path], format="jsonl")) == []
        path.write_bytes(lines(USER, OK, OK))
        ((_, report),) = store.import_transcripts([path], format="jsonl")
        assert (report.tract_id, report.added) == ("jsonl-chat", 1)
        assert [info.title for info in store.tracts()] == ["hi"]


def test_an_import_of_many_files_opens_the_store_once_and_reads_no_pack_that_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, scanned = [], []
    beside, scan = StoreFiles.beside, packs.scan
    monkeypatch.setattr(StoreFiles, "beside", lambda store, **how: (opened.append(1), beside(store, **how))[1])
    monkeypatch.setattr(packs, "scan", lambda *place: (scanned.append(1), scan(*place))[1])
    paths = [tmp_path / f"s{number}.jsonl" for number in range(5)]
    for path in paths:
        path.write_bytes(lines(*({"role": "user", "content": f"{path.name} {n}"} for n in range(150))))
    with Store.open(tmp_path / "store") as store:
        assert [report.added for _, report in store.import_transcripts(paths, format="jsonl")] == [150] * 5
        assert (len(opened), len(scanned)) == (1, 0)
        assert [info.commit_count for info in store.tracts()] == [150] * 5
    with Tract.open(tmp_path / "store", tract_id="jsonl-s3") as t:
        found = t.log(1000)
        assert len(found) == 150
        assert t.resolve(found[70].commit_hash[:12]) == found[70].commit_hash
        t.commit(DialogueContent(role="user", text="more"))
        assert len(t.log(1000)) == 151


def test_a_session_that_fails_amid_an_import_leaves_the_others(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.jsonl" for name in "abc"]
    for path in paths:
        path.write_bytes(lines(USER, {"role": path.stem, "content": "ok"}))
    real = importer.TranscriptImporter.run

    with Store.open(tmp_path / "store") as store, pytest.MonkeyPatch.context() as patch:
        failed = []

        def run(one: importer.TranscriptImporter) -> importer.TranscriptReport:
            report = real(one)
            if report.tract_id == "jsonl-b":
                raise OSError(5, "the disk failed")
            return report

        patch.setattr(importer.TranscriptImporter, "run", run)
        found = store.import_transcripts(paths, format="jsonl", on_error=lambda file, _: failed.append(file))
        assert [report.tract_id for _, report in found] == ["jsonl-a", "jsonl-c"]
        assert failed == [paths[1]]
        assert [info.tract_id for info in store.tracts()] == ["jsonl-a", "jsonl-b", "jsonl-c"]


@pytest.mark.parametrize("packed_from", [2, 1000])
def test_a_clock_that_stands_still_is_no_obstacle(
    tmp_path: Path, packed_from: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer, "_PACKED_COMMITS", packed_from)
    with Tract.open(tmp_path, clock=lambda: 1_000_000) as t:
        t.import_transcript(lines(USER, OK, OK), format="jsonl")
        t.import_transcript(lines(USER, OK, OK, OK), format="jsonl")
    with Tract.open(tmp_path, verify=True) as fresh:
        assert texts(fresh) == ["hi", "ok", "ok", "ok"]


@pytest.mark.usefixtures("with_keys")
def test_two_machines_that_both_went_on_go_on_again_after_a_merge(tmp_path: Path) -> None:
    shared = [record("a", 1), record("b", 2)]
    ours, theirs = [*shared, record("c1", 3)], [*shared, record("c2", 4)]
    with Tract.open(tmp_path / "one") as one, Tract.open(tmp_path / "two") as two:
        one.import_transcript(lines(*ours), format="jsonl")
        two.import_transcript(lines(*theirs), format="jsonl")
        one.sync(tmp_path / "two")
        one.merge()
        one.sync(tmp_path / "two")
        two.refresh()
        assert texts(one) == texts(two)
        assert sorted(texts(one)) == ["a", "b", "c1", "c2"]
        for t, records, new in ((one, ours, record("d1", 5)), (two, theirs, record("d2", 6))):
            records.append(new)
            report = t.import_transcript(lines(*records), format="jsonl")
            assert (report.added, report.branches) == (1, ())
            assert t.import_transcript(lines(*records), format="jsonl").added == 0
        one.sync(tmp_path / "two")
        one.merge()
        assert sorted(texts(one)) == ["a", "b", "c1", "c2", "d1", "d2"]
        for records in (ours, theirs):
            report = one.import_transcript(lines(*records), format="jsonl")
            assert (report.added, report.branches) == (0, ())


@pytest.mark.usefixtures("with_keys")
def test_a_session_that_went_back_after_a_merge_leaves_a_branch(t: Tract) -> None:
    with Tract.open(t._session.store.layout.context, branch="notes") as notes:
        notes.add("a note")
    t.import_transcript(lines(record("a", 1)), format="jsonl")
    t.merge("notes", allow_unrelated=True)
    t.import_transcript(lines(record("a", 1), record("b", 2), record("c", 3)), format="jsonl")
    report = t.import_transcript(lines(record("a", 1), record("b", 2), record("d", 4)), format="jsonl")
    assert (report.added, report.branches) == (1, ("main-c",))
    assert texts(t)[-2:] == ["b", "d"]
