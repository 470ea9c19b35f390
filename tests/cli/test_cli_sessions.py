"""Sessions of agents on the command line: import, export, check-session, watch and hook."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.lab.command import TRACT as COMMAND
from tests.lab.command import Run, process, shown_texts
from tract_fs import Tract

SESSION = "11111111-1111-4111-8111-111111111111"
TRACT = f"claude-code-{SESSION}"


def line(number: int, *, parent: int | None = None, session: str = SESSION, **more: Any) -> dict[str, Any]:
    """Returns a line of a Claude Code session: user and assistant by turns, each after the one before."""
    role = "user" if number % 2 == 0 else "assistant"
    before = number - 1 if parent is None else parent
    return {
        "type": role,
        "uuid": f"u{number}",
        "parentUuid": None if before < 0 else f"u{before}",
        "sessionId": session,
        "timestamp": f"2026-01-02T03:04:{number % 60:02}.000Z",
        "cwd": "/work",
        "version": "2.1.0",
        "isSidechain": False,
        "message": {"role": role, "content": f"text {number}"},
        **more,
    }


def write(path: Path, *records: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(json.dumps(record).encode() + b"\n" for record in records))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns a folder of two sessions and other files."""
    other = SESSION.replace("1", "2")
    write(tmp_path / "projects" / "-work" / f"{SESSION}.jsonl", *map(line, range(4)))
    write(tmp_path / "projects" / "-work" / f"{other}.jsonl", *(line(n, session=other) for n in range(2)))
    write(tmp_path / "projects" / "notes.json", {"no": "session"})
    return tmp_path / "projects"


def test_a_session_comes_into_a_tract_of_its_own_and_goes_out_as_it_was(run: Run, folder: Path, tmp_path: Path) -> None:
    file = folder / "-work" / f"{SESSION}.jsonl"
    run("init")
    told = run("import", str(file))
    assert told.out.splitlines()[0].startswith(f"{file}: claude-code, 4 messages in 4 records; 4 commits added")
    assert run("import", str(file)).out == f"{file}: nothing new\n"
    assert shown_texts(run, "--tract", TRACT) == ["text 0", "text 1", "text 2", "text 3"]
    exported = run("--tract", TRACT, "export").out
    assert [json.loads(part) for part in exported.splitlines()] == list(map(line, range(4)))
    assert run("--tract", TRACT, "export", "-o", "copy.jsonl").code == 0
    assert (tmp_path / "copy.jsonl").read_text() == exported
    told = run("--tract", TRACT, "export", "-o", "copy.jsonl")
    assert (told.code, "the file exists already" in told.err) == (1, True)


def test_a_folder_needs_all_and_skips_what_is_no_session(run: Run, folder: Path) -> None:
    run("init")
    told = run("import", str(folder))
    assert (told.code, "a folder goes with --all" in told.err) == (2, True)
    told = run("import", "--all", str(folder), "--json")
    assert [(one["session_id"][0], one["added"]) for one in told.document["imported"]] == [("1", 4), ("2", 2)]
    assert [one.get("is_known") for one in run("import", "--all", str(folder), "--json").document["imported"]] == [
        True,
        True,
    ]


def test_since_leaves_out_older_files(run: Run, folder: Path) -> None:
    run("init")
    os.utime(folder / "-work" / f"{SESSION}.jsonl", (1_000_000_000, 1_000_000_000))
    told = run("import", "--all", str(folder), "--since", "2020-01-01", "--json")
    assert [one["session_id"][0] for one in told.document["imported"]] == ["2"]


def test_the_sessions_of_this_machine_are_listed_then_imported(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(folder.parent))
    run("init")
    told = run("import", "--discover")
    assert [part.split("  ")[0] for part in told.out.splitlines()] == ["claude-code", "claude-code"]
    assert run("import", "--discover", "--all").code == 0
    assert sorted(Tract.tracts(tmp_path)) == [TRACT, TRACT.replace("1", "2")]


def test_one_bad_file_of_several_is_named_and_the_others_come_in(run: Run, folder: Path, tmp_path: Path) -> None:
    run("init")
    (tmp_path / "bad.jsonl").write_bytes(b"\0\0\0")
    told = run(
        "import", "--format", "claude-code", str(tmp_path / "absent"), str(folder / "-work" / f"{SESSION}.jsonl")
    )
    assert (told.code, "absent: No such file" in told.err) == (1, True)
    assert Tract.tracts(tmp_path) == [TRACT]


def test_strict_refuses_a_torn_file(run: Run, folder: Path) -> None:
    run("init")
    file = folder / "-work" / f"{SESSION}.jsonl"
    file.write_bytes(file.read_bytes() + b'{"torn')
    told = run("import", "--strict", str(file))
    assert (told.code, "line 5: not JSON, or torn" in told.err) == (1, True)
    told = run("import", str(file))
    assert told.out.splitlines()[1] == "  line 5: kept: not JSON, or torn"


