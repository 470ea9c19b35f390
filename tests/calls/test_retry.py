"""retry(), siblings(), compare() and blame(): several answers to one prompt, and who wrote which line."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.lab.talk import Clock, edit_one, say, say_one, texts
from tract_fs import ArgumentError, AsyncTract, BatchOpen, BranchExists, ConfigChange, MessageContent, Store, Tract
from tract_fs.errors import ReadOnlyError


@pytest.fixture
def t(tmp_path: Path) -> Tract:
    return Tract.open(tmp_path, clock=Clock(), durability="fast")


def answer(t: Tract, text: str, **config: object) -> str:
    return say_one(t, text, "assistant", generation_config=config or None)


def test_a_retry_starts_before_the_answer_on_a_branch_named_after_this_one(t: Tract) -> None:
    say(t, "question")
    first = answer(t, "one", temperature=0.7)
    say(t, "thanks")
    with t.retry(first) as again:
        assert (again.branch, texts(again)) == ("main-retry-1", ["question"])
        second = answer(again, "two")
        with again.retry(second) as third:
            assert third.branch == "main-retry-2"
    with t.retry(first, branch="colder") as named:
        assert named.branch == "colder"
    assert texts(t) == ["question", "one", "thanks"]
    with pytest.raises(BranchExists):
        t.retry(first, branch="colder")


def test_answers_of_a_retry_get_its_config_unless_they_have_their_own(t: Tract) -> None:
    say(t, "question")
    first = answer(t, "one", temperature=0.7)
    with t.retry(first, generation_config={"temperature": 0.1}) as again:
        assert again.add("a question").generation_config is None
        assert again.add({"role": "assistant", "content": "x"}).generation_config == {"temperature": 0.1}
        assert again.add({"role": "assistant", "content": "y"}, generation_config={}).generation_config == {}
        again.edit(again.head or "", {"content_type": "dialogue", "role": "assistant", "text": "z"})
        assert again.log(1)[0].generation_config is None
    assert t.add({"role": "assistant", "content": "x"}).generation_config is None


def test_the_config_of_a_retry_ends_with_its_handle(tmp_path: Path) -> None:
    with Store.open(tmp_path, durability="fast") as store:
        t = store.tract("a")
        say(t, "question")
        with t.retry(answer(t, "one"), generation_config={"n": 1}, branch="again"):
            pass
        with store.tract("a", branch="again") as later:
            assert later.add({"role": "assistant", "content": "x"}).generation_config is None


def test_only_an_answer_can_be_tried_again(t: Tract) -> None:
    (question,) = say(t, "question")
    first = answer(t, "one")
    summary = t.summarize([question, first], "both").commit_hash
    for name in (question, summary):
        with pytest.raises(ArgumentError):
            t.retry(name)
    with t.at(first) as fixed, pytest.raises(ReadOnlyError):
        fixed.retry(first)
    assert list(t.branches()) == ["main"]


def test_an_edit_or_annotation_stands_for_its_answer(t: Tract) -> None:
    say(t, "question")
    first = answer(t, "one")
    edit = edit_one(t, first, "two", "assistant")
    with t.retry(edit) as again:
        assert texts(again) == ["question"]


def test_siblings_are_all_answers_to_one_prompt_on_whatever_branch(t: Tract) -> None:
    (question,) = say(t, "question")
    first = answer(t, "one", temperature=0.7)
    with t.retry(first, generation_config={"temperature": 0.1}) as again:
        edit_one(again, question, "question!")
        second = answer(again, "two")
        third = answer(again, "three")
    t.reset(question)
    found = t.siblings(second)
    assert [(one.commit.commit_hash, one.branches) for one in found] == [(first, ()), (second, ("main-retry-1",))]
    assert [one.to_dict()["generation_config"] for one in found] == [{"temperature": 0.7}, {"temperature": 0.1}]
    assert [one.commit.commit_hash for one in t.siblings(third)] == [third]


def test_two_answers_are_compared_after_what_they_share(t: Tract) -> None:
    (question,) = say(t, "question")
    first = answer(t, "one", model="m", temperature=0.7)
    t.record_usage({"prompt_tokens": 9, "completion_tokens": 4})
    with t.retry(first, generation_config={"model": "m", "temperature": 0.1}) as again:
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        again.commit(MessageContent({"role": "assistant", "content": None, "tool_calls": [call]}))
        again.commit(MessageContent({"role": "tool", "tool_call_id": "c", "content": "found"}))
        second = answer(again, "two")
    made = t.compare("main", again.branch)
    assert (made.prompt, made.shared_count) == (question, 1)
    assert made.config_changes == (ConfigChange(("temperature",), "0.7", "0.1"),)
    assert [len(made.a.messages), len(made.b.messages)] == [1, 3]
    assert (made.a.text, made.b.messages[-1].text) == ("one", "two")
    assert (made.a.usage and made.a.usage.completion_tokens, made.b.usage) == (4, None)
    assert (made.b.commit_hash, made.diff.count("added")) == (second, 3)
    assert made.to_dict()["a"]["token_count"] == made.a.token_count == 7


def test_a_compare_of_equal_or_empty_contexts_has_the_last_message_of_each(t: Tract) -> None:
    say(t, "question")
    first = answer(t, "one")
    made = t.compare(first, "main")
    assert (made.a.text, made.b.text, made.config_changes) == ("one", "one", ())
    with pytest.raises(ArgumentError):
        t.compare(first, None)  # type: ignore[arg-type]


def test_blame_names_the_commit_that_brought_each_line(t: Tract) -> None:
    (one,) = say(t, "a\nb\nc")
    first = edit_one(t, one, "a\nB\nc\nd")
    skipped = edit_one(t, one, "nothing")
    t.annotate(skipped, "skip")
    second = edit_one(t, one, "a\nB\nC\nd")
    say(t, "hidden")
    t.annotate("@", "skip")
    (two,) = say(t, "last")
    assert [(line.commit_hash, line.index, line.line, line.role, line.text) for line in t.blame()] == [
        (one, 0, 0, "user", "a"),
        (first, 0, 1, "user", "B"),
        (second, 0, 2, "user", "C"),
        (first, 0, 3, "user", "d"),
        (two, 1, 0, "user", "last"),
    ]
    assert {line.message_commit for line in t.blame()[:4]} == {one}
    assert [line.text for line in t.blame(first)] == ["a", "B", "c", "d"]
    assert t.blame()[1].created_at == "2026-01-02T03:04:07.000006Z"


def test_an_answer_can_be_tried_again_from_a_branch_that_is_gone_but_not_amid_a_batch(t: Tract) -> None:
    say(t, "question")
    first = answer(t, "one")
    with t.on("side", create=True), t.batch(), pytest.raises(BatchOpen):
        t.retry(first)
    t.delete_branch("main", force=True)
    with t.retry(first) as again:
        assert (again.branch, texts(again)) == ("main-retry-1", ["question"])


def test_the_branch_of_a_handle_is_a_ref(t: Tract) -> None:
    say(t, "question")
    first = answer(t, "one")
    with t.retry(first) as again:
        second = answer(again, "two")
        assert t.resolve(again.branch) == second
        assert texts(t, at_commit=again.branch) == ["question", "two"]
        assert t.explain(again.branch).commits[0].commit_hash == second


def test_a_retry_in_asyncio_is_a_handle_of_its_own(tmp_path: Path) -> None:
    async def main() -> list[tuple[str, ...]]:
        async with await AsyncTract.open(tmp_path, durability="fast") as t:
            await t.add("question")
            first = await t.add({"role": "assistant", "content": "one"})
            async with await t.retry(first.commit_hash, generation_config={"n": 1}) as again:
                second = await again.add({"role": "assistant", "content": "two"})
                assert second.generation_config == {"n": 1}
            assert (await t.compare("main", second.commit_hash)).b.text == "two"
            assert len(await t.blame()) == len((await t.explain()).messages) == 2
            return [one.branches for one in await t.siblings(second.commit_hash)]

    assert asyncio.run(main()) == [("main",), ("main-retry-1",)]
