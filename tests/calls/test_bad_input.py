"""Bad input: each a typed error with its fields, and nothing written, no lock held, the same handle going on."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.lab.disk import disk, full_from, os_error
from tests.lab.states import answers, is_unlocked, own_place, store_root, synced
from tests.lab.stores import fill
from tests.lab.talk import Clock, user
from tract_fs import (
    ArtifactContent,
    AsyncTract,
    DialogueContent,
    FreeformContent,
    InstructionContent,
    MessageContent,
    OutputContent,
    Store,
    TokenBudgetConfig,
    TokenUsage,
    ToolIOContent,
    Tract,
    TractConfig,
)
from tract_fs.errors import (
    AmbiguousRefError,
    AnnotateTargetError,
    ArgumentError,
    BatchTooLarge,
    BudgetExceeded,
    ClosedError,
    CommitNotFoundError,
    ContentValidationError,
    EditTargetError,
    FormatMissing,
    HeadMoved,
    JsonValueError,
    LockTimeout,
    NotAStore,
    ObjectTooLarge,
    ReadOnlyError,
    StoreNotFound,
    TractError,
    UnsupportedFormat,
    UsageError,
)
from tract_fs.upkeep.repair import restore_format

UNKNOWN = "0" * 64
MIB = 1024 * 1024


class Subclass(str):
    __slots__ = ()


class Moody:
    """A value that can't be compared."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    def __ne__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    def __repr__(self) -> str:
        return "Moody()"

    __hash__ = None  # type: ignore[assignment]


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.fixture
def t(path: Path) -> Iterator[Tract]:
    with Tract.open(path, durability="fast", clock=Clock()) as opened:
        fill(opened)
        yield opened


def refused(t: Tract, path: Path, error: type[BaseException], act: Callable[[], object], /, **fields: object) -> Any:
    """Lets `act` be refused with `error` and its fields; returns the error. Nothing may have changed, and the handle must go on."""
    files_before, answers_before = synced(path), answers(t)
    with pytest.raises(error) as caught:
        act()
    assert type(caught.value) is error
    assert {name: getattr(caught.value, name) for name in fields} == fields
    assert synced(path) == files_before, "something was written"
    assert is_unlocked(path), "the lock is held"
    assert answers(t) == answers_before
    info = t.commit(user("the handle goes on"))
    assert t.head == info.commit_hash
    assert info.parents == ((answers_before["head"],) if answers_before["head"] else ())
    with Tract.open(path, tract_id=t.tract_id, read_only=True, verify=True) as fresh:
        assert answers(fresh) == answers(t)
    return caught.value


# content

CONTENTS: list[tuple[str, Any, str | None, str]] = [
    ("None", None, None, "content"),
    ("a string", "hello", None, "content"),
    ("bytes", b"hello", None, "content"),
    ("a list", [user("a")], None, "content"),
    ("a type", DialogueContent, None, "content"),
    ("an empty dict", {}, None, "content_type"),
    ("no type", {"role": "user", "text": "a"}, None, "content_type"),
    ("type None", {"content_type": None, "text": "a"}, None, "content_type"),
    ("type 1", {"content_type": 1}, None, "content_type"),
    ("type list", {"content_type": ["dialogue"]}, None, "content_type"),
    ("an unknown type", {"content_type": "poem", "text": "a"}, "poem", "content_type"),
    ("an unregistered record", TokenUsage(1, 2, 3), None, "content"),
    ("a missing field", {"content_type": "dialogue", "role": "user"}, "dialogue", "text"),
    ("a wrong type", {"content_type": "dialogue", "role": "user", "text": 1}, "dialogue", "text"),
    ("text None", {"content_type": "instruction", "text": None}, "instruction", "text"),
    ("a wrong choice", {"content_type": "dialogue", "role": "robot", "text": "a"}, "dialogue", "role"),
    ("an unknown field", {"content_type": "reasoning", "text": "a", "extra": 1}, "reasoning", "extra"),
    ("a wrong status", ToolIOContent("s", "call", {}, status="maybe"), "tool_io", "status"),  # type: ignore[arg-type]
    ("a wrong direction", ToolIOContent("s", "up", {}), "tool_io", "direction"),  # type: ignore[arg-type]
    ("a payload that is a list", FreeformContent([1]), "freeform", "payload"),  # type: ignore[arg-type]
    ("a call id that is a number", ToolIOContent("s", "call", {}, call_id=1), "tool_io", "call_id"),  # type: ignore[arg-type]
    ("a wrong format", OutputContent("a", format="html"), "output", "format"),  # type: ignore[arg-type]
    ("a language that is a number", ArtifactContent("code", "x", language=1), "artifact", "language"),  # type: ignore[arg-type]
    ("a message without role", MessageContent({"content": "a"}), "message", "message.role"),
    ("a message with role None", MessageContent({"role": None}), "message", "message.role"),
    ("a message that is a string", MessageContent("hi"), "message", "message"),  # type: ignore[arg-type]
    ("NaN", FreeformContent({"a": [float("nan")]}), "freeform", "payload.a[0]"),
    ("infinity", FreeformContent({"a": float("inf")}), "freeform", "payload.a"),
    ("2**70", FreeformContent({"a": 2**70}), "freeform", "payload.a"),
    ("a surrogate", user("a\ud800"), "dialogue", "text"),
    ("a surrogate key", FreeformContent({"\udfff": 1}), "freeform", "payload (key)"),
    ("a key that is a number", FreeformContent({"a": {1: 2}}), "freeform", "payload.a"),
    ("a set", FreeformContent({"a": {1}}), "freeform", "payload.a"),
    ("bytes inside", FreeformContent({"a": b"x"}), "freeform", "payload.a"),
    ("a datetime", FreeformContent({"a": datetime(2026, 1, 2)}), "freeform", "payload.a"),
    ("a string's subclass", user(Subclass("a")), "dialogue", "text"),
    ("a provider message with NaN", MessageContent({"role": "user", "x": float("nan")}), "message", "message.x"),
]


