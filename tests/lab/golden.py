"""The golden stores: how they were written, and what a tract answers, to compare with what it answered when they were written.

`tests/golden` holds what `write` wrote once, with the version of the package named there; the stores are never written again. The clock
stands still within a step and the writer label is fixed, so that the same code writes the same bytes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest

from tests.lab.stores import AT_ONCE, redact
from tract_fs import (
    ArtifactContent,
    DialogueContent,
    FreeformContent,
    InstructionContent,
    MessageContent,
    OutputContent,
    ReasoningContent,
    ToolIOContent,
    Tract,
)
from tract_fs.errors import TractError

START_US = 1_767_323_045_000_000  # 2026-01-02T03:04:05Z
QUERIES: tuple[tuple[Any, str, Any], ...] = (
    ("model", "=", "m-1"),
    ("model", "!=", "m-1"),
    ("model", ">=", "m-2"),
    ("temperature", ">", 0.25),
    ("temperature", "<=", 1),
    ("stream", "=", True),
    (("response_format", "type"), "=", "json"),
    (("stop", 0), "=", "a"),
)


class SteppedClock:
    """A clock that stands still until the next step."""

    def __init__(self, now_us: int = START_US) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        return self.now_us

    def step(self) -> None:
        self.now_us += 60_000_000


class Story:
    """Writes the history of the golden stores, one step of the clock per call."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = SteppedClock()

    def open(self, **options: Any) -> Tract:
        return Tract.open(options.pop("path", self.path), clock=self.clock, durability="fast", **options)

    def do(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        self.clock.step()
        return call(*arguments, **options)

    def say(self, t: Tract, *texts: str, role: Any = "user") -> list[str]:
        return [self.do(t.commit, DialogueContent(role, text)).commit_hash for text in texts]

    def first_part(self) -> None:
        """One of everything on main: contents, edits, annotations, tool calls, configs, usage, summaries, a batch, an import."""
        with self.open() as t:
            do = self.do
            do(t.commit, InstructionContent("be brief"), message="rules", metadata={"by": {"who": "ann"}})
            hello = do(
                t.commit, DialogueContent("user", "hello"), generation_config={"model": "m-1", "temperature": 0.5}
            )
            config = {"model": "m-2", "temperature": 1, "response_format": {"type": "json"}, "stop": ["a", "b"]}
            hi = do(t.commit, DialogueContent("assistant", "hi there", "bot"), generation_config=config)
            do(
                t.commit,
                DialogueContent("user", "naïve café, 日本語, עברית, 👩‍🚀, e\u0301 and é, \u2028"),
                message="día ☀",
            )
            oks = self.say(t, "ok", "ok", "ok")
            do(t.commit, ToolIOContent("search", "call", {"q": [1, {"deep": None}]}, call_id="c1"))
            result = do(t.commit, ToolIOContent("search", "result", {"hits": []}, status="success", call_id="c1"))
            do(t.commit, ToolIOContent("search", "call", {"q": "more"}, call_id="c2"))
            failed = do(t.commit, ToolIOContent("search", "result", {"error": "x"}, status="error", call_id="c2"))
            do(
                t.edit,
                hello.commit_hash,
                DialogueContent("user", "hello, edited"),
                generation_config={"model": "m-1", "temperature": 0.75},
            )
            do(t.commit, MessageContent({"role": "user", "content": [{"type": "text", "text": "blocks"}], "x": [1.0]}))
            do(t.commit, ReasoningContent("because"), generation_config={"model": "m-3", "stream": True})
            do(t.commit, ArtifactContent("file", "print('ok')\n", "python"))
            do(t.commit, OutputContent("# done", "markdown"))
            do(t.commit, FreeformContent({"n": [1, 1.5, -0.0, 1e16, True, None, "\u0000\u001f"]}))
            do(t.annotate, hi.commit_hash, "pinned", reason="kept")
            do(t.annotate, failed.commit_hash, "skip", reason="noise")
            do(t.annotate, result.commit_hash, "normal")
            do(t.record_usage, {"prompt_tokens": 41, "completion_tokens": 7, "total_tokens": 48})
            do(t.summarize, oks[:2], "they agreed twice", message="shorter")
            do(t.tag, "v1")
            with t.batch():
                for number in range(6):
                    t.commit(
                        FreeformContent({"number": number}),
                        generation_config={"model": "m-1" if number % 2 else "m-4", "temperature": number / 10},
                    )
            call = {"id": "c9", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
            messages = [
                {"role": "user", "content": "look there"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c9", "content": "nothing"},
                {"role": "assistant", "content": "ok"},
            ]
            do(t.import_messages, messages, generation_config={"model": "gpt", "temperature": 0})

    def second_part(self) -> None:
        """Branches: made, moved, renamed, deleted, merged with a conflict, picked from, reverted; tags moved and removed; a fork."""
        with self.open() as t:
            do = self.do
            do(t.branch, "aside", at="v1")
            do(t.branch, "old-name")
            do(t.branch, "gone")
            do(t.rename_branch, "old-name", "feature/new-näme")
            do(t.delete_branch, "gone")
            do(t.tag, "moving", "v1")
            do(t.tag, "moving", force=True)
            do(t.tag, "untagged")
            do(t.untag, "untagged")
            t.switch("aside")
            first, target = self.say(t, "an aside", "ok")
            self.say(t, "of no use")
            do(t.revert, "@")
            t.switch("main")
            do(t.cherry_pick, first)
            do(t.branch, "left")
            do(t.branch, "right")
            base = t.head
            assert base is not None
            for side in ("left", "right"):
                t.switch(side)
                self.say(t, f"on the {side}")
                do(t.edit, base, DialogueContent("user", f"an aside, {side}"))
            do(t.merge, "left", prefer="theirs", message="both")
            t.switch("main")
            do(t.merge, "right")
            self.say(t, "a step too far")
            do(t.reset, "@~1")
            t.switch("aside")
            with do(t.fork, "reviewer") as other:
                do(other.annotate, target, "skip", reason="heard before")
                self.say(other, "this is fine", "ok")
                do(other.record_usage, {"input_tokens": 30, "output_tokens": 4})
                do(other.tag, "reviewed")

    def third_part(self, copy: Path) -> None:
        """Two copies apart: main is joined again, `parted` stays with two heads."""
        with self.open() as t:
            self.do(t.branch, "parted")
            self.do(t.sync, copy)
        for path, texts in ((self.path, ["here", "ok"]), (copy, ["there", "ok", "ok"])):
            for branch in ("main", "parted"):
                with self.open(path=path, branch=branch) as t:
                    self.say(t, *texts)
        with self.open() as t:
            self.do(t.sync, copy)
            t.refresh()
            self.do(t.merge)

    def redaction(self) -> None:
        """A content that is gone, with the event that says so."""
        with self.open() as t:
            self.clock.step()
            at = datetime.fromtimestamp(self.clock.now_us / 1e6, UTC).strftime('"at":"%Y-%m-%dT%H:%M:%S.000000Z"')
            secret = t.commit(DialogueContent("user", "the password is 1234"))
        self.clock.step()
        redacted_at = datetime.fromtimestamp(self.clock.now_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
        redact(self.path, secret.content_hash, after=at, at=redacted_at)

    def last_part(self) -> None:
        """A few commits more."""
        with self.open() as t:
            t.refresh()
            self.say(t, "what next?")
            self.do(t.commit, OutputContent("ok"), generation_config={"model": "m-1", "temperature": 0.25})


@contextmanager
def _fixed_labels() -> Iterator[None]:
    """Gives every handle the same writer label; 16 bytes are drawn for nothing else that is synced."""
    draw = os.urandom
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "urandom", lambda size: b"\x07" * size if size == 16 else draw(size))
        yield


def write(path: Path, *, is_packed: bool) -> None:
    """Writes a golden store into the directory `path`, without local/; packed: all but the last commits lie in a pack."""
    story = Story(path)
    with _fixed_labels(), TemporaryDirectory() as copy:
        story.first_part()
        story.second_part()
        story.third_part(Path(copy))
        story.redaction()
        if is_packed:
            with story.open() as t:
                t.pack(keep_loose=AT_ONCE)
        story.last_part()
    shutil.rmtree(path / ".tract/local")


def _answer(call: Callable[[], Any]) -> Any:
    try:
        return msgspec.to_builtins(call())
    except TractError as error:
        return type(error).__name__


def _compiled(t: Tract, **options: Any) -> dict[str, Any]:
    context = t.compile(**options)
    return {
        "messages": [message.to_dict() for message in context.messages],
        "configs": context.generation_configs,
        "commits": context.commit_hashes,
        "tokens": [context.token_count, context.token_source],
    }


def _cut(t: Tract, name: str) -> list[Any]:
    context = t.compile(at_commit=name)
    return [context.commit_count, context.token_count, context.token_source]


def branch_answers(t: Tract) -> dict[str, Any]:
    """Returns what a handle answers about the branch that it is on."""
    names = [info.commit_hash for info in t.log(None)]
    status = t.status()
    return {
        "head": t.head,
        "log": names,
        "ok": [info.commit_hash for info in t.log(5, text="ok", operation="append")],
        "compiled": _compiled(t),
        "annotated": _compiled(t, include_edit_annotations=True, aggregate_same_role=True, orphans="keep"),
        "openai": t.compile().to_openai(),
        "cuts": [_cut(t, name) for name in names],
        "annotations": {name: msgspec.to_builtins(told) for name in names if (told := t.get_annotations(name))},
        "diff": t.diff(names[len(names) // 2]).to_dict(),
        "other_heads": list(status.other_heads),
        "diverged": {name: list(heads) for name, heads in status.diverged_branches.items()},
        "counts": [status.commit_count, status.effective_count, status.token_count, status.token_source],
        "wrong": [*status.pending, *status.damaged, *status.gone, *status.strays],
    }


def tract_answers(path: Path, tract: str, **options: Any) -> dict[str, Any]:
    """Returns what a tract answers, on each of its branches."""
    told: dict[str, Any] = {"commits": {}, "contents": {}, "branch": {}}
    with Tract.open(path, tract_id=tract, **options) as t:
        told["branches"] = {name: list(heads) for name, heads in t.branches().items()}
        told["tags"] = t.tags()
        queries = {repr(query): t.query_by_config(*query) for query in QUERIES}
        told["queries"] = {query: [info.commit_hash for info in found] for query, found in queries.items()}
    for branch in told["branches"]:
        with Tract.open(path, tract_id=tract, branch=branch, **options) as t:
            told["branch"][branch] = branch_answers(t)
            for info in t.log(None):
                told["commits"][info.commit_hash] = info.to_dict()
                if info.content_hash is not None:
                    told["contents"][info.commit_hash] = _answer(partial(t.get_content, info.commit_hash))
    return told


def answers(path: Path, **options: Any) -> str:
    """Returns what all tracts of a store answer, as JSON in which 1, 1.0 and true differ."""
    told = {tract: tract_answers(path, tract, **options) for tract in Tract.tracts(path)}
    return json.dumps(told, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
