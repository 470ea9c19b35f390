"""explain(): over random histories every message and every absence has the reason that the reference model finds; and each reason by an example."""

from __future__ import annotations

import os
import random
import tempfile
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.lab.reference import Compiled, ReferenceStore, ReferenceTract
from tests.lab.stores import redact
from tests.lab.talk import Clock, edit_one, say, say_one, user
from tract_fs import (
    ArgumentError,
    DialogueContent,
    ExplainedCommit,
    InstructionContent,
    MessageContent,
    RecordContent,
    ToolIOContent,
    ToolsContent,
    Tract,
)
from tract_fs.errors import BranchExists, BranchNotFound, CommitNotFoundError, MergeConflict, SummarizeError

MANY = int(os.environ.get("TRACT_FS_HISTORIES", "1000"))
STEPS = ("say", "say", "say", "call", "answer", "edit", "edit", "annotate", "annotate", "summarize", "summarize")
STEPS += ("undo_edit", "fork_and_merge", "fork_and_merge", "reset")
REFUSED = (BranchExists, BranchNotFound, CommitNotFoundError, SummarizeError, ArgumentError)


class Play:
    """One random history of one tract; any commit may be edited, skipped, pinned or summarized, wherever it is."""

    def __init__(self, path: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.t = Tract.open(path, clock=Clock(), durability="fast")
        self._sides = 0
        say(self.t, "begin")

    def step(self) -> None:
        with suppress(*REFUSED):
            getattr(self, f"_{self.rng.choice(STEPS)}")()

    def _any(self, *operations: str) -> str:
        names = [i.commit_hash for i in self.t.log(None) if not operations or i.operation.value in operations]
        if not names:
            raise CommitNotFoundError("none", hash=None)
        return self.rng.choice(names)

    def _config(self) -> dict[str, Any] | None:
        return {"n": self.rng.randrange(9)} if self.rng.random() < 0.5 else None

    def _say(self) -> None:
        kind = self.rng.choice((InstructionContent, lambda text: DialogueContent("assistant", text), user))
        self.t.commit(kind(f"said {self.rng.randrange(99)}"), generation_config=self._config())

    def _call(self) -> None:
        ids = [f"c{self.rng.randrange(6)}" for _ in range(self.rng.choice((1, 1, 2)))]
        calls = [
            {"id": i, "type": "function", "function": {"name": "f", "arguments": "{}"}} for i in dict.fromkeys(ids)
        ]
        self.t.commit(MessageContent({"role": "assistant", "content": None, "tool_calls": calls}))

    def _answer(self) -> None:
        self.t.commit(ToolIOContent("f", "result", {}, call_id=f"c{self.rng.randrange(6)}"))

    def _edit(self) -> None:
        self.t.edit(self._any("append", "summarize"), user("edited"), generation_config=self._config())

    def _undo_edit(self) -> None:
        self.t.annotate(self._any("edit"), self.rng.choice(("skip", "normal")))

    def _annotate(self) -> None:
        self.t.annotate(self._any("append", "summarize"), self.rng.choice(("skip", "skip", "normal", "pinned")))

    def _summarize(self) -> None:
        shown = self.t.compile().commit_hashes
        first = self.rng.randrange(len(shown) or 1)
        self.t.summarize(shown[first : first + 3], "a summary", keep_pinned=self.rng.random() < 0.5)

    def _fork_and_merge(self) -> None:
        """Goes on for a few steps on two branches, often about the same commits, and merges the one into the other."""
        self._sides += 1
        self.t.branch(f"side{self._sides}")
        lines = (f"side{self._sides}", str(self.t.branch))
        for line in lines:
            self.t.switch(line)
            for _ in range(self.rng.randint(1, 3)):
                self.step()
        self.t.switch(lines[self.rng.random() < 0.8])
        with suppress(MergeConflict):
            self.t.merge(lines[self.t.branch == lines[0]], prefer=self.rng.choice(("ours", "theirs", "newer")))

    def _reset(self) -> None:
        if self.rng.random() < 0.3:
            self.t.reset(self._any())


def expected_reason(model: ReferenceTract, name: str, history: list[str], compiled: Compiled) -> set[str]:
    """Returns the reasons that the reference allows for a commit of a history."""
    operation = model.commits[name]["operation"]
    if operation == "merge":
        return {"merge"}
    if operation in ("edit", "annotate"):
        return {"edit" if operation == "edit" else "annotation"}
    if (model.priority(name, history) or model.default_priority(name)) == "skip":
        return {"skipped"}
    if name in compiled.hidden:
        standing, _ = model.standing_summaries(history)
        covered = set().union(*(model.covered(one, history) for one in standing))
        return {"summarized" if name in covered else "superseded"}
    return {"orphaned" if name in compiled.dropped else "shown"}


def check_by(
    model: ReferenceTract, one: ExplainedCommit, history: list[str], compiled: Compiled, behind: list[str]
) -> None:
    """Checks the commits that an entry gives as its causes; `behind` are those behind the cut."""
    name = one.commit_hash
    annotations = [
        other
        for other in history
        if model.commits[other]["operation"] == "annotate" and model.commits[other]["targets"] == [name]
    ]
    edits = [
        other
        for other in history
        if model.commits[other]["operation"] == "edit" and model.commits[other]["targets"] == [name]
    ]
    assert [made.commit_hash for made in one.annotations] == annotations
    assert list(one.edits) == edits
    if one.reason == "skipped":
        assert list(one.by) == annotations[-1:]
    elif one.reason == "summarized":
        (summary,) = one.by
        assert summary in model.standing_summaries(history)[0] and name in model.covered(summary, history)
    elif one.reason == "superseded":
        (summary,) = one.by
        assert summary in model.standing_summaries(history)[0]
        assert model.leaves(summary, history) & model.leaves(name, history)
    elif one.reason == "orphaned":
        pairs = [(call, result) for call, _, result in model._pairs([*history, *behind]) if name in (call, result)]
        assert one.by and set(one.by) <= {other for pair in pairs for other in pair}
    elif one.reason in ("edit", "annotation"):
        assert list(one.by) == model.commits[name]["targets"]
    if one.reason == "edit":
        assert one.is_in_effect == (model._winning_edit(one.by[0], history) == name)
    if one.reason == "annotation":
        rest = history[history.index(name) + 1 :]
        later = [
            o
            for o in rest
            if model.commits[o]["operation"] == "annotate" and model.commits[o]["targets"] == list(one.by)
        ]
        assert one.is_in_effect == (not later)
        assert one.outdone_by == (later[-1] if later else None)
    if one.reason == "shown":
        assert one.shown_edit == model._winning_edit(name, history)
        summarized = model.covered(name, history) if name in model.standing_summaries(history)[0] else set()
        assert set(one.stands_for) == summarized


def check_merge(model: ReferenceTract, one: ExplainedCommit, head: str) -> None:
    """Checks the merge that brought a commit: the first one along first parents whose history has it, unless it is of that line itself."""
    line, cursor = [], head
    while True:
        line.append(cursor)
        parents = model.commits[cursor]["parents"]
        if not parents:
            break
        cursor = parents[0]
    wanted = None
    if one.commit_hash not in line:
        wanted = next(name for name in line[::-1] if one.commit_hash in model.commit_ancestors(name))
    assert one.source is not None and one.source.merge == wanted


def check(t: Tract, model: ReferenceTract, cut: str | None = None) -> set[str]:
    """Checks an explanation of the head, or of a cut of its history, against the compile and the reference; returns its reasons."""
    explanation = t.explain(at_commit=cut)
    compiled = t.compile(at_commit=cut)
    assert t.head is not None
    reference = model.compile(cut or t.head, full_head=t.head)
    history, whole = model.linear(cut or t.head), model.linear(t.head)
    behind = [name for name in whole if name not in history] if cut in whole else []
    assert [one.commit_hash for one in explanation.messages] == compiled.commit_hashes
    assert [one.generation_config for one in explanation.messages] == compiled.generation_configs
    assert [one.index for one in explanation.messages] == list(range(len(compiled.messages)))
    if cut is None:
        shown = {one.shown_edit or one.commit_hash for one in explanation.messages}
        hits = [hit for phrase in "aeio1" for hit in t.search(phrase, limit=None)]
        assert {hit.commit_hash for hit in hits if hit.is_shown} == {hit.commit_hash for hit in hits} & shown
    assert [one.role for one in explanation.messages] == [message.role for message in compiled.messages]
    assert [one.commit_hash for one in explanation.commits] == history + behind
    assert compiled.commit_hashes == reference.commit_hashes
    for one in explanation.commits[: len(history)]:
        assert {one.reason} == expected_reason(model, one.commit_hash, history, reference), one
        check_by(model, one, history, reference, behind)
        check_merge(model, one, cut or t.head)
        assert one.describe()
    assert {one.reason for one in explanation.commits[len(history) :]} <= {"later"}
    return {one.reason for one in explanation.commits}


def play(seed: int) -> set[str]:
    with tempfile.TemporaryDirectory(prefix="tract-explain-") as folder:
        game = Play(Path(folder), seed)
        try:
            for _ in range(game.rng.randint(8, 22)):
                game.step()
            model = ReferenceStore(folder).tract()
            reasons = check(game.t, model)
            check(game.t, model, cut=game.rng.choice(game.t.log(None)).commit_hash)
            other = game.rng.choice(sorted(model.tract_commits()))
            (entry,) = game.t.explain(other).commits
            assert entry.commit_hash == other
            assert (entry.elsewhere is None) == (other in model.linear(game.t.head))
            if entry.elsewhere is not None:
                heads = {name: head for name, heads in model.branches().items() for head in heads}
                assert set(entry.elsewhere.branches) == {b for b, head in heads.items() if other in model.linear(head)}
            return reasons
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        finally:
            game.t.close()


def test_every_message_and_every_absence_of_random_histories_has_the_reason_of_the_reference() -> None:
    reasons = Counter(reason for seed in range(100) for reason in play(seed))
    assert reasons.keys() >= {"shown", "skipped", "summarized", "superseded", "orphaned", "edit", "annotation", "merge"}


@pytest.mark.campaign
def test_many_random_histories() -> None:
    for seed in range(10_000, 10_000 + MANY):
        play(seed)


@pytest.fixture
def t(tmp_path: Path) -> Tract:
    return Tract.open(tmp_path, clock=Clock(), durability="fast")


def only(t: Tract, ref: str, **options: Any) -> ExplainedCommit:
    (found,) = t.explain(ref, **options).commits
    return found


def sentences(t: Tract, ref: str, **options: Any) -> list[str]:
    """Returns the sentences on a commit, but for the last, which is about its event."""
    return only(t, ref, **options).describe(6)[:-1]


def test_a_message_has_its_edit_its_config_and_who_set_its_priority(t: Tract) -> None:
    name = say_one(t, "one", generation_config={"model": "a"})
    first = edit_one(t, name, "two", generation_config={"model": "b"})
    second = edit_one(t, name, "three")
    pin = t.annotate(name, "pinned", reason="the task").commit_hash
    assert pin is not None
    found = only(t, name)
    assert (found.index, found.text, found.shown_edit, found.edits) == (0, "three", second, (first, second))
    assert (found.generation_config, found.config_from) == ({"model": "a"}, name)
    assert sentences(t, name) == [
        "It is message 1.",
        f"It has 2 edits ({first[:6]}, {second[:6]}); {second[:6]} applies.",
        f"{pin[:6]} set its priority to pinned (the task) at 2026-01-02T03:04:09.000006Z.",
        'Its generation config {"model":"a"} is its own.',
    ]
    assert sentences(t, first) == [f"It is an edit of {name[:6]}, and does not apply: {second[:6]} does."]
    assert sentences(t, pin) == [f"It sets the priority of {name[:6]}."]
    skip = t.annotate(second, "skip").commit_hash
    assert skip is not None
    assert sentences(t, second)[0] == f"It is an edit of {name[:6]}, and does not apply: {skip[:6]} skips it."
    assert only(t, name).generation_config == {"model": "b"}
    assert only(t, name).config_from == first


def test_the_event_that_brought_a_commit_is_named_with_its_writer_branch_and_time(t: Tract) -> None:
    say(t, "one")
    with t.on("side", create=True) as side:
        (two,) = say(side, "two")
    (three,) = say(t, "three")
    merge = t.merge("side").head
    brought, own = only(t, two).source, only(t, three).source
    assert brought is not None and own is not None and brought.writer != own.writer
    assert (brought.branch, brought.tract_id, brought.merge) == ("side", "default", merge)
    assert (own.branch, own.merge) == ("main", None)
    assert only(t, two).describe(6)[-1] == (
        f"It was committed at {only(t, two).created_at} on branch side of tract default by writer {brought.writer[:6]}, "
        f"and the merge {merge[:6]} brought it here."
    )
    assert sentences(t, merge) == ["It is no message: it joins lines of the history."]


def test_what_is_never_a_message_has_its_reason(t: Tract) -> None:
    record = t.commit(RecordContent("step", {"n": 1})).commit_hash
    old = t.commit(ToolsContent([{"name": "f"}])).commit_hash
    new = t.commit(ToolsContent([{"name": "g"}])).commit_hash
    empty = say_one(t, "")
    assert sentences(t, record) == ["It is no message, but a record of the program."]
    assert sentences(t, old) == [f"It is no message: the tools of {new[:6]} apply in place of its own."]
    assert sentences(t, new) == ["It is no message: its tools apply."]
    assert sentences(t, empty) == ["It is message 1.", "The message is empty: to_openai() leaves it out."]


def test_a_cleared_branch_begins_with_a_commit_that_is_no_message(t: Tract) -> None:
    say(t, "one")
    root = t.clear()
    assert root is not None
    assert sentences(t, root) == ["It is no message: it begins an empty history."]


def test_a_cut_on_a_line_that_was_merged_pairs_calls_with_results_as_that_line_has_them(t: Tract) -> None:
    def call() -> str:
        function = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        return t.commit(MessageContent({"role": "assistant", "content": None, "tool_calls": [function]})).commit_hash

    first = call()
    t.branch("side")
    again = call()  # the same id on the other line, and never answered
    t.switch("side")
    result = t.commit(ToolIOContent("f", "result", {}, call_id="c1")).commit_hash
    t.switch("main")
    t.merge("side")
    assert t.compile(at_commit=result).commit_hashes == [first, result]
    assert [(one.commit_hash, one.reason) for one in t.explain(at_commit=result).commits[:2]] == [
        (first, "shown"),
        (result, "shown"),
    ]
    assert t.compile().commit_hashes == [first, again, result]


def test_a_cut_leaves_out_what_comes_behind_it(t: Tract) -> None:
    one, two = say(t, "one", "two")
    skip = t.annotate(one, "skip").commit_hash
    assert [(c.commit_hash, c.reason) for c in t.explain(at_commit=one).commits] == [
        (one, "shown"),
        (two, "later"),
        (skip, "later"),
    ]
    moment = datetime(2026, 1, 2, 3, 4, 7, tzinfo=UTC)
    assert [c.reason for c in t.explain(at_time=moment).commits] == ["shown", "later", "later"]
    assert sentences(t, two, at_commit=one) == ["It is left out: the context is cut before it."]
    with pytest.raises(ArgumentError):
        t.explain(at_time=moment, at_commit=one)


def test_what_a_budget_leaves_out_is_named_and_the_rest_has_its_place(t: Tract) -> None:
    old, older = say(t, "a" * 400, "b" * 400)
    skip = t.annotate(older, "skip").commit_hash
    result = t.commit(ToolIOContent("f", "result", {"text": "c" * 4000})).commit_hash
    last = say_one(t, "the last")
    found = t.explain(max_tokens=100)
    context = t.compile(max_tokens=100)
    assert [one.commit_hash for one in found.messages] == context.commit_hashes == [result, last]
    assert [(one.index, one.text) for one in found.messages] == list(enumerate(m.content for m in context.messages))
    assert [(one.commit_hash, one.reason) for one in found.absent] == [
        (old, "over_budget"),
        (older, "skipped"),
        (skip, "annotation"),
    ]
    assert sentences(t, old, max_tokens=100) == [
        "It is left out, for the context to fit in the tokens that it may have."
    ]
    assert sentences(t, last, max_tokens=100) == ["It is message 2."]
    assert [one.reason for one in t.explain(max_tokens=10_000).messages] == ["shown"] * 3
    with pytest.raises(ArgumentError, match="max_tokens 0"):
        t.explain(max_tokens=0)


def test_a_commit_of_another_branch_is_explained_as_it_is_there(t: Tract) -> None:
    _, two = say(t, "one", "two")
    with t.on("side", create=True) as side:
        (three,) = say(side, "three")
        gone = side.add("gone").commit_hash
        side.undo()
    say(t, "four")
    found = only(t, three)
    assert found.elsewhere is not None and not found.is_shown
    assert (found.elsewhere.branches, found.elsewhere.since, found.index) == (("side",), two, 2)
    assert sentences(t, three) == [
        f"It is not in this history: it is on side, from {two[:6]} on. There:",
        "It is message 3.",
    ]
    assert sentences(t, gone)[0].startswith("It is on no branch: ")
    assert t.explain(three).messages == ()


def test_a_redacted_and_a_lost_content_are_named(tmp_path: Path) -> None:
    with Tract.open(tmp_path, clock=Clock(), durability="fast") as t:
        secret, lost, kept = say(t, "secret", "lost", "kept")
        edit = edit_one(t, kept, "edited")
        contents = {name: (t.get_commit(name) or pytest.fail()).content_hash for name in (secret, lost, edit)}
    redact(tmp_path, contents[secret], after=edit, at="2026-01-02T04:00:00.000000Z")
    for name in (lost, edit):
        content = str(contents[name])
        (tmp_path / ".tract/objects" / content[:2] / content[2:]).unlink()
    with Tract.open(tmp_path, clock=Clock(), durability="fast", incomplete="use", verify=True) as t:
        assert sentences(t, secret) == ["It is left out: its content was redacted."]
        assert sentences(t, lost) == [f"It is left out: the content of {lost[:6]} is missing or damaged."]
        assert sentences(t, kept)[0] == f"It is left out: the content of {edit[:6]} is missing or damaged."
        assert (t.explain().messages, t.compile().messages) == ((), [])


def test_a_custom_compiler_is_not_explained(tmp_path: Path) -> None:
    class Own:
        def compile(self, history: Any, options: Any) -> Any:
            raise AssertionError

    with Tract.open(tmp_path, compiler=Own(), durability="fast") as t, pytest.raises(ArgumentError):
        t.explain()


def test_what_a_batch_has_staged_has_no_event_yet(t: Tract) -> None:
    with t.batch():
        (one,) = say(t, "one")
        assert (only(t, one).index, only(t, one).source) == (0, None)
    assert only(t, one).source is not None


def test_an_explanation_of_nothing_is_empty(t: Tract) -> None:
    assert t.explain().to_dict() == {
        "tract_id": "default",
        "branch": "main",
        "head": None,
        "messages": [],
        "absent": [],
    }
