"""Hooks of agents: the events at which a program calls a command, and the lines in its settings that make it do so."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from tract_fs.errors import ArgumentError

_TIMEOUT_S = 60
BEFORE_COMPACTION = ("PreCompact", "PreCompress")  # events


class Program(NamedTuple):
    """A program with hooks: the format of its sessions, the events to hook, and where its settings are."""

    format: str
    events: tuple[str, ...]
    settings: str  # in a project
    user_settings: str
    advice: str = ""


PROGRAMS: Mapping[str, Program] = {
    "claude-code": Program(
        "claude-code",
        ("Stop", "StopFailure", "SubagentStop", "PreCompact", "SessionEnd"),
        ".claude/settings.local.json",
        "~/.claude/settings.json",
    ),
    "codex": Program(
        "codex",
        ("Stop", "StopFailure", "Interrupt", "PreCompact", "SessionEnd"),
        ".codex/hooks.json",
        "~/.codex/hooks.json",
        "Codex runs a new or changed hook only once you trust it: it asks at its next start",
    ),
    "gemini": Program(
        "gemini-cli",
        ("AfterAgent", "PreCompress", "SessionEnd"),
        ".gemini/settings.json",
        "~/.gemini/settings.json",
    ),
}


def with_hooks(program: str, settings: str | None, command: str) -> str:
    """Returns a program's settings with the command as a hook of each event, in place of one that was installed before.

    Errors: ArgumentError if the settings are no JSON object with lists of hooks.
    """
    document = _parsed(without_hooks(program, settings))
    hooks = document.setdefault("hooks", {})
    for event in PROGRAMS[program].events:
        hook = {"type": "command", "command": command, "timeout": _TIMEOUT_S}
        hooks.setdefault(event, []).append({"hooks": [hook]})
    return _text(document)


def without_hooks(program: str, settings: str | None) -> str:
    """Returns a program's settings without the hooks of this package; all else stays. Errors: as `with_hooks`."""
    document = _parsed(settings)
    hooks = document.get("hooks", {})
    for event, groups in list(hooks.items()):
        kept = [group for group in (_without(program, group) for group in groups) if group is not None]
        hooks[event] = kept
        if not kept and groups:
            del hooks[event]
    if "hooks" in document and not hooks:
        del document["hooks"]
    return _text(document)


def own_hooks(program: str, settings: str | None) -> list[tuple[str, str | None]]:
    """Returns the hooks of this package in a program's settings: the program that each calls, and the context directory
    that it names (None: none). Errors: as `with_hooks`.
    """
    groups = [group for groups in _parsed(settings).get("hooks", {}).values() for group in groups]
    inner = [group.get("hooks") for group in groups if isinstance(group, dict)]
    found = [hook for hooks in inner if isinstance(hooks, list) for hook in hooks if _is_own(program, hook)]
    lines = [shlex.split(hook["command"]) for hook in found]
    return [(words[0], next((path for flag, path in pairwise(words) if flag == "-C"), None)) for words in lines]


def _without(program: str, group: Any) -> Any:
    """Returns a group of hooks without those of this package; None if no other is left."""
    if not isinstance(group, dict) or not isinstance(group.get("hooks"), list):
        return group
    kept = [hook for hook in group["hooks"] if not _is_own(program, hook)]
    if len(kept) == len(group["hooks"]):
        return group
    return {**group, "hooks": kept} if kept else None


def _is_own(program: str, hook: Any) -> bool:
    command = hook.get("command") if isinstance(hook, dict) else None
    try:
        words = shlex.split(command) if isinstance(command, str) else []
    except ValueError:
        return False
    return bool(words) and words[0].rsplit("/", 1)[-1] == "tract" and words[1:3] == ["hook", program]


def _parsed(settings: str | None) -> dict[str, Any]:
    try:
        document = json.loads(settings) if settings and settings.strip() else {}
    except ValueError as error:
        raise ArgumentError(f"the settings are not JSON ({error}); mend them first; nothing was written") from None
    hooks = document.get("hooks", {}) if isinstance(document, dict) else None
    if not isinstance(hooks, dict) or not all(isinstance(groups, list) for groups in hooks.values()):
        raise ArgumentError("the settings are no JSON object with lists of hooks; nothing was written")
    return dict(document)


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
