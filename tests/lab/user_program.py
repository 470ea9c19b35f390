"""A program of a user, as a type checker sees it. Each line with a `wrong:` has a mistake of that kind."""

from __future__ import annotations

from typing import assert_type

from tract_fs import (
    ANY,
    AsyncTract,
    CommitInfo,
    CompiledContext,
    DialogueContent,
    HeadMoved,
    MergeConflict,
    Message,
    MessageContent,
    Priority,
    TokenUsage,
    ToolIOContent,
    Tract,
    TractError,
    errors,
)


def converse(path: str) -> int:
    with Tract.open(path, tract_id="chat", durability="fast") as t:
        info = t.commit(DialogueContent(role="user", text="hi"), generation_config={"model": "m"}, expected_head=None)
        assert_type(info, CommitInfo)
        t.commit(DialogueContent(role="robot", text="hi"))  # wrong: arg-type
        t.commit(ToolIOContent("search", "call", {"q": 1}, call_id="c"), expected_head=ANY)
        t.commit(MessageContent({"role": "user", "content": "x"}), expected_head=5)  # wrong: arg-type
        t.commit(MessageContent("hi"))  # wrong: arg-type
        t.annotate(info.commit_hash, Priority.SKIP, reason="noise")
        t.annotate(info, "skip")  # wrong: arg-type
        info.created_at = info.created_at  # wrong: misc
        context = t.compile(orphans="keep")
        assert_type(context, CompiledContext)
        assert_type(context.messages, list[Message])
        assert_type(context.token_counts, tuple[int, ...])
        assert_type(context.head, str | None)
        head: str = context.head  # wrong: assignment
        t.compile(orphans="lose")  # wrong: arg-type
        t.compile(at_head=True)  # wrong: call-arg
        t.record_usage(TokenUsage(1, 2, 3, cache_read_tokens=1))
        TokenUsage("1", 2, 3)  # wrong: arg-type
        t.summarise([head], "short")  # wrong: attr-defined
        return context.token_count


async def converse_later(t: Tract) -> None:
    try:
        await t.compile()  # wrong: misc
    except HeadMoved as error:
        assert_type(error.actual, str | None)
        print(error.actual + "")  # wrong: operator
    except (MergeConflict, errors.LockTimeout) as error:
        assert_type(error, MergeConflict | errors.LockTimeout)
    except TractError as error:
        from tract_fs import TractNotThere  # wrong: attr-defined

        print(error.fields, TractNotThere)


async def converse_in_asyncio(path: str) -> None:
    async with await AsyncTract.open(path, durability="fast") as t:
        assert_type(t, AsyncTract)
        assert_type(await t.commit(DialogueContent(role="user", text="hi"), expected_head=None), CommitInfo)
        t.commit(DialogueContent(role="user", text="hi"))  # wrong: unused-coroutine
        async with t.batch() as b:
            await b.commit(DialogueContent(role="user", text="hi"), expected_head=5)  # wrong: arg-type
            assert_type(await b.head, str | None)
        if t.head == "x":  # wrong: comparison-overlap
            await t.compile(at_head=True)  # wrong: call-arg
        assert_type(await t.compile(orphans="keep"), CompiledContext)
        assert_type(await t.branch("side"), str)
        assert_type(await t.watch(after=None, timeout_s=1), list[CommitInfo])
