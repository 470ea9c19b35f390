"""Turns: a context in Anthropic's form as a tool that resumes needs it: by turns of user and assistant, each call answered.

The results of a message's calls are at the start of the next one. What has to change for that is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from tract_fs.model.fields import items_in, text_in
from tract_fs.transcripts.blocks import texts_of
from tract_fs.transcripts.units import repaired

_NO_RESULT = "[no result of this tool call is in the context]"
_NO_START = "[the conversation before is not in this context]"
Message = dict[str, Any]
IsSendable = Callable[[Message, "Counter[str]"], bool]


def turns_of(messages: Sequence[Message], lost: Counter[str], is_sendable: IsSendable) -> list[Message]:
    """Returns messages of blocks (fresh), of the user first, without the blocks that the tool can't send again; `lost` counts
    the changes.
    """
    turns = _paired(_merged(_cleaned(messages, lost, is_sendable)), lost)
    is_cut = bool(turns) and turns[0]["role"] == "assistant"
    return [{"role": "user", "content": [{"type": "text", "text": _NO_START}]}, *turns] if is_cut else turns


def _cleaned(messages: Sequence[Message], lost: Counter[str], is_sendable: IsSendable) -> list[Message]:
    """Returns the messages in storable Unicode, as blocks that can be sent again, without those that are empty."""
    found = []
    for message in messages:
        mended, reason = repaired(message)
        if reason:
            lost["messages changed: a lone surrogate is now U+FFFD, or the like"] += 1
        role, content = mended.get("role"), mended.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else items_in(mended, "content")
        blocks = [block for block in map(_block, blocks) if not _is_empty(block) and is_sendable(block, lost)]
        if role not in ("user", "assistant"):
            lost[f"messages of the role {role} now of the user"] += 1
            role = "user"
        if blocks:
            found.append({"role": role, "content": blocks})
        else:
            lost["empty messages left out"] += 1
    return found


def _block(block: Any) -> Any:
    """Returns a block without what only its request had."""
    if isinstance(block, dict) and "cache_control" in block:
        return {key: value for key, value in block.items() if key != "cache_control"}
    return block


def _is_empty(block: Any) -> bool:
    kind = text_in(block, "type")
    return not kind or (kind == "text" and not text_in(block, "text").strip())


def _merged(messages: Sequence[Message]) -> list[Message]:
    """Returns the messages with neighbours of one role as one."""
    found: list[Message] = []
    for message in messages:
        if found and found[-1]["role"] == message["role"]:
            found[-1]["content"] += message["content"]
        else:
            found.append({"role": message["role"], "content": list(message["content"])})
    return found


def _paired(messages: Sequence[Message], lost: Counter[str]) -> list[Message]:
    """Returns the messages with the results of each message's calls at the start of the next one."""
    results: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for place, message in enumerate(messages):
        for block in message["content"]:
            if block["type"] == "tool_result" and message["role"] == "user":
                results.setdefault(text_in(block, "tool_use_id"), []).append((place, block))
    taken: set[int] = set()  # by id of the block
    used: Counter[str] = Counter()  # ids of calls
    found: list[Message] = []
    for place, message in enumerate(messages):
        if message["role"] == "user":
            blocks = [_as_text(block, lost) for block in message["content"] if id(block) not in taken]
            _extend(found, "user", blocks)
            continue
        content = list(message["content"])
        _extend(found, "assistant", content)
        answers = []
        for at_block, call in enumerate(content):
            if call["type"] != "tool_use":
                continue
            waiting = results.get(text_in(call, "id"), [])
            answer = next((one for at, one in waiting if at > place and id(one) not in taken), None)
            if answer is None:
                lost["tool calls without a result got one that says so"] += 1
                answer = _no_result(text_in(call, "id"))
            taken.add(id(answer))
            used[call_id := text_in(call, "id")] += 1
            if used[call_id] > 1:
                lost["tool calls with the id of another call got a new one"] += 1
                new = _new_id(call_id, used)
                content[at_block], answer = {**call, "id": new}, {**answer, "tool_use_id": new}
            answers.append(answer)
        _extend(found, "user", answers)
    return _merged(found)


def _extend(found: list[Message], role: str, blocks: list[Any]) -> None:
    if blocks:
        found.append({"role": role, "content": blocks})


def _new_id(call_id: str, used: Counter[str]) -> str:
    """Returns an id that no call has yet, and counts it as used."""
    while used[new := f"{call_id}-{used[call_id]}"]:
        used[call_id] += 1
    used[new] += 1
    return new


def _no_result(call: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call, "content": _NO_RESULT, "is_error": True}


def _as_text(block: dict[str, Any], lost: Counter[str]) -> dict[str, Any]:
    """Returns a result whose call is not there, or has another result, as a text."""
    if block["type"] != "tool_result":
        return block
    lost["tool results without a call of their own are texts now"] += 1
    return {"type": "text", "text": "\n".join(["[result of a tool call]", *texts_of(block.get("content"))])}