def test_an_import_of_several_files_ends_with_a_total(run: Run, folder: Path) -> None:
    run("init")
    file = folder / "-work" / f"{SESSION}.jsonl"
    file.write_bytes(
        file.read_bytes() + json.dumps(line(4, message={"role": "user", "content": "x \ud800"})).encode() + b'\n{"torn'
    )
    run("import", str(file.with_name(file.name.replace("1", "2"))))
    lines = run("import", "--all", str(folder), "--format", "claude-code").out.splitlines()
    assert lines[0].startswith(
        f"{file}: claude-code, 5 messages in 6 records, 1 kept, 1 repaired; 6 commits added to tract"
    )
    assert lines[-1] == (
        "total: 1 session, 5 messages in 6 records, 1 kept, 1 repaired; 6 commits added; "
        "1 file with nothing new, 0 failed"
    )
    assert run("import", "--all", str(folder), "--json").document["total"] == {
        "sessions": 0,
        "messages": 0,
        "entries": 0,
        "added": 0,
        "edited": 0,
        "kept": 0,
        "repaired": 0,
        "skipped": 0,
        "noted": 0,
        "known": 2,
        "failed": 0,
    }


def test_a_session_for_another_program_is_made_from_a_commit(run: Run, folder: Path, tmp_path: Path) -> None:
    run("init")
    run("import", str(folder / "-work" / f"{SESSION}.jsonl"))
    run("--tract", TRACT, "tag", "before-compaction-1", "main~2")
    told = run("--tract", TRACT, "export", "--format", "openai-chat", "--at-commit", "before-compaction-1")
    texts = [message["content"] for message in json.loads(told.out)["messages"]]
    assert (told.code, texts) == (0, ["text 0", "text 1"])
    told = run("--tract", TRACT, "export", "--format", "opencode", "--at-commit", "main~1", "-o", "made.json")
    assert (told.code, "import it with: opencode import made.json" in told.out) == (0, True)
    assert len(json.loads((tmp_path / "made.json").read_text())["messages"]) == 3
    told = run("--tract", TRACT, "export", "--at-commit", "main~1")
    assert (told.code, "go with --format" in told.err) == (2, True)
    told = run("--tract", TRACT, "export", "--format", "codex", "--at-commit", "absent")
    assert told.code == 1


