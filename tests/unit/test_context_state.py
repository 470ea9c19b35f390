"""States of the compiler along many lines that fork anywhere: each equals a replay from nothing, and the reference."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.lab.reference import ReferenceTract
from tests.lab.strategies_events import START_US, encode, hash_of, time_text
from tract_fs.errors import OrphanedToolCall
from tract_fs.model.compiler import CompileOptions, ContextState, Loaded, NotHeldError
from tract_fs.model.content import ContentTypes
from tract_fs.model.messages import render
from tract_fs.model.names import CommitHash
from tract_fs.model.objects import decode_commit
from tract_fs.model.snapshot import CompileSnapshot
from tract_fs.model.tokens import EstimateCounter

TYPES, COUNTER = ContentTypes(), EstimateCounter()
TREES = 150


def turn(text: str) -> dict[str, Any]:
    return {"content_type": "dialogue", "role": "user", "text": text}


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

    def put(
        self,
        operation: str,
        parents: list[str],
        *,
        content: dict[str, Any] | None = None,
        config: dict[str, Any] | None = None,
        **fields: Any,
    ) -> str:
        """Makes a commit; its linear order is the first parent's, then what those of the others have beside it."""
        body = {"operation": operation, "parents": parents, "created_at": time_text(START_US + len(self.commits))}
        body |= fields
        rendering = None
        if content is not None:
            data = encode("content", content)
            self.bodies[hash_of(data)] = content
            body |= {"content": hash_of(data), "content_type": content["content_type"]}
            typed = TYPES.decode(data, content["content_type"])
            rendering = render(typed, content["content_type"], TYPES, COUNTER)
        name = hash_of(encode("commit", body))
        if config is not None:
            self.configs[name] = config
        commit = decode_commit(encode("commit", body))
        self.loaded[name] = Loaded(commit, rendering, None if config is None else json.dumps(config))
        self.commits[name] = body
        first = parents[0] if parents else None
        line = list(self.lines[first])
        for parent in parents[1:]:
            line += [other for other in self.lines[parent] if other not in line]
        state = self.states[first]
        for other in (*line[len(self.lines[first]) :], name):
            state = state.apply(CommitHash(other), self.loaded[other])
        self.lines[name] = [*line, name]
        self.states[name] = state
        return name

    def grow(self) -> str:
        """Makes one commit, mostly on the newest line, and returns it."""
        rng = self.rng
        if len(self.commits) > 1 and rng.random() < 0.05:
            return self.put("merge", rng.sample(list(self.commits), 2))
        parent = list(self.states)[-1] if rng.random() < 0.75 else rng.choice(list(self.states))
        line = self.lines[parent]
        parents = [] if parent is None else [parent]
        appends = [name for name in line if self.commits[name]["operation"] in ("append", "summarize")]
        edits = [name for name in line if self.commits[name]["operation"] == "edit"]
        chances = ("append", "append", "append", "append", "edit", "annotate", "annotate", "summarize")
        operation = rng.choice(chances) if appends else "append"
        if operation == "annotate":
            priority = rng.choice(("skip", "skip", "normal", "pinned"))
            return self.put(operation, parents, targets=[self.choose_target(appends + edits)], priority=priority)
        fields: dict[str, Any] = {}
        if operation == "edit":
            fields["targets"] = [self.choose_target(appends)]
        if operation == "summarize":
            fields["targets"] = self.choose_targets(line, appends)
        config = rng.choice((None, {}, {"n": len(self.commits)}))
        return self.put(operation, parents, content=random_content(rng), config=config, **fields)

    def choose_target(self, names: list[str]) -> str:
        """Returns one of the commits, a summary as often as not."""
        summaries = [name for name in names if self.commits[name]["operation"] == "summarize"]
        return self.rng.choice(summaries if summaries and self.rng.random() < 0.5 else names)

    def choose_targets(self, line: list[str], appends: list[str]) -> list[str]:
        """Returns a stretch of the line's appends and summaries with gaps; now and then in no order, or with what is nothing to stand for."""
        rng = self.rng
        start = rng.randrange(len(appends))
        targets = [name for name in appends[start : start + rng.randint(1, 6)] if rng.random() < 0.8]
        targets = targets or [appends[start]]
        if rng.random() < 0.3:
            targets.append(self.choose_target(appends))
        if rng.random() < 0.1:
            targets.append(rng.choice(line))
        if rng.random() < 0.1:
            targets.append(rng.choice(list(self.commits)))
        if rng.random() < 0.2:
            rng.shuffle(targets)
        return targets

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
    dropped = stood = nested = moved = 0
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
            standing, hidden = reference.standing_summaries(tree.lines[head])
            stood += bool(standing)
            nested += any(tree.commits[name]["operation"] == "summarize" for name in hidden)
            moved += wanted.commit_hashes != [name for name in tree.lines[head] if name in wanted.commit_hashes]
            found = facts_of(tree.states[head].snapshot())
            assert found["commits"] == wanted.commit_hashes, f"seed {seed}"
            assert (found["messages"], found["configs"]) == (wanted.messages, wanted.generation_configs), f"seed {seed}"
            assert found["tokens"] == wanted.token_count, f"seed {seed}"
    assert min(dropped, stood, nested) >= TREES
    assert moved >= 100