@pytest.mark.parametrize(("content", "content_type", "field"), [c[1:] for c in CONTENTS], ids=[c[0] for c in CONTENTS])
def test_a_content_that_fits_no_type_is_refused_by_field(
    t: Tract, path: Path, content: Any, content_type: str | None, field: str
) -> None:
    error = refused(t, path, ContentValidationError, lambda: t.commit(content), content_type=content_type, field=field)
    assert error.reason
    assert isinstance(error, ValueError)


def test_a_content_with_a_key_that_is_no_string_is_refused_by_a_field(t: Tract, path: Path) -> None:
    content = {"content_type": "dialogue", "role": "user", "text": "a", 1: 2}
    error = refused(t, path, ContentValidationError, lambda: t.commit(content), content_type="dialogue")
    assert error.field
    assert error.reason == "key 1 is not a string"


def test_a_content_two_hundred_levels_deep_is_the_deepest(t: Tract, path: Path) -> None:
    t.commit(FreeformContent({"a": nested(198)}))
    for depth in (199, 5_000, 100_000):
        content = FreeformContent({"a": nested(depth)})
        error = refused(t, path, ContentValidationError, lambda given=content: t.commit(given), content_type="freeform")
        assert error.reason == "more than 200 arrays and objects deep"
        assert error.field == "payload.a" + "[0]" * 198


def test_a_content_whose_values_can_not_be_compared_is_refused(t: Tract, path: Path) -> None:
    content = {"content_type": "dialogue", "role": "user", "text": "a", "name": Moody()}
    refused(t, path, ContentValidationError, lambda: t.commit(content), content_type="dialogue", field="name")


def test_a_content_over_64_mib_is_refused(t: Tract, path: Path) -> None:
    text = "x" * (64 * MIB)
    size = len(b'{"content":{"content_type":"reasoning","text":""}}') + 64 * MIB
    error = refused(
        t,
        path,
        ObjectTooLarge,
        lambda: t.commit({"content_type": "reasoning", "text": text}),
        kind="content",
        size_bytes=size,
        limit_bytes=64 * MIB,
    )
    assert "nothing was written" in str(error)


@pytest.mark.parametrize(
    ("name", "limit_bytes", "error", "fields"),
    [
        pytest.param("metadata", 64 * MIB, ObjectTooLarge, {"kind": "commit"}, id="a metadata over 64 MiB"),
        pytest.param("generation_config", 16 * MIB, BatchTooLarge, {}, id="a config over the limit of an event"),
    ],
)
def test_an_option_of_a_commit_over_the_limit_is_refused(
    t: Tract, path: Path, name: str, limit_bytes: int, error: type[TractError], fields: dict[str, str]
) -> None:
    options: dict[str, Any] = {name: {"x": "x" * limit_bytes}}
    found = refused(t, path, error, lambda: t.commit(user("a"), **options), limit_bytes=limit_bytes, **fields)
    assert found.size_bytes > limit_bytes


# custom types


@dataclass
class Note:
    title: str
    tags: Any = None


class Card(msgspec.Struct):
    front: str
    back: Any = None


def test_a_registered_type_is_validated_like_a_built_in_one(t: Tract, path: Path) -> None:
    t.register_content_type("note", Note)
    t.register_content_type("card", Card)
    for content, content_type, field in (
        (Note(title=1), "note", "title"),  # type: ignore[arg-type]
        (Card(front=None), "card", "front"),  # type: ignore[arg-type]
        (Note("a", tags={1}), "note", "tags"),
        (Note("a", tags=[float("nan")]), "note", "tags[0]"),
        (Card("a", back={"x": 2**70}), "card", "back.x"),
        ({"content_type": "note"}, "note", "title"),
    ):
        refused(
            t,
            path,
            ContentValidationError,
            lambda given=content: t.commit(given),
            content_type=content_type,
            field=field,
        )


@pytest.mark.parametrize("depth", [201, 600, 100_000])
def test_a_registered_type_with_too_deep_a_value_is_refused(t: Tract, path: Path, depth: int) -> None:
    t.register_content_type("note", Note)
    error = refused(
        t, path, ContentValidationError, lambda: t.commit(Note("a", tags=nested(depth))), content_type="note"
    )
    assert error.reason == "more than 200 arrays and objects deep"


