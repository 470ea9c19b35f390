"""The guide on servers: its blocks of Python run one after the other, as one program, and print what stands below them."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from tests.lab.talk import user
from tract_fs import AsyncTract, Tract

PAGE = Path(__file__).parents[2] / "tract_fs/guide/servers.md"
BLOCKS = re.findall(
    r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", PAGE.read_text(encoding="utf-8"), re.M | re.S
)


def test_the_blocks_run_and_print_what_stands_below_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(BLOCKS) == 6
    names: dict[str, Any] = {}
    for code, expected in BLOCKS:
        exec(code, names)
        assert capsys.readouterr().out == expected

    async def use() -> None:
        async with await AsyncTract.open("chats", tract_id="ann", durability="fast") as t:
            before = await t.head
            await names["record"](t, "why?", "so.")
            assert [message.content for message in (await t.compile()).messages][-2:] == ["why?", "so."]
            assert await names["follow"](t, before) == await t.head
            assert capsys.readouterr().out == "append dialogue\nannotate None\nappend dialogue\n"
            with Tract.open("chats", tract_id="ann", durability="fast") as other, other.batch():
                other.commit(user("holds the lock"))
                task = asyncio.create_task(names["commit_and_know"](t, "kept"))
                await asyncio.sleep(0.05)
                task.cancel()
                await asyncio.wait([task], timeout=0.05)
                assert not task.done()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert capsys.readouterr().out == f"committed {await t.head}\n"

    asyncio.run(use())
