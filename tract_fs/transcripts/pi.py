"""pi, Oh My Pi and OpenClaw: a line per entry, each with its parent's id; the context is the way to the last one.

Versions 1 (a line after the other, without ids) to 3. A compaction stands for what is before its first kept entry; a
`reset_boundary` hides all before it. Sources: @mariozechner/pi-coding-agent, `docs/session-format.md` and
`dist/core/session-manager.js`; files of pi 0.80.6, Oh My Pi 18.0.5.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from hashlib import sha256

from tract_fs.model.fields import Fields, fields_in, fields_of, items_of, picked, text_in
from tract_fs.transcripts.blocks import (
    as_text_block,
    blob_url,
    media_block,
    messages_of,
    result_block,
    text_block,
    thinking_block,
)
from tract_fs.transcripts.measures import time_us, usage_in
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import MOST_LEFT, Branch, Entry, Keys, Transcript
from tract_fs.transcripts.units import Flaw

NAME = "pi"
_NO_ENTRIES = frozenset(["session", "title"])
_NOT_SENT = ("error", "aborted")
_BLOB = re.compile(r"blob:sha256:([0-9a-f]{64})", re.ASCII)
_BLOB_LEVELS = 2  # sessions/<directory>/<file>, blobs/<hash>
_COMPACTED = "The conversation history before this point was compacted into the following summary:"
_LEFT = "The following is a summary of a branch that this conversation came back from:"
_GONE = "[an image whose file is not beside the session]"
_NONE, _APART = -1, -2  # in place of a parent: a root, and what is not in the tree


def matches(source: Source) -> bool:
    """Returns whether one of the first records is the header of a session with an id and a directory."""
    return any(
        record.get("type") == "session" and isinstance(record.get("id"), str) and "cwd" in record
        for record in source.sample[:3]
    )


def read(source: Source) -> list[Transcript]:
    """Returns the session of the file."""
    return [_Session(source).transcript()]


class _Session:
    """The tree of one file. States: for each record its parent's position, the thinking level there, and its key."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._units = source.units
        self._keys = Keys()
        self._flaws: list[Flaw] = []
        self._key: list[str] = []
        self._parent = array("q")
        self._level: list[object] = []
        self._title = ""
        self._header: Fields = {}
        self._places: dict[str, int] = {}
        self._compactions: set[int] = set()
        self._records: set[int] = set()  # entries of more forks than are branches
        self._scan()

    def transcript(self) -> Transcript:
        header = self._header
        return Transcript(
            format=NAME,
            id=text_in(header, "id"),
            branches=self._branches(),
            entry=self._entry,
            count=len(self._units),
            title=self._title,
            metadata=picked(header, "cwd", "version", "parentSession", "timestamp"),
            flaws=[*self._units.flaws(), *self._flaws, *self._keys.flaws],
            encoding=self._source.encoding,
        )

    def _scan(self) -> None:
        places = self._places
        last = _NONE
        for position, unit in enumerate(self._units):
            value = fields_of(unit.value)
            kind, id_ = text_in(value, "type"), value.get("id")
            is_header = kind == "session" and not self._header
            self._key.append(self._keys.of("session" if is_header else id_, position, unit.line))
            self._name(value)
            if is_header:
                self._header = value
            if kind in _NO_ENTRIES or not value:
                self._parent.append(_APART)
                self._level.append(None)
                continue
            parent = self._parent_of(value, places, last, unit.line)
            self._parent.append(parent)
            level = value.get("thinkingLevel") if kind == "thinking_level_change" else None
            self._level.append(level if level is not None or parent < 0 else self._level[parent])
            if isinstance(id_, str):
                places[id_] = position
            last = position
            if kind in ("compaction", "reset_boundary"):
                self._compactions.add(position)

    def _parent_of(self, value: Fields, places: dict[str, int], last: int, line: int) -> int:
        """Returns the position of an entry's parent; that of the entry before it where the parent was never written."""
        if "parentId" not in value:
            return last
        id_ = value["parentId"]
        if id_ is None:
            return _NONE
        if isinstance(id_, str) and id_ in places:
            return places[id_]
        self._flaws.append(Flaw(line, "noted", "its parent is not in the file; it goes on from the entry before it"))
        return last

    def _name(self, value: Fields) -> None:
        kind = value.get("type")
        if kind in ("title", "title_change", "session"):
            self._title = text_in(value, "title").strip() or self._title
        elif kind == "session_info":
            self._title = text_in(value, "name").strip() or self._title

    def _path(self, leaf: int) -> list[int]:
        """Returns the positions on the way from the root to an entry."""
        path = []
        while leaf >= 0:
            path.append(leaf)
            leaf = self._parent[leaf]
        path.reverse()
        return path

    def _hidden(self, position: int, value: Fields) -> list[int]:
        """Returns the positions that a compaction or a reset stands for: those before the first that is kept, and each such before."""
        path = self._path(self._parent[position])
        kept = self._places.get(text_in(value, "firstKeptEntryId"), value.get("firstKeptEntryIndex"))
        start = path.index(kept) if isinstance(kept, int) and kept in path else len(path)
        return [*path[:start], *(place for place in path[start:] if place in self._compactions)]

    def _branches(self) -> list[Branch]:
        leaf = max((place for place, parent in enumerate(self._parent) if parent != _APART), default=_NONE)
        tree = self._path(leaf)
        apart = {place for place, parent in enumerate(self._parent) if parent == _APART}
        inner = set(self._parent)
        leaves = [place for place in range(len(self._parent)) if place not in inner and place not in apart]
        on_main, paths = set(tree), [(other, self._path(other)) for other in leaves[:MOST_LEFT] if other != leaf]
        on_any = on_main.union(apart, *(path for _, path in paths))
        self._records = {place for place in range(len(self._parent)) if place not in on_any}
        if self._records:
            reason = f"more than {MOST_LEFT} forks; {len(self._records)} entries of the others are records"
            self._flaws.append(Flaw(0, "noted", reason))
        main = sorted(on_main | apart | self._records)
        branches = [Branch("main", main)]
        for other, path in paths:
            left = next(count for count, place in enumerate(path) if place not in on_main)
            end = bisect_right(main, path[left - 1]) if left else bisect_left(main, tree[0])
            branches.append(Branch(f"fork-{self._key[other][:8]}", [*main[:end], *path[left:]]))
        return branches

    def _entry(self, position: int) -> Entry:
        unit, key = self._units[position], self._key[position]
        value = fields_of(unit.value)
        kind, message = value.get("type"), fields_in(value, "message")
        metadata = picked(value, "id", "parentId", "cwd", "version", "customType", "targetId", "provider", "modelId")
        if position in self._records:
            return Entry.of(unit, key, at_us=time_us(value.get("timestamp")), metadata=metadata)
        if kind == "message":
            blobs: dict[str, bytes] = {}
            is_made = message.get("role") == "assistant"
            return Entry.of(
                unit,
                key,
                contents=self._message(message, blobs),
                at_us=time_us(message.get("timestamp")) or time_us(value.get("timestamp")),
                config=self._config(message, position) if is_made else None,
                usage=_usage(fields_in(message, "usage")) if is_made else None,
                metadata=metadata | picked(message, "api", "stopReason", "responseId", "toolName", "errorMessage"),
                blobs=blobs,
            )
        contents: Sequence[object] = ()
        if kind == "custom_message":
            contents = self._as_user(value.get("content"), {})
        elif kind in ("compaction", "branch_summary") and text_in(value, "summary"):
            contents = _summary(_COMPACTED if kind == "compaction" else _LEFT, value["summary"])
        covers = self._hidden(position, value) if position in self._compactions else []
        at_us = time_us(value.get("timestamp"))
        return Entry.of(unit, key, contents=contents, at_us=at_us, metadata=metadata, covers=covers)

    def _config(self, message: Fields, position: int) -> Fields:
        level = self._level[position]
        return picked(message, "model", "provider", "api") | ({"thinkingLevel": level} if level is not None else {})

    def _message(self, message: Fields, blobs: dict[str, bytes]) -> Sequence[object]:
        """Returns what a model sees of a message; the images that lie beside the session go into `blobs`."""
        role, content = message.get("role"), message.get("content")
        if role == "assistant" and message.get("stopReason") not in _NOT_SENT:
            is_anthropic = text_in(message, "api").startswith("anthropic")
            blocks = [block for part in items_of(content) for block in _made_blocks(fields_of(part), is_anthropic)]
            blocks += [text_block(content)] if isinstance(content, str) and content else []
            return messages_of(("assistant", blocks))
        if role in ("toolResult", "tool"):
            inner = self._blocks(content, blobs)
            result = result_block(text_in(message, "toolCallId"), inner, is_error=message.get("isError") is True)
            return [{"role": "user", "content": [result]}]
        if role == "bashExecution" and not message.get("excludeFromContext"):
            command, output = text_in(message, "command"), text_in(message, "output")
            return _summary(f"Ran `{command}`", output or "(no output)")
        if role in ("user", "custom", "hookMessage", "developer"):
            return self._as_user(content, blobs)
        if role in ("branchSummary", "compactionSummary") and text_in(message, "summary"):
            return _summary(_LEFT if role == "branchSummary" else _COMPACTED, message["summary"])
        return []

    def _as_user(self, content: object, blobs: dict[str, bytes]) -> Sequence[object]:
        found = self._blocks(content, blobs)
        return [{"role": "user", "content": found}] if found else []

    def _blocks(self, content: object, blobs: dict[str, bytes]) -> str | list[Fields]:
        if isinstance(content, str):
            return content
        found: list[Fields] = []
        for part in map(fields_of, items_of(content)):
            if part.get("type") == "text" and isinstance(part.get("text"), str):
                found.append(as_text_block(part))
            elif part.get("type") == "image" and isinstance(part.get("data"), str):
                data = self._beside(part["data"], blobs)
                mime = text_in(part, "mimeType") or "image/png"
                found.append(text_block(_GONE) if data is None else media_block(data, mime))
        return found

    def _beside(self, data: str, blobs: dict[str, bytes]) -> str | None:
        """Returns the base64 of an image, or the name of the blob that lies beside the session; its bytes are in `blobs` then. None
        if it does not lie there.
        """
        match = _BLOB.fullmatch(data)
        if match is None:
            return data
        found = self._source.above(_BLOB_LEVELS, f"blobs/{match[1]}")
        if found is None or sha256(found).hexdigest() != match[1]:
            return None
        blobs[match[1]] = found
        return blob_url(found)


def _made_blocks(part: Fields, is_anthropic: bool) -> list[Fields]:
    """Returns the block of a part that a model made."""
    kind = part.get("type")
    if kind == "text" and text_in(part, "text"):
        return [text_block(part["text"])]
    if kind == "thinking":
        signature = text_in(part, "thinkingSignature") if is_anthropic else ""
        if part.get("redacted") and signature:
            return [{"type": "redacted_thinking", "data": signature}]
        text = text_in(part, "thinking")
        return [thinking_block(text, signature)] if text or signature else []
    if kind == "toolCall":
        given = part.get("arguments")
        id_, name = text_in(part, "id"), text_in(part, "name")
        return [{"type": "tool_use", "id": id_, "name": name, "input": given if isinstance(given, dict) else {}}]
    return []


def _summary(title: str, text: str) -> Sequence[object]:
    return [{"role": "user", "content": [text_block(title), text_block(text)]}]


def _usage(usage: Fields) -> object:
    return usage_in(
        usage,
        "input",
        "output",
        cache_read="cacheRead",
        cache_write="cacheWrite",
        reasoning="reasoning",
        is_cache_apart=True,
    )