def test_a_text_function_that_returns_no_string_is_refused(t: Tract, path: Path) -> None:
    t.register_content_type("note", Note, text=lambda note: None)  # type: ignore[arg-type, return-value]
    refused(t, path, ContentValidationError, lambda: t.commit(Note("a")), content_type="note")


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("dialogue", Note, {}),
        ("", Note, {}),
        ("Note", Note, {}),
        ("1note", Note, {}),
        ("a b", Note, {}),
        ("n" * 65, Note, {}),
        (None, Note, {}),
        (5, Note, {}),
        ("note", dict, {}),
        ("note", None, {}),
        ("note", Note("a"), {}),
        ("note", Note, {"role": ""}),
        ("note", Note, {"role": None}),
        ("note", Note, {"priority": "high"}),
        ("note", Note, {"priority": None}),
        ("note", Note, {"text": "title"}),
    ],
)
def test_a_registration_that_can_not_work_is_refused(
    t: Tract, path: Path, name: Any, kind: Any, options: dict[str, Any]
) -> None:
    refused(t, path, ArgumentError, lambda: t.register_content_type(name, kind, **options))


# generation config, metadata, message


def surrogate_at(position: int) -> str:
    return (
        f"a string with a lone surrogate, at position {position}, can't be stored; "
        'Tract.open(text="replace") commits U+FFFD for it'
    )


OBJECTS: list[tuple[str, Any, str, str]] = [
    ("NaN", {"temperature": float("nan")}, ".temperature", "nan is not a JSON number"),
    ("infinity", {"a": {"b": [0, -float("inf")]}}, ".a.b[1]", "-inf is not a JSON number"),
    ("2**70", {"seed": 2**70}, ".seed", "an integer beyond 64 bits can't be stored; give it as a string"),
    (
        "a surrogate",
        {"model": "\ud800"},
        ".model",
        surrogate_at(0),
    ),
    ("a surrogate key", {"\ud800": 1}, " (key)", surrogate_at(0)),
    ("a number as key", {1: 1}, "", "key 1 is not a string"),
    ("None as key", {"a": {None: 1}}, ".a", "key None is not a string"),
    (
        "a set",
        {"stop": {"a"}},
        ".stop",
        "builtins.set is not a JSON value; use dict, list, str, int, float, bool or None",
    ),
    ("bytes", {"a": b"x"}, ".a", "builtins.bytes is not a JSON value; use dict, list, str, int, float, bool or None"),
    ("depth 201", {"a": nested(200)}, ".a" + "[0]" * 199, "more than 200 arrays and objects deep"),
    ("depth 100,000", {"a": nested(100_000)}, ".a" + "[0]" * 199, "more than 200 arrays and objects deep"),
]


@pytest.mark.parametrize("name", ["generation_config", "metadata"])
@pytest.mark.parametrize(("value", "place", "reason"), [o[1:] for o in OBJECTS], ids=[o[0] for o in OBJECTS])
def test_a_config_or_metadata_that_is_no_json_is_refused_by_path(
    t: Tract, path: Path, name: str, value: Any, place: str, reason: str
) -> None:
    given: dict[str, Any] = {name: value}
    refused(t, path, JsonValueError, lambda: t.commit(user("a"), **given), path=name + place, reason=reason)


@pytest.mark.parametrize("name", ["generation_config", "metadata"])
@pytest.mark.parametrize("value", ["m-1", 1, [], [("a", 1)], (), {1}, b"{}", float("nan"), Moody()], ids=repr)
def test_a_config_or_metadata_that_is_no_dict_is_refused(t: Tract, path: Path, name: str, value: Any) -> None:
    given: dict[str, Any] = {name: value}
    error = refused(t, path, ArgumentError, lambda: t.commit(user("a"), **given))
    assert str(error).startswith(f"{name} ")


@pytest.mark.parametrize("value", [1, b"m", ["m"], Subclass("m")], ids=repr)
def test_a_message_that_is_no_string_is_refused(t: Tract, path: Path, value: Any) -> None:
    refused(t, path, ArgumentError, lambda: t.commit(user("a"), message=value))


def test_a_message_or_reason_with_a_surrogate_is_refused(t: Tract, path: Path) -> None:
    refused(t, path, JsonValueError, lambda: t.commit(user("a"), message="\ud800"), path="message")
    head = t.head
    assert head is not None
    refused(t, path, JsonValueError, lambda: t.annotate(head, "skip", reason="\ud800"), path="reason")


@pytest.mark.parametrize("operation", ["annotate", "merge", "summarize", "delete", "", None, 1, ["append"]])
def test_an_operation_that_commit_does_not_make_is_refused(t: Tract, path: Path, operation: Any) -> None:
    refused(t, path, ArgumentError, lambda: t.commit(user("a"), operation=operation))


def test_an_append_with_a_target_is_refused(t: Tract, path: Path) -> None:
    refused(t, path, ArgumentError, lambda: t.commit(user("a"), target=t.head))


def test_one_bad_message_keeps_a_whole_import_out(t: Tract, path: Path) -> None:
    good: dict[str, Any] = {"role": "user", "content": "a"}
    for bad, field in (
        ({"content": "no role"}, "messages[1]"),
        ("a string", "messages[1]"),
        (None, "messages[1]"),
        ({"role": 1}, "messages[1]"),
        ({"role": "user", "content": float("nan")}, "messages[1].content"),
    ):
        refused(t, path, ContentValidationError, lambda given=bad: t.import_messages([good, given, good]), field=field)
    for messages in ("hello", {"role": "user"}, None, 5):
        refused(t, path, ArgumentError, lambda given=messages: t.import_messages(given))  # type: ignore[arg-type]
    refused(t, path, ArgumentError, lambda: t.import_messages([good], format="punchcard"))
    refused(
        t,
        path,
        JsonValueError,
        lambda: t.import_messages([good], generation_config={"a": float("nan")}),
        path="generation_config.a",
    )


# targets and refs