def test_many_commits_at_once_give_the_state_that_one_by_one_gives_and_touch_no_earlier_one() -> None:
    runs = 0
    for seed in range(TREES):
        rng = random.Random(seed)
        tree = Tree(rng)
        for _ in range(25):
            tree.grow()
        kept = {head: facts_of(tree.replayed(head).snapshot()) for head in tree.commits}
        for head in tree.commits:
            line = tree.lines[head]
            start = rng.randrange(len(line))
            base = tree.replayed(line[start - 1]) if start else ContextState(COUNTER, TYPES)
            if start and tree.lines[line[start - 1]] != line[:start]:
                continue  # a merge between: its line is not the one before it
            if rng.random() < 0.5:
                base = tree.states[line[start - 1] if start else None]  # one that others went on from
            before = facts_of(base.snapshot()) if rng.random() < 0.5 else None
            state = base.apply_all((CommitHash(name), tree.loaded[name]) for name in line[start:])
            again = base.apply_all((CommitHash(name), tree.loaded[name]) for name in line[start:])
            further = state.apply_all((CommitHash(name), tree.loaded[name]) for name in ())
            assert further is state
            for found in (state, again):
                assert found.head == head
                assert facts_of(found.snapshot()) == kept[head], f"seed {seed}"
            assert before is None or facts_of(base.snapshot()) == before
            runs += len(line) - start > 3
        for head in tree.commits:
            assert facts_of(tree.states[head].snapshot()) == kept[head], f"seed {seed}"
    assert runs > 1000


def test_many_commits_at_once_leave_the_line_alone_that_went_on_from_the_same_state() -> None:
    tree = Tree(random.Random(0))
    first = tree.put("append", [], content=turn("first"))
    other = tree.put("append", [first], content=turn("other"))
    nothing = tree.put("annotate", [first], targets=["0" * 64], priority="skip")  # of no commit of the line
    last = tree.put("append", [nothing], content=turn("last"))
    slots = tree.states[first].slots()
    for base in (tree.states[first], ContextState.from_slots(CommitHash(first), slots, COUNTER, TYPES)):
        gone_on = base.apply(CommitHash(other), tree.loaded[other])
        state = base.apply_all((CommitHash(name), tree.loaded[name]) for name in (nothing, last))
        assert facts_of(state.snapshot())["commits"] == [first, last]
        assert facts_of(gone_on.snapshot())["commits"] == [first, other]


