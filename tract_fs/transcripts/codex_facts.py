"""What a Codex thread amounts to, read once from the first line to the last: a few small facts per line, never the lines.

Sources: the rollout reconstruction and the context manager of Codex (codex-rs/core, Apache-2.0).
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import Counter
from typing import Any

from tract_fs.model.fields import Fields, fields_in, fields_of, items_in, picked, text_in, text_of
from tract_fs.model.usage import TokenUsage
from tract_fs.transcripts.blocks import texts_of
from tract_fs.transcripts.codex_lines import ThreadLines, parts_of
from tract_fs.transcripts.measures import time_us, usage_in
from tract_fs.transcripts.response_items import message_of
from tract_fs.transcripts.transcript import Branch
from tract_fs.transcripts.units import Flaw

_TITLE_CHARACTERS = 80
_CONFIG = ("model", "effort", "summary", "personality", "service_tier", "verbosity")
_CONTEXT_TEXTS = (  # that a message of the user begins with when the program wrote it
    "<environment_context>",
    "<user_instructions>",
    "# agents.md instructions",
    "<instructions>",
    "<permissions",
    "<skill>",
    "<user_shell_command>",
    "<turn_aborted>",
    "<subagent_notification>",
)
_SHOWN_EVENTS = frozenset(["user_message", "agent_message", "agent_reasoning"])


def communication_of(payload: Fields) -> Fields | None:
    """Returns the message of another agent as the item that Codex makes of it."""
    author, recipient = text_in(payload, "author"), text_in(payload, "recipient")
    sealed = payload.get("encrypted_content")
    if isinstance(sealed, str):
        kind = "NEW_TASK" if payload.get("trigger_turn") is True else "MESSAGE"
        text = f"Message Type: {kind}\nTask name: {recipient}\nSender: {author}\nPayload:\n"
        content = [{"type": "input_text", "text": text}, {"type": "encrypted_content", "encrypted_content": sealed}]
    elif isinstance(payload.get("content"), str):
        content = [{"type": "input_text", "text": payload["content"]}]
    else:
        return None
    return {"type": "agent_message", "role": "user", "author": author, "recipient": recipient, "content": content}


def event_of(payload: Fields) -> str:
    """Returns whose words an event shows to the user: user, assistant; empty if it shows none."""
    kind = text_in(payload, "type")
    if kind == "item_completed":
        kind = text_in(fields_in(payload, "item"), "type")
        return {"UserMessage": "user", "AgentMessage": "assistant", "Plan": "assistant", "Reasoning": "assistant"}.get(
            kind, ""
        )
    return ("user" if kind == "user_message" else "assistant") if kind in _SHOWN_EVENTS else ""


def summary_of(payload: Fields) -> Fields | None:
    """Returns the summary of a compaction that has no history of its own, as the message that Codex makes of it."""
    text = payload.get("message")
    if not isinstance(text, str) or not text:
        return None
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def instructions_of(header: Fields) -> str:
    """Returns the instructions to the model that a session_meta holds; empty if it holds none."""
    base = header.get("base_instructions")
    return text_of(base if isinstance(base, str) else fields_of(base).get("text"))


def tools_of(header: Fields) -> list[Fields]:
    """Returns the tool definitions of a session_meta in the form of OpenAI's responses; those that Codex has by itself
    are in no file.
    """
    found = items_in(header, "dynamic_tools") or items_in(header, "tools")
    return [_tool(tool) for tool in found if isinstance(tool, dict)]


def _tool(tool: Fields) -> Fields:
    schema = tool.get("inputSchema", tool.get("input_schema"))
    if "type" in tool or not isinstance(tool.get("name"), str) or not isinstance(schema, dict):
        return tool
    return {"type": "function", **picked(tool, "name", "description", "namespace"), "parameters": schema}


class ThreadFacts:
    """The facts of a thread, by position of its lines.

    States while it reads: the turn under way, by where it begins and whether the user and the model spoke in it; the
    generation config; the usage that one of the two records of it gave already.
    """

    def __init__(self, lines: ThreadLines) -> None:
        self.lines = lines
        self.main = array("Q")  # positions that the thread goes on with
        self.branches: list[Branch] = []  # what it took back
        self.is_shown = bytearray(len(lines))  # to the model
        self.covers: dict[int, array[int]] = {}  # of each compaction
        self.references: dict[int, list[int | None]] = {}  # of a compaction's entries: positions
        self.usages: dict[int, TokenUsage] = {}
        self._name = self._first_words = ""
        self.flaws = list(lines.flaws)
        self.irregular: Flaw | None = None  # the first ordinal that does not follow the one before it
        headers = [(place, header) for place, header in lines.headers() if header]
        self.instructions_at = next((place for place, header in headers if instructions_of(header)), -1)
        self.tools_at = next((place for place, header in headers if tools_of(header)), -1)
        self._config: Fields = {}
        self._config_starts, self._configs = array("Q"), [self._config]
        self._compactions: list[int] = []  # indexes into main, as are the next two
        self._turns: list[int] = []
        self._begin: int | None = None
        self._is_counted = self._is_answered = False
        self._ids: dict[str, int] | None = None  # of response items; made for the first compaction that names one
        self._last_ordinal: int | None = None
        self._before: Any = None
        self._given: dict[str, Counter[TokenUsage]] = {"token_count": Counter(), "token_usage_record": Counter()}
        self._last_usage: object = None
        self._is_fork = any(lines.header.get(name) for name in ("forked_from_id", "parent_thread_id", "history_base"))
        self._born_us = time_us(lines.header.get("timestamp"))
        for position in lines.in_order():
            self._add(position)

    @property
    def title(self) -> str:
        """The name that the thread was given, else how the user began it."""
        return self._name or self._first_words

    def config_at(self, position: int) -> Fields | None:
        """Returns the generation config of what a model makes at a position."""
        return self._configs[bisect_right(self._config_starts, position)] or None

    def items_of(self, position: int, payload: Fields) -> list[Fields]:
        """Returns the messages of a compaction: the history that it puts in place of what precedes."""
        history, entries = payload.get("replacement_history"), payload.get("replacement_history_entries")
        if isinstance(history, list):
            items = [fields_of(item) for item in history]
        elif isinstance(entries, list):
            places = self.references.get(position, [])
            items = [fields_in(entry, "item") for entry in entries]
            for number, place in enumerate(places[: len(items)]):
                if place is not None:
                    items[number] = parts_of(self.lines.unit(place).value)[1]
        else:
            summary = summary_of(payload)
            return [] if summary is None else [summary]
        return [message for message in map(message_of, items) if message is not None]

    def _add(self, position: int) -> None:
        unit = self.lines.unit(position)
        kind, payload = parts_of(unit.value)
        is_own = position >= self.lines.first_own
        if is_own:
            self._check_ordinal(fields_of(unit.value).get("ordinal"), unit.line)
        event = text_in(payload, "type") if kind == "event_msg" else ""
        if event == "thread_rolled_back":
            self._roll_back(payload.get("num_turns"), position)
        index = len(self.main)
        self.main.append(position)
        if kind == "session_meta":
            self._is_fork |= position != self.lines.first_own
            self._see_header(position)
        elif kind == "response_item":
            self._see_item(position, payload, index, unit.value, unit.line)
        elif kind == "inter_agent_communication" and communication_of(payload) is not None:
            self.is_shown[position] = True
            self._see_user(index)
        elif kind == "compacted":
            self._see_compaction(position, payload, index, unit.line)
        elif kind == "turn_context":
            self._set_config(position, payload)
        elif kind == "token_usage_record" and is_own and not self._is_copied(unit.value):
            usage = payload.get("usage")
            self._see_usage(position, kind, usage, payload.get("response_id"))
        elif event:
            self._see_event(position, event, payload, index, is_counted=is_own and not self._is_copied(unit.value))
        self._before = unit.value

    def _check_ordinal(self, ordinal: object, line: int) -> None:
        if type(ordinal) is not int:
            return
        last, self._last_ordinal = self._last_ordinal, ordinal
        if last is not None and ordinal != last + 1:
            flaw = Flaw(line, "noted", f"ordinal {ordinal} follows {last}")
            self.irregular = self.irregular or flaw
            self.flaws.append(flaw)

    def _is_copied(self, value: Any) -> bool:
        """Returns whether a line of a fork was copied from its parent, so that its usage is the parent's."""
        record = fields_of(value)
        start, ordinal = self.lines.header.get("subagent_history_start_ordinal"), record.get("ordinal")
        if type(start) is int and type(ordinal) is int:
            return ordinal < start
        at_us = time_us(record.get("timestamp"))
        return self._is_fork and at_us is not None and self._born_us is not None and at_us < self._born_us

    def _see_header(self, position: int) -> None:
        if position in (self.instructions_at, self.tools_at):
            self.is_shown[position] = 2

    def _see_item(self, position: int, item: Fields, index: int, value: Any, line: int) -> None:
        message = message_of(item)
        if message is None:
            return
        if value == self._before and ("ordinal" in value or "id" in item or "call_id" in item):
            self.flaws.append(Flaw(line, "noted", "repeats the line before it, and is kept as a record"))
            return
        self.is_shown[position] = True
        if self._ids is not None:
            self._note_id(position, item)
        role = message["role"]
        if role == "assistant":
            self._is_answered = True
        elif role == "user" and not _is_context(message):
            self._see_user(index)
            self._name_after(_words(message.get("content")))

    def _see_event(self, position: int, event: str, payload: Fields, index: int, *, is_counted: bool) -> None:
        if event in ("task_started", "turn_started"):
            self._begin, self._is_counted = index, False
        elif event in ("task_complete", "turn_complete", "turn_aborted"):
            self._begin, self._is_answered = None, True
        elif event_of(payload) == "user":
            self._see_user(index)
            item = fields_in(payload, "item")
            self._name_after(text_in(payload, "message") or _words(item.get("content")))
        elif event == "thread_settings_applied":
            self._set_config(position, {**self._config, **fields_in(payload, "thread_settings")})
        elif event == "thread_name_updated":
            self._name = text_in(payload, "thread_name") or self._name
        elif event == "token_count" and is_counted:
            info = fields_in(payload, "info")
            self._see_usage(position, event, info.get("last_token_usage"), info.get("total_token_usage"))

    def _see_user(self, index: int) -> None:
        """Notes that the user spoke, so that a turn is there to be taken back: from its task on, if it is not the first."""
        if self._begin is not None:
            if not self._is_counted:
                self._turns.append(self._begin if self._turns else index)
            self._is_counted = True
        elif self._is_answered or not self._turns:
            self._turns.append(index)
        self._is_answered = False

    def _name_after(self, words: str) -> None:
        if words and not self._first_words:
            self._first_words = " ".join(words.split())[:_TITLE_CHARACTERS]

    def _set_config(self, position: int, settings: Fields) -> None:
        mode = fields_in(fields_in(settings, "collaboration_mode"), "settings")
        effort = {"effort": mode.get("reasoning_effort")} if settings.get("effort") is None else {}
        config = {k: v for k, v in picked({**settings, **effort}, *_CONFIG).items() if isinstance(v, str)}
        if config != self._config:
            self._config = config
            self._config_starts.append(position)
            self._configs.append(config)

    def _see_usage(self, position: int, kind: str, usage: object, mark: object) -> None:
        """Notes the usage of a response, once: Codex records it in two types of lines, and repeats the one or the other."""
        fields = fields_of(usage)
        found = usage_in(
            fields,
            "input_tokens",
            "output_tokens",
            cache_read="cached_input_tokens",
            cache_write="cache_write_input_tokens",
            reasoning="reasoning_output_tokens",
        )
        if found is None or (mark is not None and mark == self._last_usage):
            return
        self._last_usage = mark
        (other,) = self._given.keys() - {kind}
        if self._given[other][found] > 0:
            self._given[other][found] -= 1
            return
        self._given[kind][found] += 1
        self.usages[position] = found

    def _see_compaction(self, position: int, payload: Fields, index: int, line: int) -> None:
        entries = payload.get("replacement_history_entries")
        if isinstance(entries, list):
            self._resolve(position, entries, line)
        has_history = isinstance(entries, list) or isinstance(payload.get("replacement_history"), list)
        if isinstance(payload.get("guardian_history"), list) and not has_history:
            return  # a record of what a guard saw, which replaces nothing
        if not self.items_of(position, payload):
            self.flaws.append(Flaw(line, "noted", "a compaction without a summary; what precedes stays"))
            return
        start = self._compactions[-1] if self._compactions else 0
        self.covers[position] = array("Q", (place for place in self.main[start:index] if self.is_shown[place] == 1))
        self.is_shown[position] = True
        self._compactions.append(index)

    def _resolve(self, position: int, entries: list[Any], line: int) -> None:
        """Notes the lines that the entries of a compaction refer to."""
        names = [text_in(entry, "item_id") for entry in entries]
        if self._ids is None and any(names):
            self._ids = {}
            for seen in self.main:
                self._note_id(seen, parts_of(self.lines.unit(seen).value)[1])
        places = [(self._ids or {}).get(name) if name else None for name in names]
        for name, place, entry in zip(names, places, entries, strict=True):
            if name and place is None and not isinstance(fields_of(entry).get("item"), dict):
                self.flaws.append(
                    Flaw(line, "noted", f"a compaction keeps item {name[:60]!r}, which is not in the file")
                )
        self.references[position] = places

    def _note_id(self, position: int, item: Fields) -> None:
        id_ = item.get("id")
        if self._ids is not None and isinstance(id_, str) and self.is_shown[position]:
            self._ids[id_] = position

    def _roll_back(self, count: object, position: int) -> None:
        if type(count) is not int or count <= 0 or not self._turns:
            return
        cut = self._turns[max(0, len(self._turns) - count)]
        self.branches.append(Branch(f"taken-back-{self.lines.name(position).rpartition('/')[2]}", self.main))
        self.main = self.main[:cut]
        del self._turns[max(0, len(self._turns) - count) :]
        while self._compactions and self._compactions[-1] >= cut:
            self._compactions.pop()
        self._begin, self._is_counted, self._is_answered = None, False, True


def _is_context(message: Fields) -> bool:
    """Returns whether a message of the user was written by the program."""
    return _words(message.get("content")).lstrip().lower().startswith(_CONTEXT_TEXTS)


def _words(content: object) -> str:
    """Returns the first text of a content."""
    return next((text for text in texts_of(content) if text.strip()), "")
