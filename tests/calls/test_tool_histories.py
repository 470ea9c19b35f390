"""Whatever is skipped, edited, summarized, merged and made to fit, no form has a tool call or result without its other half."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lab.conversations import CONVERSATIONS, exported
from tests.lab.oracles import check, unpaired
from tests.lab.talk import Clock
from tract_fs import ContextTooLarge, DialogueContent, SummarizeError, ToolIOContent, Tract
from tract_fs.errors import MergeError

Fields = dict[str, Any]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["talk", "talk", "skip", "skip", "edit", "shrink", "summarize", "fork", "merge", "fit", "show"]
        ),
        st.integers(0, 1000),
        st.integers(0, 1000),
    ),
    min_size=4,
    max_size=14,
)


class Play:
    """One history: an agent talks in every shape, and its context is worked on meanwhile."""

    def __init__(self, t: Tract) -> None:
        self._t = t
        self._number = 0
        self._sides = 0

    def do(self, step: str, a: int, b: int) -> None:
        getattr(self, f"_{step}")(a, b)

    def _shown(self) -> list[str]:
        return self._t.compile().commit_hashes

    def _talk(self, a: int, b: int) -> None:
        """Adds a question, calls at once, all their results, and an answer."""
        self._number += 10
        ids = [f"id{self._number + n}" for n in range(1 + a % 3)]
        size = (b % 5) * 400
        shape = ("openai", "openai-responses", "anthropic", "gemini", "tool_io")[b % 5]
        self._t.commit(DialogueContent("user", f"question {self._number}"))
        if shape == "tool_io":
            for direction in ("call", "result"):
                for id_ in ids:
                    payload = {"x": "i" * size}
                    self._t.commit(ToolIOContent("f", direction, payload, call_id=id_))  # type: ignore[arg-type]
        else:
            self._t.import_messages(exchange(shape, ids, "r" * size))
        if a % 2:
            self._t.commit(DialogueContent("assistant", f"answer {self._number}"))

    def _skip(self, a: int, b: int) -> None:
        shown = self._shown()
        if shown:
            self._t.annotate(shown[a % len(shown)], "skip")

    def _show(self, a: int, b: int) -> None:
        made = [info.commit_hash for info in self._t.log(None) if info.operation.value == "append"]
        if made:
            self._t.annotate(made[a % len(made)], "pinned" if b % 2 else "normal")

    def _edit(self, a: int, b: int) -> None:
        shown = self._shown()
        if shown:
            self._t.edit(shown[a % len(shown)], DialogueContent("user" if b % 2 else "assistant", "edited"))

    def _shrink(self, a: int, b: int) -> None:
        """Edits a message with several calls so that it makes one of them less."""
        for message in self._t.compile().messages:
            fields = message.to_dict()
            calls = fields.get("tool_calls") or []
            if len(calls) > 1:
                self._t.edit(
                    message.commit_hashes[0],
                    {"content_type": "message", "message": {**fields, "tool_calls": calls[1:]}},
                )
                return

    def _summarize(self, a: int, b: int) -> None:
        shown = self._shown()
        if shown:
            first, last = sorted((a % len(shown), b % len(shown)))
            with suppress(SummarizeError):  # all of it is pinned
                self._t.summarize(shown[first : last + 1], "what was said", keep_pinned=bool(a % 2))

    def _fork(self, a: int, b: int) -> None:
        if self._t.head is not None:
            self._sides += 1
            with self._t.on(f"side{self._sides}", create=True) as side:
                play = Play(side)
                play._number = 1000 * self._sides
                for step in ("talk", ("skip", "edit", "summarize", "fit")[b % 4]):
                    play.do(step, a, b)

    def _merge(self, a: int, b: int) -> None:
        if self._sides:
            with suppress(MergeError):
                self._t.merge(f"side{1 + a % self._sides}", prefer="newer")

    def _fit(self, a: int, b: int) -> None:
        with suppress(ContextTooLarge):
            self._t.fit(60 + a)


def exchange(shape: str, ids: list[str], text: str) -> list[Fields]:
    """Returns calls at once, and their results, in one shape."""
    if shape == "openai":
        calls = [{"id": id_, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id_ in ids]
        results = [{"role": "tool", "tool_call_id": id_, "content": text} for id_ in ids]
        return [{"role": "assistant", "content": None, "tool_calls": calls}, *results]
    if shape == "openai-responses":
        reasoning = {"type": "reasoning", "id": f"rs_{ids[0]}", "summary": [], "encrypted_content": "x"}
        made = [{"type": "function_call", "call_id": id_, "name": "f", "arguments": f'{{"x":"{text}"}}'} for id_ in ids]
        return [reasoning, *made, *({"type": "function_call_output", "call_id": id_, "output": text} for id_ in ids)]
    if shape == "anthropic":
        uses = [{"type": "tool_use", "id": id_, "name": "f", "input": {"x": text}} for id_ in ids]
        thinking = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
        blocks = [{"type": "tool_result", "tool_use_id": id_, "content": text} for id_ in ids]
        return [{"role": "assistant", "content": [thinking, *uses]}, {"role": "user", "content": blocks}]
    parts = [{"functionCall": {"name": "f", "args": {"x": id_}}} for id_ in ids]
    responses = [{"functionResponse": {"name": "f", "response": {"output": text}}} for _ in ids]
    return [{"role": "model", "parts": parts}, {"role": "user", "parts": responses}]


def play_and_check(steps: list[tuple[str, int, int]]) -> None:
    with TemporaryDirectory() as directory, Tract.open(Path(directory), durability="fast", clock=Clock()) as t:
        play = Play(t)
        for step in steps:
            play.do(*step)
        contexts = [t.compile()]
        with suppress(ContextTooLarge):
            contexts.append(t.compile(max_tokens=contexts[0].token_count * 2 // 3 or 1))
        for context in contexts:
            for form in CONVERSATIONS:
                sent = exported(context, form)
                check(form, sent)
                assert unpaired(form, sent) == [], form
                assert not [one for one in context.warnings if "was never answered" in one]


@settings(max_examples=8, deadline=None)
@given(steps=STEPS)
def test_no_form_has_an_orphan_whatever_was_done(steps: list[tuple[str, int, int]]) -> None:
    play_and_check(steps)


@pytest.mark.campaign
@settings(max_examples=1000, deadline=None)
@given(steps=STEPS)
def test_no_form_has_an_orphan_in_a_thousand_histories(steps: list[tuple[str, int, int]]) -> None:
    play_and_check(steps)
