"""The real git, for the repository around a store: run with no settings but these."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_EDITOR": "true",
    "LC_ALL": "C",
}
SETTINGS = ("user.name=Ann", "user.email=ann@example.org", "protocol.file.allow=always", "init.defaultBranch=main")


def attempt_git(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs git in a directory."""
    settings = [part for setting in SETTINGS for part in ("-c", setting)]
    command = ["git", "-C", str(path), *settings, *arguments]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=240)


def git(path: Path, *arguments: str) -> str:
    """Runs git in a directory; it must succeed. Returns what it prints."""
    done = attempt_git(path, *arguments)
    assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


def git_commit(path: Path, message: str = "work") -> None:
    """Commits all that git may add."""
    git(path, "add", "-A")
    git(path, "commit", "-qm", message)
