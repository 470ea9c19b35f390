"""Discovers the sessions of the agents on this machine: where each program keeps them. Nothing there is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tract_fs.capture import files
from tract_fs.capture.databases import is_database
from tract_fs.capture.files import FileState, open_source
from tract_fs.errors import TractError
from tract_fs.transcripts import is_list

ENDINGS = (".jsonl", ".json", ".jsonl.zst", ".traj", ".db")


class _Program(NamedTuple):
    format: str
    variable: str  # of the environment, which names the folder in place of the usual one
    folder: str
    patterns: tuple[str, ...]


_DATABASES = ("opencode.db", "sessions.db", "crush.db")  # below a folder; another one is read if it is named
_VS_CODE = ("saoudrizwan.claude-dev", "rooveterinaryinc.roo-cline")
_DATA = "~/.local/share"
_PROGRAMS = (
    _Program("claude-code", "CLAUDE_CONFIG_DIR", "~/.claude", ("projects/*/*.jsonl",)),
    _Program(
        "codex", "CODEX_HOME", "~/.codex", ("sessions/*/*/*/rollout-*.jsonl*", "archived_sessions/rollout-*.jsonl*")
    ),
    _Program("opencode", "XDG_DATA_HOME", _DATA, ("opencode/opencode*.db", "kilo/*.db")),
    _Program("pi", "PI_HOME", "~/.pi", ("agent/sessions/*/*.jsonl",)),
    _Program("pi", "OPENCLAW_HOME", "~/.openclaw", ("agents/*/sessions/*.jsonl",)),
    _Program("gemini-cli", "", "~/.gemini", ("tmp/*/chats/session-*.json", "tmp/*/chats/session-*.jsonl")),
    _Program("copilot", "COPILOT_HOME", "~/.copilot", ("session-state/*/events.jsonl",)),
    _Program("cline", "", "~/.cline", ("data/sessions/*/*.messages.json",)),
    _Program("qwen", "QWEN_HOME", "~/.qwen", ("projects/*/chats/*.jsonl",)),
    _Program("kimi", "", "~/.kimi-code", ("sessions/*/*/agents/main/wire.jsonl",)),
    _Program("vibe", "", "~/.vibe", ("logs/session/*/messages.jsonl",)),
    _Program("goose", "XDG_DATA_HOME", _DATA, ("goose/sessions/sessions.db",)),
    _Program("pi", "", "~/.omp", ("agent/sessions/*/*.jsonl",)),
    _Program("grok", "GROK_HOME", "~/.grok", ("sessions/*/*/updates.jsonl",)),
    _Program("amp", "XDG_DATA_HOME", _DATA, ("amp/threads/T-*.json",)),
    _Program("openhands", "", "~/.openhands", ("conversations/*/events/event-00000*.json",)),
    _Program("kiro", "", "~/.kiro", ("sessions/cli/*.jsonl",)),
    _Program(
        "cline",
        "",
        "~/.config/Code/User/globalStorage",
        tuple(f"{name}/tasks/*/api_conversation_history.json" for name in _VS_CODE),
    ),
)


class FoundSession(NamedTuple):
    """A session file of a program; `format` is what the program keeps there."""

    format: str
    file: FileState


def discover(environment: Mapping[str, str]) -> list[FoundSession]:
    """Returns the session files of all known programs, by program and path. Nothing is opened."""
    found = []
    for program in _PROGRAMS:
        folder = environment.get(program.variable) or files.expand(program.folder)
        states = files.find_files(folder, program.patterns)
        found += [FoundSession(program.format, files.event_folder(state.path) or state) for state in states]
    return found


def sessions_in(path: str, verdicts: dict[str, tuple[FileState, bool]] | None = None) -> Iterator[FileState]:
    """Yields the session files of agents at a path: the file itself, or those below a folder whose format is known.

    `verdicts` holds by path what each file was found to be, for a caller that looks again: a file is opened again once it
    has changed.
    """
    if not files.is_folder(path):
        state = files.state_of(path)
        if state is not None:
            yield state
        return
    seen: set[str] = set()
    for state in files.walk_files(path, ENDINGS):
        folder = files.event_folder(state.path)
        if folder is None:
            if not files.is_of_session(state.path) and _is_session_now(state, {} if verdicts is None else verdicts):
                yield state
        elif folder.path not in seen:
            seen.add(folder.path)
            yield folder


def _is_session_now(state: FileState, verdicts: dict[str, tuple[FileState, bool]]) -> bool:
    known = verdicts.get(state.path)
    if known is None or known[0] != state:
        known = verdicts[state.path] = state, is_session(state.path)
    return known[1]


def is_session(path: str) -> bool:
    """Returns whether a file is the session of an agent, and no list of messages; False for one that can't be read."""
    try:
        with open_source(path) as source:
            if is_database(source):
                return source.name in _DATABASES
            return not is_list(source)
    except (TractError, OSError):
        return False
