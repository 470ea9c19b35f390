"""What a command prints goes out whole or is reported, and a command that has written says so whatever becomes of its line."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.lab.command import TRACT, Run, commit, process, shown_texts, write
from tract_fs import Tract

FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
UNBUFFERED = {**os.environ, "PYTHONUNBUFFERED": "1"}


def into_full(*arguments: str, cwd: Path, **options: object) -> subprocess.CompletedProcess[bytes]:
    with open("/dev/full", "wb") as full:
        return subprocess.run(
            [*TRACT, *arguments], cwd=cwd, stdout=full, stderr=subprocess.PIPE, check=False, **options
        )  # type: ignore[call-overload,no-any-return]


@FULL
@pytest.mark.parametrize("environment", [dict(os.environ), UNBUFFERED], ids=["buffered", "unbuffered"])
def test_a_commit_whose_line_cannot_be_printed_names_itself(
    store: Run, tmp_path: Path, environment: dict[str, str]
) -> None:
    result = into_full("commit", "-m", "x", cwd=tmp_path, env=environment)
    (made,) = store("log", "--json").document
    said = f"written as {made['commit_hash']}; standard output can't be written: No space left on device"
    assert (result.returncode, result.stderr.decode()) == (4, f"tract: {said}; do not run the command again\n")


@FULL
def test_with_json_the_lost_answer_is_one_document_on_stderr(store: Run, tmp_path: Path) -> None:
    result = into_full("--json", "commit", "-m", "x", cwd=tmp_path)
    (made,) = store("log", "--json").document
    error = json.loads(result.stderr)
    assert (result.returncode, error["error"]) == (4, "AnswerLost")
    assert error["fields"] == {"wrote": f"written as {made['commit_hash']}"}


@FULL
@pytest.mark.parametrize(
    "arguments",
    [
        ["import", "talk.json"],
        ["edit", "main~1", "-m", "y"],
        ["annotate", "main~1", "skip"],
        ["summarize", "main~1", "-m", "y"],
        ["reset", "main~1"],
        ["undo"],
        ["branch", "dev"],
        ["switch", "-c", "dev"],
        ["tag", "v1"],
        ["cherry-pick", "main~1"],
        ["revert", "main~1"],
        ["fork", "sub"],
        ["merge", "side"],
        ["pack"],
        ["repair"],
        ["sync", "stick"],
        ["bundle", "create", "all.bundle"],
        ["init", "elsewhere"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_every_command_that_writes_says_so_when_its_answer_is_lost(
    store: Run, tmp_path: Path, arguments: list[str]
) -> None:
    commit(store, "-m", "one")
    store("branch", "side")
    commit(store, "--branch", "side", "-m", "theirs")
    commit(store, "-m", "two")
    commit(store, "-m", "three")
    Path("stick").mkdir()
    write("talk.json", [{"role": "user", "content": "more"}])
    result = into_full(*arguments, cwd=tmp_path)
    assert (result.returncode, b"standard output can't be written: No space left" in result.stderr) == (4, True)
    assert result.stderr.startswith((b"tract: written", b"tract: packed", b"tract: repaired", b"tract: synced"))
    assert result.stderr.count(b"\n") == 1


@FULL
@pytest.mark.parametrize("arguments", [["log"], ["compile"], ["status"], ["show"], ["merge", "main"], ["--help"]])
def test_a_command_that_only_reads_fails_with_the_words_of_its_output(
    store: Run, tmp_path: Path, arguments: list[str]
) -> None:
    commit(store, "-m", "x")
    result = into_full(*arguments, cwd=tmp_path)
    said = b"tract: standard output can't be written: No space left on device\n"
    assert (result.returncode, result.stderr) == (1, said)


def test_a_reader_that_is_gone_does_not_make_a_commit_look_failed(store: Run, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(
        [*TRACT, "commit", "-m", "x"], cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (result.returncode, b"tract: written as " in result.stderr) == (4, True)
    assert shown_texts(store) == ["x"]


def test_a_closed_output_fails_what_only_reads(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "x")
    result = subprocess.run(["sh", "-c", " ".join([*TRACT, "log", ">&-"])], cwd=tmp_path, capture_output=True)
    assert (result.returncode, result.stderr) == (1, b"tract: standard output can't be written: it is closed\n")


@pytest.fixture
def long_store(store: Run) -> Run:
    with Tract.open(".", durability="fast") as t, t.batch():
        for n in range(400):
            t.commit({"content_type": "output", "text": f"{n} " * 100})
    return store


@pytest.mark.parametrize("environment", [dict(os.environ), UNBUFFERED], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("arguments", [["compile", "--format", "openai"], ["compile"], ["log", "--all", "--json"]])
def test_a_pipe_that_does_not_block_gets_every_byte(
    long_store: Run, tmp_path: Path, arguments: list[str], environment: dict[str, str]
) -> None:
    whole = process(*arguments, cwd=tmp_path).stdout
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with subprocess.Popen([*TRACT, *arguments], cwd=tmp_path, stdout=writing, env=environment) as child:
        os.close(writing)
        time.sleep(0.3)  # so that the pipe is full
        with open(reading, "rb") as stream:
            found = stream.read()
    assert (child.returncode, len(whole) > 70_000, found == whole) == (0, True, True)


@pytest.mark.parametrize("environment", [dict(os.environ), UNBUFFERED], ids=["buffered", "unbuffered"])
def test_an_output_that_ends_early_is_a_failure(long_store: Run, tmp_path: Path, environment: dict[str, str]) -> None:
    """`ulimit -f` cuts a file off as a full disk does: a short write first, then an error."""
    line = f"ulimit -f 100; trap '' XFSZ; {' '.join(TRACT)} --branch main compile --format openai > ctx.json"
    result = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, env=environment, check=False)
    assert result.returncode == 1
    assert result.stderr == b"tract: standard output can't be written: File too large after 102,400 bytes\n"


def test_a_stdin_that_does_not_block_is_read_to_its_end(store: Run, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with subprocess.Popen(
        [*TRACT, "commit"], cwd=tmp_path, stdin=reading, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        os.close(reading)
        os.write(writing, b"first ")
        time.sleep(0.5)
        os.write(writing, b"last")
        os.close(writing)
        assert child.wait(timeout=240) == 0
    assert shown_texts(store) == ["first last"]


def test_a_bundle_goes_through_a_pipe(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "x")
    tract = " ".join(TRACT)
    line = f"{tract} init there >/dev/null && {tract} bundle create - | {tract} -C there bundle apply -"
    result = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, check=False)
    assert result.returncode == 0
    assert result.stderr.startswith(b"made: stdout, 1 content, 1 commit, 1 event of default, ")
    assert result.stdout == b"new from stdin: 1 content, 1 commit, 1 event\n"
    assert shown_texts(store, "-C", "there") == ["x"]
    assert not (tmp_path / "-").exists()
    checked = subprocess.run(
        ["sh", "-c", f"{tract} bundle create - 2>/dev/null | {tract} bundle verify -"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert checked.stdout.startswith(b"good: stdin, 1 content")


def test_a_failure_after_the_answer_does_not_make_a_commit_look_failed(
    store: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = Tract.close

    def fail(t: Tract) -> None:
        close(t)
        raise OSError(28, "No space left on device", ".tract/local/x")

    with monkeypatch.context() as patched:
        patched.setattr(Tract, "close", fail)
        result = store("commit", "-m", "x")
    assert (result.code, result.out.startswith("[main ")) == (0, True)
    assert result.err.startswith("warning: everything is written, but the caches could not be saved: ")
    assert shown_texts(store) == ["x"]
