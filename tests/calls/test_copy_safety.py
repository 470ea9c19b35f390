"""Copy safety: whatever a caller does to what he got, or to what he handed in, no later answer changes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.lab.inside import store_of
from tests.lab.states import answers, exact, remove_local, told_context
from tests.lab.stores import fill
from tests.lab.talk import Clock, user
from tract_fs import (
    CommitInfo,
    CompiledContext,
    CompileOptions,
    DialogueContent,
    EstimateCounter,
    FreeformContent,
    HistoryEntry,
    Message,
    MessageContent,
    TokenUsage,
    ToolIOContent,
    Tract,
)

CALL: dict[str, Any] = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c9", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    "extra": {"deep": [{"deeper": [1]}]},
}
REPLY: dict[str, Any] = {"role": "tool", "tool_call_id": "c9", "content": [{"type": "text", "text": "done"}]}
CONFIG: dict[str, Any] = {"model": "m-1", "stop": ["a", ["b", {"c": [1]}]], "logit_bias": {"5": {"x": [1.0]}}}


def public_names(value: object) -> list[str]:
    return [name for name in dir(value) if not name.startswith("_")]


def spoil(value: object, seen: dict[int, object] | None = None) -> int:
    """Changes every dict, list and set that can be reached from `value`, and every attribute that lets itself be set; returns how many."""
    seen = {} if seen is None else seen
    if id(value) in seen or value is None or isinstance(value, str | bytes | int | float | type):
        return 0
    seen[id(value)] = value  # kept, so that no other object gets its id
    if isinstance(value, dict):
        count = sum(spoil(item, seen) for item in list(value.values()))
        value.clear()
        value["spoilt"] = True
        return count + 1
    if isinstance(value, list):
        count = sum(spoil(item, seen) for item in list(value))
        value[:] = ["spoilt"]
        return count + 1
    if isinstance(value, set):
        value.clear()
        return 1
    if isinstance(value, tuple | frozenset):
        return sum(spoil(item, seen) for item in value)
    if not type(value).__module__.startswith(("tract_fs", "tests")):
        return 0
    return _spoil_attributes(value, seen)


def _spoil_attributes(value: object, seen: dict[int, object]) -> int:
    names = public_names(value)
    told = [getattr(value, name)() for name in names if name.startswith("to_")]
    fields = [name for name in names if not callable(getattr(value, name))]
    count = spoil(told, seen) - 1 + sum(spoil(getattr(value, name), seen) for name in fields)
    for name in fields:
        try:
            setattr(value, name, "spoilt")
        except (AttributeError, TypeError):
            continue
        count += 1
    return count


@dataclass
class Note:
    title: str
    tags: list[Any] = field(default_factory=list)


class Card(msgspec.Struct):
    front: str
    back: dict[str, Any]


def open_tract(path: Path, **options: Any) -> Tract:
    t = Tract.open(path, durability="fast", clock=Clock(), **options)
    t.register_content_type("note", Note)
    t.register_content_type("card", Card, text=lambda card: card.front + str(card.back))
    return t


@pytest.fixture
def t(path: Path) -> Iterator[Tract]:
    with open_tract(path) as opened:
        fill(opened)
        opened.import_messages([CALL, REPLY], generation_config=CONFIG)
        opened.commit(
            FreeformContent({"a": [{"b": [1, {"c": 2}]}]}), metadata={"m": {"n": [1]}}, generation_config=CONFIG
        )
        opened.commit(Note("a title", ["x", ["y"]]), generation_config=CONFIG)
        opened.commit(Card("front", {"k": [1, 2]}))
        yield opened


def first(t: Tract) -> str:
    return t.log(None)[-1].commit_hash


def a_call(t: Tract) -> CommitInfo:
    return next(info for info in t.log(None) if (info.generation_config or {}).get("logit_bias"))


READS: dict[str, Callable[[Tract], object]] = {
    "log": lambda t: t.log(None),
    "get_commit": lambda t: t.get_commit(a_call(t).commit_hash),
    "get_content of a built-in type": lambda t: [
        t.get_content(info.commit_hash) for info in t.log(None) if info.content_hash
    ],
    "get_annotations": lambda t: [t.get_annotations(info.commit_hash) for info in t.log(None)],
    "compile": lambda t: t.compile(),
    "compile, twice": lambda t: (t.compile(), t.compile()),
    "compile with all options": lambda t: [
        t.compile(include_edit_annotations=a, aggregate_same_role=b, orphans=c)  # type: ignore[arg-type]
        for a, b, c in itertools.product((True, False), (True, False), ("drop", "keep"))
    ],
    "compile of a cut": lambda t: [t.compile(at_commit=info.commit_hash) for info in t.log(None)],
    "compile at a time": lambda t: [t.compile(at_time=info.created_at) for info in t.log(None)],
    "to_openai": lambda t: t.compile().to_openai(),
    "messages": lambda t: [message.to_dict() for message in t.compile().messages],
    "query": lambda t: t.query_by_config("model", "=", "m-1"),
    "nested query": lambda t: t.query_by_config(("logit_bias", "5", "x", 0), "=", 1),
    "record_usage": lambda t: t.record_usage({"prompt_tokens": 9, "completion_tokens": 1}),
    "status": lambda t: t.status(),
    "config": lambda t: t.config,
    "tracts": lambda t: Tract.tracts(store_of(t).layout.context),
    "head": lambda t: (t.head, t.branch, t.tract_id, t.resolve("main")),
}


@pytest.mark.parametrize("name", READS)
def test_what_is_returned_can_be_changed_without_effect(t: Tract, path: Path, name: str) -> None:
    if name == "record_usage":
        READS[name](t)
    read = READS[name]
    before, rendered = answers(t), repr(read(t))
    for _ in range(2):
        spoil(read(t))
        assert answers(t) == before
        assert repr(read(t)) == rendered
    with Tract.open(path, read_only=True) as fresh:
        fresh.register_content_type("note", Note)
        fresh.register_content_type("card", Card, text=lambda card: card.front + str(card.back))
        assert answers(fresh) == before


def test_the_walk_reaches_configs_messages_and_metadata_at_depth(t: Tract) -> None:
    """The walk of these tests is itself tested: it changes what it gets, and finds many places."""
    compiled = t.compile()
    assert spoil(compiled) > 40
    assert compiled.messages == ["spoilt"]
    info = t.get_commit(a_call(t).commit_hash)
    assert info is not None
    assert spoil(info) >= 6


def test_a_returned_config_is_fresh_at_every_look(t: Tract) -> None:
    info = a_call(t)
    config = info.generation_config
    assert config == CONFIG
    assert config is not None
    config["stop"][1][1]["c"].append(2)
    config["logit_bias"]["5"]["x"][0] = 7
    assert info.generation_config == CONFIG
    assert a_call(t).generation_config == CONFIG


def test_a_returned_context_keeps_what_its_owner_did_to_it(t: Tract) -> None:
    mine, other = t.compile(), t.compile()
    mine.generation_configs[1]["model"] = "mine"
    mine.messages.pop()
    assert mine.generation_configs[1]["model"] == "mine"
    assert len(mine.messages) == len(other.messages) - 1
    assert other.generation_configs[1]["model"] == "m-1"


def test_equal_configs_of_two_commits_are_not_one_object(t: Tract) -> None:
    configs = [config for config in t.compile().generation_configs if "logit_bias" in config]
    assert len(configs) >= 3
    configs[0]["stop"][1].clear()
    assert all(config["stop"] == CONFIG["stop"] for config in configs[1:])


def test_a_message_can_not_be_changed(t: Tract) -> None:
    message = t.compile().messages[0]
    for name in ("role", "content", "name", "tool_calls", "tool_call_id", "commit_hashes"):
        with pytest.raises(AttributeError):
            setattr(message, name, "spoilt")
    assert isinstance(message, Message)


def test_a_built_in_content_can_not_be_changed(t: Tract) -> None:
    content = t.get_content(first(t))
    with pytest.raises(AttributeError):
        content.text = "spoilt"


# what is handed in


def in_a_batch(act: Callable[[Tract], object]) -> Callable[[Tract], object]:
    def run(t: Tract) -> object:
        with t.batch():
            return act(t)

    return run


def test_a_content_may_be_changed_after_it_was_committed(t: Tract) -> None:
    contents: list[Any] = [
        {"content_type": "freeform", "payload": {"a": [{"b": [1]}]}},
        FreeformContent({"a": [{"b": [1]}]}),
        ToolIOContent("s", "call", {"q": {"r": [1]}}, call_id="n1"),
        MessageContent({"role": "user", "content": [{"type": "text", "text": "x"}]}),
        Note("t", [["deep"]]),
        Card("f", {"b": {"c": [1]}}),
    ]
    for content in contents:
        info = t.commit(content)
        before = answers(t)
        assert spoil(content) >= 2
        assert answers(t) == before
        assert info.content_hash == t.log(1)[0].content_hash


def test_a_config_and_metadata_may_be_changed_after_a_commit(t: Tract, path: Path) -> None:
    config: dict[str, Any] = {"model": "m-7", "stop": [["x"]], "deep": {"er": {"est": [1]}}}
    metadata: dict[str, Any] = {"who": {"name": ["ann"]}}
    kept_config, kept_metadata = exact(config), exact(metadata)
    infos = [
        t.commit(user("a"), generation_config=config, metadata=metadata),
        t.edit(first(t), user("b"), generation_config=config, metadata=metadata),
        *t.import_messages([CALL], generation_config=config),
    ]
    before = answers(t)
    spoil(config)
    spoil(metadata)
    assert answers(t) == before
    for info in infos:
        assert exact(info.generation_config) == kept_config
    assert [exact(info.metadata) for info in infos] == [kept_metadata, kept_metadata, "null"]
    assert len(t.query_by_config(("deep", "er", "est", 0), "=", 1)) == 3
    remove_local(path)
    with open_tract(path) as fresh:
        assert answers(fresh) == before


def test_what_is_handed_in_may_be_changed_before_the_batch_ends(t: Tract) -> None:
    config: dict[str, Any] = {"model": "m-8", "stop": ["x"]}
    metadata: dict[str, Any] = {"who": ["ann"]}
    content: dict[str, Any] = {"content_type": "freeform", "payload": {"a": [1]}}
    with t.batch():
        info = t.commit(content, generation_config=config, metadata=metadata)
        for given in (config, metadata, content):
            spoil(given)
        assert info.generation_config == {"model": "m-8", "stop": ["x"]}
        assert t.compile().generation_configs[-1] == {"model": "m-8", "stop": ["x"]}
    found = t.log(1)[0]
    assert found.generation_config == {"model": "m-8", "stop": ["x"]}
    assert found.metadata == {"who": ["ann"]}
    assert t.get_content(found.commit_hash) == FreeformContent({"a": [1]})


def test_what_is_read_in_a_batch_may_be_changed(t: Tract) -> None:
    with t.batch():
        staged = t.commit(FreeformContent({"a": [1]}), generation_config=CONFIG, metadata={"m": [1]})
        before = answers(t)
        for read in READS.values():
            if read is not READS["record_usage"]:
                spoil(read(t))
        spoil(staged)
        assert answers(t) == before
    assert answers(t) == before


def test_imported_messages_may_be_changed_after_the_import(t: Tract) -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "hi"}], "extra": {"a": [1]}},
        {"role": "assistant", "content": "hello", "refusal": None},
    ]
    kept = exact(messages)
    t.import_messages(messages)
    before = answers(t)
    spoil(messages)
    assert answers(t) == before
    assert exact(t.compile().to_openai()[-2:]) == kept


def test_a_usage_may_be_changed_after_it_was_recorded(t: Tract) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105}
    t.record_usage(usage)
    spoil(usage)
    assert t.compile().token_source == "api:100+5"
    assert t.compile().token_count == 100
    t.record_usage(TokenUsage(7, 1, 8))
    assert t.compile().token_count == 7


# what user code is shown


class Nosy:
    """A compiler that changes all that it is given, and keeps its own answer's lists."""

    def __init__(self) -> None:
        self.lists: list[Any] = []

    def compile(self, history: Sequence[HistoryEntry], options: CompileOptions) -> CompiledContext:
        messages = [Message("user", str(entry.content)) for entry in history]
        configs = [dict(entry.generation_config or {}) for entry in history]
        commits = [str(entry.commit_hash) for entry in history]
        for entry in history:
            spoil(entry.content)
            spoil(entry.generation_config)
        if isinstance(history, list):
            history.clear()
        self.lists = [messages, configs, commits]
        return CompiledContext(messages, configs, commits, 5, "nosy")