def by_operation(t: Tract, operation: str) -> str:
    return next(info.commit_hash for info in t.log(None) if info.operation.value == operation)


def commit_of_another_tract(path: Path) -> str:
    with Tract.open(path, tract_id="other", durability="fast") as other:
        return other.commit(user("elsewhere")).commit_hash


@pytest.mark.parametrize("target", [None, 5, b"x", "", "xyz", "main2", UNKNOWN, UNKNOWN[:63], UNKNOWN + "0", "A" * 64])
def test_an_edit_of_an_unknown_commit_is_refused(t: Tract, path: Path, target: Any) -> None:
    refused(t, path, EditTargetError, lambda: t.edit(target, user("a")), target=target)


def test_an_edit_of_an_annotation_is_refused(t: Tract, path: Path) -> None:
    target = by_operation(t, "annotate")
    error = refused(t, path, EditTargetError, lambda: t.edit(target, user("a")), target=target)
    assert "annotate" in error.reason


def test_an_edit_or_annotation_of_another_tracts_commit_is_refused(t: Tract, path: Path) -> None:
    target = commit_of_another_tract(path)
    refused(t, path, EditTargetError, lambda: t.edit(target, user("a")), target=target)
    refused(t, path, CommitNotFoundError, lambda: t.annotate(target, "skip"), hash=target)


def test_an_edit_or_annotation_in_an_empty_tract_is_refused(path: Path) -> None:
    with Tract.open(path, durability="fast") as t:
        refused(t, path, EditTargetError, lambda: t.edit("main", user("a")), target="main")
    with Tract.open(path, tract_id="second", durability="fast") as t:
        refused(t, path, CommitNotFoundError, lambda: t.annotate("main", "skip"), hash="main")


@pytest.mark.parametrize("target", [None, 5, "", "xyz", UNKNOWN, UNKNOWN[:10]])
def test_an_annotation_of_an_unknown_commit_is_refused(t: Tract, path: Path, target: Any) -> None:
    refused(t, path, CommitNotFoundError, lambda: t.annotate(target, "skip"), hash=target)
    with pytest.raises(CommitNotFoundError):
        t.get_annotations(target)


def test_an_annotation_of_an_annotation_is_refused(t: Tract, path: Path) -> None:
    target = by_operation(t, "annotate")
    refused(t, path, AnnotateTargetError, lambda: t.annotate(target, "pinned"), target=target)


@pytest.mark.parametrize("priority", ["high", "", None, 1, ["skip"], "SKIP"])
def test_an_unknown_priority_is_refused(t: Tract, path: Path, priority: Any) -> None:
    refused(t, path, ArgumentError, lambda: t.annotate(t.head or "", priority))


@pytest.mark.parametrize("ref", [None, 5, 1.5, b"main", "", "nope", "ab", UNKNOWN, "f" * 63, ["main"]])
def test_an_unknown_ref_is_refused(t: Tract, path: Path, ref: Any) -> None:
    for act in (t.resolve, t.get_content, lambda given: t.compile(at_commit=given or "none")):
        with pytest.raises(CommitNotFoundError):
            act(ref)
    error = refused(t, path, CommitNotFoundError, lambda: t.resolve(ref))
    assert error.hash == ref


@pytest.mark.parametrize("ref", [None, 5, 1.5, b"main", "", "nope", UNKNOWN, "f" * 63, ["main"], {}])
def test_get_commit_of_what_is_no_commit_is_none(t: Tract, ref: Any) -> None:
    assert t.get_commit(ref) is None


def test_content_of_a_commit_without_content_is_refused(t: Tract, path: Path) -> None:
    target = by_operation(t, "annotate")
    refused(t, path, CommitNotFoundError, lambda: t.get_content(target), hash=target)


def test_a_prefix_of_several_commits_is_refused(path: Path) -> None:
    with Tract.open(path, durability="fast", clock=Clock()) as t:
        with t.batch():
            names = [t.commit(user(f"text {n}")).commit_hash for n in range(1_200)]
        counts: dict[str, int] = {}
        for name in names:
            counts[name[:4]] = counts.get(name[:4], 0) + 1
        prefix = next(prefix for prefix, count in counts.items() if count > 1)
        assert counts[prefix] == 2
        with pytest.raises(AmbiguousRefError) as caught:
            t.resolve(prefix)
        assert (caught.value.ref, caught.value.count) == (prefix, 2)  # type: ignore[attr-defined]
        for act in (
            lambda: t.edit(prefix, user("a")),
            lambda: t.annotate(prefix, "skip"),
            lambda: t.compile(at_commit=prefix),
            lambda: t.get_annotations(prefix),
        ):
            with pytest.raises(AmbiguousRefError):
                act()
        assert t.head == names[-1]
        single = next(name for name in names if counts[name[:4]] == 1)
        assert t.resolve(single[:4]) == single
        with pytest.raises(CommitNotFoundError):
            t.resolve(single[:3])


# compile, log, usage


def test_both_cuts_at_once_are_refused(t: Tract, path: Path) -> None:
    refused(t, path, ArgumentError, lambda: t.compile(at_time=datetime(2026, 1, 2, tzinfo=UTC), at_commit=t.head))
    with pytest.raises(ValueError, match="not both"):
        t.compile(at_time=datetime(2026, 1, 2), at_commit=UNKNOWN)


