"""Any interleaving of calls, over two handles of one store and a second copy of it, against the reference model.

After each step everything a user can read is compared with what the reference reads from the same files. At the end
`local/` is deleted, and a store opened anew must give the same answers.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.lab import strategies as given_by_user
from tests.lab.reference import OrphanedCall, ReferenceStore, ReferenceTract, ResetBeside, hash_of, utc_text
from tests.lab.stores import AT_ONCE
from tests.lab.talk import START_US, Clock
from tract_fs import CommitInfo, CompiledContext, ReflogEntry, Tract
from tract_fs.errors import (
    AnnotateTargetError,
    BranchDiverged,
    BranchExists,
    BranchInUse,
    BranchNotFound,
    CommitNotFoundError,
    EditTargetError,
    HeadMoved,
    MergeConflict,
    OrphanedToolCall,
    ResetConflict,
    SummarizeError,
    TagExists,
    TagNotFound,
    UndoError,
    UsageError,
)

TEXT_FILES = {"FORMAT", ".gitattributes", ".gitignore"}
OPTIONS = [
    {"include_edit_annotations": annotated, "aggregate_same_role": joined, "orphans": orphans}
    for annotated, joined, orphans in itertools.product((False, True), (False, True), ("drop", "keep", "raise"))
]
BRANCHES = ("main", "side", "x/y")
TAGS = ("v1", "v2")
EXAMPLES = int(os.environ.get("TRACT_STATEFUL_EXAMPLES", "40"))


class Interrupt(Exception):
    """What a batch is broken off with, beside KeyboardInterrupt."""


def files_of(path: str) -> dict[str, str]:
    """Returns the files of a store outside `local/`: relative name to full path."""
    root = os.path.join(path, ".tract")
    found = {}
    for folder, folders, names in os.walk(root):
        if folder == root and "local" in folders:
            folders.remove("local")
        for name in names:
            full = os.path.join(folder, name)
            found[os.path.relpath(full, root)] = full
    return found


def copy_files(source: str, target: str) -> None:
    """Brings what the other copy lacks, as rsync --ignore-existing would."""
    have = files_of(target)
    for name, full in files_of(source).items():
        if name not in have:
            goal = os.path.join(target, ".tract", name)
            os.makedirs(os.path.dirname(goal), exist_ok=True)
            shutil.copy2(full, goal)


def exact(value: Any) -> Any:
    """Returns a JSON value in a form in which 1, 1.0, true and -0.0 all differ."""
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [exact(item) for item in value]
    return (type(value).__name__, repr(value))


def facts_of_commit(info: CommitInfo) -> dict[str, Any]:
    return {
        "commit_hash": info.commit_hash,
        "tract_id": info.tract_id,
        "parents": list(info.parents),
        "content_hash": info.content_hash,
        "content_type": None if info.content_type is None else str(info.content_type),
        "operation": info.operation.value,
        "targets": list(info.targets),
        "message": info.message,
        "metadata": exact(info.metadata),
        "generation_config": exact(info.generation_config),
        "token_count": info.token_count,
        "created_at": utc_text(info.created_at),
    }


def expected_commit(reference: ReferenceTract, name: str) -> dict[str, Any]:
    facts = reference.commit(name)
    return {**facts, "metadata": exact(facts["metadata"]), "generation_config": exact(facts["generation_config"])}


def spoil(compiled: CompiledContext) -> None:
    """Changes all that can be changed in an answer; no later answer may notice."""
    for message in compiled.messages:
        for part in (message.to_dict(), message.content, message.tool_calls):
            if isinstance(part, dict | list):
                part.clear()
    for one in compiled.generation_configs:
        for value in one.values():
            if isinstance(value, dict | list):
                value.clear()
        one["spoilt"] = True
    for answer in (compiled.messages, compiled.generation_configs, compiled.commit_hashes):
        answer.clear()


def says_nothing(content: Any) -> bool:
    """Returns whether a content that a user hands in makes a message with nothing in it."""
    fields = msgspec.to_builtins(content)
    message = fields.get("message", {})
    text = message.get("content") if message else fields.get("text", fields.get("content", "a payload"))
    has_more = any(message.get(key) not in (None, "", [], {}) for key in ("tool_calls", "tool_call_id", "x_extra"))
    return not has_more and (text is None or (isinstance(text, str) and not text.strip()))


def in_effect(moves: list[ReflogEntry]) -> list[ReflogEntry]:
    """Returns a reflog without its newest moves that are undos, or that these took back."""
    while moves and moves[0].kind == "undo":
        moves = in_effect(moves[1:])[1:]
    return moves


class StoreMachine(RuleBasedStateMachine):
    """Two handles on one store, both on one branch, and a second copy that diverges and comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp(prefix="tract-stateful-")
        self.path = os.path.join(self.folder, "context")
        self.other_path = os.path.join(self.folder, "copy")
        self.clock = Clock(START_US, step_us=0)
        self.handles: list[Tract] = []
        self.line = "main"  # the branch that the handles work on
        self.own_events: dict[str, str] = {}  # branch: the last event of this copy that moved it
        self.reference = ReferenceTract({}, {}, {})
        self.step = 0
        self.has_pack = False

    # -- set-up and tear-down

    @initialize(durability=st.sampled_from(("fast", "durable")))
    def open_two_handles(self, durability: str) -> None:
        self.durability = durability
        self.handles = [self.open(self.path), self.open(self.path)]

    def open(self, path: str) -> Tract:
        branch = self.line if path == self.path else "main"
        return Tract.open(path, branch=branch, clock=self.clock, durability=self.durability)

    def teardown(self) -> None:
        try:
            if self.handles:
                self.check_without_local()
        finally:
            for handle in self.handles:
                with suppress(Exception):
                    handle.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    # -- what the reference says

    def look(self) -> None:
        self.reference = ReferenceStore(self.path).tract("default")

    @property
    def head(self) -> str | None:
        return self.own_head(self.line)

    def own_head(self, branch: str) -> str | None:
        return self.reference.own_head(branch, self.own_events.get(branch))

    def history(self, *operations: str) -> list[str]:
        return [
            name for name in self.reference.linear(self.head) if self.reference.commits[name]["operation"] in operations
        ]

    def note_own(self) -> None:
        """Remembers the moves that this copy wrote last: those that set the heads that the handles work on."""
        before = self.reference.visible
        self.look()
        fresh = [
            name
            for name in self.reference.visible - before
            if any("branch" in op for op in self.reference.events[name]["ops"])
        ]
        assert len(fresh) <= 1, "one transaction, one event"
        for name in fresh:
            branches = [op["branch"] for op in self.reference.events[name]["ops"] if "branch" in op]
            self.own_events |= dict.fromkeys(branches, name)

    # -- steps

    @rule(
        which=st.integers(0, 1),
        content=given_by_user.contents,
        generation_config=given_by_user.generation_configs,
        metadata=given_by_user.metadata,
        message=st.none() | given_by_user.texts,
    )
    def commit(self, which: int, content: Any, generation_config: Any, metadata: Any, message: str | None) -> None:
        before = self.head
        info = self.handles[which].commit(
            content, generation_config=generation_config, metadata=metadata, message=message, expected_head=before
        )
        self.note_own()
        assert info.parent_hash == before
        assert self.head == info.commit_hash
        assert exact(self.reference.config(info.commit_hash)) == exact(generation_config)
        assert facts_of_commit(info) == expected_commit(self.reference, info.commit_hash)

    @rule(which=st.integers(0, 1), content=given_by_user.tool_contents)
    def commit_a_tool_call_or_result(self, which: int, content: Any) -> None:
        self.commit(which, content, None, None, None)

    @precondition(lambda self: self.history("append", "summarize"))
    @rule(which=st.integers(0, 1), data=st.data(), generation_config=given_by_user.generation_configs)
    def edit(self, which: int, data: st.DataObject, generation_config: Any) -> None:
        named = data.draw(st.sampled_from(self.history("append", "summarize", "edit")))
        about = self.reference.commits[named]
        target = about["targets"][0] if about["operation"] == "edit" else named
        content = data.draw(given_by_user.edits_of(self.reference.content(target) or {}))
        info = self.handles[which].edit(named, content, generation_config=generation_config)
        self.note_own()
        assert self.head == info.commit_hash
        assert info.targets == (target,)
        assert facts_of_commit(info) == expected_commit(self.reference, info.commit_hash)

    @precondition(lambda self: self.history("append", "summarize", "edit"))
    @rule(
        which=st.integers(0, 1),
        data=st.data(),
        priority=st.sampled_from(("skip", "skip", "normal", "pinned")),
        reason=st.none() | given_by_user.texts,
    )
    def annotate(self, which: int, data: st.DataObject, priority: str, reason: str | None) -> None:
        target = data.draw(st.sampled_from(self.history("append", "summarize", "edit")))
        note = self.handles[which].annotate(target, priority, reason=reason)
        self.note_own()
        assert self.head == note.commit_hash
        assert (note.target_hash, note.priority, note.reason) == (target, priority, reason)

    @precondition(lambda self: self.history("append"))
    @rule(
        which=st.integers(0, 1),
        data=st.data(),
        content=given_by_user.contents,
        is_stretch=st.booleans(),
        keep_pinned=st.booleans(),
        generation_config=given_by_user.generation_configs,
    )
    def summarize(
        self, which: int, data: st.DataObject, content: Any, is_stretch: bool, keep_pinned: bool, generation_config: Any
    ) -> None:
        handle, line = self.handles[which], self.reference.linear(self.head)
        hidden = self.reference.standing_summaries(line)[1]
        shown = self.reference.compile(self.head).commit_hashes
        arguments: dict[str, Any] = {"content": content, "generation_config": generation_config}
        if is_stretch and shown:
            first = data.draw(st.integers(0, len(shown) - 1))
            chosen = shown[first : first + data.draw(st.integers(1, 4))]
            arguments |= {"first": chosen[0], "last": chosen[-1]}
        else:
            names = st.sampled_from(self.history("append", "summarize"))
            chosen = data.draw(st.lists(names, min_size=1, max_size=4))
            arguments |= {"commits": chosen}
        levels = {name: self.reference.priority(name, line) or self.reference.default_priority(name) for name in chosen}
        targets = [name for name in line if name in chosen and not (keep_pinned and levels[name] == "pinned")]
        is_reverted = any(levels[name] == "skip" and name in self.history("summarize") for name in chosen)
        if hidden & set(chosen) or is_reverted or not targets or says_nothing(content):
            before = files_of(self.path)
            with pytest.raises(SummarizeError):
                handle.summarize(keep_pinned=keep_pinned, **arguments)
            assert files_of(self.path) == before
            return
        info = handle.summarize(keep_pinned=keep_pinned, **arguments)
        self.note_own()
        assert self.head == info.commit_hash
        assert facts_of_commit(info) == expected_commit(self.reference, info.commit_hash)
        assert list(info.targets) == targets
        assert [found.commit_hash for found in self.handles[1 - which].expand(info.commit_hash)] == targets

    @precondition(lambda self: self.history("annotate"))
    @rule(which=st.integers(0, 1), data=st.data())
    def refuse(self, which: int, data: st.DataObject) -> None:
        """What can't be done is refused and writes nothing."""
        handle, before = self.handles[which], files_of(self.path)
        with pytest.raises(EditTargetError):
            handle.edit(data.draw(st.sampled_from(self.history("annotate"))), {"content_type": "reasoning", "text": ""})
        with pytest.raises(HeadMoved):
            handle.commit({"content_type": "reasoning", "text": ""}, expected_head=None)
        with pytest.raises(CommitNotFoundError):
            handle.annotate("0" * 64, "skip")
        for target in self.history("annotate")[:1]:
            with pytest.raises(AnnotateTargetError):
                handle.annotate(target, "skip")
        assert files_of(self.path) == before

    @rule(
        which=st.integers(0, 1),
        ending=st.sampled_from(("commit", "commit", "nest", "raise", "interrupt", "raise nested")),
        count=st.integers(0, 4),
        data=st.data(),
    )
    def batch(self, which: int, ending: str, count: int, data: st.DataObject) -> None:
        handle, other = self.handles[which], self.handles[1 - which]
        before, files_before = self.head, files_of(self.path)
        made: list[str] = []
        targets = self.history("append")
        is_raised = ending in ("raise", "interrupt", "raise nested")
        try:
            with handle.batch():
                for number in range(count):
                    self.do_in_batch(handle, made, targets, data, nested=ending == "nest" and number % 2 == 1)
                assert [info.commit_hash for info in handle.log(None)] == made[::-1] + self.reference.log(before)
                assert [info.commit_hash for info in other.log(None)] == self.reference.log(before)
                assert set(handle.compile(orphans="keep").commit_hashes) <= {*made, *self.reference.linear(before)}
                if ending == "raise":
                    raise Interrupt
                if ending == "interrupt":
                    raise KeyboardInterrupt
                if ending == "raise nested":
                    with handle.batch():
                        self.do_in_batch(handle, made, targets, data, nested=False)
                        raise Interrupt
        except (Interrupt, KeyboardInterrupt):
            assert is_raised
        self.note_own()
        if is_raised or not made:
            assert set(files_of(self.path)) == set(files_before)
            assert self.head == before
        else:
            assert self.head == made[-1]
            assert self.reference.log(self.head) == made[::-1] + self.reference.log(before)

    def do_in_batch(
        self, handle: Tract, made: list[str], targets: list[str], data: st.DataObject, *, nested: bool
    ) -> None:
        if nested:
            with handle.batch():
                self.do_in_batch(handle, made, targets, data, nested=False)
            return
        kind = data.draw(st.sampled_from(("append", "append", "edit", "annotate"))) if targets else "append"
        if kind == "append":
            info = handle.commit(
                data.draw(given_by_user.contents), generation_config=data.draw(given_by_user.generation_configs)
            )
            targets.append(info.commit_hash)
            made.append(info.commit_hash)
        elif kind == "edit":
            info = handle.edit(data.draw(st.sampled_from(targets)), data.draw(given_by_user.contents))
            made.append(info.commit_hash)
        else:
            note = handle.annotate(data.draw(st.sampled_from(targets)), data.draw(st.sampled_from(("skip", "normal"))))
            assert note.commit_hash is not None
            made.append(note.commit_hash)

    @rule(which=st.integers(0, 1), usage=given_by_user.usages())
    def record_usage(self, which: int, usage: Any) -> None:
        handle = self.handles[which]
        if self.head is None:
            with pytest.raises(UsageError):
                handle.record_usage(usage)
            return
        compiled = handle.record_usage(usage)
        self.look()
        counts = self.reference.usage(self.head)
        assert counts is not None
        self.check_compiled(compiled, self.reference.compile(self.head), {})
        assert compiled.token_count == counts["prompt_tokens"]

    @rule(seconds=st.sampled_from((-3600, -1, 0, 1, 60, 86_400)), microseconds=st.integers(0, 2))
    def move_clock(self, seconds: int, microseconds: int) -> None:
        self.clock.now_us += seconds * 1_000_000 + microseconds

    @rule(which=st.integers(0, 1))
    def reopen(self, which: int) -> None:
        self.handles[which].close()
        self.handles[which] = self.open(self.path)

    @rule(which=st.integers(0, 1), is_in_copy=st.booleans())
    def pack(self, which: int, is_in_copy: bool) -> None:
        """Moves no head and loses no file; what the copy has loose and brings back later is harmless."""
        if is_in_copy and os.path.isdir(self.other_path):
            with self.open(self.other_path) as handle:
                handle.pack(keep_loose=AT_ONCE)
            return
        before = self.reference
        report = self.handles[which].pack(keep_loose=AT_ONCE)
        assert report.left == () and not any(name.startswith(("objects", "events")) for name in files_of(self.path))
        self.look()
        found = self.reference
        assert (found.commits, found.events, found.bodies) == (before.commits, before.events, before.bodies)

    @rule(
        content=given_by_user.contents,
        goes_out=st.booleans(),
        joins=st.booleans(),
        skip=st.booleans(),
        comes_back=st.booleans(),
    )
    def work_in_the_copy(self, content: Any, goes_out: bool, joins: bool, skip: bool, comes_back: bool) -> None:
        if goes_out:
            copy_files(self.path, self.other_path)
        with self.open(self.other_path) as handle:
            branches = handle.branches()
            if branches:
                handle.switch("main" if "main" in branches else next(iter(branches)))
            if joins and branches:
                with suppress(MergeConflict, ResetConflict):
                    handle.merge(allow_unrelated=True)
            else:
                info = handle.commit(content, generation_config={"model": "copy"})
                if skip:
                    handle.annotate(info.commit_hash, "skip")
        if comes_back:
            self.copy_back()

    @rule(
        texts=st.tuples(given_by_user.texts, given_by_user.texts),
        change=st.sampled_from(("append", "edit", "annotate", "summarize", "reset")),
        then=st.sampled_from(("join", "join", "stay")),
        which=st.integers(0, 1),
        gives_way=st.sampled_from(("reset", "commits")),
    )
    def both_go_on(self, texts: tuple[str, str], change: str, then: str, which: int, gives_way: str) -> None:
        """This copy and the other change the same, not knowing of each other; both lines are here then, as two heads."""
        if not self.history("append"):
            self.commit(which, {"content_type": "reasoning", "text": "begin"}, None, None, None)
        target = self.history("append")[0]
        copy_files(self.path, self.other_path)
        with Tract.open(self.other_path, branch=self.line, clock=self.clock, durability=self.durability) as handle:
            if target in [info.commit_hash for info in handle.log(None)]:  # else the copy has a line of its own
                self.change(handle, "edit" if change == "summarize" else change, target, texts[0])
            handle.commit({"content_type": "reasoning", "text": texts[1]})
        if target in self.history("append"):
            with suppress(SummarizeError):
                self.change(self.handles[which], change, target, texts[1])
            self.note_own()
        self.copy_back()
        if then == "join" and len(self.reference.heads(self.line)) > 1:
            self.join(which, gives_way)

    def change(self, handle: Tract, how: str, target: str, text: str) -> None:
        """Does one thing to a commit; the longer the text, the higher the priority."""
        content = {"content_type": "dialogue", "role": "user", "text": text}
        if how == "append":
            handle.commit(content)
        elif how == "edit":
            handle.edit(target, content)
        elif how == "annotate":
            handle.annotate(target, ("skip", "normal", "pinned")[min(len(text), 2)])
        elif how == "summarize":
            handle.summarize([target], content, keep_pinned=False)
        else:
            handle.reset(target)

    @precondition(lambda self: self.history("append"))
    @rule(
        texts=st.tuples(given_by_user.texts, given_by_user.texts),
        change=st.sampled_from(("append", "edit", "annotate", "summarize")),
        which=st.integers(0, 1),
        side=st.sampled_from(("ours", "theirs")),
        goes_on=st.booleans(),
    )
    def merge_a_side(self, texts: tuple[str, str], change: str, which: int, side: str, goes_on: bool) -> None:
        """A side line that starts at the head changes something and is merged into the branch, which went on or did not."""
        name = next((name for name in BRANCHES if not self.reference.heads(name)), None)
        if name is None or len(self.reference.heads(self.line)) > 1:
            return
        home, target = self.line, self.history("append")[0]
        self.switch(which, name, create=True)
        with suppress(SummarizeError):
            self.change(self.handles[which], change, target, texts[0])
        self.note_own()
        self.switch(1 - which, home, create=False)
        if goes_on:
            self.change(self.handles[which], "edit" if change == "summarize" else change, target, texts[1])
            self.note_own()
        self.merge(which, name, side)
        self.delete(which, name, force=True, undoes=False)

    @precondition(lambda self: os.path.isdir(self.other_path))
    @rule()
    def copy_back(self) -> None:
        copy_files(self.other_path, self.path)
        self.look()
        for handle in self.handles:
            handle.refresh()

    # -- branches

    def refused(self, error: type[Exception], call: Callable[[], object]) -> None:
        """Checks that a call is refused by this error and writes nothing."""
        before = files_of(self.path)
        with pytest.raises(error):
            call()
        assert files_of(self.path) == before

    @rule(which=st.integers(0, 1), name=st.sampled_from(BRANCHES), data=st.data())
    def make_branch(self, which: int, name: str, data: st.DataObject) -> None:
        handle = self.handles[which]
        known = sorted(self.reference.tract_commits())
        at = data.draw(st.sampled_from([None, *known]))
        if self.reference.heads(name):
            self.refused(BranchExists, lambda: handle.branch(name, at=at))
        elif at is None and self.head is None:
            self.refused(CommitNotFoundError, lambda: handle.branch(name, at=at))
        else:
            start = handle.branch(name, at=at)
            assert start == (at or self.head)
            self.note_own()
            assert self.reference.heads(name) == {start}

    @rule(which=st.integers(0, 1), name=st.sampled_from(BRANCHES), create=st.booleans())
    def switch(self, which: int, name: str, create: bool) -> None:
        handle = self.handles[which]
        is_there = bool(self.reference.heads(name))
        if create and (is_there or self.head is None):
            self.refused(BranchExists if is_there else CommitNotFoundError, lambda: handle.switch(name, create=True))
        elif not create and not is_there:
            self.refused(BranchNotFound, lambda: handle.switch(name))
        else:
            handle.switch(name, create=create)
            self.note_own()
            self.go_to(name)

    def go_to(self, name: str) -> None:
        self.line = name
        for handle in self.handles:
            handle.switch(name)

    @precondition(lambda self: self.head is not None)
    @rule(which=st.integers(0, 1), data=st.data())
    def reset(self, which: int, data: st.DataObject) -> None:
        target = data.draw(st.sampled_from(sorted(self.reference.tract_commits())))
        assert self.handles[which].reset(target) == target
        self.note_own()
        assert self.head == target

    @rule(which=st.integers(0, 1), old=st.sampled_from(BRANCHES), new=st.sampled_from(BRANCHES))
    def rename(self, which: int, old: str, new: str) -> None:
        handle, heads = self.handles[which], self.reference.heads(old)
        if not heads:
            self.refused(BranchNotFound, lambda: handle.rename_branch(old, new))
        elif len(heads) > 1:
            self.refused(BranchDiverged, lambda: handle.rename_branch(old, new))
        elif self.reference.heads(new):
            self.refused(BranchExists, lambda: handle.rename_branch(old, new))
        else:
            handle.rename_branch(old, new)
            self.note_own()
            assert (self.reference.heads(old), self.reference.heads(new)) == (set(), heads)
            if old == self.line:
                self.go_to(new)

    @rule(which=st.integers(0, 1), name=st.sampled_from(BRANCHES), force=st.booleans(), undoes=st.booleans())
    def delete(self, which: int, name: str, force: bool, undoes: bool) -> None:
        """A branch that is deleted under a handle takes no commits until it is made anew."""
        handle, heads = self.handles[which], self.reference.heads(name)
        if not heads:
            self.refused(BranchNotFound, lambda: handle.delete_branch(name, force=force))
            return
        if not force and (len(heads) > 1 or name == self.line):
            error = BranchDiverged if len(heads) > 1 else BranchInUse
            self.refused(error, lambda: handle.delete_branch(name))
            return
        head = self.own_head(name)
        handle.delete_branch(name, force=force)
        self.note_own()
        assert self.reference.heads(name) == set()
        if name == self.line:
            self.refused(BranchNotFound, lambda: handle.commit({"content_type": "reasoning", "text": ""}))
            assert (handle.undo() if undoes else handle.branch(name, at=head)) == head
            self.note_own()
            assert self.reference.heads(name) == {head}

    @rule(which=st.integers(0, 1))
    def undo(self, which: int) -> None:
        handle = self.handles[which]
        moves = handle.reflog()
        last = next(iter(moves), None)
        moves = in_effect(moves)
        if last is None or not moves or last.head != self.head or moves[0].head != self.head:
            self.refused(UndoError, lambda: handle.undo(anyone=True))
        elif moves[0].old_head is not None:
            assert handle.undo(anyone=True) == moves[0].old_head
            self.note_own()
            assert self.head == moves[0].old_head

    @precondition(lambda self: self.head is not None)
    @rule(which=st.integers(0, 1), name=st.sampled_from(TAGS), force=st.booleans(), data=st.data())
    def tag(self, which: int, name: str, force: bool, data: st.DataObject) -> None:
        target = data.draw(st.sampled_from(sorted(self.reference.tract_commits())))
        if not force and self.reference.tags().get(name, target) != target:
            self.refused(TagExists, lambda: self.handles[which].tag(name, target))
        else:
            assert self.handles[which].tag(name, target, force=force) == target
            self.look()
            assert self.reference.tags()[name] == target

    @rule(which=st.integers(0, 1), name=st.sampled_from(TAGS))
    def untag(self, which: int, name: str) -> None:
        if name not in self.reference.tags():
            self.refused(TagNotFound, lambda: self.handles[which].untag(name))
        else:
            self.handles[which].untag(name)
            self.look()
            assert name not in self.reference.tags()

    # -- merges

    @precondition(lambda self: len(self.reference.heads(self.line)) > 1)
    @rule(which=st.integers(0, 1), gives_way=st.sampled_from(("reset", "commits")))
    def join(self, which: int, gives_way: str) -> None:
        """The heads of the branch become one, by the files that the reference foretells where nothing is to be settled."""
        handle, prefer = self.handles[which], None
        try:
            made = self.reference.join(self.line)
        except ResetBeside:
            self.refused(ResetConflict, handle.merge)
            made, prefer = self.reference.join(self.line, gives_way), gives_way
        parents = made["commit"]["parents"] if "commit" in made else []
        conflicts = self.reference.conflicts(parents)
        if conflicts:
            with pytest.raises(MergeConflict) as caught:
                handle.merge(prefer=prefer, allow_unrelated=True)
            assert {(conflict.kind, conflict.target) for conflict in caught.value.conflicts} == conflicts
            result = handle.merge(prefer=("ours",) if prefer is None else ("ours", prefer), allow_unrelated=True)
            assert {(conflict.kind, conflict.target) for conflict in result.conflicts} == conflicts
        else:
            result = handle.merge(prefer=prefer, allow_unrelated=True)
        self.note_own()
        assert self.reference.heads(self.line) == {self.head} == {result.head}
        if not conflicts:
            assert self.own_events[self.line] == hash_of("event", made["event"])
            assert self.head == made["event"]["ops"][0]["head"]

    @precondition(lambda self: self.head is not None)
    @rule(which=st.integers(0, 1), name=st.sampled_from(BRANCHES), side=st.sampled_from(("ours", "theirs", "newer")))
    def merge(self, which: int, name: str, side: str) -> None:
        handle, own, other = self.handles[which], self.head, self.own_head(name)
        if other is None:
            self.refused(CommitNotFoundError, lambda: handle.merge(name))
            return
        assert own is not None
        if other in {own} | self.reference.commit_ancestors(own):
            assert handle.merge(name).kind == "up-to-date"
            return
        is_forward = own in self.reference.commit_ancestors(other)
        conflicts = set() if is_forward else self.reference.conflicts([own, other])
        if conflicts:
            with pytest.raises(MergeConflict) as caught:
                handle.merge(name)
            assert {(conflict.kind, conflict.target) for conflict in caught.value.conflicts} == conflicts
        result = handle.merge(name, prefer=side if conflicts else None)
        self.note_own()
        assert self.head == result.head
        if is_forward:
            assert (result.kind, result.head) == ("forward", other)
        else:
            assert result.commit is not None
            assert result.commit.parents == (own, other)
            assert facts_of_commit(result.commit) == expected_commit(self.reference, result.commit.commit_hash)

    # -- comparisons

    @precondition(lambda self: self.handles)
    @invariant()
    def all_handles_answer_as_the_reference(self) -> None:
        self.look()
        self.step += 1
        for number, handle in enumerate(self.handles):
            assert handle.head == self.head
            assert handle.branch == self.line
            branches = handle.branches()
            assert {name: set(heads) for name, heads in branches.items()} == self.reference.branches()
            assert all(heads[0] == self.own_head(name) for name, heads in branches.items())
            assert handle.tags() == self.reference.tags()
            log = handle.log(None)
            assert [info.commit_hash for info in log] == self.reference.log(self.head)
            assert [info.commit_hash for info in handle.log(3)] == self.reference.log(self.head)[:3]
            self.check_compile(handle, {})
            if (self.step + number) % 2 == 0:
                for options in OPTIONS:
                    self.check_compile(handle, options)
            for info in log if (self.step + number) % 2 else log[:2]:
                assert facts_of_commit(info) == expected_commit(self.reference, info.commit_hash)

    @rule(which=st.integers(0, 1), queries=st.lists(given_by_user.queries, min_size=1, max_size=8))
    def query(self, which: int, queries: list[Any]) -> None:
        for field, operator, value in queries:
            found = [info.commit_hash for info in self.handles[which].query_by_config(field, operator, value)]
            assert found == self.reference.query(field, operator, value), (field, operator, value)

    @precondition(lambda self: self.head is not None)
    @rule(which=st.integers(0, 1), data=st.data(), options=st.sampled_from(OPTIONS))
    def compile_an_earlier_commit(self, which: int, data: st.DataObject, options: dict[str, Any]) -> None:
        cut = data.draw(st.sampled_from(sorted(self.reference.tract_commits())))
        self.check_compile(self.handles[which], options, at_commit=cut)
        self.check_compile(self.handles[which], {}, at_commit=cut)

    @precondition(lambda self: self.head is not None)
    @rule(
        which=st.integers(0, 1),
        data=st.data(),
        options=st.sampled_from(OPTIONS),
        offset_us=st.sampled_from((-1, 0, 1)),
        zone=st.sampled_from((None, UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8)))),
    )
    def compile_an_earlier_time(
        self, which: int, data: st.DataObject, options: dict[str, Any], offset_us: int, zone: timezone | None
    ) -> None:
        made = [self.reference.commits[name]["created_at"] for name in self.reference.linear(self.head)]
        moment = datetime.fromisoformat(data.draw(st.sampled_from(made))) + timedelta(microseconds=offset_us)
        moment = moment.replace(tzinfo=None) if zone is None else moment.astimezone(zone)
        self.check_compile(self.handles[which], options, at_time=moment)
        with pytest.raises(ValueError):
            self.handles[which].compile(at_time=moment, at_commit=self.head)

    @precondition(lambda self: self.history("append", "summarize", "edit"))
    @rule(which=st.integers(0, 1), data=st.data())
    def read_one(self, which: int, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.history("append", "summarize", "edit")))
        handle = self.handles[which]
        info = handle.get_commit(name)
        assert info is not None
        assert facts_of_commit(info) == expected_commit(self.reference, name)
        content = msgspec.to_builtins(handle.get_content(name))
        stored = self.reference.content(name)
        assert stored is not None
        assert exact({key: value for key, value in content.items() if key in stored}) == exact(stored)
        assert handle.resolve(name) == name
        notes = [note for note in handle.get_annotations(name) if note.commit_hash is not None]
        assert [note.commit_hash for note in notes] == self.reference.annotations(name, self.head or "")
        for note in notes:
            body = self.reference.commits[note.commit_hash or ""]
            assert (note.priority, note.reason) == (body["priority"], body.get("reason"))
            assert utc_text(note.created_at) == body["created_at"]

    def check_compile(
        self, handle: Tract, options: dict[str, Any], *, at_commit: str | None = None, at_time: Any = None
    ) -> None:
        cuts: dict[str, Any] = {}
        if at_commit is not None:
            cuts["at_commit"] = at_commit
        if at_time is not None:
            cuts["at_time"] = at_time
        full_head = self.head if at_commit is not None else None
        try:
            wanted = self.reference.compile(at_commit or self.head, at_time, **options, full_head=full_head)
        except OrphanedCall as error:
            with pytest.raises(OrphanedToolCall) as caught:
                handle.compile(**options, **cuts)
            assert set(caught.value.commits) == error.commits
            return
        compiled = handle.compile(**options, **cuts)
        self.check_compiled(compiled, wanted, options)
        spoil(compiled)

    def check_compiled(self, compiled: CompiledContext, wanted: Any, options: dict[str, Any]) -> None:
        joined = options.get("aggregate_same_role", False)
        assert list(compiled.commit_hashes) == wanted.commit_hashes
        assert exact(compiled.generation_configs) == exact(wanted.generation_configs)
        assert [list(message.commit_hashes) for message in compiled.messages] == wanted.message_commits
        for message, expected in zip(compiled.messages, wanted.messages, strict=True):
            assert (message.role, message.name) == (expected["role"], expected.get("name"))
            assert exact(message.content) == exact(expected.get("content"))
            if not joined:
                assert exact(message.to_dict()) == exact(expected)
        assert compiled.commit_count == wanted.commit_count
        assert (compiled.token_count, compiled.token_source) == (wanted.token_count, wanted.token_source)
        if wanted.dropped:
            assert compiled.warnings

    def answers(self, handle: Tract, head: str | None) -> Any:
        """Returns what must outlive `local/`, at a commit."""
        compiled = handle.compile(at_commit=head) if head is not None else handle.compile()
        messages = [exact(message.to_dict()) for message in compiled.messages]
        grid = itertools.product(given_by_user.QUERY_FIELDS, given_by_user.QUERY_OPERATORS, given_by_user.QUERY_VALUES)
        found = [[info.commit_hash for info in handle.query_by_config(*query)] for query in grid]
        return messages, exact(compiled.generation_configs), compiled.commit_hashes, compiled.token_count, found

    def check_without_local(self) -> None:
        """Every file is named by its hash; and `local/` may go at any time."""
        self.look()
        for name, full in files_of(self.path).items():
            if name not in TEXT_FILES:
                with open(full, "rb") as file:
                    digest = hashlib.sha256(file.read()).hexdigest()
                assert "".join(name.split(os.sep))[-64:] == digest, name
        head = self.head
        before = self.answers(self.handles[0], head)
        for handle in self.handles:
            handle.close()
        local = os.path.join(self.path, ".tract", "local")
        if os.path.isdir(local):
            shutil.rmtree(local)
        self.own_events = {}
        self.handles = [self.open(self.path), self.open(self.path)]
        assert self.answers(self.handles[0], head) == before
        self.all_handles_answer_as_the_reference()
        self.all_handles_answer_as_the_reference()


StoreMachine.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=32,
    suppress_health_check=list(HealthCheck),
)
TestStore = StoreMachine.TestCase


def test_the_machine_can_make_two_heads() -> None:
    machine = StoreMachine()
    try:
        machine.open_two_handles("fast")
        say = {"content_type": "dialogue", "role": "user", "text": "one"}
        machine.commit(0, say, None, None, None)
        copy_files(machine.path, machine.other_path)
        machine.commit(1, {**say, "text": "two"}, {"model": "m-1"}, None, None)
        machine.work_in_the_copy({**say, "text": "three"}, goes_out=False, joins=False, skip=True, comes_back=True)
        assert len(machine.reference.heads("main")) == 2
        machine.all_handles_answer_as_the_reference()
    finally:
        machine.teardown()
