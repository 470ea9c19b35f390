"""Cache breakpoints: at most four in a request, placed so that what was cached stays so as the conversation grows.

One ends what comes before the conversation (the tools and the system's messages). One is at the end. The others are at
the last two of the blocks whose number is a multiple of 16, counted from the first, and so in the same places in every
later request: Anthropic finds a cached prefix that ends up to 20 blocks before a breakpoint. OpenAI makes the one at
the end by itself. Sources: Anthropic, "Prompt caching"; OpenAI, "Prompt caching".
"""

from __future__ import annotations

from typing import Any

from tract_fs.errors import ArgumentError
from tract_fs.model.fields import Fields
from tract_fs.model.shapes import Shape

EVERY = 16
_ANCHORS = 2
_TTLS: dict[Shape, tuple[str, ...]] = {
    "anthropic": ("5m", "1h"),
    "openai": ("30m",),
    "openai-responses": ("30m", "12h"),
    "gemini": (),
}
_UNMARKED = frozenset(["thinking", "redacted_thinking"])
_MARKED_BY_OPENAI = frozenset(["text", "image_url", "input_audio", "file", "input_text", "input_image", "input_file"])


def require_cache(cache: object, form: Shape) -> None:
    """Raises ArgumentError unless `cache` is a bool or a lifetime that the provider knows."""
    if not isinstance(cache, bool) and cache not in _TTLS[form]:
        known = ", ".join(map(repr, _TTLS[form]))
        raise ArgumentError(f"cache {cache!r}: use True, False{' or ' + known if known else ''}")


def mark_anthropic(request: Fields, cache: bool | str) -> None:
    """Puts the breakpoints into a request of Anthropic's, in place of those that are there."""
    mark = {"cache_control": {"type": "ephemeral", **({"ttl": cache} if isinstance(cache, str) else {})}}
    blocks = []
    for message in request["messages"]:
        if isinstance(message["content"], str):
            message["content"] = [{"type": "text", "text": message["content"]}]
        blocks += message["content"]
    system = request.get("system", [])
    tools = request.get("tools", [])
    for block in (*system, *blocks, *tools):
        block.pop("cache_control", None)
    is_marked = [block["type"] not in _UNMARKED for block in blocks]
    chosen = _chosen(is_marked, has_end=True)
    for block in (*(system or tools)[-1:], *(blocks[place] for place in chosen)):
        block.update(mark)


def mark_openai(messages: list[Fields], cache: bool | str) -> None:
    """Puts the breakpoints into messages of chat completions, or items of responses."""
    mark = {"prompt_cache_breakpoint": {"mode": "explicit", **({"ttl": cache} if isinstance(cache, str) else {})}}
    blocks: list[Fields] = []
    lead = -1  # the last block of the leading system messages
    is_leading = True
    for message in messages:
        is_leading = is_leading and message.get("role") in ("system", "developer")
        blocks += _blocks(message)
        lead = len(blocks) - 1 if is_leading else lead
    for block in blocks:
        block.pop("prompt_cache_breakpoint", None)
    is_marked = [block.get("type") in _MARKED_BY_OPENAI for block in blocks]
    chosen = _chosen(is_marked, has_end=False)
    for place in {*chosen, *([lead] if lead >= 0 and is_marked[lead] else [])}:
        blocks[place].update(mark)


def _blocks(message: Fields) -> list[Any]:
    """Returns the blocks of a message, or of a result; an empty one, which takes no mark, for the model's."""
    key = "output" if "output" in message else "content"
    content = message.get(key)
    if message.get("role", "tool") == "assistant" or not isinstance(content, list | str) or not content:
        return [{}]
    if isinstance(content, str):
        content = message[key] = [{"type": "input_text" if "type" in message else "text", "text": content}]
    return content


def _chosen(is_marked: list[bool], *, has_end: bool) -> list[int]:
    """Returns the places of the blocks to mark: the last two anchors, and the end."""
    places = []
    for place in range(EVERY - 1, len(is_marked), EVERY):
        anchor = next((n for n in range(place, max(place - EVERY, -1), -1) if is_marked[n]), None)
        if anchor is not None:
            places.append(anchor)
    end = next((n for n in range(len(is_marked) - 1, -1, -1) if is_marked[n]), None)
    chosen = places[-_ANCHORS:]
    if has_end and end is not None and end not in chosen:
        chosen.append(end)
    return chosen