@pytest.mark.parametrize("moment", ["2026-01-02", 5, 1.5, date(2026, 1, 2), True])
def test_a_time_that_is_no_datetime_is_refused(t: Tract, path: Path, moment: Any) -> None:
    refused(t, path, ArgumentError, lambda: t.compile(at_time=moment))


def test_the_earliest_and_latest_times_are_times(t: Tract) -> None:
    assert t.compile(at_time=datetime.min).messages == []
    assert t.compile(at_time=datetime.max) == t.compile(at_commit=t.head) or t.compile(at_time=datetime.max).messages


@pytest.mark.parametrize("orphans", ["keep it", "", None, 1, True])
def test_an_unknown_word_for_orphans_is_refused(t: Tract, path: Path, orphans: Any) -> None:
    refused(t, path, ArgumentError, lambda: t.compile(orphans=orphans))


@pytest.mark.parametrize("limit", [-1, 1.0, "10", True, b"1"])
def test_a_limit_that_is_no_count_is_refused(t: Tract, path: Path, limit: Any) -> None:
    refused(t, path, ArgumentError, lambda: t.log(limit))


USAGES: list[Any] = [
    None,
    5,
    "usage",
    [],
    {},
    {"prompt_tokens": 1},
    {"input_tokens": 1},
    {"tokens": 3},
    {"prompt_tokens": -1, "completion_tokens": 2},
    {"prompt_tokens": 1.0, "completion_tokens": 2},
    {"prompt_tokens": True, "completion_tokens": 2},
    {"prompt_tokens": "1", "completion_tokens": 2},
    {"prompt_tokens": 1, "completion_tokens": None},
    {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": -3},
    {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3.0},
    {"input_tokens": 1, "output_tokens": "2"},
    {"prompt_tokens": 2**70, "completion_tokens": 2},
    {"prompt_tokens": 2**62, "completion_tokens": 2**62},
    TokenUsage(prompt_tokens=-1, completion_tokens=0, total_tokens=0),
    TokenUsage(prompt_tokens=1, completion_tokens=2, total_tokens=None),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("usage", USAGES, ids=repr)
def test_a_usage_of_no_known_shape_is_refused(t: Tract, path: Path, usage: Any) -> None:
    refused(t, path, UsageError, lambda: t.record_usage(usage))


def test_a_usage_for_what_is_not_the_head_is_refused(t: Tract, path: Path) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    for head in (UNKNOWN, t.log(2)[1].commit_hash, "main", 5):
        error = refused(t, path, HeadMoved, lambda given=head: t.record_usage(usage, head_hash=given), expected=head)
        assert error.branch == "main"


def test_a_usage_without_commits_is_refused(path: Path) -> None:
    with Tract.open(path, durability="fast") as t:
        refused(t, path, UsageError, lambda: t.record_usage({"prompt_tokens": 1, "completion_tokens": 2}))


def test_a_head_that_is_not_the_expected_one_is_refused(t: Tract, path: Path) -> None:
    for expected in (None, UNKNOWN, t.log(2)[1].commit_hash, "main", 5):
        head = t.head
        assert head is not None
        for act in (
            lambda given=expected: t.commit(user("a"), expected_head=given),
            lambda given=expected: t.edit("main", user("a"), expected_head=given),
            lambda given=expected, name=head: t.annotate(name, "skip", expected_head=given),
        ):
            error = refused(t, path, HeadMoved, act, expected=expected, branch="main")
            assert error.actual in {info.commit_hash for info in t.log(None)}


def test_what_is_over_the_budget_is_refused(path: Path) -> None:
    config = TractConfig(token_budget=TokenBudgetConfig(max_tokens=30, action="reject"))
    with Tract.open(path, durability="fast", config=config) as t:
        t.commit(user("abcd"))  # 3 per message, 1 of the role, 1 of the text, 3 of the reply
        error = refused(t, path, BudgetExceeded, lambda: t.commit(user("x" * 200)), maximum=30, current=8 + 3 + 1 + 50)
        assert error.current == 62


# queries: the predicates are tested by themselves


@pytest.mark.parametrize(
    "query",
    [
        ("model", "==", 1),
        ("model", None, 1),
        (None, "=", 1),
        ((), "=", 1),
        (("a", -1), "=", 1),
        ("model", "=", []),
        ("model", "=", {}),
        ("model", "=", float("nan")),
        ("model", "=", b"m"),
    ],
    ids=repr,
)
def test_a_query_that_can_not_be_understood_is_refused(t: Tract, path: Path, query: Any) -> None:
    refused(t, path, ArgumentError, lambda: t.query_by_config(*query))


# open


@pytest.mark.parametrize(
    "options",
    [
        {"tract_id": ""},
        {"tract_id": "A"},
        {"tract_id": "../x"},
        {"tract_id": "a/b"},
        {"tract_id": "con"},
        {"tract_id": "com1.txt"},
        {"tract_id": "x" * 65},
        {"tract_id": "-a"},
        {"tract_id": None},
        {"tract_id": 5},
        {"branch": ""},
        {"branch": "a..b"},
        {"branch": "a b"},
        {"branch": "a.lock"},
        {"branch": "-a"},
        {"branch": "\ud800"},
        {"branch": None},
        {"branch": 5},
        {"durability": "eternal"},
        {"durability": None},
        {"durability": ["fast"]},
        {"tokenizer": "cl100k"},
        {"tokenizer": 5},
        {"config": {"token_budget": 5}},
        {"config": 5},
        {"config": TractConfig(token_budget=5)},  # type: ignore[arg-type]
        {"config": TractConfig(token_budget=TokenBudgetConfig(max_tokens=0))},
        {"config": TractConfig(token_budget=TokenBudgetConfig(max_tokens=True))},
        {"config": TractConfig(token_budget=TokenBudgetConfig(max_tokens=5, action="shout"))},  # type: ignore[arg-type]
        {"config": TractConfig(token_budget=TokenBudgetConfig(max_tokens=5, action="callback"))},
        {"config": TractConfig(token_budget=TokenBudgetConfig(max_tokens=5, action="callback", callback=5))},  # type: ignore[arg-type]
        {"config": TractConfig(snapshot_cache_size="many")},  # type: ignore[arg-type]
        {"lock_timeout_s": "long"},
        {"lock_timeout_s": None},
        {"lock_timeout_s": float("nan")},
        {"clock": 5},
        {"compiler": 5},
    ],
    ids=repr,
)
def test_an_open_with_a_bad_option_is_refused_and_makes_no_store(path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError) as caught:
        Tract.open(path, **options)
    assert isinstance(caught.value, ValueError)
    assert not path.exists()


@pytest.mark.parametrize("given", [5, 1.5, ["a"], b"bytes", "a\0b"], ids=repr)
def test_a_path_that_is_none_is_refused(given: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for act in (Tract.open, Tract.tracts):
        with pytest.raises(ArgumentError):
            act(given)
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"mine")
    for given in (file, file / "below", file / "below" / "deep"):
        for act in (Tract.open, Tract.tracts):
            with pytest.raises(NotAStore) as caught:
                act(given)
            assert caught.value.path == str(given)  # type: ignore[attr-defined]
    assert file.read_bytes() == b"mine"


def test_a_store_directory_that_is_a_file_is_refused(path: Path) -> None:
    path.mkdir()
    (path / ".tract").write_bytes(b"mine")
    with pytest.raises(NotAStore):
        Tract.open(path)
    assert (path / ".tract").read_bytes() == b"mine"


def test_no_store_and_no_leave_to_make_one_is_an_error(path: Path) -> None:
    for options in ({"create": False}, {"read_only": True}):
        with pytest.raises(StoreNotFound) as caught:
            Tract.open(path, **options)
        assert caught.value.path == str(path)  # type: ignore[attr-defined]
    with pytest.raises(StoreNotFound):
        Tract.tracts(path)
    assert not path.exists()


def test_a_store_of_a_newer_format_is_refused_untouched(t: Tract, path: Path) -> None:
    t.close()
    format_file = store_root(path) / "FORMAT"
    format_file.write_bytes(b'{"format":"tract-fs","version":2,"more":"things"}\n')
    before = {file: file.read_bytes() for file in store_root(path).rglob("*") if file.is_file()}
    for options in ({}, {"read_only": True}, {"create": False}, {"verify": True}):
        with pytest.raises(UnsupportedFormat) as caught:
            Tract.open(path, **options)  # type: ignore[arg-type]
        found = caught.value
        assert (found.path, found.found, found.supported) == (str(path), 2, 1)  # type: ignore[attr-defined]
    with pytest.raises(UnsupportedFormat):
        Tract.tracts(path)
    assert {file: file.read_bytes() for file in store_root(path).rglob("*") if file.is_file()} == before


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]",
        b'"tract-fs"',
        b"null",
        b"1",
        b'{"format":"git","version":1}',
        b'{"format":"tract-fs"}',
        b'{"format":"tract-fs","version":"1"}',
        b'{"format":"tract-fs","version":true}',
        b'{"format":"tract-fs","version":1.0}',
        b'{"format":"tract-fs","version":0}',
        b'{"format":"tract-fs","version":-1}',
        b"\xff\xfe",
    ],
    ids=repr,
)
def test_a_format_file_that_is_none_of_ours_is_refused_untouched(t: Tract, path: Path, data: bytes) -> None:
    t.close()
    format_file = store_root(path) / "FORMAT"
    format_file.write_bytes(data)
    with pytest.raises(NotAStore) as caught:
        Tract.open(path)
    assert caught.value.path == str(format_file)  # type: ignore[attr-defined]
    assert format_file.read_bytes() == data


