"""Blobs: bytes as objects of their own, named by contents, and put in place of their names at compile time."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.lab.inside import store_of
from tests.lab.power import in_next_boot, lose_loose_files
from tests.lab.states import put
from tests.lab.stores import AT_ONCE, redact
from tests.lab.talk import user
from tract_fs import DialogueContent, MessageContent, RecordContent, TokenBudgetConfig, Tract, TractConfig
from tract_fs.errors import (
    ArgumentError,
    ContentRedacted,
    HashMismatch,
    InvalidObject,
    ObjectMissing,
    ObjectTooLarge,
    ReadOnlyError,
)

HI = "45856bf8a2238e8f969e59066f010113e6be1c20c30b45adc6813782716caaf1"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (750).to_bytes(4, "big") + (100).to_bytes(4, "big")
PNG_TEXT = "iVBORw0KGgoAAAANSUhEUgAAAu4AAABk"
SHOWN_PNG = f"data:image/png;base64,{PNG_TEXT}"


def blob_file(path: Path, name: str) -> Path:
    return path / ".tract/objects" / name[:2] / name[2:]


def image(name: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"blob:{name}"}}


def look_at(*blocks: dict[str, Any]) -> MessageContent:
    return MessageContent({"role": "user", "content": [{"type": "text", "text": "look"}, *blocks]})


def test_a_blob_is_an_object_named_by_the_hash_of_its_file(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        name = t.put_blob(b"hi")
        assert name == HI
        assert blob_file(tmp_path, name).read_bytes() == b'{"blob":{"base64":"aGk="}}'
        assert t.get_blob(name) == b"hi"
        assert t.put_blob(bytearray(b"hi")) == t.put_blob(memoryview(b"hi")) == name
        assert t.get_blob(t.put_blob(b"")) == b""
        assert t.log() == []


def test_bytes_of_any_kind_and_size_come_back(tmp_path: Path) -> None:
    every = bytes(range(256)) * 8192  # 2 MiB: past the redo log
    with Tract.open(tmp_path) as t:
        name = t.put_blob(every)
    with Tract.open(tmp_path, read_only=True) as t:
        assert t.get_blob(name) == every
        with pytest.raises(ReadOnlyError):
            t.put_blob(b"more")


def test_what_is_no_blob_is_refused(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        made = t.commit(user("hi"))
        assert made.content_hash is not None
        with pytest.raises(InvalidObject, match="blob"):
            t.get_blob(made.content_hash)
        with pytest.raises(InvalidObject, match="blob"):
            t.get_blob(made.commit_hash)
        with pytest.raises(ObjectMissing, match=r"blob 0000.*fetch it from another copy"):
            t.get_blob("0" * 64)
        for wrong in ("main", "../../etc/passwd", "", None, 7):
            with pytest.raises(ArgumentError, match="put_blob"):
                t.get_blob(wrong)  # type: ignore[arg-type]
        for unfit in ("text", None, 7, [1]):
            with pytest.raises(ArgumentError, match="give bytes"):
                t.put_blob(unfit)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["aGk", "aGk=\\n", "aGl=", "a Gk=", "aGk=aGk=", 'aGk="},"x":{"y":"'])
def test_a_blob_that_is_not_the_one_stored_form_is_none(tmp_path: Path, text: str) -> None:
    data = f'{{"blob":{{"base64":"{text}"}}}}'.encode()
    name = hashlib.sha256(data).hexdigest()
    with Tract.open(tmp_path) as t:
        blob_file(tmp_path, name).parent.mkdir(parents=True)
        blob_file(tmp_path, name).write_bytes(data)
        with pytest.raises(InvalidObject, match="blob"):
            t.get_blob(name)


def test_a_blob_over_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tract_fs.model.blobs.MAX_OBJECT_BYTES", 26)
    with Tract.open(tmp_path) as t:
        assert t.get_blob(t.put_blob(b"abc")) == b"abc"  # 26 bytes as a file
        with pytest.raises(ObjectTooLarge, match="the blob takes 30 bytes, over 26"):
            t.put_blob(b"abcd")


def test_altered_bytes_are_damage(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        name = t.put_blob(b"hi")
    file = blob_file(tmp_path, name)
    file.chmod(0o644)
    file.write_bytes(b'{"blob":{"base64":"aGo="}}')
    with Tract.open(tmp_path) as t, pytest.raises(HashMismatch):
        t.get_blob(name)


def test_a_redacted_blob_says_so(tmp_path: Path) -> None:
    with Tract.open(tmp_path, clock=lambda: 1_000_000) as t:
        name = t.put_blob(b"secret")
        t.commit(look_at(image(name)))
    redact(tmp_path, name, after='"at":"1970-01-01T00:00:01.000000Z"', at="1970-01-01T00:00:02.000000Z")
    with Tract.open(tmp_path) as t:
        t.refresh()
        with pytest.raises(ContentRedacted, match=f"the blob {name} was redacted"):
            t.get_blob(name)
        context = t.compile()
        assert context.messages[0].content[1] == {"type": "text", "text": f"[a redacted attachment: blob {name}]"}
        assert context.warnings == []


# durable


@pytest.mark.parametrize("size", [10, 2 * 1024 * 1024])
def test_a_durable_blob_outlives_a_power_cut(tmp_path: Path, size: int) -> None:
    with Tract.open(tmp_path) as t:
        t.commit(user("first"))
        small, large = t.put_blob(b"x" * 10), t.put_blob(b"x" * size)
        lose_loose_files(tmp_path) if size == 10 else None
    with in_next_boot(), Tract.open(tmp_path) as t:
        assert (t.get_blob(small), t.get_blob(large)) == (b"x" * 10, b"x" * size)


def test_a_blob_is_durable_at_the_return_inside_a_batch_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Tract.open(tmp_path) as t:
        synced: list[int] = []
        real = store_of(t)._redo.sync
        monkeypatch.setattr(store_of(t)._redo, "sync", lambda: (synced.append(1), real()))
        with pytest.raises(RuntimeError), t.batch():
            t.commit(user("never written"))
            name = t.put_blob(b"kept")
            assert (len(synced), t.get_blob(name)) == (1, b"kept")
            raise RuntimeError
        assert (t.get_blob(name), t.log()) == (b"kept", [])
        t.commit(user("goes on"))


def test_a_durable_put_of_what_a_fast_writer_wrote_is_durable(tmp_path: Path) -> None:
    with Tract.open(tmp_path, durability="fast") as t:
        name = t.put_blob(b"hi")
    with Tract.open(tmp_path) as t:
        assert t.put_blob(b"hi") == name
        lose_loose_files(tmp_path)
    with in_next_boot(), Tract.open(tmp_path) as t:
        assert t.get_blob(name) == b"hi"


def test_threads_and_processes_may_put_the_same_blob(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        names: list[str] = []
        threads = [Thread(target=lambda: names.append(t.put_blob(b"same"))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(names) == 4 and len(set(names)) == 1


def test_a_disk_that_refuses_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Tract.open(tmp_path) as t:
        t.commit(user("first"))

        def refuse(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("tract_fs.store.files.replace", refuse)
            with pytest.raises(OSError, match="No space"):
                t.put_blob(b"hi")
        t.commit(user("second"))
    with in_next_boot(), Tract.open(tmp_path) as t:
        assert [message.content for message in t.compile().messages] == ["first", "second"]
        with pytest.raises(ObjectMissing):
            t.get_blob(HI)


# packing and repair


def test_packing_and_repair_keep_blobs(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        named, lone = t.put_blob(b"named" * 100), t.put_blob(b"lone")
        t.commit(RecordContent("state", {}, {"it": named}))
        report = t.repair()
        assert (report.lost, report.unmoved, report.salvaged) == ((), (), ())
        t.pack(keep_loose=AT_ONCE)
        assert list((tmp_path / ".tract/objects").glob("*/*")) == []
        assert (t.get_blob(named), t.get_blob(lone)) == (b"named" * 100, b"lone")
        status = t.status()
        assert (status.strays, status.lost, status.pending) == ((), (), ())
    with Tract.open(tmp_path, verify=True) as t:
        assert t.get_blob(named) == b"named" * 100


@pytest.mark.parametrize("data", [b"", b"1", b"12", b"123", b"1234"])
def test_the_smallest_blobs_are_lines_of_a_pack_too(tmp_path: Path, data: bytes) -> None:
    with Tract.open(tmp_path) as t:
        name = t.put_blob(data)
        t.commit(user("one"))
        t.pack(keep_loose=AT_ONCE)
    assert not blob_file(tmp_path, name).exists()
    with Tract.open(tmp_path, verify=True) as t:
        assert t.get_blob(name) == data


def test_a_conflict_copy_of_a_blob_is_no_history(tmp_path: Path) -> None:
    """No text of a peer can pass as a commit or an event: a blob holds base64 alone."""
    with Tract.open(tmp_path) as t:
        first = t.commit(user("first")).commit_hash
        t.put_blob(b'"}\n{"event":{"at":"2026-01-01T00:00:00.000000Z"}}\n')
        t.pack(keep_loose=AT_ONCE)
        assert [info.commit_hash for info in t.log()] == [first]


# attachments


def test_an_attachment_shows_with_its_data(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        name = t.put_blob(PNG)
        made = t.commit(look_at(image(name)))
        blocks = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": SHOWN_PNG}}]
        for context in (t.compile(), t.compile(), pickle.loads(pickle.dumps(t.compile()))):
            assert context.messages[0].content == blocks
            assert context.to_openai() == [{"role": "user", "content": blocks}]
            assert context.warnings == []
        assert t.get_content(made.commit_hash).message["content"][1] == image(name)
    with Tract.open(tmp_path, read_only=True) as t:
        assert t.compile().messages[0].content == blocks
        assert t.compile(at_commit=t.head).messages[0].content == blocks
        assert t.compile(at_time=t.log()[0].created_at).messages[0].content == blocks


def test_each_place_of_a_provider_takes_a_blob(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        png, pdf, wav = t.put_blob(PNG), t.put_blob(b"%PDF-1.4"), t.put_blob(b"RIFFsizeWAVE")
        t.commit(
            look_at(
                {"type": "image", "source": {"type": "blob", "hash": png, "media_type": "image/webp"}},
                {"type": "image", "source": {"type": "blob", "hash": png}},
                {"type": "document", "source": {"type": "blob", "hash": pdf}, "title": "paper"},
                {"type": "input_image", "image_url": f"blob:{png}", "detail": "low"},
                {"type": "input_file", "file_data": f"blob:{pdf}", "filename": "a.pdf"},
                {"type": "file", "file": {"file_data": f"blob:{pdf}", "filename": "a.pdf"}},
                {"type": "input_audio", "input_audio": {"data": f"blob:{wav}", "format": "wav"}},
                {"type": "tool_result", "tool_use_id": "c1", "content": [image(png)]},
            )
        )
        assert t.compile().messages[0].content[1:] == [
            {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": PNG_TEXT}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG_TEXT}},
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQ="},
                "title": "paper",
            },
            {"type": "input_image", "image_url": SHOWN_PNG, "detail": "low"},
            {"type": "input_file", "file_data": "data:application/pdf;base64,JVBERi0xLjQ=", "filename": "a.pdf"},
            {
                "type": "file",
                "file": {"file_data": "data:application/pdf;base64,JVBERi0xLjQ=", "filename": "a.pdf"},
            },
            {"type": "input_audio", "input_audio": {"data": "UklGRnNpemVXQVZF", "format": "wav"}},
            {
                "type": "tool_result",
                "tool_use_id": "c1",
                "content": [{"type": "image_url", "image_url": {"url": SHOWN_PNG}}],
            },
        ]


def test_only_media_blocks_name_blobs(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        name = t.put_blob(b"secret")
        blocks = [
            {"type": "text", "text": f"blob:{name}"},
            {"type": "tool_use", "id": "c1", "name": "fetch", "input": {"url": f"blob:{name}", "source": image(name)}},
            {"type": "image_url", "image_url": {"url": "blob:not-a-hash"}},
            {"type": "image_url", "image_url": {"url": f"https://example.org/blob:{name}"}},
            {"type": ["image"], "image_url": f"blob:{name}"},
            f"blob:{name}",
        ]
        t.commit(MessageContent({"role": "assistant", "content": blocks, "url": f"blob:{name}"}))
        t.commit(DialogueContent("user", f"blob:{name}"))
        context = t.compile(orphans="keep")
        assert context.messages[0].to_dict() == {"role": "assistant", "content": blocks, "url": f"blob:{name}"}
        assert context.messages[1].content == f"blob:{name}"


def test_a_missing_attachment_is_a_text_and_a_warning_until_it_is_there(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        name = t.put_blob(PNG)
        made = t.commit(look_at(image(name), {"type": "input_image", "image_url": f"blob:{name}"}))
    data = blob_file(tmp_path, name).read_bytes()
    blob_file(tmp_path, name).unlink()
    with Tract.open(tmp_path) as t:
        for _ in range(2):
            context = t.compile()
            text = f"[an attachment that is missing: blob {name}]"
            assert context.messages[0].content[1:] == [
                {"type": "text", "text": text},
                {"type": "input_text", "text": text},
            ]
            warning = (
                f"commit {made.commit_hash}: its attachment, blob {name}, is missing or damaged, and a text stands for it; "
                "fetch the blob from another copy"
            )
            assert context.warnings == [warning]
        assert t.incomplete() is None
        t.commit(user("go on"))
        blob_file(tmp_path, name).write_bytes(data)
        context = t.compile()
        assert context.messages[0].content[1] == {"type": "image_url", "image_url": {"url": SHOWN_PNG}}
        assert context.warnings == []


def test_an_attachment_counts_as_its_data_does(tmp_path: Path) -> None:
    """750 x 100 pixels are two tiles: 85 + 2 * 170 tokens; 3 for the message, 3 for the reply, 7 for the texts."""
    budget = TractConfig(token_budget=TokenBudgetConfig(max_tokens=2000, action="reject"))
    with Tract.open(tmp_path, config=budget) as t:
        name = t.put_blob(PNG)
        t.commit(look_at(image(name)))
        inline = {"type": "image_url", "image_url": {"url": SHOWN_PNG}}
        t.commit(MessageContent({"role": "user", "content": [{"type": "text", "text": "look"}, inline]}))
        first, second = t.compile().token_counts
        assert first == second
        assert t.compile().token_source == "estimate:utf8/4+media"
        assert t.log()[1].token_count == first
        diff = t.diff()
        assert (diff.a.token_count, diff.b.token_count) == (first + 3, 2 * first + 3)


class Letters:
    name = "letters"

    def count_text(self, text: str, /) -> int:
        return len(text)


def test_another_tokenizer_counts_a_late_blob_as_a_copy_does_that_always_had_it(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        name = t.put_blob(PNG)
        t.commit(look_at(image(name)))
    data = blob_file(tmp_path, name).read_bytes()
    with Tract.open(tmp_path, tokenizer=Letters(), read_only=True) as t:
        expected = t.compile().token_count
    blob_file(tmp_path, name).unlink()
    with Tract.open(tmp_path, tokenizer=Letters()) as t:
        assert t.compile().token_count != expected
        assert t.log()[0].token_count != expected
        blob_file(tmp_path, name).write_bytes(data)
        assert t.compile().token_count == expected
        assert t.log()[0].token_count == expected - 3


def test_a_text_edit_and_a_summary_keep_to_the_attachment(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        name = t.put_blob(PNG)
        made = t.commit(look_at(image(name)))
        t.edit(made.commit_hash, "look here")
        assert t.compile().messages[0].content == [
            {"type": "text", "text": "look here"},
            {"type": "image_url", "image_url": {"url": SHOWN_PNG}},
        ]
        seen: list[Any] = []
        t.summarize([made.commit_hash], lambda messages: seen.extend(m.content for m in messages) or "an image")
        assert seen[0][1] == {"type": "image_url", "image_url": {"url": SHOWN_PNG}}
        assert [message.content for message in t.compile().messages] == ["an image"]


def test_an_import_of_references_counts_their_data(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        name = t.put_blob(PNG)
        message = look_at(image(name)).message
        t.commit(MessageContent(message))
        t.import_messages([message])
        t.import_stream([message])
        assert len(set(t.compile().token_counts)) == 1


# lost


def fill_with_three(path: Path) -> tuple[list[str], list[str]]:
    """Makes a store with blobs that a shown message, a record and a message on another branch name; returns them and the commits."""
    with Tract.open(path, durability="fast") as t:
        blobs = [t.put_blob(data) for data in (b"shown", b"of a record", b"on a side", b"of nobody")]
        commits = [t.commit(look_at(image(blobs[0]))).commit_hash]
        commits.append(t.commit(RecordContent("state", {}, {"it": blobs[1]})).commit_hash)
        t.branch("side")
        t.switch("side")
        commits.append(t.commit(look_at(image(blobs[2]))).commit_hash)
        t.switch("main")
        t.commit(look_at(image(blobs[0])))
        commits.append(str(t.head))
    return blobs, commits


def test_status_and_repair_list_the_blobs_that_contents_name_and_that_are_missing(tmp_path: Path) -> None:
    blobs, commits = fill_with_three(tmp_path)
    with Tract.open(tmp_path) as t:
        assert t.status().lost == () == t.repair().lost
    for name in blobs:
        blob_file(tmp_path, name).unlink()
    with Tract.open(tmp_path) as t:
        found = {file.hash: file for file in t.status().lost}
        assert found == {file.hash: file for file in t.repair().lost}
        assert sorted(found) == sorted(blobs[:3])
        assert {
            (file.kind, file.is_damaged, file.path == f"objects/{name[:2]}/{name[2:]}") for name, file in found.items()
        } == {("blob", False, True)}
        assert [line[:64] for line in found[blobs[0]].hidden] == [commits[0], commits[3]]
        assert found[blobs[0]].hidden[0][64:].startswith(': {"content":[{"text":"look"')
        assert [line[:64] for line in found[blobs[1]].hidden] == [commits[1]]
        assert [line[:64] for line in found[blobs[2]].hidden] == [commits[2]]
        assert any(line.startswith("blobs that contents name are lost") for line in t.status().advice)
        assert not any(line.startswith("lost files hide") for line in t.status().advice)
        assert t.incomplete() is None
        (warning, _) = t.compile().warnings
        assert warning == (
            f"commit {commits[0]}: its attachment, blob {blobs[0]}, is missing or damaged, and a text stands for it; "
            "fetch the blob from another copy"
        )
        for data in (b"shown", b"of a record", b"on a side"):
            t.put_blob(data)
        assert t.status().lost == () == t.repair().lost


def test_a_damaged_blob_is_listed_where_the_context_shows_it_and_by_a_repair_everywhere(tmp_path: Path) -> None:
    blobs, _ = fill_with_three(tmp_path)
    for name in blobs:
        put(blob_file(tmp_path, name), b'{"blob":{"base64":"aGo="}}')
    with Tract.open(tmp_path) as t:
        assert [(file.hash, file.is_damaged) for file in t.status().lost] == [(blobs[0], True)]
        assert sorted(file.hash for file in t.repair().lost) == sorted(blobs[:3])


def test_a_blob_that_is_given_up_is_not_missed_any_more(tmp_path: Path) -> None:
    blobs, _ = fill_with_three(tmp_path)
    for name in blobs[:2]:
        blob_file(tmp_path, name).unlink()
    with Tract.open(tmp_path) as t:
        report = t.repair(give_up=[blobs[0]])
        assert (report.given_up, [file.hash for file in report.lost]) == ((blobs[0],), [blobs[1]])
        with pytest.raises(ContentRedacted):
            t.get_blob(blobs[0])
        assert t.compile().warnings == []
        with pytest.raises(ArgumentError, match="not the hash of one lost file"):
            t.repair(give_up=[blobs[2]])
    with Tract.open(tmp_path) as t:
        assert [file.hash for file in t.status().lost] == [blobs[1]]


def test_a_repair_puts_a_lost_blob_back_from_the_redo_log_or_an_unknown_file(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as t:
        logged, strayed = t.put_blob(b"in the redo log"), t.put_blob(b"x" * 2 * 1024 * 1024)
        t.commit(RecordContent("state", {}, {"a": logged, "b": strayed}))
        blob_file(tmp_path, logged).unlink()
        blob_file(tmp_path, strayed).rename(tmp_path / ".tract/objects/a stray")
        status = t.status()
        assert sorted(file.hash for file in status.lost) == sorted([logged, strayed])
        assert [file.path for file in status.salvageable] == ["objects/a stray"]
        report = t.repair()
        assert (report.lost, len(report.mended), len(report.salvaged)) == ((), 1, 1)
        assert (t.get_blob(logged), len(t.get_blob(strayed))) == (b"in the redo log", 2 * 1024 * 1024)
