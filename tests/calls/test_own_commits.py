"""What a handle keeps of the commits that it writes: the same that it would read back, and only as long as that holds."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.lab.copies import sync_files
from tests.lab.states import answers, told_context
from tests.lab.talk import Clock, user
from tract_fs import DialogueContent, Tract
from tract_fs.errors import ContentValidationError, JsonValueError
from tract_fs.model.content import BUILTIN_TYPES, ContentTypes
from tract_fs.model.names import format_time, parse_time
from tract_fs.store import files


def configs(t: Tract) -> list[dict[str, Any]]:
    return t.compile().generation_configs


def test_a_compile_reads_nothing_back_of_what_its_handle_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    read_signed = files.read_signed
    with Tract.open(tmp_path / "a", clock=Clock(), durability="fast") as t:
        t.commit(user("one"), generation_config={"n": 1})
        t.compile()
        monkeypatch.setattr(files, "read_signed", lambda path, **limit: read.append(path) or read_signed(path, **limit))
        t.commit(user("two"), generation_config={"n": 2})
        with t.batch():
            t.commit(user("three"))
            t.commit(user("four"), generation_config={})
        assert configs(t) == [{"n": 1}, {"n": 2}, {}, {}]
        assert [path for path in read if "/events/" in path or "/objects/" in path] == []


def test_the_config_of_a_commit_that_two_copies_made_alike_is_that_of_the_least_event_on_both(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "ab"]
    handles = [Tract.open(path, clock=Clock(), durability="fast") for path in paths]
    names = [t.commit(user("same"), generation_config={"made": n}).commit_hash for n, t in enumerate(handles)]
    assert names[0] == names[1]
    events = {file.parent.name + file.name: n for n, path in enumerate(paths) for file in events_of(path)}
    expected = {"made": events[min(events)]}  # their times are equal: the least hash tells
    sync_files(*paths)
    for t in handles:
        t.refresh()
        assert configs(t) == [expected]
        t.close()


def events_of(path: Path) -> list[Path]:
    return [file for file in (path / ".tract" / "events" / "default").glob("*/*") if file.is_file()]


def test_the_config_of_a_batch_that_was_refused_never_shows(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    with Tract.open(there, clock=Clock(), durability="fast") as other:
        made = other.commit(user("same"), generation_config={"model": "theirs"})
    with Tract.open(here, clock=Clock(), durability="fast") as t:
        with pytest.raises(KeyboardInterrupt), t.batch():
            refused = t.commit(user("same"), generation_config={"model": "ours"})
            raise KeyboardInterrupt
        assert refused.commit_hash == made.commit_hash
        assert t.head is None and t.get_commit(made.commit_hash) is None
        sync_files(here, there)
        t.refresh()
        assert configs(t) == [{"model": "theirs"}]


def test_a_handle_answers_as_a_fresh_one_after_each_of_its_writes(tmp_path: Path) -> None:
    steps: list[Callable[[Tract], object]] = [
        lambda t: t.commit(DialogueContent(role="assistant", text="é ✓ \x00", name="bot"), generation_config={"x": []}),
        lambda t: t.commit({"content_type": "dialogue", "role": "user", "text": "", "name": None}),
        lambda t: t.commit({"content_type": "output", "text": "a", "format": "text"}, message="m", metadata={"k": 1}),
        lambda t: t.commit({"content_type": "output", "text": "a", "format": "json"}, metadata={}),
        lambda t: t.commit({"content_type": "artifact", "artifact_type": "file", "content": "x", "language": "py"}),
        lambda t: t.commit({"content_type": "reasoning", "text": "so"}, generation_config={}),
        lambda t: t.edit(t.log(None)[-1].commit_hash, user("edited"), generation_config={"e": 1.5}),
        lambda t: t.branch("side"),
        lambda t: t.annotate(t.log(None)[-2].commit_hash, "pinned"),
    ]
    with Tract.open(tmp_path / "a", clock=Clock(), durability="fast") as t:
        for step in steps:
            step(t)
            with Tract.open(tmp_path / "a", read_only=True, verify=True) as fresh:
                assert answers(t) == answers(fresh)
        own = told_context(t.compile())
    with Tract.open(tmp_path / "a", read_only=True) as fresh:
        assert told_context(fresh.compile()) == own


VALUES: tuple[object, ...] = (
    *("x", "", "user", "system", "call", "result", "text", "json", "success", "\ud800", "é\x00"),
    *(None, 1, 1.0, True, float("nan"), 2**70, b"x", [], {}, ["a"], {"a": 1}),
)


@pytest.mark.parametrize("name", ["artifact", "dialogue", "instruction", "output", "reasoning"])
def test_a_content_of_texts_is_taken_as_its_bytes_read_back_or_refused(name: str) -> None:
    rng, types = random.Random(name), ContentTypes()
    names = BUILTIN_TYPES[name].__struct_fields__
    taken = refused = 0
    for _ in range(4000):
        fields = {key: rng.choice(VALUES if rng.random() < 0.4 else VALUES[:8]) for key in names if rng.random() < 0.9}
        if rng.random() < 0.05:
            fields["extra"] = rng.choice(VALUES)
        try:
            data, found, typed = types.encode({"content_type": name, **fields})
        except ContentValidationError:
            refused += 1
            continue
        taken += 1
        assert found == name
        assert type(typed) is BUILTIN_TYPES[name]
        assert typed == types.decode(data, name)
    assert taken >= 20 and refused >= 100


class Text(str):
    """A string that is none by its type."""


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"role": "robot", "text": "a"}, "role"),
        ({"role": "user", "text": 1}, "text"),
        ({"role": "user", "text": Text("a")}, "text"),
        ({"role": "user", "text": "a", "name": ["b"]}, "name"),
        ({"role": "user", "text": "a", "more": "b"}, "more"),
        ({"role": "user"}, "text"),
        ({"role": "user", "text": "\ud800"}, "text"),
    ],
)
def test_a_wrong_field_of_a_content_of_texts_is_named(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ContentValidationError) as error:
        ContentTypes().encode({"content_type": "dialogue", **fields})
    assert (error.value.content_type, error.value.field) == ("dialogue", field)


def test_times_are_written_with_six_decimals_and_read_back() -> None:
    assert format_time(0) == "1970-01-01T00:00:00.000000Z"
    assert format_time(1_767_323_045_000_006) == "2026-01-02T03:04:05.000006Z"
    assert format_time(1_767_323_045_999_999) == "2026-01-02T03:04:05.999999Z"
    rng = random.Random(7)
    for _ in range(2000):
        us = rng.randrange(0, 221_845_392_000_000_000)
        assert parse_time(format_time(us)) == us
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
        assert datetime.fromisoformat(format_time(us)) == moment


@pytest.mark.parametrize(
    ("wall_us", "times"),
    [
        ((10, 30, 20, 20, 40), (10, 30, 31, 32, 40)),  # stands still, goes back, is right again
        ((0, -5, 7), (1, 2, 7)),
        ((999_999, 999_999, 1_000_000), (999_999, 1_000_000, 1_000_001)),
    ],
)
def test_a_commit_is_later_than_the_one_before_whatever_the_clock_says(
    tmp_path: Path, wall_us: tuple[int, ...], times: tuple[int, ...]
) -> None:
    moments = iter(wall_us)
    expected = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us) for us in times]
    with Tract.open(tmp_path / "a", clock=lambda: next(moments), durability="fast") as t:
        made = [t.commit(user(f"{number}")).created_at for number in range(2)]
        with t.batch():
            made += [t.commit(user(f"{number}")).created_at for number in range(2, len(wall_us))]
    assert made == expected


def test_what_is_no_json_is_refused_in_a_config_of_numbers(tmp_path: Path) -> None:
    with Tract.open(tmp_path / "a", durability="fast") as t:
        for value in (float("inf"), float("-inf"), float("nan"), 2**64, -(2**63) - 1):
            with pytest.raises(JsonValueError):
                t.commit(user("a"), generation_config={"temperature": value})
        made = t.commit(
            user("a"), generation_config={"top": 1.7976931348623157e308, "least": -(2**63), "most": 2**64 - 1}
        )
        assert made.generation_config == {"top": 1.7976931348623157e308, "least": -(2**63), "most": 2**64 - 1}