def test_a_format_file_that_is_a_directory_is_refused(t: Tract, path: Path) -> None:
    t.close()
    format_file = store_root(path) / "FORMAT"
    format_file.unlink()
    format_file.mkdir()
    with pytest.raises(NotAStore):
        Tract.open(path)


@pytest.mark.parametrize("data", [b"", b"\0" * 34], ids=["empty", "zeros"])
def test_a_format_file_that_a_power_cut_took_is_made_again_and_costs_no_history(
    t: Tract, path: Path, data: bytes
) -> None:
    before = answers(t)
    t.close()
    format_file = store_root(path) / "FORMAT"
    format_file.unlink()
    format_file.write_bytes(data)
    with Tract.open(path, durability="fast") as again:
        assert answers(again) == before
    assert format_file.read_bytes() == b'{"format":"tract-fs","version":1}\n'


def test_a_format_file_that_is_missing_is_made_again_by_a_repair_alone(t: Tract, path: Path) -> None:
    before = answers(t)
    t.close()
    (store_root(path) / "FORMAT").unlink()
    with pytest.raises(FormatMissing):
        Tract.open(path)
    assert restore_format(path)
    assert not restore_format(path)
    with Tract.open(path, durability="fast") as again:
        assert answers(again) == before


# clocks and counters


