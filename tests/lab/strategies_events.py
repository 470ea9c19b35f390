"""Random histories of a tract and a fork of it: three writers or four, each with a copy of its own, that sync now and then, whole or in part.

The files are made here, by json and hashlib, as FORMAT.md says; nothing of the package under test is used. A history is a
function of its seed: `make_history(random.Random(7))`, or `histories()` for hypothesis.
"""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tests.lab.reference import ReferenceTract, ReferenceView, ResetBeside

Files = dict[str, bytes]
TRACTS = ("default", "sub")
BRANCHES = ("main", "side", "topic")
START_US = 1_767_323_045_000_006  # 2026-01-02T03:04:05.000006Z
WORDS = ("plan", "search", "answer", "naïve", "日本", "fix the bug", "run the tests", "")


def encode(kind: str, body: dict[str, Any]) -> bytes:
    text = json.dumps({kind: body}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8")


def hash_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def time_text(microseconds: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def time_us(text: str) -> int:
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@dataclass
class History:
    """The files of a history by kind, what each copy ended with, and what happened in it."""

    events: Files = field(default_factory=dict)
    commits: Files = field(default_factory=dict)
    contents: Files = field(default_factory=dict)
    copies: list[set[str]] = field(default_factory=list)  # the names of the files that each copy holds at the end
    own_moves: list[dict[tuple[str, str], str]] = field(
        default_factory=list
    )  # of each copy, by (tract, branch): its last
    acknowledged: dict[tuple[str, str], str] = field(default_factory=dict)  # (tract, commit): the event that brought it
    had_two_heads: bool = False
    had_twin_merge: bool = False
    had_branch_merge: bool = False
    had_merge_back: bool = False
    had_rename: bool = False
    redacted: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)  # events that break a rule of the format on purpose

    def bodies(self, names: set[str] | None = None) -> tuple[dict[str, Any], dict[str, Any], set[str]]:
        """Returns (events, commits, content hashes) as the reference takes them, of the named files or of all."""

        def opened(files: Files, kind: str) -> dict[str, Any]:
            return {name: json.loads(data)[kind] for name, data in files.items() if names is None or name in names}

        contents = {name for name in self.contents if names is None or name in names}
        return opened(self.events, "event"), opened(self.commits, "commit"), contents

    def all_files(self) -> set[str]:
        return {*self.events, *self.commits, *self.contents}

    def view(self, names: set[str] | None = None, tract: str = "default") -> ReferenceView:
        return ReferenceView(*self.bodies(names), tract)

    def reference(self, names: set[str]) -> ReferenceTract:
        """Returns what the named files mean, contents and all."""
        events, commits, found = self.bodies(names)
        return ReferenceTract(events, commits, {name: json.loads(self.contents[name])["content"] for name in found})

    @property
    def had_concurrent_removal(self) -> bool:
        return has_concurrent_removal(self.bodies()[0])


def has_concurrent_removal(events: dict[str, Any]) -> bool:
    """Says whether a reset or a delete and an append of one branch did not see each other."""

    def ancestors(name: str) -> set[str]:
        found: set[str] = set()
        todo = [name]
        while todo:
            for parent in events[todo.pop()]["parents"]:
                parent = parent.rpartition("/")[2]
                if parent in events and parent not in found:
                    found.add(parent)
                    todo.append(parent)
        return found

    moves = [
        (name, (events[name]["tract"], op["branch"]), op)
        for name in events
        for op in events[name]["ops"]
        if "branch" in op
    ]
    removals = [(name, branch) for name, branch, op in moves if op["kind"] in ("reset", "delete")]
    appends = [(name, branch) for name, branch, op in moves if op["kind"] == "append"]
    past = {name: ancestors(name) for name, _ in removals + appends} if removals and appends else {}
    return any(
        branch == other_branch and name not in past[other] and other not in past[name] and name != other
        for name, branch in removals
        for other, other_branch in appends
    )


class Copy:
    """One writer with the files it has; `view` is the reference's, made anew whenever a file has come."""

    def __init__(self, history: History, rng: random.Random, number: int, rude: bool) -> None:
        self.history = history
        self.rng = rng
        self.rude = rude  # also writes what the format allows and a good writer avoids
        self.writer = f"{rng.getrandbits(128):032x}"
        self.files: set[str] = set()
        self.clock_us = START_US + number * rng.choice((0, 1, 5_000_000))
        self.own_moves: dict[tuple[str, str], str] = {}
        self.tract = "default"
        self.view = history.view(set())

    # -- files

    def put(self, kind: str, body: dict[str, Any]) -> str:
        data = encode(kind, body)
        name = hash_of(data)
        {"event": self.history.events, "commit": self.history.commits, "content": self.history.contents}[kind][name] = (
            data
        )
        self.files.add(name)
        return name

    def refresh(self) -> None:
        self.view = self.history.view(self.files, self.tract)
        if any(len(heads) > 1 for heads in self.view.branches().values()):
            self.history.had_two_heads = True

    def look_at(self, tract: str) -> None:
        """Goes on in another tract."""
        self.tract = tract
        self.view = self.view.of_tract(tract)

    # -- time

    def tick(self) -> int:
        """Returns the next `at`: past the wall clock, which may stand or jump back, and past all that was seen."""
        self.clock_us += self.rng.choice((0, 0, 1, 1000, 1_000_000, -3_600_000_000))
        seen = [time_us(event["at"]) for event in self.view.events.values()]
        return max([self.clock_us, *[at + 1 for at in seen]])

    # -- heads

    def head(self, branch: str) -> str | None:
        """Returns the head that this copy works on."""
        return self.view.own_head(branch, self.own_moves.get((self.tract, branch)))

    def join(self, branch: str, prefer: str | None) -> dict[str, dict[str, Any]]:
        """Returns the commit, if one is made, and the event that make the heads of a branch one; raises ResetBeside."""
        return self.view.join(branch, prefer)

    def line(self, branch: str, head: str | None) -> list[str]:
        """Returns what the next move from a head replaces; a rude writer takes too much or too little."""
        found = self.lawful_line(branch, head)
        if self.rude and head is not None and self.rng.random() < 0.5:
            below = self.view.commit_ancestors(head)
            found = sorted(
                {*found, *[name for name, op in self.view.unreplaced(branch).items() if op.get("head") in below]}
            )
        if self.rude and self.rng.random() < 0.4:
            found = [name for name in found if self.rng.random() < 0.5]
        return found

    def lawful_line(self, branch: str, head: str | None) -> list[str]:
        """Returns the events of the unreplaced moves that belong to a head's line: its own, hidden ones, deletes."""
        hidden = self.view.hidden_heads(branch)
        found = []
        for name, op in self.view.unreplaced(branch).items():
            if op["kind"] == "delete" or op["head"] == head:
                found.append(name)
            elif head is not None and op["head"] in self.view.commit_ancestors(head):
                found += [name] if op["head"] in hidden else []
        return sorted(found)

    # -- writing

    def write_event(
        self, ops: list[dict[str, Any]], at_us: int, parents: set[str] | None = None, writer: str = ""
    ) -> str:
        body = {
            "tract": self.tract,
            "at": time_text(at_us),
            "writer": writer,
            "parents": sorted(self.view.event_heads() if parents is None else parents),
            "ops": ops,
        }
        return self.put_event(body)

    def put_event(self, body: dict[str, Any]) -> str:
        name = self.put("event", body)
        self.refresh()
        if name in self.view.visible:
            for op in body["ops"]:
                self.own_moves |= {(self.tract, op["branch"]): name} if "branch" in op else {}
                for entry in op.get("commits", []):
                    self.history.acknowledged.setdefault((self.tract, entry["commit"]), name)
        return name

    def move(
        self, kind: str, branch: str, head: str, commits: list[dict[str, Any]], replaces: list[str]
    ) -> dict[str, Any]:
        return {"kind": kind, "branch": branch, "head": head, "commits": commits, "replaces": sorted(replaces)}

    def entry(self, commit: str) -> dict[str, Any]:
        entry: dict[str, Any] = {"commit": commit}
        if self.rng.random() < 0.6:
            entry["config"] = self.rng.choice(
                ({}, {"model": "m-1"}, {"model": "m-2", "temperature": 1}, {"n": [1, {"k": True}]})
            )
        if self.rng.random() < 0.7:
            entry["tokens"] = {"estimate:utf8/4": self.rng.randrange(50)}
        return entry

    def new_commit(self, parents: list[str], at_us: int) -> str:
        """Writes an append, an edit, an annotation or a summary that follows `parents`."""
        rng = self.rng
        body: dict[str, Any] = {"parents": parents, "created_at": time_text(at_us), "operation": "append"}
        history = set(parents)
        for parent in parents:
            history |= self.view.commit_ancestors(parent)
        can_be_target = ("append", "summarize")
        targets = sorted(name for name in history if self.view.commits.get(name, {}).get("operation") in can_be_target)
        oldest = sorted(targets, key=lambda name: (self.view.commits[name]["created_at"], name))[:2]
        target = (
            rng.choice(oldest if rng.random() < 0.6 else targets) if targets else ""
        )  # so that copies disagree on some
        chance = rng.random()
        if targets and chance < 0.2:
            body |= {"operation": "edit", "targets": [target]}
        elif targets and chance < 0.4:
            body |= {"operation": "annotate", "targets": [target]}
            body["priority"] = rng.choice(("skip", "normal", "pinned"))
            if rng.random() < 0.3:
                body["reason"] = rng.choice(WORDS)
        elif targets and chance < 0.5:
            body |= {"operation": "summarize", "targets": rng.sample(targets, min(len(targets), rng.randint(1, 4)))}
        if body["operation"] != "annotate":
            content: dict[str, Any] = {"content_type": "instruction", "text": rng.choice(WORDS)}
            if rng.random() < 0.7:
                content = {
                    "content_type": "dialogue",
                    "role": rng.choice(("user", "assistant")),
                    "text": rng.choice(WORDS),
                }
            body |= {"content": self.put("content", content), "content_type": content["content_type"]}
        if rng.random() < 0.2:
            body["message"] = rng.choice(WORDS)
        if rng.random() < 0.1:
            body["metadata"] = {"n": rng.randrange(3)}
        return self.put("commit", body)

    def do_append(self, branch: str) -> None:
        head = self.head(branch)
        replaces = self.line(branch, head)
        at_us = self.tick()
        entries = []
        parents = [] if head is None else [head]
        for step in range(self.rng.choice((1, 1, 1, 2, 3))):
            commit = self.new_commit(parents, at_us + step)
            self.view.commits[commit] = json.loads(self.history.commits[commit])["commit"]
            entries.append(self.entry(commit))
            parents = [commit]
        self.write_event(
            [self.move("append", branch, parents[0], entries, replaces)], at_us + len(entries), writer=self.writer
        )

    def do_label(self, branch: str) -> None:
        """Writes a tag, the removal of one, a usage, or several of them."""
        known = sorted(self.view.tract_commits())
        if not known:
            return
        ops: list[dict[str, Any]] = []
        if self.rng.random() < 0.6:
            ops.append({"kind": "tag", "name": self.rng.choice(("v1", "v2"))})
            if self.rng.random() < 0.8:
                ops[0]["target"] = self.rng.choice(known)
        if not ops or self.rng.random() < 0.5:
            prompt, completion = self.rng.randrange(1000), self.rng.randrange(1000)
            usage = {"kind": "usage", "commit": self.rng.choice(known), "prompt_tokens": prompt}
            ops.append(usage | {"completion_tokens": completion, "total_tokens": prompt + completion})
        self.write_event(ops, self.tick(), writer=self.writer)

    def do_reset(self, branch: str) -> None:
        head = self.head(branch)
        if head is None:
            return
        targets = sorted(self.view.commit_ancestors(head)) or [head]
        if self.rng.random() < 0.2:
            targets = sorted(self.view.tract_commits())
        target = self.rng.choice(targets)
        op = self.move("reset", branch, target, [], self.line(branch, head))
        self.write_event([op], self.tick(), writer=self.writer)

    def do_delete(self, branch: str) -> None:
        if self.view.heads(branch):
            op = {"kind": "delete", "branch": branch, "replaces": sorted(self.view.unreplaced(branch))}
            self.write_event([op], self.tick(), writer=self.writer)

    def do_create(self, branch: str) -> None:
        known = sorted(self.view.tract_commits())
        if known and not self.view.heads("side"):
            target = self.rng.choice(known)
            replaces = list(self.view.unreplaced("side"))
            ops = [self.move("create", "side", target, [], replaces)]
            if self.rng.random() < 0.2:
                ops.append({"kind": "tag", "name": "start", "target": target})
            self.write_event(ops, self.tick(), writer=self.writer)

    def do_rename(self, branch: str) -> None:
        """Gives a branch another name: the end of one and the beginning of the other in one event."""
        heads = self.view.heads(branch)
        free = [name for name in BRANCHES if not self.view.heads(name)]
        if len(heads) == 1 and free:
            name = self.rng.choice(free)
            ops = [self.move("create", name, min(heads), [], list(self.view.unreplaced(name)))]
            ops.append({"kind": "delete", "branch": branch, "replaces": sorted(self.view.unreplaced(branch))})
            self.write_event(ops, self.tick(), writer=self.writer)
            self.history.had_rename = True

    def do_forward(self, branch: str) -> None:
        """Moves a branch on to the head of the other, where that contains it."""
        head = self.head(branch)
        goals = [goal for name in BRANCHES for goal in sorted(self.view.heads(name)) if goal != head]
        goals = [goal for goal in goals if head is None or head in self.view.commit_ancestors(goal)]
        if goals:
            goal = self.rng.choice(goals)
            op = self.move("forward", branch, goal, [], self.line(branch, head))
            self.write_event([op], self.tick(), writer=self.writer)

    def do_join(self, branch: str, prefer: str | None = None) -> None:
        """Joins the heads of a branch: the same two files, whoever writes them; now and then with a word of its own."""
        try:
            made = self.join(branch, prefer)
        except ResetBeside:
            if self.rng.random() < 0.5:
                self.do_join(branch, self.rng.choice(("reset", "commits")))
            return
        if not made:
            return
        if "commit" in made and self.rng.random() < 0.2:
            kind, replaces = made["event"]["ops"][0]["kind"], made["event"]["ops"][0]["replaces"]
            self.write_merge(branch, made["commit"]["parents"], replaces, set(), kind=kind)
            return
        if "commit" in made:
            self.put("commit", made["commit"])
        known = set(self.history.events)
        if self.put_event(made["event"]) in known:
            self.history.had_twin_merge = True

    def do_merge(self, branch: str) -> None:
        """Brings another branch in, or the other tract."""
        head = self.head(branch)
        views = [self.view.of_tract(tract) for tract in TRACTS]
        others = sorted({(view.tract, name) for view in views for name in view.branches()} - {(self.tract, branch)})
        if head is None or not others:
            self.do_create(branch)
            return
        here, (tract, name) = self.tract, self.rng.choice(others)
        if self.rng.random() < 0.5:  # that one goes on first
            self.look_at(tract)
            self.do_append(name)
            self.look_at(here)
        view = self.view.of_tract(tract)
        other = self.rng.choice(sorted(view.heads(name)))
        if other == head or other in self.view.commit_ancestors(head):
            return
        is_known = other in self.view.tract_commits()
        strangers = set() if is_known else {f"{tract}/{parent}" for parent in view.event_heads()}
        self.history.had_branch_merge |= tract == self.tract
        self.history.had_merge_back |= tract != self.tract
        if head in self.view.commit_ancestors(other):
            op = self.move("forward", branch, other, [], self.line(branch, head))
            self.write_event([op], self.tick(), self.view.event_heads() | strangers, self.writer)
        else:
            self.write_merge(branch, [head, other], self.line(branch, head), strangers)

    def write_merge(
        self, branch: str, parents: list[str], replaces: list[str], strangers: set[str], *, kind: str = "merge"
    ) -> None:
        """Writes a merge commit of its own time, sometimes with what settles a conflict behind it."""
        at_us = self.tick()
        commit = self.put("commit", {"operation": "merge", "parents": parents, "created_at": time_text(at_us)})
        entries = [{"commit": commit}]
        while self.rng.random() < 0.3:
            self.view.commits[commit] = json.loads(self.history.commits[commit])["commit"]
            at_us += 1
            commit = self.new_commit([commit], at_us)
            entries.append(self.entry(commit))
        op = self.move(kind, branch, commit, entries, replaces)
        self.write_event([op], at_us, self.view.event_heads() | strangers, self.writer)

    def do_fork(self, branch: str) -> None:
        """Begins the other tract at the head of this one."""
        head = self.head(branch)
        other = self.view.of_tract(next(tract for tract in TRACTS if tract != self.tract))
        if head is None or other.visible:
            return
        at_us, here = self.tick(), self.tract
        parents = {f"{here}/{name}" for name in self.view.event_heads()}
        self.look_at(other.tract)
        self.write_event([self.move("create", "main", head, [], [])], at_us, parents, self.writer)
        self.look_at(here)

    def do_redact(self, branch: str) -> None:
        contents = sorted(name for name in self.files if name in self.history.contents)
        if contents:
            target = self.rng.choice(contents)
            op = {"kind": "redact", "object": target}
            if self.rng.random() < 0.5:
                op["reason"] = "a key"
            self.write_event([op], self.tick(), writer=self.writer)
            self.files.discard(target)
            self.history.redacted.add(target)
            self.refresh()

    def do_break(self, branch: str) -> None:
        """Writes an event that a rule of the format forbids, or that this version can't know."""
        heads = self.view.event_heads()
        if not heads:
            return
        rng = self.rng
        newest = max(time_us(self.view.events[name]["at"]) for name in heads)
        at_us = self.tick()
        commit = self.new_commit([], at_us)
        op = self.move("append", branch, commit, [{"commit": commit}], [])
        fault = rng.randrange(8)
        if fault == 0:
            old = self.put("commit", {"operation": "merge", "parents": [], "created_at": time_text(START_US - 9)})
            op = self.move("append", branch, old, [{"commit": old}], [])
            at_us = newest  # not past its parent
        elif fault == 1:
            at_us = at_us + 1
            late = self.put("commit", {"operation": "merge", "parents": [], "created_at": time_text(at_us + 1)})
            op = self.move("append", branch, late, [{"commit": late}], [])
        elif fault == 2:
            strangers = sorted(set(self.history.events) - self.files)
            op["replaces"] = [rng.choice(strangers)] if strangers else ["0" * 64]
        elif fault == 3:
            op["replaces"] = sorted(heads)[:1]  # no ancestor of the new head, or no move of the branch
        elif fault == 4:
            op = {"kind": "rebase", "branch": branch}
        elif fault == 5:
            op["colour"] = "red"
        elif fault == 6:  # a commit that is as old as its parent
            young = self.put("commit", {"operation": "merge", "parents": [commit], "created_at": time_text(at_us)})
            op = self.move("append", branch, young, [{"commit": commit}, {"commit": young}], [])
        else:
            op["head"] = "f" * 64
        self.history.broken.add(self.write_event([op], at_us, writer=self.writer))


STEPS = {
    Copy.do_append: 50,
    Copy.do_label: 8,
    Copy.do_reset: 8,
    Copy.do_delete: 4,
    Copy.do_create: 14,
    Copy.do_rename: 2,
    Copy.do_fork: 5,
    Copy.do_forward: 8,
    Copy.do_join: 10,
    Copy.do_merge: 16,
    Copy.do_redact: 2,
    Copy.do_break: 3,
}


def sync(one: Copy, other: Copy, rng: random.Random) -> None:
    """Brings files of `one` to `other`: mostly all, else any of them, in no order."""
    names = sorted(one.files)
    if rng.random() < 0.2:
        names = [name for name in names if rng.random() < 0.7]
    redacted = {name for name in names if name in other.history.redacted and rng.random() < 0.5}
    other.files |= set(names) - redacted
    other.refresh()


def play(rng: random.Random, steps: int | None = None, copy_type: type[Copy] = Copy) -> tuple[History, list[Copy]]:
    """Returns a random history of `steps` steps (by default 6 to 30) and its three or four copies as they ended."""
    history = History()
    rude = rng.random() < 0.3
    copies = [copy_type(history, rng, number, rude) for number in range(rng.choice((3, 3, 4)))]
    for _ in range(rng.randint(6, 30) if steps is None else steps):
        copy = rng.choice(copies)
        chance = rng.random()
        if chance < 0.3:
            others = [other for other in copies if other is not copy]
            sync(copy, rng.choice(others), rng)
        elif chance < 0.36:  # a meeting: two copies exchange all, and both join at once
            other = rng.choice([other for other in copies if other is not copy])
            both = copy.files | other.files
            for one in (copy, other):
                one.files = set(both)
                one.refresh()
            for one in (copy, other):
                one.do_join("main")
        else:
            is_elsewhere = rng.random() < 0.3 and bool(copy.view.of_tract("sub").visible)
            copy.look_at("sub" if is_elsewhere else "default")
            there = [name for name in BRANCHES if name != "main" and copy.view.heads(name)]
            branch = "main" if rng.random() < 0.6 or not there else rng.choice(there)
            rng.choices(list(STEPS), list(STEPS.values()))[0](copy, branch)
            copy.look_at("default")
    return history, copies


def make_history(rng: random.Random, steps: int | None = None) -> History:
    """Returns a random history."""
    history, copies = play(rng, steps)
    history.copies = [set(copy.files) for copy in copies]
    history.own_moves = [dict(copy.own_moves) for copy in copies]
    if any(len(heads) > 1 for heads in history.view().branches().values()):
        history.had_two_heads = True
    return history


@st.composite
def histories(draw: st.DrawFn) -> History:
    return make_history(random.Random(draw(st.integers(0, 2**32 - 1))), draw(st.integers(1, 24)))