def test_check_session_shows_what_would_be_lost(run: Run, tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.jsonl", *map(line, range(4)))
    assert "would load 4 of 4 messages (100%)" in run("check-session", str(whole)).out
    broken = write(tmp_path / "broken.jsonl", line(0), line(1), line(2, parentUuid="never written"), line(3))
    told = run("check-session", str(broken))
    assert told.code == 1
    assert "would load 2 of 4 messages (50%)" in told.out
    assert "'tract import' keeps them all" in told.err


def test_a_broken_session_is_mended_by_way_of_a_tract(run: Run, tmp_path: Path) -> None:
    broken = write(tmp_path / f"{SESSION}.jsonl", line(0), line(1), line(2, parentUuid="never written"), line(3))
    run("init")
    run("import", str(broken))
    out = tmp_path / "out"
    out.mkdir()
    told = run("--tract", TRACT, "export", "--format", "claude-code", "-o", str(out))
    assert told.code == 0
    (made,) = out.iterdir()
    assert "would load 4 of 4 messages (100%)" in run("check-session", str(made)).out


# watch


def test_a_watch_looks_once(run: Run, folder: Path) -> None:
    run("init")
    assert run("watch", "--once", str(folder)).out.count("commits added") == 2
    assert run("watch", "--once", str(folder)).out == ""


def test_a_watch_brings_in_what_a_writer_appends_torn_and_restarted(run: Run, tmp_path: Path) -> None:
    """The writer flushes pieces that end anywhere, dies, and goes on; the watch is killed and started again."""
    run("init")
    file = tmp_path / "projects" / f"{SESSION}.jsonl"
    file.parent.mkdir()
    data = b"".join(json.dumps(line(number)).encode() + b"\n" for number in range(30))
    cuts = sorted(random.Random(7).sample(range(1, len(data)), 40))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    file.write_bytes(b"")
    watching = start_watch(file.parent, tmp_path)
    try:
        for number, piece in enumerate(pieces):
            with file.open("ab") as stream:
                stream.write(piece)
            if number == 20:
                watching.kill()
                watching.communicate()
                watching = start_watch(file.parent, tmp_path)
            time.sleep(0.02)
        deadline = time.monotonic() + 120
        while count(tmp_path) < 30 and time.monotonic() < deadline:
            time.sleep(0.2)
        watching.send_signal(signal.SIGTERM)
        _, err = watching.communicate(timeout=120)
        assert (watching.returncode, err) == (0, b"")
    finally:
        watching.kill()
    clean = tmp_path / "clean"
    with Tract.open(clean, tract_id=TRACT) as one, Tract.open(tmp_path, tract_id=TRACT) as other:
        one.import_transcript(file)
        assert [info.commit_hash for info in other.log(None)] == [info.commit_hash for info in one.log(None)]


def start_watch(folder: Path, store: Path) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen([*COMMAND, "watch", str(folder)], cwd=store, stdout=pipe, stderr=pipe)


def count(store: Path) -> int:
    with Tract.open(store, tract_id=TRACT, read_only=True) as t:
        return len(t.log(None)) if t.head is not None else 0


# hook


def call_hook(store: Path, file: Path, event: str) -> subprocess.CompletedProcess[bytes]:
    given = {"session_id": SESSION, "transcript_path": str(file), "hook_event_name": event, "cwd": "/work"}
    return process("hook", "claude-code", "-C", str(store), cwd=store, input=json.dumps(given).encode())


def test_a_hook_brings_in_what_is_new_and_prints_nothing(run: Run, folder: Path, tmp_path: Path) -> None:
    run("init")
    file = folder / "-work" / f"{SESSION}.jsonl"
    for event in ("Stop", "Stop"):
        told = call_hook(tmp_path, file, event)
        assert (told.returncode, told.stdout, told.stderr) == (0, b"", b"")
    assert shown_texts(run, "--tract", TRACT) == ["text 0", "text 1", "text 2", "text 3"]


def test_a_hook_names_the_context_before_a_compaction(run: Run, tmp_path: Path) -> None:
    run("init")
    first = [line(0), line(1)]
    file = write(tmp_path / f"{SESSION}.jsonl", *first)
    call_hook(tmp_path, file, "PreCompact")
    boundary = {**line(2), "type": "system", "subtype": "compact_boundary", "logicalParentUuid": "u1"}
    boundary = {
        **boundary,
        "parentUuid": None,
        "content": "Conversation compacted",
        "compactMetadata": {"trigger": "auto"},
    }
    del boundary["message"]
    summary = line(3, type="user", isCompactSummary=True, message={"role": "user", "content": "the summary"})
    write(file, *first, boundary, summary, line(4))
    call_hook(tmp_path, file, "Stop")
    assert shown_texts(run, "--tract", TRACT) == ["the summary", "text 4"]
    assert shown_texts(run, "--tract", TRACT, "--at-commit", "before-compaction-1") == ["text 0", "text 1"]


@pytest.mark.parametrize("given", ["", "[]", "{}", '{"transcript_path": "/absent"}', '{"transcript_path": 5}'])
def test_a_hook_never_fails_and_keeps_the_reason(run: Run, tmp_path: Path, given: str) -> None:
    run("init")
    called = process("hook", "claude-code", "-C", str(tmp_path), cwd=tmp_path, input=given.encode())
    assert (called.returncode, called.stdout, called.stderr) == (0, b"", b"")
    assert (tmp_path / ".tract" / "local" / "hook.log").read_text().startswith("claude-code: ")


def test_hooks_are_installed_beside_others_and_taken_back(run: Run, tmp_path: Path) -> None:
    run("init")
    settings = tmp_path / ".claude" / "settings.local.json"
    settings.parent.mkdir()
    mine = {"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "say done"}]}]}, "model": "x"}
    before = json.dumps(mine, indent=2) + "\n"
    settings.write_text(before)
    told = run("hook", "install", "claude-code")
    assert (told.code, "give --yes" in told.err) == (1, True)
    assert settings.read_text() == before
    told = run("hook", "install", "claude-code", "--yes")
    assert told.code == 0
    assert '+            "command": "' in told.out
    written = json.loads(settings.read_text())
    assert written["model"] == "x"
    assert list(written["hooks"]) == ["Stop", "StopFailure", "SubagentStop", "PreCompact", "SessionEnd"]
    assert written["hooks"]["Stop"][0]["hooks"][0]["command"] == "say done"
    assert written["hooks"]["Stop"][1]["hooks"][0]["command"].endswith(f"hook claude-code -C {tmp_path}")
    assert "nothing to change" in run("hook", "install", "claude-code", "--yes").out
    assert run("hook", "uninstall", "claude-code", "--yes").code == 0
    assert settings.read_text() == before


def test_codex_asks_its_user_to_trust_a_hook(run: Run, tmp_path: Path) -> None:
    run("init")
    told = run("hook", "install", "codex", "--yes")
    assert "only once you trust it" in told.err
    assert (tmp_path / ".codex" / "hooks.json").exists()


def test_settings_that_are_not_json_stay_as_they_are(run: Run, tmp_path: Path) -> None:
    run("init")
    settings = tmp_path / ".gemini" / "settings.json"
    settings.parent.mkdir()
    settings.write_text("// a comment\n{}")
    told = run("hook", "install", "gemini", "--yes")
    assert (told.code, "the settings are not JSON" in told.err) == (1, True)
    assert settings.read_text() == "// a comment\n{}"