def test_a_state_from_its_stored_slots_goes_on_as_the_one_that_was_stored() -> None:
    for seed in range(TREES // 3):
        tree = Tree(random.Random(seed))
        for _ in range(25):
            tree.grow()
        for name in list(tree.commits):
            parent = tree.commits[name]["parents"]
            if len(parent) == 1:
                base = tree.states[parent[0]]
                stored = ContextState.from_slots(
                    CommitHash(parent[0]), base.slots(), COUNTER, TYPES, summaries=base.summaries
                )
                state = stored.apply(CommitHash(name), tree.loaded[name])
                assert facts_of(stored.snapshot()) == facts_of(base.snapshot()), f"seed {seed}"
                assert facts_of(state.snapshot()) == facts_of(tree.states[name].snapshot()), f"seed {seed}"
                assert state.snapshot().warnings == tree.states[name].snapshot().warnings, f"seed {seed}"


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
            if len(tree.commits[head]["parents"]) > 1:
                continue  # a merge brings more than itself
            parent = tree.commits[head]["parents"][0] if tree.commits[head]["parents"] else None
            foretold = dict(parents)[parent].tokens_after(tree.loaded[head])
            assert foretold == tree.replayed(head).snapshot().token_count, f"seed {seed}"


def test_a_target_that_comes_after_the_summary_in_the_linear_order_counts_for_nothing() -> None:
    tree = Tree(random.Random(0))

    root = tree.put("append", [], content=turn("root"))
    other = tree.put("append", [root], content=turn("other"))
    summary = tree.put("summarize", [root], content=turn("s"), targets=[other])
    assert list(tree.states[summary].snapshot().commit_hashes) == [root, summary]
    merge = tree.put("merge", [summary, other])
    for state in (tree.states[merge], tree.replayed(merge)):
        assert list(state.snapshot().commit_hashes) == [root, summary, other]
    assert tree.reference().compile(merge).commit_hashes == [root, summary, other]
    swapped = tree.put("merge", [other, summary])
    assert list(tree.states[swapped].snapshot().commit_hashes) == [root, summary]
    assert tree.reference().compile(swapped).commit_hashes == [root, summary]


def all_answers(state: ContextState) -> list[object]:
    """Returns what a state answers by every option, and its warnings."""
    found: list[object] = [facts_of(state.snapshot()), state.snapshot().warnings]
    for options in (
        CompileOptions(include_edit_annotations=True),
        CompileOptions(aggregate_same_role=True),
        CompileOptions(orphans="keep"),
        CompileOptions(orphans="raise"),
    ):
        try:
            snapshot = state.compile(options)
        except OrphanedToolCall as error:
            found.append(sorted(error.commits))
        else:
            found += [facts_of(snapshot), snapshot.warnings]
    return found


def test_a_condensed_state_answers_as_the_whole_one_or_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ContextState, "CONDENSED_LEAST", 1)
    condensed = extended = refused = foretold = 0
    for seed in range(2 * TREES):
        rng = random.Random(seed)
        tree = Tree(rng)
        small: dict[str | None, ContextState] = {None: ContextState(COUNTER, TYPES)}
        for _ in range(rng.randint(10, 40)):
            head = tree.grow()
            first = tree.commits[head]["parents"][0] if tree.commits[head]["parents"] else None
            before = small[first]
            state = before
            for other in tree.lines[head][len(tree.lines[first]) :]:
                try:
                    tokens = state.tokens_after(tree.loaded[other])
                    state = state.apply(CommitHash(other), tree.loaded[other])
                except NotHeldError:
                    assert before.is_condensed
                    refused += 1
                    state = tree.replayed(head)
                    break
                assert tokens == state.snapshot().token_count, f"seed {seed}"
                foretold += state.is_condensed
            extended += state.is_condensed
            assert all_answers(state) == all_answers(tree.replayed(head)), f"seed {seed}"
            if rng.random() < 0.4:
                less = state.condensed()
                condensed += less is not state
                state = less
                assert all_answers(state) == all_answers(tree.replayed(head)), f"seed {seed}"
                state = ContextState.from_slots(
                    CommitHash(head), state.slots(), COUNTER, TYPES,
                    summaries=state.summaries, is_condensed=state.is_condensed,
                )  # fmt: skip
            small[head] = state
    print(f"{condensed} states condensed, {extended} operations on one, {refused} refused, {foretold} foretold")
    assert min(condensed, extended, refused) >= TREES


def test_a_summary_of_an_append_that_was_redacted_shows_where_the_append_was() -> None:
    tree = Tree(random.Random(0))

    gone = tree.put("append", [], content=turn("gone"))
    stays = tree.put("append", [gone], content=turn("stays"))
    summary = tree.put("summarize", [stays], content=turn("s"), targets=[gone])
    last = tree.put("annotate", [summary], targets=[gone], priority="pinned")
    tree.loaded[gone] = Loaded(tree.loaded[gone].commit, None, None)
    del tree.bodies[tree.commits[gone]["content"]]
    assert list(tree.replayed(last).snapshot().commit_hashes) == [summary, stays]
    assert tree.reference().compile(last).commit_hashes == [summary, stays]
    assert list(tree.replayed(stays).snapshot().commit_hashes) == [stays]
