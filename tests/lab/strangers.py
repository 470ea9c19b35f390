"""What a stranger's store may do to whoever opens it: nothing. Every way to open it, every command on it, and what must have stayed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.lab.hostile import FORGED, World
from tests.lab.states import answers, remove_local, store_root
from tract_fs import Tract
from tract_fs.cli import main
from tract_fs.errors import TractError

OPENINGS: dict[str, dict[str, Any]] = {
    "for writing": {"durability": "fast"},
    "read-only": {"read_only": True},
    "verified": {"verify": True},
    "verified, read-only": {"verify": True, "read_only": True},
}


READING = (
    ("status",),
    ("log",),
    ("show", "main"),
    ("compile", "--format", "openai"),
    ("query", "model", "eq", "m-1"),
    ("diff",),
    ("branch",),
    ("tag",),
    ("reflog",),
)


WRITING = (
    ("init",),
    ("tag", "kept"),
    ("commit", "-m", "mine"),
    ("edit", "main", "-m", "mine, edited"),
    ("annotate", "main~1", "skip"),
    ("summarize", "main~1", "main~2", "-m", "in short"),
    ("undo",),
    ("branch", "side"),
    ("switch", "side"),
    ("commit", "-m", "on the side"),
    ("switch", "main"),
    ("merge", "side"),
    ("cherry-pick", "side"),
    ("revert", "main"),
    ("reset", "main~1"),
    ("fork", "sub"),
    ("pack",),
    ("repair",),
    ("repair", "--adopt"),
)


def outcome(path: Path, **options: Any) -> Any:
    """Returns what a handle answers, or the class of the error that refuses the store."""
    try:
        with Tract.open(path, create=False, lock_timeout_s=1.0, **options) as t:
            return answers(t)
    except (TractError, OSError) as error:
        return type(error).__name__


def expected_of(world: World) -> Any:
    """Returns what the same directory answers without its local/."""
    bare = world.root / "given" / "bare"
    shutil.copytree(world.here, bare, symlinks=True)
    local = store_root(bare) / "local"
    if store_root(bare).is_symlink():
        return "NotAStore"
    if local.is_symlink():
        local.unlink()
    remove_local(bare)
    found = outcome(bare, read_only=True)
    shutil.rmtree(bare)
    return found


def check(world: World, monkeypatch: pytest.MonkeyPatch, *, expected: Any = None) -> None:
    """Opens what came in every way, runs every command on it, and checks what is served and that nothing else changed."""
    expected = expected_of(world) if expected is None else expected
    before = world.tree()
    for name, options in OPENINGS.items():
        assert outcome(world.here, **options) == expected, name
        assert world.tree() == before, name
    monkeypatch.chdir(world.here)
    given = str(world.given)
    transcript = world.given / "chat.json"
    transcript.write_text('[{"role": "user", "content": "imported"}]')
    (world.given / "stick").mkdir(exist_ok=True)
    moving = (
        ("import", str(transcript)),
        ("sync", f"{given}/stick"),
        ("bundle", "create", f"{given}/bundle"),
        ("bundle", "verify", f"{given}/bundle"),
        ("bundle", "apply", f"{given}/bundle"),
    )
    for command in (*READING, *WRITING, *moving, *READING):
        assert main(list(command)) in (0, 1, 2), command
        assert world.tree() == before, command
    if isinstance(expected, dict):
        with Tract.open(world.here, read_only=True) as t:
            assert FORGED not in [message.content for message in t.compile().messages]
