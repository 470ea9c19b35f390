"""The end of time: what is dated in the last year of the format blocks no tract, and no writer acknowledges what the format forbids."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.lab.peers import newest, put_append, put_event
from tests.lab.states import remove_local
from tests.lab.talk import Clock, say, texts, user
from tract_fs import Tract
from tract_fs.errors import ArgumentError, TimeLimitReached
from tract_fs.model.names import parse_time

LAST = "8999-12-31T23:59:59.999999Z"
BEFORE_LAST_YEAR = "8998-12-31T23:59:59.999999Z"
LATE = "invalid: it is in the last year of the format, and over a second after its parents"


def begun(path: Path) -> Path:
    with Tract.open(path, durability="fast", clock=Clock()) as t:
        say(t, "one")
    return path


@pytest.mark.parametrize("at", [LAST, "8999-01-01T00:00:00.000000Z", "8999-06-01T00:00:00.000000Z"])
def test_a_stranger_s_event_of_the_last_year_is_pending_and_the_tract_goes_on(tmp_path: Path, at: str) -> None:
    path = begun(tmp_path / "context")
    late = put_append(path, {"content_type": "dialogue", "role": "user", "text": "late"}, at=at, on=newest(path))
    for _ in range(2):
        with Tract.open(path, durability="fast", clock=Clock()) as t:
            assert t.status().pending == (f"{late.event}: {LATE}",)
            say(t, "more")
        remove_local(path)
    with Tract.open(path) as t:
        assert texts(t) == ["one", "more", "more"]


def test_a_stranger_s_event_of_the_year_before_the_last_one_is_visible_and_the_tract_goes_on_into_it(
    tmp_path: Path,
) -> None:
    path = begun(tmp_path / "context")
    put_append(path, {"content_type": "dialogue", "role": "user", "text": "late"}, at=BEFORE_LAST_YEAR, on=newest(path))
    with Tract.open(path, durability="fast", clock=Clock()) as t:
        (first,) = say(t, "two")
        with t.batch():
            say(t, "three", "four")
        t.tag("kept", first)
        assert t.log(None)[0].to_dict()["created_at"].startswith("8999-01-01T00:00:00.00000")
    for is_removed in (False, True):
        if is_removed:
            remove_local(path)
        with Tract.open(path) as t:
            assert texts(t) == ["one", "late", "two", "three", "four"]
            assert t.status().pending == ()
            assert len([warning for warning in t.status().warnings if "over a day ahead of this clock" in warning]) == 1


def test_an_event_after_one_of_the_last_year_is_pending_unless_it_follows_at_once(tmp_path: Path) -> None:
    path = begun(tmp_path / "context")
    message = {"content_type": "dialogue", "role": "user"}
    first = put_append(path, {**message, "text": "a"}, at="8998-12-31T23:59:59.500000Z", on=newest(path))
    second = put_append(path, {**message, "text": "b"}, at="8999-01-01T00:00:00.500000Z", on=first)
    third = put_append(path, {**message, "text": "c"}, at="8999-01-01T00:00:01.500001Z", on=second)
    with Tract.open(path) as t:
        assert texts(t) == ["one", "a", "b"]
        assert t.status().pending == (f"{third.event}: {LATE}",)


@pytest.mark.parametrize("call", ["commit", "batch", "import", "tag", "annotate", "branch", "merge", "usage"])
def test_a_writer_acknowledges_nothing_past_the_last_microsecond(tmp_path: Path, call: str) -> None:
    """The events up to the last microsecond were visible to the version that recorded them; here steps lead to it."""
    path = begun(tmp_path / "context")
    with Tract.open(path, durability="fast", clock=Clock()) as t:
        say(t, "two")
        view = t._session.reader.log.view
        view.newest = LAST  # 31 million events lead here
        view.event_heads = dict.fromkeys(view.event_heads, LAST)
        head, tags = t.head, t.tags()
        with pytest.raises(TimeLimitReached, match="nothing was written"):
            if call == "commit":
                t.commit(user("x"))
            elif call == "batch":
                with t.batch():
                    t.commit(user("x"))
            elif call == "import":
                t.import_messages([{"role": "user", "content": "x"}])
            elif call == "tag":
                t.tag("late", head)
            elif call == "annotate":
                t.annotate(head, "skip")
            elif call == "branch":
                t.branch("late")
            elif call == "merge":
                t.merge("main~1", message="x") if t.branch("side", at="main~1") else None
            else:
                t.record_usage({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2})
        assert (t.head, t.tags()) == (head, tags)
        assert texts(t) == ["one", "two"]
    remove_local(path)
    with Tract.open(path) as t:
        assert texts(t) == ["one", "two"]
        assert t.status().pending == ()


@pytest.mark.parametrize(
    "now", [221_845_391_999_999_998, datetime(8999, 1, 1, tzinfo=UTC), parse_time("8999-01-01T00:00:00.000000Z")]
)
def test_a_clock_in_the_last_year_is_refused(tmp_path: Path, now: int | datetime) -> None:
    with Tract.open(tmp_path / "context", clock=lambda: now) as t:
        for _ in range(2):
            with pytest.raises(ArgumentError, match="before year 8999"):
                t.commit(user("x"))
        assert t.log() == []


def test_a_clock_just_before_the_last_year_can_go_on(tmp_path: Path) -> None:
    now = parse_time(BEFORE_LAST_YEAR)
    with Tract.open(tmp_path / "context", durability="fast", clock=lambda: now) as t:
        say(t, "one", "two", "three")
    remove_local(tmp_path / "context")
    with Tract.open(tmp_path / "context") as t:
        assert texts(t) == ["one", "two", "three"]


def test_a_batch_that_would_end_over_a_second_inside_the_last_year_is_refused(tmp_path: Path) -> None:
    path = begun(tmp_path / "context")
    now = parse_time(BEFORE_LAST_YEAR)
    with Tract.open(path, durability="fast", clock=lambda: now) as t:
        with pytest.raises(TimeLimitReached), t.batch():
            say(t, "two", "three")
        say(t, "two")
        with t.batch():
            say(t, "three", "four")
    remove_local(path)
    with Tract.open(path) as t:
        assert texts(t) == ["one", "two", "three", "four"]


def test_an_adoption_leaves_what_is_dated_in_the_last_year(tmp_path: Path) -> None:
    path = begun(tmp_path / "context")
    message = {"content_type": "dialogue", "role": "user"}
    late = put_append(path, {**message, "text": "late"}, at="8999-06-01T00:00:00.000000Z", on=newest(path))
    after = put_append(path, {**message, "text": "after"}, at="8999-06-01T00:00:00.000001Z", on=late)
    with Tract.open(path, durability="fast") as t:
        report = t.repair(adopt=True)
        assert report.adopted == ()
        assert sorted(line[:64] for line in report.not_adopted) == sorted([late.event, after.event])
        assert texts(t) == ["one"]


def test_an_event_without_commits_is_judged_by_its_time_too(tmp_path: Path) -> None:
    path = begun(tmp_path / "context")
    head = newest(path)
    tag = {"kind": "tag", "name": "v1", "target": head.commit}
    name = put_event(path, tag, at=LAST, parents=[head.event])
    with Tract.open(path) as t:
        assert t.tags() == {}
        assert t.status().pending == (f"{name}: {LATE}",)


def test_a_cut_by_time_warns_of_commits_that_a_clock_ahead_has_dated(tmp_path: Path) -> None:
    path = tmp_path / "context"
    clock = Clock(parse_time("2026-01-02T00:00:00.000000Z"))
    with Tract.open(path, durability="fast", clock=clock) as t:
        say(t, "one")
        clock.now_us = parse_time("2030-01-01T00:00:00.000000Z")
        say(t, "ahead")
        clock.now_us = parse_time("2026-01-03T00:00:00.000000Z")
        say(t, "two")
        clock.now_us = parse_time("2026-01-04T00:00:00.000000Z")
        cut = t.compile(at_time=datetime(2026, 1, 4, tzinfo=UTC))
        assert [message.content for message in cut.messages] == ["one"]
        assert cut.warnings == [
            "commits that a cut by time leaves out are dated up to 2030-01-01T00:00:01.000001Z, ahead of this clock "
            "(2026-01-04T00:00:01.000000Z): a clock ran ahead, and what was committed since is dated after it; "
            "at_commit cuts at any commit"
        ]
        assert t.compile(at_time=datetime(2030, 1, 2, tzinfo=UTC)).warnings == []
        clock.now_us = parse_time("2030-01-02T00:00:00.000000Z")
        assert t.compile(at_time=datetime(2026, 1, 4, tzinfo=UTC)).warnings == []