@pytest.mark.parametrize(
    "now", [None, "now", 1.5, True, 2**70, datetime(9999, 1, 1), datetime(9000, 1, 1, tzinfo=UTC), date(2026, 1, 2)]
)
def test_a_clock_that_tells_no_time_is_refused(path: Path, now: Any) -> None:
    clock: dict[str, Any] = {"now": datetime(2026, 1, 2)}
    with Tract.open(path, durability="fast", clock=lambda: clock["now"]) as t:
        name = t.commit(user("a")).commit_hash
        files = synced(path)
        clock["now"] = now
        with pytest.raises(ArgumentError):
            t.commit(user("b"))
        assert synced(path) == files
        assert is_unlocked(path)
        clock["now"] = datetime(2026, 1, 3)
        assert t.commit(user("b")).parents == (name,)


class BadCounter:
    """A counter that counts as it was told to."""

    def __init__(self, count: object, name: str = "bad") -> None:
        self.name = name
        self._count = count
        self.is_bad = True

    def count_text(self, text: str, /) -> Any:
        return self._count if self.is_bad else 1


@pytest.mark.parametrize("count", [None, "3", 1.5, float("nan"), -100, 2**70, [1]], ids=repr)
def test_a_counter_that_returns_no_count_is_refused(path: Path, count: object) -> None:
    counter = BadCounter(count)
    with Tract.open(path, durability="fast", tokenizer=counter) as t:
        with pytest.raises(TractError):
            t.commit(user("a"))
        assert not [name for name in synced(path) if name.startswith(("objects", "events"))]
        assert is_unlocked(path)
        counter.is_bad = False
        name = t.commit(user("a")).commit_hash
        assert [info.commit_hash for info in t.log()] == [name]
    with Tract.open(path, read_only=True, verify=True) as fresh:
        assert [info.commit_hash for info in fresh.log()] == [name]


def test_a_counter_whose_name_can_not_be_stored_is_refused(path: Path) -> None:
    with pytest.raises(ArgumentError):
        Tract.open(path, tokenizer=BadCounter(1, name="\ud800"))
    assert not path.exists()


# handles that can't write


def test_a_closed_handle_refuses_every_call(t: Tract, path: Path) -> None:
    head = t.head or ""
    t.close()
    t.close()
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    acts: list[Callable[[], object]] = [
        lambda: t.head,
        lambda: t.commit(user("a")),
        lambda: t.edit(head, user("a")),
        lambda: t.annotate(head, "skip"),
        lambda: t.record_usage(usage),
        lambda: t.import_messages([{"role": "user", "content": "a"}]),
        t.compile,
        t.log,
        lambda: t.get_commit(head),
        lambda: t.get_content(head),
        lambda: t.resolve("main"),
        lambda: t.get_annotations(head),
        lambda: t.query_by_config("model", "=", "m-1"),
        t.status,
        t.refresh,
        t.flush,
        lambda: t.register_content_type("note", Note),
        lambda: t.batch().__enter__(),
    ]
    for act in acts:
        with pytest.raises(ClosedError) as caught:
            act()
        assert caught.value.tract_id == "default"  # type: ignore[attr-defined]
    assert is_unlocked(path)


def test_a_read_only_handle_refuses_to_write_and_makes_no_file(t: Tract, path: Path) -> None:
    before = answers(t)
    t.close()
    files = {file: file.read_bytes() for file in store_root(path).rglob("*") if file.is_file()}
    head = before["head"]
    with Tract.open(path, read_only=True) as reader:
        for act in (
            lambda: reader.commit(user("a")),
            lambda: reader.edit(head, user("a")),
            lambda: reader.annotate(head, "skip"),
            lambda: reader.record_usage({"prompt_tokens": 1, "completion_tokens": 2}),
            lambda: reader.import_messages([{"role": "user", "content": "a"}]),
            reader.flush,
            lambda: reader.batch().__enter__(),
        ):
            with pytest.raises(ReadOnlyError) as caught:
                act()
            assert caught.value.path == str(path)  # type: ignore[attr-defined]
        assert answers(reader) == before
        reader.status()
        reader.refresh()
    assert {file: file.read_bytes() for file in store_root(path).rglob("*") if file.is_file()} == files


def test_a_store_without_local_can_be_read_and_stays_without(t: Tract, path: Path) -> None:
    before = answers(t)
    t.close()
    local = store_root(path) / "local"
    local.rename(path / "elsewhere")
    with Tract.open(path, read_only=True) as reader:
        assert answers(reader) == before
    assert not local.exists()


def test_a_lock_that_is_held_is_an_error_in_time(t: Tract, path: Path) -> None:
    with Tract.open(path, durability="fast", lock_timeout_s=0.05) as other:
        head = other.head
        with t.batch():
            t.commit(user("holds the lock"))
            with pytest.raises(LockTimeout) as caught:
                other.commit(user("waits"))
            assert caught.value.timeout_s == 0.05  # type: ignore[attr-defined]
            assert caught.value.path == str(own_place(path) / "lock")  # type: ignore[attr-defined]
            assert other.head == head
        assert other.commit(user("goes on")).parents == (t.log(2)[1].commit_hash,)
    assert is_unlocked(path)


