"""States of the compiler along many lines that fork anywhere: each equals a replay from nothing, and the reference."""

from __future__ import annotations

import json
import random
from typing import Any

from tests.reference import ReferenceTract
from tests.strategies_events import START_US, encode, hash_of, time_text
from tract_fs.errors import OrphanedToolCall
from tract_fs.model.compiler import CompileOptions, ContextState, Loaded
from tract_fs.model.content import ContentTypes
from tract_fs.model.messages import render
from tract_fs.model.objects import decode_commit
from tract_fs.model.snapshot import CompileSnapshot
from tract_fs.model.tokens import EstimateCounter

TYPES, COUNTER = ContentTypes(), EstimateCounter()
TREES = 150


def random_content(rng: random.Random) -> dict[str, Any]:
    """Returns a content; two thirds of them call or answer one of two tool call ids."""
    call_id, text = rng.choice(("x", "y")), rng.choice(("", "one", "two words", "日本"))
    kind = rng.randrange(7)
    if kind == 0:
        return {"content_type": "instruction", "text": text}
    if kind == 1:
        return {"content_type": "dialogue", "role": rng.choice(("user", "assistant")), "text": text}
    if kind == 2:
        direction = rng.choice(("call", "result"))
        return {"content_type": "tool_io", "tool_name": "t", "direction": direction, "payload": {}, "call_id": call_id}
    if kind == 3:
        both = [{"type": "tool_use", "id": "x"}, {"type": "tool_use", "id": "y"}]
        return {"content_type": "message", "message": {"role": "assistant", "content": both}}
    if kind in (4, 5):
        return {"content_type": "message", "message": {"role": "tool", "tool_call_id": call_id, "content": text}}
    return {
        "content_type": "message",
        "message": {"role": "assistant", "content": text, "tool_calls": [{"id": call_id}]},
    }