def test_a_custom_compiler_may_change_what_it_is_given(path: Path) -> None:
    nosy = Nosy()
    with open_tract(path) as t:
        fill(t)
        t.commit(FreeformContent({"a": [1]}), generation_config=CONFIG)
        before = answers(t)
    with open_tract(path, compiler=nosy) as t:
        told = told_context(t.compile())
        spoil(nosy.lists)
        spoil(t.compile())
        assert told_context(t.compile()) == told
        assert [info.generation_config for info in t.log(1)] == [CONFIG]
    with open_tract(path) as t:
        assert answers(t) == before


def test_a_text_function_may_change_the_content_it_is_shown(path: Path) -> None:
    def text(note: Note) -> str:
        told = ", ".join(map(str, note.tags))
        note.tags.clear()
        note.title = "spoilt"
        return told

    with open_tract(path) as t:
        t.register_content_type("note", Note, text=text)
        note = Note("mine", ["a", "b"])
        name = t.commit(note).commit_hash
        assert (note.title, note.tags) == ("mine", ["a", "b"])
        for _ in range(2):
            assert t.compile().messages[-1].content == "a, b"
            assert t.get_content(name) == Note("mine", ["a", "b"])
            t.register_content_type("note", Note, text=text)


def test_a_counter_is_shown_strings_only(path: Path) -> None:
    class Watcher(EstimateCounter):
        def count_text(self, text: str, /) -> int:
            assert type(text) is str
            return super().count_text(text)

    with open_tract(path, tokenizer=Watcher()) as t:
        fill(t)
        t.import_messages([CALL, REPLY])
        t.compile(include_edit_annotations=True, aggregate_same_role=True)


def test_a_snapshot_that_was_extended_stays_as_it_was(t: Tract) -> None:
    """A context that was not looked at yet still tells the head that it was compiled for."""
    early = t.compile()
    count, commits = early.commit_count, list(t.compile().commit_hashes)
    t.commit(DialogueContent(role="user", text="later"), generation_config={"model": "later"})
    t.compile()
    t.annotate(first(t), "skip")
    t.compile()
    assert early.commit_hashes == commits
    assert len(early.messages) == len(early.generation_configs) == count