def without_permission(call: str, number: int, arguments: tuple[Any, ...]) -> BaseException | None:
    """Lets every call fail that makes or changes a file, as for a user who may only read."""
    if call in ("rename", "unlink", "makedirs", "mkdir") or (
        call == "open" and arguments[1] & (os.O_WRONLY | os.O_RDWR)
    ):
        return os_error(errno.EACCES, arguments[0])
    return None


def test_a_store_without_write_permission_reads_and_says_what_it_may_not_write(t: Tract, path: Path) -> None:
    before = answers(t)
    t.close()
    files = synced(path)
    with disk(without_permission), Tract.open(path, durability="fast") as reader:
        assert answers(reader) == before
        for act in (
            lambda: reader.commit(user("a")),
            lambda: reader.annotate(before["head"], "skip"),
            lambda: reader.record_usage({"prompt_tokens": 1, "completion_tokens": 2}),
        ):
            with pytest.raises(PermissionError) as caught:
                act()
            assert caught.value.errno == errno.EACCES
            assert str(caught.value.filename).startswith(str(store_root(path)))
        assert answers(reader) == before
    assert synced(path) == files
    assert is_unlocked(path)


def test_a_directory_without_write_permission_gets_no_store(path: Path) -> None:
    path.mkdir()
    with disk(without_permission), pytest.raises(PermissionError) as caught:
        Tract.open(path)
    assert str(caught.value.filename).startswith(str(path))
    assert list(path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_the_user_may_not_write_to_reads_and_refuses(t: Tract, path: Path) -> None:
    before = answers(t)
    t.close()
    folders = [store_root(path), *(f for f in store_root(path).rglob("*") if f.is_dir())]
    held = [file for file in (store_root(path) / "local").rglob("*") if file.is_file()]
    for item in folders + held:
        item.chmod(0o555 if item.is_dir() else 0o444)
    try:
        with Tract.open(path) as reader:
            assert answers(reader) == before
            with pytest.raises(PermissionError):
                reader.commit(user("a"))
            assert answers(reader) == before
    finally:
        for item in folders + held:
            item.chmod(0o755 if item.is_dir() else 0o644)


# a full disk


WRITES: dict[str, Callable[[Tract], object]] = {
    "commit": lambda t: t.commit(user("a new message"), generation_config={"model": "m-9"}),
    "edit": lambda t: t.edit(t.log(None)[-1].commit_hash, InstructionContent(text="be long")),
    "annotate": lambda t: t.annotate(t.log(None)[-1].commit_hash, "skip"),
    "usage": lambda t: t.record_usage({"prompt_tokens": 1, "completion_tokens": 2}),
    "import": lambda t: t.import_messages([{"role": "user", "content": f"line {n}"} for n in range(70)]),
    "large": lambda t: t.commit(user("x" * (MIB + 1))),
}


@pytest.mark.parametrize("durability", ["fast", "durable"])
@pytest.mark.parametrize("name", WRITES)
def test_a_full_disk_refuses_a_write_whole(path: Path, name: str, durability: Any) -> None:
    with Tract.open(path, durability=durability, clock=Clock()) as t:
        fill(t)
        number = 0
        is_refused = True
        while is_refused:
            before, files = answers(t), synced(path)
            with disk(full_from(number)) as full:
                try:
                    WRITES[name](t)
                    is_refused = False
                except OSError as error:
                    assert error.errno == errno.ENOSPC
            if is_refused:
                assert synced(path) == files, f"call {number}: something was written"
                assert is_unlocked(path)
                assert answers(t) == before
            else:
                assert number > 0
                assert full.raised == 0, "a write that failed was not told"
            number += 1
            assert number < 1000, "each write that fails makes the next one ask the disk more"
        with Tract.open(path, read_only=True, verify=True) as fresh:
            assert answers(fresh) == answers(t)


def test_a_full_disk_gets_no_half_made_store(path: Path) -> None:
    for number in range(40):
        with disk(full_from(number)) as full:
            try:
                Tract.open(path, durability="fast").close()
            except OSError as error:
                assert error.errno == errno.ENOSPC
        if not full.raised:
            break
        assert not (store_root(path) / "FORMAT").exists() or json.loads((store_root(path) / "FORMAT").read_bytes())
    with Tract.open(path, durability="fast") as t:
        assert (store_root(path) / "FORMAT").read_bytes() == b'{"format":"tract-fs","version":1}\n'
        assert (store_root(path) / ".gitattributes").read_bytes() == b"* -text -diff -merge\n"
        assert (store_root(path) / ".gitignore").read_bytes() == b"!*\n/local\n.new.*\n"
        assert t.commit(user("a")).parents == ()


@pytest.mark.parametrize("below", [".tract", ".tract/objects", ".tract/new"])
def test_no_store_is_made_inside_a_store(tmp_path: Path, below: str) -> None:
    Tract.open(tmp_path).close()
    with pytest.raises(NotAStore) as caught:
        Tract.open(tmp_path / below)
    assert str(caught.value) == (
        f"{tmp_path / below}: this is inside a store; give the directory that is to hold .tract"
    )
    assert not (tmp_path / below / ".tract").exists()


@pytest.mark.parametrize("kind", [Tract, Store, AsyncTract])
def test_a_class_that_is_called_names_the_call_that_opens(path: Path, kind: type) -> None:
    for given, options in (((), {}), ((path,), {}), ((str(path),), {"durability": "fast"})):
        with pytest.raises(ArgumentError, match=rf"use (await )?{kind.__name__}\.open\(path\)"):
            kind(*given, **options)
    assert not path.exists()
