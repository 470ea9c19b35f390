"""A reference model of a store: what its files mean, worked out the slow and plain way.

It imports nothing of the package under test. It reads the files outside `local/` with json and hashlib, holds everything in
dicts and sets, and answers each question from nothing. Where it and the package differ, one of the two is wrong.
The format: tract_fs/FORMAT.md.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
from copy import copy
from datetime import UTC, datetime, timedelta
from itertools import combinations, permutations
from typing import Any, Self

HASH = re.compile(r"[0-9a-f]{64}")
TIME = re.compile(r"([0-9]{4})-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
TRACT = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
CUSTOM_TYPE = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
INT_MIN, INT_MAX = -(2**63), 2**64 - 1
LAST_YEAR = "8999"

OPERATIONS = ("append", "edit", "annotate", "merge", "summarize")
PRIORITIES = ("skip", "normal", "pinned")
MOVES = ("append", "merge", "forward", "create", "reset")
ROLES = {"instruction": "system", "tool_io": "tool"}
COUNTER = "estimate:utf8/4"


class NotValid(Exception):
    """Bytes or fields that are not what the format says."""


class OrphanedCall(Exception):
    """`orphans="raise"` met a call without its result, or a result without its call."""

    def __init__(self, commits: set[str]) -> None:
        super().__init__(sorted(commits))
        self.commits = commits


class ResetBeside(Exception):
    """A join met a head that was set back beside one that contains it, and was not told which gives way."""


# ---------------------------------------------------------------------------------------------------------------------
# Decoding


def _require(fact: bool, what: str) -> None:
    if not fact:
        raise NotValid(what)


def _is_int(value: Any) -> bool:
    return type(value) is int and INT_MIN <= value <= INT_MAX


def _is_hash(value: Any) -> bool:
    return type(value) is str and HASH.fullmatch(value) is not None


def _is_time(value: Any) -> bool:
    match = TIME.fullmatch(value) if type(value) is str else None
    if match is None or not 1970 <= int(match[1]) <= 8999:
        return False
    try:
        datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ")
    except ValueError:
        return False
    return True


def _is_hashes(value: Any) -> bool:
    return type(value) is list and all(_is_hash(item) for item in value)


def _fields(value: Any, needed: set[str], optional: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    _require(type(value) is dict, "not an object")
    _require(needed <= set(value), f"lacks {needed - set(value)}")
    _require(set(value) <= needed | optional, f"has unknown {set(value) - needed - optional}")


def _no_constant(text: str) -> Any:
    raise NotValid(text)


def decode(data: bytes, kind: str) -> dict[str, Any]:
    """Returns the object of that kind; 1, 1.0 and true stay int, float and bool."""
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise NotValid(str(error)) from None
    _fields(value, {kind})
    body = value[kind]
    {"content": check_content, "commit": check_commit, "event": check_event}[kind](body)
    assert type(body) is dict
    return body


def kind_of(data: bytes) -> str | None:
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError, NotValid):
        return None
    return next(iter(value)) if type(value) is dict and len(value) == 1 else None


def check_content(content: Any) -> None:
    _require(type(content) is dict, "not an object")
    name = content.get("content_type")
    _require(type(name) is str, "no content_type")
    needed: dict[str, Any]
    optional: dict[str, Any] = {}
    if name in ("instruction", "reasoning"):
        needed = {"text": str}
    elif name == "dialogue":
        needed, optional = {"role": ("user", "assistant", "system"), "text": str}, {"name": str}
    elif name == "tool_io":
        needed = {"tool_name": str, "direction": ("call", "result"), "payload": dict}
        optional = {"status": ("success", "error"), "call_id": str}
    elif name == "message":
        needed = {"message": dict}
    elif name == "artifact":
        needed, optional = {"artifact_type": str, "content": str}, {"language": str}
    elif name == "output":
        needed, optional = {"text": str}, {"format": ("text", "markdown", "json")}
    elif name == "freeform":
        needed = {"payload": dict}
    else:
        _require(CUSTOM_TYPE.fullmatch(name) is not None, "bad custom type")
        return
    _fields(content, {"content_type", *needed}, set(optional))
    for field, kind in {**needed, **optional}.items():
        value = content.get(field)
        if field in optional and value is None and field != "format":
            continue
        if field in content:
            _require(value in kind if type(kind) is tuple else type(value) is kind, f"bad {field}")
    if name == "message":
        _require(type(content["message"].get("role")) is str, "message without role")


def check_commit(commit: Any) -> None:
    _require(type(commit) is dict, "not an object")
    operation = commit.get("operation")
    _require(operation in OPERATIONS, "bad operation")
    needed = {"operation", "parents", "created_at"}
    if operation in ("append", "edit", "summarize"):
        needed |= {"content", "content_type"}
    if operation in ("edit", "annotate", "summarize"):
        needed |= {"targets"}
    optional = {"message", "metadata"}
    if operation == "annotate":
        needed |= {"priority"}
        optional |= {"reason"}
    _fields(commit, needed, optional)
    _require(_is_hashes(commit["parents"]), "bad parents")
    _require(_is_time(commit["created_at"]), "bad created_at")
    if "content" in needed:
        _require(_is_hash(commit["content"]) and type(commit["content_type"]) is str, "bad content")
    if "targets" in needed:
        _require(_is_hashes(commit["targets"]) and len(commit["targets"]) >= 1, "bad targets")
        _require(operation == "summarize" or len(commit["targets"]) == 1, "more than one target")
    if operation == "annotate":
        _require(commit["priority"] in PRIORITIES, "bad priority")
    for field, kind in (("message", str), ("reason", str), ("metadata", dict)):
        _require(commit.get(field) is None or type(commit[field]) is kind, f"bad {field}")


def check_event(event: Any) -> None:
    _fields(event, {"tract", "at", "writer", "parents", "ops"})
    _require(type(event["tract"]) is str and TRACT.fullmatch(event["tract"]) is not None, "bad tract")
    _require(_is_time(event["at"]), "bad at")
    _require(type(event["writer"]) is str, "bad writer")
    _require(type(event["parents"]) is list, "bad parents")
    for parent in event["parents"]:
        tract, _, name = parent.rpartition("/") if type(parent) is str else ("", "", None)
        _require(_is_hash(name) and (not tract or TRACT.fullmatch(tract) is not None), "bad parent")
    _require(type(event["ops"]) is list, "bad ops")
    for op in event["ops"]:
        check_op(op)
    branches = [op["branch"] for op in event["ops"] if "branch" in op]
    _require(len(branches) == len(set(branches)), "a branch moved twice")


def check_op(op: Any) -> None:
    _require(type(op) is dict, "op is not an object")
    kind = op.get("kind")
    if kind in MOVES:
        _fields(op, {"kind", "branch", "head", "commits", "replaces"})
        _require(type(op["branch"]) is str and _is_hash(op["head"]) and _is_hashes(op["replaces"]), "bad move")
        _require(type(op["commits"]) is list, "bad commits")
        for entry in op["commits"]:
            _fields(entry, {"commit"}, {"config", "tokens"})
            _require(_is_hash(entry["commit"]), "bad commit")
            _require(type(entry.get("config", {})) is dict and type(entry.get("tokens", {})) is dict, "bad entry")
            _require(all(_is_int(count) for count in entry.get("tokens", {}).values()), "bad tokens")
    elif kind == "delete":
        _fields(op, {"kind", "branch", "replaces"})
        _require(type(op["branch"]) is str and _is_hashes(op["replaces"]), "bad delete")
    elif kind == "tag":
        _fields(op, {"kind", "name"}, {"target"})
        _require(type(op["name"]) is str and ("target" not in op or _is_hash(op["target"])), "bad tag")
    elif kind == "usage":
        counts = ("prompt_tokens", "completion_tokens", "total_tokens")
        _fields(op, {"kind", "commit", *counts})
        _require(_is_hash(op["commit"]) and all(_is_int(op[name]) and op[name] >= 0 for name in counts), "bad usage")
    elif kind == "redact":
        _fields(op, {"kind", "object"}, {"reason"})
        _require(_is_hash(op["object"]) and type(op.get("reason", "")) is str, "bad redact")
    else:
        raise NotValid(f"unknown kind {kind!r}")


def hash_of(kind: str, body: dict[str, Any]) -> str:
    """Returns the name of an object as it is written."""
    text = json.dumps({kind: body}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _moment(time: str) -> datetime:
    return datetime.strptime(time, "%Y-%m-%dT%H:%M:%S.%fZ")


def a_moment_after(time: str) -> str:
    moment = _moment(time) + timedelta(microseconds=1)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# ---------------------------------------------------------------------------------------------------------------------
# The view


class ReferenceView:
    """The state of one tract after a set of events; `events` may hold other tracts' events too.

    `events` and `commits` map hashes to the inner objects ({"at": …}, {"operation": …}); `contents` are the hashes of the
    contents that are present, or these contents. A value in `events` that is not as the format says counts as one that can't be decoded.
    """

    def __init__(
        self,
        events: dict[str, Any],
        commits: dict[str, dict[str, Any]],
        contents: set[str] | dict[str, dict[str, Any]],
        tract: str = "default",
    ) -> None:
        self.commits = commits
        self.contents = contents
        self.all_events = events
        self.events: dict[str, dict[str, Any]] = {}
        for name, event in events.items():
            try:
                check_event(event)
            except NotValid:
                continue
            self.events[name] = event
        self.redacted = {
            op["object"] for event in self.events.values() for op in event["ops"] if op["kind"] == "redact"
        }
        self._commit_ancestors: dict[str, set[str]] = {}
        self._event_ancestors: dict[str, set[str]] = {}
        self._visible_everywhere: set[str] = set()
        self._broken: set[str] = set()
        self._find_visible()
        self._look_at(tract)

    def _look_at(self, tract: str) -> None:
        self.tract = tract
        self.visible = {name for name in self._visible_everywhere if self.events[name]["tract"] == tract}
        mine = {name for name in self.all_events if name not in self.events or self.events[name]["tract"] == tract}
        self.invalid = mine & self._broken
        self.pending = mine - self.visible - self.invalid

    def of_tract(self, tract: str) -> Self:
        """Returns the same files as another tract sees them."""
        other = copy(self)
        other._look_at(tract)
        return other

    # -- commits

    def commit_ancestors(self, commit: str) -> set[str]:
        """Returns all that can be reached over parents from `commit`, without itself."""
        if commit not in self._commit_ancestors:
            found: set[str] = set()
            todo = list(self.commits[commit]["parents"]) if commit in self.commits else []
            while todo:
                name = todo.pop()
                if name not in found:
                    found.add(name)
                    todo += self.commits[name]["parents"] if name in self.commits else []
            self._commit_ancestors[commit] = found
        return self._commit_ancestors[commit]

    # -- visibility

    def _find_visible(self) -> None:
        waiting = sorted(self.events, key=lambda name: self.events[name]["at"])
        grew = True
        while grew:
            grew = False
            for name in waiting:
                if name not in self._visible_everywhere and self._is_whole(name):
                    self._event_ancestors[name] = self._ancestors_of(name)
                    if self._is_lawful(name):
                        self._visible_everywhere.add(name)
                        grew = True
                    else:
                        self._broken.add(name)

    def parents_of(self, name: str) -> set[str]:
        """Returns the hashes of the event's parents, those of other tracts included."""
        return {parent.rpartition("/")[2] for parent in self.events[name]["parents"]}

    def _ancestors_of(self, name: str) -> set[str]:
        found = set(self.parents_of(name))
        for parent in self.parents_of(name):
            found |= self._event_ancestors[parent]
        return found

    def _is_whole(self, name: str) -> bool:
        event = self.events[name]
        for parent in event["parents"]:
            tract, _, parent_hash = parent.rpartition("/")
            if parent_hash not in self._visible_everywhere:
                return False
            if self.events[parent_hash]["tract"] != (tract or event["tract"]):
                return False
        for op in event["ops"]:
            if op["kind"] in MOVES:
                if op["head"] not in self.commits:
                    return False
                if not all(self._commit_is_whole(entry["commit"]) for entry in op["commits"]):
                    return False
        return True

    def _commit_is_whole(self, commit: str) -> bool:
        if commit not in self.commits:
            return False
        content = self.commits[commit].get("content")
        if content is not None and content not in self.contents and content not in self.redacted:
            return False
        return all(parent in self.commits for parent in self.commits[commit]["parents"])

    def _is_lawful(self, name: str) -> bool:
        event = self.events[name]
        if any(event["at"] <= self.events[parent]["at"] for parent in self.parents_of(name)):
            return False
        if event["at"] >= LAST_YEAR:
            times = [_moment(self.events[parent]["at"]) for parent in self.parents_of(name)]
            if not times or _moment(event["at"]) - max(times) > timedelta(seconds=1):
                return False
        for op in event["ops"]:
            if op["kind"] == "usage" and max(value for key, value in op.items() if key.endswith("_tokens")) >= 2**63:
                return False
            for entry in op.get("commits", []):
                commit = self.commits[entry["commit"]]
                if commit["created_at"] > event["at"] or not self._is_of_its_type(commit):
                    return False
                if not all(0 <= count <= 2**53 for count in entry.get("tokens", {}).values()):
                    return False
                if any(self.commits[parent]["created_at"] >= commit["created_at"] for parent in commit["parents"]):
                    return False
            for replaced in op.get("replaces", []):
                if replaced not in self._event_ancestors[name]:
                    return False
                move = self._move_in(replaced, op["branch"])
                if move is None or self.events[replaced]["tract"] != event["tract"]:
                    return False
                keeps_history = op["kind"] in ("append", "merge", "forward") and move["kind"] != "delete"
                if keeps_history and move["head"] not in {op["head"]} | self.commit_ancestors(op["head"]):
                    return False
        return True

    def _is_of_its_type(self, commit: dict[str, Any]) -> bool:
        """Says whether a commit names the type of its content; contents that are known by their hashes alone have any type."""
        content = self.contents.get(commit.get("content")) if isinstance(self.contents, dict) else None
        return content is None or content["content_type"] == commit["content_type"]

    def _move_in(self, name: str, branch: str) -> dict[str, Any] | None:
        for op in self.events[name]["ops"]:
            if op.get("branch") == branch:
                return op  # type: ignore[no-any-return]
        return None

    # -- what the visible events say

    def event_heads(self) -> set[str]:
        parents: set[str] = set()
        for name in self.visible:
            parents |= self.parents_of(name)
        return self.visible - parents

    def ops(self) -> list[tuple[str, str, int, dict[str, Any]]]:
        """Returns (at, event hash, position, op) of every visible op, in that order."""
        found = []
        for name in self.visible:
            for position, op in enumerate(self.events[name]["ops"]):
                found.append((self.events[name]["at"], name, position, op))
        return sorted(found, key=lambda item: item[:3])

    def unreplaced(self, branch: str) -> dict[str, dict[str, Any]]:
        """Returns the moves of a branch that no visible event replaces: {event hash: op}; hidden ones and deletes too."""
        moves = {name: op for _, name, _, op in self.ops() if op.get("branch") == branch}
        replaced = {old for op in moves.values() for old in op["replaces"]}
        return {name: op for name, op in moves.items() if name not in replaced}

    def all_heads(self, branch: str) -> set[str]:
        """Returns the commits of the unreplaced moves, hidden ones included."""
        return {op["head"] for op in self.unreplaced(branch).values() if op["kind"] != "delete"}

    def hidden_heads(self, branch: str) -> set[str]:
        heads = self.all_heads(branch)
        reset = {op["head"] for op in self.unreplaced(branch).values() if op["kind"] == "reset"}
        return {
            head for head in heads if head not in reset and any(head in self.commit_ancestors(other) for other in heads)
        }

    def heads(self, branch: str) -> set[str]:
        return self.all_heads(branch) - self.hidden_heads(branch)

    def own_head(self, branch: str, own_event: str | None) -> str | None:
        """Returns the head that a copy works on whose last visible move of the branch is `own_event`."""
        moves = {name: op for _, name, _, op in self.ops() if op.get("branch") == branch}
        unreplaced = {name: op for name, op in self.unreplaced(branch).items() if op["kind"] != "delete"}
        own_commits: set[str] = set()
        for name, op in unreplaced.items():
            built_on: set[str] = set()
            todo = [name]
            while todo:
                event = todo.pop()
                if event not in built_on:
                    built_on.add(event)
                    todo += moves[event]["replaces"]
            if own_event in built_on:
                own_commits.add(op["head"])
        ranked: list[tuple[int, str, str, str]] = []
        for name, op in unreplaced.items():
            if op["head"] in self.heads(branch):
                rank = 2 if op["head"] in own_commits else int(bool(own_commits & self.commit_ancestors(op["head"])))
                ranked.append((rank, self.events[name]["at"], name, op["head"]))
        return max(ranked)[3] if ranked else None

    def branches(self) -> dict[str, set[str]]:
        names = {op["branch"] for _, _, _, op in self.ops() if "branch" in op}
        return {name: self.heads(name) for name in names if self.heads(name)}

    def saw(self, name: str, other: str) -> bool:
        """Says whether an event builds on another, or is it."""
        return name == other or other in self._event_ancestors[name]

    # -- joins

    def join(self, branch: str, prefer: str | None = None) -> dict[str, dict[str, Any]]:
        """Returns what a join of the branch's heads writes without a word from the user: `event`, and `commit` if one is made; nothing for one head."""
        heads = self.heads(branch)
        settled: set[str] = set()
        if len(heads) < 2:
            return {}
        for low in sorted(heads):
            above = [head for head in heads if low in self.commit_ancestors(head)]
            if any(self._is_settled(branch, low, high, self.unreplaced(branch)) for high in above):
                settled.add(low)
        heads -= settled
        lows = {head for head in heads if any(head in self.commit_ancestors(other) for other in heads)}
        highs = {head for head in heads if any(low in self.commit_ancestors(head) for low in lows)}
        if lows and prefer is None:
            raise ResetBeside(branch)
        kept = heads - (highs if prefer == "reset" else lows)
        made: dict[str, dict[str, Any]] = {}
        kind, head = "forward", min(kept)
        if len(kept) > 1:
            parents = sorted(kept, key=lambda name: (self.commits[name]["created_at"], name), reverse=True)
            newest = self.commits[parents[0]]["created_at"]
            made["commit"] = {"operation": "merge", "parents": parents, "created_at": a_moment_after(newest)}
            kind, head = "merge", hash_of("commit", made["commit"])
        moves = sorted(self.unreplaced(branch))
        at = a_moment_after(max(self.events[name]["at"] for name in moves))
        entries = [{"commit": head}] if "commit" in made else []
        kind = "reset" if lows and prefer == "reset" else kind
        op = {"kind": kind, "branch": branch, "head": head, "commits": entries, "replaces": moves}
        at = max([at, *[made[name]["created_at"] for name in made]])
        made["event"] = {"tract": self.tract, "at": at, "writer": "", "parents": moves, "ops": [op]}
        return made

    def _is_settled(self, branch: str, low: str, high: str, moves: dict[str, dict[str, Any]]) -> bool:
        """Says whether merges chose already between a reset to `low` and the commits up to `high`, and the commits stay.

        So it is where the moves to both replaced one reset to `low`; what an undo lists beside is replaced already.
        """

        def resets_before(name: str) -> set[str]:
            before = {event: self._move_in(event, branch) or {} for event in moves[name]["replaces"]}
            undone = {event for op in before.values() for event in op.get("replaces", [])}
            return {e for e, op in before.items() if (op.get("kind"), op.get("head")) == ("reset", low)} - undone

        of_low = [name for name, op in moves.items() if (op["kind"], op.get("head")) == ("reset", low)]
        of_high = [name for name, op in moves.items() if op.get("head") == high]
        return all(any(resets_before(name) & resets_before(other) for other in of_high) for name in of_low)

    def tags(self) -> dict[str, str]:
        last: dict[str, str | None] = {}
        for _, _, _, op in self.ops():
            if op["kind"] == "tag":
                last[op["name"]] = op.get("target")
        return {name: target for name, target in last.items() if target is not None}

    def usage(self, commit: str) -> dict[str, int] | None:
        last = None
        for _, _, _, op in self.ops():
            if op["kind"] == "usage" and op["commit"] == commit:
                last = {name: op[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
        return last

    def _entry(self, commit: str) -> dict[str, Any] | None:
        """Returns what the first event that brings the commit says of it."""
        names = set(self.visible)
        for name in self.visible:
            names |= self._event_ancestors[name]
        for name in sorted(names, key=lambda name: (self.events[name]["at"], name)):
            for op in self.events[name]["ops"]:
                for entry in op.get("commits", []):
                    if entry["commit"] == commit:
                        return entry  # type: ignore[no-any-return]
        return None

    def config(self, commit: str) -> dict[str, Any] | None:
        entry = self._entry(commit)
        return None if entry is None else entry.get("config")

    def tokens(self, commit: str) -> dict[str, int]:
        entry = self._entry(commit)
        return {} if entry is None else entry.get("tokens", {})

    def tract_commits(self) -> set[str]:
        """Returns what the visible events bring, and all that the moves of branches reach, what a reset left behind included."""
        found = {entry["commit"] for _, _, _, op in self.ops() for entry in op.get("commits", [])}
        for _, _, _, op in self.ops():
            if "head" in op:
                found |= {op["head"]} | self.commit_ancestors(op["head"])
        return found


# ---------------------------------------------------------------------------------------------------------------------
# Messages, tokens, queries


def as_text(value: Any, margin: str = "") -> str:
    """Returns JSON as a compile shows it: two spaces, sorted keys, non-ASCII as it is, floats as the format writes them."""
    deeper = margin + "  "
    if type(value) is dict and value:
        parts = [f"{json.dumps(key, ensure_ascii=False)}: {as_text(value[key], deeper)}" for key in sorted(value)]
    elif type(value) is list and value:
        parts = [as_text(item, deeper) for item in value]
    elif type(value) is float:
        return float_text(value)
    else:
        return json.dumps(value, ensure_ascii=False)
    first, last = "{}" if type(value) is dict else "[]"
    return f"{first}\n{deeper}" + f",\n{deeper}".join(parts) + f"\n{margin}{last}"


def float_text(value: float) -> str:
    digits, has_exponent, exponent = repr(value).partition("e")
    if not has_exponent:
        return digits
    if exponent == "-05":
        sign = "-" if value < 0 else ""
        return f"{sign}0.0000{digits.lstrip('-').replace('.', '')}"
    return f"{digits}e{exponent[0]}{exponent[1:].lstrip('0')}"


def message_of(content: dict[str, Any]) -> dict[str, Any]:
    """Returns the message that a content makes; a provider's message as it is."""
    name = content["content_type"]
    if name == "message":
        return json.loads(json.dumps(content["message"]))  # type: ignore[no-any-return]
    if name == "dialogue":
        message = {"role": content["role"], "content": content["text"]}
        if content.get("name") is not None:
            message["name"] = content["name"]
        return message
    if name == "tool_io":
        status = f" ({content['status']})" if content.get("status") is not None else ""
        text = f"Tool {content['direction']}: {content['tool_name']}{status}\n{as_text(content['payload'])}"
    elif name == "freeform":
        text = as_text(content["payload"])
    elif name in ("instruction", "reasoning", "output"):
        text = content["text"]
    elif name == "artifact":
        text = content["content"]
    elif type(content.get("text")) is str:
        text = content["text"]
    elif type(content.get("content")) is str:
        text = content["content"]
    else:
        text = as_text({key: value for key, value in content.items() if key != "content_type"})
    return {"role": ROLES.get(name, "assistant"), "content": text}


def count_text(text: str) -> int:
    return (len(text.encode("utf-8")) + 3) // 4


def strings_in(value: Any) -> list[str]:
    """Returns every string value at any depth; keys are not values."""
    found, todo = [], [value]
    while todo:
        item = todo.pop()
        if type(item) is str:
            found.append(item)
        elif type(item) is dict:
            todo += item.values()
        elif type(item) is list:
            todo += item
    return found


def count_message(message: dict[str, Any]) -> int:
    return 3 + sum(count_text(text) for text in strings_in(message)) + (1 if type(message.get("name")) is str else 0)


def calls_of(content: dict[str, Any]) -> set[str]:
    """Returns the tool call ids that a content calls."""
    return _ids(content, "call", "tool_use", "id")


def answers_of(content: dict[str, Any]) -> set[str]:
    """Returns the tool call ids that a content answers."""
    return _ids(content, "result", "tool_result", "tool_use_id")


def _ids(content: dict[str, Any], direction: str, block_type: str, block_field: str) -> set[str]:
    found: list[Any] = []
    if content["content_type"] == "tool_io" and content["direction"] == direction:
        found.append(content.get("call_id"))
    if content["content_type"] == "message":
        message = content["message"]
        if direction == "call" and message["role"] == "assistant" and type(message.get("tool_calls")) is list:
            found += [call.get("id") for call in message["tool_calls"] if type(call) is dict]
        if direction == "result" and message["role"] == "tool":
            found.append(message.get("tool_call_id"))
        if type(message.get("content")) is list:
            for block in message["content"]:
                if type(block) is dict and block.get("type") == block_type:
                    found.append(block.get(block_field))
    return {name for name in found if type(name) is str}


MISSING = object()


def lookup(config: dict[str, Any], field: str | tuple[str | int, ...]) -> Any:
    value: Any = config
    for step in (field,) if isinstance(field, str) else field:
        has_key = type(step) is str and type(value) is dict and step in value
        has_item = type(step) is int and type(value) is list and 0 <= step < len(value)
        if not has_key and not has_item:
            return MISSING
        value = value[step]
    return value


def json_type(value: Any) -> str:
    """Returns `number`, `string`, `boolean`, `null` or `other`."""
    if value is None:
        return "null"
    return {bool: "boolean", int: "number", float: "number", str: "string"}.get(type(value), "other")


def matches(found: Any, operator: str, value: Any) -> bool:
    if operator not in ("=", "!=", ">", "<", ">=", "<="):
        raise ValueError(f"Unsupported operator {operator!r}")
    if json_type(value) == "other" or (type(value) is float and not math.isfinite(value)):
        raise ValueError("not a JSON scalar")
    if found is MISSING or json_type(found) != json_type(value):
        return False
    if operator == "=":
        return bool(found == value)
    if operator == "!=":
        return bool(found != value)
    if json_type(value) not in ("number", "string"):
        return False
    return bool({">": found > value, "<": found < value, ">=": found >= value, "<=": found <= value}[operator])


# ---------------------------------------------------------------------------------------------------------------------
# The compiled context


class Compiled:
    """A compiled context: plain lists. `message_commits` runs parallel to `messages`."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.message_commits: list[list[str]] = []
        self.generation_configs: list[dict[str, Any]] = []
        self.commit_hashes: list[str] = []
        self.token_count = 0
        self.token_source = COUNTER
        self.commit_count = 0
        self.unanswered: set[str] = set()  # commits with a call that never had an answer, or an answer without a call
        self.dropped: set[str] = set()  # commits left out because their other half is
        self.edited: set[str] = set()  # effective commits that show an edit's content
        self.hidden: set[str] = set()  # what the standing summaries stand for


class ReferenceTract(ReferenceView):
    """A view with the contents at hand: log, compile and queries."""

    def __init__(
        self,
        events: dict[str, Any],
        commits: dict[str, dict[str, Any]],
        bodies: dict[str, dict[str, Any]],
        tract: str = "default",
    ) -> None:
        super().__init__(events, commits, bodies, tract)
        self.bodies = bodies

    # -- history

    def linear(self, head: str | None) -> list[str]:
        """Returns the linear order of a history, root first, by its definition, parents before children."""
        if head is None:
            return []
        order: dict[str, list[str]] = {}
        waiting = {head} | self.commit_ancestors(head)
        if not waiting <= set(self.commits):
            raise KeyError(f"missing commits: {sorted(waiting - set(self.commits))}")
        ready = sorted(waiting, key=lambda name: len(self.commit_ancestors(name)))  # a parent has fewer ancestors
        for name in ready:
            line: list[str] = []
            listed: set[str] = set()
            for parent in self.commits[name]["parents"]:
                more = [item for item in order[parent] if item not in listed]
                line += more
                listed |= set(more)
            order[name] = [*line, name]
        return order[head]

    def log(self, head: str | None) -> list[str]:
        return self.linear(head)[::-1]

    def content(self, commit: str) -> dict[str, Any] | None:
        """Returns the content of a commit (its fields and `content_type`), None where it has none or it was redacted."""
        name = self.commits[commit].get("content")
        return None if name is None else self.bodies.get(name)

    def commit(self, commit: str) -> dict[str, Any]:
        """Returns what a user sees of a commit."""
        body = self.commits[commit]
        content = self.content(commit)
        return {
            "commit_hash": commit,
            "tract_id": self.tract,
            "parents": body["parents"],
            "content_hash": body.get("content"),
            "content_type": body.get("content_type"),
            "operation": body["operation"],
            "targets": body.get("targets", []),
            "message": body.get("message"),
            "metadata": body.get("metadata"),
            "generation_config": self.config(commit),
            "token_count": 0 if content is None else count_message(message_of(content)),
            "created_at": body["created_at"],
        }

    def priority(self, commit: str, history: list[str]) -> str | None:
        """Returns the last annotation of a commit in a history, or None."""
        last = None
        for name in history:
            if self.commits[name]["operation"] == "annotate" and self.commits[name]["targets"] == [commit]:
                last = self.commits[name]["priority"]
        return last

    def default_priority(self, commit: str) -> str:
        return "pinned" if self.commits[commit].get("content_type") == "instruction" else "normal"

    def annotations(self, commit: str, head: str) -> list[str]:
        """Returns the annotations of a commit in the head's history, oldest first."""
        return [
            name
            for name in self.linear(head)
            if self.commits[name]["operation"] == "annotate" and self.commits[name]["targets"] == [commit]
        ]

    # -- compile

    def compile(
        self,
        head: str | None,
        at_time: datetime | str | None = None,
        include_edit_annotations: bool = False,
        aggregate_same_role: bool = False,
        orphans: str = "drop",
        full_head: str | None = None,
    ) -> Compiled:
        """Returns what a compile of `head` (the head of a branch, or the commit to cut at) must be.

        `full_head` is the head of the branch where `head` is a cut in its history. Calls and results are paired in the
        order of the cut's own history, and then of what comes behind it on the branch.
        """
        history = self.linear(head)
        full = history
        if full_head is not None and head in self.linear(full_head):
            full = [*history, *(name for name in self.linear(full_head) if name not in history)]
        if at_time is not None:
            limit = utc_text(at_time)
            history = [name for name in history if self.commits[name]["created_at"] <= limit]

        answer = Compiled()
        winners = {name: self._winning_edit(name, history) for name in history if self._is_effective(name)}
        standing, hidden = self.standing_summaries(history)
        shown = {name for name in winners if (self.priority(name, history) or self.default_priority(name)) != "skip"}
        shown = {name for name in shown - hidden if self.content(name) is not None}
        answer.hidden = hidden
        contents = {name: self.content(winners[name] or name) or {} for name in shown}
        answer.unanswered = self._unpaired(full) & shown
        answer.dropped = self._orphans(full, shown, contents) if orphans != "keep" else set()
        if orphans == "raise" and answer.dropped:
            raise OrphanedCall(answer.dropped)

        joinable: list[bool] = []
        for name in sorted(history, key=lambda name: (self._place(name, history, standing), history.index(name))):
            if name not in shown or name in answer.dropped:
                continue
            edit = winners[name]
            message = message_of(contents[name])
            if edit is not None:
                answer.edited.add(name)
                if include_edit_annotations and type(message.get("content")) is str:
                    message["content"] += " [edited]"
            config = self.config(edit) if edit is not None else None
            if config is None:
                config = self.config(name)
            answer.generation_configs.append({} if config is None else config)
            answer.commit_hashes.append(name)
            plain = self._is_plain(contents[name])
            if (
                aggregate_same_role
                and joinable
                and plain
                and joinable[-1]
                and _same_voice(answer.messages[-1], message)
            ):
                answer.messages[-1] = {**answer.messages[-1]}
                answer.messages[-1]["content"] += "\n\n" + message["content"]
                answer.message_commits[-1].append(name)
            else:
                answer.messages.append(message)
                answer.message_commits.append([name])
                joinable.append(plain)

        answer.commit_count = len(answer.commit_hashes)
        if answer.messages:
            answer.token_count = 3 + sum(count_message(message) for message in answer.messages)
        is_plain = at_time is None and not include_edit_annotations and not aggregate_same_role and orphans == "drop"
        usage = self.usage(head) if head is not None and is_plain else None
        if usage is not None:
            answer.token_count = usage["prompt_tokens"]
            answer.token_source = f"api:{usage['prompt_tokens']}+{usage['completion_tokens']}"
        return answer

    def _targets(self, summary: str, history: list[str]) -> list[str]:
        """Returns what a summary stands for, of what comes before it in a history and can be shown at all."""
        before = history[: history.index(summary)]
        return [name for name in self.commits[summary]["targets"] if name in before and self._is_effective(name)]

    def covered(self, commit: str, history: list[str]) -> set[str]:
        """Returns all that a summary stands for, with all that the summaries among them stand for."""
        found: set[str] = set()
        if self.commits[commit]["operation"] == "summarize":
            for target in self._targets(commit, history):
                found |= {target} | self.covered(target, history)
        return found

    def standing_summaries(self, history: list[str]) -> tuple[set[str], set[str]]:
        """Returns the summaries of a history that stand, and what does not show because of them.

        Of those that share a leaf one stands: that of the most leaves, and of equal ones the last.
        """
        shown = []
        for name in history:
            is_skipped = (self.priority(name, history) or self.default_priority(name)) == "skip"
            if self._is_readable(name, "summarize") and not is_skipped:
                shown.append(name)
        leaves = {name: self.leaves(name, history) for name in shown}
        standing: set[str] = set()
        hidden: set[str] = set()
        for name in sorted(shown, key=lambda name: (len(leaves[name]), history.index(name)), reverse=True):
            if any(leaves[name] & leaves[other] for other in standing):
                hidden.add(name)
            else:
                standing.add(name)
                hidden |= self.covered(name, history)
        return standing, hidden

    def leaves(self, commit: str, history: list[str]) -> set[str]:
        """Returns the appends that a summary stands for in the end; a summary that stands for nothing is its own."""
        targets = self._targets(commit, history) if self.commits[commit]["operation"] == "summarize" else []
        found: set[str] = set()
        for target in targets:
            found |= self.leaves(target, history)
        return found or {commit}

    def _place(self, commit: str, history: list[str], standing: set[str]) -> int:
        """Returns where in a history a commit shows: a standing summary where the first of what it stands for was."""
        return history.index(self._anchor(commit, history) if commit in standing else commit)

    def _anchor(self, commit: str, history: list[str]) -> str:
        targets = self._targets(commit, history) if self.commits[commit]["operation"] == "summarize" else []
        return min((self._anchor(target, history) for target in targets), key=history.index, default=commit)

    def _is_effective(self, commit: str) -> bool:
        return self.commits[commit]["operation"] in ("append", "summarize")

    def _is_readable(self, commit: str, *operations: str) -> bool:
        return self.commits[commit]["operation"] in operations and self.content(commit) is not None

    def _winning_edit(self, commit: str, history: list[str]) -> str | None:
        winner = None
        for name in history:
            is_edit = self._is_readable(name, "edit") and self.commits[name]["targets"] == [commit]
            if is_edit and self.priority(name, history) != "skip":
                winner = name
        return winner

    def _is_plain(self, content: dict[str, Any]) -> bool:
        """Says whether a message may be joined to its neighbour: nothing would be lost but the seam."""
        if content["content_type"] == "tool_io":
            return content.get("call_id") is None
        if content["content_type"] != "message":
            return True
        message = content["message"]
        return type(message.get("content")) is str and set(message) <= {"role", "content", "name"}

    def _pairs(self, full: list[str]) -> list[tuple[str, str, str]]:
        """Returns (call's commit, id, result's commit): each result with the nearest earlier append that calls its id."""
        pairs = []
        appends = [name for name in full if self._is_readable(name, "append", "summarize")]
        for position, name in enumerate(appends):
            for call_id in answers_of(self.content(name) or {}):
                callers = [other for other in appends[:position] if call_id in calls_of(self.content(other) or {})]
                if callers:
                    pairs.append((callers[-1], call_id, name))
        return pairs

    def _unpaired(self, full: list[str]) -> set[str]:
        pairs = self._pairs(full)
        found = set()
        for name in full:
            if self._is_readable(name, "append", "summarize"):
                content = self.content(name) or {}
                for call_id in calls_of(content):
                    if not any(pair[0] == name and pair[1] == call_id for pair in pairs):
                        found.add(name)
                for call_id in answers_of(content):
                    if not any(pair[2] == name and pair[1] == call_id for pair in pairs):
                        found.add(name)
        return found

    def _orphans(self, full: list[str], shown: set[str], contents: dict[str, dict[str, Any]]) -> set[str]:
        """Returns what can't stand alone: a call that had results and kept none, a result whose call is gone."""
        pairs = self._pairs(full)
        dropped: set[str] = set()
        grew = True
        while grew:
            grew = False
            for call, call_id, result in pairs:
                results = {other for name, other_id, other in pairs if (name, other_id) == (call, call_id)}
                call_stands = call in shown - dropped and call_id in calls_of(contents[call])
                standing = {name for name in results & (shown - dropped) if call_id in answers_of(contents[name])}
                fresh = set()
                if call_stands and not standing:
                    fresh = {call}
                if not call_stands and result in standing:
                    fresh = {result}
                dropped |= fresh
                grew = grew or bool(fresh)
        return dropped

    # -- conflicts

    def conflicts(self, heads: list[str]) -> set[tuple[str, str]]:
        """Returns (kind, target) of what the histories of the heads say differently, pair by pair."""
        lines = {head: self.linear(head) for head in heads}
        found: set[tuple[str, str]] = set()
        for one, other in combinations(heads, 2):
            ours, theirs = set(lines[one]) - set(lines[other]), set(lines[other]) - set(lines[one])
            for target in set(lines[one]) & set(lines[other]):
                edits = [self._edit_of(target, lines[head]) for head in (one, other)]
                if edits[0] in ours and edits[1] in theirs and not self._are_settlements(*edits):
                    texts = [self.commits[edit or ""]["content"] for edit in edits]
                    found |= {("edit", target)} if texts[0] != texts[1] else set()
                said = [set(self._annotations_of(target, names)) for names in (ours, theirs)]
                levels = [self.priority(target, lines[head]) for head in (one, other)]
                if self.commits[target]["operation"] == "edit":
                    levels = ["skip" if level == "skip" else "normal" for level in levels]
                last = [self._last_annotation(target, lines[head]) for head in (one, other)]
                if all(said) and levels[0] != levels[1] and not self._are_settlements(*last):
                    found.add(("priority", target))
            for mine in self._outermost(lines[one], ours):
                for yours in self._outermost(lines[other], theirs):
                    covered = [self.leaves(mine, lines[one]), self.leaves(yours, lines[other])]
                    texts = [
                        self.commits[self._edit_of(name, line) or name]["content"]
                        for name, line in ((mine, lines[one]), (yours, lines[other]))
                    ]
                    is_inside = covered[0] < covered[1] or covered[1] < covered[0]
                    is_alike = covered[0] == covered[1] and texts[0] == texts[1]
                    if covered[0] & covered[1] and not is_inside and not is_alike:
                        ages = {(self.commits[name]["created_at"], name) for name in covered[0] & covered[1]}
                        found.add(("summary", min(ages)[1]))
        for one, other in permutations(heads, 2):
            ours, theirs = set(lines[one]) - set(lines[other]), set(lines[other]) - set(lines[one])
            for target in lines[one]:
                if self._edit_of(target, lines[one]) in ours and not self._covering(target, lines[one]) & ours:
                    found |= {("summary", target)} if self._covering(target, lines[other]) & theirs else set()
        return found

    def _outermost(self, line: list[str], names: set[str]) -> list[str]:
        """Returns those of the summaries `names` that are not skipped on a line and that no other of these covers."""
        found = [name for name in line if name in names and self.commits[name]["operation"] == "summarize"]
        found = [name for name in found if self.priority(name, line) != "skip"]
        return [name for name in found if not any(name in self.covered(other, line) for other in found)]

    def _last_annotation(self, target: str, line: list[str]) -> str | None:
        return next((name for name in reversed(line) if self._annotations_of(target, {name})), None)

    def _are_settlements(self, *commits: str | None) -> bool:
        return all(name and self.commits[name].get("metadata") == {"settles": "merge"} for name in commits)

    def _edit_of(self, target: str, line: list[str]) -> str | None:
        """Returns the last edit of a commit that is not skipped; one whose content was redacted counts, for a copy may still have it."""
        edits = [name for name in line if self.commits[name]["operation"] == "edit" and self._is_effective(target)]
        standing = [
            name for name in edits if self.commits[name]["targets"] == [target] and self.priority(name, line) != "skip"
        ]
        return standing[-1] if standing else None

    def _annotations_of(self, target: str, names: set[str]) -> list[str]:
        return [
            name for name in names if self.commits[name].get("targets") == [target] and "priority" in self.commits[name]
        ]

    def _covering(self, target: str, line: list[str]) -> set[str]:
        """Returns the summaries of a line that are not skipped and stand for a commit, directly or through others."""
        summaries = [name for name in line if self.commits[name]["operation"] == "summarize"]
        return {
            name for name in summaries if target in self.covered(name, line) and self.priority(name, line) != "skip"
        }

    # -- queries

    def query(self, field: str | tuple[str | int, ...], operator: str, value: Any) -> list[str]:
        """Returns the tract's commits whose config matches, by created_at, then hash."""
        matches(MISSING, operator, value)
        found = []
        for name in self.tract_commits():
            config = self.config(name)
            if config is not None and matches(lookup(config, field), operator, value):
                found.append(name)
        return sorted(found, key=lambda name: (self.commits[name]["created_at"], name))


def _same_voice(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one["role"] == other["role"] and one.get("name") == other.get("name")


def utc_text(when: datetime | str) -> str:
    """Returns a time as the format writes it; naive means UTC."""
    if isinstance(when, str):
        return when
    aware = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    return aware.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# ---------------------------------------------------------------------------------------------------------------------
# The files


class ReferenceStore:
    """All valid files of a context directory, read once, at the time of the call."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.root = os.path.join(os.fspath(path), ".tract")
        self.contents: dict[str, dict[str, Any]] = {}
        self.commits: dict[str, dict[str, Any]] = {}
        self.events: dict[str, Any] = {}
        self.bad: list[str] = []
        self._read_loose("objects", None)
        for tract in self._names("events"):
            self._read_loose(os.path.join("events", tract), tract)
        for name in self._names("packs"):
            data = self._bytes(os.path.join("packs", name), name)
            for line in data.split(b"\n")[:-1] if data is not None else []:
                self._take(hashlib.sha256(line).hexdigest(), line, None)

    def _names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(os.path.join(self.root, folder)))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _bytes(self, relative: str, name: str) -> bytes | None:
        """Returns the bytes of a file, None where it is no regular file or does not hash to its name."""
        path = os.path.join(self.root, relative)
        if HASH.fullmatch(name) is None or not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        with open(path, "rb") as file:
            data = file.read()
        if hashlib.sha256(data).hexdigest() != name:
            self.bad.append(relative)
            return None
        return data

    def _read_loose(self, folder: str, tract: str | None) -> None:
        for first in self._names(folder):
            if re.fullmatch(r"[0-9a-f]{2}", first) is None:
                continue
            for rest in self._names(os.path.join(folder, first)):
                data = self._bytes(os.path.join(folder, first, rest), first + rest)
                if data is not None and (kind_of(data) == "event") == (tract is not None):
                    self._take(first + rest, data, tract)

    def _take(self, name: str, data: bytes, tract: str | None) -> None:
        kind = kind_of(data)
        try:
            if kind == "content":
                self.contents[name] = decode(data, "content")
            elif kind == "commit":
                self.commits[name] = decode(data, "commit")
            elif kind == "event":
                event = json.loads(data)["event"]
                if tract is None or type(event) is not dict or event.get("tract") == tract:
                    self.events[name] = event  # the view judges it: what it can't decode is pending there
        except NotValid:
            self.bad.append(name)

    def tracts(self) -> list[str]:
        names = {event.get("tract") for event in self.events.values() if type(event) is dict}
        return sorted(name for name in names if type(name) is str)

    def tract(self, tract_id: str = "default") -> ReferenceTract:
        events = {
            name: event
            for name, event in self.events.items()
            if type(event) is dict and type(event.get("tract")) is str and TRACT.fullmatch(event["tract"])
        }
        return ReferenceTract(events, self.commits, self.contents, tract_id)
