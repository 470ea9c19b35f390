"""Who says what, and when: the clock of a test, turns of a dialogue, and the texts that a tract shows."""

from __future__ import annotations

from typing import Any

from tract_fs import DialogueContent, Tract

START_US = 1_767_323_045_000_006  # 2026-01-02T03:04:05.000006Z


class Clock:
    """A clock that goes on by `step_us` whenever it is read, a second unless given; with 0 it stands where it is set."""

    def __init__(self, now_us: int = START_US, *, step_us: int = 1_000_000) -> None:
        self.now_us = now_us
        self._step_us = step_us

    def __call__(self) -> int:
        self.now_us += self._step_us
        return self.now_us


def user(text: str) -> DialogueContent:
    return DialogueContent(role="user", text=text)


def say(t: Tract, *texts: str) -> list[str]:
    """Commits a turn of the user for each text; returns the commits."""
    return [t.commit(user(text)).commit_hash for text in texts]


def say_one(t: Tract, text: str, role: Any = "user", **options: Any) -> str:
    """Commits one turn with the options of `commit`; returns the commit."""
    return t.commit(DialogueContent(role=role, text=text), **options).commit_hash


def edit_one(t: Tract, target: str, text: str, role: Any = "user", **options: Any) -> str:
    """Edits a commit to one turn, with the options of `edit`; returns the commit of the edit."""
    return t.edit(target, DialogueContent(role=role, text=text), **options).commit_hash


def texts(t: Tract, **options: Any) -> list[Any]:
    """Returns the content of each message that a compile with these options shows."""
    return [message.content for message in t.compile(**options).messages]