class Tree:
    """Commits on lines that fork, each with the state that was made from its parent's."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.states: dict[str | None, ContextState] = {None: ContextState(COUNTER, TYPES)}
        self.lines: dict[str | None, list[str]] = {None: []}
        self.loaded: dict[str, Loaded] = {}
        self.commits: dict[str, dict[str, Any]] = {}
        self.bodies: dict[str, dict[str, Any]] = {}
        self.configs: dict[str, dict[str, Any]] = {}

    def grow(self) -> str:
        """Makes one commit, mostly on the newest line, and returns it."""
        rng = self.rng
        parent = list(self.states)[-1] if rng.random() < 0.75 else rng.choice(list(self.states))
        line = self.lines[parent]
        appends = [name for name in line if self.commits[name]["operation"] == "append"]
        edits = [name for name in line if self.commits[name]["operation"] == "edit"]
        operation = rng.choice(("append", "append", "append", "edit", "annotate")) if appends else "append"
        body: dict[str, Any] = {"operation": operation, "parents": [parent] if parent else []}
        body["created_at"] = time_text(START_US + len(self.commits))
        content = random_content(rng)
        if operation == "annotate":
            body |= {
                "targets": [rng.choice(appends + edits)],
                "priority": rng.choice(("skip", "skip", "normal", "pinned")),
            }
        else:
            data = encode("content", content)
            self.bodies[hash_of(data)] = content
            body |= {"content": hash_of(data), "content_type": content["content_type"]}
        if operation == "edit":
            body["targets"] = [rng.choice(appends)]
        name = hash_of(encode("commit", body))
        rendering = None
        if operation != "annotate":
            typed = TYPES.decode(encode("content", content), content["content_type"])
            rendering = render(typed, content["content_type"], TYPES, COUNTER)
        config = rng.choice((None, {}, {"n": len(self.commits)})) if operation != "annotate" else None
        if config is not None:
            self.configs[name] = config
        commit = decode_commit(encode("commit", body))
        self.loaded[name] = Loaded(commit, rendering, None if config is None else json.dumps(config))
        self.commits[name] = body
        self.lines[name] = [*line, name]
        self.states[name] = self.states[parent].apply(name, self.loaded[name])  # type: ignore[arg-type]
        return name

    def replayed(self, head: str) -> ContextState:
        state = ContextState(COUNTER, TYPES)
        for name in self.lines[head]:
            state = state.apply(name, self.loaded[name])  # type: ignore[arg-type]
        return state

    def reference(self) -> ReferenceTract:
        entries = [{"commit": name, "config": config} for name, config in self.configs.items()]
        last = list(self.commits)[-1]
        move = {"kind": "append", "branch": "main", "head": last, "commits": entries, "replaces": []}
        event = {"tract": "default", "at": time_text(START_US + 10**9), "writer": "", "parents": [], "ops": [move]}
        return ReferenceTract({hash_of(encode("event", event)): event}, self.commits, self.bodies)


def facts_of(snapshot: CompileSnapshot) -> dict[str, Any]:
    return {
        "messages": [message.to_dict() for message in snapshot.messages],
        "configs": list(snapshot.generation_configs),
        "commits": list(snapshot.commit_hashes),
        "tokens": snapshot.token_count,
    }


def test_a_state_on_any_line_equals_a_replay_from_nothing_and_the_reference() -> None:
    dropped = 0
    for seed in range(TREES):
        rng = random.Random(seed)
        tree = Tree(rng)
        for _ in range(rng.randint(3, 30)):
            head = tree.grow()
            if rng.random() < 0.7:  # else its snapshot is made later, or never
                state = tree.states[head]
                assert facts_of(state.snapshot()) == facts_of(tree.replayed(head).snapshot()), f"seed {seed}"
                assert state.snapshot().warnings == tree.replayed(head).snapshot().warnings, f"seed {seed}"
        reference = tree.reference()
        for head in tree.commits:
            wanted = reference.compile(head)
            dropped += bool(wanted.dropped)
            found = facts_of(tree.states[head].snapshot())
            assert found["commits"] == wanted.commit_hashes, f"seed {seed}"
            assert (found["messages"], found["configs"]) == (wanted.messages, wanted.generation_configs), f"seed {seed}"
            assert found["tokens"] == wanted.token_count, f"seed {seed}"
    assert dropped >= TREES


def test_every_option_on_any_line_gives_what_the_reference_gives() -> None:
    raised = 0
    for seed in range(TREES // 3):
        tree = Tree(random.Random(seed))
        for _ in range(15):
            tree.grow()
        reference = tree.reference()
        for head in tree.commits:
            for options in (
                CompileOptions(include_edit_annotations=True),
                CompileOptions(aggregate_same_role=True),
                CompileOptions(include_edit_annotations=True, aggregate_same_role=True, orphans="keep"),
            ):
                wanted = reference.compile(
                    head,
                    include_edit_annotations=options.include_edit_annotations,
                    aggregate_same_role=options.aggregate_same_role,
                    orphans=options.orphans,
                )
                found = tree.states[head].compile(options)
                told = [(message.role, message.content, message.name) for message in found.messages]
                assert told == [(m["role"], m["content"], m.get("name")) for m in wanted.messages], f"seed {seed}"
                assert [list(m.commit_hashes) for m in found.messages] == wanted.message_commits
                assert (list(found.commit_hashes), found.token_count) == (wanted.commit_hashes, wanted.token_count)
            try:
                tree.states[head].compile(CompileOptions(orphans="raise"))
            except OrphanedToolCall as error:
                raised += 1
                assert set(error.commits) == reference.compile(head).dropped, f"seed {seed}"
            else:
                assert not reference.compile(head).dropped, f"seed {seed}"
    assert raised >= 20


def test_the_tokens_foretold_are_those_of_the_state_that_follows() -> None:
    for seed in range(TREES):
        rng = random.Random(seed)
        tree = Tree(rng)
        for _ in range(15):
            parents = list(tree.states.items())
            head = tree.grow()
            parent = tree.commits[head]["parents"][0] if tree.commits[head]["parents"] else None
            foretold = dict(parents)[parent].tokens_after(tree.loaded[head])
            assert foretold == tree.replayed(head).snapshot().token_count, f"seed {seed}"
