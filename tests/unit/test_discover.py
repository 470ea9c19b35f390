"""Discovery of session files: what is opened when the same folder is looked at again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tract_fs.capture import discover
from tract_fs.capture.discover import sessions_in
from tract_fs.capture.files import FileState

LINE = json.dumps({"type": "session_meta", "payload": {"id": "s-1"}, "timestamp": "2026-01-02T03:04:05Z"}) + "\n"


def test_a_file_is_opened_again_only_once_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    judge = discover.is_session

    def noted(path: str) -> bool:
        opened.append(Path(path).name)
        return judge(path)

    monkeypatch.setattr(discover, "is_session", noted)
    (tmp_path / "rollout.jsonl").write_text(LINE)
    (tmp_path / "notes.json").write_text("{}")
    verdicts: dict[str, tuple[FileState, bool]] = {}

    def look() -> list[str]:
        opened.clear()
        return [Path(state.path).name for state in sessions_in(str(tmp_path), verdicts)]

    assert (look(), opened) == (["rollout.jsonl"], ["notes.json", "rollout.jsonl"])
    assert (look(), opened) == (["rollout.jsonl"], [])
    (tmp_path / "notes.json").write_text(LINE)
    assert (look(), opened) == (["notes.json", "rollout.jsonl"], ["notes.json"])
