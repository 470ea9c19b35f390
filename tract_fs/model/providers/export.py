"""Exports: the messages of a context as one provider takes them, with the commits that each came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from tract_fs.errors import ExportError
from tract_fs.model.exports import without_empty
from tract_fs.model.fields import Fields, items_of
from tract_fs.model.messages import Message
from tract_fs.model.providers import anthropic, gemini, openai_chat, openai_responses
from tract_fs.model.providers.parts import PROVIDERS, Call, Media, NoFormError, Notes, Part, Result, Text, Turn
from tract_fs.model.providers.reading import read_turn
from tract_fs.model.providers.turns import arranged
from tract_fs.model.shapes import Shape

Exported = tuple[Fields, tuple[str, ...]]  # a message, and the commits that it came from
Warn = Callable[[str], object]
Emit = Callable[[Turn, Notes], list[Fields]]
_EMITTERS: dict[Shape, Emit] = {
    "openai": openai_chat.emit,
    "openai-responses": openai_responses.emit,
    "anthropic": anthropic.emit,
    "gemini": gemini.emit,
}


class Document(Struct):
    """A conversation in a provider's form: the system's part, where it lies apart, and the messages."""

    system: list[Fields]  # blocks, or parts
    messages: list[Exported]


def export(messages: Sequence[Message], form: Shape, warn: Warn, *, is_partial: bool = False) -> Document:
    """Returns messages in a provider's form (fresh). Calls `warn` with a sentence for all that is left out or changed.

    Errors: ExportError for what the provider has no form for; where the result may be partial, that is left out.
    """
    notes = Notes(form, warn)
    turns = arranged(_turns(messages), form, notes)
    made = _emitted(turns, _EMITTERS[form], form, notes, is_partial=is_partial)
    if form == "anthropic":
        return _to_anthropic(made, notes)
    if form == "gemini":
        return _to_gemini(made, notes)
    return Document([], openai_responses.without_lone_reasoning(made, notes) if form == "openai-responses" else made)


def as_committed(messages: Sequence[Message]) -> list[Exported]:
    """Returns messages as they were committed, single tool calls and results in OpenAI's form (fresh); neighbouring calls
    share a message.
    """
    result: list[Exported] = []
    is_open = False
    for message in messages:
        made = message.to_openai()
        is_call = message.is_tool_io and "tool_calls" in made
        if is_call and is_open:
            before, commits = result[-1]
            before["tool_calls"] += made["tool_calls"]
            result[-1] = before, (*commits, *message.commit_hashes)
        else:
            result.append((made, message.commit_hashes))
        is_open = is_call
    return result


def _turns(messages: Sequence[Message]) -> list[Turn]:
    found = ((message, without_empty(message.to_openai())) for message in messages)
    return [read_turn(message, fields) for message, fields in found if fields is not None]


def _emitted(turns: list[Turn], emit: Emit, form: Shape, notes: Notes, *, is_partial: bool) -> list[Exported]:
    result: list[Exported] = []
    for turn in turns:
        try:
            result += [(message, turn.commits) for message in emit(turn, notes)]
        except NoFormError as error:
            if not is_partial:
                raise ExportError(commits=turn.commits, reason=error.args[0], form=PROVIDERS[form]) from None
            notes.left_out(turn, f"has {error.args[0]}, which has no form in {PROVIDERS[form]}")
            rest = _with_form(turn, emit, form)
            result += [(message, turn.commits) for message in (emit(rest, notes) if rest.parts else [])]
    return result


def _with_form(turn: Turn, emit: Emit, form: Shape) -> Turn:
    """Returns a turn without the parts that the provider has no form for."""

    def has_form(part: Part) -> bool:
        try:
            emit(replace(turn, parts=[part], raw=None), Notes(form, lambda _: None))
        except NoFormError:
            return False
        return True

    parts: list[Part] = []
    for part in turn.parts:
        if isinstance(part, Result) and not isinstance(part.content, str):
            inside = (one for one in part.content if has_form(replace(part, content=(one,), raw=None)))
            part = replace(part, content=tuple(inside), raw=None)
        parts += [part] if has_form(part) else []
    return replace(turn, parts=parts, raw=None)


def _to_anthropic(messages: list[Exported], notes: Notes) -> Document:
    """Joins neighbours of one role, results first, and lifts the leading system messages."""
    lead = next((n for n, (one, _) in enumerate(messages) if one["role"] != "system"), len(messages))
    system = [block for message, _ in messages[:lead] for block in message["content"]]
    joined: list[Exported] = []
    for message, commits in messages[lead:]:
        if joined and joined[-1][0]["role"] == message["role"]:
            before, earlier = joined[-1]
            before["content"] = [*before["content"], *message["content"]]
            joined[-1] = before, tuple(dict.fromkeys((*earlier, *commits)))
        else:
            joined.append((message, commits))
    for message, _ in joined:
        blocks = message["content"]
        if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
            message["content"] = blocks[0]["text"]
    if joined and joined[-1][0]["role"] == "assistant":
        notes.general(
            f"commit {joined[-1][1][-1]} is the last, and of the assistant; Anthropic's newer models refuse a request "
            "that ends so: commit the user's next message, or the results of its calls"
        )
    _limit_marks([*system, *(block for message, _ in joined for block in items_of(message["content"]))])
    return Document(system, joined)


def _limit_marks(blocks: list[Fields]) -> None:
    """Takes all but the last four cache marks away, since a request with more is refused."""
    marked = [block for block in blocks if block.get("cache_control") is not None]
    for block in marked[:-4]:
        block.pop("cache_control")


def _to_gemini(messages: list[Exported], notes: Notes) -> Document:
    """Joins neighbours of one role, and lifts all system messages."""
    system: list[Fields] = []
    joined: list[Exported] = []
    for message, commits in messages:
        if message["role"] == "system":
            if joined:
                for name in commits:
                    notes.general(
                        f"commit {name} is of the system amid the conversation; to_gemini() puts it into "
                        "system_instruction"
                    )
            system += message["parts"]
        elif joined and joined[-1][0]["role"] == message["role"]:
            before, earlier = joined[-1]
            before["parts"] = [*before["parts"], *message["parts"]]
            joined[-1] = before, tuple(dict.fromkeys((*earlier, *commits)))
        else:
            joined.append((message, commits))
    return Document(system, joined)


def to_text(messages: Sequence[Message], warn: Warn) -> str:
    """Returns messages as one text, each with its role before it; thinking is left out, media are named."""
    notes = Notes("text", warn)
    texts = []
    for turn in arranged(_turns(messages), None, notes):
        lines = [line for part in turn.parts for line in _lines(part)]
        speaker = turn.role if turn.name is None else f"{turn.role} ({turn.name})"
        if lines:
            texts.append(f"{speaker}: " + "\n".join(lines))
    return "\n\n".join(texts)


def _lines(part: Part) -> list[str]:
    if isinstance(part, Text):
        return [part.text] if part.text.strip() else []
    if isinstance(part, Call):
        return [f"[calls {part.name} {part.arguments}]"]
    if isinstance(part, Result):
        inner = [part.content] if isinstance(part.content, str) else [_named(one) for one in part.content]
        return [f"[{'error' if part.is_error else 'result'} of {part.name or part.key}] " + "\n".join(inner)]
    return [_named(part)]


def _named(part: Part) -> str:
    if isinstance(part, Text):
        return part.text
    if isinstance(part, Media):
        text = part.decoded() if part.kind == "document" else None
        where = part.url or part.media_type or part.file_id or ""
        return f"[{part.kind} {part.title or where}]".replace(" ]", "]") if text is None else text
    return "[a block of unknown form]"
